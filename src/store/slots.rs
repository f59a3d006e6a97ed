//! `call_slots`: how many calls at a time the processes of one database have at a destination together.
//!
//! A process holds slots for a time and prolongs them while it needs them, as any lease; what one that died had is free when
//! its time is over.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{Result, StoreError, millis};
use crate::domain::ids::SinkName;

/// Makes sure that a sink has so many slots.
pub async fn create(db: impl PgExecutor<'_>, sink: &SinkName, most: u32) -> Result<()> {
    sqlx::query!(
        r#"-- slots.create
        INSERT INTO call_slots (sink, slot)
        SELECT $1, slot
        FROM generate_series(1, $2::int) AS s (slot)
        ORDER BY slot
        ON CONFLICT (sink, slot) DO NOTHING
        "#,
        sink.as_str(),
        most as i32,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("slots.create"))?;
    Ok(())
}

/// Who wants how many of a sink's slots.
#[derive(Debug, Clone, Copy)]
pub struct Hold<'a> {
    pub sink: &'a SinkName,
    pub owner: &'a str,
    /// With those it holds already; it gives back what is more.
    pub wanted: u32,
    /// Slots behind these are nobody's any more: the limit was lowered.
    pub most: u32,
    pub lease: Duration,
}

/// Lets a process hold as many slots as it wants, as far as others leave them. Returns how many those are; they are its own for
/// the lease from now on.
pub async fn hold(db: impl PgExecutor<'_>, hold: Hold<'_>, offset_ms: i64) -> Result<u32> {
    let held = sqlx::query_scalar!(
        r#"-- slots.hold
        WITH clock AS MATERIALIZED (
            SELECT now() + $6 * interval '1 millisecond' AS now
        ), kept AS MATERIALIZED (
            SELECT c.slot
            FROM call_slots c, clock
            WHERE c.sink = $1 AND c.slot <= $4
              AND (c.owner = $2 OR c.owner IS NULL OR c.expires_at <= clock.now)
            ORDER BY c.owner IS DISTINCT FROM $2, c.slot
            LIMIT $3
            FOR UPDATE OF c SKIP LOCKED
        ), surplus AS MATERIALIZED (
            SELECT c.slot
            FROM call_slots c
            WHERE c.sink = $1 AND c.owner = $2 AND c.slot NOT IN (SELECT slot FROM kept)
            ORDER BY c.slot
            FOR UPDATE OF c SKIP LOCKED
        ), freed AS (
            UPDATE call_slots c
            SET owner = NULL, expires_at = NULL
            FROM surplus
            WHERE c.sink = $1 AND c.slot = surplus.slot
        ), held AS (
            UPDATE call_slots c
            SET owner = $2, expires_at = clock.now + $5 * interval '1 millisecond'
            FROM kept, clock
            WHERE c.sink = $1 AND c.slot = kept.slot
            RETURNING c.slot
        )
        SELECT count(*) AS "n!"
        FROM held
        "#,
        hold.sink.as_str(),
        hold.owner,
        i64::from(hold.wanted),
        hold.most as i32,
        millis(hold.lease) as f64,
        offset_ms as f64,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("slots.hold"))?;
    Ok(u32::try_from(held).unwrap_or_default())
}
