//! What the benchmarks stand on: a private Postgres with production durability, simulated systems on loopback, and the
//! table of ratios. Every figure is held against a bare loop of the same run; absolute figures belong to one machine.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, routing::post};
use chrono::{DateTime, Utc};
use scoffable_sync::{
    app::{self, App},
    clock::Clock,
    config::{self, LoadOptions, Settings},
    database::{
        MIGRATOR,
        connect::{self, ConnectOptions},
        embedded::{EmbeddedOptions, EmbeddedServer},
        install::Consent,
        migrate,
    },
    lifecycle::Lifecycle,
    simulator::{
        scoffable::{Limits, ScoffableOptions, ScoffableSim},
        world::{World, WorldOptions},
        xero::XeroSim,
    },
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::net::TcpListener;

pub struct Bench {
    server: EmbeddedServer,
    folder: tempfile::TempDir,
    databases: u32,
}

impl Bench {
    pub async fn start() -> Self {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt};
        let mut builder = tempfile::Builder::new();
        let folder = builder.permissions(Permissions::from_mode(0o711)).tempdir().expect("the temp folder is writable");
        let consent = Consent::from_environment();
        let options = EmbeddedOptions { consent, ..EmbeddedOptions::in_folder(folder.path()) };
        let server = EmbeddedServer::start(options).await.expect("Postgres starts");
        println!("PostgreSQL {}, fsync on, {} cores\n", server.version(), num_cpus());
        Self { server, folder, databases: 0 }
    }

    /// A migrated, empty database; a checkpoint before it evens out what an earlier case left behind.
    pub async fn database(&mut self) -> (SecretString, PgPool) {
        let name = format!("bench_{}", self.databases);
        self.databases += 1;
        let maintenance = PgPool::connect(self.server.url().expose_secret()).await.expect("it can be reached");
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&maintenance).await.expect("a database can be made");
        let url = self.server.url_of(&name);
        let pool = connect::connect(&url, &ConnectOptions::default()).await.expect("it can be reached");
        migrate::migrate(&pool, &MIGRATOR).await.expect("the schema can be made");
        sqlx::query("CHECKPOINT").execute(&maintenance).await.expect("a checkpoint is possible");
        maintenance.close().await;
        (url, pool)
    }

    pub async fn stop(self) {
        self.server.stop().await.expect("Postgres stops");
        drop(self.folder);
    }
}

pub fn num_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A stream with about so many versions of 3 KB, all there from the start, without limits.
pub async fn stream(orders: usize, latency: Duration) -> (Arc<World>, ScoffableSim) {
    let options = WorldOptions { orders, payload_bytes: Some(3_000), ..WorldOptions::default() };
    let world = Arc::new(World::generate(options));
    let options = ScoffableOptions { limits: Limits::NONE, latency, ..ScoffableOptions::default() };
    let sim = ScoffableSim::start(&world, options).await.expect("a loopback port is free");
    (world, sim)
}

/// The token of [`stream`].
pub fn token() -> String {
    ScoffableOptions::default().grants[0].token.clone()
}

/// Where no stream is.
pub const NOWHERE: &str = "http://127.0.0.1:9/";

/// Answers every POST with 200 after a while, and counts.
pub struct Receiver {
    pub url: String,
    pub received: Arc<AtomicU64>,
}

impl Receiver {
    pub async fn start(latency: Duration) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&received);
        let handler = move || async move {
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(handler))).await });
        Self { url, received }
    }
}

/// Orders by their ids, with when they came.
pub type Arrivals = Arc<Mutex<Vec<(String, DateTime<Utc>)>>>;

/// Notes when each order arrives.
pub async fn noting_receiver() -> (String, Arrivals) {
    let arrivals = Arrivals::default();
    let noted = Arc::clone(&arrivals);
    let handler = move |body: Bytes| async move {
        let at = Utc::now();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("the body is JSON");
        let order = body["order_id"].as_str().unwrap_or_default().to_owned();
        noted.lock().expect("nobody panicked").push((order, at));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(handler))).await });
    (format!("http://{address}/"), arrivals)
}

/// The real program as a daemon with one source and one sink; not started yet.
pub fn daemon(url: &SecretString, sim: &ScoffableSim, hook: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scoffable-sync"));
    command
        .args(["--config", "/dev/null", "run"])
        .env("SCOFFABLE_SYNC__DATABASE__URL", url.expose_secret())
        .env("SCOFFABLE_SYNC__HTTP__LISTEN", "127.0.0.1:0")
        .env("SCOFFABLE_SYNC__SOURCES__MAIN__KIND", "scoffable")
        .env("SCOFFABLE_SYNC__SOURCES__MAIN__BASE_URL", sim.base_url())
        .env("SCOFFABLE_SYNC__SOURCES__MAIN__TOKEN", token())
        .env("SCOFFABLE_SYNC__SINKS__HOOK__KIND", "webhook")
        .env("SCOFFABLE_SYNC__SINKS__HOOK__URL", hook)
        .env("SCOFFABLE_SYNC__SINKS__HOOK__SIGNING_SECRET", "whsec_c2ltdWxhdG9yIHNpZ25pbmcga2V5LCBub3Qgc2VjcmV0");
    command
}

/// Starts a daemon that reads each second, as much as there is.
pub fn start_eager(mut daemon: Command) -> Child {
    daemon
        .env("SCOFFABLE_SYNC__SOURCES__MAIN__POLL_INTERVAL", "1s")
        .env("SCOFFABLE_SYNC__SOURCES__MAIN__REQUESTS_PER_MINUTE", "unlimited")
        .env("SCOFFABLE_SYNC__SOURCES__MAIN__ACCOUNT_REQUESTS_PER_MINUTE", "unlimited");
    start(daemon)
}

pub fn start(mut daemon: Command) -> Child {
    daemon.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

pub fn kill(daemon: &mut Child) {
    daemon.kill().expect("it can be killed");
    daemon.wait().expect("it ends");
}

/// Settings of a source and a webhook sink that posts to `hook`.
pub fn settings(url: &SecretString, base_url: &str, hook: &str, more: &[(&str, &str)]) -> Settings {
    let token = token();
    let mut overrides: BTreeMap<&str, &str> = [
        ("database.url", url.expose_secret()),
        ("http.listen", "off"),
        ("sources.main.kind", "scoffable"),
        ("sources.main.base_url", base_url),
        ("sources.main.token", &token),
        ("sources.main.requests_per_minute", "unlimited"),
        ("sources.main.account_requests_per_minute", "unlimited"),
        ("sinks.hook.kind", "webhook"),
        ("sinks.hook.url", hook),
        ("sinks.hook.signing_secret", "whsec_c2ltdWxhdG9yIHNpZ25pbmcga2V5LCBub3Qgc2VjcmV0"),
    ]
    .into();
    overrides.extend(more.iter().copied());
    let overrides = overrides.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    config::load(&LoadOptions { overrides, ..LoadOptions::default() }).expect("the benchmark's settings are valid")
}

pub async fn assemble(settings: &Settings, pool: &PgPool) -> App {
    let clock = Clock::default();
    app::register(pool, settings, &clock).await.expect("the rows can be registered");
    App::build(settings, pool, &clock, &app::owner()).expect("valid settings can be built")
}

/// Deliveries a second of so many new orders, all due at once. What an earlier call left of its orders goes first.
pub async fn deliver_new(settings: &Settings, pool: &PgPool, sink: &Receiver, deliveries: u64) -> f64 {
    let statements = [
        "WITH gone AS (DELETE FROM deliveries WHERE order_id LIKE 'd-%'), old AS (DELETE FROM attempts WHERE order_id LIKE 'd-%')
         INSERT INTO order_versions (source, order_id, version, status, content_hash, verdict, breakdown, payload, castable)
         SELECT 'main', 'd-' || n, 1, 'accepted', sha256(n::text::bytea), 'balanced', '{}', '{\"id\":\"1\",\"version\":1}', true
         FROM generate_series(1, $1) n
         ON CONFLICT DO NOTHING",
        "INSERT INTO orders (source, order_id, version, status)
         SELECT 'main', 'd-' || n, 1, 'accepted' FROM generate_series(1, $1) n
         ON CONFLICT DO NOTHING",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, next_attempt_at)
         SELECT 'hook', 'main', 'd-' || n, 'pending', 1, now() FROM generate_series(1, $1) n",
    ];
    for statement in statements {
        sqlx::query(statement).bind(deliveries as i64).execute(pool).await.expect("it can be filled");
    }
    sqlx::query("CHECKPOINT").execute(pool).await.expect("a checkpoint is possible");
    let app = assemble(settings, pool).await;
    let lifecycle = Lifecycle::new();
    let before = sink.received.load(Ordering::Relaxed);
    let started = Instant::now();
    for dispatcher in app.dispatchers {
        lifecycle.spawn("dispatcher", dispatcher.run(lifecycle.drain().clone()));
    }
    while sink.received.load(Ordering::Relaxed) - before < deliveries {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(started.elapsed() < Duration::from_mins(10), "deliveries never end");
    }
    let took = started.elapsed();
    lifecycle.request_drain();
    lifecycle.run_to_end(Duration::from_secs(10)).await;
    deliveries as f64 / took.as_secs_f64()
}

/// CPU time of this process so far, user and system.
pub fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Source: proc_pid_stat(5): behind the name in brackets, utime and stime are the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// CPU time of the backends that serve our pool.
pub async fn server_cpu(pool: &PgPool) -> Duration {
    let pids: Vec<i32> = sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        .fetch_all(pool)
        .await
        .expect("activity can be read");
    pids.into_iter().map(|pid| cpu_of(pid as u32)).sum()
}

/// The keys of a sink `books` at this Xero, without limits.
pub fn at_books(sim: &XeroSim) -> Vec<(String, String)> {
    let options = sim.options();
    let accounts = [
        ("sales", "200"),
        ("service_fee", "201"),
        ("delivery_fee", "202"),
        ("vendor_voucher", "205"),
        ("rounding", "498"),
        ("difference", "499"),
        ("scoffable_clearing", "611"),
        ("cash", "612"),
        ("card_terminal", "613"),
    ];
    let (url, token_url) = (sim.url(), sim.token_url());
    let keys = [
        ("kind", "xero"),
        ("base_url", &url),
        ("token_url", &token_url),
        ("client_id", &options.client_id),
        ("client_secret", &options.client_secret),
        ("scopes", "broad"),
        ("time_zone", "Europe/London"),
        ("stable_for", "0s"),
        ("tax_types.default", "OUTPUT2"),
        ("tax_types.untaxed", "NONE"),
        ("limits.per_minute", "unlimited"),
        ("limits.per_day", "unlimited"),
    ];
    let keys = keys.map(|(key, value)| (format!("sinks.books.{key}"), value.to_owned()));
    let accounts = accounts.map(|(key, code)| (format!("sinks.books.accounts.{key}"), code.to_owned()));
    keys.into_iter().chain(accounts).collect()
}

/// The real program, at this database and without anything else that is configured.
pub fn command(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scoffable-sync"));
    command
        .env("SCOFFABLE_SYNC__DATABASE__URL", url)
        .env("SCOFFABLE_SYNC__SOURCES__MAIN__KIND", "scoffable")
        .env("SCOFFABLE_SYNC__SOURCES__MAIN__TOKEN", "none");
    command
}

/// What a command took.
pub struct Run {
    pub took: Duration,
    pub peak_kib: f64,
}

/// Runs a command to its end, which has to be a good one and to say something.
pub fn run(command: &mut Command) -> Run {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
    let watching = std::thread::spawn({
        let pid = child.id();
        move || most_memory_of(pid)
    });
    // Read as it comes, as a pipe into a file would.
    let mut out = child.stdout.take().expect("it is piped");
    let written = std::io::copy(&mut out, &mut std::io::sink()).expect("it can be read");
    let status = child.wait().expect("it ends");
    assert!(status.success() && written > 0, "{status}");
    Run { took: started.elapsed(), peak_kib: watching.join().expect("nobody panicked") }
}

/// The most memory that a process ever had, in KiB, looked at until it ends.
fn most_memory_of(pid: u32) -> f64 {
    let mut most = 0.0;
    // Source: proc_pid_status(5): VmHWM, in KiB, the highest so far. It is gone once the process has ended.
    while let Some(now) = std::fs::read_to_string(format!("/proc/{pid}/status")).ok().as_deref().and_then(high_water) {
        most = now;
        std::thread::sleep(Duration::from_millis(10));
    }
    most
}

fn high_water(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
