//! `housekeeping`: what is done once in a while by one process of all. Doing it twice does no harm anywhere; the rows save work.

use std::time::Duration;

use sqlx::PgExecutor;

use super::{Result, StoreError, millis};

/// Takes the turn at something short, if it is due: whoever moves its time on does it. False: not now.
pub async fn take(db: impl PgExecutor<'_>, task: &str, every: Duration, offset_ms: i64) -> Result<bool> {
    let done = sqlx::query!(
        r#"-- housekeeping.take
        INSERT INTO housekeeping AS h (task, next_at)
        SELECT $1, clock.now + $3 * interval '1 millisecond'
        FROM (SELECT now() + $2 * interval '1 millisecond' AS now) clock
        ON CONFLICT (task) DO UPDATE
        SET next_at = EXCLUDED.next_at
        WHERE h.next_at <= now() + $2 * interval '1 millisecond'
        "#,
        task,
        offset_ms as f64,
        millis(every) as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("housekeeping.take"))?;
    Ok(done.rows_affected() == 1)
}

/// Takes the turn at something long, if it is due and nobody else holds it; prolongs it for its holder. False: not now.
pub async fn lease(db: impl PgExecutor<'_>, task: &str, owner: &str, lease: Duration, offset_ms: i64) -> Result<bool> {
    let done = sqlx::query!(
        r#"-- housekeeping.lease
        INSERT INTO housekeeping AS h (task, next_at, lease_owner, lease_expires_at)
        SELECT $1, clock.now, $2, clock.now + $4 * interval '1 millisecond'
        FROM (SELECT now() + $3 * interval '1 millisecond' AS now) clock
        ON CONFLICT (task) DO UPDATE
        SET lease_owner = EXCLUDED.lease_owner, lease_expires_at = EXCLUDED.lease_expires_at
        WHERE h.next_at <= now() + $3 * interval '1 millisecond'
          AND (h.lease_owner = EXCLUDED.lease_owner OR h.lease_expires_at IS NULL
               OR h.lease_expires_at <= now() + $3 * interval '1 millisecond')
        "#,
        task,
        owner,
        offset_ms as f64,
        millis(lease) as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("housekeeping.lease"))?;
    Ok(done.rows_affected() == 1)
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    /// Nothing is left to do.
    Done,
    /// There is more to do.
    Unfinished,
}

/// Gives a leased turn back and says when the next one is due.
pub async fn give_back(
    db: impl PgExecutor<'_>,
    task: &str,
    owner: &str,
    end: TurnEnd,
    next_in: Duration,
    offset_ms: i64,
) -> Result<()> {
    sqlx::query!(
        r#"-- housekeeping.give_back
        UPDATE housekeeping
        SET lease_owner = NULL,
            lease_expires_at = NULL,
            next_at = now() + $5 * interval '1 millisecond' + $3 * interval '1 millisecond',
            last_done_at = CASE WHEN $4 THEN now() + $5 * interval '1 millisecond' ELSE last_done_at END
        WHERE task = $1 AND lease_owner = $2
        "#,
        task,
        owner,
        millis(next_in) as f64,
        end == TurnEnd::Done,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("housekeeping.give_back"))?;
    Ok(())
}
