//! The sink for a shop of Lightspeed Retail, against a shop in the test's hand: what is sent, and what each answer is taken for.

mod doubts;
mod end_to_end;
mod resolve;
mod send;
mod shop;
mod simulated;
mod stub;

use scoffable_sync::{
    app::services,
    config::{SinkKind, SinkSettings},
    domain::{
        delivery::{DeliveryKey, Outcome, Receipt, Repeat, Step},
        ids::{OrderId, OrderKey, SinkName, SourceName},
        money::Currency,
        sale::Kind,
    },
    sinks::{
        Answer, http_client,
        lightspeed::{
            call::{Call, Change, Post},
            client::Client,
            config::LightspeedSettings,
            receipt::{Document, Held, Line, Sale},
            wire::{LineBody, PaymentBody, SaleBody, State},
        },
    },
};
use serde_json::{Value, json};

use self::stub::ShopStub;
use crate::harness::app::{Setup, TestApp};

const TILL: &str = "till";
const TOKEN: &str = "a-personal-token";
const API: &str = "/api/2026-07";
const USER: &str = "11111111-aaaa-4bbb-8ccc-000000000001";
const REGISTER: &str = "11111111-aaaa-4bbb-8ccc-000000000002";
const BHUNA: &str = "22222222-aaaa-4bbb-8ccc-000000000001";
const TAX: &str = "33333333-aaaa-4bbb-8ccc-000000000001";
const NO_TAX: &str = "33333333-aaaa-4bbb-8ccc-000000000000";
const ONLINE: &str = "44444444-aaaa-4bbb-8ccc-000000000001";
/// Of the first sale of order 812345.
const ID: &str = "b05927e1-1c5b-55cc-8bd1-8e990aef7862";

/// One sink, and its shop.
struct Case {
    app: TestApp,
    shop: ShopStub,
    client: Client,
}

impl Case {
    async fn start(keys: &[(&str, &str)]) -> Self {
        let shop = ShopStub::start().await;
        let app = set_up(Setup::default(), &shop.url(""), keys).start().await;
        let client = client(&app);
        Self { app, shop, client }
    }

    async fn usual() -> Self {
        Self::start(&[]).await
    }

    async fn send(&self, step: &Step) -> Answer {
        self.client.send(step, self.app.clock.wall()).await
    }
}

/// One sink at a shop, beside what the setup has.
fn set_up(setup: Setup, base_url: &str, keys: &[(&str, &str)]) -> Setup {
    let usual = [
        ("kind", "lightspeed"),
        ("base_url", base_url),
        ("token", TOKEN),
        ("author_id", USER),
        ("customers", "none"),
        ("stable_for", "0s"),
        ("request_timeout", "5s"),
        ("vendors", r#"{ "vendor-a" = { register_id = "11111111-aaaa-4bbb-8ccc-000000000002" } }"#),
        ("tax_ids.default", TAX),
        ("payment_types.online_scoffable", ONLINE),
        ("payment_types.voucher_scoffable", "44444444-aaaa-4bbb-8ccc-000000000002"),
        ("payment_types.cash_vendor", "44444444-aaaa-4bbb-8ccc-000000000003"),
        ("payment_types.online_vendor", "44444444-aaaa-4bbb-8ccc-000000000004"),
        ("items", r#"{ "Lamb Kofta Plate" = "22222222-aaaa-4bbb-8ccc-000000000001" }"#),
    ];
    let mut setup = setup.without_hook();
    for (key, value) in usual.iter().chain(keys) {
        setup = setup.with(&format!("sinks.{TILL}.{key}"), value);
    }
    setup
}

fn till(app: &TestApp) -> (&SinkSettings, &LightspeedSettings) {
    let sink = &app.settings.sinks[&SinkName::parse(TILL).unwrap()];
    match &sink.kind {
        SinkKind::Lightspeed(settings) => (sink, settings),
        other => panic!("{}", other.as_str()),
    }
}

fn client(app: &TestApp) -> Client {
    let (sink, settings) = till(app);
    let name = SinkName::parse(TILL).unwrap();
    let http = http_client(&sink.common).unwrap();
    Client::build(&name, settings, sink.common.request_timeout, http, &app.clock, &services(&app.pool, &app.clock))
}

fn gbp() -> Currency {
    Currency::parse("GBP").unwrap()
}

fn key(order_id: &str) -> DeliveryKey {
    let order = OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new(order_id) };
    DeliveryKey { sink: SinkName::parse(TILL).unwrap(), order }
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

/// A sale of two dishes for 21.90, as it is being made.
fn sale() -> Sale {
    let line = Line {
        kind: Kind::Sales,
        key: "lamb bhuna".to_owned(),
        quantity: 2,
        unit_minor: 1095,
        product_id: BHUNA.to_owned(),
        tax_id: TAX.to_owned(),
        price: "9.12500".to_owned(),
        tax: "1.82500".to_owned(),
    };
    Sale {
        document: Document::Sale,
        id: Some(ID.to_owned()),
        number: "SCF-812345".to_owned(),
        of: None,
        version: 1,
        register_id: REGISTER.to_owned(),
        date: "2025-10-09T08:53:20Z".parse().unwrap(),
        state: State::Closed,
        lines: vec![line],
        payments: [(ONLINE.to_owned(), 2190)].into(),
        told_minor: None,
        mark: None,
        opening: None,
        edited: false,
    }
}

/// The same as the shop was last seen to have it.
fn standing() -> Sale {
    Sale { told_minor: Some(2190), mark: Some("7".to_owned()), opening: Some("monday".to_owned()), ..sale() }
}

fn holding(sales: Vec<Sale>) -> Held {
    Held { sales, currency: Some(gbp()), ..Held::default() }
}

fn body() -> SaleBody {
    let sale = sale();
    SaleBody {
        id: ID.to_owned(),
        register_id: REGISTER.to_owned(),
        author_id: USER.to_owned(),
        order_id: "812345".to_owned(),
        state: State::Closed,
        attributes: Vec::new(),
        date: sale.date,
        customer_id: None,
        invoice_number: sale.number,
        note: "Scoffable 812345 v1".to_owned(),
        lines: vec![LineBody {
            id: None,
            product_id: BHUNA.to_owned(),
            quantity: 2,
            price: "9.12500".to_owned(),
            tax_id: TAX.to_owned(),
            tax: "1.82500".to_owned(),
            note: None,
        }],
        payments: vec![PaymentBody { id: None, type_id: ONLINE.to_owned(), amount: "21.90".to_owned() }],
    }
}

/// The step that posts it.
fn post() -> Step {
    let post = Post { sale: body(), total_minor: 2190, currency: gbp(), before: None };
    step(&Call::Sale(post), &holding(vec![sale()]))
}

/// The step that takes it back.
fn void() -> Step {
    let change = Change { id: ID.to_owned(), currency: gbp(), before: standing() };
    step(&Call::Void(change), &holding(vec![Sale { state: State::Voided, ..standing() }]))
}

/// The step that begins a return of one of the dishes.
fn begin_return() -> Step {
    let change = Change { id: ID.to_owned(), currency: gbp(), before: standing() };
    step(&Call::BeginReturn(change), &holding(vec![Sale { mark: None, ..standing() }, one_back(None)]))
}

fn one_back(id: Option<&str>) -> Sale {
    let mut back = sale();
    back.lines[0].quantity = -1;
    Sale {
        document: Document::Return,
        id: id.map(str::to_owned),
        number: String::new(),
        of: Some(ID.to_owned()),
        state: State::Parked,
        payments: [(ONLINE.to_owned(), -1095)].into(),
        ..back
    }
}

fn path(of: &str) -> String {
    format!("{API}/{of}")
}

fn sale_path(id: &str) -> String {
    path(&format!("sales/{id}"))
}

/// A sale as the shop shows it.
fn shown(id: &str, state: &str, total: &str, version: u32) -> Value {
    let total: Value = serde_json::from_str(total).unwrap();
    json!({"data": {
        "id": id, "state": state, "invoice_number": "SCF-812345",
        "source": {"type": "Scoffable", "id": "812345", "register_id": REGISTER, "author_id": USER},
        "totals": {"price_incl_tax": total}, "updated_at": "2025-10-09T08:53:21Z",
        "_metadata": {"version": version, "complete_open_sequence_id": "monday"},
        "line_items": [{
            "id": "line-1", "product": {"id": BHUNA}, "quantity": 2, "pricing": {"price": "9.12500"},
            "tax": {"id": TAX, "amount": "1.82500"},
        }],
        "payments": [{"id": "payment-1", "amount": "21.90", "type": {"config_id": ONLINE}}],
    }})
}

/// What a delivered step left in the receipt.
fn held(answer: &Answer) -> Held {
    let Outcome::Delivered(Receipt { receipt: Some(receipt), .. }) = &answer.outcome else {
        panic!("not delivered: {:?}", answer.outcome)
    };
    Held::of(Some(receipt)).unwrap()
}
