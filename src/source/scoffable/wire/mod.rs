//! The documents of the order stream, and their translation into [`Order`].
//!
//! Reading has two stages, so that a bad order costs only itself: [`parse_page`] splits the envelope without looking
//! into the orders, [`decode`] reads one order. The platform's documentation leaves much open, so decoding is as
//! tolerant as money allows: all it insists on is an id, a version number, and amounts that are whole 64-bit numbers.
//! What it tolerates it says in [`Order::warnings`]; what it cannot read at all keeps its bytes for the quarantine.
//!
//! `latestVersion` is a property of the response, not of the version: it is handed on as
//! [`Decoded::latest_version`], is no part of [`Order`] or the content hash, and decides nothing.
//!
//! Source: Scoffable developer documentation 1.0.0, "Order Sync", "Pagination", "Understanding Orders", "Order",
//! "OrderItem", "CustomerPayment", "MonetaryAmount", "API Upgrades & Versioning".

use std::fmt;

use bytes::Bytes;

use crate::{
    domain::{ids::OrderId, order::Order},
    source::json::{Document, JsonError, Problem},
};

pub use hash::ContentHash;
pub use page::{Page, PageError, parse_page};

mod hash;
mod order;
mod page;
mod scan;

/// One element of a page's `data`: exactly the bytes received, not looked into yet. Cheap to clone; shares the page's
/// memory.
#[derive(Clone, PartialEq, Eq)]
pub struct RawOrder(Bytes);

impl RawOrder {
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// An order holds personal data: only its size is shown.
impl fmt::Debug for RawOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawOrder({} bytes)", self.0.len())
    }
}

/// An order as received, known to be UTF-8 and JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    pub fn as_str(&self) -> &str {
        // `decode` has checked the bytes; checking again is cheaper than a copy.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// An order holds personal data: only its size is shown.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// One order version, read.
#[derive(Debug, Clone)]
pub struct Decoded {
    pub order: Order,
    /// Tells whether two responses hold the same content of one (id, version).
    pub content_hash: ContentHash,
    pub payload: Payload,
    /// Whether Postgres accepts the payload as `jsonb`.
    pub castable_to_jsonb: bool,
    /// Whether the platform knew of no newer version when it answered. Decides nothing here.
    pub latest_version: Option<bool>,
}

/// An order that cannot be read, for the quarantine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the order cannot be read: {detail}")]
pub struct Undecodable {
    /// If it can be found.
    pub order_id: Option<OrderId>,
    pub version: Option<i64>,
    pub reason: Refusal,
    /// For people; no content of the order.
    pub detail: String,
}

/// Why an order cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    NotUtf8,
    /// A NUL byte as such, not as an escape.
    RawNul,
    NotJson,
    TooDeep,
    NotAnObject,
    OrderIdMissing,
    OrderIdInvalid,
    VersionMissing,
    VersionInvalid,
    VersionOutOfRange,
    /// An amount of money with a fraction of the minor unit.
    AmountNotWhole,
    /// An amount of money that does not fit into 64 bits.
    AmountOutOfRange,
    QuantityOutOfRange,
}

impl Refusal {
    /// The stable code, as in `quarantine.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::RawNul => "raw_nul",
            Self::NotJson => "not_json",
            Self::TooDeep => "too_deep",
            Self::NotAnObject => "not_an_object",
            Self::OrderIdMissing => "order_id_missing",
            Self::OrderIdInvalid => "order_id_invalid",
            Self::VersionMissing => "version_missing",
            Self::VersionInvalid => "version_invalid",
            Self::VersionOutOfRange => "version_out_of_range",
            Self::AmountNotWhole => "amount_not_whole",
            Self::AmountOutOfRange => "amount_out_of_range",
            Self::QuantityOutOfRange => "quantity_out_of_range",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads one order of a page.
pub fn decode(raw: &RawOrder) -> Result<Decoded, Undecodable> {
    let bytes = raw.as_bytes();
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let detail = format!("not UTF-8 at byte {}", error.valid_up_to());
        salvage(bytes, Refusal::NotUtf8, detail)
    })?;
    let document = Document::parse(text).map_err(|error| not_json(bytes, error))?;
    let read = order::read(&document).map_err(|rejected| rejected.into_undecodable(bytes))?;
    Ok(Decoded {
        order: read.order,
        content_hash: ContentHash::of(&document),
        payload: Payload(raw.0.clone()),
        castable_to_jsonb: document.castable_to_jsonb(),
        latest_version: read.latest_version,
    })
}

/// Reads a payload that was stored before: the order alone.
pub fn decode_text(payload: &str) -> Result<Order, Undecodable> {
    let bytes = payload.as_bytes();
    let document = Document::parse(payload).map_err(|error| not_json(bytes, error))?;
    let read = order::read(&document).map_err(|rejected| rejected.into_undecodable(bytes))?;
    Ok(read.order)
}

fn not_json(bytes: &[u8], error: JsonError) -> Undecodable {
    let reason = match error.problem {
        Problem::TooDeep => Refusal::TooDeep,
        Problem::ControlCharacter | Problem::Character if bytes.get(error.at) == Some(&0) => Refusal::RawNul,
        _ => Refusal::NotJson,
    };
    salvage(bytes, reason, format!("not JSON: {error}"))
}

/// Finds id and version in an order that is not JSON as a whole.
fn salvage(bytes: &[u8], reason: Refusal, detail: String) -> Undecodable {
    let found = |name: &[u8]| {
        let value = std::str::from_utf8(scan::member(bytes, name)?).ok()?;
        Document::parse(value).ok()
    };
    let order_id = found(b"id").and_then(|document| order::order_id(document.root()).ok());
    let version = found(b"version").and_then(|document| order::version(document.root()).ok());
    Undecodable { order_id, version: version.map(|version| version.number), reason, detail }
}

#[cfg(test)]
mod tests;
