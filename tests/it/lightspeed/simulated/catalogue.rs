//! Products, stock and customers are kept fresh and linked, and what was posted is read back; nothing of it is changed.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use scoffable_sync::{
    app,
    catalogue::worker::{Tick, Worker},
    domain::catalogue::Kind,
    simulator::lightspeed::Resource,
};

use super::*;

const DAY: Duration = Duration::from_hours(24);

impl Till {
    /// The catalogue's loop of the sink, in this process.
    fn keeper(&self) -> Worker {
        let drivers = app::drivers(&self.app.settings, &self.app.pool, &self.app.clock, &app::owner());
        let driver = drivers.expect("valid settings").into_iter().find(|driver| driver.name().as_str() == TILL);
        app::catalogue(till(&self.app).0, &Arc::new(driver.expect("it is configured"))).expect("the sink keeps one")
    }

    /// Works until nothing is due.
    async fn keep(&self, keeper: &mut Worker) {
        while let Tick::Worked(_) = keeper.tick().await.expect("the database answers") {}
    }

    /// The same for so many days, hour by hour.
    async fn keep_for(&self, keeper: &mut Worker, days: u32) {
        for _ in 0..24 * days {
            self.app.advance(Duration::from_hours(1));
            self.keep(keeper).await;
        }
    }

    fn n_listed(&self, resource: Resource) -> usize {
        let answered = self.sim.answered();
        answered.iter().filter(|answered| answered.operation == Operation::List(resource)).count()
    }

    /// Names and states of records in the copy, by kind.
    async fn copied(&self, kind: &str) -> Vec<(String, String)> {
        let sql =
            "SELECT coalesce(name, key, remote_id), remote_state FROM catalogue_entities WHERE kind = $1 ORDER BY 1";
        sqlx::query_as(sql).bind(kind).fetch_all(&self.app.pool).await.expect("the test's SQL works")
    }
}

fn active(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| ((*name).to_owned(), "active".to_owned())).collect()
}

#[tokio::test]
async fn nothing_is_listed_that_was_there_before_unless_a_person_asks_for_it() {
    let till = Till::with(&[("items", "{}")]).await;
    let mut keeper = till.keeper();

    till.keep(&mut keeper).await;
    assert_eq!(till.copied("product").await, []);
    till.sim.by_hand(|store, now| store.add_product_by_hand("Mango Lassi", "ML", 5, now));
    till.app.advance(Duration::from_mins(70));
    till.keep(&mut keeper).await;
    assert_eq!(till.copied("product").await, active(&["Mango Lassi"]));
    let outlets = "SELECT count(*) FROM catalogue_entities WHERE kind = 'stock'";
    assert_eq!(till.app.number(outlets).await, 2, "its stock in both outlets");

    keeper.read_all(Kind::Product, &mut |_| ControlFlow::Continue(())).await.expect("the database answers");

    assert_eq!(
        till.copied("product").await,
        active(&["Discount", "Lamb Bhuna", "Lamb Kofta Plate", "Mango Lassi", "Pilau Rice", "Plain Naan"])
    );
    till.assert_nothing_wrong();
    crate::lightspeed_description::check(&till.sim);
}

#[tokio::test]
async fn a_pull_brings_what_was_changed_and_the_next_one_nothing() {
    let till = Till::with(&[("items", "{}")]).await;
    let mut keeper = till.keeper();
    till.keep(&mut keeper).await;
    let naan = till.product("Plain Naan");
    till.sim.by_hand(|store, now| {
        assert!(store.edit_product_by_hand(&naan, now, |product| "Naan, plain".clone_into(&mut product.name)));
        let rice = store.products().iter().find(|product| product.name == "Pilau Rice").expect("a dish").id.clone();
        assert!(store.delete_product_by_hand(&rice, now));
    });

    till.app.advance(Duration::from_mins(70));
    till.keep(&mut keeper).await;

    let expected = [("Naan, plain", "active"), ("Pilau Rice", "deleted")];
    let expected = expected.map(|(name, state)| (name.to_owned(), state.to_owned()));
    assert_eq!(till.copied("product").await, expected);
    let cursor = "SELECT cursor::text FROM catalogue_cursors WHERE kind = 'product'";
    let before = (till.app.text(cursor).await, till.n_listed(Resource::Products));
    till.app.advance(Duration::from_mins(70));
    till.keep(&mut keeper).await;
    assert_eq!((till.app.text(cursor).await, till.n_listed(Resource::Products)), (before.0, before.1 + 1));
    assert_eq!(till.copied("product").await, expected);
}

#[tokio::test]
async fn a_dish_is_told_by_a_name_of_the_copy_and_the_shop_is_not_listed_for_it() {
    let mut till = Till::with(&[("items", "{}")]).await;
    let mut keeper = till.keeper();
    till.keep(&mut keeper).await;
    keeper.read_all(Kind::Product, &mut |_| ControlFlow::Continue(())).await.expect("the database answers");
    let listed = till.n_listed(Resource::Products);

    till.bring(&order("1", 1, "accepted")).await;
    till.bring(&order_with(
        "2",
        1,
        350,
        &[item("product", "Mango Lassi", 350, 1, 1)],
        &[paid("online", "scoffable", 350)],
    ))
    .await;

    assert_eq!(till.n_listed(Resource::Products), listed);
    let linked =
        till.app.text("SELECT remote_id FROM links WHERE local_key = 'lamb kofta plate' AND how = 'name'").await;
    assert_eq!(linked, Some(till.product("Lamb Kofta Plate")));
    let sold = till.sim.by_hand(|store, _| store.sales()[1].lines[0].clone());
    assert_eq!(sold.note.as_deref(), Some("Mango Lassi"), "it is sold as the generic product");
    till.assert_nothing_wrong();
}

#[tokio::test]
async fn a_linked_product_that_vanished_breaks_its_link_after_three_days_and_is_not_sold_meanwhile() {
    let mut till = Till::with(&[("items", "{}"), ("missing_product", "create")]).await;
    let lassi = |id: &str| {
        order_with(id, 1, 350, &[item("product", "Mango Lassi", 350, 1, 1)], &[paid("online", "scoffable", 350)])
    };
    till.bring(&lassi("1")).await;
    let mut keeper = till.keeper();
    till.keep(&mut keeper).await;
    let made = till.product("Mango Lassi");
    assert!(till.sim.by_hand(|store, _| store.vanish_product(&made)));

    till.keep_for(&mut keeper, 1).await;
    assert_eq!(till.app.number("SELECT count(*) FROM links WHERE broken_at IS NOT NULL").await, 0);
    till.app.restart().await;
    till.bring(&lassi("2")).await;
    assert_eq!(till.applied("2").await, ("applied".to_owned(), Some(1)));
    till.keep_for(&mut keeper, 3).await;

    let broken = till.app.text("SELECT local_key FROM links WHERE broken_at IS NOT NULL").await;
    assert_eq!(broken.as_deref(), Some("mango lassi"));
    let alert = till.app.text("SELECT cause FROM alerts WHERE cause = 'link_broken'").await;
    assert_eq!(alert.as_deref(), Some("link_broken"));
    till.assert_nothing_wrong();
}

#[tokio::test]
async fn a_change_that_the_feed_keeps_silent_about_is_found_by_a_look() {
    let till = Till::usual().await;
    let mut keeper = till.keeper();
    till.keep(&mut keeper).await;
    till.keep_for(&mut keeper, 1).await;
    let naan = till.product("Plain Naan");
    assert!(till.sim.by_hand(|store, _| store.drift_product(&naan, |product| "Naan".clone_into(&mut product.name))));

    till.keep_for(&mut keeper, 1).await;

    let drifted = till.app.text("SELECT name FROM catalogue_entities WHERE last_drifted_at IS NOT NULL").await;
    assert_eq!(drifted.as_deref(), Some("Naan"));
}

#[tokio::test]
async fn a_customer_who_was_merged_into_another_is_told_and_nobody_is_followed_or_changed() {
    let keys = [
        ("customers", "per_customer"),
        ("customer_fields.id", "/customer/id"),
        ("customer_fields.name", "/customer/name"),
    ];
    let mut till = Till::with(&keys).await;
    let mut placed = order("1", 1, "accepted");
    placed["customer"] = json!({"id": "77", "name": "Ines Marlow"});
    till.bring(&placed).await;
    let mut keeper = till.keeper();
    till.keep(&mut keeper).await;
    let linked = "SELECT remote_id FROM links WHERE kind = 'customer'";
    let ines = till.app.text(linked).await.expect("she is linked");
    till.sim.by_hand(|store, now| {
        let other = store.add_customer_by_hand("Ines", "M-1", "ines@example.org", now);
        assert!(store.merge_customers_by_hand(&ines, &other, now));
    });

    till.app.advance(Duration::from_mins(70));
    till.keep(&mut keeper).await;

    let state =
        "SELECT remote_state FROM catalogue_entities JOIN links USING (sink, kind, remote_id) WHERE kind = 'customer'";
    assert_eq!(till.app.text(state).await.as_deref(), Some("deleted"));
    assert_eq!(till.app.text(linked).await, Some(ines));
    let personal = "SELECT count(*) FROM catalogue_entities e WHERE e::text ILIKE '%ines%' OR e::text ILIKE '%marlow%'";
    assert_eq!(till.app.number(personal).await, 0);
    till.assert_nothing_wrong();
}

#[tokio::test]
async fn an_order_that_was_changed_there_by_hand_is_told_and_not_repaired() {
    let mut till = Till::usual().await;
    till.bring(&order("812345", 1, "accepted")).await;
    till.app.run("UPDATE orders SET placed_at = now()").await;
    let mut keeper = till.keeper();
    till.keep(&mut keeper).await;
    let finding = "SELECT coalesce(finding, 'none') FROM document_checks";
    assert_eq!(till.app.text(finding).await.as_deref(), Some("none"));
    assert!(till.sim.by_hand(|store, now| store.void_sale_by_hand(ID, now)));
    let before = till.sim.answered().len();

    till.app.advance(DAY + Duration::from_hours(1));
    till.keep(&mut keeper).await;

    assert_eq!(till.app.text(finding).await.as_deref(), Some("remote_missing"));
    let alert =
        till.app.text("SELECT subject FROM alerts WHERE cause = 'remote_missing' AND resolved_at IS NULL").await;
    assert_eq!(alert.as_deref(), Some("till/main/812345"));
    assert!(till.sim.answered()[before..].iter().all(|answered| !answered.operation.is_write()), "nothing is repaired");
}
