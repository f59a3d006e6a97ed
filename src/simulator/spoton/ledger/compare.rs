//! Whether a ledger is right about a world's orders.
//!
//! # When a ledger is right ([`Ledger::compare`])
//!
//! Take the versions of an order that can be read, and let N be the one with the highest number.
//!
//! | N is | The restaurants must hold |
//! | --- | --- |
//! | accepted | one standing order with N's total; if the order is excused, none, or one with the total of any accepted version |
//! | cancelled | none standing; if the order is excused, at most one |
//! | anything else | nothing ever stored, if no readable version is accepted; otherwise anything of this order |
//!
//! Excused are orders that are known to wait for a person, or to stand as well as they can: parked, too old, changed after
//! they were sent. Versions that may be read or set aside ([`Readability::Odd`]) are tried both ways. Besides, everything
//! stored has the total of an accepted version and is at the location of the order's vendor; no order is unknown to the
//! world; nothing is [`Doubled`](super::Doubled).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{Ledger, Stored};
use crate::simulator::{
    ledger::Mismatch,
    spoton::VendorMapping,
    world::{OrderTruth, Readability, VersionTruth, World},
};

impl Ledger {
    /// Where this ledger is not right about a world's orders; the rules stand at the top of this module.
    pub fn compare(
        &self,
        world: &World,
        vendors: &BTreeMap<String, VendorMapping>,
        excused: &BTreeSet<String>,
    ) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        let mut report = |order_id: &str, expected: &str, found: String| {
            mismatches.push(Mismatch { order_id: order_id.to_owned(), expected: expected.to_owned(), found });
        };
        for order in world.orders.values() {
            let stored: Vec<&Stored> = self.stored_of(&order.id).collect();
            if let Some(found) = made_up(order, &stored) {
                report(&order.id, "only totals of accepted versions", found);
                continue;
            }
            let vendor = order.versions.iter().find_map(|truth| world.versions[truth.position].vendor.as_deref());
            let location = vendor.and_then(|vendor| vendors.get(vendor)).map(|mapping| mapping.location_id.as_str());
            if stored.iter().any(|stored| Some(stored.location.as_str()) != location) {
                report(&order.id, "only at the location of its vendor", describe(&stored));
                continue;
            }
            let is_excused = excused.contains(&order.id);
            let strict = |v: &&VersionTruth| v.readability == Readability::Clear;
            let lenient = |v: &&VersionTruth| v.readability != Readability::Broken;
            let with_odd: Vec<&VersionTruth> = order.versions.iter().filter(lenient).collect();
            let clear: Vec<&VersionTruth> = order.versions.iter().filter(strict).collect();
            if let Err(expected) = judge(&clear, &stored, is_excused)
                && judge(&with_odd, &stored, is_excused).is_err()
            {
                report(&order.id, &expected, describe(&stored));
            }
        }
        for order in self.orders().filter(|order| !world.orders.contains_key(*order)) {
            report(order, "no such order", describe(&self.stored_of(order).collect::<Vec<_>>()));
        }
        for doubled in &self.doubled {
            report(doubled.order(), "each order once", format!("{doubled:?}"));
        }
        mismatches
    }
}

/// A total that no accepted version has.
fn made_up(order: &OrderTruth, stored: &[&Stored]) -> Option<String> {
    let is_real =
        |total: i64| order.versions.iter().any(|truth| truth.status == "accepted" && truth.total_minor == total);
    let made_up = stored.iter().find(|stored| !is_real(stored.grand_total()))?;
    Some(format!("{} with a total of {}", made_up.id, made_up.grand_total()))
}

/// Whether what is stored is right for these versions of an order; otherwise what is expected.
fn judge(versions: &[&VersionTruth], stored: &[&Stored], is_excused: bool) -> Result<(), String> {
    let standing: Vec<&&Stored> = stored.iter().filter(|stored| stored.is_standing()).collect();
    let newest = versions.iter().max_by_key(|truth| truth.number);
    match newest.map(|newest| (newest, newest.status.as_str())) {
        Some((_, "accepted" | "cancelled")) if is_excused => {
            if standing.len() <= 1 {
                Ok(())
            } else {
                Err("at most one standing".to_owned())
            }
        }
        Some((newest, "accepted")) => match standing.as_slice() {
            [one] if one.grand_total() == newest.total_minor => Ok(()),
            _ => Err(format!("one standing with a total of {}, by version {}", newest.total_minor, newest.number)),
        },
        Some((_, "cancelled")) if standing.is_empty() => Ok(()),
        Some((newest, "cancelled")) => Err(format!("none standing, by version {}", newest.number)),
        _ => {
            let may_stand = versions.iter().any(|truth| truth.status == "accepted");
            if may_stand || stored.is_empty() { Ok(()) } else { Err("nothing".to_owned()) }
        }
    }
}

fn describe(stored: &[&Stored]) -> String {
    if stored.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = String::new();
    for one in stored {
        let state = if one.is_standing() { "" } else { ", cancelled" };
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a text does not fail.
        let _ = write!(text, "{separator}{} at {}, total {}{state}", one.id, one.location, one.grand_total());
    }
    text
}
