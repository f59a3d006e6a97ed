//! `order ID`: the story of one order. Everything but the personal data in its payloads.

use std::io::{self, Write};

use sqlx::PgPool;

use super::{FINE, NOT_WELL, config::Form, status::shown};
use crate::{
    delivery::decide::{UNCHANGED, WAITS},
    domain::{delivery::WaitingFor, ids::SourceName, money::Money},
    ops::{
        server::OrderAnswer,
        timeline::{Change, Event, Units, What, timeline},
    },
    store::orders::{self, OrderHistory, StoredAction, StoredAttempt, StoredDelivery, StoredRefusal},
};

/// Writes the order of every source that knows it, or of this one. Returns the exit code: 0, or 1 when none does.
pub async fn run(
    pool: &PgPool,
    order_id: &str,
    source: Option<&SourceName>,
    form: Form,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let histories = orders::histories(pool, order_id, source).await?;
    let code = if histories.is_empty() { NOT_WELL } else { FINE };
    match form {
        Form::Json => {
            let orders: Vec<OrderAnswer> = histories.into_iter().map(OrderAnswer::from).collect();
            let answer = serde_json::json!({ "order_id": order_id, "orders": orders });
            writeln!(out, "{answer:#}")?;
        }
        Form::Text if histories.is_empty() => {
            let where_to = source.map_or_else(|| "any source".to_owned(), |source| format!("source {source}"));
            writeln!(out, "no order {order_id} in {where_to}")?;
        }
        Form::Text => {
            for (n, history) in histories.iter().enumerate() {
                if n > 0 {
                    writeln!(out)?;
                }
                write_order(history, out)?;
            }
        }
    }
    Ok(code)
}

fn write_order(history: &OrderHistory, out: &mut impl Write) -> io::Result<()> {
    write!(out, "order {} of source {}", history.order_id, history.source)?;
    if let Some(newest) = history.versions.last() {
        write!(out, ": {}, version {}", newest.status, newest.version)?;
        if let Some(vendor) = &newest.vendor_id {
            write!(out, ", vendor {vendor}")?;
        }
        if let Some(order_type) = &newest.order_type {
            write!(out, ", {order_type}")?;
        }
        if let Some(placed_at) = newest.placed_at {
            write!(out, ", placed {}", shown(placed_at))?;
        }
    }
    writeln!(out)?;
    if history.truncated {
        writeln!(out, "(only the newest {} rows of each kind are shown)", orders::MOST_ROWS)?;
    }
    for event in timeline(history) {
        write_event(&event, out)?;
    }
    Ok(())
}

fn write_event(event: &Event, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{}  {:<16}  ", shown(event.at), event.actor)?;
    match &event.what {
        What::Version(version) => {
            write!(out, "version {}: {}", version.version, version.status)?;
            if let Some(total) = version.total {
                write!(out, ", total {}", money(total))?;
            }
            write!(out, ", money {}", version.verdict)?;
            writeln!(out, "{}", if version.late { " (late: a higher version was stored before)" } else { "" })?;
            for change in &version.changes {
                writeln!(out, "{:40}{}", "", changed(change))?;
            }
            Ok(())
        }
        What::Quarantined(refusal) => writeln!(out, "{}", refused(refusal)),
        What::Decision(attempt) if attempt.outcome == WAITS => {
            let what = attempt.reason.as_deref().unwrap_or_default();
            writeln!(out, "version {} waits for {}", attempt.version, awaited(what))
        }
        What::Decision(attempt) => writeln!(out, "version {} decided: {}", attempt.version, outcome(attempt)),
        What::Attempt(attempt) => {
            let step = attempt.step.as_deref().unwrap_or_default();
            let (version, number) = (attempt.version, attempt.attempt);
            writeln!(out, "version {version}, attempt {number}, {step}: {}", outcome(attempt))?;
            match &attempt.response_excerpt {
                Some(excerpt) => writeln!(out, "{:40}answer: {excerpt}", ""),
                None => Ok(()),
            }
        }
        What::Operator(action) => writeln!(out, "{}", acted(action)),
        What::State(delivery) => write_state(delivery, out),
    }
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
pub(super) fn changed(change: &Change) -> String {
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
fn awaited(code: &str) -> String {
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

fn write_state(delivery: &StoredDelivery, out: &mut impl Write) -> io::Result<()> {
    write!(out, "stands: {}", delivery.state)?;
    if let Some(reason) = &delivery.reason {
        write!(out, " ({reason})")?;
    }
    match delivery.applied_version {
        Some(applied) if applied == delivery.wanted_version => write!(out, ", version {applied}")?,
        Some(applied) => write!(out, ", version {} wanted, {applied} applied", delivery.wanted_version)?,
        None => write!(out, ", version {} wanted, none applied", delivery.wanted_version)?,
    }
    if let Some(id) = &delivery.external_id {
        write!(out, ", there {id}")?;
    }
    writeln!(out)?;
    let mut line = |text: String| writeln!(out, "{:40}{text}", "");
    if let Some(at) = delivery.next_attempt_at {
        let waiting = delivery.waiting_for.as_deref();
        let waiting = waiting.map(|what| format!(", waiting for {}", awaited(what))).unwrap_or_default();
        line(format!("next at {}{waiting}, {} attempts so far", shown(at), delivery.attempts))?;
    }
    if let Some(step) = &delivery.pending_step {
        line(format!("step `{step}` was written down and has no known outcome"))?;
    }
    if let Some(error) = &delivery.last_error {
        line(format!("last error: {error}"))?;
    }
    if let Some(notice) = &delivery.notice {
        line(format!("notice: {notice}"))?;
    }
    if let Some(hint) = &delivery.hint {
        line(format!("what to do: {hint}"))?;
    }
    Ok(())
}
