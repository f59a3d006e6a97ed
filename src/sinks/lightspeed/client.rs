//! What asks one shop: sends steps, looks up what became of them, and reads what orders share.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};

use super::{
    api::{Api, Asking},
    config::{Access, Application, LightspeedSettings},
    facts::Facts,
    look_up,
    products::Finder,
    reading::Shared,
    send::Sender,
    verify,
};
use crate::{
    clock::Clock,
    config::secret::Secret,
    domain::{
        delivery::Step,
        ids::SinkName,
        reconciliation::{Holding, Seen},
    },
    sinks::{
        Answer, Calls, Doubt, LookedUp, Services, Turns,
        links::LinkStore,
        oauth::{Bearer, ClientAuth, Fingerprint, Fresh, NoToken, Rotating, TokenEndpoint, TokenSource, Tokens},
    },
};

/// A token is renewed when a tenth of a day is left. Source: Lightspeed, "Refresh token flow": an access token lives a day.
const RENEWAL_MARGIN: Duration = Duration::from_mins(144);
/// How long a personal token is used before it is read anew, where it stands in a file.
const PERSONAL_LIFE: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub struct Client {
    name: SinkName,
    pub(super) settings: LightspeedSettings,
    timeout: Duration,
    pub(super) api: Api,
    pub(super) shared: Shared,
    links: Arc<dyn LinkStore>,
    /// The shop has refused amounts that are text.
    amounts: AtomicBool,
}

/// A token that a person made.
#[derive(Debug)]
struct Personal(Secret);

impl TokenSource for Personal {
    fn fetch<'a>(&'a self, refused: Option<&'a Bearer>) -> BoxFuture<'a, Result<Fresh, NoToken>> {
        let token = self.0.read().ok().and_then(Bearer::new);
        let fetched = match token {
            None => Err(NoToken::Refused { code: "secret_unreadable" }),
            Some(bearer) if refused == Some(&bearer) => Err(NoToken::Refused { code: "personal_token_refused" }),
            Some(bearer) => Ok(Fresh { bearer, life: PERSONAL_LIFE, left: PERSONAL_LIFE, scope: None }),
        };
        Box::pin(std::future::ready(fetched))
    }

    fn fingerprint(&self) -> Fingerprint {
        let token = self.0.read().ok();
        Sha256::digest(token.as_ref().map_or("", |token| token.expose_secret())).into()
    }
}

impl Client {
    pub fn build(
        name: &SinkName,
        settings: &LightspeedSettings,
        timeout: Duration,
        http: reqwest::Client,
        clock: &Clock,
        services: &Services,
    ) -> Self {
        let tokens = match &settings.access {
            Access::Personal { token } => {
                Tokens::new(name.clone(), Personal(token.clone()), Duration::ZERO, clock.clone())
            }
            Access::Application(application) => {
                let source = Rotating {
                    sink: name.clone(),
                    endpoint: Arc::new(endpoint(application, http.clone(), timeout)),
                    seed: Some(application.refresh_token.clone()),
                    store: Arc::clone(&services.credentials),
                    margin: RENEWAL_MARGIN,
                };
                Tokens::new(name.clone(), source, RENEWAL_MARGIN, clock.clone())
            }
        };
        Self {
            name: name.clone(),
            settings: settings.clone(),
            timeout,
            api: Api {
                http,
                base_url: settings.base_url.clone(),
                dialect: settings.api,
                tokens,
                timeout,
                throttle_pause: settings.throttle_pause,
            },
            shared: Shared::default(),
            links: Arc::clone(&services.links),
            amounts: AtomicBool::new(false),
        }
    }

    /// What is known of the shop; none: it has to be read first.
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

    /// Renews a refresh token that was left unused; what comes of it is told by whoever keeps it.
    pub async fn keep_alive(&self) {
        if matches!(self.settings.access, Access::Application(_)) {
            drop(self.api.tokens.bearer().await);
        }
    }

    pub async fn send(&self, step: &Step, now: DateTime<Utc>) -> Answer {
        let finder = Finder {
            sink: &self.name,
            links: &*self.links,
            shared: &self.shared,
            settings: &self.settings,
            timeout: self.timeout,
        };
        Sender { finder, amounts: &self.amounts }.send(&mut Asking::new(&self.api, now), step).await
    }

    pub async fn look_up(&self, doubts: &[Doubt<'_>], now: DateTime<Utc>) -> LookedUp {
        let mut asking = Asking::new(&self.api, now);
        let findings = look_up::all(&mut asking, doubts).await;
        LookedUp::of(findings, asking.calls())
    }

    pub async fn verify(&self, held: &[Holding], turns: &dyn Turns, now: DateTime<Utc>) -> Vec<Seen> {
        verify::all(&self.api, held, turns, now).await
    }
}

/// Source: Lightspeed, "Authorization": id and secret stand in the form.
fn endpoint(application: &Application, http: reqwest::Client, timeout: Duration) -> TokenEndpoint {
    TokenEndpoint {
        http,
        url: application.token_url.clone(),
        client_id: application.client_id.clone(),
        client_secret: application.client_secret.clone(),
        auth: ClientAuth::Form,
        extra: Vec::new(),
        timeout,
    }
}
