//! The proof: real daemons on a real Postgres, between simulated systems, while faults strike processes, the database and
//! every answer; then everything has to come to rest by itself, and the simulated systems' own ledgers judge.
//!
//! ```text
//! cargo test --release --test chaos -- --seeds 1..1000 --jobs 4
//! ```
//!
//! The replicas come to Postgres by a proxy each, and to every system by TLS. Databases lie on a small file system that a fault
//! fills; where nobody may mount one, that fault is left out, as it says at the start. Of three worlds one comes to its server by
//! PgBouncer in transaction mode, where there is one.
//!
//! A seed plans one world: its orders, its replicas, what strikes where ([`plan`]). How far the work has come when a fault
//! strikes depends on the machine too, so a seed that violates a promise is repeated to find it again, and its replicas' logs
//! are kept. Ends with 1 when a promise was violated. After Ctrl-C no more seeds are begun, and what was played is told. Without
//! arguments, as by `cargo test`, a few seeds are played.

mod daemon;
mod disk;
mod front;
#[allow(dead_code, reason = "the tests of `it` use what is not used here")]
#[path = "../it/harness/postgres.rs"]
mod harness;
mod matrix;
mod oracle;
mod plan;
#[allow(dead_code, reason = "the tests of `it` use what is not used here")]
#[path = "../it/harness/pooler.rs"]
mod pooler;
#[allow(dead_code, reason = "the tests of `it` use what is not used here")]
#[path = "../it/harness/proxy.rs"]
mod proxy;
mod strike;
mod world;

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clap::Parser;
use front::Resets;
use matrix::Played;
use plan::{Plan, left_out, seeds_of_a_whole_walk};
use world::{Server, Simulated, World};

/// No seed takes longer: what does hangs.
const ENDS_WITHIN: Duration = Duration::from_mins(10);
/// Played where nobody says which.
const A_FEW: RangeInclusive<u64> = 1..=2;

#[derive(Debug, Parser)]
#[command(about = "Faults × boundaries × replicas over the simulated destinations, judged by their ledgers")]
struct Args {
    /// Both ends are played
    #[arg(long, value_name = "FROM..TO", value_parser = seeds)]
    seeds: Option<RangeInclusive<u64>>,
    /// So many worlds at a time, each with a Postgres of its own
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where replicas' logs go [default: a folder of the build]
    #[arg(long, value_name = "FOLDER")]
    logs: Option<PathBuf>,
    /// As other tests: nothing is played where the name of this one does not contain it
    filter: Option<String>,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    list: bool,
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| "write two numbers, as 1..1000".to_owned());
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..=number(to.trim_start_matches('='))?),
        None => Ok(number(text)?..=number(text)?),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let is_meant = args.filter.as_deref().is_none_or(|filter| "chaos".contains(filter));
    if args.list || !is_meant {
        return ExitCode::SUCCESS;
    }
    let left_out = left_out();
    assert!(left_out.is_empty(), "{left_out:#?}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.expect("threads can be started").block_on(play_all(&args)) {
        Ok(all) => conclude(&all),
        Err(error) => {
            eprintln!("the proof cannot be made: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Plays seeds side by side until none is left.
async fn play_all(args: &Args) -> anyhow::Result<Vec<Played>> {
    let seeds = args.seeds.clone().unwrap_or(A_FEW);
    let logs = args.logs.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos"));
    println!("seeds {}..{}, logs in {}", seeds.start(), seeds.end(), logs.display());
    println!("every fault meets every boundary in {} seeds", seeds_of_a_whole_walk());
    let servers = futures::future::try_join_all((0..args.jobs.max(1)).map(|_| Server::start())).await?;
    if let Some(error) = servers.iter().find_map(|server| server.small_disk.as_ref().err()) {
        println!("left out: disk full, which needs a small file system of its own: mounting one failed with {error:#}");
    }
    if let Some(missing) = servers.iter().find_map(|server| server.pooler.as_ref().err()) {
        println!("left out: PgBouncer, for {missing}");
    }
    let (left, played) = (Arc::new(Mutex::new(seeds)), Arc::new(Mutex::new(Vec::new())));
    let stopped = Arc::clone(&left);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            println!("stopped: no more seeds are begun, those under way are played to their end");
            while next(&stopped).is_some() {}
        }
    });
    let workers = servers.into_iter().map(|server| {
        let (left, played, logs) = (Arc::clone(&left), Arc::clone(&played), logs.clone());
        tokio::spawn(async move {
            while let Some(seed) = next(&left) {
                let one = play(seed, &server, &logs).await?;
                println!("{}", one.summary());
                for violation in &one.violations {
                    println!("    {violation}");
                }
                played.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            }
            server.embedded.stop().await?;
            anyhow::Ok(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    let mut all = std::mem::take(&mut *played.lock().unwrap_or_else(PoisonError::into_inner));
    all.sort_by_key(|played| played.plan.seed);
    Ok(all)
}

fn next(left: &Mutex<RangeInclusive<u64>>) -> Option<u64> {
    left.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// One seed from its first order to its verdict.
async fn play(seed: u64, server: &Server, logs: &std::path::Path) -> anyhow::Result<Played> {
    let began = Instant::now();
    let plan = Plan::of(seed);
    let plan = Plan { pooled: plan.pooled && server.pooler.is_ok(), ..plan };
    let world = World::set(&plan, server, logs).await?;
    let played = async {
        let strikes = (0..plan.replicas.len()).map(|number| strike::strike_replica(&world, number));
        let struck = futures::future::try_join_all(strikes).await?.into_iter().flatten().collect();
        anyhow::Ok((struck, oracle::judge(&world).await?))
    };
    let (struck, waiting) = match tokio::time::timeout(ENDS_WITHIN, played).await {
        Ok(Ok(played)) => played,
        Ok(Err(error)) => {
            world.note(format!("not played to its end: {error:#}"));
            Default::default()
        }
        Err(_) => {
            world.note(format!("not over within {ENDS_WITHIN:?}"));
            Default::default()
        }
    };
    let mut answered = BTreeMap::new();
    for Simulated { name, journal, front, .. } in &world.simulated {
        let Resets { in_handshake, before_answer } = front.done();
        let resets = [("tls_reset_in_handshake", in_handshake), ("tls_reset_before_answer", before_answer)];
        let all = journal.faults().into_iter().chain(resets);
        answered.extend(all.filter(|(_, n)| *n > 0).map(|(fault, n)| ((fault, *name), n)));
    }
    let violations = std::mem::take(&mut *world.violations());
    world.end().await?;
    Ok(Played { plan, struck, answered, waiting, violations, took: began.elapsed() })
}

/// Prints the matrix, and how each violation is come to again.
fn conclude(all: &[Played]) -> ExitCode {
    println!("\n{}", matrix::tables(all));
    let violated: Vec<&Played> = all.iter().filter(|played| !played.violations.is_empty()).collect();
    if violated.is_empty() {
        return ExitCode::SUCCESS;
    }
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    for Played { plan: Plan { seed, .. }, violations, .. } in violated {
        println!("seed {seed}: {} violations; repeat by", violations.len());
        println!("    cargo test{profile} --test chaos -- --seeds {seed}..{seed}");
    }
    ExitCode::FAILURE
}
