//! `xero setup|connect`: what an organisation's accounts are called, and a person's consent to act for it.

mod connect;
mod setup;

use std::{io::Write, time::Duration};

use anyhow::bail;
use clap::{Args, Subcommand};
use sqlx::PgPool;

use super::JsonArgs;
use crate::{
    clock::Clock,
    config::{Settings, SinkKind, SinkSettings},
    domain::ids::SinkName,
    sinks::{Answer, xero::config::XeroSettings},
};

#[derive(Debug, Subcommand)]
pub enum XeroCommand {
    /// What the configuration can name: accounts, tax rates, tracking, currencies; and what of it does not fit
    #[command(after_help = "\
Examples:
  scoffable-sync xero setup books
  scoffable-sync xero setup books --json")]
    Setup(SetupArgs),
    /// Let a person permit access in a browser, for a sink with `auth = "code"`
    #[command(after_help = "\
Examples:
  scoffable-sync xero connect books
  scoffable-sync xero connect books --no-browser     prints the page to open instead

The application at Xero has to be registered with the address that is printed: http://localhost:PORT/callback.")]
    Connect(ConnectArgs),
}

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// The sink, by the name of its table
    #[arg(value_name = "SINK", value_parser = SinkName::parse)]
    pub sink: SinkName,
    #[command(flatten)]
    pub json: JsonArgs,
}

#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// The sink, by the name of its table
    #[arg(value_name = "SINK", value_parser = SinkName::parse)]
    pub sink: SinkName,
    /// Port of this machine that the browser comes back to
    #[arg(long, value_name = "PORT", default_value_t = 8976)]
    pub port: u16,
    /// Only print the page to open, for instance in a browser whose port is forwarded to here
    #[arg(long)]
    pub no_browser: bool,
    /// How long to wait for the person
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// A configured sink of the kind.
struct Books<'a> {
    name: &'a SinkName,
    sink: &'a SinkSettings,
    settings: &'a XeroSettings,
}

/// Does what the command says. Returns the exit code: 0, or 1 when a person has to do something.
pub async fn run(
    settings: &Settings,
    pool: &PgPool,
    clock: &Clock,
    command: &XeroCommand,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    match command {
        XeroCommand::Setup(args) => setup::run(&books(settings, &args.sink)?, pool, clock, args.json.form(), out).await,
        XeroCommand::Connect(args) => connect::run(&books(settings, &args.sink)?, pool, clock, args, out).await,
    }
}

fn books<'a>(settings: &'a Settings, wanted: &SinkName) -> anyhow::Result<Books<'a>> {
    let found = settings.sinks.get_key_value(wanted);
    match found.map(|(name, sink)| (name, sink, &sink.kind)) {
        Some((name, sink, SinkKind::Xero(settings))) => Ok(Books { name, sink, settings }),
        Some(_) => bail!("sink {wanted} is of another kind"),
        None => bail!("no sink is called {wanted}"),
    }
}

/// A failure as a person is told it.
fn told(answer: &Answer) -> String {
    let status = answer.http_status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let excerpt = answer.excerpt.as_deref().unwrap_or_default();
    format!("Xero gave no answer to this ({status}) {excerpt}").trim_end().to_owned()
}
