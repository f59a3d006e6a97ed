//! `backfill`: owes a sink stored orders that it was never owed.

use std::io::Write;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    operator::{ADD_YES, OperatorArgs, Progress, done_or_told},
};
use crate::{
    domain::ids::{SinkName, SourceName},
    operate::stored::{self, Backfill, BackfillAnswer, Orders, Wish},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync backfill --sink books --since 2026-01-01T00:00:00Z          says how many
  scoffable-sync backfill --sink books --since 2026-01-01T00:00:00Z --yes

Takes stored orders that the sink was never owed because they arrived before its start. They are brought after new orders
and corrections. Ctrl-C loses nothing: done again, only what is missing is owed.")]
pub struct BackfillArgs {
    /// The sink
    #[arg(long, value_name = "NAME", value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// Orders placed since, for instance 2026-01-01T00:00:00Z
    #[arg(long, value_name = "INSTANT")]
    pub since: DateTime<Utc>,
    /// Only orders placed before
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<DateTime<Utc>>,
    /// Only of this vendor
    #[arg(long, value_name = "ID")]
    pub vendor: Option<String>,
    /// Only of this source
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// Do it; without this, only say how many
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

impl BackfillArgs {
    fn request(&self) -> Backfill {
        let orders = Orders {
            source: self.source.clone(),
            vendor: self.vendor.clone(),
            since: Some(self.since),
            until: self.until,
        };
        Backfill { sink: self.sink.clone(), orders, wish: if self.yes { Wish::Do } else { Wish::Ask } }
    }
}

/// Does what the command says. Returns the exit code: 0, or 1 when it was refused, wants consent or was interrupted.
pub async fn run(pool: &PgPool, args: &BackfillArgs, offset_ms: i64, out: &mut impl Write) -> anyhow::Result<u8> {
    let (request, form) = (args.request(), args.json.form());
    let desk = args.operator.desk(pool, offset_ms);
    let progress = Progress::bar("orders owed");
    let operated = stored::backfill(desk, &request, &mut |step| progress.watch(step)).await;
    drop(progress);
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

fn write_text(answer: &BackfillAnswer, out: &mut impl Write) -> std::io::Result<()> {
    let BackfillAnswer { sink, missing, without_content, owed, finished } = answer;
    if *without_content > 0 {
        writeln!(out, "left out: {without_content}, whose content retention removed")?;
    }
    match (*missing, *owed, *finished) {
        (0, ..) => writeln!(out, "nothing is missing at sink {sink}"),
        (_, _, true) => writeln!(out, "owed to sink {sink} from now on: {owed}"),
        (_, 0, false) => writeln!(out, "stored and not owed to sink {sink}: {missing}\n{ADD_YES}"),
        (_, _, false) => {
            writeln!(out, "owed to sink {sink} from now on: {owed} of {missing}\ninterrupted: run it again to go on")
        }
    }
}
