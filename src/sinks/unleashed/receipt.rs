//! What is known to stand at Unleashed for one order, as its delivery's receipt keeps it. No personal data.
//!
//! A step carries the receipt as it is once the step is confirmed; the client only fills in what Unleashed's answer adds
//! ([`Held::made`], [`Held::seen`], [`Held::refuse`]). What comes next follows from the receipt alone.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    amounts::{Part, parts},
    config::Tax,
    correct::is_nothing,
    guid,
};
use crate::{
    domain::{
        delivery::{CORRECTIONS_AVOIDED, Receipt, STANDS},
        money::Currency,
    },
    sinks::customers::Named,
};

/// Before the key of what is a dish.
pub const GOODS: &str = "goods:";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// In the order in which they were made; those that were taken back stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Document>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<Named>,
    /// Codes of products that were made, or found, for this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<String>,
    /// Codes of products that Unleashed did not let us make.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_products: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// Something was refused since it was read.
    #[serde(skip)]
    pub refused_now: bool,
    /// The version that the last step was for, and the refusals with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried_for: Option<i64>,
    /// When the orders were last read there, and for which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadMark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What the documents say beside the order's total, in minor units.
    pub declared_minor: i64,
    /// Documents that corrections would have taken, had none been changed in place.
    pub corrections_avoided: u32,
    /// The version that was counted for last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_for: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// A sales order, with the invoice that completing it makes.
    Order,
    /// A free-entry credit note.
    Credit,
}

/// What a document says of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// All of it.
    Whole,
    /// What came on top, or what went.
    Part,
}

/// A document's state at Unleashed. Source: Unleashed help centre, "Sales Order Statuses".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Parked,
    Placed,
    /// A variant of parked with a name of the merchant's.
    Custom,
    /// Assumed: as final as completed, with goods to follow.
    Backordered,
    Completed,
    Deleted,
}

impl Standing {
    /// As Unleashed writes it.
    pub fn parse(text: &str) -> Self {
        match text {
            "Parked" => Self::Parked,
            "Placed" => Self::Placed,
            "Backordered" => Self::Backordered,
            "Completed" => Self::Completed,
            "Deleted" => Self::Deleted,
            _ => Self::Custom,
        }
    }

    /// Whether a document in this state counts.
    pub fn stands(self) -> bool {
        self != Self::Deleted
    }

    /// Whether an order in this state can be changed and deleted.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Parked | Self::Placed | Self::Custom)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    pub kind: DocumentKind,
    pub role: Role,
    /// Which of its kind, from 1.
    pub n: u32,
    pub number: String,
    /// Ours; of a credit note Unleashed's, where it gave another.
    pub guid: String,
    /// Of the order, which it was made or last changed for.
    pub version: i64,
    pub date: NaiveDate,
    pub customer_id: String,
    pub warehouse: String,
    pub tax: Tax,
    pub status: Standing,
    pub lines: Vec<Line>,
    /// What it has to come to in minor units; never negative but for an order whose discounts are lines.
    pub gross_minor: i64,
    /// What Unleashed says that it comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_minor: Option<i64>,
    /// A credit note is looked for among those changed since this day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<NaiveDate>,
    /// When its making was answered, or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<DateTime<Utc>>,
    /// `LastModifiedOn` as it was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<DateTime<Utc>>,
    /// It was read since we last changed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checked: bool,
    /// It was changed in place by us: an update may leave lines behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub updated: bool,
    /// A person has changed it there, as the last reading showed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// A person has deleted it there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted_there: bool,
    /// GUIDs of lines that an update left behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_over: Vec<String>,
    /// A credit note's number there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_number: Option<String>,
}

impl Document {
    /// What it does to the books: an order adds, a credit note takes away.
    pub fn sign(&self) -> i64 {
        match self.kind {
            DocumentKind::Order => 1,
            DocumentKind::Credit => -1,
        }
    }

    /// It was made, and still counts.
    pub fn stands(&self) -> bool {
        self.status.stands()
    }

    pub fn is_open_order(&self) -> bool {
        self.kind == DocumentKind::Order && self.status.is_open()
    }

    /// As a GUID's name has it.
    pub fn guid_kind(&self) -> &'static str {
        match (self.kind, self.role) {
            (DocumentKind::Order, Role::Whole) => "salesorder",
            (DocumentKind::Order, Role::Part) => "supplement",
            (DocumentKind::Credit, _) => "credit",
        }
    }

    /// Its lines as they go out, in its own sign, each with what it is of.
    pub fn parts(&self, currency: Currency) -> Vec<(&Line, Part)> {
        let of_line = |line: &Line| parts(self.sign() * line.gross_minor, line.units.abs(), self.tax.rate, currency);
        self.lines.iter().flat_map(|line| of_line(line).into_iter().map(move |part| (line, part))).collect()
    }

    /// In its own sign, in minor units.
    pub fn tax_minor(&self, currency: Currency) -> i64 {
        self.parts(currency).iter().map(|(_, part)| part.tax).sum()
    }

    pub fn line_guid(&self, order_id: &str, line: usize) -> String {
        guid::of_line(order_id, self.guid_kind(), self.n, line)
    }

    /// Whether what is there says the same, line by line.
    fn says(&self, seen: &[SeenLine], currency: Currency) -> bool {
        let mut ours: Vec<(&str, i64, i64)> = self
            .parts(currency)
            .into_iter()
            .map(|(line, part)| (line.code.as_str(), part.quantity, part.net))
            .collect();
        let mut there: Vec<(&str, i64, i64)> =
            seen.iter().map(|line| (line.code.as_str(), line.quantity, line.net_minor)).collect();
        ours.sort_unstable();
        there.sort_unstable();
        ours == there
    }
}

/// One line of what an order comes to. Positive: it adds to it, whatever document it stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What is sold or charged, as things are told apart across versions.
    pub key: String,
    /// Of the product.
    pub code: String,
    /// Goods that move with it; 0 for what is none.
    pub units: i64,
    /// With tax.
    pub gross_minor: i64,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comments: String,
}

/// What Unleashed did not take. It is tried again after a while: a person may have mended the set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The call.
    pub step: String,
    /// Number of the document.
    pub about: String,
    /// A fixed code.
    pub cause: String,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadMark {
    pub version: i64,
    pub at: DateTime<Utc>,
}

/// One line as Unleashed shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenLine {
    pub guid: Option<String>,
    pub code: String,
    pub quantity: i64,
    pub net_minor: i64,
}

/// What a reading said of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub status: Standing,
    pub total_minor: i64,
    pub customer_id: Option<String>,
    pub modified_at: Option<DateTime<Utc>>,
    pub lines: Vec<SeenLine>,
}

impl Held {
    /// As the receipt has it; empty where nothing was ever done. An error: it cannot be read.
    pub fn of(receipt: Option<&Value>) -> Result<Self, serde_json::Error> {
        receipt.map_or_else(|| Ok(Self::default()), Self::deserialize)
    }

    pub fn receipt(&self) -> Value {
        let mut receipt = serde_json::to_value(self).expect("plain data");
        receipt[STANDS] = self.is_there().into();
        receipt[CORRECTIONS_AVOIDED] = self.corrections_avoided.into();
        if self.currency.is_some() {
            // Of what never came to stand nothing is beside the total.
            let declared_minor = if receipt[STANDS] == true { self.declared_minor } else { 0 };
            receipt["money"] = json!({ "posted_minor": self.posted_minor(), "declared_minor": declared_minor });
        }
        receipt
    }

    /// The receipt with what the delivery calls the order: the GUID of its first document.
    pub fn known(&self) -> Receipt {
        let external_id = self.documents.first().map(|document| document.guid.clone());
        Receipt { external_id, receipt: Some(self.receipt()), notice: None, alert: None, refused: self.refused_now }
    }

    /// Something of the order stands there. What was credited whole does not, although its documents stay for ever.
    fn is_there(&self) -> bool {
        let lines: Vec<&Line> = self.standing().flat_map(|document| &document.lines).collect();
        let is_credited = self.standing().any(|document| document.kind == DocumentKind::Credit);
        self.standing().next().is_some() && !(is_credited && is_nothing(&lines))
    }

    /// What the documents that stand come to, in minor units.
    pub fn posted_minor(&self) -> i64 {
        self.standing().map(|document| document.sign() * document.gross_minor).sum()
    }

    pub fn standing(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(|document| document.stands())
    }

    /// The products that lines of documents name which stand: what was sold, and its code. The generic one is nobody's.
    pub fn named_products(&self, generic: &str) -> Vec<(String, String)> {
        let made = self.standing().filter(|document| document.made_at.is_some());
        let lines = made.flat_map(|document| &document.lines).filter(|line| line.code != generic);
        lines.filter_map(|line| Some((line.key.strip_prefix(GOODS)?.to_owned(), line.code.clone()))).collect()
    }

    pub fn document(&self, number: &str) -> Option<&Document> {
        self.documents.iter().find(|document| document.number == number)
    }

    pub fn document_mut(&mut self, number: &str) -> Option<&mut Document> {
        self.documents.iter_mut().find(|document| document.number == number)
    }

    /// A document was made, or found to stand.
    pub fn made(&mut self, number: &str, at: DateTime<Utc>) {
        if let Some(document) = self.document_mut(number) {
            document.made_at = Some(at);
        }
    }

    /// An answer to a write told when the document was changed by that.
    pub fn changed(&mut self, number: &str, modified_at: Option<DateTime<Utc>>) {
        if let Some(document) = self.document_mut(number) {
            document.modified_at = modified_at;
        }
    }

    /// A document goes on standing as it did before a step that was not taken.
    pub fn restore(&mut self, before: &Document) {
        if let Some(document) = self.document_mut(&before.number) {
            document.clone_from(before);
        }
    }

    /// Takes out of the receipt what the step would have made, had it not been refused.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.documents.retain(|document| document.made_at.is_some() || document.number != refusal.about);
        self.refusals.push(refusal);
        self.refused_now = true;
    }

    /// Notes that the orders were read for a version.
    pub fn was_read(&mut self, version: i64, at: DateTime<Utc>) {
        self.read = Some(ReadMark { version, at });
    }

    /// Takes in what a reading showed of a document; none: it is not there. The first reading since we changed it tells how
    /// it came out; a later one whether anybody else did.
    pub fn seen(&mut self, number: &str, seen: Option<&Seen>, order_id: &str) {
        let Some(currency) = self.currency else { return };
        let Some(document) = self.document_mut(number) else { return };
        let Some(seen) = seen.filter(|seen| seen.status.stands()) else {
            document.deleted_there |= document.stands();
            document.status = Standing::Deleted;
            document.checked = true;
            return;
        };
        let n_lines = document.parts(currency).len();
        let is_ours = document.says(&seen.lines, currency)
            && seen.total_minor == document.gross_minor
            && seen.customer_id.as_ref().is_none_or(|id| id.eq_ignore_ascii_case(&document.customer_id));
        // Completing it is no edit.
        let moved = document.modified_at.is_some()
            && seen.modified_at != document.modified_at
            && seen.status == document.status;
        if document.checked || moved {
            document.edited |= !is_ours || moved;
        } else {
            let ours: Vec<String> = (1..=n_lines).map(|line| document.line_guid(order_id, line)).collect();
            let is_strange = |line: &&SeenLine| line.guid.as_ref().is_some_and(|guid| !ours.contains(guid));
            let left_over = seen.lines.iter().filter(is_strange).filter_map(|line| line.guid.clone());
            document.left_over = if seen.lines.len() > n_lines { left_over.collect() } else { Vec::new() };
            document.told_minor = Some(seen.total_minor);
            document.edited |= !is_ours && document.left_over.is_empty() && seen.total_minor == document.gross_minor;
        }
        document.status = seen.status;
        document.modified_at = seen.modified_at;
        document.checked = true;
    }

    /// The same of a credit note, of which only its state and total are looked at.
    pub fn seen_credit(&mut self, number: &str, status: Standing, total_minor: Option<i64>) {
        let Some(document) = self.document_mut(number) else { return };
        document.deleted_there |= document.stands() && !status.stands();
        document.status = status;
        document.told_minor = total_minor.or(document.told_minor);
        document.checked = true;
    }
}
