//! Whether an order fits the organisation as it is set up. What does not is held, and told once for all orders alike.

use super::{
    config::{AccountRef, DocumentStatus, XeroSettings},
    journal::{Entry, hindered_by},
    organisation::Facts,
    settle::Paid,
    target::Target,
};

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The account, tax type, currency or category, for people.
    pub subject: String,
    /// What is wrong and how to mend it.
    pub detail: String,
}

impl Misfit {
    fn new(subject: String, problem: &str, fix: &str) -> Self {
        let detail = format!("{subject} {problem}: {fix}; the orders that need it wait");
        Self { subject, detail }
    }
}

/// The first thing that a target needs and the organisation lacks.
pub fn misfit(target: &Target, settings: &XeroSettings, facts: &Facts) -> Option<Misfit> {
    let currency = target.currency;
    let knows_currency = facts.currencies.contains(&currency) || facts.base_currency == Some(currency);
    if !knows_currency {
        let fix = "add it to the organisation's currencies; nothing is converted";
        return Some(Misfit::new(format!("currency {currency}"), "is not one of the organisation's", fix));
    }
    for line in &target.lines {
        if let Some(misfit) = line_account(&line.account, facts).or_else(|| tax_type(&line.tax_type, facts)) {
            return Some(misfit);
        }
    }
    for one in &target.tracking {
        let category = facts.tracking.iter().find(|category| category.name == one.name);
        let subject = format!("tracking {:?} = {:?}", one.name, one.option);
        if !category.is_some_and(|category| category.options.contains(&one.option)) {
            let fix = "correct `tracking`, or add the option at Xero";
            return Some(Misfit::new(subject, "is no option of the organisation's categories", fix));
        }
    }
    let is_paid = settings.document_status == DocumentStatus::Authorised;
    let tenders = target.payments.iter().filter(|payment| is_paid && payment.amount_minor > 0);
    let mut accounts = tenders.filter_map(|payment| settings.payments.of(payment.tender, &settings.accounts));
    accounts.find_map(|account| payment_account(account, facts))
}

/// The first account of payments that takes none.
pub fn payment_misfit(payments: &[Paid], facts: &Facts) -> Option<Misfit> {
    payments.iter().find_map(|paid| payment_account(AccountRef(&paid.account), facts))
}

/// The first account that a journal cannot name.
pub fn journal_misfit(entries: &[Entry], facts: &Facts) -> Option<Misfit> {
    entries.iter().find_map(|entry| {
        let subject = format!("account {:?}", entry.account);
        let Some(account) = facts.account(AccountRef(&entry.account)) else {
            let fix = "add it at Xero again, or correct the order there by hand and discard it";
            return Some(Misfit::new(subject, "is not in the chart of accounts", fix));
        };
        let found = hindered_by(account).or((!account.active).then_some("is archived"))?;
        let fix = "restore it at Xero, or correct the order there by hand and discard it";
        Some(Misfit::new(subject, found, fix))
    })
}

fn line_account(code: &str, facts: &Facts) -> Option<Misfit> {
    let subject = format!("account {code:?}");
    match facts.account(AccountRef(code)) {
        None => Some(Misfit::new(subject, "is not in the chart of accounts", "correct `accounts`, or add it at Xero")),
        Some(account) if !account.active => {
            Some(Misfit::new(subject, "is archived", "name another in `accounts`, or restore it at Xero"))
        }
        Some(account) if account.is_bank => {
            Some(Misfit::new(subject, "is a bank account, which no line can name", "correct `accounts`"))
        }
        Some(_) => None,
    }
}

fn payment_account(account: AccountRef<'_>, facts: &Facts) -> Option<Misfit> {
    let subject = format!("account {:?}", account.0);
    match facts.account(account) {
        None => {
            let fix = "correct `accounts` or `payments`, or add it at Xero";
            Some(Misfit::new(subject, "is not in the chart of accounts", fix))
        }
        Some(known) if !known.active => {
            Some(Misfit::new(subject, "is archived", "name another in `accounts`, or restore it at Xero"))
        }
        Some(known) if !known.takes_payments => {
            let fix = "enable payments to this account at Xero, or name another in `accounts` or `payments`";
            Some(Misfit::new(subject, "takes no payments", fix))
        }
        Some(_) => None,
    }
}

fn tax_type(tax_type: &str, facts: &Facts) -> Option<Misfit> {
    let subject = format!("tax type {tax_type:?}");
    let fix = "correct `tax_types` (`xero setup` lists them)";
    match facts.tax_rate(tax_type) {
        None => Some(Misfit::new(subject, "is not one of the organisation's", fix)),
        Some(rate) if !rate.active => Some(Misfit::new(subject, "is not active", fix)),
        Some(rate) if !rate.for_revenue => Some(Misfit::new(subject, "cannot be used for income", fix)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{facts, settings, target_of},
        *,
    };

    fn told(change: impl FnOnce(&mut Facts)) -> Option<String> {
        let mut facts = facts();
        change(&mut facts);
        misfit(&target_of(2329), &settings(), &facts).map(|misfit| misfit.subject)
    }

    #[test]
    fn an_organisation_that_has_all_that_is_named_fits() {
        assert_eq!(told(|_| {}), None);
    }

    #[test]
    fn what_the_organisation_lacks_is_named() {
        let account = |facts: &mut Facts, code: &str, change: fn(&mut super::super::organisation::Account)| {
            change(facts.accounts.iter_mut().find(|account| account.code.as_deref() == Some(code)).unwrap());
        };

        assert_eq!(
            told(|facts| {
                facts.currencies.clear();
                facts.base_currency = None;
            })
            .as_deref(),
            Some("currency GBP")
        );
        assert_eq!(told(|facts| account(facts, "200", |one| one.active = false)).as_deref(), Some("account \"200\""));
        assert_eq!(told(|facts| account(facts, "200", |one| one.is_bank = true)).as_deref(), Some("account \"200\""));
        assert_eq!(
            told(|facts| account(facts, "611", |one| one.takes_payments = false)).as_deref(),
            Some("account \"611\"")
        );
        assert_eq!(told(|facts| facts.tax_rates.clear()).as_deref(), Some("tax type \"OUTPUT2\""));
        assert_eq!(
            told(|facts| facts.tax_rates.iter_mut().for_each(|rate| rate.for_revenue = false)).as_deref(),
            Some("tax type \"OUTPUT2\"")
        );
    }
}
