//! Owes a sink orders that were stored before it asked for them: at its activation, and by a person's word later.
//!
//! An order that has a delivery there already is never touched, so doing it again owes only what is missing. A newer
//! version that arrives meanwhile raises the same row, whichever comes first. An order whose content retention removed is
//! not owed: nothing could be sent.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::{Result, StoreError, operations::Operator};
use crate::domain::ids::{SinkName, SourceName};

/// Which stored orders; none: any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored<'a> {
    pub source: Option<&'a SourceName>,
    pub vendor: Option<&'a str>,
    /// By the time they were placed; where that is unknown, first seen.
    pub since: Option<DateTime<Utc>>,
    /// Not included.
    pub until: Option<DateTime<Utc>>,
}

/// An order's place among all orders: source and order id.
pub type Key = (String, String);

/// One bounded step of a walk over many orders.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Behind this one; none: from the beginning.
    pub after: Option<&'a Key>,
    /// None: all there are.
    pub limit: Option<u32>,
}

impl<'a> Batch<'a> {
    pub(super) fn after(self) -> (&'a str, &'a str) {
        self.after.map_or(("", ""), |(source, order_id)| (source, order_id))
    }

    pub(super) fn limit(self) -> Option<i64> {
        self.limit.map(i64::from)
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    pub owed: u64,
    /// Where the next step begins; none: there is nothing left.
    pub last: Option<Key>,
}

/// Owes orders in the order of their keys, behind everything else that is owed. `by`: each is noted as done by a person.
pub async fn owe(
    db: &mut PgConnection,
    sink: &SinkName,
    stored: Stored<'_>,
    batch: Batch<'_>,
    by: Option<Operator<'_>>,
    offset_ms: i64,
) -> Result<Owed> {
    let (after_source, after_order) = batch.after();
    let row = sqlx::query!(
        r#"-- backfill.owe
        WITH due AS MATERIALIZED (
            -- The lateral look-ups go by key whatever the planner knows.
            SELECT o.source, o.order_id, o.version, o.vendor_id, o.updated_at
            FROM orders o
            LEFT JOIN LATERAL (
                SELECT true AS there
                FROM deliveries d
                WHERE d.sink = $1 AND d.source = o.source AND d.order_id = o.order_id
                LIMIT 1
            ) known ON true
            CROSS JOIN LATERAL (
                -- Held, so that retention does not remove it before it is owed.
                SELECT v.version
                FROM order_versions v
                WHERE v.source = o.source AND v.order_id = o.order_id AND v.version = o.version
                  AND v.payload IS NOT NULL
                LIMIT 1
                FOR SHARE
            ) content
            WHERE (o.source, o.order_id) > ($2, $3)
              AND ($5::text IS NULL OR o.source = $5)
              AND ($6::text IS NULL OR o.vendor_id = $6)
              AND ($7::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) >= $7)
              AND ($8::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) < $8)
              AND known.there IS NULL
            ORDER BY o.source, o.order_id
            LIMIT $4
        ), owed AS (
            INSERT INTO deliveries (sink, source, order_id, lane, priority, state, wanted_version, floor_version,
                                    next_attempt_at, updated_at)
            SELECT k.name, o.source, o.order_id, coalesce(k.lanes ->> o.vendor_id, ''), 2, 'pending', o.version,
                   -- The walk begins behind what retention removed.
                   CASE k.versions_mode WHEN 'every' THEN coalesce(
                       (SELECT max(v.version) + 1
                        FROM order_versions v
                        WHERE v.source = o.source AND v.order_id = o.order_id AND v.payload IS NULL), 0) END,
                   greatest(now() + $9 * interval '1 millisecond', o.updated_at + k.stable_for),
                   now() + $9 * interval '1 millisecond'
            FROM sinks k
            CROSS JOIN due o
            WHERE k.name = $1
            ORDER BY o.source, o.order_id
            ON CONFLICT (sink, source, order_id) DO NOTHING
            RETURNING source, order_id, wanted_version
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, source, order_id, why, detail)
            SELECT now() + $9 * interval '1 millisecond', $10, 'backfill', $1, o.source, o.order_id, $11,
                   jsonb_build_object('version', o.wanted_version)
            FROM owed o
            WHERE $10::text IS NOT NULL
            ORDER BY o.source, o.order_id
        )
        SELECT (SELECT count(*) FROM owed) AS "owed!", last.source AS "source?", last.order_id AS "order_id?"
        FROM (VALUES (1)) AS one (one)
        LEFT JOIN LATERAL (
            SELECT due.source, due.order_id FROM due ORDER BY due.source DESC, due.order_id DESC LIMIT 1
        ) last ON true
        "#,
        sink.as_str(),
        after_source,
        after_order,
        batch.limit(),
        stored.source.map(SourceName::as_str),
        stored.vendor,
        stored.since,
        stored.until,
        offset_ms as f64,
        by.map(|by| by.who),
        by.and_then(|by| by.why),
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("backfill.owe"))?;
    Ok(Owed { owed: row.owed as u64, last: row.source.zip(row.order_id) })
}

/// How many orders [`owe`] would owe, and how many cannot be because retention removed their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    pub owable: u64,
    pub without_content: u64,
}

/// Counts what a sink is not owed yet.
pub async fn missing(db: impl PgExecutor<'_>, sink: &SinkName, stored: Stored<'_>) -> Result<Missing> {
    let row = sqlx::query!(
        r#"-- backfill.missing
        SELECT count(*) FILTER (WHERE v.payload IS NOT NULL) AS "owable!",
               count(*) FILTER (WHERE v.payload IS NULL) AS "without_content!"
        FROM orders o
        LEFT JOIN order_versions v ON v.source = o.source AND v.order_id = o.order_id AND v.version = o.version
        WHERE ($2::text IS NULL OR o.source = $2)
          AND ($3::text IS NULL OR o.vendor_id = $3)
          AND ($4::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) >= $4)
          AND ($5::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) < $5)
          AND NOT EXISTS (SELECT FROM deliveries d
                          WHERE d.sink = $1 AND d.source = o.source AND d.order_id = o.order_id)
        "#,
        sink.as_str(),
        stored.source.map(SourceName::as_str),
        stored.vendor,
        stored.since,
        stored.until,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("backfill.missing"))?;
    Ok(Missing { owable: row.owable as u64, without_content: row.without_content as u64 })
}
