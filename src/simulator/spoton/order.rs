//! An order as it was submitted, once every check of form is passed.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

/// An order that passed every check of form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub reference: String,
    pub display_id: Option<String>,
    pub menu: String,
    pub source: String,
    pub placed_at: Option<DateTime<Utc>>,
    pub customer: Option<Customer>,
    pub fulfillment: Fulfillment,
    pub lines: Vec<Line>,
    pub discounts: Vec<Extra>,
    pub fees: Vec<Extra>,
    pub payments: Vec<Payment>,
    pub totals: Totals,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Customer {
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub email: Option<String>,
    pub phone: Option<String>,
}

impl Customer {
    /// Such a customer is created in the merchant's database. Source: SpotOn, Orders Overview.
    pub fn is_complete(&self) -> bool {
        [&self.first_name, &self.last_name, &self.email, &self.phone].iter().all(|field| field.is_some())
    }
}

impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Personal data.
        f.debug_struct("Customer").field("is_complete", &self.is_complete()).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Fulfillment {
    pub kind: Kind,
    pub schedule: Schedule,
    /// As it came.
    pub address: Option<Value>,
}

impl fmt::Debug for Fulfillment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Fulfillment");
        // The address is personal data.
        text.field("kind", &self.kind).field("schedule", &self.schedule).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Pickup,
    Delivery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    Asap,
    /// Ready then, or at the door then, as the kind is.
    At(DateTime<Utc>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub line_id: Option<String>,
    pub item_id: Option<String>,
    pub name: String,
    pub quantity: i64,
    /// Cents for one, without modifiers.
    pub price: i64,
    pub modifiers: Vec<Modifier>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modifier {
    pub id: Option<String>,
    pub name: String,
    pub quantity: i64,
    /// Cents for one.
    pub price: i64,
}

/// A discount or a fee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    pub name: String,
    /// Positive cents, also for a discount.
    pub amount: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub provider: String,
    pub amount: i64,
}

/// Cents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    pub subtotal: i64,
    pub discounts_total: i64,
    pub fees_total: i64,
    pub tax_total: i64,
    pub tip_total: i64,
    pub grand_total: i64,
}
