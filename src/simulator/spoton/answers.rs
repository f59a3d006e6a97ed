//! How orders are written in answers and reports.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::{
    body::Proposal,
    ledger::{Seen, Stored},
    order::{Extra, Kind, Line, Schedule, Totals},
    rules::{EnumStyle, Envelope, Manner, Numbers, Twist},
};

/// How a gateway writes that there is no time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The answer to a submit or a cancel.
pub(super) fn stored_order(stored: &Stored, manner: &Manner, twist: Twist) -> Value {
    let content = &stored.content;
    let is_shown_standing = stored.is_standing() || twist == Twist::CancelledByMerchant;
    let state = if is_shown_standing { "CLOSED" } else { "CANCELED" };
    let mut totals = content.totals;
    if let Twist::AnotherTotal(by) = twist {
        totals.grand_total += by;
    }
    let mut order = json!({
        "id": stored.id,
        "external_reference_id": content.reference,
        "display_id": content.display_id,
        "location_id": stored.location,
        "menu_id": content.menu,
        "state": enumeration(manner, "ORDER_STATE_", state),
        "source": {"name": content.source},
        "fulfillment": {
            "type": enumeration(manner, "FULFILLMENT_TYPE_", kind(stored)),
            "status": if is_shown_standing { "ACCEPTED" } else { "CANCELED" },
            "schedule_type": match stored.schedule { Schedule::Asap => "ASAP", Schedule::At(_) => "SCHEDULED" },
            "estimated_ready_at": instant(stored.ready_at),
            "estimated_delivery_at": stored.delivery_at.map_or_else(|| NO_TIME.to_owned(), instant),
        },
        "customer": customer(stored),
        "line_items": lines(stored, "line_id"),
        "totals": totals_json(&totals),
    });
    match twist {
        Twist::WithoutId => {
            order.as_object_mut().expect("an object").remove("id");
        }
        Twist::EmptyId => order["id"] = json!(""),
        Twist::Plainly
        | Twist::Bare
        | Twist::Wrapped
        | Twist::NumbersAsText
        | Twist::AnotherTotal(_)
        | Twist::CancelledByMerchant => {}
    }
    let envelope = match twist {
        Twist::Bare => Envelope::Bare,
        Twist::Wrapped => Envelope::Wrapped,
        _ => manner.envelope,
    };
    let numbers = if twist == Twist::NumbersAsText { Numbers::AsText } else { manner.numbers };
    let order = written(order, numbers, manner.leaves_out_defaults);
    match envelope {
        Envelope::Bare => order,
        Envelope::Wrapped => json!({ "order": order }),
    }
}

/// The answer to a propose.
pub(super) fn proposed_order(proposal: &Proposal, signature: &str, manner: &Manner) -> Value {
    let order = json!({
        "menu_id": proposal.menu,
        "state": enumeration(manner, "ORDER_STATE_", "DRAFT"),
        "line_items": proposal.lines.len(),
        "totals": totals_json(&proposal.totals),
        "signature": {"value": signature},
    });
    let order = written(order, manner.numbers, manner.leaves_out_defaults);
    match manner.envelope {
        Envelope::Bare => order,
        Envelope::Wrapped => json!({ "order": order }),
    }
}

/// One order in the sales report. Source: the tap's schema of an order, of which only some fields are written.
pub(super) fn report(seen: Seen<'_>, manner: &Manner) -> Value {
    let Seen { stored, is_cancelled, updated_at } = seen;
    let content = &stored.content;
    let total = content.totals.grand_total;
    let (day, id) = (stored.stored_at(), &stored.id);
    let payments = content.payments.iter().enumerate().map(|(n, payment)| {
        json!({
            "id": format!("{id}-p{}", n + 1), "type": "EXTERNAL", "amount": payment.amount, "is_refund": false,
            "is_void": is_cancelled,
        })
    });
    let extras = |extras: &[Extra], of: char| -> Vec<Value> {
        let numbered = extras.iter().enumerate();
        numbered
            .map(|(n, extra)| json!({"id": format!("{id}-{of}{}", n + 1), "name": extra.name, "amount": extra.amount}))
            .collect()
    };
    let mut totals = totals_json(&content.totals);
    totals["payments_amount"] = json!(total);
    totals["voids_amount"] = json!(if is_cancelled { total } else { 0 });
    let mut order = json!({
        "id": id,
        "location_id": stored.location,
        "source": content.source,
        "fulfillment_type": enumeration(manner, "FULFILLMENT_TYPE_", kind(stored)),
        "line_items": lines(stored, "order_item_id"),
        "payments": payments.collect::<Vec<_>>(),
        "totals": totals,
        "discounts": extras(&content.discounts, 'd'),
        "fees": extras(&content.fees, 'f'),
        "customer": customer(stored),
        "created_at": instant(stored.stored_at()),
        "closed_at": instant(stored.stored_at()),
        "last_updated_at": instant(updated_at),
        "fiscal_date": {"year": day.year(), "month": day.month(), "day": day.day()},
        "table_number": "",
    });
    if manner.reports_reference {
        order["external_reference_id"] = json!(content.reference);
    }
    if manner.reports_state {
        let state = if is_cancelled { "CANCELED" } else { "CLOSED" };
        order["state"] = json!(enumeration(manner, "ORDER_STATE_", state));
    }
    written(order, manner.numbers, manner.leaves_out_defaults)
}

/// A page of some list. Source: the tap; pages count from 1, and there is always one.
pub(super) fn page(name: &str, elements: Vec<Value>, page: usize, page_size: usize) -> Value {
    let total_pages = elements.len().div_ceil(page_size).max(1);
    let on_it: Vec<Value> = elements.into_iter().skip((page - 1) * page_size).take(page_size).collect();
    json!({name: on_it, "pagination": {"total_pages": total_pages}})
}

fn enumeration(manner: &Manner, prefix: &str, short: &str) -> String {
    match manner.enum_style {
        EnumStyle::Prefixed => format!("{prefix}{short}"),
        EnumStyle::Short => short.to_owned(),
    }
}

fn kind(stored: &Stored) -> &'static str {
    match stored.content.fulfillment.kind {
        Kind::Pickup => "PICKUP",
        Kind::Delivery => "DELIVERY",
    }
}

/// To the second, as gateways write it.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn customer(stored: &Stored) -> Value {
    stored.content.customer.as_ref().map_or(Value::Null, |customer| {
        json!({
            "first_name": customer.first_name,
            "last_name": customer.last_name,
            "email": customer.email,
            "phone": customer.phone,
        })
    })
}

fn lines(stored: &Stored, line_id_name: &str) -> Vec<Value> {
    let line = |line: &Line| {
        let modifiers: Vec<Value> = line
            .modifiers
            .iter()
            .map(|one| json!({"id": one.id, "name": one.name, "quantity": one.quantity, "price": one.price}))
            .collect();
        json!({
            line_id_name: line.line_id,
            "item_id": line.item_id,
            "name": line.name,
            "quantity": line.quantity,
            "price": line.price,
            "modifiers": modifiers,
        })
    };
    stored.content.lines.iter().map(line).collect()
}

fn totals_json(totals: &Totals) -> Value {
    json!({
        "subtotal": totals.subtotal,
        "discounts_total": totals.discounts_total,
        "fees_total": totals.fees_total,
        "tax_total": totals.tax_total,
        "tip_total": totals.tip_total,
        "grand_total": totals.grand_total,
    })
}

/// Absent is never written as null.
fn written(value: Value, numbers: Numbers, leaves_out_defaults: bool) -> Value {
    let is_left_out = |value: &Value| {
        let is_default = value.as_i64() == Some(0) || value == "" || value == NO_TIME || value == false;
        value.is_null() || leaves_out_defaults && is_default
    };
    match value {
        Value::Object(fields) => {
            let fields: Map<String, Value> = fields
                .into_iter()
                .filter(|(_, value)| !is_left_out(value))
                .map(|(name, value)| (name, written(value, numbers, leaves_out_defaults)))
                .collect();
            Value::Object(fields)
        }
        Value::Array(values) => values.into_iter().map(|value| written(value, numbers, leaves_out_defaults)).collect(),
        Value::Number(number) if numbers == Numbers::AsText => Value::String(number.to_string()),
        other => other,
    }
}
