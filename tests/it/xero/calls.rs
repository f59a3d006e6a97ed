//! How many calls orders cost, counted by a strict simulated Xero that enforces its documented limits.

use scoffable_sync::simulator::xero::{XeroLimits, XeroOptions, XeroSim};
use serde_json::Value;

use super::{
    simulated::{Books, at_xero_with, start},
    *,
};
use crate::harness::app::{PATIENCE, order, order_of};

/// What the sink may by itself, at a Xero as it is documented.
async fn usual() -> (TestApp, XeroSim) {
    at_xero_with(&[], XeroLimits::DOCUMENTED).await
}

async fn owe(app: &mut TestApp, orders: usize) {
    for n in 0..orders {
        app.publish(&order(&format!("{}", 800_000 + n), 1, "accepted"));
    }
    app.poll().await;
}

async fn open(app: &TestApp) -> i64 {
    app.number("SELECT count(*) FROM deliveries WHERE state <> 'applied'").await
}

/// Within every limit, and everything once.
fn assert_well_behaved(sim: &XeroSim) {
    assert_eq!(sim.journal().answers().get(&429), None, "no call is over a limit");
    assert!(sim.journal().most_per_minute("xero") <= 60);
    assert!(sim.ledger().calls().peak_in_progress <= 5);
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
}

/// At most twelve in a hundred orders.
fn assert_cheap(what: &str, calls: u64, orders: usize) {
    println!("{what}: {calls} calls for {orders} orders, {:.3} each", calls as f64 / orders as f64);
    assert!(calls * 100 <= orders as u64 * 12, "{calls} calls for {orders} orders");
}

#[tokio::test]
async fn a_backlog_takes_one_call_for_twenty_five_invoices_and_one_for_their_payments() {
    let (mut app, sim) = usual().await;
    owe(&mut app, 250).await;

    app.run_to_rest().await;

    assert_eq!(open(&app).await, 0);
    assert_cheap("a backlog", sim.journal().total(), 250);
    assert_eq!(sim.ledger().calls().writes, 20);
    assert_well_behaved(&sim);
}

/// Cause: the loop claimed no more than two orders for each of its slots at a time, so calls carried sixteen; and calls that
/// began side by side each read the organisation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_a_backlog_of_a_running_loop() {
    let (mut app, sim) = usual().await;
    owe(&mut app, 250).await;

    let running = tokio::spawn(app.dispatchers.remove(0).run(app.drain.clone()));
    let began = tokio::time::Instant::now();
    while open(&app).await > 0 {
        assert!(began.elapsed() < 3 * PATIENCE, "deliveries are still open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    app.drain.cancel();
    running.await.expect("nothing breaks");

    assert_cheap("a running loop", sim.journal().total(), 250);
    assert_well_behaved(&sim);
}

/// Cause: each process had `concurrency` calls in progress by itself, so two of them had more than Xero takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_have_no_more_calls_in_progress_together_than_one_may() {
    let setup = Setup::default();
    let limits = XeroLimits { in_progress: Some(3), ..XeroLimits::NONE };
    // So slow that calls certainly meet.
    let latency = Duration::from_millis(40);
    let sim = start(&setup, XeroOptions { limits, latency, ..XeroOptions::default() }).await;
    let Books { mut app, sim } = Books::of(setup, sim, &[]).await;
    app.arrives(&order("1", 1, "accepted")).await;
    app.run_to_rest().await;
    let other = app.another_process().await;
    for n in 0..60 {
        // Nothing hangs on them, so that each is changed by a call of its own.
        let mut unpaid = order(&format!("{}", 800_000 + n), 1, "accepted");
        unpaid["customerPayments"] = json!([]);
        app.publish(&unpaid);
    }
    app.poll().await;
    app.run_to_rest().await;
    for n in 0..60 {
        let mut unpaid = order_of(&format!("{}", 800_000 + n), 2, "accepted", 900);
        unpaid["customerPayments"] = json!([]);
        app.publish(&unpaid);
    }
    app.poll().await;

    let loops = app.dispatchers.drain(..).chain(other.dispatchers);
    let running: Vec<_> = loops.map(|one| tokio::spawn(one.run(app.drain.clone()))).collect();
    let began = tokio::time::Instant::now();
    while open(&app).await > 0 {
        assert!(began.elapsed() < 3 * PATIENCE, "deliveries are still open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    app.drain.cancel();
    for run in running {
        run.await.expect("nothing breaks");
    }

    assert_eq!(sim.journal().answers().get(&429), None, "no call is over the limit");
    assert_eq!(sim.ledger().calls().peak_in_progress, 3, "and they make use of it");
    assert_eq!(app.number("SELECT count(*) FROM call_slots WHERE owner IS NOT NULL").await, 0);
    assert_eq!((sim.violations(), sim.doubled()), (vec![], vec![]));
}

/// Of the 5,000 calls that Xero permits a day the sink uses 4,000, and 30,000 orders fit: all of it by a fiftieth. Cause:
/// while calls are short, one was reserved for each order, so that few shared one.
#[tokio::test]
async fn a_day_carries_thirty_thousand_orders_of_a_backlog() {
    let limits = XeroLimits { per_day: Some(100), ..XeroLimits::DOCUMENTED };
    for (priority, of) in [(0, "that arrived"), (2, "of a backfill")] {
        let (mut app, sim) = at_xero_with(&[("limits.per_day", "80")], limits).await;
        owe(&mut app, 600).await;
        sqlx::query("UPDATE deliveries SET priority = $1").bind(priority).execute(&app.pool).await.unwrap();

        let mut minutes = 0;
        while open(&app).await > 0 {
            app.dispatch().await;
            app.advance(Duration::from_mins(1));
            minutes += 1;
            assert!(minutes < 23 * 60, "{} orders {of} are still open", open(&app).await);
        }

        assert!(sim.journal().total() <= 80);
        assert_cheap(&format!("a day's orders {of}, in {minutes} minutes"), sim.journal().total(), 600);
        assert_well_behaved(&sim);
    }
}

#[tokio::test]
async fn calls_that_come_back_one_by_one_carry_twenty_five_orders_each() {
    let (mut app, sim) = at_xero_with(&[("limits.per_minute", "1")], XeroLimits::DOCUMENTED).await;
    app.arrives(&order("1", 1, "accepted")).await;
    app.run_to_rest().await;
    let before = sim.journal().total();
    owe(&mut app, 75).await;

    app.run_to_rest().await;

    assert_eq!(open(&app).await, 0);
    assert_eq!(sim.journal().total() - before, 6);
}

/// Calls that an order's versions take, one after the other.
async fn cost(app: &mut TestApp, sim: &XeroSim, versions: &[Value]) -> Vec<u64> {
    let mut costs = Vec::new();
    for version in versions {
        let before = sim.journal().total();
        app.arrives(version).await;
        app.run_to_rest().await;
        costs.push(sim.journal().total() - before);
    }
    costs
}

#[tokio::test]
async fn an_order_alone_takes_two_calls_and_a_correction_four_at_the_most() {
    let (mut app, sim) = usual().await;
    app.arrives(&order("0", 1, "accepted")).await;
    app.run_to_rest().await;
    let changed = |id: &str, totals: &[i64]| -> Vec<Value> {
        (1..).zip(totals).map(|(version, total)| order_of(id, version, "accepted", *total)).collect()
    };
    let taken_back = |id: &str| {
        let versions = [(1, "accepted"), (2, "cancelled"), (3, "accepted"), (4, "cancelled")];
        versions.map(|(version, status)| order(id, version, status)).to_vec()
    };
    let swapped = |id: &str| {
        let mut other = order(id, 2, "accepted");
        other["items"][0]["name"] = json!("Aubergine Plate");
        vec![order(id, 1, "accepted"), other]
    };

    let costs = [
        ("lower and lower", cost(&mut app, &sim, &changed("1", &[1250, 900, 700, 500, 300])).await),
        ("higher and higher", cost(&mut app, &sim, &changed("2", &[1250, 1400, 1500, 1600, 1700])).await),
        ("to and fro", cost(&mut app, &sim, &changed("3", &[1250, 900, 1250, 900, 1250])).await),
        ("taken back and made again", cost(&mut app, &sim, &taken_back("4")).await),
        ("another dish", cost(&mut app, &sim, &swapped("5")).await),
    ];

    for (what, calls) in costs {
        println!("{what}: {calls:?}");
        assert_eq!(calls[0], 2, "{what}");
        assert!(calls.iter().all(|calls| *calls <= 4), "{what}: {calls:?}");
    }
    assert_well_behaved(&sim);
}
