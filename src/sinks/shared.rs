//! What all orders of a sink share, as the settings of an account: read once for all that wait, and kept for a day.
//!
//! A reading that fails is not gone on with by everybody: until it may be, they are told what the one that tried was told, and
//! how long that still is, so that each waits once.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{Answer, Calls};
use crate::domain::delivery::{Outcome, Sent};

/// Facts are used for so long. What they say changes rarely, and a refusal by it has them read anew.
const KEPT: Duration = Duration::from_hours(24);
/// Facts that a refusal contradicts are read anew, but no more often.
const NOT_AGAIN_WITHIN: Duration = Duration::from_mins(5);
/// What holds orders back may have been mended there since; it is looked at again when the facts are so old.
const MENDED_AFTER: Duration = Duration::from_hours(1);
/// After a failure no other reading is tried for so long, unless the destination names a longer time; twice as long after each
/// further one that did not get further than the one before.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A reading that was interrupted is begun anew after so long.
pub const RESUMED_WITHIN: Duration = Duration::from_mins(10);
/// Of calls that begin side by side the reader may have looked at the clock last. As much as this, and it was set back.
const SIDE_BY_SIDE: Duration = Duration::from_secs(1);

/// What was read at one time.
pub trait Facts: Clone {
    fn read_at(&self) -> DateTime<Utc>;
}

/// How a reading failed.
#[derive(Debug)]
pub struct Failure {
    pub told: Answer,
    /// A part of it was read, and will not be read again.
    pub got_further: bool,
}

impl From<Answer> for Failure {
    fn from(told: Answer) -> Self {
        Self { told, got_further: false }
    }
}

#[derive(Debug)]
pub struct SharedFacts<F> {
    state: Mutex<State<F>>,
    /// Held while they are read.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State<F> {
    facts: Option<Arc<F>>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    at: DateTime<Utc>,
    pause: Duration,
    told: Answer,
}

impl<F> Default for SharedFacts<F> {
    fn default() -> Self {
        Self { state: Mutex::new(State { facts: None, failed: None }), flight: tokio::sync::Mutex::default() }
    }
}

impl<F: Facts> SharedFacts<F> {
    fn state(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: they have to be read.
    pub fn get(&self, now: DateTime<Utc>) -> Option<Arc<F>> {
        self.state().facts.clone().filter(|facts| is_within(facts.read_at(), KEPT, now))
    }

    /// A refusal says that they are not true any more.
    pub fn contradicted(&self, now: DateTime<Utc>) {
        self.drop_older_than(NOT_AGAIN_WITHIN, now);
    }

    /// They hold an order back. Whether they are to be read before that counts.
    pub fn hold_back(&self, now: DateTime<Utc>) -> bool {
        self.drop_older_than(MENDED_AFTER, now)
    }

    fn drop_older_than(&self, age: Duration, now: DateTime<Utc>) -> bool {
        let mut state = self.state();
        let is_older = state.facts.as_ref().is_none_or(|facts| !is_within(facts.read_at(), age, now));
        if is_older {
            state.facts = None;
        }
        is_older
    }

    /// What we have done there ourselves is known without reading.
    pub fn change(&self, change: impl FnOnce(&mut F)) {
        if let Some(facts) = &mut self.state().facts {
            change(Arc::make_mut(facts));
        }
    }

    /// Reads if it must. Returns the calls that it took.
    pub async fn bring_up_to_date(
        &self,
        now: DateTime<Utc>,
        read: impl AsyncFnOnce() -> (Calls, Result<F, Failure>),
    ) -> Result<Calls, Answer> {
        let _flight = self.flight.lock().await;
        if self.get(now).is_some() {
            return Ok(Calls::default());
        }
        if let Some(failed) = &self.state().failed
            && let Some(left) = left(failed.at, failed.pause, now)
        {
            return Err(told_again(&failed.told, left));
        }
        match read().await {
            (calls, Ok(facts)) => {
                *self.state() = State { facts: Some(Arc::new(facts)), failed: None };
                Ok(calls)
            }
            (Calls { made, limits }, Err(Failure { told, got_further })) => {
                let before = self.state().failed.as_ref().filter(|_| !got_further).map(|failed| failed.pause);
                let usual = before.map_or(AFTER_FAILURE, |before| (before * 2).min(LONGEST_PAUSE));
                let pause = asked_for(&told).unwrap_or_default().max(usual);
                self.state().failed = Some(Failed { at: now, pause, told: told.clone() });
                // Of a destination whose every answer tells its limits the reading has gathered them; others tell them in a refusal.
                let limits = if limits.is_empty() { told.limits.clone() } else { limits };
                Err(not_before(Answer { calls_beside: made, limits, ..told }, pause))
            }
        }
    }
}

/// To who asks meanwhile. Nothing was asked there: it is no other failure of the destination, and costs no attempt.
fn told_again(told: &Answer, left: Duration) -> Answer {
    let outcome = match &told.outcome {
        Outcome::Blocked { reason } => Outcome::Blocked { reason: *reason },
        Outcome::Throttled { .. }
        | Outcome::Retry { .. }
        | Outcome::Unknown { .. }
        | Outcome::Reject { .. }
        | Outcome::Delivered(_) => Outcome::Throttled { not_before: Some(left) },
    };
    Answer { outcome, calls_beside: 0, limits: Vec::new(), ..told.clone() }
}

/// The same answer, not to be asked for again any sooner. What only a person ends is looked at by the breaker's probe.
fn not_before(answer: Answer, wait: Duration) -> Answer {
    let not_before = Some(wait);
    let outcome = match answer.outcome {
        Outcome::Throttled { .. } => Outcome::Throttled { not_before },
        Outcome::Retry { reason, sent, .. } => Outcome::Retry { reason, sent, not_before },
        // No order was sent by it, and none refused.
        Outcome::Unknown { reason } | Outcome::Reject { reason } => {
            Outcome::Retry { reason, sent: Sent::No, not_before }
        }
        other @ (Outcome::Delivered(_) | Outcome::Blocked { .. }) => other,
    };
    Answer { outcome, ..answer }
}

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
    use futures::future::join_all;

    use super::*;
    use crate::domain::delivery::Reason;

    #[derive(Debug, Clone)]
    struct Noted(DateTime<Utc>);

    impl Facts for Noted {
        fn read_at(&self) -> DateTime<Utc> {
            self.0
        }
    }

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[tokio::test]
    async fn of_many_that_ask_at_once_one_reads_also_for_those_that_looked_at_the_clock_before_it() {
        let shared = SharedFacts::default();
        let reads = std::cell::Cell::new(0);
        let ask = async |earlier: i64| {
            let now = NOW - TimeDelta::milliseconds(earlier);
            let read = async || {
                reads.set(reads.get() + 1);
                tokio::task::yield_now().await;
                (Calls { made: 1, limits: Vec::new() }, Ok(Noted(now)))
            };
            shared.bring_up_to_date(now, read).await.expect("it is read").made
        };

        let made = join_all((0..20).map(ask)).await;

        assert_eq!((reads.get(), made.iter().sum::<u32>()), (1, 1));
        assert!(shared.get(NOW - TimeDelta::milliseconds(20)).is_some());
    }

    #[tokio::test]
    async fn a_failure_that_is_told_again_costs_nobody_an_attempt() {
        let shared = SharedFacts::<Noted>::default();
        let fail = async |outcome: Outcome| {
            let read = async || (Calls::default(), Err(Failure::from(Answer::from(outcome))));
            shared.bring_up_to_date(NOW, read).await.unwrap_err().outcome
        };
        let failed = || Outcome::Retry { reason: Reason::ServerError, sent: Sent::No, not_before: None };

        assert!(matches!(fail(failed()).await, Outcome::Retry { .. }));
        assert_eq!(fail(failed()).await, Outcome::Throttled { not_before: Some(AFTER_FAILURE) });
    }

    #[tokio::test]
    async fn who_asks_after_a_failure_waits_once_for_the_rest_of_its_pause() {
        let shared = SharedFacts::<Noted>::default();
        let fail = async |secs: i64, got_further: bool| {
            let told = Outcome::Retry { reason: Reason::ServerError, sent: Sent::No, not_before: None }.into();
            let read = async || (Calls { made: 3, limits: Vec::new() }, Err(Failure { told, got_further }));
            let told = shared.bring_up_to_date(NOW + TimeDelta::seconds(secs), read).await.unwrap_err();
            (asked_for(&told).unwrap().as_secs(), told.calls_beside)
        };

        let mut at = 0;
        for pause in [2, 4, 8, 16, 30, 30] {
            assert_eq!(fail(at, false).await, (pause, 3));
            assert_eq!(fail(at + 1, false).await, (pause - 1, 0), "nobody else reads, and nothing is counted twice");
            at += pause as i64;
        }
        assert_eq!(fail(at, true).await, (2, 3), "one that got further is soon gone on with");
        assert_eq!(fail(at + 2, false).await, (4, 3));
    }

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
