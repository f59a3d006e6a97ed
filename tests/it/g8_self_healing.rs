//! G8: after a fault ends, work resumes with no operator and no restart.

use std::time::Duration;

use scoffable_sync::{
    app::{self, App, AppError},
    database::{
        MIGRATOR,
        connect::{at_length, is_lost, may_pass},
        migrate::{MigrateError, migrate},
    },
    domain::ids::SourceName,
    lifecycle::{Ending, Lifecycle},
    simulator::faults::status,
    store::{line::Line, sources},
};
use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{PATIENCE, TestApp, order, order_of},
    proxy::{FarEnd, Proxy},
};

#[tokio::test]
async fn after_an_outage_of_a_day_everything_is_applied() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next((0..10_000).map(|_| status(503)));
    for n in 1..=30 {
        app.arrives(&order(&format!("A-{n}"), 1, "accepted")).await;
    }
    for _ in 0..48 {
        app.advance(Duration::from_mins(30));
        app.dispatch().await;
    }
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    app.webhook.faults().clear_script();
    app.run_to_rest().await;

    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 30);
    assert_eq!(app.applied("A-1"), [2]);
    assert_eq!(app.text("SELECT breaker FROM sinks").await.as_deref(), Some("closed"));
    app.assert_no_violation();
}

#[tokio::test]
async fn the_loops_go_on_after_their_database_connections_were_cut() {
    let mut app = TestApp::start().await;
    let drain = CancellationToken::new();
    let dispatcher = tokio::spawn(app.dispatchers.remove(0).run(drain.clone()));
    app.stores(&order("A-1", 1, "accepted")).await;
    app.webhook.wait_until(|ledger| ledger.n_applied() == 1, PATIENCE).await.expect("the first order");

    for round in 2..=5 {
        app.cut_database_connections().await;
        app.publish(&order(&format!("A-{round}"), 1, "accepted"));
        app.make_sources_due().await;
        // The poll may meet a cut connection once; the next one works.
        while app.pollers[0].tick(&app.drain).await.is_err() {}
    }
    let all = app.webhook.wait_until(|ledger| ledger.n_applied() == 5, PATIENCE).await;

    all.expect("all orders");
    drain.cancel();
    tokio::time::timeout(PATIENCE, dispatcher).await.expect("the drain ends").unwrap();
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 5);
    app.assert_no_violation();
}

#[tokio::test]
async fn the_loop_waits_for_a_database_that_refuses_and_goes_on() {
    let mut app = TestApp::start().await;
    let drain = CancellationToken::new();
    app.stores(&order("A-1", 1, "accepted")).await;
    app.run("ALTER TABLE sink_lanes RENAME TO sink_lanes_away").await;
    let dispatcher = tokio::spawn(app.dispatchers.remove(0).run(drain.clone()));
    app.run("SELECT pg_sleep(0.2)").await;
    assert_eq!(app.requests(), 0);

    app.run("ALTER TABLE sink_lanes_away RENAME TO sink_lanes").await;
    let applied = app.webhook.wait_until(|ledger| ledger.n_applied() == 1, PATIENCE).await;

    applied.expect("the order");
    drain.cancel();
    dispatcher.await.unwrap();
    assert_eq!(app.delivery("A-1").await.state, "applied");
}

#[tokio::test]
async fn what_a_dead_process_held_is_taken_over_within_one_lease() {
    let mut app = TestApp::start().await;
    for n in 1..=5 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }
    app.run(
        "UPDATE deliveries SET state = 'in_flight', lease_token = gen_random_uuid(), lease_owner = 'dead',
                lease_expires_at = now() + interval '30 seconds', attempts = 1",
    )
    .await;
    assert_eq!(app.dispatch().await, 0);

    app.advance(Duration::from_secs(30));

    assert_eq!(app.dispatch().await, 5);
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'applied'").await, 5);
}

/// A pool with a single connection, so that one that is lost and kept would be missed.
async fn a_line_of_one_connection(app: &TestApp) -> Line {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
    let pool = pool.connect_with((*app.pool.connect_options()).clone()).await.expect("the database answers");
    Line::answering_within(pool, Duration::from_millis(300))
}

/// Cause: a connection that a firewall had forgotten was waited for without end, and its loop did nothing any more.
#[tokio::test]
async fn a_statement_whose_answer_does_not_come_is_given_up_and_its_connection_with_it() {
    let app = TestApp::start().await;
    let line = a_line_of_one_connection(&app).await;
    let mut blocker = app.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE sources").execute(&mut *blocker).await.unwrap();
    let waits = "SELECT count(*) FROM sources";

    let first = sqlx::query_scalar::<_, i64>(waits).fetch_one(&line).await;
    let listed = sqlx::query_scalar::<_, i64>(waits).fetch_all(&line).await;
    let after = sqlx::query_scalar::<_, i32>("SELECT 7").fetch_one(&line).await;

    let no_answer =
        |error: &sqlx::Error| matches!(error, sqlx::Error::Io(e) if e.kind() == std::io::ErrorKind::TimedOut);
    assert!(first.as_ref().is_err_and(no_answer), "{first:?}");
    assert!(listed.as_ref().is_err_and(no_answer), "{listed:?}");
    assert_eq!(after.expect("another connection took its place"), 7);
    blocker.rollback().await.unwrap();
}

#[tokio::test]
async fn what_is_answered_in_time_comes_whole_through_the_line() {
    let app = TestApp::start().await;
    let line = a_line_of_one_connection(&app).await;

    let many: Vec<i32> = sqlx::query_scalar("SELECT generate_series(1, 1000)").fetch_all(&line).await.unwrap();
    let none: Option<i32> = sqlx::query_scalar("SELECT 1 WHERE false").fetch_optional(&line).await.unwrap();
    let refused = sqlx::query("SELECT 1 / 0").execute(&line).await;
    let touched = sqlx::query("UPDATE sources SET versions = versions").execute(&line).await.unwrap();

    assert_eq!(many, (1..=1000).collect::<Vec<_>>());
    assert_eq!(none, None);
    assert!(matches!(refused, Err(sqlx::Error::Database(_))), "{refused:?}");
    assert_eq!(touched.rows_affected(), 1);
}

/// A pool by way of the proxy.
async fn a_pool_behind(proxy: &Proxy, app: &TestApp, connections: u32) -> PgPool {
    let by_proxy = (*app.pool.connect_options()).clone().port(proxy.port());
    let pool = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
    pool.connect_with(by_proxy).await.expect("the database answers")
}

async fn a_proxy(app: &TestApp) -> Proxy {
    Proxy::to(app.pool.connect_options().get_port()).await.expect("a loopback port is free")
}

const TURNS: &str = "SELECT count(*) FROM sources WHERE lease_owner IS NOT NULL";

/// Until a statement that begins so waits for a lock.
async fn someone_waits_for_a_lock(app: &TestApp, statement: &str) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND starts_with(query, '-- ' || $1)";
    while sqlx::query_scalar::<_, i64>(waiting).bind(statement).fetch_one(&app.pool).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Cause: a process whose connection had been forgotten while it registered waited without end, and never began to work.
#[tokio::test]
async fn a_start_gives_up_a_connection_that_leads_nowhere_and_goes_on_by_another() {
    let app = TestApp::start().await;
    let proxy = a_proxy(&app).await;
    let pool = a_pool_behind(&proxy, &app, 1).await;
    let lose_the_connection = async || {
        while pool.num_idle() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.fall_silent(FarEnd::Closed);
        proxy.pass();
    };
    let register = async || app::register(&pool, &app.settings, &app.clock).await;

    lose_the_connection().await;
    let registered = register().await;
    let Err(AppError::Store(error)) = registered else { panic!("nobody answers: {registered:?}") };
    assert!(may_pass(&error.source), "{error:?}");
    register().await.expect("another connection took its place");

    lose_the_connection().await;
    let migrated = migrate(&pool, &MIGRATOR).await;
    assert!(matches!(&migrated, Err(MigrateError::Database(error)) if may_pass(error)), "{migrated:?}");
    migrate(&pool, &MIGRATOR).await.expect("another connection took its place");
}

/// Cause: one that was lost in the middle of a sink's registration was waited for without end. Its transaction would have
/// kept the sink's row locked, too: the server had not been told either.
#[tokio::test]
async fn a_start_whose_connection_is_lost_in_the_middle_goes_on_by_another() {
    let app = TestApp::start().await;
    let proxy = a_proxy(&app).await;
    let pool = a_pool_behind(&proxy, &app, 1).await;
    let (settings, clock) = (app.settings.clone(), app.clock.clone());
    let mut other = app.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM sinks FOR UPDATE").execute(&mut *other).await.unwrap();
    let of_start = pool.clone();
    let registering = tokio::spawn(async move { app::register(&of_start, &settings, &clock).await });
    someone_waits_for_a_lock(&app, "sinks.register.known").await;

    proxy.fall_silent(FarEnd::Open);
    proxy.pass();
    other.rollback().await.unwrap();
    let registered = registering.await.unwrap();
    let Err(AppError::Store(error)) = registered else { panic!("nobody answers: {registered:?}") };
    assert!(may_pass(&error.source), "{error:?}");

    let again = app::register(&pool, &app.settings, &app.clock);
    tokio::time::timeout(PATIENCE, again).await.expect("the row is free again").expect("another connection answers");
}

/// Cause: a process that was stopped during its start found its transaction ended, and ended, too.
#[tokio::test]
async fn a_transaction_that_the_server_ended_while_we_were_stopped_may_be_begun_again() {
    let app = TestApp::start().await;
    let stopped = at_length(&app.pool, async |transaction| {
        let own = "SELECT pg_backend_pid(), set_config('idle_in_transaction_session_timeout', '1ms', true)";
        let (process, _): (i32, String) = sqlx::query_as(own).fetch_one(transaction).await?;
        let lives = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
        while sqlx::query_scalar::<_, i64>(lives).bind(process).fetch_one(&app.pool).await? > 0 {}
        Ok::<_, sqlx::Error>(())
    });

    let ended = stopped.await;

    assert!(matches!(&ended, Err(error) if may_pass(error)), "{ended:?}");
}

/// A new sink is owed whatever was stored before it, which takes minutes where that is much.
#[tokio::test]
async fn a_registration_that_takes_its_time_is_waited_for() {
    let app = TestApp::start().await;
    let (pool, settings, clock) = (app.pool.clone(), app.settings.clone(), app.clock.clone());
    let mut other = app.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM sinks FOR UPDATE").execute(&mut *other).await.unwrap();
    let registering = tokio::spawn(async move { app::register(&pool, &settings, &clock).await });
    someone_waits_for_a_lock(&app, "sinks.register.known").await;
    let sessions = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";
    let before = app.number(sessions).await;

    // Each look at what it does is a session.
    while app.number(sessions).await < before + 2 && !registering.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    other.rollback().await.unwrap();

    registering.await.unwrap().expect("it was worked on all the time");
}

/// Cause: where the server had been restarted, a turn was given back by a dead connection, and kept others from the stream.
#[tokio::test]
async fn what_is_given_back_at_the_end_is_given_back_also_where_every_connection_was_lost() {
    let app = TestApp::start().await;
    let line = app.line();
    let (name, owner) = (SourceName::parse("main").unwrap(), "one that ends");
    let leave = || sources::leave(&line, &name, owner);
    app.run("UPDATE sources SET lease_owner = 'one that ends'").await;
    while app.pool.num_idle() < 3 {
        drop(futures::future::join_all((0..3).map(|_| app.pool.acquire())).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut other = PgConnection::connect_with(&app.pool.connect_options()).await.expect("the database answers");
    let end = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended: i64 = sqlx::query_scalar(end).fetch_one(&mut other).await.expect("they are ours");
    assert!(ended >= 3, "{ended}");

    let once = leave().await;
    line.insist(leave).await.expect("a new connection is taken once all of before are known to be lost");

    assert!(once.is_err_and(|error| is_lost(&error.source)));
    assert_eq!(app.number(TURNS).await, 0);
}

/// Cause: a process was told to stop while all its connections led nowhere. The poll under way was waited for until the drain
/// was cut off, and its turn kept others from the stream.
#[tokio::test]
async fn a_process_whose_connections_lead_nowhere_gives_back_its_turn_within_the_drain() {
    let app = TestApp::setup().with("delivery.drain", "2s").start().await;
    let proxy = a_proxy(&app).await;
    let pool = a_pool_behind(&proxy, &app, 4).await;
    drop(futures::future::join_all((0..4).map(|_| pool.acquire())).await);
    let mut other = app.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM sources FOR UPDATE").execute(&mut *other).await.unwrap();
    let lifecycle = Lifecycle::new();
    App::build(&app.settings, &pool, &app.clock, "one that ends").unwrap().spawn(&lifecycle.phase());
    someone_waits_for_a_lock(&app, "sources.take").await;

    proxy.fall_silent(FarEnd::Open);
    proxy.pass();
    other.rollback().await.unwrap();
    while app.number(TURNS).await == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    lifecycle.request_drain();
    let ending = lifecycle.run_to_end(PATIENCE).await;

    assert_eq!(app.number(TURNS).await, 0);
    assert_eq!(ending, Ending::Drained);
}
