//! The whole sink with the whole daemon around it, at a strict simulated Unleashed.

mod catalogue;
mod cost;
mod histories;
mod quota;

use std::collections::BTreeMap;

use scoffable_sync::simulator::{
    faults::cut_after,
    unleashed::{OrderStatus, UnleashedOptions, UnleashedSim, WithoutStock},
};

use super::*;
use crate::harness::app::{order, order_of};

fn assert_nothing_wrong(sim: &UnleashedSim) {
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
}

async fn at_unleashed(keys: &[(&str, &str)]) -> (TestApp, UnleashedSim) {
    let setup = Setup::default();
    let products = ["KOFTA", "NAAN", "LASSI", "SCF-ADJUSTMENT"].map(str::to_owned).into();
    let options = UnleashedOptions { clock: setup.clock().clone(), products, ..UnleashedOptions::default() };
    let sim = UnleashedSim::start(options).await.expect("a loopback port is free");
    let house = sim.customer_guid("Scoffable customers").expect("it is there").to_string();
    let options = sim.options().clone();
    let usual = [
        ("kind", "unleashed"),
        ("base_url", &*sim.url()),
        ("api_id", &options.api_id),
        ("api_key", &options.api_key),
        ("client_type", "acme/scoffsync"),
        ("time_zone", "Europe/London"),
        ("currency", "GBP"),
        ("stable_for", "0s"),
        ("tax.code", "V.A.T."),
        ("tax.rate", "0.2"),
        ("house_customer", &*house),
        ("vendors", "{ \"vendor-a\" = { warehouse = \"KITCHEN1\" } }"),
        ("items", "{ \"Lamb Kofta Plate\" = \"KOFTA\" }"),
    ];
    let mut setup = setup.without_hook();
    for (key, value) in usual.iter().chain(keys) {
        setup = setup.with(&format!("sinks.{STOCK}.{key}"), value);
    }
    (setup.start().await, sim)
}

/// Number, state and total of each order and credit note.
fn documents(sim: &UnleashedSim) -> Vec<(String, String, i64)> {
    sim.by_hand(|account, _| {
        let orders = account.orders().iter();
        let orders = orders.map(|one| (one.number.clone(), one.status.name().to_owned(), one.totals.total.0));
        let credits = account.credits().iter();
        let credits = credits.map(|one| {
            let reference = one.reference.clone().unwrap_or_default();
            (reference, one.status.name().to_owned(), -one.totals.total.0)
        });
        orders.chain(credits).collect()
    })
}

fn shown(number: &str, status: &str, total: i64) -> (String, String, i64) {
    (number.to_owned(), status.to_owned(), total)
}

async fn applied(app: &TestApp, order_id: &str) -> (String, Option<i64>) {
    let delivery = app.delivery_at(STOCK, order_id).await;
    (delivery.state, delivery.applied)
}

#[tokio::test]
async fn an_order_is_edited_while_it_is_open_and_corrected_once_it_is_completed() {
    let (mut app, sim) = at_unleashed(&[]).await;

    app.arrives(&order("812345", 1, "accepted")).await;
    assert_eq!(documents(&sim), [shown("SCF-812345", "Parked", 1250)]);
    app.arrives(&order_of("812345", 2, "accepted", 1000)).await;
    app.run_to_rest().await;
    assert_eq!(documents(&sim), [shown("SCF-812345", "Completed", 1000)]);

    app.arrives(&order_of("812345", 3, "accepted", 900)).await;
    app.run_to_rest().await;
    app.arrives(&order_of("812345", 4, "cancelled", 900)).await;
    app.run_to_rest().await;

    assert_eq!(applied(&app, "812345").await, ("applied".to_owned(), Some(4)));
    let expected = [
        shown("SCF-812345", "Completed", 1000),
        shown("SCF-812345-C1", "Completed", -100),
        shown("SCF-812345-C2", "Completed", -900),
    ];
    assert_eq!(documents(&sim), expected);
    assert_nothing_wrong(&sim);
}

#[tokio::test]
async fn a_lost_answer_leaves_one_order() {
    let (mut app, sim) = at_unleashed(&[("complete", "immediately")]).await;
    app.arrives(&order("1", 1, "accepted")).await;
    app.run_to_rest().await;
    sim.faults().answer_next([cut_after()]);

    app.arrives(&order("2", 1, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!(applied(&app, "2").await.0, "applied");
    assert_eq!(documents(&sim), [shown("SCF-1", "Completed", 1250), shown("SCF-2", "Completed", 1250)]);
    assert_nothing_wrong(&sim);
}

#[tokio::test]
async fn updates_that_leave_lines_and_notes_with_other_guids_come_out_right() {
    let (mut app, sim) = at_unleashed(&[]).await;
    sim.change_rules(|rules| {
        (rules.put_removes_lines, rules.keeps_credit_guids, rules.tells_ids) = (false, false, false);
    });
    let mut two = order("7", 1, "accepted");
    two["serviceFee"] = json!({"amount": 99, "currency": "GBP"});
    two["total"]["amount"] = json!(1349);

    app.arrives(&two).await;
    app.arrives(&order("7", 2, "accepted")).await;
    app.run_to_rest().await;
    assert_eq!(documents(&sim), [shown("SCF-7", "Completed", 1250)]);
    app.arrives(&order("7", 3, "cancelled")).await;
    app.run_to_rest().await;

    assert_eq!(applied(&app, "7").await, ("applied".to_owned(), Some(3)));
    assert_eq!(documents(&sim)[1], shown("SCF-7-C1", "Completed", -1250));
    assert_nothing_wrong(&sim);
}

#[tokio::test]
async fn an_order_without_stock_waits_or_is_backordered() {
    let (mut app, sim) = at_unleashed(&[("complete", "immediately")]).await;
    let nothing = scoffable_sync::simulator::amount::Fine(0);
    sim.by_hand(|account, now| account.count_stock("KOFTA", "KITCHEN1", nothing, now));

    app.arrives(&order("3", 1, "accepted")).await;
    assert_eq!(documents(&sim), [shown("SCF-3", "Parked", 1250)]);
    assert_eq!(applied(&app, "3").await.0, "pending");
    sim.change_rules(|rules| rules.without_stock = WithoutStock::Backordered);
    app.run_to_rest().await;

    assert_eq!(documents(&sim), [shown("SCF-3", "Backordered", 1250)]);
    assert_eq!(app.text("SELECT notice FROM deliveries").await.as_deref(), Some("backordered"));
    assert_eq!(sim.by_hand(|account, _| account.orders()[0].status.clone()), OrderStatus::Backordered);
}
