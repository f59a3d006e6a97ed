//! How one request is treated: found its way, let in, counted, checked, done and answered.

use axum::{body::Bytes, http::StatusCode};
use serde_json::{Value, json};

use super::{
    Answered, Lightspeed, answers, body,
    ledger::Violation,
    perform::{Asked, Order, Page, order_of, refusal},
    query::Parameters,
    route::{Operation, Resource, Route, route},
    throttle::{Told, http_date},
};
use crate::simulator::{
    conduct::Working,
    faults::{Answer, Reply},
    shell::{Arrived, Destination, Incoming, Received, Simulator},
};

/// How many answers are kept.
const KEPT_ANSWERS: usize = 10_000;

/// A request of the right form, and what it holds until it is answered.
#[derive(Debug)]
pub struct Job {
    order: Order,
    path: String,
    told: Option<Told>,
    _working: Option<Working<String, Operation>>,
}

/// Why a request is refused.
struct Refusal {
    status: StatusCode,
    reason: String,
    /// None where a correct client may run into it.
    violation: Option<Violation>,
}

impl Refusal {
    /// A request nobody should make.
    fn malformed(status: StatusCode, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, violation: Some(Violation::Malformed { reason: reason.clone() }), reason }
    }

    fn bad_request(reason: impl Into<String>) -> Self {
        Self::malformed(StatusCode::BAD_REQUEST, reason)
    }
}

impl Simulator for Lightspeed {
    type Operation = Operation;
    type Route = Route;
    type Job = Job;
    type Received = Received<Operation>;

    fn arrive(&self, incoming: &Incoming) -> Arrived<Route> {
        let route = route(&incoming.method, &incoming.path, &self.options.releases);
        let scopes = route.iter().flat_map(|route| {
            let kind = if route.operation.is_write() { "lightspeed:writes" } else { "lightspeed:reads" };
            [kind.to_owned(), "lightspeed".to_owned()]
        });
        let scopes = scopes.collect();
        let refused = |(status, reason)| self.refuse(Refusal::malformed(status, reason), None, &incoming.path, None);
        Arrived { scopes, route: route.map_err(refused) }
    }

    fn operation(route: &Route) -> Operation {
        route.operation
    }

    fn is_write(operation: Operation) -> bool {
        operation.is_write()
    }

    fn check(&self, route: Route, incoming: &Incoming) -> Result<(Job, Self::Received), Answer> {
        let path = &incoming.path;
        let operation = Some(route.operation);
        let parameters = Parameters::read(&incoming.query, route.operation);
        let let_in = self.let_in(&route, &parameters, incoming);
        let_in.map_err(|refusal| self.refuse(refusal, operation, path, None))?;
        let n_registers = self.ledger().store().n_registers();
        let told = self.set().throttle.ask(n_registers, incoming.at);
        let read = if told.is_some_and(|told| told.wait.is_some()) {
            let reason = "Rate limiting enforced".to_owned();
            Err(Refusal { status: StatusCode::TOO_MANY_REQUESTS, reason, violation: None })
        } else {
            self.read(&route, parameters, incoming)
        };
        let asked = read.map_err(|refusal| self.refuse(refusal, operation, path, told))?;
        let mut ledger = self.ledger();
        let is_write = route.operation.is_write();
        *if is_write { &mut ledger.calls.writes } else { &mut ledger.calls.reads } += 1;
        ledger.calls.largest_body = ledger.calls.largest_body.max(incoming.body.len());
        let working = order_of(&ledger, &asked).map(|order| ledger.enter(order, route.operation));
        let order = Order { operation: route.operation, generation: route.generation, asked };
        Ok((Job { order, path: path.clone(), told, _working: working }, incoming.received(route.operation)))
    }

    fn perform(&self, job: &mut Job, _reply: &Reply) -> Answer {
        let done = self.act(&job.order);
        let (status, body) = match done {
            Ok((status, body)) => (status, body.map(|body| body.get().to_owned())),
            Err(refused) => {
                let (status, body) = refusal(&refused, &self.set());
                (status, Some(body.get().to_owned()))
            }
        };
        self.answer(status, body.unwrap_or_default().into(), Some(job.order.operation), &job.path, job.told)
    }

    fn state(&self) -> Value {
        let ledger = self.ledger();
        let store = ledger.store();
        json!({
            "calls": ledger.calls(),
            "orders": ledger.orders().len(),
            "sales": store.sales().len(),
            "sales_that_stand": store.sales().iter().filter(|sale| sale.stands()).count(),
            "products": store.products().iter().filter(|product| product.is_there()).count(),
            "customers": store.customers().iter().filter(|customer| customer.is_there()).count(),
            "version": store.version(),
            "doubled": ledger.doubled(),
            "customers_overwritten": store.overwrites(),
            "n_violations": ledger.n_violations(),
            "violations": ledger.violations(),
        })
    }
}

impl Lightspeed {
    /// The answer also says where the application stands with its limit.
    fn answer(
        &self,
        status: StatusCode,
        body: Bytes,
        operation: Option<Operation>,
        path: &str,
        told: Option<Told>,
    ) -> Answer {
        if !status.is_success() {
            *self.ledger().calls.refused.entry(status.as_u16()).or_default() += 1;
        }
        let now = self.time.now();
        let mut set = self.set();
        if let Some(operation) = operation {
            if set.answered.len() == KEPT_ANSWERS {
                set.answered.pop_front();
            }
            let path = path.to_owned();
            set.answered.push_back(Answered { operation, path, status: status.as_u16(), body: body.clone() });
        }
        // Of this clock, which tests move: a client that corrects a time by it is right.
        let answer = Answer::json(status.as_u16(), body).header("date", &http_date(now));
        match told {
            Some(told) => told.write(answer, set.manner.retry_after, now),
            None => answer,
        }
    }

    fn refuse(&self, refusal: Refusal, operation: Option<Operation>, path: &str, told: Option<Told>) -> Answer {
        let Refusal { status, reason, violation } = refusal;
        if let Some(violation) = violation {
            self.ledger().violate(violation);
        }
        let body = answers::error(status, &reason, self.set().manner.errors);
        self.answer(status, body.get().to_owned().into(), operation, path, told)
    }

    /// Who asks, and whether it may ask this.
    fn let_in(&self, route: &Route, parameters: &Parameters, incoming: &Incoming) -> Result<(), Refusal> {
        let authorization = incoming.header("authorization");
        let personal = self.set().personal_token.clone();
        let is_personal = personal.is_some() && incoming.bearer_token() == personal.as_deref();
        if !is_personal && !self.tokens.accepts(authorization) {
            return Err(Refusal {
                status: StatusCode::UNAUTHORIZED,
                reason: "the token is missing, invalid or expired".to_owned(),
                violation: incoming.bearer_token().is_none().then_some(Violation::NoToken),
            });
        }
        // Observed (summary of "User Agent"): required. Assumed: 400.
        if incoming.header("user-agent").is_none_or(|agent| agent.trim().is_empty()) {
            let reason = "User-Agent is missing".to_owned();
            return Err(Refusal { status: StatusCode::BAD_REQUEST, reason, violation: Some(Violation::NoUserAgent) });
        }
        let mut scopes = route.operation.scopes();
        if route.operation == Operation::Search {
            let kind = parameters.kind().map_err(Refusal::bad_request)?;
            scopes.push(kind.scope().to_owned());
        }
        match scopes.into_iter().find(|scope| !is_personal && !self.tokens.grants(authorization, scope)) {
            None => Ok(()),
            Some(scope) => {
                let reason = format!("the token has no scope {scope}");
                Err(Refusal { status: StatusCode::FORBIDDEN, reason, violation: None })
            }
        }
    }

    fn read(&self, route: &Route, parameters: Parameters, incoming: &Incoming) -> Result<Asked, Refusal> {
        let has_body = matches!(
            route.operation,
            Operation::CreateSale
                | Operation::UpdateSale
                | Operation::SaveLegacySale
                | Operation::CreateCustomer
                | Operation::UpdateCustomer
                | Operation::CreateProduct
                | Operation::OpenRegister
                | Operation::CloseRegister
        );
        if has_body && !incoming.is_json() {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refusal::malformed(status, "Content-Type is not application/json"));
        }
        if !has_body && !incoming.body.is_empty() {
            return Err(Refusal::bad_request("a body where none belongs"));
        }
        for name in &parameters.unknown {
            self.ledger().violate(Violation::IgnoredParameter { name: name.clone() });
        }
        self.read_asked(route, parameters, &incoming.body).map_err(Refusal::bad_request)
    }

    fn read_asked(&self, route: &Route, parameters: Parameters, body: &[u8]) -> Result<Asked, String> {
        let (money, most) = {
            let set = self.set();
            (set.rules.money, set.rules.max_page_size)
        };
        let id = route.id.clone();
        let page = |resource: Option<Resource>| {
            let has_deleted = resource.is_some_and(|resource| resource.parameters().contains(&"deleted"));
            Ok::<_, String>(Page {
                after: parameters.number("after")?,
                before: parameters.number("before")?,
                size: parameters.page_size(most)?,
                // Lists that do not know the word have no deleted records, or show them always. Assumed.
                with_deleted: !has_deleted || parameters.with_deleted()?,
            })
        };
        Ok(match route.operation {
            Operation::Retailer => Asked::Retailer,
            Operation::CurrentUser => Asked::CurrentUser,
            Operation::List(resource) => Asked::List { resource, page: page(Some(resource))? },
            Operation::ReadStock => Asked::ReadStock { id, page: page(None)? },
            Operation::Search => {
                let (offset, size) = parameters.part()?;
                Asked::Search { kind: parameters.kind()?, offset, size, parameters }
            }
            Operation::Read(resource) => Asked::Read { resource, id },
            Operation::ReadLegacySale => Asked::ReadLegacySale { id },
            Operation::CreateSale => Asked::CreateSale(body::dated_sale(body, money)?),
            Operation::UpdateSale => {
                let body = body::dated_sale(body, money)?;
                if body.id.as_ref().is_some_and(|other| *other != id) {
                    return Err("the ids of path and body differ".to_owned());
                }
                Asked::UpdateSale { id, body }
            }
            Operation::SaveLegacySale => Asked::SaveLegacySale(body::legacy_sale(body, money)?),
            Operation::StartReturn => Asked::StartReturn { id },
            Operation::CreateCustomer => Asked::CreateCustomer(Box::new(body::customer(body)?)),
            Operation::UpdateCustomer => Asked::UpdateCustomer { id, details: Box::new(body::customer(body)?) },
            Operation::DeleteCustomer => Asked::DeleteCustomer { id },
            Operation::CreateProduct => Asked::CreateProduct(Box::new(body::product(body)?)),
            Operation::DeleteProduct => Asked::DeleteProduct { id },
            Operation::OpenRegister => Asked::OpenRegister { id, at: body::opening(body)? },
            Operation::CloseRegister => {
                body::closing(body)?;
                Asked::CloseRegister { id }
            }
        })
    }
}
