//! What is known to stand at Xero for one order, as its delivery's receipt keeps it. No personal data.
//!
//! A step carries the receipt as it is once the step is confirmed; the client only fills in what Xero's answer adds
//! ([`Held::answered`], [`Held::entered`], [`Held::paid`], [`Held::refuse`], [`Held::seen`]). What comes next follows from the receipt alone.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    call::name,
    config::{Kind, Tender},
};
use crate::{
    domain::{
        delivery::{CORRECTIONS_AVOIDED, Gathered, Receipt, STANDS},
        money::Currency,
    },
    sinks::customers::Named,
};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// In the order in which they were made; those that were taken back stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Document>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<Payment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allocations: Vec<Allocation>,
    /// Never changed: what differs later is in a further one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub journals: Vec<Journal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<Named>,
    /// Item codes that were made, or found, for this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// Something was refused since it was read.
    #[serde(skip)]
    pub refused_now: bool,
    /// When the documents were last read there, and for which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadMark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The day's document that the order is a part of, until it stands among `documents`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Gathered>,
    /// The version of which a note was written last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noted: Option<i64>,
    /// How often payments were sent: a part of their references.
    pub rounds: u32,
    /// All of it was taken back, as a cancelled order: by credit notes, so that its documents stand.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub taken_back: bool,
    /// What the documents say beside the order's total, in minor units: what the platform pays on top.
    pub declared_minor: i64,
    /// Documents that corrections would have taken, had none been changed in place or passed over.
    pub corrections_avoided: u32,
    /// The version that was counted for last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_for: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    Invoice,
    CreditNote,
}

/// A document's state at Xero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Draft,
    Submitted,
    Authorised,
    /// All of it is paid, credited, refunded or allocated.
    Paid,
    Voided,
    Deleted,
}

impl Standing {
    /// As Xero writes it. None: a state that is not known.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "DRAFT" => Self::Draft,
            "SUBMITTED" => Self::Submitted,
            "AUTHORISED" => Self::Authorised,
            "PAID" => Self::Paid,
            "VOIDED" => Self::Voided,
            "DELETED" => Self::Deleted,
            _ => return None,
        })
    }

    /// Whether a document in this state counts.
    pub fn stands(self) -> bool {
        !matches!(self, Self::Voided | Self::Deleted)
    }
}

/// What a document says of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// All of it, or all of it taken back: its lines have both signs.
    Whole,
    /// A part that was added or taken back: its lines have one sign.
    Part,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    pub kind: DocumentKind,
    pub role: Role,
    pub number: String,
    /// Xero's. None while it is being made.
    pub id: Option<String>,
    /// Of the order, which it was made or last changed for.
    pub version: i64,
    pub date: NaiveDate,
    pub contact_id: String,
    pub status: Standing,
    pub lines: Vec<Line>,
    /// Of all lines, both categories at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracking: Vec<TrackingOption>,
    /// What it has to come to in minor units; never negative, unless it is shared.
    pub gross_minor: i64,
    /// What Xero says that it comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_minor: Option<i64>,
    /// How much of it is paid or credited, refunded or allocated, in minor units.
    pub applied_minor: i64,
    /// `UpdatedDateUTC` as it was told last, in one form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
    /// Whether we have paid, refunded or allocated since: then that instant has moved by our own doing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub touched: bool,
    /// A person has changed it there, as the last reading showed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// Other orders are in it, too: lines and amounts here are this order's alone, and it is never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
}

/// A document of many orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// What all of it comes to in minor units; never negative.
    pub total_minor: i64,
}

impl Document {
    /// What it does to the order's books: an invoice adds, a credit note takes away.
    pub fn sign(&self) -> i64 {
        match self.kind {
            DocumentKind::Invoice => 1,
            DocumentKind::CreditNote => -1,
        }
    }

    pub fn stands(&self) -> bool {
        self.status.stands()
    }

    /// What of it is not paid, credited, refunded or allocated yet, in minor units.
    pub fn open_minor(&self) -> i64 {
        if self.stands() { self.gross_minor - self.applied_minor } else { 0 }
    }

    /// Whether lines that were read there are those that it was made with. What Xero may round, split or order otherwise is
    /// compared by account and tax.
    pub fn says(&self, seen: &[SeenLine]) -> bool {
        let sums = |lines: &mut dyn Iterator<Item = (&str, &str, i64)>| {
            let mut sums = std::collections::BTreeMap::<(String, String), i64>::new();
            for (account, tax_type, amount) in lines {
                *sums.entry((account.to_owned(), tax_type.to_owned())).or_default() += amount;
            }
            sums.retain(|_, amount| *amount != 0);
            sums
        };
        let sign = self.sign();
        let own = |line: &Line| sign * line.gross_minor;
        sums(&mut self.lines.iter().map(|line| (line.account.as_str(), line.tax_type.as_str(), own(line))))
            == sums(&mut seen.iter().map(|line| (line.account.as_str(), line.tax_type.as_str(), line.amount_minor)))
    }
}

/// One line as Xero shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenLine {
    pub account: String,
    pub tax_type: String,
    /// `LineAmount`, in minor units.
    pub amount_minor: i64,
}

/// One line of an order's books. Positive: it adds to them, whatever document it stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub kind: Kind,
    /// What is sold, as products are told apart across versions.
    pub key: String,
    pub description: String,
    pub account: String,
    pub tax_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_code: Option<String>,
    /// 1 or more.
    pub quantity: i64,
    pub gross_minor: i64,
    /// Of this line alone; empty: that of its document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracking: Vec<TrackingOption>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingOption {
    pub name: String,
    pub option: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub reference: String,
    /// Xero's. None while it is being made.
    pub id: Option<String>,
    pub tender: Tender,
    /// A code, or Xero's id of an account.
    pub account: String,
    /// Positive; on a credit note it is a refund.
    pub amount_minor: i64,
    /// Number of the document.
    pub on: String,
    /// None: an earlier version of this program wrote it, and it has its document's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<NaiveDate>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// Reconciled with a bank statement, as Xero has told once: never removed from then on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reconciled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Numbers of the documents.
    pub credit_note: String,
    pub invoice: String,
    pub amount_minor: i64,
}

/// A manual journal, which stands beside the document of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Its narration begins with it.
    pub number: String,
    /// Xero's. None while it is being posted.
    pub id: Option<String>,
    /// Of the order, which it was posted for.
    pub version: i64,
    pub date: NaiveDate,
    /// What it adds to the order's books, thing by thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Line>,
    /// What it moves on clearing accounts: as much as its lines come to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub money: Vec<Moved>,
    /// Xero shows another journal than was sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub differs: bool,
}

impl Journal {
    /// In minor units; negative: it takes away.
    pub fn gross_minor(&self) -> i64 {
        self.lines.iter().map(|line| line.gross_minor).sum()
    }
}

/// What a journal says of one tender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    pub tender: Tender,
    /// A code, or Xero's id of an account.
    pub account: String,
    /// Positive: it came to the account.
    pub amount_minor: i64,
}

/// What Xero did not take. It is tried again after a while: a person may have mended the set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The call.
    pub step: String,
    /// Number of the document or journal, or reference of the payment.
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

/// What an answer said of a document that was made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    pub id: String,
    pub status: Standing,
    pub total_minor: Option<i64>,
    pub updated_at: Option<DateTime<Utc>>,
}

/// What a reading said of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub status: Standing,
    pub total_minor: i64,
    /// Paid and credited, or refunded and allocated.
    pub applied_minor: i64,
    pub updated_at: Option<DateTime<Utc>>,
    pub contact_id: String,
    pub lines: Vec<SeenLine>,
    pub payments: Vec<SeenPayment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPayment {
    pub id: String,
    pub reconciled: bool,
    pub deleted: bool,
}

impl Held {
    /// As the receipt has it; empty where nothing was ever done. An error: it cannot be read.
    pub fn of(receipt: Option<&Value>) -> Result<Self, serde_json::Error> {
        receipt.map_or_else(|| Ok(Self::default()), Self::deserialize)
    }

    pub fn receipt(&self) -> Value {
        let mut receipt = serde_json::to_value(self).expect("plain data");
        receipt[STANDS] = (!self.taken_back && self.documents.iter().any(Document::stands)).into();
        receipt[CORRECTIONS_AVOIDED] = self.corrections_avoided.into();
        if self.currency.is_some() {
            // Of what never came to stand nothing is beside the total.
            let declared_minor = if receipt[STANDS] == true { self.declared_minor } else { 0 };
            receipt["money"] = json!({ "posted_minor": self.posted_minor(), "declared_minor": declared_minor });
        }
        receipt
    }

    /// The receipt with what the delivery calls the order: the id of its first document.
    pub fn known(&self) -> Receipt {
        let external_id = self.documents.iter().find_map(|document| document.id.clone());
        Receipt { external_id, receipt: Some(self.receipt()), notice: None, alert: None, refused: self.refused_now }
    }

    /// What the documents that stand and the journals come to, in minor units.
    pub fn posted_minor(&self) -> i64 {
        let documents: i64 = self.standing().map(|document| document.sign() * document.gross_minor).sum();
        documents + self.journals.iter().map(Journal::gross_minor).sum::<i64>()
    }

    /// The lines of journals.
    pub fn journal_lines(&self) -> impl Iterator<Item = &Line> {
        self.journals.iter().flat_map(|journal| &journal.lines)
    }

    pub fn standing(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(|document| document.stands())
    }

    /// The items that lines of documents name which stand: what was sold, and Xero's code.
    pub fn named_items(&self) -> Vec<(String, String)> {
        let lines = self.standing().filter(|document| document.id.is_some()).flat_map(|document| &document.lines);
        lines.filter_map(|line| Some((line.key.clone(), line.item_code.clone()?))).collect()
    }

    /// Those of them that are the order's alone.
    pub fn own(&self) -> impl Iterator<Item = &Document> {
        self.standing().filter(|document| document.shared.is_none())
    }

    pub fn document(&self, number: &str) -> Option<&Document> {
        self.documents.iter().find(|document| document.number == number)
    }

    fn document_mut(&mut self, number: &str) -> Option<&mut Document> {
        self.documents.iter_mut().find(|document| document.number == number)
    }

    /// Fills in what was answered about a document that was made or changed.
    pub fn answered(&mut self, number: &str, answered: Answered) {
        let Some(document) = self.document_mut(number) else { return };
        document.id = Some(answered.id);
        document.status = answered.status;
        document.told_minor = answered.total_minor;
        document.updated_at = answered.updated_at;
        document.touched = false;
    }

    /// Fills in what was answered about a journal that was posted.
    pub fn entered(&mut self, number: &str, id: String, differs: bool) {
        if let Some(journal) = self.journals.iter_mut().find(|journal| journal.number == number) {
            (journal.id, journal.differs) = (Some(id), differs);
        }
    }

    /// Fills in Xero's id of a payment that was made.
    pub fn paid(&mut self, reference: &str, id: String) {
        if let Some(payment) = self.payments.iter_mut().find(|payment| payment.reference == reference) {
            payment.id = Some(id);
        }
    }

    /// Takes out of the receipt what the step would have done, had it not been refused.
    pub fn refuse(&mut self, refusal: Refusal) {
        if let Some(at) =
            self.payments.iter().position(|payment| payment.reference == refusal.about && payment.id.is_none())
        {
            let payment = self.payments.remove(at);
            if let Some(document) = self.document_mut(&payment.on) {
                document.applied_minor -= payment.amount_minor;
                if document.status == Standing::Paid {
                    document.status = Standing::Authorised;
                }
            }
        }
        self.documents.retain(|document| document.id.is_some() || document.number != refusal.about);
        self.journals.retain(|journal| journal.id.is_some() || journal.number != refusal.about);
        if refusal.step == name::ITEMS {
            self.items.retain(|code| *code != refusal.about);
        }
        self.refusals.push(refusal);
        self.refused_now = true;
    }

    /// One of our payments is removed: what it paid is open again.
    pub fn remove(&mut self, reference: &str) {
        self.turn(reference, true);
    }

    /// A payment that was to be removed stays.
    pub fn keep(&mut self, reference: &str) {
        self.turn(reference, false);
    }

    /// A payment that was to be removed stays for good: a bank statement confirms it.
    pub fn keep_reconciled(&mut self, reference: &str) {
        self.keep(reference);
        for payment in self.payments.iter_mut().filter(|payment| payment.reference == reference) {
            payment.reconciled = true;
        }
    }

    fn turn(&mut self, reference: &str, removed: bool) {
        let is_it = |payment: &&mut Payment| payment.reference == reference && payment.removed != removed;
        let Some(payment) = self.payments.iter_mut().find(is_it) else { return };
        payment.removed = removed;
        let (on, amount) = (payment.on.clone(), payment.amount_minor);
        let Some(document) = self.document_mut(&on) else { return };
        document.applied_minor += if removed { -amount } else { amount };
        document.touched = true;
        let is_paid = document.applied_minor == document.gross_minor;
        document.status = if is_paid { Standing::Paid } else { Standing::Authorised };
    }

    /// Notes that the documents were read for a version.
    pub fn was_read(&mut self, version: i64, at: DateTime<Utc>) {
        self.read = Some(ReadMark { version, at });
    }

    /// Takes in what a reading showed of a document.
    pub fn seen(&mut self, number: &str, seen: &Seen) {
        for payment in &mut self.payments {
            let there = seen.payments.iter().find(|there| Some(&there.id) == payment.id.as_ref());
            if let Some(there) = there {
                // Payments that a document lists do not tell it: once told, it is remembered.
                payment.reconciled |= there.reconciled;
                payment.removed |= there.deleted;
            }
        }
        let Some(document) = self.document_mut(number) else { return };
        // Paying it, or approving it, is no edit.
        let moved = !document.touched
            && seen.updated_at != document.updated_at
            && seen.status == document.status
            && seen.applied_minor == document.applied_minor;
        let taken_back = document.stands() && !seen.status.stands();
        let says_the_same = document.says(&seen.lines)
            && seen.total_minor == document.gross_minor
            && seen.contact_id == document.contact_id;
        document.edited |= taken_back || seen.status.stands() && (moved || !says_the_same);
        document.status = seen.status;
        document.applied_minor = seen.applied_minor;
        document.updated_at = seen.updated_at;
        document.touched = false;
    }
}
