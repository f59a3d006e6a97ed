//! The body as the receiver reads it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{ids::Version, money::Breakdown, order::Order};

/// The request body.
#[derive(Debug, Serialize)]
pub struct Body<'a> {
    /// `order.accepted`, `order.cancelled`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub source: &'a str,
    pub order_id: &'a str,
    pub version: Version,
    /// The version this receiver confirmed before this one; null: none.
    pub previous_applied_version: Option<Version>,
    /// Normalised.
    pub order: &'a Order,
    /// As received.
    pub raw: &'a RawValue,
    pub money: &'a Breakdown,
}

/// The part of an answer that is read: a receiver may say what it calls the order.
#[derive(Debug, Deserialize)]
pub struct Reply {
    pub external_id: Option<String>,
}
