//! Catch-up: the poller against a bare loop that fetches pipelined, computes the same hash and money breakdown (spread
//! over both cores), and inserts into the same tables in groups of pages – without leases, fences, conflicts, metrics.
//!
//! Target: at least 0.80 of the bare loop at no latency, at least 0.95 of what 10 ms pages allow; at most 40 µs of CPU a
//! version, without what the simulated stream needs, which the client's figure holds.
//! `cargo bench --bench ingest`; `ORDERS=n` and `ROUNDS=n` change the size.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::time::{Duration, Instant};

use scoffable_sync::{
    clock::Clock,
    domain::{ids::VendorId, money, order::OrderType},
    simulator::scoffable::ScoffableSim,
    source::scoffable::{
        client::{ClientSettings, Position, ScoffableClient},
        wire::{self, Decoded},
    },
};
use sqlx::PgPool;
use support::{Bench, assemble, cpu_of, median, server_cpu, settings, stream, token};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const NOWHERE: &str = "http://127.0.0.1:9/";

#[tokio::main]
async fn main() {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (orders, rounds) = (number("ORDERS", 10_000), number("ROUNDS", 5));
    let mut bench = Bench::start().await;
    for (latency, orders) in [(Duration::ZERO, orders), (Duration::from_millis(10), orders / 2)] {
        let (world, sim) = stream(orders, latency).await;
        let versions = world.versions.len();
        let (mut ratios, mut allowed) = (Vec::new(), Vec::new());
        let (mut client, mut server, mut fetching) = (Vec::new(), Vec::new(), Vec::new());
        println!("{versions} versions, pages take {latency:?}");
        for round in 0..=rounds {
            let bare = bare_loop(&mut bench, &sim, versions).await;
            let (ours, spent) = poller(&mut bench, &sim, versions).await;
            let before = cpu_of(std::process::id());
            let fetched = fetch_only(&sim).await;
            let fetch_cpu = cpu_of(std::process::id()).saturating_sub(before);
            if round == 0 {
                continue; // warms up files, code and connections
            }
            let rate = |took: Duration| versions as f64 / took.as_secs_f64();
            println!(
                "  bare {:>7.0}/s  ours {:>7.0}/s  ratio {:.3}   fetch alone {:>7.0}/s  ratio {:.3}",
                rate(bare),
                rate(ours),
                rate(ours) / rate(bare),
                rate(fetched),
                rate(ours) / rate(fetched)
            );
            ratios.push(rate(ours) / rate(bare));
            allowed.push(rate(ours) / rate(fetched));
            let each = |spent: Duration| spent.as_secs_f64() * 1e6 / versions as f64;
            client.push(each(spent.client));
            server.push(each(spent.server));
            fetching.push(each(fetch_cpu));
        }
        println!(
            "  median: {:.3} of the bare loop, {:.3} of fetching alone",
            median(&mut ratios),
            median(&mut allowed)
        );
        println!(
            "  CPU of a version: client and stream {:.0} µs, server {:.0} µs; to fetch alone, client and stream {:.0} µs\n",
            median(&mut client),
            median(&mut server),
            median(&mut fetching)
        );
        sim.stop().await;
    }
    bench.stop().await;
}

/// CPU time.
struct Spent {
    /// The simulated stream's, too.
    client: Duration,
    server: Duration,
}

async fn poller(bench: &mut Bench, sim: &ScoffableSim, versions: usize) -> (Duration, Spent) {
    let (url, pool) = bench.database().await;
    let settings = settings(&url, &sim.base_url(), NOWHERE, &[]);
    let mut app = assemble(&settings, &pool).await;
    let drain = CancellationToken::new();
    let (client, server) = (cpu_of(std::process::id()), server_cpu(&pool).await);
    let started = Instant::now();
    app.pollers[0].tick(&drain).await.expect("the poll works");
    let took = started.elapsed();
    let spent = Spent {
        client: cpu_of(std::process::id()).saturating_sub(client),
        server: server_cpu(&pool).await.saturating_sub(server),
    };
    check(&pool, versions).await;
    (took, spent)
}

async fn check(pool: &PgPool, versions: usize) {
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM order_versions").fetch_one(pool).await.expect("it counts");
    assert_eq!(stored as usize, versions, "everything was stored");
    pool.close().await;
}

fn client(sim: &ScoffableSim) -> ScoffableClient {
    let settings = ClientSettings {
        base_url: sim.base_url().parse().expect("the simulator has a URL"),
        token: token().into(),
        page_size: 100,
        min_age_minutes: 0,
        timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(10),
        user_agent: "bench".to_owned(),
    };
    ScoffableClient::new(settings, Clock::default()).expect("the settings are valid")
}

/// What the page latency allows: one page after the other, looked at no further than the cursor.
async fn fetch_only(sim: &ScoffableSim) -> Duration {
    let client = client(sim);
    let started = Instant::now();
    let mut position = Position::Oldest;
    loop {
        let page = client.fetch(&position).await.expect("the simulator answers");
        if !page.has_more {
            return started.elapsed();
        }
        position = Position::Cursor(page.next_page_id.expect("there is more"));
    }
}

type Row = (Decoded, &'static str, String);

async fn bare_loop(bench: &mut Bench, sim: &ScoffableSim, versions: usize) -> Duration {
    let (url, pool) = bench.database().await;
    assemble(&settings(&url, &sim.base_url(), NOWHERE, &[]), &pool).await;
    let client = client(sim);
    let started = Instant::now();
    let (sender, mut pages) = mpsc::channel::<(JoinHandle<Vec<Row>>, Option<String>)>(4);
    let fetching = tokio::spawn(async move {
        let mut position = Position::Oldest;
        loop {
            let page = client.fetch(&position).await.expect("the simulator answers");
            let (more, next) = (page.has_more, page.next_page_id.clone());
            let decoding = tokio::task::spawn_blocking(move || {
                let row = |raw| {
                    let decoded = wire::decode(raw).ok()?;
                    let money = money::breakdown(&decoded.order);
                    let breakdown = serde_json::to_string(&money).ok()?;
                    Some((decoded, money.verdict.as_str(), breakdown))
                };
                page.orders.iter().filter_map(row).collect()
            });
            sender.send((decoding, next.clone())).await.expect("the other end listens");
            if !more {
                return;
            }
            position = Position::Cursor(next.expect("there is more"));
        }
    });
    while let Some(first) = pages.recv().await {
        let mut rows = Vec::new();
        let mut cursor = None;
        let mut next = Some(first);
        let mut n = 0;
        while let Some((decoding, page_cursor)) = next {
            rows.extend(decoding.await.expect("decoding works"));
            cursor = page_cursor.or(cursor);
            n += 1;
            next = if n < 10 { pages.try_recv().ok() } else { None };
        }
        insert(&pool, &rows, cursor.as_deref()).await;
    }
    fetching.await.expect("fetching works");
    let took = started.elapsed();
    check(&pool, versions).await;
    took
}

async fn insert(pool: &PgPool, rows: &[Row], cursor: Option<&str>) {
    fn column<'a, T>(rows: &'a [Row], of: impl Fn(&'a Row) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    sqlx::query(
        "WITH ins AS (
            INSERT INTO order_versions (source, order_id, version, status, vendor_id, order_type, placed_at, total_minor,
                                        currency, content_hash, verdict, breakdown, payload, castable)
            SELECT 'main', a, b, c, d, e, f, g, h, i, j, k::jsonb, l, m
            FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::bigint[],
                        $8::text[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::bool[])
                AS u (a, b, c, d, e, f, g, h, i, j, k, l, m)
            ON CONFLICT DO NOTHING
            RETURNING order_id, version, status, vendor_id, order_type, placed_at, total_minor, currency
        ), newest AS MATERIALIZED (
            SELECT DISTINCT ON (order_id) * FROM ins ORDER BY order_id, version DESC
        ), o AS (
            INSERT INTO orders AS o (source, order_id, version, status, vendor_id, order_type, placed_at, total_minor, currency)
            SELECT 'main', * FROM newest
            ON CONFLICT (source, order_id) DO UPDATE
            SET version = EXCLUDED.version, status = EXCLUDED.status, total_minor = EXCLUDED.total_minor
        ), d AS (
            INSERT INTO deliveries AS d (sink, source, order_id, state, wanted_version, next_attempt_at)
            SELECT k.name, 'main', n.order_id, 'pending', n.version, now() FROM newest n CROSS JOIN sinks k
            ON CONFLICT (sink, source, order_id) DO UPDATE SET wanted_version = EXCLUDED.wanted_version
        )
        UPDATE sources SET cursor = coalesce($14, cursor) WHERE name = 'main'",
    )
    .bind(column(rows, |r| r.0.order.id.as_str()))
    .bind(column(rows, |r| r.0.order.version.0))
    .bind(column(rows, |r| r.0.order.status.as_str()))
    .bind(column(rows, |r| r.0.order.vendor_id.as_ref().map(VendorId::as_str)))
    .bind(column(rows, |r| r.0.order.order_type.as_ref().map(OrderType::as_str)))
    .bind(column(rows, |r| r.0.order.placed_at))
    .bind(column(rows, |r| r.0.order.total.map(|total| total.amount)))
    .bind(column(rows, |r| r.0.order.total.as_ref().map(|total| total.currency.as_str())))
    .bind(column(rows, |r| r.0.content_hash.0.as_slice()))
    .bind(column(rows, |r| r.1))
    .bind(column(rows, |r| r.2.as_str()))
    .bind(column(rows, |r| r.0.payload.as_str()))
    .bind(column(rows, |r| r.0.castable_to_jsonb))
    .bind(cursor)
    .execute(pool)
    .await
    .expect("the insert works");
}
