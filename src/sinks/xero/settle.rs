//! Money: which payments, refunds and allocations bring what was paid at Xero to what the customer paid, tender by tender.
//! Pure.
//!
//! A tender of which too much is posted is refunded from credit notes that are open, the largest first; one of which too
//! little is posted pays invoices that are open, the oldest first; but money only moves between accounts, so what two tenders
//! of one account have too much and too little is neither. What then is open on both sides is allocated. Nothing is forced:
//! what no document takes is told.

use std::collections::BTreeMap;

use super::{
    config::{Tender, XeroSettings},
    receipt::{Document, DocumentKind, Held, Standing},
    target::Wanted,
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Credit notes to invoices, by number.
    pub allocations: Vec<Allocated>,
    pub payments: Vec<Paid>,
    /// What no open document takes, in minor units: positive is missing, negative is too much.
    pub left: BTreeMap<Tender, i64>,
    /// What credit notes keep afterwards.
    pub credit_left: i64,
    /// What invoices lack afterwards.
    pub due_left: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    pub credit_note: String,
    pub invoice: String,
    pub amount_minor: i64,
}

/// A payment to an invoice, or a refund from a credit note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    pub tender: Tender,
    pub account: String,
    /// Positive.
    pub amount_minor: i64,
    /// Number of the document.
    pub on: String,
}

/// What is left to do about money.
pub fn settle(held: &Held, wanted: &[Wanted], settings: &XeroSettings) -> Settlement {
    let mut open: Vec<Open<'_>> = held.documents.iter().filter_map(Open::of).collect();
    let posted = posted(held);
    let mut settlement = Settlement::default();

    let mut refunds = Vec::new();
    let mut payments = Vec::new();
    for (tender, missing) in missing(held, wanted) {
        let is_untouched = !posted.contains_key(&tender);
        let own = wanted.iter().filter(|one| one.tender == tender);
        if missing < 0 {
            refunds.push((tender, -missing));
        } else if is_untouched && own.clone().all(|one| one.amount_minor > 0) {
            // Each as the customer paid it.
            payments.extend(own.map(|one| (tender, one.amount_minor)));
        } else if missing > 0 {
            payments.push((tender, missing));
        }
    }
    stay(&mut refunds, &mut payments, |tender, kind| account(held, tender, kind, settings));
    refunds.sort_by_key(|(tender, amount)| (std::cmp::Reverse(*amount), *tender));
    // As the order has them, so that the first payment is its first tender.
    payments.sort_by_key(|(tender, _)| wanted.iter().position(|one| one.tender == *tender));

    for (kind, list) in [(DocumentKind::CreditNote, refunds), (DocumentKind::Invoice, payments)] {
        for (tender, amount) in list {
            let account = account(held, tender, kind, settings);
            let mut rest = amount;
            for document in open.iter_mut().filter(|document| document.kind == kind && document.minor > 0) {
                let Some(account) = &account else { break };
                let part = rest.min(document.minor);
                if part == 0 {
                    break;
                }
                document.minor -= part;
                rest -= part;
                settlement.payments.push(Paid {
                    tender,
                    account: account.clone(),
                    amount_minor: part,
                    on: document.number.to_owned(),
                });
            }
            if rest != 0 {
                let sign = if kind == DocumentKind::Invoice { 1 } else { -1 };
                *settlement.left.entry(tender).or_default() += sign * rest;
            }
        }
    }

    let (mut notes, mut invoices): (Vec<Open<'_>>, Vec<Open<'_>>) =
        open.into_iter().partition(|document| document.kind == DocumentKind::CreditNote);
    for note in &mut notes {
        for invoice in &mut invoices {
            let part = note.minor.min(invoice.minor);
            if part > 0 {
                note.minor -= part;
                invoice.minor -= part;
                settlement.allocations.push(Allocated {
                    credit_note: note.number.to_owned(),
                    invoice: invoice.number.to_owned(),
                    amount_minor: part,
                });
            }
        }
    }
    settlement.credit_left = notes.iter().map(|note| note.minor).sum();
    settlement.due_left = invoices.iter().map(|invoice| invoice.minor).sum();
    settlement
}

/// What of each tender is posted too little; negative: too much.
pub fn missing(held: &Held, wanted: &[Wanted]) -> BTreeMap<Tender, i64> {
    let mut missing = BTreeMap::<Tender, i64>::new();
    for one in wanted {
        *missing.entry(one.tender).or_default() += one.amount_minor;
    }
    for (tender, amount) in posted(held) {
        *missing.entry(tender).or_default() -= amount;
    }
    missing
}

/// What would be refunded from an account, only to be paid there again, stays where it is.
fn stay(
    refunds: &mut Vec<(Tender, i64)>,
    payments: &mut Vec<(Tender, i64)>,
    account: impl Fn(Tender, DocumentKind) -> Option<String>,
) {
    for (from, too_much) in &mut *refunds {
        let Some(left_there) = account(*from, DocumentKind::CreditNote) else { continue };
        let is_there = |to: Tender| account(to, DocumentKind::Invoice).as_ref() == Some(&left_there);
        for (_, missing) in payments.iter_mut().filter(|(to, _)| is_there(*to)) {
            let part = (*too_much).min(*missing);
            *too_much -= part;
            *missing -= part;
        }
    }
    refunds.retain(|(_, amount)| *amount != 0);
    payments.retain(|(_, amount)| *amount != 0);
}

/// A document that can be paid, refunded or allocated.
struct Open<'a> {
    kind: DocumentKind,
    number: &'a str,
    /// In minor units, never negative.
    minor: i64,
}

impl<'a> Open<'a> {
    /// None: it is not approved, or does not stand.
    fn of(document: &'a Document) -> Option<Self> {
        let is_approved = matches!(document.status, Standing::Authorised | Standing::Paid);
        let minor = document.open_minor().max(0);
        (is_approved && document.id.is_some()).then_some(Self { kind: document.kind, number: &document.number, minor })
    }
}

/// What of each tender stands there, refunds taken off. A tender whose payments were all removed is missing.
fn posted(held: &Held) -> BTreeMap<Tender, i64> {
    let mut posted = BTreeMap::new();
    for payment in held.payments.iter().filter(|payment| !payment.removed) {
        let Some(document) = held.document(&payment.on) else { continue };
        *posted.entry(payment.tender).or_default() += document.sign() * payment.amount_minor;
    }
    for moved in held.journals.iter().flat_map(|journal| &journal.money) {
        *posted.entry(moved.tender).or_default() += moved.amount_minor;
    }
    posted
}

/// A refund goes back to where the money went; a payment where settings say by now. None: no account is set.
fn account(held: &Held, tender: Tender, kind: DocumentKind, settings: &XeroSettings) -> Option<String> {
    match kind {
        DocumentKind::CreditNote => went_to(held, tender, settings),
        DocumentKind::Invoice => goes_to(tender, settings),
    }
}

/// Where a tender's money goes by now. None: no account is set.
pub fn goes_to(tender: Tender, settings: &XeroSettings) -> Option<String> {
    settings.payments.of(tender, &settings.accounts).map(|account| account.0.to_owned())
}

/// Where it went, as far as any is posted.
pub fn went_to(held: &Held, tender: Tender, settings: &XeroSettings) -> Option<String> {
    let paid = held.payments.iter().rev().filter(|payment| payment.tender == tender && !payment.removed);
    let moved = held.journals.iter().rev().flat_map(|journal| &journal.money).filter(|one| one.tender == tender);
    let went = paid.map(|payment| &payment.account).chain(moved.map(|one| &one.account)).next();
    went.cloned().or_else(|| goes_to(tender, settings))
}

#[cfg(test)]
mod tests;
