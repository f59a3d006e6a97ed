//! What asks one account: sends steps, looks up what became of them, and reads what orders share.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;

use super::{
    api::{Api, Asking},
    config::UnleashedSettings,
    facts::Facts,
    look_up,
    reading::{Copy, Shared},
    receipt::Held,
    send::Sender,
    signature::Signer,
    verify,
};
use crate::{
    domain::{
        delivery::{Outcome, Step},
        ids::SinkName,
        reconciliation::{Holding, Seen},
    },
    sinks::{Answer, BuildError, Calls, Doubt, LookedUp, Services, Turns, links::LinkStore, products::Sold},
};

const API_ID: &str = "api-auth-id";
const CLIENT_TYPE: &str = "client-type";

#[derive(Debug)]
pub struct Client {
    name: SinkName,
    pub(super) settings: UnleashedSettings,
    timeout: Duration,
    pub(super) api: Api,
    shared: Shared,
    links: Arc<dyn LinkStore>,
    sold: Sold,
}

impl Client {
    pub fn build(
        name: &SinkName,
        settings: &UnleashedSettings,
        timeout: Duration,
        http: reqwest::Client,
        services: &Services,
    ) -> Result<Self, BuildError> {
        let mut api_id = HeaderValue::try_from(settings.api_id.value().expose_secret())
            .map_err(|_| BuildError::Header(API_ID.to_owned()))?;
        api_id.set_sensitive(true);
        let client_type = HeaderValue::try_from(settings.client_type.as_str())
            .map_err(|_| BuildError::Header(CLIENT_TYPE.to_owned()))?;
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static(API_ID), api_id),
            (HeaderName::from_static(CLIENT_TYPE), client_type),
        ]);
        Ok(Self {
            name: name.clone(),
            settings: settings.clone(),
            timeout,
            api: Api {
                http,
                base_url: settings.base_url.clone(),
                headers,
                signer: Signer::new(settings.api_key.value().clone()),
                timeout,
                quota_probe: settings.quota_probe,
                longest_pause: settings.longest_pause,
                refused: AtomicU32::new(0),
            },
            shared: Shared::default(),
            links: Arc::clone(&services.links),
            sold: Sold::new(name, &services.links),
        })
    }

    /// What is known of the account; none: it has to be read first.
    pub fn facts(&self, now: DateTime<Utc>) -> Option<Arc<Facts>> {
        self.shared.facts.get(now)
    }

    /// It holds an order back. Whether it has to be read first, because it may have been mended there since.
    pub fn may_be_mended(&self, now: DateTime<Utc>) -> bool {
        self.shared.facts.hold_back(now)
    }

    /// Reads it, unless that was done a moment ago. Returns the calls that it took.
    pub async fn prepare(&self, now: DateTime<Utc>) -> Result<Calls, Answer> {
        let copy = Copy { links: &*self.links, sink: &self.name };
        self.shared.bring_up_to_date(&self.api, &self.settings, copy, now).await
    }

    pub async fn send(&self, step: &Step, now: DateTime<Utc>) -> Answer {
        let sender = Sender {
            sink: &self.name,
            links: &*self.links,
            shared: &self.shared,
            settings: &self.settings,
            timeout: self.timeout,
        };
        let answer = sender.send(&mut Asking::new(&self.api, now), step).await;
        if let Outcome::Delivered(receipt) = &answer.outcome
            && let Ok(held) = Held::of(receipt.receipt.as_ref())
        {
            self.sold.link(held.named_products(&self.settings.products.item.code)).await;
        }
        answer
    }

    pub async fn look_up(&self, doubts: &[Doubt<'_>], now: DateTime<Utc>) -> LookedUp {
        let mut asking = Asking::new(&self.api, now);
        let findings = look_up::all(&mut asking, doubts, self.timeout).await;
        LookedUp::of(findings, asking.calls())
    }

    pub async fn verify(&self, held: &[Holding], turns: &dyn Turns, now: DateTime<Utc>) -> Vec<Seen> {
        verify::all(&mut Asking::new(&self.api, now), held, turns).await
    }
}
