//! `limits` of every sink: how many calls its destination may get.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    field::{Field, Parse, Wrong, brief},
    problems::Section,
};
use crate::domain::limits::Window;

/// How many calls a window may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallLimit {
    /// 1 to [`Self::MOST`].
    Calls(u32),
    /// Takes away a limit that the kind has by itself.
    Unlimited,
}

impl CallLimit {
    const MOST: u32 = 100_000_000;

    /// `None`: as many as one likes.
    pub fn calls(self) -> Option<u32> {
        match self {
            Self::Calls(calls) => Some(calls),
            Self::Unlimited => None,
        }
    }
}

impl fmt::Display for CallLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => calls.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl Parse for CallLimit {
    fn parse(value: Value) -> Result<Self, Wrong> {
        if value.as_str() == Some("unlimited") {
            return Ok(Self::Unlimited);
        }
        match value.as_u64() {
            Some(calls) if (1..=u64::from(Self::MOST)).contains(&calls) => Ok(Self::Calls(calls as u32)),
            _ => Err(Wrong::new(
                format!("{} is not a number of calls", brief(&value)),
                format!("use a number from 1 to {}, or \"unlimited\"", Self::MOST),
            )),
        }
    }
}

impl JsonSchema for CallLimit {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "CallLimit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "oneOf": [{ "type": "integer", "minimum": 1, "maximum": Self::MOST }, { "const": "unlimited" }]
        })
    }
}

impl Serialize for CallLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Calls(calls) => serializer.serialize_u32(*calls),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "they are the keys of the file")]
pub struct RawLimits {
    /// Most calls in any second, evenly spaced, or `"unlimited"`.
    per_second: Field<CallLimit>,
    /// Most calls in any 60 seconds, or `"unlimited"`.
    per_minute: Field<CallLimit>,
    /// Most calls in any 5 minutes, or `"unlimited"`.
    per_five_minutes: Field<CallLimit>,
    /// Most calls in any 60 minutes, or `"unlimited"`.
    per_hour: Field<CallLimit>,
    /// Most calls in any 24 hours, or `"unlimited"`.
    per_day: Field<CallLimit>,
    /// Most calls in a calendar month (UTC), or `"unlimited"`; each day gets a share of it.
    per_month: Field<CallLimit>,
}

/// What the file says about calls; a window it leaves out has the limit of the sink's kind, if that has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitSettings(BTreeMap<Window, CallLimit>);

impl LimitSettings {
    pub fn of(&self, window: Window) -> Option<CallLimit> {
        self.0.get(&window).copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for LimitSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(window, limit)| (key(*window), limit)))
    }
}

fn key(window: Window) -> &'static str {
    match window {
        Window::Second => "per_second",
        Window::Minute => "per_minute",
        Window::FiveMinutes => "per_five_minutes",
        Window::Hour => "per_hour",
        Window::Day => "per_day",
        Window::Month => "per_month",
    }
}

impl RawLimits {
    pub(super) fn validate(self, section: &mut Section<'_>) -> LimitSettings {
        let windows = [
            (Window::Second, self.per_second),
            (Window::Minute, self.per_minute),
            (Window::FiveMinutes, self.per_five_minutes),
            (Window::Hour, self.per_hour),
            (Window::Day, self.per_day),
            (Window::Month, self.per_month),
        ];
        let stated =
            windows.into_iter().filter_map(|(window, field)| Some((window, section.take(key(window), field)?)));
        LimitSettings(stated.collect())
    }
}
