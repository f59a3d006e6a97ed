//! What a sink is owed: the filters and waits that hold for every kind of sink, before its own plan is asked.

use std::{collections::BTreeSet, time::Duration};

use super::{backoff::RetryPolicy, breaker::BreakerPolicy};
use crate::{
    domain::{
        delivery::{Plan, Progress, SkipReason, WaitingFor},
        ids::SinkName,
        order::Status,
    },
    store::deliveries::{Claimed, Snapshot, Superseding},
};

/// Which versions a sink is brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// The newest; what was superseded before it was sent is not sent.
    Latest,
    /// Each admitted one in turn.
    Every,
}

/// A sink's settings as the engine needs them.
#[derive(Debug, Clone)]
pub struct Rules {
    pub versions: Versions,
    pub stable_for: Duration,
    pub statuses: BTreeSet<String>,
    /// None: all.
    pub vendors: Option<BTreeSet<String>>,
    pub order_types: Option<BTreeSet<String>>,
    pub sources: Option<BTreeSet<String>>,
    pub after: Option<SinkName>,
    pub dependency_wait: Duration,
    /// Sends at the same time.
    pub concurrency: usize,
    /// Longest a send may take.
    pub request_timeout: Duration,
    pub retry: RetryPolicy,
    pub breaker: BreakerPolicy,
}

impl Rules {
    pub fn superseding(&self) -> Superseding {
        match self.versions {
            Versions::Latest => Superseding::Newest,
            Versions::Every => Superseding::InTurn,
        }
    }

    /// What the common rules say about a claimed version; none: the sink's own plan decides.
    pub fn judge(&self, claimed: &Claimed, snapshot: &Snapshot) -> Option<Plan> {
        let status = Status::from_text(&snapshot.status);
        if let Some(reason) = self.leaves_out(claimed, snapshot, &status) {
            return Some(Plan::Skip(reason));
        }
        if snapshot.age < self.stable_for {
            let wait = self.stable_for - snapshot.age;
            return Some(Plan::Wait { wait, waiting_for: WaitingFor::Stability });
        }
        if status == Status::Cancelled && !claimed.progress.possibly_stands() {
            return Some(Plan::Skip(SkipReason::CancelledBeforeSent));
        }
        None
    }

    fn leaves_out(&self, claimed: &Claimed, snapshot: &Snapshot, status: &Status) -> Option<SkipReason> {
        let fits = |filter: &Option<BTreeSet<String>>, value: Option<&str>| {
            filter.as_ref().is_none_or(|allowed| value.is_some_and(|value| allowed.contains(value)))
        };
        if !self.statuses.contains(status.as_str()) {
            return Some(match status {
                Status::Placed | Status::Rejected => SkipReason::NeverAccepted,
                Status::Accepted | Status::Cancelled => SkipReason::Filtered,
                Status::Other(_) => SkipReason::UnknownStatus,
            });
        }
        let admitted = fits(&self.vendors, snapshot.vendor_id.as_deref())
            && fits(&self.order_types, snapshot.order_type.as_deref())
            && fits(&self.sources, Some(claimed.key.order.source.as_str()));
        (!admitted).then_some(SkipReason::Filtered)
    }
}

/// What may stand in the destination after an attempt on `version`.
pub fn sent_after(progress: Progress, reached: Reached, version: crate::domain::ids::Version) -> Progress {
    match reached {
        Reached::No => progress,
        Reached::Possibly => Progress { sent: progress.sent.max(Some(version)), ..progress },
        Reached::Yes => Progress { applied: Some(version), sent: progress.sent.max(Some(version)) },
    }
}

/// Whether an attempt's effect reached the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    No,
    Possibly,
    Yes,
}
