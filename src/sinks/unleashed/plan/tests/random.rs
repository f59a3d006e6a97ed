//! Whatever becomes of an order, what stands at Unleashed comes to what the order says, or it is told why not.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    domain::{money::breakdown, order::Status},
    simulator::world::{World, WorldOptions},
    source::{self, SourceKind},
};

/// Versions are taken as they come; late ones, and those that no sink is asked about, are left out.
fn versions_of(world: &World, order_id: &str) -> Vec<String> {
    let mut newest = i64::MIN;
    let mut versions = Vec::new();
    for version in world.versions_of(order_id) {
        let payload = String::from_utf8(version.payload.to_vec()).expect("text");
        let Ok(order) = source::decode_stored(SourceKind::Scoffable, &payload) else { continue };
        let is_brought = matches!(order.status, Status::Accepted | Status::Cancelled);
        if order.version.0 > newest && is_brought {
            newest = order.version.0;
            versions.push(payload);
        }
    }
    versions
}

fn check(scene: &mut Scene, payload: &str, waits: bool) -> Result<&'static str, TestCaseError> {
    let order = source::decode_stored(SourceKind::Scoffable, payload).unwrap();
    let ended = match scene.bring_until_it_waits(&serde_json::from_str(payload).unwrap()) {
        Ended::Waits if waits => return Ok("waits"),
        Ended::Waits => scene.bring_payload(payload),
        ended => ended,
    };
    match ended {
        Ended::Settled { .. } => {
            let declared = scene.held().declared_minor;
            let cancelled = order.status == Status::Cancelled;
            let expected = if cancelled { 0 } else { breakdown(&order).total.unwrap() + declared };
            prop_assert_eq!(scene.posted(), expected, "{}", payload);
            prop_assert_eq!(&scene.receipt.as_ref().unwrap()["money"]["posted_minor"], &Value::from(expected));
            Ok("settled")
        }
        Ended::Skipped(SkipReason::CancelledBeforeSent) => Ok("skipped"),
        Ended::Parked(reason) => {
            let known = [
                "mixed_currencies",
                "amount_unreadable",
                "total_missing",
                "price_missing",
                "quantity_missing",
                "date_unknown",
                "discounts_exceed_goods",
            ];
            prop_assert!(known.contains(&reason), "{}: {}", reason, payload);
            Ok("parked")
        }
        Ended::Held(subject) if subject.starts_with("currency ") => Ok("held"),
        other => Err(TestCaseError::fail(format!("{other:?}: {payload}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_life_of_an_order_leads_to_documents_that_add_up_or_to_a_reason(
        seed in any::<u64>(),
        complete in prop::sample::select(vec!["immediately", "after_minutes:180", "never"]),
        discounts in prop::sample::select(vec!["distribute", "lines"]),
        waits in any::<bool>(),
    ) {
        let world = World::generate(WorldOptions { seed, orders: 60, ..WorldOptions::default() });
        let vendors: BTreeSet<String> = world
            .orders
            .keys()
            .flat_map(|order_id| versions_of(&world, order_id))
            .filter_map(|payload| {
                let order = source::decode_stored(SourceKind::Scoffable, &payload).ok()?;
                Some(order.vendor_id?.as_str().to_owned())
            })
            .collect();
        let places: Vec<String> =
            vendors.iter().map(|vendor| format!("{vendor:?} = {{ warehouse = \"KITCHEN1\" }}")).collect();
        let places = format!("{{ {} }}", places.join(", "));
        let keys = [("complete", complete), ("discounts", discounts), ("vendors", places.as_str())];
        let mut ends = BTreeSet::new();
        for order_id in world.orders.keys() {
            let mut scene = Scene::with(&keys);
            let versions = versions_of(&world, order_id);
            for (at, payload) in versions.iter().enumerate() {
                ends.insert(check(&mut scene, payload, waits && at + 1 < versions.len())?);
                scene.now += chrono::TimeDelta::minutes(30);
            }
        }
        prop_assert!(ends.contains("settled"), "{:?}", ends);
    }
}
