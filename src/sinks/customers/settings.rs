//! Where customers stand in an order, and what a person has said of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{
        field::{Field, Named, Table},
        pointer::Pointer,
        problems::Section,
    },
    sinks::{catalogue::ByHand, links::LinkKind},
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawCustomerFields {
    /// The customer's account.
    id: Field<Pointer>,
    /// The e-mail address.
    email: Field<Pointer>,
    /// The whole name.
    name: Field<Pointer>,
    /// The telephone number.
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

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Customers {
    #[serde(rename = "customer_fields")]
    pub fields: CustomerFields,
    /// Addresses that many share, as they begin or end.
    #[serde(rename = "customer_relays")]
    pub relays: Vec<String>,
    /// By customer id or e-mail.
    #[serde(rename = "customer_links", skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
}

impl Customers {
    /// `key` is that which asks for a record per customer, where it does.
    pub fn validate(
        key: Option<&str>,
        fields: Field<Table<RawCustomerFields>>,
        relays: Field<Vec<String>>,
        links: Field<Named<String>>,
        section: &mut Section<'_>,
    ) -> Self {
        let fields = section.table("customer_fields", fields, |raw: RawCustomerFields, section| CustomerFields {
            id: section.take("id", raw.id),
            email: section.take("email", raw.email),
            name: section.take("name", raw.name),
            phone: section.take("phone", raw.phone),
        });
        let nobody_can_be_told = fields.id.is_none() && fields.email.is_none();
        if let Some(key) = key.filter(|key| nobody_can_be_told && section.none_about(&[key, "customer_fields"])) {
            section.problem(
                "customer_fields",
                "says neither where a customer's id stands in an order nor the e-mail: nobody could be told apart",
                format!(
                    "add `customer_fields = {{ id = \"/customer/id\" }}` once real orders have shown it, or leave `{key}` out"
                ),
            );
        }
        let entries = section.entries("customer_links", links);
        let mut within = section.within("customer_links");
        let links =
            entries.into_iter().filter_map(|(key, field)| Some((key.clone(), within.take(&key, field)?))).collect();
        let relays = section.list("customer_relays", relays).unwrap_or_else(|| vec!["noreply@".to_owned()]);
        Self { fields, relays, links }
    }

    /// The record that a person named.
    pub fn by_hand(&self, id: Option<&str>, email: Option<&str>) -> Option<&str> {
        let named = self.links.iter().find(|(named, _)| {
            id == Some(named.as_str()) || email.is_some_and(|email| email == named.trim().to_lowercase())
        });
        named.map(|(_, record)| record.as_str())
    }

    /// The same as links. One by e-mail is only linked at a sale where customers have ids: those are their keys.
    pub fn linked_by_hand(&self) -> impl Iterator<Item = ByHand> {
        let is_key = |key: &str| !key.contains('@') || self.fields.id.is_none();
        self.links.iter().filter(move |(key, _)| is_key(key)).map(|(key, id)| ByHand {
            kind: LinkKind::Customer,
            local_key: if key.contains('@') { key.trim().to_lowercase() } else { key.trim().to_owned() },
            remote_id: id.clone(),
        })
    }
}
