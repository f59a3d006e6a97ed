//! What became of steps whose answers were lost: as few readings as there can be for all of them.
//!
//! Documents are asked for by number or id, many at once; payments by their reference, on the documents that they were for;
//! journals by their narration, among all that were made or changed since, because no filter of exact names is documented.
//! What stands and says what ours says is ours; what says something else is never touched, and a person looks. Of a call that
//! had its effect in part, the rest was refused.
//!
//! Source: Xero Accounting API description 16.1.0, `InvoiceNumbers` and `IDs` of `Invoices`, `where` of `CreditNotes`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::TimeDelta;
use tokio::time::Instant;

use super::{
    api::{Asking, HISTORY},
    call::{Allocate, Call, Journal, Note, On, Pay, Payments, Post, Removal, Update, Void, name},
    journal,
    receipt::{DocumentKind, Held, Standing},
    records::{
        DELETED, IN_ONE_ADDRESS, PAYMENTS, adopted, answered, by_reference, credit_notes_of_late, is_as_asked,
        journals_since, numbered, resource, seen,
    },
    send::lost_refusal,
    wire::{Document, ManualJournal, Payment},
};
use crate::{
    domain::delivery::{Outcome, Reason, Sent},
    sinks::{Answer, Doubt, Finding, LookedUp},
};

/// A step in doubt may have been sent before it was sent for the last time, and Xero's clock may be another than ours.
const SENT_BEFORE: TimeDelta = TimeDelta::days(1);

/// One step in doubt.
struct Sought {
    call: Call,
    held: Held,
}

/// Everything that was read for all doubts.
#[derive(Default)]
struct Seen {
    invoices: Vec<Document>,
    credit_notes: Vec<Document>,
    journals: Vec<ManualJournal>,
    /// What could not be asked for.
    failed: Option<Answer>,
}

/// Looks all of them up.
pub async fn all(asking: &mut Asking<'_>, doubts: &[Doubt<'_>], timeout: Duration) -> LookedUp {
    let sought: Vec<Option<Sought>> = doubts
        .iter()
        .map(|doubt| {
            let call = Call::read(&doubt.step.body).ok()?;
            Some(Sought { call, held: Held::of(doubt.step.receipt.as_ref()).ok()? })
        })
        .collect();
    let numbers: BTreeSet<&str> = sought
        .iter()
        .flatten()
        .filter_map(|sought| match &sought.call {
            Call::Invoice(post) => Some(post.number.as_str()),
            _ => None,
        })
        .collect();
    let made: Vec<&On> = sought
        .iter()
        .flatten()
        .flat_map(|sought| match &sought.call {
            Call::Payments(payments) => payments.payments.iter().map(|pay| &pay.on).collect(),
            Call::Update(Update { document, .. }) | Call::Void(Void { document, .. }) => vec![document],
            _ => Vec::new(),
        })
        .collect();
    let of = |kind: DocumentKind| made.iter().filter(move |on| on.kind == kind);
    let ids: BTreeSet<&str> = of(DocumentKind::Invoice).map(|on| on.id.as_str()).collect();
    let lost_credit_notes = sought.iter().flatten().filter_map(|sought| match &sought.call {
        Call::CreditNote(post) => Some(post.number.as_str()),
        _ => None,
    });
    let credit_notes: BTreeSet<&str> =
        of(DocumentKind::CreditNote).map(|on| on.number.as_str()).chain(lost_credit_notes).collect();
    let mut read = Seen::default();
    read.take(asking, "InvoiceNumbers", &numbers).await;
    read.take(asking, "IDs", &ids).await;
    read.take_credit_notes(asking, &credit_notes).await;
    let journals = sought
        .iter()
        .zip(doubts)
        .filter(|(sought, _)| sought.as_ref().is_some_and(|sought| matches!(sought.call, Call::Journal(_))));
    if let Some(longest) = journals.map(|(_, doubt)| doubt.sent).max() {
        read.take_journals(asking, longest).await;
    }
    // The rest takes a call for each. What there is no time for is looked up next time.
    let ends = Instant::now() + timeout / 2;
    let mut findings = Vec::new();
    for sought in sought {
        findings.push(match sought {
            None => failed(Outcome::Reject { reason: Reason::Refused }.into()),
            Some(_) if Instant::now() >= ends => failed(later()),
            Some(sought) => one(asking, sought, &read).await.unwrap_or_else(failed),
        });
    }
    LookedUp { findings, calls: asking.calls() }
}

impl Seen {
    async fn take(&mut self, asking: &mut Asking<'_>, filter: &str, named: &BTreeSet<&str>) {
        let named: Vec<&str> = named.iter().copied().collect();
        for some in named.chunks(IN_ONE_ADDRESS) {
            if self.failed.is_some() {
                return;
            }
            // Lines are only shown on a page.
            match asking.read(&["Invoices"], &[(filter, &some.join(",")), ("page", "1")]).await {
                Ok(listing) => self.invoices.extend(listing.unwrap_or_default().invoices),
                Err(answer) => self.failed = Some(answer),
            }
        }
    }

    async fn take_credit_notes(&mut self, asking: &mut Asking<'_>, numbers: &BTreeSet<&str>) {
        let numbers: Vec<&str> = numbers.iter().copied().collect();
        if self.failed.is_some() || numbers.is_empty() {
            return;
        }
        let found = match numbered(asking, &numbers).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => credit_notes_of_late(asking).await,
            Err(answer) => Err(answer),
        };
        match found {
            Ok(found) => self.credit_notes = found,
            Err(answer) => self.failed = Some(answer),
        }
    }

    /// Those since the oldest doubt was sent for the last time, so long ago.
    async fn take_journals(&mut self, asking: &mut Asking<'_>, longest: Duration) {
        if self.failed.is_some() {
            return;
        }
        let sent_at = asking.now() - TimeDelta::from_std(longest).unwrap_or_default();
        match journals_since(asking, sent_at - SENT_BEFORE).await {
            Ok(Some(found)) => self.journals = found,
            Ok(None) => self.failed = Some(later()),
            Err(answer) => self.failed = Some(answer),
        }
    }

    /// An error: whether it is there could not be asked.
    fn find(&self, kind: DocumentKind, is_it: impl Fn(&Document) -> bool) -> Result<Option<&Document>, &Answer> {
        let all = match kind {
            DocumentKind::Invoice => &self.invoices,
            DocumentKind::CreditNote => &self.credit_notes,
        };
        match (all.iter().find(|document| is_it(document)), &self.failed) {
            (Some(document), _) => Ok(Some(document)),
            (None, Some(answer)) => Err(answer),
            (None, None) => Ok(None),
        }
    }
}

async fn one(asking: &mut Asking<'_>, sought: Sought, read: &Seen) -> Result<Finding, Answer> {
    let Sought { call, held } = sought;
    Ok(match &call {
        Call::Invoice(post) => lost_document(held, DocumentKind::Invoice, post, read),
        Call::CreditNote(post) => lost_document(held, DocumentKind::CreditNote, post, read),
        Call::Payments(payments) => paid(asking, held, payments, read).await?,
        Call::Journal(journal) => lost_journal(held, journal, read),
        Call::Allocate(allocate) => allocated(asking, &held, allocate).await?,
        Call::Update(update) => {
            let there = document(asking, update.document.kind, &update.document.id, read).await?;
            updated(held, update, there.as_ref())
        }
        Call::Void(void) => {
            let there = document(asking, void.document.kind, &void.document.id, read).await?;
            voided(held, void, there.as_ref())
        }
        Call::RemovePayments(removals) => removed(asking, &held, &removals.payments).await?,
        Call::Note(note) => noted(asking, &held, note).await?,
        // They look before they make, and are repeated.
        Call::Contact(_) | Call::Items(_) | Call::Read(_) => Finding::NotFound,
    })
}

fn lost_document(held: Held, kind: DocumentKind, post: &Post, read: &Seen) -> Finding {
    let there = match read.find(kind, |there| there.is(kind, &post.number)) {
        Ok(Some(there)) => there,
        Ok(None) => return Finding::NotFound,
        Err(answer) => return failed(answer.clone()),
    };
    match adopted(held, kind, post, there) {
        Some(receipt) => Finding::Stands(receipt),
        None => Finding::Ambiguous {
            hint: format!(
                "adoption_conflict: Xero has a document {} whose total, currency, contact or state is not ours: look at it \
                 there; adopt its id, or void it and retry",
                post.number
            ),
        },
    }
}

fn lost_journal(mut held: Held, journal: &Journal, read: &Seen) -> Finding {
    let mut found = read.journals.iter().filter(|there| there.narration.as_deref() == Some(&journal.narration));
    let (first, another) = (found.next(), found.next());
    let Some(there) = first else { return read.failed.clone().map_or(Finding::NotFound, failed) };
    let is_it = another.is_none() && journal::is_ours(there, &journal.booked, journal.currency);
    match there.manual_journal_id.clone().filter(|_| is_it) {
        Some(id) => {
            held.entered(&journal.number, id, false);
            Finding::Stands(held.known())
        }
        None => Finding::Ambiguous {
            hint: format!(
                "adoption_conflict: Xero has a journal {} that is there twice, or whose lines or state are not ours: look at \
                 it there; void it and retry, or discard this",
                journal.number
            ),
        },
    }
}

async fn paid(asking: &mut Asking<'_>, mut held: Held, asked: &Payments, read: &Seen) -> Result<Finding, Answer> {
    let mut there = BTreeMap::<String, Payment>::new();
    let mut looked_at = BTreeSet::new();
    for pay in &asked.payments {
        if looked_at.insert(pay.on.id.as_str())
            && let Some(document) = document(asking, pay.on.kind, &pay.on.id, read).await?
        {
            there.extend(by_reference(document.payments));
        }
    }
    let (found, missing): (Vec<&Pay>, Vec<&Pay>) =
        asked.payments.iter().partition(|pay| there.contains_key(&pay.reference));
    if found.is_empty() {
        return Ok(Finding::NotFound);
    }
    for pay in found {
        let payment = &there[&pay.reference];
        let (true, Some(id)) = (is_as_asked(payment, pay, asked.currency), &payment.payment_id) else {
            let hint = format!(
                "adoption_conflict: Xero has a payment {} of another amount: look at {} there, then retry or discard",
                pay.reference, pay.on.number
            );
            return Ok(Finding::Ambiguous { hint });
        };
        held.paid(&pay.reference, id.clone());
    }
    for pay in missing {
        held.refuse(lost_refusal(name::PAYMENTS, &pay.reference, asking.now()));
    }
    Ok(Finding::Stands(held.known()))
}

/// Allocations have no name: they are there if the credit note has as many of them as it is to have.
async fn allocated(asking: &mut Asking<'_>, held: &Held, allocate: &Allocate) -> Result<Finding, Answer> {
    let path = [resource(DocumentKind::CreditNote), allocate.credit_note.id.as_str()];
    let listing = asking.read(&path, &[]).await?.unwrap_or_default();
    let Some(there) = listing.credit_notes.first() else { return Ok(Finding::NotFound) };
    let counts = allocate.invoices.iter().map(|to| {
        let is_there = |allocation: &&super::wire::Allocation| {
            let invoice = allocation.invoice.as_ref().and_then(|invoice| invoice.invoice_id.as_deref());
            let amount = allocation.amount.as_ref().and_then(|amount| amount.minor(allocate.currency));
            invoice.is_some_and(|id| id.eq_ignore_ascii_case(&to.invoice.id)) && amount == Some(to.amount_minor)
        };
        let wanted = held.allocations.iter().filter(|ours| {
            ours.credit_note == allocate.credit_note.number
                && ours.invoice == to.invoice.number
                && ours.amount_minor == to.amount_minor
        });
        (there.allocations.iter().filter(is_there).count(), wanted.count())
    });
    let counts: Vec<(usize, usize)> = counts.collect();
    if counts.iter().all(|(there, wanted)| there >= wanted) {
        return Ok(Finding::Stands(held.known()));
    }
    if counts.iter().all(|(there, wanted)| there < wanted) {
        return Ok(Finding::NotFound);
    }
    let hint = format!("{} is allocated in part: allocate the rest there, then discard", allocate.credit_note.number);
    Ok(Finding::Ambiguous { hint })
}

fn updated(mut held: Held, update: &Update, there: Option<&Document>) -> Finding {
    let on = &update.document;
    let Some(there) = there else { return Finding::NotFound };
    let (Some(seen), Some(answered)) =
        (seen(there, on, update.currency, &held), answered(there, on.kind, update.currency))
    else {
        return failed(unreadable());
    };
    let is_ours = held.document(&on.number).is_some_and(|document| document.says(&seen.lines));
    if !is_ours || seen.total_minor != update.total_minor {
        return Finding::NotFound;
    }
    held.answered(&on.number, answered);
    Finding::Stands(held.known())
}

fn voided(mut held: Held, void: &Void, there: Option<&Document>) -> Finding {
    let on = &void.document;
    let status = there.and_then(|there| Standing::parse(there.status.as_deref()?));
    let (Some(there), Some(currency)) = (there, held.currency) else { return Finding::NotFound };
    if status.is_none_or(Standing::stands) {
        return Finding::NotFound;
    }
    let Some(answered) = answered(there, on.kind, currency) else { return failed(unreadable()) };
    held.answered(&on.number, answered);
    Finding::Stands(held.known())
}

async fn removed(asking: &mut Asking<'_>, held: &Held, removals: &[Removal]) -> Result<Finding, Answer> {
    for removal in removals {
        let listing = asking.read(&[PAYMENTS, &removal.id], &[]).await?.unwrap_or_default();
        if listing.payments.first().is_some_and(|there| there.status.as_deref() != Some(DELETED)) {
            return Ok(Finding::NotFound);
        }
    }
    Ok(Finding::Stands(held.known()))
}

async fn noted(asking: &mut Asking<'_>, held: &Held, note: &Note) -> Result<Finding, Answer> {
    let path = [resource(note.invoice.kind), note.invoice.id.as_str(), HISTORY];
    let listing = asking.read(&path, &[]).await?.unwrap_or_default();
    let is_there = listing.history_records.iter().any(|there| there.details.as_deref() == Some(&note.details));
    Ok(if is_there { Finding::Stands(held.known()) } else { Finding::NotFound })
}

/// A document by its id, out of what was read for all where it is there.
async fn document(
    asking: &mut Asking<'_>,
    kind: DocumentKind,
    id: &str,
    read: &Seen,
) -> Result<Option<Document>, Answer> {
    let is_it = |there: &Document| there.has_id(kind, id);
    match (kind, read.find(kind, is_it).map_err(Answer::clone)?) {
        (_, Some(found)) => Ok(Some(found.clone())),
        (DocumentKind::Invoice, None) => Ok(None),
        // Changed too long ago for what is read where filters are refused.
        (DocumentKind::CreditNote, None) => {
            let listing = asking.read(&[resource(kind), id], &[]).await?.unwrap_or_default();
            Ok(listing.credit_notes.into_iter().find(is_it))
        }
    }
}

fn failed(answer: Answer) -> Finding {
    Finding::Failed(answer)
}

fn later() -> Answer {
    Outcome::Retry { reason: Reason::Timeout, sent: Sent::No, not_before: None }.into()
}

fn unreadable() -> Answer {
    Outcome::Unknown { reason: Reason::UnreadableAnswer }.into()
}
