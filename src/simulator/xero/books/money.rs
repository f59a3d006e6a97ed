//! Payments of invoices, refunds of credit notes, and credit notes applied to invoices.

use chrono::{DateTime, NaiveDate, Utc};

use super::{Books, Desk, DocumentKind, Invalid, Status, id_for, read_date};
use crate::simulator::xero::{
    amount::{Cents, Fine},
    body::{AllocationBody, DocumentName, PaymentBody},
    organisation::AccountKind,
};

/// Of an invoice; or back to the customer, of a credit note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub id: String,
    pub kind: DocumentKind,
    pub document_id: String,
    pub account_code: String,
    pub date: NaiveDate,
    pub amount: Cents,
    pub reference: Option<String>,
    pub is_reconciled: bool,
    pub is_deleted: bool,
    pub updated_at: DateTime<Utc>,
}

impl Payment {
    pub fn is_live(&self) -> bool {
        !self.is_deleted
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    pub id: String,
    pub credit_note_id: String,
    pub invoice_id: String,
    pub amount: Cents,
    pub date: NaiveDate,
    pub is_live: bool,
}

/// The id of the account with this code.
pub(in crate::simulator::xero) fn account_id(code: &str) -> String {
    id_for("account", code)
}

impl Books {
    pub(in crate::simulator::xero) fn payment_place(&self, id: &str) -> Option<usize> {
        self.payments.iter().position(|payment| payment.id == id)
    }

    /// What is to be paid, by the names in a body.
    pub(in crate::simulator::xero) fn named(&self, kind: DocumentKind, name: &DocumentName) -> Option<usize> {
        let (id, number) = match kind {
            DocumentKind::Invoice => (&name.invoice_id, &name.invoice_number),
            DocumentKind::CreditNote => (&name.credit_note_id, &name.credit_note_number),
        };
        match (id, number) {
            (Some(id), _) => self.position_of(kind, id),
            (None, Some(number)) => {
                self.documents.iter().rposition(|document| document.kind == kind && document.number == *number)
            }
            (None, None) => None,
        }
    }

    pub(in crate::simulator::xero) fn pay(&mut self, sent: &PaymentBody, desk: Desk<'_>) -> Result<usize, Invalid> {
        let mut problems = Invalid::new();
        let subject = match (&sent.invoice, &sent.credit_note) {
            (Some(invoice), None) => Some((DocumentKind::Invoice, invoice)),
            (None, Some(credit_note)) => Some((DocumentKind::CreditNote, credit_note)),
            _ => {
                problems.push("A payment is of one invoice or of one credit note".to_owned());
                None
            }
        };
        let at = subject.and_then(|(kind, name)| {
            let at = self.named(kind, name);
            if at.is_none() {
                problems.push("The document of the payment could not be found".to_owned());
            }
            at
        });
        let code = self.paying_account(sent, &mut problems);
        let date = self.application_date(sent.date.as_deref(), &mut problems);
        let amount = positive("Payment amount", sent.amount, &mut problems);
        if let (Some(at), Some(amount)) = (at, amount) {
            self.check_open(at, amount, "Payment amount", &mut problems);
        }
        let (Some(at), Some(account_code), Some(date), Some(amount), true) =
            (at, code, date, amount, problems.is_empty())
        else {
            return Err(problems);
        };
        let payment = Payment {
            id: self.new_id("payment"),
            kind: self.documents[at].kind,
            document_id: self.documents[at].id.clone(),
            account_code,
            date,
            amount,
            reference: sent.reference.clone(),
            is_reconciled: false,
            is_deleted: false,
            updated_at: self.touch(desk.now),
        };
        self.payments.push(payment);
        self.settle(at, desk.now);
        Ok(self.payments.len() - 1)
    }

    /// Source: xero_accounting.yaml, `Account.EnablePaymentsToAccount`.
    fn paying_account(&self, sent: &PaymentBody, problems: &mut Invalid) -> Option<String> {
        let named = sent.account.as_ref().and_then(|name| match (&name.account_id, &name.code) {
            (Some(id), _) => self.organisation.accounts.iter().find(|account| account_id(&account.code) == *id),
            (None, Some(code)) => self.organisation.account(code),
            (None, None) => None,
        });
        let shown = sent.account.as_ref().and_then(|name| name.code.clone()).unwrap_or_default();
        match named {
            None => problems.push(format!("Account code '{shown}' could not be found")),
            Some(account) if account.is_archived => {
                problems.push(format!("Account code '{}' has been archived", account.code));
            }
            Some(account) if account.kind != AccountKind::Bank && !account.takes_payments => {
                problems.push(format!("Account code '{}' is not a valid account for payments", account.code));
            }
            Some(_) => {}
        }
        named.map(|account| account.code.clone())
    }

    fn application_date(&self, text: Option<&str>, problems: &mut Invalid) -> Option<NaiveDate> {
        let Some(text) = text else {
            problems.push("Date is required".to_owned());
            return None;
        };
        let date = read_date("Date", text, problems)?;
        if let Err(locked) = self.organisation.check_unlocked(date) {
            problems.push(locked);
        }
        Some(date)
    }

    /// The document can take this much.
    fn check_open(&self, at: usize, amount: Cents, what: &str, problems: &mut Invalid) {
        let document = &self.documents[at];
        match document.status {
            Status::Authorised => {
                let open = self.open(document);
                if amount > open {
                    problems.push(format!("{what} exceeds the amount outstanding on this document, {open}"));
                }
            }
            Status::Paid => {
                problems.push(format!("{what} exceeds the amount outstanding on this document: it is paid"));
            }
            Status::Draft | Status::Submitted | Status::Voided | Status::Deleted => {
                problems.push("Payments and credits can only be applied to approved documents".to_owned());
            }
        }
    }

    pub(in crate::simulator::xero) fn remove_payment(
        &mut self,
        at: usize,
        status: &str,
        desk: Desk<'_>,
    ) -> Result<(), Invalid> {
        let payment = &self.payments[at];
        if status != "DELETED" {
            return Err(vec!["The only status a payment can be given is DELETED".to_owned()]);
        }
        if payment.is_deleted {
            return Err(vec!["Payment not of valid status for modification: it is deleted".to_owned()]);
        }
        if payment.is_reconciled && !desk.rules.removes_reconciled_payments {
            return Err(vec!["Payment not of valid status for modification: it is reconciled".to_owned()]);
        }
        self.organisation.check_unlocked(payment.date).map_err(|locked| vec![locked])?;
        self.take_payment_back(at, desk.now);
        Ok(())
    }

    fn take_payment_back(&mut self, at: usize, now: DateTime<Utc>) {
        self.payments[at].is_deleted = true;
        self.payments[at].updated_at = self.touch(now);
        let Payment { kind, document_id, .. } = self.payments[at].clone();
        let document = self.position_of(kind, &document_id).expect("a payment is of a document, and none is removed");
        self.settle(document, now);
    }

    /// Applies a credit note to an invoice.
    pub(in crate::simulator::xero) fn allocate(
        &mut self,
        credit_note: usize,
        sent: &AllocationBody,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        let mut problems = Invalid::new();
        let invoice = sent.invoice.as_ref().and_then(|name| self.named(DocumentKind::Invoice, name));
        if invoice.is_none() {
            problems.push("The invoice of the allocation could not be found".to_owned());
        }
        let date = self.application_date(sent.date.as_deref(), &mut problems);
        let amount = positive("Allocated amount", sent.amount, &mut problems);
        if let (Some(invoice), Some(amount)) = (invoice, amount) {
            self.check_open(invoice, amount, "Allocated amount", &mut problems);
            self.check_open(credit_note, amount, "Allocated amount", &mut problems);
            let [invoice, credit_note] = [invoice, credit_note].map(|at| &self.documents[at]);
            if invoice.contact_id != credit_note.contact_id {
                problems.push("The invoice and the credit note are of different contacts".to_owned());
            }
            if invoice.currency != credit_note.currency {
                problems.push("The invoice and the credit note are in different currencies".to_owned());
            }
        }
        let (Some(invoice), Some(date), Some(amount), true) = (invoice, date, amount, problems.is_empty()) else {
            return Err(problems);
        };
        let allocation = Allocation {
            id: self.new_id("allocation"),
            credit_note_id: self.documents[credit_note].id.clone(),
            invoice_id: self.documents[invoice].id.clone(),
            amount,
            date,
            is_live: true,
        };
        self.allocations.push(allocation);
        self.settle(invoice, desk.now);
        self.settle(credit_note, desk.now);
        Ok(self.allocations.len() - 1)
    }

    /// None where the credit note has no such allocation, or not any more.
    pub(in crate::simulator::xero) fn allocation_place(&self, credit_note_id: &str, id: &str) -> Option<usize> {
        self.allocations.iter().position(|one| one.is_live && one.id == id && one.credit_note_id == credit_note_id)
    }

    pub(in crate::simulator::xero) fn undo_allocation(&mut self, at: usize, desk: Desk<'_>) -> Result<(), Invalid> {
        self.organisation.check_unlocked(self.allocations[at].date).map_err(|locked| vec![locked])?;
        self.allocations[at].is_live = false;
        let Allocation { credit_note_id, invoice_id, .. } = self.allocations[at].clone();
        for (kind, id) in [(DocumentKind::Invoice, invoice_id), (DocumentKind::CreditNote, credit_note_id)] {
            let document = self.position_of(kind, &id).expect("an allocation is of documents, and none is removed");
            self.settle(document, desk.now);
        }
        Ok(())
    }
}

/// What a person does in Xero.
impl Books {
    /// Matches a payment with the bank's statement. Returns whether there is such a live one.
    pub fn reconcile_by_hand(&mut self, reference: &str, now: DateTime<Utc>) -> bool {
        let Some(at) = self.live_payment(reference) else { return false };
        self.payments[at].is_reconciled = true;
        self.payments[at].updated_at = self.touch(now);
        true
    }

    /// Returns whether there was such a live one.
    pub fn remove_payment_by_hand(&mut self, reference: &str, now: DateTime<Utc>) -> bool {
        let Some(at) = self.live_payment(reference) else { return false };
        self.take_payment_back(at, now);
        true
    }

    /// Enters a payment of an invoice. Returns whether there is such an invoice.
    pub fn pay_by_hand(&mut self, number: &str, account_code: &str, amount: Cents, now: DateTime<Utc>) -> bool {
        let kind = DocumentKind::Invoice;
        let Some(at) = self.documents.iter().rposition(|one| one.kind == kind && one.number == number) else {
            return false;
        };
        let payment = Payment {
            id: self.new_id("payment"),
            kind,
            document_id: self.documents[at].id.clone(),
            account_code: account_code.to_owned(),
            date: self.today(now),
            amount,
            reference: None,
            is_reconciled: false,
            is_deleted: false,
            updated_at: self.touch(now),
        };
        self.payments.push(payment);
        self.settle(at, now);
        true
    }

    fn live_payment(&self, reference: &str) -> Option<usize> {
        self.payments.iter().position(|one| one.is_live() && one.reference.as_deref() == Some(reference))
    }
}

fn positive(what: &str, amount: Option<Fine>, problems: &mut Invalid) -> Option<Cents> {
    match amount.map(Fine::cents) {
        Some(Some(amount)) if amount > Cents::ZERO => return Some(amount),
        None => problems.push(format!("{what} is required")),
        Some(None) => problems.push(format!("{what} has more than two places")),
        Some(Some(_)) => problems.push(format!("{what} must be greater than zero")),
    }
    None
}
