//! What retention removes: payloads nobody is owed any more, old attempts, the bytes of resolved quarantine cases and
//! resolved alerts.
//!
//! Never removed: rows of `order_versions` (their money stays), deliveries with their receipts, `operator_actions`. Each
//! step is one short transaction that also raises the run's counts, so whatever ends a run, its row says what it did.
//! Removing twice changes nothing, so two runs at once are only twice the work; the lease saves it, no more.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor, PgPool};

use super::{
    Result, StoreError, millis,
    operations::{Operator, begin, commit},
};

/// A version's place among all versions: source, order id, version.
pub type Place = (String, String, i64);

/// What is removed, by its key in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Payloads,
    Attempts,
    Quarantine,
    Alerts,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payloads => "payloads",
            Self::Attempts => "attempts",
            Self::Quarantine => "quarantine",
            Self::Alerts => "alerts",
        }
    }
}

/// Notes a run that begins. The number is for [`remove_payloads`] and its like.
pub async fn begin_run(db: impl PgExecutor<'_>, by: Operator<'_>, offset_ms: i64) -> Result<i64> {
    sqlx::query_scalar!(
        r#"-- retention.begin_run
        INSERT INTO operator_actions (at, who, action, why)
        VALUES (now() + $1 * interval '1 millisecond', $2, 'prune', $3)
        RETURNING id
        "#,
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("retention.begin_run"))
}

async fn note(db: &mut PgConnection, run: i64, kind: Kind, removed: u64) -> Result<()> {
    if removed == 0 {
        return Ok(());
    }
    sqlx::query!(
        r#"-- retention.note
        UPDATE operator_actions
        SET detail = detail || jsonb_build_object($2::text, coalesce((detail ->> $2)::bigint, 0) + $3)
        WHERE id = $1
        "#,
        run,
        kind.as_str(),
        removed as i64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("retention.note"))?;
    Ok(())
}

/// The versions of one stretch whose payload may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretch {
    pub removable: Vec<Place>,
    /// Where the next stretch begins; none: this was the last.
    pub last: Option<Place>,
}

/// Looks through the next `limit` versions for payloads that are old enough and that no delivery may still need.
pub async fn removable_payloads(
    db: impl PgExecutor<'_>,
    after: Option<&Place>,
    limit: u32,
    older_than: Duration,
    offset_ms: i64,
) -> Result<Stretch> {
    let (source, order_id, version) = after.map_or(("", "", 0), |(s, o, v)| (s.as_str(), o.as_str(), *v));
    let rows = sqlx::query!(
        r#"-- retention.removable_payloads
        WITH stretch AS MATERIALIZED (
            SELECT source, order_id, version,
                   payload IS NOT NULL
                   AND received_at < now() + $4 * interval '1 millisecond' - $5 * interval '1 millisecond' AS old
            FROM order_versions
            WHERE (source, order_id, version) > ($1, $2, $3)
            ORDER BY source, order_id, version
            LIMIT $6
        ), judged AS (
            SELECT s.source, s.order_id, s.version, s.old AND w.owed IS NULL AS removable,
                   row_number() OVER (ORDER BY s.source DESC, s.order_id DESC, s.version DESC) = 1 AS last
            FROM stretch s
            LEFT JOIN LATERAL (
                SELECT true AS owed
                FROM owed_versions w
                WHERE s.old AND w.source = s.source AND w.order_id = s.order_id AND w.from_version <= s.version
                LIMIT 1
            ) w ON true
        )
        SELECT source AS "source!", order_id AS "order_id!", version AS "version!", removable AS "removable!",
               last AS "last!"
        FROM judged
        WHERE removable OR last
        ORDER BY source, order_id, version
        "#,
        source,
        order_id,
        version,
        offset_ms as f64,
        millis(older_than) as f64,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("retention.removable_payloads"))?;
    let mut stretch = Stretch::default();
    for row in rows {
        let place = (row.source, row.order_id, row.version);
        if row.last {
            stretch.last = Some(place.clone());
        }
        if row.removable {
            stretch.removable.push(place);
        }
    }
    Ok(stretch)
}

/// Removes these payloads, but those that came to be owed meanwhile.
pub async fn remove_payloads(pool: &PgPool, run: i64, places: &[Place]) -> Result<u64> {
    let sources: Vec<&str> = places.iter().map(|(source, _, _)| source.as_str()).collect();
    let order_ids: Vec<&str> = places.iter().map(|(_, order_id, _)| order_id.as_str()).collect();
    let versions: Vec<i64> = places.iter().map(|(_, _, version)| *version).collect();
    let mut tx = begin(pool).await?;
    // Whoever owes a version anew holds it first: it has committed, which the next statement sees, or waits for us and
    // finds the content gone.
    sqlx::query_scalar!(
        r#"-- retention.lock_versions
        SELECT v.version
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS c (source, order_id, version)
        JOIN order_versions v ON v.source = c.source AND v.order_id = c.order_id AND v.version = c.version
        ORDER BY v.source, v.order_id, v.version
        FOR UPDATE OF v
        "#,
        &sources[..] as _,
        &order_ids[..] as _,
        &versions[..],
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::of("retention.lock_versions"))?;
    let removed = sqlx::query!(
        r#"-- retention.remove_payloads
        UPDATE order_versions v
        SET payload = NULL
        FROM unnest($1::text[], $2::text[], $3::bigint[]) AS c (source, order_id, version)
        LEFT JOIN LATERAL (
            SELECT true AS owed
            FROM owed_versions w
            WHERE w.source = c.source AND w.order_id = c.order_id AND w.from_version <= c.version
            LIMIT 1
        ) w ON true
        WHERE v.source = c.source AND v.order_id = c.order_id AND v.version = c.version
          AND v.payload IS NOT NULL AND w.owed IS NULL
        "#,
        &sources[..] as _,
        &order_ids[..] as _,
        &versions[..],
    )
    .execute(&mut *tx)
    .await
    .map_err(StoreError::of("retention.remove_payloads"))?
    .rows_affected();
    note(&mut tx, run, Kind::Payloads, removed).await?;
    commit(tx).await?;
    Ok(removed)
}

/// Deletes the oldest attempts. They are numbered in the order of their time, but for a few that were recorded late: those
/// go when their neighbours do.
pub async fn remove_attempts(pool: &PgPool, run: i64, limit: u32, older_than: Duration, offset_ms: i64) -> Result<u64> {
    let mut tx = begin(pool).await?;
    let removed = sqlx::query!(
        r#"-- retention.remove_attempts
        DELETE FROM attempts
        WHERE id = ANY (ARRAY(
            SELECT a.id
            FROM (SELECT id, finished_at FROM attempts ORDER BY id LIMIT $1) a
            WHERE a.finished_at < now() + $2 * interval '1 millisecond' - $3 * interval '1 millisecond'))
        "#,
        i64::from(limit),
        offset_ms as f64,
        millis(older_than) as f64,
    )
    .execute(&mut *tx)
    .await
    .map_err(StoreError::of("retention.remove_attempts"))?
    .rows_affected();
    note(&mut tx, run, Kind::Attempts, removed).await?;
    commit(tx).await?;
    Ok(removed)
}

/// Empties the bytes of cases that were resolved so long ago; the case itself stays.
pub async fn empty_quarantine(
    pool: &PgPool,
    run: i64,
    limit: u32,
    older_than: Duration,
    offset_ms: i64,
) -> Result<u64> {
    let mut tx = begin(pool).await?;
    let removed = sqlx::query!(
        r#"-- retention.empty_quarantine
        UPDATE quarantine
        SET raw = ''
        WHERE id = ANY (ARRAY(
            SELECT id
            FROM quarantine
            WHERE resolved_at < now() + $2 * interval '1 millisecond' - $3 * interval '1 millisecond' AND raw <> ''
            ORDER BY id
            LIMIT $1))
        "#,
        i64::from(limit),
        offset_ms as f64,
        millis(older_than) as f64,
    )
    .execute(&mut *tx)
    .await
    .map_err(StoreError::of("retention.empty_quarantine"))?
    .rows_affected();
    note(&mut tx, run, Kind::Quarantine, removed).await?;
    commit(tx).await?;
    Ok(removed)
}

/// Deletes alerts that were resolved so long ago, and messages about alerts that are as old. Only alerts are counted.
pub async fn remove_alerts(pool: &PgPool, run: i64, limit: u32, older_than: Duration, offset_ms: i64) -> Result<u64> {
    let mut tx = begin(pool).await?;
    let removed = sqlx::query!(
        r#"-- retention.remove_alerts
        DELETE FROM alerts
        WHERE id = ANY (ARRAY(
            SELECT id
            FROM alerts
            WHERE resolved_at < now() + $2 * interval '1 millisecond' - $3 * interval '1 millisecond'
            ORDER BY id
            LIMIT $1))
        "#,
        i64::from(limit),
        offset_ms as f64,
        millis(older_than) as f64,
    )
    .execute(&mut *tx)
    .await
    .map_err(StoreError::of("retention.remove_alerts"))?
    .rows_affected();
    sqlx::query!(
        r#"-- retention.remove_alert_messages
        DELETE FROM alert_messages
        WHERE id = ANY (ARRAY(
            SELECT id
            FROM alert_messages
            WHERE composed_at < now() + $2 * interval '1 millisecond' - $3 * interval '1 millisecond'
            ORDER BY composed_at
            LIMIT $1))
        "#,
        i64::from(limit),
        offset_ms as f64,
        millis(older_than) as f64,
    )
    .execute(&mut *tx)
    .await
    .map_err(StoreError::of("retention.remove_alert_messages"))?;
    note(&mut tx, run, Kind::Alerts, removed).await?;
    commit(tx).await?;
    Ok(removed)
}

/// How much of a kind is older than that; payloads are counted by [`removable_payloads`].
pub async fn count(db: impl PgExecutor<'_>, kind: Kind, older_than: Duration, offset_ms: i64) -> Result<u64> {
    let n = sqlx::query_scalar!(
        r#"-- retention.count
        SELECT CASE $1::text
                   WHEN 'attempts' THEN (SELECT count(*) FROM attempts WHERE finished_at < cutoff)
                   WHEN 'quarantine' THEN (SELECT count(*) FROM quarantine WHERE resolved_at < cutoff AND raw <> '')
                   WHEN 'alerts' THEN (SELECT count(*) FROM alerts WHERE resolved_at < cutoff)
                   ELSE 0 END AS "n!"
        FROM (SELECT now() + $2 * interval '1 millisecond' - $3 * interval '1 millisecond') AS c (cutoff)
        "#,
        kind.as_str(),
        offset_ms as f64,
        millis(older_than) as f64,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("retention.count"))?;
    Ok(n as u64)
}
