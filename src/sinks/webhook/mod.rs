//! `webhook`: POSTs each order to an address of the operator's, signed; the way to attach any system in any language.
//!
//! One step per version, safe to repeat: its key is derived from source, order and version, its bytes from the stored
//! version and what was applied before, so a repeat after a lost answer is the same request.

pub mod client;
pub mod config;
pub mod plan;
pub mod sign;
pub mod wire;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::{Answer, BuildError, Sink, View};
use crate::domain::delivery::{Plan, Step};

/// A webhook destination.
#[derive(Debug)]
pub struct Webhook {
    client: client::Client,
}

impl Webhook {
    pub fn build(
        settings: &config::WebhookSettings,
        timeout: Duration,
        http: reqwest::Client,
    ) -> Result<Self, BuildError> {
        let key = sign::SigningKey::of(settings.signing_secret.value()).map_err(BuildError::SigningSecret)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let invalid = || BuildError::Header(name.clone());
            let mut value = HeaderValue::from_str(value.value().expose_secret()).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?, value);
        }
        let url = settings.url.as_url().clone();
        Ok(Self { client: client::Client::new(http, url, key, headers, timeout) })
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
