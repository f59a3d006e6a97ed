//! Whether the shop is right about a world's orders.
//!
//! # When it is right ([`Ledger::compare`])
//!
//! Take the versions of an order that can be read, and let N be the one with the highest number.
//!
//! | N is | What stands of the order |
//! | --- | --- |
//! | accepted | N's total; what N's lines and fees add up to where that is more and something was substituted, the rest paid by goodwill. By payment type what N's tenders are |
//! | cancelled | nothing |
//! | anything else | there is no sale, if no readable version is accepted; otherwise it is not judged |
//!
//! An order whose newest tenders are of a kind that no payment type is for, do not add up to what is due, or are in another
//! currency than the shop's, is to be held; it is judged like those that are excused: nothing stands of them, or what any
//! accepted version calls for. Versions that may be read or set aside ([`Readability::Odd`]) are tried both ways. Besides, no
//! order is unknown to the world, and nothing is [`Doubled`](super::Doubled).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Ledger, Standing};
use crate::simulator::{
    ledger::Mismatch,
    lightspeed::{amount::Pence, shop::ids, store::State},
    payload::{Tender, expected_minor, has_substitution, tenders},
    world::{OrderTruth, Readability, VersionTruth, World},
};

/// Which payment type the money of a tender is under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenders {
    pub online_scoffable: String,
    pub voucher_scoffable: String,
    pub cash_vendor: String,
    pub online_vendor: String,
    pub goodwill: String,
}

impl Default for Tenders {
    /// Those of the simulated shop.
    fn default() -> Self {
        let [online_scoffable, voucher_scoffable, cash_vendor, online_vendor, goodwill] =
            ids::PAYMENT_TYPES.map(str::to_owned);
        Self { online_scoffable, voucher_scoffable, cash_vendor, online_vendor, goodwill }
    }
}

impl Tenders {
    /// None where nobody knows who has it.
    fn payment_type(&self, tender: &Tender) -> Option<&str> {
        match (tender.kind.as_str(), tender.collector.as_str()) {
            ("voucher", "scoffable") => Some(&self.voucher_scoffable),
            (_, "scoffable") => Some(&self.online_scoffable),
            ("online", "vendor") => Some(&self.online_vendor),
            (_, "vendor") => Some(&self.cash_vendor),
            _ => None,
        }
    }
}

/// What should stand of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Target {
    standing: Standing,
    /// A sale of it may be closed.
    is_balanced: bool,
}

impl Ledger {
    /// Where this shop is not right about a world's orders; the rules stand at the top of this module.
    pub fn compare(&self, world: &World, tenders: &Tenders, excused: &BTreeSet<String>) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        let mut report = |order_id: &str, expected: &str, found: String| {
            mismatches.push(Mismatch { order_id: order_id.to_owned(), expected: expected.to_owned(), found });
        };
        for order in world.orders.values() {
            let is_excused = excused.contains(&order.id);
            let with_odd: Vec<&VersionTruth> =
                order.versions.iter().filter(|truth| truth.readability != Readability::Broken).collect();
            let clear: Vec<&VersionTruth> =
                order.versions.iter().filter(|truth| truth.readability == Readability::Clear).collect();
            let judge = |versions: &[&VersionTruth]| self.judge(world, order, versions, tenders, is_excused);
            if let Err(expected) = judge(&clear)
                && judge(&with_odd).is_err()
            {
                report(&order.id, &expected, self.describe(&order.id));
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

    /// Whether the shop is right for these versions of an order; otherwise what is expected.
    fn judge(
        &self,
        world: &World,
        order: &OrderTruth,
        versions: &[&VersionTruth],
        tenders: &Tenders,
        is_excused: bool,
    ) -> Result<(), String> {
        let found = self.standing(&order.id);
        let target = |truth: &VersionTruth| target(world, truth, tenders);
        let Some(newest) = versions.iter().max_by_key(|truth| truth.number) else { return Ok(()) };
        let was_accepted = versions.iter().any(|truth| truth.status == "accepted");
        let wanted = match newest.status.as_str() {
            "accepted" => {
                target(newest).filter(|target| target.is_balanced && newest.currency == self.store.shop.currency)
            }
            "cancelled" => Some(Target::default()),
            _ if was_accepted => return Ok(()),
            _ if self.sales_of(&order.id).next().is_none() => return Ok(()),
            status => return Err(format!("nothing, by version {} that is {status}", newest.number)),
        };
        if let Some(wanted) = wanted.filter(|_| !is_excused) {
            let expected = || format!("{}, by version {}", wanted.standing.in_words(), newest.number);
            return if wanted.standing == found { Ok(()) } else { Err(expected()) };
        }
        let accepted = versions.iter().filter(|truth| truth.status == "accepted");
        let is_one = accepted.filter_map(|truth| target(truth)).any(|target| {
            // On account it may be paid in part.
            target.standing.total == found.total && (!target.is_balanced || target.standing.tenders == found.tenders)
        });
        let is_right = is_one || found == Standing::default();
        if is_right { Ok(()) } else { Err("nothing, or what some accepted version calls for".to_owned()) }
    }

    fn describe(&self, order: &str) -> String {
        let sales = self.sales_of(order).filter(|sale| sale.state != State::Parked);
        let sales: Vec<String> =
            sales.map(|sale| format!("{} {} of {}", sale.invoice_number, sale.state.name(), sale.gross())).collect();
        let sales = if sales.is_empty() { "nothing".to_owned() } else { sales.join(", ") };
        format!("{}: {sales}", self.standing(order).in_words())
    }
}

impl Standing {
    fn in_words(&self) -> String {
        let tenders: Vec<String> = self.tenders.iter().map(|(kind, amount)| format!("{amount} by {kind}")).collect();
        format!("{} with [{}]", self.total, tenders.join(", "))
    }
}

/// What the payload of an accepted version calls for; none where nobody knows who has the money.
fn target(world: &World, truth: &VersionTruth, tenders_of_shop: &Tenders) -> Option<Target> {
    let payload: Value = serde_json::from_slice(&world.versions[truth.position].payload).ok()?;
    let expected = expected_minor(&payload);
    let is_goodwill = expected > truth.total_minor && has_substitution(&payload);
    let total = Pence(if is_goodwill { expected } else { truth.total_minor });
    let mut by_type: BTreeMap<String, Pence> = BTreeMap::new();
    for tender in tenders(&payload) {
        *by_type.entry(tenders_of_shop.payment_type(&tender)?.to_owned()).or_default() += Pence(tender.minor);
    }
    if is_goodwill {
        *by_type.entry(tenders_of_shop.goodwill.clone()).or_default() += Pence(expected - truth.total_minor);
    }
    let is_balanced = by_type.values().copied().sum::<Pence>() == total;
    by_type.retain(|_, amount| *amount != Pence::ZERO);
    Some(Target { standing: Standing { total, tenders: by_type }, is_balanced })
}
