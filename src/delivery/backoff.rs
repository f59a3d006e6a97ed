//! How long to wait after a failed attempt. The only user of the `backoff` crate, which nobody maintains any more:
//! replacing it touches this file.

use std::time::Duration;

use backoff::{ExponentialBackoff, backoff::Backoff};

/// When a failed delivery is tried again, and when no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first failure; doubles from there.
    pub initial: Duration,
    /// Longest exponential wait.
    pub max: Duration,
    /// Wait once `max` was reached.
    pub slow_interval: Duration,
    /// Parked once it has been failing for this long.
    pub give_up_after: Duration,
}

/// A random part of this share is added to or taken off an exponential wait.
const JITTER: f64 = 0.2;

impl RetryPolicy {
    /// Wait after failed attempt `number` (1-based): `initial`, 2×, 4× … up to `max`, with jitter; then `slow_interval`.
    pub fn wait(&self, number: u32) -> Duration {
        self.with_jitter(number, JITTER)
    }

    /// The same without jitter.
    pub fn ceiling(&self, number: u32) -> Duration {
        self.with_jitter(number, 0.0)
    }

    fn with_jitter(&self, number: u32, jitter: f64) -> Duration {
        if number > 1 && self.exponent_reached_max(number - 1) {
            return self.slow_interval;
        }
        exponential(self.initial, self.max, number, jitter)
    }

    fn exponent_reached_max(&self, number: u32) -> bool {
        let doublings = 2u32.saturating_pow(number.saturating_sub(1));
        self.initial.saturating_mul(doublings) >= self.max
    }
}

/// The `number`-th (1-based) wait of an exponential series without an end.
pub fn exponential(initial: Duration, max: Duration, number: u32, jitter: f64) -> Duration {
    let mut series = ExponentialBackoff {
        initial_interval: initial,
        current_interval: initial,
        multiplier: 2.0,
        max_interval: max,
        randomization_factor: jitter,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    // From the thirtieth on every series has reached its maximum.
    for _ in 1..number.clamp(1, 30) {
        series.next_backoff();
    }
    series.next_backoff().unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        initial: Duration::from_secs(10),
        max: Duration::from_secs(3600),
        slow_interval: Duration::from_secs(3 * 3600),
        give_up_after: Duration::from_secs(72 * 3600),
    };

    #[test]
    fn waits_double_up_to_the_longest_and_then_become_slow() {
        let waits: Vec<u64> = (1..=12).map(|n| POLICY.ceiling(n).as_secs()).collect();

        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 10800, 10800]);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        for number in 1..=10 {
            let ceiling = POLICY.ceiling(number).as_secs_f64();
            for _ in 0..200 {
                let wait = POLICY.wait(number).as_secs_f64();
                assert!((ceiling * 0.79..=ceiling * 1.21).contains(&wait), "{wait} around {ceiling}");
            }
        }
    }

    #[test]
    fn an_absurd_number_of_attempts_does_not_overflow() {
        assert_eq!(POLICY.ceiling(u32::MAX), POLICY.slow_interval);
    }
}
