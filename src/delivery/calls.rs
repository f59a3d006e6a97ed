//! A sink's call budget in this process: reserves calls in the shared rows before deliveries are claimed.
//!
//! A reservation counts as spent from the moment it is written, so a process that dies owes nothing to anybody. What
//! was reserved and not made, what answers told, and calls beyond the reservation are noted here and written with the
//! next reservation: no statement of their own. Only a refusal is written at once, because other processes must hear.
//!
//! Reading and writing are two statements with the decision ([`Ledger`]) between them and no lock meanwhile: the write
//! names the revision it has read, and whoever comes second reads again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tracing::info;

use super::budget::{Ask, Class, HOLD, Ledger, Limit, missing};
use crate::{
    clock::{BootInstant, Clock},
    config::{Counted, SinkSettings},
    domain::{
        ids::SinkName,
        limits::{LearnedLimit, Told, Window},
    },
    store::{self, StoreError, budgets::Counter},
};

/// The budget of one sink.
#[derive(Debug)]
pub struct Budget {
    limits: Vec<Limit>,
    pool: PgPool,
    clock: Clock,
    noted: Mutex<Vec<Note>>,
}

/// What is to be written with the next reservation.
#[derive(Debug)]
enum Note {
    Returned { lane: String, class: Class, reserved_at: DateTime<Utc> },
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
}

impl Call {
    /// Whether it may go out still. The log lets it go as if it had gone out in time.
    pub fn is_fresh(&self) -> bool {
        !self.goes_out_by.remaining().is_zero()
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
            let lane = std::mem::take(&mut self.lane);
            self.budget.note(Note::Returned { lane, class: self.class, reserved_at: self.reserved_at });
        }
    }
}

impl Budget {
    /// None: the sink has no limits, and nothing is counted.
    pub fn of(
        sink: &SinkName,
        settings: &SinkSettings,
        lanes: &[String],
        pool: &PgPool,
        clock: &Clock,
    ) -> Option<Arc<Self>> {
        let limits = limits(sink, settings, lanes);
        (!limits.is_empty()).then(|| Self::within(limits, pool, clock))
    }

    pub fn within(limits: Vec<Limit>, pool: &PgPool, clock: &Clock) -> Arc<Self> {
        Arc::new(Self { limits, pool: pool.clone(), clock: clock.clone(), noted: Mutex::default() })
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
        loop {
            // Taken before the time that the calls will be dated with.
            let goes_out_by = BootInstant::now() + HOLD;
            let (now, counters) = store::budgets::load(&self.pool, &scopes, self.clock.offset_ms()).await?;
            let absent = missing(limits, &counters, now);
            if !absent.is_empty() {
                store::budgets::create(&self.pool, &absent).await?;
                continue;
            }
            let mut ledger = Ledger::open(limits, &counters, now);
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
            tell_what_is_used_up(&changed, &counters);
            let call_of = |ask: &Ask| Call {
                budget: Arc::clone(self),
                lane: ask.lane.clone(),
                class: ask.class,
                reserved_at: now,
                goes_out_by,
                spent: AtomicBool::new(false),
            };
            return Ok(Reserved {
                calls: asks.iter().zip(granted).map(|(ask, n)| (0..n).map(|_| call_of(ask)).collect()).collect(),
                opens_in,
            });
        }
    }

    fn enter(&self, ledger: &mut Ledger, notes: &[Note]) {
        for note in notes {
            match note {
                Note::Returned { lane, class, reserved_at } => ledger.give_back(lane, *class, *reserved_at, 1),
                Note::Made { lane, calls } => ledger.count(lane, Class::New, *calls),
                Note::Heard { lane, learned, at } => {
                    ledger.learn(lane, *learned, self.clock.elapsed().saturating_sub(*at));
                }
            }
        }
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

/// For the diary: a day or a month that is used up. Shorter windows come and go.
fn tell_what_is_used_up(now: &[Counter], before: &[Counter]) {
    for counter in now.iter().filter(|counter| counter.window >= Window::Day) {
        let Some(full_until) = counter.full_until else { continue };
        let same = |old: &&Counter| (&old.scope, old.window) == (&counter.scope, counter.window);
        if before.iter().find(same).is_none_or(|old| old.full_until.is_none_or(|until| until < full_until)) {
            info!(budget.scope = counter.scope, budget.window = %counter.window, %full_until, "call budget used up");
        }
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
