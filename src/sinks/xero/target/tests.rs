use serde_json::{Value, json};

use super::*;
use crate::{
    domain::money::breakdown,
    sinks::xero::{
        config::{TrackBy, Tracking},
        testing::{example, facts, gbp, item, money, order, paid, settings, settings_with},
    },
    source::{self, SourceKind},
};

fn target_by(settings: &XeroSettings, order: &Value) -> Result<Target, Lack> {
    let payload = order.to_string();
    let order = source::decode_stored(SourceKind::Scoffable, &payload).expect("it can be read");
    let money = breakdown(&order);
    target(Sale { order: &order, money: &money, payload: &payload, settings, facts: &facts() })
}

fn target_for(order: &Value) -> Target {
    target_by(&settings(), order).unwrap_or_else(|lack| panic!("{lack:?}"))
}

fn lack(order: &Value) -> &'static str {
    target_by(&settings(), order).unwrap_err().reason
}

/// Kind, description, quantity and amount of each line.
fn lines_of(target: &Target) -> Vec<(Kind, &str, i64, i64)> {
    target.lines.iter().map(|line| (line.kind, line.description.as_str(), line.quantity, line.gross_minor)).collect()
}

fn payments_of(target: &Target) -> Vec<(Tender, i64)> {
    target.payments.iter().map(|payment| (payment.tender, payment.amount_minor)).collect()
}

fn paid_by(order: &mut Value, payments: &[Value]) {
    order["customerPayments"] = payments.into();
}

#[test]
fn what_was_supplied_and_the_fees_are_lines_and_each_tender_is_a_payment() {
    let target = target_for(&example());

    assert_eq!(
        lines_of(&target),
        [
            (Kind::Sales, "Lamb Bhuna", 2, 2190),
            (Kind::Sales, "Plain Naan (substitute for Garlic Naan)", 1, 290),
            (Kind::Adjustment, "Adjustment: late delivery", 1, -200),
            (Kind::VendorVoucher, "Voucher SAVE3 (vendor)", 1, -300),
            (Kind::ServiceFee, "Service fee", 1, 99),
            (Kind::DeliveryFee, "Delivery fee", 1, 250),
        ]
    );
    assert_eq!(payments_of(&target), [(Tender::OnlineScoffable, 1829), (Tender::VoucherScoffable, 500)]);
    assert_eq!((target.gross_minor(), target.declared_minor, target.currency), (2329, 0, gbp()));
    assert_eq!(target.remarks, []);
}

#[test]
fn an_order_belongs_to_the_day_it_was_placed_on_where_the_organisation_is() {
    let mut late = example();
    late["placedAt"] = json!("2025-07-09T23:30:00Z");
    let mut untold = example();
    untold["placedAt"] = Value::Null;

    assert_eq!(target_for(&late).date.to_string(), "2025-07-10");
    assert_eq!(lack(&untold), "date_unknown");
}

#[test]
fn accounts_and_taxes_follow_the_kind_of_a_line() {
    let of = [
        ("accounts.adjustment", "206"),
        ("tax_types.delivery_fee", "ZERORATEDOUTPUT"),
        ("accounts.delivery_fee_third_party", "203"),
    ];
    let mut by_uber = example();
    by_uber["deliveryProvider"] = json!("uber");

    let target = target_by(&settings_with(&of), &by_uber).unwrap();

    let booked: Vec<(&str, &str)> =
        target.lines.iter().map(|line| (line.account.as_str(), line.tax_type.as_str())).collect();
    assert_eq!(
        booked,
        [
            ("200", "OUTPUT2"),
            ("200", "OUTPUT2"),
            ("206", "OUTPUT2"),
            ("205", "OUTPUT2"),
            ("201", "OUTPUT2"),
            ("203", "ZERORATEDOUTPUT"),
        ]
    );
    assert_eq!(target.lines[5].kind, Kind::DeliveryFeeThirdParty);
}

#[test]
fn an_adjustment_has_the_tax_of_what_it_adjusts_where_that_is_one() {
    let of = [("tax_types.sales", "ZERORATEDOUTPUT"), ("tax_types.adjustment", "OUTPUT2")];
    let adjusting = |about: Value| {
        let mut adjustment = item("adjustment", "Soggy", -200, 0, 1);
        adjustment["priceAdjustmentDetails"] = json!({ "itemsAdjusted": about });
        let items = [item("product", "Naan", 290, 1, 1), item("offer", "Deal", -10, 1, 1), adjustment];
        let target = target_by(&settings_with(&of), &order(1, 80, &items, &[])).unwrap();
        target.lines.iter().find(|line| line.kind == Kind::Adjustment).unwrap().tax_type.clone()
    };

    assert_eq!(adjusting(json!(["Naan"])), "ZERORATEDOUTPUT");
    assert_eq!(adjusting(json!(["Naan", "Deal"])), "OUTPUT2", "an offer has the default");
    assert_eq!(adjusting(json!([])), "OUTPUT2");
}

#[test]
fn pennies_become_a_line_of_rounding_without_tax() {
    for (total, rounding) in [(1002, 2), (998, -2)] {
        let target = target_for(&order(1, total, &[item("product", "Naan", 500, 2, 2)], &[]));

        let line = target.lines.last().unwrap();
        assert_eq!((line.kind, line.gross_minor, line.tax_type.as_str()), (Kind::Rounding, rounding, "NONE"));
        assert_eq!((target.gross_minor(), target.declared_minor), (total, 0));
    }
}

#[test]
fn what_nothing_explains_goes_on_a_suspense_account_or_is_parked() {
    for total in [1003, 700] {
        let order = order(1, total, &[item("product", "Naan", 500, 2, 2)], &[]);

        let target = target_for(&order);

        let line = target.lines.last().unwrap();
        assert_eq!((line.kind, line.account.as_str()), (Kind::Difference, "499"));
        assert_eq!(target.gross_minor(), total);
        assert_eq!(target.remarks, [Remark::Unexplained(total - 1000)]);
        let held = target_by(&settings_with(&[("unexplained", "hold")]), &order);
        assert_eq!(held.unwrap_err().reason, "unexplained_difference");
    }
}

/// A dearer substitute that the customer does not pay for.
fn with_goodwill() -> Value {
    let mut brie = item("product", "Brie", 350, 1, 0);
    brie["substitutionDetails"] = json!({"substitutedBy": ["Camembert"]});
    let mut camembert = item("product", "Camembert", 480, 0, 1);
    camembert["substitutionDetails"] = json!({"substitutedFor": ["Brie"]});
    order(1, 350, &[brie, camembert], &[paid("online", "scoffable", 350)])
}

#[test]
fn goodwill_keeps_the_invoice_at_what_was_supplied() {
    let target = target_for(&with_goodwill());

    assert_eq!((target.gross_minor(), target.declared_minor), (480, 130));
    assert_eq!(target.remarks, [Remark::Goodwill(130)]);
    assert_eq!(payments_of(&target), [(Tender::OnlineScoffable, 350)]);
}

#[test]
fn goodwill_as_a_receivable_is_paid_from_its_account() {
    let target = target_by(&settings_with(&[("goodwill", "receivable")]), &with_goodwill()).unwrap();

    assert_eq!(payments_of(&target), [(Tender::OnlineScoffable, 350), (Tender::Goodwill, 130)]);
}

#[test]
fn payments_beyond_the_total_are_cut_back_the_platforms_first() {
    let mut order = order(1, 1000, &[item("product", "Naan", 500, 2, 2)], &[]);
    let all = [
        paid("cash", "vendor", 400),
        paid("online", "vendor", 300),
        paid("voucher", "scoffable", 200),
        paid("online", "scoffable", 250),
        paid("online", "scoffable", 150),
    ];

    paid_by(&mut order, &all);
    let target = target_for(&order);
    assert_eq!(
        payments_of(&target),
        [
            (Tender::CashVendor, 400),
            (Tender::OnlineVendor, 300),
            (Tender::VoucherScoffable, 200),
            (Tender::OnlineScoffable, 100),
        ]
    );
    assert_eq!(target.remarks, [Remark::PaymentsCapped(300)]);

    paid_by(&mut order, &[paid("online", "vendor", 900), paid("voucher", "scoffable", 500)]);
    assert_eq!(payments_of(&target_for(&order)), [(Tender::OnlineVendor, 900), (Tender::VoucherScoffable, 100)]);
}

#[test]
fn less_may_be_paid_than_it_comes_to() {
    let target = target_for(&order(1, 1000, &[item("product", "Naan", 500, 2, 2)], &[paid("cash", "vendor", 400)]));

    assert_eq!(payments_of(&target), [(Tender::CashVendor, 400)]);
    assert_eq!(target.remarks, []);
}

#[test]
fn an_unknown_pair_goes_to_its_holder_and_an_unknown_holder_nowhere() {
    let mut order = order(1, 500, &[item("product", "Naan", 500, 1, 1)], &[paid("crypto", "vendor", 500)]);
    let target = target_for(&order);
    assert_eq!(payments_of(&target), [(Tender::OtherVendor, 500)]);
    assert_eq!(target.remarks, [Remark::UnknownTender("crypto_vendor".to_owned())]);

    paid_by(&mut order, &[paid("online", "courier", 500)]);
    assert_eq!(lack(&order), "unknown_collector");
    paid_by(&mut order, &[json!({"type": "online", "collectedBy": "scoffable", "payment": "much"})]);
    assert_eq!(lack(&order), "payment_unreadable");
}

#[test]
fn an_order_of_less_than_nothing_keeps_its_sign() {
    let target =
        target_for(&order(1, -200, &[item("adjustment", "Refund", -200, 0, 1)], &[paid("online", "scoffable", -200)]));

    assert_eq!(target.gross_minor(), -200);
    assert_eq!(payments_of(&target), [(Tender::OnlineScoffable, -200)]);
}

#[test]
fn what_cannot_be_counted_is_told_and_never_guessed() {
    let naan = || item("product", "Naan", 290, 1, 1);
    let mut unpriced = naan();
    unpriced["price"] = Value::Null;
    let mut uncounted = naan();
    uncounted["quantityFulfilled"] = Value::Null;
    let mut in_euros = order(1, 290, &[naan()], &[]);
    in_euros["serviceFee"] = json!({"amount": 10, "currency": "EUR"});
    let mut without_total = order(1, 290, &[naan()], &[]);
    without_total["total"] = Value::Null;
    let dinars = json!({"amount": 290, "currency": "KWD"});
    let mut in_dinars = order(1, 290, &[naan()], &[]);
    in_dinars["items"][0]["price"] = dinars.clone();
    in_dinars["total"] = dinars;

    assert_eq!(lack(&order(1, 290, &[unpriced], &[])), "price_missing");
    assert_eq!(lack(&order(1, 290, &[uncounted], &[])), "quantity_missing");
    assert_eq!(lack(&in_euros), "mixed_currencies");
    assert_eq!(lack(&without_total), "total_missing");
    assert_eq!(lack(&in_dinars), "currency_too_fine");
}

#[test]
fn the_platforms_line_totals_count_where_only_they_add_up() {
    let mut naan = item("product", "Naan", 333, 3, 3);
    naan["total"] = money(1000);

    let target = target_for(&order(1, 1000, &[naan], &[]));

    assert_eq!(lines_of(&target), [(Kind::Sales, "Naan", 3, 1000)]);
}

#[test]
fn options_and_parts_of_units_stand_in_the_description() {
    let mut plate = item("product", "Kofta plate", 1200, 1, 1);
    plate["optionCategories"] = json!([
        {"name": "Sauce", "selectedOptions": [{"name": "Garlic"}]},
        {"name": "Extras", "selectedOptions": [{"name": "Halloumi", "optionPrice": money(125)}]},
    ]);
    let mut cheese = item("product", "Brie", 1000, 2, 1);
    cheese["quantityFulfilled"] = json!(1.5);

    let target = target_for(&order(1, 2825, &[plate, cheese], &[]));

    assert_eq!(
        lines_of(&target),
        [(Kind::Sales, "Kofta plate (Garlic, Halloumi)", 1, 1325), (Kind::Sales, "Brie (quantity 1.5)", 1, 1500)]
    );
}

#[test]
fn lines_name_items_as_they_are_mapped() {
    let mut order =
        order(1, 580, &[item("product", "Plain Naan", 290, 1, 1), item("product", "Peshwari  naan", 290, 1, 1)], &[]);
    order["items"][1]["ref"] = json!("SKU-7");
    let codes = |settings: &XeroSettings, known: &[&str]| -> (Vec<Option<String>>, Vec<String>) {
        let payload = order.to_string();
        let order = source::decode_stored(SourceKind::Scoffable, &payload).unwrap();
        let facts = Facts { items: known.iter().map(|code| (*code).to_owned()).collect(), ..facts() };
        let sale = Sale { order: &order, money: &breakdown(&order), payload: &payload, settings, facts: &facts };
        let target = target(sale).unwrap();
        let named = target.lines.into_iter().map(|line| line.item_code).collect();
        (named, target.missing_items.into_iter().map(|item| item.code).collect())
    };
    let some = |code: &str| Some(code.to_owned());

    assert_eq!(codes(&settings(), &["plain naan"]).0, [None, None], "lines name no items");
    let matching = [("items", "match"), ("item_fields.reference", "/ref")];
    assert_eq!(codes(&settings_with(&matching), &["plain naan"]).0, [some("plain naan"), None]);
    let creating = [("items", "create"), ("item_fields.reference", "/ref")];
    assert_eq!(
        codes(&settings_with(&creating), &["plain naan"]),
        (vec![some("plain naan"), some("SKU-7")], vec!["SKU-7".to_owned()])
    );
}

#[test]
fn a_long_key_becomes_a_code_that_can_be_told_from_others() {
    let code = code_of("grilled aubergine with pomegranate and mint");

    assert_eq!(code.len(), 29);
    assert!(code.starts_with("grilled-aubergine-wi-"), "{code}");
    assert_ne!(code, code_of("grilled aubergine with pomegranate and mint sauce"));
    assert_eq!(code_of("plain naan"), "plain naan");
}

#[test]
fn tracking_follows_what_decides() {
    let soho = [("vendor-a".to_owned(), "Soho".to_owned())];
    let outlet = Tracking { by: TrackBy::Vendor, options: soho.into(), otherwise: None };
    let channel = Tracking { by: TrackBy::Nothing, options: [].into(), otherwise: Some("Scoffable".to_owned()) };
    let tracking = [("Outlet".to_owned(), outlet), ("Channel".to_owned(), channel)];

    let target = target_by(&XeroSettings { tracking: tracking.into(), ..settings() }, &example()).unwrap();

    let named: Vec<(&str, &str)> = target.tracking.iter().map(|one| (one.name.as_str(), one.option.as_str())).collect();
    assert_eq!(named, [("Channel", "Scoffable"), ("Outlet", "Soho")]);
}
