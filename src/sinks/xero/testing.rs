//! Settings, an organisation and orders for the tests of this sink's pure parts.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use super::{
    config::{Kind, Tender, XeroSettings},
    organisation::{Account, Facts, TaxRate},
    receipt::Line,
    target::{Target, Wanted},
};
use crate::{
    config::{self, LoadOptions, SinkKind},
    domain::{ids::SinkName, money::Currency},
};

pub const CONTACT: &str = "6f0e2a44-1111-4c1e-9b7d-0d3f5a2b9c01";

/// The defaults, with the accounts of the documentation's example.
pub fn settings() -> XeroSettings {
    settings_with(&[])
}

/// The same with further keys of the table, or other values.
pub fn settings_with(keys: &[(&str, &str)]) -> XeroSettings {
    const USUAL: [(&str, &str); 18] = [
        ("kind", "xero"),
        ("client_id", "client"),
        ("client_secret", "secret"),
        ("time_zone", "Europe/London"),
        ("house_customer", CONTACT),
        ("tax_types.default", "OUTPUT2"),
        ("tax_types.untaxed", "NONE"),
        ("accounts.sales", "200"),
        ("accounts.service_fee", "201"),
        ("accounts.delivery_fee", "202"),
        ("accounts.vendor_voucher", "205"),
        ("accounts.rounding", "498"),
        ("accounts.difference", "499"),
        ("accounts.scoffable_clearing", "611"),
        ("accounts.cash", "612"),
        ("accounts.card_terminal", "613"),
        ("accounts.goodwill", "614"),
        ("rounding_tolerance", "2"),
    ];
    let source = [("database.url", "embedded"), ("sources.main.kind", "scoffable"), ("sources.main.token", "token")];
    let own = USUAL.iter().chain(keys).map(|(key, value)| (format!("sinks.books.{key}"), (*value).to_owned()));
    let overrides = source.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).chain(own).collect();
    let settings = config::load(&LoadOptions { overrides, ..LoadOptions::default() });
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    match &settings.sinks[&SinkName::parse("books").unwrap()].kind {
        SinkKind::Xero(settings) => (**settings).clone(),
        other => panic!("another kind: {}", other.as_str()),
    }
}

pub fn gbp() -> Currency {
    Currency::parse("GBP").unwrap()
}

/// An organisation that has all that [`settings`] names.
pub fn facts() -> Facts {
    let account = |code: &str, takes_payments| Account {
        id: format!("00000000-0000-4000-8000-000000000{code}"),
        code: Some(code.to_owned()),
        name: code.to_owned(),
        active: true,
        takes_payments,
        is_bank: false,
        is_debtors: false,
    };
    let rate = |tax_type: &str, rate: &str| TaxRate {
        tax_type: tax_type.to_owned(),
        name: tax_type.to_owned(),
        active: true,
        for_revenue: true,
        rate: rate.to_owned(),
    };
    let of_lines = ["200", "201", "202", "205", "498", "499"].map(|code| account(code, false));
    let of_payments = ["611", "612", "613", "614"].map(|code| account(code, true));
    Facts {
        read_at: now(),
        name: "Old Mill Kitchen".to_owned(),
        base_currency: Some(gbp()),
        currencies: [gbp()].into(),
        accounts: [&of_lines[..], &of_payments].concat(),
        tax_rates: vec![rate("OUTPUT2", "20.0000"), rate("ZERORATEDOUTPUT", "0.0000"), rate("NONE", "0.0000")],
        ..Facts::default()
    }
}

pub fn now() -> DateTime<Utc> {
    "2025-10-10T09:00:00Z".parse().unwrap()
}

pub fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// A target of one line, paid online.
pub fn target_of(minor: i64) -> Target {
    let line = line(Kind::Sales, "lamb bhuna", minor);
    let payments = vec![Wanted { tender: Tender::OnlineScoffable, amount_minor: minor }];
    Target { lines: vec![line], payments, ..Target::nothing(gbp(), day("2025-10-09")) }
}

pub fn line(kind: Kind, key: &str, gross_minor: i64) -> Line {
    Line {
        kind,
        key: key.to_owned(),
        description: key.to_owned(),
        account: "200".to_owned(),
        tax_type: "OUTPUT2".to_owned(),
        item_code: None,
        quantity: 1,
        gross_minor,
        tracking: Vec::new(),
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
        "placedAt": "2025-10-09T18:30:00Z", "deliveryProvider": "vendor", "items": items, "total": money(total),
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
