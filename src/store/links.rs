//! `links`: which record of ours is which record in a destination.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use serde::Serialize;
use sqlx::{PgExecutor, PgPool};

use super::{
    Result, StoreError, millis,
    operations::{self, Operated, Operator, Refusal},
};
use crate::{
    clock::Clock,
    domain::ids::SinkName,
    sinks::{
        links::{How, Link, LinkKey, LinkKind, LinkStore, Linked, MayMake, ProductCopy},
        oauth::StoreFailed,
    },
};

/// The sinks' way to their rows.
#[derive(Debug, Clone)]
pub struct Links {
    pub pool: PgPool,
    pub clock: Clock,
}

type Answer<'a, T> = BoxFuture<'a, std::result::Result<T, StoreFailed>>;

impl LinkStore for Links {
    fn find<'a>(&'a self, key: LinkKey<'a>) -> Answer<'a, Option<Link>> {
        Box::pin(async move { find(&self.pool, key).await.map_err(port) })
    }

    fn link<'a>(&'a self, key: LinkKey<'a>, remote_id: &'a str, how: How) -> Answer<'a, Linked> {
        Box::pin(async move { link(&self.pool, key, remote_id, how, self.clock.offset_ms()).await.map_err(port) })
    }

    fn follow<'a>(&'a self, key: LinkKey<'a>, survivor: &'a str) -> Answer<'a, Linked> {
        Box::pin(async move { follow(&self.pool, key, survivor).await.map_err(port) })
    }

    fn products<'a>(&'a self, sink: &'a SinkName) -> Answer<'a, Vec<(String, String)>> {
        Box::pin(async move { products(&self.pool, sink).await.map_err(port) })
    }

    fn attempt<'a>(&'a self, key: LinkKey<'a>, lasts: Duration) -> Answer<'a, MayMake> {
        Box::pin(async move { attempt(&self.pool, key, lasts, self.clock.offset_ms()).await.map_err(port) })
    }
}

/// Ids and names of a sink's products that are there and to be used, by the copy that is kept of them.
async fn products(db: impl PgExecutor<'_>, sink: &SinkName) -> Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        r#"-- links.products
        SELECT remote_id, name AS "name!"
        FROM catalogue_entities
        WHERE sink = $1 AND kind = 'product' AND remote_state = 'active' AND name IS NOT NULL
        ORDER BY remote_id
        "#,
        sink.as_str(),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("links.products"))?;
    Ok(rows.into_iter().map(|row| (row.remote_id, row.name)).collect())
}

/// What is known of a sink's products without asking it.
pub async fn product_copy(pool: &PgPool, sink: &SinkName) -> Result<ProductCopy> {
    let linked = sqlx::query!(
        r#"-- links.linked_products
        SELECT l.local_key, l.remote_id AS "remote_id!"
        FROM links l
        LEFT JOIN catalogue_entities e ON e.sink = l.sink AND e.kind = l.kind AND e.remote_id = l.remote_id
        WHERE l.sink = $1 AND l.kind = 'product' AND l.remote_id IS NOT NULL AND l.broken_at IS NULL
          AND coalesce(e.remote_state, 'active') = 'active'
        "#,
        sink.as_str(),
    )
    .fetch_all(pool)
    .await
    .map_err(StoreError::of("links.linked_products"))?;
    Ok(ProductCopy {
        names: products(pool, sink).await?.into_iter().collect(),
        linked: linked.into_iter().map(|row| (row.local_key, row.remote_id)).collect(),
    })
}

fn port(error: StoreError) -> StoreFailed {
    StoreFailed(Box::new(error))
}

/// The link of a key. One that is only being made is none yet.
pub async fn find(db: impl PgExecutor<'_>, key: LinkKey<'_>) -> Result<Option<Link>> {
    let row = sqlx::query!(
        r#"-- links.find
        SELECT l.remote_id AS "remote_id!", l.how AS "how!",
               l.broken_at IS NOT NULL
                   OR l.kind = 'product' AND coalesce(e.remote_state, 'active') <> 'active' AS "is_broken!"
        FROM links l
        LEFT JOIN catalogue_entities e ON e.sink = l.sink AND e.kind = l.kind AND e.remote_id = l.remote_id
        WHERE l.sink = $1 AND l.kind = $2 AND l.local_key = $3 AND l.remote_id IS NOT NULL
        "#,
        key.sink.as_str(),
        key.kind.as_str(),
        key.local_key,
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("links.find"))?;
    Ok(row
        .and_then(|row| Some(Link { remote_id: row.remote_id, how: How::parse(&row.how)?, is_broken: row.is_broken })))
}

/// Links a key that has none; by a person's word whatever it has.
pub async fn link(pool: &PgPool, key: LinkKey<'_>, remote_id: &str, how: How, offset_ms: i64) -> Result<Linked> {
    let done = sqlx::query!(
        r#"-- links.link
        INSERT INTO links AS l (sink, kind, local_key, remote_id, how, locked, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 millisecond')
        ON CONFLICT (sink, kind, local_key) DO UPDATE
        SET remote_id = EXCLUDED.remote_id, how = EXCLUDED.how, locked = EXCLUDED.locked,
            created_at = EXCLUDED.created_at, broken_at = NULL
        WHERE l.remote_id IS NULL
           OR EXCLUDED.locked AND (NOT l.locked OR l.remote_id <> EXCLUDED.remote_id)
        "#,
        key.sink.as_str(),
        key.kind.as_str(),
        key.local_key,
        remote_id,
        how.as_str(),
        how == How::Manual,
        offset_ms as f64,
    )
    .execute(pool)
    .await;
    match done {
        Ok(done) if done.rows_affected() == 1 => Ok(Linked::Yes),
        Ok(_) => standing(pool, key, remote_id).await,
        Err(error) => taken("links.link", error),
    }
}

/// Replaces a link by its survivor, unless a person made it.
pub async fn follow(pool: &PgPool, key: LinkKey<'_>, survivor: &str) -> Result<Linked> {
    let done = sqlx::query!(
        r#"-- links.follow
        UPDATE links
        SET remote_id = $4, broken_at = NULL
        WHERE sink = $1 AND kind = $2 AND local_key = $3 AND remote_id IS NOT NULL AND NOT locked
        "#,
        key.sink.as_str(),
        key.kind.as_str(),
        key.local_key,
        survivor,
    )
    .execute(pool)
    .await;
    match done {
        Ok(done) if done.rows_affected() == 1 => Ok(Linked::Yes),
        Ok(_) => standing(pool, key, survivor).await,
        Err(error) => taken("links.follow", error),
    }
}

/// Has every link to a record lead to the one that replaced it, by the destination's own word. One of a person stays, and so
/// does a customer's whose survivor is linked to another.
pub async fn follow_merged(
    pool: &PgPool,
    sink: &SinkName,
    kind: LinkKind,
    remote_id: &str,
    survivor: &str,
) -> Result<Linked> {
    let done = sqlx::query!(
        r#"-- links.follow_merged
        UPDATE links
        SET remote_id = $4, broken_at = NULL
        WHERE sink = $1 AND kind = $2 AND remote_id = $3 AND NOT locked
        "#,
        sink.as_str(),
        kind.as_str(),
        remote_id,
        survivor,
    )
    .execute(pool)
    .await;
    match done {
        Ok(_) => Ok(Linked::Yes),
        Err(error) => taken("links.follow_merged", error),
    }
}

/// What a key is linked to that could not be linked as wished.
async fn standing(pool: &PgPool, key: LinkKey<'_>, wished: &str) -> Result<Linked> {
    Ok(match find(pool, key).await? {
        Some(link) if link.remote_id != wished => Linked::Otherwise(link),
        _ => Linked::Yes,
    })
}

/// Of two keys that want one customer, the first has it.
fn taken(operation: &'static str, source: sqlx::Error) -> Result<Linked> {
    let is_taken = source.as_database_error().is_some_and(|error| error.constraint() == Some("links_customer"));
    if is_taken { Ok(Linked::Taken) } else { Err(StoreError { operation, source }) }
}

/// Gives the right to make a record there to one asker.
pub async fn attempt(pool: &PgPool, key: LinkKey<'_>, lasts: Duration, offset_ms: i64) -> Result<MayMake> {
    let done = sqlx::query!(
        r#"-- links.attempt
        WITH clock AS (
            SELECT now() + $4 * interval '1 millisecond' AS now
        )
        INSERT INTO links AS l (sink, kind, local_key, attempted_at, created_at)
        SELECT $1, $2, $3, clock.now, clock.now
        FROM clock
        ON CONFLICT (sink, kind, local_key) DO UPDATE
        SET attempted_at = EXCLUDED.attempted_at
        WHERE l.remote_id IS NULL AND l.attempted_at <= EXCLUDED.attempted_at - $5 * interval '1 millisecond'
        "#,
        key.sink.as_str(),
        key.kind.as_str(),
        key.local_key,
        offset_ms as f64,
        millis(lasts) as f64,
    )
    .execute(pool)
    .await
    .map_err(StoreError::of("links.attempt"))?;
    if done.rows_affected() == 1 {
        return Ok(MayMake::Yes);
    }
    Ok(find(pool, key).await?.map_or(MayMake::Busy, MayMake::Linked))
}

/// Which links to list; none: any.
#[derive(Debug, Clone, Copy)]
pub struct Filter<'a> {
    pub sink: Option<&'a SinkName>,
    pub kind: Option<LinkKind>,
    /// Only those that documents cannot use.
    pub problems: bool,
    pub limit: u32,
}

/// A link as a person sees it.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    pub sink: String,
    pub kind: String,
    pub local_key: String,
    pub remote_id: Option<String>,
    pub how: Option<String>,
    pub locked: bool,
    pub created_at: DateTime<Utc>,
    /// What is wrong with it; none: nothing.
    pub problem: Option<String>,
    pub hint: Option<String>,
}

/// Links by sink, kind and key.
pub async fn list(db: impl PgExecutor<'_>, filter: Filter<'_>) -> Result<Vec<Listed>> {
    sqlx::query_as!(
        Listed,
        r#"-- links.list
        SELECT l.sink, l.kind, l.local_key, l.remote_id, l.how, l.locked, l.created_at, p.problem AS "problem?",
               p.hint AS "hint?"
        FROM links l
        LEFT JOIN link_problems p USING (sink, kind, local_key)
        WHERE ($1::text IS NULL OR l.sink = $1)
          AND ($2::text IS NULL OR l.kind = $2)
          AND (NOT $3 OR p.problem IS NOT NULL)
        ORDER BY l.sink, l.kind, l.local_key
        LIMIT $4
        "#,
        filter.sink.map(SinkName::as_str),
        filter.kind.map(LinkKind::as_str),
        filter.problems,
        i64::from(filter.limit),
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("links.list"))
}

/// Links a key by a person's word, whatever it was linked to, and locks it. A customer's record that another key has is not
/// taken from it. What is kept of it among the operators' actions holds no customer's key, which may be an address.
pub async fn set(pool: &PgPool, key: LinkKey<'_>, remote_id: &str, by: Operator<'_>, offset_ms: i64) -> Operated<()> {
    let mut tx = operations::begin(pool).await?;
    operations::sink_must_exist(&mut tx, key.sink).await?;
    let done = sqlx::query!(
        r#"-- links.set
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), was AS MATERIALIZED (
            SELECT remote_id FROM links WHERE sink = $1 AND kind = $2 AND local_key = $3 FOR UPDATE
        ), linked AS (
            INSERT INTO links AS l (sink, kind, local_key, remote_id, how, locked, created_at)
            SELECT $1, $2, $3, $4, 'manual', true, clock.now
            FROM clock
            ON CONFLICT (sink, kind, local_key) DO UPDATE
            SET remote_id = EXCLUDED.remote_id, how = 'manual', locked = true, created_at = EXCLUDED.created_at,
                broken_at = NULL
        )
        INSERT INTO operator_actions (at, who, action, sink, why, detail)
        SELECT clock.now, $6, 'link_set', $1, $7,
               jsonb_strip_nulls(jsonb_build_object('kind', $2::text, 'key', CASE WHEN $2 = 'product' THEN $3 END,
                                                    'remote_id', $4::text, 'was', (SELECT remote_id FROM was)))
        FROM clock
        "#,
        key.sink.as_str(),
        key.kind.as_str(),
        key.local_key,
        remote_id,
        offset_ms as f64,
        by.who,
        by.why,
    )
    .execute(&mut *tx)
    .await;
    match done {
        Ok(_) => Ok(operations::commit(tx).await?),
        Err(error) => match taken("links.set", error)? {
            Linked::Taken => Err(Refusal::LinkTaken { sink: key.sink.clone(), remote_id: remote_id.to_owned() }.into()),
            Linked::Yes | Linked::Otherwise(_) => Ok(()),
        },
    }
}

/// What a person changes of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The program never changes it.
    Lock,
    Unlock,
    /// It is kept and not used.
    Break,
}

impl Change {
    fn action(self) -> &'static str {
        match self {
            Self::Lock => "link_lock",
            Self::Unlock => "link_unlock",
            Self::Break => "link_break",
        }
    }
}

/// Changes a link that is there. Locked is only what a person made, so locking makes it one's.
pub async fn change(pool: &PgPool, key: LinkKey<'_>, change: Change, by: Operator<'_>, offset_ms: i64) -> Operated<()> {
    let mut tx = operations::begin(pool).await?;
    operations::sink_must_exist(&mut tx, key.sink).await?;
    let done = sqlx::query!(
        r#"-- links.change
        WITH clock AS (
            SELECT now() + $5 * interval '1 millisecond' AS now
        ), changed AS (
            UPDATE links l
            SET locked = CASE $4 WHEN 'link_lock' THEN true WHEN 'link_unlock' THEN false ELSE l.locked END,
                how = CASE WHEN $4 = 'link_lock' THEN 'manual' ELSE l.how END,
                broken_at = CASE WHEN $4 = 'link_break' THEN coalesce(l.broken_at, clock.now) ELSE l.broken_at END
            FROM clock
            WHERE l.sink = $1 AND l.kind = $2 AND l.local_key = $3 AND l.remote_id IS NOT NULL
            RETURNING l.remote_id
        )
        INSERT INTO operator_actions (at, who, action, sink, why, detail)
        SELECT clock.now, $6, $4, $1, $7,
               jsonb_strip_nulls(jsonb_build_object('kind', $2::text, 'key', CASE WHEN $2 = 'product' THEN $3 END,
                                                    'remote_id', changed.remote_id))
        FROM changed, clock
        "#,
        key.sink.as_str(),
        key.kind.as_str(),
        key.local_key,
        change.action(),
        offset_ms as f64,
        by.who,
        by.why,
    )
    .execute(&mut *tx)
    .await
    .map_err(StoreError::of("links.change"))?;
    if done.rows_affected() == 0 {
        let (sink, kind, key) = (key.sink.clone(), key.kind.as_str(), key.local_key.to_owned());
        return Err(Refusal::UnknownLink { sink, kind, key }.into());
    }
    Ok(operations::commit(tx).await?)
}
