//! How the product of an order's item is told from others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    config::{
        field::{Field, Table},
        pointer::Pointer,
        problems::Section,
    },
    domain::sale::normalised,
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawItemFields {
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

impl ItemFields {
    pub fn validate(fields: Field<Table<RawItemFields>>, section: &mut Section<'_>) -> Self {
        section.table("item_fields", fields, |raw: RawItemFields, section| Self {
            reference: section.take("reference", raw.reference),
            barcode: section.take("barcode", raw.barcode),
        })
    }

    /// What the item as received says of itself.
    pub fn told<'v>(&self, raw: Option<&'v Value>) -> Option<&'v str> {
        let pointers = [&self.reference, &self.barcode];
        pointers.into_iter().flatten().find_map(|pointer| pointer.text(raw?))
    }

    /// What tells the product from others: its reference, else its barcode, else its name. Never the id of the order's line,
    /// which is another in every order.
    pub fn key(&self, name: &str, raw: Option<&Value>) -> String {
        self.told(raw).map_or_else(|| normalised(name), str::to_owned)
    }
}
