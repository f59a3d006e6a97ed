//! `demo`: everything in one process – a private Postgres, simulated systems, the daemon – so that it can be seen at work.
//!
//! Each run gets a database of its own in a cluster that is kept, so a second start is quick and nothing of an earlier
//! run stands in the way.

use std::{
    fmt::Write as _,
    io::IsTerminal,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;

use super::{CliError, FINE, InstallArgs, NOT_WELL, run::daemon};
use crate::{
    clock::Clock,
    config::{self, Env, LoadOptions, Settings},
    database::{
        Database, DatabaseSource, MIGRATOR,
        connect::ConnectOptions,
        embedded::{EmbeddedOptions, EmbeddedServer},
        migrate::migrate,
    },
    lifecycle::Lifecycle,
    simulator::{
        self, SimulateOptions, Simulation,
        faults::Chaos,
        limits::Limit,
        scoffable::{Limits, Pace},
    },
    store::{self, demo::Totals},
    telemetry::log,
};

/// Well above what the demo needs and low enough that the limiter has something to do under chaos.
const REQUESTS_PER_MINUTE: u32 = 600;
/// How often the summary is drawn.
const DRAW: Duration = Duration::from_millis(250);
/// With nothing to do for so many looks in a row the demo is idle: longer than one poll interval.
const IDLE_LOOKS: u32 = 8;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scoffable-sync demo --install-postgres
  scoffable-sync demo --orders 500 --chaos hard --seed 7 --exit-when-idle")]
pub struct DemoArgs {
    #[command(flatten)]
    install: InstallArgs,
    /// How many orders there are
    #[arg(long, default_value_t = 200)]
    orders: usize,
    /// Leads to the same orders and faults each time
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How badly the simulated systems behave
    #[arg(long, value_enum, default_value = "none")]
    chaos: Chaos,
    /// The versions appear over this time; 0s: all at once
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pace: Duration,
    /// End when nothing is left to do; exit 1 when something waits for a person or the receiver's books are not right
    #[arg(long)]
    exit_when_idle: bool,
    /// Folder of the private Postgres [default: a folder `demo` beside that of `embedded`]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Address of the status API, or "off"
    #[arg(long, default_value = "127.0.0.1:9464", value_name = "ADDRESS")]
    listen: String,
}

pub async fn run(args: DemoArgs) -> Result<u8, CliError> {
    let lifecycle = Lifecycle::new();
    let signals = lifecycle.obey_signals()?;
    let clock = Clock::default();
    let simulation = simulate(&args, &clock).await?;
    let (server, url) = tokio::select! {
        started = start_database(&args) => started?,
        () = lifecycle.drain().cancelled() => return Ok(FINE),
    };
    let settings = settings(&args, &simulation, &url)?;
    log::init(&settings.log, &Env::of_process()).map_err(|error| CliError::Unusable(Box::new(error)))?;
    let database = Database::open(
        &DatabaseSource::Url(url),
        EmbeddedOptions::in_folder(""),
        &ConnectOptions { max_connections: settings.database.max_connections, ..ConnectOptions::default() },
    )
    .await
    .map_err(anyhow::Error::from)?;
    migrate(&database.pool, &MIGRATOR).await.map_err(anyhow::Error::from)?;
    introduce(&args, &settings, &simulation, &server);

    let pool = database.pool.clone();
    let watching = watch(&args, &simulation, &pool, &lifecycle);
    let (code, seen) = tokio::join!(daemon(&settings, database, &lifecycle, &clock), watching);
    let code = code?;
    let verdict = conclude(&simulation, &seen);
    simulation.stop().await;
    server.stop().await.map_err(anyhow::Error::from)?;
    signals.abort();
    Ok(if code == FINE && args.exit_when_idle { verdict } else { code })
}

async fn simulate(args: &DemoArgs, clock: &Clock) -> Result<Simulation, CliError> {
    let limit = Some(Limit::per_minute(REQUESTS_PER_MINUTE));
    let options = SimulateOptions {
        orders: args.orders,
        seed: args.seed,
        chaos: args.chaos,
        pace: if args.pace.is_zero() { Pace::AtOnce } else { Pace::Over(args.pace) },
        limits: Limits { per_token: limit, per_account: limit },
        clock: clock.clone(),
        ..SimulateOptions::default()
    };
    Ok(simulator::run(options).await.map_err(anyhow::Error::from)?)
}

/// Starts the private server and makes an empty database in it; drops those that earlier runs left.
async fn start_database(args: &DemoArgs) -> Result<(EmbeddedServer, SecretString), CliError> {
    let dir = match &args.data {
        Some(dir) => std::path::absolute(dir)?,
        None => crate::database::default_dir()
            .ok_or_else(|| anyhow::anyhow!("there is no home for the demo's data: name a folder by --data"))?
            .join("demo"),
    };
    let consent = InstallArgs { install_postgres: args.install.install_postgres }.into();
    let server = EmbeddedServer::start(EmbeddedOptions { consent, ..EmbeddedOptions::in_folder(dir) })
        .await
        .map_err(anyhow::Error::from)?;
    let pool = PgPool::connect(server.url().expose_secret()).await.map_err(anyhow::Error::from)?;
    let name = format!("demo_{}_{}", chrono::Utc::now().timestamp(), std::process::id());
    store::demo::replace_databases(&pool, "demo_", &name).await.map_err(anyhow::Error::from)?;
    pool.close().await;
    let url = server.url_of(&name);
    Ok((server, url))
}

fn settings(args: &DemoArgs, simulation: &Simulation, url: &SecretString) -> Result<Settings, CliError> {
    let simulated = SimulateOptions::default();
    let filter = if args.chaos == Chaos::None { "warn" } else { "error" };
    let limit = REQUESTS_PER_MINUTE.to_string();
    let overrides = [
        ("database.url", url.expose_secret()),
        ("http.listen", args.listen.as_str()),
        ("log.filter", filter),
        ("delivery.lease", "15s"),
        ("delivery.drain", "5s"),
        ("sources.demo.kind", "scoffable"),
        ("sources.demo.base_url", &simulation.scoffable.base_url()),
        ("sources.demo.token", &simulated.token),
        ("sources.demo.poll_interval", "1s"),
        ("sources.demo.request_timeout", "2s"),
        ("sources.demo.requests_per_minute", &limit),
        ("sources.demo.account_requests_per_minute", &limit),
        ("sinks.hook.kind", "webhook"),
        ("sinks.hook.url", &simulation.webhook.url()),
        ("sinks.hook.signing_secret", &simulated.webhook_secret),
        ("sinks.hook.request_timeout", "2s"),
        ("sinks.hook.retry.initial", "200ms"),
        ("sinks.hook.retry.max", "2s"),
        ("sinks.hook.retry.slow_interval", "5s"),
        ("sinks.hook.retry.give_up_after", "10m"),
        ("sinks.hook.breaker.probe", "500ms"),
    ];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    Ok(config::load(&LoadOptions { overrides, ..LoadOptions::default() })?)
}

fn introduce(args: &DemoArgs, settings: &Settings, simulation: &Simulation, server: &EmbeddedServer) {
    println!("private Postgres {} in {}", server.version(), server.dir().display());
    println!("simulated order stream at {}, {} orders", simulation.scoffable.base_url(), args.orders);
    println!("simulated webhook receiver at {}", simulation.webhook.url());
    if let Some(listen) = settings.http.listen {
        println!("status API at http://{listen}/api/v1/status");
    }
    println!("\nlook inside with\n  {}", server.psql_line());
    println!("  SELECT * FROM sync_status;");
    println!("  SELECT sink, state, count(*) FROM deliveries GROUP BY 1, 2;");
    println!(
        "  SELECT at, actor, event, detail FROM order_timeline WHERE order_id = (SELECT min(order_id) FROM orders) ORDER BY at;"
    );
    println!("\nCtrl-C ends it.\n");
}

/// Draws the summary until the daemon stops; asks it to when nothing is left to do.
async fn watch(args: &DemoArgs, simulation: &Simulation, pool: &PgPool, lifecycle: &Lifecycle) -> Totals {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}").expect("the template is valid"));
    let terminal = std::io::stdout().is_terminal();
    let started = Instant::now();
    let mut first_delivery = None;
    let mut seen = Totals::default();
    let mut said = String::new();
    let mut idle = 0;
    while !lifecycle.drain().is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(DRAW) => {}
            () = lifecycle.drain().cancelled() => break,
        }
        let Ok(totals) = store::demo::totals(pool).await else { continue };
        seen = totals;
        if first_delivery.is_none() && seen.applied > 0 {
            first_delivery = Some(started.elapsed());
        }
        let line = summary(&seen, first_delivery);
        if terminal {
            bar.set_message(line);
            bar.tick();
        } else if line != said {
            println!("{:>6.1}s {line}", started.elapsed().as_secs_f64());
            said = line;
        }
        let busy = seen.open > 0 || !simulation.is_drained();
        idle = if busy { 0 } else { idle + 1 };
        if args.exit_when_idle && idle >= IDLE_LOOKS {
            lifecycle.request_drain();
        }
    }
    bar.finish();
    seen
}

fn summary(totals: &Totals, first_delivery: Option<Duration>) -> String {
    let mut line = format!(
        "{} versions of {} orders stored, {} applied, {} with nothing owed, {} to do",
        totals.versions, totals.orders, totals.applied, totals.skipped, totals.open
    );
    for (count, what) in
        [(totals.parked, "parked"), (totals.in_doubt, "in doubt"), (totals.quarantined, "in quarantine")]
    {
        if count > 0 {
            let _ = write!(line, ", {count} {what}"); // writing to a String cannot fail
        }
    }
    if let Some(after) = first_delivery {
        let _ = write!(line, " (first delivery after {:.1}s)", after.as_secs_f64());
    }
    line
}

/// Holds the receiver's books against what the newest versions say.
fn conclude(simulation: &Simulation, seen: &Totals) -> u8 {
    let mismatches = simulation.webhook.compare("demo", &simulation.world);
    let violations = simulation.webhook.violations();
    println!(
        "\nstored {} versions of {} orders; the receiver holds {} versions; {} differences, {} violations",
        seen.versions,
        seen.orders,
        simulation.webhook.ledger().n_applied(),
        mismatches.len(),
        violations.len()
    );
    for mismatch in mismatches.iter().take(20) {
        println!("  {mismatch}");
    }
    for violation in violations.iter().take(20) {
        println!("  {violation:?}");
    }
    if seen.parked + seen.in_doubt > 0 {
        println!("  {} parked, {} in doubt: SELECT * FROM dead_letters;", seen.parked, seen.in_doubt);
    }
    if mismatches.is_empty() && violations.is_empty() && seen.parked + seen.in_doubt == 0 { FINE } else { NOT_WELL }
}
