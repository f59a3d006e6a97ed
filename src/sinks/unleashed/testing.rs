//! Settings, an account and orders for the tests of this sink's pure parts.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    amounts::Rate,
    config::UnleashedSettings,
    facts::{Facts, House, KnownProduct},
};
use crate::{
    config::{self, LoadOptions, SinkKind},
    domain::{ids::SinkName, money::Currency, sale::normalised},
};

pub const HOUSE: &str = "55555555-aaaa-4bbb-8ccc-000000000001";

/// The defaults, for the account of the documentation's example.
pub fn settings() -> UnleashedSettings {
    settings_with(&[])
}

/// The same with further keys of the table, or other values.
pub fn settings_with(keys: &[(&str, &str)]) -> UnleashedSettings {
    let usual = [
        ("kind", "unleashed"),
        ("api_id", "an-id"),
        ("api_key", "a-key"),
        ("client_type", "acme/scoffsync"),
        ("time_zone", "Europe/London"),
        ("currency", "GBP"),
        ("tax.code", "V.A.T."),
        ("tax.rate", "0.2"),
        ("house_customer", HOUSE),
        ("vendors", "{ \"vendor-a\" = { warehouse = \"KITCHEN1\" } }"),
    ];
    let source = [("database.url", "embedded"), ("sources.main.kind", "scoffable"), ("sources.main.token", "token")];
    let own = usual.iter().chain(keys).map(|(key, value)| (format!("sinks.stock.{key}"), (*value).to_owned()));
    let overrides = source.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).chain(own).collect();
    let settings = config::load(&LoadOptions { overrides, ..LoadOptions::default() });
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    match &settings.sinks[&SinkName::parse("stock").unwrap()].kind {
        SinkKind::Unleashed(settings) => (**settings).clone(),
        other => panic!("another kind: {}", other.as_str()),
    }
}

pub fn gbp() -> Currency {
    Currency::parse("GBP").unwrap()
}

pub fn known(code: &str, name: &str) -> KnownProduct {
    KnownProduct { code: code.to_owned(), barcode: None, name: normalised(name), shown: name.to_owned() }
}

/// An account that has all that [`settings`] names, and the dishes of [`example`].
pub fn facts() -> Facts {
    let products = [
        ("SCF-LAMB-BHUNA", "Lamb Bhuna"),
        ("SCF-PLAIN-NAAN", "Plain Naan"),
        ("SCF-SERVICE-FEE", "Service fee"),
        ("SCF-DELIVERY-FEE", "Delivery fee"),
        ("SCF-ADJUSTMENT", "Adjustment"),
        ("SCF-ITEM", "Item"),
    ];
    Facts {
        read_at: now(),
        warehouses: Some(vec!["KITCHEN1".to_owned()]),
        taxes: Some(vec![("V.A.T.".to_owned(), Rate::of("0.2"))]),
        currencies: Some(vec!["GBP".to_owned()]),
        house: House::Usable,
        products: products.map(|(code, name)| known(code, name)).into(),
        has_more_products: false,
    }
}

pub fn now() -> DateTime<Utc> {
    "2025-10-10T09:00:00Z".parse().unwrap()
}

pub fn money(amount: i64) -> Value {
    json!({"amount": amount, "currency": "GBP"})
}

pub fn item(item_type: &str, name: &str, price: i64, ordered: i64, fulfilled: i64) -> Value {
    json!({
        "id": name, "name": name, "type": item_type, "quantityOrdered": ordered, "quantityFulfilled": fulfilled,
        "price": money(price),
    })
}

pub fn order(version: i64, total: i64, items: &[Value]) -> Value {
    json!({
        "id": 812_345, "version": version, "status": "accepted", "type": "delivery", "vendorId": "vendor-a",
        "placedAt": "2025-10-09T18:30:00Z", "deliveryProvider": "vendor", "items": items, "total": money(total),
        "customerPayments": [{"type": "online", "collectedBy": "scoffable", "payment": money(total)}],
    })
}

/// The documentation's example, version 3: a substitution, an adjustment, a voucher of the vendor and one of the platform.
pub fn example() -> Value {
    let mut garlic = item("product", "Garlic Naan", 290, 1, 0);
    garlic["substitutionDetails"] = json!({"substitutedBy": ["Plain Naan"]});
    let mut plain = item("product", "Plain Naan", 290, 0, 1);
    plain["substitutionDetails"] = json!({"substitutedFor": ["Garlic Naan"]});
    let items = [
        item("product", "Lamb Bhuna", 1095, 2, 2),
        garlic,
        plain,
        item("adjustment", "late delivery", -200, 0, 1),
        item("voucher", "SAVE3", -300, 1, 1),
    ];
    let mut order = order(3, 2329, &items);
    order["serviceFee"] = money(99);
    order["deliveryFee"] = money(250);
    order["customerPayments"] = json!([
        {"type": "online", "collectedBy": "scoffable", "payment": money(1829)},
        {"type": "voucher", "collectedBy": "scoffable", "payment": money(500)},
    ]);
    order
}
