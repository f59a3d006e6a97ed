//! What to post for one version. Pure.

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::wire::Body;
use crate::{
    domain::{
        delivery::{Plan, Receipt, Repeat, STANDS, Step},
        ids::Version,
        order::Status,
    },
    sinks::View,
};

/// Plans the one POST of a version, or nothing when nothing that a receiver could see has changed.
pub fn plan(view: &View<'_>) -> Plan {
    let digest = hex::encode(view.content_hash);
    let stands = view.receipt.and_then(|receipt| receipt.get("digest")).and_then(serde_json::Value::as_str);
    let doubtful = view.progress.sent > view.progress.applied;
    if !view.every_version && !doubtful && stands == Some(digest.as_str()) {
        return Plan::Settled(Receipt::default());
    }
    let Ok(raw) = serde_json::from_str::<&RawValue>(view.payload) else {
        return Plan::Park {
            reason: "unreadable_payload",
            hint: "the stored order is not JSON: replay it from the source".to_owned(),
            curable: true,
        };
    };
    // A replay sends an applied version once more: what was said about it then is said again, because the same key must
    // never come with other bytes.
    let previous = match view.progress.applied {
        Some(applied) if applied == view.version => {
            view.receipt.and_then(|receipt| receipt.get("previous")?.as_i64()).map(Version)
        }
        applied => applied,
    };
    let body = Body {
        kind: format!("order.{}", view.order.status.as_str()),
        source: view.key.order.source.as_str(),
        order_id: view.key.order.order_id.as_str(),
        version: view.version,
        previous_applied_version: previous,
        order: view.order,
        raw,
        money: view.money,
    };
    let Ok(body) = serde_json::to_string(&body) else {
        return Plan::Park {
            reason: "unwritable_body",
            hint: "this order cannot be written as JSON: report it".to_owned(),
            curable: true,
        };
    };
    Plan::Send(Step {
        name: "post".to_owned(),
        key: key(view),
        body,
        repeat: Repeat::Safe,
        completes: true,
        // A sink that waits for this one is not to act on an order that was taken back here.
        receipt: Some(serde_json::json!({
            "digest": digest, "previous": previous, STANDS: view.order.status != Status::Cancelled,
        })),
    })
}

/// The same for every try of one version, and never used for another. Goes into headers, so an id with anything but
/// plain characters is replaced by its digest.
fn key(view: &View<'_>) -> String {
    let id = view.key.order.order_id.as_str();
    let plain = id.len() <= 100 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let id = if plain { id.to_owned() } else { hex::encode(Sha256::digest(id)) };
    format!("scoffable:{}:{id}:{}", view.key.order.source, view.version)
}
