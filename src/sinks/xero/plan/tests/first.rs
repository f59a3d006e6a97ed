//! Orders that are posted for the first time.

use chrono::TimeDelta;

use super::*;
use crate::sinks::xero::{
    receipt::Refusal,
    testing::{CONTACT, day, gbp},
};

fn fine() -> Ended {
    Ended::Settled { notice: None, alert: None }
}

/// What Xero says to the first invoice.
fn refusal(cause: &str) -> Refusal {
    Refusal { step: "invoice".to_owned(), about: "SCF-812345".to_owned(), cause: cause.to_owned(), at: now() }
}

#[test]
fn the_documented_example_is_posted_to_the_byte() {
    let mut scene = Scene::new();

    assert_eq!(scene.bring(&example()), fine());

    assert_eq!(scene.steps(), ["invoice", "payments"]);
    let head = r#"{"Type":"ACCREC","Status":"AUTHORISED","InvoiceNumber":"SCF-812345","Reference":"Scoffable 812345 v3","Contact":{"ContactID":"6f0e2a44-1111-4c1e-9b7d-0d3f5a2b9c01"},"Date":"2025-10-09","DueDate":"2025-10-09","LineAmountTypes":"Inclusive","CurrencyCode":"GBP","LineItems":["#;
    let lines = [
        r#"{"Description":"Lamb Bhuna","Quantity":2,"UnitAmount":10.95,"AccountCode":"200","TaxType":"OUTPUT2"}"#,
        r#"{"Description":"Plain Naan (substitute for Garlic Naan)","Quantity":1,"UnitAmount":2.90,"AccountCode":"200","TaxType":"OUTPUT2"}"#,
        r#"{"Description":"Adjustment: late delivery","Quantity":1,"UnitAmount":-2.00,"AccountCode":"200","TaxType":"OUTPUT2"}"#,
        r#"{"Description":"Voucher SAVE3 (vendor)","Quantity":1,"UnitAmount":-3.00,"AccountCode":"205","TaxType":"OUTPUT2"}"#,
        r#"{"Description":"Service fee","Quantity":1,"UnitAmount":0.99,"AccountCode":"201","TaxType":"OUTPUT2"}"#,
        r#"{"Description":"Delivery fee","Quantity":1,"UnitAmount":2.50,"AccountCode":"202","TaxType":"OUTPUT2"}"#,
    ];
    assert_eq!(scene.body("invoice"), [format!("{head}{}]}}", lines.join(","))]);
    let id = &scene.documents["SCF-812345"].id;
    let payment = |amount: &str, n: u32| {
        format!(
            r#"{{"Invoice":{{"InvoiceID":"{id}"}},"Account":{{"Code":"611"}},"Date":"2025-10-09","Amount":{amount},"Reference":"SCF-812345-P{n}-1"}}"#
        )
    };
    assert_eq!(scene.body("payments"), [payment("18.29", 1), payment("5.00", 2)]);
    assert_eq!(scene.receipt.unwrap()["money"], serde_json::json!({"posted_minor": 2329, "declared_minor": 0}));
}

#[test]
fn a_step_has_the_same_key_and_bytes_however_often_it_is_planned() {
    let scene = Scene::new();
    let later = Scene { now: now() + TimeDelta::hours(7), ..scene.clone() };

    let (Plan::Send(first), Plan::Send(again)) = (scene.plan(&example()), later.plan(&example())) else {
        panic!("not sent")
    };

    assert_eq!(first, again);
    assert_eq!((first.key.len(), first.repeat), (64, Repeat::Within(KEY_TRUSTED_FOR)));
}

#[test]
fn what_was_never_posted_is_not_taken_back() {
    let mut scene = Scene::new();

    assert_eq!(scene.bring(&as_version(example(), 4, "cancelled")), Ended::Skipped(SkipReason::CancelledBeforeSent));
    assert!(scene.sent.is_empty());
}

#[test]
fn an_order_without_a_tender_is_an_invoice_that_nothing_was_paid_on() {
    let mut scene = Scene::new();
    let unpaid = order(1, 290, &[item("product", "Naan", 290, 1, 1)], &[]);

    assert_eq!(scene.bring(&unpaid), Ended::Settled { notice: Some("partly_unpaid".to_owned()), alert: None });
    assert_eq!(scene.steps(), ["invoice"]);
}

#[test]
fn an_order_of_less_than_nothing_is_a_credit_note_that_is_refunded() {
    let mut scene = Scene::new();
    let refund = order(1, -200, &[item("adjustment", "Refund", -200, 0, 1)], &[paid("online", "scoffable", -200)]);

    assert_eq!(scene.bring(&refund), fine());

    assert_eq!(scene.steps(), ["credit_note", "payments"]);
    assert_eq!((scene.posted(), scene.paid()), (-200, [("611", -200)].into()));
    assert!(scene.body("credit_note")[0].contains(r#""CreditNoteNumber":"SCF-812345-C1""#));
}

#[test]
fn an_order_of_nothing_is_posted_unless_it_is_to_be_skipped_or_xero_does_not_take_it() {
    let free = order(1, 0, &[item("product", "Naan", 290, 1, 1), item("offer", "On the house", -290, 1, 1)], &[]);
    let nothing = Ended::Settled { notice: Some(NOTHING_TO_POST.to_owned()), alert: None };

    let mut posting = Scene::new();
    assert_eq!(posting.bring(&free), fine());
    assert_eq!(posting.steps(), ["invoice"]);

    let mut skipping = Scene::with(settings_with(&[("skip_zero", "true")]));
    assert_eq!(skipping.bring(&free), nothing);
    assert!(skipping.sent.is_empty());

    let mut refused = Scene::new();
    let mut held = Held { currency: Some(gbp()), ..Held::default() };
    held.refuse(refusal("validation"));
    refused.receipt = Some(held.receipt());
    assert_eq!(refused.bring(&free), nothing);
    assert!(refused.sent.is_empty());
}

#[test]
fn a_locked_day_is_waited_for_or_left_for_the_first_open_one() {
    let locked = |mut scene: Scene| {
        scene.facts.period_lock = Some(day("2025-10-01"));
        scene.facts.end_of_year_lock = Some(day("2025-10-31"));
        scene
    };

    let mut waiting = locked(Scene::new());
    assert_eq!(waiting.bring(&example()), Ended::Held("locked period".to_owned()));
    assert!(waiting.sent.is_empty());

    let mut redated = locked(Scene::with(settings_with(&[("locked_first_post", "redate")])));
    assert_eq!(redated.bring(&example()), fine());
    let invoice = &redated.body("invoice")[0];
    assert!(invoice.contains(r#""Date":"2025-11-01""#), "{invoice}");
    assert!(invoice.contains(r#""Reference":"Scoffable 812345 v3 of 2025-10-09""#), "{invoice}");
    assert!(redated.body("payments")[0].contains(r#""Date":"2025-11-01""#));
}

#[test]
fn what_the_organisation_lacks_holds_the_order_and_is_told() {
    let mut scene = Scene::new();
    scene.facts.accounts.retain(|account| account.code.as_deref() != Some("205"));

    assert_eq!(scene.bring(&example()), Ended::Held("account \"205\"".to_owned()));

    scene.facts = facts();
    assert_eq!(scene.bring(&example()), fine(), "it goes on by itself once that is mended");
}

#[test]
fn what_xero_refuses_is_tried_again_after_a_while_and_told_meanwhile() {
    let mut scene = Scene::new();
    let Plan::Send(step) = scene.plan(&example()) else { panic!("not sent") };
    let mut held = Held::of(step.receipt.as_ref()).unwrap();
    held.refuse(refusal("account_archived"));
    scene.receipt = Some(held.receipt());

    assert_eq!(scene.bring(&example()), Ended::Held("refused: account_archived".to_owned()));
    let mut by_a_person = scene.clone();
    by_a_person.refused = None;
    assert_eq!(by_a_person.bring(&example()), fine());
    scene.now += TimeDelta::hours(3);
    assert_eq!(scene.bring(&example()), fine());
    assert_eq!(scene.held().refusals, []);
}

#[test]
fn a_document_that_comes_to_something_else_there_is_never_paid() {
    let mut scene = Scene::new();
    let Plan::Send(step) = scene.plan(&example()) else { panic!("not sent") };
    scene.take(&step);
    let mut held = scene.held();
    held.documents[0].told_minor = Some(2328);
    scene.receipt = Some(held.receipt());

    assert_eq!(scene.bring(&example()), Ended::Parked(TOTAL_MISMATCH));
    assert_eq!(scene.steps(), ["invoice"]);
}

#[test]
fn a_contact_is_looked_for_once_where_none_is_known() {
    let unknown = XeroSettings { contacts: Contacts { house_customer: None, ..settings().contacts }, ..settings() };

    let mut scene = Scene::with(unknown.clone());
    assert_eq!(scene.bring(&example()), fine());
    assert_eq!(scene.steps(), ["contact", "invoice", "payments"]);

    let mut known = Scene::with(unknown);
    known.facts.house_contact = Some(CONTACT.to_owned());
    assert_eq!(known.bring(&example()), fine());
    assert_eq!(known.steps(), ["invoice", "payments"]);
}

#[test]
fn items_that_lines_name_are_made_first() {
    let mut scene = Scene::with(settings_with(&[("items", "create")]));

    assert_eq!(scene.bring(&example()), fine());

    assert_eq!(scene.steps(), ["items", "invoice", "payments"]);
    assert!(scene.body("invoice")[0].contains(r#""ItemCode":"lamb bhuna""#));
}

#[test]
fn a_draft_is_posted_and_left_to_the_accountant() {
    let mut scene = Scene::with(settings_with(&[("document_status", "draft")]));

    assert_eq!(scene.bring(&example()), fine());

    assert_eq!(scene.steps(), ["invoice"]);
    assert!(scene.body("invoice")[0].contains(r#""Status":"DRAFT""#));
}

#[test]
fn tax_is_told_only_where_that_is_meant() {
    let mut scene = Scene::with(settings_with(&[("tax_override", "true")]));

    assert_eq!(scene.bring(&example()), fine());

    let told = r#""UnitAmount":10.95,"AccountCode":"200","TaxType":"OUTPUT2","TaxAmount":3.65}"#;
    assert!(scene.body("invoice")[0].contains(told));
}

#[test]
fn what_is_odd_about_an_order_is_told_once_it_stands() {
    let naan = || item("product", "Naan", 1000, 1, 1);
    let of = |total: i64, payments: &[Value]| Scene::new().bring(&order(1, total, &[naan()], payments));
    let told = |notice: &str| Ended::Settled { notice: Some(notice.to_owned()), alert: Some(notice.to_owned()) };

    assert_eq!(of(900, &[paid("online", "scoffable", 900)]), told("unexplained"));
    assert_eq!(of(1000, &[paid("online", "scoffable", 1100)]), told("payments_capped"));
    assert_eq!(of(1000, &[paid("tokens", "vendor", 1000)]), told("unknown_tender"));
}

/// Cause: what was noted with the step counted although nothing was posted, and the books of a cancelled order did not add up.
#[test]
fn what_the_platform_pays_counts_once_something_stands() {
    let mut order = example();
    order["items"][2]["price"] = money(390);
    let mut scene = Scene::with(settings_with(&[("items", "create")]));

    let Plan::Send(step) = scene.plan(&order) else { panic!("the items are made first") };
    assert_eq!((&*step.name, &step.receipt.unwrap()["money"]["declared_minor"]), ("items", &0.into()));

    scene.bring(&order);
    assert_eq!(scene.receipt.unwrap()["money"]["declared_minor"], 100);
}
