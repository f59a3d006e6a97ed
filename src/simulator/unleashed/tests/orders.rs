//! What may be done to a sales order.

use super::*;

/// The example of the documentation this is written from.
fn example(desk: &Desk) -> Value {
    let line = |at: usize, product: &str, quantity: i64, unit: Value, net: i64, tax: i64| {
        json!({
            "Guid": guid(&format!("example:{at}")), "LineNumber": at, "Product": {"ProductCode": product},
            "OrderQuantity": quantity, "UnitPrice": unit, "DiscountRate": 0, "LineTotal": amount(net), "TaxRate": 0.2,
            "LineTax": amount(tax), "LineTaxCode": "V.A.T.", "LineType": null,
        })
    };
    let mut order = desk.order("SCF-812345", &[]);
    order["SalesOrderLines"] = json!([
        line(1, "BHUNA", 2, json!(7.285), 1457, 291),
        line(2, "NAAN", 1, json!(1.93), 193, 39),
        line(3, "FEE", 1, json!(0.83), 83, 16),
        line(4, "FEE", 1, json!(2.08), 208, 42),
    ]);
    (order["SubTotal"], order["TaxTotal"], order["Total"]) = (amount(1941), amount(388), amount(2329));
    order
}

#[tokio::test]
async fn an_order_is_made_read_back_and_completed_with_stock_and_invoice() {
    let desk = start().await;
    let order = example(&desk);
    let made = desk.posted(&order).await;
    assert_eq!((&made["OrderStatus"], &made["Total"]), (&json!("Parked"), &json!(23.29)));

    let read = desk.get(&order_path(&order)).await;
    assert_eq!(read["SalesOrderLines"][0]["UnitPrice"], json!(7.285));
    assert_eq!(read["OrderDate"], json!("/Date(1759968000000)/"));
    let (status, done) = desk.act("POST", &format!("{}/Complete", order_path(&order))).await;
    assert_eq!((status, &done["OrderStatus"]), (200, &json!("Completed")));
    assert_eq!((desk.on_hand("BHUNA"), desk.on_hand("FEE")), (99_998, 100_000));
    let invoices = desk.items("Invoices?orderNumber=SCF-812345").await;
    assert_eq!((invoices.len(), &invoices[0]["Total"]), (1, &json!(23.29)));
    assert_eq!(desk.ledger().invoiced("812345"), Cents(2329));
    assert_eq!((desk.violations(), desk.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn totals_must_agree_with_lines_and_lines_with_prices() {
    let desk = start().await;
    let order = example(&desk);

    for (pointer, value, found) in [
        ("/SubTotal", json!(19.42), "SubTotal"),
        ("/TaxTotal", json!(3.89), "TaxTotal"),
        ("/Total", json!(23.30), "Total"),
        ("/Total", json!(23.291), "two places"),
        ("/SalesOrderLines/0/LineTotal", json!(14.58), "LineTotal is not 14.57"),
        ("/SalesOrderLines/0/LineTax", json!(2.96), "LineTax is not 2.91"),
        ("/SalesOrderLines/0/TaxRate", json!(0.05), "TaxRate"),
        ("/SalesOrderLines/0/OrderQuantity", json!(0), "quantity"),
        ("/SalesOrderLines/0/Product/ProductCode", json!("KORMA"), "Product was not found"),
        ("/SalesOrderLines/1/LineNumber", json!(1), "twice"),
        ("/TaxRate", json!(0.05), "TaxRate"),
        ("/ExchangeRate", json!(2), "ExchangeRate"),
        ("/Currency/CurrencyCode", json!("EUR"), "Currency"),
        ("/Warehouse/WarehouseCode", json!("CELLAR"), "Warehouse"),
        ("/Customer/Guid", json!(guid("nobody")), "Customer"),
        ("/OrderStatus", json!("Completed"), "OrderStatus"),
        ("/OrderDate", json!("2025-10-09T00:00:00Z"), "OrderDate"),
        ("/OrderNumber", json!("SCF-812345-R2-and-more"), "OrderNumber"),
        ("/Guid", json!(guid("another")), "Guid"),
    ] {
        let path = order_path(&order);
        let told = refusal(desk.write("POST", &path, &with(&order, pointer, value)).await);
        assert!(told.contains(found), "{pointer}: {told}");
    }
    assert!(desk.ledger().account().orders().is_empty());
}

#[tokio::test]
async fn all_fields_are_wanted_unless_few_are_enough() {
    let desk = start().await;
    let order = desk.order("SCF-1", &[("NAAN", 2, 100)]);
    for member in ["OrderDate", "Warehouse", "Tax", "Taxable", "SubTotal", "ExchangeRate"] {
        let told = refusal(desk.write("POST", &order_path(&order), &without(&order, member)).await);
        assert!(told.contains(member), "{told}");
    }

    desk.change_rules(|rules| rules.required_fields = RequiredFields::Few);
    let few = json!({
        "Customer": {"Guid": desk.house()},
        "SalesOrderLines": [{"Product": {"ProductCode": "NAAN"}, "OrderQuantity": 2, "UnitPrice": 1}],
    });
    let (status, made) = desk.write("POST", &order_path(&order), &few).await;
    assert_eq!((status, &made["Total"], &made["OrderNumber"]), (201, &json!(2.4), &json!("SO-00000001")));
}

#[tokio::test]
async fn a_second_post_is_refused_answered_or_overwrites() {
    let desk = start().await;
    let order = desk.order("SCF-1", &[("NAAN", 2, 100)]);
    let again = with(&order, "/Comments", json!("v2"));
    desk.posted(&order).await;

    for (second_post, status, comments) in
        [(SecondPost::Refused, 409, "v1"), (SecondPost::Answered, 200, "v1"), (SecondPost::Overwrites, 200, "v2")]
    {
        desk.change_rules(|rules| rules.second_post = second_post);
        assert_eq!(desk.write("POST", &order_path(&order), &again).await.0, status);
        assert_eq!(text(&desk.get(&order_path(&order)).await["Comments"]), comments, "{second_post:?}");
    }
    let guid = guid("SCF-1").parse().expect("a GUID");
    assert_eq!(desk.violations(), vec![Violation::PostedAgain { guid }; 3]);
}

#[tokio::test]
async fn a_deleted_order_is_still_read_and_keeps_its_guid_and_number_unless_they_are_freed() {
    let desk = start().await;
    let order = desk.order("SCF-1", &[("NAAN", 2, 100)]);
    let under_another_guid = with(&order, "/Guid", json!(guid("another")));
    desk.posted(&order).await;
    assert_eq!(desk.act("DELETE", &order_path(&order)).await.0, 200);

    assert_eq!(text(&desk.get(&order_path(&order)).await["OrderStatus"]), "Deleted");
    assert!(desk.items("SalesOrders").await.is_empty());
    assert_eq!(desk.items("SalesOrders?orderStatus=Deleted").await.len(), 1);
    assert_eq!(desk.items("SalesOrders?orderNumber=SCF-1").await.len(), 1);
    assert_eq!(desk.write("POST", &order_path(&order), &order).await.0, 409);
    let told = refusal(desk.write("POST", &order_path(&under_another_guid), &under_another_guid).await);
    assert!(told.contains("OrderNumber"), "{told}");
    desk.change_rules(|rules| (rules.frees_guids, rules.frees_numbers) = (true, true));
    desk.posted(&order).await;
    assert_eq!(desk.ledger().stands("1"), Cents(240));
    assert_eq!(desk.violations(), []);
}

#[tokio::test]
async fn an_update_replaces_the_whole_order_but_never_its_customer() {
    let desk = start().await;
    let order = desk.order("SCF-1", &[("NAAN", 2, 100), ("BHUNA", 1, 500)]);
    let path = order_path(&order);
    desk.posted(&order).await;

    let smaller = without(&desk.order("SCF-1", &[("NAAN", 3, 100)]), "Comments");
    assert_eq!(desk.write("PUT", &path, &smaller).await.0, 200);
    let read = desk.get(&path).await;
    assert_eq!((&read["Total"], &read["Comments"]), (&json!(3.6), &Value::Null));
    assert_eq!(read["SalesOrderLines"].as_array().map(Vec::len), Some(1));
    let other = desk.by_hand(|account, now| account.add_customer("Somebody", now));
    let told = refusal(desk.write("PUT", &path, &with(&order, "/Customer/Guid", json!(other))).await);
    assert!(told.contains("customer"), "{told}");
    let unknown = format!("SalesOrders/{}", guid("none"));
    assert_eq!(desk.write("PUT", &unknown, &without(&order, "Guid")).await.0, 404);
}

#[tokio::test]
async fn an_update_may_leave_lines_that_it_leaves_out_and_a_line_is_deleted_by_itself() {
    let desk = start().await;
    desk.change_rules(|rules| rules.put_removes_lines = false);
    let order = desk.order("SCF-1", &[("NAAN", 2, 100), ("BHUNA", 1, 500)]);
    let path = order_path(&order);
    desk.posted(&order).await;

    assert_eq!(desk.write("PUT", &path, &desk.order("SCF-1", &[("NAAN", 3, 100)])).await.0, 200);
    assert_eq!(desk.get(&path).await["Total"], json!(9.6));
    let line = |at| format!("SalesOrders/Lines/{}", guid(&format!("SCF-1:{at}")));
    assert_eq!(desk.act("DELETE", &line(2)).await.0, 200);
    assert_eq!(desk.get(&path).await["Total"], json!(3.6));
    assert_eq!(desk.act("DELETE", &line(2)).await.0, 404);
    assert!(refusal(desk.act("DELETE", &line(1)).await).contains("last line"));
}

#[tokio::test]
async fn what_is_completed_is_final() {
    let desk = start().await;
    let order = desk.order("SCF-1", &[("NAAN", 2, 100)]);
    let path = order_path(&order);
    desk.completed(&order).await;

    for (method, path) in [("PUT", path.clone()), ("DELETE", path.clone()), ("POST", format!("{path}/Complete"))] {
        let answer =
            if method == "PUT" { desk.write(method, &path, &order).await } else { desk.act(method, &path).await };
        assert!(refusal(answer).contains("Completed"), "{method}");
    }
    assert_eq!(desk.on_hand("NAAN"), 99_998);
    assert_eq!(desk.violations(), [Violation::CompletedAgain { number: "SCF-1".to_owned() }]);
}

#[tokio::test]
async fn without_stock_an_order_is_refused_backordered_or_completed() {
    let desk = start().await;
    let one = Fine::ONE;
    desk.by_hand(|account, now| account.count_stock("NAAN", "KITCHEN1", one, now));
    // Two lines of one product are counted together.
    let order = desk.order("SCF-1", &[("NAAN", 1, 100), ("NAAN", 1, 200), ("FEE", 9, 100)]);
    let complete = format!("{}/Complete", order_path(&order));
    desk.posted(&order).await;

    assert!(refusal(desk.act("POST", &complete).await).contains("stock"));
    assert_eq!(text(&desk.get(&order_path(&order)).await["OrderStatus"]), "Parked");
    desk.change_rules(|rules| rules.without_stock = WithoutStock::Backordered);
    let (status, body) = desk.act("POST", &complete).await;
    assert_eq!((status, text(&body["OrderStatus"])), (200, "Backordered"));
    assert!(desk.items("Invoices").await.is_empty());
    assert_eq!(desk.on_hand("NAAN"), 1);
    assert!(refusal(desk.act("DELETE", &order_path(&order)).await).contains("Backordered"));
    desk.change_rules(|rules| rules.without_stock = WithoutStock::Completed);
    assert_eq!(text(&desk.act("POST", &complete).await.1["OrderStatus"]), "Completed");
    assert_eq!(desk.on_hand("NAAN"), -1);
}

#[tokio::test]
async fn negative_prices_zero_totals_and_mixed_taxes_are_as_the_rules_say() {
    let desk = start().await;
    let mut negative = desk.order("SCF-1", &[("NAAN", 2, 100), ("FEE", 1, -50)]);
    assert!(refusal(desk.write("POST", &order_path(&negative), &negative).await).contains("below nothing"));
    desk.change_rules(|rules| (rules.takes_negative_prices, rules.takes_zero_totals) = (true, false));
    desk.posted(&negative).await;
    negative = desk.order("SCF-2", &[("NAAN", 2, 100), ("FEE", 1, -250)]);
    assert!(refusal(desk.write("POST", &order_path(&negative), &negative).await).contains("below nothing"));
    let zero = desk.order("SCF-3", &[("NAAN", 2, 100), ("FEE", 1, -200)]);
    assert!(refusal(desk.write("POST", &order_path(&zero), &zero).await).contains("nothing"));

    let mut mixed = desk.order("SCF-4", &[("NAAN", 2, 100), ("FEE", 1, 500)]);
    let line = &mut mixed["SalesOrderLines"][1];
    (line["LineTaxCode"], line["TaxRate"], line["LineTax"]) = (json!("ZERO"), json!(0), json!(0));
    (mixed["TaxTotal"], mixed["Total"]) = (amount(40), amount(740));
    assert!(refusal(desk.write("POST", &order_path(&mixed), &mixed).await).contains("not that of the order"));
    desk.change_rules(|rules| rules.mixed_tax = MixedTax::Flattened);
    assert_eq!(desk.posted(&mixed).await["Total"], json!(8.4));
    desk.change_rules(|rules| rules.mixed_tax = MixedTax::Taken);
    assert_eq!(desk.write("PUT", &order_path(&mixed), &mixed).await.1["Total"], json!(7.4));
}

#[tokio::test]
async fn a_line_total_may_rule_over_its_price() {
    let desk = start().await;
    let mut order = desk.order("SCF-1", &[("NAAN", 2, 100)]);
    order["SalesOrderLines"][0]["UnitPrice"] = json!(0.99);
    assert!(refusal(desk.write("POST", &order_path(&order), &order).await).contains("LineTotal"));

    desk.change_rules(|rules| rules.line_totals_rule = true);
    assert_eq!(desk.posted(&order).await["Total"], json!(2.4));
}

#[tokio::test]
async fn people_edit_complete_and_delete_orders_and_give_them_statuses_of_their_own() {
    let desk = start().await;
    for number in ["SCF-1", "SCF-2", "SCF-3"] {
        desk.posted(&desk.order(number, &[("NAAN", 2, 100)])).await;
    }
    let before = desk.get(&format!("SalesOrders/{}", guid("SCF-1"))).await;

    desk.by_hand(|account, now| {
        assert!(account.edit_order("SCF-1", now, |order| order.lines[0].total = Cents(300)));
        assert!(account.complete_order_by_hand("SCF-2", now));
        assert!(account.delete_order_by_hand("SCF-3", now));
        assert!(!account.delete_order_by_hand("SCF-2", now) && !account.delete_order_by_hand("SCF-9", now));
        assert!(account.name_status("SCF-1", "Packing", now));
    });

    let read = desk.get(&format!("SalesOrders/{}", guid("SCF-1"))).await;
    assert_eq!((&read["Total"], &read["OrderStatus"]), (&json!(3.4), &json!("Packing")));
    assert_ne!(read["LastModifiedOn"], before["LastModifiedOn"]);
    assert_eq!(desk.on_hand("NAAN"), 99_998);
    let statuses: Vec<_> = desk.items("SalesOrders?orderStatus=Completed,Deleted,Packing").await;
    assert_eq!(statuses.len(), 3);
}
