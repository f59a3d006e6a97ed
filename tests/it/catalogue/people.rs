//! What a person asks of a catalogue: one record at once, all of it anew, and what a month costs.

use scoffable_sync::operate::{
    self, Desk,
    catalogue::{Bootstrap, Ground, Month, Sync},
};
use scoffable_sync::store::operations::Operator;

use super::*;

#[tokio::test]
async fn a_person_has_everything_read_and_a_killed_reading_goes_on_where_it_was() {
    for counts in [Counts::Time, Counts::Versions] {
        let app = TestApp::start().await;
        let shop = Shop::new(&app.clock, counts, &[Kind::Product]);
        for n in 0..45 {
            shop.put(Kind::Product, &format!("p{n:02}"), "Lamb");
        }
        app.advance(DAY);
        let few = CatalogueSettings { page_size: 10, pull_pages: 1, ..settings() };
        let mut first = keeper(&app, &shop, few.clone());
        first.set_up().await.unwrap();

        let mut pages = 0;
        let mut watch = |_| {
            pages += 1;
            if pages < 2 { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        };
        first.read_all(Kind::Product, &mut watch).await.unwrap().expect("nobody else has the turn");
        assert_eq!(app.number("SELECT count(*) FROM catalogue_entities").await, 20, "{counts:?}");
        drop(first);

        // The daemon goes on with it, however few pages a pull has.
        let mut daemon = keeper(&app, &shop, few);
        work(&mut daemon).await;

        assert_eq!(app.number("SELECT count(*) FROM catalogue_entities").await, 45, "{counts:?}");
        assert_eq!(app.number("SELECT count(*) FROM catalogue_cursors WHERE last_full_run_at IS NOT NULL").await, 1);
        assert_eq!(shop.pages(), 5, "{counts:?}: no page is read twice");
    }
}

#[tokio::test]
async fn what_a_person_asks_for_is_looked_at_first_also_in_quiet_hours_and_leaves_who_wanted_it() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    for id in ["a", "b", "asked for"] {
        shop.put_in_silence(Kind::Product, id, "Lamb");
    }
    link(&app, "product", "lamb", "a").await;
    link(&app, "product", "kofta", "asked for").await;
    let now = app.clock.wall().time();
    let quiet_hours = QuietHours { from: now - chrono::Duration::hours(1), to: now + chrono::Duration::hours(2) };
    let mut keeper = keeper(&app, &shop, CatalogueSettings { quiet_hours: Some(quiet_hours), ..only_sweeps() });
    work(&mut keeper).await;
    assert_eq!(shop.calls(), [""; 0]);

    let by = Operator { who: "ada", why: Some("new price") };
    let desk = Desk { pool: &app.pool, by, offset_ms: app.clock.offset_ms() };
    let sync = Sync { sink: sink(), kind: LinkKind::Product, key: "kofta".to_owned() };
    let wanted = operate::catalogue::want(desk, &sync).await.unwrap();
    assert_eq!((wanted.remote_id.as_str(), wanted.found.as_str()), ("asked for", "queued"));
    work(&mut keeper).await;

    assert_eq!(shop.calls(), ["look product asked for"]);
    let who = app.text("SELECT who || ': ' || why FROM operator_actions WHERE action = 'sync'").await;
    assert_eq!(who.as_deref(), Some("ada: new price"));
    assert_eq!(app.number("SELECT count(*) FROM catalogue_entities WHERE wanted_at IS NOT NULL").await, 0);
}

#[tokio::test]
async fn a_person_may_look_at_once_whoever_has_the_turn() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    shop.put_in_silence(Kind::Product, "p", "Lamb");
    let mut keeper = keeper(&app, &shop, only_sweeps());
    keeper.set_up().await.unwrap();
    let (name, now) = (sink(), app.clock.offset_ms());
    let busy = store::catalogue::claim(&app.pool, &name, None, "another process", HOUR, now).await.unwrap();
    assert!(busy.is_some(), "it is due");

    let desk = Desk { pool: &app.pool, by: Operator { who: "ada", why: None }, offset_ms: app.clock.offset_ms() };
    let mut found = Vec::new();
    for key in ["p", "nowhere"] {
        let sync = Sync { sink: sink(), kind: LinkKind::Product, key: key.to_owned() };
        found.push(operate::catalogue::look_now(desk, &mut keeper, &sync).await.unwrap().found);
    }

    assert_eq!(found, ["same", "missing"]);
    assert_eq!(app.text("SELECT name FROM catalogue_entities WHERE remote_id = 'p'").await.as_deref(), Some("Lamb"));
    let held = app.text("SELECT lease_owner FROM catalogue_cursors").await;
    assert_eq!(held.as_deref(), Some("another process"));
}

#[tokio::test]
async fn a_bootstrap_says_what_it_costs_and_reads_with_consent_only() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Versions, &[Kind::Product]);
    for n in 0..25 {
        shop.put(Kind::Product, &format!("p{n:02}"), "Lamb");
    }
    let mut keeper = keeper(&app, &shop, CatalogueSettings { page_size: 10, ..settings() });
    let desk = Desk { pool: &app.pool, by: Operator { who: "ada", why: None }, offset_ms: app.clock.offset_ms() };
    let mut goes_on = |_| std::ops::ControlFlow::Continue(());

    let asked = Bootstrap { sink: sink(), yes: false };
    let told = operate::catalogue::bootstrap(desk, &mut keeper, &asked, &mut goes_on).await.unwrap();
    assert_eq!((told.calls, told.finished), (Some(3), false));
    assert_eq!(app.number("SELECT count(*) FROM catalogue_entities").await, 0);

    let agreed = Bootstrap { sink: sink(), yes: true };
    let done = operate::catalogue::bootstrap(desk, &mut keeper, &agreed, &mut goes_on).await.unwrap();
    assert_eq!((done.records, done.finished), (25, true));
    assert_eq!(app.number("SELECT count(*) FROM catalogue_entities").await, 25);
    assert_eq!(app.number("SELECT count(*) FROM operator_actions WHERE action = 'bootstrap'").await, 1);
    let full = app.number("SELECT count(*) FROM catalogue_cursors WHERE last_full_run_at IS NOT NULL AND pull IS NULL");
    assert_eq!(full.await, 1);
}

#[tokio::test]
async fn a_months_budget_counts_the_orders_that_there_were_and_names_the_knob() {
    let app = TestApp::setup().with("sinks.hook.limits.per_day", "100").start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    let often = CatalogueSettings { pull_interval: Duration::from_mins(1), ..settings() };
    let keeper = keeper(&app, &shop, often);
    let ground = Ground::of(&keeper, &app.settings.sinks[&sink()]);
    let month = Month { sink: sink(), orders_a_day: Some(10) };

    let dear = operate::catalogue::budget(&app.pool, &month, ground.as_ref()).await.unwrap();

    assert_eq!((dear.plan.pulls, dear.plan.orders, dear.allowed, dear.fits), (43_200, 300, Some(3_000), false));
    assert_eq!(dear.knob.map(|knob| knob.setting), Some("pull_interval"));
}
