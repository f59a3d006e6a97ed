//! `sources`: the cursor, the row lease that says who reads a stream, and how the stream fares.
//!
//! A lease is taken for one poll and given back at its end together with the time of the next one, so between polls
//! nothing is held and any process may take the next turn. The epoch, raised at each take, fences every page.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Result, StoreError, millis};
use crate::domain::ids::SourceName;

/// What a configured source writes into its row at start.
#[derive(Debug, Clone)]
pub struct Registration<'a> {
    pub name: &'a SourceName,
    pub kind: &'a str,
    pub account: &'a str,
    pub scope: Option<&'a str>,
}

/// Makes sure that the source has a row. A source that was there keeps its cursor and state; true when it was there with
/// another `scope`.
pub async fn register(db: impl PgExecutor<'_>, source: &Registration<'_>) -> Result<bool> {
    let scope_changed = sqlx::query_scalar!(
        r#"-- sources.register
        WITH known AS (
            SELECT scope FROM sources WHERE name = $1
        )
        INSERT INTO sources (name, kind, account, scope)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (name) DO UPDATE
        SET kind = EXCLUDED.kind, account = EXCLUDED.account, scope = EXCLUDED.scope
        RETURNING EXISTS (SELECT FROM known WHERE known.scope IS DISTINCT FROM $4) AS "scope_changed!"
        "#,
        source.name.as_str(),
        source.kind,
        source.account,
        source.scope,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("sources.register"))?;
    Ok(scope_changed)
}

/// The right to read one stream, until it is given back, runs out or is taken by a later epoch.
#[derive(Debug, Clone)]
pub struct SourceLease {
    pub source: SourceName,
    pub owner: String,
    pub epoch: i64,
}

/// What the row said when the lease was taken.
#[derive(Debug, Clone)]
pub struct Turn {
    pub lease: SourceLease,
    /// By the database's clock.
    pub taken_at: DateTime<Utc>,
    pub cursor: Option<String>,
    /// Time since the last page was stored; none: never.
    pub since_success: Option<Duration>,
    /// The cursor was given up, and no page was stored since.
    pub cursor_was_dropped: bool,
    /// Where a person wants it read again from; counts while there is no cursor.
    pub rewind: Option<Rewind>,
    /// Consecutive failed polls before this one.
    pub failures: u32,
    /// How often this cursor was refused, by whichever process; nothing else that failed meanwhile counts against it.
    pub cursor_refusals: u32,
    pub refused_credential: Option<String>,
}

/// Where a stream begins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewind {
    /// With the oldest version that the platform still has.
    ToBeginning,
    To(DateTime<Utc>),
}

/// Whose turn it is.
#[derive(Debug, Clone)]
pub enum Take {
    Taken(Turn),
    /// Not due, or another process reads it. Look again after the wait.
    Later {
        wait: Duration,
        parked: bool,
        refused_credential: Option<String>,
    },
}

/// Takes the stream's lease if it is due and free.
///
/// An owner's own lease counts as free: a process asks again only when it lost sight of its turn, for instance because
/// the connection broke, and the new epoch fences whatever of the old turn is still on its way.
pub async fn take(
    db: impl PgExecutor<'_>,
    source: &SourceName,
    owner: &str,
    lease: Duration,
    offset_ms: i64,
) -> Result<Take> {
    let row = sqlx::query!(
        r#"-- sources.take
        WITH clock AS (
            SELECT now() + $4 * interval '1 millisecond' AS now
        ), taken AS (
            UPDATE sources
            SET lease_owner = $2,
                lease_epoch = lease_epoch + 1,
                lease_expires_at = clock.now + $3 * interval '1 millisecond',
                last_poll_at = clock.now
            FROM clock
            WHERE name = $1
              AND state <> 'paused'
              AND next_poll_at <= clock.now
              AND coalesce(not_before, '-infinity') <= clock.now
              AND (lease_owner = $2 OR coalesce(lease_expires_at, '-infinity') <= clock.now)
            RETURNING name, lease_epoch, cursor, failures, cursor_refusals, refused_credential, dead_cursor, last_success_at,
                      rewind_to
        )
        -- What was taken comes from the row that was locked: `s` may show an older one.
        SELECT clock.now AS "now!",
               taken.lease_epoch AS "epoch?",
               taken.cursor,
               taken.failures AS "failures?",
               taken.cursor_refusals AS "cursor_refusals?",
               (taken.cursor IS NULL AND taken.dead_cursor IS NOT NULL) AS "cursor_was_dropped?",
               coalesce(taken.rewind_to = '-infinity', false) AS "rewind_to_beginning!",
               CASE WHEN isfinite(taken.rewind_to) THEN taken.rewind_to END AS rewind_to,
               (extract(epoch FROM clock.now - taken.last_success_at) * 1000)::bigint AS since_success_ms,
               s.state,
               CASE WHEN taken.name IS NULL THEN s.refused_credential ELSE taken.refused_credential END
                   AS refused_credential,
               (extract(epoch FROM greatest(s.next_poll_at, s.not_before,
                                            CASE WHEN s.lease_owner <> $2 THEN s.lease_expires_at END)
                        - clock.now) * 1000)::bigint
                   AS "wait_ms!"
        FROM sources s
        CROSS JOIN clock
        LEFT JOIN taken ON taken.name = s.name
        WHERE s.name = $1
        "#,
        source.as_str(),
        owner,
        millis(lease) as f64,
        offset_ms as f64,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("sources.take"))?;
    Ok(match row.epoch {
        Some(epoch) => Take::Taken(Turn {
            lease: SourceLease { source: source.clone(), owner: owner.to_owned(), epoch },
            taken_at: row.now,
            cursor: row.cursor,
            since_success: row.since_success_ms.map(|ms| Duration::from_millis(ms.max(0) as u64)),
            cursor_was_dropped: row.cursor_was_dropped.unwrap_or(false),
            rewind: if row.rewind_to_beginning { Some(Rewind::ToBeginning) } else { row.rewind_to.map(Rewind::To) },
            failures: row.failures.unwrap_or(0).max(0) as u32,
            cursor_refusals: row.cursor_refusals.unwrap_or(0).max(0) as u32,
            refused_credential: row.refused_credential,
        }),
        None => Take::Later {
            // Paused by an operator: nothing comes due by itself.
            wait: if row.state == "paused" { Duration::MAX } else { Duration::from_millis(row.wait_ms.max(0) as u64) },
            parked: row.state == "parked",
            refused_credential: row.refused_credential,
        },
    })
}

/// Prolongs the lease while an answer takes its time. False: another process reads the stream now.
pub async fn renew(db: impl PgExecutor<'_>, lease: &SourceLease, lease_for: Duration, offset_ms: i64) -> Result<bool> {
    let done = sqlx::query!(
        r#"-- sources.renew
        UPDATE sources
        SET lease_expires_at = now() + $5 * interval '1 millisecond' + $4 * interval '1 millisecond'
        WHERE name = $1 AND lease_owner = $2 AND lease_epoch = $3
        "#,
        lease.source.as_str(),
        lease.owner,
        lease.epoch,
        millis(lease_for) as f64,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("sources.renew"))?;
    Ok(done.rows_affected() == 1)
}

/// Gives back whatever turn this process has, also one that it never heard of having got.
pub async fn leave(db: impl PgExecutor<'_>, source: &SourceName, owner: &str) -> Result<()> {
    sqlx::query!(
        r#"-- sources.leave
        UPDATE sources
        SET lease_owner = NULL, lease_expires_at = NULL
        WHERE name = $1 AND lease_owner = $2
        "#,
        source.as_str(),
        owner,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("sources.leave"))?;
    Ok(())
}

/// How a poll ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollEnd {
    /// The stream said that nothing more is ready.
    CaughtUp,
    /// Stopped on the way, for a drain or a full limit; the cursor stands.
    Paused,
    /// In trouble that may pass by itself.
    Failing { error: String },
    /// The cursor was refused, and may be dead.
    CursorRefused { error: String },
    /// More is said to be ready, and the cursor does not move.
    Stuck { error: String },
    /// The stream asked us to wait; not an outage.
    Throttled { whole_account: bool },
    /// A person must act.
    Parked { reason: &'static str, hint: String, error: String, refused_credential: Option<String> },
    /// The cursor is given up for a restart from an earlier time.
    CursorDropped { error: String },
}

/// Gives the lease back and says when the stream is read next. Returns whether the lease was still ours.
pub async fn finish(
    db: impl PgExecutor<'_>,
    lease: &SourceLease,
    end: &PollEnd,
    next_in: Duration,
    offset_ms: i64,
) -> Result<bool> {
    let (kind, reason, hint, error, credential) = match end {
        PollEnd::CaughtUp => ("caught_up", None, None, None, None),
        PollEnd::Paused => ("paused", None, None, None, None),
        PollEnd::Failing { error } | PollEnd::Stuck { error } => ("failing", None, None, Some(error.as_str()), None),
        PollEnd::CursorRefused { error } => ("cursor_refused", None, None, Some(error.as_str()), None),
        PollEnd::Throttled { whole_account: false } => ("throttled", None, None, None, None),
        PollEnd::Throttled { whole_account: true } => ("account_throttled", None, None, None, None),
        PollEnd::Parked { reason, hint, error, refused_credential } => {
            ("parked", Some(*reason), Some(hint.as_str()), Some(error.as_str()), refused_credential.as_deref())
        }
        PollEnd::CursorDropped { error } => ("cursor_dropped", None, None, Some(error.as_str()), None),
    };
    let done = sqlx::query!(
        r#"-- sources.finish
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), locked AS MATERIALIZED (
            -- One lock order for every statement that takes several sources.
            SELECT s.name, s.lease_owner, s.lease_epoch
            FROM sources s
            WHERE s.name = $1
               OR $6 = 'account_throttled' AND s.account = (SELECT m.account FROM sources m WHERE m.name = $1)
            ORDER BY s.name
            FOR UPDATE
        ), held AS MATERIALIZED (
            SELECT name
            FROM locked
            WHERE name = $1 AND lease_owner = $2 AND lease_epoch = $3
        ), slowed AS (
            UPDATE sources s
            SET not_before = greatest(s.not_before, clock.now + $4 * interval '1 millisecond')
            FROM locked, clock
            WHERE s.name = locked.name AND s.name <> $1 AND EXISTS (SELECT FROM held)
        )
        UPDATE sources s
        SET lease_owner = NULL,
            lease_expires_at = NULL,
            next_poll_at = clock.now + $4 * interval '1 millisecond',
            -- A pause that another source of the account ran into during our turn stands.
            not_before = CASE WHEN $6 IN ('throttled', 'account_throttled')
                              THEN greatest(s.not_before, clock.now + $4 * interval '1 millisecond')
                              WHEN s.not_before > clock.now THEN s.not_before END,
            throttled = s.throttled + CASE WHEN $6 IN ('throttled', 'account_throttled') THEN 1 ELSE 0 END,
            state = CASE WHEN s.state = 'paused' THEN 'paused'
                         WHEN $6 = 'parked' THEN 'parked'
                         WHEN $6 IN ('failing', 'cursor_refused', 'cursor_dropped') THEN 'failing'
                         WHEN $6 = 'caught_up' THEN 'active'
                         ELSE s.state END,
            reason = CASE WHEN s.state = 'paused' THEN s.reason WHEN $6 = 'parked' THEN $7
                          WHEN $6 IN ('throttled', 'account_throttled', 'paused') THEN s.reason END,
            hint = CASE WHEN s.state = 'paused' THEN s.hint WHEN $6 = 'parked' THEN $8
                        WHEN $6 IN ('throttled', 'account_throttled', 'paused') THEN s.hint END,
            last_error = CASE WHEN $6 = 'caught_up' THEN NULL ELSE coalesce($9, s.last_error) END,
            failures = CASE WHEN $6 = 'caught_up' THEN 0
                            WHEN $6 IN ('failing', 'parked', 'cursor_refused', 'cursor_dropped') THEN s.failures + 1
                            ELSE s.failures END,
            cursor_refusals = CASE WHEN $6 IN ('caught_up', 'cursor_dropped') THEN 0
                                   WHEN $6 = 'cursor_refused' THEN s.cursor_refusals + 1
                                   ELSE s.cursor_refusals END,
            refused_credential = CASE WHEN $6 = 'parked' THEN $10 ELSE s.refused_credential END,
            dead_cursor = CASE WHEN $6 = 'cursor_dropped' THEN s.cursor ELSE s.dead_cursor END,
            cursor = CASE WHEN $6 = 'cursor_dropped' THEN NULL ELSE s.cursor END,
            caught_up_at = CASE WHEN $6 = 'caught_up' THEN clock.now ELSE s.caught_up_at END
        FROM held, clock
        WHERE s.name = held.name
        "#,
        lease.source.as_str(),
        lease.owner,
        lease.epoch,
        millis(next_in) as f64,
        offset_ms as f64,
        kind,
        reason,
        hint,
        error,
        credential,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("sources.finish"))?;
    Ok(done.rows_affected() == 1)
}

/// How long the whole account was asked to wait, if another source of it ran into that while ours has the turn.
pub async fn pause(db: impl PgExecutor<'_>, source: &SourceName, offset_ms: i64) -> Result<Option<Duration>> {
    let wait_ms = sqlx::query_scalar!(
        r#"-- sources.pause
        SELECT (extract(epoch FROM not_before - now() - $2 * interval '1 millisecond') * 1000)::bigint
        FROM sources
        WHERE name = $1 AND not_before > now() + $2 * interval '1 millisecond'
        "#,
        source.as_str(),
        offset_ms as f64,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("sources.pause"))?;
    Ok(wait_ms.flatten().map(|ms| Duration::from_millis(ms.max(0) as u64 + 1)))
}

/// Makes the stream due now, for instance because its credential was replaced. False: it is due already, and something
/// else holds it up; or it is leased.
pub async fn poll_now(db: impl PgExecutor<'_>, source: &SourceName, offset_ms: i64) -> Result<bool> {
    let done = sqlx::query!(
        r#"-- sources.poll_now
        UPDATE sources
        SET next_poll_at = now() + $2 * interval '1 millisecond'
        WHERE name = $1 AND lease_owner IS NULL AND next_poll_at > now() + $2 * interval '1 millisecond'
        "#,
        source.as_str(),
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("sources.poll_now"))?;
    Ok(done.rows_affected() == 1)
}

/// Holds a stream for something else than a poll, whether or not it is due. None: a process reads it now.
pub async fn borrow(
    db: impl PgExecutor<'_>,
    source: &SourceName,
    owner: &str,
    lease: Duration,
    offset_ms: i64,
) -> Result<Option<SourceLease>> {
    let epoch = sqlx::query_scalar!(
        r#"-- sources.borrow
        UPDATE sources
        SET lease_owner = $2,
            lease_epoch = lease_epoch + 1,
            lease_expires_at = now() + $4 * interval '1 millisecond' + $3 * interval '1 millisecond'
        WHERE name = $1 AND coalesce(lease_expires_at, '-infinity') <= now() + $4 * interval '1 millisecond'
        RETURNING lease_epoch
        "#,
        source.as_str(),
        owner,
        millis(lease) as f64,
        offset_ms as f64,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("sources.borrow"))?;
    Ok(epoch.map(|epoch| SourceLease { source: source.clone(), owner: owner.to_owned(), epoch }))
}

/// Gives a borrowed stream back; when it is read next stays as it was.
pub async fn give_back(db: impl PgExecutor<'_>, lease: &SourceLease) -> Result<()> {
    sqlx::query!(
        r#"-- sources.give_back
        UPDATE sources
        SET lease_owner = NULL, lease_expires_at = NULL
        WHERE name = $1 AND lease_owner = $2 AND lease_epoch = $3
        "#,
        lease.source.as_str(),
        lease.owner,
        lease.epoch,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("sources.give_back"))?;
    Ok(())
}
