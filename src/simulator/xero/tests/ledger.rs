//! What the ledger says of families, doubles, and a world.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::simulator::{
    faults::plainly,
    world::{OrderTruth, Readability, StreamVersion, VersionTruth},
};

#[tokio::test]
async fn a_family_is_what_its_documents_come_to_by_account_and_tender() {
    let desk = start().await;
    let fee = json!({"Description": "Service fee", "Quantity": 1, "UnitAmount": 0.99, "AccountCode": "201"});
    let invoice = desk.invoiced("SCF-so-1", json!([line(2, json!(10.95)), fee])).await;
    desk.paid(&invoice, "611", json!(22.89), "SCF-so-1-P1-1").await;
    let note = desk.credited("SCF-so-1-C1", json!([line(1, json!(2.90))])).await;
    desk.refunded(&note, "611", json!(2.90), "SCF-so-1-P1-2").await;
    desk.invoiced("SCF-so-1-S1", json!([line(1, json!(1))])).await;

    let ledger = desk.ledger();
    assert_eq!(ledger.orders(), ["so-1"]);
    assert_eq!(ledger.revenue("so-1"), Cents(2289 - 290 + 100));
    let by_account = [("200".to_owned(), Cents(2000)), ("201".to_owned(), Cents(99))];
    assert_eq!(ledger.revenue_by_account("so-1"), by_account.into());
    assert_eq!(ledger.payments_by_account("so-1"), [("611".to_owned(), Cents(1999))].into());
    assert_eq!(ledger.clearing_balances(), [("611".to_owned(), Cents(1999))].into());
    assert!(ledger.doubled().is_empty() && ledger.violations().is_empty());
}

#[tokio::test]
async fn what_stands_twice_is_doubled_and_what_was_taken_back_is_not() {
    let desk = start().await;
    let first = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    desk.paid(&first, "611", json!(2), "SCF-1-P1-1").await;
    desk.paid(&first, "611", json!(2), "SCF-1-P1-1").await;
    desk.invoiced("SCF-1-R2", json!([line(1, json!(5))])).await;
    desk.invoiced("SCF-2", json!([line(1, json!(5))])).await;
    desk.credited("SCF-2-C1", json!([line(1, json!(5))])).await;
    desk.invoiced("SCF-2-R2", json!([line(1, json!(6))])).await;
    desk.credited("SCF-2-C2", json!([line(1, json!(6))])).await;
    desk.credited("SCF-2-C3", json!([line(1, json!(6))])).await;

    let (one, two) = ("1".to_owned(), "2".to_owned());
    assert_eq!(
        desk.doubled(),
        [
            Doubled::Payment { order: one.clone(), reference: "SCF-1-P1-1".to_owned() },
            Doubled::Invoice { order: one, number: "SCF-1-R2".to_owned() },
            Doubled::Credit { order: two, number: "SCF-2-C3".to_owned() },
        ]
    );
}

#[tokio::test]
async fn a_credit_note_may_take_back_more_than_stands_before_what_replaces_it_is_invoiced() {
    let desk = start().await;
    desk.invoiced("SCF-1", json!([line(1, json!(17.30))])).await;
    // Both dishes, and the discount on the one that takes their place.
    desk.credited("SCF-1-C1", json!([line(1, json!(18.61))])).await;
    desk.invoiced("SCF-1-S1", json!([line(1, json!(18.61))])).await;

    assert_eq!((desk.doubled(), desk.ledger().revenue("1")), (vec![], Cents(1730)));
}

/// Cause: an order that was cancelled before what replaced it was invoiced was judged to be invoiced twice.
#[tokio::test]
async fn what_was_taken_back_too_much_of_an_order_that_is_cancelled_then_is_invoiced_again_and_no_more() {
    let desk = start().await;
    for order in ["1", "2"] {
        desk.invoiced(&format!("SCF-{order}"), json!([line(1, json!(9.68))])).await;
        desk.credited(&format!("SCF-{order}-C1"), json!([line(1, json!(13.31))])).await;
    }
    desk.invoiced("SCF-1-R2", json!([line(1, json!(3.63))])).await;
    desk.invoiced("SCF-2-R2", json!([line(1, json!(10.58))])).await;

    let number = "SCF-2-R2".to_owned();
    assert_eq!(desk.doubled(), [Doubled::Invoice { order: "2".to_owned(), number }]);
    assert_eq!(desk.ledger().revenue("1"), Cents::ZERO);
}

#[tokio::test]
async fn two_writes_about_one_order_at_once_are_noted() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    let gate = CancellationToken::new();
    desk.answer_next_to(Operation::Create(Resource::Payments), [plainly().answered_when(&gate)]);
    let payment = json!({"Payments": [payment("Invoice", "InvoiceID", &invoice, "611", json!(1), "SCF-1-P1-1")]});
    let hanging = tokio::spawn(ask(desk.write("PUT", "Payments?summarizeErrors=false", &payment)));
    desk.wait_until(|ledger| ledger.running("1") == 1 && !ledger.books().payments().is_empty(), secs(30))
        .await
        .expect("the payment hangs");

    desk.invoiced("SCF-2", json!([line(1, json!(5))])).await;
    desk.credited("SCF-1-C1", json!([line(1, json!(5))])).await;
    gate.cancel();
    hanging.await.expect("it ends");

    let side_by_side = Violation::SideBySide {
        order: "1".to_owned(),
        operation: Operation::Create(Resource::CreditNotes),
        running: Operation::Create(Resource::Payments),
    };
    assert_eq!(desk.violations(), [side_by_side]);
    assert_eq!(desk.ledger().running("1"), 0);
}

#[tokio::test]
async fn people_at_work_change_what_the_api_then_shows() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    let path = format!("Invoices/{}", invoice["InvoiceID"].as_str().expect("an id"));

    assert!(desk.edit_invoice("SCF-1", |invoice| invoice.lines[0].line_amount = Cents(600)));
    let edited = desk.get(&path).await["Invoices"][0].clone();
    assert!(desk.by_hand(|books, now| books.pay_by_hand("SCF-1", "090", Cents(600), now)));
    assert_eq!(desk.get(&path).await["Invoices"][0]["Status"], "PAID");
    assert!(desk.void_invoice("SCF-1") && !desk.void_invoice("SCF-1"));

    assert_eq!(edited["Total"], json!(6.0));
    assert_ne!(edited["UpdatedDateUTC"], invoice["UpdatedDateUTC"]);
    assert_eq!(desk.get(&path).await["Invoices"][0]["Status"], "VOIDED");
    assert_eq!(desk.ledger().revenue("1"), Cents::ZERO);
}

/// A world with the single order `1`: of each version its status, total, and payload beside that.
fn world(versions: &[(&str, i64, Value)]) -> World {
    let mut world = World::empty();
    let mut truths = Vec::new();
    for (position, (status, total_minor, payload)) in versions.iter().enumerate() {
        let number = position as i64 + 1;
        world.versions.push(StreamVersion {
            at: Duration::ZERO,
            order_id: Some("1".to_owned()),
            vendor: None,
            number,
            payload: payload.to_string().into(),
            flag: None,
        });
        truths.push(VersionTruth {
            number,
            status: (*status).to_owned(),
            total_minor: *total_minor,
            currency: "GBP".to_owned(),
            readability: Readability::Clear,
            position,
        });
    }
    let truth = OrderTruth { id: "1".to_owned(), cases: BTreeSet::new(), versions: truths };
    world.orders.insert("1".to_owned(), truth);
    world
}

/// One dish, paid in these ways.
fn payload(price: i64, tenders: &[(&str, &str, i64)]) -> Value {
    let tenders: Vec<Value> = tenders
        .iter()
        .map(|(kind, collector, amount)| {
            json!({"type": kind, "collectedBy": collector, "payment": {"amount": amount, "currency": "GBP"}})
        })
        .collect();
    json!({
        "items": [{"quantity": 1, "price": {"amount": price, "currency": "GBP"}}], "customerPayments": tenders,
    })
}

/// What is not right about books with one invoice of this total, paid like this.
async fn mismatches(world: &World, total: i64, payments: &[(&str, i64)], excused: &[&str]) -> usize {
    let desk = start().await;
    let pounds = |minor: i64| serde_json::from_str::<Value>(&Cents(minor).to_string()).expect("a number");
    if total > 0 {
        let invoice = desk.invoiced("SCF-1", json!([line(1, pounds(total))])).await;
        for (n, (account, minor)) in payments.iter().enumerate() {
            desk.paid(&invoice, account, pounds(*minor), &format!("SCF-1-P{}-1", n + 1)).await;
        }
    }
    let excused = excused.iter().map(|order| (*order).to_owned()).collect();
    desk.compare(world, &Clearing::default(), &excused).len()
}

#[tokio::test]
async fn the_books_are_right_when_sums_and_clearing_accounts_are() {
    let paid = || payload(900, &[("online", "scoffable", 500), ("cash", "vendor", 400)]);
    let accepted = world(&[("placed", 900, paid()), ("accepted", 900, paid())]);
    let cancelled = world(&[("accepted", 900, paid()), ("cancelled", 900, paid())]);
    let placed = world(&[("placed", 900, paid())]);
    let right = [("611", 500), ("612", 400)];

    assert_eq!(mismatches(&accepted, 900, &right, &[]).await, 0);
    assert_eq!(mismatches(&accepted, 901, &right, &[]).await, 1, "the sum");
    assert_eq!(mismatches(&accepted, 900, &[("611", 400), ("612", 500)], &[]).await, 1, "the accounts");
    assert_eq!(mismatches(&accepted, 900, &[("611", 500)], &[]).await, 1, "not all is paid");
    assert_eq!(mismatches(&accepted, 0, &[], &[]).await, 1);
    assert_eq!(mismatches(&accepted, 0, &[], &["1"]).await, 0, "it waits for a person");
    assert_eq!([mismatches(&cancelled, 0, &[], &[]).await, mismatches(&cancelled, 900, &right, &[]).await], [0, 1]);
    assert_eq!(mismatches(&cancelled, 900, &right, &["1"]).await, 0);
    let swapped = [("611", 400), ("612", 500)];
    assert_eq!(mismatches(&accepted, 900, &swapped, &["1"]).await, 0, "no document takes what is to be moved");
    assert_eq!(mismatches(&accepted, 900, &[("611", 400)], &["1"]).await, 1, "there is an amount due");
    assert_eq!([mismatches(&placed, 0, &[], &[]).await, mismatches(&placed, 900, &[], &[]).await], [0, 1]);
    assert_eq!(mismatches(&World::empty(), 900, &[], &[]).await, 1, "an order nobody knows");
}

#[tokio::test]
async fn refunds_goodwill_and_unknown_collectors_are_judged_by_their_rules() {
    let refunded = world(&[("accepted", 700, payload(700, &[("online", "scoffable", 500), ("cash", "vendor", 400)]))]);
    let mut substituted = payload(1000, &[("online", "scoffable", 900)]);
    substituted["items"][0]["substitutionDetails"] = json!({"substitutedFor": ["line-1"]});
    let goodwill = world(&[("accepted", 900, substituted)]);
    let unexplained = world(&[("accepted", 937, payload(900, &[("online", "scoffable", 900)]))]);
    let unknown = world(&[("accepted", 900, payload(900, &[("wallet", "partner", 900)]))]);

    assert_eq!(mismatches(&refunded, 700, &[("611", 300), ("612", 400)], &[]).await, 0, "online is cut back first");
    assert_eq!(mismatches(&goodwill, 1000, &[("611", 900)], &[]).await, 0);
    assert_eq!(mismatches(&goodwill, 900, &[("611", 900)], &[]).await, 1);
    assert_eq!(mismatches(&unexplained, 937, &[("611", 900)], &[]).await, 0);
    assert_eq!([mismatches(&unknown, 0, &[], &[]).await, mismatches(&unknown, 900, &[], &[]).await], [0, 1]);
}

/// Cause: an invoice whose answer was lost stood when a version came that cannot be paid, and passed for wrong.
#[tokio::test]
async fn what_is_held_may_stand_as_far_as_an_earlier_version_had_come() {
    let known = payload(900, &[("online", "scoffable", 900)]);
    let held = world(&[("accepted", 900, known), ("accepted", 950, payload(950, &[("wallet", "partner", 950)]))]);

    assert_eq!(mismatches(&held, 900, &[], &[]).await, 0);
    assert_eq!(mismatches(&held, 900, &[("611", 400)], &[]).await, 0);
    assert_eq!([mismatches(&held, 901, &[], &[]).await, mismatches(&held, 950, &[], &[]).await], [1, 1]);
}

/// Cause: an order whose payments were refused, and that waits for a person, passed for wrong.
#[tokio::test]
async fn what_waits_for_a_person_may_stand_between_its_invoice_and_its_payments() {
    let paid = world(&[("accepted", 900, payload(900, &[("online", "scoffable", 500), ("cash", "vendor", 400)]))]);

    assert_eq!([mismatches(&paid, 900, &[], &["1"]).await, mismatches(&paid, 900, &[], &[]).await], [0, 1]);
    assert_eq!(mismatches(&paid, 900, &[("611", 500)], &["1"]).await, 1, "all are made in one call");
    assert_eq!(mismatches(&paid, 901, &[], &["1"]).await, 1);
}

#[tokio::test]
async fn what_waits_for_a_person_may_lack_what_replaces_its_newest_credit_note() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(9))])).await;
    desk.paid(&invoice, "611", json!(9), "SCF-1-P1-1").await;
    desk.credited("SCF-1-C1", json!([line(1, json!(5))])).await;
    let of = |minor| payload(minor, &[("online", "scoffable", minor)]);
    let corrected = world(&[("accepted", 900, of(900)), ("accepted", 1000, of(1000))]);
    let other = world(&[("accepted", 800, of(800)), ("accepted", 1000, of(1000))]);
    let n_wrong = |world: &World, excused: &[&str]| {
        let excused = excused.iter().map(|order| (*order).to_owned()).collect();
        desk.compare(world, &Clearing::default(), &excused).len()
    };

    assert_eq!([n_wrong(&corrected, &["1"]), n_wrong(&corrected, &[]), n_wrong(&other, &["1"])], [0, 1, 1]);
}
