//! `source pause|resume|rewind`: whether a stream is read, and from where.

use std::io::Write;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    operator::{ADD_YES, OperatorArgs, done_or_told},
    status::shown,
};
use crate::{
    domain::ids::SourceName,
    operate::gates::{self, Gate, Rewind},
};

#[derive(Debug, Subcommand)]
pub enum SourceCommand {
    /// Stop reading a stream; its cursor stays
    #[command(after_help = "\
Examples:
  scoffable-sync source pause main --why \"the platform asked us to\"")]
    Pause(SourceArgs),
    /// Read a paused stream again, from where it stood
    #[command(after_help = "\
Examples:
  scoffable-sync source resume main")]
    Resume(SourceArgs),
    /// Give the cursor up and read the stream again from an earlier time; what is known already is dropped
    #[command(after_help = "\
Examples:
  scoffable-sync source rewind main --to 2026-03-01T00:00:00Z          says what would be read again
  scoffable-sync source rewind main --to 2026-03-01T00:00:00Z --yes
  scoffable-sync source rewind main --to-beginning --yes")]
    Rewind(RewindArgs),
}

#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The source
    #[arg(value_parser = SourceName::parse)]
    pub name: SourceName,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
pub struct RewindArgs {
    /// The source
    #[arg(value_parser = SourceName::parse)]
    pub name: SourceName,
    /// Read again from this instant, for instance 2026-03-01T00:00:00Z
    #[arg(long, value_name = "INSTANT", required_unless_present = "to_beginning")]
    pub to: Option<DateTime<Utc>>,
    /// Read again from the oldest version that the platform still has
    #[arg(long, conflicts_with = "to")]
    pub to_beginning: bool,
    /// Do it; without this, only say what would be read again
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Does what the command says. Returns the exit code: 0, or 1 when it was refused or wants consent.
pub async fn run(pool: &PgPool, command: &SourceCommand, offset_ms: i64, out: &mut impl Write) -> anyhow::Result<u8> {
    let (args, gate) = match command {
        SourceCommand::Pause(args) => (args, Gate::Pause),
        SourceCommand::Resume(args) => (args, Gate::Resume),
        SourceCommand::Rewind(args) => return rewind(pool, args, offset_ms, out).await,
    };
    let form = args.json.form();
    let operated = gates::source(args.operator.desk(pool, offset_ms), &args.name, gate).await;
    let answer = match done_or_told(operated, form, out)? {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(answer))?,
        Form::Text => writeln!(out, "source {} is {}", answer.source, answer.state)?,
    }
    Ok(FINE)
}

async fn rewind(pool: &PgPool, args: &RewindArgs, offset_ms: i64, out: &mut impl Write) -> anyhow::Result<u8> {
    let (name, form) = (&args.name, args.json.form());
    let wanted = Rewind { to: if args.to_beginning { None } else { args.to }, yes: args.yes };
    let operated = gates::rewind(args.operator.desk(pool, offset_ms), name, &wanted).await;
    let answer = match done_or_told(operated, form, out)? {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    let from = answer.to.map_or_else(|| "the oldest version there is".to_owned(), shown);
    match form {
        Form::Json => writeln!(out, "{:#}", json!(answer))?,
        Form::Text if answer.rewound => {
            writeln!(out, "source {name} is read again from {from}, beginning with the next poll")?;
        }
        Form::Text => {
            writeln!(out, "source {name} would be read again from {from}")?;
            let since = if answer.to.is_some() { "received since then" } else { "stored" };
            writeln!(
                out,
                "{} versions {since} would come again, and be dropped as known",
                answer.stored_versions_since
            )?;
            writeln!(out, "{ADD_YES}")?;
        }
    }
    Ok(if answer.rewound { FINE } else { NOT_WELL })
}
