//! Lanes: locations inside one sink, each with its own breaker. What is wrong with one holds up no other.

use std::time::Duration;

use scoffable_sync::simulator::{faults::status, till::TillOptions};
use serde_json::{Value, json};

use crate::harness::app::{Setup, TILL, TestApp, order};

/// A till whose vendors `vendor-a` and `vendor-b` have a lane each; every other has none.
fn two_lanes() -> Setup {
    TestApp::setup()
        .without_hook()
        .with_till(TillOptions::default())
        .with("sinks.till.lanes.vendor-a", "north")
        .with("sinks.till.lanes.vendor-b", "south")
}

fn of_vendor(id: &str, vendor: &str) -> Value {
    let mut order = order(id, 1, "accepted");
    order["vendorId"] = json!(vendor);
    order
}

async fn state(app: &TestApp, order_id: &str) -> String {
    app.delivery_at(TILL, order_id).await.state
}

async fn blocked_in_the_north() -> TestApp {
    let mut app = two_lanes().start().await;
    app.till().answer_next([status(403)]);
    app.arrives(&of_vendor("A-1", "vendor-a")).await;
    app
}

#[tokio::test]
async fn a_missing_right_in_one_lane_blocks_that_lane_alone_and_says_which() {
    let mut app = blocked_in_the_north().await;

    app.arrives(&of_vendor("B-1", "vendor-b")).await;
    app.arrives(&of_vendor("C-1", "vendor-c")).await;
    app.arrives(&of_vendor("A-2", "vendor-a")).await;

    let states =
        [state(&app, "A-1").await, state(&app, "A-2").await, state(&app, "B-1").await, state(&app, "C-1").await];
    assert_eq!(states, ["pending", "pending", "applied", "applied"]);
    let hint = app.text("SELECT hint FROM sinks WHERE state = 'blocked'").await.expect("it says what to do");
    assert!(hint.starts_with("north: "), "{hint}");
    let alert = "SELECT subject FROM alerts WHERE cause = 'blocked' AND resolved_at IS NULL";
    assert_eq!(app.text(alert).await.as_deref(), Some("till/north"));
    app.run_to_rest().await;
    assert_eq!([state(&app, "A-1").await, state(&app, "A-2").await], ["applied", "applied"]);
    assert_eq!(app.number("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM sinks WHERE state = 'active' AND breaker = 'closed'").await, 1);
}

#[tokio::test]
async fn the_sink_counts_as_blocked_until_its_last_lane_is_mended() {
    let mut app = blocked_in_the_north().await;
    app.till().answer_next([status(403)]);
    app.arrives(&of_vendor("B-1", "vendor-b")).await;

    app.advance(Duration::from_secs(31));
    app.till().answer_next([status(403)]);
    app.dispatch().await;

    assert_eq!(app.number("SELECT count(*) FROM sink_lanes WHERE breaker <> 'closed'").await, 1, "one was mended");
    assert_eq!(app.number("SELECT count(*) FROM sinks WHERE state = 'blocked' AND breaker = 'open'").await, 1);
    app.run_to_rest().await;
    assert_eq!(app.number("SELECT count(*) FROM sinks WHERE state = 'active' AND breaker = 'closed'").await, 1);
}

#[tokio::test]
async fn the_backlog_of_a_blocked_lane_stands_in_nobodys_way() {
    let mut app = blocked_in_the_north().await;
    for n in 0..250 {
        app.publish(&of_vendor(&format!("N-{n}"), "vendor-a"));
    }
    app.poll().await;
    app.stores(&of_vendor("B-1", "vendor-b")).await;

    app.dispatchers[0].tick().await.expect("the database answers");
    app.dispatchers[0].tick().await.expect("the database answers");

    assert_eq!(state(&app, "B-1").await, "applied");
}

#[tokio::test]
async fn a_vendor_that_moves_to_another_lane_takes_its_open_deliveries_along() {
    let mut app = blocked_in_the_north().await;
    app.configure("sinks.till.lanes.vendor-a", "west");

    app.restart().await;
    app.arrives(&of_vendor("A-2", "vendor-a")).await;
    app.run_to_rest().await;

    assert_eq!([state(&app, "A-1").await, state(&app, "A-2").await], ["applied", "applied"]);
    let lanes = "SELECT string_agg(DISTINCT lane, ' ') FROM deliveries";
    assert_eq!(app.text(lanes).await.as_deref(), Some("west"));
    assert_eq!(app.number("SELECT count(*) FROM sink_lanes").await, 0, "nobody would ever probe it");
    assert_eq!(app.number("SELECT count(*) FROM sinks WHERE state = 'active' AND breaker = 'closed'").await, 1);
}
