//! The sink for an Unleashed account, against an Unleashed in the test's hand: what is sent, and what each answer is taken for.

mod access;
mod account;
mod customers;
mod send;
mod simulated;
mod stub;
mod whole;

use std::time::Duration;

use scoffable_sync::{
    app::services,
    config::{SinkKind, SinkSettings},
    domain::{
        delivery::{DeliveryKey, Outcome, Receipt, Repeat, Step},
        ids::{OrderId, OrderKey, SinkName, SourceName},
        limits::month_after,
        money::Currency,
    },
    sinks::{
        Answer, http_client,
        unleashed::{
            amounts::Rate,
            call::{Call, Change, Exact, On, Post, PostCredit},
            client::Client,
            config::{Tax, UnleashedSettings},
            receipt::{Document, DocumentKind, Held, Line, Role, Standing},
        },
    },
};
use serde_json::{Value, json};

use self::stub::UnleashedStub;
use crate::harness::app::{Setup, TestApp};

const STOCK: &str = "stock";
const HOUSE: &str = "55555555-aaaa-4bbb-8ccc-000000000001";
const GUID: &str = "037bcfca-f144-5757-9fe6-81611f2f14a8";

/// One sink, and its Unleashed.
struct Case {
    app: TestApp,
    there: UnleashedStub,
    client: Client,
}

impl Case {
    async fn start(keys: &[(&str, &str)]) -> Self {
        let there = UnleashedStub::start().await;
        let app = set_up(Setup::default(), &there, keys).start().await;
        let client = client(&app);
        Self { app, there, client }
    }

    async fn usual() -> Self {
        Self::start(&[]).await
    }

    async fn send(&self, step: &Step) -> Answer {
        self.client.send(step, self.app.clock.wall()).await
    }
}

fn set_up(setup: Setup, there: &UnleashedStub, keys: &[(&str, &str)]) -> Setup {
    let usual = [
        ("kind", "unleashed"),
        ("base_url", &*there.url()),
        ("api_id", "an-id"),
        ("api_key", "example-key-not-real-0001"),
        ("client_type", "acme/scoffsync"),
        ("time_zone", "Europe/London"),
        ("currency", "GBP"),
        ("request_timeout", "5s"),
        ("tax.code", "V.A.T."),
        ("tax.rate", "0.2"),
        ("house_customer", HOUSE),
    ];
    let vendors = "{ \"vendor-a\" = { warehouse = \"KITCHEN1\" } }";
    let mut setup = setup.without_hook().with(&format!("sinks.{STOCK}.vendors"), vendors);
    for (key, value) in usual.iter().chain(keys) {
        setup = setup.with(&format!("sinks.{STOCK}.{key}"), value);
    }
    setup
}

fn stock(app: &TestApp) -> (&SinkSettings, &UnleashedSettings) {
    let sink = &app.settings.sinks[&SinkName::parse(STOCK).unwrap()];
    match &sink.kind {
        SinkKind::Unleashed(settings) => (sink, settings),
        other => panic!("{}", other.as_str()),
    }
}

fn client(app: &TestApp) -> Client {
    let (sink, settings) = stock(app);
    let name = SinkName::parse(STOCK).unwrap();
    let http = http_client(&sink.common).unwrap();
    let services = services(&app.pool, &app.clock);
    Client::build(&name, settings, sink.common.request_timeout, http, &services).unwrap()
}

/// So that the clock stands at the second day of a month, with most of it to come.
fn enter_a_month(app: &TestApp) {
    let now = app.clock.wall();
    app.advance((month_after(now) - now).to_std().unwrap() + Duration::from_hours(24));
}

fn gbp() -> Currency {
    Currency::parse("GBP").unwrap()
}

fn key() -> DeliveryKey {
    let order = OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new("812345") };
    DeliveryKey { sink: SinkName::parse(STOCK).unwrap(), order }
}

fn step(call: &Call, held: &Held) -> Step {
    Step {
        name: call.name().to_owned(),
        key: "a-key".to_owned(),
        body: call.written(),
        repeat: Repeat::Never,
        completes: false,
        receipt: Some(held.receipt()),
    }
}

/// A document of one line of 12.00 that is being made.
fn document(kind: DocumentKind) -> Document {
    let is_credit = kind == DocumentKind::Credit;
    let line = Line {
        key: "goods:lamb bhuna".to_owned(),
        code: "SCF-LAMB-BHUNA".to_owned(),
        units: if is_credit { -1 } else { 1 },
        gross_minor: if is_credit { -1200 } else { 1200 },
        comments: String::new(),
    };
    Document {
        kind,
        role: Role::Whole,
        n: 1,
        number: if is_credit { "SCF-812345-C1" } else { "SCF-812345" }.to_owned(),
        guid: GUID.to_owned(),
        version: 1,
        date: "2025-10-09".parse().unwrap(),
        customer_id: HOUSE.to_owned(),
        warehouse: "KITCHEN1".to_owned(),
        tax: Tax { code: "V.A.T.".to_owned(), rate: Rate::of("0.2").unwrap() },
        status: Standing::Parked,
        lines: vec![line],
        gross_minor: 1200,
        told_minor: None,
        since: is_credit.then(|| "2025-10-08".parse().unwrap()),
        made_at: None,
        modified_at: None,
        checked: false,
        updated: false,
        edited: false,
        deleted_there: false,
        left_over: Vec::new(),
        told_number: None,
    }
}

fn holding(document: Document) -> Held {
    Held { documents: vec![document], currency: Some(gbp()), ..Held::default() }
}

fn on(document: &Document) -> On {
    On { order_id: "812345".to_owned(), guid: document.guid.clone(), number: document.number.clone() }
}

/// The step that makes the order.
fn order() -> Step {
    let document = document(DocumentKind::Order);
    let body = Exact::of(&json!({"Guid": GUID, "OrderNumber": "SCF-812345"}));
    step(&Call::Order(Post { on: on(&document), body }), &holding(document))
}

/// The step that completes it.
fn complete() -> Step {
    let before = Document { made_at: Some("2025-10-09T18:40:00Z".parse().unwrap()), ..document(DocumentKind::Order) };
    let after = Document { status: Standing::Completed, ..before.clone() };
    step(&Call::Complete(Change { on: on(&before), before }), &holding(after))
}

/// The step that makes the credit note.
fn credit() -> Step {
    let document = document(DocumentKind::Credit);
    let since = document.since.unwrap();
    let body = Exact::of(&json!({"Guid": GUID, "Reference": "SCF-812345-C1"}));
    step(&Call::Credit(PostCredit { on: on(&document), since, body }), &holding(document))
}

/// The order as Unleashed shows it.
fn shown(status: &str) -> Value {
    json!({
        "Guid": GUID, "OrderNumber": "SCF-812345", "OrderStatus": status, "Customer": {"Guid": HOUSE.to_uppercase()},
        "Currency": {"CurrencyCode": "GBP"}, "SubTotal": 10.0, "TaxTotal": 2.0, "Total": 12.0, "BCTotal": 12.0,
        "LastModifiedOn": "/Date(1760000000000)/",
        "SalesOrderLines": [{
            "Guid": null, "Product": {"Guid": "x", "ProductCode": "SCF-LAMB-BHUNA"}, "OrderQuantity": 1.0, "LineTotal": 10.0,
        }],
    })
}

/// The credit note as Unleashed shows it, under a GUID of its own.
fn shown_credit(status: &str) -> Value {
    json!({
        "Guid": "99999999-0000-4000-8000-000000000001", "CreditNumber": "CN-1", "Status": status,
        "Reference": "SCF-812345-C1", "Customer": {"Guid": HOUSE}, "Total": 12.0,
    })
}

/// What a delivered step left in the receipt.
fn held(answer: &Answer) -> Held {
    let Outcome::Delivered(Receipt { receipt: Some(receipt), .. }) = &answer.outcome else {
        panic!("not delivered: {:?}", answer.outcome)
    };
    Held::of(Some(receipt)).unwrap()
}

/// Causes of what Unleashed did not take.
fn causes(held: &Held) -> Vec<&str> {
    held.refusals.iter().map(|refusal| refusal.cause.as_str()).collect()
}
