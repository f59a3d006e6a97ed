//! Settings, a shop and orders for the tests of this sink's pure parts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{
    amounts::Rate,
    config::LightspeedSettings,
    facts::{Facts, Register},
};
use crate::{
    config::{self, LoadOptions, SinkKind},
    domain::{ids::SinkName, money::Currency},
};

pub const AUTHOR: &str = "11111111-aaaa-4bbb-8ccc-000000000001";
pub const REGISTER: &str = "11111111-aaaa-4bbb-8ccc-000000000002";
pub const TAX: &str = "33333333-aaaa-4bbb-8ccc-000000000001";
pub const NO_TAX: &str = "33333333-aaaa-4bbb-8ccc-000000000000";
pub const ONLINE: &str = "44444444-aaaa-4bbb-8ccc-000000000001";
pub const VOUCHER: &str = "44444444-aaaa-4bbb-8ccc-000000000002";
pub const CASH: &str = "44444444-aaaa-4bbb-8ccc-000000000003";
pub const TERMINAL: &str = "44444444-aaaa-4bbb-8ccc-000000000004";

/// The documentation's example, without a customer.
pub fn settings() -> LightspeedSettings {
    settings_with(&[])
}

/// The same with further keys of the table, or other values.
pub fn settings_with(keys: &[(&str, &str)]) -> LightspeedSettings {
    const USUAL: [(&str, &str); 21] = [
        ("kind", "lightspeed"),
        ("base_url", "https://old-mill.retail.lightspeed.app"),
        ("token", "token"),
        ("author_id", AUTHOR),
        ("customers", "none"),
        ("vendors", r#"{ "vendor-a" = { register_id = "11111111-aaaa-4bbb-8ccc-000000000002" } }"#),
        ("tax_ids.default", TAX),
        ("payment_types.online_scoffable", ONLINE),
        ("payment_types.voucher_scoffable", VOUCHER),
        ("payment_types.cash_vendor", CASH),
        ("payment_types.online_vendor", TERMINAL),
        (
            "items",
            r#"{ "Lamb Bhuna" = "22222222-aaaa-4bbb-8ccc-000000000001", "Plain Naan" = "22222222-aaaa-4bbb-8ccc-000000000002" }"#,
        ),
        ("products.service_fee", "22222222-aaaa-4bbb-8ccc-0000000000a0"),
        ("products.delivery_fee", "22222222-aaaa-4bbb-8ccc-0000000000a1"),
        ("products.vendor_voucher", "22222222-aaaa-4bbb-8ccc-0000000000a2"),
        ("products.adjustment", "22222222-aaaa-4bbb-8ccc-0000000000a3"),
        ("products.offer", "22222222-aaaa-4bbb-8ccc-0000000000a4"),
        ("products.rounding", "22222222-aaaa-4bbb-8ccc-0000000000a5"),
        ("products.difference", "22222222-aaaa-4bbb-8ccc-0000000000a6"),
        ("products.item", "22222222-aaaa-4bbb-8ccc-0000000000a7"),
        ("rounding_tolerance", "2"),
    ];
    let source = [("database.url", "embedded"), ("sources.main.kind", "scoffable"), ("sources.main.token", "token")];
    let own = USUAL.iter().chain(keys).map(|(key, value)| (format!("sinks.till.{key}"), (*value).to_owned()));
    let overrides = source.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).chain(own).collect();
    let settings = config::load(&LoadOptions { overrides, ..LoadOptions::default() });
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    match &settings.sinks[&SinkName::parse("till").unwrap()].kind {
        SinkKind::Lightspeed(settings) => (**settings).clone(),
        other => panic!("another kind: {}", other.as_str()),
    }
}

pub fn gbp() -> Currency {
    Currency::parse("GBP").unwrap()
}

pub fn now() -> DateTime<Utc> {
    "2025-10-10T09:00:00Z".parse().unwrap()
}

/// A shop that has all that [`settings`] names.
pub fn facts() -> Facts {
    let register = Register { name: "Online".to_owned(), prefix: "WEB-".to_owned(), suffix: "-X".to_owned() };
    Facts {
        read_at: now(),
        name: "Old Mill Kitchen".to_owned(),
        currency: Some(gbp()),
        time_zone: Some("Europe/London".to_owned()),
        no_tax: Some(NO_TAX.to_owned()),
        registers: [(REGISTER.to_owned(), register)].into(),
        users: [AUTHOR.to_owned()].into(),
        taxes: [(TAX.to_owned(), Rate::sum(["0.2"].into_iter())), (NO_TAX.to_owned(), Rate::sum(std::iter::empty()))]
            .into(),
        payment_types: [ONLINE, VOUCHER, CASH, TERMINAL].map(str::to_owned).into(),
        products: BTreeMap::new(),
        ..Facts::default()
    }
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

pub fn paid(payment_type: &str, collected_by: &str, amount: i64) -> Value {
    json!({"type": payment_type, "collectedBy": collected_by, "payment": money(amount)})
}

pub fn order(version: i64, total: i64, items: &[Value], payments: &[Value]) -> Value {
    json!({
        "id": 812_345, "version": version, "status": "accepted", "type": "delivery", "vendorId": "vendor-a",
        "placedAt": "2025-10-09T08:53:20Z", "deliveryProvider": "vendor", "items": items, "total": money(total),
        "customerPayments": payments,
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
    let mut order = order(3, 2329, &items, &[paid("online", "scoffable", 1829), paid("voucher", "scoffable", 500)]);
    order["serviceFee"] = money(99);
    order["deliveryFee"] = money(250);
    order
}
