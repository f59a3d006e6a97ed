//! Secrets: where one is kept, and its value, which nothing prints.

use std::{
    borrow::Cow,
    fmt, io,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::{
    env::Env,
    field::{Parse, Wrong},
    problems::nearest,
};

/// A secret's file may not be larger: a wrong path should not fill the memory.
const LARGEST_FILE: u64 = 64 * 1024;

/// A secret as the file names it.
#[derive(Debug)]
pub enum RawSecret {
    /// The value itself, in the configuration file.
    Inline(SecretString),
    /// The value itself, from an overriding environment variable or command-line setting.
    Override(SecretString),
    /// Name of an environment variable.
    Env(String),
    /// Path of a file; a leading `$NAME` or `${NAME}` is filled in from the environment.
    File(PathBuf),
}

const HOW: &str = "write `{ env = \"NAME\" }` or `{ file = \"/path\" }`";

impl Parse for RawSecret {
    fn parse(value: Value) -> Result<Self, Wrong> {
        match value {
            Value::String(text) if text.is_empty() => Err(Wrong::new("is empty", HOW)),
            Value::String(text) => Ok(Self::Inline(text.into())),
            Value::Object(entries) => Self::from_table(&entries),
            _ => Err(Wrong::new("is not a secret", HOW)),
        }
    }

    fn parse_text(text: &str) -> Result<Self, Wrong> {
        match text {
            "" => Err(Wrong::new("is empty", HOW)),
            text => Ok(Self::Override(text.into())),
        }
    }
}

impl RawSecret {
    fn from_table(entries: &Map<String, Value>) -> Result<Self, Wrong> {
        if let Some(unknown) = entries.keys().find(|key| !["env", "file"].contains(&key.as_str())) {
            let suggestion = match nearest(unknown, ["env", "file"].into_iter()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => HOW.to_owned(),
            };
            return Err(Wrong::new(format!("unknown key `{unknown}` in a secret"), suggestion));
        }
        let text =
            |key: &str| entries.get(key).map(|value| super::field::env_text(value).or(value.as_str()).unwrap_or(""));
        match (text("env"), text("file")) {
            (Some(_), Some(_)) => Err(Wrong::new("names both `env` and `file`", "keep the one that holds the secret")),
            (None, None) => Err(Wrong::new("names neither `env` nor `file`", HOW)),
            (Some(""), None) => Err(Wrong::new("`env` is not the name of a variable", "write `{ env = \"NAME\" }`")),
            (None, Some("")) => Err(Wrong::new("`file` is not a path", "write `{ file = \"/path\" }`")),
            (Some(name), None) => Ok(Self::Env(name.to_owned())),
            (None, Some(path)) => Ok(Self::File(path.into())),
        }
    }
}

impl JsonSchema for RawSecret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "title": "secret",
            "description": "A secret: the name of an environment variable, the path of a file (one trailing newline is \
                            dropped; a leading $NAME is filled in), or the text itself, which check-config warns about.",
            "oneOf": [
                {
                    "type": "object",
                    "properties": { "env": { "type": "string" } },
                    "required": ["env"],
                    "additionalProperties": false
                },
                {
                    "type": "object",
                    "properties": { "file": { "type": "string" } },
                    "required": ["file"],
                    "additionalProperties": false
                },
                { "type": "string" }
            ]
        })
    }
}

/// Why a secret could not be had. Names where it was looked for, never what was found.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("environment variable {0} is not set")]
    Unset(String),
    #[error("environment variable {0} is empty")]
    EmptyVariable(String),
    #[error("cannot read the secret from {path}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0} is empty")]
    EmptyFile(PathBuf),
    #[error("{0} is larger than 64 KiB, which no secret is")]
    TooLarge(PathBuf),
    #[error("{0} does not hold UTF-8 text")]
    NotText(PathBuf),
    #[error("environment variable {name}, which {path} needs, is not set")]
    UnsetInPath { name: String, path: PathBuf },
}

impl SecretError {
    /// What a person should do about it.
    pub fn what_to_do(&self) -> String {
        match self {
            Self::Unset(name) | Self::EmptyVariable(name) => {
                format!("set {name} for the process, or name another variable or a file")
            }
            Self::Unreadable { .. } => {
                "check that the file exists and that the user of this process may read it".to_owned()
            }
            Self::EmptyFile(_) => "write the secret into the file".to_owned(),
            Self::TooLarge(_) | Self::NotText(_) => {
                "check the path: it should hold the secret and nothing else".to_owned()
            }
            Self::UnsetInPath { name, .. } if name == "CREDENTIALS_DIRECTORY" => {
                "systemd sets it when the unit has LoadCredential=; outside systemd name the file in full".to_owned()
            }
            Self::UnsetInPath { name, .. } => format!("set {name} for the process, or write the path in full"),
        }
    }
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Given with the configuration itself.
    Literal,
    Env(String),
    File(PathBuf),
}

/// A secret that was read when the configuration was, and can be read again where it is kept.
///
/// `Debug` shows where it is kept, never the value.
#[derive(Clone)]
pub struct Secret {
    origin: Origin,
    value: SecretString,
}

impl Secret {
    /// For tests and simulators, which make their secrets up.
    pub fn literal(value: impl Into<SecretString>) -> Self {
        Self { origin: Origin::Literal, value: value.into() }
    }

    pub(super) fn load(raw: RawSecret, env: &Env) -> Result<Self, SecretError> {
        match raw {
            RawSecret::Inline(value) | RawSecret::Override(value) => Ok(Self { origin: Origin::Literal, value }),
            RawSecret::Env(name) => {
                let value = match env.get(&name) {
                    None => return Err(SecretError::Unset(name)),
                    Some("") => return Err(SecretError::EmptyVariable(name)),
                    Some(value) => SecretString::from(value),
                };
                Ok(Self { origin: Origin::Env(name), value })
            }
            RawSecret::File(path) => {
                let path = expand(&path, env)?;
                let value = read_file(&path)?;
                Ok(Self { origin: Origin::File(path), value })
            }
        }
    }

    /// The value as it was when the configuration was read.
    pub fn value(&self) -> &SecretString {
        &self.value
    }

    /// The value as it is now: a file is read again. Anything else cannot change while the process lives, because
    /// nobody can reach into another process's environment.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match &self.origin {
            Origin::File(path) => read_file(path),
            Origin::Env(_) | Origin::Literal => Ok(self.value.clone()),
        }
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether both hold the same text, wherever they are kept. Not for checking what a stranger presents: its time
    /// depends on the text.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.value.expose_secret() == other.value.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Literal => f.write_str("Secret([redacted])"),
            Origin::Env(name) => write!(f, "Secret([redacted], env {name})"),
            Origin::File(path) => write!(f, "Secret([redacted], file {})", path.display()),
        }
    }
}

/// Where it is kept, as it would be written in the file; a literal value as `[redacted]`.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = |serializer: S, key: &str, text: &str| {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(key, text)?;
            map.end()
        };
        match &self.origin {
            Origin::Literal => serializer.serialize_str("[redacted]"),
            Origin::Env(name) => entry(serializer, "env", name),
            Origin::File(path) => entry(serializer, "file", &path.display().to_string()),
        }
    }
}

fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    use io::Read as _;

    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(SecretError::TooLarge(path.to_owned()));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| SecretError::NotText(path.to_owned()))?;
    let kept = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(kept);
    if text.is_empty() {
        return Err(SecretError::EmptyFile(path.to_owned()));
    }
    Ok(text.into())
}

/// Fills in a leading `$NAME` or `${NAME}`, which is how systemd's credentials are reached.
///
/// Source: systemd.exec(5), `LoadCredential=` and `$CREDENTIALS_DIRECTORY`.
pub(super) fn expand(path: &Path, env: &Env) -> Result<PathBuf, SecretError> {
    let Some(text) = path.to_str().and_then(|text| text.strip_prefix('$')) else {
        return Ok(path.to_owned());
    };
    let (name, rest) = match text.split_once('/') {
        Some((name, rest)) => (name, Some(rest)),
        None => (text, None),
    };
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let Some(folder) = env.get(name).filter(|folder| !folder.is_empty()) else {
        return Err(SecretError::UnsetInPath { name: name.to_owned(), path: path.to_owned() });
    };
    Ok(rest.map_or_else(|| PathBuf::from(folder), |rest| Path::new(folder).join(rest)))
}
