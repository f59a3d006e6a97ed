//! The daemon as a process: how it starts, tells its service manager, stops, and outlives its database. With the real
//! binary.

use std::{os::unix::net::UnixDatagram, time::Duration};

use rustix::process::Signal;
use scoffable_sync::{
    database::{
        MIGRATOR,
        connect::{ConnectOptions, connect},
        embedded::{EmbeddedServer, Tenure},
        migrate::migrate,
    },
    simulator::{
        self, SimulateOptions, Simulation, TOKEN_ID,
        faults::{plainly, slow},
    },
};
use sqlx::PgPool;

use crate::harness::{
    app::{SOURCE, order},
    postgres::{TestDatabase, fresh_database, reachable_tempdir, throw_away},
    process::{ConfigFile, Invocation, PATIENCE, Process, scoffable_sync, until, unused_port},
};

const STARTED: &str = "daemon started";

/// A daemon's surroundings: a database and systems without any orders.
struct Scene {
    simulation: Simulation,
    pool: PgPool,
    config: ConfigFile,
}

impl Scene {
    async fn set() -> Self {
        let database = fresh_database().await;
        let simulation = no_orders().await;
        Self { pool: database.pool().await, config: ConfigFile::of(&database, &simulation), simulation }
    }

    fn daemon(&self) -> Invocation {
        self.config.command(&["run"])
    }

    /// A version that any sink takes appears on the stream.
    fn publish(&self, order_id: &str) {
        self.simulation.scoffable.publish(order(order_id, 1, "accepted").to_string());
    }

    /// Waits until the receiver works on a request of this order.
    async fn is_being_sent(&self, order_id: &str) {
        let arrived = self.simulation.webhook.wait_until(|ledger| ledger.running(SOURCE, order_id) > 0, PATIENCE).await;
        arrived.unwrap_or_else(|_| panic!("{order_id} is never sent"));
    }

    async fn is_applied(&self, order_id: &str) {
        let applied = |ledger: &simulator::ledger::Ledger| !ledger.applied(SOURCE, order_id).is_empty();
        let arrived = self.simulation.webhook.wait_until(applied, PATIENCE).await;
        arrived.unwrap_or_else(|_| panic!("{order_id} never arrives"));
    }

    async fn state_of(&self, order_id: &str) -> String {
        sqlx::query_scalar("SELECT state FROM deliveries WHERE order_id = $1")
            .bind(order_id)
            .fetch_one(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("no delivery of {order_id}: {error}"))
    }
}

async fn no_orders() -> Simulation {
    let options =
        SimulateOptions { limits: simulator::scoffable::Limits::NONE, orders: 0, ..SimulateOptions::default() };
    simulator::run(options).await.expect("loopback ports are free")
}

async fn started(invocation: Invocation) -> Process {
    let mut daemon = invocation.start();
    daemon.says(STARTED).await;
    daemon
}

#[tokio::test]
async fn a_first_sigterm_finishes_and_settles_what_was_sent() {
    let scene = Scene::set().await;
    scene.simulation.webhook.answer_next([slow(Duration::from_millis(600))]);
    let daemon = started(scene.daemon()).await;
    scene.publish("A-1");
    scene.is_being_sent("A-1").await;

    daemon.signal(Signal::TERM);
    let finished = daemon.finished().await.expect_code(0);

    assert_eq!(scene.state_of("A-1").await, "applied");
    assert!(finished.stderr.contains("ending=Drained"), "{}", finished.stderr);
}

/// Cause: ages of orders and the times that requests are signed with were those of the machine's clock. The receiver refuses a
/// signature that is minutes old or ahead.
#[tokio::test]
async fn g8_a_machine_with_a_wrong_clock_works_by_the_databases_time() {
    let folder = tempfile::tempdir().unwrap();
    for hours in [7, -7] {
        let scene = Scene::set().await;
        let wrong_by = folder.path().join("wrong_by");
        std::fs::write(&wrong_by, (hours * 3_600_000).to_string()).unwrap();
        let wrong = scene.daemon().env("SCOFFABLE_SYNC_WRONG_BY_MS_FILE", wrong_by.to_str().unwrap());
        let daemon = started(wrong).await;

        scene.publish("A-1");
        scene.is_applied("A-1").await;

        assert_eq!(scene.simulation.webhook.journal().total(), 1, "the first request is taken, {hours} hours off");
        daemon.signal(Signal::TERM);
        daemon.finished().await.expect_code(0);
    }
}

#[tokio::test]
async fn a_drain_gives_back_what_was_not_sent_yet_without_counting_an_attempt() {
    let scene = Scene::set().await;
    scene.simulation.webhook.answer_next([slow(Duration::from_millis(600))]);
    for number in 1..=5 {
        scene.publish(&format!("A-{number}"));
    }
    let daemon = started(scene.daemon().with("sinks.hook.concurrency", "1")).await;
    scene.is_being_sent("A-1").await;
    let all_claimed = "SELECT count(*) FROM deliveries WHERE state = 'in_flight'";
    until("all are claimed", async || {
        sqlx::query_scalar::<_, i64>(all_claimed).fetch_one(&scene.pool).await.unwrap() == 5
    })
    .await;

    daemon.signal(Signal::INT);
    daemon.finished().await.expect_code(0);

    let rest: Vec<(String, i32)> = sqlx::query_as(
        "SELECT state, attempts FROM deliveries WHERE order_id <> 'A-1' AND lease_token IS NULL AND next_attempt_at <= now()",
    )
    .fetch_all(&scene.pool)
    .await
    .unwrap();
    assert_eq!(rest, vec![("pending".to_owned(), 0); 4]);
    assert_eq!(scene.state_of("A-1").await, "applied");
    assert_eq!(scene.simulation.webhook.journal().total(), 1);
}

#[tokio::test]
async fn a_second_signal_aborts_and_still_counts_as_asked_to_stop() {
    let scene = Scene::set().await;
    scene.simulation.webhook.answer_next([slow(PATIENCE)]);
    let mut daemon = started(
        scene
            .daemon()
            .with("sinks.hook.request_timeout", "60s")
            .with("delivery.lease", "70s")
            .with("delivery.drain", "60s"),
    )
    .await;
    scene.publish("A-1");
    scene.is_being_sent("A-1").await;

    daemon.signal(Signal::TERM);
    daemon.says("drain requested").await;
    daemon.signal(Signal::TERM);
    let finished = daemon.finished().await.expect_code(0);

    assert!(finished.stderr.contains("ending=Aborted"), "{}", finished.stderr);
    assert_eq!(scene.state_of("A-1").await, "in_flight", "its lease ends by itself");
}

#[tokio::test]
async fn a_drain_is_cut_off_at_its_limit() {
    let scene = Scene::set().await;
    scene.simulation.webhook.answer_next([slow(PATIENCE)]);
    let daemon = started(
        scene
            .daemon()
            .with("sinks.hook.request_timeout", "60s")
            .with("delivery.lease", "70s")
            .with("delivery.drain", "100ms"),
    )
    .await;
    scene.publish("A-1");
    scene.is_being_sent("A-1").await;

    daemon.signal(Signal::TERM);
    let finished = daemon.finished().await.expect_code(0);

    assert!(
        finished.stderr.contains("drain cut off") && finished.stderr.contains("ending=Aborted"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn a_slow_stream_does_not_hold_up_a_drain() {
    let scene = Scene::set().await;
    scene.simulation.scoffable.answer_next([slow(PATIENCE)]);
    let daemon = started(scene.daemon().with("sources.main.request_timeout", "60s")).await;
    let journal = scene.simulation.scoffable.journal();
    journal.wait_until(|journal| journal.total() > 0, PATIENCE).await.expect("the stream is asked");

    daemon.signal(Signal::TERM);
    let finished = daemon.finished().await.expect_code(0);

    assert!(finished.stderr.contains("ending=Drained"), "{}", finished.stderr);
    let leased = "SELECT count(*) FROM sources WHERE lease_owner IS NOT NULL";
    let leased: i64 = sqlx::query_scalar(leased).fetch_one(&scene.pool).await.unwrap();
    assert_eq!(leased, 0, "the turn was given back");
}

#[tokio::test]
async fn a_drained_daemon_leaves_nothing_to_wait_for() {
    let scene = Scene::set().await;
    scene.publish("A-1");
    let first = started(scene.daemon()).await;
    scene.is_applied("A-1").await;
    first.signal(Signal::TERM);
    first.finished().await.expect_code(0);
    scene.publish("A-2");

    let _second = started(scene.daemon().with("delivery.lease", "1h")).await;

    scene.is_applied("A-2").await;
}

#[tokio::test]
async fn the_service_manager_hears_of_the_start_of_the_watchdog_and_of_the_stop() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("the daemon says something");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };

    let invocation = scene.daemon().env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "100000");
    let daemon = started(invocation).await;
    let (ready, ping, another_ping) = (hear(), hear(), hear());
    daemon.signal(Signal::TERM);
    let last_words: Vec<String> =
        std::iter::repeat_with(hear).take_while(|said| !said.contains("STOPPING=1")).collect();
    daemon.finished().await.expect_code(0);

    assert!(ready.contains("READY=1") && ready.contains("STATUS=1 sources, 1 sinks"), "{ready}");
    assert_eq!((ping.trim(), another_ping.trim()), ("WATCHDOG=1", "WATCHDOG=1"));
    assert!(last_words.iter().all(|said| said.trim() == "WATCHDOG=1"), "{last_words:?}");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_ends_the_start_with_3_and_is_named_without_its_password() {
    let simulation = no_orders().await;
    let port = unused_port();
    let nowhere =
        TestDatabase { url: format!("postgres://sync:hunter2@127.0.0.1:{port}/orders").into(), name: String::new() };
    let config = ConfigFile::of(&nowhere, &simulation);

    for command in ["run", "migrate"] {
        let finished = config.command(&[command]).with("database.connect_timeout", "1s").finish().await.expect_code(3);

        let said = format!("{}{}", finished.stdout, finished.stderr);
        for part in ["127.0.0.1", &port.to_string(), "orders", "sync", "could not be reached within"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn a_database_that_refuses_us_ends_the_start_at_once_as_waiting_would_not_help() {
    let scene = Scene::set().await;
    let database = fresh_database().await;
    let wrong = secrecy::ExposeSecret::expose_secret(&database.url).replace(&database.name, "no_such_database");
    let daemon = scene.daemon().with("database.url", &wrong).with("database.connect_timeout", "10m");

    let finished = daemon.finish().await.expect_code(4);

    assert!(
        finished.stderr.contains("no_such_database") && finished.stderr.contains("refuses us"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn a_sigterm_while_waiting_for_the_database_ends_the_start() {
    let simulation = no_orders().await;
    let url = format!("postgres://sync:hunter2@127.0.0.1:{}/orders", unused_port());
    let nowhere = TestDatabase { url: url.into(), name: String::new() };
    let config = ConfigFile::of(&nowhere, &simulation);
    let mut daemon = config.command(&["run"]).with("database.connect_timeout", "10m").start();
    daemon.says("database not reachable yet").await;

    daemon.signal(Signal::TERM);

    daemon.finished().await.expect_code(0);
}

#[tokio::test]
async fn a_database_that_comes_up_late_is_waited_for() {
    let dir = reachable_tempdir();
    let server = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    let database = TestDatabase { url: server.url().clone(), name: "postgres".to_owned() };
    server.stop().await.unwrap();
    let simulation = no_orders().await;
    let config = ConfigFile::of(&database, &simulation);
    let mut daemon = config.command(&["run"]).start();
    daemon.says("database not reachable yet").await;

    let server = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();

    daemon.says(STARTED).await;
    drop(daemon);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_that_goes_away_after_the_start_is_waited_for_and_work_goes_on() {
    let dir = reachable_tempdir();
    let server = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    let database = TestDatabase { url: server.url().clone(), name: "postgres".to_owned() };
    migrate(&connect(&database.url, &ConnectOptions::default()).await.unwrap(), &MIGRATOR).await.unwrap();
    let simulation = no_orders().await;
    let config = ConfigFile::of(&database, &simulation);
    // A patience shorter than the outage, because only the start is bounded by it; and leases that nobody could wait for.
    let patience = config.command(&["run"]).with("database.connect_timeout", "1s").with("delivery.lease", "1h");
    let mut daemon = started(patience).await;
    simulation.scoffable.journal().wait_until(|journal| journal.total() > 0, PATIENCE).await.unwrap();

    server.stop().await.unwrap();
    daemon.says("failed").await;
    simulation.scoffable.publish(order("A-1", 1, "accepted").to_string());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(daemon.is_running());
    let server = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    assert_eq!(server.tenure(), Tenure::Started);

    let applied = |ledger: &simulator::ledger::Ledger| !ledger.applied(SOURCE, "A-1").is_empty();
    simulation.webhook.wait_until(applied, PATIENCE).await.expect("it heals by itself");
    daemon.signal(Signal::TERM);
    daemon.finished().await.expect_code(0);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_without_a_database_still_ends_within_the_drain_limit() {
    let dir = reachable_tempdir();
    let server = EmbeddedServer::start(throw_away(dir.path())).await.unwrap();
    let database = TestDatabase { url: server.url().clone(), name: "postgres".to_owned() };
    let simulation = no_orders().await;
    let config = ConfigFile::of(&database, &simulation);
    let mut daemon = started(config.command(&["run"]).with("delivery.drain", "1s")).await;
    server.stop().await.unwrap();
    daemon.says("failed").await;

    daemon.signal(Signal::TERM);

    daemon.finished().await.expect_code(0);
}

#[tokio::test]
async fn a_process_that_wakes_up_after_its_leases_ran_out_sends_nothing_of_them() {
    let scene = Scene::set().await;
    // The first of five keeps the only slot busy while the process falls asleep.
    scene.simulation.webhook.answer_next([slow(Duration::from_millis(800)), plainly()]);
    for number in 1..=5 {
        scene.publish(&format!("A-{number}"));
    }
    let sleeper = started(scene.daemon().with("sinks.hook.concurrency", "1")).await;
    scene.is_being_sent("A-1").await;
    let claimed = "SELECT count(*) FROM deliveries WHERE state = 'in_flight'";
    until("all are claimed", async || sqlx::query_scalar::<_, i64>(claimed).fetch_one(&scene.pool).await.unwrap() == 5)
        .await;
    sleeper.signal(Signal::STOP);

    let _other = started(scene.daemon()).await;
    let applied = "SELECT count(*) FROM deliveries WHERE state = 'applied'";
    until("the other has done all", async || {
        sqlx::query_scalar::<_, i64>(applied).fetch_one(&scene.pool).await.unwrap() == 5
    })
    .await;
    let requests = scene.simulation.webhook.journal().total();
    sleeper.signal(Signal::CONT);
    sleeper.signal(Signal::TERM);
    sleeper.finished().await.expect_code(0);

    assert_eq!(scene.simulation.webhook.journal().total(), requests);
    assert!(scene.simulation.webhook.violations().is_empty(), "{:#?}", scene.simulation.webhook.violations());
    assert!(scene.simulation.scoffable.is_drained_by(TOKEN_ID));
}

#[tokio::test]
async fn a_daemon_without_a_configuration_says_where_it_looked() {
    let finished = scoffable_sync(["run"]).finish().await.expect_code(2);

    assert!(finished.stderr.contains("scoffable-sync.toml"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_reload_reads_the_file_again_and_goes_on_with_what_it_says() {
    let scene = Scene::set().await;
    scene.publish("A-1");
    let mut daemon = started(scene.daemon()).await;
    scene.is_applied("A-1").await;
    let file = std::fs::read_to_string(scene.config.path()).expect("the file is there");
    let narrower = file.replace("kind = \"webhook\"", "kind = \"webhook\"\nvendors = [\"another\"]");
    std::fs::write(scene.config.path(), narrower).expect("the folder is writable");

    daemon.signal(Signal::HUP);
    daemon.says("settings reloaded").await;
    scene.publish("A-2");

    until("the second order is decided", async || {
        let state = "SELECT max(reason) FROM deliveries WHERE order_id = 'A-2'";
        sqlx::query_scalar::<_, Option<String>>(state).fetch_one(&scene.pool).await.unwrap().as_deref()
            == Some("filtered")
    })
    .await;
    daemon.signal(Signal::TERM);
    daemon.finished().await.expect_code(0);
}

#[tokio::test]
async fn a_reload_finishes_what_is_being_sent_and_sends_nothing_twice() {
    let scene = Scene::set().await;
    scene.simulation.webhook.answer_next([slow(Duration::from_millis(600))]);
    let mut daemon = started(scene.daemon()).await;
    scene.publish("A-1");
    scene.is_being_sent("A-1").await;

    daemon.signal(Signal::HUP);
    daemon.says("settings reloaded").await;

    assert_eq!(scene.state_of("A-1").await, "applied");
    scene.publish("A-2");
    scene.is_applied("A-2").await;
    assert_eq!(scene.simulation.webhook.ledger().repeats(), 0);
    assert!(daemon.is_running());
}

#[tokio::test]
async fn a_reload_of_a_file_with_a_mistake_changes_nothing_and_says_why() {
    let scene = Scene::set().await;
    let mut daemon = started(scene.daemon()).await;
    std::fs::write(scene.config.path(), "[sinks.hook]\nkind = \"fax\"").expect("the folder is writable");

    daemon.signal(Signal::HUP);
    daemon.says("settings not reloaded").await;
    scene.publish("A-1");

    scene.is_applied("A-1").await;
    assert!(daemon.is_running());
}

/// A process that stops itself at a boundary, another one that takes over its work, and the first one waking up then.
/// Returns how much had been received until it woke.
async fn stopped_at(boundary: &str, taken_over: impl AsyncFnOnce(&Scene)) -> (Scene, usize) {
    let scene = Scene::set().await;
    scene.publish("A-1");
    let stopped = scene.daemon().env("SCOFFABLE_SYNC_FAILPOINT", &format!("{boundary}=stop")).start();
    until("the first process stands still with the order", async || {
        let held = "SELECT count(*) FROM deliveries WHERE state = 'in_flight'";
        sqlx::query_scalar::<_, i64>(held).fetch_one(&scene.pool).await.unwrap() == 1 && stopped.is_stopped()
    })
    .await;
    let second = started(scene.daemon()).await;
    taken_over(&scene).await;
    until("the second process has settled it", async || scene.state_of("A-1").await == "applied").await;
    let received = scene.simulation.webhook.received().len();

    stopped.signal(Signal::CONT);
    stopped.signal(Signal::TERM);
    stopped.finished().await.expect_code(0);
    second.signal(Signal::TERM);
    second.finished().await.expect_code(0);
    (scene, received)
}

#[tokio::test]
async fn a_process_that_stood_still_for_longer_than_its_lease_sends_nothing_when_it_wakes() {
    // Right before the call: what it would have sent was of the past by then.
    for boundary in ["deliveries_claimed", "step_sending"] {
        let (scene, received) = stopped_at(boundary, async |_| {}).await;

        assert!(received >= 1, "the second process has sent it");
        assert_eq!(scene.simulation.webhook.received().len(), received, "the sleeper sent nothing: {boundary}");
        assert_eq!(scene.simulation.webhook.violations(), []);
    }
}

#[tokio::test]
async fn a_process_that_stood_still_with_an_answer_changes_nothing_that_another_settled_since() {
    let (scene, _) = stopped_at("step_answered", async |scene| {
        scene.simulation.scoffable.publish(order("A-1", 2, "accepted").to_string());
        until("the newer version is brought", async || {
            let applied = "SELECT coalesce(max(applied_version), 0) FROM deliveries";
            sqlx::query_scalar::<_, i64>(applied).fetch_one(&scene.pool).await.unwrap() == 2
        })
        .await;
    })
    .await;

    let stands = "SELECT applied_version::text || state FROM deliveries";
    let stands: String = sqlx::query_scalar(stands).fetch_one(&scene.pool).await.unwrap();
    assert_eq!(stands, "2applied", "what the sleeper knew is of the past");
    assert_eq!(scene.simulation.webhook.violations(), []);
}
