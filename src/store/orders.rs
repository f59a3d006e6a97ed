//! Everything about one order, for the timeline: its versions, what was tried, where each delivery stands, and what of
//! it could not be taken in.
//!
//! Payloads are read, because the timeline says what changed between two versions; they stay in [`StoredPayload`], which
//! nothing prints or serialises. Stored steps, receipts and quarantined bytes are not read.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use sqlx::{PgExecutor, PgPool};

use super::{Result, StoreError};
use crate::domain::{ids::SourceName, money::Breakdown};

/// Rows of one kind that are read of one order: the newest ones.
pub const MOST_ROWS: i64 = 1_000;

/// A payload on its way to being compared. Holds personal data: `Debug` shows its size.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredPayload(String);

impl StoredPayload {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoredPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredPayload({} bytes)", self.0.len())
    }
}

/// One stored version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredVersion {
    pub version: i64,
    pub status: String,
    pub vendor_id: Option<String>,
    pub order_type: Option<String>,
    pub placed_at: Option<DateTime<Utc>>,
    pub total_minor: Option<i64>,
    pub currency: Option<String>,
    pub verdict: String,
    #[serde(serialize_with = "as_hex")]
    pub content_hash: Vec<u8>,
    pub received_at: DateTime<Utc>,
    /// None once retention removed it.
    #[serde(skip)]
    pub payload: Option<StoredPayload>,
}

/// One line of `attempts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredAttempt {
    pub sink: String,
    pub version: i64,
    pub attempt: i32,
    /// None: a decision without a call.
    pub step: Option<String>,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub outcome: String,
    pub http_status: Option<i16>,
    pub reason: Option<String>,
    /// Masked before it was stored.
    pub response_excerpt: Option<String>,
    /// What the destination calls the order that this had its effect on.
    pub external_id: Option<String>,
}

/// Where the order stands with one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredDelivery {
    pub sink: String,
    pub state: String,
    pub reason: Option<String>,
    pub hint: Option<String>,
    pub waiting_for: Option<String>,
    pub wanted_version: i64,
    pub applied_version: Option<i64>,
    /// Newest version a request went out for, or may have.
    pub sent_version: Option<i64>,
    pub lane: String,
    pub attempts: i32,
    /// Of a delivery that the claim looks at.
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub not_before: Option<DateTime<Utc>>,
    pub lease_owner: Option<String>,
    pub lease_expires_at: Option<DateTime<Utc>>,
    pub notice: Option<String>,
    pub external_id: Option<String>,
    /// Name of the step whose answer is awaited or was lost.
    pub pending_step: Option<String>,
    pub first_failed_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// What of the order could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredRefusal {
    pub id: i64,
    pub version: Option<i64>,
    pub reason: String,
    pub detail: Option<String>,
    pub received_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub resolution: Option<String>,
}

/// What a person did to a delivery of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredAction {
    pub at: DateTime<Utc>,
    pub who: String,
    pub action: String,
    pub sink: Option<String>,
    pub why: Option<String>,
    /// What it was before, and what was given.
    pub detail: serde_json::Value,
}

/// One order of one source, with all that happened to it, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderHistory {
    pub source: String,
    pub source_kind: String,
    pub order_id: String,
    /// By version number.
    pub versions: Vec<StoredVersion>,
    pub attempts: Vec<StoredAttempt>,
    /// By sink.
    pub deliveries: Vec<StoredDelivery>,
    pub quarantine: Vec<StoredRefusal>,
    pub actions: Vec<StoredAction>,
    /// Some list has more than [`MOST_ROWS`] rows; the older ones are left out.
    pub truncated: bool,
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

/// The order in each source that knows it, or in this one. Empty: nobody has heard of it.
pub async fn histories(pool: &PgPool, order_id: &str, source: Option<&SourceName>) -> Result<Vec<OrderHistory>> {
    // Postgres knows no text with a NUL.
    if order_id.contains('\0') {
        return Ok(Vec::new());
    }
    let mut histories = Vec::new();
    for (source, source_kind) in sources_of(pool, order_id, source).await? {
        let versions = versions(pool, &source, order_id).await?;
        let attempts = attempts(pool, &source, order_id).await?;
        let deliveries = deliveries(pool, &source, order_id).await?;
        let quarantine = quarantine(pool, &source, order_id).await?;
        let actions = actions(pool, &source, order_id).await?;
        let truncated =
            [versions.len(), attempts.len(), quarantine.len(), actions.len()].contains(&(MOST_ROWS as usize));
        histories.push(OrderHistory {
            source,
            source_kind,
            order_id: order_id.to_owned(),
            versions,
            attempts,
            deliveries,
            quarantine,
            actions,
            truncated,
        });
    }
    Ok(histories)
}

/// An order that somebody calls so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub source: String,
    pub order_id: String,
    /// The source or the sink whose id it is.
    pub named_by: String,
}

/// Orders that are found at most.
const MOST_FOUND: i64 = 50;

/// Orders of this id, in whatever source, and those that a destination calls so.
pub async fn find(pool: &PgPool, id: &str) -> Result<Vec<Found>> {
    if id.contains('\0') {
        return Ok(Vec::new());
    }
    let known = sources_of(pool, id, None).await?.into_iter();
    let mut found: Vec<Found> = known
        .map(|(source, _)| Found { order_id: id.to_owned(), named_by: format!("source {source}"), source })
        .collect();
    let called = sqlx::query_as!(
        Found,
        r#"-- orders.find
        SELECT d.source AS "source!", d.order_id AS "order_id!", 'sink ' || k.name AS "named_by!"
        FROM sinks k -- few rows, and the way to the index
        JOIN deliveries d ON d.sink = k.name AND left(d.external_id, 200) = left($1, 200) AND d.external_id = $1
        ORDER BY k.name, d.source, d.order_id
        LIMIT $2
        "#,
        id,
        MOST_FOUND,
    )
    .fetch_all(pool)
    .await
    .map_err(StoreError::of("orders.find"))?;
    let is_new = |order: &Found, found: &[Found]| {
        !found.iter().any(|it| it.source == order.source && it.order_id == order.order_id)
    };
    for order in called {
        if is_new(&order, &found) {
            found.push(order);
        }
    }
    Ok(found)
}

/// The money of an order's newest version. None where it cannot be read.
pub async fn newest_money(db: impl PgExecutor<'_>, source: &SourceName, order_id: &str) -> Result<Option<Breakdown>> {
    let breakdown = sqlx::query_scalar!(
        r#"-- orders.newest_money
        SELECT breakdown
        FROM order_versions
        WHERE source = $1 AND order_id = $2
        ORDER BY version DESC
        LIMIT 1
        "#,
        source.as_str(),
        order_id,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("orders.newest_money"))?;
    Ok(breakdown.and_then(|breakdown| serde_json::from_value(breakdown).ok()))
}

async fn sources_of(
    db: impl PgExecutor<'_>,
    order_id: &str,
    source: Option<&SourceName>,
) -> Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        r#"-- orders.sources_of
        SELECT s.name, s.kind
        FROM sources s
        WHERE ($2::text IS NULL OR s.name = $2)
          AND (EXISTS (SELECT FROM orders o WHERE o.source = s.name AND o.order_id = $1)
               OR EXISTS (SELECT FROM quarantine q WHERE q.source = s.name AND q.order_id = $1)
               -- A document of many orders has a story, too.
               OR EXISTS (SELECT FROM summaries m WHERE m.source = s.name AND m.id = $1))
        ORDER BY s.name
        "#,
        order_id,
        source.map(SourceName::as_str),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("orders.sources_of"))?;
    Ok(rows.into_iter().map(|row| (row.name, row.kind)).collect())
}

/// Names of products in the newest versions of a vendor's orders, the most frequent first.
pub async fn product_names(db: impl PgExecutor<'_>, vendor_id: &str, limit: u32) -> Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- orders.product_names
        SELECT name AS "name!"
        FROM order_items
        WHERE vendor_id = $1 AND name <> '' AND coalesce(item_type, 'product') = 'product'
        GROUP BY name
        ORDER BY count(*) DESC, name
        LIMIT $2
        "#,
        vendor_id,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("orders.product_names"))
}

async fn versions(db: impl PgExecutor<'_>, source: &str, order_id: &str) -> Result<Vec<StoredVersion>> {
    let rows = sqlx::query!(
        r#"-- orders.versions
        SELECT version, status, vendor_id, order_type, placed_at, total_minor, currency, verdict, content_hash,
               received_at, payload
        FROM order_versions
        WHERE source = $1 AND order_id = $2
        ORDER BY version DESC
        LIMIT $3
        "#,
        source,
        order_id,
        MOST_ROWS,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("orders.versions"))?;
    Ok(rows
        .into_iter()
        .rev()
        .map(|row| StoredVersion {
            version: row.version,
            status: row.status,
            vendor_id: row.vendor_id,
            order_type: row.order_type,
            placed_at: row.placed_at,
            total_minor: row.total_minor,
            currency: row.currency,
            verdict: row.verdict,
            content_hash: row.content_hash,
            received_at: row.received_at,
            payload: row.payload.map(StoredPayload),
        })
        .collect())
}

async fn attempts(db: impl PgExecutor<'_>, source: &str, order_id: &str) -> Result<Vec<StoredAttempt>> {
    let mut rows = sqlx::query_as!(
        StoredAttempt,
        r#"-- orders.attempts
        SELECT sink, version, attempt, step, started_at, finished_at, outcome, http_status, reason, response_excerpt,
               external_id
        FROM attempts
        WHERE source = $1 AND order_id = $2
        ORDER BY id DESC
        LIMIT $3
        "#,
        source,
        order_id,
        MOST_ROWS,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("orders.attempts"))?;
    rows.reverse();
    Ok(rows)
}

async fn deliveries(db: impl PgExecutor<'_>, source: &str, order_id: &str) -> Result<Vec<StoredDelivery>> {
    // The sinks are the way to the key, which starts with one.
    sqlx::query_as!(
        StoredDelivery,
        r#"-- orders.deliveries
        SELECT d.sink, d.state, d.reason, d.hint, d.waiting_for, d.wanted_version, d.applied_version, d.sent_version,
               d.lane, d.attempts,
               CASE WHEN d.open THEN d.next_attempt_at END AS next_attempt_at,
               d.not_before, d.lease_owner, d.lease_expires_at, d.notice, d.external_id,
               d.pending_step ->> 'name' AS pending_step,
               d.first_failed_at, d.last_error, d.updated_at
        FROM sinks k
        JOIN deliveries d ON d.sink = k.name AND d.source = $1 AND d.order_id = $2
        ORDER BY d.sink
        "#,
        source,
        order_id,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("orders.deliveries"))
}

async fn quarantine(db: impl PgExecutor<'_>, source: &str, order_id: &str) -> Result<Vec<StoredRefusal>> {
    let mut rows = sqlx::query_as!(
        StoredRefusal,
        r#"-- orders.quarantine
        SELECT id, version, reason, detail, received_at, resolved_at, resolution
        FROM quarantine
        WHERE source = $1 AND order_id = $2
        ORDER BY id DESC
        LIMIT $3
        "#,
        source,
        order_id,
        MOST_ROWS,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("orders.quarantine"))?;
    rows.reverse();
    Ok(rows)
}

async fn actions(db: impl PgExecutor<'_>, source: &str, order_id: &str) -> Result<Vec<StoredAction>> {
    let mut rows = sqlx::query_as!(
        StoredAction,
        r#"-- orders.actions
        SELECT at, who, action, sink, why, detail
        FROM operator_actions
        WHERE source = $1 AND order_id = $2
        ORDER BY id DESC
        LIMIT $3
        "#,
        source,
        order_id,
        MOST_ROWS,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("orders.actions"))?;
    rows.reverse();
    Ok(rows)
}
