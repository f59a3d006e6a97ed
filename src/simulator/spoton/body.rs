//! The body of a submit or a propose, read as strictly as a server may.
//!
//! Source: SpotOn, Orders Overview, for states, schedule, customer, payment and tax. Assumed: the names below the top
//! level, and that amounts are whole cents.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    chain::{Location, Menu},
    order::{Customer, Extra, Fulfillment, Kind, Line, Modifier, Order, Payment, Schedule, Totals},
    rules::{EnumStyle, Envelope, Rules},
};

/// In characters.
const MAX_DISPLAY_ID: usize = 12;

/// A cart without prices of its own, priced by the menu.
#[derive(Debug)]
pub(super) struct Proposal {
    pub menu: String,
    pub lines: Vec<Line>,
    pub totals: Totals,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderBody {
    external_reference_id: Option<String>,
    display_id: Option<String>,
    location_id: Option<String>,
    menu_id: Option<String>,
    state: Option<String>,
    placed_at: Option<String>,
    source: Option<SourceBody>,
    customer: Option<CustomerBody>,
    fulfillment: Option<FulfillmentBody>,
    line_items: Option<Vec<LineBody>>,
    #[serde(default)]
    discounts: Vec<ExtraBody>,
    #[serde(default)]
    fees: Vec<ExtraBody>,
    payments: Option<Vec<PaymentBody>>,
    totals: Option<Totals>,
    signature: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceBody {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerBody {
    id: Option<String>,
    external_reference_id: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FulfillmentBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    schedule_type: Option<String>,
    estimated_ready_at: Option<String>,
    estimated_delivery_at: Option<String>,
    delivery_address: Option<AddressBody>,
}

#[derive(Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct AddressBody {
    address_line_1: String,
    address_line_2: Option<String>,
    city: Option<String>,
    state: Option<String>,
    zip: Option<String>,
    country: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineBody {
    line_id: Option<String>,
    item_id: Option<String>,
    name: String,
    quantity: i64,
    price: i64,
    #[serde(default)]
    modifiers: Vec<ModifierBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModifierBody {
    id: Option<String>,
    name: String,
    quantity: i64,
    price: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtraBody {
    name: String,
    amount: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentBody {
    #[serde(rename = "type")]
    kind: String,
    provider_name: Option<String>,
    amount: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped<T> {
    order: T,
}

/// What a check is made with.
#[derive(Clone, Copy)]
pub(super) struct Against<'a> {
    pub location: &'a Location,
    pub rules: &'a Rules,
    /// Given out by propose.
    pub signatures: &'a BTreeSet<String>,
}

type Checked<T> = Result<T, String>;

fn refuse<T>(reason: impl Into<String>) -> Checked<T> {
    Err(reason.into())
}

impl Against<'_> {
    /// A submit; otherwise the reason of its refusal.
    pub(super) fn order(&self, bytes: &[u8]) -> Checked<Order> {
        let body = self.read(bytes)?;
        let menu = self.menu(&body)?;
        let state = required("state", body.state)?;
        if self.enumeration("ORDER_STATE_", &state) != Some("CLOSED") {
            return refuse(format!("state {state} cannot be submitted, only CLOSED"));
        }
        if let Some(signature) = &body.signature
            && !signature["value"].as_str().is_some_and(|value| self.signatures.contains(value))
        {
            return refuse("signature was not given out by propose");
        }
        let display_id = body.display_id;
        if let Some(display_id) = &display_id {
            plain_text("display_id", display_id, MAX_DISPLAY_ID)?;
        }
        let reference = required("external_reference_id", body.external_reference_id)?;
        plain_text("external_reference_id", &reference, usize::MAX)?;
        let source = required("source", body.source)?.name;
        plain_text("source.name", &source, usize::MAX)?;
        let placed_at = body.placed_at.map(|text| instant("placed_at", &text)).transpose()?;
        let customer = body.customer.map(|customer| self.customer(customer)).transpose()?;
        let fulfillment = self.fulfillment(required("fulfillment", body.fulfillment)?)?;
        let lines = self.lines(menu, required("line_items", body.line_items)?)?;
        let (discounts, fees) = (extras("discounts", body.discounts)?, extras("fees", body.fees)?);
        let totals = required("totals", body.totals)?;
        check_totals(&totals, &lines, &discounts, &fees)?;
        let payments = self.payments(required("payments", body.payments)?, totals.grand_total)?;
        let menu = menu.id.clone();
        Ok(Order {
            reference,
            display_id,
            menu,
            source,
            placed_at,
            customer,
            fulfillment,
            lines,
            discounts,
            fees,
            payments,
            totals,
        })
    }

    /// A propose: the menu's prices, and tax at this rate on what is left after discounts, half a cent rounded up.
    pub(super) fn proposal(&self, bytes: &[u8], tax_basis_points: u32) -> Checked<Proposal> {
        let body = self.read(bytes)?;
        let menu = self.menu(&body)?;
        self.fulfillment(required("fulfillment", body.fulfillment)?)?;
        let lines = self.lines(menu, required("line_items", body.line_items)?)?;
        for line in &lines {
            let item = line.item_id.as_deref().and_then(|id| menu.item(id));
            let Some(item) = item.filter(|item| item.is_available) else {
                return refuse(format!("{} is not to be had", line.name));
            };
            let is_price_of_menu = item.price == line.price
                && line.modifiers.iter().all(|wanted| {
                    let offered = item.modifiers.iter().find(|offered| Some(&offered.id) == wanted.id.as_ref());
                    offered.is_some_and(|offered| offered.price == wanted.price)
                });
            if !is_price_of_menu {
                return refuse(format!("the price of {} is not that of the menu", line.name));
            }
        }
        let (discounts, fees) = (extras("discounts", body.discounts)?, extras("fees", body.fees)?);
        let (subtotal, discounts_total, fees_total) = (subtotal(&lines), sum(&discounts), sum(&fees));
        if discounts_total > subtotal {
            return refuse("discounts exceed the subtotal");
        }
        let taxed = subtotal - discounts_total;
        let tax_total = (taxed * i128::from(tax_basis_points) + 5_000) / 10_000;
        let cents = |amount: i128| i64::try_from(amount).map_err(|_| "an amount is too large".to_owned());
        let totals = Totals {
            subtotal: cents(subtotal)?,
            discounts_total: cents(discounts_total)?,
            fees_total: cents(fees_total)?,
            tax_total: cents(tax_total)?,
            tip_total: 0,
            grand_total: cents(taxed + fees_total + tax_total)?,
        };
        Ok(Proposal { menu: menu.id.clone(), lines, totals })
    }

    fn read(&self, bytes: &[u8]) -> Checked<OrderBody> {
        match self.rules.request_envelope {
            Envelope::Bare => read_json(bytes),
            Envelope::Wrapped => read_json::<Wrapped<OrderBody>>(bytes).map(|wrapped| wrapped.order),
        }
    }

    fn menu(&self, body: &OrderBody) -> Checked<&Menu> {
        let location_id = body.location_id.as_deref().unwrap_or_default();
        if location_id != self.location.id {
            return refuse("location_id is not that of the path");
        }
        let Some(menu_id) = &body.menu_id else { return refuse("menu_id is missing") };
        self.location.menu(menu_id).ok_or_else(|| format!("the location has no menu {menu_id}"))
    }

    /// The short name of an enumeration's value, if it is spelt as it must be.
    fn enumeration<'t>(&self, prefix: &str, text: &'t str) -> Option<&'t str> {
        let bare = text.strip_prefix(prefix);
        match self.rules.enum_style {
            None => Some(bare.unwrap_or(text)),
            Some(EnumStyle::Prefixed) => bare,
            Some(EnumStyle::Short) => bare.is_none().then_some(text),
        }
    }

    fn customer(&self, body: CustomerBody) -> Checked<Customer> {
        let CustomerBody { id, external_reference_id, first_name, last_name, email, phone } = body;
        if id.is_some() {
            return refuse("customer.id is not known here");
        }
        if external_reference_id.is_some_and(|reference| reference.is_empty()) {
            return refuse("customer.external_reference_id is empty");
        }
        let fields = [("first_name", &first_name), ("last_name", &last_name), ("email", &email), ("phone", &phone)];
        let mut n_given = 0;
        for (name, field) in fields {
            if let Some(text) = field {
                n_given += 1;
                plain_text(&format!("customer.{name}"), text, 200)?;
            }
        }
        if n_given == 0 || n_given < fields.len() && !self.rules.takes_partial_customers {
            return refuse("customer needs first_name, last_name, email and phone");
        }
        if email.as_ref().is_some_and(|email| !is_email(email)) {
            return refuse("customer.email is no address");
        }
        if phone.as_ref().is_some_and(|phone| !is_phone(phone)) {
            return refuse("customer.phone is not like +14155550100");
        }
        Ok(Customer { first_name, last_name, email, phone })
    }

    fn fulfillment(&self, body: FulfillmentBody) -> Checked<Fulfillment> {
        let kind = required("fulfillment.type", body.kind)?;
        let kind = match self.enumeration("FULFILLMENT_TYPE_", &kind) {
            Some("PICKUP") => Kind::Pickup,
            Some("DELIVERY") => Kind::Delivery,
            _ => return refuse(format!("fulfillment.type {kind} is not offered here")),
        };
        let (ready, delivery) = (body.estimated_ready_at, body.estimated_delivery_at);
        let schedule = required("fulfillment.schedule_type", body.schedule_type)?;
        let schedule = match (schedule.as_str(), kind, ready, delivery) {
            ("ASAP", _, None, None) => Schedule::Asap,
            ("ASAP", ..) => return refuse("a time without SCHEDULED"),
            ("SCHEDULED", Kind::Pickup, Some(at), None) => Schedule::At(instant("estimated_ready_at", &at)?),
            ("SCHEDULED", Kind::Delivery, None, Some(at)) => Schedule::At(instant("estimated_delivery_at", &at)?),
            ("SCHEDULED", ..) => return refuse("SCHEDULED without its time, or with another one"),
            _ => return refuse(format!("schedule_type {schedule} is unknown")),
        };
        if body.delivery_address.is_some() && kind != Kind::Delivery {
            return refuse("an address without DELIVERY");
        }
        let address = match body.delivery_address {
            Some(address) if address.address_line_1.is_empty() => return refuse("address_line_1 is empty"),
            Some(address) => Some(serde_json::to_value(address).expect("texts are JSON")),
            None => None,
        };
        Ok(Fulfillment { kind, schedule, address })
    }

    fn lines(&self, menu: &Menu, bodies: Vec<LineBody>) -> Checked<Vec<Line>> {
        if bodies.is_empty() {
            return refuse("line_items is empty");
        }
        let mut line_ids = BTreeSet::new();
        let mut lines = Vec::with_capacity(bodies.len());
        for body in bodies {
            let LineBody { line_id, item_id, name, quantity, price, modifiers } = body;
            check_priced("line_items", &name, quantity, price)?;
            if let Some(line_id) = &line_id
                && (line_id.is_empty() || !line_ids.insert(line_id.clone()))
            {
                return refuse(format!("line_id {line_id:?} is empty or used twice"));
            }
            let item = item_id.as_deref().and_then(|id| menu.item(id));
            if item.is_none() && !self.rules.takes_unknown_items {
                return refuse(format!("item_id {item_id:?} is not on the menu"));
            }
            let modifiers = modifiers.into_iter().map(|body| self.modifier(menu, body)).collect::<Checked<_>>()?;
            lines.push(Line { line_id, item_id, name, quantity, price, modifiers });
        }
        Ok(lines)
    }

    fn modifier(&self, menu: &Menu, body: ModifierBody) -> Checked<Modifier> {
        let ModifierBody { id, name, quantity, price } = body;
        check_priced("modifiers", &name, quantity, price)?;
        if let Some(id) = &id
            && !self.rules.takes_unknown_items
            && !menu.has_modifier(id)
        {
            return refuse(format!("modifier {id} is not on the menu"));
        }
        Ok(Modifier { id, name, quantity, price })
    }

    fn payments(&self, bodies: Vec<PaymentBody>, grand_total: i64) -> Checked<Vec<Payment>> {
        if bodies.is_empty() || bodies.len() > 1 && !self.rules.takes_several_payments {
            return refuse("one payment is needed");
        }
        let mut payments = Vec::with_capacity(bodies.len());
        for PaymentBody { kind, provider_name, amount } in bodies {
            if kind != "EXTERNAL" {
                return refuse(format!("payment type {kind} is not granted"));
            }
            let provider = required("provider_name", provider_name)?;
            plain_text("provider_name", &provider, usize::MAX)?;
            if amount < 0 || amount == 0 && !self.rules.takes_zero_payments {
                return refuse("a payment is negative or nothing");
            }
            payments.push(Payment { provider, amount });
        }
        let paid: i128 = payments.iter().map(|payment| i128::from(payment.amount)).sum();
        if paid != i128::from(grand_total) {
            return refuse("the payments do not add up to grand_total");
        }
        Ok(payments)
    }
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Checked<T> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn required<T>(name: &str, value: Option<T>) -> Checked<T> {
    value.ok_or_else(|| format!("{name} is missing"))
}

fn plain_text(name: &str, text: &str, max_chars: usize) -> Checked<()> {
    let is_right = !text.trim().is_empty() && text.chars().count() <= max_chars && !text.chars().any(char::is_control);
    if is_right { Ok(()) } else { refuse(format!("{name} is empty, too long or not printable")) }
}

fn instant(name: &str, text: &str) -> Checked<DateTime<Utc>> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) => Ok(at.to_utc()),
        Err(_) => refuse(format!("{name} is no RFC 3339 time")),
    }
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !text.contains(' '))
}

/// A plus and 8 to 15 digits.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_priced(what: &str, name: &str, quantity: i64, price: i64) -> Checked<()> {
    if name.trim().is_empty() {
        return refuse(format!("{what}: a name is empty"));
    }
    if quantity < 1 {
        return refuse(format!("{what}: a quantity is below 1"));
    }
    if price < 0 { refuse(format!("{what}: a price is negative")) } else { Ok(()) }
}

fn extras(what: &str, bodies: Vec<ExtraBody>) -> Checked<Vec<Extra>> {
    let check = |ExtraBody { name, amount }: ExtraBody| {
        let is_right = !name.trim().is_empty() && amount > 0;
        if is_right { Ok(Extra { name, amount }) } else { refuse(format!("{what}: no name, or no positive amount")) }
    };
    bodies.into_iter().map(check).collect()
}

fn subtotal(lines: &[Line]) -> i128 {
    let of_modifiers =
        |line: &Line| line.modifiers.iter().map(|one| i128::from(one.quantity) * i128::from(one.price)).sum::<i128>();
    lines.iter().map(|line| i128::from(line.quantity) * (i128::from(line.price) + of_modifiers(line))).sum()
}

fn sum(extras: &[Extra]) -> i128 {
    extras.iter().map(|extra| i128::from(extra.amount)).sum()
}

fn check_totals(totals: &Totals, lines: &[Line], discounts: &[Extra], fees: &[Extra]) -> Checked<()> {
    let Totals { subtotal: goods, discounts_total, fees_total, tax_total, tip_total, grand_total } = *totals;
    if [goods, discounts_total, fees_total, tax_total, tip_total, grand_total].iter().any(|amount| *amount < 0) {
        return refuse("a total is negative");
    }
    let [goods, discounts_total, fees_total, tax_total, tip_total, grand_total] =
        [goods, discounts_total, fees_total, tax_total, tip_total, grand_total].map(i128::from);
    let rules = [
        (goods == subtotal(lines), "subtotal is not what the lines add up to"),
        (discounts_total == sum(discounts), "discounts_total is not what the discounts add up to"),
        (fees_total == sum(fees), "fees_total is not what the fees add up to"),
        (discounts_total <= goods, "discounts exceed the subtotal"),
        (
            grand_total == goods - discounts_total + fees_total + tax_total + tip_total,
            "grand_total is not what the totals add up to",
        ),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, reason)) => refuse(*reason),
        None => Ok(()),
    }
}
