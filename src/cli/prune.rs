//! `prune`: retention, now.

use std::io::Write;

use clap::Args;
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    operator::{ADD_YES, OperatorArgs, Progress, done_or_told},
};
use crate::{
    config::RetentionSettings,
    operate::{
        prune::{self, Prune, Pruned},
        stored::Wish,
    },
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync prune --dry-run
  scoffable-sync prune --yes --why \"request of a customer\"

[retention] says how long payloads, attempts, resolved quarantine cases and alerts are kept; `run` does the same once a
day. What a sink is still owed is kept. Order versions with their money, deliveries with their receipts and what people
did are never removed.")]
pub struct PruneArgs {
    /// Only say what would be removed
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do it; without this, only say what would be removed
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Does what the command says. Returns the exit code: 0, or 1 when it wants consent or was interrupted.
pub async fn run(
    pool: &PgPool,
    retention: &RetentionSettings,
    args: &PruneArgs,
    offset_ms: i64,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let form = args.json.form();
    let request = Prune { wish: Wish::of(args.dry_run, args.yes) };
    let progress = Progress::spinner(if args.yes { "removed" } else { "found" });
    let desk = args.operator.desk(pool, offset_ms);
    let operated = prune::prune(desk, retention, &request, &mut |step| progress.watch(step)).await;
    drop(progress);
    let pruned = match done_or_told(operated, form, out)? {
        Ok(pruned) => pruned,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(pruned))?,
        Form::Text => write_text(&pruned, request.wish, out)?,
    }
    let wants_consent = request.wish == Wish::Ask && pruned.total() > 0;
    Ok(if wants_consent || !pruned.finished { NOT_WELL } else { FINE })
}

fn write_text(pruned: &Pruned, wish: Wish, out: &mut impl Write) -> std::io::Result<()> {
    if pruned.total() == 0 && pruned.finished {
        return writeln!(out, "nothing is older than it may be");
    }
    writeln!(out, "{}:", if pruned.removed { "removed" } else { "to be removed" })?;
    for (what, n) in [
        ("payloads of order versions", pruned.payloads),
        ("attempts", pruned.attempts),
        ("contents of resolved quarantine cases", pruned.quarantine),
        ("resolved alerts", pruned.alerts),
    ] {
        writeln!(out, "  {n} {what}")?;
    }
    if !pruned.finished {
        return writeln!(out, "interrupted: run it again to go on");
    }
    if wish == Wish::Ask { writeln!(out, "{ADD_YES}") } else { Ok(()) }
}
