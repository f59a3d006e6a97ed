//! `webhook` under the rules: one request per version, safe to repeat.

use std::time::Duration;

use scoffable_sync::simulator::{faults::Fault, webhook::WebhookSim};
use serde_json::Value;

use super::subject::{Asked, NAME, Standing, Subject};
use crate::harness::app::{SOURCE, Setup, receiver};

pub struct Receiver(WebhookSim);

impl Subject for Receiver {
    const STEPS: usize = 1;
    const REFRESHES: bool = false;
    const SEEN_AFTER: Option<Duration> = None;
    const SECRETS: &[&str] = &["whsec_", "simulations only"];

    async fn start(setup: Setup) -> (Self, Setup) {
        let sim = receiver(setup.clock()).await;
        let setup = setup.with_receiver(NAME, &sim);
        (Self(sim), setup)
    }

    fn answer_next(&self, faults: Vec<Fault>) {
        self.0.answer_next(faults);
    }

    fn clear_script(&self) {
        self.0.faults().clear_script();
    }

    fn answer_look_ups(&self, _: Vec<Fault>) {}

    fn hide_effect(&self, _: usize) {}

    fn n_requests(&self) -> u64 {
        self.0.journal().total()
    }

    fn asked(&self) -> Vec<Asked> {
        self.0.received().into_iter().map(|got| Asked { key: got.key, body: got.body.to_vec() }).collect()
    }

    fn n_effects(&self) -> usize {
        self.0.ledger().n_applied()
    }

    fn is_busy_with(&self, order_id: &str) -> bool {
        self.0.ledger().running(SOURCE, order_id) > 0
    }

    fn stands(&self, order_id: &str) -> Vec<Standing> {
        let last = self.0.ledger().applied(SOURCE, order_id).last().cloned();
        let Some(applied) = last.filter(|applied| applied.status == "accepted") else { return Vec::new() };
        let received = self.0.received();
        let request = received.iter().find(|received| received.key == applied.key).expect("it was received");
        let body: Value = serde_json::from_slice(&request.body).expect("the body is JSON");
        let total = body["money"]["total"].as_i64().expect("a total");
        vec![Standing { total, settled: total }]
    }

    fn wrongs(&self) -> Vec<String> {
        self.0.violations().iter().map(|violation| format!("{violation:?}")).collect()
    }

    fn id_of(&self, order_id: &str) -> Option<String> {
        Some(format!("hook-{SOURCE}-{order_id}"))
    }
}
