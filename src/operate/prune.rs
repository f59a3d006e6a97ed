//! Retention, now: what it would remove, and removing it in short steps.

use std::{ops::ControlFlow, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Desk, Step, Watch, stored::Wish};
use crate::{
    config::RetentionSettings,
    store::{
        Result,
        operations::Operated,
        retention::{self, Kind},
    },
};

/// Versions looked through in one step. Few of them have something to remove.
const STRETCH: u32 = 5_000;
/// Rows removed in one step.
const IN_A_STEP: u32 = 2_000;

#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawPrune")]
pub struct Prune {
    pub wish: Wish,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrune {
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    yes: bool,
}

impl From<RawPrune> for Prune {
    fn from(raw: RawPrune) -> Self {
        Self { wish: Wish::of(raw.dry_run, raw.yes) }
    }
}

/// What was removed or, without consent, would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub payloads: u64,
    pub attempts: u64,
    pub quarantine: u64,
    pub alerts: u64,
    /// False: nothing was changed.
    pub removed: bool,
    /// Nothing that was asked for is left undone.
    pub finished: bool,
}

impl Pruned {
    pub fn total(&self) -> u64 {
        self.payloads + self.attempts + self.quarantine + self.alerts
    }
}

/// Removes what is older than it may be, if there is consent; else counts it.
pub async fn prune(desk: Desk<'_>, retention: &RetentionSettings, prune: &Prune, watch: Watch<'_>) -> Operated<Pruned> {
    let work = match prune.wish {
        Wish::Do => Work::Remove { run: retention::begin_run(desk.pool, desk.by, desk.offset_ms).await? },
        Wish::DryRun | Wish::Ask => Work::Count,
    };
    let mut pruned = Pruned { removed: prune.wish == Wish::Do, ..Pruned::default() };
    pruned.finished = go_through(desk, retention, work, &mut pruned, watch).await? == ControlFlow::Continue(());
    Ok(pruned)
}

/// What is done about what is found.
#[derive(Debug, Clone, Copy)]
enum Work {
    Count,
    Remove { run: i64 },
}

async fn go_through(
    desk: Desk<'_>,
    retention: &RetentionSettings,
    work: Work,
    pruned: &mut Pruned,
    watch: Watch<'_>,
) -> Result<ControlFlow<()>> {
    if let Some(older_than) = retention.payloads.limit()
        && payloads(desk, older_than, work, pruned, watch).await?.is_break()
    {
        return Ok(ControlFlow::Break(()));
    }
    let rest = [
        (Kind::Attempts, retention.attempts),
        (Kind::Quarantine, retention.quarantine),
        (Kind::Alerts, retention.alerts),
    ];
    for (kind, keep) in rest {
        if let Some(older_than) = keep.limit()
            && rows(desk, kind, older_than, work, pruned, watch).await?.is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

async fn payloads(
    desk: Desk<'_>,
    older_than: Duration,
    work: Work,
    pruned: &mut Pruned,
    watch: Watch<'_>,
) -> Result<ControlFlow<()>> {
    let mut last = None;
    loop {
        let stretch =
            retention::removable_payloads(desk.pool, last.as_ref(), STRETCH, older_than, desk.offset_ms).await?;
        pruned.payloads += match work {
            Work::Remove { run } if !stretch.removable.is_empty() => {
                retention::remove_payloads(desk.pool, run, &stretch.removable).await?
            }
            Work::Count | Work::Remove { .. } => stretch.removable.len() as u64,
        };
        last = stretch.last;
        if last.is_none() {
            return Ok(ControlFlow::Continue(()));
        }
        if watch(Step { done: pruned.total(), of: None }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

async fn rows(
    desk: Desk<'_>,
    kind: Kind,
    older_than: Duration,
    work: Work,
    pruned: &mut Pruned,
    watch: Watch<'_>,
) -> Result<ControlFlow<()>> {
    let (pool, offset_ms) = (desk.pool, desk.offset_ms);
    loop {
        let done = match (work, kind) {
            (Work::Count, _) => retention::count(pool, kind, older_than, offset_ms).await?,
            (Work::Remove { .. }, Kind::Payloads) => 0,
            (Work::Remove { run }, Kind::Attempts) => {
                retention::remove_attempts(pool, run, IN_A_STEP, older_than, offset_ms).await?
            }
            (Work::Remove { run }, Kind::Quarantine) => {
                retention::empty_quarantine(pool, run, IN_A_STEP, older_than, offset_ms).await?
            }
            (Work::Remove { run }, Kind::Alerts) => {
                retention::remove_alerts(pool, run, IN_A_STEP, older_than, offset_ms).await?
            }
        };
        match kind {
            Kind::Payloads => {}
            Kind::Attempts => pruned.attempts += done,
            Kind::Quarantine => pruned.quarantine += done,
            Kind::Alerts => pruned.alerts += done,
        }
        if watch(Step { done: pruned.total(), of: None }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if done == 0 || matches!(work, Work::Count) {
            return Ok(ControlFlow::Continue(()));
        }
    }
}
