//! Random histories × random outcomes × random crashes against a model of a destination that forgives nothing (G2–G4), and
//! not a call more than it takes: one per change that could be seen there, one more per fault.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use scoffable_sync::{
    domain::{
        delivery::{Outcome, Plan, Reason, Receipt, Repeat, Sent, Step},
        ids::Version,
        order::Status,
    },
    sinks::{Answer, Doubt, Finding, LookedUp, Sink, View},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::{
    app::{TestApp, order_of},
    puppet::drive,
};

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    NeverArrives,
    LostOnTheWayThere,
    LostOnTheWayBack,
    Throttled,
    Busy,
    DiesBefore,
    DiesAfter,
}

impl Fate {
    fn has_effect(self) -> bool {
        matches!(self, Self::Fine | Self::LostOnTheWayBack | Self::DiesAfter)
    }

    fn kills(self) -> bool {
        matches!(self, Self::DiesBefore | Self::DiesAfter)
    }
}

/// An order as it stands there.
#[derive(Debug, Clone, Default)]
struct Account {
    standing: Option<i64>,
    version: i64,
    keys: Vec<String>,
}

#[derive(Debug, Default)]
struct Books {
    accounts: BTreeMap<String, Account>,
    fates: VecDeque<Fate>,
    faults: usize,
    sends: usize,
    wrong: Vec<String>,
}

/// The destination: opens, changes and closes; opening twice leaves two.
struct Model {
    books: Mutex<Books>,
    /// Rung when the process is to die.
    death: Notify,
}

impl Model {
    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().expect("nothing panics with it")
    }

    /// Returns whether there was something to have its effect on.
    fn take_effect(books: &mut Books, step: &Step) -> bool {
        let body: Value = serde_json::from_str(&step.body).expect("our own body");
        let (order, version) =
            (body["order"].as_str().unwrap_or_default().to_owned(), body["version"].as_i64().unwrap_or(0));
        let account = books.accounts.entry(order.clone()).or_default();
        if version < account.version {
            books.wrong.push(format!("{order}: version {version} after {}", account.version));
        }
        let total = body["total"].as_i64();
        match step.name.as_str() {
            "open" if account.standing.is_some() => books.wrong.push(format!("{order} was opened twice")),
            "open" if account.keys.contains(&step.key) => books.wrong.push(format!("{} came twice", step.key)),
            "change" if account.standing.is_none() => return false,
            "open" => {
                account.keys.push(step.key.clone());
                account.standing = total;
            }
            "change" => account.standing = total,
            _ => account.standing = None,
        }
        account.version = version;
        true
    }
}

impl Sink for Model {
    fn kind(&self) -> &'static str {
        "model"
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        let known = |key: &str| view.receipt.and_then(|receipt| receipt.get(key)).and_then(Value::as_i64);
        let (standing, opened) = (known("standing"), known("opened").unwrap_or(0));
        let total = view.order.total.map(|total| total.amount);
        let doubtful = view.progress.sent.map(|Version(sent)| sent) > known("version");
        let receipt = |standing: Option<i64>, opened: i64| json!({ "standing": standing, "opened": opened, "version": view.version });
        let step = |name: &str, repeat, completes, opened: i64, standing: Option<i64>| {
            let body = json!({ "order": view.key.order.order_id, "version": view.version, "total": total });
            Plan::Send(Step {
                name: name.to_owned(),
                key: format!("{}-{name}-{opened}-{}", view.key.order.order_id, view.version),
                body: body.to_string(),
                repeat,
                completes,
                receipt: Some(receipt(standing, opened)),
            })
        };
        let settled = || {
            let receipt = view.receipt.map(|_| receipt(standing, opened));
            Plan::Settled(Receipt { receipt, ..Receipt::default() })
        };
        match (view.order.status.clone(), standing) {
            (Status::Accepted, None) => step("open", Repeat::Never, true, opened + 1, total),
            (Status::Accepted, Some(_)) if standing == total && !doubtful => settled(),
            // It may have been closed by a step whose answer was lost: then it is opened again.
            (Status::Accepted, Some(_)) => step("change", Repeat::Safe, !doubtful, opened, total),
            (_, None) => settled(),
            (_, Some(_)) => step("close", Repeat::Safe, true, opened, None),
        }
    }

    fn send<'a>(&'a self, step: &'a Step, _: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let (fate, stood) = {
                let mut books = self.books();
                books.sends += 1;
                let fate = books.fates.pop_front().unwrap_or(Fate::Fine);
                books.faults += usize::from(fate != Fate::Fine);
                (fate, !fate.has_effect() || Self::take_effect(&mut books, step))
            };
            if fate.kills() {
                self.death.notify_one();
                std::future::pending::<()>().await;
            }
            let outcome = match fate {
                Fate::Fine | Fate::DiesBefore | Fate::DiesAfter if stood => Outcome::Delivered(Receipt::default()),
                Fate::Fine | Fate::DiesBefore | Fate::DiesAfter => {
                    let mut receipt = step.receipt.clone().unwrap_or_default();
                    receipt["standing"] = Value::Null;
                    Outcome::Delivered(Receipt { receipt: Some(receipt), ..Receipt::default() })
                }
                Fate::NeverArrives => {
                    Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None }
                }
                Fate::LostOnTheWayThere | Fate::LostOnTheWayBack => Outcome::Unknown { reason: Reason::Timeout },
                Fate::Throttled => Outcome::Throttled { not_before: Some(Duration::from_secs(7)) },
                Fate::Busy => Outcome::Retry {
                    reason: Reason::ServerError,
                    sent: Sent::Possibly,
                    not_before: Some(Duration::from_secs(3)),
                },
            };
            outcome.into()
        })
    }

    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], _: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        let books = self.books();
        let find = |doubt: &Doubt<'_>| {
            let account = books.accounts.get(doubt.key.order.order_id.as_str());
            let known = account.is_some_and(|account| account.keys.contains(&doubt.step.key));
            if known { Finding::Stands(Receipt::default()) } else { Finding::NotFound }
        };
        Box::pin(std::future::ready(LookedUp::of(doubts.iter().map(find).collect(), 1)))
    }

    fn visible_after(&self, _: &Step) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

/// What happens next in the world.
#[derive(Debug, Clone)]
enum Event {
    Version { order: usize, status: usize, total: i64, gap: i64 },
    Fate(Fate),
    Dispatch,
    Advance(u64),
}

const STATUSES: [&str; 4] = ["accepted", "accepted", "cancelled", "placed"];

fn event() -> impl Strategy<Value = Event> {
    use Fate as F;
    let fate = prop::sample::select(vec![
        F::Fine,
        F::Fine,
        F::NeverArrives,
        F::LostOnTheWayThere,
        F::LostOnTheWayBack,
        F::Throttled,
        F::Busy,
        F::DiesBefore,
        F::DiesAfter,
    ]);
    prop_oneof![
        6 => (0..3usize, 0..4usize, 1..3i64, 1..3i64)
            .prop_map(|(order, status, total, gap)| Event::Version { order, status, total: total * 100, gap }),
        5 => fate.prop_map(Event::Fate),
        5 => Just(Event::Dispatch),
        3 => (1..90u64).prop_map(Event::Advance),
    ]
}

/// One round, in which the process may die; then another takes its place.
async fn dispatch(app: &mut TestApp, model: &Arc<Model>) {
    for _ in 0..20 {
        let mut dispatcher = app.dispatchers.remove(0);
        let died = tokio::select! {
            tick = dispatcher.tick() => {
                let worked = tick.expect("the database answers");
                app.dispatchers.push(dispatcher);
                if worked == scoffable_sync::delivery::dispatcher::Tick::Idle {
                    return;
                }
                false
            }
            () = model.death.notified() => true,
        };
        if died {
            // All that it held is in the dark now, not only what it was sending.
            let held = app.number("SELECT count(*) FROM deliveries WHERE state = 'in_flight'").await as usize;
            model.books().faults += held - 1;
            drive(app, Arc::clone(model) as _);
        }
    }
}

async fn plays_out(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut app = TestApp::start().await;
    let model = Arc::new(Model { books: Mutex::default(), death: Notify::new() });
    drive(&mut app, Arc::clone(&model) as _);
    let mut newest: [(i64, &str, i64); 3] = [(0, "", 0); 3];
    // What the destination could see of each order last, and how often that changed.
    let mut visible: [Option<i64>; 3] = [None; 3];
    let mut changes = 0;
    for event in events {
        match event {
            Event::Version { order, status, total, gap } => {
                newest[order] = (newest[order].0 + gap, STATUSES[status], total);
                let seen = match STATUSES[status] {
                    "accepted" => Some(total),
                    "cancelled" => None,
                    _ => visible[order],
                };
                changes += usize::from(seen != visible[order]);
                visible[order] = seen;
                app.publish(&order_of(&format!("A-{order}"), newest[order].0, STATUSES[status], total));
                app.poll().await;
            }
            Event::Fate(fate) => model.books().fates.push_back(fate),
            Event::Dispatch => dispatch(&mut app, &model).await,
            Event::Advance(secs) => app.advance(Duration::from_secs(secs)),
        }
    }
    model.books().fates.clear();
    let open = "SELECT count(*) FROM deliveries WHERE open";
    for _ in 0..400 {
        dispatch(&mut app, &model).await;
        if app.number(open).await == 0 {
            break;
        }
        app.advance(Duration::from_secs(20));
    }

    prop_assert_eq!(app.number(open).await, 0, "everything comes to rest");
    prop_assert_eq!(app.number("SELECT count(*) FROM deliveries WHERE dead").await, 0);
    let books = model.books();
    prop_assert!(books.wrong.is_empty(), "{:?}", books.wrong);
    for (n, (version, status, total)) in newest.into_iter().enumerate().filter(|(_, (version, ..))| *version > 0) {
        let id = format!("A-{n}");
        let standing = books.accounts.get(&id).and_then(|account| account.standing);
        match status {
            "accepted" => prop_assert_eq!(standing, Some(total), "{} {}", id, version),
            "cancelled" => prop_assert_eq!(standing, None, "{} {}", id, version),
            // Neither brought nor taken back: what stood before may stand.
            _ => {}
        }
    }
    let most = changes + books.faults;
    prop_assert!(books.sends <= most, "{} calls for {changes} changes and {} faults", books.sends, books.faults);
    drop(books);
    Ok(())
}

#[test]
fn whatever_happens_each_order_stands_once_as_its_newest_version_says_with_no_call_too_many() {
    let config = Config { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    TestRunner::new(config)
        .run(&vec(event(), 10..60), |events| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built")
                .block_on(plays_out(events))
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
