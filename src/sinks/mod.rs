//! Adapters to foreign systems: one folder each, with the same files (`config`, `client`, `wire`, `mapping`, `plan`).
//!
//! A sink plans (pure) and sends one step at a time, and only classifies what came back. It never waits, retries or
//! touches the database, and no sink knows another. Adding one touches its folder, [`build`] and the example file.

pub mod http;
pub mod webhook;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use crate::{
    config::{SinkKind, SinkSettings},
    domain::{
        delivery::{DeliveryKey, Outcome, Plan, Progress, Receipt, Step},
        ids::Version,
        limits::LearnedLimit,
        money::Breakdown,
        order::Order,
    },
};

/// What a plan may look at: the version to bring, and what is known to stand in the destination.
#[derive(Debug)]
pub struct View<'a> {
    pub key: &'a DeliveryKey,
    pub version: Version,
    pub progress: Progress,
    pub receipt: Option<&'a serde_json::Value>,
    pub external_id: Option<&'a str>,
    pub order: &'a Order,
    pub money: &'a Breakdown,
    /// The order as received, JSON text.
    pub payload: &'a str,
    /// Digest of everything a destination could see of this version.
    pub content_hash: &'a [u8],
    /// Whether every version is brought, also one that changes nothing visible.
    pub every_version: bool,
    /// Receipt of the sink named by `after`.
    pub dependency: Option<&'a serde_json::Value>,
}

/// What came back from one call.
#[derive(Debug, Clone)]
pub struct Answer {
    pub outcome: Outcome,
    pub http_status: Option<u16>,
    /// Beginning of the answer, masked: no personal data, no secrets.
    pub excerpt: Option<String>,
    /// What it told about the destination's limits.
    pub limits: Vec<LearnedLimit>,
    /// Calls made beside the one, where the destination counts them: a token fetched, a repeat with a fresh one.
    pub calls_beside: u32,
}

impl Answer {
    /// An outcome of which nothing more is known.
    pub fn of(outcome: Outcome) -> Self {
        Self { outcome, http_status: None, excerpt: None, limits: Vec::new(), calls_beside: 0 }
    }
}

/// What a look-up found about a step in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The effect stands.
    Stands(Receipt),
    /// Proven absent.
    Absent,
    /// Cannot be told now, or not at all.
    Unclear,
}

/// One destination.
pub trait Sink: Send + Sync + 'static {
    /// Its `kind` in the configuration.
    fn kind(&self) -> &'static str;

    /// Decides what to do for one version. Pure: the same view leads to the same plan, bytes included.
    fn plan(&self, view: &View<'_>) -> Plan;

    /// Sends one step. `now` only labels the request (signature time).
    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer>;

    /// Asks the destination what became of a step whose answer was lost. A sink whose steps are all safe to repeat is
    /// never asked.
    fn look_up<'a>(&'a self, _step: &'a Step) -> BoxFuture<'a, Finding> {
        Box::pin(std::future::ready(Finding::Unclear))
    }
}

/// A sink that cannot be built from valid settings, for instance because a secret has changed into none.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
    #[error("the signing secret cannot be used")]
    SigningSecret(#[source] webhook::config::InvalidSigningSecret),
    #[error("the header {0} has a value that no header can have")]
    Header(String),
}

/// Longest wait for a connection; a sink's request timeout bounds it too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Builds a sink from its settings: the registry of kinds.
pub fn build(settings: &SinkSettings) -> Result<Arc<dyn Sink>, BuildError> {
    let common = &settings.common;
    let client = crate::http::client_builder()
        .user_agent(concat!("scoffable-sync/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT.min(common.request_timeout))
        .pool_max_idle_per_host(common.concurrency as usize)
        .build()
        .map_err(|error| BuildError::Client(error.without_url()))?;
    Ok(match &settings.kind {
        SinkKind::Webhook(webhook) => Arc::new(webhook::Webhook::build(webhook, common.request_timeout, client)?),
    })
}
