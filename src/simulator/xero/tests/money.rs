//! Payments, refunds and allocations.

use super::*;

#[tokio::test]
async fn an_invoice_is_paid_when_nothing_is_due_and_then_nothing_about_it_changes() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(23.29))])).await;
    let path = format!("Invoices/{}", invoice["InvoiceID"].as_str().expect("an id"));

    let first = desk.paid(&invoice, "611", json!(18.29), "SCF-1-P1-1").await;
    let too_much = desk.paid(&invoice, "611", json!(5.01), "SCF-1-P2-1").await;
    let half = desk.get(&path).await["Invoices"][0].clone();
    let changed_half_paid = desk.post(&path, json!({"Invoices": [{"Status": "VOIDED"}]})).await;
    desk.paid(&invoice, "612", json!(5), "SCF-1-P2-1").await;
    let paid = desk.get(&path).await["Invoices"][0].clone();
    let changed_paid = desk.post(&path, json!({"Invoices": [{"Status": "AUTHORISED"}]})).await;
    let after_all = desk.paid(&invoice, "611", json!(0.01), "SCF-1-P3-1").await;

    assert_eq!((&first["Status"], &first["PaymentType"]), (&json!("AUTHORISED"), &json!("ACCRECPAYMENT")));
    assert!(messages(&too_much).contains("exceeds the amount outstanding on this document, 5.00"), "{too_much}");
    assert_eq!((&half["Status"], &half["AmountDue"]), (&json!("AUTHORISED"), &json!(5.0)));
    assert_eq!(
        (&paid["Status"], &paid["AmountDue"], &paid["AmountPaid"]),
        (&json!("PAID"), &json!(0.0), &json!(23.29))
    );
    assert_eq!(paid["Payments"][1]["Reference"], "SCF-1-P2-1");
    for refused in [refusal(changed_half_paid), refusal(changed_paid)] {
        assert!(refused.contains("not of valid status for modification"), "{refused}");
    }
    assert!(messages(&after_all).contains("exceeds"), "{after_all}");
    let expected = [("611".to_owned(), Cents(1829)), ("612".to_owned(), Cents(500))];
    assert_eq!(desk.ledger().payments_by_account("1"), expected.into());
}

#[tokio::test]
async fn a_payment_goes_to_a_bank_or_an_account_that_takes_payments() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    let mut draft = desk.invoice("SCF-2", json!([line(1, json!(5))]));
    draft["Status"] = json!("DRAFT");
    let draft = desk.put("Invoices", json!([draft])).await[0].clone();

    for (document, account, amount, expected) in [
        (&invoice, "200", json!(1), "not a valid account for payments"),
        (&invoice, "999", json!(1), "could not be found"),
        (&invoice, "611", json!(0), "greater than zero"),
        (&invoice, "611", json!(1.005), "more than two places"),
        (&draft, "611", json!(1), "approved documents"),
        (&Value::Null, "611", json!(1), "could not be found"),
    ] {
        let refused = desk.paid(document, account, amount, "SCF-1-P1-1").await;
        assert!(messages(&refused).contains(expected), "{expected}: {refused}");
    }
    let both = json!([{"Invoice": {"InvoiceID": invoice["InvoiceID"]}, "CreditNote": {}, "Account": {"Code": "611"},
        "Date": "2025-10-09", "Amount": 1, "Reference": "SCF-1-P1-1"}]);
    assert!(messages(&desk.put("Payments", both).await[0]).contains("one invoice or of one credit note"));
    assert_eq!(desk.paid(&invoice, "090", json!(1), "SCF-1-P1-1").await["Status"], "AUTHORISED");
}

#[tokio::test]
async fn a_removed_payment_reopens_the_invoice_and_a_reconciled_one_stays() {
    let desk = start().await;
    let invoice = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    let payment = desk.paid(&invoice, "611", json!(5), "SCF-1-P1-1").await;
    let path = format!("Payments/{}", payment["PaymentID"].as_str().expect("an id"));
    let now = desk.clock.wall();

    assert!(desk.by_hand(|books, _| books.reconcile_by_hand("SCF-1-P1-1", now)));
    assert_eq!(desk.get(&path).await["Payments"][0]["IsReconciled"], json!(true));
    assert!(refusal(desk.post(&path, json!({"Status": "DELETED"})).await).contains("reconciled"));
    desk.change_rules(|rules| rules.removes_reconciled_payments = true);
    assert!(refusal(desk.post(&path, json!({"Status": "VOIDED"})).await).contains("DELETED"));
    let (status, removed) = desk.post(&path, json!({"Status": "DELETED"})).await;
    assert!(refusal(desk.post(&path, json!({"Status": "DELETED"})).await).contains("it is deleted"));

    assert_eq!((status, &removed["Payments"][0]["Status"]), (200, &json!("DELETED")));
    let invoice = desk.get(&format!("Invoices/{}", invoice["InvoiceID"].as_str().expect("an id"))).await;
    assert_eq!(invoice["Invoices"][0]["Status"], "AUTHORISED");
    assert_eq!(desk.ledger().payments_by_account("1"), [].into());
}

#[tokio::test]
async fn a_credit_note_is_applied_to_what_is_due_and_refunded_where_nothing_is() {
    let desk = start().await;
    let open = desk.invoiced("SCF-1", json!([line(1, json!(5))])).await;
    let paid = desk.invoiced("SCF-2", json!([line(1, json!(5))])).await;
    desk.paid(&paid, "611", json!(5), "SCF-2-P1-1").await;
    let note = desk.credited("SCF-1-C1", json!([line(1, json!(2))])).await;
    let other = desk.credited("SCF-2-C1", json!([line(1, json!(3))])).await;
    let allocate = async |note: &Value, invoice: &Value, amount: Value| {
        let path =
            format!("CreditNotes/{}/Allocations?summarizeErrors=false", note["CreditNoteID"].as_str().expect("an id"));
        let all = json!([{"Invoice": {"InvoiceID": invoice["InvoiceID"]}, "Amount": amount, "Date": "2025-10-09"}]);
        ask(desk.write("PUT", &path, &json!({"Allocations": all}))).await.1["Allocations"][0].clone()
    };

    let applied = allocate(&note, &open, json!(2)).await;
    let to_a_paid_one = allocate(&other, &paid, json!(3)).await;
    let too_much = allocate(&other, &open, json!(3.01)).await;
    let refund = desk.refunded(&other, "611", json!(3), "SCF-2-P1-2").await;
    let read =
        desk.get(&format!("Invoices/{}", open["InvoiceID"].as_str().expect("an id"))).await["Invoices"][0].clone();

    assert!(messages(&to_a_paid_one).contains("it is paid"), "{to_a_paid_one}");
    assert!(messages(&too_much).contains("exceeds"), "{too_much}");
    assert_eq!(refund["PaymentType"], "ARCREDITPAYMENT");
    assert_eq!((&read["AmountCredited"], &read["AmountDue"]), (&json!(2.0), &json!(3.0)));
    assert_eq!(read["CreditNotes"][0]["CreditNoteNumber"], "SCF-1-C1");
    assert_eq!(["1", "2"].map(|order| desk.ledger().revenue(order)), [Cents(300), Cents(200)]);
    assert_eq!(desk.ledger().payments_by_account("2"), [("611".to_owned(), Cents(200))].into());

    let path = format!(
        "CreditNotes/{}/Allocations/{}",
        note["CreditNoteID"].as_str().expect("an id"),
        applied["AllocationID"].as_str().expect("an id")
    );
    let (status, undone) = ask(desk.request("DELETE", &path)).await;
    let (again, _) = ask(desk.request("DELETE", &path)).await;

    assert_eq!((status, &undone["IsDeleted"], again), (200, &json!(true), 404));
    assert_eq!(desk.ledger().books().credit_note("SCF-1-C1").map(|note| note.status), Some(Status::Authorised));
}
