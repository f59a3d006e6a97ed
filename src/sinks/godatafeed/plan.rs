//! What to do next for one order, from the receipt, the new orders and what the other sink holds. Pure.
//!
//! | Receipt | Accepted | Cancelled |
//! | --- | --- | --- |
//! | none, or `new` | `acknowledge`, once the other sink holds it | `cancel` after the grace, if it is new there |
//! | `acknowledged` | `ship`, once it is shipped | `cancel` after the grace |
//! | `shipped` | nothing | a person |
//! | `cancelled` | a person | nothing |
//!
//! One that was rejected or never accepted owes nothing, unless `cancel_rejected` or a person ([`CANCEL_ASKED`]) says that it
//! is to be cancelled there.
//!
//! What a later step rests on is noted in the receipt before it is used: which order it is there, under which number it is
//! acknowledged, when it was shipped. No step completes a version: what is owed after it is planned from its receipt.
//!
//! Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API". Assumed: what can follow what.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    config::GodatafeedSettings,
    listing::{Known, Listing},
    mapping::{self, Fulfilment, ShipDate, Shipped},
    wire,
};
use crate::{
    domain::{
        delivery::{About, Alert, CANCEL_ASKED, Plan, Receipt, Repeat, STANDS, SkipReason, State, Step, WaitingFor},
        order::Status,
    },
    sinks::{Told, View},
};

pub const ACKNOWLEDGE: &str = "acknowledge";
pub const SHIP: &str = "ship";
pub const CANCEL: &str = "cancel";
/// At the end of the key of an acknowledgement that may have been sent before.
const AGAIN: &str = ":again";

/// How long until something is looked at again that a newer version or the other sink will tell.
const TOLD_LATER: Duration = Duration::from_hours(6);
const LOOK_AT_THE_OTHER: Duration = Duration::from_mins(1);
/// No wait is shorter.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// No wait for a time of shipment is longer: a clock may be set right meanwhile.
const LONGEST_SHIP_WAIT: Duration = Duration::from_hours(1);

/// What is known of the order there, as the receipt keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// GoDataFeed's id: set when it was first seen, and never looked for again.
    pub gdf_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchased_at: Option<DateTime<Utc>>,
    pub reached: Reached,
    /// Under which it is acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Another that the order got in the other sink afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_number: Option<String>,
    /// As it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_date: Option<String>,
    /// Whether not all that was ordered was supplied when it was shipped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// A person wants it cancelled although it owes nothing. Its name is that of [`CANCEL_ASKED`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_asked: bool,
}

/// How far an order has come by our own steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    New,
    Acknowledged,
    Shipped,
    Cancelled,
}

impl Held {
    /// None where there is none; an error where it cannot be read.
    pub fn of(receipt: Option<&Value>) -> Result<Option<Self>, serde_json::Error> {
        match receipt.filter(|receipt| receipt.get("gdf_id").is_some()) {
            Some(receipt) => Self::deserialize(receipt).map(Some),
            None => Ok(None),
        }
    }

    pub fn receipt(&self) -> Value {
        let mut receipt = serde_json::to_value(self).expect("plain data");
        receipt[STANDS] = matches!(self.reached, Reached::Acknowledged | Reached::Shipped).into();
        receipt
    }

    fn known(&self) -> Receipt {
        Receipt { external_id: Some(self.gdf_id.clone()), receipt: Some(self.receipt()), ..Receipt::default() }
    }

    fn note(&self) -> Plan {
        Plan::Note(self.known())
    }
}

/// Whether no earlier acknowledgement of the order can have had an effect.
pub fn is_first(acknowledgement: &Step) -> bool {
    !acknowledgement.key.ends_with(AGAIN)
}

pub static TAKEN_ELSEWHERE: Told = Told {
    reason: "taken_elsewhere",
    hint: "it was new in GoDataFeed and is not any more, without our doing: somebody else took it over or cancelled it \
           there; settle it there, then discard this",
};

/// Whether a person wants it cancelled although it owes nothing.
fn is_cancel_asked(receipt: Option<&Value>) -> bool {
    receipt.and_then(|receipt| receipt.get(CANCEL_ASKED)?.as_bool()).unwrap_or(false)
}

/// Whether an order that is not accepted concerns us all the same.
pub fn has_a_say(status: &Status, receipt: Option<&Value>, cancel_rejected: bool) -> bool {
    let is_taken_over = || !matches!(Held::of(receipt), Ok(None | Some(Held { reached: Reached::New, .. })));
    let is_ours = || is_taken_over() || is_cancel_asked(receipt);
    match status {
        // An order that is new there is cancelled there, although we have sent nothing.
        Status::Cancelled => true,
        Status::Rejected => cancel_rejected || is_ours(),
        Status::Placed => is_ours(),
        Status::Accepted | Status::Other(_) => false,
    }
}

/// Plans what is next.
pub fn plan(settings: &GodatafeedSettings, known: &Known, view: &View<'_>) -> Plan {
    let Ok(held) = Held::of(view.receipt) else {
        return park("unreadable_receipt", "what was done there is not known: report it", false);
    };
    let is_declined = matches!(view.order.status, Status::Placed | Status::Rejected);
    let is_cancel_asked = is_cancel_asked(view.receipt);
    if is_cancel_asked && !is_declined {
        return forget_the_wish(view);
    }
    if held.is_none() && !is_cancel_asked && is_too_old(view) {
        return Plan::skip(SkipReason::Stale);
    }
    let planning = Planning { settings, known, view, is_cancel_asked };
    let plan = match (&view.order.status, held) {
        (Status::Accepted, held) => planning.bring(held),
        (Status::Cancelled, held) => planning.cancel(held),
        (Status::Placed | Status::Rejected, held) if is_cancel_asked => planning.cancel(held),
        (Status::Rejected, held) if settings.cancel_rejected && !held.as_ref().is_some_and(is_taken_over) => {
            planning.cancel(held)
        }
        (Status::Placed | Status::Rejected, Some(held)) if is_taken_over(&held) => planning.settled(&held),
        (Status::Placed | Status::Rejected, _) => Plan::skip(SkipReason::NeverAccepted),
        (Status::Other(_), _) => Plan::skip(SkipReason::UnknownStatus),
    };
    match plan {
        Plan::Send(step) if !settings.templates_confirmed => {
            Plan::Withhold { step, wait: settings.poll_interval, waiting_for: WaitingFor::Confirmation }
        }
        plan => plan,
    }
}

/// What a person asked for was meant for the order as it was then.
fn forget_the_wish(view: &View<'_>) -> Plan {
    let mut receipt = view.receipt.cloned().unwrap_or_default();
    if let Some(entries) = receipt.as_object_mut() {
        entries.remove(CANCEL_ASKED);
    }
    Plan::Note(Receipt { receipt: Some(receipt), ..Receipt::default() })
}

fn is_taken_over(held: &Held) -> bool {
    held.reached != Reached::New
}

/// Whether it was accepted before the sink was there. Shipping or cancelling old orders is not harmless.
fn is_too_old(view: &View<'_>) -> bool {
    let accepted = view.order.accepted_at.or(view.order.placed_at);
    view.since.begins_at.is_some_and(|begins_at| accepted.is_some_and(|at| at < begins_at))
}

/// An order that was looked for among the new ones.
enum Found {
    Order(Held),
    /// It is not there, or that is not known yet.
    Instead(Plan),
    Nowhere {
        next_in: Duration,
    },
}

struct Planning<'a> {
    settings: &'a GodatafeedSettings,
    known: &'a Known,
    view: &'a View<'a>,
    /// By a person, of an order that owes nothing. They have waited: there is no grace.
    is_cancel_asked: bool,
}

impl Planning<'_> {
    fn bring(&self, held: Option<Held>) -> Plan {
        match held {
            Some(held) => match held.reached {
                Reached::New => self.acknowledge(Some(held)),
                Reached::Acknowledged => self.ship(held),
                Reached::Shipped => self.settled(&held),
                Reached::Cancelled => park(
                    "cancelled_upstream",
                    "it is accepted again, but was cancelled in GoDataFeed, which nothing takes back: settle it in the \
                     marketplace, then discard this",
                    true,
                ),
            },
            None => self.acknowledge(None),
        }
    }

    fn acknowledge(&self, held: Option<Held>) -> Plan {
        let held = match self.find(held) {
            Found::Order(held) => held,
            Found::Instead(plan) => return plan,
            Found::Nowhere { next_in } => return self.wait_for_counterpart(next_in),
        };
        let is_possibly_acknowledged = self.view.progress.possibly_stands();
        let number = match &held.number {
            // Once it may have been told, no other number is.
            Some(number) if is_possibly_acknowledged => number.clone(),
            _ => match self.destination_number() {
                Some(number) => number.to_owned(),
                None => return self.wait_for_number(),
            },
        };
        let noted = Held { number: Some(number.clone()), ..held };
        if self.view.receipt != Some(&noted.receipt()) {
            return noted.note();
        }
        let body = wire::acknowledgement(&number, self.settings);
        let step = step(ACKNOWLEDGE, body, Repeat::Never, &Held { reached: Reached::Acknowledged, ..noted });
        let again = if is_possibly_acknowledged { AGAIN } else { "" };
        Plan::Send(Step { key: step.key + again, ..step })
    }

    /// Finds the order among the new ones.
    fn find(&self, held: Option<Held>) -> Found {
        let (listing, next_in) = match self.known {
            Known::Young { listing, next_in } => (listing, *next_in),
            Known::Failed { next_in } => {
                return Found::Instead(Plan::wait((*next_in).max(SHORTEST_WAIT), WaitingFor::Counterpart));
            }
            Known::Nothing => return Found::Instead(Plan::Unread),
        };
        let Some(held) = held else { return self.match_up(listing, next_in) };
        let held = Held { cancel_asked: self.is_cancel_asked, ..held };
        if listing.has(&held.gdf_id) {
            return Found::Order(held);
        }
        if listing.may_be_cut {
            return Found::Instead(Plan::wait(next_in.max(SHORTEST_WAIT), WaitingFor::Counterpart));
        }
        Found::Instead(park(TAKEN_ELSEWHERE.reason, TAKEN_ELSEWHERE.hint, true))
    }

    fn match_up(&self, listing: &Listing, next_in: Duration) -> Found {
        let number = mapping::marketplace_number(self.view.key.order.order_id.as_str(), self.settings);
        match listing.under(&number) {
            [] => Found::Nowhere { next_in: next_in.max(SHORTEST_WAIT) },
            [one] => Found::Order(Held {
                gdf_id: one.gdf_id.clone(),
                purchased_at: one.purchased_at,
                reached: Reached::New,
                number: None,
                changed_number: None,
                ship_date: None,
                partial: false,
                cancel_asked: self.is_cancel_asked,
            }),
            _ => Found::Instead(park(
                "ambiguous_counterpart",
                "GoDataFeed holds several new orders with this number: cancel all but one there, or set channel_name, \
                 then retry this",
                true,
            )),
        }
    }

    fn wait_for_counterpart(&self, next_in: Duration) -> Plan {
        match self.settings.counterpart_wait.checked_sub(self.view.since.owed).filter(|left| !left.is_zero()) {
            Some(left) => Plan::wait(next_in.min(left), WaitingFor::Counterpart),
            None => Plan::skip(SkipReason::NoCounterpart),
        }
    }

    /// The other sink's number, where it certainly holds the order.
    fn destination_number(&self) -> Option<&str> {
        let other = self.view.counterpart.filter(|other| match other.state {
            State::Pending | State::InFlight | State::Applied => true,
            State::InDoubt | State::Skipped | State::Parked => false,
        });
        mapping::destination_number(other, self.view.key.order.order_id.as_str(), self.settings)
    }

    fn wait_for_number(&self) -> Plan {
        if self.view.since.owed < self.settings.counterpart_wait {
            return Plan::wait(LOOK_AT_THE_OTHER, WaitingFor::Dependency);
        }
        park(
            "number_missing",
            "the sink named by `after` tells no number of its own for this order: settle it there, or adopt its id there, \
             then retry this",
            true,
        )
    }

    fn ship(&self, held: Held) -> Plan {
        if let Some(plan) = self.note_changed_number(&held) {
            return plan;
        }
        let order = self.view.order;
        match mapping::shipped(order, self.view.since, self.settings, self.view.now) {
            Shipped::Yes => {}
            Shipped::In(left) => return Plan::wait(left.max(SHORTEST_WAIT), WaitingFor::Shipment),
            Shipped::Told => return Plan::wait(TOLD_LATER, WaitingFor::Shipment),
        }
        let partial = match mapping::fulfilment(order) {
            Fulfilment::All => false,
            Fulfilment::Partial => true,
            Fulfilment::Nothing => {
                return park(
                    "nothing_fulfilled",
                    "nothing of it was supplied, so it is not shipped: settle it in GoDataFeed, then discard this",
                    true,
                );
            }
        };
        let Some(ship_date) = &held.ship_date else {
            let at = match mapping::ship_date(order, held.purchased_at, self.view.now) {
                ShipDate::At(at) => at,
                ShipDate::In(left) => {
                    return Plan::wait(left.clamp(SHORTEST_WAIT, LONGEST_SHIP_WAIT), WaitingFor::Shipment);
                }
            };
            return Held { ship_date: Some(self.settings.ship_time.write(at)), partial, ..held }.note();
        };
        let shipment = wire::Shipment {
            ship_date,
            tracking_number: mapping::tracking_number(self.view.key.order.order_id.as_str(), self.settings),
            carrier: mapping::carrier(order, self.settings),
        };
        let body = wire::shipment(shipment, self.settings);
        Plan::Send(step(SHIP, body, Repeat::Once, &Held { reached: Reached::Shipped, ..held }))
    }

    /// A second acknowledgement is never sent: what it would do is not documented.
    fn note_changed_number(&self, held: &Held) -> Option<Plan> {
        let number = self.destination_number()?;
        let is_known = held.number.as_deref() == Some(number) || held.changed_number.as_deref() == Some(number);
        if is_known || held.number.is_none() {
            return None;
        }
        let held = Held { changed_number: Some(number.to_owned()), ..held.clone() };
        Some(Plan::Note(Receipt {
            notice: Some(NUMBER_CHANGED.to_owned()),
            alert: Some(alert(NUMBER_CHANGED)),
            ..held.known()
        }))
    }

    fn cancel(&self, held: Option<Held>) -> Plan {
        let reached = held.as_ref().map_or(Reached::New, |held| held.reached);
        match (reached, held) {
            (Reached::Cancelled, Some(held)) => self.settled(&held),
            (Reached::Shipped, _) => park(
                "cancel_after_ship",
                "it was cancelled after it was shipped, which GoDataFeed is never told: settle it in the marketplace, then \
                 discard this",
                true,
            ),
            (_, held) => {
                let grace = if self.is_cancel_asked { Duration::ZERO } else { self.settings.cancel_grace };
                let left = grace.checked_sub(self.view.since.received);
                if let Some(left) = left.filter(|left| !left.is_zero()) {
                    return Plan::wait(left.max(SHORTEST_WAIT), WaitingFor::Grace);
                }
                match held {
                    Some(held) if reached == Reached::Acknowledged => self.cancel_acknowledged(held),
                    held => self.cancel_new(held),
                }
            }
        }
    }

    fn cancel_acknowledged(&self, held: Held) -> Plan {
        if self.view.counterpart.is_some_and(|other| other.state == State::InDoubt) {
            return Plan::wait(LOOK_AT_THE_OTHER, WaitingFor::Dependency);
        }
        self.send_cancel(held)
    }

    /// What the other sink does about it does not matter: here it was never taken over.
    fn cancel_new(&self, held: Option<Held>) -> Plan {
        match self.find(held) {
            Found::Order(held) if self.view.receipt != Some(&held.receipt()) => held.note(),
            Found::Order(held) => self.send_cancel(held),
            Found::Instead(plan) => plan,
            Found::Nowhere { next_in } if self.is_cancel_asked => self.wait_for_counterpart(next_in),
            Found::Nowhere { .. } => Plan::skip(SkipReason::CancelledBeforeSent),
        }
    }

    fn send_cancel(&self, held: Held) -> Plan {
        let body = wire::cancellation(self.settings);
        Plan::Send(step(CANCEL, body, Repeat::Once, &Held { reached: Reached::Cancelled, cancel_asked: false, ..held }))
    }

    /// GoDataFeed holds as much of this version as it ever can.
    fn settled(&self, held: &Held) -> Plan {
        let order = self.view.order;
        let changed = self.destination_number().filter(|number| held.number.as_deref().is_some_and(|n| n != *number));
        let changed_number = changed.map(str::to_owned).or(held.changed_number.clone());
        let held = Held { changed_number, cancel_asked: false, ..held.clone() };
        let stands = matches!(held.reached, Reached::Acknowledged | Reached::Shipped);
        let notice = match &order.status {
            Status::Placed | Status::Rejected if stands => Some(NO_LONGER_ACCEPTED),
            _ if held.reached == Reached::Shipped && order.returned_at.is_some() => Some(RETURNED),
            _ if held.changed_number.is_some() && stands => Some(NUMBER_CHANGED),
            _ => None,
        };
        Plan::Settled(Receipt { notice: notice.map(str::to_owned), alert: notice.map(alert), ..held.known() })
    }
}

const NUMBER_CHANGED: &str = "number_changed";
const RETURNED: &str = "returned";
const NO_LONGER_ACCEPTED: &str = "no_longer_accepted";

fn alert(cause: &'static str) -> Alert {
    let detail = match cause {
        NUMBER_CHANGED => {
            "it has another number in the other system than the marketplace was told; the marketplace keeps the old one"
        }
        RETURNED => "it came back after it was shipped, which GoDataFeed cannot be told: settle it in the marketplace",
        _ => "it is not accepted any more, but was taken over in GoDataFeed: what stands there was left alone",
    };
    Alert { cause, about: About::Order, detail: detail.to_owned() }
}

fn step(name: &str, body: String, repeat: Repeat, after: &Held) -> Step {
    Step {
        name: name.to_owned(),
        key: format!("{}:{name}", after.gdf_id),
        body,
        repeat,
        completes: false,
        receipt: Some(after.receipt()),
    }
}

fn park(reason: &'static str, hint: &str, curable: bool) -> Plan {
    Plan::Park { reason, hint: hint.to_owned(), curable }
}

#[cfg(test)]
pub(super) mod tests;
