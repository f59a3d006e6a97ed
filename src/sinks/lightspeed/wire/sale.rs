//! Sales as they go out, field by field in a fixed order; and what is changed in one that was read.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::super::{amounts, config::Api};
use crate::domain::money::Money;

/// A sale's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Parked,
    /// It goes on, for instance on a customer's account.
    Pending,
    Closed,
    Voided,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Pending => "pending",
            Self::Closed => "closed",
            Self::Voided => "voided",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Parked, Self::Pending, Self::Closed, Self::Voided].into_iter().find(|state| state.as_str() == text)
    }

    /// Source: Lightspeed, "Sales states and attributes".
    pub fn of_status(status: &str) -> Option<Self> {
        Some(match status {
            "SAVED" => Self::Parked,
            "OPEN" | "ONACCOUNT" | "LAYBY" | "AWAITING_DISPATCH" | "AWAITING_PICKUP" => Self::Pending,
            "CLOSED" | "ONACCOUNT_CLOSED" | "LAYBY_CLOSED" | "DISPATCHED_CLOSED" | "PICKED_UP_CLOSED" => Self::Closed,
            "VOIDED" => Self::Voided,
            _ => return None,
        })
    }
}

/// How amounts are written. Source: Lightspeed, "Sales 101": text; "2026-07 Sales API": numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amounts {
    Text,
    Numbers,
}

/// A sale as it is to stand there, whatever the dialect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaleBody {
    pub id: String,
    pub register_id: String,
    pub author_id: String,
    pub order_id: String,
    pub state: State,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    pub date: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<String>,
    pub invoice_number: String,
    pub note: String,
    pub lines: Vec<LineBody>,
    pub payments: Vec<PaymentBody>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineBody {
    /// Of the line that is changed by it. None: it is a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub product_id: String,
    pub quantity: i64,
    /// Of one unit without tax, decimal text.
    pub price: String,
    pub tax_id: String,
    /// Of one unit, decimal text.
    pub tax: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentBody {
    /// Of the payment that stays. None: it is a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub type_id: String,
    /// Decimal text.
    pub amount: String,
}

impl PaymentBody {
    pub fn new(type_id: &str, amount: Money) -> Self {
        Self { id: None, type_id: type_id.to_owned(), amount: amount.to_decimal() }
    }
}

/// Decimal text as it is, or as a number that never was a float.
struct Amount<'a>(&'a str, Amounts);

impl Serialize for Amount<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.1 {
            Amounts::Text => serializer.serialize_str(self.0),
            Amounts::Numbers => {
                RawValue::from_string(self.0.to_owned()).map_err(serde::ser::Error::custom)?.serialize(serializer)
            }
        }
    }
}

#[derive(Serialize)]
struct LineNote<'a> {
    name: &'static str,
    value: &'a str,
}

impl LineNote<'_> {
    fn of(note: Option<&String>) -> Vec<LineNote<'_>> {
        note.iter().map(|note| LineNote { name: "line_note", value: note }).collect()
    }
}

/// The whole body of a sale.
pub fn body(sale: &SaleBody, api: Api, amounts: Amounts) -> String {
    match api {
        Api::Dated { .. } => serde_json::to_string(&Dated::of(sale, amounts)),
        Api::Legacy => serde_json::to_string(&Legacy::of(sale, amounts)),
    }
    .expect("plain data")
}

#[derive(Serialize)]
struct Dated<'a> {
    id: &'a str,
    source: DatedSource<'a>,
    state: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attributes: &'a [String],
    date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<&'a str>,
    invoice_number: &'a str,
    note: &'a str,
    line_items: Vec<DatedLine<'a>>,
    payments: Vec<DatedPayment<'a>>,
}

#[derive(Serialize)]
struct DatedSource<'a> {
    author_id: &'a str,
    register_id: &'a str,
    #[serde(rename = "type")]
    system: &'static str,
    id: &'a str,
}

#[derive(Serialize)]
struct DatedLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    product: Id<'a>,
    quantity: i64,
    pricing: Pricing<'a>,
    tax: DatedTax<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<LineNote<'a>>,
    #[serde(rename = "_metadata")]
    metadata: LineMetadata,
}

#[derive(Serialize)]
struct Id<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Pricing<'a> {
    price: Amount<'a>,
}

#[derive(Serialize)]
struct DatedTax<'a> {
    id: &'a str,
    amount: Amount<'a>,
}

#[derive(Serialize)]
struct LineMetadata {
    /// Or a reload would price the line anew.
    is_price_override: bool,
    sequence: usize,
}

#[derive(Serialize)]
struct DatedPayment<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    amount: Amount<'a>,
    #[serde(rename = "type")]
    payment_type: ConfigId<'a>,
}

#[derive(Serialize)]
struct ConfigId<'a> {
    config_id: &'a str,
}

/// The outside system that sales are said to be from.
const SYSTEM: &str = "Scoffable";

impl<'a> Dated<'a> {
    fn of(sale: &'a SaleBody, amounts: Amounts) -> Self {
        let line = |(sequence, line): (usize, &'a LineBody)| DatedLine {
            id: line.id.as_deref(),
            product: Id { id: &line.product_id },
            quantity: line.quantity,
            pricing: Pricing { price: Amount(&line.price, amounts) },
            tax: DatedTax { id: &line.tax_id, amount: Amount(&line.tax, amounts) },
            attributes: LineNote::of(line.note.as_ref()),
            metadata: LineMetadata { is_price_override: true, sequence },
        };
        Self {
            id: &sale.id,
            source: DatedSource {
                author_id: &sale.author_id,
                register_id: &sale.register_id,
                system: SYSTEM,
                id: &sale.order_id,
            },
            state: sale.state.as_str(),
            attributes: &sale.attributes,
            date: sale.date.to_rfc3339_opts(SecondsFormat::Secs, true),
            customer_id: sale.customer_id.as_deref(),
            invoice_number: &sale.invoice_number,
            note: &sale.note,
            line_items: sale.lines.iter().enumerate().map(line).collect(),
            payments: sale.payments.iter().map(|payment| DatedPayment::of(payment, amounts)).collect(),
        }
    }
}

impl<'a> DatedPayment<'a> {
    fn of(payment: &'a PaymentBody, amounts: Amounts) -> Self {
        Self {
            id: payment.id.as_deref(),
            amount: Amount(&payment.amount, amounts),
            payment_type: ConfigId { config_id: &payment.type_id },
        }
    }
}

#[derive(Serialize)]
struct Legacy<'a> {
    id: &'a str,
    register_id: &'a str,
    user_id: &'a str,
    source: &'static str,
    source_id: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    register_sale_attributes: &'a [String],
    sale_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_id: Option<&'a str>,
    invoice_number: &'a str,
    note: &'a str,
    register_sale_products: Vec<LegacyLine<'a>>,
    register_sale_payments: Vec<LegacyPayment<'a>>,
}

#[derive(Serialize)]
struct LegacyLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    product_id: &'a str,
    quantity: i64,
    price: Amount<'a>,
    tax: Amount<'a>,
    tax_id: &'a str,
    /// As `is_price_override`.
    price_set: u8,
    sequence: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<LineNote<'a>>,
}

#[derive(Serialize)]
struct LegacyPayment<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    retailer_payment_type_id: &'a str,
    payment_date: String,
    amount: Amount<'a>,
    register_id: &'a str,
}

impl<'a> Legacy<'a> {
    fn of(sale: &'a SaleBody, amounts: Amounts) -> Self {
        let line = |(sequence, line): (usize, &'a LineBody)| LegacyLine {
            id: line.id.as_deref(),
            product_id: &line.product_id,
            quantity: line.quantity,
            price: Amount(&line.price, amounts),
            tax: Amount(&line.tax, amounts),
            tax_id: &line.tax_id,
            price_set: 1,
            sequence,
            attributes: LineNote::of(line.note.as_ref()),
        };
        let at = Place { register_id: &sale.register_id, date: sale.date };
        Self {
            id: &sale.id,
            register_id: &sale.register_id,
            user_id: &sale.author_id,
            source: SYSTEM,
            source_id: &sale.order_id,
            state: sale.state.as_str(),
            register_sale_attributes: &sale.attributes,
            sale_date: legacy_date(sale.date),
            customer_id: sale.customer_id.as_deref(),
            invoice_number: &sale.invoice_number,
            note: &sale.note,
            register_sale_products: sale.lines.iter().enumerate().map(line).collect(),
            register_sale_payments: sale.payments.iter().map(|one| LegacyPayment::of(one, at, amounts)).collect(),
        }
    }
}

/// Where and when a payment is taken, which the legacy dialect says of each.
#[derive(Clone, Copy)]
struct Place<'a> {
    register_id: &'a str,
    date: DateTime<Utc>,
}

impl<'a> LegacyPayment<'a> {
    fn of(payment: &'a PaymentBody, at: Place<'a>, amounts: Amounts) -> Self {
        Self {
            id: payment.id.as_deref(),
            retailer_payment_type_id: &payment.type_id,
            payment_date: legacy_date(at.date),
            amount: Amount(&payment.amount, amounts),
            register_id: at.register_id,
        }
    }
}

/// Source: Lightspeed, "Sales migration guide": UTC without saying so.
fn legacy_date(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// One level of an object, in its order. What is not touched stays word for word, so that no number is ever read.
struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    fn read(whole: &RawValue) -> Option<Self> {
        struct Entries;
        impl<'de> serde::de::Visitor<'de> for Entries {
            type Value = Vec<(String, Box<RawValue>)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        let mut json = serde_json::Deserializer::from_str(whole.get());
        serde::Deserializer::deserialize_map(&mut json, Entries).ok().map(Self)
    }

    fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }

    fn set(&mut self, key: &str, value: &impl Serialize) {
        let value = serde_json::value::to_raw_value(value).expect("plain data");
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// What is not part of a sale that is written, as totals, is not written. `author_id` is for one that names no user.
    fn for_writing(mut self, api: Api, author_id: &str) -> Self {
        /// Source: Lightspeed, "2026-07 Sales API", the body of a sale.
        const WRITTEN: [&str; 11] = [
            "id",
            "source",
            "state",
            "attributes",
            "date",
            "customer_id",
            "invoice_number",
            "note",
            "short_code",
            "line_items",
            "payments",
        ];
        if matches!(api, Api::Dated { .. }) {
            self.0.retain(|(name, _)| WRITTEN.contains(&name.as_str()));
            self.name_author(author_id);
        }
        self
    }

    /// Source: Lightspeed, "2026-07 Sales API": the user is shown as an object, and has to be written as an id.
    fn name_author(&mut self, otherwise: &str) {
        #[derive(Deserialize)]
        struct Author {
            id: String,
        }
        let Some(mut source) = self.get("source").and_then(Self::read) else { return };
        if source.get("author_id").is_none() {
            let shown = source.get("author").and_then(|author| serde_json::from_str::<Author>(author.get()).ok());
            source.set("author_id", &shown.as_ref().map_or(otherwise, |author| &author.id));
            self.set("source", &source);
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn written(object: Object, api: Api, author_id: &str) -> String {
    serde_json::to_string(&object.for_writing(api, author_id)).expect("plain data")
}

/// A sale that was read, taken back. None: it cannot be read.
///
/// Source: vend/vend-cli: in the legacy dialect the whole sale goes back with another status.
pub fn voided(whole: &RawValue, api: Api, author_id: &str) -> Option<String> {
    let mut object = Object::read(whole)?;
    match api {
        Api::Dated { .. } => object.set("state", &State::Voided.as_str()),
        Api::Legacy => {
            object.set("status", &"VOIDED");
            if object.get("state").is_some() {
                object.set("state", &State::Voided.as_str());
            }
        }
    }
    Some(written(object, api, author_id))
}

/// A sale with the ids of the lines and payments that it changes, so that they are not made a second time: lines by their
/// place, payments by type and amount. What stands there beyond that is left out, and goes.
///
/// Assumed: a sale that is put replaces lines and payments, as the legacy dialect does ("Sales: editing sales").
pub fn changing(mut sale: SaleBody, whole: &RawValue, api: Api) -> Option<SaleBody> {
    #[derive(Deserialize)]
    struct WithId {
        id: Option<String>,
    }
    let object = Object::read(whole)?;
    let list = |key| object.get(key).and_then(|list| serde_json::from_str::<Vec<Box<RawValue>>>(list.get()).ok());
    let (lines, payments) = match api {
        Api::Dated { .. } => ("line_items", "payments"),
        Api::Legacy => ("register_sale_products", "register_sale_payments"),
    };
    for (line, there) in sale.lines.iter_mut().zip(list(lines)?) {
        line.id = serde_json::from_str::<WithId>(there.get()).ok()?.id;
    }
    let mut there: Vec<SeenPayment> =
        list(payments).unwrap_or_default().iter().filter_map(|one| SeenPayment::of(one, api)).collect();
    for payment in &mut sale.payments {
        let amount = amounts::read(&payment.amount);
        let found = there.iter().position(|seen| seen.type_id == payment.type_id && Some(seen.amount) == amount);
        payment.id = found.and_then(|at| there.remove(at).id);
    }
    Some(sale)
}

struct SeenPayment {
    id: Option<String>,
    type_id: String,
    /// In hundred-thousandths.
    amount: i128,
}

impl SeenPayment {
    fn of(payment: &RawValue, api: Api) -> Option<Self> {
        #[derive(Deserialize)]
        struct Config {
            config_id: String,
        }
        #[derive(Deserialize)]
        struct DatedSeen {
            id: Option<String>,
            amount: super::Number,
            #[serde(rename = "type")]
            payment_type: Config,
        }
        #[derive(Deserialize)]
        struct LegacySeen {
            id: Option<String>,
            amount: super::Number,
            retailer_payment_type_id: String,
        }
        let (id, type_id, amount) = match api {
            Api::Dated { .. } => {
                let seen: DatedSeen = serde_json::from_str(payment.get()).ok()?;
                (seen.id, seen.payment_type.config_id, seen.amount)
            }
            Api::Legacy => {
                let seen: LegacySeen = serde_json::from_str(payment.get()).ok()?;
                (seen.id, seen.retailer_payment_type_id, seen.amount)
            }
        };
        Some(Self { id, type_id, amount: amounts::read(amount.as_str())? })
    }
}

/// The part of a line that a return gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenLine {
    product_id: String,
    /// In hundred-thousandths, without tax.
    price: i128,
}

impl SeenLine {
    fn of(line: &RawValue, api: Api) -> Option<Self> {
        #[derive(Deserialize)]
        struct DatedId {
            id: String,
        }
        #[derive(Deserialize)]
        struct DatedPrice {
            price: super::Number,
        }
        #[derive(Deserialize)]
        struct DatedSeen {
            product: DatedId,
            pricing: DatedPrice,
        }
        #[derive(Deserialize)]
        struct LegacySeen {
            product_id: String,
            price: super::Number,
        }
        let (product_id, price) = match api {
            Api::Dated { .. } => {
                let seen: DatedSeen = serde_json::from_str(line.get()).ok()?;
                (seen.product.id, seen.pricing.price)
            }
            Api::Legacy => {
                let seen: LegacySeen = serde_json::from_str(line.get()).ok()?;
                (seen.product_id, seen.price)
            }
        };
        Some(Self { product_id, price: amounts::read(price.as_str())? })
    }
}

/// A parked return, closed with only these lines, whose quantities are negative, and these payments. None: a line that is
/// to be given back is not on it, or it cannot be read.
pub fn finished_return(
    whole: &RawValue,
    lines: &[LineBody],
    payments: &[PaymentBody],
    written_as: WrittenAs<'_>,
) -> Option<String> {
    let WrittenAs { api, amounts: style, author_id, register_id, date } = written_as;
    let mut object = Object::read(whole)?;
    let key = match api {
        Api::Dated { .. } => "line_items",
        Api::Legacy => "register_sale_products",
    };
    let there: Vec<Box<RawValue>> = serde_json::from_str(object.get(key)?.get()).ok()?;
    let mut there: Vec<(SeenLine, Box<RawValue>)> =
        there.into_iter().filter_map(|line| Some((SeenLine::of(&line, api)?, line))).collect();
    let mut kept = Vec::new();
    for line in lines {
        let wanted = SeenLine { product_id: line.product_id.clone(), price: amounts::read(&line.price)? };
        let at = there.iter().position(|(seen, _)| *seen == wanted)?;
        let (_, found) = there.remove(at);
        let mut found = Object::read(&found)?;
        found.set("quantity", &line.quantity);
        kept.push(found);
    }
    object.set(key, &kept);
    match api {
        Api::Dated { .. } => {
            let payments: Vec<_> = payments.iter().map(|payment| DatedPayment::of(payment, style)).collect();
            object.set("payments", &payments);
            object.set("state", &State::Closed.as_str());
        }
        Api::Legacy => {
            let at = Place { register_id, date };
            let payments: Vec<_> = payments.iter().map(|payment| LegacyPayment::of(payment, at, style)).collect();
            object.set("register_sale_payments", &payments);
            object.set("status", &"CLOSED");
            if object.get("state").is_some() {
                object.set("state", &State::Closed.as_str());
            }
        }
    }
    Some(written(object, api, author_id))
}

/// How and where a return is written.
#[derive(Debug, Clone, Copy)]
pub struct WrittenAs<'a> {
    pub api: Api,
    pub amounts: Amounts,
    pub author_id: &'a str,
    pub register_id: &'a str,
    pub date: DateTime<Utc>,
}
