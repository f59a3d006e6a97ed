//! G2: every order that a sink's rules admit is applied there, or stands in SQL with a state, a reason and what to do.

use scoffable_sync::simulator::{
    faults::{Chaos, status},
    scoffable::{Limits, ScoffableOptions},
    webhook::WebhookOptions,
    world::{World, WorldOptions},
};

use crate::harness::app::{SOURCE, Setup, TestApp, order};

fn world(orders: usize, seed: u64) -> World {
    World::generate(WorldOptions { orders, seed, ..WorldOptions::default() })
}

fn of(world: &World) -> Setup {
    let mut setup = Setup::default();
    setup.world = Some(world.clone());
    setup.stream = ScoffableOptions { limits: Limits::NONE, ..ScoffableOptions::default() };
    setup.with("sinks.hook.request_timeout", "2s")
}

#[tokio::test]
async fn each_stored_order_has_a_delivery_to_each_sink_and_each_one_says_why_it_stands() {
    let world = world(120, 3);
    let mut app = of(&world).start().await;

    app.poll().await;
    app.run_to_rest().await;

    let orders = app.number("SELECT count(*) FROM orders").await;
    assert!(orders > 100);
    assert_eq!(app.number("SELECT count(*) FROM deliveries").await, orders);
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state NOT IN ('applied', 'skipped')").await, 0);
    let wrong = app.webhook.compare(SOURCE, &world);
    assert!(wrong.is_empty(), "{wrong:#?}");
    app.assert_no_violation();
}

#[tokio::test]
async fn in_hard_weather_nothing_is_forgotten_nothing_is_out_of_order() {
    for versions in ["latest", "every"] {
        let world = world(40, 11);
        let mut setup = of(&world).with("sinks.hook.versions", versions).with("sinks.hook.concurrency", "32");
        setup.receiver = WebhookOptions { chaos: Chaos::Hard, seed: 5, ..WebhookOptions::default() };
        let mut app = setup.start().await;

        app.poll().await;
        app.run_to_rest().await;

        assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'parked'").await, 0, "{versions}");
        let wrong = app.webhook.compare(SOURCE, &world);
        assert!(wrong.is_empty(), "{versions}: {wrong:#?}");
        app.assert_no_violation();
    }
}

#[tokio::test]
async fn a_refused_order_is_a_dead_letter_with_reason_hint_and_age() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([status(422)]);

    app.arrives(&order("A-1", 1, "accepted")).await;

    let whole = "SELECT count(*) FROM dead_letters WHERE order_id = 'A-1' AND reason = 'unprocessable'
                 AND hint <> '' AND last_error = 'unprocessable (HTTP 422)' AND age_seconds >= 0";
    assert_eq!(app.number(whole).await, 1);
    assert_eq!(app.number("SELECT parked FROM sink_status").await, 1);
}

#[tokio::test]
async fn the_timeline_tells_every_version_decision_and_attempt() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([status(500)]);
    app.arrives(&order("A-1", 1, "placed")).await;
    app.arrives(&order("A-1", 2, "accepted")).await;
    app.run_to_rest().await;

    let told: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT event, coalesce(detail ->> 'outcome', detail ->> 'status', detail ->> 'state')
         FROM order_timeline WHERE order_id = 'A-1' AND event <> 'state' ORDER BY at",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();

    let told: Vec<String> =
        told.into_iter().map(|(event, what)| format!("{event} {}", what.unwrap_or_default())).collect();
    for expected in ["version placed", "decision skipped", "version accepted", "attempt unknown", "attempt delivered"] {
        assert!(told.contains(&expected.to_owned()), "{expected} in {told:?}");
    }
}
