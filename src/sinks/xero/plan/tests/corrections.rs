//! Orders that change after they were posted.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::*;
use crate::sinks::xero::{
    receipt::{Refusal, Standing},
    testing::day,
};

/// The documentation's example, posted and paid.
fn posted() -> Scene {
    posted_with(settings())
}

fn posted_with(settings: XeroSettings) -> Scene {
    let mut scene = Scene::with(settings);
    assert_eq!(scene.bring(&example()), fine());
    scene.sent.clear();
    scene
}

fn fine() -> Ended {
    Ended::Settled { notice: None, alert: None }
}

/// The same order without payments, so that nothing hangs on its invoice.
fn unpaid(mut order: Value) -> Value {
    order["customerPayments"] = serde_json::json!([]);
    order
}

fn posted_unpaid(keys: &[(&str, &str)]) -> Scene {
    let mut scene = Scene::with(settings_with(keys));
    scene.bring(&unpaid(example()));
    scene.sent.clear();
    scene
}

#[test]
fn the_documented_life_of_an_order_is_posted_document_by_document() {
    let mut scene = posted();

    // Version 5: the naan was refunded.
    assert_eq!(scene.bring(&without_naan()), fine());
    assert_eq!(scene.steps(), ["read", "credit_note", "payments"]);
    let note = &scene.body("credit_note")[0];
    assert!(
        note.contains(r#""Type":"ACCRECCREDIT","Status":"AUTHORISED","CreditNoteNumber":"SCF-812345-C1""#),
        "{note}"
    );
    assert!(note.contains(r#""Quantity":1,"UnitAmount":2.90,"AccountCode":"200""#), "{note}");
    let refund = &scene.body("payments")[0];
    let id = &scene.documents["SCF-812345-C1"].id;
    assert_eq!(
        refund,
        &format!(
            r#"{{"CreditNote":{{"CreditNoteID":"{id}"}},"Account":{{"Code":"611"}},"Date":"2025-10-09","Amount":2.90,"Reference":"SCF-812345-P1-2"}}"#
        )
    );
    assert_eq!((scene.posted(), scene.paid()), (2039, [("611", 2039)].into()));

    // Version 6: cancelled.
    scene.sent.clear();
    assert_eq!(scene.bring(&as_version(without_naan(), 6, "cancelled")), fine());
    assert_eq!(scene.steps(), ["read", "credit_note", "payments"]);
    assert_eq!(scene.documents["SCF-812345-C2"].total, 2039);
    let amounts: Vec<i64> = scene.payments[3..].iter().map(|payment| payment.amount).collect();
    assert_eq!(amounts, [1539, 500], "the larger first");
    assert_eq!((scene.posted(), scene.paid()), (0, BTreeMap::new()));

    // Version 7: accepted again.
    scene.sent.clear();
    assert_eq!(scene.bring(&as_version(without_naan(), 7, "accepted")), fine());
    assert_eq!(scene.steps(), ["read", "invoice", "payments"]);
    assert_eq!(scene.documents["SCF-812345-R2"].total, 2039);
    assert_eq!((scene.posted(), scene.paid()), (2039, [("611", 2039)].into()));
}

#[test]
fn a_version_that_says_the_same_takes_no_call() {
    let mut scene = posted();

    assert_eq!(scene.bring(&as_version(example(), 4, "accepted")), fine());
    assert!(scene.sent.is_empty());
}

#[test]
fn what_nothing_hangs_on_is_changed_in_place() {
    let mut scene = posted_unpaid(&[]);

    scene.bring(&unpaid(without_naan()));

    assert_eq!(scene.steps(), ["read", "update"]);
    let body = &scene.body("update")[0];
    let id = &scene.documents["SCF-812345"].id;
    assert!(body.starts_with(&format!(r#"{{"InvoiceID":"{id}","Type":"ACCREC","Status":"AUTHORISED""#)), "{body}");
    assert!(body.contains("v5") && !body.contains("Naan"), "{body}");
    assert_eq!((scene.posted(), scene.documents.len()), (2039, 1));
    assert_eq!(scene.held().corrections_avoided, 1);
}

#[test]
fn what_nothing_hangs_on_is_voided_when_the_order_is_cancelled_and_invoiced_anew_when_it_is_back() {
    let mut scene = posted_unpaid(&[]);

    assert_eq!(scene.bring(&as_version(example(), 5, "cancelled")), fine());
    assert_eq!((scene.steps(), scene.posted()), (vec!["read", "void"], 0));
    let id = &scene.documents["SCF-812345"].id;
    assert_eq!(scene.body("void"), [format!(r#"{{"InvoiceID":"{id}","Status":"VOIDED"}}"#)]);

    scene.bring(&unpaid(as_version(example(), 6, "accepted")));
    assert_eq!(
        scene.documents["SCF-812345-R2"].total, 2329,
        "the number of a document that was voided is never used again"
    );
}

#[test]
fn drafts_are_changed_and_deleted() {
    let mut scene = posted_unpaid(&[("document_status", "draft")]);

    scene.bring(&unpaid(without_naan()));
    assert!(scene.body("update")[0].contains(r#""Status":"DRAFT""#));
    scene.bring(&as_version(example(), 6, "cancelled"));
    assert!(scene.body("void")[0].contains(r#""Status":"DELETED""#));
    assert_eq!(scene.posted(), 0);
}

#[test]
fn what_was_replaced_is_credited_and_invoiced_and_the_credit_pays_for_it() {
    let mut scene = posted();
    let mut rice = without_naan();
    rice["items"][1]["name"] = "Pilau Rice".into();
    rice["items"][1]["quantityFulfilled"] = 1.into();
    rice["items"][1]["price"] = money(350);
    rice["total"] = money(2389);
    rice["customerPayments"][0]["payment"] = money(1889);

    assert_eq!(scene.bring(&rice), fine());

    assert_eq!(scene.steps(), ["read", "credit_note", "invoice", "allocate", "payments"]);
    assert_eq!((scene.documents["SCF-812345-C1"].total, scene.documents["SCF-812345-S1"].total), (290, 350));
    let to = &scene.documents["SCF-812345-S1"].id;
    assert_eq!(
        scene.body("allocate"),
        [format!(r#"{{"Allocations":[{{"Invoice":{{"InvoiceID":"{to}"}},"Amount":2.90,"Date":"2025-10-09"}}]}}"#)]
    );
    assert_eq!((scene.posted(), scene.paid()), (2389, [("611", 2389)].into()));
    let open: Vec<_> = scene.documents.values().filter(|kept| kept.applied != kept.total).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn reversing_credits_the_whole_and_pays_the_new_invoice_with_it() {
    let mut scene = posted_with(settings_with(&[("correction", "reverse_and_replace")]));

    assert_eq!(scene.bring(&without_naan()), fine());

    assert_eq!(scene.steps(), ["read", "credit_note", "invoice", "allocate", "payments"]);
    assert_eq!((scene.documents["SCF-812345-C1"].total, scene.documents["SCF-812345-R2"].total), (2329, 2039));
    assert_eq!((scene.posted(), scene.paid()), (2039, [("611", 2039)].into()));
}

#[test]
fn rewriting_removes_our_payments_changes_the_invoice_and_pays_again() {
    let mut scene = posted_with(settings_with(&[("correction", "rewrite_payments")]));

    assert_eq!(scene.bring(&without_naan()), fine());

    assert_eq!(scene.steps(), ["read", "remove_payments", "update", "payments"]);
    assert_eq!((scene.posted(), scene.paid(), scene.documents.len()), (2039, [("611", 2039)].into(), 1));
}

#[test]
fn a_payment_that_a_bank_statement_confirms_is_never_removed() {
    let mut scene = posted_with(settings_with(&[("correction", "rewrite_payments")]));
    scene.payments[0].reconciled = true;

    assert_eq!(scene.bring(&without_naan()), fine());

    assert_eq!(scene.steps(), ["read", "remove_payments", "credit_note", "payments"]);
    assert_eq!((scene.posted(), scene.paid()), (2039, [("611", 2039)].into()));

    // It is not asked for again.
    scene.sent.clear();
    scene.now += TimeDelta::hours(4);
    assert_eq!(scene.bring(&as_version(without_naan(), 6, "cancelled")), fine());
    assert_eq!(scene.steps(), ["read", "credit_note", "payments"]);
}

#[test]
fn a_locked_document_is_corrected_by_one_of_the_first_open_day() {
    let mut scene = posted_unpaid(&[]);
    scene.facts.period_lock = Some(day("2025-10-31"));

    scene.bring(&unpaid(without_naan()));

    assert_eq!(scene.steps(), ["read", "credit_note", "allocate"]);
    let note = &scene.body("credit_note")[0];
    assert!(note.contains(r#""Date":"2025-11-01""#) && note.contains("v5 of 2025-10-09"), "{note}");
    assert!(scene.body("allocate")[0].contains(r#""Date":"2025-11-01""#));
    assert_eq!(scene.posted(), 2039);
}

#[test]
fn what_a_person_has_edited_is_not_overwritten() {
    let edited = |keys: &[(&str, &str)]| {
        let mut scene = posted_unpaid(keys);
        scene.now += TimeDelta::hours(1);
        let now = scene.now;
        let kept = scene.documents.get_mut("SCF-812345").unwrap();
        kept.lines[0].amount_minor += 100;
        kept.total += 100;
        kept.updated_at = now;
        scene
    };

    let mut left_alone = edited(&[]);
    let told = Ended::Settled { notice: Some(REMOTE_EDITED.to_owned()), alert: Some(REMOTE_EDITED.to_owned()) };
    assert_eq!(left_alone.bring(&unpaid(without_naan())), told);
    assert_eq!(left_alone.steps(), ["read"]);

    let mut corrected = edited(&[("correct_edited", "true")]);
    corrected.bring(&unpaid(without_naan()));
    assert_eq!(corrected.steps(), ["read", "credit_note", "allocate"]);
}

#[test]
fn what_was_only_touched_there_counts_as_edited_too() {
    let mut scene = posted_unpaid(&[]);
    scene.documents.get_mut("SCF-812345").unwrap().updated_at += TimeDelta::hours(1);

    let Ended::Settled { notice, .. } = scene.bring(&unpaid(without_naan())) else { panic!("not settled") };
    assert_eq!(notice.as_deref(), Some(REMOTE_EDITED));
}

#[test]
fn a_payment_that_a_person_made_is_no_edit_and_makes_the_document_fast() {
    let mut scene = posted_unpaid(&[]);
    let later = scene.now + TimeDelta::hours(1);
    let kept = scene.documents.get_mut("SCF-812345").unwrap();
    (kept.applied, kept.updated_at) = (1000, later);

    scene.bring(&unpaid(without_naan()));

    assert_eq!(scene.steps(), ["read", "credit_note", "allocate"]);
    assert_eq!(scene.posted(), 2039);
}

#[test]
fn what_a_person_has_voided_is_told_and_a_cancelled_order_needs_nothing_then() {
    let voided = || {
        let mut scene = posted_unpaid(&[]);
        scene.documents.get_mut("SCF-812345").unwrap().status = Standing::Voided;
        scene
    };

    let Ended::Settled { notice, .. } = voided().bring(&unpaid(without_naan())) else { panic!("not settled") };
    assert_eq!(notice.as_deref(), Some(REMOTE_EDITED));
    let mut cancelled = voided();
    assert_eq!(cancelled.bring(&as_version(example(), 6, "cancelled")), fine());
    assert_eq!(cancelled.steps(), ["read"]);
}

/// The documentation's example with other tenders; its total is as it was.
fn paid_by(payments: &[Value]) -> Value {
    let mut order = as_version(example(), 4, "accepted");
    order["customerPayments"] = payments.into();
    order
}

#[test]
fn another_tender_for_the_same_amount_is_told_and_nothing_is_forced() {
    for correction in ["delta", "reverse_and_replace"] {
        let mut scene = posted_with(settings_with(&[("correction", correction)]));

        let differ = Some("payments_differ".to_owned());
        let ended = scene.bring(&paid_by(&[paid("cash", "vendor", 2329)]));
        assert_eq!(ended, Ended::Settled { notice: differ.clone(), alert: differ });
        assert!(scene.sent.is_empty(), "{correction}");
    }
}

#[test]
fn where_payments_may_be_rewritten_another_tender_moves_the_money_and_no_document() {
    let mut scene = posted_with(settings_with(&[("correction", "rewrite_payments")]));

    assert_eq!(scene.bring(&paid_by(&[paid("cash", "vendor", 2329)])), fine());

    assert_eq!(scene.steps(), ["read", "remove_payments", "payments"]);
    assert_eq!((scene.posted(), scene.paid(), scene.documents.len()), (2329, [("612", 2329)].into(), 1));
}

#[test]
fn no_more_payments_are_removed_than_change_hands() {
    let mut scene = posted_with(settings_with(&[("correction", "rewrite_payments")]));

    // The voucher of 5.00 came to be paid at the door; what was paid online stays as it was.
    let ended = scene.bring(&paid_by(&[paid("online", "scoffable", 1829), paid("cash", "vendor", 500)]));

    assert_eq!(ended, fine());
    let removed: Vec<i64> = scene.payments.iter().filter(|one| one.deleted).map(|one| one.amount).collect();
    assert_eq!((removed, scene.paid()), (vec![500], [("611", 1829), ("612", 500)].into()));

    // A part of the largest: what is left of it is paid again.
    scene.sent.clear();
    let mut split = paid_by(&[paid("online", "scoffable", 1000), paid("cash", "vendor", 1329)]);
    split["version"] = 5.into();
    assert_eq!(scene.bring(&split), fine());
    assert_eq!(scene.paid(), [("611", 1000), ("612", 1329)].into());
    assert_eq!(scene.payments.iter().filter(|one| one.deleted).count(), 2);
}

#[test]
fn what_may_not_be_removed_leaves_another_tender_told() {
    let told = |change: &dyn Fn(&mut Scene)| {
        let mut scene = posted_with(settings_with(&[("correction", "rewrite_payments")]));
        change(&mut scene);
        let ended = scene.bring(&paid_by(&[paid("cash", "vendor", 2329)]));
        let Ended::Settled { notice, .. } = ended else { panic!("{ended:?}") };
        assert_eq!((notice.as_deref(), scene.paid()), (Some("payments_differ"), [("611", 2329)].into()));
        scene.steps().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };

    assert_eq!(
        told(&|scene| scene.payments.iter_mut().for_each(|one| one.reconciled = true)),
        ["read", "remove_payments"]
    );
    assert_eq!(told(&|scene| scene.facts.period_lock = Some(day("2025-10-09"))), [""; 0]);
    let edited = |scene: &mut Scene| {
        scene.documents.get_mut("SCF-812345").unwrap().contact_id = "00000000-0000-4000-9000-000000000999".to_owned();
    };
    assert_eq!(told(&edited), ["read"]);
}

#[test]
fn nothing_is_removed_that_could_not_be_paid_again() {
    let mut scene = posted_with(settings_with(&[("correction", "rewrite_payments")]));
    scene.facts.accounts.iter_mut().filter(|one| one.code.as_deref() == Some("612")).for_each(|one| one.active = false);

    let ended = scene.bring(&paid_by(&[paid("cash", "vendor", 2329)]));

    assert_eq!(ended, Ended::Held("account \"612\"".to_owned()));
    assert_eq!((scene.sent.len(), scene.paid()), (0, [("611", 2329)].into()));
}

#[test]
fn a_cancellation_that_comes_between_two_steps_takes_back_what_stands() {
    let mut scene = Scene::new();
    let Plan::Send(step) = scene.plan(&example()) else { panic!("not sent") };
    scene.take(&step);

    assert_eq!(scene.bring(&as_version(example(), 4, "cancelled")), fine());

    assert_eq!(scene.steps(), ["invoice", "read", "void"]);
    assert_eq!((scene.posted(), scene.paid()), (0, BTreeMap::new()));
}

#[test]
fn another_currency_is_never_corrected_into() {
    let mut scene = posted();
    let text = as_version(example(), 4, "accepted").to_string().replace("GBP", "EUR");

    assert_eq!(scene.bring_payload(&text), Ended::Parked("currency_changed"));
}

#[test]
fn split_lines_with_new_ids_are_the_same_order() {
    let wrap = |id: &str, units: i64| {
        let mut wrap = item("product", "Falafel wrap", 780, units, units);
        wrap["id"] = id.into();
        wrap
    };
    let online = |amount| [paid("online", "scoffable", amount)];
    let mut scene = Scene::new();
    assert_eq!(scene.bring(&order(4, 2340, &[wrap("w-1", 3)], &online(2340))), fine());
    scene.sent.clear();

    let mut half = item("adjustment", "Half refund, soggy wrap", -390, 0, 1);
    half["priceAdjustmentDetails"] = serde_json::json!({"itemsAdjusted": ["w-8"]});
    let split = order(5, 1950, &[wrap("w-7", 2), wrap("w-8", 1), half], &online(1950));
    assert_eq!(scene.bring(&split), fine());

    assert_eq!(scene.steps(), ["read", "credit_note", "payments"]);
    assert_eq!(scene.documents["SCF-812345-C1"].total, 390);
}

#[test]
fn a_payment_that_was_refused_is_tried_again_only_after_a_look_at_what_was_paid() {
    let mut scene = Scene::new();
    let Plan::Send(step) = scene.plan(&example()) else { panic!("not sent") };
    scene.take(&step);
    let Plan::Send(step) = scene.plan(&example()) else { panic!("not sent") };
    let mut held = Held::of(step.receipt.as_ref()).unwrap();
    for about in ["SCF-812345-P1-1", "SCF-812345-P2-1"] {
        let (step, cause) = ("payments".to_owned(), "rejected".to_owned());
        held.refuse(Refusal { step, about: about.to_owned(), cause, at: scene.now });
    }
    scene.receipt = Some(held.receipt());
    let paid_there = scene.documents.get_mut("SCF-812345").unwrap();
    (paid_there.applied, paid_there.status) = (2329, Standing::Paid);

    scene.now += TimeDelta::hours(3);
    let Ended::Settled { notice, .. } = scene.bring(&example()) else { panic!("not settled") };

    assert_eq!(scene.steps(), ["invoice", "read"]);
    assert_eq!(notice.as_deref(), Some("payments_differ"));
}

#[test]
fn each_version_that_changes_a_document_leaves_one_note() {
    let mut scene = Scene::with(settings_with(&[("history_notes", "true")]));

    scene.bring(&example());
    scene.bring(&as_version(example(), 4, "accepted"));
    scene.bring(&without_naan());

    let number = "SCF-812345".to_owned();
    let expected = [
        "Scoffable 812345 v3: invoice SCF-812345 of 23.29 GBP; it comes to 23.29 GBP",
        "Scoffable 812345 v5: credit note SCF-812345-C1 of 2.90 GBP; it comes to 20.39 GBP",
    ];
    assert_eq!(scene.notes, expected.map(|note| (number.clone(), note.to_owned())));
}
