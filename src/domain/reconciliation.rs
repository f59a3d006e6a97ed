//! Whether a sink's books are right: for each order, what the source says against what was posted.
//!
//! ```text
//!   source + declared = posted + pending + excluded − difference
//! ```
//!
//! *source* is the total that the newest version states, whatever its status. *declared* is what the sink's contract lets
//! stand beside the total (goodwill, what staff have to mend after a change), and *posted* what its receipt says stands
//! there. *pending* is owed and on its way, *excluded* is not owed; both carry a reason. What is left is the *difference*:
//! nothing explains it, and a person has to look. Each is in minor units of the one currency of its order, sums are by
//! currency.
//!
//! The difference of an order at rest is what the receipt says against the version that it is for, to the penny: no
//! reason can hide it. Only while the steps of a version are under way can nobody say what has to stand: then what is
//! lacking is pending.
//!
//! What a receipt says is our own word. A destination that was asked itself ([`Seen`]) is compared with the receipt.

use std::{collections::BTreeMap, ops::AddAssign, time::Duration};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::{
    delivery::{Progress, SkipReason, State},
    ids::{OrderKey, VendorId, Version},
    money::{Breakdown, Currency},
    order::Status,
};

/// What is known of one order and of its delivery to one sink.
#[derive(Debug, Clone)]
pub struct Entry {
    pub order: OrderKey,
    pub vendor_id: Option<VendorId>,
    /// When it was placed; where that is not told, first seen.
    pub at: DateTime<Utc>,
    pub newest: Said,
    /// The money of the newest version; none where it cannot be read.
    pub breakdown: Option<Breakdown>,
    /// None: this sink was never owed the order.
    pub delivery: Option<Standing>,
}

/// What one version says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub version: Version,
    pub status: Status,
    /// In minor units.
    pub total: Option<i64>,
    pub currency: Option<Currency>,
}

impl Said {
    /// What has to stand in a destination that holds this version, in minor units.
    fn owed(&self) -> i128 {
        match self.status {
            Status::Accepted => self.stated(),
            Status::Placed | Status::Rejected | Status::Cancelled | Status::Other(_) => 0,
        }
    }

    fn stated(&self) -> i128 {
        self.total.map_or(0, i128::from)
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone)]
pub struct Standing {
    pub state: State,
    /// Why it is skipped or parked.
    pub reason: Option<String>,
    /// What a pending one waits for.
    pub waiting_for: Option<String>,
    pub progress: Progress,
    /// What the version says that the destination is known to hold.
    pub applied: Option<Said>,
    pub notice: Option<String>,
    pub external_id: Option<String>,
    /// In minor units; 0 where the receipt has none.
    pub posted: i64,
    /// In minor units; 0 where the receipt has none.
    pub declared: i64,
}

impl Standing {
    /// Whether steps for a version above the applied one went out, or may have.
    fn is_under_way(&self) -> bool {
        self.progress.sent > self.progress.applied || matches!(self.state, State::InFlight | State::InDoubt)
    }

    /// Whether what stands is of another currency than the newest version: then no difference can be taken.
    fn is_of_another_currency(&self, newest: &Said) -> bool {
        let applied = self.applied.as_ref().filter(|applied| applied.owed() != 0);
        let currencies = applied.and_then(|applied| applied.currency).zip(newest.currency);
        currencies.is_some_and(|(applied, newest)| applied != newest)
    }
}

/// What our receipt says of one order, for the destination to confirm.
#[derive(Debug, Clone)]
pub struct Holding {
    pub order: OrderKey,
    pub external_id: Option<String>,
    pub receipt: serde_json::Value,
    /// What the receipt says that it is worth, in minor units; 0 where nothing stands any more.
    pub posted: i64,
    /// For how long nothing of it was changed by us.
    pub since: Duration,
}

/// What the destination itself said of an order that we hold there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is worth so much there, in minor units; 0 where nothing stands.
    Worth(i64),
    /// Nothing can be said; a fixed code says why.
    Untold(String),
}

/// Amounts in minor units of one currency, or sums of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amounts {
    #[serde(rename = "source_minor")]
    pub source: i128,
    #[serde(rename = "declared_minor")]
    pub declared: i128,
    #[serde(rename = "posted_minor")]
    pub posted: i128,
    #[serde(rename = "pending_minor")]
    pub pending: i128,
    #[serde(rename = "excluded_minor")]
    pub excluded: i128,
    /// `posted + pending + excluded − source − declared`
    #[serde(rename = "difference_minor")]
    pub difference: i128,
}

impl AddAssign for Amounts {
    fn add_assign(&mut self, other: Self) {
        self.source += other.source;
        self.declared += other.declared;
        self.posted += other.posted;
        self.pending += other.pending;
        self.excluded += other.excluded;
        self.difference += other.difference;
    }
}

/// What a source total is made of, in minor units: all but the last add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    #[serde(rename = "goods_minor")]
    pub goods: i128,
    /// Negative.
    #[serde(rename = "offers_minor")]
    pub offers: i128,
    /// Promotional codes at the vendor's cost; negative.
    #[serde(rename = "vendor_vouchers_minor")]
    pub vendor_vouchers: i128,
    /// Matched prices and other corrections.
    #[serde(rename = "adjustments_minor")]
    pub adjustments: i128,
    /// Adjustments that give money back; negative.
    #[serde(rename = "refunds_minor")]
    pub refunds: i128,
    /// Lines of a kind we do not know.
    #[serde(rename = "other_items_minor")]
    pub other_items: i128,
    /// Delivery and service.
    #[serde(rename = "fees_minor")]
    pub fees: i128,
    /// What the platform pays on top, which the total leaves out; negative.
    #[serde(rename = "goodwill_minor")]
    pub goodwill: i128,
    /// What the order's own lines do not explain, or the whole total where they cannot be added up.
    #[serde(rename = "residual_minor")]
    pub residual: i128,
    /// Of what was paid, by credit of the platform's. A tender: it lowers no total.
    #[serde(rename = "platform_vouchers_minor")]
    pub platform_vouchers: i128,
}

impl Parts {
    fn of(newest: &Said, breakdown: Option<&Breakdown>) -> Self {
        let whole = Self { residual: newest.stated(), ..Self::default() };
        let Some(sheet) = breakdown.filter(|_| newest.total.is_some()) else { return whole };
        let platform_vouchers = sheet.tenders.map_or(0, |tenders| tenders.voucher.into());
        let Some(items) = sheet.items else { return Self { platform_vouchers, ..whole } };
        let wide = |amount: Option<i64>| amount.map_or(0, i128::from);
        let parts = Self {
            goods: items.goods.into(),
            offers: items.offers.into(),
            vendor_vouchers: items.vouchers.into(),
            adjustments: i128::from(items.adjustments) - i128::from(items.refunds),
            refunds: items.refunds.into(),
            other_items: items.other_items.into(),
            fees: wide(sheet.delivery_fee) + wide(sheet.service_fee),
            goodwill: -i128::from(sheet.goodwill),
            residual: 0,
            platform_vouchers,
        };
        Self { residual: newest.stated() - parts.sum(), ..parts }
    }

    /// The total.
    pub fn sum(&self) -> i128 {
        let Self {
            goods, offers, vendor_vouchers, adjustments, refunds, other_items, fees, goodwill, residual, ..
        } = self;
        goods + offers + vendor_vouchers + adjustments + refunds + other_items + fees + goodwill + residual
    }
}

impl AddAssign for Parts {
    fn add_assign(&mut self, other: Self) {
        self.goods += other.goods;
        self.offers += other.offers;
        self.vendor_vouchers += other.vendor_vouchers;
        self.adjustments += other.adjustments;
        self.refunds += other.refunds;
        self.other_items += other.other_items;
        self.fees += other.fees;
        self.goodwill += other.goodwill;
        self.residual += other.residual;
        self.platform_vouchers += other.platform_vouchers;
    }
}

/// How the books of one order stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything is explained.
    Equal,
    /// The receipt says something that neither the version nor the contract explains.
    Differs,
    /// The destination says something else than the receipt.
    DiffersThere,
    /// The destination was to be asked and could not say.
    Unverified,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::DiffersThere => "differs_there",
            Self::Unverified => "unverified",
        }
    }
}

/// Reason of what was never owed: the order was stored before the sink's start.
pub const NEVER_OWED: &str = "never_owed";
/// Reason of a part that is due and waits for nothing.
const DUE: &str = "due";
/// Reason of a part that came after what the sink was owed last.
const NOT_OWED_YET: &str = "not_owed_yet";
/// Notice of a difference whose versions have different currencies.
const CURRENCY_CHANGED: &str = "currency_changed";

/// The books of one order in one sink.
#[derive(Debug, Clone, Serialize)]
pub struct Statement {
    #[serde(flatten)]
    pub order: OrderKey,
    pub vendor_id: Option<VendorId>,
    pub at: DateTime<Utc>,
    pub currency: Option<Currency>,
    pub status: Status,
    /// The newest.
    pub version: Version,
    pub applied_version: Option<Version>,
    /// None: never owed.
    pub state: Option<State>,
    #[serde(flatten)]
    pub amounts: Amounts,
    /// Why something is pending.
    pub pending_reason: Option<String>,
    /// Why something is excluded.
    pub excluded_reason: Option<String>,
    #[serde(flatten)]
    pub parts: Parts,
    pub verdict: Verdict,
    /// Whether the newest version states no total: it counts as none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lacks_total: bool,
    /// Why the delivery is skipped or parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What a person should know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// What the destination said that it is worth, where it was asked and said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there_minor: Option<i64>,
    /// Why the destination could not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unverified: Option<String>,
}

impl Statement {
    pub fn of(entry: Entry) -> Self {
        let Entry { order, vendor_id, at, newest, breakdown, delivery } = entry;
        let standing = delivery.as_ref();
        let currency_changed = standing.is_some_and(|standing| standing.is_of_another_currency(&newest));
        let (shares, amounts) = if currency_changed {
            // In the newest currency nothing is posted.
            let source = newest.stated();
            (Shares::default(), Amounts { source, difference: -source, ..Amounts::default() })
        } else {
            let shares = Shares::of(&newest, standing);
            let amounts = shares.amounts(&newest, standing);
            (shares, amounts)
        };
        let notice = currency_changed.then(|| CURRENCY_CHANGED.to_owned());
        Self {
            verdict: if amounts.difference == 0 && !currency_changed { Verdict::Equal } else { Verdict::Differs },
            parts: Parts::of(&newest, breakdown.as_ref()),
            lacks_total: newest.total.is_none(),
            applied_version: standing.and_then(|standing| standing.progress.applied),
            state: standing.map(|standing| standing.state),
            reason: standing.and_then(|standing| standing.reason.clone()),
            notice: notice.or_else(|| standing.and_then(|standing| standing.notice.clone())),
            external_id: standing.and_then(|standing| standing.external_id.clone()),
            currency: newest.currency,
            version: newest.version,
            status: newest.status,
            pending_reason: shares.pending.map(|share| share.reason),
            excluded_reason: shares.excluded.map(|share| share.reason),
            there_minor: None,
            unverified: None,
            order,
            vendor_id,
            at,
            amounts,
        }
    }

    /// With what the destination itself says.
    #[must_use]
    pub fn with(mut self, seen: &Seen) -> Self {
        match seen {
            Seen::Worth(minor) => {
                self.there_minor = Some(*minor);
                if self.verdict == Verdict::Equal && i128::from(*minor) != self.amounts.posted {
                    self.verdict = Verdict::DiffersThere;
                }
            }
            Seen::Untold(why) => {
                self.unverified = Some(why.clone());
                if self.verdict == Verdict::Equal {
                    self.verdict = Verdict::Unverified;
                }
            }
        }
        self
    }

    /// What it is worth there beyond what the receipt says; none where nobody asked, or nothing was told.
    pub fn difference_there(&self) -> Option<i128> {
        Some(i128::from(self.there_minor?) - self.amounts.posted)
    }
}

/// A part of the source total that is not posted.
#[derive(Debug)]
struct Share {
    minor: i128,
    reason: String,
}

/// What of an order is not posted.
#[derive(Debug, Default)]
struct Shares {
    pending: Option<Share>,
    excluded: Option<Share>,
}

impl Shares {
    fn of(newest: &Said, delivery: Option<&Standing>) -> Self {
        let share = |minor: i128, reason: &str| Some(Share { minor, reason: reason.to_owned() });
        let Some(standing) = delivery else {
            return Self { excluded: share(newest.stated(), NEVER_OWED), ..Self::default() };
        };
        let stands = standing.applied.as_ref().map_or(0, Said::owed);
        let owed = newest.owed();
        // Of an order that is no sale, whatever it states is excluded, also while its reversal is on its way.
        let not_a_sale = (newest.status != Status::Accepted).then(|| not_a_sale(&newest.status));
        let unsold = not_a_sale.and_then(|reason| share(newest.stated() - owed, reason));
        let pending = match standing.state {
            State::Applied if standing.progress.applied >= Some(newest.version) => None,
            State::Applied => share(owed - stands, NOT_OWED_YET),
            State::Skipped => {
                let reason = standing.reason.as_deref().unwrap_or(State::Skipped.as_str());
                // A status that nobody knows came between the steps of a version: what these did stays.
                let is_interrupted = standing.is_under_way() && reason == SkipReason::UnknownStatus.as_str();
                let posted = i128::from(standing.posted) - i128::from(standing.declared);
                let stands = if is_interrupted { posted } else { stands };
                return Self { excluded: share(newest.stated() - stands, reason), ..Self::default() };
            }
            State::Pending => share(owed - stands, standing.waiting_for.as_deref().unwrap_or(DUE)),
            State::InFlight | State::InDoubt | State::Parked => share(owed - stands, standing.state.as_str()),
        };
        let lacking = owed + i128::from(standing.declared) - i128::from(standing.posted);
        let pending =
            pending.map(|share| if standing.is_under_way() { Share { minor: lacking, ..share } } else { share });
        Self { pending, excluded: unsold }
    }

    fn amounts(&self, newest: &Said, delivery: Option<&Standing>) -> Amounts {
        let of = |share: &Option<Share>| share.as_ref().map_or(0, |share| share.minor);
        let (posted, declared) = delivery.map_or((0, 0), |standing| (standing.posted, standing.declared));
        let amounts = Amounts {
            source: newest.stated(),
            declared: declared.into(),
            posted: posted.into(),
            pending: of(&self.pending),
            excluded: of(&self.excluded),
            difference: 0,
        };
        let Amounts { source, declared, posted, pending, excluded, .. } = amounts;
        Amounts { difference: posted + pending + excluded - source - declared, ..amounts }
    }
}

fn not_a_sale(status: &Status) -> &'static str {
    match status {
        Status::Accepted => "accepted",
        Status::Cancelled => "cancelled",
        Status::Placed | Status::Rejected => "never_accepted",
        Status::Other(_) => "unknown_status",
    }
}

/// What a report has one row for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RowKey {
    /// None: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<NaiveDate>,
    pub vendor_id: Option<String>,
    pub currency: Option<Currency>,
}

/// Sums over orders of one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub orders: u64,
    /// Orders that [`Verdict::Differs`] or [`Verdict::DiffersThere`].
    pub differing: u64,
    /// Orders that are [`Verdict::Unverified`].
    pub unverified: u64,
    /// Orders whose newest version states no total, which counts as none.
    pub without_total: u64,
    #[serde(flatten)]
    pub amounts: Amounts,
    #[serde(flatten)]
    pub parts: Parts,
}

impl Tally {
    fn add(&mut self, statement: &Statement) {
        self.orders += 1;
        self.differing += u64::from(matches!(statement.verdict, Verdict::Differs | Verdict::DiffersThere));
        self.unverified += u64::from(statement.verdict == Verdict::Unverified);
        self.without_total += u64::from(statement.lacks_total);
        self.amounts += statement.amounts;
        self.parts += statement.parts;
    }
}

/// What one reason keeps from being posted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub orders: u64,
    pub minor: i128,
}

/// All orders of one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    pub currency: Option<Currency>,
    #[serde(flatten)]
    pub tally: Tally,
    /// By reason.
    pub pending: BTreeMap<String, Kept>,
    /// By reason.
    pub excluded: BTreeMap<String, Kept>,
}

/// Statements folded into totals, without a sum across currencies, and the ones that are not [`Verdict::Equal`].
#[derive(Debug, Default)]
pub struct Totals {
    by_currency: BTreeMap<Option<Currency>, Total>,
    pub open: Vec<Statement>,
}

impl Totals {
    pub fn add(&mut self, statement: &Statement) {
        let total = self.by_currency.entry(statement.currency).or_default();
        total.currency = statement.currency;
        total.tally.add(statement);
        let kept = |by_reason: &mut BTreeMap<String, Kept>, reason: &Option<String>, minor| {
            let Some(reason) = reason else { return };
            // Nearly always there already: no text is made for it then.
            if !by_reason.contains_key(reason) {
                by_reason.insert(reason.clone(), Kept::default());
            }
            if let Some(kept) = by_reason.get_mut(reason) {
                kept.orders += 1;
                kept.minor += minor;
            }
        };
        kept(&mut total.pending, &statement.pending_reason, statement.amounts.pending);
        kept(&mut total.excluded, &statement.excluded_reason, statement.amounts.excluded);
        if statement.verdict != Verdict::Equal {
            self.open.push(statement.clone());
        }
    }

    /// By currency; what has none first.
    pub fn by_currency(&self) -> impl Iterator<Item = &Total> {
        self.by_currency.values()
    }

    /// Whether nothing is left unexplained, nor unverified where that was asked for.
    pub fn is_explained(&self) -> bool {
        self.open.is_empty()
    }
}

/// Statements folded by day and vendor, or by vendor.
#[derive(Debug, Default)]
pub struct Rows(BTreeMap<RowKey, Tally>);

impl Rows {
    /// `day`: that of the order; none folds all days together.
    pub fn add(&mut self, day: Option<NaiveDate>, statement: &Statement) {
        let vendor_id = statement.vendor_id.as_ref().map(|vendor| vendor.as_str().to_owned());
        self.0.entry(RowKey { day, vendor_id, currency: statement.currency }).or_default().add(statement);
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&RowKey, &Tally)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
