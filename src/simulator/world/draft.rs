//! One order as it stands at a moment, and its rendering as the JSON of one version.
//!
//! Source: Scoffable developer documentation 1.0.0, "Order", "OrderItem", "Understanding Orders", "Order Sync".
//! Assumed: everything the documentation leaves open (item totals of larger quantities, tenders after a refund, the
//! inside of an address) varies from order to order, so that no reader can rely on one answer.

use std::fmt::Write;

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

/// Which of the legal spellings an order uses. Fixed for the life of an order.
#[derive(Debug, Clone)]
pub struct Style {
    pub timestamps: Timestamps,
    pub quantities: Quantities,
    pub item_totals: ItemTotals,
    pub letters: Letters,
    pub shape: Shape,
    pub extras: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// Milliseconds since 1970.
    Millis,
    /// RFC 3339 with `Z`.
    Text,
    /// RFC 3339 with another offset.
    TextWithOffset,
    /// `placedAt` as a number, the others as text.
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantities {
    /// `quantityOrdered` and `quantityFulfilled`.
    Pair,
    /// `quantity` alone, where both would be equal.
    Single,
    /// All three, where both would be equal.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemTotals {
    Line,
    Unit,
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    Plain,
    /// Everything beyond ASCII is written as `\uXXXX`.
    Escaped,
    /// Names contain emoji and letters of other scripts.
    Colourful,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Usual,
    /// Properties in another order.
    Shuffled,
    /// `null` in every optional position.
    Nulls,
    /// Some amounts written as `1099.0`.
    Decimals,
    /// Item types and empty arrays are left out.
    Sparse,
}

#[derive(Debug, Clone)]
pub enum IdForm {
    Number(i64),
    Text(String),
}

impl IdForm {
    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Line {
    pub id: String,
    pub name: String,
    pub kind: &'static str,
    pub ordered: i64,
    pub fulfilled: i64,
    pub price: i64,
    pub options: Vec<(&'static str, &'static str, Option<i64>)>,
    pub substituted_by: Vec<String>,
    pub substituted_for: Vec<String>,
    pub related_adjustment: Option<String>,
    pub adjusts: Vec<String>,
}

impl Line {
    pub fn unit(&self) -> i64 {
        self.price + self.options.iter().filter_map(|(_, _, surcharge)| *surcharge).sum::<i64>()
    }

    pub fn supplied(&self) -> i64 {
        self.unit() * self.fulfilled
    }
}

#[derive(Debug, Clone)]
pub struct Tender {
    pub kind: &'static str,
    pub collector: &'static str,
    pub amount: i64,
}

#[derive(Debug, Clone)]
pub struct Delivery {
    pub provider: &'static str,
    pub address: Value,
    pub dispatched_at: Option<DateTime<Utc>>,
    pub delivered_at: Option<DateTime<Utc>>,
    pub returned_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
pub struct Draft {
    pub id: IdForm,
    pub vendor: String,
    pub currency: &'static str,
    pub status: &'static str,
    /// `collection`, `delivery`, or what nobody documents.
    pub kind: &'static str,
    pub placed_at: DateTime<Utc>,
    pub accepted_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
    pub delivery: Option<Delivery>,
    pub lines: Vec<Line>,
    pub tenders: Option<Vec<Tender>>,
    pub delivery_fee: Option<i64>,
    pub service_fee: Option<i64>,
    pub total: i64,
    pub style: Style,
    pub padding: String,
}

impl Draft {
    pub fn expected_total(&self) -> i64 {
        let supplied: i64 = self.lines.iter().map(Line::supplied).sum();
        supplied + self.delivery_fee.unwrap_or(0) + self.service_fee.unwrap_or(0)
    }

    /// The JSON of one version, with `"latestVersion":true` written exactly so.
    pub fn render(&self, version: i64) -> Vec<u8> {
        let mut fields: Vec<(&str, Value)> = vec![
            (
                "id",
                match &self.id {
                    IdForm::Number(number) => json!(number),
                    IdForm::Text(text) => json!(text),
                },
            ),
            ("version", json!(version)),
            ("latestVersion", json!(true)),
            ("vendorId", json!(self.vendor)),
            ("status", json!(self.status)),
            ("type", json!(self.kind)),
            ("placedAt", self.placed_at_value()),
        ];
        let delivery = self.delivery.as_ref();
        let instants = [
            ("acceptedAt", self.accepted_at),
            ("cancelledAt", self.cancelled_at),
            ("dispatchedAt", delivery.and_then(|d| d.dispatched_at)),
            ("deliveredAt", delivery.and_then(|d| d.delivered_at)),
            ("returnedAt", delivery.and_then(|d| d.returned_at)),
        ];
        for (name, at) in instants {
            self.optional(&mut fields, name, at.map(|at| self.instant(at)));
        }
        self.optional(&mut fields, "deliveryFee", self.delivery_fee.map(|fee| self.money(fee)));
        self.optional(&mut fields, "serviceFee", self.service_fee.map(|fee| self.money(fee)));
        fields.push(("total", self.money(self.total)));
        fields.push(("items", self.lines.iter().map(|line| self.line(line)).collect()));
        let tenders = self.tenders.as_ref().map(|tenders| tenders.iter().map(|t| self.tender(t)).collect());
        self.optional(&mut fields, "customerPayments", tenders);
        self.optional(&mut fields, "deliveryProvider", delivery.map(|d| json!(d.provider)));
        self.optional(&mut fields, "deliveryAddress", delivery.map(|d| d.address.clone()));
        if self.style.extras {
            fields.push(("channel", json!({"name": "app", "build": [4, 2, 1], "beta": false})));
            fields.push(("tableNumber", Value::Null));
        }
        if !self.padding.is_empty() {
            fields.push(("kitchenTrace", json!(self.padding)));
        }
        if self.style.shape == Shape::Shuffled {
            let turn = (version as usize * 5) % fields.len();
            fields.rotate_left(turn);
        }
        let mut text = String::with_capacity(2048 + self.padding.len());
        for (position, (name, value)) in fields.iter().enumerate() {
            text.push(if position == 0 { '{' } else { ',' });
            text.push('"');
            text.push_str(name);
            text.push_str("\":");
            text.push_str(&value.to_string());
        }
        text.push('}');
        match self.style.letters {
            Letters::Escaped => escape_beyond_ascii(&text).into_bytes(),
            Letters::Plain | Letters::Colourful => text.into_bytes(),
        }
    }

    fn optional<'a>(&self, fields: &mut Vec<(&'a str, Value)>, name: &'a str, value: Option<Value>) {
        match value {
            Some(value) => fields.push((name, value)),
            None if self.style.shape == Shape::Nulls => fields.push((name, Value::Null)),
            None => {}
        }
    }

    fn placed_at_value(&self) -> Value {
        if self.style.timestamps == Timestamps::Mixed {
            return json!(self.placed_at.timestamp_millis());
        }
        self.instant(self.placed_at)
    }

    fn instant(&self, at: DateTime<Utc>) -> Value {
        match self.style.timestamps {
            Timestamps::Millis => json!(at.timestamp_millis()),
            Timestamps::Text | Timestamps::Mixed => json!(at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Timestamps::TextWithOffset => {
                let offset = FixedOffset::east_opt(3600).expect("one hour is a valid offset");
                json!(at.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
        }
    }

    fn money(&self, amount: i64) -> Value {
        if self.style.shape == Shape::Decimals && amount % 2 == 0 {
            return json!({"amount": amount as f64, "currency": self.currency});
        }
        json!({"amount": amount, "currency": self.currency})
    }

    fn tender(&self, tender: &Tender) -> Value {
        json!({"type": tender.kind, "collectedBy": tender.collector, "payment": self.money(tender.amount)})
    }

    fn line(&self, line: &Line) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| {
            out.insert(name.to_owned(), value);
        };
        put("id", json!(line.id));
        put("name", json!(line.name));
        if self.style.shape != Shape::Sparse || line.kind != "product" {
            put("type", json!(line.kind));
        }
        let even = line.ordered == line.fulfilled;
        if !even || self.style.quantities != Quantities::Single {
            put("quantityOrdered", json!(line.ordered));
            put("quantityFulfilled", json!(line.fulfilled));
        }
        if even && self.style.quantities != Quantities::Pair {
            put("quantity", json!(line.ordered));
        }
        put("price", self.money(line.price));
        let times = if line.fulfilled == 0 { line.ordered } else { line.fulfilled };
        match self.style.item_totals {
            ItemTotals::Line => put("total", self.money(line.unit() * times)),
            ItemTotals::Unit => put("total", self.money(line.unit())),
            ItemTotals::Absent if self.style.shape == Shape::Nulls => put("total", Value::Null),
            ItemTotals::Absent => {}
        }
        if !line.options.is_empty() {
            let categories: Vec<Value> = line
                .options
                .iter()
                .map(|(category, name, surcharge)| {
                    let mut option = json!({ "name": name });
                    if let Some(surcharge) = surcharge {
                        option["optionPrice"] = self.money(*surcharge);
                    }
                    json!({"name": category, "selectedOptions": [option]})
                })
                .collect();
            put("optionCategories", Value::Array(categories));
        } else if self.style.shape == Shape::Nulls {
            put("optionCategories", Value::Null);
        } else if self.style.shape != Shape::Sparse {
            put("optionCategories", json!([]));
        }
        if !line.substituted_by.is_empty() || !line.substituted_for.is_empty() {
            let mut links = Map::new();
            if !line.substituted_by.is_empty() {
                links.insert("substitutedBy".to_owned(), json!(line.substituted_by));
            }
            if !line.substituted_for.is_empty() {
                links.insert("substitutedFor".to_owned(), json!(line.substituted_for));
            }
            put("substitutionDetails", Value::Object(links));
        } else if self.style.shape == Shape::Nulls {
            put("substitutionDetails", Value::Null);
        }
        if let Some(adjustment) = &line.related_adjustment {
            put("priceAdjustmentDetails", json!({ "relatedPriceAdjustment": adjustment }));
        } else if !line.adjusts.is_empty() {
            put("priceAdjustmentDetails", json!({ "itemsAdjusted": line.adjusts }));
        }
        if self.style.extras {
            put("prepStation", json!("hot"));
        }
        Value::Object(out)
    }
}

fn escape_beyond_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("writing to a text does not fail");
        }
    }
    out
}
