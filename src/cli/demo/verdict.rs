//! What came of the demo, held against the books of the simulated systems.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write as _},
};

use clap::ValueEnum as _;

use super::{DemoArgs, LISTED, Seen, say};
use crate::{
    cli::{FINE, NOT_WELL},
    lifecycle::Lifecycle,
    simulator::{self, Simulation, faults::Chaos, ledger::Mismatch, lightspeed::Tenders, xero::Clearing},
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

/// Holds every destination's books against what the newest versions say, if there was time for all of them.
pub(super) fn conclude(args: &DemoArgs, simulation: &Simulation, seen: &Seen, lifecycle: &Lifecycle) -> u8 {
    let mut text = format!("\nstored {} versions of {} orders\n", seen.totals.versions, seen.totals.orders);
    if !seen.came_to_rest {
        let (planned, read) = (simulation.scoffable.planned(), simulation.scoffable.confirmed(simulator::TOKEN_ID));
        let unread = planned.saturating_sub(read);
        let open: i64 = seen.totals.sinks.iter().map(|sink| sink.open).sum();
        list(&mut text, &[format!("ended early: {unread} versions not read, {open} deliveries to do")]);
        say(lifecycle, text.trim_end());
        return FINE;
    }
    if !seen.story.is_empty() {
        let _ = writeln!(text, "\n{}", seen.story); // writing to a String cannot fail
    }
    let mut well = true;
    let all = [
        Some(receiver(simulation)),
        kitchen(simulation, seen),
        feed(simulation, seen),
        ledger(simulation, seen),
        shop(simulation, seen),
        stock(simulation, seen),
    ];
    for books in all.into_iter().flatten() {
        let of_sink: Vec<&Exception> =
            seen.exceptions.iter().filter(|exception| exception.sink == books.sink).collect();
        let in_state = |state| of_sink.iter().filter(|exception| exception.state == state).count();
        let (parked, in_doubt) = (in_state("parked"), in_state("in_doubt"));
        let _ = writeln!(
            text,
            "{} {} differences, {} wrongs, {parked} parked, {in_doubt} in doubt",
            books.took,
            books.mismatches.len(),
            books.wrongs.len()
        ); // writing to a String cannot fail
        list(&mut text, &books.mismatches.iter().map(ToString::to_string).collect::<Vec<_>>());
        list(&mut text, &books.wrongs);
        well &= books.mismatches.is_empty() && books.wrongs.is_empty();
        well &= !of_sink.iter().any(|exception| needs_a_person_without_need(exception, args.chaos, books.forgives));
    }
    well &= seen.money_is_explained;
    let by = args.by.to_possible_value().map(|by| by.get_name().to_owned()).unwrap_or_default();
    let _ = write!(text, "\nreconcile --by {by}\n{}", seen.money); // writing to a String cannot fail
    list_dead_letters(&mut text, &seen.exceptions);
    say(lifecycle, text.trim_end());
    if well { FINE } else { NOT_WELL }
}

/// One line for each cause, with an order to look at.
fn list_dead_letters(text: &mut String, exceptions: &[Exception]) {
    let mut causes: BTreeMap<(&str, &str, &str), Vec<&Exception>> = BTreeMap::new();
    for dead in exceptions.iter().filter(|exception| waits_for_a_person(exception)) {
        let reason = dead.reason.as_deref().unwrap_or_default();
        causes.entry((&dead.sink, &dead.state, reason)).or_default().push(dead);
    }
    if causes.is_empty() {
        return;
    }
    text.push_str("what waits for a person:\n");
    let row = |((sink, state, reason), dead): (&(&str, &str, &str), &Vec<&Exception>)| {
        let (order_id, hint) = (&dead[0].order_id, dead[0].hint.as_deref().unwrap_or_default());
        format!("{:>4}  {sink:<5} {state:<9} {reason:<22} {order_id}: {hint}", dead.len())
    };
    list(text, &causes.iter().map(row).collect::<Vec<_>>());
}

fn waits_for_a_person(exception: &Exception) -> bool {
    ["parked", "in_doubt"].contains(&exception.state.as_str())
}

/// A destination's books, as its simulator judges them.
struct Books {
    sink: &'static str,
    took: String,
    mismatches: Vec<Mismatch>,
    wrongs: Vec<String>,
    /// Everything can be sent to it, and sent again.
    forgives: bool,
}

fn receiver(simulation: &Simulation) -> Books {
    Books {
        sink: "hook",
        took: format!("the receiver took {} versions:", simulation.webhook.ledger().n_applied()),
        mismatches: simulation.webhook.compare("demo", &simulation.world),
        wrongs: told(&simulation.webhook.violations()),
        forgives: true,
    }
}

fn kitchen(simulation: &Simulation, seen: &Seen) -> Option<Books> {
    let spoton = simulation.spoton.as_ref()?;
    let n_tickets = spoton.ledger().stored().len();
    let wrongs = told(&spoton.violations()).into_iter().chain(told(&spoton.doubled()));
    Some(Books {
        sink: "pos",
        took: format!("the kitchens got {n_tickets} tickets:"),
        mismatches: spoton.compare(&simulation.world, &excused(seen, &["pos"])),
        wrongs: wrongs.collect(),
        forgives: false,
    })
}

fn feed(simulation: &Simulation, seen: &Seen) -> Option<Books> {
    let (spoton, godatafeed) = (simulation.spoton.as_ref()?, simulation.godatafeed.as_ref()?);
    let mut numbers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for order in simulation.world.orders.values() {
        let given = spoton.ledger().stored_of(&order.id).map(|stored| stored.id.clone()).collect();
        numbers.insert(order.id.clone(), given);
    }
    // Where the kitchen's order is not certain, it is right that the feed waits.
    let excused = excused(seen, &["pos", "feed"]);
    let mismatches = godatafeed.compare(&simulation.world, &numbers);
    Some(Books {
        sink: "feed",
        took: format!("GoDataFeed was told {} things:", godatafeed.ledger().writes().len()),
        mismatches: mismatches.into_iter().filter(|mismatch| !excused.contains(&mismatch.order_id)).collect(),
        wrongs: told(&godatafeed.violations()),
        forgives: false,
    })
}

fn ledger(simulation: &Simulation, seen: &Seen) -> Option<Books> {
    let xero = simulation.xero.as_ref()?;
    let n_documents = xero.ledger().books().documents().len();
    let wrongs = told(&xero.violations()).into_iter().chain(told(&xero.doubled()));
    Some(Books {
        sink: "books",
        took: format!("Xero has {n_documents} documents:"),
        mismatches: xero.compare(&simulation.world, &Clearing::default(), &excused(seen, &["books"])),
        wrongs: wrongs.collect(),
        forgives: false,
    })
}

fn shop(simulation: &Simulation, seen: &Seen) -> Option<Books> {
    let lightspeed = simulation.lightspeed.as_ref()?;
    let n_sales = lightspeed.ledger().store().sales().len();
    let wrongs = told(&lightspeed.violations()).into_iter().chain(told(&lightspeed.doubled()));
    Some(Books {
        sink: "shop",
        took: format!("Lightspeed has {n_sales} sales:"),
        mismatches: lightspeed.compare(&simulation.world, &Tenders::default(), &excused(seen, &["shop"])),
        wrongs: wrongs.collect(),
        forgives: false,
    })
}

fn stock(simulation: &Simulation, seen: &Seen) -> Option<Books> {
    let unleashed = simulation.unleashed.as_ref()?;
    let n_orders = unleashed.ledger().account().orders().len();
    let wrongs = told(&unleashed.violations()).into_iter().chain(told(&unleashed.doubled()));
    Some(Books {
        sink: "stock",
        took: format!("Unleashed has {n_orders} sales orders:"),
        mismatches: unleashed.compare(&simulation.world, &excused(seen, &["stock"])),
        wrongs: wrongs.collect(),
        forgives: false,
    })
}

/// Orders that wait for a person there, were left out, or stand as well as they can.
fn excused(seen: &Seen, sinks: &[&str]) -> BTreeSet<String> {
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
    seen.exceptions.iter().filter(is_excused).map(|exception| exception.order_id.clone()).collect()
}

/// What cannot be sent as it is has to wait for a person, and under chaos also what nobody can know. All else is our fault.
fn needs_a_person_without_need(exception: &Exception, chaos: Chaos, forgives: bool) -> bool {
    let is_ours = exception.reason.as_deref().is_some_and(|reason| OUR_FAULT.contains(&reason));
    let failed = exception.failed || exception.state == "in_doubt";
    waits_for_a_person(exception) && (forgives || is_ours || failed && chaos == Chaos::None)
}

fn told<T: Debug>(wrongs: &[T]) -> Vec<String> {
    wrongs.iter().map(|wrong| format!("{wrong:?}")).collect()
}

fn list(text: &mut String, lines: &[String]) {
    for line in lines.iter().take(LISTED) {
        let _ = writeln!(text, "  {line}"); // writing to a String cannot fail
    }
    if lines.len() > LISTED {
        let _ = writeln!(text, "  … and {} more", lines.len() - LISTED);
    }
}
