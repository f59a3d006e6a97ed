//! `unleashed` under the rules: a sales order that is made and then completed, each by a request that must not be repeated.
//!
//! What every order needs of the account is read by whoever is first, and is no request of an order's. Nothing stands of an
//! order whose documents come to nothing.

use std::{collections::BTreeMap, time::Duration};

use scoffable_sync::simulator::{
    amount::Cents,
    faults::Fault,
    unleashed::{CreditStatus, Operation, OrderStatus, Resource, UnleashedLimits, UnleashedOptions, UnleashedSim},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    needy::Needy,
    subject::{Asked, NAME, Standing, Subject},
};
use crate::harness::app::{Setup, order};

pub struct Stock(UnleashedSim);

/// What goes out of a planned document, word for word.
#[derive(Deserialize)]
struct Element {
    body: Box<RawValue>,
}

impl Subject for Stock {
    const STEPS: usize = 2;
    const REFRESHES: bool = false;
    const SEEN_AFTER: Option<Duration> = Some(Duration::ZERO);
    const SECRETS: &[&str] = &["unleashed-key"];

    async fn start(setup: Setup) -> (Self, Setup) {
        let options = UnleashedOptions {
            products: ["KOFTA", "SCF-ADJUSTMENT"].map(str::to_owned).into(),
            limits: UnleashedLimits::NONE,
            clock: setup.clock().clone(),
            ..UnleashedOptions::default()
        };
        let sim = UnleashedSim::start(options).await.expect("a loopback port is free");
        let options = sim.options().clone();
        let house = sim.customer_guid("Scoffable customers").expect("it is there from the start").to_string();
        let keys = [
            ("kind", "unleashed"),
            ("base_url", &*sim.url()),
            ("api_id", &options.api_id),
            ("api_key", &options.api_key),
            ("client_type", "acme/scoffsync"),
            ("time_zone", "Europe/London"),
            ("currency", "GBP"),
            ("stable_for", "0s"),
            ("complete", "immediately"),
            ("tax.code", "V.A.T."),
            ("tax.rate", "0.2"),
            ("house_customer", &*house),
            ("vendors", "{ \"vendor-a\" = { warehouse = \"KITCHEN1\" } }"),
            ("items", "{ \"Lamb Kofta Plate\" = \"KOFTA\" }"),
            ("requests_per_minute", "10000"),
            ("requests_per_hour", "100000"),
        ];
        let setup =
            keys.into_iter().fold(setup, |setup, (key, value)| setup.with(&format!("sinks.{NAME}.{key}"), value));
        let setup = setup.or_with(&format!("sinks.{NAME}.concurrency"), "8");
        (Self(sim), setup)
    }

    fn wanted(total: i64) -> Vec<Standing> {
        if total == 0 { Vec::new() } else { vec![Standing { total, settled: total }] }
    }

    fn goes_out(planned: &str) -> Option<Vec<u8>> {
        let planned: BTreeMap<&str, Box<RawValue>> = serde_json::from_str(planned).expect("a step's body is JSON");
        let (call, what) = planned.first_key_value()?;
        match *call {
            "read" => None,
            "order" => {
                let Element { body } = serde_json::from_str(what.get()).expect("it has a body");
                Some(body.get().as_bytes().to_vec())
            }
            other => panic!("a {other} is planned"),
        }
    }

    fn answer_next(&self, faults: Vec<Fault>) {
        self.0.answer_next_writes(faults);
    }

    fn clear_script(&self) {
        self.0.clear_script();
    }

    /// Sales orders are asked for by GUID.
    fn answer_look_ups(&self, faults: Vec<Fault>) {
        self.0.answer_next_to(Operation::Read(Resource::SalesOrders), faults);
    }

    fn hide_effect(&self, _: usize) {
        panic!("Unleashed shows at once what it holds");
    }

    fn n_requests(&self) -> u64 {
        self.0.journal().total()
    }

    fn asked(&self) -> Vec<Asked> {
        let writes = self.0.received().into_iter().filter(|received| received.operation.is_write());
        let asked = writes.map(|received| {
            // Credit notes, and changes of one order, differ in nothing else.
            let is_told_by_path = matches!(received.operation, Operation::Save(_));
            let body = if is_told_by_path { "".into() } else { String::from_utf8_lossy(&received.body) };
            let key = format!("{:?} {} {body}", received.operation, received.path);
            Asked { key, body: received.body.to_vec() }
        });
        asked.collect()
    }

    fn n_effects(&self) -> usize {
        self.0.by_hand(|account, _| {
            // Made, and then completed or deleted.
            let orders = account.orders().iter().map(|order| if order.status.is_open() { 1 } else { 2 });
            let is_finished = |status: CreditStatus| status != CreditStatus::Parked;
            let credits = account.credits().iter().map(|note| if is_finished(note.status) { 2 } else { 1 });
            orders.chain(credits).sum()
        })
    }

    fn is_busy_with(&self, order_id: &str) -> bool {
        self.0.ledger().running(order_id) > 0
    }

    fn stands(&self, order_id: &str) -> Vec<Standing> {
        let ledger = self.0.ledger();
        let (Cents(total), Cents(settled)) = (ledger.stands(order_id), ledger.invoiced(order_id));
        if (total, settled) == (0, 0) { Vec::new() } else { vec![Standing { total, settled }] }
    }

    fn wrongs(&self) -> Vec<String> {
        let doubled = self.0.doubled().into_iter().map(|doubled| format!("{doubled:?}"));
        self.0.violations().iter().map(|violation| format!("{violation:?}")).chain(doubled).collect()
    }

    fn id_of(&self, order_id: &str) -> Option<String> {
        let ledger = self.0.ledger();
        let standing = ledger.orders_of(order_id).find(|order| order.status != OrderStatus::Deleted);
        standing.map(|order| order.guid.to_string())
    }
}

impl Needy for Stock {
    fn lacking(order_id: &str, version: i64) -> Value {
        let mut order = order(order_id, version, "accepted");
        order.as_object_mut().expect("an object").remove("total");
        order
    }
}
