//! One order's story in the order of time: what changed with each version, what was decided and tried, what could not
//! be taken in, and where each delivery stands. Pure.
//!
//! Changes are read out of the stored payloads, through the same decoder that planning uses; what that decoder does not
//! keep (the customer, the address) cannot appear here. A change only there shows as [`Change::Details`].

pub mod words;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    domain::{
        money::{Currency, Money},
        order::{Item, Order, Quantity, Status},
        status::{Transition, transition},
    },
    source::{SourceKind, decode_stored},
    store::orders::{OrderHistory, StoredAction, StoredAttempt, StoredDelivery, StoredRefusal, StoredVersion},
};

/// Something that happened, or where a delivery stands since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub at: DateTime<Utc>,
    /// `source:NAME`, `sink:NAME` or `operator:WHO`.
    pub actor: String,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A version was stored.
    Version(VersionEvent),
    /// A version or its content could not be taken in.
    Quarantined(StoredRefusal),
    /// Decided without a call.
    Decision(StoredAttempt),
    /// A call to the destination.
    Attempt(StoredAttempt),
    /// A person did something about a delivery.
    Operator(StoredAction),
    /// Where the delivery stands; always the last of its sink.
    State(Box<StoredDelivery>),
}

impl What {
    /// Among events of one instant: what causes comes before what follows.
    fn rank(&self) -> u8 {
        match self {
            Self::Version(_) => 0,
            Self::Quarantined(_) => 1,
            Self::Decision(_) | Self::Attempt(_) => 2,
            Self::Operator(_) => 3,
            Self::State(_) => 4,
        }
    }
}

/// A version, and what it says that the version before it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionEvent {
    pub version: i64,
    pub status: String,
    pub total: Option<Money>,
    pub verdict: String,
    /// Stored after a higher one: it is not sent any more.
    pub late: bool,
    /// Number of the version it is compared with: the next lower one that was stored by then. None: there was none.
    pub compared_with: Option<i64>,
    pub changes: Vec<Change>,
}

/// One difference between two neighbouring versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    Status {
        from: String,
        to: String,
        /// Code of what is odd about it; it is applied all the same.
        unusual: Option<&'static str>,
    },
    Total {
        from: Option<Money>,
        to: Option<Money>,
    },
    /// Sum of all tenders, where they are of one currency.
    Paid {
        from: Option<Money>,
        to: Option<Money>,
    },
    /// Number of lines.
    Lines {
        from: usize,
        to: usize,
    },
    /// Lines of one name, added up; none where no line has the name.
    Line {
        name: String,
        from: Option<Units>,
        to: Option<Units>,
    },
    /// An instant of the order's way appeared, moved or went.
    Moment {
        moment: &'static str,
        to: Option<DateTime<Utc>>,
    },
    /// Something else that is not shown here: prices, options, links, the customer, the address, notes.
    Details,
    /// The content is the same.
    NothingVisible,
    /// A payload was removed by retention, or cannot be read: only status and total were compared.
    NotComparable,
}

/// How much there is of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Units {
    pub ordered: Option<Quantity>,
    pub supplied: Option<Quantity>,
}

/// Puts the events of one order into the order of time.
pub fn timeline(history: &OrderHistory) -> Vec<Event> {
    let source = format!("source:{}", history.source);
    let sink = |name: &str| format!("sink:{name}");
    let kind = SourceKind::parse(&history.source_kind);
    let mut events = Vec::new();

    let orders: Vec<Option<Order>> = history.versions.iter().map(|version| decoded(kind, version)).collect();
    for (n, version) in history.versions.iter().enumerate() {
        let known_then = |other: &StoredVersion| other.received_at <= version.received_at;
        let earlier = (0..n).rev().find(|&lower| known_then(&history.versions[lower]));
        let late = history.versions[n + 1..].iter().any(|higher| higher.received_at < version.received_at);
        let what = What::Version(VersionEvent {
            version: version.version,
            status: version.status.clone(),
            total: total(version),
            verdict: version.verdict.clone(),
            late,
            compared_with: earlier.map(|earlier| history.versions[earlier].version),
            changes: earlier.map_or_else(Vec::new, |earlier| {
                changes(&history.versions[earlier], orders[earlier].as_ref(), version, orders[n].as_ref())
            }),
        });
        events.push(Event { at: version.received_at, actor: source.clone(), what });
    }
    events.extend(history.quarantine.iter().map(|refusal| Event {
        at: refusal.received_at,
        actor: source.clone(),
        what: What::Quarantined(refusal.clone()),
    }));
    events.extend(history.attempts.iter().map(|attempt| Event {
        at: attempt.finished_at,
        actor: sink(&attempt.sink),
        what: match attempt.step {
            Some(_) => What::Attempt(attempt.clone()),
            None => What::Decision(attempt.clone()),
        },
    }));
    events.extend(history.actions.iter().map(|action| Event {
        at: action.at,
        actor: format!("operator:{}", action.who),
        what: What::Operator(action.clone()),
    }));
    events.extend(history.deliveries.iter().map(|delivery| Event {
        at: delivery.updated_at,
        actor: sink(&delivery.sink),
        what: What::State(Box::new(delivery.clone())),
    }));
    // Stable: versions stay ascending, attempts in the order of their ids.
    events.sort_by_key(|event| (event.at, event.what.rank()));
    events
}

/// What a person would see change from one stored version to another. None where one of them is not known.
pub fn changes_between(history: &OrderHistory, from: i64, to: i64) -> Option<Vec<Change>> {
    let kind = SourceKind::parse(&history.source_kind);
    let find = |number: i64| history.versions.iter().find(|version| version.version == number);
    let (from, to) = (find(from)?, find(to)?);
    Some(changes(from, decoded(kind, from).as_ref(), to, decoded(kind, to).as_ref()))
}

fn decoded(kind: Option<SourceKind>, version: &StoredVersion) -> Option<Order> {
    decode_stored(kind?, version.payload.as_ref()?.as_str()).ok()
}

fn total(version: &StoredVersion) -> Option<Money> {
    let currency = Currency::parse(version.currency.as_deref()?).ok()?;
    Some(Money::new(version.total_minor?, currency))
}

fn changes(
    earlier: &StoredVersion,
    earlier_order: Option<&Order>,
    version: &StoredVersion,
    order: Option<&Order>,
) -> Vec<Change> {
    if earlier.content_hash == version.content_hash {
        return vec![Change::NothingVisible];
    }
    let mut changes = Vec::new();
    changes.extend(status_change(earlier, version));
    let (from, to) = (total(earlier), total(version));
    if from != to {
        changes.push(Change::Total { from, to });
    }
    let (Some(before), Some(after)) = (earlier_order, order) else {
        changes.push(Change::NotComparable);
        return changes;
    };
    let (from, to) = (paid(before), paid(after));
    if from != to {
        changes.push(Change::Paid { from, to });
    }
    line_changes(before, after, &mut changes);
    moment_changes(before, after, &mut changes);
    if has_hidden_changes(before, after, &changes) {
        changes.push(Change::Details);
    }
    changes
}

fn status_change(earlier: &StoredVersion, version: &StoredVersion) -> Option<Change> {
    let (from, to) = (Status::from_text(&earlier.status), Status::from_text(&version.status));
    let unusual = match transition(Some(&from), &to, version.version - earlier.version) {
        Transition::NoChange | Transition::NotNewer => return None,
        Transition::Normal => None,
        Transition::Unusual(oddity) => Some(oddity.as_str()),
    };
    Some(Change::Status { from: from.to_string(), to: to.to_string(), unusual })
}

/// None without tenders, and for several currencies.
fn paid(order: &Order) -> Option<Money> {
    let mut amounts = order.payments.iter().filter_map(|payment| payment.amount);
    let first = amounts.next()?;
    amounts.try_fold(first, Money::checked_add).ok()
}

fn line_changes(before: &Order, after: &Order, changes: &mut Vec<Change>) {
    let (from, to) = (before.items.len(), after.items.len());
    if from != to {
        changes.push(Change::Lines { from, to });
    }
    let (was, is) = (units_by_name(&before.items), units_by_name(&after.items));
    let names = was.keys().chain(is.keys().filter(|name| !was.contains_key(*name)));
    for name in names {
        let (from, to) = (was.get(name).copied(), is.get(name).copied());
        if from != to {
            changes.push(Change::Line { name: (*name).to_owned(), from, to });
        }
    }
}

fn units_by_name(items: &[Item]) -> BTreeMap<&str, Units> {
    let mut units: BTreeMap<&str, Units> = BTreeMap::new();
    for item in items {
        let more = Units { ordered: item.quantity_ordered, supplied: item.quantity_fulfilled };
        units
            .entry(item.name.as_deref().unwrap_or("(no name)"))
            .and_modify(|sum| {
                *sum = Units { ordered: add(sum.ordered, more.ordered), supplied: add(sum.supplied, more.supplied) };
            })
            .or_insert(more);
    }
    units
}

/// None where either is unknown or the sum does not fit.
fn add(a: Option<Quantity>, b: Option<Quantity>) -> Option<Quantity> {
    let ((a, a_parts), (b, b_parts)) = (a?.as_fraction(), b?.as_fraction());
    let parts = a_parts.max(b_parts);
    // Both are powers of ten, so the larger is a multiple of the smaller.
    let sum = i128::from(a) * i128::from(parts / a_parts) + i128::from(b) * i128::from(parts / b_parts);
    Quantity::decimal(i64::try_from(sum).ok()?, parts.ilog10()).ok()
}

fn moments(order: &Order) -> [(&'static str, Option<DateTime<Utc>>); 6] {
    [
        ("placed", order.placed_at),
        ("accepted", order.accepted_at),
        ("cancelled", order.cancelled_at),
        ("dispatched", order.dispatched_at),
        ("delivered", order.delivered_at),
        ("returned", order.returned_at),
    ]
}

fn moment_changes(before: &Order, after: &Order, changes: &mut Vec<Change>) {
    for ((moment, from), (_, to)) in moments(before).into_iter().zip(moments(after)) {
        if from != to {
            changes.push(Change::Moment { moment, to });
        }
    }
}

/// Whether something differs beyond what the changes say: in what was decoded, or, where nothing of that differs, in the
/// rest of the payload, since the content as a whole does.
fn has_hidden_changes(before: &Order, after: &Order, changes: &[Change]) -> bool {
    let shown = |order: &Order| {
        let mut rest = order.clone();
        rest.version = after.version;
        rest.status = after.status.clone();
        rest.total = None;
        rest.payments.clear();
        (rest.placed_at, rest.accepted_at, rest.cancelled_at) = (None, None, None);
        (rest.dispatched_at, rest.delivered_at, rest.returned_at) = (None, None, None);
        rest.items.clear();
        rest
    };
    let same_lines = before.items == after.items
        || changes.iter().any(|change| matches!(change, Change::Line { .. } | Change::Lines { .. }));
    let same_tenders =
        before.payments == after.payments || changes.iter().any(|change| matches!(change, Change::Paid { .. }));
    changes.is_empty() || shown(before) != shown(after) || !same_lines || !same_tenders
}

#[cfg(test)]
mod tests;
