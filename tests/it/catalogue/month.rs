//! What a month costs in calls, planned and counted.

use scoffable_sync::operate::catalogue::{Ground, Month, budget};

use super::*;

/// Products and customers of a shop that is to be kept fresh for at most [`MOST_A_MONTH`] calls beside its orders.
const PRODUCTS: i64 = 5_000;
const CUSTOMERS: i64 = 20_000;
const MOST_A_MONTH: u64 = 5_000;

#[tokio::test]
async fn a_day_of_a_large_shop_takes_the_calls_that_its_months_plan_says() {
    let mut app = TestApp::setup().with("sinks.hook.limits.per_day", "10000").start().await;
    for n in 1..=20 {
        app.publish(&order(&n.to_string(), 1, "accepted"));
    }
    app.poll().await;
    app.run_to_rest().await;
    // As if the shop had been posted to.
    app.run("UPDATE deliveries SET receipt = '{\"money\": {\"posted_minor\": 1250, \"declared_minor\": 0}}' WHERE sink = 'hook'").await;
    app.run("UPDATE sinks SET carries_money = true WHERE name = 'hook'").await;
    app.run("UPDATE orders SET placed_at = now()").await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product, Kind::Customer]);
    (1..=20).for_each(|n| shop.says_worth(&n.to_string(), 1_250));
    link_many(&app, &shop, Kind::Product, PRODUCTS).await;
    link_many(&app, &shop, Kind::Customer, CUSTOMERS).await;
    let mut keeper = keeper(&app, &shop, settings());
    let month = Month { sink: sink(), orders_a_day: Some(0) };
    let plan =
        budget(&app.pool, &month, Ground::of(&keeper, &app.settings.sinks[&sink()]).as_ref()).await.unwrap().plan;
    work(&mut keeper).await;
    shop.calls();
    let counted = "SELECT used FROM call_budgets WHERE scope = 'sink:hook' AND \"window\" = 'day'";
    let (before, began) = (app.number(counted).await, app.clock.elapsed());

    let mut calls = Vec::new();
    let mut changed = 0..;
    loop {
        // Some of them change all the time.
        for n in changed.by_ref().take(5) {
            shop.put(Kind::Product, &format!("product-{:05}", n % PRODUCTS), "Kofta");
            shop.put(Kind::Customer, &format!("customer-{:05}", n % CUSTOMERS), "Ines");
        }
        next_turn(&app, &mut keeper).await;
        if app.clock.elapsed().saturating_sub(began) > DAY {
            break;
        }
        calls.extend(shop.calls());
        // Until the calls of before begin to leave the window.
        if app.clock.elapsed().saturating_sub(began) < 23 * HOUR {
            assert_eq!(app.number(counted).await - before, calls.len() as i64, "each call is counted");
        }
    }

    let of = |what: &str| calls.iter().filter(|call| call.starts_with(what)).count() as u64;
    let a_day = |calls: u64| calls / 30;
    // Intervals of pulls are give or take a tenth, those of sweeps up to a tenth shorter: one round more may fit into a day.
    assert!(of("changes").abs_diff(a_day(plan.pulls)) <= a_day(plan.pulls) / 10 + 2, "{calls:?}");
    let (looks, planned) = (of("look"), a_day(plan.sweeps));
    assert!((planned..=planned + 10 + 5).contains(&looks), "{looks} looks, {planned} planned");
    assert_eq!(of("verify"), a_day(plan.documents), "{calls:?}");
    assert_eq!(plan.orders + plan.retries, 0);
    assert!(plan.total <= MOST_A_MONTH && calls.len() as u64 * 30 <= MOST_A_MONTH, "{plan:?}, {} a day", calls.len());
    let stale = "SELECT count(*) FROM alerts WHERE cause = 'catalogue_stale'";
    assert_eq!(app.number(stale).await, 0, "and nothing is ever older than it may be");
}
