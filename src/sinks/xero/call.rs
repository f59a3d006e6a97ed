//! What one step does at Xero. It is the step's body: JSON, so that a step that was written down is repeated with the
//! same bytes. What goes out to Xero stands in it word for word ([`Exact`]); the rest is what the client needs to know of
//! it, to compare the answer and to look it up.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::receipt::{Document, DocumentKind};
use crate::{domain::money::Currency, sinks::customers::Customer};

/// The name of each call, which is the step's.
pub mod name {
    pub const CONTACT: &str = "contact";
    pub const ITEMS: &str = "items";
    pub const INVOICE: &str = "invoice";
    pub const CREDIT_NOTE: &str = "credit_note";
    pub const PAYMENTS: &str = "payments";
    pub const ALLOCATE: &str = "allocate";
    pub const UPDATE: &str = "update";
    pub const VOID: &str = "void";
    pub const READ: &str = "read";
    pub const REMOVE_PAYMENTS: &str = "remove_payments";
    pub const NOTE: &str = "note";
    pub const JOURNAL: &str = "journal";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// Finds or makes the contact that the order's documents bear. Looks before it makes.
    Contact(Contact),
    /// Makes items that are missing. Looks before it makes.
    Items(Items),
    /// `PUT /Invoices`, one document.
    Invoice(Post),
    /// `PUT /CreditNotes`, one document.
    CreditNote(Post),
    /// `PUT /Payments`: every payment and refund of one order.
    Payments(Payments),
    /// `PUT /CreditNotes/{id}/Allocations`
    Allocate(Allocate),
    /// `POST /Invoices/{id}` or `POST /CreditNotes/{id}`: all of the document anew.
    Update(Update),
    /// The same with nothing but a status.
    Void(Void),
    /// Reads documents before they are corrected.
    Read(Read),
    /// `POST /Payments/{id}` for each.
    RemovePayments(RemovePayments),
    /// `PUT /Invoices/{id}/History`, one note for people.
    Note(Note),
    /// `PUT /ManualJournals`, one journal.
    Journal(Journal),
}

impl Call {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Contact(_) => name::CONTACT,
            Self::Items(_) => name::ITEMS,
            Self::Invoice(_) => name::INVOICE,
            Self::CreditNote(_) => name::CREDIT_NOTE,
            Self::Payments(_) => name::PAYMENTS,
            Self::Allocate(_) => name::ALLOCATE,
            Self::Update(_) => name::UPDATE,
            Self::Void(_) => name::VOID,
            Self::Read(_) => name::READ,
            Self::RemovePayments(_) => name::REMOVE_PAYMENTS,
            Self::Note(_) => name::NOTE,
            Self::Journal(_) => name::JOURNAL,
        }
    }

    /// As a step's body.
    pub fn written(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// From a step's body. An error: another version of this program wrote it.
    pub fn read(body: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(body)
    }
}

/// JSON as it goes out, byte for byte.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Exact(Box<RawValue>);

impl Exact {
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("plain data"))
    }

    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Exact {}

/// Personal data. The step is safe to repeat, so its body is not written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Contact {
    /// The one that all orders bear, by this name.
    House { name: String },
    /// The order's customer; the house contact, of this name, where nobody can be told.
    Customer { customer: Customer, house_name: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Items {
    pub items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub code: String,
    /// One element of `PUT /Items`.
    pub body: Exact,
}

/// A document to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    pub number: String,
    /// What its total has to be, in minor units; never negative.
    pub total_minor: i64,
    pub currency: Currency,
    pub contact_id: String,
    /// One element of the array that is put.
    pub body: Exact,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payments {
    pub currency: Currency,
    pub payments: Vec<Pay>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pay {
    /// Unique. Xero keeps no number of a caller's choice for payments: a lost one is looked up by this, on its document.
    pub reference: String,
    pub on: On,
    /// In minor units, positive. On a credit note it is a refund.
    pub amount_minor: i64,
    /// One element of `PUT /Payments`.
    pub body: Exact,
}

/// A document that stands at Xero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct On {
    pub kind: DocumentKind,
    pub id: String,
    pub number: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocate {
    pub credit_note: On,
    pub currency: Currency,
    pub invoices: Vec<AllocateTo>,
    /// The whole body: `{"Allocations": […]}`.
    pub body: Exact,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllocateTo {
    pub invoice: On,
    /// In minor units.
    pub amount_minor: i64,
}

/// A document to be changed in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    pub document: On,
    /// What its total has to be then, in minor units.
    pub total_minor: i64,
    pub currency: Currency,
    /// As it stands until then, and goes on standing where Xero does not take the change.
    pub before: Document,
    /// The document with all its lines.
    pub body: Exact,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Void {
    pub document: On,
    /// As it stands until then, and goes on standing where Xero does not take it back.
    pub before: Document,
    /// The document with nothing but its status, `VOIDED` or `DELETED`.
    pub body: Exact,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    pub documents: Vec<On>,
    /// For this version of the order, which the receipt then says.
    pub version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovePayments {
    pub payments: Vec<Removal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    pub id: String,
    pub reference: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    pub invoice: On,
    /// What it says, by which it is looked up.
    pub details: String,
    /// The whole body: `{"HistoryRecords": […]}`.
    pub body: Exact,
}

/// A manual journal to be posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    pub number: String,
    /// Unique. Xero keeps no number of a caller's choice for journals: a lost one is looked up by this.
    pub narration: String,
    pub currency: Currency,
    /// What it has to say of each account; they come to nothing.
    pub booked: Vec<Booked>,
    /// One element of `PUT /ManualJournals`.
    pub body: Exact,
}

/// What a journal says of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Booked {
    /// A code, or Xero's id of an account.
    pub account: String,
    /// In minor units; positive: a debit.
    pub amount_minor: i64,
}
