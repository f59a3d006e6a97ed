//! Rules for a sink with requests that must not be repeated: all those of a new order.

use std::time::Duration;

use scoffable_sync::simulator::faults::{Fault, cut_after, not_json, plainly, status};
use tokio_util::sync::CancellationToken;

use super::subject::{Case, NAME, Subject, TOTAL, eventually, patient};
use crate::harness::app::{PATIENCE, Setup, order, order_of};

pub async fn a_lost_answer_is_a_doubt_that_a_look_up_settles<S: Subject>() {
    let quick = patient(Setup::default().without_hook()).with("sinks.subject.request_timeout", "200ms");
    let mut case = Case::<S>::of(quick).await;
    let never = CancellationToken::new();
    let faults: [Fault; 4] =
        [cut_after(), status(502).after_the_effect(), status(408).after_the_effect(), plainly().answered_when(&never)];
    for (n, fault) in faults.into_iter().enumerate() {
        for step in 0..S::STEPS {
            let id = format!("A-{n}-{step}");

            case.new_order_meets(&id, step, fault.clone()).await;
            assert_eq!(case.state(&id).await, "in_doubt", "{id}");
            case.app.restart().await;
            case.run_to_rest().await;

            case.assert_applied(&id, TOTAL).await;
        }
    }
    case.assert_each_asked_once();
}

pub async fn a_server_error_that_names_a_time_is_a_doubt_and_no_repeat<S: Subject>() {
    let asked = Duration::from_mins(12);
    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;

        case.new_order_meets("A-1", step, status(503).retry_after(asked).after_the_effect()).await;

        let delivery = case.delivery("A-1").await;
        assert_eq!(delivery.state, "in_doubt");
        assert!(delivery.due_in > asked.saturating_sub(Duration::from_secs(20)), "{delivery:?}");
        case.run_to_rest().await;
        case.assert_applied("A-1", TOTAL).await;
        case.assert_each_asked_once();
    }
}

pub async fn a_look_up_that_fails_is_made_again<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = Case::<S>::patient().await;
        let faults = [
            status(503),
            status(401),
            status(403),
            status(404),
            status(429).retry_after(Duration::from_mins(5)),
            cut_after(),
            not_json(),
            status(500),
        ];
        let n = faults.len();

        case.new_order_meets("A-1", step, cut_after()).await;
        case.there.answer_look_ups(faults.to_vec());
        case.run_to_rest().await;

        case.assert_applied("A-1", TOTAL).await;
        case.assert_each_asked_once();
        let look_ups = case.there.n_requests() as usize - case.there.asked().len();
        assert!(look_ups > n, "{look_ups}");
        assert_eq!(case.sink().await, "active");
    }
}

pub async fn an_older_version_that_is_found_leaves_the_newer_one_owed<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;

        case.new_order_meets("A-1", step, cut_after()).await;
        case.arrives(&order_of("A-1", 2, "accepted", 900)).await;
        assert_eq!(case.state("A-1").await, "in_doubt", "nothing is planned past a doubt");
        case.run_to_rest().await;

        case.assert_applied("A-1", 900).await;
    }
}

pub async fn a_cancellation_during_a_doubt_is_owed_once_the_step_is_found<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = Case::<S>::start().await;

        case.new_order_meets("A-1", step, cut_after()).await;
        case.arrives(&order("A-1", 2, "cancelled")).await;
        case.run_to_rest().await;

        case.assert_nothing_stands("A-1").await;
        assert_eq!(case.delivery("A-1").await.applied, Some(2));
        case.assert_each_asked_once();
    }
}

pub async fn a_late_answer_settles_the_doubt_about_its_own_sending<S: Subject>() {
    let mut case = Case::<S>::start().await;
    let late = CancellationToken::new();
    case.app.stores(&order("A-1", 1, "accepted")).await;
    case.noted().await;
    let mut others = case.app.another_process().await.dispatchers;
    case.there.hide_effect(0);
    case.there.answer_next(vec![plainly().answered_when(&late)]);

    let there = &case.there;
    case.app
        .during_a_tick(async |app| {
            eventually("the effect", || there.n_effects() == 1).await;
            app.advance(Duration::from_secs(31));
            others[0].tick().await.expect("the database answers");
            assert_eq!(app.delivery_at(NAME, "A-1").await.state, "in_doubt", "nothing is seen of it");
            late.cancel();
        })
        .await;
    assert_ne!(case.state("A-1").await, "in_doubt");
    case.app.dispatch().await;

    case.assert_applied("A-1", TOTAL).await;
    case.assert_each_asked_once();
}

/// A doubt that waits behind another order's request when the loop is told to stop, or to slow down. Cause: what was
/// claimed and given back unsent became pending, its stored step was dropped, and the next claim sent it again.
pub async fn a_doubt_that_is_given_back_stays_one<S: Subject>() {
    let slowed_down = [status(429).retry_after(Duration::from_secs(90)), status(401)];
    for (n, fault) in [plainly()].into_iter().chain(slowed_down).enumerate() {
        let repeated = if n == 2 && S::REFRESHES { Some(status(401)) } else { None };
        let setup = patient(Setup::default().without_hook()).with("sinks.subject.concurrency", "1");
        let mut case = Case::<S>::of(setup).await;
        case.new_order_meets("A-1", 0, cut_after()).await;
        case.app.stores(&order("A-2", 1, "accepted")).await;
        case.noted().await;
        case.app.advance(Duration::from_secs(11));
        let (gate, drain) = (CancellationToken::new(), CancellationToken::new());
        case.there.answer_next([fault.answered_when(&gate)].into_iter().chain(repeated).collect());

        // Of the two that are due the new order is older, so the doubt is in line behind it.
        let running = tokio::spawn(case.app.dispatchers.remove(0).run(drain.clone()));
        eventually("the other order's request", || case.there.is_busy_with("A-2")).await;
        if n > 0 {
            gate.cancel();
            eventually("its answer", || !case.there.is_busy_with("A-2")).await;
            case.app.run("SELECT pg_sleep(0.3)").await;
        }
        drain.cancel();
        case.app.run("SELECT pg_sleep(0.1)").await;
        gate.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("the drain ends").expect("nothing breaks");

        assert_eq!(case.state("A-1").await, "in_doubt");
        case.app.restart().await;
        case.run_to_rest().await;
        for id in ["A-1", "A-2"] {
            case.assert_applied(id, TOTAL).await;
        }
    }
}
