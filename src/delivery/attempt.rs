//! One claimed delivery, taken as far as it goes: plan → (intent) → send → what is to be written.

use std::{
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use sha2::{Digest, Sha256};
use tracing::{debug, warn};

use super::{
    breaker::Signal,
    decide::{Decision, Policy, Tried, decide},
    driver::{Driver, Ended, Held, report},
    rules::{self, Reached, sent_after},
};
use crate::{
    clock::BootInstant,
    config::Versions,
    domain::{
        delivery::{Outcome, POSSIBLY_STANDS, Plan, Reason, Repeat, Sent, Step, WaitingFor},
        ids::Version,
        money,
    },
    sinks::{Answer, Finding, View},
    source::{self, SourceKind},
    store::{
        self,
        deliveries::{AttemptRecord, Claimed, Next, Settlement, Snapshot},
    },
};

/// A send needs a lease that outlasts its timeout by this much.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// When a delivery is claimed again whose version the claim could not see yet.
const SOON: Duration = Duration::from_millis(50);

impl Driver {
    /// Takes one claimed delivery as far as it goes. None: the lease was lost, or nobody could say whether it still
    /// holds; nothing was sent and nothing may be written.
    pub(super) async fn attempt(&self, held: Held) -> Option<Ended> {
        let started = self.clock.wall();
        let stored = AtomicBool::new(held.claimed.pending_step.is_some());
        let guarded = AssertUnwindSafe(self.attempt_unguarded(&held, started, &stored)).catch_unwind().await;
        guarded.unwrap_or_else(|_| {
            warn!(sink.name = %self.name, order.id = %held.claimed.key.order.order_id, "attempt panicked");
            if stored.load(Ordering::Relaxed) {
                // A step that must not be repeated may have been sent: once the lease ran out it is looked up.
                return None;
            }
            let outcome = Outcome::Retry { reason: Reason::Panicked, sent: Sent::Possibly, not_before: None };
            let answer = Answer::of(outcome);
            Some(self.ended(&held, version_of(&held.claimed), None, started, answer))
        })
    }

    /// `stored` is set before a step is written down.
    async fn attempt_unguarded(&self, held: &Held, started: DateTime<Utc>, stored: &AtomicBool) -> Option<Ended> {
        let claimed = &held.claimed;
        if !held.may_call() {
            // A stored step must not be given back as if nothing had been sent: its lease runs out instead.
            let given_back = || self.given_back(held, Duration::ZERO, Some(WaitingFor::Budget));
            let nothing_stored = claimed.pending_step.is_none();
            return nothing_stored.then(|| Ended { settlement: given_back(), signal: Signal::Silent });
        }
        if let Some(pending) = &claimed.pending_step {
            return self.resolve_doubt(held, pending, started).await;
        }
        let Some(snapshot) = &claimed.snapshot else {
            if claimed.all_walked {
                return Some(self.decided_without_a_call(held, Plan::Unchanged, started));
            }
            // Raised by a commit that ended while the claim ran: the number was seen, the version not yet.
            return Some(Ended { settlement: self.given_back(held, SOON, None), signal: Signal::Silent });
        };
        let step = match self.plan(claimed, snapshot) {
            Plan::Send(step) => step,
            plan => return Some(self.decided_without_a_call(held, plan, started)),
        };
        let needed = self.rules.request_timeout + LEASE_MARGIN;
        let mut deadline = held.deadline;
        if step.repeat == Repeat::Never || deadline.remaining() < needed {
            deadline = BootInstant::now() + self.lease;
            stored.store(step.repeat == Repeat::Never, Ordering::Relaxed);
            if !self.hold_on(held, &step).await {
                return None;
            }
        }
        // A process that was suspended since wakes up here, finds its time over, and sends nothing.
        if deadline.remaining() < needed {
            return None;
        }
        let limit = self.rules.request_timeout + Duration::from_secs(2);
        held.spend_call();
        let answer = match tokio::time::timeout(limit, self.sink.send(&step, started)).await {
            Ok(answer) => answer,
            Err(_) => Answer::of(Outcome::Unknown { reason: Reason::Timeout }),
        };
        self.note_limits(held, &answer).await;
        Some(self.ended(held, version_of(claimed), Some(&step), started, answer))
    }

    /// Prolongs the lease and, for a step that must not be repeated, writes it down. False: send nothing.
    async fn hold_on(&self, held: &Held, step: &Step) -> bool {
        let (key, token) = (&held.claimed.key, held.claimed.token);
        let offset = self.clock.offset_ms();
        let kept = match step.repeat {
            Repeat::Safe => store::deliveries::extend(&self.pool, key, token, self.lease, offset).await,
            Repeat::Never => match serde_json::to_value(step) {
                Ok(step) => store::deliveries::write_intent(&self.pool, key, token, &step, self.lease, offset).await,
                Err(_) => Ok(false),
            },
        };
        kept.unwrap_or_else(|error| {
            report("lease not prolonged", &self.name, &error, Duration::ZERO, 1);
            false
        })
    }

    /// Plans a claimed version: the common rules first, then the sink's own.
    fn plan(&self, claimed: &Claimed, snapshot: &Snapshot) -> Plan {
        if let Some(plan) = rules::judge(&self.rules, claimed, snapshot) {
            return plan;
        }
        if claimed.receipt.as_ref().is_some_and(|receipt| receipt.get(POSSIBLY_STANDS).is_some()) {
            return Plan::Park {
                reason: POSSIBLY_STANDS,
                hint:
                    "a discarded step of this order may stand at the destination: look there; retry if nothing stands, \
                       else bring it up to date by hand and discard"
                        .to_owned(),
                curable: false,
            };
        }
        let Some(payload) = &snapshot.payload else {
            return Plan::Park {
                reason: Reason::PayloadRemoved.as_str(),
                hint: "retention removed this version's content before it was sent: discard it".to_owned(),
                curable: true,
            };
        };
        let kind = SourceKind::parse(&snapshot.source_kind);
        let Some(Ok(order)) = kind.map(|kind| source::decode_stored(kind, payload)) else {
            return Plan::Park {
                reason: Reason::UndecodableOrder.as_str(),
                hint: "this program cannot read the stored order: update it, then retry".to_owned(),
                curable: true,
            };
        };
        self.sink.plan(&View {
            key: &claimed.key,
            version: snapshot.version,
            progress: claimed.progress,
            receipt: claimed.receipt.as_ref(),
            external_id: claimed.external_id.as_deref(),
            order: &order,
            money: &money::breakdown(&order),
            payload,
            content_hash: &snapshot.content_hash,
            every_version: self.rules.versions == Versions::Every,
            dependency: claimed.dependency.as_ref().and_then(|dependency| dependency.receipt.as_ref()),
        })
    }

    fn decided_without_a_call(&self, held: &Held, plan: Plan, started: DateTime<Utc>) -> Ended {
        let claimed = &held.claimed;
        let (next, outcome, reason) = match plan {
            Plan::Send(_) => unreachable!("a step is sent, not decided"),
            Plan::Unchanged => (Next::Applied, Some("unchanged"), None),
            Plan::Skip(reason) => {
                (Next::Skipped { reason: reason.as_str() }, Some("skipped"), Some(reason.as_str().to_owned()))
            }
            Plan::Wait { wait, waiting_for } => {
                let waiting_for = Some(waiting_for.as_str());
                (Next::Pending { wait, waiting_for, not_before: None, failed: false, refund: true }, None, None)
            }
            Plan::Park { reason, hint, curable } => {
                let curable = curable && self.rules.versions == Versions::Latest;
                (Next::Parked { reason: reason.to_owned(), hint, curable }, Some("parked"), Some(reason.to_owned()))
            }
        };
        let version = version_of(claimed);
        let sent = match next {
            Next::Applied => sent_after(claimed.progress, Reached::Yes, version).sent,
            _ => claimed.progress.sent,
        };
        let attempt = AttemptRecord { outcome, reason, ..self.record(claimed, started) };
        Ended { settlement: Settlement { next, sent, attempt, ..self.settlement(held) }, signal: Signal::Silent }
    }

    /// Looks up a step whose answer was lost, or that a lost worker may have sent.
    async fn resolve_doubt(&self, held: &Held, stored: &serde_json::Value, started: DateTime<Utc>) -> Option<Ended> {
        let unclear = |hint: &str, look_up_in| Next::InDoubt { look_up_in, hint: hint.to_owned() };
        let Ok(step) = serde_json::from_value::<Step>(stored.clone()) else {
            let next = unclear("the stored step cannot be read by this version of the program: update it", None);
            return Some(self.after_look_up(held, None, next, started, "unknown"));
        };
        let limit = self.rules.request_timeout + Duration::from_secs(2);
        held.spend_call();
        let finding = tokio::time::timeout(limit, self.sink.look_up(&step)).await.unwrap_or(Finding::Unclear);
        Some(match finding {
            Finding::Stands(receipt) => {
                let answer = Answer::of(Outcome::Delivered(receipt));
                self.ended(held, version_of(&held.claimed), Some(&step), started, answer)
            }
            Finding::Absent => {
                let next = Next::Pending {
                    wait: Duration::ZERO,
                    waiting_for: None,
                    not_before: None,
                    failed: true,
                    refund: false,
                };
                self.after_look_up(held, Some(&step), next, started, "absent")
            }
            Finding::Unclear => {
                let look_up_in = self.read_back.get(held.claimed.attempt as usize).copied();
                let next = unclear(
                    "it could not be found out whether this stands at the destination: look there, then adopt, retry or discard",
                    look_up_in,
                );
                self.after_look_up(held, Some(&step), next, started, "unknown")
            }
        })
    }

    fn after_look_up(
        &self,
        held: &Held,
        step: Option<&Step>,
        next: Next,
        started: DateTime<Utc>,
        outcome: &'static str,
    ) -> Ended {
        let claimed = &held.claimed;
        let attempt = AttemptRecord {
            outcome: Some(outcome),
            step: Some(format!("look up {}", step.map_or("step", |step| step.name.as_str()))),
            ..self.record(claimed, started)
        };
        // What was sent before this claim is all that may stand: a look-up sends nothing.
        Ended { settlement: Settlement { next, attempt, ..self.settlement(held) }, signal: Signal::Silent }
    }

    /// From an answer to what is written.
    pub(super) fn ended(
        &self,
        held: &Held,
        version: Version,
        step: Option<&Step>,
        started: DateTime<Utc>,
        answer: Answer,
    ) -> Ended {
        let claimed = &held.claimed;
        let policy = Policy { rules: &self.rules, read_back: &self.read_back };
        let tried = Tried {
            number: claimed.attempt,
            failing_for: claimed.failing_for,
            repeat: step.map_or(Repeat::Safe, |step| step.repeat),
            completes: step.is_none_or(|step| step.completes),
        };
        let Decision { next, reached, label, reason, signal } = decide(policy, tried, &answer.outcome);
        let receipt = match answer.outcome {
            Outcome::Delivered(receipt) => Some(receipt),
            _ => None,
        };
        let (external_id, mut receipt, notice) =
            receipt.map_or((None, None, None), |r| (r.external_id, r.receipt, r.notice));
        if reached == Reached::Yes {
            receipt = receipt.or_else(|| step.and_then(|step| step.receipt.clone()));
        }
        let last_error = reason.map(|reason| match answer.http_status {
            Some(status) => format!("{reason} (HTTP {status})"),
            None => reason.to_string(),
        });
        let attempt = AttemptRecord {
            outcome: Some(label),
            step: step.map(|step| step.name.clone()),
            http_status: answer.http_status,
            reason: reason.map(|reason| reason.as_str().to_owned()),
            request_digest: step.map(|step| Sha256::digest(&step.body).into()),
            response_excerpt: answer.excerpt,
            ..self.record(claimed, started)
        };
        self.metrics.attempt(&self.name, label, (attempt.finished_at - started).to_std().unwrap_or_default());
        debug!(
            sink.name = %self.name, order.id = %claimed.key.order.order_id, order.version = version.0,
            delivery.attempt = claimed.attempt, outcome = label, reason = reason.map(Reason::as_str),
            http.status = answer.http_status, "delivery attempted"
        );
        Ended {
            settlement: Settlement {
                version,
                next,
                sent: sent_after(claimed.progress, reached, version).sent,
                step_key: step.map(|step| step.key.clone()),
                external_id,
                receipt,
                notice,
                last_error,
                attempt,
                ..self.settlement(held)
            },
            signal,
        }
    }

    /// Given back unsent, with its attempt.
    pub(super) fn given_back(&self, held: &Held, wait: Duration, waiting_for: Option<WaitingFor>) -> Settlement {
        let waiting_for = waiting_for.map(WaitingFor::as_str);
        let next = Next::Pending { wait, waiting_for, not_before: None, failed: false, refund: true };
        Settlement { next, ..self.settlement(held) }
    }

    /// A settlement that changes nothing yet.
    fn settlement(&self, held: &Held) -> Settlement {
        let claimed = &held.claimed;
        Settlement {
            key: claimed.key.clone(),
            lane: claimed.lane.clone(),
            token: claimed.token,
            version: version_of(claimed),
            next: Next::Applied,
            sent: claimed.progress.sent,
            step_key: None,
            external_id: None,
            receipt: None,
            notice: None,
            last_error: None,
            attempt: AttemptRecord { outcome: None, ..self.record(claimed, self.clock.wall()) },
        }
    }

    fn record(&self, claimed: &Claimed, started_at: DateTime<Utc>) -> AttemptRecord {
        AttemptRecord {
            number: claimed.attempt,
            step: None,
            started_at,
            finished_at: self.clock.wall(),
            outcome: None,
            http_status: None,
            reason: None,
            request_digest: None,
            response_excerpt: None,
            again: false,
        }
    }
}

fn version_of(claimed: &Claimed) -> Version {
    claimed.snapshot.as_ref().map_or(claimed.wanted, |snapshot| snapshot.version)
}
