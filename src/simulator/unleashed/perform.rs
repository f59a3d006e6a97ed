//! What a request does to the account, and what it is answered.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};

use super::{
    Guid, Set, Unleashed,
    account::{
        Account, CreditNote, CreditStatus, Customer, Desk, Invoice, Level, OrderStatus, Product, Refusal, SalesOrder,
    },
    answers::{self, Json, View},
    body::{CreditBody, CreditLineBody, CustomerBody, OrderBody, ProductBody},
    ledger::Ledger,
    query::Parameters,
    route::Resource,
};
use crate::simulator::amount::Fine;

/// What is asked for, read from a request of the right form.
#[derive(Debug)]
pub(super) enum Asked {
    List { resource: Resource, listing: Listing },
    Read { resource: Resource, guid: Guid },
    StockByWarehouse { product: Guid },
    PostOrder { guid: Option<Guid>, body: Box<OrderBody> },
    PutOrder { guid: Guid, body: Box<OrderBody> },
    CompleteOrder { guid: Guid },
    DeleteOrder { guid: Guid },
    DeleteOrderLine { line: Guid },
    SaveCustomer { guid: Option<Guid>, body: Box<CustomerBody> },
    SaveProduct { guid: Option<Guid>, body: Box<ProductBody> },
    ObsoleteProduct { guid: Guid },
    FreeCredit { body: Box<CreditBody> },
    PutCredit { guid: Guid, body: Box<CreditBody> },
    SaveCreditLine { guid: Guid, line: Option<Guid>, body: Box<CreditLineBody> },
    DeleteCreditLine { guid: Guid, line: Guid },
    CompleteCredit { guid: Guid },
    DeleteCredit { guid: Guid },
}

/// Which part of a collection.
#[derive(Debug)]
pub(super) struct Listing {
    pub page: usize,
    pub size: usize,
    pub since: Option<DateTime<Utc>>,
    /// Of order dates, both inclusive.
    pub from: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    pub shows_obsolete: bool,
    pub is_brief: bool,
    pub parameters: Parameters,
}

impl Unleashed {
    pub(super) fn act(&self, set: &Set, ledger: &mut Ledger, asked: &Asked) -> Result<(StatusCode, Json), Refusal> {
        let now = self.time.now();
        let desk = Desk { rules: &set.rules, now };
        let ok = |json| Ok((StatusCode::OK, json));
        match asked {
            Asked::List { resource, listing } => {
                let view = View { account: ledger.account(), tells_ids: true };
                ok(answers::page(list(*resource, listing, view), listing.page, listing.size))
            }
            Asked::Read { resource, guid } => {
                let view = View { account: ledger.account(), tells_ids: true };
                ok(read(*resource, *guid, view).ok_or_else(|| Refusal::not_found("What was asked for"))?)
            }
            Asked::StockByWarehouse { product } => {
                let view = View { account: ledger.account(), tells_ids: true };
                let product = view.account.product_of(*product).ok_or_else(|| Refusal::not_found("Product"))?;
                let levels = view.account.levels().filter(|(of, _, _)| *of == product.guid);
                let all = levels.filter_map(|(_, warehouse, level)| in_warehouse(view, product, warehouse, level));
                ok(answers::page(all.collect(), 1, answers::ALL))
            }
            Asked::PostOrder { guid, body } => {
                ledger.order_is_to_be_made(*guid);
                let saved = ledger.account.post_order(*guid, body, desk)?;
                if saved.is_new {
                    ledger.order_was_made(saved.at);
                }
                let status = if saved.is_new { StatusCode::CREATED } else { StatusCode::OK };
                Ok((status, shown(set, ledger).order(&ledger.account().orders()[saved.at])))
            }
            Asked::PutOrder { guid, body } => {
                let at = ledger.account.put_order(*guid, body, desk)?;
                ok(shown(set, ledger).order(&ledger.account().orders()[at]))
            }
            Asked::CompleteOrder { guid } => {
                ledger.order_is_to_be_completed(*guid);
                let at = ledger.account.complete_order(*guid, desk)?;
                ok(shown(set, ledger).order(&ledger.account().orders()[at]))
            }
            Asked::DeleteOrder { guid } => {
                ledger.account.delete_order(*guid, now)?;
                ok(answers::nothing())
            }
            Asked::DeleteOrderLine { line } => {
                ledger.account.delete_order_line(*line, desk)?;
                ok(answers::nothing())
            }
            Asked::SaveCustomer { guid, body } => {
                let at = ledger.account.save_customer(*guid, body, desk)?;
                Ok((StatusCode::CREATED, shown(set, ledger).customer(&ledger.account().customers()[at])))
            }
            Asked::SaveProduct { guid, body } => {
                let at = ledger.account.save_product(*guid, body, desk)?;
                Ok((StatusCode::CREATED, shown(set, ledger).product(&ledger.account().products()[at])))
            }
            Asked::ObsoleteProduct { guid } => {
                let at = ledger.account.make_obsolete(*guid, now)?;
                ok(shown(set, ledger).product(&ledger.account().products()[at]))
            }
            Asked::FreeCredit { body } => {
                let at = ledger.account.post_credit(body, desk)?;
                ledger.credit_was_made(at);
                Ok((StatusCode::CREATED, shown(set, ledger).credit(&ledger.account().credits()[at])))
            }
            Asked::PutCredit { guid, body } => {
                let at = ledger.account.put_credit(*guid, body, desk)?;
                ok(shown(set, ledger).credit(&ledger.account().credits()[at]))
            }
            Asked::SaveCreditLine { guid, line, body } => {
                let at = ledger.account.save_credit_line(*guid, *line, body, desk)?;
                ok(shown(set, ledger).credit(&ledger.account().credits()[at]))
            }
            Asked::DeleteCreditLine { guid, line } => {
                let at = ledger.account.delete_credit_line(*guid, *line, now)?;
                ok(shown(set, ledger).credit(&ledger.account().credits()[at]))
            }
            Asked::CompleteCredit { guid } => {
                let at = ledger.account.complete_credit(*guid, desk)?;
                ledger.credit_was_completed(at);
                ok(shown(set, ledger).credit(&ledger.account().credits()[at]))
            }
            Asked::DeleteCredit { guid } => {
                ledger.account.delete_credit(*guid, now)?;
                ok(answers::nothing())
            }
        }
    }
}

/// As the answer to a write shows it.
fn shown<'a>(set: &Set, ledger: &'a Ledger) -> View<'a> {
    View { account: ledger.account(), tells_ids: set.rules.tells_ids }
}

fn read(resource: Resource, guid: Guid, view: View<'_>) -> Option<Json> {
    let account = view.account;
    match resource {
        Resource::SalesOrders => account.order_of(guid).map(|order| view.order(order)),
        Resource::Invoices => {
            account.invoices().iter().find(|invoice| invoice.guid == guid).and_then(|invoice| view.invoice(invoice))
        }
        Resource::CreditNotes => account.credit_of(guid).map(|note| view.credit(note)),
        Resource::Customers => account.customer(guid).map(|customer| view.customer(customer)),
        Resource::Products => account.product_of(guid).map(|product| view.product(product)),
        Resource::Warehouses => account.warehouse_of(guid).map(answers::warehouse),
        Resource::StockOnHand => together(view, account.product_of(guid)?),
        Resource::Taxes | Resource::Currencies => None,
    }
}

/// The stock of a product in all warehouses. None where nothing of it ever came or went.
fn together(view: View<'_>, product: &Product) -> Option<Json> {
    let account = view.account;
    let levels: Vec<_> = account.levels().filter(|(of, _, _)| *of == product.guid).collect();
    let on_hand = Fine(levels.iter().map(|(_, _, level)| level.on_hand.0).sum());
    let modified_at = levels.iter().map(|(_, _, level)| level.modified_at).max()?;
    let allocated = account.warehouses().iter().map(|one| account.allocated(product.guid, one.guid).0).sum();
    Some(answers::stock(product, None, Level { on_hand, modified_at }, Fine(allocated)))
}

fn in_warehouse(view: View<'_>, product: &Product, warehouse: Guid, level: Level) -> Option<Json> {
    let allocated = view.account.allocated(product.guid, warehouse);
    Some(answers::stock(product, Some(view.account.warehouse_of(warehouse)?), level, allocated))
}

/// Sorted as the documentation says of some: by code, or the latest change first.
fn list(resource: Resource, listing: &Listing, view: View<'_>) -> Vec<Json> {
    let account = view.account;
    match resource {
        Resource::SalesOrders => {
            let mut all: Vec<_> = account.orders().iter().filter(|order| listing.shows_order(order, account)).collect();
            all.sort_by_key(|order| std::cmp::Reverse(order.modified_at));
            all.into_iter().map(|order| view.order(order)).collect()
        }
        Resource::Invoices => {
            let parameters = &listing.parameters;
            let is_wanted = |invoice: &&Invoice| {
                let Some(order) = account.order_of(invoice.order_guid) else { return false };
                listing.is_since(invoice.modified_at)
                    && parameters.is_among("invoiceStatus", "Completed")
                    && parameters.is("orderNumber", &order.number)
                    && parameters.is("invoiceNumber", &invoice.number)
                    && parameters.starts("customerCode", code_of(account, order.customer_guid))
            };
            let mut all: Vec<_> = account.invoices().iter().filter(is_wanted).collect();
            all.sort_by_key(|invoice| std::cmp::Reverse(invoice.modified_at));
            all.into_iter().filter_map(|invoice| view.invoice(invoice)).collect()
        }
        Resource::CreditNotes => {
            let parameters = &listing.parameters;
            let is_wanted = |note: &&CreditNote| {
                let shows_deleted = parameters.get("creditStatus").is_some();
                listing.is_since(note.modified_at)
                    && (shows_deleted || note.status != CreditStatus::Deleted)
                    && parameters.is("creditNumber", &note.number)
                    && parameters.is_among("creditStatus", note.status.name())
                    && parameters.starts("customerCode", code_of(account, note.customer_guid))
            };
            let mut all: Vec<_> = account.credits().iter().filter(is_wanted).collect();
            all.sort_by_key(|note| std::cmp::Reverse(note.modified_at));
            all.into_iter().map(|note| view.credit(note)).collect()
        }
        Resource::Customers => {
            let parameters = &listing.parameters;
            let is_wanted = |customer: &&Customer| {
                listing.is_since(customer.modified_at)
                    && (listing.shows_obsolete || !customer.obsolete)
                    && parameters.starts("customerCode", &customer.code)
                    && parameters.starts("contactEmail", customer.email.as_deref().unwrap_or_default())
                    && parameters.is_in("customer", &customer.name)
            };
            let mut all: Vec<_> = account.customers().iter().filter(is_wanted).collect();
            all.sort_by(|one, other| one.code.cmp(&other.code));
            all.into_iter().map(|customer| view.customer(customer)).collect()
        }
        Resource::Products => {
            let parameters = &listing.parameters;
            let is_wanted = |product: &&Product| {
                listing.is_since(product.modified_at)
                    && (listing.shows_obsolete || !product.obsolete)
                    && parameters.starts("productCode", &product.code)
                    && parameters.is_in("product", &product.description)
            };
            let mut all: Vec<_> = account.products().iter().filter(is_wanted).collect();
            all.sort_by(|one, other| one.code.cmp(&other.code));
            let show =
                |product| if listing.is_brief { answers::product_in_brief(product) } else { view.product(product) };
            all.into_iter().map(show).collect()
        }
        Resource::StockOnHand => stock(listing, view),
        Resource::Warehouses => {
            let all = account.warehouses().iter().filter(|warehouse| listing.is_since(warehouse.modified_at));
            all.map(answers::warehouse).collect()
        }
        Resource::Taxes => account.settings.taxes.iter().map(answers::tax).collect(),
        Resource::Currencies => account.settings.currencies.iter().map(|code| answers::currency(code)).collect(),
    }
}

/// By product; of one warehouse where its code is given, else of all together.
fn stock(listing: &Listing, view: View<'_>) -> Vec<Json> {
    let (account, parameters) = (view.account, &listing.parameters);
    let is_wanted = |product: &&Product| {
        let changes = account.levels().filter(|(of, _, _)| *of == product.guid);
        let last = changes.map(|(_, _, level)| level.modified_at).max();
        last.is_some_and(|at| listing.is_since(at))
            && parameters.is_among("productId", &product.guid.to_string())
            && parameters.starts("productCode", &product.code)
    };
    let mut products: Vec<_> = account.products().iter().filter(is_wanted).collect();
    products.sort_by(|one, other| one.code.cmp(&other.code));
    let Some(code) = parameters.get("warehouseCode") else {
        return products.into_iter().filter_map(|product| together(view, product)).collect();
    };
    let Some(warehouse) = account.warehouse(code).map(|warehouse| warehouse.guid) else { return Vec::new() };
    let there = products.into_iter().filter_map(|product| {
        let (_, _, level) = account.levels().find(|(of, at, _)| (*of, *at) == (product.guid, warehouse))?;
        in_warehouse(view, product, warehouse, level)
    });
    there.collect()
}

fn code_of(account: &Account, customer: Guid) -> &str {
    account.customer(customer).map_or("", |customer| customer.code.as_str())
}

impl Listing {
    fn is_since(&self, modified_at: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| modified_at >= since)
    }

    /// Source: a number or a source id overrides all other filters; without a status, deleted orders are left out.
    /// Assumed: those two find the deleted as well.
    fn shows_order(&self, order: &SalesOrder, account: &Account) -> bool {
        let parameters = &self.parameters;
        if let Some(number) = parameters.get("orderNumber") {
            return order.number == number;
        }
        if let Some(source_id) = parameters.get("sourceId") {
            return order.source_id.as_deref() == Some(source_id);
        }
        let placed_at = order.order_date.and_time(chrono::NaiveTime::MIN).and_utc();
        let is_of_status = match parameters.get("orderStatus") {
            Some(_) => parameters.is_among("orderStatus", order.status.name()),
            None => order.status != OrderStatus::Deleted,
        };
        is_of_status
            && self.is_since(order.modified_at)
            && self.from.is_none_or(|from| placed_at >= from)
            && self.until.is_none_or(|until| placed_at <= until)
            && parameters.starts("customerCode", code_of(account, order.customer_guid))
    }
}
