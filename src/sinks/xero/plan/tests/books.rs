//! A ledger that does what steps say, and refuses what Xero refuses: enough of it to bring an order through its versions
//! without HTTP. It counts what goes out, from the JSON that goes out.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    domain::{
        delivery::{About, DeliveryKey, Plan, Progress, Receipt, SkipReason, State, Step, WaitingFor},
        ids::{OrderId, OrderKey, SinkName, SourceName, Version},
        money::{Currency, Money, breakdown},
    },
    sinks::{
        Counterpart, InSummary, Part, Since, Summary, View,
        customers::{Came, Named},
        xero::{
            call::{self, Call, Exact, Pay, Post, Removal},
            config::XeroSettings,
            organisation::Facts,
            plan::{Books, plan, plan_summary},
            receipt::{Answered, DocumentKind, Held, Seen, SeenLine, SeenPayment, Standing},
            summary::plan_part,
            testing::{CONTACT, facts, now, settings},
        },
    },
    source::{self, SourceKind},
};

/// What a version came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Settled {
        notice: Option<String>,
        alert: Option<String>,
    },
    Skipped(SkipReason),
    Parked(&'static str),
    /// For a person who mends settings; the subject of the alert.
    Held(String),
}

#[derive(Debug, Clone)]
pub struct Kept {
    pub kind: DocumentKind,
    pub id: String,
    pub date: NaiveDate,
    pub status: Standing,
    /// Minor units.
    pub total: i64,
    pub applied: i64,
    pub lines: Vec<SeenLine>,
    pub updated_at: DateTime<Utc>,
    pub contact_id: String,
}

#[derive(Debug, Clone)]
pub struct KeptPayment {
    pub id: String,
    pub reference: String,
    pub account: String,
    pub amount: i64,
    /// Number of its document.
    pub on: String,
    pub deleted: bool,
    pub reconciled: bool,
}

#[derive(Debug, Clone)]
pub struct KeptJournal {
    pub narration: String,
    /// Account, tax type and amount: debits are positive.
    pub lines: Vec<(String, String, i64)>,
}

impl KeptJournal {
    /// Account and amount of what is on accounts of revenue, or of money, which begin with a 6.
    fn entries(&self, is_money: impl Fn(bool) -> bool) -> impl Iterator<Item = (&str, i64)> {
        let is_it = move |line: &&(String, String, i64)| is_money(line.0.starts_with('6'));
        self.lines.iter().filter(is_it).map(|(account, _, amount)| (account.as_str(), *amount))
    }
}

/// One order at Xero, and what the engine knows of it.
#[derive(Debug, Clone)]
pub struct Scene {
    pub settings: XeroSettings,
    pub facts: Facts,
    pub now: DateTime<Utc>,
    pub receipt: Option<Value>,
    /// None: a person said to try again.
    pub refused: Option<Duration>,
    pub documents: BTreeMap<String, Kept>,
    pub payments: Vec<KeptPayment>,
    pub journals: Vec<KeptJournal>,
    /// What was noted in the history of an invoice, by its number.
    pub notes: Vec<(String, String)>,
    /// Name and call of every step that was sent.
    pub sent: Vec<(String, Call)>,
    pub ids: u32,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: XeroSettings) -> Self {
        Self {
            settings,
            facts: facts(),
            now: now(),
            receipt: None,
            refused: Some(Duration::ZERO),
            documents: BTreeMap::new(),
            payments: Vec::new(),
            journals: Vec::new(),
            notes: Vec::new(),
            sent: Vec::new(),
            ids: 0,
        }
    }

    pub fn plan(&self, order: &Value) -> Plan {
        self.plan_of(&order.to_string())
    }

    fn plan_of(&self, payload: &str) -> Plan {
        let order = source::decode_stored(SourceKind::Scoffable, payload).expect("it can be read");
        let key = key(order.id.clone());
        let view = View {
            key: &key,
            version: order.version,
            progress: Progress { applied: None, sent: None },
            receipt: self.receipt.as_ref(),
            external_id: None,
            order: &order,
            money: &breakdown(&order),
            payload,
            content_hash: &[],
            every_version: false,
            counterpart: None,
            since: Since { received: Duration::ZERO, owed: Duration::ZERO, refused: self.refused, begins_at: None },
            now: self.now,
        };
        plan(Books { settings: &self.settings, facts: &self.facts }, &view)
    }

    /// Takes a version as far as it goes.
    pub fn bring(&mut self, order: &Value) -> Ended {
        self.bring_payload(&order.to_string())
    }

    pub fn bring_payload(&mut self, payload: &str) -> Ended {
        for _ in 0..20 {
            match self.plan_of(payload) {
                Plan::Send(step) => self.take(&step),
                Plan::Settled(Receipt { receipt, notice, alert, .. }) => {
                    self.receipt = receipt;
                    return Ended::Settled { notice, alert: alert.map(|alert| alert.cause.to_owned()) };
                }
                Plan::Note(Receipt { receipt, .. }) => {
                    self.receipt = receipt;
                    return self.close_the_day();
                }
                Plan::Skip { reason, .. } => return Ended::Skipped(reason),
                Plan::Park { reason, .. } => return Ended::Parked(reason),
                Plan::Wait { wait, waiting_for, alert: Some(alert) } => {
                    assert_eq!(waiting_for, WaitingFor::Configuration);
                    assert!(!wait.is_zero() && alert.cause == "configuration" && !alert.detail.is_empty());
                    let About::Shared(subject) = alert.about else { panic!("about one order: {alert:?}") };
                    return Ended::Held(subject);
                }
                other => panic!("not expected: {other:?}"),
            }
        }
        panic!("it comes to no end: {:?}", self.steps())
    }

    /// The day of an order that was gathered is over: its document is posted with this order alone, which takes over what is
    /// its own.
    fn close_the_day(&mut self) -> Ended {
        let held = self.held();
        let mut gathered = held.summary.clone().expect("it was gathered");
        self.now = self.now.max(gathered.closes_at);
        let order = key(OrderId::new("1")).order;
        let parts = [Part { order, version: gathered.version, part: gathered.part.clone() }];
        let day = key(OrderId::new(gathered.id.as_str()));
        self.receipt = None;
        for _ in 0..20 {
            let (receipt, refused, now) = (self.receipt.as_ref(), self.refused, self.now);
            let summary = Summary { key: &day, version: Version(1), receipt, parts: &parts, refused, now };
            match plan_summary(Books { settings: &self.settings, facts: &self.facts }, &summary) {
                Plan::Send(step) => self.take(&step),
                Plan::Settled(Receipt { receipt, .. }) => {
                    let document = Counterpart { state: State::Applied, external_id: None, receipt: receipt.as_ref() };
                    gathered.closed = true;
                    let own = Held { summary: Some(gathered.clone()), ..held }.receipt();
                    let part = InSummary { receipt: Some(&own), gathered: &gathered, document };
                    let Plan::Stands { receipt, .. } = plan_part(&part) else { panic!("it does not stand") };
                    self.receipt = receipt.receipt;
                    let alert = receipt.alert.map(|alert| alert.cause.to_owned());
                    return Ended::Settled { notice: receipt.notice, alert };
                }
                other => panic!("not expected: {other:?}"),
            }
        }
        panic!("it comes to no end: {:?}", self.steps())
    }

    pub fn steps(&self) -> Vec<&str> {
        self.sent.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The JSON of the newest step of a name.
    pub fn body(&self, name: &str) -> Vec<String> {
        let newest = self.sent.iter().rev().find(|(sent, _)| sent == name);
        match &newest.unwrap_or_else(|| panic!("no {name}: {:?}", self.steps())).1 {
            Call::Invoice(post) | Call::CreditNote(post) => vec![post.body.get().to_owned()],
            Call::Payments(payments) => payments.payments.iter().map(|one| one.body.get().to_owned()).collect(),
            Call::Allocate(allocate) => vec![allocate.body.get().to_owned()],
            Call::Update(update) => vec![update.body.get().to_owned()],
            Call::Void(void) => vec![void.body.get().to_owned()],
            Call::Journal(journal) => vec![journal.body.get().to_owned()],
            other => panic!("no JSON of its own: {other:?}"),
        }
    }

    pub fn held(&self) -> Held {
        Held::of(self.receipt.as_ref()).expect("it was written by a plan")
    }

    /// Net of what stands, by invoices, credit notes and journals.
    pub fn posted(&self) -> i64 {
        let standing = self.documents.values().filter(|kept| kept.status.stands());
        let documents: i64 = standing.map(|kept| sign(kept.kind) * kept.total).sum();
        let revenue = self.journals.iter().flat_map(|journal| journal.entries(|is_money| !is_money));
        documents - revenue.map(|(_, amount)| amount).sum::<i64>()
    }

    /// Net of payments and journals by account.
    pub fn paid(&self) -> BTreeMap<&str, i64> {
        let mut paid = BTreeMap::new();
        for payment in self.payments.iter().filter(|payment| !payment.deleted) {
            let sign = sign(self.documents[&payment.on].kind);
            *paid.entry(payment.account.as_str()).or_default() += sign * payment.amount;
        }
        for (account, amount) in self.journals.iter().flat_map(|journal| journal.entries(|is_money| is_money)) {
            *paid.entry(account).or_default() += amount;
        }
        paid.retain(|_, amount| *amount != 0);
        paid
    }

    fn new_id(&mut self) -> String {
        self.ids += 1;
        format!("00000000-0000-4000-9000-{:012}", self.ids)
    }

    /// Does what a step says, and writes the receipt as a client would.
    pub fn take(&mut self, step: &Step) {
        self.now += TimeDelta::seconds(1);
        assert!(!step.completes, "nothing counts as applied before plan has seen the answer");
        let call = Call::read(&step.body).expect("strict and readable");
        assert_eq!(call.name(), step.name);
        assert_eq!(call.written(), step.body, "the same bytes again");
        let mut held = Held::of(step.receipt.as_ref()).unwrap();
        match &call {
            Call::Contact(_) => held.contact = Some(Named { id: CONTACT.to_owned(), how: Came::House }),
            Call::Items(items) => self.facts.items.extend(items.items.iter().map(|item| item.code.clone())),
            Call::Invoice(post) => self.post(DocumentKind::Invoice, post, &mut held),
            Call::CreditNote(post) => self.post(DocumentKind::CreditNote, post, &mut held),
            Call::Update(update) => {
                let body = Body::of(&update.body, update.currency);
                assert_eq!(body.total(), update.total_minor);
                let kept = self.changeable(&update.document.number);
                (kept.total, kept.lines) = (body.total(), body.lines);
                held.answered(&update.document.number, answered(kept));
            }
            Call::Void(void) => {
                let to = if void.body.get().contains("VOIDED") { Standing::Voided } else { Standing::Deleted };
                let kept = self.changeable(&void.document.number);
                kept.status = to;
                held.answered(&void.document.number, answered(kept));
            }
            Call::Payments(payments) => {
                for pay in &payments.payments {
                    let id = self.pay(pay, payments.currency);
                    held.paid(&pay.reference, id);
                }
            }
            Call::Allocate(allocate) => {
                for to in &allocate.invoices {
                    self.apply(&allocate.credit_note.number, to.amount_minor);
                    self.apply(&to.invoice.number, to.amount_minor);
                }
            }
            Call::Read(read) => {
                for on in &read.documents {
                    held.seen(&on.number, &self.seen(&on.number));
                }
                held.was_read(read.version, self.now);
            }
            Call::Journal(journal) => {
                let id = self.enter(journal);
                held.entered(&journal.number, id, false);
            }
            Call::Note(note) => {
                assert!(note.body.get().contains(&note.details), "{}", note.body.get());
                self.notes.push((note.invoice.number.clone(), note.details.clone()));
            }
            Call::RemovePayments(removal) => {
                let kept =
                    |one: &Removal| self.payments.iter().position(|kept| kept.id == one.id).expect("it is there");
                let all: Vec<usize> = removal.payments.iter().map(kept).collect();
                let some_stay = all.iter().any(|at| self.payments[*at].reconciled);
                for at in all {
                    let payment = &mut self.payments[at];
                    assert!(!payment.deleted);
                    if payment.reconciled {
                        held.keep_reconciled(&payment.reference);
                    } else if some_stay {
                        held.keep(&payment.reference);
                    } else {
                        payment.deleted = true;
                        let (on, amount) = (payment.on.clone(), payment.amount);
                        self.apply(&on, -amount);
                    }
                }
            }
        }
        self.receipt = Some(held.receipt());
        self.sent.push((step.name.clone(), call));
    }

    fn post(&mut self, kind: DocumentKind, post: &Post, held: &mut Held) {
        let body = Body::of(&post.body, post.currency);
        assert!(!self.documents.contains_key(&post.number), "{} is used already", post.number);
        assert_eq!(body.total(), post.total_minor, "{}", post.body.get());
        assert!(body.total() >= 0, "{}", post.body.get());
        assert!(self.facts.locked_until().is_none_or(|lock| body.date > lock), "on or before a lock date");
        let kept = Kept {
            kind,
            id: self.new_id(),
            date: body.date,
            status: Standing::parse(&body.status).unwrap(),
            total: body.total(),
            applied: 0,
            lines: body.lines,
            updated_at: self.now,
            contact_id: post.contact_id.clone(),
        };
        held.answered(&post.number, answered(&kept));
        self.documents.insert(post.number.clone(), kept);
    }

    fn changeable(&mut self, number: &str) -> &mut Kept {
        let locked = self.facts.locked_until();
        let kept = self.documents.get_mut(number).expect("it is there");
        assert!(kept.status.stands() && kept.applied == 0, "not of valid status for modification");
        assert!(locked.is_none_or(|lock| kept.date > lock), "on or before a lock date");
        kept.updated_at = self.now;
        kept
    }

    /// Returns the payment's id.
    fn pay(&mut self, pay: &Pay, currency: Currency) -> String {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Payment<'a> {
            account: BTreeMap<String, String>,
            #[serde(borrow)]
            amount: &'a RawValue,
            reference: String,
        }
        let body: Payment<'_> = serde_json::from_str(pay.body.get()).unwrap();
        let amount = Money::from_decimal(body.amount.get(), currency).expect("whole minor units").amount;
        assert_eq!((amount, &body.reference), (pay.amount_minor, &pay.reference));
        assert!(amount > 0);
        assert!(self.payments.iter().all(|known| known.reference != pay.reference), "{} was used", pay.reference);
        self.apply(&pay.on.number, amount);
        let id = self.new_id();
        self.payments.push(KeptPayment {
            id: id.clone(),
            reference: pay.reference.clone(),
            account: body.account.into_values().next().expect("a code or an id"),
            amount,
            on: pay.on.number.clone(),
            deleted: false,
            reconciled: false,
        });
        id
    }

    /// Returns the journal's id.
    fn enter(&mut self, journal: &call::Journal) -> String {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Entered<'a> {
            narration: String,
            date: NaiveDate,
            status: String,
            line_amount_types: String,
            #[serde(borrow)]
            journal_lines: Vec<Line<'a>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Line<'a> {
            #[serde(borrow, rename = "LineAmount")]
            amount: &'a RawValue,
            account_code: String,
            tax_type: String,
        }
        let body: Entered<'_> = serde_json::from_str(journal.body.get()).unwrap();
        assert_eq!((body.status.as_str(), body.line_amount_types.as_str()), ("POSTED", "Inclusive"));
        assert_eq!(body.narration, journal.narration);
        assert!(self.journals.iter().all(|kept| kept.narration != body.narration), "{} was used", body.narration);
        assert!(self.facts.locked_until().is_none_or(|lock| body.date > lock), "on or before a lock date");
        assert_eq!(Some(journal.currency), self.facts.base_currency);
        let lines = body.journal_lines.into_iter().map(|line| {
            let amount = Money::from_decimal(line.amount.get(), journal.currency).expect("minor units").amount;
            assert_ne!(amount, 0);
            (line.account_code, line.tax_type, amount)
        });
        let kept = KeptJournal { lines: lines.collect(), narration: body.narration };
        assert_eq!(kept.lines.iter().map(|line| line.2).sum::<i64>(), 0, "debits and credits");
        self.journals.push(kept);
        self.new_id()
    }

    fn apply(&mut self, number: &str, amount: i64) {
        let kept = self.documents.get_mut(number).expect("it is there");
        assert!(matches!(kept.status, Standing::Authorised | Standing::Paid), "{number} is not approved");
        kept.applied += amount;
        assert!((0..=kept.total).contains(&kept.applied), "{number}: more than is outstanding");
        kept.status = if kept.applied == kept.total { Standing::Paid } else { Standing::Authorised };
        kept.updated_at = self.now;
    }

    fn seen(&self, number: &str) -> Seen {
        let kept = &self.documents[number];
        let own = self.payments.iter().filter(|payment| payment.on == number);
        // What a document lists of its payments does not tell whether they are reconciled.
        let payments = own.map(|one| SeenPayment { id: one.id.clone(), reconciled: false, deleted: one.deleted });
        Seen {
            status: kept.status,
            total_minor: kept.total,
            applied_minor: kept.applied,
            updated_at: Some(kept.updated_at),
            contact_id: kept.contact_id.clone(),
            lines: kept.lines.clone(),
            payments: payments.collect(),
        }
    }
}

fn key(order_id: OrderId) -> DeliveryKey {
    let order = OrderKey { source: SourceName::parse("main").unwrap(), order_id };
    DeliveryKey { sink: SinkName::parse("books").unwrap(), order }
}

fn sign(kind: DocumentKind) -> i64 {
    if kind == DocumentKind::Invoice { 1 } else { -1 }
}

fn answered(kept: &Kept) -> Answered {
    Answered {
        id: kept.id.clone(),
        status: kept.status,
        total_minor: Some(kept.total),
        updated_at: Some(kept.updated_at),
    }
}

/// A document's JSON, as Xero would add it up.
struct Body {
    status: String,
    date: NaiveDate,
    lines: Vec<SeenLine>,
}

impl Body {
    fn of(body: &Exact, currency: Currency) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Document<'a> {
            status: String,
            date: NaiveDate,
            currency_code: Currency,
            line_amount_types: String,
            #[serde(borrow)]
            line_items: Vec<Line<'a>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Line<'a> {
            description: String,
            quantity: i64,
            #[serde(borrow)]
            unit_amount: &'a RawValue,
            account_code: String,
            tax_type: String,
        }
        let document: Document<'_> = serde_json::from_str(body.get()).unwrap();
        assert_eq!((document.currency_code, document.line_amount_types.as_str()), (currency, "Inclusive"));
        assert!(!document.line_items.is_empty());
        let lines = document.line_items.into_iter().map(|line| {
            assert!(line.quantity > 0 && !line.description.is_empty());
            let unit = Money::from_decimal(line.unit_amount.get(), currency).expect("whole minor units").amount;
            SeenLine { account: line.account_code, tax_type: line.tax_type, amount_minor: line.quantity * unit }
        });
        Self { lines: lines.collect(), status: document.status, date: document.date }
    }

    fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.amount_minor).sum()
    }
}
