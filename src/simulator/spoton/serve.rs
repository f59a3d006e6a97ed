//! How one request is treated: found its way, let in, counted, checked, kept, done and answered.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Query, Request, State},
    http::{HeaderMap, Method, Response, StatusCode, header, request::Parts},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Operation, Received, Shared, answers,
    body::{Against, Proposal},
    chain::{self, Location},
    ledger::{self, CancelledBy, Pace, Violation},
    order::Order,
    rules::{RepeatedCancel, Twist},
    throttle::Told,
};
use crate::simulator::{
    digest::short_hash,
    faults::{Reach, Reply, json_response, plainly},
    journal::{Arrival, Call},
    scoffable::STATE_PATH,
    server::Cut,
};

const MAX_BODY: usize = 1024 * 1024;
/// How many requests are kept with their bodies.
const KEPT_REQUESTS: usize = 10_000;

/// Where a request leads.
struct Route {
    operation: Operation,
    location: String,
    /// The order of a cancel, the menu of its items.
    about: String,
}

/// A request of the right form.
enum Asked {
    Submit(Box<Order>),
    Propose(Proposal),
    Cancel { id: String, order: String },
    Report { since: DateTime<Utc>, page: usize },
    ListMenus,
    ListItems { menu: String, page: usize },
    ReadLocation,
    Livez,
}

/// Why a request is refused.
struct Refusal {
    status: StatusCode,
    message: String,
    /// None where a correct client may run into it.
    violation: Option<Violation>,
}

fn refuse<T>(status: StatusCode, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, message: message.into(), violation: None })
}

fn malformed<T>(status: StatusCode, reason: impl Into<String>) -> Result<T, Refusal> {
    let reason = reason.into();
    Err(Refusal { status, message: reason.clone(), violation: Some(Violation::Malformed { reason }) })
}

fn bad_request<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    malformed(StatusCode::BAD_REQUEST, reason)
}

pub(super) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    if path == STATE_PATH && parts.method == Method::GET {
        return json_response(StatusCode::OK, shared.state().to_string().into());
    }
    let route = route(&parts.method, &path);
    let call = shared.journal.begin(Arrival {
        at: shared.time.elapsed(),
        method: parts.method.to_string(),
        path: path.clone(),
        query: query.clone(),
        scopes: route.iter().map(|route| route.operation.api().name().to_owned()).collect(),
    });
    let route = match route {
        Ok(route) => route,
        Err(refusal) => return shared.refuse(call, refusal, None),
    };
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        // The client left in the middle, which is its right; or it sends more than anybody should.
        return json_response(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new());
    };

    // Two requests are repeats of one another when they are the same to the byte; reports differ only in their time.
    let key = format!("{} {path} {:x}", parts.method, short_hash(&[&body]));
    let fault = shared.next_fault(route.operation, &key);
    if let Some(fault) = &fault {
        call.plays(fault.name());
    }
    let fault = fault.unwrap_or_else(plainly);
    if fault.refuses_to_read() {
        return fault.disguise(StatusCode::OK, Bytes::new(), &cut);
    }
    if let Err(refusal) = shared.authorise(&route, &parts.headers) {
        return shared.refuse(call, refusal, None);
    }
    let told = shared.set().throttle.ask(route.operation.api(), shared.time.elapsed());
    if told.as_ref().is_some_and(|told| told.is_refused) {
        let refusal = Refusal {
            status: StatusCode::TOO_MANY_REQUESTS,
            message: "rate limit exceeded".to_owned(),
            violation: None,
        };
        return shared.refuse(call, refusal, told);
    }
    let asked = match shared.check(&route, &parts, &body) {
        Ok(asked) => asked,
        Err(refusal) => return shared.refuse(call, refusal, told),
    };
    let Route { operation, location, .. } = route;
    shared.keep(Received { operation, path, query, body });
    let running = Running::enter(&shared, operation, &asked);
    shared.journal.touch();

    fault.wait_before().await;
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    let (status, body) = match fault.reach() {
        Reach::Nothing => (StatusCode::OK, Bytes::new()),
        Reach::Effect => shared.perform(&location, asked),
    };
    shared.journal.touch();
    fault.wait_after().await;
    // The order is free again before the client can have seen the answer.
    drop(running);
    let mut response = fault.disguise(status, body, &cut);
    if let Some(told) = told.filter(|_| fault.is_answered_rightly()) {
        told.write(response.headers_mut(), shared.set().manner.rate_headers);
    }
    if !matches!(fault.reply(), Reply::Cut) {
        call.answers(response.status().as_u16());
    }
    response
}

fn route(method: &Method, path: &str) -> Result<Route, Refusal> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (allowed, operation, location, about) = match segments[..] {
        ["order", "v1", "locations", location, "orders", "submit"] => (Method::POST, Operation::Submit, location, ""),
        ["order", "v1", "locations", location, "orders", "propose"] => (Method::POST, Operation::Propose, location, ""),
        ["order", "v1", "locations", location, "orders", id, "cancel"] => {
            (Method::POST, Operation::Cancel, location, id)
        }
        ["reporting", "v1", "locations", location, "orders"] => (Method::GET, Operation::Report, location, ""),
        ["menu", "v1", "locations", location, "menus"] => (Method::GET, Operation::ListMenus, location, ""),
        ["menu", "v1", "locations", location, "menus", menu, "items"] => {
            (Method::GET, Operation::ListItems, location, menu)
        }
        ["business", "v1", "locations", location] => (Method::GET, Operation::ReadLocation, location, ""),
        ["business", "v1", "livez"] => (Method::GET, Operation::Livez, "", ""),
        _ => return malformed(StatusCode::NOT_FOUND, "no such path"),
    };
    if *method != allowed {
        return malformed(StatusCode::METHOD_NOT_ALLOWED, "no such method here");
    }
    Ok(Route { operation, location: location.to_owned(), about: about.to_owned() })
}

/// An effect that is being worked on; also ends when its handler is dropped.
struct Running {
    shared: Arc<Shared>,
    order: String,
    operation: Operation,
}

impl Running {
    /// None for what changes nothing: that may be asked at any time.
    fn enter(shared: &Arc<Shared>, operation: Operation, asked: &Asked) -> Option<Self> {
        let order = match asked {
            Asked::Submit(order) => ledger::order_of(&order.reference),
            Asked::Cancel { order, .. } => order.clone(),
            Asked::Propose(_)
            | Asked::Report { .. }
            | Asked::ListMenus
            | Asked::ListItems { .. }
            | Asked::ReadLocation
            | Asked::Livez => return None,
        };
        shared.ledger().enter(&order, operation);
        Some(Self { shared: shared.clone(), order, operation })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.ledger().leave(&self.order, self.operation);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportQuery {
    last_updated_from: String,
    page: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    page: Option<usize>,
}

impl Shared {
    fn refuse(&self, call: Call, refusal: Refusal, told: Option<Told>) -> Response<Body> {
        let Refusal { status, message, violation } = refusal;
        if let Some(violation) = violation {
            self.ledger().violate(violation);
        }
        let code = match status.as_u16() {
            401 => 16,
            403 => 7,
            404 => 5,
            409 => 6,
            429 => 8,
            405 => 12,
            _ => 3,
        };
        call.answers(status.as_u16());
        let mut response = json_response(status, error(code, &message));
        if let Some(told) = told {
            told.write(response.headers_mut(), self.set().manner.rate_headers);
        }
        response
    }

    fn keep(&self, received: Received) {
        let mut all = self.received();
        if all.len() == KEPT_REQUESTS {
            all.pop_front();
        }
        all.push_back(received);
    }

    /// Who asks, and whether it may ask this.
    fn authorise(&self, route: &Route, headers: &HeaderMap) -> Result<(), Refusal> {
        if route.operation == Operation::Livez {
            return Ok(());
        }
        let authorization = text_header(headers, &header::AUTHORIZATION);
        if !self.tokens.accepts(authorization) {
            let has_one = authorization.is_some_and(|value| value.starts_with("Bearer "));
            let violation = (!has_one).then_some(Violation::NoToken);
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, message: "no valid token".to_owned(), violation });
        }
        let scope = route.operation.api().scope();
        if !self.tokens.grants(authorization, scope) {
            return refuse(StatusCode::FORBIDDEN, format!("scope {scope} is not granted"));
        }
        if self.options.chain.location(&route.location).is_none() {
            let location = route.location.clone();
            return Err(Refusal {
                status: StatusCode::NOT_FOUND,
                message: "no such location".to_owned(),
                violation: Some(Violation::UnknownLocation { location }),
            });
        }
        if self.set().closed.contains(&route.location) {
            return refuse(StatusCode::FORBIDDEN, "the location is not open to this application");
        }
        Ok(())
    }

    fn check(&self, route: &Route, parts: &Parts, body: &Bytes) -> Result<Asked, Refusal> {
        let has_body = matches!(route.operation, Operation::Submit | Operation::Propose);
        if has_body {
            let media_type = text_header(&parts.headers, &header::CONTENT_TYPE).unwrap_or_default();
            if media_type.split(';').next().map(str::trim) != Some("application/json") {
                return malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type is not application/json");
            }
        } else if !body.is_empty() {
            return bad_request("a body where none belongs");
        }
        if !matches!(route.operation, Operation::Report | Operation::ListItems) && parts.uri.query().is_some() {
            return bad_request("a query where none belongs");
        }
        Ok(match route.operation {
            Operation::Submit => Asked::Submit(Box::new(self.against(&route.location, |against| against.order(body))?)),
            Operation::Propose => {
                let rate = self.options.tax_basis_points;
                Asked::Propose(self.against(&route.location, |against| against.proposal(body, rate))?)
            }
            Operation::Cancel => {
                let order = self
                    .ledger()
                    .get(&route.about)
                    .filter(|stored| stored.location == route.location)
                    .map(|stored| stored.order.clone());
                let Some(order) = order else {
                    return Err(Refusal {
                        status: StatusCode::NOT_FOUND,
                        message: "no such order".to_owned(),
                        violation: Some(Violation::UnknownOrder { id: route.about.clone() }),
                    });
                };
                Asked::Cancel { id: route.about.clone(), order }
            }
            Operation::Report => {
                let ReportQuery { last_updated_from, page } = read_query(parts)?;
                let since = DateTime::parse_from_rfc3339(&last_updated_from);
                let Some(since) = since.ok().filter(|_| last_updated_from.ends_with('Z')) else {
                    return bad_request("last_updated_from is no RFC 3339 time in UTC");
                };
                Asked::Report { since: since.to_utc(), page: page_number(page)? }
            }
            Operation::ListMenus => Asked::ListMenus,
            Operation::ListItems => {
                let page = page_number(read_query::<PageQuery>(parts)?.page)?;
                if self.location(&route.location).menu(&route.about).is_none() {
                    return malformed(StatusCode::NOT_FOUND, "no such menu");
                }
                Asked::ListItems { menu: route.about.clone(), page }
            }
            Operation::ReadLocation => Asked::ReadLocation,
            Operation::Livez => Asked::Livez,
        })
    }

    fn against<T>(&self, location: &str, check: impl FnOnce(&Against<'_>) -> Result<T, String>) -> Result<T, Refusal> {
        let set = self.set();
        let against = Against { location: self.location(location), rules: &set.rules, signatures: &set.signatures };
        check(&against).or_else(bad_request)
    }

    fn location(&self, id: &str) -> &Location {
        self.options.chain.location(id).expect("a location is looked for before, and none is ever removed")
    }

    /// Status and body of the genuine answer.
    fn perform(&self, location: &str, asked: Asked) -> (StatusCode, Bytes) {
        let now = self.time.now();
        let page_size = self.options.page_size;
        let answer = match asked {
            Asked::Submit(order) => return self.submit(location, *order, now),
            Asked::Propose(proposal) => {
                let mut set = self.set();
                let signature = format!("sig-{}", set.signatures.len() + 1);
                let answer = answers::proposed_order(&proposal, &signature, &set.manner);
                set.signatures.insert(signature);
                answer
            }
            Asked::Cancel { id, .. } => return self.cancel(&id, now),
            Asked::Report { since, page } => {
                let manner = self.set().manner.clone();
                let mut ledger = self.ledger();
                let seen = ledger.report(location, since, now).into_iter();
                let orders: Vec<Value> = seen.map(|seen| answers::report(seen, &manner)).collect();
                if page == 1 {
                    ledger.was_reported(location);
                }
                answers::page("orders", orders, page, page_size)
            }
            Asked::ListMenus => {
                let location = self.location(location);
                let menus: Vec<Value> = location.menus.iter().map(|menu| chain::menu_json(location, menu)).collect();
                json!({ "menus": menus })
            }
            Asked::ListItems { menu, page } => {
                let menu = self.location(location).menu(&menu).expect("looked for before");
                let items = menu.items.iter().map(|item| chain::item_json(menu, item)).collect();
                answers::page("items", items, page, page_size)
            }
            Asked::ReadLocation => json!({"location": chain::location_json(self.location(location))}),
            Asked::Livez => json!({}),
        };
        (StatusCode::OK, answer.to_string().into())
    }

    fn submit(&self, location: &str, order: Order, now: DateTime<Utc>) -> (StatusCode, Bytes) {
        let mut set = self.set();
        let mut ledger = self.ledger();
        if !set.rules.takes_repeated_references && ledger.check_unused(&order.reference).is_err() {
            return (StatusCode::CONFLICT, error(6, "external_reference_id is used already"));
        }
        let twist = set.twists.pop_front().unwrap_or(Twist::Plainly);
        let pace = Pace { kitchen: self.options.kitchen, drive: self.options.drive };
        let id = ledger.submit(location, order, pace, now).id.clone();
        if twist == Twist::CancelledByMerchant {
            ledger.cancel(&id, CancelledBy::Merchant, now).expect("it was stored just now");
        }
        let stored = ledger.get(&id).expect("it was stored just now");
        (StatusCode::OK, answers::stored_order(stored, &set.manner, twist).to_string().into())
    }

    fn cancel(&self, id: &str, now: DateTime<Utc>) -> (StatusCode, Bytes) {
        let set = self.set();
        let mut ledger = self.ledger();
        if let (Err(_), RepeatedCancel::Fails(status)) =
            (ledger.cancel(id, CancelledBy::Client, now), set.rules.repeated_cancel)
        {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::CONFLICT);
            return (status, error(9, "the order is not CLOSED"));
        }
        let stored = ledger.get(id).expect("looked for before");
        (StatusCode::OK, answers::stored_order(stored, &set.manner, Twist::Plainly).to_string().into())
    }
}

/// Assumed: an error looks as that of any gateway to gRPC, with gRPC's code.
fn error(code: u8, message: &str) -> Bytes {
    json!({"code": code, "message": message, "details": []}).to_string().into()
}

fn text_header<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn read_query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Refusal> {
    match Query::try_from_uri(&parts.uri) {
        Ok(Query(query)) => Ok(query),
        Err(error) => bad_request(error.to_string()),
    }
}

/// Pages count from 1, which is also the one that is not named.
fn page_number(page: Option<usize>) -> Result<usize, Refusal> {
    match page.unwrap_or(1) {
        0 => bad_request("page 0"),
        page => Ok(page),
    }
}
