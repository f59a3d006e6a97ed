//! The copy of a destination's products and customers: pulled page by page, looked at again, never trusted for longer than
//! it is fresh.
//!
//! What the synchronisation practices want shown (their section 12), and where it is:
//!
//! | # | Shown by |
//! | --- | --- |
//! | 1 | [`a_second_pull_over_the_same_window_changes_nothing`], [`a_crash_after_any_page_loses_nothing_and_repeats_at_most_a_page`] |
//! | 2 | [`a_record_changed_during_a_pull_comes_with_the_next_one`] |
//! | 3 | `sweeps::each_of_a_thousand_linked_products_is_checked_within_twenty_days`, `sweeps::of_a_thousand_products_one_that_always_fails_costs_the_others_no_more_than_its_own_looks`, `sweeps::a_product_that_always_fails_keeps_no_other_waiting_and_does_not_hide` |
//! | 4 | `sweeps::a_product_that_died_in_silence_breaks_its_link_after_three_different_days` |
//! | 5 | `xero::simulated::contacts::no_request_about_a_linked_customer_says_anything_but_its_id` |
//! | 6 | `xero::simulated::contacts::two_contacts_with_one_e_mail_leave_the_order_to_the_house_and_a_person_is_told_once` |
//! | 7 | `xero::simulated::items::an_item_whose_maker_died_right_then_is_linked_by_the_next_and_not_made_again` |
//! | 8 | `crash_walk` and `kills` (at the till), `g3_no_effect_twice`; `conformance` for every kind of sink |
//! | 9 | the random histories beside the plans of Xero, Lightspeed and Unleashed (`plan::tests::random`), `g5_to_the_penny` |
//! | 10 | `xero::simulated::locked::a_hundred_orders_that_wait_for_the_same_are_one_alert_and_go_together_once_it_is_mended`, `retry::waits_double_then_turn_slow_and_giving_up_parks_with_an_alert`. What a destination refuses for good is an alert for each order; `deliveries retry --reason` takes them together |
//! | 11 | `retry::a_throttled_order_waits_as_long_as_asked_and_that_costs_no_attempt`, `retry::throttling_until_a_date_waits_until_then`, `retry::throttling_without_a_readable_wish_backs_off_by_itself` |
//! | 12 | `xero::simulated::catalogue::with_a_day_used_up_orders_are_posted_and_nothing_is_looked_at_also_after_a_restart` |
//! | 13 | `unleashed::whole::a_month_that_is_used_up_opens_with_the_next_one`, `budgets::a_new_month_opens_the_budget_again` |
//! | 14 | `config::tests::two_ledgers_of_one_vendor_are_refused_unless_both_permit_it`, `config::tests::stock_and_books_of_one_vendor_are_two_ledgers` |

mod month;
mod people;
pub mod shop;
mod sweeps;

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use scoffable_sync::{
    catalogue::worker::{Tick, Worker},
    config::{CatalogueSettings, QuietHours},
    domain::{
        catalogue::{Kind, RemoteState},
        delivery::{Outcome, Reason},
        ids::SinkName,
    },
    sinks::links::{LinkKey, LinkKind},
    store::{
        self,
        catalogue::{Holder, Strikes, Written},
    },
};
use sqlx::Row as _;

use self::shop::{Counts, Shop, keeper, work};
use crate::harness::app::{SINK, TestApp, order};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Longer than any pull or lease that a test has.
const LATER: Duration = Duration::from_mins(70);

fn settings() -> CatalogueSettings {
    CatalogueSettings::of_pages(100)
}

/// Only sweeps: what is pulled is pulled once.
fn only_sweeps() -> CatalogueSettings {
    let long = Duration::from_hours(24 * 300);
    CatalogueSettings { pull_interval: long, freshness: long, customer_sweep_interval: long, ..settings() }
}

fn sink() -> SinkName {
    SinkName::parse(SINK).unwrap()
}

async fn link(app: &TestApp, kind: &str, key: &str, remote_id: &str) {
    sqlx::query(
        "INSERT INTO links (sink, kind, local_key, remote_id, how, created_at) VALUES ($1, $2, $3, $4, 'code', now())",
    )
    .bind(SINK)
    .bind(kind)
    .bind(key)
    .bind(remote_id)
    .execute(&app.pool)
    .await
    .unwrap();
}

/// So many records that are linked and of which the feed of changes has never told, called `product-00000` and so on.
async fn link_many(app: &TestApp, shop: &Shop, kind: Kind, records: i64) {
    for n in 0..records {
        shop.put_in_silence(kind, &format!("{kind}-{n:05}"), "Lamb");
    }
    sqlx::query(
        "INSERT INTO links (sink, kind, local_key, remote_id, how, created_at)
         SELECT $1, $2, 'key ' || n, $2 || '-' || to_char(n, 'FM00000'), 'code', now() FROM generate_series(0, $3 - 1) n",
    )
    .bind(SINK)
    .bind(kind.as_str())
    .bind(records)
    .execute(&app.pool)
    .await
    .unwrap();
}

/// One row per entity: id, name, when it was last changed.
async fn entities(app: &TestApp) -> Vec<(String, Option<String>, Option<DateTime<Utc>>)> {
    sqlx::query_as("SELECT remote_id, name, last_changed_at FROM catalogue_entities ORDER BY kind, remote_id")
        .fetch_all(&app.pool)
        .await
        .unwrap()
}

async fn alerts(app: &TestApp) -> Vec<(String, String)> {
    sqlx::query_as("SELECT cause, subject FROM alerts WHERE resolved_at IS NULL ORDER BY cause, subject")
        .fetch_all(&app.pool)
        .await
        .unwrap()
}

/// Lets time pass until something is due, and works on it.
async fn next_turn(app: &TestApp, keeper: &mut Worker) -> Kind {
    for _ in 0..100_000 {
        match keeper.tick().await.expect("the database answers") {
            Tick::Worked(kind) => return kind,
            Tick::Idle(wait) => app.advance(wait.max(Duration::from_millis(100))),
        }
    }
    panic!("nothing ever becomes due");
}

async fn cursor(app: &TestApp) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT (cursor ->> 'at')::timestamptz FROM catalogue_cursors WHERE kind = 'product'")
        .fetch_one(&app.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_shop_that_was_never_asked_is_asked_for_nothing_older() {
    for counts in [Counts::Time, Counts::Versions] {
        let app = TestApp::start().await;
        let shop = Shop::new(&app.clock, counts, &[Kind::Product]);
        shop.put(Kind::Product, "old", "Lamb");
        app.advance(HOUR);
        let mut keeper = keeper(&app, &shop, settings());

        work(&mut keeper).await;
        assert!(entities(&app).await.is_empty());
        assert!(shop.calls().iter().all(|call| !call.starts_with("changes")));

        app.advance(Duration::from_secs(1));
        shop.put(Kind::Product, "new", "Kofta");
        app.advance(LATER);
        work(&mut keeper).await;
        let names: Vec<_> = entities(&app).await.into_iter().map(|(id, ..)| id).collect();
        assert_eq!(names, ["new"]);
    }
}

#[tokio::test]
async fn a_second_pull_over_the_same_window_changes_nothing() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    let mut keeper = keeper(&app, &shop, settings());
    work(&mut keeper).await;
    app.advance(Duration::from_secs(30));
    for id in ["a", "b", "c"] {
        shop.put(Kind::Product, id, "Lamb");
    }
    let before = app.number("SELECT count(*) FROM catalogue_cursors WHERE last_pull_at IS NOT NULL").await;
    assert_eq!(before, 1);

    // The overlap has the second one find them again.
    app.run("UPDATE catalogue_cursors SET next_pull_at = '-infinity'").await;
    work(&mut keeper).await;
    let first = entities(&app).await;
    app.advance(Duration::from_mins(1));
    app.run("UPDATE catalogue_cursors SET next_pull_at = '-infinity'").await;
    work(&mut keeper).await;

    assert_eq!(first.len(), 3);
    assert_eq!(entities(&app).await, first);
    assert_eq!(shop.largest_page(), 3);
    let checked_again = "SELECT count(*) FROM catalogue_entities WHERE last_checked_at > last_changed_at";
    assert_eq!(app.number(checked_again).await, 3);
}

#[tokio::test]
async fn a_crash_after_any_page_loses_nothing_and_repeats_at_most_a_page() {
    const PAGES: usize = 5;
    for counts in [Counts::Time, Counts::Versions] {
        for crash_at in 1..=PAGES {
            let app = TestApp::start().await;
            let shop = Shop::new(&app.clock, counts, &[Kind::Product]);
            let few = CatalogueSettings { page_size: 10, ..settings() };
            let mut first = keeper(&app, &shop, few.clone());
            work(&mut first).await;
            app.advance(Duration::from_secs(1));
            for n in 0..50 {
                shop.put(Kind::Product, &format!("p{n:02}"), "Lamb");
            }
            app.advance(LATER);
            shop.is_silent_from(Some(crash_at));
            tokio::select! {
                () = shop.silent.notified() => {}
                ticked = first.tick() => panic!("page {crash_at} is never answered: {ticked:?}"),
            }
            drop(first);

            shop.is_silent_from(None);
            app.advance(Duration::from_mins(11));
            let mut second = keeper(&app, &shop, few);
            work(&mut second).await;

            let stored = app.number("SELECT count(*) FROM catalogue_entities").await;
            assert_eq!(stored, 50, "{counts:?}, page {crash_at}");
            assert!(shop.pages() <= PAGES + 1, "{counts:?}, page {crash_at}: {} pages", shop.pages());
        }
    }
}

#[tokio::test]
async fn a_record_changed_during_a_pull_comes_with_the_next_one() {
    for counts in [Counts::Time, Counts::Versions] {
        let app = TestApp::start().await;
        let shop = Shop::new(&app.clock, counts, &[Kind::Product]);
        let mut keeper = keeper(&app, &shop, CatalogueSettings { page_size: 10, ..settings() });
        work(&mut keeper).await;
        app.advance(Duration::from_secs(1));
        for n in 0..20 {
            shop.put(Kind::Product, &format!("p{n:02}"), "Lamb");
        }
        app.advance(LATER);
        // What was on the first page already.
        shop.before_page(2, |shop| shop.put_in_silence(Kind::Product, "p00", "Kofta"));
        work(&mut keeper).await;
        shop.put(Kind::Product, "p00", "Kofta");

        app.advance(LATER);
        work(&mut keeper).await;

        let name = app.text("SELECT name FROM catalogue_entities WHERE remote_id = 'p00'").await;
        assert_eq!(name.as_deref(), Some("Kofta"), "{counts:?}");
    }
}

#[tokio::test]
async fn twenty_thousand_changes_come_page_by_page_and_never_more_than_a_few_pages_at_once() {
    for counts in [Counts::Time, Counts::Versions] {
        let app = TestApp::start().await;
        let shop = Shop::new(&app.clock, counts, &[Kind::Product]);
        let mut keeper = keeper(&app, &shop, CatalogueSettings::of_pages(200));
        work(&mut keeper).await;
        app.advance(Duration::from_secs(1));
        for n in 0..20_000 {
            shop.put(Kind::Product, &format!("p{n:05}"), "Lamb");
        }

        let mut pulls = 0;
        while app.number("SELECT count(*) FROM catalogue_entities").await < 20_000 {
            let before = shop.pages();
            app.advance(LATER);
            work(&mut keeper).await;
            assert!(shop.pages() - before <= 5, "most pages of one pull");
            pulls += 1;
            assert!(pulls <= 21, "{counts:?}");
        }

        assert_eq!(shop.largest_page(), 200);
        assert!(pulls >= 20);
    }
}

/// Cause: 20,000 items that came in one answer were one statement, which took twice the memory that a pull may have.
#[tokio::test]
async fn a_page_that_is_stored_in_parts_is_stored_whole_and_moves_the_cursor_at_its_end() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Versions, &[Kind::Product]);
    let mut keeper = keeper(&app, &shop, CatalogueSettings { page_size: 1_300, ..settings() });
    work(&mut keeper).await;
    app.advance(Duration::from_secs(1));
    for n in 0..1_300 {
        shop.put(Kind::Product, &format!("p{n:04}"), "Lamb");
    }
    app.advance(LATER);

    work(&mut keeper).await;

    assert_eq!((shop.pages(), app.number("SELECT count(*) FROM catalogue_entities").await), (1, 1_300));
    assert_eq!(app.number("SELECT (cursor ->> 'version')::bigint FROM catalogue_cursors").await, 1_300);
}

#[tokio::test]
async fn a_pull_that_fails_leaves_the_cursor_and_waits_longer_each_time_until_it_is_too_old() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    let mut keeper = keeper(&app, &shop, settings());
    work(&mut keeper).await;
    let cursor = app.text("SELECT cursor::text FROM catalogue_cursors").await;
    app.advance(LATER);

    let mut waits = Vec::new();
    for _ in 0..7 {
        shop.answers(Outcome::Unknown { reason: Reason::ServerError });
        work(&mut keeper).await;
        let Tick::Idle(wait) = keeper.tick().await.unwrap() else { panic!("it rests") };
        waits.push(wait.as_secs().div_ceil(60));
        app.advance(wait);
    }

    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60]);
    assert_eq!(app.text("SELECT cursor::text FROM catalogue_cursors").await, cursor);
    assert_eq!(app.text("SELECT last_error FROM catalogue_cursors").await.as_deref(), Some("server_error"));
    assert_eq!(alerts(&app).await, [("catalogue_stale".to_owned(), "hook/product".to_owned())]);
    assert_eq!(app.number("SELECT count(*) FROM catalogue_status WHERE failures = 7").await, 1);

    work(&mut keeper).await;
    keeper.tick().await.unwrap();
    assert!(alerts(&app).await.is_empty());
    assert_eq!(app.text("SELECT last_error FROM catalogue_cursors").await, None);
}

#[tokio::test]
async fn a_destination_that_says_how_long_to_wait_is_asked_no_earlier() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    let mut keeper = keeper(&app, &shop, settings());
    work(&mut keeper).await;
    app.advance(LATER);
    shop.answers(Outcome::Throttled { not_before: Some(Duration::from_mins(90)) });

    work(&mut keeper).await;

    let Tick::Idle(wait) = keeper.tick().await.unwrap() else { panic!("it rests") };
    assert!(wait > Duration::from_mins(89), "{wait:?}");
}

#[tokio::test]
async fn clocks_an_hour_apart_tell_nothing_by_time_until_they_agree() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    let mut keeper = keeper(&app, &shop, settings());
    work(&mut keeper).await;
    let before = cursor(&app).await;
    shop.is_ahead_by(2 * HOUR);
    app.advance(LATER);

    work(&mut keeper).await;
    assert_eq!(alerts(&app).await, [("clock_skew".to_owned(), "hook/product".to_owned())]);
    assert_eq!(cursor(&app).await, before);

    shop.is_ahead_by(Duration::from_mins(1));
    app.advance(Duration::from_mins(2));
    work(&mut keeper).await;
    assert!(alerts(&app).await.is_empty());
    assert!(cursor(&app).await > before);
}

#[tokio::test]
async fn without_calls_left_readings_are_left_out_and_counted() {
    let app = TestApp::setup().with("sinks.hook.limits.per_day", "10").start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    for n in 0..20 {
        shop.put_in_silence(Kind::Product, &format!("p{n:02}"), "Lamb");
        link(&app, "product", &format!("dish {n}"), &format!("p{n:02}")).await;
    }
    let mut keeper = keeper(&app, &shop, settings());

    work(&mut keeper).await;

    // Of a day they may have seven in ten.
    let looks = shop.calls().iter().filter(|call| call.starts_with("look")).count();
    assert_eq!(looks, 7);
    assert_eq!(app.number("SELECT skipped_budget FROM catalogue_cursors").await, 1);
    app.advance(DAY + HOUR);
    work(&mut keeper).await;
    assert!(!shop.calls().is_empty(), "the next day has its own");
}

#[tokio::test]
async fn two_processes_share_the_work_and_no_kind_has_two_turns_at_once() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product, Kind::Customer]);
    let (mut one, mut two) = (keeper(&app, &shop, settings()), keeper(&app, &shop, settings()));
    work(&mut one).await;
    two.set_up().await.unwrap();
    app.advance(Duration::from_secs(1));
    shop.put(Kind::Product, "p", "Lamb");
    shop.put(Kind::Customer, "c", "");
    app.advance(LATER);
    shop.calls();

    let (first, second) = tokio::join!(one.tick(), two.tick());

    let worked: BTreeSet<String> = [first.unwrap(), second.unwrap()].iter().map(|tick| format!("{tick:?}")).collect();
    assert_eq!(worked, ["Worked(Customer)", "Worked(Product)"].map(str::to_owned).into());
    work(&mut one).await;
    let mut calls = shop.calls();
    calls.sort();
    assert_eq!(calls, ["changes customer", "changes product"]);
    assert_eq!(app.number("SELECT count(*) FROM catalogue_entities").await, 2);
}

#[tokio::test]
async fn a_process_whose_lease_has_ended_writes_nothing_any_more() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    keeper(&app, &shop, settings()).set_up().await.unwrap();
    let claim = async |lease| {
        let (name, now) = (sink(), app.clock.offset_ms());
        store::catalogue::claim(&app.pool, &name, None, "a process", lease, now).await.unwrap()
    };
    let slow = claim(HOUR).await.expect("it is due");
    assert!(claim(HOUR).await.is_none(), "one at a time");

    app.advance(HOUR);
    claim(HOUR).await.expect("the lease has ended");

    let (sink, epoch) = (sink(), Some(slow.epoch));
    let holder = Holder { sink: &sink, kind: Kind::Product, epoch, lease: HOUR, offset_ms: app.clock.offset_ms() };
    assert_eq!(store::catalogue::store(&app.pool, holder, &[], None).await.unwrap(), Written::LeaseLost);
    let strikes = Strikes { most: 1, interval: DAY };
    assert_eq!(store::catalogue::strike(&app.pool, holder, "p", strikes).await.unwrap(), None);
    assert_eq!(app.number("SELECT count(*) FROM catalogue_entities").await, 0);
}

#[tokio::test]
async fn customers_are_linked_by_our_number_and_followed_to_the_survivor_of_a_merger() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Customer]);
    let mut keeper = keeper(&app, &shop, settings());
    work(&mut keeper).await;
    app.advance(Duration::from_secs(1));
    link(&app, "customer", "C-1", "old").await;
    shop.change(Kind::Customer, "ines", true, |thing| thing.local_key = Some("C-77".to_owned()));
    shop.change(Kind::Customer, "old", true, |thing| {
        thing.survivor = Some("survivor".to_owned());
        thing.state = RemoteState::Archived;
    });
    app.advance(LATER);

    work(&mut keeper).await;

    let links: Vec<(String, String)> =
        sqlx::query_as("SELECT local_key, remote_id FROM links ORDER BY 1").fetch_all(&app.pool).await.unwrap();
    let expected = [("C-1", "survivor"), ("C-77", "ines")];
    assert_eq!(links, expected.map(|(key, id)| (key.to_owned(), id.to_owned())));
    assert!(shop.calls().iter().all(|call| call.starts_with("changes") || call.starts_with("look")));
}
