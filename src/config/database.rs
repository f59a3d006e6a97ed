//! `[database]`: which Postgres, and how many connections to it.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use sqlx::postgres::PgConnectOptions;

use super::{
    duration::{self, RawDuration},
    field::Field,
    problems::Section,
    secret::RawSecret,
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawDatabase {
    /// `"postgres://user@host/name"`, or `"embedded"` or `"embedded:/folder"` for a private server run by this program.
    /// Taken from a secret when it holds a password.
    url: Field<RawSecret>,
    /// Most connections this process opens.
    #[schemars(range(min = 2, max = 1000))]
    max_connections: Field<u32>,
    /// How long `run` waits for Postgres at its start before it gives up (exit code 3), and how long any other command waits.
    connect_timeout: Field<RawDuration>,
    /// Prepared statements kept per connection. A pooler has to keep as many.
    #[schemars(range(min = 1, max = 10000))]
    statement_cache: Field<u32>,
}

/// Where the database is.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A private server run by this program, in this folder or the platform's usual one.
    Embedded { data_dir: Option<PathBuf> },
    /// A server that runs already. The text may hold a password.
    Postgres(SecretString),
}

impl DatabaseUrl {
    /// As it would be written in the file.
    pub fn text(&self) -> SecretString {
        match self {
            Self::Embedded { data_dir: None } => "embedded".into(),
            Self::Embedded { data_dir: Some(folder) } => format!("embedded:{}", folder.display()).into(),
            Self::Postgres(url) => url.clone(),
        }
    }
}

/// Host and database only: neither user, password nor parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { .. } => f.write_str(self.text().expose_secret()),
            Self::Postgres(url) => {
                let Ok(url) = reqwest::Url::parse(url.expose_secret()) else { return f.write_str("[redacted]") };
                write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
                url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
                f.write_str(url.path())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct DatabaseSettings {
    pub url: DatabaseUrl,
    /// 2 or more: one is never free for anything else while a page is being stored.
    pub max_connections: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub connect_timeout: Duration,
    /// Per connection, 1 or more.
    pub statement_cache: u32,
}

impl RawDatabase {
    pub(super) fn validate(self, section: &mut Section<'_>) -> Option<DatabaseSettings> {
        let url = validate_url(self.url, section);
        let max_connections = section.number("max_connections", self.max_connections, 2..=1000).unwrap_or(16);
        let second = Duration::from_secs(1);
        let connect_timeout = section.duration("connect_timeout", self.connect_timeout, second);
        let statement_cache = section.number("statement_cache", self.statement_cache, 1..=10_000).unwrap_or(100);
        Some(DatabaseSettings {
            url: url?,
            max_connections,
            connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(30)),
            statement_cache,
        })
    }
}

fn validate_url(field: Field<RawSecret>, section: &mut Section<'_>) -> Option<DatabaseUrl> {
    const FORMS: &str = "write \"postgres://user@host/name\", \"embedded\" or \"embedded:/folder\"";

    let raw = section.require("url", field, "url = \"postgres://user@host/name\"` or `url = \"embedded\"")?;
    let inline = matches!(raw, RawSecret::Inline(_));
    let text = section.read_secret("url", raw)?.value().clone();
    let url = text.expose_secret();
    if url == "embedded" {
        return Some(DatabaseUrl::Embedded { data_dir: None });
    }
    if let Some(folder) = url.strip_prefix("embedded:") {
        if folder.is_empty() {
            section.problem("url", "names no folder after `embedded:`", FORMS);
            return None;
        }
        return match section.path(folder) {
            Ok(folder) => Some(DatabaseUrl::Embedded { data_dir: Some(folder) }),
            Err(error) => {
                section.problem("url", error.to_string(), error.what_to_do());
                None
            }
        };
    }
    let parsed = reqwest::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(parsed) = parsed else {
        section.problem("url", "is not a Postgres URL", FORMS);
        return None;
    };
    if let Err(error) = PgConnectOptions::from_str(url) {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        section.problem("url", format!("is not a usable Postgres URL: {cause}"), FORMS);
        return None;
    }
    if inline && parsed.password().is_some() {
        section.warn(
            "url",
            "the password stands in the configuration file",
            "keep the URL elsewhere: `{ env = \"DATABASE_URL\" }` or `{ file = \"/run/secrets/database\" }`",
        );
    }
    Some(DatabaseUrl::Postgres(text))
}
