//! `summaries`: documents of many orders, with the parts they were closed with.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;
use sqlx::PgExecutor;

use super::{
    Result, StoreError,
    deliveries::{Claimed, Dependency},
    millis,
};
use crate::{
    domain::{
        delivery::{CLOSES_WITHIN, Gathered, SUMMARY, State},
        ids::{OrderId, OrderKey, SinkName, SourceName, Version},
    },
    sinks::Part,
};

/// What a delivery has to do with a closed document.
#[derive(Debug, Clone)]
pub enum Summarised {
    /// It is the document's own.
    Document(Arc<[Part]>),
    /// It is the one of an order whose part is in it.
    Part { gathered: Gathered, document: Dependency },
}

/// Closes the documents whose time is over, each with the orders that wait for it and are nobody's at this moment, and owes
/// them to the sink. One that was closed before takes nothing more. Its orders look again after `sweep`. Returns the ids.
pub async fn close(db: impl PgExecutor<'_>, sink: &SinkName, sweep: Duration, offset_ms: i64) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- summaries.close
        WITH clock AS MATERIALIZED (
            SELECT now() + $2 * interval '1 millisecond' AS now
        ), ripe AS MATERIALIZED (
            -- An order is due soon after the closing: its receipt need not be read before.
            SELECT d.sink, d.source, d.order_id, d.lane, d.receipt -> 'summary' AS place
            FROM deliveries d
            CROSS JOIN clock
            WHERE d.sink = $1 AND d.open AND d.state = 'pending' AND d.waiting_for = 'summary'
              AND d.next_attempt_at <= clock.now + $3 * interval '1 millisecond'
              AND NOT (d.receipt #> '{summary,closed}')::boolean
              AND (d.receipt #>> '{summary,closes_at}')::timestamptz <= clock.now
            ORDER BY d.sink, d.source, d.order_id
            FOR UPDATE OF d
        ), made AS (
            INSERT INTO summaries AS s (sink, id, source, closed_at, orders, parts)
            SELECT r.sink, r.place ->> 'id', min(r.source), clock.now, count(*),
                   jsonb_agg(jsonb_build_object('source', r.source, 'order_id', r.order_id,
                                                'version', r.place -> 'version', 'part', r.place -> 'part')
                             ORDER BY r.source, r.order_id)
            FROM ripe r
            CROSS JOIN clock
            GROUP BY r.sink, r.place ->> 'id', clock.now
            ON CONFLICT (sink, id) DO NOTHING
            RETURNING s.id, s.source
        ), owed AS (
            INSERT INTO deliveries (sink, source, order_id, lane, state, wanted_version, next_attempt_at)
            SELECT $1, m.source, m.id, min(r.lane), 'pending', 1, clock.now
            FROM made m
            JOIN ripe r ON r.place ->> 'id' = m.id
            CROSS JOIN clock
            GROUP BY m.source, m.id, clock.now
        ), joined AS (
            UPDATE deliveries d
            SET receipt = jsonb_set(d.receipt, '{summary,closed}', 'true'),
                sent_version = (r.place ->> 'version')::bigint,
                next_attempt_at = clock.now + $4 * interval '1 millisecond',
                updated_at = clock.now
            FROM ripe r
            JOIN made m ON m.id = r.place ->> 'id'
            CROSS JOIN clock
            WHERE d.sink = r.sink AND d.source = r.source AND d.order_id = r.order_id
        )
        SELECT id AS "id!" FROM made
        "#,
        sink.as_str(),
        offset_ms as f64,
        millis(CLOSES_WITHIN) as f64,
        millis(sweep) as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("summaries.close"))
}

/// Fills in what claimed deliveries of a sink have to do with closed documents.
pub async fn read<'c>(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    claimed: impl Iterator<Item = &'c mut Claimed>,
) -> Result<()> {
    let mut claimed: Vec<(&mut Claimed, Option<Gathered>)> = claimed
        .map(|one| {
            let gathered = one.receipt.as_ref().and_then(|receipt| Gathered::deserialize(receipt.get(SUMMARY)?).ok());
            (one, gathered.filter(|gathered| gathered.closed))
        })
        .collect();
    let ids: Vec<&str> = claimed
        .iter()
        .filter_map(|(one, gathered)| match gathered {
            Some(gathered) => Some(gathered.id.as_str()),
            // Whatever has a version is an order.
            None => one.snapshot.is_none().then(|| one.key.order.order_id.as_str()),
        })
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let own: Vec<&str> = claimed.iter().map(|(one, _)| one.key.order.order_id.as_str()).collect();
    let rows = sqlx::query!(
        r#"-- summaries.read
        SELECT s.id, s.source, CASE WHEN s.id = ANY ($3) THEN s.parts END AS parts, d.state, d.applied_version,
               d.external_id, d.receipt
        FROM summaries s
        JOIN deliveries d ON d.sink = s.sink AND d.source = s.source AND d.order_id = s.id
        WHERE s.sink = $1 AND s.id = ANY ($2)
        "#,
        sink.as_str(),
        &ids[..] as _,
        &own[..] as _,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("summaries.read"))?;
    let mut documents = BTreeMap::new();
    for row in rows {
        let state = State::parse(&row.state).ok_or_else(|| undecodable("unknown state"))?;
        let standing = Dependency {
            state,
            applied: row.applied_version.map(Version),
            external_id: row.external_id,
            receipt: row.receipt,
        };
        documents.insert(row.id, (row.source, row.parts, standing));
    }
    for (one, gathered) in &mut claimed {
        let id = gathered.as_ref().map_or_else(|| one.key.order.order_id.as_str(), |gathered| gathered.id.as_str());
        let Some((source, parts, standing)) = documents.get(id) else { continue };
        one.summarised = match (gathered.take(), parts) {
            (Some(gathered), _) => Some(Summarised::Part { gathered, document: standing.clone() }),
            (None, Some(parts)) if *source == one.key.order.source.as_str() => {
                Some(Summarised::Document(parts_of(parts)?))
            }
            (None, _) => None,
        };
    }
    Ok(())
}

fn parts_of(parts: &serde_json::Value) -> Result<Arc<[Part]>> {
    #[derive(Deserialize)]
    struct Row {
        source: String,
        order_id: String,
        version: Version,
        part: serde_json::Value,
    }
    let rows = Vec::<Row>::deserialize(parts).map_err(undecodable)?;
    let parts = rows.into_iter().map(|row| {
        let source = SourceName::parse(&row.source).map_err(undecodable)?;
        let order = OrderKey { source, order_id: OrderId::new(row.order_id) };
        Ok(Part { order, version: row.version, part: row.part })
    });
    parts.collect()
}

fn undecodable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError { operation: "summaries.read", source: sqlx::Error::Decode(error.into()) }
}

/// Makes the orders due that wait for documents among these deliveries.
pub async fn wake(db: impl PgExecutor<'_>, sink: &SinkName, applied: &[OrderKey], offset_ms: i64) -> Result<u64> {
    let ids: Vec<&str> = applied.iter().map(|order| order.order_id.as_str()).collect();
    let woken = sqlx::query!(
        r#"-- summaries.wake
        WITH waiting AS MATERIALIZED (
            SELECT d.sink, d.source, d.order_id
            FROM deliveries d
            WHERE d.sink = $1 AND d.open AND d.state = 'pending' AND d.waiting_for = 'summary'
              AND d.receipt #>> '{summary,id}' = ANY ($2)
              -- Once for all: most of what is applied is no document.
              AND EXISTS (SELECT FROM summaries s WHERE s.sink = $1 AND s.id = ANY ($2))
            ORDER BY d.sink, d.source, d.order_id
            FOR UPDATE OF d
        )
        UPDATE deliveries d
        SET next_attempt_at = least(d.next_attempt_at, greatest(now() + $3 * interval '1 millisecond', d.not_before))
        FROM waiting w
        WHERE d.sink = w.sink AND d.source = w.source AND d.order_id = w.order_id
        "#,
        sink.as_str(),
        &ids[..] as _,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("summaries.wake"))?;
    Ok(woken.rows_affected())
}
