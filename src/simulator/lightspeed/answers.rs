//! What things look like in an answer.
//!
//! Source: X-Series API 2.0 description, schemas and examples; the "2026-07 Sales API" description for sales under a dated
//! version. Observed (clients of the 0.9 API): `register_sale` and `register_sales` around a sale of the legacy dialect.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    amount::Fine,
    body::rfc3339,
    route::{Generation, Resource},
    rules::ErrorShape,
    store::{Customer, FIRST_VERSION, Line, Payment, Product, Register, Sale, Stock, Store, id_for},
};
use crate::simulator::json::{Json, Object};

/// Where the versions of settings begin, by what they are of.
const OUTLETS: u64 = FIRST_VERSION;
const USERS: u64 = FIRST_VERSION + 100;
const TAXES: u64 = FIRST_VERSION + 200;
const PAYMENT_TYPES: u64 = FIRST_VERSION + 300;

/// A record of a list, before it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub version: u64,
    pub is_deleted: bool,
    /// Where it stands in the store.
    pub at: usize,
}

/// Looks at a store for one generation of the API.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub store: &'a Store,
    pub generation: Generation,
}

impl View<'_> {
    /// All there are, in no order.
    pub fn records(self, resource: Resource) -> Vec<Record> {
        let Store { shop, .. } = self.store;
        let settings = |first: u64, deleted: Vec<bool>| {
            deleted.into_iter().enumerate().map(move |(at, is_deleted)| Record {
                version: first + at as u64,
                is_deleted,
                at,
            })
        };
        let numbered = |all: Vec<(u64, bool)>| {
            let one = |(at, (version, is_deleted))| Record { version, is_deleted, at };
            all.into_iter().enumerate().map(one).collect()
        };
        match resource {
            Resource::Sales => numbered(self.store.sales().iter().map(|one| (one.version, false)).collect()),
            Resource::Customers => {
                numbered(self.store.customers().iter().map(|one| (one.version, !one.is_there())).collect())
            }
            Resource::Products => {
                numbered(self.store.products().iter().map(|one| (one.version, !one.is_there())).collect())
            }
            Resource::Inventory => numbered(self.store.stocks().iter().map(|one| (one.version, false)).collect()),
            Resource::Registers => {
                numbered(self.store.registers().iter().map(|one| (one.version, one.deleted_at.is_some())).collect())
            }
            Resource::Outlets => settings(OUTLETS, shop.outlets.iter().map(|one| one.is_deleted).collect()).collect(),
            Resource::Users => settings(USERS, shop.users.iter().map(|one| one.is_deleted).collect()).collect(),
            Resource::Taxes => settings(TAXES, shop.taxes.iter().map(|one| one.is_deleted).collect()).collect(),
            Resource::PaymentTypes => {
                settings(PAYMENT_TYPES, shop.payment_types.iter().map(|one| one.is_deleted).collect()).collect()
            }
        }
    }

    pub fn show(self, resource: Resource, at: usize) -> Json {
        match resource {
            Resource::Sales => self.sale(&self.store.sales()[at]),
            Resource::Customers => customer(&self.store.customers()[at]),
            Resource::Products => product(&self.store.products()[at]),
            Resource::Inventory => stock(&self.store.stocks()[at]),
            Resource::Registers => register(&self.store.registers()[at]),
            Resource::Outlets => self.outlet(at),
            Resource::Users => self.user(at),
            Resource::Taxes => self.tax(at),
            Resource::PaymentTypes => self.payment_type(at),
        }
    }

    /// A page, with the smallest and the largest version on it.
    ///
    /// Source: dated versions have none of an empty page. Assumed: the 2.0 API has 0, as its description wants numbers.
    pub fn page(self, resource: Resource, records: &[Record]) -> Json {
        let data: Vec<Json> = records.iter().map(|record| self.show(resource, record.at)).collect();
        let versions = records.iter().map(|record| record.version);
        let (min, max) = (versions.clone().min(), versions.max());
        let version = match (min, self.generation) {
            (None, Generation::Legacy | Generation::Semantic) => json!({"min": 0, "max": 0}),
            _ => json!({"min": min, "max": max}),
        };
        Object::new().with("data", data).with("version", version).json()
    }

    pub fn sale(self, sale: &Sale) -> Json {
        match self.generation {
            Generation::Legacy => self.legacy_sale(sale),
            Generation::Semantic => self.semantic_sale(sale),
            Generation::Dated(_) => self.dated_sale(sale),
        }
    }

    fn dated_sale(self, sale: &Sale) -> Json {
        let totals = sale.totals();
        let lines: Vec<Json> = sale.lines.iter().map(|line| dated_line(line, sale)).collect();
        let payments: Vec<Json> = sale.payments.iter().map(|payment| self.dated_payment(payment, sale)).collect();
        let source = Object::new()
            .with("author", json!({"id": sale.author_id}))
            .with_some("id", sale.source_id.as_ref())
            .with("outlet_id", &sale.outlet_id)
            .with("register_id", &sale.register_id)
            .with("type", &sale.source_type)
            .json();
        let returned = Object::new()
            .with("is_return", sale.is_return())
            .with_some("original_sale_id", sale.return_for.as_ref())
            .with("return_sale_ids", &sale.return_ids)
            .json();
        let totals = Object::new()
            .with("loyalty", Fine::ZERO)
            .with("price", totals.price)
            .with("price_incl_tax", totals.with_tax())
            .with("surcharge", Fine::ZERO)
            .with("tax", totals.tax)
            .json();
        let metadata = Object::new()
            .with_some("complete_open_sequence_id", sale.open_sequence_id.as_ref())
            .with("has_unsynced_on_account_payments", false)
            .with("version", sale.version)
            .json();
        Object::new()
            .with("id", &sale.id)
            .with("state", sale.state.name())
            .with("attributes", &sale.attributes)
            .with("source", source)
            .with("date", rfc3339(sale.date))
            .with_some("customer_id", sale.customer_id.as_ref())
            .with("invoice_number", &sale.invoice_number)
            .with("receipt_number", &sale.invoice_number)
            .with("note", &sale.note)
            .with("short_code", &sale.short_code)
            .with("line_items", lines)
            .with("payments", payments)
            .with("adjustments", [(); 0])
            .with("taxes", self.taxes(sale, "tax"))
            .with("totals", totals)
            .with("return", returned)
            .with("created_at", rfc3339(sale.created_at))
            .with("updated_at", rfc3339(sale.updated_at))
            .with("_metadata", metadata)
            .json()
    }

    fn dated_payment(self, payment: &Payment, sale: &Sale) -> Json {
        let source = json!({"outlet_id": sale.outlet_id, "register_id": payment.register_id});
        let metadata = Object::new().with_some("register_open_sequence_id", payment.open_sequence_id.as_ref()).json();
        let (name, id) = self.type_of(payment);
        Object::new()
            .with("id", &payment.id)
            .with("amount", payment.amount)
            .with("date", rfc3339(payment.date))
            .with("source", source)
            .with("type", json!({"config_id": payment.type_id, "id": id, "name": name}))
            .with("_metadata", metadata)
            .json()
    }

    /// The name of its type, and the global id of that.
    fn type_of(self, payment: &Payment) -> (String, String) {
        let mut all = self.store.shop.payment_types.iter();
        let found = all.find(|one| one.id == payment.type_id);
        found.map(|one| (one.name.clone(), one.type_id.to_string())).unwrap_or_default()
    }

    /// The tax of a sale by what it is of, which has one rate of its own.
    fn taxes(self, sale: &Sale, amount: &str) -> Vec<Json> {
        let one = |tax: &super::Tax| {
            let lines = sale.lines.iter().filter(|line| line.tax_id == tax.id);
            let total: Option<Fine> = lines.map(Line::tax_total).reduce(|sum, one| sum + one);
            total.map(|total| Object::new().with("id", rate_id(&tax.id)).with(amount, total).json())
        };
        self.store.shop.taxes.iter().filter_map(one).collect()
    }

    fn semantic_sale(self, sale: &Sale) -> Json {
        let totals = sale.totals();
        let lines: Vec<Json> = sale.lines.iter().map(|line| semantic_line(line, sale)).collect();
        let payments: Vec<Json> = sale
            .payments
            .iter()
            .map(|payment| {
                let (name, id) = self.type_of(payment);
                Object::new()
                    .with("id", &payment.id)
                    .with("register_id", &payment.register_id)
                    .with("outlet_id", &sale.outlet_id)
                    .with("retailer_payment_type_id", &payment.type_id)
                    .with("payment_type_id", id)
                    .with("name", name)
                    .with("amount", payment.amount)
                    .with("payment_date", rfc3339(payment.date))
                    .with("external_attributes", [(); 0])
                    .json()
            })
            .collect();
        Object::new()
            .with("id", &sale.id)
            .with("outlet_id", &sale.outlet_id)
            .with("register_id", &sale.register_id)
            .with("user_id", &sale.author_id)
            .with_some("customer_id", sale.customer_id.as_ref())
            .with("invoice_number", &sale.invoice_number)
            .with("receipt_number", &sale.invoice_number)
            .with("source", &sale.source_type)
            .with_some("source_id", sale.source_id.as_ref())
            .with("complete_open_sequence_id", &sale.open_sequence_id)
            .with("status", sale.status())
            .with("state", sale.state.name())
            .with("attributes", &sale.attributes)
            .with("note", &sale.note)
            .with("short_code", &sale.short_code)
            .with("return_for", &sale.return_for)
            .with("return_ids", &sale.return_ids)
            .with("total_price", totals.price)
            .with("total_tax", totals.tax)
            .with("total_price_incl", totals.with_tax())
            .with("total_loyalty", Fine::ZERO)
            .with("created_at", rfc3339(sale.created_at))
            .with("updated_at", rfc3339(sale.updated_at))
            .with("sale_date", rfc3339(sale.date))
            .with("deleted_at", None::<()>)
            .with("line_items", lines)
            .with("payments", payments)
            .with("adjustments", [(); 0])
            .with("taxes", self.taxes(sale, "amount"))
            .with("version", sale.version)
            .json()
    }

    fn legacy_sale(self, sale: &Sale) -> Json {
        let totals = sale.totals();
        let lines: Vec<Json> = sale
            .lines
            .iter()
            .map(|line| {
                let attributes: Vec<_> =
                    line.note.iter().map(|note| json!({"name": "line_note", "value": note})).collect();
                Object::new()
                    .with("id", &line.id)
                    .with("product_id", &line.product_id)
                    .with("register_id", &sale.register_id)
                    .with("sequence", line.sequence)
                    .with("quantity", line.quantity)
                    .with("price", line.price)
                    .with("cost", line.cost)
                    .with("price_set", u8::from(line.is_price_set))
                    .with("discount", line.discount)
                    .with("loyalty_value", line.loyalty)
                    .with("tax", line.tax)
                    .with("tax_id", &line.tax_id)
                    .with("price_total", line.price_total())
                    .with("tax_total", line.tax_total())
                    .with("is_return", line.is_return())
                    .with("status", "CONFIRMED")
                    .with("attributes", attributes)
                    .json()
            })
            .collect();
        let payments: Vec<Json> = sale
            .payments
            .iter()
            .map(|payment| {
                let (name, id) = self.type_of(payment);
                Object::new()
                    .with("id", &payment.id)
                    .with("payment_type_id", id)
                    .with("register_id", &payment.register_id)
                    .with("retailer_payment_type_id", &payment.type_id)
                    .with("name", name)
                    .with("payment_date", plain_time(payment.date))
                    .with("amount", payment.amount)
                    .json()
            })
            .collect();
        let paid = sale.payments.iter().map(|payment| payment.amount).sum::<Fine>();
        let summed = Object::new()
            .with("total_tax", totals.tax)
            .with("total_price", totals.price)
            .with("total_payment", paid)
            .with("total_to_pay", totals.with_tax() - paid)
            .json();
        Object::new()
            .with("id", &sale.id)
            .with("source", &sale.source_type)
            .with("source_id", &sale.source_id)
            .with("register_id", &sale.register_id)
            .with("outlet_id", &sale.outlet_id)
            .with("user_id", &sale.author_id)
            .with("customer_id", &sale.customer_id)
            .with("invoice_number", &sale.invoice_number)
            .with("sale_date", plain_time(sale.date))
            .with("status", sale.status())
            .with("state", sale.state.name())
            .with("register_sale_attributes", &sale.attributes)
            .with("note", &sale.note)
            .with("short_code", &sale.short_code)
            .with("return_for", &sale.return_for)
            .with("return_ids", &sale.return_ids)
            .with("complete_open_sequence_id", &sale.open_sequence_id)
            .with("total_price", totals.price)
            .with("total_tax", totals.tax)
            .with("total_price_incl", totals.with_tax())
            .with("totals", summed)
            .with("register_sale_products", lines)
            .with("register_sale_payments", payments)
            .with("created_at", plain_time(sale.created_at))
            .with("updated_at", plain_time(sale.updated_at))
            .with("version", sale.version)
            .json()
    }

    fn outlet(self, at: usize) -> Json {
        let shop = &self.store.shop;
        let outlet = &shop.outlets[at];
        let tax = shop.taxes.iter().find(|tax| tax.is_default).map(|tax| tax.id.as_str());
        Object::new()
            .with("id", &outlet.id)
            .with("name", &outlet.name)
            .with("time_zone", &shop.time_zone)
            .with_some("default_tax_id", tax)
            .with("currency", &shop.currency)
            .with("currency_symbol", &shop.currency_symbol)
            .with("display_prices", if shop.tax_exclusive { "exclusive" } else { "inclusive" })
            .with("physical_country_id", &shop.country)
            .with("attributes", [(); 0])
            .with("deleted_at", self.deleted_at(outlet.is_deleted))
            .with("version", OUTLETS + at as u64)
            .json()
    }

    fn user(self, at: usize) -> Json {
        let user = &self.store.shop.users[at];
        let is_owner = at + 1 == self.store.shop.users.len();
        let opened_at = rfc3339(self.store.opened_at());
        Object::new()
            .with("id", &user.id)
            .with("username", &user.username)
            .with("display_name", &user.display_name)
            .with("email", format!("{}@example.org", user.username))
            .with("email_verified_at", None::<()>)
            .with("account_type", if is_owner { "admin" } else { "cashier" })
            .with("enabled", true)
            .with("restricted_outlet_ids", [(); 0])
            .with("is_primary_user", is_owner)
            .with("created_at", &opened_at)
            .with("updated_at", &opened_at)
            .with("deleted_at", self.deleted_at(user.is_deleted))
            .with("version", USERS + at as u64)
            .json()
    }

    fn tax(self, at: usize) -> Json {
        let tax = &self.store.shop.taxes[at];
        let rate = Object::new()
            .with("id", rate_id(&tax.id))
            .with("name", &tax.name)
            .with("rate", tax.rate)
            .with("display_name", &tax.name)
            .json();
        Object::new()
            .with("id", &tax.id)
            .with("name", &tax.name)
            .with("version", TAXES + at as u64)
            .with("rates", [rate])
            .with("is_default", tax.is_default)
            .with("display_name", &tax.name)
            .with("deleted_at", self.deleted_at(tax.is_deleted))
            .json()
    }

    fn payment_type(self, at: usize) -> Json {
        let payment_type = &self.store.shop.payment_types[at];
        Object::new()
            .with("id", &payment_type.id)
            .with("name", &payment_type.name)
            .with("type_id", payment_type.type_id)
            .with("deleted_at", self.deleted_at(payment_type.is_deleted))
            .with("version", PAYMENT_TYPES + at as u64)
            .json()
    }

    /// Settings remember only that they were deleted.
    fn deleted_at(self, is_deleted: bool) -> Option<String> {
        is_deleted.then(|| rfc3339(self.store.opened_at()))
    }

    pub fn retailer(self) -> Json {
        let shop = &self.store.shop;
        let retailer = Object::new()
            .with("id", &shop.retailer_id)
            .with("domain_prefix", &shop.domain_prefix)
            .with("name", &shop.name)
            .with("account_status", "active")
            .with("version", FIRST_VERSION.to_string())
            .with("discount_product_id", super::ids::DISCOUNT_PRODUCT)
            .with("no_tax_group_id", &shop.no_tax_id)
            .with("timezone", &shop.time_zone)
            .with("tax_exclusive", shop.tax_exclusive)
            .with("country", &shop.country)
            .with("currency", json!({"code": shop.currency, "symbol": shop.currency_symbol}))
            .with("store_credit", false)
            .with("created_at", rfc3339(self.store.opened_at()))
            .json();
        data(retailer)
    }
}

/// A single thing.
pub(super) fn data(thing: Json) -> Json {
    Object::new().with("data", thing).json()
}

/// What went wrong, with the name of the status.
pub(super) fn error(status: StatusCode, detail: &str, shape: ErrorShape) -> Json {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = match shape {
        ErrorShape::Envelope => json!({"error": title, "message": detail}),
        ErrorShape::Nested => json!({"error": {"code": status.as_u16(), "message": detail}}),
    };
    serde_json::value::to_raw_value(&body).expect("texts can be written")
}

/// A tax has one rate here.
fn rate_id(tax_id: &str) -> String {
    id_for("rate", tax_id)
}

/// As the legacy API writes it, in UTC.
fn plain_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// What of a line is the same in the newer two APIs.
fn tax_components(line: &Line) -> serde_json::Value {
    let total: serde_json::Value = serde_json::from_str(&line.tax_total().to_string()).unwrap_or_default();
    json!([{"rate_id": rate_id(&line.tax_id), "total_tax": total}])
}

fn dated_line(line: &Line, sale: &Sale) -> Json {
    let pricing = Object::new()
        .with("cost", line.cost)
        .with("cost_total", line.quantity.times(line.cost))
        .with("discount", line.discount)
        .with("discount_total", line.quantity.times(line.discount))
        .with("loyalty_amount", line.loyalty)
        .with("loyalty_amount_total", line.quantity.times(line.loyalty))
        .with("price", line.price)
        .with("total", line.price_total())
        .json();
    let tax = Object::new().with("amount", line.tax).with("id", &line.tax_id).with("total", line.tax_total()).json();
    let metadata = json!({
        "is_price_override": line.is_price_set, "sequence": line.sequence, "tax_components": tax_components(line),
    });
    Object::new()
        .with("id", &line.id)
        .with("product", json!({"id": line.product_id}))
        .with("quantity", line.quantity)
        .with("pricing", pricing)
        .with("tax", tax)
        .with_some("note", line.note.as_ref())
        .with("return", json!({"is_return": line.is_return()}))
        .with("source", json!({"register_id": sale.register_id}))
        .with("status", line_status(sale))
        .with("_metadata", metadata)
        .json()
}

fn semantic_line(line: &Line, sale: &Sale) -> Json {
    Object::new()
        .with("id", &line.id)
        .with("product_id", &line.product_id)
        .with("tax_id", &line.tax_id)
        .with("discount_total", line.quantity.times(line.discount))
        .with("discount", line.discount)
        .with("price_total", line.price_total())
        .with("price", line.price)
        .with("cost_total", line.quantity.times(line.cost))
        .with("cost", line.cost)
        .with("tax_total", line.tax_total())
        .with("tax", line.tax)
        .with("quantity", line.quantity)
        .with("loyalty_value", line.loyalty)
        .with("note", &line.note)
        .with("price_set", line.is_price_set)
        .with("status", line_status(sale))
        .with("sequence", line.sequence)
        .with("tax_components", tax_components(line))
        .with("is_return", line.is_return())
        .json()
}

fn line_status(sale: &Sale) -> &'static str {
    match sale.state {
        super::State::Parked | super::State::Pending => "SAVED",
        super::State::Closed => "CONFIRMED",
        super::State::Voided => "VOIDED",
    }
}

fn customer(customer: &Customer) -> Json {
    Object::new()
        .with("id", &customer.id)
        .with("name", customer.name())
        .with("year_to_date", 0)
        .with("balance", 0)
        .with("loyalty_balance", 0)
        .with_members_of(&super::CustomerDetails {
            customer_code: Some(customer.code.clone()),
            ..customer.details.clone()
        })
        .with("created_at", rfc3339(customer.created_at))
        .with("updated_at", rfc3339(customer.updated_at))
        .with("deleted_at", customer.deleted_at.map(rfc3339))
        .with("version", customer.version)
        .json()
}

fn product(product: &Product) -> Json {
    Object::new()
        .with("id", &product.id)
        .with("name", &product.name)
        .with("variant_name", &product.name)
        .with("handle", &product.handle)
        .with("sku", &product.sku)
        .with("description", &product.description)
        .with("source", &product.source)
        .with("source_id", &product.source_id)
        .with("active", product.is_active)
        .with("is_active", product.is_active)
        .with("has_inventory", product.has_inventory)
        .with("is_composite", false)
        .with("has_variants", false)
        .with("supply_price", product.supply_price)
        .with("price_including_tax", product.price_including_tax)
        .with("price_excluding_tax", product.price_excluding_tax)
        .with("variant_options", [(); 0])
        .with("categories", [(); 0])
        .with("images", [(); 0])
        .with("tag_ids", [(); 0])
        .with("attributes", [(); 0])
        .with("created_at", rfc3339(product.created_at))
        .with("updated_at", rfc3339(product.updated_at))
        .with("deleted_at", product.deleted_at.map(rfc3339))
        .with("version", product.version)
        .json()
}

fn stock(stock: &Stock) -> Json {
    Object::new()
        .with("id", &stock.id)
        .with("product_id", &stock.product_id)
        .with("outlet_id", &stock.outlet_id)
        .with("inventory_level", stock.level)
        .with("current_amount", stock.level)
        .with("reorder_point", None::<()>)
        .with("reorder_amount", None::<()>)
        .with("version", stock.version)
        .json()
}

fn register(register: &Register) -> Json {
    Object::new()
        .with("id", &register.id)
        .with("name", &register.name)
        .with("outlet_id", &register.outlet_id)
        .with("ask_for_note_on_save", 1)
        .with("print_note_on_receipt", false)
        .with("ask_for_user_on_sale", false)
        .with("show_discounts_on_receipts", true)
        .with("print_receipt", true)
        .with("email_receipt", false)
        .with("invoice_prefix", &register.invoice_prefix)
        .with("invoice_suffix", &register.invoice_suffix)
        .with("invoice_sequence", register.invoice_sequence)
        .with("is_open", register.is_open())
        .with("register_open_time", register.opened_at.map(rfc3339))
        .with("register_close_time", register.closed_at.map(rfc3339))
        .with("register_open_sequence_id", &register.open_sequence_id)
        .with("deleted_at", register.deleted_at.map(rfc3339))
        .with("version", register.version)
        .json()
}
