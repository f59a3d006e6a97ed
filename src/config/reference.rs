//! The reference of the configuration: every key with its type, default and meaning, as Markdown.
//!
//! Made of the JSON Schema, so that no key is missing and none is made up. `config/reference.md` is what it says, which a
//! test proves.

use std::fmt::{self, Write};

use serde_json::{Map, Value};

use super::{field::known_keys, schema, sink::RawSinkCommon};

const INTRODUCTION: &str = "\
# Configuration reference

Written by `scoffable-sync config reference > config/reference.md`. [`default.toml`](default.toml) says more about each key, has an
example of it, and tells which ones are required; `check-config` names what is missing.

A *duration* is a number with its unit, as `\"500ms\"`, `\"30s\"`, `\"1h 30m\"` or `\"3d\"`; an *age* is one of `\"1d\"` or more, or
`\"never\"`. A *secret* is `{ env = \"NAME\" }`, `{ file = \"/path\" }` or the text itself. A *table* is keyed by names of yours, which
stand as `NAME` here. Money is in minor units (pennies). A key without a default is unset when it is left out. The environment
overrides each key: `database.url` is `SCOFFABLE_SYNC__DATABASE__URL`.
";

/// One section for each table of the file, one row for each key.
pub fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    write_sections(&schema(), &mut out).expect("writing into a string never fails");
    out
}

fn write_sections(schema: &Value, out: &mut String) -> fmt::Result {
    for (name, table) in &properties(schema) {
        let named = &table["additionalProperties"];
        if let Some(kinds) = named["oneOf"].as_array() {
            let (shared, first) = split(&properties(&kinds[0]));
            write_section(&format!("`[{name}.NAME]`, of every kind"), table, &shared, out)?;
            for (nth, kind) in kinds.iter().enumerate() {
                let word = kind["properties"]["kind"]["const"].as_str().unwrap_or_default();
                let own = if nth == 0 { first.clone() } else { besides(&shared, properties(kind)) };
                write_section(&format!("`[{name}.NAME]` with `kind = \"{word}\"`"), &Value::Null, &own, out)?;
            }
        } else if named.is_object() {
            write_section(&format!("`[{name}.NAME]`"), table, &properties(named), out)?;
        } else {
            write_section(&format!("`[{name}]`"), table, &properties(table), out)?;
        }
    }
    Ok(())
}

/// What all kinds of sinks have, and what is the first kind's alone.
fn split(keys: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let common = known_keys::<RawSinkCommon>();
    let mut shared = Map::new();
    let mut own = Map::new();
    for (key, is) in keys {
        let mut is = is.clone();
        // Every kind has its own word for it.
        is.as_object_mut().map(|is| is.remove("const"));
        if common.contains(key) { &mut shared } else { &mut own }.insert(key.clone(), is);
    }
    (shared, own)
}

/// The keys of a kind that differ from what all have: by being its own, or by their default.
fn besides(shared: &Map<String, Value>, keys: Map<String, Value>) -> Map<String, Value> {
    keys.into_iter().filter(|(key, is)| key != "kind" && shared.get(key) != Some(is)).collect()
}

fn write_section(heading: &str, table: &Value, keys: &Map<String, Value>, out: &mut String) -> fmt::Result {
    writeln!(out, "\n## {heading}\n")?;
    if let Some(meaning) = table["description"].as_str() {
        writeln!(out, "{meaning}\n")?;
    }
    writeln!(out, "| Key | Type | Default | Meaning |\n| --- | --- | --- | --- |")?;
    write_rows("", keys, out)
}

fn write_rows(at: &str, keys: &Map<String, Value>, out: &mut String) -> fmt::Result {
    for (key, is) in keys {
        let inner = properties(is);
        let of_each = properties(&is["additionalProperties"]);
        if inner.is_empty() {
            let default = is.get("default").map(|default| format!("`{default}`")).unwrap_or_default();
            let meaning = is["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
            writeln!(out, "| `{at}{key}` | {} | {default} | {meaning} |", type_of(is))?;
        }
        write_rows(&format!("{at}{key}."), &inner, out)?;
        write_rows(&format!("{at}{key}.NAME."), &of_each, out)?;
    }
    Ok(())
}

fn properties(table: &Value) -> Map<String, Value> {
    table["properties"].as_object().cloned().unwrap_or_default()
}

/// In a few words, for people; what the schema says exactly is for editors.
fn type_of(is: &Value) -> String {
    let words =
        |of: &Value| of.as_array().map(|words| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>());
    let any = is.get("oneOf").or(is.get("anyOf")).and_then(Value::as_array);
    if is["$ref"] == "#/$defs/Secret" {
        "secret".to_owned()
    } else if let Some(only) = is.get("const") {
        format!("`{only}`")
    } else if let Some(words) = words(&is["enum"]) {
        words.join(", ")
    } else if let Some(title) = is["title"].as_str() {
        title.to_owned()
    } else if let Some(any) = any {
        any.iter().map(type_of).collect::<Vec<_>>().join(" or ")
    } else {
        match is["type"].as_str() {
            Some("boolean") => "`true`, `false`".to_owned(),
            Some("integer") => number(is),
            Some("array") => format!("list of: {}", type_of(&is["items"])),
            Some("object") => match &is["additionalProperties"] {
                each if properties(each).is_empty() => format!("table of: {}", type_of(each)),
                _ => "table".to_owned(),
            },
            _ if is["format"] == "uri" => "address".to_owned(),
            _ if is["format"] == "date-time" => "instant".to_owned(),
            _ => "text".to_owned(),
        }
    }
}

fn number(is: &Value) -> String {
    match (is["minimum"].as_u64(), is["maximum"].as_u64()) {
        (Some(least), Some(most)) => format!("number, {least} to {most}"),
        (Some(least), None) if least > 0 => format!("number, {least} or more"),
        _ => "number".to_owned(),
    }
}
