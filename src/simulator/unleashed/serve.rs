//! How one request is treated: found its way, let in, counted, checked, done and answered.

use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Guid, Received, Unleashed,
    account::{CreditStatus, OrderStatus, Refusal},
    answers::{self, Json, xml_error},
    body::CustomerName,
    ledger::{Ledger, Violation},
    perform::{Asked, Listing},
    query::{MAX_PAGE_SIZE, Parameters},
    quota::Over,
    route::{Operation, Resource, Route, route},
    rules::{Blocked, SignedQuery, WrongSignature},
    signature,
};
use crate::simulator::{
    conduct::Working,
    faults::{Answer, Reply},
    shell::{Arrived, Destination, Incoming, Simulator},
};

/// A request of the right form, and what it holds until it is answered.
#[derive(Debug)]
pub struct Job {
    asked: Asked,
    _working: Option<Working<String, Operation>>,
    _completing: Option<Working<Guid, Operation>>,
}

impl Simulator for Unleashed {
    type Operation = Operation;
    type Route = Route;
    type Job = Job;
    type Received = Received;

    fn arrive(&self, incoming: &Incoming) -> Arrived<Route> {
        let route = route(&incoming.method, &incoming.path);
        let scopes = route.iter().flat_map(|route| {
            let kind = if route.operation.is_write() { "unleashed:writes" } else { "unleashed:reads" };
            [kind.to_owned(), "unleashed".to_owned()]
        });
        let scopes = scopes.collect();
        let refused = |(status, reason): (StatusCode, &str)| {
            self.ledger().violate(Violation::Malformed { reason: reason.to_owned() });
            self.refuse(&Refusal { status, text: reason.to_owned() })
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
        let operation = route.operation;
        self.check_accept(incoming)?;
        self.authorise(incoming)?;
        self.count_in(incoming)?;
        let asked = self.read(&route, incoming).map_err(|refusal| self.refuse(&refusal))?;
        let mut ledger = self.ledger();
        let calls = &mut ledger.calls;
        *if operation.is_write() { &mut calls.writes } else { &mut calls.reads } += 1;
        note_habits(&mut ledger, operation, &asked);
        let working = order_of(&ledger, &asked).map(|order| ledger.enter(order, operation));
        let completing = match &asked {
            Asked::CompleteOrder { guid } | Asked::CompleteCredit { guid } => {
                Some(ledger.enter_completion(*guid, operation))
            }
            _ => None,
        };
        drop(ledger);
        Ok((Job { asked, _working: working, _completing: completing }, incoming.received(operation)))
    }

    fn perform(&self, job: &mut Job, _reply: &Reply) -> Answer {
        let done = {
            let set = self.set();
            let mut ledger = self.ledger();
            let done = self.act(&set, &mut ledger, &job.asked);
            ledger.note_overwrites();
            done
        };
        let answer = match done {
            Ok((status, body)) => Answer::json(status.as_u16(), body.get().to_owned()),
            Err(refusal) => self.refuse(&refusal),
        };
        // Its own clock, and not that of the machine.
        answer.header("date", &self.time.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string())
    }

    fn state(&self) -> Value {
        let calls_of_month = self.set().quota.used();
        let ledger = self.ledger();
        let account = ledger.account();
        let orders = |status: &OrderStatus| account.orders().iter().filter(|order| order.status == *status).count();
        let credits = |status| account.credits().iter().filter(|note| note.status == status).count();
        json!({
            "calls": ledger.calls(),
            "calls_of_month": calls_of_month,
            "orders": ledger.orders().len(),
            "sales_orders": account.orders().len(),
            "completed": orders(&OrderStatus::Completed),
            "backordered": orders(&OrderStatus::Backordered),
            "deleted": orders(&OrderStatus::Deleted),
            "credit_notes": credits(CreditStatus::Completed),
            "parked_credit_notes": credits(CreditStatus::Parked),
            "customers": account.customers().len(),
            "products": account.products().len(),
            "doubled": ledger.doubled(),
            "overwritten": account.overwrites(),
            "n_violations": ledger.n_violations(),
            "violations": ledger.violations(),
        })
    }
}

impl Unleashed {
    fn refuse(&self, refusal: &Refusal) -> Answer {
        let Refusal { status, text } = refusal;
        self.refused(*status, &answers::error(text))
    }

    fn refused(&self, status: StatusCode, body: &Json) -> Answer {
        *self.ledger().calls.refused.entry(status.as_u16()).or_default() += 1;
        Answer::json(status.as_u16(), body.get().to_owned())
    }

    /// Source: JSON or XML is chosen by `Accept` and `Content-Type`. Assumed: this server has no XML but for errors, with
    /// these two statuses, and a request without a body may leave its type out.
    fn check_accept(&self, incoming: &Incoming) -> Result<(), Answer> {
        let accept = incoming.header("accept").unwrap_or_default();
        let mut kinds = accept.split(',').filter_map(|kind| kind.split(';').next()).map(str::trim);
        let (status, text, violation) = if !kinds.any(|kind| kind == "application/json") {
            (StatusCode::NOT_ACCEPTABLE, "Only application/json is answered", Violation::NoAccept)
        } else if !incoming.body.is_empty() && !incoming.is_json() {
            let reason = "Content-Type is not application/json".to_owned();
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Only application/json is read", Violation::Malformed { reason })
        } else {
            return Ok(());
        };
        let mut ledger = self.ledger();
        ledger.violate(violation);
        *ledger.calls.refused.entry(status.as_u16()).or_default() += 1;
        Err(xml_error(status, text))
    }

    /// Who asks. Assumed: whoever signs wrongly hears the same as whoever nobody knows.
    fn authorise(&self, incoming: &Incoming) -> Result<(), Answer> {
        let set = self.set();
        let form = set.rules.signed_query;
        let (refusal_status, client_type_required) = (set.rules.wrong_signature, set.rules.client_type_required);
        drop(set);
        let query = incoming.uri.query().unwrap_or_default();
        let signature = incoming.header("api-auth-signature").unwrap_or_default();
        let is_known = incoming.header("api-auth-id") == Some(self.options.api_id.as_str());
        let is_signed_in = |form| signature::is_right(&self.options.api_key, query, form, signature);
        if !is_known || !is_signed_in(form) {
            // A client may try the other form once.
            let is_other_form = SignedQuery::ALL.into_iter().any(is_signed_in);
            if !is_known || !is_other_form {
                self.ledger().violate(Violation::WrongSignature);
            }
            let status = match refusal_status {
                WrongSignature::Unauthorized => StatusCode::UNAUTHORIZED,
                WrongSignature::Forbidden => StatusCode::FORBIDDEN,
            };
            return Err(self.refuse(&Refusal { status, text: "Incorrect API id or signature".to_owned() }));
        }
        if !incoming.header("client-type").is_some_and(is_client_type) {
            self.ledger().violate(Violation::NoClientType);
            if client_type_required {
                return Err(self.refuse(&Refusal::bad("client-type is missing, or not partner/app")));
            }
        }
        Ok(())
    }

    fn count_in(&self, incoming: &Incoming) -> Result<(), Answer> {
        let now = self.time.now();
        let (over, blocked, tells_retry_after) = {
            let mut set = self.set();
            let over = set.quota.ask(now, incoming.at);
            (over, set.rules.blocked, set.rules.tells_retry_after)
        };
        let (status, text, wait) = match over {
            Ok(()) => return Ok(()),
            Err(Over::Minute(wait)) => (StatusCode::TOO_MANY_REQUESTS, "Too many requests", wait),
            Err(Over::Month(wait)) => match blocked {
                Blocked::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "API usage limit reached", wait),
                Blocked::Forbidden => (StatusCode::FORBIDDEN, "API usage limit reached", wait),
            },
        };
        self.ledger().calls.blocked += 1;
        let answer = self.refused(status, &answers::error(text));
        let is_throttled = status == StatusCode::TOO_MANY_REQUESTS;
        Err(if is_throttled && tells_retry_after { answer.retry_after(wait) } else { answer })
    }

    fn read(&self, route: &Route, incoming: &Incoming) -> Result<Asked, Refusal> {
        let operation = route.operation;
        let malformed = |reason: String| {
            self.ledger().violate(Violation::Malformed { reason: reason.clone() });
            Refusal::bad(reason)
        };
        if !incoming.is_json() {
            self.ledger().violate(Violation::NoContentType { operation });
        }
        // Completing may come with an empty object.
        if !operation.has_body() && !matches!(incoming.body.trim_ascii(), b"" | b"{}") {
            return Err(malformed("A body where none belongs".to_owned()));
        }
        let parameters = Parameters::read(&incoming.query, operation.parameters()).map_err(malformed)?;
        let to = &route.to;
        let guid = || to.guid.ok_or_else(|| Refusal::not_found("Guid"));
        let line = || to.line.ok_or_else(|| Refusal::not_found("Guid of a line"));
        let body = &incoming.body;
        Ok(match operation {
            Operation::List(resource) => {
                Asked::List { resource, listing: listing(to.page, parameters).map_err(malformed)? }
            }
            Operation::Read(resource) => Asked::Read { resource, guid: guid()? },
            Operation::StockByWarehouse => Asked::StockByWarehouse { product: guid()? },
            Operation::Save(Resource::Customers) => {
                Asked::SaveCustomer { guid: to.guid, body: parsed(body).map_err(malformed)? }
            }
            Operation::Save(Resource::Products) => {
                Asked::SaveProduct { guid: to.guid, body: parsed(body).map_err(malformed)? }
            }
            Operation::Save(_) => Asked::PostOrder { guid: to.guid, body: parsed(body).map_err(malformed)? },
            Operation::Update(Resource::CreditNotes) => {
                Asked::PutCredit { guid: guid()?, body: parsed(body).map_err(malformed)? }
            }
            Operation::Update(_) => Asked::PutOrder { guid: guid()?, body: parsed(body).map_err(malformed)? },
            Operation::Complete(Resource::CreditNotes) => Asked::CompleteCredit { guid: guid()? },
            Operation::Complete(_) => Asked::CompleteOrder { guid: guid()? },
            Operation::Delete(Resource::CreditNotes) => Asked::DeleteCredit { guid: guid()? },
            Operation::Delete(_) => Asked::DeleteOrder { guid: guid()? },
            Operation::DeleteLine(Resource::CreditNotes) => Asked::DeleteCreditLine { guid: guid()?, line: line()? },
            Operation::DeleteLine(_) => Asked::DeleteOrderLine { line: line()? },
            Operation::FreeCredit => Asked::FreeCredit { body: parsed(body).map_err(malformed)? },
            Operation::AddCreditLine | Operation::UpdateCreditLine => {
                Asked::SaveCreditLine { guid: guid()?, line: to.line, body: parsed(body).map_err(malformed)? }
            }
            Operation::ObsoleteProduct => Asked::ObsoleteProduct { guid: guid()? },
        })
    }
}

fn listing(page: usize, parameters: Parameters) -> Result<Listing, String> {
    Ok(Listing {
        page,
        size: parameters.page_size()?,
        since: parameters.time("modifiedSince")?,
        from: parameters.time("startDate")?,
        until: parameters.time("endDate")?,
        shows_obsolete: parameters.flag("includeObsolete")?,
        is_brief: parameters.flag("brief")?,
        parameters,
    })
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<Box<T>, String> {
    serde_json::from_slice(body).map(Box::new).map_err(|error| error.to_string())
}

/// `partner/app`, one lower-case word each.
fn is_client_type(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    text.split_once('/').is_some_and(|(partner, app)| is_word(partner) && is_word(app))
}

/// What a client should not do although it is not refused.
fn note_habits(ledger: &mut Ledger, operation: Operation, asked: &Asked) {
    let details = |customer: &Option<CustomerName>| {
        customer.as_ref().is_some_and(|name| name.name.is_some() || name.customer_code.is_some())
    };
    match asked {
        Asked::List { listing, .. } if listing.size == MAX_PAGE_SIZE => {
            ledger.violate(Violation::LargestPage { operation });
        }
        Asked::PostOrder { guid: None, .. }
        | Asked::SaveCustomer { guid: None, .. }
        | Asked::SaveProduct { guid: None, .. } => ledger.violate(Violation::NoGuid { operation }),
        _ => {}
    }
    match asked {
        Asked::PostOrder { body, .. } | Asked::PutOrder { body, .. } if details(&body.customer) => {
            let document = body.order_number.clone().unwrap_or_default();
            ledger.violate(Violation::CustomerDetails { document });
        }
        Asked::FreeCredit { body } | Asked::PutCredit { body, .. } if details(&body.customer) => {
            let document = body.reference.clone().unwrap_or_default();
            ledger.violate(Violation::CustomerDetails { document });
        }
        _ => {}
    }
}

/// The Scoffable order a write is about.
fn order_of(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let account = ledger.account();
    let named = |number: &str, source_id: Option<&str>| ledger.member_of(number, source_id).map(|member| member.order);
    let of_order = |guid| account.order_of(guid).and_then(|order| named(&order.number, order.source_id.as_deref()));
    let of_credit = |guid| ledger.order_of(account.credit_of(guid)?.reference.as_deref()?);
    match asked {
        Asked::PostOrder { body, .. } => named(body.order_number.as_deref()?, body.source_id.as_deref()),
        Asked::PutOrder { guid, .. } | Asked::CompleteOrder { guid } | Asked::DeleteOrder { guid } => of_order(*guid),
        Asked::DeleteOrderLine { line } => of_order(account.orders()[account.place_of_line(*line)?].guid),
        Asked::FreeCredit { body } => ledger.order_of(body.reference.as_deref()?),
        Asked::PutCredit { guid, .. }
        | Asked::SaveCreditLine { guid, .. }
        | Asked::DeleteCreditLine { guid, .. }
        | Asked::CompleteCredit { guid }
        | Asked::DeleteCredit { guid } => of_credit(*guid),
        Asked::List { .. }
        | Asked::Read { .. }
        | Asked::StockByWarehouse { .. }
        | Asked::SaveCustomer { .. }
        | Asked::SaveProduct { .. }
        | Asked::ObsoleteProduct { .. } => None,
    }
}
