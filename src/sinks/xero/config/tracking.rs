//! `tracking` of a sink of kind `xero`: which option of a tracking category an order's lines get.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    config::{
        field::{Field, Named, RawTable, choice, known_keys},
        problems::Section,
    },
    domain::{
        ids::VendorId,
        order::{DeliveryProvider, Order, OrderType},
    },
};

/// Source: Xero Accounting API, LineItem: a line has at most two tracking categories.
const MOST: usize = 2;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct RawTracking {
    /// What decides: `"vendor"`, `"order_type"`, `"delivery_provider"`, or `"nothing"`.
    by: Field<TrackBy>,
    /// The category's option for each value of what decides.
    options: Field<Named<String>>,
    /// The option for every other value. Left out: none.
    otherwise: Field<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackBy {
    Vendor,
    OrderType,
    DeliveryProvider,
    /// All lines get the option `otherwise`.
    Nothing,
}
choice!(TrackBy {
    Vendor = "vendor",
    OrderType = "order_type",
    DeliveryProvider = "delivery_provider",
    Nothing = "nothing"
});

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tracking {
    pub by: TrackBy,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

impl Tracking {
    /// The option for an order; none: its lines do not name the category.
    pub fn option(&self, order: &Order) -> Option<&str> {
        let value = match self.by {
            TrackBy::Vendor => order.vendor_id.as_ref().map(VendorId::as_str),
            TrackBy::OrderType => order.order_type.as_ref().map(OrderType::as_str),
            TrackBy::DeliveryProvider => order.delivery_provider.as_ref().map(DeliveryProvider::as_str),
            TrackBy::Nothing => None,
        };
        value.and_then(|value| self.options.get(value)).or(self.otherwise.as_ref()).map(String::as_str)
    }
}

pub(super) fn validate(field: Field<Named<RawTracking>>, section: &mut Section<'_>) -> BTreeMap<String, Tracking> {
    let tables = section.named("tracking", field);
    if tables.len() > MOST {
        section.problem(
            "tracking",
            format!("names {} categories, and a line of Xero has at most {MOST}", tables.len()),
            "keep two",
        );
    }
    let mut section = section.within("tracking");
    let mut tracking = BTreeMap::new();
    for (category, entries) in tables {
        let mut section = section.within(&category);
        section.refuse_unknown(&entries, &known_keys::<RawTracking>());
        let raw = RawTracking::from_entries(entries);
        let by = section.require("by", raw.by, "by = \"vendor\"");
        let entries = section.entries("options", raw.options);
        let mut within = section.within("options");
        let options: BTreeMap<String, String> = entries
            .into_iter()
            .filter_map(|(value, field)| Some((value.clone(), within.take(&value, field)?)))
            .collect();
        let otherwise = section.take("otherwise", raw.otherwise);
        if options.is_empty() && otherwise.is_none() && section.none_about(&["options", "otherwise"]) {
            section.problem(
                "options",
                "is missing, and so is `otherwise`: no line would ever name this category",
                "add `options = { \"vendor-a\" = \"Soho\" }`, or `otherwise = \"Scoffable\"`",
            );
        }
        if let Some(by) = by {
            tracking.insert(category, Tracking { by, options, otherwise });
        }
    }
    tracking
}
