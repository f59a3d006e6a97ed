//! What Xero should hold for one version of an order: lines and payments, in minor units. Pure.
//!
//! | The order | What is posted |
//! | --- | --- |
//! | adds up | its lines, which come to its total |
//! | misses its total by pennies | a line `rounding` as well |
//! | was made dearer by a substitute that the platform pays for | lines above its total; the rest stays open, or is paid from the account `goodwill` |
//! | does not add up, and nothing says why | a line `difference` as well, and a person is told; or the order is parked |
//! | was paid more than it comes to | payments cut back to it |
//! | was cancelled | nothing |
//!
//! Whatever cannot be posted truthfully is a [`Lack`]: told with a reason, never guessed.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    config::{Goodwill, ItemMode, Kind, Tender, Unexplained, XeroSettings},
    organisation::Facts,
    receipt::{Line, TrackingOption},
};
use crate::domain::{
    delivery::Plan,
    money::{Breakdown, Currency, Reason as Uncountable, Verdict, amounts_of_items},
    order::{Collector, DeliveryProvider, Item, ItemType, Order, PaymentType, Quantity, Warning},
    substitution,
};

/// Where payments are cut back when they come to more than the order.
const CUT_FIRST: [Tender; 6] = [
    Tender::OnlineScoffable,
    Tender::VoucherScoffable,
    Tender::OtherScoffable,
    Tender::OnlineVendor,
    Tender::CashVendor,
    Tender::OtherVendor,
];

/// What there is to post.
#[derive(Debug, Clone, Copy)]
pub struct Sale<'a> {
    pub order: &'a Order,
    pub money: &'a Breakdown,
    /// The order as received, JSON text.
    pub payload: &'a str,
    pub settings: &'a XeroSettings,
    pub facts: &'a Facts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub currency: Currency,
    /// Of the order, in the organisation's time zone.
    pub date: NaiveDate,
    pub lines: Vec<Line>,
    pub tracking: Vec<TrackingOption>,
    /// One for each tender of the order, zero never.
    pub payments: Vec<Wanted>,
    /// What the lines come to beside the order's total, in minor units.
    pub declared_minor: i64,
    pub remarks: Vec<Remark>,
    /// Items that lines name and the organisation lacks.
    pub missing_items: Vec<MissingItem>,
}

/// A payment that is wanted; negative: a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub tender: Tender,
    pub amount_minor: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingItem {
    pub code: String,
    pub name: String,
    pub account: String,
    pub tax_type: String,
}

/// What a person may want to know of an order that is posted all the same; the weightiest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remark {
    /// It does not add up by so many minor units, and nothing says why.
    Unexplained(i64),
    /// Payments came to so many minor units more than the order.
    PaymentsCapped(i64),
    /// A pair of payment type and holder that nobody has mapped: it went to the holder's account.
    UnknownTender(String),
    /// The platform pays so many minor units on top.
    Goodwill(i64),
    /// An item of a type that is not known is among the lines.
    UnknownItemType,
}

/// Why an order cannot be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    pub reason: &'static str,
    /// What to do about it.
    pub hint: String,
}

impl Lack {
    fn new(reason: &'static str, hint: impl Into<String>) -> Self {
        Self { reason, hint: hint.into() }
    }

    /// A newer version may cure it.
    pub fn parked(self) -> Plan {
        Plan::Park { reason: self.reason, hint: self.hint, curable: true }
    }
}

impl Target {
    /// Of an order that is cancelled: nothing, whatever its amounts say.
    pub fn nothing(currency: Currency, date: NaiveDate) -> Self {
        Self {
            currency,
            date,
            lines: Vec::new(),
            tracking: Vec::new(),
            payments: Vec::new(),
            declared_minor: 0,
            remarks: Vec::new(),
            missing_items: Vec::new(),
        }
    }

    /// What the lines come to, in minor units.
    pub fn gross_minor(&self) -> i64 {
        self.lines.iter().map(|line| line.gross_minor).sum()
    }
}

/// What Xero should hold of an order that is accepted.
pub fn target(sale: Sale<'_>) -> Result<Target, Lack> {
    let Sale { order, money, settings, .. } = sale;
    let countable = countable(sale)?;
    let mut remarks = Vec::new();
    let mut lines = lines(sale, &countable, &mut remarks)?;
    let (balancing, declared_minor) = balance(sale, &countable, &mut remarks)?;
    lines.extend(balancing);
    let total_minor = lines.iter().try_fold(0_i64, |sum, line| sum.checked_add(line.gross_minor));
    let Some(total_minor) = total_minor else { return Err(unreadable("an amount is too large")) };
    let payments = payments(sale, total_minor, declared_minor, &mut remarks)?;
    let missing_items = missing_items(sale, &lines);
    remarks.sort_unstable();
    remarks.dedup();
    let placed = order.placed_at.or(order.accepted_at);
    let Some(placed) = placed else {
        let hint = "when it was placed is not told, so it has no day to be posted on: it goes on by itself once a version tells";
        return Err(Lack::new("date_unknown", hint));
    };
    debug_assert_eq!(total_minor, countable.total + declared_minor, "{:?}", money.verdict);
    let tracking = settings.tracking.iter().filter_map(|(name, tracking)| {
        let option = tracking.option(order)?.to_owned();
        Some(TrackingOption { name: name.clone(), option })
    });
    Ok(Target {
        currency: countable.currency,
        date: placed.with_timezone(&settings.time_zone).date_naive(),
        lines,
        tracking: tracking.collect(),
        payments,
        declared_minor,
        remarks,
        missing_items,
    })
}

/// An order's amounts, all of which are there.
struct Countable {
    currency: Currency,
    /// Of each item, as the breakdown counts it.
    amounts: Vec<i64>,
    total: i64,
    /// What the lines come to less the total.
    delta: i64,
}

fn unreadable(what: &str) -> Lack {
    Lack::new("amount_unreadable", format!("{what}: post the order by hand and discard this, or wait for a version"))
}

fn countable(sale: Sale<'_>) -> Result<Countable, Lack> {
    let Sale { order, money, .. } = sale;
    let missing = |reason, what: &str| Lack::new(reason, format!("{what}: it goes on by itself once a version has it"));
    match money.reason {
        Some(Uncountable::MixedCurrencies) => {
            let hint =
                "its amounts are in several currencies, and nothing is converted: post it by hand and discard this";
            return Err(Lack::new("mixed_currencies", hint));
        }
        Some(Uncountable::AmountUnreadable) => return Err(unreadable("an amount or a line cannot be read")),
        Some(Uncountable::Overflow) => return Err(unreadable("an amount is too large")),
        Some(Uncountable::FractionalAmount) => return Err(unreadable("a line comes to no whole amount")),
        Some(Uncountable::TotalMissing) => return Err(missing("total_missing", "the order has no total")),
        Some(Uncountable::PriceMissing) => return Err(missing("price_missing", "a line has no price")),
        Some(Uncountable::QuantityUnknown) => {
            return Err(missing("quantity_missing", "how much was supplied of a line is not told"));
        }
        None => {}
    }
    let (Some(amounts), Some(currency), Some(total), Some(delta)) =
        (amounts_of_items(order, money), money.currency, money.total, money.delta)
    else {
        return Err(unreadable("its amounts cannot be added up"));
    };
    // Source: Xero Accounting API: unit amounts have two decimals.
    if currency.exponent() > 2 {
        let hint = format!("{currency} has more decimals than Xero keeps: post the order by hand and discard this");
        return Err(Lack::new("currency_too_fine", hint));
    }
    Ok(Countable { currency, amounts, total, delta })
}

/// One for each line of the order that was supplied, and one for each fee.
fn lines(sale: Sale<'_>, countable: &Countable, remarks: &mut Vec<Remark>) -> Result<Vec<Line>, Lack> {
    let Sale { order, settings, .. } = sale;
    let payload: Value = if settings.items.mode == ItemMode::None {
        Value::Null
    } else {
        serde_json::from_str(sale.payload).unwrap_or(Value::Null)
    };
    // An entry that is no object is no item, and then nothing of the order is countable.
    let raw = payload.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let links = substitution::links(order);
    let mut lines = Vec::new();
    for (at, (item, &amount)) in order.items.iter().zip(&countable.amounts).enumerate() {
        let supplied = item.quantity_fulfilled.is_none_or(|fulfilled| !fulfilled.is_zero());
        if !supplied || amount == 0 && item.item_type != Some(ItemType::Product) {
            continue;
        }
        let kind = kind_of(item);
        if kind == Kind::Other {
            remarks.push(Remark::UnknownItemType);
        }
        let name = name_of(item);
        let mut key = normalised(name);
        let mut tax_type = settings.tax_types.of(kind);
        if kind == Kind::Adjustment {
            let adjusted = links.adjustments.iter().find(|adjustment| adjustment.line == at);
            let adjusted = adjusted.map(|adjustment| adjustment.adjusts.as_slice()).unwrap_or_default();
            let kinds: Vec<Kind> = adjusted.iter().map(|line| kind_of(&order.items[*line])).collect();
            if let [first, others @ ..] = kinds.as_slice()
                && others.iter().all(|other| settings.tax_types.of(*other) == settings.tax_types.of(*first))
            {
                tax_type = settings.tax_types.of(*first);
                key = format!("{key}\u{1f}{first:?}");
            }
        }
        let item_code = (kind == Kind::Sales).then(|| item_code(sale, name, raw.get(at))).flatten();
        lines.push(Line {
            kind,
            key,
            description: description(order, item, kind, &links, at),
            account: account(settings, kind)?,
            tax_type: tax_type.to_owned(),
            item_code,
            quantity: quantity(item),
            gross_minor: amount,
            tracking: Vec::new(),
        });
    }
    let is_third_party = matches!(order.delivery_provider, Some(DeliveryProvider::Uber | DeliveryProvider::Other(_)));
    let delivery = if is_third_party { Kind::DeliveryFeeThirdParty } else { Kind::DeliveryFee };
    let fees = [(Kind::ServiceFee, "Service fee", order.service_fee), (delivery, "Delivery fee", order.delivery_fee)];
    for (kind, name, fee) in fees {
        if let Some(fee) = fee.filter(|fee| fee.amount != 0) {
            lines.push(plain_line(settings, kind, name, fee.amount)?);
        }
    }
    Ok(lines)
}

fn plain_line(settings: &XeroSettings, kind: Kind, description: &str, gross_minor: i64) -> Result<Line, Lack> {
    Ok(Line {
        kind,
        key: String::new(),
        description: description.to_owned(),
        account: account(settings, kind)?,
        tax_type: settings.tax_types.of(kind).to_owned(),
        item_code: None,
        quantity: 1,
        gross_minor,
        tracking: Vec::new(),
    })
}

fn account(settings: &XeroSettings, kind: Kind) -> Result<String, Lack> {
    let hint = "accounts.difference is not set, and the order does not add up: set it, then retry";
    settings.accounts.of(kind).map(str::to_owned).ok_or_else(|| Lack::new("account_missing", hint))
}

fn kind_of(item: &Item) -> Kind {
    match item.item_type {
        Some(ItemType::Product) => Kind::Sales,
        Some(ItemType::Offer) => Kind::Offer,
        Some(ItemType::Voucher) => Kind::VendorVoucher,
        Some(ItemType::Adjustment) => Kind::Adjustment,
        Some(ItemType::Other(_)) | None => Kind::Other,
    }
}

/// Units, where they are whole; else the line is one unit.
fn quantity(item: &Item) -> i64 {
    item.quantity_fulfilled.and_then(Quantity::as_whole).filter(|units| *units > 0).unwrap_or(1)
}

fn name_of(item: &Item) -> &str {
    item.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("Item")
}

/// As names are compared: trimmed, inner spaces collapsed, case folded.
pub fn normalised(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// For people who read the document.
fn description(order: &Order, item: &Item, kind: Kind, links: &substitution::Links, at: usize) -> String {
    let name = name_of(item);
    let starts_with = |word: &str| name.to_lowercase().starts_with(word);
    match kind {
        Kind::Adjustment if !starts_with("adjustment") => return format!("Adjustment: {name}"),
        Kind::VendorVoucher if starts_with("voucher") => return format!("{name} (vendor)"),
        Kind::VendorVoucher => return format!("Voucher {name} (vendor)"),
        Kind::Adjustment | Kind::Offer => return name.to_owned(),
        Kind::Sales
        | Kind::Other
        | Kind::ServiceFee
        | Kind::DeliveryFee
        | Kind::DeliveryFeeThirdParty
        | Kind::Rounding
        | Kind::Difference => {}
    }
    let mut notes: Vec<String> = Vec::new();
    let chosen = item.option_categories.iter().flat_map(|category| &category.options);
    let chosen: Vec<&str> = chosen.filter_map(|option| option.name.as_deref()).map(str::trim).collect();
    let chosen: Vec<&str> = chosen.into_iter().filter(|name| !name.is_empty()).collect();
    if !chosen.is_empty() {
        notes.push(chosen.join(", "));
    }
    let is_fraction = item.quantity_fulfilled.filter(|fulfilled| fulfilled.as_whole().is_none());
    notes.extend(is_fraction.map(|fulfilled| format!("quantity {fulfilled}")));
    let replaces = links.groups.iter().find(|group| group.replacements.contains(&at) && !group.originals.contains(&at));
    if let Some(group) = replaces {
        let originals: Vec<&str> = group.originals.iter().map(|line| name_of(&order.items[*line])).collect();
        notes.push(format!("substitute for {}", originals.join(", ")));
    }
    if notes.is_empty() { name.to_owned() } else { format!("{name} ({})", notes.join("; ")) }
}

/// The code of the item that a line names; none: it names none.
fn item_code(sale: Sale<'_>, name: &str, raw: Option<&Value>) -> Option<String> {
    let items = &sale.settings.items;
    let known = |code: &String| sale.facts.items.contains(code);
    let linked = items.item_codes.iter().find(|(dish, _)| normalised(dish) == normalised(name)).map(|(_, code)| code);
    if items.mode == ItemMode::None {
        return None;
    }
    if let Some(code) = linked {
        return Some(code.clone()).filter(|code| known(code));
    }
    let pointers = [&items.item_fields.reference, &items.item_fields.barcode];
    let pointed = pointers.into_iter().flatten().find_map(|pointer| pointer.text(raw?));
    let code = code_of(pointed.unwrap_or(&normalised(name)));
    (items.mode == ItemMode::Create || known(&code)).then_some(code)
}

/// A key of at most 30 characters as it is; else 20 characters that can be read, and 8 that tell it from others.
///
/// Source: Xero Accounting API, Items: `Code` has at most 30 characters.
fn code_of(key: &str) -> String {
    const LONGEST: usize = 30;

    if key.chars().count() <= LONGEST {
        return key.to_owned();
    }
    let slug: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(20).collect();
    let digest = hex::encode(Sha256::digest(key));
    format!("{slug}-{}", &digest[..8])
}

fn missing_items(sale: Sale<'_>, lines: &[Line]) -> Vec<MissingItem> {
    /// Source: Xero Accounting API, Items: `Name` has at most 50 characters.
    const LONGEST_NAME: usize = 50;

    let mut missing: Vec<MissingItem> = Vec::new();
    for line in lines {
        let Some(code) = line.item_code.as_ref().filter(|code| !sale.facts.items.contains(*code)) else { continue };
        if missing.iter().all(|item| item.code != *code) {
            missing.push(MissingItem {
                code: code.clone(),
                name: line.description.chars().take(LONGEST_NAME).collect(),
                account: line.account.clone(),
                tax_type: line.tax_type.clone(),
            });
        }
    }
    missing
}

/// The line that makes lines come to what is posted, and what that is beside the order's total.
fn balance(sale: Sale<'_>, countable: &Countable, remarks: &mut Vec<Remark>) -> Result<(Option<Line>, i64), Lack> {
    let Sale { money, settings, .. } = sale;
    let delta = countable.delta;
    if delta == 0 {
        return Ok((None, 0));
    }
    let Some(missing) = delta.checked_neg() else { return Err(unreadable("an amount is too large")) };
    if delta.unsigned_abs() <= u64::from(settings.rounding_tolerance) {
        return Ok((Some(plain_line(settings, Kind::Rounding, "Rounding", missing)?), 0));
    }
    if money.verdict == Verdict::Goodwill {
        remarks.push(Remark::Goodwill(delta));
        return Ok((None, delta));
    }
    match settings.unexplained {
        Unexplained::Suspense => {
            remarks.push(Remark::Unexplained(missing));
            Ok((Some(plain_line(settings, Kind::Difference, "Difference to the order's total", missing)?), 0))
        }
        Unexplained::Hold => {
            let hint = format!(
                "its lines come to {} more than its total, and nothing says why: post it by hand and discard this, or set \
                 `unexplained = \"suspense\"` and retry",
                crate::domain::money::Money::new(delta, countable.currency)
            );
            Err(Lack::new("unexplained_difference", hint))
        }
    }
}

/// What was paid, cut back to what is posted.
fn payments(
    sale: Sale<'_>,
    total_minor: i64,
    declared_minor: i64,
    remarks: &mut Vec<Remark>,
) -> Result<Vec<Wanted>, Lack> {
    let Sale { order, settings, .. } = sale;
    if order.warnings.contains(&Warning::PaymentUnreadable) {
        let hint = "a payment cannot be read: post the order by hand and discard this, or wait for a version";
        return Err(Lack::new("payment_unreadable", hint));
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for payment in &order.payments {
        let Some(amount) = payment.amount else {
            let hint = "a payment has no amount: it goes on by itself once a version has it";
            return Err(Lack::new("payment_unreadable", hint));
        };
        if amount.amount == 0 {
            continue;
        }
        let Some(tender) = Tender::of(payment.payment_type.as_ref(), payment.collected_by.as_ref()) else {
            let hint =
                "who holds a payment is not known, so it has no account: post the order by hand and discard this";
            return Err(Lack::new("unknown_collector", hint));
        };
        if matches!(tender, Tender::OtherScoffable | Tender::OtherVendor) {
            let name = |text: Option<&str>| text.unwrap_or("none").to_owned();
            let payment_type = name(payment.payment_type.as_ref().map(PaymentType::as_str));
            let holder = name(payment.collected_by.as_ref().map(Collector::as_str));
            remarks.push(Remark::UnknownTender(format!("{payment_type}_{holder}")));
        }
        wanted.push(Wanted { tender, amount_minor: amount.amount });
    }
    let on_top = if settings.goodwill == Goodwill::Receivable { declared_minor } else { 0 };
    cut_back(&mut wanted, total_minor.saturating_sub(on_top), remarks);
    if on_top != 0 {
        wanted.push(Wanted { tender: Tender::Goodwill, amount_minor: on_top });
    }
    Ok(wanted)
}

/// Takes what was paid beyond the limit out of the payments, the newest of each tender first.
fn cut_back(wanted: &mut Vec<Wanted>, limit: i64, remarks: &mut Vec<Remark>) {
    let paid: i128 = wanted.iter().map(|payment| i128::from(payment.amount_minor)).sum();
    let mut excess = paid - i128::from(limit.max(0));
    if excess <= 0 || limit < 0 && paid <= 0 {
        return;
    }
    remarks.push(Remark::PaymentsCapped(i64::try_from(excess).unwrap_or(i64::MAX)));
    for tender in CUT_FIRST {
        for payment in wanted.iter_mut().rev().filter(|payment| payment.tender == tender && payment.amount_minor > 0) {
            let cut = excess.min(i128::from(payment.amount_minor));
            payment.amount_minor -= cut as i64;
            excess -= cut;
        }
    }
    wanted.retain(|payment| payment.amount_minor != 0);
}

#[cfg(test)]
mod tests;
