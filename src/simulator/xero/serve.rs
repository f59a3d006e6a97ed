//! How one request is treated: found its way, let in, counted, checked, done and answered.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Answered, App, Received, Xero,
    amount::UnitPlaces,
    answers, body,
    books::{Books, DocumentKind, How},
    family::Member,
    json::{Json, to_xml},
    ledger::{Ledger, Violation},
    perform::{Asked, Elements, Filter, Order, filterable},
    query::{Parameters, Where, modified_since},
    route::{API_PATH, Operation, Resource, Route, route},
    rules::ScopeRefusal,
    throttle::Told,
};
use crate::simulator::{
    conduct::Working,
    digest::short_hash,
    faults::{Answer, Reply},
    shell::{Arrived, Destination, Incoming, Simulator},
};

/// In characters. Source: xero_accounting.yaml, parameter `idempotencyKey`.
const MAX_KEY: usize = 128;

/// How many answers are kept.
const KEPT_ANSWERS: usize = 10_000;

/// A request of the right form, and what it holds until it is answered.
#[derive(Debug)]
pub struct Job {
    order: Order,
    told: Option<Told>,
    asker: Asker,
    _in_progress: InProgress,
    _working: Vec<Working<String, Operation>>,
}

/// What an answer is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Xml,
}

/// Who is answered.
#[derive(Debug, Clone, Copy)]
struct Asker {
    /// None where the path leads nowhere.
    operation: Option<Operation>,
    format: Format,
}

/// Why a request is refused.
struct Refusal {
    status: StatusCode,
    body: Json,
    /// None where a correct client may run into it.
    violation: Option<Violation>,
}

impl Refusal {
    /// A request nobody should make.
    fn malformed(status: StatusCode, kind: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, body: answers::exception(17, kind, &reason), violation: Some(Violation::Malformed { reason }) }
    }

    fn bad_query(reason: String) -> Self {
        Self::malformed(StatusCode::BAD_REQUEST, "QueryParseException", reason)
    }

    fn bad_body(reason: String) -> Self {
        Self::malformed(StatusCode::BAD_REQUEST, "PostDataInvalidException", reason)
    }

    fn not_found() -> Self {
        let body = answers::exception(404, "NotFound", "The resource you're looking for cannot be found");
        Self { status: StatusCode::NOT_FOUND, body, violation: None }
    }
}

/// A call in progress, until this is dropped: also when its client has left.
#[derive(Debug)]
struct InProgress {
    count: Arc<AtomicU32>,
    /// With this one.
    running: u32,
}

impl InProgress {
    fn enter(count: &Arc<AtomicU32>) -> Self {
        Self { count: Arc::clone(count), running: count.fetch_add(1, Ordering::AcqRel) + 1 }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Simulator for Xero {
    type Operation = Operation;
    type Route = Route;
    type Job = Job;
    type Received = Received;

    fn arrive(&self, incoming: &Incoming) -> Arrived<Route> {
        let route = route(&incoming.method, &incoming.path);
        let scopes = route.iter().flat_map(|route| {
            let kind = if route.operation.is_write() { "xero:writes" } else { "xero:reads" };
            [kind.to_owned(), "xero".to_owned()]
        });
        let scopes = scopes.collect();
        let refused = |(status, reason)| {
            let asker = Asker { operation: None, format: self.format(incoming) };
            self.refuse(Refusal::malformed(status, "NoSuchPath", reason), asker, None)
        };
        Arrived { scopes, route: route.map_err(refused) }
    }

    fn operation(route: &Route) -> Operation {
        route.operation
    }

    fn is_write(operation: Operation) -> bool {
        operation.is_write()
    }

    fn check(&self, route: Route, incoming: &Incoming) -> Result<(Job, Received), Answer> {
        let in_progress = InProgress::enter(&self.in_progress);
        let asker = Asker { operation: Some(route.operation), format: self.format(incoming) };
        self.authorise(&route, incoming).map_err(|refusal| self.refuse(refusal, asker, None))?;
        let told = self.count_in(&route, in_progress.running, incoming);
        let is_over = told.as_ref().is_some_and(|told| told.problem.is_some());
        let read = if is_over {
            let body = answers::problem("Too Many Requests", 429, "a limit is used up");
            Err(Refusal { status: StatusCode::TOO_MANY_REQUESTS, body, violation: None })
        } else {
            self.read(&route, incoming)
        };
        let order = read.map_err(|refusal| self.refuse(refusal, asker, told.as_ref()))?;
        let received = Received {
            operation: route.operation,
            path: incoming.path.clone(),
            query: incoming.query.clone(),
            idempotency_key: order.key.clone(),
            body: incoming.body.clone(),
        };
        let working = self.enter(&order);
        Ok((Job { order, told, asker, _in_progress: in_progress, _working: working }, received))
    }

    fn perform(&self, job: &mut Job, _reply: &Reply) -> Answer {
        let (status, body) = self.answer_to(&job.order);
        self.answer(status, &body, job.asker, job.told.as_ref())
    }

    fn state(&self) -> Value {
        let ledger = self.ledger();
        let books = ledger.books();
        let count = |kind| books.documents().iter().filter(|document| document.kind == kind).count();
        json!({
            "calls": ledger.calls(),
            "orders": ledger.orders().len(),
            "invoices": count(DocumentKind::Invoice),
            "credit_notes": count(DocumentKind::CreditNote),
            "payments": books.payments().iter().filter(|payment| payment.is_live()).count(),
            "contacts": books.contacts().len(),
            "clearing": ledger.clearing_balances(),
            "doubled": ledger.doubled(),
            "contacts_overwritten": books.overwrites(),
            "n_violations": ledger.n_violations(),
            "violations": ledger.violations(),
        })
    }

    fn base_path(&self) -> String {
        API_PATH.to_owned()
    }
}

impl Xero {
    /// The answer also says where the application stands with its limits.
    fn answer(&self, status: StatusCode, body: &Json, asker: Asker, told: Option<&Told>) -> Answer {
        if !status.is_success() {
            *self.ledger().calls.refused.entry(status.as_u16()).or_default() += 1;
        }
        if let Some(operation) = asker.operation {
            self.keep(Answered { operation, status: status.as_u16(), body: body.get().to_owned().into() });
        }
        let mut answer = match asker.format {
            Format::Json => Answer::json(status.as_u16(), body.get().to_owned()),
            Format::Xml => {
                let headers = vec![("content-type".to_owned(), "text/xml; charset=utf-8".to_owned())];
                Answer { status: status.as_u16(), headers, body: to_xml(body.get()).into() }
            }
        };
        // Its own clock, and not that of the machine.
        answer.headers.push(("date".to_owned(), self.time.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()));
        match told {
            Some(told) => told.write(answer, &self.set().manner),
            None => answer,
        }
    }

    fn refuse(&self, refusal: Refusal, asker: Asker, told: Option<&Told>) -> Answer {
        let Refusal { status, body, violation } = refusal;
        if let Some(violation) = violation {
            self.ledger().violate(violation);
        }
        self.answer(status, &body, asker, told)
    }

    fn keep(&self, answered: Answered) {
        let mut set = self.set();
        if set.answered.len() == KEPT_ANSWERS {
            set.answered.pop_front();
        }
        set.answered.push_back(answered);
    }

    fn format(&self, incoming: &Incoming) -> Format {
        let accept = incoming.header("accept").unwrap_or_default();
        if accept.split(',').any(|kind| kind.split(';').next().map(str::trim) == Some("application/json")) {
            return Format::Json;
        }
        self.ledger().violate(Violation::NoAccept);
        Format::Xml
    }

    /// Who asks, and whether it may ask this.
    fn authorise(&self, route: &Route, incoming: &Incoming) -> Result<(), Refusal> {
        let authorization = incoming.header("authorization");
        if !self.tokens.accepts(authorization) {
            return Err(Refusal {
                status: StatusCode::UNAUTHORIZED,
                body: answers::problem("Unauthorized", 401, "TokenExpired, or never given out"),
                violation: incoming.bearer_token().is_none().then_some(Violation::NoToken),
            });
        }
        let scopes = route.operation.scopes();
        if !scopes.is_empty() && !scopes.iter().any(|scope| self.tokens.grants(authorization, scope)) {
            let (status, title) = match self.set().manner.scope_refusal {
                ScopeRefusal::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
                ScopeRefusal::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
            };
            let body = answers::problem(title, status.as_u16(), "AuthorizationUnsuccessful");
            return Err(Refusal { status, body, violation: None });
        }
        let is_right = match (incoming.header("xero-tenant-id"), &self.options.app) {
            _ if route.operation == Operation::Connections => true,
            // Source: a custom connection is of one organisation, which need not be named.
            (None, App::CustomConnection) => true,
            (None, App::CodeFlow { .. }) => false,
            (Some(tenant), _) => tenant == self.options.organisation.tenant_id,
        };
        if is_right {
            return Ok(());
        }
        let body = answers::problem("Forbidden", 403, "AuthenticationUnsuccessful");
        Err(Refusal { status: StatusCode::FORBIDDEN, body, violation: Some(Violation::WrongTenant) })
    }

    /// Counts a call. None where no organisation is asked.
    fn count_in(&self, route: &Route, running: u32, incoming: &Incoming) -> Option<Told> {
        if route.operation == Operation::Connections {
            return None;
        }
        let told = self.set().throttle.ask(running, incoming.at);
        let mut ledger = self.ledger();
        let calls = &mut ledger.calls;
        calls.peak_in_progress = calls.peak_in_progress.max(running);
        if told.problem.is_none() {
            *if route.operation.is_write() { &mut calls.writes } else { &mut calls.reads } += 1;
            calls.largest_body = calls.largest_body.max(incoming.body.len());
        }
        Some(told)
    }

    fn read(&self, route: &Route, incoming: &Incoming) -> Result<Order, Refusal> {
        let operation = route.operation;
        let has_body = operation.is_write() && operation != Operation::UndoAllocation;
        if has_body && !incoming.is_json() {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refusal::malformed(status, "UnsupportedMediaType", "Content-Type is not application/json"));
        }
        if !has_body && !incoming.body.is_empty() {
            return Err(Refusal::bad_body("a body where none belongs".to_owned()));
        }
        let parameters = Parameters::read(&incoming.query, operation.parameters()).map_err(Refusal::bad_query)?;
        let places = match parameters.get("unitdp") {
            None | Some("2") => UnitPlaces::Two,
            Some("4") => UnitPlaces::Four,
            Some(_) => return Err(Refusal::bad_query("unitdp is 2 or 4".to_owned())),
        };
        let summarize_errors = parameters.flag("summarizeErrors").map_err(Refusal::bad_query)?;
        let key = incoming.header("idempotency-key").map(str::to_owned);
        if key.as_ref().is_some_and(|key| key.is_empty() || key.chars().count() > MAX_KEY) {
            return Err(Refusal::bad_query(format!("Idempotency-Key has 1 to {MAX_KEY} characters")));
        }
        let asked = self.read_asked(route, incoming, parameters)?;
        let max_elements = self.set().rules.max_elements;
        let mut ledger = self.ledger();
        let n_elements = asked.n_elements();
        if n_elements > max_elements {
            return Err(Refusal::bad_body(format!("{n_elements} elements are more than {max_elements}")));
        }
        ledger.calls.largest_batch = ledger.calls.largest_batch.max(n_elements);
        note_habits(&mut ledger, operation, &asked, key.is_none() && has_body, summarize_errors.is_none());
        // Observed (traces of SDKs): what is left out counts as true. What cannot be summarised is refused as a whole.
        let summarizes = !operation.summarizes() || summarize_errors.unwrap_or(true);
        // The same to the byte is the same request.
        let Incoming { method, path, query, body, .. } = incoming;
        let fingerprint = short_hash(&[method.as_str().as_bytes(), path.as_bytes(), query.as_bytes(), body]);
        Ok(Order { operation, asked, places, summarizes, key, fingerprint })
    }

    fn read_asked(&self, route: &Route, incoming: &Incoming, parameters: Parameters) -> Result<Asked, Refusal> {
        if let Operation::List(resource) = route.operation {
            return Ok(Asked::List { resource, filter: self.filter(resource, incoming, parameters)? });
        }
        let body = &incoming.body;
        let ledger = self.ledger();
        let books = ledger.books();
        let at = |resource| place(books, resource, &route.id).ok_or_else(Refusal::not_found);
        Ok(match route.operation {
            Operation::Connections | Operation::List(_) => Asked::Connections,
            Operation::Read(resource) => Asked::Read { resource, at: at(resource)? },
            Operation::Create(resource) => read_elements(resource, body, How::Create)?,
            Operation::Save(resource) => read_elements(resource, body, How::CreateOrUpdate)?,
            Operation::Update(Resource::Payments) => {
                let at = at(Resource::Payments)?;
                let removal: body::RemovalBody =
                    serde_json::from_slice(body).map_err(|error| Refusal::bad_body(error.to_string()))?;
                Asked::RemovePayment { at, status: removal.status }
            }
            Operation::Update(resource) => {
                let asked = read_elements(resource, body, How::Update(at(resource)?))?;
                if asked.n_elements() != 1 {
                    return Err(Refusal::bad_body("one element belongs to one id".to_owned()));
                }
                asked
            }
            Operation::Allocate => {
                let credit_note = at(Resource::CreditNotes)?;
                Asked::Allocations { credit_note, all: elements("Allocations", body)? }
            }
            Operation::UndoAllocation => {
                let at = books.allocation_place(&route.id, &route.inner_id).ok_or_else(Refusal::not_found)?;
                Asked::UndoAllocation { at }
            }
            Operation::ReadHistory(resource) => at(resource).map(|_| Asked::ReadHistory { id: route.id.clone() })?,
            Operation::Annotate(resource) => {
                at(resource)?;
                Asked::Annotate { id: route.id.clone(), all: elements("HistoryRecords", body)? }
            }
        })
    }

    fn filter(&self, resource: Resource, incoming: &Incoming, parameters: Parameters) -> Result<Filter, Refusal> {
        let condition = parameters.get("where").map(|text| Where::parse(text, filterable(resource))).transpose();
        let condition = condition.map_err(Refusal::bad_query)?;
        if condition.is_some() && !self.set().rules.takes_where {
            // Observed (xero-python issue 148).
            let text = "This organisation has a high volume of transactions: the filter is not available";
            let body = answers::exception(16, "HighVolumeException", text);
            return Err(Refusal { status: StatusCode::BAD_REQUEST, body, violation: None });
        }
        let since = incoming.header("if-modified-since").map(modified_since).transpose();
        let modified_since = since.map_err(Refusal::bad_query)?;
        let page = parameters.page().map_err(Refusal::bad_query)?;
        Ok(Filter { parameters, condition, page, modified_since })
    }

    /// The orders a write is about are being worked on until the returned values are dropped.
    fn enter(&self, order: &Order) -> Vec<Working<String, Operation>> {
        if !order.operation.is_write() {
            return Vec::new();
        }
        let mut ledger = self.ledger();
        let orders = orders_of(&ledger, &order.asked);
        orders.into_iter().map(|one| ledger.enter(one, order.operation)).collect()
    }
}

/// What a client should not do although it is not refused.
fn note_habits(ledger: &mut Ledger, operation: Operation, asked: &Asked, has_no_key: bool, tells_nothing: bool) {
    if has_no_key {
        ledger.violate(Violation::NoKey { operation });
    }
    if tells_nothing && operation.summarizes() {
        ledger.violate(Violation::NoSummarizeErrors { operation });
    }
    let Asked::Documents { kind, elements } = asked else { return };
    if elements.how == How::CreateOrUpdate {
        ledger.violate(Violation::SavedByNumber { operation });
    }
    for body in &elements.all {
        let carries_details = body.contact.as_ref().is_some_and(|contact| {
            let body::ContactBody { contact_id, .. } = contact;
            contact_id.is_none()
                || *contact != body::ContactBody { contact_id: contact_id.clone(), ..Default::default() }
        });
        if carries_details {
            let document = body.number(*kind).unwrap_or_default().to_owned();
            ledger.violate(Violation::ContactDetails { document });
        }
    }
}

/// The Scoffable orders a write is about.
fn orders_of(ledger: &Ledger, asked: &Asked) -> BTreeSet<String> {
    let books = ledger.books();
    let of_number = |number: &str| ledger.member(number).map(|Member { order, .. }| order);
    let of_place = |at: usize| of_number(&books.documents()[at].number);
    let of_id = |id: &str| {
        let document = books.documents().iter().find(|document| document.id == id);
        document.and_then(|document| of_number(&document.number))
    };
    match asked {
        Asked::Documents { kind, elements } => match elements.how {
            How::Update(at) => of_place(at).into_iter().collect(),
            How::Create | How::CreateOrUpdate => {
                elements.all.iter().filter_map(|body| body.number(*kind)).filter_map(of_number).collect()
            }
        },
        Asked::Payments(all) => {
            let named = all.iter().flat_map(|body| {
                [(DocumentKind::Invoice, &body.invoice), (DocumentKind::CreditNote, &body.credit_note)]
            });
            let places = named.filter_map(|(kind, name)| name.as_ref().and_then(|name| books.named(kind, name)));
            places.filter_map(of_place).collect()
        }
        Asked::RemovePayment { at, .. } => of_id(&books.payments()[*at].document_id).into_iter().collect(),
        Asked::Allocations { credit_note, .. } => of_place(*credit_note).into_iter().collect(),
        Asked::UndoAllocation { at } => of_id(&books.allocations()[*at].credit_note_id).into_iter().collect(),
        Asked::Annotate { id, .. } => of_id(id).into_iter().collect(),
        Asked::Journals(elements) => match elements.how {
            How::Update(at) => ledger.journal_of(&books.journals()[at].narration).into_iter().collect(),
            How::Create | How::CreateOrUpdate => {
                let narrations = elements.all.iter().filter_map(|body| body.narration.as_deref());
                narrations.filter_map(|narration| ledger.journal_of(narration)).collect()
            }
        },
        Asked::Connections
        | Asked::List { .. }
        | Asked::Read { .. }
        | Asked::Contacts(_)
        | Asked::Items(_)
        | Asked::ReadHistory { .. } => BTreeSet::new(),
    }
}

impl Asked {
    fn n_elements(&self) -> usize {
        match self {
            Self::Documents { elements, .. } => elements.all.len(),
            Self::Contacts(elements) => elements.all.len(),
            Self::Items(elements) => elements.all.len(),
            Self::Journals(elements) => elements.all.len(),
            Self::Payments(all) => all.len(),
            Self::Allocations { all, .. } => all.len(),
            Self::Annotate { all, .. } => all.len(),
            Self::Connections
            | Self::List { .. }
            | Self::Read { .. }
            | Self::RemovePayment { .. }
            | Self::UndoAllocation { .. }
            | Self::ReadHistory { .. } => 0,
        }
    }
}

/// Where the thing with this id stands. A contact may be asked for by its number, too.
fn place(books: &Books, resource: Resource, id: &str) -> Option<usize> {
    match resource {
        Resource::Invoices => books.position_of(DocumentKind::Invoice, id),
        Resource::CreditNotes => books.position_of(DocumentKind::CreditNote, id),
        Resource::Payments => books.payment_place(id),
        Resource::Contacts => {
            books.contacts().iter().position(|contact| contact.id == id || contact.number.as_deref() == Some(id))
        }
        Resource::Items => books.item_place(id),
        Resource::ManualJournals => books.journal_place(id),
        Resource::Organisation
        | Resource::Accounts
        | Resource::TaxRates
        | Resource::Currencies
        | Resource::TrackingCategories => None,
    }
}

fn elements<T: DeserializeOwned>(name: &str, body: &[u8]) -> Result<Vec<T>, Refusal> {
    body::elements(name, body).map_err(Refusal::bad_body)
}

fn read_elements(resource: Resource, body: &[u8], how: How) -> Result<Asked, Refusal> {
    if let Some(kind) = resource.document_kind() {
        let all = body::documents(kind, body).map_err(Refusal::bad_body)?;
        return Ok(Asked::Documents { kind, elements: Elements { all, how } });
    }
    let name = resource.plural();
    Ok(match resource {
        Resource::Payments => Asked::Payments(elements(name, body)?),
        Resource::Contacts => Asked::Contacts(Elements { all: elements(name, body)?, how }),
        Resource::Items => Asked::Items(Elements { all: elements(name, body)?, how }),
        Resource::ManualJournals => Asked::Journals(Elements { all: elements(name, body)?, how }),
        _ => unreachable!("settings are only read, and no path leads to a write of one"),
    })
}
