//! `backfill`: stored orders that a sink was never owed.

use std::ops::ControlFlow;

use clap::{Args, Command, FromArgMatches};
use scoffable_sync::{
    cli::{self, backfill::BackfillArgs},
    domain::ids::SinkName,
    operate::{
        Desk,
        stored::{self, Backfill, Orders, Wish},
    },
    store::operations::Operator,
};
use serde_json::{Value, json};

use crate::{
    harness::app::{TestApp, order, order_of},
    operate::{actions, standing, stands, text},
};

async fn backfill(app: &TestApp, line: &str) -> (u8, String) {
    let words = ["backfill", "--sink"].into_iter().chain(line.split(' '));
    let matches = BackfillArgs::augment_args(Command::new("backfill")).try_get_matches_from(words);
    let args = matches.and_then(|matches| BackfillArgs::from_arg_matches(&matches)).expect("the line is right");
    let mut out = Vec::new();
    let code = cli::backfill::run(&app.pool, &args, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), text(out))
}

/// Orders that were stored before the sink was there.
async fn stored_before(app: &mut TestApp, ids: &[&str]) {
    for id in ids {
        app.stores(&order(id, 1, "accepted")).await;
    }
    app.run("DELETE FROM deliveries").await;
}

#[tokio::test]
async fn orders_from_before_the_start_are_owed_once_and_with_consent() {
    let mut app = TestApp::start().await;
    stored_before(&mut app, &["A-1", "A-2"]).await;
    app.arrives(&order("A-3", 1, "accepted")).await;

    let line = "hook --since 2026-01-01T00:00:00Z";
    let asked = "stored and not owed to sink hook: 2\nnothing was changed: add --yes to do it\n";
    assert_eq!(backfill(&app, line).await, (1, asked.to_owned()));
    assert_eq!((app.number("SELECT count(*) FROM deliveries").await, actions(&app).await), (1, 0));

    let line = format!("{line} --yes --who ada --why books");
    assert_eq!(backfill(&app, &line).await, (0, "owed to sink hook from now on: 2\n".to_owned()));
    assert_eq!(backfill(&app, &line).await, (0, "nothing is missing at sink hook\n".to_owned()));
    app.dispatch().await;

    assert_eq!((app.applied("A-1"), app.applied("A-2"), app.applied("A-3")), (vec![1], vec![1], vec![1]));
    let noted = "SELECT string_agg(concat_ws(' ', actor, event, order_id, detail ->> 'why'), ', ' ORDER BY order_id)
                 FROM order_timeline WHERE actor LIKE 'operator:%'";
    let noted = app.text(noted).await;
    assert_eq!(noted.as_deref(), Some("operator:ada backfill A-1 books, operator:ada backfill A-2 books"));
}

#[tokio::test]
async fn it_comes_after_what_is_new_and_a_newer_version_raises_the_same_row() {
    let mut app = TestApp::start().await;
    stored_before(&mut app, &["A-1"]).await;
    backfill(&app, "hook --since 2026-01-01T00:00:00Z --yes").await;
    app.stores(&order("B-1", 1, "accepted")).await;
    app.stores(&order_of("A-1", 2, "accepted", 900)).await;

    let rows = "SELECT string_agg(concat_ws(' ', order_id, priority, wanted_version), ', ' ORDER BY order_id)
                FROM deliveries";
    assert_eq!(app.text(rows).await.as_deref(), Some("A-1 2 2, B-1 0 1"));
    app.dispatch().await;
    let sent = app.text("SELECT string_agg(order_id, ' ' ORDER BY id) FROM attempts").await;
    assert_eq!((sent.as_deref(), app.applied("A-1")), (Some("B-1 A-1"), vec![2]));
}

#[tokio::test]
async fn orders_are_chosen_by_time_vendor_and_source() {
    let mut app = TestApp::start().await;
    let mut later = order("A-2", 1, "accepted");
    later["vendorId"] = json!("vendor-b");
    later["placedAt"] = json!("2026-04-01T00:00:00Z");
    app.stores(&later).await;
    let mut unknown_time = order("A-3", 1, "accepted");
    unknown_time.as_object_mut().unwrap().remove("placedAt");
    app.stores(&unknown_time).await;
    stored_before(&mut app, &["A-1"]).await;
    let missing = async |line: &str| {
        let told: Value = serde_json::from_str(&backfill(&app, &format!("hook {line} --json")).await.1).unwrap();
        told["missing"].as_u64().unwrap()
    };

    assert_eq!(
        missing("--since 2026-01-01T00:00:00Z").await,
        3,
        "without a time of its own, by when it was first seen"
    );
    assert_eq!(missing("--since 2026-03-01T12:05:00Z --until 2026-04-01T00:00:00Z").await, 1);
    assert_eq!(missing("--since 2026-03-01T12:05:01Z --until 2026-04-01T00:00:01Z").await, 1);
    assert_eq!(missing("--since 2026-01-01T00:00:00Z --vendor vendor-b").await, 1);
    assert_eq!(missing("--since 2026-01-01T00:00:00Z --source main --vendor nobody").await, 0);
    for (line, said) in [
        ("nowhere --since 2026-01-01T00:00:00Z", "no sink is called nowhere"),
        ("hook --since 2026-01-01T00:00:00Z --source nowhere", "no source is called nowhere"),
    ] {
        assert_eq!(backfill(&app, line).await, (1, format!("{said}\nnothing was changed\n")));
    }
}

#[tokio::test]
async fn what_was_settled_in_whatever_way_is_not_owed_again() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-2", 1, "placed")).await;

    let (code, _) = backfill(&app, "hook --since 2026-01-01T00:00:00Z --yes").await;

    assert_eq!((code, actions(&app).await), (0, 0));
    assert_eq!(standing(&app, "A-2").await, stands("skipped", Some("never_accepted")));
}

#[tokio::test]
async fn what_retention_emptied_is_left_out_and_told() {
    let mut app = TestApp::setup().with("sinks.hook.versions", "every").start().await;
    for version in [1, 2, 3] {
        app.stores(&order_of("A-1", version, "accepted", 100 * version)).await;
    }
    stored_before(&mut app, &["A-2"]).await;
    app.run("UPDATE order_versions SET payload = NULL WHERE order_id = 'A-2' OR version = 1").await;

    let (code, told) = backfill(&app, "hook --since 2026-01-01T00:00:00Z --yes").await;
    app.dispatch().await;

    let expected = "left out: 1, whose content retention removed\nowed to sink hook from now on: 1\n";
    assert_eq!((code, told.as_str()), (0, expected));
    assert_eq!(app.applied("A-1"), [2, 3], "the walk begins behind what was removed");
}

/// 4100 orders that the sink is not owed.
async fn many() -> TestApp {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO order_versions (source, order_id, version, status, content_hash, verdict, breakdown, payload, castable)
         SELECT 'main', 'A-' || n, 1, 'accepted', '', 'balanced', '{}', '{}', true FROM generate_series(1, 4100) AS n",
    )
    .await;
    app.run(
        "INSERT INTO orders (source, order_id, version, status, placed_at)
         SELECT source, order_id, 1, status, '2026-03-01T00:00:00Z' FROM order_versions",
    )
    .await;
    app
}

fn all() -> Backfill {
    Backfill { sink: SinkName::parse("hook").unwrap(), orders: Orders::default(), wish: Wish::Do }
}

#[tokio::test]
async fn stopped_between_two_steps_nothing_is_lost_and_the_rest_is_owed_later() {
    let app = many().await;
    let desk = Desk { pool: &app.pool, by: Operator { who: "ada", why: None }, offset_ms: 0 };

    let stopped = stored::backfill(desk, &all(), &mut |_| ControlFlow::Break(())).await.unwrap();
    assert_eq!((stopped.missing, stopped.owed, stopped.finished), (4100, 2000, false));
    assert_eq!(app.number("SELECT count(*) FROM deliveries").await, 2000);

    let rest = stored::backfill(desk, &all(), &mut |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((rest.missing, rest.owed, rest.finished), (2100, 2100, true));
    assert_eq!((app.number("SELECT count(*) FROM deliveries").await, actions(&app).await), (4100, 4100));
}

#[tokio::test]
async fn two_at_once_owe_each_order_once() {
    let app = many().await;
    let desk = |who| Desk { pool: &app.pool, by: Operator { who, why: None }, offset_ms: 0 };
    let (all, mut go_on, mut go_on_too) = (all(), |_| ControlFlow::Continue(()), |_| ControlFlow::Continue(()));

    let (one, other) = tokio::join!(
        stored::backfill(desk("ada"), &all, &mut go_on),
        stored::backfill(desk("bob"), &all, &mut go_on_too),
    );

    assert_eq!(one.unwrap().owed + other.unwrap().owed, 4100);
    assert_eq!((app.number("SELECT count(*) FROM deliveries").await, actions(&app).await), (4100, 4100));
}

#[tokio::test]
async fn a_sink_that_begins_at_the_beginning_is_owed_the_same_way() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-2", 1, "accepted")).await;
    app.run("UPDATE order_versions SET payload = NULL WHERE order_id = 'A-2'").await;
    app.run("DELETE FROM deliveries").await;
    app.run("DELETE FROM sinks").await;
    app.configure("sinks.hook.start", "beginning");

    app.restart().await;

    let owed = "SELECT string_agg(concat_ws(' ', order_id, state, priority), ', ') FROM deliveries";
    assert_eq!(app.text(owed).await.as_deref(), Some("A-1 pending 2"));
    assert_eq!(actions(&app).await, 0, "nobody did it");
    app.dispatch().await;
}
