//! Keeps refresh tokens alive that nothing was sent with for long: an unused one lapses, and only a person can bring another.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    clock::Clock,
    domain::ids::SinkName,
    sinks::Sink,
    store::{StoreError, credentials::due_for_keepalive, line::Line},
    telemetry::chain,
};

/// A start has more urgent things to do.
const FIRST_LOOK: Duration = Duration::from_mins(2);
/// Tokens are due a month before they lapse, so that hours do not matter.
const LOOK: Duration = Duration::from_hours(6);

/// The loop that looks after them.
pub struct Keeper {
    pub pool: Line,
    pub clock: Clock,
    pub sinks: BTreeMap<SinkName, Arc<dyn Sink>>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("sinks", &self.sinks.keys()).finish_non_exhaustive()
    }
}

impl Keeper {
    /// Runs until told to drain.
    pub async fn run(self, drain: CancellationToken) {
        let mut wait = FIRST_LOOK;
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = LOOK,
            }
            if let Err(error) = self.tick().await {
                warn!(error = chain(&error), backoff_ms = LOOK.as_millis() as u64, "unused credentials not looked for");
            }
        }
    }

    /// Has those refreshed that are due; several processes at it do no harm. What comes of it stands in the row, and a
    /// failure is tried again at the next look. Returns how many were due.
    pub async fn tick(&self) -> Result<usize, StoreError> {
        let due = due_for_keepalive(&self.pool, self.clock.offset_ms()).await?;
        let ours = due.iter().filter_map(|name| Some((name, self.sinks.get(name)?)));
        let mut n_due = 0;
        for (name, sink) in ours {
            info!(sink.name = %name, "unused credential is renewed");
            sink.keep_alive().await;
            n_due += 1;
        }
        Ok(n_due)
    }
}
