//! Finds the configuration file and merges what overrides it into one tree. Judges no key.

use std::path::{Path, PathBuf};

use config::{ConfigBuilder, Environment, File, FileFormat, ValueKind, builder::DefaultState};
use serde_json::{Map, Value};

use super::{ConfigError, LoadOptions, field::env_value};

/// Names the configuration file when `--config` does not.
pub const FILE_VARIABLE: &str = "SCOFFABLE_SYNC_CONFIG";
/// `SCOFFABLE_SYNC__HTTP__LISTEN` overrides `http.listen`.
const PREFIX: &str = "SCOFFABLE_SYNC";
const SEPARATOR: &str = "__";
/// Where the file is looked for when nothing names it, in this order.
pub const SEARCHED: [&str; 2] = ["./scoffable-sync.toml", "/etc/scoffable-sync/scoffable-sync.toml"];

/// Origin that `config` notes for values that overrode the file.
const FROM_ENVIRONMENT: &str = "the environment";

/// The environment variable that sets this key.
pub fn variable_for(key: &str) -> String {
    format!("{PREFIX}{SEPARATOR}{}", key.replace('.', SEPARATOR).to_uppercase())
}

/// The file that `load` reads. `None` where nothing names one and none is found, but overrides may make up for it.
pub(super) fn find(options: &LoadOptions) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(file) = &options.file {
        return Ok(Some(file.clone()));
    }
    if let Some(file) = options.env.get(FILE_VARIABLE).filter(|file| !file.is_empty()) {
        return Ok(Some(file.into()));
    }
    let found = options.searched.iter().find(|file| file.exists()).cloned();
    match found {
        None if overrides(options).next().is_none() => Err(ConfigError::NotFound),
        found => Ok(found),
    }
}

fn overrides(options: &LoadOptions) -> impl Iterator<Item = (String, String)> {
    let prefix = format!("{PREFIX}{SEPARATOR}");
    let from_env = options.env.iter().filter(move |(name, _)| name.to_uppercase().starts_with(&prefix));
    let from_env = from_env.map(|(name, text)| (name.to_owned(), text.to_owned()));
    from_env.chain(options.overrides.iter().map(|(key, text)| (variable_for(key), text.clone())))
}

/// The document as a tree: the file, then the environment, then `options.overrides`.
pub(super) fn tree(file: Option<&Path>, options: &LoadOptions) -> Result<Map<String, Value>, ConfigError> {
    let mut builder = ConfigBuilder::<DefaultState>::default();
    if let Some(path) = file {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        check_syntax(path, &text)?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let environment = Environment::with_prefix(PREFIX).separator(SEPARATOR);
    let environment = environment.source(Some(overrides(options).collect()));
    let merged = builder.add_source(environment).build().map_err(ConfigError::Merge)?;
    match to_json(merged.cache) {
        Value::Object(tree) => Ok(tree),
        _ => Ok(Map::new()),
    }
}

/// Refuses what is not TOML with line and column, but without quoting the line: it may hold a secret.
fn check_syntax(path: &Path, text: &str) -> Result<(), ConfigError> {
    let Err(error) = toml::de::DeTable::parse(text) else { return Ok(()) };
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.chars().rev().take_while(|&character| character != '\n').count();
    Err(ConfigError::Syntax { path: path.to_owned(), line, column, message: error.message().to_owned() })
}

fn to_json(value: config::Value) -> Value {
    let overridden = value.origin() == Some(FROM_ENVIRONMENT);
    match value.kind {
        ValueKind::String(text) if overridden => env_value(text),
        ValueKind::String(text) => Value::String(text),
        ValueKind::Boolean(truth) => Value::Bool(truth),
        ValueKind::I64(number) => number.into(),
        ValueKind::U64(number) => number.into(),
        ValueKind::Float(number) => number.into(),
        ValueKind::Array(entries) => entries.into_iter().map(to_json).collect(),
        ValueKind::Table(entries) => entries.into_iter().map(|(key, value)| (key, to_json(value))).collect(),
        ValueKind::I128(_) | ValueKind::U128(_) | ValueKind::Nil => Value::Null,
    }
}

/// The text of an override as a TOML value, if it is one.
pub(super) fn toml_value(text: &str) -> Option<Value> {
    let document: toml::Table = format!("value = {text}").parse().ok()?;
    let only = (document.len() == 1).then(|| document.get("value").cloned()).flatten()?;
    serde_json::to_value(only).ok()
}
