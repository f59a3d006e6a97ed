//! Random kills over the sink that cannot forgive: nothing may be repeated there, an order takes several steps, and what
//! happened is seen late or never (G2–G4, G7). In the end each order stands once, as its newest version says; what the
//! engine could not find out is settled by a scripted operator who looks at the till.
//!
//! A process dies at a random moment with everything it holds. A run depends on its seed and on the machine's speed:
//! `SEED=7` repeats one, `SEEDS=200` runs that many.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use scoffable_sync::{
    cli::{config::Form, order},
    domain::ids::{SinkName, SourceName},
    simulator::{
        faults::Chaos,
        scoffable::{Limits, Pace, ScoffableOptions},
        till::{Ledger, Show, TillOptions},
        world::{World, WorldOptions},
    },
    store::operations::{self, Named, Operator},
};

use crate::harness::app::{PATIENCE, SOURCE, Setup, TILL, TestApp};

/// Random runs where nobody says how many.
const RUNS: u64 = 6;
const LAG: Duration = Duration::from_secs(20);
/// How often a process dies in one run.
const KILLS: usize = 25;
/// Longest life of a process.
const LONGEST_LIFE_US: u64 = 60_000;

async fn set(seed: u64, dice: &mut StdRng) -> (TestApp, World) {
    let world = World::generate(WorldOptions { seed, orders: 8, ..WorldOptions::default() });
    let mut setup = Setup::default();
    let clock = setup.clock().clone();
    setup.stream = ScoffableOptions { limits: Limits::NONE, pace: Pace::AtOnce, ..ScoffableOptions::default() };
    setup.world = Some(world.clone());
    let till = TillOptions { lag: LAG, chaos: Chaos::Mild, seed, clock, ..TillOptions::default() };
    let proves_absence = dice.random_bool(0.5);
    let setup = setup.without("sinks.hook.kind").without("sinks.hook.url").without("sinks.hook.signing_secret");
    let mut setup = setup.with_till(till).with("sinks.till.concurrency", "4");
    if !proves_absence {
        setup = setup.without("sinks.till.lag");
    }
    let app = setup.start().await;
    // Where nothing else is promised, some effects are never seen: only a person finds them.
    let never = if proves_absence { 0.0 } else { 0.2 };
    let script: Vec<Show> =
        (0..200).map(|_| if dice.random_bool(never) { Show::Never } else { Show::After(LAG) }).collect();
    app.till().show_next(script);
    (app, world)
}

/// One process: reads and delivers until it dies.
async fn lives_and_dies(app: &mut TestApp, dice: &mut StdRng) {
    app.make_sources_due().await;
    let (mut poller, mut dispatcher) = (app.pollers.remove(0), app.dispatchers.remove(0));
    let drain = app.drain.clone();
    let life = Duration::from_micros(dice.random_range(0..LONGEST_LIFE_US));
    let polling = tokio::spawn(async move { poller.tick(&drain).await });
    let dispatching = tokio::spawn(async move {
        loop {
            dispatcher.tick().await.expect("the database answers");
            tokio::task::yield_now().await;
        }
    });
    tokio::time::sleep(life).await;
    polling.abort();
    dispatching.abort();
    let _ = (polling.await, dispatching.await);
    // Real time must not seem longer than it is: what is under way ends before the clock is moved.
    let idle = |ledger: &Ledger| ledger.orders().all(|order| ledger.running(order) == 0);
    app.till().wait_until(idle, PATIENCE).await.expect("the till hears that the process is gone");
    app.restart().await;
    app.advance(Duration::from_secs(dice.random_range(0..40)));
}

/// Looks at the till itself for each delivery that nobody else can settle, and says what is there.
async fn operator_settles(app: &TestApp) -> usize {
    let sink = SinkName::parse(TILL).expect("a valid name");
    let source = SourceName::parse(SOURCE).expect("a valid name");
    let waiting: Vec<(String, serde_json::Value)> = sqlx::query_as(
        "SELECT order_id, pending_step FROM deliveries WHERE state = 'in_doubt' AND next_attempt_at IS NULL ORDER BY order_id",
    )
    .fetch_all(&app.pool)
    .await
    .expect("the test's SQL works");
    for (order_id, step) in &waiting {
        let by = Operator { who: "scripted", why: Some("looked at the till") };
        let order_ids = std::slice::from_ref(order_id);
        let named = Named { sink: &sink, source: Some(&source), order_ids };
        let key = step["key"].as_str().expect("a step has a key");
        let there = {
            let ledger = app.till().ledger();
            let order = format!("{SOURCE}/{order_id}");
            let mut tickets = ledger.tickets_of(&order);
            let of_step = |ticket: &&scoffable_sync::simulator::till::Ticket| {
                ticket.reference == key || ticket.payments().any(|(_, payment)| payment.reference == key)
            };
            tickets.find(|ticket| of_step(ticket)).map(|ticket| ticket.id.clone())
        };
        let done = match there {
            Some(ticket) => operations::adopt(&app.pool, named, &ticket, by, app.clock.offset_ms()).await,
            None => operations::retry(&app.pool, named, by, app.clock.offset_ms()).await,
        };
        done.unwrap_or_else(|error| panic!("{order_id}: {error:?}"));
    }
    waiting.len()
}

/// No more kills, no more faults: everything comes to its end, with the operator's help.
async fn calms_down(app: &mut TestApp) -> usize {
    app.till().faults().set_chaos(Chaos::None);
    app.till().faults().clear_script();
    app.poll().await;
    let mut settled = 0;
    for _ in 0..400 {
        app.dispatch().await;
        settled += operator_settles(app).await;
        if app.number("SELECT count(*) FROM deliveries WHERE open OR state = 'in_doubt'").await == 0 {
            return settled;
        }
        app.advance(Duration::from_secs(30));
    }
    panic!("deliveries never come to rest");
}

/// The order's timeline, as the command tells it.
async fn story(app: &TestApp, order_id: &str) -> String {
    let mut told = Vec::new();
    let code = order::run(&app.pool, order_id, None, Form::Text, &mut told).await.expect("the database answers");
    assert_eq!(code, 0, "{order_id} is known");
    String::from_utf8(told).expect("text")
}

async fn plays_out(seed: u64) -> usize {
    let mut dice = StdRng::seed_from_u64(seed);
    let (mut app, world) = set(seed, &mut dice).await;
    for _ in 0..KILLS {
        lives_and_dies(&mut app, &mut dice).await;
        if dice.random_bool(0.2) {
            operator_settles(&app).await;
        }
    }
    let settled = calms_down(&mut app).await;

    let (doubled, violations) = (app.till().doubled(), app.till().violations());
    for order in doubled.iter().map(|doubled| doubled.order().to_owned()) {
        let id = order.split_once('/').expect("source and id").1.to_owned();
        eprintln!("{}", story(&app, &id).await);
        for ticket in app.till().ledger().tickets_of(&order) {
            eprintln!("{ticket:#?}");
        }
    }
    assert!(doubled.is_empty(), "seed {seed}: {doubled:#?}");
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    let wrong = app.till().compare(SOURCE, &world);
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    for id in world.orders.values().filter(|order| order.newest().is_some()).map(|order| order.id.clone()) {
        let told = story(&app, &id).await;
        assert!(told.contains("version ") && told.contains("stands: "), "seed {seed}: {told}");
    }
    settled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_when_each_order_stands_once_and_its_story_is_told() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("SEEDS").unwrap_or(RUNS),
    };
    let mut settled = 0;
    for seed in seeds {
        settled += plays_out(seed).await;
    }
    eprintln!("the operator settled {settled} doubts");
}
