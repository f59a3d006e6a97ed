//! What must not be seen: credentials and personal data in logs, errors, and everything but the three columns that need
//! them.

use scoffable_sync::simulator::faults::{Answer, answer, cut_after, not_json, status};
use serde_json::{Value, json};

use crate::harness::{
    app::{TestApp, order, order_of},
    log,
    stream::{page, raw_page, stored},
};

/// Parts of the customer in [`personal`], and the credentials.
const SECRETS: [&str; 8] =
    ["Jasmina", "Quillfeather", "7946 0123", "Foxglove", "jq@example.org", "doorbell", "sim-token", "whsec_"];

/// An order with a customer, in the documented place and in one nobody documents.
fn personal(mut order: Value) -> Value {
    order["deliveryAddress"] =
        json!({"name": "Jasmina Quillfeather", "line1": "12 Foxglove Lane", "phone": "+44 20 7946 0123"});
    order["customer"] = json!({"email": "jq@example.org"});
    order["note"] = json!("the doorbell is broken");
    order
}

fn assert_discreet(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {what}: {text}");
    }
}

/// Everything that can go wrong with an order of a customer, from the stream to the receiver.
async fn troubled(app: &mut TestApp) {
    let mut broken = personal(order("A-2", 1, "accepted"));
    broken["version"] = json!("Jasmina");
    let mut unreadable = personal(order("A-3", 1, "accepted")).to_string().into_bytes();
    let at = unreadable.len() - 2;
    unreadable[at] = 0xff;
    let echo = json!({"code": "bad_address", "echo": personal(order("A-1", 1, "accepted"))}).to_string();
    let conflict = personal(order_of("A-1", 1, "accepted", 7));
    app.scoffable.answer_next([
        raw_page(
            &[personal(order("A-1", 1, "accepted")).to_string().into_bytes(), unreadable],
            true,
            Some("c-Foxglove"),
        ),
        page(&[broken, conflict], false, Some("c-2")),
        not_json(),
        answer(Answer::json(400, echo.clone())),
        answer(Answer::json(401, echo.clone())),
        cut_after(),
        answer(Answer::json(200, echo.clone())),
    ]);
    for _ in 0..6 {
        app.poll().await;
    }
    app.webhook.answer_next([
        answer(Answer::json(500, echo.clone())),
        answer(Answer::json(429, echo.clone())),
        status(503),
        answer(Answer::json(422, echo)),
    ]);
    app.run_to_rest().await;
}

#[tokio::test]
async fn no_log_line_holds_a_credential_or_a_customer() {
    let log = log::capture();
    let mut app = TestApp::start().await;

    troubled(&mut app).await;

    let ours: Vec<String> =
        log.text().lines().filter(|line| line.contains("scoffable_sync::")).map(str::to_owned).collect();
    let ours = ours.join("\n");
    for expected in ["order quarantined", "poll failed", "source parked", "delivery parked"] {
        assert!(ours.contains(expected), "{expected} is not logged:\n{ours}");
    }
    assert_discreet("the log", &ours);
}

#[tokio::test]
async fn nothing_in_the_database_holds_a_customer_but_the_columns_that_need_to() {
    let mut app = TestApp::start().await;

    troubled(&mut app).await;

    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();
    assert!(tables.len() >= 9, "{tables:?}");
    for table in tables {
        // The cursor is the platform's own; here it bears a name only so that errors can be searched for it.
        let sql = format!(
            "SELECT coalesce(string_agg((to_jsonb(t) - 'payload' - 'raw' - 'pending_step' - 'cursor' - 'dead_cursor')::text, ' '), '')
             FROM {table} t"
        );
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&app.pool).await.unwrap();
        assert_discreet(&table, &rows);
    }
    let attempts = app.text("SELECT string_agg(response_excerpt, ' ') FROM attempts").await.unwrap();
    assert!(attempts.contains("bad_address"), "what helps a person is kept: {attempts}");
}

#[tokio::test]
async fn views_for_people_hold_no_customer_but_the_one_that_says_so() {
    let mut app = TestApp::start().await;
    troubled(&mut app).await;

    for view in [
        "sync_status",
        "sink_status",
        "delivery_queue",
        "dead_letters",
        "order_timeline",
        "order_items",
        "order_payments",
    ] {
        let sql = format!("SELECT coalesce(string_agg((to_jsonb(v) - 'cursor')::text, ' '), '') FROM {view} v");
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&app.pool).await.unwrap();
        assert_discreet(view, &rows);
    }
}

#[tokio::test]
async fn nothing_that_is_printed_for_debugging_holds_a_credential_or_a_customer() {
    let mut app = TestApp::start().await;
    troubled(&mut app).await;

    let shown = format!("{:?} {:?} {:?}", app.pollers, app.dispatchers, app.settings);

    assert_discreet("Debug", &shown);
}

#[tokio::test]
async fn an_order_whose_personal_data_was_removed_is_still_known_when_it_comes_again() {
    let mut app = TestApp::start().await;
    let v1 = personal(order("A-1", 1, "accepted"));
    app.arrives(&v1).await;
    app.run("UPDATE order_versions SET payload = NULL").await;

    app.scoffable.answer_next([page(std::slice::from_ref(&v1), false, Some("c-9"))]);
    app.poll().await;
    app.dispatch().await;

    assert_eq!(stored(&app.pool).await.len(), 1);
    assert_eq!(app.text("SELECT payload FROM order_versions").await, None, "it does not come back");
    assert_eq!(app.number("SELECT count(*) FROM quarantine").await, 0, "and is no conflict");
    assert_eq!(app.applied("A-1"), [1]);
}
