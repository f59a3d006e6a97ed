//! G10: secrets and personal data never reach logs, errors or attempts, whatever a destination echoes.

use scoffable_sync::simulator::faults::{Answer, answer, redirect};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};

use crate::harness::{
    app::{TestApp, order},
    log,
};

const NAME: &str = "jane quillfeather";
const PHONE: &str = "020 794 609 58";
const EMAIL: &str = "jane.q@example.org";
const ADDRESS: &str = "12 marmalade lane";
const HEADER: &str = "open-sesame";

/// What must not be found, word by word: an echo may come in other case and order.
const PRIVATE: [&str; 8] =
    ["jane", "quillfeather", "marmalade", "example.org", "794 609", "794609", HEADER, "simulations only"];

fn private_order(id: &str) -> Value {
    let mut order = order(id, 1, "accepted");
    order["customer"] = json!({"name": NAME, "phone": PHONE, "email": EMAIL, "address": ADDRESS});
    order
}

/// Every column of every table as text, but for the three that hold orders by need.
pub async fn whole_database(app: &TestApp) -> String {
    let columns = sqlx::query(
        "SELECT c.table_name::text, string_agg(format('%I', c.column_name), ', ') AS columns
         FROM information_schema.columns c
         JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
           AND (c.table_name, c.column_name) NOT IN
               (('order_versions', 'payload'), ('deliveries', 'pending_step'), ('quarantine', 'raw'))
         GROUP BY c.table_name",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();
    assert!(columns.len() >= 9, "the tables are found");
    let mut text = String::new();
    for row in columns {
        let (table, columns): (String, String) = (row.get(0), row.get(1));
        let sql = format!(
            "SELECT coalesce(string_agg(row_to_json(x)::text, E'\\n'), '') FROM (SELECT {columns} FROM {table}) x"
        );
        text += &sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_one(&app.pool).await.unwrap();
    }
    text.to_lowercase()
}

fn assert_discreet(what: &str, text: &str) {
    for private in PRIVATE {
        let found = text.find(private);
        let around = found.map(|at| text[at.saturating_sub(100)..].chars().take(250).collect::<String>());
        assert!(found.is_none(), "{private:?} in the {what}: {around:?}");
    }
}

#[tokio::test]
async fn nothing_a_destination_echoes_of_a_customer_is_kept_or_logged() {
    let log = log::capture();
    let mut app = TestApp::setup()
        .with("sinks.hook.headers.authorization", &format!("Bearer {HEADER}"))
        .with("sinks.hook.breaker.failures", "1000")
        .start()
        .await;
    let echoes = [
        format!(r#"{{"error": "invalid_customer", "name": "{NAME}", "phone": "{PHONE}", "email": "{EMAIL}"}}"#),
        format!("cannot deliver to {NAME}, {ADDRESS} ({PHONE}, {EMAIL})"),
        format!("<p>{NAME}</p><p>{ADDRESS}</p> Authorization: Bearer {HEADER}"),
        json!({"errors": [{"jane": "quillfeather", "lines": ["marmalade", "lane"]}]}).to_string(),
        "jane_quillfeather jane-quillfeather 02079460958 7946 0958 794 609".to_owned(),
    ];
    for (n, echo) in echoes.iter().enumerate() {
        for (m, code) in [401, 404, 422, 429, 500].into_iter().enumerate() {
            app.run("DELETE FROM sink_lanes").await;
            app.restart().await;
            app.webhook.answer_next([answer(Answer::json(code, echo.clone()))]);
            app.arrives(&private_order(&format!("A-{n}-{m}"))).await;
        }
    }
    app.webhook.answer_next([redirect(&format!("http://127.0.0.1:9/?name={NAME}"))]);
    app.restart().await;
    app.arrives(&private_order("B-1")).await;

    let recorded = app.number("SELECT count(*) FROM attempts WHERE response_excerpt IS NOT NULL").await;
    assert!(recorded >= 20, "answers are kept, masked: {recorded}");
    assert!(log.text().contains("delivery attempted"), "the log is captured");
    assert_discreet("database", &whole_database(&app).await);
    assert_discreet("log", &log.text().to_lowercase());
    assert_discreet("settings", &format!("{:?} {:?}", app.settings, app.dispatchers).to_lowercase());
}

#[tokio::test]
async fn an_order_that_was_delivered_leaves_nothing_private_but_its_payload() {
    let mut app = TestApp::start().await;

    app.arrives(&private_order("A-1")).await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_discreet("database", &whole_database(&app).await);
}
