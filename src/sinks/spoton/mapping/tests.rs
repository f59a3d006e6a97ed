use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use chrono::{DateTime, Utc};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use super::*;
use crate::{
    config::pointer::Pointer,
    domain::money::breakdown,
    sinks::spoton::{
        config::{AddressPointers, CustomerPointers, EnumStyle, Envelope, ItemPointers},
        testing::{settings, vendor},
    },
    source::{self, SourceKind},
};

const NOW: &str = "2026-03-14T18:05:00Z";

fn now() -> DateTime<Utc> {
    NOW.parse().unwrap()
}

fn gbp(amount: i64) -> Value {
    json!({"amount": amount, "currency": "GBP"})
}

fn product(id: &str, name: &str, price: i64, ordered: i64, fulfilled: i64) -> Value {
    json!({
        "id": id, "name": name, "type": "product", "quantityOrdered": ordered, "quantityFulfilled": fulfilled,
        "price": gbp(price), "total": gbp(price),
    })
}

fn other(kind: &str, name: &str, price: i64) -> Value {
    json!({
        "id": name, "name": name, "type": kind, "quantityOrdered": 0, "quantityFulfilled": 1, "price": gbp(price),
    })
}

fn order_of(items: &[Value], total: i64) -> Value {
    json!({
        "id": "71", "version": 3, "status": "accepted", "type": "collection", "vendorId": "vendor-a",
        "placedAt": "2026-03-14T18:02:11Z", "items": items, "total": gbp(total),
        "customerPayments": [{"type": "online", "collectedBy": "scoffable", "payment": gbp(total)}],
    })
}

/// Two curries with options, a substitution, an adjustment, a voucher and a service fee.
fn dinner() -> Value {
    let mut jalfrezi = product("line-1", "Lamb Jalfrezi", 1095, 2, 2);
    jalfrezi["optionCategories"] = json!([
        {"name": "Spice", "selectedOptions": [{"name": "Extra hot"}]},
        {"name": "Side", "selectedOptions": [{"name": "Pilau rice", "optionPrice": gbp(250)}]},
    ]);
    let mut mango = product("line-2", "Mango Lassi", 350, 1, 0);
    mango["substitutionDetails"] = json!({"substitutedBy": ["line-3"]});
    let mut rose = product("line-3", "Rose Lassi", 395, 0, 1);
    rose["substitutionDetails"] = json!({"substitutedFor": ["line-2"]});
    let items = [
        jalfrezi,
        mango,
        rose,
        other("adjustment", "Substitution price match", -45),
        other("voucher", "Spring voucher", -300),
    ];
    let mut order = order_of(&items, 2839);
    order["id"] = json!(5_512_087);
    order["version"] = json!(6);
    order["placedAt"] = json!(1_773_511_331_000_i64);
    order["serviceFee"] = gbp(99);
    order["who"] = json!({"name": "Ines Cruz", "phone": "+44 20 7946 0123", "email": "ines@example.org"});
    order
}

fn mapped_by(settings: &SpotonSettings, vendor: &Vendor, order: &Value) -> Result<Mapped, Lack> {
    let payload = order.to_string();
    let order = source::decode_stored(SourceKind::Scoffable, &payload).expect("it can be read");
    let money = breakdown(&order);
    let sale = Sale { order: &order, money: &money, payload: &payload, vendor_id: "vendor-a", vendor, settings };
    map(sale, &format!("scoffable-{}-1", order.id), now())
}

fn mapped(order: &Value) -> Result<Mapped, Lack> {
    mapped_by(&settings(), &vendor(), order)
}

fn body(order: &Value) -> Value {
    let mapped = mapped(order).unwrap_or_else(|lack| panic!("{lack:?}"));
    serde_json::to_value(&mapped.order).unwrap()
}

fn lack(order: &Value) -> Lack {
    mapped(order).map(|mapped| mapped.order).expect_err("it cannot be submitted")
}

fn reason(order: &Value) -> &'static str {
    lack(order).reason
}

fn with_customer() -> SpotonSettings {
    let pointer = |text| Some(Pointer::of(text));
    let customer_pointers = CustomerPointers {
        name: pointer("/who/name"),
        email: pointer("/who/email"),
        phone: pointer("/who/phone"),
        ..CustomerPointers::default()
    };
    SpotonSettings { customer_pointers, ..settings() }
}

#[test]
fn an_order_is_written_in_either_spelling_and_envelope() {
    for (enum_style, envelope) in [
        (EnumStyle::Prefixed, Envelope::Bare),
        (EnumStyle::Prefixed, Envelope::Order),
        (EnumStyle::Short, Envelope::Bare),
        (EnumStyle::Short, Envelope::Order),
    ] {
        let settings = SpotonSettings { enum_style, request_envelope: envelope, ..with_customer() };
        let mapped = mapped_by(&settings, &vendor(), &dinner()).unwrap();
        let written: Box<serde_json::value::RawValue> = serde_json::from_str(&mapped.order.written(envelope)).unwrap();
        insta::assert_snapshot!(format!("body_{enum_style}_{envelope}"), pretty(written.get()));
    }
}

/// A line for each member, in the order in which they are sent.
fn pretty(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(['{', ',']) {
        out.push_str(part);
        out.push('\n');
    }
    out
}

#[test]
fn the_worked_example_comes_to_its_total() {
    let body = body(&dinner());

    let totals = json!({
        "subtotal": 3085, "discounts_total": 345, "fees_total": 99, "tax_total": 0, "tip_total": 0, "grand_total": 2839,
    });
    assert_eq!(body["totals"], totals);
    assert_eq!(body["external_reference_id"], "scoffable-5512087-1");
    assert_eq!((&body["display_id"], &body["placed_at"]), (&json!("5512087"), &json!("2026-03-14T18:02:11Z")));
    assert_eq!(body["line_items"].as_array().map(Vec::len), Some(2), "what was replaced is not cooked");
}

#[test]
fn only_what_was_supplied_is_sent_and_line_totals_are_never_added_up() {
    let mut gone = product("a", "Lamb Jalfrezi", 1095, 1, 0);
    gone["total"] = gbp(1095);
    let items = [gone, product("b", "Naan", 200, 3, 2)];

    let body = body(&order_of(&items, 400));

    assert_eq!(body["line_items"].as_array().map(Vec::len), Some(1));
    assert_eq!((&body["line_items"][0]["quantity"], &body["line_items"][0]["price"]), (&json!(2), &json!(200)));
}

#[test]
fn an_order_of_which_nothing_was_supplied_is_parked() {
    assert_eq!(reason(&order_of(&[product("a", "Naan", 200, 2, 0)], 0)), "nothing_fulfilled");
    assert_eq!(reason(&order_of(&[], 0)), "nothing_fulfilled");
}

#[test]
fn negative_amounts_of_other_kinds_are_discounts_and_positive_ones_fees() {
    let items = [
        product("a", "Naan", 1000, 1, 1),
        other("offer", "Two for one", -200),
        other("adjustment", "Extra portion", 150),
        other("adjustment", "Nothing", 0),
        other("loyalty", "Points", -50),
    ];

    let body = body(&order_of(&items, 900));

    assert_eq!(body["discounts"], json!([{"name": "Two for one", "amount": 200}, {"name": "Points", "amount": 50}]));
    assert_eq!(body["fees"], json!([{"name": "Extra portion", "amount": 150}]));
    assert_eq!(body["line_items"].as_array().map(Vec::len), Some(1), "a line would be printed in the kitchen");
}

#[test]
fn a_discount_counts_as_often_as_it_was_supplied() {
    let mut twice = other("offer", "Meal deal", -100);
    twice["quantityFulfilled"] = json!(2);
    let mut never = other("offer", "Lapsed", -100);
    never["quantityFulfilled"] = json!(0);

    let body = body(&order_of(&[product("a", "Naan", 1000, 1, 1), twice, never], 800));

    assert_eq!(body["discounts"], json!([{"name": "Meal deal", "amount": 200}]));
}

#[test]
fn an_unknown_kind_of_line_that_costs_something_may_have_to_be_cooked_and_parks() {
    let items = [product("a", "Naan", 1000, 1, 1), other("surprise", "Dessert", 150)];

    assert_eq!(reason(&order_of(&items, 1150)), "unknown_item_type");
}

#[test]
fn a_negative_price_of_a_product_or_an_option_parks() {
    let mut cheaper = product("a", "Naan", 1000, 1, 1);
    cheaper["optionCategories"] =
        json!([{"name": "Size", "selectedOptions": [{"name": "S", "optionPrice": gbp(-100)}]}]);

    assert_eq!(reason(&order_of(&[product("a", "Naan", -5, 1, 1)], -5)), "negative_product");
    assert_eq!(reason(&order_of(&[cheaper], 900)), "negative_product");
}

#[test]
fn discounts_beyond_the_goods_park() {
    let items = [product("a", "Naan", 100, 1, 1), other("voucher", "Spring voucher", -300)];

    assert_eq!(reason(&order_of(&items, 0)), "negative_subtotal");
    let mut with_fee = order_of(&items, 50);
    with_fee["deliveryFee"] = gbp(250);
    assert_eq!(reason(&with_fee), "negative_subtotal");
}

#[test]
fn a_voucher_that_was_paid_with_lowers_nothing() {
    let mut order = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
    order["customerPayments"] = json!([
        {"type": "voucher", "collectedBy": "scoffable", "payment": gbp(400)},
        {"type": "online", "collectedBy": "scoffable", "payment": gbp(600)},
    ]);

    let body = body(&order);

    assert_eq!((&body["discounts"], &body["totals"]["grand_total"]), (&json!([]), &json!(1000)));
    assert_eq!(body["payments"], json!([{"type": "EXTERNAL", "provider_name": "Scoffable", "amount": 1000}]));
}

#[test]
fn cash_that_the_vendor_holds_is_a_tender_of_its_own_name() {
    let provider = |payments: Value| {
        let mut order = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
        order["customerPayments"] = payments;
        body(&order)["payments"][0]["provider_name"].clone()
    };
    let cash = |amount: i64| json!({"type": "cash", "collectedBy": "vendor", "payment": gbp(amount)});
    let online = json!({"type": "online", "collectedBy": "scoffable", "payment": gbp(400)});

    assert_eq!(provider(json!([cash(600), cash(400)])), "Scoffable Cash");
    assert_eq!(provider(json!([cash(600), online])), "Scoffable");
    assert_eq!(provider(json!([])), "Scoffable");
}

#[test]
fn tenders_are_split_only_where_they_come_to_the_total() {
    let splitting = SpotonSettings { split_tenders: true, ..settings() };
    let payments = |tenders: Value| {
        let mut order = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
        order["customerPayments"] = tenders;
        let mapped = mapped_by(&splitting, &vendor(), &order).unwrap();
        (json!(mapped.order.payments), mapped.remarks)
    };
    let tender = |kind: &str, by: &str, amount: i64| json!({"type": kind, "collectedBy": by, "payment": gbp(amount)});
    let external = |name: &str, amount: i64| json!({"type": "EXTERNAL", "provider_name": name, "amount": amount});

    let (split, remarks) = payments(json!([
        tender("voucher", "scoffable", 300),
        tender("online", "scoffable", 500),
        tender("cash", "vendor", 150),
        tender("cash", "vendor", 50),
    ]));
    let expected =
        json!([external("Scoffable Voucher", 300), external("Scoffable", 500), external("Scoffable Cash", 200)]);
    assert_eq!((split, remarks), (expected, vec![]));

    let (one, remarks) = payments(json!([tender("online", "scoffable", 900)]));
    assert_eq!(one, json!([external("Scoffable", 1000)]));
    assert_eq!(remarks, [Remark::TendersNotSplit, Remark::PaidDiffersFromTotal]);
    let (one, _) = payments(json!([{"collectedBy": "scoffable", "payment": gbp(1000)}]));
    assert_eq!(one, json!([external("Scoffable", 1000)]), "a tender of no known type");
}

#[test]
fn what_was_paid_may_differ_and_the_total_goes() {
    let mut order = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
    order["customerPayments"][0]["payment"] = gbp(870);

    let mapped = mapped(&order).unwrap();

    assert_eq!(mapped.order.payments[0].amount, 1000);
    assert_eq!(mapped.remarks, [Remark::PaidDiffersFromTotal]);
}

#[test]
fn a_small_residual_is_named_a_rounding_on_either_side_and_a_larger_one_parks() {
    let of = |total| order_of(&[product("a", "Naan", 1199, 2, 2)], total);
    let rounding = |amount: i64| json!([{"name": "Scoffable rounding", "amount": amount}]);

    assert_eq!((&body(&of(2403))["fees"], &body(&of(2403))["discounts"]), (&rounding(5), &json!([])));
    assert_eq!((&body(&of(2393))["fees"], &body(&of(2393))["discounts"]), (&json!([]), &rounding(5)));
    assert_eq!(mapped(&of(2399)).unwrap().remarks, [Remark::Rounding]);
    for total in [2404, 2392] {
        let lack = lack(&of(total));
        assert_eq!(lack.reason, "totals_do_not_add_up");
        for named in [&total.to_string(), "2398", "residual_limit"] {
            assert!(lack.hint.contains(named), "{named} in {}", lack.hint);
        }
    }
}

#[test]
fn a_residual_that_the_platforms_line_totals_explain_is_told_with_that() {
    let mut item = product("a", "Naan", 1000, 2, 2);
    item["total"] = gbp(1800);

    let lack = lack(&order_of(&[item], 1800));

    assert_eq!(lack.reason, "totals_do_not_add_up");
    assert!(lack.hint.contains("line totals"), "{}", lack.hint);
}

#[test]
fn a_dearer_substitute_that_the_customer_does_not_pay_for_is_goodwill_up_to_its_own_value() {
    let items = |price: i64| {
        let mut old = product("a", "Brie", 350, 1, 0);
        old["substitutionDetails"] = json!({"substitutedBy": ["b"]});
        let mut new = product("b", "Camembert", price, 0, 1);
        new["substitutionDetails"] = json!({"substitutedFor": ["a"]});
        [old, new, product("c", "Bread", 1000, 1, 1)]
    };

    let goodwill = mapped(&order_of(&items(480), 1350)).unwrap();
    assert_eq!(json!(goodwill.order.discounts), json!([{"name": "Scoffable goodwill", "amount": 130}]));
    assert_eq!(goodwill.remarks, [Remark::Goodwill]);
    assert!(mapped(&order_of(&items(480), 1000)).is_ok(), "all of the substitute's value");
    assert_eq!(reason(&order_of(&items(480), 999)), "totals_do_not_add_up");
    assert_eq!(reason(&order_of(&[product("c", "Bread", 1000, 1, 1)], 870)), "totals_do_not_add_up");
    assert_eq!(reason(&order_of(&items(480), 1486)), "totals_do_not_add_up", "more than the parts is no goodwill");
}

#[test]
fn an_order_that_costs_nothing_parks_unless_it_may() {
    let items = [product("a", "Naan", 300, 1, 1), other("voucher", "Spring voucher", -300)];
    let free = order_of(&items, 0);

    assert_eq!(reason(&free), "zero_total");
    assert!(lack(&free).hint.contains("allow_zero_total"));
    let allowing = SpotonSettings { allow_zero_total: true, ..settings() };
    let mapped = mapped_by(&allowing, &vendor(), &free).unwrap();
    assert_eq!((mapped.order.totals.grand_total, mapped.order.payments[0].amount), (0, 0));
}

#[test]
fn another_currency_or_a_mixture_parks() {
    let mut dollars = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
    let text = dollars.to_string().replace("GBP", "USD");
    dollars = serde_json::from_str(&text).unwrap();
    let mut mixed = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
    mixed["customerPayments"][0]["payment"]["currency"] = json!("EUR");

    for order in [dollars, mixed] {
        let lack = lack(&order);
        assert_eq!(lack.reason, "currency_mismatch");
        assert!(lack.hint.contains("vendors.\"vendor-a\".currency"), "{}", lack.hint);
    }
}

#[test]
fn no_tax_is_told_because_none_is_known() {
    assert_eq!(body(&dinner())["totals"]["tax_total"], 0);
}

#[test]
fn quantities_that_are_missing_or_broken_park() {
    let of = |change: fn(&mut Value)| {
        let mut item = product("a", "Naan", 1000, 1, 1);
        change(&mut item);
        reason(&order_of(&[item], 1000))
    };

    assert_eq!(of(|item| drop(item.as_object_mut().unwrap().remove("quantityFulfilled"))), "quantity_missing");
    assert_eq!(of(|item| item["quantityFulfilled"] = json!(1.5)), "quantity_not_whole");
    assert_eq!(of(|item| item["quantityFulfilled"] = json!(-1)), "quantity_not_whole");
    assert_eq!(of(|item| drop(item.as_object_mut().unwrap().remove("price"))), "price_missing");
}

#[test]
fn a_quantity_without_its_two_kinds_is_what_was_supplied() {
    let mut item = product("a", "Naan", 1000, 1, 1);
    let fields = item.as_object_mut().unwrap();
    fields.remove("quantityFulfilled");
    fields.remove("quantityOrdered");
    fields.insert("quantity".to_owned(), json!(2));

    assert_eq!(body(&order_of(&[item], 2000))["line_items"][0]["quantity"], 2);
}

#[test]
fn an_amount_that_cannot_be_read_or_counted_parks() {
    let mut unreadable = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
    unreadable["items"][0]["price"] = json!({"amount": 1000});
    let mut without_total = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
    without_total.as_object_mut().unwrap().remove("total");
    let huge = order_of(&[product("a", "Naan", i64::MAX, 2, 2)], 1000);

    for order in [unreadable, without_total, huge] {
        assert_eq!(reason(&order), "amount_unreadable", "{order}");
    }
}

#[test]
fn an_item_is_looked_up_by_reference_then_barcode_then_name_then_falls_back() {
    let pointer = |text| Some(Pointer::of(text));
    let settings = SpotonSettings {
        item_pointers: ItemPointers { reference: pointer("/sku"), barcode: pointer("/ean") },
        ..settings()
    };
    let vendor = Vendor {
        items: [("sku-1", "by-sku"), ("501", "by-ean"), ("lamb jalfrezi", "by-name")]
            .map(|(key, id)| (key.to_owned(), id.to_owned()))
            .into(),
        ..vendor()
    };
    let id_of = |fields: Value, name: &str| {
        let mut item = product("a", name, 1000, 1, 1);
        item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        mapped_by(&settings, &vendor, &order_of(&[item], 1000)).unwrap().order.line_items[0].item_id.clone()
    };

    assert_eq!(id_of(json!({"sku": "SKU-1", "ean": "501"}), "Lamb Jalfrezi"), "by-sku");
    assert_eq!(id_of(json!({"sku": "other", "ean": "501"}), "Lamb Jalfrezi"), "by-ean");
    assert_eq!(id_of(json!({}), "  LAMB   jalfrezi "), "by-name");
    assert_eq!(id_of(json!({"sku": "other"}), "Naan"), "itm-open-food");
}

#[test]
fn an_item_that_nothing_is_mapped_to_parks_with_the_key_to_set() {
    let vendor = Vendor { fallback_item_id: None, ..vendor() };

    let lack = mapped_by(&settings(), &vendor, &order_of(&[product("a", "Naan", 1000, 1, 1)], 1000)).unwrap_err();

    assert_eq!(lack.reason, "unmapped_item");
    for named in ["Naan", "vendors.\"vendor-a\".items", "fallback_item_id"] {
        assert!(lack.hint.contains(named), "{}", lack.hint);
    }
}

#[test]
fn options_are_modifiers_each_also_free_ones_and_repeated_ones() {
    let mut item = product("a", "Naan", 1000, 2, 2);
    let sauce = json!({"name": "Garlic", "optionPrice": gbp(50)});
    item["optionCategories"] = json!([
        {"name": "Side", "selectedOptions": [sauce, sauce]},
        {"name": "SIDE", "selectedOptions": [{"name": "pilau  RICE"}]},
    ]);

    let body = body(&order_of(&[item], 2200));

    let expected = json!([
        {"name": "Garlic", "quantity": 1, "price": 50},
        {"name": "Garlic", "quantity": 1, "price": 50},
        {"id": "mod-pilau", "name": "pilau  RICE", "quantity": 1, "price": 0},
    ]);
    assert_eq!(body["line_items"][0]["modifiers"], expected);
}

/// Assumed: an option's price is per unit. Where it is meant per line instead, the total does not come out.
#[test]
fn an_option_that_is_priced_per_line_parks_and_never_goes_out_with_a_wrong_total() {
    let mut item = product("a", "Naan", 1000, 2, 2);
    item["optionCategories"] =
        json!([{"name": "Side", "selectedOptions": [{"name": "Garlic", "optionPrice": gbp(50)}]}]);

    assert!(mapped(&order_of(&[item.clone()], 2100)).is_ok(), "per unit");
    let lack = lack(&order_of(&[item], 2050));
    assert_eq!(lack.reason, "totals_do_not_add_up");
    assert!(lack.hint.contains("2050") && lack.hint.contains("2100"), "{}", lack.hint);
}

#[test]
fn a_delivery_has_an_address_and_by_uber_may_be_handed_over_at_the_counter() {
    let pointer = |text| Some(Pointer::of(text));
    let address_pointers = AddressPointers {
        address_line_1: pointer("/deliveryAddress/line1"),
        city: pointer("/deliveryAddress/town"),
        ..AddressPointers::default()
    };
    let settings = SpotonSettings { address_pointers, ..settings() };
    let mut order = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
    order["type"] = json!("delivery");
    order["deliveryProvider"] = json!("uber");
    order["deliveryAddress"] = json!({"line1": "12 Acacia Road", "town": "London"});
    let fulfillment = |uber_delivery_as, order: &Value| {
        let settings = SpotonSettings { uber_delivery_as, ..settings.clone() };
        json!(mapped_by(&settings, &vendor(), order).unwrap().order.fulfillment)
    };

    let delivered = json!({
        "type": "FULFILLMENT_TYPE_DELIVERY", "schedule_type": "ASAP",
        "delivery_address": {"address_line_1": "12 Acacia Road", "city": "London"},
    });
    assert_eq!(fulfillment(UberDelivery::Delivery, &order), delivered);
    let counter = json!({"type": "FULFILLMENT_TYPE_PICKUP", "schedule_type": "ASAP"});
    assert_eq!(fulfillment(UberDelivery::Pickup, &order), counter);
    order["deliveryProvider"] = json!("vendor");
    assert_eq!(fulfillment(UberDelivery::Pickup, &order), delivered);
    order["type"] = json!("drone");
    assert_eq!(mapped_by(&settings, &vendor(), &order).unwrap_err().reason, "unknown_order_type");
}

#[test]
fn a_requested_time_is_scheduled_only_when_it_is_far_enough_away() {
    let settings = SpotonSettings { requested_time_pointer: Some(Pointer::of("/wantedAt")), ..settings() };
    let fulfillment = |wanted: &str, kind: &str| {
        let mut order = order_of(&[product("a", "Naan", 1000, 1, 1)], 1000);
        order["type"] = json!(kind);
        order["wantedAt"] = json!(wanted);
        json!(mapped_by(&settings, &vendor(), &order).unwrap().order.fulfillment)
    };

    let asap = json!({"type": "FULFILLMENT_TYPE_PICKUP", "schedule_type": "ASAP"});
    assert_eq!(fulfillment("2026-03-14T18:50:00Z", "collection"), asap);
    let ready = fulfillment("2026-03-14T18:50:01Z", "collection");
    assert_eq!(ready["schedule_type"], "SCHEDULED");
    assert_eq!(ready["estimated_ready_at"], "2026-03-14T18:50:01Z");
    assert_eq!(fulfillment("2026-03-14T20:00:00Z", "delivery")["estimated_delivery_at"], "2026-03-14T20:00:00Z");
}

#[test]
fn a_display_id_is_a_short_number_or_none() {
    assert_eq!(display_id("5512087").as_deref(), Some("5512087"));
    assert_eq!(display_id("123456789012").as_deref(), Some("123456789012"));
    for other in ["1234567890123", "A-1", ""] {
        assert_eq!(display_id(other), None, "{other}");
    }
}

#[test]
fn the_digest_sees_what_the_merchant_would_and_nothing_else() {
    let digest_of =
        |settings: &SpotonSettings, vendor: &Vendor, order: &Value| mapped_by(settings, vendor, order).unwrap().digest;
    let digest = |order: &Value| digest_of(&settings(), &vendor(), order);
    let changed = |change: fn(&mut Value)| {
        let mut order = dinner();
        change(&mut order);
        digest(&order)
    };
    let first = digest(&dinner());

    assert_eq!(changed(|order| order["version"] = json!(9)), first);
    assert_eq!(changed(|order| order["placedAt"] = json!("2026-03-14T18:03:00Z")), first);
    assert_eq!(changed(|order| order["who"]["name"] = json!("Someone Else")), first);
    assert_eq!(changed(|order| order["items"][0]["id"] = json!("another")), first);
    let better_mapped = Vendor { items: [("lamb jalfrezi".to_owned(), "new".to_owned())].into(), ..vendor() };
    assert_eq!(digest_of(&settings(), &better_mapped, &dinner()), first);
    let short = SpotonSettings { enum_style: EnumStyle::Short, ..settings() };
    assert_eq!(digest_of(&short, &vendor(), &dinner()), first);

    assert_ne!(changed(|order| order["items"][0]["name"] = json!("Lamb Korma")), first);
    assert_ne!(changed(|order| order["type"] = json!("delivery")), first);
    assert_ne!(changed(|order| order["items"][4]["name"] = json!("Summer voucher")), first);
    let recooked = changed(|order| {
        order["items"][0]["optionCategories"][0]["selectedOptions"][0]["name"] = json!("Mild");
    });
    assert_ne!(recooked, first);
}

fn any_item() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![
        6 => Just(Some("product")),
        1 => Just(Some("offer")),
        1 => Just(Some("voucher")),
        1 => Just(Some("adjustment")),
        1 => Just(Some("surprise")),
        1 => Just(None),
    ];
    let price = prop_oneof![8 => 0..3000_i64, 3 => -500..0_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let quantity = prop_oneof![6 => Just(json!(1)), 3 => (0..4_i64).prop_map(|n| json!(n)), 1 => Just(json!(1.5)), 1 => Just(Value::Null)];
    let option = proptest::option::of(-50..400_i64);
    let options = proptest::collection::vec(option, 0..3);
    (kind, price, quantity, options, any::<bool>(), 0..4_u8).prop_map(|(kind, price, quantity, options, replaces, id)| {
        let options: Vec<Value> = options
            .into_iter()
            .map(|price| price.map_or_else(|| json!({"name": "plain"}), |price| json!({"name": "x", "optionPrice": gbp(price)})))
            .collect();
        let mut item = json!({
            "id": format!("i{id}"), "name": "Naan", "quantityOrdered": 1, "quantityFulfilled": quantity, "price": gbp(price),
            "optionCategories": [{"name": "Side", "selectedOptions": options}],
        });
        if let Some(kind) = kind {
            item["type"] = json!(kind);
        }
        if replaces {
            item["substitutionDetails"] = json!({"substitutedFor": ["gone"]});
        }
        item
    })
}

/// What has to hold of a body, reckoned from the bytes alone. Source: SpotOn, Orders Overview: a payment matches the total.
/// Assumed: the rest, which follows from the names of the totals.
fn assert_adds_up(body: &str) {
    let body: Value = serde_json::from_str(body).unwrap();
    let amount = |value: &Value| value.as_i64().map(i128::from).filter(|amount| *amount >= 0).expect("cents");
    let list = |value: &Value| value.as_array().cloned().expect("a list");
    let sum = |name: &str| list(&body[name]).iter().map(|one| amount(&one["amount"])).sum::<i128>();
    let total = |name: &str| amount(&body["totals"][name]);
    let of_line = |line: &Value| {
        let of_modifier = |one: &Value| amount(&one["quantity"]) * amount(&one["price"]);
        let modifiers: i128 = list(&line["modifiers"]).iter().map(of_modifier).sum();
        assert!(amount(&line["quantity"]) > 0, "{line}");
        amount(&line["quantity"]) * (amount(&line["price"]) + modifiers)
    };
    let lines = list(&body["line_items"]);

    assert!(!lines.is_empty(), "{body}");
    assert_eq!(total("subtotal"), lines.iter().map(of_line).sum::<i128>(), "{body}");
    assert_eq!((total("discounts_total"), total("fees_total")), (sum("discounts"), sum("fees")), "{body}");
    let parts = total("subtotal") - total("discounts_total") + total("fees_total");
    assert_eq!(total("grand_total"), parts + total("tax_total") + total("tip_total"), "{body}");
    assert_eq!(sum("payments"), total("grand_total"), "{body}");
    assert!(total("discounts_total") <= total("subtotal"), "{body}");
}

/// An order as the platform may tell it, with its total off by so much of what its parts come to.
fn any_order() -> impl Strategy<Value = (Value, i64)> {
    let items = proptest::collection::vec(any_item(), 0..6);
    let off_by = prop_oneof![4 => Just(0_i64), 4 => -8..8_i64, 1 => -2000..2000_i64];
    let tenders = proptest::collection::vec((0..3_usize, 0..2_usize, -10..2000_i64), 0..3);
    (items, off_by, -1..400_i64, 0..300_i64, tenders).prop_map(|(items, off_by, delivery_fee, service_fee, tenders)| {
        let mut order = order_of(&items, 0);
        (order["deliveryFee"], order["serviceFee"]) = (gbp(delivery_fee), gbp(service_fee));
        order["customerPayments"] = tenders
            .iter()
            .map(|(kind, by, amount)| {
                let (kind, by) = (["online", "cash", "voucher"][*kind], ["scoffable", "vendor"][*by]);
                json!({"type": kind, "collectedBy": by, "payment": gbp(*amount)})
            })
            .collect();
        (order, off_by)
    })
}

/// Whatever arrives: what would go out keeps every rule of the wire, to the cent, or nothing goes out and it is said why
/// in a word of the contract.
#[test]
fn an_order_is_submitted_whole_or_not_at_all() {
    const REASONS: [&str; 13] = [
        "amount_unreadable",
        "currency_mismatch",
        "negative_product",
        "negative_subtotal",
        "nothing_fulfilled",
        "price_missing",
        "quantity_missing",
        "quantity_not_whole",
        "totals_do_not_add_up",
        "unknown_item_type",
        "unknown_order_type",
        "unmapped_item",
        "zero_total",
    ];
    let (submitted, parked) = (Cell::new(0), RefCell::new(BTreeSet::new()));
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&(any_order(), any::<bool>(), 0..6_u32), |(arrived, splits, limit)| {
        let (mut order, off_by) = arrived;
        let decoded = source::decode_stored(SourceKind::Scoffable, &order.to_string());
        prop_assume!(decoded.is_ok());
        let expected = breakdown(&decoded.unwrap()).expected.unwrap_or(1000);
        order["total"] = gbp(expected.saturating_add(off_by));
        let settings = SpotonSettings { split_tenders: splits, residual_limit: limit, ..settings() };

        match mapped_by(&settings, &vendor(), &order) {
            Ok(mapped) => {
                submitted.set(submitted.get() + 1);
                assert_adds_up(&mapped.order.written(Envelope::Bare));
                prop_assert_eq!(mapped.order.broken_rule(), None);
                prop_assert_eq!(mapped.order.totals.grand_total, expected + off_by);
                prop_assert!(mapped.order.totals.grand_total > 0);
                let ids: Vec<&String> =
                    mapped.order.line_items.iter().filter_map(|line| line.line_id.as_ref()).collect();
                let different: BTreeSet<&String> = ids.iter().copied().collect();
                prop_assert_eq!(ids.len(), different.len());
            }
            Err(lack) => {
                prop_assert!(REASONS.contains(&lack.reason), "{lack:?}");
                parked.borrow_mut().insert(lack.reason);
            }
        }
        Ok(())
    });

    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(submitted.get() > 100, "only {} were submitted", submitted.get());
    assert!(parked.borrow().len() >= 6, "only {parked:?}");
}

#[test]
fn nothing_goes_out_that_breaks_a_rule_of_the_wire() {
    let good = mapped(&dinner()).unwrap().order;
    let broken = |change: fn(&mut wire::Order)| {
        let mut order = good.clone();
        change(&mut order);
        order.broken_rule()
    };

    assert_eq!(good.broken_rule(), None);
    assert_eq!(broken(|order| order.line_items.clear()), Some("there is no line"));
    let negative = Some("an amount is negative or missing");
    assert_eq!(broken(|order| order.line_items[0].quantity = 0), negative);
    assert_eq!(broken(|order| order.line_items[0].price = -1), negative);
    assert_eq!(broken(|order| order.discounts[0].amount = 0), negative);
    assert_eq!(broken(|order| order.payments[0].amount = -1), negative);
    assert_eq!(broken(|order| order.totals.subtotal += 1), Some("the lines are not the subtotal"));
    assert_eq!(broken(|order| order.totals.discounts_total += 1), Some("the discounts are not their total"));
    assert_eq!(broken(|order| order.totals.fees_total += 1), Some("the fees are not their total"));
    assert_eq!(broken(|order| order.totals.tax_total += 1), Some("the totals are not the grand total"));
    assert_eq!(broken(|order| order.payments[0].amount += 1), Some("the payments are not the grand total"));
}
