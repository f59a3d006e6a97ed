//! How everything fares: read for people and probes, never for a decision about an order.
//!
//! Every read has a bounded cost, because probes and scrapes come every few seconds and a backlog may be huge: what is
//! counted is counted up to [`MOST_COUNTED`] per sink, and lists end where the caller says. The views `sync_status`,
//! `sink_status`, `delivery_queue` and `dead_letters` show people the same, counted to the end.
//!
//! Nothing here reads a payload, a stored step or a receipt.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, Transaction};

use super::{Result, StoreError};
use crate::domain::{
    ids::SourceName,
    limits::{Window, month_after, runs_out_at},
    pace,
};

/// Deliveries of one sink that are counted; more are shown as this many.
pub const MOST_COUNTED: i64 = 20_000;

/// How one order stream fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    pub source: String,
    /// `active`, `failing`, `parked` or `paused`.
    pub state: String,
    pub reason: Option<String>,
    pub hint: Option<String>,
    pub last_error: Option<String>,
    /// Consecutive failed polls.
    pub failures: i32,
    /// Since the position was last confirmed by a page; none: nothing was read yet.
    pub cursor_age_seconds: Option<i64>,
    /// Since the stream last said that nothing more is ready.
    pub lag_seconds: i64,
    pub last_poll_at: Option<DateTime<Utc>>,
    pub last_success_at: Option<DateTime<Utc>>,
    pub next_poll_at: DateTime<Utc>,
    pub versions: i64,
    pub duplicates: i64,
    pub throttled: i64,
    /// Unresolved.
    pub quarantined: i64,
}

/// How one destination fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SinkStatus {
    pub sink: String,
    pub kind: String,
    /// `active`, `paused` or `blocked`.
    pub state: String,
    pub reason: Option<String>,
    pub hint: Option<String>,
    /// `closed`, `open` or `half_open`: the worst of its lanes.
    pub breaker: String,
    pub pending: i64,
    pub in_flight: i64,
    pub in_doubt: i64,
    pub parked: i64,
    /// Pending deliveries by what they wait for; `due` waits for nothing.
    pub waiting_for: BTreeMap<String, i64>,
    /// How long the delivery that has been due longest has been due. None: nothing is due.
    pub oldest_due_seconds: Option<i64>,
    pub last_success_at: Option<DateTime<Utc>>,
    pub activated_at: DateTime<Utc>,
    /// The sink, or a lane of it, has no call left until then.
    pub budget_full_until: Option<DateTime<Utc>>,
}

/// How much of a call budget is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallBudget {
    /// `sink:NAME` or `sink:NAME/LANE`.
    pub scope: String,
    pub window: Window,
    /// Calls that the window holds now; of a second those that it has slots for ahead.
    pub used: i64,
    /// Most calls it may hold: the lowest of what is configured, learned and, for a day, lent by the month. None: no
    /// call was made yet.
    pub limit: Option<i64>,
    pub learned_limit: Option<i64>,
    /// What the other side said is left, less the calls made since.
    pub learned_remaining: Option<i64>,
    /// When all that it holds now will have left it.
    pub resets_at: Option<DateTime<Utc>>,
    /// No call is left until then.
    pub full_until: Option<DateTime<Utc>>,
    /// When it will be full, if calls go on as before.
    pub runs_out_at: Option<DateTime<Utc>>,
}

/// A delivery that is due, scheduled or being sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueuedDelivery {
    pub sink: String,
    pub source: String,
    pub order_id: String,
    pub state: String,
    pub wanted_version: i64,
    pub applied_version: Option<i64>,
    pub lane: String,
    pub attempts: i32,
    pub next_attempt_at: DateTime<Utc>,
    pub due: bool,
    pub waiting_for: Option<String>,
    pub last_error: Option<String>,
}

/// A delivery that waits for a person, or for certainty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    pub sink: String,
    pub source: String,
    pub order_id: String,
    /// `parked` or `in_doubt`.
    pub state: String,
    pub wanted_version: i64,
    pub applied_version: Option<i64>,
    pub reason: Option<String>,
    pub hint: Option<String>,
    pub last_error: Option<String>,
    pub attempts: i32,
    pub next_look_at: Option<DateTime<Utc>>,
    pub since: DateTime<Utc>,
    pub age_seconds: i64,
}

/// Something a person was or is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenAlert {
    pub cause: String,
    pub subject: String,
    pub detail: Option<String>,
    pub count: i64,
    pub raised_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
}

/// Sources and sinks: all that health is judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Overview {
    pub sources: Vec<SourceStatus>,
    pub sinks: Vec<SinkStatus>,
    /// Of sinks; one that has no limits has none.
    pub call_budgets: Vec<CallBudget>,
}

/// The lists below an overview.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    pub queue: Vec<QueuedDelivery>,
    pub dead_letters: Vec<DeadLetter>,
    pub alerts: Vec<OpenAlert>,
}

/// Reads sources and sinks.
pub async fn overview(pool: &PgPool) -> Result<Overview> {
    let mut tx = bounded(pool).await?;
    let overview = Overview {
        sources: sources(&mut *tx).await?,
        sinks: sinks(&mut tx).await?,
        call_budgets: call_budgets(&mut *tx).await?,
    };
    tx.commit().await.map_err(StoreError::of("status.overview"))?;
    Ok(overview)
}

/// Reads queue, dead letters and open alerts, at most `limit` of each.
pub async fn details(pool: &PgPool, limit: u32) -> Result<Details> {
    let mut tx = bounded(pool).await?;
    let details = Details {
        queue: queue(&mut *tx, limit).await?,
        dead_letters: dead_letters(&mut *tx, limit).await?,
        alerts: open_alerts(&mut *tx, limit).await?,
    };
    tx.commit().await.map_err(StoreError::of("status.details"))?;
    Ok(details)
}

/// A transaction in which reads keep their bounds: the server ends what takes too long, and a planner that knows nothing
/// of the table yet walks the partial indexes up to the limit, instead of collecting all open rows first to sort them.
async fn bounded(pool: &PgPool) -> Result<Transaction<'static, Postgres>> {
    let mut tx = pool.begin().await.map_err(StoreError::of("status.bounded"))?;
    let settings = "-- status.bounded
        SET TRANSACTION READ ONLY;
        SET LOCAL statement_timeout = '5s';
        SET LOCAL enable_bitmapscan = off;
        SET LOCAL enable_sort = off";
    sqlx::raw_sql(settings).execute(&mut *tx).await.map_err(StoreError::of("status.bounded"))?;
    Ok(tx)
}

/// A text that differs once a version was stored, an attempt or a decision recorded, an alert raised or ended, or the state of
/// a source or sink changed. Costs a few rows, however many there are.
pub async fn mark(pool: &PgPool) -> Result<String> {
    sqlx::query_scalar!(
        r#"-- status.mark
        SELECT md5(concat_ws(' ',
                   (SELECT max(id) FROM attempts),
                   (SELECT max(id) FROM operator_actions),
                   (SELECT max(id) FROM alerts),
                   (SELECT string_agg(concat_ws('/', state, reason, failures, versions, quarantined), ' ' ORDER BY name) FROM sources),
                   (SELECT string_agg(concat_ws('/', state, reason, breaker), ' ' ORDER BY name) FROM sinks),
                   (SELECT string_agg(concat_ws('/', id, count), ' ')
                    FROM (SELECT id, count FROM alerts WHERE resolved_at IS NULL ORDER BY raised_at DESC, id DESC LIMIT 50) newest)))
               AS "mark!"
        "#
    )
    .fetch_one(pool)
    .await
    .map_err(StoreError::of("status.mark"))
}

async fn sources(db: impl PgExecutor<'_>) -> Result<Vec<SourceStatus>> {
    sqlx::query_as!(
        SourceStatus,
        r#"-- status.sources
        SELECT v.source AS "source!",
               v.state AS "state!",
               v.reason,
               v.hint,
               v.last_error,
               s.failures,
               v.cursor_age_seconds,
               v.lag_seconds AS "lag_seconds!",
               v.last_poll_at,
               v.last_success_at,
               v.next_poll_at AS "next_poll_at!",
               v.versions AS "versions!",
               v.duplicates AS "duplicates!",
               v.throttled AS "throttled!",
               v.quarantined AS "quarantined!"
        FROM sync_status v
        JOIN sources s ON s.name = v.source
        ORDER BY v.source
        "#
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("status.sources"))
}

/// Of all destinations that ever were.
pub async fn sink_names(db: impl PgExecutor<'_>) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- status.sink_names
        SELECT name FROM sinks ORDER BY name
        "#
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("status.sink_names"))
}

async fn sinks(db: &mut PgConnection) -> Result<Vec<SinkStatus>> {
    let rows = sqlx::query!(
        r#"-- status.sinks
        SELECT k.name, k.kind, k.state, k.reason, k.hint, k.breaker, k.last_success_at, k.activated_at,
               (SELECT max(b.full_until)
                FROM call_budgets b
                WHERE (b.scope = 'sink:' || k.name OR starts_with(b.scope, 'sink:' || k.name || '/'))
                  AND b.full_until > now()) AS budget_full_until
        FROM sinks k
        ORDER BY k.name
        "#
    )
    .fetch_all(&mut *db)
    .await
    .map_err(StoreError::of("status.sinks"))?;
    let counts = counts(&mut *db).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let mine: Vec<&Count> = counts.iter().filter(|count| count.sink == row.name).collect();
            let mut status = SinkStatus {
                sink: row.name,
                kind: row.kind,
                state: row.state,
                reason: row.reason,
                hint: row.hint,
                breaker: row.breaker,
                pending: 0,
                in_flight: 0,
                in_doubt: 0,
                parked: 0,
                waiting_for: BTreeMap::new(),
                oldest_due_seconds: None,
                last_success_at: row.last_success_at,
                activated_at: row.activated_at,
                budget_full_until: row.budget_full_until,
            };
            for count in mine {
                status.add(count);
            }
            status
        })
        .collect())
}

/// The newest row of each window.
pub async fn call_budgets(db: impl PgExecutor<'_>) -> Result<Vec<CallBudget>> {
    let rows = sqlx::query!(
        r#"-- status.call_budgets
        SELECT DISTINCT ON (scope, "window")
               now() AS "now!", scope, "window", window_start, recent, calls, max_calls, learned_limit,
               learned_remaining - learned_spent AS learned_remaining, learned_until, full_until, next_slot_at
        FROM call_budgets
        WHERE scope > 'sink:' AND scope < 'sink;'
        ORDER BY scope, "window", window_start DESC
        "#
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("status.call_budgets"))?;
    let budgets = rows.into_iter().filter_map(|row| {
        let (now, window) = (row.now, Window::parse(&row.window)?);
        let ends_at = |at| match window {
            Window::Month => month_after(at),
            _ => at + window.length(),
        };
        let log = row.recent.into_iter().zip(row.calls);
        let held: Vec<(DateTime<Utc>, i64)> = log.filter(|(at, _)| ends_at(*at) > now).collect();
        let used = match row.next_slot_at.zip(row.max_calls) {
            Some((free_at, max_calls)) => pace::booked(free_at, now, max_calls),
            None => held.iter().map(|(_, calls)| calls).sum(),
        };
        let first_at = held.first().map(|(at, _)| *at);
        let told = row.learned_until.is_some_and(|until| until > now);
        Some(CallBudget {
            scope: row.scope,
            window,
            used,
            limit: row.max_calls,
            learned_limit: row.learned_limit.filter(|_| told),
            learned_remaining: row.learned_remaining.filter(|_| told).map(|left| left.max(0)),
            resets_at: row.next_slot_at.filter(|at| *at > now).or(held.last().map(|(at, _)| ends_at(*at))),
            full_until: row.full_until.filter(|until| *until > now),
            runs_out_at: row
                .max_calls
                .zip(first_at)
                .and_then(|(max_calls, first_at)| runs_out_at(window, used, max_calls, first_at, now)),
        })
    });
    Ok(budgets.collect())
}

struct Count {
    sink: String,
    state: String,
    waiting_for: String,
    n: i64,
    due_seconds: Option<i64>,
}

impl SinkStatus {
    fn add(&mut self, count: &Count) {
        match count.state.as_str() {
            "pending" => {
                self.pending += count.n;
                *self.waiting_for.entry(count.waiting_for.clone()).or_default() += count.n;
                self.oldest_due_seconds = self.oldest_due_seconds.max(count.due_seconds);
            }
            "in_flight" => self.in_flight += count.n,
            "in_doubt" => self.in_doubt += count.n,
            "parked" => self.parked += count.n,
            _ => {} // applied and skipped stand in neither index
        }
    }
}

async fn counts(db: impl PgExecutor<'_>) -> Result<Vec<Count>> {
    // Partial indexes, each walked up to the limit; of those of dead letters no row is read. Scheduled doubts are open as well as
    // dead, so the first arm leaves them out.
    sqlx::query_as!(
        Count,
        r#"-- status.counts
        SELECT k.name AS "sink!",
               c.state AS "state!",
               c.waiting_for AS "waiting_for!",
               c.n AS "n!",
               c.due_seconds
        FROM sinks k
        CROSS JOIN LATERAL (
            SELECT array_agg(b.scope) AS scopes
            FROM call_budgets b
            WHERE (b.scope = 'sink:' || k.name OR starts_with(b.scope, 'sink:' || k.name || '/')) AND b.full_until > now()
        ) f
        CROSS JOIN LATERAL (
            SELECT o.state,
                   coalesce(o.waiting_for, o.budget, 'due') AS waiting_for,
                   count(*) AS n,
                   extract(epoch FROM now() - min(o.next_attempt_at) FILTER (WHERE o.next_attempt_at <= now()))::bigint
                       AS due_seconds
            FROM (
                SELECT d.state, d.waiting_for, d.next_attempt_at,
                       CASE WHEN d.state = 'pending' AND d.next_attempt_at <= now()
                                 AND ('sink:' || k.name = ANY (f.scopes) OR 'sink:' || k.name || '/' || d.lane = ANY (f.scopes))
                            THEN 'budget' END AS budget
                FROM deliveries d
                WHERE d.open AND d.sink = k.name AND d.state IN ('pending', 'in_flight')
                LIMIT $1
            ) o
            GROUP BY 1, 2
            UNION ALL
            SELECT x.state, '', x.n, NULL
            FROM (SELECT count(*) AS dead FROM (SELECT FROM deliveries d WHERE d.dead AND d.sink = k.name LIMIT $1) l) a
            CROSS JOIN (SELECT count(*) AS doubts
                        FROM (SELECT FROM deliveries d WHERE d.doubtful AND d.sink = k.name LIMIT $1) l) b
            CROSS JOIN LATERAL (VALUES ('in_doubt', doubts), ('parked', dead - doubts)) x (state, n)
            WHERE x.n > 0
        ) c
        "#,
        MOST_COUNTED,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("status.counts"))
}

/// The first of each lane of each sink, soonest first.
async fn queue(db: impl PgExecutor<'_>, limit: u32) -> Result<Vec<QueuedDelivery>> {
    sqlx::query_as!(
        QueuedDelivery,
        r#"-- status.queue
        SELECT q.sink AS "sink!",
               q.source AS "source!",
               q.order_id AS "order_id!",
               q.state AS "state!",
               q.wanted_version AS "wanted_version!",
               q.applied_version,
               q.lane AS "lane!",
               q.attempts AS "attempts!",
               q.next_attempt_at AS "next_attempt_at!",
               q.due AS "due!",
               q.waiting_for,
               q.last_error
        FROM sinks k
        CROSS JOIN LATERAL (
            SELECT *
            FROM delivery_queue d
            WHERE d.sink = k.name
            ORDER BY d.lane, d.priority, d.next_attempt_at
            LIMIT $1
        ) q
        ORDER BY q.next_attempt_at, q.sink, q.source, q.order_id
        LIMIT $1
        "#,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("status.queue"))
}

/// Newest first.
async fn dead_letters(db: impl PgExecutor<'_>, limit: u32) -> Result<Vec<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        r#"-- status.dead_letters
        SELECT sink AS "sink!",
               source AS "source!",
               order_id AS "order_id!",
               state AS "state!",
               wanted_version AS "wanted_version!",
               applied_version,
               reason,
               hint,
               last_error,
               attempts AS "attempts!",
               next_look_at,
               since AS "since!",
               age_seconds AS "age_seconds!"
        FROM dead_letters
        ORDER BY since DESC, sink, source, order_id
        LIMIT $1
        "#,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("status.dead_letters"))
}

/// Newest first.
async fn open_alerts(db: impl PgExecutor<'_>, limit: u32) -> Result<Vec<OpenAlert>> {
    sqlx::query_as!(
        OpenAlert,
        r#"-- status.open_alerts
        SELECT cause, subject, detail, count, raised_at, last_seen_at
        FROM alerts
        WHERE resolved_at IS NULL
        ORDER BY raised_at DESC, id DESC
        LIMIT $1
        "#,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("status.open_alerts"))
}

/// What was done in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    pub begins_at: DateTime<Utc>,
    /// Orders of which something was decided or tried.
    pub orders: i64,
    /// Calls that had their effect.
    pub delivered: i64,
    /// Calls that had none, or perhaps none.
    pub failed: i64,
}

/// Attempts that are counted: the newest.
pub const MOST_ATTEMPTS: i64 = 10_000;

/// The last hours, the present one last; of a day with more attempts than are counted, those that were counted whole.
pub async fn activity(db: impl PgExecutor<'_>, hours: i32) -> Result<Vec<Hour>> {
    sqlx::query_as!(
        Hour,
        r#"-- status.activity
        WITH newest AS MATERIALIZED (
            SELECT finished_at, date_trunc('hour', finished_at, 'UTC') AS hour, source, order_id, outcome
            FROM attempts
            ORDER BY id DESC
            LIMIT $2
        ), of_order AS (
            SELECT hour,
                   count(*) FILTER (WHERE outcome = 'delivered') AS delivered,
                   count(*) FILTER (WHERE outcome IN ('retry', 'reject', 'refused', 'blocked', 'unknown')) AS failed
            FROM newest
            GROUP BY hour, source, order_id
        ), told AS (
            SELECT hour, count(*) AS orders, sum(delivered)::bigint AS delivered, sum(failed)::bigint AS failed
            FROM of_order
            GROUP BY hour
        )
        SELECT h.begins_at AS "begins_at!",
               coalesce(t.orders, 0) AS "orders!",
               coalesce(t.delivered, 0) AS "delivered!",
               coalesce(t.failed, 0) AS "failed!"
        FROM generate_series(date_trunc('hour', now(), 'UTC') - ($1::integer - 1) * interval '1 hour', now(), interval '1 hour')
             AS h (begins_at)
        CROSS JOIN (SELECT CASE WHEN count(*) = $2 THEN min(finished_at) END AS since FROM newest) c
        LEFT JOIN told t ON t.hour = h.begins_at
        WHERE c.since IS NULL OR h.begins_at >= c.since
        ORDER BY h.begins_at
        "#,
        hours,
        MOST_ATTEMPTS,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("status.activity"))
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// As `15.18`.
    pub version: String,
    /// Its clock; what leases and due times are compared with.
    pub now: DateTime<Utc>,
}

pub async fn server(db: impl PgExecutor<'_>) -> Result<Server> {
    sqlx::query_as!(
        Server,
        r#"-- status.server
        SELECT current_setting('server_version') AS "version!", now() AS "now!"
        "#
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("status.server"))
}

/// Where a stream is read next; none: it was never read, or its position was given up.
pub async fn cursor(db: impl PgExecutor<'_>, source: &SourceName) -> Result<Option<String>> {
    let cursor = sqlx::query_scalar!(
        r#"-- status.cursor
        SELECT cursor FROM sources WHERE name = $1
        "#,
        source.as_str(),
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("status.cursor"))?;
    Ok(cursor.flatten())
}
