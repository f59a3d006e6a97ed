//! A pool whose statements are answered in time, or fail.
//!
//! A connection can lead nowhere without either end being told: a firewall forgets it, a host loses its power. Whoever then
//! waits for an answer waits for ever, and with it the loop that asked. The loops therefore ask through a [`Line`]; what a
//! person waits for asks the pool itself, as does what may take its time.
//!
//! What takes one connection mostly takes the others with it. Where an answer does not come, those that lie idle are given
//! up, too: each of them would be waited for as long.

use std::{ops::Deref, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream, stream::BoxStream};
use sqlx::{
    Describe, Either, Execute, Executor, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio_util::sync::CancellationToken;

use super::{Result, StoreError};
use crate::database::connect::{is_lost, is_unanswered, no_answer};

/// Longer than any statement of a loop takes, also one that waits for a lock. What is given up goes on in the server, where
/// its fence decides as it would have.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// An answer that does not come must leave a drain the time to ask again, and to give back what is held.
const PARTS_OF_A_DRAIN: u32 = 5;

type Answered<T> = std::result::Result<T, sqlx::Error>;

/// Such a pool. Statements inside of a transaction are not bounded one by one: see [`Line::bounded`].
#[derive(Debug, Clone)]
pub struct Line {
    pool: PgPool,
    limit: Duration,
    limit_at_the_end: Duration,
    /// Clones share it.
    end: CancellationToken,
}

impl Line {
    pub fn new(pool: PgPool) -> Self {
        Self::answering_within(pool, ANSWERS_WITHIN)
    }

    pub fn answering_within(pool: PgPool, limit: Duration) -> Self {
        Self { pool, limit, limit_at_the_end: limit, end: CancellationToken::new() }
    }

    /// With a shorter limit from [`Line::end`] on: a part of what a drain may take.
    #[must_use]
    pub fn ending_within(self, drain: Duration) -> Self {
        Self { limit_at_the_end: drain / PARTS_OF_A_DRAIN, ..self }
    }

    /// Whoever asks by this line or a clone of it is about to stop.
    pub fn end(&self) {
        self.end.cancel();
    }

    /// A transaction, whole.
    pub async fn bounded<T>(&self, operation: &'static str, transaction: impl Future<Output = Result<T>>) -> Result<T> {
        self.in_time(transaction).await.unwrap_or_else(|source| Err(StoreError { operation, source }))
    }

    /// For what is asked once, at the end: a pool finds out by use which of its connections were lost, so it is asked again
    /// until one that was not, or a new one, answers.
    pub async fn insist<T, F: Future<Output = Result<T>>>(&self, question: impl Fn() -> F) -> Result<T> {
        for _ in 0..self.pool.size() {
            match question().await {
                Err(error) if is_lost(&error.source) || is_unanswered(&error.source) => {}
                answered => return answered,
            }
        }
        question().await
    }

    /// What the connection is asked, within the limit. One that does not answer is never used again.
    async fn ask<T>(&self, question: impl AsyncFnOnce(&mut PoolConnection<Postgres>) -> Answered<T>) -> Answered<T> {
        let mut connection = tokio::select! {
            biased;
            acquired = self.pool.acquire() => acquired?,
            () = self.is_late_at_the_end() => return Err(no_answer()),
        };
        let answered = self.in_time(question(&mut connection)).await;
        if answered.is_err() {
            drop(connection.detach());
        }
        answered?
    }

    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Answered<T> {
        tokio::select! {
            biased;
            answer = answer => return Ok(answer),
            () = tokio::time::sleep(self.limit) => {}
            () = self.is_late_at_the_end() => {}
        }
        while let Some(idle) = self.pool.try_acquire() {
            drop(idle.detach());
        }
        Err(no_answer())
    }

    async fn is_late_at_the_end(&self) {
        self.end.cancelled().await;
        tokio::time::sleep(self.limit_at_the_end).await;
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
