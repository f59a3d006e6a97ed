//! Where a value stands in a JSON document, as the operator has seen it there.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::field::{Parse, Wrong};

/// An RFC 6901 pointer that is not the whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Pointer(String);

impl Pointer {
    /// The text there, trimmed; none where there is none.
    pub fn text<'v>(&self, value: &'v Value) -> Option<&'v str> {
        value.pointer(&self.0).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
    }

    pub fn value<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        value.pointer(&self.0)
    }

    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Parse for Pointer {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let text = String::parse(value)?;
        if text.starts_with('/') {
            return Ok(Self(text));
        }
        Err(Wrong::new(format!("{text:?} is not a JSON pointer"), "begin it with a slash, as \"/customer/name\""))
    }
}

impl JsonSchema for Pointer {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pointer".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "title": "JSON pointer", "type": "string", "pattern": "^/" })
    }
}
