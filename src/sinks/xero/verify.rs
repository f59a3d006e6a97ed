//! What Xero itself says of orders that we hold there, to be compared with our receipts.
//!
//! Invoices are read many at once by their ids, credit notes one by one. An order is worth its invoices less its credit notes;
//! a document that was voided, deleted or is not found is worth nothing, whoever took it back. Journals are read one by one, too,
//! and are worth what they add to it.
//!
//! Source: Xero Accounting API description 16.1.0, `IDs` of `Invoices`, `CreditNotes/{CreditNoteID}` and
//! `ManualJournals/{ManualJournalID}`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    api::Asking,
    journal,
    receipt::{DocumentKind, Held, Standing},
    records::{IN_ONE_ADDRESS, JOURNALS, resource},
    wire::{Document, Listing, ManualJournal},
};
use crate::{
    domain::{
        money::Currency,
        reconciliation::{Holding, Seen},
    },
    sinks::{OUT_OF_CALLS, Turns, untold},
};

/// A document's total or state cannot be read.
const TOTAL_UNTOLD: &str = "total_untold";
/// A document of many orders comes to something else than it was posted with.
const SUMMARY_DIFFERS: &str = "summary_differs";
const UNREADABLE_RECEIPT: &str = "unreadable_receipt";

/// By id, in lower case.
#[derive(Default)]
struct There {
    documents: BTreeMap<String, Document>,
    journals: BTreeMap<String, ManualJournal>,
}

/// One for each, in their order.
pub async fn all(asking: &mut Asking<'_>, holdings: &[Holding], turns: &dyn Turns) -> Vec<Seen> {
    let held: Vec<Option<Held>> = holdings.iter().map(|holding| Held::of(Some(&holding.receipt)).ok()).collect();
    let ids_of = |kind: DocumentKind| -> Vec<&str> {
        let documents = held.iter().flatten().flat_map(Held::standing).filter(|document| document.kind == kind);
        // A document of many orders is read once.
        let ids: BTreeSet<&str> = documents.filter_map(|document| document.id.as_deref()).collect();
        ids.into_iter().collect()
    };
    let mut there = There::default();
    let mut reading = Reading { asking, turns, stopped: None };
    for some in ids_of(DocumentKind::Invoice).chunks(IN_ONE_ADDRESS) {
        // Lines are only shown on a page.
        let query = [("IDs", &*some.join(",")), ("page", "1")];
        let listing = reading.read(&[resource(DocumentKind::Invoice)], &query).await;
        there.documents.extend(by_id(DocumentKind::Invoice, listing.invoices));
    }
    for id in ids_of(DocumentKind::CreditNote) {
        let listing = reading.read(&[resource(DocumentKind::CreditNote), id], &[]).await;
        there.documents.extend(by_id(DocumentKind::CreditNote, listing.credit_notes));
    }
    let journals = held.iter().flatten().flat_map(|held| &held.journals);
    for id in journals.filter_map(|journal| journal.id.as_deref()) {
        let listing = reading.read(&[JOURNALS, id], &[]).await;
        let named = |journal: ManualJournal| Some((journal.manual_journal_id.as_ref()?.to_ascii_lowercase(), journal));
        there.journals.extend(listing.manual_journals.into_iter().filter_map(named));
    }
    let stopped = reading.stopped;
    held.iter()
        .map(|held| match held {
            Some(held) => worth(held, &there, stopped.as_ref()),
            None => Seen::Untold(UNREADABLE_RECEIPT.to_owned()),
        })
        .collect()
}

/// Reads until there is no turn, or no answer.
struct Reading<'a, 'c> {
    asking: &'a mut Asking<'c>,
    turns: &'a dyn Turns,
    /// What is said of all that was not read.
    stopped: Option<Seen>,
}

impl Reading<'_, '_> {
    async fn read(&mut self, path: &[&str], query: &[(&str, &str)]) -> Listing {
        if self.stopped.is_some() {
            return Listing::default();
        }
        if !self.turns.next().await {
            self.stopped = Some(Seen::Untold(OUT_OF_CALLS.to_owned()));
            return Listing::default();
        }
        let read = self.asking.read(path, query).await;
        self.turns.heard(&self.asking.calls().limits, 0).await;
        match read {
            Ok(listing) => listing.unwrap_or_default(),
            Err(answer) => {
                self.stopped = Some(untold(&answer));
                Listing::default()
            }
        }
    }
}

fn by_id(kind: DocumentKind, documents: Vec<Document>) -> impl Iterator<Item = (String, Document)> {
    documents.into_iter().filter_map(move |document| Some((document.id(kind)?.to_ascii_lowercase(), document)))
}

/// `stopped`: why something that was not read was not; none: it is not there.
fn worth(held: &Held, there: &There, stopped: Option<&Seen>) -> Seen {
    let Some(currency) = held.currency else { return Seen::Worth(0) };
    let mut worth = 0;
    for document in held.standing() {
        let Some(id) = &document.id else { continue };
        match (there.documents.get(&id.to_ascii_lowercase()), stopped) {
            (Some(found), _) => match total(found, currency) {
                // As long as all of it is what it was, so is this order's part.
                Some(total) if document.shared.is_some_and(|shared| shared.total_minor == total) => {
                    worth += document.sign() * document.gross_minor;
                }
                Some(total) if total != 0 && document.shared.is_some() => {
                    return Seen::Untold(SUMMARY_DIFFERS.to_owned());
                }
                Some(total) => worth += document.sign() * total,
                None => return Seen::Untold(TOTAL_UNTOLD.to_owned()),
            },
            (None, Some(stopped)) => return stopped.clone(),
            (None, None) => {}
        }
    }
    for journal in &held.journals {
        let Some(id) = &journal.id else { continue };
        match (there.journals.get(&id.to_ascii_lowercase()), stopped) {
            (Some(found), _) => match journal::worth(found, journal, currency) {
                Some(added) => worth += added,
                None => return Seen::Untold(TOTAL_UNTOLD.to_owned()),
            },
            (None, Some(stopped)) => return stopped.clone(),
            (None, None) => {}
        }
    }
    Seen::Worth(worth)
}

/// In minor units. None: it is not told, or in another currency.
fn total(found: &Document, currency: Currency) -> Option<i64> {
    if found.currency_code.as_deref().is_some_and(|code| code != currency.as_str()) {
        return None;
    }
    if !Standing::parse(found.status.as_deref()?)?.stands() {
        return Some(0);
    }
    found.total.as_ref()?.minor(currency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::xero::{
        config::Kind,
        receipt::{Role, Shared},
        testing::{CONTACT, day, gbp, line},
    };

    /// An order of 12.50 in a document of 34.00.
    fn held() -> Held {
        let document = super::super::receipt::Document {
            kind: DocumentKind::Invoice,
            role: Role::Whole,
            number: "SCF-DAY-20251009-GBP".to_owned(),
            id: Some("The-Day".to_owned()),
            version: 1,
            date: day("2025-10-09"),
            contact_id: CONTACT.to_owned(),
            status: Standing::Paid,
            lines: vec![line(Kind::Sales, "naan", 1250)],
            tracking: Vec::new(),
            gross_minor: 1250,
            told_minor: None,
            applied_minor: 1250,
            updated_at: None,
            touched: false,
            edited: false,
            shared: Some(Shared { total_minor: 3400 }),
        };
        Held { documents: vec![document], currency: Some(gbp()), ..Held::default() }
    }

    fn there(status: &str, total: &str) -> There {
        let shown = format!(r#"{{"InvoiceID": "the-day", "Status": "{status}", "Total": {total}}}"#);
        let documents = by_id(DocumentKind::Invoice, vec![serde_json::from_str(&shown).unwrap()]).collect();
        There { documents, ..There::default() }
    }

    #[test]
    fn a_part_of_a_document_is_worth_what_it_was_as_long_as_the_document_is() {
        assert_eq!(worth(&held(), &there("PAID", "34.00"), None), Seen::Worth(1250));
        assert_eq!(worth(&held(), &there("VOIDED", "34.00"), None), Seen::Worth(0));
        assert_eq!(worth(&held(), &There::default(), None), Seen::Worth(0));
        assert_eq!(worth(&held(), &there("PAID", "30.00"), None), Seen::Untold(SUMMARY_DIFFERS.to_owned()));
    }
}
