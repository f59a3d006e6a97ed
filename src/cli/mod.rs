//! The command line, a file for each subcommand.
//!
//! Here stand the definition, what is common (configuration, database, exit codes) and nothing else.

pub mod backfill;
pub mod catalogue;
pub mod config;
pub mod database;
pub mod deliveries;
pub mod demo;
pub mod dev_database;
pub mod doctor;
pub mod erase;
pub mod godatafeed;
pub mod links;
pub mod man;
pub mod migrate;
pub mod operator;
pub mod order;
pub mod plan;
pub mod prune;
pub mod quarantine;
pub mod reconcile;
pub mod replay;
pub mod run;
pub mod shadow;
pub mod simulate;
pub mod sink;
pub mod source;
pub mod spoton;
pub mod status;
mod table;
pub mod xero;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand};

use self::config::Form;
use crate::{
    clock::Clock,
    config::{self as settings, ConfigError, LoadOptions},
    database::{Database, install::Consent},
    domain::ids::SourceName,
    ops::health::Limits,
    telemetry::chain,
};

/// Asked and answered: all is well.
pub const FINE: u8 = 0;
/// The answer is "not well".
pub const NOT_WELL: u8 = 1;
/// Usage or configuration.
pub const BAD_CONFIGURATION: u8 = 2;
/// Postgres cannot be reached.
pub const NO_DATABASE: u8 = 3;
/// Anything else.
pub const FAILED: u8 = 4;

const EXAMPLES: &str = "\
Examples:
  scoffable-sync demo --install-postgres     see it work, with nothing prepared
  scoffable-sync check-config                what is wrong with the configuration
  scoffable-sync run --config sync.toml      the daemon
  scoffable-sync status                      how it fares; exit 1 when degraded

Exit codes: 0 fine, 1 the answer is \"not well\", 2 usage or configuration, 3 Postgres cannot be reached, 4 failed.";

/// Keeps points of sale, marketplaces, books and stock in step with Scoffable orders: once, in order, to the penny.
#[derive(Debug, Parser)]
#[command(name = "scoffable-sync", version, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    /// Configuration file [default: ./scoffable-sync.toml, else /etc/scoffable-sync/scoffable-sync.toml]
    #[arg(long, global = true, env = "SCOFFABLE_SYNC_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The daemon: reads the streams and delivers, until told to stop
    Run(InstallArgs),
    /// Everything in one process: private Postgres, simulated systems, the daemon
    Demo(demo::DemoArgs),
    /// Only the simulated systems, for integrators
    Simulate(simulate::SimulateArgs),
    /// What is wrong with the configuration; no network
    CheckConfig(JsonArgs),
    /// How everything fares: sources, sinks, queue, dead letters; exit 1 when degraded
    Status(StatusArgs),
    /// Everything that happened to one order; exit 1 when it is unknown
    Order(OrderArgs),
    /// A dry run: what would be sent to each sink, and what changed; sends nothing
    Plan(plan::PlanArgs),
    /// Try a new mapping or sink on stored orders: what would differ in documents and money; sends nothing
    Shadow(shadow::ShadowArgs),
    /// Work what waits for a person: list, retry, discard, adopt
    #[command(subcommand)]
    Deliveries(deliveries::DeliveriesCommand),
    /// Hold a sink back, or let it send again
    #[command(subcommand)]
    Sink(sink::SinkCommand),
    /// Stop reading a stream, go on, or read it again from an earlier time
    #[command(subcommand)]
    Source(source::SourceCommand),
    /// Orders that could not be taken in
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// Ask a SpotOn point of sale: what it would compute of an order, what is on a menu
    #[command(subcommand)]
    Spoton(spoton::SpotonCommand),
    /// Cancel at GoDataFeed what was rejected here
    #[command(subcommand)]
    Godatafeed(godatafeed::GodatafeedCommand),
    /// Prove the money of every sink: orders against what was posted; exit 1 when something is unexplained
    Reconcile(reconcile::ReconcileArgs),
    /// Set up a Xero organisation: what can be named there, and a person's consent
    #[command(subcommand)]
    Xero(xero::XeroCommand),
    /// The copy of products, stock and customers that is kept of a sink
    #[command(subcommand)]
    Catalogue(catalogue::CatalogueCommand),
    /// Which product or customer of ours is which record in a sink
    #[command(subcommand)]
    Links(links::LinksCommand),
    /// Look at one product or customer in a sink at once; exit 1 when it is not there to be used
    Sync(catalogue::SyncArgs),
    /// Read all products and customers of a sink; says what it costs first
    Bootstrap(catalogue::BootstrapArgs),
    /// What a month of a sink costs in calls, what helps, and when a limit is used up; exit 1 when it does not fit
    Budget(catalogue::BudgetArgs),
    /// Plan stored orders again for a sink: what it holds decides whether anything is sent
    Replay(replay::ReplayArgs),
    /// Owe a sink stored orders that it was never owed
    Backfill(backfill::BackfillArgs),
    /// Remove now what [retention] no longer keeps: payloads, attempts, resolved cases and alerts
    Prune(prune::PruneArgs),
    /// Erase what is personal of orders, or of a customer; says what it would touch first
    Erase(erase::EraseArgs),
    /// Try the way to each system and say what to do about what is wrong; exit 1 when something is
    Doctor(JsonArgs),
    /// Apply the database's migrations and exit
    Migrate(InstallArgs),
    /// The configuration in effect, its JSON Schema, or every key that it may have
    #[command(subcommand)]
    Config(ConfigCommand),
    /// A completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// A manual page for each command
    Man(man::ManArgs),
    /// Run a command with DATABASE_URL leading to a throw-away database with our schema
    #[command(hide = true)]
    DevDatabase {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// The configuration in effect, defaults and all, without secrets
    Show(JsonArgs),
    /// JSON Schema of the configuration file, for editors
    Schema,
    /// Every key with its type, default and meaning, as Markdown
    Reference,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, Args)]
pub struct JsonArgs {
    /// Answer as JSON
    #[arg(long)]
    pub json: bool,
}

impl JsonArgs {
    pub fn form(self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync status
  scoffable-sync status --json | jq .reasons
  scoffable-sync status --live             asks the running process, for health checks")]
struct StatusArgs {
    #[command(flatten)]
    json: JsonArgs,
    /// Only ask the process at http.listen whether it turns; needs no database
    #[arg(long)]
    live: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync order 5500017
  scoffable-sync order 5500017 --source main --json")]
struct OrderArgs {
    /// The platform's id of the order
    id: String,
    /// Only in this source, where several know the id
    #[arg(long, value_name = "NAME", value_parser = SourceName::parse)]
    source: Option<SourceName>,
    #[command(flatten)]
    json: JsonArgs,
}

/// Consent to install a missing PostgreSQL.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Install PostgreSQL by the system's package manager if an embedded database needs it and none is here
    #[arg(long)]
    install_postgres: bool,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the configuration cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Database(#[from] database::OpenError),
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Unusable(_) => BAD_CONFIGURATION,
            Self::Database(error) => error.exit_code(),
            Self::Failed(_) => FAILED,
        }
    }

    /// Whoever read our answer has heard enough, as `head` does.
    fn is_gone_reader(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Parses the command line of this process, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            return ExitCode::from(FAILED);
        }
    };
    let code = runtime.block_on(execute(cli)).unwrap_or_else(|error| {
        if error.is_gone_reader() {
            return FINE;
        }
        eprintln!("error: {}", chain(&error));
        error.exit_code()
    });
    // A task that blocks must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ExitCode::from(code)
}

async fn execute(cli: Cli) -> Result<u8, CliError> {
    let options = LoadOptions::of_process(cli.config);
    let out = &mut io::stdout();
    match cli.command {
        Command::Run(install) => run::run(&options, install.into()).await,
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Simulate(args) => Box::pin(simulate::run(args, &options, out)).await,
        Command::CheckConfig(json) => Ok(config::check(&options, json.form(), out)?),
        Command::Status(args) if args.live => live(&options).await,
        Command::Status(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            let limits = Limits::of(&settings);
            Ok(status::run(&database.pool, &limits, args.json.form(), out).await?)
        }
        Command::Order(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(order::run(&database.pool, &args.id, args.source.as_ref(), args.json.form(), out).await?)
        }
        Command::Plan(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(plan::run(&settings, &database.pool, &Clock::default(), &args, out).await?)
        }
        Command::Shadow(args) => {
            let standing = LoadOptions::of_process(args.against.clone());
            let configurations = match shadow::Configurations::load(&options, &standing) {
                Ok(configurations) => configurations,
                Err(error) => return Ok(config::refuse(&error, args.json.form(), out)?),
            };
            let database = database::open(&configurations.of_database().database, Consent::Withheld).await?;
            Ok(shadow::run(&configurations, &database.pool, &Clock::default(), &args, out).await?)
        }
        Command::Deliveries(command) => {
            let database = configured(&options).await?;
            Ok(deliveries::run(&database.pool, &command, REAL_TIME, out).await?)
        }
        Command::Sink(command) => {
            let database = configured(&options).await?;
            Ok(sink::run(&database.pool, &command, REAL_TIME, out).await?)
        }
        Command::Source(command) => {
            let database = configured(&options).await?;
            Ok(source::run(&database.pool, &command, REAL_TIME, out).await?)
        }
        Command::Quarantine(command) => {
            let database = configured(&options).await?;
            Ok(quarantine::run(&database.pool, &command, REAL_TIME, out).await?)
        }
        Command::Spoton(command) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(spoton::run(&settings, &database.pool, &Clock::default(), &command, out).await?)
        }
        Command::Godatafeed(command) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(godatafeed::run(&settings, &database.pool, &command, REAL_TIME, out).await?)
        }
        Command::Reconcile(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            // Rows are many, and each is a line.
            let out = &mut io::BufWriter::new(out);
            let code = reconcile::run(&settings, &database.pool, &Clock::default(), &args, out).await?;
            out.flush()?;
            Ok(code)
        }
        Command::Xero(command) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(xero::run(&settings, &database.pool, &Clock::default(), &command, out).await?)
        }
        Command::Catalogue(command) => {
            let database = configured(&options).await?;
            Ok(catalogue::status(&database.pool, &command, out).await?)
        }
        Command::Links(command) => {
            let database = configured(&options).await?;
            Ok(links::run(&database.pool, &command, REAL_TIME, out).await?)
        }
        Command::Sync(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(catalogue::sync(&settings, &database.pool, &Clock::default(), &args, out).await?)
        }
        Command::Bootstrap(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(catalogue::bootstrap(&settings, &database.pool, &Clock::default(), &args, out).await?)
        }
        Command::Budget(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(catalogue::budget(&settings, &database.pool, &Clock::default(), &args, out).await?)
        }
        Command::Replay(args) => {
            let database = configured(&options).await?;
            Ok(replay::run(&database.pool, &args, REAL_TIME, out).await?)
        }
        Command::Backfill(args) => {
            let database = configured(&options).await?;
            Ok(backfill::run(&database.pool, &args, REAL_TIME, out).await?)
        }
        Command::Prune(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(prune::run(&database.pool, &settings.retention, &args, REAL_TIME, out).await?)
        }
        Command::Erase(args) => {
            let settings = settings::load(&options)?;
            let database = database::open(&settings.database, Consent::Withheld).await?;
            Ok(erase::run(&settings, &database.pool, &args, REAL_TIME, out).await?)
        }
        Command::Doctor(json) => {
            let report = settings::check(&options)?;
            let Some(settings) = &report.settings else { return Err(ConfigError::Invalid(Box::new(report)).into()) };
            Ok(doctor::run(settings, &report.found.warnings, json.form(), out).await?)
        }
        Command::Migrate(install) => migrate::run(&options, install.into(), out).await,
        Command::Config(ConfigCommand::Show(json)) => Ok(config::show(&options, json.form(), out)?),
        Command::Config(ConfigCommand::Schema) => {
            config::schema(out)?;
            Ok(FINE)
        }
        Command::Config(ConfigCommand::Reference) => {
            config::reference(out)?;
            Ok(FINE)
        }
        Command::Completions { shell } => {
            // Into memory first: it panics where the reader has gone.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "scoffable-sync", &mut script);
            out.write_all(&script)?;
            Ok(FINE)
        }
        Command::Man(args) => Ok(man::run(Cli::command(), &args, out)?),
        Command::DevDatabase { command } => dev_database::run(&command).await,
    }
}

/// Offset of a command's clock to the database's; only tests move time.
const REAL_TIME: i64 = 0;

/// The configured database. A private server is not installed for a command that only looks or corrects.
async fn configured(options: &LoadOptions) -> Result<Database, CliError> {
    let settings = settings::load(options)?;
    Ok(database::open(&settings.database, Consent::Withheld).await?)
}

async fn live(options: &LoadOptions) -> Result<u8, CliError> {
    match settings::load(options)?.http.listen {
        Some(address) => Ok(status::live(address).await),
        None => Err(anyhow::anyhow!("http.listen is \"off\": there is nobody to ask").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }
}
