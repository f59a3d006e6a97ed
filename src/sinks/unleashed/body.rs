//! Documents in the JSON that Unleashed takes, field by field in a fixed order.
//!
//! Every field is sent that public clients send, because which of them are needed is not documented; none that only stands in
//! answers. An update is the whole record, since what is left out of one is overwritten.
//!
//! Source: Unleashed API documentation, `/SalesOrders`, `/CreditNotes`, `/Products`. Observed: the bodies of public clients.

use chrono::NaiveDate;
use serde::Serialize;

use super::{
    amounts::Number,
    call::Exact,
    receipt::{Document, Standing},
    target::Missing,
};
use crate::domain::money::Currency;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Guid<'a> {
    guid: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct WarehouseCode<'a> {
    warehouse_code: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CurrencyCode<'a> {
    currency_code: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TaxCode<'a> {
    tax_code: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProductCode<'a> {
    product_code: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "they are the names of the API")]
struct SalesOrder<'a> {
    guid: &'a str,
    order_number: &'a str,
    order_date: String,
    required_date: String,
    order_status: &'static str,
    customer: Guid<'a>,
    customer_ref: &'a str,
    warehouse: WarehouseCode<'a>,
    currency: CurrencyCode<'a>,
    exchange_rate: u32,
    tax: TaxCode<'a>,
    tax_rate: Number,
    taxable: bool,
    discount_rate: u32,
    sub_total: Number,
    tax_total: Number,
    total: Number,
    source_id: String,
    comments: &'a str,
    sales_order_lines: Vec<OrderLine<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrderLine<'a> {
    guid: String,
    line_number: usize,
    product: ProductCode<'a>,
    order_quantity: i64,
    unit_price: Number,
    discount_rate: u32,
    line_total: Number,
    tax_rate: Number,
    line_tax: Number,
    line_tax_code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comments: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreditNote<'a> {
    guid: &'a str,
    credit_date: String,
    reference: &'a str,
    comments: &'a str,
    customer: Guid<'a>,
    warehouse: WarehouseCode<'a>,
    currency: CurrencyCode<'a>,
    exchange_rate: u32,
    tax: TaxCode<'a>,
    tax_rate: Number,
    sub_total: Number,
    tax_total: Number,
    total: Number,
    credit_lines: Vec<CreditLine<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreditLine<'a> {
    line_number: usize,
    product: ProductCode<'a>,
    credit_quantity: i64,
    credit_price: Number,
    line_total: Number,
    line_tax: Number,
    #[serde(skip_serializing_if = "str::is_empty")]
    comments: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "they are the names of the API")]
struct Product<'a> {
    guid: &'a str,
    product_code: &'a str,
    product_description: &'a str,
    never_diminishing: bool,
}

/// What a document's JSON says beside the document.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    pub order_id: &'a str,
    pub currency: Currency,
    pub comments: &'a str,
}

struct Totals {
    net: Number,
    tax: Number,
    gross: Number,
}

fn totals(document: &Document, currency: Currency) -> Totals {
    let parts = document.parts(currency);
    let net = parts.iter().map(|(_, part)| part.net).sum();
    let tax = parts.iter().map(|(_, part)| part.tax).sum();
    let number = |minor| Number::minor(minor, currency);
    Totals { net: number(net), tax: number(tax), gross: number(net + tax) }
}

fn midnight(day: NaiveDate) -> String {
    format!("{day}T00:00:00")
}

pub fn order(document: &Document, around: Around<'_>) -> Exact {
    let Around { order_id, currency, comments } = around;
    let Totals { net, tax, gross } = totals(document, currency);
    let lines = (1..).zip(document.parts(currency)).map(|(n, (line, part))| OrderLine {
        guid: document.line_guid(order_id, n),
        line_number: n,
        product: ProductCode { product_code: &line.code },
        order_quantity: part.quantity,
        unit_price: part.price(),
        discount_rate: 0,
        line_total: Number::minor(part.net, currency),
        tax_rate: Number::rate(document.tax.rate),
        line_tax: Number::minor(part.tax, currency),
        line_tax_code: &document.tax.code,
        comments: &line.comments,
    });
    Exact::of(&SalesOrder {
        guid: &document.guid,
        order_number: &document.number,
        order_date: midnight(document.date),
        required_date: midnight(document.date),
        order_status: if document.status == Standing::Placed { "Placed" } else { "Parked" },
        customer: Guid { guid: &document.customer_id },
        customer_ref: order_id,
        warehouse: WarehouseCode { warehouse_code: &document.warehouse },
        currency: CurrencyCode { currency_code: currency.as_str() },
        exchange_rate: 1,
        tax: TaxCode { tax_code: &document.tax.code },
        tax_rate: Number::rate(document.tax.rate),
        taxable: true,
        discount_rate: 0,
        sub_total: net,
        tax_total: tax,
        total: gross,
        source_id: format!("scoffable:{order_id}"),
        comments,
        sales_order_lines: lines.collect(),
    })
}

pub fn credit(document: &Document, around: Around<'_>) -> Exact {
    let Around { currency, comments, .. } = around;
    let Totals { net, tax, gross } = totals(document, currency);
    let lines = (1..).zip(document.parts(currency)).map(|(n, (line, part))| CreditLine {
        line_number: n,
        product: ProductCode { product_code: &line.code },
        credit_quantity: part.quantity,
        credit_price: part.price(),
        line_total: Number::minor(part.net, currency),
        line_tax: Number::minor(part.tax, currency),
        comments: &line.comments,
    });
    Exact::of(&CreditNote {
        guid: &document.guid,
        credit_date: midnight(document.date),
        reference: &document.number,
        comments,
        customer: Guid { guid: &document.customer_id },
        warehouse: WarehouseCode { warehouse_code: &document.warehouse },
        currency: CurrencyCode { currency_code: currency.as_str() },
        exchange_rate: 1,
        tax: TaxCode { tax_code: &document.tax.code },
        tax_rate: Number::rate(document.tax.rate),
        sub_total: net,
        tax_total: tax,
        total: gross,
        credit_lines: lines.collect(),
    })
}

/// What is no goods has no stock to diminish.
pub fn product(missing: &Missing) -> Exact {
    Exact::of(&Product {
        guid: &missing.guid,
        product_code: &missing.code,
        product_description: &missing.description,
        never_diminishing: !missing.is_dish,
    })
}
