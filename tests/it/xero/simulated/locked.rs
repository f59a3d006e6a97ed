//! Periods that a person has closed.

use chrono::NaiveDate;

use super::*;

/// The usual order is of the first of March.
fn closed() -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(2026, 3, 31)
}

impl Books {
    /// Dates of an order's documents and of what is paid, and the reference of the newest document.
    fn dated(&self) -> (Vec<String>, Vec<String>, String) {
        self.sim.by_hand(|books, _| {
            let documents = books.documents().iter().map(|one| one.date.to_string()).collect();
            let payments = books.payments().iter().map(|one| one.date.to_string()).collect();
            let reference = books.documents().last().and_then(|one| one.reference.clone()).unwrap_or_default();
            (documents, payments, reference)
        })
    }
}

#[tokio::test]
async fn a_first_posting_into_a_closed_period_waits_until_it_is_opened() {
    let mut books = Books::usual().await;
    books.sim.lock_until(closed());

    books.bring_until_held(&order("1", 1, "accepted")).await;
    assert_eq!((books.documents(), books.alerts().await), (vec![], vec!["configuration".to_owned()]));
    books.sim.lock_until(None);
    books.app.advance(Duration::from_hours(3));
    books.app.run_to_rest().await;

    assert_eq!(books.dated().0, ["2026-03-01"]);
    books.assert_comes_to("1", 1250, &[(ONLINE, 1250)]);
    assert_eq!(books.alerts().await, [""; 0], "what was mended there is told no more");
}

#[tokio::test]
async fn a_hundred_orders_that_wait_for_the_same_are_one_alert_and_go_together_once_it_is_mended() {
    let mut books = Books::usual().await;
    books.sim.lock_until(closed());
    for n in 0..100 {
        books.app.publish(&order(&n.to_string(), 1, "accepted"));
    }
    books.app.poll().await;

    books.app.run_until_only("configuration").await;
    let told = books.app.number("SELECT max(count) FROM alerts WHERE resolved_at IS NULL");
    assert_eq!((told.await, books.alerts().await), (100, vec!["configuration".to_owned()]));
    assert_eq!(books.app.number("SELECT sum(attempts)::bigint FROM deliveries").await, 0);
    books.sim.lock_until(None);
    books.app.advance(Duration::from_hours(3));
    books.app.run_to_rest().await;

    assert_eq!((books.documents().len(), books.alerts().await), (100, vec![]));
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn a_first_posting_may_be_dated_on_the_first_open_day_and_names_the_true_one() {
    let mut books = Books::with(&[("locked_first_post", "redate")]).await;
    books.sim.lock_until(closed());

    books.bring(&order("1", 1, "accepted")).await;

    let (documents, payments, reference) = books.dated();
    assert_eq!((documents, payments), (vec!["2026-04-01".to_owned()], vec!["2026-04-01".to_owned()]));
    assert_eq!(reference, "Scoffable 1 v1 of 2026-03-01");
    books.assert_comes_to("1", 1250, &[(ONLINE, 1250)]);
}

#[tokio::test]
async fn corrections_of_a_closed_period_are_dated_the_day_after_the_lock_date() {
    let mut books = Books::usual().await;
    books.bring(&order("1", 1, "accepted")).await;
    books.sim.lock_until(closed());
    // What is known of the organisation is read once a day.
    books.app.advance(Duration::from_hours(25));

    books.bring(&order_of("1", 2, "accepted", 1000)).await;

    let (documents, payments, reference) = books.dated();
    assert_eq!(documents, ["2026-03-01", "2026-04-01"]);
    assert_eq!(
        (payments.last().map(String::as_str), reference.as_str()),
        (Some("2026-04-01"), "Scoffable 1 v2 of 2026-03-01")
    );
    books.assert_comes_to("1", 1000, &[(ONLINE, 1000)]);
}

#[tokio::test]
async fn a_period_that_was_closed_since_we_looked_is_noticed_by_the_refusal() {
    let mut books = Books::usual().await;
    books.bring(&unpaid(order("1", 1, "accepted"))).await;
    books.app.advance(Duration::from_hours(1));
    books.sim.lock_until(closed());

    // It would be changed in place, were its period still open.
    books.bring(&unpaid(order_of("1", 2, "accepted", 1000))).await;

    books.assert_documents(&[
        (Kind::Invoice, "SCF-1", Status::Authorised, 1250),
        (Kind::CreditNote, "SCF-1-C1", Status::Paid, 250),
    ]);
    assert_eq!(books.dated().0, ["2026-03-01", "2026-04-01"]);
    books.assert_comes_to("1", 1000, &[]);
}

#[tokio::test]
async fn a_payment_of_a_closed_period_is_not_removed_and_a_credit_note_stands_in() {
    let mut books = Books::with(&[("correction", "rewrite_payments")]).await;
    books.bring(&order("1", 1, "accepted")).await;
    books.app.advance(Duration::from_hours(1));
    books.sim.lock_until(closed());

    books.bring(&order_of("1", 2, "accepted", 1000)).await;

    let documents = books.documents();
    assert_eq!((documents.len(), documents[1].1.as_str()), (2, "SCF-1-C1"));
    books.assert_comes_to("1", 1000, &[(ONLINE, 1000)]);
}
