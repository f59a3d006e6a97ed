//! A plain client, written for this test alone, works through both simulators while they misbehave.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    test_client::{client, secs},
    world::KNOWN_STATUSES,
    *,
};

const TRIES: usize = 30;

/// Which versions the client sends.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    EveryVersion,
    NewestOnly,
}

fn options(chaos: Chaos, seed: u64) -> SimulateOptions {
    SimulateOptions { orders: 60, seed, chaos, limits: Limits::NONE, broken: 8, ..SimulateOptions::default() }
}

/// Repeats until there is an answer of 200 with a readable body.
async fn insist(request: &reqwest::RequestBuilder) -> Value {
    for _ in 0..TRIES {
        let request = request.try_clone().expect("a body in memory").timeout(secs(2));
        let Ok(answer) = request.send().await else { continue };
        let is_ok = answer.status() == 200;
        let Ok(body) = answer.bytes().await else { continue };
        if let (true, Ok(body)) = (is_ok, serde_json::from_slice(&body)) {
            return body;
        }
    }
    panic!("the faults do not end");
}

/// The readable versions of each order, by number.
async fn read_stream(client: &reqwest::Client, simulation: &Simulation) -> BTreeMap<String, BTreeMap<i64, String>> {
    #[derive(serde::Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        data: Vec<&'a serde_json::value::RawValue>,
    }
    let mut orders: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut url = reqwest::Url::parse(&simulation.scoffable.base_url()).expect("a URL");
        url.set_path("/v1/orderUpdates");
        url.query_pairs_mut().append_pair("pageSize", "50");
        if let Some(cursor) = &cursor {
            url.query_pairs_mut().append_pair("pageId", cursor);
        }
        let request = client.get(url).bearer_auth("sim-token");
        // Read as a value first, to know that it is whole; one half of a surrogate pair would not pass.
        let text = loop {
            let answer = request.try_clone().expect("no body").timeout(secs(2)).send().await;
            let Ok(answer) = answer else { continue };
            let is_ok = answer.status() == 200;
            let Ok(body) = answer.text().await else { continue };
            if is_ok && serde_json::from_str::<Page<'_>>(&body).is_ok() {
                break body;
            }
        };
        let page: Page<'_> = serde_json::from_str(&text).expect("checked before");
        for raw in page.data {
            let Ok(order) = serde_json::from_str::<Value>(raw.get()) else { continue };
            let id = match &order["id"] {
                Value::String(text) => text.clone(),
                Value::Number(number) if number.is_i64() => number.to_string(),
                _ => continue,
            };
            let Some(version) = order["version"].as_i64() else { continue };
            orders.entry(id).or_default().insert(version, raw.get().to_owned());
        }
        let next = text.rsplit("\"nextPageId\":\"").next().and_then(|rest| rest.strip_suffix("\"}"));
        let has_more = text.starts_with(r#"{"hasMore":true"#);
        let moved = next.map(str::to_owned) != cursor;
        cursor = next.map(str::to_owned);
        if !has_more && !moved {
            return orders;
        }
    }
}

async fn deliver(
    client: &reqwest::Client,
    simulation: &Simulation,
    id: &str,
    versions: &BTreeMap<i64, String>,
    mode: Mode,
) {
    let (url, secret) = (simulation.webhook.url(), WebhookOptions::default().secret);

    let mut was_accepted = false;
    for (position, (version, raw)) in versions.iter().enumerate() {
        if mode == Mode::NewestOnly && position + 1 < versions.len() {
            continue;
        }
        let order: Value = serde_json::from_str(raw).expect("read before");
        let status = order["status"].as_str().unwrap_or_default();
        was_accepted |= status == "accepted";
        let is_owed = status == "accepted" || status == "cancelled" && was_accepted;
        if !is_owed || !KNOWN_STATUSES.contains(&status) {
            continue;
        }
        let body = json!({
            "type": format!("order.{status}"),
            "source": "main",
            "order_id": id,
            "version": version,
            "previous_applied_version": null,
            "order": {},
            "raw": order,
            "money": {},
        })
        .to_string();
        let now = chrono::Utc::now().timestamp();
        let signer = standardwebhooks::Webhook::new(&secret).expect("a secret");
        let request = client
            .post(&url)
            .header("webhook-id", format!("{id}-{version}"))
            .header("webhook-timestamp", now)
            .header("webhook-signature", signer.sign(&format!("{id}-{version}"), now, body.as_bytes()).expect("signed"))
            .header("content-type", "application/json")
            .header("idempotency-key", format!("main:{id}:{version}"))
            .body(body);
        insist(&request).await;
    }
}

async fn work_through(chaos: Chaos, seed: u64, mode: Mode) -> Simulation {
    let client = client();
    let simulation = run(options(chaos, seed)).await.expect("free ports");
    let orders = read_stream(&client, &simulation).await;
    let deliveries = orders.iter().map(|(id, versions)| deliver(&client, &simulation, id, versions, mode));
    futures::future::join_all(deliveries).await;
    simulation
}

#[tokio::test]
async fn a_correct_client_ends_with_a_right_ledger_and_without_violations() {
    for (seed, mode) in [(1, Mode::EveryVersion), (2, Mode::NewestOnly)] {
        let simulation = work_through(Chaos::Mild, seed, mode).await;

        assert_eq!(simulation.webhook.compare("main", &simulation.world), []);
        assert_eq!(simulation.webhook.violations(), []);
        assert_eq!(simulation.scoffable.journal().overlaps("token:main"), 0);
        assert!(simulation.is_drained());
        let played: BTreeSet<_> = simulation.webhook.journal().faults().into_keys().collect();
        assert!(!played.is_empty(), "chaos is played");
        let stopping = tokio::time::timeout(Duration::from_secs(10), simulation.stop());
        stopping.await.expect("stopping ends");
    }
}

#[tokio::test]
async fn a_forgotten_order_is_found() {
    let simulation = work_through(Chaos::None, 3, Mode::EveryVersion).await;
    let mut world = (*simulation.world).clone();
    assert_eq!(simulation.webhook.compare("main", &world), []);
    let accepted = simulation.webhook.ledger().orders().next().cloned().expect("an order");

    world.orders.remove(&accepted.order_id);

    assert_eq!(simulation.webhook.compare("main", &world).len(), 1);
}

#[tokio::test]
async fn spoton_is_simulated_when_asked_for_with_the_locations_of_the_same_world() {
    assert!(run(options(Chaos::None, 1)).await.expect("free ports").spoton.is_none());
    let spoton_listen = Some(SpotonOptions::default().listen);

    let simulation = run(SimulateOptions { spoton_listen, ..options(Chaos::None, 1) }).await.expect("free ports");

    let locations = simulation.state()["spoton"]["menus_of_locations"].as_object().map(serde_json::Map::len);
    assert_eq!(locations, Some(simulation.world.vendors.len()));
    simulation.stop().await;
}

#[tokio::test]
async fn orders_that_appear_over_time_bear_recent_dates_and_none_in_the_future() {
    let pace = Pace::Over(secs(60));
    let simulation = run(SimulateOptions { pace, ..options(Chaos::None, 1) }).await.expect("free ports");

    let epoch = simulation.world.options.epoch;
    let last = simulation.world.versions.last().expect("a version");
    assert!(epoch + last.at < chrono::Utc::now());
    assert!(epoch > chrono::Utc::now() - chrono::TimeDelta::days(4));
    assert!(!simulation.is_drained());
}

#[tokio::test]
async fn godatafeed_is_simulated_when_asked_for_with_the_orders_of_the_same_world() {
    assert!(run(options(Chaos::None, 1)).await.expect("free ports").godatafeed.is_none());
    let clock = Clock::default();
    let godatafeed_listen = Some(GoDataFeedOptions::default().listen);
    let simulation = run(SimulateOptions { godatafeed_listen, clock: clock.clone(), ..options(Chaos::None, 1) }).await;
    let simulation = simulation.expect("free ports");

    clock.advance(DEFAULT_IMPORT_DELAY);

    let state = &simulation.state()["godatafeed"];
    assert_eq!(state["orders"]["new"], simulation.world.orders.len());
    assert_eq!(state["n_violations"], 0);
    simulation.stop().await;
}

#[tokio::test]
async fn lightspeed_is_simulated_where_it_is_asked_for() {
    let lightspeed_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let simulation = run(SimulateOptions { lightspeed_listen, ..options(Chaos::None, 1) }).await.expect("free ports");

    let state = simulation.state();
    assert_eq!((&state["lightspeed"]["sales"], &state["xero"]), (&json!(0), &Value::Null));
    simulation.stop().await;
}
