//! Calls per second against the limit that spaces them, by one process and by two on one database.
//!
//! The receiver counts: the rate from the first request to the last, and the fullest second seen. Targets at 50 a second:
//! at least 0.95 of the limit, and no second above it.
//! `cargo bench --bench pace`; `SECS=n` changes the length.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, routing::post};
use scoffable_sync::{
    lifecycle::Lifecycle,
    simulator::world::{World, WorldOptions},
};
use sqlx::PgPool;
use support::{Bench, assemble, settings};
use tokio::net::TcpListener;

const LIMIT: usize = 50;
const NOWHERE: &str = "http://127.0.0.1:9/";

#[tokio::main]
async fn main() {
    let seconds = std::env::var("SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut bench = Bench::start().await;
    println!("{LIMIT} calls a second, for {seconds} s");
    for (processes, concurrency) in [(1, 8), (1, 32), (2, 16)] {
        let pace = pace(&mut bench, processes, concurrency, seconds * LIMIT).await;
        println!(
            "  {processes} process(es), {concurrency} in flight each: {:.2}/s  ratio {:.3}  fullest second {}",
            pace.per_second,
            pace.per_second / LIMIT as f64,
            pace.fullest
        );
    }
    bench.stop().await;
}

struct Pace {
    per_second: f64,
    fullest: usize,
}

async fn pace(bench: &mut Bench, processes: usize, concurrency: usize, deliveries: usize) -> Pace {
    let (hook, arrivals) = receiver().await;
    let (url, pool) = bench.database().await;
    let (concurrency, limit) = (concurrency.to_string(), LIMIT.to_string());
    let more = [("sinks.hook.concurrency", concurrency.as_str()), ("sinks.hook.limits.per_second", limit.as_str())];
    let settings = settings(&url, NOWHERE, &hook, &more);
    let mut dispatchers = Vec::new();
    for _ in 0..processes {
        dispatchers.append(&mut assemble(&settings, &pool).await.dispatchers);
    }
    fill(&pool, deliveries).await;
    let lifecycle = Lifecycle::new();
    for dispatcher in dispatchers {
        lifecycle.spawn("dispatcher", dispatcher.run(lifecycle.drain().clone()));
    }
    let started = Instant::now();
    while arrivals.lock().expect("nobody panicked").len() < deliveries {
        assert!(started.elapsed() < Duration::from_mins(10), "deliveries never end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lifecycle.request_drain();
    lifecycle.run_to_end(Duration::from_secs(5)).await;
    pool.close().await;
    let arrivals = arrivals.lock().expect("nobody panicked").clone();
    assert_eq!(arrivals.len(), deliveries, "each order is sent once");
    let took = arrivals[deliveries - 1] - arrivals[0];
    Pace { per_second: (deliveries - 1) as f64 / took.as_secs_f64(), fullest: fullest_second(&arrivals) }
}

/// The most arrivals within any second.
fn fullest_second(arrivals: &[Instant]) -> usize {
    let mut first = 0;
    let mut fullest = 0;
    for (last, at) in arrivals.iter().enumerate() {
        while *at - arrivals[first] >= Duration::from_secs(1) {
            first += 1;
        }
        fullest = fullest.max(last + 1 - first);
    }
    fullest
}

/// Answers every POST with 200 at once, and notes when it came.
async fn receiver() -> (String, Arc<Mutex<Vec<Instant>>>) {
    let arrivals = Arc::<Mutex<Vec<Instant>>>::default();
    let noted = Arc::clone(&arrivals);
    let handler = move || async move { noted.lock().expect("nobody panicked").push(Instant::now()) };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(handler))).await });
    (url, arrivals)
}

/// So many accepted orders, owed and due.
async fn fill(pool: &PgPool, deliveries: usize) {
    let world = World::generate(WorldOptions { orders: 3, ..WorldOptions::default() });
    let readable = world.versions.iter().find(|version| version.number == 1).expect("there is a first version");
    let payload = String::from_utf8(readable.payload.to_vec()).expect("a readable payload is UTF-8");
    let statements = [
        "INSERT INTO order_versions (source, order_id, version, status, content_hash, verdict, breakdown, payload, castable)
         SELECT 'main', n::text, 1, 'accepted', sha256(n::text::bytea), 'balanced', '{}', $2, true
         FROM generate_series(1, $1) n",
        "INSERT INTO orders (source, order_id, version, status)
         SELECT 'main', n::text, 1, 'accepted' FROM generate_series(1, $1) n WHERE $2 <> ''",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, next_attempt_at)
         SELECT 'hook', 'main', n::text, 'pending', 1, now() FROM generate_series(1, $1) n WHERE $2 <> ''",
    ];
    for statement in statements {
        sqlx::query(statement).bind(deliveries as i64).bind(&payload).execute(pool).await.expect("it can be filled");
    }
    sqlx::query("VACUUM ANALYZE").execute(pool).await.expect("statistics can be made");
}
