//! What the books of a sink are made of, read for `reconcile` as a stream: nothing is kept here, and nothing is written.
//!
//! One statement sees one moment: a delivery that goes on meanwhile is read as it was before.

use std::{ops::ControlFlow, time::Duration};

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::PgExecutor;

use super::{Result, StoreError, backfill::Stored};
use crate::domain::{
    delivery::{Progress, State},
    ids::{OrderId, OrderKey, SinkName, SourceName, VendorId, Version},
    money::Currency,
    order::Status,
    reconciliation::{Entry, Holding, Said, Standing},
};

/// A sink that carries money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneySink {
    pub name: SinkName,
    pub kind: String,
}

/// All sinks that carry money, by name.
pub async fn money_sinks(db: impl PgExecutor<'_>) -> Result<Vec<MoneySink>> {
    let rows = sqlx::query!(
        r#"-- reconciliation.money_sinks
        SELECT name, kind FROM sinks WHERE carries_money ORDER BY name
        "#
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("reconciliation.money_sinks"))?;
    rows.into_iter().map(|row| Ok(MoneySink { name: parsed(SinkName::parse(&row.name))?, kind: row.kind })).collect()
}

/// How many orders [`walk`] visits.
pub async fn count(db: impl PgExecutor<'_>, which: Stored<'_>) -> Result<u64> {
    let n = sqlx::query_scalar!(
        r#"-- reconciliation.count
        SELECT count(*) AS "n!"
        FROM orders o
        WHERE ($1::text IS NULL OR o.source = $1)
          AND ($2::text IS NULL OR o.vendor_id = $2)
          AND ($3::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) >= $3)
          AND ($4::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) < $4)
        "#,
        which.source.map(SourceName::as_str),
        which.vendor,
        which.since,
        which.until,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("reconciliation.count"))?;
    Ok(n as u64)
}

/// Visits every stored order with its delivery to this sink, oldest first, until told to stop.
pub async fn walk(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    which: Stored<'_>,
    visit: &mut (dyn FnMut(Entry) -> ControlFlow<()> + Send),
) -> Result<()> {
    // Only the order of the orders is sorted; everything else is looked up by key, whatever the planner knows.
    let mut rows = sqlx::query_as!(
        Row,
        r#"-- reconciliation.walk
        SELECT o.source AS "source!", o.order_id AS "order_id!", o.at AS "at!", o.vendor_id,
               o.version AS "version!", o.status AS "status!", o.total_minor, o.currency::text AS currency,
               v.breakdown::text AS "breakdown!",
               d.state AS "state?", d.reason AS "reason?", d.waiting_for AS "waiting_for?",
               d.applied_version AS "applied_version?", d.sent_version AS "sent_version?", d.notice AS "notice?",
               d.external_id AS "external_id?", d.posted_minor AS "posted_minor?", d.declared_minor AS "declared_minor?",
               a.status AS "applied_status?", a.total_minor AS "applied_total_minor?", a.currency AS "applied_currency?"
        FROM (
            SELECT o.source, o.order_id, coalesce(o.placed_at, o.first_seen_at) AS at, o.vendor_id, o.version, o.status,
                   o.total_minor, o.currency
            FROM orders o
            WHERE ($2::text IS NULL OR o.source = $2)
              AND ($3::text IS NULL OR o.vendor_id = $3)
              AND ($4::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) >= $4)
              AND ($5::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) < $5)
            ORDER BY at, source, order_id
        ) o
        CROSS JOIN LATERAL (
            SELECT v.breakdown
            FROM order_versions v
            WHERE v.source = o.source AND v.order_id = o.order_id AND v.version = o.version
            LIMIT 1
        ) v
        LEFT JOIN LATERAL (
            SELECT d.state, d.reason, d.waiting_for, d.applied_version, d.sent_version, d.notice, d.external_id,
                   (d.receipt #>> '{money,posted_minor}')::bigint AS posted_minor,
                   (d.receipt #>> '{money,declared_minor}')::bigint AS declared_minor
            FROM deliveries d
            WHERE d.sink = $1 AND d.source = o.source AND d.order_id = o.order_id
            LIMIT 1
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT a.status, a.total_minor, a.currency::text AS currency
            FROM order_versions a
            WHERE a.source = o.source AND a.order_id = o.order_id AND a.version = d.applied_version
              AND d.applied_version <> o.version
            LIMIT 1
        ) a ON true
        ORDER BY o.at, o.source, o.order_id
        "#,
        sink.as_str(),
        which.source.map(SourceName::as_str),
        which.vendor,
        which.since,
        which.until,
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await.map_err(StoreError::of("reconciliation.walk"))? {
        if visit(row.into_entry()?).is_break() {
            break;
        }
    }
    Ok(())
}

struct Row {
    source: String,
    order_id: String,
    at: DateTime<Utc>,
    vendor_id: Option<String>,
    version: i64,
    status: String,
    total_minor: Option<i64>,
    currency: Option<String>,
    breakdown: String,
    state: Option<String>,
    reason: Option<String>,
    waiting_for: Option<String>,
    applied_version: Option<i64>,
    sent_version: Option<i64>,
    notice: Option<String>,
    external_id: Option<String>,
    posted_minor: Option<i64>,
    declared_minor: Option<i64>,
    applied_status: Option<String>,
    applied_total_minor: Option<i64>,
    applied_currency: Option<String>,
}

impl Row {
    fn into_entry(self) -> Result<Entry> {
        let order =
            OrderKey { source: parsed(SourceName::parse(&self.source))?, order_id: OrderId::new(self.order_id) };
        let newest = Said {
            version: Version(self.version),
            status: Status::from_text(&self.status),
            total: self.total_minor,
            currency: currency(self.currency.as_deref()),
        };
        let applied = self.applied_version.map(|version| match self.applied_status.as_deref() {
            Some(status) => Said {
                version: Version(version),
                status: Status::from_text(status),
                total: self.applied_total_minor,
                currency: currency(self.applied_currency.as_deref()),
            },
            None => newest.clone(),
        });
        let delivery = self.state.as_deref().map(|state| {
            Ok(Standing {
                state: State::parse(state).ok_or_else(|| unreadable(format!("{state:?} is no state")))?,
                reason: self.reason,
                waiting_for: self.waiting_for,
                progress: Progress { applied: self.applied_version.map(Version), sent: self.sent_version.map(Version) },
                applied,
                notice: self.notice,
                external_id: self.external_id,
                posted: self.posted_minor.unwrap_or(0),
                declared: self.declared_minor.unwrap_or(0),
            })
        });
        Ok(Entry {
            order,
            vendor_id: self.vendor_id.map(VendorId::new),
            at: self.at,
            // What another version of the program has written is no reason to prove nothing.
            breakdown: serde_json::from_str(&self.breakdown).ok(),
            delivery: delivery.transpose()?,
            newest,
        })
    }
}

fn currency(text: Option<&str>) -> Option<Currency> {
    text.and_then(|text| Currency::parse(text).ok())
}

/// A name or code that this version of the program cannot have written.
fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::of("reconciliation.decode")(sqlx::Error::Decode(error.into()))
}

fn parsed<T, E: std::error::Error + Send + Sync + 'static>(name: std::result::Result<T, E>) -> Result<T> {
    name.map_err(unreadable)
}

/// How many orders of each lane stand in a sink by its receipts, and no step of theirs is under way.
pub async fn lanes(db: impl PgExecutor<'_>, sink: &SinkName, which: Stored<'_>) -> Result<Vec<(String, u64)>> {
    let rows = sqlx::query!(
        r#"-- reconciliation.lanes
        SELECT d.lane, count(*) AS "n!"
        FROM deliveries d
        JOIN orders o ON o.source = d.source AND o.order_id = d.order_id
        WHERE d.sink = $1
          AND d.receipt #>> '{money,posted_minor}' IS NOT NULL
          AND d.pending_step IS NULL AND d.state <> 'in_flight'
          AND (d.state <> 'pending' OR d.sent_version IS NOT DISTINCT FROM d.applied_version)
          AND ($2::text IS NULL OR o.source = $2)
          AND ($3::text IS NULL OR o.vendor_id = $3)
          AND ($4::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) >= $4)
          AND ($5::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) < $5)
        GROUP BY d.lane
        ORDER BY d.lane
        "#,
        sink.as_str(),
        which.source.map(SourceName::as_str),
        which.vendor,
        which.since,
        which.until,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("reconciliation.lanes"))?;
    Ok(rows.into_iter().map(|row| (row.lane, row.n as u64)).collect())
}

/// An order's place among those of a lane: oldest first.
#[derive(Debug, Clone)]
pub struct Place {
    at: DateTime<Utc>,
    order: OrderKey,
}

/// The next orders of a lane behind one that were counted by [`lanes`], oldest first, with their places.
pub async fn holdings(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    lane: &str,
    which: Stored<'_>,
    after: Option<&Place>,
    limit: usize,
    offset_ms: i64,
) -> Result<Vec<(Place, Holding)>> {
    let rows = sqlx::query!(
        r#"-- reconciliation.holdings
        SELECT d.source, d.order_id, coalesce(o.placed_at, o.first_seen_at) AS "at!", d.external_id,
               d.receipt AS "receipt!", (d.receipt #>> '{money,posted_minor}')::bigint AS "posted_minor!",
               (extract(epoch FROM now() - d.updated_at) * 1000)::bigint + $9::bigint AS "since_ms!"
        FROM deliveries d
        JOIN orders o ON o.source = d.source AND o.order_id = d.order_id
        WHERE d.sink = $1
          AND d.lane = $2
          AND d.receipt #>> '{money,posted_minor}' IS NOT NULL
          AND d.pending_step IS NULL AND d.state <> 'in_flight'
          AND (d.state <> 'pending' OR d.sent_version IS NOT DISTINCT FROM d.applied_version)
          AND ($3::text IS NULL OR o.source = $3)
          AND ($4::text IS NULL OR o.vendor_id = $4)
          AND ($5::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) >= $5)
          AND ($6::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) < $6)
          AND ($7::timestamptz IS NULL
               OR (coalesce(o.placed_at, o.first_seen_at), d.source, d.order_id) > ($7, $10::text, $11::text))
        ORDER BY coalesce(o.placed_at, o.first_seen_at), d.source, d.order_id
        LIMIT $8
        "#,
        sink.as_str(),
        lane,
        which.source.map(SourceName::as_str),
        which.vendor,
        which.since,
        which.until,
        after.map(|place| place.at),
        i64::try_from(limit).unwrap_or(i64::MAX),
        offset_ms,
        after.map(|place| place.order.source.as_str()),
        after.map(|place| place.order.order_id.as_str()),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("reconciliation.holdings"))?;
    let mut holdings = Vec::with_capacity(rows.len());
    for row in rows {
        let source = parsed(SourceName::parse(&row.source))?;
        let order = OrderKey { source, order_id: OrderId::new(row.order_id) };
        let holding = Holding {
            order: order.clone(),
            external_id: row.external_id,
            receipt: row.receipt,
            posted: row.posted_minor,
            since: Duration::from_millis(u64::try_from(row.since_ms).unwrap_or_default()),
        };
        holdings.push((Place { at: row.at, order }, holding));
    }
    Ok(holdings)
}
