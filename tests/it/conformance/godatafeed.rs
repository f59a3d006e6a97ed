//! `godatafeed` under the rules: orders that are there already are acknowledged, each by one request that must not be
//! repeated, and shipped or cancelled.
//!
//! Another sink inserts the orders, and has done so the moment they are owed. The marketplace reports them as they are
//! published. No amounts are told, so none are compared.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use scoffable_sync::simulator::{
    faults::Fault,
    godatafeed::{Content, Counterpart, GoDataFeedOptions, GoDataFeedSim, Import, Operation, OrderState},
};
use tempfile::TempDir;

use super::subject::{Asked, NAME, Standing, Subject};
use crate::harness::app::{Setup, TestApp};

/// Behind the subject in the order of names: the first loop is the subject's.
const INSERTER: &str = "till_elsewhere";
/// How old a list may be; an order is reported so much later than the one before, so that it is looked for anew.
const POLL: Duration = Duration::from_secs(1);
const YEAR: &str = "365d";
const UNTOLD: Standing = Standing { total: 0, settled: 0 };

/// Its orders are not shipped within any test.
pub struct Feed(Arc<GoDataFeedSim>);

/// They are shipped the moment they are acknowledged.
pub struct ShippingFeed(Arc<GoDataFeedSim>);

/// As [`Feed`], with tokens generated from a consumer key.
pub struct KeyedFeed(Arc<GoDataFeedSim>, #[expect(dead_code, reason = "it keeps the token")] TempDir);

async fn start(setup: Setup) -> (Arc<GoDataFeedSim>, Setup) {
    let clock = setup.clock().clone();
    let options = GoDataFeedOptions { bucket: None, clock: clock.clone(), ..GoDataFeedOptions::default() };
    let token = options.token.clone();
    let sim = Arc::new(GoDataFeedSim::start(options).await.expect("a loopback port is free"));
    let key = |key: &str| format!("sinks.{NAME}.{key}");
    let setup = setup
        .with(&key("kind"), "godatafeed")
        .with(&key("base_url"), &sim.url())
        .with(&key("token"), &token)
        .with(&key("templates_confirmed"), "true")
        .with(&key("channel_name"), "Scoffable")
        .with(&key("start"), "beginning")
        .with(&key("poll_interval"), "1s")
        .with(&key("cancel_grace"), "0s")
        .with(&key("limits.per_minute"), "unlimited")
        .with(&key("ship_after"), YEAR)
        .or_with(&key("after"), INSERTER)
        .with(&format!("sinks.{INSERTER}.kind"), "webhook")
        .with(&format!("sinks.{INSERTER}.url"), "http://127.0.0.1:1")
        .with(&format!("sinks.{INSERTER}.signing_secret"), "whsec_c2ltdWxhdG9yIHNpZ25pbmcga2V5LCBub3Qgc2VjcmV0")
        .with(&format!("sinks.{INSERTER}.paused"), "true");
    let marketplace = Arc::clone(&sim);
    let setup = setup.on_publish(move |order| {
        let id = order["id"].as_str().expect("orders of tests have an id");
        if marketplace.find(id).is_none() {
            clock.advance(POLL);
            marketplace.import(Import::of(id, clock.wall() - TimeDelta::minutes(2)));
        }
    });
    (sim, setup)
}

/// The other sink holds each order from the moment it is owed, under a number of its own.
async fn insert_elsewhere(app: &TestApp) {
    for sql in [
        "CREATE FUNCTION insert_elsewhere() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             NEW.state := 'applied';
             NEW.applied_version := NEW.wanted_version;
             NEW.decided_version := NEW.wanted_version;
             NEW.external_id := 'POS-' || NEW.order_id;
             RETURN NEW;
         END $$",
        "CREATE TRIGGER insert_elsewhere BEFORE INSERT OR UPDATE ON deliveries
         FOR EACH ROW WHEN (NEW.sink = 'till_elsewhere') EXECUTE FUNCTION insert_elsewhere()",
    ] {
        app.run(sql).await;
    }
}

macro_rules! subject {
    ($feed:ty, $steps:expr, refreshes $refreshes:expr, stays for $stays:expr, $start:expr) => {
        impl Subject for $feed {
            const STEPS: usize = $steps;
            const REFRESHES: bool = $refreshes;
            const REFRESHES_AFTER: Duration = Duration::from_mins(10);
            const SEEN_AFTER: Option<Duration> = Some(Duration::ZERO);
            const NOTES: usize = 1;
            const STAYS_FOR: &str = $stays;
            const SECRETS: &[&str] = &["gdf-token", "gdf-consumer-key", "robin"];

            async fn start(setup: Setup) -> (Self, Setup) {
                let (sim, setup) = start(setup).await;
                $start(sim, setup)
            }

            async fn complete(app: &TestApp) {
                insert_elsewhere(app).await;
            }

            fn wanted(_: i64) -> Vec<Standing> {
                vec![UNTOLD]
            }

            /// A list is no request of an order's: it is asked for by whoever is first.
            fn answer_next(&self, faults: Vec<Fault>) {
                self.0.answer_next_writes(faults);
            }

            fn clear_script(&self) {
                self.0.clear_script();
            }

            fn answer_look_ups(&self, faults: Vec<Fault>) {
                self.0.answer_next_to(Operation::List, faults);
            }

            fn hide_effect(&self, after: usize) {
                self.0.hide_next((0..=after).map(|effect| effect == after));
            }

            fn n_requests(&self) -> u64 {
                self.0.journal().total()
            }

            fn asked(&self) -> Vec<Asked> {
                asked(&self.0)
            }

            fn n_effects(&self) -> usize {
                self.0.ledger().orders().iter().map(|order| order.applied().count()).sum()
            }

            fn is_busy_with(&self, order_id: &str) -> bool {
                let ledger = self.0.ledger();
                ledger.counterparts_of(order_id).any(|order| ledger.running(&order.id) > 0)
            }

            fn stands(&self, order_id: &str) -> Vec<Standing> {
                let ledger = self.0.ledger();
                let stands =
                    |order: &&Counterpart| matches!(order.state(), OrderState::Acknowledged | OrderState::Shipped);
                let standing = ledger.counterparts_of(order_id).filter(stands);
                standing.map(|_| UNTOLD).collect()
            }

            fn wrongs(&self) -> Vec<String> {
                wrongs(&self.0)
            }

            fn id_of(&self, order_id: &str) -> Option<String> {
                self.0.find(order_id).map(|order| order.id)
            }
        }
    };
}

subject!(Feed, 1, refreshes false, stays for "shipment", |sim, setup| (Feed(sim), setup));
subject!(ShippingFeed, 2, refreshes false, stays for "", |sim, setup: Setup| {
    (ShippingFeed(sim), setup.with(&format!("sinks.{NAME}.ship_after"), "0s"))
});
subject!(KeyedFeed, 1, refreshes true, stays for "shipment", |sim, setup: Setup| {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("token");
    let key = |key: &str| format!("sinks.{NAME}.{key}");
    let setup = setup
        .without(&key("token"))
        .with(&key("auth_mode"), "consumer_key")
        .with(&key("consumer_key"), "gdf-consumer-key")
        .with(&key("token_file"), file.to_str().expect("a plain path"));
    (KeyedFeed(sim, folder), setup)
});

fn asked(sim: &GoDataFeedSim) -> Vec<Asked> {
    let writes = sim.received().into_iter().filter(|received| received.operation.is_write());
    writes
        .map(|received| {
            let body = String::from_utf8_lossy(&received.body).into_owned();
            Asked { key: format!("{:?} {} {body}", received.operation, received.order), body: received.body.to_vec() }
        })
        .collect()
}

/// What the ledger calls a violation, and orders that were told two numbers.
fn wrongs(sim: &GoDataFeedSim) -> Vec<String> {
    let ledger = sim.ledger();
    let numbers = |order: &Counterpart| {
        let told = order.writes().iter().filter_map(|write| match &write.content {
            Content::Acknowledge { number } => Some(number.clone()),
            Content::Ship(_) | Content::Cancel => None,
        });
        told.collect::<BTreeSet<_>>()
    };
    let renumbered = ledger.orders().iter().filter(|order| numbers(order).len() > 1);
    let renumbered = renumbered.map(|order| format!("{} was told {:?}", order.id, numbers(order)));
    ledger.violations().iter().map(|violation| format!("{violation:?}")).chain(renumbered).collect()
}
