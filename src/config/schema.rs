//! The JSON Schema of the configuration file, for editors.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::{MANUAL, RawSettings};

/// Made of the raw structs, their doc comments, and the defaults that `config/default.toml` states.
pub fn schema() -> Value {
    let generator = SchemaSettings::default().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<RawSettings>().to_value();
    schema["title"] = "scoffable-sync.toml".into();
    let manual: toml::Table = MANUAL.parse().expect("the manual is TOML, which a test proves");
    add_defaults(&mut schema, &toml::Value::Table(manual));
    schema
}

/// Writes the manual's values beside the keys they belong to. The manual's example names (`sources.main`) stand for
/// every name, and its sink for every kind that has the key.
fn add_defaults(schema: &mut Value, stated: &toml::Value) {
    let toml::Value::Table(entries) = stated else {
        schema["default"] = serde_json::to_value(stated).unwrap_or_default();
        return;
    };
    for (key, value) in entries {
        if let Some(property) = schema.pointer_mut(&format!("/properties/{key}")) {
            add_defaults(property, value);
        } else if let Some(kinds) = schema.pointer_mut("/additionalProperties/oneOf").and_then(Value::as_array_mut) {
            for kind in kinds {
                add_defaults(kind, value);
            }
        } else if let Some(named) = schema.get_mut("additionalProperties").filter(|named| named.is_object()) {
            add_defaults(named, value);
        }
    }
}
