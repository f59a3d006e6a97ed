//! What things look like in an answer. Source: xero_accounting.yaml 16.1.0, schemas and examples.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;

use super::{
    amount::{Cents, Fine, UnitPlaces},
    body::{AllocationBody, ContactBody, DocumentBody, HistoryBody, ItemBody, JournalBody, PaymentBody},
    books::{
        Allocation, Books, Contact, ContactStatus, Document, DocumentKind, Item, Journal, Line, Note, Payment, Status,
        Tracking, account_id, id_for,
    },
    json::{Json, Object},
    organisation::Organisation,
    rules::{DateStyle, Manner},
};

/// Marks an element that was not created. Assumed.
const ZERO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// How much of a document is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Whole,
    /// A list that is not paged leaves the lines out. Source: xero_accounting.yaml, parameter `page`.
    WithoutLines,
}

/// Looks at the books in the manner an answer is to have.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub books: &'a Books,
    pub manner: &'a Manner,
    pub places: UnitPlaces,
}

impl View<'_> {
    fn date(self, date: NaiveDate) -> String {
        match self.manner.dates {
            DateStyle::Iso => iso_date(date),
            DateStyle::Microsoft => {
                let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc();
                format!("/Date({}+0000)/", midnight.timestamp_millis())
            }
        }
    }

    fn instant(self, at: DateTime<Utc>) -> String {
        match self.manner.dates {
            DateStyle::Iso => at.format("%Y-%m-%dT%H:%M:%S%.3f").to_string(),
            DateStyle::Microsoft => format!("/Date({}+0000)/", at.timestamp_millis()),
        }
    }

    fn unit(self, unit: Fine) -> Json {
        let text = match (self.places, unit.cents()) {
            (UnitPlaces::Two, Some(cents)) => serde_json::value::to_raw_value(&cents),
            _ => serde_json::value::to_raw_value(&unit),
        };
        text.expect("a number can be written")
    }

    pub fn document(self, document: &Document, detail: Detail) -> Json {
        let totals = document.totals();
        let (books, id) = (self.books, document.id.as_str());
        let open = books.open(document);
        let payments: Vec<Json> = books.payments_on(id).map(|payment| self.inner_payment(payment)).collect();
        let fully_paid = (document.status == Status::Paid).then(|| self.date(self.last_application(document)));
        let lines: Vec<Json> = match detail {
            Detail::Whole => document.lines.iter().map(|line| self.line(line)).collect(),
            Detail::WithoutLines => Vec::new(),
        };
        let contact = books.contact(&document.contact_id).map(Self::inner_contact);
        let head = Object::new().with("Type", document.kind.type_name());
        let special = match document.kind {
            DocumentKind::Invoice => {
                let credit_notes: Vec<Json> =
                    books.allocations_of(id).map(|allocation| self.applied_credit_note(allocation)).collect();
                head.with("InvoiceID", id)
                    .with("InvoiceNumber", &document.number)
                    .with("CreditNotes", credit_notes)
                    .with("Prepayments", [(); 0])
                    .with("Overpayments", [(); 0])
                    .with("AmountDue", if document.status.is_live() { open } else { Cents::ZERO })
                    .with("AmountPaid", books.paid(id))
                    .with("AmountCredited", books.credited(id))
                    .with("SentToContact", document.is_sent)
                    .with("IsDiscounted", false)
                    .with_some("Url", document.url.as_ref())
            }
            DocumentKind::CreditNote => {
                let allocations: Vec<Json> =
                    books.allocations_of(id).map(|allocation| self.inner_allocation(allocation)).collect();
                head.with("CreditNoteID", id)
                    .with("CreditNoteNumber", &document.number)
                    .with("Allocations", allocations)
                    .with("RemainingCredit", open)
                    .with("AppliedAmount", books.credited(id))
            }
        };
        special
            .with("Reference", document.reference.as_deref().unwrap_or_default())
            .with("Payments", payments)
            .with("CurrencyRate", Fine::ONE)
            .with("HasErrors", false)
            .with("HasAttachments", false)
            .with_some("BrandingThemeID", document.branding_theme_id.as_ref())
            .with_some("Contact", contact)
            .with("DateString", iso_date(document.date))
            .with("Date", self.date(document.date))
            .with_some("DueDateString", document.due_date.map(iso_date))
            .with_some("DueDate", document.due_date.map(|date| self.date(date)))
            .with("Status", document.status.name())
            .with("LineAmountTypes", document.amounts.name())
            .with("LineItems", lines)
            .with("SubTotal", totals.sub_total)
            .with("TotalTax", totals.total_tax)
            .with("Total", totals.total + self.manner.misstates_totals_by)
            .with("UpdatedDateUTC", self.instant(document.updated_at))
            .with("UpdatedDateUTCString", document.updated_at.to_rfc3339_opts(SecondsFormat::Secs, true))
            .with("CurrencyCode", &document.currency)
            .with_some("FullyPaidOnDate", fully_paid)
            .json()
    }

    fn last_application(self, document: &Document) -> NaiveDate {
        let payments = self.books.payments_on(&document.id).map(|payment| payment.date);
        let allocations = self.books.allocations_of(&document.id).map(|allocation| allocation.date);
        payments.chain(allocations).max().unwrap_or(document.date)
    }

    fn line(self, line: &Line) -> Json {
        let item = line.item_code.as_ref().map(|code| json!({"Code": code}));
        Object::new()
            .with("LineItemID", &line.id)
            .with("Description", &line.description)
            .with("Quantity", line.quantity)
            .with("UnitAmount", self.unit(line.unit_amount))
            .with("LineAmount", line.line_amount)
            .with_some("ItemCode", line.item_code.as_ref())
            .with_some("Item", item)
            .with_some("AccountCode", line.account_code.as_ref())
            .with_some("AccountID", line.account_code.as_deref().map(account_id))
            .with("TaxType", &line.tax_type)
            .with("TaxAmount", line.tax_amount)
            .with("Tracking", tracking(&line.tracking))
            .json()
    }

    fn inner_contact(contact: &Contact) -> Json {
        Object::new()
            .with("ContactID", &contact.id)
            .with_some("ContactNumber", contact.number.as_ref())
            .with("Name", &contact.name)
            .with("HasValidationErrors", false)
            .json()
    }

    fn inner_payment(self, payment: &Payment) -> Json {
        Object::new()
            .with("PaymentID", &payment.id)
            .with("Date", self.date(payment.date))
            .with("Amount", payment.amount)
            .with("Reference", payment.reference.as_deref().unwrap_or_default())
            .with("CurrencyRate", Fine::ONE)
            .with("HasAccount", false)
            .with("HasValidationErrors", false)
            .json()
    }

    fn applied_credit_note(self, allocation: &Allocation) -> Json {
        let number = self.number_of(&allocation.credit_note_id);
        Object::new()
            .with("CreditNoteID", &allocation.credit_note_id)
            .with("CreditNoteNumber", number)
            .with("ID", &allocation.credit_note_id)
            .with("HasErrors", false)
            .with("AppliedAmount", allocation.amount)
            .with("DateString", iso_date(allocation.date))
            .with("Date", self.date(allocation.date))
            .with("LineItems", [(); 0])
            .json()
    }

    fn inner_allocation(self, allocation: &Allocation) -> Json {
        Object::new()
            .with("AllocationID", &allocation.id)
            .with("Amount", allocation.amount)
            .with("Date", self.date(allocation.date))
            .with("Invoice", self.inner_document(DocumentKind::Invoice, &allocation.invoice_id))
            .json()
    }

    fn number_of(self, id: &str) -> String {
        let document = self.books.documents().iter().find(|document| document.id == id);
        document.map(|document| document.number.clone()).unwrap_or_default()
    }

    fn inner_document(self, kind: DocumentKind, id: &str) -> Json {
        let number = self.number_of(id);
        match kind {
            DocumentKind::Invoice => Object::new().with("InvoiceID", id).with("InvoiceNumber", number),
            DocumentKind::CreditNote => {
                Object::new().with("CreditNoteID", id).with("ID", id).with("CreditNoteNumber", number)
            }
        }
        .json()
    }

    pub fn payment(self, payment: &Payment) -> Json {
        let document = self.inner_document(payment.kind, &payment.document_id);
        let (member, kind) = match payment.kind {
            DocumentKind::Invoice => ("Invoice", "ACCRECPAYMENT"),
            DocumentKind::CreditNote => ("CreditNote", "ARCREDITPAYMENT"),
        };
        let account = json!({"AccountID": account_id(&payment.account_code), "Code": payment.account_code});
        Object::new()
            .with("PaymentID", &payment.id)
            .with("Date", self.date(payment.date))
            .with("BankAmount", payment.amount)
            .with("Amount", payment.amount)
            .with("Reference", payment.reference.as_deref().unwrap_or_default())
            .with("CurrencyRate", Fine::ONE)
            .with("PaymentType", kind)
            .with("Status", if payment.is_deleted { "DELETED" } else { "AUTHORISED" })
            .with("UpdatedDateUTC", self.instant(payment.updated_at))
            .with("UpdatedDateUTCString", payment.updated_at.to_rfc3339_opts(SecondsFormat::Secs, true))
            .with("HasAccount", true)
            .with("IsReconciled", payment.is_reconciled)
            .with("Account", account)
            .with(member, document)
            .with("HasValidationErrors", false)
            .json()
    }

    pub fn allocation(self, allocation: &Allocation) -> Json {
        Object::new()
            .with("AllocationID", &allocation.id)
            .with("Amount", allocation.amount)
            .with("Date", self.date(allocation.date))
            .with("Invoice", self.inner_document(DocumentKind::Invoice, &allocation.invoice_id))
            .with("CreditNote", self.inner_document(DocumentKind::CreditNote, &allocation.credit_note_id))
            .json()
    }

    /// As it is told after it was undone.
    pub fn undone_allocation(self, allocation: &Allocation) -> Json {
        Object::new()
            .with("AllocationID", &allocation.id)
            .with("Date", self.date(allocation.date))
            .with("Amount", allocation.amount)
            .with("Invoice", self.inner_document(DocumentKind::Invoice, &allocation.invoice_id))
            .with("IsDeleted", true)
            .json()
    }

    pub fn contact(self, contact: &Contact) -> Json {
        let is_customer = self.books.documents().iter().any(|document| document.contact_id == contact.id);
        let status = match contact.status {
            ContactStatus::Active | ContactStatus::Archived => contact.status.name(),
        };
        Object::new()
            .with("ContactID", &contact.id)
            .with_some("ContactNumber", contact.number.as_ref())
            .with("ContactStatus", status)
            .with("Name", &contact.name)
            .with_some("FirstName", contact.first_name.as_ref())
            .with_some("LastName", contact.last_name.as_ref())
            .with("EmailAddress", contact.email.as_deref().unwrap_or_default())
            .with_some("MergedToContactID", contact.merged_into.as_ref())
            .with("Addresses", &contact.addresses)
            .with("Phones", &contact.phones)
            .with("UpdatedDateUTC", self.instant(contact.updated_at))
            .with("ContactGroups", [(); 0])
            .with("ContactPersons", [(); 0])
            .with("IsSupplier", false)
            .with("IsCustomer", is_customer)
            .with("HasAttachments", false)
            .with("HasValidationErrors", false)
            .json()
    }

    pub fn item(self, item: &Item) -> Json {
        let details = Object::new()
            .with_some("UnitPrice", item.unit_price.map(|price| self.unit(price)))
            .with_some("AccountCode", item.account_code.as_ref())
            .with_some("TaxType", item.tax_type.as_ref())
            .json();
        Object::new()
            .with("ItemID", &item.id)
            .with("Code", &item.code)
            .with_some("Name", item.name.as_ref())
            .with_some("Description", item.description.as_ref())
            .with("IsTrackedAsInventory", false)
            .with("IsSold", item.is_sold)
            .with("IsPurchased", item.is_purchased)
            .with("SalesDetails", details)
            .with("PurchaseDetails", Object::new().json())
            .with("UpdatedDateUTC", self.instant(item.updated_at))
            .json()
    }

    pub fn journal(self, journal: &Journal) -> Json {
        let lines: Vec<Json> = journal
            .lines
            .iter()
            .map(|line| {
                Object::new()
                    .with("LineAmount", line.amount)
                    .with("AccountCode", &line.account_code)
                    .with("AccountID", account_id(&line.account_code))
                    .with_some("Description", line.description.as_ref())
                    .with("TaxType", &line.tax_type)
                    .with("TaxAmount", line.tax_amount)
                    .with("Tracking", tracking(&line.tracking))
                    .with("IsBlank", false)
                    .json()
            })
            .collect();
        Object::new()
            .with("ManualJournalID", &journal.id)
            .with("Narration", &journal.narration)
            .with("Date", self.date(journal.date))
            .with("Status", journal.status.name())
            .with("LineAmountTypes", journal.amounts.name())
            .with("JournalLines", lines)
            .with_some("Url", journal.url.as_ref())
            .with("ShowOnCashBasisReports", true)
            .with("HasAttachments", false)
            .with("UpdatedDateUTC", self.instant(journal.updated_at))
            .json()
    }

    /// The notes on a thing, without so many of the oldest.
    pub fn notes(self, id: &str, but_for: usize) -> Vec<Json> {
        self.books.notes(id).iter().skip(but_for).map(|note| self.note(note)).collect()
    }

    fn note(self, note: &Note) -> Json {
        Object::new()
            .with("Changes", "Note")
            .with("DateUTCString", note.at.format("%Y-%m-%dT%H:%M:%S").to_string())
            .with("DateUTC", self.instant(note.at))
            .with("User", "System Generated")
            .with("Details", &note.details)
            .json()
    }

    /// The envelope of every answer that succeeds.
    pub fn envelope(self, now: DateTime<Utc>, name: &str, elements: &[Json], page: Option<Page>) -> Json {
        let page = page.map(|page| {
            json!({
                "page": page.number, "pageSize": page.size, "pageCount": page.count, "itemCount": page.items,
            })
        });
        Object::new()
            .with("Id", id_for("answer", &now.timestamp_millis().to_string()))
            .with("Status", "OK")
            .with("ProviderName", "Simulated application")
            .with("DateTimeUTC", self.instant(now))
            .with_some("pagination", page)
            .with(name, elements)
            .json()
    }
}

/// Which part of a list an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub number: usize,
    pub size: usize,
    pub count: usize,
    pub items: usize,
}

fn tracking(of_a_line: &[Tracking]) -> Vec<serde_json::Value> {
    let one = |tracking: &Tracking| {
        json!({
            "TrackingCategoryID": tracking.category_id, "TrackingOptionID": tracking.option_id,
            "Name": tracking.category, "Option": tracking.option,
        })
    };
    of_a_line.iter().map(one).collect()
}

fn iso_date(date: NaiveDate) -> String {
    date.format("%Y-%m-%dT00:00:00").to_string()
}

pub(super) fn organisation(organisation: &Organisation, view: View<'_>) -> Vec<Json> {
    let one = Object::new()
        .with("OrganisationID", &organisation.tenant_id)
        .with("Name", &organisation.name)
        .with("LegalName", &organisation.name)
        .with("PaysTax", true)
        .with("Version", "UK")
        .with("OrganisationType", "COMPANY")
        .with("BaseCurrency", &organisation.base_currency)
        .with("CountryCode", &organisation.country)
        .with("IsDemoCompany", organisation.is_demo)
        .with("OrganisationStatus", "ACTIVE")
        .with_some("PeriodLockDate", organisation.period_lock.map(|date| view.date(date)))
        .with_some("EndOfYearLockDate", organisation.year_lock.map(|date| view.date(date)))
        .with("Timezone", &organisation.time_zone_name)
        .with("ShortCode", "!simul")
        .with("Class", &organisation.class)
        .with("Edition", "BUSINESS")
        .json();
    vec![one]
}

pub(super) fn accounts(organisation: &Organisation, view: View<'_>) -> Vec<Json> {
    let account = |account: &super::organisation::Account| {
        let system = (account.kind == super::organisation::AccountKind::Debtors).then_some("DEBTORS");
        Object::new()
            .with("AccountID", account_id(&account.code))
            .with("Code", &account.code)
            .with("Name", &account.name)
            .with("Status", if account.is_archived { "ARCHIVED" } else { "ACTIVE" })
            .with("Type", account.kind.type_name())
            .with("Class", account.kind.class_name())
            .with("TaxType", &account.tax_type)
            .with_some("SystemAccount", system)
            .with("EnablePaymentsToAccount", account.takes_payments)
            .with("ShowInExpenseClaims", false)
            .with("HasAttachments", false)
            .with("UpdatedDateUTC", view.instant(DateTime::UNIX_EPOCH))
            .json()
    };
    organisation.accounts.iter().map(account).collect()
}

pub(super) fn tax_rates(organisation: &Organisation) -> Vec<Json> {
    let rate = |rate: &super::organisation::TaxRate| {
        let component = Object::new()
            .with("Name", "VAT")
            .with("Rate", rate.percent)
            .with("IsCompound", false)
            .with("IsNonRecoverable", false)
            .json();
        Object::new()
            .with("Name", &rate.name)
            .with("TaxType", &rate.tax_type)
            .with("CanApplyToAssets", true)
            .with("CanApplyToEquity", true)
            .with("CanApplyToExpenses", true)
            .with("CanApplyToLiabilities", true)
            .with("CanApplyToRevenue", rate.applies_to_revenue)
            .with("DisplayTaxRate", rate.percent)
            .with("EffectiveRate", rate.percent)
            .with("Status", if rate.is_active { "ACTIVE" } else { "ARCHIVED" })
            .with("TaxComponents", [component])
            .json()
    };
    organisation.tax_rates.iter().map(rate).collect()
}

pub(super) fn currencies(organisation: &Organisation) -> Vec<Json> {
    let one = |code: &String| Object::new().with("Code", code).with("Description", code).json();
    organisation.currencies.iter().map(one).collect()
}

pub(super) fn tracking_categories(organisation: &Organisation) -> Vec<Json> {
    let one = |category: &super::organisation::TrackingCategory| {
        let options: Vec<_> = category
            .options
            .iter()
            .map(|option| json!({"TrackingOptionID": option.id, "Name": option.name, "Status": "ACTIVE"}))
            .collect();
        Object::new()
            .with("TrackingCategoryID", &category.id)
            .with("Name", &category.name)
            .with("Status", "ACTIVE")
            .with("Options", options)
            .json()
    };
    organisation.tracking.iter().map(one).collect()
}

/// What tells an element that was refused from the others: its names, as they were sent.
pub(super) trait Named {
    fn names(&self) -> Object;
}

impl Named for (DocumentKind, &DocumentBody) {
    fn names(&self) -> Object {
        let (kind, body) = self;
        let (id, number) = match kind {
            DocumentKind::Invoice => ("InvoiceID", "InvoiceNumber"),
            DocumentKind::CreditNote => ("CreditNoteID", "CreditNoteNumber"),
        };
        Object::new()
            .with(id, body.id(*kind).unwrap_or(ZERO_ID))
            .with_some(number, body.number(*kind))
            .with_some("Reference", body.reference.as_ref())
            .with("HasErrors", true)
    }
}

impl Named for &PaymentBody {
    fn names(&self) -> Object {
        Object::new()
            .with("PaymentID", ZERO_ID)
            .with_some("Reference", self.reference.as_ref())
            .with("HasValidationErrors", true)
    }
}

impl Named for &ContactBody {
    fn names(&self) -> Object {
        Object::new()
            .with("ContactID", self.contact_id.as_deref().unwrap_or(ZERO_ID))
            .with_some("ContactNumber", self.contact_number.as_ref())
            .with_some("Name", self.name.as_ref())
            .with("HasValidationErrors", true)
    }
}

impl Named for &ItemBody {
    fn names(&self) -> Object {
        Object::new().with("ItemID", ZERO_ID).with("Code", self.code.as_deref().unwrap_or_default())
    }
}

impl Named for &JournalBody {
    fn names(&self) -> Object {
        Object::new().with("ManualJournalID", ZERO_ID).with("Narration", self.narration.as_deref().unwrap_or_default())
    }
}

impl Named for &HistoryBody {
    fn names(&self) -> Object {
        Object::new().with_some("Details", self.details.as_ref())
    }
}

/// An allocation that was refused; its members are required in every answer.
#[derive(Debug, Default)]
pub(super) struct RefusedAllocation {
    amount: Option<Fine>,
    date: Option<String>,
    invoice_id: Option<String>,
}

impl RefusedAllocation {
    pub fn of(body: &AllocationBody) -> Self {
        let invoice_id = body.invoice.as_ref().and_then(|invoice| invoice.invoice_id.clone());
        Self { amount: body.amount, date: body.date.clone(), invoice_id }
    }
}

impl Named for RefusedAllocation {
    fn names(&self) -> Object {
        let invoice = Object::new().with("InvoiceID", self.invoice_id.as_deref().unwrap_or(ZERO_ID)).json();
        Object::new()
            .with("AllocationID", ZERO_ID)
            .with("Amount", self.amount.unwrap_or_default())
            .with("Date", self.date.as_deref().unwrap_or_default())
            .with("Invoice", invoice)
    }
}

/// An element that was refused, among others that were not.
pub(super) fn refused(names: &impl Named, messages: &[String]) -> Json {
    names.names().with("StatusAttributeString", "ERROR").with("ValidationErrors", validation_errors(messages)).json()
}

/// The answer to a request that is refused as a whole because of some of its elements.
pub(super) fn validation_exception(elements: &[Json]) -> Json {
    Object::new()
        .with("ErrorNumber", 10)
        .with("Type", "ValidationException")
        .with("Message", "A validation exception occurred")
        .with("Elements", elements)
        .json()
}

/// The answer to a request that cannot be read, or is wrong in another way than by an element.
pub(super) fn exception(number: u32, kind: &str, message: &str) -> Json {
    Object::new().with("ErrorNumber", number).with("Type", kind).with("Message", message).json()
}

/// What the gateway in front of the API says. Observed (databuzz.com.au): `Detail` tells why.
pub(super) fn problem(title: &str, status: u16, detail: &str) -> Json {
    Object::new()
        .with("Type", None::<String>)
        .with("Title", title)
        .with("Status", status)
        .with("Detail", detail)
        .with("Instance", id_for("problem", detail))
        .json()
}

fn validation_errors(messages: &[String]) -> Vec<impl Serialize> {
    messages.iter().map(|message| json!({"Message": message})).collect()
}
