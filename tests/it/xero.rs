//! The sink for a Xero organisation, against a Xero in the test's hand: what is sent, and what each answer is taken for.

mod calls;
mod connect;
mod contacts;
mod daily;
mod journals;
mod organisation;
mod send;
mod simulated;
mod stub;

use std::time::Duration;

use scoffable_sync::{
    app::services,
    config::{SinkKind, SinkSettings},
    domain::{
        delivery::{DeliveryKey, Outcome, Receipt, Repeat, Step},
        ids::{OrderId, OrderKey, SinkName, SourceName},
        money::Currency,
    },
    sinks::{
        Answer, http_client,
        xero::{
            call::{Call, Exact, On, Post},
            client::Client,
            config::{Kind, XeroSettings},
            receipt::{Document, DocumentKind, Held, Line, Role, Standing},
        },
    },
};
use serde_json::{Value, json};

use self::stub::XeroStub;
use crate::harness::app::{Setup, TestApp};

const BOOKS: &str = "books";
const TENANT: &str = "0b7d0d3f-5a2b-4c1e-9b7d-111111111111";
const CONTACT: &str = "6f0e2a44-1111-4c1e-9b7d-0d3f5a2b9c01";

/// One sink, and its Xero.
struct Case {
    app: TestApp,
    xero: XeroStub,
    client: Client,
}

impl Case {
    async fn start(keys: &[(&str, &str)]) -> Self {
        let xero = XeroStub::start().await;
        let app = set_up(&xero, keys).start().await;
        let client = client(&app);
        Self { app, xero, client }
    }

    async fn usual() -> Self {
        Self::start(&[("house_customer", CONTACT)]).await
    }

    /// Another process on the same database.
    fn another(&self) -> Client {
        client(&self.app)
    }

    fn settings(&self) -> &XeroSettings {
        books(&self.app).1
    }

    async fn send(&self, step: &Step) -> Answer {
        self.client.send(step, self.app.clock.wall()).await
    }
}

fn set_up(xero: &XeroStub, keys: &[(&str, &str)]) -> Setup {
    let usual = [
        ("kind", "xero"),
        ("base_url", &xero.url("/api.xro/2.0")),
        ("token_url", &xero.url("/token")),
        ("authorize_url", &xero.url("/authorize")),
        ("connections_url", &xero.url("/connections")),
        ("client_id", "an-app"),
        ("client_secret", "a-secret-of-the-app"),
        ("tenant_id", TENANT),
        ("time_zone", "Europe/London"),
        ("request_timeout", "5s"),
        ("tax_types.default", "OUTPUT2"),
        ("tax_types.untaxed", "NONE"),
        ("accounts.sales", "200"),
        ("accounts.service_fee", "201"),
        ("accounts.delivery_fee", "202"),
        ("accounts.vendor_voucher", "205"),
        ("accounts.rounding", "498"),
        ("accounts.difference", "499"),
        ("accounts.scoffable_clearing", "611"),
        ("accounts.cash", "612"),
        ("accounts.card_terminal", "613"),
    ];
    let mut setup = Setup::default().without_hook();
    for (key, value) in usual.iter().chain(keys) {
        setup = setup.with(&format!("sinks.{BOOKS}.{key}"), value);
    }
    setup
}

fn books(app: &TestApp) -> (&SinkSettings, &XeroSettings) {
    let sink = &app.settings.sinks[&SinkName::parse(BOOKS).unwrap()];
    match &sink.kind {
        SinkKind::Xero(settings) => (sink, settings),
        other => panic!("{}", other.as_str()),
    }
}

fn client(app: &TestApp) -> Client {
    let (sink, settings) = books(app);
    let name = SinkName::parse(BOOKS).unwrap();
    let http = http_client(&sink.common).unwrap();
    let services = services(&app.pool, &app.clock);
    Client::build(&name, settings, sink.common.request_timeout, http, &app.clock, &services).unwrap()
}

fn gbp() -> Currency {
    Currency::parse("GBP").unwrap()
}

fn key(order_id: &str) -> DeliveryKey {
    let order = OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new(order_id) };
    DeliveryKey { sink: SinkName::parse(BOOKS).unwrap(), order }
}

fn step(call: &Call, held: &Held) -> Step {
    Step {
        name: call.name().to_owned(),
        key: format!("key-of-{}", call.written().len()),
        body: call.written(),
        repeat: Repeat::Within(Duration::from_mins(5)),
        completes: false,
        receipt: Some(held.receipt()),
    }
}

/// A document of one line that is being made.
fn document(kind: DocumentKind, number: &str, gross_minor: i64) -> Document {
    let sign = if kind == DocumentKind::Invoice { 1 } else { -1 };
    let line = Line {
        kind: Kind::Sales,
        key: "lamb bhuna".to_owned(),
        description: "Lamb Bhuna".to_owned(),
        account: "200".to_owned(),
        tax_type: "OUTPUT2".to_owned(),
        item_code: None,
        quantity: 1,
        gross_minor: sign * gross_minor,
        tracking: Vec::new(),
    };
    Document {
        kind,
        role: Role::Whole,
        number: number.to_owned(),
        id: None,
        version: 1,
        date: "2025-10-09".parse().unwrap(),
        contact_id: CONTACT.to_owned(),
        status: Standing::Authorised,
        lines: vec![line],
        tracking: Vec::new(),
        gross_minor,
        told_minor: None,
        applied_minor: 0,
        updated_at: None,
        touched: false,
        edited: false,
        shared: None,
    }
}

fn holding(documents: Vec<Document>) -> Held {
    Held { documents, currency: Some(gbp()), ..Held::default() }
}

/// The step that makes an invoice.
fn invoice(number: &str, gross_minor: i64) -> Step {
    post(DocumentKind::Invoice, number, gross_minor)
}

fn post(kind: DocumentKind, number: &str, gross_minor: i64) -> Step {
    let body = match kind {
        DocumentKind::Invoice => json!({"Type": "ACCREC", "InvoiceNumber": number}),
        DocumentKind::CreditNote => json!({"Type": "ACCRECCREDIT", "CreditNoteNumber": number}),
    };
    let post = Post {
        number: number.to_owned(),
        total_minor: gross_minor,
        currency: gbp(),
        contact_id: CONTACT.to_owned(),
        body: Exact::of(&body),
    };
    let call = match kind {
        DocumentKind::Invoice => Call::Invoice(post),
        DocumentKind::CreditNote => Call::CreditNote(post),
    };
    step(&call, &holding(vec![document(kind, number, gross_minor)]))
}

fn on(kind: DocumentKind, number: &str) -> On {
    On { kind, id: id_of(number), number: number.to_owned() }
}

/// Xero's id of the document with this number.
fn id_of(number: &str) -> String {
    let digits: u64 = number.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("9a1b0c2d-2222-4d3e-8f40-{:012x}", digits & 0xffff_ffff_ffff)
}

/// An invoice as Xero shows it.
fn shown(number: &str, total: &str) -> Value {
    json!({
        "Type": "ACCREC", "InvoiceID": id_of(number), "InvoiceNumber": number, "Status": "AUTHORISED",
        "Contact": {"ContactID": CONTACT}, "CurrencyCode": "GBP", "Total": json_number(total),
        "AmountDue": json_number(total), "AmountPaid": 0, "AmountCredited": 0, "HasErrors": false,
        "LineItems": [{"LineAmount": json_number(total), "AccountCode": "200", "TaxType": "OUTPUT2"}],
        "UpdatedDateUTC": "/Date(1760000000000+0000)/",
    })
}

fn json_number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn refused(number: &str, message: &str) -> Value {
    json!({
        "InvoiceID": "00000000-0000-0000-0000-000000000000", "InvoiceNumber": number,
        "StatusAttributeString": "ERROR", "ValidationErrors": [{"Message": message}],
    })
}

fn exception(message: &str) -> Value {
    json!({
        "ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception occurred",
        "Elements": [{"ValidationErrors": [{"Message": message}]}],
    })
}

/// What a delivered step left in the receipt.
fn held(answer: &Answer) -> Held {
    let Outcome::Delivered(Receipt { receipt: Some(receipt), .. }) = &answer.outcome else {
        panic!("not delivered: {:?}", answer.outcome)
    };
    Held::of(Some(receipt)).unwrap()
}

/// Causes of what Xero did not take.
fn causes(held: &Held) -> Vec<&str> {
    held.refusals.iter().map(|refusal| refusal.cause.as_str()).collect()
}
