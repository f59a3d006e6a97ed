//! Refresh tokens of which every use returns a new one and ends the old one.
//!
//! Such a token is a single thing shared by every process on the database, and losing it costs a person a visit to a
//! browser. So it lives in a row behind [`CredentialStore`], and one turn at it goes like this:
//!
//! 1. *Take the turn*: a lease on the row, with the time noted at which a refresh began. The old token stays in the row.
//! 2. *Present* the old token, if the lease outlasts the request. No transaction is open meanwhile.
//! 3. *Keep* the new pair, and only then use the access token. What was learned is written until it is written.
//!
//! The access token stands in the row too, so that any number of processes share one refresh.
//!
//! An answer that was lost is asked for once more at once with the same token, because some servers allow it. If the
//! token turns out to be dead, a person is needed: the row says so, nothing is presented any more. A process that
//! dies in the middle leaves the old token and the time it began; the next one presents it once. An endpoint that is
//! merely down never ends a credential: it is asked again, with growing pauses that all processes share.
//!
//! Source: Xero developer documentation, "The standard authorization code flow"; Lightspeed Retail (X-Series) developer
//! documentation, changelog "Refresh token flow update": the old refresh token is revoked once a new one was issued.
//! Assumed: whether the old one may be used again when the answer was lost; both are handled.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Bearer, Fingerprint, Fresh, NoToken, THROTTLE_PAUSE, TokenSource,
    endpoint::{Fault, Granted, TokenEndpoint, hash_part},
};
use crate::{
    clock::BootInstant,
    config::secret::Secret,
    domain::{delivery::Reason, ids::SinkName},
};

/// A token is only presented under a lease that outlasts the request by this.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How often a process looks whether another one has finished its turn.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// First and longest pause after a refresh that was not answered.
const UNANSWERED_PAUSE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(15));

/// A refresh token that a person brought, by configuration or by command.
#[derive(Debug)]
pub struct Seed<'a> {
    pub sink: &'a SinkName,
    /// [`client_fingerprint`] of the application it was given to.
    pub client: &'a str,
    /// Of client and token. One that was planted before is never planted again: it is long dead.
    pub fingerprint: String,
    pub refresh_token: &'a SecretString,
}

/// What a process wants from the row.
#[derive(Debug)]
pub struct Ask<'a> {
    pub sink: &'a SinkName,
    pub client: &'a str,
    /// Answered with a 401.
    pub refused: Option<&'a Bearer>,
    /// See [`super::Tokens::new`].
    pub margin: Duration,
    pub lease: Duration,
}

/// What the row has to say.
#[derive(Debug)]
pub enum Standing {
    /// A token that is good for longer than the margin.
    Fresh(Fresh),
    /// The token is to be refreshed, and the turn is the asker's.
    Yours(Turn),
    /// Another process has its turn.
    Busy,
    /// Nobody presents the token for this long.
    Paused(Duration),
    NeedsAuthorisation,
    /// No refresh token of this application was ever brought.
    Absent,
}

/// The right to present a refresh token.
#[derive(Debug)]
pub struct Turn {
    pub sink: SinkName,
    pub lease_token: Uuid,
    pub refresh_token: SecretString,
    /// Since when the token has been presented without an answer that could be kept.
    pub interrupted: bool,
    /// How many turns at this token ended without an answer.
    pub unanswered: u32,
}

/// What a refresh returned.
#[derive(Debug)]
pub struct Pair {
    pub fresh: Fresh,
    pub refresh_token: SecretString,
}

/// In which state a turn that brought nothing leaves the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// As it was: certainly not used up.
    Untouched,
    /// Possibly used up.
    Unanswered,
}

/// Whether a write still concerned the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Yes,
    /// The row has another token, or another process's turn, by now.
    Overtaken,
}

/// The store could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the credential store failed")]
pub struct StoreFailed(#[source] pub Box<dyn std::error::Error + Send + Sync>);

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreFailed>>;

/// Where refresh tokens live: one row per sink, shared by all processes. Each function is atomic.
pub trait CredentialStore: std::fmt::Debug + Send + Sync + 'static {
    /// Makes a token that was never planted before the sink's own, whatever stood there.
    fn plant<'a>(&'a self, seed: &'a Seed<'a>) -> Answer<'a, Written>;

    /// Gives a good token, or the turn to get one to exactly one asker, noting that a refresh began.
    fn ask<'a>(&'a self, ask: &'a Ask<'a>) -> Answer<'a, Standing>;

    /// Replaces the token of this turn by what it returned, also when the turn has run out meanwhile: nobody can know
    /// better. Safe to repeat.
    fn keep<'a>(&'a self, turn: &'a Turn, pair: &'a Pair) -> Answer<'a, Written>;

    /// Ends a turn that brought nothing. Nobody takes one for the length of the pause.
    fn give_back<'a>(&'a self, turn: &'a Turn, left: Left, pause: Duration) -> Answer<'a, Written>;

    /// The token is dead: ends the turn, alerts a person, and lets nobody present it again.
    fn give_up<'a>(&'a self, turn: &'a Turn, why: &'a str) -> Answer<'a, Written>;
}

/// Names an application without holding its id.
pub fn client_fingerprint(client_id: &SecretString) -> String {
    let mut hasher = Sha256::new();
    hash_part(&mut hasher, client_id.expose_secret());
    hex::encode(&hasher.finalize()[..8])
}

/// Makes a refresh token that a person brought the sink's own, unless it ever was.
pub async fn plant(
    store: &dyn CredentialStore,
    sink: &SinkName,
    client: &str,
    refresh_token: &SecretString,
) -> Result<Written, NoToken> {
    let mut hasher = Sha256::new();
    hash_part(&mut hasher, client);
    hash_part(&mut hasher, refresh_token.expose_secret());
    let fingerprint = hex::encode(hasher.finalize());
    let seed = Seed { sink, client, fingerprint, refresh_token };
    let written = store.plant(&seed).await.map_err(|error| unavailable(&error))?;
    if written == Written::Yes {
        tracing::info!(sink.name = %sink, "refresh token planted");
    }
    Ok(written)
}

/// The grant of an application that a person has authorised.
#[derive(Debug)]
pub struct Rotating {
    pub sink: SinkName,
    pub endpoint: Arc<TokenEndpoint>,
    /// The refresh token a person brought; none when it comes by command.
    pub seed: Option<Secret>,
    pub store: Arc<dyn CredentialStore>,
    /// As given to [`super::Tokens::new`].
    pub margin: Duration,
}

impl TokenSource for Rotating {
    fn fetch<'a>(&'a self, refused: Option<&'a Bearer>) -> BoxFuture<'a, Result<Fresh, NoToken>> {
        Box::pin(self.fetch_shared(refused))
    }

    fn fingerprint(&self) -> Fingerprint {
        let seed = self.seed.as_ref().and_then(|seed| seed.read().ok());
        self.endpoint.fingerprint(&[seed.as_ref().map_or("", |seed| seed.expose_secret())])
    }
}

impl Rotating {
    async fn fetch_shared(&self, refused: Option<&Bearer>) -> Result<Fresh, NoToken> {
        const UNREADABLE: NoToken = NoToken::Refused { code: "secret_unreadable" };
        let client_id = self.endpoint.client_id.read().map_err(|_| UNREADABLE)?;
        let client = client_fingerprint(&client_id);
        if let Some(seed) = &self.seed {
            plant(&*self.store, &self.sink, &client, &seed.read().map_err(|_| UNREADABLE)?).await?;
        }

        let ask = Ask { sink: &self.sink, client: &client, refused, margin: self.margin, lease: self.lease() };
        let give_up_waiting = BootInstant::now() + self.lease();
        loop {
            // Before the claim: a process that is suspended after it must not believe in a lease that ran out.
            let deadline = BootInstant::now() + self.lease();
            match self.store.ask(&ask).await.map_err(|error| unavailable(&error))? {
                Standing::Fresh(fresh) => return Ok(fresh),
                Standing::Yours(turn) => {
                    if let Some(fresh) = self.refresh(&turn, deadline).await? {
                        return Ok(fresh);
                    }
                }
                Standing::Busy => tokio::time::sleep(LOOK_AGAIN).await,
                Standing::Paused(wait) => {
                    return Err(NoToken::Unavailable { reason: Reason::ServerError, not_before: Some(wait) });
                }
                Standing::NeedsAuthorisation | Standing::Absent => return Err(NoToken::NeedsAuthorisation),
            }
            if give_up_waiting.remaining().is_zero() {
                return Err(NoToken::Unavailable { reason: Reason::Timeout, not_before: None });
            }
        }
    }

    /// Long enough to present the token twice.
    fn lease(&self) -> Duration {
        2 * (self.endpoint.timeout + LEASE_MARGIN) + LEASE_MARGIN
    }

    /// None: overtaken by another process or a person; the row tells how it stands now.
    async fn refresh(&self, turn: &Turn, deadline: BootInstant) -> Result<Option<Fresh>, NoToken> {
        let mut left = Left::Untouched;
        loop {
            if deadline.remaining() < self.endpoint.timeout + LEASE_MARGIN {
                // Suspended on the way: the turn may be another's. What was presented stands noted in the row.
                return Ok(None);
            }
            let presented = BootInstant::now();
            let fields = [("grant_type", "refresh_token"), ("refresh_token", turn.refresh_token.expose_secret())];
            let fault = match self.endpoint.request(&fields).await {
                Ok(granted) => return Ok(self.keep(turn, granted, presented).await),
                Err(fault) => fault,
            };
            let lost_for_the_first_time = matches!(fault, Fault::Lost { .. }) && left == Left::Untouched;
            if matches!(fault, Fault::Lost { .. } | Fault::Failing { .. }) {
                left = Left::Unanswered;
            }
            if lost_for_the_first_time && !turn.interrupted {
                continue;
            }
            return self.end(turn, fault, left).await;
        }
    }

    async fn keep(&self, turn: &Turn, granted: Granted, presented: BootInstant) -> Option<Fresh> {
        // A server that does not rotate returns none: the old one stays good.
        let refresh_token = granted.refresh_token.unwrap_or_else(|| turn.refresh_token.clone());
        let left = granted.life.saturating_sub(presented.elapsed());
        let fresh = Fresh { bearer: granted.bearer, life: granted.life, left, scope: granted.scope };
        let pair = Pair { fresh, refresh_token };
        let written = self.until_written("new refresh token", || self.store.keep(turn, &pair)).await;
        (written == Written::Yes).then_some(pair.fresh)
    }

    async fn end(&self, turn: &Turn, fault: Fault, left: Left) -> Result<Option<Fresh>, NoToken> {
        if fault == Fault::DeadGrant {
            let why = match (left, turn.interrupted) {
                (Left::Untouched, false) => "the refresh token was refused: authorise the application again",
                _ => "the answer to a refresh was lost and the token is used up: authorise the application again",
            };
            let written = self.until_written("dead refresh token", || self.store.give_up(turn, why)).await;
            return match written {
                Written::Yes => Err(NoToken::NeedsAuthorisation),
                Written::Overtaken => Ok(None),
            };
        }
        let asked = match fault {
            Fault::Throttled { not_before } => not_before.unwrap_or(THROTTLE_PAUSE),
            Fault::Failing { not_before, .. } => not_before.unwrap_or_default(),
            // A changed secret is tried at once, also by another process.
            Fault::NotSent | Fault::Refused { .. } | Fault::Lost { .. } | Fault::DeadGrant => Duration::ZERO,
        };
        let pause = match left {
            Left::Untouched => asked,
            Left::Unanswered => asked.max(unanswered_pause(turn.unanswered)),
        };
        self.until_written("end of a turn", || self.store.give_back(turn, left, pause)).await;
        Err(match NoToken::from(fault) {
            NoToken::Unavailable { reason, .. } if !pause.is_zero() => {
                NoToken::Unavailable { reason, not_before: Some(pause) }
            }
            other => other,
        })
    }

    /// What is known of a token that was presented is in nobody else's memory, so it is written until it is written,
    /// however long the database is away.
    async fn until_written<'a>(&self, what: &str, write: impl Fn() -> Answer<'a, Written>) -> Written {
        let mut pause = LOOK_AGAIN;
        loop {
            match write().await {
                Ok(written) => return written,
                Err(error) => {
                    let cause = error.0.as_ref();
                    tracing::warn!(sink.name = %self.sink, what, error = cause, "credential not written, trying again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LEASE_MARGIN);
        }
    }
}

fn unavailable(error: &StoreFailed) -> NoToken {
    tracing::warn!(error = error.0.as_ref(), "credential store could not be asked");
    NoToken::Unavailable { reason: Reason::ConnectFailed, not_before: None }
}

fn unanswered_pause(before: u32) -> Duration {
    let (first, longest) = UNANSWERED_PAUSE;
    first.saturating_mul(2u32.saturating_pow(before)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_unanswered_refreshes_grow_to_a_limit() {
        let secs: Vec<u64> = [0, 1, 2, 5, 6, 7, 1000].map(|n| unanswered_pause(n).as_secs()).to_vec();

        assert_eq!(secs, [15, 30, 60, 480, 900, 900, 900]);
    }

    #[test]
    fn an_application_is_told_from_another_without_its_id() {
        let first = client_fingerprint(&"app-1".into());

        assert_ne!(first, client_fingerprint(&"app-2".into()));
        assert!(!first.contains("app"));
    }
}
