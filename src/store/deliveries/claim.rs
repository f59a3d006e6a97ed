//! What a claim leases and reads, and what looks at due deliveries without leasing them.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{known_state, undecodable};
use crate::{
    domain::{
        delivery::{DeliveryKey, Progress, STANDS, State},
        ids::{OrderId, OrderKey, SinkName, SourceName, Version},
    },
    store::{Result, StoreError, millis, summaries::Summarised},
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
    /// How long the destination has been refusing a part of it, as far as anybody knows.
    pub refused_for: Option<Duration>,
    /// The version to bring now. None although something is owed: it was stored after this statement took its snapshot,
    /// and the next claim sees it.
    pub snapshot: Option<Snapshot>,
    /// Every version up to the wanted one was decided.
    pub all_walked: bool,
    /// By the database's clock.
    pub claimed_at: DateTime<Utc>,
    /// The delivery of the `after` sink, where one is configured and exists.
    pub dependency: Option<Dependency>,
    /// Owed by a person's word or the sink's `start`, and not because it arrived.
    pub is_backfill: bool,
    /// Since when the sink has been active.
    pub active_since: DateTime<Utc>,
    /// Read apart, and only for sinks that post documents of many orders.
    pub summarised: Option<Summarised>,
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
                      d.pending_step, d.first_failed_at, d.refused_since, t.lost_at
        ), lost AS (
            INSERT INTO attempts (sink, source, order_id, version, attempt, started_at, finished_at, outcome, reason)
            SELECT $1, c.source, c.order_id, c.wanted_version, c.attempts - 1, c.lost_at, clock.now,
                   'lease_expired', 'worker_lost'
            FROM claimed c, clock
            WHERE c.lost_at IS NOT NULL
        )
        SELECT 'in_flight' AS "state!",
               clock.now AS "now!",
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
               (extract(epoch FROM clock.now - c.refused_since) * 1000)::bigint AS refused_ms,
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
               clock.now AS "now!",
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
               (extract(epoch FROM clock.now - d.refused_since) * 1000)::bigint AS refused_ms,
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
    now: DateTime<Utc>,
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
    refused_ms: Option<i64>,
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
            refused_for: self.refused_ms.map(|ms| whole(Some(ms))),
            all_walked: self.all_walked,
            claimed_at: self.now,
            is_backfill: self.priority == BACKFILL,
            active_since: self.activated_at,
            summarised: None,
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
