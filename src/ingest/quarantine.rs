//! Reads quarantined orders again, for instance with a newer version of this program, and stores those that it can read
//! now, through the same statement as a page and under the source's lease.
//!
//! A crash between storing and resolving leaves a case that the next try finds known.

use std::time::Duration;

use sqlx::PgPool;

use super::page;
use crate::{
    source::scoffable::wire::{Page, RawOrder},
    store::{
        ingest::{PageGroup, Stored, Undecodable, store_pages},
        operations::{Operated, Operator},
        quarantine::{self, Case, Resolution},
        sources::{self, SourceLease},
    },
};

/// How long a source is held for one case after the other; each case that is stored prolongs it.
const LEASE: Duration = Duration::from_secs(30);

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "became", rename_all = "snake_case")]
pub enum Became {
    /// Its order version is stored and owed like any other.
    Stored,
    /// The same version is stored already, with the same content.
    Known,
    /// Its source is being read right now: try again in a moment.
    Busy,
    /// It cannot be taken in now either.
    Refused { reason: String },
}

/// A case and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tried {
    pub id: i64,
    pub source: String,
    #[serde(flatten)]
    pub became: Became,
}

/// Tries these cases again, each by itself.
pub async fn retry(
    pool: &PgPool,
    cases: &[Case],
    owner: &str,
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<Vec<Tried>> {
    let mut tried = Vec::with_capacity(cases.len());
    for of_one_source in cases.chunk_by(|one, next| one.source == next.source) {
        let source = &of_one_source[0].source;
        let lease = sources::borrow(pool, source, owner, LEASE, offset_ms).await?;
        let Some(lease) = lease else {
            let busy = |case: &Case| Tried { id: case.id, source: source.to_string(), became: Became::Busy };
            tried.extend(of_one_source.iter().map(busy));
            continue;
        };
        let done = retry_of(pool, &lease, of_one_source, by, offset_ms).await;
        sources::give_back(pool, &lease).await?;
        tried.extend(done?);
    }
    Ok(tried)
}

async fn retry_of(
    pool: &PgPool,
    lease: &SourceLease,
    cases: &[Case],
    by: Operator<'_>,
    offset_ms: i64,
) -> Operated<Vec<Tried>> {
    let mut tried = Vec::with_capacity(cases.len());
    for case in cases {
        let became = retry_one(pool, lease, case.id, by, offset_ms).await?;
        tried.push(Tried { id: case.id, source: lease.source.to_string(), became });
    }
    Ok(tried)
}

async fn retry_one(pool: &PgPool, lease: &SourceLease, id: i64, by: Operator<'_>, offset_ms: i64) -> Operated<Became> {
    let raw = quarantine::raw(pool, id).await?;
    let page = Page { orders: vec![RawOrder::new(raw.into())], has_more: false, next_page_id: None };
    let decoded = page::decode(page);
    if decoded.rows.is_empty() {
        let again = page::refused_columns(decoded.refused.iter());
        let reason = again.reasons.first().copied().unwrap_or("undecodable").to_owned();
        return Ok(Became::Refused { reason });
    }
    let (versions, _) = page::columns(decoded.rows.iter());
    let (order_id, version, hash) = (versions.order_ids[0], versions.versions[0], versions.content_hashes[0]);
    // Not a page: cursor and state of the stream stay as they are.
    let group = PageGroup { versions, undecodable: Undecodable::default(), cursor: None, pages: 0 };
    let resolution = match store_pages(pool, lease, &group, LEASE, offset_ms).await {
        Ok(Stored::Committed { inserted: 0, .. }) => Resolution::Known,
        Ok(Stored::Committed { .. }) => Resolution::Stored,
        Ok(Stored::Fenced) => return Ok(Became::Busy),
        Err(error) if error.is_about_the_data() => {
            return Ok(Became::Refused { reason: "refused_by_database".to_owned() });
        }
        Err(error) => return Err(error.into()),
    };
    let resolved = quarantine::resolve(pool, id, (order_id, version, hash), resolution, by, offset_ms).await?;
    Ok(match (resolved, resolution) {
        (true, Resolution::Stored) => Became::Stored,
        (true, Resolution::Known) => Became::Known,
        (false, _) => Became::Refused { reason: "version_conflict".to_owned() },
    })
}
