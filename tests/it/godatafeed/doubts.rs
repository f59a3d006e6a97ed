//! Answers that were lost, and processes that were.

use scoffable_sync::{
    simulator::{
        faults::{Fault, plainly},
        godatafeed::Repeats,
    },
    store::operations::{self, Named, Operator},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::harness::app::PATIENCE;

/// Lost after they had their effect.
fn lost() -> Vec<(&'static str, Fault)> {
    let never = CancellationToken::new();
    vec![
        ("reset", cut_after()),
        ("server error", status(500).after_the_effect()),
        ("hang", plainly().answered_when(&never)),
    ]
}

fn quick() -> Wish {
    feed().with("request_timeout", "200ms")
}

#[tokio::test]
async fn an_acknowledgement_whose_answer_was_lost_is_settled_by_the_list_and_never_repeated() {
    for (what, fault) in lost() {
        let mut feed = quick().start().await;
        feed.imported("A-1");
        feed.there.answer_next_to(Operation::Acknowledge, [fault]);

        feed.arrives(&feed.accepted("A-1", 1)).await;
        feed.assert_stands("A-1", "in_doubt", "no_answer").await;
        feed.app.restart().await;
        feed.passes(MINUTE).await;

        feed.assert_stands("A-1", "pending", "shipment").await;
        assert_eq!(feed.receipt().await["reached"], "acknowledged", "{what}");
        assert_eq!(feed.calls(Operation::Acknowledge), 1, "{what}");
        feed.assert_no_wrong();
    }
}

#[tokio::test]
async fn an_acknowledgement_that_never_arrived_is_sent_again_with_the_same_number() {
    let mut feed = Feed::start().await;
    feed.imported("A-1");
    feed.there.answer_next_to(Operation::Acknowledge, [status(500)]);
    feed.arrives(&feed.accepted("A-1", 1)).await;
    feed.app.run("UPDATE deliveries SET external_id = 'another-number' WHERE sink = 'hook'").await;

    feed.passes(10 * MINUTE).await;

    let bodies = feed.bodies(Operation::Acknowledge);
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
    assert_eq!(feed.notice().await.as_deref(), Some("number_changed"));
    feed.assert_no_wrong();
}

#[tokio::test]
async fn many_lost_acknowledgements_share_a_list() {
    let mut feed = Feed::start().await;
    feed.there.answer_next_to(Operation::Acknowledge, vec![cut_after(); 4]);
    for n in 0..4 {
        feed.imported(&format!("A-{n}"));
        feed.app.publish(&feed.accepted(&format!("A-{n}"), 1));
    }
    feed.app.poll().await;
    feed.dispatch().await;
    assert_eq!(feed.app.number("SELECT count(*) FROM deliveries WHERE state = 'in_doubt'").await, 4);
    let before = feed.calls(Operation::List);

    feed.passes(MINUTE).await;

    assert_eq!(feed.calls(Operation::List), before + 1);
    assert_eq!(feed.app.number("SELECT count(*) FROM deliveries WHERE waiting_for = 'shipment'").await, 4);
}

#[tokio::test]
async fn a_list_that_may_be_cut_settles_no_doubt() {
    let mut feed = Feed::start().await;
    feed.imported("A-1");
    feed.there.answer_next_to(Operation::Acknowledge, [cut_after()]);
    feed.arrives(&feed.accepted("A-1", 1)).await;
    for n in 0..50 {
        feed.imported(&format!("B-{n}"));
    }

    feed.passes(10 * MINUTE).await;
    feed.assert_stands("A-1", "in_doubt", "no_answer").await;

    feed.imported("B-50");
    feed.passes(Duration::from_hours(4)).await;
    assert_eq!(feed.receipt().await["reached"], "shipped");
    assert_eq!(feed.calls(Operation::Acknowledge), 1);
}

#[tokio::test]
async fn a_lost_change_of_status_is_repeated_once_to_the_byte() {
    for (what, fault) in lost() {
        for cancels in [false, true] {
            let mut feed = quick().start().await;
            let order = feed.acknowledged("A-1").await;
            feed.there.answer_next_to(Operation::UpdateStatus, [fault.clone()]);
            if cancels {
                feed.arrives(&Feed::cancelled(&order)).await;
            }

            feed.passes(70 * MINUTE).await;

            let bodies = feed.bodies(Operation::UpdateStatus);
            assert_eq!(bodies.len(), 2, "{what}, cancels: {cancels}");
            assert_eq!(bodies[0], bodies[1], "{what}");
            feed.assert_stands("A-1", "applied", "").await;
            let state = feed.counterpart("A-1").state();
            assert_eq!(state, if cancels { OrderState::Cancelled } else { OrderState::Shipped });
            feed.assert_no_wrong();
        }
    }
}

#[tokio::test]
async fn a_repeat_that_is_refused_or_lost_too_is_left_to_a_person() {
    let conflict = Repeats::AreRefused(axum::http::StatusCode::CONFLICT);
    for second in [None, Some(cut_after())] {
        let mut feed = Feed::start().await;
        feed.acknowledged("A-1").await;
        let faults: Vec<Fault> = [cut_after()].into_iter().chain(second.clone()).collect();
        feed.there.answer_next_to(Operation::UpdateStatus, faults);
        if second.is_none() {
            feed.there.answer_repeats(conflict);
        }

        feed.passes(100 * MINUTE).await;

        feed.assert_stands("A-1", "in_doubt", "maybe_applied").await;
        assert!(feed.delivery("A-1").await.hint.is_some());
        assert_eq!(feed.calls(Operation::UpdateStatus), 2, "it does not loop");
        assert_eq!(feed.open_alerts("dead_letter").await, 1);
        let newer = Feed::after(&feed.accepted("A-1", 1), |order| order["status"] = json!("cancelled"));
        feed.arrives(&newer).await;
        feed.passes(30 * MINUTE).await;
        assert_eq!(feed.calls(Operation::UpdateStatus), 2, "nothing is planned past a doubt");
        feed.assert_no_wrong();
    }
}

#[tokio::test]
async fn a_repeat_that_is_refused_is_read_back_where_one_order_can_be_read() {
    let get = "GET /v1/{t}/orders/{gdf_id}";
    let mut feed = feed().with("templates.get", get).start().await;
    feed.acknowledged("A-1").await;
    feed.there.answer_next_to(Operation::UpdateStatus, [cut_after()]);
    feed.there.answer_repeats(Repeats::AreRefused(axum::http::StatusCode::CONFLICT));

    feed.passes(100 * MINUTE).await;

    feed.assert_stands("A-1", "applied", "").await;
    assert_eq!((feed.calls(Operation::UpdateStatus), feed.calls(Operation::Get)), (2, 1));
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_repeat_that_was_never_made_does_not_count_as_one() {
    let mut feed = Feed::start().await;
    feed.acknowledged("A-1").await;
    feed.there.answer_next_to(Operation::UpdateStatus, [cut_after(), status(429).retry_after(MINUTE), status(401)]);

    feed.passes(100 * MINUTE).await;

    feed.assert_stands("A-1", "applied", "").await;
    feed.assert_no_wrong();
}

#[tokio::test]
async fn an_order_that_somebody_takes_before_our_acknowledgement_arrives_is_never_shipped() {
    let mut feed = Feed::start().await;
    let id = feed.imported("A-1");
    let order = feed.accepted("A-1", 1);
    // It is listed, and then the acknowledgement has to wait.
    feed.there.answer_next_to(Operation::Acknowledge, [status(429).retry_after(MINUTE)]);
    feed.arrives(&order).await;
    feed.there.take_elsewhere(&id);

    feed.passes(2 * MINUTE).await;
    feed.assert_stands("A-1", "parked", "taken_elsewhere").await;
    feed.arrives(&Feed::after(&order, |order| order["dispatchedAt"] = json!(feed.instant()))).await;
    feed.passes(100 * MINUTE).await;

    assert_eq!(feed.calls(Operation::UpdateStatus), 0);
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_process_lost_after_any_effect_leaves_one_of_each() {
    let never = CancellationToken::new();
    for operation in [Operation::Acknowledge, Operation::UpdateStatus] {
        let mut feed = Feed::start().await;
        let id = feed.imported("A-1");
        let order = feed.accepted("A-1", 1);
        let order = Feed::after(&order, |order| order["dispatchedAt"] = order["acceptedAt"].clone());
        feed.there.answer_next_to(operation, [plainly().answered_when(&never)]);
        feed.app.stores(&order).await;

        let n_before = usize::from(operation == Operation::UpdateStatus);
        let reached = |ledger: &scoffable_sync::simulator::godatafeed::Ledger| {
            ledger.order(&id).is_some_and(|order| order.applied().count() == n_before + 1)
        };
        tokio::select! {
            _ = feed.app.dispatch() => panic!("it waits for its answer"),
            waited = feed.there.wait_until(reached, PATIENCE) => waited.expect("the effect"),
        }
        feed.app.restart().await;
        feed.app.advance(Duration::from_secs(31));
        feed.passes(5 * MINUTE).await;

        feed.assert_stands("A-1", "applied", "").await;
        assert_eq!(feed.counterpart("A-1").applied().count(), 2, "{operation:?}");
        feed.assert_no_wrong();
    }
}

#[tokio::test]
async fn two_processes_share_the_work_and_repeat_none() {
    let mut feed = Feed::start().await;
    let mut other = feed.app.another_process().await.dispatchers;
    for n in 0..12 {
        feed.imported(&format!("A-{n}"));
        let order = feed.accepted(&format!("A-{n}"), 1);
        feed.app.publish(&Feed::after(&order, |order| order["dispatchedAt"] = order["acceptedAt"].clone()));
    }
    feed.app.poll().await;
    feed.app.dispatchers[1].tick().await.expect("the database answers");
    feed.app.dispatchers[1].tick().await.expect("the database answers");

    for _ in 0..20 {
        let (one, another) = tokio::join!(feed.app.dispatchers[0].tick(), other[0].tick());
        one.and(another).expect("the database answers");
    }
    feed.passes(2 * MINUTE).await;

    assert_eq!(feed.app.number("SELECT count(*) FROM deliveries WHERE sink = 'feed' AND state = 'applied'").await, 12);
    assert_eq!((feed.calls(Operation::Acknowledge), feed.calls(Operation::UpdateStatus)), (12, 12));
    assert!(feed.calls(Operation::List) <= 2, "one of each process");
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_person_who_looked_there_ends_a_doubt_either_way_and_the_ship_time_stays() {
    for stands in [true, false] {
        let mut feed = Feed::start().await;
        feed.acknowledged("A-1").await;
        let fault = if stands { cut_after() } else { status(500) };
        feed.there.answer_next_to(Operation::UpdateStatus, [fault, status(409)]);
        feed.passes(70 * MINUTE).await;
        feed.assert_stands("A-1", "in_doubt", "maybe_applied").await;

        let (sink, ids) = (SinkName::parse(FEED).expect("a valid name"), ["A-1".to_owned()]);
        let named = Named { sink: &sink, source: None, order_ids: &ids };
        let (pool, offset) = (&feed.app.pool, feed.app.clock.offset_ms());
        let done = if stands {
            operations::adopt(pool, named, &feed.counterpart("A-1").id, PERSON, offset).await
        } else {
            operations::retry(pool, named, PERSON, offset).await
        };
        assert_eq!(done.expect("a person may say so").len(), 1);
        feed.dispatch().await;

        feed.assert_stands("A-1", "applied", "").await;
        assert_eq!(feed.counterpart("A-1").state(), OrderState::Shipped);
        let bodies = feed.bodies(Operation::UpdateStatus);
        assert_eq!(bodies.len(), if stands { 2 } else { 3 });
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
        feed.assert_no_wrong();
    }
}

const PERSON: Operator<'_> = Operator { who: "ada", why: None };
