//! When a lane is left in peace: after a row of transient failures, or at once when nothing is accepted until a person
//! acts. The state is a row (`sink_lanes`), shared by all processes; only the counting is each process' own.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crate::config::BreakerSettings;

/// Longest wait between probes of an open lane.
pub const LONGEST_PROBE: Duration = Duration::from_mins(15);

/// What an outcome says about the lane, not the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The destination answered for itself.
    Well,
    /// A transient fault.
    Faulty,
    /// Nothing is accepted until a person acts.
    Blocked,
    /// Tells nothing: no call was made, or we were asked to slow down.
    Silent,
}

/// What to do about the lane's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Nothing,
    Open,
    Close,
}

/// Consecutive failures per lane.
#[derive(Debug, Default)]
pub struct Counter {
    failures: HashMap<String, u32>,
    /// Lanes we know to be open.
    open: HashSet<String>,
}

impl Counter {
    /// Takes note of which lanes' rows are not closed; another process may have opened or closed them.
    pub fn note_open(&mut self, lanes: &[String]) {
        self.open = lanes.iter().cloned().collect();
    }

    pub fn is_open(&self, lane: &str) -> bool {
        self.open.contains(lane)
    }

    pub fn observe(&mut self, policy: &BreakerSettings, lane: &str, signal: Signal) -> Turn {
        match signal {
            Signal::Silent => Turn::Nothing,
            Signal::Well => {
                self.failures.remove(lane);
                if self.open.remove(lane) { Turn::Close } else { Turn::Nothing }
            }
            Signal::Blocked => {
                self.failures.remove(lane);
                self.open.insert(lane.to_owned());
                Turn::Open
            }
            Signal::Faulty if self.open.contains(lane) => Turn::Open,
            Signal::Faulty => {
                let failures = self.failures.entry(lane.to_owned()).or_default();
                *failures += 1;
                if *failures < policy.failures {
                    return Turn::Nothing;
                }
                self.failures.remove(lane);
                self.open.insert(lane.to_owned());
                Turn::Open
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerSettings = BreakerSettings { failures: 3, probe: Duration::from_secs(30) };

    fn turns(signals: &[Signal]) -> Vec<Turn> {
        let mut counter = Counter::default();
        signals.iter().map(|signal| counter.observe(&POLICY, "", *signal)).collect()
    }

    #[test]
    fn opens_at_the_configured_number_of_failures_in_a_row_and_not_before() {
        use Signal::{Faulty, Well};

        assert_eq!(turns(&[Faulty, Faulty, Faulty]), [Turn::Nothing, Turn::Nothing, Turn::Open]);
        assert_eq!(turns(&[Faulty, Faulty, Well, Faulty, Faulty]), [Turn::Nothing; 5]);
    }

    #[test]
    fn a_blocked_lane_opens_at_once_and_a_probe_that_goes_through_closes_it() {
        use Signal::{Blocked, Silent, Well};

        assert_eq!(turns(&[Blocked, Silent, Well, Well]), [Turn::Open, Turn::Nothing, Turn::Close, Turn::Nothing]);
    }

    #[test]
    fn a_lane_that_another_process_closed_starts_counting_anew() {
        let mut counter = Counter::default();
        counter.note_open(&[String::new()]);
        counter.note_open(&[]);

        assert_eq!(counter.observe(&POLICY, "", Signal::Faulty), Turn::Nothing);
    }

    #[test]
    fn one_lane_does_not_count_for_another() {
        let mut counter = Counter::default();
        for lane in ["a", "b", "a", "b"] {
            assert_eq!(counter.observe(&POLICY, lane, Signal::Faulty), Turn::Nothing);
        }
        assert_eq!(counter.observe(&POLICY, "a", Signal::Faulty), Turn::Open);
    }
}
