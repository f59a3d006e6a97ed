//! The JSON Schema of the configuration file, for editors.

use serde_json::Value;

use super::{MANUAL, RawSettings};

/// Made of the raw structs, their doc comments, and the defaults that `config/default.toml` states.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(RawSettings).to_value();
    schema["title"] = "scoffable-sync.toml".into();
    let manual: toml::Table = MANUAL.parse().expect("the manual is TOML, which a test proves");
    let root = schema.clone();
    for (key, value) in manual {
        add_default(&mut schema, &root, &["properties".to_owned(), key], &value);
    }
    schema
}

/// Writes a value of the manual beside the key it belongs to, following references into the definitions.
fn add_default(schema: &mut Value, root: &Value, path: &[String], value: &toml::Value) {
    let pointer = format!("/{}", path.join("/"));
    let Some(here) = schema.pointer(&pointer) else { return };
    let reference = here.get("$ref").and_then(Value::as_str).map(|target| target.trim_start_matches("#/"));
    let path: Vec<String> = match reference {
        Some(target) => target.split('/').map(str::to_owned).collect(),
        None => path.to_vec(),
    };
    let at = |steps: &[&str]| [path.clone(), steps.iter().map(|&step| step.to_owned()).collect()].concat();
    let toml::Value::Table(entries) = value else {
        if let Some(here) = schema.pointer_mut(&pointer) {
            here["default"] = serde_json::to_value(value).unwrap_or_default();
        }
        return;
    };
    for (key, value) in entries {
        for step in [at(&["properties", key]), at(&["additionalProperties"]), at(&["oneOf", "0", "properties", key])] {
            add_default(schema, root, &step, value);
        }
    }
}
