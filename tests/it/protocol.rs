//! The protocol of leases and deliveries as a small model, whose every reachable state is looked at: two workers, one order
//! with a few versions, a destination, and any few faults in any order. What happens next is decided by the code itself
//! ([`decide`], [`decide_finding`], [`judge`], [`sent_after`], [`may_be_repeated`]); what the statements `deliveries.claim`,
//! `.write_intents`, `.extend` and `.settle` do to a row is told here in [`Row`], and the statements have tests of their own.
//!
//! Time is only what it rules out, each as the code has it:
//! - A request that is sent under a lease has arrived, or never will, before that lease is over (`LEASE_MARGIN`), before what a
//!   lost answer asks for as `not_before` is over, and before its absence proves anything (`absence_proven_after`).
//! - A worker whose lease is over sends nothing more: its deadline was taken before the claim.
//!
//! A person who is asked looks first, and says what is true.

use std::{collections::BTreeSet, time::Duration};

use chrono::DateTime;
use scoffable_sync::{
    config::SinkCommon,
    delivery::{
        decide::{Decision, Policy, Sending, Tried, decide, decide_finding},
        doubt::may_be_repeated,
        rules::{Reached, judge, sent_after},
    },
    domain::{
        delivery::{DeliveryKey, Outcome, PendingStep, Plan, Progress, Reason, Receipt, Repeat, Sent, State, Step},
        ids::{OrderId, OrderKey, SinkName, SourceName, Version},
    },
    sinks::{Answer, Finding, Sink, View},
    store::deliveries::{Claimed, Next, Snapshot},
};
use stateright::{Checker, Model, Property};
use uuid::Uuid;

/// What the model is asked about.
#[derive(Debug, Clone)]
struct Protocol {
    repeat: Repeat,
    /// Whether a look-up sees what stands there. If not, it proves nothing.
    sees: bool,
    n_versions: u8,
    /// Whether the last of them is a cancellation.
    cancels: bool,
    n_faults: u8,
    rules: SinkCommon,
}

/// A delivery's row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Row {
    state: State,
    wanted: u8,
    applied: Option<u8>,
    sent: Option<u8>,
    /// The version whose effect the receipt says stands.
    receipt: Option<u8>,
    pending: Option<Written>,
    lease: Option<Lease>,
    /// Whether it comes due by itself.
    scheduled: bool,
    /// The destination's wish, or the grace for a request that may still be under way.
    not_before: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Written {
    version: u8,
    sent_by: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Lease {
    token: u8,
    is_over: bool,
}

/// What a claim read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Held {
    token: u8,
    version: u8,
    applied: Option<u8>,
    sent: Option<u8>,
    receipt: Option<u8>,
    pending: Option<Written>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Worker {
    Idle,
    Claimed(Held),
    /// Its step is written down, or need not be.
    MaySend(Held, Way),
    Waits(Held, Way),
    Heard(Held, Way, Word),
    Looked(Held, Seen),
}

/// Which version goes out, and whether it did before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Way {
    version: u8,
    again: bool,
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Word {
    Done,
    Nothing,
    /// 500: nothing happened, which nobody can know.
    Failed,
    /// 429
    NotNow,
    /// 422
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    Stands,
    NotThere { is_proof: bool },
    Failed,
}

/// A request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Request {
    version: u8,
    token: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    row: Row,
    workers: [Worker; 2],
    air: Vec<Request>,
    /// Effects, in their order.
    there: Vec<u8>,
    faults: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Event {
    VersionArrives,
    Claim(usize),
    /// Plans; writes the step down where it has to be.
    Prepare(usize),
    Send(usize),
    LookUp(usize, Seen),
    Settle(usize),
    Arrives(usize),
    PersonLooks,
    // Faults:
    LeaseRunsOut,
    NeverArrives(usize),
    Answered(usize, Word),
    GivesUpWaiting(usize),
    Dies(usize),
}

impl Event {
    fn is_fault(self) -> bool {
        match self {
            Self::LeaseRunsOut
            | Self::NeverArrives(_)
            | Self::Answered(..)
            | Self::GivesUpWaiting(_)
            | Self::Dies(_) => true,
            Self::LookUp(_, seen) => seen == Seen::Failed,
            _ => false,
        }
    }
}

/// A destination whose plan the model makes itself.
struct Paper;

impl Sink for Paper {
    fn kind(&self) -> &'static str {
        "paper"
    }

    fn plan(&self, _view: &View<'_>) -> Plan {
        unreachable!("the model plans")
    }

    fn send<'a>(&'a self, _step: &'a Step, _now: DateTime<chrono::Utc>) -> futures::future::BoxFuture<'a, Answer> {
        unreachable!("the model sends")
    }
}

impl Protocol {
    fn of(repeat: Repeat, sees: bool, cancels: bool, n_versions: u8, n_faults: u8) -> Self {
        Self { repeat, sees, n_versions, cancels, n_faults, rules: SinkCommon::default() }
    }

    fn policy(&self) -> Policy<'_> {
        const READ_BACK: &[Duration] = &[Duration::from_secs(10)];
        Policy { rules: &self.rules, read_back: READ_BACK, absence_proven_after: self.sees.then_some(PROVEN) }
    }

    fn status(&self, version: u8) -> &'static str {
        if self.cancels && version == self.n_versions { "cancelled" } else { "accepted" }
    }

    fn tried(&self, again: bool) -> Tried {
        let sending = if again { Sending::Again } else { Sending::First };
        Tried { number: 1, failing_for: None, refused_for: None, repeat: self.repeat, completes: true, sending }
    }

    fn step(&self, version: u8) -> Step {
        Step {
            name: "post".to_owned(),
            key: version.to_string(),
            body: String::new(),
            repeat: self.repeat,
            completes: true,
            receipt: None,
        }
    }

    /// Whether the step that was written down goes out again instead of being looked up.
    fn repeats(&self, written: Written) -> bool {
        let step = self.step(written.version);
        let pending = PendingStep { step, version: version(written.version), group: None };
        may_be_repeated(&pending, Duration::ZERO, self.rules.request_timeout)
    }

    /// What the rules say before a plan is made.
    fn judged(&self, held: &Held) -> Option<Plan> {
        let snapshot = Snapshot {
            version: version(held.version),
            status: self.status(held.version).to_owned(),
            vendor_id: None,
            order_type: None,
            age: Duration::ZERO,
            owed_for: Duration::ZERO,
            source_kind: "scoffable".to_owned(),
            content_hash: Vec::new(),
            payload: None,
        };
        let order = OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new("1".to_owned()) };
        let claimed = Claimed {
            key: DeliveryKey { sink: SinkName::parse("paper").unwrap(), order },
            lane: String::new(),
            token: Uuid::nil(),
            attempt: 1,
            wanted: version(held.version),
            progress: held.progress(),
            receipt: None,
            external_id: None,
            pending: None,
            after_loss: false,
            failing_for: None,
            refused_for: None,
            snapshot: None,
            all_walked: false,
            claimed_at: DateTime::UNIX_EPOCH,
            dependency: None,
            is_backfill: false,
            active_since: DateTime::UNIX_EPOCH,
            summarised: None,
        };
        judge(&self.rules, &Paper, &claimed, &snapshot)
    }
}

/// Beyond every look of the schedule.
const PROVEN: Duration = Duration::from_mins(1);

fn version(number: u8) -> Version {
    Version(number.into())
}

fn number(version: Version) -> u8 {
    version.0.try_into().unwrap()
}

impl Held {
    fn progress(&self) -> Progress {
        Progress { applied: self.applied.map(version), sent: self.sent.map(version) }
    }
}

impl Word {
    fn outcome(self) -> Outcome {
        match self {
            Self::Done => Outcome::Delivered(Receipt::default()),
            Self::Nothing => Outcome::Unknown { reason: Reason::Timeout },
            Self::Failed => Outcome::Retry { reason: Reason::ServerError, sent: Sent::Possibly, not_before: None },
            Self::NotNow => Outcome::Throttled { not_before: None },
            Self::Never => Outcome::Reject { reason: Reason::Unprocessable },
        }
    }
}

impl Row {
    fn is_due(&self, air: &[Request]) -> bool {
        let is_free = self.lease.is_none_or(|lease| lease.is_over);
        match self.state {
            State::Pending | State::InDoubt => self.scheduled && is_free && (air.is_empty() || !self.not_before),
            State::InFlight => is_free,
            State::Applied | State::Skipped | State::Parked => false,
        }
    }

    fn is_leased_by(&self, token: u8) -> bool {
        self.lease.is_some_and(|lease| lease.token == token)
    }

    fn may_send(&self, token: u8) -> bool {
        self.lease == Some(Lease { token, is_over: false })
    }

    /// `ingest`: a newer version raises the number, and wakes what rests.
    fn raised(&mut self) {
        self.wanted += 1;
        if matches!(self.state, State::Applied | State::Skipped | State::Parked) {
            (self.state, self.scheduled) = (State::Pending, true);
        }
    }

    /// `deliveries.claim`
    fn claimed(&mut self, token: u8) -> Held {
        let held = Held {
            token,
            version: self.wanted,
            applied: self.applied,
            sent: self.sent,
            receipt: self.receipt,
            pending: self.pending,
        };
        self.state = State::InFlight;
        self.lease = Some(Lease { token, is_over: false });
        self.not_before = false;
        if self.pending.is_none() {
            self.sent = Some(self.wanted);
        }
        held
    }

    /// `deliveries.write_intents`, and `deliveries.extend` for what was written before.
    fn written(&mut self, token: u8, version: u8) -> bool {
        let is_free = self.pending.is_none_or(|written| written.version == version);
        let holds = self.is_leased_by(token) && is_free;
        if holds {
            self.pending = Some(Written { version, sent_by: token });
            self.lease = Some(Lease { token, is_over: false });
        }
        holds
    }

    /// `deliveries.settle`
    fn settled(&mut self, token: u8, version: u8, sent: Option<u8>, receipt: Option<u8>, next: &Next) {
        if !self.is_leased_by(token) && self.pending.is_none_or(|written| written.sent_by != token) {
            return;
        }
        let is_outdated = self.wanted > version;
        let is_cured = match next {
            Next::Applied | Next::Skipped { .. } => true,
            Next::Parked { curable, .. } => *curable,
            Next::Pending { .. } | Next::InDoubt { .. } => false,
        };
        self.state = if is_outdated && is_cured { State::Pending } else { next.state() };
        if *next == Next::Applied {
            self.applied = Some(version);
        }
        self.sent = sent;
        self.receipt = receipt.or(self.receipt);
        if self.state != State::InDoubt {
            self.pending = None;
        }
        self.scheduled = match next {
            Next::InDoubt { look_up_in, .. } => look_up_in.is_some(),
            _ => self.state == State::Pending,
        };
        self.not_before = matches!(next, Next::Pending { not_before: Some(_), .. });
        self.lease = None;
    }
}

impl Worker {
    fn held(&self) -> Option<&Held> {
        match self {
            Self::Idle => None,
            Self::Claimed(held)
            | Self::MaySend(held, _)
            | Self::Waits(held, _)
            | Self::Heard(held, ..)
            | Self::Looked(held, _) => Some(held),
        }
    }

    fn token(&self) -> Option<u8> {
        Some(self.held()?.token)
    }
}

impl World {
    /// One that nothing bears any more is as good as a new one, and there are only so many states.
    fn unused_token(&self) -> u8 {
        let written = self.row.pending.map(|written| written.sent_by);
        let read = self.workers.iter().filter_map(|worker| worker.held()?.pending.map(|written| written.sent_by));
        let borne = self.workers.iter().filter_map(Worker::token).chain(self.air.iter().map(|request| request.token));
        let used: BTreeSet<u8> =
            borne.chain(read).chain(written).chain(self.row.lease.map(|lease| lease.token)).collect();
        (0..u8::MAX).find(|token| !used.contains(token)).expect("few are in use")
    }

    fn is_at_rest(&self) -> bool {
        self.air.is_empty() && self.workers.iter().all(|worker| *worker == Worker::Idle)
    }

    /// What is under way for a worker.
    fn request_of(&self, held: &Held) -> Option<usize> {
        self.air.iter().position(|request| request.token == held.token)
    }

    /// What `deliveries.settle` is called with for a decision.
    fn conclude(&mut self, held: &Held, version: u8, decision: &Decision) {
        let receipt = (decision.reached == Reached::Yes).then_some(version);
        let sent = sent_after(held.progress(), decision.reached, Version(version.into())).sent.map(number);
        self.row.settled(held.token, version, sent, receipt, &decision.next);
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let row = Row {
            state: State::Pending,
            wanted: 1,
            applied: None,
            sent: None,
            receipt: None,
            pending: None,
            lease: None,
            scheduled: true,
            not_before: false,
        };
        let workers = [Worker::Idle, Worker::Idle];
        vec![World { row, workers, air: Vec::new(), there: Vec::new(), faults: self.n_faults }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        let row = &world.row;
        if row.wanted < self.n_versions {
            events.push(Event::VersionArrives);
        }
        // The workers are alike: where both are idle, the first one claims.
        let claims = world.workers.iter().position(|worker| *worker == Worker::Idle);
        if let Some(idle) = claims.filter(|_| row.is_due(&world.air)) {
            events.push(Event::Claim(idle));
        }
        for (n, worker) in world.workers.iter().enumerate() {
            match worker {
                Worker::Idle => {}
                Worker::Claimed(Held { pending: Some(written), .. }) if !self.repeats(*written) => {
                    let is_seen = self.sees && world.there.contains(&written.version);
                    let late = [false, true].map(|is_proof| Seen::NotThere { is_proof });
                    match is_seen {
                        true => events.push(Event::LookUp(n, Seen::Stands)),
                        // It proves something only once everything must have arrived.
                        false if world.air.is_empty() => events.extend(late.map(|seen| Event::LookUp(n, seen))),
                        false => events.push(Event::LookUp(n, late[0])),
                    }
                    events.push(Event::LookUp(n, Seen::Failed));
                }
                Worker::Claimed(_) => events.push(Event::Prepare(n)),
                Worker::MaySend(..) => events.push(Event::Send(n)),
                Worker::Waits(held, _) => {
                    events.push(Event::GivesUpWaiting(n));
                    if world.request_of(held).is_some() {
                        events.extend([Word::Failed, Word::NotNow, Word::Never].map(|word| Event::Answered(n, word)));
                    }
                }
                Worker::Heard(..) | Worker::Looked(..) => events.push(Event::Settle(n)),
            }
            if *worker != Worker::Idle {
                events.push(Event::Dies(n));
            }
        }
        for n in 0..world.air.len() {
            events.extend([Event::Arrives(n), Event::NeverArrives(n)]);
        }
        let is_in_time = |lease: &Lease| !lease.is_over && world.air.iter().all(|request| request.token != lease.token);
        let holder_is_gone = |lease: &Lease| world.workers.iter().all(|worker| worker.token() != Some(lease.token));
        let running = row.lease.filter(is_in_time);
        if running.is_some() {
            events.push(Event::LeaseRunsOut);
        }
        if row.state == State::InDoubt && !row.scheduled && row.lease.is_none() && world.air.is_empty() {
            events.push(Event::PersonLooks);
        }
        // That a dead worker's lease runs out is no fault of its own.
        let is_free =
            |event: &Event| *event == Event::LeaseRunsOut && running.is_some_and(|lease| holder_is_gone(&lease));
        events.retain(|event| world.faults > 0 || !event.is_fault() || is_free(event) || is_consequence(world, *event));
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        let idle = |world: &mut World, n: usize| std::mem::replace(&mut world.workers[n], Worker::Idle);
        match event {
            Event::VersionArrives => world.row.raised(),
            Event::Claim(n) => {
                let token = world.unused_token();
                world.workers[n] = Worker::Claimed(world.row.claimed(token));
            }
            Event::Prepare(n) => {
                let Worker::Claimed(held) = idle(&mut world, n) else { return None };
                world.prepare(self, n, held);
            }
            Event::Send(n) => {
                let Worker::MaySend(held, way) = idle(&mut world, n) else { return None };
                if world.row.may_send(held.token) {
                    world.air.push(Request { version: way.version, token: held.token });
                    world.workers[n] = Worker::Waits(held, way);
                }
            }
            Event::LookUp(n, seen) => {
                let Worker::Claimed(held) = idle(&mut world, n) else { return None };
                world.workers[n] = Worker::Looked(held, seen);
            }
            Event::Settle(n) => match idle(&mut world, n) {
                Worker::Heard(held, way, word) => {
                    let decision = decide(self.policy(), self.tried(way.again), &word.outcome());
                    world.conclude(&held, way.version, &decision);
                }
                Worker::Looked(held, seen) => {
                    let step = held.pending?;
                    let (since, finding) = match seen {
                        Seen::Stands => (Duration::ZERO, Finding::Stands(Receipt::default())),
                        Seen::NotThere { is_proof: false } => (Duration::ZERO, Finding::NotFound),
                        Seen::NotThere { is_proof: true } => (PROVEN, Finding::NotFound),
                        Seen::Failed => (Duration::ZERO, Finding::Failed(Word::Nothing.outcome().into())),
                    };
                    let decision = decide_finding(self.policy(), self.tried(true), since, &finding);
                    world.conclude(&held, step.version, &decision);
                }
                _ => return None,
            },
            Event::Arrives(at) => {
                let request = world.air.remove(at);
                // A destination that takes repeats has one effect of a key.
                let is_known = self.repeat != Repeat::Never && world.there.contains(&request.version);
                if !is_known {
                    world.there.push(request.version);
                }
                let waiting = world
                    .workers
                    .iter_mut()
                    .find(|worker| matches!(worker, Worker::Waits(held, _) if held.token == request.token));
                if let Some(worker) = waiting
                    && let Worker::Waits(held, way) = worker.clone()
                {
                    *worker = Worker::Heard(held, way, Word::Done);
                }
            }
            Event::NeverArrives(at) => drop(world.air.remove(at)),
            Event::Answered(n, word) => {
                let Worker::Waits(held, way) = idle(&mut world, n) else { return None };
                world.air.remove(world.request_of(&held)?);
                world.workers[n] = Worker::Heard(held, way, word);
            }
            Event::GivesUpWaiting(n) => {
                let Worker::Waits(held, way) = idle(&mut world, n) else { return None };
                world.workers[n] = Worker::Heard(held, way, Word::Nothing);
            }
            Event::Dies(n) => drop(idle(&mut world, n)),
            Event::LeaseRunsOut => world.row.lease.as_mut()?.is_over = true,
            Event::PersonLooks => world.person_looks()?,
        }
        if event.is_fault() && !is_consequence(before, event) {
            world.faults = world.faults.saturating_sub(1);
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("G2: nothing is forgotten", |protocol: &Protocol, world: &World| {
                let row = &world.row;
                match row.state {
                    State::Pending => row.scheduled,
                    State::InFlight => row.lease.is_some(),
                    State::InDoubt => row.pending.is_some(),
                    State::Applied => row.applied == Some(row.wanted),
                    State::Skipped => protocol.status(row.wanted) == "cancelled" && world.there.is_empty(),
                    // Refused, as it was in this history.
                    State::Parked => world.faults < protocol.n_faults,
                }
            }),
            Property::always("G3: no effect twice", |_, world: &World| {
                world.there.iter().enumerate().all(|(n, version)| !world.there[..n].contains(version))
            }),
            Property::always("G4: in order", |_, world: &World| world.there.is_sorted()),
            Property::always("G4: one at a time", |_, world: &World| {
                // A repeat of what stands there changes nothing, however late it comes.
                let may_act = world.air.iter().filter(|request| !world.there.contains(&request.version));
                may_act.map(|request| request.version).collect::<BTreeSet<_>>().len() <= 1
            }),
            Property::always("what counts as applied stands there", |_, world: &World| {
                world.row.receipt.is_none_or(|version| world.there.contains(&version))
            }),
            Property::always(
                "G5, G8: at rest the destination holds what the newest version says",
                |_, world: &World| {
                    let is_settled = world.row.state == State::Applied && world.is_at_rest();
                    !is_settled || world.there.last() == Some(&world.row.wanted)
                },
            ),
            Property::always("G8: nothing stops for good", |protocol: &Protocol, world: &World| {
                let mut events = Vec::new();
                protocol.actions(world, &mut events);
                !events.is_empty() || matches!(world.row.state, State::Applied | State::Skipped | State::Parked)
            }),
            Property::sometimes("all is well without a fault", |protocol: &Protocol, world: &World| {
                world.faults == protocol.n_faults
                    && world.row.applied == Some(protocol.n_versions)
                    && world.is_at_rest()
            }),
            Property::sometimes("all is well after every fault", |protocol: &Protocol, world: &World| {
                world.faults == 0 && world.row.applied == Some(protocol.n_versions) && world.is_at_rest()
            }),
        ]
    }
}

/// A request that is gone is answered by nobody: that costs no other fault.
fn is_consequence(world: &World, event: Event) -> bool {
    let Event::GivesUpWaiting(n) = event else { return false };
    matches!(&world.workers[n], Worker::Waits(held, _) if world.request_of(held).is_none())
}

impl World {
    fn prepare(&mut self, protocol: &Protocol, n: usize, held: Held) {
        if let Some(written) = held.pending {
            // Repeated, under a lease that is prolonged.
            if self.row.written(held.token, written.version) {
                self.workers[n] = Worker::MaySend(held, Way { version: written.version, again: true });
            }
            return;
        }
        if let Some(Plan::Skip { reason, .. }) = protocol.judged(&held) {
            let next = Next::Skipped { reason: reason.as_str() };
            return self.row.settled(held.token, held.version, held.sent, None, &next);
        }
        if held.receipt == Some(held.version) {
            return self.row.settled(held.token, held.version, held.sent, None, &Next::Applied);
        }
        if !protocol.repeat.is_stored() || self.row.written(held.token, held.version) {
            let way = Way { version: held.version, again: false };
            self.workers[n] = Worker::MaySend(held, way);
        }
    }

    /// `deliveries adopt` where it stands there, `deliveries retry` where it does not.
    fn person_looks(&mut self) -> Option<()> {
        let written = self.row.pending.take()?;
        if self.there.contains(&written.version) {
            self.row.receipt = Some(written.version);
            self.row.applied = Some(written.version);
            self.row.sent = self.row.sent.max(Some(written.version));
        } else {
            self.row.sent = self.row.applied;
        }
        let is_done = self.row.applied == Some(self.row.wanted);
        self.row.state = if is_done { State::Applied } else { State::Pending };
        self.row.scheduled = !is_done;
        Some(())
    }
}

/// Looks at every state, and tells what it found.
fn check(protocol: Protocol) {
    let Protocol { repeat, sees, cancels, .. } = protocol;
    let checker = protocol.checker().threads(2).timeout(Duration::from_mins(2)).spawn_bfs().join();
    assert!(checker.is_done(), "there are more states than can be looked at");
    println!("{repeat:?}, seen: {sees}, cancelled: {cancels}: {} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn a_step_that_is_safe_to_repeat_is_brought_once_and_in_order() {
    for cancels in [false, true] {
        check(Protocol::of(Repeat::Safe, false, cancels, 3, 3));
    }
}

#[test]
fn a_step_that_must_not_be_repeated_never_is_whatever_happens() {
    for (sees, cancels) in [(true, false), (true, true), (false, false), (false, true)] {
        check(Protocol::of(Repeat::Never, sees, cancels, 3, 3));
    }
}

#[test]
fn a_step_that_may_be_repeated_once_or_for_a_while_is_settled_by_that() {
    for repeat in [Repeat::Once, Repeat::Within(Duration::from_mins(5))] {
        for sees in [false, true] {
            check(Protocol::of(repeat, sees, true, 3, 3));
        }
    }
}
