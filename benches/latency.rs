//! From the commit of a page to the first request at the sink, and what an idle process costs.
//!
//! The commit is taken at `received_at`, which the database sets when the statement starts, so the figure includes the
//! commit itself. Targets: p50 < 20 ms; idle < 30 MB resident and < 0.2 % of a core.
//! `cargo bench --bench latency`; `SAMPLES=n` and `IDLE_SECS=n` change the length.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use scoffable_sync::{lifecycle::Lifecycle, simulator::scoffable::ScoffableSim};
use secrecy::SecretString;
use serde_json::json;
use sqlx::PgPool;
use support::{Arrivals, Bench, assemble, cpu_of, daemon, noting_receiver, settings, stream};
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
    pool.close().await;
    let (url, _) = bench.database().await;
    idle(&url, &sim, &hook, Duration::from_secs(number("IDLE_SECS", 60))).await;
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

/// The real binary with one source and one sink and nothing to do.
async fn idle(url: &SecretString, sim: &ScoffableSim, hook: &str, how_long: Duration) {
    let mut daemon =
        daemon(url, sim, hook).stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let cpu = cpu_of(daemon.id());
    tokio::time::sleep(how_long).await;
    let cpu = cpu_of(daemon.id()).saturating_sub(cpu);
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("the daemon runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim().to_owned();
    println!("idle for {how_long:?}: one source, one sink");
    println!("  resident {resident}   {:.3} % of a core", 100.0 * cpu.as_secs_f64() / how_long.as_secs_f64());
    daemon.kill().expect("it can be killed");
    daemon.wait().expect("it ends");
}
