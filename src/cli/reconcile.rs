//! `reconcile`: whether the books of every sink that carries money are right, to the penny.

mod written;

use std::{io::Write, ops::ControlFlow};

use anyhow::Context as _;
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use sqlx::PgPool;

use self::written::Report;
use super::{BAD_CONFIGURATION, FINE, NOT_WELL, operator::Progress};
use crate::{
    app,
    clock::Clock,
    config::Settings,
    domain::ids::{SinkName, SourceName},
    operate::reconcile::{self, Alerts, By, Reconcile, Word},
    store::{operations::OperationError, reconciliation::MoneySink},
};

#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync reconcile                      all sinks that carry money, by day and vendor
  scoffable-sync reconcile books --from 2026-03-01 --to 2026-03-31 --time-zone Europe/London
  scoffable-sync reconcile books --by order --format csv > march.csv
  scoffable-sync reconcile pos --from 2026-03-29 --verify-remote

For each order: source + declared = posted + pending + excluded - difference. `source` is what its newest version states, \
`declared` what the sink's contract lets stand beside it (goodwill, rounding), `posted` what our receipts say stands there. \
What is pending or excluded says why. A difference is what nothing explains: it names its orders, raises an alert for each \
(money_differs, closed by the next run that finds it gone), and makes the exit code 1, as does an order that was to be \
verified and could not be. The view money_reconciliation says the same.")]
pub struct ReconcileArgs {
    /// Only of this sink
    #[arg(value_name = "SINK", value_parser = SinkName::parse)]
    pub sink: Option<SinkName>,
    /// Orders placed on this day or later, for instance 2026-03-01
    #[arg(long, value_name = "DATE")]
    pub from: Option<NaiveDate>,
    /// Orders placed on this day or earlier
    #[arg(long, value_name = "DATE")]
    pub to: Option<NaiveDate>,
    /// Only of this vendor
    #[arg(long, value_name = "ID")]
    pub vendor: Option<String>,
    /// Only of this source
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    pub source: Option<SourceName>,
    /// One row for each of these beside the currency (a day has one for each vendor)
    #[arg(long, value_enum, default_value = "day")]
    pub by: RowsBy,
    /// Where days begin, for instance Europe/London
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = zone)]
    pub time_zone: Tz,
    /// Ask the destinations themselves what stands there, within their call budgets and behind every order
    #[arg(long)]
    pub verify_remote: bool,
    /// How the answer is written; amounts of `json` and `csv` are in minor units
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RowsBy {
    #[default]
    Day,
    Vendor,
    Order,
    Currency,
}

impl RowsBy {
    fn by(self) -> By {
        match self {
            Self::Day => By::Day,
            Self::Vendor => By::Vendor,
            Self::Order => By::Order,
            Self::Currency => By::Currency,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
    Csv,
}

fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "no such time zone: use one as Europe/London".to_owned())
}

impl ReconcileArgs {
    fn request(&self) -> Reconcile {
        Reconcile {
            sink: self.sink.clone(),
            source: self.source.clone(),
            vendor: self.vendor.clone(),
            from: self.from,
            to: self.to,
            time_zone: self.time_zone,
            by: self.by.by(),
        }
    }

    fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Writes the books of each sink. Returns the exit code: 0 only when nothing is unexplained, nothing that was to be verified
/// is not, and nothing was interrupted.
pub async fn run(
    settings: &Settings,
    pool: &PgPool,
    clock: &Clock,
    args: &ReconcileArgs,
    out: &mut (impl Write + Send),
) -> anyhow::Result<u8> {
    let request = args.request();
    if args.from.zip(args.to).is_some_and(|(from, to)| from > to) {
        writeln!(out, "{}", reconcile::BACKWARDS)?;
        return Ok(BAD_CONFIGURATION);
    }
    let mut report = Report::new(args.format(), &request, out);
    let sinks = match reconcile::sinks(pool, &request).await {
        Ok(sinks) => sinks,
        Err(OperationError::Store(error)) => return Err(error.into()),
        Err(OperationError::Refused(refusals)) => {
            report.refuse(&refusals)?;
            return Ok(NOT_WELL);
        }
    };
    report.begin()?;
    let mut is_well = true;
    for sink in &sinks {
        let word = if args.verify_remote { Some(asked(settings, pool, clock, sink, &request).await?) } else { None };
        is_well &= one(pool, sink, &request, word.as_ref(), &mut report).await?;
    }
    report.end(is_well)?;
    Ok(if is_well { FINE } else { NOT_WELL })
}

/// What the destination itself says.
async fn asked(
    settings: &Settings,
    pool: &PgPool,
    clock: &Clock,
    sink: &MoneySink,
    request: &Reconcile,
) -> anyhow::Result<Word> {
    let drivers = app::drivers(settings, pool, clock, "reconcile")?;
    let driver = drivers.into_iter().find(|driver| *driver.name() == sink.name);
    let driver = driver.with_context(|| format!("sink {} is not configured: it cannot be asked", sink.name))?;
    let progress = Progress::bar("orders read back");
    Ok(reconcile::verify(&driver, request, clock.offset_ms(), &mut |step| progress.watch(step)).await?)
}

/// Returns whether all is well with this sink.
async fn one<W: Write + Send>(
    pool: &PgPool,
    sink: &MoneySink,
    request: &Reconcile,
    word: Option<&Word>,
    report: &mut Report<'_, W>,
) -> anyhow::Result<bool> {
    let mut alerts = Alerts::of(pool, &sink.name).await?;
    report.begin_sink(sink)?;
    let mut failed = None;
    let progress = Progress::bar("orders");
    let mut visit = |statement: &_| {
        alerts.note(statement);
        match report.order(statement) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let books = reconcile::books(pool, &sink.name, request, word, &mut visit, &mut |step| progress.watch(step)).await?;
    drop(progress);
    if let Some(error) = failed {
        return Err(error.into());
    }
    report.end_sink(&books)?;
    alerts.settle(pool, &books.totals).await?;
    Ok(books.is_well())
}
