//! Sales in both dialects: what is taken, what it does, and what becomes of it.

use super::*;

#[tokio::test]
async fn the_worked_example_of_the_contract_is_taken_to_the_penny() {
    let desk = start().await;
    let line = |quantity: i64, price: &str, tax: &str| {
        json!({"product": {"id": desk.dish}, "quantity": quantity, "pricing": {"price": price},
            "tax": {"id": ids::TAXES[0], "amount": tax}})
    };
    let mut sale = desk.sale("812345", 1);
    sale["line_items"] = json!([
        line(2, "9.12500", "1.82500"),
        line(1, "2.41667", "0.48333"),
        line(1, "-1.66667", "-0.33333"),
        line(1, "-2.50000", "-0.50000"),
        line(1, "0.82500", "0.16500"),
        line(1, "2.08333", "0.41667"),
    ]);
    sale["payments"] = json!([payment(0, "18.29"), payment(1, "5.00")]);

    let kept = desk.sold(&sale).await;

    assert_eq!(kept["totals"]["price_incl_tax"], json!(23.29));
    assert_eq!([&kept["totals"]["price"], &kept["totals"]["tax"]], [&json!(19.40833), &json!(3.88167)]);
    assert_eq!(kept["source"]["id"], "812345");
    assert_eq!(
        kept["_metadata"]["complete_open_sequence_id"],
        desk.get("2.0/registers").await["data"][0]["register_open_sequence_id"]
    );
    let tenders = [(ids::PAYMENT_TYPES[0].to_owned(), Pence(1829)), (ids::PAYMENT_TYPES[1].to_owned(), Pence(500))];
    assert_eq!(desk.ledger().standing("812345"), Standing { total: Pence(2329), tenders: tenders.into() });
    assert_eq!((desk.violations(), desk.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn selling_lowers_the_stock_and_voiding_raises_it() {
    let desk = start().await;
    assert_eq!(desk.stock(), 200, "in both outlets");

    let kept = desk.sold(&desk.sale("1", 2)).await;
    assert_eq!(desk.stock(), 198);
    let mut voided = desk.sale("1", 2);
    voided["state"] = json!("voided");
    let (status, answer) = desk.put(&voided).await;

    assert_eq!((status, &answer["data"]["state"]), (200, &json!("voided")));
    assert!(answer["data"]["_metadata"]["version"].as_u64() > kept["_metadata"]["version"].as_u64());
    assert_eq!((desk.stock(), desk.total("1")), (200, 0));
    assert_eq!(desk.put(&voided).await.0, 409, "it is voided already");
    assert_eq!(desk.violations(), []);
}

#[tokio::test]
async fn a_parked_sale_moves_nothing_and_one_on_account_does() {
    let desk = start().await;
    let mut parked = desk.sale("1", 2);
    parked["state"] = json!("parked");
    parked["payments"] = json!([]);
    desk.sold(&parked).await;
    assert_eq!((desk.stock(), desk.total("1")), (200, 0));

    parked["state"] = json!("pending");
    parked["attributes"] = json!(["onaccount"]);
    assert_eq!(desk.put(&parked).await.0, 422, "on nobody's account");
    parked["customer_id"] =
        json!(desk.by_hand(|store, now| store.add_customer_by_hand("Ada", "SCF-C-1", "a@example.org", now)));
    let (status, pending) = desk.put(&parked).await;
    assert_eq!((status, desk.stock(), desk.total("1")), (200, 198, 2190));
    let seen = desk.get(&format!("2.0/sales/{}", sale_id("1"))).await["data"].clone();
    assert_eq!([&seen["status"], &seen["state"]], ["ONACCOUNT", "pending"]);

    parked["state"] = json!("closed");
    parked["payments"] = desk.sale("1", 2)["payments"].clone();
    parked["line_items"][0]["id"] = pending["data"]["line_items"][0]["id"].clone();
    let (status, closed) = desk.put(&parked).await;
    assert_eq!((status, desk.stock(), &closed["data"]["state"]), (200, 198, &json!("closed")));
    assert_eq!(closed["data"]["line_items"][0]["id"], pending["data"]["line_items"][0]["id"]);
}

#[tokio::test]
async fn a_closed_sale_only_ever_becomes_voided() {
    let desk = start().await;
    let mut sale = desk.sale("1", 1);
    desk.sold(&sale).await;

    sale["note"] = json!("another");
    assert_eq!(desk.put(&sale).await.0, 409);
    sale["state"] = json!("parked");
    assert_eq!(desk.put(&sale).await.0, 409);
    sale["state"] = json!("voided");
    sale["line_items"] = json!([]);
    assert_eq!(desk.put(&sale).await.0, 200);

    assert_eq!(desk.violations(), [Violation::VoidedInPart { sale: sale_id("1") }]);
}

#[tokio::test]
async fn what_a_sale_names_must_be_there() {
    let desk = start().await;
    let nobody = "99999999-aaaa-4bbb-8ccc-000000000001";
    let at = [
        ("/line_items/0/product/id", 404),
        ("/line_items/0/tax/id", 404),
        ("/source/register_id", 404),
        ("/customer_id", 404),
        ("/source/author_id", 422),
        ("/payments/0/type/config_id", 422),
    ];
    for (pointer, expected) in at {
        let mut sale = desk.sale("1", 1);
        sale["customer_id"] = json!(null);
        *sale.pointer_mut(pointer).expect("it is there") = json!(nobody);
        assert_eq!(desk.posted(&sale).await.0, expected, "{pointer}");
    }
    let mut sale = desk.sale("1", 1);
    sale["id"] = json!("order-1");
    assert_eq!(desk.posted(&sale).await.0, 400);
    sale["id"] = json!(sale_id("1"));
    sale["line_items"][0]["id"] = json!(nobody);
    assert_eq!(desk.posted(&sale).await.0, 422, "a new sale has no lines to change");
    sale["line_items"] = json!([desk.line(1)]);
    sale["attributes"] = json!(["delivery", "pickup"]);
    assert_eq!(desk.posted(&sale).await.0, 422);
    sale["attributes"] = json!(["onaccount", "layby"]);
    assert_eq!(desk.posted(&sale).await.0, 422);
    assert_eq!((desk.stock(), desk.ledger().store().sales().len()), (200, 0));
}

#[tokio::test]
async fn payments_make_up_the_total_unless_the_shop_is_told_otherwise() {
    let desk = start().await;
    let paid = |order: &str, amount: &str| {
        let mut sale = desk.sale(order, 1);
        sale["payments"] = json!([payment(0, amount)]);
        sale
    };

    assert_eq!(desk.posted(&paid("1", "10.94")).await.0, 422);
    assert_eq!(desk.posted(&paid("1", "10.96")).await.0, 422);
    assert_eq!(desk.posted(&paid("1", "-10.95")).await.0, 422);
    desk.change_rules(|rules| rules.closes_short = true);
    assert_eq!(desk.posted(&paid("1", "10.94")).await.0, 200);
    desk.change_rules(|rules| rules.closes_over = true);
    assert_eq!(desk.posted(&paid("2", "10.96")).await.0, 200);
}

#[tokio::test]
async fn what_nobody_knows_of_amounts_is_a_switch() {
    let desk = start().await;
    let priced = |order: &str, price: &str, tax: &str, paid: &str| {
        let mut sale = desk.sale(order, 1);
        sale["line_items"][0]["pricing"]["price"] = json!(price);
        sale["line_items"][0]["tax"]["amount"] = json!(tax);
        sale["payments"] = json!([payment(0, paid)]);
        sale
    };
    assert_eq!(desk.posted(&priced("1", "-1.66667", "-0.33333", "-2.00")).await.0, 200);
    assert_eq!(desk.posted(&priced("2", "0", "0", "0")).await.0, 200);

    desk.change_rules(|rules| rules.takes_negative_totals = false);
    assert_eq!(desk.posted(&priced("3", "-1.66667", "-0.33333", "-2.00")).await.0, 422);
    desk.change_rules(|rules| (rules.takes_negative_prices, rules.takes_zero_totals) = (false, false));
    assert_eq!(desk.posted(&priced("3", "0", "0", "0")).await.0, 422);
    let mut discounted = desk.sale("3", 1);
    discounted["line_items"] = json!([desk.line(2), priced("3", "-9.125", "-1.825", "0")["line_items"][0]]);
    assert_eq!(desk.posted(&discounted).await.0, 422);

    desk.change_rules(|rules| rules.money = MoneyStyle::Numbers);
    assert_eq!(desk.posted(&desk.sale("3", 1)).await.0, 400);
    desk.change_rules(|rules| (rules.money, rules.places) = (MoneyStyle::Texts, 2));
    let mut in_numbers = desk.sale("3", 1);
    in_numbers["payments"][0]["amount"] = json!(10.95);
    assert_eq!(desk.posted(&in_numbers).await.0, 400);
    assert_eq!(desk.posted(&desk.sale("3", 1)).await.0, 422, "9.13 and 1.83 are more than 10.95");
}

#[tokio::test]
async fn the_same_id_again_is_refused_or_changes_or_doubles() {
    let desk = start().await;
    let sale = desk.sale("1", 1);
    desk.sold(&sale).await;

    assert_eq!(desk.posted(&sale).await.0, 409);
    desk.change_rules(|rules| rules.reposted = Reposted::Updates);
    assert_eq!(desk.posted(&sale).await.0, 409, "a closed sale is not changed by that either");
    desk.change_rules(|rules| (rules.reposted, rules.unique_invoice_numbers) = (Reposted::Doubles, false));
    let (status, second) = desk.posted(&sale).await;
    assert_eq!(status, 200);
    assert_ne!(second["data"]["id"], sale["id"]);

    assert_eq!(desk.total("1"), 2190);
    assert_eq!(desk.doubled(), [Doubled::Sale { order: "1".to_owned(), sale: text(&second["data"]["id"]) }]);
    assert_eq!(desk.violations(), vec![Violation::Reposted { sale: sale_id("1") }; 3]);
}

#[tokio::test]
async fn an_invoice_number_is_of_one_sale_and_the_next_one_is_given_where_none_is_told() {
    let desk = start().await;
    desk.sold(&desk.sale("1", 1)).await;
    let mut sale = desk.sale("2", 1);
    sale["invoice_number"] = json!("SCF-1");

    assert_eq!(desk.posted(&sale).await.0, 422);
    sale["invoice_number"] = json!(null);
    assert_eq!(desk.sold(&sale).await["invoice_number"], "OM-1");
    desk.change_rules(|rules| rules.unique_invoice_numbers = false);
    let mut sale = desk.sale("3", 1);
    sale["invoice_number"] = json!("SCF-1");
    assert_eq!(desk.posted(&sale).await.0, 200);
}

#[tokio::test]
async fn a_closed_register_takes_sales_or_not_and_opens_another_sequence() {
    let desk = start().await;
    let first = desk.sold(&desk.sale("1", 1)).await;
    assert!(desk.by_hand(|store, now| store.close_register_by_hand(ids::REGISTERS[0], now)));
    let in_between = desk.sold(&desk.sale("2", 1)).await;
    assert_eq!(in_between["_metadata"]["complete_open_sequence_id"], Value::Null);
    desk.change_rules(|rules| rules.takes_closed_registers = false);
    assert_eq!(desk.posted(&desk.sale("3", 1)).await.0, 422);

    let path = format!("2.0/registers/{}/actions/open", ids::REGISTERS[0]);
    let (status, opened) = desk.send("PUT", &path, &json!({})).await;
    assert_eq!((status, &opened["data"]["is_open"]), (200, &json!(true)));
    assert_eq!(desk.send("PUT", &path, &json!({})).await.0, 409);
    let third = desk.sold(&desk.sale("3", 1)).await;
    let sequence = |sale: &Value| sale["_metadata"]["complete_open_sequence_id"].clone();
    assert_eq!(sequence(&third), opened["data"]["register_open_sequence_id"]);
    assert_ne!(sequence(&third), sequence(&first));

    let mut late = desk.sale("1", 1);
    late["state"] = json!("voided");
    desk.change_rules(|rules| rules.voids_after_closing = false);
    assert_eq!(desk.put(&late).await.0, 422);
    desk.change_rules(|rules| rules.voids_after_closing = true);
    assert_eq!(desk.put(&late).await.0, 200);
    assert_eq!(desk.violations(), vec![Violation::VoidedAfterClosing { sale: sale_id("1") }; 2]);
}

#[tokio::test]
async fn the_legacy_dialect_deletes_what_an_update_leaves_out() {
    let desk = start().await;
    let path = format!("register_sales/{}", sale_id("1"));
    assert_eq!(desk.get(&path).await, json!({"register_sales": []}));
    let mut sale = desk.legacy_sale("1", 2);
    sale["status"] = json!("SAVED");
    let (status, kept) = desk.send("POST", "register_sales", &sale).await;
    assert_eq!(status, 200, "{kept}");
    assert_eq!(kept["register_sale"]["totals"]["total_to_pay"], json!(0));

    let mut whole = desk.get(&path).await["register_sales"][0].clone();
    whole.as_object_mut().expect("an object").remove("register_sale_payments");
    let (status, kept) = desk.send("POST", "register_sales", &whole).await;
    assert_eq!((status, &kept["register_sale"]["register_sale_payments"]), (200, &json!([])));
    assert_eq!(kept["register_sale"]["register_sale_products"][0]["id"], whole["register_sale_products"][0]["id"]);
    assert_eq!(desk.violations(), []);
}

#[tokio::test]
async fn a_legacy_sale_is_voided_by_its_status_on_the_whole_object() {
    let desk = start().await;
    let path = format!("register_sales/{}", sale_id("1"));
    desk.get(&path).await;
    assert_eq!(desk.send("POST", "register_sales", &desk.legacy_sale("1", 2)).await.0, 200);
    assert_eq!((desk.stock(), desk.total("1")), (198, 2190));

    let mut whole = desk.get(&path).await["register_sales"][0].clone();
    assert_eq!([&whole["status"], &whole["sale_date"]], ["CLOSED", "2025-10-09 08:53:20"]);
    whole["status"] = json!("VOIDED");
    let (status, voided) = desk.send("POST", "register_sales", &whole).await;

    assert_eq!((status, &voided["register_sale"]["state"]), (200, &json!("voided")));
    assert_eq!((desk.stock(), desk.total("1"), desk.violations()), (200, 0, vec![]));
    assert_eq!(desk.send("POST", "register_sales", &whole).await.0, 409);
}

#[tokio::test]
async fn a_list_that_an_update_leaves_out_is_deleted_or_kept_in_the_dated_dialect() {
    let desk = start().await;
    let mut sale = desk.sale("1", 1);
    sale["state"] = json!("parked");
    desk.sold(&sale).await;
    sale.as_object_mut().expect("an object").remove("payments");

    desk.change_rules(|rules| rules.left_out = LeftOut::Kept);
    assert_eq!(desk.put(&sale).await.1["data"]["payments"][0]["amount"], json!(10.95));
    desk.change_rules(|rules| rules.left_out = LeftOut::Deleted);
    assert_eq!(desk.put(&sale).await.1["data"]["payments"], json!([]));
}

#[tokio::test]
async fn what_looks_like_a_card_is_masked_in_a_note_without_a_word() {
    let desk = start().await;
    let mut sale = desk.sale("1", 1);
    sale["note"] = json!("paid with 4111 1111 1111 1111");
    sale["line_items"][0]["attributes"] = json!([{"name": "line_note", "value": "5500005555555559"}]);

    let kept = desk.sold(&sale).await;

    assert_eq!(kept["note"], "paid with **** **** **** 1111");
    assert_eq!(kept["line_items"][0]["note"], "************5559");
}

#[tokio::test]
async fn a_sale_without_an_id_is_kept_under_one_of_the_servers_and_that_is_told() {
    let desk = start().await;
    let mut sale = desk.sale("1", 1);
    sale["id"] = json!(null);

    let (status, kept) = desk.send("POST", "2026-07/sales", &sale).await;

    assert_eq!((status, desk.violations()), (200, vec![Violation::NoSaleId]));
    assert!(desk.ledger().store().sale(&text(&kept["data"]["id"])).is_some());
}
