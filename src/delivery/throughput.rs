//! How fast deliveries end, so that a claim prefetches as much as is sent while the next claim runs, and no more: what is
//! claimed and waits only uses up its lease.

use std::time::Duration;

use tokio::time::Instant;

/// Long enough that one batch does not look like a flood.
const WINDOW: Duration = Duration::from_millis(100);

/// Counts deliveries that ended.
#[derive(Debug)]
pub struct Throughput {
    since: Instant,
    ended: usize,
    /// Of the last whole window.
    per_second: usize,
}

impl Throughput {
    pub fn new(now: Instant) -> Self {
        Self { since: now, ended: 0, per_second: 0 }
    }

    pub fn count(&mut self, ended: usize) {
        self.ended += ended;
    }

    /// How many deliveries end in such a time, going by the last whole window.
    pub fn within(&mut self, time: Duration, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.since);
        if passed >= WINDOW {
            self.per_second = self.ended * 1_000 / passed.as_millis() as usize;
            (self.since, self.ended) = (now, 0);
        }
        self.per_second * time.as_millis() as usize / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_ended_counts_once_its_window_is_over() {
        let start = Instant::now();
        let mut throughput = Throughput::new(start);

        throughput.count(500);
        assert_eq!(throughput.within(40 * MS, start + 99 * MS), 0, "the window is not over");
        assert_eq!(throughput.within(40 * MS, start + 100 * MS), 200, "5,000 a second");
        assert_eq!(throughput.within(40 * MS, start + 199 * MS), 200, "the last whole window still says so");
        assert_eq!(throughput.within(40 * MS, start + 200 * MS), 0, "nothing ended since");
    }

    #[test]
    fn a_long_pause_is_a_slow_window() {
        let start = Instant::now();
        let mut throughput = Throughput::new(start);

        throughput.count(100);

        assert_eq!(throughput.within(1_000 * MS, start + 10_000 * MS), 10);
    }
}
