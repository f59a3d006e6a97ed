//! How often the application may ask one organisation. Source: Xero developer documentation, OAuth 2.0 API limits: five
//! calls in progress, 60 a minute, 5,000 a day, 10,000 a minute for the application; windows are fixed, and begin when
//! Xero chooses; what is left stands in a header of every answer. Observed (databuzz.com.au, maesn.com): 1,000 a day on
//! the free tier.
//!
//! Assumed: a call that is refused does not count.

use std::time::Duration;

use super::rules::Manner;
use crate::simulator::faults::Answer;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// None: as many as one likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XeroLimits {
    pub in_progress: Option<u32>,
    pub per_minute: Option<u32>,
    pub per_day: Option<u32>,
    /// All organisations together.
    pub app_per_minute: Option<u32>,
}

impl XeroLimits {
    pub const DOCUMENTED: Self =
        Self { in_progress: Some(5), per_minute: Some(60), per_day: Some(5_000), app_per_minute: Some(10_000) };
    /// The free tier.
    pub const STARTER: Self = Self { per_day: Some(1_000), ..Self::DOCUMENTED };
    pub const NONE: Self = Self { in_progress: None, per_minute: None, per_day: None, app_per_minute: None };
}

/// Which limit a call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    Concurrent,
    Minute,
    Day,
    AppMinute,
}

/// Counts the calls of a window whose edges do not move.
#[derive(Debug)]
struct FixedWindow {
    limit: Option<u32>,
    length: Duration,
    /// How much of the first window had passed when the simulator started.
    lead: Duration,
    index: u128,
    used: u32,
}

impl FixedWindow {
    fn new(limit: Option<u32>, length: Duration, lead: Duration) -> Self {
        Self { limit, length, lead, index: 0, used: 0 }
    }

    fn turn_to(&mut self, now: Duration) {
        let index = (now + self.lead).as_millis() / self.length.as_millis();
        if index != self.index {
            (self.index, self.used) = (index, 0);
        }
    }

    fn left(&self) -> Option<u32> {
        self.limit.map(|limit| limit.saturating_sub(self.used))
    }

    /// Whole seconds, rounded up, so that a call after them is in the next window.
    fn ends_in(&self, now: Duration) -> u64 {
        let passed = (now + self.lead).as_millis() % self.length.as_millis();
        (self.length.as_millis() - passed).div_ceil(1000) as u64
    }
}

#[derive(Debug)]
pub(super) struct Throttle {
    in_progress: Option<u32>,
    minute: FixedWindow,
    day: FixedWindow,
    app_minute: FixedWindow,
}

/// Where the application stands after a call.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub problem: Option<Problem>,
    retry_after: Option<u64>,
    minute_left: Option<u32>,
    day_left: Option<u32>,
    app_minute_left: Option<u32>,
}

impl Throttle {
    /// `lead` is how much of each first window has passed already.
    pub(super) fn new(limits: XeroLimits, lead: Duration) -> Self {
        Self {
            in_progress: limits.in_progress,
            minute: FixedWindow::new(limits.per_minute, MINUTE, lead),
            day: FixedWindow::new(limits.per_day, DAY, lead),
            app_minute: FixedWindow::new(limits.app_per_minute, MINUTE, lead),
        }
    }

    /// Counts a call unless it is over a limit. `running` are the calls in progress, this one among them.
    pub(super) fn ask(&mut self, running: u32, now: Duration) -> Told {
        let Self { in_progress, minute, day, app_minute } = self;
        let mut over = in_progress.is_some_and(|most| running > most).then_some((Problem::Concurrent, None));
        for (window, problem) in
            [(&mut *day, Problem::Day), (&mut *minute, Problem::Minute), (&mut *app_minute, Problem::AppMinute)]
        {
            window.turn_to(now);
            if over.is_none() && window.left() == Some(0) {
                // Source: only of the limits of a minute and a day it is said that they tell when to come back.
                over = Some((problem, (problem != Problem::AppMinute).then(|| window.ends_in(now))));
            }
        }
        if over.is_none() {
            for window in [&mut *minute, &mut *day, &mut *app_minute] {
                window.used += 1;
            }
        }
        Told {
            problem: over.map(|(problem, _)| problem),
            retry_after: over.and_then(|(_, wait)| wait),
            minute_left: minute.left(),
            day_left: day.left(),
            app_minute_left: app_minute.left(),
        }
    }

    /// Uses up what is left of the day, as another connection of the same application may.
    pub(super) fn use_up_the_day(&mut self, now: Duration) {
        self.day.turn_to(now);
        self.day.used = self.day.limit.unwrap_or_default();
    }
}

impl Told {
    pub(super) fn write(&self, mut answer: Answer, manner: &Manner) -> Answer {
        let left = [
            ("x-minlimit-remaining", self.minute_left),
            ("x-daylimit-remaining", self.day_left),
            ("x-appminlimit-remaining", self.app_minute_left),
        ];
        for (name, left) in left {
            if let Some(left) = left {
                answer = answer.header(name, &left.to_string());
            }
        }
        let Some(problem) = self.problem else { return answer };
        let (text, retry_after) = match problem {
            Problem::Concurrent => (manner.problems.concurrent, manner.concurrency_retry_after),
            Problem::Minute => (manner.problems.minute, self.retry_after),
            Problem::Day => (manner.problems.day, self.retry_after),
            Problem::AppMinute => (manner.problems.app_minute, self.retry_after),
        };
        answer = answer.header("x-rate-limit-problem", text);
        match retry_after {
            Some(seconds) => answer.header("retry-after", &seconds.to_string()),
            None => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn headers(told: &Told) -> Vec<(String, String)> {
        told.write(Answer { status: 200, headers: Vec::new(), body: Vec::new().into() }, &Manner::default()).headers
    }

    fn throttle() -> Throttle {
        Throttle::new(XeroLimits::DOCUMENTED, secs(20))
    }

    #[test]
    fn the_sixtieth_call_of_a_fixed_minute_passes_and_the_next_waits_for_its_end() {
        let mut throttle = throttle();
        for _ in 0..60 {
            assert_eq!(throttle.ask(1, secs(5)).problem, None);
        }

        let told = throttle.ask(1, secs(10));

        assert_eq!(told.problem, Some(Problem::Minute));
        let expected = [
            ("x-minlimit-remaining", "0"),
            ("x-daylimit-remaining", "4940"),
            ("x-appminlimit-remaining", "9940"),
            ("x-rate-limit-problem", "Minute"),
            // Twenty seconds of the minute had passed at the start.
            ("retry-after", "30"),
        ];
        assert_eq!(headers(&told), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(throttle.ask(1, secs(39)).problem, Some(Problem::Minute));
        assert_eq!(throttle.ask(1, secs(40)).problem, None);
    }

    #[test]
    fn the_day_is_told_before_the_minute_and_lasts_until_its_end() {
        let mut throttle = throttle();
        throttle.use_up_the_day(secs(0));

        assert_eq!(throttle.ask(1, secs(100)).problem, Some(Problem::Day));
        assert_eq!(throttle.ask(1, secs(100)).retry_after, Some(86_400 - 120));
        assert_eq!(throttle.ask(1, secs(86_400 - 20)).problem, None);
    }

    #[test]
    fn the_sixth_call_in_progress_is_refused_and_not_counted() {
        let mut throttle = throttle();
        assert_eq!(throttle.ask(5, secs(0)).problem, None);

        let told = throttle.ask(6, secs(0));

        assert_eq!((told.problem, told.minute_left), (Some(Problem::Concurrent), Some(59)));
        assert!(!headers(&told).iter().any(|(name, _)| name == "retry-after"));
    }

    #[test]
    fn without_limits_everything_passes_and_nothing_is_told() {
        let mut throttle = Throttle::new(XeroLimits::NONE, Duration::ZERO);
        let told = throttle.ask(1_000, secs(0));

        assert_eq!((told.problem, headers(&told)), (None, Vec::new()));
    }
}
