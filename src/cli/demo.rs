//! `demo`: everything in one process – a private Postgres, simulated systems, the daemon – so that it can be seen at work.
//!
//! Each run gets a database of its own in a cluster that is kept, so a second start is quick and nothing of an earlier
//! run stands in the way.

pub mod arrange;
pub mod books;
mod verdict;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sqlx::PgPool;

use self::{
    arrange::{Scale, settings, simulate, start_database},
    verdict::conclude,
};
use super::{
    CliError, FINE, InstallArgs,
    config::Form,
    database::OpenError,
    order,
    reconcile::{self, ReconcileArgs, RowsBy},
    run::daemon,
};
use crate::{
    clock::Clock,
    config::{Env, LogSettings, Settings},
    database::{
        Database, DatabaseSource, MIGRATOR, connect::ConnectOptions, embedded::EmbeddedOptions, migrate::migrate,
    },
    lifecycle::Lifecycle,
    simulator::{
        Simulation, faults::Chaos, godatafeed::GoDataFeedSim, lightspeed::LightspeedSim, spoton::SpotonSim,
        unleashed::UnleashedSim, xero::XeroSim,
    },
    store::{
        self,
        demo::{Exception, SinkTotals, Totals},
    },
    telemetry::log,
};

/// Well above what the demo needs and low enough that the limiter has something to do under chaos.
const REQUESTS_PER_MINUTE: u32 = 600;
/// How often the summary is drawn.
const DRAW: Duration = Duration::from_millis(250);
/// So many steps of each kind are told one by one; then they are only counted.
const TOLD: usize = 3;
/// Most lines of each list at the end.
const LISTED: usize = 20;
/// Where the status API is, unless that is taken or another address is asked for.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9464);
/// What is due later than this is not waited for, in seconds. Longer than from the last look at Xero's books to the one that
/// proves that what was sent never arrived there.
pub const HORIZON: f64 = 75.0;
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
    /// End when nothing is left to do; exit 1 when a destination's books are not right, or something waits for a person that
    /// need not
    #[arg(long)]
    exit_when_idle: bool,
    /// What the money at the end has a row for, as `reconcile` does
    #[arg(long, value_enum, default_value = "currency")]
    by: RowsBy,
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
    let scale = Scale { orders: args.orders, seed: args.seed, chaos: args.chaos, pace: args.pace };
    let simulation = simulate(scale, &clock).await.map_err(anyhow::Error::from)?;
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
    let (code, seen) = tokio::join!(working, watch(&args, &settings, &simulation, &pool, &lifecycle));
    let code = code?;
    let verdict = conclude(&args, &simulation, &seen, &lifecycle);
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

fn introduce(args: &DemoArgs, settings: &Settings, simulation: &Simulation, psql_line: &str, lifecycle: &Lifecycle) {
    let api = match settings.http.listen {
        Some(listen) => format!("status API       http://{listen}/api/v1/status"),
        None => "status API       off".to_owned(),
    };
    let text = format!(
        "order stream     {stream}, {orders} orders, simulated
webhook receiver {receiver}, simulated
SpotOn           {spoton}, simulated
GoDataFeed       {godatafeed}, simulated, after SpotOn
Xero             {xero}, simulated
Lightspeed       {lightspeed}, simulated
Unleashed        {unleashed}, simulated
{api}

look inside with
  {psql_line}
  SELECT * FROM sync_status;
  SELECT sink, state, reason, count(*) FROM deliveries GROUP BY 1, 2, 3 ORDER BY 1, 2;
  SELECT at, actor, event, detail FROM order_timeline
    WHERE order_id = (SELECT order_id FROM deliveries ORDER BY sink = 'feed' AND state = 'applied' DESC, 1 LIMIT 1)
    ORDER BY at;

Ctrl-C ends it.
",
        stream = simulation.scoffable.base_url(),
        orders = args.orders,
        receiver = simulation.webhook.url(),
        spoton = simulation.spoton.as_ref().map(SpotonSim::url).unwrap_or_default(),
        godatafeed = simulation.godatafeed.as_ref().map(GoDataFeedSim::url).unwrap_or_default(),
        xero = simulation.xero.as_ref().map(XeroSim::url).unwrap_or_default(),
        lightspeed = simulation.lightspeed.as_ref().map(LightspeedSim::url).unwrap_or_default(),
        unleashed = simulation.unleashed.as_ref().map(UnleashedSim::url).unwrap_or_default(),
    );
    say(lifecycle, &text);
}

/// What was seen of the run until it ended.
#[derive(Debug, Default)]
struct Seen {
    totals: Totals,
    exceptions: Vec<Exception>,
    /// What `order` tells of the order for which most was done.
    story: String,
    /// What `reconcile` says, and whether that explains every penny.
    money: String,
    money_is_explained: bool,
    /// It ended because nothing was left to do.
    came_to_rest: bool,
}

/// Draws the summary until the daemon stops; asks it to when nothing is left to do.
async fn watch(
    args: &DemoArgs,
    settings: &Settings,
    simulation: &Simulation,
    pool: &PgPool,
    lifecycle: &Lifecycle,
) -> Seen {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    bar.set_style(ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}").expect("the template is valid"));
    let terminal = io::stdout().is_terminal();
    let started = Instant::now();
    let mut first_delivery = None;
    let mut seen = Seen::default();
    let mut said = String::new();
    let mut told: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut newest_told = 0;
    let after: Vec<_> =
        settings.sinks.iter().filter_map(|(name, sink)| Some((name, sink.common.after.as_ref()?))).collect();
    let mut idle = 0;
    while !lifecycle.drain().is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(DRAW) => {}
            () = lifecycle.drain().cancelled() => break,
        }
        let Ok(totals) = store::demo::totals(pool, HORIZON, &after).await else { continue };
        if first_delivery.is_none() && totals.sinks.iter().any(|sink| sink.applied > 0) {
            first_delivery = Some(started.elapsed());
        }
        let at = started.elapsed().as_secs_f64();
        let tell = |text: &str| if terminal { bar.println(text) } else { say(lifecycle, text) };
        for effect in store::demo::effects_since(pool, newest_told).await.unwrap_or_default() {
            newest_told = effect.attempt_id;
            let so_far = told.entry((effect.sink.clone(), effect.step.clone())).or_default();
            *so_far += 1;
            if *so_far <= TOLD {
                let (sink, step, order_id, version) = (effect.sink, effect.step, effect.order_id, effect.version);
                tell(&format!("{at:>6.1}s {sink:<5} {step:<12} order {order_id} version {version}"));
            }
        }
        let lines = summary(&totals, first_delivery);
        if terminal {
            // Short lines: on a narrow terminal a long one would be wrapped, and drawn over and over.
            bar.set_message(lines.join("\n  "));
            bar.tick();
        } else if said != lines.join("; ") {
            said = lines.join("; ");
            tell(&format!("{at:>6.1}s {said}"));
        }
        let busy = totals.sinks.iter().any(|sink| sink.open > 0) || !simulation.is_drained();
        seen.totals = totals;
        idle = if busy { 0 } else { idle + 1 };
        if args.exit_when_idle && idle >= IDLE_LOOKS {
            // Not to be had any more once the daemon has closed its database.
            let Ok(exceptions) = store::demo::exceptions(pool).await else { continue };
            seen.exceptions = exceptions;
            seen.story = story(pool).await.unwrap_or_default();
            let Ok((money, is_explained)) = money(settings, pool, args.by).await else { continue };
            (seen.money, seen.money_is_explained) = (money, is_explained);
            seen.came_to_rest = true;
            lifecycle.request_drain();
        }
    }
    bar.finish();
    seen
}

/// The order for which most was done, from its first version to its last attempt.
async fn story(pool: &PgPool) -> anyhow::Result<String> {
    let mut told = Vec::new();
    if let Some(order_id) = store::demo::longest_story(pool).await? {
        order::run(pool, &order_id, None, Form::Text, &mut told).await?;
    }
    Ok(String::from_utf8(told)?)
}

/// The books of the sinks that carry money.
async fn money(settings: &Settings, pool: &PgPool, by: RowsBy) -> anyhow::Result<(String, bool)> {
    let mut told = Vec::new();
    let args = ReconcileArgs { by, ..ReconcileArgs::default() };
    let code = reconcile::run(settings, pool, &Clock::default(), &args, &mut told).await?;
    Ok((String::from_utf8(told)?, code == FINE))
}

/// What was read, and what came of it at each sink.
fn summary(totals: &Totals, first_delivery: Option<Duration>) -> Vec<String> {
    let mut lines = vec![format!("{} versions of {} orders stored", totals.versions, totals.orders)];
    if totals.quarantined > 0 {
        lines.push(format!("{} in quarantine", totals.quarantined));
    }
    let of_sink = |sink: &SinkTotals| {
        let counts = [
            (sink.applied, "applied"),
            (sink.skipped, "with nothing owed"),
            (sink.open, "to do"),
            (sink.parked, "parked"),
            (sink.in_doubt, "in doubt"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts = counts.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ");
        format!("{}: {counts}", sink.sink)
    };
    lines.extend(totals.sinks.iter().map(of_sink));
    if let Some(after) = first_delivery {
        lines.push(format!("first after {:.1}s", after.as_secs_f64()));
    }
    lines
}
