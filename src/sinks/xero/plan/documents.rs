//! Steps that make documents, change them, or take them back.

use chrono::NaiveDate;

use super::{Books, KEYED, Planner, on, open_day, park, unknown_id};
use crate::{
    domain::delivery::Plan,
    sinks::xero::{
        body::{self, Around},
        call::{Call, Exact, Post, Update, Void},
        config::DocumentStatus,
        lines::tax_inside,
        receipt::{Document, DocumentKind, Line, Role, Standing},
    },
};

impl Planner<'_> {
    pub(super) fn post(
        self,
        kind: DocumentKind,
        role: Role,
        lines: Vec<Line>,
        contact_id: String,
        locked_until: Option<NaiveDate>,
    ) -> Plan {
        let number = self.number(kind, role);
        if number.chars().count() > 255 {
            let hint = "its id is too long for a document's number at Xero: post it by hand and discard this";
            return park("order_id_too_long", hint, false);
        }
        let status = match self.books.settings.document_status {
            DocumentStatus::Authorised => Standing::Authorised,
            DocumentStatus::Submitted => Standing::Submitted,
            DocumentStatus::Draft => Standing::Draft,
        };
        let mut document = Document {
            kind,
            role,
            number: number.clone(),
            id: None,
            version: self.view.version.0,
            date: open_day(self.dated, locked_until),
            contact_id: contact_id.clone(),
            status,
            lines,
            tracking: self.target.tracking.clone(),
            gross_minor: 0,
            told_minor: None,
            applied_minor: 0,
            updated_at: None,
            touched: false,
            edited: false,
            shared: None,
        };
        if document.tracking.is_empty() {
            // A cancelled order's target says nothing of it.
            document.tracking = self.held.documents.first().map(|first| first.tracking.clone()).unwrap_or_default();
        }
        document.gross_minor = gross(&document);
        let post = Post {
            number,
            total_minor: document.gross_minor,
            currency: self.target.currency,
            contact_id,
            body: self.written(&document),
        };
        let mut held = self.held.clone();
        held.documents.push(document);
        let call = if kind == DocumentKind::Invoice { Call::Invoice(post) } else { Call::CreditNote(post) };
        let name = call.name();
        self.step(&call, KEYED, name, held)
    }

    pub(super) fn update(self, at: usize, lines: Vec<Line>) -> Plan {
        let mut held = self.held.clone();
        let before = held.documents[at].clone();
        let document = &mut held.documents[at];
        document.lines = lines;
        document.version = self.view.version.0;
        document.gross_minor = gross(document);
        document.told_minor = None;
        if !self.target.tracking.is_empty() {
            document.tracking.clone_from(&self.target.tracking);
        }
        let Some(on) = on(document) else { return unknown_id(&document.number) };
        let call = Call::Update(Update {
            document: on,
            total_minor: document.gross_minor,
            currency: self.target.currency,
            before,
            body: self.written(document),
        });
        self.step(&call, KEYED, "update", held)
    }

    pub(super) fn void(self, at: usize) -> Plan {
        let mut held = self.held.clone();
        let before = held.documents[at].clone();
        let document = &mut held.documents[at];
        let to = match document.status {
            Standing::Draft | Standing::Submitted => Standing::Deleted,
            Standing::Authorised | Standing::Paid | Standing::Voided | Standing::Deleted => Standing::Voided,
        };
        let Some(on) = on(document) else { return unknown_id(&document.number) };
        let body = body::taken_back(document, &on.id, to);
        document.status = to;
        document.version = self.view.version.0;
        self.step(&Call::Void(Void { document: on, before, body }), KEYED, "void", held)
    }

    fn written(&self, document: &Document) -> Exact {
        let Books { settings, facts } = self.books;
        let rate = |line: &Line, gross: i64| {
            let rate = facts.tax_rate(&line.tax_type).filter(|_| settings.tax_override)?;
            tax_inside(gross, &rate.rate)
        };
        let order_id = self.view.key.order.order_id.as_str();
        let is_of_one_order = self.view.payload.is_some();
        let mut reference = format!("Scoffable {order_id} v{}", self.view.version);
        if !is_of_one_order {
            reference = format!("Scoffable orders of {}", self.target.date);
        } else if document.date != self.target.date {
            reference = format!("{reference} of {}", self.target.date);
        }
        let currency = self.target.currency;
        let order_id = is_of_one_order.then_some(order_id);
        body::document(document, Around { settings, currency, reference: &reference, order_id, tax_of: &rate })
    }

    /// Numbers are never used again, not even those of documents that were taken back.
    fn number(&self, kind: DocumentKind, role: Role) -> String {
        let base = format!("{}{}", self.books.settings.number_prefix, self.view.key.order.order_id);
        let made = |kind, role: Option<Role>| {
            let is_like = |one: &&Document| one.kind == kind && role.is_none_or(|role| one.role == role);
            self.held.documents.iter().filter(is_like).count()
        };
        match (kind, role) {
            (DocumentKind::Invoice, Role::Whole) => match made(kind, Some(role)) {
                0 => base,
                n => format!("{base}-R{}", n + 1),
            },
            (DocumentKind::Invoice, Role::Part) => format!("{base}-S{}", made(kind, Some(role)) + 1),
            (DocumentKind::CreditNote, _) => format!("{base}-C{}", made(kind, None) + 1),
        }
    }
}

/// In the document's own sign.
fn gross(document: &Document) -> i64 {
    document.sign() * document.lines.iter().map(|line| line.gross_minor).sum::<i64>()
}
