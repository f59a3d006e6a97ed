//! The loop of one sink's catalogue: leases the kind that is due, works on it, gives it back.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use futures::FutureExt as _;
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::rules;
use crate::{
    config::CatalogueSettings,
    delivery::{budget::Class, driver::Driver},
    domain::{
        catalogue::Kind,
        delivery::{Outcome, Reason},
        ids::SinkName,
    },
    sinks::{
        Answer,
        catalogue::{Catalogue, Missed, Reading},
        links::{How, LinkKey},
    },
    store::{
        self, StoreError, alerts,
        catalogue::{Holder, Strikes, Turn, TurnEnd, Upkeep},
    },
    telemetry::chain,
};

/// Longest time between two writes of a lease's holder: a wait for a call, and the call.
pub const LEASE: Duration = Duration::from_mins(10);
/// Longest sleep: what another process has changed is seen after this at the latest.
const IDLE: Duration = Duration::from_secs(30);
/// After a failure of the database.
const TROUBLE: Duration = Duration::from_secs(10);
/// All readings count as those of the sink itself, and of none of its locations.
pub const LANE: &str = "";

/// Cause of the alert about changes that were not asked for in time.
pub const STALE: &str = "catalogue_stale";

/// The loop of one sink.
pub struct Worker {
    pub(super) driver: Arc<Driver>,
    pub(super) settings: CatalogueSettings,
    /// Of the vendor, for its quiet hours.
    pub(super) time_zone: Tz,
    is_set_up: bool,
    /// What was said last.
    stale: BTreeMap<Kind, bool>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("sink", &self.driver.name).finish_non_exhaustive()
    }
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// A kind had its turn.
    Worked(Kind),
    /// Nothing was due; look again after this.
    Idle(Duration),
}

impl Worker {
    pub fn new(driver: Arc<Driver>, settings: CatalogueSettings, time_zone: Tz) -> Self {
        Self { driver, settings, time_zone, is_set_up: false, stale: BTreeMap::new() }
    }

    /// Runs until told to drain; what is under way then is given up and done again by whoever comes next.
    pub async fn run(mut self, drain: CancellationToken) {
        loop {
            let ticked = tokio::select! {
                () = drain.cancelled() => break,
                ticked = self.tick() => ticked,
            };
            let wait = match ticked {
                Ok(Tick::Worked(kind)) => {
                    debug!(sink.name = %self.driver.name, catalogue.kind = %kind, "catalogue worked on");
                    continue;
                }
                Ok(Tick::Idle(wait)) => wait.clamp(Duration::from_millis(50), IDLE),
                Err(error) => {
                    warn!(
                        sink.name = %self.driver.name, error = chain(&error), backoff_ms = TROUBLE.as_millis() as u64,
                        "catalogue not worked on"
                    );
                    TROUBLE
                }
            };
            tokio::select! {
                () = drain.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        let (pool, sink) = (&self.driver.pool, &self.driver.name);
        // Should this fail, the lease ends by itself.
        let released = pool.insist(|| store::catalogue::release(pool, sink, &self.driver.owner));
        if let Err(error) = released.await {
            warn!(sink.name = %sink, error = chain(&error), "catalogue's lease not given back");
        }
        self.driver.settle_budget().await;
    }

    /// Works on the kind that is due the longest, if one is.
    pub async fn tick(&mut self) -> Result<Tick, StoreError> {
        self.set_up().await?;
        let (pool, sink, offset_ms) = (&self.driver.pool, &self.driver.name, self.driver.clock.offset_ms());
        let gate = store::sinks::gate(pool, sink, offset_ms).await?;
        if gate.paused || gate.open_lanes.iter().any(|open| open.lane == LANE) {
            // A destination in trouble is asked nothing that no order waits for.
            return Ok(Tick::Idle(IDLE));
        }
        self.tell_staleness().await?;
        let (pool, sink) = (&self.driver.pool, &self.driver.name);
        let turn = store::catalogue::claim(pool, sink, None, &self.driver.owner, LEASE, offset_ms).await?;
        let Some(turn) = turn else {
            let due = store::catalogue::next_due(pool, sink, offset_ms).await?;
            return Ok(Tick::Idle(due.unwrap_or(IDLE)));
        };
        let end = if turn.pull_is_due { self.pull_in_turn(&turn).await? } else { self.sweep(&turn).await? };
        store::catalogue::end(pool, self.holder(&turn), end).await?;
        Ok(Tick::Worked(turn.kind))
    }

    /// Rows of the kinds that are kept, and links of the configuration.
    pub async fn set_up(&mut self) -> Result<(), StoreError> {
        if self.is_set_up {
            return Ok(());
        }
        let (pool, sink, offset_ms) = (&self.driver.pool, &self.driver.name, self.driver.clock.offset_ms());
        store::catalogue::register(pool, sink, &self.upkeep(), offset_ms).await?;
        for link in self.catalogue().map(Catalogue::by_hand).unwrap_or_default() {
            let key = LinkKey { sink, kind: link.kind, local_key: &link.local_key };
            store::links::link(pool, key, &link.remote_id, How::Manual, offset_ms).await?;
        }
        self.is_set_up = true;
        Ok(())
    }

    fn upkeep(&self) -> Vec<Upkeep> {
        let settings = &self.settings;
        let of = |kind: Kind| Upkeep {
            kind,
            pulled_every: (kind != Kind::Document).then_some(settings.pull_interval),
            swept: match kind {
                Kind::Product => Some((settings.sweep_items, settings.sweep_interval)),
                Kind::Customer => Some((settings.customer_sweep_items, settings.customer_sweep_interval)),
                Kind::Document => Some((settings.document_sweep_items, settings.document_sweep_interval)),
                Kind::Stock => None,
            },
            fresh_within: settings.freshness,
        };
        let documents = self.driver.verifies().map(|_| Kind::Document);
        self.kinds().into_iter().chain(documents).map(of).collect()
    }

    /// The kinds whose changes are asked for.
    pub fn kinds(&self) -> Vec<Kind> {
        self.catalogue().map(Catalogue::kinds).unwrap_or_default()
    }

    pub fn catalogue(&self) -> Option<&dyn Catalogue> {
        self.driver.sink.catalogue()
    }

    pub fn sink(&self) -> &SinkName {
        &self.driver.name
    }

    pub fn settings(&self) -> &CatalogueSettings {
        &self.settings
    }

    /// Whether what was posted can be read back.
    pub fn reads_back(&self) -> bool {
        self.driver.verifies().is_some()
    }

    /// How many records of a kind there are, where one call tells and was answered.
    pub async fn count(&self, kind: Kind) -> Option<u64> {
        let catalogue = self.catalogue()?;
        let turns = self.driver.turns(LANE, Class::Backfill);
        let counted = ask(catalogue.count(kind, &turns, self.driver.clock.now())).await;
        self.driver.end_reading(turns).await;
        counted.ok().flatten()
    }

    async fn tell_staleness(&mut self) -> Result<(), StoreError> {
        let (pool, sink) = (&self.driver.pool, &self.driver.name);
        for (kind, is_stale) in store::catalogue::staleness(pool, sink, self.driver.clock.offset_ms()).await? {
            if self.stale.insert(kind, is_stale) == Some(is_stale) {
                continue;
            }
            let subject = format!("{sink}/{kind}");
            if is_stale {
                let detail = format!(
                    "no pull of what changed came to its end within {}: `catalogue status` says what the last one failed by",
                    crate::config::duration::shown(self.settings.freshness)
                );
                alerts::raise(pool, STALE, &subject, &detail).await?;
            } else {
                alerts::resolve(pool, STALE, &subject).await?;
            }
        }
        Ok(())
    }

    pub(super) fn holder(&self, turn: &Turn) -> Holder<'_> {
        self.writer(turn.kind, Some(turn.epoch))
    }

    pub(super) fn writer(&self, kind: Kind, epoch: Option<i64>) -> Holder<'_> {
        Holder { sink: &self.driver.name, kind, epoch, lease: LEASE, offset_ms: self.driver.clock.offset_ms() }
    }

    pub(super) fn strikes(&self) -> Strikes {
        Strikes { most: self.settings.strikes, interval: self.settings.strike_interval }
    }

    /// The end of a turn that lost its call, or asked in vain.
    pub(super) fn pull_missed(&self, turn: &Turn, missed: &Missed) -> TurnEnd<'static> {
        match missed {
            Missed::NoTurn => {
                let next_pull_in = Some(jittered(self.settings.pull_interval));
                TurnEnd { next_pull_in, skipped: true, ..TurnEnd::default() }
            }
            Missed::Failed(_) | Missed::ClockSkew => {
                let wait = rules::backoff(turn.failures + 1).max(asked_for(missed).unwrap_or_default());
                TurnEnd { next_pull_in: Some(wait), error: Some(missed.code()), ..TurnEnd::default() }
            }
        }
    }
}

/// How long the destination asked to be left alone.
fn asked_for(missed: &Missed) -> Option<Duration> {
    let Missed::Failed(answer) = missed else { return None };
    match answer.outcome {
        Outcome::Throttled { not_before } | Outcome::Retry { not_before, .. } => not_before,
        Outcome::Delivered(_) | Outcome::Reject { .. } | Outcome::Blocked { .. } | Outcome::Unknown { .. } => None,
    }
}

/// A reading that panics has failed, and nothing else.
pub(super) async fn ask<T>(reading: Reading<'_, T>) -> Result<T, Missed> {
    let read = AssertUnwindSafe(reading).catch_unwind().await;
    read.unwrap_or_else(|_| Err(Answer::from(Outcome::Reject { reason: Reason::Panicked }).into()))
}

/// An interval give or take a tenth.
pub(super) fn jittered(interval: Duration) -> Duration {
    rules::jittered(interval, rand::rng().random_range(0..=1_000))
}

/// When the next sweep comes.
pub(super) fn sooner(interval: Duration) -> Duration {
    rules::sooner(interval, rand::rng().random_range(0..=1_000))
}

/// The database's clock during a turn: it was `turn.now` when our own said `claimed`.
pub(super) fn now_of(turn: &Turn, worker: &Worker, claimed: Duration) -> DateTime<Utc> {
    turn.now + worker.driver.clock.elapsed().saturating_sub(claimed)
}
