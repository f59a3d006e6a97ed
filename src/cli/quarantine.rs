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
    domain::ids::SourceName,
    ingest::quarantine::Became,
    operate::{
        LISTED,
        quarantine::{self, List, Retry},
    },
    store::quarantine::Quarantined,
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
    #[arg(long, value_name = "N", default_value_t = LISTED, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Only cases older than this one, where an earlier list ended
    #[arg(long, value_name = "ID")]
    pub after: Option<i64>,
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
    let wanted = if args.all { Retry::All { source: args.source.clone() } } else { Retry::Cases(args.ids.clone()) };
    let operated = quarantine::retry(args.operator.desk(pool, offset_ms), &wanted).await;
    let tried = match done_or_told(operated, form, out)? {
        Ok(tried) => tried,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(tried))?,
        Form::Text if tried.quarantine.is_empty() => writeln!(out, "nothing is in quarantine")?,
        Form::Text => {
            for case in &tried.quarantine {
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
    Ok(if tried.is_left() { NOT_WELL } else { FINE })
}

async fn list(pool: &PgPool, args: &ListArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let form = args.json.form();
    let wanted = List { source: args.source.clone(), after: args.after, limit: args.limit };
    let listing = match done_or_told(quarantine::list(pool, &wanted).await, form, out)? {
        Ok(listing) => listing,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(listing))?,
        Form::Text if listing.quarantine.is_empty() => writeln!(out, "nothing is in quarantine")?,
        Form::Text => {
            let headings = ["id", "source", "order", "version", "received", "bytes", "reason", "detail"];
            table::write(out, &headings, &listing.quarantine.iter().map(row).collect::<Vec<_>>())?;
            if let Some(next) = listing.next {
                writeln!(out, "(at most {} are shown: see --limit, or go on with --after {next})", args.limit)?;
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
