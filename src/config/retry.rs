//! `retry` and `breaker` of every sink: what waits, and how long, after a failure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    duration::{self, RawDuration, shown},
    field::Field,
    problems::Section,
};

/// Below this a failing destination would be hammered.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawRetry {
    /// Wait after the first failure; it doubles with each further one.
    initial: Field<RawDuration>,
    /// Longest wait while doubling.
    max: Field<RawDuration>,
    /// Wait once doubling has reached `max`, until `give_up_after`.
    slow_interval: Field<RawDuration>,
    /// Time since the first failure after which a delivery is parked.
    give_up_after: Field<RawDuration>,
}

/// How often a failed delivery is tried again. `initial <= max` and `slow_interval <= give_up_after`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetrySettings {
    #[serde(serialize_with = "duration::serialize")]
    pub initial: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub max: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub slow_interval: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub give_up_after: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(10),
            max: Duration::from_hours(1),
            slow_interval: Duration::from_hours(3),
            give_up_after: Duration::from_hours(72),
        }
    }
}

impl RawRetry {
    pub(super) fn validate(self, section: &mut Section<'_>) -> RetrySettings {
        let default = RetrySettings::default();
        let mut wait = |key, field, default| section.duration(key, field, SHORTEST_WAIT).unwrap_or(default);
        let retry = RetrySettings {
            initial: wait("initial", self.initial, default.initial),
            max: wait("max", self.max, default.max),
            slow_interval: wait("slow_interval", self.slow_interval, default.slow_interval),
            give_up_after: wait("give_up_after", self.give_up_after, default.give_up_after),
        };
        if retry.max < retry.initial && section.none_about(&["max", "initial"]) {
            section.problem(
                "max",
                format!(
                    "is {}, shorter than `{}` ({}): the first wait would already be too long",
                    shown(retry.max),
                    section.key("initial"),
                    shown(retry.initial)
                ),
                format!("use {} or more, or shorten `initial`", shown(retry.initial)),
            );
        }
        if retry.slow_interval > retry.give_up_after && section.none_about(&["slow_interval", "give_up_after"]) {
            section.problem(
                "slow_interval",
                format!(
                    "is {}, longer than `{}` ({}): the slow tries would never come",
                    shown(retry.slow_interval),
                    section.key("give_up_after"),
                    shown(retry.give_up_after)
                ),
                format!("use {} or less, or lengthen `give_up_after`", shown(retry.give_up_after)),
            );
        }
        retry
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawBreaker {
    /// Consecutive passing failures after which the sink is left alone.
    #[schemars(range(min = 1, max = 1000))]
    failures: Field<u32>,
    /// Time until the first delivery that tests whether the destination is back.
    probe: Field<RawDuration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerSettings {
    /// 1 or more.
    pub failures: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub probe: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, probe: Duration::from_secs(30) }
    }
}

impl RawBreaker {
    pub(super) fn validate(self, section: &mut Section<'_>) -> BreakerSettings {
        let default = BreakerSettings::default();
        BreakerSettings {
            failures: section.number("failures", self.failures, 1..=1000).unwrap_or(default.failures),
            probe: section.duration("probe", self.probe, SHORTEST_WAIT).unwrap_or(default.probe),
        }
    }
}
