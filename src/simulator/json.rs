//! JSON that is written member by member, and keeps every digit of an amount.

use std::fmt::Write;

use serde::Serialize;
use serde_json::value::RawValue;

/// A JSON object that is being written, in the order of its members.
#[derive(Debug, Clone, Default)]
pub(super) struct Object(String);

/// A finished piece of JSON.
pub(super) type Json = Box<RawValue>;

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let separator = if self.0.is_empty() { "" } else { "," };
        let value = serde_json::to_string(&value).expect("what is answered can be written as JSON");
        // Writing to a text does not fail.
        let _ = write!(self.0, "{separator}\"{name}\":{value}");
        self
    }

    /// Nothing where there is no value.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The members of something that is written as an object.
    #[must_use]
    pub fn with_members_of(mut self, value: &impl Serialize) -> Self {
        let text = serde_json::to_string(value).expect("what is answered can be written as JSON");
        let members = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        let separator = if self.0.is_empty() || members.is_empty() { "" } else { "," };
        self.0.push_str(separator);
        self.0.push_str(members);
        self
    }

    pub fn json(self) -> Json {
        RawValue::from_string(format!("{{{}}}", self.0)).expect("names and values make an object")
    }
}

/// The object with one member more.
pub(super) fn extended(object: &Json, name: &str, value: &str) -> Json {
    let members = object.get().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    Object(members.to_owned()).with(name, value).json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::xero::Cents;

    #[test]
    fn an_amount_keeps_its_places_and_what_is_missing_is_left_out() {
        let inner = Object::new().with("Total", Cents(1800)).json();
        let text = Object::new().with("Invoices", [inner]).with_some("page", None::<u32>).json();

        assert_eq!(text.get(), r#"{"Invoices":[{"Total":18.00}]}"#);
        assert_eq!(extended(&text, "more", "yes").get(), r#"{"Invoices":[{"Total":18.00}],"more":"yes"}"#);
        assert_eq!(Object::new().json().get(), "{}");
        assert_eq!(
            Object::new().with("a", 1).with_members_of(&text).json().get(),
            format!("{{\"a\":1,{}", &text.get()[1..])
        );
    }
}
