//! Recording what deliveries came to, and what it says about their lane.

use std::time::Duration;

use tracing::{info, warn};

use super::{
    breaker::{LONGEST_PROBE, Signal, Turn},
    driver::{Driver, Ended, report},
    rules,
};
use crate::{
    boundary::{Boundary, reach},
    database::connect::begin,
    domain::{
        delivery::{Reason, State},
        ids::{OrderKey, SinkName},
    },
    store::{
        self, StoreError,
        deliveries::{AttemptRecord, Settled, Settlement},
        sinks::Opening,
    },
};

/// Cause of the alert about a lane that takes nothing until a person acts.
const BLOCKED: &str = "blocked";

impl Driver {
    /// Records a batch and returns what has to be tried again. A batch that the database refuses for its data is
    /// settled row by row, so that one row never holds up the others.
    pub(super) async fn settle(&self, batch: Vec<Settlement>) -> Vec<Settlement> {
        let mut left = self.settle_or_return(batch).await;
        for settlement in &mut left {
            settlement.attempt.again = true;
        }
        left
    }

    async fn settle_or_return(&self, batch: Vec<Settlement>) -> Vec<Settlement> {
        match self.settle_once(&batch).await {
            Ok(()) => return Vec::new(),
            Err(error) if !error.is_about_the_data() => {
                report("settle failed", &self.name, &error, Duration::ZERO, 1);
                return batch;
            }
            Err(error) => report("batch settled row by row", &self.name, &error, Duration::ZERO, 1),
        }
        let mut left = Vec::new();
        for settlement in batch {
            match self.settle_once(std::slice::from_ref(&settlement)).await {
                Ok(()) => {}
                Err(error) if error.is_about_the_data() => left.extend(self.settle_odd(settlement).await),
                Err(_) => left.push(settlement),
            }
        }
        left
    }

    /// What the destination said is kept as far as the database takes it: its ids and the receipt tell what stands there.
    async fn settle_odd(&self, settlement: Settlement) -> Option<Settlement> {
        let cleaned = without_nul(settlement);
        let Err(error) = self.settle_once(std::slice::from_ref(&cleaned)).await else { return None };
        if !error.is_about_the_data() {
            return Some(cleaned);
        }
        report("outcome settled without its details", &self.name, &error, Duration::ZERO, 1);
        let bare = bare(cleaned);
        self.settle_once(std::slice::from_ref(&bare)).await.is_err().then_some(bare)
    }

    async fn settle_once(&self, batch: &[Settlement]) -> Result<(), StoreError> {
        let superseding = rules::superseding(self.rules.versions);
        reach(Boundary::SettlementBegun);
        let moved =
            store::deliveries::settle(&self.pool, &self.name, superseding, batch, self.clock.offset_ms()).await?;
        reach(Boundary::SettlementCommitted);
        for settled in &moved {
            self.metrics.settled(&self.name, settled.state);
            self.metrics.corrections_avoided(&self.name, settled.corrections_avoided);
            if settled.state == State::Parked {
                warn!(sink.name = %self.name, order.id = %settled.order.order_id, "delivery parked");
            }
        }
        if moved.iter().any(|settled| settled.released) {
            // What is missed here is made up for with the next one, or when settings are read again.
            if let Err(error) = store::deliveries::close_mended(&self.pool, &self.name).await {
                report("alerts about mended settings not closed", &self.name, &error, Duration::ZERO, 1);
            }
        }
        if moved.len() < batch.len() {
            let lost = batch.len() - moved.len();
            warn!(sink.name = %self.name, deliveries = lost, "lease lost before the outcome was settled");
        }
        self.wake(moved).await;
        Ok(())
    }

    /// In a transaction of its own, after the commit: locks of two sinks never wait for each other. What is missed here
    /// looks again by itself.
    async fn wake(&self, moved: Vec<Settled>) {
        // A newer version may be wanted already, and what was applied counts all the same.
        let applied = moved.into_iter().filter(|settled| matches!(settled.state, State::Applied | State::Pending));
        let orders: Vec<OrderKey> = applied.map(|settled| settled.order).collect();
        self.wake_parts(&orders).await;
        if self.dependents.is_empty() || orders.is_empty() {
            return;
        }
        let sinks: Vec<&SinkName> = self.dependents.iter().map(|(sink, _)| sink).collect();
        match store::deliveries::wake_dependents(&self.pool, &sinks, &orders, self.clock.offset_ms()).await {
            Ok(0) => {}
            Ok(_) => {
                reach(Boundary::DependentsWoken);
                self.dependents.iter().for_each(|(_, wake)| wake.notify_one());
            }
            Err(error) => report("waiting sinks not woken", &self.name, &error, Duration::ZERO, 1),
        }
    }

    fn lane_subject(&self, lane: &str) -> String {
        if lane.is_empty() { self.name.to_string() } else { format!("{}/{lane}", self.name) }
    }

    pub(super) async fn return_probe(&self, lane: &str, wait: Duration) -> Result<(), StoreError> {
        store::sinks::return_probe(&self.pool, &self.name, lane, wait, self.clock.offset_ms()).await
    }

    pub(super) async fn turn_breaker(&self, lane: &str, turn: Turn, ended: &Ended) -> Result<(), StoreError> {
        self.pool.bounded("sinks.turn_breaker", self.record_turn(lane, turn, ended)).await
    }

    async fn record_turn(&self, lane: &str, turn: Turn, ended: &Ended) -> Result<(), StoreError> {
        let failed = |e| StoreError { operation: "sinks.turn_breaker", source: e };
        let mut tx = begin(&self.pool).await.map_err(failed)?;
        let reason = ended.settlement.attempt.reason.as_deref().unwrap_or("unknown");
        match turn {
            Turn::Nothing => {}
            Turn::Close => {
                info!(sink.name = %self.name, lane, breaker.state = "closed", "breaker closed");
                store::sinks::close_breaker(&mut tx, &self.name, lane).await?;
                store::alerts::resolve(&mut *tx, BLOCKED, &self.lane_subject(lane)).await?;
            }
            Turn::Open => {
                warn!(sink.name = %self.name, lane, breaker.state = "open", reason, "breaker opened");
                let blocked = ended.signal == Signal::Blocked;
                let hint = self.sink.blocked_hint(Reason::parse(reason).unwrap_or(Reason::Refused));
                let hint = if lane.is_empty() { hint.to_owned() } else { format!("{lane}: {hint}") };
                let opening = Opening {
                    reason,
                    probe: self.rules.breaker.probe,
                    longest: LONGEST_PROBE.max(self.rules.breaker.probe),
                    blocked_hint: blocked.then_some(hint.as_str()),
                };
                store::sinks::open_breaker(&mut tx, &self.name, lane, &opening, self.clock.offset_ms()).await?;
                if blocked {
                    store::alerts::raise(&mut *tx, BLOCKED, &self.lane_subject(lane), &hint).await?;
                }
            }
        }
        tx.commit().await.map_err(failed)?;
        reach(Boundary::BreakerTurned);
        Ok(())
    }
}

/// The outcome without the one character that no text or JSON of Postgres holds.
/// Source: PostgreSQL documentation, "Character Types" and "JSON Types".
fn without_nul(mut settlement: Settlement) -> Settlement {
    let clean = |text: Option<String>| text.map(|text| text.replace('\0', REPLACEMENT));
    settlement.receipt.iter_mut().for_each(clean_json);
    let Settlement { external_id, notice, last_error, attempt, .. } = settlement;
    let AttemptRecord { response_excerpt, reason, external_id: attempt_external_id, .. } = attempt;
    Settlement {
        external_id: clean(external_id),
        notice: clean(notice),
        last_error: clean(last_error),
        attempt: AttemptRecord {
            response_excerpt: clean(response_excerpt),
            reason: clean(reason),
            external_id: clean(attempt_external_id),
            ..attempt
        },
        ..settlement
    }
}

const REPLACEMENT: &str = "\u{fffd}";

fn clean_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains('\0') => *text = text.replace('\0', REPLACEMENT),
        serde_json::Value::Array(items) => items.iter_mut().for_each(clean_json),
        serde_json::Value::Object(members) => members.values_mut().for_each(clean_json),
        _ => {}
    }
}

/// The outcome without anything a database could object to.
fn bare(settlement: Settlement) -> Settlement {
    let attempt = AttemptRecord { response_excerpt: None, reason: None, external_id: None, ..settlement.attempt };
    Settlement { external_id: None, receipt: None, notice: None, alert: None, last_error: None, attempt, ..settlement }
}
