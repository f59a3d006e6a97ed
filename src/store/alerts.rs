//! `alerts`: what a person should know. One open row per cause and subject; a repeat only counts.

use sqlx::PgExecutor;

use super::{Result, StoreError};
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
