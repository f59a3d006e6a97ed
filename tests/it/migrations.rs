//! Bringing a schema up to date, alone and together with others.

use scoffable_sync::database::{
    MIGRATOR,
    migrate::{Applied, MigrateError, migrate, pending_migrations, supports_lz4},
};
use sqlx::{
    PgPool, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use crate::harness::postgres::empty_database;

fn migration(version: i64, sql: &'static str) -> Migration {
    Migration::new(version, format!("step {version}").into(), MigrationType::Simple, sql.into_sql_str(), false)
}

fn first() -> Migration {
    migration(1, "CREATE TABLE one (id bigint); INSERT INTO one VALUES (1)")
}

fn second() -> Migration {
    migration(2, "INSERT INTO one VALUES (2)")
}

async fn rows(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM one").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn eight_processes_starting_together_apply_each_migration_once() {
    let database = empty_database().await;
    // A pool each, as processes have.
    let mut pools = vec![];
    for _ in 0..8 {
        pools.push(database.pool().await);
    }

    let starts = pools.iter().cloned().map(|pool| {
        tokio::spawn(async move { migrate(&pool, &Migrator::with_migrations(vec![first(), second()])).await })
    });
    let mut applied = vec![];
    for start in starts.collect::<Vec<_>>() {
        applied.push(start.await.unwrap().unwrap());
    }

    assert!(applied.iter().all(|a| a.version == 2));
    assert_eq!(applied.iter().filter(|a| a.migrations == [1, 2]).count(), 1, "one of them did it: {applied:?}");
    assert_eq!(rows(&pools[0]).await, 2);
}

#[tokio::test]
async fn only_what_is_pending_is_applied() {
    let pool = empty_database().await.pool().await;
    migrate(&pool, &Migrator::with_migrations(vec![first()])).await.unwrap();

    let both = Migrator::with_migrations(vec![first(), second()]);
    assert_eq!(pending_migrations(&pool, &both).await.unwrap(), [2]);
    let applied = migrate(&pool, &both).await.unwrap();

    assert_eq!(applied, Applied { version: 2, migrations: vec![2] });
    assert_eq!(migrate(&pool, &both).await.unwrap(), Applied { version: 2, migrations: vec![] });
}

#[tokio::test]
async fn a_failing_migration_leaves_nothing_of_its_run_behind() {
    let pool = empty_database().await.pool().await;
    let broken = migration(2, "SELECT 1 / 0");

    let error = migrate(&pool, &Migrator::with_migrations(vec![first(), broken])).await.unwrap_err();

    assert!(matches!(error, MigrateError::Failed { version: 2, .. }), "{error:?}");
    let none = sqlx::query_scalar::<_, bool>("SELECT to_regclass('one') IS NULL").fetch_one(&pool).await.unwrap();
    assert!(none);
    migrate(&pool, &Migrator::with_migrations(vec![first(), second()])).await.unwrap();
}

#[tokio::test]
async fn a_database_newer_than_the_program_is_refused() {
    let pool = empty_database().await.pool().await;
    migrate(&pool, &Migrator::with_migrations(vec![first(), second()])).await.unwrap();

    let error = migrate(&pool, &Migrator::with_migrations(vec![first()])).await.unwrap_err();

    assert!(matches!(error, MigrateError::DatabaseIsNewer { database: 2, program: 1 }), "{error:?}");
}

#[tokio::test]
async fn a_migration_edited_after_it_was_applied_is_refused() {
    let pool = empty_database().await.pool().await;
    migrate(&pool, &Migrator::with_migrations(vec![first(), second()])).await.unwrap();
    let edited = migration(1, "CREATE TABLE one (id integer)");

    let error = migrate(&pool, &Migrator::with_migrations(vec![edited, second()])).await.unwrap_err();

    assert!(matches!(error, MigrateError::Changed { version: 1 }), "{error:?}");
}

#[tokio::test]
async fn a_migration_of_another_build_is_refused() {
    let pool = empty_database().await.pool().await;
    let foreign = migration(2, "SELECT 1");
    migrate(&pool, &Migrator::with_migrations(vec![first(), foreign])).await.unwrap();

    let error = migrate(&pool, &Migrator::with_migrations(vec![first(), migration(3, "SELECT 1")])).await.unwrap_err();

    assert!(matches!(error, MigrateError::Unknown { version: 2 }), "{error:?}");
}

#[tokio::test]
async fn a_migration_that_wants_no_transaction_is_refused_before_anything_runs() {
    let pool = empty_database().await.pool().await;
    let outside = Migration { no_tx: true, ..second() };

    let error = migrate(&pool, &Migrator::with_migrations(vec![first(), outside])).await.unwrap_err();

    assert!(matches!(error, MigrateError::NotTransactional { version: 2 }), "{error:?}");
    assert_eq!(pending_migrations(&pool, &Migrator::with_migrations(vec![first()])).await.unwrap(), [1]);
}

#[tokio::test]
async fn an_up_to_date_database_is_fine_for_a_role_that_may_only_read() {
    let pool = empty_database().await.pool().await;
    let migrator = Migrator::with_migrations(vec![first()]);
    migrate(&pool, &migrator).await.unwrap();

    let mut settings = (*pool.connect_options()).clone();
    settings = settings.options([("default_transaction_read_only", "on")]);
    let reader = PgPool::connect_with(settings).await.unwrap();

    assert_eq!(migrate(&reader, &migrator).await.unwrap(), Applied { version: 1, migrations: vec![] });
}

#[tokio::test]
async fn sqlx_itself_finds_its_bookkeeping_in_order() {
    let pool = empty_database().await.pool().await;
    let migrator = Migrator::with_migrations(vec![first(), second()]);
    migrate(&pool, &migrator).await.unwrap();

    migrator.run(&pool).await.unwrap();

    assert_eq!(rows(&pool).await, 2);
}

#[tokio::test]
async fn what_is_said_about_lz4_is_what_the_server_does() {
    let pool = empty_database().await.pool().await;
    let said = supports_lz4(&mut pool.acquire().await.unwrap()).await.unwrap();

    let done = sqlx::raw_sql("CREATE TABLE packed (body text COMPRESSION lz4)").execute(&pool).await.is_ok();

    assert_eq!(said, done);
}

/// Replicas are replaced one after another: the old ones go on with the schema that the first new one brought.
#[test]
fn no_migration_takes_away_what_an_older_process_uses() {
    for migration in MIGRATOR.iter() {
        let sql = migration.sql.as_str();
        let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
        let words = code.join(" ").to_uppercase().split_whitespace().collect::<Vec<_>>().join(" ");
        for taken in
            ["DROP TABLE", "DROP COLUMN", "DROP VIEW", "DROP FUNCTION", "RENAME", "SET NOT NULL", "SET DATA TYPE"]
        {
            assert!(!words.contains(taken), "migration {} says {taken}", migration.version);
        }
        for added in words.split("ADD COLUMN ").skip(1) {
            let clause = added.split([',', ';']).next().unwrap_or_default();
            let fills_itself = ["DEFAULT", "GENERATED"].iter().any(|how| clause.contains(how));
            assert!(!clause.contains("NOT NULL") || fills_itself, "migration {}: {clause}", migration.version);
        }
    }
}
