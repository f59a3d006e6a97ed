//! Slots that this process has booked and not used yet, one for each reserved call.
//!
//! A slot belongs to no call in particular: whoever is ready takes the first one, so an order that needs longer to be
//! planned passes its turn on instead of losing it, and one that needs no call gives back the last slot, which the next
//! reservation can use.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::pace::Slot;

/// A slot as this process waits for it, on [`Clock::elapsed`].
///
/// [`Clock::elapsed`]: crate::clock::Clock::elapsed
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub slot: Slot,
    pub opens: Duration,
    pub closes: Duration,
}

/// By lane, the first one first.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<String, VecDeque<Turn>>>);

impl Turns {
    pub fn add(&self, lane: &str, turns: impl IntoIterator<Item = Turn>) {
        self.lock().entry(lane.to_owned()).or_default().extend(turns);
    }

    /// The first turn that is not over. Those before it went unused.
    pub fn take(&self, lane: &str, now: Duration) -> Option<Turn> {
        let mut lanes = self.lock();
        let turns = lanes.get_mut(lane)?;
        while let Some(turn) = turns.pop_front() {
            if now <= turn.closes {
                return Some(turn);
            }
        }
        None
    }

    /// The last turn, for whom nobody will ask.
    pub fn give_up(&self, lane: &str) -> Option<Turn> {
        self.lock().get_mut(lane)?.pop_back()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Turn>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn turn(opens: u64) -> Turn {
        let opens = Duration::from_millis(opens);
        let closes = opens + Duration::from_millis(20);
        let slot = Slot { opens: DateTime::UNIX_EPOCH + opens, closes: DateTime::UNIX_EPOCH + closes };
        Turn { slot, opens, closes }
    }

    #[test]
    fn whoever_is_ready_takes_the_first_turn_that_is_not_over() {
        let turns = Turns::default();
        turns.add("a", [turn(0), turn(100), turn(200)]);

        assert_eq!(turns.take("a", Duration::from_millis(21)), Some(turn(100)));
        assert_eq!(turns.take("a", Duration::from_millis(220)), Some(turn(200)));
        assert_eq!(turns.take("a", Duration::from_millis(220)), None);
        assert_eq!(turns.take("b", Duration::ZERO), None);
    }

    #[test]
    fn who_needs_no_turn_gives_the_last_one_up() {
        let turns = Turns::default();
        turns.add("a", [turn(0), turn(100)]);

        assert_eq!(turns.give_up("a"), Some(turn(100)));
        assert_eq!(turns.take("a", Duration::ZERO), Some(turn(0)));
        assert_eq!(turns.give_up("a"), None);
    }
}
