//! Requests to the platform: what they are, where they go, and what becomes of a credential that is refused.

use std::{path::Path, time::Duration};

use scoffable_sync::{
    ingest::schedule::PARKED_PACE,
    simulator::{
        faults::{redirect, status},
        scoffable::{Grant, ScoffableOptions, ScoffableSim},
        world::World,
    },
};

use crate::harness::{
    app::{TestApp, order},
    stream::{page, parameter},
};

/// A stream read with a token out of this file.
async fn with_token_file(file: &Path, token: &str) -> TestApp {
    std::fs::write(file, format!("{token}\n")).expect("the temp folder is writable");
    let file = file.to_str().expect("a plain path");
    TestApp::setup().without("sources.main.token").with("sources.main.token.file", file).start().await
}

async fn source(app: &TestApp) -> (Option<String>, Option<String>) {
    (app.text("SELECT state FROM sources").await, app.text("SELECT reason FROM sources").await)
}

const OPEN_ALERTS: &str = "SELECT string_agg(cause || ' ' || subject, ',') FROM alerts WHERE resolved_at IS NULL";

#[tokio::test]
async fn only_get_is_ever_sent_to_the_platform_with_the_token_on_every_request() {
    let mut app = TestApp::start().await;
    app.poll().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-1", 2, "cancelled")).await;

    let requests = app.scoffable.journal().entries();

    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/v1/orderUpdates"));
        assert_eq!(request.scopes, ["token:main", "account:main"], "the token was recognised");
    }
}

#[tokio::test]
async fn a_refused_credential_parks_the_source_with_reason_hint_and_alert_and_keeps_the_cursor() {
    for code in [401, 403] {
        let mut app = TestApp::start().await;
        app.arrives(&order("A-1", 1, "accepted")).await;
        let cursor = app.text("SELECT cursor FROM sources").await;
        app.scoffable.answer_next([status(code)]);

        app.poll().await;

        assert_eq!(source(&app).await, (Some("parked".into()), Some("unauthorized".into())), "{code}");
        assert_eq!(app.text("SELECT cursor FROM sources").await, cursor);
        assert!(app.text("SELECT hint FROM sync_status").await.is_some_and(|hint| hint.contains("token")));
        assert_eq!(app.text(OPEN_ALERTS).await.as_deref(), Some("source_parked main"));
        let error = app.text("SELECT last_error FROM sync_status").await.expect("it says what happened");
        assert!(error.contains(&code.to_string()) && !error.contains("sim-token"), "{error}");
    }
}

#[tokio::test]
async fn a_parked_source_is_tried_again_slowly_and_not_in_between() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([status(401), status(401)]);
    app.poll().await;
    let asked = || app.scoffable.journal().total();
    let drain = app.drain.clone();

    for _ in 0..5 {
        app.pollers[0].tick(&drain).await.unwrap();
    }
    let at_once = asked();
    app.advance(PARKED_PACE.saturating_sub(Duration::from_secs(10)));
    app.pollers[0].tick(&drain).await.unwrap();
    let before = asked();
    app.advance(Duration::from_secs(11));
    app.pollers[0].tick(&drain).await.unwrap();
    let at_its_time = asked();
    app.advance(PARKED_PACE + Duration::from_secs(1));
    app.pollers[0].tick(&drain).await.unwrap();

    assert_eq!((at_once, before, at_its_time, asked()), (1, 1, 2, 3));
    assert_eq!(source(&app).await, (Some("active".into()), None), "and recovers by itself");
    assert_eq!(app.text(OPEN_ALERTS).await, None);
}

#[tokio::test]
async fn a_replaced_secret_file_is_noticed_without_waiting_and_the_cursor_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut app = with_token_file(&file, "sim-token").await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    let cursor = app.text("SELECT cursor FROM sources").await;
    app.scoffable.grant(Grant::new("main", "new-token", "main"));
    app.publish(&order("A-2", 1, "accepted"));
    app.poll().await;
    assert_eq!(source(&app).await.0.as_deref(), Some("parked"));

    let drain = app.drain.clone();
    let idle = app.pollers[0].tick(&drain).await.unwrap();
    std::fs::write(&file, "new-token\n").unwrap();
    let noticed = app.pollers[0].tick(&drain).await.unwrap();
    app.pollers[0].tick(&drain).await.unwrap();

    assert!(idle <= Duration::from_secs(5) && !idle.is_zero(), "the file is looked at every few seconds: {idle:?}");
    assert_eq!(noticed, Duration::ZERO);
    assert_eq!(source(&app).await, (Some("active".into()), None));
    let last = app.scoffable.journal().entries().pop().unwrap();
    assert_eq!(parameter(&last, "pageId"), cursor);
    assert_eq!(app.number("SELECT count(*) FROM order_versions").await, 2);
    assert_eq!(app.text(OPEN_ALERTS).await, None);
}

#[tokio::test]
async fn another_wrong_credential_is_tried_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut app = with_token_file(&file, "wrong-1").await;
    app.poll().await;
    std::fs::write(&file, "wrong-2").unwrap();

    let drain = app.drain.clone();
    for _ in 0..6 {
        app.pollers[0].tick(&drain).await.unwrap();
    }

    assert_eq!(app.scoffable.journal().answers()[&401], 2);
    assert_eq!(source(&app).await.0.as_deref(), Some("parked"));
}

#[tokio::test]
async fn a_secret_file_that_is_gone_or_empty_leaves_the_old_token_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut app = with_token_file(&file, "sim-token").await;

    std::fs::write(&file, "").unwrap();
    app.poll().await;
    std::fs::remove_file(&file).unwrap();
    app.poll().await;

    assert_eq!(app.scoffable.journal().answers()[&200], 2);
}

#[tokio::test]
async fn a_replaced_credential_does_not_make_the_loop_spin_while_the_stream_is_held_back_or_read_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mut app = with_token_file(&file, "wrong").await;
    app.poll().await;
    std::fs::write(&file, "sim-token").unwrap();
    let drain = app.drain.clone();

    for held_up in [
        "UPDATE sources SET not_before = now() + interval '1 hour'",
        "UPDATE sources SET not_before = NULL, lease_owner = 'another', lease_expires_at = now() + interval '30 s'",
    ] {
        app.run(held_up).await;
        app.pollers[0].tick(&drain).await.unwrap();
        let wait = app.pollers[0].tick(&drain).await.unwrap();
        assert!(wait >= Duration::from_secs(1), "{held_up}: {wait:?}");
    }
    assert_eq!(app.scoffable.journal().total(), 1);
}

#[tokio::test]
async fn an_alert_is_closed_also_when_the_poll_that_recovered_ended_in_a_pause() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([status(401)]);
    app.poll().await;
    assert_eq!(app.text(OPEN_ALERTS).await.as_deref(), Some("source_parked main"));

    app.scoffable.answer_next([page(&[order("A-1", 1, "accepted")], true, Some("c-1")), status(429)]);
    app.poll().await;
    app.scoffable.answer_next([page(&[], false, Some("c-1"))]);
    app.poll().await;

    assert_eq!(source(&app).await, (Some("active".into()), None));
    assert_eq!(app.text(OPEN_ALERTS).await, None);
}

#[tokio::test]
async fn a_paused_source_is_neither_read_nor_looked_at_all_the_time() {
    let mut app = TestApp::start().await;
    app.run("UPDATE sources SET state = 'paused', reason = 'operator'").await;
    app.make_sources_due().await;

    let drain = app.drain.clone();
    let wait = app.pollers[0].tick(&drain).await.unwrap();

    assert_eq!(app.scoffable.journal().total(), 0);
    assert!(wait >= Duration::from_secs(1), "{wait:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_other_host_hears_nothing() {
    let mut app = TestApp::start().await;
    let other = ScoffableSim::start(&World::empty(), ScoffableOptions::default()).await.unwrap();
    app.scoffable.answer_next([redirect(&format!("{}/v1/orderUpdates", other.base_url()))]);

    app.poll().await;

    assert_eq!(other.journal().total(), 0);
    assert_eq!(source(&app).await, (Some("parked".into()), Some("redirected".into())));
}

#[tokio::test]
async fn what_was_stored_is_delivered_while_the_platform_refuses_us() {
    let mut app = TestApp::start().await;
    app.publish(&order("A-1", 1, "accepted"));
    app.poll().await;
    app.scoffable.answer_next([status(401)]);
    app.poll().await;

    app.dispatch().await;

    assert_eq!(app.applied("A-1"), [1]);
}
