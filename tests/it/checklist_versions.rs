//! Versions of an order: repeated, late, with gaps, unchanged, and replaced as a whole.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    app::{TestApp, order, order_of},
    stream::{page, stored},
};

const NEWEST: &str = "SELECT version FROM orders";

/// `latestVersion` as the platform answers it for an older version.
fn stale(mut order: Value) -> Value {
    order["latestVersion"] = json!(false);
    order
}

async fn conflicts(app: &TestApp) -> i64 {
    app.number("SELECT count(*) FROM quarantine WHERE reason = 'version_conflict'").await
}

#[tokio::test]
async fn a_version_that_comes_again_is_applied_once_in_a_page_across_pages_and_across_restarts() {
    let mut app = TestApp::start().await;
    let v1 = order("A-1", 1, "accepted");
    app.scoffable.answer_next([
        page(&[v1.clone(), v1.clone()], true, Some("c-1")),
        page(&[stale(v1.clone())], false, Some("c-2")),
        page(std::slice::from_ref(&v1), false, Some("c-3")),
    ]);

    app.poll().await;
    app.dispatch().await;
    app.restart().await;
    app.poll().await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(app.webhook.received().len(), 1);
    assert_eq!(app.number("SELECT versions FROM sources").await, 1);
    assert_eq!(conflicts(&app).await, 0, "latestVersion is no part of the content");
}

#[tokio::test]
async fn a_late_version_is_stored_and_changes_nothing() {
    let mut app = TestApp::start().await;
    app.arrives(&order_of("A-1", 3, "accepted", 300)).await;

    app.arrives(&stale(order_of("A-1", 2, "cancelled", 200))).await;

    assert_eq!(stored(&app.pool).await.len(), 2);
    assert_eq!(app.number(NEWEST).await, 3);
    assert_eq!(app.text("SELECT status FROM orders").await.as_deref(), Some("accepted"));
    assert_eq!((app.delivery("A-1").await.wanted, app.applied("A-1")), (3, vec![3]));
}

#[tokio::test]
async fn a_late_version_in_the_same_page_changes_nothing_either() {
    let mut app = TestApp::start().await;
    let orders = [order_of("A-1", 3, "accepted", 300), stale(order_of("A-1", 2, "accepted", 200))];
    app.scoffable.answer_next([page(&orders, false, Some("c-1"))]);

    app.poll().await;
    app.dispatch().await;

    assert_eq!(app.number(NEWEST).await, 3);
    assert_eq!(app.applied("A-1"), [3]);
}

#[tokio::test]
async fn a_version_that_comes_late_to_a_new_sink_is_not_taken_for_the_newest() {
    // The sink owes nothing that was stored before it was activated; an old version that trickles in is nothing new.
    let mut app = TestApp::start().await;
    app.run("DELETE FROM sinks").await;
    app.arrives(&order_of("A-1", 3, "accepted", 300)).await;
    app.restart().await; // registers the sink again, as a new one
    assert_eq!(app.number("SELECT count(*) FROM sinks").await, 1);

    app.arrives(&stale(order_of("A-1", 2, "accepted", 200))).await;
    let after_the_late_one = app.applied("A-1");
    app.arrives(&order_of("A-1", 4, "accepted", 400)).await;

    assert_eq!(after_the_late_one, Vec::<i64>::new());
    assert_eq!(app.applied("A-1"), [4]);
}

#[tokio::test]
async fn gaps_and_a_first_sight_in_the_middle_of_a_life_are_normal() {
    let mut app = TestApp::start().await;

    app.arrives(&order_of("A-1", 1, "accepted", 100)).await;
    app.arrives(&order_of("A-1", 5, "accepted", 500)).await;
    app.arrives(&order("A-2", 7, "accepted")).await;

    assert_eq!(app.applied("A-1"), [1, 5]);
    assert_eq!(app.applied("A-2"), [7]);
}

#[tokio::test]
async fn of_several_new_versions_only_the_newest_is_sent() {
    let mut app = TestApp::start().await;
    let orders: Vec<_> = (1..=4).map(|n| order_of("A-1", n, "accepted", 100 * n)).collect();
    app.scoffable.answer_next([page(&orders[..3], true, Some("c-1")), page(&orders[3..], false, Some("c-2"))]);

    app.poll().await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [4]);
    assert_eq!(stored(&app.pool).await.len(), 4);
}

#[tokio::test]
async fn a_newer_version_replaces_the_order_as_a_whole() {
    let mut app = TestApp::start().await;
    let mut first = order("A-1", 1, "accepted");
    let mut extra = first["items"][0].clone();
    extra["id"] = json!("line-2");
    extra["name"] = json!("Halloumi");
    first["items"].as_array_mut().unwrap().push(extra);

    app.arrives(&first).await;
    app.arrives(&order("A-1", 2, "accepted")).await;

    let bodies: Vec<Value> =
        app.webhook.received().iter().map(|received| serde_json::from_slice(&received.body).unwrap()).collect();
    let names = |body: &Value| -> Vec<Value> {
        body["order"]["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect()
    };
    assert_eq!(names(&bodies[0]), [json!("Lamb Kofta Plate"), json!("Halloumi")]);
    assert_eq!(names(&bodies[1]), [json!("Lamb Kofta Plate")]);
    assert_eq!(app.number("SELECT count(*) FROM order_items").await, 1);
}

#[tokio::test]
async fn a_correction_after_the_delay_is_one_correction() {
    let mut app = TestApp::setup().with("sources.main.min_age_minutes", "90").start().await;
    app.publish(&order_of("A-1", 1, "accepted", 1000));
    app.poll().await;
    let too_young = app.number("SELECT count(*) FROM order_versions").await;
    app.advance(Duration::from_mins(91));
    app.poll().await;
    app.dispatch().await;

    app.publish(&order_of("A-1", 2, "accepted", 850));
    app.poll().await;
    app.dispatch().await;
    let meanwhile = app.applied("A-1");
    app.advance(Duration::from_mins(91));
    app.poll().await;
    app.dispatch().await;

    assert_eq!(too_young, 0);
    assert_eq!((meanwhile, app.applied("A-1")), (vec![1], vec![1, 2]));
}

#[tokio::test]
async fn ids_beyond_floating_point_and_ids_as_text_stay_exact_and_apart() {
    let mut app = TestApp::start().await;
    let [small, large] = [9_007_199_254_740_992_i64, 9_007_199_254_740_993];
    let with_id = |id: Value, version: i64| {
        let mut order = order("", version, "accepted");
        order["id"] = id;
        order["latestVersion"] = json!(true);
        order
    };
    let orders = [
        with_id(json!(small), 1),
        with_id(json!(large), 1),
        with_id(json!(i64::MAX), i64::MAX),
        with_id(json!(large.to_string()), 2),
        with_id(json!("A-ü-0017"), 1),
    ];
    app.scoffable.answer_next([page(&orders, false, Some("c-1"))]);

    app.poll().await;

    let expected = [
        (small.to_string(), 1),
        (large.to_string(), 1),
        (large.to_string(), 2),
        (i64::MAX.to_string(), i64::MAX),
        ("A-ü-0017".to_owned(), 1),
    ];
    assert_eq!(stored(&app.pool).await, expected.into_iter().collect());
    assert_eq!(app.delivery(&large.to_string()).await.wanted, 2, "a number and the same digits as text are one order");
}

#[tokio::test]
async fn the_same_version_with_another_content_is_kept_aside_once() {
    let mut app = TestApp::start().await;
    let (first, second) = (order_of("A-1", 1, "accepted", 100), order_of("A-1", 1, "accepted", 200));
    app.scoffable.answer_next([
        page(&[first.clone(), second.clone()], true, Some("c-1")), // in one page
        page(std::slice::from_ref(&second), true, Some("c-2")),    // across pages
        page(&[stale(second)], false, Some("c-3")),                // and read again, when it is no longer the latest
    ]);

    app.poll().await;
    app.dispatch().await;

    assert_eq!(conflicts(&app).await, 1);
    assert_eq!(app.number("SELECT total_minor FROM order_versions").await, 100, "the first stays");
    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(app.number("SELECT quarantined FROM sync_status").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM alerts WHERE cause = 'quarantined'").await, 1);
    let raw = app.text("SELECT convert_from(raw, 'UTF8') FROM quarantine").await.unwrap();
    assert!(raw.contains(r#""amount":200"#));
}

#[tokio::test]
async fn two_versions_whose_contents_both_changed_are_two_cases() {
    let mut app = TestApp::start().await;
    let [v1, v2] = [1, 2].map(|version| order_of("A-1", version, "accepted", 100));
    let [other_v1, other_v2] = [1, 2].map(|version| order_of("A-1", version, "accepted", 200));
    app.scoffable.answer_next([page(&[v1, v2], false, Some("c-1")), page(&[other_v1, other_v2], false, Some("c-2"))]);

    app.poll().await;
    app.poll().await;

    assert_eq!(conflicts(&app).await, 2);
}
