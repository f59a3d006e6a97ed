//! A day's orders as one document, with the whole daemon around the sink, at a strict simulated Xero.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use scoffable_sync::{
    simulator::{
        faults::{cut_after, cut_before, plainly, status},
        xero::{DocumentKind as Kind, Operation, Resource, Status, XeroOptions, XeroSim},
    },
    store::orders::histories,
};
use tokio_util::sync::CancellationToken;

use super::{
    simulated::{Books, applied, start},
    *,
};
use crate::harness::app::{PATIENCE, order, order_of};

/// The morning after, when the day was closed.
pub(super) const NEXT_MORNING: Duration = Duration::from_hours(17);

/// At noon, so that a test's orders are of one day.
pub(super) async fn at_noon(more: &[(&str, &str)]) -> (TestApp, XeroSim) {
    at_noon_of(XeroOptions::default(), more).await
}

pub(super) async fn at_noon_of(options: XeroOptions, more: &[(&str, &str)]) -> (TestApp, XeroSim) {
    let setup = Setup::default().placed_now();
    let now = setup.clock().wall();
    let noon = (now.date_naive() + Days::new(1)).and_time(NaiveTime::from_hms_opt(12, 0, 0).unwrap()).and_utc();
    setup.clock().advance((noon - now).to_std().unwrap());
    let keys = [&[("mode", "daily_summary")], more].concat();
    let sim = start(&setup, options).await;
    let Books { app, sim } = Books::of(setup, sim, &keys).await;
    (app, sim)
}

pub(super) fn today(app: &TestApp) -> NaiveDate {
    app.clock.wall().date_naive()
}

fn number_of(day: NaiveDate) -> String {
    format!("SCF-DAY-{}-GBP", day.format("%Y%m%d"))
}

/// Paid in cash, to the vendor.
pub(super) fn in_cash(id: &str, total: i64) -> Value {
    let mut order = order_of(id, 1, "accepted", total);
    order["customerPayments"][0] =
        json!({"type": "cash", "collectedBy": "vendor", "payment": {"amount": total, "currency": "GBP"}});
    order
}

/// Arrives and waits for the end of its day.
pub(super) async fn gathered(app: &mut TestApp, orders: &[Value]) {
    for order in orders {
        app.arrives(order).await;
    }
    app.run_until_only("summary").await;
}

/// The harness would place it anew.
pub(super) async fn arrives_placed_at(app: &mut TestApp, mut order: Value, placed_at: DateTime<Utc>) {
    order["placedAt"] = json!(placed_at);
    app.scoffable.publish(order.to_string());
    app.poll().await;
}

/// Kind, number, state and total of all documents ever.
fn documents(sim: &XeroSim) -> Vec<(Kind, String, Status, String)> {
    sim.by_hand(|books, _| {
        let all = books.documents().iter();
        all.map(|one| (one.kind, one.number.clone(), one.status, one.totals().total.to_string())).collect()
    })
}

/// Account and amount of all payments ever.
fn payments(sim: &XeroSim) -> Vec<(String, String)> {
    sim.by_hand(|books, _| {
        let all = books.payments().iter();
        all.map(|payment| (payment.account_code.clone(), payment.amount.to_string())).collect()
    })
}

fn paid_invoice(number: String, total: &str) -> (Kind, String, Status, String) {
    (Kind::Invoice, number, Status::Paid, total.to_owned())
}

/// Every order is reconciled to the penny, and nothing was done that must not be.
async fn assert_books_are_right(app: &TestApp, sim: &XeroSim, posted_minor: i64) {
    let sql = "SELECT count(*) FROM money_reconciliation WHERE difference_minor <> 0 OR pending_minor <> 0";
    assert_eq!(app.number(sql).await, 0, "not reconciled");
    let sql = "SELECT coalesce(sum(posted_minor), 0)::bigint FROM money_reconciliation";
    assert_eq!(app.number(sql).await, posted_minor, "what orders hold");
    let total: i64 = sim.by_hand(|books, _| {
        let live = books.documents().iter().filter(|one| one.status.is_live());
        live.map(|one| {
            let sign = if one.kind == Kind::Invoice { 1 } else { -1 };
            sign * one.totals().total.to_string().replace('.', "").parse::<i64>().unwrap()
        })
        .sum()
    });
    assert_eq!(total, posted_minor, "what stands at Xero");
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn a_day_of_orders_becomes_one_invoice_with_a_payment_for_each_account() {
    let (mut app, sim) = at_noon(&[]).await;
    let number = number_of(today(&app));

    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted"), in_cash("3", 900)]).await;
    assert_eq!(documents(&sim), []);
    app.advance(NEXT_MORNING);
    app.run_to_rest().await;

    assert_eq!(documents(&sim), [paid_invoice(number.clone(), "34.00")]);
    assert_eq!(payments(&sim), [("611", "25.00"), ("612", "9.00")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    for order_id in ["1", "2", "3"] {
        assert_eq!(applied(&app, order_id).await, ("applied".to_owned(), Some(1)));
    }
    let id = number["SCF-".len()..].to_owned();
    let stories = histories(&app.pool, &id, None).await.expect("the database answers");
    assert_eq!(stories.len(), 1, "a document has a story, too");
    assert_books_are_right(&app, &sim, 3400).await;
}

#[tokio::test]
async fn a_lost_answer_neither_doubles_a_day_nor_its_payments() {
    let (mut app, sim) = at_noon(&[]).await;
    gathered(&mut app, &[order("1", 1, "accepted"), in_cash("2", 900)]).await;
    sim.answer_next_to(Operation::Create(Resource::Invoices), [cut_after(), cut_before()]);
    sim.answer_next_to(Operation::Create(Resource::Payments), [cut_after(), status(500)]);

    app.advance(NEXT_MORNING);
    app.run_to_rest().await;

    assert_eq!((documents(&sim).len(), payments(&sim).len()), (1, 2));
    assert_books_are_right(&app, &sim, 2150).await;
}

#[tokio::test]
async fn a_process_that_dies_between_invoice_and_payment_is_gone_on_from() {
    let (mut app, sim) = at_noon(&[]).await;
    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted")]).await;
    app.advance(NEXT_MORNING);
    for _ in 0..20 {
        if !documents(&sim).is_empty() {
            break;
        }
        for dispatcher in &mut app.dispatchers {
            dispatcher.tick().await.expect("the database answers");
        }
    }
    assert_eq!((documents(&sim).len(), payments(&sim).len()), (1, 0));

    app.restart().await;
    app.run_to_rest().await;

    assert_eq!((documents(&sim).len(), payments(&sim).len()), (1, 1));
    assert_books_are_right(&app, &sim, 2500).await;
}

#[tokio::test]
async fn a_process_that_is_killed_while_a_day_is_posted_leaves_one_document() {
    let (mut app, sim) = at_noon(&[]).await;
    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted")]).await;
    app.advance(NEXT_MORNING);
    let (gate, before) = (CancellationToken::new(), sim.journal().total());
    sim.answer_next_to(Operation::Create(Resource::Invoices), [plainly().answered_when(&gate)]);

    let mut killed = app.dispatchers.remove(0);
    let works = async {
        for _ in 0..1_000 {
            killed.tick().await.expect("the database answers");
        }
    };
    tokio::select! {
        () = works => {}
        begun = sim.journal().wait_until(|journal| journal.total() > before, PATIENCE) => begun.expect("it is sent"),
    }
    drop(killed);
    gate.cancel();
    app.restart().await;
    app.run_to_rest().await;

    assert_eq!((documents(&sim).len(), payments(&sim).len()), (1, 1));
    assert_books_are_right(&app, &sim, 2500).await;
}

#[tokio::test]
async fn orders_wait_for_a_document_that_a_person_has_to_see_to() {
    let (mut app, sim) = at_noon(&[]).await;
    let id = format!("DAY-{}-GBP", today(&app).format("%Y%m%d"));
    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted")]).await;
    app.advance(NEXT_MORNING);
    sim.answer_next([status(503), status(503)]);
    app.dispatch().await;
    app.run("UPDATE deliveries SET state = 'parked', reason = 'refused', hint = 'look' WHERE order_id LIKE 'DAY-%'")
        .await;

    app.advance(Duration::from_hours(1));
    app.dispatch().await;
    let waiting = app.delivery_at(BOOKS, "1").await;
    assert_eq!((waiting.state.as_str(), waiting.waiting_for.as_deref()), ("pending", Some("summary")));

    // It is closed for good: then what becomes of its orders is for a person as well.
    app.run("UPDATE deliveries SET state = 'skipped', reason = 'discarded' WHERE order_id LIKE 'DAY-%'").await;
    app.run_to_rest().await;
    for order_id in ["1", "2"] {
        let parked = app.delivery_at(BOOKS, order_id).await;
        assert_eq!(parked.reason.as_deref(), Some("summary_discarded"));
        assert!(parked.hint.expect("a hint").contains(&id));
    }
    assert_eq!(documents(&sim), []);
}

#[tokio::test]
async fn several_processes_close_a_day_once() {
    let (mut app, sim) = at_noon(&[]).await;
    let mut others = app.another_process().await;
    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted"), order("3", 1, "accepted")]).await;

    app.advance(NEXT_MORNING);
    for _ in 0..30 {
        let (one, another) = (&mut app.dispatchers[0], &mut others.dispatchers[0]);
        let (one, another) = tokio::join!(one.tick(), another.tick());
        one.and(another).expect("the database answers");
    }
    app.run_to_rest().await;

    assert_eq!(documents(&sim).len(), 1);
    assert_eq!(app.number("SELECT count(*) FROM summaries").await, 1);
    assert_books_are_right(&app, &sim, 3750).await;
}

#[tokio::test]
async fn a_refund_after_the_day_is_one_credit_note_dated_on_the_day_it_came() {
    let (mut app, sim) = at_noon(&[]).await;
    let (placed_at, number) = (app.clock.wall(), number_of(today(&app)));
    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted")]).await;
    app.advance(NEXT_MORNING);
    app.run_to_rest().await;

    let refunded_on = today(&app);
    arrives_placed_at(&mut app, order_of("1", 2, "accepted", 1000), placed_at).await;
    app.run_to_rest().await;

    let credit_note = (Kind::CreditNote, "SCF-1-C1".to_owned(), Status::Paid, "2.50".to_owned());
    assert_eq!(documents(&sim), [paid_invoice(number, "25.00"), credit_note]);
    let dated = sim.by_hand(|books, _| books.documents()[1].date);
    assert_eq!(dated, refunded_on);
    assert_eq!(applied(&app, "1").await, ("applied".to_owned(), Some(2)));
    assert_books_are_right(&app, &sim, 2250).await;
}

#[tokio::test]
async fn a_version_that_comes_while_its_day_is_posted_is_a_change_to_what_was_closed() {
    let (mut app, sim) = at_noon(&[]).await;
    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted")]).await;
    app.advance(NEXT_MORNING);
    // The day is closed, and nothing of it is sent yet.
    sim.answer_next([status(503), status(503)]);
    app.dispatch().await;
    assert_eq!((documents(&sim).len(), app.number("SELECT count(*) FROM summaries").await), (0, 1));

    app.arrives(&order("1", 2, "cancelled")).await;
    app.run_to_rest().await;

    let documents: Vec<(String, String)> =
        documents(&sim).into_iter().map(|(_, number, _, total)| (number, total)).collect();
    assert_eq!(documents[0].1, "25.00");
    assert_eq!(documents[1..], [("SCF-1-C1".to_owned(), "12.50".to_owned())]);
    assert_books_are_right(&app, &sim, 1250).await;
}

/// What paid for the others of its day as well is nothing that one order may have removed.
#[tokio::test]
async fn a_payment_of_a_day_stays_although_one_of_its_orders_was_paid_otherwise() {
    let (mut app, sim) = at_noon(&[("correction", "rewrite_payments")]).await;
    let placed_at = app.clock.wall();
    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted")]).await;
    app.advance(NEXT_MORNING);
    app.run_to_rest().await;

    let mut otherwise = in_cash("1", 1250);
    otherwise["version"] = json!(2);
    arrives_placed_at(&mut app, otherwise, placed_at).await;
    app.run_to_rest().await;

    let live: Vec<String> = sim.by_hand(|books, _| {
        let live = books.payments().iter().filter(|payment| payment.is_live());
        live.map(|payment| payment.amount.to_string()).collect()
    });
    assert_eq!(live, ["25.00"]);
    assert_eq!(applied(&app, "1").await, ("applied".to_owned(), Some(2)));
    assert_books_are_right(&app, &sim, 2500).await;
}

#[tokio::test]
async fn what_is_cancelled_before_its_day_is_closed_is_in_no_document() {
    let (mut app, sim) = at_noon(&[]).await;
    gathered(&mut app, &[order("1", 1, "accepted"), order("2", 1, "accepted"), order("2", 2, "cancelled")]).await;
    app.advance(NEXT_MORNING);
    app.run_to_rest().await;

    assert_eq!(documents(&sim).iter().map(|one| one.3.as_str()).collect::<Vec<_>>(), ["12.50"]);
    assert_eq!(applied(&app, "2").await.0, "skipped");
    assert_books_are_right(&app, &sim, 1250).await;
}

#[tokio::test]
async fn an_order_that_comes_after_its_day_was_closed_goes_into_a_further_document() {
    let (mut app, sim) = at_noon(&[]).await;
    let placed_at = app.clock.wall();
    let placed_on = today(&app);
    gathered(&mut app, &[order("1", 1, "accepted")]).await;
    app.advance(NEXT_MORNING);
    app.run_to_rest().await;

    arrives_placed_at(&mut app, order("2", 1, "accepted"), placed_at).await;
    app.run_until_only("summary").await;
    let came_on = today(&app);
    app.advance(Duration::from_hours(24));
    app.run_to_rest().await;

    let further = format!("{}-{}", number_of(came_on), placed_on.format("%Y%m%d"));
    assert_eq!(documents(&sim), [paid_invoice(number_of(placed_on), "12.50"), paid_invoice(further, "12.50")]);
    assert_eq!(sim.by_hand(|books, _| books.documents()[1].date), came_on);
    assert_books_are_right(&app, &sim, 2500).await;
}

#[tokio::test]
async fn an_order_that_cannot_be_posted_holds_up_none_of_its_day() {
    let (mut app, sim) = at_noon(&[]).await;
    let mut odd = order("2", 1, "accepted");
    odd["customerPayments"][0]["collectedBy"] = json!("somebody");
    gathered(&mut app, &[order("1", 1, "accepted"), odd]).await;
    app.advance(NEXT_MORNING);
    app.run_to_rest().await;

    assert_eq!(documents(&sim).len(), 1);
    assert_eq!((applied(&app, "1").await.0, applied(&app, "2").await.0), ("applied".to_owned(), "parked".to_owned()));
}
