//! What the account holds, as the API writes it. Source: Unleashed API documentation; observed in the sample answers of
//! public clients: dates in Microsoft's form, amounts in base currency beside the others.

use axum::{body::Bytes, http::StatusCode};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    Guid,
    account::{Account, CreditNote, Customer, Invoice, Level, Line, Product, SalesOrder, Tax, Warehouse},
};
use crate::simulator::{
    amount::{Cents, Fine},
    faults::Answer,
};

/// A finished piece of JSON.
pub(super) type Json = Box<RawValue>;

/// `/Date(1760000000000)/`: milliseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy)]
struct MsDate(i64);

impl From<DateTime<Utc>> for MsDate {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at.timestamp_millis())
    }
}

impl From<NaiveDate> for MsDate {
    fn from(day: NaiveDate) -> Self {
        day.and_time(chrono::NaiveTime::MIN).and_utc().into()
    }
}

impl Serialize for MsDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("/Date({})/", self.0))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Page<'a> {
    pagination: Pagination,
    items: &'a [Json],
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pagination {
    number_of_items: usize,
    page_size: usize,
    page_number: usize,
    number_of_pages: usize,
}

/// The size of a page that has room for all.
pub(super) const ALL: usize = super::query::MAX_PAGE_SIZE;

/// One page of what there is. Of size 0: only how much there is.
pub(super) fn page(all: Vec<Json>, number: usize, size: usize) -> Json {
    let items = all.len();
    // Assumed: without a size there are no pages.
    let number_of_pages = items.checked_div(size).map_or(0, |whole| whole + usize::from(!items.is_multiple_of(size)));
    let pagination = Pagination { number_of_items: items, page_size: size, page_number: number, number_of_pages };
    let of_page: Vec<Json> = all.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect();
    json(&Page { pagination, items: &of_page })
}

/// How a record is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub account: &'a Account,
    /// GUIDs, codes and numbers are told.
    pub tells_ids: bool,
}

impl View<'_> {
    fn told<T>(self, id: T) -> Option<T> {
        self.tells_ids.then_some(id)
    }

    pub fn order(self, order: &SalesOrder) -> Json {
        let delivery = &order.delivery;
        json(&OrderAnswer {
            guid: self.told(order.guid),
            order_number: self.told(&order.number),
            order_date: order.order_date.into(),
            required_date: order.required_date.into(),
            completed_date: order.completed_at.map(MsDate::from),
            order_status: order.status.name(),
            customer: self.customer_name(order.customer_guid),
            customer_ref: order.customer_ref.as_deref(),
            comments: order.comments.as_deref(),
            warehouse: self.warehouse_name(order.warehouse_guid),
            delivery_name: delivery.name.as_deref(),
            delivery_street_address: delivery.street.as_deref(),
            delivery_street_address2: delivery.street_2.as_deref(),
            delivery_suburb: delivery.suburb.as_deref(),
            delivery_city: delivery.city.as_deref(),
            delivery_region: delivery.region.as_deref(),
            delivery_country: delivery.country.as_deref(),
            delivery_post_code: delivery.post_code.as_deref(),
            delivery_instruction: delivery.instruction.as_deref(),
            delivery_method: delivery.method.as_deref(),
            currency: CurrencyAnswer { currency_code: &order.currency },
            exchange_rate: order.exchange_rate,
            discount_rate: order.discount_rate,
            tax: TaxAnswer { tax_code: &order.tax_code, tax_rate: order.tax_rate },
            tax_rate: order.tax_rate,
            taxable: order.taxable,
            sub_total: order.totals.sub_total,
            tax_total: order.totals.tax,
            total: order.totals.total,
            bc_sub_total: order.totals.sub_total,
            bc_tax_total: order.totals.tax,
            bc_total: order.totals.total,
            source_id: order.source_id.as_deref(),
            sales_order_lines: order.lines.iter().map(order_line).collect(),
            created_on: order.created_at.into(),
            last_modified_on: order.modified_at.into(),
        })
    }

    /// None of an order that is gone, which never happens.
    pub fn invoice(self, invoice: &Invoice) -> Option<Json> {
        let order = self.account.order_of(invoice.order_guid)?;
        Some(json(&InvoiceAnswer {
            guid: self.told(invoice.guid),
            invoice_number: self.told(&invoice.number),
            order_number: &order.number,
            invoice_date: invoice.modified_at.into(),
            invoice_status: "Completed",
            customer: self.customer_name(order.customer_guid),
            currency: CurrencyAnswer { currency_code: &order.currency },
            sub_total: order.totals.sub_total,
            tax_total: order.totals.tax,
            total: order.totals.total,
            invoice_lines: order.lines.iter().map(order_line).collect(),
            last_modified_on: invoice.modified_at.into(),
        }))
    }

    pub fn credit(self, note: &CreditNote) -> Json {
        let line = |line: &Line| {
            json(&CreditLineAnswer {
                guid: line.guid,
                line_number: line.number,
                product: ProductRef { guid: line.product_guid, product_code: &line.product_code },
                credit_quantity: line.quantity,
                credit_price: line.unit_price,
                line_total: line.total,
                line_tax: line.tax,
                tax_rate: line.tax_rate,
                line_tax_code: &line.tax_code,
                comments: line.comments.as_deref(),
            })
        };
        let order = note.order_guid.and_then(|guid| self.account.order_of(guid));
        json(&CreditAnswer {
            guid: self.told(note.guid),
            credit_number: self.told(&note.number),
            credit_date: note.date.into(),
            status: note.status.name(),
            reference: note.reference.as_deref(),
            comments: note.comments.as_deref(),
            customer: self.customer_name(note.customer_guid),
            warehouse: self.warehouse_name(note.warehouse_guid),
            sales_order: order.map(|order| OrderRef { guid: order.guid, order_number: &order.number }),
            invoice_number: note.invoice_number.as_deref(),
            currency: CurrencyAnswer { currency_code: &note.currency },
            exchange_rate: note.exchange_rate,
            tax: TaxAnswer { tax_code: &note.tax_code, tax_rate: note.tax_rate },
            tax_rate: note.tax_rate,
            sub_total: note.totals.sub_total,
            tax_total: note.totals.tax,
            total: note.totals.total,
            credit_lines: note.lines.iter().map(line).collect(),
            created_on: note.created_at.into(),
            last_modified_on: note.modified_at.into(),
        })
    }

    pub fn customer(self, customer: &Customer) -> Json {
        json(&CustomerAnswer {
            guid: self.told(customer.guid),
            customer_code: self.told(&customer.code),
            customer_name: &customer.name,
            email: customer.email.as_deref(),
            contact_first_name: customer.first_name.as_deref(),
            contact_last_name: customer.last_name.as_deref(),
            phone_number: customer.phone.as_deref(),
            mobile_number: customer.mobile.as_deref(),
            notes: customer.notes.as_deref(),
            currency: CurrencyAnswer { currency_code: &customer.currency },
            taxable: customer.taxable,
            tax_code: customer.tax_code.as_deref(),
            source_id: customer.source_id.as_deref(),
            print_packing_slip_instead_of_invoice: customer.prints_packing_slip,
            stop_credit: customer.stop_credit,
            obsolete: customer.obsolete,
            last_modified_on: customer.modified_at.into(),
        })
    }

    pub fn product(self, product: &Product) -> Json {
        json(&ProductAnswer {
            guid: self.told(product.guid),
            product_code: self.told(&product.code),
            product_description: &product.description,
            barcode: product.barcode.as_deref(),
            default_sell_price: product.sell_price,
            never_diminishing: product.never_diminishing,
            notes: product.notes.as_deref(),
            source_id: product.source_id.as_deref(),
            obsolete: product.obsolete,
            last_modified_on: product.modified_at.into(),
        })
    }

    /// The name is gone with the customer.
    fn customer_name(self, guid: Guid) -> CustomerRef {
        let customer = self.account.customer(guid);
        CustomerRef {
            guid,
            customer_code: customer.map(|customer| customer.code.clone()),
            customer_name: customer.map(|customer| customer.name.clone()),
        }
    }

    fn warehouse_name(self, guid: Guid) -> WarehouseRef {
        WarehouseRef { guid, warehouse_code: self.account.warehouse_of(guid).map(|one| one.code.clone()) }
    }
}

fn order_line(line: &Line) -> OrderLineAnswer<'_> {
    OrderLineAnswer {
        guid: line.guid,
        line_number: line.number,
        line_type: None,
        product: ProductRef { guid: line.product_guid, product_code: &line.product_code },
        order_quantity: line.quantity,
        unit_price: line.unit_price,
        discount_rate: line.discount_rate,
        line_total: line.total,
        line_tax: line.tax,
        tax_rate: line.tax_rate,
        line_tax_code: &line.tax_code,
        comments: line.comments.as_deref(),
        bc_unit_price: line.unit_price,
        bc_line_total: line.total,
        bc_line_tax: line.tax,
        xero_tax_code: "OUTPUT2",
        xero_sales_account: "200",
        average_landed_price_at_time_of_sale: Fine(0),
    }
}

/// Source: only codes, names and prices. Assumed: and the GUID.
pub(super) fn product_in_brief(product: &Product) -> Json {
    json(&BriefAnswer {
        guid: product.guid,
        product_code: &product.code,
        product_description: &product.description,
        default_sell_price: product.sell_price,
    })
}

pub(super) fn warehouse(warehouse: &Warehouse) -> Json {
    json(&WarehouseAnswer {
        guid: warehouse.guid,
        warehouse_code: &warehouse.code,
        warehouse_name: &warehouse.code,
        obsolete: false,
        last_modified_on: warehouse.modified_at.into(),
    })
}

pub(super) fn tax(tax: &Tax) -> Json {
    json(&TaxAnswer { tax_code: &tax.code, tax_rate: tax.rate })
}

pub(super) fn currency(code: &str) -> Json {
    json(&CurrencyAnswer { currency_code: code })
}

/// In one warehouse, or in all of them together.
pub(super) fn stock(product: &Product, warehouse: Option<&Warehouse>, level: Level, allocated: Fine) -> Json {
    json(&StockAnswer {
        product_guid: product.guid,
        product_code: &product.code,
        product_description: &product.description,
        warehouse_id: warehouse.map(|one| one.guid),
        warehouse_code: warehouse.map(|one| one.code.as_str()),
        qty_on_hand: level.on_hand,
        allocated_qty: allocated,
        available_qty: Fine(level.on_hand.0 - allocated.0),
        on_purchase: Fine(0),
        avg_cost: Fine(0),
        last_modified_on: level.modified_at.into(),
    })
}

fn json(value: &impl Serialize) -> Json {
    serde_json::value::to_raw_value(value).expect("what is answered can be written as JSON")
}

/// What nothing but success is told of.
pub(super) fn nothing() -> Json {
    json(&serde_json::Map::new())
}

/// Observed: JSON errors have a `Description`. Assumed: nothing else.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorAnswer<'a> {
    description: &'a str,
}

pub(super) fn error(text: &str) -> Json {
    json(&ErrorAnswer { description: text })
}

/// Observed: XML errors have an element `ValidationError`.
pub(super) fn xml_error(status: StatusCode, text: &str) -> Answer {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = format!(
        "<ValidationErrors><ValidationError><Description>{text}</Description></ValidationError></ValidationErrors>"
    );
    let headers = vec![("content-type".to_owned(), "application/xml; charset=utf-8".to_owned())];
    Answer { status: status.as_u16(), headers, body: Bytes::from(body) }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrderAnswer<'a> {
    guid: Option<Guid>,
    order_number: Option<&'a String>,
    order_date: MsDate,
    required_date: MsDate,
    completed_date: Option<MsDate>,
    order_status: &'a str,
    customer: CustomerRef,
    customer_ref: Option<&'a str>,
    comments: Option<&'a str>,
    warehouse: WarehouseRef,
    delivery_name: Option<&'a str>,
    delivery_street_address: Option<&'a str>,
    delivery_street_address2: Option<&'a str>,
    delivery_suburb: Option<&'a str>,
    delivery_city: Option<&'a str>,
    delivery_region: Option<&'a str>,
    delivery_country: Option<&'a str>,
    delivery_post_code: Option<&'a str>,
    delivery_instruction: Option<&'a str>,
    delivery_method: Option<&'a str>,
    currency: CurrencyAnswer<'a>,
    exchange_rate: Fine,
    discount_rate: Fine,
    tax: TaxAnswer<'a>,
    tax_rate: Fine,
    taxable: bool,
    sub_total: Cents,
    tax_total: Cents,
    total: Cents,
    #[serde(rename = "BCSubTotal")]
    bc_sub_total: Cents,
    #[serde(rename = "BCTaxTotal")]
    bc_tax_total: Cents,
    #[serde(rename = "BCTotal")]
    bc_total: Cents,
    source_id: Option<&'a str>,
    sales_order_lines: Vec<OrderLineAnswer<'a>>,
    created_on: MsDate,
    last_modified_on: MsDate,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrderLineAnswer<'a> {
    guid: Guid,
    line_number: u32,
    line_type: Option<&'a str>,
    product: ProductRef<'a>,
    order_quantity: Fine,
    unit_price: Fine,
    discount_rate: Fine,
    line_total: Cents,
    line_tax: Cents,
    tax_rate: Fine,
    line_tax_code: &'a str,
    comments: Option<&'a str>,
    #[serde(rename = "BCUnitPrice")]
    bc_unit_price: Fine,
    #[serde(rename = "BCLineTotal")]
    bc_line_total: Cents,
    #[serde(rename = "BCLineTax")]
    bc_line_tax: Cents,
    xero_tax_code: &'static str,
    xero_sales_account: &'static str,
    average_landed_price_at_time_of_sale: Fine,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct InvoiceAnswer<'a> {
    guid: Option<Guid>,
    invoice_number: Option<&'a String>,
    order_number: &'a str,
    invoice_date: MsDate,
    invoice_status: &'static str,
    customer: CustomerRef,
    currency: CurrencyAnswer<'a>,
    sub_total: Cents,
    tax_total: Cents,
    total: Cents,
    invoice_lines: Vec<OrderLineAnswer<'a>>,
    last_modified_on: MsDate,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreditAnswer<'a> {
    guid: Option<Guid>,
    credit_number: Option<&'a String>,
    credit_date: MsDate,
    status: &'static str,
    reference: Option<&'a str>,
    comments: Option<&'a str>,
    customer: CustomerRef,
    warehouse: WarehouseRef,
    sales_order: Option<OrderRef<'a>>,
    invoice_number: Option<&'a str>,
    currency: CurrencyAnswer<'a>,
    exchange_rate: Fine,
    tax: TaxAnswer<'a>,
    tax_rate: Fine,
    sub_total: Cents,
    tax_total: Cents,
    total: Cents,
    credit_lines: Vec<Json>,
    created_on: MsDate,
    last_modified_on: MsDate,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreditLineAnswer<'a> {
    guid: Guid,
    line_number: u32,
    product: ProductRef<'a>,
    credit_quantity: Fine,
    credit_price: Fine,
    line_total: Cents,
    line_tax: Cents,
    tax_rate: Fine,
    line_tax_code: &'a str,
    comments: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CustomerAnswer<'a> {
    guid: Option<Guid>,
    customer_code: Option<&'a String>,
    customer_name: &'a str,
    email: Option<&'a str>,
    contact_first_name: Option<&'a str>,
    contact_last_name: Option<&'a str>,
    phone_number: Option<&'a str>,
    mobile_number: Option<&'a str>,
    notes: Option<&'a str>,
    currency: CurrencyAnswer<'a>,
    taxable: bool,
    tax_code: Option<&'a str>,
    source_id: Option<&'a str>,
    print_packing_slip_instead_of_invoice: bool,
    stop_credit: bool,
    obsolete: bool,
    last_modified_on: MsDate,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProductAnswer<'a> {
    guid: Option<Guid>,
    product_code: Option<&'a String>,
    product_description: &'a str,
    barcode: Option<&'a str>,
    default_sell_price: Option<Fine>,
    never_diminishing: bool,
    notes: Option<&'a str>,
    source_id: Option<&'a str>,
    obsolete: bool,
    last_modified_on: MsDate,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BriefAnswer<'a> {
    guid: Guid,
    product_code: &'a str,
    product_description: &'a str,
    default_sell_price: Option<Fine>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WarehouseAnswer<'a> {
    guid: Guid,
    warehouse_code: &'a str,
    warehouse_name: &'a str,
    obsolete: bool,
    last_modified_on: MsDate,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StockAnswer<'a> {
    product_guid: Guid,
    product_code: &'a str,
    product_description: &'a str,
    warehouse_id: Option<Guid>,
    warehouse_code: Option<&'a str>,
    qty_on_hand: Fine,
    allocated_qty: Fine,
    available_qty: Fine,
    on_purchase: Fine,
    avg_cost: Fine,
    last_modified_on: MsDate,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CustomerRef {
    guid: Guid,
    customer_code: Option<String>,
    customer_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WarehouseRef {
    guid: Guid,
    warehouse_code: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProductRef<'a> {
    guid: Guid,
    product_code: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrderRef<'a> {
    guid: Guid,
    order_number: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CurrencyAnswer<'a> {
    currency_code: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TaxAnswer<'a> {
    tax_code: &'a str,
    tax_rate: Fine,
}
