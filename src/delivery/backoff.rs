//! How long to wait after a failed attempt. The only user of the `backoff` crate, which nobody maintains any more:
//! replacing it touches this file.

use std::time::Duration;

use backoff::{ExponentialBackoff, backoff::Backoff};

use crate::config::RetrySettings;

/// A random part of this share is added to or taken off an exponential wait.
const JITTER: f64 = 0.2;

/// Wait after failed attempt `number` (1-based): `initial`, 2×, 4× … up to `max`, with jitter; then `slow_interval`.
pub fn wait(retry: &RetrySettings, number: u32) -> Duration {
    wait_with_jitter(retry, number, JITTER)
}

fn wait_with_jitter(retry: &RetrySettings, number: u32, jitter: f64) -> Duration {
    let doublings = 2u32.saturating_pow(number.saturating_sub(2));
    let max_was_reached = number > 1 && retry.initial.saturating_mul(doublings) >= retry.max;
    if max_was_reached { retry.slow_interval } else { exponential(retry.initial, retry.max, number, jitter) }
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

    const POLICY: RetrySettings = RetrySettings {
        initial: Duration::from_secs(10),
        max: Duration::from_hours(1),
        slow_interval: Duration::from_hours(3),
        give_up_after: Duration::from_hours(72),
    };

    #[test]
    fn waits_double_up_to_the_longest_and_then_become_slow() {
        let waits: Vec<u64> = (1..=12).map(|n| wait_with_jitter(&POLICY, n, 0.0).as_secs()).collect();

        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 10800, 10800]);
    }

    #[test]
    fn jitter_stays_within_its_share() {
        for number in 1..=10 {
            let ceiling = wait_with_jitter(&POLICY, number, 0.0).as_secs_f64();
            for _ in 0..200 {
                let wait = wait(&POLICY, number).as_secs_f64();
                assert!((ceiling * 0.79..=ceiling * 1.21).contains(&wait), "{wait} around {ceiling}");
            }
        }
    }

    #[test]
    fn an_absurd_number_of_attempts_does_not_overflow() {
        assert_eq!(wait_with_jitter(&POLICY, u32::MAX, 0.0), POLICY.slow_interval);
    }
}
