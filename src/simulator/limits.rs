//! Request limits over a sliding window, and the gauge that tells how hard somebody pushed.
//!
//! Both count over the half-open window `(now - length, now]`: two calls exactly one window apart never meet in it.
//! Time is a duration since the simulator's start; a caller's times must not run backwards.

use std::{collections::VecDeque, time::Duration};

/// The window of every documented Scoffable limit.
pub const MINUTE: Duration = Duration::from_mins(1);

/// At most `calls` accepted calls in any `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub calls: u32,
    pub window: Duration,
}

impl Limit {
    pub const fn per_minute(calls: u32) -> Self {
        Self { calls, window: MINUTE }
    }
}

/// Enforces one limit. A refused call does not count.
#[derive(Debug)]
pub struct SlidingWindow {
    limit: Limit,
    accepted: VecDeque<Duration>,
}

impl SlidingWindow {
    pub fn new(limit: Limit) -> Self {
        Self { limit, accepted: VecDeque::new() }
    }

    /// How long to wait until a call would be accepted; zero when it would be now.
    pub fn wait(&mut self, now: Duration) -> Duration {
        forget_before(&mut self.accepted, now, self.limit.window);
        if self.accepted.len() < self.limit.calls as usize {
            return Duration::ZERO;
        }
        self.resets_in(now)
    }

    /// Counts an accepted call.
    pub fn take(&mut self, now: Duration) {
        self.accepted.push_back(now);
    }

    /// How many calls would be accepted now.
    pub fn left(&mut self, now: Duration) -> u32 {
        forget_before(&mut self.accepted, now, self.limit.window);
        self.limit.calls.saturating_sub(self.accepted.len() as u32)
    }

    /// How long until one more call would be accepted than now; the window's length when none was made.
    pub fn resets_in(&self, now: Duration) -> Duration {
        self.accepted.front().map_or(self.limit.window, |oldest| (*oldest + self.limit.window).saturating_sub(now))
    }

    pub fn limit(&self) -> Limit {
        self.limit
    }
}

/// The largest number of calls seen in any window so far.
#[derive(Debug, Default)]
pub struct Gauge {
    recent: VecDeque<Duration>,
    most: usize,
}

impl Gauge {
    pub fn count(&mut self, now: Duration, window: Duration) {
        forget_before(&mut self.recent, now, window);
        self.recent.push_back(now);
        self.most = self.most.max(self.recent.len());
    }

    pub fn most(&self) -> usize {
        self.most
    }
}

fn forget_before(times: &mut VecDeque<Duration>, now: Duration, window: Duration) {
    while times.front().is_some_and(|oldest| *oldest + window <= now) {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_last_call_within_the_limit_passes_and_the_next_waits_for_the_oldest() {
        let mut window = SlidingWindow::new(Limit::per_minute(3));
        for at in [0, 10, 20] {
            assert_eq!(window.wait(secs(at)), Duration::ZERO);
            window.take(secs(at));
        }

        assert_eq!(window.wait(secs(25)), secs(35));
        assert_eq!((window.left(secs(59)), window.left(secs(60)), window.left(secs(75))), (0, 1, 2));
        assert_eq!(window.resets_in(secs(75)), secs(5));
        let mut window = SlidingWindow::new(Limit::per_minute(1));
        window.take(secs(0));
        assert_eq!(window.wait(secs(59)), secs(1));
        assert_eq!(window.wait(secs(60)), Duration::ZERO);
    }

    #[test]
    fn the_gauge_sees_a_burst_across_a_minute_boundary() {
        let mut gauge = Gauge::default();
        for at in [50, 55, 61, 65, 109, 110] {
            gauge.count(secs(at), MINUTE);
        }

        assert_eq!(gauge.most(), 5, "50 has left when 110 arrives");
    }
}
