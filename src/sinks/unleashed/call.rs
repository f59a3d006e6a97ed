//! What one step does at Unleashed. It is the step's body: JSON, so that a step that was written down is repeated with the
//! same bytes. What goes out stands in it word for word ([`Exact`]); the rest is what the client needs to know of it, to
//! compare the answer and to look it up.

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::receipt::Document;
use crate::sinks::customers;

/// The name of each call, which is the step's.
pub mod name {
    pub const CUSTOMER: &str = "customer";
    pub const PRODUCTS: &str = "products";
    pub const ORDER: &str = "order";
    pub const COMPLETE: &str = "complete";
    pub const UPDATE: &str = "update";
    pub const DELETE: &str = "delete";
    pub const DELETE_LINES: &str = "delete_lines";
    pub const CREDIT: &str = "credit";
    pub const COMPLETE_CREDIT: &str = "complete_credit";
    pub const READ: &str = "read";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// Finds or makes the customer that the order's documents bear. Looks before it makes.
    Customer(Customer),
    /// Makes products that are missing. Looks before it makes.
    Products(Products),
    /// `POST /SalesOrders/{guid}`
    Order(Post),
    /// `POST /SalesOrders/{guid}/Complete`
    Complete(Change),
    /// `PUT /SalesOrders/{guid}`: all of it anew.
    Update(Update),
    /// `DELETE /SalesOrders/{guid}`
    Delete(Change),
    /// `DELETE /SalesOrders/Lines/{guid}` for each.
    DeleteLines(DeleteLines),
    /// `POST /CreditNotes/FreeCredit`
    Credit(PostCredit),
    /// `POST /CreditNotes/{guid}/Complete`
    CompleteCredit(Change),
    /// Reads documents: how they came out, or before they are corrected.
    Read(Read),
}

impl Call {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Customer(_) => name::CUSTOMER,
            Self::Products(_) => name::PRODUCTS,
            Self::Order(_) => name::ORDER,
            Self::Complete(_) => name::COMPLETE,
            Self::Update(_) => name::UPDATE,
            Self::Delete(_) => name::DELETE,
            Self::DeleteLines(_) => name::DELETE_LINES,
            Self::Credit(_) => name::CREDIT,
            Self::CompleteCredit(_) => name::COMPLETE_CREDIT,
            Self::Read(_) => name::READ,
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
#[serde(deny_unknown_fields)]
pub struct Customer {
    pub customer: customers::Customer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Products {
    pub products: Vec<Product>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    pub code: String,
    pub guid: String,
    /// It stands for a dish, so that a person should look at it.
    pub is_dish: bool,
    pub body: Exact,
}

/// A sales order to be made; the document is in the receipt, by this number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    pub on: On,
    pub body: Exact,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostCredit {
    pub on: On,
    /// No GUID is in its address, so nothing keeps a second one from being made: it is looked for by its reference among
    /// those changed since this day.
    pub since: NaiveDate,
    pub body: Exact,
}

/// A document that stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct On {
    /// Our id of the order, which its lines' GUIDs follow from.
    pub order_id: String,
    pub guid: String,
    /// Ours; of a credit note its reference there.
    pub number: String,
}

/// A document whose state changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub on: On,
    /// As it stands until then, and goes on standing where Unleashed does not take the change.
    pub before: Document,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    pub on: On,
    /// As in [`Change`].
    pub before: Document,
    pub body: Exact,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteLines {
    pub on: On,
    /// GUIDs.
    pub lines: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    pub orders: Vec<On>,
    /// With the day since when to look for each.
    pub credits: Vec<(On, NaiveDate)>,
    /// For this version of the order, which the receipt then says.
    pub version: i64,
}
