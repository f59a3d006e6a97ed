//! How often an application may ask one shop. Source: Lightspeed, "Rate limiting": in a window of five minutes 300 calls for
//! each register, and 50. Observed (summary of the same page): `X-RateLimit-Limit` and `X-RateLimit-Remaining`, and a time in
//! `Retry-After` as an HTTP date.
//!
//! Assumed: windows are fixed, a deleted register does not count, and neither does a call that is refused.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::rules::RetryAfter;
use crate::simulator::faults::Answer;

const WINDOW: Duration = Duration::from_mins(5);

/// Calls in a window of five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LightspeedLimits {
    pub per_register: u32,
    pub beside: u32,
}

impl LightspeedLimits {
    pub const DOCUMENTED: Self = Self { per_register: 300, beside: 50 };
}

#[derive(Debug)]
pub(super) struct Throttle {
    /// None: as often as one likes.
    limits: Option<LightspeedLimits>,
    /// How much of the first window had passed when the simulator started.
    lead: Duration,
    window: u128,
    used: u32,
}

/// Where the application stands after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    limit: u32,
    left: u32,
    /// How long until a call is let in again; none where this one was.
    pub wait: Option<Duration>,
}

impl Throttle {
    pub fn new(limits: Option<LightspeedLimits>, lead: Duration) -> Self {
        Self { limits, lead, window: 0, used: 0 }
    }

    /// Counts a call, unless it is over the limit.
    pub fn ask(&mut self, n_registers: usize, now: Duration) -> Option<Told> {
        let LightspeedLimits { per_register, beside } = self.limits?;
        let limit = per_register.saturating_mul(n_registers as u32).saturating_add(beside);
        let (since, length) = ((now + self.lead).as_millis(), WINDOW.as_millis());
        if since / length != self.window {
            (self.window, self.used) = (since / length, 0);
        }
        let is_over = self.used >= limit;
        self.used += u32::from(!is_over);
        let wait = is_over.then(|| Duration::from_millis((length - since % length) as u64));
        Some(Told { limit, left: limit.saturating_sub(self.used), wait })
    }
}

impl Told {
    pub fn write(self, answer: Answer, retry_after: RetryAfter, now: DateTime<Utc>) -> Answer {
        let answer = answer
            .header("x-ratelimit-limit", &self.limit.to_string())
            .header("x-ratelimit-remaining", &self.left.to_string());
        let Some(wait) = self.wait else { return answer };
        match retry_after {
            // A date has whole seconds only: the next one, so that a call after it is let in.
            RetryAfter::HttpDate => answer.header("retry-after", &http_date(now + wait + Duration::from_secs(1))),
            RetryAfter::Seconds => answer.retry_after(wait),
            RetryAfter::Missing => answer,
            RetryAfter::Garbage => answer.header("retry-after", "soon"),
        }
    }
}

/// As in RFC 1123.
pub(super) fn http_date(at: DateTime<Utc>) -> String {
    httpdate::fmt_http_date(at.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn one_register_has_350_calls_in_five_minutes_and_two_have_650() {
        let mut throttle = Throttle::new(Some(LightspeedLimits::DOCUMENTED), secs(100));
        for _ in 0..350 {
            assert_eq!(throttle.ask(1, secs(0)).and_then(|told| told.wait), None);
        }

        let over = throttle.ask(1, secs(10)).expect("there is a limit");
        assert_eq!(over, Told { limit: 350, left: 0, wait: Some(secs(190)) });
        assert_eq!(throttle.ask(2, secs(10)).map(|told| (told.limit, told.left)), Some((650, 299)));
        assert_eq!(throttle.ask(1, secs(200)).and_then(|told| told.wait), None, "the next window");
    }

    #[test]
    fn it_is_told_when_to_come_back() {
        let told = Told { limit: 350, left: 0, wait: Some(secs(90)) };
        let headers = |style| {
            let answer = Answer { status: 429, headers: Vec::new(), body: Vec::new().into() };
            let now = DateTime::from_timestamp(1_760_000_000, 0).expect("a time");
            told.write(answer, style, now).headers.into_iter().skip(2).map(|(_, value)| value).collect::<Vec<_>>()
        };

        assert_eq!(headers(RetryAfter::HttpDate), ["Thu, 09 Oct 2025 08:54:51 GMT"]);
        assert_eq!(headers(RetryAfter::Seconds), ["90"]);
        assert_eq!(headers(RetryAfter::Missing), [""; 0]);
        assert_eq!(headers(RetryAfter::Garbage), ["soon"]);
    }
}
