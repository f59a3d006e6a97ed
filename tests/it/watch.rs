//! What no single event tells is told all the same, once per cause, and ends when its cause does.

use std::time::Duration;

use scoffable_sync::{
    ingest::schedule::CURSOR_TRIES,
    simulator::{faults::status, scoffable::DeadCursor},
    watch::watcher::Watcher,
};
use serde_json::json;
use sqlx::Row;

use crate::harness::app::{TestApp, order};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Another process that looks, once it is time to.
async fn look(app: &TestApp) {
    app.advance(Duration::from_mins(5) + MINUTE);
    look_now(app).await;
}

async fn look_now(app: &TestApp) {
    let watcher = Watcher::new(&app.settings, &app.line(), &app.clock);
    watcher.tick().await.expect("the database answers");
}

/// Cause, subject and count of those that stand.
async fn standing(app: &TestApp) -> Vec<(String, String, i64)> {
    let rows =
        sqlx::query("SELECT cause, subject, count FROM alerts WHERE resolved_at IS NULL ORDER BY cause, subject")
            .fetch_all(&app.pool)
            .await
            .expect("alerts can be read");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

fn told(cause: &str, subject: &str, count: i64) -> (String, String, i64) {
    (cause.to_owned(), subject.to_owned(), count)
}

#[tokio::test]
async fn orders_that_fail_for_the_first_time_are_one_alert_of_their_sink_until_the_last_is_brought() {
    let mut app = TestApp::setup().with("sinks.hook.breaker.failures", "1000").start().await;
    app.webhook.answer_next([status(500), status(500), status(500)]);
    app.publish(&order("A-1", 1, "accepted"));
    app.publish(&order("A-2", 1, "accepted"));
    app.poll().await;
    app.dispatch().await;

    look_now(&app).await;
    look_now(&app).await;
    assert_eq!(standing(&app).await, [told("order_failing", "hook", 2)]);
    let detail = app.text("SELECT detail FROM alerts").await.unwrap();
    assert!(detail.contains("again by themselves: 2; main/A-"), "{detail}");

    app.run_to_rest().await;
    app.poll().await;
    look(&app).await;
    assert_eq!(standing(&app).await, []);
}

#[tokio::test]
async fn a_destination_that_is_only_probed_is_told_until_it_is_back() {
    let mut app = TestApp::setup().with("sinks.hook.breaker.failures", "1").start().await;
    app.webhook.answer_next([status(500)]);
    app.arrives(&order("A-1", 1, "accepted")).await;

    look_now(&app).await;
    assert_eq!(standing(&app).await, [told("breaker_open", "hook", 1), told("order_failing", "hook", 1)]);

    app.run_to_rest().await;
    app.poll().await;
    look(&app).await;
    assert_eq!(standing(&app).await, []);
}

/// A refused credential has its own alert, raised where the breaker turns.
#[tokio::test]
async fn a_blocked_destination_is_not_told_twice() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([status(403)]);
    app.arrives(&order("A-1", 1, "accepted")).await;

    look_now(&app).await;

    assert_eq!(standing(&app).await, [told("blocked", "hook", 1)]);
}

#[tokio::test]
async fn a_stream_that_brings_no_page_for_some_intervals_is_silent_until_the_next_page() {
    let mut app = TestApp::start().await;
    app.poll().await;
    app.advance(Duration::from_secs(1_170));
    look_now(&app).await;
    assert_eq!(standing(&app).await, [], "four intervals of five minutes");

    look(&app).await;
    assert_eq!(standing(&app).await, [told("source_silent", "main", 1)]);

    app.poll().await;
    look(&app).await;
    assert_eq!(standing(&app).await, []);
}

#[tokio::test]
async fn a_stream_that_a_person_paused_is_not_silent() {
    let mut app = TestApp::start().await;
    app.poll().await;
    app.run("UPDATE sources SET state = 'paused', reason = 'by hand'").await;
    app.advance(DAY);

    look(&app).await;

    assert_eq!(standing(&app).await, []);
}

/// So many orders within the same hour of each of the last weeks, and none in this one.
async fn busy_weeks(app: &TestApp, orders: i32, weeks: i32) {
    sqlx::query(
        "INSERT INTO orders (source, order_id, version, status, placed_at)
         SELECT 'main', 'past-' || w || '-' || n, 1, 'accepted',
                now() + $3 * interval '1 millisecond' - w * interval '7 days' - interval '30 minutes' + n * interval '1 second'
         FROM generate_series(1, $2) AS w, generate_series(1, $1) AS n",
    )
    .bind(orders)
    .bind(weeks)
    .bind(app.clock.offset_ms() as f64)
    .execute(&app.pool)
    .await
    .expect("orders can be written");
}

#[tokio::test]
async fn no_order_in_an_hour_that_always_had_some_is_told_and_ends_with_an_order() {
    let mut app = TestApp::start().await;
    busy_weeks(&app, 8, 6).await;
    app.poll().await;

    look_now(&app).await;
    assert_eq!(standing(&app).await, [told("nothing_arrives", "main", 1)]);
    let detail = app.text("SELECT detail FROM alerts").await.unwrap();
    assert!(detail.contains("usually has 8"), "{detail}");

    app.advance(3 * HOUR);
    app.poll().await;
    look(&app).await;
    assert_eq!(standing(&app).await, [told("nothing_arrives", "main", 1)], "the hour is over, and nothing came");

    let mut late = order("A-1", 1, "accepted");
    late["placedAt"] = json!(app.clock.wall());
    app.stores(&late).await;
    app.advance(15 * MINUTE);
    app.poll().await;
    look(&app).await;
    assert_eq!(standing(&app).await, []);
}

#[tokio::test]
async fn a_quiet_hour_a_short_history_and_a_stream_that_is_behind_tell_nothing_of_missing_orders() {
    for (orders, weeks, is_read) in [(7, 6, true), (50, 2, true), (50, 6, false)] {
        let mut app = TestApp::start().await;
        busy_weeks(&app, orders, weeks).await;
        if is_read {
            app.poll().await;
        }

        look_now(&app).await;

        assert_eq!(standing(&app).await, [], "{orders} orders in {weeks} weeks");
    }
}

#[tokio::test]
async fn a_refresh_token_that_nobody_could_renew_is_told_of_before_it_lapses() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO credentials (sink, client, seeds, refresh_token, refreshed_at, updated_at)
         VALUES ('hook', 'c', '{}', 'secret-token', now() - interval '45 days', now())",
    )
    .await;
    look_now(&app).await;
    assert_eq!(standing(&app).await, []);

    app.advance(DAY + HOUR);
    app.run("UPDATE sources SET last_success_at = now() + interval '2 days'").await;
    look_now(&app).await;
    assert_eq!(standing(&app).await, [told("credential_expiring", "hook", 1)]);
    let detail = app.text("SELECT detail FROM alerts").await.unwrap();
    assert!(!detail.contains("secret"), "{detail}");

    app.run("UPDATE credentials SET refreshed_at = now() + interval '1 day'").await;
    look(&app).await;
    assert_eq!(standing(&app).await, []);
}

#[tokio::test]
async fn a_days_calls_that_run_out_soon_are_told_before_they_do() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO call_budgets (scope, \"window\", window_start, recent, calls, background, used, max_calls)
         VALUES ('sink:hook', 'day', 'epoch', ARRAY[now() - interval '6 hours', now()], ARRAY[800, 0], ARRAY[0, 0], 800, 1000)",
    )
    .await;

    look_now(&app).await;
    assert_eq!(standing(&app).await, [told("budget_low", "hook/day", 1)]);

    app.run("UPDATE call_budgets SET max_calls = 5000").await;
    app.run("UPDATE sources SET last_success_at = now() + interval '1 day'").await;
    look(&app).await;
    assert_eq!(standing(&app).await, []);
}

#[tokio::test]
async fn an_order_that_loses_its_process_three_times_is_suspected_of_it() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    for losses in 1..=3 {
        // A process dies with the order in its hands.
        app.run(
            "UPDATE deliveries SET state = 'in_flight', lease_token = gen_random_uuid(), lease_owner = 'dead',
                    attempts = attempts + 1, next_attempt_at = 'epoch', lease_expires_at = now() - interval '1 second'",
        )
        .await;
        app.webhook.answer_next([status(500)]);
        app.dispatch().await;
        look(&app).await;
        let suspected = standing(&app).await.iter().any(|(cause, _, _)| cause == "poison_order");
        assert_eq!(suspected, losses == 3, "{losses}");
    }

    assert!(standing(&app).await.contains(&told("poison_order", "hook/main/A-1", 3)));
    app.run_to_rest().await;
    app.poll().await;
    look(&app).await;
    assert_eq!(standing(&app).await, []);
}

#[tokio::test]
async fn an_alert_about_quarantined_orders_ends_with_the_last_of_them() {
    let mut app = TestApp::start().await;
    app.publish(&json!({"id": "A-1"}));
    app.poll().await;
    look_now(&app).await;
    assert_eq!(standing(&app).await, [told("quarantined", "main", 1)]);

    app.run("UPDATE quarantine SET resolved_at = now(), resolution = 'discarded'").await;
    app.poll().await;
    look(&app).await;

    assert_eq!(standing(&app).await, []);
}

#[tokio::test]
async fn a_cursor_that_was_given_up_is_told_for_an_hour_and_ends_once_the_stream_is_read_again() {
    let mut app = TestApp::setup().with("sources.main.recover_dead_cursor", "true").start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.scoffable.answer_dead_cursors_with(DeadCursor::Gone);
    app.scoffable.expire_cursors();
    for _ in 0..=CURSOR_TRIES {
        app.poll().await;
    }
    assert_eq!(standing(&app).await, [told("dead_cursor", "main", 1)], "although it is read again already");

    app.advance(HOUR + MINUTE);
    app.poll().await;

    assert_eq!(standing(&app).await, []);
}

#[tokio::test]
async fn of_several_processes_one_looks() {
    let app = TestApp::start().await;
    look_now(&app).await;
    app.run("UPDATE sources SET created_at = now() - interval '1 day'").await;

    look_now(&app).await;
    assert_eq!(standing(&app).await, [], "another has just looked");

    app.advance(Duration::from_secs(16));
    look_now(&app).await;
    assert_eq!(standing(&app).await, [told("source_silent", "main", 1)]);
}

/// What comes and goes is one alert, told and ended once.
#[tokio::test]
async fn what_is_gone_for_less_than_a_minute_goes_on_standing() {
    let mut app = TestApp::start().await;
    app.advance(HOUR);
    look_now(&app).await;
    app.poll().await;

    app.advance(Duration::from_secs(30));
    look_now(&app).await;
    assert_eq!(standing(&app).await, [told("source_silent", "main", 1)]);

    app.advance(Duration::from_secs(45));
    look_now(&app).await;
    assert_eq!(standing(&app).await, []);
    assert_eq!(app.number("SELECT count(*) FROM alerts").await, 1);
}
