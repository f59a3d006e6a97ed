//! What all orders of a shop share: its currency and zone, its registers, users, taxes and payment types, and which products
//! are known to be there. Read at most once a day, and held against the configuration.
//!
//! What a setting names and the shop lacks holds back the orders that need it, and no others, until it is mended on either
//! side.
//!
//! Source: Lightspeed X-Series API 2.0, `Register`, `User`, `Tax`, `PaymentType`, `Retailer`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{
    amounts::Rate,
    config::{CustomerMode, LightspeedSettings},
    wire,
};
use crate::domain::{money::Currency, sale::Tender};

/// As it was read there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub read_at: DateTime<Utc>,
    pub name: String,
    pub currency: Option<Currency>,
    pub time_zone: Option<String>,
    /// The shop states its prices without tax.
    pub tax_exclusive: bool,
    /// The tax that is none.
    pub no_tax: Option<String>,
    /// Without those that were deleted, as everything below.
    pub registers: BTreeMap<String, Register>,
    pub users: BTreeSet<String>,
    /// None: a rate that cannot be read.
    pub taxes: BTreeMap<String, Option<Rate>>,
    pub payment_types: BTreeSet<String>,
    /// What a token lacks of what the configuration needs, where its answer says so.
    pub lacking: BTreeSet<&'static str>,
    /// Products that were found or made for dishes and for what is no dish, by key or code.
    pub products: BTreeMap<String, Product>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Register {
    pub name: String,
    pub prefix: String,
    pub suffix: String,
}

/// What stands for a dish.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Product {
    pub id: String,
    /// It is the one for all that have none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generic: bool,
}

/// All that is listed.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    pub retailer: wire::Retailer,
    pub registers: Vec<wire::Register>,
    pub users: Vec<wire::Named>,
    pub taxes: Vec<wire::Tax>,
    pub payment_types: Vec<wire::Named>,
}

impl Facts {
    pub fn of(listed: Listed, read_at: DateTime<Utc>) -> Self {
        let Listed { retailer, registers, users, taxes, payment_types } = listed;
        let ids = |all: Vec<wire::Named>| {
            let standing = all.into_iter().filter(|one| one.deleted_at.is_none());
            standing.filter_map(|one| one.id).collect::<BTreeSet<String>>()
        };
        let register = |register: wire::Register| {
            let known = Register {
                name: register.name.unwrap_or_default(),
                prefix: register.invoice_prefix.unwrap_or_default(),
                suffix: register.invoice_suffix.unwrap_or_default(),
            };
            Some((register.id?, known))
        };
        let tax = |tax: wire::Tax| {
            let rate = Rate::sum(tax.rates.iter().map(|rate| rate.rate.as_str()));
            Some((tax.id?, rate))
        };
        let code = retailer.currency.and_then(|currency| currency.code);
        Self {
            read_at,
            name: retailer.name.unwrap_or_default(),
            currency: code.and_then(|code| Currency::parse(&code).ok()),
            time_zone: retailer.timezone.as_ref().and_then(|zone| zone.as_str()).map(str::to_owned),
            tax_exclusive: retailer.tax_exclusive.unwrap_or(false),
            no_tax: retailer.no_tax_group_id,
            registers: registers.into_iter().filter(|one| one.deleted_at.is_none()).filter_map(register).collect(),
            users: ids(users),
            taxes: taxes.into_iter().filter(|one| one.deleted_at.is_none()).filter_map(tax).collect(),
            payment_types: ids(payment_types),
            lacking: BTreeSet::new(),
            products: BTreeMap::new(),
        }
    }

    /// The tax of what is not taxed.
    pub fn untaxed<'a>(&'a self, settings: &'a LightspeedSettings) -> Option<&'a str> {
        settings.tax_ids.untaxed.as_deref().or(self.no_tax.as_deref())
    }
}

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub needed_by: NeededBy,
    /// The key of the sink's table that names it.
    pub key: String,
    pub found: String,
    pub to_do: String,
}

/// Which orders a problem concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NeededBy {
    All,
    Vendor(String),
    Tender(Tender),
}

/// The scopes that a configuration needs. Source: Lightspeed, "Scopes". Those of registers, taxes and payment types have
/// names that are not known here; without them the reading itself is refused.
fn scopes(settings: &LightspeedSettings) -> BTreeSet<&'static str> {
    let customers = ["customers:read", "customers:write"];
    let customers = customers.into_iter().filter(|_| settings.customer_mode == CustomerMode::PerCustomer);
    // Products for fees and the like are made even where dishes are not.
    let always = ["sales:read", "sales:write", "users:read", "products:read", "products:write"];
    always.into_iter().chain(customers).collect()
}

/// Those that a token lacks by what its answer says it is good for.
pub fn missing_scopes(settings: &LightspeedSettings, granted: &str) -> BTreeSet<&'static str> {
    let granted: BTreeSet<&str> = granted.split_whitespace().collect();
    scopes(settings).into_iter().filter(|scope| !granted.contains(scope)).collect()
}

/// Every tender with its key.
pub(super) const TENDERS: [(Tender, &str); 7] = [
    (Tender::OnlineScoffable, "online_scoffable"),
    (Tender::VoucherScoffable, "voucher_scoffable"),
    (Tender::CashVendor, "cash_vendor"),
    (Tender::OnlineVendor, "online_vendor"),
    (Tender::OtherScoffable, "other_scoffable"),
    (Tender::OtherVendor, "other_vendor"),
    (Tender::Goodwill, "goodwill"),
];

/// Everything about which configuration and shop disagree.
pub fn check(settings: &LightspeedSettings, facts: &Facts) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |needed_by, key: String, found: String, to_do: &str| {
        problems.push(Problem { needed_by, key, found, to_do: to_do.to_owned() });
    };
    for scope in &facts.lacking {
        add(
            NeededBy::All,
            "refresh_token".to_owned(),
            format!("its application may not do {scope}"),
            "authorise the application again with this scope",
        );
    }
    let user = "name a user of the shop who is not deleted, by id";
    if !facts.users.contains(&settings.author_id) {
        add(NeededBy::All, "author_id".to_owned(), format!("{} is no user of the shop", settings.author_id), user);
    }
    for (vendor, place) in &settings.vendors {
        if !facts.registers.contains_key(&place.register_id) {
            add(
                NeededBy::Vendor(vendor.clone()),
                format!("vendors.{vendor:?}.register_id"),
                format!("{} is no register of the shop", place.register_id),
                "name a register of the shop that is not deleted, by id",
            );
        }
        if let Some(author) = place.author_id.as_ref().filter(|author| !facts.users.contains(*author)) {
            add(
                NeededBy::Vendor(vendor.clone()),
                format!("vendors.{vendor:?}.author_id"),
                format!("{author} is no user of the shop"),
                user,
            );
        }
    }
    let tax = "name a tax of the shop that is not deleted, by id";
    let taxes = [("default", Some(settings.tax_ids.default.as_str())), ("untaxed", facts.untaxed(settings))];
    for (key, id) in taxes {
        let found = match id.map(|id| (id, facts.taxes.get(id))) {
            None => "is not set, and the shop names no tax that is none".to_owned(),
            Some((id, None)) => format!("{id} is no tax of the shop"),
            Some((id, Some(None))) => format!("{id} has a rate that cannot be read"),
            Some((id, Some(Some(rate)))) if key == "untaxed" && *rate != Rate::none() => {
                format!("{id} is a tax of more than nothing")
            }
            Some((_, Some(Some(_)))) => continue,
        };
        add(NeededBy::All, format!("tax_ids.{key}"), found, tax);
    }
    for (tender, key) in TENDERS {
        let named = settings.payment_types.of(tender);
        if let Some(id) = named.filter(|id| !facts.payment_types.contains(*id)) {
            add(
                NeededBy::Tender(tender),
                format!("payment_types.{key}"),
                format!("{id} is no payment type of the shop"),
                "name a payment type of the shop that is not deleted, by id",
            );
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{facts, settings, settings_with},
        *,
    };

    fn told(settings: &LightspeedSettings, change: impl FnOnce(&mut Facts)) -> Vec<String> {
        let mut facts = facts();
        change(&mut facts);
        check(settings, &facts).into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn a_shop_that_has_all_that_is_named_fits() {
        assert_eq!(told(&settings(), |_| {}), [""; 0]);
    }

    #[test]
    fn what_the_shop_lacks_is_named_by_its_key() {
        let goodwill = settings_with(&[("payment_types.goodwill", "gone"), ("tax_ids.untaxed", "gone too")]);

        assert_eq!(told(&settings(), |facts| facts.users.clear()), ["author_id"]);
        assert_eq!(told(&settings(), |facts| facts.registers.clear()), ["vendors.\"vendor-a\".register_id"]);
        assert_eq!(told(&settings(), |facts| facts.taxes.clear()), ["tax_ids.default", "tax_ids.untaxed"]);
        assert_eq!(told(&settings(), |facts| facts.no_tax = None), ["tax_ids.untaxed"]);
        assert_eq!(told(&goodwill, |_| {}), ["tax_ids.untaxed", "payment_types.goodwill"]);
        let payments = ["online_scoffable", "voucher_scoffable", "cash_vendor", "online_vendor"];
        let others = ["other_scoffable", "other_vendor"];
        let expected: Vec<String> = payments.iter().chain(&others).map(|key| format!("payment_types.{key}")).collect();
        assert_eq!(told(&settings(), |facts| facts.payment_types.clear()), expected);
    }

    #[test]
    fn a_token_is_held_against_what_the_configuration_needs() {
        let per_customer = settings_with(&[("customers", "per_customer"), ("customer_fields.id", "/customer/id")]);
        let granted = "sales:read sales:write users:read products:read products:write";

        assert_eq!(missing_scopes(&settings(), granted), BTreeSet::new());
        assert_eq!(missing_scopes(&per_customer, granted), ["customers:read", "customers:write"].into());
    }
}
