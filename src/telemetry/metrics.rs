//! Counters and gauges, in a registry of this process' own (`GET /metrics`).
//!
//! Labels come from small fixed sets: configured names and fixed codes, never an order.

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::domain::{
    delivery::State,
    ids::{SinkName, SourceName},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Source {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceCode {
    source: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkCode {
    sink: String,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sink {
    sink: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChannelCode {
    channel: &'static str,
    code: &'static str,
}

/// Everything that is measured while the process runs.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pages: Family<Source, Counter>,
    versions: Family<Source, Counter>,
    duplicates: Family<Source, Counter>,
    quarantined: Family<Source, Counter>,
    polls: Family<SourceCode, Counter>,
    verdicts: Family<SourceCode, Counter>,
    last_success: Family<Source, Gauge>,
    attempts: Family<SinkCode, Counter>,
    attempt_seconds: Family<Sink, Histogram>,
    settled: Family<SinkCode, Counter>,
    corrections_avoided: Family<Sink, Counter>,
    alert_messages: Family<ChannelCode, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("scoffable_sync"),
            pages: Family::default(),
            versions: Family::default(),
            duplicates: Family::default(),
            quarantined: Family::default(),
            polls: Family::default(),
            verdicts: Family::default(),
            last_success: Family::default(),
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(|| {
                Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0])
            }),
            settled: Family::default(),
            corrections_avoided: Family::default(),
            alert_messages: Family::default(),
        };
        let r = &mut metrics.registry;
        r.register("source_pages", "Pages stored", metrics.pages.clone());
        r.register("source_versions", "Order versions stored", metrics.versions.clone());
        r.register("source_duplicates", "Order versions received again", metrics.duplicates.clone());
        r.register("source_quarantined", "Orders that could not be taken in", metrics.quarantined.clone());
        r.register("source_polls", "Polls by how they ended", metrics.polls.clone());
        r.register("source_verdicts", "Order versions by money verdict", metrics.verdicts.clone());
        r.register(
            "source_last_success_timestamp_seconds",
            "When a page was last stored, Unix time",
            metrics.last_success.clone(),
        );
        r.register("sink_attempts", "Calls to a destination by outcome", metrics.attempts.clone());
        r.register("sink_attempt_duration_seconds", "Time from claim to answer", metrics.attempt_seconds.clone());
        r.register("sink_settled", "Deliveries by the state they went to", metrics.settled.clone());
        r.register(
            "sink_corrections_avoided",
            "Documents that corrections did without, by changing what stood",
            metrics.corrections_avoided.clone(),
        );
        r.register("alert_messages", "Messages about alerts: sent, failed", metrics.alert_messages.clone());
        metrics
    }
}

/// What a commit brought.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    pub pages: u64,
    pub inserted: u64,
    pub received: u64,
    pub quarantined: u64,
}

impl Metrics {
    pub fn committed(&self, source: &SourceName, commit: Committed, now_unix: i64) {
        let label = Source { source: source.to_string() };
        self.pages.get_or_create(&label).inc_by(commit.pages);
        self.versions.get_or_create(&label).inc_by(commit.inserted);
        self.duplicates.get_or_create(&label).inc_by(commit.received.saturating_sub(commit.inserted));
        self.quarantined.get_or_create(&label).inc_by(commit.quarantined);
        self.last_success.get_or_create(&label).set(now_unix);
    }

    /// `end`: how a poll ended, a fixed code.
    pub fn polled(&self, source: &SourceName, end: &'static str) {
        self.polls.get_or_create(&SourceCode { source: source.to_string(), code: end }).inc();
    }

    pub fn verdict(&self, source: &SourceName, verdict: &'static str, times: u64) {
        self.verdicts.get_or_create(&SourceCode { source: source.to_string(), code: verdict }).inc_by(times);
    }

    pub fn attempt(&self, sink: &SinkName, outcome: &'static str, took: Duration) {
        self.attempts.get_or_create(&SinkCode { sink: sink.to_string(), code: outcome }).inc();
        self.attempt_seconds.get_or_create(&Sink { sink: sink.to_string() }).observe(took.as_secs_f64());
    }

    pub fn settled(&self, sink: &SinkName, state: State) {
        self.settled.get_or_create(&SinkCode { sink: sink.to_string(), code: state.as_str() }).inc();
    }

    pub fn corrections_avoided(&self, sink: &SinkName, more: u64) {
        if more > 0 {
            self.corrections_avoided.get_or_create(&Sink { sink: sink.to_string() }).inc_by(more);
        }
    }

    /// `code`: `sent` or `failed`.
    pub fn alert_message(&self, channel: &'static str, code: &'static str) {
        self.alert_messages.get_or_create(&ChannelCode { channel, code }).inc();
    }

    /// The text form that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
