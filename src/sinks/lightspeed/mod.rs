//! `lightspeed`: rings up each order in a shop of Lightspeed Retail (X-Series), as one closed sale on a vendor's register, and
//! corrects it when the order changes.
//!
//! What is wanted of an order ([`target`]) is held against what stands for it ([`receipt`]); the fewest sales and returns make
//! up for the difference ([`correct`]), one step at a time ([`plan`]). All of that is pure and counts in minor units. A step is
//! a [`call::Call`], written down before it is sent. A sale's id follows from the order: it is looked for before it is made,
//! and after every lost answer, and is never posted twice.
//!
//! Nothing is posted before the shop is known ([`facts`]). An order that its settings do not fit waits, and a person is told
//! once per cause. Two dialects of the API are spoken ([`wire`]); nothing else here tells them apart.
//!
//! Source: Lightspeed X-Series API 2.0; "2026-07 Sales API"; x-series-api.lightspeedhq.com, documentation.

pub mod amounts;
pub mod api;
pub mod call;
mod catalogue;
pub mod client;
pub mod config;
pub mod correct;
mod customers;
pub mod facts;
mod look_up;
pub mod plan;
mod presumed;
mod products;
mod reading;
pub mod receipt;
pub mod send;
pub mod target;
#[cfg(test)]
mod testing;
mod verify;
pub mod wire;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use self::{client::Client, config::LightspeedSettings, plan::Shop};
use super::{
    Answer, Calls, Doubt, LookedUp, Rehearsal, Services, Sink, Turns, View, catalogue::Catalogue, links::ProductCopy,
};
use crate::{
    clock::Clock,
    domain::{
        delivery::{Plan, Reason, Step, WaitingFor},
        ids::SinkName,
        reconciliation::{Holding, Seen},
    },
};

/// Orders that are asked about in one go: each takes a request for each of its sales.
const VERIFIED_AT_ONCE: usize = 20;

/// One shop.
#[derive(Debug)]
pub struct Lightspeed {
    client: Client,
    settings: LightspeedSettings,
}

impl Lightspeed {
    pub fn build(
        name: &SinkName,
        settings: &LightspeedSettings,
        timeout: Duration,
        http: reqwest::Client,
        clock: &Clock,
        services: &Services,
    ) -> Self {
        Self { client: Client::build(name, settings, timeout, http, clock, services), settings: settings.clone() }
    }
}

impl Sink for Lightspeed {
    fn kind(&self) -> &'static str {
        "lightspeed"
    }

    fn prepare(&self, now: DateTime<Utc>) -> BoxFuture<'_, Result<Calls, Answer>> {
        Box::pin(self.client.prepare(now))
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        let Some(facts) = self.client.facts(view.now) else { return Plan::Unread };
        let plan = plan::plan(Shop { settings: &self.settings, facts: &facts }, view);
        let is_held = matches!(plan, Plan::Wait { waiting_for: WaitingFor::Configuration, .. });
        if is_held && self.client.may_be_mended(view.now) { Plan::Unread } else { plan }
    }

    fn rehearsal<'a>(&'a self, products: &'a ProductCopy) -> Rehearsal<'a> {
        presumed::rehearsal(&self.settings, products)
    }

    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(self.client.send(step, now))
    }

    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], now: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        Box::pin(self.client.look_up(doubts, now))
    }

    fn verifies(&self) -> Option<usize> {
        Some(VERIFIED_AT_ONCE)
    }

    fn verify<'a>(&'a self, held: &'a [Holding], turns: &'a dyn Turns, now: DateTime<Utc>) -> BoxFuture<'a, Vec<Seen>> {
        Box::pin(self.client.verify(held, turns, now))
    }

    fn keep_alive(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.client.keep_alive())
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(&self.client)
    }

    fn blocked_hint(&self, reason: Reason) -> &'static str {
        match reason {
            Reason::Unauthorized => {
                "the shop refuses the token: make a new personal one and set `token`, or authorise the application again and \
                 set `refresh_token`; a probe goes on by itself"
            }
            _ => {
                "the shop gives the token no access to this: check its scopes and the user's rights; `doctor` names what is \
                 missing; a probe goes on by itself"
            }
        }
    }

    /// Assumed: a sale is seen as soon as it is made. One that came later still would come under the same id, and changes
    /// nothing; a return would be another one.
    fn visible_after(&self, step: &Step) -> Option<Duration> {
        Some(if step.name == call::name::BEGIN_RETURN { Duration::from_mins(1) } else { Duration::ZERO })
    }
}
