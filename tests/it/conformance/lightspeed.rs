//! `lightspeed` under the rules: one sale, by a request that is never repeated. A correction takes it back and makes another,
//! since the register's opening is not over.
//!
//! What every order needs of the shop is read by whoever is first, and is no request of an order's.

use std::time::Duration;

use scoffable_sync::{
    simulator::{
        faults::Fault,
        lightspeed::{LightspeedOptions, LightspeedSim, Operation, Resource, Sale, State, ids},
    },
    sinks::lightspeed::{
        call::Call,
        config::Api,
        wire::{self, Amounts},
    },
};
use serde_json::Value;

use super::{
    needy::Needy,
    subject::{Asked, NAME, Standing, Subject},
};
use crate::harness::app::{Setup, order};

pub struct Shop(LightspeedSim);

impl Subject for Shop {
    const STEPS: usize = 1;
    const REFRESHES: bool = false;
    const SEEN_AFTER: Option<Duration> = Some(Duration::ZERO);
    const REFUSED_IS: &str = "pending";
    const SECRETS: &[&str] = &["lightspeed-token"];

    async fn start(setup: Setup) -> (Self, Setup) {
        let dish = "Lamb Kofta Plate";
        let options = LightspeedOptions {
            limits: None,
            products: vec![dish.to_owned()],
            clock: setup.clock().clone(),
            ..LightspeedOptions::default()
        };
        let sim = LightspeedSim::start(options).await.expect("a loopback port is free");
        let products = sim.by_hand(|store, _| store.products().to_vec());
        let product = products.iter().find(|product| product.name == dish).expect("it is there from the start");
        let keys = [
            ("kind", "lightspeed"),
            ("base_url", &*sim.url()),
            ("token", "lightspeed-token"),
            ("author_id", ids::USERS[0]),
            ("customers", "none"),
            ("stable_for", "0s"),
            ("vendors", &format!("{{ \"vendor-a\" = {{ register_id = {:?} }} }}", ids::REGISTERS[0])),
            ("items", &format!("{{ {dish:?} = {:?} }}", product.id)),
            ("tax_ids.default", ids::TAXES[0]),
            ("payment_types.online_scoffable", ids::PAYMENT_TYPES[0]),
            ("payment_types.voucher_scoffable", ids::PAYMENT_TYPES[1]),
            ("payment_types.cash_vendor", ids::PAYMENT_TYPES[2]),
            ("payment_types.online_vendor", ids::PAYMENT_TYPES[3]),
            ("limits.per_five_minutes", "unlimited"),
        ];
        let setup =
            keys.into_iter().fold(setup, |setup, (key, value)| setup.with(&format!("sinks.{NAME}.{key}"), value));
        (Self(sim), setup)
    }

    fn goes_out(planned: &str) -> Option<Vec<u8>> {
        match Call::read(planned).expect("a step's body is a call") {
            Call::Sale(post) => {
                let api = Api::Dated { year: 2026, month: 7 };
                Some(wire::body(&post.sale, api, Amounts::Text).into_bytes())
            }
            Call::Read(_) => None,
            other => panic!("a {} is planned", other.name()),
        }
    }

    fn answer_next(&self, faults: Vec<Fault>) {
        self.0.answer_next_writes(faults);
    }

    fn clear_script(&self) {
        self.0.clear_script();
    }

    fn answer_look_ups(&self, faults: Vec<Fault>) {
        self.0.answer_next_to(Operation::Read(Resource::Sales), faults);
    }

    fn hide_effect(&self, _: usize) {
        panic!("a shop shows at once what it holds");
    }

    fn n_requests(&self) -> u64 {
        self.0.journal().total()
    }

    fn asked(&self) -> Vec<Asked> {
        let writes = self.0.received().into_iter().filter(|received| received.operation.is_write());
        let asked = writes.map(|received| {
            let body = String::from_utf8_lossy(&received.body);
            Asked { key: format!("{:?} {} {body}", received.operation, received.path), body: received.body.to_vec() }
        });
        asked.collect()
    }

    fn n_effects(&self) -> usize {
        let ledger = self.0.ledger();
        let sales = ledger.store().sales();
        sales.len() + sales.iter().filter(|sale| sale.state == State::Voided).count()
    }

    fn is_busy_with(&self, order_id: &str) -> bool {
        self.0.ledger().running(order_id) > 0
    }

    fn stands(&self, order_id: &str) -> Vec<Standing> {
        let ledger = self.0.ledger();
        let standing = |sale: &Sale| Standing { total: sale.gross().0, settled: sale.paid().0 };
        ledger.sales_of(order_id).filter(|sale| sale.stands()).map(standing).collect()
    }

    fn wrongs(&self) -> Vec<String> {
        let doubled = self.0.doubled().into_iter().map(|doubled| format!("{doubled:?}"));
        self.0.violations().iter().map(|violation| format!("{violation:?}")).chain(doubled).collect()
    }

    fn id_of(&self, order_id: &str) -> Option<String> {
        self.0.ledger().sales_of(order_id).next().map(|sale| sale.id.clone())
    }
}

impl Needy for Shop {
    fn lacking(order_id: &str, version: i64) -> Value {
        let mut order = order(order_id, version, "accepted");
        order.as_object_mut().expect("an object").remove("total");
        order
    }
}
