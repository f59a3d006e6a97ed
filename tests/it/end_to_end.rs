//! The real binary against misbehaving systems, killed at random instants while orders pour in, until all is done (G1–G4,
//! G8, G9): whatever happened on the way, the receiver's books say in the end what the stream says.
//!
//! A run depends on its seed and on the machine's speed. `SEED=7` repeats one, `SEEDS=20` runs that many.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::process::{Signal, kill_process};
use scoffable_sync::{
    database::{
        MIGRATOR,
        connect::{ConnectOptions, connect},
        embedded::{Durability, EmbeddedOptions, EmbeddedServer},
        migrate::migrate,
    },
    simulator::{
        Simulation, TOKEN_ID,
        faults::Chaos,
        scoffable::{Limits, Pace, ScoffableOptions, ScoffableSim},
        webhook::{WebhookOptions, WebhookSim},
        world::{Readability, World, WorldOptions},
    },
};
use sqlx::PgPool;

use crate::harness::{
    app::SOURCE,
    postgres::{TestDatabase, fresh_database, reachable_tempdir, throw_away},
    process::{ConfigFile, Process},
};

/// Longest time from the last kill until everything is delivered: a lease, the waits of misbehaving systems, a busy
/// machine.
const HEALED_WITHIN: Duration = Duration::from_secs(90);

/// The kills are what this is about; a stream and a receiver at their worst, as in `demo --chaos hard`, would mostly make
/// a run longer.
const CHAOS: Chaos = Chaos::Mild;
/// How long the receiver works on a request: so slow that work piles up, and a kill finds requests under way.
const BUSY: Duration = Duration::from_millis(50);

/// Random runs of one test.
fn seeds(default: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (1..=count).collect(),
        (None, None) => vec![default],
    }
}

/// What pours in.
struct Load {
    orders: usize,
    pace: Duration,
}

/// Simulated systems, a database, and whatever processes a test starts on them.
struct Scene {
    seed: u64,
    dice: StdRng,
    simulation: Simulation,
    pool: PgPool,
    config: ConfigFile,
}

impl Scene {
    async fn set(seed: u64, load: Load, database: &TestDatabase) -> Self {
        eprintln!("seed {seed}");
        let epoch = chrono::Utc::now() - World::longest_span(load.orders);
        let world = World::generate(WorldOptions { seed, orders: load.orders, epoch, ..WorldOptions::default() });
        let scoffable = ScoffableOptions {
            pace: Pace::Over(load.pace),
            limits: Limits::NONE,
            latency: Duration::from_millis(10),
            chaos: CHAOS,
            seed,
            ..ScoffableOptions::default()
        };
        let webhook = WebhookOptions { latency: BUSY, chaos: CHAOS, seed, ..WebhookOptions::default() };
        let simulation = Simulation {
            scoffable: ScoffableSim::start(&world, scoffable).await.expect("a loopback port is free"),
            webhook: WebhookSim::start(webhook).await.expect("a loopback port is free"),
            spoton: None,
            godatafeed: None,
            xero: None,
            lightspeed: None,
            unleashed: None,
            world: Arc::new(world),
        };
        Self {
            seed,
            dice: StdRng::seed_from_u64(seed),
            pool: database.pool().await,
            config: ConfigFile::of(database, &simulation),
            simulation,
        }
    }

    fn start(&self) -> Process {
        self.config.command(&["run"]).start()
    }

    /// Lets the processes work for a random time.
    async fn a_while(&mut self, longest_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.dice.random_range(0..longest_ms))).await;
    }

    /// Lets the processes work until something was delivered since the last call, and a random time longer.
    async fn some_deliveries(&mut self, longest_ms: u64) {
        let before = self.simulation.webhook.ledger().n_applied();
        // There may be nothing left to deliver, or nothing before a lease ends.
        let patience = Duration::from_secs(2);
        let _ = self.simulation.webhook.wait_until(|ledger| ledger.n_applied() > before, patience).await;
        self.a_while(longest_ms).await;
    }

    /// Waits until the daemon has read and delivered everything, and holds all books against each other.
    async fn comes_right(&self, daemon: &Process) {
        let began = Instant::now();
        while !self.is_at_rest().await {
            if began.elapsed() > HEALED_WITHIN {
                let (open, said) = (self.what_is_open().await, daemon.stderr());
                panic!("seed {}: not at rest after {HEALED_WITHIN:?}:\n{open}\n{said}", self.seed);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.assert_books_agree().await;
    }

    async fn is_at_rest(&self) -> bool {
        if !self.simulation.scoffable.is_drained_by(TOKEN_ID) {
            return false;
        }
        let open = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM deliveries WHERE open").fetch_one(&self.pool);
        open.await.is_ok_and(|open| open == 0)
    }

    async fn what_is_open(&self) -> String {
        let sql = "SELECT format('%s %s due %s lease %s %s', order_id, state, next_attempt_at, lease_expires_at, last_error)
             FROM deliveries WHERE open
             UNION ALL SELECT format('source %s %s %s lease %s %s', name, state, reason, lease_expires_at, last_error) FROM sources";
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap_or_default();
        let stream = &self.simulation.scoffable;
        format!("{}\nstream: {} of {}", rows.join("\n"), stream.confirmed(TOKEN_ID), stream.planned())
    }

    async fn assert_books_agree(&self) {
        let Self { seed, simulation, .. } = self;

        let mismatches = simulation.webhook.compare(SOURCE, &simulation.world);
        assert!(mismatches.is_empty(), "seed {seed}: {mismatches:#?}");
        let violations = simulation.webhook.violations();
        assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
        self.assert_every_version_is_stored().await;
        self.assert_cursor_is_at_the_end().await;
        let at_odds = "SELECT count(*) FROM deliveries
             WHERE lease_token IS NOT NULL OR lease_expires_at IS NOT NULL OR state NOT IN ('applied', 'skipped')
                OR (state = 'applied' AND applied_version <> (SELECT version FROM orders o
                    WHERE o.source = deliveries.source AND o.order_id = deliveries.order_id))";
        assert_eq!(self.number(at_odds).await, 0, "seed {seed}: deliveries that are not done with the newest version");
        let owed = "SELECT (SELECT count(*) FROM orders) - (SELECT count(*) FROM deliveries)";
        assert_eq!(self.number(owed).await, 0, "seed {seed}: orders without a delivery");
    }

    async fn assert_every_version_is_stored(&self) {
        let stored: BTreeSet<(String, i64)> = sqlx::query_as("SELECT order_id, version FROM order_versions")
            .fetch_all(&self.pool)
            .await
            .unwrap()
            .into_iter()
            .collect();
        let of_the_stream = |odd: bool| -> BTreeSet<(String, i64)> {
            let world = &self.simulation.world;
            let versions = world.orders.values().flat_map(|o| o.versions.iter().map(|v| (o.id.clone(), v)));
            let readable = |v: Readability| v == Readability::Clear || (odd && v == Readability::Odd);
            versions.filter(|(_, v)| readable(v.readability)).map(|(id, v)| (id, v.number)).collect()
        };
        let missing: Vec<_> = of_the_stream(false).difference(&stored).cloned().collect();
        assert!(missing.is_empty(), "seed {}: not stored: {missing:?}", self.seed);
        let made_up: Vec<_> = stored.difference(&of_the_stream(true)).cloned().collect();
        assert!(made_up.is_empty(), "seed {}: never on the stream: {made_up:?}", self.seed);
    }

    /// A page asked for with the stored cursor holds nothing.
    async fn assert_cursor_is_at_the_end(&self) {
        self.simulation.scoffable.faults().set_chaos(Chaos::None);
        let sql = "SELECT cursor FROM sources";
        let cursor: Option<String> = sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap();
        let cursor = cursor.expect("something was read");
        let mut url = reqwest::Url::parse(&self.simulation.scoffable.base_url()).unwrap();
        url.set_path("/v1/orderUpdates");
        url.query_pairs_mut().append_pair("pageId", &cursor);
        let token = ScoffableOptions::default().grants[0].token.clone();
        let client = scoffable_sync::http::client_builder().build().unwrap();
        let page: serde_json::Value = client.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
        assert_eq!(page["data"].as_array().map(Vec::len), Some(0), "seed {}: {page}", self.seed);
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("the test's SQL works")
    }
}

#[tokio::test]
async fn a_daemon_killed_again_and_again_ends_with_the_right_books() {
    for seed in seeds(1) {
        let database = fresh_database().await;
        let load = Load { orders: 300, pace: Duration::from_secs(5) };
        let mut scene = Scene::set(seed, load, &database).await;

        for _ in 0..10 {
            let mut daemon = scene.start();
            daemon.says("daemon started").await;
            scene.some_deliveries(300).await;
            daemon.kill().await;
        }
        let daemon = scene.start();

        scene.comes_right(&daemon).await;
        let lost = scene.number("SELECT count(*) FROM attempts WHERE outcome = 'lease_expired'").await;
        assert!(lost > 0, "seed {seed}: no kill hit a delivery under way");
    }
}

#[tokio::test]
async fn two_processes_share_the_work_while_one_of_them_is_killed_again_and_again() {
    for seed in seeds(2) {
        let database = fresh_database().await;
        let load = Load { orders: 300, pace: Duration::from_secs(5) };
        let mut scene = Scene::set(seed, load, &database).await;

        let mut steady = scene.start();
        for _ in 0..5 {
            let daemon = scene.start();
            scene.some_deliveries(900).await;
            daemon.kill().await;
        }

        scene.comes_right(&steady).await;
        assert!(steady.is_running());
    }
}

#[tokio::test]
async fn a_database_killed_under_the_daemon_is_waited_for_and_nothing_is_lost() {
    for seed in seeds(3) {
        let dir = reachable_tempdir();
        let options = EmbeddedOptions { durability: Durability::Full, ..throw_away(dir.path()) };
        let server = EmbeddedServer::start(options).await.unwrap();
        let database = TestDatabase { url: server.url().clone(), name: "postgres".to_owned() };
        let pool = connect(&database.url, &ConnectOptions::default()).await.unwrap();
        migrate(&pool, &MIGRATOR).await.unwrap();
        let load = Load { orders: 200, pace: Duration::from_secs(4) };
        let mut scene = Scene::set(seed, load, &database).await;

        let mut daemon = scene.start();
        for _ in 0..3 {
            scene.some_deliveries(800).await;
            let running = server.pid().expect("the keeper keeps one running");
            // It may just be on its way up again.
            let _ = kill_process(running, Signal::KILL);
        }

        scene.comes_right(&daemon).await;
        assert!(daemon.is_running(), "it was the same process all the time");
        server.stop().await.unwrap();
    }
}
