//! What the benchmarks stand on: a private Postgres with production durability, simulated systems on loopback, and the
//! table of ratios. Every figure is held against a bare loop of the same run; absolute figures belong to one machine.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

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
    simulator::{
        scoffable::{Limits, ScoffableOptions, ScoffableSim},
        world::{World, WorldOptions},
    },
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, PgPool};

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

/// CPU time of this process so far, user and system.
pub fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<u64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    // The state is no number and falls out: utime and stime are then the 11th and 12th.
    let ticks = fields.get(10).copied().unwrap_or_default() + fields.get(11).copied().unwrap_or_default();
    Duration::from_millis(ticks * 10)
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
