//! Opening the configured database, for every command that needs it.

use std::{
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret;

use super::{BAD_CONFIGURATION, FAILED, InstallArgs, NO_DATABASE};
use crate::{
    app::AppError,
    config::{DatabaseSettings, DatabaseUrl},
    database::{
        self, Database, DatabaseSource, InvalidDatabaseSource, MIGRATOR,
        connect::{ConnectError, ConnectOptions, may_pass},
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
    #[error("the sources and sinks could not be registered")]
    Register(#[from] AppError),
}

impl OpenError {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Source(_) => BAD_CONFIGURATION,
            Self::Open(
                database::OpenError::Connect(ConnectError::Unreachable { .. }) | database::OpenError::Embedded(_),
            ) => NO_DATABASE,
            error if error.may_pass() => NO_DATABASE,
            Self::Open(_) | Self::Migrate(_) | Self::Register(_) => FAILED,
        }
    }

    /// The database was there and went away.
    fn may_pass(&self) -> bool {
        match self {
            Self::Migrate(MigrateError::Failed { source, .. } | MigrateError::Database(source)) => may_pass(source),
            Self::Register(AppError::Store(error)) => may_pass(&error.source),
            Self::Source(_) | Self::Open(_) | Self::Migrate(_) | Self::Register(_) => false,
        }
    }
}

/// How long to wait before a step is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Does a step of the start. While the database goes away under it, the step is repeated, for as long as a first
/// connection would be waited for.
pub async fn patiently<T, E>(
    settings: &DatabaseSettings,
    mut step: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, OpenError>
where
    OpenError: From<E>,
{
    let began = Instant::now();
    loop {
        match step().await.map_err(OpenError::from) {
            Err(error) if error.may_pass() && began.elapsed() + PAUSE < settings.connect_timeout => {
                tracing::warn!(error = crate::telemetry::chain(&error), "database went away during the start");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
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
    let applied = patiently(settings, async || migrate(&database.pool, &MIGRATOR).await).await?;
    Ok((database, applied))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn settings(connect_timeout: Duration) -> DatabaseSettings {
        let url = DatabaseUrl::Embedded { data_dir: None };
        DatabaseSettings { url, max_connections: 2, connect_timeout, statement_cache: 1 }
    }

    fn gone() -> MigrateError {
        MigrateError::Database(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into()))
    }

    #[tokio::test]
    async fn a_database_that_goes_away_during_the_start_is_waited_for() {
        let mut answers = vec![Ok(7), Err(gone())];
        let step = async || answers.pop().expect("no step follows a good one");

        let done = patiently(&settings(Duration::from_mins(1)), step).await;

        assert_eq!(done.expect("the second step is a good one"), 7);
    }

    #[tokio::test]
    async fn patience_ends_with_the_code_of_an_unreachable_database() {
        let ended = patiently::<(), _>(&settings(Duration::ZERO), async || Err(gone())).await;

        assert_eq!(ended.unwrap_err().exit_code(), NO_DATABASE);
    }

    #[tokio::test]
    async fn what_stays_wrong_is_not_tried_again() {
        let mut steps = 0;
        let step = async || {
            steps += 1;
            Err::<(), _>(MigrateError::Unknown { version: 1 })
        };

        let ended = patiently(&settings(Duration::from_mins(1)), step).await;

        assert_eq!(ended.unwrap_err().exit_code(), FAILED);
        assert_eq!(steps, 1);
    }
}
