//! Looks at what is linked and at what was posted: what changed or died in silence.

use super::*;

#[tokio::test]
async fn each_of_a_thousand_linked_products_is_checked_within_twenty_days() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    link_many(&app, &shop, Kind::Product, 1_000).await;
    let mut keeper = keeper(&app, &shop, only_sweeps());
    let began = app.clock.elapsed();

    let mut looked: BTreeSet<String> = BTreeSet::new();
    while looked.len() < 1_000 {
        next_turn(&app, &mut keeper).await;
        looked.extend(shop.calls().into_iter().filter(|call| call.starts_with("look")));
        assert!(app.clock.elapsed().saturating_sub(began) < 20 * DAY, "{} were looked at", looked.len());
    }

    let unchecked = "SELECT count(*) FROM links LEFT JOIN catalogue_entities USING (sink, kind, remote_id)
                     WHERE last_checked_at IS NULL";
    assert_eq!(app.number(unchecked).await, 0);
    let horizon = app.number("SELECT horizon_days::bigint FROM catalogue_status WHERE kind = 'product'").await;
    assert_eq!(horizon, 20);
}

#[tokio::test]
async fn of_a_thousand_products_one_that_always_fails_costs_the_others_no_more_than_its_own_looks() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    link_many(&app, &shop, Kind::Product, 1_000).await;
    shop.fails_at("product-00000");
    let mut keeper = keeper(&app, &shop, only_sweeps());
    let began = app.clock.elapsed();

    let (mut looked, mut in_vain) = (BTreeSet::new(), 0);
    while looked.len() < 1_000 {
        next_turn(&app, &mut keeper).await;
        let looks: Vec<_> = shop.calls().into_iter().filter(|call| call.starts_with("look")).collect();
        in_vain += looks.iter().filter(|look| look.ends_with("product-00000")).count();
        looked.extend(looks);
        // At most three a day are in vain, of fifty.
        assert!(app.clock.elapsed().saturating_sub(began) < 22 * DAY, "{} were looked at", looked.len());
    }

    assert!(in_vain >= 3, "it is not passed over for good");
    assert_eq!(app.number("SELECT count(*) FROM catalogue_entities WHERE last_checked_at IS NOT NULL").await, 999);
}

#[tokio::test]
async fn a_round_of_sweeps_that_takes_too_long_is_told() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    for n in 0..11 {
        shop.put_in_silence(Kind::Product, &format!("p{n:02}"), "Lamb");
        link(&app, "product", &format!("dish {n}"), &format!("p{n:02}")).await;
    }
    let one_a_day = CatalogueSettings { sweep_items: 1, sweep_interval: DAY, horizon_days: 10, ..only_sweeps() };
    let mut keeper = keeper(&app, &shop, one_a_day);

    work(&mut keeper).await;
    assert_eq!(alerts(&app).await, [("sweep_horizon".to_owned(), "hook/product".to_owned())]);

    app.run("DELETE FROM links WHERE local_key = 'dish 10'").await;
    app.advance(DAY);
    work(&mut keeper).await;
    assert!(alerts(&app).await.is_empty());
}

#[tokio::test]
async fn a_product_that_always_fails_keeps_no_other_waiting_and_does_not_hide() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    for n in 0..40 {
        shop.put_in_silence(Kind::Product, &format!("p{n:02}"), "Lamb");
        link(&app, "product", &format!("dish {n}"), &format!("p{n:02}")).await;
    }
    shop.fails_at("p00");
    let mut keeper = keeper(&app, &shop, only_sweeps());

    let began = app.clock.elapsed();
    while app.clock.elapsed().saturating_sub(began) < 2 * DAY {
        next_turn(&app, &mut keeper).await;
    }

    let checked = app.number("SELECT count(*) FROM catalogue_entities WHERE last_checked_at IS NOT NULL").await;
    assert_eq!(checked, 39);
    let row = sqlx::query("SELECT remote_state, check_failures FROM catalogue_entities WHERE remote_id = 'p00'")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!((row.get::<String, _>(0), row.get::<i32, _>(1)), ("active".to_owned(), 0));
    let looks = shop.calls().iter().filter(|call| *call == "look product p00").count();
    assert!((4..=7).contains(&looks), "three looks, a day of rest, and again: {looks}");
}

#[tokio::test]
async fn a_product_that_died_in_silence_breaks_its_link_after_three_different_days() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    for id in ["ghost", "by hand", "alive"] {
        shop.put_in_silence(Kind::Product, id, "Lamb");
    }
    link(&app, "product", "lamb", "ghost").await;
    link(&app, "product", "kofta", "alive").await;
    shop.links_by_hand(LinkKind::Product, "bhuna", "by hand");
    let mut keeper = keeper(&app, &shop, only_sweeps());
    work(&mut keeper).await;
    shop.remove(Kind::Product, "ghost");
    shop.remove(Kind::Product, "by hand");
    let began = app.clock.elapsed();

    let strikes = "SELECT check_failures FROM catalogue_entities WHERE remote_id = 'ghost'";
    let mut struck_at = Vec::new();
    while struck_at.len() < 3 {
        next_turn(&app, &mut keeper).await;
        let strikes: i32 = sqlx::query_scalar(strikes).fetch_one(&app.pool).await.unwrap();
        if strikes as usize > struck_at.len() {
            struck_at.push(app.clock.elapsed().saturating_sub(began).as_secs() / 3_600);
        }
        let key = LinkKey { sink: &sink(), kind: LinkKind::Product, local_key: "lamb" };
        let found = store::links::find(&app.pool, key).await.unwrap().unwrap();
        assert_eq!(found.is_broken, strikes > 0, "it is not used from the first look in vain on");
        let broken = app.number("SELECT count(*) FROM links WHERE broken_at IS NOT NULL").await;
        assert_eq!(broken, i64::from(strikes >= 3));
    }

    assert!(struck_at[1] - struck_at[0] >= 24 && struck_at[2] - struck_at[1] >= 24, "{struck_at:?}");
    let broken = app.text("SELECT local_key FROM links WHERE broken_at IS NOT NULL").await;
    assert_eq!(broken.as_deref(), Some("lamb"), "a person's link is never changed");
    let raised = ["by hand", "ghost"].map(|id| ("link_broken".to_owned(), format!("hook/product/{id}")));
    assert_eq!(alerts(&app).await, raised);
    let problems: Vec<(String, String)> =
        sqlx::query_as("SELECT local_key, problem FROM link_problems ORDER BY 1").fetch_all(&app.pool).await.unwrap();
    assert_eq!(
        problems,
        [("bhuna", "missing"), ("lamb", "broken")].map(|(key, problem)| (key.to_owned(), problem.to_owned()))
    );
}

#[tokio::test]
async fn a_record_that_is_found_again_starts_with_no_strike() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    link(&app, "product", "lamb", "p").await;
    let mut keeper = keeper(&app, &shop, only_sweeps());
    work(&mut keeper).await;
    assert_eq!(app.number("SELECT check_failures::bigint FROM catalogue_entities").await, 1);

    shop.put_in_silence(Kind::Product, "p", "Lamb");
    app.advance(DAY + HOUR);
    work(&mut keeper).await;

    let state = app.text("SELECT remote_state FROM catalogue_entities WHERE check_failures = 0").await;
    assert_eq!(state.as_deref(), Some("active"));
}

#[tokio::test]
async fn what_is_there_and_not_to_be_used_is_told_once_with_a_list_and_not_used() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    shop.put_in_silence(Kind::Product, "p", "Lamb");
    link(&app, "product", "lamb", "p").await;
    let mut keeper = keeper(&app, &shop, only_sweeps());
    work(&mut keeper).await;

    shop.change(Kind::Product, "p", false, |thing| thing.state = RemoteState::Archived);
    app.advance(6 * HOUR);
    work(&mut keeper).await;

    assert_eq!(alerts(&app).await, [("catalogue_not_active".to_owned(), "hook/product".to_owned())]);
    let key = LinkKey { sink: &sink(), kind: LinkKind::Product, local_key: "lamb" };
    assert!(store::links::find(&app.pool, key).await.unwrap().unwrap().is_broken);
    assert_eq!(app.number("SELECT count(*) FROM links WHERE broken_at IS NOT NULL").await, 0, "the link is kept");
}

#[tokio::test]
async fn a_feed_that_keeps_silent_about_changes_is_suspect_and_asked_again_for_a_day() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    for n in 0..10 {
        shop.put_in_silence(Kind::Product, &format!("p{n}"), "Lamb");
        link(&app, "product", &format!("dish {n}"), &format!("p{n}")).await;
    }
    let patient = CatalogueSettings { freshness: 10 * DAY, ..settings() };
    let mut keeper = keeper(&app, &shop, patient);
    work(&mut keeper).await;
    app.advance(DAY);
    work(&mut keeper).await;
    for n in 0..3 {
        shop.put_in_silence(Kind::Product, &format!("p{n}"), "Kofta");
    }
    // The feed has had its time.
    app.advance(2 * HOUR);
    work(&mut keeper).await;
    assert!(alerts(&app).await.is_empty());
    let before: DateTime<Utc> = cursor(&app).await;

    app.advance(4 * HOUR);
    app.run("UPDATE catalogue_cursors SET next_pull_at = now() + interval '1 year'").await;
    while keeper.tick().await.unwrap() != Tick::Worked(Kind::Product) {}

    assert_eq!(alerts(&app).await, [("feed_suspect".to_owned(), "hook/product".to_owned())]);
    assert_eq!(cursor(&app).await, before - DAY);
    assert_eq!(app.number("SELECT count(*) FROM catalogue_cursors WHERE suspect_at IS NOT NULL").await, 1);
}

#[tokio::test]
async fn quiet_hours_have_no_sweeps() {
    let app = TestApp::start().await;
    let shop = Shop::new(&app.clock, Counts::Time, &[Kind::Product]);
    shop.put_in_silence(Kind::Product, "p", "Lamb");
    link(&app, "product", "lamb", "p").await;
    let now = app.clock.wall().time();
    let quiet_hours = QuietHours { from: now - chrono::Duration::hours(1), to: now + chrono::Duration::hours(2) };
    let mut keeper = keeper(&app, &shop, CatalogueSettings { quiet_hours: Some(quiet_hours), ..only_sweeps() });

    work(&mut keeper).await;
    assert_eq!(shop.calls(), [""; 0]);

    app.advance(2 * HOUR + Duration::from_secs(5));
    work(&mut keeper).await;
    assert_eq!(shop.calls(), ["look product p"]);
}

#[tokio::test]
async fn what_somebody_changed_of_what_we_posted_is_told_and_not_repaired() {
    let mut app = TestApp::start().await;
    for id in ["1", "2", "3"] {
        app.arrives(&order(id, 1, "accepted")).await;
    }
    app.run_to_rest().await;
    // As if the shop had been posted to.
    app.run("UPDATE deliveries SET receipt = '{\"money\": {\"posted_minor\": 1250, \"declared_minor\": 0}}' WHERE sink = 'hook'").await;
    app.run("UPDATE sinks SET carries_money = true WHERE name = 'hook'").await;
    app.run("UPDATE orders SET placed_at = now()").await;
    let shop = Shop::new(&app.clock, Counts::Time, &[]);
    for (id, minor) in [("1", 1_250), ("2", 1_000), ("3", 0)] {
        shop.says_worth(id, minor);
    }
    let mut keeper = keeper(&app, &shop, settings());

    assert_eq!(work(&mut keeper).await, [Kind::Document]);

    let found: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT order_id, finding FROM documents WHERE sink = 'hook' ORDER BY 1")
            .fetch_all(&app.pool)
            .await
            .unwrap();
    let expected = [("1", None), ("2", Some("remote_edited")), ("3", Some("remote_missing"))];
    assert_eq!(found, expected.map(|(id, finding)| (id.to_owned(), finding.map(str::to_owned))));
    let raised = [("remote_edited", "hook/main/2"), ("remote_missing", "hook/main/3")];
    assert_eq!(alerts(&app).await, raised.map(|(cause, subject)| (cause.to_owned(), subject.to_owned())));

    shop.says_worth("2", 1_250);
    app.advance(DAY + HOUR);
    work(&mut keeper).await;
    assert_eq!(alerts(&app).await, [("remote_missing".to_owned(), "hook/main/3".to_owned())]);
    assert_eq!(shop.calls(), ["verify 3", "verify 3"]);
}
