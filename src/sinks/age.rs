//! How long what is read once for many orders is good for.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Answer;
use crate::domain::delivery::Outcome;

/// Of calls that begin side by side the reader may have looked at the clock last. As much as this, and it was set back.
const SIDE_BY_SIDE: Duration = Duration::from_secs(1);

/// What is left of a time that began then. None: it is over, or began in the future, because a clock was set back.
pub fn left(began: DateTime<Utc>, lasts: Duration, now: DateTime<Utc>) -> Option<Duration> {
    let age = match (now - began).to_std() {
        Ok(age) => age,
        Err(_) if (began - now).to_std().is_ok_and(|ahead| ahead < SIDE_BY_SIDE) => Duration::ZERO,
        Err(_) => return None,
    };
    lasts.checked_sub(age).filter(|left| !left.is_zero())
}

pub fn is_within(began: DateTime<Utc>, lasts: Duration, now: DateTime<Utc>) -> bool {
    left(began, lasts, now).is_some()
}

/// How long the destination wishes to be left alone.
pub fn asked_for(answer: &Answer) -> Option<Duration> {
    match answer.outcome {
        Outcome::Throttled { not_before } | Outcome::Retry { not_before, .. } => not_before,
        Outcome::Delivered(_) | Outcome::Reject { .. } | Outcome::Blocked { .. } | Outcome::Unknown { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    /// Cause: of orders that waited for one reading, those that had looked at the clock before it read everything again.
    #[test]
    fn what_another_read_while_one_waited_is_fresh_and_what_is_far_ahead_is_not() {
        let now = DateTime::UNIX_EPOCH;
        let hour = Duration::from_hours(1);

        assert_eq!(left(now - TimeDelta::minutes(20), hour, now), Some(Duration::from_mins(40)));
        assert_eq!(left(now - TimeDelta::hours(1), hour, now), None);
        assert_eq!(left(now + TimeDelta::milliseconds(1), hour, now), Some(hour));
        assert_eq!(left(now + TimeDelta::seconds(1), hour, now), None);
    }
}
