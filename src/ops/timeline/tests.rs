use super::*;
use crate::store::orders::StoredPayload;

fn at(minute: u32) -> DateTime<Utc> {
    format!("2026-03-01T12:{minute:02}:00Z").parse().unwrap()
}

/// A version stored in this minute, with a payload of these lines (name, ordered, fulfilled).
fn version(version: i64, minute: u32, status: &str, total: i64, lines: &[(&str, i64, i64)]) -> StoredVersion {
    let items: Vec<_> = lines
        .iter()
        .enumerate()
        .map(|(n, (name, ordered, fulfilled))| {
            serde_json::json!({
                "id": n.to_string(), "name": name, "type": "product", "quantityOrdered": ordered,
                "quantityFulfilled": fulfilled, "price": { "amount": 100, "currency": "GBP" },
            })
        })
        .collect();
    let payload = serde_json::json!({
        "id": "A-1", "version": version, "status": status, "items": items,
        "total": { "amount": total, "currency": "GBP" }, "customer": { "name": "Jane Miller" },
    });
    stored(version, minute, status, total, &payload)
}

fn stored(version: i64, minute: u32, status: &str, total: i64, payload: &serde_json::Value) -> StoredVersion {
    StoredVersion {
        version,
        status: status.into(),
        vendor_id: None,
        order_type: None,
        placed_at: None,
        total_minor: Some(total),
        currency: Some("GBP".into()),
        verdict: "balanced".into(),
        content_hash: payload.to_string().into_bytes(),
        received_at: at(minute),
        payload: Some(StoredPayload::new(payload.to_string())),
    }
}

fn history(versions: Vec<StoredVersion>) -> OrderHistory {
    OrderHistory {
        source: "main".into(),
        source_kind: "scoffable".into(),
        order_id: "A-1".into(),
        versions,
        attempts: vec![],
        deliveries: vec![],
        quarantine: vec![],
        actions: vec![],
        truncated: false,
    }
}

fn versions(events: Vec<Event>) -> Vec<VersionEvent> {
    let version = |event: Event| match event.what {
        What::Version(version) => Some(version),
        _ => None,
    };
    events.into_iter().filter_map(version).collect()
}

/// What the second of two versions changed.
fn changes_between(first: StoredVersion, second: StoredVersion) -> Vec<Change> {
    versions(timeline(&history(vec![first, second]))).pop().unwrap().changes
}

fn units(ordered: i64, supplied: i64) -> Units {
    Units { ordered: Some(Quantity::whole(ordered)), supplied: Some(Quantity::whole(supplied)) }
}

fn pounds(pence: i64) -> Money {
    Money::new(pence, Currency::parse("GBP").unwrap())
}

#[test]
fn the_first_version_is_compared_with_nothing() {
    let only = versions(timeline(&history(vec![version(4, 0, "accepted", 500, &[("Naan", 1, 1)])])));

    assert_eq!((only[0].compared_with, only[0].changes.len(), only[0].late), (None, 0, false));
    assert_eq!(only[0].total, Some(pounds(500)));
}

#[test]
fn status_total_and_lines_are_told_by_name_and_quantity() {
    let first = version(1, 0, "placed", 500, &[("Naan", 2, 2), ("Cola", 1, 1)]);
    let second = version(2, 1, "accepted", 400, &[("Naan", 2, 1), ("Water", 1, 1), ("Water", 2, 2)]);

    let changes = changes_between(first, second);

    assert_eq!(
        changes,
        [
            Change::Status { from: "placed".into(), to: "accepted".into(), unusual: None },
            Change::Total { from: Some(pounds(500)), to: Some(pounds(400)) },
            Change::Lines { from: 2, to: 3 },
            Change::Line { name: "Cola".into(), from: Some(units(1, 1)), to: None },
            Change::Line { name: "Naan".into(), from: Some(units(2, 2)), to: Some(units(2, 1)) },
            Change::Line { name: "Water".into(), from: None, to: Some(units(3, 3)) },
        ]
    );
}

#[test]
fn an_unusual_change_of_status_is_flagged() {
    let changes = changes_between(version(1, 0, "accepted", 500, &[]), version(2, 1, "placed", 500, &[]));

    let unusual = Some("impossible_transition");
    assert_eq!(changes, [Change::Status { from: "accepted".into(), to: "placed".into(), unusual }]);
}

#[test]
fn the_same_content_again_changed_nothing_visible() {
    let first = version(1, 0, "accepted", 500, &[]);
    let second = StoredVersion { version: 2, received_at: at(1), ..first.clone() };

    assert_eq!(changes_between(first, second), [Change::NothingVisible]);
}

#[test]
fn a_change_of_the_customer_shows_as_details_and_not_itself() {
    let order = |version: i64, name: &str| serde_json::json!({ "id": "A-1", "version": version, "status": "accepted", "customer": { "name": name } });
    let first = stored(1, 0, "accepted", 500, &order(1, "Jane Miller"));
    let second = stored(2, 1, "accepted", 500, &order(2, "John Doe"));

    let events = timeline(&history(vec![first, second]));

    let told = serde_json::to_string(&events).unwrap() + &format!("{events:?}");
    assert!(!told.contains("Miller") && !told.contains("Doe"), "{told}");
    assert_eq!(versions(events)[1].changes, [Change::Details]);
}

#[test]
fn a_changed_price_of_the_same_lines_shows_as_details_beside_the_total() {
    let order = |price: i64| {
        serde_json::json!({
            "id": "A-1", "version": 1, "status": "accepted",
            "items": [{ "id": "1", "name": "Naan", "quantity": 1, "price": { "amount": price, "currency": "GBP" } }],
        })
    };

    let changes =
        changes_between(stored(1, 0, "accepted", 500, &order(500)), stored(2, 1, "accepted", 450, &order(450)));

    assert_eq!(changes, [Change::Total { from: Some(pounds(500)), to: Some(pounds(450)) }, Change::Details]);
}

#[test]
fn tenders_and_the_orders_way_are_told() {
    let order = |paid: i64, more: serde_json::Value| {
        let mut order = serde_json::json!({
            "id": "A-1", "version": 1, "status": "accepted",
            "customerPayments": [{ "type": "online", "collectedBy": "scoffable", "payment": { "amount": paid, "currency": "GBP" } }],
        });
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order
    };
    let first = stored(1, 0, "accepted", 500, &order(500, serde_json::json!({})));
    let second =
        stored(2, 1, "accepted", 500, &order(450, serde_json::json!({ "deliveredAt": "2026-03-01T13:00:00Z" })));

    let changes = changes_between(first, second);

    assert_eq!(
        changes,
        [
            Change::Paid { from: Some(pounds(500)), to: Some(pounds(450)) },
            Change::Moment { moment: "delivered", to: Some("2026-03-01T13:00:00Z".parse().unwrap()) },
        ]
    );
}

#[test]
fn without_a_payload_status_and_total_are_still_compared() {
    let first = StoredVersion { payload: None, ..version(1, 0, "accepted", 500, &[("Naan", 1, 1)]) };
    let second = version(2, 1, "cancelled", 500, &[]);

    let changes = changes_between(first, second);

    assert_eq!(changes[1..], [Change::NotComparable]);
    assert!(matches!(&changes[0], Change::Status { to, .. } if to == "cancelled"));
}

#[test]
fn a_version_stored_after_a_higher_one_is_late_and_stands_where_it_arrived() {
    let stored =
        vec![version(1, 0, "placed", 1, &[]), version(2, 9, "accepted", 2, &[]), version(3, 5, "accepted", 3, &[])];

    let told = versions(timeline(&history(stored)));

    let order: Vec<_> = told.iter().map(|v| (v.version, v.late, v.compared_with)).collect();
    assert_eq!(order, [(1, false, None), (3, false, Some(1)), (2, true, Some(1))]);
}

#[test]
fn versions_of_one_page_are_not_late() {
    let told = versions(timeline(&history(vec![version(1, 3, "placed", 1, &[]), version(2, 3, "accepted", 1, &[])])));

    assert!(told.iter().all(|v| !v.late));
}

fn attempt(step: Option<&str>, minute: u32) -> StoredAttempt {
    StoredAttempt {
        sink: "hook".into(),
        version: 1,
        attempt: 1,
        step: step.map(str::to_owned),
        started_at: at(minute),
        finished_at: at(minute),
        outcome: "delivered".into(),
        http_status: None,
        reason: None,
        response_excerpt: None,
        external_id: None,
    }
}

#[test]
fn of_one_instant_what_causes_stands_before_what_follows() {
    let refusal = StoredRefusal {
        id: 1,
        version: Some(2),
        reason: "not_json".into(),
        detail: None,
        received_at: at(0),
        resolved_at: None,
        resolution: None,
    };
    let delivery = StoredDelivery {
        sink: "hook".into(),
        state: "applied".into(),
        reason: None,
        hint: None,
        waiting_for: None,
        wanted_version: 1,
        applied_version: Some(1),
        sent_version: Some(1),
        lane: String::new(),
        attempts: 1,
        next_attempt_at: None,
        not_before: None,
        lease_owner: None,
        lease_expires_at: None,
        notice: None,
        external_id: None,
        pending_step: None,
        first_failed_at: None,
        last_error: None,
        updated_at: at(0),
    };
    let all = OrderHistory {
        attempts: vec![attempt(None, 0), attempt(Some("post"), 0)],
        deliveries: vec![delivery],
        quarantine: vec![refusal],
        ..history(vec![version(1, 0, "accepted", 1, &[])])
    };

    let events = timeline(&all);

    let told: Vec<_> = events.iter().map(|e| serde_json::to_value(e).unwrap()["event"].clone()).collect();
    assert_eq!(told, ["version", "quarantined", "decision", "attempt", "state"]);
}
