//! What a shop holds, and what it lets happen to it. No HTTP, no clock: every write is told the time.
//!
//! One counter numbers every change of anything, so that a list of what has a higher number than before is a feed of changes.
//! Source: Lightspeed, "Pagination".
//!
//! # What may become of a sale
//!
//! | it is | it may become | stock of its products |
//! | --- | --- | --- |
//! | parked | anything | as it is |
//! | pending | anything | lowered if it is on account |
//! | closed | voided | lowered; raised by a return |
//! | voided | – | as if it never had been |
//!
//! Source: Lightspeed, "Sales statuses" and "Sales states and attributes".

mod catalogue;
mod customers;
mod hand;
mod registers;
mod returns;
mod sales;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};

pub(super) use self::sales::Saved;
pub use self::{
    catalogue::{Product, Stock},
    customers::{Customer, Overwrite},
    registers::Register,
    sales::{Attribute, Line, Payment, Sale, State, Totals},
};
use super::{route::Generation, rules::Rules, shop::Shop};
use crate::simulator::digest::short_hash;

/// Why a write is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub status: StatusCode,
    pub reason: String,
}

impl Refused {
    /// The request could be read, and is wrong.
    pub fn wrong(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, reason: reason.into() }
    }

    pub fn conflict(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, reason: reason.into() }
    }

    /// What it names is not there, or no longer.
    pub fn missing(what: &str, id: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, reason: format!("there is no {what} {id}") }
    }
}

/// What a write is done with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Desk<'a> {
    pub rules: &'a Rules,
    pub generation: Generation,
    pub now: DateTime<Utc>,
}

/// Everything in one shop.
#[derive(Debug, Clone)]
pub struct Store {
    pub shop: Shop,
    registers: Vec<Register>,
    sales: Vec<Sale>,
    products: Vec<Product>,
    stocks: Vec<Stock>,
    customers: Vec<Customer>,
    overwrites: Vec<Overwrite>,
    opened_at: DateTime<Utc>,
    version: u64,
    n_ids: u64,
}

impl Store {
    /// With these products, a hundred of each in every outlet.
    pub(super) fn new(shop: Shop, products: &[String], now: DateTime<Utc>) -> Self {
        let mut store = Self {
            registers: Vec::new(),
            sales: Vec::new(),
            products: Vec::new(),
            stocks: Vec::new(),
            customers: Vec::new(),
            overwrites: Vec::new(),
            opened_at: now,
            // Settings have the versions below.
            version: FIRST_VERSION + 1_000,
            n_ids: 0,
            shop,
        };
        store.set_up_registers(now);
        store.add_discount_product(now);
        for (at, name) in products.iter().enumerate() {
            store.add_product_by_hand(name, &(10_001 + at).to_string(), 100, now);
        }
        store
    }

    /// All sales ever, oldest first.
    pub fn sales(&self) -> &[Sale] {
        &self.sales
    }

    pub fn sale(&self, id: &str) -> Option<&Sale> {
        self.sale_place(id).map(|at| &self.sales[at])
    }

    pub(super) fn sale_place(&self, id: &str) -> Option<usize> {
        self.sales.iter().position(|sale| sale.id.eq_ignore_ascii_case(id))
    }

    /// All products ever, also deleted ones, but for those that are gone without a trace.
    pub fn products(&self) -> &[Product] {
        &self.products
    }

    pub fn product(&self, id: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.id == id)
    }

    pub fn stocks(&self) -> &[Stock] {
        &self.stocks
    }

    pub fn customers(&self) -> &[Customer] {
        &self.customers
    }

    pub fn customer(&self, id: &str) -> Option<&Customer> {
        self.customers.iter().find(|customer| customer.id == id)
    }

    /// Whose details were changed through the API.
    pub fn overwrites(&self) -> &[Overwrite] {
        &self.overwrites
    }

    pub fn registers(&self) -> &[Register] {
        &self.registers
    }

    pub fn register(&self, id: &str) -> Option<&Register> {
        self.registers.iter().find(|register| register.id == id)
    }

    /// When the shop was set up.
    pub fn opened_at(&self) -> DateTime<Utc> {
        self.opened_at
    }

    /// The version of the newest change.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn new_id(&mut self, of: &str) -> String {
        self.n_ids += 1;
        id_for(of, &self.n_ids.to_string())
    }
}

/// Versions of a shop begin somewhere, not at 1.
pub(super) const FIRST_VERSION: u64 = 5_000_000;

/// A UUID that always is the same for the same thing.
pub(super) fn id_for(of: &str, which: &str) -> String {
    let (high, low) = (short_hash(&[of.as_bytes(), which.as_bytes()]), short_hash(&[which.as_bytes(), of.as_bytes()]));
    let id = (u128::from(high) << 64) | u128::from(low);
    uuid::Builder::from_random_bytes(id.to_be_bytes()).into_uuid().to_string()
}
