//! The sink for the till that cannot forgive: what it sends beyond what every sink has to stand.

use std::time::Duration;

use scoffable_sync::{
    http,
    simulator::{
        faults::{cut_after, cut_before},
        till::{Operation, Show, Sums, TillOptions},
    },
};
use serde_json::{Value, json};

use crate::harness::app::{Setup, TILL, TestApp, order, order_of};

const LAG: Duration = Duration::from_secs(20);

fn at_till() -> Setup {
    TestApp::setup().with_till(TillOptions { lag: LAG, ..TillOptions::default() })
}

async fn start() -> TestApp {
    at_till().without_hook().start().await
}

fn operations(app: &TestApp) -> Vec<Operation> {
    app.till().received().iter().map(|received| received.operation).collect()
}

fn body(app: &TestApp, request: usize) -> Value {
    serde_json::from_slice(&app.till().received()[request].body).expect("the body is JSON")
}

fn assert_nothing_wrong(app: &TestApp) {
    assert_eq!((app.till().violations(), app.till().doubled()), (vec![], vec![]));
}

async fn receipt(app: &TestApp) -> Value {
    sqlx::query_scalar("SELECT receipt FROM deliveries WHERE sink = 'till'")
        .fetch_one(&app.pool)
        .await
        .expect("a delivery can be read")
}

#[tokio::test]
async fn an_order_is_opened_and_paid_and_its_receipt_says_what_stands() {
    let mut app = start().await;

    app.arrives(&order("A-1", 3, "accepted")).await;

    assert_eq!(operations(&app), [Operation::Open, Operation::Pay]);
    let sale = json!({
        "reference": "scoffable-main-A-1-1", "order": "main/A-1", "version": 3,
        "lines": [{"name": "Lamb Kofta Plate", "minor": 1250}], "total_minor": 1250, "currency": "GBP",
    });
    assert_eq!(body(&app, 0), sale);
    assert_eq!(body(&app, 1), json!({"reference": "scoffable-main-A-1-1-v3", "minor": 1250, "currency": "GBP"}));
    let mut kept = receipt(&app).await;
    assert_eq!(kept["digest"].take().as_str().map(str::len), Some(64));
    let expected = json!({
        "ticket": "T-1", "n": 1, "version": 3, "total_minor": 1250, "paid_minor": 1250, "currency": "GBP",
        "state": "open", "stands": true, "digest": null, "money": {"posted_minor": 1250, "declared_minor": 0},
    });
    assert_eq!(kept, expected);
    assert_eq!(app.delivery_at(TILL, "A-1").await.external_id.as_deref(), Some("T-1"));
}

#[tokio::test]
async fn a_lower_total_is_amended_and_the_difference_refunded() {
    let mut app = start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(operations(&app)[2..], [Operation::Amend, Operation::Pay]);
    assert_eq!(body(&app, 3)["minor"], -350);
    assert_eq!(app.till().ledger().sums("main/A-1"), Sums { total_minor: 900, paid_minor: 900 });
    assert_nothing_wrong(&app);
}

#[tokio::test]
async fn g5_the_books_say_what_the_till_holds_through_a_cancellation_and_back() {
    let mut app = start().await;
    for (version, status, posted) in [(1, "accepted", 1250), (2, "cancelled", 0), (3, "accepted", 1250)] {
        app.arrives(&order("A-1", version, status)).await;

        let verdict = app.text("SELECT verdict FROM money_reconciliation WHERE sink = 'till'").await;
        assert_eq!(verdict.as_deref(), Some("equal"), "version {version}");
        let books = app.number("SELECT posted_minor FROM money_reconciliation WHERE sink = 'till'").await;
        assert_eq!((books, app.till().ledger().sums("main/A-1").paid_minor), (posted, posted), "version {version}");
    }
    assert_eq!(body(&app, 3)["reference"], "scoffable-main-A-1-2");
    assert_eq!(app.delivery_at(TILL, "A-1").await.external_id.as_deref(), Some("T-2"));
    assert_nothing_wrong(&app);
}

#[tokio::test]
async fn a_total_that_nothing_explains_is_balanced_by_a_line_and_a_zero_needs_no_payment() {
    let mut app = start().await;
    let mut odd = order("A-1", 1, "accepted");
    odd["total"]["amount"] = json!(1000);
    odd["serviceFee"] = json!({"amount": 50, "currency": "GBP"});

    app.arrives(&odd).await;
    app.arrives(&order_of("A-2", 1, "accepted", 0)).await;

    let lines = json!([
        {"name": "Lamb Kofta Plate", "minor": 1250}, {"name": "service fee", "minor": 50},
        {"name": "difference", "minor": -300},
    ]);
    assert_eq!(body(&app, 0)["lines"], lines);
    assert_eq!(operations(&app), [Operation::Open, Operation::Pay, Operation::Open]);
    assert_eq!(app.delivery_at(TILL, "A-2").await.state, "applied");
    assert_nothing_wrong(&app);
}

#[tokio::test]
async fn ids_that_fit_no_reference_are_hashed_and_stay_apart() {
    let mut app = start().await;
    let ids = ["x".repeat(250), format!("{}y", "x".repeat(249)), "Ä 1\n".to_owned(), "Ä 2\n".to_owned()];

    for id in &ids {
        app.arrives(&order(id, 1, "accepted")).await;
        assert_eq!(app.delivery_at(TILL, id).await.state, "applied");
    }

    let references: std::collections::BTreeSet<String> =
        app.till().ledger().tickets().iter().map(|ticket| ticket.reference.clone()).collect();
    assert_eq!(references.len(), 4, "{references:?}");
    assert_nothing_wrong(&app);
}

#[tokio::test]
async fn what_no_ticket_can_say_waits_for_a_person() {
    let mut app = start().await;
    let mut euros: Value = order("A-2", 2, "accepted");
    euros["total"]["currency"] = json!("EUR");

    app.arrives(&order_of("A-1", 1, "accepted", -5)).await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    app.arrives(&euros).await;

    for (id, reason) in [("A-1", "total_negative"), ("A-2", "currency_changed")] {
        let delivery = app.delivery_at(TILL, id).await;
        assert_eq!((delivery.state.as_str(), delivery.reason.as_deref()), ("parked", Some(reason)));
        assert!(delivery.hint.is_some());
    }
    assert_nothing_wrong(&app);
}

#[tokio::test]
async fn a_void_whose_answer_was_lost_is_learnt_of_when_the_order_is_accepted_again() {
    let mut app = start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.till().answer_next([cut_after()]);
    app.arrives(&order("A-1", 2, "cancelled")).await;

    app.arrives(&order("A-1", 3, "accepted")).await;
    app.run_to_rest().await;

    let after_the_void = [Operation::Amend, Operation::Open, Operation::Pay];
    assert_eq!(operations(&app)[3..], after_the_void);
    assert_eq!(app.till().ledger().sums("main/A-1"), Sums { total_minor: 1250, paid_minor: 1250 });
    assert_nothing_wrong(&app);
}

#[tokio::test]
async fn two_tickets_of_one_reference_are_a_persons_to_judge() {
    let mut app = start().await;
    app.till().show_next([Show::Never]);
    app.till().answer_next_to(Operation::Open, [cut_after()]);
    app.arrives(&order("A-1", 1, "accepted")).await;
    // Somebody rings it up again by hand, under our reference; both show.
    let sale = body(&app, 0);
    for _ in 0..2 {
        let client = http::client_builder().build().expect("a client");
        let request = client.post(format!("{}/tickets", app.till().url())).bearer_auth("till-token");
        request.json(&sale).send().await.expect("the till answers");
    }

    app.run_to_rest().await;

    let delivery = app.delivery_at(TILL, "A-1").await;
    assert_eq!(delivery.state, "in_doubt");
    assert!(delivery.hint.is_some_and(|hint| hint.starts_with("2 tickets")), "both are named");
}

#[tokio::test]
async fn beside_a_webhook_neither_waits_for_the_other() {
    let mut app = at_till().start().await;
    app.till().answer_next([cut_before()]);

    app.arrives(&order("A-1", 1, "accepted")).await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(app.delivery_at(TILL, "A-1").await.state, "in_doubt");
    app.run_to_rest().await;
    assert_eq!(app.delivery_at(TILL, "A-1").await.state, "applied");
}
