//! One seed's world: a database of its own, the simulated systems, and the replicas with their ways to Postgres.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use scoffable_sync::{
    cli::demo::arrange::{self, SINKS, Scale},
    clock::Clock,
    database::{MIGRATOR, connect, embedded::EmbeddedServer, migrate::migrate},
    simulator::{
        Simulation,
        faults::{Chaos, Faults},
        journal::Journal,
        shell::Sim,
    },
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;

use crate::{
    daemon::Daemon,
    disk::SmallDisk,
    front::{Front, Resets},
    harness::{reachable_tempdir, throw_away},
    plan::Plan,
    pooler::Pooler,
    proxy::Proxy,
};

const TEMPLATE: &str = "chaos_template";
/// A server that was killed is up again by then.
const UP_AGAIN_WITHIN: Duration = Duration::from_secs(30);
/// The shortest that outlasts the destinations' timeout.
pub const LEASE: Duration = Duration::from_secs(12);

/// Fewer than three replicas open.
const POOLED_CONNECTIONS: u32 = 15;
/// More than the program has.
const POOLED_STATEMENTS: u32 = 500;

/// A Postgres for one world after another.
#[derive(Debug)]
pub struct Server {
    pub embedded: EmbeddedServer,
    /// Where worlds' databases lie; none where nothing may be mounted.
    pub small_disk: anyhow::Result<SmallDisk>,
    /// Before it; none where there is no PgBouncer.
    pub pooler: Result<Pooler, String>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub async fn start() -> anyhow::Result<Self> {
        let folder = reachable_tempdir();
        let embedded = EmbeddedServer::start(throw_away(folder.path())).await?;
        // The log stays where it is: a server that cannot write there stops.
        let small_disk = SmallDisk::mount(folder.path().join("small"), &embedded.dir().join("pg"));
        let pooler = Pooler::before(embedded.url(), POOLED_CONNECTIONS, POOLED_STATEMENTS).await;
        let server = Self { embedded, small_disk, pooler, _folder: folder };
        if let Ok(disk) = &server.small_disk {
            server.run(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display())).await?;
        }
        server.create(TEMPLATE, "template0", "pg_default").await?;
        let pool = connect::connect(&server.embedded.url_of(TEMPLATE), &connect::ConnectOptions::default()).await?;
        migrate(&pool, &MIGRATOR).await?;
        // A template can only be copied while nobody is connected to it.
        pool.close().await;
        Ok(server)
    }

    async fn create(&self, name: &str, template: &str, tablespace: &str) -> anyhow::Result<()> {
        self.run(&format!("CREATE DATABASE {name} TEMPLATE {template} TABLESPACE {tablespace}")).await?;
        // A commit that was answered has to outlive the server's processes, if not the machine.
        self.run(&format!("ALTER DATABASE {name} SET synchronous_commit = on")).await
    }

    /// Where the replicas of this plan find it.
    fn port(&self, plan: &Plan) -> u16 {
        self.pooler.as_ref().ok().filter(|_| plan.pooled).map_or_else(|| self.embedded.port(), Pooler::port)
    }

    /// A statement of the server's owner, as soon as the server is up.
    pub async fn run(&self, sql: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let done = async {
                let mut connection = PgConnection::connect(self.embedded.url().expose_secret()).await?;
                // Also where the database that is disturbed is this one.
                connection.execute(AssertSqlSafe(sql.to_owned())).await?;
                connection.close().await
            };
            match done.await {
                Err(error) if connect::may_pass(&error) && began.elapsed() < UP_AGAIN_WITHIN => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                done => return done.with_context(|| sql.to_owned()),
            }
        }
    }
}

/// A daemon and its way to the database.
#[derive(Debug)]
pub struct Replica {
    pub daemon: AsyncMutex<Daemon>,
    pub proxy: Proxy,
}

/// A simulated system, as far as all are alike.
#[derive(Debug)]
pub struct Simulated {
    pub name: &'static str,
    pub faults: Faults,
    pub journal: Journal,
    /// As replicas come to it.
    pub front: Front,
}

/// Everything of one seed.
#[derive(Debug)]
pub struct World<'a> {
    pub plan: &'a Plan,
    pub server: &'a Server,
    pub database: String,
    pub url: SecretString,
    /// Moved forward together with the replicas' time.
    pub clock: Clock,
    pub simulation: Simulation,
    pub simulated: Vec<Simulated>,
    pub replicas: Vec<Replica>,
    pub database_was_struck: AtomicBool,
    pub first_is_struck: CancellationToken,
    later_by_ms: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl<'a> World<'a> {
    pub async fn set(plan: &'a Plan, server: &'a Server, logs: &Path) -> anyhow::Result<Self> {
        let database = format!("chaos_{}", plan.seed);
        server.run(&format!("DROP DATABASE IF EXISTS {database}")).await?;
        server.create(&database, TEMPLATE, if server.small_disk.is_ok() { "small" } else { "pg_default" }).await?;
        let url = server.embedded.url_of(&database);
        let clock = Clock::default();
        let scale = Scale { orders: plan.orders, seed: plan.seed, chaos: plan.chaos, pace: plan.pace };
        let simulation = arrange::simulate(scale, &clock).await?;
        let simulated = simulated(&simulation).await?;
        std::fs::create_dir_all(logs)?;
        let mut replicas = Vec::new();
        for number in 0..plan.replicas.len() {
            let proxy = Proxy::to(server.port(plan)).await?;
            let mut keys = arrange::keys("off", &simulation, &through(&url, proxy.port())?)?;
            name_the_fronts(&mut keys, &simulated)?;
            keys.extend(settings(plan).map(|(key, value)| (key.to_owned(), value)));
            let log: PathBuf = logs.join(format!("seed-{}-replica-{number}.log", plan.seed));
            let _ = std::fs::remove_file(&log);
            replicas.push(Replica { daemon: AsyncMutex::new(Daemon::new(&keys, log)), proxy });
        }
        Ok(Self {
            plan,
            server,
            database,
            url,
            clock,
            simulated,
            simulation,
            replicas,
            database_was_struck: AtomicBool::new(false),
            first_is_struck: CancellationToken::new(),
            later_by_ms: AtomicU64::new(0),
            violations: Mutex::default(),
        })
    }

    /// A connection of the proof's own, past every fault but those of the server.
    pub async fn pool(&self) -> anyhow::Result<PgPool> {
        Ok(connect::connect(&self.url, &connect::ConnectOptions::default()).await?)
    }

    pub fn later_by(&self) -> Duration {
        Duration::from_millis(self.later_by_ms.load(Ordering::Relaxed))
    }

    /// Moves everybody's time; the replicas' from their next start on.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.later_by_ms.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    pub fn note(&self, violation: String) {
        self.violations().push(violation);
    }

    pub fn violations(&self) -> MutexGuard<'_, Vec<String>> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether a replica has ended by itself, which is a violation but where it could not start, and starts it again
    /// as a service manager would.
    pub async fn look_after(&self, number: usize) -> anyhow::Result<()> {
        let mut daemon = self.replicas[number].daemon.lock().await;
        if let Some(status) = daemon.has_ended() {
            let could_not_start = !daemon.was_up() && self.database_was_struck.load(Ordering::Relaxed);
            if !could_not_start {
                self.note(format!("replica {number} ended by itself: {status}; it said last: {}", last_line(&daemon)));
            }
        }
        if !daemon.is_running() {
            daemon.start(None, self.later_by())?;
        }
        Ok(())
    }

    /// No fault is left but what cannot be mended: connections that lead nowhere, and time that was lost.
    pub async fn calm_down(&self) -> anyhow::Result<()> {
        for simulated in &self.simulated {
            simulated.faults.set_chaos(Chaos::None);
            simulated.front.reset_next(Resets::default());
        }
        let simulation = &self.simulation;
        simulation.scoffable.clear_script();
        simulation.webhook.clear_script();
        simulation.spoton.iter().for_each(Sim::clear_script);
        simulation.godatafeed.iter().for_each(Sim::clear_script);
        simulation.xero.iter().for_each(Sim::clear_script);
        simulation.lightspeed.iter().for_each(Sim::clear_script);
        simulation.unleashed.iter().for_each(Sim::clear_script);
        for number in 0..self.replicas.len() {
            self.replicas[number].proxy.pass();
            self.look_after(number).await?;
        }
        Ok(())
    }

    pub async fn end(self) -> anyhow::Result<()> {
        for replica in &self.replicas {
            replica.daemon.lock().await.kill().await;
        }
        let (server, database) = (self.server, self.database);
        self.simulation.stop().await;
        server.run(&format!("DROP DATABASE {database} WITH (FORCE)")).await
    }
}

fn last_line(daemon: &Daemon) -> String {
    daemon.said().lines().last().unwrap_or_default().to_owned()
}

async fn simulated(simulation: &Simulation) -> anyhow::Result<Vec<Simulated>> {
    macro_rules! of {
        ($name:literal, $sim:expr) => {
            Simulated {
                name: $name,
                faults: $sim.faults().clone(),
                journal: $sim.journal().clone(),
                front: Front::before($sim.address()).await?,
            }
        };
    }
    let mut all = vec![of!("stream", simulation.scoffable), of!("hook", simulation.webhook)];
    if let Some(sim) = &simulation.spoton {
        all.push(of!("pos", sim));
    }
    if let Some(sim) = &simulation.godatafeed {
        all.push(of!("feed", sim));
    }
    if let Some(sim) = &simulation.xero {
        all.push(of!("books", sim));
    }
    if let Some(sim) = &simulation.lightspeed {
        all.push(of!("shop", sim));
    }
    if let Some(sim) = &simulation.unleashed {
        all.push(of!("stock", sim));
    }
    debug_assert_eq!(all.len(), 1 + SINKS.len());
    Ok(all)
}

/// In place of the systems behind them.
fn name_the_fronts(keys: &mut [(String, String)], simulated: &[Simulated]) -> anyhow::Result<()> {
    for (key, value) in keys {
        if let Some(url) = simulated.iter().find_map(|simulated| simulated.front.url(value)) {
            *value = url;
        }
        anyhow::ensure!(!value.contains("http://"), "{key} goes past the fronts: {value}");
    }
    Ok(())
}

/// What the proof sets otherwise than the demo.
fn settings(plan: &Plan) -> impl Iterator<Item = (&'static str, String)> {
    let queue = plan.wants_a_queue().then(|| ("sinks.hook.concurrency", "1".to_owned()));
    [
        ("delivery.lease", humantime::format_duration(LEASE).to_string()),
        ("sources.demo.recover_dead_cursor", "true".to_owned()),
        ("database.max_connections", "12".to_owned()),
    ]
    .into_iter()
    .chain(queue)
}

/// The same database by another port.
fn through(url: &SecretString, port: u16) -> anyhow::Result<SecretString> {
    use sqlx::ConnectOptions as _;
    let options: PgConnectOptions = url.expose_secret().parse()?;
    Ok(options.port(port).to_url_lossy().to_string().into())
}
