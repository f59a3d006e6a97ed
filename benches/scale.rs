//! How it fares with much: 200 sources, ten million stored versions, a transaction that somebody leaves open, 100,000 versions to
//! catch up with, a week of orders; and what an order writes.
//!
//! Targets: 200 sources in sum no slower than one; claim, ingest and status with all that is stored within 1.3 of an empty
//! database; catching up < 50 MB resident, and no more after the week than after its first day.
//! `cargo bench --bench scale -- PART…` (`sources`, `stored`, `snapshot`, `writes`, `memory`; else all); `VERSIONS=n`,
//! `ORDERS=n`, `ROUNDS=n` and `WEEK_SECS=n` change the size.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::{
    process::Child,
    sync::Arc,
    time::{Duration, Instant},
};

use scoffable_sync::{
    config::Settings,
    lifecycle::Lifecycle,
    simulator::{
        scoffable::{Limits, Pace, ScoffableOptions, ScoffableSim},
        world::{World, WorldOptions},
    },
    store::status,
};
use secrecy::SecretString;
use sqlx::PgPool;
use support::{
    Bench, NOWHERE, Receiver, assemble, daemon, deliver_new, kill, median, settings, start_eager, stream, token,
};
use tokio_util::sync::CancellationToken;

const PARTS: [&str; 5] = ["sources", "stored", "snapshot", "writes", "memory"];
const SOURCES: usize = 200;
const PATIENCE: Duration = Duration::from_mins(20);

#[tokio::main]
async fn main() {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    assert!(asked.iter().all(|part| PARTS.contains(&part.as_str())), "the parts are {PARTS:?}");
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|one| one == part);
    let mut bench = Bench::start().await;
    if is_asked("sources") {
        sources(&mut bench, number("ROUNDS", 3)).await;
    }
    if is_asked("stored") {
        stored(&mut bench, number("VERSIONS", 10_000_000), number("ROUNDS", 3)).await;
    }
    if is_asked("snapshot") {
        snapshot(&mut bench, number("ORDERS", 10_000), number("ROUNDS", 20)).await;
    }
    if is_asked("writes") {
        writes(&mut bench).await;
    }
    if is_asked("memory") {
        memory(&mut bench, Duration::from_secs(number("WEEK_SECS", 180) as u64)).await;
    }
    bench.stop().await;
}

/// The same number of versions from one source, and from 200 that read a smaller world each.
async fn sources(bench: &mut Bench, rounds: usize) {
    let (world, one) = stream(10_000, Duration::ZERO).await;
    let (small, each) = stream(50, Duration::ZERO).await;
    let (of_one, of_all) = (world.versions.len(), small.versions.len() * SOURCES);
    println!("{of_one} versions from one source, {of_all} from {SOURCES}");
    let (url, token) = (each.base_url(), token());
    // Beside the one that every benchmark has.
    let keys: Vec<(String, &str)> = (1..SOURCES)
        .flat_map(|n| {
            let key = move |name: &str| format!("sources.s{n}.{name}");
            [
                (key("kind"), "scoffable"),
                (key("base_url"), url.as_str()),
                (key("token"), token.as_str()),
                (key("requests_per_minute"), "unlimited"),
                (key("account_requests_per_minute"), "unlimited"),
            ]
        })
        .collect();
    let more: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        let (url, pool) = bench.database().await;
        let alone =
            of_one as f64 / read_all(&settings(&url, &one.base_url(), NOWHERE, &[]), &pool, of_one).await.as_secs_f64();
        let (url, pool) = bench.database().await;
        let took = read_all(&settings(&url, &each.base_url(), NOWHERE, &more), &pool, of_all).await;
        let many = of_all as f64 / took.as_secs_f64();
        if round > 0 {
            println!("  one {alone:>7.0}/s  {SOURCES} {many:>7.0}/s  ratio {:.3}", many / alone);
            ratios.push(many / alone);
        }
    }
    println!("  median: {:.3}\n", median(&mut ratios));
}

/// With every poller there is, until so many versions are stored.
async fn read_all(settings: &Settings, pool: &PgPool, versions: usize) -> Duration {
    let app = assemble(settings, pool).await;
    let lifecycle = Lifecycle::new();
    let started = Instant::now();
    for poller in app.pollers {
        lifecycle.spawn("poller", poller.run(lifecycle.drain().clone()));
    }
    let read = "SELECT coalesce(sum(versions), 0)::bigint FROM sources";
    while sqlx::query_scalar::<_, i64>(read).fetch_one(pool).await.expect("it counts") < versions as i64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(started.elapsed() < PATIENCE, "they are never read");
    }
    let took = started.elapsed();
    lifecycle.request_abort();
    lifecycle.run_to_end(Duration::from_secs(1)).await;
    pool.close().await;
    took
}

/// What reading, sending and looking cost beside all that is stored already, against an empty database.
async fn stored(bench: &mut Bench, versions: usize, rounds: usize) {
    let (world, sim) = stream(4_000, Duration::ZERO).await;
    let sink = Receiver::start(Duration::ZERO).await;
    println!("an empty database, and one with {versions} versions of {} orders, all delivered", versions / 5);
    let empty = fares(bench, &sim, &sink, world.versions.len(), 0, rounds).await;
    let full = fares(bench, &sim, &sink, world.versions.len(), versions, rounds).await;
    println!(
        "  ingest  {:>7.0}/s against {:>7.0}/s  ratio {:.3}",
        full.ingest,
        empty.ingest,
        full.ingest / empty.ingest
    );
    println!("  send    {:>7.0}/s against {:>7.0}/s  ratio {:.3}", full.sent, empty.sent, full.sent / empty.sent);
    println!(
        "  status  {:>7.2} ms against {:>5.2} ms  ratio {:.3}\n",
        full.status,
        empty.status,
        full.status / empty.status
    );
}

struct Fares {
    /// Versions a second.
    ingest: f64,
    /// Deliveries a second.
    sent: f64,
    /// Of all that a probe or the page looks at, in milliseconds.
    status: f64,
}

async fn fares(
    bench: &mut Bench,
    sim: &ScoffableSim,
    sink: &Receiver,
    fresh: usize,
    versions: usize,
    rounds: usize,
) -> Fares {
    let (url, pool) = bench.database().await;
    let settings = settings(&url, &sim.base_url(), &sink.url, &[("sinks.hook.concurrency", "64")]);
    assemble(&settings, &pool).await;
    fill(&pool, versions as i64).await;
    let (mut ingest, mut sent, mut looked) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let forget = [
            "DELETE FROM deliveries WHERE order_id !~ '^[sd]-'",
            "DELETE FROM orders WHERE order_id !~ '^[sd]-'",
            "DELETE FROM order_versions WHERE order_id !~ '^[sd]-'",
            "UPDATE sources SET cursor = NULL, next_poll_at = now()",
            "VACUUM",
            "CHECKPOINT",
        ];
        let mut app = assemble(&settings, &pool).await;
        let started = Instant::now();
        app.pollers[0].tick(&CancellationToken::new()).await.expect("the poll works");
        let rate = fresh as f64 / started.elapsed().as_secs_f64();
        for statement in forget {
            sqlx::query(statement).execute(&pool).await.expect("it can be forgotten");
        }
        let delivered = deliver_new(&settings, &pool, sink, 10_000).await;
        let started = Instant::now();
        for _ in 0..50 {
            status::overview(&pool).await.expect("it is read");
            status::details(&pool, 10).await.expect("they are read");
        }
        if round > 0 {
            ingest.push(rate);
            sent.push(delivered);
            looked.push(started.elapsed().as_secs_f64() * 1e3 / 50.0);
        }
    }
    pool.close().await;
    Fares { ingest: median(&mut ingest), sent: median(&mut sent), status: median(&mut looked) }
}

/// Orders of five versions each, delivered at the last.
async fn fill(pool: &PgPool, versions: i64) {
    let statements = [
        "INSERT INTO order_versions (source, order_id, version, status, content_hash, verdict, breakdown, payload, castable)
         SELECT 'main', 's-' || n / 5, 1 + n % 5, 'accepted', sha256(n::text::bytea), 'balanced', '{}', $2, true
         FROM generate_series(0, $1 - 1) n",
        "INSERT INTO orders (source, order_id, version, status)
         SELECT 'main', 's-' || n, 5, 'accepted' FROM generate_series(0, $1 / 5 - 1) n WHERE $2 <> ''",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, external_id)
         SELECT 'hook', 'main', 's-' || n, 'applied', 5, 5, 'there' FROM generate_series(0, $1 / 5 - 1) n WHERE $2 <> ''",
        "INSERT INTO attempts (sink, source, order_id, version, attempt, step, started_at, finished_at, outcome)
         SELECT 'hook', 'main', 's-' || n, 5, 1, 'post', now(), now(), 'delivered'
         FROM generate_series(0, $1 / 5 - 1) n WHERE $2 <> ''",
    ];
    for statement in statements {
        let filled = sqlx::query(statement).bind(versions).bind("x".repeat(200)).execute(pool).await;
        filled.expect("it can be filled");
    }
    sqlx::query("VACUUM ANALYZE").execute(pool).await.expect("statistics can be made");
}

/// Deliveries while a transaction stays open that sees all rows as they were: nothing that changes can be cleaned away.
async fn snapshot(bench: &mut Bench, orders: usize, rounds: usize) {
    let sink = Receiver::start(Duration::ZERO).await;
    let (url, pool) = bench.database().await;
    let settings = settings(&url, NOWHERE, &sink.url, &[("sinks.hook.concurrency", "64")]);
    assemble(&settings, &pool).await;
    println!(
        "{rounds} times {orders} orders sent beside an open transaction, {} changed rows in all",
        2 * rounds * orders
    );
    let mut free = Vec::new();
    for _ in 0..4 {
        free.push(deliver_new(&settings, &pool, &sink, orders as u64).await);
    }
    let free = median(&mut free[1..]);
    let mut open = pool.begin().await.expect("a transaction can be begun");
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *open).await.expect("it can be set");
    sqlx::query("SELECT count(*) FROM deliveries").execute(&mut *open).await.expect("it sees");
    for round in 1..=rounds {
        let rate = deliver_new(&settings, &pool, &sink, orders as u64).await;
        if round == 1 || round % 5 == 0 {
            println!(
                "  after {:>9} rows {rate:>7.0}/s against {free:>7.0}/s  ratio {:.3}",
                2 * round * orders,
                rate / free
            );
        }
    }
    open.rollback().await.expect("it can end");
    sqlx::query("VACUUM").execute(&pool).await.expect("it can be cleaned");
    let after = deliver_new(&settings, &pool, &sink, orders as u64).await;
    println!("  once it has ended   {after:>7.0}/s  ratio {:.3}\n", after / free);
    pool.close().await;
}

/// Rows and bytes that Postgres writes for each version that is read, and for each that is sent.
async fn writes(bench: &mut Bench) {
    let (world, sim) = stream(10_000, Duration::ZERO).await;
    let sink = Receiver::start(Duration::ZERO).await;
    let (url, pool) = bench.database().await;
    let settings = settings(&url, &sim.base_url(), &sink.url, &[("sinks.hook.concurrency", "64")]);
    let mut app = assemble(&settings, &pool).await;
    println!("what is written, orders of 3 KB, full pages of the log included");
    let before = Written::so_far(&pool).await;
    app.pollers[0].tick(&CancellationToken::new()).await.expect("the poll works");
    Written::so_far(&pool).await.since(&before).print("version read", world.versions.len());
    let owed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM deliveries WHERE open").fetch_one(&pool).await.expect("it counts");
    let before = Written::so_far(&pool).await;
    let lifecycle = Lifecycle::new();
    for dispatcher in app.dispatchers {
        lifecycle.spawn("dispatcher", dispatcher.run(lifecycle.drain().clone()));
    }
    let started = Instant::now();
    let open = "SELECT count(*) FROM deliveries WHERE open";
    while sqlx::query_scalar::<_, i64>(open).fetch_one(&pool).await.expect("it counts") > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(started.elapsed() < PATIENCE, "they are never sent");
    }
    lifecycle.request_drain();
    lifecycle.run_to_end(Duration::from_secs(10)).await;
    Written::so_far(&pool).await.since(&before).print("order sent", owed as usize);
    println!();
    pool.close().await;
}

struct Written {
    rows: i64,
    log_bytes: i64,
}

impl Written {
    async fn so_far(pool: &PgPool) -> Self {
        // Statistics of a session become visible when it ends or has been idle for a while.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (rows, log_bytes) = sqlx::query_as(
            "SELECT tup_inserted + tup_updated + tup_deleted, (pg_current_wal_lsn() - '0/0')::bigint
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(pool)
        .await
        .expect("statistics can be read");
        Self { rows, log_bytes }
    }

    fn since(&self, before: &Self) -> Self {
        Self { rows: self.rows - before.rows, log_bytes: self.log_bytes - before.log_bytes }
    }

    fn print(&self, what: &str, n: usize) {
        let each = |sum: i64| sum as f64 / n as f64;
        println!("  {n} times, each {what}: {:.2} rows, {:.0} bytes of log", each(self.rows), each(self.log_bytes));
    }
}

/// What the real program holds while it catches up, and over a week of orders in minutes.
async fn memory(bench: &mut Bench, week: Duration) {
    let sink = Receiver::start(Duration::ZERO).await;
    let (world, sim) = stream(38_500, Duration::ZERO).await;
    let (url, pool) = bench.database().await;
    let mut program = start(&url, &sim, &sink);
    until_stored(&pool, world.versions.len()).await;
    println!(
        "{} versions to catch up with: {:.1} MiB resident at the most",
        world.versions.len(),
        most(&program, "VmHWM:")
    );
    kill(&mut program);
    pool.close().await;
    sim.stop().await;

    let options = WorldOptions { orders: 20_000, payload_bytes: Some(3_000), ..WorldOptions::default() };
    let world = Arc::new(World::generate(options));
    let options = ScoffableOptions { limits: Limits::NONE, pace: Pace::Over(week), ..ScoffableOptions::default() };
    let sim = ScoffableSim::start(&world, options).await.expect("a loopback port is free");
    let (url, pool) = bench.database().await;
    let mut program = start(&url, &sim, &sink);
    println!("a week of {} versions in {week:?}", world.versions.len());
    for day in 1..=7 {
        tokio::time::sleep(week / 7).await;
        println!(
            "  day {day}: {:.1} MiB resident, {:.1} at the most",
            most(&program, "VmRSS:"),
            most(&program, "VmHWM:")
        );
    }
    kill(&mut program);
    pool.close().await;
    sim.stop().await;
}

/// With the allocator's settings of the service unit.
fn start(url: &SecretString, sim: &ScoffableSim, sink: &Receiver) -> Child {
    let mut program = daemon(url, sim, &sink.url);
    program
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .env("MALLOC_MMAP_THRESHOLD_", "131072");
    start_eager(program)
}

async fn until_stored(pool: &PgPool, versions: usize) {
    let started = Instant::now();
    let stored = "SELECT count(*) FROM order_versions";
    while sqlx::query_scalar::<_, i64>(stored).fetch_one(pool).await.expect("it counts") < versions as i64 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(started.elapsed() < PATIENCE, "they are never read");
    }
}

/// In MiB. Source: proc_pid_status(5).
fn most(program: &Child, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).expect("it runs");
    let kib =
        status.lines().find_map(|text| text.strip_prefix(line)?.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.expect("a process has memory") / 1024.0
}
