//! `credentials`: rotating refresh tokens, one row per sink. Holds secrets: nothing here logs a value.
//!
//! A turn at a token is a lease, claimed by a conditional update. A new pair replaces exactly the token it was got for,
//! whoever holds the lease by then; the end of a turn without a pair is only written by its holder. The alert
//! `needs_authorisation` is raised and closed by the statement that changes the state.

use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::ExposeSecret;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::{Result, StoreError, millis};
use crate::{
    clock::Clock,
    domain::ids::SinkName,
    sinks::oauth::{Ask, Bearer, CredentialStore, Fresh, Left, Pair, Seed, Standing, StoreFailed, Turn, Written},
};

/// The sinks' way to their rows.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub pool: PgPool,
    pub clock: Clock,
}

impl CredentialStore for Credentials {
    fn plant<'a>(&'a self, seed: &'a Seed<'a>) -> BoxFuture<'a, std::result::Result<Written, StoreFailed>> {
        Box::pin(async { plant(&self.pool, seed, self.clock.offset_ms()).await.map_err(port) })
    }

    fn ask<'a>(&'a self, wanted: &'a Ask<'a>) -> BoxFuture<'a, std::result::Result<Standing, StoreFailed>> {
        Box::pin(async { ask(&self.pool, wanted, self.clock.offset_ms()).await.map_err(port) })
    }

    fn keep<'a>(&'a self, turn: &'a Turn, pair: &'a Pair) -> BoxFuture<'a, std::result::Result<Written, StoreFailed>> {
        Box::pin(async { keep(&self.pool, turn, pair, self.clock.offset_ms()).await.map_err(port) })
    }

    fn give_back<'a>(
        &'a self,
        turn: &'a Turn,
        left: Left,
        pause: Duration,
    ) -> BoxFuture<'a, std::result::Result<Written, StoreFailed>> {
        Box::pin(async move { give_back(&self.pool, turn, left, pause, self.clock.offset_ms()).await.map_err(port) })
    }

    fn give_up<'a>(&'a self, turn: &'a Turn, why: &'a str) -> BoxFuture<'a, std::result::Result<Written, StoreFailed>> {
        Box::pin(async { give_up(&self.pool, turn, why, self.clock.offset_ms()).await.map_err(port) })
    }
}

fn port(error: StoreError) -> StoreFailed {
    StoreFailed(Box::new(error))
}

fn written(rows: i64) -> Written {
    if rows == 0 { Written::Overtaken } else { Written::Yes }
}

/// Makes a token that was never planted before the sink's own and closes the alert. Overtaken: it was planted before.
pub async fn plant(pool: &PgPool, seed: &Seed<'_>, offset_ms: i64) -> Result<Written> {
    let rows = sqlx::query_scalar!(
        r#"-- credentials.plant
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), planted AS (
            INSERT INTO credentials AS c (sink, client, seeds, refresh_token, refreshed_at, updated_at)
            SELECT $1, $2, ARRAY[$3::text], $4, clock.now, clock.now
            FROM clock
            ON CONFLICT (sink) DO UPDATE
            SET state = 'ok', client = EXCLUDED.client, seeds = c.seeds || EXCLUDED.seeds,
                refresh_token = EXCLUDED.refresh_token, refreshed_at = EXCLUDED.refreshed_at,
                access_token = NULL, issued_at = NULL, expires_at = NULL,
                refresh_started_at = NULL, unanswered = 0, retry_at = NULL, lease_token = NULL, lease_expires_at = NULL,
                updated_at = EXCLUDED.updated_at
            WHERE NOT c.seeds @> EXCLUDED.seeds
            RETURNING c.sink
        ), resolved AS (
            UPDATE alerts a
            SET resolved_at = now()
            FROM planted p
            WHERE a.cause = 'needs_authorisation' AND a.subject = p.sink AND a.resolved_at IS NULL
        )
        SELECT count(*) AS "rows!" FROM planted
        "#,
        seed.sink.as_str(),
        seed.client,
        seed.fingerprint,
        seed.refresh_token.expose_secret(),
        offset_ms as f64,
    )
    .fetch_one(pool)
    .await
    .map_err(StoreError::of("credentials.plant"))?;
    Ok(written(rows))
}

/// Gives a good access token, or the turn to get one to exactly one asker.
pub async fn ask(pool: &PgPool, ask: &Ask<'_>, offset_ms: i64) -> Result<Standing> {
    let row = sqlx::query!(
        r#"-- credentials.ask
        WITH clock AS (
            SELECT now() + $2 * interval '1 millisecond' AS now
        )
        SELECT c.state, c.client, c.refresh_token, c.access_token, c.refresh_started_at, c.unanswered,
               (extract(epoch FROM c.expires_at - c.issued_at) * 1000)::bigint AS life_ms,
               (extract(epoch FROM c.expires_at - clock.now) * 1000)::bigint AS left_ms,
               (extract(epoch FROM c.retry_at - clock.now) * 1000)::bigint AS paused_ms,
               coalesce(c.lease_expires_at > clock.now, false) AS "busy!"
        FROM credentials c, clock
        WHERE c.sink = $1
        "#,
        ask.sink.as_str(),
        offset_ms as f64,
    )
    .fetch_optional(pool)
    .await
    .map_err(StoreError::of("credentials.ask"))?;
    let Some(row) = row.filter(|row| row.client == ask.client) else { return Ok(Standing::Absent) };
    if row.state != "ok" {
        return Ok(Standing::NeedsAuthorisation);
    }
    let stored = row.access_token.clone().and_then(Bearer::new).map(|bearer| Fresh {
        bearer,
        life: from_millis(row.life_ms),
        left: from_millis(row.left_ms),
        scope: None,
    });
    let is_good = |fresh: &Fresh| Some(&fresh.bearer) != ask.refused && fresh.left > ask.margin.min(fresh.life / 5);
    if let Some(fresh) = stored.filter(is_good) {
        return Ok(Standing::Fresh(fresh));
    }
    if row.busy {
        return Ok(Standing::Busy);
    }
    if row.paused_ms.is_some_and(|ms| ms > 0) {
        return Ok(Standing::Paused(from_millis(row.paused_ms)));
    }
    let lease_token = Uuid::new_v4();
    // Nothing may have changed since it was read: whoever was faster holds the lease, or has been through a whole turn.
    let done = sqlx::query!(
        r#"-- credentials.take_turn
        WITH clock AS (
            SELECT now() + $2 * interval '1 millisecond' AS now
        )
        UPDATE credentials c
        SET lease_token = $3, lease_expires_at = clock.now + $4 * interval '1 millisecond',
            refresh_started_at = coalesce(c.refresh_started_at, clock.now), updated_at = clock.now
        FROM clock
        WHERE c.sink = $1 AND c.state = 'ok' AND c.client = $5
          AND c.refresh_token = $6 AND c.access_token IS NOT DISTINCT FROM $7
          AND c.refresh_started_at IS NOT DISTINCT FROM $8 AND c.unanswered = $9
          AND (c.lease_expires_at IS NULL OR c.lease_expires_at <= clock.now)
          AND (c.retry_at IS NULL OR c.retry_at <= clock.now)
        "#,
        ask.sink.as_str(),
        offset_ms as f64,
        lease_token,
        millis(ask.lease) as f64,
        ask.client,
        row.refresh_token,
        row.access_token,
        row.refresh_started_at,
        row.unanswered,
    )
    .execute(pool)
    .await
    .map_err(StoreError::of("credentials.take_turn"))?;
    Ok(match written(done.rows_affected() as i64) {
        Written::Overtaken => Standing::Busy,
        Written::Yes => Standing::Yours(Turn {
            sink: ask.sink.clone(),
            lease_token,
            refresh_token: row.refresh_token.into(),
            interrupted: row.refresh_started_at.is_some(),
            unanswered: row.unanswered.max(0) as u32,
        }),
    })
}

/// Replaces the token that was presented by what it returned, whoever has the turn by now, and closes the alert.
/// Repeating it changes nothing.
pub async fn keep(pool: &PgPool, turn: &Turn, pair: &Pair, offset_ms: i64) -> Result<Written> {
    let rows = sqlx::query_scalar!(
        r#"-- credentials.keep
        WITH clock AS (
            SELECT now() + $2 * interval '1 millisecond' AS now
        ), kept AS (
            UPDATE credentials c
            SET state = 'ok', refresh_token = $4, refreshed_at = clock.now, access_token = $5,
                expires_at = clock.now + $6 * interval '1 millisecond',
                issued_at = clock.now + ($6 - $7) * interval '1 millisecond',
                refresh_started_at = NULL, unanswered = 0, retry_at = NULL, lease_token = NULL, lease_expires_at = NULL,
                updated_at = clock.now
            FROM clock
            WHERE c.sink = $1 AND c.refresh_token IN ($3, $4)
            RETURNING c.sink
        ), resolved AS (
            UPDATE alerts a
            SET resolved_at = now()
            FROM kept k
            WHERE a.cause = 'needs_authorisation' AND a.subject = k.sink AND a.resolved_at IS NULL
        )
        SELECT count(*) AS "rows!" FROM kept
        "#,
        turn.sink.as_str(),
        offset_ms as f64,
        turn.refresh_token.expose_secret(),
        pair.refresh_token.expose_secret(),
        pair.fresh.bearer.expose(),
        millis(pair.fresh.left) as f64,
        millis(pair.fresh.life) as f64,
    )
    .fetch_one(pool)
    .await
    .map_err(StoreError::of("credentials.keep"))?;
    Ok(written(rows))
}

/// Ends a turn that brought nothing.
pub async fn give_back(pool: &PgPool, turn: &Turn, left: Left, pause: Duration, offset_ms: i64) -> Result<Written> {
    let is_unanswered = left == Left::Unanswered;
    let done = sqlx::query!(
        r#"-- credentials.give_back
        WITH clock AS (
            SELECT now() + $3 * interval '1 millisecond' AS now
        )
        UPDATE credentials c
        SET refresh_started_at = CASE WHEN $4 THEN c.refresh_started_at END,
            unanswered = c.unanswered + $5,
            retry_at = CASE WHEN $6 > 0 THEN clock.now + $6 * interval '1 millisecond' END,
            lease_token = NULL, lease_expires_at = NULL, updated_at = clock.now
        FROM clock
        WHERE c.sink = $1 AND c.lease_token = $2
        "#,
        turn.sink.as_str(),
        turn.lease_token,
        offset_ms as f64,
        is_unanswered || turn.interrupted,
        i32::from(is_unanswered),
        millis(pause) as f64,
    )
    .execute(pool)
    .await
    .map_err(StoreError::of("credentials.give_back"))?;
    Ok(written(done.rows_affected() as i64))
}

/// Ends a turn at a token that is dead, and alerts.
pub async fn give_up(pool: &PgPool, turn: &Turn, why: &str, offset_ms: i64) -> Result<Written> {
    let rows = sqlx::query_scalar!(
        r#"-- credentials.give_up
        WITH given_up AS (
            UPDATE credentials
            SET state = 'needs_authorisation', lease_token = NULL, lease_expires_at = NULL,
                updated_at = now() + $3 * interval '1 millisecond'
            WHERE sink = $1 AND lease_token = $2
            RETURNING sink
        ), alerted AS (
            INSERT INTO alerts AS a (cause, subject, detail)
            SELECT 'needs_authorisation', sink, $4
            FROM given_up
            ON CONFLICT (cause, subject) WHERE resolved_at IS NULL DO UPDATE
            SET count = a.count + 1, last_seen_at = now(), detail = EXCLUDED.detail
        )
        SELECT count(*) AS "rows!" FROM given_up
        "#,
        turn.sink.as_str(),
        turn.lease_token,
        offset_ms as f64,
        why,
    )
    .fetch_one(pool)
    .await
    .map_err(StoreError::of("credentials.give_up"))?;
    Ok(written(rows))
}

/// How long a refresh token is left unused at most. Source: Xero developer documentation: one lapses after 60 days
/// unused; half of that leaves room for a month of trouble.
pub const KEEPALIVE: Duration = Duration::from_hours(30 * 24);

/// The sinks whose refresh token was not used for [`KEEPALIVE`]. Asking for a token of theirs refreshes it.
pub async fn due_for_keepalive(db: impl PgExecutor<'_>, offset_ms: i64) -> Result<Vec<SinkName>> {
    let rows = sqlx::query_scalar!(
        r#"-- credentials.due_for_keepalive
        SELECT sink
        FROM credentials
        WHERE state = 'ok'
          AND refreshed_at <= now() + $1 * interval '1 millisecond' - $2 * interval '1 millisecond'
        ORDER BY sink
        "#,
        offset_ms as f64,
        millis(KEEPALIVE) as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("credentials.due_for_keepalive"))?;
    Ok(rows.iter().filter_map(|name| SinkName::parse(name).ok()).collect())
}

fn from_millis(ms: Option<i64>) -> Duration {
    Duration::from_millis(ms.unwrap_or(0).max(0) as u64)
}
