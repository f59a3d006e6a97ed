//! A sink's call budget in this process: reserves calls in the shared rows before deliveries are claimed.
//!
//! Where a limit spaces calls, a reserved call waits for its turn right before the first byte. It has one turn: a second
//! request, and one that missed its turn, need a call of their own.
//!
//! A reservation counts as spent from the moment it is written, so a process that dies owes nothing to anybody. What
//! was reserved and not made, what answers told, and calls beyond the reservation are noted here and written with the
//! next reservation: no statement of their own. Only a refusal is written at once, because other processes must hear.
//!
//! Reading and writing are two statements with the decision ([`Ledger`]) between them and no lock meanwhile: the write
//! names the revision it has read, and whoever comes second reads again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use tracing::{info, warn};

use super::{
    budget::{Ask, Class, Granted, HOLD, Ledger, Limit, missing},
    turns::{Turn, Turns},
};
use crate::{
    clock::{BootInstant, Clock},
    config::{Counted, SinkSettings},
    domain::{
        ids::SinkName,
        limits::{LearnedLimit, Told, Window},
        pace::{self, Slot},
    },
    store::{self, StoreError, budgets::Counter, line::Line},
    telemetry::chain,
};

/// Cause of the alert about a day or a month whose calls are used up.
const USED_UP: &str = "budget_used_up";
/// How often the time is asked for again because the answer took long.
const SLOW_READS: u32 = 2;

/// The budget of one sink.
#[derive(Debug)]
pub struct Budget {
    limits: Vec<Limit>,
    pool: Line,
    clock: Clock,
    noted: Mutex<Vec<Note>>,
    turns: Turns,
    /// Turns that were missed in a row: as often the time to prepare is doubled.
    missed: AtomicU32,
    /// Subjects of alerts about days and months, and whether those are used up, as far as this process knows.
    used_up: Mutex<BTreeMap<String, bool>>,
}

/// What is to be written with the next reservation.
#[derive(Debug)]
enum Note {
    Returned { lane: String, class: Class, reserved_at: DateTime<Utc>, slot: Option<Slot> },
    Made { lane: String, calls: u32 },
    Heard { lane: String, learned: LearnedLimit, at: Duration },
}

impl Note {
    fn lane(&self) -> &str {
        match self {
            Self::Returned { lane, .. } | Self::Made { lane, .. } | Self::Heard { lane, .. } => lane,
        }
    }
}

/// What a reservation brought.
#[derive(Debug)]
pub struct Reserved {
    /// Per ask.
    pub calls: Vec<Vec<Call>>,
    /// Per ask: when there is more; none: now.
    pub opens_in: Vec<Option<Duration>>,
}

/// One reserved call. Dropped unspent, it is given back.
#[derive(Debug)]
pub struct Call {
    budget: Arc<Budget>,
    lane: String,
    class: Class,
    reserved_at: DateTime<Utc>,
    goes_out_by: BootInstant,
    spent: AtomicBool,
    place: Mutex<Place>,
}

/// A call's turn.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Nothing spaces calls: it is always its turn.
    Free,
    /// One of those in [`Budget::turns`].
    Queued,
    Taken(Turn),
    /// Over, used or not.
    Over,
}

impl Call {
    /// Whether it may go out still. The log lets it go as if it had gone out in time.
    pub fn is_fresh(&self) -> bool {
        !self.goes_out_by.remaining().is_zero()
    }

    /// Waits until its turn is near, for what is best done late.
    pub async fn approach(&self) {
        if let Some(turn) = self.next_turn() {
            self.budget.clock.sleep_until(turn.opens.saturating_sub(pace::PREPARE)).await;
        }
    }

    /// Waits for its turn, at the longest for [`pace::AHEAD`] and the time to prepare. To be called right before the first
    /// byte; false: nothing may be sent, because it was missed or used.
    pub async fn is_its_turn(&self) -> bool {
        if matches!(*self.place(), Place::Free) {
            return true;
        }
        while let Some(turn) = self.next_turn() {
            self.budget.clock.sleep_until(turn.opens).await;
            let in_time = self.budget.clock.elapsed() <= turn.closes;
            *self.place() = if in_time { Place::Over } else { Place::Queued };
            if in_time {
                self.budget.missed.store(0, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    fn next_turn(&self) -> Option<Turn> {
        let mut place = self.place();
        match *place {
            Place::Free | Place::Over => None,
            Place::Taken(turn) => Some(turn),
            Place::Queued => {
                let turn = self.budget.turns.take(&self.lane, self.budget.clock.elapsed());
                if turn.is_none() {
                    self.budget.missed.fetch_add(1, Ordering::Relaxed);
                }
                *place = turn.map_or(Place::Over, Place::Taken);
                turn
            }
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called right before each request. From the second on they were not reserved, and count all the same.
    pub fn spend(&self) {
        if self.spent.swap(true, Ordering::Relaxed) {
            self.budget.note(Note::Made { lane: self.lane.clone(), calls: 1 });
        }
    }

    /// Takes note of what the answer told, and of calls made beside the reserved one. A refusal is written at once.
    pub async fn answered(&self, learned: &[LearnedLimit], calls_beside: u32) -> Result<(), StoreError> {
        if calls_beside > 0 {
            self.budget.note(Note::Made { lane: self.lane.clone(), calls: calls_beside });
        }
        let at = self.budget.clock.elapsed();
        for learned in learned {
            self.budget.note(Note::Heard { lane: self.lane.clone(), learned: *learned, at });
        }
        if learned.iter().any(|learned| matches!(learned.told, Told::Refused { .. })) {
            self.budget.write_notes().await?;
        }
        Ok(())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !*self.spent.get_mut() {
            let turn = match *self.place() {
                Place::Free | Place::Over => None,
                Place::Queued => self.budget.turns.give_up(&self.lane),
                Place::Taken(turn) => Some(turn),
            };
            let (lane, slot) = (std::mem::take(&mut self.lane), turn.map(|turn| turn.slot));
            self.budget.note(Note::Returned { lane, class: self.class, reserved_at: self.reserved_at, slot });
        }
    }
}

impl Budget {
    /// None: the sink has no limits, and nothing is counted.
    pub fn of(
        sink: &SinkName,
        settings: &SinkSettings,
        lanes: &[String],
        pool: &Line,
        clock: &Clock,
    ) -> Option<Arc<Self>> {
        let limits = limits(sink, settings, lanes);
        (!limits.is_empty()).then(|| Self::within(limits, pool, clock))
    }

    pub fn within(limits: Vec<Limit>, pool: &Line, clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            limits,
            pool: pool.clone(),
            clock: clock.clone(),
            noted: Mutex::default(),
            turns: Turns::default(),
            missed: AtomicU32::default(),
            used_up: Mutex::default(),
        })
    }

    /// Reserves as many of these calls as there is room for, together up to `most`.
    pub async fn reserve(self: &Arc<Self>, asks: &[Ask], most: u32) -> Result<Reserved, StoreError> {
        let notes = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        if notes.is_empty() && asks.is_empty() {
            return Ok(Reserved { calls: Vec::new(), opens_in: Vec::new() });
        }
        let limits = self.limits_of(asks.iter().map(|ask| ask.lane.as_str()).chain(notes.iter().map(Note::lane)));
        let written = self.try_reserve(&limits, asks, most, &notes).await;
        if written.is_err() {
            // It may have been written all the same: what only makes less of the budget is noted again.
            let kept = notes.into_iter().filter(|note| !matches!(note, Note::Returned { .. }));
            self.noted.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
        }
        written
    }

    /// Writes what was noted and not written yet.
    pub async fn write_notes(self: &Arc<Self>) -> Result<(), StoreError> {
        self.reserve(&[], 0).await.map(drop)
    }

    async fn try_reserve(
        self: &Arc<Self>,
        limits: &[Limit],
        asks: &[Ask],
        most: u32,
        notes: &[Note],
    ) -> Result<Reserved, StoreError> {
        let mut scopes: Vec<String> = limits.iter().map(|limit| limit.scope.clone()).collect();
        scopes.dedup();
        let is_paced = limits.iter().any(|limit| limit.window == Window::Second);
        let mut slow_reads = 0;
        loop {
            // Taken before the time that the calls will be dated with.
            let asked_at = BootInstant::now();
            let goes_out_by = asked_at + HOLD;
            let (now, counters) = store::budgets::load(&self.pool, &scopes, self.clock.offset_ms()).await?;
            // Slots are counted from here. How long the answer was on its way is not known, so a quick one is waited for.
            let read_at = self.clock.elapsed();
            if is_paced && asked_at.elapsed() > pace::TRAVEL && slow_reads < SLOW_READS {
                slow_reads += 1;
                continue;
            }
            let absent = missing(limits, &counters, now);
            if !absent.is_empty() {
                store::budgets::create(&self.pool, &absent).await?;
                continue;
            }
            let mut ledger = Ledger::open(limits, &counters, now).prepared_within(self.prepare());
            self.enter(&mut ledger, notes);
            let granted = ledger.take(asks, most);
            let opens_in = |ask: &Ask| {
                let opens_at = ledger.opens_at(&ask.lane, ask.class)?;
                Some((opens_at - now).to_std().unwrap_or_default())
            };
            let opens_in = asks.iter().map(opens_in).collect();
            let changed = ledger.close();
            if !store::budgets::save(&self.pool, &changed.iter().collect::<Vec<_>>()).await? {
                continue;
            }
            self.tell_what_is_used_up(&changed, &counters).await;
            let until = |at: DateTime<Utc>| read_at + (at - now).to_std().unwrap_or_default();
            let calls_of = |(ask, granted): (&Ask, Granted)| {
                let turn = |slot: &Slot| Turn { slot: *slot, opens: until(slot.opens), closes: until(slot.closes) };
                self.turns.add(&ask.lane, granted.slots.iter().map(turn));
                let place = if granted.slots.is_empty() { Place::Free } else { Place::Queued };
                let call = |_| Call {
                    budget: Arc::clone(self),
                    lane: ask.lane.clone(),
                    class: ask.class,
                    reserved_at: now,
                    goes_out_by,
                    spent: AtomicBool::new(false),
                    place: Mutex::new(place),
                };
                (0..granted.calls).map(call).collect()
            };
            return Ok(Reserved { calls: asks.iter().zip(granted).map(calls_of).collect(), opens_in });
        }
    }

    fn enter(&self, ledger: &mut Ledger, notes: &[Note]) {
        let mut slots = Vec::new();
        for note in notes {
            match note {
                Note::Returned { lane, class, reserved_at, slot } => {
                    ledger.give_back(lane, *class, *reserved_at, 1);
                    slots.extend(slot.map(|slot| (slot, lane)));
                }
                Note::Made { lane, calls } => ledger.count(lane, Class::New, *calls),
                Note::Heard { lane, learned, at } => {
                    ledger.learn(lane, *learned, self.clock.elapsed().saturating_sub(*at));
                }
            }
        }
        // The last one first: each makes the one before it the last.
        slots.sort_unstable_by_key(|(slot, _)| std::cmp::Reverse(slot.opens));
        for (slot, lane) in slots {
            ledger.give_back_slot(lane, slot);
        }
    }

    /// A day or a month that is used up is told to a person until calls go through again; shorter windows come and go. One that
    /// opens is tried first: it may be found used up still.
    async fn tell_what_is_used_up(&self, now: &[Counter], before: &[Counter]) {
        for counter in now.iter().filter(|counter| counter.window >= Window::Day) {
            let same = |old: &&Counter| (&old.scope, old.window) == (&counter.scope, counter.window);
            let was_full_until = before.iter().find(same).and_then(|old| old.full_until);
            let subject = format!("{}/{}", counter.scope.trim_start_matches("sink:"), counter.window);
            let told = match (was_full_until, counter.full_until) {
                (was, Some(until)) => {
                    self.used_up().insert(subject.clone(), true);
                    if was.is_some_and(|was| was >= until) {
                        continue;
                    }
                    info!(budget.scope = counter.scope, budget.window = %counter.window, full_until = %until, "call budget used up");
                    let detail = format!(
                        "the calls of this {} are used up: orders wait for `budget` until {}, or until it is found open before",
                        counter.window,
                        until.format("%Y-%m-%dT%H:%M:%SZ")
                    );
                    store::alerts::raise(&self.pool, USED_UP, &subject, &detail).await
                }
                (None, None) if self.used_up().insert(subject.clone(), false) != Some(false) => {
                    store::alerts::resolve(&self.pool, USED_UP, &subject).await
                }
                (_, None) => continue,
            };
            if let Err(error) = told {
                // Told with the next one.
                self.used_up().remove(&subject);
                warn!(budget.scope = counter.scope, error = chain(&error), "used-up budget not told");
            }
        }
    }

    fn used_up(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.used_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self) -> Duration {
        let missed = self.missed.load(Ordering::Relaxed).min(8);
        (pace::PREPARE * (1 << missed)).min(pace::LONGEST_PREPARE)
    }

    fn note(&self, note: Note) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    fn limits_of<'a>(&self, lanes: impl Iterator<Item = &'a str>) -> Vec<Limit> {
        let lanes: Vec<&str> = lanes.collect();
        let counts = |limit: &&Limit| limit.lane.as_deref().is_none_or(|lane| lanes.contains(&lane));
        self.limits.iter().filter(counts).cloned().collect()
    }
}

/// A sink's limits by scope, with the day that a month's limit lends a share.
fn limits(sink: &SinkName, settings: &SinkSettings, lanes: &[String]) -> Vec<Limit> {
    let (counted, windows) = settings.call_limits();
    let mut windows: Vec<(Window, Option<u32>)> = windows.into_iter().map(|(window, n)| (window, Some(n))).collect();
    let has = |wanted| windows.iter().any(|(window, _)| *window == wanted);
    if has(Window::Month) && !has(Window::Day) {
        windows.push((Window::Day, None));
    }
    let of = |scope: String, lane: Option<String>| -> Vec<Limit> {
        let limit = |&(window, max_calls)| Limit { scope: scope.clone(), lane: lane.clone(), window, max_calls };
        windows.iter().map(limit).collect()
    };
    match counted {
        Counted::PerSink => of(format!("sink:{sink}"), None),
        Counted::PerLane => {
            lanes.iter().flat_map(|lane| of(format!("sink:{sink}/{lane}"), Some(lane.clone()))).collect()
        }
    }
}
