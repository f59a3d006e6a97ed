//! `quarantine list`: the orders that could not be taken in. Never their bytes, which may hold personal data.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgPool;

use super::{FINE, JsonArgs, config::Form, operator::done_or_told, status::shown, table};
use crate::{
    domain::ids::SourceName,
    store::quarantine::{self, Quarantined},
};

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// What could not be taken in and is not resolved, newest first
    #[command(after_help = "\
Examples:
  scoffable-sync quarantine list
  scoffable-sync quarantine list --source main --json")]
    List(ListArgs),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this source
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Does what the command says. Returns the exit code: 0, or 1 when it was refused.
pub async fn run(pool: &PgPool, command: &QuarantineCommand, out: &mut impl Write) -> anyhow::Result<u8> {
    let QuarantineCommand::List(args) = command;
    let form = args.json.form();
    let found = quarantine::unresolved(pool, args.source.as_ref(), args.limit).await;
    let found = match done_or_told(found, form, out)? {
        Ok(found) => found,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!({ "quarantine": found }))?,
        Form::Text if found.is_empty() => writeln!(out, "nothing is in quarantine")?,
        Form::Text => {
            let headings = ["id", "source", "order", "version", "received", "bytes", "reason", "detail"];
            table::write(out, &headings, &found.iter().map(row).collect::<Vec<_>>())?;
            if found.len() == args.limit as usize {
                writeln!(out, "(at most {} are shown: see --limit)", args.limit)?;
            }
        }
    }
    Ok(FINE)
}

fn row(case: &Quarantined) -> Vec<String> {
    vec![
        case.id.to_string(),
        case.source.clone(),
        case.order_id.clone().unwrap_or_default(),
        case.version.map(|version| version.to_string()).unwrap_or_default(),
        shown(case.received_at),
        case.size.to_string(),
        case.reason.clone(),
        case.detail.clone().unwrap_or_default(),
    ]
}
