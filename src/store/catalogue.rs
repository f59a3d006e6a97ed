//! `catalogue_cursors`: how far a destination's changes are known, and whose turn it is. What is known of its records and of
//! what we posted is in the files below.
//!
//! A kind is worked on by who leases its row. Every write of that holder names the epoch of the lease and does nothing once
//! another has taken it; the cursor moves in one statement with the last records before it. What a crash leaves undone is done
//! again and changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;

use super::{Result, StoreError, millis, operations::Operator};
use crate::domain::{
    catalogue::{Cursor, Kind, Pull},
    ids::SinkName,
};

mod documents;
mod entities;
mod status;

pub use self::{
    documents::{Check, Posted, longest_unread, note_check},
    entities::{
        Due, Strikes, Struck, Told, drift, known, longest_unchecked, not_active, note_error, store, strike, want,
    },
    status::{Status, orders_of_the_last, staleness, status},
};

/// How a kind is kept fresh at one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    pub kind: Kind,
    /// None: its changes are not asked for.
    pub pulled_every: Option<Duration>,
    /// How many are looked at, how often. None: none.
    pub swept: Option<(u32, Duration)>,
    pub fresh_within: Duration,
}

/// Makes sure that each kind has its row and is due in time by the present settings, and that no other kind is due.
pub async fn register(db: impl PgExecutor<'_>, sink: &SinkName, upkeep: &[Upkeep], offset_ms: i64) -> Result<()> {
    let kinds: Vec<&str> = upkeep.iter().map(|upkeep| upkeep.kind.as_str()).collect();
    let pulled: Vec<Option<i64>> = upkeep.iter().map(|upkeep| upkeep.pulled_every.map(millis)).collect();
    let items: Vec<Option<i32>> = upkeep.iter().map(|upkeep| upkeep.swept.map(|(items, _)| items as i32)).collect();
    let swept: Vec<Option<i64>> = upkeep.iter().map(|upkeep| upkeep.swept.map(|(_, every)| millis(every))).collect();
    let fresh: Vec<i64> = upkeep.iter().map(|upkeep| millis(upkeep.fresh_within)).collect();
    sqlx::query!(
        r#"-- catalogue.register
        WITH clock AS (
            SELECT now() + $7 * interval '1 millisecond' AS now
        ), retired AS (
            UPDATE catalogue_cursors
            SET next_pull_at = NULL, next_sweep_at = NULL
            WHERE sink = $1 AND kind <> ALL ($2::text[])
        )
        INSERT INTO catalogue_cursors AS c
            (sink, kind, registered_at, updated_at, next_pull_at, next_sweep_at, sweep_items, sweep_every, fresh_within)
        SELECT $1, u.kind, clock.now, clock.now,
               CASE WHEN u.pulled IS NOT NULL THEN clock.now END,
               CASE WHEN u.swept IS NOT NULL THEN clock.now END,
               u.items,
               u.swept * interval '1 millisecond',
               u.fresh * interval '1 millisecond'
        FROM clock, unnest($2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[]) AS u (kind, pulled, items, swept, fresh)
        ORDER BY u.kind
        ON CONFLICT (sink, kind) DO UPDATE
        SET next_pull_at = CASE WHEN EXCLUDED.next_pull_at IS NOT NULL
                                THEN least(c.next_pull_at, EXCLUDED.next_pull_at + (
                                    SELECT u.pulled * interval '1 millisecond'
                                    FROM unnest($2::text[], $3::bigint[]) AS u (kind, pulled)
                                    WHERE u.kind = EXCLUDED.kind)) END,
            next_sweep_at = CASE WHEN EXCLUDED.next_sweep_at IS NOT NULL
                                 THEN least(c.next_sweep_at, EXCLUDED.next_sweep_at + EXCLUDED.sweep_every) END,
            sweep_items = EXCLUDED.sweep_items,
            sweep_every = EXCLUDED.sweep_every,
            fresh_within = EXCLUDED.fresh_within
        "#,
        sink.as_str(),
        &kinds[..] as _,
        &pulled[..] as _,
        &items[..] as _,
        &swept[..] as _,
        &fresh[..],
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("catalogue.register"))?;
    Ok(())
}

/// A leased row.
#[derive(Debug, Clone)]
pub struct Turn {
    pub kind: Kind,
    /// Fence of the lease.
    pub epoch: i64,
    /// The database's clock when it was leased.
    pub now: DateTime<Utc>,
    pub cursor: Option<Cursor>,
    /// At least a day old.
    pub former_cursor: Option<Cursor>,
    pub suspect_at: Option<DateTime<Utc>>,
    pub pull: Option<Pull>,
    pub failures: u32,
    pub pull_is_due: bool,
    pub sweep_is_due: bool,
}

/// Leases the row that is due the longest and that nobody holds; or that of one kind, due or not.
pub async fn claim(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    kind: Option<Kind>,
    owner: &str,
    lease: Duration,
    offset_ms: i64,
) -> Result<Option<Turn>> {
    let row = sqlx::query!(
        r#"-- catalogue.claim
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), due AS MATERIALIZED (
            SELECT c.sink, c.kind
            FROM catalogue_cursors c, clock
            WHERE c.sink = $1
              AND CASE WHEN $2::text IS NULL THEN c.next_pull_at <= clock.now OR c.next_sweep_at <= clock.now
                       ELSE c.kind = $2 END
              AND (c.lease_expires_at IS NULL OR c.lease_expires_at <= clock.now)
            ORDER BY least(c.next_pull_at, c.next_sweep_at), c.kind
            LIMIT 1
            FOR UPDATE OF c SKIP LOCKED
        )
        UPDATE catalogue_cursors c
        SET epoch = c.epoch + 1,
            lease_owner = $3,
            lease_expires_at = clock.now + $4 * interval '1 millisecond'
        FROM due, clock
        WHERE c.sink = due.sink AND c.kind = due.kind
        RETURNING c.kind, c.epoch, clock.now AS "now!", c.cursor, c.former_cursor, c.suspect_at, c.pull, c.failures,
                  coalesce(c.next_pull_at <= clock.now, false) AS "pull_is_due!",
                  coalesce(c.next_sweep_at <= clock.now, false) AS "sweep_is_due!"
        "#,
        sink.as_str(),
        kind.map(Kind::as_str),
        owner,
        millis(lease) as f64,
        offset_ms as f64,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("catalogue.claim"))?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Turn {
        kind: kind_of(&row.kind)?,
        epoch: row.epoch,
        now: row.now,
        cursor: read(row.cursor)?,
        former_cursor: read(row.former_cursor)?,
        suspect_at: row.suspect_at,
        pull: read(row.pull)?,
        failures: u32::try_from(row.failures).unwrap_or_default(),
        pull_is_due: row.pull_is_due,
        sweep_is_due: row.sweep_is_due,
    }))
}

/// How long until some row of a sink can be claimed. None: there is nothing to do for it.
pub async fn next_due(db: impl PgExecutor<'_>, sink: &SinkName, offset_ms: i64) -> Result<Option<Duration>> {
    let wait_ms = sqlx::query_scalar!(
        r#"-- catalogue.next_due
        SELECT (extract(epoch FROM min(greatest(least(next_pull_at, next_sweep_at), lease_expires_at))
                              - now() - $2 * interval '1 millisecond') * 1000)::bigint
        FROM catalogue_cursors
        WHERE sink = $1 AND (next_pull_at IS NOT NULL OR next_sweep_at IS NOT NULL)
        "#,
        sink.as_str(),
        offset_ms as f64,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("catalogue.next_due"))?;
    Ok(wait_ms.map(|ms| Duration::from_millis(ms.max(0) as u64)))
}

/// Who writes.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    pub sink: &'a SinkName,
    pub kind: Kind,
    /// Of the lease. None: a person asked, who waits for nobody's turn.
    pub epoch: Option<i64>,
    /// It holds on for so long after each write.
    pub lease: Duration,
    pub offset_ms: i64,
}

/// Whether a write of a holder took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Yes,
    /// Another process holds the row now.
    LeaseLost,
}

/// How a turn ends.
#[derive(Debug, Clone, Copy, Default)]
pub struct TurnEnd<'a> {
    /// None: as it was.
    pub next_pull_in: Option<Duration>,
    pub next_sweep_in: Option<Duration>,
    /// A sweep came to its end.
    pub swept: bool,
    /// Fixed code of what a pull failed by.
    pub error: Option<&'a str>,
    /// It was left out because no call was left.
    pub skipped: bool,
    /// Where the cursor goes back to because the feed of changes is suspect.
    pub back_to: Option<Cursor>,
}

/// Gives back whatever this process holds of a sink.
pub async fn release(db: impl PgExecutor<'_>, sink: &SinkName, owner: &str) -> Result<()> {
    sqlx::query!(
        r#"-- catalogue.release
        UPDATE catalogue_cursors
        SET lease_owner = NULL, lease_expires_at = NULL
        WHERE sink = $1 AND lease_owner = $2
        "#,
        sink.as_str(),
        owner,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("catalogue.release"))?;
    Ok(())
}

/// Gives the lease back.
pub async fn end(db: impl PgExecutor<'_>, holder: Holder<'_>, end: TurnEnd<'_>) -> Result<()> {
    sqlx::query!(
        r#"-- catalogue.end
        UPDATE catalogue_cursors c
        SET lease_owner = NULL,
            lease_expires_at = NULL,
            updated_at = clock.now,
            next_pull_at = CASE WHEN c.next_pull_at IS NULL THEN NULL
                                ELSE coalesce(clock.now + $5 * interval '1 millisecond', c.next_pull_at) END,
            next_sweep_at = coalesce(clock.now + $6 * interval '1 millisecond', c.next_sweep_at),
            last_sweep_at = CASE WHEN $7 THEN clock.now ELSE c.last_sweep_at END,
            failures = c.failures + CASE WHEN $8::text IS NULL THEN 0 ELSE 1 END,
            last_error = coalesce($8, c.last_error),
            skipped_budget = c.skipped_budget + CASE WHEN $9 THEN 1 ELSE 0 END,
            cursor = coalesce($10::jsonb, c.cursor),
            pull = CASE WHEN $10::jsonb IS NULL THEN c.pull END,
            suspect_at = CASE WHEN $10::jsonb IS NULL THEN c.suspect_at ELSE clock.now END
        FROM (SELECT now() + $4 * interval '1 millisecond' AS now) clock
        WHERE c.sink = $1 AND c.kind = $2 AND c.epoch = $3
        "#,
        holder.sink.as_str(),
        holder.kind.as_str(),
        holder.epoch,
        holder.offset_ms as f64,
        end.next_pull_in.map(|wait| millis(wait) as f64),
        end.next_sweep_in.map(|wait| millis(wait) as f64),
        end.swept,
        end.error,
        end.skipped,
        written(end.back_to.as_ref()),
    )
    .execute(db)
    .await
    .map_err(StoreError::of("catalogue.end"))?;
    Ok(())
}

/// Has the next pulls of these kinds read all there is, from the beginning, and notes who wanted it. Returns the kinds whose
/// changes are asked for at all.
pub async fn begin_anew(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    kinds: &[Kind],
    by: Operator<'_>,
    offset_ms: i64,
) -> Result<Vec<Kind>> {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let begun = sqlx::query_scalar!(
        r#"-- catalogue.begin_anew
        WITH clock AS (
            SELECT now() + $3 * interval '1 millisecond' AS now
        ), locked AS MATERIALIZED (
            SELECT kind
            FROM catalogue_cursors
            WHERE sink = $1 AND kind = ANY ($2::text[]) AND next_pull_at IS NOT NULL
            ORDER BY kind
            FOR UPDATE
        ), begun AS (
            UPDATE catalogue_cursors c
            SET pull = jsonb_build_object('since', NULL, 'began', clock.now, 'page', 1, 'full', true),
                next_pull_at = clock.now
            FROM locked, clock
            WHERE c.sink = $1 AND c.kind = locked.kind
            RETURNING c.kind
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, why, detail)
            SELECT clock.now, $4, 'bootstrap', $1, $5, jsonb_build_object('kinds', (SELECT jsonb_agg(kind) FROM begun))
            FROM clock
            WHERE EXISTS (SELECT FROM begun)
        )
        SELECT kind
        FROM begun
        ORDER BY kind
        "#,
        sink.as_str(),
        &kinds[..] as _,
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("catalogue.begin_anew"))?;
    begun.iter().map(|kind| kind_of(kind)).collect()
}

fn written<T: Serialize>(value: Option<&T>) -> Option<Value> {
    value.and_then(|value| serde_json::to_value(value).ok())
}

fn read<T: for<'de> Deserialize<'de>>(value: Option<Value>) -> Result<Option<T>> {
    value.map(serde_json::from_value).transpose().map_err(undecodable)
}

fn kind_of(text: &str) -> Result<Kind> {
    Kind::parse(text).ok_or_else(|| undecodable(format!("{text:?} is no kind")))
}

/// What this version of the program cannot have written.
fn undecodable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::of("catalogue.decode")(sqlx::Error::Decode(error.into()))
}
