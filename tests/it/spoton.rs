//! The sink for a SpotOn point of sale: what it does beyond what every sink has to stand.

mod seeds;

use std::time::Duration;

use chrono::TimeDelta;
use clap::{Command, FromArgMatches as _, Subcommand as _};
use scoffable_sync::{
    cli::{self, config::Form, spoton::SpotonCommand},
    domain::ids::SinkName,
    simulator::{
        faults::{cut_after, cut_before, status},
        spoton::{CancelledBy, OPEN_ITEM, Operation, SpotonOptions, SpotonSim, Stored, Twist},
    },
    store::operations::{self, Named, OperationError, Operator, Refusal},
};
use serde_json::{Value, json};

use crate::harness::{
    app::{Setup, order, order_of},
    pos::{AWAY, Case, HOME, LAG, POS, at_pos, of_vendor},
};

fn told(cause: &str, subject: &str, count: i64) -> (String, String, i64) {
    (cause.to_owned(), subject.to_owned(), count)
}

fn applied() -> (String, Option<String>) {
    ("applied".to_owned(), None)
}

fn skipped(reason: &str) -> (String, Option<String>) {
    ("skipped".to_owned(), Some(reason.to_owned()))
}

fn parked(reason: &str) -> (String, Option<String>) {
    ("parked".to_owned(), Some(reason.to_owned()))
}

fn in_doubt() -> (String, Option<String>) {
    ("in_doubt".to_owned(), Some("no_answer".to_owned()))
}

#[tokio::test]
async fn an_order_is_submitted_and_its_receipt_says_what_stands() {
    let mut case = Case::usual().await;

    case.arrives(&order("5512087", 3, "accepted")).await;

    assert_eq!(case.state("5512087").await, applied());
    let receipt = case.receipt("5512087").await;
    let told = ["order_id", "n", "reference", "location_id", "state", "version", "total_minor", "stands"];
    let expected = [
        json!("ord-1"),
        json!(1),
        json!("scoffable-5512087-1"),
        json!(HOME),
        json!("submitted"),
        json!(3),
        json!(1250),
        json!(true),
    ];
    assert_eq!(told.map(|key| receipt[key].clone()), expected, "{receipt}");
    assert_eq!(receipt["money"], json!({"posted_minor": 1250, "declared_minor": 0}));
    assert!(receipt["answered"]["estimated_ready_at"].is_string(), "{receipt}");
    assert_eq!(case.app.delivery_at(POS, "5512087").await.external_id.as_deref(), Some("ord-1"));
    assert_eq!(case.app.number("SELECT count(*) FROM money_reconciliation WHERE verdict = 'equal'").await, 1);
    case.assert_nothing_wrong();
}

#[tokio::test]
async fn an_answer_is_understood_bare_wrapped_and_with_numbers_as_text() {
    let mut case = Case::usual().await;
    case.sim.twist_next([Twist::Bare, Twist::Wrapped, Twist::NumbersAsText]);

    for id in ["1", "2", "3"] {
        case.arrives(&order(id, 1, "accepted")).await;
        assert_eq!((case.state(id).await, case.notice(id).await), (applied(), None));
    }
}

#[tokio::test]
async fn an_answer_without_an_id_is_a_doubt_that_the_report_settles() {
    for twist in [Twist::WithoutId, Twist::EmptyId] {
        let mut case = Case::usual().await;
        case.sim.twist_next([twist]);

        case.arrives(&order("71", 1, "accepted")).await;
        assert_eq!(case.state("71").await, in_doubt());
        case.app.run_to_rest().await;

        assert_eq!((case.state("71").await, case.tickets("71")), (applied(), (1, 1)));
        case.assert_nothing_wrong();
    }
}

#[tokio::test]
async fn an_answer_with_another_total_is_kept_told_and_shown_by_the_books() {
    let mut case = Case::usual().await;
    case.sim.twist_next([Twist::AnotherTotal(5)]);

    case.arrives(&order("71", 1, "accepted")).await;

    assert_eq!((case.state("71").await, case.notice("71").await.as_deref()), (applied(), Some("total_differs")));
    assert_eq!(case.alerts().await, [told("total_differs", "pos/main/71", 1)]);
    assert_eq!(case.app.number("SELECT difference_minor FROM money_reconciliation").await, 5);
}

#[tokio::test]
async fn a_wanted_time_that_cannot_be_met_is_told_with_both_times_and_the_order_is_kept() {
    let setup = Setup::default().without_hook();
    let options = SpotonOptions {
        kitchen: Duration::from_hours(2),
        limits: Vec::new(),
        clock: setup.clock().clone(),
        ..SpotonOptions::default()
    };
    let sim = SpotonSim::start(options).await.expect("a loopback port is free");
    let app = at_pos(setup, POS, &sim).with("sinks.pos.requested_time_pointer", "/wantedAt").start().await;
    let mut case = Case { app, sim };
    let mut wanted = order("71", 1, "accepted");
    wanted["wantedAt"] = json!(case.app.clock.wall() + TimeDelta::hours(1));

    case.arrives(&wanted).await;

    assert_eq!((case.state("71").await, case.tickets("71")), (applied(), (1, 1)));
    assert_eq!(case.alerts().await, [told("scheduled_became_asap", "pos/main/71", 1)]);
    let receipt = case.receipt("71").await;
    assert!(receipt["scheduled_for"].is_string() && receipt["answered"]["estimated_ready_at"].is_string(), "{receipt}");
    case.assert_nothing_wrong();
}

#[tokio::test]
async fn a_change_is_flagged_with_one_alert_per_order_and_staff_are_left_to_mend_it() {
    let mut case = Case::usual().await;
    case.arrives(&order("71", 1, "accepted")).await;

    for (version, total) in [(2, 900), (3, 950)] {
        case.arrives(&order_of("71", version, "accepted", total)).await;
    }

    assert_eq!((case.state("71").await, case.notice("71").await.as_deref()), (applied(), Some("diverged")));
    assert_eq!(case.alerts().await, [told("diverged", "pos/main/71", 2)]);
    assert_eq!((case.tickets("71"), case.receipt("71").await["diverged"]["total_minor"].clone()), ((1, 1), json!(950)));
    assert_eq!(
        case.app.number("SELECT declared_minor FROM money_reconciliation").await,
        300,
        "what staff have to mend"
    );
    assert_eq!(case.app.number("SELECT difference_minor FROM money_reconciliation").await, 0);

    case.arrives(&order("71", 4, "accepted")).await;

    assert_eq!((case.notice("71").await, case.alerts().await), (None, vec![]));
    case.assert_nothing_wrong();
}

#[tokio::test]
async fn a_change_is_cancelled_and_resubmitted_three_times_and_then_flagged() {
    let mut case = Case::start(|setup| setup.with("sinks.pos.on_change", "cancel_and_resubmit")).await;

    for (version, total) in [(1, 1000), (2, 900), (3, 800), (4, 700), (5, 600)] {
        case.arrives(&order_of("71", version, "accepted", total)).await;
    }

    assert_eq!((case.tickets("71"), case.sim.ledger().total("71")), ((4, 1), 700));
    assert_eq!(case.notice("71").await.as_deref(), Some("diverged"));
    case.assert_nothing_wrong();
}

#[tokio::test]
async fn old_orders_are_never_submitted_whatever_start_says() {
    let mut case = Case::start(|setup| setup.with("sinks.pos.start", "beginning")).await;
    case.app.stores(&order("71", 1, "accepted")).await;
    case.app.stores(&order("72", 1, "cancelled")).await;

    case.app.advance(Duration::from_mins(61));
    case.app.dispatch().await;
    case.app.stores(&order("73", 1, "accepted")).await;
    case.app.advance(Duration::from_hours(48));
    case.app.dispatch().await;

    assert_eq!((case.state("71").await, case.state("73").await), (skipped("stale"), skipped("stale")));
    assert_eq!(case.sim.journal().total(), 0);
    assert_eq!(case.alerts().await, [told("stale", &format!("pos/{HOME}"), 1)], "of what somebody may wait for");
}

#[tokio::test]
async fn an_order_accepted_again_is_a_new_ticket_while_it_is_fresh_and_an_alert_otherwise() {
    let mut case = Case::usual().await;
    for (version, status) in [(1, "accepted"), (2, "cancelled"), (3, "accepted"), (4, "cancelled")] {
        case.arrives(&order("71", version, status)).await;
    }
    assert_eq!(case.tickets("71"), (2, 0));
    case.app.stores(&order("71", 5, "accepted")).await;

    case.app.advance(Duration::from_mins(61));
    case.app.dispatch().await;

    assert_eq!((case.state("71").await, case.tickets("71")), (skipped("stale"), (2, 0)));
    assert_eq!(case.alerts().await, [told("stale", "pos/main/71", 1)]);
    case.assert_nothing_wrong();
}

#[tokio::test]
async fn an_unmapped_vendor_is_one_alert_for_all_its_orders_and_ends_once_it_is_mapped() {
    let mut case = Case::usual().await;
    for id in ["1", "2", "3"] {
        case.arrives(&of_vendor(id, "vendor-z")).await;
    }
    assert_eq!(case.state("2").await, skipped("unmapped_vendor"));
    assert_eq!(case.alerts().await, [told("unmapped_vendor", "pos/vendor-z", 3)]);

    for (key, value) in
        [("location_id", AWAY), ("menu_id", "menu-takeaway-01"), ("currency", "GBP"), ("fallback_item_id", OPEN_ITEM)]
    {
        case.app.configure(&format!("sinks.pos.vendors.vendor-z.{key}"), value);
    }
    case.app.restart().await;
    case.arrives(&of_vendor("4", "vendor-z")).await;

    assert_eq!((case.alerts().await, case.state("4").await), (vec![], applied()));
    assert_eq!(case.sim.find("scoffable-4-1").map(|stored| stored.location).as_deref(), Some(AWAY));
}

#[tokio::test]
async fn refused_credentials_name_the_keys_to_correct() {
    let mut case = Case::start(|setup| setup.with("sinks.pos.client_secret", "another")).await;

    case.arrives(&order("71", 1, "accepted")).await;

    let hint = case.app.text("SELECT hint FROM sinks WHERE state = 'blocked'").await.expect("it says what to do");
    assert!(hint.contains("`client_id` and `client_secret`"), "{hint}");
    assert_eq!(case.sim.journal().total(), 0);
}

#[tokio::test]
async fn a_submit_that_never_arrived_is_sent_again_once_where_the_merchant_accepts_it_and_then_left_to_a_person() {
    let accepting = |setup: Setup| {
        setup
            .with("sinks.pos.resubmit_when_absent", "true")
            .with("sinks.pos.visible_after", "20s")
            .with("sinks.pos.max_submit_age", "2h")
    };
    let mut case = Case::start(accepting).await;
    case.sim.answer_next_to(Operation::Submit, [cut_before(), cut_before(), cut_before()]);

    case.arrives(&order("71", 1, "accepted")).await;
    case.app.run_to_rest().await;

    assert_eq!((case.state("71").await, case.tickets("71")), (in_doubt(), (0, 0)));
    let sent = "SELECT count(*) FROM attempts WHERE step = 'submit'";
    assert_eq!(case.app.number(sent).await, 2);
    let hint = case.app.delivery_at(POS, "71").await.hint.expect("it says what to do");
    assert!(hint.contains("scoffable-71-1"), "{hint}");
}

#[tokio::test]
async fn without_a_reference_in_the_report_the_one_record_that_is_free_is_taken() {
    let mut case = Case::usual().await;
    case.sim.change_manner(|manner| {
        manner.reports_reference = false;
        manner.reports_state = false;
    });
    case.arrives(&order("71", 1, "accepted")).await;
    case.sim.answer_next_to(Operation::Submit, [cut_after()]);

    case.arrives(&order("72", 1, "accepted")).await;
    case.app.run_to_rest().await;

    assert_eq!(case.state("72").await, applied());
    assert_eq!(case.app.delivery_at(POS, "72").await.external_id.as_deref(), Some("ord-2"), "ord-1 is that of 71");
    assert_eq!((case.tickets("71"), case.tickets("72")), ((1, 1), (1, 1)));
}

/// Cause: only what an order is called by now was linked to it, so its former ticket passed for that of another order.
#[tokio::test]
async fn the_former_ticket_of_one_order_is_never_taken_for_that_of_another() {
    let mut case = Case::start(|setup| setup.with("sinks.pos.on_change", "cancel_and_resubmit")).await;
    case.sim.change_manner(|manner| manner.reports_reference = false);
    case.arrives(&order("71", 1, "accepted")).await;
    case.arrives(&order_of("71", 2, "accepted", 900)).await;
    assert_eq!(case.tickets("71"), (2, 1));
    case.sim.answer_next_to(Operation::Submit, [cut_before()]);

    case.arrives(&order("72", 1, "accepted")).await;
    case.app.run_to_rest().await;

    assert_eq!((case.state("72").await, case.tickets("72")), (in_doubt(), (0, 0)));
    let (sink, ids) = (SinkName::parse(POS).expect("a valid name"), ["72".to_owned()]);
    let named = Named { sink: &sink, source: None, order_ids: &ids };
    let by = Operator { who: "ada", why: None };
    let adopted = operations::adopt(&case.app.pool, named, "ord-1", by, case.app.clock.offset_ms()).await;
    let Err(OperationError::Refused(refusals)) = adopted else { panic!("it is another order's: {adopted:?}") };
    assert!(matches!(&refusals[..], [Refusal::LinkedElsewhere { order_id, .. }] if order_id == "71"), "{refusals:?}");
}

/// Cause: the same within one order, whose cancelled ticket passed for the one that never arrived.
#[tokio::test]
async fn the_former_ticket_of_an_order_is_never_taken_for_its_new_one() {
    let mut case = Case::usual().await;
    case.sim.change_manner(|manner| {
        manner.reports_reference = false;
        manner.reports_state = false;
    });
    for (version, status) in [(1, "accepted"), (2, "cancelled")] {
        case.arrives(&order("71", version, status)).await;
    }
    case.sim.answer_next_to(Operation::Submit, [cut_before()]);

    case.arrives(&order("71", 3, "accepted")).await;
    case.app.run_to_rest().await;

    assert_eq!((case.state("71").await, case.tickets("71")), (in_doubt(), (1, 0)));
}

#[tokio::test]
async fn two_orders_that_look_alike_in_the_report_are_left_to_a_person() {
    let mut case = Case::usual().await;
    case.sim.change_manner(|manner| manner.reports_reference = false);
    case.sim.answer_next_to(Operation::Submit, [cut_after(), cut_after()]);
    case.app.publish(&order("71", 1, "accepted"));
    case.app.publish(&order("72", 1, "accepted"));

    case.app.poll().await;
    case.app.run_to_rest().await;

    for id in ["71", "72"] {
        assert_eq!((case.state(id).await, case.tickets(id)), (in_doubt(), (1, 1)));
        assert!(case.app.delivery_at(POS, id).await.hint.is_some());
    }
}

#[tokio::test]
async fn an_order_that_the_merchant_cancelled_is_told_and_never_submitted_again() {
    let mut case = Case::start(|setup| setup.with("sinks.pos.on_change", "cancel_and_resubmit")).await;
    case.sim.answer_next_to(Operation::Submit, [cut_after()]);
    case.arrives(&order("71", 1, "accepted")).await;
    assert!(case.sim.cancel_on_the_pos("ord-1"));

    case.app.run_to_rest().await;
    assert_eq!(case.notice("71").await.as_deref(), Some("diverged"));
    case.arrives(&order_of("71", 2, "accepted", 900)).await;

    assert_eq!((case.state("71").await, case.tickets("71")), (applied(), (1, 0)));
    assert_eq!(case.alerts().await, [told("diverged", "pos/main/71", 2)]);
    assert_eq!(case.receipt("71").await["stands"], false);
    case.arrives(&order("71", 3, "cancelled")).await;
    assert_eq!((case.state("71").await, case.notice("71").await, case.alerts().await), (applied(), None, vec![]));
    case.assert_nothing_wrong();
}

#[tokio::test]
async fn a_cancel_that_never_gets_an_answer_is_left_to_a_person_after_an_hour() {
    let mut case = Case::usual().await;
    case.arrives(&order("71", 1, "accepted")).await;
    case.sim.answer_next_to(Operation::Cancel, vec![cut_before(); 1_000]);

    case.arrives(&order("71", 2, "cancelled")).await;
    case.app.run_to_rest().await;

    assert_eq!((case.state("71").await, case.tickets("71")), (in_doubt(), (1, 1)));
    assert_eq!(case.alerts().await, [told("dead_letter", "pos/main/71", 1)]);
    let sent = case.app.number("SELECT count(*) FROM attempts WHERE step = 'cancel'").await;
    assert!((6..=8).contains(&sent), "less often each time: {sent}");
}

#[tokio::test]
async fn a_cancel_of_what_the_merchant_cancelled_counts_as_done() {
    let mut case = Case::usual().await;
    case.arrives(&order("71", 1, "accepted")).await;
    assert!(case.sim.cancel_on_the_pos("ord-1"));
    case.app.advance(LAG);

    case.arrives(&order("71", 2, "cancelled")).await;

    assert_eq!(case.state("71").await, applied());
    assert_eq!(case.sim.ledger().get("ord-1").and_then(Stored::cancelled_by), Some(CancelledBy::Merchant));
}

#[tokio::test]
async fn refusals_park_with_the_words_of_the_contract_and_a_cancel_is_never_taken_for_done() {
    let mut case = Case::usual().await;
    for (id, refusal, reason) in [
        ("1", status(400), "rejected_by_spoton"),
        ("2", status(422), "rejected_by_spoton"),
        ("3", status(404), "location_or_menu_unknown"),
    ] {
        case.sim.answer_next_to(Operation::Submit, [refusal]);
        case.arrives(&order(id, 1, "accepted")).await;
        assert_eq!(case.state(id).await, parked(reason));
    }
    for (id, refusal, reason) in [("4", status(404), "order_unknown"), ("5", status(409), "cancel_refused")] {
        case.arrives(&order(id, 1, "accepted")).await;
        case.sim.answer_next_to(Operation::Cancel, [refusal]);
        case.arrives(&order(id, 2, "cancelled")).await;
        assert_eq!((case.state(id).await, case.tickets(id)), (parked(reason), (1, 1)));
    }
}

#[tokio::test]
async fn a_conflict_on_a_submit_may_be_our_own_order_and_is_looked_up() {
    let mut case = Case::usual().await;
    case.sim.answer_next_to(Operation::Submit, [status(409).after_the_effect()]);

    case.arrives(&order("71", 1, "accepted")).await;
    assert_eq!(case.state("71").await, in_doubt());
    case.app.run_to_rest().await;

    assert_eq!((case.state("71").await, case.tickets("71")), (applied(), (1, 1)));
}

#[tokio::test]
async fn a_doubt_at_the_old_location_is_looked_up_and_cancelled_there_after_the_vendor_has_moved() {
    let mut case = Case::usual().await;
    case.sim.answer_next_to(Operation::Submit, [cut_after()]);
    case.arrives(&order("71", 1, "accepted")).await;
    case.app.configure("sinks.pos.vendors.vendor-a.location_id", AWAY);

    case.app.restart().await;
    case.app.run_to_rest().await;
    assert_eq!((case.state("71").await, case.tickets("71")), (applied(), (1, 1)));
    case.arrives(&order("71", 2, "cancelled")).await;
    case.arrives(&order("72", 1, "accepted")).await;

    assert_eq!((case.state("71").await, case.tickets("71")), (applied(), (1, 0)));
    assert_eq!(case.sim.find("scoffable-72-1").map(|stored| stored.location).as_deref(), Some(AWAY));
    case.assert_nothing_wrong();
}

#[tokio::test]
async fn many_doubts_of_a_location_are_settled_by_one_reading_of_its_report() {
    let mut case = Case::usual().await;
    case.sim.answer_next_to(Operation::Submit, vec![cut_after(); 6]);
    for n in 0..6 {
        case.app.publish(&order(&n.to_string(), 1, "accepted"));
    }
    case.app.poll().await;
    case.app.dispatch().await;

    case.app.advance(Duration::from_mins(2));
    case.app.dispatch().await;

    let reports = case.sim.received().iter().filter(|received| received.operation == Operation::Report).count();
    assert_eq!(reports, 1);
    for n in 0..6 {
        assert_eq!(case.state(&n.to_string()).await, applied());
    }
}

/// What a command answers, and its exit code.
async fn answer(case: &Case, args: &[&str]) -> (u8, String) {
    let matches =
        SpotonCommand::augment_subcommands(Command::new("spoton")).get_matches_from([&["spoton"], args].concat());
    let command = SpotonCommand::from_arg_matches(&matches).expect("a valid command");
    let mut out = Vec::new();
    let app = &case.app;
    let code = cli::spoton::run(&app.settings, &app.pool, &app.clock, &command, &mut out).await.expect("it answers");
    (code, String::from_utf8(out).expect("text"))
}

#[tokio::test]
async fn propose_shows_what_spoton_would_compute_and_submits_nothing() {
    let mut case = Case::start(|setup| setup.with("sinks.pos.vendors.vendor-a.fallback_item_id", "itm-jalfrezi")).await;
    let mut private = order_of("71", 1, "placed", 1095);
    private["customer"] = json!({"name": "Jane Quillfeather"});
    case.arrives(&private).await;

    let (code, text) = answer(&case, &["propose", "71"]).await;
    let (_, as_json) = answer(&case, &["propose", "71", "--json"]).await;

    assert_eq!(code, 0, "{text}");
    let row = |name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).expect("a row for each total");
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        (row("subtotal"), row("tax_total")),
        (vec!["1095".into(), "1095".into()], vec!["0".into(), "90".into()])
    );
    let told: Value = serde_json::from_str(&as_json).expect("JSON");
    assert_eq!(told["totals"]["grand_total"], json!({"ours": 1095, "spoton": 1185}));
    let asked = case.sim.received();
    assert!(asked.iter().all(|received| received.operation == Operation::Propose), "{asked:?}");
    assert!(!asked.iter().any(|received| String::from_utf8_lossy(&received.body).contains("Jane")));
    assert_eq!(case.tickets("71"), (0, 0));
}

#[tokio::test]
async fn propose_says_why_an_order_would_be_parked_or_is_not_known() {
    let mut case = Case::usual().await;
    let mut unsellable = order("71", 1, "placed");
    unsellable["total"]["amount"] = json!(1);
    case.arrives(&unsellable).await;

    let (code, text) = answer(&case, &["propose", "71"]).await;
    assert_eq!(code, 1);
    assert!(text.contains("totals_do_not_add_up"), "{text}");
    let (code, text) = answer(&case, &["propose", "72"]).await;
    assert_eq!(code, 1);
    assert!(text.contains("no order 72"), "{text}");
}

#[tokio::test]
async fn items_lists_the_menu_and_maps_the_names_that_orders_have() {
    let mut case = Case::usual().await;
    for (id, name) in [("1", "lamb  JALFREZI"), ("2", "Quiche")] {
        let mut order = order(id, 1, "placed");
        order["items"][0]["name"] = json!(name);
        case.arrives(&order).await;
    }

    let (code, text) = answer(&case, &["items", HOME]).await;
    let (_, as_json) = answer(&case, &["items", HOME, "--json"]).await;

    assert_eq!(code, 0, "{text}");
    assert!(text.contains("itm-mango-lassi"), "{text}");
    let toml = text[text.find("[sinks.NAME").expect("a table")..].replace("NAME", "pos");
    let toml: toml::Table = toml.parse().expect("it can be put into the configuration");
    assert_eq!(toml["sinks"]["pos"]["vendors"]["vendor-a"]["items"]["lamb  JALFREZI"].as_str(), Some("itm-jalfrezi"));
    let told: Value = serde_json::from_str(&as_json).expect("JSON");
    assert_eq!(told["unmatched"], json!({"vendor-a": ["Quiche"]}));
    let (code, text) = answer(&case, &["items", "BL-NONE"]).await;
    assert_eq!(code, 1);
    assert!(text.contains(HOME) && text.contains(AWAY), "{text}");
}

#[tokio::test]
async fn doctor_reads_each_location_and_its_menu_and_writes_nothing() {
    let case = Case::start(|setup| setup.with("sinks.pos.vendors.vendor-b.fallback_item_id", "gone")).await;
    case.sim.close_location(HOME);
    let mut out = Vec::new();

    let code = cli::doctor::run(&case.app.settings, &[], Form::Json, &mut out).await.expect("it answers");

    let told: Value = serde_json::from_slice(&out).expect("JSON");
    let findings = told["findings"].as_array().expect("a list");
    let about = |vendor: &str| {
        let is_about = |finding: &&Value| finding["subject"].as_str().is_some_and(|subject| subject.contains(vendor));
        let told = |finding: &Value| format!("{} {}", finding["level"], finding["found"]);
        findings.iter().filter(is_about).map(told).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(code, 1);
    assert!(about("vendor-a").contains("forbidden (HTTP 403)"), "{told}");
    assert!(about("vendor-b").contains("\"ok\"") && about("vendor-b").contains("has no gone"), "{told}");
    assert!(case.sim.received().iter().all(|received| !received.operation.is_effect()));
}
