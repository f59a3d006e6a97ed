//! Behind PgBouncer in transaction mode, where there is one on this machine.

use rustix::process::Signal;
use scoffable_sync::{
    database::connect::{ConnectError, ConnectOptions, connect},
    simulator::{self, SimulateOptions},
};

use crate::harness::{
    app::{SOURCE, order},
    pooler::Pooler,
    postgres::{TestDatabase, fresh_database},
    process::{ConfigFile, PATIENCE},
};

/// None, and said so: there is no PgBouncer that could be tried.
async fn pooled(database: &TestDatabase, connections: u32, statements: u32) -> Option<Pooler> {
    match Pooler::before(&database.url, connections, statements).await {
        Ok(pooler) => Some(pooler),
        Err(missing) => {
            println!("not tried: {missing}");
            None
        }
    }
}

#[tokio::test]
async fn g9_two_processes_share_the_work_over_fewer_connections_than_they_open() {
    const ORDERS: usize = 60;
    let database = fresh_database().await;
    let Some(pooler) = pooled(&database, 3, 200).await else { return };
    let by_pooler = TestDatabase { url: pooler.url(&database.url), name: database.name.clone() };
    let options =
        SimulateOptions { limits: simulator::scoffable::Limits::NONE, orders: 0, ..SimulateOptions::default() };
    let simulation = simulator::run(options).await.expect("loopback ports are free");
    let config = ConfigFile::of(&by_pooler, &simulation);
    config.command(&["doctor"]).finish().await.expect_code(0);
    let mut daemons = [config.command(&["run"]).start(), config.command(&["run"]).start()];
    for daemon in &mut daemons {
        daemon.says("daemon started").await;
    }

    for n in 0..ORDERS {
        simulation.scoffable.publish(order(&format!("A-{n}"), 1, "accepted").to_string());
    }
    let all =
        |ledger: &simulator::ledger::Ledger| (0..ORDERS).all(|n| !ledger.applied(SOURCE, &format!("A-{n}")).is_empty());
    simulation.webhook.wait_until(all, PATIENCE).await.unwrap_or_else(|_| panic!("orders are never sent"));
    let paused = config.command(&["sink", "pause", "hook", "--why", "a try"]).finish().await;
    paused.expect_code(0);
    config.command(&["sink", "resume", "hook"]).finish().await.expect_code(0);
    config.command(&["order", "A-1"]).finish().await.expect_code(0);

    for daemon in daemons {
        daemon.signal(Signal::TERM);
        let finished = daemon.finished().await.expect_code(0);
        assert!(!finished.stderr.contains("prepared statement"), "{}", finished.stderr);
    }
    assert_eq!(simulation.webhook.journal().total(), ORDERS as u64, "each is sent once");
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM deliveries WHERE state <> 'applied'")
        .fetch_one(&database.pool().await)
        .await
        .unwrap();
    assert_eq!(open, 0);
}

#[tokio::test]
async fn one_that_loses_prepared_statements_is_refused_at_the_start() {
    let database = fresh_database().await;
    let Some(pooler) = pooled(&database, 3, 0).await else { return };

    let refused = connect(&pooler.url(&database.url), &ConnectOptions::default()).await;

    assert!(matches!(refused, Err(ConnectError::StatementsNotCarried { .. })), "{refused:?}");
}
