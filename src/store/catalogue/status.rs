//! `catalogue_status`: how fresh the copies are.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;

use super::{
    super::{Result, StoreError},
    kind_of,
};
use crate::domain::{catalogue::Kind, ids::SinkName};

/// One row of `catalogue_status`.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    pub sink: String,
    pub kind: String,
    pub cursor: Option<Value>,
    pub last_pull_at: Option<DateTime<Utc>>,
    pub pull_age_seconds: Option<i64>,
    pub pull_unfinished: bool,
    pub next_pull_at: Option<DateTime<Utc>>,
    pub last_sweep_at: Option<DateTime<Utc>>,
    pub next_sweep_at: Option<DateTime<Utc>>,
    pub failures: i32,
    pub last_error: Option<String>,
    pub skipped_budget: i64,
    pub suspect_at: Option<DateTime<Utc>>,
    pub entities: i64,
    pub not_active: i64,
    pub linked: i64,
    pub created: i64,
    pub broken: i64,
    pub oldest_check: Option<DateTime<Utc>>,
    /// How long a round of the sweep takes, in tenths of a day.
    pub horizon_tenth_days: Option<i64>,
    pub stale: bool,
}

/// How fresh the copies are, of all sinks or one.
pub async fn status(db: impl PgExecutor<'_>, sink: Option<&SinkName>) -> Result<Vec<Status>> {
    sqlx::query_as!(
        Status,
        r#"-- catalogue.status
        SELECT sink AS "sink!", kind AS "kind!", cursor, last_pull_at, pull_age_seconds,
               pull_unfinished AS "pull_unfinished!", next_pull_at, last_sweep_at, next_sweep_at, failures AS "failures!",
               last_error, skipped_budget AS "skipped_budget!", suspect_at, entities AS "entities!",
               not_active AS "not_active!", linked AS "linked!", created AS "created!", broken AS "broken!", oldest_check,
               (horizon_days * 10)::bigint AS horizon_tenth_days, coalesce(stale, false) AS "stale!"
        FROM catalogue_status
        WHERE $1::text IS NULL OR sink = $1
        ORDER BY sink, kind
        "#,
        sink.map(SinkName::as_str),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("catalogue.status"))
}

/// The kinds whose changes are asked for, and whether the newest pull that came to its end is too old.
pub async fn staleness(db: impl PgExecutor<'_>, sink: &SinkName, offset_ms: i64) -> Result<Vec<(Kind, bool)>> {
    let rows = sqlx::query!(
        r#"-- catalogue.staleness
        SELECT kind, now() + $2 * interval '1 millisecond' - coalesce(last_pull_at, registered_at) > fresh_within AS "stale!"
        FROM catalogue_cursors
        WHERE sink = $1 AND next_pull_at IS NOT NULL
        "#,
        sink.as_str(),
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("catalogue.staleness"))?;
    rows.into_iter().map(|row| Ok((kind_of(&row.kind)?, row.stale))).collect()
}

/// Orders that a sink was brought in the last days.
pub async fn orders_of_the_last(db: impl PgExecutor<'_>, sink: &SinkName, days: u32) -> Result<u64> {
    let n = sqlx::query_scalar!(
        r#"-- catalogue.orders_of_the_last
        SELECT count(*) AS "n!"
        FROM deliveries d
        JOIN orders o ON o.source = d.source AND o.order_id = d.order_id
        WHERE d.sink = $1 AND d.applied_version IS NOT NULL
          AND coalesce(o.placed_at, o.first_seen_at) >= now() - $2 * interval '1 day'
        "#,
        sink.as_str(),
        f64::from(days),
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("catalogue.orders_of_the_last"))?;
    Ok(n as u64)
}
