//! One sink's loop: claim → plan → send → settle.
//!
//! The claim prefetches what is sent while the next one runs, so that a free slot never waits for the database; sends run
//! as tasks, at most `concurrency` at a time; whatever finished while the previous settle ran is settled together. A
//! settlement is kept and tried again until it is recorded or proven fenced. [`Dispatcher::tick`] does one round of the
//! same, for tests.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    backoff::exponential,
    breaker::{Counter, Signal, Turn},
    driver::{Driver, Ended, Held, Taken, report},
    next_claim::NextClaim,
    slots::Slots,
    throughput::Throughput,
};
use crate::{
    domain::delivery::WaitingFor,
    store::{
        StoreError,
        deliveries::{Next, Settlement},
    },
};

/// Most rows in one claim or settle.
const BATCH: usize = 200;
/// A claim asks for as much as is sent in so long: under load two statements take about half of it.
const PREFETCH: Duration = Duration::from_millis(40);
/// Longest that an outcome waits for others to be settled with, while deliveries are still being sent.
const LINGER: Duration = Duration::from_millis(2);

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// So many deliveries were claimed.
    Worked(usize),
    Idle,
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
        let most_at_once = self.driver.rules.concurrency as usize;
        let least_prefetch = self.driver.least_prefetch(BATCH);
        let mut throughput = Throughput::new(Instant::now());
        let mut queue: VecDeque<Held> = VecDeque::new();
        let mut sending: FuturesUnordered<JoinHandle<Vec<Ended>>> = FuturesUnordered::new();
        let mut done: Vec<Settlement> = Vec::new();
        let mut settling: Option<JoinHandle<Vec<Settlement>>> = None;
        let mut claiming: Option<JoinHandle<Result<Taken, StoreError>>> = None;
        let mut next_claim = NextClaim::new(Instant::now());
        let mut trouble: u32 = 0;
        let mut settle_trouble: u32 = 0;
        let mut settle_after = Instant::now();
        let mut linger_until = Instant::now();

        loop {
            let draining = drain.is_cancelled();
            if draining {
                done.extend(queue.drain(..).map(|held| self.driver.given_back(&held, Duration::ZERO, None)));
            }
            while sending.len() < self.driver.at_once() {
                let Some(held) = queue.pop_front() else { break };
                let lane = &held.claimed.lane;
                if let Some(wait) = self.hold_of(lane) {
                    done.push(self.driver.given_back(&held, wait, Some(WaitingFor::Retry)));
                    continue;
                }
                if !held.probe && self.breaker.is_open(lane) {
                    let wait = self.driver.rules.breaker.probe;
                    done.push(self.driver.given_back(&held, wait, Some(WaitingFor::Breaker)));
                    continue;
                }
                let batch = self.driver.batch(held, &mut queue);
                let driver = Arc::clone(&self.driver);
                sending.push(tokio::spawn(async move { driver.attempt(batch).await }));
            }
            let now = Instant::now();
            let settles_now = done.len() >= BATCH / 2 || sending.is_empty() || linger_until <= now;
            if settling.is_none() && !done.is_empty() && settle_after <= now && settles_now {
                let batch = done.split_off(done.len().saturating_sub(BATCH));
                let driver = Arc::clone(&self.driver);
                settling = Some(tokio::spawn(async move { driver.settle(batch).await }));
            }
            let under_way = sending.len() + queue.len();
            let free_slots = most_at_once.saturating_sub(under_way);
            let prefetch = throughput.within(PREFETCH, now).clamp(least_prefetch, 2 * BATCH);
            let limit = self.driver.claim_limit(free_slots, prefetch.saturating_sub(queue.len()).min(BATCH));
            let wants_more = queue.len() < prefetch / 2 && limit > 0 && !draining && next_claim.at() <= now;
            let prolong_at = self.driver.slots.as_ref().and_then(Slots::prolong_at).filter(|_| under_way > 0);
            let prolongs = prolong_at.is_some_and(|at| at <= now);
            if claiming.is_none() && (wants_more || prolongs) {
                let driver = Arc::clone(&self.driver);
                let (lanes, limit) = (self.lanes_not_held_back(), if wants_more { limit } else { 0 });
                claiming = Some(tokio::spawn(async move { driver.claim(limit, &lanes, under_way).await }));
                next_claim.begun();
            }
            let idle = sending.is_empty() && settling.is_none() && claiming.is_none() && done.is_empty();
            if draining && idle {
                // Should this fail, they are free when their time is over.
                let freed = self.driver.pool.insist(|| self.driver.hold_slots_for(0));
                if let Err(error) = freed.await {
                    report("slots not given back", &self.driver.name, &error, Duration::ZERO, 1);
                }
                return self.driver.settle_budget().await;
            }

            tokio::select! {
                biased;
                Some(ended) = sending.next() => {
                    let mut ended = ended.unwrap_or_default();
                    while let Some(Some(more)) = sending.next().now_or_never() {
                        ended.extend(more.unwrap_or_default());
                    }
                    throughput.count(ended.len());
                    if done.is_empty() {
                        linger_until = Instant::now() + LINGER;
                    }
                    for ended in ended {
                        self.observe(&ended).await;
                        done.push(ended.settlement);
                    }
                }
                unsettled = join(&mut settling) => {
                    settling = None;
                    let unsettled = unsettled.unwrap_or_default();
                    if unsettled.is_empty() {
                        settle_trouble = 0;
                        next_claim.settled(Instant::now());
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
                            let rest = self.shortest_hold().map_or(rest, |hold| rest.min(hold));
                            next_claim.answered(Instant::now(), rest);
                        }
                        Some(Err(error)) => {
                            trouble += 1;
                            let wait = pause(trouble);
                            report("claim failed", &self.driver.name, &error, wait, trouble);
                            next_claim.failed(Instant::now(), wait);
                        }
                        None => next_claim.failed(Instant::now(), pause(1)),
                    }
                }
                () = self.wake.notified() => next_claim.rung(Instant::now()),
                () = drain.cancelled(), if !draining => {}
                () = tokio::time::sleep_until(next_claim.at()), if claiming.is_none() && !draining && next_claim.at() > now => {}
                () = tokio::time::sleep_until(prolong_at.unwrap_or(now)), if claiming.is_none() && prolong_at.is_some() => {}
                () = tokio::time::sleep_until(linger_until), if settling.is_none() && !done.is_empty() && linger_until > now => {}
                () = tokio::time::sleep_until(settle_after), if settling.is_none() && !done.is_empty() && settle_after > now => {}
            }
        }
    }

    /// One round: claims what is due, sends it, settles it.
    pub async fn tick(&mut self) -> Result<Tick, StoreError> {
        let lanes = self.lanes_not_held_back();
        let limit = self.driver.claim_limit(self.driver.rules.concurrency as usize, BATCH);
        // Boxed: whoever calls this in turn would carry it along.
        let taken = Box::pin(self.driver.claim(limit, &lanes, 0)).await?;
        self.breaker.note_open(&taken.open_lanes);
        if taken.held.is_empty() {
            return Ok(Tick::Idle);
        }
        let claimed = taken.held.len();
        let mut queue = VecDeque::from(taken.held);
        let mut batches = Vec::new();
        while let Some(held) = queue.pop_front() {
            batches.push(self.driver.batch(held, &mut queue));
        }
        let attempts = batches.into_iter().map(|batch| {
            let driver = Arc::clone(&self.driver);
            async move { driver.attempt(batch).await }
        });
        let ended: Vec<Vec<Ended>> =
            futures::stream::iter(attempts).buffer_unordered(self.driver.at_once().max(1)).collect().await;
        let mut batch = Vec::with_capacity(claimed);
        for ended in ended.into_iter().flatten() {
            Box::pin(self.observe(&ended)).await;
            batch.push(ended.settlement);
        }
        let mut left = Box::pin(self.driver.settle(batch)).await;
        while !left.is_empty() {
            tokio::time::sleep(pause(1)).await;
            left = Box::pin(self.driver.settle(left)).await;
        }
        self.driver.hold_slots_for(0).await?;
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
            // It was the probe, and it told nothing: the next order may, as soon as any.
            let wait = match &ended.settlement.next {
                Next::Pending { not_before: Some(wait), .. } => *wait,
                _ => Duration::ZERO,
            };
            if let Err(error) = self.driver.return_probe(lane, wait).await {
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
