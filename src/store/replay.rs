//! Plans stored orders again for a sink, as if their newest version had just arrived.
//!
//! What is known to stand in the destination (receipt, external id, applied and sent version) stays, so the sink's own
//! digest decides whether anything is sent. What is pending, in flight or in doubt is never touched, nor what was
//! discarded in doubt, nor an order whose content retention removed.
//!
//! A sink of `versions = "every"` is brought the newest version again, and only that; a walk that is not at its end goes
//! on where it stands.
//!
//! A cancellation that a person asks for is the same with a mark in the receipt, which the sink's plan then finds.

use sqlx::{PgConnection, PgExecutor, PgPool};

use super::{
    Result, StoreError,
    backfill::{Batch, Key, Stored},
    operations::{
        Act, Chosen, Moved, Named, Operated, OperationError, Operator, Refusal, begin, chosen, columns, commit,
    },
};
use crate::domain::{
    delivery::CANCEL_ASKED,
    ids::{SinkName, SourceName},
    order::Status,
};

/// Which deliveries are planned again; none: any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Which<'a> {
    pub stored: Stored<'a>,
    /// Of a delivery that is skipped or parked; none: any but what a person discarded, perhaps because they did it by
    /// hand.
    pub reason: Option<&'a str>,
}

/// Makes the named ones pending, all or none. They keep their priority: a person waits.
pub async fn named(pool: &PgPool, named: Named<'_>, by: Operator<'_>, offset_ms: i64) -> Operated<Vec<Moved>> {
    let mut tx = begin(pool).await?;
    let moved = move_named(&mut tx, named, by, offset_ms).await?;
    commit(tx).await?;
    Ok(moved)
}

/// What [`named`] would do, or why not; nothing is changed.
pub async fn try_named(pool: &PgPool, named: Named<'_>, by: Operator<'_>, offset_ms: i64) -> Operated<Vec<Moved>> {
    let mut tx = begin(pool).await?;
    let moved = move_named(&mut tx, named, by, offset_ms).await?;
    tx.rollback().await.map_err(StoreError::of("replay.try_named"))?;
    Ok(moved)
}

async fn move_named(db: &mut PgConnection, named: Named<'_>, by: Operator<'_>, offset_ms: i64) -> Operated<Vec<Moved>> {
    let held = named_with_content(db, named, Act::Replay).await?;
    Ok(make_pending(db, named.sink, &held, Again::REPLAY, by, offset_ms).await?)
}

/// The named ones, locked, if this can be done with all of them.
async fn named_with_content(db: &mut PgConnection, named: Named<'_>, act: Act) -> Operated<Vec<Chosen>> {
    let locked = chosen(db, named, act).await?;
    let held = hold_content(db, &locked).await?;
    let removed = locked.iter().filter(|one| !held.contains(one));
    let refusals: Vec<_> = removed.map(|one| Refusal::ContentRemoved { order_id: one.order_id.clone() }).collect();
    if refusals.is_empty() { Ok(held) } else { Err(OperationError::Refused(refusals)) }
}

/// Has the named ones cancelled at a destination that holds orders it was not sent, all or none: it is planned with
/// [`CANCEL_ASKED`] in the receipt. Only for a sink of this kind, and orders whose newest version is rejected or placed.
pub async fn cancel(
    pool: &PgPool,
    kind: &str,
    named: Named<'_>,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<Vec<Moved>> {
    let mut tx = begin(pool).await?;
    let moved = ask_to_cancel(&mut tx, kind, named, by, offset_ms).await?;
    commit(tx).await?;
    Ok(moved)
}

/// What [`cancel`] would do, or why not; nothing is changed.
pub async fn try_cancel(
    pool: &PgPool,
    kind: &str,
    named: Named<'_>,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<Vec<Moved>> {
    let mut tx = begin(pool).await?;
    let moved = ask_to_cancel(&mut tx, kind, named, by, offset_ms).await?;
    tx.rollback().await.map_err(StoreError::of("replay.try_cancel"))?;
    Ok(moved)
}

async fn ask_to_cancel(
    db: &mut PgConnection,
    kind: &str,
    named: Named<'_>,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<Vec<Moved>> {
    let held = named_with_content(db, named, Act::Cancel).await?;
    let (sources, order_ids) = columns(&held);
    let rows = sqlx::query!(
        r#"-- replay.to_cancel
        SELECT k.kind, o.order_id, o.status
        FROM sinks k
        CROSS JOIN unnest($2::text[], $3::text[]) AS c (source, order_id)
        JOIN orders o ON o.source = c.source AND o.order_id = c.order_id
        WHERE k.name = $1
        ORDER BY o.source, o.order_id
        "#,
        named.sink.as_str(),
        &sources[..] as _,
        &order_ids[..] as _,
    )
    .fetch_all(&mut *db)
    .await
    .map_err(StoreError::of("replay.to_cancel"))?;
    if let Some(other) = rows.iter().find(|row| row.kind != kind) {
        return Err(Refusal::HoldsNoOthers { sink: named.sink.clone(), kind: other.kind.clone() }.into());
    }
    let is_declined = |status: &str| matches!(Status::from_text(status), Status::Placed | Status::Rejected);
    let wanted = rows.into_iter().filter(|row| !is_declined(&row.status));
    let refusals: Vec<_> =
        wanted.map(|row| Refusal::NotDeclined { order_id: row.order_id, status: row.status }).collect();
    if !refusals.is_empty() {
        return Err(OperationError::Refused(refusals));
    }
    let again = Again { act: Act::Cancel, priority: None, mark: Some(CANCEL_ASKED) };
    Ok(make_pending(db, named.sink, &held, again, by, offset_ms).await?)
}

/// What one step of a long replay did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    pub replayed: u64,
    /// Where the next step begins; none: there is nothing left.
    pub last: Option<Key>,
}

/// Makes the next deliveries pending, in the order of their keys and behind everything else that is owed.
pub async fn batch(
    pool: &PgPool,
    sink: &SinkName,
    which: Which<'_>,
    batch: Batch<'_>,
    by: Operator<'_>,
    offset_ms: i64,
) -> Result<Replayed> {
    const BACKFILL: i16 = 2;

    let again = Again { priority: Some(BACKFILL), ..Again::REPLAY };
    let mut tx = begin(pool).await?;
    let locked = lock_next(&mut tx, sink, which, batch).await?;
    let held = hold_content(&mut tx, &locked).await?;
    let moved = make_pending(&mut tx, sink, &held, again, by, offset_ms).await?;
    commit(tx).await?;
    let last = locked.into_iter().next_back().map(|one| (one.source, one.order_id));
    Ok(Replayed { replayed: moved.len() as u64, last })
}

async fn lock_next(db: &mut PgConnection, sink: &SinkName, which: Which<'_>, batch: Batch<'_>) -> Result<Vec<Chosen>> {
    let (after_source, after_order) = batch.after();
    let stored = which.stored;
    sqlx::query_as!(
        Chosen,
        r#"-- replay.lock_next
        SELECT d.source, d.order_id
        FROM deliveries d
        CROSS JOIN LATERAL (
            SELECT o.vendor_id, coalesce(o.placed_at, o.first_seen_at) AS placed_at
            FROM orders o
            WHERE o.source = d.source AND o.order_id = d.order_id
            LIMIT 1
        ) o
        WHERE d.sink = $1 AND (d.source, d.order_id) > ($2, $3)
          AND d.state IN ('applied', 'skipped', 'parked') AND NOT coalesce(d.receipt ? 'possibly_stands', false)
          AND ($5::text IS NULL OR d.source = $5)
          AND ($6::text IS NULL OR o.vendor_id = $6)
          AND ($7::timestamptz IS NULL OR o.placed_at >= $7)
          AND ($8::timestamptz IS NULL OR o.placed_at < $8)
          AND CASE WHEN $9::text IS NULL THEN d.reason IS DISTINCT FROM 'discarded' ELSE d.reason = $9 END
        ORDER BY d.sink, d.source, d.order_id
        LIMIT $4
        FOR UPDATE OF d
        "#,
        sink.as_str(),
        after_source,
        after_order,
        batch.limit(),
        stored.source.map(SourceName::as_str),
        stored.vendor,
        stored.since,
        stored.until,
        which.reason,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("replay.lock_next"))
}

/// Those whose newest version has its content; it is held, so that retention does not remove it before it is owed.
async fn hold_content(db: &mut PgConnection, locked: &[Chosen]) -> Result<Vec<Chosen>> {
    let (sources, order_ids) = columns(locked);
    sqlx::query_as!(
        Chosen,
        r#"-- replay.hold_content
        SELECT c.source AS "source!", c.order_id AS "order_id!"
        FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS c (source, order_id, n)
        CROSS JOIN LATERAL (
            SELECT v.version
            FROM orders o
            JOIN order_versions v ON v.source = o.source AND v.order_id = o.order_id AND v.version = o.version
            WHERE o.source = c.source AND o.order_id = c.order_id AND v.payload IS NOT NULL
            LIMIT 1
            FOR SHARE OF v
        ) content
        ORDER BY c.n
        "#,
        &sources[..] as _,
        &order_ids[..] as _,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("replay.hold_content"))
}

/// How deliveries are planned again.
#[derive(Debug, Clone, Copy)]
struct Again {
    act: Act,
    /// None: theirs.
    priority: Option<i16>,
    /// A key that becomes true in the receipt.
    mark: Option<&'static str>,
}

impl Again {
    const REPLAY: Self = Self { act: Act::Replay, priority: None, mark: None };
}

async fn make_pending(
    db: &mut PgConnection,
    sink: &SinkName,
    held: &[Chosen],
    again: Again,
    by: Operator<'_>,
    offset_ms: i64,
) -> Result<Vec<Moved>> {
    let (sources, order_ids) = columns(held);
    sqlx::query_as!(
        Moved,
        r#"-- replay.make_pending
        WITH before AS MATERIALIZED (
            SELECT d.source, d.order_id, d.state, d.reason, k.versions_mode = 'every' AS walks,
                   greatest(d.wanted_version, o.version) AS newest
            FROM sinks k
            CROSS JOIN unnest($2::text[], $3::text[]) AS c (source, order_id)
            JOIN deliveries d ON d.sink = $1 AND d.source = c.source AND d.order_id = c.order_id
            JOIN orders o ON o.source = c.source AND o.order_id = c.order_id
            WHERE k.name = $1
        ), moved AS (
            UPDATE deliveries d
            SET state = 'pending',
                wanted_version = b.newest,
                -- A walk at its end steps back before the newest version; one that was refused goes on where it is.
                decided_version = CASE WHEN b.walks AND d.decided_version >= b.newest THEN b.newest - 1
                                       ELSE d.decided_version END,
                priority = coalesce($7, d.priority),
                next_attempt_at = greatest(now() + $4 * interval '1 millisecond', d.not_before),
                attempts = 0,
                first_failed_at = NULL,
                refused_since = NULL,
                waiting_for = NULL,
                reason = NULL,
                hint = NULL,
                curable = true,
                receipt = CASE WHEN $9::text IS NULL THEN d.receipt
                               ELSE coalesce(d.receipt, '{}') || jsonb_build_object($9, true) END,
                updated_at = now() + $4 * interval '1 millisecond'
            FROM before b
            WHERE d.sink = $1 AND d.source = b.source AND d.order_id = b.order_id
            RETURNING d.source, d.order_id, d.state, d.reason
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, source, order_id, why, detail)
            SELECT now() + $4 * interval '1 millisecond', $5, $8, $1, b.source, b.order_id, $6,
                   jsonb_strip_nulls(jsonb_build_object('was', b.state, 'reason', b.reason, 'version', b.newest))
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
        again.priority,
        again.act.as_str(),
        again.mark,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("replay.make_pending"))
}

/// How many deliveries [`batch`] would plan again, and how many cannot be because retention removed their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matching {
    pub replayable: u64,
    pub without_content: u64,
}

/// Counts what would be planned again.
pub async fn matching(db: impl PgExecutor<'_>, sink: &SinkName, which: Which<'_>) -> Result<Matching> {
    let stored = which.stored;
    let row = sqlx::query!(
        r#"-- replay.matching
        SELECT count(*) FILTER (WHERE v.payload IS NOT NULL) AS "replayable!",
               count(*) FILTER (WHERE v.payload IS NULL) AS "without_content!"
        FROM deliveries d
        JOIN orders o ON o.source = d.source AND o.order_id = d.order_id
        LEFT JOIN order_versions v ON v.source = o.source AND v.order_id = o.order_id AND v.version = o.version
        WHERE d.sink = $1
          AND d.state IN ('applied', 'skipped', 'parked') AND NOT coalesce(d.receipt ? 'possibly_stands', false)
          AND ($2::text IS NULL OR d.source = $2)
          AND ($3::text IS NULL OR o.vendor_id = $3)
          AND ($4::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) >= $4)
          AND ($5::timestamptz IS NULL OR coalesce(o.placed_at, o.first_seen_at) < $5)
          AND CASE WHEN $6::text IS NULL THEN d.reason IS DISTINCT FROM 'discarded' ELSE d.reason = $6 END
        "#,
        sink.as_str(),
        stored.source.map(SourceName::as_str),
        stored.vendor,
        stored.since,
        stored.until,
        which.reason,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("replay.matching"))?;
    Ok(Matching { replayable: row.replayable as u64, without_content: row.without_content as u64 })
}
