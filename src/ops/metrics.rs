//! Gauges read from the database at each scrape, beside what the process counted by itself.
//!
//! The cost is that of one overview, which is bounded. Without a database the process's own numbers are still told.

use chrono::{DateTime, Utc};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::store::status::{MOST_COUNTED, Overview};

/// What Prometheus is told the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const END: &str = "# EOF\n";
const SOURCE_STATES: [&str; 4] = ["active", "failing", "parked", "paused"];
const SINK_STATES: [&str; 3] = ["active", "paused", "blocked"];
const BREAKER_STATES: [&str; 3] = ["closed", "open", "half_open"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceState {
    source: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sink {
    sink: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkState {
    sink: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Waiting {
    sink: String,
    waiting_for: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallWindow {
    scope: String,
    window: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// The process's own text, with the gauges before its end mark.
pub fn with_gauges(own: &str, version: &'static str, started_at: DateTime<Utc>, overview: Option<&Overview>) -> String {
    let mut registry = Registry::with_prefix("scoffable_sync");
    let build = Family::<Build, Gauge>::default();
    build.get_or_create(&Build { version }).set(1);
    registry.register("build_info", "Version of the program", build);
    let started = Gauge::<i64>::default();
    started.set(started_at.timestamp());
    registry.register("start_time_seconds", "When the process started, Unix time", started);
    let database = Gauge::<i64>::default();
    database.set(overview.is_some().into());
    registry.register("database_up", "Whether the database answered this scrape", database);
    if let Some(overview) = overview {
        sources(overview, &mut registry);
        sinks(overview, &mut registry);
        call_budgets(overview, &mut registry);
    }
    let mut text = own.strip_suffix(END).unwrap_or(own).to_owned();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &registry);
    text
}

fn sources(overview: &Overview, registry: &mut Registry) {
    let lag = Family::<Source, Gauge>::default();
    let cursor_age = Family::<Source, Gauge>::default();
    let quarantined = Family::<Source, Gauge>::default();
    let failures = Family::<Source, Gauge>::default();
    let state = Family::<SourceState, Gauge>::default();
    for source in &overview.sources {
        let label = Source { source: source.source.clone() };
        lag.get_or_create(&label).set(source.lag_seconds);
        if let Some(age) = source.cursor_age_seconds {
            cursor_age.get_or_create(&label).set(age);
        }
        quarantined.get_or_create(&label).set(source.quarantined);
        failures.get_or_create(&label).set(source.failures.into());
        for name in SOURCE_STATES {
            let label = SourceState { source: source.source.clone(), state: name };
            state.get_or_create(&label).set((source.state == name).into());
        }
    }
    registry.register("source_lag_seconds", "Since the stream last said that nothing more is ready", lag);
    registry.register("source_cursor_age_seconds", "Since the position was last confirmed by a page", cursor_age);
    registry.register("source_quarantined_open", "Unresolved orders that could not be taken in", quarantined);
    registry.register("source_failures", "Consecutive failed polls", failures);
    registry.register("source_state", "1 for the state the stream is in", state);
}

fn sinks(overview: &Overview, registry: &mut Registry) {
    let deliveries = Family::<SinkState, Gauge>::default();
    let waiting = Family::<Waiting, Gauge>::default();
    let oldest = Family::<Sink, Gauge>::default();
    let state = Family::<SinkState, Gauge>::default();
    let breaker = Family::<SinkState, Gauge>::default();
    // None yet reads as 0, so that an alert on its age fires.
    let success = Family::<Sink, Gauge>::default();
    for sink in &overview.sinks {
        let label = |state| SinkState { sink: sink.sink.clone(), state };
        let counts = [
            ("pending", sink.pending),
            ("in_flight", sink.in_flight),
            ("in_doubt", sink.in_doubt),
            ("parked", sink.parked),
        ];
        for (name, n) in counts {
            deliveries.get_or_create(&label(name)).set(n);
        }
        for (reason, n) in &sink.waiting_for {
            waiting.get_or_create(&Waiting { sink: sink.sink.clone(), waiting_for: reason.clone() }).set(*n);
        }
        let name = Sink { sink: sink.sink.clone() };
        oldest.get_or_create(&name).set(sink.oldest_due_seconds.unwrap_or_default());
        success.get_or_create(&name).set(sink.last_success_at.map_or(0, |at| at.timestamp()));
        for name in SINK_STATES {
            state.get_or_create(&label(name)).set((sink.state == name).into());
        }
        for name in BREAKER_STATES {
            breaker.get_or_create(&label(name)).set((sink.breaker == name).into());
        }
    }
    let counted = format!("Deliveries that are not settled, by state; of one sink at most {MOST_COUNTED} are counted");
    registry.register("sink_deliveries", counted, deliveries);
    registry.register("sink_waiting", "Pending deliveries by what they wait for", waiting);
    registry.register("sink_oldest_due_seconds", "How long the oldest due delivery has been due", oldest);
    registry.register("sink_last_success_timestamp_seconds", "When something was last delivered, Unix time", success);
    registry.register("sink_state", "1 for the state the sink is in", state);
    registry.register("sink_breaker", "1 for the worst breaker state of the sink's lanes", breaker);
}

fn call_budgets(overview: &Overview, registry: &mut Registry) {
    let used = Family::<CallWindow, Gauge>::default();
    let limit = Family::<CallWindow, Gauge>::default();
    let full_until = Family::<CallWindow, Gauge>::default();
    for budget in &overview.call_budgets {
        let label = CallWindow { scope: budget.scope.clone(), window: budget.window.as_str() };
        used.get_or_create(&label).set(budget.used);
        if let Some(max_calls) = budget.limit {
            limit.get_or_create(&label).set(max_calls);
        }
        full_until.get_or_create(&label).set(budget.full_until.map_or(0, |at| at.timestamp()));
    }
    registry.register("call_budget_used", "Calls that the window holds", used);
    registry.register("call_budget_limit", "Most calls the window may hold", limit);
    registry.register(
        "call_budget_full_until_timestamp_seconds",
        "Until when no call is left, Unix time; 0: some are",
        full_until,
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::{
        domain::{
            delivery::State,
            ids::{SinkName, SourceName},
            limits::Window,
        },
        store::status::{CallBudget, SinkStatus, SourceStatus},
        telemetry::metrics::Committed,
    };

    fn budget() -> CallBudget {
        CallBudget {
            scope: "sink:books/uk".into(),
            window: Window::Day,
            used: 12,
            limit: Some(4000),
            learned_limit: None,
            learned_remaining: None,
            resets_at: None,
            full_until: DateTime::from_timestamp(1_800_000_000, 0),
            runs_out_at: None,
        }
    }

    #[test]
    fn each_window_of_a_call_budget_has_its_gauges() {
        let overview = Overview { call_budgets: vec![budget()], ..Overview::default() };

        let text = with_gauges("", "0", DateTime::UNIX_EPOCH, Some(&overview));

        for (name, value) in [("used", "12"), ("limit", "4000"), ("full_until_timestamp_seconds", "1800000000")] {
            let line = format!("scoffable_sync_call_budget_{name}{{scope=\"sink:books/uk\",window=\"day\"}} {value}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }

    /// Everything that a process tells once each thing has happened.
    fn told() -> String {
        let metrics = crate::telemetry::metrics::Metrics::default();
        let (source, sink) = (SourceName::parse("main").unwrap(), SinkName::parse("hook").unwrap());
        metrics.committed(&source, Committed { pages: 1, inserted: 1, received: 2, quarantined: 1 }, 0);
        metrics.polled(&source, "caught_up");
        metrics.verdict(&source, "balanced", 1);
        metrics.attempt(&sink, "delivered", Duration::from_millis(5));
        metrics.settled(&sink, State::Applied);
        metrics.corrections_avoided(&sink, 1);
        metrics.alert_message("email", "sent");
        let overview = Overview {
            sources: vec![SourceStatus {
                source: "main".into(),
                state: "active".into(),
                reason: None,
                hint: None,
                last_error: None,
                failures: 0,
                cursor_age_seconds: Some(1),
                lag_seconds: 1,
                last_poll_at: None,
                last_success_at: None,
                next_poll_at: DateTime::UNIX_EPOCH,
                versions: 1,
                duplicates: 0,
                throttled: 0,
                quarantined: 0,
            }],
            sinks: vec![SinkStatus {
                sink: "hook".into(),
                kind: "webhook".into(),
                state: "active".into(),
                reason: None,
                hint: None,
                breaker: "closed".into(),
                pending: 1,
                in_flight: 0,
                in_doubt: 0,
                parked: 0,
                waiting_for: [("due".to_owned(), 1)].into(),
                oldest_due_seconds: None,
                last_success_at: None,
                activated_at: DateTime::UNIX_EPOCH,
                budget_full_until: None,
            }],
            call_budgets: vec![budget()],
        };
        with_gauges(&metrics.render(), "0", DateTime::UNIX_EPOCH, Some(&overview))
    }

    /// Metrics of ours that an expression asks for, each with the labels it selects by.
    fn asked(expression: &str) -> Vec<(String, Vec<String>)> {
        expression
            .match_indices("scoffable_sync_")
            .map(|(at, _)| {
                let rest = &expression[at..];
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let selectors = rest[end..].strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or("");
                let labels = selectors.split(',').filter_map(|one| one.split(['=', '!']).next()).map(str::trim);
                (rest[..end].to_owned(), labels.filter(|label| !label.is_empty()).map(str::to_owned).collect())
            })
            .collect()
    }

    #[track_caller]
    fn exist(expression: &str, told: &str) {
        for (name, labels) in asked(expression) {
            let has = |line: &&str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with(['{', ' ']));
            let line = told.lines().find(has).unwrap_or_else(|| panic!("nothing is called {name} ({expression})"));
            for label in labels {
                assert!(line.contains(&format!("{label}=\"")), "{name} has no label {label}: {line}");
            }
        }
    }

    #[test]
    fn the_shipped_rules_ask_for_what_there_is() {
        let rules: Value = serde_saphyr::from_str(include_str!("../../config/alerts.yml")).expect("the rules are YAML");
        let (told, rules) = (told(), rules["groups"][0]["rules"].as_array().unwrap().clone());
        for rule in &rules {
            exist(rule["expr"].as_str().unwrap(), &told);
            for key in ["summary", "description"] {
                assert!(rule["annotations"][key].is_string(), "{rule}");
            }
            assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{rule}");
        }
        let names: std::collections::BTreeSet<&str> =
            rules.iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
        assert_eq!(names.len(), rules.len());
    }

    #[test]
    fn the_shipped_dashboard_asks_for_what_there_is() {
        let dashboard: Value = serde_json::from_str(include_str!("../../config/grafana.json")).expect("it is JSON");
        let told = told();
        let panels = dashboard["panels"].as_array().unwrap();
        for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
            let expression = target["expr"].as_str().unwrap();
            assert!(!asked(expression).is_empty(), "{expression}");
            exist(expression, &told);
        }
        let ids: std::collections::BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len());
    }

    #[test]
    #[should_panic(expected = "nothing is called scoffable_sync_sink_tries_total")]
    fn a_metric_that_is_not_there_is_found_out() {
        exist("rate(scoffable_sync_sink_tries_total[5m])", &told());
    }
}
