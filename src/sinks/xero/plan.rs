//! The next step for one version, from the receipt, the target and what is known of the organisation. Pure.
//!
//! 1. Who the documents are for: the house contact, or the customer's.
//! 2. Lines: what stands is held against what should ([`correct`]). Before a document is corrected it is read, so that what
//!    a person changed there is never overwritten.
//! 3. Money: allocations, then every payment and refund in one step ([`settle`]).
//! 4. Then the version is settled, with a notice where a person should know something.
//!
//! One step at a time: between two of them all of it is decided anew, from what was confirmed. What Xero refused is tried
//! again after [`HOLD`], and so is what waits for a person to mend settings.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use sha2::{Digest, Sha256};

use super::{
    body::{self, Around},
    call::{self, Allocate, AllocateTo, Call, On, Pay, Post, Read, Removal, RemovePayments, Update, Void, name},
    config::{self, AccountRef, Contacts, DocumentStatus, LockedFirstPost, XeroSettings},
    correct::{Correction, Move, Otherwise, correct, is_editable},
    customer, fit,
    lines::tax_inside,
    organisation::{Facts, hindrance},
    receipt::{Allocation, Document, DocumentKind, Held, Line, Payment, Refusal, Role, Standing},
    send::cause,
    settle::{Paid, Settlement, settle},
    target::{Remark, Sale, Target, target},
};
use crate::{
    domain::{
        delivery::{About, Alert, Plan, Receipt, Repeat, SkipReason, Step, WaitingFor},
        money::Money,
        order::Status,
    },
    sinks::View,
};

/// How long a person has to mend settings before it is looked at again.
pub const HOLD: Duration = Duration::from_hours(3);
/// How long Xero is trusted to know a key. Assumed: how long it remembers one is not documented.
const KEY_TRUSTED_FOR: Duration = Duration::from_mins(5);
/// Older than this, what was read of a document is read again before it is corrected.
const READING_GOOD_FOR: Duration = Duration::from_mins(10);

pub const REMOTE_EDITED: &str = "remote_edited";
pub const TOTAL_MISMATCH: &str = "total_mismatch";
pub const NOTHING_TO_POST: &str = "nothing_to_post";

/// One organisation's books, as a plan sees them.
#[derive(Debug, Clone, Copy)]
pub struct Books<'a> {
    pub settings: &'a XeroSettings,
    pub facts: &'a Facts,
}

/// Plans the one step that is next.
pub fn plan(books: Books<'_>, view: &View<'_>) -> Plan {
    let Ok(held) = Held::of(view.receipt) else {
        return park("unreadable_receipt", "what stands at Xero is not known: report it", false);
    };
    let was_cancelled = view.order.status == Status::Cancelled;
    let target = match (was_cancelled, held.documents.first(), held.currency) {
        (true, None, _) => return Plan::skip(SkipReason::CancelledBeforeSent),
        (true, Some(first), Some(currency)) => Target::nothing(currency, first.date),
        (true, Some(_), None) => return park("unreadable_receipt", "its receipt names no currency: report it", false),
        (false, ..) => {
            let Books { settings, facts } = books;
            let sale = Sale { order: view.order, money: view.money, payload: view.payload, settings, facts };
            match target(sale) {
                Ok(target) => target,
                Err(lack) => return lack.parked(),
            }
        }
    };
    Planner { books, view, held, target }.next()
}

fn park(reason: &'static str, hint: impl Into<String>, curable: bool) -> Plan {
    Plan::Park { reason, hint: hint.into(), curable }
}

/// A wait that costs no attempt, with one alert for all orders that wait for the same.
fn hold(wait: Duration, subject: String, detail: String) -> Plan {
    let waiting_for = WaitingFor::Configuration;
    let alert = Alert { cause: waiting_for.as_str(), about: About::Shared(subject), detail };
    Plan::Wait { wait, waiting_for, alert: Some(alert) }
}

#[derive(Debug)]
struct Planner<'a> {
    books: Books<'a>,
    view: &'a View<'a>,
    held: Held,
    target: Target,
}

impl Planner<'_> {
    fn next(self) -> Plan {
        if let Some(currency) = self.held.currency.filter(|currency| *currency != self.target.currency) {
            let hint =
                format!("it was posted in {currency} and is in {} now: correct it by hand", self.target.currency);
            return park("currency_changed", hint, true);
        }
        if let Some(document) = self.mismatched() {
            let hint = format!(
                "{} comes to something else at Xero than it should: nothing is paid; compare the two, correct it there by \
                 hand and discard this",
                document.number
            );
            return park(TOTAL_MISMATCH, hint, false);
        }
        if let Some(problem) = hindrance(self.books.settings, self.books.facts) {
            let detail = format!("{}: {}; all orders wait", problem.found, problem.to_do);
            return hold(HOLD, problem.key, detail);
        }
        if let Some(plan) = self.refused() {
            return plan;
        }
        let locked_until = self.books.facts.locked_until();
        let editable: Vec<bool> = self.held.documents.iter().map(|one| self.may_edit(one, locked_until)).collect();
        let correction = correct(&self.held.documents, &editable, &self.target.lines, self.otherwise());
        if correction.moves.is_empty() || self.posts_nothing() {
            return self.money(locked_until);
        }
        self.lines(correction, locked_until)
    }

    /// A document of which Xero says another total.
    fn mismatched(&self) -> Option<&Document> {
        let differs = |document: &&Document| document.told_minor.is_some_and(|told| told != document.gross_minor);
        self.held.standing().find(differs)
    }

    fn refused(&self) -> Option<Plan> {
        let now = self.view.now;
        let fresh = self.held.refusals.iter().filter(|refusal| self.is_in_the_way(refusal)).filter_map(|refusal| {
            let left = HOLD.checked_sub((now - refusal.at).to_std().unwrap_or_default())?;
            (!left.is_zero()).then_some((refusal, left))
        });
        let (refusal, left) = fresh.max_by_key(|(_, left)| *left)?;
        // Whether Xero takes a document of nothing is not documented.
        if self.target.gross_minor() == 0 && self.held.documents.is_empty() {
            return None;
        }
        let detail = format!(
            "Xero refuses {} ({}), as {}: see the answer in its attempts and mend the set-up; it is tried again by itself",
            refusal.step, refusal.cause, refusal.about
        );
        Some(hold(left, format!("refused: {}", refusal.cause), detail))
    }

    /// Whether a refusal would be met again by what is planned now.
    fn is_in_the_way(&self, refusal: &Refusal) -> bool {
        match refusal.cause.as_str() {
            // What it contradicts was read anew since.
            cause::LOCK_DATE | cause::MAPPING => self.books.facts.read_at <= refusal.at,
            // The document is corrected by others from now on.
            cause::NOT_MODIFIABLE => ![name::UPDATE, name::VOID].contains(&refusal.step.as_str()),
            _ => true,
        }
    }

    /// Xero has refused to change it.
    fn is_immutable(&self, document: &Document) -> bool {
        let is_about = |refusal: &Refusal| {
            refusal.cause == cause::NOT_MODIFIABLE && refusal.about == document.number && !self.is_in_the_way(refusal)
        };
        self.held.refusals.iter().any(is_about)
    }

    /// There is nothing of the order that a document could say.
    fn posts_nothing(&self) -> bool {
        let never_posted = self.held.documents.is_empty();
        let is_zero = self.target.gross_minor() == 0;
        let was_refused = !self.held.refusals.is_empty();
        never_posted && (self.target.lines.is_empty() || is_zero && (self.books.settings.skip_zero || was_refused))
    }

    fn otherwise(&self) -> Otherwise {
        match self.books.settings.correction {
            config::Correction::ReverseAndReplace => Otherwise::ReverseAndReplace,
            config::Correction::Delta | config::Correction::RewritePayments => Otherwise::Delta,
        }
    }

    fn may_edit(&self, document: &Document, locked_until: Option<NaiveDate>) -> bool {
        // What takes all of an order back stays, so that the order is invoiced anew.
        let is_reversal = document.kind == DocumentKind::CreditNote
            && document.role == Role::Whole
            && self.otherwise() == Otherwise::ReverseAndReplace;
        is_editable(document, locked_until) && !is_reversal && !self.is_immutable(document)
    }

    // ---- lines -----------------------------------------------------------------------------------------------------

    fn lines(self, correction: Correction, locked_until: Option<NaiveDate>) -> Plan {
        let is_first = self.held.documents.is_empty();
        if let Some(misfit) = fit::misfit(&self.target, self.books.settings, self.books.facts) {
            return hold(HOLD, misfit.subject, misfit.detail);
        }
        let is_locked = locked_until.is_some_and(|lock| self.target.date <= lock);
        if is_first && is_locked && self.books.settings.locked_first_post == LockedFirstPost::Hold {
            let detail = format!(
                "orders of a locked period wait (locked until {}): unlock it at Xero, or set `locked_first_post = \"redate\"`",
                locked_until.map(|day| day.to_string()).unwrap_or_default()
            );
            return hold(HOLD, "locked period".to_owned(), detail);
        }
        if self.held.standing().next().is_some() && !self.is_read() {
            return self.read();
        }
        if let Some(edited) = self.held.documents.iter().find(|document| document.edited)
            && !self.books.settings.correct_edited
        {
            let detail = format!(
                "{} was changed at Xero by hand, and the order has changed since: correct it there, or set \
                 `correct_edited = true` and retry it",
                edited.number
            );
            return self.settled(Some((REMOTE_EDITED, Some(detail))));
        }
        let contact_id = match self.contact() {
            Ok(contact_id) => contact_id,
            Err(plan) => return *plan,
        };
        if let Some(plan) = self.items() {
            return plan;
        }
        if let Some(plan) = self.payments_to_rewrite(&correction, locked_until) {
            return plan;
        }
        let mut this = self;
        if this.held.counted_for != Some(this.view.version.0) {
            this.held.corrections_avoided += correction.avoided;
            this.held.counted_for = Some(this.view.version.0);
        }
        match correction.moves.into_iter().next() {
            Some(Move::Post { kind, role, lines }) => this.post(kind, role, lines, contact_id, locked_until),
            Some(Move::Update { at, lines }) => this.update(at, lines),
            Some(Move::Void { at }) => this.void(at),
            None => this.money(locked_until),
        }
    }

    fn is_read(&self) -> bool {
        let is_fresh = |at: DateTime<Utc>| (self.view.now - at).to_std().unwrap_or_default() < READING_GOOD_FOR;
        self.held.read.is_some_and(|read| read.version == self.view.version.0 && is_fresh(read.at))
    }

    fn read(self) -> Plan {
        let version = self.view.version.0;
        let documents: Vec<On> = self.held.standing().filter_map(on).collect();
        let held = self.held.clone();
        self.step(&Call::Read(Read { documents, version }), Repeat::Safe, "read", held)
    }

    /// Xero's id of the contact, or the step that finds it.
    fn contact(&self) -> Result<String, Box<Plan>> {
        let Books { settings, facts } = self.books;
        let Contacts { house_customer, house_name, .. } = &settings.contacts;
        if let Some(document) = self.held.documents.first() {
            return Ok(document.contact_id.clone());
        }
        if let Some(contact) = &self.held.contact {
            return Ok(contact.id.clone());
        }
        let customer = customer::of(&settings.contacts, self.view.payload);
        let house = house_customer.as_ref().or(facts.house_contact.as_ref());
        let call = match (customer, house) {
            (None, Some(house)) => return Ok(house.clone()),
            (None, None) => call::Contact::House { name: house_name.clone() },
            (Some(customer), _) => call::Contact::Customer { customer, house_name: house_name.clone() },
        };
        let held = self.held.clone();
        Err(Box::new(self.step(&Call::Contact(call), Repeat::Safe, "contact", held)))
    }

    /// The step that makes items that lines name; none: they are there.
    fn items(&self) -> Option<Plan> {
        let missing = self.target.missing_items.iter().filter(|item| !self.held.items.contains(&item.code));
        let items: Vec<call::Item> =
            missing.map(|item| call::Item { code: item.code.clone(), body: body::item(item) }).collect();
        if items.is_empty() {
            return None;
        }
        let mut held = self.held.clone();
        held.items.extend(items.iter().map(|item| item.code.clone()));
        Some(self.step(&Call::Items(call::Items { items }), Repeat::Safe, "items", held))
    }

    /// With `correction = "rewrite_payments"`: the step that removes our payments, where a document can be changed in place
    /// without them and new documents were needed otherwise.
    fn payments_to_rewrite(&self, correction: &Correction, locked_until: Option<NaiveDate>) -> Option<Plan> {
        let (new, _) = correction.cost();
        if new == 0
            || self.held.documents.is_empty()
            || self.books.settings.correction != config::Correction::RewritePayments
        {
            return None;
        }
        let editable: Vec<bool> =
            self.held.documents.iter().map(|document| self.is_editable_unpaid(document, locked_until)).collect();
        let without = correct(&self.held.documents, &editable, &self.target.lines, Otherwise::Delta);
        if without.cost().0 >= new {
            return None;
        }
        let changed = without.moves.iter().filter_map(|one| match one {
            Move::Update { at, .. } | Move::Void { at } => Some(self.held.documents[*at].number.clone()),
            Move::Post { .. } => None,
        });
        let changed: Vec<String> = changed.collect();
        let mut held = self.held.clone();
        let mut payments = Vec::new();
        for payment in held.payments.iter_mut().filter(|one| !one.removed && changed.contains(&one.on)) {
            let Some(id) = &payment.id else { continue };
            payments.push(Removal { id: id.clone(), reference: payment.reference.clone() });
            payment.removed = true;
            if let Some(document) = held.documents.iter_mut().find(|document| document.number == payment.on) {
                document.applied_minor -= payment.amount_minor;
                document.touched = true;
                document.status = Standing::Authorised;
            }
        }
        if payments.is_empty() {
            return None;
        }
        Some(self.step(&Call::RemovePayments(RemovePayments { payments }), KEYED, "remove", held))
    }

    /// Whether it could be changed if our payments were gone.
    fn is_editable_unpaid(&self, document: &Document, locked_until: Option<NaiveDate>) -> bool {
        let own = || self.held.payments.iter().filter(|one| !one.removed && one.on == document.number);
        let ours: i64 = own().map(|payment| payment.amount_minor).sum();
        let is_ours_alone = ours == document.applied_minor && own().all(|one| one.id.is_some() && !one.reconciled);
        let status = if document.status == Standing::Paid { Standing::Authorised } else { document.status };
        let unpaid = Document { applied_minor: 0, status, ..document.clone() };
        (is_ours_alone || document.applied_minor == 0)
            && is_editable(&unpaid, locked_until)
            && !self.is_immutable(document)
    }

    fn post(
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
            date: open_day(self.target.date, locked_until),
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

    fn update(self, at: usize, lines: Vec<Line>) -> Plan {
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

    fn void(self, at: usize) -> Plan {
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

    fn written(&self, document: &Document) -> call::Exact {
        let Books { settings, facts } = self.books;
        let rate = |line: &Line, gross: i64| {
            let rate = facts.tax_rate(&line.tax_type).filter(|_| settings.tax_override)?;
            tax_inside(gross, &rate.rate)
        };
        let order_id = self.view.key.order.order_id.as_str();
        let mut reference = format!("Scoffable {order_id} v{}", self.view.version);
        if document.date != self.target.date {
            reference = format!("{reference} of {}", self.target.date);
        }
        let currency = self.target.currency;
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

    // ---- money -----------------------------------------------------------------------------------------------------

    fn money(self, locked_until: Option<NaiveDate>) -> Plan {
        if self.posts_nothing() {
            return self.settled(Some((NOTHING_TO_POST, None)));
        }
        // Perhaps a person has paid it meanwhile, or used a credit.
        if !self.held.refusals.is_empty() && self.held.standing().next().is_some() && !self.is_read() {
            return self.read();
        }
        let settlement = settle(&self.held, &self.target.payments, self.books.settings);
        let date = open_day(self.target.date, locked_until);
        if let Some(first) = settlement.allocations.first() {
            let note = first.credit_note.clone();
            return self.allocate(&settlement, &note, date);
        }
        if !settlement.payments.is_empty() {
            return self.pay(&settlement.payments, date);
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
                removed: false,
                reconciled: false,
            });
            all.push(Pay { reference, on, amount_minor: paid.amount_minor, body });
        }
        self.step(&Call::Payments(call::Payments { currency, payments: all }), KEYED, "payments", held)
    }

    // ---- the end ---------------------------------------------------------------------------------------------------

    /// What a person should know of the money; the weightiest alone is the notice.
    fn left_over(&self, settlement: &Settlement) -> Option<(&'static str, Option<String>)> {
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
                 {}; settle it at Xero by hand",
                if of.is_empty() { "nothing".to_owned() } else { of.join(", ") },
                shown(settlement.credit_left)
            );
            return Some(("payments_differ", Some(detail)));
        }
        let weightiest = self.target.remarks.first().map(|remark| match remark {
            Remark::Unexplained(minor) => (
                "unexplained",
                Some(format!(
                    "its lines miss its total by {}, which is posted on `accounts.difference`",
                    shown(*minor)
                )),
            ),
            Remark::PaymentsCapped(minor) => (
                "payments_capped",
                Some(format!("{} more was paid than it comes to: payments are cut back to it", shown(*minor))),
            ),
            Remark::UnknownTender(pair) => (
                "unknown_tender",
                Some(format!(
                    "{pair} is a tender that is not known, and was paid to its holder's account: set \
                     payments.other_scoffable or payments.other_vendor if it belongs elsewhere"
                )),
            ),
            Remark::Goodwill(minor) => ("goodwill", Some(format!("the platform pays {} of it", shown(*minor)))),
            Remark::UnknownItemType => ("unknown_item_type", None),
        });
        weightiest.or((settlement.due_left > 0).then_some(("partly_unpaid", None)))
    }

    /// The version is brought, or as much of it as can be.
    fn settled(self, notice: Option<(&'static str, Option<String>)>) -> Plan {
        let told_of_pair = self.target.remarks.iter().find_map(|remark| match remark {
            Remark::UnknownTender(pair) => Some(pair.clone()),
            _ => None,
        });
        let held = Held {
            refusals: Vec::new(),
            currency: Some(self.target.currency),
            declared_minor: self.target.declared_minor,
            ..self.held
        };
        let alert = notice.as_ref().and_then(|(cause, detail)| {
            let about = match (&told_of_pair, *cause) {
                (Some(pair), "unknown_tender") => About::Shared(pair.clone()),
                _ => About::Order,
            };
            Some(Alert { cause, about, detail: detail.clone()? })
        });
        let notice = notice.map(|(cause, _)| cause.to_owned());
        Plan::Settled(Receipt { notice, alert, ..held.known() })
    }

    /// A step, with the receipt as it is once it is confirmed. `what` and the version tell its key from those of others.
    fn step(&self, call: &Call, repeat: Repeat, what: &str, held: Held) -> Plan {
        let key = &self.view.key;
        let body = call.written();
        let digest = hex::encode(Sha256::digest(&body));
        let parts = format!("{} | {} | {what} | {} | {digest}", key.sink, key.order, self.view.version);
        let held = Held {
            currency: Some(self.target.currency),
            declared_minor: self.target.declared_minor,
            refusals: held.refusals.into_iter().filter(|refusal| refusal.step != call.name()).collect(),
            ..held
        };
        Plan::Send(Step {
            name: call.name().to_owned(),
            key: hex::encode(Sha256::digest(parts)),
            body,
            repeat,
            // What was answered is looked at before anything counts as applied.
            completes: false,
            receipt: Some(held.receipt()),
        })
    }
}

const KEYED: Repeat = Repeat::Within(KEY_TRUSTED_FOR);

fn unknown_id(number: &str) -> Plan {
    park(
        "document_id_missing",
        format!("Xero's id of {number} is not known: correct it there by hand, then discard this"),
        false,
    )
}

fn on(document: &Document) -> Option<On> {
    Some(On { kind: document.kind, id: document.id.clone()?, number: document.number.clone() })
}

/// In the document's own sign.
fn gross(document: &Document) -> i64 {
    document.sign() * document.lines.iter().map(|line| line.gross_minor).sum::<i64>()
}

fn apply(document: &mut Document, minor: i64) {
    document.applied_minor += minor;
    document.touched = true;
    if document.applied_minor == document.gross_minor {
        document.status = Standing::Paid;
    }
}

/// The day itself, or the first one that is open.
fn open_day(day: NaiveDate, locked_until: Option<NaiveDate>) -> NaiveDate {
    let first_open = locked_until.and_then(|lock| lock.checked_add_days(Days::new(1)));
    first_open.map_or(day, |first_open| day.max(first_open))
}

#[cfg(test)]
mod tests;
