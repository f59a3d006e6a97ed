//! Whatever an order goes through, and whichever answers are lost on the way: what stands in the end is the newest version, to
//! the penny and to the piece.
//!
//! Each seed is the life of one order. `SEED=7` plays one, `SEEDS=500` that many.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use scoffable_sync::simulator::{
    amount::{Cents, Fine},
    faults::{Fault, cut_after, cut_before, not_json, plainly, status},
    unleashed::Rules,
};

use super::*;

/// Where nobody says how many.
const SEEDS: u64 = 40;
const DISHES: [(&str, &str, i64); 3] =
    [("Lamb Kofta Plate", "KOFTA", 1250), ("Garlic Naan", "NAAN", 333), ("Mango Lassi", "LASSI", 299)];

/// What a version says, and what should stand then.
struct Version {
    order: Value,
    total: i64,
    /// By product.
    goods: BTreeMap<String, Fine>,
}

fn money(minor: i64) -> Value {
    json!({"amount": minor, "currency": "GBP"})
}

fn accepted(id: &str, number: i64, dice: &mut StdRng) -> Version {
    let mut items = Vec::new();
    let mut goods = BTreeMap::new();
    let mut total = 0;
    for (name, code, price) in DISHES {
        let quantity = dice.random_range(0..=3);
        if quantity == 0 {
            continue;
        }
        // Some are dearer this time.
        let price = price + [0, 0, 7][dice.random_range(0..3)];
        items.push(json!({
            "id": name, "name": name, "type": "product", "quantityOrdered": quantity, "quantityFulfilled": quantity,
            "price": money(price), "total": money(price * quantity),
        }));
        goods.insert(code.to_owned(), Fine(Fine::ONE.0 * quantity));
        total += price * quantity;
    }
    if total > 0 && dice.random_bool(0.4) {
        let off = dice.random_range(1..=total);
        items.push(json!({
            "id": "off", "name": "Sorry", "type": "adjustment", "quantityOrdered": 1, "quantityFulfilled": 1,
            "price": money(-off), "total": money(-off),
        }));
        total -= off;
    }
    let mut order = order_of(id, number, "accepted", 0);
    if dice.random_bool(0.3) {
        order["serviceFee"] = money(99);
        total += 99;
    }
    order["items"] = items.into();
    (order["total"], order["customerPayments"][0]["payment"]) = (money(total), money(total));
    Version { order, total, goods }
}

fn life(id: &str, dice: &mut StdRng) -> Vec<Version> {
    let n_versions = dice.random_range(2..=7);
    let mut life: Vec<Version> = Vec::new();
    for number in 1..=n_versions {
        let mut next = accepted(id, number, dice);
        if number > 1 && dice.random_bool(0.3) {
            next.order["status"] = "cancelled".into();
            next = Version { total: 0, goods: BTreeMap::new(), ..next };
        }
        life.push(next);
    }
    life
}

fn trouble(dice: &mut StdRng) -> Vec<Fault> {
    let all = [cut_before(), cut_after(), not_json(), status(500), status(502).after_the_effect(), status(429)];
    let mut script = vec![plainly(); dice.random_range(0..4)];
    script.push(all.choose(dice).expect("there are some").clone());
    script
}

/// What nobody knows may be either way.
fn settle_rules(rules: &mut Rules, dice: &mut StdRng) {
    rules.put_removes_lines = dice.random_bool(0.7);
    rules.keeps_credit_guids = dice.random_bool(0.7);
    rules.tells_ids = dice.random_bool(0.7);
}

/// One account at which lives are lived one after the other.
async fn played(complete: &str, seeds: impl Iterator<Item = u64>) {
    let items = "{ \"Lamb Kofta Plate\" = \"KOFTA\", \"Garlic Naan\" = \"NAAN\", \"Mango Lassi\" = \"LASSI\" }";
    let breaker = ("breaker.failures", "1000");
    let (mut app, sim) = at_unleashed(&[("complete", complete), ("items", items), breaker]).await;
    for seed in seeds {
        let mut dice = StdRng::seed_from_u64(seed);
        let id = seed.to_string();
        sim.change_rules(|rules| settle_rules(rules, &mut dice));
        let life = life(&id, &mut dice);
        for version in &life {
            if dice.random_bool(0.6) {
                sim.answer_next_writes(trouble(&mut dice));
            }
            app.arrives(&version.order).await;
            match dice.random_range(0..4) {
                // The next version finds it as it is, perhaps in doubt.
                0 => {}
                1 => app.advance(Duration::from_mins(dice.random_range(1..120))),
                _ => app.run_to_rest().await,
            }
            if dice.random_bool(0.05) {
                app.restart().await;
            }
        }
        app.run_to_rest().await;
        sim.clear_script();

        let newest = life.last().expect("it has a version");
        let told: Vec<&Value> = life.iter().map(|version| &version.order).collect();
        let delivery = app.delivery_at(STOCK, &id).await;
        let context = format!("seed {seed}: {delivery:?}, {:#?}, {told:?}", documents(&sim));
        let ledger = sim.ledger();
        assert_eq!(ledger.stands(&id), Cents(newest.total), "{context}");
        let goods: BTreeMap<String, Fine> =
            ledger.goods(&id).into_iter().filter(|(code, _)| DISHES.iter().any(|dish| dish.1 == code)).collect();
        assert_eq!(goods, newest.goods, "{context}");
        assert_eq!(ledger.unfinished(&id), 0, "{context}");
        drop(ledger);
        assert!(["applied", "skipped"].contains(&delivery.state.as_str()), "{context}");
        assert_nothing_wrong(&sim);
    }
    let different = "SELECT count(*) FROM money_reconciliation WHERE verdict <> 'equal'";
    assert_eq!(app.number(different).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_order_goes_through_its_newest_version_stands_to_the_penny() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let (even, odd): (Vec<u64>, Vec<u64>) = seeds.into_iter().partition(|seed| seed % 2 == 0);

    let later = tokio::spawn(async move { played("after_minutes:180", even.into_iter()).await });
    played("immediately", odd.into_iter()).await;
    later.await.expect("it is played to its end");
}
