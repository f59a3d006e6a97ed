//! How often an account may be asked. Source: Unleashed help centre, "Understanding your API usage limits": a plan has so
//! many calls in a calendar month, at 100 % all are blocked, and the 1st at 00:00 UTC starts anew. Nobody documents a limit
//! for a shorter time.
//!
//! Assumed: a call that is blocked, or whose signature is wrong, does not count.

use std::time::Duration;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};

use crate::simulator::limits::{Limit, SlidingWindow};

/// None: as many as one likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnleashedLimits {
    pub per_month: Option<u32>,
    pub per_minute: Option<u32>,
}

impl UnleashedLimits {
    /// Source: the help centre names 125,000, 250,000 and 500,000 calls.
    pub const DOCUMENTED: Self = Self { per_month: Some(250_000), per_minute: None };
    pub const NONE: Self = Self { per_month: None, per_minute: None };
}

/// Why a call is turned away, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Month(Duration),
    Minute(Duration),
}

#[derive(Debug)]
pub(super) struct Quota {
    per_month: Option<u32>,
    minute: Option<SlidingWindow>,
    /// Year and month.
    month: (i32, u32),
    used: u32,
}

impl Quota {
    pub fn new(limits: UnleashedLimits) -> Self {
        let minute = limits.per_minute.map(|calls| SlidingWindow::new(Limit::per_minute(calls)));
        Self { per_month: limits.per_month, minute, month: (0, 0), used: 0 }
    }

    /// Counts a call unless it is over a limit. `elapsed` is the same time as `now`, since the simulator's start.
    pub fn ask(&mut self, now: DateTime<Utc>, elapsed: Duration) -> Result<(), Over> {
        self.turn_to(now);
        if self.per_month.is_some_and(|calls| self.used >= calls) {
            return Err(Over::Month(until_reset(now)));
        }
        if let Some(minute) = &mut self.minute {
            let wait = minute.wait(elapsed);
            if !wait.is_zero() {
                return Err(Over::Minute(wait));
            }
            minute.take(elapsed);
        }
        self.used += 1;
        Ok(())
    }

    /// Others who use the account's key take what is left.
    pub fn use_up(&mut self, now: DateTime<Utc>) {
        self.turn_to(now);
        self.used = self.used.max(self.per_month.unwrap_or_default());
    }

    /// The merchant buys a bundle of calls.
    pub fn buy(&mut self, calls: u32) {
        self.per_month = self.per_month.map(|of_plan| of_plan.saturating_add(calls));
    }

    pub fn used(&self) -> u32 {
        self.used
    }

    fn turn_to(&mut self, now: DateTime<Utc>) {
        let month = (now.year(), now.month());
        if month != self.month {
            (self.month, self.used) = (month, 0);
        }
    }
}

/// How long it is to the 1st of the next month.
fn until_reset(now: DateTime<Utc>) -> Duration {
    let first = NaiveDate::from_ymd_opt(now.year(), now.month(), 1).expect("every month has a first");
    let reset = (first + Months::new(1)).and_time(chrono::NaiveTime::MIN).and_utc();
    (reset - now).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_used_up_month_is_open_again_on_the_first_and_not_a_second_before() {
        let mut quota = Quota::new(UnleashedLimits { per_month: Some(2), per_minute: None });
        let mut ask = |text| quota.ask(at(text), Duration::ZERO);

        assert_eq!([ask("2025-12-01T00:00:00Z"), ask("2025-12-31T23:59:00Z")], [Ok(()), Ok(())]);
        assert_eq!(ask("2025-12-31T23:59:59Z"), Err(Over::Month(Duration::from_secs(1))));
        assert_eq!(ask("2026-01-01T00:00:00Z"), Ok(()));
    }

    #[test]
    fn a_bundle_opens_the_month_at_once() {
        let mut quota = Quota::new(UnleashedLimits { per_month: Some(100), per_minute: None });
        let now = at("2026-02-10T00:00:00Z");
        quota.use_up(now);
        assert!(quota.ask(now, Duration::ZERO).is_err());

        quota.buy(1);
        assert_eq!(quota.ask(now, Duration::ZERO), Ok(()));
        assert!(quota.ask(now, Duration::ZERO).is_err());
    }

    #[test]
    fn a_full_minute_waits_for_its_oldest_call_and_takes_nothing_of_the_month() {
        let mut quota = Quota::new(UnleashedLimits { per_month: Some(2), per_minute: Some(1) });
        let now = at("2026-02-10T00:00:00Z");
        let mut ask = |secs| quota.ask(now, Duration::from_secs(secs));

        assert_eq!(ask(0), Ok(()));
        assert_eq!(ask(20), Err(Over::Minute(Duration::from_secs(40))));
        assert_eq!(ask(60), Ok(()));
        assert!(matches!(ask(120), Err(Over::Month(_))));
    }
}
