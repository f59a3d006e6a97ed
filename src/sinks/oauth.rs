//! Access tokens for sinks: kept, renewed and replaced in one place.
//!
//! [`Tokens`] is what a client asks. Behind it stands a [`TokenSource`] that hands tokens out: [`ClientCredentials`],
//! [`Rotating`] refresh tokens, or a sink's own. The split keeps apart what is the same for all (one request at a time,
//! early renewal, no hammering, "401 → one new token and one repeat") and what a grant is.
//!
//! What holds:
//! - Within a process at most one token request of a sink runs at a time, and a caller that goes away does not take it
//!   along: for a rotating refresh token a request cut short may be the end of the credential.
//! - Only a 401 is repeated, and once: it says that nothing was done. A lost answer is reported, never repeated.
//! - Without a token nothing is sent, so every failure to get one leaves the step unsent ([`NoToken::outcome`]).
//! - No token or secret is ever part of an error, a log line or `Debug`.
//!
//! It does not decide about deliveries, and keeps nothing beyond the process; what several processes must agree on
//! stands behind [`CredentialStore`].

mod consent;
mod endpoint;
mod rotating;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use reqwest::{RequestBuilder, Response, StatusCode, header::HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

pub use self::{
    consent::{Code, Consent, FirstPair, NoConsent},
    endpoint::{ClientAuth, ClientCredentials, TokenEndpoint},
    rotating::{
        Ask, CredentialStore, Left, Pair, Rotating, Seed, Standing, StoreFailed, Turn, Written, client_fingerprint,
        plant,
    },
};
use super::http::failed;
use crate::{
    clock::Clock,
    domain::{
        delivery::{Outcome, Reason, Sent},
        ids::SinkName,
    },
    telemetry::traces::carried,
};

/// How long a refusal is believed before the same credentials are presented again.
pub const REFUSAL_PAUSE: Duration = Duration::from_mins(1);
/// How long after any other failure the endpoint is left alone; deliveries have waits of their own beyond that.
pub const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// How long after a 429 that names no time.
pub const THROTTLE_PAUSE: Duration = Duration::from_secs(30);

/// An access token. `Debug` does not show it.
#[derive(Clone)]
pub struct Bearer(SecretString);

impl Bearer {
    /// None for a text that no header can carry.
    pub fn new(text: impl Into<SecretString>) -> Option<Self> {
        let text = text.into();
        let visible = !text.expose_secret().is_empty() && text.expose_secret().bytes().all(|b| b.is_ascii_graphic());
        visible.then_some(Self(text))
    }

    /// Value of an `Authorization` header, marked as sensitive.
    pub fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.expose())).expect("checked in `new`");
        value.set_sensitive(true);
        value
    }

    /// For systems that want it elsewhere than in the usual header. Whoever puts it into a URL keeps that URL secret.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Bearer {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Bearer {}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer([redacted])")
    }
}

/// A token with its time.
#[derive(Debug, Clone)]
pub struct Fresh {
    pub bearer: Bearer,
    /// How long it lives in all.
    pub life: Duration,
    /// How much of that was left when it was asked for.
    pub left: Duration,
    /// What it is good for, where the endpoint said so. Not kept beyond the process.
    pub scope: Option<String>,
}

/// Why there is no token. Holds nothing of what was presented or answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// A person must change credentials or configuration.
    #[error("the token endpoint refuses our credentials ({code})")]
    Refused { code: &'static str },
    /// The refresh token is dead or was never given: a person must authorise the application anew.
    #[error("the application must be authorised again")]
    NeedsAuthorisation,
    #[error("the token endpoint asked us to slow down")]
    Throttled { not_before: Option<Duration> },
    /// Will pass.
    #[error("no token could be had ({reason})")]
    Unavailable { reason: Reason, not_before: Option<Duration> },
}

impl NoToken {
    /// What it means for the step that needed the token and was not sent.
    pub fn outcome(&self) -> Outcome {
        match *self {
            Self::Refused { .. } | Self::NeedsAuthorisation => Outcome::Blocked { reason: Reason::Unauthorized },
            Self::Throttled { not_before } => Outcome::Throttled { not_before },
            Self::Unavailable { reason, not_before } => Outcome::Retry { reason, sent: Sent::No, not_before },
        }
    }

    /// How long the same credentials are not presented again.
    fn pause(&self) -> Duration {
        match *self {
            Self::Refused { .. } | Self::NeedsAuthorisation => REFUSAL_PAUSE,
            Self::Throttled { not_before } => not_before.unwrap_or(THROTTLE_PAUSE),
            Self::Unavailable { not_before, .. } => not_before.unwrap_or_default().max(TROUBLE_PAUSE),
        }
    }

    /// The same, told again when only this much of the wait is left.
    fn told_again(&self, left: Duration) -> Self {
        match *self {
            Self::Throttled { .. } => Self::Throttled { not_before: Some(left) },
            Self::Unavailable { reason, not_before: Some(_) } => Self::Unavailable { reason, not_before: Some(left) },
            _ => self.clone(),
        }
    }
}

/// Tells credentials apart without holding them.
pub type Fingerprint = [u8; 32];

/// Who hands out access tokens. [`Tokens`] sees to it that one call runs at a time and that it is not cut short.
pub trait TokenSource: fmt::Debug + Send + Sync + 'static {
    /// A token to be used from now on, and never `refused`: that one was answered with a 401.
    fn fetch<'a>(&'a self, refused: Option<&'a Bearer>) -> BoxFuture<'a, Result<Fresh, NoToken>>;

    /// Of what would be presented now. When it changes, an earlier refusal no longer counts.
    fn fingerprint(&self) -> Fingerprint;
}

/// The access tokens of one sink. Clones share them.
#[derive(Debug, Clone)]
pub struct Tokens {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sink: SinkName,
    source: Box<dyn TokenSource>,
    margin: Duration,
    clock: Clock,
    state: Mutex<State>,
    /// Held during a token request.
    flight: tokio::sync::Mutex<()>,
}

/// All instants on [`Clock::elapsed`].
#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// As it was told last.
    scope: Option<String>,
    /// The last token that was answered with a 401.
    refused: Option<Bearer>,
    failed: Option<Failed>,
    /// Even a fresh token was answered with a 401: until then a 401 leads to no new one.
    distrusted_until: Option<Duration>,
}

#[derive(Debug)]
struct Held {
    bearer: Bearer,
    renew_at: Duration,
    expires_at: Duration,
}

#[derive(Debug)]
struct Failed {
    why: NoToken,
    until: Duration,
    fingerprint: Fingerprint,
}

/// What can be told without asking anybody.
enum Known {
    Good(Bearer),
    /// Still valid, but to be renewed.
    Aging(Bearer),
    Failed(NoToken),
    Nothing,
}

impl Tokens {
    /// `margin`: a token is renewed when this much of its life is left, or a fifth of it if that is less.
    pub fn new(sink: SinkName, source: impl TokenSource, margin: Duration, clock: Clock) -> Self {
        let shared = Shared {
            sink,
            source: Box::new(source),
            margin,
            clock,
            state: Mutex::default(),
            flight: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A token that is valid as far as is known. While it is renewed early, others go on with the old one; while it
    /// cannot be renewed, so does everybody, until it expires.
    pub async fn bearer(&self) -> Result<Bearer, NoToken> {
        match self.shared.known() {
            Known::Good(bearer) => return Ok(bearer),
            Known::Failed(why) => return Err(why),
            Known::Aging(bearer) if self.shared.flight.try_lock().is_err() => return Ok(bearer),
            Known::Aging(_) | Known::Nothing => {}
        }
        let shared = Arc::clone(&self.shared);
        // A task of its own: the dispatcher drops a send that takes too long, and a drain drops all of them.
        let renewal = tokio::spawn(async move { shared.renew().await });
        renewal.await.unwrap_or(Err(NoToken::Unavailable { reason: Reason::Panicked, not_before: None }))
    }

    /// A token was answered with a 401. Discards exactly that one: a late answer says nothing about a newer token.
    pub fn refused(&self, bearer: &Bearer) {
        let mut state = self.shared.state();
        if state.held.as_ref().is_some_and(|held| held.bearer == *bearer) {
            state.held = None;
            state.refused = Some(bearer.clone());
        }
    }

    /// What tokens of this application are good for, where the endpoint ever said so.
    pub fn scope(&self) -> Option<String> {
        self.shared.state().scope.clone()
    }

    /// Sends a request with a token; after a 401 gets one new token and repeats it once. Every other answer is
    /// returned as it is, also a 401 that stands: the common table blocks it.
    ///
    /// All of it ends `within` the sink's request timeout, and no request goes out with less than half of that left,
    /// so that waiting for a token never makes a doubt. `build` is called for each try and puts the token in its place.
    pub async fn send_authorised(
        &self,
        within: Duration,
        build: impl Fn(&Bearer) -> RequestBuilder,
    ) -> Result<Response, Outcome> {
        let ends = Instant::now() + within;
        let last_start = ends - within / 2;
        let send = async |bearer: &Bearer| {
            let left = ends.saturating_duration_since(Instant::now());
            carried(build(bearer).timeout(left)).send().await.map_err(|error| failed(&error.without_url()))
        };

        let bearer = self.bearer_by(last_start).await?;
        let response = send(&bearer).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            self.shared.state().distrusted_until = None;
            return Ok(response);
        }
        if self.shared.distrusts() {
            return Ok(response);
        }
        drop(response);
        self.refused(&bearer);

        let bearer = self.bearer_by(last_start).await?;
        let response = send(&bearer).await?;
        let distrusted = response.status() == StatusCode::UNAUTHORIZED;
        self.shared.state().distrusted_until = distrusted.then(|| self.shared.clock.elapsed() + REFUSAL_PAUSE);
        Ok(response)
    }

    async fn bearer_by(&self, last_start: Instant) -> Result<Bearer, Outcome> {
        let too_late = Outcome::Retry { reason: Reason::Timeout, sent: Sent::No, not_before: None };
        match tokio::time::timeout_at(last_start, self.bearer()).await {
            Ok(Ok(bearer)) => Ok(bearer),
            Ok(Err(why)) => Err(why.outcome()),
            Err(_) => Err(too_late),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn distrusts(&self) -> bool {
        self.state().distrusted_until.is_some_and(|until| self.clock.elapsed() < until)
    }

    fn known(&self) -> Known {
        let now = self.clock.elapsed();
        let state = self.state();
        let held = state.held.as_ref().filter(|held| now < held.expires_at);
        if let Some(held) = held.filter(|held| now < held.renew_at) {
            return Known::Good(held.bearer.clone());
        }
        let failed = state.failed.as_ref().filter(|f| now < f.until && f.fingerprint == self.source.fingerprint());
        match (held, failed) {
            (Some(held), Some(_)) => Known::Good(held.bearer.clone()),
            (Some(held), None) => Known::Aging(held.bearer.clone()),
            (None, Some(failed)) => Known::Failed(failed.why.told_again(failed.until.saturating_sub(now))),
            (None, None) => Known::Nothing,
        }
    }

    async fn renew(&self) -> Result<Bearer, NoToken> {
        let _flight = self.flight.lock().await;
        match self.known() {
            Known::Good(bearer) => return Ok(bearer),
            Known::Failed(why) => return Err(why),
            Known::Aging(_) | Known::Nothing => {}
        }
        let refused = self.state().refused.clone();
        let fingerprint = self.source.fingerprint();
        let asked = self.clock.elapsed();
        let fetched = self.source.fetch(refused.as_ref()).await;
        let mut state = self.state();
        match fetched {
            Ok(fresh) => {
                let expires_at = asked + fresh.left;
                let renew_at = expires_at.saturating_sub(self.margin.min(fresh.life / 5));
                state.held = Some(Held { bearer: fresh.bearer.clone(), renew_at, expires_at });
                state.scope = fresh.scope.or(state.scope.take());
                state.failed = None;
                Ok(fresh.bearer)
            }
            Err(why) => {
                let now = self.clock.elapsed();
                tracing::warn!(sink.name = %self.sink, error = %why, "token request failed");
                if matches!(why, NoToken::Refused { .. }) {
                    // Whoever has no other may hand out the same again after the pause: whether it is accepted by then, only
                    // an answer tells.
                    state.refused = None;
                }
                state.failed = Some(Failed { why: why.clone(), until: now + why.pause(), fingerprint });
                match state.held.as_ref().filter(|held| now < held.expires_at) {
                    Some(held) => Ok(held.bearer.clone()),
                    None => Err(why),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
