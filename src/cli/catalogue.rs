//! `catalogue status`, `sync`, `bootstrap`, `budget`: the copy of a destination's products and customers.

use std::{io::Write, sync::Arc};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    operator::{ADD_YES, OperatorArgs, Progress, done_or_told},
    table,
};
use crate::{
    app,
    catalogue::worker::Worker,
    clock::Clock,
    config::{Settings, SinkSettings},
    domain::ids::SinkName,
    operate::catalogue::{self, Bootstrap, Bootstrapped, Budget, Ground, Month, Sync},
    sinks::links::LinkKind,
    store::catalogue::Status,
};

#[derive(Debug, Subcommand)]
pub enum CatalogueCommand {
    /// How fresh the copy of each sink's products, stock and customers is; exit 1 when one is too old
    #[command(after_help = "\
Examples:
  scoffable-sync catalogue status
  scoffable-sync catalogue status books --json")]
    Status(StatusArgs),
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only of this sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: Option<SinkName>,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync sync product books \"lamb bhuna\"     by our key
  scoffable-sync sync customer books 6f0e2a44-2222-4c1e-9b7d-0d3f5a2b9c02")]
pub struct SyncArgs {
    /// product or customer
    #[arg(value_parser = super::links::kind)]
    pub kind: LinkKind,
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// Our key of it (see `links list`), else what the destination calls it
    pub key: String,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync bootstrap books                 what it would cost
  scoffable-sync bootstrap books --yes           reads everything; Ctrl-C leaves the rest to the daemon")]
pub struct BootstrapArgs {
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// Do it
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync budget books
  scoffable-sync budget books --orders-a-day 200     with more orders than there were")]
pub struct BudgetArgs {
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// Orders of a day. Left out: as many as in the last 30 days
    #[arg(long, value_name = "N")]
    pub orders_a_day: Option<u32>,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// What keeps a configured sink's catalogue, without its loop.
fn keeper<'s>(
    settings: &'s Settings,
    pool: &PgPool,
    clock: &Clock,
    wanted: &SinkName,
) -> anyhow::Result<(Worker, &'s SinkSettings)> {
    let sink = settings.sinks.get(wanted).with_context(|| format!("no sink is called {wanted}"))?;
    let drivers = app::drivers(settings, pool, clock, &app::owner())?;
    let driver = drivers.into_iter().find(|driver| *driver.name() == *wanted);
    let driver = Arc::new(driver.with_context(|| format!("no sink is called {wanted}"))?);
    match app::catalogue(sink, &driver) {
        Some(worker) => Ok((worker, sink)),
        None => bail!("sink {wanted} is of kind {}, of which no products or customers are known", sink.kind.as_str()),
    }
}

/// Tells how fresh the copies are. Returns the exit code: 1 when one is too old.
pub async fn status(pool: &PgPool, command: &CatalogueCommand, out: &mut impl Write) -> anyhow::Result<u8> {
    let CatalogueCommand::Status(args) = command;
    let form = args.json.form();
    let fresh = match done_or_told(catalogue::status(pool, args.sink.as_ref()).await, form, out)? {
        Ok(fresh) => fresh,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(fresh))?,
        Form::Text if fresh.catalogue.is_empty() => writeln!(out, "no sink keeps a copy of products or customers")?,
        Form::Text => {
            let rows: Vec<Vec<String>> = fresh.catalogue.iter().map(row).collect();
            let headings =
                ["sink", "kind", "pulled", "records", "linked", "broken", "a round takes", "left out", "trouble"];
            table::write(out, &headings, &rows)?;
        }
    }
    Ok(if fresh.is_well() { FINE } else { NOT_WELL })
}

fn row(status: &Status) -> Vec<String> {
    let ago = |seconds: i64| {
        let minutes = seconds.max(0) / 60;
        if minutes < 120 { format!("{minutes} min ago") } else { format!("{} h ago", minutes / 60) }
    };
    let pulled = match (status.last_pull_at, status.pull_age_seconds) {
        (Some(_), Some(age)) => ago(age),
        (None, Some(_)) => "never".to_owned(),
        (_, None) => "-".to_owned(),
    };
    let horizon = status.horizon_tenth_days.map(|tenths| format!("{}.{} days", tenths / 10, tenths % 10));
    let stale = status.stale.then(|| "too old".to_owned());
    let trouble = [stale, status.last_error.clone(), status.suspect_at.map(|_| "feed was suspect".to_owned())];
    vec![
        status.sink.clone(),
        status.kind.clone(),
        pulled,
        status.entities.to_string(),
        status.linked.to_string(),
        status.broken.to_string(),
        horizon.unwrap_or_else(|| "-".to_owned()),
        status.skipped_budget.to_string(),
        trouble.into_iter().flatten().collect::<Vec<_>>().join(", "),
    ]
}

/// Looks at one record. Returns the exit code: 0 when it is there and to be used.
pub async fn sync(
    settings: &Settings,
    pool: &PgPool,
    clock: &Clock,
    args: &SyncArgs,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let form = args.json.form();
    let (mut worker, _) = keeper(settings, pool, clock, &args.sink)?;
    let request = Sync { sink: args.sink.clone(), kind: args.kind, key: args.key.clone() };
    let desk = args.operator.desk(pool, clock.offset_ms());
    let wanted = match done_or_told(catalogue::look_now(desk, &mut worker, &request).await, form, out)? {
        Ok(wanted) => wanted,
        Err(code) => return Ok(code),
    };
    let is_well = matches!(wanted.found.as_str(), "same" | "changed");
    match form {
        Form::Json => writeln!(out, "{:#}", json!(wanted))?,
        Form::Text => {
            let said = match wanted.found.as_str() {
                "same" => "is as we knew it",
                "changed" => "was changed, and is known now",
                "missing" => "was not found; the link to it breaks if it stays so",
                "archived" | "deleted" => "is there and not to be used",
                _ => "could not be asked for; the daemon looks at it first",
            };
            writeln!(
                out,
                "{} {} at sink {} {said} ({})",
                wanted.kind.as_str(),
                wanted.remote_id,
                wanted.sink,
                wanted.found
            )?;
        }
    }
    Ok(if is_well { FINE } else { NOT_WELL })
}

/// Reads all there is. Returns the exit code: 0, or 1 when it wants consent, or was not finished.
pub async fn bootstrap(
    settings: &Settings,
    pool: &PgPool,
    clock: &Clock,
    args: &BootstrapArgs,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let form = args.json.form();
    let (mut worker, _) = keeper(settings, pool, clock, &args.sink)?;
    let request = Bootstrap { sink: args.sink.clone(), yes: args.yes };
    let desk = args.operator.desk(pool, clock.offset_ms());
    let progress = Progress::bar("records read");
    let operated = catalogue::bootstrap(desk, &mut worker, &request, &mut |step| progress.watch(step)).await;
    drop(progress);
    let done = match done_or_told(operated, form, out)? {
        Ok(done) => done,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(done))?,
        Form::Text => write_bootstrapped(&done, args.yes, out)?,
    }
    Ok(if done.finished { FINE } else { NOT_WELL })
}

fn write_bootstrapped(done: &Bootstrapped, yes: bool, out: &mut impl Write) -> std::io::Result<()> {
    for cost in &done.kinds {
        match (cost.records, cost.calls) {
            (Some(records), Some(calls)) => writeln!(out, "{}: {records} records, {calls} calls", cost.kind)?,
            _ => writeln!(out, "{}: nobody knows how many before the end", cost.kind)?,
        }
    }
    match (&done.stopped_by, done.finished, yes) {
        (_, true, _) => writeln!(out, "read from sink {}: {} records", done.sink, done.records),
        (_, _, false) => writeln!(out, "{ADD_YES}"),
        (Some(code), ..) => writeln!(
            out,
            "read from sink {}: {} records, then it stopped ({code}); the daemon goes on with it",
            done.sink, done.records
        ),
        (None, ..) => {
            writeln!(
                out,
                "read from sink {}: {} records; interrupted, the daemon goes on with it",
                done.sink, done.records
            )
        }
    }
}

/// Plans a month. Returns the exit code: 1 when it does not fit.
pub async fn budget(
    settings: &Settings,
    pool: &PgPool,
    clock: &Clock,
    args: &BudgetArgs,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let form = args.json.form();
    let (worker, sink) = keeper(settings, pool, clock, &args.sink)?;
    let month = Month { sink: args.sink.clone(), orders_a_day: args.orders_a_day };
    let ground = Ground::of(&worker, sink);
    let budget = match done_or_told(catalogue::budget(pool, &month, ground.as_ref()).await, form, out)? {
        Ok(budget) => budget,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(budget))?,
        Form::Text => write_budget(&budget, out)?,
    }
    Ok(if budget.fits { FINE } else { NOT_WELL })
}

fn write_budget(budget: &Budget, out: &mut impl Write) -> std::io::Result<()> {
    let plan = budget.plan;
    writeln!(out, "calls of 30 days at sink {}, with {} orders:", budget.sink, budget.orders_a_month)?;
    let parts = [
        ("what changed is asked for", plan.pulls),
        ("linked records looked at", plan.sweeps),
        ("posted orders read back", plan.documents),
        ("orders", plan.orders),
        ("tried again", plan.retries),
        ("together", plan.total),
    ];
    for (part, calls) in parts {
        writeln!(out, "  {part:26} {calls:>9}")?;
    }
    match budget.allowed {
        Some(allowed) if budget.fits => writeln!(out, "the limits allow {allowed}")?,
        Some(allowed) => writeln!(out, "the limits allow only {allowed}: {} are lacking", plan.total - allowed)?,
        None => writeln!(out, "nothing limits them")?,
    }
    if let Some(knob) = budget.knob {
        writeln!(out, "most helps catalogue.{} = \"{}\": it saves {}", knob.setting, knob.value, knob.saves)?;
    }
    for used in &budget.used {
        let limit = used.limit.map_or_else(|| "no limit".to_owned(), |limit| format!("of {limit}"));
        write!(out, "  this {}: {} {limit}", used.window, used.used)?;
        match used.runs_out_at {
            Some(at) => writeln!(out, ", used up by {}", at.format("%Y-%m-%d %H:%M UTC"))?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}
