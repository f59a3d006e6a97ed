//! What an organisation holds, and what it lets happen to it. No HTTP, no clock: every write is told the time.
//!
//! Source: xero_accounting.yaml 16.1.0; Xero developer documentation, "Invoices" (older edition) for what may be voided or
//! deleted. Observed: pyxero issue 328 (numbers), xero-php-oauth2 issue 257 (finality), xeroizer issue 92 (lock dates),
//! xero-mcp-server pull request 221 and Xero-Net issue 339 (changes of what is approved).
//!
//! # What may be done to a document
//!
//! | it is | lines changed | taken back |
//! | --- | --- | --- |
//! | draft, submitted | yes | deleted |
//! | approved, nothing applied | yes, if the status is sent again | voided |
//! | approved and something applied, or paid | no | no |
//! | voided, deleted | no | no |
//! | of a locked date | no | no |

mod contacts;
mod documents;
mod journals;
mod lines;
mod money;
mod others;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

pub use self::{
    contacts::{Contact, ContactStatus, Overwrite},
    documents::{AmountTypes, Document, DocumentKind, Status, Totals},
    journals::{Journal, JournalLine, JournalStatus},
    lines::{Line, Tracking},
    money::{Allocation, Payment},
    others::{Item, Note},
};
pub(super) use self::{documents::How, money::account_id};
use super::{
    amount::{Cents, UnitPlaces},
    organisation::Organisation,
    rules::Rules,
};
pub(super) use crate::simulator::digest::id_for;

/// Why an element of a write is refused: one message for each thing that is wrong.
pub(super) type Invalid = Vec<String>;

/// What a write is done with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Desk<'a> {
    pub rules: &'a Rules,
    pub places: UnitPlaces,
    pub now: DateTime<Utc>,
}

/// Everything in one organisation.
#[derive(Debug, Clone)]
pub struct Books {
    pub organisation: Organisation,
    documents: Vec<Document>,
    payments: Vec<Payment>,
    allocations: Vec<Allocation>,
    contacts: Vec<Contact>,
    items: Vec<Item>,
    journals: Vec<Journal>,
    history: BTreeMap<String, Vec<Note>>,
    overwrites: Vec<Overwrite>,
    n_ids: u64,
    touched_at: DateTime<Utc>,
}

impl Books {
    pub(super) fn new(organisation: Organisation) -> Self {
        Self {
            organisation,
            documents: Vec::new(),
            payments: Vec::new(),
            allocations: Vec::new(),
            contacts: Vec::new(),
            items: Vec::new(),
            journals: Vec::new(),
            history: BTreeMap::new(),
            overwrites: Vec::new(),
            n_ids: 0,
            touched_at: DateTime::UNIX_EPOCH,
        }
    }

    /// All invoices and credit notes ever, oldest first.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    pub fn invoice(&self, number: &str) -> Option<&Document> {
        self.numbered(DocumentKind::Invoice, number)
    }

    pub fn credit_note(&self, number: &str) -> Option<&Document> {
        self.numbered(DocumentKind::CreditNote, number)
    }

    fn numbered(&self, kind: DocumentKind, number: &str) -> Option<&Document> {
        self.documents.iter().rfind(|document| document.kind == kind && document.number == number)
    }

    /// All payments ever, also those that were removed; oldest first.
    pub fn payments(&self) -> &[Payment] {
        &self.payments
    }

    pub fn allocations(&self) -> &[Allocation] {
        &self.allocations
    }

    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// All manual journals ever, oldest first.
    pub fn journals(&self) -> &[Journal] {
        &self.journals
    }

    /// Notes on the thing with this id, oldest first.
    pub fn notes(&self, id: &str) -> &[Note] {
        self.history.get(id).map_or(&[], Vec::as_slice)
    }

    /// Whenever a document changed a contact that was there.
    pub fn overwrites(&self) -> &[Overwrite] {
        &self.overwrites
    }

    /// The sum of what is applied to a document: payments and allocations.
    pub fn applied(&self, id: &str) -> Cents {
        self.paid(id) + self.credited(id)
    }

    /// Live payments on it.
    pub fn paid(&self, id: &str) -> Cents {
        self.payments_on(id).map(|payment| payment.amount).sum()
    }

    /// Live allocations to or from it.
    pub fn credited(&self, id: &str) -> Cents {
        self.allocations_of(id).map(|allocation| allocation.amount).sum()
    }

    /// What is still due of an invoice, or left of a credit note; nothing of what is not approved.
    pub fn open(&self, document: &Document) -> Cents {
        match document.status {
            Status::Authorised | Status::Paid => document.totals().total - self.applied(&document.id),
            Status::Draft | Status::Submitted => document.totals().total,
            Status::Voided | Status::Deleted => Cents::ZERO,
        }
    }

    pub fn payments_on<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Payment> {
        self.payments.iter().filter(move |payment| payment.is_live() && payment.document_id == id)
    }

    pub fn allocations_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Allocation> {
        let concerns = move |allocation: &&Allocation| allocation.invoice_id == id || allocation.credit_note_id == id;
        self.allocations.iter().filter(|allocation| allocation.is_live).filter(concerns)
    }

    fn new_id(&mut self, of: &str) -> String {
        self.n_ids += 1;
        id_for(of, &self.n_ids.to_string())
    }

    /// Later than every time given out before, as far as an answer can tell.
    fn touch(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.touched_at = now.max(self.touched_at + TimeDelta::milliseconds(1));
        self.touched_at
    }

    fn today(&self, now: DateTime<Utc>) -> NaiveDate {
        now.with_timezone(&self.organisation.time_zone).date_naive()
    }
}

/// Puts a thing in the place it had, or behind all others; returns where it stands.
fn stored<T>(all: &mut Vec<T>, place: Option<usize>, thing: T) -> usize {
    if let Some(at) = place {
        all[at] = thing;
        return at;
    }
    all.push(thing);
    all.len() - 1
}

/// `YYYY-MM-DD`, and nothing else.
fn read_date(what: &str, text: &str, problems: &mut Invalid) -> Option<NaiveDate> {
    let date = (text.len() == 10).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
    if date.is_none() {
        problems.push(format!("{what} is no date of the form YYYY-MM-DD"));
    }
    date
}
