//! What is written while a lease is held: its extension, the intent to send, whose a foreign id is.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use crate::{
    database::connect::begin,
    domain::{
        delivery::{DeliveryKey, WaitingFor},
        ids::{OrderKey, SinkName},
    },
    store::{self, Result, StoreError, millis},
};

/// A leased delivery, named for a write that must not be made once the lease is lost.
#[derive(Debug, Clone, Copy)]
pub struct Lease<'a> {
    pub key: &'a DeliveryKey,
    pub token: Uuid,
}

/// Prolongs a lease, so that it outlasts a send. A step that stands in doubt counts as sent now, and under this lease.
/// False: the lease was lost, and nothing may be sent.
pub async fn extend(db: impl PgExecutor<'_>, held: Lease<'_>, lease: Duration, offset_ms: i64) -> Result<bool> {
    let done = sqlx::query!(
        r#"-- deliveries.extend
        UPDATE deliveries
        SET lease_expires_at = now() + $6 * interval '1 millisecond' + $5 * interval '1 millisecond',
            pending_step = pending_step || jsonb_build_object('last_sent_at', now() + $6 * interval '1 millisecond',
                                                             'sent_by', lease_token)
        WHERE sink = $1 AND source = $2 AND order_id = $3 AND lease_token = $4
        "#,
        held.key.sink.as_str(),
        held.key.order.source.as_str(),
        held.key.order.order_id.as_str(),
        held.token,
        millis(lease) as f64,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("deliveries.extend"))?;
    Ok(done.rows_affected() == 1)
}

/// Writes down steps that are about to be sent, all of one sink, and prolongs their leases. One that was to go with others
/// and was refused with them is written anew before it goes alone. Returns for each whether it may be sent; otherwise its
/// lease was lost.
pub async fn write_intents(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    steps: &[(Lease<'_>, serde_json::Value)],
    lease: Duration,
    offset_ms: i64,
) -> Result<Vec<bool>> {
    let sources: Vec<&str> = steps.iter().map(|(held, _)| held.key.order.source.as_str()).collect();
    let order_ids: Vec<&str> = steps.iter().map(|(held, _)| held.key.order.order_id.as_str()).collect();
    let tokens: Vec<Uuid> = steps.iter().map(|(held, _)| held.token).collect();
    let bodies: Vec<&serde_json::Value> = steps.iter().map(|(_, step)| step).collect();
    let written = sqlx::query_scalar!(
        r#"-- deliveries.write_intents
        WITH clock AS (
            SELECT now() + $7 * interval '1 millisecond' AS now
        ), locked AS MATERIALIZED (
            SELECT i.n, i.step
            FROM unnest($2::text[], $3::text[], $4::uuid[], $5::jsonb[]) WITH ORDINALITY AS i (source, order_id, token, step, n)
            JOIN deliveries d ON d.sink = $1 AND d.source = i.source AND d.order_id = i.order_id AND d.lease_token = i.token
            WHERE d.pending_step IS NULL OR d.pending_step ->> 'key' = i.step ->> 'key'
            ORDER BY d.sink, d.source, d.order_id
            FOR UPDATE OF d
        )
        UPDATE deliveries d
        SET pending_step = l.step || jsonb_build_object('first_sent_at', clock.now, 'last_sent_at', clock.now,
                                                       'sent_by', d.lease_token),
            lease_expires_at = clock.now + $6 * interval '1 millisecond'
        FROM locked l, clock
        WHERE d.sink = $1 AND d.source = ($2::text[])[l.n] AND d.order_id = ($3::text[])[l.n]
        RETURNING l.n AS "n!"
        "#,
        sink.as_str(),
        &sources[..] as _,
        &order_ids[..] as _,
        &tokens[..],
        &bodies[..] as _,
        millis(lease) as f64,
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("deliveries.write_intents"))?;
    let mut kept = vec![false; steps.len()];
    for n in written {
        kept[(n - 1) as usize] = true;
    }
    Ok(kept)
}

/// Which of several foreign ids belongs to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linked {
    /// The only one that no other delivery of the sink has; it stands in the row now.
    To(String),
    NoneLeft,
    SeveralLeft,
    /// Nothing was looked at.
    LeaseLost,
}

/// Links a delivery to the one of these foreign ids that no other delivery of its sink has, if there is exactly one. Two
/// deliveries never take the same: they wait in line at the sink's row, which is locked behind the delivery, as settling
/// does.
pub async fn link_one_of(pool: &PgPool, held: Lease<'_>, ids: &[String]) -> Result<Linked> {
    let failed = |source| StoreError { operation: "deliveries.link", source };
    let mut tx = begin(pool).await.map_err(failed)?;
    let key = held.key;
    let locked = sqlx::query_scalar!(
        r#"-- deliveries.link.lock
        SELECT sink FROM deliveries
        WHERE sink = $1 AND source = $2 AND order_id = $3 AND lease_token = $4
        FOR UPDATE
        "#,
        key.sink.as_str(),
        key.order.source.as_str(),
        key.order.order_id.as_str(),
        held.token,
    )
    .fetch_optional(&mut *tx)
    .await
    .map_err(failed)?;
    if locked.is_none() {
        return Ok(Linked::LeaseLost);
    }
    sqlx::query_scalar!(
        r#"-- deliveries.link.lock_sink
        SELECT name FROM sinks WHERE name = $1 FOR NO KEY UPDATE
        "#,
        key.sink.as_str(),
    )
    .fetch_optional(&mut *tx)
    .await
    .map_err(failed)?;
    let mut free = sqlx::query_scalar!(
        r#"-- deliveries.link.free
        SELECT c.id AS "id!"
        FROM unnest($2::text[]) AS c (id)
        WHERE NOT EXISTS (SELECT FROM deliveries d
                          WHERE d.sink = $1 AND left(d.external_id, 200) = left(c.id, 200) AND d.external_id = c.id
                            AND (d.source, d.order_id) <> ($3, $4))
          AND NOT EXISTS (SELECT FROM deliveries d
                          WHERE d.sink = $1 AND d.receipt ? 'former_ids' AND d.receipt -> 'former_ids' ? c.id
                            AND (d.source, d.order_id) <> ($3, $4))
        LIMIT 2
        "#,
        key.sink.as_str(),
        ids,
        key.order.source.as_str(),
        key.order.order_id.as_str(),
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(failed)?;
    let linked = match (free.pop(), free.pop()) {
        (None, _) => Linked::NoneLeft,
        (Some(_), Some(_)) => Linked::SeveralLeft,
        (Some(id), None) => {
            sqlx::query!(
                r#"-- deliveries.link
                UPDATE deliveries SET external_id = $4 WHERE sink = $1 AND source = $2 AND order_id = $3
                "#,
                key.sink.as_str(),
                key.order.source.as_str(),
                key.order.order_id.as_str(),
                id,
            )
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
            Linked::To(id)
        }
    };
    tx.commit().await.map_err(failed)?;
    Ok(linked)
}

/// Wakes deliveries of sinks that waited for these orders (`after`). Only saves time: they look again by themselves.
pub async fn wake_dependents(
    db: impl PgExecutor<'_>,
    sinks: &[&SinkName],
    orders: &[OrderKey],
    offset_ms: i64,
) -> Result<u64> {
    let sinks: Vec<&str> = sinks.iter().map(|sink| sink.as_str()).collect();
    let sources: Vec<&str> = orders.iter().map(|order| order.source.as_str()).collect();
    let order_ids: Vec<&str> = orders.iter().map(|order| order.order_id.as_str()).collect();
    let woken = sqlx::query!(
        r#"-- deliveries.wake_dependents
        WITH waiting AS MATERIALIZED (
            SELECT d.sink, d.source, d.order_id
            FROM unnest($1::text[]) AS k (sink)
            CROSS JOIN unnest($2::text[], $3::text[]) AS o (source, order_id)
            JOIN deliveries d USING (sink, source, order_id)
            WHERE d.state = 'pending' AND d.waiting_for = 'dependency'
            ORDER BY d.sink, d.source, d.order_id
            FOR UPDATE OF d
        )
        UPDATE deliveries d
        SET next_attempt_at = least(d.next_attempt_at, greatest(now() + $4 * interval '1 millisecond', d.not_before))
        FROM waiting w
        WHERE d.sink = w.sink AND d.source = w.source AND d.order_id = w.order_id
        "#,
        &sinks[..] as _,
        &sources[..] as _,
        &order_ids[..] as _,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("deliveries.wake_dependents"))?;
    Ok(woken.rows_affected())
}

/// Makes due what waits for a person to mend settings, as they may have been, and closes the alerts about it: what is still
/// amiss is raised anew.
pub async fn wake_held(db: &mut PgConnection, sink: &SinkName, offset_ms: i64) -> Result<u64> {
    let woken = sqlx::query!(
        r#"-- deliveries.wake_held
        WITH held AS MATERIALIZED (
            SELECT d.sink, d.source, d.order_id
            FROM deliveries d
            WHERE d.sink = $1 AND d.open AND d.state = 'pending' AND d.waiting_for = 'configuration'
            ORDER BY d.sink, d.source, d.order_id
            FOR UPDATE OF d
        )
        UPDATE deliveries d
        SET next_attempt_at = least(d.next_attempt_at, greatest(now() + $2 * interval '1 millisecond', d.not_before))
        FROM held h
        WHERE d.sink = h.sink AND d.source = h.source AND d.order_id = h.order_id
        "#,
        sink.as_str(),
        offset_ms as f64,
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("deliveries.wake_held"))?;
    store::alerts::resolve_all(&mut *db, WaitingFor::Configuration.as_str(), sink).await?;
    Ok(woken.rows_affected())
}

/// Closes the alerts about settings that no delivery of a sink waits under any more. After the settlement that released one,
/// and not within it: of two that release the last ones at once neither sees the other's.
pub async fn close_mended(db: impl PgExecutor<'_>, sink: &SinkName) -> Result<()> {
    sqlx::query!(
        r#"-- deliveries.close_mended
        UPDATE alerts a
        SET resolved_at = now()
        FROM (
            SELECT a.id, a.count
            FROM alerts a
            WHERE a.cause = $2 AND starts_with(a.subject, $1 || '/') AND a.resolved_at IS NULL
              AND NOT EXISTS (SELECT FROM deliveries d WHERE d.open AND d.sink = $1 AND d.held_for = a.subject)
        ) mended
        -- Told again meanwhile: somebody waits under it.
        WHERE a.id = mended.id AND a.count = mended.count AND a.resolved_at IS NULL
        "#,
        sink.as_str(),
        WaitingFor::Configuration.as_str(),
    )
    .execute(db)
    .await
    .map_err(StoreError::of("deliveries.close_mended"))?;
    Ok(())
}
