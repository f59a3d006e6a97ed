use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{
    money::{Currency, Money, breakdown},
    order::{Collector, DeliveryProvider, Item, ItemType, OrderType, PaymentType, Quantity, Status, Warning},
};

/// A complete order in the documented shape. Ids, names and amounts are invented.
/// Source: Scoffable developer documentation 1.0.0, "Order Sync", "Understanding Orders", "Order".
fn sample() -> Value {
    json!({
        "id": 5_500_017, "version": 3, "latestVersion": true, "vendorId": "vendor-example-a", "status": "accepted",
        "type": "delivery", "placedAt": 1_772_366_700_000_i64, "acceptedAt": "2026-03-01T12:06:10Z",
        "dispatchedAt": "2026-03-01T12:40:00.5Z", "deliveryProvider": "uber",
        "deliveryAddress": {"line1": "12 Secret Street"},
        "deliveryFee": {"amount": 250, "currency": "GBP"}, "serviceFee": {"amount": 60, "currency": "GBP"},
        "total": {"amount": 1635, "currency": "GBP"},
        "items": [{
            "id": "line-1", "name": "Lamb Kofta Plate", "type": "product", "quantityOrdered": 1, "quantityFulfilled": 1,
            "price": {"amount": 1200, "currency": "GBP"}, "total": {"amount": 1325, "currency": "GBP"},
            "optionCategories": [
                {"name": "Sauce", "selectedOptions": [{"name": "Garlic"}, {"name": "Garlic"}]},
                {"name": "Extras", "selectedOptions": [{"name": "Halloumi", "optionPrice": {"amount": 125, "currency": "GBP"}}]},
            ],
            "substitutionDetails": {"substitutedBy": ["x"], "substitutedFor": ["y", "z"]},
            "priceAdjustmentDetails": {"relatedPriceAdjustment": "adj", "itemsAdjusted": ["q"]},
        }],
        "customerPayments": [{"type": "online", "collectedBy": "scoffable", "payment": {"amount": 1635, "currency": "GBP"}}],
    })
}

fn raw(text: impl AsRef<[u8]>) -> RawOrder {
    RawOrder::new(Bytes::copy_from_slice(text.as_ref()))
}

fn decoded(order: &Value) -> Decoded {
    decode(&raw(order.to_string())).unwrap()
}

/// The sample with some fields replaced; `Value::Null` removes nothing, it is sent as null.
fn with(changes: Value) -> Value {
    let mut order = sample();
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    order.as_object_mut().unwrap().extend(changes);
    order
}

fn order_with(changes: Value) -> Order {
    decoded(&with(changes)).order
}

fn item_with(changes: Value) -> (Item, Vec<Warning>) {
    let mut item = sample()["items"][0].clone();
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    item.as_object_mut().unwrap().extend(changes);
    let mut order = order_with(json!({"items": [item]}));
    (order.items.remove(0), order.warnings)
}

fn refused(text: impl AsRef<[u8]>) -> Undecodable {
    decode(&raw(text)).unwrap_err()
}

fn refusal_with(changes: Value) -> Refusal {
    refused(with(changes).to_string()).reason
}

#[allow(clippy::unnecessary_wraps, reason = "compared with optional fields")]
fn gbp(amount: i64) -> Option<Money> {
    Some(Money::new(amount, Currency::parse("GBP").unwrap()))
}

#[allow(clippy::unnecessary_wraps, reason = "compared with optional fields")]
fn at(text: &str) -> Option<DateTime<Utc>> {
    Some(text.parse().unwrap())
}

mod decoding {
    use super::*;

    #[test]
    fn every_documented_field_is_read() {
        let Decoded { order, latest_version, castable_to_jsonb, payload, .. } = decoded(&sample());

        assert_eq!((order.id.as_str(), order.version.0), ("5500017", 3));
        assert_eq!((order.status, order.order_type), (Status::Accepted, Some(OrderType::Delivery)));
        assert_eq!(order.vendor_id.unwrap().as_str(), "vendor-example-a");
        assert_eq!(order.placed_at, at("2026-03-01T12:05:00Z"));
        assert_eq!(order.accepted_at, at("2026-03-01T12:06:10Z"));
        assert_eq!(order.dispatched_at, at("2026-03-01T12:40:00.5Z"));
        assert_eq!((order.delivery_fee, order.service_fee, order.total), (gbp(250), gbp(60), gbp(1635)));
        assert_eq!(order.delivery_provider, Some(DeliveryProvider::Uber));
        assert_eq!(order.warnings, []);
        let item = &order.items[0];
        assert_eq!((item.id.as_ref().unwrap().as_str(), item.name.as_deref()), ("line-1", Some("Lamb Kofta Plate")));
        assert_eq!(item.item_type, Some(ItemType::Product));
        assert_eq!((item.price, item.total), (gbp(1200), gbp(1325)));
        assert_eq!(item.option_categories[0].options.len(), 2);
        assert_eq!(item.option_categories[1].options[0].price, gbp(125));
        let texts =
            |ids: &[crate::domain::order::ItemId]| ids.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
        assert_eq!(
            (texts(&item.substituted_by), texts(&item.substituted_for)),
            (vec!["x".into()], vec!["y".into(), "z".into()])
        );
        assert_eq!(item.related_price_adjustment.as_ref().unwrap().as_str(), "adj");
        assert_eq!(texts(&item.items_adjusted), ["q"]);
        let payment = &order.payments[0];
        assert_eq!(payment.payment_type, Some(PaymentType::Online));
        assert_eq!((payment.collected_by.as_ref(), payment.amount), (Some(&Collector::Scoffable), gbp(1635)));
        assert_eq!((latest_version, castable_to_jsonb), (Some(true), true));
        assert_eq!(payload.as_str(), sample().to_string());
    }

    #[test]
    fn unknown_properties_at_every_level_are_ignored_and_kept_in_raw_form() {
        let surprise = json!({"nested": [1, {"deep": null}]});
        let mut order = sample();
        for pointer in [
            "",
            "/items/0",
            "/items/0/price",
            "/items/0/optionCategories/1",
            "/items/0/optionCategories/1/selectedOptions/0",
            "/items/0/substitutionDetails",
            "/items/0/priceAdjustmentDetails",
            "/customerPayments/0",
            "/customerPayments/0/payment",
            "/total",
        ] {
            order.pointer_mut(pointer).unwrap()["surprise"] = surprise.clone();
        }

        let read = decoded(&order);
        assert_eq!(read.order, decoded(&sample()).order);
        assert_eq!(read.payload.as_str().matches("surprise").count(), 10);
    }

    #[test]
    fn nothing_but_id_and_version_is_needed() {
        let order = decoded(&json!({"id": 1, "version": 1})).order;
        assert_eq!((order.id.as_str(), order.version.0, order.status), ("1", 1, Status::unknown()));
        assert_eq!(order.warnings, [Warning::StatusMissing]);
        assert!(order.items.is_empty() && order.payments.is_empty() && order.total.is_none());
    }

    #[test]
    fn null_is_absent_in_every_optional_position() {
        fn nulled(value: &mut Value, pointer: &str, all: &mut Vec<String>) {
            match value {
                Value::Object(members) => members.iter_mut().for_each(|(key, v)| {
                    all.push(format!("{pointer}/{key}"));
                    nulled(v, &format!("{pointer}/{key}"), all);
                }),
                Value::Array(elements) => {
                    elements.iter_mut().enumerate().for_each(|(n, v)| nulled(v, &format!("{pointer}/{n}"), all));
                }
                _ => {}
            }
        }
        let mut pointers = Vec::new();
        nulled(&mut sample(), "", &mut pointers);
        assert!(pointers.len() > 40, "the sample has lost its fields");

        for pointer in pointers.iter().filter(|pointer| !matches!(pointer.as_str(), "/id" | "/version")) {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let mut null = sample();
            *null.pointer_mut(pointer).unwrap() = Value::Null;
            let mut absent = sample();
            absent.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
            assert_eq!(decoded(&null).order, decoded(&absent).order, "{pointer}");
        }
    }

    #[test]
    fn every_form_of_an_instant_gives_one_instant() {
        for form in [
            json!(1_772_366_700_000_i64),
            json!(1_772_366_700_000.0),
            json!("2026-03-01T12:05:00Z"),
            json!("2026-03-01T13:05:00+01:00"),
            json!("2026-03-01T12:05:00.000999Z"),
        ] {
            let order = order_with(json!({"placedAt": form}));
            assert_eq!(order.placed_at, at("2026-03-01T12:05:00Z"), "{form}");
            assert_eq!(order.warnings, [], "{form}");
        }
    }

    #[test]
    fn undocumented_forms_of_an_instant_are_read_with_a_warning() {
        for (form, warnings) in [
            (json!(1_772_366_700), vec![Warning::TimestampInSeconds]),
            (json!("1772366700000"), vec![Warning::TimestampAsDigits]),
            (json!("1772366700"), vec![Warning::TimestampInSeconds, Warning::TimestampAsDigits]),
        ] {
            let order = order_with(json!({"placedAt": form}));
            assert_eq!(order.placed_at, at("2026-03-01T12:05:00Z"), "{form}");
            assert_eq!(order.warnings, warnings, "{form}");
        }
    }

    #[test]
    fn seconds_and_milliseconds_are_told_apart_at_the_limit() {
        assert_eq!(order_with(json!({"placedAt": 99_999_999_999_i64})).placed_at, at("5138-11-16T09:46:39Z"));
        assert_eq!(order_with(json!({"placedAt": 100_000_000_000_i64})).placed_at, at("1973-03-03T09:46:40Z"));
        assert_eq!(order_with(json!({"placedAt": -100_000_000_000_i64})).placed_at, at("1966-10-31T14:13:20Z"));
    }

    #[test]
    fn an_instant_that_cannot_be_read_costs_only_its_field() {
        for form in [
            json!("2026-03-01T12:05:00"),
            json!("yesterday"),
            json!(""),
            json!(1.5),
            json!(true),
            json!({}),
            json!(9_000_000_000_000_000_000_i64),
            json!("+12026-03-01T12:05:00Z"),
        ] {
            let order = order_with(json!({"placedAt": form}));
            assert_eq!((order.placed_at, order.warnings), (None, vec![Warning::TimestampUnreadable]), "{form}");
            assert_eq!(order.accepted_at, at("2026-03-01T12:06:10Z"));
        }
        let text = sample().to_string().replace("1772366700000", "1e400");
        assert_eq!(decode(&raw(text)).unwrap().order.warnings, [Warning::TimestampUnreadable]);
    }

    #[test]
    fn quantities_come_in_four_forms() {
        let whole = |units| Some(Quantity::whole(units));
        let table = [
            (json!({"quantityOrdered": null, "quantityFulfilled": null, "quantity": 2}), whole(2), whole(2), vec![]),
            (json!({"quantityOrdered": 3, "quantityFulfilled": 1}), whole(3), whole(1), vec![]),
            (json!({"quantityOrdered": 2, "quantityFulfilled": 2, "quantity": 2}), whole(2), whole(2), vec![]),
            (
                json!({"quantityOrdered": 3, "quantityFulfilled": 1, "quantity": 3}),
                whole(3),
                whole(1),
                vec![Warning::QuantityContradiction],
            ),
            (json!({"quantityOrdered": 3, "quantityFulfilled": null, "quantity": 3}), whole(3), whole(3), vec![]),
            (json!({"quantityOrdered": null, "quantityFulfilled": null, "quantity": null}), None, None, vec![]),
        ];
        for (form, ordered, fulfilled, warnings) in table {
            let (item, warned) = item_with(form.clone());
            assert_eq!((item.quantity_ordered, item.quantity_fulfilled), (ordered, fulfilled), "{form}");
            assert_eq!(warned, warnings, "{form}");
        }
    }

    #[test]
    fn quantities_are_exact_or_unknown() {
        let of = |form: Value| {
            let (item, warnings) = item_with(json!({"quantityFulfilled": form}));
            (item.quantity_fulfilled, warnings)
        };
        assert_eq!(of(json!(2.0)), (Some(Quantity::whole(2)), vec![]));
        assert_eq!(of(json!(1.25)), (Some(Quantity::decimal(125, 2).unwrap()), vec![Warning::QuantityNotWhole]));
        assert_eq!(of(json!("2")), (Some(Quantity::whole(2)), vec![Warning::NumberAsText]));
        assert_eq!(of(json!("two")), (None, vec![Warning::QuantityUnreadable]));
        assert_eq!(of(json!([2])), (None, vec![Warning::QuantityUnreadable]));
        assert_eq!(of(json!(1e-30)), (None, vec![Warning::QuantityUnreadable]));
    }

    #[test]
    fn a_missing_type_is_inferred_for_products_only() {
        let typeless = |changes: Value| {
            let mut changes = changes;
            changes["type"] = Value::Null;
            item_with(changes).0.item_type
        };
        let plain = json!({"priceAdjustmentDetails": null});
        assert_eq!(typeless(plain), Some(ItemType::Product));
        assert_eq!(typeless(json!({})), None, "it names adjusted lines");
        assert_eq!(typeless(json!({"priceAdjustmentDetails": null, "price": {"amount": -1, "currency": "GBP"}})), None);
        assert_eq!(typeless(json!({"priceAdjustmentDetails": null, "price": null})), None);

        let named = order_with(json!({"items": [
            {"id": "a", "type": "product", "priceAdjustmentDetails": {"relatedPriceAdjustment": "b"}},
            {"id": "b", "price": {"amount": 5, "currency": "GBP"}},
        ]}));
        assert_eq!(named.items[1].item_type, None, "a line names it as its adjustment");
    }

    #[test]
    fn an_id_is_the_same_as_number_and_as_text_at_any_size() {
        for (form, id) in [
            ("9007199254740993", "9007199254740993"),
            ("\"9007199254740993\"", "9007199254740993"),
            ("9223372036854775807", "9223372036854775807"),
            ("18446744073709551616", "18446744073709551616"),
            ("5500017.0", "5500017"),
            ("\"ORD-7f/ä\"", "ORD-7f/ä"),
            ("\"\\u0041\"", "A"),
        ] {
            let order = decode(&raw(format!(r#"{{"id":{form},"version":1}}"#))).unwrap().order;
            assert_eq!(order.id.as_str(), id, "{form}");
        }
    }

    #[test]
    fn an_order_without_a_usable_id_or_version_is_refused() {
        let table = [
            (json!({"version": 1}), Refusal::OrderIdMissing),
            (json!({"id": null, "version": 1}), Refusal::OrderIdMissing),
            (json!({"id": "", "version": 1}), Refusal::OrderIdInvalid),
            (json!({"id": 1.5, "version": 1}), Refusal::OrderIdInvalid),
            (json!({"id": true, "version": 1}), Refusal::OrderIdInvalid),
            (json!({"id": "a\u{0}b", "version": 1}), Refusal::OrderIdInvalid),
            (json!({"id": "x".repeat(257), "version": 1}), Refusal::OrderIdInvalid),
            (json!({"id": 1}), Refusal::VersionMissing),
            (json!({"id": 1, "version": null}), Refusal::VersionMissing),
            (json!({"id": 1, "version": 1.5}), Refusal::VersionInvalid),
            (json!({"id": 1, "version": "one"}), Refusal::VersionInvalid),
            (json!({"id": 1, "version": 9_223_372_036_854_775_808_u64}), Refusal::VersionOutOfRange),
            (json!([1]), Refusal::NotAnObject),
            (Value::Null, Refusal::NotAnObject),
        ];
        for (order, reason) in table {
            assert_eq!(refused(order.to_string()).reason, reason, "{order}");
        }
        assert!(decode(&raw(json!({"id": "x".repeat(256), "version": 1}).to_string())).is_ok());
        assert_eq!(order_with(json!({"version": "3"})).warnings, [Warning::NumberAsText]);
        assert_eq!(order_with(json!({"version": 3.0})).version.0, 3);
    }

    #[test]
    fn amounts_are_whole_64_bit_numbers_or_the_order_is_refused() {
        let total = |amount: Value| json!({"total": {"amount": amount, "currency": "GBP"}});
        for (amount, expected) in
            [(json!(1099.0), 1099), (json!(-5), -5), (json!(i64::MAX), i64::MAX), (json!(i64::MIN), i64::MIN)]
        {
            assert_eq!(order_with(total(amount)).total, gbp(expected));
        }
        assert_eq!(refusal_with(total(json!(10.99))), Refusal::AmountNotWhole);
        assert_eq!(refusal_with(total(json!(9_223_372_036_854_775_808_u64))), Refusal::AmountOutOfRange);
        let in_option = json!([{"selectedOptions": [{"optionPrice": {"amount": 0.5, "currency": "GBP"}}]}]);
        assert_eq!(refusal_with(json!({"items": [{"optionCategories": in_option}]})), Refusal::AmountNotWhole);
        assert_eq!(refusal_with(json!({"items": [{"quantity": 1e19}]})), Refusal::QuantityOutOfRange);
    }

    #[test]
    fn a_refusal_names_the_order_and_shows_nothing_of_it() {
        let refusal = refused(with(json!({"total": {"amount": 0.5, "currency": "GBP"}})).to_string());
        assert_eq!((refusal.order_id.as_ref().unwrap().as_str(), refusal.version), ("5500017", Some(3)));
        assert_eq!(refusal.detail, "`total`: amount_not_whole");
        assert!(!format!("{refusal:?} {refusal}").contains("Secret"));
    }

    #[test]
    fn money_that_cannot_be_read_is_left_out_and_makes_the_sum_not_computable() {
        for total in [
            json!(1635),
            json!("16.35"),
            json!({"amount": 1635}),
            json!({"currency": "GBP"}),
            json!({"amount": 1635, "currency": "£"}),
            json!({"amount": "16.35", "currency": "GBP"}),
        ] {
            let order = order_with(json!({"serviceFee": total}));
            assert_eq!((order.service_fee, &order.warnings[..]), (None, &[Warning::MoneyUnreadable][..]), "{total}");
            assert_eq!(breakdown(&order).verdict.as_str(), "not_computable");
        }
        let order = order_with(json!({"total": {"amount": "1635", "currency": "gbp"}}));
        assert_eq!((order.total, order.warnings), (gbp(1635), vec![Warning::NumberAsText]));
    }

    #[test]
    fn a_tender_that_cannot_be_read_leaves_the_verdict_but_not_the_position() {
        for payment in [json!({"type": "cash"}), json!({"payment": {"amount": 5}}), json!(null), json!([])] {
            let sheet = breakdown(&order_with(json!({"customerPayments": [payment]})));
            assert_eq!(sheet.verdict.as_str(), "balanced", "{payment}");
            assert_eq!((sheet.vendor_due, sheet.scoffable_owes_vendor), (Some(1635), None), "{payment}");
        }
    }

    #[test]
    fn unknown_values_are_kept_as_text_at_every_level() {
        let mut value = with(json!({"status": "brewing", "type": "dine-in", "deliveryProvider": "drone"}));
        value["items"][0]["type"] = json!("deposit");
        value["customerPayments"][0]["type"] = json!("cheque");
        value["customerPayments"][0]["collectedBy"] = json!("courier");

        let order = decoded(&value).order;
        assert_eq!(order.status.as_str(), "brewing");
        assert_eq!(order.order_type.unwrap().as_str(), "dine-in");
        assert_eq!(order.delivery_provider.unwrap().as_str(), "drone");
        assert_eq!(order.items[0].item_type.as_ref().unwrap().as_str(), "deposit");
        assert_eq!(order.payments[0].payment_type.as_ref().unwrap().as_str(), "cheque");
        assert_eq!(order.payments[0].collected_by.as_ref().unwrap().as_str(), "courier");
        assert_eq!(
            order.warnings,
            [
                Warning::StatusUnknown,
                Warning::OrderTypeUnknown,
                Warning::ItemTypeUnknown,
                Warning::PaymentTypeUnknown,
                Warning::CollectorUnknown,
                Warning::DeliveryProviderUnknown,
            ]
        );
    }

    #[test]
    fn fields_of_an_unexpected_kind_cost_only_themselves() {
        let order = order_with(json!({
            "vendorId": {"id": 1}, "status": ["accepted"], "latestVersion": "yes",
            "items": [null, 5, {"name": ["x"], "optionCategories": "none", "substitutionDetails": 7}],
            "customerPayments": {"type": "online"},
        }));
        assert_eq!((order.vendor_id, order.status), (None, Status::unknown()));
        assert_eq!((order.items.len(), order.payments.len()), (1, 0));
        assert_eq!(
            order.warnings,
            [Warning::StatusMissing, Warning::ItemUnreadable, Warning::PaymentUnreadable, Warning::FieldUnreadable]
        );
    }

    #[test]
    fn a_number_where_a_text_id_should_be_is_its_text() {
        let order = order_with(json!({"vendorId": 77, "items": [{"id": 9_007_199_254_740_993_i64}]}));
        assert_eq!(order.vendor_id.unwrap().as_str(), "77");
        assert_eq!(order.items[0].id.as_ref().unwrap().as_str(), "9007199254740993");
    }

    #[test]
    fn of_a_doubled_key_the_last_one_counts() {
        let order = decode(&raw(r#"{"id":1,"id":2,"version":1,"status":"placed","status":"accepted"}"#)).unwrap().order;
        assert_eq!((order.id.as_str(), order.status), ("2", Status::Accepted));
    }

    #[test]
    fn what_postgres_cannot_hold_is_said_and_kept_out_of_the_order() {
        for escape in [r"\u0000", r"\ud83c", r"\udf5c"] {
            let read = decode(&raw(format!(r#"{{"id":1,"version":1,"vendorId":"a{escape}b"}}"#))).unwrap();
            assert!(!read.castable_to_jsonb);
            assert_eq!(read.order.vendor_id.unwrap().as_str(), "a\u{fffd}b");
            assert!(read.payload.as_str().contains(escape));
        }
    }

    #[test]
    fn broken_bytes_are_refused_with_the_id_that_can_still_be_found() {
        let table: [(&[u8], Refusal); 5] = [
            (b"{\"id\":7,\"name\":\"\xff\",\"version\":2}", Refusal::NotUtf8),
            (b"{\"id\":7,\"name\":\"\0\",\"version\":2}", Refusal::RawNul),
            (b"{\"id\":7,\"name\":\"\n\",\"version\":2}", Refusal::NotJson),
            (b"{\"id\":7,\"version\":2,\"name\":nope}", Refusal::NotJson),
            (b"{\"id\":7,\"version\":2,}", Refusal::NotJson),
        ];
        for (bytes, reason) in table {
            let refusal = refused(bytes);
            assert_eq!(refusal.reason, reason, "{}", String::from_utf8_lossy(bytes));
            assert_eq!((refusal.order_id.as_ref().map(OrderId::as_str), refusal.version), (Some("7"), Some(2)));
        }
        let deep = format!(r#"{{"id":7,"version":2,"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        assert_eq!(refused(&deep).reason, Refusal::TooDeep);
        assert_eq!(refused(b"").order_id, None);
    }

    #[test]
    fn a_stored_payload_gives_the_same_order_again() {
        let read = decoded(&sample());
        let again = crate::source::decode_stored(crate::source::SourceKind::Scoffable, read.payload.as_str());
        assert_eq!(again.unwrap(), read.order);
    }

    #[test]
    fn debug_output_shows_no_personal_data() {
        let read = decoded(&sample());
        let shown = format!("{read:?} {:?}", raw(sample().to_string()));
        assert!(!shown.contains("Secret"));
    }

    #[test]
    fn the_normalised_order_has_no_address() {
        assert!(!serde_json::to_string(&decoded(&sample()).order).unwrap().contains("Secret"));
    }
}

mod pages {
    use super::*;

    fn page(text: impl AsRef<[u8]>) -> Result<Page, PageError> {
        parse_page(&Bytes::copy_from_slice(text.as_ref()))
    }

    #[test]
    fn orders_come_back_as_the_bytes_received() {
        let page =
            page("{ \"data\" : [ {\"id\": 1 , \"x\":[\"]}\\\"\"]} ,{ }\n] ,\"hasMore\":true, \"nextPageId\":\"c+/=\"}")
                .unwrap();
        let orders: Vec<_> = page.orders.iter().map(|order| std::str::from_utf8(order.as_bytes()).unwrap()).collect();
        assert_eq!(orders, ["{\"id\": 1 , \"x\":[\"]}\\\"\"]}", "{ }"]);
        assert_eq!((page.has_more, page.next_page_id.as_deref()), (true, Some("c+/=")));
    }

    #[test]
    fn the_cursor_is_unescaped_and_may_be_absent() {
        let cursor = |text: &str| page(text).unwrap().next_page_id;
        assert_eq!(cursor(r#"{"data":[],"hasMore":false,"nextPageId":"a\/b\u0041\"" }"#).unwrap(), "a/bA\"");
        assert_eq!(cursor(r#"{"data":[],"hasMore":false}"#), None);
        assert_eq!(cursor(r#"{"data":[],"hasMore":false,"nextPageId":null}"#), None);
        assert_eq!(cursor(r#"{"data":[],"hasMore":false,"nextPageId":""}"#), None);
    }

    #[test]
    fn unknown_parts_of_the_envelope_are_ignored_in_any_order() {
        let page = page(r#" {"nextPageId":"c","x":{"data":[1]},"hasMore":false,"y":[{}],"data":[{"id":1}]} "#).unwrap();
        assert_eq!((page.orders.len(), page.has_more), (1, false));
    }

    #[test]
    fn one_malformed_order_in_a_page_of_100_costs_only_itself() {
        let bad: [&[u8]; 6] = [
            b"{\"id\":\"\0\"}",
            b"{\"name\":\"\xff\xfe\"}",
            b"{,}",
            b"null",
            b"\"text\"",
            b"{\"id\":1.5,\"version\":1}",
        ];
        for bad in bad {
            let mut body = b"{\"data\":[".to_vec();
            for n in 0..100 {
                if n > 0 {
                    body.push(b',');
                }
                if n == 50 {
                    body.extend_from_slice(bad);
                } else {
                    body.extend_from_slice(format!("{{\"id\":{n},\"version\":1}}").as_bytes());
                }
            }
            body.extend_from_slice(b"],\"hasMore\":true,\"nextPageId\":\"c\"}");

            let page = page(&body).unwrap();
            let read: Vec<_> = page.orders.iter().map(decode).collect();
            assert_eq!((read.len(), read.iter().filter(|order| order.is_ok()).count()), (100, 99));
            assert!(read[50].is_err());
            assert_eq!(page.orders[50].as_bytes(), bad);
            assert_eq!(page.next_page_id.as_deref(), Some("c"));
        }
    }

    #[test]
    fn a_page_that_is_not_whole_is_refused_wherever_it_was_cut() {
        let whole = format!(r#"{{"data":[{},{}],"hasMore":false,"nextPageId":"c"}}"#, sample(), sample());
        assert!(page(&whole).is_ok());
        for end in 0..whole.len() {
            assert!(page(&whole[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn what_is_not_a_page_is_refused() {
        let table = [
            ("", PageError::Truncated(0)),
            ("<html>", PageError::NotJson(0)),
            ("[]", PageError::NotJson(0)),
            ("{}", PageError::Missing("data")),
            (r#"{"hasMore":false}"#, PageError::Missing("data")),
            (r#"{"data":null,"hasMore":false}"#, PageError::Missing("data")),
            (r#"{"data":[]}"#, PageError::Missing("hasMore")),
            (r#"{"data":[],"hasMore":null}"#, PageError::Missing("hasMore")),
            (r#"{"data":{},"hasMore":false}"#, PageError::WrongType("data")),
            (r#"{"data":[],"hasMore":"no"}"#, PageError::WrongType("hasMore")),
            (r#"{"data":[],"hasMore":false,"nextPageId":7}"#, PageError::WrongType("nextPageId")),
            (r#"{"data":[],"hasMore":false,"data":[]}"#, PageError::Twice("data")),
            (r#"{"data":[],"hasMore":false} x"#, PageError::NotJson(28)),
            (r#"{"data":[{},],"hasMore":false}"#, PageError::NotJson(12)),
            (r#"{"data":[{} {}],"hasMore":false}"#, PageError::NotJson(12)),
            (r#"{"data":[],"hasMore":false,"x":{]}"#, PageError::NotJson(31)),
            (r#"{"data":[],"hasMore":maybe}"#, PageError::NotJson(21)),
        ];
        for (text, error) in table {
            assert_eq!(page(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_number_of_orders_is_bounded() {
        let of = |n: usize| page(format!(r#"{{"data":[{}],"hasMore":false}}"#, vec!["{}"; n].join(",")));
        assert_eq!(of(10_000).unwrap().orders.len(), 10_000);
        assert_eq!(of(10_001), Err(PageError::TooManyOrders));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_page_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = page(&bytes);
            let _ = decode(&raw(&bytes));
        }

        #[test]
        fn damaged_pages_never_panic(at in any::<prop::sample::Index>(), byte: u8) {
            let mut body = format!(r#"{{"data":[{}],"hasMore":false,"nextPageId":"c"}}"#, sample()).into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            if let Ok(page) = page(&body) {
                for order in &page.orders {
                    let _ = decode(order);
                }
            }
        }
    }
}

mod content_hash {
    use super::*;

    fn hash(text: &str) -> ContentHash {
        decode(&raw(text)).unwrap().content_hash
    }

    /// Members in an order drawn from `seed`, with some whitespace.
    fn shuffled(value: &Value, seed: &mut u64, out: &mut String) {
        let mut draw = |below: usize| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 33) as usize % below
        };
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                for n in (1..members.len()).rev() {
                    members.swap(n, draw(n + 1));
                }
                out.push_str(["{", "{ ", "{\n\t"][draw(3)]);
                for (n, (key, value)) in members.into_iter().enumerate() {
                    out.push_str(if n == 0 { "" } else { " ," });
                    write!(out, "{}: ", Value::from(key.as_str())).unwrap();
                    shuffled(value, seed, out);
                }
                out.push('}');
            }
            Value::Array(elements) => {
                out.push('[');
                for (n, element) in elements.iter().enumerate() {
                    out.push_str(if n == 0 { " " } else { " , " });
                    shuffled(element, seed, out);
                }
                out.push(']');
            }
            scalar => write!(out, "{scalar}").unwrap(),
        }
    }

    fn scalars(value: &Value, pointer: &str, all: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(key, v)| scalars(v, &format!("{pointer}/{key}"), all));
            }
            Value::Array(elements) => {
                elements.iter().enumerate().for_each(|(n, v)| scalars(v, &format!("{pointer}/{n}"), all));
            }
            _ => all.push(pointer.to_owned()),
        }
    }

    proptest! {
        #[test]
        fn property_order_and_whitespace_do_not_matter(seed: u64) {
            let mut text = String::new();
            shuffled(&sample(), &mut { seed }, &mut text);
            prop_assert_eq!(hash(&text), decoded(&sample()).content_hash);
        }

        #[test]
        fn any_other_scalar_matters(which in any::<prop::sample::Index>(), change in 0..4_usize) {
            let mut all = Vec::new();
            scalars(&sample(), "", &mut all);
            all.retain(|pointer| !matches!(pointer.as_str(), "/latestVersion" | "/id" | "/version"));
            let mut order = sample();
            let scalar = order.pointer_mut(&all[which.index(all.len())]).unwrap();
            *scalar = match change {
                0 => Value::Null,
                1 => json!(format!("{scalar}x")),
                2 => json!([scalar.take()]),
                _ => json!({"": scalar.take()}),
            };
            prop_assert_ne!(decoded(&order).content_hash, decoded(&sample()).content_hash);
        }
    }

    #[test]
    fn two_versions_that_differ_in_nothing_else_have_one_hash() {
        assert_eq!(decoded(&with(json!({"version": 4}))).content_hash, decoded(&sample()).content_hash);
    }

    #[test]
    fn the_flag_that_belongs_to_the_response_does_not_matter() {
        let expected = decoded(&sample()).content_hash;
        assert_eq!(decoded(&with(json!({"latestVersion": false}))).content_hash, expected);
        let mut absent = sample();
        absent.as_object_mut().unwrap().remove("latestVersion");
        assert_eq!(decoded(&absent).content_hash, expected);

        let inner = |flag: bool| with(json!({"x": {"latestVersion": flag}}));
        assert_ne!(decoded(&inner(true)).content_hash, decoded(&inner(false)).content_hash);
    }

    #[test]
    fn the_id_and_the_order_of_elements_matter() {
        let expected = decoded(&sample()).content_hash;
        assert_ne!(decoded(&with(json!({"id": 5_500_018}))).content_hash, expected);
        let of = |list: Value| decoded(&with(json!({"x": list}))).content_hash;
        assert_ne!(of(json!([1, 2])), of(json!([2, 1])));
        assert_ne!(of(json!([[1], 2])), of(json!([[1, 2]])));
        assert_ne!(of(json!(["1"])), of(json!([1])));
        assert_ne!(of(json!({"a": "b"})), of(json!(["a", "b"])));
        assert_ne!(of(json!({"a": null})), of(json!({})));
    }

    #[test]
    fn long_texts_are_told_apart_on_both_sides_of_the_short_form() {
        let of = |n: usize| decoded(&with(json!({"x": "x".repeat(n)}))).content_hash;
        let hashes: Vec<_> = [253, 254, 255, 256, 511].map(of).into_iter().collect();
        assert!(hashes.iter().enumerate().all(|(n, hash)| !hashes[..n].contains(hash)));
    }

    #[test]
    fn escaping_matters_only_where_it_cannot_be_undone() {
        let of = |text: &str| hash(&format!(r#"{{"id":1,"version":1,"x":"{text}"}}"#));
        assert_eq!(of(r"\u00e9\/"), of("é/"));
        assert_ne!(of(r"\u0000"), of(r"\ud83c"));
        assert_ne!(of(r"\u0000"), of("\u{fffd}"));
    }

    #[test]
    fn the_hash_of_a_stored_version_never_changes() {
        insta::assert_snapshot!(hex::encode(decoded(&sample()).content_hash.0));
    }
}

/// What one order costs, in a release build: `cargo test --release --lib wire::tests::timing -- --ignored --nocapture`
///
/// Observed on two cores with SHA extensions, per order of 2.7 KB: envelope 1.5 µs, decode and hash 12.6 µs, decode stored
/// 7.0 µs, breakdown 1.5 µs.
#[test]
#[ignore = "timing, run by hand"]
fn timing() {
    let mut order = sample();
    let item = order["items"][0].clone();
    while order.to_string().len() < 2_600 {
        order["items"].as_array_mut().unwrap().push(item.clone());
    }
    let text = order.to_string();
    let elements = vec![text.as_str(); 100].join(",");
    let body = Bytes::from(format!(r#"{{"data":[{elements}],"hasMore":true,"nextPageId":"cursor"}}"#));
    let orders = parse_page(&body).unwrap().orders;
    let read: Vec<_> = orders.iter().map(|order| decode(order).unwrap().order).collect();

    let measure = |name: &str, mut work: Box<dyn FnMut() + '_>| {
        let best = (0..200)
            .map(|_| {
                let start = std::time::Instant::now();
                work();
                start.elapsed()
            })
            .min()
            .unwrap();
        println!("{name}: {:.2} µs per order of {} bytes", best.as_secs_f64() * 1e4, text.len());
    };
    measure("envelope", Box::new(|| drop(std::hint::black_box(parse_page(&body).unwrap()))));
    measure("decode and hash", Box::new(|| orders.iter().for_each(|o| drop(std::hint::black_box(decode(o).unwrap())))));
    measure(
        "decode stored",
        Box::new(|| orders.iter().for_each(|_| drop(std::hint::black_box(decode_text(&text).unwrap())))),
    );
    measure("breakdown", Box::new(|| read.iter().for_each(|o| drop(std::hint::black_box(breakdown(o))))));
}
