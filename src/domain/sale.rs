//! What an order comes to in anybody's books: lines by what they are, payments by who holds the money. Pure; in minor units.
//!
//! | The order | Its lines |
//! | --- | --- |
//! | adds up | come to its total |
//! | misses its total by pennies | do so with [`Balance::Rounding`] |
//! | was made dearer by a substitute that the platform pays for | come to more than its total: [`Balance::Goodwill`] |
//! | does not add up, and nothing says why | miss it by [`Balance::Unexplained`] |
//!
//! What a sink makes of it is for the sink. Whatever cannot be posted truthfully is a [`Lack`]: told with a reason, never
//! guessed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    delivery::Plan,
    money::{Breakdown, Currency, Reason, Verdict, amounts_of_items},
    order::{Collector, DeliveryProvider, Item, ItemType, Order, PaymentType, Quantity, Warning},
    substitution,
};

/// What a line is, for the account, the product and the tax that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Sales,
    /// An item of a type that is not known.
    Other,
    Offer,
    /// A promotional code that the vendor pays for.
    VendorVoucher,
    Adjustment,
    ServiceFee,
    DeliveryFee,
    /// For a delivery that the vendor does not make.
    DeliveryFeeThirdParty,
    /// Pennies that the lines miss the total by.
    Rounding,
    /// What nothing explains.
    Difference,
}

/// A tender by its kind and by who holds the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tender {
    OnlineScoffable,
    VoucherScoffable,
    OnlineVendor,
    CashVendor,
    /// Of any other kind, held by Scoffable.
    OtherScoffable,
    OtherVendor,
    /// What the platform pays on top of the customer.
    Goodwill,
}

impl Tender {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnlineScoffable => "online_scoffable",
            Self::VoucherScoffable => "voucher_scoffable",
            Self::OnlineVendor => "online_vendor",
            Self::CashVendor => "cash_vendor",
            Self::OtherScoffable => "other_scoffable",
            Self::OtherVendor => "other_vendor",
            Self::Goodwill => "goodwill",
        }
    }

    /// None: who holds the money is not known.
    pub fn of(payment_type: Option<&PaymentType>, collected_by: Option<&Collector>) -> Option<Self> {
        Some(match (collected_by?, payment_type) {
            (Collector::Scoffable, Some(PaymentType::Online)) => Self::OnlineScoffable,
            (Collector::Scoffable, Some(PaymentType::Voucher)) => Self::VoucherScoffable,
            (Collector::Scoffable, _) => Self::OtherScoffable,
            (Collector::Vendor, Some(PaymentType::Cash)) => Self::CashVendor,
            (Collector::Vendor, Some(PaymentType::Online)) => Self::OnlineVendor,
            (Collector::Vendor, _) => Self::OtherVendor,
            (Collector::Other(_), _) => return None,
        })
    }
}

/// Where payments are cut back when they come to more than the order.
const CUT_FIRST: [Tender; 6] = [
    Tender::OnlineScoffable,
    Tender::VoucherScoffable,
    Tender::OtherScoffable,
    Tender::OnlineVendor,
    Tender::CashVendor,
    Tender::OtherVendor,
];

/// A payment that is wanted; negative: a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub tender: Tender,
    pub amount_minor: i64,
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
    pub fn new(reason: &'static str, hint: impl Into<String>) -> Self {
        Self { reason, hint: hint.into() }
    }

    /// Something in the order cannot be read.
    pub fn unreadable(what: &str) -> Self {
        Self::new(
            "amount_unreadable",
            format!("{what}: post the order by hand and discard this, or wait for a version"),
        )
    }

    /// A newer version may cure it.
    pub fn parked(self) -> Plan {
        Plan::Park { reason: self.reason, hint: self.hint, curable: true }
    }
}

/// When the order was placed.
///
/// # Errors
/// No version has told so far: then it has no day to be posted on.
pub fn placed_at(order: &Order) -> Result<DateTime<Utc>, Lack> {
    let hint =
        "when it was placed is not told, so it has no day to be posted on: it goes on by itself once a version tells";
    order.placed_at.or(order.accepted_at).ok_or_else(|| Lack::new("date_unknown", hint))
}

/// An order's amounts, all of which are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Countable {
    pub currency: Currency,
    /// Of each item, as the breakdown counts it.
    pub amounts: Vec<i64>,
    pub total: i64,
    /// What the lines come to less the total.
    pub delta: i64,
}

/// The amounts of an order.
///
/// # Errors
/// One of them is missing or cannot be read, or they cannot be added up.
pub fn countable(order: &Order, money: &Breakdown) -> Result<Countable, Lack> {
    let missing = |reason, what: &str| Lack::new(reason, format!("{what}: it goes on by itself once a version has it"));
    match money.reason {
        Some(Reason::MixedCurrencies) => {
            let hint =
                "its amounts are in several currencies, and nothing is converted: post it by hand and discard this";
            return Err(Lack::new("mixed_currencies", hint));
        }
        Some(Reason::AmountUnreadable) => return Err(Lack::unreadable("an amount or a line cannot be read")),
        Some(Reason::Overflow) => return Err(Lack::unreadable("an amount is too large")),
        Some(Reason::FractionalAmount) => return Err(Lack::unreadable("a line comes to no whole amount")),
        Some(Reason::TotalMissing) => return Err(missing("total_missing", "the order has no total")),
        Some(Reason::PriceMissing) => return Err(missing("price_missing", "a line has no price")),
        Some(Reason::QuantityUnknown) => {
            return Err(missing("quantity_missing", "how much was supplied of a line is not told"));
        }
        None => {}
    }
    let (Some(amounts), Some(currency), Some(total), Some(delta)) =
        (amounts_of_items(order, money), money.currency, money.total, money.delta)
    else {
        return Err(Lack::unreadable("its amounts cannot be added up"));
    };
    Ok(Countable { currency, amounts, total, delta })
}

/// One line of what was supplied, or a fee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its place among the order's items; none: a fee.
    pub at: Option<usize>,
    pub kind: Kind,
    pub name: &'a str,
    /// What else there is to say of it: options, a quantity that is no whole number, what it is a substitute for.
    pub notes: Vec<String>,
    /// Of an adjustment: what the lines are that it adjusts.
    pub adjusts: Vec<Kind>,
    /// Units, where they are whole, else 1.
    pub quantity: i64,
    pub gross_minor: i64,
}

impl Line<'_> {
    /// For people who read it in one text.
    pub fn description(&self) -> String {
        let name = self.name;
        let starts_with = |word: &str| name.to_lowercase().starts_with(word);
        match self.kind {
            Kind::Adjustment if !starts_with("adjustment") => format!("Adjustment: {name}"),
            Kind::VendorVoucher if starts_with("voucher") => format!("{name} (vendor)"),
            Kind::VendorVoucher => format!("Voucher {name} (vendor)"),
            _ if self.notes.is_empty() => name.to_owned(),
            _ => format!("{name} ({})", self.notes.join("; ")),
        }
    }
}

/// One for each item of the order that was supplied, and one for each fee.
pub fn lines<'a>(order: &'a Order, countable: &Countable, remarks: &mut Vec<Remark>) -> Vec<Line<'a>> {
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
        let adjustment = links.adjustments.iter().find(|adjustment| adjustment.line == at);
        let adjusts = adjustment.map(|adjustment| adjustment.adjusts.as_slice()).unwrap_or_default();
        lines.push(Line {
            at: Some(at),
            kind,
            name: name_of(item),
            notes: notes(order, item, kind, &links, at),
            adjusts: adjusts.iter().map(|line| kind_of(&order.items[*line])).collect(),
            quantity: quantity(item),
            gross_minor: amount,
        });
    }
    let is_third_party = matches!(order.delivery_provider, Some(DeliveryProvider::Uber | DeliveryProvider::Other(_)));
    let delivery = if is_third_party { Kind::DeliveryFeeThirdParty } else { Kind::DeliveryFee };
    let fees = [(Kind::ServiceFee, "Service fee", order.service_fee), (delivery, "Delivery fee", order.delivery_fee)];
    for (kind, name, fee) in fees {
        if let Some(fee) = fee.filter(|fee| fee.amount != 0) {
            let gross_minor = fee.amount;
            lines.push(Line { at: None, kind, name, notes: Vec::new(), adjusts: Vec::new(), quantity: 1, gross_minor });
        }
    }
    lines
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

fn quantity(item: &Item) -> i64 {
    item.quantity_fulfilled.and_then(Quantity::as_whole).filter(|units| *units > 0).unwrap_or(1)
}

fn name_of(item: &Item) -> &str {
    item.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("Item")
}

fn notes(order: &Order, item: &Item, kind: Kind, links: &substitution::Links, at: usize) -> Vec<String> {
    if !matches!(kind, Kind::Sales | Kind::Other) {
        return Vec::new();
    }
    let mut notes = Vec::new();
    let chosen = item.option_categories.iter().flat_map(|category| &category.options);
    let chosen = chosen.filter_map(|option| option.name.as_deref()).map(str::trim).filter(|name| !name.is_empty());
    let chosen: Vec<&str> = chosen.collect();
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
    notes
}

/// What an order's lines are beside its total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    Even,
    /// So many minor units have to be added to the lines.
    Rounding(i64),
    /// So many minor units more than the total, which the platform pays.
    Goodwill(i64),
    /// So many minor units have to be added to the lines, and nothing says why.
    Unexplained(i64),
}

/// What the lines are beside the total; up to `tolerance` minor units are nobody's concern.
///
/// # Errors
/// An amount is too large.
pub fn balance(money: &Breakdown, countable: &Countable, tolerance: u32) -> Result<Balance, Lack> {
    let delta = countable.delta;
    let Some(missing) = delta.checked_neg() else { return Err(Lack::unreadable("an amount is too large")) };
    Ok(match delta {
        0 => Balance::Even,
        _ if delta.unsigned_abs() <= u64::from(tolerance) => Balance::Rounding(missing),
        _ if money.verdict == Verdict::Goodwill => Balance::Goodwill(delta),
        _ => Balance::Unexplained(missing),
    })
}

/// What was paid, cut back to `limit_minor`: one for each tender of the order, zero never.
///
/// # Errors
/// A payment cannot be read, or nobody is known to hold it.
pub fn payments(order: &Order, limit_minor: i64, remarks: &mut Vec<Remark>) -> Result<Vec<Wanted>, Lack> {
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
    cut_back(&mut wanted, limit_minor, remarks);
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

/// `total` as quantities times unit amounts: one of them where the quantity divides it, else two whose units differ by one
/// minor unit. A quantity below 1 counts as 1.
pub fn split(total: i64, quantity: i64) -> Vec<(i64, i64)> {
    let quantity = quantity.max(1);
    let magnitude = total.unsigned_abs();
    let (unit, rest) = ((magnitude / quantity.unsigned_abs()) as i64, (magnitude % quantity.unsigned_abs()) as i64);
    let sign = total.signum();
    if rest == 0 {
        return vec![(quantity, sign * unit)];
    }
    vec![(quantity - rest, sign * unit), (rest, sign * (unit + 1))]
}

/// As names are compared: composed, trimmed, inner spaces collapsed, case folded.
pub fn normalised(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;

    let composed: String = name.nfkc().collect();
    composed.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_that_does_not_divide_becomes_two_that_add_up() {
        assert_eq!(split(2190, 2), [(2, 1095)]);
        assert_eq!(split(1000, 3), [(2, 333), (1, 334)]);
        assert_eq!(split(-1000, 3), [(2, -333), (1, -334)]);
        assert_eq!(split(1, 3), [(2, 0), (1, 1)]);
        assert_eq!(split(0, 4), [(4, 0)]);
        assert_eq!(split(290, 0), [(1, 290)]);
    }

    #[test]
    fn names_are_one_however_they_are_typed() {
        assert_eq!(normalised("  Lamb \t Bhuna "), "lamb bhuna");
        // The same letter composed and not, and a full-width one.
        assert_eq!(normalised("Cre\u{300}me"), normalised("Cr\u{e8}me"));
        assert_eq!(normalised("\u{ff2e}aan"), "naan");
    }

    proptest! {
        #[test]
        fn what_is_split_adds_up(total in any::<i32>(), quantity in 1..500_i64) {
            let parts = split(i64::from(total), quantity);

            prop_assert_eq!(parts.iter().map(|(quantity, unit)| quantity * unit).sum::<i64>(), i64::from(total));
            prop_assert_eq!(parts.iter().map(|(quantity, _)| quantity).sum::<i64>(), quantity);
            prop_assert!(parts.iter().all(|(quantity, _)| *quantity > 0));
        }
    }
}
