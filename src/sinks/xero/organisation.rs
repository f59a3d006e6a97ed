//! What has to be known of the organisation before anything is posted to it.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};

use super::config::AccountRef;
use crate::domain::money::Currency;

/// As it was read there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub read_at: DateTime<Utc>,
    pub name: String,
    /// IANA, or as Xero calls it.
    pub time_zone: Option<String>,
    pub base_currency: Option<Currency>,
    pub period_lock: Option<NaiveDate>,
    pub end_of_year_lock: Option<NaiveDate>,
    pub accounts: Vec<Account>,
    pub tax_rates: Vec<TaxRate>,
    pub currencies: BTreeSet<Currency>,
    pub tracking: Vec<TrackingCategory>,
    /// Codes; only where lines name items.
    pub items: BTreeSet<String>,
    /// Xero's id of the one contact, where it is there already.
    pub house_contact: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    pub code: Option<String>,
    pub name: String,
    pub active: bool,
    /// A bank account, or one that payments may go to.
    pub takes_payments: bool,
    /// A bank account: lines cannot name it.
    pub is_bank: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxRate {
    pub tax_type: String,
    pub name: String,
    pub active: bool,
    /// `CanApplyToRevenue`
    pub for_revenue: bool,
    /// Per cent, as decimal text: `20.0000`.
    pub rate: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackingCategory {
    pub name: String,
    pub options: BTreeSet<String>,
}

impl Facts {
    /// Nothing dated on or before this day can be made or changed.
    pub fn locked_until(&self) -> Option<NaiveDate> {
        self.period_lock.max(self.end_of_year_lock)
    }

    pub fn account(&self, named: AccountRef<'_>) -> Option<&Account> {
        self.accounts.iter().find(|account| {
            if named.is_id() {
                account.id.eq_ignore_ascii_case(named.0)
            } else {
                account.code.as_deref() == Some(named.0)
            }
        })
    }

    pub fn tax_rate(&self, tax_type: &str) -> Option<&TaxRate> {
        self.tax_rates.iter().find(|rate| rate.tax_type == tax_type)
    }
}
