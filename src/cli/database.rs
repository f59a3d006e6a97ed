//! Opening the configured database, for every command that needs it.

use std::num::NonZeroUsize;

use secrecy::ExposeSecret;

use super::{BAD_CONFIGURATION, FAILED, InstallArgs, NO_DATABASE};
use crate::{
    config::{DatabaseSettings, DatabaseUrl},
    database::{
        self, Database, DatabaseSource, InvalidDatabaseSource, MIGRATOR,
        connect::{ConnectError, ConnectOptions},
        embedded::EmbeddedOptions,
        install::Consent,
        migrate::{Applied, MigrateError, migrate},
    },
};

impl From<InstallArgs> for Consent {
    fn from(args: InstallArgs) -> Self {
        if args.install_postgres { Self::Given } else { Self::from_environment() }
    }
}

/// Why there is no database to work on.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("database.url cannot be used")]
    Source(#[from] InvalidDatabaseSource),
    #[error(transparent)]
    Open(#[from] database::OpenError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

impl OpenError {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Source(_) => BAD_CONFIGURATION,
            Self::Open(
                database::OpenError::Connect(ConnectError::Unreachable { .. }) | database::OpenError::Embedded(_),
            ) => NO_DATABASE,
            Self::Open(_) | Self::Migrate(_) => FAILED,
        }
    }
}

/// Reaches the database, within `database.connect_timeout`.
pub async fn open(settings: &DatabaseSettings, consent: Consent) -> Result<Database, OpenError> {
    let source = match &settings.url {
        DatabaseUrl::Postgres(url) => DatabaseSource::Url(url.clone()),
        DatabaseUrl::Embedded { .. } => DatabaseSource::parse(settings.url.text().expose_secret())?,
    };
    let embedded = EmbeddedOptions { consent, ..EmbeddedOptions::in_folder("") };
    let options = ConnectOptions {
        max_connections: settings.max_connections,
        connect_timeout: settings.connect_timeout,
        statement_cache: NonZeroUsize::new(settings.statement_cache as usize).unwrap_or(NonZeroUsize::MIN),
        ..ConnectOptions::default()
    };
    Ok(Database::open(&source, embedded, &options).await?)
}

/// Reaches the database and brings its schema up to date.
pub async fn open_migrated(settings: &DatabaseSettings, consent: Consent) -> Result<(Database, Applied), OpenError> {
    let database = open(settings, consent).await?;
    let applied = migrate(&database.pool, &MIGRATOR).await?;
    Ok((database, applied))
}
