//! What an Unleashed account holds, and what it lets happen to it. No HTTP, no clock: every write is told the time.
//!
//! Source: Unleashed API documentation; help centre, "Sales Order Statuses" and "How to edit a Sales Order".
//!
//! # What may be done to a sales order
//!
//! | it is | edited | completed | deleted |
//! | --- | --- | --- | --- |
//! | parked, placed, of a custom status | yes, but for its customer | yes | yes |
//! | backordered | no | yes | no |
//! | completed, deleted | no | no | no |
//!
//! Assumed: the row of the backordered; and that a credit note is edited, completed and deleted only while it is parked.

mod by_hand;
mod catalogue;
mod credits;
mod lines;
mod orders;
mod stock;

use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};

pub(super) use self::catalogue::MAX_CODE;
use self::stock::Stock;
pub use self::{
    catalogue::{Customer, Overwrite, Product, Warehouse},
    credits::{CreditNote, CreditStatus},
    lines::{Line, Totals},
    orders::{Delivery, Invoice, OrderStatus, SalesOrder},
    stock::Level,
};
use super::{Guid, rules::Rules};
use crate::simulator::amount::Fine;

/// Why a write is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub text: String,
}

impl Refusal {
    pub fn bad(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    pub fn conflict(text: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, text: text.into() }
    }

    pub fn not_found(what: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, text: format!("{what} was not found") }
    }
}

/// What a write is done with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Desk<'a> {
    pub rules: &'a Rules,
    pub now: DateTime<Utc>,
}

/// What a rate of tax is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tax {
    pub code: String,
    /// A fraction: 0.2 is a fifth.
    pub rate: Fine,
}

/// What does not change while an account is used.
#[derive(Debug, Clone)]
pub struct Settings {
    pub base_currency: String,
    /// With the base.
    pub currencies: Vec<String>,
    /// The first is what is used where none is named.
    pub taxes: Vec<Tax>,
}

impl Settings {
    fn tax(&self, code: &str) -> Option<&Tax> {
        self.taxes.iter().find(|tax| tax.code == code)
    }
}

/// Everything in one account.
#[derive(Debug, Clone)]
pub struct Account {
    pub settings: Settings,
    customers: Vec<Customer>,
    products: Vec<Product>,
    warehouses: Vec<Warehouse>,
    stock: Stock,
    orders: Vec<SalesOrder>,
    invoices: Vec<Invoice>,
    credits: Vec<CreditNote>,
    overwrites: Vec<Overwrite>,
    n_guids: u64,
    n_numbers: u64,
    touched_at: DateTime<Utc>,
}

impl Account {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            customers: Vec::new(),
            products: Vec::new(),
            warehouses: Vec::new(),
            stock: Stock::default(),
            orders: Vec::new(),
            invoices: Vec::new(),
            credits: Vec::new(),
            overwrites: Vec::new(),
            n_guids: 0,
            n_numbers: 0,
            touched_at: DateTime::UNIX_EPOCH,
        }
    }

    pub fn customers(&self) -> &[Customer] {
        &self.customers
    }

    pub fn customer(&self, guid: Guid) -> Option<&Customer> {
        self.customers.iter().find(|customer| customer.guid == guid)
    }

    pub fn products(&self) -> &[Product] {
        &self.products
    }

    pub fn product(&self, code: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.code == code)
    }

    pub fn product_of(&self, guid: Guid) -> Option<&Product> {
        self.products.iter().find(|product| product.guid == guid)
    }

    pub fn warehouses(&self) -> &[Warehouse] {
        &self.warehouses
    }

    pub fn warehouse(&self, code: &str) -> Option<&Warehouse> {
        self.warehouses.iter().find(|warehouse| warehouse.code == code)
    }

    pub(super) fn warehouse_of(&self, guid: Guid) -> Option<&Warehouse> {
        self.warehouses.iter().find(|warehouse| warehouse.guid == guid)
    }

    /// All sales orders ever, also those that were deleted; oldest first.
    pub fn orders(&self) -> &[SalesOrder] {
        &self.orders
    }

    /// The newest with this number.
    pub fn order(&self, number: &str) -> Option<&SalesOrder> {
        self.orders.iter().rfind(|order| order.number == number)
    }

    /// The newest with this GUID.
    pub fn order_of(&self, guid: Guid) -> Option<&SalesOrder> {
        self.order_place(guid).map(|at| &self.orders[at])
    }

    fn order_place(&self, guid: Guid) -> Option<usize> {
        self.orders.iter().rposition(|order| order.guid == guid)
    }

    pub fn invoices(&self) -> &[Invoice] {
        &self.invoices
    }

    /// All credit notes ever; oldest first.
    pub fn credits(&self) -> &[CreditNote] {
        &self.credits
    }

    pub fn credit_of(&self, guid: Guid) -> Option<&CreditNote> {
        self.credits.iter().find(|note| note.guid == guid)
    }

    /// Whenever a `POST` changed a customer or a product that was there.
    pub fn overwrites(&self) -> &[Overwrite] {
        &self.overwrites
    }

    fn new_guid(&mut self) -> Guid {
        self.n_guids += 1;
        Guid::of("made", &self.n_guids.to_string())
    }

    fn new_number(&mut self, prefix: &str) -> String {
        self.n_numbers += 1;
        format!("{prefix}-{:08}", self.n_numbers)
    }

    /// Later than every time given out before, as far as an answer can tell.
    fn touch(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.touched_at = now.max(self.touched_at + TimeDelta::milliseconds(1));
        self.touched_at
    }
}

fn read_guid(what: &str, text: &str) -> Result<Guid, Refusal> {
    text.parse().map_err(|_| Refusal::bad(format!("{what} is no GUID")))
}

/// The GUID in a body, which must be the one in the path.
fn same_guid(path: Option<Guid>, body: Option<&str>) -> Result<Option<Guid>, Refusal> {
    let body = body.map(|text| read_guid("Guid", text)).transpose()?;
    match (path, body) {
        (Some(path), Some(body)) if path != body => Err(Refusal::bad("Guid is not the one in the path")),
        (path, body) => Ok(path.or(body)),
    }
}

fn limited(what: &str, text: Option<&str>, most: usize) -> Result<(), Refusal> {
    match text {
        Some(text) if text.chars().count() > most => Err(Refusal::bad(format!("{what} is longer than {most}"))),
        _ => Ok(()),
    }
}
