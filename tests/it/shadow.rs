//! `shadow`: what other settings would make of stored orders is told to the field and the penny; nothing is sent or written.

use std::ops::ControlFlow;

use clap::{Args as _, Command, FromArgMatches as _};
use scoffable_sync::{
    cli::{
        self,
        shadow::{Configurations, Named, ShadowArgs},
    },
    config::Settings,
    operate::{
        self,
        shadow::{Personal, Shadow, Side},
        stored::Orders,
    },
    simulator::faults::status,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    g10_discreet::whole_database,
    harness::{
        app::{Setup, TestApp, order, order_of},
        process::{ConfigFile, scoffable_sync},
        stub::Stub,
    },
};

const SINCE: &str = "2026-01-01T00:00:00Z";
const HOUSE: &str = "55555555-aaaa-4bbb-8ccc-000000000001";

/// These settings as they are tried, against those that stand.
async fn shadow(app: &TestApp, standing: Option<Settings>, tried: Settings, line: &str) -> (u8, String) {
    let words = ["shadow", "--since", SINCE].into_iter().chain(line.split_whitespace());
    let matches = ShadowArgs::augment_args(Command::new("shadow")).try_get_matches_from(words);
    let args = matches.and_then(|matches| ShadowArgs::from_arg_matches(&matches)).expect("a valid command");
    let named = |name: &str, settings| Named { name: name.to_owned(), settings };
    let configurations = Configurations {
        tried: named("new.toml", tried),
        standing: standing.map(|settings| named("sync.toml", settings)),
    };
    let (requests, before) = (app.requests(), whole_database(app).await);
    let mut out = Vec::new();
    let code = cli::shadow::run(&configurations, &app.pool, &app.clock, &args, &mut out).await;
    assert_eq!(app.requests(), requests, "nothing is sent");
    assert_eq!(whole_database(app).await, before, "nothing is written");
    (code.expect("the database answers"), String::from_utf8(out).expect("commands write text"))
}

async fn json(app: &TestApp, standing: Option<Settings>, tried: Settings, line: &str) -> Value {
    serde_json::from_str(&shadow(app, standing, tried, &format!("{line} --json")).await.1).expect("JSON")
}

/// A destination that is never to be asked anything.
async fn nobody() -> Stub {
    Stub::start("", Box::new(|asked| panic!("it was asked {}", asked.line))).await
}

fn with_keys(setup: Setup, sink: &str, keys: &[(&str, &str)]) -> Setup {
    keys.iter().fold(setup, |setup, (key, value)| setup.with(&format!("sinks.{sink}.{key}"), value))
}

fn books(there: &Stub) -> Setup {
    let (base_url, token_url) = (there.url("/api.xro/2.0"), there.url("/token"));
    let keys = [
        ("kind", "xero"),
        ("base_url", base_url.as_str()),
        ("token_url", token_url.as_str()),
        ("client_id", "an-app"),
        ("client_secret", "a-secret-of-the-app"),
        ("time_zone", "Europe/London"),
        ("tax_types.default", "OUTPUT2"),
        ("tax_types.untaxed", "NONE"),
        ("accounts.sales", "200"),
        ("accounts.service_fee", "201"),
        ("accounts.delivery_fee", "202"),
        ("accounts.vendor_voucher", "205"),
        ("accounts.rounding", "498"),
        ("accounts.difference", "499"),
        ("accounts.scoffable_clearing", "611"),
        ("accounts.cash", "612"),
        ("accounts.card_terminal", "613"),
    ];
    with_keys(Setup::default(), "books", &keys)
}

fn stock(there: &Stub) -> Setup {
    let url = there.url("");
    let keys = [
        ("kind", "unleashed"),
        ("base_url", url.as_str()),
        ("api_id", "an-id"),
        ("api_key", "example-key-not-real-0001"),
        ("client_type", "acme/scoffsync"),
        ("time_zone", "Europe/London"),
        ("currency", "GBP"),
        ("tax.code", "V.A.T."),
        ("tax.rate", "0.2"),
        ("house_customer", HOUSE),
        ("vendors", "{ \"vendor-a\" = { warehouse = \"KITCHEN1\" } }"),
    ];
    with_keys(Setup::default(), "stock", &keys)
}

fn shop(there: &Stub) -> Setup {
    let url = there.url("");
    let keys = [
        ("kind", "lightspeed"),
        ("base_url", url.as_str()),
        ("token", "a-personal-token"),
        ("author_id", "11111111-aaaa-4bbb-8ccc-000000000001"),
        ("customers", "none"),
        ("vendors", r#"{ "vendor-a" = { register_id = "11111111-aaaa-4bbb-8ccc-000000000002" } }"#),
        ("tax_ids.default", "33333333-aaaa-4bbb-8ccc-000000000001"),
        ("payment_types.online_scoffable", "online"),
        ("payment_types.voucher_scoffable", "voucher"),
        ("payment_types.cash_vendor", "cash"),
        ("payment_types.online_vendor", "terminal"),
    ];
    with_keys(Setup::default(), "shop", &keys)
}

#[tokio::test]
async fn another_account_is_told_by_its_place_in_the_documents_and_moves_no_money() {
    let there = nobody().await;
    let mut app = books(&there).start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order_of("A-2", 1, "accepted", 900)).await;
    app.stores(&order("A-3", 1, "placed")).await;
    let tried = app.settings_with(&[("sinks.books.accounts.sales", "260")]);

    let (code, text) = shadow(&app, Some(app.settings.clone()), tried, "--sink books").await;

    assert_eq!(code, 1);
    insta::assert_snapshot!(text, @r#"
    sink books as new.toml has it, against sync.toml:
    3 orders: 1 same, 2 changed, 0 newly sent, 0 no longer sent, 0 not sent for another reason
      currency  before  after  difference
      GBP       21.50   21.50  0.00
    what would not be sent:
      skipped (never_accepted) in 1 order, main/A-3
    what would differ:
      /invoice/body/LineItems/*/AccountCode: "200" → "260" in 2 orders, main/A-1, main/A-2
    "#);
}

#[tokio::test]
async fn settings_that_lead_to_the_same_documents_are_the_same() {
    let there = nobody().await;
    let mut app = books(&there).start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let tried = app.settings_with(&[("sinks.books.stable_for", "10m")]);
    app.advance(std::time::Duration::from_hours(1));

    let (code, text) = shadow(&app, Some(app.settings.clone()), tried, "--sink books").await;

    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 order: 1 same, 0 changed"), "{text}");
}

#[tokio::test]
async fn orders_gathered_into_a_days_document_are_compared_by_their_part_of_it() {
    let there = nobody().await;
    let mut app = books(&there).with("sinks.books.mode", "daily_summary").start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let tried = app.settings_with(&[("sinks.books.accounts.scoffable_clearing", "711")]);

    let told = json(&app, Some(app.settings.clone()), tried, "--sink books").await;

    assert_eq!(told["changed"], 1, "{told:#}");
    assert_eq!(told["differences"].as_array().map(Vec::len), Some(1), "{told:#}");
    assert_eq!(told["differences"][0]["path"], "/payments/*/account");
    assert_eq!((&told["differences"][0]["from"], &told["differences"][0]["to"]), (&json!("611"), &json!("711")));
}

#[tokio::test]
async fn a_fee_that_is_left_out_is_told_in_the_money_to_the_penny() {
    let there = nobody().await;
    let mut app = stock(&there).start().await;
    for (id, provider) in [("A-1", "vendor"), ("A-2", "courier")] {
        let mut delivered = order(id, 1, "accepted");
        delivered["type"] = json!("delivery");
        delivered["deliveryProvider"] = json!(provider);
        delivered["deliveryFee"] = json!({"amount": 250, "currency": "GBP"});
        delivered["total"]["amount"] = json!(1500);
        delivered["customerPayments"][0]["payment"]["amount"] = json!(1500);
        app.stores(&delivered).await;
    }
    let tried = app.settings_with(&[("sinks.stock.products.delivery_fee_third_party", "skip")]);

    let told = json(&app, Some(app.settings.clone()), tried, "--sink stock").await;

    assert_eq!((&told["same"], &told["changed"]), (&json!(1), &json!(1)), "{told:#}");
    let expected = json!([{
        "currency": "GBP", "before_minor": 3000, "after_minor": 2750, "difference_minor": -250, "tax_before_minor": 500,
        "tax_after_minor": 458,
    }]);
    assert_eq!(told["money"], expected);
    let examples = &told["differences"][0]["examples"];
    assert_eq!(examples, &json!([{"source": "main", "order_id": "A-2"}]), "{told:#}");
}

#[tokio::test]
async fn a_dish_without_a_product_says_which_orders_would_be_held_and_why() {
    let (stock_there, shop_there) = (nobody().await, nobody().await);
    let mut app = stock(&stock_there).start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let hold = app.settings_with(&[("sinks.stock.missing_product", "hold")]);
    let mapped = app.settings_with(&[
        ("sinks.stock.missing_product", "hold"),
        ("sinks.stock.items", r#"{ "Lamb Kofta Plate" = "KOFTA" }"#),
    ]);
    let mut other = shop(&shop_there).start().await;
    other.stores(&order("A-1", 1, "accepted")).await;
    let hold_there = other.settings_with(&[("sinks.shop.missing_product", "hold")]);

    let (_, held) = shadow(&app, Some(app.settings.clone()), hold.clone(), "--sink stock").await;
    let told = json(&app, Some(hold), mapped, "--sink stock").await;
    let (code, parked) = shadow(&other, None, hold_there, "--sink shop").await;

    assert!(held.contains("1 no longer sent"), "{held}");
    assert!(held.contains("waits (configuration: product \"Lamb Kofta Plate\") in 1 order, main/A-1"), "{held}");
    assert!(held.contains("no product is found for \"Lamb Kofta Plate\""), "{held}");
    assert_eq!((&told["newly_sent"], &told["not_sent"]), (&json!(1), &json!([])), "{told:#}");
    assert_eq!(code, 1);
    assert!(
        parked.contains("parked (product_missing) in 1 order, main/A-1\n    no product of the shop is known for"),
        "{parked}"
    );
}

#[tokio::test]
async fn products_that_are_linked_or_copied_are_known_without_asking() {
    let there = nobody().await;
    let mut app = shop(&there).with("sinks.shop.missing_product", "hold").start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    app.run(
        "INSERT INTO links (sink, kind, local_key, remote_id, how, created_at)
         VALUES ('shop', 'product', 'lamb kofta plate', 'p-1', 'manual', now())",
    )
    .await;
    let settings = app.settings.clone();
    let tried = app.settings_with(&[("sinks.shop.items", r#"{ "Lamb Kofta Plate" = "p-2" }"#)]);

    let told = json(&app, Some(settings), tried, "--sink shop").await;

    assert_eq!(told["differences"].as_array().map(Vec::len), Some(1), "{told:#}");
    assert_eq!((&told["differences"][0]["from"], &told["differences"][0]["to"]), (&json!("p-1"), &json!("p-2")));
}

#[tokio::test]
async fn a_new_sink_is_told_all_that_it_would_be_sent() {
    let there = nobody().await;
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-2", 1, "rejected")).await;
    app.stores(&order("A-3", 1, "cancelled")).await;
    let tried = books(&there).overrides().clone();
    let tried: Vec<(&str, &str)> = tried.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();

    let (code, text) = shadow(&app, Some(app.settings.clone()), app.settings_with(&tried), "--sink books").await;

    assert_eq!(code, 1);
    assert!(text.contains("against what is recorded:"), "{text}");
    assert!(text.contains("3 orders: 0 same, 0 changed, 1 newly sent, 0 no longer sent, 2 not sent"), "{text}");
    assert!(text.contains("never_owed → sent in 1 order, main/A-1"), "{text}");
    assert!(text.contains("skipped (never_accepted) in 1 order, main/A-2"), "{text}");
    assert!(text.contains("GBP       0.00    12.50  12.50"), "{text}");
}

#[tokio::test]
async fn a_filter_that_leaves_orders_out_is_told() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let mut other = order("A-2", 1, "accepted");
    other["vendorId"] = json!("vendor-b");
    app.stores(&other).await;
    let tried = app.settings_with(&[("sinks.hook.vendors", "[\"vendor-b\"]")]);

    let (code, text) = shadow(&app, Some(app.settings.clone()), tried, "--sink hook").await;

    assert_eq!(code, 1);
    assert!(text.contains("2 orders: 1 same, 0 changed, 0 newly sent, 1 no longer sent"), "{text}");
    assert!(text.contains("sent → skipped (filtered) in 1 order, main/A-1"), "{text}");
    assert!(text.contains("GBP       25.00   12.50  -12.50"), "{text}");
}

#[tokio::test]
async fn what_waits_for_another_sink_is_planned_with_what_that_holds_by_now() {
    let there = nobody().await;
    let url = there.url("");
    let keys = [("kind", "godatafeed"), ("after", "hook"), ("base_url", url.as_str()), ("token", "gdf-token")];
    let mut app = with_keys(Setup::default(), "feed", &keys).start().await;
    app.run("UPDATE sinks SET state = 'paused', reason = 'operator' WHERE name = 'feed'").await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run("UPDATE deliveries SET external_id = 'POS-7' WHERE sink = 'hook'").await;
    app.stores(&order("A-2", 1, "accepted")).await;
    let tried = app.settings_with(&[("sinks.feed.templates_confirmed", "true")]);

    let (_, text) = shadow(&app, Some(app.settings.clone()), tried, "--sink feed").await;

    assert!(text.contains("withheld (confirmation) → sent in 1 order, main/A-1"), "{text}");
    assert!(text.contains("waits (dependency) in 1 order, main/A-2"), "{text}");
}

#[tokio::test]
async fn without_another_configuration_it_is_held_against_what_is_recorded() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    app.arrives(&order("A-2", 2, "cancelled")).await;

    let (code, text) = shadow(&app, None, app.settings.clone(), "--sink hook").await;
    assert_eq!(code, 0, "{text}");

    app.webhook.answer_next([status(422)]);
    app.arrives(&order("A-3", 1, "accepted")).await;
    app.stores(&order_of("A-1", 2, "accepted", 900)).await;

    let (code, text) = shadow(&app, None, app.settings.clone(), "--sink hook").await;

    assert_eq!(code, 1);
    assert!(text.contains("parked (unprocessable) → sent in 1 order, main/A-3"), "{text}");
    assert!(text.contains("waits (due) → sent in 1 order, main/A-1"), "{text}");
}

#[tokio::test]
async fn money_that_is_recorded_otherwise_than_it_would_be_posted_is_told() {
    let there = nobody().await;
    let mut app = books(&there).start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&order("A-2", 1, "accepted")).await;
    app.run(
        "UPDATE deliveries
         SET state = 'applied', applied_version = wanted_version, decided_version = wanted_version, waiting_for = NULL,
             next_attempt_at = NULL,
             receipt = jsonb_build_object('stands', true, 'money', jsonb_build_object(
                 'posted_minor', CASE order_id WHEN 'A-1' THEN 1250 ELSE 1200 END, 'declared_minor', 0))
         WHERE sink = 'books'",
    )
    .await;

    let told = json(&app, None, app.settings.clone(), "--sink books").await;

    assert_eq!((&told["same"], &told["changed"]), (&json!(1), &json!(1)), "{told:#}");
    assert_eq!(told["money"][0]["difference_minor"], 50);
    let expected = json!([{
        "path": "(money)", "from": "12.00 GBP", "to": "12.50 GBP", "orders": 1,
        "examples": [{"source": "main", "order_id": "A-2"}],
    }]);
    assert_eq!(told["differences"], expected);
}

/// The order with somebody in it who must not be told.
fn of_somebody(id: &str) -> Value {
    let mut order = order(id, 1, "accepted");
    order["customer"] =
        json!({"id": 900_123, "name": "Ada Lovelace", "email": "ada@example.org", "phone": "07700900123"});
    order
}

#[tokio::test]
async fn personal_data_is_told_on_request_only() {
    let there = nobody().await;
    let mut app = stock(&there).start().await;
    app.stores(&of_somebody("A-1")).await;
    let mut hook = TestApp::start().await;
    hook.stores(&of_somebody("A-1")).await;
    let tried = app.settings_with(&[("sinks.stock.tax.rate", "0.1")]);
    let standing = || Some(app.settings.clone());

    let (_, masked) = shadow(&app, standing(), tried.clone(), "--sink stock").await;
    let (_, bodies) = shadow(&app, standing(), tried, "--sink stock --bodies").await;
    let skipping = hook.settings_with(&[("sinks.hook.vendors", "[\"another\"]")]);
    let (_, left_out) = shadow(&hook, Some(hook.settings.clone()), skipping.clone(), "--sink hook --json").await;
    let (_, with_bodies) = shadow(&hook, Some(hook.settings.clone()), skipping, "--sink hook --json --bodies").await;

    assert!(masked.contains("what would differ:") && !masked.contains("  before: `order`"), "{masked}");
    assert!(bodies.contains("  before: `order` {") && bodies.contains("  after:  `order` {"), "{bodies}");
    for (without, whose) in [(&masked, "stock"), (&left_out, "hook")] {
        assert!(!without.contains("Lovelace") && !without.contains("07700900123"), "{whose}: {without}");
    }
    assert!(with_bodies.contains("Ada Lovelace"), "{with_bodies}");
}

/// A till acts on nothing old; what it would have been sent is told all the same.
#[tokio::test]
async fn a_customer_who_gets_into_documents_is_told_by_the_places_alone() {
    let there = nobody().await;
    let (base_url, token_url) = (there.url(""), there.url("/token"));
    let keys = [
        ("kind", "spoton"),
        ("base_url", base_url.as_str()),
        ("token_url", token_url.as_str()),
        ("client_id", "an-app"),
        ("client_secret", "a-secret-of-the-app"),
        ("customer_mode", "full"),
        (
            "vendors",
            r#"{ "vendor-a" = { location_id = "BL-1", menu_id = "m-1", currency = "GBP", time_zone = "Europe/London", fallback_item_id = "open-food" } }"#,
        ),
    ];
    let mut app = with_keys(Setup::default(), "pos", &keys).start().await;
    let mut order = of_somebody("A-1");
    order["customer"]["phone"] = json!("+44 7700 900123");
    app.stores(&order).await;
    let tried = app.settings_with(&[
        ("sinks.pos.customer_pointers.name", "/customer/name"),
        ("sinks.pos.customer_pointers.email", "/customer/email"),
        ("sinks.pos.customer_pointers.phone", "/customer/phone"),
    ]);

    let (_, masked) = shadow(&app, Some(app.settings.clone()), tried.clone(), "--sink pos").await;
    let (_, told) = shadow(&app, Some(app.settings.clone()), tried, "--sink pos --bodies").await;

    assert!(masked.contains("1 changed"), "{masked}");
    let places: Vec<&str> = masked.lines().filter(|line| line.contains("customer")).collect();
    assert_eq!(places.len(), 4, "{masked}");
    assert!(places.iter().all(|line| line.contains(": nothing → \"…\" in 1 order")), "{masked}");
    for personal in ["Ada", "Lovelace", "ada@example.org", "7700"] {
        assert!(!masked.contains(personal) && told.contains(personal), "{personal}: {masked}");
    }
}

#[tokio::test]
async fn orders_are_chosen_by_time_vendor_and_source_and_groups_are_limited() {
    let mut app = TestApp::start().await;
    let mut later = order("A-2", 1, "accepted");
    later["placedAt"] = json!("2026-04-01T00:00:00Z");
    app.stores(&order("A-1", 1, "accepted")).await;
    app.stores(&later).await;
    let orders = async |line: &str| {
        json(&app, None, app.settings.clone(), &format!("--sink hook {line}")).await["orders"].clone()
    };

    assert_eq!(orders("").await, 2);
    assert_eq!(orders("--until 2026-04-01T00:00:00Z").await, 1);
    assert_eq!(orders("--vendor nobody").await, 0);
    assert_eq!(orders("--source main --vendor vendor-a").await, 2);
    let (code, text) = shadow(&app, None, app.settings.clone(), "--sink hook --source nowhere").await;
    assert_eq!((code, text.as_str()), (1, "no source is called nowhere\nnothing was changed\n"));
}

#[tokio::test]
async fn more_orders_than_one_page_are_all_looked_at() {
    let mut app = TestApp::start().await;
    for n in 0..1_001 {
        app.publish(&order(&format!("A-{n}"), 1, "accepted"));
    }
    app.poll().await;
    let tried = app.settings_with(&[("sinks.hook.statuses", "[\"cancelled\"]")]);

    let told = json(&app, Some(app.settings.clone()), tried, "--sink hook --limit 1").await;

    assert_eq!((&told["orders"], &told["no_longer_sent"]), (&json!(1_001), &json!(1_001)), "{told:#}");
    assert_eq!(told["moves"][0]["examples"].as_array().map(Vec::len), Some(3));
    let drivers = scoffable_sync::app::drivers(&app.settings, &app.pool, &app.clock, "test").unwrap();
    let side = Side { driver: &drivers[0], settings: &app.settings.sinks[drivers[0].name()] };
    let request =
        Shadow { sink: drivers[0].name().clone(), orders: Orders::default(), limit: 50, personal: Personal::Masked };
    let mut steps = Vec::new();
    let mut stop = |step| {
        steps.push(step);
        ControlFlow::Break(())
    };
    let cut = operate::shadow::shadow(&app.pool, &request, None, side, &mut stop).await.unwrap();
    assert_eq!(steps, [operate::Step { done: 500, of: Some(1_001) }]);
    assert_eq!((cut.orders, cut.finished, cut.is_same()), (500, false, false));
}

#[tokio::test]
async fn an_unknown_sink_is_told_with_those_there_are() {
    let app = TestApp::start().await;

    let (code, text) = shadow(&app, Some(app.settings.clone()), app.settings.clone(), "--sink nobody").await;

    assert_eq!(code, 1);
    assert_eq!(text, "sinks of new.toml: hook\nsinks of sync.toml: hook\nno sink of new.toml is called nobody\n");
}

/// A file with one source and one webhook, which takes orders of these vendors.
fn file(vendors: &str, database: &str) -> ConfigFile {
    ConfigFile::holding(&format!(
        "database.url = \"{database}\"\n[sources.main]\nkind = \"scoffable\"\ntoken = \"x\"\n[sinks.hook]\nkind = \"webhook\"\n\
         url = \"http://127.0.0.1:1/\"\nsigning_secret = \"whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMmh1bnRlcjI=\"\n{vendors}"
    ))
}

#[tokio::test]
async fn the_command_tries_the_file_that_is_named_against_the_one_in_use_and_is_quiet_about_it() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-1", 1, "accepted")).await;
    let url = app.database.url.expose_secret();
    let (standing, new) = (file("", url), file("vendors = [\"vendor-b\"]", url));
    let line = ["shadow", "--sink", "hook", "--since", SINCE];

    let told = new.command(&line).env("SCOFFABLE_SYNC_CONFIG", &standing.path()).finish().await.expect_code(1);
    let named = new.command(&line).arg("--against").arg(&standing.path()).finish().await.expect_code(1);
    let recorded = standing.command(&line).finish().await.expect_code(1);
    let same = scoffable_sync(line).env("SCOFFABLE_SYNC_CONFIG", &standing.path()).finish().await.expect_code(1);

    let expected = format!("sink hook as {} has it, against {}:\n", new.path(), standing.path());
    assert!(told.stdout.starts_with(&expected), "{}", told.stdout);
    assert!(told.stdout.contains("sent → skipped (filtered) in 1 order, main/A-1"), "{}", told.stdout);
    assert_eq!((told.stderr.as_str(), named.stdout), ("", told.stdout));
    for recorded in [recorded, same] {
        assert!(recorded.stdout.contains("against what is recorded:\n"), "{}", recorded.stdout);
        assert!(recorded.stdout.contains("waits (due) → sent in 1 order"), "{}", recorded.stdout);
    }
}

#[tokio::test]
async fn a_configuration_that_is_broken_is_told_with_every_problem_and_nothing_is_touched() {
    // Nobody is there: who asked would end with 3.
    let nowhere = "postgres://sync@127.0.0.1:1/orders";
    let standing = file("", nowhere);
    let broken = file("stable_for = \"soon\"\nconcurency = 1\nafter = \"nobody\"", nowhere);
    let line = ["shadow", "--sink", "hook", "--since", SINCE];

    let told = broken.command(&line).env("SCOFFABLE_SYNC_CONFIG", &standing.path()).finish().await.expect_code(2);
    let as_json = broken.command(&line).arg("--json").finish().await.expect_code(2);
    let against = standing.command(&line).arg("--against").arg(&broken.path()).finish().await.expect_code(2);

    for told in [&told, &against] {
        assert!(told.stdout.starts_with(&format!("{}: 3 problems", broken.path())), "{}", told.stdout);
        for key in ["sinks.hook.stable_for", "sinks.hook.concurency", "sinks.hook.after"] {
            assert!(told.stdout.contains(key), "{key}: {}", told.stdout);
        }
    }
    let problems: Value = serde_json::from_str(&as_json.stdout).expect("JSON");
    assert_eq!((&problems["ok"], problems["problems"].as_array().map(Vec::len)), (&json!(false), Some(3)));
}
