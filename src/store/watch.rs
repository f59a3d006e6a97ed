//! What is looked at on a timer for alerts that no single event raises. Each read goes by an index or by few rows, and ends
//! where it would become long.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Result, StoreError};

/// Deliveries of one sink that are counted; more are told as this many.
pub const MOST_COUNTED: i64 = 10_000;
/// Orders whose lost workers are counted, of those that have failed the longest.
const MOST_SUSPECTS: i64 = 500;

/// A stream that is neither paused nor parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub source: String,
    /// Since a page was last stored; of a stream that was never read, since it is known.
    pub silent_for: Duration,
    /// The end of the stream was reached after that.
    pub is_caught_up: bool,
}

/// Deliveries of a sink that failed and are tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    pub sink: String,
    pub orders: i64,
    /// `SOURCE/ORDER` of the one that has failed the longest.
    pub first: String,
    pub since: DateTime<Utc>,
}

/// An order whose workers are lost time and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    pub sink: String,
    pub source: String,
    pub order_id: String,
    pub losses: i64,
}

/// A destination, or a part of it, that is only probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    pub sink: String,
    /// "": the whole sink.
    pub lane: String,
    pub reason: Option<String>,
    pub since: Option<DateTime<Utc>>,
}

/// A refresh token that is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub sink: String,
    /// Since it was received.
    pub unused_for: Duration,
}

/// How the streams that should be read are read.
pub async fn streams(db: impl PgExecutor<'_>, offset_ms: i64) -> Result<Vec<Stream>> {
    let rows = sqlx::query!(
        r#"-- watch.streams
        SELECT name,
               (extract(epoch FROM now() + $1 * interval '1 millisecond' - coalesce(last_success_at, created_at)) * 1000)::bigint
                   AS "silent_ms!",
               coalesce(caught_up_at >= last_success_at, false) AS "is_caught_up!"
        FROM sources
        WHERE state IN ('active', 'failing')
        ORDER BY name
        "#,
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("watch.streams"))?;
    let stream = |ms: i64| Duration::from_millis(ms.max(0) as u64);
    let rows = rows.into_iter().map(|row| Stream {
        source: row.name,
        silent_for: stream(row.silent_ms),
        is_caught_up: row.is_caught_up,
    });
    Ok(rows.collect())
}

/// The sinks with deliveries that fail.
pub async fn failing(db: impl PgExecutor<'_>) -> Result<Vec<Failing>> {
    sqlx::query_as!(
        Failing,
        r#"-- watch.failing
        SELECT k.name AS sink, f.orders AS "orders!", f.first AS "first!", f.since AS "since!"
        FROM sinks k
        CROSS JOIN LATERAL (
            SELECT count(*) AS orders,
                   min(o.first_failed_at) AS since,
                   (array_agg(o.source || '/' || o.order_id ORDER BY o.first_failed_at, o.source, o.order_id))[1] AS first
            FROM (
                SELECT d.source, d.order_id, d.first_failed_at
                FROM deliveries d
                WHERE d.open AND d.first_failed_at IS NOT NULL AND d.sink = k.name
                ORDER BY d.first_failed_at
                LIMIT $1
            ) o
        ) f
        WHERE f.orders > 0
        ORDER BY k.name
        "#,
        MOST_COUNTED,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("watch.failing"))
}

/// Orders that lost their worker at least so often since they began to fail.
pub async fn suspects(db: impl PgExecutor<'_>, losses: i64) -> Result<Vec<Suspect>> {
    sqlx::query_as!(
        Suspect,
        r#"-- watch.suspects
        SELECT d.sink, d.source, d.order_id, l.losses AS "losses!"
        FROM (
            SELECT d.sink, d.source, d.order_id, d.first_failed_at
            FROM deliveries d
            WHERE d.open AND d.first_failed_at IS NOT NULL
            ORDER BY d.sink, d.first_failed_at
            LIMIT $2
        ) d
        CROSS JOIN LATERAL (
            SELECT count(*) AS losses
            FROM attempts a
            WHERE a.source = d.source AND a.order_id = d.order_id AND a.sink = d.sink
              AND a.outcome = 'lease_expired' AND a.finished_at >= d.first_failed_at
        ) l
        WHERE l.losses >= $1
        ORDER BY d.sink, d.source, d.order_id
        "#,
        losses,
        MOST_SUSPECTS,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("watch.suspects"))
}

/// What is only probed although nobody blocked or paused it.
pub async fn probed(db: impl PgExecutor<'_>) -> Result<Vec<Probed>> {
    sqlx::query_as!(
        Probed,
        r#"-- watch.probed
        SELECT l.sink, l.lane, l.reason, l.opened_at AS since
        FROM sink_lanes l
        JOIN sinks k ON k.name = l.sink
        WHERE l.breaker <> 'closed' AND k.state <> 'paused'
          AND NOT EXISTS (SELECT FROM alerts a
                          WHERE a.cause = 'blocked' AND a.resolved_at IS NULL
                            AND a.subject = l.sink || CASE l.lane WHEN '' THEN '' ELSE '/' || l.lane END)
        ORDER BY l.sink, l.lane
        "#
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("watch.probed"))
}

/// The refresh tokens that no person has to replace yet.
pub async fn credentials(db: impl PgExecutor<'_>, offset_ms: i64) -> Result<Vec<Credential>> {
    let rows = sqlx::query!(
        r#"-- watch.credentials
        SELECT sink, (extract(epoch FROM now() + $1 * interval '1 millisecond' - refreshed_at) * 1000)::bigint AS "unused_ms!"
        FROM credentials
        WHERE state = 'ok'
        ORDER BY sink
        "#,
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("watch.credentials"))?;
    let unused = |ms: i64| Duration::from_millis(ms.max(0) as u64);
    Ok(rows.into_iter().map(|row| Credential { sink: row.sink, unused_for: unused(row.unused_ms) }).collect())
}

/// The database's time, with the clock's offset.
pub async fn now(db: impl PgExecutor<'_>, offset_ms: i64) -> Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        r#"-- watch.now
        SELECT now() + $1 * interval '1 millisecond' AS "now!"
        "#,
        offset_ms as f64,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("watch.now"))
}

/// How many orders of each source were placed in each of these hours, in their order. A source without any is left out.
pub async fn placed_in(db: impl PgExecutor<'_>, hours: &[DateTime<Utc>]) -> Result<Vec<(String, Vec<i64>)>> {
    let rows = sqlx::query!(
        r#"-- watch.placed_in
        SELECT s.name, array_agg(coalesce(c.orders, 0) ORDER BY h.n) AS "orders!"
        FROM sources s
        CROSS JOIN unnest($1::timestamptz[]) WITH ORDINALITY AS h (begins_at, n)
        LEFT JOIN (
            SELECT p.n, o.source, o.orders
            FROM unnest($1::timestamptz[]) WITH ORDINALITY AS p (begins_at, n)
            CROSS JOIN LATERAL (
                SELECT o.source, count(*) AS orders
                FROM orders o
                WHERE o.placed_at >= p.begins_at AND o.placed_at < p.begins_at + interval '1 hour'
                GROUP BY o.source
            ) o
        ) c ON c.source = s.name AND c.n = h.n
        GROUP BY s.name
        ORDER BY s.name
        "#,
        hours,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("watch.placed_in"))?;
    Ok(rows.into_iter().map(|row| (row.name, row.orders)).collect())
}
