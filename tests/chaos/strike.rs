//! How a fault is done to a replica and to what is around it, and how it is undone.

use std::{sync::atomic::Ordering, time::Duration};

use chrono::TimeDelta;
use rustix::process::{Signal, kill_process};
use scoffable_sync::{
    boundary::Boundary,
    simulator::faults::{Fault as Answered, cut_after, not_json, slow, slow_to_start, status, truncated},
};

use crate::{
    front::Resets,
    plan::{Approach, Fault, Moment, Provocation, Strike, Target, approach},
    proxy::FarEnd,
    world::{LEASE, World},
};

/// A process that does not come to a boundary in this time is struck wherever it is.
const COMES_WITHIN: Duration = Duration::from_secs(10);
/// Longer than the destinations' timeout of 2 s.
const PAST_THE_TIMEOUT: Duration = Duration::from_secs(3);
const SLOW_DATABASE: Duration = Duration::from_millis(80);

/// Where a fault struck; none: at no boundary.
#[derive(Debug, Clone, Copy)]
pub struct Struck {
    pub fault: Fault,
    pub at: Option<Boundary>,
    /// It was to be at a boundary that the process did not come to.
    pub missed: Option<Boundary>,
}

/// Strikes one replica again and again, as planned; it runs in the end. The first is alone until its first strike, or the
/// others would do the work that leads it to a boundary.
pub async fn strike_replica(world: &World<'_>, number: usize) -> anyhow::Result<Vec<Struck>> {
    if number > 0 {
        world.first_is_struck.cancelled().await;
    }
    let mut all = Vec::new();
    for strike in world.plan.replicas[number].iter().filter(|strike| can_be_done(world, strike.fault)) {
        all.push(strike_once(world, number, strike).await?);
    }
    world.first_is_struck.cancel();
    world.look_after(number).await?;
    Ok(all)
}

/// Whether this machine lets us.
fn can_be_done(world: &World<'_>, fault: Fault) -> bool {
    fault != Fault::DiskFull || world.server.small_disk.is_ok()
}

async fn strike_once(world: &World<'_>, number: usize, strike: &Strike) -> anyhow::Result<Struck> {
    let (mut at, mut missed) = (None, None);
    match strike.moment {
        Moment::After(wait) => {
            world.look_after(number).await?;
            tokio::time::sleep(wait).await;
        }
        Moment::At(boundary, times) => {
            provoke(world, approach(boundary));
            let mut daemon = world.replicas[number].daemon.lock().await;
            if daemon.is_running() && daemon.has_ended().is_none() {
                ends_well(world, number, daemon.terminate().await);
            }
            daemon.start(Some((boundary, times)), world.later_by())?;
            if daemon.stops_within(COMES_WITHIN).await {
                at = Some(boundary);
            } else {
                // It must not come there later, when nobody waits for it.
                ends_well(world, number, daemon.terminate().await);
                daemon.start(None, world.later_by())?;
                missed = Some(boundary);
            }
        }
    }
    world.first_is_struck.cancel();
    if strike.fault.target() == Target::Database {
        world.database_was_struck.store(true, Ordering::Relaxed);
    }
    act(world, number, strike).await?;
    Ok(Struck { fault: strike.fault, at, missed })
}

/// Nobody was told to stop but with time to do so: what does not end then hangs.
fn ends_well(world: &World<'_>, number: usize, code: Option<i32>) {
    if code != Some(0) && !world.database_was_struck.load(Ordering::Relaxed) {
        world.note(format!("replica {number} was told to stop and ended with {code:?}"));
    }
}

fn provoke(world: &World<'_>, Approach { by, .. }: Approach) {
    let hook = &world.simulation.webhook;
    match by {
        Provocation::Nothing => {}
        Provocation::LostAnswers => answer_writes(world, &[cut_after(), cut_after()]),
        Provocation::Failures => hook.answer_next((0..12).map(|_| status(503))),
        Provocation::Queue => hook.answer_next((0..8).map(|_| slow(Duration::from_millis(1500)))),
    }
}

/// Does it, lets it last, and undoes it. The process may be stopped when this begins.
async fn act(world: &World<'_>, number: usize, strike: &Strike) -> anyhow::Result<()> {
    let Strike { fault, lasts, .. } = *strike;
    let replica = &world.replicas[number];
    let simulation = &world.simulation;
    let goes_on = async || replica.daemon.lock().await.signal(Signal::CONT);
    match fault {
        Fault::Kill => replica.daemon.lock().await.kill().await,
        Fault::Stop => {
            replica.daemon.lock().await.signal(Signal::STOP);
            tokio::time::sleep(LEASE + lasts.min(Duration::from_secs(2))).await;
        }
        Fault::Terminate => {
            let mut daemon = replica.daemon.lock().await;
            if daemon.has_ended().is_none() && daemon.is_running() {
                ends_well(world, number, daemon.terminate().await);
            }
        }
        Fault::ServerCrash => {
            if let Some(server) = world.server.embedded.pid() {
                let _ = kill_process(server, Signal::QUIT);
            }
            goes_on().await;
            world.server.run("SELECT").await?;
        }
        Fault::BackendsEnded => {
            end_backends(world).await?;
        }
        Fault::Unreachable => {
            replica.proxy.refuse();
            goes_on().await;
            tokio::time::sleep(lasts).await;
            replica.proxy.pass();
        }
        Fault::Silence | Fault::HalfOpen => {
            let far_end = if fault == Fault::HalfOpen { FarEnd::Closed } else { FarEnd::Open };
            replica.proxy.fall_silent(far_end);
            goes_on().await;
            tokio::time::sleep(lasts).await;
            replica.proxy.pass();
        }
        Fault::ReadOnly => lasting_setting(world, number, "default_transaction_read_only = on", lasts).await?,
        Fault::StatementTimeout => lasting_setting(world, number, "statement_timeout = '2ms'", lasts).await?,
        Fault::SlowCommits => {
            replica.proxy.delay(SLOW_DATABASE);
            goes_on().await;
            tokio::time::sleep(lasts).await;
            replica.proxy.pass();
        }
        Fault::DiskFull => {
            if let Ok(disk) = &world.server.small_disk {
                // It is full by the time that the process goes on.
                let (filled, ()) = tokio::join!(biased; disk.fill(lasts), goes_on());
                filled?;
            }
        }
        Fault::ServerErrors => {
            for simulated in &world.simulated {
                simulated.faults.answer_next([500, 502, 503, 504, 500, 503].map(status));
            }
        }
        Fault::Throttled => {
            for simulated in &world.simulated {
                let with_hint = status(429).retry_after(Duration::from_secs(2));
                let with_garbage = status(429).header("retry-after", "soon");
                simulated.faults.answer_next([with_hint, status(429), with_garbage]);
            }
        }
        Fault::LostAnswers => answer_writes(world, &[cut_after(), cut_after(), cut_after()]),
        Fault::SlowAnswers => answer_writes(world, &[slow(PAST_THE_TIMEOUT), slow_to_start(PAST_THE_TIMEOUT)]),
        Fault::GarbledAnswers => {
            for simulated in &world.simulated {
                simulated.faults.answer_next([truncated(), not_json(), truncated()]);
            }
        }
        Fault::Refusals => refuse_writes(world),
        Fault::CredentialsExpired => {
            simulation.spoton.iter().for_each(|sim| sim.tokens().revoke_access());
            simulation.xero.iter().for_each(|sim| sim.tokens().revoke_access());
        }
        Fault::StaleCursor => simulation.scoffable.expire_cursors(),
        Fault::ClockSteps => {
            goes_on().await;
            for hours in [7, -7] {
                replica.daemon.lock().await.set_clock_wrong_by(TimeDelta::hours(hours))?;
                tokio::time::sleep(lasts / 2).await;
            }
            replica.daemon.lock().await.set_clock_wrong_by(TimeDelta::zero())?;
        }
        Fault::TlsReset => {
            for simulated in &world.simulated {
                simulated.front.reset_next(Resets { in_handshake: 2, before_answer: 2 });
            }
        }
    }
    goes_on().await;
    if fault.target() == Target::Answers {
        tokio::time::sleep(lasts).await;
    }
    Ok(())
}

/// A setting of the database that every session has from now on, until it is taken back. The server ends the sessions that
/// have another, as one that changes its part in a cluster does.
async fn lasting_setting(world: &World<'_>, number: usize, setting: &str, lasts: Duration) -> anyhow::Result<()> {
    let name = setting.split(' ').next().unwrap_or_default();
    world.server.run(&format!("ALTER DATABASE {} SET {setting}", world.database)).await?;
    end_backends(world).await?;
    world.replicas[number].daemon.lock().await.signal(Signal::CONT);
    tokio::time::sleep(lasts).await;
    world.server.run(&format!("ALTER DATABASE {} RESET {name}", world.database)).await?;
    end_backends(world).await
}

async fn end_backends(world: &World<'_>) -> anyhow::Result<()> {
    let of_this_database = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
        world.database
    );
    world.server.run(&of_this_database).await
}

/// The next writes at each destination.
fn answer_writes(world: &World<'_>, script: &[Answered]) {
    world.simulation.webhook.answer_next_writes(script.iter().cloned());
    answer_writes_of_foreign_books(world, script);
}

/// One for each destination that may refuse: to the webhook everything can be sent again, which a refusal would end.
fn refuse_writes(world: &World<'_>) {
    answer_writes_of_foreign_books(world, &[status(422)]);
}

fn answer_writes_of_foreign_books(world: &World<'_>, script: &[Answered]) {
    let simulation = &world.simulation;
    let script = || script.iter().cloned();
    simulation.spoton.iter().for_each(|sim| sim.answer_next_writes(script()));
    simulation.godatafeed.iter().for_each(|sim| sim.answer_next_writes(script()));
    simulation.xero.iter().for_each(|sim| sim.answer_next_writes(script()));
    simulation.lightspeed.iter().for_each(|sim| sim.answer_next_writes(script()));
    simulation.unleashed.iter().for_each(|sim| sim.answer_next_writes(script()));
}
