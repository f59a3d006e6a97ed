//! One group of pages, in one statement: the versions, what is newest, what is owed to each sink, and the cursor behind
//! them. All of it is stored or none of it (G1), and only by the holder of the source's lease.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::{Result, StoreError, millis, sources::SourceLease};

/// Order versions as columns, in the order of the stream. `(order_id, version)` may repeat; the first one counts.
#[derive(Debug, Default)]
pub struct Versions<'a> {
    pub order_ids: Vec<&'a str>,
    pub versions: Vec<i64>,
    pub statuses: Vec<&'a str>,
    pub vendor_ids: Vec<Option<&'a str>>,
    pub order_types: Vec<Option<&'a str>>,
    pub placed_at: Vec<Option<DateTime<Utc>>>,
    pub totals_minor: Vec<Option<i64>>,
    pub currencies: Vec<Option<&'a str>>,
    pub content_hashes: Vec<&'a [u8]>,
    pub verdicts: Vec<&'a str>,
    /// Money breakdowns as JSON text.
    pub breakdowns: Vec<&'a str>,
    pub payloads: Vec<&'a str>,
    pub castable: Vec<bool>,
}

/// Orders that could not be taken in, as columns.
#[derive(Debug, Default)]
pub struct Undecodable<'a> {
    pub order_ids: Vec<Option<&'a str>>,
    pub versions: Vec<Option<i64>>,
    pub raw: Vec<&'a [u8]>,
    /// Tells one case from another; see `ingest::page`.
    pub raw_hashes: Vec<Vec<u8>>,
    pub reasons: Vec<&'a str>,
    pub details: Vec<&'a str>,
}

/// The pages behind one commit.
#[derive(Debug)]
pub struct PageGroup<'a> {
    pub versions: Versions<'a>,
    pub undecodable: Undecodable<'a>,
    /// `nextPageId` of the last page; none leaves the stored cursor as it is.
    pub cursor: Option<&'a str>,
    pub pages: i64,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    Committed {
        /// Versions that were new.
        inserted: u64,
        /// Orders that went to the quarantine and did not stand there yet.
        quarantined: u64,
    },
    /// Another process reads this stream now: nothing was written.
    Fenced,
}

/// Stores a group of pages and renews the lease.
pub async fn store_pages(
    db: impl PgExecutor<'_>,
    lease: &SourceLease,
    group: &PageGroup<'_>,
    lease_for: Duration,
    offset_ms: i64,
) -> Result<Stored> {
    let v = &group.versions;
    let q = &group.undecodable;
    let row = sqlx::query!(
        r#"-- ingest.store_pages
        WITH fence AS MATERIALIZED (
            SELECT name, now() + $4 * interval '1 millisecond' AS now
            FROM sources
            WHERE name = $1 AND lease_owner = $2 AND lease_epoch = $3
            FOR UPDATE
        ), ins AS (
            INSERT INTO order_versions (source, order_id, version, status, vendor_id, order_type, placed_at, total_minor,
                                        currency, content_hash, verdict, breakdown, payload, castable, received_at)
            SELECT fence.name, i.order_id, i.version, i.status, i.vendor_id, i.order_type, i.placed_at, i.total_minor,
                   i.currency, i.content_hash, i.verdict, i.breakdown::jsonb, i.payload, i.castable, fence.now
            FROM fence
            CROSS JOIN unnest($6::text[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::timestamptz[],
                              $12::bigint[], $13::text[], $14::bytea[], $15::text[], $16::text[], $17::text[], $18::bool[])
                AS i (order_id, version, status, vendor_id, order_type, placed_at, total_minor, currency, content_hash,
                      verdict, breakdown, payload, castable)
            ON CONFLICT (source, order_id, version) DO NOTHING
            RETURNING order_id, version, status, vendor_id, order_type, placed_at, total_minor, currency
        ), newest AS MATERIALIZED (
            SELECT DISTINCT ON (order_id)
                   order_id, version, status, vendor_id, order_type, placed_at, total_minor, currency,
                   min(version) OVER (PARTITION BY order_id) AS lowest
            FROM ins
            ORDER BY order_id, version DESC
        ), known AS (
            INSERT INTO orders AS o (source, order_id, version, status, vendor_id, order_type, placed_at, total_minor,
                                     currency, first_seen_at, updated_at)
            SELECT fence.name, n.order_id, n.version, n.status, n.vendor_id, n.order_type, n.placed_at, n.total_minor,
                   n.currency, fence.now, fence.now
            FROM newest n
            CROSS JOIN fence
            ORDER BY n.order_id
            ON CONFLICT (source, order_id) DO UPDATE
            SET version = EXCLUDED.version, status = EXCLUDED.status, vendor_id = EXCLUDED.vendor_id,
                order_type = EXCLUDED.order_type, placed_at = EXCLUDED.placed_at, total_minor = EXCLUDED.total_minor,
                currency = EXCLUDED.currency, updated_at = EXCLUDED.updated_at
            WHERE o.version < EXCLUDED.version
            RETURNING order_id
        ), owed AS (
            -- The ORDER BY is the lock order. What a newer version does to a row: see design rule "raising
            -- wanted_version": rows in flight or in doubt learn only the number, closed ones open again. Only a sink of
            -- versions = every has a floor; it goes on walking where it is.
            INSERT INTO deliveries AS d (sink, source, order_id, lane, state, wanted_version, floor_version,
                                         next_attempt_at, waiting_for, updated_at)
            SELECT k.name, fence.name, n.order_id, coalesce(k.lanes ->> n.vendor_id, ''), 'pending', n.version,
                   CASE k.versions_mode WHEN 'every' THEN n.lowest END,
                   fence.now + k.stable_for,
                   CASE WHEN k.stable_for > '0' THEN 'stability' END,
                   fence.now
            FROM newest n
            CROSS JOIN fence
            CROSS JOIN sinks k
            -- A version that comes late, below the newest known, is nothing new to a sink that wants the newest.
            WHERE k.versions_mode = 'every' OR n.order_id IN (SELECT order_id FROM known)
            ORDER BY k.name, fence.name, n.order_id
            ON CONFLICT (sink, source, order_id) DO UPDATE
            SET wanted_version = greatest(d.wanted_version, EXCLUDED.wanted_version),
                floor_version = CASE WHEN EXCLUDED.floor_version < d.floor_version THEN EXCLUDED.floor_version
                                     ELSE d.floor_version END,
                state = CASE WHEN d.state IN ('in_flight', 'in_doubt') OR d.state = 'parked' AND NOT d.curable
                             THEN d.state ELSE 'pending' END,
                next_attempt_at = CASE WHEN d.state IN ('in_flight', 'in_doubt')
                                         OR d.state = 'parked' AND NOT d.curable
                                         OR d.state = 'pending' AND EXCLUDED.floor_version IS NOT NULL
                                       THEN d.next_attempt_at
                                       ELSE greatest(EXCLUDED.next_attempt_at, d.not_before) END,
                attempts = CASE WHEN d.state IN ('in_flight', 'in_doubt') OR d.state = 'parked' AND NOT d.curable
                                  OR d.state = 'pending' AND EXCLUDED.floor_version IS NOT NULL
                                THEN d.attempts ELSE 0 END,
                first_failed_at = CASE WHEN d.state IN ('in_flight', 'in_doubt') OR d.state = 'parked' AND NOT d.curable
                                         OR d.state = 'pending' AND EXCLUDED.floor_version IS NOT NULL
                                       THEN d.first_failed_at END,
                refused_since = CASE WHEN d.state IN ('in_flight', 'in_doubt') OR d.state = 'parked' AND NOT d.curable
                                       OR d.state = 'pending' AND EXCLUDED.floor_version IS NOT NULL
                                     THEN d.refused_since END,
                waiting_for = CASE WHEN d.state IN ('in_flight', 'in_doubt') OR d.state = 'parked' AND NOT d.curable
                                     OR d.state = 'pending' AND EXCLUDED.floor_version IS NOT NULL
                                   THEN d.waiting_for ELSE EXCLUDED.waiting_for END,
                reason = CASE WHEN d.state IN ('in_flight', 'in_doubt') OR d.state = 'parked' AND NOT d.curable
                              THEN d.reason END,
                hint = CASE WHEN d.state IN ('in_flight', 'in_doubt') OR d.state = 'parked' AND NOT d.curable
                            THEN d.hint END,
                priority = CASE WHEN d.state IN ('in_flight', 'in_doubt') THEN d.priority
                                WHEN d.applied_version IS NOT NULL THEN 1
                                -- Nothing was owed of it until now, however old it is.
                                WHEN d.state = 'skipped' THEN 0
                                ELSE d.priority END,
                updated_at = EXCLUDED.updated_at
            WHERE d.wanted_version < EXCLUDED.wanted_version
               -- A lower version of an order whose walk has not begun: it begins there.
               OR d.state = 'pending' AND d.decided_version IS NULL AND d.sent_version IS NULL
                  AND EXCLUDED.floor_version < d.floor_version
            RETURNING d.sink, d.order_id, d.state
        ), cured AS (
            -- Nobody needs to look at what a newer version made due again. Looked for only while somebody has to.
            UPDATE alerts a
            SET resolved_at = fence.now
            FROM owed
            CROSS JOIN fence
            WHERE EXISTS (SELECT FROM alerts WHERE cause IN ('dead_letter', 'gave_up') AND resolved_at IS NULL)
              AND a.cause IN ('dead_letter', 'gave_up') AND a.resolved_at IS NULL
              AND a.subject = owed.sink || '/' || fence.name || '/' || owed.order_id
              AND owed.state = 'pending'
        ), refused AS (
            INSERT INTO quarantine (source, order_id, version, raw, raw_hash, reason, detail, received_at)
            SELECT fence.name, u.order_id, u.version, u.raw, u.raw_hash, u.reason, u.detail, fence.now
            FROM fence
            CROSS JOIN unnest($19::text[], $20::bigint[], $21::bytea[], $22::bytea[], $23::text[], $24::text[])
                AS u (order_id, version, raw, raw_hash, reason, detail)
            ON CONFLICT (source, raw_hash, reason) DO NOTHING
            RETURNING id
        ), conflicting AS (
            -- The same version with another content: the first stays, the second is kept aside. Looked for only when
            -- something was received again; the lateral look-up goes by key whatever the planner knows.
            INSERT INTO quarantine (source, order_id, version, raw, raw_hash, reason, detail, received_at)
            SELECT fence.name, t.order_id, t.version, convert_to(($17::text[])[t.n], 'UTF8'),
                   sha256(t.content_hash || int8send(t.version)),
                   'version_conflict', 'this version was received before with another content', fence.now
            FROM fence
            CROSS JOIN unnest($6::text[], $7::bigint[], $14::bytea[]) WITH ORDINALITY
                AS t (order_id, version, content_hash, n)
            CROSS JOIN LATERAL (
                SELECT v.content_hash
                FROM order_versions v
                WHERE v.source = fence.name AND v.order_id = t.order_id AND v.version = t.version
                LIMIT 1
            ) stored
            WHERE (SELECT count(*) FROM ins) < cardinality($7::bigint[])
              AND stored.content_hash <> t.content_hash
            ON CONFLICT (source, raw_hash, reason) DO NOTHING
            RETURNING id
        ), moved AS (
            UPDATE sources s
            SET cursor = coalesce($25, s.cursor),
                rewind_to = CASE WHEN $25 IS NULL THEN s.rewind_to END,
                -- Without a page (a quarantined order that could be read now) nothing was learnt about the stream.
                cursor_at = CASE WHEN $26::bigint > 0 THEN fence.now ELSE s.cursor_at END,
                last_success_at = CASE WHEN $26::bigint > 0 THEN fence.now ELSE s.last_success_at END,
                lease_expires_at = fence.now + $5 * interval '1 millisecond',
                state = CASE WHEN s.state = 'paused' OR $26::bigint = 0 THEN s.state ELSE 'active' END,
                reason = CASE WHEN s.state = 'paused' OR $26::bigint = 0 THEN s.reason END,
                hint = CASE WHEN s.state = 'paused' OR $26::bigint = 0 THEN s.hint END,
                refused_credential = CASE WHEN $26::bigint = 0 THEN s.refused_credential END,
                failures = CASE WHEN $26::bigint = 0 THEN s.failures ELSE 0 END,
                cursor_refusals = CASE WHEN $26::bigint = 0 THEN s.cursor_refusals ELSE 0 END,
                pages = s.pages + $26::bigint,
                versions = s.versions + (SELECT count(*) FROM ins),
                duplicates = s.duplicates + cardinality($7::bigint[]) - (SELECT count(*) FROM ins),
                quarantined = s.quarantined + (SELECT count(*) FROM refused) + (SELECT count(*) FROM conflicting)
            FROM fence
            WHERE s.name = fence.name
        )
        SELECT (SELECT count(*) FROM fence) AS "held!",
               (SELECT count(*) FROM ins) AS "inserted!",
               (SELECT count(*) FROM refused) + (SELECT count(*) FROM conflicting) AS "quarantined!"
        "#,
        lease.source.as_str(),
        lease.owner,
        lease.epoch,
        offset_ms as f64,
        millis(lease_for) as f64,
        &v.order_ids[..] as _,
        &v.versions[..],
        &v.statuses[..] as _,
        &v.vendor_ids[..] as _,
        &v.order_types[..] as _,
        &v.placed_at[..] as _,
        &v.totals_minor[..] as _,
        &v.currencies[..] as _,
        &v.content_hashes[..] as _,
        &v.verdicts[..] as _,
        &v.breakdowns[..] as _,
        &v.payloads[..] as _,
        &v.castable[..],
        &q.order_ids[..] as _,
        &q.versions[..] as _,
        &q.raw[..] as _,
        &q.raw_hashes[..],
        &q.reasons[..] as _,
        &q.details[..] as _,
        group.cursor,
        group.pages,
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("ingest.store_pages"))?;
    Ok(match row.held {
        1 => Stored::Committed { inserted: row.inserted as u64, quarantined: row.quarantined as u64 },
        _ => Stored::Fenced,
    })
}
