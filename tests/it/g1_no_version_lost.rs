//! G1: a version the stream returned is stored in the same transaction as the cursor behind it, whatever is killed when.

use std::{collections::BTreeSet, time::Duration};

use scoffable_sync::simulator::{
    faults::{Chaos, slow},
    scoffable::Limits,
    world::{World, WorldOptions},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{SOURCE, TestApp, order},
    stream::{page, stored},
};

const LEASE: Duration = Duration::from_secs(31);

fn options(orders: usize) -> WorldOptions {
    WorldOptions { orders, seed: 3, ..WorldOptions::default() }
}

/// A stream of small pages, so that there are many moments between them.
async fn small_pages(orders: usize, chaos: Chaos) -> TestApp {
    let mut setup = TestApp::setup().with("sources.main.page_size", "3").with("sources.main.poll_interval", "1s");
    setup.stream.limits = Limits::NONE;
    setup.stream.chaos = chaos;
    setup.world = Some(World::generate(options(orders)));
    setup.start().await
}

/// Everything published, by id and number.
fn published(world: &World) -> BTreeSet<(String, i64)> {
    let all = world.orders.values();
    all.flat_map(|order| order.versions.iter().map(|version| (order.id.clone(), version.number))).collect()
}

/// Reads and delivers what is left, as a process that starts anew.
async fn finish(app: &mut TestApp) {
    app.scoffable.faults().set_chaos(Chaos::None);
    app.scoffable.faults().clear_script();
    app.advance(LEASE);
    app.restart().await;
    app.poll().await;
    app.run_to_rest().await;
}

/// Nothing is missing, nothing was made up, nothing was sent twice.
async fn assert_whole(app: &TestApp, world: &World) {
    assert_eq!(stored(&app.pool).await, published(world));
    assert_eq!(app.webhook.compare(SOURCE, world), []);
    assert_eq!(app.webhook.ledger().repeats(), 0, "no delivery came twice");
    app.assert_no_violation();
    let counted = app.number("SELECT versions FROM sources").await;
    assert_eq!(counted as usize, published(world).len(), "each version was new once");
    let newest = "SELECT count(*) FROM orders o
                  WHERE o.version <> (SELECT max(v.version) FROM order_versions v
                                      WHERE v.source = o.source AND v.order_id = o.order_id)";
    assert_eq!(app.number(newest).await, 0);
    let owed = "SELECT count(*) FROM orders o LEFT JOIN deliveries d USING (source, order_id)
                WHERE d.wanted_version IS DISTINCT FROM o.version";
    assert_eq!(app.number(owed).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poller_killed_at_any_moment_loses_and_repeats_nothing() {
    let world = World::generate(options(30));
    let mut app = small_pages(30, Chaos::None).await;

    // The moment moves through the whole of a page's way: request, answer, decoding, commit, next request.
    for kill in 0..40_u64 {
        app.restart().await;
        app.make_sources_due().await;
        let (mut poller, drain) = (app.pollers.remove(0), app.drain.clone());
        let running = tokio::spawn(async move { poller.tick(&drain).await });
        tokio::time::sleep(Duration::from_micros(700 * kill)).await;
        running.abort();
        let _ = running.await;
        let known: BTreeSet<_> = stored(&app.pool).await;
        assert!(known.is_subset(&published(&world)));
        app.advance(LEASE); // its lease runs out
        if kill % 10 == 0 {
            app.dispatch().await;
        }
    }
    finish(&mut app).await;

    assert_whole(&app, &world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_while_pages_are_stored_lose_and_repeat_nothing() {
    let world = World::generate(options(40));
    let app = &mut small_pages(40, Chaos::None).await;
    let drain = CancellationToken::new();
    let running = tokio::spawn(app.pollers.remove(0).run(drain.clone()));

    // Cut again once something came through, however slow the machine: a loop that is cut at each step never arrives.
    let until = Instant::now() + Duration::from_mins(1);
    let (mut cuts, mut cut_at) = (0, None);
    loop {
        let stored = stored_so_far(app).await;
        if stored >= published(&world).len() {
            break;
        }
        assert!(Instant::now() < until, "the stream is read in spite of {cuts} cuts");
        if cut_at.is_none_or(|before| stored > before) {
            // Its own connection is the test's; the rest are the poller's.
            let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()";
            if let Ok(cut) = sqlx::query_scalar::<_, i64>(cut).fetch_one(&app.pool).await {
                cuts += cut;
                cut_at = Some(stored);
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drain.cancel();
    running.await.expect("the loop outlives the cuts");
    finish(app).await;

    assert!(cuts >= 1, "nothing was cut");
    assert_whole(app, &world).await;
}

async fn stored_so_far(app: &TestApp) -> usize {
    let counted = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM order_versions").fetch_one(&app.pool).await;
    counted.unwrap_or(0) as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_misbehaves_in_every_way_is_read_whole() {
    let world = World::generate(options(40));
    let mut app = small_pages(40, Chaos::Hard).await;
    let drain = app.drain.clone();

    for _ in 0..300 {
        app.make_sources_due().await;
        app.pollers[0].tick(&drain).await.expect("the database is well");
        if app.scoffable.is_drained_by("main") {
            break;
        }
    }
    finish(&mut app).await;

    assert_whole(&app, &world).await;
}

#[tokio::test]
async fn a_page_that_was_fetched_and_not_stored_is_fetched_again() {
    let mut app = TestApp::start().await;
    app.run(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'killed' USING ERRCODE = '57P01'; END $$",
    )
    .await;
    app.publish(&order("A-1", 1, "accepted"));

    // Each table of the commit fails in turn: none of the others may keep anything.
    for broken in [
        "CREATE TRIGGER fail BEFORE INSERT ON order_versions EXECUTE FUNCTION fail()",
        "CREATE TRIGGER fail BEFORE INSERT ON orders EXECUTE FUNCTION fail()",
        "CREATE TRIGGER fail BEFORE INSERT ON deliveries EXECUTE FUNCTION fail()",
        "CREATE TRIGGER fail AFTER UPDATE OF cursor ON sources FOR EACH ROW WHEN (NEW.cursor IS NOT NULL) EXECUTE FUNCTION fail()",
    ] {
        sqlx::query(broken).execute(&app.pool).await.unwrap();
        app.make_sources_due().await;
        let drain = app.drain.clone();
        assert!(app.pollers[0].tick(&drain).await.is_err(), "{broken}");
        for table in ["order_versions", "orders", "deliveries"] {
            let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&app.pool).await.unwrap(), 0, "{table}: {broken}");
        }
        assert_eq!(app.text("SELECT cursor FROM sources").await, None, "{broken}");
        let table = broken.split(" ON ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        let drop = sqlx::AssertSqlSafe(format!("DROP TRIGGER fail ON {table}"));
        sqlx::query(drop).execute(&app.pool).await.unwrap();
    }
    app.poll().await;
    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(app.number("SELECT versions FROM sources").await, 1);
}

#[tokio::test]
async fn pages_read_before_a_fault_are_kept() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([
        page(&[order("A-1", 1, "accepted")], true, Some("c-1")),
        page(&[order("A-2", 1, "accepted")], true, Some("c-2")),
        scoffable_sync::simulator::faults::cut_after(),
    ]);

    app.poll().await;

    assert_eq!(stored(&app.pool).await.len(), 2);
    assert_eq!(app.text("SELECT concat_ws(' ', state, cursor) FROM sources").await.as_deref(), Some("failing c-2"));
}

#[tokio::test]
async fn a_stop_keeps_the_pages_that_were_read_and_the_next_process_goes_on_behind_them() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([page(&[order("A-1", 1, "accepted")], true, Some("c-1")), slow(Duration::from_secs(4))]);
    app.make_sources_due().await;
    let (mut poller, drain) = (app.pollers.remove(0), app.drain.clone());

    let turn = tokio::spawn(async move { poller.tick(&drain).await });
    app.scoffable.journal().wait_until(|journal| journal.total() == 2, LEASE).await.unwrap();
    app.drain.cancel();
    turn.await.unwrap().unwrap();

    let row = "SELECT concat_ws(' ', cursor, state, coalesce(lease_owner, 'free')) FROM sources";
    assert_eq!(app.text(row).await.as_deref(), Some("c-1 active free"));
    assert_eq!(stored(&app.pool).await.len(), 1);
}
