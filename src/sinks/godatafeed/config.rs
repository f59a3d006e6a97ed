//! What only a sink of kind `godatafeed` is told. Whatever GoDataFeed does not document can be set here.

mod read;

use std::{path::PathBuf, time::Duration};

use serde::Serialize;

pub use self::read::RawGodatafeed;
use super::{ship_time::ShipTime, template::Template};
use crate::config::{duration, field::choice, secret::Secret, url::HttpUrl};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    V1,
    V2,
}
choice!(Api { V1 = "v1", V2 = "v2" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    StaticToken,
    ConsumerKey,
}
choice!(AuthMode { StaticToken = "static_token", ConsumerKey = "consumer_key" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationNumber {
    Id,
    DisplayId,
}
choice!(DestinationNumber { Id = "id", DisplayId = "display_id" });

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    Omit,
    OrderId,
}
choice!(Tracking { Omit = "omit", OrderId = "order_id" });

/// How the destination is asked, and what it is told.
#[derive(Debug, Clone, Serialize)]
pub struct GodatafeedSettings {
    pub base_url: HttpUrl,
    pub allow_insecure: bool,
    pub api: Api,
    #[serde(flatten)]
    pub auth: AuthSettings,
    pub templates_confirmed: bool,
    pub templates: Templates,
    pub pointers: Pointers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paging: Option<Paging>,
    pub fields: Fields,
    pub literals: Literals,
    pub carriers: Carriers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_name: Option<String>,
    #[serde(flatten)]
    pub matching: Option<Matching>,
    pub destination_number: DestinationNumber,
    pub tracking: Tracking,
    #[serde(serialize_with = "duration::serialize")]
    pub ship_after: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub cancel_grace: Duration,
    pub cancel_rejected: bool,
    #[serde(serialize_with = "duration::serialize")]
    pub counterpart_wait: Duration,
    /// At least a second.
    #[serde(serialize_with = "duration::serialize")]
    pub poll_interval: Duration,
    #[serde(flatten)]
    pub ship_time: ShipTime,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "auth_mode", rename_all = "snake_case")]
pub enum AuthSettings {
    /// Its text as read at the start can be carried by path and header.
    StaticToken { token: Secret },
    ConsumerKey {
        consumer_key: Secret,
        token_file: PathBuf,
        #[serde(skip_serializing_if = "Option::is_none")]
        token_lifespan_days: Option<u32>,
        auth_request_template: Template,
    },
}

/// How the marketplace writes a Scoffable order's number, where it is not the order's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Matching {
    #[serde(rename = "match_prefix")]
    Prefix(String),
    /// Has [`ORDER_ID`] exactly once.
    #[serde(rename = "match_template")]
    Template(String),
}

/// Stands for the Scoffable order id.
pub const ORDER_ID: &str = "{id}";

impl Matching {
    pub fn of(&self, order_id: &str) -> String {
        match self {
            Self::Prefix(prefix) => format!("{prefix}{order_id}"),
            Self::Template(template) => template.replacen(ORDER_ID, order_id, 1),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Templates {
    pub list: Template,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub get: Option<Template>,
    pub acknowledge: Template,
    pub status: Template,
}

/// Each as serde_json takes it.
#[derive(Debug, Clone, Serialize)]
pub struct Pointers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orders: Option<String>,
    pub id: String,
    pub number: String,
    pub marketplace: String,
    pub status: String,
    pub purchased_at: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Paging {
    pub size: u32,
    pub page_parameter: String,
    pub size_parameter: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Fields {
    pub destination_number: String,
    pub status: String,
    pub ship_date: String,
    pub tracking_number: String,
    pub carrier: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Literals {
    pub new: String,
    pub shipped: String,
    pub cancelled: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Carriers {
    pub uber: String,
    pub vendor: String,
    pub collection: String,
}
