//! How one key's value is read: kept as it stands first, judged later, so that one bad value hides no other.
//!
//! The raw structs of this module's neighbours mirror the file: each of their fields is a [`Field`]. Deserialising such
//! a struct cannot fail; [`super::problems::Section`] takes the fields one by one and notes what is wrong with each.

use std::{borrow::Cow, fmt, marker::PhantomData};

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Key under which the text of an environment override travels through the tree. No TOML key a person writes has it.
const ENV_TEXT: &str = "\0env";

/// Marks text that came from the environment: it has no type yet, the key it is for decides.
pub fn env_value(text: String) -> Value {
    Value::Object(Map::from_iter([(ENV_TEXT.to_owned(), Value::String(text))]))
}

pub fn env_text(value: &Value) -> Option<&str> {
    value.as_object()?.get(ENV_TEXT)?.as_str()
}

/// One key of a raw table: absent, or a value that nobody has judged yet. `T` says what it should become.
pub struct Field<T> {
    value: Option<Value>,
    becomes: PhantomData<fn() -> T>,
}

impl<T> Field<T> {
    pub fn is_absent(&self) -> bool {
        self.value.is_none()
    }

    pub(super) fn of(value: Value) -> Self {
        Self { value: Some(value), becomes: PhantomData }
    }

    pub(super) fn into_value(self) -> Option<Value> {
        self.value
    }
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self { value: None, becomes: PhantomData }
    }
}

/// Says only whether a value is there: it may be a secret.
impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_absent() { "Field(absent)" } else { "Field(present)" })
    }
}

impl<'de, T> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::of)
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// Why a value cannot be used. Never repeats the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub problem: String,
    pub suggestion: String,
}

impl Wrong {
    pub fn new(problem: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self { problem: problem.into(), suggestion: suggestion.into() }
    }

    /// Several as one, each suggestion once. `None` where there are none.
    fn join(wrongs: impl Iterator<Item = Self>) -> Option<Self> {
        wrongs.reduce(|all, next| {
            let suggestion = if all.suggestion.contains(&next.suggestion) {
                all.suggestion
            } else {
                format!("{}; {}", all.suggestion, next.suggestion)
            };
            Self { problem: format!("{}; {}", all.problem, next.problem), suggestion }
        })
    }

    fn not(value: &Value, form: &str, suggestion: &str) -> Self {
        Self::new(format!("{} is not {form}", brief(value)), suggestion)
    }
}

/// What a key's value can become.
pub trait Parse: Sized {
    /// From what the file says.
    fn parse(value: Value) -> Result<Self, Wrong>;

    /// From what an environment variable says: its text as it is, or else as TOML (`8`, `true`, `["a", "b"]`).
    fn parse_text(text: &str) -> Result<Self, Wrong> {
        Self::parse(Value::String(text.to_owned())).or_else(|wrong| match super::read::toml_value(text) {
            Some(value) if !value.is_string() => Self::parse(value),
            _ => Err(wrong),
        })
    }
}

impl Parse for bool {
    fn parse(value: Value) -> Result<Self, Wrong> {
        value.as_bool().ok_or_else(|| Wrong::not(&value, "a truth value", "write `true` or `false`, without quotes"))
    }
}

impl Parse for u32 {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| Wrong::not(&value, "a whole number", "write digits only, without quotes or unit"))
    }
}

impl Parse for String {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value {
            Value::String(text) if text.trim().is_empty() => {
                Err(Wrong::new("is empty", "write a value or leave the key out"))
            }
            Value::String(text) => Ok(text),
            other => Err(Wrong::not(&other, "text", "put it in double quotes")),
        }
    }
}

impl Parse for DateTime<Utc> {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let instant = value.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        let instant = instant.map(|instant| instant.with_timezone(&Utc));
        let suggestion = "write date, time and zone, as \"2026-01-01T00:00:00Z\"";
        instant.ok_or_else(|| Wrong::not(&value, "an instant", suggestion))
    }
}

impl<T: Parse> Parse for Vec<T> {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value {
            Value::Array(entries) => {
                let (good, bad): (Vec<_>, Vec<_>) = entries.into_iter().map(T::parse).partition(Result::is_ok);
                match Wrong::join(bad.into_iter().filter_map(Result::err)) {
                    Some(wrong) => Err(wrong),
                    None => Ok(good.into_iter().filter_map(Result::ok).collect()),
                }
            }
            other => Err(Wrong::not(&other, "a list", "put the entries in square brackets, as [\"a\", \"b\"]")),
        }
    }
}

/// A table whose keys are fixed: `T` is its raw struct.
#[derive(Debug)]
pub struct Table<T> {
    pub(super) entries: Map<String, Value>,
    becomes: PhantomData<fn() -> T>,
}

impl<T> Parse for Table<T> {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value {
            Value::Object(entries) => Ok(Self { entries, becomes: PhantomData }),
            other => Err(Wrong::not(&other, "a table", "write `{ key = value }`, or a `[table]` of its own")),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Table<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// A table whose keys are names that its user chose, each holding a `T`.
#[derive(Debug)]
pub struct Named<T> {
    pub(super) entries: Map<String, Value>,
    becomes: PhantomData<fn() -> T>,
}

impl<T> Parse for Named<T> {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let Table::<T> { entries, .. } = Table::parse(value)?;
        Ok(Self { entries, becomes: PhantomData })
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": entry })
    }
}

/// A struct that mirrors one table of the file, all of whose fields are [`Field`]s.
pub trait RawTable: DeserializeOwned + Default + JsonSchema {
    /// Takes what it knows and leaves the rest: unknown keys are [`super::problems::Section`]'s business.
    fn from_entries(entries: Map<String, Value>) -> Self {
        serde_json::from_value(Value::Object(entries)).expect("every field of a raw table takes any value")
    }
}

impl<T: DeserializeOwned + Default + JsonSchema> RawTable for T {}

/// The keys a raw table has, from the same description its JSON Schema is made of.
pub fn known_keys<T: JsonSchema>() -> Vec<String> {
    let mut generator =
        schemars::generate::SchemaSettings::default().with(|s| s.inline_subschemas = true).into_generator();
    let schema = T::json_schema(&mut generator);
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// A value as shown beside its problem: short, and only its kind where it holds others.
pub fn brief(value: &Value) -> String {
    const LONGEST: usize = 60;
    match value {
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Null => "this number".to_owned(),
        Value::String(text) if text.chars().count() > LONGEST => {
            format!("{:?}", text.chars().take(LONGEST).chain(['…']).collect::<String>())
        }
        scalar => scalar.to_string(),
    }
}

/// Implements [`Parse`], `JsonSchema` and `as_str` for an enum that is written as one of a few words. Those behind a
/// semicolon are understood, and neither suggested nor in the schema: they are for the tests.
macro_rules! choice {
    ($name:ident {
        $($variant:ident = $word:literal),+ $(,)?
        $(; $(#[$if:meta])* $unsaid:ident = $unsaid_word:literal)?
    }) => {
        impl $name {
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                    $($(#[$if])* Self::$unsaid => $unsaid_word,)?
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl $crate::config::field::Parse for $name {
            fn parse(value: serde_json::Value) -> Result<Self, $crate::config::field::Wrong> {
                match value.as_str() {
                    $(Some($word) => Ok(Self::$variant),)+
                    $($(#[$if])* Some($unsaid_word) => Ok(Self::$unsaid),)?
                    _ => Err($crate::config::field::not_a_choice(&value, Self::WORDS)),
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": Self::WORDS })
            }
        }
    };
}
pub(crate) use choice;

pub fn not_a_choice(value: &Value, words: &[&str]) -> Wrong {
    let meant = value.as_str().and_then(|text| super::problems::nearest(text, words.iter().copied()));
    let all = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let suggestion = match meant {
        Some(word) => format!("did you mean \"{word}\"? (one of {all})"),
        None => format!("use one of {all}"),
    };
    Wrong::new(format!("{} is not known here", brief(value)), suggestion)
}
