//! What each kind of failure leads to, and when it is tried again.

use std::{net::TcpListener, time::Duration};

use scoffable_sync::simulator::faults::{Fault, cut_after, cut_before, not_json, plainly, redirect, status, truncated};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{Setup, TestApp, order, order_of},
    recorder::Recorder,
};

/// A breaker that stays out of the way.
fn patient() -> Setup {
    TestApp::setup().with("sinks.hook.breaker.failures", "1000")
}

/// One order whose first request meets this.
async fn met_by(app: &mut TestApp, id: &str, fault: Fault) -> crate::harness::app::Delivery {
    app.webhook.answer_next([fault]);
    app.arrives(&order(id, 1, "accepted")).await;
    app.delivery(id).await
}

async fn sent_version(app: &TestApp) -> Option<i64> {
    sqlx::query_scalar("SELECT sent_version FROM deliveries").fetch_one(&app.pool).await.unwrap()
}

#[tokio::test]
async fn a_receiver_that_cannot_be_reached_was_certainly_sent_nothing() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("http://{closed}/hook"), "https://TLS/hook".to_owned()] {
        let recorder = Recorder::start().await;
        let url = url.replace("https://TLS", &recorder.url().replace("http:", "https:").replace("/hook", ""));
        let mut app = patient().with("sinks.hook.url", &url).start().await;

        app.arrives(&order("A-1", 1, "accepted")).await;

        let delivery = app.delivery("A-1").await;
        assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 1), "{url}");
        assert_eq!(delivery.last_error.as_deref(), Some("connect_failed"), "{url}");
        assert_eq!(app.outcomes("A-1").await, ["retry"], "{url}");
        assert_eq!(sent_version(&app).await, None, "{url}");
    }
}

#[tokio::test]
async fn after_a_lost_answer_the_same_request_is_sent_again() {
    let mut app = patient().start().await;

    for (id, fault, reason) in [
        ("A-1", cut_before(), "connection_lost"),
        ("A-2", cut_after(), "connection_lost"),
        ("A-3", status(408), "request_timeout (HTTP 408)"),
        ("A-4", status(425), "too_early (HTTP 425)"),
        ("A-5", status(500), "server_error (HTTP 500)"),
        ("A-6", status(503).after_the_effect(), "server_error (HTTP 503)"),
        ("A-7", status(599), "server_error (HTTP 599)"),
    ] {
        let delivery = met_by(&mut app, id, fault).await;
        assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 1), "{id}");
        assert_eq!(delivery.waiting_for.as_deref(), Some("retry"), "{id}");
        assert_eq!(delivery.last_error.as_deref(), Some(reason), "{id}");
        assert_eq!(app.outcomes(id).await, ["unknown"], "{id}");
    }
    app.run_to_rest().await;

    for n in 1..=7 {
        assert_eq!(app.applied(&format!("A-{n}")), [1], "order {n}");
        assert_eq!(app.delivery(&format!("A-{n}")).await.state, "applied", "order {n}");
    }
    app.assert_no_violation();
}

#[tokio::test]
async fn an_answer_past_the_timeout_is_a_lost_answer() {
    let mut app = patient().with("sinks.hook.request_timeout", "200ms").start().await;
    let never = CancellationToken::new();

    let delivery = met_by(&mut app, "A-1", plainly().answered_when(&never)).await;

    assert_eq!(delivery.last_error.as_deref(), Some("timeout"));
    assert_eq!(sent_version(&app).await, Some(1));
    app.run_to_rest().await;
    assert_eq!(app.webhook.ledger().repeats(), 1);
}

#[tokio::test]
async fn a_yes_is_a_yes_however_its_body_ends() {
    let mut app = patient().start().await;

    for (id, fault) in [("A-1", truncated()), ("A-2", not_json())] {
        let delivery = met_by(&mut app, id, fault).await;
        assert_eq!((delivery.state.as_str(), delivery.external_id), ("applied", None), "{id}");
    }

    assert_eq!(app.requests(), 2);
}

#[tokio::test]
async fn a_refusal_parks_the_order_with_what_to_do_and_an_alert() {
    let mut app = patient().start().await;

    for (id, code, reason) in [
        ("A-1", 400, "refused"),
        ("A-2", 404, "not_found"),
        ("A-3", 409, "conflict"),
        ("A-4", 410, "gone"),
        ("A-5", 422, "unprocessable"),
        ("A-6", 418, "refused"),
    ] {
        let delivery = met_by(&mut app, id, status(code)).await;
        assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("parked", Some(reason)), "{code}");
        assert!(delivery.hint.is_some(), "{code}");
        let alerts: i64 =
            sqlx::query_scalar("SELECT count(*) FROM alerts WHERE cause = 'dead_letter' AND subject LIKE '%' || $1")
                .bind(id)
                .fetch_one(&app.pool)
                .await
                .unwrap();
        assert_eq!(alerts, 1, "{code}");
    }
    app.advance(Duration::from_hours(100));

    assert_eq!(app.dispatch().await, 0, "none is tried again by itself");
    assert_eq!(app.text("SELECT breaker FROM sinks").await.as_deref(), Some("closed"));
}

#[tokio::test]
async fn a_redirect_is_refused_and_nothing_follows_it() {
    let elsewhere = Recorder::start().await;
    let mut app = patient().with("sinks.hook.headers.authorization", "\"Bearer letmein\"").start().await;

    let delivery = met_by(&mut app, "A-1", redirect(&elsewhere.url())).await;

    assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("parked", Some("redirected")));
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_newer_version_gives_a_refused_order_another_chance() {
    let mut app = patient().start().await;
    met_by(&mut app, "A-1", status(422)).await;

    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(app.applied("A-1"), [2]);
    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.reason, delivery.hint), ("applied", None, None));
}

#[tokio::test]
async fn a_throttled_order_waits_as_long_as_asked_and_that_costs_no_attempt() {
    let mut app = TestApp::start().await;

    let delivery = met_by(&mut app, "A-1", status(429).retry_after(Duration::from_secs(90))).await;

    assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 0));
    assert!((89..=90).contains(&delivery.due_in.as_secs()), "{delivery:?}");
    assert_eq!(app.outcomes("A-1").await, ["throttled"]);
    assert_eq!(sent_version(&app).await, None);
    app.advance(Duration::from_secs(88));
    app.dispatch().await;
    assert_eq!(app.requests(), 1, "not a moment earlier");
    app.advance(Duration::from_secs(3));
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1]);
}

#[tokio::test]
async fn nothing_else_goes_to_a_receiver_that_asked_for_peace() {
    let mut app = TestApp::start().await;
    met_by(&mut app, "A-1", status(429).retry_after(Duration::from_secs(90))).await;

    app.arrives(&order("A-2", 1, "accepted")).await;
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(app.requests(), 1);
    app.advance(Duration::from_secs(91));
    app.dispatch().await;
    assert_eq!((app.applied("A-1"), app.applied("A-2")), (vec![2], vec![1]));
}

#[tokio::test]
async fn a_newer_version_keeps_the_destinations_wish_also_in_another_process() {
    let mut app = TestApp::start().await;
    met_by(&mut app, "A-1", status(429).retry_after(Duration::from_secs(90))).await;
    app.restart().await;

    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(app.requests(), 1);
    assert!(app.delivery("A-1").await.due_in >= Duration::from_secs(85));
}

#[tokio::test]
async fn throttling_without_a_readable_wish_backs_off_by_itself() {
    let mut app = TestApp::start().await;

    for (id, fault) in [("A-1", status(429)), ("A-2", status(429).header("retry-after", "soon"))] {
        let delivery = met_by(&mut app, id, fault).await;
        assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 0), "{id}");
        assert!((7..=12).contains(&delivery.due_in.as_secs()), "{delivery:?}");
        app.run_to_rest().await;
    }

    assert_eq!((app.applied("A-1"), app.applied("A-2")), (vec![1], vec![1]));
}

#[tokio::test]
async fn throttling_until_a_date_waits_until_then() {
    let mut app = TestApp::start().await;
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_mins(10));

    let delivery = met_by(&mut app, "A-1", status(429).header("retry-after", &date)).await;

    assert!((597..=601).contains(&delivery.due_in.as_secs()), "{delivery:?}");
}

#[tokio::test]
async fn a_server_error_that_names_a_time_is_not_asked_before_it() {
    let mut app = TestApp::start().await;

    let delivery = met_by(&mut app, "A-1", status(503).retry_after(Duration::from_mins(15))).await;

    assert_eq!(delivery.attempts, 1);
    assert!((899..=900).contains(&delivery.due_in.as_secs()), "{delivery:?}");
}

#[tokio::test]
async fn waits_double_then_turn_slow_and_giving_up_parks_with_an_alert() {
    let mut app = patient()
        .with("sinks.hook.retry.initial", "10s")
        .with("sinks.hook.retry.max", "40s")
        .with("sinks.hook.retry.slow_interval", "1h")
        .with("sinks.hook.retry.give_up_after", "3h")
        .start()
        .await;
    app.webhook.answer_next((0..20).map(|_| status(500)));

    app.arrives(&order("A-1", 1, "accepted")).await;
    let mut waits = Vec::new();
    while app.delivery("A-1").await.state == "pending" {
        let due = app.delivery("A-1").await.due_in;
        waits.push(due.as_secs());
        app.advance(due + Duration::from_millis(5));
        app.dispatch().await;
    }

    for (wait, around) in waits.iter().zip([10, 20, 40, 3600, 3600, 3600]) {
        assert!((around * 79 / 100..=around * 121 / 100).contains(wait), "{waits:?}");
    }
    assert_eq!(waits.len(), 6, "{waits:?}");
    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("parked", Some("gave_up")));
    assert_eq!(app.number("SELECT count(*) FROM alerts WHERE cause = 'gave_up'").await, 1);
    assert_eq!(app.text("SELECT last_error FROM dead_letters").await.as_deref(), Some("server_error (HTTP 500)"));
}

#[tokio::test]
async fn a_newer_version_fails_for_its_own_time() {
    let mut app = patient()
        .with("sinks.hook.retry.slow_interval", "1h")
        .with("sinks.hook.retry.give_up_after", "3h")
        .start()
        .await;
    met_by(&mut app, "A-1", status(500)).await;
    app.advance(Duration::from_mins(170));
    app.webhook.answer_next([status(500), status(500)]);
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    app.advance(Duration::from_mins(20));
    app.dispatch().await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 2));
}

#[tokio::test]
async fn an_attempt_lost_with_its_process_counts_and_is_in_the_timeline() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);

    // The process dies while its request is under way.
    let mut dispatcher = app.another_process().await.dispatchers.remove(0);
    tokio::select! {
        _ = dispatcher.tick() => panic!("the answer is held back"),
        () = app.requests_begun(1) => {}
    }
    drop(dispatcher);
    gate.cancel();
    assert_eq!(app.dispatch().await, 0, "the lease still holds");
    app.webhook.answer_next([status(500)]);
    app.advance(Duration::from_secs(31));
    app.dispatch().await;

    assert_eq!(app.outcomes("A-1").await, ["lease_expired", "unknown"]);
    assert_eq!(app.delivery("A-1").await.attempts, 2);
    let lost = "SELECT count(*) FROM order_timeline WHERE detail ->> 'outcome' = 'lease_expired' AND detail ->> 'reason' = 'worker_lost'";
    assert_eq!(app.number(lost).await, 1);
    app.run_to_rest().await;
    assert_eq!(app.webhook.ledger().repeats(), 1);
    app.assert_no_violation();
}
