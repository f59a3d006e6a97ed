//! `scripted` under the rules: several requests per order, and two of its four kinds must not be repeated.

use std::time::Duration;

use scoffable_sync::simulator::{
    faults::Fault,
    till::{Operation, Show, Standing as OnTicket, TillOptions, TillSim},
};
use serde_json::Value;

use super::{
    needy::Needy,
    subject::{Asked, NAME, Standing, Subject},
};
use crate::harness::app::{SOURCE, Setup, order};

const LAG: Duration = Duration::from_secs(20);

/// Its lag is documented.
pub struct Till(TillSim);

/// Its lag is not: that nothing is seen proves nothing.
pub struct BlindTill(TillSim);

async fn start(setup: Setup) -> (TillSim, Setup) {
    let options = TillOptions { lag: LAG, clock: setup.clock().clone(), ..TillOptions::default() };
    let token = options.token.clone();
    let sim = TillSim::start(options).await.expect("a loopback port is free");
    let key = |key: &str| format!("sinks.{NAME}.{key}");
    let setup = setup.with(&key("kind"), "scripted").with(&key("url"), &sim.url()).with(&key("token"), &token);
    (sim, setup)
}

macro_rules! subject {
    ($till:ty, seen after $seen:expr, $start:expr) => {
        impl Subject for $till {
            const STEPS: usize = 2;
            const REFRESHES: bool = false;
            const SEEN_AFTER: Option<Duration> = $seen;
            const SECRETS: &[&str] = &["till-token"];

            async fn start(setup: Setup) -> (Self, Setup) {
                let (sim, setup) = start(setup).await;
                (Self(sim), $start(setup))
            }

            fn answer_next(&self, faults: Vec<Fault>) {
                self.0.answer_next(faults);
            }

            fn clear_script(&self) {
                self.0.faults().clear_script();
            }

            fn answer_look_ups(&self, faults: Vec<Fault>) {
                self.0.answer_next_to(Operation::FindTickets, faults.clone());
                self.0.answer_next_to(Operation::FindPayments, faults);
            }

            fn hide_effect(&self, after: usize) {
                let script = vec![Show::After(LAG); after];
                self.0.show_next(script.into_iter().chain([Show::Never]));
            }

            fn n_requests(&self) -> u64 {
                self.0.journal().total()
            }

            fn asked(&self) -> Vec<Asked> {
                asked(&self.0)
            }

            fn n_effects(&self) -> usize {
                n_effects(&self.0)
            }

            fn is_busy_with(&self, order_id: &str) -> bool {
                self.0.ledger().running(&named(order_id)) > 0
            }

            fn stands(&self, order_id: &str) -> Vec<Standing> {
                let (ledger, order) = (self.0.ledger(), named(order_id));
                let on_tickets = ledger.tickets_of(&order).map(|ticket| ticket.standing());
                let on_open_ones = on_tickets.filter(|on_ticket| !on_ticket.is_void);
                let standing = |on: OnTicket| Standing { total: on.sale.total_minor, settled: on.paid_minor };
                on_open_ones.map(standing).collect()
            }

            fn wrongs(&self) -> Vec<String> {
                let doubled = self.0.doubled().into_iter().map(|doubled| format!("{doubled:?}"));
                self.0.violations().iter().map(|violation| format!("{violation:?}")).chain(doubled).collect()
            }

            fn id_of(&self, order_id: &str) -> Option<String> {
                let ledger = self.0.ledger();
                ledger.tickets_of(&named(order_id)).last().map(|ticket| ticket.id.clone())
            }
        }
    };
}

subject!(Till, seen after Some(LAG), |setup: Setup| setup.with("sinks.subject.lag", "20s"));
subject!(BlindTill, seen after None, |setup: Setup| setup);

impl Needy for Till {
    fn lacking(order_id: &str, version: i64) -> Value {
        let mut order = order(order_id, version, "accepted");
        order.as_object_mut().expect("an object").remove("total");
        order
    }
}

fn named(order_id: &str) -> String {
    format!("{SOURCE}/{order_id}")
}

fn asked(sim: &TillSim) -> Vec<Asked> {
    let effects = sim.received().into_iter().filter(|received| received.operation.is_effect());
    effects
        .map(|received| {
            let body: Value = serde_json::from_slice(&received.body).expect("the body is JSON");
            // Payments of one ticket differ in reference, amendments in version.
            let key = format!("{:?} {} {} {}", received.operation, received.path, body["reference"], body["version"]);
            Asked { key, body: received.body.to_vec() }
        })
        .collect()
}

fn n_effects(sim: &TillSim) -> usize {
    let ledger = sim.ledger();
    let of_ticket = |ticket: &scoffable_sync::simulator::till::Ticket| {
        ticket.versions().len() + ticket.payments().count() + usize::from(!ticket.is_standing())
    };
    ledger.tickets().iter().map(of_ticket).sum()
}
