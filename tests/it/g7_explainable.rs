//! G7: every version, decision and attempt of an order can be read back as one timeline, by command and by SQL.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use scoffable_sync::{
    cli::{config::Form, order as order_command},
    simulator::{
        faults::{cut_after, status},
        godatafeed::{GoDataFeedOptions, GoDataFeedSim, Import, OrderState},
        spoton::Operation,
    },
};
use serde_json::{Value, json};
use sqlx::Row;

use crate::harness::{
    app::{Setup, TestApp, order, order_of},
    pos::Case,
};

#[tokio::test]
async fn a_whole_life_is_told_by_sql_and_by_command() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "placed")).await;
    app.webhook.answer_next([status(503)]);
    app.arrives(&order("A-1", 2, "accepted")).await;
    app.advance(Duration::from_mins(1));
    app.dispatch().await;
    app.arrives(&order("A-1", 3, "accepted")).await;
    app.webhook.answer_next([status(422)]);
    app.arrives(&order_of("A-1", 5, "cancelled", 900)).await;
    app.arrives(&order("A-1", 4, "accepted")).await;

    let rows = sqlx::query(
        "SELECT event, detail ->> 'version' AS version, coalesce(detail ->> 'outcome', detail ->> 'state', detail ->> 'status') AS what
         FROM order_timeline WHERE order_id = 'A-1' ORDER BY at, event DESC",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();
    let mut told: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |column: &str| row.get::<Option<String>, _>(column).unwrap_or_default();
            format!("{} {} {}", text("event"), text("version"), text("what"))
        })
        .collect();
    told.sort();
    let mut expected = vec![
        "version 1 placed",
        "version 2 accepted",
        "version 3 accepted",
        "version 4 accepted",
        "version 5 cancelled",
        "decision 1 skipped",
        "attempt 2 unknown",
        "attempt 2 delivered",
        "decision 3 unchanged",
        "attempt 5 reject",
        "state  parked",
    ];
    expected.sort_unstable();
    assert_eq!(told, expected);

    let mut out = Vec::new();
    let code = order_command::run(&app.pool, "A-1", None, Form::Text, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(code, 0);
    for line in [
        "version 1 decided: skipped, never_accepted",
        "version 2, attempt 1, post: unknown, server_error, status 503",
        "version 2, attempt 2, post: delivered, status 200",
        "nothing visible changed",
        "status: accepted → cancelled",
        "version 5, attempt 1, post: reject, unprocessable, status 422",
        "late: a higher version was stored before",
        "what to do:",
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
}

/// A restaurant and, behind it, the marketplace that wants to know what became of an order there.
struct Chain {
    case: Case,
    feed: GoDataFeedSim,
    began_at: DateTime<Utc>,
}

impl Chain {
    async fn start() -> Self {
        let setup = Setup::default();
        let began_at = setup.clock().wall();
        let options = GoDataFeedOptions { clock: setup.clock().clone(), ..GoDataFeedOptions::default() };
        let feed = GoDataFeedSim::start(options).await.expect("a loopback port is free");
        let setup = setup
            .with("sinks.feed.kind", "godatafeed")
            .with("sinks.feed.after", "pos")
            .with("sinks.feed.base_url", &feed.url())
            .with("sinks.feed.token", "gdf-token")
            .with("sinks.feed.templates_confirmed", "true");
        Self { case: Case::beside(setup, |setup| setup).await, feed, began_at }
    }

    /// The marketplace's own record of the order shows.
    fn imports(&self, id: &str) {
        let at = (self.began_at - TimeDelta::minutes(1)).timestamp();
        let purchased_at = DateTime::from_timestamp(at, 0).expect("an instant");
        self.feed.import(Import::of(id, purchased_at));
    }

    async fn arrives(&mut self, order: &Value) {
        let mut order = order.clone();
        if order["status"] != "placed" {
            order["acceptedAt"] = json!(self.began_at + TimeDelta::minutes(1));
        }
        self.case.arrives(&order).await;
    }

    async fn minutes_pass(&mut self, minutes: u32) {
        for _ in 0..minutes {
            self.case.app.advance(Duration::from_mins(1));
            self.case.app.dispatch().await;
        }
    }

    /// What `order ID` prints, with the minute of each instant, counted from the beginning, and without durations.
    async fn story(&self, id: &str) -> String {
        let mut out = Vec::new();
        order_command::run(&self.case.app.pool, id, None, Form::Text, &mut out).await.expect("the database answers");
        let told = String::from_utf8(out).expect("text");
        told.lines().map(|line| self.without_clock(line) + "\n").collect()
    }

    fn without_clock(&self, line: &str) -> String {
        const WRITTEN: &str = "2026-03-01 12:00:00Z";
        let mut out = line.to_owned();
        for at in (0..line.len()).rev() {
            let written = line.get(at..at + WRITTEN.len()).unwrap_or_default();
            if let Ok(instant) = NaiveDateTime::parse_from_str(written, "%Y-%m-%d %H:%M:%SZ") {
                let minute = format!("{:>8}", self.minute_of(instant.and_utc()));
                out.replace_range(at..at + WRITTEN.len(), &minute);
            }
        }
        let is_duration = |part: &&str| part.strip_suffix(" ms").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        out.split(", ").filter(|part| !is_duration(part)).collect::<Vec<_>>().join(", ")
    }

    /// The same as JSON.
    async fn story_as_json(&self, id: &str) -> Value {
        let mut out = Vec::new();
        order_command::run(&self.case.app.pool, id, None, Form::Json, &mut out).await.expect("the database answers");
        let mut told = serde_json::from_slice(&out).expect("JSON");
        self.take_clock_from(&mut told);
        told
    }

    fn take_clock_from(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Ok(at) = DateTime::parse_from_rfc3339(text) {
                    *text = self.minute_of(at.to_utc());
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.take_clock_from(value)),
            Value::Object(values) => {
                // It covers the times in the order.
                values.remove("content_hash");
                values.values_mut().for_each(|value| self.take_clock_from(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The test itself takes some seconds.
    fn minute_of(&self, at: DateTime<Utc>) -> String {
        format!("+{} min", (at - self.began_at + TimeDelta::seconds(2)).num_minutes())
    }
}

#[tokio::test]
async fn the_story_of_an_order_goes_from_the_kitchen_to_its_shipment() {
    let mut chain = Chain::start().await;
    chain.arrives(&order("5512087", 1, "placed")).await;
    chain.minutes_pass(1).await;

    chain.arrives(&order("5512087", 2, "accepted")).await;
    chain.minutes_pass(2).await;
    chain.imports("5512087");
    let waiting = chain.story("5512087").await;
    chain.minutes_pass(70).await;

    let counterpart = chain.feed.find("5512087").expect("it is held there");
    assert_eq!((counterpart.state(), counterpart.destination_number.as_deref()), (OrderState::Shipped, Some("ord-1")));
    insta::assert_snapshot!("story_while_it_waits", waiting);
    insta::assert_snapshot!("story_of_a_shipment", chain.story("5512087").await);
    insta::assert_json_snapshot!("story_of_a_shipment_as_json", chain.story_as_json("5512087").await);
}

#[tokio::test]
async fn the_story_of_an_order_tells_a_lost_answer_and_a_cancellation_on_both_sides() {
    let mut chain = Chain::start().await;
    chain.imports("5512088");
    chain.minutes_pass(1).await;
    chain.case.sim.answer_next_to(Operation::Submit, [cut_after()]);

    chain.arrives(&order("5512088", 1, "accepted")).await;
    let in_doubt = chain.story("5512088").await;
    chain.minutes_pass(10).await;
    chain.arrives(&order("5512088", 2, "cancelled")).await;
    chain.minutes_pass(30).await;

    assert_eq!(chain.case.tickets("5512088"), (1, 0));
    assert_eq!(chain.feed.find("5512088").expect("it is held there").state(), OrderState::Cancelled);
    insta::assert_snapshot!("story_in_doubt", in_doubt);
    insta::assert_snapshot!("story_of_a_cancellation", chain.story("5512088").await);
    insta::assert_json_snapshot!("story_of_a_cancellation_as_json", chain.story_as_json("5512088").await);
}
