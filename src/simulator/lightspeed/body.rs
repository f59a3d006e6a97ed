//! The bodies of writes, read as strictly as a server may: a member nobody knows is refused with the whole request. What is
//! only ever read may be there, as it is when an answer is sent back, and changes nothing. `null` counts as left out.
//!
//! Source: the sales tutorial and the migration guide of the date-versioned API, "Editing sales", and the 2.0 description,
//! `CustomerBase` and `ProductCreateBody`.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    amount::{Fine, Number},
    rules::MoneyStyle,
    store::{Attribute, State},
};

/// A sale in either dialect.
#[derive(Debug, Clone, Default)]
pub(super) struct SaleBody {
    pub id: Option<String>,
    pub author_id: Option<String>,
    pub register_id: Option<String>,
    pub source_type: Option<String>,
    pub source_id: Option<String>,
    /// What it is to be; where it names two, one of them is what it was.
    pub states: Vec<State>,
    pub attributes: Option<Vec<Attribute>>,
    pub date: Option<DateTime<Utc>>,
    pub customer_id: Option<String>,
    pub invoice_number: Option<String>,
    pub note: Option<String>,
    pub short_code: Option<String>,
    pub lines: Option<Vec<LineBody>>,
    pub payments: Option<Vec<PaymentBody>>,
}

#[derive(Debug, Clone)]
pub(super) struct LineBody {
    pub id: Option<String>,
    pub product_id: String,
    pub quantity: Fine,
    pub price: Fine,
    pub tax_id: String,
    pub tax: Fine,
    pub cost: Fine,
    pub discount: Fine,
    pub loyalty: Fine,
    pub note: Option<String>,
    pub is_price_set: bool,
    pub sequence: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct PaymentBody {
    pub id: Option<String>,
    pub type_id: String,
    pub amount: Fine,
    pub date: Option<DateTime<Utc>>,
    pub register_id: Option<String>,
}

/// Why a body cannot be read.
pub(super) type Unreadable = String;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedSale {
    id: Option<String>,
    source: Option<DatedSource>,
    state: Option<String>,
    attributes: Option<Vec<String>>,
    date: Option<String>,
    customer_id: Option<String>,
    invoice_number: Option<String>,
    note: Option<String>,
    short_code: Option<String>,
    line_items: Option<Vec<DatedLine>>,
    payments: Option<Vec<DatedPayment>>,
    #[serde(rename = "_metadata")]
    _metadata: Option<IgnoredAny>,
    #[serde(rename = "totals")]
    _totals: Option<IgnoredAny>,
    #[serde(rename = "taxes")]
    _taxes: Option<IgnoredAny>,
    #[serde(rename = "return")]
    _return: Option<IgnoredAny>,
    #[serde(rename = "adjustments")]
    _adjustments: Option<IgnoredAny>,
    #[serde(rename = "receipt_number")]
    _receipt_number: Option<IgnoredAny>,
    #[serde(rename = "created_at")]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<IgnoredAny>,
    #[serde(rename = "deleted_at")]
    _deleted_at: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedSource {
    author_id: Option<String>,
    register_id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    id: Option<String>,
    #[serde(rename = "author")]
    _author: Option<IgnoredAny>,
    #[serde(rename = "outlet_id")]
    _outlet_id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedLine {
    id: Option<String>,
    product: DatedId,
    quantity: Number,
    pricing: DatedPricing,
    tax: DatedTax,
    attributes: Option<Vec<DatedAttribute>>,
    #[serde(rename = "_metadata")]
    metadata: Option<DatedLineMetadata>,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
    #[serde(rename = "return")]
    _return: Option<IgnoredAny>,
    #[serde(rename = "source")]
    _source: Option<IgnoredAny>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedId {
    id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedPricing {
    price: Number,
    cost: Option<Number>,
    discount: Option<Number>,
    loyalty_amount: Option<Number>,
    #[serde(rename = "total")]
    _total: Option<IgnoredAny>,
    #[serde(rename = "cost_total")]
    _cost_total: Option<IgnoredAny>,
    #[serde(rename = "discount_total")]
    _discount_total: Option<IgnoredAny>,
    #[serde(rename = "loyalty_amount_total")]
    _loyalty_amount_total: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedTax {
    id: String,
    amount: Number,
    #[serde(rename = "total")]
    _total: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedAttribute {
    name: String,
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedLineMetadata {
    is_price_override: Option<bool>,
    sequence: Option<i64>,
    #[serde(rename = "tax_components")]
    _tax_components: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedPayment {
    id: Option<String>,
    amount: Number,
    #[serde(rename = "type")]
    kind: DatedPaymentType,
    date: Option<String>,
    source: Option<DatedPaymentSource>,
    #[serde(rename = "_metadata")]
    _metadata: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedPaymentType {
    config_id: String,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "name")]
    _name: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedPaymentSource {
    register_id: Option<String>,
    #[serde(rename = "outlet_id")]
    _outlet_id: Option<IgnoredAny>,
}

pub(super) fn dated_sale(body: &[u8], money: MoneyStyle) -> Result<SaleBody, Unreadable> {
    let sale: DatedSale = read(body)?;
    let source = sale.source.ok_or("source is missing")?;
    let state = sale.state.ok_or("state is missing")?;
    let line = |line: DatedLine| {
        let DatedLineMetadata { is_price_override, sequence, .. } = line.metadata.unwrap_or_default();
        let amount = |number: Number| plain(number, money);
        let optional = |number: Option<Number>| number.map_or(Ok(Fine::ZERO), amount);
        let attributes = line.attributes.unwrap_or_default();
        if let Some(unknown) = attributes.iter().find(|attribute| attribute.name != LINE_NOTE) {
            return Err(format!("a line has no attribute {}", unknown.name));
        }
        Ok::<_, Unreadable>(LineBody {
            id: line.id,
            product_id: line.product.id,
            quantity: line.quantity.value,
            price: amount(line.pricing.price)?,
            tax_id: line.tax.id,
            tax: amount(line.tax.amount)?,
            cost: optional(line.pricing.cost)?,
            discount: optional(line.pricing.discount)?,
            loyalty: optional(line.pricing.loyalty_amount)?,
            note: attributes.into_iter().next().map(|attribute| attribute.value),
            is_price_set: is_price_override.unwrap_or_default(),
            sequence,
        })
    };
    let payment = |payment: DatedPayment| {
        Ok::<_, Unreadable>(PaymentBody {
            id: payment.id,
            type_id: payment.kind.config_id,
            amount: plain(payment.amount, money)?,
            date: payment.date.as_deref().map(instant).transpose()?,
            register_id: payment.source.and_then(|source| source.register_id),
        })
    };
    Ok(SaleBody {
        id: sale.id,
        author_id: source.author_id,
        register_id: source.register_id,
        source_type: source.kind,
        source_id: source.id,
        states: vec![State::named(&state).ok_or_else(|| format!("no sale is {state}"))?],
        attributes: sale.attributes.map(|all| attributes(&all)).transpose()?,
        date: sale.date.as_deref().map(instant).transpose()?,
        customer_id: sale.customer_id,
        invoice_number: sale.invoice_number,
        note: sale.note,
        short_code: sale.short_code,
        lines: sale.line_items.map(|all| all.into_iter().map(line).collect()).transpose()?,
        payments: sale.payments.map(|all| all.into_iter().map(payment).collect()).transpose()?,
    })
}

const LINE_NOTE: &str = "line_note";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LegacySale {
    id: Option<String>,
    register_id: Option<String>,
    user_id: Option<String>,
    source: Option<String>,
    source_id: Option<String>,
    state: Option<String>,
    status: Option<String>,
    register_sale_attributes: Option<Vec<String>>,
    sale_date: Option<String>,
    customer_id: Option<String>,
    invoice_number: Option<String>,
    note: Option<String>,
    short_code: Option<String>,
    register_sale_products: Option<Vec<LegacyLine>>,
    register_sale_payments: Option<Vec<LegacyPayment>>,
    #[serde(rename = "outlet_id")]
    _outlet_id: Option<IgnoredAny>,
    #[serde(rename = "return_for")]
    _return_for: Option<IgnoredAny>,
    #[serde(rename = "return_ids")]
    _return_ids: Option<IgnoredAny>,
    #[serde(rename = "total_price")]
    _total_price: Option<IgnoredAny>,
    #[serde(rename = "total_tax")]
    _total_tax: Option<IgnoredAny>,
    #[serde(rename = "total_price_incl")]
    _total_price_incl: Option<IgnoredAny>,
    #[serde(rename = "totals")]
    _totals: Option<IgnoredAny>,
    #[serde(rename = "complete_open_sequence_id")]
    _complete_open_sequence_id: Option<IgnoredAny>,
    #[serde(rename = "created_at")]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<IgnoredAny>,
    #[serde(rename = "deleted_at")]
    _deleted_at: Option<IgnoredAny>,
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LegacyLine {
    id: Option<String>,
    product_id: String,
    quantity: Number,
    price: Number,
    tax: Number,
    tax_id: String,
    cost: Option<Number>,
    discount: Option<Number>,
    loyalty_value: Option<Number>,
    price_set: Option<LegacyFlag>,
    sequence: Option<i64>,
    attributes: Option<Vec<DatedAttribute>>,
    note: Option<String>,
    #[serde(rename = "register_id")]
    _register_id: Option<IgnoredAny>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
    #[serde(rename = "price_total")]
    _price_total: Option<IgnoredAny>,
    #[serde(rename = "tax_total")]
    _tax_total: Option<IgnoredAny>,
    #[serde(rename = "is_return")]
    _is_return: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LegacyFlag {
    Number(u8),
    Truth(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LegacyPayment {
    id: Option<String>,
    retailer_payment_type_id: String,
    amount: Number,
    payment_date: Option<String>,
    register_id: Option<String>,
    #[serde(rename = "payment_type_id")]
    _payment_type_id: Option<IgnoredAny>,
    #[serde(rename = "name")]
    _name: Option<IgnoredAny>,
}

pub(super) fn legacy_sale(body: &[u8], money: MoneyStyle) -> Result<SaleBody, Unreadable> {
    let sale: LegacySale = read(body)?;
    let of_state =
        sale.state.map(|state| State::named(&state).ok_or_else(|| format!("no sale is {state}"))).transpose()?;
    let of_status = sale
        .status
        .map(|status| State::of_status(&status).ok_or_else(|| format!("there is no status {status}")))
        .transpose()?;
    let states: Vec<State> = of_state.into_iter().chain(of_status.map(|(state, _)| state)).collect();
    if states.is_empty() {
        return Err("state and status are missing".to_owned());
    }
    let named = sale.register_sale_attributes.map(|all| attributes(&all)).transpose()?;
    let line = |line: LegacyLine| {
        let amount = |number: Number| plain(number, money);
        let optional = |number: Option<Number>| number.map_or(Ok(Fine::ZERO), amount);
        let note = line.attributes.into_iter().flatten().find(|attribute| attribute.name == LINE_NOTE);
        Ok::<_, Unreadable>(LineBody {
            id: line.id,
            product_id: line.product_id,
            quantity: line.quantity.value,
            price: amount(line.price)?,
            tax_id: line.tax_id,
            tax: amount(line.tax)?,
            cost: optional(line.cost)?,
            discount: optional(line.discount)?,
            loyalty: optional(line.loyalty_value)?,
            note: note.map(|attribute| attribute.value).or(line.note),
            is_price_set: match line.price_set {
                None => false,
                Some(LegacyFlag::Truth(is_set)) => is_set,
                Some(LegacyFlag::Number(number)) => number != 0,
            },
            sequence: line.sequence,
        })
    };
    let payment = |payment: LegacyPayment| {
        Ok::<_, Unreadable>(PaymentBody {
            id: payment.id,
            type_id: payment.retailer_payment_type_id,
            amount: plain(payment.amount, money)?,
            date: payment.payment_date.as_deref().map(instant).transpose()?,
            register_id: payment.register_id,
        })
    };
    Ok(SaleBody {
        id: sale.id,
        author_id: sale.user_id,
        register_id: Some(sale.register_id.ok_or("register_id is missing")?),
        source_type: sale.source,
        source_id: sale.source_id,
        states,
        attributes: named.or_else(|| of_status.map(|(_, attribute)| attribute.into_iter().collect())),
        date: sale.sale_date.as_deref().map(instant).transpose()?,
        customer_id: sale.customer_id,
        invoice_number: sale.invoice_number,
        note: sale.note,
        short_code: sale.short_code,
        // Source: what an update leaves out is deleted.
        lines: Some(sale.register_sale_products.into_iter().flatten().map(line).collect::<Result<_, _>>()?),
        payments: Some(sale.register_sale_payments.into_iter().flatten().map(payment).collect::<Result<_, _>>()?),
    })
}

fn plain(number: Number, money: MoneyStyle) -> Result<Fine, Unreadable> {
    match (money, number.is_text) {
        (MoneyStyle::Numbers, true) => Err(format!("cannot unmarshal string {} into a number", number.value)),
        (MoneyStyle::Texts, false) => Err(format!("cannot unmarshal number {} into a string", number.value)),
        (MoneyStyle::Either, _) | (MoneyStyle::Numbers, false) | (MoneyStyle::Texts, true) => Ok(number.value),
    }
}

fn attributes(names: &[String]) -> Result<Vec<Attribute>, Unreadable> {
    names.iter().map(|name| Attribute::named(name).ok_or_else(|| format!("no sale has the attribute {name}"))).collect()
}

/// RFC 3339, or as the legacy API writes it, in UTC.
fn instant(text: &str) -> Result<DateTime<Utc>, Unreadable> {
    let rfc = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    let plain = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").map(|at| at.and_utc());
    rfc.or_else(|_| plain()).map_err(|_| format!("{text} is no time"))
}

/// As dated answers write it.
pub(super) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// A customer, as it is created or changed, and what of it is kept as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerDetails {
    #[serde(default)]
    pub first_name: Named,
    #[serde(default)]
    pub last_name: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_loyalty: Option<bool>,
    pub email: Option<String>,
    pub note: Option<String>,
    pub gender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_of_birth: Option<String>,
    pub company_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub do_not_email: Option<bool>,
    pub phone: Option<String>,
    pub mobile: Option<String>,
    pub fax: Option<String>,
    pub twitter: Option<String>,
    pub website: Option<String>,
    pub physical_address_1: Option<String>,
    pub physical_address_2: Option<String>,
    pub physical_suburb: Option<String>,
    pub physical_city: Option<String>,
    pub physical_postcode: Option<String>,
    pub physical_state: Option<String>,
    pub physical_country_id: Option<String>,
    pub postal_address_1: Option<String>,
    pub postal_address_2: Option<String>,
    pub postal_suburb: Option<String>,
    pub postal_city: Option<String>,
    pub postal_postcode: Option<String>,
    pub postal_state: Option<String>,
    pub postal_country_id: Option<String>,
    pub custom_field_1: Option<String>,
    pub custom_field_2: Option<String>,
    pub custom_field_3: Option<String>,
    pub custom_field_4: Option<String>,
}

/// A name, whose member must be there although it may be null. Source: 2.0 description, `CustomerBase`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Named {
    #[default]
    #[serde(skip)]
    Missing,
    Null,
    Text(String),
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Text))
    }
}

impl Named {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Missing | Self::Null => None,
            Self::Text(name) => Some(name),
        }
    }
}

pub(super) fn customer(body: &[u8]) -> Result<CustomerDetails, Unreadable> {
    let customer: CustomerDetails = read(body)?;
    if customer.first_name == Named::Missing || customer.last_name == Named::Missing {
        return Err("first_name and last_name are missing".to_owned());
    }
    Ok(customer)
}

/// A product that is to be made. What nobody here needs of the description is refused as unknown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductBody {
    pub name: String,
    pub sku: Option<String>,
    pub description: Option<String>,
    pub handle: Option<String>,
    pub source: Option<String>,
    pub source_id: Option<String>,
    pub is_active: Option<bool>,
    pub price_including_tax: Option<Number>,
    pub price_excluding_tax: Option<Number>,
    pub supply_price: Option<Number>,
    pub inventory: Option<Vec<CountBody>>,
    pub all_outlets_tax: Option<ProductTaxBody>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountBody {
    pub outlet_id: String,
    pub current_amount: Number,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProductTaxBody {
    pub tax_id: Option<String>,
    #[serde(rename = "is_default")]
    _is_default: Option<bool>,
}

pub(super) fn product(body: &[u8]) -> Result<ProductBody, Unreadable> {
    let product: ProductBody = read(body)?;
    let prices = [product.price_including_tax, product.price_excluding_tax, product.supply_price];
    if prices.into_iter().flatten().any(|price| price.is_text) {
        return Err("cannot unmarshal string into a number".to_owned());
    }
    Ok(product)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpeningBody {
    pub register_open_time: Option<String>,
}

pub(super) fn opening(body: &[u8]) -> Result<Option<DateTime<Utc>>, Unreadable> {
    let OpeningBody { register_open_time } = read(body)?;
    register_open_time.as_deref().map(instant).transpose()
}

/// What was counted in the till, which nobody looks at here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClosingBody {
    #[serde(rename = "payments")]
    _payments: Option<Vec<CountedBody>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CountedBody {
    #[serde(rename = "payment_type_id")]
    _payment_type_id: String,
    #[serde(rename = "total")]
    _total: String,
}

pub(super) fn closing(body: &[u8]) -> Result<(), Unreadable> {
    read::<ClosingBody>(body).map(|_| ())
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"product":{"id":"p"},"quantity":2,"pricing":{"price":"9.12500"},"tax":{"id":"t","amount":1.825},
        "attributes":[{"name":"line_note","value":"extra hot"}],"_metadata":{"is_price_override":true,"sequence":3}}"#;

    fn dated(members: &str) -> String {
        format!(r#"{{"source":{{"author_id":"a","type":"Scoffable","id":"1"}},"state":"closed",{members}}}"#)
    }

    #[test]
    fn both_dialects_are_read_as_one() {
        let text = dated(&format!(
            r#""date":"2025-10-09T08:53:20Z","line_items":[{LINE}],"payments":[{{"amount":"21.9","type":{{"config_id":"c"}}}}]"#
        ));
        let one = dated_sale(text.as_bytes(), MoneyStyle::Either).expect("it can be read");
        let text = r#"{"register_id":"r","user_id":"a","source":"Scoffable","source_id":"1","status":"CLOSED",
            "sale_date":"2025-10-09 08:53:20","register_sale_products":[{"product_id":"p","quantity":2,"price":"9.125",
            "tax":"1.825","tax_id":"t","price_set":1,"sequence":3,"attributes":[{"name":"line_note","value":"extra hot"}]}],
            "register_sale_payments":[{"retailer_payment_type_id":"c","amount":21.9}]}"#;
        let other = legacy_sale(text.as_bytes(), MoneyStyle::Either).expect("it can be read");

        assert_eq!(
            format!("{one:?}"),
            format!("{:?}", SaleBody { register_id: None, attributes: None, ..other.clone() })
        );
        assert_eq!(other.attributes, Some(vec![]), "a status tells that there is none");
        assert_eq!(other.lines.expect("a line")[0].price, Fine(912_500));
    }

    #[test]
    fn what_nobody_knows_or_cannot_be_is_refused() {
        let lines = |line: &str| dated(&format!(r#""line_items":[{line}]"#));
        let wrong = [
            dated(r#""request_id":"1""#),
            dated(r#""attributes":["takeaway"]"#),
            dated(r#""date":"yesterday""#),
            dated(r#""pricing":{"adjustments":[]}"#),
            lines(&LINE.replace("line_note", "colour")),
            lines(&LINE.replace(r#""tax":"#, r#""tax_":"#)),
            r#"{"state":"closed"}"#.to_owned(),
            r#"{"source":{"author_id":"a"},"state":"CLOSED"}"#.to_owned(),
        ];
        for text in wrong {
            assert!(dated_sale(text.as_bytes(), MoneyStyle::Either).is_err(), "{text}");
        }
        let both = lines(LINE);
        assert!(dated_sale(both.as_bytes(), MoneyStyle::Either).is_ok());
        for style in [MoneyStyle::Texts, MoneyStyle::Numbers] {
            let told = dated_sale(both.as_bytes(), style).expect_err("one amount is of the other kind");
            assert!(told.starts_with("cannot unmarshal"), "{told}");
        }
    }

    #[test]
    fn a_customer_has_the_members_of_its_names_even_if_they_are_null() {
        assert!(customer(br#"{"first_name":null,"last_name":null,"email":"a@example.org"}"#).is_ok());
        for text in [r#"{"first_name":"Ada"}"#, r#"{"first_name":null,"last_name":null,"id":"1"}"#] {
            assert!(customer(text.as_bytes()).is_err(), "{text}");
        }
    }
}
