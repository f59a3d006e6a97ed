//! `sink pause|resume`: whether a destination is sent anything.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs,
    config::Form,
    operator::{OperatorArgs, done_or_told},
};
use crate::{domain::ids::SinkName, store::operations};

#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Hold back everything owed to a sink; what is under way is finished
    #[command(after_help = "\
Examples:
  scoffable-sync sink pause hook --why \"their maintenance until 14:00\"")]
    Pause(SinkArgs),
    /// Let a paused sink send again
    #[command(after_help = "\
Examples:
  scoffable-sync sink resume hook")]
    Resume(SinkArgs),
}

#[derive(Debug, Args)]
pub struct SinkArgs {
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub name: SinkName,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Does what the command says. Returns the exit code: 0, or 1 when it was refused.
pub async fn run(pool: &PgPool, command: &SinkCommand, offset_ms: i64, out: &mut impl Write) -> anyhow::Result<u8> {
    let (operated, args, state) = match command {
        SinkCommand::Pause(args) => {
            (operations::pause_sink(pool, &args.name, args.operator.operator(), offset_ms).await, args, "paused")
        }
        SinkCommand::Resume(args) => {
            (operations::resume_sink(pool, &args.name, args.operator.operator(), offset_ms).await, args, "active")
        }
    };
    let form = args.json.form();
    if let Err(code) = done_or_told(operated, form, out)? {
        return Ok(code);
    }
    match form {
        Form::Json => writeln!(out, "{:#}", json!({ "sink": args.name, "state": state }))?,
        Form::Text => writeln!(out, "sink {} is {state}", args.name)?,
    }
    Ok(FINE)
}
