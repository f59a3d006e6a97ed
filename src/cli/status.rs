//! `status`: how sources, sinks and the queue fare. Asks the database; [`live`] asks a running process.

use std::{io::Write, net::SocketAddr, time::Duration};

use serde::Serialize;
use sqlx::PgPool;

use super::{FINE, NOT_WELL, config::Form, table};
use crate::{
    http,
    ops::health::{self, Ago, Health, Limits},
    store::status::{self, CallBudget, Details, Overview, SinkStatus, SourceStatus},
};

/// Rows of each list.
const LISTED: u32 = 20;

#[derive(Debug, Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    health: &'a Health,
    #[serde(flatten)]
    overview: &'a Overview,
    #[serde(flatten)]
    details: &'a Details,
}

/// Writes how everything is. Returns the exit code: 0, or 1 when degraded.
pub async fn run(pool: &PgPool, limits: &Limits, form: Form, out: &mut impl Write) -> anyhow::Result<u8> {
    let overview = status::overview(pool).await?;
    let details = status::details(pool, LISTED).await?;
    let health = health::judge(&overview, limits);
    match form {
        Form::Text => write_text(&health, &overview, &details, out)?,
        Form::Json => {
            let answer = Answer { health: &health, overview: &overview, details: &details };
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        }
    }
    Ok(if health.is_degraded() { NOT_WELL } else { FINE })
}

/// Asks the process at this address whether it turns, as health checks of containers do. Returns the exit code: 0, or 1
/// when there is no answer or another one.
pub async fn live(address: SocketAddr) -> u8 {
    let mut address = address;
    // What listens everywhere is asked here.
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let answer = async {
        let client = http::client_builder().no_proxy().timeout(Duration::from_secs(3)).build().ok()?;
        client.get(format!("http://{address}/livez")).send().await.ok()
    };
    if answer.await.is_some_and(|answer| answer.status().is_success()) { FINE } else { NOT_WELL }
}

fn write_text(health: &Health, overview: &Overview, details: &Details, out: &mut impl Write) -> anyhow::Result<()> {
    if health.is_degraded() {
        writeln!(out, "degraded")?;
        for reason in &health.reasons {
            writeln!(out, "  {} ({}): {}", reason.subject, reason.cause, reason.detail)?;
            writeln!(out, "    {}", reason.hint)?;
        }
    } else {
        writeln!(out, "fine")?;
    }

    section(out, "sources", overview.sources.len())?;
    let headings = ["source", "state", "behind", "versions", "duplicates", "quarantined", "throttled", "last error"];
    let rows: Vec<_> = overview.sources.iter().map(source_row).collect();
    table::write(out, &headings, &rows)?;

    section(out, "sinks", overview.sinks.len())?;
    let headings =
        ["sink", "kind", "state", "breaker", "pending", "in flight", "in doubt", "parked", "due for", "waiting for"];
    let rows: Vec<_> = overview.sinks.iter().map(sink_row).collect();
    table::write(out, &headings, &rows)?;

    if !overview.call_budgets.is_empty() {
        section(out, "call budgets", overview.call_budgets.len())?;
        let rows: Vec<_> = overview.call_budgets.iter().map(budget_row).collect();
        table::write(out, &["scope", "window", "used", "limit", "left there", "full until", "runs out"], &rows)?;
    }

    if !details.queue.is_empty() {
        section(out, "queue, next", details.queue.len())?;
        let rows: Vec<_> = details
            .queue
            .iter()
            .map(|d| {
                let waiting = d.waiting_for.clone().unwrap_or_else(|| if d.due { "due" } else { "" }.to_owned());
                let error = d.last_error.clone().unwrap_or_default();
                let at = shown(d.next_attempt_at);
                let version = d.wanted_version.to_string();
                let attempts = d.attempts.to_string();
                vec![
                    d.sink.clone(),
                    order(&d.source, &d.order_id),
                    version,
                    d.state.clone(),
                    at,
                    waiting,
                    attempts,
                    error,
                ]
            })
            .collect();
        let headings = ["sink", "order", "version", "state", "next attempt", "waiting for", "attempts", "last error"];
        table::write(out, &headings, &rows)?;
    }
    if !details.dead_letters.is_empty() {
        section(out, "dead letters, newest", details.dead_letters.len())?;
        let rows: Vec<_> = details
            .dead_letters
            .iter()
            .map(|d| {
                let reason = d.reason.clone().unwrap_or_default();
                let hint = d.hint.clone().unwrap_or_default();
                let age = Ago(d.age_seconds).to_string();
                let version = d.wanted_version.to_string();
                vec![d.sink.clone(), order(&d.source, &d.order_id), version, d.state.clone(), age, reason, hint]
            })
            .collect();
        table::write(out, &["sink", "order", "version", "state", "for", "reason", "what to do"], &rows)?;
    }
    if !details.alerts.is_empty() {
        section(out, "alerts, newest", details.alerts.len())?;
        let rows: Vec<_> = details
            .alerts
            .iter()
            .map(|a| {
                let detail = a.detail.clone().unwrap_or_default();
                vec![shown(a.raised_at), a.cause.clone(), a.subject.clone(), a.count.to_string(), detail]
            })
            .collect();
        table::write(out, &["raised", "cause", "subject", "times", "detail"], &rows)?;
    }
    Ok(())
}

fn section(out: &mut impl Write, name: &str, n: usize) -> std::io::Result<()> {
    writeln!(out, "\n{name} ({n})")
}

fn source_row(source: &SourceStatus) -> Vec<String> {
    vec![
        source.source.clone(),
        with_reason(&source.state, source.reason.as_deref()),
        Ago(source.lag_seconds).to_string(),
        source.versions.to_string(),
        source.duplicates.to_string(),
        source.quarantined.to_string(),
        source.throttled.to_string(),
        source.last_error.clone().unwrap_or_default(),
    ]
}

fn sink_row(sink: &SinkStatus) -> Vec<String> {
    let waiting: Vec<_> = sink.waiting_for.iter().map(|(what, n)| format!("{what} {n}")).collect();
    vec![
        sink.sink.clone(),
        sink.kind.clone(),
        with_reason(&sink.state, sink.reason.as_deref()),
        sink.breaker.clone(),
        sink.pending.to_string(),
        sink.in_flight.to_string(),
        sink.in_doubt.to_string(),
        sink.parked.to_string(),
        sink.oldest_due_seconds.map(|seconds| Ago(seconds).to_string()).unwrap_or_default(),
        waiting.join(", "),
    ]
}

fn budget_row(budget: &CallBudget) -> Vec<String> {
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    vec![
        budget.scope.clone(),
        budget.window.to_string(),
        budget.used.to_string(),
        number(budget.limit),
        number(budget.learned_remaining),
        budget.full_until.map(shown).unwrap_or_default(),
        budget.runs_out_at.map(shown).unwrap_or_default(),
    ]
}

fn with_reason(state: &str, reason: Option<&str>) -> String {
    reason.map_or_else(|| state.to_owned(), |reason| format!("{state} ({reason})"))
}

fn order(source: &str, order_id: &str) -> String {
    format!("{source}/{order_id}")
}

/// An instant for people, to the second, UTC.
pub(super) fn shown(at: chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
