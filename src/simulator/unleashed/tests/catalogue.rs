//! Customers, products, stock, and how they are listed.

use chrono::SecondsFormat;

use super::*;

fn customer(code: &str) -> Value {
    json!({"CustomerCode": code, "CustomerName": "Ann Other", "Email": "ann@mail.example", "PhoneNumber": "0123"})
}

fn product(code: &str) -> Value {
    json!({"ProductCode": code, "ProductDescription": "Korma", "NeverDiminishing": true, "DefaultSellPrice": 4.5})
}

fn since(desk: &Desk) -> String {
    desk.now().to_rfc3339_opts(SecondsFormat::Millis, true).trim_end_matches('Z').to_owned()
}

#[tokio::test]
async fn a_post_creates_a_customer_and_another_one_overwrites_all_of_it() {
    let desk = start().await;
    let id = guid("ann");
    let path = format!("Customers/{id}");
    assert_eq!(desk.act("GET", &path).await.0, 404);
    assert_eq!(desk.write("POST", &path, &customer("SCF-C-77")).await.0, 201);
    assert_eq!(desk.violations(), []);

    let bare = json!({"CustomerCode": "SCF-C-77", "CustomerName": "Ann"});
    assert_eq!(desk.write("POST", &path, &bare).await.0, 201);
    assert_eq!(desk.get(&path).await["Email"], Value::Null);
    assert_eq!(desk.violations(), [Violation::CustomerOverwritten { guid: id.parse().expect("a GUID") }]);
    let told = refusal(desk.write("POST", &format!("Customers/{}", guid("bob")), &bare).await);
    assert!(told.contains("SCF-C-77 is used already"), "{told}");
}

#[tokio::test]
async fn a_product_is_saved_again_without_harm_unless_something_changes() {
    let desk = start().await;
    let path = format!("Products/{}", guid("korma"));
    for _ in 0..2 {
        assert_eq!(desk.write("POST", &path, &product("SCF-KORMA")).await.0, 201);
    }
    assert_eq!(desk.violations(), []);

    let renamed = with(&product("SCF-KORMA"), "/ProductDescription", json!("Korma, mild"));
    desk.write("POST", &path, &renamed).await;
    assert_eq!(desk.violations(), [Violation::ProductOverwritten { code: "SCF-KORMA".to_owned() }]);
    for (member, length) in [("ProductCode", 101), ("ProductDescription", 501)] {
        let long = with(&product("X"), &format!("/{member}"), json!("x".repeat(length)));
        let told = refusal(desk.write("POST", &format!("Products/{}", guid("long")), &long).await);
        assert!(told.contains(member), "{told}");
    }
}

#[tokio::test]
async fn an_obsolete_product_is_listed_only_when_asked_for_and_not_sold() {
    let desk = start().await;
    let id = text(&desk.items("Products?productCode=NAAN").await[0]["Guid"]).to_owned();
    assert_eq!(desk.act("POST", &format!("Products/Obsolete/{id}")).await.0, 200);

    assert!(desk.items("Products?productCode=NAAN").await.is_empty());
    assert_eq!(desk.items("Products?productCode=NAAN&includeObsolete=true").await[0]["Obsolete"], json!(true));
    let order = desk.order("SCF-1", &[("NAAN", 1, 100)]);
    assert!(refusal(desk.write("POST", &order_path(&order), &order).await).contains("obsolete"));
}

#[tokio::test]
async fn nothing_is_sold_to_a_customer_who_is_stopped() {
    let desk = start().await;
    let house = desk.house();
    desk.by_hand(|account, now| account.stop_customer(house, now));

    assert_eq!(desk.get(&format!("Customers/{house}")).await["StopCredit"], json!(true));
    let order = desk.order("SCF-1", &[("NAAN", 1, 100)]);
    assert!(refusal(desk.write("POST", &order_path(&order), &order).await).contains("stopped"));
}

#[tokio::test]
async fn lists_come_in_pages_and_are_filtered_by_beginning_or_part() {
    let desk = start().await;
    for n in 1..=5 {
        let path = format!("Customers/{}", guid(&n.to_string()));
        assert_eq!(desk.write("POST", &path, &customer(&format!("SCF-C-{n}"))).await.0, 201);
    }

    let second = desk.get("Customers/2?pageSize=2&customerCode=scf-c").await;
    let codes: Vec<&str> =
        second["Items"].as_array().expect("items").iter().map(|one| text(&one["CustomerCode"])).collect();
    assert_eq!(codes, ["SCF-C-3", "SCF-C-4"]);
    let pagination = json!({"NumberOfItems": 5, "PageSize": 2, "PageNumber": 2, "NumberOfPages": 3});
    assert_eq!(second["Pagination"], pagination);
    let count = desk.get("Customers?pageSize=0").await;
    assert_eq!((&count["Pagination"]["NumberOfItems"], &count["Items"]), (&json!(6), &json!([])));
    assert!(desk.items("Customers/9?pageSize=2").await.is_empty());
    assert_eq!(desk.items("Customers/Page/3?pageSize=2&customer=Ann").await.len(), 1);
    assert!(desk.items("Customers?customer=ann").await.is_empty());
    assert_eq!(desk.items("Customers?contactEmail=ann@mail").await.len(), 5);
    let brief = desk.items("Products?brief=true&productCode=FEE").await;
    assert_eq!(brief[0].as_object().map(|members| members.contains_key("Obsolete")), Some(false));
    assert_eq!(desk.violations(), []);
    desk.items("Products?pageSize=1000").await;
    assert_eq!(desk.violations(), [Violation::LargestPage { operation: Operation::List(Resource::Products) }]);
}

#[tokio::test]
async fn what_changed_since_is_listed_and_what_drifts_silently_is_not() {
    let desk = start().await;
    desk.clock.advance(secs(60));
    let since = since(&desk);
    let codes = async |path: String| {
        let items = desk.items(&path).await;
        items.iter().map(|one| text(&one["ProductCode"]).to_owned()).collect::<Vec<_>>()
    };
    let changed = format!("Products?modifiedSince={since}&includeObsolete=true");
    assert!(codes(changed.clone()).await.is_empty());

    desk.by_hand(|account, now| {
        assert!(account.edit_product("NAAN", now, |product| product.description = "Garlic naan".to_owned()));
        assert!(account.edit_product_silently("BHUNA", |product| product.obsolete = true));
        assert!(account.remove_product("FEE") && !account.remove_product("FEE"));
        assert!(account.count_stock("NAAN", "KITCHEN1", Fine(5 * Fine::ONE.0), now));
    });

    assert_eq!(codes(changed).await, ["NAAN"]);
    assert_eq!(codes("Products?includeObsolete=true".to_owned()).await, ["BHUNA", "NAAN"]);
    assert_eq!(codes(format!("StockOnHand?modifiedSince={since}")).await, ["NAAN"]);
    assert_eq!(desk.act("GET", &format!("Products?modifiedSince={since}Z")).await.0, 400);
}

#[tokio::test]
async fn merged_customers_leave_no_trace_of_who_is_left() {
    let desk = start().await;
    let gone = desk.by_hand(|account, now| account.add_customer("Ann", now));
    let mut order = desk.order("SCF-1", &[("NAAN", 1, 100)]);
    order["Customer"] = json!({"Guid": gone});
    desk.posted(&order).await;

    let house = desk.house();
    assert!(desk.by_hand(|account, now| account.merge_customers(gone, house, now)));
    assert_eq!(desk.act("GET", &format!("Customers/{gone}")).await.0, 404);
    assert_eq!(desk.get(&order_path(&order)).await["Customer"]["Guid"], json!(house));
    assert!(refusal(desk.write("PUT", &order_path(&order), &order).await).contains("Customer was not found"));
}

#[tokio::test]
async fn stock_is_told_by_product_and_warehouse_and_only_of_what_ever_moved() {
    let desk = start().await;
    let (naan, cake) = desk.by_hand(|account, now| {
        account.add_warehouse("CELLAR", now);
        account.count_stock("NAAN", "CELLAR", Fine(7 * Fine::ONE.0), now);
        (account.product("NAAN").expect("it is there").guid, account.add_product("CAKE", "Cake", now))
    });
    let placed = with(&desk.order("SCF-1", &[("NAAN", 2, 100)]), "/OrderStatus", json!("Placed"));
    desk.posted(&placed).await;

    let all = desk.get(&format!("StockOnHand/{naan}")).await;
    assert_eq!(
        (&all["QtyOnHand"], &all["AllocatedQty"], &all["AvailableQty"]),
        (&json!(100_007.0), &json!(2.0), &json!(100_005.0))
    );
    let by_warehouse = desk.items(&format!("StockOnHand/{naan}/AllWarehouses")).await;
    assert_eq!(by_warehouse.len(), 2);
    let cellar = desk.items("StockOnHand?warehouseCode=CELLAR").await;
    assert_eq!((cellar.len(), &cellar[0]["QtyOnHand"], &cellar[0]["AllocatedQty"]), (1, &json!(7.0), &json!(0.0)));
    assert_eq!(desk.items(&format!("StockOnHand?productId={naan},{cake}")).await.len(), 1);
    assert_eq!(desk.act("GET", &format!("StockOnHand/{cake}")).await.0, 404);
    assert_eq!(desk.items("Warehouses").await.len(), 2);
}

#[tokio::test]
async fn answers_to_writes_may_tell_no_ids() {
    let desk = start().await;
    desk.change_rules(|rules| rules.tells_ids = false);
    let order = desk.order("SCF-1", &[("NAAN", 1, 100)]);

    let made = desk.posted(&order).await;
    assert_eq!((&made["Guid"], &made["OrderNumber"]), (&Value::Null, &Value::Null));
    let (_, made) = desk.write("POST", &format!("Customers/{}", guid("ann")), &customer("A")).await;
    assert_eq!((&made["Guid"], &made["CustomerCode"]), (&Value::Null, &Value::Null));
    assert_eq!(text(&desk.get(&order_path(&order)).await["OrderNumber"]), "SCF-1");
}

#[tokio::test]
async fn a_day_of_orders_is_found_by_date_and_by_source() {
    let desk = start().await;
    for (number, date) in [("SCF-1", "2025-10-08"), ("SCF-2", "2025-10-09"), ("SCF-3", "2025-10-10")] {
        desk.posted(&with(&desk.order(number, &[("NAAN", 1, 100)]), "/OrderDate", json!(date))).await;
    }

    let numbers = async |path: &str| {
        let items = desk.items(path).await;
        items.iter().map(|one| text(&one["OrderNumber"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(numbers("SalesOrders").await, ["SCF-3", "SCF-2", "SCF-1"]);
    assert_eq!(numbers("SalesOrders?startDate=2025-10-09&endDate=2025-10-09").await, ["SCF-2"]);
    // It overrides the dates.
    assert_eq!(numbers("SalesOrders?sourceId=scoffable:1&startDate=2025-10-09").await, ["SCF-1"]);
}
