//! One organisation's settings: its lock dates, currencies, accounts, tax rates and tracking categories.
//!
//! Source: xero_accounting.yaml 16.1.0, `Organisation`, `Account`, `TaxRate`, `TrackingCategory`.

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::amount::Fine;

/// What kind of account it is, as far as a document, a payment or a journal cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    Revenue,
    Expense,
    CurrentAsset,
    CurrentLiability,
    Bank,
    /// The control account of what customers owe.
    Debtors,
}

impl AccountKind {
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Revenue => "REVENUE",
            Self::Expense => "EXPENSE",
            Self::CurrentAsset | Self::Debtors => "CURRENT",
            Self::CurrentLiability => "CURRLIAB",
            Self::Bank => "BANK",
        }
    }

    pub(super) fn class_name(self) -> &'static str {
        match self {
            Self::Revenue => "REVENUE",
            Self::Expense => "EXPENSE",
            Self::CurrentAsset | Self::Bank | Self::Debtors => "ASSET",
            Self::CurrentLiability => "LIABILITY",
        }
    }

    /// Lines of documents and journals cannot be posted there. Assumed for journals.
    pub(super) fn is_controlled(self) -> bool {
        matches!(self, Self::Bank | Self::Debtors)
    }
}

#[derive(Debug, Clone)]
pub struct Account {
    /// At most 10 characters.
    pub code: String,
    pub name: String,
    pub kind: AccountKind,
    /// What a line has that names none.
    pub tax_type: String,
    pub takes_payments: bool,
    pub is_archived: bool,
}

#[derive(Debug, Clone)]
pub struct TaxRate {
    pub tax_type: String,
    pub name: String,
    pub percent: Fine,
    pub applies_to_revenue: bool,
    pub is_active: bool,
}

#[derive(Debug, Clone)]
pub struct TrackingCategory {
    pub id: String,
    pub name: String,
    pub options: Vec<TrackingOption>,
}

#[derive(Debug, Clone)]
pub struct TrackingOption {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone)]
pub struct Organisation {
    pub tenant_id: String,
    pub name: String,
    pub base_currency: String,
    /// With the base.
    pub currencies: Vec<String>,
    /// Two letters.
    pub country: String,
    pub time_zone: Tz,
    /// As Xero names it.
    pub time_zone_name: String,
    /// As Xero names the plan.
    pub class: String,
    pub is_demo: bool,
    /// Documents of this day and before cannot be changed.
    pub period_lock: Option<NaiveDate>,
    pub year_lock: Option<NaiveDate>,
    pub accounts: Vec<Account>,
    pub tax_rates: Vec<TaxRate>,
    pub tracking: Vec<TrackingCategory>,
}

impl Default for Organisation {
    fn default() -> Self {
        let account = |code: &str, name: &str, kind, tax_type: &str, takes_payments| Account {
            code: code.to_owned(),
            name: name.to_owned(),
            kind,
            tax_type: tax_type.to_owned(),
            takes_payments,
            is_archived: false,
        };
        let rate = |tax_type: &str, name: &str, percent: i64, applies_to_revenue| TaxRate {
            tax_type: tax_type.to_owned(),
            name: name.to_owned(),
            percent: Fine(percent * Fine::ONE.0),
            applies_to_revenue,
            is_active: true,
        };
        let option = |id: &str, name: &str| TrackingOption { id: id.to_owned(), name: name.to_owned() };
        let (revenue, asset) = (AccountKind::Revenue, AccountKind::CurrentAsset);
        Self {
            tenant_id: "6f7c1f0e-2a58-4b0b-9d8e-5c2f3a1b7e01".to_owned(),
            name: "Old Mill Trading (simulated)".to_owned(),
            base_currency: "GBP".to_owned(),
            currencies: ["GBP", "EUR", "USD"].map(str::to_owned).into(),
            country: "GB".to_owned(),
            time_zone: chrono_tz::Europe::London,
            time_zone_name: "GMTSTANDARDTIME".to_owned(),
            class: "PREMIUM".to_owned(),
            is_demo: false,
            period_lock: None,
            year_lock: None,
            accounts: vec![
                account("090", "Business bank account", AccountKind::Bank, "NONE", true),
                account("200", "Sales", revenue, "OUTPUT2", false),
                account("201", "Service fees", revenue, "OUTPUT2", false),
                account("202", "Delivery fees", revenue, "OUTPUT2", false),
                account("205", "Promotions", revenue, "OUTPUT2", false),
                account("400", "Advertising", AccountKind::Expense, "INPUT2", false),
                account("498", "Rounding", revenue, "NONE", false),
                account("499", "Differences", revenue, "NONE", false),
                account("610", "Accounts receivable", AccountKind::Debtors, "NONE", false),
                account("611", "Scoffable clearing", asset, "NONE", true),
                account("612", "Cash and till", asset, "NONE", true),
                account("613", "Card terminal clearing", asset, "NONE", true),
                account("614", "Scoffable goodwill", asset, "NONE", true),
                account("820", "VAT", AccountKind::CurrentLiability, "NONE", false),
            ],
            tax_rates: vec![
                rate("OUTPUT2", "20% (VAT on income)", 20, true),
                rate("RROUTPUT", "5% (VAT on income)", 5, true),
                rate("ZERORATEDOUTPUT", "Zero rated income", 0, true),
                rate("EXEMPTOUTPUT", "Exempt income", 0, true),
                rate("NONE", "No VAT", 0, true),
                rate("INPUT2", "20% (VAT on expenses)", 20, false),
            ],
            tracking: vec![TrackingCategory {
                id: "0b7d5a4c-7d0f-4a43-8e4f-3a6f2f0c1101".to_owned(),
                name: "Outlet".to_owned(),
                options: vec![
                    option("0b7d5a4c-7d0f-4a43-8e4f-3a6f2f0c1102", "Old Mill Kitchen"),
                    option("0b7d5a4c-7d0f-4a43-8e4f-3a6f2f0c1103", "Harbour Noodles"),
                ],
            }],
        }
    }
}

impl Organisation {
    pub fn account(&self, code: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.code == code)
    }

    /// For a person who changes the chart of accounts.
    pub fn account_mut(&mut self, code: &str) -> Option<&mut Account> {
        self.accounts.iter_mut().find(|account| account.code == code)
    }

    pub fn tax_rate(&self, tax_type: &str) -> Option<&TaxRate> {
        self.tax_rates.iter().find(|rate| rate.tax_type == tax_type)
    }

    /// The later of the two lock dates.
    pub fn locked_until(&self) -> Option<NaiveDate> {
        self.period_lock.max(self.year_lock)
    }

    /// Source: xero_accounting.yaml, `Organisation.PeriodLockDate`; xeroizer issue 92.
    pub(super) fn check_unlocked(&self, date: NaiveDate) -> Result<(), String> {
        match self.locked_until() {
            Some(lock) if date <= lock => {
                Err(format!("The document date cannot be on or before the organisation's lock date, currently {lock}"))
            }
            _ => Ok(()),
        }
    }
}
