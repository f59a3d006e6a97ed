//! What each status, and each change of it, means to a destination.

use scoffable_sync::simulator::{scoffable::Limits, webhook::Received};

use crate::harness::app::{TestApp, order_of};

/// Publishes versions of one order with these statuses, each with a content of its own, and delivers after each.
async fn life(app: &mut TestApp, id: &str, statuses: &[&str]) {
    for (n, status) in statuses.iter().enumerate() {
        let version = n as i64 + 1;
        app.arrives(&order_of(id, version, status, 1000 + version)).await;
    }
}

/// Kinds of messages the receiver got of an order, oldest first.
fn kinds(app: &TestApp, id: &str) -> Vec<String> {
    let of_order = |received: Received| (received.order.order_id == id).then_some(received.kind);
    app.webhook.received().into_iter().filter_map(of_order).collect()
}

/// The statuses an order goes through, the messages that it owes, and state and reason of its delivery at the end.
type Life = (&'static [&'static str], &'static [&'static str], (&'static str, Option<&'static str>));

#[tokio::test]
async fn every_life_leads_to_the_messages_it_owes_and_no_other() {
    let table: [Life; 13] = [
        (&["placed"], &[], ("skipped", Some("never_accepted"))),
        (&["placed", "accepted"], &["accepted"], ("applied", None)),
        (&["placed", "rejected"], &[], ("skipped", Some("never_accepted"))),
        (&["placed", "rejected", "accepted"], &["accepted"], ("applied", None)),
        (&["placed", "rejected", "accepted", "cancelled"], &["accepted", "cancelled"], ("applied", None)),
        (&["accepted", "cancelled"], &["accepted", "cancelled"], ("applied", None)),
        (&["accepted", "cancelled", "accepted"], &["accepted", "cancelled", "accepted"], ("applied", None)),
        (
            &["accepted", "cancelled", "accepted", "cancelled"],
            &["accepted", "cancelled", "accepted", "cancelled"],
            ("applied", None),
        ),
        (&["cancelled"], &[], ("skipped", Some("cancelled_before_sent"))),
        (&["placed", "cancelled", "accepted"], &["accepted"], ("applied", None)),
        (&["rejected", "cancelled"], &[], ("skipped", Some("cancelled_before_sent"))),
        (&["being_cooked"], &[], ("skipped", Some("unknown_status"))),
        (&["accepted", "being_cooked", "cancelled"], &["accepted", "cancelled"], ("applied", None)),
    ];
    let mut setup = TestApp::setup();
    setup.stream.limits = Limits::NONE;
    let mut app = setup.start().await;
    for (n, (statuses, expected, (state, reason))) in table.into_iter().enumerate() {
        let id = format!("A-{n}");

        life(&mut app, &id, statuses).await;

        let expected: Vec<String> = expected.iter().map(|status| format!("order.{status}")).collect();
        let delivery = app.delivery(&id).await;
        assert_eq!(kinds(&app, &id), expected, "{statuses:?}");
        assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), (state, reason), "{statuses:?}");
        app.assert_no_violation();
    }
}

#[tokio::test]
async fn a_first_version_that_is_accepted_already_is_posted() {
    let mut app = TestApp::start().await;

    life(&mut app, "A-1", &["accepted"]).await;

    assert_eq!(app.applied("A-1"), [1]);
}

#[tokio::test]
async fn impossible_changes_do_not_stop_the_stream() {
    let mut app = TestApp::start().await;

    life(&mut app, "A-1", &["accepted", "placed", "rejected", "accepted"]).await;
    life(&mut app, "A-2", &["accepted"]).await;

    assert_eq!(kinds(&app, "A-1"), ["order.accepted", "order.accepted"]);
    assert_eq!(app.delivery("A-1").await.applied, Some(4));
    assert_eq!(app.applied("A-2"), [1]);
}

#[tokio::test]
async fn an_unknown_status_is_stored_and_raises_one_alert_per_value_also_after_a_restart() {
    let mut app = TestApp::start().await;

    life(&mut app, "A-1", &["accepted", "being_cooked"]).await;
    life(&mut app, "A-2", &["being_cooked"]).await;
    app.restart().await;
    life(&mut app, "A-3", &["being_cooked", "eaten"]).await;

    let alerts = "SELECT string_agg(subject, ' ' ORDER BY subject) FROM alerts WHERE cause = 'unknown_status'";
    assert_eq!(app.text(alerts).await.as_deref(), Some("main/being_cooked main/eaten"));
    let kinds: Vec<_> = ["A-1", "A-2", "A-3"].iter().flat_map(|id| kinds(&app, id)).collect();
    assert_eq!(kinds, ["order.accepted"], "neither posted nor reversed");
    assert_eq!(app.number("SELECT count(*) FROM order_versions WHERE status = 'being_cooked'").await, 3);
    let first = app.delivery("A-1").await;
    assert_eq!((first.state.as_str(), first.applied), ("skipped", Some(1)), "what stands there stands");
}

#[tokio::test]
async fn a_missing_status_is_an_unknown_one() {
    let mut app = TestApp::start().await;
    let mut order = order_of("A-1", 1, "accepted", 100);
    order.as_object_mut().unwrap().remove("status");

    app.arrives(&order).await;

    assert_eq!(app.delivery("A-1").await.reason.as_deref(), Some("unknown_status"));
    assert_eq!(app.number("SELECT count(*) FROM quarantine").await, 0);
}

#[tokio::test]
async fn a_delivered_order_stays_accepted_and_one_never_delivered_is_just_as_final() {
    let mut app = TestApp::start().await;
    let mut delivered = order_of("A-1", 2, "accepted", 100);
    delivered["deliveredAt"] = "2026-03-01T13:00:00Z".into();

    app.arrives(&order_of("A-1", 1, "accepted", 100)).await;
    app.arrives(&delivered).await;
    app.arrives(&order_of("A-2", 1, "accepted", 100)).await;

    assert_eq!(kinds(&app, "A-1"), ["order.accepted"; 2]);
    assert_eq!(
        (app.delivery("A-1").await.state, app.delivery("A-2").await.state),
        ("applied".into(), "applied".into())
    );
}
