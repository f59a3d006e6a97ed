//! How long orders stand still when a process is killed (`kill -9`): until another one goes on that runs beside it, and until
//! the same one does that is started again at once. Measured at the receiver, with a new order every 100 ms.
//!
//! Bound: one lease (30 s unless configured), because what the killed process held, the stream included, is nobody else's until
//! then; and every order arrives. `cargo bench --bench recovery`.

#[allow(dead_code)] // each benchmark uses its part
mod support;

use std::{
    collections::BTreeSet,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use scoffable_sync::simulator::scoffable::ScoffableSim;
use secrecy::SecretString;
use serde_json::json;
use support::{Arrivals, Bench, daemon, kill, noting_receiver, start_eager, stream};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

const EVERY: Duration = Duration::from_millis(100);
/// A daemon that does not come so far in this time never will.
const PATIENCE: Duration = Duration::from_mins(3);

#[tokio::main]
async fn main() {
    let mut bench = Bench::start().await;
    for (what, beside) in [("another one runs beside it", true), ("it is started again at once", false)] {
        let (url, pool) = bench.database().await;
        let (hook, arrivals) = noting_receiver().await;
        let (_, sim) = stream(0, Duration::ZERO).await;
        let case = Case { url, hook, arrivals, sim: Arc::new(sim), published: Arc::default() };
        let (gap, twice) = case.killed(beside).await;
        println!(
            "killed, {what}: no order arrived for {:.1} s; {} orders, all there, {twice} of them sent again",
            gap.as_secs_f64(),
            case.published.load(Ordering::Relaxed)
        );
        pool.close().await;
    }
    bench.stop().await;
}

struct Case {
    url: SecretString,
    hook: String,
    arrivals: Arrivals,
    sim: Arc<ScoffableSim>,
    published: Arc<AtomicUsize>,
}

impl Case {
    /// The longest time without an arrival from the kill on, and how many orders were sent more than once.
    async fn killed(&self, beside: bool) -> (Duration, usize) {
        let stop = CancellationToken::new();
        let publishing = self.publish(stop.clone());
        let mut first = self.start();
        self.until(|arrived| arrived.len() >= 20).await;
        let mut others: Vec<Child> = beside.then(|| self.start()).into_iter().collect();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let killed_at = Utc::now();
        kill(&mut first);
        if !beside {
            others.push(self.start());
        }
        let goes_on = killed_at + Duration::from_secs(1);
        self.until(|arrived| arrived.last().is_some_and(|(_, at)| *at > goes_on)).await;
        stop.cancel();
        publishing.await.expect("nobody panicked");
        let published = self.published.load(Ordering::Relaxed);
        let distinct =
            |arrived: &[(String, DateTime<Utc>)]| arrived.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len();
        self.until(|arrived| distinct(arrived) == published).await;
        for mut daemon in others {
            kill(&mut daemon);
        }
        let arrived = self.arrivals.lock().expect("nobody panicked").clone();
        let times: Vec<DateTime<Utc>> =
            std::iter::once(killed_at).chain(arrived.iter().map(|(_, at)| *at).filter(|at| *at > killed_at)).collect();
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        (gap.to_std().unwrap_or_default(), arrived.len() - published)
    }

    fn publish(&self, stop: CancellationToken) -> AbortOnDropHandle<()> {
        let (sim, published) = (Arc::clone(&self.sim), Arc::clone(&self.published));
        AbortOnDropHandle::new(tokio::spawn(async move {
            while !stop.is_cancelled() {
                let n = published.fetch_add(1, Ordering::Relaxed);
                let order = json!({"id": format!("R-{n}"), "version": 1, "status": "accepted", "items": []});
                sim.publish(order.to_string());
                tokio::time::sleep(EVERY).await;
            }
        }))
    }

    fn start(&self) -> Child {
        start_eager(daemon(&self.url, &self.sim, &self.hook))
    }

    async fn until(&self, holds: impl Fn(&[(String, DateTime<Utc>)]) -> bool) {
        let began = Instant::now();
        while !holds(&self.arrivals.lock().expect("nobody panicked")) {
            assert!(began.elapsed() < PATIENCE, "orders stand still");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
