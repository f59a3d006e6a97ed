//! `plan`: a dry run. What would be sent to each sink, and what changed since it was last sent; nothing is.

use std::io::{self, Write};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{FINE, JsonArgs, NOT_WELL, config::Form};
use crate::{
    app,
    clock::Clock,
    config::Settings,
    delivery::preview::{Action, Preview},
    domain::ids::{SinkName, SourceName},
    ops::timeline::{Change, changes_between, words::changed},
    store::orders,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync plan                        what is pending, at every sink
  scoffable-sync plan 5500017                one order, whatever its state
  scoffable-sync plan --sink hook --bodies   with the exact bodies, which hold personal data

Nothing is sent, leased or written. What many orders share at a destination, as its list of new orders, is read there.")]
pub struct PlanArgs {
    /// The platform's ids of the orders [default: everything that is pending]
    #[arg(value_name = "ORDER")]
    pub orders: Vec<String>,
    /// Only of this sink
    #[arg(long, value_name = "NAME", value_parser = SinkName::parse)]
    pub sink: Option<SinkName>,
    /// Only of this source
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// At most so many of each sink
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Show what would be sent, byte for byte: holds personal data
    #[arg(long)]
    pub bodies: bool,
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Returns the exit code: 1 when an order or sink that was named is not known.
pub async fn run(
    settings: &Settings,
    pool: &PgPool,
    clock: &Clock,
    args: &PlanArgs,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    if let Some(sink) = args.sink.as_ref().filter(|sink| !settings.sinks.contains_key(sink)) {
        let known: Vec<&str> = settings.sinks.keys().map(SinkName::as_str).collect();
        writeln!(out, "no sink is called {sink}; there are: {}", known.join(", "))?;
        return Ok(NOT_WELL);
    }
    let drivers = app::drivers(settings, pool, clock, "plan")?;
    let mut shown = Vec::new();
    for driver in drivers.iter().filter(|driver| args.sink.as_ref().is_none_or(|sink| sink == driver.name())) {
        let previews = driver.preview(args.source.as_ref(), &args.orders, args.limit).await?;
        for preview in previews {
            let changes = changes(pool, &preview).await?;
            shown.push((driver.name(), preview, changes));
        }
    }
    match args.json.form() {
        Form::Json => {
            let all: Vec<Value> =
                shown.iter().map(|(sink, preview, changes)| as_json(sink, preview, changes, args)).collect();
            writeln!(out, "{:#}", json!({ "deliveries": all }))?;
        }
        Form::Text => {
            for (sink, preview, changes) in &shown {
                write_preview(sink, preview, changes, args, out)?;
            }
            if shown.is_empty() && args.orders.is_empty() {
                writeln!(out, "nothing is pending")?;
            }
        }
    }
    let unknown: Vec<&String> = args
        .orders
        .iter()
        .filter(|order| !shown.iter().any(|(_, preview, _)| preview.order.order_id.as_str() == order.as_str()))
        .collect();
    if unknown.is_empty() {
        return Ok(FINE);
    }
    if args.json.form() == Form::Text {
        for order in unknown {
            writeln!(out, "no sink is owed an order {order}")?;
        }
    }
    Ok(NOT_WELL)
}

/// Since the version that the sink holds.
async fn changes(pool: &PgPool, preview: &Preview) -> anyhow::Result<Vec<Change>> {
    let (Some(applied), Action::Send(_)) = (preview.applied, &preview.action) else { return Ok(Vec::new()) };
    let key = &preview.order;
    let histories = orders::histories(pool, key.order_id.as_str(), Some(&key.source)).await?;
    let history = histories.first().context("a delivery without an order")?;
    Ok(changes_between(history, applied.0, preview.version.0).unwrap_or_default())
}

fn as_json(sink: &SinkName, preview: &Preview, changes: &[Change], args: &PlanArgs) -> Value {
    let mut action = json!(preview.action);
    if !args.bodies
        && let Some(fields) = action.as_object_mut()
    {
        fields.remove("body");
        fields.remove("receipt");
    }
    json!({
        "sink": sink, "source": preview.order.source, "order_id": preview.order.order_id, "state": preview.state,
        "version": preview.version, "applied_version": preview.applied, "action": action, "changes": changes,
    })
}

fn write_preview(
    sink: &SinkName,
    preview: &Preview,
    changes: &[Change],
    args: &PlanArgs,
    out: &mut impl Write,
) -> io::Result<()> {
    let Preview { order, version, .. } = preview;
    write!(out, "{sink}  {order}  version {version}: ")?;
    match &preview.action {
        Action::Send(step) => {
            let last = if step.completes { "" } else { ", and more after its answer" };
            writeln!(out, "would send `{}` ({} bytes{last})", step.name, step.body.len())?;
            for change in changes {
                writeln!(out, "    {}", changed(change))?;
            }
            if args.bodies {
                writeln!(out, "    {}", step.body)?;
            }
            Ok(())
        }
        Action::Nothing { notice: None } => writeln!(out, "nothing to do, it stands there"),
        Action::Nothing { notice: Some(notice) } => writeln!(out, "nothing to do, with the notice {notice}"),
        Action::Skip { reason } => writeln!(out, "nothing is owed ({reason})"),
        Action::Wait { waiting_for, seconds } => writeln!(out, "waits for {waiting_for}, {seconds} s at least"),
        Action::Withhold { step, waiting_for } => {
            writeln!(out, "would send `{}` ({} bytes) once it may ({waiting_for})", step.name, step.body.len())?;
            if args.bodies {
                writeln!(out, "    {}", step.body)?;
            }
            Ok(())
        }
        Action::Read => writeln!(out, "what the destination holds could not be read"),
        Action::Park { reason, hint } => writeln!(out, "would be parked ({reason}): {hint}"),
        Action::LookUp { step } => writeln!(out, "`{step}` has no known outcome and is looked up first"),
        Action::Leave => writeln!(out, "is being worked on right now"),
    }
}
