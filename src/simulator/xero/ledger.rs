//! What the books say of each Scoffable order, what was posted twice, and how the client behaved.
//!
//! A *family* are all documents, payments and journals of one order, by their numbers, references and narrations ([`Member`]).
//! What it comes to is its invoices minus its credit notes, whatever number each has, and what its journals add or take away:
//! that is what must be right. Of a journal, money is what stands on accounts that take payments; the rest is revenue.

mod compare;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::compare::Clearing;
use super::{
    amount::Cents,
    books::{Books, Document, DocumentKind, Journal, JournalStatus, Payment},
    family::{Member, Role},
    route::Operation,
};
use crate::simulator::conduct::{InFlight, Violations, Working};

/// What a correct client never does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "violation")]
pub enum Violation {
    /// A write was asked for while another one of the same Scoffable order was being worked on.
    SideBySide {
        order: String,
        operation: Operation,
        running: Operation,
    },
    /// A document whose number tells no order.
    ForeignNumber {
        number: String,
    },
    /// A payment whose reference tells no order.
    ForeignReference {
        reference: String,
    },
    /// A manual journal whose narration tells no order.
    ForeignNarration {
        narration: String,
    },
    /// A document with more than the id of its contact.
    ContactDetails {
        document: String,
    },
    /// A collection was posted: a number that is taken would have been overwritten.
    SavedByNumber {
        operation: Operation,
    },
    /// A write without an idempotency key.
    NoKey {
        operation: Operation,
    },
    /// A key that was used for something else.
    KeyReused {
        key: String,
    },
    /// It was left to the server whether elements are refused one by one.
    NoSummarizeErrors {
        operation: Operation,
    },
    /// A call without a bearer token. One that has expired is no violation.
    NoToken,
    /// Another organisation than the one the application is for, or none.
    WrongTenant,
    /// The answer was XML.
    NoAccept,
    Malformed {
        reason: String,
    },
}

/// What stands twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "doubled")]
pub enum Doubled {
    /// An invoice in place of another, which was not taken back before.
    Invoice { order: String, number: String },
    /// More was credited than had been invoiced, by a credit note that says the same as one before.
    Credit { order: String, number: String },
    /// Another live payment has the same reference.
    Payment { order: String, reference: String },
    /// Another live journal has the same narration.
    Journal { order: String, narration: String },
}

impl Doubled {
    /// The Scoffable order.
    pub fn order(&self) -> &str {
        match self {
            Self::Invoice { order, .. }
            | Self::Credit { order, .. }
            | Self::Payment { order, .. }
            | Self::Journal { order, .. } => order,
        }
    }
}

/// How the client used the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Let in and well-formed.
    pub reads: u64,
    pub writes: u64,
    /// Writes that were answered from memory, by their idempotency key.
    pub replays: u64,
    /// Answers other than 2xx, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Elements of writes that were refused by themselves.
    pub refused_elements: u64,
    /// The most calls in progress at once.
    pub peak_in_progress: u32,
    /// The most elements in one body.
    pub largest_batch: usize,
    /// The largest body, in bytes.
    pub largest_body: usize,
}

#[derive(Debug)]
pub struct Ledger {
    /// Of all numbers and references.
    prefix: String,
    pub(super) books: Books,
    doubled: Vec<Doubled>,
    violations: Violations<Violation>,
    in_flight: InFlight<String, Operation>,
    pub(super) calls: Calls,
}

impl Ledger {
    pub(super) fn new(prefix: String, books: Books) -> Self {
        Self {
            prefix,
            books,
            doubled: Vec::new(),
            violations: Violations::default(),
            in_flight: InFlight::default(),
            calls: Calls::default(),
        }
    }

    pub fn books(&self) -> &Books {
        &self.books
    }

    /// For a person at work in Xero.
    pub fn books_mut(&mut self) -> &mut Books {
        &mut self.books
    }

    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// A write about an order is being worked on until the returned value is dropped.
    pub(super) fn enter(&mut self, order: String, operation: Operation) -> Working<String, Operation> {
        let (working, running) = self.in_flight.enter(order.clone(), operation);
        if let Some(running) = running {
            self.violate(Violation::SideBySide { order, operation, running });
        }
        working
    }

    /// How many writes about an order are being worked on.
    pub fn running(&self, order: &str) -> usize {
        self.in_flight.count(order)
    }

    pub(super) fn violate(&mut self, violation: Violation) {
        self.violations.add(violation);
    }

    pub fn violations(&self) -> &[Violation] {
        self.violations.kept()
    }

    /// All violations, also those no longer kept.
    pub fn n_violations(&self) -> usize {
        self.violations.count()
    }

    pub fn doubled(&self) -> &[Doubled] {
        &self.doubled
    }

    pub(super) fn member(&self, number: &str) -> Option<Member> {
        Member::of_document(number, &self.prefix)
    }

    /// Notes what was just created; after those that stand before it.
    pub(super) fn was_created(&mut self, at: usize) {
        let (earlier, document) = (&self.books.documents()[..at], &self.books.documents()[at]);
        let number = document.number.clone();
        let Some(Member { order, role }) = self.member(&number) else {
            self.violate(Violation::ForeignNumber { number });
            return;
        };
        let before = sum(earlier.iter().filter(|one| self.is_of(one, &order)));
        let after = before + sum([document]);
        let mut live = earlier.iter().filter(|one| one.status.is_live() && self.is_of(one, &order));
        let is_again = live.any(|one| one.kind == document.kind && one.totals() == document.totals());
        match (role, document.kind) {
            // Less than nothing may be brought back to it: what replaced the lines that were taken back never came.
            (Role::First | Role::Again(_), DocumentKind::Invoice) if before != Cents::ZERO && after > Cents::ZERO => {
                self.doubled.push(Doubled::Invoice { order, number });
            }
            // One alone may go below: an invoice for what takes the place of the lines it takes back comes after it.
            (Role::Credit(_), _) if before >= Cents::ZERO && after < Cents::ZERO && is_again => {
                self.doubled.push(Doubled::Credit { order, number });
            }
            _ => {}
        }
    }

    pub(super) fn was_paid(&mut self, at: usize) {
        let payment = &self.books.payments()[at];
        let reference = payment.reference.clone().unwrap_or_default();
        let Some(Member { order, .. }) = Member::of_payment(&reference, &self.prefix) else {
            self.violate(Violation::ForeignReference { reference });
            return;
        };
        let same = |other: &&Payment| other.is_live() && other.reference.as_deref() == Some(reference.as_str());
        if self.books.payments().iter().filter(same).count() > 1 {
            self.doubled.push(Doubled::Payment { order, reference });
        }
    }

    pub(super) fn was_entered(&mut self, at: usize) {
        let narration = self.books.journals()[at].narration.clone();
        let Some(order) = self.journal_of(&narration) else {
            self.violate(Violation::ForeignNarration { narration });
            return;
        };
        let same = |other: &&Journal| other.status == JournalStatus::Posted && other.narration == narration;
        if self.books.journals().iter().filter(same).count() > 1 {
            self.doubled.push(Doubled::Journal { order, narration });
        }
    }

    /// The order that a journal is of.
    pub(super) fn journal_of(&self, narration: &str) -> Option<String> {
        Member::of_journal(narration, &self.prefix).map(|member| member.order)
    }

    /// What posted journals of an order say: account and amount of each line with its tax, debits positive; and whether it is
    /// money, which is what stands on accounts that take payments.
    fn entries_of<'a>(&'a self, order: &'a str) -> impl Iterator<Item = (&'a str, Cents, bool)> {
        let is_one = move |journal: &&Journal| {
            journal.status == JournalStatus::Posted && self.journal_of(&journal.narration).as_deref() == Some(order)
        };
        self.books.journals().iter().filter(is_one).flat_map(|journal| self.entries(journal))
    }

    fn entries<'a>(&'a self, journal: &'a Journal) -> impl Iterator<Item = (&'a str, Cents, bool)> {
        journal.lines.iter().map(|line| {
            let account = self.books.organisation.account(&line.account_code);
            (line.account_code.as_str(), journal.gross(line), account.is_some_and(|account| account.takes_payments))
        })
    }

    fn is_of(&self, document: &Document, order: &str) -> bool {
        self.member(&document.number).is_some_and(|member| member.order == order)
    }

    /// All documents of an order ever.
    pub fn documents_of<'a>(&'a self, order: &'a str) -> impl Iterator<Item = &'a Document> {
        self.books.documents().iter().filter(move |document| self.is_of(document, order))
    }

    /// Orders of which there was ever a document or a journal.
    pub fn orders(&self) -> Vec<String> {
        let all = self.books.documents().iter().filter_map(|document| self.member(&document.number));
        let journals = self.books.journals().iter().filter_map(|journal| self.journal_of(&journal.narration));
        let mut orders: Vec<String> = all.map(|member| member.order).chain(journals).collect();
        orders.sort_unstable();
        orders.dedup();
        orders
    }

    /// What an order comes to: live invoices minus live credit notes, with tax, and what journals add to it.
    pub fn revenue(&self, order: &str) -> Cents {
        let by_journal: Cents =
            self.entries_of(order).filter(|(_, _, is_money)| !is_money).map(|(_, amount, _)| -amount).sum();
        sum(self.documents_of(order)) + by_journal
    }

    /// The same by the account of the lines; accounts that come to nothing are left out. Of a document whose amounts are
    /// without tax, the tax is added.
    pub fn revenue_by_account(&self, order: &str) -> BTreeMap<String, Cents> {
        let mut sums: BTreeMap<String, Cents> = BTreeMap::new();
        for document in self.documents_of(order).filter(|document| document.status.is_live()) {
            for line in &document.lines {
                let with_tax = match document.amounts {
                    super::books::AmountTypes::Exclusive => line.line_amount + line.tax_amount,
                    super::books::AmountTypes::Inclusive | super::books::AmountTypes::NoTax => line.line_amount,
                };
                let account = line.account_code.clone().unwrap_or_default();
                *sums.entry(account).or_default() += Cents(with_tax.0 * document.sign());
            }
        }
        for (account, amount, _) in self.entries_of(order).filter(|(_, _, is_money)| !is_money) {
            *sums.entry(account.to_owned()).or_default() -= amount;
        }
        sums.retain(|_, sum| *sum != Cents::ZERO);
        sums
    }

    /// What was received for an order on each account, minus what was given back; accounts that come to nothing are left
    /// out.
    pub fn payments_by_account(&self, order: &str) -> BTreeMap<String, Cents> {
        let mut sums: BTreeMap<String, Cents> = BTreeMap::new();
        for document in self.documents_of(order) {
            for payment in self.books.payments_on(&document.id) {
                *sums.entry(payment.account_code.clone()).or_default() += Cents(payment.amount.0 * document.sign());
            }
        }
        for (account, amount, _) in self.entries_of(order).filter(|(_, _, is_money)| *is_money) {
            *sums.entry(account.to_owned()).or_default() += amount;
        }
        sums.retain(|_, sum| *sum != Cents::ZERO);
        sums
    }

    /// What all orders together left on each account that takes payments.
    pub fn clearing_balances(&self) -> BTreeMap<String, Cents> {
        let mut sums: BTreeMap<String, Cents> = BTreeMap::new();
        for payment in self.books.payments().iter().filter(|payment| payment.is_live()) {
            let sign = match payment.kind {
                DocumentKind::Invoice => 1,
                DocumentKind::CreditNote => -1,
            };
            *sums.entry(payment.account_code.clone()).or_default() += Cents(payment.amount.0 * sign);
        }
        let posted = self.books.journals().iter().filter(|journal| journal.status == JournalStatus::Posted);
        for (account, amount, _) in posted.flat_map(|one| self.entries(one)).filter(|(_, _, is_money)| *is_money) {
            *sums.entry(account.to_owned()).or_default() += amount;
        }
        sums
    }
}

/// Live invoices minus live credit notes.
fn sum<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Cents {
    let live = documents.into_iter().filter(|document| document.status.is_live());
    live.map(|document| Cents(document.totals().total.0 * document.sign())).sum()
}
