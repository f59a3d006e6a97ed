//! Erasure: what is personal of an order leaves every table, and what proves the order stays: ids, versions, statuses, amounts,
//! digests, receipts, states. So the order is still known when it comes again, and its money is proven as before.
//!
//! Personal is what retention removes by age ([`super::retention`]), and what may be left of it where it never should be:
//! payloads, stored steps, bytes in quarantine, excerpts of answers. And keys of links that are a customer's e-mail.

use serde::Serialize;
use sqlx::{PgExecutor, PgPool};

use super::{
    Result, StoreError,
    operations::{Operated, Operator, Refusal, begin, commit},
    retention::Place,
};
use crate::domain::ids::{OrderId, OrderKey, SourceName};

/// An order, and what there is to erase of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    pub order: OrderKey,
    pub personal: Personal,
    /// `SINK (STATE)` of those that it is still owed to.
    pub owed: Vec<String>,
}

/// How much of an order is personal, or was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Personal {
    /// Orders as received, one per version.
    pub payloads: u64,
    /// Excerpts of what destinations answered.
    pub answers: u64,
    /// Cases in quarantine.
    pub quarantine: u64,
    /// Steps as they were sent.
    pub steps: u64,
}

impl Personal {
    pub fn total(self) -> u64 {
        self.payloads + self.answers + self.quarantine + self.steps
    }
}

impl std::ops::AddAssign for Personal {
    fn add_assign(&mut self, more: Self) {
        self.payloads += more.payloads;
        self.answers += more.answers;
        self.quarantine += more.quarantine;
        self.steps += more.steps;
    }
}

/// The orders of these ids. Refused if one is unknown, or is one of several sources and none was named.
pub async fn named(
    db: impl PgExecutor<'_>,
    source: Option<&SourceName>,
    order_ids: &[String],
) -> Operated<Vec<OrderKey>> {
    let rows = sqlx::query!(
        r#"-- erasure.named
        SELECT n.order_id AS "order_id!", array_agg(DISTINCT k.source ORDER BY k.source) FILTER (WHERE k.source IS NOT NULL) AS sources
        FROM unnest($1::text[]) AS n (order_id)
        LEFT JOIN LATERAL (
            SELECT o.source
            FROM sources s -- few rows, and the way to the orders' key, which starts with the source
            JOIN orders o ON o.source = s.name AND o.order_id = n.order_id
            UNION ALL
            SELECT q.source
            FROM quarantine q
            WHERE q.order_id = n.order_id
        ) k ON $2::text IS NULL OR k.source = $2
        GROUP BY n.order_id
        ORDER BY n.order_id
        "#,
        order_ids,
        source.map(SourceName::as_str),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("erasure.named"))?;
    let mut orders = Vec::with_capacity(rows.len());
    let mut refusals = Vec::new();
    for row in rows {
        let sources = row.sources.unwrap_or_default();
        match &sources[..] {
            [] => refusals.push(Refusal::NoOrder { order_id: row.order_id }),
            [one] => orders.extend(key(one, row.order_id)),
            _ => refusals.push(Refusal::SeveralSources { order_id: row.order_id, sources }),
        }
    }
    if refusals.is_empty() { Ok(orders) } else { Err(super::operations::OperationError::Refused(refusals)) }
}

fn key(source: &str, order_id: String) -> Option<OrderKey> {
    Some(OrderKey { source: SourceName::parse(source).ok()?, order_id: OrderId::new(order_id) })
}

/// What there is to erase of these orders.
pub async fn survey(db: impl PgExecutor<'_>, orders: &[OrderKey]) -> Result<Vec<Surveyed>> {
    let (sources, order_ids) = columns(orders);
    let rows = sqlx::query!(
        r#"-- erasure.survey
        SELECT k.source AS "source!", k.order_id AS "order_id!",
               (SELECT count(*)
                FROM order_versions v
                WHERE v.source = k.source AND v.order_id = k.order_id AND v.payload IS NOT NULL) AS "payloads!",
               (SELECT count(*)
                FROM attempts a
                WHERE a.source = k.source AND a.order_id = k.order_id AND a.response_excerpt IS NOT NULL) AS "answers!",
               (SELECT count(*)
                FROM quarantine q
                WHERE q.source = k.source AND q.order_id = k.order_id AND (q.raw <> '' OR q.detail IS NOT NULL)) AS "quarantine!",
               d.steps AS "steps!", d.owed
        FROM unnest($1::text[], $2::text[]) AS k (source, order_id)
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE d.pending_step IS NOT NULL OR d.last_error IS NOT NULL) AS steps,
                   array_agg(d.sink || ' (' || d.state || ')' ORDER BY d.sink)
                       FILTER (WHERE d.state NOT IN ('applied', 'skipped')) AS owed
            FROM sinks s
            JOIN deliveries d ON d.sink = s.name AND d.source = k.source AND d.order_id = k.order_id
        ) d
        ORDER BY k.source, k.order_id
        "#,
        &sources[..] as _,
        &order_ids[..] as _,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("erasure.survey"))?;
    let surveyed = rows.into_iter().filter_map(|row| {
        Some(Surveyed {
            order: key(&row.source, row.order_id)?,
            personal: Personal {
                payloads: row.payloads as u64,
                answers: row.answers as u64,
                quarantine: row.quarantine as u64,
                steps: row.steps as u64,
            },
            owed: row.owed.unwrap_or_default(),
        })
    });
    Ok(surveyed.collect())
}

fn columns(orders: &[OrderKey]) -> (Vec<&str>, Vec<&str>) {
    orders.iter().map(|order| (order.source.as_str(), order.order_id.as_str())).unzip()
}

/// The orders as received of these, as far as they are kept.
pub async fn payloads(db: impl PgExecutor<'_>, orders: &[OrderKey]) -> Result<Vec<String>> {
    let (sources, order_ids) = columns(orders);
    sqlx::query_scalar!(
        r#"-- erasure.payloads
        SELECT v.payload AS "payload!"
        FROM unnest($1::text[], $2::text[]) AS k (source, order_id)
        JOIN order_versions v ON v.source = k.source AND v.order_id = k.order_id
        WHERE v.payload IS NOT NULL
        "#,
        &sources[..] as _,
        &order_ids[..] as _,
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("erasure.payloads"))
}

/// Versions that may be about somebody, of one stretch of all there are.
#[derive(Debug, Clone, Default)]
pub struct Mentions {
    /// With the order as received: whether it names him is for the reader to say.
    pub of: Vec<(OrderKey, String)>,
    /// Where the next stretch begins; none: this was the last.
    pub last: Option<Place>,
}

/// Looks through the next `limit` versions for those that hold this text, in lower case, or that write some text in another
/// way (escapes).
pub async fn mentions(
    db: impl PgExecutor<'_>,
    text: &str,
    source: Option<&SourceName>,
    after: Option<&Place>,
    limit: u32,
) -> Result<Mentions> {
    let (after_source, order_id, version) = after.map_or(("", "", 0), |(s, o, v)| (s.as_str(), o.as_str(), *v));
    let rows = sqlx::query!(
        r#"-- erasure.mentions
        WITH stretch AS MATERIALIZED (
            SELECT source, order_id, version,
                   CASE WHEN ($6::text IS NULL OR source = $6)
                             AND (position($5 IN lower(payload)) > 0 OR position('\u' IN payload) > 0) THEN payload END AS payload
            FROM order_versions
            WHERE (source, order_id, version) > ($1, $2, $3)
            ORDER BY source, order_id, version
            LIMIT $4
        ), ends AS (
            SELECT source, order_id, version
            FROM stretch
            ORDER BY source DESC, order_id DESC, version DESC
            LIMIT 1
        )
        SELECT s.source AS "source!", s.order_id AS "order_id!", s.version AS "version!", s.payload,
               e.source IS NOT NULL AS "is_last!"
        FROM stretch s
        LEFT JOIN ends e USING (source, order_id, version)
        WHERE s.payload IS NOT NULL OR e.source IS NOT NULL
        ORDER BY s.source, s.order_id, s.version
        "#,
        after_source,
        order_id,
        version,
        i64::from(limit),
        text,
        source.map(SourceName::as_str),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("erasure.mentions"))?;
    let mut mentions = Mentions::default();
    for row in rows {
        if row.is_last {
            mentions.last = Some((row.source.clone(), row.order_id.clone(), row.version));
        }
        if let (Some(payload), Some(order)) = (row.payload, key(&row.source, row.order_id)) {
            mentions.of.push((order, payload));
        }
    }
    Ok(mentions)
}

/// Erases one order. Refused while something is owed of it: what would be sent would be gone. Twice changes nothing.
pub async fn erase(pool: &PgPool, order: &OrderKey, by: Operator<'_>, offset_ms: i64) -> Operated<Personal> {
    let (source, order_id) = (order.source.as_str(), order.order_id.as_str());
    let mut tx = begin(pool).await?;
    // Whoever owes a version anew holds it first: it has committed, which the next statement sees, or waits for us and
    // finds the content gone.
    sqlx::query_scalar!(
        r#"-- erasure.lock_versions
        SELECT version FROM order_versions WHERE source = $1 AND order_id = $2 ORDER BY version FOR UPDATE
        "#,
        source,
        order_id,
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::of("erasure.lock_versions"))?;
    let deliveries = sqlx::query!(
        r#"-- erasure.lock_deliveries
        SELECT d.sink, d.state
        FROM sinks s
        JOIN deliveries d ON d.sink = s.name AND d.source = $1 AND d.order_id = $2
        ORDER BY d.sink
        FOR UPDATE OF d
        "#,
        source,
        order_id,
    )
    .fetch_all(&mut *tx)
    .await
    .map_err(StoreError::of("erasure.lock_deliveries"))?;
    let owed = deliveries.iter().filter(|row| !["applied", "skipped"].contains(&row.state.as_str()));
    let owed: Vec<String> = owed.map(|row| format!("{} ({})", row.sink, row.state)).collect();
    if !owed.is_empty() {
        return Err(Refusal::StillOwed { order_id: order_id.to_owned(), sinks: owed }.into());
    }
    let done = sqlx::query!(
        r#"-- erasure.erase
        WITH clock AS MATERIALIZED (
            SELECT now() + $3 * interval '1 millisecond' AS now
        ), emptied AS (
            UPDATE order_versions
            SET payload = NULL
            WHERE source = $1 AND order_id = $2 AND payload IS NOT NULL
            RETURNING 1
        ), answers AS (
            UPDATE attempts
            SET response_excerpt = NULL
            WHERE source = $1 AND order_id = $2 AND response_excerpt IS NOT NULL
            RETURNING 1
        ), cases AS (
            UPDATE quarantine
            SET raw = '', detail = NULL, resolved_at = coalesce(resolved_at, clock.now),
                resolution = coalesce(resolution, 'erased')
            FROM clock
            WHERE source = $1 AND order_id = $2 AND (raw <> '' OR detail IS NOT NULL)
            RETURNING 1
        ), steps AS (
            UPDATE deliveries d
            SET pending_step = NULL, last_error = NULL
            FROM sinks s
            WHERE d.sink = s.name AND d.source = $1 AND d.order_id = $2
              AND (d.pending_step IS NOT NULL OR d.last_error IS NOT NULL)
            RETURNING 1
        ), counted AS MATERIALIZED (
            SELECT (SELECT count(*) FROM emptied) AS payloads, (SELECT count(*) FROM answers) AS answers,
                   (SELECT count(*) FROM cases) AS quarantine, (SELECT count(*) FROM steps) AS steps
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, source, order_id, why, detail)
            SELECT clock.now, $4, 'erase', $1, $2, $5, to_jsonb(c)
            FROM counted c
            CROSS JOIN clock
            WHERE c.payloads + c.answers + c.quarantine + c.steps > 0
        )
        SELECT payloads AS "payloads!", answers AS "answers!", quarantine AS "quarantine!", steps AS "steps!" FROM counted
        "#,
        source,
        order_id,
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(StoreError::of("erasure.erase"))?;
    commit(tx).await?;
    Ok(Personal {
        payloads: done.payloads as u64,
        answers: done.answers as u64,
        quarantine: done.quarantine as u64,
        steps: done.steps as u64,
    })
}

/// What is known of customers beside their orders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traces {
    /// Which records of destinations are theirs.
    pub links: u64,
    /// Cases in quarantine that nobody can tell the order of.
    pub quarantine: u64,
}

/// What there is of customers with these keys (of [links](super::links)), and of cases without an order that hold one of
/// these texts, in lower case.
pub async fn traces(db: impl PgExecutor<'_>, keys: &[String], texts: &[String]) -> Result<Traces> {
    let row = sqlx::query!(
        r#"-- erasure.traces
        SELECT (SELECT count(*) FROM links WHERE kind = 'customer' AND local_key = ANY ($1)) AS "links!",
               (SELECT count(*)
                FROM quarantine q
                WHERE q.order_id IS NULL AND q.raw <> ''
                  AND EXISTS (SELECT FROM unnest($2::text[]) AS t (text)
                              WHERE position(t.text IN lower(encode(q.raw, 'escape'))) > 0)) AS "quarantine!"
        "#,
        keys,
        texts,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("erasure.traces"))?;
    Ok(Traces { links: row.links as u64, quarantine: row.quarantine as u64 })
}

/// Erases these traces. A customer who orders again is looked for in the destination anew.
pub async fn erase_traces(
    db: impl PgExecutor<'_>,
    keys: &[String],
    texts: &[String],
    by: Operator<'_>,
    offset_ms: i64,
) -> Result<Traces> {
    let row = sqlx::query!(
        r#"-- erasure.erase_traces
        WITH clock AS MATERIALIZED (
            SELECT now() + $3 * interval '1 millisecond' AS now
        ), unlinked AS (
            DELETE FROM links
            WHERE kind = 'customer' AND local_key = ANY ($1)
            RETURNING sink, remote_id
        ), nameless AS (
            -- Our own code for him names his id.
            UPDATE catalogue_entities e
            SET key = NULL
            FROM unlinked u
            WHERE e.sink = u.sink AND e.kind = 'customer' AND e.remote_id = u.remote_id AND e.key IS NOT NULL
        ), cases AS (
            UPDATE quarantine q
            SET raw = '', detail = NULL, resolved_at = coalesce(q.resolved_at, clock.now),
                resolution = coalesce(q.resolution, 'erased')
            FROM clock
            WHERE q.order_id IS NULL AND q.raw <> ''
              AND EXISTS (SELECT FROM unnest($2::text[]) AS t (text)
                          WHERE position(t.text IN lower(encode(q.raw, 'escape'))) > 0)
            RETURNING 1
        ), counted AS MATERIALIZED (
            SELECT (SELECT count(*) FROM unlinked) AS links, (SELECT count(*) FROM cases) AS quarantine
        ), noted AS (
            INSERT INTO operator_actions (at, who, action, why, detail)
            SELECT clock.now, $4, 'erase', $5, to_jsonb(c)
            FROM counted c
            CROSS JOIN clock
            WHERE c.links + c.quarantine > 0
        )
        SELECT links AS "links!", quarantine AS "quarantine!" FROM counted
        "#,
        keys,
        texts,
        offset_ms as f64,
        by.who,
        by.why,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("erasure.erase_traces"))?;
    Ok(Traces { links: row.links as u64, quarantine: row.quarantine as u64 })
}
