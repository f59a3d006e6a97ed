//! What a person does to deliveries, sinks and sources. `operator_actions` keeps who did it and why, written in the very
//! statement that did it. The alert of a dead letter ends with the statement that moves it.
//!
//! An operation is one transaction and does all it was asked for or nothing: rows are locked in the order (sink, source,
//! order id), judged as they stand then, and moved. A delivery in flight is never touched: whoever holds its lease
//! settles it first. Nothing here talks to a destination.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::{Result, StoreError};
use crate::{
    database::connect,
    domain::{
        delivery::State,
        ids::{SinkName, SourceName},
    },
};

/// Who acts, and why.
#[derive(Debug, Clone, Copy)]
pub struct Operator<'a> {
    pub who: &'a str,
    pub why: Option<&'a str>,
}

/// What a person does to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Retry,
    Discard,
    Adopt,
    Replay,
    Cancel,
}

impl Act {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
            Self::Adopt => "adopt",
            Self::Replay => "replay",
            Self::Cancel => "cancel",
        }
    }

    /// The states it can be done in.
    fn needs(self) -> &'static [State] {
        match self {
            Self::Retry | Self::Discard => &[State::Parked, State::InDoubt],
            Self::Adopt => &[State::InDoubt],
            Self::Replay => &[State::Applied, State::Skipped, State::Parked],
            Self::Cancel => &[State::Pending, State::Applied, State::Skipped, State::Parked],
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something was not done. Then nothing at all was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no sink is called {0}")]
    UnknownSink(SinkName),
    #[error("no source is called {0}")]
    UnknownSource(SourceName),
    #[error("no order {order_id} is stored")]
    NoOrder { order_id: String },
    #[error("order {order_id} is still owed to {}: let it be brought, or discard it, then erase it", sinks.join(", "))]
    StillOwed { order_id: String, sinks: Vec<String> },
    #[error("--who and --why are kept for good, and name the customer: say it in other words")]
    NamesCustomer,
    #[error(
        "no sink says where an order has its customer's id (customer_fields.id): give the customer's e-mail, or the orders"
    )]
    UnknownCustomerField,
    #[error("sink {0} carries no money: there is nothing to reconcile")]
    NoMoney(SinkName),
    #[error("sink {sink} is owed no order {order_id}")]
    UnknownOrder { sink: SinkName, order_id: String },
    #[error("order {order_id} is one of several sources ({}): say which source", sources.join(", "))]
    SeveralSources { order_id: String, sources: Vec<String> },
    #[error("order {order_id} is {state} at sink {sink}: {act} is for {}", names(act.needs()))]
    WrongState { sink: SinkName, order_id: String, state: String, act: Act },
    #[error("order {order_id} is being sent to sink {sink} right now: try again in a moment")]
    InFlight { sink: SinkName, order_id: String },
    #[error(
        "a discarded step of order {order_id} may stand at sink {sink}: look there, and retry it if nothing stands"
    )]
    PossiblyStands { sink: SinkName, order_id: String },
    #[error("retention removed the content of order {order_id}: it cannot be planned again")]
    ContentRemoved { order_id: String },
    #[error("{external_id} is what sink {sink} calls order {order_id} of source {source_name} already")]
    LinkedElsewhere { sink: SinkName, external_id: String, source_name: String, order_id: String },
    #[error("order {order_id} is {status}: only what was rejected or never accepted is cancelled by a person")]
    NotDeclined { order_id: String, status: String },
    #[error("sink {sink} is of kind {kind}, which holds no order that it was not sent")]
    HoldsNoOthers { sink: SinkName, kind: String },
    #[error("sink {sink} has no {kind} {key:?} that is linked")]
    UnknownLink { sink: SinkName, kind: &'static str, key: String },
    #[error("{remote_id} is linked to another customer at sink {sink}: break that link first")]
    LinkTaken { sink: SinkName, remote_id: String },
    #[error(
        "sink {0} keeps no copy of these: its settings make no use of them, or no process with them was started yet"
    )]
    NoCatalogue(SinkName),
    #[error("nothing is in quarantine under {0}")]
    UnknownCase(i64),
    #[error("{0} is resolved already")]
    Resolved(i64),
    #[error("{what} {name} is {state} and cannot be {wish}")]
    Gate { what: &'static str, name: String, state: String, wish: &'static str },
}

/// What kind of refusal it is, for those who answer differently to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// What was named is not there.
    Unknown,
    /// Not as things stand.
    Conflict,
    /// Something more must be said.
    Unclear,
}

impl Refusal {
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::UnknownSink(_)
            | Self::UnknownSource(_)
            | Self::UnknownOrder { .. }
            | Self::UnknownCase(_)
            | Self::UnknownLink { .. }
            | Self::NoOrder { .. } => RefusalKind::Unknown,
            Self::SeveralSources { .. } | Self::NamesCustomer | Self::UnknownCustomerField => RefusalKind::Unclear,
            Self::NoMoney(_)
            | Self::NoCatalogue(_)
            | Self::LinkTaken { .. }
            | Self::StillOwed { .. }
            | Self::WrongState { .. }
            | Self::InFlight { .. }
            | Self::PossiblyStands { .. }
            | Self::ContentRemoved { .. }
            | Self::LinkedElsewhere { .. }
            | Self::NotDeclined { .. }
            | Self::HoldsNoOthers { .. }
            | Self::Resolved(_)
            | Self::Gate { .. } => RefusalKind::Conflict,
        }
    }

    /// Fixed code, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownSink(_) => "unknown_sink",
            Self::UnknownSource(_) => "unknown_source",
            Self::NoMoney(_) => "no_money",
            Self::StillOwed { .. } => "still_owed",
            Self::NamesCustomer => "names_customer",
            Self::UnknownCustomerField => "unknown_customer_field",
            Self::UnknownOrder { .. } | Self::NoOrder { .. } => "unknown_order",
            Self::UnknownCase(_) => "unknown_case",
            Self::UnknownLink { .. } => "unknown_link",
            Self::LinkTaken { .. } => "link_taken",
            Self::NoCatalogue(_) => "no_catalogue",
            Self::SeveralSources { .. } => "several_sources",
            Self::WrongState { .. } | Self::Gate { .. } => "wrong_state",
            Self::InFlight { .. } => "in_flight",
            Self::PossiblyStands { .. } => "possibly_stands",
            Self::ContentRemoved { .. } => "content_removed",
            Self::LinkedElsewhere { .. } => "linked_elsewhere",
            Self::NotDeclined { .. } => "not_declined",
            Self::HoldsNoOthers { .. } => "holds_no_others",
            Self::Resolved(_) => "resolved",
        }
    }
}

fn names(states: &[State]) -> String {
    states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" or ")
}

/// An operation's end.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error("refused")]
    Refused(Vec<Refusal>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refusal> for OperationError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal])
    }
}

pub type Operated<T> = std::result::Result<T, OperationError>;

/// Orders that a person named, at one sink.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    pub sink: &'a SinkName,
    /// Needed where several sources know an id.
    pub source: Option<&'a SourceName>,
    pub order_ids: &'a [String],
}

/// A delivery before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    pub source: String,
    pub order_id: String,
    pub was: String,
    pub state: String,
    pub reason: Option<String>,
}

/// Makes parked deliveries due now, with a fresh count of attempts. Of one in doubt, or discarded in doubt, it says
/// "nothing of it stands there": the stored step is dropped, and what to send is planned from the newest version.
pub async fn retry(pool: &PgPool, named: Named<'_>, by: Operator<'_>, offset_ms: i64) -> Operated<Vec<Moved>> {
    let mut tx = begin(pool).await?;
    let chosen = chosen(&mut tx, named, Act::Retry).await?;
    let moved = retry_chosen(&mut tx, named.sink, &chosen, by, offset_ms).await?;
    commit(tx).await?;
    Ok(moved)
}

/// Retries every parked delivery of a sink, or those of one source or with one reason. What is in doubt, or was
/// discarded in doubt, is left alone: each of those wants a look of its own.
pub async fn retry_all_parked(
    pool: &PgPool,
    sink: &SinkName,
    source: Option<&SourceName>,
    reason: Option<&str>,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<Vec<Moved>> {
    let mut tx = begin(pool).await?;
    sink_must_exist(&mut tx, sink).await?;
    let rows = sqlx::query!(
        r#"-- operations.lock_parked
        SELECT source, order_id
        FROM deliveries
        WHERE dead AND sink = $1 AND state = 'parked'
          AND ($2::text IS NULL OR source = $2)
          AND ($3::text IS NULL OR reason = $3)
          AND NOT coalesce(receipt ? 'possibly_stands', false)
        ORDER BY sink, source, order_id
        FOR UPDATE
        "#,
        sink.as_str(),
        source.map(SourceName::as_str),
        reason,
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::of("operations.lock_parked"))?;
    let chosen: Vec<_> = rows.into_iter().map(|row| Chosen { source: row.source, order_id: row.order_id }).collect();
    let moved = retry_chosen(&mut tx, sink, &chosen, by, offset_ms).await?;
    commit(tx).await?;
    Ok(moved)
}

async fn retry_chosen(
    db: &mut PgConnection,
    sink: &SinkName,
    chosen: &[Chosen],
    by: Operator<'_>,
    offset_ms: i64,
) -> Result<Vec<Moved>> {
    let (sources, order_ids) = columns(chosen);
    sqlx::query_as!(
        Moved,
        r#"-- operations.retry
        WITH before AS MATERIALIZED (
            SELECT d.source, d.order_id, d.state, d.reason, d.pending_step ->> 'key' AS step,
                   d.state = 'in_doubt' OR coalesce(d.receipt ? 'possibly_stands', false) AS doubtful
            FROM unnest($2::text[], $3::text[]) AS c (source, order_id)
            JOIN deliveries d ON d.sink = $1 AND d.source = c.source AND d.order_id = c.order_id
        ), moved AS (
            UPDATE deliveries d
            SET state = 'pending',
                next_attempt_at = now() + $4 * interval '1 millisecond',
                not_before = NULL,
                attempts = 0,
                first_failed_at = NULL,
                refused_since = NULL,
                waiting_for = NULL,
                reason = NULL,
                hint = NULL,
                curable = true,
                pending_step = NULL,
                receipt = d.receipt - 'possibly_stands',
                -- Of a doubt nothing stands. Of steps before it something may: then a cancellation stays owed.
                sent_version = CASE WHEN b.doubtful
                                     AND (d.applied_version IS NOT NULL
                                          OR coalesce(d.receipt, '{}') - 'possibly_stands' = '{}')
                                    THEN d.applied_version ELSE d.sent_version END,
                updated_at = now() + $4 * interval '1 millisecond'
            FROM before b
            WHERE d.sink = $1 AND d.source = b.source AND d.order_id = b.order_id
            RETURNING d.source, d.order_id, d.state, d.reason
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, source, order_id, why, detail)
            SELECT now() + $4 * interval '1 millisecond', $5, 'retry', $1, b.source, b.order_id, $6,
                   jsonb_strip_nulls(jsonb_build_object('was', b.state, 'reason', b.reason, 'step', b.step))
            FROM before b
            ORDER BY b.source, b.order_id
        ), calmed AS (
            UPDATE alerts a
            SET resolved_at = now() + $4 * interval '1 millisecond'
            FROM before b
            WHERE a.cause IN ('dead_letter', 'gave_up') AND a.resolved_at IS NULL
              AND a.subject = $1 || '/' || b.source || '/' || b.order_id
        )
        SELECT m.source AS "source!", m.order_id AS "order_id!", b.state AS "was!", m.state AS "state!", m.reason
        FROM moved m
        JOIN before b USING (source, order_id)
        ORDER BY m.source, m.order_id
        "#,
        sink.as_str(),
        &sources[..] as _,
        &order_ids[..] as _,
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("operations.retry"))
}

/// Closes deliveries for the version that was refused or is in doubt; a newer one that is wanted is owed as before.
/// What was in doubt is marked in the receipt: nothing is created for that order again, until a person retries it.
pub async fn discard(pool: &PgPool, named: Named<'_>, by: Operator<'_>, offset_ms: i64) -> Operated<Vec<Moved>> {
    let mut tx = begin(pool).await?;
    let chosen = chosen(&mut tx, named, Act::Discard).await?;
    let (sources, order_ids) = columns(&chosen);
    let moved = sqlx::query_as!(
        Moved,
        r#"-- operations.discard
        WITH before AS MATERIALIZED (
            SELECT d.source, d.order_id, d.state, d.reason, d.pending_step ->> 'key' AS step,
                   -- The version that the claim took, or would take next. A doubt is about the version that was sent:
                   -- what came after it, for instance a cancellation, stays owed.
                   CASE WHEN d.state = 'in_doubt' AND d.pending_step ? 'version'
                            THEN (d.pending_step ->> 'version')::bigint
                        WHEN k.versions_mode = 'every' THEN coalesce(
                            (SELECT min(v.version)
                             FROM order_versions v
                             WHERE v.source = d.source AND v.order_id = d.order_id
                               AND v.version >= greatest(d.decided_version + 1, d.floor_version, d.sent_version)),
                            d.wanted_version)
                        WHEN d.state = 'in_doubt' THEN coalesce(d.sent_version, d.wanted_version)
                        ELSE d.wanted_version END AS version
            FROM sinks k
            CROSS JOIN unnest($2::text[], $3::text[]) AS c (source, order_id)
            JOIN deliveries d ON d.sink = $1 AND d.source = c.source AND d.order_id = c.order_id
            WHERE k.name = $1
        ), moved AS (
            UPDATE deliveries d
            SET state = CASE WHEN d.wanted_version > b.version THEN 'pending' ELSE 'skipped' END,
                reason = CASE WHEN d.wanted_version <= b.version THEN 'discarded' END,
                decided_version = b.version,
                next_attempt_at = CASE WHEN d.wanted_version > b.version
                                       THEN greatest(now() + $4 * interval '1 millisecond', d.not_before)
                                       ELSE d.next_attempt_at END,
                attempts = 0,
                first_failed_at = NULL,
                refused_since = NULL,
                waiting_for = NULL,
                hint = NULL,
                curable = true,
                last_error = NULL,
                receipt = CASE WHEN d.state = 'in_doubt'
                               THEN coalesce(d.receipt, '{}') || jsonb_build_object('possibly_stands', coalesce(b.step, ''))
                               ELSE d.receipt END,
                pending_step = NULL,
                updated_at = now() + $4 * interval '1 millisecond'
            FROM before b
            WHERE d.sink = $1 AND d.source = b.source AND d.order_id = b.order_id
            RETURNING d.source, d.order_id, d.state, d.reason
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, source, order_id, why, detail)
            SELECT now() + $4 * interval '1 millisecond', $5, 'discard', $1, b.source, b.order_id, $6,
                   jsonb_strip_nulls(jsonb_build_object('was', b.state, 'reason', b.reason, 'version', b.version,
                                                        'step', b.step))
            FROM before b
            ORDER BY b.source, b.order_id
        ), calmed AS (
            UPDATE alerts a
            SET resolved_at = now() + $4 * interval '1 millisecond'
            FROM before b
            WHERE a.cause IN ('dead_letter', 'gave_up') AND a.resolved_at IS NULL
              AND a.subject = $1 || '/' || b.source || '/' || b.order_id
        )
        SELECT m.source AS "source!", m.order_id AS "order_id!", b.state AS "was!", m.state AS "state!", m.reason
        FROM moved m
        JOIN before b USING (source, order_id)
        ORDER BY m.source, m.order_id
        "#,
        named.sink.as_str(),
        &sources[..] as _,
        &order_ids[..] as _,
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::of("operations.discard"))?;
    commit(tx).await?;
    Ok(moved)
}

/// Settles a delivery in doubt: its step stands there, by this name. Where more steps or a newer version are owed, it
/// is pending afterwards.
pub async fn adopt(
    pool: &PgPool,
    named: Named<'_>,
    external_id: &str,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<Vec<Moved>> {
    let mut tx = begin(pool).await?;
    let chosen = chosen(&mut tx, named, Act::Adopt).await?;
    let (sources, order_ids) = columns(&chosen);
    refuse_linked_elsewhere(&mut tx, named.sink, &chosen, external_id).await?;
    let moved = sqlx::query_as!(
        Moved,
        r#"-- operations.adopt
        WITH before AS MATERIALIZED (
            SELECT d.source, d.order_id, d.state, d.reason, d.pending_step ->> 'key' AS step,
                   coalesce((d.pending_step ->> 'completes')::boolean, true) AS completes,
                   CASE WHEN d.pending_step ? 'version' THEN (d.pending_step ->> 'version')::bigint
                        WHEN k.versions_mode = 'every' THEN coalesce(
                            (SELECT min(v.version)
                             FROM order_versions v
                             WHERE v.source = d.source AND v.order_id = d.order_id
                               AND v.version >= greatest(d.decided_version + 1, d.floor_version, d.sent_version)),
                            d.wanted_version)
                        ELSE coalesce(d.sent_version, d.wanted_version) END AS version
            FROM sinks k
            CROSS JOIN unnest($2::text[], $3::text[]) AS c (source, order_id)
            JOIN deliveries d ON d.sink = $1 AND d.source = c.source AND d.order_id = c.order_id
            WHERE k.name = $1
        ), moved AS (
            UPDATE deliveries d
            SET state = CASE WHEN b.completes AND d.wanted_version <= b.version THEN 'applied' ELSE 'pending' END,
                external_id = $7,
                receipt = coalesce(d.receipt, '{}')
                          || CASE jsonb_typeof(d.pending_step -> 'receipt') WHEN 'object'
                                  THEN d.pending_step -> 'receipt' ELSE '{}' END,
                pending_step = NULL,
                applied_version = CASE WHEN b.completes THEN b.version ELSE d.applied_version END,
                decided_version = CASE WHEN b.completes THEN b.version ELSE d.decided_version END,
                priority = CASE WHEN b.completes THEN 1 ELSE d.priority END,
                next_attempt_at = CASE WHEN b.completes AND d.wanted_version <= b.version THEN d.next_attempt_at
                                       ELSE greatest(now() + $4 * interval '1 millisecond', d.not_before) END,
                attempts = 0,
                first_failed_at = NULL,
                refused_since = NULL,
                waiting_for = NULL,
                reason = NULL,
                hint = NULL,
                curable = true,
                last_error = NULL,
                updated_at = now() + $4 * interval '1 millisecond'
            FROM before b
            WHERE d.sink = $1 AND d.source = b.source AND d.order_id = b.order_id
            RETURNING d.source, d.order_id, d.state, d.reason
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, source, order_id, why, detail)
            SELECT now() + $4 * interval '1 millisecond', $5, 'adopt', $1, b.source, b.order_id, $6,
                   jsonb_strip_nulls(jsonb_build_object('was', b.state, 'reason', b.reason, 'version', b.version,
                                                        'step', b.step, 'external_id', $7::text))
            FROM before b
        ), calmed AS (
            UPDATE alerts a
            SET resolved_at = now() + $4 * interval '1 millisecond'
            FROM before b
            WHERE a.cause IN ('dead_letter', 'gave_up') AND a.resolved_at IS NULL
              AND a.subject = $1 || '/' || b.source || '/' || b.order_id
        )
        SELECT m.source AS "source!", m.order_id AS "order_id!", b.state AS "was!", m.state AS "state!", m.reason
        FROM moved m
        JOIN before b USING (source, order_id)
        "#,
        named.sink.as_str(),
        &sources[..] as _,
        &order_ids[..] as _,
        offset_ms as f64,
        by.who,
        by.why,
        external_id,
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::of("operations.adopt"))?;
    commit(tx).await?;
    Ok(moved)
}

/// Two adoptions of one id would not see each other: the sink's row makes them wait in line. It is locked behind the
/// delivery, as settling does.
async fn refuse_linked_elsewhere(
    db: &mut PgConnection,
    sink: &SinkName,
    chosen: &[Chosen],
    external_id: &str,
) -> Operated<()> {
    sqlx::query_scalar!(
        r#"-- operations.lock_sink
        SELECT name FROM sinks WHERE name = $1 FOR NO KEY UPDATE
        "#,
        sink.as_str(),
    )
    .fetch_optional(&mut *db)
    .await
    .map_err(StoreError::of("operations.lock_sink"))?;
    let (sources, order_ids) = columns(chosen);
    let linked = sqlx::query!(
        r#"-- operations.linked_elsewhere
        SELECT source, order_id
        FROM deliveries
        WHERE sink = $1
          AND (left(external_id, 200) = left($2, 200) AND external_id = $2
               OR receipt ? 'former_ids' AND receipt -> 'former_ids' ? $2)
          AND (source, order_id) NOT IN (SELECT c.source, c.order_id
                                         FROM unnest($3::text[], $4::text[]) AS c (source, order_id))
        ORDER BY source, order_id
        LIMIT 1
        "#,
        sink.as_str(),
        external_id,
        &sources[..] as _,
        &order_ids[..] as _,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("operations.linked_elsewhere"))?;
    match linked {
        None => Ok(()),
        Some(row) => Err(Refusal::LinkedElsewhere {
            sink: sink.clone(),
            external_id: external_id.to_owned(),
            source_name: row.source,
            order_id: row.order_id,
        }
        .into()),
    }
}

/// A delivery that is locked and may be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub source: String,
    pub order_id: String,
}

pub(super) fn columns(chosen: &[Chosen]) -> (Vec<&str>, Vec<&str>) {
    chosen.iter().map(|one| (one.source.as_str(), one.order_id.as_str())).unzip()
}

/// Locks the deliveries of the named orders and refuses them all if one of them will not do.
pub(super) async fn chosen(db: &mut PgConnection, named: Named<'_>, act: Act) -> Operated<Vec<Chosen>> {
    let Named { sink, source, order_ids } = named;
    sink_must_exist(db, sink).await?;
    if let Some(source) = source {
        source_must_exist(db, source).await?;
    }
    let rows = sqlx::query!(
        r#"-- operations.lock_named
        SELECT d.source, d.order_id, d.state, coalesce(d.receipt ? 'possibly_stands', false) AS "possibly_stands!"
        FROM sources s
        JOIN deliveries d ON d.sink = $1 AND d.source = s.name AND d.order_id = ANY($2)
        WHERE $3::text IS NULL OR s.name = $3
        ORDER BY d.sink, d.source, d.order_id
        FOR UPDATE OF d
        "#,
        sink.as_str(),
        order_ids,
        source.map(SourceName::as_str),
    )
    .fetch_all(&mut *db)
    .await
    .map_err(StoreError::of("operations.lock_named"))?;
    let mut refusals = Vec::new();
    for order_id in order_ids {
        let of_it: Vec<_> = rows.iter().filter(|row| row.order_id == *order_id).collect();
        let (sink, order_id) = (sink.clone(), order_id.clone());
        let refusal = match of_it[..] {
            [] => Refusal::UnknownOrder { sink, order_id },
            [row] => match State::parse(&row.state) {
                Some(State::InFlight) => Refusal::InFlight { sink, order_id },
                Some(_) if matches!(act, Act::Replay | Act::Cancel) && row.possibly_stands => {
                    Refusal::PossiblyStands { sink, order_id }
                }
                Some(state) if act.needs().contains(&state) => continue,
                _ => Refusal::WrongState { sink, order_id, state: row.state.clone(), act },
            },
            _ => {
                let sources = of_it.iter().map(|row| row.source.clone()).collect();
                Refusal::SeveralSources { order_id, sources }
            }
        };
        if !refusals.contains(&refusal) {
            refusals.push(refusal);
        }
    }
    if !refusals.is_empty() {
        return Err(OperationError::Refused(refusals));
    }
    Ok(rows.into_iter().map(|row| Chosen { source: row.source, order_id: row.order_id }).collect())
}

/// Says no when no such sink was ever registered.
pub async fn sink_must_exist(db: &mut PgConnection, sink: &SinkName) -> Operated<()> {
    let known = sqlx::query_scalar!(
        r#"-- operations.sink_must_exist
        SELECT EXISTS (SELECT FROM sinks WHERE name = $1) AS "known!"
        "#,
        sink.as_str(),
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("operations.sink_must_exist"))?;
    if known { Ok(()) } else { Err(Refusal::UnknownSink(sink.clone()).into()) }
}

/// Says no when no such source was ever registered.
pub async fn source_must_exist(db: &mut PgConnection, source: &SourceName) -> Operated<()> {
    let known = sqlx::query_scalar!(
        r#"-- operations.source_must_exist
        SELECT EXISTS (SELECT FROM sources WHERE name = $1) AS "known!"
        "#,
        source.as_str(),
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("operations.source_must_exist"))?;
    if known { Ok(()) } else { Err(Refusal::UnknownSource(source.clone()).into()) }
}

/// Holds back everything owed to a sink. What is under way is finished.
pub async fn pause_sink(db: impl PgExecutor<'_>, sink: &SinkName, by: Operator<'_>, offset_ms: i64) -> Operated<()> {
    let row = sqlx::query!(
        r#"-- operations.pause_sink
        WITH before AS MATERIALIZED (
            SELECT name, state, reason FROM sinks WHERE name = $1 FOR UPDATE
        ), moved AS (
            UPDATE sinks k
            SET state = 'paused', reason = 'operator', hint = 'paused by a person: resume it when it may send'
            FROM before b
            WHERE k.name = b.name AND b.state <> 'paused'
            RETURNING k.name
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, why, detail)
            SELECT now() + $2 * interval '1 millisecond', $3, 'pause', b.name, $4,
                   jsonb_strip_nulls(jsonb_build_object('was', b.state, 'reason', b.reason))
            FROM before b
            WHERE b.state <> 'paused'
        )
        SELECT b.state, m.name AS "moved?" FROM before b LEFT JOIN moved m USING (name)
        "#,
        sink.as_str(),
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("operations.pause_sink"))?;
    let row = row.ok_or_else(|| Refusal::UnknownSink(sink.clone()))?;
    turned("sink", sink.as_str(), row.moved, row.state, "paused")
}

/// Lets a paused sink send again. Its breakers stay as they are.
pub async fn resume_sink(db: impl PgExecutor<'_>, sink: &SinkName, by: Operator<'_>, offset_ms: i64) -> Operated<()> {
    let row = sqlx::query!(
        r#"-- operations.resume_sink
        WITH before AS MATERIALIZED (
            SELECT name, state, reason FROM sinks WHERE name = $1 FOR UPDATE
        ), moved AS (
            UPDATE sinks k
            SET state = 'active', reason = NULL, hint = NULL
            FROM before b
            WHERE k.name = b.name AND b.state = 'paused'
            RETURNING k.name
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, why, detail)
            SELECT now() + $2 * interval '1 millisecond', $3, 'resume', b.name, $4,
                   jsonb_strip_nulls(jsonb_build_object('was', b.state, 'reason', b.reason))
            FROM before b
            WHERE b.state = 'paused'
        )
        SELECT b.state, m.name AS "moved?" FROM before b LEFT JOIN moved m USING (name)
        "#,
        sink.as_str(),
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("operations.resume_sink"))?;
    let row = row.ok_or_else(|| Refusal::UnknownSink(sink.clone()))?;
    turned("sink", sink.as_str(), row.moved, row.state, "resumed")
}

/// Stops reading a stream. A poll under way is fenced: its next page is not stored, and is read again later.
pub async fn pause_source(
    db: impl PgExecutor<'_>,
    source: &SourceName,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<()> {
    let row = sqlx::query!(
        r#"-- operations.pause_source
        WITH before AS MATERIALIZED (
            SELECT name, state, reason FROM sources WHERE name = $1 FOR UPDATE
        ), moved AS (
            UPDATE sources s
            SET state = 'paused', reason = 'operator', hint = 'paused by a person: resume it when it may be read',
                lease_epoch = s.lease_epoch + 1, lease_owner = NULL, lease_expires_at = NULL
            FROM before b
            WHERE s.name = b.name AND b.state <> 'paused'
            RETURNING s.name
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, source, why, detail)
            SELECT now() + $2 * interval '1 millisecond', $3, 'pause', b.name, $4,
                   jsonb_strip_nulls(jsonb_build_object('was', b.state, 'reason', b.reason))
            FROM before b
            WHERE b.state <> 'paused'
        )
        SELECT b.state, m.name AS "moved?" FROM before b LEFT JOIN moved m USING (name)
        "#,
        source.as_str(),
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("operations.pause_source"))?;
    let row = row.ok_or_else(|| Refusal::UnknownSource(source.clone()))?;
    turned("source", source.as_str(), row.moved, row.state, "paused")
}

/// Reads a paused stream again, from where it stood, as soon as a process looks.
pub async fn resume_source(
    db: impl PgExecutor<'_>,
    source: &SourceName,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<()> {
    let row = sqlx::query!(
        r#"-- operations.resume_source
        WITH before AS MATERIALIZED (
            SELECT name, state, reason FROM sources WHERE name = $1 FOR UPDATE
        ), moved AS (
            UPDATE sources s
            SET state = 'active', reason = NULL, hint = NULL, next_poll_at = now() + $2 * interval '1 millisecond'
            FROM before b
            WHERE s.name = b.name AND b.state = 'paused'
            RETURNING s.name
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, source, why, detail)
            SELECT now() + $2 * interval '1 millisecond', $3, 'resume', b.name, $4,
                   jsonb_strip_nulls(jsonb_build_object('was', b.state, 'reason', b.reason))
            FROM before b
            WHERE b.state = 'paused'
        )
        SELECT b.state, m.name AS "moved?" FROM before b LEFT JOIN moved m USING (name)
        "#,
        source.as_str(),
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("operations.resume_source"))?;
    let row = row.ok_or_else(|| Refusal::UnknownSource(source.clone()))?;
    turned("source", source.as_str(), row.moved, row.state, "resumed")
}

/// Whether a gate was turned; it was not where it stood so already.
fn turned(what: &'static str, name: &str, moved: Option<String>, state: String, wish: &'static str) -> Operated<()> {
    moved.map(|_| ()).ok_or_else(|| Refusal::Gate { what, name: name.to_owned(), state, wish }.into())
}

/// How many stored versions were received since then; none: all that are stored.
pub async fn versions_since(pool: &PgPool, source: &SourceName, since: Option<DateTime<Utc>>) -> Operated<i64> {
    let mut db = pool.acquire().await.map_err(StoreError::of("operations.versions_since"))?;
    source_must_exist(&mut db, source).await?;
    sqlx::query_scalar!(
        r#"-- operations.versions_since
        SELECT count(*) AS "versions!"
        FROM order_versions
        WHERE source = $1 AND ($2::timestamptz IS NULL OR received_at >= $2)
        "#,
        source.as_str(),
        since,
    )
    .fetch_one(&mut *db)
    .await
    .map_err(|source| StoreError { operation: "operations.versions_since", source }.into())
}

/// Gives the cursor up: the next poll begins at this instant, none being the oldest version there is. A poll under way
/// is fenced. What is read again is dropped as known; nothing is sent twice for it.
pub async fn rewind(
    db: impl PgExecutor<'_>,
    source: &SourceName,
    to: Option<DateTime<Utc>>,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<()> {
    let done = sqlx::query!(
        r#"-- operations.rewind
        WITH moved AS (
            UPDATE sources
            SET cursor = NULL,
                cursor_refusals = 0,
                rewind_to = coalesce($5::timestamptz, '-infinity'),
                next_poll_at = now() + $2 * interval '1 millisecond',
                lease_epoch = lease_epoch + 1,
                lease_owner = NULL,
                lease_expires_at = NULL
            WHERE name = $1
            RETURNING name
        )
        INSERT INTO operator_actions (at, who, action, source, why, detail)
        SELECT now() + $2 * interval '1 millisecond', $3, 'rewind', m.name, $4,
               jsonb_build_object('to', coalesce($5::timestamptz, '-infinity'), 'cursor', s.cursor)
        FROM moved m
        JOIN sources s USING (name) -- as it was before
        "#,
        source.as_str(),
        offset_ms as f64,
        by.who,
        by.why,
        to,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("operations.rewind"))?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Refusal::UnknownSource(source.clone()).into()) }
}

/// Which deliveries to list; none: any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    pub sink: Option<&'a SinkName>,
    pub source: Option<&'a SourceName>,
    /// None: dead letters.
    pub state: Option<State>,
    pub reason: Option<&'a str>,
    /// Only what comes behind this one.
    pub after: Option<&'a Place>,
    pub limit: u32,
}

/// Where a delivery stands in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub updated_at: DateTime<Utc>,
    pub sink: String,
    pub source: String,
    pub order_id: String,
}

/// A delivery in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub sink: String,
    pub source: String,
    pub order_id: String,
    pub state: String,
    pub reason: Option<String>,
    pub hint: Option<String>,
    pub waiting_for: Option<String>,
    pub wanted_version: i64,
    pub applied_version: Option<i64>,
    pub attempts: i32,
    pub external_id: Option<String>,
    /// Name of the step whose answer was lost.
    pub pending_step: Option<String>,
    pub last_error: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// Deliveries, latest changed first. The arms name the predicates of the partial indexes that are in this order.
pub async fn list(pool: &PgPool, filter: Filter<'_>) -> Operated<Vec<Listed>> {
    let mut db = pool.acquire().await.map_err(StoreError::of("operations.list"))?;
    if let Some(sink) = filter.sink {
        sink_must_exist(&mut db, sink).await?;
    }
    if let Some(source) = filter.source {
        source_must_exist(&mut db, source).await?;
    }
    sqlx::query_as!(
        Listed,
        r#"-- operations.list
        SELECT sink, source, order_id, state, reason, hint, waiting_for, wanted_version, applied_version, attempts,
               external_id, pending_step ->> 'name' AS pending_step, last_error, updated_at
        FROM deliveries
        WHERE CASE
                  WHEN $3::text IS NULL THEN dead AND ($6::timestamptz IS NULL OR rests_since <= $6)
                  WHEN $3 = 'in_doubt' THEN doubtful AND ($6 IS NULL OR rests_since <= $6)
                  WHEN $3 = 'parked' THEN dead AND state = $3 AND ($6 IS NULL OR rests_since <= $6)
                  WHEN $3 IN ('applied', 'skipped')
                      THEN NOT open AND NOT dead AND state = $3 AND ($6 IS NULL OR rests_since <= $6)
                  ELSE open AND state = $3
              END
          AND ($1::text IS NULL OR sink = $1)
          AND ($2::text IS NULL OR source = $2)
          AND ($4::text IS NULL OR reason = $4)
          AND ($6 IS NULL OR updated_at < $6
               OR updated_at = $6 AND (sink, source, order_id) > ($7::text, $8::text, $9::text))
        ORDER BY rests_since DESC, updated_at DESC, sink, source, order_id
        LIMIT $5
        "#,
        filter.sink.map(SinkName::as_str),
        filter.source.map(SourceName::as_str),
        filter.state.map(State::as_str),
        filter.reason,
        i64::from(filter.limit),
        filter.after.map(|place| place.updated_at),
        filter.after.map(|place| place.sink.as_str()),
        filter.after.map(|place| place.source.as_str()),
        filter.after.map(|place| place.order_id.as_str()),
    )
    .fetch_all(&mut *db)
    .await
    .map_err(|source| StoreError { operation: "operations.list", source }.into())
}

pub(super) async fn begin(pool: &PgPool) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
    connect::begin(pool).await.map_err(StoreError::of("operations.begin"))
}

pub(super) async fn commit(tx: sqlx::Transaction<'static, sqlx::Postgres>) -> Result<()> {
    tx.commit().await.map_err(StoreError::of("operations.commit"))
}
