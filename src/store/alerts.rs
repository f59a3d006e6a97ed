//! `alerts`: what a person should know. One open row per cause and subject; a repeat only counts.

use std::time::Duration;

use sqlx::{PgExecutor, PgPool};

use super::{Result, StoreError, millis};
use crate::domain::ids::SinkName;

/// Raises an alert, or counts it when it stands already. `detail` holds no personal data.
pub async fn raise(db: impl PgExecutor<'_>, cause: &str, subject: &str, detail: &str) -> Result<()> {
    sqlx::query!(
        r#"-- alerts.raise
        INSERT INTO alerts AS a (cause, subject, detail)
        VALUES ($1, $2, $3)
        ON CONFLICT (cause, subject) WHERE resolved_at IS NULL DO UPDATE
        SET count = a.count + 1, last_seen_at = now(), detail = EXCLUDED.detail
        "#,
        cause,
        subject,
        detail,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("alerts.raise"))?;
    Ok(())
}

/// Closes an alert whose cause has gone.
pub async fn resolve(db: impl PgExecutor<'_>, cause: &str, subject: &str) -> Result<()> {
    sqlx::query!(
        r#"-- alerts.resolve
        UPDATE alerts
        SET resolved_at = now()
        WHERE cause = $1 AND subject = $2 AND resolved_at IS NULL
        "#,
        cause,
        subject,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("alerts.resolve"))?;
    Ok(())
}

/// Subjects of the open alerts of one cause that are about a sink.
pub async fn open_about(db: impl PgExecutor<'_>, cause: &str, sink: &SinkName) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- alerts.open_about
        SELECT subject
        FROM alerts
        WHERE cause = $1 AND starts_with(subject, $2 || '/') AND resolved_at IS NULL
        "#,
        cause,
        sink.as_str(),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("alerts.open_about"))
}

/// Closes every alert of a cause that is about something inside a sink.
pub async fn resolve_all(db: impl PgExecutor<'_>, cause: &str, sink: &SinkName) -> Result<()> {
    sqlx::query!(
        r#"-- alerts.resolve_all
        UPDATE alerts
        SET resolved_at = now()
        WHERE cause = $1 AND starts_with(subject, $2 || '/') AND resolved_at IS NULL
        "#,
        cause,
        sink.as_str(),
    )
    .execute(db)
    .await
    .map_err(StoreError::of("alerts.resolve_all"))?;
    Ok(())
}

/// A cause that holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub cause: &'static str,
    pub subject: String,
    /// Nothing personal.
    pub detail: String,
    /// How many orders it has; 1 where it has none.
    pub count: i64,
}

/// Raises what stands; saying it twice changes nothing, and the count is the highest that was seen.
pub async fn hold(db: impl PgExecutor<'_>, standing: &[Standing], offset_ms: i64) -> Result<()> {
    let causes: Vec<&str> = standing.iter().map(|alert| alert.cause).collect();
    let subjects: Vec<&str> = standing.iter().map(|alert| alert.subject.as_str()).collect();
    let details: Vec<&str> = standing.iter().map(|alert| alert.detail.as_str()).collect();
    let counts: Vec<i64> = standing.iter().map(|alert| alert.count).collect();
    sqlx::query!(
        r#"-- alerts.hold
        INSERT INTO alerts AS a (cause, subject, detail, count, raised_at, last_seen_at)
        SELECT s.cause, s.subject, s.detail, s.count, clock.now, clock.now
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS s (cause, subject, detail, count)
        CROSS JOIN (SELECT now() + $5 * interval '1 millisecond' AS now) clock
        ORDER BY s.cause, s.subject
        ON CONFLICT (cause, subject) WHERE resolved_at IS NULL DO UPDATE
        SET count = greatest(a.count, EXCLUDED.count), last_seen_at = EXCLUDED.last_seen_at, detail = EXCLUDED.detail
        "#,
        &causes[..] as _,
        &subjects[..] as _,
        &details[..] as _,
        &counts[..],
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("alerts.hold"))?;
    Ok(())
}

/// [Holds](hold) what stands, and closes what of these causes was not found standing for `calm`.
pub async fn stand(
    pool: &PgPool,
    causes: &[&str],
    standing: &[Standing],
    calm: Duration,
    offset_ms: i64,
) -> Result<()> {
    if !standing.is_empty() {
        hold(pool, standing, offset_ms).await?;
    }
    let of: Vec<&str> = standing.iter().map(|alert| alert.cause).collect();
    let subjects: Vec<&str> = standing.iter().map(|alert| alert.subject.as_str()).collect();
    sqlx::query!(
        r#"-- alerts.calm
        WITH clock AS MATERIALIZED (
            SELECT now() + $4 * interval '1 millisecond' AS now
        ), past AS MATERIALIZED (
            SELECT a.id
            FROM alerts a
            CROSS JOIN clock
            WHERE a.cause = ANY ($1) AND a.resolved_at IS NULL
              AND a.last_seen_at <= clock.now - $5 * interval '1 millisecond'
              AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::text[]) AS s (cause, subject)
                              WHERE s.cause = a.cause AND s.subject = a.subject)
            ORDER BY a.cause, a.subject
            FOR UPDATE OF a
        )
        UPDATE alerts a
        SET resolved_at = clock.now
        FROM past
        CROSS JOIN clock
        WHERE a.id = past.id
        "#,
        causes as _,
        &of[..] as _,
        &subjects[..] as _,
        offset_ms as f64,
        millis(calm) as f64,
    )
    .execute(pool)
    .await
    .map_err(StoreError::of("alerts.calm"))?;
    Ok(())
}

/// Subjects of the open alerts of one cause.
pub async fn open_of(db: impl PgExecutor<'_>, cause: &str) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- alerts.open_of
        SELECT subject FROM alerts WHERE cause = $1 AND resolved_at IS NULL
        "#,
        cause,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("alerts.open_of"))
}

/// Closes an alert whose cause has gone, once it has stood for so long: what ends as soon as it begins would never be told.
pub async fn resolve_after(
    db: impl PgExecutor<'_>,
    cause: &str,
    subject: &str,
    stood: Duration,
    offset_ms: i64,
) -> Result<()> {
    sqlx::query!(
        r#"-- alerts.resolve_after
        UPDATE alerts
        SET resolved_at = now() + $4 * interval '1 millisecond'
        WHERE cause = $1 AND subject = $2 AND resolved_at IS NULL
          AND raised_at <= now() + $4 * interval '1 millisecond' - $3 * interval '1 millisecond'
        "#,
        cause,
        subject,
        millis(stood) as f64,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("alerts.resolve_after"))?;
    Ok(())
}

/// Closes the alerts about quarantined orders of sources that have none any more.
pub async fn close_resolved_quarantine(db: impl PgExecutor<'_>, offset_ms: i64) -> Result<()> {
    sqlx::query!(
        r#"-- alerts.close_resolved_quarantine
        UPDATE alerts a
        SET resolved_at = now() + $1 * interval '1 millisecond'
        WHERE a.cause = 'quarantined' AND a.resolved_at IS NULL
          AND NOT EXISTS (SELECT FROM quarantine q WHERE q.source = a.subject AND q.resolved_at IS NULL)
        "#,
        offset_ms as f64,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("alerts.close_resolved_quarantine"))?;
    Ok(())
}
