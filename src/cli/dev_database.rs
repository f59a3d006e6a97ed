//! `dev-database -- COMMAND`: a throw-away database for work on this program itself.

use std::{ffi::OsString, path::Path};

use super::{CliError, FAILED};
use crate::database::{dev, install::Consent};

pub async fn run(command: &[OsString]) -> Result<u8, CliError> {
    let code =
        dev::run(command, Consent::from_environment(), Path::new("migrations")).await.map_err(anyhow::Error::from)?;
    Ok(u8::try_from(code).unwrap_or(FAILED))
}
