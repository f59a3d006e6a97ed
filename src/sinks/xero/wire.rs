//! Xero's JSON as it comes back.
//!
//! Only what is looked at, and tolerant: unknown fields, `null`, flags and amounts written as text, dates in either form.
//! Amounts stay decimal text until the currency is known; no float touches them. Of a contact nothing is kept but what it
//! is recognised by.
//!
//! Source: Xero Accounting API description 16.1.0, schemas `Invoice`, `CreditNote`, `Payment`, `ManualJournal`, `Contact`,
//! `Item`, `Organisation`, `Account`, `TaxRate`, `Error`.

use std::fmt;

use serde::{Deserialize, Deserializer};

use super::receipt::DocumentKind;
use crate::sinks::lax::or_nothing;
pub use crate::sinks::lax::{Moment, Number};

/// Also written as text. Source: the examples of the API description.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;
    impl serde::de::Visitor<'_> for Flag {
        type Value = bool;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }
        fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }
        fn visit_str<E>(self, text: &str) -> Result<bool, E> {
            Ok(text.eq_ignore_ascii_case("true"))
        }
        fn visit_unit<E>(self) -> Result<bool, E> {
            Ok(false)
        }
    }
    deserializer.deserialize_any(Flag)
}

fn told_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    flag(deserializer).map(Some)
}

/// An id; an empty one and one of nothing but zeros say that there is none.
/// Assumed: all zeros mark a record that was refused; a test of the client depends on it.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.filter(|text| text.bytes().any(|byte| byte.is_ascii_alphanumeric() && byte != b'0')))
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Message {
    pub message: Option<String>,
}

/// Whether a record of an answer was taken.
#[derive(Debug, Clone, Default)]
pub struct Verdict<'a> {
    pub errors: &'a [Message],
    pub is_marked: bool,
}

impl Verdict<'_> {
    pub fn is_good(&self) -> bool {
        self.errors.is_empty() && !self.is_marked
    }
}

macro_rules! judged {
    ($($record:ident),+) => { $(
        impl $record {
            pub fn verdict(&self) -> Verdict<'_> {
                let is_marked = self.has_errors
                    || self.has_validation_errors
                    || self.status_attribute_string.as_deref().is_some_and(|text| text.eq_ignore_ascii_case("ERROR"));
                Verdict { errors: &self.validation_errors, is_marked }
            }
        }
    )+ };
}
judged!(Document, Payment, Contact, Item, Allocation, ManualJournal);

/// An invoice or a credit note.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Document {
    #[serde(rename = "InvoiceID", deserialize_with = "id")]
    pub invoice_id: Option<String>,
    #[serde(rename = "CreditNoteID", deserialize_with = "id")]
    pub credit_note_id: Option<String>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    pub invoice_number: Option<String>,
    pub credit_note_number: Option<String>,
    pub status: Option<String>,
    pub reference: Option<String>,
    pub date: Option<Moment>,
    pub contact: Option<Named>,
    pub currency_code: Option<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub line_items: Vec<LineItem>,
    pub total: Option<Number>,
    pub amount_due: Option<Number>,
    pub amount_paid: Option<Number>,
    pub amount_credited: Option<Number>,
    pub remaining_credit: Option<Number>,
    #[serde(deserialize_with = "or_nothing")]
    pub payments: Vec<Payment>,
    #[serde(deserialize_with = "or_nothing")]
    pub allocations: Vec<Allocation>,
    #[serde(rename = "UpdatedDateUTC")]
    pub updated_date_utc: Option<Moment>,
    pub status_attribute_string: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub has_errors: bool,
    #[serde(deserialize_with = "flag")]
    pub has_validation_errors: bool,
    #[serde(deserialize_with = "or_nothing")]
    pub validation_errors: Vec<Message>,
}

impl Document {
    pub fn id(&self, kind: DocumentKind) -> Option<&str> {
        match kind {
            DocumentKind::Invoice => self.invoice_id.as_deref(),
            DocumentKind::CreditNote => self.credit_note_id.as_deref(),
        }
    }

    pub fn has_id(&self, kind: DocumentKind, id: &str) -> bool {
        self.id(kind).is_some_and(|own| own.eq_ignore_ascii_case(id))
    }

    /// Whether it is the document of sales that has this number. Bills may bear any.
    pub fn is(&self, kind: DocumentKind, number: &str) -> bool {
        let (own, of_sales) = match kind {
            DocumentKind::Invoice => (&self.invoice_number, "ACCREC"),
            DocumentKind::CreditNote => (&self.credit_note_number, "ACCRECCREDIT"),
        };
        own.as_deref() == Some(number) && self.kind.as_deref().is_none_or(|kind| kind == of_sales)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LineItem {
    #[serde(rename = "LineItemID", deserialize_with = "id")]
    pub line_item_id: Option<String>,
    pub description: Option<String>,
    pub quantity: Option<Number>,
    pub unit_amount: Option<Number>,
    pub line_amount: Option<Number>,
    pub account_code: Option<String>,
    pub tax_type: Option<String>,
}

/// Something that is only named by its id.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Named {
    #[serde(rename = "ContactID", deserialize_with = "id")]
    pub contact_id: Option<String>,
    #[serde(rename = "InvoiceID", deserialize_with = "id")]
    pub invoice_id: Option<String>,
    #[serde(rename = "CreditNoteID", deserialize_with = "id")]
    pub credit_note_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Payment {
    #[serde(rename = "PaymentID", deserialize_with = "id")]
    pub payment_id: Option<String>,
    pub reference: Option<String>,
    pub amount: Option<Number>,
    pub status: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub is_reconciled: bool,
    pub account: Option<AccountName>,
    pub invoice: Option<Named>,
    pub credit_note: Option<Named>,
    pub status_attribute_string: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub has_errors: bool,
    #[serde(deserialize_with = "flag")]
    pub has_validation_errors: bool,
    #[serde(deserialize_with = "or_nothing")]
    pub validation_errors: Vec<Message>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AccountName {
    pub code: Option<String>,
    #[serde(rename = "AccountID", deserialize_with = "id")]
    pub account_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Allocation {
    #[serde(rename = "AllocationID", deserialize_with = "id")]
    pub allocation_id: Option<String>,
    pub amount: Option<Number>,
    pub invoice: Option<Named>,
    pub status_attribute_string: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub has_errors: bool,
    #[serde(deserialize_with = "flag")]
    pub has_validation_errors: bool,
    #[serde(deserialize_with = "or_nothing")]
    pub validation_errors: Vec<Message>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManualJournal {
    #[serde(rename = "ManualJournalID", deserialize_with = "id")]
    pub manual_journal_id: Option<String>,
    pub narration: Option<String>,
    pub status: Option<String>,
    pub line_amount_types: Option<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub journal_lines: Vec<JournalLine>,
    pub status_attribute_string: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub has_errors: bool,
    #[serde(deserialize_with = "flag")]
    pub has_validation_errors: bool,
    #[serde(deserialize_with = "or_nothing")]
    pub validation_errors: Vec<Message>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JournalLine {
    pub line_amount: Option<Number>,
    pub account_code: Option<String>,
    #[serde(rename = "AccountID", deserialize_with = "id")]
    pub account_id: Option<String>,
}

/// What a customer is recognised by. `Debug` shows none of it.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Contact {
    #[serde(rename = "ContactID", deserialize_with = "id")]
    pub contact_id: Option<String>,
    pub contact_number: Option<String>,
    pub contact_status: Option<String>,
    pub name: Option<String>,
    pub email_address: Option<String>,
    #[serde(rename = "UpdatedDateUTC")]
    pub updated_date_utc: Option<Moment>,
    #[serde(rename = "MergedToContactID", deserialize_with = "id")]
    pub merged_to_contact_id: Option<String>,
    pub status_attribute_string: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub has_errors: bool,
    #[serde(deserialize_with = "flag")]
    pub has_validation_errors: bool,
    #[serde(deserialize_with = "or_nothing")]
    pub validation_errors: Vec<Message>,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact").field("contact_id", &self.contact_id).finish_non_exhaustive()
    }
}

impl Contact {
    /// Assumed: a status that is not told is active.
    pub fn is_active(&self) -> bool {
        self.contact_status.as_deref().is_none_or(|status| status == "ACTIVE")
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Item {
    #[serde(rename = "ItemID", deserialize_with = "id")]
    pub item_id: Option<String>,
    pub code: Option<String>,
    pub name: Option<String>,
    /// None: not told.
    #[serde(deserialize_with = "told_flag")]
    pub is_sold: Option<bool>,
    pub sales_details: Option<SalesDetails>,
    #[serde(deserialize_with = "flag")]
    pub is_tracked_as_inventory: bool,
    /// Of tracked items only.
    pub quantity_on_hand: Option<Number>,
    #[serde(rename = "UpdatedDateUTC")]
    pub updated_date_utc: Option<Moment>,
    pub status_attribute_string: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub has_errors: bool,
    #[serde(deserialize_with = "flag")]
    pub has_validation_errors: bool,
    #[serde(deserialize_with = "or_nothing")]
    pub validation_errors: Vec<Message>,
}

/// What an item is sold as.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SalesDetails {
    pub unit_price: Option<Number>,
    pub account_code: Option<String>,
    pub tax_type: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Organisation {
    pub name: Option<String>,
    pub base_currency: Option<String>,
    pub country_code: Option<String>,
    pub timezone: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub is_demo_company: bool,
    pub class: Option<String>,
    pub period_lock_date: Option<Moment>,
    pub end_of_year_lock_date: Option<Moment>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaxRate {
    pub name: Option<String>,
    pub tax_type: Option<String>,
    pub status: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub can_apply_to_revenue: bool,
    pub effective_rate: Option<Number>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Account {
    #[serde(rename = "AccountID", deserialize_with = "id")]
    pub account_id: Option<String>,
    pub code: Option<String>,
    pub name: Option<String>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    pub class: Option<String>,
    pub status: Option<String>,
    pub system_account: Option<String>,
    pub currency_code: Option<String>,
    #[serde(deserialize_with = "flag")]
    pub enable_payments_to_account: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CurrencyName {
    pub code: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TrackingCategory {
    pub name: Option<String>,
    pub status: Option<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub options: Vec<TrackingOption>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TrackingOption {
    pub name: Option<String>,
    pub status: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pagination {
    pub page: Option<u32>,
    pub page_count: Option<u32>,
    pub item_count: Option<u64>,
}

/// A note in the history of a document, or what Xero itself wrote there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HistoryRecord {
    pub details: Option<String>,
}

/// Every answer that lists something; what it does not list is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Listing {
    #[serde(deserialize_with = "or_nothing")]
    pub invoices: Vec<Document>,
    #[serde(deserialize_with = "or_nothing")]
    pub credit_notes: Vec<Document>,
    #[serde(deserialize_with = "or_nothing")]
    pub payments: Vec<Payment>,
    #[serde(deserialize_with = "or_nothing")]
    pub allocations: Vec<Allocation>,
    #[serde(deserialize_with = "or_nothing")]
    pub manual_journals: Vec<ManualJournal>,
    #[serde(deserialize_with = "or_nothing")]
    pub contacts: Vec<Contact>,
    #[serde(deserialize_with = "or_nothing")]
    pub items: Vec<Item>,
    #[serde(deserialize_with = "or_nothing")]
    pub organisations: Vec<Organisation>,
    #[serde(deserialize_with = "or_nothing")]
    pub tax_rates: Vec<TaxRate>,
    #[serde(deserialize_with = "or_nothing")]
    pub accounts: Vec<Account>,
    #[serde(deserialize_with = "or_nothing")]
    pub currencies: Vec<CurrencyName>,
    #[serde(deserialize_with = "or_nothing")]
    pub tracking_categories: Vec<TrackingCategory>,
    #[serde(deserialize_with = "or_nothing")]
    pub history_records: Vec<HistoryRecord>,
    #[serde(rename = "pagination")]
    pub pagination: Option<Pagination>,
}

impl Listing {
    /// Takes over what another lists.
    pub fn take(&mut self, other: Self) {
        self.organisations.extend(other.organisations);
        self.tax_rates.extend(other.tax_rates);
        self.accounts.extend(other.accounts);
        self.currencies.extend(other.currencies);
        self.tracking_categories.extend(other.tracking_categories);
        self.items.extend(other.items);
    }
}

/// An answer that refuses a request as a whole.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Refusal {
    pub message: Option<String>,
    pub detail: Option<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub elements: Vec<RefusedElement>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RefusedElement {
    #[serde(deserialize_with = "or_nothing")]
    pub validation_errors: Vec<Message>,
}

impl Refusal {
    /// Everything it says, in lower case. It may echo a customer, and is compared only.
    pub fn said(body: &[u8]) -> String {
        let refusal: Self = serde_json::from_slice(body).unwrap_or_default();
        let messages = refusal.elements.into_iter().flat_map(|element| element.validation_errors);
        let texts = messages.map(|message| message.message).chain([refusal.message, refusal.detail]);
        texts.flatten().collect::<Vec<_>>().join("\n").to_lowercase()
    }
}

/// An organisation that the application may act for.
/// Source: Xero identity API description 16.1.0, `Connection`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    pub tenant_id: String,
    pub tenant_type: Option<String>,
    pub tenant_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    fn gbp() -> Currency {
        Currency::parse("GBP").unwrap()
    }

    #[test]
    fn what_is_unknown_null_or_written_as_text_is_tolerated() {
        let listing: Listing = serde_json::from_str(
            r#"{"Id": "x", "Invoices": [{
                "InvoiceID": "9a1b0c2d-2222-4d3e-8f40-5566778899aa", "Novelty": {"a": [1]}, "Payments": null,
                "HasErrors": "false", "ValidationErrors": null, "Total": 23.290000, "UpdatedDateUTC": null
            }], "CreditNotes": null}"#,
        )
        .unwrap();

        let invoice = &listing.invoices[0];
        assert!(invoice.verdict().is_good());
        assert_eq!(invoice.total.as_ref().unwrap().minor(gbp()), Some(2329));
        assert!(listing.credit_notes.is_empty());
    }

    #[test]
    fn a_record_with_an_error_or_an_id_of_zeros_was_not_made() {
        let document = |text: &str| serde_json::from_str::<Document>(text).unwrap();

        for bad in [
            r#"{"ValidationErrors": [{"Message": "no"}]}"#,
            r#"{"HasErrors": true}"#,
            r#"{"HasValidationErrors": "true"}"#,
            r#"{"StatusAttributeString": "ERROR"}"#,
        ] {
            assert!(!document(bad).verdict().is_good(), "{bad}");
        }
        assert!(document(r#"{"StatusAttributeString": "WARNING"}"#).verdict().is_good());
        for none in ["00000000-0000-0000-0000-000000000000", ""] {
            assert_eq!(document(&format!(r#"{{"InvoiceID": "{none}"}}"#)).invoice_id, None);
        }
    }

    #[test]
    fn a_refusal_is_read_with_all_it_says() {
        let body = br#"{"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception",
            "Elements": [{"ValidationErrors": [{"Message": "The Lock Date"}, {}]}, {}]}"#;

        assert_eq!(Refusal::said(body), "the lock date\na validation exception");
        assert_eq!(Refusal::said(b"<html>"), "");
    }
}
