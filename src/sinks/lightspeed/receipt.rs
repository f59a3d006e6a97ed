//! What is known to stand in the shop for one order, as its delivery's receipt keeps it. No personal data.
//!
//! A step carries the receipt as it is once the step is confirmed; the client only fills in what the shop's answers add. What
//! comes next follows from the receipt alone.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{facts::Product, wire::State};
use crate::{
    domain::{
        delivery::{CORRECTIONS_AVOIDED, Receipt, STANDS},
        money::Currency,
        sale::Kind,
    },
    sinks::customers::Named,
};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// In the order in which they were made; those that were taken back stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sales: Vec<Sale>,
    /// Products that were found or made for this version, by key or code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub products: BTreeMap<String, Product>,
    /// Dishes for which there is no product, with the most similar one of the shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<WhoBuys>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Something was refused since it was read.
    #[serde(skip)]
    pub refused_now: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
    /// When the sales were last read there, and for which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadMark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What the sales say beside the order's total, in minor units: what the platform pays on top.
    pub declared_minor: i64,
    /// Sales and returns that corrections would have taken, had none been changed in place.
    pub corrections_avoided: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    Sale,
    Return,
}

/// A sale, or a return of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    pub document: Document,
    /// Of a sale ours, and known before it is made; of a return the shop's. None: a return that is being begun.
    pub id: Option<String>,
    /// Of a sale; empty for a return, which the shop numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub number: String,
    /// The sale that a return gives back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Of the order, which it was made or last changed for.
    pub version: i64,
    pub register_id: String,
    pub date: DateTime<Utc>,
    pub state: State,
    /// Of a return what it gives back, from when it is begun.
    pub lines: Vec<Line>,
    /// By payment type; of a return negative.
    pub payments: BTreeMap<String, i64>,
    /// What the shop says that it comes to, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_minor: Option<i64>,
    /// What changes there with the sale, as it was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The opening of its register in which it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<String>,
    /// A person has changed it there, as the last reading showed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
}

/// Units of one thing at one price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub kind: Kind,
    /// What is sold, as products are told apart across versions.
    pub key: String,
    /// Negative: given back.
    pub quantity: i64,
    /// With tax, in minor units.
    pub unit_minor: i64,
    pub product_id: String,
    pub tax_id: String,
    /// Of one unit, as it was written there.
    pub price: String,
    pub tax: String,
}

impl Line {
    pub fn gross_minor(&self) -> i64 {
        self.quantity * self.unit_minor
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub at: DateTime<Utc>,
    /// For people.
    pub detail: String,
}

/// Whose name the sale bears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoBuys {
    /// None: nobody's.
    pub named: Option<Named>,
}

/// What the shop did not take. It is tried again after a while: a person may have mended the set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub step: String,
    pub status: u16,
    pub version: i64,
    pub at: DateTime<Utc>,
}

/// The register was not open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub register_id: String,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMark {
    pub version: i64,
    pub at: DateTime<Utc>,
    /// The present opening of each register that has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub openings: BTreeMap<String, String>,
}

/// What a reading said of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub state: State,
    pub total_minor: Option<i64>,
    pub mark: Option<String>,
    pub opening: Option<String>,
}

impl Sale {
    /// Whether it counts: a return only once it is closed.
    pub fn stands(&self) -> bool {
        match (self.document, self.state) {
            (_, State::Voided) | (Document::Return, State::Parked | State::Pending) => false,
            (Document::Sale, _) | (Document::Return, State::Closed) => true,
        }
    }

    /// What it has to come to, in minor units.
    pub fn gross_minor(&self) -> i64 {
        self.lines.iter().map(Line::gross_minor).sum()
    }

    /// Begun, and not closed yet.
    pub fn is_unfinished_return(&self) -> bool {
        self.document == Document::Return && matches!(self.state, State::Parked | State::Pending)
    }

    /// Takes in what was read right after it was made or changed by us.
    pub fn confirm(&mut self, seen: Seen) {
        self.state = seen.state;
        self.told_minor = seen.total_minor;
        self.mark = seen.mark;
        self.opening = seen.opening;
    }

    /// Takes in what was read at any other time. Whatever differs, a person has done.
    pub fn look_at(&mut self, seen: Seen) {
        let moved = match (&self.mark, &seen.mark) {
            (Some(known), Some(seen)) => known != seen,
            // It was never read before, and says what it was made to say or is told of as a mismatch.
            _ => false,
        };
        self.edited |= moved || seen.state != self.state;
        self.confirm(seen);
    }
}

impl Held {
    /// As the receipt has it; empty where nothing was ever done. An error: it cannot be read.
    pub fn of(receipt: Option<&Value>) -> Result<Self, serde_json::Error> {
        receipt.map_or_else(|| Ok(Self::default()), Self::deserialize)
    }

    pub fn receipt(&self) -> Value {
        let mut receipt = serde_json::to_value(self).expect("plain data");
        receipt[STANDS] = self.sales.iter().any(|sale| sale.document == Document::Sale && sale.stands()).into();
        receipt[CORRECTIONS_AVOIDED] = self.corrections_avoided.into();
        if self.currency.is_some() {
            // Of what never came to stand nothing is beside the total.
            let declared_minor = if receipt[STANDS] == true { self.declared_minor } else { 0 };
            receipt["money"] = json!({ "posted_minor": self.posted_minor(), "declared_minor": declared_minor });
        }
        receipt
    }

    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
        self.refused_now = true;
    }

    /// The receipt with what the delivery calls the order: the id of its first sale.
    pub fn known(&self) -> Receipt {
        let external_id = self.sales.iter().find_map(|sale| sale.id.clone());
        Receipt { external_id, receipt: Some(self.receipt()), notice: None, alert: None, refused: self.refused_now }
    }

    /// What stands there, in minor units.
    pub fn posted_minor(&self) -> i64 {
        self.standing().map(|sale| sale.told_minor.unwrap_or_else(|| sale.gross_minor())).sum()
    }

    pub fn standing(&self) -> impl Iterator<Item = &Sale> {
        self.sales.iter().filter(|sale| sale.stands())
    }

    pub fn sale_mut(&mut self, id: &str) -> Option<&mut Sale> {
        self.sales.iter_mut().find(|sale| sale.id.as_deref() == Some(id))
    }

    /// How many sales were ever made: the next one's number follows.
    pub fn revisions(&self) -> usize {
        self.sales.iter().filter(|sale| sale.document == Document::Sale).count()
    }
}
