//! What all orders of an account share: its warehouses, taxes, currencies and products, and the customer of the house. Read at
//! most once a day, and held against the configuration.
//!
//! A setting that does not fit holds back the orders that need it, and no others, until it is mended on either side. What the
//! account does not list at all is not held against anything.

use chrono::{DateTime, Utc};

use super::{
    amounts::Rate,
    config::UnleashedSettings,
    wire::{CurrencyName, Product, TaxRate, Warehouse},
};
use crate::domain::sale::normalised;

/// As it was read there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub read_at: DateTime<Utc>,
    /// Active ones, by code. None: they are not listed.
    pub warehouses: Option<Vec<String>>,
    /// Active ones, each with its rate where it can be read. None: they are not listed.
    pub taxes: Option<Vec<(String, Option<Rate>)>>,
    /// By code. None: they are not listed.
    pub currencies: Option<Vec<String>>,
    pub house: House,
    /// Active ones.
    pub products: Vec<KnownProduct>,
    /// There are more than were read, so that one that is not among them may be there all the same.
    pub has_more_products: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProduct {
    pub code: String,
    pub barcode: Option<String>,
    /// As names are compared.
    pub name: String,
    /// For people.
    pub shown: String,
}

/// The customer of the house.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum House {
    Usable,
    /// Obsolete, or stopped.
    Closed,
    #[default]
    Missing,
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
    /// Orders of the vendors of this warehouse.
    Warehouse(String),
    /// Lines of this product.
    Product(String),
}

impl KnownProduct {
    pub fn of(product: Product) -> Option<Self> {
        let code = product.product_code.filter(|code| !code.is_empty())?;
        let shown = product.product_description.unwrap_or_default();
        let barcode = product.barcode.filter(|barcode| !barcode.is_empty());
        (!product.obsolete).then(|| Self { code, barcode, name: normalised(&shown), shown })
    }
}

impl Facts {
    pub fn warehouses_of(listed: Vec<Warehouse>) -> Vec<String> {
        let active = listed.into_iter().filter(|warehouse| !warehouse.obsolete);
        active.filter_map(|warehouse| warehouse.warehouse_code).collect()
    }

    pub fn taxes_of(listed: Vec<TaxRate>) -> Vec<(String, Option<Rate>)> {
        let active = listed.into_iter().filter(|tax| !tax.obsolete);
        active.filter_map(|tax| Some((tax.tax_code?, tax.tax_rate.and_then(|rate| Rate::of(rate.as_str()))))).collect()
    }

    pub fn currencies_of(listed: Vec<CurrencyName>) -> Vec<String> {
        listed.into_iter().filter_map(|currency| currency.currency_code).collect()
    }

    pub fn has_product(&self, code: &str) -> bool {
        self.products.iter().any(|product| product.code == code)
    }

    /// The one active product of which this is true.
    pub fn only_product(&self, is_it: impl Fn(&KnownProduct) -> bool) -> Option<&KnownProduct> {
        let mut found = self.products.iter().filter(|product| is_it(product));
        found.next().filter(|_| found.next().is_none())
    }
}

/// Everything about which configuration and account disagree.
pub fn check(settings: &UnleashedSettings, facts: &Facts) -> Vec<Problem> {
    let mut problems = Vec::new();
    let house = match facts.house {
        House::Usable => None,
        House::Closed => Some("is obsolete or stopped"),
        House::Missing => Some("is no customer of the account"),
    };
    if let Some(found) = house {
        problems.push(Problem {
            about: About::Everything,
            key: "house_customer".to_owned(),
            found: format!("{} {found}", settings.house_customer),
            to_do: "copy the GUID of an active customer from Unleashed, or restore this one".to_owned(),
        });
    }
    check_tax(settings, facts, &mut problems);
    let currency = settings.currency.as_str();
    if facts.currencies.as_ref().is_some_and(|all| !all.iter().any(|code| code == currency)) {
        problems.push(Problem {
            about: About::Everything,
            key: "currency".to_owned(),
            found: format!("{currency} is no currency of the account"),
            to_do: "write the account's base currency".to_owned(),
        });
    }
    for (vendor, place) in &settings.vendors {
        if facts.warehouses.as_ref().is_some_and(|all| !all.contains(&place.warehouse)) {
            problems.push(Problem {
                about: About::Warehouse(place.warehouse.clone()),
                key: format!("vendors.{vendor:?}.warehouse"),
                found: format!("{} is no active warehouse of the account", place.warehouse),
                to_do: "correct the code, or add the warehouse in Unleashed".to_owned(),
            });
        }
    }
    check_products(settings, facts, &mut problems);
    problems
}

fn check_tax(settings: &UnleashedSettings, facts: &Facts, problems: &mut Vec<Problem>) {
    let Some(taxes) = &facts.taxes else { return };
    let tax = &settings.tax;
    let (key, found) = match taxes.iter().find(|(code, _)| *code == tax.code) {
        None => ("tax.code", format!("{} is no active tax of the account", tax.code)),
        Some((_, Some(rate))) if *rate != tax.rate => {
            ("tax.rate", format!("{} is {rate} there and {} here", tax.code, tax.rate))
        }
        Some(_) => return,
    };
    let to_do = "correct `tax`, or the tax in Unleashed".to_owned();
    problems.push(Problem { about: About::Everything, key: key.to_owned(), found, to_do });
}

fn check_products(settings: &UnleashedSettings, facts: &Facts, problems: &mut Vec<Problem>) {
    if facts.has_more_products {
        return;
    }
    let services = settings.products.all().into_iter().filter(|(_, product, _)| !product.is_ours);
    let services = services.map(|(key, product, _)| (format!("products.{key}"), &product.code));
    let dishes = settings.items.iter().map(|(dish, code)| (format!("items.{dish:?}"), code));
    for (key, code) in services.chain(dishes).filter(|(_, code)| !facts.has_product(code)) {
        problems.push(Problem {
            about: About::Product(code.clone()),
            key,
            found: format!("{code} is no active product of the account"),
            to_do: "correct the code, or add the product in Unleashed".to_owned(),
        });
    }
}
