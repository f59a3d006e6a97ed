//! Money: integer minor units of one currency, and what an order's amounts add up to.
//!
//! No float anywhere, and no sum across currencies. [`breakdown`] is computed once per version, at ingest; it is a
//! statement about the amounts as delivered and never fails: what cannot be computed has a reason, what does not add
//! up has a verdict, and neither ever holds back the version. It does not decide what a destination may post.
//!
//! Not known, and so not here: commission, processing cost, tax and payouts. The position between vendor and
//! platform is the gross one.
//!
//! Source: Scoffable developer documentation 1.0.0, "Understanding Orders", "MonetaryAmount", "CustomerPayment". The
//! identity *goods supplied + fees = total* is inferred from it; the published samples are abridged and do not prove it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    decimal::{Decimal, decimal},
    order::{Collector, DeliveryProvider, Item, ItemType, Order, PaymentType, Quantity, Warning},
    substitution,
};

/// An ISO 4217 code: three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency code is three letters")]
pub struct InvalidCurrency;

impl Currency {
    /// Lower-case letters are taken as upper-case ones.
    pub fn parse(raw: &str) -> Result<Self, InvalidCurrency> {
        match raw.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_alphabetic) => {
                Ok(Self([a, b, c].map(|letter| letter.to_ascii_uppercase())))
            }
            _ => Err(InvalidCurrency),
        }
    }

    pub fn as_str(&self) -> &str {
        // Only ASCII letters get past `parse`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Digits after the decimal point: 2 unless ISO 4217 says otherwise.
    pub fn exponent(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }

    /// An amount or a sum of amounts, given in minor units, in major units. See [`Money::to_decimal`].
    pub fn decimal(self, minor: i128) -> String {
        let digits = self.exponent();
        let sign = if minor < 0 { "-" } else { "" };
        let magnitude = minor.unsigned_abs();
        if digits == 0 {
            return format!("{sign}{magnitude}");
        }
        let unit = 10_u128.pow(digits);
        format!("{sign}{}.{:02$}", magnitude / unit, magnitude % unit, digits as usize)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&raw).map_err(serde::de::Error::custom)
    }
}

/// An amount in the currency's minor unit; may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    pub amount: i64,
    pub currency: Currency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("amounts of different currencies cannot be added")]
    MixedCurrencies,
    #[error("an amount does not fit into 64 bits")]
    Overflow,
    #[error("a price times a fraction of a unit is not a whole amount")]
    NotWhole,
}

impl Money {
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combined(other, i64::checked_add)
    }

    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combined(other, i64::checked_sub)
    }

    /// Exact: a fraction of a unit that makes a fraction of the minor unit is an error, never rounded.
    pub fn checked_times(self, quantity: Quantity) -> Result<Self, MoneyError> {
        let (coefficient, divisor) = quantity.as_fraction();
        let product = i128::from(self.amount) * i128::from(coefficient);
        if product % i128::from(divisor) != 0 {
            return Err(MoneyError::NotWhole);
        }
        let amount = i64::try_from(product / i128::from(divisor)).map_err(|_| MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }

    /// The amount in major units as destinations write it: `12.50`, `-1.30`, `1500` (JPY), `1.250` (KWD).
    pub fn to_decimal(self) -> String {
        self.currency.decimal(self.amount.into())
    }

    /// From a JSON number of major units, as `12.50`. None: it is no whole number of minor units, or too large.
    pub fn from_decimal(raw: &str, currency: Currency) -> Option<Self> {
        let Decimal { coefficient, scale } = decimal(raw).ok()?;
        let missing = currency.exponent().checked_sub(scale)?;
        let amount = coefficient.checked_mul(10_i64.checked_pow(missing)?)?;
        Some(Self { amount, currency })
    }

    fn combined(self, other: Self, operation: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies);
        }
        let amount = operation(self.amount, other.amount).ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }
}

/// For people: `12.50 GBP`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to_decimal(), self.currency)
    }
}

/// What one version's amounts add up to, in minor units of `currency`.
///
/// Stored as `order_versions.breakdown` and sent as `money` of a webhook body. Positive item amounts are goods;
/// discounts are negative. Fields are `null` where they cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    pub verdict: Verdict,
    /// Why the verdict is `not_computable`; `null` otherwise.
    pub reason: Option<Reason>,
    /// The one currency of the order; `null` without amounts or with several currencies.
    pub currency: Option<Currency>,
    /// Where the item amounts come from.
    pub basis: Basis,
    pub items: Option<ItemSums>,
    /// 0 where the order has none.
    pub delivery_fee: Option<i64>,
    /// 0 where the order has none. Belongs to the vendor.
    pub service_fee: Option<i64>,
    /// `items.supplied + delivery_fee + service_fee`
    pub expected: Option<i64>,
    /// The order's own total.
    pub total: Option<i64>,
    /// `expected - total`
    pub delta: Option<i64>,
    /// The part of `delta` the platform pays on top of the customer, after a substitution.
    pub goodwill: i64,
    /// `delta - goodwill`: what nothing explains.
    pub residual: Option<i64>,
    pub tenders: Option<Tenders>,
    /// `total + goodwill`, before commission.
    pub vendor_due: Option<i64>,
    /// `vendor_due` less what the vendor holds already; negative when it holds more than its due. `null` while it is
    /// not known who holds a tender.
    pub scoffable_owes_vendor: Option<i64>,
    /// What a reader of the figures should know, each once, in the order of [`Flag`].
    pub flags: Vec<Flag>,
}

/// What was supplied: `(price + surcharges) × fulfilled`, by kind of line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemSums {
    pub goods: i64,
    /// Automatic deals. Assumed: borne by the vendor, as they lower the total.
    pub offers: i64,
    /// Promotional codes, borne by the vendor. Not the tenders of the same name.
    pub vouchers: i64,
    pub adjustments: i64,
    /// Lines of a kind we do not know.
    pub other_items: i64,
    /// The sum of the above.
    pub supplied: i64,
    /// What of the adjustments gives money back, other than to match a substitute's price. 0 in what was stored before
    /// it was told apart.
    #[serde(default)]
    pub refunds: i64,
}

/// Who holds the customer's money, and in which form it came. Each view adds up to `paid`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenders {
    pub held_by_scoffable: i64,
    pub held_by_vendor: i64,
    /// Held by someone we do not know.
    pub held_by_other: i64,
    pub online: i64,
    pub cash: i64,
    pub voucher: i64,
    /// Of a type we do not know.
    pub other_type: i64,
    pub paid: i64,
}

/// Whether the amounts add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Balanced,
    /// Only with the platform's line totals in place of price times quantity.
    BalancedOnItemTotals,
    /// More was supplied than the customer pays for, after a substitution: the platform pays the difference.
    Goodwill,
    Unexplained,
    NotComputable,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::BalancedOnItemTotals => "balanced_on_item_totals",
            Self::Goodwill => "goodwill",
            Self::Unexplained => "unexplained",
            Self::NotComputable => "not_computable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why there is no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    MixedCurrencies,
    Overflow,
    TotalMissing,
    /// A supplied line has no price.
    PriceMissing,
    /// How much of a product was supplied is not known.
    QuantityUnknown,
    /// A fraction of a unit makes a fraction of the minor unit.
    FractionalAmount,
    /// An amount or a line was there but could not be read.
    AmountUnreadable,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MixedCurrencies => "mixed_currencies",
            Self::Overflow => "overflow",
            Self::TotalMissing => "total_missing",
            Self::PriceMissing => "price_missing",
            Self::QuantityUnknown => "quantity_unknown",
            Self::FractionalAmount => "fractional_amount",
            Self::AmountUnreadable => "amount_unreadable",
        }
    }
}

impl From<MoneyError> for Reason {
    fn from(error: MoneyError) -> Self {
        match error {
            MoneyError::MixedCurrencies => Self::MixedCurrencies,
            MoneyError::Overflow => Self::Overflow,
            MoneyError::NotWhole => Self::FractionalAmount,
        }
    }
}

/// Where the item amounts of a breakdown come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Price and surcharges times what was supplied.
    Computed,
    /// The platform's line totals, on all supplied lines or on those where price times quantity disagrees.
    ItemTotals,
}

/// Remarks that change no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// A line of a kind we do not know is in the sums.
    UnknownItemType,
    /// A discount or adjustment without quantities was taken as one unit.
    QuantityAssumed,
    /// There are offers or adjustments; that the vendor bears them is assumed.
    FundingAssumed,
    /// A line's total covers one unit.
    ItemTotalPerUnit,
    /// A line's total covers neither one unit nor the line.
    ItemTotalMismatch,
    /// The goodwill is more than what the substitutes cost in addition.
    GoodwillExceedsSubstitution,
    NoPayments,
    /// Tenders do not add up to the total; after a substitution or refund that may stay so.
    PaidDiffersFromTotal,
    /// Someone we do not know holds money, so the position is not computable.
    UnknownCollector,
    UnknownPaymentType,
    /// A tender could not be read, so the position is not computable.
    PaymentUnreadable,
    /// A third party delivers; whether the delivery fee reaches the vendor is not known.
    DeliveryFeeOwnerUnknown,
}

/// Adds up one version of an order.
pub fn breakdown(order: &Order) -> Breakdown {
    let mut flags = Flags::default();
    let mut sheet = Breakdown {
        verdict: Verdict::NotComputable,
        reason: None,
        currency: None,
        basis: Basis::Computed,
        items: None,
        delivery_fee: None,
        service_fee: None,
        expected: None,
        total: None,
        delta: None,
        goodwill: 0,
        residual: None,
        tenders: None,
        vendor_due: None,
        scoffable_owes_vendor: None,
        flags: Vec::new(),
    };
    match single_currency(order) {
        Ok(currency) => {
            sheet.currency = currency;
            let minor = |money: Option<Money>| money.map_or(0, |m| m.amount);
            sheet.delivery_fee = Some(minor(order.delivery_fee));
            sheet.service_fee = Some(minor(order.service_fee));
            sheet.total = order.total.map(|total| total.amount);
            sheet.tenders = tenders(order, &mut flags);
            if let Err(reason) = judge(order, &mut sheet, &mut flags) {
                sheet.reason = Some(reason);
            }
            settle_position(order, &mut sheet, &mut flags);
        }
        Err(MixedCurrencies) => sheet.reason = Some(Reason::MixedCurrencies),
    }
    sheet.flags = flags.into_sorted();
    sheet
}

/// Fills in items, expectation and verdict. On an error the figures so far stand and the verdict stays as it was.
fn judge(order: &Order, sheet: &mut Breakdown, flags: &mut Flags) -> Result<(), Reason> {
    if order.warnings.iter().any(|w| matches!(w, Warning::MoneyUnreadable | Warning::ItemUnreadable)) {
        return Err(Reason::AmountUnreadable);
    }
    let readings = Readings::of(&order.items, flags)?;
    let fees = wide(sheet.delivery_fee) + wide(sheet.service_fee);
    let of = |sums: &WideSums| sums.supplied() + fees;

    let Some(total) = sheet.total else {
        sheet.items = Some(readings.computed.narrow()?);
        sheet.expected = Some(narrow(of(&readings.computed))?);
        return Err(Reason::TotalMissing);
    };
    let total = i128::from(total);

    let (verdict, basis, sums) = if of(&readings.computed) == total {
        (Some(Verdict::Balanced), Basis::Computed, &readings.computed)
    } else if of(&readings.on_totals) == total {
        (Some(Verdict::BalancedOnItemTotals), Basis::ItemTotals, &readings.on_totals)
    } else if of(&readings.preferred) == total {
        (Some(Verdict::BalancedOnItemTotals), Basis::ItemTotals, &readings.preferred)
    } else if readings.prefers_totals {
        (None, Basis::ItemTotals, &readings.preferred)
    } else {
        (None, Basis::Computed, &readings.computed)
    };
    let delta = narrow(of(sums) - total)?;
    sheet.items = Some(sums.narrow()?);
    sheet.expected = Some(narrow(of(sums))?);
    sheet.basis = basis;
    sheet.delta = Some(delta);
    sheet.verdict = verdict.unwrap_or_else(|| {
        let substitutes = (delta > 0).then(|| substitution::supplied_substitutes(order)).flatten();
        match substitutes {
            Some(substitutes) => {
                sheet.goodwill = delta;
                if substitutes.rise.is_none_or(|rise| rise.amount < delta) {
                    flags.raise(Flag::GoodwillExceedsSubstitution);
                }
                Verdict::Goodwill
            }
            None => Verdict::Unexplained,
        }
    });
    sheet.residual = Some(delta - sheet.goodwill);
    Ok(())
}

fn settle_position(order: &Order, sheet: &mut Breakdown, flags: &mut Flags) {
    if let Some(tenders) = &sheet.tenders {
        if order.payments.is_empty() {
            flags.raise(Flag::NoPayments);
        } else if sheet.total.is_some_and(|total| total != tenders.paid) {
            flags.raise(Flag::PaidDiffersFromTotal);
        }
    }
    let platform_may_keep_the_fee = match order.delivery_provider {
        Some(DeliveryProvider::Uber | DeliveryProvider::Other(_)) => true,
        Some(DeliveryProvider::Vendor) | None => false,
    };
    if platform_may_keep_the_fee && sheet.delivery_fee.is_some_and(|fee| fee != 0) {
        flags.raise(Flag::DeliveryFeeOwnerUnknown);
    }
    sheet.vendor_due = sheet.total.and_then(|total| total.checked_add(sheet.goodwill));
    let holders_known = !flags.contains(Flag::UnknownCollector) && !flags.contains(Flag::PaymentUnreadable);
    if holders_known && let (Some(due), Some(tenders)) = (sheet.vendor_due, &sheet.tenders) {
        sheet.scoffable_owes_vendor = due.checked_sub(tenders.held_by_vendor);
    }
}

/// Decided by who holds the money alone, never by the kind of tender. `None` when a sum does not fit.
fn tenders(order: &Order, flags: &mut Flags) -> Option<Tenders> {
    let mut sums = Tenders::default();
    if order.warnings.contains(&Warning::PaymentUnreadable) {
        flags.raise(Flag::PaymentUnreadable);
    }
    for payment in &order.payments {
        let Some(Money { amount, .. }) = payment.amount else {
            flags.raise(Flag::PaymentUnreadable);
            continue;
        };
        let holder = match payment.collected_by {
            Some(Collector::Scoffable) => &mut sums.held_by_scoffable,
            Some(Collector::Vendor) => &mut sums.held_by_vendor,
            Some(Collector::Other(_)) | None => {
                flags.raise(Flag::UnknownCollector);
                &mut sums.held_by_other
            }
        };
        *holder = holder.checked_add(amount)?;
        let kind = match payment.payment_type {
            Some(PaymentType::Online) => &mut sums.online,
            Some(PaymentType::Cash) => &mut sums.cash,
            Some(PaymentType::Voucher) => &mut sums.voucher,
            Some(PaymentType::Other(_)) | None => {
                flags.raise(Flag::UnknownPaymentType);
                &mut sums.other_type
            }
        };
        *kind = kind.checked_add(amount)?;
        sums.paid = sums.paid.checked_add(amount)?;
    }
    Some(sums)
}

/// The item sums under each reading of the platform's line totals.
#[derive(Default)]
struct Readings {
    /// Price and surcharges times fulfilled.
    computed: WideSums,
    /// The platform's totals on every supplied line that has one.
    on_totals: WideSums,
    /// As `computed`, but with the platform's total where it agrees with no reading of an entirely supplied line: it
    /// may hold a rounding or a deal we cannot see.
    preferred: WideSums,
    prefers_totals: bool,
}

impl Readings {
    fn of(items: &[Item], flags: &mut Flags) -> Result<Self, Reason> {
        let mut readings = Self::default();
        for item in items {
            readings.add(item, items, flags)?;
        }
        Ok(readings)
    }

    fn add(&mut self, item: &Item, all: &[Item], flags: &mut Flags) -> Result<(), Reason> {
        match item.item_type {
            Some(ItemType::Product | ItemType::Voucher) => {}
            Some(ItemType::Offer | ItemType::Adjustment) => flags.raise(Flag::FundingAssumed),
            Some(ItemType::Other(_)) | None => flags.raise(Flag::UnknownItemType),
        }
        let Some(line) = LineReadings::of(item, flags)? else { return Ok(()) };
        let kind = Kind::of(item, all);
        self.computed.add(kind, line.computed);
        self.on_totals.add(kind, line.stated);
        self.preferred.add(kind, line.preferred());
        self.prefers_totals |= line.prefers_stated;
        Ok(())
    }
}

/// The amount of one supplied line under each reading.
struct LineReadings {
    computed: i64,
    /// The platform's, where it has one.
    stated: i64,
    prefers_stated: bool,
}

impl LineReadings {
    /// None: nothing of the line was supplied.
    fn of(item: &Item, flags: &mut Flags) -> Result<Option<Self>, Reason> {
        let fulfilled = supplied_quantity(item, flags).ok_or(Reason::QuantityUnknown)?;
        let supplied = !fulfilled.is_zero();
        let Some(unit) = item.unit_price() else {
            return if supplied { Err(Reason::PriceMissing) } else { Ok(None) };
        };
        let unit = unit?;
        let whole_line_supplied = supplied && item.quantity_ordered == Some(fulfilled) && fulfilled.is_positive();
        let counted = if supplied { fulfilled } else { item.quantity_ordered.unwrap_or(fulfilled) };
        let agrees = item.total.is_none_or(|total| {
            let per_line = unit.checked_times(counted) == Ok(total);
            if !per_line && total == unit {
                flags.raise(Flag::ItemTotalPerUnit);
            } else if !per_line {
                flags.raise(Flag::ItemTotalMismatch);
            }
            per_line || total == unit
        });
        if !supplied {
            return Ok(None);
        }

        let computed = unit.checked_times(fulfilled)?.amount;
        let stated = item.total.map_or(computed, |total| total.amount);
        Ok(Some(Self { computed, stated, prefers_stated: whole_line_supplied && !agrees }))
    }

    fn preferred(&self) -> i64 {
        if self.prefers_stated { self.stated } else { self.computed }
    }
}

/// What each line comes to on the basis of the order's breakdown, in minor units; 0 for what was not supplied. Together they
/// come to `items.supplied`. None: that could not be computed.
pub fn amounts_of_items(order: &Order, sheet: &Breakdown) -> Option<Vec<i64>> {
    let supplied = i128::from(sheet.items?.supplied);
    let readings = order.items.iter().map(|item| LineReadings::of(item, &mut Flags::default()).ok());
    let readings: Vec<Option<LineReadings>> = readings.collect::<Option<_>>()?;
    let under = |reading: fn(&LineReadings) -> i64| -> Vec<i64> {
        readings.iter().map(|line| line.as_ref().map_or(0, reading)).collect()
    };
    let by_basis = match sheet.basis {
        Basis::Computed => vec![under(|line| line.computed)],
        Basis::ItemTotals => vec![under(|line| line.stated), under(LineReadings::preferred)],
    };
    by_basis.into_iter().find(|amounts| amounts.iter().copied().map(i128::from).sum::<i128>() == supplied)
}

/// What was supplied of a line. Discounts and adjustments without quantities count once: they are documented with
/// one unit only. `None` where a product's quantity is not known.
fn supplied_quantity(item: &Item, flags: &mut Flags) -> Option<Quantity> {
    if let Some(fulfilled) = item.quantity_fulfilled {
        return Some(fulfilled);
    }
    match item.item_type {
        Some(ItemType::Offer | ItemType::Voucher | ItemType::Adjustment) => {
            flags.raise(Flag::QuantityAssumed);
            let ordered = item.quantity_ordered.filter(|ordered| ordered.is_positive());
            Some(ordered.unwrap_or(Quantity::whole(1)))
        }
        Some(ItemType::Product | ItemType::Other(_)) | None => None,
    }
}

/// Which of the sums a line belongs to.
#[derive(Clone, Copy)]
enum Kind {
    Goods,
    Offer,
    Voucher,
    /// A correction, or the price of a substitute matched to what it replaces.
    Adjustment,
    /// An adjustment that, where it lowers the total, gives money back.
    Refund,
    Other,
}

impl Kind {
    fn of(item: &Item, all: &[Item]) -> Self {
        match item.item_type {
            Some(ItemType::Product) => Self::Goods,
            Some(ItemType::Offer) => Self::Offer,
            Some(ItemType::Voucher) => Self::Voucher,
            Some(ItemType::Adjustment) if matches_a_substitute(item, all) => Self::Adjustment,
            Some(ItemType::Adjustment) => Self::Refund,
            Some(ItemType::Other(_)) | None => Self::Other,
        }
    }
}

/// Whether an adjustment is about a line that stands in for another. The adjustment's own links are believed before
/// those that lines have to it.
fn matches_a_substitute(adjustment: &Item, all: &[Item]) -> bool {
    let is_meant = |line: &Item| match adjustment.items_adjusted.as_slice() {
        [] => line.related_price_adjustment.is_some() && line.related_price_adjustment == adjustment.id,
        meant => line.id.as_ref().is_some_and(|id| meant.contains(id)),
    };
    all.iter().any(|line| !line.substituted_for.is_empty() && is_meant(line))
}

/// [`ItemSums`] before it is known to fit: the order in which lines are added cannot matter.
#[derive(Default)]
struct WideSums {
    goods: i128,
    offers: i128,
    vouchers: i128,
    adjustments: i128,
    other_items: i128,
    refunds: i128,
}

impl WideSums {
    fn add(&mut self, kind: Kind, amount: i64) {
        // 2^63 lines of the largest amount would be needed to leave 128 bits.
        let amount = i128::from(amount);
        match kind {
            Kind::Goods => self.goods += amount,
            Kind::Offer => self.offers += amount,
            Kind::Voucher => self.vouchers += amount,
            Kind::Adjustment => self.adjustments += amount,
            Kind::Refund => {
                self.adjustments += amount;
                self.refunds += amount.min(0);
            }
            Kind::Other => self.other_items += amount,
        }
    }

    fn supplied(&self) -> i128 {
        self.goods + self.offers + self.vouchers + self.adjustments + self.other_items
    }

    fn narrow(&self) -> Result<ItemSums, Reason> {
        Ok(ItemSums {
            goods: narrow(self.goods)?,
            offers: narrow(self.offers)?,
            vouchers: narrow(self.vouchers)?,
            adjustments: narrow(self.adjustments)?,
            other_items: narrow(self.other_items)?,
            supplied: narrow(self.supplied())?,
            refunds: narrow(self.refunds)?,
        })
    }
}

fn narrow(sum: i128) -> Result<i64, Reason> {
    i64::try_from(sum).map_err(|_| Reason::Overflow)
}

fn wide(amount: Option<i64>) -> i128 {
    amount.map_or(0, i128::from)
}

struct MixedCurrencies;

/// The currency of every amount of the order, including those no sum needs.
fn single_currency(order: &Order) -> Result<Option<Currency>, MixedCurrencies> {
    let of_items = order.items.iter().flat_map(|item| {
        let surcharges = item.option_categories.iter().flat_map(|category| &category.options).map(|o| o.price);
        [item.price, item.total].into_iter().chain(surcharges)
    });
    let of_order = [order.total, order.delivery_fee, order.service_fee].into_iter();
    let mut amounts = of_order.chain(order.payments.iter().map(|payment| payment.amount)).chain(of_items).flatten();

    let Some(first) = amounts.next() else { return Ok(None) };
    if amounts.all(|money| money.currency == first.currency) { Ok(Some(first.currency)) } else { Err(MixedCurrencies) }
}

#[derive(Default)]
struct Flags(Vec<Flag>);

impl Flags {
    fn raise(&mut self, flag: Flag) {
        if !self.0.contains(&flag) {
            self.0.push(flag);
        }
    }

    fn contains(&self, flag: Flag) -> bool {
        self.0.contains(&flag)
    }

    fn into_sorted(mut self) -> Vec<Flag> {
        self.0.sort_unstable();
        self.0
    }
}

#[cfg(test)]
mod tests;
