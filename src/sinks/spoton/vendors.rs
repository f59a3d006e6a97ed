//! `vendors` of a sink of kind `spoton`: where each vendor's orders go, and what its items are called there.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    config::{
        field::{Field, Named, RawTable, known_keys},
        problems::Section,
    },
    domain::{money::Currency, sale::normalised},
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawVendor {
    /// SpotOn's id of the location.
    location_id: Field<String>,
    /// The menu that applies.
    menu_id: Field<String>,
    /// The location's currency; orders in another one are parked.
    currency: Field<String>,
    /// The location's time zone, as `"Europe/London"`, for times that are told without one.
    time_zone: Field<String>,
    /// The menu item for what no map names.
    fallback_item_id: Field<String>,
    /// The menu item of a product, by its reference, barcode or name.
    items: Field<Named<String>>,
    /// The modifier of an option, by category and option.
    modifiers: Field<Named<Named<String>>>,
}

/// Where and how one vendor's orders are submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vendor {
    pub location_id: String,
    pub menu_id: String,
    pub currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_zone")]
    pub time_zone: Option<Tz>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_item_id: Option<String>,
    /// By [`normalised`] reference, barcode or name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, String>,
    /// By normalised category, then option.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub modifiers: BTreeMap<String, BTreeMap<String, String>>,
}

#[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn as_zone<S: Serializer>(zone: &Option<Tz>, serializer: S) -> Result<S::Ok, S::Error> {
    match zone {
        Some(zone) => serializer.serialize_str(zone.name()),
        None => serializer.serialize_none(),
    }
}

pub(super) fn validate(field: Field<Named<RawVendor>>, section: &mut Section<'_>) -> BTreeMap<String, Vendor> {
    const ADD: &str = "vendors.\"vendor-id\" = { location_id = \"BL-…\", menu_id = \"…\", currency = \"GBP\" }";

    let is_absent = field.is_absent();
    let tables = section.named("vendors", field);
    if is_absent {
        section.missing("vendors", ADD);
    } else if tables.is_empty() && section.none_about(&["vendors"]) {
        section.problem("vendors", "names no vendor: no order would ever be submitted", format!("add `{ADD}`"));
    }
    let mut section = section.within("vendors");
    let mut vendors = BTreeMap::new();
    for (id, entries) in tables {
        let mut section = section.within(&id);
        section.refuse_unknown(&entries, &known_keys::<RawVendor>());
        if let Some(vendor) = RawVendor::from_entries(entries).validate(&mut section) {
            vendors.insert(id, vendor);
        }
    }
    vendors
}

impl RawVendor {
    fn validate(self, section: &mut Section<'_>) -> Option<Vendor> {
        let location_id = section.require("location_id", self.location_id, "location_id = \"BL-…\"");
        if let Some(id) = location_id.as_deref().filter(|id| !looks_like_a_location(id)) {
            section.warn(
                "location_id",
                format!("{id:?} does not look like a location's id"),
                "SpotOn writes them as BL-XXXX-XXXX-XXXX; nothing to do if this is how it names yours",
            );
        }
        let menu_id = section.require("menu_id", self.menu_id, "menu_id = \"…\"");
        let currency = section.require("currency", self.currency, "currency = \"GBP\"");
        let currency = currency.and_then(|text| {
            let currency = Currency::parse(&text).ok();
            if currency.is_none() {
                section.problem("currency", format!("{text:?} is not a currency"), "use three letters, as \"GBP\"");
            }
            currency
        });
        let time_zone = section.take("time_zone", self.time_zone).and_then(|text| {
            let zone = text.parse::<Tz>().ok();
            if zone.is_none() {
                section.problem("time_zone", format!("{text:?} is not a time zone"), "use one as \"Europe/London\"");
            }
            zone
        });
        let fallback_item_id = section.take("fallback_item_id", self.fallback_item_id);
        let items = section.entries("items", self.items);
        let items = map_of(items, &mut section.within("items"));
        let modifiers = section.entries("modifiers", self.modifiers);
        let mut of_categories = section.within("modifiers");
        let mut by_category = BTreeMap::<String, BTreeMap<String, String>>::new();
        for (category, options) in modifiers {
            let options = of_categories.entries(&category, options);
            let options = map_of(options, &mut of_categories.within(&category));
            by_category.entry(normalised(&category)).or_default().extend(options);
        }
        if fallback_item_id.is_none() && items.is_empty() && section.none_about(&["items", "fallback_item_id"]) {
            section.problem(
                "items",
                "is missing, and so is `fallback_item_id`: every order of this vendor would be parked",
                "map names to menu items, or set `fallback_item_id` (`spoton items LOCATION` lists the menu)",
            );
        }
        Some(Vendor {
            location_id: location_id?,
            menu_id: menu_id?,
            currency: currency?,
            time_zone,
            fallback_item_id,
            items,
            modifiers: by_category,
        })
    }
}

/// Two names that are one when normalised must mean one item.
fn map_of(entries: Vec<(String, Field<String>)>, section: &mut Section<'_>) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for (name, field) in entries {
        let Some(id) = section.take(&name, field) else { continue };
        let before = map.insert(normalised(&name), id.clone());
        if before.is_some_and(|before| before != id) {
            section.problem(&name, "is there twice, with another id, but for case and spaces", "keep one of the two");
        }
    }
    map
}

/// Assumed: as in the examples of a public client.
fn looks_like_a_location(id: &str) -> bool {
    let parts: Vec<&str> = id.split('-').collect();
    let is_block = |part: &&str| part.len() == 4 && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    matches!(parts.as_slice(), ["BL", blocks @ ..] if blocks.len() == 3 && blocks.iter().all(is_block))
}
