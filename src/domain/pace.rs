//! Calls per second, as spacing (GCRA): each call has a slot in time, and the next one opens an interval later.
//!
//! A call goes out while its slot is open or not at all. Of any `limit + 1` calls in a row the last one's slot therefore
//! opens [`SECOND`] less [`PUNCTUAL`] after the first one's has closed, which leaves a gap of [`TRAVEL`] above a second: no
//! second at the destination holds more than the limit as long as no call needs that much longer than another to get there,
//! the database's answer with its slot included. What a call cannot know, as a connection that has to be made anew, may
//! exceed it; so a limit is best set below the documented one.
//!
//! No I/O and no clock. [`crate::delivery::budget`] books slots, [`crate::delivery::turns`] waits for them.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How long a slot is open.
pub const PUNCTUAL: Duration = Duration::from_millis(20);
/// How much longer than another a call may be on its way.
pub const TRAVEL: Duration = Duration::from_millis(15);
/// In which as many slots open as a second may hold calls.
pub const SECOND: Duration = Duration::from_millis(1_000 + 20 + 15);
/// How far ahead slots are booked: what is urgent waits no longer behind them.
pub const AHEAD: Duration = Duration::from_secs(1);
/// What a claim and a written intent usually need. A slot that opens sooner stays open until then, at the cost of those
/// after it.
pub const PREPARE: Duration = Duration::from_millis(100);
/// What they are given where they need longer.
pub const LONGEST_PREPARE: Duration = Duration::from_secs(1);
/// No slot opens later than this but by a clock that stepped back.
const FURTHEST: Duration = Duration::from_millis(2_100);

/// When a call may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub opens: DateTime<Utc>,
    /// The last instant.
    pub closes: DateTime<Utc>,
}

impl Slot {
    /// The first slot from `free_at` on, for a call that is ready within `prepare`.
    pub fn first(free_at: DateTime<Utc>, now: DateTime<Utc>, prepare: Duration) -> Self {
        let opens = free_at.max(now);
        Self { opens, closes: (opens + PUNCTUAL).max(now + prepare) }
    }

    /// When the slot after this one opens.
    pub fn next_opens(self, interval: Duration) -> DateTime<Utc> {
        self.closes - PUNCTUAL + interval
    }
}

/// From one slot's opening to the next one's, so many a second.
pub fn interval(per_second: i64) -> Duration {
    let micros = SECOND.as_micros() as u64;
    Duration::from_micros(micros.div_ceil(per_second.max(1).unsigned_abs()))
}

/// Where the next slot opens once so many calls went out beside those that were booked. A second later they are past.
pub fn crowded(free_at: DateTime<Utc>, now: DateTime<Utc>, interval: Duration, calls: u32) -> DateTime<Utc> {
    let after_them = free_at.max(now) + interval.saturating_mul(calls).min(SECOND);
    after_them.min(now + SECOND).max(free_at)
}

/// A date that only a clock which stepped back can have left is brought as near as any true one.
pub fn mended(free_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    free_at.min(now + FURTHEST)
}

/// For people: for how many calls of the coming second the slots are gone.
pub fn booked(free_at: DateTime<Utc>, now: DateTime<Utc>, per_second: i64) -> i64 {
    let ahead = (free_at - now).to_std().unwrap_or_default();
    (ahead.as_micros() / interval(per_second).as_micros()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn as_many_slots_as_the_limit_fill_a_second_and_the_gap() {
        assert_eq!(SECOND, Duration::from_secs(1) + PUNCTUAL + TRAVEL);
        for limit in [1, 3, 5, 50, 999] {
            assert!(interval(limit) * limit as u32 >= SECOND, "{limit}");
            let rounding = Duration::from_micros(1) * limit as u32;
            assert!(interval(limit) * (limit as u32) < SECOND + rounding, "{limit}");
        }
    }

    #[test]
    fn a_slot_that_is_near_stays_open_for_who_prepares_and_the_next_one_is_the_later_for_it() {
        let slot = Slot::first(START, START + ms(500), ms(100));

        assert_eq!(slot, Slot { opens: START + ms(500), closes: START + ms(600) });
        assert_eq!(slot.next_opens(ms(200)), START + ms(600) - PUNCTUAL + ms(200));
    }

    #[test]
    fn a_slot_ahead_is_open_for_a_moment() {
        let slot = Slot::first(START + ms(500), START, ms(100));

        assert_eq!(slot, Slot { opens: START + ms(500), closes: START + ms(500) + PUNCTUAL });
        assert_eq!(slot.next_opens(ms(200)), START + ms(700));
    }

    #[test]
    fn calls_beside_keep_the_next_away_but_not_beyond_their_second() {
        assert_eq!(crowded(START, START + ms(300), ms(200), 2), START + ms(700));
        assert_eq!(crowded(START, START + ms(300), ms(200), 2_000), START + ms(300) + SECOND);
        assert_eq!(crowded(START + ms(1_500), START, ms(200), 3), START + ms(1_500));
    }

    #[test]
    fn no_true_date_is_taken_for_that_of_a_clock_which_stepped_back() {
        let last = Slot::first(START + AHEAD, START, PREPARE).next_opens(interval(1));
        let slowest = Slot::first(START, START, LONGEST_PREPARE).next_opens(interval(1));

        for date in [last, slowest, crowded(START, START, interval(1), 9)] {
            assert_eq!(mended(date, START), date);
        }
        assert!(mended(START + ms(90_000), START) < START + ms(3_000));
    }
}
