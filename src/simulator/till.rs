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
    fmt,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    extract::Query,
    http::{Method, StatusCode, Uri},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use self::ledger::{Doubled, Ledger, Line, Payment, Sale, Show, Standing, Sums, Ticket, Violation};
use super::{
    conduct::Working,
    faults::{Answer, Chaos, Reply, Side},
    ledger::Mismatch,
    shell::{Arrived, Destination, Incoming, Received, Setup, Sim, Simulator},
    time::SimTime,
    world::World,
};
use crate::clock::Clock;

/// In characters.
const MAX_REFERENCE: usize = 120;
/// In characters.
const MAX_ORDER: usize = 200;

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

/// The running till.
pub type TillSim = Sim<Till>;

/// What is particular to it.
#[derive(Debug)]
pub struct Till {
    options: TillOptions,
    time: SimTime,
    ledger: Mutex<Ledger>,
}

impl TillSim {
    /// Fails when the address cannot be listened on.
    pub async fn start(options: TillOptions) -> std::io::Result<Self> {
        let time = SimTime::start(options.clock.clone());
        let setup = Setup {
            listen: options.listen,
            side: Side::Destination,
            latency: options.latency,
            chaos: options.chaos,
            seed: options.seed,
            time: time.clone(),
            beside: Router::new(),
        };
        Self::serve(Till { ledger: Mutex::new(Ledger::new(options.lag)), time, options }, setup).await
    }

    /// The next effects show like this, one each, instead of after the lag.
    pub fn show_next(&self, script: impl IntoIterator<Item = Show>) {
        self.ledger().show_next(script);
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

/// A request of the right form, and that its order is being worked on.
#[derive(Debug)]
pub struct Job {
    asked: Asked,
    _working: Option<Working<String, Operation>>,
}

#[derive(Debug)]
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

impl Simulator for Till {
    type Operation = Operation;
    /// With the ticket it is about.
    type Route = (Operation, String);
    type Job = Job;
    type Received = Received<Operation>;

    fn arrive(&self, incoming: &Incoming) -> Arrived<Self::Route> {
        let route = route(&incoming.method, &incoming.path).map_err(|refusal| self.refuse(refusal));
        Arrived { scopes: Vec::new(), route }
    }

    fn operation((operation, _): &Self::Route) -> Operation {
        *operation
    }

    fn check(&self, (operation, ticket): Self::Route, incoming: &Incoming) -> Result<(Job, Self::Received), Answer> {
        let asked = self.read(operation, ticket, incoming).map_err(|refusal| self.refuse(refusal))?;
        Ok((Job { _working: self.enter(operation, &asked), asked }, incoming.received(operation)))
    }

    fn perform(&self, job: &mut Job, _reply: &Reply) -> Answer {
        let now = self.time.elapsed();
        let mut ledger = self.ledger();
        let done = match &job.asked {
            Asked::Open { reference, order, sale } => {
                let ticket = ledger.open(reference.clone(), order.clone(), sale.clone(), now);
                Ok((StatusCode::CREATED, json!({ "ticket": ticket })))
            }
            Asked::Amend { ticket, reference, order, sale } => ledger
                .amend(ticket, reference, order, sale.clone(), now)
                .map(|()| (StatusCode::OK, json!({ "ticket": ticket }))),
            Asked::Pay { ticket, payment } => ledger
                .pay(ticket, payment.clone(), now)
                .map(|payment| (StatusCode::CREATED, json!({ "payment": payment }))),
            Asked::Void { ticket, reference } => {
                ledger.void(ticket, reference, now).map(|()| (StatusCode::OK, json!({ "ticket": ticket })))
            }
            Asked::FindTickets { reference } => {
                let tickets: Vec<Value> = ledger
                    .look_up(reference, now)
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
                    .look_up_payments(ticket, reference, now)
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
        match done {
            Ok((status, body)) => Answer::of(status, &body),
            Err(refused @ ledger::Refused::AlreadyVoid) => Answer::error(StatusCode::CONFLICT, refused.code()),
            Err(refused @ (ledger::Refused::ExceedsTotal | ledger::Refused::AnotherTicket)) => {
                Answer::error(StatusCode::UNPROCESSABLE_ENTITY, refused.code())
            }
        }
    }

    fn state(&self) -> Value {
        let ledger = self.ledger();
        json!({
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

impl Destination for Till {
    type Ledger = Ledger;

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("nothing panics while the ledger is held")
    }
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

impl Till {
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

    fn refuse(&self, Refusal { status, violation }: Refusal) -> Answer {
        let code = match &violation {
            Violation::UnknownTicket { .. } => "unknown_ticket",
            Violation::WrongToken => "wrong_token",
            _ => "malformed",
        };
        self.ledger().violate(violation);
        Answer::error(status, code)
    }

    fn read(&self, operation: Operation, ticket: String, incoming: &Incoming) -> Result<Asked, Refusal> {
        let Incoming { uri, body, .. } = incoming;
        if incoming.bearer_token() != Some(&self.options.token) {
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, violation: Violation::WrongToken });
        }
        if operation.is_effect() {
            if !incoming.is_json() {
                return malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type is not application/json");
            }
            if incoming.has_query() {
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
            Operation::FindTickets => Asked::FindTickets { reference: read_query(uri)?.check()? },
            Operation::FindPayments => Asked::FindPayments { ticket, reference: read_query(uri)?.check()? },
        })
    }
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).or_else(|error| unprocessable(error.to_string()))
}

fn read_query(uri: &Uri) -> Result<Reference, Refusal> {
    match Query::try_from_uri(uri) {
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
