//! Rules for a sink all of whose requests may be repeated.

use std::time::Duration;

use scoffable_sync::simulator::faults::{cut_after, status};

use super::subject::{Case, Subject, TOTAL};

pub async fn a_lost_answer_is_asked_for_again_with_the_same_key_and_bytes<S: Subject>() {
    let mut case = Case::<S>::patient().await;
    let faults = [cut_after(), status(502).after_the_effect(), status(408).after_the_effect(), status(500)];
    for (n, fault) in faults.into_iter().enumerate() {
        for step in 0..S::STEPS {
            let (id, before) = (format!("A-{n}-{step}"), case.there.asked().len());

            case.new_order_meets(&id, step, fault.clone()).await;
            case.app.restart().await;
            case.run_to_rest().await;

            let asked = case.there.asked().split_off(before);
            assert_eq!(asked.len(), S::STEPS + 1, "{id}");
            assert_eq!(asked[step], asked[step + 1], "{id}");
            case.assert_applied(&id, TOTAL).await;
        }
    }
}

pub async fn a_server_error_that_names_a_time_is_repeated_then<S: Subject>() {
    let mut case = Case::<S>::start().await;

    case.new_order_meets("A-1", 0, status(503).retry_after(Duration::from_mins(15)).after_the_effect()).await;

    let delivery = case.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.attempts), ("pending", 1));
    assert!(delivery.due_in > Duration::from_mins(14), "{delivery:?}");
    case.run_to_rest().await;
    case.assert_applied("A-1", TOTAL).await;
}
