//! The lines of a document: their amounts, accounts and tax.

use super::{Books, Desk, Invalid};
use crate::simulator::xero::{
    amount::{Cents, Fine},
    body::{LineBody, TrackingBody},
    books::AmountTypes,
};

/// Source: xero_accounting.yaml, `LineItem.Tracking`.
const MAX_TRACKING: usize = 2;
/// Assumed; the description gives no length.
const MAX_DESCRIPTION: usize = 4_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: String,
    pub description: String,
    pub quantity: Fine,
    pub unit_amount: Fine,
    pub line_amount: Cents,
    pub item_code: Option<String>,
    /// A draft may do without.
    pub account_code: Option<String>,
    pub tax_type: String,
    pub tax_amount: Cents,
    pub tracking: Vec<Tracking>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracking {
    pub category_id: String,
    pub option_id: String,
    pub category: String,
    pub option: String,
}

/// What a line is read with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sheet<'a> {
    pub desk: Desk<'a>,
    pub amounts: AmountTypes,
    /// What is approved must name accounts.
    pub is_final: bool,
}

impl Books {
    /// `None` where anything is wrong with it, which is told.
    pub(super) fn line(&mut self, sent: &LineBody, sheet: Sheet<'_>, problems: &mut Invalid) -> Option<Line> {
        let n_before = problems.len();
        let description = sent.description.clone().unwrap_or_default();
        if description.is_empty() {
            problems.push("Description is required for every line, with at least one character".to_owned());
        }
        if description.chars().count() > MAX_DESCRIPTION {
            problems.push(format!("Description is longer than {MAX_DESCRIPTION} characters"));
        }
        let item = sent.item_code.as_deref().map(|code| self.items.iter().find(|item| item.code == code).cloned());
        if let Some(None) = item {
            let code = sent.item_code.as_deref().unwrap_or_default();
            problems.push(format!("Item code '{code}' is not valid"));
        }
        let item = item.flatten();
        let account_code =
            sent.account_code.clone().or_else(|| item.as_ref().and_then(|item| item.account_code.clone()));
        let (quantity, unit_amount, line_amount) = amounts(sent, sheet, problems);
        if line_amount < Cents::ZERO && !sheet.desk.rules.takes_negative_lines {
            problems.push("The line amount must not be negative".to_owned());
        }
        let account = account_code.as_deref().and_then(|code| self.organisation.account(code));
        match (&account_code, account) {
            (None, _) if sheet.is_final => {
                problems.push("Account code or ID must be specified for every line of an approved document".to_owned());
            }
            (Some(code), None) => {
                problems.push(format!("Account code '{code}' is not a valid code for this document"));
            }
            (Some(code), Some(account)) if account.is_archived => {
                problems.push(format!("Account code '{code}' has been archived"));
            }
            (Some(code), Some(account)) if account.kind.is_controlled() => {
                problems.push(format!("Account code '{code}' is not a valid code for this document"));
            }
            _ => {}
        }
        let default_tax = account.map_or("NONE", |account| account.tax_type.as_str());
        let tax_type = match sheet.amounts {
            AmountTypes::NoTax => "NONE".to_owned(),
            AmountTypes::Exclusive | AmountTypes::Inclusive => {
                sent.tax_type.clone().unwrap_or_else(|| default_tax.to_owned())
            }
        };
        let percent = self.percent_of(&tax_type, problems);
        let computed = match sheet.amounts {
            AmountTypes::Exclusive => line_amount.tax_on_top(percent),
            AmountTypes::Inclusive => line_amount.tax_inside(percent),
            AmountTypes::NoTax => Cents::ZERO,
        };
        let tax_amount = match sent.tax_amount.map(|tax| tax.cents().ok_or(tax)) {
            None => computed,
            Some(Ok(tax)) => tax,
            Some(Err(tax)) => {
                problems.push(format!("The tax amount {tax} has more than two places"));
                computed
            }
        };
        let tracking = self.tracking(&sent.tracking, problems);
        if problems.len() > n_before {
            return None;
        }
        Some(Line {
            id: sent.line_item_id.clone().unwrap_or_else(|| self.new_id("line")),
            description,
            quantity,
            unit_amount,
            line_amount,
            item_code: sent.item_code.clone(),
            account_code,
            tax_type,
            tax_amount,
            tracking,
        })
    }

    fn percent_of(&self, tax_type: &str, problems: &mut Invalid) -> Fine {
        match self.organisation.tax_rate(tax_type) {
            Some(rate) if rate.is_active && rate.applies_to_revenue => rate.percent,
            _ => {
                problems.push(format!(
                    "The TaxType code '{tax_type}' does not exist or cannot be used for this type of transaction"
                ));
                Fine::default()
            }
        }
    }

    pub(super) fn tracking(&self, sent: &[TrackingBody], problems: &mut Invalid) -> Vec<Tracking> {
        if sent.len() > MAX_TRACKING {
            problems.push(format!("A line can have {MAX_TRACKING} tracking categories at most"));
        }
        let mut found = Vec::new();
        for one in sent {
            let category = self.organisation.tracking.iter().find(|category| {
                one.category_id.as_ref() == Some(&category.id) || one.name.as_ref() == Some(&category.name)
            });
            let option = category.and_then(|category| {
                category.options.iter().find(|option| {
                    one.option_id.as_ref() == Some(&option.id) || one.option.as_ref() == Some(&option.name)
                })
            });
            match (category, option) {
                (Some(category), Some(option)) => found.push(Tracking {
                    category_id: category.id.clone(),
                    option_id: option.id.clone(),
                    category: category.name.clone(),
                    option: option.name.clone(),
                }),
                _ => problems.push("The tracking category or option does not exist".to_owned()),
            }
        }
        found
    }
}

/// Quantity, unit amount and line amount; one of the first two may be left out where the last is there.
/// Source: xero_accounting.yaml, `LineItem.LineAmount`.
fn amounts(sent: &LineBody, sheet: Sheet<'_>, problems: &mut Invalid) -> (Fine, Fine, Cents) {
    let places = sheet.desk.places;
    let unit = sent.unit_amount.map(|unit| unit.rounded(places));
    let Some(told) = sent.line_amount else {
        let (quantity, unit) = (sent.quantity.unwrap_or(Fine::ONE), unit.unwrap_or_default());
        return (quantity, unit, quantity.times(unit));
    };
    let Some(told) = told.cents() else {
        problems.push(format!("The line amount {told} has more than two places"));
        return Default::default();
    };
    match (sent.quantity, unit) {
        (Some(quantity), Some(unit)) => {
            let expected = quantity.times(unit);
            if expected != told {
                problems.push(format!("The line total {told} does not match the expected line total {expected}"));
            }
            (quantity, unit, told)
        }
        (Some(quantity), None) => (quantity, told.over(quantity, places).unwrap_or_default(), told),
        (None, Some(unit)) => (told.over(unit, places).unwrap_or_default(), unit, told),
        (None, None) => (Fine::ONE, told.over(Fine::ONE, places).unwrap_or_default(), told),
    }
}
