//! Random histories of orders at a shop that misbehaves: at the end it says what the newest versions say.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use scoffable_sync::simulator::faults::Chaos;

use super::*;

const ORDERS: usize = 10;
const VERSIONS: i64 = 5;
const PRICES: [(&str, i64); 4] =
    [("Lamb Kofta Plate", 1250), ("Lamb Bhuna", 1095), ("Plain Naan", 290), ("Mango Lassi", 333)];

/// A version, and what should stand of it: the total, and how it is paid.
struct Told {
    order: Value,
    total: i64,
    paid: &'static str,
}

fn version(id: &str, number: i64, dice: &mut StdRng) -> Told {
    let mut items = Vec::new();
    let mut total = 0;
    for (name, price) in PRICES {
        let n = dice.random_range(0..4);
        if n > 0 {
            let price = price + 10 * dice.random_range(0..2);
            items.push(item("product", name, price, 3, n));
            total += price * n;
        }
    }
    if total > 0 && dice.random_bool(0.4) {
        items.push(item("offer", "deal", -150, 1, 1));
        total -= 150;
    }
    let mut fee = 0;
    if dice.random_bool(0.5) {
        fee = 99;
        total += fee;
    }
    let (kind, holder, payment_type) =
        *[("online", "scoffable", ONLINE), ("cash", "vendor", CASH)].choose(dice).expect("one");
    let payments = if total == 0 { Vec::new() } else { vec![paid(kind, holder, total)] };
    let mut order = order_with(id, number, total, &items, &payments);
    order["serviceFee"] = pounds(fee);
    if dice.random_bool(0.25) {
        return Told { order: as_status(order, "cancelled"), total: 0, paid: payment_type };
    }
    Told { order, total, paid: payment_type }
}

async fn play(seed: u64, keys: &[(&str, &str)]) {
    let mut dice = StdRng::seed_from_u64(seed);
    let options = LightspeedOptions { chaos: Chaos::Hard, seed, limits: None, ..LightspeedOptions::default() };
    let usual = [
        ("request_timeout", "2s"),
        ("breaker.failures", "1000"),
        ("limits.per_five_minutes", "unlimited"),
        ("missing_product", "create"),
    ];
    let mut till = Till::at(&[&usual, keys].concat(), options).await;
    let mut newest: BTreeMap<String, Told> = BTreeMap::new();
    for number in 1..=VERSIONS {
        for n in 0..ORDERS {
            if number > 1 && dice.random_bool(0.3) {
                continue;
            }
            let id = format!("{seed}-{n}");
            let told = version(&id, number, &mut dice);
            till.app.publish(&told.order);
            newest.insert(id, told);
        }
        till.app.poll().await;
        if dice.random_bool(0.5) {
            till.app.run_to_rest().await;
        } else {
            till.app.dispatch().await;
        }
        if dice.random_bool(0.4) {
            till.turn_the_day();
        }
        if dice.random_bool(0.3) {
            till.app.restart().await;
        }
    }
    till.app.run_to_rest().await;

    till.assert_nothing_wrong();
    for (id, told) in &newest {
        let delivery = till.app.delivery_at(TILL, id).await;
        assert!(["applied", "skipped"].contains(&delivery.state.as_str()), "seed {seed}: {delivery:?}");
        let tenders: &[(&str, i64)] = if told.total == 0 { &[] } else { &[(told.paid, told.total)] };
        till.assert_stands(id, told.total, tenders);
    }
    let different = "SELECT count(*) FROM money_reconciliation WHERE verdict <> 'equal'";
    assert_eq!(till.app.number(different).await, 0, "seed {seed}");
}

#[tokio::test]
async fn any_history_ends_with_what_its_newest_version_says_whatever_goes_wrong() {
    let seeds = std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_u64);
    for seed in 1..=seeds {
        play(seed, &[]).await;
    }
}

#[tokio::test]
async fn so_it_does_where_nothing_is_read_back_and_discounts_are_in_the_prices() {
    play(101, &[("verify", "sweep"), ("discounts", "distribute")]).await;
}
