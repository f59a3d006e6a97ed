//! Limits on calls as foreign systems have them: windows, what an answer tells about one, and when one will be used up.
//!
//! No I/O and no clock. What is done about a limit is [`crate::delivery::budget`]'s business.

use std::{fmt, time::Duration};

use chrono::{DateTime, Datelike, Months, TimeZone, Utc};
use serde::{Serialize, Serializer};

/// The time within which calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// Kept by spacing ([`super::pace`]), the others by counting.
    Second,
    Minute,
    FiveMinutes,
    Hour,
    /// Any 24 hours.
    Day,
    /// A calendar month, UTC.
    Month,
}

impl Window {
    pub const ALL: [Self; 6] = [Self::Second, Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day, Self::Month];

    /// As it stands in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::FiveMinutes => "five_minutes",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|window| window.as_str() == text)
    }

    /// How long it lasts; of months the longest.
    pub const fn length(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::FiveMinutes => Duration::from_mins(5),
            Self::Hour => Duration::from_hours(1),
            Self::Day => Duration::from_hours(24),
            Self::Month => Duration::from_hours(31 * 24),
        }
    }

    /// The window of exactly this length in seconds.
    pub fn of_seconds(seconds: u64) -> Option<Self> {
        let sliding = [Self::Second, Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];
        sliding.into_iter().find(|window| window.length().as_secs() == seconds)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What an answer told about a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnedLimit {
    pub window: Window,
    pub told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// How many calls the window holds, how many of them are left, and when it begins anew; each where it was said.
    Left { limit: Option<u32>, remaining: Option<u32>, resets_in: Option<Duration> },
    /// A call was refused (429); no other is taken for so long.
    Refused { wait: Duration },
}

/// The first instant of the month.
pub fn month_of(at: DateTime<Utc>) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(at.year(), at.month(), 1, 0, 0, 0).single().unwrap_or(at)
}

/// The first instant of the next month.
pub fn month_after(at: DateTime<Utc>) -> DateTime<Utc> {
    month_of(at).checked_add_months(Months::new(1)).unwrap_or(at)
}

/// When a window will hold all it may, if calls go on as they did since the first of those it holds. None: it will not,
/// because calls leave it as fast or it begins anew before; or too little of it has passed to say.
pub fn runs_out_at(
    window: Window,
    used: i64,
    max_calls: i64,
    first_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    const TELLING_PART: i32 = 24;
    let seen = now - first_at;
    if used <= 0 || seen * TELLING_PART < chrono::Duration::from_std(window.length()).ok()? {
        return None;
    }
    let ends_at = match window {
        Window::Month => month_after(now),
        _ => first_at + window.length(),
    };
    let left = (max_calls - used).max(0);
    let wait = seen.num_seconds().checked_mul(left)? / used;
    let at = now.checked_add_signed(chrono::Duration::try_seconds(wait)?)?;
    (at < ends_at).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_has_one_name() {
        for window in Window::ALL {
            assert_eq!(Window::parse(window.as_str()), Some(window));
        }
    }

    #[test]
    fn a_day_that_is_half_used_by_three_runs_out_at_six() {
        let out = runs_out_at(Window::Day, 50, 100, at("2026-03-01T00:00:00Z"), at("2026-03-01T03:00:00Z"));

        assert_eq!(out, Some(at("2026-03-01T06:00:00Z")));
    }

    #[test]
    fn a_day_that_is_used_slowly_enough_does_not_run_out() {
        let out = |used| runs_out_at(Window::Day, used, 100, at("2026-03-01T00:00:00Z"), at("2026-03-01T12:00:00Z"));

        assert_eq!(out(50), None);
        assert!(out(51).is_some());
    }

    #[test]
    fn a_month_ends_with_the_calendar() {
        let out = |now| runs_out_at(Window::Month, 100, 200, at("2026-02-01T00:00:00Z"), at(now));

        assert_eq!(out("2026-02-11T00:00:00Z"), Some(at("2026-02-21T00:00:00Z")));
        assert_eq!(out("2026-02-15T00:00:00Z"), None);
    }

    #[test]
    fn the_first_moments_of_a_window_tell_nothing() {
        assert_eq!(runs_out_at(Window::Day, 9, 10, at("2026-03-01T00:00:00Z"), at("2026-03-01T00:59:00Z")), None);
    }
}
