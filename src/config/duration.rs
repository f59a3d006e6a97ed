//! Durations as people write them: `"10s"`, `"90m"`, `"1h 30m"`.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serializer;
use serde_json::Value;

use super::field::{Parse, Wrong, brief};

/// Longest duration any key takes. Keeps every later sum of instants in range.
pub const LONGEST: Duration = Duration::from_hours(365 * 24);

/// A duration of at most [`LONGEST`], whole milliseconds; zero is a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub struct RawDuration(pub Duration);

impl Parse for RawDuration {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let suggestion = "write a number and its unit in quotes, as \"30s\", \"5m\", \"1h 30m\" or \"3d\"";
        let parsed = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        let Some(duration) = parsed else {
            return Err(Wrong::new(format!("{} is not a duration", brief(&value)), suggestion));
        };
        if duration > LONGEST {
            return Err(Wrong::new(format!("{} is too long", brief(&value)), "use 365d or less"));
        }
        if duration.subsec_nanos() % 1_000_000 != 0 {
            return Err(Wrong::new(format!("{} is finer than a millisecond", brief(&value)), "use whole milliseconds"));
        }
        Ok(Self(duration))
    }
}

impl JsonSchema for RawDuration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "title": "duration", "type": "string", "examples": ["30s", "5m", "1h 30m"] })
    }
}

/// As a person would write it: hours up to three days, then whole days: `"1h 30m"`, `"72h"`, `"30d"`.
pub fn shown(duration: Duration) -> String {
    const DAY_MS: u128 = 24 * 3_600_000;

    let ms = duration.as_millis();
    if ms > 3 * DAY_MS && ms.is_multiple_of(DAY_MS) {
        return format!("{}d", ms / DAY_MS);
    }
    let parts = [(ms / 3_600_000, "h"), (ms / 60_000 % 60, "m"), (ms / 1000 % 60, "s"), (ms % 1000, "ms")];
    let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(*duration))
}

pub(super) fn serialize_list<S: Serializer>(durations: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(durations.iter().map(|duration| shown(*duration)))
}
