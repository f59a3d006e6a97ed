//! What all orders of an organisation share: its currency and locked periods, its accounts, taxes and tracking, and what the
//! application may do there. Read at most once a day, and held against the configuration.
//!
//! A mapping that does not fit holds back the orders that need it, and no others, until it is mended on either side.
//!
//! Source: Xero Accounting API description 16.1.0, `Organisation`, `Account`, `TaxRate`, `TrackingCategory`; "payments": an
//! account takes them if it is a bank account or `EnablePaymentsToAccount` is set.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};

use super::{
    config::{AccountRef, Auth, ContactMode, Delta, Kind, Tender, XeroSettings},
    journal,
    wire::{self, Listing, Moment},
};
use crate::domain::money::Currency;

/// As it was read there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub read_at: DateTime<Utc>,
    pub name: String,
    pub country: Option<String>,
    pub is_demo: bool,
    pub base_currency: Option<Currency>,
    /// As Xero calls it, which no other list of zones does.
    pub time_zone: Option<String>,
    pub period_lock: Option<NaiveDate>,
    pub end_of_year_lock: Option<NaiveDate>,
    pub currencies: BTreeSet<Currency>,
    /// Without those that were deleted.
    pub accounts: Vec<Account>,
    pub tax_rates: Vec<TaxRate>,
    /// Active categories with their active options.
    pub tracking: Vec<TrackingCategory>,
    /// Codes; only where lines name items.
    pub items: BTreeSet<String>,
    /// Xero's id of the one contact, where it is there already.
    pub house_contact: Option<String>,
    /// What the application may not do, of what the configuration needs.
    pub lacking: BTreeSet<Feature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: String,
    /// Bank accounts may have none.
    pub code: Option<String>,
    pub name: String,
    pub active: bool,
    /// A bank account, or one that payments may go to.
    pub takes_payments: bool,
    /// A bank account: lines cannot name it.
    pub is_bank: bool,
    /// The system's account of what customers owe.
    pub is_debtors: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxRate {
    pub tax_type: String,
    pub name: String,
    pub active: bool,
    /// `CanApplyToRevenue`
    pub for_revenue: bool,
    /// Per cent, as decimal text; empty where it is not told.
    pub rate: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackingCategory {
    pub name: String,
    pub options: BTreeSet<String>,
}

/// What needs a right of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    Settings,
    Invoices,
    Payments,
    Contacts,
    MakeItems,
    Journals,
}

impl Feature {
    /// The scopes of which one is enough, as far as their names are known; the newer first. Assumed: the names of the granular
    /// ones.
    pub fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Settings => &["accounting.settings.read", "accounting.settings"],
            Self::Invoices => &["accounting.invoices", "accounting.transactions"],
            Self::Payments => &["accounting.payments", "accounting.transactions"],
            Self::Contacts => &["accounting.contacts"],
            Self::MakeItems => &["accounting.settings"],
            Self::Journals => &["accounting.transactions"],
        }
    }

    /// Whether a token that names none of them lacks the right. What the granular scope of journals is called is not
    /// documented: whether they may be read tells it.
    fn is_told_by_scopes(self) -> bool {
        self != Self::Journals
    }

    fn needed_for(self) -> &'static str {
        match self {
            Self::Settings => "the organisation's accounts and taxes cannot be read",
            Self::Invoices => "no invoice can be posted",
            Self::Payments => "no payment can be posted",
            Self::Contacts => "contacts can be neither found nor made",
            Self::MakeItems => "missing items cannot be made (`items = \"create\"`)",
            Self::Journals => "manual journals cannot be posted (`delta = \"journal\"`)",
        }
    }

    /// Those of a configuration.
    pub fn needed(settings: &XeroSettings) -> BTreeSet<Self> {
        let makes_items = settings.items.mode == super::config::ItemMode::Create;
        let meets_contacts =
            settings.contacts.mode == ContactMode::PerCustomer || settings.contacts.house_customer.is_none();
        let makes_journals = settings.delta == Delta::Journal;
        let optional =
            [(makes_items, Self::MakeItems), (meets_contacts, Self::Contacts), (makes_journals, Self::Journals)];
        let optional = optional.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, feature)| feature);
        [Self::Settings, Self::Invoices, Self::Payments].into_iter().chain(optional).collect()
    }

    /// Those that a token lacks by what its answer says it is good for.
    pub fn missing(settings: &XeroSettings, granted: &str) -> BTreeSet<Self> {
        let granted: BTreeSet<&str> = granted.split_whitespace().collect();
        let is_missing = |feature: &Self| {
            feature.is_told_by_scopes() && !feature.scopes().iter().any(|scope| granted.contains(scope))
        };
        Self::needed(settings).into_iter().filter(is_missing).collect()
    }
}

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub about: About,
    /// The key of the sink's table that names it.
    pub key: String,
    pub found: String,
    pub to_do: String,
}

/// Whom a problem concerns: the orders that need this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Everything,
    /// Lines on this account.
    LineAccount(String),
    /// Payments to this account, as the configuration names it.
    PaymentAccount(String),
    TaxType(String),
    Tracking {
        category: String,
        option: String,
    },
}

impl Facts {
    /// From the answers, which are about one organisation.
    pub fn of(read: Listing, read_at: DateTime<Utc>) -> Self {
        let organisation = read.organisations.into_iter().next().unwrap_or_default();
        let currency = |code: Option<String>| code.and_then(|code| Currency::parse(&code).ok());
        let base_currency = currency(organisation.base_currency);
        let listed = read.currencies.into_iter().filter_map(|listed| currency(listed.code));
        let is_active = |status: &Option<String>| status.as_deref().is_none_or(|status| status == "ACTIVE");
        let account = |account: wire::Account| {
            let is_bank = account.kind.as_deref() == Some("BANK");
            Some(Account {
                id: account.account_id?,
                code: account.code.filter(|code| !code.is_empty()),
                name: account.name.unwrap_or_default(),
                active: is_active(&account.status),
                takes_payments: is_bank || account.enable_payments_to_account,
                is_bank,
                is_debtors: account.system_account.as_deref() == Some("DEBTORS"),
            })
        };
        let tax_rate = |rate: wire::TaxRate| {
            Some(TaxRate {
                tax_type: rate.tax_type?,
                name: rate.name.unwrap_or_default(),
                active: is_active(&rate.status),
                for_revenue: rate.can_apply_to_revenue,
                rate: rate.effective_rate.map(|rate| rate.as_str().to_owned()).unwrap_or_default(),
            })
        };
        let category = |category: wire::TrackingCategory| {
            let options = category.options.into_iter().filter(|option| is_active(&option.status));
            let options = options.filter_map(|option| option.name).collect();
            let name = category.name.filter(|_| is_active(&category.status))?;
            Some(TrackingCategory { name, options })
        };
        let is_there = |account: &wire::Account| account.status.as_deref() != Some("DELETED");
        Self {
            read_at,
            name: organisation.name.unwrap_or_default(),
            country: organisation.country_code,
            is_demo: organisation.is_demo_company,
            time_zone: organisation.timezone,
            period_lock: organisation.period_lock_date.map(Moment::day),
            end_of_year_lock: organisation.end_of_year_lock_date.map(Moment::day),
            currencies: listed.chain(base_currency).collect(),
            base_currency,
            accounts: read.accounts.into_iter().filter(is_there).filter_map(account).collect(),
            tax_rates: read.tax_rates.into_iter().filter_map(tax_rate).collect(),
            tracking: read.tracking_categories.into_iter().filter_map(category).collect(),
            items: read.items.into_iter().filter_map(|item| item.code).collect(),
            house_contact: None,
            lacking: BTreeSet::new(),
        }
    }

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

/// Everything about which configuration and organisation disagree.
pub fn check(settings: &XeroSettings, facts: &Facts) -> Vec<Problem> {
    let mut problems = Vec::new();
    if settings.auth == Auth::Code && settings.tenant_id.is_none() {
        problems.push(Problem {
            about: About::Everything,
            key: "tenant_id".to_owned(),
            found: "no organisation is named".to_owned(),
            to_do: "run `xero connect`, which lists them, and name one".to_owned(),
        });
    }
    for feature in &facts.lacking {
        let scopes = format!("the scope `{}`", feature.scopes().join("` or `"));
        let or_another = if feature.is_told_by_scopes() { "" } else { ", or the one that Xero lists for it," };
        problems.push(Problem {
            about: About::Everything,
            key: "scopes".to_owned(),
            found: feature.needed_for().to_owned(),
            to_do: format!("add {scopes}{or_another} to `scopes` and to the application, then authorise it again"),
        });
    }
    if facts.lacking.contains(&Feature::Settings) {
        return problems; // nothing is known of the rest
    }
    problems.extend(check_journals(settings, facts));
    check_accounts(settings, facts, &mut problems);
    check_tax_types(settings, facts, &mut problems);
    check_tracking(settings, facts, &mut problems);
    problems
}

/// What keeps everything from being posted.
pub fn hindrance(settings: &XeroSettings, facts: &Facts) -> Option<Problem> {
    check(settings, facts).into_iter().find(|problem| problem.about == About::Everything)
}

fn check_accounts(settings: &XeroSettings, facts: &Facts, problems: &mut Vec<Problem>) {
    let fix = || "`xero setup` lists the accounts: correct the code, or the account in Xero".to_owned();
    let mut seen = BTreeSet::new();
    for (kind, key) in LINE_KINDS {
        let Some(code) = settings.accounts.of(kind).filter(|code| seen.insert((*code).to_owned())) else { continue };
        let found = match facts.account(AccountRef(code)) {
            Some(account) if !account.active => "is archived",
            Some(account) if account.is_bank => "is a bank account, which lines cannot name",
            Some(_) => continue,
            None => "is no account of the organisation",
        };
        problems.push(Problem {
            about: About::LineAccount(code.to_owned()),
            key: format!("accounts.{key}"),
            found: format!("{code} {found}"),
            to_do: fix(),
        });
    }
    let mut seen = BTreeSet::new();
    for (tender, key) in TENDERS {
        let named = settings.payments.of(tender, &settings.accounts).map(|account| account.0);
        let Some(named) = named.filter(|named| seen.insert((*named).to_owned())) else { continue };
        let found = match facts.account(AccountRef(named)) {
            Some(account) if !account.active => "is archived",
            Some(account) if !account.takes_payments => "takes no payments",
            Some(_) => continue,
            None => "is no account of the organisation",
        };
        let to_do = match found {
            "takes no payments" => {
                "tick \"Enable payments to this account\" in Xero, or name another account".to_owned()
            }
            _ => fix(),
        };
        problems.push(Problem {
            about: About::PaymentAccount(named.to_owned()),
            key: key.to_owned(),
            found: format!("{named} {found}"),
            to_do,
        });
    }
}

/// Accounts that no journal can name, where journals are what corrects: nothing is posted that could not be corrected.
pub fn check_journals(settings: &XeroSettings, facts: &Facts) -> Vec<Problem> {
    if settings.delta != Delta::Journal {
        return Vec::new();
    }
    let lines =
        LINE_KINDS.iter().filter_map(|(kind, key)| Some((settings.accounts.of(*kind)?, format!("accounts.{key}"))));
    let money = TENDERS
        .iter()
        .filter_map(|(tender, key)| Some((settings.payments.of(*tender, &settings.accounts)?.0, (*key).to_owned())));
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (named, key) in money.chain(lines).filter(|(named, _)| seen.insert(*named)) {
        let Some(found) = facts.account(AccountRef(named)).and_then(journal::hindered_by) else { continue };
        problems.push(Problem {
            about: About::Everything,
            key,
            found: format!("{named} {found} (`delta = \"journal\"`)"),
            to_do: "name a clearing account that is no bank account, or leave `delta` out".to_owned(),
        });
    }
    problems
}

fn check_tax_types(settings: &XeroSettings, facts: &Facts, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for (kind, key) in LINE_KINDS {
        let tax_type = settings.tax_types.of(kind);
        if !seen.insert(tax_type) {
            continue;
        }
        let found = match facts.tax_rate(tax_type) {
            Some(rate) if rate.active && rate.for_revenue => continue,
            Some(rate) if rate.active => "cannot be applied to revenue",
            Some(_) => "is not active",
            None => "is no tax type of the organisation",
        };
        problems.push(Problem {
            about: About::TaxType(tax_type.to_owned()),
            key: format!("tax_types, for {key}"),
            found: format!("{tax_type} {found}"),
            to_do: "`xero setup` lists the tax types: correct it, or the tax rate in Xero".to_owned(),
        });
    }
}

fn check_tracking(settings: &XeroSettings, facts: &Facts, problems: &mut Vec<Problem>) {
    for (category, tracking) in &settings.tracking {
        let there = facts.tracking.iter().find(|there| there.name == *category);
        let options: BTreeSet<&String> = tracking.options.values().chain(&tracking.otherwise).collect();
        for option in options {
            let found = match there {
                Some(there) if there.options.contains(option) => continue,
                Some(_) => format!("{category:?} has no active option {option:?}"),
                None => format!("{category:?} is no active tracking category"),
            };
            problems.push(Problem {
                about: About::Tracking { category: category.clone(), option: option.clone() },
                key: format!("tracking.{category}"),
                found,
                to_do: "`xero setup` lists categories and options: correct the name, or add it in Xero".to_owned(),
            });
        }
    }
}

/// Every kind of line with its key.
pub(super) const LINE_KINDS: [(Kind, &str); 10] = [
    (Kind::Sales, "sales"),
    (Kind::ServiceFee, "service_fee"),
    (Kind::DeliveryFee, "delivery_fee"),
    (Kind::DeliveryFeeThirdParty, "delivery_fee_third_party"),
    (Kind::Offer, "offer"),
    (Kind::VendorVoucher, "vendor_voucher"),
    (Kind::Adjustment, "adjustment"),
    (Kind::Other, "other"),
    (Kind::Rounding, "rounding"),
    (Kind::Difference, "difference"),
];

/// Every tender with the key of its account.
pub(super) const TENDERS: [(Tender, &str); 7] = [
    (Tender::OnlineScoffable, "accounts.scoffable_clearing"),
    (Tender::VoucherScoffable, "payments.voucher_scoffable"),
    (Tender::OnlineVendor, "accounts.card_terminal"),
    (Tender::CashVendor, "accounts.cash"),
    (Tender::OtherScoffable, "payments.other_scoffable"),
    (Tender::OtherVendor, "payments.other_vendor"),
    (Tender::Goodwill, "accounts.goodwill"),
];
