//! `xero`: keeps a merchant's books: each order an invoice, or those of a day one ([`summary`]), paid as the customer paid, and
//! corrected when it changes, by further documents or by a [`journal`].
//!
//! What is wanted of an order ([`target`]) is held against what stands for it ([`receipt`]); the fewest documents make up
//! for the difference ([`correct`]), one step at a time ([`plan`]). All of that is pure and counts in minor units. A step is
//! a [`call::Call`], written down before it is sent, with the very JSON that goes out. A document's number follows from the
//! order, so a repeat is refused and looked up, never posted twice.
//!
//! Nothing is posted before the organisation is known ([`organisation`]). An order that its settings do not fit waits, and
//! a person is told once per cause.
//!
//! Source: XeroAPI/Xero-OpenAPI, xero_accounting.yaml 16.1.0; Xero developer documentation.

mod api;
mod body;
pub mod call;
mod catalogue;
pub mod client;
pub mod config;
mod contacts;
pub mod correct;
mod fit;
mod journal;
mod lines;
mod look_up;
pub mod organisation;
pub mod plan;
mod presumed;
mod reading;
pub mod receipt;
mod records;
mod refusal;
pub mod send;
mod settle;
mod summary;
pub mod target;
#[cfg(test)]
mod testing;
mod verify;
pub mod wire;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use self::{
    client::Client,
    config::{Mode, XeroSettings},
    plan::Books,
};
use super::{
    Answer, BuildError, Calls, Doubt, GroupAnswer, InSummary, LookedUp, Rehearsal, Services, Sink, Summaries, Summary,
    Turns, View, catalogue::Catalogue, links::ProductCopy,
};
use crate::{
    clock::Clock,
    domain::{
        delivery::{Plan, Reason, Step, WaitingFor},
        ids::SinkName,
        reconciliation::{Holding, Seen},
    },
};

/// Documents in one call. Assumed: Xero's own advice is up to 50.
const GROUP: usize = 25;

/// One organisation's books.
#[derive(Debug)]
pub struct Xero {
    client: Client,
    settings: XeroSettings,
}

impl Xero {
    pub fn build(
        name: &SinkName,
        settings: &XeroSettings,
        timeout: Duration,
        http: reqwest::Client,
        clock: &Clock,
        services: &Services,
    ) -> Result<Self, BuildError> {
        let client = Client::build(name, settings, timeout, http, clock, services)?;
        Ok(Self { client, settings: settings.clone() })
    }
}

impl Xero {
    /// Plans with what is known of the organisation, which is read first where that is not enough.
    fn planned(&self, now: DateTime<Utc>, plan: impl FnOnce(Books<'_>) -> Plan) -> Plan {
        let Some(facts) = self.client.facts(now) else { return Plan::Unread };
        let plan = plan(Books { settings: &self.settings, facts: &facts });
        let is_held = matches!(plan, Plan::Wait { waiting_for: WaitingFor::Configuration, .. });
        if is_held && self.client.may_be_mended(now) { Plan::Unread } else { plan }
    }
}

impl Summaries for Xero {
    fn gathers(&self) -> bool {
        self.settings.mode == Mode::DailySummary
    }

    fn plan_summary(&self, summary: &Summary<'_>) -> Plan {
        self.planned(summary.now, |books| plan::plan_summary(books, summary))
    }

    fn plan_part(&self, part: &InSummary<'_>) -> Plan {
        summary::plan_part(part)
    }
}

impl Sink for Xero {
    fn kind(&self) -> &'static str {
        "xero"
    }

    fn prepare(&self, now: DateTime<Utc>) -> BoxFuture<'_, Result<Calls, Answer>> {
        Box::pin(self.client.prepare(now))
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        self.planned(view.now, |books| plan::plan(books, view))
    }

    fn rehearsal<'a>(&'a self, products: &'a ProductCopy) -> Rehearsal<'a> {
        presumed::rehearsal(&self.settings, products)
    }

    /// Also in the other mode: what was closed before it was changed is posted so.
    fn summaries(&self) -> Option<&dyn Summaries> {
        Some(self)
    }

    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(self.client.send(step, now))
    }

    /// Of documents, journals and payments; every other step goes alone, which a group of one is.
    fn group_size(&self) -> usize {
        GROUP
    }

    /// Source: Xero developer documentation, OAuth 2.0 API limits: five calls in progress in an organisation.
    fn limits_calls_at_once(&self) -> bool {
        true
    }

    fn send_group<'a>(&'a self, steps: &'a [&'a Step], now: DateTime<Utc>) -> BoxFuture<'a, GroupAnswer> {
        Box::pin(self.client.send_group(steps, now))
    }

    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], now: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        Box::pin(self.client.look_up(doubts, now))
    }

    fn verifies(&self) -> Option<usize> {
        Some(records::IN_ONE_ADDRESS)
    }

    fn verify<'a>(&'a self, held: &'a [Holding], turns: &'a dyn Turns, now: DateTime<Utc>) -> BoxFuture<'a, Vec<Seen>> {
        Box::pin(self.client.verify(held, turns, now))
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(&self.client)
    }

    fn keep_alive(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.client.keep_alive())
    }

    fn blocked_hint(&self, reason: Reason) -> &'static str {
        match reason {
            Reason::Unauthorized => {
                "Xero refuses the credentials or the scopes asked for: correct `client_id`, `client_secret` and `scopes`, or \
                 permit access again (`xero connect` with auth = \"code\"); a probe goes on by itself"
            }
            _ => {
                "Xero gives the application no access to this: check `scopes`, `tenant_id` and the application's plan; \
                 `doctor` names what is missing; a probe goes on by itself"
            }
        }
    }

    /// Xero is asked by number, and answers from what it holds. Assumed: a document is seen as soon as it is made.
    fn visible_after(&self, _: &Step) -> Option<Duration> {
        Some(Duration::from_mins(1))
    }
}
