//! From a version of an order to the body of a submit, to the cent. Pure.
//!
//! What was supplied decides, at the price of a unit; the platform's line totals are never added up. The grand total is
//! what the customer pays, exactly: what the parts miss of it is named ([`super::amounts`]) or the order is parked. No
//! price is ever changed to make it fit, and no tax is told: the platform gives no split.

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    amounts::{self, Amounts, narrowed},
    config::{SpotonSettings, UberDelivery},
    customer, tender,
    vendors::Vendor,
    wire::{self, ASAP, Extra, Kind, Line, Modifier, SCHEDULED, instant},
};
use crate::domain::{
    delivery::Plan,
    money::{Breakdown, Money, Reason as Uncountable},
    order::{DeliveryProvider, Item, ItemType, Order, OrderType, Quantity},
    sale::normalised,
};

/// A time that is nearer is met by beginning at once.
const SCHEDULED_FROM: Duration = Duration::minutes(45);

/// What there is to map.
#[derive(Debug, Clone, Copy)]
pub struct Sale<'a> {
    pub order: &'a Order,
    pub money: &'a Breakdown,
    /// The order as received, JSON text.
    pub payload: &'a str,
    /// The platform's id of the vendor, for what people are told.
    pub vendor_id: &'a str,
    pub vendor: &'a Vendor,
    pub settings: &'a SpotonSettings,
}

/// What there is to submit.
#[derive(Debug)]
pub struct Mapped {
    pub order: wire::Order,
    /// Of what the order says; see [`digest`].
    pub digest: String,
    pub remarks: Vec<Remark>,
}

/// What a person may want to know of an order that was submitted as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// The platform pays what a substitute cost more.
    Goodwill,
    Rounding,
    /// What the customer paid is not the total.
    PaidDiffersFromTotal,
    /// The tenders could not be told apart.
    TendersNotSplit,
}

/// Why an order cannot be submitted.
#[derive(Debug, PartialEq, Eq)]
pub struct Lack {
    pub reason: &'static str,
    /// What to do about it.
    pub hint: String,
}

impl Lack {
    pub fn new(reason: &'static str, hint: impl Into<String>) -> Self {
        Self { reason, hint: hint.into() }
    }

    pub fn parked(self) -> Plan {
        Plan::Park { reason: self.reason, hint: self.hint, curable: true }
    }
}

/// Maps an order under a reference. `now` decides only whether a requested time is far enough away.
pub fn map(sale: Sale<'_>, reference: &str, now: DateTime<Utc>) -> Result<Mapped, Lack> {
    let Sale { order, settings, vendor, .. } = sale;
    let total = countable_total(sale)?;
    // Only where something points into it.
    let payload = if settings.points_into_payload() {
        serde_json::from_str(sale.payload).unwrap_or(Value::Null)
    } else {
        Value::Null
    };

    let (lines, extras) = lines_and_extras(sale, &payload)?;
    if lines.is_empty() {
        return Err(Lack::new(
            "nothing_fulfilled",
            "nothing of the order was supplied: SpotOn takes no order without a line; discard it, or wait for a version",
        ));
    }
    let Amounts { discounts, fees, totals, mut remarks } = amounts::balance(sale, &lines, extras, total)?;
    let tender::Tenders { payments, remark } = tender::payments(sale, totals.grand_total);
    remarks.extend(remark);
    if sale.money.tenders.is_some_and(|tenders| tenders.paid != total.amount) {
        remarks.push(Remark::PaidDiffersFromTotal);
    }

    let order = wire::Order {
        external_reference_id: reference.to_owned(),
        display_id: display_id(order.id.as_str()),
        location_id: vendor.location_id.clone(),
        menu_id: vendor.menu_id.clone(),
        state: settings.enum_style.closed(),
        placed_at: order.placed_at.map(instant),
        source: wire::Source { name: settings.source_name.clone() },
        customer: customer::customer(settings.customer_mode, &settings.customer_pointers, &payload),
        fulfillment: fulfillment(sale, &payload, now)?,
        line_items: lines,
        discounts,
        fees,
        payments,
        totals,
    };
    if let Some(rule) = order.broken_rule() {
        return Err(Lack::new(
            "invariant_violated",
            format!("{rule}: a fault of this program, which sends nothing like it: report it, and ring the order up"),
        ));
    }
    Ok(Mapped { digest: digest(&order), order, remarks })
}

/// The total, if every amount of the order is there, whole, and in the location's currency.
fn countable_total(sale: Sale<'_>) -> Result<Money, Lack> {
    let Sale { order, money, vendor, vendor_id, .. } = sale;
    let unreadable = |what: &str| {
        Lack::new(
            "amount_unreadable",
            format!("{what}: ring the order up by hand and discard this, or wait for a version"),
        )
    };
    let mismatch = |found: &str| {
        Lack::new(
            "currency_mismatch",
            format!(
                "the order is in {found} and vendors.{vendor_id:?}.currency is {}: nothing is converted; correct the key \
                 or the vendor's location",
                vendor.currency
            ),
        )
    };
    match money.reason {
        Some(Uncountable::MixedCurrencies) => return Err(mismatch("several currencies")),
        Some(Uncountable::AmountUnreadable) => return Err(unreadable("an amount or a line cannot be read")),
        Some(Uncountable::Overflow) => return Err(unreadable("an amount is too large")),
        // What else may be missing is told with the line that it is missing from.
        Some(
            Uncountable::TotalMissing
            | Uncountable::PriceMissing
            | Uncountable::QuantityUnknown
            | Uncountable::FractionalAmount,
        )
        | None => {}
    }
    let Some(total) = order.total else { return Err(unreadable("the order has no total")) };
    if total.currency != vendor.currency {
        return Err(mismatch(total.currency.as_str()));
    }
    Ok(total)
}

/// Name and amount of what is no goods; negative: it lowers the total.
pub(super) type Signed = (String, i64);

/// Lines that the kitchen sees, and everything else that has an amount: signed, with its name.
fn lines_and_extras(sale: Sale<'_>, payload: &Value) -> Result<(Vec<Line>, Vec<Signed>), Lack> {
    // An entry that is no object is no item, and then nothing of the order is countable.
    let raw = payload.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    let mut extras = Vec::new();
    for (at, item) in sale.order.items.iter().enumerate() {
        if is_product(item) {
            let line = line(sale, item, raw.get(at).unwrap_or(&Value::Null))?;
            let is_taken = |id: &String| lines.iter().any(|line| line.line_id.as_ref() == Some(id));
            lines.extend(line.map(|line| Line { line_id: line.line_id.filter(|id| !is_taken(id)), ..line }));
        } else {
            extras.extend(extra(item)?);
        }
    }
    Ok((lines, extras))
}

fn is_product(item: &Item) -> bool {
    item.item_type == Some(ItemType::Product)
}

fn name_of(item: &Item) -> &str {
    item.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("Item")
}

/// None for what was not supplied: it was replaced, or ran out.
fn line(sale: Sale<'_>, item: &Item, raw: &Value) -> Result<Option<Line>, Lack> {
    let name = name_of(item);
    let Some(fulfilled) = item.quantity_fulfilled else {
        let hint = format!("how many of {name:?} were supplied is not told: it goes on by itself once a version tells");
        return Err(Lack::new("quantity_missing", hint));
    };
    if fulfilled.is_zero() {
        return Ok(None);
    }
    let Some(quantity) = fulfilled.as_whole().filter(|units| *units > 0) else {
        let hint = format!("{fulfilled} of {name:?} were supplied, and SpotOn counts whole units: ring it up by hand");
        return Err(Lack::new("quantity_not_whole", hint));
    };
    let Some(price) = item.price else {
        let hint = format!("{name:?} has no price: it goes on by itself once a version has one");
        return Err(Lack::new("price_missing", hint));
    };
    let mut modifiers = Vec::new();
    for category in &item.option_categories {
        for option in &category.options {
            let named = |name: Option<&str>| name.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
            let (of, option_name) = (named(category.name.as_deref()), named(option.name.as_deref()));
            let known = sale.vendor.modifiers.get(&normalised(of.as_deref().unwrap_or_default()));
            let id = known.and_then(|options| options.get(&normalised(option_name.as_deref()?))).cloned();
            modifiers.push(Modifier {
                id,
                name: option_name.or(of).unwrap_or_else(|| "Option".to_owned()),
                quantity: 1,
                price: option.price.map_or(0, |price| price.amount),
            });
        }
    }
    if price.amount < 0 || modifiers.iter().any(|modifier| modifier.price < 0) {
        let hint = format!(
            "{name:?} or an option of it has a negative price, which no line of SpotOn takes: ring it up by hand"
        );
        return Err(Lack::new("negative_product", hint));
    }
    let Some(item_id) = item_id(sale, item, raw) else {
        let hint = format!(
            "no menu item is mapped to {name:?}: add it to vendors.{:?}.items or set its fallback_item_id (`spoton items` \
             lists the menu), then retry",
            sale.vendor_id
        );
        return Err(Lack::new("unmapped_item", hint));
    };
    let line_id = item.id.as_ref().map(|id| id.as_str().to_owned()).filter(|id| !id.trim().is_empty());
    Ok(Some(Line { line_id, item_id, name: name.to_owned(), quantity, price: price.amount, modifiers }))
}

/// By the vendor's reference, the barcode, the name; else the fallback. A line's own id says nothing of a menu.
fn item_id(sale: Sale<'_>, item: &Item, raw: &Value) -> Option<String> {
    let pointers = &sale.settings.item_pointers;
    let pointed =
        [&pointers.reference, &pointers.barcode].into_iter().flatten().filter_map(|pointer| pointer.text(raw));
    let mut known_by = pointed.chain(item.name.as_deref());
    let mapped = known_by.find_map(|key| sale.vendor.items.get(&normalised(key)));
    mapped.or(sale.vendor.fallback_item_id.as_ref()).cloned()
}

/// An amount beside the goods; none for nothing.
fn extra(item: &Item) -> Result<Option<Signed>, Lack> {
    let name = name_of(item);
    if item.quantity_fulfilled.is_some_and(Quantity::is_zero) {
        return Ok(None);
    }
    let fulfilled = item.quantity_fulfilled.or(item.quantity_ordered.filter(|ordered| ordered.is_positive()));
    let amount = match (item.unit_price(), fulfilled) {
        (None, _) => {
            let hint = format!("{name:?} has no price: it goes on by itself once a version has one");
            return Err(Lack::new("price_missing", hint));
        }
        (Some(price), None) => price,
        (Some(price), Some(fulfilled)) => price.and_then(|price| price.checked_times(fulfilled)),
    };
    let Ok(amount) = amount else {
        let hint = format!("{name:?} comes to no whole amount: ring the order up by hand and discard this");
        return Err(Lack::new("amount_unreadable", hint));
    };
    let is_known = matches!(item.item_type, Some(ItemType::Adjustment | ItemType::Offer | ItemType::Voucher));
    if amount.amount > 0 && !is_known {
        let hint = format!(
            "{name:?} is of a kind that this program does not know, so whether the kitchen has to make it is not known \
             either: ring the order up by hand and discard this"
        );
        return Err(Lack::new("unknown_item_type", hint));
    }
    Ok((amount.amount != 0).then(|| (name.to_owned(), amount.amount)))
}

fn fulfillment(sale: Sale<'_>, payload: &Value, now: DateTime<Utc>) -> Result<wire::Fulfillment, Lack> {
    let Sale { order, settings, vendor, .. } = sale;
    let is_uber = order.delivery_provider == Some(DeliveryProvider::Uber);
    let kind = match &order.order_type {
        Some(OrderType::Collection) => Kind::Pickup,
        Some(OrderType::Delivery) if is_uber && settings.uber_delivery_as == UberDelivery::Pickup => Kind::Pickup,
        Some(OrderType::Delivery) => Kind::Delivery,
        Some(OrderType::Other(_)) | None => {
            let hint = "whether it is collected or delivered is not known: ring the order up by hand and discard this";
            return Err(Lack::new("unknown_order_type", hint));
        }
    };
    let pointer = settings.requested_time_pointer.as_ref();
    let requested = pointer.and_then(|pointer| customer::requested_at(pointer, vendor.time_zone, payload));
    let scheduled = requested.filter(|at| *at > now + SCHEDULED_FROM).map(instant);
    let address = (kind == Kind::Delivery).then(|| customer::address(&settings.address_pointers, payload)).flatten();
    Ok(wire::Fulfillment {
        kind: settings.enum_style.kind(kind),
        schedule_type: if scheduled.is_some() { SCHEDULED } else { ASAP },
        estimated_ready_at: scheduled.clone().filter(|_| kind == Kind::Pickup),
        estimated_delivery_at: scheduled.filter(|_| kind == Kind::Delivery),
        delivery_address: address,
    })
}

/// A short number for staff. Source: the field's form in a public client: up to 12 characters.
fn display_id(id: &str) -> Option<String> {
    let is_short_number = (1..=12).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
    is_short_number.then(|| id.to_owned())
}

/// Of what the order says to the merchant: without reference, times and customer; without the ids of lines, which the
/// platform does not promise to keep; and without what only the configuration decides, so that a menu mapped better is
/// no change of every order that stands.
fn digest(order: &wire::Order) -> String {
    /// Name, quantity and price.
    type Priced<'a> = (&'a str, i64, i64);
    #[derive(Serialize)]
    struct Said<'a> {
        kind: &'a str,
        address: &'a Option<wire::Address>,
        lines: Vec<(Priced<'a>, Vec<Priced<'a>>)>,
        discounts: &'a [Extra],
        fees: &'a [Extra],
        payments: Vec<i64>,
        totals: wire::Totals,
    }
    let said = Said {
        kind: order.fulfillment.kind.trim_start_matches("FULFILLMENT_TYPE_"),
        address: &order.fulfillment.delivery_address,
        lines: order
            .line_items
            .iter()
            .map(|line| {
                let modifiers = line.modifiers.iter().map(|one| (one.name.as_str(), one.quantity, one.price)).collect();
                ((line.name.as_str(), line.quantity, line.price), modifiers)
            })
            .collect(),
        discounts: &order.discounts,
        fees: &order.fees,
        payments: order.payments.iter().map(|payment| payment.amount).collect(),
        totals: order.totals,
    };
    hex::encode(Sha256::digest(serde_json::to_vec(&said).expect("plain data")))
}

/// What the lines come to.
pub(super) fn subtotal(lines: &[Line]) -> Result<i64, Lack> {
    let of_line = |line: &Line| {
        let modifiers: i128 = line.modifiers.iter().map(|one| i128::from(one.quantity) * i128::from(one.price)).sum();
        i128::from(line.quantity) * (i128::from(line.price) + modifiers)
    };
    narrowed(lines.iter().map(of_line).sum())
}

#[cfg(test)]
mod tests;
