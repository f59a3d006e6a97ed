//! `vendors` of a sink of kind `unleashed`: where each vendor's goods come from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    field::{Field, Named, RawTable, known_keys},
    problems::Section,
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawVendor {
    /// The warehouse's code.
    warehouse: Field<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vendor {
    pub warehouse: String,
}

pub(super) fn validate(field: Field<Named<RawVendor>>, section: &mut Section<'_>) -> BTreeMap<String, Vendor> {
    const ADD: &str = "vendors.\"vendor-id\" = { warehouse = \"KITCHEN1\" }";

    let is_absent = field.is_absent();
    let tables = section.named("vendors", field);
    if is_absent {
        section.missing("vendors", ADD);
    } else if tables.is_empty() && section.none_about(&["vendors"]) {
        section.problem("vendors", "names no vendor: no order would ever be posted", format!("add `{ADD}`"));
    }
    let mut section = section.within("vendors");
    let mut vendors = BTreeMap::new();
    for (id, entries) in tables {
        let mut section = section.within(&id);
        section.refuse_unknown(&entries, &known_keys::<RawVendor>());
        let raw = RawVendor::from_entries(entries);
        if let Some(warehouse) = section.require("warehouse", raw.warehouse, "warehouse = \"KITCHEN1\"") {
            vendors.insert(id, Vendor { warehouse });
        }
    }
    vendors
}
