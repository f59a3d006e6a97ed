//! Dispatch with attempts recorded, against a bare client loop that posts the same bodies at the same concurrency and
//! records nothing; at no latency also against the least that records the same: batches claimed, read, posted and settled
//! with an attempt each, by three statements written for nothing else. It knows one outcome, and neither plans nor signs.
//!
//! Targets, 64 in flight: at least 0.60 of the bare loop at no latency, 0.95 at 20 ms; with 100,000 due rows at least
//! 0.90 of the rate with 5,000, with and without ANALYZE; at most 60 µs of CPU per delivery, client and server; a second
//! sink that never answers costs the first less than 0.05.
//! `cargo bench --bench dispatch`; `ROUNDS=n` and `BACKLOG=n` change the size.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures::StreamExt;
use scoffable_sync::{
    lifecycle::Lifecycle,
    simulator::world::{World, WorldOptions},
};
use sqlx::PgPool;
use support::{Bench, NOWHERE, Receiver, assemble, cpu_of, median, server_cpu, settings};

const IN_FLIGHT: usize = 64;

#[tokio::main]
async fn main() {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, backlog) = (number("ROUNDS", 3), number("BACKLOG", 100_000));
    let mut bench = Bench::start().await;
    let cases = [
        (Duration::ZERO, 20_000, Size::Usual),
        (Duration::ZERO, 20_000, Size::Smallest),
        (Duration::from_millis(20), 10_000, Size::Usual),
        (Duration::from_millis(200), 2_000, Size::Usual),
    ];
    for (latency, deliveries, size) in cases {
        let sink = Receiver::start(latency).await;
        let bytes = payload(size).len();
        println!("{deliveries} deliveries of {bytes} bytes, answers take {latency:?}, {IN_FLIGHT} in flight");
        let (mut ratios, mut of_recording) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let bare = bare_loop(&sink, deliveries, size).await;
            let mut recording = None;
            if latency.is_zero() {
                recording = Some(recording_loop(&mut bench, &sink, deliveries, size).await);
            }
            let ours = dispatch(&mut bench, &sink, deliveries, size, Statistics::Fresh, None).await;
            if round == 0 {
                continue; // warms up files, code and connections
            }
            println!(
                "  bare {bare:>7.0}/s  ours {:>7.0}/s  ratio {:.3}  µs CPU each: {:.0} client and receiver, {:.0} server",
                ours.per_second,
                ours.per_second / bare,
                ours.client_us,
                ours.server_us
            );
            ratios.push(ours.per_second / bare);
            if let Some(recording) = recording {
                println!("    recording loop {recording:>7.0}/s: {:.3} of the bare loop", recording / bare);
                of_recording.push(ours.per_second / recording);
            }
        }
        print!("  median: {:.3} of the bare loop", median(&mut ratios));
        if !of_recording.is_empty() {
            print!(", {:.3} of the recording loop", median(&mut of_recording));
        }
        println!("\n");
    }

    let sink = Receiver::start(Duration::ZERO).await;
    println!("backlog of {backlog} due rows against 5000");
    let small = dispatch(&mut bench, &sink, 5_000, Size::Usual, Statistics::Fresh, None).await.per_second;
    for statistics in [Statistics::Fresh, Statistics::None] {
        let large = dispatch(&mut bench, &sink, backlog, Size::Usual, statistics, None).await.per_second;
        println!("  {statistics:?} statistics: {large:>7.0}/s against {small:>7.0}/s  ratio {:.3}", large / small);
    }

    let sink = Receiver::start(Duration::from_millis(20)).await;
    let deaf = Receiver::start(Duration::from_hours(1)).await;
    println!("\na second sink that never answers, first at 20 ms");
    let alone = dispatch(&mut bench, &sink, 10_000, Size::Usual, Statistics::Fresh, None).await.per_second;
    let beside = dispatch(&mut bench, &sink, 10_000, Size::Usual, Statistics::Fresh, Some(&deaf)).await.per_second;
    println!("  alone {alone:>7.0}/s  beside it {beside:>7.0}/s  ratio {:.3}", beside / alone);
    bench.stop().await;
}

/// What an order weighs.
#[derive(Debug, Clone, Copy)]
enum Size {
    /// With its addresses, notes and links.
    Usual,
    /// With nothing but what an order cannot do without.
    Smallest,
}

/// An order as received; a webhook's body holds about as much beside it.
fn payload(size: Size) -> String {
    let payload_bytes = match size {
        Size::Usual => Some(3_000),
        Size::Smallest => None,
    };
    let world = World::generate(WorldOptions { orders: 3, payload_bytes, ..WorldOptions::default() });
    let readable = world.versions.iter().find(|version| version.number == 1).expect("there is a first version");
    String::from_utf8(readable.payload.to_vec()).expect("a readable payload is UTF-8")
}

async fn bare_loop(sink: &Receiver, deliveries: usize, size: Size) -> f64 {
    let client =
        scoffable_sync::http::client_builder().pool_max_idle_per_host(IN_FLIGHT).build().expect("a plain client");
    let body = payload(size).repeat(2);
    let started = Instant::now();
    futures::stream::iter(0..deliveries)
        .map(|_| {
            let request = client.post(&sink.url).body(body.clone());
            tokio::spawn(async move { request.send().await.expect("it answers").bytes().await.expect("to the end") })
        })
        .buffer_unordered(IN_FLIGHT)
        .for_each(|_| std::future::ready(()))
        .await;
    deliveries as f64 / started.elapsed().as_secs_f64()
}

/// The least that leases, reads, posts and records as much.
async fn recording_loop(bench: &mut Bench, sink: &Receiver, deliveries: usize, size: Size) -> f64 {
    let (url, pool) = bench.database().await;
    assemble(&settings(&url, NOWHERE, &sink.url, &[]), &pool).await;
    fill(&pool, deliveries, size, Statistics::Fresh).await;
    let client =
        scoffable_sync::http::client_builder().pool_max_idle_per_host(IN_FLIGHT).build().expect("a plain client");
    let (posted, mut ended) = tokio::sync::mpsc::unbounded_channel::<String>();
    let started = Instant::now();
    let recorder = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut batch = Vec::new();
            while ended.recv_many(&mut batch, MINIMUM_BATCH).await > 0 {
                let recorded = sqlx::query(MINIMUM_SETTLE).bind(&batch).execute(&pool).await.expect("it is recorded");
                assert_eq!(recorded.rows_affected(), batch.len() as u64, "every attempt is recorded");
                batch.clear();
            }
        }
    });
    let claim = |pool: PgPool| {
        tokio::spawn(async move {
            let claim = sqlx::query_as::<_, (String, String)>(MINIMUM_CLAIM);
            claim.bind(MINIMUM_BATCH as i64).fetch_all(&pool).await.expect("it can be claimed")
        })
    };
    let batches = futures::stream::unfold(claim(pool.clone()), |next| async {
        let batch = next.await.expect("a claim ends");
        (!batch.is_empty()).then(|| (futures::stream::iter(batch), claim(pool.clone())))
    });
    batches
        .flatten()
        .map(|(order_id, payload)| {
            let (request, posted) = (client.post(&sink.url).body(payload.repeat(2)), posted.clone());
            tokio::spawn(async move {
                request.send().await.expect("it answers").bytes().await.expect("to the end");
                posted.send(order_id).expect("the recorder listens");
            })
        })
        .buffer_unordered(IN_FLIGHT)
        .for_each(|_| std::future::ready(()))
        .await;
    let took = started.elapsed();
    drop(posted);
    recorder.await.expect("everything is recorded");
    pool.close().await;
    deliveries as f64 / took.as_secs_f64()
}

const MINIMUM_BATCH: usize = 200;
const MINIMUM_CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT ctid FROM deliveries
        WHERE open AND sink = 'hook' AND lane = '' AND priority = 0 AND next_attempt_at <= now()
          AND (lease_expires_at IS NULL OR lease_expires_at <= now())
        ORDER BY next_attempt_at, source, order_id
        LIMIT $1
        FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE deliveries
        SET state = 'in_flight', lease_token = gen_random_uuid(), lease_expires_at = now() + '30 s', attempts = attempts + 1
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM due))
        RETURNING source, order_id, wanted_version
    )
    SELECT c.order_id, v.payload
    FROM claimed c
    JOIN LATERAL (
        SELECT payload FROM order_versions v
        WHERE v.source = c.source AND v.order_id = c.order_id AND v.version = c.wanted_version
        LIMIT 1
    ) v ON true";
const MINIMUM_SETTLE: &str = "
    WITH moved AS (
        UPDATE deliveries d
        SET state = 'applied', applied_version = wanted_version, lease_token = NULL, lease_expires_at = NULL
        FROM unnest($1::text[]) AS o (id)
        WHERE d.sink = 'hook' AND d.source = 'main' AND d.order_id = o.id
        RETURNING d.sink, d.source, d.order_id, d.wanted_version, d.attempts
    )
    INSERT INTO attempts (sink, source, order_id, version, attempt, step, started_at, finished_at, outcome)
    SELECT sink, source, order_id, wanted_version, attempts, 'post', now(), now(), 'delivered' FROM moved";

#[derive(Debug, Clone, Copy)]
enum Statistics {
    Fresh,
    None,
}

struct Rate {
    per_second: f64,
    /// The receiver's share included: it runs in this process.
    client_us: f64,
    server_us: f64,
}

async fn dispatch(
    bench: &mut Bench,
    sink: &Receiver,
    deliveries: usize,
    size: Size,
    statistics: Statistics,
    deaf: Option<&Receiver>,
) -> Rate {
    let (url, pool) = bench.database().await;
    let mut more = vec![("sinks.hook.concurrency", "64")];
    let deaf_url = deaf.map(|deaf| deaf.url.clone()).unwrap_or_default();
    if deaf.is_some() {
        more.extend([
            ("sinks.deaf.kind", "webhook"),
            ("sinks.deaf.url", deaf_url.as_str()),
            ("sinks.deaf.concurrency", "64"),
            ("sinks.deaf.signing_secret", "whsec_c2ltdWxhdG9yIHNpZ25pbmcga2V5LCBub3Qgc2VjcmV0"),
        ]);
    }
    let settings = settings(&url, NOWHERE, &sink.url, &more);
    let app = assemble(&settings, &pool).await;
    fill(&pool, deliveries, size, statistics).await;
    let (ours, server) = (std::process::id(), server_cpu(&pool).await);
    let (cpu, before) = (cpu_of(ours), sink.received.load(Ordering::Relaxed));
    let lifecycle = Lifecycle::new();
    let started = Instant::now();
    for dispatcher in app.dispatchers {
        lifecycle.spawn("dispatcher", dispatcher.run(lifecycle.drain().clone()));
    }
    while sink.received.load(Ordering::Relaxed) - before < deliveries as u64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(started.elapsed() < Duration::from_mins(10), "deliveries never end");
    }
    let took = started.elapsed();
    let applied = "SELECT count(*) FROM deliveries WHERE sink = 'hook' AND state = 'applied'";
    while sqlx::query_scalar::<_, i64>(applied).fetch_one(&pool).await.expect("it counts") < deliveries as i64 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let attempts = "SELECT count(*) FROM attempts WHERE sink = 'hook' AND outcome = 'delivered'";
    let attempts: i64 = sqlx::query_scalar(attempts).fetch_one(&pool).await.expect("it counts");
    assert_eq!(attempts as usize, deliveries, "every attempt is recorded");
    let client = cpu_of(ours).saturating_sub(cpu);
    let served = server_cpu(&pool).await.saturating_sub(server);
    lifecycle.request_abort();
    lifecycle.run_to_end(Duration::from_secs(1)).await;
    pool.close().await;
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / deliveries as f64;
    Rate { per_second: deliveries as f64 / took.as_secs_f64(), client_us: each(client), server_us: each(served) }
}

/// So many accepted orders, each owed to each sink and due.
async fn fill(pool: &PgPool, deliveries: usize, size: Size, statistics: Statistics) {
    let statements = [
        "INSERT INTO order_versions (source, order_id, version, status, content_hash, verdict, breakdown, payload, castable)
         SELECT 'main', n::text, 1, 'accepted', sha256(n::text::bytea), 'balanced', '{}', $2, true
         FROM generate_series(1, $1) n",
        "INSERT INTO orders (source, order_id, version, status)
         SELECT 'main', n::text, 1, 'accepted' FROM generate_series(1, $1) n WHERE $2 <> ''",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, next_attempt_at)
         SELECT k.name, 'main', n::text, 'pending', 1, now() FROM generate_series(1, $1) n CROSS JOIN sinks k WHERE $2 <> ''",
    ];
    let payload = payload(size);
    for statement in statements {
        sqlx::query(statement).bind(deliveries as i64).bind(&payload).execute(pool).await.expect("it can be filled");
    }
    if matches!(statistics, Statistics::Fresh) {
        sqlx::query("VACUUM ANALYZE").execute(pool).await.expect("statistics can be made");
    }
    sqlx::query("CHECKPOINT").execute(pool).await.expect("a checkpoint is possible");
}
