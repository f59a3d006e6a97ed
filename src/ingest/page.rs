//! One page, decoded: the versions to store and the orders that cannot be. CPU only.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    panic::{AssertUnwindSafe, catch_unwind},
};

use sha2::{Digest, Sha256};

use crate::{
    domain::{
        money,
        order::{Order, Status},
    },
    source::scoffable::wire::{self, Decoded, Page, RawOrder},
    store::ingest::{Undecodable, Versions},
};

/// A version ready to be stored.
#[derive(Debug)]
pub struct Row {
    decoded: Decoded,
    verdict: &'static str,
    breakdown: String,
}

/// An order that goes to the quarantine.
#[derive(Debug)]
pub struct Refused {
    order_id: Option<String>,
    version: Option<i64>,
    raw: bytes::Bytes,
    raw_hash: [u8; 32],
    reason: &'static str,
    detail: String,
}

/// A page taken apart.
#[derive(Debug)]
pub struct DecodedPage {
    pub rows: Vec<Row>,
    pub refused: Vec<Refused>,
    pub next_page_id: Option<String>,
    /// How many elements the page had.
    pub received: usize,
}

/// Decodes a page. A bad order never costs another one its place.
pub fn decode(page: Page) -> DecodedPage {
    let received = page.orders.len();
    let mut rows = Vec::with_capacity(received);
    let mut refused = Vec::new();
    for raw in page.orders {
        // A fault of ours in reading one order costs that order's place, not the page's.
        match catch_unwind(AssertUnwindSafe(|| row(&raw))) {
            Ok(Ok(row)) => rows.push(row),
            Ok(Err(bad)) => refused.push(*bad),
            Err(_) => {
                let detail = "reading it failed: report it".to_owned();
                refused.push(Refused::new(raw, None, None, "reader_failed", detail));
            }
        }
    }
    DecodedPage { rows, refused, next_page_id: page.next_page_id, received }
}

fn row(raw: &RawOrder) -> Result<Row, Box<Refused>> {
    let decoded = wire::decode(raw).map_err(|bad| {
        let order_id = bad.order_id.map(|id| id.to_string()).filter(|id| storable(id));
        Box::new(Refused::new(raw.clone(), order_id, bad.version, bad.reason.as_str(), bad.detail))
    })?;
    let order = &decoded.order;
    let texts = [
        Some(order.id.as_str()),
        Some(order.status.as_str()),
        order.vendor_id.as_ref().map(super::super::domain::ids::VendorId::as_str),
        order.order_type.as_ref().map(super::super::domain::order::OrderType::as_str),
    ];
    if !texts.into_iter().flatten().all(storable) {
        let detail = "an id, status, vendor or type holds a NUL or is longer than 500 bytes".to_owned();
        return Err(Box::new(Refused::new(raw.clone(), None, Some(order.version.0), "unstorable_text", detail)));
    }
    let money = money::breakdown(order);
    let breakdown = serde_json::to_string(&money).map_err(|_| {
        let detail = "the money of this order cannot be written as JSON".to_owned();
        let (id, version) = (order.id.to_string(), order.version.0);
        Box::new(Refused::new(raw.clone(), Some(id), Some(version), "unwritable_money", detail))
    })?;
    let verdict = money.verdict.as_str();
    Ok(Row { decoded, verdict, breakdown })
}

/// Postgres keeps no NUL in text, and an index entry must stay small.
fn storable(text: &str) -> bool {
    text.len() <= 500 && !text.contains('\0')
}

impl Refused {
    fn new(
        raw: RawOrder,
        order_id: Option<String>,
        version: Option<i64>,
        reason: &'static str,
        detail: String,
    ) -> Self {
        let raw = raw.into_bytes();
        let raw_hash = hash_without_flag(&raw);
        Self { order_id, version, raw, raw_hash, reason, detail }
    }
}

/// SHA-256 of an order that need not be JSON, without the word behind `"latestVersion":`: the platform decides that
/// anew for each answer, and the same order read again is one case.
fn hash_without_flag(raw: &[u8]) -> [u8; 32] {
    const FLAG: &[u8] = br#""latestVersion""#;
    let Some(start) = raw.windows(FLAG.len()).position(|part| part == FLAG) else { return Sha256::digest(raw).into() };
    let (before, after) = raw.split_at(start + FLAG.len());
    let value = after.iter().position(|byte| !b" \t\r\n:".contains(byte)).unwrap_or(after.len());
    let (colon, after) = after.split_at(value);
    let rest = [&b"true"[..], b"false"].iter().find_map(|word| after.strip_prefix(*word)).unwrap_or(after);
    Sha256::new().chain_update(before).chain_update(colon).chain_update(rest).finalize().into()
}

impl Row {
    pub fn order_id(&self) -> &str {
        self.decoded.order.id.as_str()
    }

    pub fn version(&self) -> i64 {
        self.decoded.order.version.0
    }

    /// The same version with another content than the one that is kept. As a case it is known by that content, as in
    /// the store.
    fn conflict(&self) -> Refused {
        let detail = "this version was received before with another content".to_owned();
        let (hash, version) = (self.decoded.content_hash.0, self.decoded.order.version.0);
        let raw_hash = Sha256::new().chain_update(hash).chain_update(version.to_be_bytes()).finalize().into();
        Refused { raw_hash, ..self.refuse("version_conflict", detail) }
    }

    /// The same order as one for the quarantine: the database would not take it.
    pub fn refuse(&self, reason: &'static str, detail: String) -> Refused {
        let raw = RawOrder::new(bytes::Bytes::copy_from_slice(self.decoded.payload.as_str().as_bytes()));
        let order = &self.decoded.order;
        Refused::new(raw, Some(order.id.to_string()), Some(order.version.0), reason, detail)
    }
}

/// Status texts that nobody documented, for an alert each.
pub fn unknown_statuses(pages: &[DecodedPage]) -> impl Iterator<Item = &str> {
    pages.iter().flat_map(|page| &page.rows).filter_map(|row| match &row.decoded.order.status {
        Status::Other(text) => Some(text.as_ref()),
        Status::Placed | Status::Accepted | Status::Rejected | Status::Cancelled => None,
    })
}

impl Row {
    /// The order, and the verdict on its money.
    pub fn told(&self) -> (&Order, &'static str) {
        (&self.decoded.order, self.verdict)
    }
}

/// How often each verdict occurs.
pub fn verdicts(pages: &[DecodedPage]) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for row in pages.iter().flat_map(|page| &page.rows) {
        *counts.entry(row.verdict).or_default() += 1;
    }
    counts
}

/// Rows as columns. Of one (order, version) that comes twice only the first is kept; if the second says something else,
/// it is returned for the quarantine.
pub fn columns<'a>(rows: impl Iterator<Item = &'a Row>) -> (Versions<'a>, Vec<Refused>) {
    let mut v = Versions::default();
    let mut seen: HashMap<(&str, i64), &[u8; 32]> = HashMap::new();
    let mut conflicts = Vec::new();
    for row in rows {
        let order = &row.decoded.order;
        let hash = &row.decoded.content_hash.0;
        match seen.entry((order.id.as_str(), order.version.0)) {
            Entry::Occupied(first) => {
                if *first.get() != hash {
                    conflicts.push(row.conflict());
                }
                continue;
            }
            Entry::Vacant(free) => {
                free.insert(hash);
            }
        }
        v.order_ids.push(order.id.as_str());
        v.versions.push(order.version.0);
        v.statuses.push(order.status.as_str());
        v.vendor_ids.push(order.vendor_id.as_ref().map(super::super::domain::ids::VendorId::as_str));
        v.order_types.push(order.order_type.as_ref().map(super::super::domain::order::OrderType::as_str));
        v.placed_at.push(order.placed_at);
        v.totals_minor.push(order.total.map(|total| total.amount));
        v.currencies.push(order.total.as_ref().map(|total| total.currency.as_str()));
        v.content_hashes.push(hash.as_slice());
        v.verdicts.push(row.verdict);
        v.breakdowns.push(&row.breakdown);
        v.payloads.push(row.decoded.payload.as_str());
        v.castable.push(row.decoded.castable_to_jsonb);
    }
    (v, conflicts)
}

/// Refused orders as columns.
pub fn refused_columns<'a>(refused: impl Iterator<Item = &'a Refused>) -> Undecodable<'a> {
    let mut u = Undecodable::default();
    for bad in refused {
        u.order_ids.push(bad.order_id.as_deref());
        u.versions.push(bad.version);
        u.raw.push(&bad.raw);
        u.raw_hashes.push(bad.raw_hash.to_vec());
        u.reasons.push(bad.reason);
        u.details.push(&bad.detail);
    }
    u
}
