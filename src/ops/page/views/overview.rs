//! How everything fares, on one page.

use maud::{Markup, html};

use super::{Frame, acts, cards, order_link, query, state, table, time};
use crate::{
    ops::{
        health::{self, Ago, Cause, Health},
        page::chart,
    },
    store::{
        alert_messages::Waiting,
        status::{CallBudget, Details, Hour, OpenAlert, Overview, SinkStatus, SourceStatus},
    },
};

/// What the overview is made of.
#[derive(Debug)]
pub struct Seen<'a> {
    pub health: &'a Health,
    pub overview: &'a Overview,
    pub details: &'a Details,
    pub waiting: &'a [Waiting],
    pub hours: &'a [Hour],
}

pub fn overview(frame: &Frame, seen: &Seen<'_>) -> Markup {
    html! {
        (state_of_all(seen.health))
        @if !seen.details.alerts.is_empty() || !seen.waiting.is_empty() {
            section aria-labelledby="alerts" { h2 #alerts { "Alerts" } (alerts(&seen.details.alerts, &seen.overview.sources, seen.waiting)) }
        }
        section aria-labelledby="activity" { h2 #activity { "The last day" } (chart::activity(seen.hours)) }
        section aria-labelledby="sinks" { h2 #sinks { "Sinks" } (sinks(&seen.overview.sinks)) }
        section aria-labelledby="sources" { h2 #sources { "Sources" } (sources(&seen.overview.sources)) }
        @if !seen.overview.call_budgets.is_empty() {
            section aria-labelledby="budgets" { h2 #budgets { "Calls to destinations" } (budgets(&seen.overview.call_budgets)) }
        }
        section aria-labelledby="letters" {
            h2 #letters { "Dead letters, newest" }
            @if seen.details.dead_letters.is_empty() { p.soft { "None: no delivery waits for a person." } }
            @else {
                (cards("Dead letters", &["Order", "Sink", "Reason", "What to do", "For"], &html! {
                    @for letter in &seen.details.dead_letters {
                        tr {
                            th scope="row" { (order_link(&letter.source, &letter.order_id)) }
                            td { (letter.sink) }
                            td { (state(&letter.state)) " " (letter.reason.as_deref().unwrap_or_default()) }
                            td.long { (letter.hint.as_deref().unwrap_or_default()) (acts(frame, &letter.sink, &letter.source, &letter.order_id, &letter.state)) }
                            td.n { (Ago(letter.age_seconds)) }
                        }
                    }
                }))
                p { a href="/letters" { "All dead letters" } }
            }
        }
    }
}

fn state_of_all(health: &Health) -> Markup {
    if !health.is_degraded() {
        return html! { div.note.is-good { p.good { "All is well." } } };
    }
    html! {
        ul.plain aria-label="What is not as it should be" {
            @for reason in &health.reasons {
                li.note.is-bad {
                    p { strong { (reason.subject) } ": " (reason.detail) " " span.soft { "(" (reason.cause) ")" } }
                    p { (reason.hint) @if let Some(href) = where_it_is(reason) { " " a href=(href) { "Show them" } } }
                }
            }
        }
    }
}

/// Of what is wrong with deliveries: the page that lists them.
fn where_it_is(reason: &health::Reason) -> Option<String> {
    let state = match reason.cause {
        Cause::DeadLetters => "parked",
        Cause::InDoubt => "in_doubt",
        _ => return None,
    };
    Some(format!("/letters?{}", query(&[("sink", &reason.subject), ("state", state)])))
}

/// What an alert is about; where that is an order, with its page.
fn subject(subject: &str, sources: &[SourceStatus]) -> Markup {
    let mut parts = subject.splitn(3, '/');
    if let (Some(sink), Some(source), Some(order_id)) = (parts.next(), parts.next(), parts.next())
        && sources.iter().any(|known| known.source == source)
    {
        return html! { (sink) " " (order_link(source, order_id)) };
    }
    html! { (subject) }
}

fn alerts(alerts: &[OpenAlert], sources: &[SourceStatus], waiting: &[Waiting]) -> Markup {
    html! {
        @for channel in waiting {
            div.note.is-bad {
                p {
                    (channel.messages) " messages to " strong { (channel.channel) } " could not be sent since " (time(channel.since))
                    " (" (channel.last_error.as_deref().unwrap_or("not tried")) ", " (channel.attempts) " tries): they are kept and tried again."
                }
            }
        }
        @if !alerts.is_empty() {
            (cards("Open alerts", &["Cause", "About", "What to know", "Times", "Since"], &html! {
                @for alert in alerts {
                    tr {
                        th scope="row" { (alert.cause) }
                        td { (subject(&alert.subject, sources)) }
                        td.long { (alert.detail.as_deref().unwrap_or_default()) }
                        td.n { (alert.count) }
                        td.n { (time(alert.raised_at)) }
                    }
                }
            }))
        }
    }
}

fn sinks(sinks: &[SinkStatus]) -> Markup {
    if sinks.is_empty() {
        return html! { p.soft { "None is known: orders are only stored." } };
    }
    table(
        "Sinks",
        &["Sink", "State", "Waiting", "In doubt", "Parked", "Due longest", "Last delivered"],
        &html! {
            @for sink in sinks {
                tr {
                    th scope="row" { (sink.sink) " " span.soft { (sink.kind) } }
                    td {
                        (state(&sink.state))
                        @if let Some(reason) = &sink.reason { " " (reason) }
                        @if sink.breaker != "closed" { " " span.warn { "breaker " (sink.breaker.replace('_', " ")) } }
                        @if let Some(hint) = &sink.hint { br; (hint) }
                    }
                    td {
                        (sink.pending + sink.in_flight)
                        @for (what, n) in &sink.waiting_for { br; span.soft { (n) " for " (what) } }
                    }
                    td.n { (letters_link(sink.in_doubt, &sink.sink, "in_doubt")) }
                    td.n { (letters_link(sink.parked, &sink.sink, "parked")) }
                    td.n { @if let Some(due) = sink.oldest_due_seconds { (Ago(due)) } @else { "–" } }
                    td.n { (sink.last_success_at.map_or_else(|| html! { "never" }, time)) }
                }
            }
        },
    )
}

fn sources(sources: &[SourceStatus]) -> Markup {
    table(
        "Sources",
        &["Source", "State", "Position confirmed", "End reached", "Versions", "Quarantined", "Next poll"],
        &html! {
            @for source in sources {
                tr {
                    th scope="row" { (source.source) }
                    td {
                        (state(&source.state))
                        @if let Some(reason) = &source.reason { " " (reason) }
                        @if let Some(hint) = &source.hint { br; (hint) }
                        @if let Some(error) = &source.last_error { br; span.soft { (error) } }
                    }
                    td.n { @if let Some(age) = source.cursor_age_seconds { (Ago(age)) " ago" } @else { "nothing read yet" } }
                    td.n { (Ago(source.lag_seconds)) " ago" }
                    td.n { (source.versions) }
                    td.n { @if source.quarantined > 0 { span.bad { (source.quarantined) } } @else { "0" } }
                    td.n { (time(source.next_poll_at)) }
                }
            }
        },
    )
}

fn budgets(budgets: &[CallBudget]) -> Markup {
    table(
        "Calls to destinations",
        &["Budget", "Window", "Used", "Limit", "Forecast"],
        &html! {
            @for budget in budgets {
                tr {
                    th scope="row" { (budget.scope.strip_prefix("sink:").unwrap_or(&budget.scope)) }
                    td { (budget.window.as_str()) }
                    td.n { (budget.used) }
                    td.n { @if let Some(limit) = budget.limit { (limit) } @else { "–" } }
                    td {
                        @if let Some(until) = budget.full_until { span.bad { "none left until " (time(until)) } }
                        @else if let Some(at) = budget.runs_out_at { span.warn { "runs out at " (time(at)) } }
                        @else { span.good { "lasts" } }
                    }
                }
            }
        },
    )
}

fn letters_link(n: i64, sink: &str, state: &str) -> Markup {
    let href = format!("/letters?{}", query(&[("sink", sink), ("state", state)]));
    html! { @if n == 0 { "0" } @else { a href=(href) { (n) } } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::Window;

    fn budget(full_until: Option<&str>, runs_out_at: Option<&str>) -> CallBudget {
        let at = |text: &str| text.parse().unwrap();
        CallBudget {
            scope: "sink:books/uk".into(),
            window: Window::Day,
            used: 12,
            limit: Some(4_000),
            learned_limit: None,
            learned_remaining: None,
            resets_at: None,
            full_until: full_until.map(at),
            runs_out_at: runs_out_at.map(at),
        }
    }

    #[test]
    fn a_budget_says_until_when_it_lasts() {
        let told = |budget| budgets(&[budget]).into_string();
        let at = "2026-03-01T16:40:00Z";

        assert!(told(budget(None, None)).contains("lasts"));
        let forecast = told(budget(None, Some(at)));
        assert!(forecast.contains("runs out at <time") && forecast.contains("2026-03-01 16:40:00"), "{forecast}");
        assert!(told(budget(Some(at), Some(at))).contains("none left until <time"));
    }
}
