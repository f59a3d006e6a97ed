//! A till that cannot forgive: no key makes a request harmless to repeat, an order takes several of them, and what
//! happened is seen only later. The hardest destination we can think of, made up by us.
//!
//! # The wire
//!
//! JSON both ways. `Authorization: Bearer …` on every request, `Content-Type: application/json` on those with a body.
//! A body has exactly the fields named here; amounts are whole minor units, instants do not occur. An error is
//! `{"error": code}`.
//!
//! | Request | Body or query | Answer |
//! | --- | --- | --- |
//! | `POST /tickets` | a sale | 201 `{"ticket": "T-1"}` |
//! | `PUT /tickets/{ticket}` | a sale | 200 `{"ticket": "T-1"}` |
//! | `POST /tickets/{ticket}/payments` | `{"reference", "minor", "currency"}` | 201 `{"payment": "P-1"}` |
//! | `POST /tickets/{ticket}/void` | `{"reference"}`, that of the ticket | 200 `{"ticket": "T-1"}` |
//! | `GET /tickets` | `?reference=` | 200 `{"tickets": [{"ticket", "reference", "order", "version", "total_minor", "paid_minor", "state"}]}` |
//! | `GET /tickets/{ticket}/payments` | `?reference=` | 200 `{"payments": [{"payment", "reference", "minor", "currency"}]}` |
//!
//! A sale is `{"reference", "order", "version", "lines": [{"name", "minor"}], "total_minor", "currency"}`. `reference`
//! has at most 120 characters, `order` at most 200; `version` is positive; the lines add up to `total_minor`, which is
//! not negative; a line may be. `state` is `open` or `void`.
//!
//! * **Opening a ticket is not safe to repeat.** Every accepted `POST /tickets` opens another one, also under the same
//!   reference, and then both stand.
//! * **Neither is paying.** A payment takes the sum paid towards the ticket's total and never past it: a positive one up
//!   to the total, a negative one (a refund, after the total has become lower) down to it; else 422
//!   `{"error": "exceeds_total"}`. A zero is none. On a void ticket: 409 `{"error": "already_void"}`.
//! * **Amending is safe to repeat**: it replaces version, lines and total, whatever is paid; the same content again
//!   changes nothing. Reference, order and currency stay what they were. On a void ticket: 409 `already_void`.
//! * **Voiding is recognised when repeated**: 409 `already_void`. A void ticket counts for nothing, and neither do its
//!   payments.
//! * **Looking up lags.** An effect shows [`TillOptions::lag`] after it happened, and from then on without fail; a script
//!   may say otherwise ([`TillSim::show_next`]). Both lists are exact about what shows; none found is an empty list.
//!
//! What a correct client never does is refused where it can be, and in any case recorded as a [`Violation`]; what it
//! did twice is kept apart ([`Doubled`]). A handler that is dropped because its client left before the effect has
//! caused nothing.

pub mod ledger;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Query, Request, State},
    http::{HeaderMap, Method, Response, StatusCode, header, request::Parts},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use self::ledger::{Doubled, Ledger, Line, Payment, Sale, Show, Standing, Sums, Ticket, Violation};
use super::{
    conduct::Working,
    digest::short_hash,
    faults::{Chaos, Fault, Faults, Reach, Reply, Side, json_response, plainly},
    journal::{Arrival, Call, Journal, TimedOut},
    ledger::Mismatch,
    scoffable::STATE_PATH,
    server::{Cut, Server},
    time::SimTime,
    world::World,
};
use crate::clock::Clock;

const MAX_BODY: usize = 1024 * 1024;
/// In characters.
const MAX_REFERENCE: usize = 120;
/// In characters.
const MAX_ORDER: usize = 200;
/// How many requests are kept with their bodies.
const KEPT_REQUESTS: usize = 10_000;

#[derive(Clone)]
pub struct TillOptions {
    pub listen: SocketAddr,
    /// The only bearer token that is accepted.
    pub token: String,
    /// How long an effect stays unseen.
    pub lag: Duration,
    /// Each answer takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    pub seed: u64,
    pub clock: Clock,
}

impl Default for TillOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: "till-token".to_owned(),
            lag: Duration::ZERO,
            latency: Duration::ZERO,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for TillOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TillOptions").field("listen", &self.listen).field("lag", &self.lag).finish_non_exhaustive()
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Open,
    Amend,
    Pay,
    Void,
    FindTickets,
    FindPayments,
}

impl Operation {
    /// Whether it changes anything.
    pub fn is_effect(self) -> bool {
        match self {
            Self::Open | Self::Amend | Self::Pay | Self::Void => true,
            Self::FindTickets | Self::FindPayments => false,
        }
    }
}

/// A request that passed all checks of form, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub operation: Operation,
    pub path: String,
    /// The raw query string, empty when there was none.
    pub query: String,
    pub body: Bytes,
}

/// The running till.
#[derive(Debug)]
pub struct TillSim {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    options: TillOptions,
    time: SimTime,
    ledger: Mutex<Ledger>,
    received: Mutex<VecDeque<Received>>,
    faults: Faults,
    /// Faults for the next requests of one operation; played before those for just any request.
    targeted: Mutex<HashMap<Operation, VecDeque<Fault>>>,
    journal: Journal,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl TillSim {
    /// Fails when the address cannot be listened on.
    pub async fn start(options: TillOptions) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            time: SimTime::start(options.clock.clone()),
            ledger: Mutex::new(Ledger::new(options.lag)),
            received: Mutex::default(),
            faults: Faults::new(Side::Destination, options.chaos, options.seed),
            targeted: Mutex::default(),
            journal: Journal::default(),
            options,
        });
        let router = Router::new().fallback(handle).with_state(shared.clone());
        let server = Server::start(shared.options.listen, router).await?;
        Ok(Self { server, shared })
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What the paths of the wire are appended to; without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// See [`Faults::answer_next`]; look-ups are requests, too.
    pub fn answer_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.answer_next(faults);
    }

    /// The next requests of one operation are treated like this, one each, whatever else is asked in between.
    pub fn answer_next_to(&self, operation: Operation, faults: impl IntoIterator<Item = Fault>) {
        self.shared.targeted().entry(operation).or_default().extend(faults);
    }

    /// The next effects show like this, one each, instead of after the lag.
    pub fn show_next(&self, script: impl IntoIterator<Item = Show>) {
        self.ledger().show_next(script);
    }

    /// Held only for a moment: requests wait meanwhile.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }

    /// What an operator sees who looks into the till itself: at once, without lag. The first, if there are several.
    pub fn find(&self, reference: &str) -> Option<Ticket> {
        self.ledger().find(reference).next().cloned()
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.ledger().violations().to_vec()
    }

    pub fn doubled(&self) -> Vec<Doubled> {
        self.ledger().doubled().to_vec()
    }

    /// See [`Ledger::compare`].
    pub fn compare(&self, source: &str, world: &World) -> Vec<Mismatch> {
        self.ledger().compare(source, world)
    }

    /// Well-formed requests, oldest first, also those that were then answered with a fault.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received().iter().cloned().collect()
    }

    /// Waits for a condition on the ledger, which is looked at whenever a request begins, has its effect, or ends.
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaleBody {
    reference: String,
    order: String,
    version: i64,
    lines: Vec<LineBody>,
    total_minor: i64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineBody {
    name: String,
    minor: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaymentBody {
    reference: String,
    minor: i64,
    currency: String,
}

/// Both the body of a void and the query of a look-up.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    reference: String,
}

/// A request of the right form.
enum Asked {
    Open { reference: String, order: String, sale: Sale },
    Amend { ticket: String, reference: String, order: String, sale: Sale },
    Pay { ticket: String, payment: Payment },
    Void { ticket: String, reference: String },
    FindTickets { reference: String },
    FindPayments { ticket: String, reference: String },
}

/// Why a request is refused for its form.
struct Refusal {
    status: StatusCode,
    violation: Violation,
}

fn malformed<T>(status: StatusCode, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, violation: Violation::Malformed { reason: reason.into() } })
}

fn unprocessable<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    malformed(StatusCode::UNPROCESSABLE_ENTITY, reason)
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    if path == STATE_PATH && parts.method == Method::GET {
        return json_response(StatusCode::OK, shared.state().to_string().into());
    }
    let call = shared.journal.begin(Arrival {
        at: shared.time.elapsed(),
        method: parts.method.to_string(),
        path: path.clone(),
        query: query.clone(),
        scopes: Vec::new(),
    });
    let (operation, ticket) = match route(&parts.method, &path) {
        Ok(route) => route,
        Err(refusal) => return shared.refuse(call, refusal),
    };
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        // The client left in the middle, which is its right; or it sends more than anybody should.
        return json_response(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new());
    };

    // Two requests are repeats of one another when they are the same to the byte.
    let fault = shared.next_fault(operation, &format!("{} {path}?{query} {:x}", parts.method, short_hash(&[&body])));
    if let Some(fault) = &fault {
        call.plays(fault.name());
    }
    let fault = fault.unwrap_or_else(plainly);
    if fault.refuses_to_read() {
        return fault.disguise(StatusCode::OK, Bytes::new(), &cut);
    }
    let asked = match shared.check(operation, ticket, &parts, &body) {
        Ok(asked) => asked,
        Err(refusal) => return shared.refuse(call, refusal),
    };
    shared.keep(Received { operation, path, query, body });
    let running = shared.enter(operation, &asked);
    shared.journal.touch();

    fault.wait_before().await;
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    let (status, body) = match fault.reach() {
        Reach::Nothing => (StatusCode::OK, Bytes::new()),
        Reach::Effect => shared.perform(asked),
    };
    shared.journal.touch();
    fault.wait_after().await;
    // The order is free again before the client can have seen the answer.
    drop(running);
    let response = fault.disguise(status, body, &cut);
    if !matches!(fault.reply(), Reply::Cut) {
        call.answers(response.status().as_u16());
    }
    response
}

/// What a request asks for, and about which ticket.
fn route(method: &Method, path: &str) -> Result<(Operation, String), Refusal> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let offered: &[(Method, Operation)] = match segments[..] {
        ["tickets"] => &[(Method::POST, Operation::Open), (Method::GET, Operation::FindTickets)],
        ["tickets", _] => &[(Method::PUT, Operation::Amend)],
        ["tickets", _, "payments"] => &[(Method::POST, Operation::Pay), (Method::GET, Operation::FindPayments)],
        ["tickets", _, "void"] => &[(Method::POST, Operation::Void)],
        _ => return malformed(StatusCode::NOT_FOUND, "no such path"),
    };
    match offered.iter().find(|(offered, _)| offered == method) {
        Some((_, operation)) => Ok((*operation, segments.get(1).copied().unwrap_or_default().to_owned())),
        None => malformed(StatusCode::METHOD_NOT_ALLOWED, "no such method here"),
    }
}

impl Shared {
    /// None for a look-up: those may be made at any time.
    fn enter(&self, operation: Operation, asked: &Asked) -> Option<Working<String, Operation>> {
        let mut ledger = self.ledger();
        let order = match asked {
            Asked::Open { order, .. } => order.clone(),
            Asked::Amend { ticket, .. } | Asked::Pay { ticket, .. } | Asked::Void { ticket, .. } => {
                ledger.ticket(ticket)?.order.clone()
            }
            Asked::FindTickets { .. } | Asked::FindPayments { .. } => return None,
        };
        Some(ledger.enter(&order, operation))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while the ledger is held")
    }

    fn received(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.received.lock().expect("nothing panics while the requests are held")
    }

    fn targeted(&self) -> MutexGuard<'_, HashMap<Operation, VecDeque<Fault>>> {
        self.targeted.lock().expect("nothing panics while the script is held")
    }

    fn next_fault(&self, operation: Operation, key: &str) -> Option<Fault> {
        let targeted = self.targeted().get_mut(&operation).and_then(VecDeque::pop_front);
        targeted.or_else(|| self.faults.next(key))
    }

    fn refuse(&self, call: Call, refusal: Refusal) -> Response<Body> {
        let code = match &refusal.violation {
            Violation::UnknownTicket { .. } => "unknown_ticket",
            Violation::WrongToken => "wrong_token",
            _ => "malformed",
        };
        self.ledger().violate(refusal.violation);
        call.answers(refusal.status.as_u16());
        json_response(refusal.status, json!({ "error": code }).to_string().into())
    }

    fn keep(&self, received: Received) {
        let mut all = self.received();
        if all.len() == KEPT_REQUESTS {
            all.pop_front();
        }
        all.push_back(received);
    }

    fn check(&self, operation: Operation, ticket: String, parts: &Parts, body: &Bytes) -> Result<Asked, Refusal> {
        let authorization = text_header(&parts.headers, &header::AUTHORIZATION);
        if authorization != Some(&format!("Bearer {}", self.options.token)) {
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, violation: Violation::WrongToken });
        }
        if operation.is_effect() {
            let media_type = text_header(&parts.headers, &header::CONTENT_TYPE).unwrap_or_default();
            if media_type.split(';').next().map(str::trim) != Some("application/json") {
                return malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type is not application/json");
            }
            if parts.uri.query().is_some() {
                return unprocessable("a query where none belongs");
            }
        } else if !body.is_empty() {
            return unprocessable("a look-up with a body");
        }
        let is_about_a_ticket = !matches!(operation, Operation::Open | Operation::FindTickets);
        if is_about_a_ticket && self.ledger().ticket(&ticket).is_none() {
            return Err(Refusal { status: StatusCode::NOT_FOUND, violation: Violation::UnknownTicket { ticket } });
        }
        Ok(match operation {
            Operation::Open => {
                let (reference, order, sale) = read_json::<SaleBody>(body)?.check()?;
                Asked::Open { reference, order, sale }
            }
            Operation::Amend => {
                let (reference, order, sale) = read_json::<SaleBody>(body)?.check()?;
                Asked::Amend { ticket, reference, order, sale }
            }
            Operation::Pay => Asked::Pay { ticket, payment: read_json::<PaymentBody>(body)?.check()? },
            Operation::Void => Asked::Void { ticket, reference: read_json::<Reference>(body)?.check()? },
            Operation::FindTickets => Asked::FindTickets { reference: read_query(parts)?.check()? },
            Operation::FindPayments => Asked::FindPayments { ticket, reference: read_query(parts)?.check()? },
        })
    }

    /// Status and body of the genuine answer.
    fn perform(&self, asked: Asked) -> (StatusCode, Bytes) {
        let now = self.time.elapsed();
        let mut ledger = self.ledger();
        let done = match asked {
            Asked::Open { reference, order, sale } => {
                let ticket = ledger.open(reference, order, sale, now);
                Ok((StatusCode::CREATED, json!({ "ticket": ticket })))
            }
            Asked::Amend { ticket, reference, order, sale } => ledger
                .amend(&ticket, &reference, &order, sale, now)
                .map(|()| (StatusCode::OK, json!({ "ticket": ticket }))),
            Asked::Pay { ticket, payment } => {
                ledger.pay(&ticket, payment, now).map(|payment| (StatusCode::CREATED, json!({ "payment": payment })))
            }
            Asked::Void { ticket, reference } => {
                ledger.void(&ticket, &reference, now).map(|()| (StatusCode::OK, json!({ "ticket": ticket })))
            }
            Asked::FindTickets { reference } => {
                let tickets: Vec<Value> = ledger
                    .look_up(&reference, now)
                    .into_iter()
                    .map(|(ticket, seen)| {
                        json!({
                            "ticket": ticket.id,
                            "reference": ticket.reference,
                            "order": ticket.order,
                            "version": seen.sale.version,
                            "total_minor": seen.sale.total_minor,
                            "paid_minor": seen.paid_minor,
                            "state": if seen.is_void { "void" } else { "open" },
                        })
                    })
                    .collect();
                Ok((StatusCode::OK, json!({ "tickets": tickets })))
            }
            Asked::FindPayments { ticket, reference } => {
                let payments: Vec<Value> = ledger
                    .look_up_payments(&ticket, &reference, now)
                    .into_iter()
                    .map(|(id, payment)| {
                        json!({
                            "payment": id,
                            "reference": payment.reference,
                            "minor": payment.minor,
                            "currency": payment.currency,
                        })
                    })
                    .collect();
                Ok((StatusCode::OK, json!({ "payments": payments })))
            }
        };
        let (status, body) = done.unwrap_or_else(|refused| {
            let status = match refused {
                ledger::Refused::AlreadyVoid => StatusCode::CONFLICT,
                ledger::Refused::ExceedsTotal | ledger::Refused::AnotherTicket => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (status, json!({ "error": refused.code() }))
        });
        (status, body.to_string().into())
    }

    fn state(&self) -> Value {
        let ledger = self.ledger();
        json!({
            "requests": self.journal.total(),
            "answers": self.journal.answers(),
            "faults": self.journal.faults(),
            "orders": ledger.orders().count(),
            "tickets": ledger.tickets().len(),
            "standing": ledger.tickets().iter().filter(|ticket| ticket.is_standing()).count(),
            "payments": ledger.n_payments(),
            "refused_payments": ledger.n_refused_payments(),
            "repeats": ledger.repeats(),
            "doubled": ledger.doubled(),
            "n_violations": ledger.n_violations(),
            "violations": ledger.violations(),
        })
    }
}

fn text_header<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).or_else(|error| unprocessable(error.to_string()))
}

fn read_query(parts: &Parts) -> Result<Reference, Refusal> {
    match Query::try_from_uri(&parts.uri) {
        Ok(Query(reference)) => Ok(reference),
        Err(error) => unprocessable(error.to_string()),
    }
}

fn check_text(name: &str, text: &str, max_chars: usize) -> Result<(), Refusal> {
    let is_right = !text.is_empty() && text.chars().count() <= max_chars && !text.chars().any(char::is_control);
    if is_right { Ok(()) } else { unprocessable(format!("{name} is empty, too long or not plain text")) }
}

fn check_currency(code: &str) -> Result<(), Refusal> {
    let is_right = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_right { Ok(()) } else { unprocessable("currency is not three upper-case letters") }
}

impl Reference {
    fn check(self) -> Result<String, Refusal> {
        check_text("reference", &self.reference, MAX_REFERENCE)?;
        Ok(self.reference)
    }
}

impl PaymentBody {
    fn check(self) -> Result<Payment, Refusal> {
        let Self { reference, minor, currency } = self;
        check_text("reference", &reference, MAX_REFERENCE)?;
        check_currency(&currency)?;
        if minor == 0 {
            return unprocessable("a payment of nothing");
        }
        Ok(Payment { reference, minor, currency })
    }
}

impl SaleBody {
    /// Reference, order and the sale itself.
    fn check(self) -> Result<(String, String, Sale), Refusal> {
        let Self { reference, order, version, lines, total_minor, currency } = self;
        check_text("reference", &reference, MAX_REFERENCE)?;
        check_text("order", &order, MAX_ORDER)?;
        check_currency(&currency)?;
        if version < 1 {
            return unprocessable("version is not positive");
        }
        if lines.iter().any(|line| line.name.is_empty()) {
            return unprocessable("a line without a name");
        }
        let sum: i128 = lines.iter().map(|line| i128::from(line.minor)).sum();
        if total_minor < 0 || sum != i128::from(total_minor) {
            return unprocessable("total_minor is negative, or not what the lines add up to");
        }
        let lines = lines.into_iter().map(|LineBody { name, minor }| Line { name, minor }).collect();
        Ok((reference, order, Sale { version, lines, total_minor, currency }))
    }
}

#[cfg(test)]
mod tests;
