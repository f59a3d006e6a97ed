//! `quarantine list|retry`: the orders that could not be taken in. Never their bytes, which may hold personal data.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    operator::{OperatorArgs, done_or_told},
    status::shown,
    table,
};
use crate::{
    app,
    domain::ids::SourceName,
    ingest::quarantine::{self as again, Became},
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
    /// Read orders again, for instance after an update of this program, and store those that can be read now
    Retry(RetryArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync quarantine retry 17
  scoffable-sync quarantine retry --all --why \"updated to 0.2\"

Exit 1 when one of them stays in quarantine. A version that is stored with another content is not among --all.")]
pub struct RetryArgs {
    /// Numbers of the cases, as in the list
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<i64>,
    /// All that are unresolved
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// With --all: only of this source
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse, requires = "all")]
    pub source: Option<SourceName>,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
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
pub async fn run(
    pool: &PgPool,
    command: &QuarantineCommand,
    offset_ms: i64,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    match command {
        QuarantineCommand::List(args) => list(pool, args, out).await,
        QuarantineCommand::Retry(args) => retry(pool, args, offset_ms, out).await,
    }
}

async fn retry(pool: &PgPool, args: &RetryArgs, offset_ms: i64, out: &mut impl Write) -> anyhow::Result<u8> {
    let form = args.json.form();
    let operated = match again::chosen(pool, &args.ids, args.source.as_ref()).await {
        Ok(cases) => again::retry(pool, &cases, &app::owner(), args.operator.operator(), offset_ms).await,
        Err(refused) => Err(refused),
    };
    let tried = match done_or_told(operated, form, out)? {
        Ok(tried) => tried,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!({ "quarantine": tried }))?,
        Form::Text if tried.is_empty() => writeln!(out, "nothing is in quarantine")?,
        Form::Text => {
            for case in &tried {
                let became = match &case.became {
                    Became::Stored => "stored".to_owned(),
                    Became::Known => "the same is stored already".to_owned(),
                    Became::Busy => "its source is being read right now: try again in a moment".to_owned(),
                    Became::Refused { reason } => format!("cannot be taken in ({reason})"),
                };
                writeln!(out, "{} of source {}: {became}", case.id, case.source)?;
            }
        }
    }
    let left = tried.iter().any(|case| matches!(case.became, Became::Busy | Became::Refused { .. }));
    Ok(if left { NOT_WELL } else { FINE })
}

async fn list(pool: &PgPool, args: &ListArgs, out: &mut impl Write) -> anyhow::Result<u8> {
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
