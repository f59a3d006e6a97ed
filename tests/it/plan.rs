//! `plan`: what would be sent, told and not done.

use clap::{Args as _, Command, FromArgMatches as _};
use scoffable_sync::{
    cli::{self, plan::PlanArgs},
    simulator::faults::cut_after,
};
use serde_json::Value;

use crate::harness::app::{TestApp, order, order_of};

async fn plan(app: &TestApp, line: &str) -> (u8, String) {
    let words = ["plan"].into_iter().chain(line.split_whitespace());
    let matches = PlanArgs::augment_args(Command::new("plan")).try_get_matches_from(words);
    let args = matches.and_then(|matches| PlanArgs::from_arg_matches(&matches)).expect("a valid command");
    let mut out = Vec::new();
    let code = cli::plan::run(&app.settings, &app.pool, &app.clock, &args, &mut out).await;
    (code.expect("the database answers"), String::from_utf8(out).expect("commands write text"))
}

/// Everything that a plan could change.
async fn rows(app: &TestApp) -> Option<String> {
    app.text("SELECT string_agg(to_jsonb(d)::text, ',' ORDER BY d.order_id) || (SELECT count(*) FROM attempts) FROM deliveries d")
        .await
}

#[tokio::test]
async fn what_is_pending_is_told_with_its_changes_and_neither_sent_nor_touched() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.stores(&order_of("A-1", 2, "accepted", 900)).await;
    app.stores(&order("A-2", 1, "placed")).await;
    let (requests, before) = (app.requests(), rows(&app).await);

    let (code, text) = plan(&app, "").await;

    assert_eq!(code, 0);
    assert!(text.contains("hook  main/A-1  version 2: would send `post`"), "{text}");
    assert!(text.contains("total: 12.50 GBP → 9.00 GBP"), "{text}");
    assert!(text.contains("hook  main/A-2  version 1: nothing is owed (never_accepted)"), "{text}");
    assert_eq!((app.requests(), rows(&app).await), (requests, before));
}

#[tokio::test]
async fn an_order_that_is_named_is_planned_whatever_its_state() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    let (code, text) = plan(&app, "A-1").await;

    assert_eq!((code, text.as_str()), (0, "hook  main/A-1  version 1: nothing to do, it stands there\n"));
}

#[tokio::test]
async fn bodies_are_shown_on_request_only_and_are_what_is_sent_then() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;

    let (_, without) = plan(&app, "--json").await;
    let (_, with) = plan(&app, "--json --bodies").await;
    app.dispatch().await;

    assert!(!without.contains("Lamb Kofta"), "{without}");
    let with: Value = serde_json::from_str(&with).expect("JSON");
    let sent = app.webhook.received();
    assert_eq!(with["deliveries"][0]["action"]["body"].as_str().map(str::as_bytes), Some(&sent[0].body[..]));
}

#[tokio::test]
async fn a_lost_answer_is_planned_as_the_same_request_again() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after()]);
    app.arrives(&order("A-1", 1, "accepted")).await;

    let (_, text) = plan(&app, "--json --bodies").await;

    let planned: Value = serde_json::from_str(&text).expect("JSON");
    let sent = app.webhook.received();
    assert_eq!(planned["deliveries"][0]["action"]["key"], sent[0].key.as_str());
    assert_eq!(planned["deliveries"][0]["action"]["body"].as_str().map(str::as_bytes), Some(&sent[0].body[..]));
}

#[tokio::test]
async fn an_unknown_order_or_sink_is_said_so() {
    let app = TestApp::start().await;

    assert_eq!(plan(&app, "A-404").await, (1, "no sink is owed an order A-404\n".to_owned()));
    assert_eq!(plan(&app, "--sink nobody").await, (1, "no sink is called nobody; there are: hook\n".to_owned()));
    assert_eq!(plan(&app, "").await, (0, "nothing is pending\n".to_owned()));
}
