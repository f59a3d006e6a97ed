//! `call_budgets`: calls reserved against foreign limits, shared by every process on this database.
//!
//! A minute limit keeps a sliding log, because fixed windows let twice the limit through at their edge.
//!
//! A source reserves one call at a time, in one statement ([`reserve_minute`]). A sink's limits have priorities, floors
//! and learned numbers, which `delivery::budget` weighs: here its [`Counter`]s are read and written back, each write
//! naming the revision it has read, so that of two processes one reads again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use super::{Result, StoreError};
use crate::domain::limits::Window;

/// The window kept in the log: a little more than a minute, for a request that was reserved, held up on its way, and
/// then reaches the other side later than one reserved after it.
pub const MINUTE: Duration = Duration::from_millis(61_500);

/// A scope and how many calls any minute may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteLimit {
    /// `source:NAME`, `account:NAME`, `sink:NAME/LANE`.
    pub scope: String,
    pub per_minute: u32,
}

/// Whether a call may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    Granted,
    /// Some scope is full until then; nothing was reserved.
    Full {
        wait: Duration,
    },
}

/// Reserves one call in every scope, or in none.
///
/// A scope that was never used gets its row first: without one there is nothing to lock, and all first callers would
/// count from zero.
pub async fn reserve_minute(
    pool: impl PgExecutor<'_> + Copy,
    limits: &[MinuteLimit],
    offset_ms: i64,
) -> Result<Reserved> {
    if limits.is_empty() {
        return Ok(Reserved::Granted);
    }
    loop {
        if let Some(reserved) = try_reserve_minute(pool, limits, offset_ms).await? {
            return Ok(reserved);
        }
    }
}

/// None: a row was missing and is there now; ask again.
async fn try_reserve_minute(
    pool: impl PgExecutor<'_> + Copy,
    limits: &[MinuteLimit],
    offset_ms: i64,
) -> Result<Option<Reserved>> {
    let scopes: Vec<String> = limits.iter().map(|l| l.scope.clone()).collect();
    let allowed: Vec<i64> = limits.iter().map(|l| i64::from(l.per_minute.max(1))).collect();
    let row = sqlx::query!(
        r#"-- budgets.reserve_minute
        WITH clock AS (
            SELECT now() + $3 * interval '1 millisecond' AS now
        ), wanted AS (
            SELECT * FROM unnest($1::text[], $2::bigint[]) AS w (scope, allowed)
        ), locked AS MATERIALIZED (
            SELECT b.scope, b.learned_limit, b.recent
            FROM call_budgets b
            JOIN wanted w USING (scope)
            WHERE b."window" = 'minute' AND b.window_start = 'epoch'
            ORDER BY b.scope
            FOR UPDATE OF b
        ), made AS (
            INSERT INTO call_budgets (scope, "window", window_start)
            SELECT w.scope, 'minute', 'epoch'
            FROM wanted w
            WHERE w.scope NOT IN (SELECT scope FROM locked)
            ORDER BY w.scope
            ON CONFLICT (scope, "window", window_start) DO NOTHING
        ), counted AS MATERIALIZED (
            SELECT w.scope,
                   least(w.allowed, l.learned_limit) AS allowed,
                   ARRAY(SELECT t FROM unnest(l.recent) AS t, clock WHERE t > clock.now - $4 * interval '1 millisecond' ORDER BY t)
                       AS recent
            FROM wanted w
            JOIN locked l USING (scope)
        ), full_until AS (
            -- The call that has to leave the window before there is room.
            SELECT max(recent[cardinality(recent) - allowed + 1] + $4 * interval '1 millisecond') AS at
            FROM counted
            WHERE cardinality(recent) >= allowed
        ), reserved AS (
            UPDATE call_budgets b
            SET used = b.used + 1, recent = c.recent || clock.now
            FROM counted c, clock
            WHERE b.scope = c.scope AND b."window" = 'minute' AND b.window_start = 'epoch'
              AND (SELECT at FROM full_until) IS NULL
              AND (SELECT count(*) FROM locked) = (SELECT count(*) FROM wanted)
        )
        SELECT (extract(epoch FROM full_until.at - clock.now) * 1000)::bigint AS wait_ms,
               (SELECT count(*) FROM locked) = (SELECT count(*) FROM wanted) AS "complete!"
        FROM full_until, clock
        "#,
        &scopes[..],
        &allowed[..],
        offset_ms as f64,
        MINUTE.as_millis() as f64,
    )
    .fetch_one(pool)
    .await
    .map_err(StoreError::of("budgets.reserve_minute"))?;
    Ok(match row.wait_ms {
        Some(ms) => Some(Reserved::Full { wait: Duration::from_millis(ms.max(0) as u64 + 1) }),
        None => row.complete.then_some(Reserved::Granted),
    })
}

/// Calls of one stretch of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When the last of them was reserved, or somewhat later.
    pub at: DateTime<Utc>,
    pub calls: i64,
    /// Those of them that no order waits for.
    pub background: i64,
}

/// One row: what is known of one window of a sink's scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Counter {
    pub scope: String,
    pub window: Window,
    /// The month; the epoch for every other window.
    pub window_start: DateTime<Utc>,
    /// Ascending.
    pub log: Vec<Entry>,
    pub learned_limit: Option<i64>,
    pub learned_remaining: Option<i64>,
    pub learned_spent: i64,
    pub learned_until: Option<DateTime<Utc>>,
    pub closed_until: Option<DateTime<Utc>>,
    pub revision: i64,
    /// Of a second: when the first slot opens that no call has yet.
    pub next_slot_at: Option<DateTime<Utc>>,
    /// For people: calls in the window, most calls, and until when nothing is left.
    pub used: i64,
    pub max_calls: Option<i64>,
    pub full_until: Option<DateTime<Utc>>,
}

/// Which rows are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterKey {
    pub scope: String,
    pub window: Window,
    pub window_start: DateTime<Utc>,
}

/// The database's time, and the newest counter of each scope and window that was asked for and has one.
pub async fn load(db: impl PgExecutor<'_>, scopes: &[String], offset_ms: i64) -> Result<(DateTime<Utc>, Vec<Counter>)> {
    let rows = sqlx::query!(
        r#"-- budgets.load
        SELECT now() + $2 * interval '1 millisecond' AS "now!",
               b.scope AS "scope?",
               b."window" AS "window?",
               b.window_start AS "window_start?",
               b.recent AS "recent?",
               b.calls AS "calls?",
               b.background AS "background?",
               b.learned_limit,
               b.learned_remaining,
               b.learned_spent AS "learned_spent?",
               b.learned_until,
               b.closed_until,
               b.revision AS "revision?",
               b.next_slot_at,
               b.used AS "used?",
               b.max_calls,
               b.full_until
        FROM (SELECT) AS one
        LEFT JOIN LATERAL (
            SELECT DISTINCT ON (scope, "window") *
            FROM call_budgets
            WHERE scope = ANY ($1)
            ORDER BY scope, "window", window_start DESC
        ) b ON true
        "#,
        scopes,
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("budgets.load"))?;
    let now = rows.first().map(|row| row.now).unwrap_or_default();
    let counters = rows.into_iter().filter_map(|row| {
        let calls = row.calls?.into_iter().zip(row.background?);
        let log = row.recent?.into_iter().zip(calls);
        Some(Counter {
            scope: row.scope?,
            window: Window::parse(&row.window?)?,
            window_start: row.window_start?,
            log: log.map(|(at, (calls, background))| Entry { at, calls, background }).collect(),
            learned_limit: row.learned_limit,
            learned_remaining: row.learned_remaining,
            learned_spent: row.learned_spent?,
            learned_until: row.learned_until,
            closed_until: row.closed_until,
            revision: row.revision?,
            next_slot_at: row.next_slot_at,
            used: row.used?,
            max_calls: row.max_calls,
            full_until: row.full_until,
        })
    });
    Ok((now, counters.collect()))
}

/// Makes sure that these rows exist: without one there is nothing to fence, and all first callers would count from zero.
pub async fn create(db: impl PgExecutor<'_>, keys: &[CounterKey]) -> Result<()> {
    let scopes: Vec<&str> = keys.iter().map(|key| key.scope.as_str()).collect();
    let windows: Vec<&str> = keys.iter().map(|key| key.window.as_str()).collect();
    let starts: Vec<DateTime<Utc>> = keys.iter().map(|key| key.window_start).collect();
    sqlx::query!(
        r#"-- budgets.create
        INSERT INTO call_budgets (scope, "window", window_start)
        SELECT *
        FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (scope, "window", window_start)
        ORDER BY 1, 2, 3
        ON CONFLICT (scope, "window", window_start) DO NOTHING
        "#,
        &scopes[..] as _,
        &windows[..] as _,
        &starts[..],
    )
    .execute(db)
    .await
    .map_err(StoreError::of("budgets.create"))?;
    Ok(())
}

/// A counter as SQL takes it.
#[derive(Debug, Serialize)]
struct Written<'a> {
    scope: &'a str,
    window: Window,
    window_start: DateTime<Utc>,
    recent: Vec<DateTime<Utc>>,
    calls: Vec<i64>,
    background: Vec<i64>,
    learned_limit: Option<i64>,
    learned_remaining: Option<i64>,
    learned_spent: i64,
    learned_until: Option<DateTime<Utc>>,
    closed_until: Option<DateTime<Utc>>,
    revision: i64,
    next_slot_at: Option<DateTime<Utc>>,
    used: i64,
    max_calls: Option<i64>,
    full_until: Option<DateTime<Utc>>,
}

/// Writes all of these, or none: false, when another process has written one of them since it was read.
pub async fn save(db: impl PgExecutor<'_>, counters: &[&Counter]) -> Result<bool> {
    if counters.is_empty() {
        return Ok(true);
    }
    let written: Vec<Written<'_>> = counters
        .iter()
        .map(|c| Written {
            scope: &c.scope,
            window: c.window,
            window_start: c.window_start,
            recent: c.log.iter().map(|entry| entry.at).collect(),
            calls: c.log.iter().map(|entry| entry.calls).collect(),
            background: c.log.iter().map(|entry| entry.background).collect(),
            learned_limit: c.learned_limit,
            learned_remaining: c.learned_remaining,
            learned_spent: c.learned_spent,
            learned_until: c.learned_until,
            closed_until: c.closed_until,
            revision: c.revision,
            next_slot_at: c.next_slot_at,
            used: c.used,
            max_calls: c.max_calls,
            full_until: c.full_until,
        })
        .collect();
    let done = sqlx::query!(
        r#"-- budgets.save
        WITH input AS MATERIALIZED (
            SELECT *
            FROM jsonb_to_recordset($1) AS i (
                scope text, "window" text, window_start timestamptz, recent timestamptz[], calls bigint[],
                background bigint[], learned_limit bigint, learned_remaining bigint, learned_spent bigint,
                learned_until timestamptz, closed_until timestamptz, revision bigint, next_slot_at timestamptz,
                used bigint, max_calls bigint, full_until timestamptz)
        ), locked AS MATERIALIZED (
            SELECT b.scope
            FROM call_budgets b
            JOIN input i USING (scope, "window", window_start)
            WHERE b.revision = i.revision
            ORDER BY b.scope, b."window", b.window_start
            FOR UPDATE OF b
        )
        UPDATE call_budgets b
        SET recent = i.recent,
            calls = i.calls,
            background = i.background,
            learned_limit = i.learned_limit,
            learned_remaining = i.learned_remaining,
            learned_spent = i.learned_spent,
            learned_until = i.learned_until,
            closed_until = i.closed_until,
            next_slot_at = i.next_slot_at,
            used = i.used,
            max_calls = i.max_calls,
            full_until = i.full_until,
            revision = i.revision + 1
        FROM input i
        WHERE b.scope = i.scope AND b."window" = i."window" AND b.window_start = i.window_start
          AND (SELECT count(*) FROM locked) = (SELECT count(*) FROM input)
        "#,
        serde_json::to_value(written).unwrap_or_default(),
    )
    .execute(db)
    .await
    .map_err(StoreError::of("budgets.save"))?;
    Ok(done.rows_affected() == counters.len() as u64)
}
