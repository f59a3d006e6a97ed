//! What one step does in the shop. It is the step's body: JSON, so that what goes out follows from what was written down.

use serde::{Deserialize, Serialize};

use super::{
    receipt::Sale,
    wire::{LineBody, PaymentBody, SaleBody},
};
use crate::{domain::money::Currency, sinks::customers::Customer};

/// The name of each call, which is the step's.
pub mod name {
    pub const RESOLVE: &str = "resolve";
    pub const SALE: &str = "sale";
    pub const UPDATE: &str = "update";
    pub const VOID: &str = "void";
    pub const BEGIN_RETURN: &str = "begin_return";
    pub const FINISH_RETURN: &str = "finish_return";
    pub const READ: &str = "read";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// Finds or makes the products and the customer that a sale names. Looks before it makes.
    Resolve(Resolve),
    /// A new sale, unless it is there already.
    Sale(Post),
    /// All of an open sale anew.
    Update(Post),
    /// Takes a sale back.
    Void(Change),
    /// Makes a parked return of a closed sale.
    BeginReturn(Change),
    /// Closes a parked return with what is given back.
    FinishReturn(Finish),
    /// Reads sales and registers, before anything is corrected or to see what a sale comes to.
    Read(Read),
}

impl Call {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resolve(_) => name::RESOLVE,
            Self::Sale(_) => name::SALE,
            Self::Update(_) => name::UPDATE,
            Self::Void(_) => name::VOID,
            Self::BeginReturn(_) => name::BEGIN_RETURN,
            Self::FinishReturn(_) => name::FINISH_RETURN,
            Self::Read(_) => name::READ,
        }
    }

    /// As a step's body.
    pub fn written(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// An error: it was written by another version of this program.
    pub fn read(body: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(body)
    }
}

/// Personal data. The step is safe to repeat, so its body is not written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    pub dishes: Vec<Dish>,
    /// Codes of what is no dish.
    pub services: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dish {
    /// Of its link.
    pub key: String,
    pub name: String,
    /// The vendor's own reference or barcode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Of one unit, decimal text, as it is made with: with tax, and without.
    pub price_including_tax: String,
    pub price_excluding_tax: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    pub sale: SaleBody,
    /// What it has to come to, in minor units.
    pub total_minor: i64,
    pub currency: Currency,
    /// As it stands until then, where it is changed, and goes on standing where the shop does not take the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Sale>,
}

/// A sale that stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub id: String,
    pub currency: Currency,
    /// As it stands until then, and goes on standing where the shop does not take the change.
    pub before: Sale,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    pub id: String,
    pub currency: Currency,
    /// What it has to come to, in minor units; negative.
    pub total_minor: i64,
    pub lines: Vec<LineBody>,
    pub payments: Vec<PaymentBody>,
    pub before: Sale,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    pub sales: Vec<String>,
    /// Those whose present opening is to be known.
    pub registers: Vec<String>,
    /// For this version of the order, which the receipt then says.
    pub version: i64,
}
