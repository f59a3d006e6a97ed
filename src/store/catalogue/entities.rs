//! `catalogue_entities`: what was told of a destination's records, by its feed of changes or by looks.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgExecutor;

use super::{
    super::{Result, StoreError, millis, operations::Operator},
    Holder, Written, written,
};
use crate::domain::{
    catalogue::{Kind, Progress, Record, RemoteState},
    ids::SinkName,
};

/// A record that was told.
#[derive(Debug, Clone, Serialize)]
pub struct Told<'a> {
    #[serde(flatten)]
    pub record: &'a Record,
    /// By a look at it, and not by the feed of changes.
    pub looked: bool,
    /// The look found a change that the feed should have told.
    pub drifted: bool,
}

/// Stores records, each once, and how far the pull that brought them has come; none: they are of a look, or others of
/// their page follow.
pub async fn store(
    db: impl PgExecutor<'_>,
    holder: Holder<'_>,
    told: &[Told<'_>],
    progress: Option<Progress>,
) -> Result<Written> {
    let of_pull = progress.is_some();
    let progress = progress.unwrap_or(Progress { cursor: None, pull: None, ended_full: false });
    let done = sqlx::query_scalar!(
        r#"-- catalogue.store
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), fence AS (
            UPDATE catalogue_cursors c
            SET lease_expires_at = CASE WHEN $3::bigint IS NULL THEN c.lease_expires_at
                                        ELSE clock.now + $4 * interval '1 millisecond' END,
                updated_at = clock.now,
                cursor = CASE WHEN $7 THEN $8::jsonb ELSE c.cursor END,
                pull = CASE WHEN $7 THEN $9::jsonb ELSE c.pull END,
                failures = CASE WHEN $7 THEN 0 ELSE c.failures END,
                last_error = CASE WHEN $7 THEN NULL ELSE c.last_error END,
                last_pull_at = CASE WHEN $7 AND $9::jsonb IS NULL THEN clock.now ELSE c.last_pull_at END,
                last_full_run_at = CASE WHEN $10 THEN clock.now ELSE c.last_full_run_at END,
                former_cursor = CASE WHEN day.over THEN c.daily_cursor ELSE c.former_cursor END,
                daily_cursor = CASE WHEN day.over THEN $8::jsonb ELSE c.daily_cursor END,
                daily_at = CASE WHEN day.over THEN clock.now ELSE c.daily_at END
            FROM clock, catalogue_cursors was
            CROSS JOIN LATERAL (
                SELECT $7 AND $8::jsonb IS NOT NULL
                       AND coalesce(was.daily_at <= now() + $5 * interval '1 millisecond' - interval '1 day', true) AS over
            ) day
            WHERE c.sink = $1 AND c.kind = $2 AND ($3::bigint IS NULL OR c.epoch = $3 AND c.lease_owner IS NOT NULL)
              AND was.sink = c.sink AND was.kind = c.kind
            RETURNING c.sink
        ), stored AS (
            INSERT INTO catalogue_entities AS e
                (sink, kind, remote_id, key, name, remote_version, remote_modified_at, remote_state, fields_hash,
                 first_seen_at, last_checked_at, last_changed_at, last_looked_at, last_drifted_at)
            SELECT fence.sink, i.kind, i.remote_id, i.key, i.name, i.remote_version, i.remote_modified_at, i.remote_state,
                   i.fields_hash, clock.now, clock.now, clock.now,
                   CASE WHEN i.looked THEN clock.now END,
                   CASE WHEN i.drifted THEN clock.now END
            FROM fence, clock, jsonb_to_recordset($6) AS i (
                kind text, remote_id text, key text, name text, remote_version text, remote_modified_at timestamptz,
                remote_state text, fields_hash text, looked boolean, drifted boolean)
            ORDER BY i.kind, i.remote_id
            ON CONFLICT (sink, kind, remote_id) DO UPDATE
            SET key = EXCLUDED.key,
                name = EXCLUDED.name,
                remote_version = EXCLUDED.remote_version,
                remote_modified_at = EXCLUDED.remote_modified_at,
                remote_state = EXCLUDED.remote_state,
                fields_hash = EXCLUDED.fields_hash,
                last_checked_at = EXCLUDED.last_checked_at,
                last_changed_at = CASE WHEN e.fields_hash IS DISTINCT FROM EXCLUDED.fields_hash
                                         OR e.remote_state <> EXCLUDED.remote_state
                                       THEN EXCLUDED.last_changed_at ELSE e.last_changed_at END,
                last_looked_at = coalesce(EXCLUDED.last_looked_at, e.last_looked_at),
                last_drifted_at = coalesce(EXCLUDED.last_drifted_at, e.last_drifted_at),
                check_failures = 0,
                missed_at = NULL,
                errors = 0,
                skip_until = NULL,
                wanted_at = CASE WHEN EXCLUDED.last_looked_at IS NULL THEN e.wanted_at END
        )
        SELECT count(*) AS "n!"
        FROM fence
        "#,
        holder.sink.as_str(),
        holder.kind.as_str(),
        holder.epoch,
        millis(holder.lease) as f64,
        holder.offset_ms as f64,
        serde_json::to_value(told).unwrap_or_default(),
        of_pull,
        written(progress.cursor.as_ref()),
        written(progress.pull.as_ref()),
        progress.ended_full,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("catalogue.store"))?;
    Ok(if done == 1 { Written::Yes } else { Written::LeaseLost })
}

/// When looks in vain break a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strikes {
    /// So many that count.
    pub most: u32,
    /// Shortest time between two that count.
    pub interval: Duration,
}

/// What came of a look in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// Looks in vain that count.
    pub strikes: u32,
    /// Whether all links to it are broken now.
    pub broken: bool,
    /// Whether a person's link leads to it.
    pub locked: bool,
}

/// A look that found nothing; it counts if it is long enough after the last one that did. From `strikes` of them on the links
/// to it are broken, but for those of a person. None: the lease was lost.
pub async fn strike(
    db: impl PgExecutor<'_>,
    holder: Holder<'_>,
    remote_id: &str,
    strikes: Strikes,
) -> Result<Option<Struck>> {
    let row = sqlx::query!(
        r#"-- catalogue.strike
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), fence AS (
            UPDATE catalogue_cursors c
            SET lease_expires_at = CASE WHEN $3::bigint IS NULL THEN c.lease_expires_at
                                        ELSE clock.now + $4 * interval '1 millisecond' END,
                updated_at = clock.now
            FROM clock
            WHERE c.sink = $1 AND c.kind = $2 AND ($3::bigint IS NULL OR c.epoch = $3 AND c.lease_owner IS NOT NULL)
            RETURNING c.sink, c.kind
        ), struck AS (
            INSERT INTO catalogue_entities AS e
                (sink, kind, remote_id, remote_state, first_seen_at, last_checked_at, last_looked_at, check_failures, missed_at)
            SELECT fence.sink, fence.kind, $6, 'missing', clock.now, clock.now, clock.now, 1, clock.now
            FROM fence, clock
            ON CONFLICT (sink, kind, remote_id) DO UPDATE
            SET remote_state = 'missing',
                check_failures = e.check_failures
                    + CASE WHEN e.missed_at > EXCLUDED.missed_at - $8 * interval '1 millisecond' THEN 0 ELSE 1 END,
                missed_at = CASE WHEN e.missed_at > EXCLUDED.missed_at - $8 * interval '1 millisecond'
                                 THEN e.missed_at ELSE EXCLUDED.missed_at END,
                last_checked_at = EXCLUDED.last_checked_at,
                last_looked_at = EXCLUDED.last_looked_at,
                errors = 0,
                skip_until = NULL,
                wanted_at = NULL
            RETURNING e.check_failures
        ), broken AS (
            UPDATE links l
            SET broken_at = clock.now
            FROM struck, clock
            WHERE l.sink = $1 AND l.kind = $2 AND l.remote_id = $6 AND NOT l.locked AND l.broken_at IS NULL
              AND struck.check_failures >= $7
            RETURNING 1
        )
        SELECT struck.check_failures,
               EXISTS (SELECT FROM broken) AS "broken!",
               EXISTS (SELECT FROM links l WHERE l.sink = $1 AND l.kind = $2 AND l.remote_id = $6 AND l.locked) AS "locked!"
        FROM struck
        "#,
        holder.sink.as_str(),
        holder.kind.as_str(),
        holder.epoch,
        millis(holder.lease) as f64,
        holder.offset_ms as f64,
        remote_id,
        strikes.most as i32,
        millis(strikes.interval) as f64,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("catalogue.strike"))?;
    Ok(row.map(|row| Struck {
        strikes: u32::try_from(row.check_failures).unwrap_or_default(),
        broken: row.broken,
        locked: row.locked,
    }))
}

/// A look that got no answer. After `most` in a row it is left alone for so long.
pub async fn note_error(
    db: impl PgExecutor<'_>,
    holder: Holder<'_>,
    remote_id: &str,
    most: u32,
    rest: Duration,
) -> Result<Written> {
    let done = sqlx::query_scalar!(
        r#"-- catalogue.note_error
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), fence AS (
            UPDATE catalogue_cursors c
            SET lease_expires_at = CASE WHEN $3::bigint IS NULL THEN c.lease_expires_at
                                        ELSE clock.now + $4 * interval '1 millisecond' END,
                updated_at = clock.now
            FROM clock
            WHERE c.sink = $1 AND c.kind = $2 AND ($3::bigint IS NULL OR c.epoch = $3 AND c.lease_owner IS NOT NULL)
            RETURNING c.sink, c.kind
        ), noted AS (
            INSERT INTO catalogue_entities AS e (sink, kind, remote_id, remote_state, first_seen_at, errors, skip_until)
            SELECT fence.sink, fence.kind, $6, 'active', clock.now, 1,
                   CASE WHEN $7 <= 1 THEN clock.now + $8 * interval '1 millisecond' END
            FROM fence, clock
            ON CONFLICT (sink, kind, remote_id) DO UPDATE
            SET wanted_at = NULL,
                errors = CASE WHEN e.errors + 1 >= $7 THEN 0 ELSE e.errors + 1 END,
                skip_until = CASE WHEN e.errors + 1 >= $7
                                  THEN EXCLUDED.first_seen_at + $8 * interval '1 millisecond' ELSE e.skip_until END
        )
        SELECT count(*) AS "n!"
        FROM fence
        "#,
        holder.sink.as_str(),
        holder.kind.as_str(),
        holder.epoch,
        millis(holder.lease) as f64,
        holder.offset_ms as f64,
        remote_id,
        most as i32,
        millis(rest) as f64,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("catalogue.note_error"))?;
    Ok(if done == 1 { Written::Yes } else { Written::LeaseLost })
}

/// A record that is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub remote_id: String,
    /// None: it was never seen.
    pub fields_hash: Option<String>,
    pub remote_state: Option<RemoteState>,
    /// A person asked for it.
    pub wanted: bool,
}

/// What a person asked for, and the linked records that were not checked for the longest. A few of them are suspected ghosts,
/// whose last look in vain is so long ago.
pub async fn longest_unchecked(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    kind: Kind,
    most: u32,
    most_ghosts: u32,
    strikes: Strikes,
    offset_ms: i64,
) -> Result<Vec<Due>> {
    let rows = sqlx::query!(
        r#"-- catalogue.longest_unchecked
        WITH clock AS (
            SELECT now() + $7 * interval '1 millisecond' AS now
        ), linked AS MATERIALIZED (
            SELECT DISTINCT remote_id
            FROM links
            WHERE sink = $1 AND kind = $2 AND remote_id IS NOT NULL AND broken_at IS NULL
        ), wanted AS (
            SELECT e.remote_id, e.last_checked_at, -1 AS rank
            FROM catalogue_entities e
            WHERE e.sink = $1 AND e.kind = $2 AND e.wanted_at IS NOT NULL
            ORDER BY e.wanted_at, e.remote_id
            LIMIT $3
        ), ghosts AS (
            SELECT e.remote_id, e.last_checked_at, 0 AS rank
            FROM linked
            JOIN catalogue_entities e ON e.sink = $1 AND e.kind = $2 AND e.remote_id = linked.remote_id, clock
            WHERE e.remote_state = 'missing' AND e.check_failures < $5 AND e.wanted_at IS NULL
              AND e.missed_at <= clock.now - $6 * interval '1 millisecond'
              AND (e.skip_until IS NULL OR e.skip_until < clock.now)
            ORDER BY e.missed_at, e.remote_id
            LIMIT $4
        ), others AS (
            SELECT linked.remote_id, e.last_checked_at, 1 AS rank
            FROM linked
            LEFT JOIN catalogue_entities e ON e.sink = $1 AND e.kind = $2 AND e.remote_id = linked.remote_id, clock
            WHERE coalesce(e.remote_state, 'active') = 'active' AND e.wanted_at IS NULL
              AND (e.skip_until IS NULL OR e.skip_until < clock.now)
            ORDER BY e.last_checked_at NULLS FIRST, linked.remote_id
            LIMIT $3
        )
        SELECT d.remote_id AS "remote_id!", e.fields_hash AS "fields_hash?", e.remote_state AS "remote_state?",
               d.rank < 0 AS "wanted!"
        FROM (SELECT * FROM wanted UNION ALL SELECT * FROM ghosts UNION ALL SELECT * FROM others) d
        LEFT JOIN catalogue_entities e ON e.sink = $1 AND e.kind = $2 AND e.remote_id = d.remote_id
        ORDER BY d.rank, d.last_checked_at NULLS FIRST, d.remote_id
        LIMIT $3
        "#,
        sink.as_str(),
        kind.as_str(),
        i64::from(most),
        i64::from(most_ghosts),
        strikes.most as i32,
        millis(strikes.interval) as f64,
        offset_ms as f64,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("catalogue.longest_unchecked"))?;
    Ok(rows
        .into_iter()
        .map(|row| Due {
            remote_id: row.remote_id,
            fields_hash: row.fields_hash,
            remote_state: row.remote_state.and_then(|state| RemoteState::parse(&state)),
            wanted: row.wanted,
        })
        .collect())
}

/// A record as the last answer told it; one that was never seen is due as well.
pub async fn known(db: impl PgExecutor<'_>, sink: &SinkName, kind: Kind, remote_id: &str) -> Result<Due> {
    let row = sqlx::query!(
        r#"-- catalogue.known
        SELECT fields_hash, remote_state
        FROM catalogue_entities
        WHERE sink = $1 AND kind = $2 AND remote_id = $3
        "#,
        sink.as_str(),
        kind.as_str(),
        remote_id,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("catalogue.known"))?;
    let (fields_hash, state) = row.map_or((None, None), |row| (row.fields_hash, Some(row.remote_state)));
    let remote_state = state.and_then(|state| RemoteState::parse(&state));
    Ok(Due { remote_id: remote_id.to_owned(), fields_hash, remote_state, wanted: true })
}

/// Looks of the last day, and how many of them found what the feed had not told.
pub async fn drift(db: impl PgExecutor<'_>, sink: &SinkName, kind: Kind, offset_ms: i64) -> Result<(u64, u64)> {
    let row = sqlx::query!(
        r#"-- catalogue.drift
        SELECT count(*) AS "looked!", count(*) FILTER (WHERE last_drifted_at > clock.a_day_ago) AS "drifted!"
        FROM catalogue_entities,
             (SELECT now() + $3 * interval '1 millisecond' - interval '1 day' AS a_day_ago) clock
        WHERE sink = $1 AND kind = $2 AND last_looked_at > clock.a_day_ago
        "#,
        sink.as_str(),
        kind.as_str(),
        offset_ms as f64,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("catalogue.drift"))?;
    Ok((row.looked as u64, row.drifted as u64))
}

/// Linked records that are there and not to be used, the newest first: how many, and what the first are called. Of customers
/// the destination's ids only.
pub async fn not_active(db: impl PgExecutor<'_>, sink: &SinkName, kind: Kind, most: u32) -> Result<(u64, Vec<String>)> {
    let rows = sqlx::query!(
        r#"-- catalogue.not_active
        SELECT CASE WHEN $2 = 'product' THEN coalesce(e.key, e.remote_id) ELSE e.remote_id END AS "called!",
               count(*) OVER () AS "n!"
        FROM catalogue_entities e
        WHERE e.sink = $1 AND e.kind = $2 AND e.remote_state IN ('archived', 'deleted')
          AND EXISTS (SELECT FROM links l
                      WHERE l.sink = $1 AND l.kind = $2 AND l.remote_id = e.remote_id AND l.broken_at IS NULL)
        ORDER BY e.last_changed_at DESC NULLS LAST, e.remote_id
        LIMIT $3
        "#,
        sink.as_str(),
        kind.as_str(),
        i64::from(most),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("catalogue.not_active"))?;
    let n = rows.first().map_or(0, |row| row.n as u64);
    Ok((n, rows.into_iter().map(|row| row.called).collect()))
}

/// Has a record looked at before all others, and notes who wanted it. False: nothing of that kind is looked at there.
pub async fn want(
    db: impl PgExecutor<'_>,
    sink: &SinkName,
    kind: Kind,
    remote_id: &str,
    by: Operator<'_>,
    offset_ms: i64,
) -> Result<bool> {
    let done = sqlx::query_scalar!(
        r#"-- catalogue.want
        WITH clock AS (
            SELECT now() + $4 * interval '1 millisecond' AS now
        ), due AS (
            UPDATE catalogue_cursors c
            SET next_sweep_at = least(c.next_sweep_at, clock.now)
            FROM clock
            WHERE c.sink = $1 AND c.kind = $2 AND c.next_sweep_at IS NOT NULL
            RETURNING c.sink, c.kind
        ), wanted AS (
            INSERT INTO catalogue_entities AS e (sink, kind, remote_id, remote_state, first_seen_at, wanted_at)
            SELECT due.sink, due.kind, $3, 'active', clock.now, clock.now
            FROM due, clock
            ON CONFLICT (sink, kind, remote_id) DO UPDATE
            SET wanted_at = EXCLUDED.wanted_at, skip_until = NULL
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, sink, why, detail)
            SELECT clock.now, $5, 'sync', due.sink, $6, jsonb_build_object('kind', due.kind, 'remote_id', $3::text)
            FROM due, clock
        )
        SELECT count(*) AS "n!"
        FROM due
        "#,
        sink.as_str(),
        kind.as_str(),
        remote_id,
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("catalogue.want"))?;
    Ok(done == 1)
}
