//! Which record of ours is which record in a destination: list, set, lock, break.

use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{Contradiction, Desk, listed};
use crate::{
    domain::ids::SinkName,
    sinks::links::{LinkKey, LinkKind},
    store::{
        links::{self, Change, Filter, Listed},
        operations::{self, Operated},
    },
};

/// Which links to list; none: any.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    pub sink: Option<SinkName>,
    pub kind: Option<LinkKind>,
    /// Only those that documents cannot use.
    #[serde(default)]
    pub problems: bool,
    #[serde(default = "listed")]
    pub limit: u32,
}

#[derive(Debug, Serialize)]
pub struct Listing {
    pub links: Vec<Listed>,
}

/// By sink, kind and key.
pub async fn list(pool: &PgPool, list: &List) -> Operated<Listing> {
    if let Some(sink) = &list.sink {
        let mut db = pool.acquire().await.map_err(crate::store::StoreError::of("links.begin"))?;
        operations::sink_must_exist(&mut db, sink).await?;
    }
    let filter = Filter { sink: list.sink.as_ref(), kind: list.kind, problems: list.problems, limit: list.limit };
    Ok(Listing { links: links::list(pool, filter).await? })
}

/// A link that a person means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    pub sink: SinkName,
    pub kind: LinkKind,
    /// As orders have it: a customer's id or e-mail; a product's reference, or its name in lower case.
    pub key: String,
}

impl Which {
    fn link(&self) -> LinkKey<'_> {
        LinkKey { sink: &self.sink, kind: self.kind, local_key: &self.key }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawSet")]
pub struct Set {
    pub which: Which,
    /// The destination's id, or code, of the record.
    pub remote_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet {
    sink: SinkName,
    kind: LinkKind,
    key: String,
    remote_id: String,
}

impl TryFrom<RawSet> for Set {
    type Error = Contradiction;
    fn try_from(raw: RawSet) -> Result<Self, Contradiction> {
        let RawSet { sink, kind, key, remote_id } = raw;
        if key.trim().is_empty() || remote_id.trim().is_empty() {
            return Err(Contradiction("`key` and `remote_id` must not be empty"));
        }
        Ok(Self { which: Which { sink, kind, key }, remote_id })
    }
}

/// What became of a link.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub sink: SinkName,
    pub kind: LinkKind,
    pub key: String,
    pub done: &'static str,
}

impl Answer {
    fn of(which: &Which, done: &'static str) -> Self {
        Self { sink: which.sink.clone(), kind: which.kind, key: which.key.clone(), done }
    }
}

/// Links and locks: the program never changes it.
pub async fn set(desk: Desk<'_>, set: &Set) -> Operated<Answer> {
    links::set(desk.pool, set.which.link(), &set.remote_id, desk.by, desk.offset_ms).await?;
    Ok(Answer::of(&set.which, "linked"))
}

pub async fn change(desk: Desk<'_>, which: &Which, change: Change) -> Operated<Answer> {
    links::change(desk.pool, which.link(), change, desk.by, desk.offset_ms).await?;
    Ok(Answer::of(
        which,
        match change {
            Change::Lock => "locked",
            Change::Unlock => "unlocked",
            Change::Break => "broken",
        },
    ))
}
