//! Retention once a day, by one process of all: whoever leases the row does it, in short steps.
//!
//! A process that dies is replaced once its lease has run out; a failure is tried again later. Two at once would do no
//! harm, so the lease is not renewed: a turn ends before it does.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    config::RetentionSettings,
    operate::{
        Desk,
        prune::{Prune, Pruned, prune},
        stored::Wish,
    },
    store::{
        housekeeping::{self, TurnEnd},
        line::Line,
        operations::{OperationError, Operator},
    },
    telemetry::chain,
};

/// Name of the turn.
const TASK: &str = "prune";
/// From one run to the next.
const EVERY: Duration = Duration::from_hours(24);
/// A start has more urgent things to do.
const FIRST_LOOK: Duration = Duration::from_mins(1);
/// How often it is looked whether a run is due, or there is more to do of the last one.
const LOOK: Duration = Duration::from_mins(10);
const LEASE: Duration = Duration::from_mins(30);
/// A turn ends after this; the next one goes on.
const TURN: Duration = Duration::from_mins(10);

/// The loop that prunes.
#[derive(Debug)]
pub struct Pruner {
    pub pool: Line,
    pub retention: RetentionSettings,
    pub clock: Clock,
    /// This process, for the lease.
    pub owner: String,
}

impl Pruner {
    /// Runs until told to drain.
    pub async fn run(self, drain: CancellationToken) {
        let mut wait = FIRST_LOOK;
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = LOOK,
            }
            if let Err(error) = self.tick(&drain).await {
                warn!(error = chain(&error), backoff_ms = LOOK.as_millis() as u64, "pruning failed");
            }
        }
    }

    /// Prunes if it is due and nobody else does. None: it was not our turn.
    pub async fn tick(&self, drain: &CancellationToken) -> Result<Option<Pruned>, OperationError> {
        let (pool, offset_ms) = (&self.pool, self.clock.offset_ms());
        if !housekeeping::lease(pool, TASK, &self.owner, LEASE, offset_ms).await? {
            return Ok(None);
        }
        let desk = Desk { pool, by: Operator { who: "retention", why: None }, offset_ms };
        let begun = Instant::now();
        let goes_on = || !drain.is_cancelled() && begun.elapsed() < TURN;
        let mut watch = |_| if goes_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let pruned = prune(desk, &self.retention, &Prune { wish: Wish::Do }, &mut watch).await;
        // Whatever came of it, the turn is given back; should that fail, the lease ends by itself.
        let (end, next_in) = match &pruned {
            Ok(pruned) if pruned.finished => (TurnEnd::Done, EVERY),
            Ok(_) | Err(_) => (TurnEnd::Unfinished, Duration::ZERO),
        };
        let given_back = housekeeping::give_back(pool, TASK, &self.owner, end, next_in, offset_ms).await;
        let pruned = pruned?;
        given_back?;
        let Pruned { payloads, attempts, quarantine, alerts, finished, .. } = pruned;
        info!(payloads, attempts, quarantine, alerts, finished, "pruned");
        Ok(Some(pruned))
    }
}
