//! What a person does by command: to deliveries that wait for one, to sinks and to sources. Through the functions of the
//! command line, with their exit codes and texts.

use std::time::Duration;

use clap::{Command, Subcommand};
use scoffable_sync::{
    cli::{
        self, config::Form, deliveries::DeliveriesCommand, quarantine::QuarantineCommand, sink::SinkCommand,
        source::SourceCommand,
    },
    simulator::faults::{plainly, status},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{TestApp, order, order_of},
    process::until,
    stream,
};

/// The command behind its subcommand's name, as the command line reads it.
pub fn parsed<C: Subcommand>(line: &str) -> C {
    let words = std::iter::once("command").chain(line.split(' '));
    let matches = C::augment_subcommands(Command::new("command")).try_get_matches_from(words);
    matches.and_then(|matches| C::from_arg_matches(&matches)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

pub fn text(out: Vec<u8>) -> String {
    String::from_utf8(out).expect("commands write text")
}

pub async fn deliveries(app: &TestApp, line: &str) -> (u8, String) {
    let (command, mut out) = (parsed::<DeliveriesCommand>(line), Vec::new());
    let code = cli::deliveries::run(&app.pool, &command, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), text(out))
}

async fn sink(app: &TestApp, line: &str) -> (u8, String) {
    let (command, mut out) = (parsed::<SinkCommand>(line), Vec::new());
    let code = cli::sink::run(&app.pool, &command, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), text(out))
}

async fn source(app: &TestApp, line: &str) -> (u8, String) {
    let (command, mut out) = (parsed::<SourceCommand>(line), Vec::new());
    let code = cli::source::run(&app.pool, &command, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), text(out))
}

/// An order that the receiver refused.
pub async fn refused(app: &mut TestApp, id: &str) {
    app.webhook.answer_next([status(422)]);
    app.arrives(&order(id, 1, "accepted")).await;
    assert_eq!(app.delivery(id).await.state, "parked");
}

/// An order whose first step was written down and sent, and has no known outcome.
pub async fn doubted(app: &mut TestApp, id: &str) {
    app.stores(&order(id, 1, "accepted")).await;
    let step = json!({
        "name": "submit", "key": format!("k-{id}"), "body": "{}", "repeat": "never", "completes": true,
        "receipt": {"digest": "d-1", "total": 1250},
    });
    sqlx::query(
        "UPDATE deliveries
         SET state = 'in_doubt', reason = 'no_answer', pending_step = $2, sent_version = wanted_version, attempts = 3,
             next_attempt_at = NULL
         WHERE order_id = $1",
    )
    .bind(id)
    .bind(step)
    .execute(&app.pool)
    .await
    .expect("the test's SQL works");
}

pub async fn standing(app: &TestApp, id: &str) -> (String, Option<String>) {
    let delivery = app.delivery(id).await;
    (delivery.state, delivery.reason)
}

pub fn stands(state: &str, reason: Option<&str>) -> (String, Option<String>) {
    (state.to_owned(), reason.map(str::to_owned))
}

pub async fn receipt(app: &TestApp, id: &str) -> Value {
    let receipt: Option<Value> = sqlx::query_scalar("SELECT receipt FROM deliveries WHERE order_id = $1")
        .bind(id)
        .fetch_one(&app.pool)
        .await
        .expect("a delivery can be read");
    receipt.unwrap_or_default()
}

pub async fn actions(app: &TestApp) -> i64 {
    app.number("SELECT count(*) FROM operator_actions").await
}

// retry

#[tokio::test]
async fn a_refused_order_that_is_retried_is_sent_with_a_fresh_count() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;

    let (code, told) = deliveries(&app, "retry hook A-1 --who ada").await;

    assert_eq!((code, told.as_str()), (0, "main/A-1 at sink hook: parked → pending\n"));
    assert_eq!(app.delivery("A-1").await.attempts, 0);
    app.dispatch().await;
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
    assert_eq!(app.applied("A-1"), [1]);
}

#[tokio::test]
async fn g7_who_did_what_and_why_stands_in_the_timeline() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;

    deliveries(&app, "retry hook A-1 --who ada --why mended").await;

    let row = "SELECT concat_ws(' ', actor, event, detail ->> 'why', detail ->> 'was', detail ->> 'reason')
               FROM order_timeline WHERE order_id = 'A-1' AND actor LIKE 'operator:%'";
    assert_eq!(app.text(row).await.as_deref(), Some("operator:ada retry mended parked unprocessable"));
    let mut out = Vec::new();
    cli::order::run(&app.pool, "A-1", None, Form::Text, &mut out).await.unwrap();
    let told = text(out);
    let line = told.lines().find(|line| line.contains("operator:ada")).expect("the person is named");
    assert!(line.ends_with("retry at hook (reason unprocessable, was parked): mended"), "{line}");
}

#[tokio::test]
async fn all_parked_ones_of_a_reason_can_be_retried_and_doubts_stay() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    refused(&mut app, "A-2").await;
    app.webhook.answer_next([status(410)]);
    app.arrives(&order("A-3", 1, "accepted")).await;
    doubted(&mut app, "A-4").await;

    let (code, told) = deliveries(&app, "retry hook --all --reason unprocessable --json").await;

    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, told["deliveries"].as_array().map(Vec::len)), (0, Some(2)));
    assert_eq!(standing(&app, "A-2").await, stands("pending", None));
    assert_eq!(standing(&app, "A-3").await, stands("parked", Some("gone")));
    deliveries(&app, "retry hook --all").await;
    assert_eq!(standing(&app, "A-3").await, stands("pending", None));
    assert_eq!(standing(&app, "A-4").await, stands("in_doubt", Some("no_answer")));
    assert_eq!(deliveries(&app, "retry hook --all").await, (0, "nothing to retry at sink hook\n".to_owned()));
    app.dispatch().await;
}

#[tokio::test]
async fn a_doubt_that_is_retried_is_planned_anew_from_the_newest_version() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    app.stores(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(deliveries(&app, "retry hook A-1").await.0, 0);
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [2]);
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
}

#[tokio::test]
async fn once_nothing_stands_a_cancellation_is_not_owed() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    app.stores(&order("A-1", 2, "cancelled")).await;

    deliveries(&app, "retry hook A-1").await;
    app.dispatch().await;

    assert_eq!(standing(&app, "A-1").await, stands("skipped", Some("cancelled_before_sent")));
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn after_an_earlier_step_of_the_plan_a_cancellation_stays_owed() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    app.run("UPDATE deliveries SET receipt = '{\"contact\": \"c-1\"}'").await;
    app.stores(&order("A-1", 2, "cancelled")).await;

    deliveries(&app, "retry hook A-1").await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [2]);
}

// discard

#[tokio::test]
async fn a_discarded_order_is_sent_again_when_it_changes() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;

    let (code, told) = deliveries(&app, "discard hook A-1").await;

    assert_eq!((code, told.as_str()), (0, "main/A-1 at sink hook: parked → skipped (discarded)\n"));
    app.dispatch().await;
    assert_eq!(app.requests(), 1);
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;
    assert_eq!(app.applied("A-1"), [2]);
}

#[tokio::test]
async fn of_every_version_only_the_refused_one_is_discarded() {
    let mut app = TestApp::setup().with("sinks.hook.versions", "every").start().await;
    app.webhook.answer_next([plainly(), status(422)]);
    for version in [1, 3, 7] {
        app.publish(&order_of("A-1", version, "accepted", 100 * version));
    }
    app.poll().await;
    app.dispatch().await;
    assert_eq!(standing(&app, "A-1").await, stands("parked", Some("unprocessable")));

    let (code, told) = deliveries(&app, "discard hook A-1").await;
    app.dispatch().await;

    assert_eq!((code, told.as_str()), (0, "main/A-1 at sink hook: parked → pending\n"));
    assert_eq!(app.applied("A-1"), [1, 7]);
    let version = "SELECT detail ->> 'version' FROM operator_actions";
    assert_eq!(app.text(version).await.as_deref(), Some("3"));
}

#[tokio::test]
async fn g3_after_a_discarded_doubt_nothing_is_created_until_a_person_retries() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;

    deliveries(&app, "discard hook A-1").await;

    assert_eq!(standing(&app, "A-1").await, stands("skipped", Some("discarded")));
    assert_eq!(receipt(&app, "A-1").await, json!({ "possibly_stands": "k-A-1" }));
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;
    assert_eq!(standing(&app, "A-1").await, stands("parked", Some("possibly_stands")));
    deliveries(&app, "retry hook --all").await;
    app.arrives(&order_of("A-1", 3, "accepted", 800)).await;
    assert_eq!(standing(&app, "A-1").await, stands("parked", Some("possibly_stands")));
    assert_eq!(app.requests(), 0);

    deliveries(&app, "retry hook A-1").await;
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [3]);
}

#[tokio::test]
async fn a_cancellation_behind_a_discarded_doubt_waits_for_a_person() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    app.stores(&order("A-1", 2, "cancelled")).await;

    deliveries(&app, "discard hook A-1").await;
    app.dispatch().await;

    assert_eq!(standing(&app, "A-1").await, stands("parked", Some("possibly_stands")));
    deliveries(&app, "discard hook A-1").await;
    assert_eq!(standing(&app, "A-1").await, stands("skipped", Some("discarded")));
}

// adopt

#[tokio::test]
async fn an_adopted_order_is_applied_under_its_foreign_id_without_a_call() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    app.run("UPDATE deliveries SET receipt = '{\"contact\": \"c-1\"}'").await;

    let (code, told) = deliveries(&app, "adopt hook A-1 POS-7").await;

    assert_eq!((code, told.as_str()), (0, "main/A-1 at sink hook: in_doubt → applied\n"));
    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.external_id.as_deref(), delivery.applied), (Some("POS-7"), Some(1)));
    assert_eq!(receipt(&app, "A-1").await, json!({ "contact": "c-1", "digest": "d-1", "total": 1250 }));
    app.dispatch().await;
    assert_eq!(app.requests(), 0);
}

#[tokio::test]
async fn a_newer_version_of_an_adopted_order_is_owed() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    app.stores(&order("A-1", 2, "cancelled")).await;

    deliveries(&app, "adopt hook A-1 POS-7").await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.applied), ("pending", Some(1)));
    assert_eq!(delivery.external_id.as_deref(), Some("POS-7"));
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [2]);
}

#[tokio::test]
async fn adopting_one_of_several_steps_leaves_the_rest_owed() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    app.run("UPDATE deliveries SET pending_step = pending_step || '{\"completes\": false}'").await;

    deliveries(&app, "adopt hook A-1 POS-7").await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.applied), ("pending", None));
    assert_eq!(receipt(&app, "A-1").await["total"], 1250);
    app.dispatch().await;
}

#[tokio::test]
async fn an_id_that_is_linked_to_another_order_is_not_adopted() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    doubted(&mut app, "A-2").await;
    deliveries(&app, "adopt hook A-1 POS-7").await;

    let (code, told) = deliveries(&app, "adopt hook A-2 POS-7").await;

    let refusal = "POS-7 is what sink hook calls order A-1 of source main already\nnothing was changed\n";
    assert_eq!((code, told.as_str()), (1, refusal));
    assert_eq!(standing(&app, "A-2").await, stands("in_doubt", Some("no_answer")));
    assert_eq!(actions(&app).await, 1);
}

#[tokio::test]
async fn of_two_people_who_adopt_one_id_at_once_one_is_refused() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    doubted(&mut app, "A-2").await;
    // Both are under way before either can look.
    let mut gate = app.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM sinks WHERE name = 'hook' FOR UPDATE").execute(&mut *gate).await.unwrap();

    let (first, second, ()) =
        tokio::join!(deliveries(&app, "adopt hook A-1 POS-7"), deliveries(&app, "adopt hook A-2 POS-7"), async {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                           WHERE datname = current_database() AND wait_event_type = 'Lock'";
            until("both wait", async || app.number(waiting).await == 2).await;
            gate.commit().await.unwrap();
        });

    let codes = [first.0, second.0];
    assert!(codes == [0, 1] || codes == [1, 0], "{first:?} {second:?}");
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE external_id = 'POS-7'").await, 1);
    assert_eq!(actions(&app).await, 1);
}

#[tokio::test]
async fn looking_for_an_id_goes_by_index() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, external_id)
         SELECT 'hook', 'main', 'A-' || n, 'applied', 1, 1, 'POS-' || n FROM generate_series(1, 20000) AS n",
    )
    .await;
    app.run("ANALYZE deliveries").await;

    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT source FROM deliveries
         WHERE sink = 'hook' AND left(external_id, 200) = left('POS-7', 200) AND external_id = 'POS-7'",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();

    assert!(plan.iter().any(|line| line.contains("deliveries_external_id")), "{plan:#?}");
}

// In turn: doubts of versions = "every"

/// The first version applied, the answer about the third lost, the seventh waiting.
async fn doubted_in_turn() -> TestApp {
    let mut app = TestApp::setup().with("sinks.hook.versions", "every").start().await;
    app.arrives(&order_of("A-1", 1, "accepted", 100)).await;
    for version in [3, 7] {
        app.stores(&order_of("A-1", version, "accepted", 100 * version)).await;
    }
    app.run(
        "UPDATE deliveries
         SET state = 'in_doubt', reason = 'no_answer', sent_version = 3, next_attempt_at = NULL,
             pending_step = '{\"name\": \"submit\", \"key\": \"k-3\", \"body\": \"{}\", \"repeat\": \"never\",
                              \"completes\": true, \"receipt\": {\"digest\": \"d-3\"}}'",
    )
    .await;
    app
}

#[tokio::test]
async fn of_every_version_an_adopted_one_is_applied_and_the_walk_goes_on() {
    let mut app = doubted_in_turn().await;

    let (code, told) = deliveries(&app, "adopt hook A-1 POS-7").await;

    assert_eq!((code, told.as_str()), (0, "main/A-1 at sink hook: in_doubt → pending\n"));
    assert_eq!(app.delivery("A-1").await.applied, Some(3));
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1, 7]);
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
}

#[tokio::test]
async fn a_doubt_is_about_the_version_that_its_step_names() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    app.stores(&order("A-1", 2, "cancelled")).await;
    // A worker was lost while it looked the step up: its claim counted the newest version as possibly sent.
    app.run("UPDATE deliveries SET sent_version = 2, pending_step = pending_step || '{\"version\": 1}'").await;

    deliveries(&app, "adopt hook A-1 POS-7").await;

    assert_eq!((standing(&app, "A-1").await, app.delivery("A-1").await.applied), (stands("pending", None), Some(1)));
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [2], "the cancellation is owed");
}

#[tokio::test]
async fn of_every_version_nothing_follows_a_discarded_doubt_until_a_person_retries() {
    let mut app = doubted_in_turn().await;

    let (code, told) = deliveries(&app, "discard hook A-1").await;
    app.dispatch().await;

    assert_eq!((code, told.as_str()), (0, "main/A-1 at sink hook: in_doubt → pending\n"));
    assert_eq!(standing(&app, "A-1").await, stands("parked", Some("possibly_stands")));
    assert_eq!(app.applied("A-1"), [1]);
    deliveries(&app, "retry hook A-1").await;
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1, 7], "the third was discarded");
}

#[tokio::test]
async fn of_every_version_a_retried_doubt_is_sent_again() {
    let mut app = doubted_in_turn().await;

    deliveries(&app, "retry hook A-1").await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1, 3, 7]);
}

// Alerts

async fn open_alerts(app: &TestApp) -> Option<String> {
    app.text("SELECT string_agg(subject, ' ' ORDER BY subject) FROM alerts WHERE cause = 'dead_letter' AND resolved_at IS NULL")
        .await
}

#[tokio::test]
async fn a_dead_letters_alert_ends_when_a_newer_version_cures_it() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    refused(&mut app, "A-2").await;

    app.stores(&order("A-1", 2, "accepted")).await;

    let open = "SELECT string_agg(subject, ' ') FROM alerts WHERE cause = 'dead_letter' AND resolved_at IS NULL";
    assert_eq!(app.text(open).await.as_deref(), Some("hook/main/A-2"));
}

#[tokio::test]
async fn a_dead_letters_alert_ends_when_a_person_has_dealt_with_it() {
    let mut app = TestApp::start().await;
    for id in ["A-1", "A-2", "A-3", "A-4"] {
        refused(&mut app, id).await;
    }
    assert_eq!(open_alerts(&app).await.as_deref(), Some("hook/main/A-1 hook/main/A-2 hook/main/A-3 hook/main/A-4"));

    deliveries(&app, "retry hook A-1").await;
    assert_eq!(open_alerts(&app).await.as_deref(), Some("hook/main/A-2 hook/main/A-3 hook/main/A-4"));
    deliveries(&app, "discard hook A-2").await;
    assert_eq!(open_alerts(&app).await.as_deref(), Some("hook/main/A-3 hook/main/A-4"));
    app.run(
        "UPDATE deliveries SET state = 'in_doubt', pending_step = '{\"key\": \"k\"}', sent_version = 1
         WHERE order_id = 'A-3'",
    )
    .await;
    deliveries(&app, "adopt hook A-3 POS-3").await;
    assert_eq!(open_alerts(&app).await.as_deref(), Some("hook/main/A-4"));

    deliveries(&app, "retry hook A-4 Z-9").await;
    assert_eq!(open_alerts(&app).await.as_deref(), Some("hook/main/A-4"), "refused, so nothing changed");
    app.dispatch().await;
}

// The timeline by SQL

#[tokio::test]
async fn a_version_that_came_late_is_marked_in_the_timeline() {
    let mut app = TestApp::start().await;
    for version in [1, 3] {
        app.arrives(&order_of("A-1", version, "accepted", 100 * version)).await;
    }
    app.advance(Duration::from_mins(1));
    app.arrives(&order_of("A-1", 2, "accepted", 200)).await;

    let late = "SELECT string_agg(concat(detail ->> 'version', ' ', detail ->> 'late'), ', ' ORDER BY at, detail ->> 'version')
                FROM order_timeline WHERE order_id = 'A-1' AND event = 'version'";
    assert_eq!(app.text(late).await.as_deref(), Some("1 false, 3 false, 2 true"));
}

#[tokio::test]
async fn what_was_done_to_a_sink_is_in_no_orders_timeline() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    sink(&app, "pause hook").await;
    source(&app, "pause main").await;

    assert_eq!(actions(&app).await, 2);
    assert_eq!(app.number("SELECT count(*) FROM order_timeline WHERE actor LIKE 'operator:%'").await, 0);
}

// Bad input

#[tokio::test]
async fn what_is_unknown_or_in_another_state_is_named_and_nothing_changes() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    app.arrives(&order("A-2", 1, "accepted")).await;

    for (line, said) in [
        ("retry hook Z-9", "sink hook is owed no order Z-9"),
        ("retry nowhere A-1", "no sink is called nowhere"),
        ("discard hook A-1 --source nowhere", "no source is called nowhere"),
        ("retry hook A-2", "order A-2 is applied at sink hook: retry is for parked or in_doubt"),
        ("adopt hook A-1 POS-7", "order A-1 is parked at sink hook: adopt is for in_doubt"),
        ("list --sink nowhere", "no sink is called nowhere"),
        // All or nothing.
        ("retry hook A-1 Z-9 Z-9", "sink hook is owed no order Z-9"),
    ] {
        assert_eq!(deliveries(&app, line).await, (1, format!("{said}\nnothing was changed\n")), "{line}");
    }
    let (code, told) = deliveries(&app, "retry hook Z-9 --json").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, told), (1, json!({ "refused": ["sink hook is owed no order Z-9"] })));
    assert_eq!(standing(&app, "A-1").await, stands("parked", Some("unprocessable")));
    assert_eq!(actions(&app).await, 0);
}

#[tokio::test]
async fn an_id_that_two_sources_know_needs_the_source() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    app.run("INSERT INTO sources (name, kind, account) VALUES ('other', 'scoffable', 'other')").await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, reason, wanted_version)
         VALUES ('hook', 'other', 'A-1', 'parked', 'gone', 1)",
    )
    .await;

    let (code, told) = deliveries(&app, "retry hook A-1").await;

    let refusal = "order A-1 is one of several sources (main, other): say which source\nnothing was changed\n";
    assert_eq!((code, told.as_str()), (1, refusal));
    let (code, told) = deliveries(&app, "discard hook A-1 --source other").await;
    assert_eq!((code, told.as_str()), (0, "other/A-1 at sink hook: parked → skipped (discarded)\n"));
}

#[tokio::test]
async fn what_is_being_sent_is_not_touched() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);

    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        let (code, told) = deliveries(app, "retry hook A-1").await;
        assert_eq!(code, 1);
        assert!(told.starts_with("order A-1 is being sent to sink hook right now"), "{told}");
        gate.cancel();
    })
    .await;

    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
}

// list

#[tokio::test]
async fn the_list_shows_what_waits_for_a_person_or_what_was_asked_for() {
    let mut app = TestApp::start().await;
    assert_eq!(deliveries(&app, "list").await, (0, "nothing waits for a person\n".to_owned()));
    refused(&mut app, "A-1").await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    doubted(&mut app, "A-3").await;
    let ids = async |line: &str| {
        let listed: Value = serde_json::from_str(&deliveries(&app, line).await.1).unwrap();
        let listed = listed["deliveries"].as_array().unwrap().iter();
        let mut ids: Vec<String> = listed.map(|one| one["order_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };

    assert_eq!(ids("list --json").await, ["A-1", "A-3"]);
    assert_eq!(ids("list --json --state applied").await, ["A-2"]);
    assert_eq!(ids("list --json --reason no_answer --sink hook --source main").await, ["A-3"]);
    assert_eq!(ids("list --json --limit 1").await.len(), 1);
    let first: Value = serde_json::from_str(&deliveries(&app, "list --json --limit 1").await.1).unwrap();
    let rest = format!("list --json --after {}", first["next"].as_str().expect("there is more"));
    let (first, rest) = (first["deliveries"][0]["order_id"].as_str().unwrap().to_owned(), ids(&rest).await);
    assert_eq!(rest, ["A-1", "A-3"].into_iter().filter(|id| *id != first).collect::<Vec<_>>());
    let (_, told) = deliveries(&app, "list --reason unprocessable").await;
    assert!(told.contains("main/A-1") && !told.contains("A-3"), "{told}");
}

// sink, source

#[tokio::test]
async fn a_paused_sink_is_sent_nothing_until_it_is_resumed() {
    let mut app = TestApp::start().await;

    assert_eq!(sink(&app, "pause hook --who ada --why till").await, (0, "sink hook is paused\n".to_owned()));
    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(app.requests(), 0);
    assert_eq!(sink(&app, "pause hook").await.0, 1);

    assert_eq!(sink(&app, "resume hook").await.0, 0);
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1]);
    let refusal = "sink hook is active and cannot be resumed\nnothing was changed\n";
    assert_eq!(sink(&app, "resume hook").await, (1, refusal.to_owned()));
    assert_eq!(sink(&app, "pause nowhere").await.0, 1);
    let noted = "SELECT string_agg(concat_ws(' ', who, action, sink, why), ', ' ORDER BY id) FROM operator_actions
                 WHERE who = 'ada'";
    assert_eq!(app.text(noted).await.as_deref(), Some("ada pause hook till"));
}

#[tokio::test]
async fn a_paused_source_is_not_read_until_it_is_resumed() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    assert_eq!(source(&app, "pause main").await, (0, "source main is paused\n".to_owned()));
    app.stores(&order("A-2", 1, "accepted")).await;
    assert_eq!(stream::stored(&app.pool).await.len(), 1);
    assert_eq!(source(&app, "pause main").await.0, 1);

    assert_eq!(source(&app, "resume main").await.0, 0);
    app.poll().await;
    assert_eq!(stream::stored(&app.pool).await.len(), 2);
    assert_eq!(source(&app, "resume main").await.0, 1);
    assert_eq!(source(&app, "pause nowhere").await.0, 1);
    app.dispatch().await;
}

#[tokio::test]
async fn a_rewound_source_is_read_again_once_and_nothing_counts_twice() {
    let mut app = TestApp::setup().with("sources.main.start_from", "2030-01-01T00:00:00Z").start().await;
    app.run("UPDATE sources SET rewind_to = '-infinity'").await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    let cursor = app.text("SELECT cursor FROM sources").await;

    let (code, told) = source(&app, "rewind main --to-beginning").await;
    assert_eq!(code, 1);
    assert!(told.contains("2 versions stored would come again"), "{told}");
    assert_eq!((app.text("SELECT cursor FROM sources").await, actions(&app).await), (cursor, 0));

    assert_eq!(source(&app, "rewind main --to-beginning --yes --who ada").await.0, 0);
    assert_eq!(app.text("SELECT cursor FROM sources").await, None);
    app.poll().await;
    app.dispatch().await;

    assert_eq!(app.number("SELECT duplicates FROM sources").await, 2);
    assert_eq!(app.requests(), 2);
    assert_eq!(app.text("SELECT rewind_to::text FROM sources").await, None);
    app.poll().await;
    assert_eq!(app.number("SELECT duplicates FROM sources").await, 2, "the cursor counts again");
}

#[tokio::test]
async fn a_rewound_source_begins_at_the_instant_that_was_named() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    assert_eq!(source(&app, "rewind main --to 2026-03-01T00:00:00Z --yes").await.0, 0);
    app.poll().await;

    let journal = app.scoffable.journal().entries();
    let asked = journal.last().expect("the stream was asked");
    assert!(asked.query.contains("2026-03-01T00"), "{}", asked.query);
    assert_eq!(source(&app, "rewind nowhere --to-beginning --yes").await.0, 1);
}

#[tokio::test]
async fn a_poll_under_way_does_not_undo_a_rewind() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    app.publish(&order("A-2", 1, "accepted"));
    app.make_sources_due().await;
    let gate = CancellationToken::new();
    app.scoffable.answer_next([plainly().answered_when(&gate)]);
    let before = app.scoffable.journal().total();
    let mut poller = app.pollers.remove(0);

    let (tick, ()) = tokio::join!(poller.tick(&app.drain), async {
        let begun =
            app.scoffable.journal().wait_until(|journal| journal.total() > before, crate::harness::app::PATIENCE);
        begun.await.expect("the stream is asked");
        assert_eq!(source(&app, "rewind main --to-beginning --yes").await.0, 0);
        gate.cancel();
    });

    tick.unwrap();
    assert_eq!(app.text("SELECT cursor FROM sources").await, None);
    app.pollers.insert(0, poller);
    app.poll().await;
    assert_eq!(stream::stored(&app.pool).await.len(), 2);
    app.dispatch().await;
}

// quarantine

async fn quarantine(app: &TestApp, line: &str) -> (u8, String) {
    let (command, mut out) = (parsed::<QuarantineCommand>(line), Vec::new());
    let code = cli::quarantine::run(&app.pool, &command, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), text(out))
}

/// The only case there is.
async fn case(app: &TestApp) -> i64 {
    app.number("SELECT id FROM quarantine").await
}

#[tokio::test]
async fn g10_the_quarantine_is_listed_without_its_bytes() {
    let mut app = TestApp::start().await;
    assert_eq!(quarantine(&app, "list").await, (0, "nothing is in quarantine\n".to_owned()));

    app.stores(&json!({ "id": "A-1", "version": "new", "customer": "Jane Miller" })).await;

    for line in ["list", "list --source main --json"] {
        let (code, told) = quarantine(&app, line).await;
        assert_eq!(code, 0);
        assert!(told.contains("A-1") && !told.contains("Miller"), "{told}");
    }
    assert_eq!(quarantine(&app, "list --source nowhere").await.0, 1);
}

/// Puts an order aside as an older version of the program would have that could not read it.
async fn put_aside(app: &mut TestApp, order: &Value) -> i64 {
    app.stores(&json!({ "id": "A-1", "version": "new" })).await;
    sqlx::query("UPDATE quarantine SET raw = $1")
        .bind(order.to_string().into_bytes())
        .execute(&app.pool)
        .await
        .expect("the test's SQL works");
    case(app).await
}

#[tokio::test]
async fn an_order_that_can_be_read_now_leaves_the_quarantine_and_is_sent() {
    let mut app = TestApp::start().await;
    let id = put_aside(&mut app, &order("A-1", 1, "accepted")).await;
    app.run("UPDATE sources SET state = 'parked', reason = 'unauthorized', last_success_at = 'epoch'").await;
    let row =
        "SELECT concat_ws(' ', state, reason, cursor, cursor_at, last_success_at, pages, lease_owner) FROM sources";
    let stream_before = app.text(row).await;

    let (code, told) = quarantine(&app, &format!("retry {id} --who ada")).await;

    assert_eq!((code, told), (0, format!("{id} of source main: stored\n")));
    assert_eq!(app.text(row).await, stream_before, "nothing was learnt about the stream");
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1]);
    let noted = "SELECT concat_ws(' ', actor, event, detail ->> 'became') FROM order_timeline
                 WHERE order_id = 'A-1' AND actor LIKE 'operator:%'";
    assert_eq!(app.text(noted).await.as_deref(), Some("operator:ada quarantine_retry stored"));
    let refusal = format!("{id} is resolved already\nnothing was changed\n");
    assert_eq!(quarantine(&app, &format!("retry {id}")).await, (1, refusal));
    assert_eq!(quarantine(&app, "retry 999999").await.0, 1);
    assert_eq!(quarantine(&app, "retry --all").await, (0, "nothing is in quarantine\n".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_read_now_either_stays_in_quarantine() {
    let mut app = TestApp::start().await;
    app.stores(&json!({ "id": "A-1", "version": "new" })).await;

    let (code, told) = quarantine(&app, "retry --all").await;

    assert_eq!(code, 1);
    assert!(told.contains("cannot be taken in"), "{told}");
    assert_eq!(app.number("SELECT count(*) FROM quarantine WHERE resolved_at IS NULL").await, 1);
}

#[tokio::test]
async fn of_a_version_that_is_stored_the_content_decides() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let id = put_aside(&mut app, &order_of("A-1", 1, "accepted", 900)).await;

    let (code, told) = quarantine(&app, &format!("retry {id}")).await;
    assert_eq!((code, told), (1, format!("{id} of source main: cannot be taken in (version_conflict)\n")));

    app.run("DELETE FROM quarantine WHERE reason = 'version_conflict'").await;
    let id = put_aside(&mut app, &order("A-1", 1, "accepted")).await;
    let (code, told) = quarantine(&app, &format!("retry {id}")).await;
    assert_eq!((code, told), (0, format!("{id} of source main: the same is stored already\n")));
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1]);
}

#[tokio::test]
async fn a_source_that_is_being_read_is_not_disturbed() {
    let mut app = TestApp::start().await;
    let id = put_aside(&mut app, &order("A-1", 1, "accepted")).await;
    app.run("UPDATE sources SET lease_owner = 'another', lease_expires_at = now() + interval '1 minute'").await;

    let (code, told) = quarantine(&app, &format!("retry {id}")).await;

    let busy = format!("{id} of source main: its source is being read right now: try again in a moment\n");
    assert_eq!((code, told), (1, busy));
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 0);
}
