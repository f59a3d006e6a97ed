//! Collects everything that is wrong with a configuration, so that it can be put right in one go.
//!
//! A [`Section`] walks one table: it takes each key's value, notes what is wrong with it under its full path, and goes
//! on. Nothing here knows what the keys mean; each table's own file does.

use std::{
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    duration::{RawDuration, shown},
    env::Env,
    field::{Field, Named, Parse, RawTable, Table, env_text, known_keys},
    read::variable_for,
    secret::{RawSecret, Secret},
};

/// One thing that is wrong, or in a warning: unwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Full path of the key, as `sinks.hook.retry.max`.
    pub key: String,
    /// What is wrong with it. Never the value of a secret.
    pub problem: String,
    /// What to write instead or to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n    {suggestion}"),
            None => Ok(()),
        }
    }
}

/// What reading a configuration brought up: problems prevent a start, warnings do not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Problems {
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl Problems {
    pub fn add(&mut self, key: impl Into<String>, problem: impl Into<String>, suggestion: impl Into<String>) {
        self.problems.push(Problem { key: key.into(), problem: problem.into(), suggestion: Some(suggestion.into()) });
    }

    pub fn warn(&mut self, key: impl Into<String>, problem: impl Into<String>, suggestion: impl Into<String>) {
        self.warnings.push(Problem { key: key.into(), problem: problem.into(), suggestion: Some(suggestion.into()) });
    }

    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether none of these keys has a problem of its own: only then may a contradiction between them be claimed.
    pub fn none_about(&self, keys: &[&str]) -> bool {
        !self.problems.iter().any(|problem| keys.contains(&problem.key.as_str()))
    }
}

/// One table under examination: where it stands, and where its problems go.
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    env: &'a Env,
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub fn root(env: &'a Env, problems: &'a mut Problems) -> Self {
        Self { path: String::new(), env, problems }
    }

    /// Full path of one of this table's keys.
    pub fn key(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    pub fn problem(&mut self, key: &str, problem: impl Into<String>, suggestion: impl Into<String>) {
        self.problems.add(self.key(key), problem, suggestion);
    }

    pub fn warn(&mut self, key: &str, problem: impl Into<String>, suggestion: impl Into<String>) {
        self.problems.warn(self.key(key), problem, suggestion);
    }

    /// See [`Problems::none_about`], for keys of this table.
    pub fn none_about(&self, keys: &[&str]) -> bool {
        let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
        self.problems.none_about(&keys.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The value of an optional key. `None` when it is absent, and when it is bad: then the problem has been noted.
    pub fn take<T: Parse>(&mut self, key: &str, field: Field<T>) -> Option<T> {
        let value = field.into_value()?;
        let path = self.key(key);
        let (parsed, from) = match env_text(&value) {
            Some(text) => (T::parse_text(text), format!(" (set by {})", variable_for(&path))),
            None => (T::parse(value), String::new()),
        };
        match parsed {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.problems.add(path, wrong.problem + &from, wrong.suggestion);
                None
            }
        }
    }

    /// The value of a key that must be there. `to_add` is the line to write when it is missing.
    pub fn require<T: Parse>(&mut self, key: &str, field: Field<T>, to_add: &str) -> Option<T> {
        if field.is_absent() {
            self.missing(key, to_add);
        }
        self.take(key, field)
    }

    pub fn missing(&mut self, key: &str, to_add: &str) {
        self.problem(key, "is missing", format!("add `{to_add}`"));
    }

    /// A whole number within limits that are part of it.
    pub fn number(&mut self, key: &str, field: Field<u32>, within: RangeInclusive<u32>) -> Option<u32> {
        let number = self.take(key, field)?;
        if within.contains(&number) {
            return Some(number);
        }
        let problem = format!("{number} is out of range");
        self.problem(key, problem, format!("use a number from {} to {}", within.start(), within.end()));
        None
    }

    /// A duration that is at least `least`. The upper limit is that of [`RawDuration`].
    pub fn duration(&mut self, key: &str, field: Field<RawDuration>, least: Duration) -> Option<Duration> {
        let RawDuration(duration) = self.take(key, field)?;
        if duration >= least {
            return Some(duration);
        }
        let problem = format!("{} is too short", shown(duration));
        self.problem(key, problem, format!("use {} or more", shown(least)));
        None
    }

    /// A list that says something: neither empty nor with an entry twice.
    pub fn list<T: Parse + fmt::Display>(&mut self, key: &str, field: Field<Vec<T>>) -> Option<Vec<T>> {
        let list = self.take(key, field)?;
        if list.is_empty() {
            self.problem(
                key,
                "is an empty list, which nothing matches",
                "list at least one entry, or leave the key out",
            );
            return None;
        }
        let entries: Vec<String> = list.iter().map(T::to_string).collect();
        let twice = entries.iter().enumerate().find(|(at, entry)| entries[..*at].contains(entry));
        if let Some((_, entry)) = twice {
            self.problem(key, format!("lists {entry:?} twice"), "list each entry once");
            return None;
        }
        Some(list)
    }

    /// A secret, read now from where it is kept. One that stands in the file itself earns a warning.
    pub fn secret(&mut self, key: &str, field: Field<RawSecret>) -> Option<Secret> {
        let raw = self.take(key, field)?;
        if matches!(raw, RawSecret::Inline(_)) {
            self.warn(
                key,
                "the secret stands in the configuration file",
                "keep it elsewhere: `{ env = \"NAME\" }` or `{ file = \"/run/secrets/name\" }`",
            );
        }
        self.read_secret(key, raw)
    }

    pub fn require_secret(&mut self, key: &str, field: Field<RawSecret>, to_add: &str) -> Option<Secret> {
        if field.is_absent() {
            self.missing(key, to_add);
        }
        self.secret(key, field)
    }

    /// Reads a secret without judging where it stands.
    pub fn read_secret(&mut self, key: &str, raw: RawSecret) -> Option<Secret> {
        match Secret::load(raw, self.env) {
            Ok(secret) => Some(secret),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                self.problem(key, format!("{error}{cause}"), error.what_to_do());
                None
            }
        }
    }

    /// A table inside this one; an absent one counts as empty.
    pub fn table<T: RawTable, R>(
        &mut self,
        key: &str,
        field: Field<Table<T>>,
        validate: impl FnOnce(T, &mut Section<'_>) -> R,
    ) -> R {
        let entries = self.take(key, field).map(|table| table.entries).unwrap_or_default();
        let mut section = self.within(key);
        section.refuse_unknown(&entries, &known_keys::<T>());
        validate(T::from_entries(entries), &mut section)
    }

    /// A table of tables, each under a name its user chose.
    pub fn named<T>(&mut self, key: &str, field: Field<Named<T>>) -> BTreeMap<String, Map<String, Value>> {
        let entries = self.take(key, field).map(|named| named.entries).unwrap_or_default();
        let mut tables = BTreeMap::new();
        for (name, value) in entries {
            match value {
                Value::Object(entries) if env_text(&Value::Object(entries.clone())).is_none() => {
                    tables.insert(name, entries);
                }
                _ => {
                    let table = format!("[{}]", self.within(key).key(&name));
                    self.within(key).problem(&name, "is not a table", format!("write a table `{table}`"));
                }
            }
        }
        tables
    }

    /// The entries of a table whose keys its user chose, to be taken one by one.
    pub fn entries<T>(&mut self, key: &str, field: Field<Named<T>>) -> Vec<(String, Field<T>)> {
        let entries = self.take(key, field).map(|named| named.entries).unwrap_or_default();
        entries.into_iter().map(|(name, value)| (name, Field::of(value))).collect()
    }

    pub fn within(&mut self, key: &str) -> Section<'_> {
        Section { path: self.key(key), env: self.env, problems: self.problems }
    }

    /// Notes every entry that is none of the known keys.
    pub fn refuse_unknown(&mut self, entries: &Map<String, Value>, known: &[String]) {
        for (key, value) in entries.iter().filter(|(key, _)| !known.contains(key)) {
            let from = match env_text(value) {
                Some(_) => format!(" (set by {})", variable_for(&self.key(key))),
                None => String::new(),
            };
            let suggestion = match nearest(key, known.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known keys here: {}", known.join(", ")),
            };
            self.problem(key, format!("unknown key{from}"), suggestion);
        }
    }

    /// A path as written, with a leading `$NAME` or `${NAME}` filled in.
    pub fn path(&self, written: &str) -> Result<PathBuf, super::secret::SecretError> {
        super::secret::expand(Path::new(written), self.env)
    }
}

/// The candidate that was probably meant, if any is near enough.
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase().replace('-', "_");
    candidates
        .map(|candidate| (strsim::jaro_winkler(&written, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
