//! The books of the simulated systems, held against what the newest versions say: by `demo`, and by the proof in
//! `tests/chaos`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use super::arrange::SOURCE;
use crate::{
    simulator::{Simulation, faults::Chaos, ledger::Mismatch, lightspeed::Tenders, xero::Clearing},
    store::demo::Exception,
};

/// Reasons of a skipped order that the destination's books are not held against.
const LEFT_OUT: [&str; 3] = ["stale", "unmapped_vendor", "no_counterpart"];
/// At the feed also this: the order had not been imported yet when its cancellation was due.
const LEFT_OUT_OF_THE_FEED: &str = "cancelled_before_sent";
/// Notices of orders in the books that do not stand as they should. All others tell what the books say rightly.
const OTHERWISE_IN_THE_BOOKS: [&str; 2] = ["payments_differ", "remote_edited"];
/// The same of orders in the shop.
const OTHERWISE_IN_THE_SHOP: [&str; 1] = ["remote_edited"];
/// Reasons that mean that we are wrong, not the order.
const OUR_FAULT: [&str; 3] = ["invariant_violated", "unreadable_receipt", "panicked"];

/// A destination's books, as its simulator judges them.
#[derive(Debug)]
pub struct Books {
    pub sink: &'static str,
    /// How much stands there, for people.
    pub took: String,
    /// Where the books are not what the newest versions say.
    pub mismatches: Vec<Mismatch>,
    /// What was asked of it and should not have been, and what stands there twice.
    pub wrongs: Vec<String>,
    /// Everything can be sent to it, and sent again.
    pub forgives: bool,
}

/// The books of every destination that is simulated, but for orders that `exceptions` speaks for.
pub fn of(simulation: &Simulation, exceptions: &[Exception]) -> Vec<Books> {
    let all = [
        Some(receiver(simulation)),
        kitchen(simulation, exceptions),
        feed(simulation, exceptions),
        ledger(simulation, exceptions),
        shop(simulation, exceptions),
        stock(simulation, exceptions),
    ];
    all.into_iter().flatten().collect()
}

impl Books {
    /// What cannot be sent as it is has to wait for a person, and under chaos also what nobody can know. All else is our
    /// fault.
    pub fn needs_a_person_without_need(&self, exception: &Exception, chaos: Chaos) -> bool {
        let is_ours = exception.reason.as_deref().is_some_and(|reason| OUR_FAULT.contains(&reason));
        let failed = exception.failed || exception.state == "in_doubt";
        waits_for_a_person(exception) && (self.forgives || is_ours || failed && chaos == Chaos::None)
    }
}

pub fn waits_for_a_person(exception: &Exception) -> bool {
    ["parked", "in_doubt"].contains(&exception.state.as_str())
}

fn receiver(simulation: &Simulation) -> Books {
    Books {
        sink: "hook",
        took: format!("the receiver took {} versions:", simulation.webhook.ledger().n_applied()),
        mismatches: simulation.webhook.compare(SOURCE, &simulation.world),
        wrongs: told(&simulation.webhook.violations()),
        forgives: true,
    }
}

fn kitchen(simulation: &Simulation, exceptions: &[Exception]) -> Option<Books> {
    let spoton = simulation.spoton.as_ref()?;
    let n_tickets = spoton.ledger().stored().len();
    let wrongs = told(&spoton.violations()).into_iter().chain(told(&spoton.doubled()));
    Some(Books {
        sink: "pos",
        took: format!("the kitchens got {n_tickets} tickets:"),
        mismatches: spoton.compare(&simulation.world, &excused(exceptions, &["pos"])),
        wrongs: wrongs.collect(),
        forgives: false,
    })
}

fn feed(simulation: &Simulation, exceptions: &[Exception]) -> Option<Books> {
    let (spoton, godatafeed) = (simulation.spoton.as_ref()?, simulation.godatafeed.as_ref()?);
    let mut numbers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for order in simulation.world.orders.values() {
        let given = spoton.ledger().stored_of(&order.id).map(|stored| stored.id.clone()).collect();
        numbers.insert(order.id.clone(), given);
    }
    // Where the kitchen's order is not certain, it is right that the feed waits.
    let excused = excused(exceptions, &["pos", "feed"]);
    let mismatches = godatafeed.compare(&simulation.world, &numbers);
    Some(Books {
        sink: "feed",
        took: format!("GoDataFeed was told {} things:", godatafeed.ledger().writes().len()),
        mismatches: mismatches.into_iter().filter(|mismatch| !excused.contains(&mismatch.order_id)).collect(),
        wrongs: told(&godatafeed.violations()),
        forgives: false,
    })
}

fn ledger(simulation: &Simulation, exceptions: &[Exception]) -> Option<Books> {
    let xero = simulation.xero.as_ref()?;
    let n_documents = xero.ledger().books().documents().len();
    let wrongs = told(&xero.violations()).into_iter().chain(told(&xero.doubled()));
    Some(Books {
        sink: "books",
        took: format!("Xero has {n_documents} documents:"),
        mismatches: xero.compare(&simulation.world, &Clearing::default(), &excused(exceptions, &["books"])),
        wrongs: wrongs.collect(),
        forgives: false,
    })
}

fn shop(simulation: &Simulation, exceptions: &[Exception]) -> Option<Books> {
    let lightspeed = simulation.lightspeed.as_ref()?;
    let n_sales = lightspeed.ledger().store().sales().len();
    let wrongs = told(&lightspeed.violations()).into_iter().chain(told(&lightspeed.doubled()));
    Some(Books {
        sink: "shop",
        took: format!("Lightspeed has {n_sales} sales:"),
        mismatches: lightspeed.compare(&simulation.world, &Tenders::default(), &excused(exceptions, &["shop"])),
        wrongs: wrongs.collect(),
        forgives: false,
    })
}

fn stock(simulation: &Simulation, exceptions: &[Exception]) -> Option<Books> {
    let unleashed = simulation.unleashed.as_ref()?;
    let n_orders = unleashed.ledger().account().orders().len();
    let wrongs = told(&unleashed.violations()).into_iter().chain(told(&unleashed.doubled()));
    Some(Books {
        sink: "stock",
        took: format!("Unleashed has {n_orders} sales orders:"),
        mismatches: unleashed.compare(&simulation.world, &excused(exceptions, &["stock"])),
        wrongs: wrongs.collect(),
        forgives: false,
    })
}

/// Orders that wait for a person there, were left out, or stand as well as they can.
fn excused(exceptions: &[Exception], sinks: &[&str]) -> BTreeSet<String> {
    let is_excused = |exception: &&Exception| {
        let told = exception.reason.as_deref().unwrap_or_default();
        sinks.contains(&exception.sink.as_str())
            && match (exception.sink.as_str(), exception.state.as_str()) {
                ("feed", "skipped") => LEFT_OUT.contains(&told) || told == LEFT_OUT_OF_THE_FEED,
                (_, "skipped") => LEFT_OUT.contains(&told),
                ("books", "applied") => OTHERWISE_IN_THE_BOOKS.contains(&told),
                ("shop", "applied") => OTHERWISE_IN_THE_SHOP.contains(&told),
                // All notices there tell what stands rightly.
                ("stock", "applied") => false,
                _ => true,
            }
    };
    exceptions.iter().filter(is_excused).map(|exception| exception.order_id.clone()).collect()
}

fn told<T: Debug>(wrongs: &[T]) -> Vec<String> {
    wrongs.iter().map(|wrong| format!("{wrong:?}")).collect()
}
