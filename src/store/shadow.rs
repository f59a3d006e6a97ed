//! Stored orders as they would be planned had nothing been brought yet, with what is recorded of them at a sink: read for
//! `shadow` page by page. Nothing is written.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{
    Result, StoreError,
    backfill::{Batch, Stored},
    deliveries::{Dependency, Snapshot},
};
use crate::domain::{
    delivery::State,
    ids::{OrderId, OrderKey, SinkName, SourceName, Version},
    money::{Currency, Money},
};

/// The newest version of a stored order.
#[derive(Debug, Clone)]
pub struct Past {
    pub order: OrderKey,
    /// When it was placed; where that is not told, first seen.
    pub at: DateTime<Utc>,
    pub total: Option<Money>,
    pub snapshot: Snapshot,
    /// None: the sink was never owed the order.
    pub recorded: Option<Recorded>,
}

/// Where the order's delivery to the sink stands.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub state: State,
    /// Why it is skipped or parked.
    pub reason: Option<String>,
    pub hint: Option<String>,
    /// What a pending one waits for.
    pub waiting_for: Option<String>,
    pub notice: Option<String>,
    /// Some version is known to have been brought.
    pub is_applied: bool,
    /// What was brought was not taken back.
    pub stands: bool,
    /// In minor units, by the receipt; none: it tells of no money.
    pub posted: Option<i64>,
    /// What the version that was brought says.
    pub applied_total: Option<Money>,
}

/// The next stored orders in the order of their keys.
pub async fn page(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    which: Stored<'_>,
    batch: Batch<'_>,
    offset_ms: i64,
) -> Result<Vec<Past>> {
    let (after_source, after_order) = batch.after();
    // The lateral look-ups go by key whatever the planner knows.
    let rows = sqlx::query_as!(
        Row,
        r#"-- shadow.page
        SELECT o.source, o.order_id, coalesce(o.placed_at, o.first_seen_at) AS "at!", o.total_minor,
               o.currency::text AS currency, s.kind AS "source_kind?",
               v.version, v.status, v.vendor_id, v.order_type, v.content_hash, v.payload,
               (extract(epoch FROM now() + $9 * interval '1 millisecond' - v.received_at) * 1000)::bigint AS "age_ms!",
               d.state AS "state?", d.reason AS "reason?", d.hint AS "hint?", d.waiting_for AS "waiting_for?",
               d.notice AS "notice?", d.applied_version AS "applied_version?",
               (d.receipt ->> 'stands')::boolean AS stands,
               (d.receipt #>> '{money,posted_minor}')::bigint AS posted_minor,
               a.total_minor AS "applied_total_minor?", a.currency AS "applied_currency?"
        FROM orders o
        CROSS JOIN LATERAL (
            SELECT v.version, v.status, v.vendor_id, v.order_type, v.content_hash, v.payload, v.received_at
            FROM order_versions v
            WHERE v.source = o.source AND v.order_id = o.order_id AND v.version = o.version
            LIMIT 1
        ) v
        LEFT JOIN sources s ON s.name = o.source
        LEFT JOIN LATERAL (
            SELECT d.state, d.reason, d.hint, d.waiting_for, d.notice, d.applied_version, d.receipt
            FROM deliveries d
            WHERE d.sink = $1 AND d.source = o.source AND d.order_id = o.order_id
            LIMIT 1
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT a.total_minor, a.currency::text AS currency
            FROM order_versions a
            WHERE a.source = o.source AND a.order_id = o.order_id AND a.version = d.applied_version
            LIMIT 1
        ) a ON true
        WHERE (o.source, o.order_id) > ($2, $3)
          AND ($5::text IS NULL OR o.source = $5)
          AND ($6::text IS NULL OR o.vendor_id = $6)
          AND ($7::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) >= $7)
          AND ($8::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) < $8)
        ORDER BY o.source, o.order_id
        LIMIT $4
        "#,
        sink.as_str(),
        after_source,
        after_order,
        batch.limit(),
        which.source.map(SourceName::as_str),
        which.vendor,
        which.since,
        which.until,
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("shadow.page"))?;
    rows.into_iter().map(Row::into_past).collect()
}

struct Row {
    source: String,
    order_id: String,
    at: DateTime<Utc>,
    total_minor: Option<i64>,
    currency: Option<String>,
    source_kind: Option<String>,
    version: i64,
    status: String,
    vendor_id: Option<String>,
    order_type: Option<String>,
    content_hash: Vec<u8>,
    payload: Option<String>,
    age_ms: i64,
    state: Option<String>,
    reason: Option<String>,
    hint: Option<String>,
    waiting_for: Option<String>,
    notice: Option<String>,
    applied_version: Option<i64>,
    stands: Option<bool>,
    posted_minor: Option<i64>,
    applied_total_minor: Option<i64>,
    applied_currency: Option<String>,
}

impl Row {
    fn into_past(self) -> Result<Past> {
        let source = SourceName::parse(&self.source).map_err(unreadable)?;
        let age = Duration::from_millis(u64::try_from(self.age_ms).unwrap_or_default());
        let recorded = self.state.map(|state| {
            Ok(Recorded {
                state: State::parse(&state).ok_or_else(|| unreadable(format!("{state:?} is no state")))?,
                reason: self.reason,
                hint: self.hint,
                waiting_for: self.waiting_for,
                notice: self.notice,
                is_applied: self.applied_version.is_some(),
                stands: self.stands != Some(false),
                posted: self.posted_minor,
                applied_total: money(self.applied_total_minor, self.applied_currency.as_deref()),
            })
        });
        Ok(Past {
            order: OrderKey { source, order_id: OrderId::new(self.order_id) },
            at: self.at,
            total: money(self.total_minor, self.currency.as_deref()),
            snapshot: Snapshot {
                version: Version(self.version),
                status: self.status,
                vendor_id: self.vendor_id,
                order_type: self.order_type,
                age,
                owed_for: age,
                source_kind: self.source_kind.unwrap_or_default(),
                content_hash: self.content_hash,
                payload: self.payload,
            },
            recorded: recorded.transpose()?,
        })
    }
}

fn money(minor: Option<i64>, currency: Option<&str>) -> Option<Money> {
    Some(Money::new(minor?, Currency::parse(currency?).ok()?))
}

/// Where the sink named by `after` stands with these orders; one that it was never owed is missing.
pub async fn dependencies(
    db: impl PgExecutor<'_>,
    after: &SinkName,
    orders: &[Past],
) -> Result<HashMap<OrderKey, Dependency>> {
    let sources: Vec<&str> = orders.iter().map(|past| past.order.source.as_str()).collect();
    let order_ids: Vec<&str> = orders.iter().map(|past| past.order.order_id.as_str()).collect();
    let rows = sqlx::query!(
        r#"-- shadow.dependencies
        SELECT d.source, d.order_id, d.state, d.applied_version, d.external_id, d.receipt
        FROM unnest($2::text[], $3::text[]) AS o (source, order_id)
        JOIN deliveries d ON d.sink = $1 AND d.source = o.source AND d.order_id = o.order_id
        "#,
        after.as_str(),
        &sources[..] as _,
        &order_ids[..] as _,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("shadow.dependencies"))?;
    let known = rows.into_iter().map(|row| {
        let source = SourceName::parse(&row.source).map_err(unreadable)?;
        let dependency = Dependency {
            state: State::parse(&row.state).ok_or_else(|| unreadable(format!("{:?} is no state", row.state)))?,
            applied: row.applied_version.map(Version),
            external_id: row.external_id,
            receipt: row.receipt,
        };
        Ok((OrderKey { source, order_id: OrderId::new(row.order_id) }, dependency))
    });
    known.collect()
}

/// A name or code that this version of the program cannot have written.
fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::of("shadow.decode")(sqlx::Error::Decode(error.into()))
}
