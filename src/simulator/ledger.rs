//! What a receiver holds of each order, what was done to it that must never happen, and whether it is right.
//!
//! The ledger is the oracle of the end-to-end tests. It is filled by a simulated destination and compared with the
//! [`World`] the orders came from; it knows neither our database nor our types.
//!
//! # When a ledger is right ([`Ledger::compare`])
//!
//! Take the versions of an order that can be read, in the order of the stream, and let N be the one with the highest
//! number.
//!
//! | N is | The ledger must hold |
//! | --- | --- |
//! | accepted | as the last applied version N itself, or one whose content is the same as N's but for `version` and `latestVersion` |
//! | cancelled | a cancelled version as the last, if an accepted one was ever applied; otherwise nothing, or a cancelled one |
//! | placed, rejected | nothing, if no readable version is accepted; otherwise anything of this order |
//! | of unknown status | what would be right for some beginning of the stream that ends with a known status, or nothing: from then on nothing is owed, and what was still under way may or may not have been sent |
//!
//! Versions that may be read or set aside ([`Readability::Odd`]) are tried both ways. Besides, every applied version
//! must exist in the world with the status it was applied with and, where both can be read, the same content.
//! An order that is unknown to the world is a mismatch.
//!
//! # What is a violation
//!
//! Two requests of one order side by side; an older version after a newer one was applied (a repeat of an applied one
//! too, once a newer was applied in between); one (order, version) under two keys; one key for two bodies; whatever
//! fails the receiver's own checks.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::Serialize;

use super::{
    conduct::{InFlight, Violations, Working},
    digest::content_hash,
    world::{KNOWN_STATUSES, OrderTruth, Readability, VersionTruth, World},
};

/// What must never be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "violation")]
pub enum Violation {
    /// A request arrived while another one of the same order was being worked on.
    SideBySide {
        order: OrderName,
        version: i64,
        running: i64,
    },
    OlderAfterNewer {
        order: OrderName,
        version: i64,
        applied: i64,
    },
    TwoKeys {
        order: OrderName,
        version: i64,
        first: String,
        second: String,
    },
    KeyReused {
        key: String,
    },
    BadSignature,
    StaleTimestamp,
    Malformed {
        reason: String,
    },
}

/// An order of one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct OrderName {
    pub source: String,
    pub order_id: String,
}

impl OrderName {
    pub fn new(source: &str, order_id: &str) -> Self {
        Self { source: source.to_owned(), order_id: order_id.to_owned() }
    }
}

/// One applied version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub version: i64,
    pub status: String,
    pub key: String,
    /// Over the raw order without `latestVersion`; `None` when it cannot be read.
    pub content: Option<u64>,
}

/// A well-formed request, before its effect.
#[derive(Debug, Clone)]
pub struct Request {
    pub order: OrderName,
    pub version: i64,
    pub status: String,
    pub key: String,
    pub body_hash: u64,
    pub content: Option<u64>,
}

/// Where ledger and world differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub order_id: String,
    pub expected: String,
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {}: expected {}, found {}", self.order_id, self.expected, self.found)
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    books: BTreeMap<OrderName, Book>,
    keys: HashMap<String, u64>,
    in_flight: InFlight<OrderName, i64>,
    violations: Violations<Violation>,
    repeats: u64,
}

#[derive(Debug, Default)]
struct Book {
    applied: Vec<Applied>,
    /// Every version asked for, with the first key it came under.
    keys: BTreeMap<i64, String>,
}

impl Book {
    fn newest_applied(&self) -> Option<i64> {
        self.applied.iter().map(|applied| applied.version).max()
    }
}

impl Ledger {
    /// A request arrives, and is being worked on until the returned value is dropped. None: its key was used with
    /// another body.
    pub fn enter(&mut self, request: &Request) -> Option<Working<OrderName, i64>> {
        let first_hash = *self.keys.entry(request.key.clone()).or_insert(request.body_hash);
        if first_hash != request.body_hash {
            self.violate(Violation::KeyReused { key: request.key.clone() });
            return None;
        }
        let book = self.books.entry(request.order.clone()).or_default();
        let order = || request.order.clone();
        let version = request.version;
        let mut found = Vec::new();
        let (working, running) = self.in_flight.enter(order(), version);
        if let Some(running) = running {
            found.push(Violation::SideBySide { order: order(), version, running });
        }
        if let Some(applied) = book.newest_applied().filter(|newest| *newest > version) {
            found.push(Violation::OlderAfterNewer { order: order(), version, applied });
        }
        let first_key = book.keys.entry(version).or_insert_with(|| request.key.clone());
        if *first_key != request.key {
            let (first, second) = (first_key.clone(), request.key.clone());
            found.push(Violation::TwoKeys { order: order(), version, first, second });
        }
        for violation in found {
            self.violate(violation);
        }
        Some(working)
    }

    /// The effect of an admitted request; a repeated key has none. Returns the order's id in the receiver.
    pub fn apply(&mut self, request: &Request) -> String {
        let book = self.books.entry(request.order.clone()).or_default();
        if book.applied.iter().any(|applied| applied.key == request.key) {
            self.repeats += 1;
        } else {
            book.applied.push(Applied {
                version: request.version,
                status: request.status.clone(),
                key: request.key.clone(),
                content: request.content,
            });
        }
        format!("hook-{}-{}", request.order.source, request.order.order_id)
    }

    pub fn violate(&mut self, violation: Violation) {
        self.violations.add(violation);
    }

    pub fn violations(&self) -> &[Violation] {
        self.violations.kept()
    }

    /// All violations, also those no longer kept.
    pub fn n_violations(&self) -> usize {
        self.violations.count()
    }

    /// Requests that repeated an applied key, without effect.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Applied versions of an order, in the order of their effects.
    pub fn applied(&self, source: &str, order_id: &str) -> &[Applied] {
        self.books.get(&OrderName::new(source, order_id)).map_or(&[], |book| &book.applied)
    }

    /// How many requests of an order are being worked on.
    pub fn running(&self, source: &str, order_id: &str) -> usize {
        self.in_flight.count(&OrderName::new(source, order_id))
    }

    /// Orders with at least one applied version.
    pub fn orders(&self) -> impl Iterator<Item = &OrderName> {
        self.books.iter().filter(|(_, book)| !book.applied.is_empty()).map(|(name, _)| name)
    }

    /// All applied versions together.
    pub fn n_applied(&self) -> usize {
        self.books.values().map(|book| book.applied.len()).sum()
    }

    /// How many orders stand here with which status.
    pub fn statuses(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for last in self.books.values().filter_map(|book| book.applied.last()) {
            *counts.entry(last.status.clone()).or_default() += 1;
        }
        counts
    }

    /// Where this ledger is not right about the orders of one source; the rules stand at the top of this module.
    pub fn compare(&self, source: &str, world: &World) -> Vec<Mismatch> {
        let mut mismatches = Vec::new();
        for order in world.orders.values() {
            let applied = self.applied(source, &order.id);
            if let Some(found) = made_up(world, order, applied) {
                let expected = "only versions of the world, as they are".to_owned();
                mismatches.push(Mismatch { order_id: order.id.clone(), expected, found });
                continue;
            }
            let strict = |v: &&VersionTruth| v.readability == Readability::Clear;
            let lenient = |v: &&VersionTruth| v.readability != Readability::Broken;
            let clear: Vec<&VersionTruth> = order.versions.iter().filter(strict).collect();
            let with_odd: Vec<&VersionTruth> = order.versions.iter().filter(lenient).collect();
            if let Err(expected) = judge(world, &clear, applied) {
                if judge(world, &with_odd, applied).is_ok() {
                    continue;
                }
                let found = describe(applied);
                mismatches.push(Mismatch { order_id: order.id.clone(), expected, found });
            }
        }
        for name in self.orders().filter(|name| name.source == source) {
            if !world.orders.contains_key(&name.order_id) {
                mismatches.push(Mismatch {
                    order_id: name.order_id.clone(),
                    expected: "no such order".to_owned(),
                    found: describe(self.applied(source, &name.order_id)),
                });
            }
        }
        mismatches
    }
}

fn describe(applied: &[Applied]) -> String {
    match applied.last() {
        None => "nothing".to_owned(),
        Some(last) => format!("version {} {}", last.version, last.status),
    }
}

/// An applied version that does not exist like this.
fn made_up(world: &World, order: &OrderTruth, applied: &[Applied]) -> Option<String> {
    for one in applied {
        let of_number: Vec<&VersionTruth> = order.versions.iter().filter(|v| v.number == one.version).collect();
        let is_real = of_number.iter().any(|truth| {
            let content = content_hash(&world.versions[truth.position].payload, &["latestVersion"]);
            let differs = content.is_some() && one.content.is_some() && content != one.content;
            truth.status == one.status && !differs
        });
        if !is_real {
            return Some(format!("version {} {}, which differs", one.version, one.status));
        }
    }
    None
}

/// Whether the applied versions are right for these versions of the world; otherwise what is expected.
fn judge(world: &World, versions: &[&VersionTruth], applied: &[Applied]) -> Result<(), String> {
    let last = applied.last();
    let Some(newest) = versions.iter().max_by_key(|v| v.number) else {
        return if last.is_none() { Ok(()) } else { Err("nothing".to_owned()) };
    };
    let content = |number: i64| {
        let truth = versions.iter().find(|v| v.number == number)?;
        content_hash(&world.versions[truth.position].payload, &["version", "latestVersion"])
    };
    match newest.status.as_str() {
        "accepted" => {
            let is_right = last.is_some_and(|last| {
                let same = || content(last.version).is_some_and(|c| Some(c) == content(newest.number));
                last.version == newest.number || same()
            });
            if is_right { Ok(()) } else { Err(format!("version {} accepted", newest.number)) }
        }
        "cancelled" => {
            let ever_accepted = applied.iter().any(|applied| applied.status == "accepted");
            match last {
                None => Ok(()),
                Some(last) if last.status == "cancelled" => Ok(()),
                Some(_) if ever_accepted => Err(format!("cancelled by version {}", newest.number)),
                Some(_) => Err("nothing, or cancelled".to_owned()),
            }
        }
        known if KNOWN_STATUSES.contains(&known) => {
            let may_stand = versions.iter().any(|v| v.status == "accepted");
            if may_stand || last.is_none() { Ok(()) } else { Err("nothing".to_owned()) }
        }
        unknown => {
            let right_before = (0..versions.len()).any(|end| {
                let beginning = &versions[..end];
                let newest = beginning.iter().max_by_key(|v| v.number);
                let ends_known = newest.is_none_or(|v| KNOWN_STATUSES.contains(&v.status.as_str()));
                ends_known && judge(world, beginning, applied).is_ok()
            });
            if right_before { Ok(()) } else { Err(format!("a state from before status {unknown}")) }
        }
    }
}

#[cfg(test)]
mod tests;
