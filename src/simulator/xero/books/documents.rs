//! Invoices and credit notes: what may be created, changed and taken back.

use chrono::{DateTime, NaiveDate, Utc};

use super::{Books, Desk, Invalid, Line, contacts::ContactPlan, lines::Sheet, read_date};
use crate::simulator::xero::{amount::Cents, body::DocumentBody, rules::LinesWithoutIds};

/// In characters. Source: xero_accounting.yaml, `Invoice.InvoiceNumber`.
const MAX_NUMBER: usize = 255;
/// Source: xero_accounting.yaml has none; Observed (xero-php-oauth2 issue 257): the words are in the refusal.
const NOT_MODIFIABLE: &str = "not of valid status for modification";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    Invoice,
    CreditNote,
}

impl DocumentKind {
    pub(in crate::simulator::xero) fn plural(self) -> &'static str {
        match self {
            Self::Invoice => "Invoices",
            Self::CreditNote => "CreditNotes",
        }
    }

    pub(in crate::simulator::xero) fn type_name(self) -> &'static str {
        match self {
            Self::Invoice => "ACCREC",
            Self::CreditNote => "ACCRECCREDIT",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Invoice => "Invoice",
            Self::CreditNote => "Credit note",
        }
    }

    /// Of what is numbered by Xero.
    fn automatic_prefix(self) -> &'static str {
        match self {
            Self::Invoice => "INV-",
            Self::CreditNote => "CN-",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Draft,
    Submitted,
    Authorised,
    /// Reached only by payments and allocations.
    Paid,
    Voided,
    Deleted,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Submitted => "SUBMITTED",
            Self::Authorised => "AUTHORISED",
            Self::Paid => "PAID",
            Self::Voided => "VOIDED",
            Self::Deleted => "DELETED",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Draft, Self::Submitted, Self::Authorised, Self::Paid, Self::Voided, Self::Deleted]
            .into_iter()
            .find(|status| status.name() == name)
    }

    pub fn is_live(self) -> bool {
        match self {
            Self::Draft | Self::Submitted | Self::Authorised | Self::Paid => true,
            Self::Voided | Self::Deleted => false,
        }
    }

    pub fn is_approved(self) -> bool {
        matches!(self, Self::Authorised | Self::Paid)
    }
}

/// Whether the amounts of lines include their tax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountTypes {
    Exclusive,
    Inclusive,
    NoTax,
}

impl AmountTypes {
    pub fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "Exclusive",
            Self::Inclusive => "Inclusive",
            Self::NoTax => "NoTax",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Exclusive, Self::Inclusive, Self::NoTax].into_iter().find(|types| types.name() == name)
    }
}

/// An invoice to a customer, or a credit note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub kind: DocumentKind,
    pub id: String,
    pub number: String,
    pub reference: Option<String>,
    pub contact_id: String,
    pub date: NaiveDate,
    pub due_date: Option<NaiveDate>,
    pub amounts: AmountTypes,
    pub currency: String,
    pub status: Status,
    pub lines: Vec<Line>,
    pub url: Option<String>,
    pub branding_theme_id: Option<String>,
    pub is_sent: bool,
    pub updated_at: DateTime<Utc>,
    /// A person has changed it in Xero.
    pub is_edited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Without tax.
    pub sub_total: Cents,
    pub total_tax: Cents,
    pub total: Cents,
}

impl Document {
    pub fn totals(&self) -> Totals {
        totals(&self.lines, self.amounts)
    }

    /// 1 for an invoice, -1 for a credit note: what its total counts for.
    pub fn sign(&self) -> i64 {
        match self.kind {
            DocumentKind::Invoice => 1,
            DocumentKind::CreditNote => -1,
        }
    }
}

fn totals(lines: &[Line], amounts: AmountTypes) -> Totals {
    let sum: Cents = lines.iter().map(|line| line.line_amount).sum();
    let total_tax: Cents = lines.iter().map(|line| line.tax_amount).sum();
    match amounts {
        AmountTypes::Inclusive => Totals { sub_total: sum - total_tax, total_tax, total: sum },
        AmountTypes::Exclusive | AmountTypes::NoTax => Totals { sub_total: sum, total_tax, total: sum + total_tax },
    }
}

/// Which way a document, a contact or an item came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulator::xero) enum How {
    /// `PUT`: it must be new.
    Create,
    /// `POST` of a collection: what has its id or number is changed, anything else is created.
    CreateOrUpdate,
    /// `POST` with an id in the path: what stands at this place.
    Update(usize),
}

impl Books {
    pub(in crate::simulator::xero) fn position_of(&self, kind: DocumentKind, id: &str) -> Option<usize> {
        self.documents.iter().position(|document| document.kind == kind && document.id == id)
    }

    /// What was saved stands at the returned place.
    pub(in crate::simulator::xero) fn save_document(
        &mut self,
        kind: DocumentKind,
        sent: &DocumentBody,
        how: How,
        desk: Desk<'_>,
    ) -> Result<usize, Invalid> {
        match self.target(kind, sent, how, desk)? {
            Some(at) => self.change(at, sent, desk).map(|()| at),
            None => self.create(kind, sent, desk),
        }
    }

    /// What is to be changed; none where it is to be created.
    fn target(
        &self,
        kind: DocumentKind,
        sent: &DocumentBody,
        how: How,
        desk: Desk<'_>,
    ) -> Result<Option<usize>, Invalid> {
        let numbered = |number: &str| {
            let is_taken = |document: &Document| document.status.is_live() || !desk.rules.frees_numbers;
            self.documents.iter().rposition(|one| one.kind == kind && one.number == number && is_taken(one))
        };
        match (how, sent.id(kind), sent.number(kind)) {
            (How::Create, Some(_), _) => Err(vec!["An id is given by Xero and cannot be sent with PUT".to_owned()]),
            (How::Create, None, Some(number)) if numbered(number).is_some() => {
                Err(vec![format!("{} # must be unique.", kind.in_words())])
            }
            (How::Create, None, _) => Ok(None),
            (How::CreateOrUpdate, Some(id), _) => match self.position_of(kind, id) {
                Some(at) => Ok(Some(at)),
                None => Err(vec![format!("{} with this id does not exist", kind.in_words())]),
            },
            (How::CreateOrUpdate, None, number) => Ok(number.and_then(numbered)),
            (How::Update(at), Some(id), _) if self.documents[at].id != id => {
                Err(vec!["The id in the body is not that of the path".to_owned()])
            }
            (How::Update(at), _, Some(number)) if numbered(number).is_some_and(|other| other != at) => {
                Err(vec![format!("{} # must be unique.", kind.in_words())])
            }
            (How::Update(at), _, _) => Ok(Some(at)),
        }
    }

    fn create(&mut self, kind: DocumentKind, sent: &DocumentBody, desk: Desk<'_>) -> Result<usize, Invalid> {
        let mut problems = Invalid::new();
        if sent.kind.is_none() {
            problems.push("Type is required".to_owned());
        }
        if sent.contact.is_none() {
            problems.push("A Contact must be specified for this type of transaction".to_owned());
        }
        let today = self.today(desk.now);
        let number = match sent.number(kind) {
            Some(number) => number.to_owned(),
            None => self.automatic_number(kind),
        };
        let blank = Document {
            kind,
            id: self.new_id(kind.plural()),
            number,
            reference: None,
            contact_id: String::new(),
            date: today,
            due_date: None,
            amounts: AmountTypes::Exclusive,
            currency: self.organisation.base_currency.clone(),
            status: Status::Draft,
            lines: Vec::new(),
            url: None,
            branding_theme_id: None,
            is_sent: false,
            updated_at: desk.now,
            is_edited: false,
        };
        let filled = self.overlay(&blank, sent, desk, &mut problems);
        match filled.status {
            Status::Draft | Status::Submitted | Status::Authorised => {}
            Status::Paid | Status::Voided | Status::Deleted => {
                problems.push(format!("{} is no status to be created with", filled.status.name()));
            }
        }
        self.check_whole(&filled, desk, &mut problems);
        let contact = self.plan_contact(sent.contact.as_ref(), &filled.number, &mut problems);
        let (Some(contact), true) = (contact, problems.is_empty()) else { return Err(problems) };
        let at = self.documents.len();
        self.documents.push(filled);
        self.enact(at, contact, desk);
        Ok(at)
    }

    fn change(&mut self, at: usize, sent: &DocumentBody, desk: Desk<'_>) -> Result<(), Invalid> {
        let before = self.documents[at].clone();
        let words = before.kind.in_words();
        let mut problems = Invalid::new();
        let wish = sent.status.as_deref().and_then(Status::parse);
        let has_something_applied = self.applied(&before.id) != Cents::ZERO;
        let is_allowed = match (before.status, wish) {
            (Status::Authorised, _) if has_something_applied => false,
            // Observed (Xero-Net issue 339): the status has to be sent again.
            (Status::Authorised, wish) => matches!(wish, Some(Status::Authorised | Status::Voided)),
            (Status::Draft | Status::Submitted, wish) => !matches!(wish, Some(Status::Voided | Status::Paid)),
            (Status::Voided | Status::Deleted | Status::Paid, _) => false,
        };
        if !is_allowed {
            let why = if has_something_applied { ": a payment or a credit note is applied to it" } else { "" };
            return Err(vec![format!("{words} {NOT_MODIFIABLE}{why}")]);
        }
        if let Err(locked) = self.organisation.check_unlocked(before.date) {
            return Err(vec![locked]);
        }
        let filled = self.overlay(&before, sent, desk, &mut problems);
        if filled.status.is_live() {
            self.check_whole(&filled, desk, &mut problems);
        }
        let contact = match &sent.contact {
            None => Some(ContactPlan::Keep),
            Some(contact) => self.plan_contact(Some(contact), &filled.number, &mut problems),
        };
        let (Some(contact), true) = (contact, problems.is_empty()) else { return Err(problems) };
        self.documents[at] = filled;
        self.enact(at, contact, desk);
        Ok(())
    }

    /// The document with what was sent laid over it.
    fn overlay(&mut self, before: &Document, sent: &DocumentBody, desk: Desk<'_>, problems: &mut Invalid) -> Document {
        let mut after = before.clone();
        let kind = before.kind;
        if sent.kind.as_deref().is_some_and(|name| name != kind.type_name()) {
            problems.push(format!("Type must be {}", kind.type_name()));
        }
        if let Some(number) = sent.number(kind) {
            number.clone_into(&mut after.number);
        }
        if after.number.is_empty() || after.number.chars().count() > MAX_NUMBER {
            problems.push(format!("{} number must have 1 to {MAX_NUMBER} characters", kind.in_words()));
        }
        if let Some(date) = &sent.date {
            after.date = read_date("Date", date, problems).unwrap_or(after.date);
        }
        if let Some(date) = &sent.due_date {
            after.due_date = read_date("DueDate", date, problems);
        }
        if let Some(name) = &sent.line_amount_types {
            match AmountTypes::parse(name) {
                Some(amounts) => after.amounts = amounts,
                None => problems.push(format!("LineAmountTypes '{name}' does not exist")),
            }
        }
        if let Some(name) = &sent.status {
            match Status::parse(name) {
                Some(status) => after.status = status,
                None => problems.push(format!("Status '{name}' does not exist")),
            }
        }
        if let Some(currency) = &sent.currency_code {
            if self.organisation.currencies.contains(currency) {
                currency.clone_into(&mut after.currency);
            } else {
                problems.push(format!("The organisation is not subscribed to currency {currency}"));
            }
        }
        if sent.reference.is_some() {
            after.reference.clone_from(&sent.reference);
        }
        if sent.url.is_some() {
            after.url.clone_from(&sent.url);
        }
        if sent.branding_theme_id.is_some() {
            after.branding_theme_id.clone_from(&sent.branding_theme_id);
        }
        if let Some(is_sent) = sent.sent_to_contact {
            if is_sent && !after.status.is_approved() {
                problems.push("SentToContact can only be set on approved documents".to_owned());
            }
            after.is_sent = is_sent;
        }
        if let Some(lines) = &sent.line_items {
            let sheet = Sheet { desk, amounts: after.amounts, is_final: after.status.is_approved() };
            let has_ids = lines.iter().any(|line| line.line_item_id.is_some());
            let unknown = lines.iter().filter_map(|line| line.line_item_id.as_ref());
            if unknown.clone().any(|id| !before.lines.iter().any(|line| line.id == *id)) {
                problems.push("A LineItemID is not one of this document".to_owned());
            }
            let fresh: Vec<Line> = lines.iter().filter_map(|line| self.line(line, sheet, problems)).collect();
            after.lines = match desk.rules.lines_without_ids {
                LinesWithoutIds::Add if !has_ids => before.lines.iter().cloned().chain(fresh).collect(),
                LinesWithoutIds::Add | LinesWithoutIds::Replace => fresh,
            };
        }
        after
    }

    /// What must hold of the document as it will stand.
    fn check_whole(&self, document: &Document, desk: Desk<'_>, problems: &mut Invalid) {
        if let Err(locked) = self.organisation.check_unlocked(document.date) {
            problems.push(locked);
        }
        if document.status.is_approved() && document.lines.is_empty() && problems.is_empty() {
            problems.push("One or more line items must be specified".to_owned());
        }
        // Assumed; a credit note has no due date of its own.
        if document.status.is_approved() && document.kind == DocumentKind::Invoice && document.due_date.is_none() {
            problems.push("DueDate is required for an approved invoice".to_owned());
        }
        if document.due_date.is_some_and(|due| due < document.date) {
            problems.push("DueDate must not be before Date".to_owned());
        }
        let total = document.totals().total;
        if total < Cents::ZERO {
            problems.push("The document total must not be negative".to_owned());
        }
        if total == Cents::ZERO && document.status.is_approved() && !desk.rules.takes_zero_totals {
            problems.push("The document total must not be zero".to_owned());
        }
    }

    fn enact(&mut self, at: usize, contact: ContactPlan, desk: Desk<'_>) {
        let number = self.documents[at].number.clone();
        if let Some(contact_id) = self.enact_contact(contact, &number, desk.now) {
            self.documents[at].contact_id = contact_id;
        }
        self.settle(at, desk.now);
    }

    /// Whether it is paid follows from what is applied to it.
    pub(super) fn settle(&mut self, at: usize, now: DateTime<Utc>) {
        let updated_at = self.touch(now);
        let is_open = self.open(&self.documents[at]) != Cents::ZERO;
        let document = &mut self.documents[at];
        document.updated_at = updated_at;
        if document.status.is_approved() {
            document.status = if is_open { Status::Authorised } else { Status::Paid };
        }
    }

    fn automatic_number(&self, kind: DocumentKind) -> String {
        (1..=u32::MAX)
            .map(|n| format!("{}{n:04}", kind.automatic_prefix()))
            .find(|number| self.numbered(kind, number).is_none())
            .expect("fewer documents than numbers")
    }
}

/// What a person does in Xero, who may do more than the API lets one do.
impl Books {
    /// Changes a document, for instance its lines. Returns whether there is such a one.
    pub fn edit_by_hand(
        &mut self,
        kind: DocumentKind,
        number: &str,
        now: DateTime<Utc>,
        edit: impl FnOnce(&mut Document),
    ) -> bool {
        let Some(at) = self.documents.iter().rposition(|one| one.kind == kind && one.number == number) else {
            return false;
        };
        edit(&mut self.documents[at]);
        self.documents[at].is_edited = true;
        self.settle(at, now);
        true
    }

    /// Takes all payments of an invoice back and voids it; a draft is deleted. Returns whether there is such a live one.
    pub fn void_by_hand(&mut self, number: &str, now: DateTime<Utc>) -> bool {
        let Some(invoice) = self.invoice(number).filter(|invoice| invoice.status.is_live()).cloned() else {
            return false;
        };
        for payment in self.payments.iter_mut().filter(|payment| payment.document_id == invoice.id) {
            payment.is_deleted = true;
        }
        let status = if invoice.status.is_approved() { Status::Voided } else { Status::Deleted };
        self.edit_by_hand(DocumentKind::Invoice, number, now, |document| document.status = status)
    }
}
