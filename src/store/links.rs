//! `links`: which record of ours is which record in a destination.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::{PgExecutor, PgPool};

use super::{Result, StoreError, millis};
use crate::{
    clock::Clock,
    sinks::{
        links::{How, Link, LinkKey, LinkStore, Linked, MayMake},
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

    fn attempt<'a>(&'a self, key: LinkKey<'a>, lasts: Duration) -> Answer<'a, MayMake> {
        Box::pin(async move { attempt(&self.pool, key, lasts, self.clock.offset_ms()).await.map_err(port) })
    }
}

fn port(error: StoreError) -> StoreFailed {
    StoreFailed(Box::new(error))
}

/// The link of a key. One that is only being made is none yet.
pub async fn find(db: impl PgExecutor<'_>, key: LinkKey<'_>) -> Result<Option<Link>> {
    let row = sqlx::query!(
        r#"-- links.find
        SELECT remote_id AS "remote_id!", how AS "how!", broken_at IS NOT NULL AS "is_broken!"
        FROM links
        WHERE sink = $1 AND kind = $2 AND local_key = $3 AND remote_id IS NOT NULL
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
