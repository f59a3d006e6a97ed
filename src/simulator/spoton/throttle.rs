//! How often the application may ask. Source: SpotOn, Rate Limiting: each API is counted on its own; a call over the
//! limit is answered 429, and `x-ratelimit-limit`, `-remaining` and `-reset` tell where one stands.
//!
//! Assumed: the headers are on every answer, the window slides, and a refused call does not count.

use std::{collections::HashMap, time::Duration};

use super::{Api, rules::RateHeaders};
use crate::simulator::{
    faults::Answer,
    limits::{Limit, SlidingWindow},
};

/// Source: SpotOn, Rate Limiting: "subject to change".
pub const DOCUMENTED: [Limit; 2] =
    [Limit { calls: 50, window: Duration::from_secs(1) }, Limit { calls: 1_500, window: Duration::from_mins(1) }];

#[derive(Debug)]
pub(super) struct Throttle {
    limits: Vec<Limit>,
    apis: HashMap<Api, Vec<SlidingWindow>>,
}

/// Where the application stands with one API after a call.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub is_refused: bool,
    limit: String,
    remaining: u32,
    reset: Duration,
}

impl Throttle {
    pub(super) fn new(limits: Vec<Limit>) -> Self {
        Self { limits, apis: HashMap::new() }
    }

    /// Counts a call, unless it is over a limit. None where there are no limits.
    pub(super) fn ask(&mut self, api: Api, now: Duration) -> Option<Told> {
        let limits = &self.limits;
        let windows =
            self.apis.entry(api).or_insert_with(|| limits.iter().map(|limit| SlidingWindow::new(*limit)).collect());
        let is_refused = windows.iter_mut().any(|window| !window.wait(now).is_zero());
        if !is_refused {
            for window in windows.iter_mut() {
                window.take(now);
            }
        }
        let tightest = windows.iter_mut().map(|window| (window.left(now), window.resets_in(now)));
        // Where several are used up, the one that stays so the longest.
        let (remaining, reset) = tightest.min_by_key(|(left, reset)| (*left, std::cmp::Reverse(*reset)))?;
        let limit = self.limits.iter().map(|limit| format!("{};w={}", limit.calls, limit.window.as_secs()));
        let limit = limit.collect::<Vec<_>>().join(", ");
        Some(Told { is_refused, limit, remaining, reset })
    }
}

impl Told {
    /// Adds the headers to an answer.
    pub(super) fn write(&self, answer: Answer, how: RateHeaders) -> Answer {
        let reset = self.reset.as_millis().div_ceil(1000);
        let texts = match how {
            RateHeaders::Told => [self.limit.clone(), self.remaining.to_string(), reset.to_string()],
            RateHeaders::Garbage => ["many;w=, -".to_owned(), "a few".to_owned(), "-1.5e9 soon".to_owned()],
            RateHeaders::Missing => return answer,
        };
        let names = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
        names.into_iter().zip(texts).fold(answer, |answer, (name, text)| answer.header(name, &text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn each_api_is_counted_by_itself_and_within_both_windows() {
        let mut throttle = Throttle::new(DOCUMENTED.into());
        let mut refused = |api, at| throttle.ask(api, at).expect("there are limits").is_refused;

        assert!((0..50).all(|_| !refused(Api::Order, ms(0))));
        assert!(refused(Api::Order, ms(999)));
        assert!(!refused(Api::Reporting, ms(999)));
        assert!(!refused(Api::Order, ms(1000)));
        for second in 2..30 {
            assert!((0..50).all(|_| !refused(Api::Order, ms(second * 1000))), "second {second}");
        }
    }

    #[test]
    fn the_minute_is_used_up_although_the_second_is_not() {
        let mut throttle = Throttle::new(DOCUMENTED.into());
        for second in 0..30 {
            assert!((0..50).all(|_| !throttle.ask(Api::Order, ms(second * 1000)).expect("limits").is_refused));
        }

        let told = throttle.ask(Api::Order, ms(40_200)).expect("limits");
        let answer = told.write(Answer::json(200, ""), RateHeaders::Told).response();
        let headers = answer.headers();

        assert!(told.is_refused);
        assert_eq!(headers["x-ratelimit-limit"], "50;w=1, 1500;w=60");
        assert_eq!(headers["x-ratelimit-remaining"], "0");
        assert_eq!(headers["x-ratelimit-reset"], "20", "rounded up");
        assert!(!throttle.ask(Api::Order, ms(60_000)).expect("limits").is_refused);
    }

    #[test]
    fn without_limits_nothing_is_told() {
        assert!(Throttle::new(Vec::new()).ask(Api::Order, ms(0)).is_none());
    }
}
