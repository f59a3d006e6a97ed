//! How long the books of 100,000 orders take, and how much memory: the real command, with rows by day and by order.
//!
//! Targets: under 5 s and under 100 MB, whatever the rows are. `cargo bench --bench reconcile`; `ORDERS=n` changes the
//! number. The memory is the command's own, as the kernel tells it.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use secrecy::ExposeSecret;
use sqlx::PgPool;
use support::{Bench, Run, command};

#[tokio::main]
async fn main() {
    let orders = std::env::var("ORDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let mut bench = Bench::start().await;
    let (url, pool) = bench.database().await;
    fill(&pool, orders).await;
    println!(
        "{orders} orders, 40 vendors, 90 days; one in ten has a correction behind it, one in a hundred is pending"
    );
    for (what, more) in [
        ("by day, as a table", &["--by", "day"][..]),
        ("by order, as CSV", &["--by", "order", "--format", "csv"]),
        ("by order, as JSON", &["--by", "order", "--json"]),
    ] {
        let run = run(url.expose_secret(), more);
        println!("  {what:20} {:6.2} s  {:5.1} MiB at the most", run.took.as_secs_f64(), run.peak_kib / 1024.0);
    }
    pool.close().await;
    bench.stop().await;
}

fn run(url: &str, more: &[&str]) -> Run {
    support::run(command(url).args(["reconcile", "books"]).args(more))
}

async fn fill(pool: &PgPool, orders: i64) {
    let breakdown = r#"{"verdict":"balanced","reason":null,"currency":"GBP","basis":"computed","items":{"goods":2230,
        "offers":0,"vouchers":-200,"adjustments":0,"other_items":0,"supplied":2030,"refunds":0},"delivery_fee":250,
        "service_fee":70,"expected":2350,"total":2350,"delta":0,"goodwill":0,"residual":0,"tenders":{"held_by_scoffable":400,
        "held_by_vendor":1950,"held_by_other":0,"online":0,"cash":1950,"voucher":400,"other_type":0,"paid":2350},
        "vendor_due":2350,"scoffable_owes_vendor":400,"flags":[]}"#;
    let payload = "x".repeat(3_000);
    let statements = [
        "INSERT INTO sinks (name, kind, carries_money) VALUES ('books', 'spoton', true)",
        "INSERT INTO order_versions (source, order_id, version, status, vendor_id, placed_at, total_minor, currency,
                                     content_hash, verdict, breakdown, payload, castable)
         SELECT 'main', n::text, v, 'accepted', 'vendor-' || n % 40, '2026-01-01'::timestamptz + n % 90 * interval '1 day',
                2350, 'GBP', sha256(n::text::bytea), 'balanced', $2::jsonb, $3, true
         FROM generate_series(1, $1) n
         CROSS JOIN LATERAL generate_series(1, CASE WHEN n % 10 = 0 THEN 2 ELSE 1 END) v",
        "INSERT INTO orders (source, order_id, version, status, vendor_id, placed_at, total_minor, currency)
         SELECT source, order_id, max(version), 'accepted', min(vendor_id), min(placed_at), 2350, 'GBP'
         FROM order_versions
         GROUP BY source, order_id",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, sent_version,
                                 next_attempt_at, receipt)
         SELECT 'books', source, order_id, CASE WHEN pending THEN 'pending' ELSE 'applied' END, version,
                CASE WHEN NOT pending THEN version WHEN version > 1 THEN 1 END,
                CASE WHEN NOT pending THEN version WHEN version > 1 THEN 1 END, CASE WHEN pending THEN now() END,
                jsonb_build_object('order_id', 'ord-' || order_id, 'reference', 'scoffable-' || order_id || '-1',
                                   'digest', repeat('d', 64), 'stands', NOT pending OR version > 1,
                                   'money', jsonb_build_object(
                                       'posted_minor', CASE WHEN NOT pending OR version > 1 THEN 2350 ELSE 0 END,
                                       'declared_minor', 0))
         FROM (SELECT *, order_id::bigint % 100 < 1 AS pending FROM orders) o",
        "VACUUM ANALYZE",
    ];
    for (n, statement) in statements.into_iter().enumerate() {
        let query = sqlx::query(statement);
        let query = if n == 1 { query.bind(orders).bind(breakdown).bind(&payload) } else { query };
        query.execute(pool).await.expect("it can be filled");
    }
}
