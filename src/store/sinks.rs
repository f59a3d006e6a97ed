//! `sinks` and `sink_lanes`: which destinations are owed deliveries, whether they may be called, and their breakers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::{
    Result, StoreError,
    backfill::{self, Batch, Stored},
    millis,
};
use crate::domain::{delivery::SkipReason, ids::SinkName};

/// What a configured sink writes into its row at start.
#[derive(Debug, Clone)]
pub struct Registration<'a> {
    pub name: &'a SinkName,
    pub kind: &'a str,
    pub carries_money: bool,
    /// `latest` or `every`.
    pub versions_mode: &'a str,
    pub stable_for: Duration,
    /// Vendor id → lane, which is never "".
    pub lanes: &'a BTreeMap<String, String>,
    pub start: Start,
    /// Whether it begins paused; what an operator says later wins.
    pub paused: bool,
}

/// Which stored orders a sink is owed when it is activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// None: only what arrives from now on.
    Activation,
    /// All.
    Beginning,
    /// Those placed since.
    At(DateTime<Utc>),
}

/// Registers the sink, in the caller's transaction; true when this activated it.
///
/// Activation locks every source's row, so each stored version is clearly before or after it, also while another
/// process still polls. A commit that waits for our lock took its snapshot before, and would not see the new sink:
/// raising the epochs fences it, and its process takes the turn again and reads the page once more.
pub async fn register(db: &mut PgConnection, sink: &Registration<'_>, offset_ms: i64) -> Result<bool> {
    let lanes = serde_json::json!(sink.lanes);
    let lanes_before = sqlx::query_scalar!(
        r#"-- sinks.register.lanes_before
        SELECT lanes FROM sinks WHERE name = $1
        "#,
        sink.name.as_str(),
    )
    .fetch_optional(&mut *db)
    .await
    .map_err(StoreError::of("sinks.register.lanes_before"))?;
    if lanes_before.is_some_and(|before| before != lanes) {
        move_lanes(&mut *db, sink.name, &lanes).await?;
    }
    let known = sqlx::query_scalar!(
        r#"-- sinks.register.known
        UPDATE sinks
        SET kind = $2, versions_mode = $3, stable_for = $4 * interval '1 millisecond', lanes = $5, carries_money = $6
        WHERE name = $1
        RETURNING name
        "#,
        sink.name.as_str(),
        sink.kind,
        sink.versions_mode,
        millis(sink.stable_for) as f64,
        lanes,
        sink.carries_money,
    )
    .fetch_optional(&mut *db)
    .await
    .map_err(StoreError::of("sinks.register.known"))?;
    if known.is_some() {
        forget_lanes(&mut *db, sink).await?;
        return Ok(false);
    }
    fence_sources(&mut *db).await?;
    let activated = sqlx::query!(
        r#"-- sinks.register.activate
        INSERT INTO sinks (name, kind, versions_mode, stable_for, lanes, carries_money, activated_at, state, reason, hint)
        VALUES ($1, $2, $3, $4 * interval '1 millisecond', $5, $8, now() + $6 * interval '1 millisecond',
                CASE WHEN $7 THEN 'paused' ELSE 'active' END,
                CASE WHEN $7 THEN 'configured' END,
                CASE WHEN $7 THEN 'configured to begin paused: resume it when it may send' END)
        ON CONFLICT (name) DO NOTHING
        "#,
        sink.name.as_str(),
        sink.kind,
        sink.versions_mode,
        millis(sink.stable_for) as f64,
        lanes,
        offset_ms as f64,
        sink.paused,
        sink.carries_money,
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.register.activate"))?;
    if activated.rows_affected() == 0 {
        return Ok(false);
    }
    let since = match sink.start {
        Start::Activation => return Ok(true),
        Start::Beginning => None,
        Start::At(since) => Some(since),
    };
    let stored = Stored { since, ..Stored::default() };
    let all = Batch { after: None, limit: None };
    backfill::owe(&mut *db, sink.name, stored, all, None, offset_ms).await?;
    Ok(true)
}

/// Locks every source's row and fences whoever reads one now.
async fn fence_sources(db: &mut PgConnection) -> Result<()> {
    sqlx::query_scalar!(
        r#"-- sinks.register.lock_sources
        SELECT name FROM sources ORDER BY name FOR UPDATE
        "#
    )
    .fetch_all(&mut *db)
    .await
    .map_err(StoreError::of("sinks.register.lock_sources"))?;
    sqlx::query!(
        r#"-- sinks.register.fence_sources
        UPDATE sources SET lease_epoch = lease_epoch + 1 WHERE lease_owner IS NOT NULL
        "#
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.register.fence_sources"))?;
    Ok(())
}

/// Gives every delivery the lane that its vendor has now: one that stayed behind would be claimed by nobody. Before the
/// sink's own row is locked, as settling does; and fenced as an activation is, so that no delivery comes after it that
/// knows only the old lanes.
async fn move_lanes(db: &mut PgConnection, sink: &SinkName, lanes: &serde_json::Value) -> Result<()> {
    fence_sources(&mut *db).await?;
    sqlx::query!(
        r#"-- sinks.register.move_lanes
        WITH moved AS MATERIALIZED (
            SELECT d.sink, d.source, d.order_id, coalesce($2::jsonb ->> o.vendor_id, '') AS lane
            FROM deliveries d
            JOIN orders o USING (source, order_id)
            WHERE d.sink = $1 AND d.lane <> coalesce($2::jsonb ->> o.vendor_id, '')
            ORDER BY d.sink, d.source, d.order_id
            FOR UPDATE OF d
        )
        UPDATE deliveries d
        SET lane = m.lane
        FROM moved m
        WHERE d.sink = m.sink AND d.source = m.source AND d.order_id = m.order_id
        "#,
        sink.as_str(),
        lanes,
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.register.move_lanes"))?;
    Ok(())
}

/// Forgets the breakers of lanes that are no more, which nobody would ever probe, and closes the alerts about vendors that
/// had none.
async fn forget_lanes(db: &mut PgConnection, sink: &Registration<'_>) -> Result<()> {
    let kept: Vec<&str> =
        sink.lanes.values().map(String::as_str).chain([""]).collect::<BTreeSet<_>>().into_iter().collect();
    let forgotten = sqlx::query!(
        r#"-- sinks.register.forget_lanes
        DELETE FROM sink_lanes WHERE sink = $1 AND lane <> ALL ($2)
        "#,
        sink.name.as_str(),
        &kept[..] as _,
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.register.forget_lanes"))?;
    if forgotten.rows_affected() > 0 {
        sum_up_breakers(&mut *db, sink.name).await?;
    }
    let mapped: Vec<String> = sink.lanes.keys().map(|vendor| format!("{}/{vendor}", sink.name)).collect();
    sqlx::query!(
        r#"-- sinks.register.calm
        UPDATE alerts SET resolved_at = now() WHERE cause = $1 AND subject = ANY ($2) AND resolved_at IS NULL
        "#,
        SkipReason::UnmappedVendor.as_str(),
        &mapped[..],
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.register.calm"))?;
    Ok(())
}

/// A breaker that is not closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLane {
    pub lane: String,
    /// Until the next probe may be tried.
    pub probe_in: Duration,
}

/// Whether a sink may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    pub paused: bool,
    pub open_lanes: Vec<OpenLane>,
}

/// Reads a sink's gate.
pub async fn gate(db: impl PgExecutor<'_>, sink: &SinkName, offset_ms: i64) -> Result<Gate> {
    let rows = sqlx::query!(
        r#"-- sinks.gate
        SELECT k.state = 'paused' AS "paused!",
               l.lane AS "lane?",
               (extract(epoch FROM l.probe_at - now() - $2 * interval '1 millisecond') * 1000)::bigint AS probe_ms
        FROM sinks k
        LEFT JOIN sink_lanes l ON l.sink = k.name AND l.breaker <> 'closed'
        WHERE k.name = $1
        "#,
        sink.as_str(),
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("sinks.gate"))?;
    Ok(Gate {
        paused: rows.first().is_none_or(|row| row.paused),
        open_lanes: rows
            .into_iter()
            .filter_map(|row| {
                let probe_in = Duration::from_millis(row.probe_ms.unwrap_or_default().max(0) as u64);
                row.lane.map(|lane| OpenLane { lane, probe_in })
            })
            .collect(),
    })
}

/// Tries to win the one probe of an open lane that is due. Whoever moves the row has won; the others wait on.
pub async fn win_probe(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    lane: &str,
    lease: Duration,
    offset_ms: i64,
) -> Result<bool> {
    let done = sqlx::query!(
        r#"-- sinks.win_probe
        UPDATE sink_lanes
        SET breaker = 'half_open',
            probe_at = now() + $4 * interval '1 millisecond' + $3 * interval '1 millisecond'
        WHERE sink = $1 AND lane = $2 AND breaker <> 'closed' AND probe_at <= now() + $4 * interval '1 millisecond'
        "#,
        sink.as_str(),
        lane,
        millis(lease) as f64,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("sinks.win_probe"))?;
    Ok(done.rows_affected() == 1)
}

/// Makes a probe due again, after the wait, that was won and came to no call.
pub async fn return_probe(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    lane: &str,
    wait: Duration,
    offset_ms: i64,
) -> Result<()> {
    sqlx::query!(
        r#"-- sinks.return_probe
        UPDATE sink_lanes
        SET probe_at = now() + $4 * interval '1 millisecond' + $3 * interval '1 millisecond'
        WHERE sink = $1 AND lane = $2 AND breaker = 'half_open'
        "#,
        sink.as_str(),
        lane,
        millis(wait) as f64,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("sinks.return_probe"))?;
    Ok(())
}

/// Opens a lane's breaker, or keeps it open after a failed probe: the wait doubles up to `longest`.
/// `blocked` marks the whole sink as waiting for a person.
pub async fn open_breaker(
    db: &mut PgConnection,
    sink: &SinkName,
    lane: &str,
    opening: &Opening<'_>,
    offset_ms: i64,
) -> Result<()> {
    sqlx::query!(
        r#"-- sinks.open_breaker
        INSERT INTO sink_lanes AS l (sink, lane, breaker, reason, opened_at, probe_at, probe_ms)
        VALUES ($1, $2, 'open', $3, now() + $6 * interval '1 millisecond',
                now() + $6 * interval '1 millisecond' + $4 * interval '1 millisecond', $4)
        ON CONFLICT (sink, lane) DO UPDATE
        SET breaker = 'open',
            reason = EXCLUDED.reason,
            opened_at = CASE l.breaker WHEN 'closed' THEN EXCLUDED.opened_at ELSE l.opened_at END,
            probe_ms = CASE l.breaker WHEN 'closed' THEN EXCLUDED.probe_ms
                                      WHEN 'open' THEN l.probe_ms
                                      ELSE least(l.probe_ms * 2, $5) END,
            probe_at = now() + $6 * interval '1 millisecond' + CASE l.breaker
                WHEN 'closed' THEN EXCLUDED.probe_ms
                WHEN 'open' THEN l.probe_ms
                ELSE least(l.probe_ms * 2, $5) END * interval '1 millisecond'
        "#,
        sink.as_str(),
        lane,
        opening.reason,
        millis(opening.probe) as f64 as i64,
        millis(opening.longest) as f64 as i64,
        offset_ms as f64,
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.open_breaker"))?;
    sqlx::query!(
        r#"-- sinks.open_breaker.sink
        UPDATE sinks
        SET breaker = 'open',
            state = CASE WHEN $2 AND state = 'active' THEN 'blocked' ELSE state END,
            reason = CASE WHEN $2 AND state = 'active' THEN $3 ELSE reason END,
            hint = CASE WHEN $2 AND state = 'active' THEN $4 ELSE hint END
        WHERE name = $1
        "#,
        sink.as_str(),
        opening.blocked_hint.is_some(),
        opening.reason,
        opening.blocked_hint,
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.open_breaker.sink"))?;
    Ok(())
}

/// Why and for how long a breaker opens.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    pub reason: &'a str,
    /// Wait before the first probe.
    pub probe: Duration,
    /// Longest wait between probes.
    pub longest: Duration,
    /// Set when a person must act: what to do.
    pub blocked_hint: Option<&'a str>,
}

/// Closes a lane's breaker after a probe that went through.
pub async fn close_breaker(db: &mut PgConnection, sink: &SinkName, lane: &str) -> Result<()> {
    sqlx::query!(
        r#"-- sinks.close_breaker
        UPDATE sink_lanes
        SET breaker = 'closed', reason = NULL, opened_at = NULL, probe_at = NULL, probe_ms = NULL
        WHERE sink = $1 AND lane = $2
        "#,
        sink.as_str(),
        lane,
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.close_breaker"))?;
    sum_up_breakers(db, sink).await
}

/// Says in the sink's row what its lanes' breakers come to: blocked until the last of them is closed.
async fn sum_up_breakers(db: &mut PgConnection, sink: &SinkName) -> Result<()> {
    sqlx::query!(
        r#"-- sinks.sum_up_breakers
        WITH lanes AS (
            SELECT EXISTS (SELECT FROM sink_lanes WHERE sink = $1 AND breaker <> 'closed') AS are_open
        )
        UPDATE sinks k
        SET breaker = CASE WHEN lanes.are_open THEN 'open' ELSE 'closed' END,
            state = CASE WHEN k.state = 'blocked' AND NOT lanes.are_open THEN 'active' ELSE k.state END,
            reason = CASE WHEN k.state = 'blocked' AND NOT lanes.are_open THEN NULL ELSE k.reason END,
            hint = CASE WHEN k.state = 'blocked' AND NOT lanes.are_open THEN NULL ELSE k.hint END
        FROM lanes
        WHERE k.name = $1
        "#,
        sink.as_str(),
    )
    .execute(&mut *db)
    .await
    .map_err(StoreError::of("sinks.sum_up_breakers"))?;
    Ok(())
}
