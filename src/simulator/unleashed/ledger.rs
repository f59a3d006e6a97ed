//! What the account says of each Scoffable order, what stands twice, and how the client behaved.
//!
//! A *family* are all sales orders and credit notes of one Scoffable order, by their source ids, else their numbers, and by
//! their references ([`Member`]).
//! What it comes to is its sales orders that are not deleted minus its credit notes that are completed: that is what must be
//! right.

mod compare;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Guid,
    account::{Account, CreditNote, CreditStatus, OrderStatus, Overwrite, SalesOrder},
    route::Operation,
};
use crate::simulator::{
    amount::{Cents, Fine},
    conduct::{InFlight, Violations, Working},
    family::{Member, Role},
};

/// What the source id of a sales order begins with that tells the Scoffable order. Assumed: an id that is too long for a number
/// stands only there.
const SOURCE: &str = "scoffable:";

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
    /// A document was to be completed while it was being completed.
    TwoCompletes {
        guid: Guid,
    },
    /// An order was to be completed that is so already. Refused.
    CompletedAgain {
        number: String,
    },
    /// A `POST` to the GUID of a sales order that stands, whatever came of it.
    PostedAgain {
        guid: Guid,
    },
    /// A `POST` to the GUID of a customer that is there.
    CustomerOverwritten {
        guid: Guid,
    },
    /// A `POST` changed a product that was there.
    ProductOverwritten {
        code: String,
    },
    /// A document with more than the GUID of its customer.
    CustomerDetails {
        document: String,
    },
    /// A sales order whose number tells no Scoffable order.
    ForeignNumber {
        number: String,
    },
    /// A credit note whose reference tells none.
    ForeignReference {
        reference: String,
    },
    /// The server was to choose a GUID.
    NoGuid {
        operation: Operation,
    },
    /// No `client-type`, or one of the wrong form.
    NoClientType,
    WrongSignature,
    /// The answer was XML.
    NoAccept,
    NoContentType {
        operation: Operation,
    },
    /// The owner asks not to read pages of the largest size.
    LargestPage {
        operation: Operation,
    },
    Malformed {
        reason: String,
    },
}

/// What stands twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "doubled")]
pub enum Doubled {
    /// A sales order in place of another, which was not taken back before.
    Order { order: String, number: String },
    /// Another completed credit note has the same reference.
    Credit { order: String, reference: String },
}

impl Doubled {
    /// The Scoffable order.
    pub fn order(&self) -> &str {
        match self {
            Self::Order { order, .. } | Self::Credit { order, .. } => order,
        }
    }
}

/// How the client used the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Let in and well-formed.
    pub reads: u64,
    pub writes: u64,
    /// Turned away because the month or the minute is used up.
    pub blocked: u64,
    /// Answers other than 2xx, by status.
    pub refused: BTreeMap<u16, u64>,
}

#[derive(Debug)]
pub struct Ledger {
    /// Of all numbers and references.
    prefix: String,
    pub(super) account: Account,
    doubled: Vec<Doubled>,
    violations: Violations<Violation>,
    in_flight: InFlight<String, Operation>,
    completing: InFlight<Guid, Operation>,
    /// How many of the account's overwrites are noted.
    n_overwrites: usize,
    pub(super) calls: Calls,
}

impl Ledger {
    pub(super) fn new(prefix: String, account: Account) -> Self {
        Self {
            prefix,
            account,
            doubled: Vec::new(),
            violations: Violations::default(),
            in_flight: InFlight::default(),
            completing: InFlight::default(),
            n_overwrites: 0,
            calls: Calls::default(),
        }
    }

    pub fn account(&self) -> &Account {
        &self.account
    }

    /// For a person at work in Unleashed.
    pub fn account_mut(&mut self) -> &mut Account {
        &mut self.account
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

    /// So is the completion of a document.
    pub(super) fn enter_completion(&mut self, guid: Guid, operation: Operation) -> Working<Guid, Operation> {
        let (working, running) = self.completing.enter(guid, operation);
        if running.is_some() {
            self.violate(Violation::TwoCompletes { guid });
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

    /// The Scoffable order a reference is of.
    pub(super) fn order_of(&self, reference: &str) -> Option<String> {
        Member::of_document(reference, &self.prefix).map(|member| member.order)
    }

    /// What a sales order is to which Scoffable order.
    pub(super) fn member_of(&self, number: &str, source_id: Option<&str>) -> Option<Member> {
        let member = Member::of_document(number, &self.prefix)?;
        let told = source_id.and_then(|id| id.strip_prefix(SOURCE)).filter(|order| !order.is_empty());
        Some(Member { order: told.map_or(member.order, str::to_owned), ..member })
    }

    fn family_of(&self, order: &SalesOrder) -> Option<String> {
        self.member_of(&order.number, order.source_id.as_deref()).map(|member| member.order)
    }

    /// Notes a sales order that was just made.
    pub(super) fn order_was_made(&mut self, at: usize) {
        let made = &self.account.orders()[at];
        let number = made.number.clone();
        let Some(Member { order, role }) = self.member_of(&number, made.source_id.as_deref()) else {
            self.violate(Violation::ForeignNumber { number });
            return;
        };
        let others = self.orders_of(&order).filter(|other| other.number != number);
        let before = sum(others, self.credits_of(&order));
        if matches!(role, Role::First | Role::Again(_)) && before != Cents::ZERO {
            self.doubled.push(Doubled::Order { order, number });
        }
    }

    /// Notes a `POST` before anything comes of it.
    pub(super) fn order_is_to_be_made(&mut self, guid: Option<Guid>) {
        let standing = guid.and_then(|guid| self.account.order_of(guid));
        if let Some(guid) = standing.filter(|order| is_live(order)).map(|order| order.guid) {
            self.violate(Violation::PostedAgain { guid });
        }
    }

    pub(super) fn order_is_to_be_completed(&mut self, guid: Guid) {
        let order = self.account.order_of(guid).filter(|order| order.status == OrderStatus::Completed);
        if let Some(number) = order.map(|order| order.number.clone()) {
            self.violate(Violation::CompletedAgain { number });
        }
    }

    pub(super) fn credit_was_made(&mut self, at: usize) {
        let reference = self.account.credits()[at].reference.clone().unwrap_or_default();
        if self.order_of(&reference).is_none() {
            self.violate(Violation::ForeignReference { reference });
        }
    }

    pub(super) fn credit_was_completed(&mut self, at: usize) {
        let reference = self.account.credits()[at].reference.clone().unwrap_or_default();
        let Some(order) = self.order_of(&reference) else { return };
        let same = |note: &&CreditNote| {
            note.status == CreditStatus::Completed && note.reference.as_deref() == Some(reference.as_str())
        };
        if self.account.credits().iter().filter(same).count() > 1 {
            self.doubled.push(Doubled::Credit { order, reference });
        }
    }

    /// Notes the records that a `POST` has just overwritten.
    pub(super) fn note_overwrites(&mut self) {
        let new = self.account.overwrites()[self.n_overwrites..].to_vec();
        self.n_overwrites += new.len();
        for overwrite in new {
            self.violate(overwrite.into());
        }
    }

    /// All sales orders of a Scoffable order ever.
    pub fn orders_of<'a>(&'a self, order: &'a str) -> impl Iterator<Item = &'a SalesOrder> {
        self.account.orders().iter().filter(move |one| self.family_of(one).as_deref() == Some(order))
    }

    /// All its credit notes ever.
    pub fn credits_of<'a>(&'a self, order: &'a str) -> impl Iterator<Item = &'a CreditNote> {
        let is_of = move |note: &&CreditNote| {
            note.reference.as_deref().and_then(|reference| self.order_of(reference)).as_deref() == Some(order)
        };
        self.account.credits().iter().filter(is_of)
    }

    /// Scoffable orders of which there was ever a sales order or a credit note.
    pub fn orders(&self) -> Vec<String> {
        let sold = self.account.orders().iter().filter_map(|order| self.family_of(order));
        let references = self.account.credits().iter().filter_map(|note| note.reference.as_deref());
        let mut orders: Vec<String> = sold.chain(references.filter_map(|name| self.order_of(name))).collect();
        orders.sort_unstable();
        orders.dedup();
        orders
    }

    /// What an order comes to, with tax: sales orders that are not deleted minus completed credit notes.
    pub fn stands(&self, order: &str) -> Cents {
        sum(self.orders_of(order), self.credits_of(order))
    }

    /// What was invoiced of it, with tax: completed sales orders minus completed credit notes.
    pub fn invoiced(&self, order: &str) -> Cents {
        let completed = self.orders_of(order).filter(|one| one.status == OrderStatus::Completed);
        sum(completed, self.credits_of(order))
    }

    /// How much of each product, by the same count; products that come to nothing are left out.
    pub fn goods(&self, order: &str) -> BTreeMap<String, Fine> {
        let mut sums: BTreeMap<String, i64> = BTreeMap::new();
        let sold = self.orders_of(order).filter(|one| is_live(one)).flat_map(|one| &one.lines).map(|line| (line, 1));
        let taken_back = self.credits_of(order).filter(|note| note.status == CreditStatus::Completed);
        for (line, sign) in sold.chain(taken_back.flat_map(|note| &note.lines).map(|line| (line, -1))) {
            *sums.entry(line.product_code.clone()).or_default() += line.quantity.0 * sign;
        }
        sums.retain(|_, quantity| *quantity != 0);
        sums.into_iter().map(|(code, quantity)| (code, Fine(quantity))).collect()
    }

    /// Credit notes that were made and neither completed nor deleted.
    pub fn unfinished(&self, order: &str) -> usize {
        self.credits_of(order).filter(|note| note.status == CreditStatus::Parked).count()
    }
}

/// Sales orders that are not deleted minus completed credit notes.
fn sum<'a>(orders: impl Iterator<Item = &'a SalesOrder>, credits: impl Iterator<Item = &'a CreditNote>) -> Cents {
    let sold: Cents = orders.filter(|one| is_live(one)).map(|one| one.totals.total).sum();
    let completed = credits.filter(|note| note.status == CreditStatus::Completed);
    let taken_back: Cents = completed.map(|note| note.totals.total).sum();
    sold - taken_back
}

fn is_live(order: &SalesOrder) -> bool {
    order.status != OrderStatus::Deleted
}

impl From<Overwrite> for Violation {
    fn from(overwrite: Overwrite) -> Self {
        match overwrite {
            Overwrite::Customer { guid } => Self::CustomerOverwritten { guid },
            Overwrite::Product { code } => Self::ProductOverwritten { code },
        }
    }
}
