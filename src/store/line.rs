//! A pool whose statements are answered in time, or fail.
//!
//! A connection can lead nowhere without either end being told: a firewall forgets it, a host loses its power. Whoever then
//! waits for an answer waits for ever, and with it the loop that asked. The loops therefore ask through a [`Line`]; what a
//! person waits for asks the pool itself, as does what may take its time.

use std::{ops::Deref, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream, stream::BoxStream};
use sqlx::{
    Describe, Either, Execute, Executor, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::{Result, StoreError};
use crate::database::connect::{is_lost, no_answer};

/// Longer than any statement of a loop takes, also one that waits for a lock. What is given up goes on in the server, where
/// its fence decides as it would have.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

type Answered<T> = std::result::Result<T, sqlx::Error>;

/// Such a pool. Statements inside of a transaction are not bounded one by one: see [`Line::bounded`].
#[derive(Debug, Clone)]
pub struct Line {
    pool: PgPool,
    limit: Duration,
}

impl Line {
    pub fn new(pool: PgPool) -> Self {
        Self::answering_within(pool, ANSWERS_WITHIN)
    }

    pub fn answering_within(pool: PgPool, limit: Duration) -> Self {
        Self { pool, limit }
    }

    /// A transaction, whole.
    pub async fn bounded<T>(&self, operation: &'static str, transaction: impl Future<Output = Result<T>>) -> Result<T> {
        let unanswered = |_| Err(StoreError { operation, source: no_answer() });
        tokio::time::timeout(self.limit, transaction).await.unwrap_or_else(unanswered)
    }

    /// For what is asked once, at the end: a pool finds out by use which of its connections were lost, so it is asked again
    /// until one that was not, or a new one, answers.
    pub async fn insist<T, F: Future<Output = Result<T>>>(&self, question: impl Fn() -> F) -> Result<T> {
        for _ in 0..self.pool.size() {
            match question().await {
                Err(error) if is_lost(&error.source) => {}
                answered => return answered,
            }
        }
        question().await
    }

    /// What the connection is asked, within the limit. One that does not answer is never used again.
    async fn ask<T>(&self, question: impl AsyncFnOnce(&mut PoolConnection<Postgres>) -> Answered<T>) -> Answered<T> {
        let mut connection = self.pool.acquire().await?;
        if let Ok(answer) = tokio::time::timeout(self.limit, question(&mut connection)).await {
            return answer;
        }
        connection.close_on_drop();
        Err(no_answer())
    }
}

/// For what is not bounded here.
impl Deref for Line {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

impl<'c> Executor<'c> for &'c Line {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Answered<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = self.ask(async move |connection| connection.fetch_many(query).try_collect::<Vec<_>>().await);
        stream::once(all).map_ok(|all| stream::iter(all.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Answered<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(self.ask(async move |connection| connection.fetch_optional(query).await))
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Answered<PgStatement>>
    where
        'c: 'e,
    {
        Box::pin(self.ask(async move |connection| connection.prepare_with(sql, parameters).await))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Answered<Describe<Postgres>>>
    where
        'c: 'e,
    {
        Box::pin(self.ask(async move |connection| connection.describe(sql).await))
    }
}
