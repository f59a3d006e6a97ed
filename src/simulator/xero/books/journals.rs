//! Manual journals: what may be posted, and what becomes of it.
//!
//! Source: xero_accounting.yaml 16.1.0, `ManualJournal`, `ManualJournalLine`, `LineAmountTypes`; its examples for lines that name
//! no tax type, which have none, and for a journal that does not balance. Assumed, because nothing documents it: debits and
//! credits are equal with the tax that is in them or comes on top; bank accounts and the account of what customers owe are out
//! of reach; a posted journal can only be voided.

use chrono::{DateTime, NaiveDate, Utc};

use super::{AmountTypes, Books, Desk, How, Invalid, Tracking, account_id, read_date, stored};
use crate::simulator::xero::{
    amount::{Cents, Fine},
    body::{JournalBody, JournalLineBody},
    organisation::Account,
};

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    pub id: String,
    pub narration: String,
    pub date: NaiveDate,
    pub status: JournalStatus,
    pub amounts: AmountTypes,
    pub lines: Vec<JournalLine>,
    pub url: Option<String>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// Positive: a debit. With its tax or without, as the journal says.
    pub amount: Cents,
    pub tax_amount: Cents,
    pub account_code: String,
    pub description: Option<String>,
    pub tax_type: String,
    pub tracking: Vec<Tracking>,
}

impl Journal {
    /// What a line comes to with its tax.
    pub fn gross(&self, line: &JournalLine) -> Cents {
        match self.amounts {
            AmountTypes::Exclusive => line.amount + line.tax_amount,
            AmountTypes::Inclusive | AmountTypes::NoTax => line.amount,
        }
    }
}

impl Books {
    pub(in crate::simulator::xero) fn journal_place(&self, id: &str) -> Option<usize> {
        self.journals.iter().position(|journal| journal.id == id)
    }

    pub(in crate::simulator::xero) fn save_journal(
        &mut self,
        sent: &JournalBody,
        how: How,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        let target = match (how, sent.journal_id.as_deref()) {
            (How::Update(at), _) => Some(at),
            (How::CreateOrUpdate, Some(id)) => match self.journal_place(id) {
                Some(at) => Some(at),
                None => return Err(vec!["The manual journal could not be found".to_owned()]),
            },
            (How::Create | How::CreateOrUpdate, _) => None,
        };
        if let Some(at) = target {
            self.organisation.check_unlocked(self.journals[at].date).map_err(|locked| vec![locked])?;
            match self.journals[at].status {
                JournalStatus::Draft => {}
                JournalStatus::Posted => return self.void_journal(at, sent, desk),
                JournalStatus::Voided | JournalStatus::Deleted => return Err(vec![NOT_MODIFIABLE.to_owned()]),
            }
        }
        let mut journal = match target {
            Some(at) => self.journals[at].clone(),
            None => Journal {
                id: self.new_id("journal"),
                narration: String::new(),
                date: self.today(desk.now),
                status: JournalStatus::Draft,
                // Source: "Line amounts are exclusive of tax by default".
                amounts: AmountTypes::Exclusive,
                lines: Vec::new(),
                url: None,
                updated_at: desk.now,
            },
        };
        let mut problems = Invalid::new();
        if let Some(narration) = &sent.narration {
            narration.trim().clone_into(&mut journal.narration);
        }
        if journal.narration.is_empty() {
            problems.push("Narration is required".to_owned());
        }
        if let Some(date) = &sent.date {
            journal.date = read_date("Date", date, &mut problems).unwrap_or(journal.date);
        }
        if let Some(name) = &sent.status {
            match JournalStatus::parse(name) {
                Some(JournalStatus::Deleted) if target.is_some() => journal.status = JournalStatus::Deleted,
                Some(status @ (JournalStatus::Draft | JournalStatus::Posted)) => journal.status = status,
                _ => problems.push(format!("A manual journal cannot become {name} now")),
            }
        }
        if let Some(name) = &sent.line_amount_types {
            match AmountTypes::parse(name) {
                Some(amounts) => journal.amounts = amounts,
                None => problems.push(format!("LineAmountTypes cannot be {name}")),
            }
        }
        if let Some(lines) = &sent.journal_lines {
            let read = lines.iter().filter_map(|line| self.journal_line(line, journal.amounts, &mut problems));
            journal.lines = read.collect();
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
        let all = || journal.lines.iter().map(|line| journal.gross(line));
        let debits: Cents = all().filter(|amount| *amount > Cents::ZERO).sum();
        let credits: Cents = all().filter(|amount| *amount < Cents::ZERO).sum();
        if debits + credits != Cents::ZERO && problems.is_empty() {
            problems.push(format!("The total debits ({debits}) must equal total credits ({credits})"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        journal.updated_at = self.touch(desk.now);
        Ok(stored(&mut self.journals, target, journal))
    }

    /// All that may be done to a posted one. Source: `ManualJournal` requires a narration, also of a change.
    fn void_journal(&mut self, at: usize, sent: &JournalBody, desk: Desk<'_>) -> Result<usize, Invalid> {
        let JournalBody { journal_id: _, narration, date, status, line_amount_types, journal_lines, url } = sent;
        if narration.is_none() {
            return Err(vec!["Narration is required".to_owned()]);
        }
        let is_another = narration.as_ref() != Some(&self.journals[at].narration);
        let says_more = [date, line_amount_types, url].into_iter().any(Option::is_some);
        if is_another || says_more || journal_lines.is_some() || status.as_deref() != Some("VOIDED") {
            return Err(vec![NOT_MODIFIABLE.to_owned()]);
        }
        let updated_at = self.touch(desk.now);
        let journal = &mut self.journals[at];
        (journal.status, journal.updated_at) = (JournalStatus::Voided, updated_at);
        Ok(at)
    }

    fn journal_line(
        &self,
        sent: &JournalLineBody,
        amounts: AmountTypes,
        problems: &mut Invalid,
    ) -> Option<JournalLine> {
        let amount = sent.line_amount.and_then(Fine::cents);
        if amount.is_none() {
            problems.push("LineAmount is required, with two places at most".to_owned());
        }
        let account = self.journal_account(sent, problems);
        let tax_type = match amounts {
            AmountTypes::NoTax => "NONE".to_owned(),
            AmountTypes::Exclusive | AmountTypes::Inclusive => {
                sent.tax_type.clone().unwrap_or_else(|| "NONE".to_owned())
            }
        };
        let rate = self.organisation.tax_rate(&tax_type).filter(|rate| rate.is_active);
        if rate.is_none() {
            problems.push(format!("The TaxType code '{tax_type}' does not exist"));
        }
        let tracking = self.tracking(&sent.tracking, problems);
        let (amount, percent) = (amount?, rate?.percent);
        Some(JournalLine {
            amount,
            tax_amount: match amounts {
                AmountTypes::Exclusive => amount.tax_on_top(percent),
                AmountTypes::Inclusive => amount.tax_inside(percent),
                AmountTypes::NoTax => Cents::ZERO,
            },
            account_code: account?.code.clone(),
            description: sent.description.clone(),
            tax_type,
            tracking,
        })
    }

    fn journal_account(&self, sent: &JournalLineBody, problems: &mut Invalid) -> Option<&Account> {
        let account = match (&sent.account_code, &sent.account_id) {
            (Some(code), None) => self.organisation.account(code),
            (None, Some(id)) => {
                let mut accounts = self.organisation.accounts.iter();
                accounts.find(|account| account_id(&account.code).eq_ignore_ascii_case(id))
            }
            _ => {
                problems.push("A line names its account by AccountCode or by AccountID".to_owned());
                return None;
            }
        };
        let account = account.filter(|account| !account.is_archived && !account.kind.is_controlled());
        if account.is_none() {
            let shown = sent.account_code.as_ref().or(sent.account_id.as_ref()).map_or("", String::as_str);
            problems.push(format!("Account code '{shown}' is not a valid code for this document"));
        }
        account
    }
}

/// What a person does in Xero.
impl Books {
    /// Voids every journal with this narration. Returns how many there were.
    pub fn void_journal_by_hand(&mut self, narration: &str, now: DateTime<Utc>) -> usize {
        let updated_at = self.touch(now);
        let mut n_voided = 0;
        for journal in self.journals.iter_mut().filter(|journal| journal.narration == narration) {
            (journal.status, journal.updated_at) = (JournalStatus::Voided, updated_at);
            n_voided += 1;
        }
        n_voided
    }
}

/// Observed (xero-php-oauth2 issue 257): the words, of a document.
const NOT_MODIFIABLE: &str = "Manual journal not of valid status for modification";
