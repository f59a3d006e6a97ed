//! What a well-formed request does, and what it is answered with.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};

use super::{
    Lightspeed, Set,
    answers::{self, Record, View, data},
    body::{CustomerDetails, ProductBody, SaleBody},
    ledger::{Ledger, Violation},
    query::{Kind, Parameters},
    route::{Generation, Operation, Resource},
    rules::{ReturnAnswer, WriteAnswer},
    store::{Desk, Refused, Sale, Saved, State},
};
use crate::simulator::{
    json::{Json, Object},
    shell::Destination,
};

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub after: Option<u64>,
    pub before: Option<u64>,
    pub size: usize,
    pub with_deleted: bool,
}

/// A request of the right form.
#[derive(Debug)]
pub(super) enum Asked {
    Retailer,
    CurrentUser,
    List { resource: Resource, page: Page },
    Search { kind: Kind, parameters: Parameters, offset: usize, size: usize },
    Read { resource: Resource, id: String },
    ReadStock { id: String, page: Page },
    ReadLegacySale { id: String },
    CreateSale(SaleBody),
    UpdateSale { id: String, body: SaleBody },
    SaveLegacySale(SaleBody),
    StartReturn { id: String },
    CreateCustomer(Box<CustomerDetails>),
    UpdateCustomer { id: String, details: Box<CustomerDetails> },
    DeleteCustomer { id: String },
    CreateProduct(Box<ProductBody>),
    DeleteProduct { id: String },
    OpenRegister { id: String, at: Option<DateTime<Utc>> },
    CloseRegister { id: String },
}

/// A request with what decides how it is answered.
#[derive(Debug)]
pub(super) struct Order {
    pub operation: Operation,
    pub generation: Generation,
    pub asked: Asked,
}

/// A status, and a body where the answer has one.
type Done = (StatusCode, Option<Json>);

impl Lightspeed {
    /// Does what is asked.
    pub(super) fn act(&self, order: &Order) -> Result<Done, Refused> {
        let set = self.set();
        let mut ledger = self.ledger();
        let clerk = Clerk { set: &set, generation: order.generation, now: self.time.now() };
        clerk.act(&mut ledger, &order.asked)
    }
}

/// Who does it.
#[derive(Clone, Copy)]
struct Clerk<'a> {
    set: &'a Set,
    generation: Generation,
    now: DateTime<Utc>,
}

fn found(body: Json) -> Done {
    (StatusCode::OK, Some(body))
}

impl<'a> Clerk<'a> {
    fn desk(self) -> Desk<'a> {
        Desk { rules: &self.set.rules, generation: self.generation, now: self.now }
    }

    fn view(self, ledger: &'a Ledger) -> View<'a> {
        View { store: ledger.store(), generation: self.generation }
    }

    fn show(self, ledger: &Ledger, resource: Resource, at: usize) -> Json {
        let view = View { store: ledger.store(), generation: self.generation };
        data(view.show(resource, at))
    }

    fn act(self, ledger: &mut Ledger, asked: &Asked) -> Result<Done, Refused> {
        Ok(match asked {
            Asked::Retailer
            | Asked::CurrentUser
            | Asked::List { .. }
            | Asked::Search { .. }
            | Asked::Read { .. }
            | Asked::ReadStock { .. }
            | Asked::ReadLegacySale { .. } => self.look(ledger, asked)?,
            Asked::CreateSale(body) => {
                ledger.is_posted(body.id.as_deref());
                let stood = body.id.as_deref().is_some_and(|id| ledger.store.sale(id).is_some_and(Sale::stands));
                let saved = ledger.store.create_sale(body, self.desk())?;
                self.kept(ledger, saved, stood)
            }
            Asked::UpdateSale { id, body } => {
                let stood = before_update(ledger, id, body);
                let saved = ledger.store.update_sale(id, body, self.desk())?;
                self.kept(ledger, saved, stood)
            }
            Asked::SaveLegacySale(body) => {
                let is_known = body.id.as_deref().is_some_and(|id| ledger.store.sale(id).is_some());
                let stood = match &body.id {
                    Some(id) if is_known => before_update(ledger, id, body),
                    id => {
                        ledger.is_posted(id.as_deref());
                        false
                    }
                };
                let saved = ledger.store.save_sale(body, self.desk())?;
                ledger.was_kept(saved.at, stood && !saved.is_new);
                let sale = self.view(ledger).show(Resource::Sales, saved.at);
                found(Object::new().with("register_sale", sale).json())
            }
            Asked::StartReturn { id } => {
                let at = ledger.store.start_return(id, self.desk())?;
                let generation = match (self.generation, self.set.manner.return_answer) {
                    (Generation::Dated(_), ReturnAnswer::Semantic) => Generation::Semantic,
                    (generation, ReturnAnswer::Dated | ReturnAnswer::Semantic) => generation,
                };
                found(Clerk { generation, ..self }.show(ledger, Resource::Sales, at))
            }
            Asked::CreateCustomer(details) => {
                let at = ledger.store.create_customer(details, self.desk())?;
                (StatusCode::CREATED, Some(self.show(ledger, Resource::Customers, at)))
            }
            Asked::UpdateCustomer { id, details } => {
                ledger.violate(Violation::CustomerUpdated { customer: id.clone() });
                let at = ledger.store.update_customer(id, details, self.desk())?;
                found(self.show(ledger, Resource::Customers, at))
            }
            Asked::DeleteCustomer { id } => {
                ledger.violate(Violation::CustomerDeleted { customer: id.clone() });
                ledger.store.delete_customer(id, self.now)?;
                (StatusCode::NO_CONTENT, None)
            }
            Asked::CreateProduct(body) => {
                let at = ledger.store.create_product(body, self.desk())?;
                let id = ledger.store().products()[at].id.clone();
                if body.inventory.is_some() {
                    ledger.violate(Violation::StockInvented { product: id.clone() });
                }
                // Source: 2.0 description, example of the answer: the ids alone.
                found(Object::new().with("data", [id]).json())
            }
            Asked::DeleteProduct { id } => {
                ledger.violate(Violation::ProductDeleted { product: id.clone() });
                ledger.store.delete_product(id, self.now)?;
                (StatusCode::OK, None)
            }
            Asked::OpenRegister { id, at } => {
                let place = ledger.store.open_register(id, *at, self.desk())?;
                found(self.show(ledger, Resource::Registers, place))
            }
            Asked::CloseRegister { id } => {
                let place = ledger.store.close_register(id, self.desk())?;
                found(self.show(ledger, Resource::Registers, place))
            }
        })
    }

    fn kept(self, ledger: &mut Ledger, saved: Saved, stood: bool) -> Done {
        ledger.was_kept(saved.at, stood && !saved.is_new);
        let id = ledger.store().sales()[saved.at].id.clone();
        found(match self.set.manner.write_answer {
            WriteAnswer::Whole => self.show(ledger, Resource::Sales, saved.at),
            WriteAnswer::Id => data(Object::new().with("id", id).json()),
        })
    }

    fn look(self, ledger: &mut Ledger, asked: &Asked) -> Result<Done, Refused> {
        if let Asked::Read { resource: Resource::Sales, id } | Asked::ReadLegacySale { id } = asked {
            ledger.was_looked_for(id);
        }
        let view = View { store: ledger.store(), generation: self.generation };
        let all = |resource| view.records(resource);
        Ok(match asked {
            Asked::Retailer => found(view.retailer()),
            Asked::CurrentUser => found(data(view.show(Resource::Users, 0))),
            Asked::List { resource, page } => found(view.page(*resource, &page.of(all(*resource)))),
            Asked::ReadStock { id, page } => {
                ledger.store().product_place(id)?;
                let stocks = ledger.store().stocks();
                let of_it = all(Resource::Inventory).into_iter().filter(|record| stocks[record.at].product_id == *id);
                found(view.page(Resource::Inventory, &page.of(of_it.collect())))
            }
            Asked::Search { kind, parameters, offset, size } => {
                let all = view
                    .found(*kind, parameters)
                    .map_err(|reason| Refused { status: StatusCode::BAD_REQUEST, reason })?;
                let part = all.into_iter().skip(*offset).take(*size);
                let data: Vec<Json> = part.map(|record| view.show(kind.resource(), record.at)).collect();
                found(Object::new().with("data", data).json())
            }
            Asked::Read { resource, id } => {
                let at = place(ledger, *resource, id)?;
                found(data(view.show(*resource, at)))
            }
            Asked::ReadLegacySale { id } => {
                // Observed (the owner's support program): what is not there is an empty list.
                let sales: Vec<Json> =
                    ledger.store().sale_place(id).map(|at| view.show(Resource::Sales, at)).into_iter().collect();
                found(Object::new().with("register_sales", sales).json())
            }
            _ => unreachable!("everything else writes, and is done elsewhere"),
        })
    }
}

/// Whether the sale stands that is about to be changed.
fn before_update(ledger: &mut Ledger, id: &str, body: &SaleBody) -> bool {
    let Some(at) = ledger.store.sale_place(id) else { return false };
    let stood = ledger.store.sales()[at].stands();
    let is_closed = ledger.store.sales()[at].state == State::Closed;
    if is_closed && body.states.contains(&State::Voided) {
        ledger.is_voided(at, body.lines.as_ref().map(Vec::len), body.payments.as_ref().map(Vec::len));
    }
    stood
}

impl Page {
    /// In the order of their versions.
    fn of(self, mut records: Vec<Record>) -> Vec<Record> {
        records.retain(|record| {
            self.after.is_none_or(|after| record.version > after)
                && self.before.is_none_or(|before| record.version < before)
                && (self.with_deleted || !record.is_deleted)
        });
        records.sort_by_key(|record| record.version);
        records.truncate(self.size);
        records
    }
}

/// Where a thing stands. Source: what is deleted is found only where it is asked for; assumed of a single one: a deleted
/// customer or product can still be read by its id, and says so.
fn place(ledger: &Ledger, resource: Resource, id: &str) -> Result<usize, Refused> {
    let store = ledger.store();
    let found = match resource {
        Resource::Sales => store.sale_place(id),
        Resource::Customers => store.customers().iter().position(|one| one.id == id),
        Resource::Products => store.products().iter().position(|one| one.id == id),
        Resource::Registers => store.registers().iter().position(|one| one.id == id),
        Resource::Outlets => store.shop.outlets.iter().position(|one| one.id == id),
        Resource::Users => store.shop.users.iter().position(|one| one.id == id),
        Resource::Inventory | Resource::Taxes | Resource::PaymentTypes => None,
    };
    found.ok_or_else(|| Refused::missing(resource.segment(), id))
}

/// The Scoffable order a write is about.
pub(super) fn order_of(ledger: &Ledger, asked: &Asked) -> Option<String> {
    let of_id = |id: &str| ledger.store().sale(id).and_then(|sale| ledger.order_of(sale));
    match asked {
        Asked::CreateSale(body) => body.source_id.clone(),
        Asked::SaveLegacySale(body) => body.source_id.clone().or_else(|| of_id(body.id.as_deref()?)),
        Asked::UpdateSale { id, .. } | Asked::StartReturn { id } => of_id(id),
        _ => None,
    }
}

/// What went wrong, as it is answered.
pub(super) fn refusal(refused: &Refused, set: &Set) -> (StatusCode, Json) {
    (refused.status, answers::error(refused.status, &refused.reason, set.manner.errors))
}
