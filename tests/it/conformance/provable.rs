//! Rules for a sink whose look-ups can prove that nothing stands.

use std::time::Duration;

use scoffable_sync::simulator::faults::{cut_after, cut_before, plainly, status};
use tokio_util::sync::CancellationToken;

use super::subject::{Case, Subject, TOTAL, eventually};
use crate::harness::app::order;

pub async fn what_is_not_seen_is_sent_again_only_once_it_is_proven_absent<S: Subject>() {
    const LOOK: Duration = Duration::from_secs(5);

    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;
        let timeout = case.app.settings.sinks.values().next().expect("a sink").common.request_timeout;
        let seen_after = S::SEEN_AFTER.expect("absence can be proven");
        let proven = case.app.settings.delivery.lease + timeout + seen_after;

        case.new_order_meets("A-1", step, cut_before()).await;
        let before = case.there.asked().len();
        let mut waited = Duration::ZERO;
        while waited + LOOK < proven {
            case.app.advance(LOOK);
            waited += LOOK;
            case.app.dispatch().await;
            assert_eq!((case.state("A-1").await.as_str(), case.there.asked().len()), ("in_doubt", before));
        }
        case.app.advance(LOOK);
        case.app.dispatch().await;

        assert_eq!(case.there.asked().len(), before + S::STEPS - step, "the rest of the steps, and no more");
        case.assert_applied("A-1", TOTAL).await;
    }
}

pub async fn a_cancellation_during_a_doubt_is_not_owed_for_what_is_absent<S: Subject>() {
    let mut case = Case::<S>::start().await;

    case.new_order_meets("A-1", 0, cut_before()).await;
    case.arrives(&order("A-1", 2, "cancelled")).await;
    case.run_to_rest().await;

    let delivery = case.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("skipped", Some("cancelled_before_sent")));
    assert_eq!((case.there.asked().len(), case.there.n_effects()), (0, 0));
}

/// Cause: a late answer was taken for the answer of whatever step of the same key stood in doubt.
pub async fn a_late_refusal_does_not_settle_the_step_that_was_sent_again_since<S: Subject>() {
    let mut case = Case::<S>::start().await;
    let (late, later) = (CancellationToken::new(), CancellationToken::new());
    case.app.stores(&order("A-1", 1, "accepted")).await;
    case.noted().await;
    let mut others = case.app.another_process().await.dispatchers;
    let mut thirds = case.app.another_process().await.dispatchers;
    case.there.answer_next(vec![status(429).retry_after(Duration::ZERO).answered_when(&late)]);

    let there = &case.there;
    let tick = case.app.during_a_tick(async |app| {
        eventually("the first request", || there.is_busy_with("A-1")).await;
        // The first process cannot hear its answer or reach the database; the second takes over.
        app.advance(Duration::from_hours(1));
        others[0].tick().await.expect("the database answers");
        there.answer_next(vec![plainly().answered_when(&later)]);
        let again = async {
            eventually("the second request", || there.n_effects() == 1).await;
            late.cancel();
            app.run("SELECT pg_sleep(0.5)").await;
            thirds[0].tick().await.expect("the database answers");
            later.cancel();
        };
        let (second, ()) = tokio::join!(others[0].tick(), again);
        second.expect("the database answers");
    });
    Box::pin(tick).await;
    case.run_to_rest().await;

    // Not by the whole check: with the first answer held back, both requests are at the destination at a time.
    assert_eq!(case.there.stands("A-1"), S::wanted(TOTAL));
    assert_eq!(case.there.n_effects(), S::STEPS);
    case.assert_brought("A-1").await;
}

pub async fn many_doubts_at_once_each_come_to_their_own_end<S: Subject>() {
    let mut case = Case::<S>::patient().await;
    let ids: Vec<String> = (0..12).map(|n| format!("A-{n}")).collect();
    for id in &ids {
        case.app.publish(&order(id, 1, "accepted"));
    }
    case.app.poll().await;
    let some_arrive = (0..ids.len()).map(|n| if n % 3 == 0 { cut_before() } else { cut_after() });
    case.there.answer_next(some_arrive.collect());

    case.app.dispatch().await;
    let in_doubt = case.app.number("SELECT count(*) FROM deliveries WHERE state = 'in_doubt'").await;
    case.run_to_rest().await;

    assert_eq!(in_doubt, 12);
    for id in &ids {
        case.assert_applied(id, TOTAL).await;
    }
    assert_eq!(case.there.n_effects(), S::STEPS * ids.len());
}

pub async fn two_processes_share_doubts_and_repeat_nothing_that_stands<S: Subject>() {
    let mut case = Case::<S>::patient().await;
    let mut other = case.app.another_process().await.dispatchers;
    let ids: Vec<String> = (0..24).map(|n| format!("A-{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        case.app.publish(&order(id, 1, "accepted"));
        case.there.answer_next(vec![
            if n % 2 == 0 { cut_after() } else { cut_before() },
            plainly(),
            status(503).after_the_effect(),
        ]);
    }
    case.app.poll().await;

    for _ in 0..120 {
        let (one, another) = tokio::join!(case.app.dispatchers[0].tick(), other[0].tick());
        one.and(another).expect("the database answers");
        case.app.advance(Duration::from_secs(3));
    }

    for id in &ids {
        case.assert_applied(id, TOTAL).await;
    }
    assert_eq!(case.there.n_effects(), S::STEPS * ids.len());
}
