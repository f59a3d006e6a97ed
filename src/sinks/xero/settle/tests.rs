use super::*;
use crate::sinks::xero::{
    config::Kind,
    receipt::{Payment, Role},
    testing::{CONTACT, day, line, settings},
};

fn document(kind: DocumentKind, number: &str, gross_minor: i64, applied_minor: i64) -> Document {
    let sign = if kind == DocumentKind::Invoice { 1 } else { -1 };
    Document {
        kind,
        role: Role::Whole,
        number: number.to_owned(),
        id: Some(format!("id of {number}")),
        version: 1,
        date: day("2025-10-09"),
        contact_id: CONTACT.to_owned(),
        status: if applied_minor == gross_minor { Standing::Paid } else { Standing::Authorised },
        lines: vec![line(Kind::Sales, "naan", sign * gross_minor)],
        tracking: Vec::new(),
        gross_minor,
        told_minor: None,
        applied_minor,
        updated_at: None,
        touched: false,
        edited: false,
        shared: None,
    }
}

fn invoice(gross: i64, applied: i64) -> Document {
    document(DocumentKind::Invoice, "SCF-1", gross, applied)
}

fn credit_note(gross: i64, applied: i64) -> Document {
    document(DocumentKind::CreditNote, "SCF-1-C1", gross, applied)
}

fn payment(tender: Tender, amount_minor: i64, on: &str) -> Payment {
    Payment {
        reference: format!("SCF-1-P-{amount_minor}"),
        id: Some("id".to_owned()),
        tender,
        account: "611".to_owned(),
        amount_minor,
        on: on.to_owned(),
        date: None,
        removed: false,
        reconciled: false,
    }
}

fn settled(documents: Vec<Document>, payments: Vec<Payment>, wanted: &[(Tender, i64)]) -> Settlement {
    let wanted: Vec<Wanted> = wanted.iter().map(|&(tender, amount_minor)| Wanted { tender, amount_minor }).collect();
    settle(&Held { documents, payments, ..Held::default() }, &wanted, &settings())
}

/// Tender, account, amount and document.
fn paid(settlement: &Settlement) -> Vec<(Tender, &str, i64, &str)> {
    settlement
        .payments
        .iter()
        .map(|one| (one.tender, one.account.as_str(), one.amount_minor, one.on.as_str()))
        .collect()
}

const ONLINE: Tender = Tender::OnlineScoffable;
const VOUCHER: Tender = Tender::VoucherScoffable;
const CASH: Tender = Tender::CashVendor;

#[test]
fn a_new_invoice_is_paid_by_each_tender_as_the_customer_paid() {
    let settlement = settled(vec![invoice(2329, 0)], vec![], &[(ONLINE, 1000), (CASH, 500), (ONLINE, 829)]);

    assert_eq!(
        paid(&settlement),
        [(ONLINE, "611", 1000, "SCF-1"), (ONLINE, "611", 829, "SCF-1"), (CASH, "612", 500, "SCF-1")]
    );
    assert!(settlement.left.is_empty() && settlement.due_left == 0);
}

#[test]
fn what_is_paid_already_is_not_paid_again() {
    let settlement = settled(vec![invoice(2329, 2329)], vec![payment(ONLINE, 2329, "SCF-1")], &[(ONLINE, 2329)]);

    assert_eq!(settlement, Settlement::default());
}

#[test]
fn refunds_come_out_of_credit_notes_largest_first_to_where_the_money_went() {
    let payments =
        vec![payment(VOUCHER, 500, "SCF-1"), Payment { account: "619".to_owned(), ..payment(ONLINE, 1829, "SCF-1") }];

    let settlement = settled(vec![invoice(2329, 2329), credit_note(2329, 0)], payments, &[]);

    assert_eq!(paid(&settlement), [(ONLINE, "619", 1829, "SCF-1-C1"), (VOUCHER, "611", 500, "SCF-1-C1")]);
    assert_eq!((settlement.credit_left, settlement.due_left), (0, 0));
}

#[test]
fn a_credit_note_goes_to_what_is_due_as_far_as_no_money_has_to_go_back() {
    // 400 of 530 were paid, and it is cancelled.
    let settlement = settled(vec![invoice(530, 400), credit_note(530, 0)], vec![payment(ONLINE, 400, "SCF-1")], &[]);

    assert_eq!(paid(&settlement), [(ONLINE, "611", 400, "SCF-1-C1")]);
    let allocated: Vec<_> = settlement.allocations.iter().map(|one| one.amount_minor).collect();
    assert_eq!((allocated, settlement.credit_left, settlement.due_left), (vec![130], 0, 0));
}

#[test]
fn a_replacement_is_paid_by_what_was_credited_and_the_rest_in_money() {
    let more = document(DocumentKind::Invoice, "SCF-1-S1", 300, 0);
    let documents = vec![invoice(290, 290), credit_note(290, 0), more];

    let settlement = settled(documents, vec![payment(ONLINE, 290, "SCF-1")], &[(ONLINE, 300)]);

    assert_eq!(paid(&settlement), [(ONLINE, "611", 10, "SCF-1-S1")]);
    let allocated: Vec<_> = settlement.allocations.iter().map(|one| (one.invoice.as_str(), one.amount_minor)).collect();
    assert_eq!((allocated, settlement.credit_left, settlement.due_left), (vec![("SCF-1-S1", 290)], 0, 0));
}

#[test]
fn what_no_document_takes_is_told_and_never_forced() {
    // Another tender than before, and nothing to refund it from.
    let settlement = settled(vec![invoice(500, 500)], vec![payment(ONLINE, 500, "SCF-1")], &[(CASH, 500)]);

    assert_eq!(paid(&settlement), []);
    assert_eq!(settlement.left, [(ONLINE, -500), (CASH, 500)].into());
}

#[test]
fn tenders_of_one_account_make_up_for_each_other() {
    let more = document(DocumentKind::Invoice, "SCF-1-S1", 150, 0);
    let was_online = || vec![payment(ONLINE, 3300, "SCF-1")];

    // Online of 3300 became a voucher, which the platform holds too, and cash: the new invoice takes cash, and nothing has
    // the rest to give back.
    let split = settled(vec![invoice(3300, 3300), more], was_online(), &[(VOUCHER, 1150), (CASH, 2300)]);
    let renamed = settled(vec![invoice(3300, 3300)], was_online(), &[(VOUCHER, 3300)]);

    assert_eq!(paid(&split), [(CASH, "612", 150, "SCF-1-S1")]);
    assert_eq!(split.left, [(ONLINE, -2150), (CASH, 2150)].into());
    assert_eq!(renamed, Settlement::default());
}

#[test]
fn nothing_is_paid_on_a_draft() {
    let draft = Document { status: Standing::Draft, ..invoice(500, 0) };

    assert_eq!(paid(&settled(vec![draft], vec![], &[(ONLINE, 500)])), []);
}

#[test]
fn payments_that_were_removed_are_made_again() {
    let removed = Payment { removed: true, ..payment(ONLINE, 500, "SCF-1") };

    assert_eq!(paid(&settled(vec![invoice(450, 0)], vec![removed], &[(ONLINE, 450)])), [(ONLINE, "611", 450, "SCF-1")]);
}
