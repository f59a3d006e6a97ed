//! Brings a database's schema to the version this program knows. Safe when any number of processes start together.
//!
//! sqlx's own runner takes a session's advisory lock, which means nothing behind a pooler in transaction mode, so it is not
//! used. Here one transaction locks the single row of `migration_lock` and every pending migration runs *inside that
//! transaction* (sqlx's own transactions become savepoints in it): the lock and the migrations commit together or not at
//! all, and a process that dies in between leaves nothing behind. The bookkeeping stays in sqlx's table and format.
//!
//! The price: a migration cannot be one that refuses to run in a transaction (`CREATE INDEX CONCURRENTLY`); such a one is
//! refused before anything runs.
//!
//! A migration that wants `lz4` must cope with servers built without it, inside SQL, since a migration cannot be chosen:
//! ```sql
//! DO $$ BEGIN ALTER TABLE t ALTER COLUMN c SET COMPRESSION lz4; EXCEPTION WHEN feature_not_supported THEN NULL; END $$;
//! ```
//! [`supports_lz4`] tells a person the same.

use std::collections::BTreeMap;

use sqlx::{
    PgConnection, PgPool,
    migrate::{Migrate, Migration, Migrator},
};

use super::connect::at_length;

/// Where sqlx keeps what was applied; also read by its own tools.
const TABLE: &str = "_sqlx_migrations";

/// What [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Newest migration of the database now; 0 in one without any.
    pub version: i64,
    /// Migrations this call applied, ascending. Empty when another process did it, or there was nothing to do.
    pub migrations: Vec<i64>,
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(
        "the database is newer than this program (it has migration {database}, this program knows up to {program}): \
         use the newer program"
    )]
    DatabaseIsNewer { database: i64, program: i64 },
    #[error("the database has migration {version}, which this program has never heard of: it belongs to another build")]
    Unknown { version: i64 },
    #[error("migration {version} is not what was applied to the database: an applied migration must never be edited")]
    Changed { version: i64 },
    #[error("migration {version} must not ask to run outside a transaction")]
    NotTransactional { version: i64 },
    #[error("migration {version} failed; nothing was changed")]
    Failed { version: i64, source: sqlx::Error },
    #[error("the schema could not be read or locked")]
    Database(#[source] sqlx::Error),
}

/// Version and checksum of the migrations in a database.
type History = BTreeMap<i64, Vec<u8>>;

/// Applies what is pending. An up-to-date database is only read, so a role without the right to change the schema can
/// start the service too.
pub async fn migrate(pool: &PgPool, migrator: &Migrator) -> Result<Applied, MigrateError> {
    if pending_migrations(pool, migrator).await?.is_empty() {
        return Ok(Applied { version: newest(migrator), migrations: vec![] });
    }
    ensure_lock_row(pool).await?;
    let applied = at_length(pool, async |transaction| apply(transaction, migrator).await);
    let migrations = applied.await.map_err(MigrateError::Database)??;
    if !migrations.is_empty() {
        tracing::info!(migrations = migrations.len(), version = newest(migrator), "database schema migrated");
    }
    Ok(Applied { version: newest(migrator), migrations })
}

/// What is pending, ascending, changing nothing.
pub async fn pending_migrations(pool: &PgPool, migrator: &Migrator) -> Result<Vec<i64>, MigrateError> {
    let history = at_length(pool, async |transaction| history(transaction).await);
    pending(&history.await.map_err(MigrateError::Database)??, migrator)
}

/// Whether the server can compress columns with `lz4`; one built without it stores them the old way.
pub async fn supports_lz4(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query = "-- migrate.supports_lz4
        SELECT EXISTS (
            SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
        )";
    sqlx::query_scalar(query).fetch_one(connection).await
}

/// What was applied, ascending.
async fn apply(transaction: &mut PgConnection, migrator: &Migrator) -> Result<Vec<i64>, MigrateError> {
    // A limit meant for everyday statements must not cut a migration short.
    let settings = "-- migrate.apply
        SET LOCAL statement_timeout = 0;
        SELECT FROM migration_lock FOR UPDATE";
    sqlx::raw_sql(settings).execute(&mut *transaction).await.map_err(MigrateError::Database)?;

    // Again, now that nobody else can change it. Making the table comes first and its existence is not asked for: this
    // session may remember from before the wait that there was none, and only taking a lock on something makes it forget.
    transaction.ensure_migrations_table(TABLE).await.map_err(translate)?;
    let pending = pending(&recorded(&mut *transaction).await?, migrator)?;
    for migration in migrator.iter().filter(|m| is_pending(m, &pending)) {
        transaction.apply(TABLE, migration).await.map_err(translate)?;
    }
    Ok(pending)
}

/// Makes the row that [`apply`] locks.
///
/// `IF NOT EXISTS` does not help two processes that create the same table at once: one of them gets a uniqueness error
/// out of the catalogue, and finds the table there when it tries again.
async fn ensure_lock_row(pool: &PgPool) -> Result<(), MigrateError> {
    const ATTEMPTS: usize = 20;
    let make = "-- migrate.ensure_lock_row
        CREATE TABLE IF NOT EXISTS migration_lock (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row));
        COMMENT ON TABLE migration_lock IS 'One row, locked by the process that is changing the schema.';
        INSERT INTO migration_lock DEFAULT VALUES ON CONFLICT DO NOTHING";
    let mut attempt = 1;
    loop {
        let made = at_length(pool, async |transaction| sqlx::raw_sql(make).execute(transaction).await);
        match made.await.map_err(MigrateError::Database)? {
            Ok(_) => return Ok(()),
            Err(error) if attempt < ATTEMPTS && lost_a_race(&error) => attempt += 1,
            Err(error) => return Err(MigrateError::Database(error)),
        }
    }
}

/// Uniqueness in the catalogue, table or type already there, a catalogue row changed by two at once, deadlock.
fn lost_a_race(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code().map(std::borrow::Cow::into_owned));
    matches!(code.as_deref(), Some("23505" | "42P07" | "42710" | "XX000" | "40P01"))
}

/// What was applied; nothing in a database that was never migrated.
async fn history(connection: &mut PgConnection) -> Result<History, MigrateError> {
    let exists: bool = sqlx::query_scalar("-- migrate.history\nSELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(MigrateError::Database)?;
    if exists { recorded(connection).await } else { Ok(History::new()) }
}

async fn recorded(connection: &mut PgConnection) -> Result<History, MigrateError> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("-- migrate.recorded\nSELECT version, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(&mut *connection)
            .await
            .map_err(MigrateError::Database)?;
    Ok(rows.into_iter().collect())
}

/// Compares what the database had with what we know.
fn pending(history: &History, migrator: &Migrator) -> Result<Vec<i64>, MigrateError> {
    let known: BTreeMap<i64, _> = migrator.iter().filter(|m| is_upward(m)).map(|m| (m.version, m)).collect();
    let program = newest(migrator);
    if let Some((&database, _)) = history.last_key_value().filter(|(version, _)| **version > program) {
        return Err(MigrateError::DatabaseIsNewer { database, program });
    }
    for (&version, checksum) in history {
        let migration = known.get(&version).ok_or(MigrateError::Unknown { version })?;
        if migration.checksum.as_ref() != checksum.as_slice() {
            return Err(MigrateError::Changed { version });
        }
    }
    let pending: Vec<_> = known.into_values().filter(|m| !history.contains_key(&m.version)).collect();
    if let Some(migration) = pending.iter().find(|m| m.no_tx) {
        return Err(MigrateError::NotTransactional { version: migration.version });
    }
    Ok(pending.into_iter().map(|m| m.version).collect())
}

fn is_upward(migration: &Migration) -> bool {
    !migration.migration_type.is_down_migration()
}

fn is_pending(migration: &Migration, pending: &[i64]) -> bool {
    is_upward(migration) && pending.contains(&migration.version)
}

fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|m| m.version).max().unwrap_or(0)
}

fn translate(error: sqlx::migrate::MigrateError) -> MigrateError {
    use sqlx::migrate::MigrateError as Sqlx;
    match error {
        Sqlx::ExecuteMigration(source, version) => MigrateError::Failed { version, source },
        Sqlx::Execute(source) => MigrateError::Database(source),
        other => MigrateError::Database(sqlx::Error::Migrate(Box::new(other))),
    }
}
