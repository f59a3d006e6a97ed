//! How long the page and the API take with 1,000,000 orders and 100,000 dead letters, and what somebody who browses all the
//! time costs deliveries.
//!
//! Targets: p99 < 100 ms, of `/metrics` < 20 ms; deliveries at 20 ms keep 0.98 of their rate.
//! `cargo bench --bench page`; `ORDERS=n`, `SAMPLES=n` and `ROUNDS=n` change the size. The books are asked for at last: they are
//! read in the background, from every order of their days.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use scoffable_sync::{
    clock::Clock,
    config::Settings,
    ops::{OpsState, Present, health::Limits, serve},
    telemetry::metrics::Metrics,
};
use secrecy::SecretString;
use sqlx::PgPool;
use support::{Bench, NOWHERE, Receiver, assemble, deliver_new, median, settings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What is sent with and without somebody who browses.
const DELIVERIES: u64 = 10_000;

#[tokio::main]
async fn main() {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (orders, samples, rounds) = (number("ORDERS", 1_000_000), number("SAMPLES", 200), number("ROUNDS", 3));
    let mut bench = Bench::start().await;
    let sink = Receiver::start(Duration::from_millis(20)).await;
    let (url, pool) = bench.database().await;
    let settings = settings(&url, NOWHERE, &sink.url, &[("sinks.hook.concurrency", "64")]);
    assemble(&settings, &pool).await;
    fill(&pool, orders as i64).await;
    let page = Page::start(&settings, &pool).await;

    println!("{orders} orders, one in ten waits for a person; {samples} times each");
    for path in paths(&pool).await {
        page.measure(&path, samples).await;
    }
    println!("\nsomebody who opens a page each second and keeps one open, beside deliveries that take 20 ms");
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        let alone = deliver_new(&settings, &pool, &sink, DELIVERIES).await;
        let beside = tokio::select! {
            () = page.browse() => unreachable!("it goes on"),
            rate = deliver_new(&settings, &pool, &sink, DELIVERIES) => rate,
        };
        if round > 0 {
            println!("  alone {alone:>6.0}/s  beside {beside:>6.0}/s  ratio {:.3}", beside / alone);
            ratios.push(beside / alone);
        }
    }
    println!("  median: {:.3}", median(&mut ratios));
    sqlx::query("UPDATE sinks SET carries_money = true").execute(&pool).await.expect("there is the sink");
    println!("\nwhile the books are read");
    for path in ["/books", "/books?days=92", "/"] {
        page.measure(path, samples).await;
    }
    page.stop.cancel();
    pool.close().await;
    bench.stop().await;
}

/// What an operator opens, and what a dashboard reads.
async fn paths(pool: &PgPool) -> Vec<String> {
    let middle: String = sqlx::query_scalar(
        "SELECT (extract(epoch FROM updated_at) * 1000000)::bigint || '/hook/main/' || order_id
         FROM deliveries WHERE dead ORDER BY updated_at OFFSET (SELECT count(*) / 2 FROM deliveries WHERE dead) LIMIT 1",
    )
    .fetch_one(pool)
    .await
    .expect("there are dead letters");
    let middle = URL_SAFE_NO_PAD.encode(middle);
    let of_lists = ["", "?state=parked", "?state=in_doubt", "?reason=rare", "?sink=hook&reason=unprocessable"];
    let more = [
        "/",
        "/order?source=main&id=5",
        "/orders?q=5",
        "/metrics",
        "/api/v1/status",
        "/api/v1/orders/5",
        "/api/v1/deliveries?state=applied",
        "/api/v1/deliveries?state=skipped",
        "/api/v1/deliveries?state=pending",
        "/api/v1/quarantine",
    ];
    let mut paths: Vec<String> = more.map(str::to_owned).into();
    paths.extend(of_lists.map(|query| format!("/letters{query}")));
    paths.push(format!("/letters?after={middle}"));
    paths
}

struct Page {
    address: SocketAddr,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl Page {
    async fn start(settings: &Settings, pool: &PgPool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let address = listener.local_addr().expect("it is bound");
        let clock = Clock::default();
        let state = OpsState {
            pool: pool.clone(),
            present: Arc::new(ArcSwap::from_pointee(Present::default())),
            metrics: Arc::new(Metrics::default()),
            limits: Limits::of(settings),
            version: "bench",
            started_at: clock.wall(),
            clock,
            alive: Arc::new(|| true),
            admin_token: Some(SecretString::from("0123456789abcdef")),
        };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, state, stop.clone()));
        let http = scoffable_sync::http::client_builder().no_proxy().build().expect("a plain client");
        Self { address, http, stop }
    }

    async fn measure(&self, path: &str, samples: usize) {
        let mut took = self.ask(path, samples).await;
        let p50 = median(&mut took);
        println!("  {path:46} p50 {p50:6.1} ms  p99 {:6.1} ms", took[took.len() * 99 / 100]);
    }

    /// In milliseconds each.
    async fn ask(&self, path: &str, times: usize) -> Vec<f64> {
        let mut took = Vec::new();
        for n in 0..=times {
            let started = Instant::now();
            let answer = self.http.get(format!("http://{}{path}", self.address)).send().await.expect("it answers");
            let is_well = answer.status().is_success() || answer.status().is_redirection();
            assert!(is_well, "{path}: {}", answer.status());
            answer.bytes().await.expect("to the end");
            if n > 0 {
                took.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        took
    }

    /// Until it is dropped.
    async fn browse(&self) {
        let url = format!("http://{}/events?since=0", self.address);
        let _open = self.http.get(url).send().await.expect("it answers");
        for path in ["/", "/letters", "/order?source=main&id=5", "/letters?reason=rare"].iter().cycle() {
            self.ask(path, 0).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn fill(pool: &PgPool, orders: i64) {
    let payload = "x".repeat(400);
    let statements = [
        "INSERT INTO order_versions (source, order_id, version, status, content_hash, verdict, breakdown, payload, castable)
         SELECT 'main', n::text, 1, 'accepted', sha256(n::text::bytea), 'balanced', '{}', $2, true
         FROM generate_series(1, $1) n",
        "INSERT INTO orders (source, order_id, version, status)
         SELECT 'main', n::text, 1, 'accepted' FROM generate_series(1, $1) n WHERE $2 <> ''",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, reason, hint, last_error,
                                 updated_at)
         SELECT 'hook', 'main', n::text, CASE WHEN n % 10 = 0 THEN 'parked' WHEN n % 10 = 1 THEN 'skipped' ELSE 'applied' END,
                1, CASE WHEN n % 10 > 1 THEN 1 END,
                CASE WHEN n = 10 THEN 'rare' WHEN n % 10 < 2 THEN 'unprocessable' END,
                CASE WHEN n % 10 = 0 THEN 'look what the destination says, mend it there or here, and retry' END,
                CASE WHEN n % 10 = 0 THEN 'status 422' END, now() - n * interval '1 second'
         FROM generate_series(1, $1) n WHERE $2 <> ''",
        "INSERT INTO attempts (sink, source, order_id, version, attempt, step, started_at, finished_at, outcome)
         SELECT 'hook', 'main', n::text, 1, 1, 'post', now() - n * interval '1 second', now() - n * interval '1 second',
                CASE WHEN n % 10 = 0 THEN 'reject' ELSE 'delivered' END
         FROM generate_series(1, $1) n WHERE $2 <> ''",
        "INSERT INTO alerts (cause, subject, detail)
         SELECT 'dead_letter', 'hook/main/' || n, 'unprocessable' FROM generate_series(10, $1, 10) n WHERE $2 <> ''",
    ];
    for statement in statements {
        sqlx::query(statement).bind(orders).bind(&payload).execute(pool).await.expect("it can be filled");
    }
    sqlx::query("VACUUM ANALYZE").execute(pool).await.expect("statistics can be made");
}
