//! Lends a throw-away, migrated database to a command, for work on this program itself: checking queries against the
//! schema, or trying SQL. Nothing of it is left afterwards.

use std::{
    ffi::OsString,
    fs::Permissions,
    io,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
};

use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;

use super::{
    connect::{self, ConnectError, ConnectOptions},
    embedded::{Durability, EmbeddedError, EmbeddedOptions, EmbeddedServer},
    install::Consent,
    migrate::{self, MigrateError},
};

#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error("there is no command to run")]
    NoCommand,
    #[error("a temporary folder could not be made")]
    Folder(#[source] io::Error),
    #[error("{} could not be run", .program.display())]
    Command { program: OsString, source: io::Error },
    #[error("the migrations of this folder cannot be read")]
    Migrations(#[source] sqlx::migrate::MigrateError),
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Migrate(#[from] MigrateError),
}

/// Runs `command` with `DATABASE_URL` leading to a fresh database; returns its exit code (128 + n if signal n ended it).
///
/// The schema is that of the folder `migrations`, read now: a program built before the last change can lend it too.
pub async fn run(command: &[OsString], consent: Consent, migrations: &Path) -> Result<i32, DevError> {
    let (program, arguments) = command.split_first().ok_or(DevError::NoCommand)?;
    let migrator = Migrator::new(migrations).await.map_err(DevError::Migrations)?;
    // Passable for the server's user when we are root; what is inside is not.
    let folder = tempfile::Builder::new()
        .prefix("scoffable-sync-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .map_err(DevError::Folder)?;
    let options = EmbeddedOptions {
        consent,
        durability: Durability::TestsMayLoseData,
        ..EmbeddedOptions::in_folder(folder.path())
    };
    let server = EmbeddedServer::start(options).await?;
    let pool = connect::connect(server.url(), &ConnectOptions::default()).await?;
    migrate::migrate(&pool, &migrator).await?;
    pool.close().await;

    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", server.url().expose_secret())
        .spawn()
        .map_err(|source| DevError::Command { program: program.clone(), source })?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            // The terminal tells the command as well; we stay to tidy up after it.
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    server.stop().await?;
    let status = status.map_err(|source| DevError::Command { program: program.clone(), source })?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
