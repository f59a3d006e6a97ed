//! What one sink's tasks share, and how deliveries are claimed for it.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::{ControlFlow, RangeInclusive},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Notify;
use tracing::{debug, warn};

use super::{
    breaker::Signal,
    budget::{Ask, Class},
    calls::{Budget, Call},
    slots::{NONE_FREE, Slots},
};
use crate::{
    boundary::{Boundary, reach},
    clock::{BootInstant, Clock},
    config::SinkCommon,
    domain::{ids::SinkName, limits::LearnedLimit},
    sinks::{Answer, Sink},
    store::{
        self, StoreError,
        deliveries::{ANY_PRIORITY, Claim, Claimed, Due, Settlement},
        line::Line,
        sinks::OpenLane,
    },
    telemetry::{metrics::Metrics, traces::Traces},
};

/// Longest sleep without a wake-up: what another process stored is seen after this at the latest.
const IDLE: Duration = Duration::from_secs(5);
/// Shortest sleep while calls are lacking and not deliveries.
const SHORTEST_REST: Duration = Duration::from_millis(50);

/// Most doubts in one look-up.
const LOOK_UP_GROUP: usize = 50;

/// Everything an attempt needs. Shared by the tasks of one sink.
pub struct Driver {
    pub name: SinkName,
    pub sink: Arc<dyn Sink>,
    pub rules: SinkCommon,
    pub pool: Line,
    pub clock: Clock,
    /// This process, for `lease_owner`.
    pub owner: String,
    pub lease: Duration,
    /// When an effect in doubt is looked up.
    pub read_back: Vec<Duration>,
    /// The lanes of this sink; the unnamed one included.
    pub lanes: Vec<String>,
    /// Sinks that wait for this one (`after`), with their wake-ups.
    pub dependents: Vec<(SinkName, Arc<Notify>)>,
    pub metrics: Arc<Metrics>,
    pub traces: Traces,
    /// None: the sink has no limits.
    pub budget: Option<Arc<Budget>>,
    /// None: `concurrency` is this process's own.
    pub slots: Option<Slots>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A leased delivery on its way, with the instant until which the lease certainly holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) claimed: Claimed,
    pub(super) deadline: BootInstant,
    /// The one delivery that tries a lane whose breaker is open.
    pub(super) probe: bool,
    pub(super) fare: Fare,
}

/// What a claimed delivery may be brought with.
#[derive(Debug)]
pub(super) enum Fare {
    /// The sink has no limits.
    Free,
    /// The call reserved for it; given back unless it is spent.
    Call(Call),
    /// None of its own: it shares another's call, or is given back.
    Shared,
}

impl Held {
    /// Whether its call was not kept for too long.
    pub(super) fn may_call(&self) -> bool {
        match &self.fare {
            Fare::Call(call) => call.is_fresh(),
            Fare::Free | Fare::Shared => true,
        }
    }

    /// The call that its step in doubt shared with others.
    fn group(&self) -> Option<&str> {
        self.claimed.pending.as_ref()?.step.pointer("/group/id")?.as_str()
    }

    /// Whether a call can go out on its account.
    pub(super) fn can_pay(&self) -> bool {
        !matches!(self.fare, Fare::Shared)
    }

    /// Waits until its call's turn is near.
    pub(super) async fn approach_turn(&self) {
        if let Fare::Call(call) = &self.fare {
            call.approach().await;
        }
    }

    /// Waits for its call's turn. False: it has none, or none any more, and is given back.
    pub(super) async fn is_its_turn(&self) -> bool {
        match &self.fare {
            Fare::Free => true,
            Fare::Call(call) => call.is_its_turn().await,
            Fare::Shared => false,
        }
    }

    /// Right before the request.
    pub(super) fn spend_call(&self) {
        self.spend_calls(1);
    }

    pub(super) fn spend_calls(&self, calls: u32) {
        if let Fare::Call(call) = &self.fare {
            (0..calls).for_each(|_| call.spend());
        }
    }
}

/// An attempt's end, before it is settled.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) settlement: Settlement,
    pub(super) signal: Signal,
}

/// How a claim looked.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) held: Vec<Held>,
    /// Less was due than we could take: look again after this.
    pub(super) rest: Option<Duration>,
    pub(super) open_lanes: Vec<String>,
}

impl Driver {
    /// Takes due deliveries of the lanes that may be called, while so many others are under way.
    pub(super) async fn claim(&self, limit: usize, lanes: &[String], under_way: usize) -> Result<Taken, StoreError> {
        let offset = self.clock.offset_ms();
        let gate = store::sinks::gate(&self.pool, &self.name, offset).await?;
        if gate.paused || lanes.is_empty() {
            self.hold_slots_for(under_way).await?;
            return Ok(Taken { held: Vec::new(), rest: Some(IDLE), open_lanes: Vec::new() });
        }
        self.close_summaries().await?;
        let limit = match self.room(limit, lanes, under_way).await? {
            ControlFlow::Continue(limit) => limit,
            ControlFlow::Break(rest) => {
                return Ok(Taken { held: Vec::new(), rest: Some(rest), open_lanes: names(&gate.open_lanes) });
            }
        };
        let taken = self.claim_from(&gate.open_lanes, limit, lanes).await?;
        if taken.held.is_empty() {
            self.hold_slots_for(under_way).await?;
        }
        Ok(taken)
    }

    /// Most calls at a time, as of now.
    pub(super) fn at_once(&self) -> usize {
        self.slots.as_ref().map_or(self.rules.concurrency, Slots::held) as usize
    }

    /// Gives back what is not needed for those that are under way.
    pub(super) async fn hold_slots_for(&self, under_way: usize) -> Result<(), StoreError> {
        if let Some(slots) = &self.slots {
            slots.hold(under_way as u32).await?;
        }
        Ok(())
    }

    /// How many of so many deliveries there are slots for; or when to look again.
    async fn room(
        &self,
        limit: usize,
        lanes: &[String],
        under_way: usize,
    ) -> Result<ControlFlow<Duration, usize>, StoreError> {
        let Some(slots) = &self.slots else { return Ok(ControlFlow::Continue(limit)) };
        let due = store::deliveries::next_due(&self.pool, &self.name, lanes, self.clock.offset_ms()).await?;
        let is_due = limit > 0 && due.is_some_and(|due| due.is_zero());
        let more = if is_due { limit.div_ceil(self.sink.group_size()) } else { 0 };
        let held = slots.hold((under_way + more) as u32).await? as usize;
        let free = held.saturating_sub(under_way);
        Ok(match (is_due, free) {
            (true, 0) => ControlFlow::Break(NONE_FREE),
            (true, free) => ControlFlow::Continue(limit.min(free * self.sink.group_size())),
            (false, _) => ControlFlow::Break(due.unwrap_or(IDLE).clamp(SHORTEST_REST, IDLE)),
        })
    }

    async fn claim_from(&self, gates: &[OpenLane], limit: usize, lanes: &[String]) -> Result<Taken, StoreError> {
        let (offset, open_lanes) = (self.clock.offset_ms(), names(gates));
        let mut held = Vec::new();
        let mut rest = IDLE;
        for open in gates {
            if !lanes.contains(&open.lane) {
                continue;
            }
            let lane = std::slice::from_ref(&open.lane);
            // A probe won for nothing would keep the next order waiting.
            let Some(due) = store::deliveries::next_due(&self.pool, &self.name, lane, offset).await? else { continue };
            let wait = due.max(open.probe_in);
            if !wait.is_zero() {
                rest = rest.min(wait);
                continue;
            }
            let mut call = None;
            if let Some(budget) = &self.budget {
                let ask = Ask { lane: open.lane.clone(), class: Class::New, calls: 1 };
                call = budget.reserve(&[ask], 1).await?.calls.into_iter().flatten().next();
                if call.is_none() {
                    continue;
                }
            }
            rest = Duration::ZERO;
            if store::sinks::win_probe(&self.pool, &self.name, &open.lane, self.lease, offset).await? {
                reach(Boundary::ProbeWon);
                let probe = self.claim_of(1, lane, ANY_PRIORITY).await?.pop();
                let fare = call.map_or(Fare::Free, Fare::Call);
                held.extend(probe.map(|probe| Held { probe: true, fare, ..probe }));
            }
        }
        let closed: Vec<String> = lanes.iter().filter(|lane| !open_lanes.contains(lane)).cloned().collect();
        if closed.is_empty() {
            return Ok(Taken { held, rest: Some(rest.max(Duration::from_millis(50))), open_lanes });
        }
        let (taken, out_of_calls) = self.claim_within_budget(limit, &closed).await?;
        if taken.len() == limit {
            held.extend(taken);
            return Ok(Taken { held, rest: None, open_lanes });
        }
        if taken.is_empty() {
            if let Some(opens_in) = out_of_calls.values().min() {
                rest = rest.min((*opens_in).max(SHORTEST_REST));
            }
            let others: Vec<String> = closed.into_iter().filter(|lane| !out_of_calls.contains_key(lane)).collect();
            if let Some(due) = store::deliveries::next_due(&self.pool, &self.name, &others, offset).await? {
                rest = rest.min(due);
            }
        } else {
            rest = Duration::from_millis(2);
        }
        held.extend(taken);
        Ok(Taken { held, rest: Some(rest), open_lanes })
    }

    /// Takes those out of the queue that may share a call with this delivery: like steps where the sink sends groups,
    /// and doubts, which one look-up can serve; those that shared a call before stay together.
    pub(super) fn batch(&self, first: Held, queue: &mut VecDeque<Held>) -> Vec<Held> {
        let in_doubt = |held: &Held| held.claimed.pending.is_some();
        let most = if in_doubt(&first) { LOOK_UP_GROUP } else { self.sink.group_size() };
        let mut batch = vec![first];
        let mut at = 0;
        while batch.len() < most && at < queue.len() {
            let (first, other) = (&batch[0], &queue[at]);
            if !first.probe
                && !other.probe
                && first.claimed.lane == other.claimed.lane
                && in_doubt(first) == in_doubt(other)
                && first.group() == other.group()
            {
                batch.extend(queue.remove(at));
            } else {
                at += 1;
            }
        }
        batch
    }

    /// Least deliveries to have at hand: enough for every slot twice, and for the call that fills a slot once several share
    /// it.
    pub(super) fn least_prefetch(&self, most: usize) -> usize {
        (2 * self.rules.concurrency as usize * self.sink.group_size()).clamp(16, most)
    }

    /// Most deliveries to claim at once while so many calls can be made at once, `prefetch` being asked for. A reserved
    /// call must not wait for a free slot. Where several deliveries share a call, those they do not need are given back.
    pub(super) fn claim_limit(&self, free_slots: usize, prefetch: usize) -> usize {
        if self.budget.is_some() { (free_slots * self.sink.group_size()).min(prefetch) } else { prefetch }
    }

    /// Takes no more due deliveries than there are calls left for, the urgent ones first. Returns the lanes where more
    /// was due, and when there will be more calls.
    ///
    /// Where calls are short and several deliveries can share one, there are as many for each call as that: those whose
    /// steps do not fit together after all are given back. Not of corrections, each of which begins with a step of its own.
    async fn claim_within_budget(
        &self,
        limit: usize,
        lanes: &[String],
    ) -> Result<(Vec<Held>, BTreeMap<String, Duration>), StoreError> {
        let mut out_of_calls = BTreeMap::new();
        let Some(budget) = &self.budget else {
            return Ok((self.claim_of(limit, lanes, ANY_PRIORITY).await?, out_of_calls));
        };
        let limit = limit as u32;
        let due = store::deliveries::due(&self.pool, &self.name, lanes, limit, self.clock.offset_ms()).await?;
        let ask = |due: &Due| Ask { lane: due.lane.clone(), class: Class::of(due.priority), calls: due.deliveries };
        let asks: Vec<Ask> = due.iter().map(ask).collect();
        let reserved = budget.reserve(&asks, limit).await?;
        if !asks.is_empty() {
            reach(Boundary::CallsReserved);
        }
        let mut held = Vec::new();
        for ((due, calls), opens_in) in due.into_iter().zip(reserved.calls).zip(reserved.opens_in) {
            let each = match Class::of(due.priority) {
                Class::Correction => 1,
                _ => self.sink.group_size(),
            };
            let most = (calls.len() * each).min(due.deliveries as usize).min(limit as usize - held.len());
            if most > 0 {
                let lane = std::slice::from_ref(&due.lane);
                let claimed = self.claim_of(most, lane, due.priority..=due.priority).await?;
                held.extend(paid(claimed, calls));
            }
            if let Some(opens_in) = opens_in {
                let least = out_of_calls.entry(due.lane).or_insert(opens_in);
                *least = opens_in.min(*least);
            }
        }
        Ok((held, out_of_calls))
    }

    /// Lets the budget learn from an answer.
    pub(super) async fn note_limits(&self, held: &Held, answer: &Answer) {
        self.note_told(held, &answer.limits, answer.calls_beside).await;
    }

    /// Lets it learn from what answers told that were no single delivery's, and count calls beside those that were spent.
    pub(super) async fn note_told(&self, held: &Held, limits: &[LearnedLimit], calls_beside: u32) {
        let Fare::Call(call) = &held.fare else { return };
        if let Err(error) = call.answered(limits, calls_beside).await {
            report("limits not noted", &self.name, &error, Duration::ZERO, 1);
        }
    }

    /// Before the process ends: what was reserved and not used, and what answers told.
    pub(crate) async fn settle_budget(&self) {
        let Some(budget) = &self.budget else { return };
        if let Err(error) = self.pool.insist(|| budget.write_notes()).await {
            report("unused calls not given back", &self.name, &error, Duration::ZERO, 1);
        }
    }

    async fn claim_of(
        &self,
        limit: usize,
        lanes: &[String],
        priorities: RangeInclusive<i16>,
    ) -> Result<Vec<Held>, StoreError> {
        // Taken before the claim is asked for, so that the lease never ends earlier than we think.
        let deadline = BootInstant::now() + self.lease;
        let claim = Claim {
            sink: &self.name,
            lanes,
            priorities,
            limit: limit as u32,
            owner: &self.owner,
            lease: self.lease,
            after: self.rules.after.as_ref(),
        };
        let offset = self.clock.offset_ms();
        let claimed = store::deliveries::claim(&self.pool, &claim, offset).await?;
        if let Some(first) = claimed.first() {
            self.clock.hear(first.claimed_at, offset);
            reach(Boundary::DeliveriesClaimed);
        }
        Ok(claimed.into_iter().map(|claimed| Held { claimed, deadline, probe: false, fare: Fare::Free }).collect())
    }
}

fn names(gates: &[OpenLane]) -> Vec<String> {
    gates.iter().map(|open| open.lane.clone()).collect()
}

/// With calls for as many as there are, so far apart that of those who go together one has one.
fn paid(claimed: Vec<Held>, mut calls: Vec<Call>) -> impl Iterator<Item = Held> {
    let (n, n_calls) = (claimed.len(), calls.len().min(claimed.len()));
    claimed.into_iter().enumerate().map(move |(at, held)| {
        let is_next = at == 0 || at * n_calls / n > (at - 1) * n_calls / n;
        let call = if is_next { calls.pop() } else { None };
        Held { fare: call.map_or(Fare::Shared, Fare::Call), ..held }
    })
}

pub(super) fn report(what: &'static str, sink: &SinkName, error: &StoreError, wait: Duration, failures: u32) {
    let error = crate::telemetry::chain(error);
    // The first failures may be a restart; said once in a while after that.
    if failures.is_power_of_two() {
        warn!(sink.name = %sink, error, backoff_ms = wait.as_millis() as u64, "{what}");
    } else {
        debug!(sink.name = %sink, error, backoff_ms = wait.as_millis() as u64, "{what}");
    }
}
