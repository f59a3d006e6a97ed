//! Which versions a sink is owed: latest or every, filters, stability, start, and the order between two sinks.

use std::time::Duration;

use scoffable_sync::{
    clock::Clock,
    simulator::{
        faults::{cut_after, plainly, status},
        webhook::{WebhookOptions, WebhookSim},
    },
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::app::{SOURCE, Setup, TestApp, order, order_of, receiver};

fn every() -> Setup {
    TestApp::setup().with("sinks.hook.versions", "every")
}

fn with(mut order: Value, key: &str, value: Value) -> Value {
    order[key] = value;
    order
}

async fn skipped(app: &TestApp, id: &str) -> (String, Option<String>) {
    let delivery = app.delivery(id).await;
    (delivery.state, delivery.reason)
}

fn because(reason: &str) -> (String, Option<String>) {
    ("skipped".to_owned(), Some(reason.to_owned()))
}

// versions = "latest"

#[tokio::test]
async fn a_version_outdated_before_it_was_sent_is_passed_over() {
    let mut app = TestApp::start().await;

    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order_of("A-1", 2, "accepted", 900)).await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [2]);
}

#[tokio::test]
async fn a_version_that_arrives_during_a_send_follows_it_and_never_runs_beside_it() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);
    let mut other = app.another_process().await.dispatchers.remove(0);

    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        app.stores(&order_of("A-1", 2, "accepted", 900)).await;
        other.tick().await.unwrap();
        assert_eq!(app.requests(), 1);
        gate.cancel();
    })
    .await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1, 2]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_version_that_comes_after_a_higher_one_is_not_sent() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 3, "accepted")).await;

    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(app.applied("A-1"), [3]);
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 2);
}

// versions = "every"

#[tokio::test]
async fn every_version_is_walked_in_turn_over_gaps_also_when_nothing_visible_changed() {
    let mut app = every().start().await;
    for version in [1, 2, 5, 9] {
        app.publish(&order("A-1", version, "accepted"));
    }

    app.poll().await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1, 2, 5, 9]);
    assert_eq!(app.delivery("A-1").await.state, "applied");
    app.assert_no_violation();
}

#[tokio::test]
async fn every_version_waits_behind_one_that_fails() {
    let mut app = every().start().await;
    app.webhook.answer_next([status(500), status(500)]);

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(app.requests(), 1, "a newer version does not hurry the older one");
    app.run_to_rest().await;
    assert_eq!(app.applied("A-1"), [1, 2]);
}

#[tokio::test]
async fn a_late_version_above_the_applied_one_is_walked_and_one_below_is_not() {
    let mut app = every().start().await;
    app.arrives(&order("A-1", 2, "accepted")).await;

    app.stores(&order_of("A-1", 5, "accepted", 500)).await;
    app.stores(&order_of("A-1", 4, "accepted", 400)).await;
    app.stores(&order_of("A-1", 1, "accepted", 100)).await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [2, 4, 5]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_late_version_does_not_follow_a_newer_one_whose_answer_was_lost() {
    let mut app = every().start().await;
    app.arrives(&order("A-1", 2, "accepted")).await;
    app.webhook.answer_next([cut_after()]);
    app.arrives(&order_of("A-1", 5, "accepted", 500)).await;

    app.arrives(&order_of("A-1", 4, "accepted", 400)).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [2, 5]);
    assert_eq!(app.delivery("A-1").await.state, "applied");
    app.assert_no_violation();
}

#[tokio::test]
async fn a_walk_whose_process_died_goes_on_with_the_same_version() {
    let mut app = every().start().await;
    for version in 1..=3 {
        app.publish(&order_of("A-1", version, "accepted", 100 * version));
    }
    app.poll().await;
    let mut dispatcher = app.another_process().await.dispatchers.remove(0);
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);
    tokio::select! {
        _ = dispatcher.tick() => panic!("the answer is held back"),
        () = app.requests_begun(1) => {}
    }
    drop(dispatcher);
    gate.cancel();

    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1, 2, 3]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_lower_version_that_comes_before_the_first_was_sent_is_walked_too() {
    let mut app = every().start().await;

    app.stores(&order("A-1", 2, "accepted")).await;
    app.stores(&order_of("A-1", 1, "accepted", 900)).await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1, 2]);
}

#[tokio::test]
async fn a_refused_version_stops_the_walk() {
    let mut app = every().start().await;
    app.webhook.answer_next([plainly(), status(422)]);
    for version in 1..=3 {
        app.publish(&order_of("A-1", version, "accepted", 100 * version));
    }

    app.poll().await;
    app.dispatch().await;
    app.arrives(&order_of("A-1", 4, "accepted", 400)).await;

    assert_eq!(app.applied("A-1"), [1]);
    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.applied, delivery.wanted), ("parked", Some(1), 4));
    assert_eq!(delivery.reason.as_deref(), Some("unprocessable"));
}

#[tokio::test]
async fn versions_that_are_left_out_are_walked_over() {
    let mut app = every().start().await;
    for (version, status) in [(1, "placed"), (2, "accepted"), (3, "polished"), (4, "cancelled"), (5, "rejected")] {
        app.publish(&order("A-1", version, status));
    }

    app.poll().await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [2, 4]);
    assert_eq!(app.outcomes("A-1").await, ["skipped", "delivered", "skipped", "delivered", "skipped"]);
    assert_eq!(skipped(&app, "A-1").await, because("never_accepted"));
}

// statuses

#[tokio::test]
async fn placed_and_rejected_orders_are_never_sent_and_never_forgotten() {
    let mut app = TestApp::start().await;

    app.arrives(&order("A-1", 1, "placed")).await;
    app.arrives(&order("A-2", 1, "rejected")).await;
    assert_eq!(skipped(&app, "A-1").await, because("never_accepted"));
    assert_eq!(skipped(&app, "A-2").await, because("never_accepted"));
    app.arrives(&order("A-2", 2, "accepted")).await;

    assert_eq!(app.requests(), 1);
    assert_eq!(app.applied("A-2"), [2]);
}

#[tokio::test]
async fn a_cancelled_order_that_was_never_sent_owes_nothing() {
    let mut app = TestApp::start().await;

    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-1", 2, "cancelled")).await;
    app.dispatch().await;

    assert_eq!(app.requests(), 0);
    assert_eq!(skipped(&app, "A-1").await, because("cancelled_before_sent"));
}

#[tokio::test]
async fn a_cancelled_order_that_certainly_never_got_there_owes_nothing() {
    for fault in [status(422), status(429), status(401)] {
        let mut app = TestApp::start().await;
        app.webhook.answer_next([fault]);
        app.arrives(&order("A-1", 1, "accepted")).await;

        app.arrives(&order("A-1", 2, "cancelled")).await;
        app.run_to_rest().await;

        assert_eq!(app.requests(), 1);
        assert_eq!(skipped(&app, "A-1").await, because("cancelled_before_sent"));
    }
}

#[tokio::test]
async fn after_a_lost_answer_the_cancellation_is_owed() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after()]);
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.arrives(&order("A-1", 2, "cancelled")).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1, 2]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_does_not_undo_the_doubt() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after(), status(422)]);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run_to_rest().await;

    app.arrives(&order("A-1", 2, "cancelled")).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1, 2]);
}

#[tokio::test]
async fn a_cancellation_is_owed_after_a_process_died_with_the_order() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let mut dispatcher = app.another_process().await.dispatchers.remove(0);
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);
    tokio::select! {
        _ = dispatcher.tick() => panic!("the answer is held back"),
        () = app.requests_begun(1) => {}
    }
    drop(dispatcher);
    gate.cancel();

    app.stores(&order("A-1", 2, "cancelled")).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1").last(), Some(&2));
}

#[tokio::test]
async fn on_and_off_twice_while_nobody_looks_comes_to_nothing_new() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 2, "cancelled")).await;

    app.stores(&order("A-1", 3, "accepted")).await;
    app.stores(&order("A-1", 4, "cancelled")).await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1, 2]);
    assert_eq!(app.outcomes("A-1").await.last().map(String::as_str), Some("unchanged"));
    app.arrives(&order("A-1", 5, "accepted")).await;
    assert_eq!(app.applied("A-1"), [1, 2, 5]);
}

#[tokio::test]
async fn an_unknown_status_is_neither_sent_nor_reversed() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.arrives(&order("A-1", 2, "polished")).await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(skipped(&app, "A-1").await, because("unknown_status"));
    app.arrives(&order_of("A-1", 3, "accepted", 900)).await;
    assert_eq!(app.applied("A-1"), [1, 3]);
}

#[tokio::test]
async fn a_version_back_to_what_stands_is_sent_when_another_may_stand_there_now() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.webhook.answer_next([cut_after()]);
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    app.arrives(&order("A-1", 3, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1, 2, 3]);
}

// filters

#[tokio::test]
async fn orders_of_other_vendors_and_types_are_left_out_with_the_reason() {
    let mut app = TestApp::setup()
        .with("sinks.hook.vendors", r#"["vendor-a", "vendor-c"]"#)
        .with("sinks.hook.order_types", r#"["collection"]"#)
        .start()
        .await;

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&with(order("A-2", 1, "accepted"), "vendorId", json!("vendor-b"))).await;
    app.arrives(&with(order("A-3", 1, "accepted"), "type", json!("delivery"))).await;
    app.arrives(&with(order("A-4", 1, "accepted"), "vendorId", Value::Null)).await;

    assert_eq!(app.applied("A-1"), [1]);
    for id in ["A-2", "A-3", "A-4"] {
        assert_eq!(skipped(&app, id).await, because("filtered"), "{id}");
    }
}

#[tokio::test]
async fn a_sink_takes_orders_of_its_sources_only() {
    let mut app = TestApp::setup()
        .with("sources.second.kind", "scoffable")
        .with("sources.second.base_url", "http://127.0.0.1:9")
        .with("sources.second.token", "unused")
        .with("sinks.hook.sources", r#"["second"]"#)
        .start()
        .await;
    app.pollers.retain(|poller| format!("{poller:?}").contains("main"));
    app.publish(&order("A-1", 1, "accepted"));
    app.make_sources_due().await;
    app.pollers[0].tick(&app.drain).await.unwrap();

    app.dispatch().await;

    assert_eq!(skipped(&app, "A-1").await, because("filtered"));
}

#[tokio::test]
async fn cancellations_can_be_left_out_where_that_is_meant() {
    let mut app = TestApp::setup()
        .with("sinks.hook.statuses", r#"["accepted"]"#)
        .with("sinks.hook.allow_missing_cancellations", "true")
        .start()
        .await;

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 2, "cancelled")).await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(skipped(&app, "A-1").await, because("filtered"));
}

// stable_for

#[tokio::test]
async fn an_order_is_sent_once_it_was_left_alone_for_long_enough() {
    let mut app = TestApp::setup().with("sinks.hook.stable_for", "90m").start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(app.delivery("A-1").await.waiting_for.as_deref(), Some("stability"));
    app.advance(Duration::from_hours(1));

    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;
    app.advance(Duration::from_mins(89));
    app.dispatch().await;

    assert_eq!(app.requests(), 0);
    app.advance(Duration::from_mins(2));
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [2]);
}

#[tokio::test]
async fn waiting_for_stability_is_no_attempt() {
    let mut app = TestApp::setup().with("sinks.hook.stable_for", "90m").start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    app.run("UPDATE deliveries SET next_attempt_at = now()").await;

    app.dispatch().await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 0));
    assert_eq!(delivery.waiting_for.as_deref(), Some("stability"));
    assert!(delivery.due_in > Duration::from_mins(89), "{delivery:?}");
}

// start

/// Another sink is configured on a database that holds orders placed in March and in May.
async fn with_second_sink(start: Option<&str>) -> (TestApp, WebhookSim) {
    let clock = Clock::default();
    let receiver = receiver(&clock).await;
    let mut app = Setup::on(&clock).start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&with(order("A-2", 1, "accepted"), "placedAt", json!("2026-05-01T12:00:00Z"))).await;
    app.configure("sinks.late.kind", "webhook");
    app.configure("sinks.late.url", &receiver.url());
    app.configure("sinks.late.signing_secret", &WebhookOptions::default().secret);
    if let Some(start) = start {
        app.configure("sinks.late.start", start);
    }
    app.restart().await;
    app.arrives(&order("A-3", 1, "accepted")).await;
    (app, receiver)
}

fn orders_at(receiver: &WebhookSim) -> Vec<String> {
    receiver.ledger().orders().map(|name| name.order_id.clone()).collect()
}

#[tokio::test]
async fn a_new_sink_is_owed_what_arrives_from_then_on() {
    let (mut app, receiver) = with_second_sink(None).await;
    assert_eq!(orders_at(&receiver), ["A-3"]);

    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(orders_at(&receiver), ["A-1", "A-3"]);
}

#[tokio::test]
async fn a_new_sink_that_starts_at_the_beginning_is_owed_all_that_is_stored() {
    let (_app, receiver) = with_second_sink(Some("beginning")).await;

    assert_eq!(orders_at(&receiver), ["A-1", "A-2", "A-3"]);
}

#[tokio::test]
async fn a_new_sink_that_starts_at_an_instant_is_owed_stored_orders_placed_since() {
    let (_app, receiver) = with_second_sink(Some("2026-04-01T00:00:00Z")).await;

    assert_eq!(orders_at(&receiver), ["A-2", "A-3"]);
}

// after

/// `hook` goes first, `second` after it.
async fn one_after_the_other(wait: &str) -> (TestApp, WebhookSim) {
    let clock = Clock::default();
    let receiver = receiver(&clock).await;
    let setup = Setup::on(&clock).with_receiver("second", &receiver);
    let app = setup.with("sinks.second.after", "hook").with("sinks.second.dependency_wait", wait).start().await;
    (app, receiver)
}

#[tokio::test]
async fn a_sink_after_another_waits_until_that_one_holds_the_order() {
    let (mut app, second) = one_after_the_other("24h").await;
    app.webhook.answer_next([status(500)]);

    app.arrives(&order("A-1", 1, "accepted")).await;

    let waiting = app.delivery_at("second", "A-1").await;
    assert_eq!((waiting.state.as_str(), waiting.attempts), ("pending", 0));
    assert_eq!(waiting.waiting_for.as_deref(), Some("dependency"));
    app.run_to_rest().await;
    assert_eq!(second.ledger().applied(SOURCE, "A-1").len(), 1);
}

#[tokio::test]
async fn a_sink_after_another_is_content_with_any_version_there() {
    let (mut app, second) = one_after_the_other("24h").await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run_to_rest().await;
    app.webhook.answer_next([status(500)]);

    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(second.ledger().applied(SOURCE, "A-1").len(), 2);
    app.run_to_rest().await;
}

#[tokio::test]
async fn an_order_that_the_other_sink_refused_is_passed_over_when_the_wait_is_over() {
    let (mut app, second) = one_after_the_other("2h").await;
    app.webhook.answer_next([status(422)]);
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.advance(Duration::from_mins(119));
    app.dispatch().await;
    assert_eq!(app.delivery_at("second", "A-1").await.state, "pending");
    app.run_to_rest().await;

    let delivery = app.delivery_at("second", "A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("skipped", Some("no_counterpart")));
    assert_eq!(second.ledger().n_applied(), 0);
}

#[tokio::test]
async fn an_outage_of_the_other_sink_longer_than_the_wait_passes_nothing_over() {
    let (mut app, second) = one_after_the_other("2h").await;
    app.webhook.answer_next((0..3).map(|_| status(500)));
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run("UPDATE deliveries SET next_attempt_at = now() + interval '3 hours' WHERE sink = 'hook'").await;
    app.advance(Duration::from_mins(150));
    app.dispatch().await;

    assert_eq!(app.delivery_at("second", "A-1").await.state, "pending");
    app.run_to_rest().await;
    assert_eq!(second.ledger().applied(SOURCE, "A-1").len(), 1);
}

#[tokio::test]
async fn stored_orders_of_long_ago_wait_for_the_other_sink_too() {
    let clock = Clock::default();
    let (first, second) = (receiver(&clock).await, receiver(&clock).await);
    let mut app = Setup::on(&clock).start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(Duration::from_hours(48));
    // The one that waits stands first in the alphabet, and looks first.
    for (sink, receiver) in [("books", &second), ("pos", &first)] {
        app.configure(&format!("sinks.{sink}.kind"), "webhook");
        app.configure(&format!("sinks.{sink}.url"), &receiver.url());
        app.configure(&format!("sinks.{sink}.signing_secret"), &WebhookOptions::default().secret);
        app.configure(&format!("sinks.{sink}.start"), "beginning");
    }
    app.configure("sinks.books.after", "pos");
    first.answer_next([status(422)]);

    app.restart().await;
    app.dispatch().await;

    assert_eq!(app.delivery_at("books", "A-1").await.state, "pending");
    app.advance(Duration::from_hours(25));
    app.run_to_rest().await;
    assert_eq!(app.delivery_at("books", "A-1").await.reason.as_deref(), Some("no_counterpart"));
}

#[tokio::test]
async fn a_cancelled_order_that_was_never_sent_waits_for_no_other_sink() {
    let (mut app, _second) = one_after_the_other("24h").await;

    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-1", 2, "cancelled")).await;
    app.dispatch().await;

    assert_eq!(app.delivery_at("second", "A-1").await.reason.as_deref(), Some("cancelled_before_sent"));
}
