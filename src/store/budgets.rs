//! `call_budgets`: calls reserved against foreign limits, shared by every process on this database.
//!
//! A minute limit keeps a sliding log, because fixed windows let twice the limit through at their edge.

use std::time::Duration;

use sqlx::PgPool;

use super::{Result, StoreError};

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
pub async fn reserve_minute(pool: &PgPool, limits: &[MinuteLimit], offset_ms: i64) -> Result<Reserved> {
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
async fn try_reserve_minute(pool: &PgPool, limits: &[MinuteLimit], offset_ms: i64) -> Result<Option<Reserved>> {
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
