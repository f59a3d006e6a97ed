//! Rules for a sink whose look-ups can prove that nothing stands.

use std::time::Duration;

use scoffable_sync::simulator::faults::cut_before;

use super::subject::{Case, Subject, TOTAL};
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
