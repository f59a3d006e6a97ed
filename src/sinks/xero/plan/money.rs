//! Steps about money, and what is told of it once none is left.

use chrono::NaiveDate;

use super::{HOLD, KEYED, NOTHING_TO_POST, Notice, Planner, hold, on, open_day, unknown_id};
use crate::{
    domain::{
        delivery::Plan,
        money::{Currency, Money},
    },
    sinks::xero::{
        body,
        call::{self, Allocate, AllocateTo, Call, Pay},
        config::{AccountRef, DocumentStatus},
        fit,
        receipt::{Allocation, Document, Payment, Standing},
        settle::{Paid, Settlement, settle},
        target::Remark,
    },
};

impl Planner<'_> {
    pub(super) fn money(self, locked_until: Option<NaiveDate>) -> Plan {
        if self.posts_nothing() {
            return self.settled(Some((NOTHING_TO_POST, None)));
        }
        // Perhaps a person has paid it meanwhile, or used a credit.
        if !self.held.refusals.is_empty() && self.held.own().next().is_some() && !self.is_read() {
            return self.read();
        }
        let settlement = settle(&self.held, &self.target.payments, self.books.settings);
        let date = open_day(self.dated, locked_until);
        if let Some(first) = settlement.allocations.first() {
            let note = first.credit_note.clone();
            return self.allocate(&settlement, &note, date);
        }
        if !settlement.payments.is_empty() {
            return self.pay(&settlement.payments, date);
        }
        if let Some(plan) = self.tenders_to_rewrite(&settlement, locked_until) {
            return plan;
        }
        let notice = self.left_over(&settlement);
        self.settled(notice)
    }

    fn allocate(self, settlement: &Settlement, note: &str, date: NaiveDate) -> Plan {
        let mut held = self.held.clone();
        let Some(credit_note) = held.document(note).and_then(on) else { return unknown_id(note) };
        let mut invoices = Vec::new();
        for one in settlement.allocations.iter().filter(|one| one.credit_note == note) {
            let Some(invoice) = held.document(&one.invoice).and_then(on) else { return unknown_id(&one.invoice) };
            invoices.push(AllocateTo { invoice, amount_minor: one.amount_minor });
            for document in
                held.documents.iter_mut().filter(|document| [note, &one.invoice].contains(&&*document.number))
            {
                apply(document, one.amount_minor);
            }
            held.allocations.push(Allocation {
                credit_note: note.to_owned(),
                invoice: one.invoice.clone(),
                amount_minor: one.amount_minor,
            });
        }
        let currency = self.target.currency;
        let to: Vec<(&str, Money)> =
            invoices.iter().map(|to| (to.invoice.id.as_str(), Money::new(to.amount_minor, currency))).collect();
        let body = body::allocations(&to, date);
        self.step(&Call::Allocate(Allocate { credit_note, currency, invoices, body }), KEYED, "allocate", held)
    }

    fn pay(self, payments: &[Paid], date: NaiveDate) -> Plan {
        if let Some(misfit) = fit::payment_misfit(payments, self.books.facts) {
            return hold(HOLD, misfit.subject, misfit.detail);
        }
        let mut held = self.held.clone();
        held.rounds += 1;
        let base = format!("{}{}", self.books.settings.number_prefix, self.view.key.order.order_id);
        let currency = self.target.currency;
        let mut all = Vec::new();
        for (n, paid) in (1..).zip(payments) {
            let Some(document) = held.documents.iter_mut().find(|document| document.number == paid.on) else {
                continue;
            };
            let Some(on) = on(document) else { return unknown_id(&paid.on) };
            apply(document, paid.amount_minor);
            let reference = format!("{base}-P{n}-{}", held.rounds);
            let amount = Money::new(paid.amount_minor, currency);
            let body = body::payment((on.kind, &on.id), AccountRef(&paid.account), date, amount, &reference);
            held.payments.push(Payment {
                reference: reference.clone(),
                id: None,
                tender: paid.tender,
                account: paid.account.clone(),
                amount_minor: paid.amount_minor,
                on: paid.on.clone(),
                date: Some(date),
                removed: false,
                reconciled: false,
            });
            all.push(Pay { reference, on, amount_minor: paid.amount_minor, body });
        }
        self.step(&Call::Payments(call::Payments { currency, payments: all }), KEYED, "payments", held)
    }

    /// What a person should know of the money; the weightiest alone is the notice.
    fn left_over(&self, settlement: &Settlement) -> Option<Notice> {
        let currency = self.target.currency;
        let shown = |minor: i64| Money::new(minor, currency).to_string();
        if self.books.settings.document_status == DocumentStatus::Authorised
            && (!settlement.left.is_empty() || settlement.credit_left != 0)
        {
            let of: Vec<String> = settlement
                .left
                .iter()
                .map(|(tender, minor)| format!("{} {}", tender.as_str(), shown(*minor)))
                .collect();
            let detail = format!(
                "what was paid cannot be brought to what the customer paid: missing or too much: {}; credit that is left: \
                 {}; settle it at Xero by hand{}",
                if of.is_empty() { "nothing".to_owned() } else { of.join(", ") },
                shown(settlement.credit_left),
                if self.rewrites() { "" } else { ", or set `correction = \"rewrite_payments\"` and replay it" }
            );
            return Some(("payments_differ", Some(detail)));
        }
        remarked(&self.target.remarks, currency).or((settlement.due_left > 0).then_some(PARTLY_UNPAID))
    }
}

pub const PARTLY_UNPAID: Notice = ("partly_unpaid", None);

/// The weightiest remark alone is the notice.
pub fn remarked(remarks: &[Remark], currency: Currency) -> Option<Notice> {
    let shown = |minor: i64| Money::new(minor, currency).to_string();
    remarks.first().map(|remark| match remark {
        Remark::Unexplained(minor) => (
            "unexplained",
            Some(format!("its lines miss its total by {}, which is posted on `accounts.difference`", shown(*minor))),
        ),
        Remark::PaymentsCapped(minor) => (
            "payments_capped",
            Some(format!("{} more was paid than it comes to: payments are cut back to it", shown(*minor))),
        ),
        Remark::UnknownTender(pair) => (
            "unknown_tender",
            Some(format!(
                "{pair} is a tender that is not known, and was paid to its holder's account: set payments.other_scoffable \
                 or payments.other_vendor if it belongs elsewhere"
            )),
        ),
        Remark::Goodwill(minor) => ("goodwill", Some(format!("the platform pays {} of it", shown(*minor)))),
        Remark::UnknownItemType => ("unknown_item_type", None),
    })
}

fn apply(document: &mut Document, minor: i64) {
    document.applied_minor += minor;
    document.touched = true;
    if document.applied_minor == document.gross_minor {
        document.status = Standing::Paid;
    }
}
