//! G3: an effect is never had twice. A webhook is safe to repeat as long as a repeat is one: the same key and the same
//! bytes, whoever sends it and however late. What must not be repeated at all is written down before it is sent, and
//! looked up when its answer is missing: so a kitchen never cooks an order twice. See also `spoton::seeds`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use scoffable_sync::{
    domain::delivery::{Plan, Receipt, Repeat, Step},
    simulator::{
        faults::{Fault, cut_after, cut_before, plainly, slow, status, truncated},
        spoton::{Operation, RepeatedCancel},
        webhook::Received,
    },
    sinks::{Answer, Doubt, Finding, LookedUp, Sink, View},
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{SOURCE, TestApp, order, order_of},
    pos::Case,
    puppet::drive,
};

const A_WHILE: Duration = Duration::from_hours(2);

/// Version, key and bytes of each request of the order.
fn requests(app: &TestApp, order_id: &str) -> Vec<(i64, String, Vec<u8>)> {
    let of_order = |received: &Received| received.order.order_id == order_id;
    let all = app.webhook.received();
    all.iter().filter(|r| of_order(r)).map(|r| (r.version, r.key.clone(), r.body.to_vec())).collect()
}

/// What was sent first was sent again, and had one effect.
fn assert_repeated_once(app: &TestApp, order_id: &str) {
    let requests = requests(app, order_id);
    assert_eq!(requests.len(), 2, "{requests:?}");
    assert_eq!(requests[0], requests[1], "a repeat has the key and the bytes of the first");
    assert_eq!(app.applied(order_id).len(), 1);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_key_with_the_same_bytes() {
    let faults: [(&str, Fault); 3] = [
        ("cut", cut_after()),
        ("error", status(502).after_the_effect()),
        ("request timeout", status(408).after_the_effect()),
    ];
    for (name, fault) in faults {
        let mut app = TestApp::start().await;
        app.webhook.answer_next([fault]);

        app.arrives(&order("A-1", 1, "accepted")).await;
        app.run_to_rest().await;

        assert_eq!(app.outcomes("A-1").await, ["unknown", "delivered"], "{name}");
        assert_repeated_once(&app, "A-1");
    }
}

#[tokio::test]
async fn a_yes_whose_text_is_lost_is_a_yes() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([truncated()]);

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!(requests(&app, "A-1").len(), 1);
    assert_eq!(app.delivery("A-1").await.state, "applied");
}

#[tokio::test]
async fn another_process_repeats_hours_later_what_the_first_one_sent() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after()]);
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.restart().await;
    app.advance(A_WHILE);
    app.run_to_rest().await;

    assert_repeated_once(&app, "A-1");
}

#[tokio::test]
async fn a_process_lost_between_the_effect_and_its_record_leaves_a_repeat_to_the_next() {
    let mut app = TestApp::start().await;
    app.publish(&order("A-1", 1, "accepted"));
    app.poll().await;
    app.webhook.answer_next([slow(Duration::from_mins(1))]);

    let had_effect = |ledger: &scoffable_sync::simulator::ledger::Ledger| !ledger.applied(SOURCE, "A-1").is_empty();
    tokio::select! {
        ended = app.dispatchers[0].tick() => panic!("it hears no answer: {ended:?}"),
        done = app.webhook.wait_until(had_effect, Duration::from_secs(20)) => done.expect("it is sent"),
    }
    let gone = |ledger: &scoffable_sync::simulator::ledger::Ledger| ledger.running(SOURCE, "A-1") == 0;
    app.webhook.wait_until(gone, Duration::from_secs(20)).await.expect("its connection went with it");
    app.restart().await;
    assert_eq!(app.dispatch().await, 0, "the lease holds");
    app.advance(A_WHILE);
    app.dispatch().await;

    assert_eq!(app.outcomes("A-1").await, ["lease_expired", "delivered"]);
    assert_repeated_once(&app, "A-1");
}

#[tokio::test]
async fn what_never_arrived_is_sent_again_and_has_its_one_effect() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_before(), status(503)]);

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_newer_version_after_a_lost_answer_goes_under_a_key_of_its_own() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after()]);

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;
    app.run_to_rest().await;

    let requests = requests(&app, "A-1");
    assert_eq!(requests.iter().map(|(version, ..)| *version).collect::<Vec<_>>(), [1, 2]);
    assert_ne!(requests[0].1, requests[1].1);
    assert_eq!(app.applied("A-1"), [1, 2]);
    app.assert_no_violation();
}

#[tokio::test]
async fn in_turn_a_lost_answer_is_settled_before_the_next_version_is_sent() {
    let mut app = TestApp::setup().with("sinks.hook.versions", "every").start().await;
    app.webhook.answer_next([cut_after()]);

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;
    app.run_to_rest().await;

    let requests = requests(&app, "A-1");
    assert_eq!(requests.iter().map(|(version, ..)| *version).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(requests[0], requests[1]);
    assert_eq!(app.applied("A-1"), [1, 2]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_cancellation_after_a_lost_answer_is_owed_because_the_order_may_stand() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after()]);

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 2, "cancelled")).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1, 2]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_repeat_is_unchanged_although_the_stream_shows_the_version_otherwise_by_then() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after()]);
    app.arrives(&order("A-1", 1, "accepted")).await;

    // The same version again, as of a page read twice, which is no longer the latest.
    let mut again: Value = order("A-1", 1, "accepted");
    again["latestVersion"] = false.into();
    app.publish(&again);
    app.poll().await;
    app.restart().await;
    app.run_to_rest().await;

    assert_repeated_once(&app, "A-1");
}

/// Not repeatable, and its adapter breaks right after the effect.
#[derive(Default)]
struct Breaking {
    sent: AtomicUsize,
}

impl Sink for Breaking {
    fn kind(&self) -> &'static str {
        "breaking"
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        Plan::Send(Step {
            name: "submit".to_owned(),
            key: format!("ref-{}", view.version),
            body: view.payload.to_owned(),
            repeat: Repeat::Never,
            completes: true,
            receipt: None,
        })
    }

    fn send<'a>(&'a self, _: &'a Step, _: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { panic!("the adapter breaks after the effect") })
    }

    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], _: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        let there = |step: &Step| Receipt { external_id: Some(format!("there-{}", step.key)), ..Receipt::default() };
        let findings = doubts.iter().map(|doubt| Finding::Stands(there(doubt.step))).collect();
        Box::pin(std::future::ready(LookedUp::of(findings, 1)))
    }
}

#[tokio::test]
async fn a_step_that_must_not_be_repeated_is_looked_up_after_its_adapter_broke() {
    let mut app = TestApp::start().await;
    let sink = Arc::new(Breaking::default());
    drive(&mut app, Arc::clone(&sink) as Arc<dyn Sink>);

    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(app.delivery("A-1").await.state, "in_doubt", "nobody knows what became of it");
    app.advance(app.settings.delivery.lease);
    app.dispatch().await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.external_id.as_deref()), ("applied", Some("there-ref-1")));
    assert_eq!(sink.sent.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_order_that_two_processes_bring_is_cooked_once() {
    let mut case = Case::usual().await;
    let mut other = case.app.another_process().await.dispatchers;
    for n in 0..20 {
        case.app.publish(&order(&n.to_string(), 1, "accepted"));
    }
    case.app.poll().await;

    for _ in 0..20 {
        let (one, another) = tokio::join!(case.app.dispatchers[0].tick(), other[0].tick());
        one.and(another).expect("the database answers");
    }

    for n in 0..20 {
        assert_eq!(case.tickets(&n.to_string()), (1, 1));
    }
    case.assert_nothing_wrong();
}

/// Ways in which an answer is lost after the effect.
fn lost_answers(never: &CancellationToken) -> [Fault; 3] {
    [plainly().answered_when(never), status(500).after_the_effect(), cut_after()]
}

#[tokio::test]
async fn an_order_is_not_cooked_twice_when_the_answer_to_its_submit_or_its_cancel_is_lost() {
    let never = CancellationToken::new();
    for repeated in [RepeatedCancel::Fails(409), RepeatedCancel::Fails(400), RepeatedCancel::Succeeds] {
        let mut case = Case::start(|setup| setup.with("sinks.pos.request_timeout", "300ms")).await;
        case.sim.change_rules(|rules| rules.repeated_cancel = repeated);
        for (n, fault) in lost_answers(&never).into_iter().enumerate() {
            let id = n.to_string();
            case.sim.answer_next_to(Operation::Submit, [fault.clone()]);
            case.arrives(&order(&id, 1, "accepted")).await;
            assert_eq!(case.state(&id).await.0, "in_doubt", "{fault:?}");
            case.app.run_to_rest().await;
            assert_eq!((case.state(&id).await.0.as_str(), case.tickets(&id)), ("applied", (1, 1)), "{fault:?}");

            case.sim.answer_next_to(Operation::Cancel, [fault.clone()]);
            case.arrives(&order(&id, 2, "cancelled")).await;
            case.app.run_to_rest().await;
            assert_eq!((case.state(&id).await.0.as_str(), case.tickets(&id)), ("applied", (1, 0)), "{fault:?}");
        }
        case.assert_nothing_wrong();
    }
}

/// Cause: the cancel was taken to be safe to plan away, and an order that was cancelled passed for standing.
#[tokio::test]
async fn an_order_accepted_again_while_its_cancel_is_in_doubt_is_cooked_again_once_the_cancel_is_certain() {
    let mut case = Case::usual().await;
    case.arrives(&order("71", 1, "accepted")).await;
    case.sim.answer_next_to(Operation::Cancel, [cut_after()]);

    case.arrives(&order("71", 2, "cancelled")).await;
    assert_eq!(case.state("71").await.0, "in_doubt");
    case.arrives(&order("71", 3, "accepted")).await;
    case.app.run_to_rest().await;

    assert_eq!((case.state("71").await.0.as_str(), case.tickets("71")), ("applied", (2, 1)));
    case.assert_nothing_wrong();
}
