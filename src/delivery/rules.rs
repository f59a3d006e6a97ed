//! What a sink is owed: the filters and waits that hold for every kind of sink, before its own plan is asked.

use std::time::Duration;

use crate::{
    config::{SinkCommon, Versions},
    domain::{
        delivery::{About, Alert, Plan, Progress, SkipReason, State, WaitingFor},
        ids::Version,
        order::Status,
    },
    sinks::Sink,
    store::deliveries::{Claimed, Dependency, Snapshot, Superseding},
};

/// Whether a newer version takes the place of one that failed.
pub fn superseding(versions: Versions) -> Superseding {
    match versions {
        Versions::Latest => Superseding::Newest,
        Versions::Every => Superseding::InTurn,
    }
}

/// What the common rules say about a claimed version; none: the sink's own plan decides.
pub fn judge(rules: &SinkCommon, sink: &dyn Sink, claimed: &Claimed, snapshot: &Snapshot) -> Option<Plan> {
    let status = Status::from_text(&snapshot.status);
    let has_a_say = sink.has_a_say(&status, claimed.receipt.as_ref());
    if let Some(reason) = leaves_out(rules, claimed, snapshot, &status, has_a_say) {
        let stands = matches!(status, Status::Placed | Status::Rejected) && claimed.progress.applied.is_some();
        return Some(Plan::Skip { reason, alert: stands.then(|| went_back(&status)) });
    }
    if status == Status::Cancelled && !claimed.progress.possibly_stands() && !has_a_say {
        return Some(Plan::skip(SkipReason::CancelledBeforeSent));
    }
    if let Some(wait) = rules.stable_for.checked_sub(snapshot.age).filter(|wait| !wait.is_zero()) {
        return Some(Plan::wait(wait, WaitingFor::Stability));
    }
    if rules.after.is_some() && sink.needs_counterpart(&status) {
        return dependency(rules, claimed, snapshot, &status);
    }
    None
}

/// No documented step leads from accepted or cancelled back there.
fn went_back(status: &Status) -> Alert {
    Alert {
        cause: "status_went_back",
        about: About::Order,
        detail: format!(
            "it is {status} again after it was brought here: what stands at the destination was left alone"
        ),
    }
}

/// Waiters look again after this.
const SWEEP: Duration = Duration::from_secs(30);

/// With `after`, an order waits until the other sink holds some version of it that stands, whatever newer one is pending
/// there. While that sink still works on it, there is no end to the wait: after a long outage nothing may be passed over.
fn dependency(rules: &SinkCommon, claimed: &Claimed, snapshot: &Snapshot, status: &Status) -> Option<Plan> {
    let other = claimed.dependency.as_ref();
    let is_enough = |other: &Dependency| other.applied.is_some() && (*status == Status::Cancelled || other.stands());
    if other.is_some_and(is_enough) {
        return None;
    }
    let wait = |wait| Some(Plan::wait(wait, WaitingFor::Dependency));
    if other.is_some_and(|other| matches!(other.state, State::Pending | State::InFlight | State::InDoubt)) {
        return wait(SWEEP);
    }
    match rules.dependency_wait.checked_sub(snapshot.owed_for).filter(|left| !left.is_zero()) {
        Some(left) => wait(left.min(SWEEP)),
        None => Some(Plan::skip(SkipReason::NoCounterpart)),
    }
}

fn leaves_out(
    rules: &SinkCommon,
    claimed: &Claimed,
    snapshot: &Snapshot,
    status: &Status,
    has_a_say: bool,
) -> Option<SkipReason> {
    let wanted = match status {
        Status::Placed | Status::Rejected if has_a_say => true,
        Status::Placed | Status::Rejected => return Some(SkipReason::NeverAccepted),
        Status::Other(_) => return Some(SkipReason::UnknownStatus),
        Status::Accepted | Status::Cancelled => rules.statuses.iter().any(|wanted| wanted.as_str() == status.as_str()),
    };
    let among = |allowed: &Option<Vec<String>>, value: Option<&str>| {
        allowed.as_ref().is_none_or(|allowed| value.is_some_and(|value| allowed.iter().any(|a| a == value)))
    };
    let of_a_wanted_source = rules.sources.as_ref().is_none_or(|wanted| wanted.contains(&claimed.key.order.source));
    let admitted = wanted
        && among(&rules.vendors, snapshot.vendor_id.as_deref())
        && among(&rules.order_types, snapshot.order_type.as_deref())
        && of_a_wanted_source;
    (!admitted).then_some(SkipReason::Filtered)
}
/// What may stand in the destination after an attempt on `version`.
pub fn sent_after(progress: Progress, reached: Reached, version: Version) -> Progress {
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
