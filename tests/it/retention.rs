//! Retention: what is removed, what never is, by command and once a day by one process.

use std::{ops::ControlFlow, time::Duration};

use clap::{Args, Command, FromArgMatches};
use scoffable_sync::{
    cli::{self, prune::PruneArgs},
    config::{Keep, RetentionSettings},
    domain::ids::SinkName,
    operate::{
        Desk,
        prune::{Prune, prune as remove},
        stored::Wish,
    },
    ops::pruner::Pruner,
    store::{
        operations::{Named, Operator},
        replay, retention,
    },
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    harness::app::{TestApp, order, order_of},
    operate::{actions, deliveries, doubted, receipt, refused, standing, stands, text},
};

const DAY: Duration = Duration::from_hours(24);

fn days(days: u32) -> RetentionSettings {
    let keep = Keep::For(days * DAY);
    RetentionSettings { payloads: keep, attempts: keep, quarantine: keep, alerts: keep }
}

async fn prune_by(app: &TestApp, retention: &RetentionSettings, line: &str) -> (u8, String) {
    let words = ["prune"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty()));
    let matches = PruneArgs::augment_args(Command::new("prune")).try_get_matches_from(words);
    let args = matches.and_then(|matches| PruneArgs::from_arg_matches(&matches)).expect("the line is right");
    let mut out = Vec::new();
    let code = cli::prune::run(&app.pool, retention, &args, app.clock.offset_ms(), &mut out).await;
    (code.expect("the database answers"), text(out))
}

async fn prune(app: &TestApp, line: &str) -> Value {
    let (_, told) = prune_by(app, &days(400), &format!("{line} --json")).await;
    serde_json::from_str(&told).expect("JSON")
}

/// Versions whose payload is there, as `A-1:1`.
async fn kept(app: &TestApp) -> String {
    let kept = "SELECT string_agg(order_id || ':' || version, ' ' ORDER BY order_id, version) FROM order_versions
                WHERE payload IS NOT NULL";
    app.text(kept).await.unwrap_or_default()
}

#[tokio::test]
async fn g10_old_payloads_go_and_everything_that_counts_stays() {
    let mut app = TestApp::start().await;
    app.arrives(&order_of("A-1", 1, "accepted", 900)).await;
    app.arrives(&order("A-1", 2, "accepted")).await;
    app.arrives(&order("A-2", 1, "placed")).await;
    let books = "SELECT string_agg(concat_ws(' ', order_id, version, status, total_minor, verdict, breakdown), '; '
                                   ORDER BY order_id, version) FROM order_versions WHERE order_id <> 'A-3'";
    let (books_before, receipt_before) = (app.text(books).await, receipt(&app, "A-1").await);
    app.advance(401 * DAY);
    app.arrives(&order("A-3", 1, "accepted")).await;

    let told = prune(&app, "--yes --who ada --why asked").await;

    assert_eq!(
        told,
        json!({ "payloads": 3, "attempts": 3, "quarantine": 0, "alerts": 0, "removed": true, "finished": true })
    );
    assert_eq!(kept(&app).await, "A-3:1");
    assert_eq!(app.text(books).await, books_before);
    assert_eq!((standing(&app, "A-1").await, receipt(&app, "A-1").await), (stands("applied", None), receipt_before));
    assert_eq!(app.outcomes("A-3").await, ["delivered"]);
    let noted = "SELECT concat_ws(' ', who, action, why, detail) FROM operator_actions";
    assert_eq!(app.text(noted).await.as_deref(), Some("ada prune asked {\"attempts\": 3, \"payloads\": 3}"));
    assert_eq!(prune(&app, "--yes").await["payloads"], 0);
}

#[tokio::test]
async fn what_is_just_as_old_as_it_may_be_stays() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run("UPDATE order_versions SET received_at = now()").await;
    app.advance(399 * DAY);
    assert_eq!(prune(&app, "--yes").await["payloads"], 0);

    app.advance(DAY);
    assert_eq!(prune(&app, "--yes").await["payloads"], 1);
}

#[tokio::test]
async fn what_is_owed_or_waits_for_a_person_keeps_the_version_it_needs() {
    let mut app = TestApp::start().await;
    app.arrives(&order_of("A-1", 1, "accepted", 900)).await;
    app.stores(&order("A-1", 2, "accepted")).await;
    app.run("UPDATE deliveries SET next_attempt_at = now() + interval '900 days'").await;
    refused(&mut app, "A-2").await;
    doubted(&mut app, "A-3").await;
    doubted(&mut app, "A-4").await;
    deliveries(&app, "discard hook A-4").await;
    app.advance(500 * DAY);

    let told = prune(&app, "--yes").await;

    assert_eq!((&told["payloads"], kept(&app).await.as_str()), (&json!(2), "A-1:2 A-2:1 A-3:1"));
    assert_eq!(receipt(&app, "A-4").await, json!({ "possibly_stands": "k-A-4" }), "a doubt is never forgotten");
}

#[tokio::test]
async fn of_every_version_what_was_not_walked_yet_stays() {
    let mut app = TestApp::setup().with("sinks.hook.versions", "every").start().await;
    app.arrives(&order_of("A-1", 1, "accepted", 100)).await;
    for version in [3, 7] {
        app.stores(&order_of("A-1", version, "accepted", 100 * version)).await;
    }
    app.advance(500 * DAY);

    prune(&app, "--yes").await;

    assert_eq!(kept(&app).await, "A-1:3 A-1:7");
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1, 3, 7]);
    prune(&app, "--yes").await;
    assert_eq!(kept(&app).await, "");
}

#[tokio::test]
async fn what_any_of_several_sinks_is_owed_stays() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run("INSERT INTO sinks (name, kind) VALUES ('books', 'webhook')").await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, next_attempt_at)
         VALUES ('books', 'main', 'A-1', 'pending', 1, now())",
    )
    .await;
    app.advance(500 * DAY);

    assert_eq!(prune(&app, "--yes").await["payloads"], 0);
    app.run("UPDATE deliveries SET state = 'skipped', reason = 'filtered' WHERE sink = 'books'").await;
    assert_eq!(prune(&app, "--yes").await["payloads"], 1);
}

#[tokio::test]
async fn resolved_cases_lose_their_bytes_and_resolved_alerts_go() {
    let mut app = TestApp::start().await;
    app.stores(&json!({ "id": "A-1", "version": "new", "customer": "Jane Miller" })).await;
    app.stores(&json!({ "id": "A-2", "version": "new", "customer": "Jane Miller" })).await;
    app.run("UPDATE quarantine SET resolved_at = now(), resolution = 'stored' WHERE order_id = 'A-1'").await;
    app.run(
        "INSERT INTO alerts (cause, subject, resolved_at)
         VALUES ('dead_letter', 'a', NULL), ('dead_letter', 'b', now()), ('dead_letter', 'c', now() + interval '90 days')",
    )
    .await;
    app.advance(401 * DAY);

    let told = prune(&app, "--yes").await;

    assert_eq!((&told["quarantine"], &told["alerts"]), (&json!(1), &json!(1)));
    let left = "SELECT string_agg(concat(order_id, ' ', length(raw) > 0), ', ' ORDER BY id) FROM quarantine";
    assert_eq!(app.text(left).await.as_deref(), Some("A-1 f, A-2 t"));
    assert_eq!(
        app.text("SELECT string_agg(subject, ' ' ORDER BY id) FROM alerts WHERE cause = 'dead_letter'")
            .await
            .as_deref(),
        Some("a c")
    );
    assert_eq!(prune(&app, "--yes").await["quarantine"], 0);
}

#[tokio::test]
async fn without_consent_it_only_counts() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(401 * DAY);
    let counts = "  1 payloads of order versions\n  1 attempts\n  0 contents of resolved quarantine cases\n  0 resolved alerts\n";

    let asked = format!("to be removed:\n{counts}nothing was changed: add --yes to do it\n");
    assert_eq!(prune_by(&app, &days(400), "").await, (1, asked));
    assert_eq!(prune_by(&app, &days(400), "--dry-run").await, (0, format!("to be removed:\n{counts}")));
    assert_eq!((kept(&app).await.as_str(), actions(&app).await), ("A-1:1", 0));

    assert_eq!(prune_by(&app, &days(400), "--yes").await, (0, format!("removed:\n{counts}")));
    assert_eq!(prune_by(&app, &days(400), "").await, (0, "nothing is older than it may be\n".to_owned()));
}

#[tokio::test]
async fn what_is_kept_for_good_is_not_even_looked_at() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(3_000 * DAY);
    let never = RetentionSettings {
        payloads: Keep::Forever,
        attempts: Keep::Forever,
        quarantine: Keep::Forever,
        alerts: Keep::Forever,
    };

    assert_eq!(prune_by(&app, &never, "--yes").await.0, 0);

    assert_eq!(kept(&app).await, "A-1:1");
    assert_eq!(app.outcomes("A-1").await.len(), 1);
    assert!(!never.removes_something());
}

#[tokio::test]
async fn an_order_that_is_planned_again_meanwhile_keeps_its_payload() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    app.advance(401 * DAY);
    let offset = app.clock.offset_ms();
    let by = Operator { who: "ada", why: None };
    let found = retention::removable_payloads(&app.pool, None, 100, 400 * DAY, offset).await.unwrap();
    assert_eq!(found.removable.len(), 2);

    let (sink, order_ids) = (SinkName::parse("hook").unwrap(), ["A-1".to_owned()]);
    let named = Named { sink: &sink, source: None, order_ids: &order_ids };
    replay::named(&app.pool, named, by, offset).await.unwrap();
    let run = retention::begin_run(&app.pool, by, offset).await.unwrap();
    let removed = retention::remove_payloads(&app.pool, run, &found.removable).await.unwrap();

    assert_eq!((removed, kept(&app).await.as_str()), (1, "A-1:1"));
    app.dispatch().await;
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
}

#[tokio::test]
async fn a_replay_that_waits_for_a_removal_finds_the_content_gone() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    let mut removal = app.pool.begin().await.unwrap();
    sqlx::query("UPDATE order_versions SET payload = NULL").execute(&mut *removal).await.unwrap();
    let (sink, order_ids) = (SinkName::parse("hook").unwrap(), ["A-1".to_owned()]);
    let named = Named { sink: &sink, source: None, order_ids: &order_ids };

    let (replayed, ()) = tokio::join!(replay::named(&app.pool, named, Operator { who: "ada", why: None }, 0), async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        crate::harness::process::until("it waits", async || app.number(waiting).await == 1).await;
        removal.commit().await.unwrap();
    });

    assert!(replayed.is_err());
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
}

#[tokio::test]
async fn many_rows_go_in_short_steps_and_a_stopped_run_says_what_it_did() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO order_versions (source, order_id, version, status, content_hash, verdict, breakdown, payload, castable,
                                     received_at)
         SELECT 'main', 'A-' || n, 1, 'accepted', '', 'balanced', '{}', '{}', true, '2020-01-01Z'
         FROM generate_series(1, 12000) AS n",
    )
    .await;
    app.run(
        "INSERT INTO attempts (sink, source, order_id, version, attempt, started_at, finished_at, outcome)
         SELECT 'hook', 'main', 'A-1', 1, 1, at, at, 'delivered'
         FROM (SELECT CASE WHEN n <= 4100 THEN '2020-01-01Z'::timestamptz ELSE now() END FROM generate_series(1, 5000) AS n) t (at)",
    )
    .await;
    let desk = Desk { pool: &app.pool, by: Operator { who: "ada", why: None }, offset_ms: 0 };
    let request = Prune { wish: Wish::Do };

    let stopped = remove(desk, &days(400), &request, &mut |_| ControlFlow::Break(())).await.unwrap();

    assert_eq!((stopped.payloads, stopped.finished), (5000, false));
    let noted = "SELECT detail::text FROM operator_actions ORDER BY id DESC LIMIT 1";
    assert_eq!(app.text(noted).await.as_deref(), Some("{\"payloads\": 5000}"));
    let rest = remove(desk, &days(400), &request, &mut |_| ControlFlow::Continue(())).await.unwrap();
    assert_eq!((rest.payloads, rest.attempts, rest.finished), (7000, 4100, true));
    assert_eq!(app.number("SELECT count(*) FROM attempts").await, 900);
    assert_eq!(app.text(noted).await.as_deref(), Some("{\"attempts\": 4100, \"payloads\": 7000}"));
}

// Once a day

fn pruner(app: &TestApp, owner: &str) -> Pruner {
    Pruner { pool: app.line(), retention: days(400), clock: app.clock.clone(), owner: owner.to_owned() }
}

#[tokio::test]
async fn of_all_processes_one_prunes_once_a_day() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(401 * DAY);
    let drain = CancellationToken::new();
    let (one, other) = (pruner(&app, "one"), pruner(&app, "other"));

    let (first, second) = tokio::join!(one.tick(&drain), other.tick(&drain));

    let turns = [first.unwrap(), second.unwrap()];
    assert_eq!(turns.iter().flatten().map(|pruned| pruned.payloads).sum::<u64>(), 1);
    assert_eq!(turns.iter().flatten().count(), 1, "{turns:?}");
    assert_eq!(one.tick(&drain).await.unwrap(), None);
    app.advance(DAY);
    assert!(one.tick(&drain).await.unwrap().is_some());
    let noted = "SELECT string_agg(who || ' ' || action, ', ' ORDER BY id) FROM operator_actions";
    assert_eq!(app.text(noted).await.as_deref(), Some("retention prune, retention prune"));
}

#[tokio::test]
async fn g8_a_process_that_died_pruning_is_replaced() {
    let app = TestApp::start().await;
    let drain = CancellationToken::new();
    app.run("UPDATE housekeeping SET lease_owner = 'dead', lease_expires_at = now() + interval '20 minutes'").await;
    assert_eq!(pruner(&app, "one").tick(&drain).await.unwrap(), None);

    app.advance(Duration::from_mins(21));

    assert!(pruner(&app, "one").tick(&drain).await.unwrap().is_some());
}

#[tokio::test]
async fn g8_a_run_that_was_drained_or_failed_goes_on_without_waiting_for_tomorrow() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(401 * DAY);
    let drained = CancellationToken::new();
    drained.cancel();
    let pruned = pruner(&app, "one").tick(&drained).await.unwrap().expect("its turn");
    assert!(!pruned.finished);

    app.run("ALTER TABLE order_versions RENAME TO elsewhere").await;
    let drain = CancellationToken::new();
    assert!(pruner(&app, "other").tick(&drain).await.is_err());
    app.run("ALTER TABLE elsewhere RENAME TO order_versions").await;

    assert!(pruner(&app, "another").tick(&drain).await.unwrap().expect("its turn").finished);
}

#[tokio::test]
async fn the_daemon_prunes_only_where_something_is_not_kept_for_good() {
    let app = TestApp::start().await;
    assert!(app.another_process().await.pruner.is_some());

    let mut setup = TestApp::setup();
    for key in ["payloads", "attempts", "quarantine", "alerts"] {
        setup = setup.with(&format!("retention.{key}"), "never");
    }
    assert!(setup.start().await.another_process().await.pruner.is_none());
}
