//! Rules for a sink whose look-ups cannot prove that nothing stands: a person has to say.

use scoffable_sync::simulator::faults::{cut_after, cut_before};

use super::subject::{Case, Standing, Subject, TOTAL};
use crate::harness::app::{order, order_of};

/// A doubt about a step that had its effect, which no look-up ever sees.
async fn hidden<S: Subject>(step: usize) -> Case<S> {
    let mut case = Case::<S>::start().await;
    case.there.hide_effect(step);
    case.new_order_meets("A-1", step, cut_after()).await;
    case.run_to_rest().await;
    assert_eq!(case.state("A-1").await, "in_doubt");
    case
}

/// A doubt about a step that never had its effect.
async fn absent<S: Subject>(step: usize) -> Case<S> {
    let mut case = Case::<S>::start().await;
    case.new_order_meets("A-1", step, cut_before()).await;
    case.run_to_rest().await;
    assert_eq!(case.state("A-1").await, "in_doubt");
    case
}

pub async fn what_is_never_seen_waits_for_a_person<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = absent::<S>(step).await;

        case.app.advance(std::time::Duration::from_hours(24 * 30));
        assert_eq!(case.app.dispatch().await, 0);

        let delivery = case.delivery("A-1").await;
        assert!(delivery.hint.is_some(), "{delivery:?}");
        assert_eq!(case.there.n_effects(), step);
        assert_eq!(case.app.number("SELECT count(*) FROM alerts WHERE cause = 'dead_letter'").await, 1);
    }
}

pub async fn a_person_who_adopts_it_ends_the_doubt<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = hidden::<S>(step).await;
        let id = case.there.id_of("A-1").expect("it stands there");

        case.adopt("A-1", &id).await;
        case.run_to_rest().await;

        case.assert_applied("A-1", TOTAL).await;
        case.assert_each_asked_once();
        assert_eq!(case.delivery("A-1").await.external_id, Some(id));
        case.arrives(&order("A-1", 2, "cancelled")).await;
        case.assert_nothing_stands("A-1").await;
    }
}

pub async fn a_person_who_adopts_an_older_version_leaves_the_newer_one_owed<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = hidden::<S>(step).await;
        case.arrives(&order_of("A-1", 2, "accepted", 900)).await;
        let id = case.there.id_of("A-1").expect("it stands there");

        case.adopt("A-1", &id).await;
        let adopted = case.delivery("A-1").await;
        case.run_to_rest().await;

        assert_eq!(adopted.state, "pending");
        assert_ne!(adopted.applied, Some(2));
        case.assert_applied("A-1", 900).await;
    }
}

pub async fn a_person_who_says_that_nothing_stands_has_it_sent_again<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = absent::<S>(step).await;

        case.retry("A-1").await;
        case.run_to_rest().await;

        case.assert_applied("A-1", TOTAL).await;
    }
}

pub async fn a_person_who_discards_it_has_nothing_sent_until_it_is_retried<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = absent::<S>(step).await;
        let requests = case.there.n_requests();

        case.discard("A-1").await;
        case.run_to_rest().await;
        assert_eq!(case.state("A-1").await, "skipped");
        case.arrives(&order_of("A-1", 2, "accepted", 900)).await;
        let newer = case.delivery("A-1").await;
        assert_eq!((newer.state.as_str(), newer.reason.as_deref()), ("parked", Some("possibly_stands")));
        assert!(newer.hint.is_some());
        assert_eq!(case.there.n_requests(), requests);

        case.retry("A-1").await;
        case.run_to_rest().await;
        case.assert_applied("A-1", 900).await;
    }
}

pub async fn a_cancellation_is_owed_for_what_was_adopted_and_not_for_what_never_stood<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = hidden::<S>(step).await;
        case.arrives(&order("A-1", 2, "cancelled")).await;
        let id = case.there.id_of("A-1").expect("it stands there");
        case.adopt("A-1", &id).await;
        case.run_to_rest().await;
        case.assert_nothing_stands("A-1").await;

        let mut case = absent::<S>(step).await;
        case.arrives(&order("A-1", 2, "cancelled")).await;
        assert_eq!(case.there.stands("A-1").len(), step.min(1), "what stood before the doubt");
        case.retry("A-1").await;
        case.run_to_rest().await;
        assert_eq!(case.there.stands("A-1"), [] as [Standing; 0]);
        case.assert_nothing_stands("A-1").await;
    }
}

pub async fn a_cancellation_after_a_discarded_doubt_waits_for_a_person_too<S: Subject>() {
    for step in 0..S::STEPS {
        let mut case = absent::<S>(step).await;
        case.discard("A-1").await;
        let requests = case.there.n_requests();

        case.arrives(&order("A-1", 2, "cancelled")).await;

        let delivery = case.delivery("A-1").await;
        assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("parked", Some("possibly_stands")));
        assert_eq!(case.there.n_requests(), requests);
        case.retry("A-1").await;
        case.run_to_rest().await;
        case.assert_nothing_stands("A-1").await;
    }
}
