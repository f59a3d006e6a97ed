//! Steps that make documents, change them, complete them, or take them back.

use super::{Planner, park};
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

impl Planner<'_> {
    pub(super) fn post(self, kind: DocumentKind, role: Role, lines: Vec<Line>, customer_id: String) -> Plan {
        let is_like = |one: &&Document| one.kind == kind && (kind == DocumentKind::Credit || one.role == role);
        let n = self.held.documents.iter().filter(is_like).count() as u32 + 1;
        let order_id = self.view.key.order.order_id.as_str();
        let number = match (kind, role) {
            (DocumentKind::Order, Role::Whole) if n == 1 => format!("{PREFIX}{order_id}"),
            (DocumentKind::Order, Role::Whole) => format!("{PREFIX}{order_id}-R{n}"),
            (DocumentKind::Order, Role::Part) => format!("{PREFIX}{order_id}-S{n}"),
            (DocumentKind::Credit, _) => format!("{PREFIX}{order_id}-C{n}"),
        };
        // A credit note has our number for a reference only.
        if kind == DocumentKind::Order && number.chars().count() > LONGEST_NUMBER {
            let hint = "its id is too long for an order's number at Unleashed: post it by hand and discard this";
            return park("order_id_too_long", hint, false);
        }
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
