//! What only the demo asks: its database, and a few sums for its summary.

use sqlx::{AssertSqlSafe, PgExecutor, PgPool};

use super::{Result, StoreError};

/// Everything in a few numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub versions: i64,
    pub orders: i64,
    pub quarantined: i64,
    /// Due, scheduled or in flight.
    pub open: i64,
    pub applied: i64,
    pub skipped: i64,
    pub parked: i64,
    pub in_doubt: i64,
}

/// Sums up a small database.
pub async fn totals(db: impl PgExecutor<'_>) -> Result<Totals> {
    sqlx::query_as!(
        Totals,
        r#"-- demo.totals
        SELECT (SELECT count(*) FROM order_versions) AS "versions!",
               (SELECT count(*) FROM orders) AS "orders!",
               (SELECT count(*) FROM quarantine WHERE resolved_at IS NULL) AS "quarantined!",
               count(*) FILTER (WHERE open) AS "open!",
               count(*) FILTER (WHERE state = 'applied') AS "applied!",
               count(*) FILTER (WHERE state = 'skipped') AS "skipped!",
               count(*) FILTER (WHERE state = 'parked') AS "parked!",
               count(*) FILTER (WHERE state = 'in_doubt') AS "in_doubt!"
        FROM deliveries
        "#
    )
    .fetch_one(db)
    .await
    .map_err(StoreError::of("demo.totals"))
}

/// A delivery that waits for a person.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub order_id: String,
    pub state: String,
    pub reason: Option<String>,
    pub hint: Option<String>,
}

/// What waits for a person, by order id.
pub async fn dead_letters(db: impl PgExecutor<'_>, limit: i64) -> Result<Vec<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        r#"-- demo.dead_letters
        SELECT order_id, state, reason, hint
        FROM deliveries
        WHERE state IN ('parked', 'in_doubt')
        ORDER BY sink, source, order_id
        LIMIT $1
        "#,
        limit
    )
    .fetch_all(db)
    .await
    .map_err(StoreError::of("demo.dead_letters"))
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
