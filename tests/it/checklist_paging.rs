//! How the stream is walked: parameters, cursors, the end, and cursors that died.

use std::time::Duration;

use scoffable_sync::{
    ingest::schedule::{CURSOR_TRIES, RESTART_MARGIN},
    simulator::{
        faults::{not_json, status, truncated},
        scoffable::{CursorStyle, DeadCursor, Limits},
        world::{World, WorldOptions},
    },
};

use crate::harness::{
    app::{TestApp, order},
    stream::{page, parameter, stored},
};

const CURSOR: &str = "SELECT cursor FROM sources";
const STATE: &str = "SELECT concat_ws(' ', state, reason) FROM sources";

/// A value of a parameter for each request so far.
fn asked(app: &TestApp, name: &str) -> Vec<Option<String>> {
    app.scoffable.journal().entries().iter().map(|request| parameter(request, name)).collect()
}

fn texts(values: &[Option<&str>]) -> Vec<Option<String>> {
    values.iter().map(|value| value.map(str::to_owned)).collect()
}

#[tokio::test]
async fn only_the_first_request_names_the_start_and_later_ones_the_cursor_alone() {
    let mut app = TestApp::setup().with("sources.main.start_from", "2020-01-01T00:00:00Z").start().await;
    app.scoffable.answer_next([page(&[order("A-1", 1, "accepted")], true, Some("c-1"))]);
    app.scoffable.answer_next([page(&[], false, Some("c-2")), page(&[], false, Some("c-3"))]);

    app.poll().await;
    app.poll().await;

    assert_eq!(asked(&app, "fromTimestamp"), texts(&[Some("2020-01-01T00:00:00Z"), None, None]));
    assert_eq!(asked(&app, "pageId"), texts(&[None, Some("c-1"), Some("c-2")]));
    assert_eq!(asked(&app, "pageSize"), texts(&[Some("100"); 3]));
    assert_eq!(asked(&app, "minAgeMinutes"), texts(&[None; 3]), "a delay of 0 is not sent");
}

#[tokio::test]
async fn without_a_start_the_first_request_names_nothing() {
    let mut app = TestApp::start().await;

    app.poll().await;

    assert_eq!(app.scoffable.journal().entries()[0].query, "pageSize=100");
}

#[tokio::test]
async fn a_delay_is_repeated_on_every_request() {
    let mut app =
        TestApp::setup().with("sources.main.min_age_minutes", "90").with("sources.main.page_size", "1").start().await;
    app.publish(&order("A-1", 1, "accepted"));
    app.publish(&order("A-2", 1, "accepted"));
    app.advance(Duration::from_mins(91));

    app.poll().await;
    app.poll().await;

    assert_eq!(asked(&app, "minAgeMinutes"), texts(&[Some("90"); 3]));
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 2);
}

#[tokio::test]
async fn only_has_more_says_whether_there_is_more() {
    let mut app = TestApp::setup().with("sources.main.page_size", "2").start().await;
    let orders: Vec<_> = (1..=4).map(|n| order(&format!("A-{n}"), 1, "accepted")).collect();
    app.scoffable.answer_next([
        page(&orders[..1], true, Some("c-1")),   // short, and goes on
        page(&[], true, Some("c-2")),            // empty, and goes on
        page(&orders[1..3], false, Some("c-3")), // full, and ends
    ]);

    app.poll().await;

    assert_eq!(app.scoffable.journal().total(), 3);
    assert_eq!(stored(&app.pool).await.len(), 3);
    assert_eq!(app.text(CURSOR).await.as_deref(), Some("c-3"));
    assert_eq!(app.text(STATE).await.as_deref(), Some("active"));
}

#[tokio::test]
async fn the_cursor_of_an_empty_last_page_is_kept() {
    let mut app = TestApp::start().await;
    app.scoffable
        .answer_next([page(&[order("A-1", 1, "accepted")], false, Some("c-1")), page(&[], false, Some("c-2"))]);

    app.poll().await;
    app.poll().await;

    assert_eq!(app.text(CURSOR).await.as_deref(), Some("c-2"));
}

#[tokio::test]
async fn a_stream_that_holds_nothing_is_asked_the_same_question_next_time() {
    let mut app = TestApp::setup().with("sources.main.start_from", "2020-01-01T00:00:00Z").start().await;

    app.poll().await;
    app.poll().await;
    let (state, cursor) = (app.text(STATE).await, app.text(CURSOR).await);
    app.publish(&order("A-1", 1, "accepted"));
    app.poll().await;

    assert_eq!((state.as_deref(), cursor), (Some("active"), None));
    assert_eq!(asked(&app, "fromTimestamp"), texts(&[Some("2020-01-01T00:00:00Z"); 3]));
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 1);
    assert!(app.text(CURSOR).await.is_some());
}

#[tokio::test]
async fn a_cursor_of_300_awkward_characters_survives_storage_and_a_restart() {
    let mut setup = TestApp::setup().with("sources.main.page_size", "7");
    setup.stream.cursor_style = CursorStyle::Long;
    setup.stream.limits = Limits::NONE;
    setup.world = Some(World::generate(WorldOptions { orders: 10, ..WorldOptions::default() }));
    let mut app = setup.start().await;

    app.poll().await;
    app.restart().await;
    app.publish(&order("A-1", 1, "accepted"));
    app.poll().await;

    let cursor = app.text(CURSOR).await.expect("a cursor is stored");
    assert_eq!(cursor.len(), 300);
    assert!(cursor.contains("&%="), "{cursor}");
    assert_eq!(stored(&app.pool).await.len(), app.scoffable.planned());
    assert_eq!(app.number("SELECT duplicates FROM sources").await, 0);
    assert_eq!(app.scoffable.journal().answers().keys().copied().collect::<Vec<_>>(), [200]);
}

#[tokio::test]
async fn another_page_size_goes_on_at_the_same_place() {
    let mut setup = TestApp::setup().with("sources.main.page_size", "3");
    setup.world = Some(World::generate(WorldOptions { orders: 8, ..WorldOptions::default() }));
    let mut app = setup.start().await;
    app.scoffable.answer_next([]);
    app.poll().await;
    let database = app.database.clone();
    let cursor = app.text(CURSOR).await;

    app.publish(&order("A-1", 1, "accepted"));
    let mut settings = TestApp::setup().with("sources.main.page_size", "50");
    settings = settings.with("sources.main.base_url", &app.scoffable.base_url());
    settings.database = Some(database);
    let mut bigger = settings.start().await;
    bigger.poll().await;

    let last = app.scoffable.journal().entries().pop().unwrap();
    assert_eq!((parameter(&last, "pageId"), parameter(&last, "pageSize").as_deref()), (cursor, Some("50")));
    assert_eq!(stored(&app.pool).await.len(), app.scoffable.planned());
    assert_eq!(app.number("SELECT duplicates FROM sources").await, 0);
}

#[tokio::test]
async fn a_cursor_that_does_not_move_although_more_is_said_to_be_ready_does_not_spin() {
    for orders in [vec![], vec![order("A-1", 1, "accepted")]] {
        let mut app = TestApp::start().await;
        app.scoffable.answer_next([page(&[], false, Some("c-1"))]);
        app.poll().await;
        app.scoffable.answer_next(vec![page(&orders, true, Some("c-1")); 10]);

        app.make_sources_due().await;
        let drain = app.drain.clone();
        let wait = app.pollers[0].tick(&drain).await.unwrap();
        app.pollers[0].tick(&drain).await.unwrap();

        assert_eq!(app.scoffable.journal().total(), 2);
        assert!(wait >= Duration::from_secs(20), "{wait:?}");
        assert_eq!(app.text(STATE).await.as_deref(), Some("failing"));
        assert!(app.text("SELECT last_error FROM sync_status").await.unwrap().contains("does not move"));
        assert_eq!(app.number("SELECT count(*) FROM order_versions").await as usize, orders.len());
        let stands = "SELECT count(*) FROM alerts WHERE cause = 'cursor_stuck' AND resolved_at IS NULL";
        assert_eq!(app.number(stands).await, 1);

        app.scoffable.answer_next([page(&[], false, Some("c-1"))]);
        for _ in 0..10 {
            app.poll().await;
        }
        assert_eq!(app.number(stands).await, 0, "nine times the same, then the end");
    }
}

#[tokio::test]
async fn an_answer_to_a_cursor_that_names_no_next_one_leaves_it_where_it_is() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([page(&[], false, Some("c-1")), page(&[order("A-1", 1, "accepted")], false, None)]);

    app.poll().await;
    app.poll().await;

    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 1);
    assert_eq!(app.text(CURSOR).await.as_deref(), Some("c-1"));
}

#[tokio::test]
async fn a_page_that_is_none_is_asked_for_again_and_the_trouble_can_be_seen() {
    for fault in [not_json(), truncated(), status(200), status(500)] {
        let mut app = TestApp::start().await;
        app.scoffable.answer_next([page(&[], false, Some("c-1"))]);
        app.poll().await;
        app.scoffable.answer_next([fault.clone(), page(&[order("A-1", 1, "accepted")], false, Some("c-2"))]);

        app.poll().await;
        let failing = app.text("SELECT concat_ws(' ', state, cursor) FROM sync_status").await;
        let error = app.text("SELECT last_error FROM sync_status").await;
        app.poll().await;

        assert_eq!(failing.as_deref(), Some("failing c-1"), "{fault:?}");
        assert!(error.is_some());
        assert_eq!(asked(&app, "pageId"), texts(&[None, Some("c-1"), Some("c-1")]));
        let healed = "SELECT concat_ws(' ', state, cursor, last_error, failures) FROM sources";
        assert_eq!(app.text(healed).await.as_deref(), Some("active c-2 0"));
    }
}

/// A stream whose cursor dies after one order was read.
async fn dying(answer: DeadCursor, recover: &str) -> TestApp {
    let mut app = TestApp::setup().with("sources.main.recover_dead_cursor", recover).start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.scoffable.answer_dead_cursors_with(answer);
    app.scoffable.expire_cursors();
    app
}

const EVERY_ANSWER: [DeadCursor; 4] =
    [DeadCursor::BadRequest, DeadCursor::NotFound, DeadCursor::Gone, DeadCursor::EmptyPage];

#[tokio::test]
async fn a_dead_cursor_parks_the_source_after_three_tries_and_is_never_dropped_silently() {
    for answer in EVERY_ANSWER {
        let mut app = dying(answer, "false").await;
        let cursor = app.text(CURSOR).await;

        let mut states = Vec::new();
        for _ in 0..=CURSOR_TRIES {
            app.poll().await;
            states.push(app.text(STATE).await.unwrap());
        }

        assert_eq!(states, ["failing", "failing", "parked dead_cursor", "parked dead_cursor"], "{answer:?}");
        assert_eq!(app.text(CURSOR).await, cursor);
        assert!(asked(&app, "pageId")[1..].iter().all(|page_id| *page_id == cursor), "it never starts over");
        assert!(app.text("SELECT hint FROM sources").await.unwrap().contains("recover_dead_cursor"));
        assert_eq!(app.number("SELECT count(*) FROM alerts WHERE cause = 'source_parked'").await, 1);
    }
}

#[tokio::test]
async fn a_dead_cursor_restarts_a_day_before_the_last_success_where_that_is_permitted() {
    for answer in EVERY_ANSWER {
        let mut app = dying(answer, "true").await;
        let dead = app.text(CURSOR).await;
        app.advance(Duration::from_hours(5));
        app.publish(&order("A-2", 1, "accepted"));
        let last_success = app.clock.wall() - chrono::TimeDelta::hours(5);

        for _ in 0..=CURSOR_TRIES {
            app.poll().await;
        }
        app.dispatch().await;

        let from = asked(&app, "fromTimestamp").pop().unwrap().expect("the last request names a start");
        let from: chrono::DateTime<chrono::Utc> = from.parse().unwrap();
        let off = (last_success - RESTART_MARGIN - from).num_seconds().abs();
        assert!(off <= 20, "{answer:?}: {off} s off");
        assert_eq!(asked(&app, "fromTimestamp").iter().flatten().count(), 1);
        assert_eq!(app.text("SELECT dead_cursor FROM sources").await, dead, "kept for the record");
        assert_eq!(app.text(STATE).await.as_deref(), Some("active"));
        assert_eq!(app.number("SELECT duplicates FROM sources").await, 1, "the overlap is dropped");
        assert_eq!(app.number("SELECT count(*) FROM alerts WHERE cause = 'dead_cursor'").await, 1);
        assert_eq!((app.applied("A-1"), app.applied("A-2")), (vec![1], vec![1]));
    }
}

/// Cause: each process counted for itself, and from the beginning after any other failure, while waits grew to minutes.
#[tokio::test]
async fn refusals_of_a_cursor_add_up_over_processes_and_over_other_failures() {
    let mut app = dying(DeadCursor::BadRequest, "true").await;
    app.publish(&order("A-2", 1, "accepted"));

    for _ in 1..CURSOR_TRIES {
        app.poll().await;
        app.restart().await;
        app.scoffable.answer_next([status(500)]);
        app.poll().await;
    }
    assert_eq!(app.text("SELECT dead_cursor FROM sources").await, None);
    for _ in 0..2 {
        app.poll().await;
    }
    app.dispatch().await;

    assert!(app.text("SELECT dead_cursor FROM sources").await.is_some());
    assert_eq!(app.text(STATE).await.as_deref(), Some("active"));
    assert_eq!(app.applied("A-2"), [1]);
}

#[tokio::test]
async fn a_cursor_that_is_refused_twice_and_then_taken_was_not_dead() {
    let mut app = TestApp::setup().with("sources.main.recover_dead_cursor", "true").start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    for _ in 0..2 {
        app.scoffable.answer_next([status(400), status(410)]);
        app.poll().await;
        app.poll().await;
        app.poll().await;
    }

    assert_eq!(app.text(STATE).await.as_deref(), Some("active"));
    assert_eq!(asked(&app, "pageId").iter().filter(|page_id| page_id.is_none()).count(), 1, "only the very first");
    assert_eq!(app.text("SELECT dead_cursor FROM sources").await, None);
}

#[tokio::test]
async fn refused_parameters_without_a_cursor_park_the_source() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([status(400)]);

    app.poll().await;

    assert_eq!(app.text(STATE).await.as_deref(), Some("parked bad_request"));
}
