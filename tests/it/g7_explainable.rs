//! G7: every version, decision and attempt of an order can be read back as one timeline, by command and by SQL.

use std::time::Duration;

use scoffable_sync::{
    cli::{config::Form, order as order_command},
    simulator::faults::status,
};
use sqlx::Row;

use crate::harness::app::{TestApp, order, order_of};

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
