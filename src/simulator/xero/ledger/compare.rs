//! Whether the books are right about a world's orders.
//!
//! # When they are right ([`Ledger::compare`])
//!
//! Take the versions of an order that can be read, and let N be the one with the highest number.
//!
//! | N is | The family of the order |
//! | --- | --- |
//! | accepted | comes to N's total; to what N's lines and fees add up to where that is more and something was substituted: the rest is goodwill. Each clearing account has what N's tenders left there, cut back to that sum |
//! | cancelled | comes to nothing, and left nothing on any account |
//! | anything else | has no document, if no readable version is accepted; otherwise is not judged |
//!
//! An order whose newest tenders are with somebody unknown, or in a currency the organisation does not have, is to be
//! held; it is judged like those that are excused: they come to nothing, or to what any accepted version calls for, but for
//! money that no document takes: too little on an account where nothing is due, too much where no credit is left. They may
//! also lack what their newest credit note took back: a person may be asked before what takes its place is invoiced. So may
//! one be between an invoice and its payments, of which there are none then; where it is to be held, also while some are due.
//! Versions that may be read or set aside ([`Readability::Odd`]) are tried both ways. Besides, every live document is in
//! the currency of its order, no order is unknown to the world, and nothing is [`Doubled`](super::Doubled).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use super::Ledger;
use crate::simulator::{
    amount::Cents,
    ledger::Mismatch,
    payload::{Tender, expected_minor, has_substitution, tenders},
    world::{OrderTruth, Readability, VersionTruth, World},
    xero::books::{Document, DocumentKind},
};

/// Which account has the money, by who collected it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearing {
    pub scoffable: String,
    pub cash: String,
    pub card_terminal: String,
}

impl Default for Clearing {
    /// The accounts of the simulated organisation.
    fn default() -> Self {
        Self { scoffable: "611".to_owned(), cash: "612".to_owned(), card_terminal: "613".to_owned() }
    }
}

impl Clearing {
    /// None where nobody knows who has it.
    fn account(&self, tender: &Tender) -> Option<&str> {
        match (tender.kind.as_str(), tender.collector.as_str()) {
            (_, "scoffable") => Some(&self.scoffable),
            ("cash", "vendor") => Some(&self.cash),
            (_, "vendor") => Some(&self.card_terminal),
            _ => None,
        }
    }
}

/// What an order should have come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Target {
    revenue: Cents,
    payments: BTreeMap<String, Cents>,
}

impl Ledger {
    /// Where these books are not right about a world's orders; the rules stand at the top of this module.
    pub fn compare(&self, world: &World, clearing: &Clearing, excused: &BTreeSet<String>) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        let mut report = |order_id: &str, expected: &str, found: String| {
            mismatches.push(Mismatch { order_id: order_id.to_owned(), expected: expected.to_owned(), found });
        };
        for order in world.orders.values() {
            let currencies: BTreeSet<&str> = order.versions.iter().map(|truth| truth.currency.as_str()).collect();
            let mut live = self.documents_of(&order.id).filter(|document| document.status.is_live());
            if let Some(foreign) = live.find(|document| !currencies.contains(document.currency.as_str())) {
                report(
                    &order.id,
                    &format!("only {currencies:?}"),
                    format!("{} in {}", foreign.number, foreign.currency),
                );
                continue;
            }
            let is_excused = excused.contains(&order.id);
            let strict = |v: &&VersionTruth| v.readability == Readability::Clear;
            let lenient = |v: &&VersionTruth| v.readability != Readability::Broken;
            let with_odd: Vec<&VersionTruth> = order.versions.iter().filter(lenient).collect();
            let clear: Vec<&VersionTruth> = order.versions.iter().filter(strict).collect();
            let judge = |versions: &[&VersionTruth]| self.judge(world, order, versions, clearing, is_excused);
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

    /// Whether the books are right for these versions of an order; otherwise what is expected.
    fn judge(
        &self,
        world: &World,
        order: &OrderTruth,
        versions: &[&VersionTruth],
        clearing: &Clearing,
        is_excused: bool,
    ) -> Result<(), String> {
        let found = Target { revenue: self.revenue(&order.id), payments: self.payments_by_account(&order.id) };
        let target = |truth: &VersionTruth| target(world, truth, clearing);
        let Some(newest) = versions.iter().max_by_key(|truth| truth.number) else { return Ok(()) };
        let was_accepted = versions.iter().any(|truth| truth.status == "accepted");
        let (wanted, is_known) = match newest.status.as_str() {
            "accepted" => (target(newest), self.books.organisation.currencies.contains(&newest.currency)),
            "cancelled" => (Some(Target::default()), true),
            _ if was_accepted => return Ok(()),
            _ if self.documents_of(&order.id).next().is_none() => return Ok(()),
            status => return Err(format!("nothing, by version {} that is {status}", newest.number)),
        };
        let may_differ = is_excused || wanted.is_none() || !is_known;
        if may_differ {
            let accepted = versions.iter().filter(|truth| truth.status == "accepted");
            let is_held = wanted.is_none();
            let before = Target { revenue: found.revenue + self.newest_credit(&order.id), ..found.clone() };
            let is_near =
                |target| [&found, &before].iter().any(|one| self.is_as_near(&order.id, &target, one, is_held));
            let is_one = accepted.filter_map(|truth| target(truth)).any(is_near);
            let is_right = is_one || found == Target::default();
            return if is_right { Ok(()) } else { Err("nothing, or what some accepted version calls for".to_owned()) };
        }
        let wanted = wanted.unwrap_or_default();
        if wanted == found { Ok(()) } else { Err(format!("{}, by version {}", wanted.in_words(), newest.number)) }
    }

    /// What the newest credit note that stands took back.
    fn newest_credit(&self, order: &str) -> Cents {
        let stands = |one: &&Document| one.kind == DocumentKind::CreditNote && one.status.is_live();
        self.documents_of(order).filter(stands).last().map_or(Cents::ZERO, |note| note.totals().total)
    }

    /// Whether the books say what a target does, or nothing is open that could take the money that is not where it belongs,
    /// but for invoices of which nothing is paid; of an order that is held some may be due.
    fn is_as_near(&self, order: &str, target: &Target, found: &Target, is_held: bool) -> bool {
        let open = |kind| {
            let documents = self.documents_of(order).filter(move |document| document.kind == kind);
            documents.filter(|document| self.books.open(document) != Cents::ZERO)
        };
        let partly_paid = || open(DocumentKind::Invoice).any(|one| self.books.open(one) != one.totals().total);
        let has_credit = || open(DocumentKind::CreditNote).next().is_some();
        let on = |side: &Target, account: &String| side.payments.get(account).copied().unwrap_or_default();
        let mut accounts = target.payments.keys().chain(found.payments.keys());
        target.revenue == found.revenue
            && accounts.all(|account| match on(found, account).cmp(&on(target, account)) {
                Ordering::Equal => true,
                Ordering::Less => is_held || !partly_paid(),
                Ordering::Greater => !has_credit(),
            })
    }

    fn describe(&self, order: &str) -> String {
        let documents = self.documents_of(order).map(|document| {
            let total = document.totals().total;
            format!("{} {} of {total}", document.number, document.status.name())
        });
        let documents: Vec<String> = documents.collect();
        let found = Target { revenue: self.revenue(order), payments: self.payments_by_account(order) };
        format!(
            "{}: {}",
            found.in_words(),
            if documents.is_empty() { "nothing".to_owned() } else { documents.join(", ") }
        )
    }
}

impl Target {
    fn in_words(&self) -> String {
        let payments: Vec<String> =
            self.payments.iter().map(|(account, amount)| format!("{amount} on {account}")).collect();
        format!("{} with [{}]", self.revenue, payments.join(", "))
    }
}

/// What the payload of an accepted version calls for; none where it should be held.
fn target(world: &World, truth: &VersionTruth, clearing: &Clearing) -> Option<Target> {
    let payload: Value = serde_json::from_slice(&world.versions[truth.position].payload).ok()?;
    let expected = expected_minor(&payload);
    let is_goodwill = expected > truth.total_minor && has_substitution(&payload);
    let revenue = if is_goodwill { expected } else { truth.total_minor };
    let mut tenders = tenders(&payload);
    cut_back(&mut tenders, revenue);
    let cents = |minor| Cents::of_minor(minor, &truth.currency);
    let mut payments: BTreeMap<String, Cents> = BTreeMap::new();
    for tender in tenders {
        let account = clearing.account(&tender)?;
        *payments.entry(account.to_owned()).or_default() += cents(tender.minor)?;
    }
    payments.retain(|_, amount| *amount != Cents::ZERO);
    Some(Target { revenue: cents(revenue)?, payments })
}

/// Tenders never add up to more than there is to pay. Source: the order in which the contract cuts them back.
fn cut_back(tenders: &mut [Tender], to: i64) {
    let mut excess = tenders.iter().map(|tender| tender.minor).sum::<i64>() - to;
    for (kind, collector) in
        [("online", "scoffable"), ("voucher", "scoffable"), ("online", "vendor"), ("cash", "vendor")]
    {
        for tender in tenders.iter_mut().filter(|tender| tender.kind == kind && tender.collector == collector) {
            let cut = excess.clamp(0, tender.minor.max(0));
            tender.minor -= cut;
            excess -= cut;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::world::{Case, WorldOptions};

    #[test]
    fn what_is_read_of_a_world_adds_up_where_it_is_meant_to() {
        let world = World::generate(WorldOptions { orders: 400, ..WorldOptions::default() });
        let (mut n_goodwill, mut n_held, mut n_cut_back) = (0, 0, 0);

        for order in world.orders.values() {
            let accepted = order.versions.iter().filter(|truth| truth.status == "accepted");
            for truth in accepted {
                let payload: Value = serde_json::from_slice(&world.versions[truth.position].payload).expect("JSON");
                let is_odd =
                    order.cases.contains(&Case::GoodwillSubstitute) || order.cases.contains(&Case::UnexplainedTotal);
                assert!(is_odd || expected_minor(&payload) == truth.total_minor, "{}", order.id);
                let Some(target) = target(&world, truth, &Clearing::default()) else {
                    n_held += 1;
                    continue;
                };
                let total = Cents::of_minor(truth.total_minor, &truth.currency).expect("whole hundredths");
                let paid: Cents = target.payments.values().copied().sum();
                let given: i64 = tenders(&payload).iter().map(|tender| tender.minor).sum();
                assert!(target.revenue >= total && paid <= target.revenue, "{}: {target:?}", order.id);
                n_goodwill += usize::from(target.revenue > total);
                n_cut_back += usize::from(given > truth.total_minor);
            }
        }

        assert!(n_goodwill > 0 && n_held > 0 && n_cut_back > 0, "{n_goodwill} {n_held} {n_cut_back}");
    }
}
