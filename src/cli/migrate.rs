//! `migrate`: applies what is pending and exits.

use std::io::Write;

use super::{CliError, FINE, database};
use crate::{
    config::{self, LoadOptions},
    database::install::Consent,
};

pub async fn run(options: &LoadOptions, consent: Consent, out: &mut impl Write) -> Result<u8, CliError> {
    let settings = config::load(options)?;
    let (database, applied) = database::open_migrated(&settings.database, consent).await?;
    match applied.migrations.as_slice() {
        [] => writeln!(out, "up to date at migration {}", applied.version)?,
        new => writeln!(out, "applied {} migrations, now at {}", new.len(), applied.version)?,
    }
    database.close().await.map_err(anyhow::Error::from)?;
    Ok(FINE)
}
