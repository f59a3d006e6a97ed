//! Whose name documents bear, and which items their lines name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    field::{Field, Named, Table, choice},
    pointer::Pointer,
    problems::Section,
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawCustomerFields {
    /// The customer's account.
    id: Field<Pointer>,
    email: Field<Pointer>,
    name: Field<Pointer>,
    phone: Field<Pointer>,
}

/// Where the customer stands in an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CustomerFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<Pointer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contacts {
    #[serde(rename = "contacts")]
    pub mode: ContactMode,
    /// Xero's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub house_customer: Option<String>,
    pub house_name: String,
    pub customer_fields: CustomerFields,
    /// As they are written: with an `@` at an end or not.
    pub customer_relays: Vec<String>,
    /// By customer id or e-mail.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub customer_links: BTreeMap<String, String>,
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
    let customer_fields =
        section.table("customer_fields", customer_fields, |raw: RawCustomerFields, section| CustomerFields {
            id: section.take("id", raw.id),
            email: section.take("email", raw.email),
            name: section.take("name", raw.name),
            phone: section.take("phone", raw.phone),
        });
    let nobody_can_be_told = customer_fields.id.is_none() && customer_fields.email.is_none();
    if mode == ContactMode::PerCustomer && nobody_can_be_told && section.none_about(&["contacts", "customer_fields"]) {
        section.problem(
            "customer_fields",
            "says neither where a customer's id stands in an order nor the e-mail: nobody could be told apart",
            "add `customer_fields = { id = \"/customer/id\" }` once real orders have shown it, or leave `contacts` out",
        );
    }
    let links = section.entries("customer_links", customer_links);
    let mut within = section.within("customer_links");
    let customer_links =
        links.into_iter().filter_map(|(key, field)| Some((key.clone(), within.take(&key, field)?))).collect();
    Contacts {
        mode,
        house_customer: section.take("house_customer", house_customer),
        house_name: section.take("house_name", house_name).unwrap_or_else(|| HOUSE.to_owned()),
        customer_fields,
        customer_relays: section
            .list("customer_relays", customer_relays)
            .unwrap_or_else(|| vec!["noreply@".to_owned()]),
        customer_links,
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawItemFields {
    /// The vendor's own reference.
    reference: Field<Pointer>,
    barcode: Field<Pointer>,
}

/// Where an item names itself, inside an item of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ItemFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barcode: Option<Pointer>,
}

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
    let item_fields = section.table("item_fields", item_fields, |raw: RawItemFields, section| ItemFields {
        reference: section.take("reference", raw.reference),
        barcode: section.take("barcode", raw.barcode),
    });
    Items { mode: section.take("items", mode).unwrap_or(ItemMode::None), item_codes, item_fields }
}
