//! What only the demo asks: its database, and a few sums for its summary.

use sqlx::{AssertSqlSafe, PgExecutor, PgPool};

use super::{Result, StoreError};
use crate::domain::ids::SinkName;

/// Everything in a few numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub versions: i64,
    pub orders: i64,
    pub quarantined: i64,
    /// By name.
    pub sinks: Vec<SinkTotals>,
}

/// What stands at one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkTotals {
    pub sink: String,
    /// In flight or due within the horizon, and not behind an order that waits for a person in the sink it comes after.
    pub open: i64,
    pub applied: i64,
    pub skipped: i64,
    pub parked: i64,
    pub in_doubt: i64,
}

/// Sums up a small database. What is due later than `horizon` seconds from now counts as at rest. `after`: sinks, and the ones
/// that they come after.
pub async fn totals(pool: &PgPool, horizon: f64, after: &[(&SinkName, &SinkName)]) -> Result<Totals> {
    let (waiting, first): (Vec<&str>, Vec<&str>) =
        after.iter().map(|(sink, first)| (sink.as_str(), first.as_str())).unzip();
    let sinks = sqlx::query_as!(
        SinkTotals,
        r#"-- demo.totals.sinks
        SELECT sink,
               count(*) FILTER (
                   WHERE open AND (state = 'in_flight' OR next_attempt_at <= now() + $1 * interval '1 second')
                     AND NOT (waiting_for IS NOT DISTINCT FROM 'dependency'
                              AND EXISTS (SELECT FROM deliveries o
                                          JOIN unnest($2::text[], $3::text[]) AS a (sink, first) ON a.first = o.sink
                                          WHERE o.source = d.source AND o.order_id = d.order_id AND o.dead
                                            AND a.sink = d.sink))
               ) AS "open!",
               count(*) FILTER (WHERE state = 'applied') AS "applied!",
               count(*) FILTER (WHERE state = 'skipped') AS "skipped!",
               count(*) FILTER (WHERE state = 'parked') AS "parked!",
               count(*) FILTER (WHERE state = 'in_doubt') AS "in_doubt!"
        FROM deliveries d
        GROUP BY sink
        ORDER BY sink
        "#,
        horizon,
        &waiting[..] as _,
        &first[..] as _,
    )
    .fetch_all(pool)
    .await
    .map_err(StoreError::of("demo.totals.sinks"))?;
    let stored = sqlx::query!(
        r#"-- demo.totals.stored
        SELECT (SELECT count(*) FROM order_versions) AS "versions!",
               (SELECT count(*) FROM orders) AS "orders!",
               (SELECT count(*) FROM quarantine WHERE resolved_at IS NULL) AS "quarantined!"
        "#
    )
    .fetch_one(pool)
    .await
    .map_err(StoreError::of("demo.totals.stored"))?;
    Ok(Totals { versions: stored.versions, orders: stored.orders, quarantined: stored.quarantined, sinks })
}

/// One call that a destination took.
#[derive(Debug, Clone)]
pub struct Effect {
    pub attempt_id: i64,
    pub sink: String,
    pub order_id: String,
    pub version: i64,
    pub step: String,
}

/// What was done since the attempt with this id, oldest first.
pub async fn effects_since(db: impl PgExecutor<'_>, attempt_id: i64) -> Result<Vec<Effect>> {
    sqlx::query_as!(
        Effect,
        r#"-- demo.effects_since
        SELECT id AS attempt_id, sink, order_id, version, step AS "step!"
        FROM attempts
        WHERE id > $1 AND outcome = 'delivered' AND step IS NOT NULL
        ORDER BY id
        LIMIT 1000
        "#,
        attempt_id
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("demo.effects_since"))
}

/// The order that most steps were delivered for.
pub async fn longest_story(db: impl PgExecutor<'_>) -> Result<Option<String>> {
    sqlx::query_scalar!(
        r#"-- demo.longest_story
        SELECT order_id
        FROM attempts
        WHERE outcome = 'delivered'
        GROUP BY order_id
        ORDER BY count(DISTINCT (sink, step)) DESC, count(*), order_id
        LIMIT 1
        "#
    )
    .fetch_optional(db)
    .await
    .map_err(StoreError::of("demo.longest_story"))
}

/// A delivery that does not stand as its order says.
#[derive(Debug, Clone)]
pub struct Exception {
    pub sink: String,
    pub order_id: String,
    pub state: String,
    /// Why; of one that is applied, its notice.
    pub reason: Option<String>,
    pub hint: Option<String>,
    /// The last attempt did, as opposed to an order that cannot be sent.
    pub failed: bool,
}

/// What waits for a person, was left out or stands otherwise, by sink and order.
pub async fn exceptions(db: impl PgExecutor<'_>) -> Result<Vec<Exception>> {
    sqlx::query_as!(
        Exception,
        r#"-- demo.exceptions
        SELECT sink, order_id, state, coalesce(reason, notice, waiting_for) AS reason, hint, last_error IS NOT NULL AS "failed!"
        FROM deliveries
        WHERE state IN ('parked', 'in_doubt', 'skipped') OR notice IS NOT NULL OR waiting_for = 'configuration'
        ORDER BY sink, source, order_id
        "#
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("demo.exceptions"))
}

/// Makes an empty database and drops those of the same prefix that nobody is connected to.
///
/// `prefix` and `name` are ours, of letters, digits and underscores.
pub async fn replace_databases(pool: &PgPool, prefix: &str, name: &str) -> Result<()> {
    let failed = StoreError::of("demo.replace_databases");
    let leftovers: std::result::Result<Vec<String>, sqlx::Error> = sqlx::query_scalar(
        "-- demo.leftovers
        SELECT datname::text
        FROM pg_database d
        WHERE starts_with(datname, $1) AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)",
    )
    .bind(prefix)
    .fetch_all(pool)
    .await;
    let statements = match leftovers {
        Ok(leftovers) => leftovers.iter().map(|old| format!("DROP DATABASE IF EXISTS {old}")).collect::<Vec<_>>(),
        Err(error) => return Err(failed(error)),
    };
    for statement in statements.into_iter().chain([format!("CREATE DATABASE {name}")]) {
        sqlx::query(AssertSqlSafe(statement)).execute(pool).await.map_err(StoreError::of("demo.replace_databases"))?;
    }
    Ok(())
}
