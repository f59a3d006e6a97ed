//! G9: any number of processes on one database share the work safely, and one that dies is covered within one lease.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use scoffable_sync::{
    app,
    domain::ids::{SinkName, SourceName},
    ingest::poller::Poller,
    simulator::{
        faults::slow,
        scoffable::Limits,
        world::{World, WorldOptions},
    },
    store::{
        self,
        ingest::{PageGroup, Stored, Undecodable, Versions},
        sinks::Start,
        sources::{PollEnd, SourceLease, Take},
    },
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{SOURCE, TestApp, order, order_of},
    stream::{stored, wait_for_lock},
};

const LEASE: Duration = Duration::from_secs(30);

fn main_source() -> SourceName {
    SourceName::parse(SOURCE).expect("a valid name")
}

/// Takes the turn as a process that does nothing with it.
async fn take(pool: &PgPool, owner: &str, offset_ms: i64) -> Option<SourceLease> {
    match store::sources::take(pool, &main_source(), owner, LEASE, offset_ms).await.expect("the database answers") {
        Take::Taken(turn) => Some(turn.lease),
        Take::Later { .. } => None,
    }
}

/// A page of one version of order `A-1`, with a cursor behind it.
fn one_version<'a>(hash: &'a [u8], cursor: &'a str) -> PageGroup<'a> {
    let versions = Versions {
        order_ids: vec!["A-1"],
        versions: vec![1],
        statuses: vec!["accepted"],
        vendor_ids: vec![None],
        order_types: vec![None],
        placed_at: vec![None],
        totals_minor: vec![None],
        currencies: vec![None],
        content_hashes: vec![hash],
        verdicts: vec!["not_computable"],
        breakdowns: vec!["{}"],
        payloads: vec![r#"{"id":"A-1","version":1,"status":"accepted"}"#],
        castable: vec![true],
    };
    PageGroup { versions, undecodable: Undecodable::default(), cursor: Some(cursor), pages: 1 }
}

async fn activate(app: &TestApp, name: &str, start: Start) {
    let mut tx = app.pool.begin().await.expect("the database answers");
    register(&mut tx, name, start, app.clock.offset_ms()).await;
    tx.commit().await.expect("the database answers");
}

async fn register(db: &mut sqlx::PgConnection, name: &str, start: Start, offset_ms: i64) {
    let name = SinkName::parse(name).expect("a valid name");
    let lanes = BTreeMap::new();
    let sink = store::sinks::Registration {
        name: &name,
        kind: "webhook",
        carries_money: false,
        versions_mode: "latest",
        stable_for: Duration::ZERO,
        lanes: &lanes,
        start,
        paused: false,
    };
    store::sinks::register(db, &sink, offset_ms).await.expect("the sink can be registered");
}

/// Runs pollers as their processes would, until the stream is read to its end.
async fn read_by_all(app: &TestApp, pollers: Vec<Poller>) {
    let drain = CancellationToken::new();
    let running: Vec<_> = pollers.into_iter().map(|poller| tokio::spawn(poller.run(drain.clone()))).collect();
    let planned = app.scoffable.planned();
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    while !app.scoffable.is_drained_by("main") {
        assert!(tokio::time::Instant::now() < until, "{} of {planned} read", app.scoffable.confirmed("main"));
        app.run("UPDATE sources SET next_poll_at = 'epoch' WHERE lease_owner IS NULL").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drain.cancel();
    for run in running {
        run.await.expect("a poller ends when told to");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_processes_one_at_a_time_reads_a_stream() {
    let mut setup = TestApp::setup().with("sources.main.page_size", "5").with("sources.main.poll_interval", "1s");
    setup.stream.limits = Limits::NONE;
    setup.world = Some(World::generate(WorldOptions { orders: 60, ..WorldOptions::default() }));
    let mut app = setup.start().await;
    let mut pollers = std::mem::take(&mut app.pollers);
    for _ in 0..3 {
        pollers.append(&mut app.another_process().await.pollers);
    }

    read_by_all(&app, pollers).await;

    assert_eq!(app.scoffable.journal().overlaps("token:main"), 0, "two requests ran side by side");
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await as usize, app.scoffable.planned());
}

#[tokio::test]
async fn the_work_of_a_process_that_died_is_taken_over_within_one_lease() {
    let mut app = TestApp::start().await;
    app.publish(&order("A-1", 1, "accepted"));
    take(&app.pool, "a process that dies", 0).await.expect("the turn is free");

    app.advance(LEASE.saturating_sub(Duration::from_secs(2)));
    app.poll().await;
    let before = app.number("SELECT count(*) FROM order_versions").await;
    app.advance(Duration::from_secs(2));
    app.poll().await;

    assert_eq!(before, 0, "the lease of the dead still holds");
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 1);
}

#[tokio::test]
async fn a_process_that_lost_sight_of_its_own_turn_need_not_wait_for_the_lease_to_run_out() {
    let app = TestApp::start().await;
    let first = take(&app.pool, "one", 0).await.expect("the turn is free");

    let again = take(&app.pool, "one", 0).await.expect("it is its own turn");
    let other = take(&app.pool, "two", 0).await;

    assert!(other.is_none(), "another process waits");
    let hash = [7; 32];
    let old = store::ingest::store_pages(&app.pool, &first, &one_version(&hash, "c-1"), LEASE, 0).await.unwrap();
    let new = store::ingest::store_pages(&app.pool, &again, &one_version(&hash, "c-1"), LEASE, 0).await.unwrap();
    assert_eq!(old, Stored::Fenced);
    assert!(matches!(new, Stored::Committed { inserted: 1, .. }), "{new:?}");
}

#[tokio::test]
async fn an_old_epoch_can_write_nothing_at_all() {
    let app = TestApp::start().await;
    let old = take(&app.pool, "one", 0).await.expect("the turn is free");
    let later = LEASE.as_millis() as i64 + 1;
    let new = take(&app.pool, "two", later).await.expect("the lease ran out");
    let hash = [7; 32];

    let stored = store::ingest::store_pages(&app.pool, &old, &one_version(&hash, "c-9"), LEASE, later).await.unwrap();
    let renewed = store::sources::renew(&app.pool, &old, LEASE, later).await.unwrap();
    let end = PollEnd::CursorDropped { error: "gone".to_owned() };
    let finished = store::sources::finish(&app.pool, &old, &end, LEASE, later).await.unwrap();

    assert_eq!((stored, renewed, finished), (Stored::Fenced, false, false));
    for table in ["order_versions", "orders", "deliveries", "quarantine"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&app.pool).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    let untouched =
        app.text("SELECT concat_ws(' ', cursor, lease_owner, lease_epoch, state, failures) FROM sources").await;
    assert_eq!(untouched, Some(format!("two {} active 0", new.epoch)));
}

#[tokio::test]
async fn a_process_that_stalls_over_a_page_does_not_overwrite_its_successor() {
    let mut app = TestApp::start().await;
    let mut successor = app.another_process().await;
    app.publish(&order("A-1", 1, "accepted"));
    app.scoffable.answer_next([slow(Duration::from_millis(600))]);
    app.make_sources_due().await;
    let (mut stalled, drain) = (app.pollers.remove(0), app.drain.clone());

    let stalling = tokio::spawn(async move { stalled.tick(&drain).await });
    app.scoffable.journal().wait_until(|journal| journal.total() == 1, LEASE).await.expect("the page is asked for");
    app.advance(LEASE + Duration::from_secs(1));
    app.publish(&order("A-2", 1, "accepted"));
    successor.pollers[0].tick(&app.drain).await.expect("the poll works");
    let cursor = app.text("SELECT cursor FROM sources").await;
    stalling.await.expect("no panic").expect("losing the turn is no error");

    assert_eq!(app.text("SELECT cursor FROM sources").await, cursor, "only the successor moved it");
    assert_eq!(app.number("SELECT versions FROM sources").await, 2);
    assert_eq!(stored(&app.pool).await.len(), 2);
    assert_eq!(app.number("SELECT duplicates FROM sources").await, 0, "the stalled page was dropped whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_that_start_for_the_first_time_at_once_leave_one_row_each() {
    let app = TestApp::start().await;
    app.run("DELETE FROM sinks").await;
    app.run("DELETE FROM sources").await;
    let settings = Arc::new(app.settings.clone());

    let starting: Vec<_> = (0..8)
        .map(|_| {
            let (pool, settings, clock) = (app.pool.clone(), Arc::clone(&settings), app.clock.clone());
            tokio::spawn(async move { app::register(&pool, &settings, &clock).await })
        })
        .collect();
    for start in starting {
        start.await.expect("no panic").expect("every process can start");
    }

    assert_eq!(app.number("SELECT count(*) FROM sources").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM sinks").await, 1);
}

#[tokio::test]
async fn a_sink_activated_while_a_page_waits_to_be_stored_is_owed_that_page() {
    // The page's statement began before the activation was committed: its snapshot alone would not show the new sink.
    let mut app = TestApp::start().await;
    app.publish(&order("A-1", 1, "accepted"));
    app.scoffable.answer_next([slow(Duration::from_millis(50))]);
    app.make_sources_due().await;
    let (mut poller, drain) = (app.pollers.remove(0), app.drain.clone());

    let polling = tokio::spawn(async move {
        let polled = poller.tick(&drain).await;
        (poller, polled)
    });
    app.scoffable.journal().wait_until(|journal| journal.total() == 1, LEASE).await.expect("the page is asked for");
    let mut activation = app.pool.begin().await.unwrap();
    register(&mut activation, "late", Start::Activation, 0).await;
    wait_for_lock(&app.pool, "ingest.store_pages").await;
    activation.commit().await.unwrap();
    let (mut poller, polled) = polling.await.unwrap();
    polled.expect("the poll works");
    poller.tick(&app.drain).await.expect("the poll works");

    let owed = "SELECT string_agg(sink, ' ' ORDER BY sink) FROM deliveries WHERE order_id = 'A-1'";
    assert_eq!(app.text(owed).await.as_deref(), Some("hook late"));
}

#[tokio::test]
async fn every_version_is_before_or_after_an_activation_while_another_process_polls() {
    let mut setup = TestApp::setup().with("sources.main.page_size", "1");
    setup.stream.limits = Limits::NONE;
    setup.world = Some(World::generate(WorldOptions { orders: 25, ..WorldOptions::default() }));
    let mut app = setup.start().await;
    let drain = CancellationToken::new();
    let mut poller = app.pollers.remove(0);

    let until = drain.clone();
    let polling = tokio::spawn(async move {
        while !until.is_cancelled() {
            poller.tick(&until).await.expect("the poll works");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    for n in 0..10 {
        let wanted = (n + 1) * app.scoffable.planned() / 12;
        app.scoffable
            .journal()
            .wait_until(|_| app.scoffable.confirmed("main") >= wanted, LEASE)
            .await
            .expect("the stream is read");
        activate(&app, &format!("late_{n}"), Start::Beginning).await;
    }
    while app.number("SELECT count(*) FROM order_versions").await < app.scoffable.planned() as i64 {
        app.run("UPDATE sources SET next_poll_at = 'epoch' WHERE lease_owner IS NULL").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drain.cancel();
    polling.await.expect("no panic");

    let wrong = "SELECT count(*) FROM sinks k CROSS JOIN orders o
                 LEFT JOIN deliveries d ON d.sink = k.name AND d.source = o.source AND d.order_id = o.order_id
                 WHERE d.wanted_version IS DISTINCT FROM o.version";
    assert_eq!(app.number("SELECT count(*) FROM sinks").await, 11);
    assert_eq!(app.number(wrong).await, 0, "each sink is owed each order's newest version");
}

#[tokio::test]
async fn a_version_that_a_claim_cannot_see_yet_is_not_taken_for_nothing_to_do() {
    // A claim locks the row as it is now, but looks the version up in the snapshot it began with: what was committed in
    // between is wanted and not to be seen. Here the version is taken out for that moment.
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.publish(&order_of("A-1", 2, "accepted", 900));
    app.poll().await;
    app.run("CREATE TABLE unseen AS SELECT * FROM order_versions WHERE version = 2").await;
    app.run("DELETE FROM order_versions WHERE version = 2").await;

    app.dispatch().await;
    let meanwhile = app.delivery("A-1").await;
    app.run("INSERT INTO order_versions SELECT * FROM unseen").await;
    app.advance(Duration::from_secs(1));
    app.dispatch().await;

    assert_eq!((meanwhile.state.as_str(), meanwhile.applied, meanwhile.attempts), ("pending", Some(1), 0));
    assert_eq!(app.applied("A-1"), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_claims_settlements_and_starts_never_deadlock_and_lose_nothing() {
    let mut setup = TestApp::setup().with("sources.main.page_size", "20").with("sinks.hook.retry.initial", "1s");
    setup.stream.limits = Limits::NONE;
    setup.world = Some(World::generate(WorldOptions { orders: 400, seed: 9, ..WorldOptions::default() }));
    let app = setup.start().await;
    let world = World::generate(WorldOptions { orders: 400, seed: 9, ..WorldOptions::default() });
    let stop = CancellationToken::new();
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let mut process = app.another_process().await;
        let (drain, mut poller) = (stop.clone(), process.pollers.remove(0));
        tasks.push(tokio::spawn(async move {
            while !drain.is_cancelled() {
                let wait = poller.tick(&drain).await.expect("no deadlock in ingest");
                tokio::time::sleep(wait.min(Duration::from_millis(2))).await;
            }
        }));
        let (drain, mut dispatcher) = (stop.clone(), process.dispatchers.remove(0));
        tasks.push(tokio::spawn(async move {
            while !drain.is_cancelled() {
                dispatcher.tick().await.expect("no deadlock in claims");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }));
    }
    let (drain, pool, settings, clock) = (stop.clone(), app.pool.clone(), app.settings.clone(), app.clock.clone());
    tasks.push(tokio::spawn(async move {
        while !drain.is_cancelled() {
            app::register(&pool, &settings, &clock).await.expect("no deadlock in starts");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }));

    for n in 0..6 {
        let wanted = (n + 1) * app.scoffable.planned() / 8;
        app.scoffable
            .journal()
            .wait_until(|_| app.scoffable.confirmed("main") >= wanted, LEASE)
            .await
            .expect("the stream is read");
        activate(&app, &format!("late_{n}"), Start::Beginning).await;
    }
    let until = tokio::time::Instant::now() + LEASE;
    while app.number("SELECT count(*) FROM order_versions").await < app.scoffable.planned() as i64
        || app.number("SELECT count(*) FROM deliveries WHERE sink = 'hook' AND open").await > 0
    {
        assert!(tokio::time::Instant::now() < until, "the work ends");
        app.run("UPDATE sources SET next_poll_at = 'epoch' WHERE lease_owner IS NULL").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    for task in tasks {
        task.await.expect("nothing panicked");
    }

    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(app.number(deadlocks).await, 0);
    assert_eq!(app.webhook.compare(SOURCE, &world), []);
    app.assert_no_violation();
}

/// Cause: the answer to a turn's beginning was lost with its connection, and nobody read the stream until the lease ran out.
#[tokio::test]
async fn a_process_that_drains_gives_back_a_turn_that_it_never_heard_of() {
    let app = TestApp::start().await;
    for (holder, left) in [("me", None), ("another", Some("another"))] {
        let built = app::App::build(&app.settings, &app.pool, &app.clock, "me").unwrap();
        sqlx::query("UPDATE sources SET lease_owner = $1, lease_expires_at = now() + interval '30 s', next_poll_at = 'infinity'")
            .bind(holder)
            .execute(&app.pool)
            .await
            .unwrap();
        let drained = CancellationToken::new();
        drained.cancel();

        for poller in built.pollers {
            poller.run(drained.clone()).await;
        }

        assert_eq!(app.text("SELECT lease_owner FROM sources").await.as_deref(), left);
    }
}
