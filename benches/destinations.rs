//! The point of sale, the feed and the books: how soon a submit is on the wire, how near to SpotOn's limit it can be kept,
//! what mapping costs, and how many calls GoDataFeed and Xero need.
//!
//! Targets: version committed → submit p50 < 20 ms; at 50 a second at least 0.95 of the limit and no 429 from a simulator
//! that enforces it; mapping < 20 µs an order of 3 KB; at most two calls per order at GoDataFeed beside one list; at Xero
//! at most 0.12 calls per order of a backlog, 2 for one alone, 4 for a correction.
//! `cargo bench --bench destinations`; `SAMPLES=n`, `SECS=n` and `ORDERS=n` change the length.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use scoffable_sync::{
    config::{Settings, SinkKind},
    domain::{
        delivery::{DeliveryKey, Plan, Progress, State},
        ids::{OrderId, OrderKey, SinkName, SourceName, Version},
        money::breakdown,
        order::{Order, Status},
    },
    lifecycle::Lifecycle,
    simulator::{
        godatafeed::{GoDataFeedOptions, GoDataFeedSim, Import},
        spoton::{OPEN_ITEM, SpotonOptions, SpotonSim, Stored},
        world::{World, WorldOptions},
        xero::{XeroLimits, XeroOptions, XeroSim},
    },
    sinks::{
        Counterpart, Since, View,
        godatafeed::{
            config::GodatafeedSettings,
            listing::{Known, Listing},
            plan::{Held, Reached},
        },
        spoton::{
            config::SpotonSettings,
            mapping::{Sale, map},
        },
    },
    source::{SourceKind, decode_stored},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::PgPool;
use support::{Bench, assemble, at_books, median, settings, stream};
use tokio_util::sync::CancellationToken;

const NOWHERE: &str = "http://127.0.0.1:9/";
const VENDOR: &str = "vendor-a";
/// Longest wait for anything to come about.
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let mut bench = Bench::start().await;
    latency(&mut bench, number("SAMPLES", 100)).await;
    for concurrency in [8, 32] {
        pace(&mut bench, concurrency, number("SECS", 20)).await;
    }
    mapping(&mut bench).await;
    calls(&mut bench, number("ORDERS", 2_000)).await;
    books(&mut bench, number("ORDERS", 2_000)).await;
    bench.stop().await;
}

/// An order of one line that was accepted now.
fn order(id: &str) -> Value {
    let now = Utc::now();
    json!({
        "id": id, "version": 1, "status": "accepted", "vendorId": VENDOR, "type": "collection",
        "placedAt": now, "acceptedAt": now, "dispatchedAt": now, "total": {"amount": 1250, "currency": "GBP"},
        "items": [{
            "id": "line-1", "name": "Lamb Kofta Plate", "type": "product", "quantityOrdered": 1, "quantityFulfilled": 1,
            "price": {"amount": 1250, "currency": "GBP"}, "total": {"amount": 1250, "currency": "GBP"}
        }]
    })
}

/// Settings with the usual webhook paused, and these keys besides.
fn beside(url: &SecretString, base_url: &str, keys: &[(String, String)]) -> Settings {
    let mut more = vec![("sinks.hook.paused", "true")];
    more.extend(keys.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    settings(url, base_url, NOWHERE, &more)
}

/// The keys of a sink at this point of sale, with the limits that it has by itself.
fn at_pos(sim: &SpotonSim) -> Vec<(String, String)> {
    let (options, location) = (sim.options(), &sim.options().chain.locations[0]);
    let scopes = json!(options.scopes).to_string();
    let key = |key: &str, value: &str| (format!("sinks.pos.{key}"), value.to_owned());
    let vendor = |name: &str, value: &str| key(&format!("vendors.{VENDOR}.{name}"), value);
    vec![
        key("kind", "spoton"),
        key("base_url", &sim.url()),
        key("token_url", &sim.token_url()),
        key("client_id", &options.client_id),
        key("client_secret", &options.client_secret),
        key("scopes", &scopes),
        vendor("location_id", &location.id),
        vendor("menu_id", &location.menus[0].id),
        vendor("currency", "GBP"),
        vendor("fallback_item_id", OPEN_ITEM),
    ]
}

/// Starts the loops of all sinks.
async fn started(settings: &Settings, pool: &PgPool) -> Lifecycle {
    let lifecycle = Lifecycle::new();
    for dispatcher in assemble(settings, pool).await.dispatchers {
        lifecycle.spawn("dispatcher", dispatcher.run(lifecycle.drain().clone()));
    }
    lifecycle
}

/// Waits until the simulator holds so many orders.
async fn stored(sim: &SpotonSim, orders: usize) {
    let began = Instant::now();
    while sim.ledger().stored().len() < orders {
        assert!(began.elapsed() < PATIENCE, "orders never arrive");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// One order after the other, so far apart that no limit is felt.
async fn latency(bench: &mut Bench, samples: usize) {
    let (_, scoffable) = stream(0, Duration::ZERO).await;
    let sim = SpotonSim::start(SpotonOptions::default()).await.expect("a loopback port is free");
    let (url, pool) = bench.database().await;
    let settings = beside(&url, &scoffable.base_url(), &at_pos(&sim));
    let mut app = assemble(&settings, &pool).await;
    let lifecycle = Lifecycle::new();
    for dispatcher in std::mem::take(&mut app.dispatchers) {
        lifecycle.spawn("dispatcher", dispatcher.run(lifecycle.drain().clone()));
    }
    let drain = CancellationToken::new();
    for n in 0..samples {
        scoffable.publish(order(&format!("L-{n}")).to_string());
        sqlx::query("UPDATE sources SET next_poll_at = now()").execute(&pool).await.expect("the update works");
        app.pollers[0].tick(&drain).await.expect("the poll works");
        stored(&sim, n + 1).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let rows: Vec<(String, DateTime<Utc>)> = sqlx::query_as("SELECT order_id, received_at FROM order_versions")
        .fetch_all(&pool)
        .await
        .expect("versions can be read");
    let mut waits: Vec<f64> = rows
        .into_iter()
        .map(|(id, received)| {
            let stored = sim.find(&format!("scoffable-{id}-1")).expect("it was submitted");
            (stored.stored_at() - received).as_seconds_f64() * 1_000.0
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    let of = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!("version committed → submit at SpotOn, {samples} orders one by one, {} doubled:", sim.doubled().len());
    println!("  p50 {:.1} ms   p90 {:.1} ms   p99 {:.1} ms   worst {:.1} ms\n", of(0.5), of(0.9), of(0.99), of(1.0));
    end(lifecycle, pool).await;
    scoffable.stop().await;
}

/// As fast as the documented limit allows, against a simulator that enforces it.
async fn pace(bench: &mut Bench, concurrency: usize, seconds: usize) {
    const LIMIT: usize = 50;

    let sim = SpotonSim::start(SpotonOptions::default()).await.expect("a loopback port is free");
    let (url, pool) = bench.database().await;
    let mut keys = at_pos(&sim);
    keys.extend(
        [("concurrency", concurrency.to_string()), ("limits.per_second", LIMIT.to_string())]
            .map(|(key, value)| (format!("sinks.pos.{key}"), value)),
    );
    keys.push(("sinks.pos.limits.per_minute".to_owned(), "1500".to_owned()));
    let settings = beside(&url, NOWHERE, &keys);
    let orders = seconds * LIMIT;
    drop(assemble(&settings, &pool).await); // the rows of sinks and sources
    owe(&pool, "pos", orders, &order("0")).await;
    let lifecycle = started(&settings, &pool).await;
    stored(&sim, orders).await;
    let mut at: Vec<DateTime<Utc>> = sim.ledger().stored().iter().map(Stored::stored_at).collect();
    at.sort();
    let took = (at[orders - 1] - at[0]).as_seconds_f64();
    let per_second = (orders - 1) as f64 / took;
    let refused = sim.journal().answers().get(&429).copied().unwrap_or(0);
    println!("SpotOn at {LIMIT} a second for {seconds} s, {concurrency} in flight:");
    println!(
        "  {per_second:.2}/s  ratio {:.3}  429s {refused}  doubled {}\n",
        per_second / LIMIT as f64,
        sim.doubled().len()
    );
    end(lifecycle, pool).await;
}

/// Accepted orders of [`VENDOR`], all like this one, owed to a sink and due.
async fn owe(pool: &PgPool, sink: &str, orders: usize, like: &Value) {
    let payload = like.to_string();
    let statements = [
        "INSERT INTO order_versions (source, order_id, version, status, vendor_id, content_hash, verdict, breakdown, payload,
                                     castable)
         SELECT 'main', n::text, 1, 'accepted', 'vendor-a', sha256(n::text::bytea), 'balanced', '{}', $2, true
         FROM generate_series(1, $1) n WHERE $3 <> ''",
        "INSERT INTO orders (source, order_id, version, status, vendor_id)
         SELECT 'main', n::text, 1, 'accepted', 'vendor-a' FROM generate_series(1, $1) n WHERE $2 <> '' AND $3 <> ''",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, next_attempt_at, lane)
         SELECT $3, 'main', n::text, 'pending', 1, now(), coalesce((SELECT lanes ->> 'vendor-a' FROM sinks WHERE name = $3), '')
         FROM generate_series(1, $1) n WHERE $2 <> ''",
    ];
    for statement in statements {
        let filled = sqlx::query(statement).bind(orders as i64).bind(&payload).bind(sink).execute(pool).await;
        filled.expect("it can be filled");
    }
    sqlx::query("VACUUM ANALYZE").execute(pool).await.expect("statistics can be made");
}

/// Mapping alone, held against reading the order from what is stored.
async fn mapping(bench: &mut Bench) {
    let world = World::generate(WorldOptions { orders: 200, payload_bytes: Some(3_000), ..WorldOptions::default() });
    let payloads: Vec<&str> =
        world.versions.iter().filter_map(|version| std::str::from_utf8(&version.payload).ok()).collect();
    let read = |payload: &&str| decode_stored(SourceKind::Scoffable, payload).ok();
    let accepted = |order: &Order| order.status == Status::Accepted && order.vendor_id.is_some();
    let orders: Vec<(&str, Order)> =
        payloads.iter().filter_map(|payload| Some((*payload, read(payload).filter(accepted)?))).collect();
    let (url, pool) = bench.database().await;
    let sim = SpotonSim::start(SpotonOptions::default()).await.expect("a loopback port is free");
    let feed = feed_keys(NOWHERE);
    let settings = beside(&url, NOWHERE, &[at_pos(&sim), feed].concat());
    let pos = pos_of(&settings);
    let now = Utc::now();
    let vendor = &pos.vendors[VENDOR];
    let submits = |(payload, order): &(&str, Order)| {
        let money = breakdown(order);
        let sale = Sale { order, money: &money, payload, vendor_id: VENDOR, vendor, settings: pos };
        Some(map(sale, "scoffable-1-1", now).ok()?.order.written(pos.request_envelope))
    };
    let mappable: Vec<&(&str, Order)> = orders.iter().filter(|order| submits(order).is_some()).collect();
    let bytes = mappable.iter().map(|(payload, _)| payload.len()).sum::<usize>() / mappable.len();
    let feed = feed_of(&settings);
    let writes = |(_, order): &(&str, Order)| shipment(feed, order, now);
    let reading = each(&mappable, |order| drop(black_box(read(&order.0))));
    let submit = each(&mappable, |order| drop(black_box(submits(order))));
    let write = each(&mappable, |order| drop(black_box(writes(order))));
    println!("mapping, {} orders of {bytes} bytes:", mappable.len());
    println!("  reading what is stored                  {reading:.1} µs");
    println!("  to a SpotOn submit, money and bytes     {submit:.1} µs  ratio {:.2}", submit / reading);
    println!("  to a GoDataFeed shipment, plan and bytes {write:.1} µs  ratio {:.2}\n", write / reading);
    pool.close().await;
}

/// Microseconds for one, the median of some rounds.
fn each<T>(all: &[T], work: impl Fn(&T)) -> f64 {
    const ROUNDS: usize = 31;

    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            all.iter().for_each(&work);
            started.elapsed().as_secs_f64() * 1e6 / all.len() as f64
        })
        .collect();
    median(&mut rounds)
}

fn pos_of(settings: &Settings) -> &SpotonSettings {
    match &settings.sinks[&SinkName::parse("pos").expect("a name")].kind {
        SinkKind::Spoton(settings) => settings,
        other => panic!("{other:?}"),
    }
}

fn feed_of(settings: &Settings) -> &GodatafeedSettings {
    match &settings.sinks[&SinkName::parse("feed").expect("a name")].kind {
        SinkKind::Godatafeed(settings) => settings,
        other => panic!("{other:?}"),
    }
}

/// The step that ships an acknowledged order.
fn shipment(settings: &GodatafeedSettings, order: &Order, now: DateTime<Utc>) -> Option<String> {
    let key = DeliveryKey {
        sink: SinkName::parse("feed").ok()?,
        order: OrderKey { source: SourceName::parse("main").ok()?, order_id: OrderId::new("1") },
    };
    let held = Held {
        gdf_id: "G-300001".to_owned(),
        purchased_at: None,
        reached: Reached::Acknowledged,
        number: Some("ord-1".to_owned()),
        changed_number: None,
        ship_date: Some("2026-03-14T18:44:07Z".to_owned()),
        partial: false,
        cancel_asked: false,
    };
    let receipt = held.receipt();
    let shipped = Order { dispatched_at: Some(now), ..order.clone() };
    let money = breakdown(&shipped);
    let known =
        Known::Young { listing: Arc::new(Listing::of(Vec::new(), false, now)), next_in: Duration::from_mins(1) };
    let view = View {
        key: &key,
        version: Version(1),
        progress: Progress { applied: None, sent: None },
        receipt: Some(&receipt),
        external_id: Some(&held.gdf_id),
        order: &shipped,
        money: &money,
        payload: "{}",
        content_hash: b"",
        every_version: false,
        counterpart: Some(Counterpart { state: State::Applied, external_id: Some("ord-1"), receipt: None }),
        since: Since { received: Duration::ZERO, owed: Duration::ZERO, refused: None, begins_at: None },
        now,
    };
    match scoffable_sync::sinks::godatafeed::plan::plan(settings, &known, &view) {
        Plan::Send(step) => Some(step.body),
        _ => None,
    }
}

fn feed_keys(url: &str) -> Vec<(String, String)> {
    let keys = [
        ("kind", "godatafeed"),
        ("base_url", url.trim_end_matches('/')),
        ("after", "hook"),
        ("token", "gdf-token"),
        ("templates_confirmed", "true"),
        ("start", "beginning"),
        ("limits.per_minute", "unlimited"),
        ("concurrency", "16"),
    ];
    keys.map(|(key, value)| (format!("sinks.feed.{key}"), value.to_owned())).into()
}

/// Orders that another sink inserted and that are on their way: all are acknowledged and shipped.
async fn calls(bench: &mut Bench, orders: usize) {
    let options = GoDataFeedOptions { bucket: None, ..GoDataFeedOptions::default() };
    let sim = GoDataFeedSim::start(options).await.expect("a loopback port is free");
    for n in 1..=orders {
        sim.import(Import::of(&n.to_string(), Utc::now() - TimeDelta::minutes(2)));
    }
    let (url, pool) = bench.database().await;
    let settings = beside(&url, NOWHERE, &feed_keys(&sim.url()));
    drop(assemble(&settings, &pool).await);
    owe(&pool, "feed", orders, &order("0")).await;
    let inserted =
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, external_id)
                    SELECT 'hook', source, order_id, 'applied', 1, 1, 'POS-' || order_id FROM orders";
    sqlx::query(inserted).execute(&pool).await.expect("it can be filled");
    let began = Instant::now();
    let lifecycle = started(&settings, &pool).await;
    applied(&pool, "feed", orders as i64).await;
    let took = began.elapsed();
    // One look after the other: each holds the simulator's lock until its statement ends.
    let total = sim.journal().total();
    let lists = sim.ledger().n_listings();
    let violations = sim.violations().len();
    println!("GoDataFeed, {orders} orders acknowledged and shipped in {:.1} s:", took.as_secs_f64());
    println!(
        "  calls {total}, {:.3} per order   lists {lists} (one each 5 minutes)   violations {violations}\n",
        total as f64 / orders as f64
    );
    end(lifecycle, pool).await;
}

/// Waits until what a sink has applied of all orders comes to so many versions.
async fn applied(pool: &PgPool, sink: &str, versions: i64) {
    let sql = "SELECT coalesce(sum(applied_version), 0)::bigint FROM deliveries WHERE sink = $1 AND state = 'applied'";
    let began = Instant::now();
    while sqlx::query_scalar::<_, i64>(sql).bind(sink).fetch_one(pool).await.expect("it can be counted") < versions {
        assert!(began.elapsed() < PATIENCE, "deliveries never end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An order that was paid online.
fn paid(id: &str, version: i64, total: i64) -> Value {
    let mut order = order(id);
    let amount = json!({"amount": total, "currency": "GBP"});
    order["version"] = json!(version);
    for field in ["/total", "/items/0/price", "/items/0/total"] {
        *order.pointer_mut(field).expect("it is there") = amount.clone();
    }
    order["customerPayments"] = json!([{"type": "online", "collectedBy": "scoffable", "payment": amount}]);
    order
}

/// A backlog, then an order alone and its corrections.
async fn books(bench: &mut Bench, orders: usize) {
    let options = XeroOptions { limits: XeroLimits::NONE, ..XeroOptions::default() };
    let sim = XeroSim::start(options.clone()).await.expect("a loopback port is free");
    let bare_sim = XeroSim::start(options).await.expect("a loopback port is free");
    let (_, scoffable) = stream(0, Duration::ZERO).await;
    let (url, pool) = bench.database().await;
    let settings = beside(&url, &scoffable.base_url(), &at_books(&sim));
    let mut app = assemble(&settings, &pool).await;
    owe(&pool, "books", orders, &paid("0", 1, 1_250)).await;

    let began = Instant::now();
    let lifecycle = Lifecycle::new();
    for dispatcher in std::mem::take(&mut app.dispatchers) {
        lifecycle.spawn("dispatcher", dispatcher.run(lifecycle.drain().clone()));
    }
    applied(&pool, "books", orders as i64).await;
    let rate = orders as f64 / began.elapsed().as_secs_f64();
    let calls = sim.journal().total();
    let bare = orders as f64 / bare_books(&bare_sim, orders).await.as_secs_f64();
    println!("Xero, {orders} orders of a backlog invoiced and paid:");
    println!("  calls {calls}, {:.3} per order   doubled {}", calls as f64 / orders as f64, sim.doubled().len());
    println!("  {rate:.0} orders/s   a bare loop {bare:.0}   ratio {:.2}", rate / bare);

    let drain = CancellationToken::new();
    let mut costs = Vec::new();
    for (version, total) in [(1, 1_250), (2, 900), (3, 1_400), (4, 1_000)] {
        let before = sim.journal().total();
        scoffable.publish(paid("alone", version, total).to_string());
        sqlx::query("UPDATE sources SET next_poll_at = now()").execute(&pool).await.expect("the update works");
        app.pollers[0].tick(&drain).await.expect("the poll works");
        applied(&pool, "books", orders as i64 + version).await;
        costs.push(sim.journal().total() - before);
    }
    println!("  an order alone {} calls, its corrections {:?}\n", costs[0], &costs[1..]);
    end(lifecycle, pool).await;
    scoffable.stop().await;
}

/// The same invoices and payments by a client and nothing else: 25 in a call, three calls at a time.
async fn bare_books(sim: &XeroSim, orders: usize) -> Duration {
    let client = reqwest::Client::new();
    let options = sim.options();
    let token = client
        .post(sim.token_url())
        .basic_auth(&options.client_id, Some(&options.client_secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    let answer = token.send().await.expect("it answers").bytes().await.expect("a whole answer");
    let token: Value = serde_json::from_slice(&answer).expect("JSON");
    let token = token["access_token"].as_str().expect("a token").to_owned();
    let contact = sim.contact_id("Scoffable customers").expect("it is there from the start");
    let put = async |resource: &str, first: usize, elements: Vec<Value>| -> Value {
        let request = client
            .put(format!("{}/{resource}?summarizeErrors=false", sim.url()))
            .bearer_auth(&token)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .header("idempotency-key", format!("{resource}-{first}"))
            .body(json!({ resource: elements }).to_string());
        let answer = request.send().await.expect("it answers").bytes().await.expect("a whole answer");
        serde_json::from_slice(&answer).expect("JSON")
    };
    let one_call = async |first: usize| {
        let numbers = first..(first + 25).min(orders);
        let invoice = |n: usize| {
            json!({
                "Type": "ACCREC", "Status": "AUTHORISED", "InvoiceNumber": format!("SCF-{n}"), "Reference": "bare",
                "Contact": {"ContactID": contact}, "Date": "2026-03-01", "DueDate": "2026-03-01",
                "LineAmountTypes": "Inclusive", "CurrencyCode": "GBP",
                "LineItems": [{"Description": "Lamb Kofta Plate", "Quantity": 1, "UnitAmount": 12.5,
                               "AccountCode": "200", "TaxType": "OUTPUT2"}]
            })
        };
        let made = put("Invoices", first, numbers.map(invoice).collect()).await;
        let payment = |made: &Value| {
            json!({
                "Invoice": {"InvoiceID": made["InvoiceID"]}, "Account": {"Code": "611"}, "Date": "2026-03-01",
                "Amount": 12.5, "Reference": format!("{}-P1-1", made["InvoiceNumber"].as_str().unwrap_or_default())
            })
        };
        let invoices = made["Invoices"].as_array().expect("a list");
        put("Payments", first, invoices.iter().map(payment).collect()).await;
    };
    let began = Instant::now();
    futures::stream::iter((0..orders).step_by(25)).map(one_call).buffer_unordered(3).collect::<Vec<()>>().await;
    let took = began.elapsed();
    assert_eq!(sim.ledger().books().payments().len(), orders, "the bare loop does all of it");
    took
}

async fn end(lifecycle: Lifecycle, pool: PgPool) {
    lifecycle.request_drain();
    lifecycle.run_to_end(Duration::from_secs(5)).await;
    pool.close().await;
}
