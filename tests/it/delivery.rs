//! The way of an order from the stream to a receiver: claim, send, settle, drain.

use std::{sync::Arc, time::Duration};

use scoffable_sync::{
    delivery::dispatcher::Tick,
    domain::delivery::{Plan, Repeat, WaitingFor},
    simulator::faults::{cut_after, plainly, status},
};
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{PATIENCE, TestApp, order, order_of},
    puppet::{Call, Puppet, drive},
};

const WAITS_FOR_A_LOCK: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()";

#[tokio::test]
async fn an_accepted_order_is_posted_once_and_its_id_is_kept() {
    let mut app = TestApp::start().await;

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.poll().await;
    app.dispatch().await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.applied), ("applied", Some(1)));
    assert!(delivery.external_id.is_some());
    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(app.outcomes("A-1").await, ["delivered"]);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_version_that_changes_nothing_visible_is_applied_without_a_call() {
    let mut app = TestApp::start().await;

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 2, "accepted")).await;
    app.arrives(&order_of("A-1", 3, "accepted", 900)).await;

    assert_eq!(app.applied("A-1"), [1, 3]);
    assert_eq!(app.outcomes("A-1").await, ["delivered", "unchanged", "delivered"]);
    assert_eq!(app.delivery("A-1").await.applied, Some(3));
}

#[tokio::test]
async fn a_wanted_version_that_cannot_be_seen_yet_is_looked_for_again() {
    // Found with a commit that began before a claim and ended after the claim's snapshot: the claim locks the row as it is
    // now, with the raised number, and does not see the version behind it. It was taken for nothing to do, and lost.
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run("UPDATE deliveries SET wanted_version = 2, state = 'pending', next_attempt_at = now()").await;
    let Tick::Worked(1) = app.dispatchers[0].tick().await.unwrap() else { panic!("nothing was due") };

    assert_eq!(app.delivery("A-1").await.state, "pending", "version 2 was never seen, so nothing can be said of it");
    app.run("UPDATE deliveries SET wanted_version = 1").await;
    app.stores(&order_of("A-1", 2, "accepted", 900)).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1, 2]);
}

#[tokio::test]
async fn new_orders_go_before_corrections_and_corrections_before_backfill() {
    let mut app = TestApp::setup().with("sinks.hook.concurrency", "1").start().await;
    for id in ["A-1", "A-2", "A-3"] {
        app.stores(&order(id, 1, "accepted")).await;
    }
    app.run("UPDATE deliveries SET priority = CASE order_id WHEN 'A-1' THEN 2 WHEN 'A-2' THEN 1 ELSE 0 END").await;

    app.dispatch().await;

    let sent: Vec<String> = app.webhook.received().into_iter().map(|request| request.order.order_id).collect();
    assert_eq!(sent, ["A-3", "A-2", "A-1"]);
}

#[tokio::test]
async fn a_new_version_of_an_applied_order_is_a_correction() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;

    app.stores(&order_of("A-1", 2, "accepted", 900)).await;
    app.stores(&order("A-2", 1, "accepted")).await;

    assert_eq!(app.number("SELECT priority::bigint FROM deliveries WHERE order_id = 'A-1'").await, 1);
    assert_eq!(app.number("SELECT priority::bigint FROM deliveries WHERE order_id = 'A-2'").await, 0);
}

#[tokio::test]
async fn a_settle_whose_lease_went_to_another_moves_nothing_and_records_the_attempt() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);

    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        app.run("UPDATE deliveries SET lease_token = gen_random_uuid(), lease_owner = 'another'").await;
        gate.cancel();
    })
    .await;

    assert_eq!(app.delivery("A-1").await.state, "in_flight");
    assert_eq!(app.delivery("A-1").await.applied, None);
    assert_eq!(app.text("SELECT lease_owner FROM deliveries").await.as_deref(), Some("another"));
    assert_eq!(app.outcomes("A-1").await, ["delivered"]);
}

/// Cause: a cancellation waited as long as the shipment that the version before it had been planned to wait for.
#[tokio::test]
async fn a_version_that_waits_does_not_hold_up_a_newer_one_that_came_while_it_was_planned() {
    for (outcome, is_due) in [(Some("waits"), true), (None, false)] {
        let mut app = TestApp::start().await;
        app.stores(&order("A-1", 1, "accepted")).await;
        let claimed = store_tests::claim(&app, "planner").await;
        app.stores(&order("A-1", 2, "cancelled")).await;

        store_tests::settle(&app, &[store_tests::waits(&claimed, 1, Duration::from_hours(6), outcome)]).await;

        let due =
            app.number("SELECT count(*) FROM deliveries WHERE next_attempt_at <= now() + interval '1 minute'").await;
        assert_eq!(due == 1, is_due, "{outcome:?}: none was given back, nobody looked at it");
    }
}

/// Cause: what a plan waits for gives its attempt back, and was taken for a delivery that nobody had looked at.
#[tokio::test]
async fn g2_what_a_plan_waits_for_does_not_hold_up_a_version_that_came_meanwhile() {
    let mut app = TestApp::start().await;
    let puppet = Arc::new(Puppet::new(Repeat::Safe));
    drive(&mut app, Arc::clone(&puppet) as _);
    puppet.plans(Plan::Unread);
    puppet.plans(Plan::wait(Duration::from_hours(6), WaitingFor::Shipment));
    puppet.waits();
    app.stores(&order("A-1", 1, "accepted")).await;

    app.during_a_tick(async |app| {
        puppet.waiting.notified().await;
        app.stores(&order_of("A-1", 2, "accepted", 900)).await;
        puppet.go_on.notify_one();
    })
    .await;
    app.dispatch().await;

    assert_eq!(puppet.calls(), [Call::Send("A-1-2".to_owned())]);
    assert_eq!(app.delivery("A-1").await.state, "applied");
    assert_eq!(app.delivery("A-1").await.attempts, 0);
}

#[tokio::test]
async fn an_outcome_of_an_old_lease_does_not_stand_for_the_one_of_the_new_lease() {
    // Both outcomes of one order are settled in one batch: the first was kept while the database was away, the lease ran
    // out meanwhile, and the same process claimed the order again.
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let mut settlements = Vec::new();
    for (owner, version) in [("first", 1), ("second", 1)] {
        let claimed = store_tests::claim(&app, owner).await;
        settlements.push(store_tests::refused_or_applied(&claimed, version, owner == "second"));
        app.advance(Duration::from_mins(1));
    }
    settlements.reverse();

    for batch in [settlements.clone(), settlements.into_iter().rev().collect()] {
        store_tests::settle(&app, &batch).await;
    }

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.applied), ("applied", Some(1)), "{delivery:?}");
}

#[tokio::test]
async fn a_version_that_arrives_while_the_settle_waits_for_its_row_is_still_owed() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let claimed = store_tests::claim(&app, "worker").await;
    let settlement = store_tests::refused_or_applied(&claimed, 1, true);
    let mut ingest = app.pool.begin().await.unwrap();
    sqlx::query("UPDATE deliveries SET wanted_version = 2").execute(&mut *ingest).await.unwrap();

    let settle = async { store_tests::settle(&app, std::slice::from_ref(&settlement)).await };
    let commit = async {
        store_tests::until(&app, WAITS_FOR_A_LOCK).await;
        ingest.commit().await.unwrap();
    };
    tokio::join!(settle, commit);

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.applied, delivery.wanted), ("pending", Some(1), 2));
}

#[tokio::test]
async fn a_newer_version_that_arrived_while_the_old_one_was_refused_starts_afresh() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([status(422).answered_when(&gate)]);

    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        app.stores(&order_of("A-1", 2, "accepted", 900)).await;
        gate.cancel();
    })
    .await;

    let delivery = app.delivery("A-1").await;
    assert_eq!((delivery.state.as_str(), delivery.attempts, delivery.reason), ("pending", 0, None));
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE first_failed_at IS NOT NULL").await, 0);
}

#[tokio::test]
async fn an_outcome_is_kept_while_the_database_is_away_and_recorded_when_it_is_back() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);

    let pool = app.pool.clone();
    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        // Everything that settles fails until the table is back.
        app.run("ALTER TABLE attempts RENAME TO attempts_away").await;
        gate.cancel();
        let answered = app.webhook.journal().wait_until(|journal| journal.answers().get(&200) == Some(&1), PATIENCE);
        answered.await.expect("the receiver answers");
        app.run("SELECT pg_sleep(0.15)").await;
        assert_eq!(app.delivery("A-1").await.state, "in_flight");
        sqlx::query("ALTER TABLE attempts_away RENAME TO attempts").execute(&pool).await.unwrap();
    })
    .await;

    assert_eq!(app.delivery("A-1").await.state, "applied");
    assert_eq!(app.outcomes("A-1").await, ["delivered"]);
    assert_eq!(app.requests(), 1);
}

#[tokio::test]
async fn an_outcome_survives_its_connections_being_cut() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);

    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        app.cut_database_connections().await;
        gate.cancel();
    })
    .await;

    assert_eq!(app.delivery("A-1").await.state, "applied");
    assert_eq!(app.requests(), 1);
}

#[tokio::test]
async fn a_batch_with_an_outcome_that_the_database_refuses_is_settled_row_by_row() {
    let mut app = TestApp::start().await;
    app.run("ALTER TABLE deliveries ADD CHECK (external_id <> 'hook-main-A-2')").await;
    for id in ["A-1", "A-2", "A-3"] {
        app.stores(&order(id, 1, "accepted")).await;
    }

    app.dispatch().await;

    for id in ["A-1", "A-2", "A-3"] {
        assert_eq!(app.delivery(id).await.state, "applied", "{id}");
        assert_eq!(app.outcomes(id).await, ["delivered"], "{id}");
    }
    assert_eq!(app.delivery("A-2").await.external_id, None);
    assert_eq!(app.delivery("A-3").await.external_id.as_deref(), Some("hook-main-A-3"));
}

#[tokio::test]
async fn a_claim_changes_no_index() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, next_attempt_at, external_id)
         SELECT 'hook', 'main', 'A-' || n, 'pending', 1, now() - interval '1 minute', 'POS-' || n
         FROM generate_series(1, 400) AS n",
    )
    .await;
    let hot = "SELECT (n_tup_upd - n_tup_hot_upd)::bigint FROM pg_stat_user_tables WHERE relname = 'deliveries'";
    app.run("VACUUM deliveries").await;

    let claimed = store_tests::claim_up_to(&app, "worker", 200).await;

    assert_eq!(claimed.len(), 200);
    app.run("SELECT pg_stat_force_next_flush()").await;
    store_tests::until(
        &app,
        "SELECT (n_tup_upd >= 200)::int::bigint FROM pg_stat_user_tables WHERE relname = 'deliveries'",
    )
    .await;
    // A claimed row is longer, so the last ones of a page find no room beside the others.
    let touched = app.number(hot).await;
    assert!(touched <= 60, "{touched} of 200 updates had to touch the indexes");
    app.run("DELETE FROM deliveries").await;
}

#[tokio::test]
async fn a_claim_walks_its_index_whatever_the_planner_knows() {
    let app = TestApp::start().await;
    app.run("ALTER TABLE deliveries SET (autovacuum_enabled = false)").await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, next_attempt_at)
         SELECT 'hook', 'main', 'A-' || n, CASE WHEN n % 2 = 0 THEN 'pending' ELSE 'applied' END, 1, 1,
                now() - n * interval '1 second'
         FROM generate_series(1, 20000) AS n",
    )
    .await;

    for analysed in ["no", "yes"] {
        if analysed == "yes" {
            app.run("ANALYZE deliveries").await;
        }
        // The claim's own inner query, as a prepared statement's generic plan sees it.
        let mut connection = app.pool.acquire().await.unwrap();
        let plan = store_tests::explain_claim(&mut connection).await;
        let due = &plan[plan.find("CTE due").expect("the plan has the part")..plan.find("CTE lost").expect("so")];
        assert!(due.contains("deliveries_due"), "analysed: {analysed}\n{plan}");
        assert!(!due.contains("Sort"), "analysed: {analysed}\n{plan}");
        assert!(!plan.contains("Seq Scan on deliveries"), "analysed: {analysed}\n{plan}");
    }
}

#[tokio::test]
async fn a_lease_that_is_nearly_over_is_prolonged_before_the_send() {
    let mut app =
        TestApp::setup().with("sinks.hook.concurrency", "1").with("sinks.hook.request_timeout", "5s").start().await;
    // Margin and timeout need 10 s: what waits 200 ms behind another order has less left.
    app.settings.delivery.lease = Duration::from_millis(10_150);
    app.rebuild();
    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-2", 1, "accepted")).await;
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    app.webhook.answer_next([plainly().answered_when(&first), plainly().answered_when(&second)]);

    let mut leases = (0, 0);
    app.during_a_tick(async |app| {
        let until = "SELECT (extract(epoch FROM max(lease_expires_at)) * 1000)::bigint FROM deliveries";
        app.requests_begun(1).await;
        leases.0 = app.number(until).await;
        app.run("SELECT pg_sleep(0.2)").await;
        first.cancel();
        app.requests_begun(2).await;
        leases.1 = app.number(until).await;
        second.cancel();
    })
    .await;

    assert!(leases.1 >= leases.0 + 150, "{leases:?}");
    assert_eq!(app.delivery("A-2").await.state, "applied");
}

#[tokio::test]
async fn a_lease_that_went_to_another_process_meanwhile_is_not_sent_under() {
    let mut app =
        TestApp::setup().with("sinks.hook.concurrency", "1").with("sinks.hook.request_timeout", "5s").start().await;
    app.settings.delivery.lease = Duration::from_millis(10_150);
    app.rebuild();
    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-2", 1, "accepted")).await;
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);

    app.during_a_tick(async |app| {
        app.requests_begun(1).await;
        app.run("SELECT pg_sleep(0.2)").await;
        app.run("UPDATE deliveries SET lease_token = gen_random_uuid()").await;
        gate.cancel();
    })
    .await;

    assert_eq!(app.requests(), 1, "the second was not sent");
    assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE state = 'in_flight'").await, 2);
}

#[tokio::test]
async fn a_lease_too_short_for_the_request_sends_nothing() {
    let mut app = TestApp::setup().with("sinks.hook.request_timeout", "5s").start().await;
    app.settings.delivery.lease = Duration::from_millis(9_900);
    app.rebuild();
    app.stores(&order("A-1", 1, "accepted")).await;

    app.dispatch().await;

    assert_eq!(app.requests(), 0);
    assert_eq!(app.delivery("A-1").await.state, "in_flight");
}

#[tokio::test]
async fn a_drain_finishes_what_was_sent_and_gives_back_what_was_not() {
    let mut app = TestApp::setup().with("sinks.hook.concurrency", "1").start().await;
    for n in 1..=5 {
        app.stores(&order(&format!("A-{n}"), 1, "accepted")).await;
    }
    let gate = CancellationToken::new();
    app.webhook.answer_next([plainly().answered_when(&gate)]);
    let drain = CancellationToken::new();
    let dispatcher = tokio::spawn(app.dispatchers.remove(0).run(drain.clone()));
    app.requests_begun(1).await;
    store_tests::until(&app, "SELECT (count(*) >= 5)::int::bigint FROM deliveries WHERE state = 'in_flight'").await;

    drain.cancel();
    store_tests::until(&app, "SELECT (count(*) = 4)::int::bigint FROM deliveries WHERE state = 'pending'").await;
    gate.cancel();
    tokio::time::timeout(PATIENCE, dispatcher).await.expect("the drain ends").unwrap();

    assert_eq!(app.requests(), 1);
    let states = sqlx::query("SELECT state, attempts, sent_version FROM deliveries ORDER BY order_id");
    for (n, row) in states.fetch_all(&app.pool).await.unwrap().iter().enumerate() {
        let (state, attempts, sent): (String, i32, Option<i64>) = (row.get(0), row.get(1), row.get(2));
        let expected = if n == 0 { ("applied", 0, Some(1)) } else { ("pending", 0, None) };
        assert_eq!((state.as_str(), attempts, sent), expected, "order {}", n + 1);
    }
}

#[tokio::test]
async fn the_loop_sends_what_arrives_and_what_is_due_later() {
    let mut app = TestApp::setup().with("sinks.hook.retry.initial", "10ms").start().await;
    app.webhook.answer_next([status(500), cut_after()]);
    let drain = CancellationToken::new();
    let dispatcher = tokio::spawn(app.dispatchers.remove(0).run(drain.clone()));

    app.stores(&order("A-1", 1, "accepted")).await;
    let applied = app.webhook.wait_until(|ledger| ledger.repeats() == 1, PATIENCE).await;
    store_tests::until(&app, "SELECT count(*) FROM deliveries WHERE state = 'applied'").await;
    drain.cancel();
    dispatcher.await.unwrap();

    applied.expect("a lost answer is asked for again");
    assert_eq!(app.outcomes("A-1").await, ["unknown", "unknown", "delivered"]);
    app.assert_no_violation();
}

/// Claims and settlements made by hand, where the loop never stands still long enough.
mod store_tests {
    use std::time::Duration;

    use scoffable_sync::{
        domain::{
            delivery::DeliveryKey,
            ids::{SinkName, Version},
        },
        store::deliveries::{self, AttemptRecord, Claim, Claimed, Next, Settlement, Superseding},
    };
    use sqlx::{PgConnection, Row};

    use crate::harness::app::{PATIENCE, SINK, TestApp};

    pub async fn claim_up_to(app: &TestApp, owner: &str, limit: u32) -> Vec<Claimed> {
        let sink = SinkName::parse(SINK).unwrap();
        let claim = Claim {
            sink: &sink,
            lanes: &[String::new()],
            priorities: deliveries::ANY_PRIORITY,
            limit,
            owner,
            lease: Duration::from_secs(30),
            after: None,
        };
        deliveries::claim(&app.pool, &claim, app.clock.offset_ms()).await.unwrap()
    }

    pub async fn claim(app: &TestApp, owner: &str) -> Claimed {
        claim_up_to(app, owner, 1).await.pop().expect("something is due")
    }

    pub fn refused_or_applied(claimed: &Claimed, version: i64, applied: bool) -> Settlement {
        let DeliveryKey { .. } = claimed.key;
        let next = if applied {
            Next::Applied
        } else {
            Next::Parked { reason: "unprocessable".to_owned(), hint: "see there".to_owned(), curable: true }
        };
        Settlement {
            key: claimed.key.clone(),
            lane: claimed.lane.clone(),
            token: claimed.token,
            version: Version(version),
            next,
            sent: Some(Version(version)),
            external_id: None,
            receipt: None,
            notice: None,
            alert: None,
            last_error: None,
            attempt: AttemptRecord {
                number: claimed.attempt,
                step: Some("post".to_owned()),
                started_at: chrono::DateTime::UNIX_EPOCH,
                finished_at: chrono::DateTime::UNIX_EPOCH,
                outcome: Some(if applied { "delivered" } else { "reject" }),
                http_status: None,
                reason: None,
                request_digest: None,
                response_excerpt: None,
                external_id: None,
                again: false,
            },
        }
    }

    pub fn waits(claimed: &Claimed, version: i64, wait: Duration, outcome: Option<&'static str>) -> Settlement {
        let next = Next::Pending {
            wait,
            waiting_for: Some("shipment"),
            not_before: None,
            failed: false,
            refused: false,
            refund: true,
        };
        let planned = refused_or_applied(claimed, version, true);
        Settlement { next, attempt: AttemptRecord { step: None, outcome, ..planned.attempt }, ..planned }
    }

    pub async fn settle(app: &TestApp, batch: &[Settlement]) {
        let sink = SinkName::parse(SINK).unwrap();
        let offset = app.clock.offset_ms();
        deliveries::settle(&app.pool, &sink, Superseding::Newest, batch, offset).await.unwrap();
    }

    /// Waits until the number is not zero.
    pub async fn until(app: &TestApp, sql: &'static str) {
        let wait = async {
            while app.number(sql).await == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {sql}"));
    }

    /// The claim's statement as the database knows it, explained with a plan for any parameters.
    pub async fn explain_claim(connection: &mut PgConnection) -> String {
        let text = include_str!("../../src/store/deliveries/claim.rs");
        let begin = text.find("-- deliveries.claim\n").expect("the claim has its name");
        let statement = &text[begin..begin + text[begin..].find("\"#").expect("the statement ends")];
        let bare: String = statement.replace(" AS \"", " AS \"x_").lines().skip(1).collect::<Vec<_>>().join("\n");
        let prepare =
            format!("PREPARE claim (text, text[], bigint, uuid, text, float8, float8, text, int, int) AS {bare}");
        let run = |sql: String| sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        for sql in ["SET plan_cache_mode = force_generic_plan".to_owned(), prepare] {
            run(sql).execute(&mut *connection).await.unwrap();
        }
        let explain =
            "EXPLAIN EXECUTE claim ('hook', '{\"\"}', 200, gen_random_uuid(), 'me', 30000, 0, NULL, 0, 2)".to_owned();
        let rows = run(explain).fetch_all(&mut *connection).await.unwrap();
        run("DEALLOCATE claim; RESET plan_cache_mode".to_owned()).execute(&mut *connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
    }
}
