//! Sends steps: one call each, or one for many, and says of each what Xero answered.
//!
//! A record is made if it has no errors and an id; records are told apart by number, reference or narration, never by their
//! place. What
//! Xero did not take is written into the receipt, from which the plan goes on. A number that is in use already is looked at
//! at once: what stands there is ours if it says the same, and is never touched if it does not.
//!
//! Source: Xero Accounting API description 16.1.0, `summarizeErrors`, `Invoices`, `CreditNotes`, `Payments`, `Allocations`,
//! `ManualJournals`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use reqwest::Method;
use sha2::{Digest, Sha256};

use super::{
    api::{Asking, HISTORY, Heard, Write},
    call::{
        Allocate, Call, Contact, Exact, Items, Journal, Note, On, Payments, Post, Read, RemovePayments, Update, Void,
    },
    contacts::Finder,
    journal,
    reading::Shared,
    receipt::{self, DocumentKind, Held, Refusal, Standing},
    records::{
        DELETED, JOURNALS, PAYMENTS, adopted, answered, by_narration, by_number, by_reference, find, reread, resource,
        seen,
    },
    refusal::Why,
    wire::{self, Document, Listing, ManualJournal},
};
use crate::{
    domain::{
        delivery::{Outcome, Reason, Receipt, Step},
        money::Currency,
    },
    sinks::{Answer, Calls, GroupAnswer, Told, http::excerpt},
};

/// Largest body of a call that carries several documents. Assumed: no limit is documented; this is less than servers refuse.
const LARGEST_GROUP: usize = 1_000_000;

/// Why Xero did not take something, as receipts have it ([`Refusal::cause`]).
pub mod cause {
    /// Its date lies in a locked period.
    pub const LOCK_DATE: &str = "lock_date";
    /// What it is about was paid, voided or deleted meanwhile.
    pub const NOT_MODIFIABLE: &str = "not_modifiable";
    /// An account or a tax type is not there or cannot be used so.
    pub const MAPPING: &str = "mapping";
    /// What it is about is not there.
    pub const NOT_FOUND: &str = "not_found";
    /// Its call had its effect without it; why was in an answer that was lost.
    pub const LOST: &str = "lost";
    /// Any other.
    pub const REJECTED: &str = "rejected_by_xero";
}

/// A document stands under our number and does not say what ours says.
pub const ADOPTION_CONFLICT: Told = Told {
    reason: "adoption_conflict",
    hint: "Xero has another document under this order's number: look at it there; void it, then retry, or discard this one",
};

/// A document that is changed in place.
struct Change<'c> {
    name: &'static str,
    on: &'c On,
    before: &'c receipt::Document,
    body: &'c Exact,
    currency: Option<Currency>,
}

/// What it takes to send.
#[derive(Debug)]
pub struct Sender<'s> {
    pub shared: &'s Shared,
    pub contacts: Finder<'s>,
}

impl Sender<'_> {
    /// Sends one step.
    pub async fn send(&self, asking: &mut Asking<'_>, step: &Step) -> Answer {
        let (Ok(call), Ok(held)) = (Call::read(&step.body), Held::of(step.receipt.as_ref())) else {
            // Written by another version of this program.
            return Outcome::Reject { reason: Reason::Refused }.into();
        };
        let answer = match &call {
            Call::Contact(contact) => self.contact(asking, contact, held).await,
            Call::Items(items) => self.items(asking, items, held, &step.key).await,
            Call::Invoice(post) => self.post(asking, DocumentKind::Invoice, post, held, &step.key).await,
            Call::CreditNote(post) => self.post(asking, DocumentKind::CreditNote, post, held, &step.key).await,
            Call::Payments(payments) => self.pay(asking, payments, held, &step.key).await,
            Call::Allocate(allocate) => self.allocate(asking, allocate, held, &step.key).await,
            Call::Update(update) => self.update(asking, update, held, &step.key).await,
            Call::Void(void) => self.void(asking, void, held, &step.key).await,
            Call::Read(read) => self.read(asking, read, held).await,
            Call::RemovePayments(removals) => self.remove(asking, removals, held, &step.key).await,
            Call::Note(note) => write_note(asking, note, &held, &step.key).await,
            Call::Journal(journal) => self.enter(asking, journal, held, &step.key).await,
        };
        asking.counted(answer.unwrap_or_else(|answer| answer))
    }

    /// Sends steps of one name in one call.
    pub async fn send_group(&self, asking: &mut Asking<'_>, steps: &[&Step]) -> GroupAnswer {
        let read = |step: &&Step| Some((Call::read(&step.body).ok()?, Held::of(step.receipt.as_ref()).ok()?));
        let Some(members) = steps.iter().map(read).collect::<Option<Vec<_>>>() else {
            return GroupAnswer::RefusedWhole;
        };
        let mut bodies = Vec::new();
        for (call, _) in &members {
            match call {
                Call::Invoice(post) | Call::CreditNote(post) => bodies.push(post.body.get()),
                Call::Payments(payments) => bodies.extend(payments.payments.iter().map(|pay| pay.body.get())),
                Call::Journal(journal) => bodies.push(journal.body.get()),
                _ => return GroupAnswer::RefusedWhole,
            }
        }
        let resource = match &members[0].0 {
            Call::Invoice(_) => resource(DocumentKind::Invoice),
            Call::CreditNote(_) => resource(DocumentKind::CreditNote),
            Call::Journal(_) => JOURNALS,
            _ => PAYMENTS,
        };
        let body = array(resource, &bodies);
        if body.len() > LARGEST_GROUP {
            return GroupAnswer::RefusedWhole;
        }
        let mut hasher = Sha256::new();
        for step in steps {
            hasher.update(&step.key);
        }
        let key = hex::encode(hasher.finalize());
        let heard = match asking.write(Write { method: Method::PUT, path: &[resource], body, key: &key }).await {
            Ok(heard) if heard.answer.status.is_success() => heard,
            Ok(_) => return GroupAnswer::RefusedWhole,
            Err(answer) => return GroupAnswer::Whole(asking.counted(answer)),
        };
        let Some(listing) = heard.listing() else {
            let unreadable = heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer });
            return GroupAnswer::Whole(asking.counted(unreadable));
        };
        let mut answers = self.each(asking, members, listing).await;
        for answer in &mut answers {
            answer.http_status = Some(heard.answer.status.as_u16());
        }
        if let Some(first) = answers.first_mut() {
            let Calls { made, limits } = asking.calls();
            (first.calls_beside, first.limits) = (made.saturating_sub(1), limits);
        }
        GroupAnswer::Each(answers)
    }

    /// One answer for each member of a call that succeeded as a whole.
    async fn each(&self, asking: &mut Asking<'_>, members: Vec<(Call, Held)>, listing: Listing) -> Vec<Answer> {
        let documents = by_number(listing.invoices, listing.credit_notes);
        let payments = by_reference(listing.payments);
        let journals = by_narration(listing.manual_journals);
        let mut answers = Vec::new();
        for (call, held) in members {
            answers.push(match call {
                Call::Invoice(post) => {
                    let made = documents.get(post.number.as_str());
                    self.posted(asking, DocumentKind::Invoice, &post, held, made).await
                }
                Call::CreditNote(post) => {
                    let made = documents.get(post.number.as_str());
                    self.posted(asking, DocumentKind::CreditNote, &post, held, made).await
                }
                Call::Payments(asked) => self.paid(asking, &asked, held, &payments),
                Call::Journal(journal) => {
                    let made = journals.get(&journal.narration);
                    self.entered(asking, &journal, held, made)
                }
                _ => unreadable(),
            });
        }
        answers
    }

    async fn contact(&self, asking: &mut Asking<'_>, contact: &Contact, mut held: Held) -> Result<Answer, Answer> {
        let found = self.contacts.find(asking, contact).await?;
        held.contact = Some(found.held);
        Ok(delivered(Receipt { alert: found.alert, ..held.known() }))
    }

    async fn items(&self, asking: &mut Asking<'_>, items: &Items, held: Held, key: &str) -> Result<Answer, Answer> {
        let listing = asking.read(&["Items"], &[]).await?.unwrap_or_default();
        let there: Vec<String> = listing.items.into_iter().filter_map(|item| item.code).collect();
        let missing: Vec<&super::call::Item> = items.items.iter().filter(|item| !there.contains(&item.code)).collect();
        self.shared.has_items(there.iter().cloned());
        if missing.is_empty() {
            return Ok(delivered(held.known()));
        }
        let bodies: Vec<&str> = missing.iter().map(|item| item.body.get()).collect();
        let body = array("Items", &bodies);
        let heard = asking.write(Write { method: Method::PUT, path: &["Items"], body, key }).await?;
        let mut held = held;
        let made = heard.listing().filter(|_| heard.answer.status.is_success()).map(|listing| listing.items);
        let Some(made) = made else {
            let Some(why) = heard.why() else { return Err(lost(heard)) };
            for item in &missing {
                self.refuse(asking, &mut held, super::call::name::ITEMS, &item.code, why);
            }
            return Ok(told_by(&heard, delivered(held.known())));
        };
        for item in missing {
            let made = made.iter().find(|made| made.code.as_deref() == Some(item.code.as_str()));
            match made {
                Some(made) if made.verdict().is_good() && made.item_id.is_some() => {
                    self.shared.has_items([item.code.clone()]);
                }
                Some(made) => {
                    let why = Why::of_messages(&made.validation_errors);
                    self.refuse(asking, &mut held, super::call::name::ITEMS, &item.code, why);
                }
                None => return Err(lost(heard)),
            }
        }
        Ok(delivered(held.known()))
    }

    async fn post(
        &self,
        asking: &mut Asking<'_>,
        kind: DocumentKind,
        post: &Post,
        held: Held,
        key: &str,
    ) -> Result<Answer, Answer> {
        let body = array(resource(kind), &[post.body.get()]);
        let heard = asking.write(Write { method: Method::PUT, path: &[resource(kind)], body, key }).await?;
        let answer = match (heard.why(), heard.listing()) {
            (Some(why), _) => self.not_posted(asking, kind, post, held, why).await,
            (None, Some(listing)) if heard.answer.status.is_success() => {
                let documents = by_number(listing.invoices, listing.credit_notes);
                self.posted(asking, kind, post, held, documents.get(post.number.as_str())).await
            }
            _ => return Err(lost(heard)),
        };
        Ok(told_by(&heard, answer))
    }

    /// What an answer says of a document; none: nothing.
    async fn posted(
        &self,
        asking: &mut Asking<'_>,
        kind: DocumentKind,
        post: &Post,
        mut held: Held,
        made: Option<&Document>,
    ) -> Answer {
        let Some(made) = made else { return unreadable() };
        if !made.verdict().is_good() {
            let why = Why::of_messages(&made.validation_errors);
            let answer = self.not_posted(asking, kind, post, held, why).await;
            return Answer { excerpt: said_of(&made.validation_errors), ..answer };
        }
        let Some(answered) = answered(made, kind, post.currency) else { return unreadable() };
        held.answered(&post.number, answered);
        delivered(held.known())
    }

    async fn not_posted(
        &self,
        asking: &mut Asking<'_>,
        kind: DocumentKind,
        post: &Post,
        mut held: Held,
        why: Why,
    ) -> Answer {
        if why != Why::NumberTaken {
            self.refuse(asking, &mut held, step_name(kind), &post.number, why);
            return delivered(held.known());
        }
        match find(asking, kind, &post.number).await {
            Ok(Some(there)) => match adopted(held, kind, post, &there) {
                Some(receipt) => delivered(receipt),
                None => {
                    Answer { told: Some(&ADOPTION_CONFLICT), ..Outcome::Reject { reason: Reason::Conflict }.into() }
                }
            },
            // In use, and not to be seen: nothing is known.
            Ok(None) => Outcome::Unknown { reason: Reason::Conflict }.into(),
            Err(answer) => Answer { outcome: Outcome::Unknown { reason: Reason::Conflict }, ..answer },
        }
    }

    async fn pay(
        &self,
        asking: &mut Asking<'_>,
        payments: &Payments,
        mut held: Held,
        key: &str,
    ) -> Result<Answer, Answer> {
        let bodies: Vec<&str> = payments.payments.iter().map(|pay| pay.body.get()).collect();
        let body = array(PAYMENTS, &bodies);
        let heard = asking.write(Write { method: Method::PUT, path: &[PAYMENTS], body, key }).await?;
        let answer = match (heard.why(), heard.listing()) {
            (Some(why), _) => {
                for pay in &payments.payments {
                    self.refuse(asking, &mut held, super::call::name::PAYMENTS, &pay.reference, why);
                }
                delivered(held.known())
            }
            (None, Some(listing)) if heard.answer.status.is_success() => {
                self.paid(asking, payments, held, &by_reference(listing.payments))
            }
            _ => return Err(lost(heard)),
        };
        Ok(told_by(&heard, answer))
    }

    /// What an answer says of an order's payments. One that is not in it may or may not have been made.
    fn paid(
        &self,
        asking: &Asking<'_>,
        asked: &Payments,
        mut held: Held,
        made: &BTreeMap<String, wire::Payment>,
    ) -> Answer {
        let mut excerpt = None;
        for pay in &asked.payments {
            match made.get(&pay.reference) {
                Some(made) if !made.verdict().is_good() => {
                    let why = Why::of_messages(&made.validation_errors);
                    self.refuse(asking, &mut held, super::call::name::PAYMENTS, &pay.reference, why);
                    excerpt = said_of(&made.validation_errors);
                }
                Some(wire::Payment { payment_id: Some(id), .. }) => held.paid(&pay.reference, id.clone()),
                _ => return unreadable(),
            }
        }
        Answer { excerpt, ..delivered(held.known()) }
    }

    async fn enter(
        &self,
        asking: &mut Asking<'_>,
        journal: &Journal,
        mut held: Held,
        key: &str,
    ) -> Result<Answer, Answer> {
        let body = array(JOURNALS, &[journal.body.get()]);
        let heard = asking.write(Write { method: Method::PUT, path: &[JOURNALS], body, key }).await?;
        let answer = match (heard.why(), heard.listing()) {
            (Some(why), _) => {
                self.refuse(asking, &mut held, super::call::name::JOURNAL, &journal.number, why);
                delivered(held.known())
            }
            (None, Some(listing)) if heard.answer.status.is_success() => {
                let journals = by_narration(listing.manual_journals);
                self.entered(asking, journal, held, journals.get(&journal.narration))
            }
            _ => return Err(lost(heard)),
        };
        Ok(told_by(&heard, answer))
    }

    /// What an answer says of a journal; none: nothing.
    fn entered(&self, asking: &Asking<'_>, journal: &Journal, mut held: Held, made: Option<&ManualJournal>) -> Answer {
        let Some(made) = made else { return unreadable() };
        if !made.verdict().is_good() {
            let why = Why::of_messages(&made.validation_errors);
            self.refuse(asking, &mut held, super::call::name::JOURNAL, &journal.number, why);
            return Answer { excerpt: said_of(&made.validation_errors), ..delivered(held.known()) };
        }
        let Some(id) = made.manual_journal_id.clone() else { return unreadable() };
        let differs = !journal::is_ours(made, &journal.booked, journal.currency);
        held.entered(&journal.number, id, differs);
        delivered(held.known())
    }

    async fn allocate(
        &self,
        asking: &mut Asking<'_>,
        allocate: &Allocate,
        mut held: Held,
        key: &str,
    ) -> Result<Answer, Answer> {
        let path = ["CreditNotes", allocate.credit_note.id.as_str(), "Allocations"];
        let body = allocate.body.get().to_owned();
        let heard = asking.write(Write { method: Method::PUT, path: &path, body, key }).await?;
        let why = match (heard.why(), heard.listing()) {
            (Some(why), _) => Some(why),
            (None, _) if heard.answer.status.as_u16() == 404 => Some(Why::NotFound),
            (None, Some(listing)) => {
                let refused = listing.allocations.iter().find(|made| !made.verdict().is_good());
                refused.map(|made| Why::of_messages(&made.validation_errors))
            }
            (None, None) => return Err(lost(heard)),
        };
        if let Some(why) = why {
            not_allocated(&mut held, allocate);
            self.refuse(asking, &mut held, super::call::name::ALLOCATE, &allocate.credit_note.number, why);
        }
        Ok(told_by(&heard, delivered(held.known())))
    }

    async fn update(&self, asking: &mut Asking<'_>, update: &Update, held: Held, key: &str) -> Result<Answer, Answer> {
        let Update { document, before, body, currency, .. } = update;
        let change = Change { name: super::call::name::UPDATE, on: document, before, body, currency: Some(*currency) };
        self.change(asking, change, held, key).await
    }

    async fn void(&self, asking: &mut Asking<'_>, void: &Void, held: Held, key: &str) -> Result<Answer, Answer> {
        let Void { document, before, body } = void;
        let change = Change { name: super::call::name::VOID, on: document, before, body, currency: held.currency };
        self.change(asking, change, held, key).await
    }

    async fn change(
        &self,
        asking: &mut Asking<'_>,
        change: Change<'_>,
        mut held: Held,
        key: &str,
    ) -> Result<Answer, Answer> {
        let Change { name, on, before, body, currency } = change;
        let resource = resource(on.kind);
        let body = array(resource, &[body.get()]);
        let heard = asking.write(Write { method: Method::POST, path: &[resource, &on.id], body, key }).await?;
        let is_gone = heard.answer.status.as_u16() == 404;
        let listing = heard.listing().unwrap_or_default();
        let made = listing.invoices.into_iter().chain(listing.credit_notes).next();
        let why = match (heard.why().or(is_gone.then_some(Why::NotFound)), &made) {
            (Some(why), _) => Some(why),
            (None, Some(made)) if !made.verdict().is_good() => Some(Why::of_messages(&made.validation_errors)),
            (None, _) => None,
        };
        if let Some(why) = why {
            for document in held.documents.iter_mut().filter(|document| document.number == before.number) {
                document.clone_from(before);
            }
            self.refuse(asking, &mut held, name, &on.number, why);
            return Ok(told_by(&heard, delivered(held.known())));
        }
        let answered = made.zip(currency).and_then(|(made, currency)| answered(&made, on.kind, currency));
        let Some(answered) = answered else { return Err(lost(heard)) };
        held.answered(&on.number, answered);
        Ok(told_by(&heard, delivered(held.known())))
    }

    async fn read(&self, asking: &mut Asking<'_>, read: &Read, mut held: Held) -> Result<Answer, Answer> {
        let Some(currency) = held.currency else { return Err(unreadable()) };
        let all = reread(asking, &read.documents).await?;
        for on in &read.documents {
            let Some(there) = all.iter().find(|there| there.has_id(on.kind, &on.id)) else {
                // Nothing is ever removed there for good: another organisation answers.
                return Ok(Outcome::Reject { reason: Reason::NotFound }.into());
            };
            let Some(seen) = seen(there, on, currency, &held) else { return Err(unreadable()) };
            held.seen(&on.number, &seen);
        }
        held.was_read(read.version, asking.now());
        Ok(delivered(held.known()))
    }

    async fn remove(
        &self,
        asking: &mut Asking<'_>,
        removals: &RemovePayments,
        mut held: Held,
        key: &str,
    ) -> Result<Answer, Answer> {
        // All are looked at before one is removed: without those that stay, the others may serve nothing.
        let mut stand = Vec::new();
        let mut some_stay = false;
        for removal in &removals.payments {
            let listing = asking.read(&[PAYMENTS, removal.id.as_str()], &[]).await?;
            match listing.and_then(|listing| listing.payments.into_iter().next()) {
                None => {
                    self.keep(asking, &mut held, &removal.reference, Why::NotFound);
                    some_stay = true;
                }
                // Also by us, where the answer was lost.
                Some(there) if there.status.as_deref() == Some(DELETED) => {}
                Some(there) if there.is_reconciled => {
                    held.keep_reconciled(&removal.reference);
                    some_stay = true;
                }
                Some(_) => stand.push(removal),
            }
        }
        if some_stay {
            for removal in stand {
                held.keep(&removal.reference);
            }
            return Ok(delivered(held.known()));
        }
        for removal in stand {
            let path = [PAYMENTS, removal.id.as_str()];
            let key = hex::encode(Sha256::digest(format!("{key}|{}", removal.id)));
            let body = format!(r#"{{"Status":"{DELETED}"}}"#);
            let heard = asking.write(Write { method: Method::POST, path: &path, body, key: &key }).await?;
            let made = heard.listing().and_then(|listing| listing.payments.into_iter().next());
            let why = match (heard.why(), made) {
                (Some(why), _) => Some(why),
                (None, Some(made)) if !made.verdict().is_good() => Some(Why::of_messages(&made.validation_errors)),
                (None, Some(_)) if heard.answer.status.is_success() => None,
                (None, _) => return Err(lost(heard)),
            };
            if let Some(why) = why {
                self.keep(asking, &mut held, &removal.reference, why);
            }
        }
        Ok(delivered(held.known()))
    }

    /// A payment that was to be removed stays, because Xero does not remove it.
    fn keep(&self, asking: &Asking<'_>, held: &mut Held, reference: &str, why: Why) {
        held.keep(reference);
        self.refuse(asking, held, super::call::name::REMOVE_PAYMENTS, reference, why);
    }

    /// Writes down that Xero did not take it; what the refusal contradicts is read anew.
    fn refuse(&self, asking: &Asking<'_>, held: &mut Held, step: &str, about: &str, why: Why) {
        if matches!(why, Why::LockDate | Why::Mapping) {
            self.shared.facts.contradicted(asking.now());
        }
        let (step, about) = (step.to_owned(), about.to_owned());
        held.refuse(Refusal { step, about, cause: cause_of(why).to_owned(), at: asking.now() });
    }
}

/// Nothing hangs on a note: one that Xero does not take is not tried again, and holds up no order.
async fn write_note(asking: &mut Asking<'_>, note: &Note, held: &Held, key: &str) -> Result<Answer, Answer> {
    let path = [resource(note.invoice.kind), note.invoice.id.as_str(), HISTORY];
    let body = note.body.get().to_owned();
    let heard = asking.write(Write { method: Method::PUT, path: &path, body, key }).await?;
    Ok(told_by(&heard, delivered(held.known())))
}

fn step_name(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Invoice => super::call::name::INVOICE,
        DocumentKind::CreditNote => super::call::name::CREDIT_NOTE,
    }
}

fn cause_of(why: Why) -> &'static str {
    match why {
        Why::LockDate => cause::LOCK_DATE,
        Why::NotModifiable => cause::NOT_MODIFIABLE,
        Why::Mapping => cause::MAPPING,
        Why::NotFound => cause::NOT_FOUND,
        Why::NameTaken | Why::NumberTaken | Why::Other => cause::REJECTED,
    }
}

/// The bodies as they are, in one list.
fn array(resource: &str, bodies: &[&str]) -> String {
    format!(r#"{{"{resource}":[{}]}}"#, bodies.join(","))
}

fn delivered(receipt: Receipt) -> Answer {
    Outcome::Delivered(receipt).into()
}

fn unreadable() -> Answer {
    Outcome::Unknown { reason: Reason::UnreadableAnswer }.into()
}

fn lost(heard: Heard) -> Answer {
    let outcome = match heard.answer.status.as_u16() {
        404 => Outcome::Reject { reason: Reason::NotFound },
        _ => Outcome::Unknown { reason: Reason::UnreadableAnswer },
    };
    heard.into_answer(outcome)
}

/// With what the answer told of itself; of a refusal its beginning, masked.
fn told_by(heard: &Heard, answer: Answer) -> Answer {
    let status = heard.answer.status;
    let excerpt = if status.is_success() { answer.excerpt } else { excerpt(&heard.answer.body) };
    Answer { http_status: Some(status.as_u16()), excerpt, ..answer }
}

/// The errors of one record, masked.
fn said_of(messages: &[wire::Message]) -> Option<String> {
    let texts: Vec<&str> = messages.iter().filter_map(|message| message.message.as_deref()).collect();
    excerpt(texts.join("; ").as_bytes())
}

/// Takes allocations that were refused out of the receipt.
fn not_allocated(held: &mut Held, allocate: &Allocate) {
    let credit_note = &allocate.credit_note.number;
    for to in &allocate.invoices {
        let is_it = |ours: &receipt::Allocation| {
            ours.credit_note == *credit_note
                && ours.invoice == to.invoice.number
                && ours.amount_minor == to.amount_minor
        };
        let Some(at) = held.allocations.iter().rposition(is_it) else { continue };
        held.allocations.remove(at);
        for document in &mut held.documents {
            if document.number == *credit_note || document.number == to.invoice.number {
                document.applied_minor -= to.amount_minor;
                if document.status == Standing::Paid {
                    document.status = Standing::Authorised;
                }
            }
        }
    }
}

/// A moment for refusals that a look-up finds.
pub fn lost_refusal(step: &str, about: &str, at: DateTime<Utc>) -> Refusal {
    Refusal { step: step.to_owned(), about: about.to_owned(), cause: cause::LOST.to_owned(), at }
}
