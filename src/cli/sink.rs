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
use crate::{
    domain::ids::SinkName,
    operate::gates::{self, Gate},
};

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
    let (args, gate) = match command {
        SinkCommand::Pause(args) => (args, Gate::Pause),
        SinkCommand::Resume(args) => (args, Gate::Resume),
    };
    let form = args.json.form();
    let operated = gates::sink(args.operator.desk(pool, offset_ms), &args.name, gate).await;
    let answer = match done_or_told(operated, form, out)? {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(answer))?,
        Form::Text => writeln!(out, "sink {} is {}", answer.sink, answer.state)?,
    }
    Ok(FINE)
}
