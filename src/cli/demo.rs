//! `demo`: everything in one process – a private Postgres, simulated systems, the daemon – so that it can be seen at work.
//!
//! Each run gets a database of its own in a cluster that is kept, so a second start is quick and nothing of an earlier
//! run stands in the way.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;

use super::{CliError, FINE, InstallArgs, NOT_WELL, database::OpenError, run::daemon};
use crate::{
    clock::Clock,
    config::{self, Env, LoadOptions, LogSettings, Settings},
    database::{
        self, Database, DatabaseSource, MIGRATOR,
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
    store::{
        self,
        demo::{DeadLetter, Totals},
    },
    telemetry::log,
};

/// Well above what the demo needs and low enough that the limiter has something to do under chaos.
const REQUESTS_PER_MINUTE: u32 = 600;
/// How often the summary is drawn.
const DRAW: Duration = Duration::from_millis(250);
/// So many deliveries are told one by one; then they are only counted.
const TOLD: usize = 5;
/// Most lines of each list at the end.
const LISTED: usize = 20;
/// Where the status API is, unless that is taken or another address is asked for.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);
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
    /// Address of the status API, or "off" [default: 127.0.0.1:9464, or a free port where that is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
}

#[derive(Debug, Clone, Copy)]
enum Listen {
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| "write an IP address and a port, as 127.0.0.1:9464, or off")
    }
}

pub async fn run(args: DemoArgs) -> Result<u8, CliError> {
    let lifecycle = Lifecycle::new();
    let signals = lifecycle.obey_signals()?;
    let clock = Clock::default();
    // What goes wrong on the way is the show here, and the summary counts it: RUST_LOG=info tells it in words.
    let quiet = LogSettings { filter: "error".to_owned(), ..LogSettings::default() };
    log::init(&quiet, &Env::of_process()).map_err(|error| CliError::Unusable(Box::new(error)))?;
    let listen = free_address(args.listen)?;
    let simulation = simulate(&args, &clock).await?;
    let (server, name) = tokio::select! {
        started = start_database(&args, &clock, &lifecycle) => started?,
        () = lifecycle.drain().cancelled() => return Ok(FINE),
    };
    let url = server.url_of(&name);
    let settings = settings(&listen, &simulation, &url)?;
    let database = Database::open(
        &DatabaseSource::Url(url),
        EmbeddedOptions::in_folder(""),
        &ConnectOptions { max_connections: settings.database.max_connections, ..ConnectOptions::default() },
    )
    .await
    .map_err(OpenError::from)?;
    migrate(&database.pool, &MIGRATOR).await.map_err(OpenError::from)?;
    introduce(&args, &settings, &simulation, &server.psql_line_of(&name), &lifecycle);

    let pool = database.pool.clone();
    let working = async {
        let code = daemon(&settings, database, &lifecycle, &clock, &|| Ok(settings.clone())).await;
        // Also when it could not begin: whoever watches it must not wait for a person.
        lifecycle.request_drain();
        code
    };
    let (code, seen) = tokio::join!(working, watch(&args, &simulation, &pool, &lifecycle));
    let code = code?;
    let verdict = conclude(&simulation, &seen, &lifecycle);
    simulation.stop().await;
    server.stop().await.map_err(anyhow::Error::from)?;
    signals.abort();
    Ok(if code == FINE && seen.came_to_rest { verdict } else { code })
}

/// Says something to the person in front of it. When nobody reads any more, as behind `| head`, the demo ends.
fn say(lifecycle: &Lifecycle, text: &str) {
    if writeln!(io::stdout(), "{text}").is_err() {
        lifecycle.request_drain();
    }
}

/// The address asked for; else the usual one, or another port where that is taken, as by another demo.
fn free_address(asked: Option<Listen>) -> Result<String, CliError> {
    let free = |address| TcpListener::bind(address).and_then(|socket| socket.local_addr());
    match asked {
        None => Ok(free(USUAL_ADDRESS).or_else(|_| free(SocketAddr::new(USUAL_ADDRESS.ip(), 0)))?.to_string()),
        Some(Listen::Off) => Ok("off".to_owned()),
        Some(Listen::At(address)) => {
            let named = || format!("cannot listen on {address}: name another address by --listen, or \"off\"");
            Ok(free(address).map_err(|error| anyhow::Error::from(error).context(named()))?.to_string())
        }
    }
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

/// Starts the private server and makes an empty database in it, whose name is returned; drops those that earlier runs
/// left.
async fn start_database(
    args: &DemoArgs,
    clock: &Clock,
    lifecycle: &Lifecycle,
) -> Result<(EmbeddedServer, String), CliError> {
    let dir = match &args.data {
        Some(dir) => std::path::absolute(dir)?,
        None => database::default_dir()
            .ok_or_else(|| anyhow::anyhow!("there is no home for the demo's data: name a folder by --data"))?
            .join("demo"),
    };
    let consent = InstallArgs { install_postgres: args.install.install_postgres }.into();
    say(lifecycle, &format!("private Postgres in {}", dir.display()));
    let server = EmbeddedServer::start(EmbeddedOptions { consent, ..EmbeddedOptions::in_folder(dir) })
        .await
        .map_err(|error| OpenError::Open(error.into()))?;
    let pool = PgPool::connect(server.url().expose_secret()).await.map_err(anyhow::Error::from)?;
    let name = format!("demo_{}_{}", clock.wall().timestamp(), std::process::id());
    store::demo::replace_databases(&pool, "demo_", &name).await.map_err(anyhow::Error::from)?;
    pool.close().await;
    Ok((server, name))
}

fn settings(listen: &str, simulation: &Simulation, url: &SecretString) -> Result<Settings, CliError> {
    let simulated = SimulateOptions::default();
    let limit = REQUESTS_PER_MINUTE.to_string();
    let overrides = [
        ("database.url", url.expose_secret()),
        ("http.listen", listen),
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

fn introduce(args: &DemoArgs, settings: &Settings, simulation: &Simulation, psql_line: &str, lifecycle: &Lifecycle) {
    let api = match settings.http.listen {
        Some(listen) => format!("status API       http://{listen}/api/v1/status"),
        None => "status API       off".to_owned(),
    };
    let text = format!(
        "order stream     {stream}, {orders} orders, simulated
webhook receiver {receiver}, simulated
{api}

look inside with
  {psql_line}
  SELECT * FROM sync_status;
  SELECT sink, state, count(*) FROM deliveries GROUP BY 1, 2;
  SELECT at, actor, event, detail FROM order_timeline
    WHERE order_id = (SELECT min(order_id) FROM orders) ORDER BY at;

Ctrl-C ends it.
",
        stream = simulation.scoffable.base_url(),
        orders = args.orders,
        receiver = simulation.webhook.url(),
    );
    say(lifecycle, &text);
}

/// What was seen of the run until it ended.
#[derive(Debug, Default)]
struct Seen {
    totals: Totals,
    dead_letters: Vec<DeadLetter>,
    /// It ended because nothing was left to do.
    came_to_rest: bool,
}

/// Draws the summary until the daemon stops; asks it to when nothing is left to do.
async fn watch(args: &DemoArgs, simulation: &Simulation, pool: &PgPool, lifecycle: &Lifecycle) -> Seen {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}").expect("the template is valid"));
    let terminal = io::stdout().is_terminal();
    let started = Instant::now();
    let mut first_delivery = None;
    let mut seen = Seen::default();
    let mut said = String::new();
    let mut told = 0;
    let mut idle = 0;
    while !lifecycle.drain().is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(DRAW) => {}
            () = lifecycle.drain().cancelled() => break,
        }
        let Ok(totals) = store::demo::totals(pool).await else { continue };
        seen.totals = totals;
        if first_delivery.is_none() && totals.applied > 0 {
            first_delivery = Some(started.elapsed());
        }
        let at = started.elapsed().as_secs_f64();
        let tell = |text: &str| if terminal { bar.println(text) } else { say(lifecycle, text) };
        if told < TOLD {
            for received in simulation.webhook.received().iter().take(TOLD).skip(told) {
                let (order_id, version) = (&received.order.order_id, received.version);
                tell(&format!("{at:>6.1}s {} {order_id} version {version} sent", received.kind));
                told += 1;
            }
        }
        let (stored, delivered) = summary(&totals, first_delivery);
        if terminal {
            // Two lines: on a narrow terminal one would be wrapped, and drawn over and over.
            bar.set_message(format!("{stored}\n  {delivered}"));
            bar.tick();
        } else if said != format!("{stored}, {delivered}") {
            said = format!("{stored}, {delivered}");
            tell(&format!("{at:>6.1}s {said}"));
        }
        let busy = totals.open > 0 || !simulation.is_drained();
        idle = if busy { 0 } else { idle + 1 };
        if args.exit_when_idle && idle >= IDLE_LOOKS {
            // Not to be had any more once the daemon has closed its database.
            let Ok(dead_letters) = store::demo::dead_letters(pool, LISTED as i64).await else { continue };
            seen.dead_letters = dead_letters;
            seen.came_to_rest = true;
            lifecycle.request_drain();
        }
    }
    bar.finish();
    seen
}

/// What was read, and what came of it.
fn summary(totals: &Totals, first_delivery: Option<Duration>) -> (String, String) {
    let stored = format!("{} versions of {} orders stored", totals.versions, totals.orders);
    let mut line = format!("{} applied, {} with nothing owed, {} to do", totals.applied, totals.skipped, totals.open);
    for (count, what) in
        [(totals.parked, "parked"), (totals.in_doubt, "in doubt"), (totals.quarantined, "in quarantine")]
    {
        if count > 0 {
            let _ = write!(line, ", {count} {what}"); // writing to a String cannot fail
        }
    }
    if let Some(after) = first_delivery {
        let _ = write!(line, " (first after {:.1}s)", after.as_secs_f64());
    }
    (stored, line)
}

/// Holds the receiver's books against what the newest versions say, if there was time for all of them.
fn conclude(simulation: &Simulation, seen: &Seen, lifecycle: &Lifecycle) -> u8 {
    let Totals { versions, orders, parked, in_doubt, open, .. } = seen.totals;
    let applied = simulation.webhook.ledger().n_applied();
    let violations = simulation.webhook.violations();
    let unread = simulation.scoffable.planned().saturating_sub(simulation.scoffable.confirmed(simulator::TOKEN_ID));
    let mut text = format!("\nstored {versions} versions of {orders} orders; the receiver took {applied} versions\n");
    let mut list = |lines: Vec<String>| {
        for line in lines.iter().take(LISTED) {
            let _ = writeln!(text, "  {line}"); // writing to a String cannot fail
        }
        if lines.len() > LISTED {
            let _ = writeln!(text, "  … and {} more", lines.len() - LISTED);
        }
    };
    let differences = if seen.came_to_rest {
        let mismatches = simulation.webhook.compare("demo", &simulation.world);
        list(mismatches.iter().map(ToString::to_string).collect());
        mismatches.len()
    } else {
        list(vec![format!("ended early: {unread} versions not read, {open} deliveries to do")]);
        0
    };
    list(violations.iter().map(|violation| format!("{violation:?}")).collect());
    if !seen.dead_letters.is_empty() {
        list(vec![format!("{:<20} {:<9} {:<24} hint", "order", "state", "reason")]);
        let row = |dead: &DeadLetter| {
            let (reason, hint) = (dead.reason.as_deref().unwrap_or_default(), dead.hint.as_deref().unwrap_or_default());
            format!("{:<20} {:<9} {reason:<24} {hint}", dead.order_id, dead.state)
        };
        list(seen.dead_letters.iter().map(row).collect());
    }
    if seen.came_to_rest {
        list(vec![format!(
            "{differences} differences, {} violations, {parked} parked, {in_doubt} in doubt",
            violations.len()
        )]);
    }
    say(lifecycle, text.trim_end());
    if differences == 0 && violations.is_empty() && parked + in_doubt == 0 { FINE } else { NOT_WELL }
}
