//! The last hours of a stream are read again on a timer: what it shows and nothing has stored is stored, owed and told.

use std::time::Duration;

use scoffable_sync::{
    ingest::rewalk::{Look, Rewalker},
    simulator::faults::status,
};
use serde_json::json;

use crate::harness::app::{TestApp, order};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const ALERTS: &str = "SELECT string_agg(cause || ' ' || subject || ' ' || count, ', ' ORDER BY cause) FROM alerts WHERE resolved_at IS NULL";
const POSITION: &str = "SELECT concat_ws(' ', cursor, state, versions, pages, cursor_at, last_success_at, next_poll_at, failures) FROM sources";

/// Of another process.
async fn rewalker(app: &TestApp) -> Rewalker {
    app.another_process().await.rewalkers.pop().expect("the only source is walked")
}

async fn look(app: &TestApp, rewalker: &mut Rewalker) -> Look {
    rewalker.tick(&app.drain).await.expect("the database answers")
}

/// A walk, the poll after it, and the judgement.
async fn walk(app: &mut TestApp, rewalker: &mut Rewalker) -> Look {
    app.advance(7 * HOUR);
    assert_eq!(look(app, rewalker).await, Look::Walked);
    app.advance(MINUTE);
    app.poll().await;
    look(app, rewalker).await
}

/// As a fault of ours, or of the platform's, would leave it.
async fn lose(app: &TestApp, order_id: &str) {
    for table in ["order_versions", "orders", "deliveries", "quarantine"] {
        let sql = format!("DELETE FROM {table} WHERE order_id = $1");
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(order_id).execute(&app.pool).await.expect("the test's SQL works");
    }
}

#[tokio::test]
async fn a_version_that_was_lost_is_found_stored_owed_and_told_and_the_position_stays() {
    let mut app = TestApp::start().await;
    let mut rewalker = rewalker(&app).await;
    for id in ["A-1", "A-2", "A-3"] {
        app.arrives(&order(id, 1, "accepted")).await;
    }
    lose(&app, "A-2").await;
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 2);
    app.advance(7 * HOUR);
    assert_eq!(look(&app, &mut rewalker).await, Look::Walked);
    app.advance(MINUTE);
    app.poll().await;
    let position = app.text(POSITION).await.unwrap();

    assert_eq!(look(&app, &mut rewalker).await, Look::Judged { missing: 1 });

    assert_eq!(app.text(POSITION).await.unwrap().split(' ').next(), position.split(' ').next(), "the cursor");
    assert_eq!(
        app.text("SELECT concat_ws(' ', pages, cursor_at = last_success_at) FROM sources").await.as_deref(),
        Some("4 t"),
        "only polls are pages"
    );
    assert_eq!(app.text(ALERTS).await.as_deref(), Some("versions_missing main 1"));
    assert_eq!(app.delivery("A-2").await.state, "pending");
    app.dispatch().await;
    assert_eq!(app.delivery("A-2").await.state, "applied");

    assert_eq!(walk(&mut app, &mut rewalker).await, Look::Judged { missing: 0 });
    assert_eq!(app.text(ALERTS).await, None);
}

#[tokio::test]
async fn what_is_complete_is_read_again_without_a_trace() {
    let mut app = TestApp::start().await;
    let mut rewalker = rewalker(&app).await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 2, "cancelled")).await;
    app.publish(&json!({"id": "A-9"}));
    app.poll().await;
    app.run("DELETE FROM alerts").await;
    let kept = "SELECT concat_ws(' ', versions, duplicates, quarantined) FROM sources";
    let before = app.text(kept).await;

    assert_eq!(walk(&mut app, &mut rewalker).await, Look::Judged { missing: 0 });

    assert_eq!(app.text(kept).await, before);
    assert_eq!(app.text(ALERTS).await, None);
    assert_eq!(app.number("SELECT count(*) FROM quarantine").await, 1);
    assert_eq!(app.dispatch().await, 0);
}

#[tokio::test]
async fn a_version_that_no_poll_has_come_to_yet_is_not_missing() {
    let mut app = TestApp::start().await;
    let mut rewalker = rewalker(&app).await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(7 * HOUR);
    app.publish(&order("A-2", 1, "accepted"));

    assert_eq!(look(&app, &mut rewalker).await, Look::Walked);
    assert_eq!(look(&app, &mut rewalker).await, Look::NotNow, "no poll since");
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 1);
    app.advance(MINUTE);
    app.poll().await;

    assert_eq!(look(&app, &mut rewalker).await, Look::Judged { missing: 0 });
    assert_eq!(app.text(ALERTS).await, None);
}

#[tokio::test]
async fn an_unreadable_order_that_was_lost_is_found_as_well() {
    let mut app = TestApp::start().await;
    let mut rewalker = rewalker(&app).await;
    app.publish(&json!({"id": "A-9"}));
    app.poll().await;
    app.run("DELETE FROM quarantine").await;

    assert_eq!(walk(&mut app, &mut rewalker).await, Look::Judged { missing: 1 });

    assert_eq!(app.number("SELECT count(*) FROM quarantine").await, 1);
}

#[tokio::test]
async fn a_number_that_the_stream_left_out_is_told_until_it_comes() {
    let mut app = TestApp::start().await;
    let mut rewalker = rewalker(&app).await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 3, "accepted")).await;

    assert_eq!(walk(&mut app, &mut rewalker).await, Look::Judged { missing: 0 });
    assert_eq!(app.text(ALERTS).await.as_deref(), Some("version_gaps main 1"));
    assert_eq!(app.delivery("A-1").await.applied, Some(3), "nothing waits for it");

    app.arrives(&order("A-1", 2, "accepted")).await;
    walk(&mut app, &mut rewalker).await;
    assert_eq!(app.text(ALERTS).await, None);
}

#[tokio::test]
async fn one_process_of_all_walks_and_only_when_it_is_due() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    let (mut one, mut other) = (rewalker(&app).await, rewalker(&app).await);

    assert_eq!(look(&app, &mut one).await, Look::Walked);
    assert_eq!(look(&app, &mut other).await, Look::NotNow);
    app.advance(MINUTE);
    app.poll().await;
    assert_eq!(look(&app, &mut one).await, Look::Judged { missing: 0 });
    app.advance(358 * MINUTE);
    assert_eq!(look(&app, &mut other).await, Look::NotNow);

    app.advance(3 * MINUTE);
    assert_eq!(look(&app, &mut other).await, Look::Walked);
    drop(other);
    app.advance(11 * MINUTE);
    assert_eq!(look(&app, &mut one).await, Look::Walked, "the other died with its turn");
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_is_walked_a_little_later() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    let mut rewalker = rewalker(&app).await;
    app.scoffable.answer_next([status(503)]);

    assert_eq!(look(&app, &mut rewalker).await, Look::Failed);
    assert_eq!(app.text("SELECT state FROM sources").await.as_deref(), Some("active"), "a poll judges that");
    assert_eq!(look(&app, &mut rewalker).await, Look::NotNow);

    app.advance(16 * MINUTE);
    assert_eq!(look(&app, &mut rewalker).await, Look::Walked);
}

#[tokio::test]
async fn a_walk_takes_its_calls_from_the_streams_own_budget() {
    let mut app = TestApp::setup().with("sources.main.requests_per_minute", "30").start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    let used = "SELECT used FROM call_budgets WHERE scope = 'source:main'";
    assert_eq!(app.number(used).await, 1);

    let mut rewalker = rewalker(&app).await;
    look(&app, &mut rewalker).await;

    assert_eq!(app.number(used).await, 2);
    let asked = app.scoffable.journal().entries().pop().expect("it was asked");
    assert!(asked.query.contains("fromTimestamp"), "{asked:?}");
}

#[tokio::test]
async fn nothing_is_walked_where_it_is_switched_off() {
    let app = TestApp::setup().with("watch.rewalk_interval", "0s").start().await;

    assert!(app.another_process().await.rewalkers.is_empty());
}
