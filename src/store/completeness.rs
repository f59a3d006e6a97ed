//! Whether what a stream shows is stored. Reads only, and goes by key whatever the planner knows of the tables.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Result, StoreError};
use crate::domain::ids::SourceName;

/// Which of these versions are neither stored nor in quarantine, by their place in the list.
pub async fn missing(
    db: impl PgExecutor<'_>,
    source: &SourceName,
    order_ids: &[&str],
    versions: &[i64],
) -> Result<Vec<usize>> {
    let places = sqlx::query_scalar!(
        r#"-- completeness.missing
        SELECT t.n AS "n!"
        FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS t (order_id, version, n)
        LEFT JOIN LATERAL (
            SELECT true AS stored
            FROM order_versions v
            WHERE v.source = $1 AND v.order_id = t.order_id AND v.version = t.version
            LIMIT 1
        ) v ON true
        WHERE v.stored IS NULL
          AND NOT EXISTS (SELECT FROM quarantine q
                          WHERE q.source = $1 AND q.order_id = t.order_id AND q.version = t.version)
        ORDER BY t.n
        "#,
        source.as_str(),
        order_ids as _,
        versions,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("completeness.missing"))?;
    // Counted from 1.
    Ok(places.into_iter().filter_map(|place| usize::try_from(place - 1).ok()).collect())
}

/// The orders among these between whose stored versions a number is missing.
pub async fn gapped(db: impl PgExecutor<'_>, source: &SourceName, order_ids: &[&str]) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- completeness.gapped
        SELECT o.order_id AS "order_id!"
        FROM unnest($2::text[]) AS o (order_id)
        CROSS JOIN LATERAL (
            SELECT max(v.version) - min(v.version) + 1 > count(*) AS has_gap
            FROM order_versions v
            WHERE v.source = $1 AND v.order_id = o.order_id
        ) g
        WHERE g.has_gap
        ORDER BY o.order_id
        "#,
        source.as_str(),
        order_ids as _,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("completeness.gapped"))
}

/// Whether a poll that began after this instant has come to the end of the stream.
pub async fn was_read_since(db: impl PgExecutor<'_>, source: &SourceName, at: DateTime<Utc>) -> Result<bool> {
    let was_read = sqlx::query_scalar!(
        r#"-- completeness.was_read_since
        SELECT coalesce(last_poll_at > $2 AND caught_up_at >= last_poll_at, false) AS "was_read!"
        FROM sources
        WHERE name = $1
        "#,
        source.as_str(),
        at,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("completeness.was_read_since"))?;
    Ok(was_read.unwrap_or(false))
}
