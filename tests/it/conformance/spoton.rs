//! `spoton` under the rules: one request per order, which a kitchen cooks each time it is made.
//!
//! An order that changes is cancelled and submitted anew here, so that what stands can be held against what is wanted.

use std::time::Duration;

use scoffable_sync::simulator::{
    faults::Fault,
    spoton::{Operation, Rules, Show, SpotonOptions, SpotonSim, Stored},
};
use serde_json::Value;

use super::{
    needy::Needy,
    subject::{Asked, NAME, Standing, Subject},
};
use crate::harness::{
    app::{Setup, order},
    pos::at_pos,
};

const LAG: Duration = Duration::from_secs(20);

/// Its merchant accepts a second submit once the first is certainly nowhere.
pub struct Pos(SpotonSim);

/// Its merchant does not: that nothing is seen proves nothing.
pub struct CautiousPos(SpotonSim);

async fn start(setup: Setup) -> (SpotonSim, Setup) {
    let rules = Rules { takes_zero_payments: true, ..Rules::default() };
    let options =
        SpotonOptions { lag: LAG, rules, limits: Vec::new(), clock: setup.clock().clone(), ..SpotonOptions::default() };
    let sim = SpotonSim::start(options).await.expect("a loopback port is free");
    let key = |key: &str| format!("sinks.{NAME}.{key}");
    let setup = at_pos(setup, NAME, &sim)
        .with(&key("on_change"), "cancel_and_resubmit")
        .with(&key("max_submit_age"), "365d")
        .with(&key("allow_zero_total"), "true");
    (sim, setup)
}

macro_rules! subject {
    ($pos:ty, seen after $seen:expr, $start:expr) => {
        impl Subject for $pos {
            const STEPS: usize = 1;
            const REFRESHES: bool = true;
            const SEEN_AFTER: Option<Duration> = $seen;
            const SECRETS: &[&str] = &["spoton-secret"];

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
                self.0.answer_next_to(Operation::Report, faults);
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
                let ledger = self.0.ledger();
                ledger.stored().len() + ledger.stored().iter().filter(|stored| !stored.is_standing()).count()
            }

            fn is_busy_with(&self, order_id: &str) -> bool {
                self.0.ledger().running(order_id) > 0
            }

            fn stands(&self, order_id: &str) -> Vec<Standing> {
                let ledger = self.0.ledger();
                let paid = |stored: &Stored| stored.content.payments.iter().map(|payment| payment.amount).sum();
                let standing = |stored: &&Stored| Standing { total: stored.grand_total(), settled: paid(stored) };
                ledger.standing_of(order_id).iter().map(standing).collect()
            }

            fn wrongs(&self) -> Vec<String> {
                let doubled = self.0.doubled().into_iter().map(|doubled| format!("{doubled:?}"));
                self.0.violations().iter().map(|violation| format!("{violation:?}")).chain(doubled).collect()
            }

            fn id_of(&self, order_id: &str) -> Option<String> {
                self.0.ledger().stored_of(order_id).last().map(|stored| stored.id.clone())
            }
        }
    };
}

subject!(Pos, seen after Some(LAG), |setup: Setup| {
    setup.with("sinks.subject.resubmit_when_absent", "true").with("sinks.subject.visible_after", "20s")
});
subject!(CautiousPos, seen after None, |setup: Setup| setup);

impl Needy for Pos {
    fn lacking(order_id: &str, version: i64) -> Value {
        let mut order = order(order_id, version, "accepted");
        order.as_object_mut().expect("an object").remove("total");
        order
    }
}

fn asked(sim: &SpotonSim) -> Vec<Asked> {
    let effects = sim.received().into_iter().filter(|received| received.operation.is_effect());
    effects
        .map(|received| {
            let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
            let key = format!("{:?} {} {}", received.operation, received.path, body["external_reference_id"]);
            Asked { key, body: received.body.to_vec() }
        })
        .collect()
}
