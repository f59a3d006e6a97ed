//! What a well-formed request does, and what it is answered with.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    Set, Xero,
    amount::UnitPlaces,
    answers::{self, Detail, Named, Page, RefusedAllocation, View},
    body::{AllocationBody, ContactBody, DocumentBody, HistoryBody, ItemBody, JournalBody, PaymentBody},
    books::{Books, ContactStatus, Desk, Document, DocumentKind, How, Invalid, Payment},
    json::{Json, extended},
    ledger::{Ledger, Violation},
    query::{Parameters, Where},
    route::{Operation, Resource},
    rules::{KeyReuse, Manner},
};
use crate::simulator::shell::Destination;

/// The answer to a write, by its idempotency key.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    since: Duration,
    fingerprint: u64,
    status: StatusCode,
    body: Json,
}

/// A write of many elements that may be new, or one that is known.
#[derive(Debug)]
pub(super) struct Elements<T> {
    pub all: Vec<T>,
    pub how: How,
}

/// A request of the right form. Places are those in the books.
#[derive(Debug)]
pub(super) enum Asked {
    Connections,
    List { resource: Resource, filter: Filter },
    Read { resource: Resource, at: usize },
    Documents { kind: DocumentKind, elements: Elements<DocumentBody> },
    Contacts(Elements<ContactBody>),
    Items(Elements<ItemBody>),
    Journals(Elements<JournalBody>),
    Payments(Vec<PaymentBody>),
    RemovePayment { at: usize, status: String },
    Allocations { credit_note: usize, all: Vec<AllocationBody> },
    UndoAllocation { at: usize },
    ReadHistory { id: String },
    Annotate { id: String, all: Vec<HistoryBody> },
}

/// Which elements a list is to hold.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub parameters: Parameters,
    pub condition: Option<Where>,
    pub page: Option<(usize, usize)>,
    pub modified_since: Option<DateTime<Utc>>,
}

/// A request with what decides how it is answered.
#[derive(Debug)]
pub(super) struct Order {
    pub operation: Operation,
    pub asked: Asked,
    pub places: UnitPlaces,
    /// One element that is refused refuses the whole.
    pub summarizes: bool,
    pub key: Option<String>,
    /// Tells requests apart that have the same key.
    pub fingerprint: u64,
}

type Answer = (StatusCode, Json);
/// Where an element stands; or as it is told that it was refused.
type Saved = Result<usize, Json>;

impl Xero {
    /// Does what is asked, unless its key says that it was done already.
    pub(super) fn answer_to(&self, order: &Order) -> Answer {
        let since = self.time.elapsed();
        let mut set = self.set();
        let mut ledger = self.ledger();
        let key_life = set.rules.key_life;
        set.remembered.retain(|_, remembered| since < remembered.since + key_life);
        if let Some(key) = &order.key
            && let Some(remembered) = set.remembered.get(key)
        {
            let is_same = remembered.fingerprint == order.fingerprint;
            if !is_same {
                ledger.violate(Violation::KeyReused { key: key.clone() });
            }
            match (is_same, set.rules.key_reuse) {
                (true, _) | (false, KeyReuse::Replayed) => {
                    ledger.calls.replays += 1;
                    return (remembered.status, remembered.body.clone());
                }
                (false, KeyReuse::Refused) => {
                    let text = "The Idempotency-Key was used with another request";
                    return (StatusCode::BAD_REQUEST, answers::exception(25, "IdempotencyKeyException", text));
                }
                (false, KeyReuse::Processed) => {}
            }
        }
        let (status, body) = self.act(&set, &mut ledger, order);
        // Assumed: what was refused as a whole is not remembered.
        if let (Some(key), true) = (&order.key, status.is_success()) {
            let remembered = Remembered { since, fingerprint: order.fingerprint, status, body: body.clone() };
            set.remembered.insert(key.clone(), remembered);
        }
        (status, body)
    }

    fn act(&self, set: &Set, ledger: &mut Ledger, order: &Order) -> Answer {
        let now = self.time.now();
        let desk = Desk { rules: &set.rules, places: order.places, now };
        let clerk = Clerk { manner: &set.manner, order, now };
        let summarizes = order.summarizes;
        match &order.asked {
            Asked::Connections => (StatusCode::OK, self.connections()),
            Asked::List { resource, filter } => {
                let view = clerk.view(ledger);
                let (all, page) = paged(list(*resource, filter, view), filter.page);
                (StatusCode::OK, view.envelope(now, resource.plural(), &all, page))
            }
            Asked::Read { resource, at } => {
                clerk.shows(ledger, resource.plural(), |view| vec![show(*resource, view, *at)])
            }
            Asked::Documents { kind, elements } => {
                let n_before = ledger.books().documents().len();
                let save =
                    |books: &mut Books, body: &DocumentBody| books.save_document(*kind, body, elements.how, desk);
                let saved = each(&mut ledger.books, &elements.all, summarizes, |body| (*kind, body), save);
                for at in n_before..ledger.books().documents().len() {
                    ledger.was_created(at);
                }
                clerk.saved(ledger, resource_of(*kind), saved)
            }
            Asked::Contacts(Elements { all, how }) => {
                let save = |books: &mut Books, body: &ContactBody| books.save_contact(body, *how, desk);
                let saved = each(&mut ledger.books, all, summarizes, |body| body, save);
                clerk.saved(ledger, Resource::Contacts, saved)
            }
            Asked::Items(Elements { all, how }) => {
                let save = |books: &mut Books, body: &ItemBody| books.save_item(body, *how, desk);
                let saved = each(&mut ledger.books, all, summarizes, |body| body, save);
                clerk.saved(ledger, Resource::Items, saved)
            }
            Asked::Journals(Elements { all, how }) => {
                let n_before = ledger.books().journals().len();
                let save = |books: &mut Books, body: &JournalBody| books.save_journal(body, *how, desk);
                let saved = each(&mut ledger.books, all, summarizes, |body| body, save);
                for at in n_before..ledger.books().journals().len() {
                    ledger.was_entered(at);
                }
                clerk.saved(ledger, Resource::ManualJournals, saved)
            }
            Asked::Payments(all) => {
                let n_before = ledger.books().payments().len();
                let save = |books: &mut Books, body: &PaymentBody| books.pay(body, desk);
                let saved = each(&mut ledger.books, all, summarizes, |body| body, save);
                for at in n_before..ledger.books().payments().len() {
                    ledger.was_paid(at);
                }
                clerk.saved(ledger, Resource::Payments, saved)
            }
            Asked::RemovePayment { at, status } => match ledger.books.remove_payment(*at, status, desk) {
                Ok(()) => clerk.shows(ledger, "Payments", |view| vec![show(Resource::Payments, view, *at)]),
                Err(messages) => refuse_all(ledger, &[answers::refused(&&PaymentBody::default(), &messages)]),
            },
            Asked::Allocations { credit_note, all } => {
                let save = |books: &mut Books, body: &AllocationBody| books.allocate(*credit_note, body, desk);
                let saved = each(&mut ledger.books, all, summarizes, RefusedAllocation::of, save);
                clerk.elements(ledger, "Allocations", saved, |view, at| view.allocation(&view.books.allocations()[at]))
            }
            Asked::UndoAllocation { at } => match ledger.books.undo_allocation(*at, desk) {
                Ok(()) => (StatusCode::OK, clerk.view(ledger).undone_allocation(&ledger.books().allocations()[*at])),
                Err(messages) => refuse_all(ledger, &[answers::refused(&RefusedAllocation::default(), &messages)]),
            },
            Asked::ReadHistory { id } => clerk.shows(ledger, "HistoryRecords", |view| view.notes(id, 0)),
            Asked::Annotate { id, all } => {
                let n_before = ledger.books().notes(id).len();
                let save = |books: &mut Books, body: &HistoryBody| books.annotate(id, body, desk);
                let saved = each(&mut ledger.books, all, summarizes, |body| body, save);
                let refused: Vec<Json> = saved.into_iter().filter_map(Result::err).collect();
                if !refused.is_empty() {
                    return refuse_all(ledger, &refused);
                }
                clerk.shows(ledger, "HistoryRecords", |view| view.notes(id, n_before))
            }
        }
    }

    /// Source: xero-identity.yaml 16.1.0: a bare array.
    fn connections(&self) -> Json {
        let own = (&self.options.organisation.tenant_id, &self.options.organisation.name);
        let others = self.options.other_tenants.iter().map(|tenant| (&tenant.id, &tenant.name));
        let all: Vec<_> = others
            .chain([own])
            .map(|(id, name)| {
                json!({
                    "id": super::books::id_for("connection", id),
                    "authEventId": super::books::id_for("event", id),
                    "tenantId": id,
                    "tenantType": "ORGANISATION",
                    "tenantName": name,
                    "createdDateUtc": "2025-01-02T08:00:00.0000000",
                    "updatedDateUtc": "2025-01-02T08:00:00.0000000",
                })
            })
            .collect();
        serde_json::value::to_raw_value(&all).expect("texts can be written")
    }
}

/// Who writes the answers.
#[derive(Clone, Copy)]
struct Clerk<'a> {
    manner: &'a Manner,
    order: &'a Order,
    now: DateTime<Utc>,
}

impl<'a> Clerk<'a> {
    fn view(self, ledger: &'a Ledger) -> View<'a> {
        View { books: ledger.books(), manner: self.manner, places: self.order.places }
    }

    /// An answer with what there is to show.
    fn shows(self, ledger: &Ledger, name: &str, all: impl FnOnce(View<'_>) -> Vec<Json>) -> Answer {
        let view = self.view(ledger);
        (StatusCode::OK, view.envelope(self.now, name, &all(view), None))
    }

    fn saved(self, ledger: &mut Ledger, resource: Resource, saved: Vec<Saved>) -> Answer {
        self.elements(ledger, resource.plural(), saved, |view, at| show(resource, view, at))
    }

    /// The answer to a write of elements, of which some may have been refused.
    fn elements(
        self,
        ledger: &mut Ledger,
        name: &str,
        saved: Vec<Saved>,
        show: impl Fn(View<'_>, usize) -> Json,
    ) -> Answer {
        let refused: Vec<Json> = saved.iter().filter_map(|one| one.as_ref().err().cloned()).collect();
        if self.order.summarizes && !refused.is_empty() {
            return refuse_all(ledger, &refused);
        }
        ledger.calls.refused_elements += refused.len() as u64;
        let one = |view: View<'_>, one: Saved| match one {
            Ok(at) => extended(&show(view, at), "StatusAttributeString", "OK"),
            Err(refused) => refused,
        };
        self.shows(ledger, name, |view| saved.into_iter().map(|saved| one(view, saved)).collect())
    }
}

fn resource_of(kind: DocumentKind) -> Resource {
    match kind {
        DocumentKind::Invoice => Resource::Invoices,
        DocumentKind::CreditNote => Resource::CreditNotes,
    }
}

/// Saves one element after the other. What was refused is there as it is told; where one refuses all, none is saved.
fn each<'a, T, N: Named>(
    books: &mut Books,
    all: &'a [T],
    one_refuses_all: bool,
    names: impl Fn(&'a T) -> N,
    mut save: impl FnMut(&mut Books, &T) -> Result<usize, Invalid>,
) -> Vec<Saved> {
    let before = one_refuses_all.then(|| books.clone());
    let outcome: Vec<Saved> = all
        .iter()
        .map(|body| save(books, body).map_err(|messages| answers::refused(&names(body), &messages)))
        .collect();
    // Assumed: nobody tells what becomes of the good elements then.
    if let Some(before) = before
        && outcome.iter().any(Result::is_err)
    {
        *books = before;
    }
    outcome
}

fn refuse_all(ledger: &mut Ledger, elements: &[Json]) -> Answer {
    ledger.calls.refused_elements += elements.len() as u64;
    (StatusCode::BAD_REQUEST, answers::validation_exception(elements))
}

fn show(resource: Resource, view: View<'_>, at: usize) -> Json {
    match resource {
        Resource::Invoices | Resource::CreditNotes => view.document(&view.books.documents()[at], Detail::Whole),
        Resource::Payments => view.payment(&view.books.payments()[at]),
        Resource::Contacts => view.contact(&view.books.contacts()[at]),
        Resource::Items => view.item(&view.books.items()[at]),
        Resource::ManualJournals => view.journal(&view.books.journals()[at]),
        Resource::Organisation
        | Resource::Accounts
        | Resource::TaxRates
        | Resource::Currencies
        | Resource::TrackingCategories => unreachable!("settings have no place of their own, and no path leads to one"),
    }
}

fn list(resource: Resource, filter: &Filter, view: View<'_>) -> Vec<Json> {
    let books = view.books;
    let since = |updated_at| filter.modified_since.is_none_or(|since| updated_at > since);
    let holds =
        |value: &dyn Fn(&str) -> String| filter.condition.as_ref().is_none_or(|condition| condition.holds(value));
    let is_listed = |name: &str, value: &str| filter.parameters.list(name).is_none_or(|all| all.contains(&value));
    let is_whole = filter.page.is_some() && filter.parameters.get("summaryOnly") != Some("true");
    let detail = if is_whole { Detail::Whole } else { Detail::WithoutLines };
    let searched = filter.parameters.get("searchTerm").map(str::to_lowercase);
    let finds = |texts: &[Option<&str>]| {
        searched.as_ref().is_none_or(|term| texts.iter().flatten().any(|text| text.to_lowercase().contains(term)))
    };
    match resource {
        Resource::Organisation => answers::organisation(&books.organisation, view),
        Resource::Accounts => answers::accounts(&books.organisation, view),
        Resource::TaxRates => answers::tax_rates(&books.organisation),
        Resource::Currencies => answers::currencies(&books.organisation),
        Resource::TrackingCategories => answers::tracking_categories(&books.organisation),
        Resource::Invoices | Resource::CreditNotes => {
            let all = books.documents().iter().filter(|one| resource.document_kind() == Some(one.kind));
            all.filter(|one| {
                since(one.updated_at)
                    && is_listed("IDs", &one.id)
                    && is_listed("InvoiceNumbers", &one.number)
                    && is_listed("ContactIDs", &one.contact_id)
                    && is_listed("Statuses", one.status.name())
                    && finds(&[Some(&one.number), one.reference.as_deref()])
                    && holds(&|member| document_member(one, member))
            })
            .map(|one| view.document(one, detail))
            .collect()
        }
        Resource::Payments => {
            let all = books.payments().iter().filter(|one| since(one.updated_at));
            all.filter(|one| holds(&|member| payment_member(one, member))).map(|one| view.payment(one)).collect()
        }
        Resource::Contacts => {
            let shows_archived = filter.parameters.get("includeArchived") == Some("true");
            let all = books.contacts().iter().filter(|one| shows_archived || one.status == ContactStatus::Active);
            all.filter(|one| {
                since(one.updated_at)
                    && is_listed("IDs", &one.id)
                    && finds(&[Some(&one.name), one.number.as_deref(), one.email.as_deref()])
                    && holds(&|member| match member {
                        "Name" => one.name.clone(),
                        "EmailAddress" => one.email.clone().unwrap_or_default(),
                        "ContactNumber" => one.number.clone().unwrap_or_default(),
                        _ => one.status.name().to_owned(),
                    })
            })
            .map(|one| view.contact(one))
            .collect()
        }
        Resource::Items => {
            let all = books.items().iter().filter(|one| since(one.updated_at) && holds(&|_| one.code.clone()));
            all.map(|one| view.item(one)).collect()
        }
        Resource::ManualJournals => {
            let all = books.journals().iter().filter(|one| since(one.updated_at));
            all.filter(|one| holds(&|_| one.status.name().to_owned())).map(|one| view.journal(one)).collect()
        }
    }
}

/// The members a `where` may ask for.
pub(super) fn filterable(resource: Resource) -> &'static [&'static str] {
    match resource {
        Resource::Invoices => &["InvoiceID", "InvoiceNumber", "Reference", "Status", "Type", "Contact.ContactID"],
        Resource::CreditNotes => &["CreditNoteID", "CreditNoteNumber", "Reference", "Status", "Contact.ContactID"],
        Resource::Payments => &["PaymentID", "Reference", "Status", "Invoice.InvoiceID", "CreditNote.CreditNoteID"],
        Resource::Contacts => &["Name", "EmailAddress", "ContactNumber", "ContactStatus"],
        Resource::Items => &["Code"],
        Resource::ManualJournals => &["Status"],
        Resource::Organisation
        | Resource::Accounts
        | Resource::TaxRates
        | Resource::Currencies
        | Resource::TrackingCategories => &[],
    }
}

fn document_member(document: &Document, member: &str) -> String {
    match member {
        "InvoiceID" | "CreditNoteID" => document.id.clone(),
        "InvoiceNumber" | "CreditNoteNumber" => document.number.clone(),
        "Reference" => document.reference.clone().unwrap_or_default(),
        "Type" => document.kind.type_name().to_owned(),
        "Contact.ContactID" => document.contact_id.clone(),
        _ => document.status.name().to_owned(),
    }
}

fn payment_member(payment: &Payment, member: &str) -> String {
    let of = |kind: DocumentKind| if payment.kind == kind { payment.document_id.clone() } else { String::new() };
    match member {
        "PaymentID" => payment.id.clone(),
        "Reference" => payment.reference.clone().unwrap_or_default(),
        "Invoice.InvoiceID" => of(DocumentKind::Invoice),
        "CreditNote.CreditNoteID" => of(DocumentKind::CreditNote),
        _ => if payment.is_deleted { "DELETED" } else { "AUTHORISED" }.to_owned(),
    }
}

fn paged(all: Vec<Json>, page: Option<(usize, usize)>) -> (Vec<Json>, Option<Page>) {
    let Some((number, size)) = page else { return (all, None) };
    let items = all.len();
    let page = Page { number, size, count: items.div_ceil(size), items };
    (all.into_iter().skip((number - 1) * size).take(size).collect(), Some(page))
}
