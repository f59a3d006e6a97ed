//! When a whole sink is left in peace, and how it comes back.

use std::time::Duration;

use scoffable_sync::simulator::faults::{plainly, status};

use crate::harness::app::{Setup, TestApp, order};

async fn breaker(app: &TestApp) -> (String, String) {
    sqlx::query_as("SELECT breaker, state FROM sinks WHERE name = 'hook'").fetch_one(&app.pool).await.unwrap()
}

/// One order at a time, so that the number of requests is exact.
fn in_turn() -> Setup {
    TestApp::setup().with("sinks.hook.concurrency", "1")
}

#[tokio::test]
async fn failures_in_a_row_open_the_breaker_and_orders_wait_without_attempts() {
    let mut app = in_turn().with("sinks.hook.breaker.failures", "3").start().await;
    app.webhook.answer_next((0..3).map(|_| status(500)));
    for n in 1..=3 {
        app.arrives(&order(&format!("A-{n}"), 1, "accepted")).await;
    }

    app.arrives(&order("B-1", 1, "accepted")).await;

    assert_eq!(breaker(&app).await, ("open".to_owned(), "active".to_owned()));
    assert_eq!(app.requests(), 3);
    let waiting = app.delivery("B-1").await;
    assert_eq!((waiting.state.as_str(), waiting.attempts), ("pending", 0));
    app.run_to_rest().await;
    assert_eq!(breaker(&app).await, ("closed".to_owned(), "active".to_owned()));
    assert_eq!(app.applied("B-1"), [1]);
}

#[tokio::test]
async fn one_failure_fewer_leaves_the_breaker_closed() {
    let mut app = in_turn().with("sinks.hook.breaker.failures", "3").start().await;
    app.webhook.answer_next([status(500), status(500), plainly(), status(500), status(500)]);

    for n in 1..=5 {
        app.arrives(&order(&format!("A-{n}"), 1, "accepted")).await;
    }

    assert_eq!(breaker(&app).await.0, "closed");
}

#[tokio::test]
async fn refused_credentials_block_the_sink_at_once_and_burn_no_attempt() {
    for code in [401, 403] {
        let mut app = in_turn().start().await;
        app.webhook.answer_next([status(code)]);

        app.arrives(&order("A-1", 1, "accepted")).await;
        app.arrives(&order("A-2", 1, "accepted")).await;

        assert_eq!(breaker(&app).await, ("open".to_owned(), "blocked".to_owned()), "{code}");
        assert!(app.text("SELECT hint FROM sinks").await.is_some());
        assert_eq!(app.requests(), 1, "{code}");
        for id in ["A-1", "A-2"] {
            let delivery = app.delivery(id).await;
            assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 0), "{code} {id}");
        }
        assert_eq!(app.outcomes("A-1").await, ["blocked"], "{code}");
    }
}

#[tokio::test]
async fn a_blocked_sink_is_probed_with_one_order_at_a_time_and_less_and_less_often() {
    let mut app = TestApp::setup().with("sinks.hook.breaker.probe", "30s").start().await;
    app.webhook.answer_next((0..4).map(|_| status(401)));
    app.arrives(&order("A-1", 1, "accepted")).await;
    for n in 2..=9 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }

    let mut requests = Vec::new();
    for wait in [31, 31, 31, 61] {
        app.advance(Duration::from_secs(wait));
        app.dispatch().await;
        requests.push(app.requests());
    }

    assert_eq!(requests, [2, 2, 3, 3]);
    app.advance(Duration::from_mins(2));
    app.dispatch().await;
    assert_eq!(app.requests(), 4);
}

#[tokio::test]
async fn a_blocked_sink_heals_by_itself_and_nothing_was_given_up() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next((0..3).map(|_| status(403)));
    for n in 1..=5 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }
    app.webhook.faults().clear_script();
    app.webhook.answer_next((0..5).map(|_| status(403)));
    app.dispatch().await;
    assert_eq!(breaker(&app).await.1, "blocked");

    app.run_to_rest().await;

    assert_eq!(breaker(&app).await, ("closed".to_owned(), "active".to_owned()));
    for n in 1..=5 {
        assert_eq!(app.applied(&format!("A-{n}")), [1]);
    }
    app.assert_no_violation();
}

#[tokio::test]
async fn only_one_process_wins_the_probe() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([status(401)]);
    app.arrives(&order("A-1", 1, "accepted")).await;
    for n in 2..=4 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }
    let mut other = app.another_process().await.dispatchers.remove(0);
    app.webhook.answer_next([status(401), status(401)]);
    app.advance(Duration::from_secs(31));

    let (mine, theirs) = tokio::join!(app.dispatchers[0].tick(), other.tick());

    mine.unwrap();
    theirs.unwrap();
    assert_eq!(app.requests(), 2);
}

#[tokio::test]
async fn a_probe_that_made_no_call_gives_way_to_the_next_order() {
    // Many orders that are owed nothing stand before the one whose call would tell that the destination is back.
    let mut app = TestApp::start().await;
    app.webhook.answer_next([status(401)]);
    app.arrives(&order("A-0", 1, "accepted")).await;
    app.run("UPDATE deliveries SET next_attempt_at = next_attempt_at + interval '1 minute'").await;
    for n in 1..=20 {
        app.stores(&order(&format!("A-{n}"), 1, "placed")).await;
    }
    app.stores(&order("B-1", 1, "accepted")).await;

    app.advance(Duration::from_secs(31));
    app.dispatch().await;

    assert_eq!(app.applied("B-1"), [1]);
    assert_eq!(breaker(&app).await.0, "closed");
}

#[tokio::test]
async fn a_breaker_that_is_due_to_be_probed_takes_the_next_order_at_once() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([status(401)]);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run("UPDATE deliveries SET state = 'skipped', reason = 'filtered'").await;
    app.advance(Duration::from_secs(31));
    app.dispatch().await;

    app.arrives(&order("A-2", 1, "accepted")).await;

    assert_eq!(app.applied("A-2"), [1]);
}

#[tokio::test]
async fn a_lane_closed_by_another_process_opens_again_only_after_enough_failures() {
    let mut app = in_turn().with("sinks.hook.breaker.failures", "3").start().await;
    app.webhook.answer_next([status(401)]);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.dispatch().await;
    app.advance(Duration::from_secs(31));
    let mut other = app.another_process().await.dispatchers.remove(0);
    other.tick().await.unwrap();
    assert_eq!(breaker(&app).await.0, "closed");

    app.webhook.answer_next([status(500)]);
    app.arrives(&order("A-2", 1, "accepted")).await;

    assert_eq!(breaker(&app).await.0, "closed");
}

#[tokio::test]
async fn a_paused_sink_is_sent_nothing_until_it_is_resumed() {
    let mut app = TestApp::setup().with("sinks.hook.paused", "true").start().await;

    app.arrives(&order("A-1", 1, "accepted")).await;

    assert_eq!(app.requests(), 0);
    assert_eq!(app.delivery("A-1").await.state, "pending");
    app.run("UPDATE sinks SET state = 'active', reason = NULL, hint = NULL").await;
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1]);
}
