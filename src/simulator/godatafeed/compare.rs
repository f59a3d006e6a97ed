//! Whether GoDataFeed holds what the orders of a world call for.
//!
//! # When a ledger is right ([`Ledger::compare`])
//!
//! Every wait is over and nobody has intervened. Take the versions of an order that can be read, and let N be the one
//! with the highest number. The order's only counterpart must be
//!
//! | N is | with a destination's number | without any |
//! | --- | --- | --- |
//! | accepted | acknowledged or shipped; or cancelled, if a version before was | new; or cancelled, likewise |
//! | cancelled | cancelled; or shipped, if any version is accepted | likewise |
//! | anything else | new, if no version is accepted; otherwise anything | new |
//!
//! and whatever number it was acknowledged with is one the destination gave to this order. Versions that may be read or
//! set aside ([`Readability::Odd`]) are tried both ways. An order with two counterparts was touched in neither, and
//! nothing is asked of one that somebody else moved.

use std::collections::BTreeMap;

use super::ledger::{By, Counterpart, Ledger, OrderState};
use crate::simulator::{
    ledger::Mismatch,
    world::{OrderTruth, Readability, VersionTruth, World},
};

impl Ledger {
    /// Where this ledger is not right; the rules stand at the top of this module. `numbers` are all that the
    /// destination ever gave out, by Scoffable order id.
    pub fn compare(&self, world: &World, numbers: &BTreeMap<String, Vec<String>>) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        for order in world.orders.values() {
            let counterparts: Vec<&Counterpart> = self.counterparts_of(&order.id).collect();
            let given = numbers.get(&order.id).map_or(&[][..], Vec::as_slice);
            let verdict = match counterparts.as_slice() {
                [] => Ok(()),
                [one] => judge(order, one, given),
                several => stay_untouched(several),
            };
            if let Err(expected) = verdict {
                let found = counterparts.iter().map(|counterpart| describe(counterpart)).collect::<Vec<_>>().join("; ");
                mismatches.push(Mismatch { order_id: order.id.clone(), expected, found });
            }
        }
        mismatches
    }
}

fn stay_untouched(counterparts: &[&Counterpart]) -> Result<(), String> {
    let is_touched = counterparts.iter().any(|counterpart| counterpart.applied().next().is_some());
    if is_touched { Err("none of several touched".to_owned()) } else { Ok(()) }
}

fn judge(order: &OrderTruth, counterpart: &Counterpart, given: &[String]) -> Result<(), String> {
    if counterpart.history()[1..].iter().any(|change| change.by == By::SomebodyElse) {
        return Ok(());
    }
    if counterpart.destination_number.as_ref().is_some_and(|number| !given.contains(number)) {
        return Err(format!("a number of {given:?}"));
    }
    let strict = |v: &&VersionTruth| v.readability == Readability::Clear;
    let lenient = |v: &&VersionTruth| v.readability != Readability::Broken;
    let with_odd: Vec<&VersionTruth> = order.versions.iter().filter(lenient).collect();
    let clear: Vec<&VersionTruth> = order.versions.iter().filter(strict).collect();
    let is_right =
        |versions: &[&VersionTruth]| right_states(versions, !given.is_empty()).contains(&counterpart.state());
    if is_right(&clear) || is_right(&with_odd) {
        return Ok(());
    }
    Err(format!("one of {:?}", right_states(&clear, !given.is_empty())))
}

fn right_states(versions: &[&VersionTruth], is_inserted: bool) -> Vec<OrderState> {
    let was = |status: &str| versions.iter().any(|version| version.status == status);
    let newest = versions.iter().max_by_key(|version| version.number);
    let mut right = match newest.map(|newest| newest.status.as_str()) {
        Some("accepted") if is_inserted => vec![OrderState::Acknowledged, OrderState::Shipped],
        Some("cancelled") if was("accepted") => vec![OrderState::Cancelled, OrderState::Shipped],
        Some("cancelled") => vec![OrderState::Cancelled],
        Some("accepted") => vec![OrderState::New],
        _ if was("accepted") && is_inserted => {
            vec![OrderState::New, OrderState::Acknowledged, OrderState::Shipped, OrderState::Cancelled]
        }
        _ => vec![OrderState::New],
    };
    if was("cancelled") && !right.contains(&OrderState::Cancelled) {
        right.push(OrderState::Cancelled);
    }
    right
}

fn describe(counterpart: &Counterpart) -> String {
    let number = counterpart.destination_number.as_deref().unwrap_or("no number");
    format!("{} {:?} with {number}", counterpart.id, counterpart.states())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::simulator::godatafeed::ledger::{Content, Report, Rules, ShipDate, Shipment};

    /// A world with the single order `a`.
    fn world(statuses: &[(&str, Readability)]) -> World {
        let mut world = World::empty();
        let versions = statuses.iter().enumerate().map(|(position, (status, readability))| VersionTruth {
            number: position as i64 + 1,
            status: (*status).to_owned(),
            total_minor: 900,
            currency: "GBP".to_owned(),
            readability: *readability,
            position,
        });
        let truth = OrderTruth { id: "a".to_owned(), cases: BTreeSet::new(), versions: versions.collect() };
        world.orders.insert("a".to_owned(), truth);
        world
    }

    /// With so many counterparts of the order `a`, on the first of which is done what the letters say: acknowledge,
    /// ship, cancel, and `t`, which is somebody else.
    fn ledger(counterparts: usize, done: &str) -> Ledger {
        let mut ledger = Ledger::new(Rules {
            marketplace: "Scoffable".to_owned(),
            listing_interval: Duration::ZERO,
            token_interval: Duration::ZERO,
            tracking_is_required: false,
        });
        ledger.turn_to(Duration::from_hours(1), DateTime::UNIX_EPOCH + TimeDelta::hours(1));
        for _ in 0..counterparts {
            ledger.import(Report {
                number: "a".to_owned(),
                marketplace: "Scoffable".to_owned(),
                order_id: Some("a".to_owned()),
                purchased_at: DateTime::UNIX_EPOCH,
                appears_at: Duration::ZERO,
                taken_at: None,
            });
        }
        let at = DateTime::UNIX_EPOCH + TimeDelta::minutes(30);
        let ship_date = ShipDate { text: at.to_rfc3339(), at, has_time: true };
        for letter in done.chars() {
            let content = match letter {
                'a' => Content::Acknowledge { number: "ord-1".to_owned() },
                's' => Content::Ship(Shipment { ship_date: ship_date.clone(), tracking_number: None, carrier: None }),
                'c' => Content::Cancel,
                _ => {
                    ledger.is_taken_elsewhere("G-300001");
                    continue;
                }
            };
            ledger.write(0, content).expect("it is allowed");
        }
        ledger
    }

    fn numbers(given: &[&str]) -> BTreeMap<String, Vec<String>> {
        BTreeMap::from([("a".to_owned(), given.iter().map(|number| (*number).to_owned()).collect())])
    }

    #[test]
    fn each_history_of_an_order_allows_what_its_newest_version_calls_for_and_nothing_else() {
        let all = ["", "a", "as", "ac", "c"];
        for (statuses, given, right) in [
            (&["placed"][..], &["ord-1"][..], &[""][..]),
            (&["placed", "rejected"], &["ord-1"], &[""]),
            (&["placed", "accepted"], &["ord-1"], &["a", "as"]),
            (&["placed", "accepted"], &[], &[""]),
            (&["placed", "accepted"], &["ord-2"], &[]),
            (&["placed", "accepted"], &["ord-2", "ord-1"], &["a", "as"]),
            (&["accepted", "cancelled"], &["ord-1"], &["as", "ac", "c"]),
            (&["placed", "cancelled"], &[], &["c"]),
            (&["accepted", "cancelled", "accepted"], &["ord-1"], &["a", "as", "ac", "c"]),
            (&["accepted", "rejected"], &["ord-1"], &["", "a", "as", "ac", "c"]),
        ] {
            let clear: Vec<_> = statuses.iter().map(|status| (*status, Readability::Clear)).collect();
            let found = |done: &&&str| ledger(1, done).compare(&world(&clear), &numbers(given)).is_empty();
            assert_eq!(all.iter().filter(found).copied().collect::<Vec<_>>(), right, "{statuses:?} {given:?}");
        }
    }

    #[test]
    fn a_version_that_may_be_set_aside_is_tried_both_ways_and_a_broken_one_never() {
        let then = |readability| world(&[("accepted", Readability::Clear), ("cancelled", readability)]);
        let is_right = |done, world| ledger(1, done).compare(&world, &numbers(&["ord-1"])).is_empty();

        assert!(is_right("a", then(Readability::Odd)) && is_right("ac", then(Readability::Odd)));
        assert!(is_right("a", then(Readability::Broken)) && !is_right("ac", then(Readability::Broken)));
    }

    #[test]
    fn of_two_counterparts_none_is_touched_and_somebody_elses_is_left_out() {
        let accepted = world(&[("accepted", Readability::Clear)]);
        let found = |counterparts, done| ledger(counterparts, done).compare(&accepted, &numbers(&["ord-1"])).len();

        assert_eq!([found(2, ""), found(2, "a"), found(0, ""), found(1, "t")], [0, 1, 0, 0]);
    }
}
