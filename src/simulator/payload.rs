//! What the payload of an order version says of money, read for the ledgers that judge. It is written from the contract of
//! Scoffable's orders, and shares nothing with what the daemon reads.
//!
//! Source: Scoffable developer documentation 1.0.0, "Understanding Orders".

use serde_json::Value;

/// A payment of the customer.
pub(super) struct Tender {
    pub kind: String,
    /// Who has the money.
    pub collector: String,
    pub minor: i64,
}

pub(super) fn tenders(payload: &Value) -> Vec<Tender> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |tender: &Value| Tender {
        kind: text(&tender["type"]),
        collector: text(&tender["collectedBy"]),
        minor: minor(&tender["payment"]),
    };
    payload["customerPayments"].as_array().into_iter().flatten().map(one).collect()
}

/// What was supplied, and the fees.
pub(super) fn expected_minor(payload: &Value) -> i64 {
    let lines = payload["items"].as_array().into_iter().flatten();
    let supplied: i64 = lines.map(|line| unit_minor(line) * fulfilled(line)).sum();
    supplied + minor(&payload["deliveryFee"]) + minor(&payload["serviceFee"])
}

/// What of an order's lines has a name of its own, by that.
pub(super) fn dishes(payload: &Value) -> impl Iterator<Item = &str> {
    let is_dish =
        |line: &&Value| line["type"].as_str().map_or_else(|| minor(&line["price"]) >= 0, |kind| kind == "product");
    let dishes = payload["items"].as_array().into_iter().flatten().filter(is_dish);
    dishes.filter_map(|line| line["name"].as_str()).filter(|name| !name.is_empty())
}

fn unit_minor(line: &Value) -> i64 {
    let categories = line["optionCategories"].as_array().into_iter().flatten();
    let options = categories.flat_map(|category| category["selectedOptions"].as_array().into_iter().flatten());
    minor(&line["price"]) + options.map(|option| minor(&option["optionPrice"])).sum::<i64>()
}

fn fulfilled(line: &Value) -> i64 {
    line["quantityFulfilled"].as_i64().or_else(|| line["quantity"].as_i64()).unwrap_or_default()
}

pub(super) fn has_substitution(payload: &Value) -> bool {
    let mut lines = payload["items"].as_array().into_iter().flatten();
    lines.any(|line| line["substitutionDetails"].is_object())
}

/// The amount, also where it is written with an empty fraction; 0 where there is none.
pub(super) fn minor(money: &Value) -> i64 {
    let amount = &money["amount"];
    amount.as_i64().or_else(|| amount.to_string().strip_suffix(".0")?.parse().ok()).unwrap_or_default()
}
