//! One sink's loop: claim → plan → send → settle.
//!
//! The claim prefetches one batch, so that a free slot never waits for the database; sends run as tasks, at most
//! `concurrency` at a time; whatever finished while the previous settle ran is settled together. A settlement is kept
//! and tried again until it is recorded or proven fenced. [`Dispatcher::tick`] does one round of the same, for tests.

use std::{
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::{sync::Notify, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    backoff::exponential,
    breaker::{Counter, LONGEST_PROBE, Signal, Turn},
    decide::{Decision, Policy, Tried, decide},
    rules::{self, Reached, sent_after},
};
use crate::{
    clock::{BootInstant, Clock},
    config::{SinkCommon, Versions},
    domain::{
        delivery::{Outcome, Plan, Reason, Repeat, Sent, State, Step},
        ids::{SinkName, Version},
        money,
    },
    sinks::{Answer, Finding, Sink, View},
    source::{self, SourceKind},
    store::{
        self, StoreError,
        deliveries::{AttemptRecord, Claim, Claimed, Next, Settlement, Snapshot},
        sinks::Opening,
    },
    telemetry::metrics::Metrics,
};

/// A send needs a lease that outlasts its timeout by this much.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// Longest sleep without a wake-up: what another process stored is seen after this at the latest.
const IDLE: Duration = Duration::from_secs(5);
/// When a delivery is claimed again whose version the claim could not see yet.
const SOON: Duration = Duration::from_millis(50);
/// Most rows in one claim or settle.
const BATCH: usize = 200;

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
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A leased delivery on its way, with the instant until which the lease certainly holds.
#[derive(Debug, Clone)]
struct Held {
    claimed: Claimed,
    deadline: BootInstant,
}

/// An attempt's end, before it is settled.
#[derive(Debug)]
struct Ended {
    settlement: Settlement,
    signal: Signal,
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// So many deliveries were claimed.
    Worked(usize),
    Idle,
}

/// How a claim looked.
#[derive(Debug)]
struct Taken {
    held: Vec<Held>,
    /// Less was due than we could take: look again after this.
    rest: Option<Duration>,
    open_lanes: Vec<String>,
}

/// The loop of one sink.
#[derive(Debug)]
pub struct Dispatcher {
    driver: Arc<Driver>,
    wake: Arc<Notify>,
    breaker: Counter,
    /// Lanes that asked us to slow down, until when on [`Clock::elapsed`].
    held_back: HashMap<String, Duration>,
}

impl Dispatcher {
    pub fn new(driver: Arc<Driver>, wake: Arc<Notify>) -> Self {
        Self { driver, wake, breaker: Counter::default(), held_back: HashMap::new() }
    }

    /// Runs until told to drain; then finishes what was sent, gives back what was not, and returns.
    pub async fn run(mut self, drain: CancellationToken) {
        let concurrency = self.driver.rules.concurrency as usize;
        let prefetch = (2 * concurrency).clamp(16, BATCH);
        let mut queue: VecDeque<Held> = VecDeque::new();
        let mut sending: FuturesUnordered<JoinHandle<Option<Ended>>> = FuturesUnordered::new();
        let mut done: Vec<Settlement> = Vec::new();
        let mut settling: Option<JoinHandle<Vec<Settlement>>> = None;
        let mut claiming: Option<JoinHandle<Result<Taken, StoreError>>> = None;
        let mut next_claim = Instant::now();
        let mut trouble: u32 = 0;
        let mut settle_trouble: u32 = 0;
        let mut settle_after = Instant::now();

        loop {
            let draining = drain.is_cancelled();
            if draining {
                done.extend(queue.drain(..).map(|held| self.driver.released(&held)));
            }
            while sending.len() < concurrency {
                let Some(held) = queue.pop_front() else { break };
                if let Some(wait) = self.hold_of(&held.claimed.lane) {
                    done.push(self.driver.held_back(&held, wait));
                    continue;
                }
                let driver = Arc::clone(&self.driver);
                sending.push(tokio::spawn(async move { driver.attempt(held).await }));
            }
            let now = Instant::now();
            if settling.is_none() && !done.is_empty() && settle_after <= now {
                let batch = done.split_off(done.len().saturating_sub(BATCH));
                let driver = Arc::clone(&self.driver);
                settling = Some(tokio::spawn(async move { driver.settle(batch).await }));
            }
            if claiming.is_none() && !draining && queue.len() < concurrency.min(prefetch / 2) && next_claim <= now {
                let limit = prefetch - queue.len();
                let driver = Arc::clone(&self.driver);
                let lanes = self.lanes_not_held_back();
                claiming = Some(tokio::spawn(async move { driver.claim(limit, &lanes).await }));
            }
            let idle = sending.is_empty() && settling.is_none() && claiming.is_none() && done.is_empty();
            if draining && idle {
                return;
            }

            tokio::select! {
                biased;
                Some(ended) = sending.next() => {
                    if let Ok(Some(ended)) = ended {
                        self.observe(&ended).await;
                        done.push(ended.settlement);
                    }
                    while let Some(Some(ended)) = sending.next().now_or_never() {
                        if let Ok(Some(ended)) = ended {
                            self.observe(&ended).await;
                            done.push(ended.settlement);
                        }
                    }
                }
                unsettled = join(&mut settling) => {
                    settling = None;
                    let unsettled = unsettled.unwrap_or_default();
                    if unsettled.is_empty() {
                        settle_trouble = 0;
                        // What was settled may be due again at once: a newer version, the next step of a plan.
                        next_claim = next_claim.min(Instant::now() + Duration::from_millis(1));
                    } else {
                        settle_trouble += 1;
                        settle_after = Instant::now() + pause(settle_trouble);
                        done.extend(unsettled);
                    }
                }
                taken = join(&mut claiming) => {
                    claiming = None;
                    match taken {
                        Some(Ok(taken)) => {
                            trouble = 0;
                            self.breaker.note_open(&taken.open_lanes);
                            queue.extend(taken.held);
                            let rest = taken.rest.unwrap_or_default();
                            next_claim = Instant::now() + self.shortest_hold().map_or(rest, |hold| rest.min(hold));
                        }
                        Some(Err(error)) => {
                            trouble += 1;
                            let wait = pause(trouble);
                            report("claim failed", &self.driver.name, &error, wait, trouble);
                            next_claim = Instant::now() + wait;
                        }
                        None => next_claim = Instant::now() + pause(1),
                    }
                }
                () = self.wake.notified() => next_claim = Instant::now(),
                () = drain.cancelled(), if !draining => {}
                () = tokio::time::sleep_until(next_claim), if claiming.is_none() && !draining && next_claim > now => {}
                () = tokio::time::sleep_until(settle_after), if settling.is_none() && !done.is_empty() && settle_after > now => {}
            }
        }
    }

    /// One round: claims what is due, sends it, settles it.
    pub async fn tick(&mut self) -> Result<Tick, StoreError> {
        let lanes = self.lanes_not_held_back();
        let taken = self.driver.claim(BATCH, &lanes).await?;
        self.breaker.note_open(&taken.open_lanes);
        if taken.held.is_empty() {
            return Ok(Tick::Idle);
        }
        let claimed = taken.held.len();
        let attempts = taken.held.into_iter().map(|held| {
            let driver = Arc::clone(&self.driver);
            async move { driver.attempt(held).await }
        });
        let ended: Vec<Ended> = futures::stream::iter(attempts)
            .buffer_unordered(self.driver.rules.concurrency as usize)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let mut batch = Vec::with_capacity(ended.len());
        for ended in ended {
            self.observe(&ended).await;
            batch.push(ended.settlement);
        }
        let mut left = self.driver.settle(batch).await;
        while !left.is_empty() {
            tokio::time::sleep(pause(1)).await;
            left = self.driver.settle(left).await;
        }
        Ok(Tick::Worked(claimed))
    }

    /// Lets the breaker and the hold-back learn from an attempt.
    async fn observe(&mut self, ended: &Ended) {
        let lane = &ended.settlement.lane;
        if let Next::Pending { refund: true, not_before: Some(wait), .. } = &ended.settlement.next {
            let until = self.driver.clock.elapsed() + *wait;
            let held = self.held_back.entry(lane.clone()).or_insert(until);
            *held = (*held).max(until);
        }
        if ended.signal == Signal::Silent && ended.settlement.attempt.step.is_none() && self.breaker.is_open(lane) {
            // It was the probe, and it told nothing: the next order may.
            if let Err(error) = self.driver.return_probe(lane).await {
                report("probe not given back", &self.driver.name, &error, Duration::ZERO, 1);
            }
        }
        let turn = self.breaker.observe(&self.driver.rules.breaker, lane, ended.signal);
        if turn == Turn::Nothing {
            return;
        }
        if let Err(error) = self.driver.turn_breaker(lane, turn, ended).await {
            report("breaker not recorded", &self.driver.name, &error, Duration::ZERO, 1);
        }
    }

    fn hold_of(&mut self, lane: &str) -> Option<Duration> {
        let until = *self.held_back.get(lane)?;
        let left = until.saturating_sub(self.driver.clock.elapsed());
        if left.is_zero() {
            self.held_back.remove(lane);
            return None;
        }
        Some(left)
    }

    /// Until the first lane that asked us to slow down may be called again.
    fn shortest_hold(&self) -> Option<Duration> {
        let now = self.driver.clock.elapsed();
        self.held_back.values().map(|until| until.saturating_sub(now).max(Duration::from_millis(1))).min()
    }

    fn lanes_not_held_back(&mut self) -> Vec<String> {
        let lanes = self.driver.lanes.clone();
        lanes.into_iter().filter(|lane| self.hold_of(lane).is_none()).collect()
    }
}

/// The result of a task that may not be running; then this never ends.
async fn join<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    match task {
        Some(handle) => handle.await.ok(),
        None => std::future::pending().await,
    }
}

/// Wait after the n-th database failure in a row.
fn pause(failures: u32) -> Duration {
    exponential(Duration::from_millis(100), Duration::from_secs(5), failures, 0.2)
}

fn report(what: &'static str, sink: &SinkName, error: &StoreError, wait: Duration, failures: u32) {
    let error = crate::telemetry::chain(error);
    // The first failures may be a restart; said once in a while after that.
    if failures.is_power_of_two() {
        warn!(sink.name = %sink, error, backoff_ms = wait.as_millis() as u64, "{what}");
    } else {
        debug!(sink.name = %sink, error, backoff_ms = wait.as_millis() as u64, "{what}");
    }
}

impl Driver {
    /// Takes due deliveries of the lanes that may be called.
    async fn claim(&self, limit: usize, lanes: &[String]) -> Result<Taken, StoreError> {
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
                held.extend(self.claim_of(1, lane).await?);
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

    async fn claim_of(&self, limit: usize, lanes: &[String]) -> Result<Vec<Held>, StoreError> {
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
        Ok(claimed.into_iter().map(|claimed| Held { claimed, deadline }).collect())
    }

    /// Takes one claimed delivery as far as it goes. None: the lease was lost, or nobody could say whether it still
    /// holds; nothing was sent and nothing may be written.
    async fn attempt(&self, held: Held) -> Option<Ended> {
        let started = self.clock.wall();
        let guarded = AssertUnwindSafe(self.attempt_unguarded(&held, started)).catch_unwind().await;
        guarded.unwrap_or_else(|_| {
            warn!(sink.name = %self.name, order.id = %held.claimed.key.order.order_id, "attempt panicked");
            let outcome = Outcome::Retry { reason: Reason::Panicked, sent: Sent::Possibly, not_before: None };
            let answer = Answer { outcome, http_status: None, excerpt: None };
            Some(self.ended(&held, version_of(&held.claimed), None, started, answer))
        })
    }

    async fn attempt_unguarded(&self, held: &Held, started: DateTime<Utc>) -> Option<Ended> {
        let claimed = &held.claimed;
        if let Some(stored) = &claimed.pending_step {
            return self.resolve_doubt(held, stored, started).await;
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
            if !self.hold_on(held, &step).await {
                return None;
            }
        }
        // A process that was suspended since wakes up here, finds its time over, and sends nothing.
        if deadline.remaining() < needed {
            return None;
        }
        let limit = self.rules.request_timeout + Duration::from_secs(2);
        let answer = match tokio::time::timeout(limit, self.sink.send(&step, started)).await {
            Ok(answer) => answer,
            Err(_) => {
                Answer { outcome: Outcome::Unknown { reason: Reason::Timeout }, http_status: None, excerpt: None }
            }
        };
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
        let finding = tokio::time::timeout(limit, self.sink.look_up(&step)).await.unwrap_or(Finding::Unclear);
        Some(match finding {
            Finding::Stands(receipt) => {
                let answer = Answer { outcome: Outcome::Delivered(receipt), http_status: None, excerpt: None };
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
        let sent = if matches!(next, Next::InDoubt { .. }) { Some(claimed.wanted) } else { claimed.progress.sent };
        Ended { settlement: Settlement { next, sent, attempt, ..self.settlement(held) }, signal: Signal::Silent }
    }

    /// From an answer to what is written.
    fn ended(
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

    /// Given back unsent, for a drain.
    fn released(&self, held: &Held) -> Settlement {
        self.given_back(held, Duration::ZERO, None)
    }

    /// Given back unsent, because its lane asked us to slow down.
    fn held_back(&self, held: &Held, wait: Duration) -> Settlement {
        self.given_back(held, wait, Some("retry"))
    }

    fn given_back(&self, held: &Held, wait: Duration, waiting_for: Option<&'static str>) -> Settlement {
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

    /// Records a batch and returns what has to be tried again. A batch that the database refuses for its data is
    /// settled row by row, so that one row never holds up the others.
    async fn settle(&self, batch: Vec<Settlement>) -> Vec<Settlement> {
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
                Err(error) if error.is_about_the_data() => {
                    report("outcome settled without its details", &self.name, &error, Duration::ZERO, 1);
                    let bare = bare(settlement);
                    if self.settle_once(std::slice::from_ref(&bare)).await.is_err() {
                        left.push(bare);
                    }
                }
                Err(_) => left.push(settlement),
            }
        }
        left
    }

    async fn settle_once(&self, batch: &[Settlement]) -> Result<(), StoreError> {
        let superseding = rules::superseding(self.rules.versions);
        let moved =
            store::deliveries::settle(&self.pool, &self.name, superseding, batch, self.clock.offset_ms()).await?;
        for (order, state) in &moved {
            self.metrics.settled(&self.name, *state);
            if *state == State::Parked {
                warn!(sink.name = %self.name, order.id = %order.order_id, "delivery parked");
                let subject = format!("{}/{order}", self.name);
                let told = store::alerts::raise(&self.pool, "dead_letter", &subject, "a delivery waits for a person");
                if let Err(error) = told.await {
                    // The delivery is settled; it stands in dead_letters all the same.
                    report("alert not raised", &self.name, &error, Duration::ZERO, 1);
                }
            }
        }
        if moved.len() < batch.len() {
            let lost = batch.len() - moved.len();
            warn!(sink.name = %self.name, deliveries = lost, "lease lost before the outcome was settled");
        }
        Ok(())
    }

    async fn return_probe(&self, lane: &str) -> Result<(), StoreError> {
        store::sinks::return_probe(&self.pool, &self.name, lane, self.clock.offset_ms()).await
    }

    async fn turn_breaker(&self, lane: &str, turn: Turn, ended: &Ended) -> Result<(), StoreError> {
        let failed = |e| StoreError { operation: "sinks.turn_breaker", source: e };
        let mut tx = self.pool.begin().await.map_err(failed)?;
        let reason = ended.settlement.attempt.reason.as_deref().unwrap_or("unknown");
        match turn {
            Turn::Nothing => {}
            Turn::Close => {
                info!(sink.name = %self.name, lane, breaker.state = "closed", "breaker closed");
                store::sinks::close_breaker(&mut tx, &self.name, lane).await?;
            }
            Turn::Open => {
                warn!(sink.name = %self.name, lane, breaker.state = "open", reason, "breaker opened");
                let blocked = ended.signal == Signal::Blocked;
                let opening = Opening {
                    reason,
                    probe: self.rules.breaker.probe,
                    longest: LONGEST_PROBE.max(self.rules.breaker.probe),
                    blocked_hint: blocked.then_some(
                        "the destination refuses our credentials or rights: mend them; a probe goes on by itself",
                    ),
                };
                store::sinks::open_breaker(&mut tx, &self.name, lane, &opening, self.clock.offset_ms()).await?;
            }
        }
        tx.commit().await.map_err(failed)
    }
}

/// The outcome without anything a database could object to.
fn bare(settlement: Settlement) -> Settlement {
    let attempt = AttemptRecord { response_excerpt: None, reason: None, ..settlement.attempt };
    Settlement { external_id: None, receipt: None, notice: None, last_error: None, attempt, ..settlement }
}

fn version_of(claimed: &Claimed) -> Version {
    claimed.snapshot.as_ref().map_or(claimed.wanted, |snapshot| snapshot.version)
}
