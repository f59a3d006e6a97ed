//! What one sink's tasks share, and how deliveries are claimed for it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::breaker::Signal;
use crate::{
    boundary::{Boundary, reach},
    clock::{BootInstant, Clock},
    config::SinkCommon,
    domain::ids::SinkName,
    sinks::Sink,
    store::{
        self, StoreError,
        deliveries::{Claim, Claimed, Settlement},
    },
    telemetry::metrics::Metrics,
};

/// Longest sleep without a wake-up: what another process stored is seen after this at the latest.
const IDLE: Duration = Duration::from_secs(5);

/// Most doubts in one look-up.
const LOOK_UP_GROUP: usize = 50;

/// Everything an attempt needs. Shared by the tasks of one sink.
pub struct Driver {
    pub name: SinkName,
    pub sink: Arc<dyn Sink>,
    pub rules: SinkCommon,
    pub pool: PgPool,
    pub clock: Clock,
    /// This process, for `lease_owner`.
    pub owner: String,
    pub lease: Duration,
    /// When an effect in doubt is looked up.
    pub read_back: Vec<Duration>,
    /// The lanes of this sink; the unnamed one included.
    pub lanes: Vec<String>,
    /// Sinks that wait for this one (`after`), with their wake-ups.
    pub dependents: Vec<(SinkName, Arc<Notify>)>,
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A leased delivery on its way, with the instant until which the lease certainly holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) claimed: Claimed,
    pub(super) deadline: BootInstant,
    /// The one delivery that tries a lane whose breaker is open.
    pub(super) probe: bool,
}

/// An attempt's end, before it is settled.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) settlement: Settlement,
    pub(super) signal: Signal,
}

/// How a claim looked.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) held: Vec<Held>,
    /// Less was due than we could take: look again after this.
    pub(super) rest: Option<Duration>,
    pub(super) open_lanes: Vec<String>,
}

impl Driver {
    /// Takes due deliveries of the lanes that may be called.
    pub(super) async fn claim(&self, limit: usize, lanes: &[String]) -> Result<Taken, StoreError> {
        let offset = self.clock.offset_ms();
        let gate = store::sinks::gate(&self.pool, &self.name, offset).await?;
        if gate.paused || lanes.is_empty() {
            return Ok(Taken { held: Vec::new(), rest: Some(IDLE), open_lanes: Vec::new() });
        }
        let open_lanes: Vec<String> = gate.open_lanes.iter().map(|open| open.lane.clone()).collect();
        let mut held = Vec::new();
        let mut rest = IDLE;
        for open in &gate.open_lanes {
            if !lanes.contains(&open.lane) {
                continue;
            }
            let lane = std::slice::from_ref(&open.lane);
            // A probe won for nothing would keep the next order waiting.
            let Some(due) = store::deliveries::next_due(&self.pool, &self.name, lane, offset).await? else { continue };
            rest = rest.min(due.max(open.probe_in));
            if due.is_zero()
                && open.probe_in.is_zero()
                && store::sinks::win_probe(&self.pool, &self.name, &open.lane, self.lease, offset).await?
            {
                reach(Boundary::ProbeWon);
                let probes = self.claim_of(1, lane).await?;
                held.extend(probes.into_iter().map(|held| Held { probe: true, ..held }));
            }
        }
        let closed: Vec<String> = lanes.iter().filter(|lane| !open_lanes.contains(lane)).cloned().collect();
        if closed.is_empty() {
            return Ok(Taken { held, rest: Some(rest.max(Duration::from_millis(50))), open_lanes });
        }
        let taken = self.claim_of(limit, &closed).await?;
        if taken.len() == limit {
            held.extend(taken);
            return Ok(Taken { held, rest: None, open_lanes });
        }
        if taken.is_empty() {
            if let Some(due) = store::deliveries::next_due(&self.pool, &self.name, &closed, offset).await? {
                rest = rest.min(due);
            }
        } else {
            rest = Duration::from_millis(2);
        }
        held.extend(taken);
        Ok(Taken { held, rest: Some(rest), open_lanes })
    }

    /// Takes those out of the queue that may share a call with this delivery: like steps where the sink sends groups,
    /// and doubts, which one look-up can serve.
    pub(super) fn batch(&self, first: Held, queue: &mut VecDeque<Held>) -> Vec<Held> {
        let in_doubt = |held: &Held| held.claimed.pending.is_some();
        let most = if in_doubt(&first) { LOOK_UP_GROUP } else { self.sink.group_size() };
        let mut batch = vec![first];
        let mut at = 0;
        while batch.len() < most && at < queue.len() {
            let (first, other) = (&batch[0], &queue[at]);
            if !first.probe
                && !other.probe
                && first.claimed.lane == other.claimed.lane
                && in_doubt(first) == in_doubt(other)
            {
                batch.extend(queue.remove(at));
            } else {
                at += 1;
            }
        }
        batch
    }

    pub(super) async fn claim_of(&self, limit: usize, lanes: &[String]) -> Result<Vec<Held>, StoreError> {
        // Taken before the claim is asked for, so that the lease never ends earlier than we think.
        let deadline = BootInstant::now() + self.lease;
        let claim = Claim {
            sink: &self.name,
            lanes,
            limit: limit as u32,
            owner: &self.owner,
            lease: self.lease,
            after: self.rules.after.as_ref(),
        };
        let claimed = store::deliveries::claim(&self.pool, &claim, self.clock.offset_ms()).await?;
        if !claimed.is_empty() {
            reach(Boundary::DeliveriesClaimed);
        }
        Ok(claimed.into_iter().map(|claimed| Held { claimed, deadline, probe: false }).collect())
    }
}

pub(super) fn report(what: &'static str, sink: &SinkName, error: &StoreError, wait: Duration, failures: u32) {
    let error = crate::telemetry::chain(error);
    // The first failures may be a restart; said once in a while after that.
    if failures.is_power_of_two() {
        warn!(sink.name = %sink, error, backoff_ms = wait.as_millis() as u64, "{what}");
    } else {
        debug!(sink.name = %sink, error, backoff_ms = wait.as_millis() as u64, "{what}");
    }
}
