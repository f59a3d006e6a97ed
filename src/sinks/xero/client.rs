//! What asks one organisation's Xero: sends steps, looks up what became of them, and reads what orders share.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::header::HeaderValue;

use super::{
    api::{Api, Asking},
    config::{Auth, ItemMode, XeroSettings},
    contacts::Finder,
    look_up,
    organisation::Facts,
    reading::{self, Shared},
    receipt::Held,
    send::Sender,
    verify,
};
use crate::{
    clock::Clock,
    domain::{
        delivery::{Outcome, Step},
        ids::SinkName,
        reconciliation::{Holding, Seen},
    },
    sinks::{
        Answer, BuildError, Calls, Doubt, GroupAnswer, LookedUp, Services, Turns,
        links::LinkStore,
        oauth::{ClientAuth, ClientCredentials, Rotating, TokenEndpoint, Tokens},
        products::Sold,
    },
};

/// A token is renewed when this much of its life is left. Source: the contract of this sink; Xero's tokens live half an hour.
const RENEWAL_MARGIN: Duration = Duration::from_mins(2);

#[derive(Debug)]
pub struct Client {
    name: SinkName,
    pub(super) settings: XeroSettings,
    timeout: Duration,
    pub(super) api: Api,
    shared: Shared,
    links: Arc<dyn LinkStore>,
    sold: Sold,
}

impl Client {
    pub fn build(
        name: &SinkName,
        settings: &XeroSettings,
        timeout: Duration,
        http: reqwest::Client,
        clock: &Clock,
        services: &Services,
    ) -> Result<Self, BuildError> {
        let endpoint = Arc::new(endpoint(settings, http.clone(), timeout));
        let tokens = match settings.auth {
            Auth::CustomConnection => {
                let source = ClientCredentials { endpoint, scopes: settings.scopes.names(settings.auth) };
                Tokens::new(name.clone(), source, RENEWAL_MARGIN, clock.clone())
            }
            Auth::Code => {
                let source = Rotating {
                    sink: name.clone(),
                    endpoint,
                    seed: settings.refresh_token.clone(),
                    store: Arc::clone(&services.credentials),
                    margin: RENEWAL_MARGIN,
                };
                Tokens::new(name.clone(), source, RENEWAL_MARGIN, clock.clone())
            }
        };
        let tenant_id = settings.tenant_id.as_ref().map(HeaderValue::try_from).transpose();
        Ok(Self {
            name: name.clone(),
            settings: settings.clone(),
            timeout,
            api: Api {
                http,
                base_url: settings.base_url.clone(),
                tokens,
                tenant_id: tenant_id.map_err(|_| BuildError::Header("xero-tenant-id".to_owned()))?,
                timeout,
            },
            shared: Shared::default(),
            links: Arc::clone(&services.links),
            sold: Sold::new(name, &services.links),
        })
    }

    /// What is known of the organisation; none: it has to be read first.
    pub fn facts(&self, now: DateTime<Utc>) -> Option<Arc<Facts>> {
        self.shared.facts.get(now)
    }

    /// It holds an order back. Whether it has to be read first, because it may have been mended there since.
    pub fn may_be_mended(&self, now: DateTime<Utc>) -> bool {
        self.shared.facts.hold_back(now)
    }

    /// Reads it, unless that was done a moment ago. Returns the calls that it took.
    pub async fn prepare(&self, now: DateTime<Utc>) -> Result<Calls, Answer> {
        self.shared.bring_up_to_date(&self.api, &self.settings, now).await
    }

    /// Reads everything that a configuration can name, also what this one does not.
    pub async fn everything(&self, now: DateTime<Utc>) -> Result<Facts, Answer> {
        reading::everything(&mut Asking::new(&self.api, now), &self.settings).await
    }

    /// Renews a refresh token that was left unused; what comes of it is told by whoever keeps it.
    pub async fn keep_alive(&self) {
        if self.settings.auth == Auth::Code {
            drop(self.api.tokens.bearer().await);
        }
    }

    pub async fn send(&self, step: &Step, now: DateTime<Utc>) -> Answer {
        let answer = self.sender().send(&mut Asking::new(&self.api, now), step).await;
        self.link_items(&answer).await;
        answer
    }

    pub async fn send_group(&self, steps: &[&Step], now: DateTime<Utc>) -> GroupAnswer {
        let answer = self.sender().send_group(&mut Asking::new(&self.api, now), steps).await;
        if let GroupAnswer::Each(answers) = &answer {
            for answer in answers {
                self.link_items(answer).await;
            }
        }
        answer
    }

    /// The items that a posted document's lines name are linked to what was sold, so that they are looked at now and then.
    /// Nothing that is posted depends on it.
    async fn link_items(&self, answer: &Answer) {
        if self.settings.items.mode == ItemMode::None {
            return;
        }
        let Outcome::Delivered(receipt) = &answer.outcome else { return };
        self.sold.link(Held::of(receipt.receipt.as_ref()).map(|held| held.named_items()).unwrap_or_default()).await;
    }

    pub async fn look_up(&self, doubts: &[Doubt<'_>], now: DateTime<Utc>) -> LookedUp {
        look_up::all(&mut Asking::new(&self.api, now), doubts, self.timeout).await
    }

    pub async fn verify(&self, held: &[Holding], turns: &dyn Turns, now: DateTime<Utc>) -> Vec<Seen> {
        verify::all(&mut Asking::new(&self.api, now), held, turns).await
    }

    fn sender(&self) -> Sender<'_> {
        let contacts = Finder {
            sink: &self.name,
            links: &*self.links,
            shared: &self.shared,
            settings: &self.settings.contacts,
            timeout: self.timeout,
        };
        Sender { shared: &self.shared, contacts }
    }
}

/// Where tokens come from, also for a person's first consent.
pub fn endpoint(settings: &XeroSettings, http: reqwest::Client, timeout: Duration) -> TokenEndpoint {
    TokenEndpoint {
        http,
        url: settings.token_url.clone(),
        client_id: settings.client_id.clone(),
        client_secret: settings.client_secret.clone(),
        // Source: Xero developer documentation, "Custom connections".
        auth: ClientAuth::Basic,
        extra: Vec::new(),
        timeout,
    }
}
