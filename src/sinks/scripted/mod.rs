//! `scripted`: the hardest destination we can think of, made up for the tests and compiled only with the feature
//! `failpoints`. No key makes its requests harmless to repeat, an order takes several of them, and what happened is seen
//! only later.
//!
//! Opening a ticket and paying are written down before they are sent and looked up by reference when the answer is
//! missing. Amending and voiding are safe to repeat. The receipt names what stands after each step, so that the next one
//! follows from it alone, in whatever process.

pub mod client;
pub mod config;
pub mod plan;
pub mod wire;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;

use super::{Answer, BuildError, Doubt, LookedUp, Sink, View};
use crate::domain::delivery::{Plan, Step};

/// A till.
#[derive(Debug)]
pub struct Scripted {
    client: client::Client,
    lag: Option<Duration>,
}

impl Scripted {
    pub fn build(
        settings: &config::ScriptedSettings,
        timeout: Duration,
        http: reqwest::Client,
    ) -> Result<Self, BuildError> {
        let bearer = format!("Bearer {}", settings.token.value().expose_secret());
        let mut token = HeaderValue::from_str(&bearer).map_err(|_| BuildError::Header("authorization".to_owned()))?;
        token.set_sensitive(true);
        let client = client::Client::new(http, settings.url.as_url().clone(), token, timeout);
        Ok(Self { client, lag: settings.lag })
    }
}

impl Sink for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        plan::plan(view)
    }

    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(self.client.send(step, now))
    }

    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], now: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        Box::pin(async move {
            let asked = doubts.iter().map(|doubt| self.client.look_up(doubt.step, now));
            LookedUp::of(futures::future::join_all(asked).await, doubts.len() as u32)
        })
    }

    fn visible_after(&self, _: &Step) -> Option<Duration> {
        self.lag
    }
}
