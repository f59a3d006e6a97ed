//! The next step for one version, from the receipt, the target and what is known of the organisation. Pure.
//!
//! 1. Who the documents are for: the house contact, or the customer's.
//! 2. Lines: what stands is held against what should ([`correct`](super::correct)). Before a document is corrected it is read, so that what
//!    a person changed there is never overwritten.
//!    With `delta = "journal"` a day that was closed is corrected by a journal, which says lines and money in one
//!    ([`journal`](super::journal)).
//! 3. Money: allocations, then every payment and refund in one step ([`settle`](super::settle)). What then is with the wrong
//!    tender is paid anew, where settings permit ([`rewrite`]).
//! 4. With `history_notes`, a note about it in the history of the order's first invoice.
//! 5. Then the version is settled, with a notice where a person should know something.
//!
//! One step at a time: between two of them all of it is decided anew, from what was confirmed. What Xero refused is tried
//! again after [`HOLD`], and so is what waits for a person to mend settings.

mod documents;
mod journal;
pub(super) mod money;
mod rewrite;

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::{
    body,
    call::{self, Call, Note, On, Read, name},
    config::{self, ContactMode, Contacts, LockedFirstPost, Mode, XeroSettings},
    correct::{Correction, Move, Otherwise, correct, is_editable},
    fit,
    organisation::{Facts, Problem, check_journals, hindrance},
    receipt::{Document, DocumentKind, Held, Journal, Line, Refusal, Role},
    send::cause,
    summary,
    target::{Remark, Sale, Target, target},
};
use crate::{
    domain::{
        delivery::{About, Alert, DeliveryKey, Plan, Receipt, Repeat, SkipReason, Step, WaitingFor},
        ids::Version,
        money::Money,
        order::Status,
    },
    sinks::{Summary, View, customers::customer_of},
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
    let Books { settings, facts } = books;
    let was_cancelled = view.order.status == Status::Cancelled;
    let target = match (was_cancelled, held.documents.first(), held.currency) {
        (true, None, _) => return Plan::skip(SkipReason::CancelledBeforeSent),
        (true, Some(first), Some(currency)) => Target::nothing(currency, first.date),
        (true, Some(_), None) => return park("unreadable_receipt", "its receipt names no currency: report it", false),
        (false, ..) => {
            let sale = Sale { order: view.order, money: view.money, payload: view.payload, settings, facts };
            match target(sale) {
                Ok(target) => target,
                Err(lack) => return lack.parked(),
            }
        }
    };
    let is_daily = settings.mode == Mode::DailySummary;
    if is_daily && held.documents.is_empty() {
        return gathered(books, view, held, &target);
    }
    // What comes after the document of its day is dated on the day on which it came.
    let came_at = view.now - TimeDelta::from_std(view.since.received).unwrap_or_default();
    let came_on = came_at.with_timezone(&settings.time_zone).date_naive();
    let dated = if is_daily { target.date.max(came_on) } else { target.date };
    let View { key, version, payload, now, .. } = *view;
    let is_refused = view.since.refused.is_some();
    let subject = Subject { key, version, payload: Some(payload), is_cancelled: was_cancelled, is_refused, now };
    Planner { books, view: subject, held: Held { summary: None, ..held }, target, dated }.next()
}

/// Plans the one step that is next for a day's document.
pub fn plan_summary(books: Books<'_>, summary: &Summary<'_>) -> Plan {
    let Ok(held) = Held::of(summary.receipt) else {
        return park("unreadable_receipt", "what stands at Xero is not known: report it", false);
    };
    let (target, dated) = match summary::target_of(summary.parts, books.settings) {
        Ok(target) => target,
        Err(plan) => return *plan,
    };
    let Summary { key, version, refused, now, .. } = *summary;
    let is_refused = refused.is_some();
    let subject = Subject { key, version, payload: None, is_cancelled: false, is_refused, now };
    Planner { books, view: subject, held, target, dated }.next()
}

/// What does not fit holds the order that needs it, and not all of its day.
fn gathered(books: Books<'_>, view: &View<'_>, held: Held, target: &Target) -> Plan {
    let Books { settings, facts } = books;
    // What is noted of it now is what its day is paid to.
    if let Some(problem) = check_journals(settings, facts).into_iter().next() {
        return held_by(problem);
    }
    if let Some(misfit) = fit::misfit(target, settings, facts) {
        return hold(HOLD, misfit.subject, misfit.detail);
    }
    summary::gather(held, target, view.version, settings, view.now)
}

pub(super) fn park(reason: &'static str, hint: impl Into<String>, curable: bool) -> Plan {
    Plan::Park { reason, hint: hint.into(), curable }
}

/// A wait that costs no attempt, with one alert for all orders that wait for the same.
pub(super) fn hold(wait: Duration, subject: String, detail: String) -> Plan {
    let waiting_for = WaitingFor::Configuration;
    let alert = Alert { cause: waiting_for.as_str(), about: About::Shared(subject), detail };
    Plan::Wait { wait, waiting_for, alert: Some(alert) }
}

/// The wait for something that keeps everything from being posted.
fn held_by(problem: Problem) -> Plan {
    let detail = format!("{}: {}; all orders wait", problem.found, problem.to_do);
    hold(HOLD, problem.key, detail)
}

/// Whose documents are planned.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    key: &'a DeliveryKey,
    version: Version,
    /// The order as received, JSON text. None: many orders.
    payload: Option<&'a str>,
    is_cancelled: bool,
    /// Some step is refused, and nobody said to try it again.
    is_refused: bool,
    now: DateTime<Utc>,
}

#[derive(Debug)]
struct Planner<'a> {
    books: Books<'a>,
    view: Subject<'a>,
    held: Held,
    target: Target,
    /// What is made now is dated on this day, or on the first one that is open.
    dated: NaiveDate,
}

impl Planner<'_> {
    fn next(self) -> Plan {
        if let Some(currency) = self.held.currency.filter(|currency| *currency != self.target.currency) {
            let hint =
                format!("it was posted in {currency} and is in {} now: correct it by hand", self.target.currency);
            return park("currency_changed", hint, true);
        }
        if let Some(number) = self.mismatched() {
            let hint = format!(
                "{number} comes to something else at Xero than it should: nothing is paid; compare the two, correct it there by \
                 hand and discard this"
            );
            return park(TOTAL_MISMATCH, hint, false);
        }
        if let Some(problem) = hindrance(self.books.settings, self.books.facts) {
            return held_by(problem);
        }
        if let Some(plan) = self.refused() {
            return plan;
        }
        let locked_until = self.books.facts.locked_until();
        if let Some(delta) = self.delta() {
            return self.by_journal(delta, locked_until);
        }
        let editable: Vec<bool> = self.held.documents.iter().map(|one| self.may_edit(one, locked_until)).collect();
        let beside: Vec<&Line> = self.held.journal_lines().collect();
        let correction = correct(&self.held.documents, &beside, &editable, &self.target.lines, self.otherwise());
        if correction.moves.is_empty() || self.posts_nothing() {
            return self.money(locked_until);
        }
        self.lines(correction, locked_until)
    }

    /// Number of a document of which Xero says another total, or of a journal that it shows otherwise.
    fn mismatched(&self) -> Option<&str> {
        let differs = |document: &&Document| document.told_minor.is_some_and(|told| told != document.gross_minor);
        let document = self.held.standing().find(differs).map(|document| document.number.as_str());
        let journal = || self.held.journals.iter().find(|journal| journal.differs);
        document.or_else(|| journal().map(|journal| journal.number.as_str()))
    }

    fn refused(&self) -> Option<Plan> {
        if !self.view.is_refused {
            return None;
        }
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
        let is_locked = locked_until.is_some_and(|lock| self.dated <= lock);
        if is_first && is_locked && self.books.settings.locked_first_post == LockedFirstPost::Hold {
            let detail = format!(
                "orders of a locked period wait (locked until {}): unlock it at Xero, or set `locked_first_post = \"redate\"`",
                locked_until.map(|day| day.to_string()).unwrap_or_default()
            );
            return hold(HOLD, "locked period".to_owned(), detail);
        }
        if self.held.own().next().is_some() && !self.is_read() {
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

    fn read(&self) -> Plan {
        let version = self.view.version.0;
        let documents: Vec<On> = self.held.own().filter_map(on).collect();
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
        let customers = &settings.contacts.customers;
        let payload = self.view.payload.filter(|_| settings.contacts.mode == ContactMode::PerCustomer);
        let customer = payload.and_then(|payload| customer_of(customers, payload));
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

    // ---- the end ---------------------------------------------------------------------------------------------------

    /// The version is brought, or as much of it as can be.
    fn settled(self, notice: Option<Notice>) -> Plan {
        if let Some(plan) = self.note() {
            return plan;
        }
        let (notice, alert) = told(notice, &self.target.remarks);
        let held = Held {
            refusals: Vec::new(),
            currency: Some(self.target.currency),
            declared_minor: self.target.declared_minor,
            taken_back: self.view.is_cancelled,
            ..self.held
        };
        Plan::Settled(Receipt { notice, alert, ..held.known() })
    }

    /// The step that notes what this version changed; none: nothing did, it is noted already, or nobody wants it.
    fn note(&self) -> Option<Plan> {
        let version = self.view.version.0;
        let changed: Vec<&Document> =
            self.held.documents.iter().filter(|one| one.version == version && one.shared.is_none()).collect();
        let journals: Vec<&Journal> = self.held.journals.iter().filter(|one| one.version == version).collect();
        let is_nothing = changed.is_empty() && journals.is_empty();
        if !self.books.settings.history_notes || is_nothing || self.held.noted == Some(version) {
            return None;
        }
        let invoice = self.held.documents.iter().find(|one| one.kind == DocumentKind::Invoice).and_then(on)?;
        let journals = journals.into_iter().map(|journal| {
            let gross = Money::new(journal.gross_minor(), self.target.currency);
            format!("journal {} of {gross}", journal.number)
        });
        let documents: Vec<String> = changed.iter().map(|document| self.in_words(document)).chain(journals).collect();
        let details = format!(
            "Scoffable {} v{}: {}; it comes to {}",
            self.view.key.order.order_id,
            self.view.version,
            documents.join(", "),
            Money::new(self.held.posted_minor(), self.target.currency)
        );
        let held = Held { noted: Some(version), ..self.held.clone() };
        let body = body::note(&details);
        Some(self.step(&Call::Note(Note { invoice, details, body }), KEYED, "note", held))
    }

    fn in_words(&self, document: &Document) -> String {
        let kind = match document.kind {
            DocumentKind::Invoice => "invoice",
            DocumentKind::CreditNote => "credit note",
        };
        if !document.stands() {
            return format!("{kind} {} taken back", document.number);
        }
        let gross = Money::new(document.gross_minor, self.target.currency);
        format!("{kind} {} of {gross}", document.number)
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
            taken_back: held.taken_back && !matches!(call, Call::Invoice(_) | Call::Update(_) | Call::Journal(_)),
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

/// What stands beside a delivery that is as right as it can be, and what a person should know about it.
pub type Notice = (&'static str, Option<String>);

/// A notice as a receipt has it, with its alert.
pub(super) fn told(notice: Option<Notice>, remarks: &[Remark]) -> (Option<String>, Option<Alert>) {
    let Some((cause, detail)) = notice else { return (None, None) };
    let pair = remarks.iter().find_map(|remark| match remark {
        Remark::UnknownTender(pair) => Some(pair.clone()),
        _ => None,
    });
    let about = match pair {
        Some(pair) if cause == "unknown_tender" => About::Shared(pair),
        _ => About::Order,
    };
    (Some(cause.to_owned()), detail.map(|detail| Alert { cause, about, detail }))
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

/// The day itself, or the first one that is open.
fn open_day(day: NaiveDate, locked_until: Option<NaiveDate>) -> NaiveDate {
    let first_open = locked_until.and_then(|lock| lock.checked_add_days(Days::new(1)));
    first_open.map_or(day, |first_open| day.max(first_open))
}

#[cfg(test)]
mod tests;
