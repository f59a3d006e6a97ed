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
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, Response, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use sha2::Sha256;

use super::{
    digest::{content_hash, short_hash},
    faults::{Chaos, Fault, Faults, Reach, Reply, Side, json_response, plainly},
    journal::{Arrival, Call, Journal, TimedOut},
    ledger::{self, Ledger, Mismatch, OrderName, Violation},
    scoffable::STATE_PATH,
    server::{Cut, Server},
    time::SimTime,
    world::World,
};
use crate::clock::Clock;

/// How far a signature's time may be from ours, in seconds.
const TOLERANCE_SECS: i64 = 5 * 60;
const MAX_BODY: usize = 16 * 1024 * 1024;
/// How many requests are kept with their bodies.
const KEPT_REQUESTS: usize = 10_000;

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
#[derive(Debug)]
pub struct WebhookSim {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    options: WebhookOptions,
    secret: Vec<u8>,
    time: SimTime,
    ledger: Mutex<Ledger>,
    received: Mutex<VecDeque<Received>>,
    faults: Faults,
    journal: Journal,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl WebhookSim {
    pub async fn start(options: WebhookOptions) -> Result<Self, WebhookSimError> {
        let encoded = options.secret.strip_prefix("whsec_").ok_or(WebhookSimError::Secret)?;
        let secret = STANDARD.decode(encoded).map_err(|_| WebhookSimError::Secret)?;
        let shared = Arc::new(Shared {
            secret,
            time: SimTime::start(options.clock.clone()),
            ledger: Mutex::default(),
            received: Mutex::default(),
            faults: Faults::new(Side::Destination, options.chaos, options.seed),
            journal: Journal::default(),
            options,
        });
        let router = Router::new().fallback(handle).with_state(shared.clone());
        let listen = shared.options.listen;
        let server = Server::start(listen, router).await.map_err(|error| WebhookSimError::Listen(listen, error))?;
        Ok(Self { server, shared })
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What a webhook sink is configured with.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address(), self.shared.options.path)
    }

    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// See [`Faults::answer_next`].
    pub fn answer_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.answer_next(faults);
    }

    /// Held only for a moment: requests wait meanwhile.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.ledger().violations().to_vec()
    }

    /// See [`Ledger::compare`].
    pub fn compare(&self, source: &str, world: &World) -> Vec<Mismatch> {
        self.ledger().compare(source, world)
    }

    /// Requests that passed all checks, oldest first, also those that were then answered with a fault.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received().iter().cloned().collect()
    }

    /// Waits for a condition on the ledger, which is looked at whenever a request begins or ends.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&Ledger) -> bool,
        deadline: Duration,
    ) -> Result<(), TimedOut> {
        self.shared.journal.wait_until(|_| condition(&self.shared.ledger()), deadline).await
    }

    pub fn state(&self) -> Value {
        self.shared.state()
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

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == STATE_PATH && parts.method == Method::GET {
        return json_response(StatusCode::OK, shared.state().to_string().into());
    }
    let call = shared.journal.begin(Arrival {
        at: shared.time.elapsed(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        scopes: Vec::new(),
    });
    if parts.uri.path() != shared.options.path || parts.uri.query().is_some() {
        return shared.refuse(call, Refusal::plain(StatusCode::NOT_FOUND, "no such path"));
    }
    if parts.method != Method::POST {
        return shared.refuse(call, Refusal::plain(StatusCode::METHOD_NOT_ALLOWED, "only POST is offered"));
    }

    let fault = shared.faults.next(header(&parts.headers, "idempotency-key").unwrap_or_default());
    if let Some(fault) = &fault {
        call.plays(fault.name());
    }
    let fault = fault.unwrap_or_else(plainly);
    if fault.refuses_to_read() {
        return fault.disguise(StatusCode::OK, Bytes::new(), &cut);
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        // The client left in the middle, which is its right; or it sends more than anybody should.
        return json_response(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new());
    };
    let received = match shared.check(&parts.headers, &body) {
        Ok(received) => received,
        Err(refusal) => return shared.refuse(call, refusal),
    };
    let entered = shared.ledger().enter(&received.1);
    let Some(running) = entered else {
        call.answers(409);
        return json_response(StatusCode::CONFLICT, error_body("the key was used with another body"));
    };
    shared.keep(received.0);

    fault.wait_before().await;
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    let body = match fault.reach() {
        Reach::Nothing => Bytes::new(),
        Reach::Effect => {
            let external_id = shared.ledger().apply(&received.1);
            json!({ "external_id": external_id }).to_string().into()
        }
    };
    fault.wait_after().await;
    // The order is free again before the client can have seen the answer.
    drop(running);
    let response = fault.disguise(StatusCode::OK, body, &cut);
    if !matches!(fault.reply(), Reply::Cut) {
        call.answers(response.status().as_u16());
    }
    response
}

impl Refusal {
    fn plain(status: StatusCode, reason: &str) -> Self {
        Self { status, violation: Violation::Malformed { reason: reason.to_owned() } }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
}

fn error_body(text: &str) -> Bytes {
    json!({ "error": text }).to_string().into()
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while the ledger is held")
    }

    fn received(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.received.lock().expect("nothing panics while the requests are held")
    }

    fn refuse(&self, call: Call, refusal: Refusal) -> Response<Body> {
        let text = match &refusal.violation {
            Violation::Malformed { reason } => reason.clone(),
            Violation::StaleTimestamp => "the timestamp is too old or too new".to_owned(),
            _ => "the signature does not match".to_owned(),
        };
        self.ledger().violate(refusal.violation);
        call.answers(refusal.status.as_u16());
        json_response(refusal.status, error_body(&text))
    }

    fn keep(&self, received: Received) {
        let mut all = self.received();
        if all.len() == KEPT_REQUESTS {
            all.pop_front();
        }
        all.push_back(received);
    }

    fn check(&self, headers: &HeaderMap, body: &Bytes) -> Result<(Received, ledger::Request), Refusal> {
        let message_id = self.verify_signature(headers, body)?;
        let Some(key) = header(headers, "idempotency-key") else {
            return malformed(StatusCode::BAD_REQUEST, "Idempotency-Key is missing");
        };
        let media_type = header(headers, "content-type").unwrap_or_default();
        if media_type.split(';').next().map(str::trim) != Some("application/json") {
            return malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type is not application/json");
        }
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
    fn verify_signature(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, Refusal> {
        let (Some(id), Some(timestamp), Some(signatures)) =
            (header(headers, "webhook-id"), header(headers, "webhook-timestamp"), header(headers, "webhook-signature"))
        else {
            return malformed(StatusCode::BAD_REQUEST, "a webhook header is missing");
        };
        let Ok(sent_secs) = timestamp.parse::<i64>() else {
            return malformed(StatusCode::BAD_REQUEST, "webhook-timestamp is not a number of seconds");
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
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

    fn state(&self) -> Value {
        let ledger = self.ledger();
        json!({
            "requests": self.journal.total(),
            "answers": self.journal.answers(),
            "faults": self.journal.faults(),
            "orders": ledger.orders().count(),
            "applied_versions": ledger.n_applied(),
            "repeats": ledger.repeats(),
            "statuses": ledger.statuses(),
            "n_violations": ledger.n_violations(),
            "violations": ledger.violations(),
        })
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
