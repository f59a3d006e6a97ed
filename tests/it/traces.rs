//! Traces: the way of each order as an OpenTelemetry collector gets it, and what destinations are told of it. Read with the
//! collector's own message types.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, any_value::Value as Held},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use rustix::process::Signal;
use scoffable_sync::{
    app::App,
    simulator::{self, SimulateOptions},
    telemetry::{Instruments, traces::Traces},
};
use serde_json::json;

use crate::harness::{
    app::{TestApp, order},
    postgres::fresh_database,
    process::{ConfigFile, PATIENCE, until},
    recorder::{Recorded, Recorder},
};

/// An app that exports to one recorder and sends orders to another.
struct Traced {
    app: TestApp,
    collector: Recorder,
    hook: Recorder,
    instruments: Instruments,
}

impl Traced {
    async fn start(sample_percent: &str) -> Self {
        let (collector, hook) = (Recorder::start().await, Recorder::start().await);
        let app = TestApp::setup()
            .with("sinks.hook.url", &hook.url())
            .with("traces.endpoint", &collector.url())
            .with("traces.headers.x-api-key", "open-sesame")
            .with("traces.sample_percent", sample_percent)
            .start()
            .await;
        let mut traced = Self { app, collector, hook, instruments: Instruments::default() };
        traced.another_process("one");
        traced
    }

    /// From now on another process does what there is to do.
    fn another_process(&mut self, owner: &str) {
        let traces = Traces::start(self.app.settings.traces.as_ref(), owner).unwrap();
        self.instruments = Instruments { traces, ..Instruments::default() };
        let app = &self.app;
        let built = App::reporting(self.instruments.clone(), &app.settings, &app.pool, &app.clock, owner).unwrap();
        (self.app.pollers, self.app.dispatchers) = (built.pollers, built.dispatchers);
    }

    /// The process ends.
    async fn end(&self) {
        let traces = self.instruments.traces.clone();
        tokio::task::spawn_blocking(move || traces.finish()).await.unwrap();
    }
}

/// A span with the process that told of it.
#[derive(Debug)]
struct Told {
    owner: String,
    span: Span,
}

fn spans(requests: &[Recorded]) -> Vec<Told> {
    let exports = requests.iter().map(|request| ExportTraceServiceRequest::decode(&*request.body).expect("it is OTLP"));
    let of_process = |resource: opentelemetry_proto::tonic::trace::v1::ResourceSpans| {
        let attributes = resource.resource.expect("a resource").attributes;
        let owner = attributes.iter().find(|one| one.key == "service.instance.id").expect("an instance");
        assert!(attributes.iter().any(|one| one.key == "service.name" && text(one.value.as_ref()) == "scoffable-sync"));
        let owner = text(owner.value.as_ref());
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Told { owner: owner.clone(), span }).collect::<Vec<_>>()
    };
    exports.flat_map(|export| export.resource_spans).flat_map(of_process).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Held::StringValue(text)) => text.clone(),
        Some(Held::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

impl Told {
    fn says(&self, key: &str) -> Option<String> {
        self.span.attributes.iter().find(|one| one.key == key).map(|one| text(one.value.as_ref()))
    }

    /// As a request carries it.
    fn traceparent(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("00-{}-{}-01", hex(&self.span.trace_id), hex(&self.span.span_id))
    }

    fn began_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.span.start_time_unix_nano as i64)
    }
}

#[tokio::test]
async fn an_orders_way_is_one_trace_whichever_processes_it_took() {
    let mut traced = Traced::start("100").await;
    let mut personal = order("A-1", 1, "accepted");
    personal["customer"] = json!({"name": "Zoe Quill", "phone": "+44 20 7946 0958", "notes": "ring twice"});
    traced.hook.answer_next(503, "");
    traced.app.arrives(&personal).await;
    traced.end().await;
    traced.another_process("two");
    traced.app.advance(Duration::from_mins(1));
    traced.app.dispatch().await;
    traced.end().await;

    let exports = traced.collector.requests();
    let told = spans(&exports);
    let names: Vec<_> = told.iter().map(|one| (one.owner.as_str(), one.span.name.as_str())).collect();
    assert_eq!(names, [("one", "version stored"), ("one", "hook post"), ("two", "hook post")]);
    let [version, first, second] = &told[..] else { panic!("{told:?}") };
    assert!(told.iter().all(|one| one.span.trace_id == version.span.trace_id && one.span.trace_id.len() == 16));
    assert!(version.span.parent_span_id.is_empty());
    assert_eq!(version.says("order.status").as_deref(), Some("accepted"));
    assert_eq!(version.says("order.verdict").as_deref(), Some("balanced"));
    for (call, attempt, outcome, status) in [(first, "1", "unknown", "503"), (second, "2", "delivered", "200")] {
        assert_eq!(call.span.parent_span_id, version.span.span_id);
        assert_eq!(call.span.kind, SpanKind::Client as i32);
        for (key, value) in [
            ("source.name", "main"),
            ("order.id", "A-1"),
            ("order.version", "1"),
            ("sink.name", "hook"),
            ("delivery.attempt", attempt),
            ("outcome", outcome),
            ("http.response.status_code", status),
        ] {
            assert_eq!(call.says(key).as_deref(), Some(value), "{key}");
        }
    }
    assert_eq!(first.says("reason").as_deref(), Some("server_error"));
    assert_eq!(first.span.status.as_ref().unwrap().code, StatusCode::Error as i32);
    assert!(second.began_at() - first.began_at() >= TimeDelta::minutes(1));
    assert!(first.span.end_time_unix_nano >= first.span.start_time_unix_nano);

    let carried: Vec<_> = traced.hook.requests().iter().map(|one| one.header("traceparent").to_owned()).collect();
    assert_eq!(carried, [first.traceparent(), second.traceparent()], "each request names its own span");
    for export in &exports {
        assert_eq!(export.header("x-api-key"), "open-sesame");
        let bytes = String::from_utf8_lossy(&export.body);
        for never in ["Quill", "7946", "ring twice", "whsec_"] {
            assert!(!bytes.contains(never), "{never}");
        }
    }
}

#[tokio::test]
async fn all_processes_choose_the_same_part_of_all_orders() {
    let mut traced = Traced::start("30").await;
    for n in 0..60 {
        traced.app.publish(&order(&format!("A-{n}"), 1, "accepted"));
    }
    traced.app.make_sources_due().await;
    traced.app.poll().await;
    traced.end().await;
    traced.another_process("two");
    traced.app.dispatch().await;
    traced.end().await;

    let told = spans(&traced.collector.requests());
    let of = |owner: &str| -> BTreeSet<String> {
        told.iter().filter(|one| one.owner == owner).filter_map(|one| one.says("order.id")).collect()
    };
    assert_eq!(of("one"), of("two"));
    assert!((6..=34).contains(&of("one").len()), "{:?} of 60", of("one"));
    let carries = |request: &&Recorded| request.headers.contains_key("traceparent");
    assert_eq!(traced.hook.requests().iter().filter(carries).count(), of("one").len());
    assert_eq!(traced.hook.requests().len(), 60);
}

#[tokio::test]
async fn without_a_place_for_traces_nothing_is_carried() {
    let hook = Recorder::start().await;
    let mut app = TestApp::setup().with("sinks.hook.url", &hook.url()).start().await;

    app.arrives(&order("A-1", 1, "accepted")).await;

    assert!(!hook.requests()[0].headers.contains_key("traceparent"));
}

#[tokio::test]
async fn orders_never_wait_for_a_collector_and_a_stop_sends_what_is_left() {
    let database = fresh_database().await;
    let options =
        SimulateOptions { limits: simulator::scoffable::Limits::NONE, orders: 0, ..SimulateOptions::default() };
    let simulation = simulator::run(options).await.expect("loopback ports are free");
    let config = ConfigFile::of(&database, &simulation);
    let collector = Recorder::start().await;
    let nobody = format!("http://127.0.0.1:{}/v1/traces", crate::harness::process::unused_port());

    for (id, endpoint) in [("A-1", nobody), ("A-2", collector.url())] {
        let mut daemon = config.command(&["run"]).with("traces.endpoint", &endpoint).start();
        daemon.says("daemon started").await;
        simulation.scoffable.publish(order(id, 1, "accepted").to_string());
        let applied = |ledger: &simulator::ledger::Ledger| !ledger.applied("main", id).is_empty();
        simulation.webhook.wait_until(applied, PATIENCE).await.unwrap_or_else(|_| panic!("{id} never arrives"));
        let pool = database.pool().await;
        until("it is settled", async || {
            let state = sqlx::query_scalar::<_, String>("SELECT state FROM deliveries WHERE order_id = $1");
            state.bind(id).fetch_one(&pool).await.unwrap() == "applied"
        })
        .await;
        daemon.signal(Signal::TERM);
        let ended = daemon.finished().await.expect_code(0);
        assert_eq!(ended.stderr.contains("traces not exported"), id == "A-1", "{}", ended.stderr);
    }

    let told = spans(&collector.requests());
    let ids: BTreeSet<_> = told.iter().filter_map(|one| one.says("order.id")).collect();
    assert_eq!(ids, BTreeSet::from(["A-2".to_owned()]));
    assert_eq!(told.len(), 2, "{told:?}");
}
