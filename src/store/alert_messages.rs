//! `alert_messages` and `alert_sends`: what people are told of alerts, by which way, and whether it got there.
//!
//! A message is written once, with all alerts of its cause that stood untold, and then only sent: an unreachable mail
//! server changes nothing about it. Whoever claims a send moves its next attempt on by a lease and raises `attempts`, which
//! is the fence of a failure; a success needs none, because it is true whoever tells it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool, types::Json};
use uuid::Uuid;

use super::{Result, StoreError, millis};
use crate::database::connect::begin;

/// Alerts of a message that are listed one by one; more are only counted.
pub const LISTED: i64 = 20;

/// What a message tells of its alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Raised,
    Resolved,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Resolved => "resolved",
        }
    }

    fn parse(text: &str) -> Self {
        if text == "resolved" { Self::Resolved } else { Self::Raised }
    }
}

/// A cause of which something is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ripe {
    pub cause: String,
    pub kind: Kind,
    /// The database's time, with the clock's offset.
    pub now: DateTime<Utc>,
}

/// One alert of a message, as it was when the message was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub subject: String,
    pub detail: Option<String>,
    pub count: i64,
    pub raised_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

/// What people are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same with each repetition.
    pub id: Uuid,
    pub cause: String,
    pub kind: Kind,
    pub composed_at: DateTime<Utc>,
    /// Alerts that it tells of.
    pub subjects: i64,
    /// How often these were raised.
    pub times: i64,
    /// The first [`LISTED`] of them.
    pub listed: Vec<Listed>,
}

/// A message that this process may send until its lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub message: Message,
    /// 1 for the first.
    pub attempt: i32,
}

/// How messages to one channel fare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub channel: String,
    pub messages: i64,
    /// When the oldest was written.
    pub since: DateTime<Utc>,
    /// Attempts at that one.
    pub attempts: i32,
    /// Of the last failure.
    pub last_error: Option<String>,
}

/// The causes whose oldest untold alert stands for `gather`, and of which nothing of this kind was told within `every`.
/// What ended before it was told is not told.
pub async fn ripe(db: impl PgExecutor<'_>, gather: Duration, every: Duration, offset_ms: i64) -> Result<Vec<Ripe>> {
    let rows = sqlx::query!(
        r#"-- alert_messages.ripe
        SELECT r.cause AS "cause!", r.kind AS "kind!", clock.now AS "now!"
        FROM (SELECT now() + $1 * interval '1 millisecond' AS now) clock
        CROSS JOIN LATERAL (
            SELECT cause, 'raised' AS kind, min(raised_at) AS since
            FROM alerts
            WHERE told_in IS NULL AND resolved_at IS NULL
            GROUP BY cause
            UNION ALL
            SELECT cause, 'resolved', min(resolved_at)
            FROM alerts
            WHERE told_in IS NOT NULL AND ended_in IS NULL AND resolved_at IS NOT NULL
            GROUP BY cause
        ) r
        WHERE r.since <= clock.now - $2 * interval '1 millisecond'
          AND NOT EXISTS (SELECT FROM alert_messages m
                          WHERE m.cause = r.cause AND m.kind = r.kind
                            AND m.composed_at > clock.now - $3 * interval '1 millisecond')
        ORDER BY r.cause, r.kind
        "#,
        offset_ms as f64,
        millis(gather) as f64,
        millis(every) as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("alert_messages.ripe"))?;
    let ripe = rows.into_iter().map(|row| Ripe { cause: row.cause, kind: Kind::parse(&row.kind), now: row.now });
    Ok(ripe.collect())
}

/// Writes one message for each of these causes and owes it to every channel. Whoever else does so at this moment does it
/// alone. Returns how many were written.
pub async fn compose(pool: &PgPool, ripe: &[Ripe], channels: &[&str], offset_ms: i64) -> Result<u64> {
    let mut tx = begin(pool).await.map_err(StoreError::of("alert_messages.compose"))?;
    let turn = sqlx::query_scalar!(
        r#"-- alert_messages.turn
        SELECT task FROM housekeeping WHERE task = 'alerts' FOR UPDATE SKIP LOCKED
        "#
    )
    .fetch_optional(&mut *tx)
    .await
    .map_err(StoreError::of("alert_messages.turn"))?;
    if turn.is_none() {
        return Ok(0);
    }
    let mut written = 0;
    for Ripe { cause, kind, .. } in ripe {
        let done = sqlx::query!(
            r#"-- alert_messages.compose
            WITH clock AS MATERIALIZED (
                SELECT now() + $3 * interval '1 millisecond' AS now, gen_random_uuid() AS id
            ), untold AS MATERIALIZED (
                -- In the order in which settling raises them.
                SELECT a.id
                FROM alerts a
                WHERE a.cause = $1
                  AND ($2::text = 'raised' AND a.told_in IS NULL AND a.resolved_at IS NULL
                       OR $2 = 'resolved' AND a.told_in IS NOT NULL AND a.ended_in IS NULL AND a.resolved_at IS NOT NULL)
                ORDER BY a.cause, a.subject
                FOR UPDATE OF a
            ), told AS (
                UPDATE alerts a
                SET told_in = CASE $2 WHEN 'raised' THEN clock.id ELSE a.told_in END,
                    ended_in = CASE $2 WHEN 'resolved' THEN clock.id END
                FROM untold u
                CROSS JOIN clock
                WHERE a.id = u.id
                RETURNING a.id, a.subject, a.detail, a.count, a.raised_at, a.resolved_at
            ), listed AS (
                SELECT jsonb_agg(jsonb_build_object('subject', f.subject, 'detail', f.detail, 'count', f.count,
                                                    'raised_at', f.raised_at, 'resolved_at', f.resolved_at)
                                 ORDER BY f.raised_at, f.id) AS alerts
                FROM (SELECT * FROM told ORDER BY raised_at, id LIMIT $4) f
            ), written AS (
                INSERT INTO alert_messages (id, cause, kind, composed_at, subjects, times, listed)
                SELECT clock.id, $1, $2, clock.now, t.subjects, t.times, listed.alerts
                FROM (SELECT count(*) AS subjects, sum(count)::bigint AS times FROM told) t
                CROSS JOIN clock
                CROSS JOIN listed
                WHERE t.subjects > 0 -- none: somebody has told of them since we looked
                RETURNING id, composed_at
            )
            INSERT INTO alert_sends (message_id, channel, next_attempt_at)
            SELECT w.id, c.channel, w.composed_at
            FROM written w
            CROSS JOIN unnest($5::text[]) AS c (channel)
            "#,
            cause,
            kind.as_str(),
            offset_ms as f64,
            LISTED,
            channels as _,
        )
        .execute(&mut *tx)
        .await
        .map_err(StoreError::of("alert_messages.compose"))?;
        written += u64::from(done.rows_affected() > 0);
    }
    tx.commit().await.map_err(StoreError::of("alert_messages.compose"))?;
    Ok(written)
}

/// Takes the oldest message that is due at a channel. None: nothing is.
pub async fn claim(db: impl PgExecutor<'_>, channel: &str, lease: Duration, offset_ms: i64) -> Result<Option<Claimed>> {
    let row = sqlx::query!(
        r#"-- alert_messages.claim
        WITH clock AS MATERIALIZED (
            SELECT now() + $2 * interval '1 millisecond' AS now
        ), due AS MATERIALIZED (
            SELECT s.message_id
            FROM alert_sends s
            JOIN alert_messages m ON m.id = s.message_id
            CROSS JOIN clock
            WHERE s.channel = $1 AND s.sent_at IS NULL AND s.next_attempt_at <= clock.now
            ORDER BY m.composed_at, m.kind, m.cause
            LIMIT 1
            FOR UPDATE OF s SKIP LOCKED
        )
        UPDATE alert_sends s
        SET attempts = s.attempts + 1, next_attempt_at = clock.now + $3 * interval '1 millisecond'
        FROM due
        JOIN alert_messages m ON m.id = due.message_id
        CROSS JOIN clock
        WHERE s.message_id = due.message_id AND s.channel = $1
        RETURNING m.id, m.cause, m.kind, m.composed_at, m.subjects, m.times, m.listed AS "listed: Json<Vec<Listed>>",
                  s.attempts
        "#,
        channel,
        offset_ms as f64,
        millis(lease) as f64,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("alert_messages.claim"))?;
    Ok(row.map(|row| Claimed {
        message: Message {
            id: row.id,
            cause: row.cause,
            kind: Kind::parse(&row.kind),
            composed_at: row.composed_at,
            subjects: row.subjects,
            times: row.times,
            listed: row.listed.0,
        },
        attempt: row.attempts,
    }))
}

/// It got there.
pub async fn settle_sent(db: impl PgExecutor<'_>, message: Uuid, channel: &str, offset_ms: i64) -> Result<()> {
    sqlx::query!(
        r#"-- alert_messages.settle_sent
        WITH sent AS (
            UPDATE alert_sends
            SET sent_at = now() + $3 * interval '1 millisecond', last_error = NULL
            WHERE message_id = $1 AND channel = $2 AND sent_at IS NULL
            RETURNING message_id, sent_at
        )
        UPDATE alerts a
        SET sent_at = sent.sent_at
        FROM sent
        WHERE a.told_in = sent.message_id AND a.sent_at IS NULL
        "#,
        message,
        channel,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("alert_messages.settle_sent"))?;
    Ok(())
}

/// What a failure was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// Another message may be taken.
    Message,
    /// Nothing got through: everything for the channel waits.
    Channel,
}

/// It did not get there, and is due again after `wait`. `code` is a fixed one.
pub async fn settle_failed(
    db: impl PgExecutor<'_>,
    claimed: &Claimed,
    channel: &str,
    failed: Failed,
    code: &str,
    wait: Duration,
    offset_ms: i64,
) -> Result<()> {
    sqlx::query!(
        r#"-- alert_messages.settle_failed
        WITH clock AS MATERIALIZED (
            SELECT now() + $7 * interval '1 millisecond' + $6 * interval '1 millisecond' AS due
        )
        UPDATE alert_sends s
        SET next_attempt_at = CASE WHEN s.message_id = $1 THEN clock.due ELSE greatest(s.next_attempt_at, clock.due) END,
            last_error = CASE WHEN s.message_id = $1 THEN $5 ELSE s.last_error END
        FROM clock
        WHERE s.channel = $2 AND s.sent_at IS NULL
          AND (s.message_id = $1 AND s.attempts = $3 OR $4 AND s.message_id <> $1)
        "#,
        claimed.message.id,
        channel,
        claimed.attempt,
        failed == Failed::Channel,
        code,
        millis(wait) as f64,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("alert_messages.settle_failed"))?;
    Ok(())
}

/// Channels with messages that were tried in vain.
pub async fn waiting(db: impl PgExecutor<'_>) -> Result<Vec<Waiting>> {
    sqlx::query_as!(
        Waiting,
        r#"-- alert_messages.waiting
        SELECT DISTINCT ON (s.channel)
               s.channel, count(*) OVER (PARTITION BY s.channel) AS "messages!", m.composed_at AS since, s.attempts,
               s.last_error
        FROM alert_sends s
        JOIN alert_messages m ON m.id = s.message_id
        WHERE s.sent_at IS NULL AND s.last_error IS NOT NULL
        ORDER BY s.channel, m.composed_at
        "#
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("alert_messages.waiting"))
}
