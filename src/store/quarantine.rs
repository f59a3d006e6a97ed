//! `quarantine`, for people: what could not be taken in. The bytes themselves are not read here.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;

use super::{
    StoreError,
    operations::{Operated, source_must_exist},
};
use crate::domain::ids::SourceName;

/// One order that could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    pub id: i64,
    pub source: String,
    /// Where it could be read.
    pub order_id: Option<String>,
    pub version: Option<i64>,
    pub reason: String,
    pub detail: Option<String>,
    /// Size of what was received, in bytes.
    pub size: i32,
    pub received_at: DateTime<Utc>,
}

/// What is unresolved, newest first.
pub async fn unresolved(pool: &PgPool, source: Option<&SourceName>, limit: u32) -> Operated<Vec<Quarantined>> {
    let mut db = pool.acquire().await.map_err(StoreError::of("quarantine.unresolved"))?;
    if let Some(source) = source {
        source_must_exist(&mut db, source).await?;
    }
    sqlx::query_as!(
        Quarantined,
        r#"-- quarantine.unresolved
        SELECT id, source, order_id, version, reason, detail, octet_length(raw) AS "size!", received_at
        FROM quarantine
        WHERE resolved_at IS NULL AND ($1::text IS NULL OR source = $1)
        ORDER BY id DESC
        LIMIT $2
        "#,
        source.map(SourceName::as_str),
        i64::from(limit),
    )
    .fetch_all(&mut *db)
    .await
    .map_err(|source| StoreError { operation: "quarantine.unresolved", source }.into())
}
