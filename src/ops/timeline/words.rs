//! An order's story in words, for the command line and the page alike. Pure.

use chrono::{DateTime, Utc};

use super::{Change, Units, What};
use crate::{
    delivery::decide::{UNCHANGED, WAITS},
    domain::{
        delivery::WaitingFor,
        money::{Currency, Money},
    },
    store::orders::{StoredAction, StoredAttempt, StoredDelivery, StoredRefusal},
};

/// What happened, on one line.
pub fn headline(what: &What) -> String {
    match what {
        What::Version(version) => {
            let total = version.total.map(|total| format!(", total {}", money(total))).unwrap_or_default();
            let late = if version.late { " (late: a higher version was stored before)" } else { "" };
            format!("version {}: {}{total}, money {}{late}", version.version, version.status, version.verdict)
        }
        What::Quarantined(refusal) => refused(refusal),
        What::Decision(attempt) if attempt.outcome == WAITS => {
            let what = attempt.reason.as_deref().unwrap_or_default();
            format!("version {} waits for {}", attempt.version, awaited(what))
        }
        What::Decision(attempt) => format!("version {} decided: {}", attempt.version, outcome(attempt)),
        What::Attempt(attempt) => {
            let step = attempt.step.as_deref().unwrap_or_default();
            format!("version {}, attempt {}, {step}: {}", attempt.version, attempt.attempt, outcome(attempt))
        }
        What::Operator(action) => acted(action),
        What::State(delivery) => stands(delivery),
    }
}

/// What there is to say beyond the headline, a line each.
pub fn details(what: &What) -> Vec<String> {
    match what {
        What::Version(version) => version.changes.iter().map(changed).collect(),
        What::Attempt(attempt) => attempt.response_excerpt.iter().map(|excerpt| format!("answer: {excerpt}")).collect(),
        What::State(delivery) => standing(delivery),
        What::Quarantined(_) | What::Decision(_) | What::Operator(_) => Vec::new(),
    }
}

/// An amount in minor units, in major ones where the currency is known.
pub fn amount(minor: i128, currency: Option<Currency>) -> String {
    currency.map_or_else(|| minor.to_string(), |currency| format!("{} {currency}", currency.decimal(minor)))
}

/// `retry at hook (was parked, reason unprocessable): the menu is mended`.
fn acted(action: &StoredAction) -> String {
    let sink = action.sink.as_deref().map(|sink| format!(" at {sink}")).unwrap_or_default();
    let given = action.detail.as_object().into_iter().flatten().map(|(key, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{} {text}", key.replace('_', " "))
    });
    let given = given.collect::<Vec<_>>().join(", ");
    let why = action.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}{sink} ({given}){why}", action.action)
}

/// One line for people.
pub fn changed(change: &Change) -> String {
    let amount = |amount: &Option<Money>| amount.map_or_else(|| "none".to_owned(), money);
    match change {
        Change::Status { from, to, unusual: None } => format!("status: {from} → {to}"),
        Change::Status { from, to, unusual: Some(code) } => format!("status: {from} → {to} (unusual: {code})"),
        Change::Total { from, to } => format!("total: {} → {}", amount(from), amount(to)),
        Change::Paid { from, to } => format!("paid: {} → {}", amount(from), amount(to)),
        Change::Lines { from, to } => format!("lines: {from} → {to}"),
        Change::Line { name, from: None, to: Some(to) } => format!("+ {name}: {}", units(*to)),
        Change::Line { name, from: Some(from), to: None } => format!("- {name}: {}", units(*from)),
        Change::Line { name, from, to } => {
            let shown = |side: &Option<Units>| side.map_or_else(String::new, units);
            format!("{name}: {} → {}", shown(from), shown(to))
        }
        Change::Moment { moment, to: Some(at) } => format!("{moment} at {}", shown(*at)),
        Change::Moment { moment, to: None } => format!("no longer {moment}"),
        Change::Details => "details changed that are not shown here".to_owned(),
        Change::NothingVisible => "nothing visible changed".to_owned(),
        Change::NotComparable => "the content cannot be compared: a payload was removed or cannot be read".to_owned(),
    }
}

/// `2`, or `1 of 2 supplied`.
fn units(units: Units) -> String {
    match (units.ordered, units.supplied) {
        (Some(ordered), Some(supplied)) if ordered == supplied => ordered.to_string(),
        (Some(ordered), Some(supplied)) => format!("{supplied} of {ordered} supplied"),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => "unknown quantity".to_owned(),
    }
}

fn money(money: Money) -> String {
    format!("{} {}", money.to_decimal(), money.currency)
}

fn refused(refusal: &StoredRefusal) -> String {
    let version = refusal.version.map_or_else(String::new, |version| format!("version {version} "));
    let detail = refusal.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let resolved = if refusal.resolved_at.is_some() { " (resolved)" } else { "" };
    format!("{version}in quarantine {}, {}{detail}{resolved}", refusal.id, refusal.reason)
}

fn outcome(attempt: &StoredAttempt) -> String {
    let took = (attempt.finished_at - attempt.started_at).num_milliseconds();
    let parts = [
        Some(attempt.outcome.clone()),
        attempt.reason.clone(),
        (attempt.outcome == UNCHANGED).then(|| "nothing more to send".to_owned()),
        attempt.http_status.map(|status| format!("status {status}")),
        attempt.step.is_some().then(|| format!("{took} ms")),
        attempt.external_id.as_ref().map(|id| format!("there {id}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `the sink named by \`after\` (dependency)`.
pub fn awaited(code: &str) -> String {
    let meaning = match WaitingFor::parse(code) {
        Some(WaitingFor::Retry) => "the next try",
        Some(WaitingFor::Stability) => "a time without a newer version",
        Some(WaitingFor::Dependency) => "the sink named by `after`",
        Some(WaitingFor::Counterpart) => "the destination's own record of the order",
        Some(WaitingFor::Budget) => "more calls to be allowed",
        Some(WaitingFor::Breaker) => "the destination to work again",
        Some(WaitingFor::Shipment) => "the moment from which it counts as shipped",
        Some(WaitingFor::Grace) => "the time in which the cancellation may be taken back",
        Some(WaitingFor::Confirmation) => "a person's word that the sink may write",
        Some(WaitingFor::Configuration) => "settings that a person has to mend",
        Some(WaitingFor::Summary) => "the document of many orders that it is a part of",
        None => return code.to_owned(),
    };
    format!("{meaning} ({code})")
}

fn stands(delivery: &StoredDelivery) -> String {
    let reason = delivery.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let wanted = delivery.wanted_version;
    let version = match delivery.applied_version {
        Some(applied) if applied == wanted => format!("version {applied}"),
        Some(applied) => format!("version {wanted} wanted, {applied} applied"),
        None => format!("version {wanted} wanted, none applied"),
    };
    let there = delivery.external_id.as_deref().map(|id| format!(", there {id}")).unwrap_or_default();
    format!("stands: {}{reason}, {version}{there}", delivery.state)
}

fn standing(delivery: &StoredDelivery) -> Vec<String> {
    let next = delivery.next_attempt_at.map(|at| {
        let waiting = delivery.waiting_for.as_deref();
        let waiting = waiting.map(|what| format!(", waiting for {}", awaited(what))).unwrap_or_default();
        format!("next at {}{waiting}, {} attempts so far", shown(at), delivery.attempts)
    });
    let step = delivery.pending_step.as_ref();
    let lines = [
        next,
        step.map(|step| format!("step `{step}` was written down and has no known outcome")),
        delivery.last_error.as_ref().map(|error| format!("last error: {error}")),
        delivery.notice.as_ref().map(|notice| format!("notice: {notice}")),
        delivery.hint.as_ref().map(|hint| format!("what to do: {hint}")),
    ];
    lines.into_iter().flatten().collect()
}

fn shown(at: DateTime<Utc>) -> impl std::fmt::Display {
    at.format("%Y-%m-%d %H:%M:%SZ")
}
