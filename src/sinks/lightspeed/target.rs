//! What the shop should hold for one version of an order: lines and payments, in minor units. Pure.
//!
//! | The order | What is posted |
//! | --- | --- |
//! | adds up | its lines, which come to its total |
//! | misses its total by pennies | a line `rounding` as well, which is not taxed |
//! | was made dearer by a substitute that the platform pays for | lines above its total; the rest is a payment of type `goodwill` |
//! | does not add up, and nothing says why | a line `difference` as well, which is not taxed, and a person is told; or the order is parked |
//! | was paid more than it comes to | payments cut back to it |
//! | was paid less than it comes to | it stays on its customer's account, or the order is parked |
//! | was cancelled | nothing |

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    amounts::{PLACES, Rate, Unit, written},
    config::{Discounts, LightspeedSettings, Unexplained, Unpaid},
    facts::Facts,
    wire::State,
};
use crate::domain::{
    money::{Breakdown, Currency, Money},
    order::{Order, OrderType},
    sale::{self, Balance, Kind, Lack, Remark, Tender, Wanted, normalised, split},
};

/// What there is to post.
#[derive(Debug, Clone, Copy)]
pub struct Sale<'a> {
    pub order: &'a Order,
    pub money: &'a Breakdown,
    /// The order as received, JSON text.
    pub payload: &'a str,
    pub settings: &'a LightspeedSettings,
    pub facts: &'a Facts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub currency: Currency,
    pub date: DateTime<Utc>,
    pub state: State,
    pub attributes: Vec<String>,
    pub lines: Vec<Line>,
    /// By payment type, zero never.
    pub payments: BTreeMap<String, i64>,
    /// In the order of the order's own.
    pub payment_order: Vec<String>,
    /// Every tender with a payment.
    pub tenders: Vec<Tender>,
    /// What the lines come to beside the order's total, in minor units.
    pub declared_minor: i64,
    /// Discounts that dishes are cheaper by, in minor units; negative.
    pub distributed_minor: i64,
    pub remarks: Vec<Remark>,
}

/// Units of one thing at one price; as in a receipt, but for the product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub kind: Kind,
    /// What is sold, as products are told apart across versions.
    pub key: String,
    /// As the order has it.
    pub name: String,
    /// What the item says of itself, of a dish.
    pub reference: Option<String>,
    pub notes: Vec<String>,
    pub quantity: i64,
    pub unit_minor: i64,
    pub tax_id: String,
    pub unit: Unit,
}

impl Line {
    pub fn price(&self) -> String {
        written(self.unit.price)
    }

    pub fn tax(&self) -> String {
        written(self.unit.tax)
    }
}

impl Target {
    /// Of an order that is cancelled: nothing, whatever its amounts say.
    pub fn nothing(currency: Currency, date: DateTime<Utc>) -> Self {
        Self {
            currency,
            date,
            state: State::Closed,
            attributes: Vec::new(),
            lines: Vec::new(),
            payments: BTreeMap::new(),
            payment_order: Vec::new(),
            tenders: Vec::new(),
            declared_minor: 0,
            distributed_minor: 0,
            remarks: Vec::new(),
        }
    }
}

/// One thing and what all of it costs.
struct Entry {
    kind: Kind,
    key: String,
    name: String,
    reference: Option<String>,
    notes: Vec<String>,
    quantity: i64,
    gross_minor: i64,
}

/// What the shop should hold of an order that is accepted.
pub fn target(sale: Sale<'_>) -> Result<Target, Lack> {
    let Sale { order, money, settings, facts, .. } = sale;
    let countable = sale::countable(order, money)?;
    if countable.currency.exponent() > PLACES {
        let currency = countable.currency;
        let hint = format!("{currency} has more decimals than a till: post the order by hand and discard this");
        return Err(Lack::new("currency_too_fine", hint));
    }
    let mut remarks = Vec::new();
    let mut entries = entries(sale, &countable, &mut remarks);
    let distributed_minor = match settings.discounts {
        Discounts::Lines => 0,
        Discounts::Distribute => distribute(&mut entries)?,
    };
    let mut declared_minor = 0;
    let plain = |kind, name: &str, gross_minor| Entry {
        kind,
        key: String::new(),
        name: name.to_owned(),
        reference: None,
        notes: Vec::new(),
        quantity: 1,
        gross_minor,
    };
    match sale::balance(money, &countable, settings.rounding_tolerance)? {
        Balance::Even => {}
        Balance::Rounding(missing) => entries.push(plain(Kind::Rounding, "Rounding", missing)),
        Balance::Goodwill(more) => {
            remarks.push(Remark::Goodwill(more));
            declared_minor = more;
        }
        Balance::Unexplained(missing) if settings.unexplained == Unexplained::Line => {
            remarks.push(Remark::Unexplained(missing));
            entries.push(plain(Kind::Difference, "Difference to the order's total", missing));
        }
        Balance::Unexplained(_) => {
            let hint = format!(
                "its lines come to {} more than its total, and nothing says why: post it by hand and discard this, or set \
                 `unexplained = \"line\"` and retry",
                Money::new(countable.delta, countable.currency)
            );
            return Err(Lack::new("unexplained_difference", hint));
        }
    }
    let gross_minor = entries.iter().try_fold(0_i64, |sum, entry| sum.checked_add(entry.gross_minor));
    let Some(gross_minor) = gross_minor else { return Err(Lack::unreadable("an amount is too large")) };
    let mut wanted = sale::payments(order, countable.total, &mut remarks)?;
    if declared_minor != 0 {
        wanted.push(Wanted { tender: Tender::Goodwill, amount_minor: declared_minor });
    }
    let paid: i64 = wanted.iter().map(|one| one.amount_minor).sum();
    let state = state(sale, Money::new(gross_minor, countable.currency), paid)?;
    let mut target = Target {
        currency: countable.currency,
        date: sale::placed_at(order)?,
        state,
        attributes: attributes(sale, state),
        lines: entries.into_iter().flat_map(|entry| lines(entry, countable.currency, settings, facts)).collect(),
        payments: BTreeMap::new(),
        payment_order: Vec::new(),
        tenders: Vec::new(),
        declared_minor,
        distributed_minor,
        remarks,
    };
    target.remarks.sort_unstable();
    target.remarks.dedup();
    for Wanted { tender, amount_minor } in wanted {
        if !target.tenders.contains(&tender) {
            target.tenders.push(tender);
        }
        // One that is not named is held back before anything is posted.
        let type_id = settings.payment_types.of(tender).unwrap_or_default();
        if !target.payment_order.iter().any(|known| known == type_id) {
            target.payment_order.push(type_id.to_owned());
        }
        *target.payments.entry(type_id.to_owned()).or_default() += amount_minor;
    }
    target.payments.retain(|_, amount| *amount != 0);
    Ok(target)
}

/// One for each line of the order that was supplied, and one for each fee.
fn entries(sale: Sale<'_>, countable: &sale::Countable, remarks: &mut Vec<Remark>) -> Vec<Entry> {
    let payload: Value = serde_json::from_str(sale.payload).unwrap_or(Value::Null);
    // An entry that is no object is no item, and then nothing of the order is countable.
    let raw = payload.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let fields = &sale.settings.item_fields;
    let of_order = sale::lines(sale.order, countable, remarks);
    let entry = |line: sale::Line<'_>| {
        let raw = line.at.and_then(|at| raw.get(at));
        let (key, reference) = match line.kind {
            Kind::Sales => (fields.key(line.name, raw), fields.told(raw).map(str::to_owned)),
            Kind::ServiceFee | Kind::DeliveryFee | Kind::DeliveryFeeThirdParty => (String::new(), None),
            _ => (normalised(line.name), None),
        };
        Entry {
            kind: line.kind,
            key,
            name: line.name.to_owned(),
            reference,
            notes: line.notes,
            quantity: line.quantity,
            gross_minor: line.gross_minor,
        }
    };
    of_order.into_iter().map(entry).collect()
}

/// Takes discounts off the dishes, in proportion to what they cost, the largest remainder first. Returns what they came to.
fn distribute(entries: &mut Vec<Entry>) -> Result<i64, Lack> {
    let is_discount = |entry: &Entry| {
        matches!(entry.kind, Kind::Offer | Kind::VendorVoucher | Kind::Adjustment) && entry.gross_minor < 0
    };
    let off: i128 = entries.iter().filter(|entry| is_discount(entry)).map(|entry| -i128::from(entry.gross_minor)).sum();
    if off == 0 {
        return Ok(0);
    }
    let is_dish = |entry: &Entry| matches!(entry.kind, Kind::Sales | Kind::Other) && entry.gross_minor > 0;
    let goods: i128 = entries.iter().filter(|entry| is_dish(entry)).map(|entry| i128::from(entry.gross_minor)).sum();
    if off > goods {
        let hint = "its discounts come to more than its goods, so they cannot be taken off them: post it by hand and discard \
                    this, or set `discounts = \"lines\"` and retry";
        return Err(Lack::new("discounts_exceed_goods", hint));
    }
    entries.retain(|entry| !is_discount(entry));
    let mut left = off;
    let mut remainders = Vec::new();
    for (at, entry) in entries.iter_mut().enumerate().filter(|(_, entry)| is_dish(entry)) {
        let share = off * i128::from(entry.gross_minor);
        let part = share / goods;
        entry.gross_minor -= part as i64;
        left -= part;
        remainders.push((std::cmp::Reverse(share % goods), at));
    }
    remainders.sort_unstable();
    for (_, at) in remainders.into_iter().take(left as usize) {
        entries[at].gross_minor -= 1;
    }
    Ok(-(off as i64))
}

/// As what the order is posted.
fn state(sale: Sale<'_>, gross: Money, paid: i64) -> Result<State, Lack> {
    match sale.settings.unpaid {
        _ if paid == gross.amount => Ok(State::Closed),
        Unpaid::OnAccount => Ok(State::Pending),
        Unpaid::Hold => {
            let hint = format!(
                "it comes to {gross}, and {} of it is paid: it goes on by itself once a version says more; or set `unpaid = \
                 \"on_account\"` and retry",
                Money::new(paid, gross.currency)
            );
            Err(Lack::new("unpaid", hint))
        }
    }
}

/// Source: Lightspeed, "Sales states and attributes".
fn attributes(sale: Sale<'_>, state: State) -> Vec<String> {
    let fulfilment = match &sale.order.order_type {
        Some(OrderType::Delivery) => Some("delivery"),
        Some(OrderType::Collection) => Some("pickup"),
        Some(OrderType::Other(_)) | None => None,
    };
    let fulfilment = fulfilment.filter(|_| sale.settings.mark_fulfilment);
    let on_account = (state == State::Pending).then_some("onaccount");
    on_account.into_iter().chain(fulfilment).map(str::to_owned).collect()
}

/// One line, or two whose units differ by one minor unit.
fn lines<'a>(
    entry: Entry,
    currency: Currency,
    settings: &'a LightspeedSettings,
    facts: &'a Facts,
) -> impl Iterator<Item = Line> + use<'a> {
    let is_taxed = !matches!(entry.kind, Kind::Rounding | Kind::Difference);
    let tax_id = if is_taxed { Some(settings.tax_ids.default.as_str()) } else { facts.untaxed(settings) };
    let tax_id = tax_id.unwrap_or_default();
    // What the shop does not tell is held back before anything is posted.
    let rate = facts.taxes.get(tax_id).copied().flatten().unwrap_or_else(Rate::none);
    split(entry.gross_minor, entry.quantity).into_iter().filter_map(move |(quantity, unit_minor)| {
        Some(Line {
            kind: entry.kind,
            key: entry.key.clone(),
            name: entry.name.clone(),
            reference: entry.reference.clone(),
            notes: entry.notes.clone(),
            quantity,
            unit_minor,
            tax_id: tax_id.to_owned(),
            unit: Unit::of(unit_minor, currency, rate)?,
        })
    })
}
