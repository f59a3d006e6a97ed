use serde_json::json;

use super::*;
use crate::{
    domain::{
        ids::{OrderKey, SinkName, SourceName},
        money::breakdown,
    },
    sinks::unleashed::testing::{example, facts, item, known, money, order, settings, settings_with},
    source::{self, SourceKind},
};

fn target_at(settings: &UnleashedSettings, facts: &Facts, order: &Value) -> Result<Target, Stop> {
    let payload = order.to_string();
    let order = source::decode_stored(SourceKind::Scoffable, &payload).expect("it can be read");
    let key = DeliveryKey {
        sink: SinkName::parse("stock").unwrap(),
        order: OrderKey { source: SourceName::parse("main").unwrap(), order_id: order.id.clone() },
    };
    let (money, held) = (breakdown(&order), Held::default());
    let version = order.version;
    target(Sale { key: &key, version, order: &order, money: &money, payload: &payload, settings, facts, held: &held })
}

fn target_by(keys: &[(&str, &str)], order: &Value) -> Target {
    target_at(&settings_with(keys), &facts(), order).unwrap_or_else(|stop| panic!("{stop:?}"))
}

/// Code, units and amount of each line.
fn lines_of(target: &Target) -> Vec<(&str, i64, i64)> {
    target.lines.iter().map(|line| (line.code.as_str(), line.units, line.gross_minor)).collect()
}

#[test]
fn discounts_are_spread_over_the_goods_and_named_in_the_comment() {
    let target = target_by(&[], &example());

    let lines = [
        ("SCF-LAMB-BHUNA", 2, 1748),
        ("SCF-PLAIN-NAAN", 1, 232),
        ("SCF-SERVICE-FEE", 0, 99),
        ("SCF-DELIVERY-FEE", 0, 250),
    ];
    assert_eq!(lines_of(&target), lines);
    assert_eq!(
        target.comments,
        "Scoffable 812345 v3; voucher -3.00 and adjustment -2.00 spread over goods; paid online/scoffable 18.29; \
         voucher/scoffable 5.00"
    );
    assert_eq!(target.lines[1].comments, "substitute for Garlic Naan");
    assert_eq!((target.gross_minor(), target.declared_minor), (2329, 0));
    assert_eq!((target.date.to_string().as_str(), target.missing), ("2025-10-09", Vec::new()));
}

#[test]
fn discounts_may_have_lines_of_their_own() {
    let target = target_by(&[("discounts", "lines")], &example());

    let last = lines_of(&target).split_off(4);
    assert_eq!(last, [("SCF-ADJUSTMENT", 0, -300), ("SCF-ADJUSTMENT", 0, -200)]);
    assert_eq!(target.gross_minor(), 2329);
}

#[test]
fn more_off_than_the_goods_come_to_is_for_a_person() {
    let items = [item("product", "Lamb Bhuna", 100, 1, 1), item("voucher", "SAVE3", -300, 1, 1)];
    let mut order = order(1, 50, &items);
    order["serviceFee"] = money(250);

    let stop = target_at(&settings(), &facts(), &order).unwrap_err();

    assert!(matches!(&stop, Stop::Lack(lack) if lack.reason == "discounts_exceed_goods"), "{stop:?}");
    assert_eq!(target_by(&[("discounts", "lines")], &order).gross_minor(), 50);
}

#[test]
fn an_adjustment_upwards_is_a_line() {
    let items = [item("product", "Lamb Bhuna", 1095, 1, 1), item("adjustment", "extra rice", 100, 0, 1)];
    let target = target_by(&[], &order(1, 1195, &items));

    assert_eq!(lines_of(&target), [("SCF-LAMB-BHUNA", 1, 1095), ("SCF-ADJUSTMENT", 0, 100)]);
    assert_eq!(target.lines[1].comments, "Adjustment: extra rice");
}

#[test]
fn pennies_go_to_the_largest_line_and_what_nothing_explains_is_declared() {
    let items = [item("product", "Lamb Bhuna", 1095, 1, 1), item("product", "Plain Naan", 290, 1, 1)];

    let rounded = target_by(&[], &order(1, 1384, &items));
    assert_eq!(lines_of(&rounded)[0], ("SCF-LAMB-BHUNA", 1, 1094));
    assert_eq!(rounded.declared_minor, 0);
    let unexplained = target_by(&[], &order(1, 1300, &items));
    assert_eq!((unexplained.gross_minor(), unexplained.declared_minor), (1385, 85));
    assert!(unexplained.comments.contains("comes to 0.85 more than its total"), "{}", unexplained.comments);
    assert_eq!(unexplained.remarks, [Remark::Unexplained(-85)]);
}

#[test]
fn the_fee_of_others_has_its_own_product_or_none() {
    let mut order = order(1, 1345, &[item("product", "Lamb Bhuna", 1095, 1, 1)]);
    order["deliveryFee"] = money(250);
    order["deliveryProvider"] = json!("uber");
    let fee = |keys: &[(&str, &str)]| {
        let target = target_by(keys, &order);
        (lines_of(&target).get(1).map(|line| line.0.to_owned()), target.declared_minor)
    };

    assert_eq!(fee(&[]), (Some("SCF-DELIVERY-FEE".to_owned()), 0));
    assert_eq!(fee(&[("products.delivery_fee_third_party", "UBER")]), (Some("UBER".to_owned()), 0));
    assert_eq!(fee(&[("products.delivery_fee_third_party", "skip")]), (None, -250));
}

#[test]
fn a_dish_is_found_by_a_persons_word_then_by_code_then_by_name() {
    let mut dish = item("product", "Lamb  BHUNA", 1095, 1, 1);
    dish["sku"] = json!("REF-1");
    dish["ean"] = json!("5012345678900");
    let order = order(1, 1095, &[dish]);
    let fields = ("item_fields", "{ reference = \"/sku\", barcode = \"/ean\" }");
    let only_barcode = ("item_fields", "{ barcode = \"/ean\" }");
    let mut facts = facts();
    facts.products.push(known("REF-1", "something"));
    facts.products.push(KnownProductWith("BAR-1").barcode("5012345678900"));
    let code = |keys: &[(&str, &str)], facts: &Facts| {
        let target = target_at(&settings_with(keys), facts, &order).unwrap_or_else(|stop| panic!("{stop:?}"));
        target.lines[0].code.clone()
    };

    assert_eq!(code(&[], &facts), "SCF-LAMB-BHUNA");
    assert_eq!(code(&[fields], &facts), "REF-1");
    assert_eq!(code(&[only_barcode], &facts), "BAR-1");
    assert_eq!(code(&[fields, ("items", "{ \"lamb bhuna\" = \"MINE\" }")], &facts), "MINE");
    // Two of one name are none.
    facts.products.push(known("OTHER", "lamb bhuna"));
    assert_eq!(code(&[], &facts), "SCF-ITEM");
}

struct KnownProductWith(&'static str);

impl KnownProductWith {
    fn barcode(&self, barcode: &str) -> super::super::facts::KnownProduct {
        super::super::facts::KnownProduct { barcode: Some(barcode.to_owned()), ..known(self.0, "something else") }
    }
}

#[test]
fn a_dish_without_a_product_is_the_generic_one_or_made_or_waits_with_the_nearest_name() {
    let order = order(1, 500, &[item("product", "Lamb Bhunas", 500, 1, 1)]);
    let by = |keys: &[(&str, &str)]| target_at(&settings_with(keys), &facts(), &order);

    let generic = by(&[]).unwrap();
    assert_eq!((lines_of(&generic), generic.lines[0].comments.as_str()), (vec![("SCF-ITEM", 1, 500)], "Lamb Bhunas"));
    let made = by(&[("missing_product", "create")]).unwrap();
    let [missing] = &made.missing[..] else { panic!("{made:?}") };
    assert_eq!(missing.code, made.lines[0].code);
    assert!(missing.code.starts_with("lamb-bhunas-") && missing.code.len() == 20, "{}", missing.code);
    assert_eq!((missing.description.as_str(), missing.is_dish), ("Lamb Bhunas", true));
    assert_eq!(missing.guid, guid::of_product("lamb bhunas"));
    let stop = by(&[("missing_product", "hold")]).unwrap_err();
    assert!(matches!(&stop, Stop::Hold { detail, .. } if detail.contains("nearest is \"Lamb Bhuna\"")), "{stop:?}");
}

#[test]
fn service_products_of_ours_are_made_where_they_are_missing() {
    let mut facts = facts();
    facts.products.retain(|product| !product.code.starts_with("SCF-SERVICE"));

    let made = target_at(&settings(), &facts, &example()).unwrap();

    let missing: Vec<(&str, bool)> = made.missing.iter().map(|one| (one.code.as_str(), one.is_dish)).collect();
    assert_eq!(missing, [("SCF-SERVICE-FEE", false)]);
}

#[test]
fn options_that_are_products_take_stock_at_no_price() {
    let mut dish = item("product", "Lamb Bhuna", 1095, 2, 2);
    dish["optionCategories"] =
        json!([{"name": "Side", "selectedOptions": [{"name": "Plain Naan"}, {"name": "no onions"}]}]);
    let order = order(1, 2190, &[dish]);

    assert_eq!(lines_of(&target_by(&[], &order)), [("SCF-LAMB-BHUNA", 2, 2190)]);
    let with = target_by(&[("option_products", "true")], &order);
    assert_eq!(lines_of(&with), [("SCF-LAMB-BHUNA", 2, 2190), ("SCF-PLAIN-NAAN", 2, 0)]);
}
