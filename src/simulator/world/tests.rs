use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn world(seed: u64, orders: usize) -> World {
    World::generate(WorldOptions { seed, orders, ..WorldOptions::default() })
}

fn document(version: &StreamVersion) -> Value {
    serde_json::from_slice(&version.payload).expect("a version is JSON")
}

/// The statuses of an order in the order of their version numbers.
fn statuses(order: &OrderTruth) -> Vec<&str> {
    let mut versions: Vec<_> = order.versions.iter().collect();
    versions.sort_by_key(|v| v.number);
    versions.iter().map(|v| v.status.as_str()).collect()
}

/// Recomputed from the JSON alone: supplied goods and fees.
fn expected_total(document: &Value) -> i64 {
    let amount = |money: &Value| {
        money["amount"].as_i64().or_else(|| money["amount"].as_f64().map(|amount| amount as i64)).unwrap_or(0)
    };
    let supplied: i64 = document["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| {
            let surcharges: i64 = item["optionCategories"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|category| category["selectedOptions"].as_array().into_iter().flatten())
                .map(|option| amount(&option["optionPrice"]))
                .sum();
            let fulfilled = item["quantityFulfilled"].as_i64().or(item["quantity"].as_i64()).expect("a quantity");
            (amount(&item["price"]) + surcharges) * fulfilled
        })
        .sum();
    supplied + amount(&document["deliveryFee"]) + amount(&document["serviceFee"])
}

#[test]
fn one_seed_gives_one_world_and_another_seed_another() {
    let payloads = |world: &World| world.versions.iter().map(|v| (v.at, v.payload.clone())).collect::<Vec<_>>();

    assert_eq!(payloads(&world(5, 60)), payloads(&world(5, 60)));
    assert_ne!(payloads(&world(5, 60)), payloads(&world(6, 60)));
}

#[test]
fn every_case_occurs_among_500_orders_of_any_seed() {
    for seed in 0..10 {
        let world = world(seed, 500);
        let seen: BTreeSet<Case> = world.orders.values().flat_map(|order| order.cases.iter().copied()).collect();
        let missing: Vec<_> = Case::ALL.iter().filter(|case| !seen.contains(case)).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
    }
}

#[test]
fn lifecycles_have_the_documented_statuses() {
    let world = world(3, 300);
    let distinct = |case| {
        let order = world
            .orders_with(case)
            .find(|o| !o.cases.contains(&Case::UnknownStatusOnTheWay) && !o.cases.contains(&Case::UnknownStatusNewest));
        let mut statuses = statuses(order.expect("the case occurs"));
        statuses.dedup();
        statuses
    };

    assert_eq!(distinct(Case::PlacedOnly), ["placed"]);
    assert_eq!(distinct(Case::Rejected), ["placed", "rejected"]);
    assert_eq!(distinct(Case::RejectedThenAccepted), ["placed", "rejected", "accepted"]);
    assert_eq!(distinct(Case::AcceptedThenCancelled), ["placed", "accepted", "cancelled"]);
    assert_eq!(distinct(Case::CancelledThenAccepted), ["placed", "accepted", "cancelled", "accepted"]);
    assert_eq!(distinct(Case::OnAndOffTwice), ["placed", "accepted", "cancelled", "accepted", "cancelled"]);
    assert_eq!(distinct(Case::FirstSeenAccepted), ["accepted"]);
    assert!(world.orders_with(Case::FirstSeenAccepted).all(|o| o.versions[0].number == 1));
    assert!(
        world
            .orders_with(Case::UnknownStatusNewest)
            .all(|o| !KNOWN_STATUSES.contains(&statuses(o)[o.versions.len() - 1]))
    );
}

#[test]
fn the_stream_is_chronological_and_versions_of_orders_are_interleaved() {
    let world = world(2, 100);

    assert!(world.versions.is_sorted_by_key(|v| v.at));
    assert!(world.versions.iter().all(|v| v.at < World::longest_span(100)));
    let switches = world.versions.windows(2).filter(|pair| pair[0].order_id != pair[1].order_id).count();
    assert!(switches > world.versions.len() / 2);
    let per_order = world.versions.len() as f64 / world.orders.len() as f64;
    assert!((2.0..5.0).contains(&per_order), "{per_order} versions per order");
}

#[test]
fn truth_and_payload_agree() {
    let world = world(4, 300);
    for order in world.orders.values() {
        for truth in &order.versions {
            let version = &world.versions[truth.position];
            let document = document(version);
            let id = document["id"].as_str().map_or_else(|| document["id"].to_string(), str::to_owned);
            assert_eq!(id, order.id);
            assert_eq!(document["version"], truth.number);
            assert_eq!(document["status"], truth.status.as_str());
            assert_eq!(document["total"]["currency"], truth.currency.as_str());
            assert_eq!(document["total"]["amount"].as_f64(), Some(truth.total_minor as f64));
            assert_eq!(document["latestVersion"], true);
            let flag = version.flag.expect("a version carries the flag");
            assert_eq!(&version.payload[flag..flag + 4], b"true");
        }
    }
}

#[test]
fn totals_add_up_except_where_the_case_says_otherwise() {
    let world = world(9, 500);
    let mut goodwill = 0;
    for order in world.orders.values().filter(|o| !o.cases.contains(&Case::UnexplainedTotal)) {
        for truth in &order.versions {
            let delta = expected_total(&document(&world.versions[truth.position])) - truth.total_minor;
            if order.cases.contains(&Case::GoodwillSubstitute) {
                assert!(delta >= 0, "{}: {delta}", order.id);
                goodwill += usize::from(delta > 0);
            } else {
                assert_eq!(delta, 0, "order {} version {} {:?}", order.id, truth.number, order.cases);
            }
        }
    }
    assert!(goodwill > 5, "goodwill shows in the numbers: {goodwill}");
}

#[test]
fn a_version_in_which_nothing_visible_changed_differs_only_in_its_number() {
    use crate::simulator::digest::content_hash;
    let world = world(3, 200);
    let content = |v: &VersionTruth| content_hash(&world.versions[v.position].payload, &["version", "latestVersion"]);

    for order in world.orders_with(Case::NothingVisibleChanged) {
        assert!(order.versions.windows(2).any(|pair| content(&pair[0]) == content(&pair[1])), "{}", order.id);
    }
}

#[test]
fn substitutes_are_linked_both_ways_and_originals_are_not_fulfilled() {
    let world = world(11, 500);
    for order in world.orders_with(Case::ManyForManySubstitute) {
        let documents = order.versions.iter().map(|v| document(&world.versions[v.position]));
        let items = documents
            .map(|document| document["items"].as_array().cloned().unwrap_or_default())
            .find(|items| items.iter().any(|item| item["substitutionDetails"]["substitutedBy"].is_array()))
            .expect("a version with links");
        let linked = |name: &str| -> Vec<&Value> {
            items.iter().filter(|item| item["substitutionDetails"][name].is_array()).collect()
        };
        assert_eq!(linked("substitutedBy").len(), 2);
        assert_eq!(linked("substitutedFor").len(), 2);
        assert!(linked("substitutedBy").iter().all(|item| item["quantityFulfilled"] == 0));
        assert!(linked("substitutedFor").iter().all(|item| item["quantityOrdered"] == 0));
    }
}

#[test]
fn payloads_are_filled_up_to_the_size_asked_for() {
    let world = World::generate(WorldOptions { orders: 30, payload_bytes: Some(3000), ..WorldOptions::default() });

    for version in &world.versions {
        assert!((3000..8000).contains(&version.payload.len()), "{}", version.payload.len());
    }
}

#[test]
fn ids_beyond_double_precision_are_written_to_the_digit() {
    let world = world(1, 100);
    for order in world.orders_with(Case::IdBeyondDoublePrecision) {
        let payload = String::from_utf8_lossy(&world.versions[order.versions[0].position].payload).into_owned();
        assert!(payload.contains(&format!("\"id\":{}", order.id)));
        assert!(order.id.parse::<i64>().is_ok_and(|id| id > 1 << 53));
    }
}

#[test]
fn broken_versions_are_mixed_in_and_marked() {
    let breakages = [Breakage::READABLE_PAGE.as_slice(), &Breakage::UNREADABLE_PAGE].concat();
    let options = WorldOptions { orders: 200, broken: 40, breakages, ..WorldOptions::default() };
    let world = World::generate(options);
    let of = |wanted| {
        let truths = world.orders.values().flat_map(|order| &order.versions);
        truths.filter(|v| v.readability == wanted).map(|v| &world.versions[v.position]).collect::<Vec<_>>()
    };

    assert!(of(Readability::Broken).len() > 10);
    assert!(of(Readability::Odd).len() > 5);
    assert!(of(Readability::Clear).iter().all(|v| serde_json::from_slice::<Value>(&v.payload).is_ok()));
    for version in of(Readability::Broken) {
        let readable = serde_json::from_slice::<Value>(&version.payload)
            .is_ok_and(|d| (d["id"].is_i64() || d["id"].is_string()) && d["version"].is_i64());
        assert!(!readable, "{}", String::from_utf8_lossy(&version.payload));
    }
    for order in world.orders.values() {
        for truth in &order.versions {
            assert_eq!(world.versions[truth.position].number, truth.number, "positions still fit");
        }
    }
}
