//! With `correction = "rewrite_payments"`: which of our payments are removed, to be made anew as the order has it by now.
//!
//! Only where that saves a document, or moves money to the tender that it belongs to and nothing else would. Never a payment
//! that a bank statement confirms, one of a locked period, or one on a document that a person has edited or that is shared with
//! other orders; what others paid is nothing to us. As few as will do.
//!
//! Source: Xero Accounting API description 16.1.0, `Payment.Status`: a payment is removed by `DELETED`. Assumed: one that is
//! reconciled is not to be removed, which is not documented; `IsReconciled` is read right before.

use std::cmp::Reverse;

use chrono::NaiveDate;

use super::{KEYED, Planner, hold, is_editable};
use crate::{
    domain::delivery::Plan,
    sinks::xero::{
        call::{Call, Removal, RemovePayments},
        config::{self, Tender},
        correct::{Correction, Move, without_payments},
        fit,
        plan::HOLD,
        receipt::{Document, DocumentKind, Line, Payment, Standing},
        settle::{Settlement, settle},
    },
};

impl Planner<'_> {
    pub(super) fn rewrites(&self) -> bool {
        self.books.settings.correction == config::Correction::RewritePayments
    }

    /// The step that removes our payments where a document can be changed in place without them, and new documents were
    /// needed otherwise.
    pub(super) fn payments_to_rewrite(&self, correction: &Correction, locked_until: Option<NaiveDate>) -> Option<Plan> {
        if !self.rewrites() || self.held.documents.is_empty() {
            return None;
        }
        let unpaid: Vec<bool> =
            self.held.documents.iter().map(|document| self.is_editable_unpaid(document, locked_until)).collect();
        let beside: Vec<&Line> = self.held.journal_lines().collect();
        let without = without_payments(&self.held.documents, &beside, &unpaid, &self.target.lines, correction)?;
        let changed = |number: &str| {
            without.moves.iter().any(|one| match one {
                Move::Update { at, .. } | Move::Void { at } => self.held.documents[*at].number == number,
                Move::Post { .. } => false,
            })
        };
        let payments = self.held.payments.iter().filter(|payment| !payment.removed && changed(&payment.on));
        self.removal(&payments.collect::<Vec<_>>())
    }

    /// Whether it could be changed if our payments were gone.
    fn is_editable_unpaid(&self, document: &Document, locked_until: Option<NaiveDate>) -> bool {
        let own = || self.held.payments.iter().filter(|one| !one.removed && one.on == document.number);
        let ours: i64 = own().map(|payment| payment.amount_minor).sum();
        let is_ours_alone =
            ours == document.applied_minor && own().all(|one| is_removable(one, document, locked_until));
        let status = if document.status == Standing::Paid { Standing::Authorised } else { document.status };
        let unpaid = Document { applied_minor: 0, status, ..document.clone() };
        (is_ours_alone || document.applied_minor == 0)
            && is_editable(&unpaid, locked_until)
            && !self.is_immutable(document)
    }

    /// The step that removes payments of tenders of which too much is posted, where no credit note gives it back: what they
    /// paid is then open for the tenders that lack as much.
    pub(super) fn tenders_to_rewrite(&self, settlement: &Settlement, locked_until: Option<NaiveDate>) -> Option<Plan> {
        if !self.rewrites() {
            return None;
        }
        let too_much = settlement.left.iter().filter(|(_, minor)| **minor < 0);
        let payments: Vec<&Payment> =
            too_much.flat_map(|(tender, minor)| self.that_cover(*tender, -minor, locked_until)).collect();
        let mut without = self.held.clone();
        for payment in &payments {
            without.remove(&payment.reference);
        }
        let after = settle(&without, &self.target.payments, self.books.settings);
        let off = |settlement: &Settlement| settlement.left.values().map(|minor| minor.abs()).sum::<i64>();
        if payments.is_empty() || off(&after) >= off(settlement) {
            return None;
        }
        // Nothing is removed that could not be paid again.
        if let Some(misfit) = fit::payment_misfit(&after.payments, self.books.facts) {
            return Some(hold(HOLD, misfit.subject, misfit.detail));
        }
        if !self.is_read() {
            return Some(self.read());
        }
        self.removal(&payments)
    }

    /// The fewest payments of a tender that come to so much: one that is just that, else the largest.
    fn that_cover(&self, tender: Tender, minor: i64, locked_until: Option<NaiveDate>) -> Vec<&Payment> {
        let is_it = |payment: &&Payment| {
            let document = self.held.document(&payment.on).filter(|one| one.stands() && !one.edited);
            payment.tender == tender
                && document.is_some_and(|document| {
                    document.kind == DocumentKind::Invoice && is_removable(payment, document, locked_until)
                })
        };
        let mut payments: Vec<&Payment> = self.held.payments.iter().filter(is_it).collect();
        if let Some(&just_that) = payments.iter().find(|payment| payment.amount_minor == minor) {
            return vec![just_that];
        }
        payments.sort_by_key(|payment| Reverse(payment.amount_minor));
        let mut covered = 0;
        payments.retain(|payment| {
            let is_needed = covered < minor;
            covered += payment.amount_minor;
            is_needed
        });
        payments
    }

    /// None: there is nothing to remove.
    fn removal(&self, payments: &[&Payment]) -> Option<Plan> {
        let mut held = self.held.clone();
        let mut removals = Vec::new();
        for payment in payments {
            let Some(id) = &payment.id else { continue };
            removals.push(Removal { id: id.clone(), reference: payment.reference.clone() });
            held.remove(&payment.reference);
        }
        let call = Call::RemovePayments(RemovePayments { payments: removals });
        (!payments.is_empty()).then(|| self.step(&call, KEYED, "remove", held))
    }
}

/// Whether it is ours to remove.
fn is_removable(payment: &Payment, document: &Document, locked_until: Option<NaiveDate>) -> bool {
    let date = payment.date.unwrap_or(document.date);
    let is_ours_alone = payment.id.is_some() && document.shared.is_none();
    !payment.removed && is_ours_alone && !payment.reconciled && locked_until.is_none_or(|lock| date > lock)
}
