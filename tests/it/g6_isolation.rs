//! G6: one bad order never holds up another, one sick sink never holds up another sink or the stream.

use std::time::Duration;

use scoffable_sync::{
    clock::Clock,
    simulator::{
        faults::{plainly, status},
        spoton::{Ledger, Operation},
    },
};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{PATIENCE, SOURCE, Setup, TestApp, order, receiver},
    pos::{Case, HOME, POS, of_vendor},
};

#[tokio::test]
async fn a_refused_order_holds_up_no_other() {
    let mut app = TestApp::start().await;
    for id in ["A-1", "A-2", "A-3"] {
        app.stores(&order(id, 1, "accepted")).await;
    }
    app.webhook.answer_next([status(422), plainly(), plainly()]);

    app.dispatch().await;

    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 2);
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'parked'").await, 1);
}

#[tokio::test]
async fn a_stored_order_that_cannot_be_read_holds_up_no_other() {
    let mut app = TestApp::start().await;
    for id in ["A-1", "A-2"] {
        app.stores(&order(id, 1, "accepted")).await;
    }
    app.run("UPDATE order_versions SET payload = 'no order at all' WHERE order_id = 'A-1'").await;

    app.dispatch().await;

    assert_eq!(app.delivery("A-1").await.reason.as_deref(), Some("undecodable_order"));
    assert_eq!(app.applied("A-2"), [1]);
}

#[tokio::test]
async fn an_order_without_its_content_is_parked_and_holds_up_no_other() {
    let mut app = TestApp::start().await;
    for id in ["A-1", "A-2"] {
        app.stores(&order(id, 1, "accepted")).await;
    }
    app.run("UPDATE order_versions SET payload = NULL WHERE order_id = 'A-1'").await;

    app.dispatch().await;

    assert_eq!(app.delivery("A-1").await.reason.as_deref(), Some("payload_removed"));
    assert_eq!(app.applied("A-2"), [1]);
}

#[tokio::test]
async fn an_outcome_that_can_never_be_recorded_holds_up_no_other() {
    let mut app = TestApp::start().await;
    app.run("ALTER TABLE attempts ADD CHECK (order_id <> 'A-1')").await;
    app.run("ALTER TABLE deliveries ADD CHECK (order_id <> 'A-1' OR state <> 'applied')").await;
    let drain = CancellationToken::new();
    let dispatcher = tokio::spawn(app.dispatchers.remove(0).run(drain.clone()));

    for n in 1..=4 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }

    let wait = async {
        while app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the others are settled");
    dispatcher.abort();
}

#[tokio::test]
async fn a_sink_that_is_down_does_not_keep_another_from_its_orders() {
    let clock = Clock::default();
    let healthy = receiver(&clock).await;
    let mut app = Setup::on(&clock).with_receiver("healthy", &healthy).start().await;
    app.webhook.answer_next((0..100).map(|_| status(503)));

    for n in 1..=20 {
        app.arrives(&order(&format!("A-{n}"), 1, "accepted")).await;
    }

    assert_eq!(healthy.ledger().n_applied(), 20);
    assert_eq!(app.webhook.ledger().n_applied(), 0);
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 20, "nor the stream");
}

#[tokio::test]
async fn a_sink_that_never_answers_does_not_keep_another_from_its_orders() {
    let clock = Clock::default();
    let healthy = receiver(&clock).await;
    let mut app = Setup::on(&clock).with_receiver("healthy", &healthy).start().await;
    let never = CancellationToken::new();
    app.webhook.answer_next((0..100).map(|_| plainly().answered_when(&never)));
    let drain = CancellationToken::new();
    let loops: Vec<_> =
        app.dispatchers.drain(..).map(|dispatcher| tokio::spawn(dispatcher.run(drain.clone()))).collect();

    for n in 1..=20 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }
    let done = healthy.wait_until(|ledger| ledger.n_applied() == 20, PATIENCE).await;

    done.expect("the other sink has all orders");
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE sink = 'hook' AND state = 'applied'").await, 0);
    for one in loops {
        one.abort();
    }
}

#[tokio::test]
async fn an_order_parked_in_one_sink_is_applied_in_another() {
    let clock = Clock::default();
    let other = receiver(&clock).await;
    let mut app = Setup::on(&clock).with_receiver("other", &other).start().await;
    app.webhook.answer_next([status(422)]);

    app.arrives(&order("A-1", 1, "accepted")).await;

    assert_eq!(app.delivery("A-1").await.state, "parked");
    assert_eq!(other.ledger().applied(SOURCE, "A-1").len(), 1);
}

#[tokio::test]
async fn a_restaurant_that_is_refused_holds_up_no_other_and_no_other_sink() {
    let clock = Clock::default();
    let healthy = receiver(&clock).await;
    let setup = Setup::on(&clock).with_receiver("healthy", &healthy);
    let mut case = Case::beside(setup, |setup| setup).await;
    case.sim.close_location(HOME);

    for n in 0..3 {
        case.arrives(&of_vendor(&format!("A-{n}"), "vendor-a")).await;
        case.arrives(&of_vendor(&format!("B-{n}"), "vendor-b")).await;
    }

    for n in 0..3 {
        assert_eq!(case.state(&format!("B-{n}")).await.0, "applied");
        let waiting = case.app.delivery_at(POS, &format!("A-{n}")).await;
        assert_eq!((waiting.state.as_str(), waiting.attempts), ("pending", 0), "it costs no attempt");
    }
    assert_eq!(healthy.ledger().n_applied(), 6);
    assert_eq!(case.alerts().await, [("blocked".to_owned(), format!("pos/{HOME}"), 1)]);
    let hint = case.app.text("SELECT hint FROM sinks WHERE name = 'pos'").await.expect("it says what to do");
    assert!(hint.contains(HOME) && hint.contains("scopes"), "{hint}");
    case.sim.reopen_location(HOME);
    case.app.run_to_rest().await;
    for n in 0..3 {
        assert_eq!(case.state(&format!("A-{n}")).await.0, "applied");
    }
    assert_eq!(case.alerts().await, []);
    case.assert_nothing_wrong();
}

#[tokio::test]
async fn a_restaurant_that_never_answers_holds_up_no_other_and_no_other_sink() {
    let clock = Clock::default();
    let healthy = receiver(&clock).await;
    let setup = Setup::on(&clock).with_receiver("healthy", &healthy);
    let mut case = Case::beside(setup, |setup| setup).await;
    let never = CancellationToken::new();
    case.sim.answer_next_to(Operation::Submit, [plainly().answered_when(&never)]);
    let is_waiting = |ledger: &Ledger| ledger.running("A-1") == 1;
    let drain = CancellationToken::new();
    let loops: Vec<_> =
        case.app.dispatchers.drain(..).map(|dispatcher| tokio::spawn(dispatcher.run(drain.clone()))).collect();
    case.app.stores(&of_vendor("A-1", "vendor-a")).await;
    case.sim.wait_until(is_waiting, PATIENCE).await.expect("the first one waits for its answer");

    for n in 1..=5 {
        case.app.stores(&of_vendor(&format!("B-{n}"), "vendor-b")).await;
    }

    let all_stand = |ledger: &Ledger| (1..=5).all(|n| ledger.tickets(&format!("B-{n}")) == 1);
    case.sim.wait_until(all_stand, PATIENCE).await.expect("the other restaurant has its orders");
    healthy.wait_until(|ledger| ledger.n_applied() == 6, PATIENCE).await.expect("the other sink has all of them");
    assert_eq!(case.sim.ledger().running("A-1"), 1, "and the first one still waits");
    for one in loops {
        one.abort();
    }
}
