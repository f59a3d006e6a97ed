//! What was done and what came of it, as tables for people.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use scoffable_sync::{boundary::Boundary, cli::demo::arrange::SINKS};

use crate::{
    oracle::Waiting,
    plan::{Fault, Plan},
    strike::Struck,
};

/// One seed, played to its end.
#[derive(Debug)]
pub struct Played {
    pub plan: Plan,
    pub struck: Vec<Struck>,
    /// How often each fault of an answer was met, by the simulated system.
    pub answered: BTreeMap<(&'static str, &'static str), u64>,
    pub waiting: Waiting,
    pub violations: Vec<String>,
    pub took: Duration,
}

impl Played {
    /// One line.
    pub fn summary(&self) -> String {
        let struck = self.struck.iter().map(|struck| match (struck.at, struck.missed) {
            (Some(at), _) => format!("{}@{}", struck.fault.name(), at.name()),
            (None, Some(missed)) => format!("{} (never at {})", struck.fault.name(), missed.name()),
            (None, None) => struck.fault.name().to_owned(),
        });
        let verdict = if self.violations.is_empty() { "ok" } else { "VIOLATED" };
        let Plan { seed, orders, replicas, chaos, pooled, .. } = &self.plan;
        let by = if *pooled { ", pooled" } else { "" };
        format!(
            "seed {seed:<5} {verdict:<8} {:>5.1}s  {} replicas, {orders} orders, chaos {chaos:?}{by}: {}",
            self.took.as_secs_f64(),
            replicas.len(),
            struck.collect::<Vec<_>>().join(", ")
        )
    }
}

/// All of them.
pub fn tables(all: &[Played]) -> String {
    let mut text = String::new();
    let violated = all.iter().filter(|played| !played.violations.is_empty()).count();
    let n_struck: usize = all.iter().map(|played| played.struck.len()).sum();
    let _ = writeln!(text, "{} seeds, {n_struck} strikes, {violated} seeds violated\n", all.len());
    boundaries(&mut text, all);
    destinations(&mut text, all);
    people(&mut text, all);
    text
}

/// Boundary by fault.
fn boundaries(text: &mut String, all: &[Played]) {
    let mut counts: BTreeMap<(Option<&str>, Fault), u32> = BTreeMap::new();
    for struck in all.iter().flat_map(|played| &played.struck) {
        *counts.entry((struck.at.map(Boundary::name), struck.fault)).or_default() += 1;
    }
    let header = Fault::ALL.iter().flat_map(|fault| [" ", fault.name(), " |"]).collect::<String>();
    let _ = writeln!(text, "| struck at |{header}\n|---|{}", "--:|".repeat(Fault::ALL.len()));
    let rows = Boundary::ALL.iter().map(|boundary| Some(boundary.name())).chain([None]);
    for row in rows {
        let cell = |fault: &Fault| counts.get(&(row, *fault)).map_or_else(|| " |".to_owned(), |n| format!(" {n} |"));
        let cells = Fault::ALL.iter().map(cell).collect::<String>();
        let _ = writeln!(text, "| {} |{cells}", row.unwrap_or("any moment"));
    }
    text.push('\n');
}

/// Faults of answers, by destination.
fn destinations(text: &mut String, all: &[Played]) {
    let columns: Vec<&str> = ["stream"].into_iter().chain(SINKS).collect();
    let mut counts: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for ((fault, at), n) in all.iter().flat_map(|played| &played.answered) {
        *counts.entry(fault).or_default().entry(at).or_default() += n;
    }
    let header = columns.iter().flat_map(|name| [" ", *name, " |"]).collect::<String>();
    let _ = writeln!(text, "| answers |{header}\n|---|{}", "--:|".repeat(columns.len()));
    for (fault, at) in counts {
        let cell = |name: &&str| at.get(name).map_or_else(|| " |".to_owned(), |n| format!(" {n} |"));
        let _ = writeln!(text, "| {fault} |{}", columns.iter().map(cell).collect::<String>());
    }
    text.push('\n');
}

/// What nobody can know, or was refused: it waits for a person, as it should.
fn people(text: &mut String, all: &[Played]) {
    let mut counts: Waiting = BTreeMap::new();
    for (what, n) in all.iter().flat_map(|played| &played.waiting) {
        *counts.entry(what.clone()).or_default() += n;
    }
    let _ = writeln!(text, "| waits for a person | orders |\n|---|--:|");
    for ((sink, state, reason), n) in counts {
        let _ = writeln!(text, "| {sink} {state} {reason} | {n} |");
    }
}
