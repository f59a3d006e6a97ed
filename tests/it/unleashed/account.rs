//! What is read of the account, how long it is used, and what of the configuration does not fit.

use scoffable_sync::sinks::unleashed::facts::check;

use super::{
    stub::{listed, ok, reply},
    *,
};

#[tokio::test]
async fn it_is_read_once_for_all_that_wait_and_used_for_a_day() {
    let case = Case::usual().await;
    case.there.has_an_account(HOUSE);
    let now = case.app.clock.wall();

    let read = futures::future::join_all((0..20).map(|_| case.client.prepare(now))).await;

    assert_eq!(read.into_iter().map(|read| read.unwrap().made).sum::<u32>(), 5);
    let facts = case.client.facts(now).unwrap();
    assert_eq!((facts.warehouses.as_deref(), facts.taxes.is_none()), (Some(&["KITCHEN1".to_owned()][..]), true));
    assert_eq!(check(stock(&case.app).1, &facts), []);
    case.app.advance(Duration::from_hours(24));
    assert!(case.client.facts(case.app.clock.wall()).is_none());
}

#[tokio::test]
async fn products_are_read_page_by_page_and_obsolete_ones_are_left_out() {
    let case = Case::usual().await;
    let page = |code: &str, obsolete: bool| {
        let product = json!({"ProductCode": code, "ProductDescription": code, "Obsolete": obsolete});
        ok(&json!({"Pagination": {"NumberOfPages": 2}, "Items": [product]}))
    };
    case.there.answers("GET", "/Products", page("A", false)).answers("GET", "/Products/2", page("B", true));
    case.there.has_an_account(HOUSE);
    let now = case.app.clock.wall();

    case.client.prepare(now).await.unwrap();

    let facts = case.client.facts(now).unwrap();
    assert!(facts.has_product("A") && !facts.has_product("B") && !facts.has_more_products);
    let queries: Vec<String> = case.there.asked().into_iter().map(|asked| asked.query).collect();
    assert_eq!(queries[4..], ["pageSize=200", "pageSize=200"]);
}

#[tokio::test]
async fn products_are_not_listed_while_a_copy_holds_all_of_them() {
    for (copied, barcode, pages) in [(2, "", 1), (1, "", 2), (2, "/barcode", 2)] {
        let keys = [("item_fields.barcode", barcode)];
        let case = Case::start(&keys[..usize::from(!barcode.is_empty())]).await;
        let page = |code: &str| {
            let product = json!({"ProductCode": code, "ProductDescription": code});
            ok(&json!({"Pagination": {"NumberOfItems": 2, "NumberOfPages": 2}, "Items": [product]}))
        };
        case.there.answers("GET", "/Products", page("A")).answers("GET", "/Products/2", page("B"));
        case.there.has_an_account(HOUSE);
        for (code, state) in [("A", "active"), ("B", "active")].iter().take(copied).chain([&("D", "deleted")]) {
            sqlx::query(
                "INSERT INTO catalogue_entities (sink, kind, remote_id, name, remote_state, first_seen_at)
                 VALUES ($1, 'product', $2, $2, $3, now())",
            )
            .bind(STOCK)
            .bind(code)
            .bind(state)
            .execute(&case.app.pool)
            .await
            .unwrap();
        }

        case.client.prepare(case.app.clock.wall()).await.unwrap();

        let asked = case.there.asked().into_iter().filter(|asked| asked.path.contains("/Products")).count();
        assert_eq!(asked, pages, "{copied} copied, barcodes in {barcode:?}");
        let facts = case.client.facts(case.app.clock.wall()).unwrap();
        assert!(facts.has_product("A") && facts.has_product("B") && !facts.has_product("D"));
        assert!(!facts.has_more_products);
    }
}

#[tokio::test]
async fn each_setting_that_does_not_exist_there_is_named_with_its_key() {
    let keys = [("products.adjustment", "ADJ"), ("items", "{ \"Naan\" = \"NAAN\" }")];
    let case = Case::start(&keys).await;
    case.there
        .answers("GET", &format!("/Customers/{HOUSE}"), ok(&json!({"Guid": HOUSE, "StopCredit": true})))
        .answers("GET", "/Warehouses", listed(&[json!({"WarehouseCode": "KITCHEN1", "Obsolete": true})]))
        .answers("GET", "/Taxes", listed(&[json!({"TaxCode": "V.A.T.", "TaxRate": 0.175})]))
        .answers("GET", "/Currencies", listed(&[json!({"CurrencyCode": "NZD"})]))
        .answers("GET", "/Products", listed(&[]));
    let now = case.app.clock.wall();

    case.client.prepare(now).await.unwrap();

    let facts = case.client.facts(now).unwrap();
    let keys: Vec<String> = check(stock(&case.app).1, &facts).into_iter().map(|problem| problem.key).collect();
    let expected = [
        "house_customer",
        "tax.rate",
        "currency",
        "vendors.\"vendor-a\".warehouse",
        "products.adjustment",
        "items.\"Naan\"",
    ];
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn after_a_failure_nobody_asks_again_for_a_while_and_all_are_told() {
    let case = Case::usual().await;
    let path = format!("/Customers/{HOUSE}");
    case.there.answers("GET", &path, reply(429, &json!({})).with("Retry-After", "90"));
    let throttled = Outcome::Throttled { not_before: Some(Duration::from_secs(90)) };
    let now = case.app.clock.wall();

    let first = case.client.prepare(now).await.unwrap_err();
    let second = case.client.prepare(now).await.unwrap_err();

    assert_eq!((first.outcome, second.outcome), (throttled.clone(), throttled));
    assert_eq!((first.limits.len(), second.limits.len(), case.there.asked().len()), (1, 0, 1));
    case.app.advance(Duration::from_secs(90));
    case.there.has_an_account(HOUSE);
    assert!(case.client.prepare(case.app.clock.wall()).await.is_ok());
}

/// Cause: under a server that fails often a reading was begun anew each time, and hardly ever came to its end.
#[tokio::test]
async fn a_reading_that_was_interrupted_is_gone_on_with_where_it_was() {
    let case = Case::usual().await;
    case.there.answers("GET", "/Warehouses", reply(503, &json!({})));
    case.there.answers("GET", "/Products/2", reply(503, &json!({})));
    let page = |code: &str| {
        let product = json!({"ProductCode": code, "ProductDescription": code});
        ok(&json!({"Pagination": {"NumberOfPages": 2}, "Items": [product]}))
    };
    case.there.answers("GET", "/Products", page("A"));
    case.there.has_an_account(HOUSE);
    case.there.answers("GET", "/Products/2", page("B"));
    let now = case.app.clock.wall();

    assert!(case.client.prepare(now).await.is_err());
    case.app.advance(Duration::from_secs(3));
    assert!(case.client.prepare(case.app.clock.wall()).await.is_err());
    case.app.advance(Duration::from_secs(3));
    let now = case.app.clock.wall();
    let last = case.client.prepare(now).await.unwrap();

    assert_eq!(last.made, 1, "{:?}", case.there.lines());
    let facts = case.client.facts(now).unwrap();
    assert!(facts.has_product("A") && facts.has_product("B"));
    assert_eq!(case.there.asked().len(), 8);
}
