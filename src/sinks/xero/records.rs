//! What Xero's records say of ours: whether a document is the one that was asked for, and what a reading shows of it.
//! Pure, but for one document being looked for by its number.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    api::{Asking, PAGE_SIZE},
    call::{On, Pay, Post},
    receipt::{Answered, DocumentKind, Held, Seen, SeenLine, SeenPayment, Standing},
    wire::{self, Document, ManualJournal},
};
use crate::{
    domain::{delivery::Receipt, money::Currency},
    sinks::Answer,
};

/// What a doubt is about was made in this time: doubts that are older are for a person.
const LONGEST_DOUBT: chrono::Duration = chrono::Duration::days(3);

/// Numbers or ids in one address. Source: XeroAPI/Xero-Java, pull request 331: about fifty ids fit.
pub const IN_ONE_ADDRESS: usize = 40;
/// Each with the name of what it is.
const NUMBERS_IN_ONE_FILTER: usize = 8;

pub const PAYMENTS: &str = "Payments";
pub const JOURNALS: &str = "ManualJournals";
pub const DELETED: &str = "DELETED";

pub fn resource(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Invoice => "Invoices",
        DocumentKind::CreditNote => "CreditNotes",
    }
}

pub fn by_number(invoices: Vec<Document>, credit_notes: Vec<Document>) -> BTreeMap<String, Document> {
    let number = |document: Document| {
        let number = document.invoice_number.clone().or_else(|| document.credit_note_number.clone())?;
        Some((number, document))
    };
    invoices.into_iter().chain(credit_notes).filter_map(number).collect()
}

pub fn by_reference(payments: Vec<wire::Payment>) -> BTreeMap<String, wire::Payment> {
    payments.into_iter().filter_map(|payment| Some((payment.reference.clone()?, payment))).collect()
}

pub fn by_narration(journals: Vec<ManualJournal>) -> BTreeMap<String, ManualJournal> {
    journals.into_iter().filter_map(|journal| Some((journal.narration.clone()?, journal))).collect()
}

/// None: it cannot be taken for a document that stands.
pub fn answered(made: &Document, kind: DocumentKind, currency: Currency) -> Option<Answered> {
    Some(Answered {
        id: made.id(kind)?.to_owned(),
        status: Standing::parse(made.status.as_deref()?)?,
        total_minor: made.total.as_ref().and_then(|total| total.minor(currency)),
        updated_at: made.updated_date_utc.map(|at| at.0),
    })
}

/// The document that has a number, if it is one of sales.
pub async fn find(asking: &mut Asking<'_>, kind: DocumentKind, number: &str) -> Result<Option<Document>, Answer> {
    let found = match kind {
        DocumentKind::Invoice => {
            let query = [("InvoiceNumbers", number), ("page", "1")];
            asking.read(&[resource(kind)], &query).await?.unwrap_or_default().invoices
        }
        DocumentKind::CreditNote => match numbered(asking, &[number]).await? {
            Some(found) => found,
            None => credit_notes_of_late(asking).await?,
        },
    };
    Ok(found.into_iter().find(|document| document.is(kind, number)))
}

/// Credit notes by their numbers. None: filters are refused, as very large organisations do. Source: XeroAPI/xero-python,
/// issue 148.
pub async fn numbered(asking: &mut Asking<'_>, numbers: &[&str]) -> Result<Option<Vec<Document>>, Answer> {
    let mut found = Vec::new();
    for some in numbers.chunks(NUMBERS_IN_ONE_FILTER) {
        let names = some.iter().map(|number| format!("CreditNoteNumber==\"{}\"", number.replace(['"', '\\'], "")));
        let filter = names.collect::<Vec<_>>().join(" OR ");
        match asking.read(&[resource(DocumentKind::CreditNote)], &[("where", &filter), ("page", "1")]).await {
            Ok(listing) => found.extend(listing.unwrap_or_default().credit_notes),
            Err(answer) if answer.http_status == Some(400) => return Ok(None),
            Err(answer) => return Err(answer),
        }
    }
    Ok(Some(found))
}

/// Those that were made or changed since what a doubt can be about.
pub async fn credit_notes_of_late(asking: &mut Asking<'_>) -> Result<Vec<Document>, Answer> {
    let path = [resource(DocumentKind::CreditNote)];
    let pages = asking.read_pages_since(&path, asking.now() - LONGEST_DOUBT).await?;
    Ok(pages.into_iter().flat_map(|page| page.credit_notes).collect())
}

/// All journals that were made or changed since: nothing else proves that one was not posted, because they have no number of
/// ours that would be unique there. None: there are more than are read.
pub async fn journals_since(
    asking: &mut Asking<'_>,
    since: DateTime<Utc>,
) -> Result<Option<Vec<ManualJournal>>, Answer> {
    let pages = asking.read_pages_since(&[JOURNALS], since).await?;
    let told = pages.last().and_then(|page| page.pagination?.page_count);
    // Where the pages are not counted, one that is not full is the last.
    let is_all = told.map_or_else(
        || pages.last().is_none_or(|page| page.manual_journals.len() < PAGE_SIZE),
        |n_pages| pages.len() >= n_pages as usize,
    );
    Ok(is_all.then(|| pages.into_iter().flat_map(|page| page.manual_journals).collect()))
}

/// The same documents as they are there: all invoices in one reading, all credit notes in another, where that can be had.
pub async fn reread(asking: &mut Asking<'_>, documents: &[On]) -> Result<Vec<Document>, Answer> {
    let of = |kind: DocumentKind| documents.iter().filter(move |on| on.kind == kind).collect::<Vec<&On>>();
    let (invoices, credit_notes) = (of(DocumentKind::Invoice), of(DocumentKind::CreditNote));
    let mut there = Vec::new();
    if invoices.len() > 1 {
        let ids: Vec<&str> = invoices.iter().map(|on| on.id.as_str()).collect();
        for some in ids.chunks(IN_ONE_ADDRESS) {
            // Lines are only shown on a page.
            let query = [("IDs", &*some.join(",")), ("page", "1")];
            let listing = asking.read(&[resource(DocumentKind::Invoice)], &query).await?;
            there.extend(listing.unwrap_or_default().invoices);
        }
    }
    if credit_notes.len() > 1 {
        let numbers: Vec<&str> = credit_notes.iter().map(|on| on.number.as_str()).collect();
        there.extend(numbered(asking, &numbers).await?.unwrap_or_default());
    }
    for on in documents {
        if there.iter().any(|document| document.has_id(on.kind, &on.id)) {
            continue;
        }
        let listing = asking.read(&[resource(on.kind), &on.id], &[]).await?.unwrap_or_default();
        there.extend(listing.invoices.into_iter().chain(listing.credit_notes));
    }
    Ok(there)
}

/// The receipt with a document that stands there, if it says what ours says: total, currency and contact, and still stands.
pub fn adopted(mut held: Held, kind: DocumentKind, post: &Post, there: &Document) -> Option<Receipt> {
    let answered = answered(there, kind, post.currency)?;
    let contact = there.contact.as_ref().and_then(|contact| contact.contact_id.as_deref());
    let says_the_same = answered.total_minor == Some(post.total_minor)
        && there.currency_code.as_deref() == Some(post.currency.as_str())
        && contact.is_some_and(|contact| contact.eq_ignore_ascii_case(&post.contact_id))
        && answered.status.stands();
    says_the_same.then(|| {
        held.answered(&post.number, answered);
        held.known()
    })
}

/// None: it lacks what has to be known.
pub fn seen(there: &Document, on: &On, currency: Currency, held: &Held) -> Option<Seen> {
    let minor = |amount: &Option<wire::Number>| amount.as_ref()?.minor(currency);
    let total_minor = minor(&there.total)?;
    let applied_minor = match on.kind {
        DocumentKind::Invoice => {
            minor(&there.amount_paid).unwrap_or_default() + minor(&there.amount_credited).unwrap_or_default()
        }
        DocumentKind::CreditNote => total_minor - minor(&there.remaining_credit)?,
    };
    let line = |line: &wire::LineItem| {
        Some(SeenLine {
            account: line.account_code.clone().unwrap_or_default(),
            tax_type: line.tax_type.clone().unwrap_or_default(),
            amount_minor: minor(&line.line_amount)?,
        })
    };
    let listed = there.payments.iter().filter_map(|payment| {
        let deleted = payment.status.as_deref() == Some(DELETED);
        Some(SeenPayment { id: payment.payment_id.clone()?, reconciled: payment.is_reconciled, deleted })
    });
    let mut payments: Vec<SeenPayment> = listed.collect();
    // One that was removed is not listed any more.
    let ours = held.payments.iter().filter(|payment| payment.on == on.number).filter_map(|payment| payment.id.clone());
    let gone: Vec<String> = ours.filter(|id| !payments.iter().any(|there| there.id == *id)).collect();
    payments.extend(gone.into_iter().map(|id| SeenPayment { id, reconciled: false, deleted: true }));
    Some(Seen {
        status: Standing::parse(there.status.as_deref()?)?,
        total_minor,
        applied_minor,
        updated_at: there.updated_date_utc.map(|at| at.0),
        contact_id: there.contact.as_ref().and_then(|contact| contact.contact_id.clone()).unwrap_or_default(),
        lines: there.line_items.iter().map(line).collect::<Option<_>>()?,
        payments,
    })
}

/// Whether a payment that is seen is the one that was asked for.
pub fn is_as_asked(there: &wire::Payment, pay: &Pay, currency: Currency) -> bool {
    there.amount.as_ref().and_then(|amount| amount.minor(currency)) == Some(pay.amount_minor)
        && there.status.as_deref() != Some(DELETED)
}
