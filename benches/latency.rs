//! From the commit of a page to the first request at the sink, from the start to the first poll, and what an idle process costs.
//!
//! The commit is taken at `received_at`, which the database sets when the statement starts, so the figure includes the
//! commit itself. Targets: p50 < 20 ms; first poll < 1 s; idle < 30 MB resident, < 0.2 % of a core and < 1 query/s a loop.
//! `cargo bench --bench latency`; `SAMPLES=n` and `IDLE_SECS=n` change the length.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use scoffable_sync::{lifecycle::Lifecycle, simulator::scoffable::ScoffableSim};
use secrecy::SecretString;
use serde_json::json;
use sqlx::PgPool;
use support::{Arrivals, Bench, assemble, cpu_of, daemon, kill, noting_receiver, settings, stream};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let mut bench = Bench::start().await;
    let (_, sim) = stream(0, Duration::ZERO).await;
    let (hook, arrivals) = noting_receiver().await;
    let (url, pool) = bench.database().await;
    latency(&url, &pool, &sim, &hook, &arrivals, number("SAMPLES", 300)).await;
    first_poll(&url, &pool, &sim, &hook).await;
    pool.close().await;
    let (url, pool) = bench.database().await;
    idle(&url, &pool, &sim, &hook, Duration::from_secs(number("IDLE_SECS", 60))).await;
    pool.close().await;
    sim.stop().await;
    bench.stop().await;
}

async fn latency(url: &SecretString, pool: &PgPool, sim: &ScoffableSim, hook: &str, arrivals: &Arrivals, samples: u64) {
    let settings = settings(url, &sim.base_url(), hook, &[]);
    let mut app = assemble(&settings, pool).await;
    let lifecycle = Lifecycle::new();
    for dispatcher in std::mem::take(&mut app.dispatchers) {
        lifecycle.spawn("dispatcher", dispatcher.run(lifecycle.drain().clone()));
    }
    let poller = &mut app.pollers[0];
    let drain = CancellationToken::new();
    for n in 0..samples {
        let order = json!({"id": format!("L-{n}"), "version": 1, "status": "accepted", "items": []});
        sim.publish(order.to_string());
        sqlx::query("UPDATE sources SET next_poll_at = now()").execute(pool).await.expect("the update works");
        poller.tick(&drain).await.expect("the poll works");
        let deadline = Instant::now() + Duration::from_secs(10);
        while arrivals.lock().expect("nobody panicked").len() as u64 <= n {
            assert!(Instant::now() < deadline, "order {n} never arrived");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut waits = Vec::new();
    let arrivals = arrivals.lock().expect("nobody panicked").clone();
    for (order, at) in arrivals {
        let received: DateTime<Utc> = sqlx::query_scalar("SELECT received_at FROM order_versions WHERE order_id = $1")
            .bind(order)
            .fetch_one(pool)
            .await
            .expect("it was stored");
        waits.push((at - received).as_seconds_f64() * 1_000.0);
    }
    waits.sort_by(f64::total_cmp);
    let of = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!("page commit → request at the sink, {samples} orders one by one:");
    println!("  p50 {:.1} ms   p90 {:.1} ms   p99 {:.1} ms   worst {:.1} ms\n", of(0.5), of(0.9), of(0.99), of(1.0));
    lifecycle.request_drain();
    lifecycle.run_to_end(Duration::from_secs(5)).await;
}

/// The real binary on a database that others have used.
async fn first_poll(url: &SecretString, pool: &PgPool, sim: &ScoffableSim, hook: &str) {
    sqlx::query("UPDATE sources SET next_poll_at = now()").execute(pool).await.expect("the update works");
    let (polled, began) = (sim.journal().total(), Instant::now());
    let mut program = support::start(daemon(url, sim, hook));
    while sim.journal().total() == polled {
        assert!(began.elapsed() < Duration::from_secs(30), "it never polls");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("start → first poll, existing database: {:.0} ms\n", began.elapsed().as_secs_f64() * 1e3);
    kill(&mut program);
}

/// The real binary with one source and one sink and nothing to do.
async fn idle(url: &SecretString, pool: &PgPool, sim: &ScoffableSim, hook: &str, how_long: Duration) {
    let mut program = support::start(daemon(url, sim, hook));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (cpu, asked) = (cpu_of(program.id()), transactions(pool).await);
    tokio::time::sleep(how_long).await;
    let cpu = cpu_of(program.id()).saturating_sub(cpu);
    let asked = transactions(pool).await - asked;
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).expect("the daemon runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim().to_owned();
    println!("idle for {how_long:?}: one source, one sink");
    let (cpu, asked) = (cpu.as_secs_f64() / how_long.as_secs_f64(), asked as f64 / how_long.as_secs_f64());
    println!("  resident {resident}   {:.3} % of a core   {asked:.2} transactions a second by all loops", 100.0 * cpu);
    kill(&mut program);
}

/// Ever committed in this database, as far as the server has counted.
async fn transactions(pool: &PgPool) -> i64 {
    let counted = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(counted).fetch_one(pool).await.expect("it counts")
}
