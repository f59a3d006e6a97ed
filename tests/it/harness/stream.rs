//! Pages made by hand, what the stream was asked, and what was stored of it.

use std::{collections::BTreeSet, time::Duration};

use scoffable_sync::simulator::{
    faults::{Answer, Fault, answer},
    journal::Entry,
};
use serde_json::Value;
use sqlx::PgPool;
use tokio::time::Instant;

/// Longest wait for a condition; only reached by a test that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer with this page, whatever was asked for.
pub fn page(orders: &[Value], has_more: bool, next_page_id: Option<&str>) -> Fault {
    let orders: Vec<Vec<u8>> = orders.iter().map(|order| order.to_string().into_bytes()).collect();
    raw_page(&orders, has_more, next_page_id)
}

/// The same of orders that need not be JSON.
pub fn raw_page(orders: &[Vec<u8>], has_more: bool, next_page_id: Option<&str>) -> Fault {
    let mut body = format!(r#"{{"hasMore":{has_more},"data":["#).into_bytes();
    body.extend(orders.join(&b","[..]));
    body.push(b']');
    if let Some(cursor) = next_page_id {
        body.extend(format!(r#","nextPageId":{}"#, Value::from(cursor)).bytes());
    }
    body.push(b'}');
    answer(Answer::json(200, body))
}

/// A parameter of a request, decoded.
pub fn parameter(request: &Entry, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{}", request.query)).expect("a query can be read");
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// All stored (order id, version).
pub async fn stored(pool: &PgPool) -> BTreeSet<(String, i64)> {
    let pairs: Vec<(String, i64)> = sqlx::query_as("SELECT order_id, version FROM order_versions")
        .fetch_all(pool)
        .await
        .expect("versions can be read");
    let set: BTreeSet<_> = pairs.iter().cloned().collect();
    assert_eq!(set.len(), pairs.len(), "the key keeps them unique");
    set
}

/// Waits until a statement of this name (see its first line) waits for a row lock.
pub async fn wait_for_lock(pool: &PgPool, statement: &str) {
    let began = Instant::now();
    loop {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
                            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '-- ' || $1 || '%')",
        )
        .bind(statement)
        .fetch_one(pool)
        .await
        .expect("the activity can be read");
        if waits {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{statement} never waits for a lock");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
