//! `spoton`: submits orders to a restaurant's point of sale, and cancels them there.
//!
//! A submit makes a kitchen cook and has no key that would make a repeat harmless, so it is written down before it is
//! sent, and a lost answer is looked up in the sales report: by our reference, at whatever location it went to. Nothing
//! old is ever submitted, whatever `start` says. What was submitted cannot be changed; when the order changes, a person is
//! told, or the order is cancelled and submitted anew. The receipt says what stands, so that the next step follows from it
//! alone.
//!
//! A location is a lane: one that has withdrawn its consent holds up no other.
//!
//! Source: SpotOn developer documentation, Orders Overview. Its endpoint reference is not public: what is assumed about
//! the wire stands in [`wire`], [`client`] and [`config`] alone.

mod amounts;
pub mod client;
pub mod config;
mod customer;
mod look_up;
pub mod mapping;
pub mod plan;
mod tender;
#[cfg(test)]
mod testing;
pub mod vendors;
mod verify;
pub mod wire;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use self::{client::Client, config::SpotonSettings};
use super::{
    Answer, Doubt, LookedUp, Sink, Turns, View,
    oauth::{ClientAuth, ClientCredentials, TokenEndpoint, Tokens},
};
use crate::{
    clock::Clock,
    domain::{
        delivery::{Plan, Reason, Step},
        ids::SinkName,
        reconciliation::{Holding, Seen},
    },
};

/// Orders that one reading of a location's report is held against. Each reading begins at the oldest of them and goes on to
/// the newest order there is, so few are better than many.
const VERIFIED_AT_ONCE: usize = 5_000;

/// A token is renewed when this much of its life is left, or a fifth of it if that is less.
const RENEWAL_MARGIN: Duration = Duration::from_mins(5);

/// A restaurant group's point of sale.
#[derive(Debug)]
pub struct Spoton {
    client: Client,
    settings: SpotonSettings,
    timeout: Duration,
}

impl Spoton {
    pub fn build(
        name: &SinkName,
        settings: &SpotonSettings,
        timeout: Duration,
        http: reqwest::Client,
        clock: &Clock,
    ) -> Self {
        let client = client(name, settings, timeout, http, clock);
        Self { client, settings: settings.clone(), timeout }
    }
}

/// What asks SpotOn, also for a person's commands.
pub fn client(
    name: &SinkName,
    settings: &SpotonSettings,
    timeout: Duration,
    http: reqwest::Client,
    clock: &Clock,
) -> Client {
    let endpoint = TokenEndpoint {
        http: http.clone(),
        url: settings.token_url.clone(),
        client_id: settings.client_id.clone(),
        client_secret: settings.client_secret.clone(),
        // Source: SpotOn OAuth - Integration Guide.
        auth: ClientAuth::Basic,
        extra: Vec::new(),
        timeout,
    };
    let credentials = ClientCredentials { endpoint: Arc::new(endpoint), scopes: settings.scopes.clone() };
    Client {
        http,
        base_url: settings.base_url.clone(),
        paths: settings.paths.clone(),
        tokens: Tokens::new(name.clone(), credentials, RENEWAL_MARGIN, clock.clone()),
        timeout,
    }
}

impl Sink for Spoton {
    fn kind(&self) -> &'static str {
        "spoton"
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        plan::plan(&self.settings, view)
    }

    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(self.client.send(step, now))
    }

    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], now: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        let look_up = look_up::LookUp {
            client: &self.client,
            source_name: &self.settings.source_name,
            timeout: self.timeout,
            visible_after: self.settings.visible_after,
        };
        Box::pin(async move { look_up.all(doubts, now).await })
    }

    /// Without the merchant's consent to a second submit, not seeing an order never proves that there is none.
    fn visible_after(&self, _: &Step) -> Option<Duration> {
        self.settings.resubmit_when_absent.then_some(self.settings.visible_after)
    }

    fn verifies(&self) -> Option<usize> {
        Some(VERIFIED_AT_ONCE)
    }

    fn verify<'a>(&'a self, held: &'a [Holding], turns: &'a dyn Turns, now: DateTime<Utc>) -> BoxFuture<'a, Vec<Seen>> {
        Box::pin(verify::verify(&self.client, self.settings.visible_after, held, turns, now))
    }

    fn blocked_hint(&self, reason: Reason) -> &'static str {
        match reason {
            Reason::Unauthorized => {
                "SpotOn refuses the credentials: correct `client_id` and `client_secret`; a probe goes on by itself"
            }
            _ => {
                "SpotOn gives no access to this location: the merchant has to connect it again, or `scopes` lack what \
                 submits need; a probe goes on by itself"
            }
        }
    }
}
