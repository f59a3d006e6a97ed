//! What counts as degraded: one decision, used by `status` (exit code), `/readyz` and `/api/v1/status`. Pure.
//!
//! Degraded means that a person should look. A pause is an operator's own doing and is shown, not counted; an open alert
//! is raised beside one of the reasons here or tells something that nobody can repair, and is listed beside them.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    config::Settings,
    store::status::{Overview, SinkStatus, SourceStatus},
};

/// Failed polls in a row from which a stream counts as failing: the first two may be a hiccup.
const FAILING_FROM: i32 = 3;
/// A stream may be behind for this long, or for [`POLLS_BEHIND`] of its poll intervals where that is longer.
const LAG: Duration = Duration::from_mins(30);
const POLLS_BEHIND: u32 = 3;
/// A delivery may be due for this long before its sink counts as not keeping up.
const OVERDUE: Duration = Duration::from_mins(15);

/// Why the service is degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    SourceParked,
    SourceFailing,
    SourceBehind,
    Quarantined,
    SinkBlocked,
    BreakerOpen,
    SinkBehind,
    DeadLetters,
    InDoubt,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SourceParked => "source_parked",
            Self::SourceFailing => "source_failing",
            Self::SourceBehind => "source_behind",
            Self::Quarantined => "quarantined",
            Self::SinkBlocked => "sink_blocked",
            Self::BreakerOpen => "breaker_open",
            Self::SinkBehind => "sink_behind",
            Self::DeadLetters => "dead_letters",
            Self::InDoubt => "in_doubt",
        })
    }
}

impl Cause {
    /// Whether a stream or a destination is not served at all because of it, so that the process is not ready.
    pub fn stops_work(self) -> bool {
        match self {
            Self::SourceParked | Self::SourceFailing | Self::SinkBlocked | Self::BreakerOpen => true,
            Self::SourceBehind | Self::Quarantined | Self::SinkBehind | Self::DeadLetters | Self::InDoubt => false,
        }
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub cause: Cause,
    /// Name of the source or sink.
    pub subject: String,
    /// What is the matter.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    Fine,
    Degraded,
}

/// How the service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    pub status: Grade,
    pub reasons: Vec<Reason>,
}

impl Health {
    pub fn is_degraded(&self) -> bool {
        self.status == Grade::Degraded
    }

    /// The reasons why the service cannot do its work.
    pub fn stopping(&self) -> impl Iterator<Item = &Reason> {
        self.reasons.iter().filter(|reason| reason.cause.stops_work())
    }
}

/// How long each configured stream may be behind. A source that is configured no more is not judged: nobody reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    pub lag: BTreeMap<String, Duration>,
}

impl Limits {
    pub fn of(settings: &Settings) -> Self {
        let limit = |poll_interval: Duration| LAG.max(poll_interval.saturating_mul(POLLS_BEHIND));
        let lag = settings.sources.iter().map(|(name, source)| (name.to_string(), limit(source.poll_interval)));
        Self { lag: lag.collect() }
    }
}

/// Judges what the tables say.
pub fn judge(overview: &Overview, limits: &Limits) -> Health {
    let mut reasons = Vec::new();
    for source in &overview.sources {
        judge_source(source, limits.lag.get(&source.source).copied(), &mut reasons);
    }
    for sink in &overview.sinks {
        judge_sink(sink, &mut reasons);
    }
    let status = if reasons.is_empty() { Grade::Fine } else { Grade::Degraded };
    Health { status, reasons }
}

fn judge_source(source: &SourceStatus, max_lag: Option<Duration>, reasons: &mut Vec<Reason>) {
    let mut add = |cause, detail: String, hint: &str| {
        reasons.push(Reason { cause, subject: source.source.clone(), detail, hint: hint.to_owned() });
    };
    if let Some(max_lag) = max_lag {
        let error = source.last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
        match source.state.as_str() {
            "paused" => {}
            "parked" => {
                let reason = source.reason.as_deref().unwrap_or("unknown");
                let hint = source.hint.as_deref().unwrap_or("see last_error in sync_status");
                add(Cause::SourceParked, format!("the stream is not read ({reason}){error}"), hint);
            }
            _ if source.failures >= FAILING_FROM => add(
                Cause::SourceFailing,
                format!("the last {} polls failed{error}", source.failures),
                "it is tried again by itself; `doctor` asks the stream once and says more",
            ),
            _ if i64::try_from(max_lag.as_secs()).is_ok_and(|max| source.lag_seconds > max) => add(
                Cause::SourceBehind,
                format!("the end of the stream was last reached {} ago", Ago(source.lag_seconds)),
                "normal while old orders are being read for the first time; otherwise check that `run` is up, and `throttled`",
            ),
            _ => {}
        }
    }
    if source.quarantined > 0 {
        add(
            Cause::Quarantined,
            format!("{} could not be taken in", counted(source.quarantined, "order")),
            "see reason and detail in `quarantine`; the stream went on without them",
        );
    }
}

fn judge_sink(sink: &SinkStatus, reasons: &mut Vec<Reason>) {
    let mut add = |cause, detail: String, hint: &str| {
        reasons.push(Reason { cause, subject: sink.sink.clone(), detail, hint: hint.to_owned() });
    };
    if sink.state == "blocked" {
        let reason = sink.reason.as_deref().unwrap_or("unknown");
        let hint = sink.hint.as_deref().unwrap_or("check its credentials; a probe goes on by itself");
        add(Cause::SinkBlocked, format!("the destination accepts nothing ({reason})"), hint);
    } else if sink.breaker != "closed" && sink.state != "paused" {
        add(
            Cause::BreakerOpen,
            "the destination, or a part of it, failed so often that it is only probed".to_owned(),
            "deliveries wait and lose no attempts; it heals by itself once the destination answers",
        );
    } else if sink.state != "paused"
        && let Some(overdue) = sink.oldest_due_seconds.filter(|due| *due > OVERDUE.as_secs() as i64)
    {
        let due = format!("a delivery has been due for {}", Ago(overdue));
        match sink.budget_full_until {
            Some(until) => add(
                Cause::SinkBehind,
                format!("{due}: no call is left until {}", until.format("%Y-%m-%d %H:%M:%SZ")),
                "raise the sink's `limits` where the destination allows more; what waits goes out by itself",
            ),
            None => {
                add(
                    Cause::SinkBehind,
                    due,
                    "check that `run` is up and serves this sink; a backlog is worked off by itself",
                );
            }
        }
    }
    if sink.parked > 0 {
        add(
            Cause::DeadLetters,
            format!("{} parked", counted(sink.parked, "delivery")),
            "see reason and hint in `dead_letters`",
        );
    }
    if sink.in_doubt > 0 {
        add(
            Cause::InDoubt,
            format!("{} sent without an answer", counted(sink.in_doubt, "delivery")),
            "looked up by itself where the destination allows it; else see hint in `dead_letters`",
        );
    }
}

fn counted(n: i64, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (n, Some(stem)) => format!("{n} {stem}ies"),
        (n, None) => format!("{n} {what}s"),
    }
}

/// A number of seconds for people: `45s`, `12m`, `3h 5m`, `2d 4h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ago(pub i64);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.max(0);
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
        match seconds {
            0..60 => write!(f, "{seconds}s"),
            60..3600 => write!(f, "{minutes}m"),
            3600..86400 => write!(f, "{hours}h {}m", minutes % 60),
            _ => write!(f, "{days}d {}h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn source() -> SourceStatus {
        SourceStatus {
            source: "main".into(),
            state: "active".into(),
            reason: None,
            hint: None,
            last_error: None,
            failures: 0,
            cursor_age_seconds: Some(10),
            lag_seconds: 10,
            last_poll_at: None,
            last_success_at: None,
            next_poll_at: DateTime::UNIX_EPOCH,
            versions: 1,
            duplicates: 0,
            throttled: 0,
            quarantined: 0,
        }
    }

    fn sink() -> SinkStatus {
        SinkStatus {
            sink: "hook".into(),
            kind: "webhook".into(),
            state: "active".into(),
            reason: None,
            hint: None,
            breaker: "closed".into(),
            pending: 3,
            in_flight: 1,
            in_doubt: 0,
            parked: 0,
            waiting_for: BTreeMap::new(),
            oldest_due_seconds: Some(2),
            last_success_at: None,
            activated_at: DateTime::UNIX_EPOCH,
            budget_full_until: None,
        }
    }

    /// Causes and which of them stop work.
    fn judged(source: SourceStatus, sink: SinkStatus) -> Vec<Cause> {
        let limits = Limits { lag: [("main".to_owned(), LAG)].into() };
        let health = judge(&Overview { sources: vec![source], sinks: vec![sink], ..Overview::default() }, &limits);
        assert_eq!(health.is_degraded(), !health.reasons.is_empty());
        health.reasons.iter().map(|reason| reason.cause).collect()
    }

    #[test]
    fn work_that_goes_on_is_fine() {
        assert_eq!(judged(source(), sink()), []);
    }

    #[test]
    fn a_parked_stream_is_told_with_its_own_reason_and_hint() {
        let parked = SourceStatus {
            state: "parked".into(),
            reason: Some("unauthorized".into()),
            hint: Some("put a valid token there".into()),
            failures: 9,
            ..source()
        };
        let limits = Limits { lag: [("main".to_owned(), LAG)].into() };

        let health = judge(&Overview { sources: vec![parked], ..Overview::default() }, &limits);

        assert_eq!(health.reasons.len(), 1);
        assert_eq!(health.reasons[0].cause, Cause::SourceParked);
        assert!(health.reasons[0].detail.contains("unauthorized"));
        assert_eq!(health.reasons[0].hint, "put a valid token there");
    }

    #[test]
    fn a_stream_fails_from_the_third_poll_in_a_row_on() {
        let failed = |failures| SourceStatus { state: "failing".into(), failures, ..source() };

        assert_eq!(judged(failed(2), sink()), []);
        assert_eq!(judged(failed(3), sink()), [Cause::SourceFailing]);
    }

    #[test]
    fn a_stream_is_behind_beyond_its_limit_only() {
        let behind = |lag_seconds| SourceStatus { lag_seconds, ..source() };

        assert_eq!(judged(behind(1800), sink()), []);
        assert_eq!(judged(behind(1801), sink()), [Cause::SourceBehind]);
    }

    #[test]
    fn a_stream_that_is_read_seldom_may_be_behind_for_three_polls() {
        let limit_with = |poll_interval: &str| {
            let overrides = [
                ("database.url", "embedded"),
                ("sources.main.kind", "scoffable"),
                ("sources.main.token", "t"),
                ("sources.main.poll_interval", poll_interval),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
            let options = crate::config::LoadOptions { overrides: overrides.into(), ..Default::default() };
            Limits::of(&crate::config::load(&options).unwrap()).lag["main"]
        };

        assert_eq!(limit_with("5m"), Duration::from_mins(30));
        assert_eq!(limit_with("1h"), Duration::from_hours(3));
    }

    #[test]
    fn pauses_are_an_operators_own_doing() {
        let source = SourceStatus { state: "paused".into(), lag_seconds: 99_999, ..source() };
        let sink =
            SinkStatus { state: "paused".into(), breaker: "open".into(), oldest_due_seconds: Some(99_999), ..sink() };

        assert_eq!(judged(source, sink), []);
    }

    #[test]
    fn a_stream_that_is_configured_no_more_is_not_judged() {
        let gone = SourceStatus { source: "old".into(), state: "parked".into(), lag_seconds: 99_999, ..source() };

        assert_eq!(judged(gone, sink()), []);
    }

    #[test]
    fn a_destination_that_is_not_served_stops_work_and_single_orders_do_not() {
        let blocked = SinkStatus { state: "blocked".into(), breaker: "open".into(), ..sink() };
        let open = SinkStatus { breaker: "half_open".into(), oldest_due_seconds: Some(9_999), ..sink() };
        let letters = SinkStatus { parked: 2, in_doubt: 1, ..sink() };
        let refused = SourceStatus { quarantined: 1, ..source() };

        assert_eq!(judged(source(), blocked), [Cause::SinkBlocked]);
        assert_eq!(judged(source(), open), [Cause::BreakerOpen]);
        assert_eq!(judged(refused, letters), [Cause::Quarantined, Cause::DeadLetters, Cause::InDoubt]);
        assert!(Cause::SinkBlocked.stops_work() && Cause::BreakerOpen.stops_work());
        assert!(!Cause::DeadLetters.stops_work() && !Cause::Quarantined.stops_work());
    }

    #[test]
    fn a_sink_is_behind_once_something_was_due_for_too_long() {
        let due = |seconds| SinkStatus { oldest_due_seconds: Some(seconds), ..sink() };

        assert_eq!(judged(source(), due(900)), []);
        assert_eq!(judged(source(), due(901)), [Cause::SinkBehind]);
    }

    #[test]
    fn durations_are_short_and_round_down() {
        let shown = [0, 59, 60, 3599, 3600, 90_000, -5].map(|seconds| Ago(seconds).to_string());

        assert_eq!(shown, ["0s", "59s", "1m", "59m", "1h 0m", "1d 1h", "0s"]);
    }
}
