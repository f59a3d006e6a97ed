//! The whole sink with the whole daemon around it.

use std::time::Duration;

use super::{
    stub::{ok, reply},
    *,
};
use crate::harness::app::order;

/// The daemon, and a shop that takes a first sale of order 812345 for 12.50.
async fn started() -> (TestApp, ShopStub) {
    let shop = ShopStub::start().await;
    shop.has_a_shop();
    let app = set_up(Setup::default(), &shop.url(""), &[]).start().await;
    (app, shop)
}

fn as_shown(id: &str, state: &str, version: u32) -> Value {
    shown(id, state, "12.50", version)
}

#[tokio::test]
async fn an_order_becomes_a_sale_and_nothing_once_it_is_cancelled() {
    let (mut app, shop) = started().await;
    let at = sale_path(ID);
    shop.answers("GET", &at, reply(404, &json!({})));
    shop.answers("POST", &path("sales"), ok(&json!({"data": {"id": ID}})));
    shop.always_answers("GET", &at, ok(&as_shown(ID, "closed", 7)));

    app.arrives(&order("812345", 1, "accepted")).await;
    app.run_to_rest().await;

    let delivery = app.delivery_at(TILL, "812345").await;
    assert_eq!((delivery.state.as_str(), delivery.applied), ("applied", Some(1)));
    assert_eq!(delivery.external_id.as_deref(), Some(ID));
    let calls: Vec<String> = shop.lines().into_iter().filter(|line| line.contains("/sales")).collect();
    assert_eq!(calls, [format!("GET {at}"), format!("POST {API}/sales"), format!("GET {at}")]);

    let register = json!({"data": {"id": REGISTER, "is_open": true, "register_open_sequence_id": "monday"}});
    shop.answers("GET", &path(&format!("registers/{REGISTER}")), ok(&register));
    shop.answers("PUT", &at, ok(&json!({"data": {"id": ID}})));
    app.arrives(&order("812345", 2, "cancelled")).await;
    app.run_to_rest().await;

    let delivery = app.delivery_at(TILL, "812345").await;
    assert_eq!((delivery.state.as_str(), delivery.applied), ("applied", Some(2)));
    let stands = app
        .text("SELECT (receipt ->> 'stands') || ' ' || (receipt -> 'money' ->> 'posted_minor') FROM deliveries")
        .await;
    assert_eq!(stands.as_deref(), Some("false 0"));
}

#[tokio::test]
async fn a_lost_answer_leaves_one_sale() {
    let (mut app, shop) = started().await;
    let at = sale_path(ID);
    shop.answers("GET", &at, reply(404, &json!({})));
    shop.answers("POST", &path("sales"), reply(504, &json!({})));
    shop.always_answers("GET", &at, ok(&as_shown(ID, "closed", 7)));

    app.arrives(&order("812345", 1, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!(app.delivery_at(TILL, "812345").await.state, "applied");
    assert_eq!(shop.lines().iter().filter(|line| line.starts_with("POST")).count(), 1);
}

#[tokio::test]
async fn a_sale_that_never_arrived_is_posted_once_that_is_proven() {
    let (mut app, shop) = started().await;
    let at = sale_path(ID);
    shop.always_answers("GET", &at, reply(404, &json!({})));
    shop.answers("POST", &path("sales"), reply(504, &json!({})));

    app.arrives(&order("812345", 1, "accepted")).await;
    app.run_to_rest().await;
    shop.answers("POST", &path("sales"), ok(&json!({"data": {"id": ID}})));
    for _ in 0..20 {
        app.advance(Duration::from_mins(1));
        app.run_to_rest().await;
    }

    let delivery = app.delivery_at(TILL, "812345").await;
    assert_eq!(shop.lines().iter().filter(|line| line.starts_with("POST")).count(), 2, "{delivery:?}");
}

#[tokio::test]
async fn an_order_whose_register_is_not_there_waits_and_a_person_is_told_once() {
    let shop = ShopStub::start().await;
    shop.has_a_shop();
    let elsewhere = ("vendors", r#"{ "vendor-a" = { register_id = "another" } }"#);
    let mut app = set_up(Setup::default(), &shop.url(""), &[elsewhere]).start().await;

    app.arrives(&order("1", 1, "accepted")).await;
    app.arrives(&order("2", 1, "accepted")).await;
    app.run_until_only("configuration").await;

    let told = app.text("SELECT string_agg(subject || ': ' || count, ', ') FROM alerts").await.unwrap();
    assert_eq!(told, "till/vendors.\"vendor-a\".register_id: 2");
}
