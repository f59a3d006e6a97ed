//! The way of an order from the stream to a receiver.

use crate::harness::app::{TestApp, order, order_of};

#[tokio::test]
async fn an_accepted_order_is_posted_once_and_its_id_is_kept() {
    let mut app = TestApp::start().await;

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.poll().await;
    app.dispatch().await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.applied), ("applied", Some(1)));
    assert!(delivery.external_id.is_some());
    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(app.outcomes("A-1").await, ["delivered"]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_version_that_changes_nothing_visible_is_applied_without_a_call() {
    let mut app = TestApp::start().await;

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 2, "accepted")).await;
    app.arrives(&order_of("A-1", 3, "accepted", 900)).await;

    assert_eq!(app.applied("A-1"), [1, 3]);
    assert_eq!(app.outcomes("A-1").await, ["delivered", "unchanged", "delivered"]);
    assert_eq!(app.delivery("A-1").await.applied, Some(3));
}
