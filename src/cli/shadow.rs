//! `shadow`: what another configuration would make of stored orders, before it goes live. Sends and writes nothing.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgPool;

use super::{
    FINE, JsonArgs, NOT_WELL,
    config::Form,
    operator::{Progress, done_or_told},
    table,
};
use crate::{
    app,
    clock::Clock,
    config::{self, ConfigError, LoadOptions, Report, Settings},
    delivery::{driver::Driver, shadow::Document},
    domain::{
        ids::{OrderKey, SinkName, SourceName},
        money::Currency,
    },
    operate::{
        shadow::{self, Counted, Group, Kept, Moved, Personal, Shadow, Shadowed, Side, Sums},
        stored::Orders,
    },
};

/// Longest value that is written whole.
const LONGEST_VALUE: usize = 60;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync shadow --sink books --since 2026-03-01T00:00:00Z --config new.toml
  scoffable-sync shadow --sink books --since 2026-03-01T00:00:00Z --config new.toml --against sync.toml --json
  scoffable-sync shadow --sink books --since 2026-03-01T00:00:00Z         against what is recorded as sent

--config names the configuration to try. It is held against the standing one: --against, else SCOFFABLE_SYNC_CONFIG, else \
the file that is found without. Where that is the same file or there is none, against what is recorded of the sink's deliveries: \
how they stand and their money, as no document of the past is kept.

Each order is planned by its newest version as if nothing of it stood there yet, as it would have been when it was placed; of \
several documents only the first is told. Nothing is sent, asked or written: the destination is presumed to have what settings \
name, and of its products only what links and the copy kept of it say is known. In a place, `*` stands for any position in a \
list. Values that may be personal are shown as \"…\".

Exit code: 0 nothing would differ, 1 something would, or the sink is unknown, or it was interrupted, 2 one of the \
configurations cannot be used.")]
pub struct ShadowArgs {
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
    /// The standing configuration [default: the one that is used without --config]
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// At most so many groups of each sort
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Show every value, and whole documents of orders that differ: holds personal data
    #[arg(long)]
    pub bodies: bool,
    #[command(flatten)]
    pub json: JsonArgs,
}

impl ShadowArgs {
    fn request(&self) -> Shadow {
        Shadow {
            sink: self.sink.clone(),
            orders: Orders {
                source: self.source.clone(),
                vendor: self.vendor.clone(),
                since: Some(self.since),
                until: self.until,
            },
            limit: self.limit as usize,
            personal: if self.bodies { Personal::Told } else { Personal::Masked },
        }
    }
}

/// A configuration by the name of its file.
#[derive(Debug)]
pub struct Named {
    pub name: String,
    pub settings: Settings,
}

impl Named {
    fn of(options: &LoadOptions) -> Result<Self, ConfigError> {
        let mut report = config::check(options)?;
        match report.settings.take() {
            Some(settings) => Ok(Self { name: name_of(&report), settings }),
            None => Err(ConfigError::Invalid(Box::new(report))),
        }
    }
}

fn name_of(report: &Report) -> String {
    report.file.as_ref().map_or_else(|| "the environment".to_owned(), |file| file.display().to_string())
}

/// The configuration to try, and the standing one where that is another.
#[derive(Debug)]
pub struct Configurations {
    pub tried: Named,
    pub standing: Option<Named>,
}

impl Configurations {
    /// Both are whole, or nothing is done. `tried` reads the file that was named, `standing` what is used otherwise.
    pub fn load(tried: &LoadOptions, standing: &LoadOptions) -> Result<Self, ConfigError> {
        let file =
            |options: &LoadOptions| config::file(options).map(|file| file.and_then(|file| file.canonicalize().ok()));
        let tried_file = file(tried)?;
        let standing_file = match file(standing) {
            Ok(found) => found,
            Err(ConfigError::NotFound) => None,
            Err(error) => return Err(error),
        };
        let was_named = standing.file.is_some();
        let tried = Named::of(tried)?;
        let is_another = was_named || standing_file.is_some() && standing_file != tried_file;
        let standing = if is_another { Some(Named::of(standing)?) } else { None };
        Ok(Self { tried, standing })
    }

    /// Where orders are stored, as the standing configuration says.
    pub fn of_database(&self) -> &Settings {
        self.standing.as_ref().map_or(&self.tried.settings, |standing| &standing.settings)
    }
}

/// Writes what would differ. Returns the exit code: 0 when nothing would.
pub async fn run(
    configurations: &Configurations,
    pool: &PgPool,
    clock: &Clock,
    args: &ShadowArgs,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let Configurations { tried, standing } = configurations;
    let Some(settings) = tried.settings.sinks.get(&args.sink) else {
        for named in [Some(tried), standing.as_ref()].into_iter().flatten() {
            let known: Vec<&str> = named.settings.sinks.keys().map(SinkName::as_str).collect();
            let Named { name, .. } = named;
            writeln!(out, "sinks of {name}: {}", known.join(", "))?;
        }
        writeln!(out, "no sink of {} is called {}", tried.name, args.sink)?;
        return Ok(NOT_WELL);
    };
    let after = driver(&tried.settings, pool, clock, &args.sink)?.context("a sink that is configured is built")?;
    let before = match standing {
        Some(standing) => driver(&standing.settings, pool, clock, &args.sink)?,
        None => None,
    };
    let sides = standing.as_ref().and_then(|standing| standing.settings.sinks.get(&args.sink)).zip(before.as_ref());
    let before = sides.map(|(settings, driver)| Side { driver, settings });
    let request = args.request();
    let progress = Progress::bar("orders compared");
    let after = Side { driver: &after, settings };
    let operated = shadow::shadow(pool, &request, before, after, &mut |step| progress.watch(step)).await;
    drop(progress);
    let answer = match done_or_told(operated, args.json.form(), out)? {
        Ok(answer) => answer,
        Err(code) => return Ok(code),
    };
    let against = match (standing, before) {
        (Some(standing), Some(_)) => standing.name.clone(),
        _ => "what is recorded".to_owned(),
    };
    match args.json.form() {
        Form::Json => {
            let answer = Answer { tried: &tried.name, against: &against, of: &answer };
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        }
        Form::Text => {
            writeln!(out, "sink {} as {} has it, against {against}:", answer.sink, tried.name)?;
            write_text(&answer, out)?;
        }
    }
    Ok(if answer.is_same() { FINE } else { NOT_WELL })
}

#[derive(Serialize)]
struct Answer<'a> {
    tried: &'a str,
    against: &'a str,
    #[serde(flatten)]
    of: &'a Shadowed,
}

fn driver(settings: &Settings, pool: &PgPool, clock: &Clock, sink: &SinkName) -> anyhow::Result<Option<Driver>> {
    let drivers = app::drivers(settings, pool, clock, "shadow")?;
    Ok(drivers.into_iter().find(|driver| driver.name() == sink))
}

fn write_text(answer: &Shadowed, out: &mut impl Write) -> io::Result<()> {
    let Shadowed { orders, same, changed, newly_sent, no_longer_sent, not_sent_otherwise, without_content, .. } =
        answer;
    write!(out, "{}: {same} same, {changed} changed, {newly_sent} newly sent, ", n_orders(*orders))?;
    write!(out, "{no_longer_sent} no longer sent, {not_sent_otherwise} not sent for another reason")?;
    if *without_content > 0 {
        write!(out, ", {without_content} left out, whose content retention removed")?;
    }
    writeln!(out)?;
    if !answer.money.is_empty() {
        let headings = ["currency", "before", "after", "difference", "tax before", "tax after"];
        let tells_tax = answer.money.iter().any(|sums| sums.tax_before_minor.or(sums.tax_after_minor).is_some());
        let headings = if tells_tax { &headings[..] } else { &headings[..4] };
        table::write(out, headings, &answer.money.iter().map(|sums| row(sums, tells_tax)).collect::<Vec<_>>())?;
    }
    if !answer.moves.is_empty() {
        writeln!(out, "what becomes of them:")?;
        for Moved { from, to, of } in &answer.moves {
            write_group(&format!("{from} → {to}"), of, None, out)?;
        }
    }
    if !answer.not_sent.is_empty() {
        writeln!(out, "what would not be sent:")?;
        for Kept { end, reason, of } in &answer.not_sent {
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            write_group(&format!("{}{reason}", end.as_str()), of, of.hint.as_deref(), out)?;
        }
    }
    if !answer.differences.is_empty() {
        writeln!(out, "what would differ:")?;
        for Group { path, from, to, of } in &answer.differences {
            let shown = |value: &Option<Box<RawValue>>| {
                value.as_ref().map_or_else(|| "nothing".to_owned(), |value| cut(value.get()))
            };
            write_group(&format!("{path}: {} → {}", shown(from), shown(to)), of, None, out)?;
        }
    }
    for one in &answer.documents {
        let body = |document: &Option<Document>| {
            document.as_ref().map_or_else(|| "nothing".to_owned(), |one| format!("`{}` {}", one.step, one.body))
        };
        writeln!(out, "{}\n  before: {}\n  after:  {}", one.order, body(&one.before), body(&one.after))?;
    }
    if answer.left_out > 0 {
        writeln!(out, "({} more groups: see --limit)", answer.left_out)?;
    }
    if answer.finished { Ok(()) } else { writeln!(out, "interrupted: this is what was looked at until then") }
}

fn row(sums: &Sums, tells_tax: bool) -> Vec<String> {
    let shown = |minor: i128| Currency::decimal(sums.currency, minor);
    let amounts = [sums.before_minor, sums.after_minor, sums.difference_minor].map(shown);
    let taxes = [sums.tax_before_minor, sums.tax_after_minor].map(|minor| minor.map(shown).unwrap_or_default());
    let taxes = taxes.into_iter().filter(|_| tells_tax);
    [sums.currency.to_string()].into_iter().chain(amounts).chain(taxes).collect()
}

/// `  WHAT in 312 orders, e.g. main/5500017, main/5500018`
fn write_group(what: &str, of: &Counted, hint: Option<&str>, out: &mut impl Write) -> io::Result<()> {
    let examples: Vec<String> = of.examples.iter().map(OrderKey::to_string).collect();
    let among = if of.orders > examples.len() as u64 { "e.g. " } else { "" };
    writeln!(out, "  {what} in {}, {among}{}", n_orders(of.orders), examples.join(", "))?;
    match hint {
        Some(hint) => writeln!(out, "    {hint}"),
        None => Ok(()),
    }
}

fn n_orders(n: u64) -> String {
    format!("{n} order{}", if n == 1 { "" } else { "s" })
}

fn cut(value: &str) -> String {
    if value.chars().count() <= LONGEST_VALUE {
        return value.to_owned();
    }
    value.chars().take(LONGEST_VALUE).chain(['…']).collect()
}
