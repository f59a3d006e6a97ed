//! `[watch]`: from when on something is told that no single event tells.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    duration::{self, RawDuration},
    field::Field,
    problems::Section,
};

const DAY: Duration = Duration::from_hours(24);
/// The last hours of a stream are read again no more often, and no fewer of them.
const SHORTEST_REWALK: Duration = Duration::from_mins(30);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawWatch {
    /// Poll intervals without a page after which a source is silent.
    #[schemars(range(min = 1, max = 1000))]
    silent_polls: Field<u32>,
    /// Orders that an hour usually has, from which on their absence is told; 0 never tells.
    #[schemars(range(max = 1_000_000))]
    usual_orders: Field<u32>,
    /// Past weeks by which usual is judged.
    #[schemars(range(min = 2, max = 52))]
    usual_weeks: Field<u32>,
    /// How long before its end an unused refresh token is told of.
    credential_ahead: Field<RawDuration>,
    /// How long before its end a call budget is told of.
    budget_ahead: Field<RawDuration>,
    /// From one reading of the last hours to the next.
    rewalk_interval: Field<RawDuration>,
    /// How long ago such a reading begins.
    rewalk_back: Field<RawDuration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WatchSettings {
    pub silent_polls: u32,
    pub usual_orders: u32,
    pub usual_weeks: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub credential_ahead: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub budget_ahead: Duration,
    /// Zero: never.
    #[serde(serialize_with = "duration::serialize")]
    pub rewalk_interval: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub rewalk_back: Duration,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            silent_polls: 4,
            usual_orders: 8,
            usual_weeks: 6,
            credential_ahead: 14 * DAY,
            budget_ahead: Duration::from_hours(4),
            rewalk_interval: Duration::from_hours(6),
            rewalk_back: DAY,
        }
    }
}

impl RawWatch {
    pub(super) fn validate(self, section: &mut Section<'_>) -> WatchSettings {
        let default = WatchSettings::default();
        let rewalk_interval = section
            .duration("rewalk_interval", self.rewalk_interval, Duration::ZERO)
            .unwrap_or(default.rewalk_interval);
        if !rewalk_interval.is_zero() && rewalk_interval < SHORTEST_REWALK {
            section.problem(
                "rewalk_interval",
                format!("{} is too short: it costs calls of the platform's limit", duration::shown(rewalk_interval)),
                format!("use {} or more, or \"0s\" for never", duration::shown(SHORTEST_REWALK)),
            );
        }
        WatchSettings {
            silent_polls: section.number("silent_polls", self.silent_polls, 1..=1_000).unwrap_or(default.silent_polls),
            usual_orders: section
                .number("usual_orders", self.usual_orders, 0..=1_000_000)
                .unwrap_or(default.usual_orders),
            usual_weeks: section.number("usual_weeks", self.usual_weeks, 2..=52).unwrap_or(default.usual_weeks),
            credential_ahead: section
                .duration("credential_ahead", self.credential_ahead, Duration::ZERO)
                .unwrap_or(default.credential_ahead),
            budget_ahead: section
                .duration("budget_ahead", self.budget_ahead, Duration::ZERO)
                .unwrap_or(default.budget_ahead),
            rewalk_interval,
            rewalk_back: section
                .duration("rewalk_back", self.rewalk_back, SHORTEST_REWALK)
                .unwrap_or(default.rewalk_back),
        }
    }
}
