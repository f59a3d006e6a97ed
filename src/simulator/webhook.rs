//! A receiver of our webhooks that checks all it can and keeps a [`Ledger`].
//!
//! Source: Standard Webhooks specification 1.0.0, "Webhook Headers (sending metadata to consumers)" and "Signature
//! scheme": `webhook-signature` holds `v1,<base64>` entries, each an HMAC-SHA256 with the base64-decoded secret behind
//! `whsec_` over `{webhook-id}.{webhook-timestamp}.{body}`. The envelope is our own design, written down here a
//! second time on purpose: it shares no types with the sink.
//!
//! A request that fails a check is answered with an error and recorded as a violation. A repeated key with the same
//! body is answered as the first time and has no second effect. A handler that is dropped because its client left
//! before the effect has caused nothing.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{Method, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use sha2::Sha256;

use super::{
    conduct::Working,
    digest::{content_hash, short_hash},
    faults::{Answer, Chaos, Reply, Side},
    ledger::{self, Ledger, Mismatch, OrderName, Violation},
    shell::{Arrived, Destination, Incoming, Setup, Sim, Simulator},
    time::SimTime,
    world::World,
};
use crate::clock::Clock;

/// How far a signature's time may be from ours, in seconds.
const TOLERANCE_SECS: i64 = 5 * 60;

#[derive(Clone)]
pub struct WebhookOptions {
    pub listen: SocketAddr,
    /// The only path that is served.
    pub path: String,
    /// `whsec_` and base64.
    pub secret: String,
    /// Each answer takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    pub seed: u64,
    pub clock: Clock,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            path: "/hook".to_owned(),
            secret: format!("whsec_{}", STANDARD.encode("a secret for simulations only")),
            latency: Duration::ZERO,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookOptions").field("listen", &self.listen).field("path", &self.path).finish_non_exhaustive()
    }
}

/// A request that passed all checks, as it came.
#[derive(Clone)]
pub struct Received {
    pub order: OrderName,
    pub version: i64,
    pub kind: String,
    pub key: String,
    /// The `webhook-id` header.
    pub message_id: String,
    pub body: Bytes,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body holds personal data.
        write!(f, "Received({} version {} {})", self.order.order_id, self.version, self.kind)
    }
}

/// The secret is not `whsec_` and base64, or the address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum WebhookSimError {
    #[error("the webhook secret is not `whsec_` followed by base64")]
    Secret,
    #[error("the webhook receiver cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
}

/// The running receiver.
pub type WebhookSim = Sim<Webhook>;

/// What is particular to it.
pub struct Webhook {
    options: WebhookOptions,
    secret: Vec<u8>,
    time: SimTime,
    ledger: Mutex<Ledger>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("options", &self.options).finish_non_exhaustive()
    }
}

impl WebhookSim {
    pub async fn start(options: WebhookOptions) -> Result<Self, WebhookSimError> {
        let encoded = options.secret.strip_prefix("whsec_").ok_or(WebhookSimError::Secret)?;
        let secret = STANDARD.decode(encoded).map_err(|_| WebhookSimError::Secret)?;
        let time = SimTime::start(options.clock.clone());
        let listen = options.listen;
        let setup = Setup {
            listen,
            side: Side::Destination,
            latency: options.latency,
            chaos: options.chaos,
            seed: options.seed,
            time: time.clone(),
            beside: Router::new(),
        };
        let webhook = Webhook { secret, time, ledger: Mutex::default(), options };
        Self::serve(webhook, setup).await.map_err(|error| WebhookSimError::Listen(listen, error))
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.ledger().violations().to_vec()
    }

    /// See [`Ledger::compare`].
    pub fn compare(&self, source: &str, world: &World) -> Vec<Mismatch> {
        self.ledger().compare(source, world)
    }
}

/// What is sent to us. Nothing else may stand beside it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    source: String,
    order_id: String,
    version: i64,
    // Present, but possibly null.
    #[serde(borrow)]
    previous_applied_version: &'a RawValue,
    #[serde(borrow)]
    order: &'a RawValue,
    #[serde(borrow)]
    raw: &'a RawValue,
    #[serde(borrow)]
    money: &'a RawValue,
}

/// As much of the raw order as has to agree with the envelope.
#[derive(Deserialize)]
struct RawOrder {
    id: Value,
    version: i64,
    status: String,
}

/// Why a request is refused.
struct Refusal {
    status: StatusCode,
    violation: Violation,
}

fn malformed<T>(status: StatusCode, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, violation: Violation::Malformed { reason: reason.into() } })
}

/// A request that passed all checks, and that its order is being worked on.
#[derive(Debug)]
pub struct Job {
    request: ledger::Request,
    _working: Working<OrderName, i64>,
}

impl Simulator for Webhook {
    type Operation = ();
    type Route = ();
    type Job = Job;
    type Received = Received;

    fn arrive(&self, incoming: &Incoming) -> Arrived<()> {
        let route = if incoming.path != self.options.path || incoming.has_query() {
            malformed(StatusCode::NOT_FOUND, "no such path")
        } else if incoming.method != Method::POST {
            malformed(StatusCode::METHOD_NOT_ALLOWED, "only POST is offered")
        } else {
            Ok(())
        };
        Arrived { scopes: Vec::new(), route: route.map_err(|refusal| self.refuse(refusal)) }
    }

    fn operation((): &()) {}

    fn key(&self, (): &(), incoming: &Incoming) -> String {
        header(incoming, "idempotency-key").unwrap_or_default().to_owned()
    }

    fn check(&self, (): (), incoming: &Incoming) -> Result<(Job, Received), Answer> {
        let (received, request) = self.read(incoming).map_err(|refusal| self.refuse(refusal))?;
        match self.ledger().enter(&request) {
            Some(working) => Ok((Job { request, _working: working }, received)),
            None => Err(Answer::error(StatusCode::CONFLICT, "the key was used with another body")),
        }
    }

    fn perform(&self, job: &mut Job, _reply: &Reply) -> Answer {
        let external_id = self.ledger().apply(&job.request);
        Answer::of(StatusCode::OK, &json!({ "external_id": external_id }))
    }

    fn state(&self) -> Value {
        let ledger = self.ledger();
        json!({
            "orders": ledger.orders().count(),
            "applied_versions": ledger.n_applied(),
            "repeats": ledger.repeats(),
            "statuses": ledger.statuses(),
            "n_violations": ledger.n_violations(),
            "violations": ledger.violations(),
        })
    }

    fn base_path(&self) -> String {
        self.options.path.clone()
    }
}

impl Destination for Webhook {
    type Ledger = Ledger;

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while the ledger is held")
    }
}

fn header<'a>(incoming: &'a Incoming, name: &str) -> Option<&'a str> {
    incoming.header(name).filter(|value| !value.is_empty())
}

impl Webhook {
    fn refuse(&self, Refusal { status, violation }: Refusal) -> Answer {
        let text = match &violation {
            Violation::Malformed { reason } => reason.clone(),
            Violation::StaleTimestamp => "the timestamp is too old or too new".to_owned(),
            _ => "the signature does not match".to_owned(),
        };
        self.ledger().violate(violation);
        Answer::error(status, &text)
    }

    fn read(&self, incoming: &Incoming) -> Result<(Received, ledger::Request), Refusal> {
        let message_id = self.verify_signature(incoming)?;
        let Some(key) = header(incoming, "idempotency-key") else {
            return malformed(StatusCode::BAD_REQUEST, "Idempotency-Key is missing");
        };
        if !incoming.is_json() {
            return malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type is not application/json");
        }
        let body = &incoming.body;
        let envelope: Envelope<'_> = match serde_json::from_slice(body) {
            Ok(envelope) => envelope,
            Err(error) => return malformed(StatusCode::UNPROCESSABLE_ENTITY, format!("envelope: {error}")),
        };
        let raw = envelope.check()?;
        let order = OrderName { source: envelope.source, order_id: envelope.order_id };
        let request = ledger::Request {
            order: order.clone(),
            version: envelope.version,
            status: raw.status,
            key: key.to_owned(),
            body_hash: short_hash(&[body]),
            content: content_hash(envelope.raw.get().as_bytes(), &["latestVersion"]),
        };
        let received = Received {
            order,
            version: envelope.version,
            kind: envelope.kind,
            key: key.to_owned(),
            message_id,
            body: body.clone(),
        };
        Ok((received, request))
    }

    /// Returns the message's id.
    fn verify_signature(&self, incoming: &Incoming) -> Result<String, Refusal> {
        let (Some(id), Some(timestamp), Some(signatures)) = (
            header(incoming, "webhook-id"),
            header(incoming, "webhook-timestamp"),
            header(incoming, "webhook-signature"),
        ) else {
            return malformed(StatusCode::BAD_REQUEST, "a webhook header is missing");
        };
        let Ok(sent_secs) = timestamp.parse::<i64>() else {
            return malformed(StatusCode::BAD_REQUEST, "webhook-timestamp is not a number of seconds");
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", &incoming.body] {
            mac.update(part);
        }
        let is_signed = signatures
            .split(' ')
            .filter_map(|entry| entry.strip_prefix("v1,"))
            .filter_map(|encoded| STANDARD.decode(encoded).ok())
            .any(|signature| mac.clone().verify_slice(&signature).is_ok());
        if !is_signed {
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, violation: Violation::BadSignature });
        }
        if (self.time.now().timestamp() - sent_secs).abs() > TOLERANCE_SECS {
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, violation: Violation::StaleTimestamp });
        }
        Ok(id.to_owned())
    }
}

impl Envelope<'_> {
    /// What must agree inside of the envelope. Returns the raw order's head.
    fn check(&self) -> Result<RawOrder, Refusal> {
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        if self.source.is_empty() || self.order_id.is_empty() {
            return malformed(unprocessable, "source or order_id is empty");
        }
        for (name, part) in [("order", self.order), ("raw", self.raw), ("money", self.money)] {
            if !part.get().starts_with('{') {
                return malformed(unprocessable, format!("{name} is not an object"));
            }
        }
        let previous: Option<i64> = match serde_json::from_str(self.previous_applied_version.get()) {
            Ok(previous) => previous,
            Err(_) => return malformed(unprocessable, "previous_applied_version is neither a number nor null"),
        };
        if previous.is_some_and(|previous| previous > self.version) {
            return malformed(unprocessable, "previous_applied_version is above version");
        }
        let Ok(raw) = serde_json::from_str::<RawOrder>(self.raw.get()) else {
            return malformed(unprocessable, "raw has no id, version and status");
        };
        let raw_id = match &raw.id {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if raw_id != self.order_id || raw.version != self.version {
            return malformed(unprocessable, "raw is another order or version than the envelope says");
        }
        if self.kind != format!("order.{}", raw.status) {
            return malformed(unprocessable, "type does not fit the status of raw");
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests;
