//! How many calls may be made now, of whom, and when there will be more. Pure: [`super::calls`] reads and writes the
//! counters.
//!
//! Every window but the month slides: no stretch of its length ever holds more calls than allowed, wherever the other
//! side's own windows begin and end. Calls of a sixtieth of the window are counted together, at the end of it, so a log
//! is short and only ever too late in letting go. A month is the calendar's (UTC), and lends each day a share. A second
//! keeps no log: its calls are spaced, each with a slot in time ([`crate::domain::pace`]).
//!
//! A call is counted when it is reserved, and goes out within [`HOLD`] of that or not at all; the log keeps it that much
//! longer. A clock that steps back refills nothing: what the log dates in the future is dated now.
//!
//! What an answer tells can only lower what is left, until the window begins anew.

use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};

use crate::{
    domain::{
        limits::{LearnedLimit, Told, Window, month_after, month_of},
        pace::{self, Slot},
    },
    store::budgets::{Counter, CounterKey, Entry},
};

/// A reserved call goes out within this time: long enough for a claim on a database that has much to do, short enough
/// to cost a minute's limit no more than a twentieth.
pub const HOLD: Duration = Duration::from_millis(2_500);
/// How much longer than another call one may be on its way to the destination.
const TRAVEL: Duration = Duration::from_millis(500);
/// Calls of one n-th of a window are counted together.
const GRAINS: i32 = 60;
/// What [`Class::is_background`] may use of a day together.
const BACKGROUND_PERCENT: i64 = 70;
/// How long a lower limit of a second is believed after it was told. A second would be too short: the next answer, with
/// which it is told again, may be longer away.
const PACE_LESSON: Duration = Window::Minute.length();
/// Nothing that was learned is believed for longer.
const LONGEST_LESSON: Duration = Window::Month.length();

/// Who calls, most urgent first. A class is served only while more than its floor is left in every window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A new order, with the look-ups and creations it needs; tokens, and the probe of an open breaker.
    New,
    /// A correction of what stands already.
    Correction,
    /// An old order.
    Backfill,
    /// A shared read that orders need soon.
    Pull,
    /// A shared read that can wait: customers.
    SlowPull,
    /// A look at the longest unseen.
    Sweep,
    /// A proof that what stands is right.
    Verification,
}

impl Class {
    pub const ALL: [Self; 7] =
        [Self::New, Self::Correction, Self::Backfill, Self::Pull, Self::SlowPull, Self::Sweep, Self::Verification];

    /// That of a delivery by its `priority`.
    pub fn of(priority: i16) -> Self {
        match priority {
            0 => Self::New,
            1 => Self::Correction,
            _ => Self::Backfill,
        }
    }

    /// Percent of a window that this class leaves to more urgent ones. All but orders leave a tenth and more, so a month
    /// of which 90 % is used is theirs; the last tenth of a day, which does not come back as soon as a minute does, is new
    /// orders' alone. Source: the contract of the Xero sink, limits.
    pub fn floor_percent(self, window: Window) -> i64 {
        match self {
            Self::Correction if window == Window::Day => 10,
            Self::New | Self::Correction => 0,
            Self::Pull => 10,
            Self::SlowPull => 15,
            Self::Backfill | Self::Sweep => 20,
            Self::Verification => 25,
        }
    }

    /// How far ahead it may have slots: it leaves as much of the coming second as of any other window.
    fn books_ahead(self) -> Duration {
        pace::AHEAD * (100 - self.floor_percent(Window::Second)) as u32 / 100
    }

    /// Whether no order waits for it.
    pub fn is_background(self) -> bool {
        match self {
            Self::New | Self::Correction | Self::Backfill => false,
            Self::Pull | Self::SlowPull | Self::Sweep | Self::Verification => true,
        }
    }
}

/// A limit of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// `sink:NAME`, `sink:NAME/LANE`.
    pub scope: String,
    /// The lane whose calls count; none: those of the whole sink.
    pub lane: Option<String>,
    pub window: Window,
    /// None: only counted, as the day that a month lends a share.
    pub max_calls: Option<u32>,
}

impl Limit {
    fn counts(&self, lane: &str) -> bool {
        self.lane.as_deref().is_none_or(|mine| mine == lane)
    }
}

/// Calls that somebody would like to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub lane: String,
    pub class: Class,
    pub calls: u32,
}

/// What an ask got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    pub calls: u32,
    /// One for each call, ascending; empty where nothing spaces them.
    pub slots: Vec<Slot>,
}

/// Rows that do not exist yet, one per limit and present month.
pub fn missing(limits: &[Limit], counters: &[Counter], now: DateTime<Utc>) -> Vec<CounterKey> {
    limits
        .iter()
        .filter_map(|limit| {
            let window_start = match limit.window {
                Window::Month => month_of(now),
                _ => DateTime::UNIX_EPOCH,
            };
            let known = counter_of(limit, counters).is_some_and(|counter| counter.window_start >= window_start);
            let key = CounterKey { scope: limit.scope.clone(), window: limit.window, window_start };
            (!known).then_some(key)
        })
        .collect()
}

fn counter_of<'a>(limit: &Limit, counters: &'a [Counter]) -> Option<&'a Counter> {
    counters.iter().find(|counter| counter.scope == limit.scope && counter.window == limit.window)
}

/// The counters of a sink at one moment.
#[derive(Debug, Clone)]
pub struct Ledger {
    meters: Vec<Meter>,
    now: DateTime<Utc>,
    prepare: Duration,
}

#[derive(Debug, Clone)]
struct Meter {
    limit: Limit,
    counter: Counter,
    touched: bool,
}

impl Meter {
    /// Whether it spaces calls instead of counting them.
    fn is_pace(&self) -> bool {
        self.limit.window == Window::Second
    }
}

impl Ledger {
    /// Limits without a counter are left out: see [`missing`].
    pub fn open(limits: &[Limit], counters: &[Counter], now: DateTime<Utc>) -> Self {
        let meters = limits.iter().filter_map(|limit| {
            let mut counter = counter_of(limit, counters)?.clone();
            // To be written, or it would be dated anew for ever.
            let touched = bring_up_to(&mut counter, now) == Dates::Mended;
            Some(Meter { limit: limit.clone(), counter, touched })
        });
        Self { meters: meters.collect(), now, prepare: pace::PREPARE }
    }

    /// How long a call may need before it is ready to go out.
    #[must_use]
    pub fn prepared_within(self, prepare: Duration) -> Self {
        Self { prepare, ..self }
    }

    /// Grants up to `most` calls one by one, to the more urgent class first, and within a class to each lane in turn.
    pub fn take(&mut self, asks: &[Ask], most: u32) -> Vec<Granted> {
        let mut granted = vec![Granted::default(); asks.len()];
        let mut left = most;
        for class in Class::ALL {
            let mut hungry: Vec<usize> = (0..asks.len()).filter(|at| asks[*at].class == class).collect();
            while !hungry.is_empty() {
                hungry.retain(|at| {
                    let ask = &asks[*at];
                    let more = left > 0 && granted[*at].calls < ask.calls && self.has_room(&ask.lane, class);
                    if more {
                        left -= 1;
                        granted[*at].calls += 1;
                        granted[*at].slots.extend(self.book(&ask.lane));
                        self.log(&ask.lane, class, 1);
                    }
                    more
                });
            }
        }
        granted
    }

    /// Counts calls that were made, whether or not there was room.
    pub fn count(&mut self, lane: &str, class: Class, calls: u32) {
        self.log(lane, class, calls);
        for (at, interval) in self.spaced(lane) {
            let free_at = self.free_at(&self.meters[at]);
            self.free_from(at, pace::crowded(free_at, self.now, interval, calls));
        }
    }

    fn log(&mut self, lane: &str, class: Class, calls: u32) {
        let calls = i64::from(calls);
        let background = if class.is_background() { calls } else { 0 };
        for meter in self.meters.iter_mut().filter(|meter| meter.limit.counts(lane) && !meter.is_pace()) {
            let at = bucket(&meter.counter, self.now);
            let counter = &mut meter.counter;
            match counter.log.last_mut().filter(|last| last.at == at) {
                Some(last) => {
                    last.calls += calls;
                    last.background += background;
                }
                None => counter.log.push(Entry { at, calls, background }),
            }
            if counter.learned_remaining.is_some() {
                counter.learned_spent += calls;
            }
            meter.touched = true;
        }
    }

    /// The next slot, if calls of this lane are spaced: the first that is free wherever they count. A sink spaces its calls
    /// as a whole or by lane; of both, the slower would leave gaps in the other.
    fn book(&mut self, lane: &str) -> Option<Slot> {
        let spaced = self.spaced(lane);
        let free_at = spaced.iter().map(|(at, _)| self.free_at(&self.meters[*at])).max()?;
        let slot = Slot::first(free_at, self.now, self.prepare);
        for (at, interval) in spaced {
            self.free_from(at, slot.next_opens(interval));
        }
        Some(slot)
    }

    /// Takes back a slot that no call went out in, while it is the last one that was booked; else it goes unused.
    pub fn give_back_slot(&mut self, lane: &str, slot: Slot) {
        for (at, interval) in self.spaced(lane) {
            if self.meters[at].counter.next_slot_at == Some(slot.next_opens(interval)) {
                self.free_from(at, slot.opens);
            }
        }
    }

    /// The meters that space calls of this lane, with the interval between slots.
    fn spaced(&self, lane: &str) -> Vec<(usize, Duration)> {
        let spaced = self.meters.iter().enumerate().filter(|(_, meter)| meter.is_pace() && meter.limit.counts(lane));
        spaced.filter_map(|(at, meter)| Some((at, pace::interval(self.max_calls(meter)?)))).collect()
    }

    fn free_at(&self, meter: &Meter) -> DateTime<Utc> {
        meter.counter.next_slot_at.unwrap_or(self.now)
    }

    fn free_from(&mut self, at: usize, free_at: DateTime<Utc>) {
        self.meters[at].counter.next_slot_at = Some(free_at);
        self.meters[at].touched = true;
    }

    /// Takes back calls that were reserved then and not made, where the log still shows them.
    pub fn give_back(&mut self, lane: &str, class: Class, reserved_at: DateTime<Utc>, calls: u32) {
        if reserved_at > self.now {
            return; // the clock stepped back, and the log was dated anew
        }
        let calls = i64::from(calls);
        for meter in self.meters.iter_mut().filter(|meter| meter.limit.counts(lane) && !meter.is_pace()) {
            let at = bucket_of(meter.limit.window, reserved_at);
            let counter = &mut meter.counter;
            let Some(entry) = counter.log.iter_mut().find(|entry| entry.at == at) else { continue };
            let returned = calls.min(entry.calls);
            entry.calls -= returned;
            if class.is_background() {
                entry.background -= returned.min(entry.background);
            }
            counter.log.retain(|entry| entry.calls > 0);
            counter.learned_spent = (counter.learned_spent - returned).max(0);
            meter.touched = true;
        }
    }

    /// Takes note of what an answer told, `ago`. A lane's own window is meant before the sink's.
    pub fn learn(&mut self, lane: &str, learned: LearnedLimit, ago: Duration) {
        let heard_at = self.now - chrono_of(ago);
        let is_meant = |meter: &&mut Meter, window: Option<Window>| {
            meter.limit.counts(lane) && window.is_none_or(|window| meter.limit.window == window)
        };
        let by_lane = |meter: &&mut Meter| (meter.limit.lane.is_some(), meter.limit.window);
        let mut meant = self.meters.iter_mut().filter(|m| is_meant(m, Some(learned.window))).max_by_key(by_lane);
        if meant.is_none() && matches!(learned.told, Told::Refused { .. }) {
            // No limit of ours tells of this window; the refusal holds all the same.
            meant = self.meters.iter_mut().filter(|m| is_meant(m, None)).max_by_key(by_lane);
        }
        let Some(meter) = meant else { return };
        let is_pace = meter.is_pace();
        let counter = &mut meter.counter;
        match learned.told {
            // What is left of a second is over before it is heard of.
            Told::Left { limit, .. } if is_pace => {
                let until = heard_at + PACE_LESSON;
                let Some(limit) = limit.filter(|_| until > self.now) else { return };
                counter.learned_limit = Some(limit.into());
                counter.learned_until = Some(until);
            }
            Told::Refused { wait } => {
                let until = heard_at + chrono_of(wait);
                counter.closed_until = counter.closed_until.max(Some(until)).filter(|until| *until > self.now);
            }
            Told::Left { limit, remaining, resets_in } => {
                let until = match resets_in {
                    Some(resets_in) => heard_at + chrono_of(resets_in),
                    None if learned.window == Window::Month => month_after(heard_at),
                    None => heard_at + chrono_of(learned.window.length()),
                };
                if until <= self.now {
                    return;
                }
                if let Some(limit) = limit.map(i64::from) {
                    counter.learned_limit = Some(limit);
                }
                if let Some(remaining) = remaining.map(i64::from) {
                    // Within one window the number only falls, and calls may be under way that it does not know of. A
                    // higher one is a window that began anew.
                    let left = match counter.learned_remaining {
                        Some(before) if remaining <= before => (before - counter.learned_spent).min(remaining),
                        _ => remaining,
                    };
                    counter.learned_remaining = Some(remaining);
                    counter.learned_spent = remaining - left;
                }
                // A limit alone says nothing of how long the number told before it is true.
                if remaining.is_some() || counter.learned_until.is_none() {
                    counter.learned_until = Some(until);
                }
            }
        }
        meter.touched = true;
    }

    /// When a call of this class may go out; none: now. What other processes give back, and a day's share that grows,
    /// may make it sooner.
    pub fn opens_at(&self, lane: &str, class: Class) -> Option<DateTime<Utc>> {
        let relevant = self.meters.iter().filter(|meter| meter.limit.counts(lane));
        relevant.filter_map(|meter| self.meter_opens_at(meter, class)).max()
    }

    /// The counters that changed, to be written.
    pub fn close(mut self) -> Vec<Counter> {
        for at in 0..self.meters.len() {
            let meter = &self.meters[at];
            let max_calls = self.max_calls(meter);
            let full_until = self.meter_opens_at(meter, Class::New);
            let counter = &mut self.meters[at].counter;
            counter.used = match (counter.next_slot_at, max_calls) {
                (Some(free_at), Some(max_calls)) => pace::booked(free_at, self.now, max_calls),
                _ => used(counter),
            };
            counter.max_calls = max_calls;
            counter.full_until = full_until;
        }
        self.meters.into_iter().filter(|meter| meter.touched).map(|meter| meter.counter).collect()
    }

    fn has_room(&self, lane: &str, class: Class) -> bool {
        self.meters
            .iter()
            .filter(|meter| meter.limit.counts(lane))
            .all(|meter| self.lacking(meter, class) == Lack::NONE)
    }

    /// Most calls the window may hold; none: it is only counted.
    fn max_calls(&self, meter: &Meter) -> Option<i64> {
        let set = meter.limit.max_calls.map(i64::from);
        let share = if meter.limit.window == Window::Day { self.day_share(meter) } else { None };
        [set, meter.counter.learned_limit, share].into_iter().flatten().min()
    }

    /// What the month of the same scope lends the present day.
    fn day_share(&self, day: &Meter) -> Option<i64> {
        let is_month = |meter: &&Meter| meter.limit.window == Window::Month && meter.limit.scope == day.limit.scope;
        let month = self.meters.iter().find(is_month)?;
        let allowed = self.max_calls(month)?;
        Some(day_allowance(allowed, used(&month.counter), self.now))
    }

    /// What stands in the way of one more call.
    fn lacking(&self, meter: &Meter, class: Class) -> Lack {
        let counter = &meter.counter;
        if meter.is_pace() {
            let is_far = self.free_at(meter) > self.now + class.books_ahead();
            return Lack { calls: is_far.into(), closed: counter.closed_until.is_some(), ..Lack::NONE };
        }
        let max_calls = self.max_calls(meter).unwrap_or(i64::MAX / 200);
        let floor = max_calls * class.floor_percent(meter.limit.window) / 100;
        let background = if class.is_background() && meter.limit.window == Window::Day {
            let held: i64 = counter.log.iter().map(|entry| entry.background).sum();
            (held + 1 - (max_calls * BACKGROUND_PERCENT / 100).max(1)).max(0)
        } else {
            0
        };
        let told = counter.learned_remaining.map(|remaining| remaining - counter.learned_spent);
        Lack {
            calls: (used(counter) + floor + 1 - max_calls).max(0),
            background,
            told: told.is_some_and(|left| left < floor + 1),
            closed: counter.closed_until.is_some(),
        }
    }

    fn meter_opens_at(&self, meter: &Meter, class: Class) -> Option<DateTime<Utc>> {
        let lack = self.lacking(meter, class);
        let counter = &meter.counter;
        let freed = |needed: i64, of: fn(&Entry) -> i64| {
            if needed <= 0 {
                return None;
            }
            if meter.is_pace() {
                return Some(self.free_at(meter) - class.books_ahead());
            }
            if counter.window == Window::Month {
                return Some(month_after(counter.window_start.max(self.now)));
            }
            let mut still = needed;
            let last = counter.log.iter().find(|entry| {
                still -= of(entry);
                still <= 0
            });
            Some(last.map_or(self.now + chrono_of(counter.window.length()), |entry| leaves_at(counter, entry)))
        };
        let told = if lack.told { counter.learned_until } else { None };
        let closed = if lack.closed { counter.closed_until } else { None };
        let own = freed(lack.calls, |entry| entry.calls);
        [own, freed(lack.background, |entry| entry.background), told, closed].into_iter().flatten().max()
    }
}

/// What is missing before one more call may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lack {
    calls: i64,
    background: i64,
    /// The other side says that too little is left.
    told: bool,
    /// The other side refused.
    closed: bool,
}

impl Lack {
    const NONE: Self = Self { calls: 0, background: 0, told: false, closed: false };
}

/// The most a day may use of a month's `budget`: three times its even share, and one and a half times the even share of
/// what is left. At least one call while anything is left.
pub fn day_allowance(budget: i64, used: i64, now: DateTime<Utc>) -> i64 {
    let days = (month_after(now) - month_of(now)).num_days().max(1);
    let days_left = days - i64::from(now.day0());
    let left = (budget - used).max(0);
    let even = (3 * budget + days - 1) / days;
    let of_the_rest = (3 * left + 2 * days_left - 1) / (2 * days_left);
    even.min(of_the_rest)
}

/// Calls that the window holds.
fn used(counter: &Counter) -> i64 {
    counter.log.iter().map(|entry| entry.calls).sum()
}

/// The stretch in which a call counts that is reserved now.
fn bucket(counter: &Counter, now: DateTime<Utc>) -> DateTime<Utc> {
    match counter.window {
        // Not that of `now`, which a clock that stepped back may put into the month before.
        Window::Month => counter.window_start,
        window => bucket_of(window, now),
    }
}

/// End of the stretch that an instant belongs to; for a month its beginning.
fn bucket_of(window: Window, at: DateTime<Utc>) -> DateTime<Utc> {
    if window == Window::Month {
        return month_of(at);
    }
    let grain = (window.length() / GRAINS as u32).as_micros() as i64;
    let ends = at.timestamp_micros().div_euclid(grain) + 1;
    DateTime::from_timestamp_micros(ends * grain).unwrap_or(at)
}

fn leaves_at(counter: &Counter, entry: &Entry) -> DateTime<Utc> {
    entry.at + chrono_of(counter.window.length() + HOLD + TRAVEL)
}

/// Whether a counter held dates that the clock has stepped back behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dates {
    Right,
    Mended,
}

/// Drops what left the window and what need not be believed any more, and mends dates in the future.
fn bring_up_to(counter: &mut Counter, now: DateTime<Utc>) -> Dates {
    let mut dates = Dates::Right;
    if let Some(free_at) = counter.next_slot_at {
        counter.next_slot_at = Some(pace::mended(free_at, now));
        if counter.next_slot_at != Some(free_at) {
            dates = Dates::Mended;
        }
    }
    if counter.window != Window::Month {
        let newest = bucket_of(counter.window, now);
        let (mut log, ahead): (Vec<Entry>, Vec<Entry>) = counter.log.iter().partition(|entry| entry.at <= newest);
        for entry in ahead {
            dates = Dates::Mended;
            match log.last_mut().filter(|last| last.at == newest) {
                Some(last) => {
                    last.calls += entry.calls;
                    last.background += entry.background;
                }
                None => log.push(Entry { at: newest, ..entry }),
            }
        }
        log.retain(|entry| leaves_at(counter, entry) > now);
        counter.log = log;
    }
    let furthest = now + chrono_of(LONGEST_LESSON);
    if counter.closed_until.max(counter.learned_until) > Some(furthest) {
        dates = Dates::Mended;
    }
    let still = |until: Option<DateTime<Utc>>| until.map(|until| until.min(furthest)).filter(|until| *until > now);
    counter.closed_until = still(counter.closed_until);
    counter.learned_until = still(counter.learned_until);
    if counter.learned_until.is_none() {
        (counter.learned_limit, counter.learned_remaining, counter.learned_spent) = (None, None, 0);
    }
    dates
}

fn chrono_of(duration: Duration) -> chrono::Duration {
    chrono::Duration::from_std(duration.min(LONGEST_LESSON)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
