//! The request limits of the platform: never exceeded by ourselves, and obeyed when it says that they are.

use std::time::Duration;

use scoffable_sync::{
    ingest::poller::Poller,
    simulator::{
        faults::{Answer, Fault, answer, slow, status},
        scoffable::{Grant, Limits, ScoffableOptions},
        world::{World, WorldOptions},
    },
    store::budgets::{self, MinuteLimit, Reserved},
};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    app::{Setup, TestApp, order},
    stream::page,
};

/// What the platform documents, for a backlog that takes many requests.
fn limited(orders: usize) -> Setup {
    let mut setup = TestApp::setup()
        .with("sources.main.requests_per_minute", "30")
        .with("sources.main.account_requests_per_minute", "60")
        .with("sources.main.page_size", "1");
    setup.stream.limits = Limits::DOCUMENTED;
    setup.world = Some(World::generate(WorldOptions { orders, ..WorldOptions::default() }));
    setup
}

/// Three tokens of one account.
fn three_tokens(setup: Setup) -> Setup {
    let grants = ["main", "b", "c"].map(|id| Grant::new(id, &format!("{id}-token"), "main")).to_vec();
    let mut setup = setup
        .with("sources.main.token", "main-token")
        .with("sources.main.account", "main")
        .with_source("b", "b-token")
        .with("sources.b.account", "main")
        .with_source("c", "c-token")
        .with("sources.c.account", "main");
    for name in ["b", "c"] {
        for (key, value) in [("requests_per_minute", "30"), ("account_requests_per_minute", "60"), ("page_size", "1")] {
            setup = setup.with(&format!("sources.{name}.{key}"), value);
        }
    }
    setup.stream = ScoffableOptions { grants, ..setup.stream };
    setup
}

/// Lets every poller take its turn and moves time in steps that leave no short wait to be slept through.
async fn read_for(app: &TestApp, pollers: &mut [Poller], steps: u32, step: Duration) {
    for _ in 0..steps {
        for poller in pollers.iter_mut() {
            poller.tick(&app.drain).await.expect("the poll works");
        }
        app.advance(step);
    }
}

fn most(app: &TestApp, scope: &str) -> usize {
    app.scoffable.journal().most_per_minute(scope)
}

#[tokio::test]
async fn a_backlog_is_read_as_fast_as_the_token_allows_and_never_faster() {
    let mut app = limited(100).start().await;
    let mut pollers = std::mem::take(&mut app.pollers);

    read_for(&app, &mut pollers, 20, Duration::from_secs(31)).await;

    assert_eq!(most(&app, "token:main"), 30);
    assert_eq!(app.scoffable.journal().answers().keys().copied().collect::<Vec<_>>(), [200], "never refused");
    let read = app.number("SELECT count(*) FROM order_versions").await;
    assert!(read >= 200, "only {read} pages in 10 minutes");
    assert_eq!(app.number("SELECT failures::bigint FROM sources").await, 0, "a full limit is no trouble");
}

#[tokio::test]
async fn no_minute_holds_more_than_the_limit_wherever_it_begins() {
    let mut app = limited(0).start().await;
    let drain = app.drain.clone();

    for round in 0..24 {
        for n in 0..(round * 7) % 12 {
            app.publish(&order(&format!("A-{round}-{n}"), 1, "accepted"));
        }
        app.make_sources_due().await;
        app.pollers[0].tick(&drain).await.unwrap();
        app.advance(Duration::from_secs(13));
    }

    assert_eq!(most(&app, "token:main"), 30);
    assert_eq!(app.scoffable.journal().answers().keys().copied().collect::<Vec<_>>(), [200]);
}

#[tokio::test]
async fn all_sources_of_an_account_share_its_limit() {
    let mut app = three_tokens(limited(60)).start().await;
    let mut pollers = std::mem::take(&mut app.pollers);

    read_for(&app, &mut pollers, 10, Duration::from_secs(31)).await;

    assert_eq!(most(&app, "account:main"), 60);
    for token in ["main", "b", "c"] {
        assert!(most(&app, &format!("token:{token}")) <= 30, "{token}");
    }
    assert_eq!(app.scoffable.journal().answers().keys().copied().collect::<Vec<_>>(), [200]);
}

#[tokio::test]
async fn several_processes_share_the_limits() {
    let mut app = three_tokens(limited(60)).start().await;
    let mut pollers = std::mem::take(&mut app.pollers);
    for _ in 0..2 {
        pollers.append(&mut app.another_process().await.pollers);
    }

    read_for(&app, &mut pollers, 10, Duration::from_secs(31)).await;

    assert_eq!(most(&app, "account:main"), 60);
    assert!(["main", "b", "c"].iter().all(|token| most(&app, &format!("token:{token}")) <= 30));
    assert_eq!(app.scoffable.journal().answers().keys().copied().collect::<Vec<_>>(), [200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_the_first_ever_share_the_limit_too() {
    let app = TestApp::start().await;

    for round in 0..20 {
        let limits = [MinuteLimit { scope: format!("account:{round}"), per_minute: 3 }];
        let reserving: Vec<_> = (0..12)
            .map(|_| {
                let (pool, limits) = (app.pool.clone(), limits.clone());
                tokio::spawn(async move { budgets::reserve_minute(&pool, &limits, 0).await })
            })
            .collect();
        let mut granted = 0;
        for reserved in reserving {
            granted += usize::from(reserved.await.unwrap().unwrap() == Reserved::Granted);
        }
        assert_eq!(granted, 3);
    }
}

/// 429 with this body and header.
fn throttled(body: &str, retry_after: Option<&str>) -> Fault {
    let fault = answer(Answer::json(429, body.to_owned()));
    match retry_after {
        Some(text) => fault.header("retry-after", text),
        None => fault,
    }
}

const TOKEN_LIMIT: &str = r#"{"error":"too many calls","limitType":"jti","limit":30}"#;
const ACCOUNT_LIMIT: &str = r#"{"error":"too many calls","limitType":"sub","limit":60}"#;

/// Seconds until the source may be read again.
const HELD_FOR: &str = "SELECT ceil(extract(epoch FROM not_before - now()))::bigint FROM sources WHERE name = 'main'";

/// Stands in a table for an HTTP date, which is made right before it is sent.
const IN_TWO_MINUTES: &str = "a date";

#[tokio::test]
async fn a_throttled_source_waits_at_least_as_long_as_asked_and_little_longer() {
    let mut app = TestApp::start().await;
    let table = [
        (Some("40"), 40..=44),
        (Some(IN_TWO_MINUTES), 110..=132),
        (Some("0"), 0..=0),
        (Some("soon"), 2..=3),
        (Some("-5"), 2..=3),
        (Some("1e3"), 2..=3),
        (None, 2..=3),
    ];
    for (header, expected) in table {
        app.restart().await; // the waits without a header begin anew
        let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_mins(2));
        let sent = if header == Some(IN_TWO_MINUTES) { Some(date.as_str()) } else { header };
        app.scoffable.answer_next([throttled(TOKEN_LIMIT, sent)]);

        app.poll().await;

        let held = app.number(HELD_FOR).await;
        assert!(expected.contains(&held), "{header:?}: {held} s");
    }
    let row = "SELECT concat_ws(' ', state, failures, throttled, last_error) FROM sources";
    assert_eq!(app.text(row).await.as_deref(), Some("active 0 7"), "throttling is no fault");
}

#[tokio::test]
async fn nothing_is_asked_before_the_time_the_platform_named() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([throttled(TOKEN_LIMIT, Some("90"))]);
    app.poll().await;
    let drain = app.drain.clone();

    for _ in 0..8 {
        app.advance(Duration::from_secs(11));
        app.run("UPDATE sources SET next_poll_at = 'epoch'").await; // not even when somebody wants it now
        app.pollers[0].tick(&drain).await.unwrap();
    }
    let within_88_secs = app.scoffable.journal().total();
    app.advance(Duration::from_secs(12));
    app.pollers[0].tick(&drain).await.unwrap();

    assert_eq!((within_88_secs, app.scoffable.journal().total()), (1, 2));
}

#[tokio::test]
async fn without_a_time_the_waits_double() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next(vec![throttled("", None); 4]);
    let mut held = Vec::new();

    for _ in 0..4 {
        app.poll().await;
        held.push(app.number("SELECT round(extract(epoch FROM not_before - now()))::bigint FROM sources").await);
    }

    for (held, least) in held.iter().zip([2, 4, 8, 16]) {
        assert!((least..=least + 2).contains(held), "{held} s where {least} s were expected");
    }
}

/// Sources `main` and `b` of account `main`, and `x` of another.
async fn two_accounts() -> TestApp {
    let mut setup = TestApp::setup()
        .with_source("b", "b-token")
        .with("sources.main.account", "main")
        .with("sources.b.account", "main")
        .with_source("x", "x-token")
        .with("sources.x.account", "other");
    setup.stream.grants = vec![
        Grant::new("main", "sim-token", "main"),
        Grant::new("b", "b-token", "main"),
        Grant::new("x", "x-token", "other"),
    ];
    setup.start().await
}

#[tokio::test]
async fn the_limit_of_the_account_pauses_all_its_sources_and_that_of_the_token_one() {
    let whole_account = [
        throttled(ACCOUNT_LIMIT, Some("60")),
        throttled(r#"{"limitType":"galaxy"}"#, Some("60")),
        throttled("", Some("60")),
        throttled("<html>slow down</html>", Some("60")),
    ];
    let faults = whole_account.into_iter().map(|fault| (fault, "b main"));
    for (fault, paused) in faults.chain([(throttled(TOKEN_LIMIT, Some("60")), "main")]) {
        let mut app = two_accounts().await;
        let drain = app.drain.clone();
        let main = app.pollers.iter().position(|poller| format!("{poller:?}").contains("\"main\"")).unwrap();
        app.scoffable.answer_next([fault.clone()]);
        app.pollers[main].tick(&drain).await.unwrap();

        let held = "SELECT string_agg(name, ' ' ORDER BY name) FROM sources WHERE not_before > now() + interval '55 s'";
        assert_eq!(app.text(held).await.as_deref(), Some(paused), "{fault:?}");
        for poller in &mut app.pollers {
            poller.tick(&drain).await.unwrap();
        }
        let asked = app.scoffable.journal().total() as usize;
        assert_eq!(asked, 1 + 3 - paused.split(' ').count(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_pause_of_the_account_outlives_the_turn_of_a_source_that_was_reading() {
    let mut app = two_accounts().await;
    let drain = app.drain.clone();
    let find = |app: &TestApp, name: &str| {
        app.pollers.iter().position(|poller| format!("{poller:?}").contains(&format!("\"{name}\""))).unwrap()
    };
    let mut reading = app.pollers.remove(find(&app, "b"));
    app.scoffable.answer_next([slow(Duration::from_millis(300)), throttled(ACCOUNT_LIMIT, Some("600"))]);

    let until = drain.clone();
    let turn = tokio::spawn(async move { reading.tick(&until).await });
    app.scoffable.journal().wait_until(|journal| journal.total() == 1, Duration::from_secs(10)).await.unwrap();
    let main = find(&app, "main");
    app.pollers[main].tick(&drain).await.unwrap();
    turn.await.unwrap().unwrap();

    let held = "SELECT count(*) FROM sources WHERE account = 'main' AND not_before > now() + interval '500 s'";
    assert_eq!(app.number(held).await, 2);
}

#[tokio::test]
async fn a_source_in_the_middle_of_a_backlog_stops_when_its_account_is_paused() {
    let mut app = limited(0).start().await;
    let drain = app.drain.clone();
    let page_of = |cursor| page(&[], true, Some(cursor));
    app.scoffable.answer_next([
        page_of("c-1").answered_after(Duration::from_millis(300)),
        page_of("c-2"),
        page_of("c-3"),
    ]);
    let mut poller = app.pollers.remove(0);

    let turn = tokio::spawn(async move { poller.tick(&drain).await });
    app.scoffable.journal().wait_until(|journal| journal.total() == 1, Duration::from_secs(10)).await.unwrap();
    app.run("UPDATE sources SET not_before = now() + interval '10 minutes'").await;
    turn.await.unwrap().unwrap();

    assert_eq!(app.scoffable.journal().total(), 1);
    assert!(app.number(HELD_FOR).await > 500);
}

/// A poller that runs as in the daemon, and what stops it.
fn running(app: &mut TestApp) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let drain = CancellationToken::new();
    (drain.clone(), tokio::spawn(app.pollers.remove(0).run(drain)))
}

async fn ends_at_once(drain: CancellationToken, run: tokio::task::JoinHandle<()>) {
    drain.cancel();
    tokio::time::timeout(Duration::from_secs(3), run).await.expect("it does not wait any longer").unwrap();
}

#[tokio::test]
async fn a_stop_interrupts_every_kind_of_wait_and_gives_the_turn_back() {
    let answered = |app: &TestApp, n| {
        let journal = app.scoffable.journal().clone();
        async move { journal.wait_until(|j| j.total() >= n, Duration::from_secs(10)).await.unwrap() }
    };

    // Asked to wait by the platform.
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([throttled(TOKEN_LIMIT, Some("600"))]);
    let (drain, run) = running(&mut app);
    answered(&app, 1).await;
    ends_at_once(drain, run).await;

    // Its own limit is used up, and the wait is short enough to be sat out.
    let mut app = limited(20).with("sources.main.requests_per_minute", "1").start().await;
    app.run(
        "INSERT INTO call_budgets (scope, \"window\", window_start, recent)
         VALUES ('source:main', 'minute', 'epoch', ARRAY[now() - interval '57500 ms'])",
    )
    .await;
    let (drain, run) = running(&mut app);
    while app.text("SELECT lease_owner FROM sources").await.is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ends_at_once(drain, run).await;
    assert_eq!(app.text("SELECT lease_owner FROM sources").await, None);
    assert_eq!(app.scoffable.journal().total(), 0);

    // An answer that takes its time.
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([slow(Duration::from_secs(4))]);
    let (drain, run) = running(&mut app);
    answered(&app, 1).await;
    ends_at_once(drain, run).await;
    assert_eq!(app.text("SELECT lease_owner FROM sources").await, None);
    assert_eq!(app.text("SELECT state FROM sources").await.as_deref(), Some("active"), "a stop is no trouble");
}

#[tokio::test]
async fn a_server_error_with_a_time_is_not_repeated_before_it() {
    let mut app = TestApp::start().await;
    app.scoffable.answer_next([status(503).retry_after(Duration::from_mins(4))]);
    app.poll().await;

    let due = app.number("SELECT round(extract(epoch FROM next_poll_at - now()))::bigint FROM sources").await;

    assert!((239..=300).contains(&due), "{due} s");
}
