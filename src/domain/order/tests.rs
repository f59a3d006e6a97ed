use super::{sample::*, *};

#[test]
fn the_normalised_form_is_stable() {
    let at = |text: &str| Some(text.parse().unwrap());
    let mut order = order(2350, [goods("i-1", 1150, 1).with_surcharge(125).adjusted_by("i-4").with_total(1275)])
        .with_fees(250, 70)
        .with_payments([paid(PaymentType::Voucher, Collector::Scoffable, 400)]);
    order.order_type = Some(OrderType::Delivery);
    order.vendor_id = Some(VendorId::new("vendor-a"));
    order.placed_at = at("2026-03-01T12:05:00Z");
    order.accepted_at = at("2026-03-01T12:06:10.250Z");
    order.delivery_provider = Some(DeliveryProvider::from_text("drone"));
    order
        .items
        .push(Item { quantity_ordered: Some(Quantity::decimal(125, 2).unwrap()), ..replaced("i-2", 90, 2, &["i-3"]) });
    order.items.push(substitute("i-3", 100, 2, &["i-2"]));
    order.items.push(adjustment("i-4", -20, &["i-1"]));
    order.items.push(Item::default());
    order.warnings = vec![Warning::DeliveryProviderUnknown, Warning::QuantityNotWhole];

    insta::assert_json_snapshot!(order);
}

#[test]
fn a_warning_is_serialised_as_its_code() {
    for warning in [Warning::StatusMissing, Warning::TimestampInSeconds, Warning::FieldUnreadable] {
        assert_eq!(serde_json::to_value(warning).unwrap(), warning.as_str());
    }
}

#[test]
fn a_text_we_do_not_know_is_kept() {
    let status = Status::from_text("brewing");
    assert_eq!(status.as_str(), "brewing");
    assert!(!status.is_known());
    assert_eq!(serde_json::from_str::<Status>("\"brewing\"").unwrap(), status);
    assert_eq!(serde_json::from_str::<Status>("\"accepted\"").unwrap(), Status::Accepted);
}

#[test]
fn equal_quantities_are_equal_values() {
    assert_eq!(Quantity::decimal(1500, 3).unwrap(), Quantity::decimal(15, 1).unwrap());
    assert_eq!(Quantity::decimal(2000, 3).unwrap(), Quantity::whole(2));
    assert_eq!(Quantity::decimal(0, 30).unwrap(), Quantity::whole(0));
}

#[test]
fn a_fraction_is_written_exactly() {
    for (coefficient, scale, text) in [(-25, 2, "-0.25"), (15, 1, "1.5"), (1, 18, "0.000000000000000001")] {
        assert_eq!(Quantity::decimal(coefficient, scale).unwrap().to_string(), text);
    }
    assert_eq!(Quantity::decimal(1, 19), Err(QuantityTooLong));
}

#[test]
fn surcharges_of_one_unit_are_part_of_its_price() {
    let item = goods("i-1", 1200, 3).with_surcharge(125).with_surcharge(125);
    assert_eq!(item.unit_price(), Some(Ok(pounds(1450))));
    assert_eq!(Item::default().unit_price(), None);
}
