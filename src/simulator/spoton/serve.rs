//! How one request is treated: found its way, let in, counted, checked, kept, done and answered.

use std::collections::BTreeMap;

use axum::{
    extract::Query,
    http::{Method, StatusCode, Uri},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Operation, Spoton, answers,
    body::{Against, Proposal},
    chain::{self, Location},
    ledger::{self, CancelledBy, Pace, Violation},
    order::Order,
    rules::{RepeatedCancel, Twist},
    throttle::Told,
};
use crate::simulator::{
    conduct::Working,
    digest::short_hash,
    faults::{Answer, Reply},
    shell::{Arrived, Destination, Incoming, Received, Simulator},
};

/// Where a request leads.
#[derive(Debug)]
pub struct Route {
    operation: Operation,
    location: String,
    /// The order of a cancel, the menu of its items.
    about: String,
}

/// A request of the right form, and that its order is being worked on.
#[derive(Debug)]
pub struct Job {
    asked: Asked,
    location: String,
    told: Option<Told>,
    _working: Option<Working<String, Operation>>,
}

#[derive(Debug)]
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

impl Simulator for Spoton {
    type Operation = Operation;
    type Route = Route;
    type Job = Job;
    type Received = Received<Operation>;

    fn arrive(&self, incoming: &Incoming) -> Arrived<Route> {
        let route = route(&incoming.method, &incoming.path);
        let scopes = route.iter().map(|route| route.operation.api().name().to_owned()).collect();
        Arrived { scopes, route: route.map_err(|refusal| self.refuse(refusal)) }
    }

    fn operation(route: &Route) -> Operation {
        route.operation
    }

    /// Reports differ only in their time.
    fn key(&self, _route: &Route, incoming: &Incoming) -> String {
        let Incoming { method, path, body, .. } = incoming;
        format!("{method} {path} {:x}", short_hash(&[body]))
    }

    fn check(&self, route: Route, incoming: &Incoming) -> Result<(Job, Self::Received), Answer> {
        self.authorise(&route, incoming).map_err(|refusal| self.refuse(refusal))?;
        let told = self.set().throttle.ask(route.operation.api(), incoming.at);
        let is_over = told.as_ref().is_some_and(|told| told.is_refused);
        let read = if is_over {
            refuse(StatusCode::TOO_MANY_REQUESTS, "rate limit exceeded")
        } else {
            self.read(&route, incoming)
        };
        let asked = read.map_err(|refusal| self.telling(told.as_ref(), self.refuse(refusal)))?;
        let Route { operation, location, .. } = route;
        let working = self.enter(operation, &asked);
        Ok((Job { asked, location, told, _working: working }, incoming.received(operation)))
    }

    fn perform(&self, job: &mut Job, _reply: &Reply) -> Answer {
        self.telling(job.told.as_ref(), self.answer(job))
    }

    fn state(&self) -> Value {
        let ledger = self.ledger();
        let locations: BTreeMap<&str, Vec<&str>> = self
            .options
            .chain
            .locations
            .iter()
            .map(|location| (location.id.as_str(), location.menus.iter().map(|menu| menu.id.as_str()).collect()))
            .collect();
        json!({
            "orders": ledger.orders().count(),
            "tickets": ledger.stored().len(),
            "standing": ledger.stored().iter().filter(|stored| stored.is_standing()).count(),
            "customers": ledger.n_customers(),
            "repeats": ledger.repeats(),
            "doubled": ledger.doubled(),
            "n_violations": ledger.n_violations(),
            "violations": ledger.violations(),
            "menus_of_locations": locations,
        })
    }
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

impl Spoton {
    /// None for what changes nothing: that may be asked at any time.
    fn enter(&self, operation: Operation, asked: &Asked) -> Option<Working<String, Operation>> {
        let order = match asked {
            Asked::Submit(order) => &ledger::order_of(&order.reference),
            Asked::Cancel { order, .. } => order,
            Asked::Propose(_)
            | Asked::Report { .. }
            | Asked::ListMenus
            | Asked::ListItems { .. }
            | Asked::ReadLocation
            | Asked::Livez => return None,
        };
        Some(self.ledger().enter(order, operation))
    }

    fn refuse(&self, Refusal { status, message, violation }: Refusal) -> Answer {
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
        error(status, code, &message)
    }

    /// The answer also says where the application stands with its limits.
    fn telling(&self, told: Option<&Told>, answer: Answer) -> Answer {
        match told {
            Some(told) => told.write(answer, self.set().manner.rate_headers),
            None => answer,
        }
    }

    /// Who asks, and whether it may ask this.
    fn authorise(&self, route: &Route, incoming: &Incoming) -> Result<(), Refusal> {
        if route.operation == Operation::Livez {
            return Ok(());
        }
        let authorization = incoming.header("authorization");
        if !self.tokens.accepts(authorization) {
            let violation = incoming.bearer_token().is_none().then_some(Violation::NoToken);
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

    fn read(&self, route: &Route, incoming: &Incoming) -> Result<Asked, Refusal> {
        let Incoming { uri, body, .. } = incoming;
        let has_body = matches!(route.operation, Operation::Submit | Operation::Propose);
        if has_body {
            if !incoming.is_json() {
                return malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type is not application/json");
            }
        } else if !body.is_empty() {
            return bad_request("a body where none belongs");
        }
        if !matches!(route.operation, Operation::Report | Operation::ListItems) && incoming.has_query() {
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
                let ReportQuery { last_updated_from, page } = read_query(uri)?;
                let since = DateTime::parse_from_rfc3339(&last_updated_from);
                let Some(since) = since.ok().filter(|_| last_updated_from.ends_with('Z')) else {
                    return bad_request("last_updated_from is no RFC 3339 time in UTC");
                };
                Asked::Report { since: since.to_utc(), page: page_number(page)? }
            }
            Operation::ListMenus => Asked::ListMenus,
            Operation::ListItems => {
                let page = page_number(read_query::<PageQuery>(uri)?.page)?;
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

    fn answer(&self, Job { asked, location, .. }: &Job) -> Answer {
        let now = self.time.now();
        let page_size = self.options.page_size;
        let answer = match asked {
            Asked::Submit(order) => return self.submit(location, order, now),
            Asked::Propose(proposal) => {
                let mut set = self.set();
                let signature = format!("sig-{}", set.signatures.len() + 1);
                let answer = answers::proposed_order(proposal, &signature, &set.manner);
                set.signatures.insert(signature);
                answer
            }
            Asked::Cancel { id, .. } => return self.cancel(id, now),
            Asked::Report { since, page } => {
                let manner = self.set().manner.clone();
                let mut ledger = self.ledger();
                let seen = ledger.report(location, *since, now).into_iter();
                let orders: Vec<Value> = seen.map(|seen| answers::report(seen, &manner)).collect();
                if *page == 1 {
                    ledger.was_reported(location);
                }
                answers::page("orders", orders, *page, page_size)
            }
            Asked::ListMenus => {
                let location = self.location(location);
                let menus: Vec<Value> = location.menus.iter().map(|menu| chain::menu_json(location, menu)).collect();
                json!({ "menus": menus })
            }
            Asked::ListItems { menu, page } => {
                let menu = self.location(location).menu(menu).expect("looked for before");
                let items = menu.items.iter().map(|item| chain::item_json(menu, item)).collect();
                answers::page("items", items, *page, page_size)
            }
            Asked::ReadLocation => json!({"location": chain::location_json(self.location(location))}),
            Asked::Livez => json!({}),
        };
        Answer::of(StatusCode::OK, &answer)
    }

    fn submit(&self, location: &str, order: &Order, now: DateTime<Utc>) -> Answer {
        let mut set = self.set();
        let mut ledger = self.ledger();
        if !set.rules.takes_repeated_references && ledger.check_unused(&order.reference).is_err() {
            return error(StatusCode::CONFLICT, 6, "external_reference_id is used already");
        }
        let twist = set.twists.pop_front().unwrap_or(Twist::Plainly);
        let pace = Pace { kitchen: self.options.kitchen, drive: self.options.drive };
        let id = ledger.submit(location, order.clone(), pace, now).id.clone();
        if twist == Twist::CancelledByMerchant {
            ledger.cancel(&id, CancelledBy::Merchant, now).expect("it was stored just now");
        }
        let stored = ledger.get(&id).expect("it was stored just now");
        Answer::of(StatusCode::OK, &answers::stored_order(stored, &set.manner, twist))
    }

    fn cancel(&self, id: &str, now: DateTime<Utc>) -> Answer {
        let set = self.set();
        let mut ledger = self.ledger();
        if let (Err(_), RepeatedCancel::Fails(status)) =
            (ledger.cancel(id, CancelledBy::Client, now), set.rules.repeated_cancel)
        {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::CONFLICT);
            return error(status, 9, "the order is not CLOSED");
        }
        let stored = ledger.get(id).expect("looked for before");
        Answer::of(StatusCode::OK, &answers::stored_order(stored, &set.manner, Twist::Plainly))
    }
}

/// Assumed: an error looks as that of any gateway to gRPC, with gRPC's code.
fn error(status: StatusCode, code: u8, message: &str) -> Answer {
    Answer::of(status, &json!({"code": code, "message": message, "details": []}))
}

fn read_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    match Query::try_from_uri(uri) {
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
