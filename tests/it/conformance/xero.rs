//! `xero` under the rules: an invoice, then its payment, each by a request with a key that may be repeated for some
//! minutes.
//!
//! What every order needs of the organisation is read by whoever is first, and is no request of an order's. Nothing stands
//! of an order whose documents come to nothing.

use std::{collections::BTreeMap, time::Duration};

use scoffable_sync::simulator::{
    faults::Fault,
    xero::{Cents, Operation, Resource, XeroLimits, XeroOptions, XeroSim},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    keyed::Keyed,
    needy::Needy,
    subject::{Asked, NAME, Standing, Subject},
};
use crate::harness::app::{Setup, order};

pub struct Ledger(XeroSim);

/// What goes out of a planned document, word for word.
#[derive(Deserialize)]
struct Element {
    body: Box<RawValue>,
}

impl Subject for Ledger {
    const STEPS: usize = 2;
    const REFRESHES: bool = true;
    const SEEN_AFTER: Option<Duration> = Some(Duration::from_mins(1));
    const SECRETS: &[&str] = &["xero-secret"];

    async fn start(setup: Setup) -> (Self, Setup) {
        let options = XeroOptions { limits: XeroLimits::NONE, clock: setup.clock().clone(), ..XeroOptions::default() };
        let sim = XeroSim::start(options).await.expect("a loopback port is free");
        let options = sim.options().clone();
        let contact = sim.contact_id("Scoffable customers").expect("it is there from the start");
        let keys = [
            ("kind", "xero"),
            ("base_url", &sim.url()),
            ("token_url", &sim.token_url()),
            ("client_id", &options.client_id),
            ("client_secret", &options.client_secret),
            ("house_customer", &contact),
            ("scopes", "broad"),
            ("time_zone", "Europe/London"),
            ("stable_for", "0s"),
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
            ("limits.per_minute", "unlimited"),
            ("limits.per_day", "unlimited"),
        ];
        let setup =
            keys.into_iter().fold(setup, |setup, (key, value)| setup.with(&format!("sinks.{NAME}.{key}"), value));
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
            "invoice" => {
                let Element { body } = serde_json::from_str(what.get()).expect("it has a body");
                Some(format!(r#"{{"Invoices":[{body}]}}"#).into_bytes())
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

    /// Invoices are asked for by number, and payments on their invoices.
    fn answer_look_ups(&self, faults: Vec<Fault>) {
        self.0.answer_next_to(Operation::List(Resource::Invoices), faults);
    }

    fn hide_effect(&self, _: usize) {
        panic!("Xero shows at once what it holds");
    }

    fn n_requests(&self) -> u64 {
        self.0.journal().total()
    }

    fn asked(&self) -> Vec<Asked> {
        let writes = self.0.received().into_iter().filter(|received| received.operation.is_write());
        let asked = writes
            .map(|received| Asked { key: received.idempotency_key.unwrap_or_default(), body: received.body.to_vec() });
        asked.collect()
    }

    fn n_effects(&self) -> usize {
        let ledger = self.0.ledger();
        let books = ledger.books();
        books.documents().len() + books.payments().len() + books.allocations().len()
    }

    fn is_busy_with(&self, order_id: &str) -> bool {
        self.0.ledger().running(order_id) > 0
    }

    fn stands(&self, order_id: &str) -> Vec<Standing> {
        let ledger = self.0.ledger();
        let Cents(total) = ledger.revenue(order_id);
        let settled = ledger.payments_by_account(order_id).values().map(|cents| cents.0).sum();
        if (total, settled) == (0, 0) { Vec::new() } else { vec![Standing { total, settled }] }
    }

    fn wrongs(&self) -> Vec<String> {
        let doubled = self.0.doubled().into_iter().map(|doubled| format!("{doubled:?}"));
        self.0.violations().iter().map(|violation| format!("{violation:?}")).chain(doubled).collect()
    }

    fn id_of(&self, order_id: &str) -> Option<String> {
        self.0.ledger().documents_of(order_id).next().map(|document| document.id.clone())
    }
}

impl Keyed for Ledger {
    const TRUSTED_FOR: Duration = Duration::from_mins(5);
}

impl Needy for Ledger {
    fn lacking(order_id: &str, version: i64) -> Value {
        let mut order = order(order_id, version, "accepted");
        order.as_object_mut().expect("an object").remove("total");
        order
    }
}
