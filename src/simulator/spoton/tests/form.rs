//! What a submit, a propose and a query must look like.

use super::*;

/// How the rules are changed before the second try.
type Change = fn(&mut Rules);

#[tokio::test]
async fn each_broken_rule_of_form_is_refused_recorded_and_without_effect() {
    let line = "/line_items/0";
    let modifier = "/line_items/0/modifiers/1";
    let scheduled = |kind: &str, fields: Value| {
        let mut fulfillment = json!({"type": kind, "schedule_type": "SCHEDULED"});
        fulfillment.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        with(a(), "/fulfillment", fulfillment)
    };
    let paid = |payments: Value| with(a(), "/payments", payments);
    let cases: Vec<(&str, Value)> = vec![
        ("no object", json!([])),
        ("wrapped", json!({"order": a()})),
        ("unknown member", with(a(), "/note", json!("x"))),
        ("unknown member of a line", with(a(), &format!("{line}/total"), json!(1))),
        ("unknown member of a modifier", with(a(), &format!("{modifier}/total"), json!(1))),
        ("unknown member of a discount", with(a(), "/discounts/0/type", json!("x"))),
        ("unknown member of a payment", with(a(), "/payments/0/currency", json!("GBP"))),
        ("unknown total", with(a(), "/totals/total", json!(1))),
        ("unknown member of the source", with(a(), "/source/id", json!("x"))),
        ("unknown member of the customer", with(a(), "/customer/name", json!("x"))),
        ("another location", with(a(), "/location_id", json!("BL-0000-0000-0000"))),
        ("unknown menu", with(a(), "/menu_id", json!("menu-lunch"))),
        ("open", with(a(), "/state", json!("ORDER_STATE_OPEN"))),
        ("draft", with(a(), "/state", json!("DRAFT"))),
        ("cancelled", with(a(), "/state", json!("CANCELED"))),
        ("state in small letters", with(a(), "/state", json!("closed"))),
        ("long display id", with(a(), "/display_id", json!("1234567890123"))),
        ("unprintable display id", with(a(), "/display_id", json!("12\t3"))),
        ("empty reference", with(a(), "/external_reference_id", json!(""))),
        ("no time", with(a(), "/placed_at", json!("yesterday"))),
        ("time as number", with(a(), "/placed_at", json!(1_773_511_331_000_i64))),
        ("empty source", with(a(), "/source/name", json!(" "))),
        ("empty customer", with(a(), "/customer", json!({}))),
        ("known customer", with(a(), "/customer/id", json!("cus-1"))),
        ("phone with spaces", with(a(), "/customer/phone", json!("+44 20 7946 0123"))),
        ("phone without country", with(a(), "/customer/phone", json!("02079460123"))),
        ("no email", with(a(), "/customer/email", json!("ines"))),
        ("dine-in", with(a(), "/fulfillment/type", json!("FULFILLMENT_TYPE_DINE_IN"))),
        ("unknown schedule", with(a(), "/fulfillment/schedule_type", json!("LATER"))),
        ("asap with a time", with(a(), "/fulfillment/estimated_ready_at", json!("2026-03-14T19:00:00Z"))),
        ("scheduled pickup without a time", scheduled("PICKUP", json!({}))),
        ("scheduled for the door", scheduled("PICKUP", json!({"estimated_delivery_at": "2026-03-14T19:00:00Z"}))),
        ("scheduled for the hatch", scheduled("DELIVERY", json!({"estimated_ready_at": "2026-03-14T19:00:00Z"}))),
        ("scheduled for no time", scheduled("PICKUP", json!({"estimated_ready_at": "soon"}))),
        ("address of a pickup", with(a(), "/fulfillment/delivery_address", json!({"address_line_1": "1 Road"}))),
        ("no lines", with(a(), "/line_items", json!([]))),
        ("line id used twice", with(a(), "/line_items/1/line_id", json!("line-1"))),
        ("unknown item", with(a(), &format!("{line}/item_id"), json!("itm-none"))),
        ("no item", with(a(), &format!("{line}/item_id"), Value::Null)),
        ("unknown modifier", with(a(), &format!("{modifier}/id"), json!("mod-none"))),
        ("line without a name", with(a(), &format!("{line}/name"), json!(""))),
        ("quantity 0", with(a(), &format!("{line}/quantity"), json!(0))),
        ("half a portion", with(a(), &format!("{line}/quantity"), json!(1.5))),
        ("price with a point", with(a(), &format!("{line}/price"), json!(1095.0))),
        ("price as text", with(a(), &format!("{line}/price"), json!("1095"))),
        ("negative price", with(a(), "/line_items/1/price", json!(-395))),
        ("modifier 0 times", with(a(), &format!("{modifier}/quantity"), json!(0))),
        ("negative modifier", with(a(), &format!("{modifier}/price"), json!(-250))),
        ("negative discount", with(a(), "/discounts/0/amount", json!(-45))),
        ("no discount", with(a(), "/discounts/0/amount", json!(0))),
        ("discount without a name", with(a(), "/discounts/0/name", json!(""))),
        ("negative fee", with(a(), "/fees/0/amount", json!(-99))),
        ("another subtotal", with(a(), "/totals/subtotal", json!(3084))),
        ("another sum of discounts", with(a(), "/totals/discounts_total", json!(344))),
        ("another sum of fees", with(a(), "/totals/fees_total", json!(98))),
        ("tax that is not in the total", with(a(), "/totals/tax_total", json!(1))),
        ("another grand total", with(a(), "/totals/grand_total", json!(2838))),
        ("negative tip", with(with(a(), "/totals/tip_total", json!(-1)), "/totals/tax_total", json!(1))),
        ("no payment", paid(json!([]))),
        ("less paid", with(a(), "/payments/0/amount", json!(2838))),
        ("card", with(a(), "/payments/0/type", json!("PAYMENT_CARD"))),
        ("no provider", with(a(), "/payments/0/provider_name", Value::Null)),
        (
            "two payments",
            paid(json!([
                {"type": "EXTERNAL", "provider_name": "Scoffable", "amount": 2000},
                {"type": "EXTERNAL", "provider_name": "Cash", "amount": 839},
            ])),
        ),
        ("signature of nobody", with(a(), "/signature", json!({"value": "sig-1"}))),
    ];
    let sim = start_unlimited().await;
    let mut n_refused = 0;
    for (name, body) in cases {
        let (status, answer) = sim.submit(&body).await;
        n_refused += 1;
        assert_eq!(status, 400, "{name}: {answer}");
        assert_eq!((&answer["code"], &answer["details"]), (&json!(3), &json!([])), "{name}");
        assert_eq!(sim.violations().len(), n_refused, "{name}");
    }

    assert_eq!(sim.ledger().stored().len(), 0);
    assert_eq!(sim.received(), []);
    assert_eq!(sim.submit(&a()).await.0, 200, "the one they were made of");
}

#[tokio::test]
async fn what_is_needed_is_missed() {
    let sim = start_unlimited().await;
    for pointer in [
        "/external_reference_id",
        "/location_id",
        "/menu_id",
        "/state",
        "/source",
        "/source/name",
        "/fulfillment",
        "/fulfillment/type",
        "/fulfillment/schedule_type",
        "/line_items",
        "/line_items/0/name",
        "/line_items/0/quantity",
        "/line_items/0/price",
        "/line_items/0/modifiers/0/name",
        "/line_items/0/modifiers/0/quantity",
        "/line_items/0/modifiers/0/price",
        "/discounts/0/name",
        "/discounts/0/amount",
        "/fees/0/amount",
        "/payments",
        "/payments/0/type",
        "/payments/0/amount",
        "/totals",
        "/totals/subtotal",
        "/totals/discounts_total",
        "/totals/fees_total",
        "/totals/tax_total",
        "/totals/tip_total",
        "/totals/grand_total",
    ] {
        assert_eq!(sim.submit(&with(a(), pointer, Value::Null)).await.0, 400, "{pointer}");
    }
    assert_eq!(sim.ledger().stored().len(), 0);

    for pointer in ["/display_id", "/placed_at", "/customer", "/line_items/0/line_id", "/line_items/0/modifiers/1/id"] {
        assert_eq!(sim.submit(&with(a(), pointer, Value::Null)).await.0, 200, "{pointer} is not needed");
    }
}

#[tokio::test]
async fn discounts_may_take_all_of_the_goods_and_no_more() {
    let sim = start().await;
    sim.change_rules(|rules| rules.takes_zero_payments = true);
    let all = |discount: i64| {
        let body = with(a(), "/discounts", json!([{"name": "Voucher", "amount": discount}]));
        let body = with(with(body, "/totals/discounts_total", json!(discount)), "/fees", json!([]));
        let total = 3085 - discount;
        let body = with(with(body, "/totals/fees_total", json!(0)), "/totals/grand_total", json!(total));
        with(body, "/payments/0/amount", json!(total))
    };

    assert_eq!(sim.submit(&all(3086)).await.0, 400);
    assert_eq!(sim.submit(&all(3085)).await.0, 200);
    sim.change_rules(|rules| rules.takes_zero_payments = false);
    assert_eq!(sim.submit(&all(3085)).await.0, 400);
}

#[tokio::test]
async fn amounts_beyond_64_bits_are_refused_and_break_nothing() {
    let sim = start().await;

    let body = with(with(a(), "/line_items/0/price", json!(i64::MAX)), "/line_items/0/quantity", json!(i64::MAX));

    assert_eq!(sim.submit(&body).await.0, 400);
    assert_eq!(sim.submit(&a()).await.0, 200);
}

#[tokio::test]
async fn the_rules_can_be_told_otherwise() {
    let two_payments = json!([
        {"type": "EXTERNAL", "provider_name": "Scoffable", "amount": 2000},
        {"type": "EXTERNAL", "provider_name": "Cash", "amount": 839},
    ]);
    let short = with(with(a(), "/state", json!("CLOSED")), "/fulfillment/type", json!("PICKUP"));
    let cases: Vec<(&str, Value, u16, Change, u16)> = vec![
        ("short", short.clone(), 200, |rules| rules.enum_style = Some(EnumStyle::Prefixed), 400),
        ("prefixed", a(), 200, |rules| rules.enum_style = Some(EnumStyle::Short), 400),
        ("short on purpose", short, 200, |rules| rules.enum_style = Some(EnumStyle::Short), 200),
        ("wrapped", json!({"order": a()}), 400, |rules| rules.request_envelope = Envelope::Wrapped, 200),
        ("bare", a(), 200, |rules| rules.request_envelope = Envelope::Wrapped, 400),
        (
            "unknown item",
            with(a(), "/line_items/0/item_id", json!("itm-none")),
            400,
            |rules| rules.takes_unknown_items = true,
            200,
        ),
        ("partial customer", a(), 200, |rules| rules.takes_partial_customers = false, 400),
        ("two payments", with(a(), "/payments", two_payments), 400, |rules| rules.takes_several_payments = true, 200),
    ];
    for (name, body, before, change, after) in cases {
        let sim = start().await;
        assert_eq!(sim.submit(&body).await.0, before, "{name}");
        sim.change_rules(change);
        assert_eq!(sim.submit(&body).await.0, after, "{name}");
    }
}

#[tokio::test]
async fn a_customer_with_all_four_fields_is_created() {
    let sim = start().await;
    let full =
        json!({"first_name": "Ines", "last_name": "Invented", "email": "i@example.org", "phone": "+442079460123"});

    sim.submit(&a()).await;
    assert_eq!(sim.ledger().n_customers(), 0);
    sim.submit(&with(order("scoffable-b-1"), "/customer", full)).await;

    assert_eq!(sim.ledger().n_customers(), 1);
    let shown = format!("{:?} {:?}", sim.ledger().stored(), sim.received());
    assert!(!shown.contains("Ines") && !shown.contains("example.org") && !shown.contains("+44"), "{shown}");
}

#[tokio::test]
async fn a_time_that_cannot_be_met_becomes_as_soon_as_possible() {
    let sim = start().await;
    let at = |minutes: i64| {
        let at = sim.clock.wall() + chrono::TimeDelta::minutes(minutes);
        at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let scheduled = |kind: &str, field: &str, at: &str| {
        with(a(), "/fulfillment", json!({"type": kind, "schedule_type": "SCHEDULED", field: at}))
    };

    for (kind, field, minutes, is_met) in [
        ("PICKUP", "estimated_ready_at", 25, true),
        ("PICKUP", "estimated_ready_at", 15, false),
        ("PICKUP", "estimated_ready_at", -60, false),
        ("DELIVERY", "estimated_delivery_at", 45, true),
        ("DELIVERY", "estimated_delivery_at", 35, false),
    ] {
        let asked = at(minutes);
        let (status, answer) = sim.submit(&scheduled(kind, field, &asked)).await;
        let fulfillment = &answer["order"]["fulfillment"];
        assert_eq!(status, 200, "{kind} {minutes}: {answer}");
        assert_eq!(fulfillment["schedule_type"], if is_met { "SCHEDULED" } else { "ASAP" }, "{kind} {minutes}");
        assert_eq!(fulfillment[field] == json!(asked), is_met, "{kind} {minutes}: {fulfillment}");
    }
}

#[tokio::test]
async fn a_delivery_has_an_address_and_two_times() {
    let sim = start().await;
    let address = json!({"address_line_1": "1 Nowhere Lane", "city": "Sampleton", "zip": "N0 0NE"});
    let fulfillment = json!({"type": "DELIVERY", "schedule_type": "ASAP", "delivery_address": address});

    let (status, answer) = sim.submit(&with(a(), "/fulfillment", fulfillment.clone())).await;

    assert_eq!((status, &answer["order"]["fulfillment"]["type"]), (200, &json!("FULFILLMENT_TYPE_DELIVERY")));
    let stored = sim.find("scoffable-a-1").expect("it is stored");
    assert_eq!(stored.delivery_at, Some(stored.ready_at + Duration::from_mins(20)));
    assert!(!format!("{stored:?}").contains("Nowhere"));
    for address in [json!({}), json!({"address_line_1": ""}), json!({"address_line_1": "1 Road", "flat": 2})] {
        let body = with(a(), "/fulfillment", with(fulfillment.clone(), "/delivery_address", address));
        assert_eq!(sim.submit(&body).await.0, 400);
    }
}

#[tokio::test]
async fn queries_are_read_strictly() {
    let sim = start().await;
    let reports = format!("/reporting/v1/locations/{HERE}/orders");
    for query in [
        "",
        "?page=1",
        "?last_updated_from=yesterday",
        "?last_updated_from=2026-03-14T18:02:11%2B01:00",
        "?last_updated_from=2026-03-14T18:02:11Z&page=0",
        "?last_updated_from=2026-03-14T18:02:11Z&page=x",
        "?last_updated_from=2026-03-14T18:02:11Z&state=CLOSED",
    ] {
        assert_eq!(sim.get(&format!("{reports}{query}")).await.0, 400, "{query}");
    }
    assert_eq!(sim.get(&format!("/business/v1/locations/{HERE}?page=1")).await.0, 400);
    assert_eq!(sim.get(&format!("/business/v1/locations/{HERE}/orders")).await.0, 404);
    assert_eq!(sim.get(&format!("/order/v1/locations/{HERE}/orders/submit")).await.0, 405);
    let plain = sim.request(reqwest::Method::POST, &format!("/order/v1/locations/{HERE}/orders/submit"));
    assert_eq!(ask(plain.body(a().to_string())).await.0, 415);
    assert_eq!(sim.violations().len(), 11);
}

#[tokio::test]
async fn a_propose_is_priced_by_the_menu_and_stores_nothing() {
    let sim = start().await;
    let cart = |price: i64| {
        json!({
            "location_id": HERE,
            "menu_id": "menu-takeaway-01",
            "fulfillment": {"type": "PICKUP", "schedule_type": "ASAP"},
            "line_items": [{
                "item_id": "itm-jalfrezi", "name": "Lamb Jalfrezi", "quantity": 2, "price": price,
                "modifiers": [{"id": "mod-pilau", "name": "Pilau rice", "quantity": 1, "price": 250}],
            }],
            "discounts": [{"name": "Voucher", "amount": 300}],
        })
    };

    let (status, answer) = sim.propose(&cart(1095)).await;
    assert_eq!(status, 200, "{answer}");
    // 8.25 % of 2390 is 197.175.
    assert_eq!(answer["order"]["totals"]["tax_total"], 197);
    assert_eq!(answer["order"]["totals"]["grand_total"], 2587);
    assert_eq!(sim.propose(&cart(1094)).await.0, 400);
    assert_eq!(sim.ledger().stored().len(), 0);

    let signed = with(a(), "/signature", answer["order"]["signature"].clone());
    assert_eq!(sim.submit(&signed).await.0, 200);
}
