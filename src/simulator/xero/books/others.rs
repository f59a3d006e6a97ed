//! Items, manual journals, and notes.

use chrono::{DateTime, NaiveDate, Utc};

use super::{Books, Desk, How, Invalid, Tracking, read_date, stored};
use crate::simulator::xero::{
    amount::{Cents, Fine},
    body::{HistoryBody, ItemBody, JournalBody, JournalLineBody},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub id: String,
    pub code: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub is_sold: bool,
    pub is_purchased: bool,
    pub unit_price: Option<Fine>,
    pub account_code: Option<String>,
    pub tax_type: Option<String>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalStatus {
    Draft,
    Posted,
    Deleted,
    Voided,
}

impl JournalStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Posted => "POSTED",
            Self::Deleted => "DELETED",
            Self::Voided => "VOIDED",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Draft, Self::Posted, Self::Deleted, Self::Voided].into_iter().find(|status| status.name() == name)
    }
}

/// A manual journal. Assumed: without tax, whatever the tax types of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    pub id: String,
    pub narration: String,
    pub date: NaiveDate,
    pub status: JournalStatus,
    pub lines: Vec<JournalLine>,
    pub url: Option<String>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// Positive: a debit.
    pub amount: Cents,
    pub account_code: String,
    pub description: Option<String>,
    pub tax_type: String,
    pub tracking: Vec<Tracking>,
}

/// A note in the history of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub details: String,
    pub at: DateTime<Utc>,
}

impl Books {
    pub(in crate::simulator::xero) fn item_place(&self, id: &str) -> Option<usize> {
        self.items.iter().position(|item| item.id == id)
    }

    pub(in crate::simulator::xero) fn journal_place(&self, id: &str) -> Option<usize> {
        self.journals.iter().position(|journal| journal.id == id)
    }

    pub(in crate::simulator::xero) fn save_item(
        &mut self,
        sent: &ItemBody,
        how: How,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        let mut problems = Invalid::new();
        let coded = |code: &String| self.items.iter().position(|item| item.code == *code);
        let target = match how {
            How::Create => None,
            How::CreateOrUpdate => {
                let by_id = sent.item_id.as_deref().and_then(|id| self.item_place(id));
                by_id.or_else(|| sent.code.as_ref().and_then(coded))
            }
            How::Update(at) => Some(at),
        };
        let code = sent.code.clone().unwrap_or_default();
        if code.is_empty() {
            problems.push("Code is required for an item".to_owned());
        }
        if coded(&code).is_some_and(|at| Some(at) != target) {
            problems.push(format!("Price List Item with Code '{code}' already exists"));
        }
        for (member, text, longest) in [
            ("Code", Some(&code), 30),
            ("Name", sent.name.as_ref(), 50),
            ("Description", sent.description.as_ref(), 4_000),
        ] {
            if text.is_some_and(|text| text.chars().count() > longest) {
                problems.push(format!("{member} is longer than {longest} characters"));
            }
        }
        if sent.inventory_asset_account_code.is_some() {
            problems.push("The simulated organisation tracks no inventory".to_owned());
        }
        let details = sent.sales_details.clone().unwrap_or_default();
        if let Some(code) = details.account_code.as_deref()
            && self.organisation.account(code).is_none_or(|account| account.is_archived)
        {
            problems.push(format!("Account code '{code}' is not a valid code for this document"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let before = target.map(|at| self.items[at].clone());
        let item = Item {
            id: before.as_ref().map_or_else(|| self.new_id("item"), |item| item.id.clone()),
            code,
            name: sent.name.clone().or_else(|| before.as_ref().and_then(|item| item.name.clone())),
            description: sent.description.clone().or_else(|| before.as_ref().and_then(|item| item.description.clone())),
            is_sold: sent.is_sold.or(before.as_ref().map(|item| item.is_sold)).unwrap_or(true),
            is_purchased: sent.is_purchased.or(before.as_ref().map(|item| item.is_purchased)).unwrap_or(true),
            unit_price: details.unit_price.map(|price| price.rounded(desk.places)),
            account_code: details.account_code,
            tax_type: details.tax_type,
            updated_at: self.touch(desk.now),
        };
        Ok(stored(&mut self.items, target, item))
    }

    pub(in crate::simulator::xero) fn save_journal(
        &mut self,
        sent: &JournalBody,
        how: How,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        let mut problems = Invalid::new();
        let target = match (how, sent.journal_id.as_deref()) {
            (How::Update(at), _) => Some(at),
            (How::CreateOrUpdate, Some(id)) => match self.journal_place(id) {
                Some(at) => Some(at),
                None => return Err(vec!["The manual journal could not be found".to_owned()]),
            },
            (How::Create | How::CreateOrUpdate, _) => None,
        };
        let mut journal = match target {
            Some(at) => self.journals[at].clone(),
            None => Journal {
                id: self.new_id("journal"),
                narration: String::new(),
                date: self.today(desk.now),
                status: JournalStatus::Draft,
                lines: Vec::new(),
                url: None,
                updated_at: desk.now,
            },
        };
        if target.is_some() {
            let is_final = matches!(journal.status, JournalStatus::Voided | JournalStatus::Deleted);
            if is_final {
                return Err(vec!["Manual journal not of valid status for modification".to_owned()]);
            }
            self.organisation.check_unlocked(journal.date).map_err(|locked| vec![locked])?;
        }
        let was_posted = journal.status == JournalStatus::Posted;
        if let Some(narration) = &sent.narration {
            narration.clone_into(&mut journal.narration);
        }
        if journal.narration.is_empty() {
            problems.push("Narration is required".to_owned());
        }
        if let Some(date) = &sent.date {
            journal.date = read_date("Date", date, &mut problems).unwrap_or(journal.date);
        }
        if let Some(name) = &sent.status {
            match JournalStatus::parse(name) {
                Some(JournalStatus::Voided) if was_posted => journal.status = JournalStatus::Voided,
                Some(JournalStatus::Deleted) if target.is_some() && !was_posted => {
                    journal.status = JournalStatus::Deleted;
                }
                Some(status @ (JournalStatus::Draft | JournalStatus::Posted)) if !was_posted => journal.status = status,
                Some(JournalStatus::Posted) => {}
                _ => problems.push(format!("A manual journal cannot become {name} now")),
            }
        }
        if sent.line_amount_types.as_deref().is_some_and(|name| name != "NoTax") {
            problems.push(
                "The simulated organisation posts journals without tax: LineAmountTypes must be NoTax".to_owned(),
            );
        }
        if let Some(lines) = &sent.journal_lines {
            journal.lines = lines.iter().filter_map(|line| self.journal_line(line, &mut problems)).collect();
        }
        if sent.url.is_some() {
            journal.url.clone_from(&sent.url);
        }
        if let Err(locked) = self.organisation.check_unlocked(journal.date) {
            problems.push(locked);
        }
        if journal.lines.len() < 2 && problems.is_empty() {
            problems.push("A manual journal has two lines at least".to_owned());
        }
        let sum: Cents = journal.lines.iter().map(|line| line.amount).sum();
        if sum != Cents::ZERO && problems.is_empty() {
            problems.push(format!("The total debits do not equal the total credits: they differ by {sum}"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        journal.updated_at = self.touch(desk.now);
        Ok(stored(&mut self.journals, target, journal))
    }

    fn journal_line(&self, sent: &JournalLineBody, problems: &mut Invalid) -> Option<JournalLine> {
        let amount = sent.line_amount.and_then(Fine::cents);
        if amount.is_none() {
            problems.push("LineAmount is required, with two places at most".to_owned());
        }
        let account = sent.account_code.as_deref().and_then(|code| self.organisation.account(code));
        let shown = sent.account_code.as_deref().unwrap_or_default();
        // Assumed: journals cannot touch bank accounts or what customers owe.
        if !account.is_some_and(|account| !account.is_archived && !account.kind.is_controlled()) {
            problems.push(format!("Account code '{shown}' is not a valid code for this document"));
        }
        let tax_type = sent.tax_type.clone().unwrap_or_else(|| "NONE".to_owned());
        if self.organisation.tax_rate(&tax_type).is_none() {
            problems.push(format!("The TaxType code '{tax_type}' does not exist"));
        }
        let tracking = self.tracking(&sent.tracking, problems);
        Some(JournalLine {
            amount: amount?,
            account_code: account?.code.clone(),
            description: sent.description.clone(),
            tax_type,
            tracking,
        })
    }

    /// Writes a note into the history of the thing with this id.
    pub(in crate::simulator::xero) fn annotate(
        &mut self,
        id: &str,
        sent: &HistoryBody,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        let Some(details) = sent.details.clone().filter(|details| !details.is_empty()) else {
            return Err(vec!["Details is required".to_owned()]);
        };
        let note = Note { details, at: self.touch(desk.now) };
        let notes = self.history.entry(id.to_owned()).or_default();
        notes.push(note);
        Ok(notes.len() - 1)
    }
}

/// What a person does in Xero.
impl Books {
    /// An item that is sold, without a price.
    pub fn add_item_by_hand(&mut self, code: &str, name: &str, now: DateTime<Utc>) {
        let item = Item {
            id: self.new_id("item"),
            code: code.to_owned(),
            name: Some(name.to_owned()),
            description: None,
            is_sold: true,
            is_purchased: false,
            unit_price: None,
            account_code: None,
            tax_type: None,
            updated_at: self.touch(now),
        };
        self.items.push(item);
    }
}
