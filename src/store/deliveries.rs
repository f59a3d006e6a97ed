//! `deliveries` and `attempts`: claim, write intent, extend, settle.
//!
//! A claim leases rows and counts the attempt; every later write names the lease token, so a process that lost its lease
//! can change nothing. Settling is batched, and one statement records the attempts and moves the rows.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use super::{Result, StoreError, millis};
use crate::domain::{
    delivery::{Alert, DeliveryKey, Progress, STANDS, State},
    ids::{OrderId, OrderKey, SinkName, SourceName, Version},
};

/// New orders, corrections and backfill.
pub const ANY_PRIORITY: RangeInclusive<i16> = 0..=2;
const BACKFILL: i16 = 2;

/// What to claim: up to `limit` due deliveries of these lanes, new orders before corrections before backfill.
#[derive(Debug)]
pub struct Claim<'a> {
    pub sink: &'a SinkName,
    pub lanes: &'a [String],
    /// 0 new order, 1 correction, 2 backfill.
    pub priorities: RangeInclusive<i16>,
    pub limit: u32,
    pub owner: &'a str,
    pub lease: Duration,
    /// The sink whose receipt is needed (`after`).
    pub after: Option<&'a SinkName>,
}

/// A leased delivery with the version that is next for it.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub key: DeliveryKey,
    pub lane: String,
    pub token: Uuid,
    /// Counted from 1, this one included.
    pub attempt: u32,
    pub wanted: Version,
    /// Before this claim.
    pub progress: Progress,
    pub receipt: Option<serde_json::Value>,
    pub external_id: Option<String>,
    /// A step that was written down and whose answer is missing.
    pub pending: Option<Pending>,
    /// Whether the worker before this one was lost with its lease.
    pub after_loss: bool,
    /// How long this delivery has been failing.
    pub failing_for: Option<Duration>,
    /// The version to bring now. None although something is owed: it was stored after this statement took its snapshot,
    /// and the next claim sees it.
    pub snapshot: Option<Snapshot>,
    /// Every version up to the wanted one was decided.
    pub all_walked: bool,
    /// The delivery of the `after` sink, where one is configured and exists.
    pub dependency: Option<Dependency>,
    /// Owed by a person's word or the sink's `start`, and not because it arrived.
    pub is_backfill: bool,
    /// Since when the sink has been active.
    pub active_since: DateTime<Utc>,
}

impl Claimed {
    /// Whether it is owed because somebody asked for it, whatever its age: as backfill, or again after it was decided.
    pub fn was_asked_for(&self) -> bool {
        self.is_backfill || self.all_walked
    }
}

/// What stands in `pending_step`.
#[derive(Debug, Clone)]
pub struct Pending {
    /// As [`PendingStep`](crate::domain::delivery::PendingStep), if this program can read it.
    pub step: serde_json::Value,
    /// How long ago it was sent first and last, or may have been.
    pub first_sent: Duration,
    pub last_sent: Duration,
}

/// One stored order version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub version: Version,
    pub status: String,
    pub vendor_id: Option<String>,
    pub order_type: Option<String>,
    /// How long ago it was received.
    pub age: Duration,
    /// How long ago it was both received and this sink active.
    pub owed_for: Duration,
    pub source_kind: String,
    pub content_hash: Vec<u8>,
    /// None once retention removed it.
    pub payload: Option<String>,
}

/// Where the delivery of the sink we wait for stands.
#[derive(Debug, Clone)]
pub struct Dependency {
    pub state: State,
    /// Newest version that sink holds.
    pub applied: Option<Version>,
    pub external_id: Option<String>,
    pub receipt: Option<serde_json::Value>,
}

impl Dependency {
    /// Whether what it holds was not taken back.
    pub fn stands(&self) -> bool {
        let stands = self.receipt.as_ref().and_then(|receipt| receipt.get(STANDS));
        stands.and_then(serde_json::Value::as_bool) != Some(false)
    }
}

/// Leases due deliveries. A row whose lease ran out is due as well; that its attempt was lost is recorded.
pub async fn claim(db: impl PgExecutor<'_>, claim: &Claim<'_>, offset_ms: i64) -> Result<Vec<Claimed>> {
    let token = Uuid::new_v4();
    let rows = sqlx::query_as!(
        Row,
        r#"-- deliveries.claim
        WITH clock AS MATERIALIZED (
            SELECT now() + $7 * interval '1 millisecond' AS now
        ), due AS MATERIALIZED (
            -- Arguments stand in a SELECT of their own so that the planner knows no more of them than it ever will, and
            -- keeps one plan: a plan for each claim cost as much as a tenth of the claim.
            -- The inner query walks the partial index in its own order and stops at the limit; nothing here depends on
            -- what the planner knows about the table.
            SELECT d.*
            FROM clock
            CROSS JOIN generate_series(0, 2) AS p (priority)
            CROSS JOIN unnest((SELECT $2::text[])) AS l (lane)
            CROSS JOIN LATERAL (
                SELECT q.ctid, q.sent_version, q.lease_expires_at AS lost_at
                FROM deliveries q
                WHERE q.open AND q.sink = $1 AND q.lane = l.lane AND q.priority = p.priority
                  AND q.next_attempt_at <= clock.now
                  AND (q.lease_expires_at IS NULL OR q.lease_expires_at <= clock.now)
                ORDER BY q.next_attempt_at, q.source, q.order_id
                LIMIT (SELECT $3::bigint)
                FOR UPDATE SKIP LOCKED
            ) d
            WHERE p.priority BETWEEN (SELECT $9::int) AND (SELECT $10::int)
            LIMIT (SELECT $3::bigint)
        ), claimed AS (
            UPDATE deliveries d
            SET state = 'in_flight',
                lease_token = $4,
                lease_owner = $5,
                lease_expires_at = clock.now + $6 * interval '1 millisecond',
                attempts = d.attempts + 1,
                -- A worker that was lost has failed.
                first_failed_at = CASE WHEN d.lease_token IS NULL THEN d.first_failed_at
                                       ELSE coalesce(d.first_failed_at, d.lease_expires_at) END,
                -- A step in doubt stays what was sent, until it is settled.
                sent_version = CASE WHEN d.pending_step IS NOT NULL THEN d.sent_version
                    WHEN k.versions_mode = 'every' THEN coalesce(
                        (SELECT min(v.version)
                         FROM order_versions v
                         WHERE v.source = d.source AND v.order_id = d.order_id
                           AND v.version >= greatest(d.decided_version + 1, d.floor_version, d.sent_version)),
                        d.wanted_version)
                    ELSE d.wanted_version END,
                waiting_for = NULL,
                updated_at = clock.now
            -- Arrays, because the planner takes an array for ten rows and goes straight to them: from the CTE itself it
            -- expects a share of the table, and reads all of it for every claim. Straight to them is by place: the rows
            -- are locked and stay where they are. One that moved right before its lock is missed here, stays due, and
            -- the next claim takes it.
            FROM clock
            CROSS JOIN sinks k
            CROSS JOIN unnest((SELECT array_agg(due.ctid) FROM due),
                              (SELECT array_agg(due.sent_version) FROM due),
                              (SELECT array_agg(due.lost_at) FROM due))
                AS t (ctid, sent_version, lost_at)
            WHERE k.name = (SELECT $1::text) AND d.ctid = t.ctid
            RETURNING d.source, d.order_id, d.lane, d.priority, d.next_attempt_at, d.attempts, d.wanted_version,
                      d.applied_version, d.decided_version, d.floor_version, t.sent_version, d.receipt, d.external_id,
                      d.pending_step, d.first_failed_at, t.lost_at
        ), lost AS (
            INSERT INTO attempts (sink, source, order_id, version, attempt, started_at, finished_at, outcome, reason)
            SELECT $1, c.source, c.order_id, c.wanted_version, c.attempts - 1, c.lost_at, clock.now,
                   'lease_expired', 'worker_lost'
            FROM claimed c, clock
            WHERE c.lost_at IS NOT NULL
        )
        SELECT 'in_flight' AS "state!",
               c.source AS "source!",
               c.order_id AS "order_id!",
               c.lane AS "lane!",
               c.priority AS "priority!",
               c.attempts AS "attempts!",
               c.wanted_version AS "wanted_version!",
               c.applied_version,
               c.sent_version,
               coalesce(c.decided_version >= c.wanted_version, false) AS "all_walked!",
               c.receipt,
               c.external_id,
               c.pending_step,
               (extract(epoch FROM clock.now - (c.pending_step ->> 'first_sent_at')::timestamptz) * 1000)::bigint AS first_sent_ms,
               (extract(epoch FROM clock.now - (c.pending_step ->> 'last_sent_at')::timestamptz) * 1000)::bigint AS last_sent_ms,
               c.lost_at IS NOT NULL AS "after_loss!",
               (extract(epoch FROM clock.now - c.first_failed_at) * 1000)::bigint AS failing_ms,
               v.version AS "version?",
               v.status AS "status?",
               v.vendor_id,
               v.order_type,
               (extract(epoch FROM clock.now - v.received_at) * 1000)::bigint AS age_ms,
               (extract(epoch FROM clock.now - greatest(v.received_at, k.activated_at)) * 1000)::bigint AS owed_ms,
               k.activated_at AS "activated_at!",
               v.content_hash AS "content_hash?",
               v.payload,
               s.kind AS "source_kind?",
               dep.state AS "dep_state?",
               dep.applied_version AS dep_applied,
               dep.external_id AS dep_external_id,
               dep.receipt AS dep_receipt
        FROM claimed c
        CROSS JOIN clock
        CROSS JOIN sinks k
        LEFT JOIN sources s ON s.name = c.source
        LEFT JOIN LATERAL (
            SELECT v.version, v.status, v.vendor_id, v.order_type, v.received_at, v.content_hash, v.payload
            FROM order_versions v
            WHERE v.source = c.source AND v.order_id = c.order_id
              -- In turn, but never below one whose answer was lost: that may stand there.
              AND v.version >= CASE k.versions_mode
                                    WHEN 'every' THEN greatest(c.decided_version + 1, c.floor_version, c.sent_version)
                                    ELSE c.wanted_version END
            ORDER BY v.version
            LIMIT 1
        ) v ON true
        LEFT JOIN LATERAL (
            SELECT o.state, o.applied_version, o.external_id, o.receipt
            FROM deliveries o
            WHERE o.sink = (SELECT $8::text) AND o.source = c.source AND o.order_id = c.order_id
        ) dep ON true
        WHERE k.name = (SELECT $1::text)
        ORDER BY c.priority, c.next_attempt_at, c.source, c.order_id
        "#,
        claim.sink.as_str(),
        claim.lanes,
        i64::from(claim.limit),
        token,
        claim.owner,
        millis(claim.lease) as f64,
        offset_ms as f64,
        claim.after.map(SinkName::as_str),
        i32::from(*claim.priorities.start()),
        i32::from(*claim.priorities.end()),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("deliveries.claim"))?;
    rows.into_iter().map(|row| row.claimed(claim.sink, token, "deliveries.claim")).collect()
}

/// Due deliveries of one lane and priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub lane: String,
    /// 0 new order, 1 correction, 2 backfill.
    pub priority: i16,
    /// At most as many as were asked for.
    pub deliveries: u32,
}

/// Counts what a claim would find, up to `limit` of each lane and priority, the urgent ones first.
pub async fn due(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    lanes: &[String],
    limit: u32,
    offset_ms: i64,
) -> Result<Vec<Due>> {
    let rows = sqlx::query!(
        r#"-- deliveries.due
        WITH clock AS MATERIALIZED (
            SELECT now() + $4 * interval '1 millisecond' AS now
        )
        SELECT l.lane AS "lane!", p.priority AS "priority!", d.n AS "n!"
        FROM clock
        CROSS JOIN generate_series(0, 2) AS p (priority)
        CROSS JOIN unnest($2::text[]) AS l (lane)
        CROSS JOIN LATERAL (
            SELECT count(*) AS n
            FROM (
                SELECT
                FROM deliveries q
                WHERE q.open AND q.sink = $1 AND q.lane = l.lane AND q.priority = p.priority
                  AND q.next_attempt_at <= clock.now
                  AND (q.lease_expires_at IS NULL OR q.lease_expires_at <= clock.now)
                ORDER BY q.next_attempt_at, q.source, q.order_id
                LIMIT $3
            ) q
        ) d
        WHERE d.n > 0
        ORDER BY p.priority, l.lane
        "#,
        sink.as_str(),
        lanes,
        i64::from(limit),
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("deliveries.due"))?;
    let due =
        rows.into_iter().map(|row| Due { lane: row.lane, priority: row.priority as i16, deliveries: row.n as u32 });
    Ok(due.collect())
}

/// Which deliveries a dry run looks at.
#[derive(Debug, Clone, Copy)]
pub struct Peek<'a> {
    pub sink: &'a SinkName,
    /// The sink whose receipt is needed (`after`).
    pub after: Option<&'a SinkName>,
    pub source: Option<&'a SourceName>,
    /// These orders, whatever their state; empty: those that are pending, in the order in which they are claimed.
    pub order_ids: &'a [String],
    pub limit: u32,
}

/// Reads deliveries as a claim would find them, and leases nothing.
pub async fn peek(db: impl PgExecutor<'_>, peek: &Peek<'_>, offset_ms: i64) -> Result<Vec<(State, Claimed)>> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- deliveries.peek
        WITH clock AS MATERIALIZED (
            SELECT now() + $6 * interval '1 millisecond' AS now
        )
        SELECT d.state,
               d.source,
               d.order_id,
               d.lane,
               d.priority,
               d.attempts + 1 AS "attempts!",
               d.wanted_version,
               d.applied_version,
               d.sent_version,
               coalesce(d.decided_version >= d.wanted_version, false) AS "all_walked!",
               d.receipt,
               d.external_id,
               d.pending_step,
               (extract(epoch FROM clock.now - (d.pending_step ->> 'first_sent_at')::timestamptz) * 1000)::bigint AS first_sent_ms,
               (extract(epoch FROM clock.now - (d.pending_step ->> 'last_sent_at')::timestamptz) * 1000)::bigint AS last_sent_ms,
               false AS "after_loss!",
               (extract(epoch FROM clock.now - d.first_failed_at) * 1000)::bigint AS failing_ms,
               v.version AS "version?",
               v.status AS "status?",
               v.vendor_id,
               v.order_type,
               (extract(epoch FROM clock.now - v.received_at) * 1000)::bigint AS age_ms,
               (extract(epoch FROM clock.now - greatest(v.received_at, k.activated_at)) * 1000)::bigint AS owed_ms,
               k.activated_at AS "activated_at!",
               v.content_hash AS "content_hash?",
               v.payload,
               s.kind AS "source_kind?",
               dep.state AS "dep_state?",
               dep.applied_version AS dep_applied,
               dep.external_id AS dep_external_id,
               dep.receipt AS dep_receipt
        FROM clock
        CROSS JOIN sinks k
        JOIN deliveries d ON d.sink = k.name
        LEFT JOIN sources s ON s.name = d.source
        LEFT JOIN LATERAL (
            SELECT v.version, v.status, v.vendor_id, v.order_type, v.received_at, v.content_hash, v.payload
            FROM order_versions v
            WHERE v.source = d.source AND v.order_id = d.order_id
              AND v.version >= CASE k.versions_mode
                                    WHEN 'every' THEN greatest(d.decided_version + 1, d.floor_version, d.sent_version)
                                    ELSE d.wanted_version END
            ORDER BY v.version
            LIMIT 1
        ) v ON true
        LEFT JOIN deliveries dep ON dep.sink = $2 AND dep.source = d.source AND dep.order_id = d.order_id
        WHERE k.name = $1
          AND ($3::text IS NULL OR d.source = $3)
          AND CASE WHEN cardinality($4::text[]) > 0 THEN d.order_id = ANY ($4)
                   ELSE d.open AND d.state IN ('pending', 'in_doubt') END
        ORDER BY d.priority, d.next_attempt_at, d.source, d.order_id
        LIMIT $5
        "#,
        peek.sink.as_str(),
        peek.after.map(SinkName::as_str),
        peek.source.map(SourceName::as_str),
        peek.order_ids,
        i64::from(peek.limit),
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("deliveries.peek"))?;
    let operation = "deliveries.peek";
    rows.into_iter()
        .map(|row| Ok((known_state(&row.state, operation)?, row.claimed(peek.sink, Uuid::nil(), operation)?)))
        .collect()
}

/// A delivery as the claim and the peek read it.
#[derive(Debug)]
struct Row {
    state: String,
    source: String,
    order_id: String,
    lane: String,
    priority: i16,
    attempts: i32,
    wanted_version: i64,
    applied_version: Option<i64>,
    sent_version: Option<i64>,
    all_walked: bool,
    receipt: Option<serde_json::Value>,
    external_id: Option<String>,
    pending_step: Option<serde_json::Value>,
    first_sent_ms: Option<i64>,
    last_sent_ms: Option<i64>,
    after_loss: bool,
    failing_ms: Option<i64>,
    version: Option<i64>,
    status: Option<String>,
    vendor_id: Option<String>,
    order_type: Option<String>,
    age_ms: Option<i64>,
    owed_ms: Option<i64>,
    activated_at: DateTime<Utc>,
    content_hash: Option<Vec<u8>>,
    payload: Option<String>,
    source_kind: Option<String>,
    dep_state: Option<String>,
    dep_applied: Option<i64>,
    dep_external_id: Option<String>,
    dep_receipt: Option<serde_json::Value>,
}

impl Row {
    fn claimed(self, sink: &SinkName, token: Uuid, operation: &'static str) -> Result<Claimed> {
        let source = SourceName::parse(&self.source).map_err(|error| undecodable(operation, error))?;
        let dependency_state = self.dep_state.map(|state| known_state(&state, operation)).transpose()?;
        Ok(Claimed {
            key: DeliveryKey { sink: sink.clone(), order: OrderKey { source, order_id: OrderId::new(self.order_id) } },
            lane: self.lane,
            token,
            attempt: self.attempts.max(1) as u32,
            wanted: Version(self.wanted_version),
            progress: Progress { applied: self.applied_version.map(Version), sent: self.sent_version.map(Version) },
            receipt: self.receipt,
            external_id: self.external_id,
            pending: self.pending_step.map(|step| Pending {
                step,
                first_sent: whole(self.first_sent_ms),
                last_sent: whole(self.last_sent_ms),
            }),
            after_loss: self.after_loss,
            failing_for: self.failing_ms.map(|ms| whole(Some(ms))),
            all_walked: self.all_walked,
            is_backfill: self.priority == BACKFILL,
            active_since: self.activated_at,
            snapshot: self.version.zip(self.status).map(|(version, status)| Snapshot {
                version: Version(version),
                status,
                vendor_id: self.vendor_id,
                order_type: self.order_type,
                age: whole(self.age_ms),
                owed_for: whole(self.owed_ms),
                source_kind: self.source_kind.unwrap_or_default(),
                content_hash: self.content_hash.unwrap_or_default(),
                payload: self.payload,
            }),
            dependency: dependency_state.map(|state| Dependency {
                state,
                applied: self.dep_applied.map(Version),
                external_id: self.dep_external_id,
                receipt: self.dep_receipt,
            }),
        })
    }
}

fn known_state(text: &str, operation: &'static str) -> Result<State> {
    State::parse(text).ok_or_else(|| undecodable(operation, "unknown state"))
}

fn undecodable(operation: &'static str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError { operation, source: sqlx::Error::Decode(error.into()) }
}

/// Milliseconds as SQL gives them; a clock that was set back makes no negative age.
fn whole(ms: Option<i64>) -> Duration {
    Duration::from_millis(ms.unwrap_or_default().max(0) as u64)
}

/// How long until something of this sink is due, looking only at these lanes; none: nothing is scheduled.
pub async fn next_due(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    lanes: &[String],
    offset_ms: i64,
) -> Result<Option<Duration>> {
    let wait_ms = sqlx::query_scalar!(
        r#"-- deliveries.next_due
        SELECT (extract(epoch FROM min(greatest(d.next_attempt_at, d.lease_expires_at)) - now()
                - $3 * interval '1 millisecond') * 1000)::bigint
        FROM generate_series(0, 2) AS p (priority)
        CROSS JOIN unnest($2::text[]) AS l (lane)
        CROSS JOIN LATERAL (
            SELECT q.next_attempt_at, q.lease_expires_at
            FROM deliveries q
            WHERE q.open AND q.sink = $1 AND q.lane = l.lane AND q.priority = p.priority
            ORDER BY q.next_attempt_at, q.source, q.order_id
            LIMIT 50
        ) d
        "#,
        sink.as_str(),
        lanes,
        offset_ms as f64,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("deliveries.next_due"))?;
    Ok(wait_ms.map(|ms| Duration::from_millis(ms.max(0) as u64)))
}

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

/// Writes down steps that are about to be sent, all of one sink, and prolongs their leases. Returns for each whether it
/// may be sent; otherwise its lease was lost.
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
            WHERE d.pending_step IS NULL
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
}

/// Links a delivery to the one of these foreign ids that no other delivery of its sink has, if there is exactly one. Two
/// deliveries never take the same: they wait in line at the sink's row, which is locked behind the delivery, as settling
/// does. A lost lease links nothing.
pub async fn link_one_of(pool: &PgPool, held: Lease<'_>, ids: &[String]) -> Result<Linked> {
    let failed = |source| StoreError { operation: "deliveries.link", source };
    let mut tx = pool.begin().await.map_err(failed)?;
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
        return Ok(Linked::NoneLeft);
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
    super::alerts::resolve_all(&mut *db, "configuration", sink).await?;
    Ok(woken.rows_affected())
}

/// What one claimed delivery comes to. Built by `delivery::decide`, written as it stands.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub key: DeliveryKey,
    pub lane: String,
    /// Of the claim. A step that was written down under it is settled by its answer even after the lease was lost.
    pub token: Uuid,
    pub version: Version,
    pub next: Next,
    /// What stands in `sent_version` afterwards.
    pub sent: Option<Version>,
    pub external_id: Option<String>,
    pub receipt: Option<serde_json::Value>,
    pub notice: Option<String>,
    /// Raised if the row moves.
    pub alert: Option<Alert>,
    pub last_error: Option<String>,
    pub attempt: AttemptRecord,
}

/// Where the row goes. If something newer is wanted by then, `Applied` and `Skipped` become pending again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Applied,
    Skipped {
        reason: &'static str,
    },
    Parked {
        reason: String,
        hint: String,
        /// A newer version makes it pending again.
        curable: bool,
    },
    /// Due again after `wait`. `failed` starts or goes on counting the time of failure; `refund` gives the attempt back.
    Pending {
        wait: Duration,
        waiting_for: Option<&'static str>,
        /// Not even a newer version comes earlier than this.
        not_before: Option<Duration>,
        failed: bool,
        refund: bool,
    },
    /// No answer: looked up after the wait; none: a person must say.
    InDoubt {
        look_up_in: Option<Duration>,
        reason: &'static str,
        hint: String,
    },
}

impl Next {
    pub fn state(&self) -> State {
        match self {
            Self::Applied => State::Applied,
            Self::Skipped { .. } => State::Skipped,
            Self::Parked { .. } => State::Parked,
            Self::Pending { .. } => State::Pending,
            Self::InDoubt { .. } => State::InDoubt,
        }
    }
}

/// One line of the order's history.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    pub number: u32,
    /// None: a decision without a call.
    pub step: Option<String>,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    /// None: nothing worth a line (a wait, a release).
    pub outcome: Option<&'static str>,
    pub http_status: Option<u16>,
    pub reason: Option<String>,
    pub request_digest: Option<[u8; 32]>,
    /// Masked.
    pub response_excerpt: Option<String>,
    /// An earlier try to record this may have gone through.
    pub again: bool,
}

/// Whether a newer wanted version takes the place of one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseding {
    /// `versions = "latest"`: the newer one starts afresh, no earlier than `not_before`.
    Newest,
    /// `versions = "every"`: the failed one stays next.
    InTurn,
}

/// Records attempts, moves the rows whose lease is still ours, and raises an alert for each parked one and for each that
/// carries one; the alert of a notice ends with it. Returns the rows that moved; the attempts are recorded in any case.
pub async fn settle(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    superseding: Superseding,
    batch: &[Settlement],
    offset_ms: i64,
) -> Result<Vec<(OrderKey, State)>> {
    let mut c = Columns::default();
    for settlement in batch {
        c.push(settlement);
    }
    let rows = sqlx::query!(
        r#"-- deliveries.settle
        WITH input AS MATERIALIZED (
            SELECT *, now() + $2 * interval '1 millisecond' AS now
            FROM unnest($3::text[], $4::text[], $5::uuid[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[],
                        $11::bigint[], $12::bigint[], $13::bool[], $14::bool[], $15::bool[], $16::bigint[],
                        $17::text[], $18::jsonb[], $19::text[], $20::text[],
                        $21::int[], $22::text[], $23::timestamptz[], $24::timestamptz[], $25::text[], $26::smallint[],
                        $27::text[], $28::bytea[], $29::text[], $30::bool[]) WITH ORDINALITY
                AS i (source, order_id, token, version, state, reason, hint, waiting_for,
                      next_ms, not_before_ms, failed, refund, curable, sent_version,
                      external_id, receipt, notice, last_error,
                      attempt, step, started_at, finished_at, outcome, http_status,
                      attempt_reason, request_digest, response_excerpt, again, n)
        ), locked AS MATERIALIZED (
            -- By number: a batch may hold two outcomes of one order, of an old lease and of the present one.
            SELECT i.n, d.notice
            FROM input i
            JOIN deliveries d ON d.sink = $1 AND d.source = i.source AND d.order_id = i.order_id
            -- A late answer settles the doubt about its own sending. Of the same step sent again since it says nothing.
            WHERE d.lease_token = i.token OR d.pending_step ->> 'sent_by' = i.token::text
            ORDER BY d.sink, d.source, d.order_id
            FOR UPDATE OF d
        ), moved AS (
            UPDATE deliveries d
            SET state = CASE WHEN i.state IN ('applied', 'skipped') AND d.wanted_version > i.version THEN 'pending'
                             WHEN i.state = 'parked' AND i.curable AND d.wanted_version > i.version THEN 'pending'
                             ELSE i.state END,
                applied_version = CASE WHEN i.state = 'applied' THEN i.version ELSE d.applied_version END,
                decided_version = CASE WHEN i.state IN ('applied', 'skipped') THEN i.version ELSE d.decided_version END,
                sent_version = i.sent_version,
                priority = CASE WHEN i.state = 'applied' THEN 1 ELSE d.priority END,
                attempts = CASE WHEN i.refund THEN d.attempts - 1
                                WHEN i.state = 'pending' AND $31 AND d.wanted_version > i.version THEN 0
                                WHEN i.state = 'parked' AND i.curable AND d.wanted_version > i.version THEN 0
                                WHEN i.state IN ('applied', 'skipped') OR i.state = 'pending' AND NOT i.failed THEN 0
                                ELSE d.attempts END,
                next_attempt_at = CASE
                    WHEN i.state = 'pending' AND i.failed AND $31 AND d.wanted_version > i.version
                        THEN greatest(i.now, coalesce(i.now + i.not_before_ms * interval '1 millisecond', d.not_before))
                    WHEN i.state IN ('pending', 'in_doubt') THEN i.now + i.next_ms * interval '1 millisecond'
                    WHEN d.wanted_version > i.version THEN greatest(i.now, d.not_before)
                    ELSE d.next_attempt_at END,
                not_before = CASE WHEN i.state IN ('applied', 'skipped') THEN NULL
                                  ELSE coalesce(i.now + i.not_before_ms * interval '1 millisecond', d.not_before) END,
                first_failed_at = CASE WHEN i.state = 'pending' AND $31 AND d.wanted_version > i.version THEN NULL
                                       WHEN i.state = 'parked' AND i.curable AND d.wanted_version > i.version THEN NULL
                                       WHEN i.failed THEN coalesce(d.first_failed_at, i.now)
                                       WHEN i.refund THEN d.first_failed_at END,
                waiting_for = i.waiting_for,
                reason = CASE WHEN i.state = 'parked' AND NOT i.curable OR i.state = 'in_doubt'
                                OR d.wanted_version <= i.version THEN i.reason END,
                hint = CASE WHEN i.state = 'parked' AND NOT i.curable OR i.state = 'in_doubt'
                              OR d.wanted_version <= i.version THEN i.hint END,
                curable = i.curable,
                notice = CASE WHEN i.state = 'applied' THEN i.notice ELSE coalesce(i.notice, d.notice) END,
                external_id = coalesce(i.external_id, d.external_id),
                receipt = coalesce(i.receipt, d.receipt),
                pending_step = CASE WHEN i.state = 'in_doubt' THEN d.pending_step END,
                last_error = CASE WHEN i.state IN ('applied', 'skipped') THEN NULL ELSE coalesce(i.last_error, d.last_error) END,
                lease_token = NULL,
                lease_owner = NULL,
                lease_expires_at = NULL,
                updated_at = i.now
            FROM input i
            JOIN locked l USING (n)
            WHERE d.sink = $1 AND d.source = i.source AND d.order_id = i.order_id
            RETURNING i.n, d.source, d.order_id, d.state, d.open, d.notice, l.notice AS notice_before
        ), alerted AS (
            INSERT INTO alerts AS a (cause, subject, detail, count)
            SELECT r.cause, r.subject, min(r.detail), count(*)
            FROM (
                SELECT 'dead_letter' AS cause, $1 || '/' || m.source || '/' || m.order_id AS subject,
                       'a delivery waits for a person' AS detail
                FROM moved m
                WHERE m.state = 'parked' OR m.state = 'in_doubt' AND NOT m.open
                UNION ALL
                SELECT told.cause, told.subject, told.detail
                FROM unnest($32::bigint[], $33::text[], $34::text[], $35::text[]) AS told (n, cause, subject, detail)
                JOIN moved m USING (n)
            ) r
            GROUP BY r.cause, r.subject
            ORDER BY r.cause, r.subject
            ON CONFLICT (cause, subject) WHERE resolved_at IS NULL DO UPDATE
            SET count = a.count + EXCLUDED.count, last_seen_at = now(), detail = EXCLUDED.detail
        ), calmed AS (
            UPDATE alerts a
            SET resolved_at = now() + $2 * interval '1 millisecond'
            FROM moved m
            CROSS JOIN LATERAL (
                SELECT open.id
                FROM alerts open
                WHERE open.cause = m.notice_before AND open.subject = $1 || '/' || m.source || '/' || m.order_id
                  AND open.resolved_at IS NULL
                LIMIT 1
            ) past
            WHERE m.notice IS DISTINCT FROM m.notice_before AND a.id = past.id
        ), recorded AS (
            INSERT INTO attempts (sink, source, order_id, version, attempt, step, started_at, finished_at, outcome,
                                  http_status, reason, request_digest, response_excerpt)
            SELECT $1, i.source, i.order_id, i.version, i.attempt, i.step, i.started_at, i.finished_at, i.outcome,
                   i.http_status, i.attempt_reason, i.request_digest, i.response_excerpt
            FROM input i
            -- A wait or a release is worth no line.
            WHERE i.outcome IS NOT NULL
            -- The commit of an earlier try may have gone through without our hearing of it.
              AND (NOT i.again
                   OR NOT EXISTS (SELECT FROM attempts known
                                  WHERE known.source = i.source AND known.order_id = i.order_id AND known.sink = $1
                                    AND known.attempt = i.attempt AND known.started_at = i.started_at))
        ), seen AS (
            UPDATE sinks
            SET last_success_at = now() + $2 * interval '1 millisecond'
            WHERE name = $1
              AND EXISTS (SELECT FROM input WHERE outcome = 'delivered')
              AND coalesce(last_success_at, '-infinity') < now() + ($2 - 1000) * interval '1 millisecond'
        )
        SELECT source AS "source!", order_id AS "order_id!", state AS "state!" FROM moved
        "#,
        sink.as_str(),
        offset_ms as f64,
        &c.source[..] as _,
        &c.order_id[..] as _,
        &c.token[..],
        &c.version[..],
        &c.state[..] as _,
        &c.reason[..] as _,
        &c.hint[..] as _,
        &c.waiting_for[..] as _,
        &c.next_ms[..] as _,
        &c.not_before_ms[..] as _,
        &c.failed[..],
        &c.refund[..],
        &c.curable[..],
        &c.sent_version[..] as _,
        &c.external_id[..] as _,
        &c.receipt[..] as _,
        &c.notice[..] as _,
        &c.last_error[..] as _,
        &c.attempt[..],
        &c.step[..] as _,
        &c.started_at[..],
        &c.finished_at[..],
        &c.outcome[..] as _,
        &c.http_status[..] as _,
        &c.attempt_reason[..] as _,
        &c.request_digest[..] as _,
        &c.response_excerpt[..] as _,
        &c.again[..],
        superseding == Superseding::Newest,
        &c.told_by[..],
        &c.told_cause[..] as _,
        &c.told_subject[..],
        &c.told_detail[..] as _,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("deliveries.settle"))?;
    rows.into_iter()
        .map(|row| {
            let operation = "deliveries.settle";
            let source = SourceName::parse(&row.source).map_err(|error| undecodable(operation, error))?;
            let state = known_state(&row.state, operation)?;
            Ok((OrderKey { source, order_id: OrderId::new(row.order_id) }, state))
        })
        .collect()
}

/// A batch of settlements as columns.
#[derive(Debug, Default)]
struct Columns<'a> {
    source: Vec<&'a str>,
    order_id: Vec<&'a str>,
    token: Vec<Uuid>,
    version: Vec<i64>,
    state: Vec<&'a str>,
    reason: Vec<Option<&'a str>>,
    hint: Vec<Option<&'a str>>,
    waiting_for: Vec<Option<&'a str>>,
    next_ms: Vec<Option<i64>>,
    not_before_ms: Vec<Option<i64>>,
    failed: Vec<bool>,
    refund: Vec<bool>,
    curable: Vec<bool>,
    sent_version: Vec<Option<i64>>,
    external_id: Vec<Option<&'a str>>,
    receipt: Vec<Option<&'a serde_json::Value>>,
    notice: Vec<Option<&'a str>>,
    last_error: Vec<Option<&'a str>>,
    attempt: Vec<i32>,
    step: Vec<Option<&'a str>>,
    started_at: Vec<DateTime<Utc>>,
    finished_at: Vec<DateTime<Utc>>,
    outcome: Vec<Option<&'a str>>,
    http_status: Vec<Option<i16>>,
    attempt_reason: Vec<Option<&'a str>>,
    request_digest: Vec<Option<&'a [u8]>>,
    response_excerpt: Vec<Option<&'a str>>,
    again: Vec<bool>,
    told_by: Vec<i64>,
    told_cause: Vec<&'a str>,
    told_subject: Vec<String>,
    told_detail: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, s: &'a Settlement) {
        let (mut reason, mut hint, mut waiting_for, mut next_ms, mut not_before_ms) = (None, None, None, None, None);
        let (mut failed, mut refund, mut curable) = (false, false, true);
        match &s.next {
            Next::Applied => {}
            Next::Skipped { reason: why } => reason = Some(*why),
            Next::Parked { reason: why, hint: what, curable: by_version } => {
                reason = Some(why);
                hint = Some(what.as_str());
                curable = *by_version;
                failed = true;
            }
            Next::Pending { wait, waiting_for: what, not_before, failed: f, refund: r } => {
                next_ms = Some(millis(*wait));
                waiting_for = *what;
                not_before_ms = not_before.map(millis);
                failed = *f;
                refund = *r;
            }
            Next::InDoubt { look_up_in, reason: why, hint: what } => {
                next_ms = look_up_in.map(millis);
                hint = Some(what.as_str());
                reason = Some(*why);
                failed = true;
            }
        }
        self.source.push(s.key.order.source.as_str());
        self.order_id.push(s.key.order.order_id.as_str());
        self.token.push(s.token);
        self.version.push(s.version.0);
        self.state.push(s.next.state().as_str());
        self.reason.push(reason);
        self.hint.push(hint);
        self.waiting_for.push(waiting_for);
        self.next_ms.push(next_ms);
        self.not_before_ms.push(not_before_ms);
        self.failed.push(failed);
        self.refund.push(refund);
        self.curable.push(curable);
        self.sent_version.push(s.sent.map(|v| v.0));
        self.external_id.push(s.external_id.as_deref());
        self.receipt.push(s.receipt.as_ref());
        self.notice.push(s.notice.as_deref());
        self.last_error.push(s.last_error.as_deref());
        if let Some(alert) = &s.alert {
            self.told_by.push(self.source.len() as i64);
            self.told_cause.push(alert.cause);
            self.told_subject.push(alert.subject(&s.key));
            self.told_detail.push(&alert.detail);
        }
        self.attempt.push(s.attempt.number as i32);
        self.step.push(s.attempt.step.as_deref());
        self.started_at.push(s.attempt.started_at);
        self.finished_at.push(s.attempt.finished_at);
        self.outcome.push(s.attempt.outcome);
        self.http_status.push(s.attempt.http_status.map(|code| code as i16));
        self.attempt_reason.push(s.attempt.reason.as_deref());
        self.request_digest.push(s.attempt.request_digest.as_ref().map(<[u8; 32]>::as_slice));
        self.response_excerpt.push(s.attempt.response_excerpt.as_deref());
        self.again.push(s.attempt.again);
    }
}
