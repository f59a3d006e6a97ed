//! The edge to Postgres: where the database is, how to reach it, and how to bring it to our schema.
//!
//! Ends in one `PgPool`, whatever the source is; nothing behind this module knows whether the server is a managed one or
//! a private one in a data folder. It holds no queries of the service itself (that is `store`) and keeps no state in a
//! session, so that everything also runs behind PgBouncer in transaction mode.
//!
//! [`connect`] reaches a server and says what is wrong when it cannot, [`migrate`] brings the schema up to date,
//! [`embedded`] runs the private server, [`install`] fetches the server package when told to, [`dev`] lends a throw-away
//! database to a command.

pub mod connect;
pub mod dev;
pub mod embedded;
pub mod install;
pub mod migrate;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;
use sqlx::PgPool;

use connect::{ConnectError, ConnectOptions};
use embedded::{EmbeddedError, EmbeddedOptions, EmbeddedServer};

/// The schema, compiled in.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Every connection that answers is closed in this time.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

/// Where the orders are kept: the meaning of `database.url`.
#[derive(Debug, Clone)]
pub enum DatabaseSource {
    /// A server somebody runs; the URL may hold a password.
    Url(SecretString),
    /// A private server of ours, its data below `dir`.
    Embedded { dir: PathBuf },
}

/// A `database.url` of no known form. The value is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseSource {
    #[error("use \"postgres://user@host/database\", \"embedded\" or \"embedded:/a/folder\"")]
    UnknownForm,
    #[error("\"embedded\" finds no home for its data: set HOME, or name a folder as in \"embedded:/a/folder\"")]
    NoDefaultFolder,
    #[error("the folder of \"embedded:\" cannot be made absolute")]
    Folder,
}

impl DatabaseSource {
    /// Reads `postgres://…`, `postgresql://…`, `embedded` (see [`default_dir`]) or `embedded:/a/folder`.
    pub fn parse(raw: &str) -> Result<Self, InvalidDatabaseSource> {
        let raw = raw.trim();
        if raw.starts_with("postgres://") || raw.starts_with("postgresql://") {
            return Ok(Self::Url(raw.to_owned().into()));
        }
        if raw == "embedded" {
            return Ok(Self::Embedded { dir: default_dir().ok_or(InvalidDatabaseSource::NoDefaultFolder)? });
        }
        match raw.strip_prefix("embedded:") {
            Some(folder) if !folder.is_empty() => {
                let dir = std::path::absolute(folder).map_err(|_| InvalidDatabaseSource::Folder)?;
                Ok(Self::Embedded { dir })
            }
            _ => Err(InvalidDatabaseSource::UnknownForm),
        }
    }
}

/// Shows the kind and, for the embedded server, its folder; never a URL.
impl fmt::Display for DatabaseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(_) => f.write_str("postgres by URL"),
            Self::Embedded { dir } => write!(f, "embedded postgres in {}", dir.display()),
        }
    }
}

/// The folder of `database.url = "embedded"`.
///
/// The state folder a service manager gave us, else `/var/lib/scoffable-sync` for root (the server runs as another user
/// then, who cannot enter root's home), else `$XDG_STATE_HOME/scoffable-sync`, else `~/.local/state/scoffable-sync`.
pub fn default_dir() -> Option<PathBuf> {
    default_dir_for(rustix::process::geteuid().is_root(), |name| std::env::var_os(name))
}

fn default_dir_for(root: bool, var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    const NAME: &str = "scoffable-sync";
    let folder = |name: &str| var(name).map(PathBuf::from).filter(|path| path.is_absolute());

    // systemd lists several state folders separated by colons; the first is the service's own.
    let given = var("STATE_DIRECTORY").and_then(|all| std::env::split_paths(&all).next()).filter(|p| p.is_absolute());
    if given.is_some() {
        return given;
    }
    if root {
        return Some(Path::new("/var/lib").join(NAME));
    }
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join(NAME))
}

/// An open database: the pool everything uses, and the private server behind it when there is one.
#[derive(Debug)]
pub struct Database {
    pub pool: PgPool,
    // After the pool: fields drop in order, and the server goes last.
    server: Option<EmbeddedServer>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
}

impl Database {
    /// Reaches the database, starting the private server first when `source` asks for it.
    ///
    /// `embedded` gives the private server's settings; its folder is taken from `source`.
    pub async fn open(
        source: &DatabaseSource,
        embedded: EmbeddedOptions,
        options: &ConnectOptions,
    ) -> Result<Self, OpenError> {
        match source {
            DatabaseSource::Url(url) => Ok(Self { pool: connect::connect(url, options).await?, server: None }),
            DatabaseSource::Embedded { dir } => {
                let server = EmbeddedServer::start(EmbeddedOptions { dir: dir.clone(), ..embedded }).await?;
                let pool = connect::connect(server.url(), options).await?;
                Ok(Self { pool, server: Some(server) })
            }
        }
    }

    pub fn server(&self) -> Option<&EmbeddedServer> {
        self.server.as_ref()
    }

    /// Closes the pool, then stops the private server. A connection that leads nowhere is not waited for.
    pub async fn close(self) -> Result<(), EmbeddedError> {
        if tokio::time::timeout(CLOSES_WITHIN, self.pool.close()).await.is_err() {
            tracing::warn!("database connection left behind");
        }
        match self.server {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
