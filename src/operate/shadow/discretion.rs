//! What of a document may be told, and what only by its place.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Duration, NaiveDate, Utc};

use super::{Personal, Side, Told};
use crate::{
    delivery::shadow::{CONTENT, MONEY, STEP},
    domain::differences::{Difference, leaves},
    sinks::links::ProductCopy,
    source::{self, SourceKind},
    store::shadow::Past,
};

/// In place of what may be personal.
const MASKED: &str = "\"…\"";
/// How far a day may lie from that of the order to be one of its own.
const NEAR_DAYS: i64 = 60;

/// Tells what may be told of a document. What comes from settings, from the copy of the destination's products or from what
/// we decode of an order is nobody's; of anything else only its place is told.
pub(super) struct Discretion {
    personal: Personal,
    known: HashSet<String>,
}

impl Discretion {
    pub(super) fn of<'a>(personal: Personal, sides: impl Iterator<Item = Side<'a>>, products: &ProductCopy) -> Self {
        let mut known = HashSet::new();
        for side in sides {
            // Its secrets are not in it.
            let text = serde_json::to_string(side.settings).unwrap_or_default();
            known.extend(leaves(&text).into_iter().map(str::to_owned));
        }
        let ids = products.names.keys().chain(products.names.values()).chain(products.linked.values());
        known.extend(ids.filter_map(|text| serde_json::to_string(text).ok()));
        Self { personal, known }
    }

    /// Each difference of an order once.
    pub(super) fn told(&self, differences: Vec<Difference>, past: &Past) -> BTreeSet<Told> {
        if differences.is_empty() {
            return BTreeSet::new();
        }
        let of_order = OfOrder::read(past);
        let told = |leaf: Option<String>, path: &str| {
            leaf.map(|leaf| {
                let is_ours = [MONEY, STEP, CONTENT].contains(&path);
                let may_be_told = self.personal == Personal::Told || is_ours || self.is_nobodys(&leaf, &of_order);
                if may_be_told { leaf } else { MASKED.to_owned() }
            })
        };
        let each = differences.into_iter().map(|one| {
            let (from, to) = (told(one.from, &one.path), told(one.to, &one.path));
            (one.path, from, to)
        });
        each.collect()
    }

    fn is_nobodys(&self, leaf: &str, order: &OfOrder) -> bool {
        match leaf.as_bytes().first() {
            Some(b'"') => {
                self.known.contains(leaf) || order.decoded.contains(leaf) || is_amount(leaf) || is_near(leaf, order.at)
            }
            // One that was computed; what the payload has besides may be where somebody lives.
            Some(b'-' | b'0'..=b'9') => order.decoded.contains(leaf) || !order.received.contains(leaf),
            Some(b'{' | b'[') => leaf.len() == 2,
            _ => true,
        }
    }
}

/// The leaves of an order: what of it we decode, and all that was received.
struct OfOrder {
    at: DateTime<Utc>,
    decoded: HashSet<String>,
    received: HashSet<String>,
}

impl OfOrder {
    fn read(past: &Past) -> Self {
        let owned = |text: &str| leaves(text).into_iter().map(str::to_owned).collect();
        let payload = past.snapshot.payload.as_deref().unwrap_or_default();
        let kind = SourceKind::parse(&past.snapshot.source_kind);
        let order = kind.and_then(|kind| source::decode_stored(kind, payload).ok());
        let decoded = order.and_then(|order| serde_json::to_string(&order).ok()).unwrap_or_default();
        Self { at: past.at, decoded: owned(&decoded), received: owned(payload) }
    }
}

/// Decimal text, as `"9.12500"`.
fn is_amount(leaf: &str) -> bool {
    let Some((whole, parts)) = leaf.trim_matches('"').split_once('.') else { return false };
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number(whole) && is_number(parts) && whole.len() <= 12 && parts.len() <= 9
}

/// A day or moment about when the order was placed.
fn is_near(leaf: &str, at: DateTime<Utc>) -> bool {
    let text = leaf.trim_matches('"');
    let day = text.parse::<NaiveDate>().ok().or_else(|| Some(text.parse::<DateTime<Utc>>().ok()?.date_naive()));
    day.is_some_and(|day| (day - at.date_naive()).abs() <= Duration::days(NEAR_DAYS))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::past, *};

    fn told(leaf: &str) -> String {
        let payload = r#"{"id":5500017,"version":1,"status":"accepted","vendorId":"vendor-a",
            "customer":{"name":"Ada Lovelace","phone":"07700900123","lat":51.5072,"born":"1815-12-10"}}"#;
        let discretion = Discretion { personal: Personal::Masked, known: HashSet::from(["\"200\"".to_owned()]) };
        let difference = Difference { path: "/x".to_owned(), from: None, to: Some(leaf.to_owned()) };
        let told = discretion.told(vec![difference], &past(payload));
        told.into_iter().next().unwrap().2.unwrap()
    }

    #[test]
    fn what_settings_or_the_decoded_order_say_and_what_was_computed_is_told() {
        for leaf in ["\"200\"", "\"vendor-a\"", "\"9.12500\"", "\"2026-03-02\"", "912", "true", "null", "[]"] {
            assert_eq!(told(leaf), leaf);
        }
    }

    #[test]
    fn what_only_the_payload_says_is_masked_and_so_is_what_it_was_made_into() {
        for leaf in ["\"Ada Lovelace\"", "\"Ada\"", "\"+447700900123\"", "51.5072", "\"1815-12-10\"", "\"777\""] {
            assert_eq!(told(leaf), MASKED, "{leaf}");
        }
    }
}
