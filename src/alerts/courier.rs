//! The loop that writes messages and brings them to their channels, and tells an outside watch that all is well.
//!
//! Correct with any number of processes: a message is written under the lock of a row, a send is claimed with a lease, and
//! a process that died is replaced after it. Nothing in memory is needed. A message may arrive twice (its id tells), never
//! not at all.

use std::{fmt, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Undelivered,
    email::{Email, TlsError},
    hook::{self, Hook},
};
use crate::{
    clock::Clock,
    config::{AlertSettings, Settings},
    delivery::backoff,
    ops::health::{self, Limits},
    store::{
        StoreError,
        alert_messages::{self, Claimed, Message},
        housekeeping,
        line::Line,
        status,
    },
    telemetry::{chain, metrics::Metrics},
};

/// From one round to the next. With [`AlertSettings::gather`] an alert leaves within a minute.
const ROUND: Duration = Duration::from_secs(10);
/// A send takes no longer.
const SEND_LIMIT: Duration = Duration::from_secs(30);
/// How long a process may hold a message: longer than it sends.
const LEASE: Duration = Duration::from_mins(2);
/// Waits after failures: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_mins(30);
/// Name of the turn at telling the outside watch.
const PING: &str = "ping";
/// A tenth of each wait is chance.
const JITTER: f64 = 0.1;

/// A way to people.
#[derive(Debug)]
enum Channel {
    Email(Box<Email>),
    Hook(Box<Hook>),
}

impl Channel {
    /// As `alert_sends.channel` has it.
    fn name(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Hook(_) => "webhook",
        }
    }

    async fn send(&self, message: &Message) -> Result<(), Undelivered> {
        let send = async {
            match self {
                Self::Email(email) => email.send(message).await,
                Self::Hook(hook) => hook.send(message).await,
            }
        };
        tokio::time::timeout(SEND_LIMIT, send).await.unwrap_or_else(|_| Err(Undelivered::channel("timeout")))
    }
}

/// What a courier cannot be built without.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the HTTP client cannot be built")]
    Http(#[source] reqwest::Error),
}

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    pub written: u64,
    pub sent: u64,
    pub failed: u64,
    pub pinged: bool,
}

/// The loop.
pub struct Courier {
    pool: Line,
    clock: Clock,
    settings: AlertSettings,
    channels: Vec<Channel>,
    client: reqwest::Client,
    limits: Limits,
    metrics: std::sync::Arc<Metrics>,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("channels", &self.channels).finish_non_exhaustive()
    }
}

impl Courier {
    /// None: nobody is to be told anything.
    pub fn of(
        settings: &Settings,
        pool: &Line,
        clock: &Clock,
        metrics: &std::sync::Arc<Metrics>,
    ) -> Result<Option<Self>, CourierError> {
        let alerts = &settings.alerts;
        if alerts.email.is_none() && alerts.webhook.is_none() && alerts.ping_url.is_none() {
            return Ok(None);
        }
        let page = alerts.page_url.as_ref();
        let client = hook::client().map_err(CourierError::Http)?;
        let mut channels = Vec::new();
        if let Some(email) = &alerts.email {
            channels.push(Channel::Email(Box::new(Email::new(email, page)?)));
        }
        if let Some(webhook) = &alerts.webhook {
            channels.push(Channel::Hook(Box::new(Hook::new(client.clone(), webhook, page))));
        }
        Ok(Some(Self {
            pool: pool.clone(),
            clock: clock.clone(),
            settings: alerts.clone(),
            channels,
            client,
            limits: Limits::of(settings),
            metrics: std::sync::Arc::clone(metrics),
        }))
    }

    /// Runs until told to drain.
    pub async fn run(self, drain: CancellationToken) {
        loop {
            if let Err(error) = self.tick(&drain).await {
                warn!(error = chain(&error), backoff_ms = ROUND.as_millis() as u64, "alerts not told");
            }
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    /// Writes what is to be told, sends what is due, and pings if all is well. A channel that fails holds up no other.
    pub async fn tick(&self, drain: &CancellationToken) -> Result<Round, StoreError> {
        let mut round = Round { written: self.write().await?, ..Round::default() };
        let sends = self.channels.iter().map(|channel| self.send_due(channel, drain));
        for sent in futures::future::join_all(sends).await {
            let (sent, failed) = sent?;
            round.sent += sent;
            round.failed += failed;
        }
        round.pinged = self.ping().await?;
        Ok(round)
    }

    async fn write(&self) -> Result<u64, StoreError> {
        if self.channels.is_empty() {
            return Ok(0);
        }
        let (settings, offset_ms) = (&self.settings, self.clock.offset_ms());
        let mut ripe = alert_messages::ripe(&self.pool, settings.gather, settings.every, offset_ms).await?;
        ripe.retain(|ripe| !settings.quiet.holds(&ripe.cause, ripe.now));
        if ripe.is_empty() {
            return Ok(0);
        }
        let channels: Vec<&str> = self.channels.iter().map(Channel::name).collect();
        let composing = alert_messages::compose(&self.pool, &ripe, &channels, offset_ms);
        self.pool.bounded("alert_messages.compose", composing).await
    }

    /// How many were sent, and how many were not.
    async fn send_due(&self, channel: &Channel, drain: &CancellationToken) -> Result<(u64, u64), StoreError> {
        let (mut sent, mut failed) = (0, 0);
        while !drain.is_cancelled() {
            let claimed = alert_messages::claim(&self.pool, channel.name(), LEASE, self.clock.offset_ms()).await?;
            let Some(claimed) = claimed else { break };
            match self.send(channel, &claimed).await? {
                Ok(()) => sent += 1,
                Err(_) => failed += 1,
            }
        }
        Ok((sent, failed))
    }

    async fn send(&self, channel: &Channel, claimed: &Claimed) -> Result<Result<(), Undelivered>, StoreError> {
        let (name, message) = (channel.name(), &claimed.message);
        let answer = channel.send(message).await;
        let offset_ms = self.clock.offset_ms();
        match &answer {
            Ok(()) => {
                alert_messages::settle_sent(&self.pool, message.id, name, offset_ms).await?;
                info!(
                    alert.channel = name,
                    alert.cause = message.cause,
                    alert.subjects = message.subjects,
                    "alerts told"
                );
                self.metrics.alert_message(name, "sent");
            }
            Err(Undelivered { failed, code }) => {
                let attempt = claimed.attempt.unsigned_abs();
                let wait = backoff::exponential(FIRST_WAIT, LONGEST_WAIT, attempt, JITTER);
                alert_messages::settle_failed(&self.pool, claimed, name, *failed, code, wait, offset_ms).await?;
                warn!(
                    alert.channel = name,
                    alert.cause = message.cause,
                    reason = code,
                    backoff_ms = wait.as_millis() as u64,
                    "alerts not told"
                );
                self.metrics.alert_message(name, "failed");
            }
        }
        Ok(answer)
    }

    /// Whether the outside watch was told.
    async fn ping(&self) -> Result<bool, StoreError> {
        let (pool, offset_ms) = (&self.pool, self.clock.offset_ms());
        let Some(ping_url) = &self.settings.ping_url else { return Ok(false) };
        if !housekeeping::take(pool, PING, self.settings.ping_interval, offset_ms).await? {
            return Ok(false);
        }
        let health = health::judge(&status::overview(pool).await?, &self.limits);
        if let Some(reason) = health.stopping().next() {
            warn!(reason = %reason.cause, "watch not told: the service is not healthy");
            return Ok(false);
        }
        if let Some(waiting) = alert_messages::waiting(pool).await?.first() {
            warn!(alert.channel = waiting.channel, reason = waiting.last_error, "watch not told: alerts wait");
            return Ok(false);
        }
        match hook::ping(&self.client, ping_url.url()).await {
            Ok(()) => Ok(true),
            Err(code) => {
                warn!(reason = code, "watch not reached");
                Ok(false)
            }
        }
    }
}
