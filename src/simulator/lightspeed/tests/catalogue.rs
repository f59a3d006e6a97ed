//! Settings, products, stock and customers: read, found, made, changed behind one's back.

use super::*;

#[tokio::test]
async fn settings_are_what_the_shop_has() {
    let desk = start().await;

    let retailer = desk.get("2.0/retailer").await["data"].clone();
    assert_eq!([&retailer["currency"]["code"], &retailer["timezone"]], ["GBP", "Europe/London"]);
    assert_eq!((&retailer["no_tax_group_id"], &retailer["tax_exclusive"]), (&json!(ids::TAXES[2]), &json!(false)));
    let taxes = desk.get("2026-07/taxes").await["data"].clone();
    assert_eq!([&taxes[0]["rates"][0]["rate"], &taxes[2]["name"]], [&json!(0.2), &json!("No Tax")]);
    let types = desk.get("2.0/payment_types").await["data"].clone();
    assert_eq!(types[0]["type_id"], types[1]["type_id"], "only the id tells them apart");
    assert_eq!(desk.get("2.0/registers").await["data"][1]["is_open"], json!(true));
    assert_eq!(desk.get(&format!("2.0/registers/{}", ids::REGISTERS[1])).await["data"]["invoice_prefix"], "HN-");
    assert_eq!(desk.get("2.0/users").await["data"][0]["account_type"], "cashier");
    assert_eq!(desk.get("2.0/outlets").await["data"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_list_is_a_feed_of_changes_by_version() {
    let desk = start().await;
    let ramen = desk.by_hand(|store, now| store.add_product_by_hand("Ramen", "R-1", 10, now));
    let page = desk.get("2026-07/products?page_size=2").await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(2));
    let mut after = page["version"]["max"].as_u64().expect("a version");
    let rest = desk.get(&format!("2026-07/products?after={after}")).await;
    assert_eq!([&rest["data"][0]["id"], &rest["version"]["min"]], [&json!(ramen), &rest["data"][0]["version"]]);
    after = rest["version"]["max"].as_u64().expect("a version");
    let empty = json!({"min": null, "max": null});
    assert_eq!(desk.get(&format!("2026-07/products?after={after}")).await, json!({"data": [], "version": empty}));
    assert_eq!(desk.get(&format!("2.0/products?after={after}")).await["version"], json!({"min": 0, "max": 0}));

    desk.by_hand(|store, now| store.edit_product_by_hand(&ramen, now, |product| product.name = "Miso".to_owned()));
    assert_eq!(desk.get(&format!("2.0/products?after={after}")).await["data"][0]["name"], "Miso");
    desk.by_hand(|store, now| store.delete_product_by_hand(&ramen, now));
    assert_eq!(desk.get(&format!("2.0/products?after={after}")).await["data"], json!([]));
    let deleted = desk.get(&format!("2.0/products?after={after}&deleted=true")).await;
    assert_ne!(deleted["data"][0]["deleted_at"], Value::Null);
    assert_eq!(desk.violations(), []);
}

#[tokio::test]
async fn a_sale_is_in_the_feed_of_stock() {
    let desk = start().await;
    let before = desk.get("2.0/inventory").await["version"]["max"].as_u64().expect("a version");

    desk.sold(&desk.sale("1", 2)).await;

    let changed = desk.get(&format!("2.0/inventory?after={before}")).await["data"].clone();
    assert_eq!(changed.as_array().map(Vec::len), Some(1), "one outlet sold");
    assert_eq!((&changed[0]["inventory_level"], &changed[0]["outlet_id"]), (&json!(98), &json!(ids::OUTLETS[0])));
    let of_dish = desk.get(&format!("2.0/products/{}/inventory", desk.dish)).await["data"].clone();
    assert_eq!(of_dish.as_array().map(Vec::len), Some(2));
    desk.by_hand(|store, _| assert!(store.count_stock_by_hand(&desk.dish, ids::OUTLETS[1], 7)));
    assert_eq!(desk.stock(), 105);
}

#[tokio::test]
async fn a_catalogue_drifts_and_has_ghosts_without_any_change_being_told() {
    let desk = start().await;
    let after = desk.get("2.0/products").await["version"]["max"].as_u64().expect("a version");

    desk.by_hand(|store, _| assert!(store.drift_product(&desk.dish, |dish| dish.name = "Lamb Bhuna".to_owned())));
    assert_eq!(desk.get(&format!("2.0/products?after={after}&deleted=true")).await["data"], json!([]));
    assert_eq!(desk.get(&format!("2.0/products/{}", desk.dish)).await["data"]["name"], "Lamb Bhuna");
    desk.by_hand(|store, _| assert!(store.vanish_product(&desk.dish)));
    assert_eq!(desk.get(&format!("2.0/products?after={after}&deleted=true")).await["data"], json!([]));
    for path in [format!("2.0/products/{}", desk.dish), format!("2.0/products/{}/inventory", desk.dish)] {
        assert_eq!(ask(desk.request("GET", &path)).await.0, 404, "{path}");
    }

    assert_eq!(desk.posted(&desk.sale("1", 1)).await.0, 404);
}

#[tokio::test]
async fn a_product_is_made_with_one_price_and_a_sku_of_its_own() {
    let desk = start().await;
    let create = async |members: Value| {
        let mut product = json!({"name": "Garlic Naan", "sku": "SCF-0123456789ab", "source_id": "SCF"});
        product.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        desk.send("POST", "2.0/products", &product).await
    };

    assert_eq!(create(json!({"price_including_tax": 2.9, "price_excluding_tax": 2.41667})).await.0, 422);
    assert_eq!(create(json!({"price_including_tax": "2.90"})).await.0, 400);
    let (status, made) = create(json!({"price_including_tax": 2.9})).await;
    assert_eq!((status, made["data"].as_array().map(Vec::len)), (200, Some(1)));
    let product = desk.get(&format!("2.0/products/{}", text(&made["data"][0]))).await["data"].clone();
    assert_eq!((&product["price_excluding_tax"], &product["has_inventory"]), (&json!(2.41667), &json!(true)));
    assert_eq!(create(json!({})).await.0, 422, "the sku is taken");
    desk.change_rules(|rules| (rules.unique_skus, rules.tracks_new_products) = (false, false));
    let (_, made) = create(json!({})).await;
    let second = text(&made["data"][0]);
    assert_eq!(desk.get(&format!("2.0/products/{second}")).await["data"]["has_inventory"], json!(false));
    let counted = json!({"inventory": [{"outlet_id": ids::OUTLETS[0], "current_amount": 5}]});
    let (_, made) = create(counted).await;

    assert_eq!(desk.violations().last(), Some(&Violation::StockInvented { product: text(&made["data"][0]) }));
    let found = desk.get("2.0/search?type=products&sku=scf-0123456789ab").await["data"].clone();
    assert_eq!(found.as_array().map(Vec::len), Some(3));
    assert_eq!(desk.get("2.0/search?type=products&sku=SCF-0123456789ab").await["data"], json!([]));
}

#[tokio::test]
async fn customers_are_found_by_what_they_are_and_overwriting_one_is_told() {
    let desk = start().await;
    let ada = json!({"first_name": "Ada", "last_name": null, "customer_code": "SCF-C-1", "email": "ada@example.org",
        "phone": "900123", "do_not_email": true, "note": "4111111111111111"});
    let (status, made) = desk.send("POST", "2.0/customers", &ada).await;
    assert_eq!((status, &made["data"]["note"]), (201, &json!("************1111")));
    let id = text(&made["data"]["id"]);
    assert_eq!(desk.send("POST", "2.0/customers", &ada).await.0, 422, "the code is taken");
    assert_eq!(desk.send("POST", "2.0/customers", &json!({"first_name": "Bob"})).await.0, 400);

    for query in ["customer_code=SCF-C-1", "email=ADA%40example.org", "phone=900123", "first_name=ada"] {
        let found = desk.get(&format!("2026-07/search?type=customers&{query}")).await["data"].clone();
        assert_eq!(found[0]["id"], json!(id), "{query}");
    }
    assert_eq!(desk.get("2.0/search?type=customers&email=other@example.org").await["data"], json!([]));
    let path = format!("2.0/customers/{id}");
    assert_eq!(desk.send("PUT", &path, &json!({"first_name": "Eve", "last_name": "E"})).await.0, 200);
    assert_eq!(ask(desk.request("DELETE", &path)).await.0, 204);
    assert_eq!(desk.get("2.0/search?type=customers&first_name=eve").await["data"], json!([]));
    assert_eq!(desk.get("2.0/search?type=customers&first_name=eve&deleted=true").await["data"][0]["id"], json!(id));

    let overwrite = |is_deletion| Overwrite { customer_id: id.clone(), is_deletion };
    assert_eq!(desk.ledger().store().overwrites(), [overwrite(false), overwrite(true)]);
    let told = &desk.violations()[1..];
    assert_eq!(
        told,
        [Violation::CustomerUpdated { customer: id.clone() }, Violation::CustomerDeleted { customer: id.clone() }]
    );
}

#[tokio::test]
async fn postal_codes_are_checked_from_2026_07_on() {
    let desk = start().await;
    let at = async |version: &str, code: &str| {
        let customer =
            json!({"first_name": null, "last_name": null, "physical_postcode": code, "physical_country_id": "GB"});
        desk.send("POST", &format!("{version}/customers"), &customer).await.0
    };

    assert_eq!([at("2026-07", "12345").await, at("2026-07", "EX4 4QJ").await], [400, 201]);
    assert_eq!([at("2.0", "12345").await, at("2026-04", "12345").await], [201, 201]);
    desk.change_rules(|rules| rules.strict_postcodes = false);
    assert_eq!(at("2026-07", "12345").await, 201);
}

#[tokio::test]
async fn customers_that_are_merged_leave_no_trace_of_where_they_went() {
    let desk = start().await;
    let [ada, eve] = desk.by_hand(|store, now| {
        [("Ada", "1"), ("Eve", "2")].map(|(name, code)| store.add_customer_by_hand(name, code, "one@example.org", now))
    });
    let mut sale = desk.sale("1", 1);
    sale["customer_id"] = json!(ada);
    let sold = desk.sold(&sale).await;

    assert!(desk.by_hand(|store, now| store.merge_customers_by_hand(&ada, &eve, now)));

    let moved = desk.get(&format!("2026-07/sales/{}", sale_id("1"))).await["data"].clone();
    assert_eq!(moved["customer_id"], json!(eve));
    assert_ne!(moved["_metadata"]["version"], sold["_metadata"]["version"]);
    let gone = desk.get(&format!("2.0/customers/{ada}")).await["data"].clone();
    assert!(gone["deleted_at"].is_string() && !gone.to_string().contains(&eve));
    let mut next = desk.sale("2", 1);
    next["customer_id"] = json!(ada);
    assert_eq!(desk.posted(&next).await.0, 404);
}

#[tokio::test]
async fn sales_are_found_by_date_and_number_and_a_list_of_them_knows_no_date() {
    let desk = start().await;
    for (order, date) in [("1", "2025-10-09T08:00:00Z"), ("2", "2025-10-10T08:00:00Z")] {
        let mut sale = desk.sale(order, 1);
        sale["date"] = json!(date);
        desk.sold(&sale).await;
    }
    let found = async |query: &str| {
        let found = desk.get(&format!("2026-07/search?type=sales&{query}")).await["data"].clone();
        found.as_array().expect("a list").iter().map(|sale| text(&sale["source"]["id"])).collect::<Vec<_>>()
    };

    assert_eq!(found("date_from=2025-10-10T00:00:00Z&date_to=2025-10-11T00:00:00Z").await, ["2"]);
    assert_eq!(found("invoice_number=SCF-1").await, ["1"]);
    assert_eq!(found("status=CLOSED&order_by=invoice_number&order_direction=desc&page_size=1").await, ["2"]);
    assert_eq!(found("status=CLOSED&order_by=invoice_number&offset=1").await, ["2"]);
    assert_eq!(found("source_id=1").await.len(), 2, "nobody searches by that");
    assert_eq!(
        desk.get("2026-07/sales?date_from=2025-10-10T00:00:00Z").await["data"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(ask(desk.request("GET", "2.0/search?type=sales&date_from=2025-10-10")).await.0, 400);

    let ignored = |name: &str| Violation::IgnoredParameter { name: name.to_owned() };
    assert_eq!(desk.violations()[..2], [ignored("source_id"), ignored("date_from")]);
}
