//! `mode = "daily_summary"`: the orders of a business day as one document. Pure.
//!
//! An order of which nothing was posted is *gathered*: what it comes to ([`Share`]) is noted in its receipt, and it waits
//! until the day is over and `summary_at` has come. Then the document is closed with all who wait ([`Summaries`]) and posted
//! as any other, in one line for each revenue class (kind, account, tax and tracking) and one payment for each account; its
//! number follows from the day, so that a repeat is looked up. Once it stands, each order's receipt has its own lines and
//! payments as if the order had been posted alone, on a document that is shared with others ([`Shared`]). From then on the
//! order is corrected as ever, but the shared document is never changed: by a credit note or an invoice of its own, or by a
//! [`journal`](super::journal), dated on the day on which the change came.
//!
//! An order that comes when its day is closed goes into a further document, with the other late ones of its day, that is
//! closed when the present day is, and is dated on that.
//!
//! [`Summaries`]: crate::sinks::Summaries

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, TimeZone, Utc};
use serde::{Deserialize, Serialize};

use super::{
    config::{AccountRef, Kind, Tender, XeroSettings},
    plan::{
        HOLD, NOTHING_TO_POST, Notice, hold,
        money::{PARTLY_UNPAID, remarked},
        park, told,
    },
    receipt::{Document, Held, Line, Payment, Role, Shared, Standing, TrackingOption},
    target::{Remark, Target, Wanted},
};
use crate::{
    domain::{
        delivery::{CLOSES_WITHIN, Gathered, Plan, Receipt, State, WaitingFor},
        ids::Version,
        money::Currency,
    },
    sinks::{InSummary, Part},
};

/// What of a day's document is one order's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub currency: Currency,
    /// The business day of the order.
    pub day: NaiveDate,
    /// What its document is dated on.
    pub dated: NaiveDate,
    pub lines: Vec<Line>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracking: Vec<TrackingOption>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Paid>,
    pub declared_minor: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
}

/// What one tender paid of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    pub tender: Tender,
    /// Where it goes, as settings said when the order was gathered.
    pub account: String,
    pub amount_minor: i64,
}

impl Share {
    fn gross_minor(&self) -> i64 {
        self.lines.iter().map(|line| line.gross_minor).sum()
    }
}

/// The document that an order of a day goes into now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    id: String,
    closes_at: DateTime<Utc>,
    dated: NaiveDate,
}

impl Open {
    /// The first that is closed after `now` and not before its day is over.
    fn of(day: NaiveDate, currency: Currency, settings: &XeroSettings, now: DateTime<Utc>) -> Self {
        let today = now.with_timezone(&settings.time_zone).date_naive();
        let mut dated = day.max(today - Days::new(2));
        while closing(dated, settings) <= now {
            dated = dated + Days::new(1);
        }
        let (on, late) = (dated.format("%Y%m%d"), day.format("%Y%m%d"));
        let id = if dated == day { format!("DAY-{on}-{currency}") } else { format!("DAY-{on}-{currency}-{late}") };
        Self { id, closes_at: closing(dated, settings), dated }
    }
}

/// When a business day is closed: on the next one, at `summary_at`. Where clocks are put forward over it, an hour later.
fn closing(day: NaiveDate, settings: &XeroSettings) -> DateTime<Utc> {
    let at = (day + Days::new(1)).and_time(settings.summary_at);
    let local = |at| settings.time_zone.from_local_datetime(&at).earliest();
    local(at).or_else(|| local(at + TimeDelta::hours(1))).map_or_else(|| at.and_utc(), |at| at.to_utc())
}

/// Notes what an order comes to, and waits for its document to be closed.
pub fn gather(held: Held, target: &Target, version: Version, settings: &XeroSettings, now: DateTime<Utc>) -> Plan {
    let open = Open::of(target.date, target.currency, settings, now);
    let share = |dated| {
        let payments = target.payments.iter().filter_map(|wanted| {
            let account = settings.payments.of(wanted.tender, &settings.accounts)?.0.to_owned();
            Some(Paid { tender: wanted.tender, account, amount_minor: wanted.amount_minor })
        });
        let share = Share {
            currency: target.currency,
            day: target.date,
            dated,
            lines: target.lines.clone(),
            tracking: target.tracking.clone(),
            payments: payments.collect(),
            declared_minor: target.declared_minor,
            remarks: target.remarks.clone(),
        };
        serde_json::to_value(share).expect("plain data")
    };
    if held.summary.as_ref().is_some_and(|noted| noted.closed) {
        // What it says was posted, or is about to be.
        return park("summary_missing", "the day's document that it is in is not in the database: report it", false);
    }
    if let Some(noted) = held.summary.as_ref().filter(|noted| noted.version == version) {
        let dated = noted.part.get("dated").and_then(|dated| NaiveDate::deserialize(dated).ok());
        let is_what_it_says = dated.is_some_and(|dated| noted.part == share(dated));
        let left = (noted.closes_at - now).to_std().map_or_else(
            |_| CLOSES_WITHIN.checked_sub((now - noted.closes_at).to_std().unwrap_or_default()),
            |until| Some(until + CLOSES_WITHIN),
        );
        if let Some(left) = left.filter(|left| is_what_it_says && !left.is_zero()) {
            return Plan::wait(left, WaitingFor::Summary);
        }
    }
    let Open { id, closes_at, dated } = open;
    let summary = Some(Gathered { id, closes_at, version, closed: false, part: share(dated) });
    Plan::Note(Held { summary, ..held }.known())
}

/// What a document has to say, out of its parts; an error: what a person has to mend.
pub fn target_of(parts: &[Part], settings: &XeroSettings) -> Result<(Target, NaiveDate), Box<Plan>> {
    let unreadable =
        || Box::new(park("unreadable_receipt", "what its orders come to cannot be read: report it", false));
    let shares: Vec<Share> =
        parts.iter().map(|part| Share::deserialize(&part.part).map_err(|_| unreadable())).collect::<Result<_, _>>()?;
    let Some(Share { currency, day, dated, .. }) = shares.first().cloned() else { return Err(unreadable()) };
    let mut target = Target::nothing(currency, day);
    let mut lines = BTreeMap::<(Kind, &str, &str, Vec<(&str, &str)>), (i64, u32)>::new();
    let mut accounts = BTreeMap::<&str, (i64, Vec<Tender>)>::new();
    for share in &shares {
        target.declared_minor += share.declared_minor;
        let tracking: Vec<(&str, &str)> =
            share.tracking.iter().map(|one| (one.name.as_str(), one.option.as_str())).collect();
        for line in &share.lines {
            let class = (line.kind, line.account.as_str(), line.tax_type.as_str(), tracking.clone());
            let sum = lines.entry(class).or_default();
            *sum = (sum.0 + line.gross_minor, sum.1 + 1);
        }
        for paid in &share.payments {
            let sum = accounts.entry(&paid.account).or_default();
            sum.0 += paid.amount_minor;
            sum.1.push(paid.tender);
        }
    }
    for ((kind, account, tax_type, tracking), (gross_minor, n)) in lines {
        let tracking = tracking
            .iter()
            .map(|(name, option)| TrackingOption { name: (*name).to_owned(), option: (*option).to_owned() });
        let tracking: Vec<TrackingOption> = tracking.collect();
        let outlet: Vec<&str> = tracking.iter().map(|one| one.option.as_str()).collect();
        target.lines.push(Line {
            kind,
            key: [&[account, tax_type][..], &outlet].concat().join("\u{1f}"),
            description: if n == 1 {
                format!("{}, 1 line", class_of(kind))
            } else {
                format!("{}, {n} lines", class_of(kind))
            },
            account: account.to_owned(),
            tax_type: tax_type.to_owned(),
            item_code: None,
            quantity: 1,
            gross_minor,
            tracking,
        });
    }
    for (account, (amount_minor, tenders)) in accounts {
        if amount_minor == 0 {
            continue;
        }
        // Any of them will do: the payment is for all that went to this account.
        let goes_there = |tender: &&Tender| {
            settings.payments.of(**tender, &settings.accounts).map(|AccountRef(named)| named) == Some(account)
        };
        let Some(tender) = tenders.iter().min().filter(goes_there).or_else(|| tenders.iter().find(goes_there)) else {
            return Err(Box::new(hold(
                HOLD,
                format!("account {account:?}"),
                format!(
                    "orders of {day} were paid to account {account}, which `accounts` and `payments` name no more: name it \
                     again until they are posted"
                ),
            )));
        };
        target.payments.push(Wanted { tender: *tender, amount_minor });
    }
    Ok((target, dated))
}

/// For people who read the document.
pub fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Sales => "Goods",
        Kind::Other => "Other items",
        Kind::Offer => "Offers",
        Kind::VendorVoucher => "Vouchers (vendor)",
        Kind::Adjustment => "Adjustments",
        Kind::ServiceFee => "Service fees",
        Kind::DeliveryFee => "Delivery fees",
        Kind::DeliveryFeeThirdParty => "Delivery fees (third party)",
        Kind::Rounding => "Rounding",
        Kind::Difference => "Differences to orders' totals",
    }
}

/// Takes over into an order's receipt what of its document is its own.
pub fn plan_part(part: &InSummary<'_>) -> Plan {
    let read = (
        Held::of(part.receipt).ok(),
        Share::deserialize(&part.gathered.part).ok(),
        Held::of(part.document.receipt).ok(),
    );
    let (Some(mut held), Some(share), Some(day)) = read else {
        return park("unreadable_receipt", "what stands at Xero is not known: report it", false);
    };
    let id = &part.gathered.id;
    if part.document.state == State::Skipped {
        let hint = format!("its day's document was discarded: retry {id}, or post the order by hand and discard this");
        return park("summary_discarded", hint, false);
    }
    held.summary = None;
    held.currency = Some(share.currency);
    held.declared_minor = share.declared_minor;
    let remarks = share.remarks.clone();
    let notice = match day.standing().next() {
        Some(document) => take_part(&mut held, part.gathered.version, share, document, &day.payments),
        None if share.gross_minor() == 0 => Some((NOTHING_TO_POST, None)),
        None => {
            let hint =
                format!("its day's document {id} does not stand at Xero: post the order by hand and discard this");
            return park("summary_missing", hint, false);
        }
    };
    let (notice, alert) = told(notice, &remarks);
    Plan::Stands { version: part.gathered.version, receipt: Receipt { notice, alert, ..held.known() } }
}

/// Returns what a person should know of it.
fn take_part(
    held: &mut Held,
    version: Version,
    share: Share,
    document: &Document,
    payments: &[Payment],
) -> Option<Notice> {
    let notice = remarked(&share.remarks, share.currency);
    let sign = document.sign();
    let gross_minor = sign * share.gross_minor();
    let mut applied_minor = 0;
    for paid in share.payments {
        let there =
            payments.iter().find(|one| one.account == paid.account && one.on == document.number && !one.removed);
        let Some(there) = there else { continue };
        applied_minor += sign * paid.amount_minor;
        held.payments.push(Payment {
            tender: paid.tender,
            amount_minor: sign * paid.amount_minor,
            reconciled: false,
            ..there.clone()
        });
    }
    let status = match document.status {
        Standing::Authorised | Standing::Paid if applied_minor == gross_minor => Standing::Paid,
        Standing::Authorised | Standing::Paid => Standing::Authorised,
        other => other,
    };
    let total_minor = document.gross_minor;
    held.documents.push(Document {
        role: Role::Whole,
        version: version.0,
        status,
        lines: share.lines,
        tracking: share.tracking,
        gross_minor,
        told_minor: None,
        applied_minor,
        touched: false,
        edited: false,
        shared: Some(Shared { total_minor }),
        ..document.clone()
    });
    notice.or((sign * (gross_minor - applied_minor) > 0).then_some(PARTLY_UNPAID))
}

#[cfg(test)]
mod tests;
