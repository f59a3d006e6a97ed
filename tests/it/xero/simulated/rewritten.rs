//! `correction = "rewrite_payments"`: no document but the invoice, and never a payment that a bank statement confirms.

use super::*;

const LAMB: (&str, i64) = ("Lamb Bhuna", 1095);
const NAAN: (&str, i64) = ("Garlic Naan", 290);

async fn rewriting() -> Books {
    Books::with(&[("correction", "rewrite_payments")]).await
}

impl Books {
    /// Amounts on live payments, and of those that were removed.
    fn payments(&self) -> (Vec<i64>, Vec<i64>) {
        self.sim.by_hand(|books, _| {
            let (live, removed): (Vec<_>, Vec<_>) = books.payments().iter().partition(|payment| payment.is_live());
            let amounts =
                |all: Vec<&scoffable_sync::simulator::xero::Payment>| all.iter().map(|one| one.amount.0).collect();
            (amounts(live), amounts(removed))
        })
    }

    fn reconciles(&self, reference: &str) {
        self.sim.by_hand(|books, now| assert!(books.reconcile_by_hand(reference, now), "{reference}"));
    }
}

#[tokio::test]
async fn a_paid_order_is_changed_in_place_and_paid_again() {
    let mut books = rewriting().await;
    books.bring(&order_with("1", 1, &[LAMB, NAAN])).await;

    books.bring(&order_with("1", 2, &[LAMB])).await;

    books.assert_documents(&[(Kind::Invoice, "SCF-1", Status::Paid, 1095)]);
    assert_eq!(books.payments(), (vec![1095], vec![1385]));
    books.assert_comes_to("1", 1095, &[(ONLINE, 1095)]);
}

#[tokio::test]
async fn a_paid_order_that_is_cancelled_is_voided_and_invoiced_anew_when_it_is_back() {
    let mut books = rewriting().await;
    books.bring(&order_with("1", 1, &[LAMB])).await;

    let mut cancelled = order_with("1", 2, &[LAMB]);
    cancelled["status"] = "cancelled".into();
    books.bring(&cancelled).await;
    books.assert_documents(&[(Kind::Invoice, "SCF-1", Status::Voided, 1095)]);
    books.assert_comes_to("1", 0, &[]);
    books.bring(&order_with("1", 3, &[LAMB])).await;

    books.assert_documents(&[
        (Kind::Invoice, "SCF-1", Status::Voided, 1095),
        (Kind::Invoice, "SCF-1-R2", Status::Paid, 1095),
    ]);
    books.assert_comes_to("1", 1095, &[(ONLINE, 1095)]);
}

/// Xero does not tell with a document which of its payments are reconciled: what a removal had met was forgotten with the next
/// reading, and the same payment was to be removed for ever.
#[tokio::test]
async fn a_reconciled_payment_stays_and_the_order_is_corrected_by_a_credit_note_at_once() {
    let mut books = rewriting().await;
    books
        .bring(&paid_in(order_with("1", 1, &[LAMB, NAAN]), &[("online", "scoffable", 1000), ("cash", "vendor", 385)]))
        .await;
    books.reconciles("SCF-1-P1-1");

    books.bring(&paid_in(order_with("1", 2, &[LAMB]), &[("online", "scoffable", 1000), ("cash", "vendor", 95)])).await;

    books.assert_documents(&[
        (Kind::Invoice, "SCF-1", Status::Paid, 1385),
        (Kind::CreditNote, "SCF-1-C1", Status::Paid, 290),
    ]);
    assert_eq!(books.payments().1, [0_i64; 0], "the other one is not removed for nothing");
    books.assert_comes_to("1", 1095, &[(ONLINE, 1000), (CASH, 95)]);
}

#[tokio::test]
async fn another_tender_for_the_same_lines_moves_the_money_and_no_document() {
    let mut books = rewriting().await;
    books
        .bring(&paid_in(order_with("1", 1, &[LAMB]), &[("online", "scoffable", 1000), ("voucher", "scoffable", 95)]))
        .await;

    // The voucher was not honoured: the rest was paid at the door.
    books.bring(&paid_in(order_with("1", 2, &[LAMB]), &[("online", "scoffable", 1000), ("cash", "vendor", 95)])).await;

    books.assert_documents(&[(Kind::Invoice, "SCF-1", Status::Paid, 1095)]);
    assert_eq!(books.payments(), (vec![1000, 95], vec![95]), "what is right is left alone");
    assert_eq!((books.notice("1").await, books.alerts().await), (None, vec![]));
    books.assert_comes_to("1", 1095, &[(ONLINE, 1000), (CASH, 95)]);
}

#[tokio::test]
async fn a_reconciled_payment_of_another_tender_stays_and_is_told() {
    let mut books = rewriting().await;
    books.bring(&order_with("1", 1, &[LAMB])).await;
    books.reconciles("SCF-1-P1-1");

    books.bring(&paid_in(order_with("1", 2, &[LAMB]), &[("cash", "vendor", 1095)])).await;

    assert_eq!((books.notice("1").await.as_deref(), books.payments().1.len()), (Some("payments_differ"), 0));
    books.assert_comes_to("1", 1095, &[(ONLINE, 1095)]);
}

#[tokio::test]
async fn a_lost_answer_to_a_removal_neither_removes_nor_pays_twice() {
    let mut books = rewriting().await;
    books.bring(&order_with("1", 1, &[LAMB])).await;
    let remove =
        scoffable_sync::simulator::xero::Operation::Update(scoffable_sync::simulator::xero::Resource::Payments);
    books.sim.answer_next_to(remove, [cut_after()]);

    books.bring(&paid_in(order_with("1", 2, &[LAMB]), &[("cash", "vendor", 1095)])).await;

    assert_eq!(books.payments(), (vec![1095], vec![1095]));
    books.assert_comes_to("1", 1095, &[(CASH, 1095)]);
}
