//! Whose name documents bear, and which items their lines name.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    config::{
        field::{Field, Named, Table, choice},
        problems::Section,
    },
    sinks::{
        customers::{Customers, settings::RawCustomerFields},
        products::{ItemFields, RawItemFields},
    },
};

/// Source: Xero Accounting API, Items: a code has at most 30 characters.
const LONGEST_CODE: usize = 30;
const HOUSE: &str = "Scoffable customers";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactMode {
    /// One contact for all orders: no personal data is copied.
    House,
    /// A contact for each customer that can be told, else the one.
    PerCustomer,
}
choice!(ContactMode { House = "house", PerCustomer = "per_customer" });

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contacts {
    #[serde(rename = "contacts")]
    pub mode: ContactMode,
    /// Xero's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub house_customer: Option<String>,
    pub house_name: String,
    #[serde(flatten)]
    pub customers: Customers,
}

pub(super) fn validate(
    mode: Field<ContactMode>,
    house_customer: Field<String>,
    house_name: Field<String>,
    customer_fields: Field<Table<RawCustomerFields>>,
    customer_relays: Field<Vec<String>>,
    customer_links: Field<Named<String>>,
    section: &mut Section<'_>,
) -> Contacts {
    let mode = section.take("contacts", mode).unwrap_or(ContactMode::House);
    let key = (mode == ContactMode::PerCustomer).then_some("contacts");
    Contacts {
        mode,
        house_customer: section.take("house_customer", house_customer),
        house_name: section.take("house_name", house_name).unwrap_or_else(|| HOUSE.to_owned()),
        customers: Customers::validate(key, customer_fields, customer_relays, customer_links, section),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemMode {
    /// Lines say what was sold in words, and name an account.
    None,
    /// They name an item that is there.
    Match,
    /// They name an item, which is made if it is missing.
    Create,
}
choice!(ItemMode { None = "none", Match = "match", Create = "create" });

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Items {
    #[serde(rename = "items")]
    pub mode: ItemMode,
    /// By dish, as it is written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub item_codes: BTreeMap<String, String>,
    pub item_fields: ItemFields,
}

pub(super) fn validate_items(
    mode: Field<ItemMode>,
    item_codes: Field<Named<String>>,
    item_fields: Field<Table<RawItemFields>>,
    section: &mut Section<'_>,
) -> Items {
    let codes = section.entries("item_codes", item_codes);
    let mut within = section.within("item_codes");
    let mut item_codes = BTreeMap::new();
    for (dish, field) in codes {
        let Some(code) = within.take(&dish, field) else { continue };
        if code.chars().count() > LONGEST_CODE {
            within.problem(&dish, format!("{code:?} is longer than an item code can be"), "use 30 characters or fewer");
        }
        item_codes.insert(dish, code);
    }
    let item_fields = ItemFields::validate(item_fields, section);
    Items { mode: section.take("items", mode).unwrap_or(ItemMode::None), item_codes, item_fields }
}
