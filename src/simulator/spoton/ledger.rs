//! What the restaurants hold of each Scoffable order, what was cooked twice or asked for wrongly, and whether it is right.
//!
//! Each order that is stored prints a ticket in the kitchen; a cancel does not take it back. Two are one Scoffable order
//! when their references say so ([`Reference`]): the oracle of "never cook twice" therefore counts what stands by the
//! Scoffable order, not by the reference.

pub mod compare;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Operation,
    order::{Customer, Kind, Order, Schedule},
};
use crate::simulator::{
    conduct::{InFlight, Violations, Working},
    till::Show,
};

/// What a correct client never does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "violation")]
pub enum Violation {
    /// A submit or cancel was asked for while another one of the same Scoffable order was being worked on.
    SideBySide {
        order: String,
        operation: Operation,
        running: Operation,
    },
    /// A reference that is used already. Refused, where the rules say so; otherwise it is [`Doubled`].
    SubmittedAgain {
        reference: String,
    },
    /// A lower number in the reference than one already stored of this order.
    OlderNumber {
        order: String,
        number: u32,
        newest: u32,
    },
    /// Not `scoffable-{order}-{number}`.
    ForeignReference {
        reference: String,
    },
    /// The name of the source is a filter in the merchant's reports and must stay what it was.
    SourceChanged {
        first: String,
        second: String,
    },
    UnknownOrder {
        id: String,
    },
    UnknownLocation {
        location: String,
    },
    /// A call without a bearer token. One that has expired is no violation.
    NoToken,
    Malformed {
        reason: String,
    },
}

/// What was cooked twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "doubled")]
pub enum Doubled {
    /// The second was stored while the first stood.
    Standing { order: String, first: String, second: String },
    /// Both have one reference; the first was cancelled by then.
    Reference { order: String, first: String, second: String },
}

impl Doubled {
    /// The Scoffable order.
    pub fn order(&self) -> &str {
        match self {
            Self::Standing { order, .. } | Self::Reference { order, .. } => order,
        }
    }
}

/// `scoffable-{order}-{number}`; the order's id may have hyphens itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub order: String,
    /// Counts from 1.
    pub number: u32,
}

impl Reference {
    pub fn parse(text: &str) -> Option<Self> {
        let (order, number) = text.strip_prefix("scoffable-")?.rsplit_once('-')?;
        let is_plain =
            !order.is_empty() && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_plain.then(|| number.parse().ok())??;
        Some(Self { order: order.to_owned(), number })
    }
}

/// Who cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelledBy {
    Client,
    /// On the POS.
    Merchant,
}

/// An order as a restaurant holds it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// `ord-1`, `ord-2`, … in the order of storing.
    pub id: String,
    pub location: String,
    /// The Scoffable order; the whole reference where that is none of ours.
    pub order: String,
    /// As it was submitted.
    pub content: Order,
    /// Differs from what was asked for when that could not be done in time.
    pub schedule: Schedule,
    pub ready_at: DateTime<Utc>,
    /// Only of a delivery.
    pub delivery_at: Option<DateTime<Utc>>,
    arrived: Moment,
    cancelled: Option<(CancelledBy, Moment)>,
}

/// When something happened, and from when on a report shows it.
#[derive(Debug, Clone)]
struct Moment {
    at: DateTime<Utc>,
    show: Show,
    /// How often the location's report was read since.
    reads: u32,
}

impl Moment {
    fn shows(&self, now: DateTime<Utc>) -> bool {
        self.show.is_due((now - self.at).to_std().unwrap_or_default(), self.reads)
    }
}

impl Stored {
    pub fn reference(&self) -> &str {
        &self.content.reference
    }

    /// It is `CLOSED`, and not cancelled.
    pub fn is_standing(&self) -> bool {
        self.cancelled.is_none()
    }

    pub fn cancelled_by(&self) -> Option<CancelledBy> {
        self.cancelled.as_ref().map(|(by, _)| *by)
    }

    /// Cents.
    pub fn grand_total(&self) -> i64 {
        self.content.totals.grand_total
    }

    pub fn stored_at(&self) -> DateTime<Utc> {
        self.arrived.at
    }

    /// What a report shows; none while the order does not show.
    fn seen(&self, now: DateTime<Utc>) -> Option<Seen<'_>> {
        if !self.arrived.shows(now) {
            return None;
        }
        let cancelled = self.cancelled.as_ref().filter(|(_, moment)| moment.shows(now));
        let updated_at = cancelled.map_or(self.arrived.at, |(_, moment)| moment.at);
        Some(Seen { stored: self, is_cancelled: cancelled.is_some(), updated_at })
    }
}

/// An order as a report shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub stored: &'a Stored,
    pub is_cancelled: bool,
    pub updated_at: DateTime<Utc>,
}

/// How long a restaurant needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub kitchen: Duration,
    pub drive: Duration,
}

/// Why an effect does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    ReferenceUsed,
    AlreadyCancelled,
}

#[derive(Debug)]
pub struct Ledger {
    lag: Duration,
    script: VecDeque<Show>,
    orders: Vec<Stored>,
    by_reference: HashMap<String, Vec<usize>>,
    books: BTreeMap<String, Book>,
    in_flight: InFlight<String, Operation>,
    source: Option<String>,
    doubled: Vec<Doubled>,
    violations: Violations<Violation>,
    repeats: u64,
}

#[derive(Debug, Default)]
struct Book {
    orders: Vec<usize>,
    newest: u32,
}

impl Ledger {
    pub(super) fn new(lag: Duration) -> Self {
        Self {
            lag,
            script: VecDeque::new(),
            orders: Vec::new(),
            by_reference: HashMap::new(),
            books: BTreeMap::new(),
            in_flight: InFlight::default(),
            source: None,
            doubled: Vec::new(),
            violations: Violations::default(),
            repeats: 0,
        }
    }

    /// An effect on a Scoffable order is being worked on until the returned value is dropped.
    pub(super) fn enter(&mut self, order: &str, operation: Operation) -> Working<String, Operation> {
        let (working, running) = self.in_flight.enter(order.to_owned(), operation);
        if let Some(running) = running {
            self.violate(Violation::SideBySide { order: order.to_owned(), operation, running });
        }
        working
    }

    /// Stores an order and prints its ticket, whatever stands already.
    pub(super) fn submit(&mut self, location: &str, content: Order, pace: Pace, now: DateTime<Utc>) -> &Stored {
        let order = order_of(&content.reference);
        self.take_note(&order, &content);
        let at = self.orders.len();
        let id = format!("ord-{}", at + 1);
        let same_reference = self.by_reference.entry(content.reference.clone()).or_default();
        let book = self.books.entry(order.clone()).or_default();
        let still_stands = book.orders.iter().find(|at| self.orders[**at].is_standing());
        let (order_name, second) = (order.clone(), id.clone());
        if let Some(first) = still_stands {
            let first = self.orders[*first].id.clone();
            self.doubled.push(Doubled::Standing { order: order_name, first, second });
        } else if let Some(first) = same_reference.first() {
            let first = self.orders[*first].id.clone();
            self.doubled.push(Doubled::Reference { order: order_name, first, second });
        }
        same_reference.push(at);
        book.orders.push(at);
        let (schedule, ready_at, delivery_at) = plan(&content, pace, now);
        let arrived = self.moment(now);
        let location = location.to_owned();
        self.orders.push(Stored {
            id,
            location,
            order,
            content,
            schedule,
            ready_at,
            delivery_at,
            arrived,
            cancelled: None,
        });
        &self.orders[at]
    }

    /// The order is known.
    pub(super) fn cancel(&mut self, id: &str, by: CancelledBy, now: DateTime<Utc>) -> Result<(), Refused> {
        let at = self.position_of(id).expect("an order is looked for before, and none is ever removed");
        if !self.orders[at].is_standing() {
            self.repeats += 1;
            return Err(Refused::AlreadyCancelled);
        }
        let moment = self.moment(now);
        self.orders[at].cancelled = Some((by, moment));
        Ok(())
    }

    /// Refuses a reference that is used already.
    pub(super) fn check_unused(&mut self, reference: &str) -> Result<(), Refused> {
        if !self.by_reference.contains_key(reference) {
            return Ok(());
        }
        self.violate(Violation::SubmittedAgain { reference: reference.to_owned() });
        Err(Refused::ReferenceUsed)
    }

    /// A location's orders that show and were updated since, the oldest update first.
    pub(super) fn report(&self, location: &str, since: DateTime<Utc>, now: DateTime<Utc>) -> Vec<Seen<'_>> {
        let there = self.orders.iter().filter(|stored| stored.location == location);
        let mut seen: Vec<Seen<'_>> =
            there.filter_map(|stored| stored.seen(now)).filter(|seen| seen.updated_at >= since).collect();
        seen.sort_by_key(|seen| seen.updated_at);
        seen
    }

    pub(super) fn was_reported(&mut self, location: &str) {
        for stored in self.orders.iter_mut().filter(|stored| stored.location == location) {
            stored.arrived.reads += 1;
            if let Some((_, moment)) = &mut stored.cancelled {
                moment.reads += 1;
            }
        }
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

    /// Cancels of what was cancelled already.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Every order ever stored.
    pub fn stored(&self) -> &[Stored] {
        &self.orders
    }

    /// By its id here.
    pub fn get(&self, id: &str) -> Option<&Stored> {
        self.position_of(id).map(|at| &self.orders[at])
    }

    /// Every one ever stored for a Scoffable order.
    pub fn stored_of(&self, order: &str) -> impl Iterator<Item = &Stored> {
        let orders = self.books.get(order).map_or(&[][..], |book| &book.orders);
        orders.iter().map(|at| &self.orders[*at])
    }

    /// What of it stands; more than one is wrong already.
    pub fn standing_of(&self, order: &str) -> Vec<&Stored> {
        self.stored_of(order).filter(|stored| stored.is_standing()).collect()
    }

    /// How often the kitchen was told to cook a Scoffable order.
    pub fn tickets(&self, order: &str) -> usize {
        self.stored_of(order).count()
    }

    /// Those with a reference, whether a report shows them or not.
    pub fn find(&self, reference: &str) -> impl Iterator<Item = &Stored> {
        let orders = self.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        orders.iter().map(|at| &self.orders[*at])
    }

    /// Cents of what stands of a Scoffable order.
    pub fn total(&self, order: &str) -> i64 {
        self.standing_of(order).iter().map(|stored| stored.grand_total()).sum()
    }

    /// How many effects on a Scoffable order are being worked on.
    pub fn running(&self, order: &str) -> usize {
        self.in_flight.count(order)
    }

    /// Scoffable orders of which anything was ever stored.
    pub fn orders(&self) -> impl Iterator<Item = &str> {
        self.books.iter().filter(|(_, book)| !book.orders.is_empty()).map(|(name, _)| name.as_str())
    }

    /// Customers that were created in the merchants' databases.
    pub fn n_customers(&self) -> usize {
        let complete = |stored: &&Stored| stored.content.customer.as_ref().is_some_and(Customer::is_complete);
        self.orders.iter().filter(complete).count()
    }

    fn position_of(&self, id: &str) -> Option<usize> {
        let number: usize = id.strip_prefix("ord-")?.parse().ok()?;
        let at = number.checked_sub(1)?;
        self.orders.get(at).filter(|stored| stored.id == id).map(|_| at)
    }

    fn moment(&mut self, now: DateTime<Utc>) -> Moment {
        let show = self.script.pop_front().unwrap_or(Show::After(self.lag));
        Moment { at: now, show, reads: 0 }
    }

    /// Holds a submit against those seen before.
    fn take_note(&mut self, order: &str, content: &Order) {
        let number = Reference::parse(&content.reference).map(|reference| reference.number);
        let newest = self.books.get(order).map_or(0, |book| book.newest);
        match number {
            None => self.violate(Violation::ForeignReference { reference: content.reference.clone() }),
            Some(number) if number < newest => {
                self.violate(Violation::OlderNumber { order: order.to_owned(), number, newest });
            }
            Some(number) => self.books.entry(order.to_owned()).or_default().newest = number,
        }
        let first = self.source.get_or_insert_with(|| content.source.clone()).clone();
        if first != content.source {
            self.violate(Violation::SourceChanged { first, second: content.source.clone() });
        }
    }
}

/// The Scoffable order a reference is of.
pub(super) fn order_of(reference: &str) -> String {
    Reference::parse(reference).map_or_else(|| reference.to_owned(), |reference| reference.order)
}

/// Schedule and times that an order gets. A time that cannot be met does not fail, it becomes as soon as possible.
/// Source: SpotOn, Orders Overview.
fn plan(content: &Order, pace: Pace, now: DateTime<Utc>) -> (Schedule, DateTime<Utc>, Option<DateTime<Utc>>) {
    let earliest = now + pace.kitchen;
    let of_delivery = |ready: DateTime<Utc>| (content.fulfillment.kind == Kind::Delivery).then(|| ready + pace.drive);
    let ready_as_asked = match (content.fulfillment.schedule, content.fulfillment.kind) {
        (Schedule::Asap, _) => None,
        (Schedule::At(at), Kind::Pickup) => Some(at),
        (Schedule::At(at), Kind::Delivery) => Some(at - pace.drive),
    };
    match ready_as_asked.filter(|at| *at >= earliest) {
        Some(ready) => (content.fulfillment.schedule, ready, of_delivery(ready)),
        None => (Schedule::Asap, earliest, of_delivery(earliest)),
    }
}

#[cfg(test)]
mod tests;
