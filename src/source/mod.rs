//! Reads pages of order versions from the systems orders come from. Knows nothing about sinks, storage or schedules.
//!
//! A source turns HTTP bytes into [`Page`](scoffable::wire::Page)s of raw orders, and a raw order into a
//! [`domain::order::Order`](crate::domain::order::Order). It never retries, sleeps or remembers a cursor: the poller
//! does, from what the errors say.

use crate::domain::order::Order;

pub mod json;
pub mod scoffable;

/// The kinds of source there are; `kind` of a `[sources.<name>]` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    Scoffable,
}

impl SourceKind {
    /// As in the configuration and in `sources.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scoffable => "scoffable",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        (text == Self::Scoffable.as_str()).then_some(Self::Scoffable)
    }
}

/// Reads a stored payload again, for planning. The same order as at ingest, without the cost of the content hash.
pub fn decode_stored(kind: SourceKind, payload: &str) -> Result<Order, scoffable::wire::Undecodable> {
    match kind {
        SourceKind::Scoffable => scoffable::wire::decode_text(payload),
    }
}
