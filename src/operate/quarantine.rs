//! Orders that could not be taken in: list, and read again. Never their bytes, which may hold personal data.

use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{Contradiction, Desk, listed};
use crate::{
    app,
    domain::ids::SourceName,
    ingest::quarantine::{self as again, Became},
    store::{
        operations::Operated,
        quarantine::{self, Quarantined},
    },
};

/// Which unresolved cases to list; none: any.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    pub source: Option<SourceName>,
    /// Only cases older than this one.
    pub after: Option<i64>,
    #[serde(default = "listed")]
    pub limit: u32,
}

#[derive(Debug, Serialize)]
pub struct Listing {
    pub quarantine: Vec<Quarantined>,
    /// There may be more behind this.
    pub next: Option<i64>,
}

/// Newest first.
pub async fn list(pool: &PgPool, list: &List) -> Operated<Listing> {
    let quarantine = quarantine::unresolved(pool, list.source.as_ref(), list.after, list.limit).await?;
    let next = quarantine.last().filter(|_| quarantine.len() == list.limit as usize).map(|case| case.id);
    Ok(Listing { quarantine, next })
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawRetry")]
pub enum Retry {
    /// At least one.
    Cases(Vec<i64>),
    /// Of this source or any; but versions that are stored with another content.
    All { source: Option<SourceName> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetry {
    #[serde(default)]
    ids: Vec<i64>,
    #[serde(default)]
    all: bool,
    source: Option<SourceName>,
}

impl TryFrom<RawRetry> for Retry {
    type Error = Contradiction;
    fn try_from(raw: RawRetry) -> Result<Self, Contradiction> {
        match (raw.all, raw.ids.is_empty(), raw.source) {
            (true, true, source) => Ok(Self::All { source }),
            (false, false, None) => Ok(Self::Cases(raw.ids)),
            (false, false, Some(_)) => Err(Contradiction("`source` goes with `all`")),
            _ => Err(Contradiction("say either `ids` or `all`: true")),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Tried {
    pub quarantine: Vec<again::Tried>,
}

impl Tried {
    /// Whether one of them stays in quarantine.
    pub fn is_left(&self) -> bool {
        self.quarantine.iter().any(|case| matches!(case.became, Became::Busy | Became::Refused { .. }))
    }
}

/// Reads them again and stores those that can be read now.
pub async fn retry(desk: Desk<'_>, retry: &Retry) -> Operated<Tried> {
    let cases = match retry {
        Retry::Cases(ids) => quarantine::named(desk.pool, ids).await?,
        Retry::All { source } => quarantine::all_open(desk.pool, source.as_ref()).await?,
    };
    let quarantine = again::retry(desk.pool, &cases, &app::owner(), desk.by, desk.offset_ms).await?;
    Ok(Tried { quarantine })
}
