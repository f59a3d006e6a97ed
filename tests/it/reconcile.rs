//! `reconcile`: what the orders say, what was posted, and what explains the rest, to the penny.

use std::{collections::BTreeMap, time::Duration};

use clap::{Args as _, Command, FromArgMatches as _};
use scoffable_sync::{
    cli::{self, reconcile::ReconcileArgs},
    simulator::{
        faults::{cut_after, status},
        spoton::{Operation, SpotonOptions, SpotonSim},
        till::TillOptions,
        world::{World, WorldOptions},
    },
};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::harness::{
    app::{Setup, TestApp, order, order_of},
    pos::at_pos,
};

const POS: &str = "pos";
/// When the report certainly shows an order.
const VISIBLE_AFTER: Duration = Duration::from_mins(15);

pub(crate) async fn reconcile(app: &TestApp, line: &str) -> (u8, String) {
    let words = ["reconcile"].into_iter().chain(line.split_whitespace());
    let matches = ReconcileArgs::augment_args(Command::new("reconcile")).try_get_matches_from(words);
    let args = matches.and_then(|matches| ReconcileArgs::from_arg_matches(&matches)).expect("a valid command");
    let mut out = Vec::new();
    let code = cli::reconcile::run(&app.settings, &app.pool, &app.clock, &args, &mut out).await;
    (code.expect("the database answers"), String::from_utf8(out).expect("commands write text"))
}

async fn as_json(app: &TestApp, line: &str) -> (u8, Value) {
    let (code, text) = reconcile(app, &format!("{line} --json")).await;
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// Order, verdict and difference of what is not explained.
fn open(answer: &Value) -> Vec<(String, String, i64)> {
    let open = answer["sinks"][0]["open"].as_array().expect("a list");
    let of = |one: &Value| {
        let text = |key: &str| one[key].as_str().expect("a text").to_owned();
        let there = one["there_minor"].as_i64().map(|there| there - one["posted_minor"].as_i64().expect("a number"));
        let difference = one["difference_minor"].as_i64().expect("a number");
        (text("order_id"), text("verdict"), there.unwrap_or(difference))
    };
    open.iter().map(of).collect()
}

async fn pos(setup: Setup) -> (TestApp, SpotonSim) {
    let options = SpotonOptions { limits: Vec::new(), clock: setup.clock().clone(), ..SpotonOptions::default() };
    let sim = SpotonSim::start(options).await.expect("a loopback port is free");
    let app = at_pos(setup.without_hook(), POS, &sim).start().await;
    (app, sim)
}

/// Three orders that stand, and three that do not for a reason.
async fn a_pos_with_a_little_of_everything() -> (TestApp, SpotonSim) {
    let (mut app, sim) = pos(Setup::default()).await;
    for (id, total) in [("71", 1250), ("72", 900), ("73", 300)] {
        app.arrives(&order_of(id, 1, "accepted", total)).await;
    }
    app.arrives(&order_of("74", 1, "accepted", 400)).await;
    app.arrives(&order_of("74", 2, "cancelled", 400)).await;
    app.arrives(&order_of("75", 1, "placed", 500)).await;
    let mut unmapped = order_of("76", 1, "accepted", 600);
    unmapped["vendorId"] = json!("vendor-x");
    app.arrives(&unmapped).await;
    app.stores(&order_of("77", 1, "accepted", 700)).await;
    (app, sim)
}

pub async fn change_receipt(app: &TestApp, order_id: &str, pointer: &[&str], by: i64) {
    sqlx::query(
        "UPDATE deliveries
         SET receipt = jsonb_set(receipt, $2, to_jsonb((receipt #>> $2)::bigint + $3))
         WHERE order_id = $1",
    )
    .bind(order_id)
    .bind(pointer)
    .bind(by)
    .execute(&app.pool)
    .await
    .expect("the receipt can be changed");
}

#[tokio::test]
async fn g5_every_penny_is_posted_pending_or_excluded_with_a_reason() {
    let (app, _sim) = a_pos_with_a_little_of_everything().await;

    let (code, answer) = as_json(&app, "pos").await;

    assert_eq!(code, 0, "{answer:#}");
    let total = &answer["sinks"][0]["totals"][0];
    let of = |name: &str| total[&format!("{name}_minor")].as_i64().expect("a number");
    assert_eq!(of("source"), 1250 + 900 + 300 + 400 + 500 + 600 + 700);
    assert_eq!((of("posted"), of("pending"), of("excluded"), of("difference")), (2450, 700, 1500, 0));
    assert_eq!(of("source"), of("posted") + of("pending") + of("excluded"));
    assert_eq!(total["pending"], json!({"due": {"orders": 1, "minor": 700}}));
    assert_eq!(
        total["excluded"],
        json!({
            "cancelled": {"orders": 1, "minor": 400},
            "never_accepted": {"orders": 1, "minor": 500},
            "unmapped_vendor": {"orders": 1, "minor": 600},
        })
    );
    assert_eq!((of("goods"), total["orders"].as_u64()), (of("source"), Some(7)));
}

#[tokio::test]
async fn a_penny_in_one_receipt_names_that_order_and_no_other() {
    for penny in [1, -1] {
        let (app, _sim) = a_pos_with_a_little_of_everything().await;
        change_receipt(&app, "72", &["money", "posted_minor"], penny).await;

        let (code, answer) = as_json(&app, "").await;

        assert_eq!((code, open(&answer)), (1, vec![("72".to_owned(), "differs".to_owned(), penny)]));
        let (code, text) = reconcile(&app, "").await;
        let line = text.lines().find(|line| line.contains("main/72")).expect("it is named");
        assert!(line.contains(if penny == 1 { " 0.01" } else { " -0.01" }), "{text}");
        assert!(text.ends_with("pos: 1 order differs\n"), "{text}");
        assert_eq!(code, 1);
        let csv = reconcile(&app, "--format csv").await.1;
        assert!(csv.lines().any(|line| line.ends_with(",main/72,")), "{csv}");
    }
}

#[tokio::test]
async fn a_difference_is_alerted_until_it_is_gone() {
    let (app, _sim) = a_pos_with_a_little_of_everything().await;
    let alerts = async || {
        let rows = sqlx::query("SELECT subject FROM alerts WHERE cause = 'money_differs' AND resolved_at IS NULL");
        let rows = rows.fetch_all(&app.pool).await.expect("alerts can be read");
        rows.iter().map(|row| row.get::<String, _>("subject")).collect::<Vec<_>>()
    };
    change_receipt(&app, "72", &["money", "posted_minor"], 1).await;

    reconcile(&app, "").await;
    reconcile(&app, "").await;
    assert_eq!(alerts().await, ["pos/main/72"]);
    // What is not looked at says nothing of it.
    reconcile(&app, "--vendor vendor-x").await;
    assert_eq!(alerts().await, ["pos/main/72"]);

    change_receipt(&app, "72", &["money", "posted_minor"], -1).await;
    assert_eq!(reconcile(&app, "").await.0, 0);
    assert_eq!(alerts().await, [""; 0]);
}

#[tokio::test]
async fn an_order_that_changed_after_its_ticket_is_declared_and_a_penny_beside_that_is_named_with_its_notice() {
    let (mut app, _sim) = pos(Setup::default()).await;
    app.arrives(&order("71", 1, "accepted")).await;
    app.arrives(&order_of("71", 2, "accepted", 900)).await;

    let (code, answer) = as_json(&app, "").await;
    assert_eq!((code, &answer["sinks"][0]["totals"][0]["declared_minor"]), (0, &json!(350)), "{answer:#}");

    change_receipt(&app, "71", &["money", "posted_minor"], 1).await;
    let (code, answer) = as_json(&app, "").await;
    assert_eq!((code, open(&answer)), (1, vec![("71".to_owned(), "differs".to_owned(), 1)]));
    assert_eq!(answer["sinks"][0]["open"][0]["notice"], "diverged");
}

#[tokio::test]
async fn an_order_in_doubt_is_pending_and_hides_nothing_else() {
    let (mut app, sim) = pos(Setup::default()).await;
    app.arrives(&order("71", 1, "accepted")).await;
    sim.answer_next_to(Operation::Submit, [cut_after()]);
    app.arrives(&order_of("72", 1, "accepted", 900)).await;

    let (code, answer) = as_json(&app, "").await;
    assert_eq!(code, 0, "{answer:#}");
    assert_eq!(answer["sinks"][0]["totals"][0]["pending"], json!({"in_doubt": {"orders": 1, "minor": 900}}));

    change_receipt(&app, "71", &["money", "posted_minor"], 1).await;
    assert_eq!(reconcile(&app, "").await.0, 1);
}

#[tokio::test]
async fn what_was_stored_before_the_sink_began_is_excluded_and_says_so() {
    let mut app = TestApp::start().await;
    app.arrives(&order("71", 1, "accepted")).await;
    let options = SpotonOptions { limits: Vec::new(), clock: app.clock.clone(), ..SpotonOptions::default() };
    let sim = SpotonSim::start(options).await.expect("a loopback port is free");
    for (key, value) in at_pos(Setup::default(), POS, &sim).overrides() {
        app.configure(key, value);
    }
    app.restart().await;

    let (code, answer) = as_json(&app, "pos").await;

    let excluded = json!({"never_owed": {"orders": 1, "minor": 1250}});
    assert_eq!((code, &answer["sinks"][0]["totals"][0]["excluded"]), (0, &excluded));
}

#[tokio::test]
async fn the_destination_itself_confirms_what_our_receipts_say() {
    let (mut app, _sim) = a_pos_with_a_little_of_everything().await;
    app.dispatch().await;
    app.advance(VISIBLE_AFTER);

    let (code, text) = reconcile(&app, "--verify-remote").await;

    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("pos: nothing is unexplained; 5 orders read back\n"), "{text}");
}

#[tokio::test]
async fn an_amount_that_was_changed_there_is_named_by_asking_and_by_nothing_else() {
    let (app, sim) = a_pos_with_a_little_of_everything().await;
    app.advance(VISIBLE_AFTER);
    let reference = app.text("SELECT receipt ->> 'reference' FROM deliveries WHERE order_id = '72'").await.unwrap();
    assert!(sim.reprice_on_the_pos(&sim.find(&reference).expect("it stands").id, 901));

    assert_eq!(reconcile(&app, "").await.0, 0);
    let (code, answer) = as_json(&app, "--verify-remote").await;

    assert_eq!((code, open(&answer)), (1, vec![("72".to_owned(), "differs_there".to_owned(), 1)]));
    let (_, text) = reconcile(&app, "--verify-remote").await;
    assert!(text.contains("stands there with 9.01"), "{text}");
}

#[tokio::test]
async fn an_order_that_was_cancelled_there_is_worth_nothing_there() {
    let (app, sim) = a_pos_with_a_little_of_everything().await;
    app.advance(VISIBLE_AFTER);
    let id = app.text("SELECT external_id FROM deliveries WHERE order_id = '73'").await.unwrap();
    assert!(sim.cancel_on_the_pos(&id));

    let (code, answer) = as_json(&app, "--verify-remote").await;

    assert_eq!((code, open(&answer)), (1, vec![("73".to_owned(), "differs_there".to_owned(), -300)]));
}

#[tokio::test]
async fn what_cannot_be_verified_is_said_to_be_so_and_is_not_well() {
    let (app, sim) = a_pos_with_a_little_of_everything().await;
    app.advance(VISIBLE_AFTER);
    sim.answer_next_to(Operation::Report, vec![status(500); 4]);

    let (code, answer) = as_json(&app, "--verify-remote").await;
    assert_eq!(code, 1);
    let unverified = &answer["sinks"][0]["open"];
    assert!(unverified.as_array().is_some_and(|open| open.len() == 4), "{unverified}");
    assert!(unverified.as_array().unwrap().iter().all(|open| open["unverified"] == "server_error"), "{unverified}");

    // A failure that passes is got over.
    sim.answer_next_to(Operation::Report, [status(500)]);
    assert_eq!(reconcile(&app, "--verify-remote").await.0, 0);
}

#[tokio::test]
async fn a_report_is_read_page_by_page_to_its_end() {
    let setup = Setup::default();
    let options =
        SpotonOptions { page_size: 2, limits: Vec::new(), clock: setup.clock().clone(), ..Default::default() };
    let sim = SpotonSim::start(options).await.expect("a loopback port is free");
    let mut app = at_pos(setup.without_hook(), POS, &sim).start().await;
    for id in ["71", "72", "73", "74", "75"] {
        app.arrives(&order(id, 1, "accepted")).await;
    }
    app.advance(VISIBLE_AFTER);
    let before = sim.journal().total();

    let (code, text) = reconcile(&app, "--verify-remote").await;

    assert_eq!((code, sim.journal().total() - before), (0, 3), "{text}");
}

#[tokio::test]
async fn verification_leaves_the_last_calls_of_a_day_to_orders() {
    let setup = Setup::default();
    let options =
        SpotonOptions { page_size: 1, limits: Vec::new(), clock: setup.clock().clone(), ..Default::default() };
    let sim = SpotonSim::start(options).await.expect("a loopback port is free");
    let mut app = at_pos(setup.without_hook(), POS, &sim).with("sinks.pos.limits.per_day", "8").start().await;
    for id in ["71", "72", "73", "74"] {
        app.arrives(&order(id, 1, "accepted")).await;
    }
    app.advance(VISIBLE_AFTER);
    let before = sim.journal().total();

    let (code, answer) = as_json(&app, "--verify-remote").await;

    let open = answer["sinks"][0]["open"].as_array().expect("a list").clone();
    assert!(code == 1 && !open.is_empty(), "{answer:#}");
    assert!(open.iter().all(|open| open["unverified"] == "out_of_calls"), "{answer:#}");
    // Two of the eight are theirs, whatever else is left.
    assert_eq!(app.number("SELECT used FROM call_budgets WHERE scope = 'sink:pos' AND \"window\" = 'day'").await, 6);
    assert_eq!(sim.journal().total() - before, 4 - open.len() as u64);
    app.arrives(&order("75", 1, "accepted")).await;
    assert_eq!(app.delivery_at(POS, "75").await.state, "applied");
}

#[tokio::test]
async fn the_table_says_what_the_totals_are_made_of_and_why_something_is_not_posted() {
    let mut app = Setup::default().without_hook().with_till(TillOptions::default()).start().await;
    let mut rich = order_of("71", 1, "accepted", 1250);
    rich["serviceFee"] = json!({"amount": 99, "currency": "GBP"});
    let voucher = json!({
        "id": "v", "name": "Spring", "type": "voucher", "quantityOrdered": 1, "quantityFulfilled": 1,
        "price": {"amount": -200, "currency": "GBP"}
    });
    let refund = json!({
        "id": "r", "name": "Cold", "type": "adjustment", "quantityOrdered": 0, "quantityFulfilled": 1,
        "price": {"amount": -50, "currency": "GBP"}
    });
    rich["items"].as_array_mut().expect("a list").extend([voucher, refund]);
    rich["total"]["amount"] = json!(1099);
    rich["customerPayments"][0]["type"] = json!("voucher");
    app.arrives(&rich).await;
    app.arrives(&order_of("72", 1, "accepted", 900)).await;
    app.arrives(&order_of("73", 1, "cancelled", 300)).await;
    app.arrives(&order_of("74", 1, "placed", 500)).await;
    let mut yen = order_of("76", 1, "accepted", 900);
    yen["total"] = json!({"amount": 900, "currency": "JPY"});
    yen["items"] = json!([]);
    yen["customerPayments"] = json!([]);
    app.arrives(&yen).await;
    app.stores(&order_of("75", 1, "accepted", 700)).await;
    change_receipt(&app, "72", &["money", "posted_minor"], -1).await;

    let (_, text) = reconcile(&app, "").await;

    insta::assert_snapshot!("table", text);
}

#[tokio::test]
async fn a_sink_without_money_and_one_that_cannot_be_asked_say_so() {
    let app = Setup::default().with_till(TillOptions::default()).start().await;

    let (code, text) = reconcile(&app, "hook").await;
    assert_eq!((code, text.as_str()), (1, "sink hook carries no money: there is nothing to reconcile\n"));
    assert_eq!(reconcile(&app, "nobody").await.1, "no sink is called nobody\n");
    let backwards = reconcile(&app, "till --from 2026-03-02 --to 2026-03-01").await;
    assert_eq!(backwards, (2, "`from` is after `to`\n".to_owned()));
    assert!(reconcile(&app, "till").await.1.ends_with("till: no order is among these\n"));
    assert_eq!(reconcile(&app, "till").await.0, 0);
    let (code, text) = reconcile(&app, "till --verify-remote").await;
    assert!(code == 1 && text.contains("cannot be asked what stands there"), "{text}");

    let without = TestApp::start().await;
    assert_eq!(reconcile(&without, "").await, (0, "no sink carries money\n".to_owned()));
}

#[tokio::test]
async fn rows_are_by_day_of_the_time_zone_by_vendor_or_by_order() {
    let mut app = Setup::default().without_hook().with_till(TillOptions::default()).start().await;
    for (id, vendor, placed_at) in [
        ("71", "vendor-a", "2026-03-01T23:30:00Z"),
        ("72", "vendor-a", "2026-03-02T10:00:00Z"),
        ("73", "vendor,b", "2026-03-01T10:00:00Z"),
    ] {
        let mut order = order(id, 1, "accepted");
        (order["placedAt"], order["vendorId"]) = (json!(placed_at), json!(vendor));
        app.arrives(&order).await;
    }
    let rows = async |line: &str| {
        let answer = as_json(&app, line).await.1;
        let rows = answer["sinks"][0]["rows"].as_array().expect("a list").clone();
        let of = |row: &Value| (row["day"].clone(), row["vendor_id"].clone(), row["orders"].clone());
        rows.iter().map(of).collect::<Vec<_>>()
    };

    let day = |day: &str, vendor: &str, n: i64| (json!(day), json!(vendor), json!(n));
    let utc = [day("2026-03-01", "vendor,b", 1), day("2026-03-01", "vendor-a", 1), day("2026-03-02", "vendor-a", 1)];
    assert_eq!(rows("").await, utc);
    let oslo = [day("2026-03-01", "vendor,b", 1), day("2026-03-02", "vendor-a", 2)];
    assert_eq!(rows("--time-zone Europe/Oslo").await, oslo);
    assert_eq!(rows("--time-zone Europe/Oslo --to 2026-03-01").await, oslo[..1]);
    assert_eq!(rows("--time-zone Europe/Oslo --from 2026-03-02").await, oslo[1..]);
    assert_eq!(rows("--by vendor --vendor vendor-a").await, [(Value::Null, json!("vendor-a"), json!(2))]);
    assert_eq!(rows("--by order").await.len(), 3);

    let (_, text) = reconcile(&app, "till --by currency").await;
    let total = "  currency  orders  source  declared  posted  pending  excluded  difference\n  GBP       3       37.50   0.00      \
                 37.50   0.00     0.00      0.00\n\ntill: nothing is unexplained\n";
    assert!(text.ends_with(total), "{text}");
    let (_, csv) = reconcile(&app, "--by currency --format csv").await;
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("sink,currency,orders,source_minor,"), "{csv}");
    assert!(lines[1].starts_with("till,GBP,3,3750,"), "{csv}");

    let (_, csv) = reconcile(&app, "--by order --format csv").await;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[0].starts_with("sink,day,vendor_id,currency,source,order_id,"), "{csv}");
    assert!(
        lines[1].starts_with("till,2026-03-01,\"vendor,b\",GBP,main,73,2026-03-01T10:00:00Z,accepted,1,1,"),
        "{csv}"
    );
    let (_, text) = reconcile(&app, "--by order").await;
    assert!(text.lines().any(|line| line.contains("main/73") && line.contains("12.50")), "{text}");
}

/// Statements by order, from the command.
async fn statements(app: &TestApp) -> BTreeMap<String, Value> {
    let answer = as_json(app, "--by order").await.1;
    let rows = answer["sinks"][0]["rows"].as_array().expect("a list").clone();
    rows.into_iter().map(|row| (row["order_id"].as_str().expect("a text").to_owned(), row)).collect()
}

/// What the view and the command call the same.
const SAME: [(&str, &str); 20] = [
    ("newest_total_minor", "source_minor"),
    ("declared_minor", "declared_minor"),
    ("posted_minor", "posted_minor"),
    ("pending_minor", "pending_minor"),
    ("pending_reason", "pending_reason"),
    ("excluded_minor", "excluded_minor"),
    ("excluded_reason", "excluded_reason"),
    ("difference_minor", "difference_minor"),
    ("verdict", "verdict"),
    ("newest_version", "version"),
    ("goods_minor", "goods_minor"),
    ("offers_minor", "offers_minor"),
    ("vendor_vouchers_minor", "vendor_vouchers_minor"),
    ("adjustments_minor", "adjustments_minor"),
    ("refunds_minor", "refunds_minor"),
    ("other_items_minor", "other_items_minor"),
    ("fees_minor", "fees_minor"),
    ("goodwill_minor", "goodwill_minor"),
    ("residual_minor", "residual_minor"),
    ("platform_vouchers_minor", "platform_vouchers_minor"),
];

/// Holds the view against the command, order by order. Returns how many orders there are.
async fn assert_the_view_says_the_same(app: &TestApp) -> usize {
    let rows: Vec<Value> = sqlx::query_scalar("SELECT to_jsonb(m) FROM money_reconciliation m")
        .fetch_all(&app.pool)
        .await
        .expect("the view can be read");
    let statements = statements(app).await;
    assert_eq!(rows.len(), statements.len());
    for row in &rows {
        let statement = &statements[row["order_id"].as_str().expect("a text")];
        for (in_view, in_answer) in SAME {
            assert_eq!(row[in_view], statement[in_answer], "{in_view}: {row:#} {statement:#}");
        }
    }
    rows.len()
}

#[tokio::test]
async fn a_world_of_every_case_reconciles_to_zero_at_every_moment_and_the_view_says_the_same() {
    let mut setup = Setup::default().without_hook().with_till(TillOptions::default());
    setup.world = Some(World::generate(WorldOptions { seed: 11, orders: 300, ..WorldOptions::default() }));
    let mut app = setup.start().await;

    app.poll().await;
    assert!(assert_the_view_says_the_same(&app).await > 250);
    assert_eq!(reconcile(&app, "").await.0, 0);
    for _ in 0..3 {
        for dispatcher in &mut app.dispatchers {
            dispatcher.tick().await.expect("the database answers");
        }
        assert_the_view_says_the_same(&app).await;
        assert_eq!(reconcile(&app, "").await.0, 0);
    }
    app.run_to_rest().await;
    assert_the_view_says_the_same(&app).await;
    let (code, answer) = as_json(&app, "").await;
    assert_eq!(code, 0, "{answer:#}");
    let posted: i64 = answer["sinks"][0]["totals"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|total| total["posted_minor"].as_i64().expect("a number"))
        .sum();
    let paid = {
        let ledger = app.till().ledger();
        ledger.orders().map(|order| ledger.sums(order).paid_minor).sum::<i64>()
    };
    assert_eq!(posted, paid, "what the till itself has");

    let victim = app.text("SELECT order_id FROM deliveries WHERE state = 'applied' ORDER BY order_id LIMIT 1").await;
    let victim = victim.expect("something stands");
    change_receipt(&app, &victim, &["money", "posted_minor"], -1).await;
    let (code, answer) = as_json(&app, "").await;
    assert_eq!((code, open(&answer)), (1, vec![(victim, "differs".to_owned(), -1)]));
    assert_the_view_says_the_same(&app).await;
}
