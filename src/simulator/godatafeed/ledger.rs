//! What GoDataFeed holds of each order, how it came to that, and what a correct client would not have done.
//!
//! An order here is a *counterpart*: what GoDataFeed imported from a marketplace, with an id of its own. It appears at
//! its time and is `NEW` then; from there only writes, or somebody else, move it. Nothing is ever forgotten.
//!
//! ```text
//! NEW ──acknowledge──▶ ACKNOWLEDGED ──ship──▶ SHIPPED
//!  └──────cancel────────────┴──cancel──▶ CANCELLED
//! ```

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::Operation;
use crate::simulator::conduct::{InFlight, Violations, Working};

/// How far ahead of our clock a ship time may be: two machines never agree to the second.
const SKEW: TimeDelta = TimeDelta::seconds(2);
/// The number under which somebody else took an order over.
const SOMEBODY_ELSES_NUMBER: &str = "somebody-elses-1";

/// What a correct client never does. `order` is GoDataFeed's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "violation")]
pub enum Violation {
    /// A write was asked for while another one of the same order was being worked on.
    SideBySide {
        order: String,
        operation: Operation,
        running: Operation,
    },
    /// Refused.
    ShippedBeforeAcknowledged {
        order: String,
    },
    /// Acknowledged a second time, with another number. Refused.
    SecondNumber {
        order: String,
        first: String,
        second: String,
    },
    /// Acknowledged what the client itself had shipped or cancelled. Refused.
    AcknowledgedAfter {
        order: String,
        state: OrderState,
    },
    /// It counts as midnight.
    ShipDateWithoutTime {
        order: String,
        ship_date: String,
    },
    /// A time of day that may be anybody's. Refused, unless the account reads such times as its own.
    ShipDateWithoutOffset {
        order: String,
        ship_date: String,
    },
    /// Refused when it is before the purchase.
    ShipDateNotAfterPurchase {
        order: String,
        ship_date: DateTime<Utc>,
        purchased_at: DateTime<Utc>,
    },
    /// Refused.
    ShipDateInFuture {
        order: String,
        ship_date: DateTime<Utc>,
        now: DateTime<Utc>,
    },
    /// Shipped again, in other words. Refused.
    ShipmentChanged {
        order: String,
    },
    /// Refused.
    CancelledAfterShipped {
        order: String,
    },
    /// Refused.
    ShippedAfterCancelled {
        order: String,
    },
    /// Shipped what somebody else had taken over, or cancelled it although an earlier answer had told so, and no
    /// acknowledgement that it may have been taken over by was left without an answer. Refused.
    NotOurs {
        order: String,
        operation: Operation,
    },
    /// A write for an order of another marketplace.
    OtherChannel {
        order: String,
        operation: Operation,
    },
    /// An order was taken over or cancelled from `NEW`, although a listing had shown another one with its number.
    Ambiguous {
        order: String,
        operation: Operation,
    },
    /// The marketplace was told its own number as that of the destination.
    OwnNumber {
        order: String,
        number: String,
    },
    /// A tracking number that is not the order's own.
    InventedTracking {
        order: String,
        tracking_number: String,
    },
    /// One order was looked up although no change of its status was in doubt: a listing tells the rest.
    LookedUp {
        order: String,
    },
    ListedTooOften {
        after: Duration,
    },
    TokensTooOften {
        after: Duration,
    },
    TokensSideBySide,
    /// A credential in a query, where every proxy writes it down.
    CredentialInQuery,
    /// There is no such order, or not yet.
    UnknownOrder {
        order: String,
    },
    /// One that was never given out; one that has died is none.
    WrongToken,
    WrongConsumerKey,
    Malformed {
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderState {
    New,
    Acknowledged,
    Shipped,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Whoever asks this simulator.
    Client,
    /// The marketplace, or another destination of the same account.
    SomebodyElse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub state: OrderState,
    /// Since the simulator's start.
    pub at: Duration,
    pub by: By,
}

/// A write that was worked on, with what became of it; one that a fault kept from having any effect is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Since the simulator's start.
    pub at: Duration,
    pub content: Content,
    pub result: Result<Done, Refused>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Acknowledge { number: String },
    Ship(Shipment),
    Cancel,
}

impl Content {
    pub fn operation(&self) -> Operation {
        match self {
            Self::Acknowledge { .. } => Operation::Acknowledge,
            Self::Ship(_) | Self::Cancel => Operation::UpdateStatus,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    pub ship_date: ShipDate,
    pub tracking_number: Option<String>,
    pub carrier: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipDate {
    /// As it was written.
    pub text: String,
    pub at: DateTime<Utc>,
    /// Otherwise `at` is midnight.
    pub has_time: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    Applied,
    /// It stood so already.
    Repeated,
}

/// Why a write has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    NotAcknowledged,
    AnotherNumber,
    /// Somebody else acknowledged it.
    Taken,
    AlreadyShipped,
    AlreadyCancelled,
    ShipDateBeforePurchase,
    ShipDateInFuture,
    TrackingNumberMissing,
}

impl Refused {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NotAcknowledged => "not_acknowledged",
            Self::AnotherNumber => "another_number",
            Self::Taken => "already_acknowledged",
            Self::AlreadyShipped => "already_shipped",
            Self::AlreadyCancelled => "already_cancelled",
            Self::ShipDateBeforePurchase => "ship_date_before_purchase",
            Self::ShipDateInFuture => "ship_date_in_future",
            Self::TrackingNumberMissing => "tracking_number_missing",
        }
    }
}

/// An order as a marketplace reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub number: String,
    pub marketplace: String,
    pub order_id: Option<String>,
    pub purchased_at: DateTime<Utc>,
    /// Since the simulator's start, like the next.
    pub appears_at: Duration,
    pub taken_at: Option<Duration>,
}

/// An order that GoDataFeed holds, with all that ever happened to it.
#[derive(Debug, Clone)]
pub struct Counterpart {
    /// `G-300001`, `G-300002`, …
    pub id: String,
    /// The marketplace's order number, as it is listed.
    pub number: String,
    pub marketplace: String,
    /// The Scoffable order it stands for; none for one of another marketplace.
    pub order_id: Option<String>,
    pub purchased_at: DateTime<Utc>,
    /// The destination's number it was acknowledged with.
    pub destination_number: Option<String>,
    pub shipment: Option<Shipment>,
    /// The first is its appearance.
    history: Vec<Change>,
    writes: Vec<Write>,
    calls: BTreeMap<Operation, u64>,
    /// Acknowledgements whose client was never told what became of them.
    unanswered: u64,
    /// A listing showed it, and its answer was not tampered with.
    was_listed: bool,
    /// Lists go on showing it as new.
    is_hidden: bool,
}

impl Counterpart {
    /// The newest, also while it has not appeared yet.
    pub fn state(&self) -> OrderState {
        self.newest().state
    }

    pub fn history(&self) -> &[Change] {
        &self.history
    }

    /// The states it was in, in their order.
    pub fn states(&self) -> Vec<OrderState> {
        self.history.iter().map(|change| change.state).collect()
    }

    /// Oldest first.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Writes that changed something.
    pub fn applied(&self) -> impl Iterator<Item = &Content> {
        self.writes.iter().filter(|write| write.result == Ok(Done::Applied)).map(|write| &write.content)
    }

    /// Well-formed requests about this order, also those that were then answered with a fault.
    pub fn calls(&self, operation: Operation) -> u64 {
        self.calls.get(&operation).copied().unwrap_or(0)
    }

    fn appears_at(&self) -> Duration {
        self.history[0].at
    }

    fn newest(&self) -> Change {
        *self.history.last().expect("it begins with its appearance")
    }

    fn is_somebody_elses(&self) -> bool {
        self.state() != OrderState::New && self.newest().by == By::SomebodyElse
    }

    fn was_refused_as_taken(&self) -> bool {
        self.writes.iter().any(|write| write.result == Err(Refused::Taken))
    }

    /// All that its client can see is that it is not new any more, as after an acknowledgement of its own.
    fn may_be_taken_for_its_own(&self) -> bool {
        self.unanswered > 0
    }

    fn is_its_own_number(&self, number: &str) -> bool {
        number == self.number || self.order_id.as_deref() == Some(number)
    }

    fn has_twin(&self, other: &Self) -> bool {
        self.id != other.id && self.number == other.number && self.marketplace == other.marketplace
    }
}

/// What the ledger needs to know of the account.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub marketplace: String,
    pub listing_interval: Duration,
    pub token_interval: Duration,
    pub tracking_is_required: bool,
}

#[derive(Debug)]
pub struct Ledger {
    rules: Rules,
    /// Since the simulator's start, and the same instant by the wall clock.
    now: Duration,
    wall: DateTime<Utc>,
    orders: Vec<Counterpart>,
    by_id: HashMap<String, usize>,
    /// When somebody else will take over which order.
    takings: Vec<(Duration, usize)>,
    /// By order; wishes for a token by none.
    in_flight: InFlight<Option<usize>, Operation>,
    /// Which of the next effects lists do not show.
    hidden: VecDeque<bool>,
    listed_at: Option<Duration>,
    n_listings: u64,
    token_generated_at: Option<Duration>,
    n_tokens: u64,
    n_dead_tokens_shown: u64,
    n_overflows: u64,
    violations: Violations<Violation>,
}

impl Ledger {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: Duration::ZERO,
            wall: DateTime::UNIX_EPOCH,
            orders: Vec::new(),
            by_id: HashMap::new(),
            takings: Vec::new(),
            in_flight: InFlight::default(),
            hidden: VecDeque::new(),
            listed_at: None,
            n_listings: 0,
            token_generated_at: None,
            n_tokens: 0,
            n_dead_tokens_shown: 0,
            n_overflows: 0,
            violations: Violations::default(),
        }
    }

    /// Lets time go by: what somebody else does until then happens.
    pub(super) fn turn_to(&mut self, now: Duration, wall: DateTime<Utc>) {
        (self.now, self.wall) = (now, wall);
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.takings).into_iter().partition(|(at, _)| *at <= now);
        self.takings = later;
        for (taken_at, at) in due {
            self.take_elsewhere(at, taken_at);
        }
    }

    /// Returns the new order's id.
    pub(super) fn import(&mut self, report: Report) -> String {
        let Report { number, marketplace, order_id, purchased_at, appears_at, taken_at } = report;
        let at = self.orders.len();
        let id = format!("G-{}", 300_001 + at);
        self.orders.push(Counterpart {
            id: id.clone(),
            number,
            marketplace,
            order_id,
            purchased_at,
            destination_number: None,
            shipment: None,
            history: vec![Change { state: OrderState::New, at: appears_at, by: By::SomebodyElse }],
            writes: Vec::new(),
            calls: BTreeMap::new(),
            unanswered: 0,
            was_listed: false,
            is_hidden: false,
        });
        self.by_id.insert(id.clone(), at);
        self.takings.extend(taken_at.map(|taken_at| (taken_at, at)));
        id
    }

    /// Somebody else acknowledges the order now, if it is still `NEW`.
    pub(super) fn is_taken_elsewhere(&mut self, id: &str) {
        let at = self.position(id);
        self.take_elsewhere(at, self.now);
    }

    /// The marketplace cancels the order now, whatever its state.
    pub(super) fn is_cancelled_elsewhere(&mut self, id: &str) {
        let at = self.position(id);
        self.orders[at].history.push(Change { state: OrderState::Cancelled, at: self.now, by: By::SomebodyElse });
    }

    /// A write on an order, or a wish for a token, is being worked on until the returned value is dropped.
    pub(super) fn enter(&mut self, at: Option<usize>, operation: Operation) -> Working<Option<usize>, Operation> {
        let (working, running) = self.in_flight.enter(at, operation);
        match (at, running) {
            (Some(at), Some(running)) => {
                self.violate(Violation::SideBySide { order: self.orders[at].id.clone(), operation, running });
            }
            (None, Some(_)) => self.violate(Violation::TokensSideBySide),
            (_, None) => {}
        }
        working
    }

    pub(super) fn acknowledgement_comes(&mut self, id: &str) {
        if let Some(at) = self.appeared(id) {
            self.orders[at].unanswered += 1;
        }
    }

    pub(super) fn acknowledgement_is_answered(&mut self, at: usize) {
        self.orders[at].unanswered -= 1;
    }

    /// Counts a well-formed request about an order.
    pub(super) fn count(&mut self, at: usize, operation: Operation) {
        *self.orders[at].calls.entry(operation).or_default() += 1;
    }

    /// The orders a listing of `NEW` shows now, of whichever marketplace.
    pub(super) fn new_orders(&self) -> Vec<usize> {
        (0..self.orders.len())
            .filter(|at| {
                let order = &self.orders[*at];
                self.has_appeared(*at) && (order.state() == OrderState::New || order.is_hidden)
            })
            .collect()
    }

    /// See [`GoDataFeedSim::hide_next`](super::GoDataFeedSim::hide_next).
    pub(super) fn hide_next(&mut self, script: impl IntoIterator<Item = bool>) {
        self.hidden.extend(script);
    }

    /// A listing was asked for at this time; the further pages of one are none of their own.
    pub(super) fn begins_listing(&mut self, asked_at: Duration) {
        self.n_listings += 1;
        let after = self.listed_at.replace(asked_at).map(|before| asked_at.saturating_sub(before));
        if let Some(after) = after.filter(|after| *after < self.rules.listing_interval) {
            self.violate(Violation::ListedTooOften { after });
        }
    }

    /// The client has seen these in a listing.
    pub(super) fn were_listed(&mut self, orders: &[usize]) {
        for at in orders {
            self.orders[*at].was_listed = true;
        }
    }

    pub(super) fn look_up(&mut self, at: usize) -> &Counterpart {
        if self.orders[at].calls(Operation::UpdateStatus) == 0 {
            self.violate(Violation::LookedUp { order: self.orders[at].id.clone() });
        }
        &self.orders[at]
    }

    pub(super) fn token_is_generated(&mut self) {
        self.n_tokens += 1;
        let after = self.token_generated_at.replace(self.now).map(|before| self.now.saturating_sub(before));
        if let Some(after) = after.filter(|after| *after < self.rules.token_interval) {
            self.violate(Violation::TokensTooOften { after });
        }
    }

    pub(super) fn dead_token_is_shown(&mut self) {
        self.n_dead_tokens_shown += 1;
    }

    pub(super) fn bucket_overflows(&mut self) {
        self.n_overflows += 1;
    }

    pub(super) fn write(&mut self, at: usize, content: Content) -> Result<Done, Refused> {
        self.judge_address(at, content.operation());
        let result = match &content {
            Content::Acknowledge { number } => self.acknowledge(at, number),
            Content::Ship(shipment) => self.ship(at, shipment),
            Content::Cancel => self.cancel(at),
        };
        if result == Ok(Done::Applied) {
            self.apply(at, &content);
            self.orders[at].is_hidden = self.hidden.pop_front().unwrap_or(false);
        }
        self.orders[at].writes.push(Write { at: self.now, content, result });
        result
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

    /// All orders, also those still to appear.
    pub fn orders(&self) -> &[Counterpart] {
        &self.orders
    }

    pub fn order(&self, id: &str) -> Option<&Counterpart> {
        self.by_id.get(id).map(|at| &self.orders[*at])
    }

    /// What stands for a Scoffable order: usually one, sometimes none or two.
    pub fn counterparts_of<'a>(&'a self, order_id: &'a str) -> impl Iterator<Item = &'a Counterpart> {
        self.orders.iter().filter(move |order| order.order_id.as_deref() == Some(order_id))
    }

    /// Every write of all orders in the order of their times, each with its order.
    pub fn writes(&self) -> Vec<(&Counterpart, &Write)> {
        let mut writes: Vec<_> =
            self.orders.iter().flat_map(|order| order.writes.iter().map(move |write| (order, write))).collect();
        writes.sort_by_key(|(_, write)| write.at);
        writes
    }

    /// How many writes on an order are being worked on.
    pub fn running(&self, id: &str) -> usize {
        self.by_id.get(id).map_or(0, |at| self.in_flight.count(&Some(*at)))
    }

    /// Listings of `NEW` whose answer was not tampered with; the pages of one count once.
    pub fn n_listings(&self) -> u64 {
        self.n_listings
    }

    /// Tokens given out by the authorization endpoint.
    pub fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    /// Requests that came with a token that had expired or was killed.
    pub fn n_dead_tokens_shown(&self) -> u64 {
        self.n_dead_tokens_shown
    }

    /// Requests the full bucket turned away; a scripted 429 is none.
    pub fn n_overflows(&self) -> u64 {
        self.n_overflows
    }

    /// Writes of all orders that found things as they wanted them already.
    pub fn n_repeats(&self) -> usize {
        let writes = self.orders.iter().flat_map(|order| &order.writes);
        writes.filter(|write| write.result == Ok(Done::Repeated)).count()
    }

    /// Where an order stands in the ledger; none while it has not appeared.
    pub(super) fn appeared(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied().filter(|at| self.has_appeared(*at))
    }

    fn has_appeared(&self, at: usize) -> bool {
        self.orders[at].appears_at() <= self.now
    }

    fn position(&self, id: &str) -> usize {
        *self.by_id.get(id).expect("only orders that were imported are named here")
    }

    fn take_elsewhere(&mut self, at: usize, taken_at: Duration) {
        let order = &mut self.orders[at];
        if order.state() == OrderState::New {
            order.destination_number = Some(SOMEBODY_ELSES_NUMBER.to_owned());
            order.history.push(Change { state: OrderState::Acknowledged, at: taken_at, by: By::SomebodyElse });
        }
    }

    /// Whether the client may write to this order at all, going by marketplace and number.
    fn judge_address(&mut self, at: usize, operation: Operation) {
        let order = &self.orders[at];
        let id = order.id.clone();
        if order.marketplace != self.rules.marketplace {
            self.violate(Violation::OtherChannel { order: id, operation });
            return;
        }
        let is_listed_twin = |other: &Counterpart| other.was_listed && order.has_twin(other);
        if order.state() == OrderState::New && self.orders.iter().any(is_listed_twin) {
            self.violate(Violation::Ambiguous { order: id, operation });
        }
    }

    fn acknowledge(&mut self, at: usize, number: &str) -> Result<Done, Refused> {
        let order = &self.orders[at];
        let (id, state, is_somebody_elses) = (order.id.clone(), order.state(), order.is_somebody_elses());
        let stored = order.destination_number.clone();
        if order.is_its_own_number(number) {
            self.violate(Violation::OwnNumber { order: id.clone(), number: number.to_owned() });
        }
        match state {
            OrderState::New => Ok(Done::Applied),
            OrderState::Acknowledged if is_somebody_elses => Err(Refused::Taken),
            OrderState::Acknowledged if stored.as_deref() == Some(number) => Ok(Done::Repeated),
            OrderState::Acknowledged => {
                let (first, second) = (stored.unwrap_or_default(), number.to_owned());
                self.violate(Violation::SecondNumber { order: id, first, second });
                Err(Refused::AnotherNumber)
            }
            OrderState::Shipped | OrderState::Cancelled => {
                if !is_somebody_elses {
                    self.violate(Violation::AcknowledgedAfter { order: id, state });
                }
                Err(if state == OrderState::Shipped { Refused::AlreadyShipped } else { Refused::AlreadyCancelled })
            }
        }
    }

    fn ship(&mut self, at: usize, shipment: &Shipment) -> Result<Done, Refused> {
        self.judge_shipment(at, shipment)?;
        let order = &self.orders[at];
        let id = order.id.clone();
        let (refused, violation) = match order.state() {
            OrderState::New => (Refused::NotAcknowledged, Some(Violation::ShippedBeforeAcknowledged { order: id })),
            OrderState::Acknowledged if order.is_somebody_elses() => {
                let violation = Violation::NotOurs { order: id, operation: Operation::UpdateStatus };
                (Refused::Taken, (!order.may_be_taken_for_its_own()).then_some(violation))
            }
            OrderState::Acknowledged => return Ok(Done::Applied),
            OrderState::Shipped if order.shipment.as_ref() == Some(shipment) => return Ok(Done::Repeated),
            OrderState::Shipped => (Refused::AlreadyShipped, Some(Violation::ShipmentChanged { order: id })),
            OrderState::Cancelled if order.is_somebody_elses() => (Refused::AlreadyCancelled, None),
            OrderState::Cancelled => (Refused::AlreadyCancelled, Some(Violation::ShippedAfterCancelled { order: id })),
        };
        if let Some(violation) = violation {
            self.violate(violation);
        }
        Err(refused)
    }

    fn judge_shipment(&mut self, at: usize, shipment: &Shipment) -> Result<(), Refused> {
        let (order, now) = (&self.orders[at], self.wall);
        let (id, purchased_at) = (order.id.clone(), order.purchased_at);
        let ShipDate { text, at: ship_date, has_time } = shipment.ship_date.clone();
        let invented = shipment.tracking_number.clone().filter(|tracking| !order.is_its_own_number(tracking));
        let is_in_future = ship_date > now + SKEW;
        if let Some(tracking_number) = invented {
            self.violate(Violation::InventedTracking { order: id.clone(), tracking_number });
        }
        if !has_time {
            self.violate(Violation::ShipDateWithoutTime { order: id.clone(), ship_date: text });
        }
        if ship_date <= purchased_at {
            self.violate(Violation::ShipDateNotAfterPurchase { order: id.clone(), ship_date, purchased_at });
        }
        if is_in_future {
            self.violate(Violation::ShipDateInFuture { order: id, ship_date, now });
        }
        if ship_date < purchased_at {
            return Err(Refused::ShipDateBeforePurchase);
        }
        if is_in_future {
            return Err(Refused::ShipDateInFuture);
        }
        if self.rules.tracking_is_required && shipment.tracking_number.is_none() {
            return Err(Refused::TrackingNumberMissing);
        }
        Ok(())
    }

    fn cancel(&mut self, at: usize) -> Result<Done, Refused> {
        let order = &self.orders[at];
        let id = order.id.clone();
        match order.state() {
            OrderState::Acknowledged if order.is_somebody_elses() => {
                if order.was_refused_as_taken() && !order.may_be_taken_for_its_own() {
                    self.violate(Violation::NotOurs { order: id, operation: Operation::UpdateStatus });
                }
                Err(Refused::Taken)
            }
            OrderState::New | OrderState::Acknowledged => Ok(Done::Applied),
            OrderState::Shipped => {
                self.violate(Violation::CancelledAfterShipped { order: id });
                Err(Refused::AlreadyShipped)
            }
            OrderState::Cancelled => Ok(Done::Repeated),
        }
    }

    fn apply(&mut self, at: usize, content: &Content) {
        let order = &mut self.orders[at];
        let state = match content {
            Content::Acknowledge { number } => {
                order.destination_number = Some(number.clone());
                OrderState::Acknowledged
            }
            Content::Ship(shipment) => {
                order.shipment = Some(shipment.clone());
                OrderState::Shipped
            }
            Content::Cancel => OrderState::Cancelled,
        };
        order.history.push(Change { state, at: self.now, by: By::Client });
    }
}
