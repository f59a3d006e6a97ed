//! What is sent and read. Amounts are integers in cents, names as far as they are known.
//!
//! Source: SpotOn, Orders Overview, for states, schedule, tender and what must be there. Assumed: the names below the top
//! level, from two public clients of the API. All that is assumed about the form stands in this file, [`super::config`]
//! and [`super::client`], so that the partner reference can correct it without touching the mapping.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::config::{EnumStyle, Envelope};

/// Body of a submit.
#[derive(Debug, Clone, Serialize)]
pub struct Order {
    pub external_reference_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_id: Option<String>,
    pub location_id: String,
    pub menu_id: String,
    /// The only state that a submit takes: paid.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<String>,
    pub source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
    pub fulfillment: Fulfillment,
    pub line_items: Vec<Line>,
    pub discounts: Vec<Extra>,
    pub fees: Vec<Extra>,
    pub payments: Vec<Payment>,
    pub totals: Totals,
}

#[derive(Debug, Clone, Serialize)]
pub struct Source {
    pub name: String,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Customer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Like `+14155550100`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

/// Shows nothing of whom.
impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Customer([redacted])")
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Fulfillment {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `ASAP`, or `SCHEDULED` with the one time that belongs to the kind.
    pub schedule_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_ready_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_delivery_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_address: Option<Address>,
}

/// Assumed: named as in a location's own record.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    pub address_line_1: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_line_2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// Shows nothing of where.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address([redacted])")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Unique in the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_id: Option<String>,
    pub item_id: String,
    pub name: String,
    /// 1 or more.
    pub quantity: i64,
    /// Of one unit, without modifiers.
    pub price: i64,
    pub modifiers: Vec<Modifier>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Modifier {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub name: String,
    /// Per unit of the line.
    pub quantity: i64,
    pub price: i64,
}

/// A discount or a fee; positive either way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Extra {
    pub name: String,
    pub amount: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payment {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Name of the tender in the merchant's reports.
    pub provider_name: String,
    pub amount: i64,
}

/// Paid elsewhere. Source: SpotOn, Orders Overview.
pub const EXTERNAL: &str = "EXTERNAL";
pub const ASAP: &str = "ASAP";
pub const SCHEDULED: &str = "SCHEDULED";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub subtotal: i64,
    pub discounts_total: i64,
    pub fees_total: i64,
    pub tax_total: i64,
    pub tip_total: i64,
    pub grand_total: i64,
}

/// How the goods reach the customer; dine-in never comes from the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Pickup,
    Delivery,
}

impl EnumStyle {
    pub fn closed(self) -> &'static str {
        match self {
            Self::Prefixed => "ORDER_STATE_CLOSED",
            Self::Short => "CLOSED",
        }
    }

    pub fn kind(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Prefixed, Kind::Pickup) => "FULFILLMENT_TYPE_PICKUP",
            (Self::Prefixed, Kind::Delivery) => "FULFILLMENT_TYPE_DELIVERY",
            (Self::Short, Kind::Pickup) => "PICKUP",
            (Self::Short, Kind::Delivery) => "DELIVERY",
        }
    }
}

impl Order {
    pub fn written(&self, envelope: Envelope) -> String {
        #[derive(Serialize)]
        struct Wrapped<'a> {
            order: &'a Order,
        }
        let written = match envelope {
            Envelope::Bare => serde_json::to_string(self),
            Envelope::Order => serde_json::to_string(&Wrapped { order: self }),
        };
        written.expect("plain data")
    }

    /// The rule of the wire that this order breaks, if any. Nothing goes out that breaks one.
    pub fn broken_rule(&self) -> Option<&'static str> {
        let of_line = |line: &Line| {
            let modifiers: i128 = line.modifiers.iter().map(|m| i128::from(m.quantity) * i128::from(m.price)).sum();
            i128::from(line.quantity) * (i128::from(line.price) + modifiers)
        };
        let sum = |extras: &[Extra]| -> i128 { extras.iter().map(|extra| i128::from(extra.amount)).sum() };
        let Totals { subtotal, discounts_total, fees_total, tax_total, tip_total, grand_total } = self.totals;
        let wide = i128::from;
        let prices = self.line_items.iter().flat_map(|line| {
            let modifiers = line.modifiers.iter().flat_map(|modifier| [modifier.price, modifier.quantity - 1]);
            modifiers.chain([line.price, line.quantity - 1])
        });
        let amounts = self.discounts.iter().chain(&self.fees).map(|extra| extra.amount - 1);
        let payments = self.payments.iter().map(|payment| payment.amount);
        let totals = [subtotal, discounts_total, fees_total, tax_total, tip_total, grand_total];
        let rules = [
            (!self.line_items.is_empty(), "there is no line"),
            (prices.chain(amounts).chain(payments).chain(totals).all(|n| n >= 0), "an amount is negative or missing"),
            (self.line_items.iter().map(of_line).sum::<i128>() == wide(subtotal), "the lines are not the subtotal"),
            (sum(&self.discounts) == wide(discounts_total), "the discounts are not their total"),
            (sum(&self.fees) == wide(fees_total), "the fees are not their total"),
            (discounts_total <= subtotal, "the discounts exceed the subtotal"),
            (
                wide(subtotal) - wide(discounts_total) + wide(fees_total) + wide(tax_total) + wide(tip_total)
                    == wide(grand_total),
                "the totals are not the grand total",
            ),
            (
                self.payments.iter().map(|payment| wide(payment.amount)).sum::<i128>() == wide(grand_total),
                "the payments are not the grand total",
            ),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule)
    }
}

/// As the wire writes an instant.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// An order as it is answered or reported: wrapped or bare, numbers also as text, enumerations in either spelling.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'v>(&'v Value);

/// Whether a record says that the order was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenState {
    Standing,
    Canceled,
    /// It does not say. The one report that was ever published has no state.
    Untold,
}

impl<'v> Seen<'v> {
    /// Of an answer: `{"order": {…}}` or the order itself.
    pub fn answered(answer: &'v Value) -> Self {
        Self(answer.get("order").filter(|order| order.is_object()).unwrap_or(answer))
    }

    /// Of a list.
    pub fn listed(record: &'v Value) -> Self {
        Self(record)
    }

    pub fn id(self) -> Option<String> {
        match self.0.get("id")? {
            Value::String(id) => Some(id.trim().to_owned()).filter(|id| is_id(id)),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        }
    }

    pub fn text(self, pointer: &str) -> Option<&'v str> {
        self.0.pointer(pointer).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    /// Cents; none where it is not told.
    pub fn cents(self, pointer: &str) -> Option<i64> {
        integer(self.0.pointer(pointer)?)
    }

    /// `0001-01-01T00:00:00Z` means that there is no time.
    pub fn at(self, pointer: &str) -> Option<DateTime<Utc>> {
        let at = DateTime::parse_from_rfc3339(self.text(pointer)?).ok()?.to_utc();
        (at.timestamp() > 0).then_some(at)
    }

    pub fn state(self) -> SeenState {
        let short = |text: &'v str| text.strip_prefix("ORDER_STATE_").unwrap_or(text);
        let told = self.text("/state").map(short).or_else(|| self.text("/fulfillment/status"));
        match told {
            Some("CANCELED") => SeenState::Canceled,
            Some(_) if self.text("/fulfillment/status") == Some("CANCELED") => SeenState::Canceled,
            Some(_) => SeenState::Standing,
            None => self.by_payments(),
        }
    }

    /// Where only voided payments tell. Source: the schema of a report in a public client.
    fn by_payments(self) -> SeenState {
        let payments = self.0.get("payments").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_void = |payment: &Value| payment.get("is_void").and_then(Value::as_bool);
        if !payments.is_empty() && payments.iter().all(|payment| is_void(payment) == Some(true)) {
            return SeenState::Canceled;
        }
        SeenState::Untold
    }

    /// Name of the source: a text in a report, an object in an answer.
    pub fn source(self) -> Option<&'v str> {
        self.text("/source").or_else(|| self.text("/source/name"))
    }

    pub fn n_lines(self) -> Option<usize> {
        self.0.get("line_items").and_then(Value::as_array).map(Vec::len)
    }

    /// Whether any text of the record is exactly this one.
    pub fn holds(self, text: &str) -> bool {
        fn holds(value: &Value, text: &str) -> bool {
            match value {
                Value::String(found) => found.trim() == text,
                Value::Array(values) => values.iter().any(|value| holds(value, text)),
                Value::Object(fields) => fields.values().any(|value| holds(value, text)),
                _ => false,
            }
        }
        holds(self.0, text)
    }

    /// Whether the record has a place for our reference, and says something else there or nothing.
    pub fn has_reference(self) -> bool {
        self.0.get("external_reference_id").is_some()
    }
}

/// What can go into a path and a database as it is.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 200 && !id.chars().any(char::is_control)
}

/// A whole number, also as text.
pub fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The elements of a list, and how many pages it has.
pub fn list(mut answer: Value, name: &str) -> Option<(Vec<Value>, u64)> {
    let pages = answer.pointer("/pagination/total_pages").and_then(integer).unwrap_or(1);
    let elements = match answer.get_mut(name).map(Value::take) {
        // An empty list may be left out.
        None if answer.is_object() => Vec::new(),
        Some(Value::Array(elements)) => elements,
        _ => return None,
    };
    Some((elements, u64::try_from(pages).unwrap_or(1).max(1)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_read_bare_and_wrapped_and_in_both_spellings() {
        let bare = json!({
            "id": "ord-1", "state": "CLOSED", "totals": {"grand_total": 2839},
            "fulfillment": {"estimated_ready_at": "2026-03-14T18:31:00Z"},
        });
        let wrapped = json!({ "order": {
            "id": "ord-1", "state": "ORDER_STATE_CLOSED", "totals": {"grand_total": "2839"},
            "fulfillment": {"estimated_ready_at": "2026-03-14T18:31:00Z", "estimated_delivery_at": "0001-01-01T00:00:00Z"},
        }});

        for answer in [&bare, &wrapped] {
            let seen = Seen::answered(answer);
            assert_eq!(seen.id().as_deref(), Some("ord-1"));
            assert_eq!((seen.state(), seen.cents("/totals/grand_total")), (SeenState::Standing, Some(2839)));
            assert!(seen.at("/fulfillment/estimated_ready_at").is_some());
            assert_eq!(seen.at("/fulfillment/estimated_delivery_at"), None);
        }
    }

    #[test]
    fn what_is_not_told_is_none_and_an_empty_id_is_no_id() {
        for answer in [json!({}), json!({"id": ""}), json!({"id": null}), json!([]), json!({"order": {"id": " "}})] {
            assert_eq!(Seen::answered(&answer).id(), None, "{answer}");
        }
        assert_eq!(Seen::answered(&json!({"totals": {"grand_total": "12.5"}})).cents("/totals/grand_total"), None);
        assert_eq!(Seen::answered(&json!({"id": 77})).id().as_deref(), Some("77"));
    }

    #[test]
    fn a_cancelled_order_is_known_by_its_state_its_fulfilment_or_its_voided_payments() {
        let state = |record: Value| Seen::listed(&record).state();

        assert_eq!(state(json!({"state": "ORDER_STATE_CANCELED"})), SeenState::Canceled);
        assert_eq!(state(json!({"state": "CANCELED"})), SeenState::Canceled);
        assert_eq!(state(json!({"state": "CLOSED", "fulfillment": {"status": "CANCELED"}})), SeenState::Canceled);
        assert_eq!(state(json!({"payments": [{"is_void": true}, {"is_void": true}]})), SeenState::Canceled);
        assert_eq!(state(json!({"payments": [{"is_void": true}, {"is_void": false}]})), SeenState::Untold);
        assert_eq!(state(json!({"payments": []})), SeenState::Untold);
        assert_eq!(state(json!({"state": "CLOSED"})), SeenState::Standing);
    }

    #[test]
    fn a_reference_is_found_in_any_text_and_only_as_a_whole() {
        let record = json!({"id": "x", "notes": [{"text": " scoffable-71-1 "}]});

        assert!(Seen::listed(&record).holds("scoffable-71-1"));
        assert!(!Seen::listed(&record).holds("scoffable-71-12"));
        assert!(!Seen::listed(&json!({"note": "scoffable-71-12"})).holds("scoffable-71-1"));
    }

    #[test]
    fn a_list_says_how_many_pages_it_has_also_as_text() {
        let (orders, pages) = list(json!({"orders": [1, 2], "pagination": {"total_pages": "3"}}), "orders").unwrap();
        assert_eq!((orders.len(), pages), (2, 3));
        assert_eq!(list(json!({"pagination": {"total_pages": 0}}), "orders").unwrap(), (vec![], 1));
        assert!(list(json!({"orders": "none"}), "orders").is_none());
        assert!(list(json!("down for maintenance"), "orders").is_none());
    }
}
