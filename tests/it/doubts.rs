//! Steps that must not be repeated: what is written down, looked up, proven, repeated within a key's trust, and left to a
//! person. With a destination in the test's hand.

use std::{sync::Arc, time::Duration};

use scoffable_sync::{
    domain::delivery::{Outcome, Plan, Reason, Receipt, Repeat, Sent, WaitingFor},
    sinks::{Finding, GroupAnswer},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{TestApp, order, order_of},
    puppet::{Call, Puppet, drive},
};

const LOST: Outcome = Outcome::Unknown { reason: Reason::Timeout };

async fn app_with(puppet: Puppet) -> (TestApp, Arc<Puppet>) {
    let mut app = TestApp::start().await;
    let puppet = Arc::new(puppet);
    drive(&mut app, Arc::clone(&puppet) as _);
    (app, puppet)
}

fn send(key: &str) -> Call {
    Call::Send(key.to_owned())
}

fn look_up(keys: &[&str]) -> Call {
    Call::LookUp(keys.iter().map(|key| (*key).to_owned()).collect())
}

fn group(keys: &[&str]) -> Call {
    Call::Group(keys.iter().map(|key| (*key).to_owned()).collect())
}

fn unreachable() -> Outcome {
    Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None }
}

async fn pending_step(app: &TestApp) -> Option<Value> {
    sqlx::query_scalar("SELECT pending_step FROM deliveries WHERE order_id = 'A-1'").fetch_one(&app.pool).await.unwrap()
}

#[tokio::test]
async fn what_was_found_counts_as_the_version_that_was_sent_and_a_newer_one_stays_owed() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.answers(LOST);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 2, "cancelled")).await;
    assert_eq!(puppet.calls(), [send("A-1-1")], "everything later waits");

    app.advance(Duration::from_secs(10));
    app.dispatch().await;

    assert_eq!(puppet.calls(), [send("A-1-1"), look_up(&["A-1-1"]), send("A-1-2")]);
    let outcomes = app.outcomes("A-1").await;
    assert_eq!(outcomes, ["unknown", "found", "delivered"]);
    let versions = "SELECT string_agg(version::text, ',' ORDER BY id) FROM attempts";
    assert_eq!(app.text(versions).await.as_deref(), Some("1,1,2"));
}

#[tokio::test]
async fn a_worker_that_died_while_it_looked_up_makes_no_newer_version_stand_there() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.answers(LOST);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-1", 2, "cancelled")).await;
    app.advance(Duration::from_secs(10));
    // It claimed the doubt, and was never heard of again.
    app.run(
        "UPDATE deliveries SET state = 'in_flight', lease_token = gen_random_uuid(), lease_owner = 'gone',
                lease_expires_at = now() + interval '20 seconds', attempts = attempts + 1",
    )
    .await;
    app.advance(Duration::from_mins(1));

    app.dispatch().await;

    assert_eq!(app.outcomes("A-1").await, ["unknown", "lease_expired", "found", "delivered"]);
    assert_eq!(app.delivery("A-1").await.applied, Some(2));
    assert_eq!(puppet.calls().last(), Some(&send("A-1-2")), "the cancellation is sent");
}

#[tokio::test]
async fn a_step_is_written_down_with_its_bytes_version_and_time_before_it_is_sent() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.answers(LOST);

    app.arrives(&order("A-1", 1, "accepted")).await;

    let stored = pending_step(&app).await.expect("it stands there");
    assert_eq!((&stored["key"], &stored["version"], &stored["name"]), (&"A-1-1".into(), &1.into(), &"submit".into()));
    assert!(stored["body"].as_str().is_some_and(|body| body.contains("Lamb Kofta")));
    assert_eq!(stored["first_sent_at"], stored["last_sent_at"]);
    assert!(stored["first_sent_at"].is_string());
}

#[tokio::test]
async fn absence_is_concluded_only_after_lease_timeout_and_lag_and_then_it_is_planned_anew() {
    let mut puppet = Puppet::new(Repeat::Never);
    puppet.visible_after = Some(Duration::from_secs(20)); // 30 s lease + 15 s timeout + 20 s
    let (mut app, puppet) = app_with(puppet).await;
    puppet.answers(LOST);
    (0..3).for_each(|_| puppet.finds(Finding::NotFound));
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.stores(&order_of("A-1", 2, "accepted", 900)).await;

    app.advance(Duration::from_secs(10));
    app.dispatch().await;
    app.advance(Duration::from_secs(50)); // at one minute
    app.dispatch().await;
    assert_eq!(puppet.calls(), [send("A-1-1"), look_up(&["A-1-1"]), look_up(&["A-1-1"])]);
    assert_eq!(app.delivery("A-1").await.state, "in_doubt");
    app.advance(Duration::from_secs(5)); // at 65 s
    app.dispatch().await;

    assert_eq!(puppet.calls().last(), Some(&send("A-1-2")), "the newest one, as nothing stands there");
    assert_eq!(app.outcomes("A-1").await, ["unknown", "not_found", "not_found", "absent", "delivered"]);
    assert_eq!(app.delivery("A-1").await.state, "applied");
}

#[tokio::test]
async fn a_cancellation_of_what_was_proven_absent_is_not_sent() {
    let mut puppet = Puppet::new(Repeat::Never);
    puppet.visible_after = Some(Duration::ZERO);
    let (mut app, puppet) = app_with(puppet).await;
    puppet.answers(LOST);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-1", 2, "cancelled")).await;
    puppet.finds(Finding::NotFound);

    app.advance(Duration::from_mins(1));
    app.dispatch().await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("skipped", Some("cancelled_before_sent")));
    assert_eq!(puppet.calls(), [send("A-1-1"), look_up(&["A-1-1"])]);
}

#[tokio::test]
async fn where_absence_proves_nothing_a_person_is_called_after_the_last_look() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.answers(LOST);
    (0..10).for_each(|_| puppet.finds(Finding::NotFound));
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(Duration::from_secs(10));

    app.run_to_rest().await;

    assert_eq!(puppet.calls().len(), 1 + 4, "one look at each time of the schedule");
    let delivery = app.delivery("A-1").await;
    assert_eq!(delivery.state, "in_doubt");
    assert!(delivery.hint.is_some_and(|hint| hint.contains("adopt")));
    let alerts = "SELECT count(*) FROM alerts WHERE cause = 'dead_letter' AND resolved_at IS NULL";
    assert_eq!(app.number(alerts).await, 1, "somebody is told");
    app.advance(Duration::from_hours(100));
    assert_eq!(app.dispatch().await, 0, "it is left to a person");
}

#[tokio::test]
async fn a_destination_that_is_down_is_asked_for_as_long_as_it_takes() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.answers(LOST);
    (0..6).for_each(|_| puppet.finds(Finding::Failed(unreachable().into())));
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.run_to_rest().await;

    assert_eq!(app.delivery("A-1").await.state, "applied");
    assert_eq!(puppet.calls().iter().filter(|call| matches!(call, Call::Send(_))).count(), 1);
}

#[tokio::test]
async fn a_503_that_names_a_time_is_a_doubt_and_no_repeat() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    let asked = Some(Duration::from_mins(2));
    puppet.answers(Outcome::Retry { reason: Reason::ServerError, sent: Sent::Possibly, not_before: asked });

    app.arrives(&order("A-1", 1, "accepted")).await;
    let delivery = app.delivery("A-1").await;
    app.run_to_rest().await;

    assert_eq!(delivery.state, "in_doubt");
    assert!(delivery.due_in > Duration::from_secs(115), "{:?}", delivery.due_in);
    assert_eq!(puppet.calls(), [send("A-1-1"), look_up(&["A-1-1"])]);
}

#[tokio::test]
async fn a_step_that_certainly_never_left_is_simply_sent_again() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.answers(unreachable());

    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(pending_step(&app).await, None);
    app.run_to_rest().await;

    assert_eq!(puppet.calls(), [send("A-1-1"), send("A-1-1")]);
    assert_eq!(app.delivery("A-1").await.state, "applied");
}

#[tokio::test]
async fn doubts_of_one_lane_share_a_look_up() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    for id in ["A-1", "A-2", "A-3"] {
        puppet.answers(LOST);
        app.arrives(&order(id, 1, "accepted")).await;
    }

    app.advance(Duration::from_secs(12));
    app.dispatch().await;

    assert_eq!(puppet.calls().last(), Some(&look_up(&["A-1-1", "A-2-1", "A-3-1"])));
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 3);
}

#[tokio::test]
async fn a_doubt_that_is_given_back_unlooked_stays_a_doubt() {
    let mut app = TestApp::setup().with("sinks.hook.concurrency", "1").start().await;
    let puppet = Arc::new(Puppet::new(Repeat::Never));
    drive(&mut app, Arc::clone(&puppet) as _);
    puppet.answers(LOST);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-2", 1, "accepted")).await;
    app.advance(Duration::from_secs(10));
    // Both are claimed, and the new order has the only slot when the process is told to stop.
    app.run("UPDATE deliveries SET next_attempt_at = now() - interval '1 hour' WHERE order_id = 'A-2'").await;
    puppet.waits();
    let drain = CancellationToken::new();
    let running = tokio::spawn(app.dispatchers.remove(0).run(drain.clone()));
    puppet.waiting.notified().await;
    drain.cancel();
    puppet.go_on.notify_one();
    running.await.expect("it drains");

    assert_eq!(app.delivery("A-1").await.state, "in_doubt");
    assert!(pending_step(&app).await.is_some(), "what was sent stays written down");
    drive(&mut app, Arc::clone(&puppet) as _);
    app.dispatch().await;
    assert_eq!(puppet.calls(), [send("A-1-1"), send("A-2-1"), look_up(&["A-1-1"])]);
}

#[tokio::test]
async fn of_a_claimed_batch_only_what_is_being_sent_is_written_down() {
    let mut app = TestApp::setup().with("sinks.hook.concurrency", "1").start().await;
    let puppet = Arc::new(Puppet::new(Repeat::Never));
    drive(&mut app, Arc::clone(&puppet) as _);
    for number in 0..10 {
        app.stores(&order(&format!("A-{number}"), 1, "accepted")).await;
    }
    puppet.waits();

    let running = tokio::spawn(app.dispatchers.remove(0).run(CancellationToken::new()));
    puppet.waiting.notified().await;
    running.abort(); // a kill, with the whole batch claimed and one order under way
    let _ = running.await;

    let in_flight = "SELECT count(*) FROM deliveries WHERE state = 'in_flight'";
    assert!(app.number(in_flight).await > 1, "a batch was claimed");
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE pending_step IS NOT NULL").await, 1, "one doubt");
    drive(&mut app, Arc::clone(&puppet) as _);
    app.advance(Duration::from_mins(1));
    app.run_to_rest().await;
    let sends = puppet.calls().into_iter().filter(|call| matches!(call, Call::Send(_))).count();
    assert_eq!(sends, 10, "each once");
}

// A key that the destination remembers for a while.

#[tokio::test]
async fn within_its_window_a_key_is_repeated_with_the_stored_bytes_although_a_newer_version_came() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Within(Duration::from_mins(5)))).await;
    puppet.answers(LOST);
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.stores(&order_of("A-1", 2, "accepted", 900)).await;

    app.advance(Duration::from_secs(10));
    app.dispatch().await;

    assert_eq!(puppet.calls(), [send("A-1-1"), send("A-1-1"), send("A-1-2")]);
    assert_eq!(app.delivery("A-1").await.applied, Some(2));
}

#[tokio::test]
async fn after_its_window_a_key_is_trusted_no_more() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Within(Duration::from_mins(5)))).await;
    puppet.answers(LOST);
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.advance(Duration::from_mins(5));
    app.dispatch().await;

    assert_eq!(puppet.calls(), [send("A-1-1"), look_up(&["A-1-1"])]);
}

#[tokio::test]
async fn a_repeat_that_is_refused_leaves_the_doubt_and_keeps_its_first_time() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Within(Duration::from_mins(2)))).await;
    puppet.answers(LOST);
    puppet.answers(Outcome::Reject { reason: Reason::Conflict });
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(Duration::from_secs(10));
    app.dispatch().await;

    let stored = pending_step(&app).await.expect("the doubt stands");
    assert_ne!(stored["first_sent_at"], stored["last_sent_at"]);
    app.advance(Duration::from_mins(2));
    app.run_to_rest().await;

    assert_eq!(puppet.calls(), [send("A-1-1"), send("A-1-1"), look_up(&["A-1-1"])]);
    assert_eq!(app.delivery("A-1").await.state, "applied");
}

// Several steps in one call.

async fn three_in_a_group(repeat: Repeat) -> (TestApp, Arc<Puppet>) {
    let mut puppet = Puppet::new(repeat);
    puppet.group_size = 25;
    let (mut app, puppet) = app_with(puppet).await;
    for id in ["A-1", "A-2", "A-3"] {
        app.stores(&order(id, 1, "accepted")).await;
    }
    (app, puppet)
}

/// In whatever order the members stood in the call.
fn sorted(call: Call) -> Call {
    match call {
        Call::Group(mut keys) => {
            keys.sort();
            Call::Group(keys)
        }
        Call::LookUp(mut keys) => {
            keys.sort();
            Call::LookUp(keys)
        }
        Call::Send(key) => Call::Send(key),
    }
}

#[tokio::test]
async fn like_steps_go_out_in_one_call_and_each_is_settled_by_its_own_answer() {
    let (mut app, puppet) = three_in_a_group(Repeat::Never).await;
    puppet.answers_group(GroupAnswer::Each(vec![
        Outcome::Delivered(Receipt::default()).into(),
        Outcome::Reject { reason: Reason::Unprocessable }.into(),
        Outcome::Delivered(Receipt::default()).into(),
    ]));

    app.dispatch().await;

    let calls: Vec<Call> = puppet.calls().into_iter().map(sorted).collect();
    assert_eq!(calls, [group(&["A-1-1", "A-2-1", "A-3-1"])]);
    let states = "SELECT string_agg(state, ',' ORDER BY state) FROM deliveries";
    assert_eq!(app.text(states).await.as_deref(), Some("applied,applied,parked"));
}

#[tokio::test]
async fn a_call_that_is_refused_as_a_whole_is_made_again_for_each() {
    let (mut app, puppet) = three_in_a_group(Repeat::Never).await;
    puppet.answers_group(GroupAnswer::RefusedWhole);
    puppet.answers(Outcome::Reject { reason: Reason::Unprocessable });

    app.dispatch().await;

    assert_eq!(puppet.calls().len(), 1 + 3);
    let states = "SELECT string_agg(state, ',' ORDER BY state) FROM deliveries";
    assert_eq!(app.text(states).await.as_deref(), Some("applied,applied,parked"));
}

#[tokio::test]
async fn a_group_without_an_answer_is_never_repeated_and_each_member_looked_up() {
    for answer in [GroupAnswer::Whole(LOST.into()), GroupAnswer::Each(Vec::new())] {
        let (mut app, puppet) = three_in_a_group(Repeat::Never).await;
        puppet.answers_group(answer);

        app.dispatch().await;
        let members = "SELECT count(DISTINCT pending_step #>> '{group,id}') * 10 + count(DISTINCT pending_step #>> '{group,position}')
                       FROM deliveries WHERE state = 'in_doubt' AND pending_step #>> '{group,size}' = '3'";
        assert_eq!(app.number(members).await, 13, "one group, three places");
        app.advance(Duration::from_secs(10));
        app.dispatch().await;

        assert_eq!(puppet.calls()[1..], [look_up(&["A-1-1", "A-2-1", "A-3-1"])]);
        assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 3);
    }
}

const WINDOW: Duration = Duration::from_mins(5);
const KEYS: [&str; 3] = ["A-1-1", "A-2-1", "A-3-1"];

/// Three deliveries whose one call got no answer.
async fn a_lost_group() -> (TestApp, Arc<Puppet>) {
    let (mut app, puppet) = three_in_a_group(Repeat::Within(WINDOW)).await;
    puppet.answers_group(GroupAnswer::Whole(LOST.into()));
    app.dispatch().await;
    (app, puppet)
}

/// The destination knows the key of the whole call, and none of a member alone. Cause: each member was looked up, and waited
/// for the proof that nothing stands, although the call could be repeated.
#[tokio::test]
async fn a_group_is_repeated_whole_and_as_it_was_while_its_key_is_trusted() {
    let (mut app, puppet) = a_lost_group().await;
    puppet.answers_group(GroupAnswer::Whole(LOST.into()));

    for _ in 0..2 {
        app.advance(Duration::from_mins(1));
        app.dispatch().await;
    }

    let calls = puppet.calls();
    assert_eq!((calls.len(), sorted(calls[0].clone())), (3, group(&KEYS)), "{calls:?}");
    assert!(calls.iter().all(|call| *call == calls[0]), "in the same order: {calls:?}");
    let open = app.number("SELECT count(*) FROM sink_lanes WHERE breaker <> 'closed'").await;
    assert_eq!(open, 0, "two calls failed, not six");
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 3);
}

#[tokio::test]
async fn a_group_whose_key_is_not_trusted_any_more_is_looked_up() {
    let (mut app, puppet) = a_lost_group().await;

    app.advance(WINDOW);
    app.dispatch().await;

    let calls: Vec<Call> = puppet.calls().into_iter().map(sorted).collect();
    assert_eq!(calls, [group(&KEYS), look_up(&KEYS)]);
}

#[tokio::test]
async fn of_a_group_that_is_not_whole_any_more_each_member_is_looked_up() {
    let (mut app, puppet) = a_lost_group().await;
    app.run("UPDATE deliveries SET next_attempt_at = next_attempt_at + interval '1 hour' WHERE order_id = 'A-2'").await;

    app.advance(Duration::from_secs(10));
    app.dispatch().await;

    let calls: Vec<Call> = puppet.calls().into_iter().map(sorted).collect();
    assert_eq!(calls, [group(&KEYS), look_up(&["A-1-1", "A-3-1"])]);
}

#[tokio::test]
async fn a_group_whose_repeat_is_refused_as_a_whole_is_looked_up() {
    let (mut app, puppet) = a_lost_group().await;
    puppet.answers_group(GroupAnswer::RefusedWhole);

    app.advance(Duration::from_secs(10));
    app.dispatch().await;

    let calls: Vec<Call> = puppet.calls().into_iter().map(sorted).collect();
    assert_eq!(calls, [group(&KEYS), group(&KEYS), look_up(&KEYS)]);
}

/// What went alone after its group was refused is known by its own key, and is never put together with the others again.
#[tokio::test]
async fn a_member_that_went_alone_is_repeated_alone() {
    let (mut app, puppet) = three_in_a_group(Repeat::Within(WINDOW)).await;
    puppet.answers_group(GroupAnswer::RefusedWhole);
    for _ in KEYS {
        puppet.answers(LOST);
    }
    app.dispatch().await;

    app.advance(Duration::from_secs(10));
    app.dispatch().await;

    let calls = puppet.calls();
    let alone = |key: &&str| calls[1..].iter().filter(|call| **call == send(key)).count();
    assert_eq!((calls.len(), KEYS.iter().map(alone).collect::<Vec<_>>()), (7, vec![2, 2, 2]), "{calls:?}");
}

#[tokio::test]
async fn of_a_group_one_member_that_lost_its_lease_is_not_sent_with_the_others() {
    let (mut app, puppet) = three_in_a_group(Repeat::Never).await;
    // Between the claim and the intent another process takes one over.
    app.run(
        "CREATE FUNCTION take_over() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN
             IF NEW.order_id = 'A-2' AND NEW.state = 'in_flight' AND OLD.state = 'pending' THEN
                 NEW.lease_token = gen_random_uuid();
             END IF;
             RETURN NEW;
         END $$",
    )
    .await;
    app.run("CREATE TRIGGER take_over BEFORE UPDATE ON deliveries FOR EACH ROW EXECUTE FUNCTION take_over()").await;

    app.dispatch().await;

    let calls: Vec<Call> = puppet.calls().into_iter().map(sorted).collect();
    assert_eq!(calls, [group(&["A-1-1", "A-3-1"])]);
    assert_eq!(app.delivery("A-2").await.state, "in_flight", "the other process has it");
}

// One repeat, and then a person.

#[tokio::test]
async fn a_step_that_may_be_repeated_once_is_and_a_second_loss_or_refusal_is_a_persons() {
    for (second, state, reason) in [
        (None, "applied", None),
        (Some(LOST), "in_doubt", Some("maybe_applied")),
        (Some(Outcome::Reject { reason: Reason::Conflict }), "in_doubt", Some("maybe_applied")),
    ] {
        let (mut app, puppet) = app_with(Puppet::new(Repeat::Once)).await;
        puppet.answers(LOST);
        if let Some(outcome) = second {
            puppet.answers(outcome);
        }

        app.arrives(&order("A-1", 1, "accepted")).await;
        assert_eq!(app.delivery("A-1").await.reason.as_deref(), Some("no_answer"));
        app.run_to_rest().await;

        let delivery = app.delivery("A-1").await;
        assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), (state, reason));
        assert_eq!(puppet.calls(), [send("A-1-1"), send("A-1-1")]);
    }
}

// What comes before a plan, and what never comes back.

#[tokio::test]
async fn what_a_plan_notes_stands_in_the_receipt_before_anything_is_sent() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    let noted =
        Receipt { receipt: Some(json!({"noted": 1})), external_id: Some("there".to_owned()), ..Receipt::default() };
    puppet.plans(Plan::Note(noted));
    puppet.plans(Plan::wait(Duration::from_mins(1), WaitingFor::Shipment));

    app.arrives(&order("A-1", 1, "accepted")).await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.external_id.as_deref(), delivery.attempts), (Some("there"), 0));
    assert_eq!(app.text("SELECT receipt::text FROM deliveries").await.as_deref(), Some("{\"noted\": 1}"));
    assert_eq!((delivery.waiting_for.as_deref(), puppet.calls().len()), (Some("shipment"), 0));
    app.run_to_rest().await;
    assert_eq!(puppet.calls(), [send("A-1-1")]);
}

#[tokio::test]
async fn a_shared_read_that_goes_well_closes_the_breaker_although_nothing_is_sent() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.is_not_prepared(Outcome::Blocked { reason: Reason::Misconfigured });
    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(app.text("SELECT state FROM sinks").await.as_deref(), Some("blocked"));
    puppet.plans(Plan::Unread);
    puppet.plans(Plan::wait(Duration::from_mins(1), WaitingFor::Counterpart));

    app.advance(Duration::from_secs(31));
    app.dispatch().await;

    assert_eq!(app.text("SELECT state FROM sinks").await.as_deref(), Some("active"));
    assert_eq!(puppet.calls(), []);
}

#[tokio::test]
async fn what_was_told_before_is_no_failed_probe_and_the_next_comes_when_it_may() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.is_not_prepared(Outcome::Blocked { reason: Reason::Misconfigured });
    app.arrives(&order("A-1", 1, "accepted")).await;
    let told =
        Outcome::Retry { reason: Reason::ServerError, sent: Sent::No, not_before: Some(Duration::from_secs(20)) };
    puppet.is_told_again(told);

    app.advance(Duration::from_secs(31));
    app.dispatch().await;
    app.advance(Duration::from_secs(19));
    app.dispatch().await;
    assert_eq!(puppet.calls(), []);
    app.advance(Duration::from_secs(1));
    app.dispatch().await;

    assert_eq!(puppet.calls(), [send("A-1-1")]);
}

#[tokio::test]
async fn a_shared_read_that_fails_for_many_orders_failed_once() {
    let mut puppet = Puppet::new(Repeat::Never);
    puppet.group_size = 10;
    let (mut app, puppet) = app_with(puppet).await;
    puppet.is_not_prepared(unreachable());
    for n in 0..10 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }

    app.dispatch().await;

    assert_eq!(app.text("SELECT breaker FROM sinks").await.as_deref(), Some("closed"));
}

#[tokio::test]
async fn what_cannot_be_prepared_is_tried_again_and_nothing_is_sent_meanwhile() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.is_not_prepared(unreachable());

    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!((app.delivery("A-1").await.state.as_str(), puppet.calls().len()), ("pending", 0));
    app.run_to_rest().await;

    assert_eq!(puppet.calls(), [send("A-1-1")]);
}

#[tokio::test]
async fn a_read_that_was_lost_has_sent_nothing_so_no_cancellation_is_owed() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    puppet.is_not_prepared(LOST);
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.stores(&order("A-1", 2, "cancelled")).await;
    app.run_to_rest().await;

    assert_eq!(app.delivery("A-1").await.reason.as_deref(), Some("cancelled_before_sent"));
    assert_eq!(puppet.calls(), []);
}

#[tokio::test]
async fn an_order_that_takes_its_worker_with_it_again_and_again_is_given_up() {
    let (mut app, puppet) = app_with(Puppet::new(Repeat::Never)).await;
    app.stores(&order("A-1", 1, "accepted")).await;
    for hours in [0, 71] {
        app.advance(Duration::from_hours(hours));
        app.run(
            "UPDATE deliveries SET state = 'in_flight', lease_token = gen_random_uuid(), lease_owner = 'gone',
                    attempts = attempts + 1, lease_expires_at = now() + interval '1 second'",
        )
        .await;
        if hours == 0 {
            // The first loss is seen, and the worker that sees it is lost as well.
            puppet.answers(unreachable());
            app.advance(Duration::from_secs(2));
            app.dispatch().await;
        }
    }
    app.advance(Duration::from_hours(2));

    app.dispatch().await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("parked", Some("gave_up")));
}
