//! Claimed deliveries, taken as far as they go: plan → (intent) → send → what is to be written.

use std::{panic::AssertUnwindSafe, time::Duration};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use sha2::{Digest, Sha256};
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::{
    breaker::Signal,
    budget::HOLD,
    decide::{Decision, Policy, Sending, Tried, UNCHANGED, WAITS, decide, still_in_doubt},
    driver::{Driver, Ended, Held, report},
    rules::{self, Reached, sent_after},
};
use crate::{
    boundary::{Boundary, reach},
    clock::BootInstant,
    config::{Start, Versions},
    domain::{
        delivery::{
            GroupPlace, Outcome, POSSIBLY_STANDS, PendingStep, Plan, Progress, Reason, Receipt, Repeat, Sent, Step,
            WaitingFor,
        },
        ids::Version,
        money,
    },
    sinks::{Answer, Calls, Counterpart, GroupAnswer, Since, View},
    source::{self, SourceKind},
    store::{
        self,
        deliveries::{AttemptRecord, Claimed, Lease, Next as Moved, Settlement, Snapshot},
    },
    telemetry::traces,
};

/// A send needs a lease that outlasts its timeout by this much.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// When a delivery is claimed again whose version the claim could not see yet.
const SOON: Duration = Duration::from_millis(50);

/// What is next for a claimed delivery.
enum Planned {
    Step(Ready),
    Decided(Box<Ended>),
    /// What many orders share is to be read, and then it is planned again.
    Lacking(Held),
}

/// A planned step whose lease holds until the deadline.
#[derive(Debug)]
struct Ready {
    held: Held,
    version: Version,
    step: Step,
    deadline: BootInstant,
}

/// Why what many orders share could not be read.
struct Unread {
    answer: Answer,
    /// No: nobody was asked, it is what was told before, and says nothing of the destination now.
    is_news: bool,
}

impl Driver {
    /// Takes claimed deliveries as far as they go: several only where their steps may share one call, or their doubts
    /// one look-up. One that is missing afterwards lost its lease, or nobody could say whether it still holds: nothing
    /// of it was sent, or its step was written down, and nothing may be written.
    pub(super) async fn attempt(&self, batch: Vec<Held>) -> Vec<Ended> {
        let started = self.clock.now();
        let (batch, stale): (Vec<Held>, Vec<Held>) = batch.into_iter().partition(Held::may_call);
        let (doubtful, fresh): (Vec<Held>, Vec<Held>) =
            batch.into_iter().partition(|held| held.claimed.pending.is_some());
        let mut ended: Vec<Ended> = stale.iter().map(|held| self.without_a_call(held)).collect();
        if !doubtful.is_empty() {
            ended.extend(self.settle_doubts(doubtful, started).await);
        }
        if !fresh.is_empty() {
            ended.extend(self.bring(fresh, started).await);
        }
        ended
    }

    async fn bring(&self, mut fresh: Vec<Held>, started: DateTime<Utc>) -> Vec<Ended> {
        let mut ended = Vec::new();
        if let Err(error) = self.read_summaries(fresh.iter_mut().map(|held| &mut held.claimed)).await {
            report("summaries not read", &self.name, &error, Duration::ZERO, 1);
            let back = |held: &Held| Ended { settlement: self.given_back(held, SOON, None), signal: Signal::Silent };
            return fresh.iter().map(back).collect();
        }
        let mut steps: Vec<Ready> = Vec::new();
        let mut lacking = Vec::new();
        for held in fresh {
            match self.planned(held, started) {
                Planned::Step(ready) => steps.push(ready),
                Planned::Decided(decided) => ended.push(*decided),
                Planned::Lacking(held) => lacking.push(held),
            }
        }
        if let Some(payer) = lacking.iter().find(|held| held.can_pay()) {
            match self.read_for(payer, started).await {
                Ok(calls) => {
                    for held in lacking {
                        match self.planned(held, started) {
                            Planned::Step(ready) => steps.push(ready),
                            Planned::Decided(decided) if calls > 0 && decided.signal == Signal::Silent => {
                                // Nothing was sent, but the destination answered.
                                ended.push(Ended { signal: Signal::Well, ..*decided });
                            }
                            Planned::Decided(decided) => ended.push(*decided),
                            Planned::Lacking(held) => ended.push(self.unread(&held, started, outdated())),
                        }
                    }
                }
                Err(unread) => {
                    let end = |held| self.unread(held, started, unread.answer.clone());
                    let mut lacking = of_one_call(lacking.iter().map(end).collect());
                    if !unread.is_news {
                        for ended in &mut lacking {
                            ended.signal = Signal::Silent;
                        }
                    }
                    ended.extend(lacking);
                }
            }
        } else {
            ended.extend(lacking.iter().map(|held| self.without_a_call(held)));
        }
        while let Some(first) = steps.pop() {
            // Only like goes with like.
            let mut call = vec![first];
            while call.len() < self.sink.group_size()
                && let Some(at) = steps.iter().position(|other| is_alike(&other.step, &call[0].step))
            {
                call.push(steps.swap_remove(at));
            }
            ended.extend(self.call(call, started).await);
        }
        ended
    }

    /// Reads what many orders share. Returns the calls that it took, or the answer that ended it.
    pub(super) async fn prepared(&self, now: DateTime<Utc>) -> Result<Calls, Answer> {
        let limit = self.call_limit();
        let unsent = |reason, not_before| Outcome::Retry { reason, sent: Sent::No, not_before };
        let broken_off = |reason| Answer { calls_beside: 1, ..unsent(reason, None).into() };
        let answer = match tokio::time::timeout(limit, AssertUnwindSafe(self.sink.prepare(now)).catch_unwind()).await {
            Ok(Ok(Ok(calls))) => return Ok(calls),
            Ok(Ok(Err(answer))) => answer,
            Ok(Err(_)) => broken_off(Reason::Panicked),
            Err(_) => broken_off(Reason::Timeout),
        };
        // Whatever became of a read, no order was sent by it.
        let outcome = match answer.outcome {
            Outcome::Unknown { reason } => unsent(reason, None),
            Outcome::Retry { reason, not_before, .. } => unsent(reason, not_before),
            other => other,
        };
        Err(Answer { outcome, ..answer })
    }

    /// The same on a delivery's account.
    async fn read_for(&self, held: &Held, now: DateTime<Utc>) -> Result<u32, Unread> {
        match self.prepared(now).await {
            Ok(calls) => {
                held.spend_calls(calls.made);
                self.note_told(held, &calls.limits, 0).await;
                Ok(calls.made)
            }
            Err(answer) => {
                held.spend_calls(answer.calls_beside);
                let is_news = answer.calls_beside > 0;
                let answer = Answer { calls_beside: 0, ..answer };
                self.note_limits(held, &answer).await;
                Err(Unread { answer, is_news })
            }
        }
    }

    fn unread(&self, held: &Held, started: DateTime<Utc>, answer: Answer) -> Ended {
        self.ended(held, version_of(&held.claimed), None, started, answer)
    }

    /// Plans a claimed delivery.
    fn planned(&self, held: Held, started: DateTime<Utc>) -> Planned {
        match std::panic::catch_unwind(AssertUnwindSafe(|| self.planned_step(&held, started))) {
            Ok(Ok(Some((version, step)))) => Planned::Step(Ready { deadline: held.deadline, held, version, step }),
            Ok(Ok(None)) => Planned::Lacking(held),
            Ok(Err(decided)) => Planned::Decided(decided),
            Err(_) => Planned::Decided(Box::new(self.panicked(&held, None, started))),
        }
    }

    /// The step to send now, or what was decided instead; none: something has to be read first.
    fn planned_step(&self, held: &Held, started: DateTime<Utc>) -> Result<Option<(Version, Step)>, Box<Ended>> {
        let claimed = &held.claimed;
        if claimed.after_loss && claimed.failing_for.is_some_and(|failing| failing >= self.rules.retry.give_up_after) {
            // Nothing was learnt from the attempts before: each took its worker with it.
            return Err(Box::new(self.ended(held, version_of(claimed), None, started, lost_again().into())));
        }
        if let Some(plan) = self.plan_summarised(claimed, started) {
            return match plan {
                Plan::Send(step) => Ok(Some((version_of(claimed), step))),
                Plan::Unread => Ok(None),
                plan => Err(Box::new(self.decided_without_a_call(held, plan, started))),
            };
        }
        let Some(snapshot) = &claimed.snapshot else {
            if claimed.all_walked {
                return Err(Box::new(self.decided_without_a_call(held, Plan::Settled(Receipt::default()), started)));
            }
            // Raised by a commit that ended while the claim ran: the number was seen, the version not yet.
            return Err(Box::new(Ended { settlement: self.given_back(held, SOON, None), signal: Signal::Silent }));
        };
        match self.plan(claimed, snapshot, started) {
            Plan::Send(step) => Ok(Some((snapshot.version, step))),
            Plan::Unread => Ok(None),
            plan => Err(Box::new(self.decided_without_a_call(held, plan, started))),
        }
    }

    /// Sends steps in one call, and singly where the destination refuses the call as a whole.
    async fn call(&self, mut steps: Vec<Ready>, started: DateTime<Utc>) -> Vec<Ended> {
        let given_back = |steps: &[Ready]| steps.iter().map(|ready| self.without_a_call(&ready.held)).collect();
        // Who has a call pays for all of them.
        let Some(payer) = steps.iter().position(|ready| ready.held.can_pay()) else { return given_back(&steps) };
        steps.swap(0, payer);
        steps[0].held.approach_turn().await; // an intent is written late
        let steps = self.hold_on(steps).await;
        if steps.len() > 1 {
            if !steps[0].held.is_its_turn().await {
                return given_back(&steps);
            }
            let members: Vec<&Step> = steps.iter().map(|ready| &ready.step).collect();
            let deadlines = steps.iter().map(|ready| ready.deadline);
            let group = self.send_group(&steps[0].held, steps[0].version, &members, started);
            let answers = if self.still_lasts(deadlines) { group.await } else { None };
            if let Some(answers) = answers {
                let end = |(ready, answer): (&Ready, Answer)| {
                    self.ended(&ready.held, ready.version, Some((&ready.step, Sending::First)), started, answer)
                };
                return of_one_call(steps.iter().zip(answers).map(end).collect());
            }
        }
        let went_together = steps.len() > 1;
        let mut ended = Vec::new();
        for ready in steps {
            if !ready.held.can_pay() {
                ended.push(self.without_a_call(&ready.held));
                continue;
            }
            // Written down anew: it is nobody's companion any more.
            let alone = if went_together { self.hold_on(vec![ready]).await } else { vec![ready] };
            for Ready { held, version, step, deadline } in alone {
                ended.extend(self.send(&held, version, &step, Sending::First, deadline, started).await);
            }
        }
        ended
    }

    /// On one member's call, right after [`Self::still_lasts`]. None: refused as a whole, which says nothing of a single one.
    pub(super) async fn send_group(
        &self,
        payer: &Held,
        version: Version,
        members: &[&Step],
        started: DateTime<Utc>,
    ) -> Option<Vec<Answer>> {
        let lost = |reason| Answer::from(Outcome::Unknown { reason });
        payer.spend_call();
        let sending = AssertUnwindSafe(self.sink.send_group(members, started)).catch_unwind();
        let step = members.first().map_or("", |step| &step.name);
        let sending = self.traces.within(self.traced(payer, version, step, started), sending);
        let sent = tokio::time::timeout(self.call_limit(), sending).await;
        reach(Boundary::StepAnswered);
        let answer = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => GroupAnswer::Whole(lost(Reason::Panicked)),
            Err(_) => GroupAnswer::Whole(lost(Reason::Timeout)),
        };
        match answer {
            GroupAnswer::RefusedWhole => None,
            GroupAnswer::Whole(answer) => {
                self.note_limits(payer, &answer).await;
                Some(vec![answer; members.len()])
            }
            // An answer that is missing is one that was lost.
            GroupAnswer::Each(mut answers) => {
                answers.resize_with(members.len(), || lost(Reason::UnreadableAnswer));
                self.note_limits(payer, &answers[0]).await;
                Some(answers)
            }
        }
    }

    /// Sends one step, if its lease certainly outlasts the call.
    pub(super) async fn send(
        &self,
        held: &Held,
        version: Version,
        step: &Step,
        sending: Sending,
        deadline: BootInstant,
        started: DateTime<Utc>,
    ) -> Option<Ended> {
        if !held.is_its_turn().await {
            return Some(self.without_a_call(held));
        }
        if !self.still_lasts([deadline]) {
            return None;
        }
        held.spend_call();
        let call = AssertUnwindSafe(self.sink.send(step, started)).catch_unwind();
        let call = self.traces.within(self.traced(held, version, &step.name, started), call);
        let sent = tokio::time::timeout(self.call_limit(), call).await;
        reach(Boundary::StepAnswered);
        let answer = match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Some(self.panicked(held, Some((version, step, sending)), started)),
            Err(_) => Outcome::Unknown { reason: Reason::Timeout }.into(),
        };
        self.note_limits(held, &answer).await;
        Some(self.ended(held, version, Some((step, sending)), started, answer))
    }

    fn panicked(&self, held: &Held, sent: Option<(Version, &Step, Sending)>, started: DateTime<Utc>) -> Ended {
        warn!(sink.name = %self.name, order.id = %held.claimed.key.order.order_id, "attempt panicked");
        let reached = if sent.is_some() { Sent::Possibly } else { Sent::No };
        let outcome = Outcome::Retry { reason: Reason::Panicked, sent: reached, not_before: None };
        let version = sent.map_or_else(|| version_of(&held.claimed), |(version, ..)| version);
        self.ended(held, version, sent.map(|(_, step, sending)| (step, sending)), started, outcome.into())
    }

    /// Asked last, with nothing between it and the call: a process that was stopped since wakes up before it, finds its time
    /// over, and sends nothing.
    pub(super) fn still_lasts(&self, deadlines: impl IntoIterator<Item = BootInstant>) -> bool {
        reach(Boundary::StepSending);
        deadlines.into_iter().all(|deadline| deadline.remaining() >= self.needed())
    }

    /// What the lease must still hold for when a call begins.
    pub(super) fn needed(&self) -> Duration {
        self.rules.request_timeout + LEASE_MARGIN
    }

    /// No call takes longer, whatever the adapter does.
    pub(super) fn call_limit(&self) -> Duration {
        self.rules.request_timeout + Duration::from_secs(2)
    }

    /// What it must hold for before the turn is waited for, which comes within [`HOLD`] of the reservation.
    fn needed_with_turn(&self) -> Duration {
        let wait = if self.budget.is_some() { HOLD } else { Duration::ZERO };
        self.needed() + wait
    }

    /// Prolongs leases where needed and writes steps down that are to be. Returns those that may be sent.
    async fn hold_on(&self, steps: Vec<Ready>) -> Vec<Ready> {
        let lease_until = BootInstant::now() + self.lease;
        let offset = self.clock.offset_ms();
        let group = (steps.len() > 1).then(|| Uuid::new_v4().to_string());
        let size = steps.len() as u32;
        let (stored, repeatable): (Vec<Ready>, Vec<Ready>) =
            steps.into_iter().partition(|ready| ready.step.repeat.is_stored());
        let mut kept = Vec::new();
        for ready in repeatable {
            if ready.deadline.remaining() >= self.needed_with_turn() {
                kept.push(ready);
            } else if self.extend(&ready.held).await {
                kept.push(Ready { deadline: lease_until, ..ready });
            }
        }
        if stored.is_empty() {
            return kept;
        }
        let intents: Vec<_> = (0..)
            .zip(&stored)
            .map(|(n, ready)| (lease_of(&ready.held), intent(ready, group.as_deref(), n, size)))
            .collect();
        match store::deliveries::write_intents(&self.pool, &self.name, &intents, self.lease, offset).await {
            Ok(written) => {
                reach(Boundary::IntentsWritten);
                let written = stored.into_iter().zip(written).filter(|(_, written)| *written);
                kept.extend(written.map(|(ready, _)| Ready { deadline: lease_until, ..ready }));
            }
            // Whether it was written is not known: the lease runs out, and it is looked up.
            Err(error) => report("intent not written", &self.name, &error, Duration::ZERO, 1),
        }
        kept
    }

    /// Prolongs a lease. False: send nothing.
    pub(super) async fn extend(&self, held: &Held) -> bool {
        let extended = store::deliveries::extend(&self.pool, lease_of(held), self.lease, self.clock.offset_ms()).await;
        reach(Boundary::LeaseExtended);
        extended.unwrap_or_else(|error| {
            report("lease not prolonged", &self.name, &error, Duration::ZERO, 1);
            false
        })
    }

    /// Plans a claimed version: the common rules first, then the sink's own.
    pub(super) fn plan(&self, claimed: &Claimed, snapshot: &Snapshot, now: DateTime<Utc>) -> Plan {
        self.plan_by(&|view| self.sink.plan(view), claimed, snapshot, now)
    }

    /// The same with another plan of the sink's.
    pub(super) fn plan_by(
        &self,
        plan: &dyn Fn(&View<'_>) -> Plan,
        claimed: &Claimed,
        snapshot: &Snapshot,
        now: DateTime<Utc>,
    ) -> Plan {
        if let Some(plan) = rules::judge(&self.rules, &*self.sink, claimed, snapshot) {
            return plan;
        }
        if let Some(plan) = left_in_doubt(claimed) {
            return plan;
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
        let begins_at = match self.rules.start {
            Start::Activation => Some(claimed.active_since),
            Start::Beginning => None,
            Start::At(instant) => Some(instant),
        };
        plan(&View {
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
            since: Since {
                received: snapshot.age,
                owed: snapshot.owed_for,
                refused: claimed.refused_for,
                begins_at: begins_at.filter(|_| !claimed.was_asked_for()),
            },
            counterpart: claimed.dependency.as_ref().map(|other| Counterpart {
                state: other.state,
                external_id: other.external_id.as_deref(),
                receipt: other.receipt.as_ref(),
            }),
            now,
        })
    }

    fn decided_without_a_call(&self, held: &Held, plan: Plan, started: DateTime<Utc>) -> Ended {
        let claimed = &held.claimed;
        let mut known = Receipt::default();
        let mut version = version_of(claimed);
        let later = |wait, waiting_for: Option<WaitingFor>| Moved::Pending {
            wait,
            waiting_for: waiting_for.map(WaitingFor::as_str),
            not_before: None,
            failed: false,
            refused: false,
            refund: true,
        };
        let (next, outcome, reason) = match plan {
            Plan::Send(_) | Plan::Unread => unreachable!("it is acted on, not decided"),
            Plan::Settled(receipt) => {
                known = receipt;
                (Moved::Applied, Some(UNCHANGED), None)
            }
            Plan::Stands { version: earlier, receipt } => {
                known = receipt;
                version = earlier;
                (Moved::Applied, Some(UNCHANGED), None)
            }
            Plan::Skip { reason, alert } => {
                known.alert = alert;
                (Moved::Skipped { reason: reason.as_str() }, Some("skipped"), Some(reason.as_str().to_owned()))
            }
            Plan::Wait { wait, waiting_for, alert } => {
                known.alert = alert;
                (later(wait, Some(waiting_for)), Some(WAITS), Some(waiting_for.as_str().to_owned()))
            }
            Plan::Withhold { step, wait, waiting_for } => {
                info!(
                    sink.name = %self.name, order.id = %claimed.key.order.order_id, step = step.name,
                    "step withheld until a person confirms that the sink may write"
                );
                (later(wait, Some(waiting_for)), Some(WAITS), Some(waiting_for.as_str().to_owned()))
            }
            Plan::Note(receipt) => {
                known = receipt;
                (later(Duration::ZERO, None), None, None)
            }
            Plan::Park { reason, hint, curable } => {
                let curable = curable && self.rules.versions == Versions::Latest;
                (Moved::Parked { reason: reason.to_owned(), hint, curable }, Some("parked"), Some(reason.to_owned()))
            }
        };
        let sent = match next {
            Moved::Applied => sent_after(claimed.progress, Reached::Yes, version).sent,
            _ => claimed.progress.sent,
        };
        let attempt = AttemptRecord { outcome, reason, ..self.record(claimed, started) };
        let Receipt { external_id, receipt, notice, alert, refused: _ } = known;
        let settlement =
            Settlement { version, next, sent, external_id, receipt, notice, alert, attempt, ..self.settlement(held) };
        Ended { settlement, signal: Signal::Silent }
    }

    /// From an answer to what is written.
    pub(super) fn ended(
        &self,
        held: &Held,
        version: Version,
        sent: Option<(&Step, Sending)>,
        started: DateTime<Utc>,
        answer: Answer,
    ) -> Ended {
        let step = sent.map(|(step, _)| step);
        let sending = sent.map_or(Sending::First, |(_, sending)| sending);
        let decision = decide(self.policy(step), tried(&held.claimed, step, sending), &answer.outcome);
        let attempt = AttemptRecord {
            step: step.map(|step| step.name.clone()),
            request_digest: step.map(|step| Sha256::digest(&step.body).into()),
            ..self.record(&held.claimed, started)
        };
        let goes_on = matches!(answer.outcome, Outcome::Delivered(_)) && step.is_some_and(|step| !step.completes);
        let ended = self.concluded(held, version, step, decision, answer, attempt);
        if goes_on { self.brought(held, ended, started) } else { ended }
    }

    /// A confirmed step may have been the last of its plan, which only the receipt tells. Then its version is brought: no
    /// claim, and no call reserved for it, is needed to see that.
    fn brought(&self, held: &Held, ended: Ended, now: DateTime<Utc>) -> Ended {
        let Ended { settlement, signal } = ended;
        let claimed = Claimed {
            pending: None,
            progress: Progress { sent: settlement.sent, ..held.claimed.progress },
            receipt: settlement.receipt.clone().or_else(|| held.claimed.receipt.clone()),
            external_id: settlement.external_id.clone().or_else(|| held.claimed.external_id.clone()),
            ..held.claimed.clone()
        };
        let snapshot = claimed.snapshot.as_ref().filter(|snapshot| snapshot.version == settlement.version);
        let plan = || {
            let summarised = self.plan_summarised(&claimed, now);
            summarised.or_else(|| snapshot.map(|snapshot| self.plan(&claimed, snapshot, now)))
        };
        let Ok(Some(Plan::Settled(known))) = std::panic::catch_unwind(AssertUnwindSafe(plan)) else {
            return Ended { settlement, signal };
        };
        let settlement = Settlement {
            next: Moved::Applied,
            external_id: known.external_id.or(settlement.external_id),
            receipt: known.receipt.or(settlement.receipt),
            notice: known.notice.or(settlement.notice),
            alert: known.alert.or(settlement.alert),
            ..settlement
        };
        Ended { settlement, signal }
    }

    /// Puts a decision and what was learnt into a settlement.
    pub(super) fn concluded(
        &self,
        held: &Held,
        version: Version,
        step: Option<&Step>,
        decision: Decision,
        answer: Answer,
        attempt: AttemptRecord,
    ) -> Ended {
        let claimed = &held.claimed;
        let Decision { mut next, reached, label, reason, signal } = decision;
        let told = answer.told.filter(|_| matches!(answer.outcome, Outcome::Reject { .. }));
        if let (Moved::Parked { reason, hint, .. }, Some(told)) = (&mut next, told) {
            (*reason, *hint) = (told.reason.to_owned(), told.hint.to_owned());
        }
        let code = reason.map(|reason| told.map_or(reason.as_str(), |told| told.reason));
        let known = match answer.outcome {
            Outcome::Delivered(receipt) => receipt,
            _ => Receipt::default(),
        };
        let mut receipt = known.receipt;
        if reached == Reached::Yes {
            receipt = receipt.or_else(|| step.and_then(|step| step.receipt.clone()));
        }
        let last_error = code.map(|code| match answer.http_status {
            Some(status) => format!("{code} (HTTP {status})"),
            None => code.to_owned(),
        });
        let attempt = AttemptRecord {
            outcome: Some(label),
            http_status: answer.http_status,
            reason: code.map(str::to_owned),
            response_excerpt: answer.excerpt,
            external_id: if reached == Reached::Yes {
                known.external_id.clone().or_else(|| claimed.external_id.clone())
            } else {
                None
            },
            ..attempt
        };
        self.traces.ended(
            self.traced(held, version, attempt.step.as_deref().unwrap_or_default(), attempt.started_at),
            traces::Ended { at: attempt.finished_at, outcome: label, reason: code, http_status: answer.http_status },
        );
        self.metrics.attempt(
            &self.name,
            label,
            (attempt.finished_at - attempt.started_at).to_std().unwrap_or_default(),
        );
        debug!(
            sink.name = %self.name, order.id = %claimed.key.order.order_id, order.version = version.0,
            delivery.attempt = claimed.attempt, outcome = label, reason = code,
            http.status = answer.http_status, "delivery attempted"
        );
        Ended {
            settlement: Settlement {
                version,
                next,
                sent: sent_after(claimed.progress, reached, version).sent,
                external_id: known.external_id,
                receipt,
                notice: known.notice,
                alert: known.alert,
                last_error,
                attempt,
                ..self.settlement(held)
            },
            signal,
        }
    }

    /// `step`: what was sent, or may have been.
    pub(super) fn policy(&self, step: Option<&Step>) -> Policy<'_> {
        // What was sent within the lease may arrive until its timeout is over, and be seen so much later.
        let visible_after = step.and_then(|step| self.sink.visible_after(step));
        let absence_proven_after = visible_after.map(|visible| self.lease + self.rules.request_timeout + visible);
        Policy { rules: &self.rules, read_back: &self.read_back, absence_proven_after }
    }

    /// Given back unsent, with its attempt. A doubt stays one: nothing was learnt about it.
    pub(super) fn given_back(&self, held: &Held, wait: Duration, waiting_for: Option<WaitingFor>) -> Settlement {
        if held.claimed.pending.is_some() {
            return Settlement { next: still_in_doubt(wait), ..self.settlement(held) };
        }
        let waiting_for = waiting_for.map(WaitingFor::as_str);
        let next = Moved::Pending { wait, waiting_for, not_before: None, failed: false, refused: false, refund: true };
        Settlement { next, ..self.settlement(held) }
    }

    /// Given back because its call may not go out: kept too long, its turn missed, or used for another request.
    pub(super) fn without_a_call(&self, held: &Held) -> Ended {
        let settlement = self.given_back(held, Duration::ZERO, Some(WaitingFor::Budget));
        Ended { settlement, signal: Signal::Silent }
    }

    /// A settlement that changes nothing yet.
    pub(super) fn settlement(&self, held: &Held) -> Settlement {
        let claimed = &held.claimed;
        Settlement {
            key: claimed.key.clone(),
            lane: claimed.lane.clone(),
            token: claimed.token,
            version: version_of(claimed),
            next: Moved::Applied,
            sent: claimed.progress.sent,
            external_id: None,
            receipt: None,
            notice: None,
            alert: None,
            last_error: None,
            attempt: AttemptRecord { outcome: None, ..self.record(claimed, self.clock.now()) },
        }
    }

    /// How a call of it is told apart from others.
    fn traced<'a>(
        &'a self,
        held: &'a Held,
        version: Version,
        step: &'a str,
        started_at: DateTime<Utc>,
    ) -> traces::Call<'a> {
        let Claimed { key, attempt, .. } = &held.claimed;
        traces::Call { sink: &self.name, order: &key.order, version, attempt: *attempt, step, started_at }
    }

    pub(super) fn record(&self, claimed: &Claimed, started_at: DateTime<Utc>) -> AttemptRecord {
        AttemptRecord {
            number: claimed.attempt,
            step: None,
            started_at,
            finished_at: self.clock.now(),
            outcome: None,
            http_status: None,
            reason: None,
            request_digest: None,
            response_excerpt: None,
            external_id: None,
            again: false,
        }
    }
}

/// Nothing is planned on top of a doubt that a person discarded.
pub(super) fn left_in_doubt(claimed: &Claimed) -> Option<Plan> {
    let is_discarded = claimed.receipt.as_ref().is_some_and(|receipt| receipt.get(POSSIBLY_STANDS).is_some());
    is_discarded.then(|| Plan::Park {
        reason: POSSIBLY_STANDS,
        hint: "a discarded step of this order may stand at the destination: look there; retry if nothing stands, else \
               bring it up to date by hand and discard"
            .to_owned(),
        curable: false,
    })
}

/// What came of one call: it failed once, however many deliveries it was for.
pub(super) fn of_one_call(mut ended: Vec<Ended>) -> Vec<Ended> {
    let failed = |ended: &&mut Ended| matches!(ended.signal, Signal::Faulty | Signal::Blocked);
    ended.iter_mut().filter(failed).skip(1).for_each(|ended| ended.signal = Signal::Silent);
    ended
}

/// Whether two steps may go in one call.
fn is_alike(one: &Step, other: &Step) -> bool {
    one.name == other.name && one.repeat == other.repeat
}

/// What stands for a shared read that is too old again although it was just made.
fn outdated() -> Answer {
    Outcome::Retry { reason: Reason::UnreadableAnswer, sent: Sent::No, not_before: None }.into()
}

/// What stands for an attempt whose worker never came back.
fn lost_again() -> Outcome {
    Outcome::Retry { reason: Reason::WorkerLost, sent: Sent::Possibly, not_before: None }
}

pub(super) fn lease_of(held: &Held) -> Lease<'_> {
    Lease { key: &held.claimed.key, token: held.claimed.token }
}

fn intent(ready: &Ready, group: Option<&str>, position: u32, size: u32) -> serde_json::Value {
    let step = PendingStep {
        step: ready.step.clone(),
        version: ready.version,
        group: group.map(|id| GroupPlace { id: id.to_owned(), position, size }),
    };
    serde_json::to_value(step).expect("a step is plain data")
}

pub(super) fn tried(claimed: &Claimed, step: Option<&Step>, sending: Sending) -> Tried {
    Tried {
        number: claimed.attempt,
        failing_for: claimed.failing_for,
        refused_for: claimed.refused_for,
        repeat: step.map_or(Repeat::Safe, |step| step.repeat),
        completes: step.is_none_or(|step| step.completes),
        sending,
    }
}

fn version_of(claimed: &Claimed) -> Version {
    claimed.snapshot.as_ref().map_or(claimed.wanted, |snapshot| snapshot.version)
}
