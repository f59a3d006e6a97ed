//! Products, stock and customers are kept fresh and linked, and what was posted is read back; nothing of it is changed.

use std::sync::Arc;

use scoffable_sync::{
    app,
    catalogue::worker::{Tick, Worker},
    simulator::unleashed::{Account, Operation, Resource},
};

use super::*;

const DAY: Duration = Duration::from_hours(24);

/// The catalogue's loop of the configured sink.
fn keeper(app: &TestApp) -> Worker {
    let drivers = app::drivers(&app.settings, &app.pool, &app.clock, &app::owner()).unwrap();
    let driver = drivers.into_iter().find(|driver| driver.name().as_str() == STOCK).unwrap();
    app::catalogue(stock(app).0, &Arc::new(driver)).unwrap()
}

async fn work(keeper: &mut Worker) {
    while let Tick::Worked(_) = keeper.tick().await.expect("the database answers") {}
}

/// After this everything is due.
async fn later(app: &TestApp, keeper: &mut Worker) {
    app.advance(Duration::from_hours(6));
    work(keeper).await;
}

/// Kind, key and state of what is linked.
async fn linked(app: &TestApp) -> Vec<(String, String, String)> {
    sqlx::query_as(
        "SELECT l.kind, l.local_key, e.remote_state FROM links l JOIN catalogue_entities e USING (sink, kind, remote_id) ORDER BY 1, 2",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap()
}

fn link(kind: &str, key: &str, state: &str) -> (String, String, String) {
    (kind.to_owned(), key.to_owned(), state.to_owned())
}

/// Nobody names their codes: they are found by name.
const BY_NAME: [(&str, &str); 2] = [("items", "{}"), ("complete", "immediately")];

#[tokio::test]
async fn products_stock_and_customers_of_an_order_are_linked_and_kept_fresh() {
    let keys = [
        ("complete", "immediately"),
        ("customers", "per_customer"),
        ("customer_fields.id", "/customer/id"),
        ("customer_fields.name", "/customer/name"),
    ];
    let (mut app, sim) = at_unleashed(&[&keys[..], &[("items", "{}")]].concat()).await;
    sim.by_hand(|account, now| {
        account.edit_product("KOFTA", now, |product| product.description = "Lamb Kofta Plate".to_owned())
    });
    let mut keeper = keeper(&app);
    work(&mut keeper).await;
    let mut placed = order("812345", 1, "accepted");
    placed["customer"] = json!({"id": "77", "name": "Ines Marlow"});
    app.advance(Duration::from_secs(1));
    app.arrives(&placed).await;
    app.run_to_rest().await;
    assert_eq!(applied(&app, "812345").await.0, "applied");

    later(&app, &mut keeper).await;

    assert_eq!(linked(&app).await, [link("customer", "77", "active"), link("product", "lamb kofta plate", "active")]);
    // What was sold has left the stock.
    let stock = "SELECT count(*) FROM catalogue_entities WHERE kind = 'stock' AND remote_id = 'KOFTA'";
    assert_eq!(app.number(stock).await, 1);
    let personal = "SELECT count(*) FROM catalogue_entities e WHERE e::text ILIKE '%ines%' OR e::text ILIKE '%marlow%'";
    assert_eq!(app.number(personal).await, 0);

    // People make both obsolete: that is told with the changes.
    let customer = app.text("SELECT remote_id FROM links WHERE kind = 'customer'").await.unwrap();
    sim.by_hand(|account, now| {
        account.stop_customer(customer.parse().unwrap(), now);
        account.edit_product("KOFTA", now, |product| product.obsolete = true);
    });
    later(&app, &mut keeper).await;
    let archived = [link("customer", "77", "archived"), link("product", "lamb kofta plate", "archived")];
    assert_eq!(linked(&app).await, archived);

    assert_nothing_wrong(&sim);
    let saved = |received: &scoffable_sync::simulator::unleashed::Received| match received.operation {
        Operation::Save(resource) => resource != Resource::SalesOrders,
        operation => operation == Operation::ObsoleteProduct,
    };
    assert_eq!(sim.received().iter().filter(|received| saved(received)).count(), 1, "the customer was made, once");
}

#[tokio::test]
async fn what_changes_or_dies_in_silence_is_found_by_looks() {
    let (mut app, sim) = at_unleashed(&BY_NAME).await;
    let name = |account: &mut Account, code: &str, name: &str| {
        account.edit_product_silently(code, |product| name.clone_into(&mut product.description))
    };
    sim.by_hand(|account, _| name(account, "KOFTA", "Lamb Kofta Plate"));
    let mut keeper = keeper(&app);
    app.arrives(&order("1", 1, "accepted")).await;
    app.run_to_rest().await;
    later(&app, &mut keeper).await;
    assert_eq!(linked(&app).await, [link("product", "lamb kofta plate", "active")]);
    let changed = "SELECT last_changed_at::text FROM catalogue_entities WHERE kind = 'product' AND remote_id = 'KOFTA'";
    let before = app.text(changed).await;

    sim.by_hand(|account, _| name(account, "KOFTA", "Kofta, large"));
    later(&app, &mut keeper).await;
    assert_ne!(app.text(changed).await, before);

    sim.by_hand(|account, _| account.remove_product("KOFTA"));
    for _ in 0..4 {
        app.advance(DAY);
        work(&mut keeper).await;
    }
    let broken = "SELECT count(*) FROM links WHERE broken_at IS NOT NULL";
    assert_eq!(app.number(broken).await, 1);
    assert_eq!(app.number("SELECT count(*) FROM alerts WHERE cause = 'link_broken' AND resolved_at IS NULL").await, 1);
    assert_nothing_wrong(&sim);
}

#[tokio::test]
async fn an_order_that_was_deleted_there_by_hand_is_told_and_not_repaired() {
    let (mut app, sim) = at_unleashed(&[("complete", "never")]).await;
    app.arrives(&order("812345", 1, "accepted")).await;
    app.run_to_rest().await;
    app.run("UPDATE orders SET placed_at = now()").await;
    let mut keeper = keeper(&app);
    work(&mut keeper).await;
    let finding = "SELECT coalesce(finding, 'none') FROM document_checks";
    assert_eq!(app.text(finding).await.as_deref(), Some("none"));

    sim.by_hand(|account, now| account.delete_order_by_hand("SCF-812345", now));
    let before = sim.ledger().calls().writes;
    app.advance(DAY + Duration::from_hours(1));
    work(&mut keeper).await;

    assert_eq!(app.text(finding).await.as_deref(), Some("remote_missing"));
    assert_eq!(sim.ledger().calls().writes, before, "nothing is repaired");
}
