//! `replay`: plans stored orders again for a sink.

use std::io::Write;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    deliveries::write_moved,
    operator::{ADD_YES, OperatorArgs, Progress, done_or_told},
};
use crate::{
    domain::ids::{SinkName, SourceName},
    operate::stored::{self, Orders, Replay, ReplayAnswer, Replayed, Wish},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync replay --sink hook 5500017 --why \"the menu is mapped now\"
  scoffable-sync replay --sink books --reason unmapped_vendor          says how many
  scoffable-sync replay --sink books --since 2026-03-01T00:00:00Z --vendor vendor-a --yes

Applied, skipped and parked deliveries are planned again for their newest version. What the destination holds stays
known, so an order that stands there as it should is sent nothing. What is in doubt, was discarded in doubt or is being
sent is left alone; what a person discarded otherwise comes only by name or --reason discarded. A sink of versions = \"every\" is brought the newest version again, not those before it; where one was
refused, it goes on from there. Without names they come after everything else that is owed.")]
pub struct ReplayArgs {
    /// The sink
    #[arg(long, value_name = "NAME", value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// The platform's ids of the orders; without any, all that match
    #[arg(value_name = "ORDER", conflicts_with_all = ["vendor", "since", "until", "reason"])]
    pub orders: Vec<String>,
    /// Only of this source
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// Only of this vendor
    #[arg(long, value_name = "ID")]
    pub vendor: Option<String>,
    /// Only orders placed since, for instance 2026-03-01T00:00:00Z
    #[arg(long, value_name = "INSTANT")]
    pub since: Option<DateTime<Utc>>,
    /// Only orders placed before
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<DateTime<Utc>>,
    /// Only what is skipped or parked with this reason
    #[arg(long, value_name = "CODE")]
    pub reason: Option<String>,
    /// Only say what would be planned again
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do it; needed for more than one order
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

impl ReplayArgs {
    fn request(&self) -> Replay {
        let source = self.source.clone();
        let which = if self.orders.is_empty() {
            let orders = Orders { source, vendor: self.vendor.clone(), since: self.since, until: self.until };
            Replayed::Matching { orders, reason: self.reason.clone() }
        } else {
            Replayed::Named { orders: self.orders.clone(), source }
        };
        Replay { sink: self.sink.clone(), which, wish: Wish::of(self.dry_run, self.yes) }
    }
}

/// Does what the command says. Returns the exit code: 0, or 1 when it was refused, wants consent or was interrupted.
pub async fn run(pool: &PgPool, args: &ReplayArgs, offset_ms: i64, out: &mut impl Write) -> anyhow::Result<u8> {
    let (request, form) = (args.request(), args.json.form());
    let progress = Progress::bar("orders planned again");
    let operated =
        stored::replay(args.operator.desk(pool, offset_ms), &request, &mut |step| progress.watch(step)).await;
    drop(progress);
    let answer = match done_or_told(operated, form, out)? {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(answer))?,
        Form::Text => write_text(&answer, request.wish, out)?,
    }
    Ok(if answer.finished || request.wish == Wish::DryRun { FINE } else { NOT_WELL })
}

fn write_text(answer: &ReplayAnswer, wish: Wish, out: &mut impl Write) -> std::io::Result<()> {
    let ReplayAnswer { sink, matching, without_content, replayed, .. } = answer;
    if *without_content > 0 {
        writeln!(out, "left out: {without_content}, whose content retention removed")?;
    }
    if *matching == 0 {
        return writeln!(out, "nothing to replay at sink {sink}");
    }
    if *replayed == 0 && !answer.finished {
        writeln!(out, "to be planned again at sink {sink}: {matching}")?;
        return if wish == Wish::Ask { writeln!(out, "{ADD_YES}") } else { Ok(()) };
    }
    write_moved(sink, &answer.deliveries, out)?;
    if answer.deliveries.is_empty() {
        writeln!(out, "planned again at sink {sink}: {replayed}")?;
    }
    if answer.finished { Ok(()) } else { writeln!(out, "interrupted: what was done stays, the rest was left as it is") }
}
