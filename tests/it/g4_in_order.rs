//! G4: versions of one order are applied ascending and never side by side, with several processes and bad weather.

use std::time::Duration;

use scoffable_sync::simulator::faults::{Fault, cut_after, plainly, status};
use tokio_util::sync::CancellationToken;

use crate::harness::app::{TestApp, order, order_of};

#[tokio::test]
async fn two_processes_never_work_on_one_order_side_by_side() {
    let mut app = TestApp::start().await;
    let mut other = app.another_process().await.dispatchers.remove(0);

    for version in 1..=6 {
        for n in 1..=5 {
            app.publish(&order_of(&format!("A-{n}"), version, "accepted", 100 * version));
        }
        app.poll().await;
        let (mine, theirs) = tokio::join!(app.dispatchers[0].tick(), other.tick());
        mine.unwrap();
        theirs.unwrap();
    }
    app.dispatch().await;

    for n in 1..=5 {
        assert_eq!(app.applied(&format!("A-{n}")).last(), Some(&6));
    }
    app.assert_no_violation();
}

#[tokio::test]
async fn a_newer_version_does_not_overtake_one_whose_answer_was_lost() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after()]);
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(app.requests(), 1, "the first request may still be under way");
    app.run_to_rest().await;
    assert_eq!(app.applied("A-1"), [1, 2]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_process_that_lost_its_lease_does_not_undo_what_another_applied() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([status(500).answered_when(&gate)]);

    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        app.advance(Duration::from_secs(31));
        app.stores(&order_of("A-1", 2, "accepted", 900)).await;
        let mut other = app.another_process().await.dispatchers.remove(0);
        other.tick().await.unwrap();
        assert_eq!(app.delivery("A-1").await.state, "applied");
        gate.cancel();
    })
    .await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.applied), ("applied", Some(2)));
    assert_eq!(app.outcomes("A-1").await, ["lease_expired", "delivered", "unknown"]);
}

#[tokio::test]
async fn every_version_keeps_its_order_through_failures_of_each() {
    let mut app =
        TestApp::setup().with("sinks.hook.versions", "every").with("sinks.hook.breaker.failures", "1000").start().await;
    let weather: Vec<Fault> = (0..4).flat_map(|_| [status(503), cut_after(), status(429), plainly()]).collect();
    app.webhook.answer_next(weather);

    for version in 1..=6 {
        app.publish(&order_of("A-1", version, "accepted", 100 * version));
    }
    app.poll().await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1, 2, 3, 4, 5, 6]);
    app.assert_no_violation();
}
