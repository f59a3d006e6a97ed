//! `unleashed`: keeps a merchant's stock: each order a sales order, completed after a while, which takes its goods out of stock
//! and makes its invoice, and corrected when it changes.
//!
//! What is wanted of an order ([`target`]) is held against what stands for it ([`receipt`]); the next move makes up for some of
//! the difference ([`correct`]), one step at a time ([`plan`]). All of that is pure and counts in minor units. A step is a
//! [`call::Call`], written down before it is sent, with the very JSON that goes out. A document's GUID follows from the order,
//! so what became of a step is looked up, and nothing is posted twice.
//!
//! Nothing is posted before the account is known ([`facts`]). An order that its settings do not fit waits, and a person is told
//! once per cause. How often the account may be asked is a matter of its plan; a month that is used up closes the sink until it
//! is over, or until a probe finds it open again ([`api`]).
//!
//! Payments have no place there: they are a comment.
//!
//! Source: Unleashed API documentation and help centre, as the contract of this sink cites them.

pub mod amounts;
mod api;
mod body;
pub mod call;
mod catalogue;
pub mod client;
pub mod config;
pub mod correct;
mod customers;
pub mod facts;
mod guid;
mod look_up;
pub mod plan;
mod presumed;
mod reading;
pub mod receipt;
pub mod send;
pub mod signature;
mod spread;
pub mod target;
#[cfg(test)]
mod testing;
mod verify;
pub mod wire;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use self::{client::Client, config::UnleashedSettings, plan::Stock, receipt::Held};
use super::{
    Answer, BuildError, Calls, Doubt, LookedUp, Rehearsal, Services, Sink, Turns, View, catalogue::Catalogue,
    links::ProductCopy,
};
use crate::domain::{
    delivery::{Plan, Reason, Step, WaitingFor},
    ids::SinkName,
    reconciliation::{Holding, Seen},
};

/// Orders that are verified at a time, each by calls of its own.
const VERIFIED_TOGETHER: usize = 10;

/// One account.
#[derive(Debug)]
pub struct Unleashed {
    client: Client,
    settings: UnleashedSettings,
}

impl Unleashed {
    pub fn build(
        name: &SinkName,
        settings: &UnleashedSettings,
        timeout: Duration,
        http: reqwest::Client,
        services: &Services,
    ) -> Result<Self, BuildError> {
        Ok(Self { client: Client::build(name, settings, timeout, http, services)?, settings: settings.clone() })
    }
}

impl Sink for Unleashed {
    fn kind(&self) -> &'static str {
        "unleashed"
    }

    fn prepare(&self, now: DateTime<Utc>) -> BoxFuture<'_, Result<Calls, Answer>> {
        Box::pin(self.client.prepare(now))
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        let Some(facts) = self.client.facts(view.now) else { return Plan::Unread };
        let plan = plan::plan(Stock { settings: &self.settings, facts: &facts }, view);
        let is_held = matches!(plan, Plan::Wait { waiting_for: WaitingFor::Configuration, .. });
        if is_held && self.client.may_be_mended(view.now) { Plan::Unread } else { plan }
    }

    fn rehearsal<'a>(&'a self, products: &'a ProductCopy) -> Rehearsal<'a> {
        presumed::rehearsal(&self.settings, products)
    }

    fn tax_minor(&self, step: &Step) -> Option<i64> {
        let held = Held::of(step.receipt.as_ref()).ok()?;
        Some(held.documents.last()?.tax_minor(held.currency?))
    }

    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(self.client.send(step, now))
    }

    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], now: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        Box::pin(self.client.look_up(doubts, now))
    }

    fn verifies(&self) -> Option<usize> {
        Some(VERIFIED_TOGETHER)
    }

    fn verify<'a>(&'a self, held: &'a [Holding], turns: &'a dyn Turns, now: DateTime<Utc>) -> BoxFuture<'a, Vec<Seen>> {
        Box::pin(self.client.verify(held, turns, now))
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(&self.client)
    }

    fn blocked_hint(&self, reason: Reason) -> &'static str {
        match reason {
            Reason::Unauthorized | Reason::Forbidden => {
                "Unleashed refuses the account's credentials: correct `api_id`, `api_key` and `client_type`; if they are right, \
                 the month's calls may be used up; a probe goes on by itself"
            }
            _ => "Unleashed takes nothing from us: see the answer in the attempts; a probe goes on by itself",
        }
    }

    /// Assumed: a document is seen as soon as it is made. An order that came later still would come under the same GUID, and
    /// changes nothing; a credit note would be another one.
    fn visible_after(&self, step: &Step) -> Option<Duration> {
        Some(if step.name == call::name::CREDIT { Duration::from_mins(1) } else { Duration::ZERO })
    }
}
