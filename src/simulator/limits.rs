//! Request limits over a sliding window or by a leaky bucket, and the gauge that tells how hard somebody pushed.
//!
//! Window and gauge count over the half-open window `(now - length, now]`: two calls exactly one window apart never meet in it.
//! Time is a duration since the simulator's start; a caller's times must not run backwards.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

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
        self.accepted.front().map_or(self.limit.window, |oldest| (*oldest + self.limit.window).saturating_sub(now))
    }

    /// Counts an accepted call.
    pub fn take(&mut self, now: Duration) {
        self.accepted.push_back(now);
    }

    pub fn limit(&self) -> Limit {
        self.limit
    }
}

/// A bucket that holds so many calls and leaks steadily. A refused call does not count.
#[derive(Debug)]
pub struct LeakyBucket {
    size: u32,
    /// How long one call takes to leak away.
    per_call: Duration,
    empty_at: Duration,
}

impl LeakyBucket {
    /// Empty at first.
    pub fn new(size: u32, leaks_per_second: NonZeroU32) -> Self {
        Self { size, per_call: Duration::from_secs(1) / leaks_per_second.get(), empty_at: Duration::ZERO }
    }

    /// How long to wait until a call would fit in; zero when it would now.
    pub fn wait(&self, now: Duration) -> Duration {
        let level_with_it = self.empty_at.saturating_sub(now) + self.per_call;
        level_with_it.saturating_sub(self.per_call * self.size)
    }

    /// Counts an accepted call.
    pub fn take(&mut self, now: Duration) {
        self.empty_at = self.empty_at.max(now) + self.per_call;
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
        assert_eq!(window.wait(secs(59)), secs(1));
        assert_eq!(window.wait(secs(60)), Duration::ZERO);
    }

    #[test]
    fn a_full_bucket_takes_no_more_than_leaks_away() {
        let mut bucket = LeakyBucket::new(3, NonZeroU32::new(2).expect("not zero"));
        for _ in 0..3 {
            assert_eq!(bucket.wait(secs(10)), Duration::ZERO);
            bucket.take(secs(10));
        }

        assert_eq!(bucket.wait(secs(10)), Duration::from_millis(500));
        assert_eq!(bucket.wait(secs(10) + Duration::from_millis(499)), Duration::from_millis(1));
        assert_eq!(bucket.wait(secs(10) + Duration::from_millis(500)), Duration::ZERO);
        bucket.take(secs(11));
        bucket.take(secs(11));
        assert_eq!(bucket.wait(secs(11)), Duration::from_millis(500));
    }

    #[test]
    fn a_bucket_left_alone_is_empty_and_never_more_than_that() {
        let mut bucket = LeakyBucket::new(2, NonZeroU32::new(2).expect("not zero"));
        bucket.take(secs(0));

        for _ in 0..2 {
            assert_eq!(bucket.wait(secs(1000)), Duration::ZERO);
            bucket.take(secs(1000));
        }
        assert_eq!(bucket.wait(secs(1000)), Duration::from_millis(500));
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
