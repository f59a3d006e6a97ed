//! Whether all is as it must be once the faults are over: everything comes to rest by itself, each destination's own ledger
//! says what the newest versions say, and the database holds every version and no lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use scoffable_sync::{
    cli::{
        FINE,
        config::Form,
        demo::{self, arrange, books},
        order,
        reconcile::{self, ReconcileArgs},
    },
    config::{self, LoadOptions},
    domain::ids::SinkName,
    simulator::{faults::Chaos, world::Readability},
    store::{
        demo::{Exception, exceptions, totals},
        line::ANSWERS_WITHIN,
    },
};
use sqlx::PgPool;

use crate::world::World;

/// Without any fault everything that can be done is done in this time. Longer than a lease, the longest pause between two
/// tries, and the longest that a lost connection is waited for.
const DONE_WITHIN: Duration = Duration::from_secs(60 + ANSWERS_WITHIN.as_secs());
/// What is due later is not waited for, but time is moved forward.
const SOON: Duration = Duration::from_secs(4);
/// So far at once.
const FORWARD: Duration = Duration::from_secs(40);
/// Longer than from the first look for what was sent to the last one, more than once.
const MOST_MOVES: u32 = 8;
const LOOK: Duration = Duration::from_millis(150);
/// So many looks in a row find nothing to do: longer than one poll interval.
const IDLE_LOOKS: u32 = 10;
/// Orders whose story is told.
const STORIES: usize = 3;

/// What stands at a person's door, by sink, state and reason.
pub type Waiting = BTreeMap<(String, String, String), u32>;

/// Notes every violation in the world, and what waits for a person although nothing is wrong.
pub async fn judge(world: &World<'_>) -> anyhow::Result<Waiting> {
    world.calm_down().await?;
    let pool = world.pool().await?;
    if let Err(left) = comes_to_rest(world, &pool).await? {
        world.note(left);
    }
    let exceptions = exceptions(&pool).await?;
    let mut suspects = held_against_the_books(world, &exceptions);
    suspects.truncate(STORIES);
    for order_id in suspects {
        world.note(story(&pool, &order_id).await?);
    }
    money_is_explained(world, &pool).await?;
    every_version_is_stored(world, &pool).await?;
    stops_and_leaves_no_lease(world, &pool).await?;
    pool.close().await;
    let mut waiting = Waiting::new();
    for dead in exceptions.iter().filter(|exception| books::waits_for_a_person(exception)) {
        let key = (dead.sink.clone(), dead.state.clone(), dead.reason.clone().unwrap_or_default());
        *waiting.entry(key).or_default() += 1;
    }
    Ok(waiting)
}

/// Nothing is left to do by then, now or soon; what is due later is made due by moving time. Else what is left.
async fn comes_to_rest(world: &World<'_>, pool: &PgPool) -> anyhow::Result<Result<(), String>> {
    for _ in 0..=MOST_MOVES {
        if !is_done(world, pool, SOON).await? {
            return Ok(Err(format!("not at rest within {DONE_WITHIN:?}: {}", what_is_open(world, pool).await?)));
        }
        if n_open(world, pool, Duration::from_secs_f64(demo::HORIZON)).await == Some(0) {
            return Ok(Ok(()));
        }
        world.advance(FORWARD);
        for number in 0..world.replicas.len() {
            stop(world, number).await;
            world.look_after(number).await?;
        }
    }
    Ok(Err(format!("never at rest: {}", what_is_open(world, pool).await?)))
}

/// Waits until nothing is due within this time, and all was read.
async fn is_done(world: &World<'_>, pool: &PgPool, due_within: Duration) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut idle = 0;
    while idle < IDLE_LOOKS {
        if began.elapsed() > DONE_WITHIN {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
        for number in 0..world.replicas.len() {
            world.look_after(number).await?;
        }
        let is_idle = world.simulation.is_drained() && n_open(world, pool, due_within).await == Some(0);
        idle = if is_idle { idle + 1 } else { 0 };
    }
    Ok(true)
}

/// None: the database does not answer yet.
async fn n_open(world: &World<'_>, pool: &PgPool, due_within: Duration) -> Option<i64> {
    let horizon = (world.later_by() + due_within).as_secs_f64();
    let [feed, pos] = ["feed", "pos"].map(|name| SinkName::parse(name).expect("a valid name"));
    let totals = totals(pool, horizon, &[(&feed, &pos)]).await.ok()?;
    // Whenever it looks again: only the kitchen holds up the feed.
    let waits = "SELECT count(*) FROM deliveries d
         WHERE open AND waiting_for = 'dependency'
           AND NOT EXISTS (SELECT FROM deliveries o
                           WHERE o.sink = 'pos' AND o.source = d.source AND o.order_id = d.order_id AND o.dead)";
    let waiting: i64 = sqlx::query_scalar(waits).fetch_one(pool).await.ok()?;
    let open: i64 = totals.sinks.iter().map(|sink| sink.open).sum();
    let looks_near = due_within < Duration::from_secs_f64(demo::HORIZON);
    Some(if looks_near { open } else { open.max(waiting) })
}

async fn what_is_open(world: &World<'_>, pool: &PgPool) -> anyhow::Result<String> {
    let sql = "SELECT format('%s %s %s %s due %s lease %s %s', sink, order_id, state, waiting_for, next_attempt_at, lease_expires_at,
                    last_error)
         FROM deliveries WHERE open
         UNION ALL SELECT format('source %s %s lease %s %s', state, reason, lease_expires_at, last_error) FROM sources
         UNION ALL SELECT format('now %s', now())";
    let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(pool).await?;
    let stream = &world.simulation.scoffable;
    let (read, planned) = (stream.confirmed(scoffable_sync::simulator::TOKEN_ID), stream.planned());
    Ok(format!("{read} of {planned} versions read, {} deliveries open\n    {}", rows.len() - 2, rows.join("\n    ")))
}

/// Returns the orders that something is wrong with.
fn held_against_the_books(world: &World<'_>, exceptions: &[Exception]) -> Vec<String> {
    let mut suspects = Vec::new();
    for books in books::of(&world.simulation, exceptions) {
        for mismatch in &books.mismatches {
            world.note(format!("{}: {mismatch}", books.sink));
            suspects.push(mismatch.order_id.clone());
        }
        for wrong in &books.wrongs {
            world.note(format!("{}: {wrong}", books.sink));
        }
        // The destinations misbehaved where a fault did, if not by themselves.
        let is_ours = |exception: &&Exception| {
            exception.sink == books.sink && books.needs_a_person_without_need(exception, Chaos::Hard)
        };
        for exception in exceptions.iter().filter(is_ours) {
            let Exception { sink, order_id, state, reason, .. } = exception;
            world.note(format!("{sink}: order {order_id} is {state} for {}", reason.as_deref().unwrap_or_default()));
            suspects.push(order_id.clone());
        }
    }
    suspects
}

async fn story(pool: &PgPool, order_id: &str) -> anyhow::Result<String> {
    let mut told = Vec::new();
    order::run(pool, order_id, None, Form::Text, &mut told).await?;
    Ok(String::from_utf8(told)?)
}

async fn money_is_explained(world: &World<'_>, pool: &PgPool) -> anyhow::Result<()> {
    let overrides = arrange::keys("off", &world.simulation, &world.url)?;
    let settings = config::load(&LoadOptions { overrides, ..LoadOptions::default() })?;
    let mut told = Vec::new();
    let code = reconcile::run(&settings, pool, &world.clock, &ReconcileArgs::default(), &mut told).await?;
    if code != FINE {
        world.note(format!("reconcile is not well:\n{}", String::from_utf8(told)?));
    }
    Ok(())
}

async fn every_version_is_stored(world: &World<'_>, pool: &PgPool) -> anyhow::Result<()> {
    let stored = sqlx::query_as("SELECT order_id, version FROM order_versions").fetch_all(pool).await?;
    let stored: BTreeSet<(String, i64)> = stored.into_iter().collect();
    let orders = world.simulation.world.orders.values();
    let readable = orders.flat_map(|order| {
        let clear = order.versions.iter().filter(|version| version.readability == Readability::Clear);
        clear.map(|version| (order.id.clone(), version.number))
    });
    let missing: Vec<_> = readable.filter(|version| !stored.contains(version)).collect();
    if !missing.is_empty() {
        world.note(format!("versions of the stream that are not stored: {missing:?}"));
    }
    Ok(())
}

async fn stop(world: &World<'_>, number: usize) {
    let code = world.replicas[number].daemon.lock().await.terminate().await;
    if code != Some(0) {
        world.note(format!("replica {number} was told to stop and ended with {code:?}"));
    }
}

async fn stops_and_leaves_no_lease(world: &World<'_>, pool: &PgPool) -> anyhow::Result<()> {
    for number in 0..world.replicas.len() {
        stop(world, number).await;
    }
    let sql = "SELECT format('%s %s', sink, order_id) FROM deliveries WHERE lease_token IS NOT NULL
         UNION ALL SELECT format('source %s', name) FROM sources WHERE lease_owner IS NOT NULL";
    let leases: Vec<String> = sqlx::query_scalar(sql).fetch_all(pool).await.context("leases cannot be read")?;
    if !leases.is_empty() {
        world.note(format!("leases that nobody gave back: {}", leases.join(", ")));
    }
    Ok(())
}
