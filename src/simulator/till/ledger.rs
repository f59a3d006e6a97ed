//! What the till holds of each order, what was done to it twice or wrongly, and whether it is right.
//!
//! Every ticket is the list of its changes. All of them make up what stands; those that show by now, what a look-up
//! sees. An order is named `source/order id` here, so that orders of several sources can be told apart.
//!
//! # When a ledger is right ([`Ledger::compare`])
//!
//! Take the versions of an order that can be read, and let N be the one with the highest number.
//!
//! | N is | The till must hold |
//! | --- | --- |
//! | accepted | one standing ticket, paid to the penny: of version N, or of an older accepted one with N's total |
//! | cancelled | no standing ticket |
//! | anything else | no ticket at all, if no readable version is accepted; otherwise anything of this order |
//!
//! Versions that may be read or set aside ([`Readability::Odd`]) are tried both ways. Besides, every version a ticket
//! ever had must exist in the world, accepted, with that total; no order is unknown to the world; nothing is
//! [`Doubled`].

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt::Write,
    time::Duration,
};

use serde::Serialize;

use super::Operation;
use crate::simulator::{
    conduct::{InFlight, Violations, Working},
    ledger::Mismatch,
    world::{OrderTruth, Readability, VersionTruth, World},
};

/// What a correct client never does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "violation")]
pub enum Violation {
    /// An effect was asked for while another one of the same order was being worked on.
    SideBySide {
        order: String,
        operation: Operation,
        running: Operation,
    },
    /// A sale of an older version than one already seen of this order.
    OlderAfterNewer {
        order: String,
        version: i64,
        newest: i64,
    },
    /// One version with two contents.
    VersionReused {
        order: String,
        version: i64,
    },
    /// Reference, order or currency are not those of the ticket.
    AnotherTicket {
        ticket: String,
    },
    /// A payment for a void ticket. Refused.
    PaidAfterVoid {
        ticket: String,
        reference: String,
    },
    /// A payment would have gone past the total. Refused.
    ExceedsTotal {
        ticket: String,
        reference: String,
        minor: i64,
        paid_minor: i64,
        total_minor: i64,
    },
    UnknownTicket {
        ticket: String,
    },
    WrongToken,
    Malformed {
        reason: String,
    },
}

/// An effect that was had twice: what must never be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "doubled")]
pub enum Doubled {
    /// The second was opened while the first stood, or under its reference.
    Ticket { order: String, first: String, second: String },
    /// Both were taken under one reference, on whichever ticket of the order.
    Payment { order: String, first: String, second: String },
}

impl Doubled {
    pub fn order(&self) -> &str {
        match self {
            Self::Ticket { order, .. } | Self::Payment { order, .. } => order,
        }
    }
}

/// From when on an effect is seen by look-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// This long after it happened.
    After(Duration),
    /// After it was looked for in vain this many times.
    AfterReads(u32),
    Never,
}

impl Show {
    /// Whether an effect is seen so long after it happened, and after so many look-ups that did not see it.
    pub(in crate::simulator) fn is_due(self, since: Duration, reads: u32) -> bool {
        match self {
            Self::After(lag) => since >= lag,
            Self::AfterReads(wanted) => reads >= wanted,
            Self::Never => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    pub version: i64,
    /// They add up to the total.
    pub lines: Vec<Line>,
    pub total_minor: i64,
    pub currency: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub minor: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub reference: String,
    /// Negative: a refund. Never zero.
    pub minor: i64,
    pub currency: String,
}

/// A ticket with all that ever happened to it.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// `T-1`, `T-2`, … in the order of opening.
    pub id: String,
    pub reference: String,
    pub order: String,
    opened: Sale,
    /// The first is the opening.
    changes: Vec<Change>,
}

/// What a ticket comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub sale: Sale,
    pub paid_minor: i64,
    pub is_void: bool,
}

#[derive(Debug, Clone)]
struct Change {
    effect: Effect,
    at: Duration,
    show: Show,
    /// How often a look-up asked for its ticket since.
    reads: u32,
}

#[derive(Debug, Clone)]
enum Effect {
    Opened,
    Amended(Sale),
    Paid { id: String, payment: Payment },
    Voided,
}

impl Change {
    fn shows(&self, now: Duration) -> bool {
        self.show.is_due(now.saturating_sub(self.at), self.reads)
    }
}

impl Ticket {
    /// What stands now, seen or not.
    pub fn standing(&self) -> Standing {
        self.after(self.changes.iter())
    }

    pub fn is_standing(&self) -> bool {
        !self.standing().is_void
    }

    /// The versions it was given, in the order of the effects.
    pub fn versions(&self) -> Vec<i64> {
        self.sales().map(|sale| sale.version).collect()
    }

    /// With their ids, in the order in which they were taken.
    pub fn payments(&self) -> impl Iterator<Item = (&str, &Payment)> {
        self.changes.iter().filter_map(|change| match &change.effect {
            Effect::Paid { id, payment } => Some((id.as_str(), payment)),
            Effect::Opened | Effect::Amended(_) | Effect::Voided => None,
        })
    }

    fn sales(&self) -> impl Iterator<Item = &Sale> {
        let amended = self.changes.iter().filter_map(|change| match &change.effect {
            Effect::Amended(sale) => Some(sale),
            Effect::Opened | Effect::Paid { .. } | Effect::Voided => None,
        });
        std::iter::once(&self.opened).chain(amended)
    }

    /// What a look-up sees; none while the opening does not show.
    fn seen(&self, now: Duration) -> Option<Standing> {
        self.changes[0].shows(now).then(|| self.after(self.changes.iter().filter(|change| change.shows(now))))
    }

    fn after<'a>(&self, changes: impl Iterator<Item = &'a Change>) -> Standing {
        let mut standing = Standing { sale: self.opened.clone(), paid_minor: 0, is_void: false };
        for change in changes {
            match &change.effect {
                Effect::Opened => {}
                Effect::Amended(sale) => standing.sale = sale.clone(),
                Effect::Paid { payment, .. } => standing.paid_minor += payment.minor,
                Effect::Voided => standing.is_void = true,
            }
        }
        standing
    }

    fn was_looked_for(&mut self) {
        for change in &mut self.changes {
            change.reads += 1;
        }
    }
}

/// Sums over the standing tickets of an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    pub total_minor: i64,
    pub paid_minor: i64,
}

/// Why an effect does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    AlreadyVoid,
    ExceedsTotal,
    AnotherTicket,
}

impl Refused {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::AlreadyVoid => "already_void",
            Self::ExceedsTotal => "exceeds_total",
            Self::AnotherTicket => "another_ticket",
        }
    }
}

#[derive(Debug)]
pub struct Ledger {
    lag: Duration,
    script: VecDeque<Show>,
    tickets: Vec<Ticket>,
    by_reference: HashMap<String, Vec<usize>>,
    books: BTreeMap<String, Book>,
    in_flight: InFlight<String, Operation>,
    doubled: Vec<Doubled>,
    violations: Violations<Violation>,
    n_payments: u64,
    n_refused_payments: u64,
    repeats: u64,
}

#[derive(Debug, Default)]
struct Book {
    tickets: Vec<usize>,
    /// Every version seen, with what it said.
    versions: BTreeMap<i64, Sale>,
}

impl Ledger {
    pub(super) fn new(lag: Duration) -> Self {
        Self {
            lag,
            script: VecDeque::new(),
            tickets: Vec::new(),
            by_reference: HashMap::new(),
            books: BTreeMap::new(),
            in_flight: InFlight::default(),
            doubled: Vec::new(),
            violations: Violations::default(),
            n_payments: 0,
            n_refused_payments: 0,
            repeats: 0,
        }
    }

    /// An effect on an order is being worked on until the returned value is dropped.
    pub(super) fn enter(&mut self, order: &str, operation: Operation) -> Working<String, Operation> {
        let (working, running) = self.in_flight.enter(order.to_owned(), operation);
        if let Some(running) = running {
            self.violate(Violation::SideBySide { order: order.to_owned(), operation, running });
        }
        working
    }

    /// Returns the new ticket's id.
    pub(super) fn open(&mut self, reference: String, order: String, sale: Sale, now: Duration) -> String {
        self.take_note(&order, &sale);
        let at = self.tickets.len();
        let id = format!("T-{}", at + 1);
        let same_reference = self.by_reference.entry(reference.clone()).or_default();
        let book = self.books.entry(order.clone()).or_default();
        let still_stands = book.tickets.iter().find(|at| self.tickets[**at].is_standing());
        if let Some(first) = still_stands.or(same_reference.first()) {
            let first = self.tickets[*first].id.clone();
            self.doubled.push(Doubled::Ticket { order: order.clone(), first, second: id.clone() });
        }
        same_reference.push(at);
        book.tickets.push(at);
        let opening = self.change(Effect::Opened, now);
        self.tickets.push(Ticket { id: id.clone(), reference, order, opened: sale, changes: vec![opening] });
        id
    }

    pub(super) fn amend(
        &mut self,
        ticket: &str,
        reference: &str,
        order: &str,
        sale: Sale,
        now: Duration,
    ) -> Result<(), Refused> {
        let at = self.position(ticket);
        let standing = self.tickets[at].standing();
        let is_this_one = self.tickets[at].reference == reference
            && self.tickets[at].order == order
            && standing.sale.currency == sale.currency;
        if !is_this_one {
            return self.another_ticket(ticket);
        }
        if standing.is_void {
            // Right after a void whose answer was lost: this is how its sender learns of it.
            return Err(Refused::AlreadyVoid);
        }
        if standing.sale == sale {
            self.repeats += 1;
            return Ok(());
        }
        self.take_note(order, &sale);
        let change = self.change(Effect::Amended(sale), now);
        self.tickets[at].changes.push(change);
        Ok(())
    }

    /// Returns the new payment's id.
    pub(super) fn pay(&mut self, ticket: &str, payment: Payment, now: Duration) -> Result<String, Refused> {
        let at = self.position(ticket);
        let standing = self.tickets[at].standing();
        if standing.sale.currency != payment.currency {
            return self.another_ticket(ticket);
        }
        if standing.is_void {
            self.violate(Violation::PaidAfterVoid { ticket: ticket.to_owned(), reference: payment.reference });
            self.n_refused_payments += 1;
            return Err(Refused::AlreadyVoid);
        }
        let owed = i128::from(standing.sale.total_minor) - i128::from(standing.paid_minor);
        let minor = i128::from(payment.minor);
        let leads_towards_the_total = minor.signum() == owed.signum() && minor.abs() <= owed.abs();
        if !leads_towards_the_total {
            self.violate(Violation::ExceedsTotal {
                ticket: ticket.to_owned(),
                reference: payment.reference,
                minor: payment.minor,
                paid_minor: standing.paid_minor,
                total_minor: standing.sale.total_minor,
            });
            self.n_refused_payments += 1;
            return Err(Refused::ExceedsTotal);
        }
        self.n_payments += 1;
        let id = format!("P-{}", self.n_payments);
        let order = self.tickets[at].order.clone();
        let same_reference = |(_, other): &(&str, &Payment)| other.reference == payment.reference;
        let first =
            self.tickets_of(&order).flat_map(Ticket::payments).find(same_reference).map(|(id, _)| id.to_owned());
        if let Some(first) = first {
            self.doubled.push(Doubled::Payment { order, first, second: id.clone() });
        }
        let change = self.change(Effect::Paid { id: id.clone(), payment }, now);
        self.tickets[at].changes.push(change);
        Ok(id)
    }

    pub(super) fn void(&mut self, ticket: &str, reference: &str, now: Duration) -> Result<(), Refused> {
        let at = self.position(ticket);
        if self.tickets[at].reference != reference {
            return self.another_ticket(ticket);
        }
        if !self.tickets[at].is_standing() {
            self.repeats += 1;
            return Err(Refused::AlreadyVoid);
        }
        let change = self.change(Effect::Voided, now);
        self.tickets[at].changes.push(change);
        Ok(())
    }

    /// The tickets of a reference that show, as far as they show.
    pub(super) fn look_up(&mut self, reference: &str, now: Duration) -> Vec<(&Ticket, Standing)> {
        let found = self.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        let mut seen = Vec::new();
        for at in found {
            let standing = self.tickets[*at].seen(now);
            self.tickets[*at].was_looked_for();
            seen.extend(standing.map(|standing| (*at, standing)));
        }
        seen.into_iter().map(|(at, standing)| (&self.tickets[at], standing)).collect()
    }

    /// The payments of a ticket with a reference that show.
    pub(super) fn look_up_payments(&mut self, ticket: &str, reference: &str, now: Duration) -> Vec<(String, Payment)> {
        let at = self.position(ticket);
        let shown = self.tickets[at].changes.iter().filter(|change| change.shows(now));
        let payments = shown
            .filter_map(|change| match &change.effect {
                Effect::Paid { id, payment } if payment.reference == reference => Some((id.clone(), payment.clone())),
                _ => None,
            })
            .collect();
        self.tickets[at].was_looked_for();
        payments
    }

    pub(super) fn show_next(&mut self, script: impl IntoIterator<Item = Show>) {
        self.script.extend(script);
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

    /// Amendments and voids that repeated one before and changed nothing.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Payments taken, refunds included.
    pub fn n_payments(&self) -> u64 {
        self.n_payments
    }

    /// Payments refused because the ticket was void or its total would have been passed.
    pub fn n_refused_payments(&self) -> u64 {
        self.n_refused_payments
    }

    /// Every ticket ever opened.
    pub fn tickets(&self) -> &[Ticket] {
        &self.tickets
    }

    pub fn ticket(&self, id: &str) -> Option<&Ticket> {
        self.position_of(id).map(|at| &self.tickets[at])
    }

    /// Every ticket ever opened for an order, named `source/order id`.
    pub fn tickets_of(&self, order: &str) -> impl Iterator<Item = &Ticket> {
        let tickets = self.books.get(order).map_or(&[][..], |book| &book.tickets);
        tickets.iter().map(|at| &self.tickets[*at])
    }

    /// The tickets of a reference, whether they show or not.
    pub fn find(&self, reference: &str) -> impl Iterator<Item = &Ticket> {
        let tickets = self.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        tickets.iter().map(|at| &self.tickets[*at])
    }

    /// What stands of an order.
    pub fn sums(&self, order: &str) -> Sums {
        let standing = self.tickets_of(order).map(Ticket::standing).filter(|standing| !standing.is_void);
        standing.fold(Sums::default(), |sums, standing| Sums {
            total_minor: sums.total_minor + standing.sale.total_minor,
            paid_minor: sums.paid_minor + standing.paid_minor,
        })
    }

    /// How many effects on an order are being worked on.
    pub fn running(&self, order: &str) -> usize {
        self.in_flight.count(order)
    }

    /// Orders that ever had a ticket.
    pub fn orders(&self) -> impl Iterator<Item = &str> {
        self.books.iter().filter(|(_, book)| !book.tickets.is_empty()).map(|(name, _)| name.as_str())
    }

    /// Where this ledger is not right about the orders of one source; the rules stand at the top of this module.
    pub fn compare(&self, source: &str, world: &World) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        let mut report = |order_id: &str, expected: &str, found: String| {
            mismatches.push(Mismatch { order_id: order_id.to_owned(), expected: expected.to_owned(), found });
        };
        for order in world.orders.values() {
            let tickets: Vec<&Ticket> = self.tickets_of(&format!("{source}/{}", order.id)).collect();
            if let Some(found) = made_up(order, &tickets) {
                report(&order.id, "only accepted versions of the world, as they are", found);
                continue;
            }
            let strict = |v: &&VersionTruth| v.readability == Readability::Clear;
            let lenient = |v: &&VersionTruth| v.readability != Readability::Broken;
            let with_odd: Vec<&VersionTruth> = order.versions.iter().filter(lenient).collect();
            let clear: Vec<&VersionTruth> = order.versions.iter().filter(strict).collect();
            if let Err(expected) = judge(&clear, &tickets)
                && judge(&with_odd, &tickets).is_err()
            {
                report(&order.id, &expected, describe(&tickets));
            }
        }
        let of_source =
            |name: &str| name.strip_prefix(source).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
        for order_id in self.orders().filter_map(of_source) {
            if !world.orders.contains_key(&order_id) {
                let tickets: Vec<&Ticket> = self.tickets_of(&format!("{source}/{order_id}")).collect();
                report(&order_id, "no such order", describe(&tickets));
            }
        }
        for doubled in &self.doubled {
            if let Some(order_id) = of_source(doubled.order()) {
                report(&order_id, "each effect once", format!("{doubled:?}"));
            }
        }
        mismatches
    }

    fn position_of(&self, id: &str) -> Option<usize> {
        let number: usize = id.strip_prefix("T-")?.parse().ok()?;
        let at = number.checked_sub(1)?;
        self.tickets.get(at).filter(|ticket| ticket.id == id).map(|_| at)
    }

    fn position(&self, id: &str) -> usize {
        self.position_of(id).expect("a ticket is looked for before, and none is ever removed")
    }

    fn change(&mut self, effect: Effect, now: Duration) -> Change {
        let show = self.script.pop_front().unwrap_or(Show::After(self.lag));
        Change { effect, at: now, show, reads: 0 }
    }

    /// Holds a sale against those seen of its order before.
    fn take_note(&mut self, order: &str, sale: &Sale) {
        let versions = &mut self.books.entry(order.to_owned()).or_default().versions;
        let newest = versions.last_key_value().map(|(version, _)| *version);
        let is_new_to_its_version = versions.insert(sale.version, sale.clone()).is_some_and(|before| before != *sale);
        let (order, version) = (order.to_owned(), sale.version);
        if let Some(newest) = newest.filter(|newest| *newest > version) {
            self.violate(Violation::OlderAfterNewer { order: order.clone(), version, newest });
        }
        if is_new_to_its_version {
            self.violate(Violation::VersionReused { order, version });
        }
    }

    fn another_ticket<T>(&mut self, ticket: &str) -> Result<T, Refused> {
        self.violate(Violation::AnotherTicket { ticket: ticket.to_owned() });
        Err(Refused::AnotherTicket)
    }
}

/// A version on a ticket that does not exist like this.
fn made_up(order: &OrderTruth, tickets: &[&Ticket]) -> Option<String> {
    let is_real = |sale: &Sale| {
        order.versions.iter().any(|truth| {
            truth.number == sale.version
                && truth.status == "accepted"
                && truth.total_minor == sale.total_minor
                && truth.currency == sale.currency
        })
    };
    let made_up = tickets.iter().flat_map(|ticket| ticket.sales()).find(|sale| !is_real(sale))?;
    Some(format!("version {} with a total of {} {}", made_up.version, made_up.total_minor, made_up.currency))
}

/// Whether the tickets are right for these versions of an order; otherwise what is expected.
fn judge(versions: &[&VersionTruth], tickets: &[&Ticket]) -> Result<(), String> {
    let standing: Vec<Standing> = tickets.iter().map(|ticket| ticket.standing()).filter(|s| !s.is_void).collect();
    let newest = versions.iter().max_by_key(|truth| truth.number);
    match newest.map(|newest| (newest, newest.status.as_str())) {
        Some((newest, "accepted")) => {
            let is_right = |stands: &Standing| {
                stands.sale.version <= newest.number
                    && stands.sale.total_minor == newest.total_minor
                    && stands.paid_minor == newest.total_minor
            };
            match standing.as_slice() {
                [one] if is_right(one) => Ok(()),
                _ => Err(format!("one ticket of version {}, {} paid", newest.number, newest.total_minor)),
            }
        }
        Some((_, "cancelled")) if standing.is_empty() => Ok(()),
        Some((newest, "cancelled")) => Err(format!("no ticket standing, by version {}", newest.number)),
        _ => {
            let may_stand = versions.iter().any(|truth| truth.status == "accepted");
            if may_stand || tickets.is_empty() { Ok(()) } else { Err("no ticket".to_owned()) }
        }
    }
}

fn describe(tickets: &[&Ticket]) -> String {
    if tickets.is_empty() {
        return "no ticket".to_owned();
    }
    let mut text = String::new();
    for ticket in tickets {
        let Standing { sale, paid_minor, is_void } = ticket.standing();
        let state = if is_void { ", void" } else { "" };
        let separator = if text.is_empty() { "" } else { "; " };
        let _ = write!(
            text,
            "{separator}{} version {}, {paid_minor} of {} paid{state}",
            ticket.id, sale.version, sale.total_minor
        );
    }
    text
}

#[cfg(test)]
mod tests;
