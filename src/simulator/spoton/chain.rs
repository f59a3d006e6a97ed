//! The restaurants that have opened their point of sale to us: locations, menus, items.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::simulator::{
    digest::short_hash,
    world::{Readability, World},
};

/// Every menu has it: for what has no item of its own.
pub const OPEN_ITEM: &str = "itm-open-food";

#[derive(Debug, Clone)]
pub struct Location {
    /// `BL-XXXX-XXXX-XXXX`.
    pub id: String,
    pub name: String,
    pub time_zone: String,
    pub menus: Vec<Menu>,
}

#[derive(Debug, Clone)]
pub struct Menu {
    pub id: String,
    pub name: String,
    pub items: Vec<Item>,
}

#[derive(Debug, Clone)]
pub struct Item {
    pub id: String,
    pub name: String,
    /// Cents.
    pub price: i64,
    /// Only propose asks.
    pub is_available: bool,
    pub modifiers: Vec<Choice>,
}

/// A modifier that goes with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub id: String,
    /// Name of the group it stands in.
    pub group: String,
    pub name: String,
    /// Cents.
    pub price: i64,
}

impl Location {
    pub fn menu(&self, id: &str) -> Option<&Menu> {
        self.menus.iter().find(|menu| menu.id == id)
    }
}

impl Menu {
    pub fn item(&self, id: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    pub fn has_modifier(&self, id: &str) -> bool {
        self.items.iter().flat_map(|item| &item.modifiers).any(|choice| choice.id == id)
    }
}

/// What a client has to be told of one vendor, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorMapping {
    pub location_id: String,
    pub menu_id: String,
    /// That of most of the vendor's orders; those in another one are not for this location.
    pub currency: String,
    pub time_zone: String,
    pub fallback_item_id: String,
    /// By the product's name.
    pub items: BTreeMap<String, String>,
    /// By category and option.
    pub modifiers: BTreeMap<(String, String), String>,
}

/// The restaurants behind a world's vendors.
#[derive(Debug, Clone)]
pub struct Chain {
    pub locations: Vec<Location>,
    /// By vendor id.
    pub vendors: BTreeMap<String, VendorMapping>,
}

/// One restaurant with the menu of a small takeaway, if nothing else is asked for.
impl Default for Chain {
    fn default() -> Self {
        let spicy = Choice { id: "mod-extra-hot".into(), group: "Spice".into(), name: "Extra hot".into(), price: 0 };
        let rice = Choice { id: "mod-pilau".into(), group: "Side".into(), name: "Pilau rice".into(), price: 250 };
        let item = |id: &str, name: &str, price, modifiers| Item {
            id: id.to_owned(),
            name: name.to_owned(),
            price,
            is_available: true,
            modifiers,
        };
        let items = vec![
            item("itm-jalfrezi", "Lamb Jalfrezi", 1095, vec![spicy, rice]),
            item("itm-mango-lassi", "Mango Lassi", 350, vec![]),
            item(OPEN_ITEM, "Open food", 0, vec![]),
        ];
        let menu = Menu { id: "menu-takeaway-01".to_owned(), name: "Takeaway".to_owned(), items };
        let location = Location {
            id: "BL-7Q2M-0ZK4-88TD".to_owned(),
            name: "Takeaway".to_owned(),
            time_zone: "Europe/London".to_owned(),
            menus: vec![menu],
        };
        Self { locations: vec![location], vendors: BTreeMap::new() }
    }
}

impl Chain {
    /// A location for each vendor, with every product and option of the vendor's orders on its menu.
    pub fn of(world: &World) -> Self {
        let mut chain = Self { locations: Vec::new(), vendors: BTreeMap::new() };
        let mut offers = offers(world);
        for vendor in &world.vendors {
            let offer = offers.remove(&vendor.id).unwrap_or_default();
            let (location, mapping) = open(&vendor.id, &vendor.name, offer);
            chain.locations.push(location);
            chain.vendors.insert(vendor.id.clone(), mapping);
        }
        chain
    }

    pub(super) fn location(&self, id: &str) -> Option<&Location> {
        self.locations.iter().find(|location| location.id == id)
    }
}

/// What a vendor's orders name.
#[derive(Default)]
struct Offer {
    /// Name to the first price seen.
    products: BTreeMap<String, i64>,
    /// Category and option to the first price seen.
    options: BTreeMap<(String, String), i64>,
    orders_by_currency: BTreeMap<String, BTreeSet<String>>,
}

fn offers(world: &World) -> BTreeMap<String, Offer> {
    let mut offers: BTreeMap<String, Offer> = BTreeMap::new();
    for order in world.orders.values() {
        for truth in order.versions.iter().filter(|truth| truth.readability != Readability::Broken) {
            let version = &world.versions[truth.position];
            let document = serde_json::from_slice::<Value>(&version.payload);
            let (Ok(document), Some(vendor)) = (document, &version.vendor) else { continue };
            let offer = offers.entry(vendor.clone()).or_default();
            offer.orders_by_currency.entry(truth.currency.clone()).or_default().insert(order.id.clone());
            for item in list(&document["items"]).filter(|item| is_product(item)) {
                offer.products.entry(text(&item["name"])).or_insert_with(|| cents(&item["price"]));
                for category in list(&item["optionCategories"]) {
                    for option in list(&category["selectedOptions"]) {
                        let named = (text(&category["name"]), text(&option["name"]));
                        offer.options.entry(named).or_insert_with(|| cents(&option["optionPrice"]));
                    }
                }
            }
        }
    }
    offers
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Source: Scoffable developer documentation 1.0.0, "OrderItem": amounts are minor units. Some are written `1099.0`.
fn cents(money: &Value) -> i64 {
    let amount = &money["amount"];
    let digits = amount.to_string();
    amount.as_i64().or_else(|| digits.strip_suffix(".0")?.parse().ok()).unwrap_or(0)
}

fn is_product(item: &Value) -> bool {
    match item["type"].as_str() {
        Some(kind) => kind == "product",
        None => cents(&item["price"]) >= 0,
    }
}

fn open(vendor: &str, name: &str, offer: Offer) -> (Location, VendorMapping) {
    let hash = format!("{:016X}", short_hash(&[vendor.as_bytes()]));
    let id = format!("BL-{}-{}-{}", &hash[0..4], &hash[4..8], &hash[8..12]);
    let menu_id = format!("menu-{}", hash[0..8].to_lowercase());
    let modifiers: BTreeMap<(String, String), String> =
        offer.options.keys().enumerate().map(|(n, named)| (named.clone(), format!("mod-{}", n + 1))).collect();
    let choices: Vec<Choice> = offer
        .options
        .iter()
        .map(|((group, name), price)| Choice {
            id: modifiers[&(group.clone(), name.clone())].clone(),
            group: group.clone(),
            name: name.clone(),
            price: *price,
        })
        .collect();
    let items: BTreeMap<String, String> =
        offer.products.keys().enumerate().map(|(n, name)| (name.clone(), format!("itm-{}", n + 1))).collect();
    let mut on_the_menu: Vec<Item> = offer
        .products
        .into_iter()
        .map(|(name, price)| Item {
            id: items[&name].clone(),
            name,
            price,
            is_available: true,
            modifiers: choices.clone(),
        })
        .collect();
    let open_item = Item {
        id: OPEN_ITEM.to_owned(),
        name: "Open food".to_owned(),
        price: 0,
        is_available: true,
        modifiers: Vec::new(),
    };
    on_the_menu.push(open_item);
    let most_orders = offer.orders_by_currency.into_iter().max_by_key(|(_, orders)| orders.len());
    let mapping = VendorMapping {
        location_id: id.clone(),
        menu_id: menu_id.clone(),
        currency: most_orders.map_or_else(|| "GBP".to_owned(), |(currency, _)| currency),
        time_zone: "Europe/London".to_owned(),
        fallback_item_id: OPEN_ITEM.to_owned(),
        items,
        modifiers,
    };
    let menu = Menu { id: menu_id, name: format!("Menu of {name}"), items: on_the_menu };
    let location = Location { id, name: name.to_owned(), time_zone: mapping.time_zone.clone(), menus: vec![menu] };
    (location, mapping)
}

/// Source: the tap's schema of a location. Assumed: what else stands in it is of no use to us.
pub(super) fn location_json(location: &Location) -> Value {
    json!({
        "id": location.id,
        "name": location.name,
        "timezone": location.time_zone,
        "address": {"address_line_1": "1 Example Road", "city": "Sampleton", "country": "GB"},
    })
}

pub(super) fn menu_json(location: &Location, menu: &Menu) -> Value {
    json!({
        "id": menu.id,
        "location_id": location.id,
        "name": menu.name,
        "active": true,
        "categories": [{"id": format!("{}-all", menu.id), "name": "All", "active": true, "sort_order": 1}],
    })
}

pub(super) fn item_json(menu: &Menu, item: &Item) -> Value {
    let price = |amount: i64, kind: &str| json!({"amount": amount, "pricing_kind": kind});
    let mut groups: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for choice in &item.modifiers {
        let modifier = json!({"id": choice.id, "name": choice.name, "price": price(choice.price, "FIXED")});
        groups.entry(&choice.group).or_default().push(modifier);
    }
    let groups: Vec<Value> =
        groups.into_iter().map(|(name, modifiers)| json!({"name": name, "modifiers": modifiers})).collect();
    json!({
        "id": item.id,
        "menu_id": menu.id,
        "name": item.name,
        "active": true,
        "is_available": item.is_available,
        "is_alcohol": false,
        "price": price(item.price, if item.id == OPEN_ITEM { "OPEN" } else { "FIXED" }),
        "category_references": [{"category_id": format!("{}-all", menu.id), "sort_order": 1}],
        "taxes": [],
        "modifier_groups": groups,
        "item_groups": [],
    })
}
