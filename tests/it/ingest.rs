//! What a page does to the database: bad orders, refusals of the database, and what a newer version does to deliveries.

use std::time::Duration;

use scoffable_sync::simulator::{
    faults::status,
    world::{Breakage, Readability, World, WorldOptions},
};
use serde_json::json;

use crate::harness::{
    app::{SOURCE, TestApp, order, order_of},
    stream::{page, raw_page, stored},
};

const CASES: &str = "SELECT string_agg(concat_ws(' ', reason, order_id, version), ', ' ORDER BY id) FROM quarantine";

fn bytes(order: &serde_json::Value) -> Vec<u8> {
    order.to_string().into_bytes()
}

#[tokio::test]
async fn one_bad_order_among_a_hundred_costs_only_itself() {
    let mut app = TestApp::start().await;
    let mut orders: Vec<_> = (0..100).map(|n| bytes(&order(&format!("A-{n}"), 1, "accepted"))).collect();
    orders[50] = br#"{"id":"A-50","version":"three","status":"accepted"}"#.to_vec();
    app.scoffable.answer_next([raw_page(&orders, false, Some("c-1"))]);

    app.poll().await;
    app.dispatch().await;

    assert_eq!(stored(&app.pool).await.len(), 99);
    assert_eq!(app.webhook.ledger().n_applied(), 99);
    assert_eq!(app.text(CASES).await.as_deref(), Some("version_invalid A-50"));
    assert_eq!(app.text("SELECT cursor FROM sources").await.as_deref(), Some("c-1"));
    assert_eq!(app.number("SELECT quarantined FROM sync_status").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM alerts WHERE cause = 'quarantined' AND resolved_at IS NULL").await, 1);
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_kept_byte_for_byte_and_once_however_often_it_is_read() {
    let mut app = TestApp::start().await;
    let mut invalid_utf8 = bytes(&order("A-1", 1, "accepted"));
    let at = invalid_utf8.windows(4).position(|part| part == b"Lamb").unwrap();
    invalid_utf8[at] = 0xff;
    let mut raw_nul = bytes(&order("A-2", 1, "accepted"));
    let at = raw_nul.windows(4).position(|part| part == b"Lamb").unwrap();
    raw_nul[at] = 0;
    let no_id = br#"{"latestVersion": true, "version": 1}"#.to_vec();
    let no_id_later = br#"{"latestVersion": false, "version": 1}"#.to_vec();
    let bad = [invalid_utf8.clone(), raw_nul.clone(), no_id.clone(), bytes(&order("A-3", 1, "accepted"))];
    let again = [invalid_utf8.clone(), raw_nul.clone(), no_id_later, bytes(&order("A-3", 1, "accepted"))];
    app.scoffable.answer_next([raw_page(&bad, true, Some("c-1")), raw_page(&bad, true, Some("c-2"))]);
    app.scoffable.answer_next([raw_page(&again, false, Some("c-3"))]);

    app.poll().await;
    app.restart().await;
    app.scoffable.answer_next([raw_page(&again, false, Some("c-4"))]);
    app.poll().await;

    assert_eq!(app.text(CASES).await.as_deref(), Some("not_utf8 A-1 1, raw_nul A-2 1, order_id_missing 1"));
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT raw FROM quarantine ORDER BY id").fetch_all(&app.pool).await.unwrap();
    assert_eq!(kept, [invalid_utf8, raw_nul, no_id]);
    assert_eq!(stored(&app.pool).await, [("A-3".to_owned(), 1)].into());
    assert_eq!(app.number("SELECT quarantined FROM sources").await, 3);
    assert_eq!(app.number("SELECT sum(count)::bigint FROM alerts WHERE cause = 'quarantined'").await, 1, "said once");
}

#[tokio::test]
async fn a_nul_in_an_id_or_a_status_does_not_hold_up_the_page() {
    let mut app = TestApp::start().await;
    let mut vendor = order("A-4", 1, "accepted");
    vendor["vendorId"] = json!("vendor\u{0}a");
    let mut name = order("A-5", 1, "accepted");
    name["items"][0]["name"] = json!("Lamb\u{0}Kofta");
    let mut long_status = order("A-6", 1, "accepted");
    long_status["status"] = json!("x".repeat(10_000));
    let orders = [
        order("A\u{0}1", 1, "accepted"),
        order("A-2", 1, "acc\u{0}epted"),
        order("A-3", 1, "accepted"),
        vendor,
        name,
        long_status,
    ];
    app.scoffable.answer_next([page(&orders, false, Some("c-1"))]);

    app.poll().await;
    app.dispatch().await;

    assert_eq!(app.text("SELECT cursor FROM sources").await.as_deref(), Some("c-1"));
    let taken: Vec<String> = stored(&app.pool).await.into_iter().map(|(id, _)| id).collect();
    assert!(taken.contains(&"A-3".to_owned()) && taken.contains(&"A-5".to_owned()), "{taken:?}");
    let quarantined = app.number("SELECT count(*) FROM quarantine").await as usize;
    assert_eq!(taken.len() + quarantined, orders.len(), "each order is either stored or kept aside");
    assert_eq!((app.applied("A-3"), app.applied("A-5")), (vec![1], vec![1]));
    assert_eq!(app.number("SELECT count(*) FROM order_payloads WHERE order_id = 'A-5' AND payload IS NULL").await, 1);
}

#[tokio::test]
async fn every_way_to_break_a_version_leaves_the_others_alone() {
    // An id of more than 64 bits is just an id to us: their format may change.
    let mut breakages = [&Breakage::READABLE_PAGE[..], &Breakage::UNREADABLE_PAGE].concat();
    breakages.retain(|breakage| *breakage != Breakage::IdOverflow);
    let options = WorldOptions { orders: 60, seed: 4, broken: 26, breakages, ..WorldOptions::default() };
    let world = World::generate(options.clone());
    let mut setup = TestApp::setup();
    setup.world = Some(World::generate(options));
    let mut app = setup.start().await;

    app.poll().await;
    app.run_to_rest().await;

    let of = |wanted: Readability| {
        let versions = world.orders.values().flat_map(|order| &order.versions);
        versions.filter(|version| version.readability == wanted).count()
    };
    let (taken, aside) = (stored(&app.pool).await.len(), app.number("SELECT count(*) FROM quarantine").await as usize);
    assert_eq!(taken + aside, world.versions.len());
    assert!(taken >= of(Readability::Clear) && aside >= of(Readability::Broken), "{taken} taken, {aside} kept aside");
    assert_eq!(app.webhook.compare(SOURCE, &world), []);
    app.assert_no_violation();
}

#[tokio::test]
async fn amounts_times_and_currencies_at_the_edge_of_what_can_be_stored_are_stored() {
    let mut app = TestApp::start().await;
    let mut orders = Vec::new();
    let placed_at = [
        json!("+300000-01-01T00:00:00Z"),
        json!(9_000_000_000_000_000_000_i64),
        json!(-9_000_000_000_000_000_000_i64),
        json!("0000-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59.999Z"),
        json!("never"),
        json!({}),
    ];
    for (n, placed_at) in placed_at.into_iter().enumerate() {
        let mut order = order(&format!("T-{n}"), 1, "accepted");
        order["placedAt"] = placed_at;
        orders.push(order);
    }
    for (n, amount) in [i64::MAX, i64::MIN, 0, -1].into_iter().enumerate() {
        orders.push(order_of(&format!("M-{n}"), 1, "accepted", amount));
    }
    for (n, currency) in ["", "gbp", "POUNDS", "£££", "X\u{0}Y", "日本円"].into_iter().enumerate() {
        let mut order = order(&format!("C-{n}"), 1, "accepted");
        order["total"]["currency"] = json!(currency);
        orders.push(order);
    }
    app.scoffable.answer_next([page(&orders, false, Some("c-1"))]);

    app.poll().await;
    app.run_to_rest().await;

    assert_eq!(app.text(CASES).await, None);
    assert_eq!(stored(&app.pool).await.len(), orders.len());
    assert_eq!(app.webhook.ledger().n_applied(), orders.len());
}

#[tokio::test]
async fn what_the_database_refuses_for_its_data_is_kept_aside_and_the_rest_of_the_pages_stored() {
    // Stands in for what nobody thought of, such as a database that is not in UTF-8.
    let mut app = TestApp::start().await;
    app.run("ALTER TABLE order_versions ADD CONSTRAINT not_this_one CHECK (order_id NOT LIKE 'poison%')").await;
    let orders = [
        order("A-1", 1, "accepted"),
        order("poison-1", 1, "accepted"),
        order("A-2", 1, "accepted"),
        order_of("A-2", 1, "accepted", 7),
        order("poison-2", 1, "accepted"),
        order_of("A-1", 2, "accepted", 7),
    ];
    for _ in 0..2 {
        app.scoffable.answer_next([
            page(&orders[..3], true, Some("c-1")),
            raw_page(&[b"{}".to_vec()], true, Some("c-2")),
            page(&orders[3..], false, Some("c-3")),
        ]);
        app.poll().await;
    }
    app.dispatch().await;

    let expected = [("A-1".to_owned(), 1), ("A-1".to_owned(), 2), ("A-2".to_owned(), 1)];
    assert_eq!(stored(&app.pool).await, expected.into());
    let reasons = "SELECT string_agg(reason, ' ' ORDER BY reason) FROM quarantine";
    let kept = "order_id_missing refused_by_database refused_by_database version_conflict";
    assert_eq!(app.text(reasons).await.as_deref(), Some(kept));
    assert_eq!(app.text("SELECT cursor FROM sources").await.as_deref(), Some("c-3"));
    assert_eq!(app.number("SELECT count(*) FROM alerts WHERE cause = 'quarantined'").await, 1);
    assert_eq!((app.applied("A-1"), app.applied("A-2")), (vec![2], vec![1]));
    assert_eq!(app.text("SELECT state FROM sources").await.as_deref(), Some("active"));
}

#[tokio::test]
async fn a_database_that_fails_for_another_reason_stops_the_page_and_not_the_order() {
    let mut app = TestApp::start().await;
    app.run(
        "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$",
    )
    .await;
    app.run("CREATE TRIGGER disk_full BEFORE INSERT ON order_versions EXECUTE FUNCTION disk_full()").await;
    app.publish(&order("A-1", 1, "accepted"));
    app.make_sources_due().await;
    let drain = app.drain.clone();

    let failed = app.pollers[0].tick(&drain).await;
    let after = (app.text("SELECT cursor FROM sources").await, app.number("SELECT count(*) FROM quarantine").await);
    app.run("DROP TRIGGER disk_full ON order_versions").await;
    let healed = app.pollers[0].tick(&drain).await;

    assert!(failed.is_err());
    assert_eq!(after, (None, 0));
    assert!(healed.is_ok(), "and the turn is not waited for");
    assert_eq!(stored(&app.pool).await.len(), 1);
}

/// `A-1` at version 1 in this state; then version 2 arrives.
async fn raise(app: &mut TestApp, state: &'static str) {
    app.publish(&order_of("A-1", 1, "accepted", 100));
    app.poll().await;
    app.run(state).await;
    app.publish(&order_of("A-1", 2, "accepted", 200));
    app.poll().await;
}

const ROW: &str = "SELECT concat_ws(' ', state, wanted_version, attempts, reason, hint, waiting_for,
        CASE WHEN first_failed_at IS NULL THEN 'never_failed' ELSE 'failed' END) FROM deliveries";

#[tokio::test]
async fn a_newer_version_starts_a_failing_delivery_afresh() {
    let mut app = TestApp::start().await;

    let failing =
        "UPDATE deliveries SET attempts = 7, first_failed_at = now() - interval '1 day', waiting_for = 'retry',
                   next_attempt_at = now() + interval '3 hours'";
    raise(&mut app, failing).await;

    assert_eq!(app.text(ROW).await.as_deref(), Some("pending 2 0 never_failed"));
    assert!(app.delivery("A-1").await.due_in.is_zero());
}

#[tokio::test]
async fn a_newer_version_comes_no_earlier_than_the_destination_asked() {
    let mut app = TestApp::start().await;

    raise(&mut app, "UPDATE deliveries SET not_before = now() + interval '10 minutes'").await;

    let due_in = app.delivery("A-1").await.due_in.as_secs();
    assert!((590..=600).contains(&due_in), "{due_in} s");
}

#[tokio::test]
async fn a_newer_version_waits_until_the_order_is_stable_again() {
    let mut app = TestApp::setup().with("sinks.hook.stable_for", "90m").start().await;
    app.publish(&order_of("A-1", 1, "accepted", 100));
    app.poll().await;
    app.advance(Duration::from_mins(80));
    app.publish(&order_of("A-1", 2, "accepted", 200));

    app.poll().await;

    let delivery = app.delivery("A-1").await;
    assert_eq!(delivery.waiting_for.as_deref(), Some("stability"));
    let minutes = delivery.due_in.as_secs() / 60;
    assert!((89..=90).contains(&minutes), "{minutes} min");
}

#[tokio::test]
async fn stability_and_the_wish_of_the_destination_both_hold() {
    for (not_before, expected) in [
        ("UPDATE deliveries SET not_before = now() + interval '10 minutes'", 89..=90),
        ("UPDATE deliveries SET not_before = now() + interval '200 minutes'", 199..=200),
    ] {
        let mut app = TestApp::setup().with("sinks.hook.stable_for", "90m").start().await;

        raise(&mut app, not_before).await;

        let minutes = app.delivery("A-1").await.due_in.as_secs() / 60;
        assert!(expected.contains(&minutes), "{minutes} min");
    }
}

#[tokio::test]
async fn a_delivery_in_flight_learns_only_the_number() {
    let mut app = TestApp::start().await;

    let in_flight =
        "UPDATE deliveries SET state = 'in_flight', attempts = 3, lease_owner = 'me', lease_token = gen_random_uuid(),
                     lease_expires_at = now() + interval '30 s', first_failed_at = now(), next_attempt_at = 'epoch'";
    raise(&mut app, in_flight).await;

    assert_eq!(app.text(ROW).await.as_deref(), Some("in_flight 2 3 failed"));
    let untouched = "SELECT count(*) FROM deliveries WHERE lease_owner = 'me' AND next_attempt_at = 'epoch'";
    assert_eq!(app.number(untouched).await, 1);
}

#[tokio::test]
async fn a_delivery_in_doubt_learns_only_the_number() {
    let mut app = TestApp::start().await;

    let in_doubt = "UPDATE deliveries SET state = 'in_doubt', attempts = 3, reason = 'no_answer', hint = 'look',
                    pending_step = '{\"key\":\"k\"}', first_failed_at = now(), next_attempt_at = 'infinity'";
    raise(&mut app, in_doubt).await;

    assert_eq!(app.text(ROW).await.as_deref(), Some("in_doubt 2 3 no_answer look failed"));
    let untouched = "SELECT count(*) FROM deliveries WHERE pending_step IS NOT NULL AND next_attempt_at = 'infinity'";
    assert_eq!(app.number(untouched).await, 1);
}

#[tokio::test]
async fn what_was_applied_or_skipped_is_owed_again() {
    let mut app = TestApp::start().await;
    raise(&mut app, "UPDATE deliveries SET state = 'applied', applied_version = 1, decided_version = 1, priority = 1")
        .await;
    assert_eq!(app.text(ROW).await.as_deref(), Some("pending 2 0 never_failed"));

    let mut app = TestApp::start().await;
    raise(&mut app, "UPDATE deliveries SET state = 'skipped', reason = 'filtered', decided_version = 1").await;
    assert_eq!(app.text(ROW).await.as_deref(), Some("pending 2 0 never_failed"));
    assert!(app.delivery("A-1").await.due_in.is_zero());
}

#[tokio::test]
async fn a_correction_of_what_stands_comes_behind_new_orders() {
    let mut app = TestApp::start().await;

    raise(&mut app, "UPDATE deliveries SET state = 'applied', applied_version = 1, decided_version = 1").await;
    app.publish(&order("A-2", 1, "accepted"));
    app.poll().await;

    let priorities = "SELECT string_agg(order_id || ' ' || priority, ', ' ORDER BY order_id) FROM deliveries";
    assert_eq!(app.text(priorities).await.as_deref(), Some("A-1 1, A-2 0"));
}

#[tokio::test]
async fn a_parked_delivery_is_owed_again_where_a_newer_version_can_cure_it_and_else_learns_only_the_number() {
    let parked = |app: TestApp, curable: &'static str| async move {
        let mut app = app;
        raise(&mut app, curable).await;
        app.text(ROW).await
    };

    let cured = "UPDATE deliveries SET state = 'parked', reason = 'refused', hint = 'look', attempts = 4, first_failed_at = now()";
    let row = parked(TestApp::start().await, cured).await;
    assert_eq!(row.as_deref(), Some("pending 2 0 never_failed"));

    let incurable = "UPDATE deliveries SET state = 'parked', reason = 'refused', hint = 'look', attempts = 4,
                     first_failed_at = now(), curable = false";
    let row = parked(TestApp::start().await, incurable).await;
    assert_eq!(row.as_deref(), Some("parked 2 4 refused look failed"));
}

#[tokio::test]
async fn a_version_that_was_read_before_changes_nothing_about_its_delivery() {
    let mut app = TestApp::start().await;
    app.arrives(&order_of("A-1", 1, "accepted", 100)).await;
    app.webhook.answer_next([status(422)]);
    app.arrives(&order_of("A-1", 2, "accepted", 200)).await;
    let before = app.text("SELECT deliveries::text FROM deliveries").await;

    app.scoffable.answer_next([page(
        &[order_of("A-1", 1, "accepted", 100), order_of("A-1", 2, "accepted", 200)],
        false,
        Some("c-9"),
    )]);
    app.poll().await;

    assert_eq!(app.text("SELECT deliveries::text FROM deliveries").await, before);
    assert_eq!(app.number("SELECT duplicates FROM sources").await, 2);
}

#[tokio::test]
async fn a_late_version_changes_nothing_about_its_delivery() {
    let mut app = TestApp::start().await;
    app.publish(&order_of("A-1", 3, "accepted", 300));
    app.poll().await;
    app.run("UPDATE deliveries SET attempts = 5, first_failed_at = now(), next_attempt_at = now() + interval '1 hour'")
        .await;
    let before = app.text("SELECT deliveries::text FROM deliveries").await;

    app.publish(&order_of("A-1", 2, "accepted", 200));
    app.poll().await;

    assert_eq!(app.text("SELECT deliveries::text FROM deliveries").await, before);
}

#[tokio::test]
async fn a_changed_scope_is_told_once_and_changes_nothing_else() {
    let mut app = TestApp::setup().with("sources.main.scope", "north").start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    let cursor = app.text("SELECT cursor FROM sources").await;
    app.restart().await;
    assert_eq!(app.number("SELECT count(*) FROM alerts").await, 0, "the same scope is no news");

    app.configure("sources.main.scope", "north and south");
    app.restart().await;
    app.restart().await;

    assert_eq!(
        app.text("SELECT cause || ' ' || subject || ' ' || count FROM alerts").await.as_deref(),
        Some("scope_changed main 1")
    );
    assert_eq!(app.text("SELECT cursor FROM sources").await, cursor);
}

#[tokio::test]
async fn an_old_order_that_owed_nothing_until_now_is_a_new_one_when_it_is_accepted() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "placed")).await;
    app.run("UPDATE deliveries SET priority = 2").await; // as a backfill or replay leaves it

    app.stores(&order("A-1", 2, "accepted")).await;

    assert_eq!(app.number("SELECT priority::bigint FROM deliveries").await, 0);
}
