//! GoDataFeed's sink behind a webhook that inserts the orders: what it sends, when, and what it does about lost answers.

mod declined;
mod doubts;
mod tokens;

use std::{ops::Deref, time::Duration};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args as _, Command, FromArgMatches as _};
use scoffable_sync::{
    cli::{self, config::Form, plan::PlanArgs},
    clock::Clock,
    domain::ids::SinkName,
    simulator::{
        faults::{Answer, answer, cut_after, redirect, status},
        godatafeed::{
            Api, BUYER, Counterpart, GoDataFeedOptions, GoDataFeedSim, Import, Oddity, Operation, OrderState,
            error_inside,
        },
    },
    store::{
        operations::{Named, Operator},
        replay,
    },
};
use serde_json::{Value, json};

use crate::{
    g10_discreet::whole_database,
    harness::{
        app::{Delivery, Setup, TestApp, order},
        log,
        recorder::Recorder,
    },
};

const FEED: &str = "feed";
const MINUTE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_mins(5);

/// The sink with its simulator and, before it, the webhook.
struct Feed {
    app: TestApp,
    there: GoDataFeedSim,
}

/// What a test wants otherwise than usual.
struct Wish {
    options: GoDataFeedOptions,
    setup: Setup,
}

fn feed() -> Wish {
    let clock = Clock::default();
    let setup = Setup::on(&clock)
        .with("sinks.feed.kind", "godatafeed")
        .with("sinks.feed.after", "hook")
        .with("sinks.feed.token", "gdf-token")
        .with("sinks.feed.templates_confirmed", "true")
        .with("sinks.feed.channel_name", "Scoffable");
    Wish { options: GoDataFeedOptions { clock, ..GoDataFeedOptions::default() }, setup }
}

impl Wish {
    fn with(self, key: &str, value: &str) -> Self {
        Self { setup: self.setup.with(&format!("sinks.feed.{key}"), value), ..self }
    }

    fn without(self, key: &str) -> Self {
        Self { setup: self.setup.without(&format!("sinks.feed.{key}")), ..self }
    }

    fn of(mut self, change: impl FnOnce(&mut GoDataFeedOptions)) -> Self {
        change(&mut self.options);
        self
    }

    async fn start(self) -> Feed {
        let there = GoDataFeedSim::start(self.options).await.expect("a loopback port is free");
        let app = self.setup.with("sinks.feed.base_url", &there.url()).start().await;
        Feed { app, there }
    }
}

impl Deref for Feed {
    type Target = TestApp;
    fn deref(&self) -> &TestApp {
        &self.app
    }
}

impl Feed {
    async fn start() -> Self {
        feed().start().await
    }

    fn now(&self) -> DateTime<Utc> {
        self.app.clock.wall()
    }

    fn instant(&self) -> String {
        self.now().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// A version that is accepted now.
    fn accepted(&self, id: &str, version: i64) -> Value {
        let mut order = order(id, version, "accepted");
        order["placedAt"] = json!((self.now() - TimeDelta::minutes(2)).to_rfc3339_opts(SecondsFormat::Millis, true));
        order["acceptedAt"] = json!(self.instant());
        order
    }

    /// The same order a version later, otherwise.
    fn after(order: &Value, change: impl FnOnce(&mut Value)) -> Value {
        let mut order = order.clone();
        order["version"] = json!(order["version"].as_i64().expect("a number") + 1);
        change(&mut order);
        order
    }

    fn cancelled(order: &Value) -> Value {
        Self::after(order, |order| order["status"] = json!("cancelled"))
    }

    fn imported(&self, id: &str) -> String {
        self.imports(Import::of(id, self.now() - TimeDelta::minutes(2)))
    }

    fn imports(&self, import: Import) -> String {
        // Whole seconds, as marketplaces tell them.
        let secs = import.purchased_at.timestamp();
        let purchased_at = DateTime::from_timestamp(secs, 0).expect("a valid time");
        self.there.import(Import { purchased_at, ..import })
    }

    /// An order that is held there arrives and is acknowledged.
    async fn acknowledged(&mut self, id: &str) -> Value {
        // A list from before does not show it.
        self.app.advance(POLL);
        self.imported(id);
        let order = self.accepted(id, 1);
        self.app.arrives(&order).await;
        assert_eq!(self.counterpart(id).state(), OrderState::Acknowledged);
        order
    }

    async fn arrives(&mut self, order: &Value) {
        self.app.arrives(order).await;
    }

    async fn dispatch(&mut self) {
        self.app.dispatch().await;
    }

    /// Time goes by in steps that the loop notices.
    async fn passes(&mut self, time: Duration) {
        let step = MINUTE.min(time);
        let mut left = time;
        while !left.is_zero() {
            self.app.advance(step);
            left = left.saturating_sub(step);
            self.dispatch().await;
        }
    }

    fn counterpart(&self, id: &str) -> Counterpart {
        self.there.find(id).expect("it is held there")
    }

    async fn delivery(&self, id: &str) -> Delivery {
        self.app.delivery_at(FEED, id).await
    }

    /// State with what it waits for, or why it is so.
    async fn stands(&self, id: &str) -> (String, String) {
        let delivery = self.delivery(id).await;
        let why = delivery.reason.or(delivery.waiting_for).unwrap_or_default();
        (delivery.state, why)
    }

    async fn assert_stands(&self, id: &str, state: &str, why: &str) {
        assert_eq!(self.stands(id).await, (state.to_owned(), why.to_owned()), "{id}: {:?}", self.delivery(id).await);
    }

    async fn receipt(&self) -> Value {
        sqlx::query_scalar("SELECT receipt FROM deliveries WHERE sink = 'feed'")
            .fetch_one(&self.app.pool)
            .await
            .expect("a delivery can be read")
    }

    fn calls(&self, operation: Operation) -> usize {
        self.there.received().iter().filter(|received| received.operation == operation).count()
    }

    fn bodies(&self, operation: Operation) -> Vec<String> {
        let received = self.there.received().into_iter().filter(|received| received.operation == operation);
        received.map(|received| String::from_utf8(received.body.to_vec()).expect("text")).collect()
    }

    #[track_caller]
    fn assert_no_wrong(&self) {
        assert_eq!(self.there.violations(), []);
    }

    async fn open_alerts(&self, cause: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM alerts WHERE cause = $1 AND resolved_at IS NULL")
            .bind(cause)
            .fetch_one(&self.app.pool)
            .await
            .expect("alerts can be read")
    }

    async fn notice(&self) -> Option<String> {
        self.app.text("SELECT notice FROM deliveries WHERE sink = 'feed'").await
    }

    async fn sink(&self) -> (String, Option<String>, Option<String>) {
        sqlx::query_as("SELECT state, reason, hint FROM sinks WHERE name = 'feed'")
            .fetch_one(&self.app.pool)
            .await
            .expect("the sink has its row")
    }
}

// The way of an order.

#[tokio::test]
async fn an_order_is_acknowledged_once_inserted_and_shipped_once_its_time_has_passed() {
    let mut feed = Feed::start().await;
    feed.imported("A-1");
    let order = feed.accepted("A-1", 1);

    feed.arrives(&order).await;

    assert_eq!(feed.counterpart("A-1").destination_number.as_deref(), Some("hook-main-A-1"));
    feed.assert_stands("A-1", "pending", "shipment").await;
    assert_eq!(feed.delivery("A-1").await.applied, None, "it is shipped later");
    feed.passes(59 * MINUTE).await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
    feed.passes(2 * MINUTE).await;

    assert_eq!(feed.counterpart("A-1").state(), OrderState::Shipped);
    feed.assert_stands("A-1", "applied", "").await;
    assert_eq!(feed.delivery("A-1").await.external_id, Some(feed.counterpart("A-1").id));
    assert_eq!((feed.calls(Operation::Acknowledge), feed.calls(Operation::UpdateStatus)), (1, 1));
    assert_eq!(feed.calls(Operation::List), 1, "a shipment needs no list");
    feed.assert_no_wrong();
}

#[tokio::test]
async fn an_order_that_is_dispatched_is_shipped_at_once_with_that_time() {
    let mut feed = Feed::start().await;
    let order = feed.acknowledged("A-1").await;
    feed.passes(10 * MINUTE).await;
    let dispatched_at = feed.instant();

    feed.arrives(&Feed::after(&order, |order| order["dispatchedAt"] = json!(dispatched_at))).await;

    let shipment = feed.counterpart("A-1").shipment.expect("it is shipped");
    let told = DateTime::parse_from_rfc3339(&dispatched_at).expect("an instant");
    assert_eq!(shipment.ship_date.at.timestamp(), told.timestamp());
    assert_eq!(shipment.carrier.as_deref(), Some("Customer pickup"));
    assert_eq!(feed.receipt().await["ship_date"], shipment.ship_date.text);
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_counterpart_that_appears_late_is_acknowledged_with_the_next_list_and_one_that_never_does_is_no_error() {
    let mut feed = Feed::start().await;
    let late = Import::of("A-1", feed.now() - TimeDelta::minutes(2)).with(&Oddity::Late).remove(0);
    feed.imports(late);

    feed.arrives(&feed.accepted("A-1", 1)).await;
    feed.arrives(&feed.accepted("A-2", 1)).await;

    feed.assert_stands("A-1", "pending", "counterpart").await;
    feed.passes(26 * MINUTE).await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
    for _ in 0..30 {
        feed.app.advance(Duration::from_hours(1));
        feed.dispatch().await;
    }
    feed.assert_stands("A-2", "skipped", "no_counterpart").await;
    assert_eq!(feed.open_alerts("dead_letter").await, 0);
    feed.assert_no_wrong();
}

#[tokio::test]
async fn one_list_in_each_interval_serves_two_hundred_waiting_orders() {
    let mut feed = Feed::start().await;
    for n in 0..200 {
        feed.app.publish(&feed.accepted(&format!("A-{n}"), 1));
    }
    feed.app.poll().await;
    feed.passes(3 * MINUTE).await;
    assert_eq!(feed.there.ledger().n_listings(), 1);
    assert_eq!(
        feed.app.number("SELECT count(*) FROM deliveries WHERE sink = 'feed' AND waiting_for = 'counterpart'").await,
        200
    );

    for interval in 2..=4 {
        feed.passes(POLL).await;
        assert_eq!(feed.there.ledger().n_listings(), interval);
    }

    assert_eq!(feed.app.number("SELECT max(attempts)::bigint FROM deliveries WHERE sink = 'feed'").await, 0);
    assert_eq!(feed.there.received().len(), 4, "nothing is asked of one order");
}

#[tokio::test]
async fn many_orders_at_once_keep_within_the_bucket_and_take_two_calls_each() {
    let mut feed = Feed::start().await;
    for n in 0..70 {
        let id = format!("A-{n}");
        feed.imported(&id);
        let order = feed.accepted(&id, 1);
        feed.app.publish(&Feed::after(&order, |order| order["dispatchedAt"] = order["acceptedAt"].clone()));
    }
    feed.app.poll().await;

    feed.passes(10 * MINUTE).await;

    assert_eq!(feed.app.number("SELECT count(*) FROM deliveries WHERE sink = 'feed' AND state = 'applied'").await, 70);
    assert_eq!(feed.there.ledger().n_overflows(), 0);
    assert!(feed.there.received().len() <= 2 * 70 + 3, "{}", feed.there.received().len());
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_list_that_fails_fails_nothing_that_does_not_need_it() {
    let mut feed = Feed::start().await;
    let order = feed.acknowledged("A-1").await;
    feed.passes(6 * MINUTE).await;
    feed.there.answer_next_to(Operation::List, [status(503), status(503)]);
    feed.app.publish(&Feed::after(&order, |order| order["dispatchedAt"] = json!(feed.instant())));
    for n in 2..20 {
        feed.app.publish(&feed.accepted(&format!("A-{n}"), 1));
    }

    feed.app.poll().await;
    feed.dispatch().await;

    assert_eq!(feed.counterpart("A-1").state(), OrderState::Shipped);
    assert_eq!(feed.sink().await.0, "active");
    let failed = "SELECT count(*) FROM deliveries WHERE sink = 'feed' AND attempts > 0 AND waiting_for = 'retry'";
    assert_eq!(feed.app.number(failed).await, 1, "one is told, the others wait");
    feed.passes(3 * MINUTE).await;
    let waiting = "SELECT count(*) FROM deliveries WHERE sink = 'feed' AND waiting_for = 'counterpart'";
    assert_eq!(feed.app.number(waiting).await, 18, "and it goes on by itself");
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end() {
    let mut feed = feed().of(|o| o.paging = Some(3)).with("paging.size", "3").start().await;
    for n in 0..7 {
        feed.imported(&format!("B-{n}"));
    }
    feed.imported("A-1");

    feed.arrives(&feed.accepted("A-1", 1)).await;

    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
    assert_eq!(feed.calls(Operation::List), 3);
    feed.assert_no_wrong();
}

#[tokio::test]
async fn the_second_api_has_its_token_in_a_header() {
    let mut feed = feed().of(|o| o.api = Api::V2).with("api", "v2").start().await;
    feed.acknowledged("A-1").await;

    feed.passes(61 * MINUTE).await;

    assert_eq!(feed.counterpart("A-1").state(), OrderState::Shipped);
    feed.assert_no_wrong();
}

// Cancellations.

#[tokio::test]
async fn a_cancellation_is_sent_after_its_grace_whether_or_not_anything_was_sent_before() {
    let mut feed = Feed::start().await;
    let acknowledged = feed.acknowledged("A-1").await;
    feed.imported("A-2");
    let unsent = feed.accepted("A-2", 1);
    feed.app.publish(&unsent);
    for order in [&acknowledged, &unsent] {
        feed.app.publish(&Feed::cancelled(order));
    }

    feed.app.poll().await;
    feed.dispatch().await;
    for id in ["A-1", "A-2"] {
        feed.assert_stands(id, "pending", "grace").await;
    }
    feed.passes(19 * MINUTE).await;
    assert_eq!(feed.calls(Operation::UpdateStatus), 0);
    feed.passes(2 * MINUTE).await;

    for id in ["A-1", "A-2"] {
        assert_eq!(feed.counterpart(id).state(), OrderState::Cancelled, "{id}");
        feed.assert_stands(id, "applied", "").await;
    }
    feed.assert_no_wrong();
}

#[tokio::test]
async fn an_order_accepted_again_within_the_grace_goes_on_and_after_it_is_a_persons() {
    let mut feed = Feed::start().await;
    let order = feed.acknowledged("A-1").await;
    let cancelled = Feed::cancelled(&order);
    feed.arrives(&cancelled).await;
    feed.passes(10 * MINUTE).await;

    let again = Feed::after(&cancelled, |order| order["status"] = json!("accepted"));
    feed.arrives(&again).await;
    feed.passes(15 * MINUTE).await;

    feed.assert_stands("A-1", "pending", "shipment").await;
    let cancelled = Feed::cancelled(&again);
    feed.arrives(&cancelled).await;
    feed.passes(21 * MINUTE).await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Cancelled);
    feed.arrives(&Feed::after(&cancelled, |order| order["status"] = json!("accepted"))).await;
    feed.assert_stands("A-1", "parked", "cancelled_upstream").await;
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_cancellation_after_the_shipment_is_parked_and_nothing_is_sent() {
    let mut feed = Feed::start().await;
    let order = feed.acknowledged("A-1").await;
    feed.passes(61 * MINUTE).await;

    feed.arrives(&Feed::cancelled(&order)).await;
    feed.passes(21 * MINUTE).await;

    feed.assert_stands("A-1", "parked", "cancel_after_ship").await;
    assert_eq!(feed.calls(Operation::UpdateStatus), 1);
}

#[tokio::test]
async fn a_cancelled_order_that_is_not_held_there_is_dropped() {
    let mut feed = Feed::start().await;
    let order = feed.accepted("A-1", 1);
    feed.app.publish(&order);
    feed.app.publish(&Feed::cancelled(&order));
    feed.app.poll().await;

    feed.passes(21 * MINUTE).await;

    feed.assert_stands("A-1", "skipped", "cancelled_before_sent").await;
}

// What a person should know.

#[tokio::test]
async fn what_changes_after_the_acknowledgement_is_flagged_with_one_alert_each() {
    let mut feed = Feed::start().await;
    let order = feed.acknowledged("A-1").await;
    feed.app.run("UPDATE deliveries SET external_id = 'another-number' WHERE sink = 'hook'").await;
    // What the webhook answers from now on changes no number.
    feed.app.webhook.answer_next(vec![answer(Answer::json(200, "{}")); 3]);
    feed.app.run("UPDATE deliveries SET next_attempt_at = now() WHERE sink = 'feed'").await;
    feed.dispatch().await;
    assert_eq!(feed.notice().await.as_deref(), Some("number_changed"));
    assert_eq!(feed.open_alerts("number_changed").await, 1);

    let rejected = Feed::after(&order, |order| order["status"] = json!("rejected"));
    feed.arrives(&rejected).await;
    assert_eq!(feed.notice().await.as_deref(), Some("no_longer_accepted"));
    assert_eq!((feed.open_alerts("no_longer_accepted").await, feed.open_alerts("number_changed").await), (1, 0));

    let again = Feed::after(&rejected, |order| {
        order["status"] = json!("accepted");
        order["dispatchedAt"] = json!(feed.instant());
        order["returnedAt"] = json!(feed.instant());
    });
    feed.arrives(&again).await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Shipped);
    assert_eq!(feed.notice().await.as_deref(), Some("returned"));
    assert_eq!((feed.open_alerts("returned").await, feed.open_alerts("no_longer_accepted").await), (1, 0));
    assert_eq!(feed.calls(Operation::Acknowledge), 1, "no other number is told");
    feed.assert_no_wrong();
}

#[tokio::test]
async fn two_counterparts_and_one_that_somebody_else_took_are_a_persons() {
    let mut feed = Feed::start().await;
    feed.imported("A-1");
    feed.imported("A-1");
    let taken = feed.imported("A-2");
    // It is listed, and its acknowledgement has to wait until the next list.
    feed.there.answer_next_to(Operation::Acknowledge, [status(429).retry_after(POLL + MINUTE)]);
    feed.arrives(&feed.accepted("A-2", 1)).await;
    feed.there.take_elsewhere(&taken);
    feed.passes(POLL + 2 * MINUTE).await;
    assert_eq!(feed.calls(Operation::Acknowledge), 1, "it is not there any more, so nothing is sent");

    feed.arrives(&feed.accepted("A-1", 1)).await;

    feed.assert_stands("A-1", "parked", "ambiguous_counterpart").await;
    feed.assert_stands("A-2", "parked", "taken_elsewhere").await;
    feed.passes(61 * MINUTE).await;
    assert_eq!(feed.calls(Operation::UpdateStatus), 0);
    feed.assert_no_wrong();
}

// Refusals.

#[tokio::test]
async fn a_refused_write_is_parked_with_what_to_do() {
    let cases = [
        (status(400), "rejected_by_godatafeed"),
        (status(422), "rejected_by_godatafeed"),
        (status(409), "rejected_by_godatafeed"),
        (error_inside(), "rejected_by_godatafeed"),
        (status(404), "order_unknown"),
    ];
    for (n, (fault, reason)) in cases.into_iter().enumerate() {
        let mut feed = Feed::start().await;
        feed.imported("A-1");
        feed.there.answer_next_to(Operation::Acknowledge, [fault.clone()]);
        feed.arrives(&feed.accepted("A-1", 1)).await;
        feed.assert_stands("A-1", "parked", reason).await;
        assert!(feed.delivery("A-1").await.hint.is_some_and(|hint| hint.contains("retry")), "{n}");

        feed.acknowledged("A-2").await;
        feed.there.answer_next_to(Operation::UpdateStatus, [fault]);
        feed.passes(61 * MINUTE).await;
        feed.assert_stands("A-2", "parked", reason).await;
        feed.assert_no_wrong();
    }
}

#[tokio::test]
async fn a_missing_tracking_number_is_the_operators_to_decide() {
    let mut feed = feed().of(|o| o.tracking_is_required = true).start().await;
    feed.acknowledged("A-1").await;

    feed.passes(61 * MINUTE).await;
    feed.assert_stands("A-1", "parked", "rejected_by_godatafeed").await;

    feed.app.configure("sinks.feed.tracking", "order_id");
    feed.app.restart().await;
    let order = Feed::after(&feed.accepted("A-1", 1), |_| {});
    feed.arrives(&Feed::after(&order, |order| order["dispatchedAt"] = json!(feed.instant()))).await;
    let shipment = feed.counterpart("A-1").shipment.expect("it is shipped");
    assert_eq!(shipment.tracking_number.as_deref(), Some("A-1"));
}

#[tokio::test]
async fn when_no_order_is_known_there_it_is_the_request_that_is_wrong() {
    let mut feed = Feed::start().await;
    feed.there.answer_next_to(Operation::Acknowledge, vec![status(404); 20]);
    (0..10).for_each(|n| drop(feed.imported(&format!("A-{n}"))));
    for n in 0..10 {
        feed.arrives(&feed.accepted(&format!("A-{n}"), 1)).await;
    }

    assert_eq!(feed.app.number("SELECT count(*) FROM deliveries WHERE reason = 'order_unknown'").await, 4);
    let (state, reason, hint) = feed.sink().await;
    assert_eq!((state.as_str(), reason.as_deref()), ("blocked", Some("misconfigured")));
    assert!(hint.is_some_and(|hint| hint.contains("templates")));
    assert_eq!(feed.calls(Operation::Acknowledge), 5, "the others wait");
}

#[tokio::test]
async fn a_list_that_is_refused_or_has_another_form_stops_the_sink() {
    for fault in [status(400), status(404), status(422), answer(Answer::json(200, r#"{"items": []}"#))] {
        let mut feed = Feed::start().await;
        feed.there.answer_next_to(Operation::List, [fault]);

        feed.arrives(&feed.accepted("A-1", 1)).await;

        let (state, reason, _) = feed.sink().await;
        assert_eq!((state.as_str(), reason.as_deref()), ("blocked", Some("misconfigured")));
        assert_eq!(feed.delivery("A-1").await.attempts, 0);
        feed.passes(2 * MINUTE).await;
        assert_eq!(feed.sink().await.0, "active", "a probe goes on by itself");
    }
}

#[tokio::test]
async fn a_redirect_is_followed_nowhere() {
    let elsewhere = Recorder::start().await;
    let mut feed = Feed::start().await;
    feed.imported("A-1");
    feed.there.answer_next_to(Operation::Acknowledge, [redirect(&elsewhere.url())]);

    feed.arrives(&feed.accepted("A-1", 1)).await;

    feed.assert_stands("A-1", "parked", "redirected").await;
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn throttling_waits_as_asked_or_longer_each_time_and_costs_no_attempt() {
    let mut feed = Feed::start().await;
    feed.imported("A-1");
    feed.there.answer_next_to(Operation::Acknowledge, [status(429).retry_after(Duration::from_secs(90))]);

    feed.arrives(&feed.accepted("A-1", 1)).await;

    let delivery = feed.delivery("A-1").await;
    assert_eq!(delivery.attempts, 0);
    assert!((85..=90).contains(&delivery.due_in.as_secs()), "{delivery:?}");
    feed.there.answer_next_to(Operation::Acknowledge, vec![status(429); 6]);
    let mut waits = Vec::new();
    for _ in 0..6 {
        let due_in = feed.delivery("A-1").await.due_in;
        feed.app.advance(due_in + Duration::from_millis(5));
        feed.dispatch().await;
        waits.push(feed.delivery("A-1").await.due_in.as_secs() + 1);
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    feed.passes(2 * MINUTE).await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Acknowledged);
}

// What is not written.

#[tokio::test]
async fn until_the_templates_are_confirmed_it_lists_and_shows_and_sends_nothing() {
    let mut feed = feed().with("templates_confirmed", "false").start().await;
    feed.imported("A-1");
    feed.arrives(&feed.accepted("A-1", 1)).await;

    feed.assert_stands("A-1", "pending", "confirmation").await;
    assert_eq!((feed.calls(Operation::List), feed.there.received().len()), (1, 1));
    feed.passes(4 * MINUTE).await;
    let matches = PlanArgs::augment_args(Command::new("plan")).get_matches_from(["plan", "--sink", "feed", "--bodies"]);
    let args = PlanArgs::from_arg_matches(&matches).expect("a valid command");
    let (mut told, app) = (Vec::new(), &feed.app);
    cli::plan::run(&app.settings, &app.pool, &app.clock, &args, &mut told).await.expect("the database answers");
    let told = String::from_utf8(told).expect("text");
    assert!(told.contains("would send `acknowledge` (42 bytes) once it may (confirmation)"), "{told}");
    assert!(told.contains(r#"{"destinationOrderNumber":"hook-main-A-1"}"#), "{told}");
    feed.passes(61 * MINUTE).await;
    assert_eq!(feed.there.received().iter().filter(|received| received.operation.is_write()).count(), 0);

    feed.app.configure("sinks.feed.templates_confirmed", "true");
    feed.app.restart().await;
    feed.passes(6 * MINUTE).await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Shipped);
    feed.assert_no_wrong();
}

#[tokio::test]
async fn orders_from_before_the_sink_are_left_alone_until_somebody_asks_for_them() {
    let mut feed = Feed::start().await;
    feed.imported("A-1");
    let mut old = feed.accepted("A-1", 1);
    old["acceptedAt"] = json!((feed.now() - TimeDelta::hours(2)).to_rfc3339_opts(SecondsFormat::Millis, true));

    feed.arrives(&old).await;
    feed.assert_stands("A-1", "skipped", "stale").await;

    let named = ["A-1".to_owned()];
    let sink = SinkName::parse(FEED).expect("a valid name");
    let named = Named { sink: &sink, source: None, order_ids: &named };
    let by = Operator { who: "ada", why: None };
    let moved = replay::named(&feed.app.pool, named, by, feed.app.clock.offset_ms()).await;
    assert_eq!(moved.expect("it can be replayed").len(), 1);
    feed.dispatch().await;
    assert_eq!(feed.counterpart("A-1").state(), OrderState::Shipped, "it is long since accepted");
    feed.assert_no_wrong();
}

#[tokio::test]
async fn a_sink_that_starts_at_the_beginning_takes_orders_from_before_it_too() {
    let mut feed = feed().with("start", "beginning").start().await;
    feed.imported("A-1");
    let mut old = feed.accepted("A-1", 1);
    old["acceptedAt"] = json!((feed.now() - TimeDelta::hours(2)).to_rfc3339_opts(SecondsFormat::Millis, true));

    feed.arrives(&old).await;
    feed.dispatch().await;

    assert_eq!(feed.counterpart("A-1").state(), OrderState::Shipped, "it is long since accepted");
    feed.assert_no_wrong();
}

// What nobody sees.

#[tokio::test]
async fn g10_neither_token_nor_address_is_logged_or_kept_whatever_happens() {
    const ECHO: &str =
        r#"{"error": "invalid token gdf-token", "url": "/v1/gdf-token/orders", "buyer": "robin@example.org"}"#;

    let log = log::capture();
    let mut feed = Feed::start().await;
    let faults = [
        cut_after(),
        status(500),
        status(429),
        redirect("http://127.0.0.1:1/v1/gdf-token/orders"),
        answer(Answer::json(200, ECHO)),
        answer(Answer::json(401, ECHO)),
        answer(Answer::json(404, ECHO)),
        answer(Answer::json(422, ECHO)),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        for operation in [Operation::List, Operation::Acknowledge, Operation::UpdateStatus] {
            let id = format!("A-{n}-{operation:?}");
            feed.imported(&id);
            feed.there.answer_next_to(operation, [fault.clone()]);
            let order = feed.accepted(&id, 1);
            feed.app.run("DELETE FROM sink_lanes").await;
            feed.arrives(&Feed::after(&order, |order| order["dispatchedAt"] = order["acceptedAt"].clone())).await;
            feed.passes(2 * POLL).await;
        }
    }
    // And where nothing answers at all.
    feed.app.configure("sinks.feed.base_url", "http://127.0.0.1:1");
    feed.app.restart().await;
    feed.arrives(&feed.accepted("A-9", 1)).await;

    assert!(log.text().contains("delivery attempted"), "the log is captured");
    let settings = format!("{:?} {:?}", feed.app.settings, feed.app.dispatchers);
    let places = [("database", whole_database(&feed.app).await), ("log", log.text()), ("settings", settings)];
    for (place, text) in places {
        let text = text.to_lowercase();
        for secret in ["gdf-token", "robin", "specimen", BUYER] {
            assert!(!text.contains(&secret.to_lowercase()), "{secret:?} in the {place}");
        }
        // The templates, which the settings show, are no secret.
        assert!(place == "settings" || !text.contains("/v1/"), "an address in the {place}");
    }
}

// The doctor.

#[tokio::test]
async fn the_doctor_lists_the_new_orders_once_and_says_what_is_wrong_with_that() {
    let feed = feed().with("templates_confirmed", "false").start().await;
    feed.imported("A-1");
    let examine = async |feed: &Feed| {
        let mut told = Vec::new();
        cli::doctor::run(&feed.app.settings, &[], Form::Text, &mut told).await.expect("it can be told");
        String::from_utf8(told).expect("text")
    };

    let well = examine(&feed).await;
    assert!(well.contains("lists 1 new orders") && well.contains("templates_confirmed"), "{well}");
    assert_eq!(feed.calls(Operation::List), 1);
    feed.there.answer_next([status(401)]);
    assert!(examine(&feed).await.contains("problem  sinks.feed: the token is refused (HTTP 401)"));
    feed.there.answer_next([status(404)]);
    assert!(examine(&feed).await.contains("correct base_url, api, templates and pointers"));
}
