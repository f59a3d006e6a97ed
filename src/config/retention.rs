//! `[retention]`: how long what may hold personal data, and what only explains the past, is kept.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    duration::shown,
    field::{Field, Parse, Wrong, brief},
    problems::Section,
};

const DAY: Duration = Duration::from_hours(24);
/// Longest time that is not `never`: a hundred years.
const LONGEST: Duration = Duration::from_hours(24 * 36_500);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawRetention {
    /// Payloads of order versions that no sink is owed any more.
    payloads: Field<Keep>,
    /// What was tried and decided.
    attempts: Field<Keep>,
    /// Bytes of quarantined orders, counted from when they were resolved.
    quarantine: Field<Keep>,
    /// Alerts, counted from when they were resolved.
    alerts: Field<Keep>,
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// `"never"` removed.
    Forever,
    /// From a day to a hundred years.
    For(Duration),
}

impl Keep {
    /// The age from which it goes.
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(duration) => Some(duration),
        }
    }
}

impl Parse for Keep {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let suggestion = "write how long it is kept, from 1d to 36500d, as \"400d\", or \"never\" to remove nothing";
        if value.as_str() == Some("never") {
            return Ok(Self::Forever);
        }
        let parsed = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        match parsed {
            None => Err(Wrong::new(format!("{} is not a duration", brief(&value)), suggestion)),
            Some(duration) if duration < DAY => Err(Wrong::new(format!("{} is too short", brief(&value)), suggestion)),
            Some(duration) if duration > LONGEST => {
                Err(Wrong::new(format!("{} is too long", brief(&value)), suggestion))
            }
            Some(duration) => Ok(Self::For(duration)),
        }
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Forever => serializer.serialize_str("never"),
            Self::For(duration) => serializer.serialize_str(&shown(*duration)),
        }
    }
}

impl JsonSchema for Keep {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Keep".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "title": "age", "type": "string", "examples": ["400d", "90d", "never"] })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RetentionSettings {
    pub payloads: Keep,
    pub attempts: Keep,
    pub quarantine: Keep,
    pub alerts: Keep,
}

impl Default for RetentionSettings {
    /// A business year and a month.
    fn default() -> Self {
        let keep = Keep::For(400 * DAY);
        Self { payloads: keep, attempts: keep, quarantine: keep, alerts: keep }
    }
}

impl RetentionSettings {
    /// Whether there is anything that is ever removed.
    pub fn removes_something(&self) -> bool {
        [self.payloads, self.attempts, self.quarantine, self.alerts].iter().any(|keep| keep.limit().is_some())
    }
}

impl RawRetention {
    pub(super) fn validate(self, section: &mut Section<'_>) -> RetentionSettings {
        let default = RetentionSettings::default();
        RetentionSettings {
            payloads: section.take("payloads", self.payloads).unwrap_or(default.payloads),
            attempts: section.take("attempts", self.attempts).unwrap_or(default.attempts),
            quarantine: section.take("quarantine", self.quarantine).unwrap_or(default.quarantine),
            alerts: section.take("alerts", self.alerts).unwrap_or(default.alerts),
        }
    }
}
