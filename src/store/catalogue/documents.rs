//! `document_checks`: what reading back found of the orders that we posted.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{
    super::{Result, StoreError, millis},
    Holder, undecodable,
};
use crate::domain::{
    ids::{OrderId, OrderKey, SinkName, SourceName},
    reconciliation::Holding,
};

/// An order to be read back, with its lane.
pub type Posted = (String, Holding);

/// The posted orders of the last `days` that were not read back for the longest, and that nothing is under way for.
pub async fn longest_unread(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    most: u32,
    days: u32,
    offset_ms: i64,
) -> Result<Vec<Posted>> {
    let rows = sqlx::query!(
        r#"-- catalogue.longest_unread
        SELECT d.source, d.order_id, d.lane, d.external_id, d.receipt AS "receipt!",
               (d.receipt #>> '{money,posted_minor}')::bigint AS "posted_minor!",
               (extract(epoch FROM now() - d.updated_at) * 1000)::bigint + $4::bigint AS "since_ms!"
        FROM deliveries d
        JOIN orders o ON o.source = d.source AND o.order_id = d.order_id
        LEFT JOIN document_checks c ON c.sink = d.sink AND c.source = d.source AND c.order_id = d.order_id
        WHERE d.sink = $1
          AND d.state = 'applied'
          AND d.receipt #>> '{money,posted_minor}' IS NOT NULL
          AND d.pending_step IS NULL
          AND coalesce(o.placed_at, o.first_seen_at) >= now() + $4 * interval '1 millisecond' - $3 * interval '1 day'
        ORDER BY c.last_checked_at NULLS FIRST, d.source, d.order_id
        LIMIT $2
        "#,
        sink.as_str(),
        i64::from(most),
        f64::from(days),
        offset_ms,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("catalogue.longest_unread"))?;
    rows.into_iter()
        .map(|row| {
            let source = SourceName::parse(&row.source).map_err(undecodable)?;
            let holding = Holding {
                order: OrderKey { source, order_id: OrderId::new(row.order_id) },
                external_id: row.external_id,
                receipt: row.receipt,
                posted: row.posted_minor,
                since: Duration::from_millis(u64::try_from(row.since_ms).unwrap_or_default()),
            };
            Ok((row.lane, holding))
        })
        .collect()
}

/// What reading an order back found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check<'a> {
    pub order: &'a OrderKey,
    /// What the receipt said then: an order that has gone on since is no finding.
    pub posted_minor: i64,
    /// None: it is not told.
    pub remote_minor: Option<i64>,
    /// Fixed code; none: it stands as posted.
    pub finding: Option<&'static str>,
}

/// Keeps what was found. False: the order has gone on meanwhile, or the lease was lost.
pub async fn note_check(db: impl PgExecutor<'_>, holder: Holder<'_>, check: &Check<'_>) -> Result<bool> {
    let done = sqlx::query!(
        r#"-- catalogue.note_check
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), fence AS (
            UPDATE catalogue_cursors c
            SET lease_expires_at = CASE WHEN $3::bigint IS NULL THEN c.lease_expires_at
                                        ELSE clock.now + $4 * interval '1 millisecond' END,
                updated_at = clock.now
            FROM clock
            WHERE c.sink = $1 AND c.kind = $2 AND ($3::bigint IS NULL OR c.epoch = $3 AND c.lease_owner IS NOT NULL)
            RETURNING c.sink
        )
        INSERT INTO document_checks (sink, source, order_id, last_checked_at, finding, remote_minor)
        SELECT d.sink, d.source, d.order_id, clock.now, $9::text, $10::bigint
        FROM fence, clock, deliveries d
        WHERE d.sink = $1 AND d.source = $6 AND d.order_id = $7
          AND d.pending_step IS NULL AND (d.receipt #>> '{money,posted_minor}')::bigint = $8
        ON CONFLICT (sink, source, order_id) DO UPDATE
        SET last_checked_at = EXCLUDED.last_checked_at,
            finding = EXCLUDED.finding,
            remote_minor = EXCLUDED.remote_minor
        "#,
        holder.sink.as_str(),
        holder.kind.as_str(),
        holder.epoch,
        millis(holder.lease) as f64,
        holder.offset_ms as f64,
        check.order.source.as_str(),
        check.order.order_id.as_str(),
        check.posted_minor,
        check.finding,
        check.remote_minor,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("catalogue.note_check"))?;
    Ok(done.rows_affected() == 1)
}
