//! Steps that make documents, change them, complete them, or take them back.

use sha2::{Digest, Sha256};

use super::Planner;
use crate::{
    domain::delivery::{Plan, Repeat},
    sinks::unleashed::{
        body::{self, Around},
        call::{Call, Change, DeleteLines, Exact, Post, PostCredit, Update},
        config::Complete,
        guid,
        receipt::{Document, DocumentKind, Line, Role, Standing},
    },
};

/// Assumed: how long an order number may be is not documented; the contract of this sink keeps to this.
const LONGEST_NUMBER: usize = 20;
const PREFIX: &str = "SCF-";
/// Digits that stand in a number for an order's id that is too long for it.
const DIGITS_OF_A_DIGEST: usize = 12;

impl Planner<'_> {
    pub(super) fn post(self, kind: DocumentKind, role: Role, lines: Vec<Line>, customer_id: String) -> Plan {
        let is_like = |one: &&Document| one.kind == kind && (kind == DocumentKind::Credit || one.role == role);
        let n = self.held.documents.iter().filter(is_like).count() as u32 + 1;
        let order_id = self.view.key.order.order_id.as_str();
        let number = number(order_id, kind, role, n);
        let is_placed = kind == DocumentKind::Order && self.stock.settings.complete == Complete::Never;
        let gross: i64 = lines.iter().map(|line| line.gross_minor).sum();
        let today = self.view.now.date_naive();
        let mut document = Document {
            kind,
            role,
            n,
            number,
            guid: String::new(),
            version: self.view.version.0,
            date: self.target.date,
            customer_id,
            warehouse: self.warehouse.clone(),
            tax: self.stock.settings.tax.clone(),
            status: if is_placed { Standing::Placed } else { Standing::Parked },
            lines,
            gross_minor: 0,
            told_minor: None,
            since: (kind == DocumentKind::Credit).then(|| today.pred_opt().unwrap_or(today)),
            made_at: None,
            modified_at: None,
            checked: false,
            updated: false,
            edited: false,
            deleted_there: false,
            left_over: Vec::new(),
            told_number: None,
        };
        document.guid = guid::of_document(order_id, document.guid_kind(), n);
        document.gross_minor = document.sign() * gross;
        if let (DocumentKind::Credit, Some(first)) = (kind, self.held.documents.first()) {
            // What goes has the tax and the place that it came with.
            document.tax = first.tax.clone();
            document.warehouse.clone_from(&first.warehouse);
        }
        let on = self.on(&document);
        let body = self.written(&document);
        let call = match document.since {
            Some(since) => Call::Credit(PostCredit { on, since, body }),
            None => Call::Order(Post { on, body }),
        };
        let mut held = self.held.clone();
        held.documents.push(document);
        // Neither is safe to repeat: what a second one does is not documented.
        self.step(&call, Repeat::Never, call.name(), held)
    }

    pub(super) fn update(self, at: usize, lines: Vec<Line>) -> Plan {
        let before = self.held.documents[at].clone();
        let mut held = self.held.clone();
        let document = &mut held.documents[at];
        document.gross_minor = lines.iter().map(|line| line.gross_minor).sum();
        document.lines = lines;
        document.version = self.view.version.0;
        document.told_minor = None;
        document.updated = true;
        now_changed(document);
        let call = Call::Update(Update { on: self.on(document), body: self.written(document), before });
        self.step(&call, Repeat::Never, "update", held)
    }

    pub(super) fn delete(self, at: usize) -> Plan {
        let before = self.held.documents[at].clone();
        let mut held = self.held.clone();
        let document = &mut held.documents[at];
        document.status = Standing::Deleted;
        document.version = self.view.version.0;
        let call = Call::Delete(Change { on: self.on(document), before });
        self.step(&call, Repeat::Never, "delete", held)
    }

    pub(super) fn delete_lines(self, at: usize) -> Plan {
        let mut held = self.held.clone();
        let document = &mut held.documents[at];
        let lines = std::mem::take(&mut document.left_over);
        now_changed(document);
        let call = Call::DeleteLines(DeleteLines { on: self.on(document), lines });
        self.step(&call, Repeat::Never, "delete_lines", held)
    }

    pub(super) fn complete(self, at: usize) -> Plan {
        let before = self.held.documents[at].clone();
        let mut held = self.held.clone();
        let document = &mut held.documents[at];
        document.status = Standing::Completed;
        now_changed(document);
        let change = Change { on: self.on(document), before };
        let call = match document.kind {
            DocumentKind::Order => Call::Complete(change),
            DocumentKind::Credit => Call::CompleteCredit(change),
        };
        self.step(&call, Repeat::Never, call.name(), held)
    }

    fn written(&self, document: &Document) -> Exact {
        let around = Around {
            order_id: self.view.key.order.order_id.as_str(),
            currency: self.target.currency,
            comments: &self.target.comments,
        };
        match document.kind {
            DocumentKind::Order => body::order(document, around),
            DocumentKind::Credit => body::credit(document, around),
        }
    }
}

/// When it was changed last is told anew, and how that came out has to be read.
fn now_changed(document: &mut Document) {
    document.checked = false;
    document.modified_at = None;
}

/// An order's number has to be short. The id that does not fit in it stands whole in its source id and its reference; a credit
/// note has our number for its own reference, which may be long.
fn number(order_id: &str, kind: DocumentKind, role: Role, n: u32) -> String {
    let suffix = match (kind, role) {
        (DocumentKind::Order, Role::Whole) if n == 1 => String::new(),
        (DocumentKind::Order, Role::Whole) => format!("-R{n}"),
        (DocumentKind::Order, Role::Part) => format!("-S{n}"),
        (DocumentKind::Credit, _) => format!("-C{n}"),
    };
    let whole = format!("{PREFIX}{order_id}{suffix}");
    if kind == DocumentKind::Credit || whole.chars().count() <= LONGEST_NUMBER {
        return whole;
    }
    let digest = hex::encode(Sha256::digest(order_id));
    format!("{PREFIX}{}{suffix}", &digest[..DIGITS_OF_A_DIGEST])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_the_order_and_is_never_too_long() {
        let of = |order_id: &str, role, n| number(order_id, DocumentKind::Order, role, n);
        let long = "so-0b1c2d3e-000017";

        assert_eq!(of("812345", Role::Whole, 1), "SCF-812345");
        assert_eq!(of("812345", Role::Whole, 2), "SCF-812345-R2");
        assert_eq!(of("812345", Role::Part, 1), "SCF-812345-S1");
        assert_eq!(number(long, DocumentKind::Credit, Role::Part, 1), "SCF-so-0b1c2d3e-000017-C1");
        for (role, n) in [(Role::Whole, 1), (Role::Whole, 2), (Role::Part, 1), (Role::Part, 99)] {
            assert!(of(long, role, n).chars().count() <= LONGEST_NUMBER, "{}", of(long, role, n));
        }
        assert_ne!(of(long, Role::Whole, 1), of("so-0b1c2d3e-000018", Role::Whole, 1));
    }
}
