//! Documents and payments in the JSON that Xero takes, field by field in a fixed order.
//!
//! Source: XeroAPI/Xero-OpenAPI, xero_accounting.yaml, Invoice, CreditNote, Payment, Allocation, Item.

use chrono::NaiveDate;
use serde::Serialize;

use super::{
    call::Exact,
    config::{AccountRef, XeroSettings},
    lines::{Amount, LineItem, TaxOf, line_items},
    receipt::{Document, DocumentKind, Standing},
    target::MissingItem,
};
use crate::domain::money::{Currency, Money};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContactId<'a> {
    #[serde(rename = "ContactID")]
    id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DocumentBody<'a> {
    #[serde(rename = "InvoiceID", skip_serializing_if = "Option::is_none")]
    invoice_id: Option<&'a str>,
    #[serde(rename = "CreditNoteID", skip_serializing_if = "Option::is_none")]
    credit_note_id: Option<&'a str>,
    #[serde(rename = "Type")]
    document_type: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_note_number: Option<&'a str>,
    reference: &'a str,
    contact: ContactId<'a>,
    date: NaiveDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_date: Option<NaiveDate>,
    line_amount_types: &'static str,
    currency_code: Currency,
    line_items: Vec<LineItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(rename = "BrandingThemeID", skip_serializing_if = "Option::is_none")]
    branding_theme_id: Option<&'a str>,
}

/// What a document's JSON says beside the document.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub settings: &'a XeroSettings,
    pub currency: Currency,
    pub reference: &'a str,
    /// None: it is of many orders.
    pub order_id: Option<&'a str>,
    pub tax_of: TaxOf<'a>,
}

/// A document as it is made, or changed where it has an id. Menu prices include tax, so its amounts do.
pub fn document(document: &Document, around: Around<'_>) -> Exact {
    let is_invoice = document.kind == DocumentKind::Invoice;
    let number = Some(document.number.as_str());
    let id = document.id.as_deref();
    let url = around.settings.url_template.as_deref().filter(|_| is_invoice);
    Exact::of(&DocumentBody {
        invoice_id: id.filter(|_| is_invoice),
        credit_note_id: id.filter(|_| !is_invoice),
        document_type: if is_invoice { "ACCREC" } else { "ACCRECCREDIT" },
        status: status(document.status),
        invoice_number: number.filter(|_| is_invoice),
        credit_note_number: number.filter(|_| !is_invoice),
        reference: around.reference,
        contact: ContactId { id: &document.contact_id },
        date: document.date,
        due_date: is_invoice.then_some(document.date),
        line_amount_types: "Inclusive",
        currency_code: around.currency,
        line_items: line_items(&document.lines, document.sign(), around.currency, &document.tracking, around.tax_of),
        url: url.zip(around.order_id).map(|(template, id)| template.replace("{order_id}", id)),
        branding_theme_id: around.settings.branding_theme_id.as_deref(),
    })
}

fn status(status: Standing) -> &'static str {
    match status {
        Standing::Draft => "DRAFT",
        Standing::Submitted => "SUBMITTED",
        Standing::Authorised => "AUTHORISED",
        Standing::Paid => "PAID",
        Standing::Voided => "VOIDED",
        Standing::Deleted => "DELETED",
    }
}

/// A document with nothing but its new status.
pub fn taken_back(document: &Document, id: &str, to: Standing) -> Exact {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        #[serde(rename = "InvoiceID", skip_serializing_if = "Option::is_none")]
        invoice_id: Option<&'a str>,
        #[serde(rename = "CreditNoteID", skip_serializing_if = "Option::is_none")]
        credit_note_id: Option<&'a str>,
        status: &'static str,
    }
    let is_invoice = document.kind == DocumentKind::Invoice;
    Exact::of(&Body {
        invoice_id: Some(id).filter(|_| is_invoice),
        credit_note_id: Some(id).filter(|_| !is_invoice),
        status: status(to),
    })
}

#[derive(Debug, Serialize)]
struct InvoiceRef<'a> {
    #[serde(rename = "InvoiceID")]
    id: &'a str,
}

#[derive(Debug, Serialize)]
struct CreditNoteRef<'a> {
    #[serde(rename = "CreditNoteID")]
    id: &'a str,
}

/// A payment to a document of this kind.
pub fn payment(
    on: (DocumentKind, &str),
    account: AccountRef<'_>,
    date: NaiveDate,
    amount: Money,
    reference: &str,
) -> Exact {
    #[derive(Serialize)]
    enum Account<'a> {
        Code(&'a str),
        #[serde(rename = "AccountID")]
        Id(&'a str),
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        invoice: Option<InvoiceRef<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        credit_note: Option<CreditNoteRef<'a>>,
        account: Account<'a>,
        date: NaiveDate,
        amount: Amount,
        reference: &'a str,
    }
    let (kind, id) = on;
    Exact::of(&Body {
        invoice: (kind == DocumentKind::Invoice).then_some(InvoiceRef { id }),
        credit_note: (kind == DocumentKind::CreditNote).then_some(CreditNoteRef { id }),
        account: if account.is_id() { Account::Id(account.0) } else { Account::Code(account.0) },
        date,
        amount: Amount(amount),
        reference,
    })
}

/// The body that allocates a credit note to invoices, by their ids.
pub fn allocations(to: &[(&str, Money)], date: NaiveDate) -> Exact {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Allocation<'a> {
        invoice: InvoiceRef<'a>,
        amount: Amount,
        date: NaiveDate,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        allocations: Vec<Allocation<'a>>,
    }
    let one = to.iter().copied();
    let allocations = one.map(|(id, amount)| Allocation { invoice: InvoiceRef { id }, amount: Amount(amount), date });
    Exact::of(&Body { allocations: allocations.collect() })
}

/// The body that writes one note.
pub fn note(details: &str) -> Exact {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record<'a> {
        details: &'a str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        history_records: [Record<'a>; 1],
    }
    Exact::of(&Body { history_records: [Record { details }] })
}

/// An item that is sold and not stocked.
pub fn item(item: &MissingItem) -> Exact {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Sales<'a> {
        account_code: &'a str,
        tax_type: &'a str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        code: &'a str,
        name: &'a str,
        description: &'a str,
        is_sold: bool,
        is_purchased: bool,
        sales_details: Sales<'a>,
    }
    Exact::of(&Body {
        code: &item.code,
        name: &item.name,
        description: &item.name,
        is_sold: true,
        is_purchased: false,
        sales_details: Sales { account_code: &item.account, tax_type: &item.tax_type },
    })
}
