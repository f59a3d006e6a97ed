//! The JSON Schema of the configuration file, for editors.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{MANUAL, RawSettings, field::known_keys, sink::RawSinkCommon};

/// The manual's example of each kind of sink. What all kinds share stands in the first.
const EXAMPLES: [(&str, &str); 6] = [
    ("webhook", "hook"),
    ("spoton", "pos"),
    ("godatafeed", "feed"),
    ("xero", "books"),
    ("unleashed", "stock"),
    ("lightspeed", "till"),
];

/// Made of the raw structs, their doc comments, and the defaults that `config/default.toml` states.
pub fn schema() -> Value {
    let generator = SchemaSettings::default().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<RawSettings>().to_value();
    schema["title"] = "scoffable-sync.toml".into();
    let manual: toml::Table = MANUAL.parse().expect("the manual is TOML, which a test proves");
    add_defaults(&mut schema, &toml::Value::Table(manual));
    schema
}

/// Writes the manual's values beside the keys they belong to. The manual's source stands for every name, and its sinks
/// for every name of their kind.
fn add_defaults(schema: &mut Value, stated: &toml::Value) {
    let toml::Value::Table(entries) = stated else {
        // A default that differs by kind is there already.
        if schema.get("default").is_none() {
            schema["default"] = serde_json::to_value(stated).unwrap_or_default();
        }
        return;
    };
    for (key, value) in entries {
        if let Some(property) = schema.pointer_mut(&format!("/properties/{key}")) {
            add_defaults(property, value);
        } else if let Some(kinds) = schema.pointer_mut("/additionalProperties/oneOf").and_then(Value::as_array_mut) {
            for kind in kinds {
                add_defaults_of_sink(kind, key, value);
            }
        } else if let Some(named) = schema.get_mut("additionalProperties").filter(|named| named.is_object()) {
            add_defaults(named, value);
        }
    }
}

/// The same for one kind of sink: from its own example, and from the first what all kinds share.
fn add_defaults_of_sink(kind: &mut Value, example: &str, stated: &toml::Value) {
    let name = &kind["properties"]["kind"]["const"];
    if EXAMPLES.iter().any(|(kind, of_kind)| name == kind && example == *of_kind) {
        add_defaults(kind, stated);
    } else if example == EXAMPLES[0].1
        && let toml::Value::Table(entries) = stated
    {
        let common = known_keys::<RawSinkCommon>();
        let shared =
            entries.iter().filter(|(key, _)| common.contains(key)).map(|(key, value)| (key.clone(), value.clone()));
        add_defaults(kind, &toml::Value::Table(shared.collect()));
    }
}
