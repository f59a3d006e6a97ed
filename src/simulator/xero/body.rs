//! The bodies of writes, read as strictly as a server may: a member nobody knows, or one that is only ever read, is
//! refused with the whole request. Source: xero_accounting.yaml 16.1.0. A member that is `null` counts as left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{amount::Fine, books::DocumentKind};

/// An invoice or a credit note: which of the two its members fit is checked after reading.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DocumentBody {
    #[serde(rename = "InvoiceID")]
    invoice_id: Option<String>,
    invoice_number: Option<String>,
    #[serde(rename = "CreditNoteID")]
    credit_note_id: Option<String>,
    credit_note_number: Option<String>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    pub reference: Option<String>,
    pub contact: Option<ContactBody>,
    pub line_items: Option<Vec<LineBody>>,
    pub date: Option<String>,
    pub due_date: Option<String>,
    pub line_amount_types: Option<String>,
    pub currency_code: Option<String>,
    pub status: Option<String>,
    pub url: Option<String>,
    #[serde(rename = "BrandingThemeID")]
    pub branding_theme_id: Option<String>,
    pub sent_to_contact: Option<bool>,
}

impl DocumentBody {
    pub fn id(&self, kind: DocumentKind) -> Option<&str> {
        match kind {
            DocumentKind::Invoice => self.invoice_id.as_deref(),
            DocumentKind::CreditNote => self.credit_note_id.as_deref(),
        }
    }

    pub fn number(&self, kind: DocumentKind) -> Option<&str> {
        match kind {
            DocumentKind::Invoice => self.invoice_number.as_deref(),
            DocumentKind::CreditNote => self.credit_note_number.as_deref(),
        }
    }

    /// A member that only the other kind has.
    fn misfit(&self, kind: DocumentKind) -> Option<&'static str> {
        let found = match kind {
            DocumentKind::Invoice => [
                (self.credit_note_id.is_some(), "CreditNoteID"),
                (self.credit_note_number.is_some(), "CreditNoteNumber"),
                (false, ""),
                (false, ""),
            ],
            DocumentKind::CreditNote => [
                (self.invoice_id.is_some(), "InvoiceID"),
                (self.invoice_number.is_some(), "InvoiceNumber"),
                (self.url.is_some(), "Url"),
                (self.sent_to_contact.is_some(), "SentToContact"),
            ],
        };
        found.into_iter().find(|(is_there, _)| *is_there).map(|(_, name)| name)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct LineBody {
    #[serde(rename = "LineItemID")]
    pub line_item_id: Option<String>,
    pub description: Option<String>,
    pub quantity: Option<Fine>,
    pub unit_amount: Option<Fine>,
    pub line_amount: Option<Fine>,
    pub item_code: Option<String>,
    pub account_code: Option<String>,
    pub tax_type: Option<String>,
    pub tax_amount: Option<Fine>,
    #[serde(default)]
    pub tracking: Vec<TrackingBody>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TrackingBody {
    #[serde(rename = "TrackingCategoryID")]
    pub category_id: Option<String>,
    #[serde(rename = "TrackingOptionID")]
    pub option_id: Option<String>,
    pub name: Option<String>,
    pub option: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ContactBody {
    #[serde(rename = "ContactID")]
    pub contact_id: Option<String>,
    pub contact_number: Option<String>,
    pub contact_status: Option<String>,
    pub name: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email_address: Option<String>,
    pub addresses: Option<Vec<AddressBody>>,
    pub phones: Option<Vec<PhoneBody>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AddressBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_line1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_line2: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PhoneBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PaymentBody {
    pub invoice: Option<DocumentName>,
    pub credit_note: Option<DocumentName>,
    pub account: Option<AccountName>,
    pub date: Option<String>,
    pub amount: Option<Fine>,
    pub reference: Option<String>,
}

/// By its id; or by its number, which the description allows as well.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DocumentName {
    #[serde(rename = "InvoiceID")]
    pub invoice_id: Option<String>,
    pub invoice_number: Option<String>,
    #[serde(rename = "CreditNoteID")]
    pub credit_note_id: Option<String>,
    pub credit_note_number: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AccountName {
    pub code: Option<String>,
    #[serde(rename = "AccountID")]
    pub account_id: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct AllocationBody {
    pub invoice: Option<DocumentName>,
    pub amount: Option<Fine>,
    pub date: Option<String>,
}

/// What is said of a payment that is to go.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct RemovalBody {
    pub status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ItemBody {
    #[serde(rename = "ItemID")]
    pub item_id: Option<String>,
    pub code: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub is_sold: Option<bool>,
    pub is_purchased: Option<bool>,
    pub inventory_asset_account_code: Option<String>,
    pub sales_details: Option<SalesDetailsBody>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct SalesDetailsBody {
    pub unit_price: Option<Fine>,
    pub account_code: Option<String>,
    pub tax_type: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct JournalBody {
    #[serde(rename = "ManualJournalID")]
    pub journal_id: Option<String>,
    pub narration: Option<String>,
    pub date: Option<String>,
    pub status: Option<String>,
    pub line_amount_types: Option<String>,
    pub journal_lines: Option<Vec<JournalLineBody>>,
    pub url: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct JournalLineBody {
    pub line_amount: Option<Fine>,
    pub account_code: Option<String>,
    #[serde(rename = "AccountID")]
    pub account_id: Option<String>,
    pub description: Option<String>,
    pub tax_type: Option<String>,
    #[serde(default)]
    pub tracking: Vec<TrackingBody>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct HistoryBody {
    pub details: Option<String>,
}

/// The elements of `{"name": [ … ]}`.
pub(super) fn elements<T: DeserializeOwned>(name: &str, body: &[u8]) -> Result<Vec<T>, String> {
    let mut envelope: BTreeMap<String, Vec<T>> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match (envelope.remove(name), envelope.keys().next()) {
        (_, Some(other)) => Err(format!("unknown member {other}")),
        (None, None) => Err(format!("{name} is missing")),
        (Some(elements), None) if elements.is_empty() => Err(format!("{name} is empty")),
        (Some(elements), None) => Ok(elements),
    }
}

pub(super) fn documents(kind: DocumentKind, body: &[u8]) -> Result<Vec<DocumentBody>, String> {
    let documents: Vec<DocumentBody> = elements(kind.plural(), body)?;
    match documents.iter().find_map(|document| document.misfit(kind)) {
        Some(member) => Err(format!("unknown member {member} in {}", kind.plural())),
        None => Ok(documents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> String {
        documents(DocumentKind::Invoice, body.as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn what_nobody_knows_or_is_only_read_is_refused() {
        assert_eq!(error(r#"{"Invoices":[{"Type":"ACCREC","DueDate":null}]}"#), "");
        for (body, found) in [
            (r#"{"Invoices":[{"Total":1}]}"#, "Total"),
            (r#"{"Invoices":[{"CreditNoteNumber":"C"}]}"#, "CreditNoteNumber"),
            (r#"{"Invoices":[{"LineItems":[{"DiscountRate":1}]}]}"#, "DiscountRate"),
            (r#"{"Invoices":[{"LineItems":[{"UnitAmount":"1.00"}]}]}"#, "no plain decimal"),
            (r#"{"Invoices":[]}"#, "empty"),
            (r#"{"CreditNotes":[{}]}"#, "unknown member CreditNotes"),
            ("{}", "missing"),
            ("[]", "invalid type"),
        ] {
            assert!(error(body).contains(found), "{body}: {}", error(body));
        }
    }
}
