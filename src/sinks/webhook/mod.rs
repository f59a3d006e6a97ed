//! `webhook`: POSTs each order to an address of the operator's, signed; the way to attach any system in any language.
//!
//! One step per version, safe to repeat: its key is derived from source, order and version, its bytes from the stored
//! version and what was applied before, so a repeat after a lost answer is the same request.

pub mod client;
pub mod config;
pub mod plan;
pub mod sign;
pub mod wire;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use super::{Answer, Sink, View};
use crate::domain::delivery::{Plan, Step};

/// A webhook destination.
#[derive(Debug)]
pub struct Webhook {
    client: client::Client,
}

impl Webhook {
    pub fn new(client: client::Client) -> Self {
        Self { client }
    }
}

impl Sink for Webhook {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        plan::plan(view)
    }

    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(self.client.post(step, now))
    }
}
