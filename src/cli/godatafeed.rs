//! `godatafeed cancel`: what a person wants cancelled there although it owes nothing.

use std::io::Write;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    deliveries::write_moved,
    operator::{ADD_YES, OperatorArgs, done_or_told},
};
use crate::{
    config::{Settings, SinkKind},
    domain::ids::{SinkName, SourceName},
    operate::deliveries::{self, Cancel, CancelAnswer},
};

#[derive(Debug, Subcommand)]
pub enum GodatafeedCommand {
    /// Cancel orders there that were rejected, or never accepted; otherwise they stay new there
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync godatafeed cancel 5500017 --why \"the kitchen is closed\"         says what would be done
  scoffable-sync godatafeed cancel 5500017 --why \"the kitchen is closed\" --yes

The running daemon cancels them, without a grace, as soon as it finds them among the new orders there. Nothing takes that
back. An order that is accepted meanwhile is not cancelled. `cancel_rejected = true` does it for every rejected order.")]
pub struct CancelArgs {
    /// The platform's ids of the orders
    #[arg(value_name = "ORDER", required = true)]
    pub orders: Vec<String>,
    /// Only of this source; needed where several know an id
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// The sink at GoDataFeed, where there are several
    #[arg(long, value_name = "NAME", value_parser = SinkName::parse)]
    pub sink: Option<SinkName>,
    /// Do it
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Does what the command says. Returns the exit code: 0, or 1 when it was refused or wants consent.
pub async fn run(
    settings: &Settings,
    pool: &PgPool,
    command: &GodatafeedCommand,
    offset_ms: i64,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let GodatafeedCommand::Cancel(args) = command;
    let request = Cancel {
        sink: sink(settings, args.sink.as_ref())?.clone(),
        source: args.source.clone(),
        orders: args.orders.clone(),
        yes: args.yes,
    };
    let form = args.json.form();
    let operated = deliveries::cancel(args.operator.desk(pool, offset_ms), &request).await;
    let answer = match done_or_told(operated, form, out)? {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(answer))?,
        Form::Text => write_text(&answer, out)?,
    }
    Ok(if answer.finished { FINE } else { NOT_WELL })
}

fn write_text(answer: &CancelAnswer, out: &mut impl Write) -> std::io::Result<()> {
    if answer.finished {
        return write_moved(&answer.sink, &answer.deliveries, out);
    }
    for one in &answer.deliveries {
        writeln!(out, "to be cancelled at sink {}: {}/{}", answer.sink, one.source, one.order_id)?;
    }
    writeln!(out, "{ADD_YES}")
}

fn sink<'a>(settings: &'a Settings, wanted: Option<&SinkName>) -> anyhow::Result<&'a SinkName> {
    let of_kind = settings.sinks.iter().filter(|(_, sink)| matches!(sink.kind, SinkKind::Godatafeed(_)));
    let mut all = of_kind.map(|(name, _)| name).filter(|name| wanted.is_none_or(|wanted| wanted == *name));
    let Some(name) = all.next() else { bail!("no sink of kind \"godatafeed\" is configured by that name") };
    if all.next().is_some() {
        bail!("several sinks are of kind \"godatafeed\": name one by --sink");
    }
    Ok(name)
}
