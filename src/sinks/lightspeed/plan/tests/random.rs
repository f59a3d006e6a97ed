//! Any history of an order ends with what its newest version says.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct Change {
    naans: i64,
    bhunas: i64,
    price: i64,
    discount: i64,
    cash: bool,
    cancelled: bool,
    /// The register was closed and opened before.
    next_day: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let amounts = (0..4_i64, 0..4_i64, 1..3_i64, 0..2_i64);
    let flags = (any::<bool>(), proptest::bool::weighted(0.2), any::<bool>());
    (amounts, flags).prop_map(|((naans, bhunas, price, discount), (cash, cancelled, next_day))| Change {
        naans,
        bhunas,
        price: 1000 + 7 * price,
        discount: 50 * discount,
        cash,
        cancelled,
        next_day,
    })
}

/// The order, and what should stand of it.
fn written(version: i64, change: &Change) -> (Value, i64) {
    let bhuna = item("product", "Lamb Bhuna", change.price, 3, change.bhunas);
    let mut items = vec![item("product", "Plain Naan", 290, 3, change.naans), bhuna];
    let goods = 290 * change.naans + change.price * change.bhunas;
    let discount = if goods == 0 { 0 } else { change.discount };
    if discount != 0 {
        items.push(item("offer", "deal", -discount, 1, 1));
    }
    let total = goods - discount;
    let payment = if change.cash { paid("cash", "vendor", total) } else { paid("online", "scoffable", total) };
    let order = order(version, total, &items, &[payment]);
    if change.cancelled { (as_version(order, version, "cancelled"), 0) } else { (order, total) }
}

proptest! {
    #[test]
    fn every_history_ends_to_the_penny_with_what_the_newest_version_says(
        changes in prop::collection::vec(change(), 1..8),
        distribute in any::<bool>(),
        sweep in any::<bool>(),
    ) {
        let keys = [(distribute, ("discounts", "distribute")), (sweep, ("verify", "sweep"))];
        let keys: Vec<(&str, &str)> = keys.into_iter().filter(|(is_on, _)| *is_on).map(|(_, key)| key).collect();
        let mut scene = Scene::with(settings_with(&keys));
        for (version, change) in (1..).zip(&changes) {
            if change.next_day {
                scene.opening = format!("day {version}");
            }
            let (order, total) = written(version, change);

            let ended = scene.bring(&order);

            let is_nothing = ended == Ended::Skipped(SkipReason::CancelledBeforeSent);
            prop_assert!(matches!(ended, Ended::Settled { .. }) || is_nothing, "{:?} after {:?}", ended, scene.steps());
            let (worth, paid) = scene.worth();
            prop_assert_eq!(worth, i128::from(total) * 1000);
            let payment_type = if change.cash { CASH } else { ONLINE };
            let expected = [(payment_type.to_owned(), i128::from(total) * 1000)];
            let expected: BTreeMap<String, i128> = expected.into_iter().filter(|(_, amount)| *amount != 0).collect();
            prop_assert_eq!(paid, expected);
            prop_assert_eq!(scene.held().posted_minor(), total);
        }
    }
}
