//! G8: after a fault ends, work resumes with no operator and no restart.

use std::time::Duration;

use scoffable_sync::simulator::faults::status;
use tokio_util::sync::CancellationToken;

use crate::harness::app::{PATIENCE, TestApp, order, order_of};

#[tokio::test]
async fn after_an_outage_of_a_day_everything_is_applied() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next((0..10_000).map(|_| status(503)));
    for n in 1..=30 {
        app.arrives(&order(&format!("A-{n}"), 1, "accepted")).await;
    }
    for _ in 0..48 {
        app.advance(Duration::from_mins(30));
        app.dispatch().await;
    }
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    app.webhook.faults().clear_script();
    app.run_to_rest().await;

    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 30);
    assert_eq!(app.applied("A-1"), [2]);
    assert_eq!(app.text("SELECT breaker FROM sinks").await.as_deref(), Some("closed"));
    app.assert_no_violation();
}

#[tokio::test]
async fn the_loops_go_on_after_their_database_connections_were_cut() {
    let mut app = TestApp::start().await;
    let drain = CancellationToken::new();
    let dispatcher = tokio::spawn(app.dispatchers.remove(0).run(drain.clone()));
    app.stores(&order("A-1", 1, "accepted")).await;
    app.webhook.wait_until(|ledger| ledger.n_applied() == 1, PATIENCE).await.expect("the first order");

    for round in 2..=5 {
        app.cut_database_connections().await;
        app.publish(&order(&format!("A-{round}"), 1, "accepted"));
        app.make_sources_due().await;
        // The poll may meet a cut connection once; the next one works.
        while app.pollers[0].tick(&app.drain).await.is_err() {}
    }
    let all = app.webhook.wait_until(|ledger| ledger.n_applied() == 5, PATIENCE).await;

    all.expect("all orders");
    drain.cancel();
    tokio::time::timeout(PATIENCE, dispatcher).await.expect("the drain ends").unwrap();
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 5);
    app.assert_no_violation();
}

#[tokio::test]
async fn the_loop_waits_for_a_database_that_refuses_and_goes_on() {
    let mut app = TestApp::start().await;
    let drain = CancellationToken::new();
    app.stores(&order("A-1", 1, "accepted")).await;
    app.run("ALTER TABLE sink_lanes RENAME TO sink_lanes_away").await;
    let dispatcher = tokio::spawn(app.dispatchers.remove(0).run(drain.clone()));
    app.run("SELECT pg_sleep(0.2)").await;
    assert_eq!(app.requests(), 0);

    app.run("ALTER TABLE sink_lanes_away RENAME TO sink_lanes").await;
    let applied = app.webhook.wait_until(|ledger| ledger.n_applied() == 1, PATIENCE).await;

    applied.expect("the order");
    drain.cancel();
    dispatcher.await.unwrap();
    assert_eq!(app.delivery("A-1").await.state, "applied");
}

#[tokio::test]
async fn what_a_dead_process_held_is_taken_over_within_one_lease() {
    let mut app = TestApp::start().await;
    for n in 1..=5 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }
    app.run(
        "UPDATE deliveries SET state = 'in_flight', lease_token = gen_random_uuid(), lease_owner = 'dead',
                lease_expires_at = now() + interval '30 seconds', attempts = 1",
    )
    .await;
    assert_eq!(app.dispatch().await, 0);

    app.advance(Duration::from_secs(30));

    assert_eq!(app.dispatch().await, 5);
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 5);
}
