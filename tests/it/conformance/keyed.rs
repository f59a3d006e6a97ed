//! Rules for a sink whose requests may be repeated while their keys are trusted, and are looked up from then on.

use std::time::Duration;

use scoffable_sync::simulator::faults::{Fault, cut_after, cut_before, not_json, plainly, status};
use tokio_util::sync::CancellationToken;

use super::subject::{Case, Subject, TOTAL, patient};
use crate::harness::app::{Setup, order};

pub trait Keyed: Subject {
    /// From its first sending on. Longer than it takes to prove that nothing stands.
    const TRUSTED_FOR: Duration;
}

pub async fn a_lost_answer_is_asked_for_again_with_the_same_key_and_bytes<S: Keyed>() {
    let quick = patient(Setup::default().without_hook()).with("sinks.subject.request_timeout", "200ms");
    let mut case = Case::<S>::of(quick).await;
    let never = CancellationToken::new();
    let faults: [Fault; 5] = [
        cut_after(),
        cut_before(),
        status(502).after_the_effect(),
        status(408).after_the_effect(),
        plainly().answered_when(&never),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        for step in 0..S::STEPS {
            let (id, before) = (format!("A-{n}-{step}"), case.there.asked().len());

            case.new_order_meets(&id, step, fault.clone()).await;
            assert_eq!(case.state(&id).await, "in_doubt", "{id}");
            case.app.restart().await;
            case.run_to_rest().await;

            case.assert_applied(&id, TOTAL).await;
            let asked = case.there.asked().split_off(before);
            if !fault.refuses_to_read() {
                assert_eq!(asked.len(), S::STEPS + 1, "{id}");
                assert_eq!(asked[step], asked[step + 1], "{id}");
            }
        }
    }
}

/// The answer of a new order's request is lost, and nobody asks until its key is not trusted any more.
async fn long_lost<S: Keyed>(step: usize, fault: Fault) -> Case<S> {
    let mut case = Case::<S>::patient().await;
    case.new_order_meets("A-1", step, fault).await;
    assert_eq!(case.state("A-1").await, "in_doubt");
    case.app.advance(S::TRUSTED_FOR);
    case
}

pub async fn once_its_key_is_not_trusted_any_more_a_step_is_looked_up_and_not_repeated<S: Keyed>() {
    for step in 0..S::STEPS {
        let mut case = long_lost::<S>(step, cut_after()).await;

        case.run_to_rest().await;

        case.assert_applied("A-1", TOTAL).await;
        case.assert_each_asked_once();
        assert_eq!(case.there.asked().len(), S::STEPS);
    }
}

pub async fn a_step_that_is_not_found_then_is_sent_again<S: Keyed>() {
    for step in 0..S::STEPS {
        let mut case = long_lost::<S>(step, cut_before()).await;

        case.run_to_rest().await;

        case.assert_applied("A-1", TOTAL).await;
        assert_eq!(case.there.asked().len(), S::STEPS);
    }
}

pub async fn a_look_up_that_fails_is_made_again<S: Keyed>() {
    for step in 0..S::STEPS {
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

        let mut case = long_lost::<S>(step, cut_after()).await;
        case.there.answer_look_ups(faults.to_vec());
        case.run_to_rest().await;

        case.assert_applied("A-1", TOTAL).await;
        case.assert_each_asked_once();
        let look_ups = case.there.n_requests() as usize - case.there.asked().len();
        assert!(look_ups > n, "{look_ups}");
        assert_eq!(case.sink().await, "active");
    }
}

pub async fn a_cancellation_during_a_doubt_is_owed_once_the_step_is_found<S: Keyed>() {
    for step in 0..S::STEPS {
        for fault in [cut_after(), cut_before()] {
            let mut case = Case::<S>::start().await;

            case.new_order_meets("A-1", step, fault).await;
            case.arrives(&order("A-1", 2, "cancelled")).await;
            case.run_to_rest().await;

            case.assert_nothing_stands("A-1").await;
            assert_eq!(case.delivery("A-1").await.applied, Some(2));
        }
    }
}

pub async fn a_cancellation_during_a_doubt_is_not_owed_for_what_is_absent<S: Keyed>() {
    let mut case = long_lost::<S>(0, cut_before()).await;

    case.arrives(&order("A-1", 2, "cancelled")).await;
    case.run_to_rest().await;

    let delivery = case.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("skipped", Some("cancelled_before_sent")));
    assert_eq!((case.there.asked().len(), case.there.n_effects()), (0, 0));
}
