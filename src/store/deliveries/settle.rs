//! What an attempt comes to: one statement records the attempts of a batch and moves its rows.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{known_state, undecodable};
use crate::{
    domain::{
        delivery::{Alert, DeliveryKey, State},
        ids::{OrderId, OrderKey, SinkName, SourceName, Version},
    },
    store::{Result, StoreError, millis},
};

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
    /// Due again after `wait`. `failed` and `refused` start or go on counting the time of failure or refusal; `refund` gives
    /// the attempt back.
    Pending {
        wait: Duration,
        waiting_for: Option<&'static str>,
        /// Not even a newer version comes earlier than this.
        not_before: Option<Duration>,
        failed: bool,
        refused: bool,
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
    /// None: nothing worth a line (a release, a note).
    pub outcome: Option<&'static str>,
    pub http_status: Option<u16>,
    pub reason: Option<String>,
    pub request_digest: Option<[u8; 32]>,
    /// Masked.
    pub response_excerpt: Option<String>,
    /// What the destination calls the order that this had its effect on.
    pub external_id: Option<String>,
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

/// A row that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    pub order: OrderKey,
    pub state: State,
    /// By how much its receipt counts more corrections avoided than before.
    pub corrections_avoided: u64,
    /// It waits no more for what it waited for under an alert: see [`super::close_mended`].
    pub released: bool,
}

/// Records attempts, moves the rows whose lease is still ours, and raises an alert for each parked one and for each that
/// carries one; the alert of a notice ends with it. Returns the rows that moved; the attempts are recorded in any case.
pub async fn settle(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    superseding: Superseding,
    batch: &[Settlement],
    offset_ms: i64,
) -> Result<Vec<Settled>> {
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
                        $27::text[], $28::bytea[], $29::text[], $36::text[], $30::bool[], $37::text[], $38::bool[]) WITH ORDINALITY
                AS i (source, order_id, token, version, state, reason, hint, waiting_for,
                      next_ms, not_before_ms, failed, refund, curable, sent_version,
                      external_id, receipt, notice, last_error,
                      attempt, step, started_at, finished_at, outcome, http_status,
                      attempt_reason, request_digest, response_excerpt, attempt_external_id, again, held_for, refused, n)
        ), locked AS MATERIALIZED (
            -- By number: a batch may hold two outcomes of one order, of an old lease and of the present one.
            SELECT i.n, d.notice, d.held_for,
                   greatest(coalesce((i.receipt ->> 'corrections_avoided')::bigint, 0)
                            - coalesce((d.receipt ->> 'corrections_avoided')::bigint, 0), 0) AS avoided
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
                    -- Whatever this version waits for, a newer one is looked at; only the destination's wish goes before. What
                    -- was given back without a look at it waits for something else.
                    WHEN i.state = 'pending' AND (i.failed OR NOT i.refund OR i.outcome = 'waits')
                         AND $31 AND d.wanted_version > i.version
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
                refused_since = CASE WHEN i.state IN ('applied', 'skipped') THEN NULL
                                     WHEN $31 AND d.wanted_version > i.version AND (i.state = 'pending' OR i.curable) THEN NULL
                                     WHEN i.refused THEN coalesce(d.refused_since, i.now)
                                     ELSE d.refused_since END,
                waiting_for = i.waiting_for,
                -- What was given back undecided waits for what it waited for.
                held_for = CASE WHEN i.outcome IS NULL THEN d.held_for ELSE i.held_for END,
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
            RETURNING i.n, d.source, d.order_id, d.state, d.reason, d.open, d.notice, l.notice AS notice_before, l.avoided,
                      l.held_for IS NOT NULL AND d.held_for IS DISTINCT FROM l.held_for AS released
        ), alerted AS (
            INSERT INTO alerts AS a (cause, subject, detail, count)
            SELECT r.cause, r.subject, min(r.detail), count(*)
            FROM (
                SELECT CASE m.reason WHEN 'gave_up' THEN 'gave_up' ELSE 'dead_letter' END AS cause,
                       $1 || '/' || m.source || '/' || m.order_id AS subject,
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
                                  http_status, reason, request_digest, response_excerpt, external_id)
            SELECT $1, i.source, i.order_id, i.version, i.attempt, i.step, i.started_at, i.finished_at, i.outcome,
                   i.http_status, i.attempt_reason, i.request_digest, i.response_excerpt, i.attempt_external_id
            FROM input i
            -- A release is worth no line, and a wait only its first.
            WHERE i.outcome IS NOT NULL
              AND (i.outcome <> 'waits'
                   OR NOT EXISTS (SELECT FROM attempts known
                                  WHERE known.source = i.source AND known.order_id = i.order_id AND known.sink = $1
                                    AND known.version = i.version AND known.outcome = 'waits'
                                    AND known.reason = i.attempt_reason))
            -- The commit of an earlier try may have gone through without our hearing of it.
              AND (NOT i.again
                   OR NOT EXISTS (SELECT FROM attempts known
                                  WHERE known.source = i.source AND known.order_id = i.order_id AND known.sink = $1
                                    AND known.attempt = i.attempt AND known.started_at = i.started_at))
        ), seen AS (
            UPDATE sinks
            SET last_success_at = CASE WHEN told.delivered THEN now() + $2 * interval '1 millisecond' ELSE last_success_at END,
                corrections_avoided = corrections_avoided + told.avoided
            FROM (
                SELECT EXISTS (SELECT FROM input WHERE outcome = 'delivered') AS delivered,
                       (SELECT coalesce(sum(m.avoided), 0) FROM moved m)::bigint AS avoided
            ) told
            WHERE name = $1
              AND (told.avoided > 0
                   OR told.delivered
                      AND coalesce(last_success_at, '-infinity') < now() + ($2 - 1000) * interval '1 millisecond')
        )
        SELECT source AS "source!", order_id AS "order_id!", state AS "state!", avoided AS "avoided!", released AS "released!"
        FROM moved
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
        &c.told_detail[..],
        &c.attempt_external_id[..] as _,
        &c.held_for[..] as _,
        &c.refused[..],
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("deliveries.settle"))?;
    rows.into_iter()
        .map(|row| {
            let operation = "deliveries.settle";
            let source = SourceName::parse(&row.source).map_err(|error| undecodable(operation, error))?;
            let state = known_state(&row.state, operation)?;
            Ok(Settled {
                order: OrderKey { source, order_id: OrderId::new(row.order_id) },
                state,
                corrections_avoided: u64::try_from(row.avoided).unwrap_or_default(),
                released: row.released,
            })
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
    refused: Vec<bool>,
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
    attempt_external_id: Vec<Option<&'a str>>,
    again: Vec<bool>,
    held_for: Vec<Option<String>>,
    told_by: Vec<i64>,
    told_cause: Vec<&'a str>,
    told_subject: Vec<String>,
    told_detail: Vec<String>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, s: &'a Settlement) {
        let (mut reason, mut hint, mut waiting_for, mut next_ms, mut not_before_ms) = (None, None, None, None, None);
        let (mut failed, mut refused, mut refund, mut curable) = (false, false, false, true);
        match &s.next {
            Next::Applied => {}
            Next::Skipped { reason: why } => reason = Some(*why),
            Next::Parked { reason: why, hint: what, curable: by_version } => {
                reason = Some(why);
                hint = Some(what.as_str());
                curable = *by_version;
                failed = true;
            }
            Next::Pending { wait, waiting_for: what, not_before, failed: f, refused: no, refund: r } => {
                next_ms = Some(millis(*wait));
                waiting_for = *what;
                not_before_ms = not_before.map(millis);
                failed = *f;
                refused = *no;
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
        self.refused.push(refused);
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
            self.told_detail.push(alert.detail_for(&s.key));
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
        self.attempt_external_id.push(s.attempt.external_id.as_deref());
        self.again.push(s.attempt.again);
        let waits_under = |alert: &&Alert| waiting_for == Some(alert.cause);
        self.held_for.push(s.alert.as_ref().filter(waits_under).map(|alert| alert.subject(&s.key)));
    }
}
