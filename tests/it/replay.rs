//! `replay`: stored orders are planned again, and what is known of the destination decides what is sent.

use std::{ops::ControlFlow, time::Duration};

use clap::{Args, Command, FromArgMatches};
use scoffable_sync::{
    cli::{self, replay::ReplayArgs},
    domain::ids::SinkName,
    operate::{
        Desk, Step,
        stored::{self, Orders, Replay, Replayed, Wish},
    },
    simulator::faults::{plainly, status},
    store::operations::Operator,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::app::{TestApp, order, order_of},
    operate::{actions, deliveries, doubted, receipt, refused, standing, stands, text},
};

async fn replay(app: &TestApp, line: &str) -> (u8, String) {
    let words = ["replay", "--sink", "hook"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
    let matches = ReplayArgs::augment_args(Command::new("replay")).try_get_matches_from(words);
    let args = matches.and_then(|matches| ReplayArgs::from_arg_matches(&matches)).expect("the line is right");
    let mut out = Vec::new();
    let code = cli::replay::run(&app.pool, &args, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), text(out))
}

async fn applied(id: &str) -> TestApp {
    let mut app = TestApp::start().await;
    app.arrives(&order(id, 1, "accepted")).await;
    app
}

#[tokio::test]
async fn an_order_that_stands_there_as_it_should_is_planned_and_not_sent() {
    let mut app = applied("A-1").await;
    let before = receipt(&app, "A-1").await;

    let (code, told) = replay(&app, "A-1 --who ada --why asked").await;

    assert_eq!((code, told.as_str()), (0, "main/A-1 at sink hook: applied → pending\n"));
    assert_eq!(app.delivery("A-1").await.applied, Some(1), "what stands there stays known");
    assert_eq!(receipt(&app, "A-1").await, before);
    app.dispatch().await;
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
    assert_eq!(app.outcomes("A-1").await, ["delivered", "unchanged"]);
    assert_eq!(app.requests(), 1);
    let told = "SELECT concat_ws(' ', actor, event, detail ->> 'why', detail ->> 'was') FROM order_timeline
                WHERE order_id = 'A-1' AND actor LIKE 'operator:%'";
    assert_eq!(app.text(told).await.as_deref(), Some("operator:ada replay asked applied"));
}

#[tokio::test]
async fn an_order_that_should_stand_there_otherwise_is_sent_again() {
    let mut app = applied("A-1").await;
    app.run("UPDATE deliveries SET receipt = receipt || '{\"digest\": \"of another mapping\"}', external_id = 'POS-7'")
        .await;

    replay(&app, "A-1").await;
    app.dispatch().await;

    assert_eq!(app.requests(), 2);
    assert_eq!(app.outcomes("A-1").await, ["delivered", "delivered"]);
    assert_eq!(app.applied("A-1"), [1], "under the same key: the receiver counts it once");
    app.assert_no_violation();
}

#[tokio::test]
async fn g3_a_worker_lost_in_a_replay_leaves_what_stands_there_known() {
    let mut app = applied("A-1").await;
    replay(&app, "A-1").await;
    app.run(
        "UPDATE deliveries SET state = 'in_flight', lease_token = gen_random_uuid(), lease_owner = 'gone',
                               lease_expires_at = now(), sent_version = wanted_version, attempts = 1",
    )
    .await;
    app.advance(Duration::from_mins(1));

    app.dispatch().await;

    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
    assert_eq!(app.requests(), 1);
}

#[tokio::test]
async fn what_was_left_out_is_brought_once_the_rules_admit_it() {
    let mut app = TestApp::setup().with("sinks.hook.vendors", "[\"vendor-b\"]").start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(standing(&app, "A-1").await, stands("skipped", Some("filtered")));
    app.configure("sinks.hook.vendors", "[\"vendor-a\"]");
    app.restart().await;

    let (code, told) = replay(&app, "--reason filtered").await;
    app.dispatch().await;

    assert_eq!((code, told.as_str()), (0, "planned again at sink hook: 1\n"));
    assert_eq!(app.applied("A-1"), [1]);
}

#[tokio::test]
async fn a_parked_order_is_planned_again_whether_a_version_could_cure_it_or_not() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    refused(&mut app, "A-2").await;
    app.run("UPDATE deliveries SET curable = false WHERE order_id = 'A-2'").await;

    replay(&app, "--yes").await;
    app.dispatch().await;

    assert_eq!((app.applied("A-1"), app.applied("A-2")), (vec![1], vec![1]));
    assert_eq!(app.number("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").await, 0);
}

#[tokio::test]
async fn what_is_in_doubt_was_discarded_in_doubt_or_is_owed_anyway_is_left_alone() {
    let mut app = applied("A-1").await;
    doubted(&mut app, "A-2").await;
    doubted(&mut app, "A-3").await;
    deliveries(&app, "discard hook A-3").await;
    app.stores(&order("A-4", 1, "accepted")).await;
    let row = "SELECT string_agg(d::text, '; ' ORDER BY order_id) FROM deliveries d WHERE order_id <> 'A-1'";
    let before = app.text(row).await;

    assert_eq!(replay(&app, "--yes").await, (0, "planned again at sink hook: 1\n".to_owned()));

    assert_eq!(app.text(row).await, before);
    for (id, said) in [
        ("A-2", "order A-2 is in_doubt at sink hook: replay is for applied or skipped or parked"),
        ("A-3", "a discarded step of order A-3 may stand at sink hook: look there, and retry it if nothing stands"),
        ("A-4", "order A-4 is pending at sink hook: replay is for applied or skipped or parked"),
        ("Z-9", "sink hook is owed no order Z-9"),
        ("A-1 Z-9 --yes", "sink hook is owed no order Z-9"),
        ("--source nowhere", "no source is called nowhere"),
    ] {
        let told = replay(&app, id).await;
        if id == "A-1 Z-9 --yes" {
            // All or nothing, and the first is pending by now.
            assert!(told.1.contains(said), "{told:?}");
            continue;
        }
        assert_eq!(told, (1, format!("{said}\nnothing was changed\n")), "{id}");
    }
    assert_eq!(app.text(row).await, before);
    app.dispatch().await;
}

#[tokio::test]
async fn what_a_person_discarded_comes_back_only_when_it_is_asked_for() {
    let mut app = TestApp::start().await;
    for id in ["A-1", "A-2"] {
        refused(&mut app, id).await;
        deliveries(&app, &format!("discard hook {id}")).await;
    }

    assert_eq!(replay(&app, "--yes").await, (0, "nothing to replay at sink hook\n".to_owned()));
    assert_eq!(replay(&app, "A-1").await.0, 0);
    assert_eq!(replay(&app, "--reason discarded").await.0, 0);

    app.dispatch().await;
    assert_eq!((app.applied("A-1"), app.applied("A-2")), (vec![1], vec![1]));
}

#[tokio::test]
async fn what_is_being_sent_is_left_alone() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);

    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        assert_eq!(replay(app, "--yes").await, (0, "nothing to replay at sink hook\n".to_owned()));
        assert!(replay(app, "A-1").await.1.starts_with("order A-1 is being sent"));
        gate.cancel();
    })
    .await;

    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
}

#[tokio::test]
async fn more_than_one_order_needs_consent() {
    let mut app = applied("A-1").await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    let asked = "to be planned again at sink hook: 2\n";

    assert_eq!(replay(&app, "").await, (1, format!("{asked}nothing was changed: add --yes to do it\n")));
    assert_eq!(replay(&app, "A-1 A-2").await, (1, format!("{asked}nothing was changed: add --yes to do it\n")));
    assert_eq!(replay(&app, "--dry-run").await, (0, asked.to_owned()));
    let (code, told) = replay(&app, "A-1 A-2 --dry-run --json").await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &told["matching"], &told["replayed"]), (0, &json!(2), &json!(0)));
    assert_eq!((standing(&app, "A-1").await, actions(&app).await), (stands("applied", None), 0));

    assert_eq!(replay(&app, "A-1 A-2 --yes").await.0, 0);
    assert_eq!(actions(&app).await, 2);
    app.dispatch().await;
    assert_eq!(app.requests(), 2);
}

#[tokio::test]
async fn orders_are_chosen_by_vendor_time_source_and_reason() {
    let mut app = applied("A-1").await;
    let mut other = order("A-2", 1, "accepted");
    other["vendorId"] = json!("vendor-b");
    other["placedAt"] = json!("2026-04-01T00:00:00Z");
    app.arrives(&other).await;
    refused(&mut app, "A-3").await;
    let matching = async |line: &str| {
        let told: Value = serde_json::from_str(&replay(&app, &format!("{line} --dry-run --json")).await.1).unwrap();
        told["matching"].as_u64().unwrap()
    };

    assert_eq!(matching("").await, 3);
    assert_eq!(matching("--vendor vendor-b").await, 1);
    assert_eq!(matching("--since 2026-04-01T00:00:00Z").await, 1);
    assert_eq!(matching("--until 2026-04-01T00:00:00Z").await, 2);
    assert_eq!(matching("--reason unprocessable").await, 1);
    assert_eq!(matching("--source main --vendor vendor-a --until 2026-04-01T00:00:00Z").await, 2);
    assert_eq!(matching("--vendor nobody").await, 0);
    let (code, told) = replay(&app, "--vendor vendor-b").await;
    assert_eq!((code, told.as_str()), (0, "planned again at sink hook: 1\n"), "one needs no consent");
    assert_eq!(standing(&app, "A-2").await, stands("pending", None));
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
    app.dispatch().await;
}

#[tokio::test]
async fn many_come_after_what_is_new_and_one_that_was_named_at_once() {
    let mut app = applied("A-1").await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    app.run("UPDATE deliveries SET receipt = receipt || '{\"digest\": \"another\"}'").await;
    app.arrives(&order("A-3", 1, "accepted")).await;
    app.run("UPDATE deliveries SET receipt = receipt || '{\"digest\": \"another\"}'").await;
    let priorities = "SELECT string_agg(priority::text, ' ' ORDER BY order_id) FROM deliveries";

    replay(&app, "A-3").await;
    replay(&app, "--yes").await;

    assert_eq!(app.text(priorities).await.as_deref(), Some("2 2 1"));
    app.dispatch().await;
    assert_eq!(app.text(priorities).await.as_deref(), Some("1 1 1"));
}

#[tokio::test]
async fn of_every_version_only_the_newest_is_brought_again() {
    let mut app = TestApp::setup().with("sinks.hook.versions", "every").start().await;
    for version in [1, 3, 7] {
        app.arrives(&order_of("A-1", version, "accepted", 100 * version)).await;
    }

    replay(&app, "A-1").await;
    app.dispatch().await;

    assert_eq!(app.requests(), 4);
    let sent = app.text("SELECT string_agg(version::text, ' ' ORDER BY id) FROM attempts").await;
    assert_eq!(sent.as_deref(), Some("1 3 7 7"));
    assert_eq!((standing(&app, "A-1").await, app.delivery("A-1").await.applied), (stands("applied", None), Some(7)));
    app.arrives(&order_of("A-1", 8, "accepted", 800)).await;
    assert_eq!(app.applied("A-1"), [1, 3, 7, 8]);
    app.assert_no_violation();
}

#[tokio::test]
async fn of_every_version_a_replay_passes_over_none_that_was_refused() {
    let mut app = TestApp::setup().with("sinks.hook.versions", "every").start().await;
    app.webhook.answer_next([plainly(), status(422)]);
    for version in [1, 3, 7] {
        app.publish(&order_of("A-1", version, "accepted", 100 * version));
    }
    app.poll().await;
    app.dispatch().await;
    assert_eq!(standing(&app, "A-1").await, stands("parked", Some("unprocessable")));

    replay(&app, "A-1").await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1, 3, 7]);
}

#[tokio::test]
async fn an_order_whose_content_was_removed_stays_as_it_is() {
    let mut app = applied("A-1").await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    app.run("UPDATE order_versions SET payload = NULL WHERE order_id = 'A-1'").await;

    let told = "left out: 1, whose content retention removed\nplanned again at sink hook: 1\n";
    assert_eq!(replay(&app, "").await, (0, told.to_owned()));
    let refusal = "retention removed the content of order A-1: it cannot be planned again\nnothing was changed\n";
    assert_eq!(replay(&app, "A-1").await, (1, refusal.to_owned()));

    app.dispatch().await;
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
}

#[tokio::test]
async fn a_long_replay_that_is_stopped_keeps_what_it_did() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO order_versions (source, order_id, version, status, content_hash, verdict, breakdown, payload, castable)
         SELECT 'main', 'A-' || n, 1, 'accepted', '', 'balanced', '{}', '{}', true FROM generate_series(1, 4100) AS n",
    )
    .await;
    app.run(
        "INSERT INTO orders (source, order_id, version, status) SELECT source, order_id, 1, status FROM order_versions",
    )
    .await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version)
         SELECT 'hook', source, order_id, 'applied', 1, 1 FROM orders",
    )
    .await;
    let which = Replayed::Matching { orders: Orders::default(), reason: None };
    let request = Replay { sink: SinkName::parse("hook").unwrap(), which, wish: Wish::Do };
    let desk = Desk { pool: &app.pool, by: Operator { who: "ada", why: None }, offset_ms: 0 };
    let mut steps = Vec::new();

    let mut stop = |step: Step| {
        steps.push((step.done, step.of));
        ControlFlow::Break(())
    };
    let stopped = stored::replay(desk, &request, &mut stop).await.unwrap();

    assert_eq!((stopped.replayed, stopped.finished), (2000, false));
    assert_eq!(steps, [(2000, Some(4100))]);
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'pending'").await, 2000);
    let rest = stored::replay(desk, &request, &mut |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((rest.replayed, rest.finished), (2100, true));
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'pending'").await, 4100);
    assert_eq!(actions(&app).await, 4100);
}
