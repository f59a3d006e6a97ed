//! G5: what is stored and sent of an order's money is, to the minor unit, what its version says.
//!
//! Sums are recomputed by SQL from the payloads as received, by numeric arithmetic of the database's: nothing of our own
//! money code takes part in the check.

use std::collections::{BTreeMap, BTreeSet};

use scoffable_sync::simulator::{
    scoffable::{Limits, Pace, ScoffableOptions},
    spoton::{Chain, SpotonOptions, SpotonSim, Stored},
    world::{Readability, World, WorldOptions},
};
use serde_json::Value;
use sqlx::Row;

use crate::harness::{
    app::{SOURCE, Setup, TestApp},
    pos::{POS, at_pos},
};

async fn a_world_taken_in(seed: u64) -> (TestApp, World) {
    let options = WorldOptions { seed, orders: 300, ..WorldOptions::default() };
    let mut setup = TestApp::setup();
    setup.world = Some(World::generate(options.clone()));
    let mut app = setup.with("sinks.hook.versions", "every").start().await;
    app.poll().await;
    app.run_to_rest().await;
    (app, World::generate(options))
}

#[tokio::test]
async fn every_stored_total_is_the_one_the_platform_gave() {
    let (app, world) = a_world_taken_in(5).await;

    let rows = sqlx::query("SELECT order_id, version, total_minor, currency::text AS currency FROM order_versions")
        .fetch_all(&app.pool)
        .await
        .unwrap();
    let stored: BTreeMap<(String, i64), (i64, String)> = rows
        .iter()
        .map(|row| {
            let key = (row.get("order_id"), row.get("version"));
            (
                key,
                (row.get::<Option<i64>, _>("total_minor").unwrap(), row.get::<Option<String>, _>("currency").unwrap()),
            )
        })
        .collect();

    let mut checked = 0;
    for order in world.orders.values() {
        for version in order.versions.iter().filter(|version| version.readability == Readability::Clear) {
            let key = (order.id.clone(), version.number);
            assert_eq!(stored[&key], (version.total_minor, version.currency.clone()), "{key:?}");
            checked += 1;
        }
    }
    assert!(checked > 600, "only {checked} versions");
}

#[tokio::test]
async fn every_breakdown_adds_up_to_what_plain_sql_makes_of_the_payload() {
    let (app, _) = a_world_taken_in(6).await;

    let rows = sqlx::query(
        "SELECT order_id, version, expected = expected_by_sql AS expected_agrees, paid = paid_by_sql AS paid_agrees
         FROM (SELECT v.order_id, v.version, (v.breakdown ->> 'expected')::numeric AS expected,
                (v.breakdown #>> '{tenders,paid}')::numeric AS paid,
                coalesce((p.payload #>> '{deliveryFee,amount}')::numeric, 0)
                  + coalesce((p.payload #>> '{serviceFee,amount}')::numeric, 0)
                  + coalesce((SELECT sum(((i #>> '{price,amount}')::numeric + coalesce(o.surcharge, 0))
                                         * coalesce(i ->> 'quantityFulfilled', i ->> 'quantity')::numeric)
                              FROM jsonb_array_elements(p.payload -> 'items') AS i
                              CROSS JOIN LATERAL (SELECT sum((s #>> '{optionPrice,amount}')::numeric) AS surcharge
                                                  FROM jsonb_path_query(i, '$.optionCategories[*].selectedOptions[*]') AS s) o
                             ), 0) AS expected_by_sql,
                coalesce((SELECT sum((t #>> '{payment,amount}')::numeric)
                          FROM jsonb_path_query(p.payload, '$.customerPayments[*]') AS t), 0) AS paid_by_sql
         FROM order_versions v
         JOIN order_payloads p USING (source, order_id, version)
         WHERE v.verdict IN ('balanced', 'goodwill')) sums",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();

    let mut checked = 0;
    for row in &rows {
        let key: (String, i64) = (row.get("order_id"), row.get("version"));
        let agrees = |what: &str| row.get::<Option<bool>, _>(what) == Some(true);
        assert!(agrees("expected_agrees"), "expected of {key:?}");
        assert!(agrees("paid_agrees"), "paid of {key:?}");
        checked += 1;
    }
    assert!(checked > 400, "only {checked} versions");
}

#[tokio::test]
async fn the_money_that_is_sent_is_the_money_that_is_stored() {
    let (app, _) = a_world_taken_in(7).await;

    let received = app.webhook.received();
    assert!(received.len() > 300, "only {} requests", received.len());
    for request in received {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let stored: Value = sqlx::query_scalar(
            "SELECT breakdown FROM order_versions WHERE source = $1 AND order_id = $2 AND version = $3",
        )
        .bind(SOURCE)
        .bind(&request.order.order_id)
        .bind(request.version)
        .fetch_one(&app.pool)
        .await
        .unwrap();
        assert_eq!(body["money"], stored, "{request:?}");
    }
}

/// Minor units, also where they are written as `1250.0`; nothing where there is no amount.
fn amount(money: &Value) -> i64 {
    let written = money["amount"].to_string();
    written.strip_suffix(".0").unwrap_or(&written).parse().unwrap_or_default()
}

/// What the goods of an order come to, from the JSON as the platform wrote it.
fn goods(payload: &Value) -> i64 {
    let is_product = |item: &&Value| match item["type"].as_str() {
        Some(kind) => kind == "product",
        None => amount(&item["price"]) >= 0,
    };
    let of_item = |item: &Value| {
        let categories = item["optionCategories"].as_array().into_iter().flatten();
        let options = categories.flat_map(|category| category["selectedOptions"].as_array().into_iter().flatten());
        let surcharge: i64 = options.map(|option| amount(&option["optionPrice"])).sum();
        let supplied = item["quantityFulfilled"].as_i64().or(item["quantity"].as_i64()).expect("a quantity");
        supplied * (amount(&item["price"]) + surcharge)
    };
    payload["items"].as_array().into_iter().flatten().filter(is_product).map(of_item).sum()
}

/// A ticket as the restaurant would add it up.
fn added_up(stored: &Stored) -> (i64, i64) {
    let order = &stored.content;
    let goods = order.lines.iter().map(|line| {
        let modifiers: i64 = line.modifiers.iter().map(|modifier| modifier.quantity * modifier.price).sum();
        line.quantity * (line.price + modifiers)
    });
    let goods: i64 = goods.sum();
    let fees: i64 = order.fees.iter().map(|fee| fee.amount).sum();
    let discounts: i64 = order.discounts.iter().map(|discount| discount.amount).sum();
    (goods, goods + fees - discounts)
}

#[tokio::test]
async fn what_spoton_holds_is_the_order_to_the_penny() {
    let setup = Setup::default().without_hook();
    let clock = setup.clock().clone();
    // Ordered just now: nothing old is ever submitted.
    let world = World::generate(WorldOptions { seed: 8, orders: 250, epoch: clock.wall(), ..WorldOptions::default() });
    let chain = Chain::of(&world);
    let options = SpotonOptions { chain, limits: Vec::new(), clock, ..SpotonOptions::default() };
    let sim = SpotonSim::start(options).await.expect("a loopback port is free");
    let mut setup = at_pos(setup, POS, &sim).with("sinks.pos.on_change", "cancel_and_resubmit");
    setup.stream = ScoffableOptions { limits: Limits::NONE, pace: Pace::AtOnce, ..ScoffableOptions::default() };
    setup.world = Some(world.clone());
    let mut app = setup.start().await;

    app.poll().await;
    app.run_to_rest().await;

    let excused: Vec<String> =
        sqlx::query_scalar("SELECT order_id FROM deliveries WHERE state <> 'applied' OR notice = 'diverged'")
            .fetch_all(&app.pool)
            .await
            .unwrap();
    let excused: BTreeSet<String> = excused.into_iter().collect();
    assert_eq!(sim.compare(&world, &excused), []);
    let stored = sim.ledger().stored().to_vec();
    let mut checked = 0;
    for stored in stored.iter().filter(|stored| stored.is_standing() && !excused.contains(&stored.order)) {
        let newest = world.orders[&stored.order].newest().expect("it has a version");
        let payload: Value = serde_json::from_slice(&world.versions[newest.position].payload).unwrap();
        let paid: i64 = stored.content.payments.iter().map(|payment| payment.amount).sum();
        let total = amount(&payload["total"]);
        assert_eq!(added_up(stored), (goods(&payload), paid), "{stored:?} of {payload}");
        assert_eq!((paid, stored.grand_total()), (total, total), "{stored:?}");
        checked += 1;
    }
    assert!(checked > 100, "only {checked} orders");
    let differs = "SELECT count(*) FROM money_reconciliation r JOIN deliveries d USING (sink, source, order_id)
                   WHERE r.verdict <> 'equal' AND d.notice IS DISTINCT FROM 'diverged'";
    assert_eq!(app.number(differs).await, 0, "and so the books say");
    assert!(app.number("SELECT count(*) FROM money_reconciliation WHERE verdict = 'equal'").await >= checked);
}
