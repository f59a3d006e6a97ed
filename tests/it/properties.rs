//! For any history of orders, any weather at the receiver and any restarts: the receiver's books are right in the end.

use std::time::Duration;

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use scoffable_sync::simulator::faults::{Fault, cut_after, cut_before, not_json, plainly, status, truncated};

use crate::harness::app::{TestApp, order_of};

/// What happens next in the world.
#[derive(Debug, Clone)]
enum Event {
    /// A version of an order, numbers rising by one or more.
    Version {
        order: usize,
        status: usize,
        total: i64,
        gap: i64,
    },
    /// The receiver answers its next request so.
    Weather(usize),
    Poll,
    Dispatch,
    Restart,
    /// The process dies with whatever it holds.
    Crash,
    Advance(u64),
}

const STATUSES: [&str; 4] = ["accepted", "cancelled", "placed", "rejected"];

fn weather(kind: usize) -> Fault {
    match kind {
        0 => cut_before(),
        1 => cut_after(),
        2 => status(500),
        3 => status(503).after_the_effect(),
        4 => status(429).retry_after(Duration::from_secs(20)),
        5 => truncated(),
        6 => not_json(),
        7 => status(401),
        _ => plainly(),
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..3usize, 0..4usize, 1..4i64, 1..3i64)
            .prop_map(|(order, status, total, gap)| Event::Version { order, status, total: total * 100, gap }),
        5 => (0..9usize).prop_map(Event::Weather),
        4 => Just(Event::Poll),
        4 => Just(Event::Dispatch),
        1 => Just(Event::Restart),
        1 => Just(Event::Crash),
        2 => (1..400u64).prop_map(Event::Advance),
    ]
}

async fn plays_out(versions: &str, events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut app = TestApp::setup().with("sinks.hook.versions", versions).start().await;
    let mut newest = [(0, ""); 3];
    let mut accepted = [false; 3];
    for event in events {
        match event {
            Event::Version { order, status, total, gap } => {
                newest[order] = (newest[order].0 + gap, STATUSES[status]);
                accepted[order] |= STATUSES[status] == "accepted";
                app.publish(&order_of(&format!("A-{order}"), newest[order].0, STATUSES[status], total));
            }
            Event::Weather(kind) => app.webhook.answer_next([weather(kind)]),
            Event::Poll => app.poll().await,
            Event::Dispatch => drop(app.dispatch().await),
            Event::Restart => app.restart().await,
            Event::Crash => {
                let before = app.requests();
                let mut dispatcher = app.another_process().await.dispatchers.remove(0);
                tokio::select! {
                    _ = dispatcher.tick() => {}
                    _ = app.webhook.journal().wait_until(|journal| journal.total() > before, Duration::from_secs(5)) => {}
                }
            }
            Event::Advance(secs) => app.advance(Duration::from_secs(secs)),
        }
    }
    app.poll().await;
    app.webhook.faults().clear_script();
    app.run_to_rest().await;

    let violations = app.webhook.violations();
    prop_assert!(violations.is_empty(), "{violations:#?}");
    for (n, (version, status)) in newest.into_iter().enumerate().filter(|(_, (version, _))| *version > 0) {
        let id = format!("A-{n}");
        let ledger = app.webhook.ledger();
        let applied = ledger.applied(crate::harness::app::SOURCE, &id);
        let last = applied.last().map(|applied| (applied.version, applied.status.as_str()));
        let ever_accepted = applied.iter().any(|applied| applied.status == "accepted");
        match status {
            "accepted" => {
                prop_assert!(last.is_some_and(|(_, status)| status == "accepted"), "{id} {version}: {applied:?}");
                if versions == "every" {
                    prop_assert_eq!(last.map(|(version, _)| version), Some(version), "{} {:?}", id, applied);
                }
            }
            "cancelled" if ever_accepted => {
                prop_assert_eq!(last.map(|(_, status)| status), Some("cancelled"), "{} {:?}", id, applied);
            }
            // A process that died with a cancelled order may have sent it: it is sent again, and undoes nothing.
            _ => {
                let undone = last.is_none_or(|(_, status)| status == "cancelled");
                prop_assert!(accepted[n] || undone, "{id}: {applied:?}");
            }
        }
    }
    Ok(())
}

fn hold(versions: &'static str) {
    let config = Config { cases: 12, failure_persistence: None, max_shrink_iters: 30, ..Config::default() };
    TestRunner::new(config)
        .run(&vec(event(), 10..40), |events| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built")
                .block_on(plays_out(versions, events))
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_newest_version_stands_in_the_end_whatever_happens() {
    hold("latest");
}

#[test]
fn each_version_was_brought_in_turn_whatever_happens() {
    hold("every");
}
