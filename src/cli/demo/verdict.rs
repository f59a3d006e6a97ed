//! What came of the demo, in words.

use std::{collections::BTreeMap, fmt::Write as _};

use clap::ValueEnum as _;

use super::{
    DemoArgs, LISTED, Seen,
    books::{self, waits_for_a_person},
    say,
};
use crate::{
    cli::{FINE, NOT_WELL},
    lifecycle::Lifecycle,
    simulator::{self, Simulation},
    store::demo::Exception,
};

/// Holds every destination's books against what the newest versions say, if there was time for all of them.
pub(super) fn conclude(args: &DemoArgs, simulation: &Simulation, seen: &Seen, lifecycle: &Lifecycle) -> u8 {
    let mut text = format!("\nstored {} versions of {} orders\n", seen.totals.versions, seen.totals.orders);
    if !seen.came_to_rest {
        let (planned, read) = (simulation.scoffable.planned(), simulation.scoffable.confirmed(simulator::TOKEN_ID));
        let unread = planned.saturating_sub(read);
        let open: i64 = seen.totals.sinks.iter().map(|sink| sink.open).sum();
        let left = match (unread, open) {
            (0, 0) => {
                "0 to do: nothing was left; with --exit-when-idle it ends by itself and judges every destination's books"
                    .to_owned()
            }
            _ => format!("ended early: {unread} versions not read, {open} deliveries to do"),
        };
        list(&mut text, &[left]);
        say(lifecycle, text.trim_end());
        return FINE;
    }
    if !seen.story.is_empty() {
        let _ = writeln!(text, "\n{}", seen.story); // writing to a String cannot fail
    }
    let mut well = true;
    for books in books::of(simulation, &seen.exceptions) {
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
        well &= !of_sink.iter().any(|exception| books.needs_a_person_without_need(exception, args.chaos));
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

fn list(text: &mut String, lines: &[String]) {
    for line in lines.iter().take(LISTED) {
        let _ = writeln!(text, "  {line}"); // writing to a String cannot fail
    }
    if lines.len() > LISTED {
        let _ = writeln!(text, "  … and {} more", lines.len() - LISTED);
    }
}
