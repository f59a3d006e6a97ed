//! `delta = "journal"`: what changes of an order after its day was closed, as one manual journal. Pure.
//!
//! What stands and what should differ in lines, and in money tender by tender. Where both come to the same, a journal says it:
//! revenue against the clearing accounts, in one entry for each revenue class and one for each account, which together are
//! zero. Where they do not, the rest is with the customer, whose account is out of a journal's reach: then documents make up
//! for it, as they do for an order that has documents of its own. A posted journal is never changed: a further one says what
//! differs from it.
//!
//! Source: Xero Accounting API description 16.1.0, `ManualJournal` and `ManualJournalLine`: debits are positive, credits are
//! negative; `POSTED`; a narration is required; no member names a currency or a number. Assumed, because nothing documents
//! it, and nowhere else in this program (the simulator's `books/journals.rs` says the same):
//!
//! * Amounts include their tax (`LineAmountTypes: "Inclusive"`), which Xero finds by the tax type of each line, as it does on
//!   invoices, also with `tax_override`; both sides are equal with it. A line of revenue has the tax type of the line that it
//!   corrects; money has the untaxed one.
//! * A journal is in the organisation's base currency.
//! * Bank accounts and the account of what customers owe are out of reach.
//! * It is shown as soon as it is posted, to whoever asks for what was changed since.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::{
    call::{Booked, Exact},
    config::{AccountRef, Kind, XeroSettings},
    correct,
    lines::{Amount, TrackingItem},
    organisation::{Account, Facts},
    receipt::{Held, Journal, Line, Moved, TrackingOption},
    settle::{goes_to, missing, went_to},
    summary::class_of,
    target::Target,
    wire::ManualJournal,
};
use crate::domain::money::{Currency, Money};

const POSTED: &str = "POSTED";
const INCLUSIVE: &str = "Inclusive";

/// What has to be added, line by line and tender by tender; both come to the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    pub lines: Vec<Line>,
    pub money: Vec<Moved>,
}

/// One line of a journal, never zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Minor units; positive: a debit.
    pub amount_minor: i64,
    pub account: String,
    pub tax_type: String,
    pub description: String,
    pub tracking: Vec<TrackingOption>,
}

/// Whether amounts of a currency can be said by a journal.
pub fn takes(currency: Currency, facts: &Facts) -> bool {
    facts.base_currency == Some(currency)
}

/// Why no journal can name an account; none: it can.
pub fn hindered_by(account: &Account) -> Option<&'static str> {
    if account.is_bank {
        Some("is a bank account, which no journal can touch")
    } else if account.is_debtors {
        Some("is the account of what customers owe, which no journal can touch")
    } else {
        None
    }
}

impl Delta {
    /// None: lines and money do not come to the same, or there is no account for a tender.
    pub fn of(held: &Held, target: &Target, settings: &XeroSettings) -> Option<Self> {
        let standing: Vec<&Line> =
            held.standing().flat_map(|document| &document.lines).chain(held.journal_lines()).collect();
        let lines = correct::missing(&target.lines, &standing);
        let mut money = Vec::new();
        for (tender, amount_minor) in missing(held, &target.payments) {
            if amount_minor == 0 {
                continue;
            }
            let account = if amount_minor < 0 { went_to(held, tender, settings) } else { goes_to(tender, settings) }?;
            money.push(Moved { tender, account, amount_minor });
        }
        let gross: i64 = lines.iter().map(|line| line.gross_minor).sum();
        let paid: i64 = money.iter().map(|moved| moved.amount_minor).sum();
        (gross == paid).then_some(Self { lines, money })
    }

    /// Empty: it is the same for the books, as where one dish took the place of another.
    pub fn entries(&self, tracking: &[TrackingOption], settings: &XeroSettings) -> Vec<Entry> {
        let mut classes = BTreeMap::<(Kind, &str, &str), i64>::new();
        for line in &self.lines {
            *classes.entry((line.kind, &line.account, &line.tax_type)).or_default() += line.gross_minor;
        }
        let mut accounts = BTreeMap::<&str, i64>::new();
        for moved in &self.money {
            *accounts.entry(&moved.account).or_default() += moved.amount_minor;
        }
        let revenue = classes.into_iter().map(|((kind, account, tax_type), gross_minor)| Entry {
            amount_minor: -gross_minor,
            account: account.to_owned(),
            tax_type: tax_type.to_owned(),
            description: class_of(kind).to_owned(),
            tracking: tracking.to_vec(),
        });
        let money = accounts.into_iter().map(|(account, amount_minor)| Entry {
            amount_minor,
            account: account.to_owned(),
            tax_type: settings.tax_types.untaxed.clone(),
            description: if amount_minor < 0 { "Given back" } else { "Received" }.to_owned(),
            tracking: Vec::new(),
        });
        revenue.chain(money).filter(|entry| entry.amount_minor != 0).collect()
    }
}

/// What entries say of each account.
pub fn booked(entries: &[Entry]) -> Vec<Booked> {
    by_account(entries.iter().map(|entry| (entry.account.as_str(), entry.amount_minor)))
}

/// The same of a journal that stands.
pub fn booked_by(journal: &Journal) -> Vec<Booked> {
    let lines = journal.lines.iter().map(|line| (line.account.as_str(), -line.gross_minor));
    by_account(lines.chain(journal.money.iter().map(|moved| (moved.account.as_str(), moved.amount_minor))))
}

fn by_account<'a>(amounts: impl Iterator<Item = (&'a str, i64)>) -> Vec<Booked> {
    let mut sums = BTreeMap::<&str, i64>::new();
    for (account, amount_minor) in amounts {
        *sums.entry(account).or_default() += amount_minor;
    }
    let sums = sums.into_iter().filter(|(_, amount_minor)| *amount_minor != 0);
    sums.map(|(account, amount_minor)| Booked { account: account.to_owned(), amount_minor }).collect()
}

/// One element of `PUT /ManualJournals`.
pub fn body(narration: &str, date: NaiveDate, entries: &[Entry], url: Option<String>, currency: Currency) -> Exact {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        narration: &'a str,
        date: NaiveDate,
        status: &'static str,
        line_amount_types: &'static str,
        journal_lines: Vec<LineBody<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    }
    let journal_lines = entries.iter().map(|entry| line(entry, currency)).collect();
    Exact::of(&Body { narration, date, status: POSTED, line_amount_types: INCLUSIVE, journal_lines, url })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LineBody<'a> {
    line_amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_code: Option<&'a str>,
    #[serde(rename = "AccountID", skip_serializing_if = "Option::is_none")]
    account_id: Option<&'a str>,
    description: &'a str,
    tax_type: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tracking: Vec<TrackingItem<'a>>,
}

fn line(entry: &Entry, currency: Currency) -> LineBody<'_> {
    let account = entry.account.as_str();
    let is_id = AccountRef(account).is_id();
    LineBody {
        line_amount: Amount(Money::new(entry.amount_minor, currency)),
        account_code: Some(account).filter(|_| !is_id),
        account_id: Some(account).filter(|_| is_id),
        description: &entry.description,
        tax_type: &entry.tax_type,
        tracking: entry.tracking.iter().map(TrackingItem::of).collect(),
    }
}

/// What Xero shows of a journal: what it says of each account of ours, and of others. None: it cannot be read.
fn shown(there: &ManualJournal, ours: &[Booked], currency: Currency) -> Option<Vec<Booked>> {
    let mut amounts = Vec::new();
    for line in &there.journal_lines {
        let (code, id) = (line.account_code.as_deref(), line.account_id.as_deref());
        let is_named = |one: &&Booked| id.is_some_and(|id| id.eq_ignore_ascii_case(&one.account));
        let by_id = ours.iter().find(is_named).map(|one| one.account.as_str());
        amounts.push((by_id.or(code).or(id)?, line.line_amount.as_ref()?.minor(currency)?));
    }
    Some(by_account(amounts.into_iter()))
}

/// Whether it stands and says of each account what ours says.
pub fn is_ours(there: &ManualJournal, ours: &[Booked], currency: Currency) -> bool {
    is_posted(there) && includes_tax(there) && shown(there, ours, currency).as_deref() == Some(ours)
}

pub fn is_posted(there: &ManualJournal) -> bool {
    there.status.as_deref() == Some(POSTED)
}

fn includes_tax(there: &ManualJournal) -> bool {
    there.line_amount_types.as_deref().is_none_or(|types| types == INCLUSIVE)
}

/// What a journal adds to the order by what Xero shows, in minor units: all that is on no clearing account of ours. Nothing
/// where it does not stand. None: it cannot be told.
pub fn worth(there: &ManualJournal, journal: &Journal, currency: Currency) -> Option<i64> {
    if !is_posted(there) {
        return Some(0);
    }
    let ours = booked_by(journal);
    if is_ours(there, &ours, currency) {
        return Some(journal.gross_minor());
    }
    let is_money = |account: &str| journal.money.iter().any(|moved| moved.account == account);
    let all = shown(there, &ours, currency).filter(|_| includes_tax(there))?;
    Some(-all.iter().filter(|one| !is_money(&one.account)).map(|one| one.amount_minor).sum::<i64>())
}

#[cfg(test)]
mod tests;
