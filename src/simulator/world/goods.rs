//! What a payload of a made-up world adds up to, in minor units of its currency: read as it is served, for the books of
//! destinations to be held against.

use serde_json::Value;

/// What was supplied, and the fees.
pub fn expected_minor(payload: &Value) -> i64 {
    let lines = payload["items"].as_array().into_iter().flatten();
    let supplied: i64 = lines.map(|line| unit_minor(line) * fulfilled(line)).sum();
    supplied + minor(&payload["deliveryFee"]) + minor(&payload["serviceFee"])
}

fn unit_minor(line: &Value) -> i64 {
    let categories = line["optionCategories"].as_array().into_iter().flatten();
    let options = categories.flat_map(|category| category["selectedOptions"].as_array().into_iter().flatten());
    minor(&line["price"]) + options.map(|option| minor(&option["optionPrice"])).sum::<i64>()
}

fn fulfilled(line: &Value) -> i64 {
    line["quantityFulfilled"].as_i64().or_else(|| line["quantity"].as_i64()).unwrap_or_default()
}

pub fn has_substitution(payload: &Value) -> bool {
    let mut lines = payload["items"].as_array().into_iter().flatten();
    lines.any(|line| line["substitutionDetails"].is_object())
}

/// The amount, also where it is written with an empty fraction; 0 where there is none.
pub fn minor(money: &Value) -> i64 {
    let amount = &money["amount"];
    amount.as_i64().or_else(|| amount.to_string().strip_suffix(".0")?.parse().ok()).unwrap_or_default()
}
