//! `deliveries list|retry|discard|adopt`: what waits for a person, and what a person does about it.

use std::io::Write;

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::json;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs,
    config::Form,
    operator::{OperatorArgs, done_or_told},
    status::shown,
    table,
};
use crate::{
    domain::{
        delivery::State,
        ids::{SinkName, SourceName},
    },
    operate::{
        LISTED,
        deliveries::{self, Adopt, Cursor, Discard, List, Retried, Retry},
    },
    store::operations::{Listed, Moved},
};

#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// Deliveries that wait for a person, or those of a state; latest changed first
    List(ListArgs),
    /// Make parked deliveries due now; of one in doubt this says "nothing of it stands at the destination"
    Retry(RetryArgs),
    /// Close deliveries for the version that was refused, or is in doubt; a newer version is owed as before
    Discard(DiscardArgs),
    /// Give a delivery in doubt the id that its order has at the destination: it was applied
    Adopt(AdoptArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync deliveries list
  scoffable-sync deliveries list --sink hook --reason unprocessable
  scoffable-sync deliveries list --state skipped --json")]
pub struct ListArgs {
    /// Only of this sink
    #[arg(long, value_name = "NAME", value_parser = SinkName::parse)]
    pub sink: Option<SinkName>,
    /// Only of this source
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// pending, in_flight, in_doubt, applied, skipped or parked [default: parked and in_doubt]
    #[arg(long, value_parser = state)]
    pub state: Option<State>,
    /// Only with this reason
    #[arg(long)]
    pub reason: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = LISTED, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Only what comes behind the end of an earlier list
    #[arg(long, value_name = "NEXT", value_parser = Cursor::parse)]
    pub after: Option<Cursor>,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync deliveries retry hook 5500017 --why \"the menu is mended\"
  scoffable-sync deliveries retry hook --all --reason unprocessable

--all takes the parked ones only. What is in doubt has to be looked at and named, one by one.")]
pub struct RetryArgs {
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// The platform's ids of the orders
    #[arg(value_name = "ORDER", required_unless_present = "all")]
    pub orders: Vec<String>,
    /// Every parked delivery of the sink
    #[arg(long, conflicts_with = "orders")]
    pub all: bool,
    /// With --all: only those with this reason
    #[arg(long, requires = "all")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync deliveries discard hook 5500017 --why \"entered by hand\"

What is discarded while in doubt may stand at the destination: nothing is created there for that order again, until it
is retried.")]
pub struct DiscardArgs {
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// The platform's ids of the orders
    #[arg(value_name = "ORDER", required = true)]
    pub orders: Vec<String>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync deliveries adopt pos 5500017 POS-4711 --why \"found on the till\"")]
pub struct AdoptArgs {
    /// The sink
    #[arg(value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// The platform's id of the order
    #[arg(value_name = "ORDER")]
    pub order: String,
    /// What the destination calls it
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub external_id: String,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Only of this source; needed where several know an id
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    #[command(flatten)]
    pub operator: OperatorArgs,
    #[command(flatten)]
    pub json: JsonArgs,
}

fn state(text: &str) -> Result<State, String> {
    State::parse(text).ok_or_else(|| {
        let known: Vec<_> = State::ALL.iter().map(|state| state.as_str()).collect();
        format!("use one of {}", known.join(", "))
    })
}

/// Does what the command says. Returns the exit code: 0, or 1 when it was refused.
pub async fn run(
    pool: &PgPool,
    command: &DeliveriesCommand,
    offset_ms: i64,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let (operated, common) = match command {
        DeliveriesCommand::List(args) => return list(pool, args, out).await,
        DeliveriesCommand::Retry(args) => {
            let which = if args.all {
                Retried::AllParked { reason: args.reason.clone() }
            } else {
                Retried::Orders(args.orders.clone())
            };
            let retry = Retry { sink: args.sink.clone(), source: args.common.source.clone(), which };
            (deliveries::retry(args.common.operator.desk(pool, offset_ms), &retry).await, &args.common)
        }
        DeliveriesCommand::Discard(args) => {
            let (source, orders) = (args.common.source.clone(), args.orders.clone());
            let discard = Discard { sink: args.sink.clone(), source, orders };
            (deliveries::discard(args.common.operator.desk(pool, offset_ms), &discard).await, &args.common)
        }
        DeliveriesCommand::Adopt(args) => {
            let adopt = Adopt {
                sink: args.sink.clone(),
                source: args.common.source.clone(),
                order: args.order.clone(),
                external_id: args.external_id.clone(),
            };
            (deliveries::adopt(args.common.operator.desk(pool, offset_ms), &adopt).await, &args.common)
        }
    };
    let form = common.json.form();
    let answer = match done_or_told(operated, form, out)? {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(answer))?,
        Form::Text if answer.deliveries.is_empty() => {
            writeln!(out, "nothing to {} at sink {}", answer.action, answer.sink)?;
        }
        Form::Text => write_moved(&answer.sink, &answer.deliveries, out)?,
    }
    Ok(FINE)
}

/// `main/A-1 at sink hook: parked → pending`.
pub(super) fn write_moved(sink: &SinkName, moved: &[Moved], out: &mut impl Write) -> std::io::Result<()> {
    for one in moved {
        let reason = one.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        writeln!(out, "{}/{} at sink {sink}: {} → {}{reason}", one.source, one.order_id, one.was, one.state)?;
    }
    Ok(())
}

async fn list(pool: &PgPool, args: &ListArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let wanted = List {
        sink: args.sink.clone(),
        source: args.source.clone(),
        state: args.state,
        reason: args.reason.clone(),
        after: args.after.clone(),
        limit: args.limit,
    };
    let form = args.json.form();
    let listing = match done_or_told(deliveries::list(pool, &wanted).await, form, out)? {
        Ok(listing) => listing,
        Err(code) => return Ok(code),
    };
    match form {
        Form::Json => writeln!(out, "{:#}", json!(listing))?,
        Form::Text if listing.deliveries.is_empty() => {
            writeln!(out, "{}", if args.state.is_none() { "nothing waits for a person" } else { "no such delivery" })?;
        }
        Form::Text => {
            let headings = ["sink", "order", "version", "state", "since", "attempts", "reason", "what to do"];
            table::write(out, &headings, &listing.deliveries.iter().map(row).collect::<Vec<_>>())?;
            if let Some(next) = listing.next {
                writeln!(
                    out,
                    "(at most {} are shown: see --limit, or go on with --after {})",
                    args.limit,
                    String::from(next)
                )?;
            }
        }
    }
    Ok(FINE)
}

fn row(listed: &Listed) -> Vec<String> {
    let reason = listed.reason.as_ref().or(listed.waiting_for.as_ref()).or(listed.last_error.as_ref());
    vec![
        listed.sink.clone(),
        format!("{}/{}", listed.source, listed.order_id),
        listed.wanted_version.to_string(),
        listed.state.clone(),
        shown(listed.updated_at),
        listed.attempts.to_string(),
        reason.cloned().unwrap_or_default(),
        listed.hint.clone().unwrap_or_default(),
    ]
}
