//! `quarantine`, for people: what could not be taken in, and resolving a case. Ingest fills it, in the page's statement.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgExecutor, PgPool};

use super::{
    Result, StoreError,
    operations::{Operated, OperationError, Operator, Refusal, source_must_exist},
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

/// What is unresolved, newest first; if `after` is given, only older cases than that.
pub async fn unresolved(
    pool: &PgPool,
    source: Option<&SourceName>,
    after: Option<i64>,
    limit: u32,
) -> Operated<Vec<Quarantined>> {
    let mut db = pool.acquire().await.map_err(StoreError::of("quarantine.unresolved"))?;
    if let Some(source) = source {
        source_must_exist(&mut db, source).await?;
    }
    sqlx::query_as!(
        Quarantined,
        r#"-- quarantine.unresolved
        SELECT id, source, order_id, version, reason, detail, octet_length(raw) AS "size!", received_at
        FROM quarantine
        WHERE resolved_at IS NULL AND ($1::text IS NULL OR source = $1) AND ($3::bigint IS NULL OR id < $3)
        ORDER BY id DESC
        LIMIT $2
        "#,
        source.map(SourceName::as_str),
        i64::from(limit),
        after,
    )
    .fetch_all(&mut *db)
    .await
    .map_err(|source| StoreError { operation: "quarantine.unresolved", source }.into())
}

/// An unresolved case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub id: i64,
    pub source: SourceName,
}

/// How a case was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Its version was stored.
    Stored,
    /// Its version stood there already.
    Known,
}

impl Resolution {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Known => "known",
        }
    }
}

/// The unresolved cases of these ids, by source. Refused if one is unknown or resolved.
pub async fn named(pool: &PgPool, ids: &[i64]) -> Operated<Vec<Case>> {
    let rows = sqlx::query!(
        r#"-- quarantine.named
        SELECT id, source, resolved_at IS NOT NULL AS "resolved!"
        FROM quarantine
        WHERE id = ANY($1)
        ORDER BY source, id
        "#,
        ids,
    )
    .fetch_all(pool)
    .await
    .map_err(StoreError::of("quarantine.named"))?;
    let refusals: Vec<Refusal> = ids
        .iter()
        .filter_map(|id| match rows.iter().find(|row| row.id == *id) {
            None => Some(Refusal::UnknownCase(*id)),
            Some(row) if row.resolved => Some(Refusal::Resolved(*id)),
            Some(_) => None,
        })
        .collect();
    if !refusals.is_empty() {
        return Err(OperationError::Refused(refusals));
    }
    rows.into_iter().map(|row| case(row.id, &row.source)).collect()
}

/// Every unresolved case but versions that are stored with another content, by source.
pub async fn all_open(pool: &PgPool, source: Option<&SourceName>) -> Operated<Vec<Case>> {
    let mut db = pool.acquire().await.map_err(StoreError::of("quarantine.all_open"))?;
    if let Some(source) = source {
        source_must_exist(&mut db, source).await?;
    }
    let rows = sqlx::query!(
        r#"-- quarantine.all_open
        SELECT id, source
        FROM quarantine
        WHERE resolved_at IS NULL AND reason <> 'version_conflict' AND ($1::text IS NULL OR source = $1)
        ORDER BY source, id
        "#,
        source.map(SourceName::as_str),
    )
    .fetch_all(&mut *db)
    .await
    .map_err(StoreError::of("quarantine.all_open"))?;
    rows.into_iter().map(|row| case(row.id, &row.source)).collect()
}

fn case(id: i64, source: &str) -> Operated<Case> {
    let source = SourceName::parse(source)
        .map_err(|e| StoreError { operation: "quarantine.case", source: sqlx::Error::Decode(Box::new(e)) })?;
    Ok(Case { id, source })
}

/// The bytes as received. They may hold personal data.
pub async fn raw(db: impl PgExecutor<'_>, id: i64) -> Result<Vec<u8>> {
    sqlx::query_scalar!(
        r#"-- quarantine.raw
        SELECT raw FROM quarantine WHERE id = $1
        "#,
        id,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("quarantine.raw"))
}

/// Closes a case whose (order id, version, content hash) is stored. False: it is not, or not with this content.
pub async fn resolve(
    db: impl PgExecutor<'_>,
    id: i64,
    (order_id, version, content_hash): (&str, i64, &[u8]),
    resolution: Resolution,
    by: Operator<'_>,
    offset_ms: i64,
) -> Result<bool> {
    let done = sqlx::query!(
        r#"-- quarantine.resolve
        WITH resolved AS (
            UPDATE quarantine q
            SET resolved_at = now() + $5 * interval '1 millisecond', resolution = $6
            WHERE q.id = $1
              AND EXISTS (SELECT FROM order_versions v
                          WHERE v.source = q.source AND v.order_id = $2 AND v.version = $3 AND v.content_hash = $4)
            RETURNING q.id, q.source, q.reason
        )
        INSERT INTO operator_actions (at, who, action, source, order_id, why, detail)
        SELECT now() + $5 * interval '1 millisecond', $7, 'quarantine_retry', r.source, $2, $8,
               jsonb_build_object('id', r.id, 'reason', r.reason, 'version', $3::bigint, 'became', $6::text)
        FROM resolved r
        "#,
        id,
        order_id,
        version,
        content_hash,
        offset_ms as f64,
        resolution.as_str(),
        by.who,
        by.why,
    )
    .execute(db)
    .await
    .map_err(StoreError::of("quarantine.resolve"))?;
    Ok(done.rows_affected() == 1)
}
