//! What people do in Xero is seen, and never overwritten.

use super::*;

impl Books {
    /// A person raises the only line of an invoice.
    fn raises(&self, number: &str, by: i64) {
        let edited = self.sim.edit_invoice(number, |document| {
            document.lines[0].line_amount += Cents(by);
        });
        assert!(edited, "{number}");
    }
}

#[tokio::test]
async fn an_invoice_that_a_person_has_changed_is_left_as_it_is_and_told() {
    for is_paid in [false, true] {
        let mut books = Books::usual().await;
        let version = |n, total| {
            let order = order_of("1", n, "accepted", total);
            if is_paid { order } else { unpaid(order) }
        };
        books.bring(&version(1, 1250)).await;
        books.app.advance(Duration::from_hours(1));
        books.raises("SCF-1", 100);
        let (as_edited, writes) = (books.sim.by_hand(|all, _| all.documents().to_vec()), books.n_writes());

        books.bring(&version(2, 1000)).await;

        assert_eq!(books.sim.by_hand(|all, _| all.documents().to_vec()), as_edited);
        assert_eq!((books.n_writes(), books.notice("1").await.as_deref()), (writes, Some("remote_edited")));
        assert_eq!(
            (books.applied("1").await, books.alerts().await),
            (("applied".to_owned(), Some(2)), vec!["remote_edited".to_owned()])
        );
        books.assert_nothing_wrong();
    }
}

#[tokio::test]
async fn where_that_is_permitted_an_edited_invoice_is_corrected_by_a_credit_note() {
    let mut books = Books::with(&[("correct_edited", "true")]).await;
    books.bring(&unpaid(order("1", 1, "accepted"))).await;
    books.app.advance(Duration::from_hours(1));
    books.raises("SCF-1", 100);
    let as_edited = books.sim.by_hand(|all, _| all.invoice("SCF-1").unwrap().lines.clone());

    books.bring(&unpaid(order_of("1", 2, "accepted", 1000))).await;

    assert_eq!(books.sim.by_hand(|all, _| all.invoice("SCF-1").unwrap().lines.clone()), as_edited);
    let documents = books.documents();
    assert_eq!((documents.len(), documents[1].1.as_str(), documents[1].3), (2, "SCF-1-C1", 250));
    books.assert_nothing_wrong();
}

#[tokio::test]
async fn an_invoice_that_a_person_has_voided_is_not_made_anew() {
    let mut books = Books::usual().await;
    books.bring(&order("1", 1, "accepted")).await;
    books.app.advance(Duration::from_hours(1));
    assert!(books.sim.void_invoice("SCF-1"));
    let writes = books.n_writes();

    books.bring(&order_of("1", 2, "accepted", 1000)).await;
    assert_eq!((books.n_writes(), books.notice("1").await.as_deref()), (writes, Some("remote_edited")));

    // What is cancelled needs nothing more.
    books.bring(&order_of("1", 3, "cancelled", 1000)).await;
    assert_eq!((books.n_writes(), books.notice("1").await, books.alerts().await), (writes, None, vec![]));
    books.assert_comes_to("1", 0, &[]);
}

#[tokio::test]
async fn a_payment_that_a_person_entered_is_no_edit_and_is_not_paid_again() {
    let mut books = Books::usual().await;
    books.bring(&unpaid(order("1", 1, "accepted"))).await;
    books.app.advance(Duration::from_hours(1));
    books.sim.by_hand(|all, now| assert!(all.pay_by_hand("SCF-1", "090", Cents(1250), now)));

    books.bring(&unpaid(order_of("1", 2, "accepted", 1000))).await;

    books.assert_documents(&[
        (Kind::Invoice, "SCF-1", Status::Paid, 1250),
        (Kind::CreditNote, "SCF-1-C1", Status::Authorised, 250),
    ]);
    assert_eq!(books.notice("1").await.as_deref(), Some("payments_differ"), "the credit is for a person to give back");
    books.assert_comes_to("1", 1000, &[("090", 1250)]);
}
