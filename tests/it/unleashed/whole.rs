//! The whole sink with the whole daemon around it.

use super::{
    stub::{ok, reply},
    *,
};
use crate::harness::app;

const ORDER: &str = "/SalesOrders/037bcfca-f144-5757-9fe6-81611f2f14a8";

async fn started(keys: &[(&str, &str)]) -> (TestApp, UnleashedStub) {
    let there = UnleashedStub::start().await;
    let vendors = format!("{{ {:?} = {{ warehouse = \"KITCHEN1\" }} }}", vendor());
    let usual =
        [("stable_for", "0s"), ("complete", "immediately"), ("missing_product", "generic"), ("vendors", &*vendors)];
    let app = set_up(Setup::default(), &there, &[&usual[..], keys].concat()).start().await;
    there.has_an_account(HOUSE);
    (app, there)
}

/// Of the usual order.
fn vendor() -> String {
    app::order("812345", 1, "accepted")["vendorId"].as_str().expect("an order has a vendor").to_owned()
}

#[tokio::test]
async fn an_order_is_posted_completed_and_checked_in_three_calls() {
    let (mut app, there) = started(&[("complete", "after_minutes:180")]).await;
    there.answers("POST", ORDER, reply(201, &json!({}))).answers("POST", &format!("{ORDER}/Complete"), ok(&json!({})));
    there.shows_orders_as("Completed");

    app.arrives(&app::order("812345", 1, "accepted")).await;
    app.dispatch().await;
    assert_eq!(app.delivery_at(STOCK, "812345").await.state, "pending");
    app.advance(Duration::from_mins(181));
    app.dispatch().await;

    let delivery = app.delivery_at(STOCK, "812345").await;
    assert_eq!(
        (delivery.state.as_str(), delivery.applied, delivery.external_id.as_deref()),
        ("applied", Some(1), Some(GUID))
    );
    let calls: Vec<String> = there.lines().into_iter().filter(|line| line.contains("SalesOrders")).collect();
    assert_eq!(calls, [format!("POST {ORDER}"), format!("POST {ORDER}/Complete"), format!("GET {ORDER}")]);
}

#[tokio::test]
async fn a_month_that_is_used_up_opens_with_the_next_one() {
    let (mut app, there) = started(&[]).await;
    let used_up = || reply(403, &json!({"Description": "API usage limit reached"}));
    enter_a_month(&app);
    there.answers("POST", ORDER, used_up()).answers("POST", ORDER, used_up());

    app.arrives(&app::order("812345", 1, "accepted")).await;
    app.dispatch().await;
    assert_eq!(posts(&there), 1);
    app.advance(Duration::from_mins(59));
    app.dispatch().await;
    assert_eq!(posts(&there), 1, "nothing is asked for an hour");
    app.advance(Duration::from_mins(2));
    app.dispatch().await;
    assert_eq!(posts(&there), 2, "then one call asks");

    let now = app.clock.wall();
    there.answers("POST", ORDER, ok(&json!({}))).answers("POST", &format!("{ORDER}/Complete"), ok(&json!({})));
    there.shows_orders_as("Completed").has_an_account(HOUSE);
    app.advance((month_after(now) - now).to_std().unwrap() + Duration::from_secs(1));
    app.dispatch().await;
    assert_eq!(posts(&there), 3);
    assert_eq!(app.delivery_at(STOCK, "812345").await.state, "applied");
}

fn posts(there: &UnleashedStub) -> usize {
    there.asked().iter().filter(|asked| asked.method == "POST" && asked.path == ORDER).count()
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_nothing_is_posted_twice() {
    let (mut app, there) = started(&[("complete", "never")]).await;
    there.answers("POST", ORDER, reply(502, &json!({})));

    app.arrives(&app::order("812345", 1, "accepted")).await;
    app.dispatch().await;
    assert_eq!(app.delivery_at(STOCK, "812345").await.state, "in_doubt");
    there.shows_orders_as("Placed");
    app.advance(Duration::from_secs(30));
    app.dispatch().await;

    assert_eq!(app.delivery_at(STOCK, "812345").await.state, "applied");
    assert_eq!(posts(&there), 1);
}
