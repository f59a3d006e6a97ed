//! Whether the account is right about a world's orders.
//!
//! # When it is right ([`Ledger::compare`])
//!
//! Take the versions of an order that can be read, and let N be the one with the highest number.
//!
//! | N is | The family of the order |
//! | --- | --- |
//! | accepted | comes to what N's lines and fees add up to; to N's total where that differs only by rounding |
//! | cancelled | comes to nothing |
//! | anything else | has no document, if no readable version is accepted; otherwise is not judged |
//!
//! An order in another currency than the base is to be held, as is one whose discounts are more than all else; it is judged
//! like those that are excused: it comes to nothing, or to what any accepted version calls for, also less its newest credit
//! note: a person may be asked before what takes the place of the goods that came back is ordered. Versions that may be read
//! or set aside ([`Readability::Odd`]) are tried both ways. Besides, no order is unknown to the world, no credit note is left
//! parked, and nothing is [`Doubled`](super::Doubled).
//!
//! Whether an order is completed yet is not judged: that may be wanted later.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{CreditStatus, Ledger};
use crate::simulator::{
    amount::Cents,
    ledger::Mismatch,
    payload::expected_minor,
    world::{OrderTruth, Readability, VersionTruth, World},
};

/// In minor units: a total that differs by no more is only rounded otherwise.
const ROUNDING: u64 = 2;

impl Ledger {
    /// Where the account is not right about a world's orders; the rules stand at the top of this module.
    pub fn compare(&self, world: &World, excused: &BTreeSet<String>) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        let mut report = |order_id: &str, expected: &str, found: String| {
            mismatches.push(Mismatch { order_id: order_id.to_owned(), expected: expected.to_owned(), found });
        };
        for order in world.orders.values() {
            let is_excused = excused.contains(&order.id);
            let read = |is_read: fn(Readability) -> bool| -> Vec<&VersionTruth> {
                order.versions.iter().filter(|truth| is_read(truth.readability)).collect()
            };
            let clear = read(|readability| readability == Readability::Clear);
            let with_odd = read(|readability| readability != Readability::Broken);
            if let Err(expected) = self.judge(world, order, &clear, is_excused)
                && self.judge(world, order, &with_odd, is_excused).is_err()
            {
                report(&order.id, &expected, self.describe(&order.id));
            }
            if self.unfinished(&order.id) > 0 && !is_excused {
                report(&order.id, "every credit note completed", self.describe(&order.id));
            }
        }
        for order in self.orders().iter().filter(|order| !world.orders.contains_key(*order)) {
            report(order, "no such order", self.describe(order));
        }
        for doubled in &self.doubled {
            report(doubled.order(), "everything once", format!("{doubled:?}"));
        }
        mismatches
    }

    /// Whether the account is right for these versions of an order; otherwise what is expected.
    fn judge(
        &self,
        world: &World,
        order: &OrderTruth,
        versions: &[&VersionTruth],
        is_excused: bool,
    ) -> Result<(), String> {
        let found = self.stands(&order.id);
        let target = |truth: &VersionTruth| self.target(world, truth);
        let Some(newest) = versions.iter().max_by_key(|truth| truth.number) else { return Ok(()) };
        let was_accepted = versions.iter().any(|truth| truth.status == "accepted");
        let wanted = match newest.status.as_str() {
            "accepted" => target(newest),
            "cancelled" => Some(Cents::ZERO),
            _ if was_accepted => return Ok(()),
            _ if self.orders_of(&order.id).next().is_none() => return Ok(()),
            status => return Err(format!("nothing, by version {} that is {status}", newest.number)),
        };
        match wanted {
            Some(wanted) if !is_excused => {
                if wanted == found {
                    Ok(())
                } else {
                    Err(format!("{wanted}, by version {}", newest.number))
                }
            }
            Some(_) | None => {
                let accepted = || versions.iter().filter(|truth| truth.status == "accepted");
                let is_called_for = |sum| accepted().any(|truth| target(truth) == Some(sum));
                let completed = self.credits_of(&order.id).filter(|note| note.status == CreditStatus::Completed);
                let newest_credit = completed.last().map_or(Cents::ZERO, |note| note.totals.total);
                let is_right = found == Cents::ZERO || is_called_for(found) || is_called_for(found + newest_credit);
                if is_right { Ok(()) } else { Err("nothing, or what some accepted version calls for".to_owned()) }
            }
        }
    }

    /// What an accepted version calls for; none where it should be held.
    fn target(&self, world: &World, truth: &VersionTruth) -> Option<Cents> {
        if truth.currency != self.account.settings.base_currency {
            return None;
        }
        let payload: Value = serde_json::from_slice(&world.versions[truth.position].payload).ok()?;
        let expected = expected_minor(&payload);
        let is_rounded = truth.total_minor.abs_diff(expected) <= ROUNDING;
        let wanted = if is_rounded { truth.total_minor } else { expected };
        Cents::of_minor(wanted, &truth.currency).filter(|wanted| *wanted >= Cents::ZERO)
    }

    fn describe(&self, order: &str) -> String {
        let orders = self.orders_of(order).map(|one| (&one.number, one.status.name(), one.totals.total));
        let credits = self.credits_of(order).map(|note| (&note.number, note.status.name(), note.totals.total));
        let all = orders.chain(credits).map(|(number, status, total)| format!("{number} {status} of {total}"));
        let all: Vec<String> = all.collect();
        let all = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
        format!("{}: {all}", self.stands(order))
    }
}
