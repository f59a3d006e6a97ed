//! What to do about the difference between what stands for an order and what should: one thing at a time, with as few sales
//! and returns as can be. Pure.
//!
//! | What stands | What is done |
//! | --- | --- |
//! | nothing | a new sale |
//! | a sale that is still open | it is changed in place; taken back if nothing should stand |
//! | closed sales, the openings of their registers not over | they are taken back, and the order is posted anew |
//! | closed sales of an opening that is over, of which something has to go and nothing was missing | a return of just that |
//! | the same, of which something was missing and nothing has to go | one more sale of just that |
//! | the same, otherwise | all of it is returned, and the order is posted anew |
//!
//! Things are told apart by what they are and by the price of one unit, so that a return gives back whole units at the price
//! they were sold for; a part of a price is never given back by itself. Whoever bought them and how they were paid counts
//! too: a sale that is closed cannot change that.
//!
//! Source: Lightspeed, "Sales returns", "Sales statuses". What a shop makes of a sale that is taken back after its register
//! was closed is not documented, hence the openings.

use std::collections::BTreeMap;

use super::{
    receipt::{Document, Line, Sale},
    target::{self, Target},
    wire::State,
};
use crate::domain::sale::Kind;

/// The one thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// What stands is what should.
    Nothing,
    /// A new sale of this.
    Post {
        lines: Vec<target::Line>,
        payments: BTreeMap<String, i64>,
    },
    /// All of an open sale anew. `at` is its place among the sales.
    Update {
        at: usize,
    },
    Void {
        at: usize,
    },
    /// Units are negative, and so is what is paid back.
    Return {
        at: usize,
        lines: Vec<Line>,
        payments: BTreeMap<String, i64>,
    },
    /// Nothing that can be returned is left, and yet something stands.
    Stuck,
}

/// How things are told apart: never by product or tax, which settings change.
type Thing = (Kind, String, i64);

/// Units of each thing and money of each payment type; zero never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Net {
    units: BTreeMap<Thing, i64>,
    payments: BTreeMap<String, i64>,
}

impl Net {
    fn of<'s>(sales: impl Iterator<Item = &'s Sale>) -> Self {
        let mut net = Self::default();
        for sale in sales {
            for line in &sale.lines {
                *net.units.entry((line.kind, line.key.clone(), line.unit_minor)).or_default() += line.quantity;
            }
            for (payment_type, amount) in &sale.payments {
                *net.payments.entry(payment_type.clone()).or_default() += amount;
            }
        }
        net.tidy()
    }

    fn wanted(target: &Target) -> Self {
        let mut net = Self { payments: target.payments.clone(), ..Self::default() };
        for line in &target.lines {
            *net.units.entry((line.kind, line.key.clone(), line.unit_minor)).or_default() += line.quantity;
        }
        net.tidy()
    }

    fn less(&self, other: &Self) -> Self {
        let mut net = self.clone();
        for (thing, units) in &other.units {
            *net.units.entry(thing.clone()).or_default() -= units;
        }
        for (payment_type, amount) in &other.payments {
            *net.payments.entry(payment_type.clone()).or_default() -= amount;
        }
        net.tidy()
    }

    fn tidy(mut self) -> Self {
        // What costs nothing counts: it was sold all the same.
        self.units.retain(|_, units| *units != 0);
        self.payments.retain(|_, amount| *amount != 0);
        self
    }

    fn is_empty(&self) -> bool {
        self.units.is_empty() && self.payments.is_empty()
    }

    fn gross_minor(&self) -> i64 {
        self.units.iter().map(|((_, _, unit), units)| unit * units).sum()
    }

    /// Nothing is missing, and what has to go was sold at a price.
    fn only_goes(&self) -> bool {
        self.units.iter().all(|((_, _, unit), units)| *units < 0 && *unit > 0)
            && self.payments.values().all(|amount| *amount < 0)
            && self.is_balanced()
    }

    fn only_comes(&self) -> bool {
        self.units.values().all(|units| *units > 0)
            && self.payments.values().all(|amount| *amount > 0)
            && self.is_balanced()
    }

    fn is_balanced(&self) -> bool {
        let paid: i64 = self.payments.values().sum();
        !self.units.is_empty() && paid == self.gross_minor() && paid != 0
    }
}

/// The next thing to do. `is_voidable` says of each sale whether it may be taken back.
pub fn next(sales: &[Sale], is_voidable: &[bool], target: &Target) -> Next {
    let standing: Vec<usize> = (0..sales.len()).filter(|at| sales[*at].stands()).collect();
    let net = Net::of(standing.iter().map(|at| &sales[*at]));
    let wanted = Net::wanted(target);
    let rest = wanted.less(&net);
    if rest.is_empty() {
        return Next::Nothing;
    }
    if net.is_empty() {
        return Next::Post { lines: target.lines.clone(), payments: target.payments.clone() };
    }
    let is_open = |at: &&usize| matches!(sales[**at].state, State::Parked | State::Pending);
    if let Some(&at) = standing.iter().find(is_open) {
        let is_alone = standing.len() == 1 && !target.lines.is_empty();
        return if is_alone { Next::Update { at } } else { Next::Void { at } };
    }
    if standing.iter().all(|at| sales[*at].document == Document::Sale && is_voidable[*at])
        && let Some(&at) = standing.last()
    {
        return Next::Void { at };
    }
    let sold = || standing.iter().copied().filter(|at| sales[*at].document == Document::Sale);
    if rest.only_goes()
        && let Some((at, lines)) = sold().find_map(|at| Some((at, given_back(&left_of(sales, at), &rest)?)))
    {
        return Next::Return { at, lines, payments: rest.payments };
    }
    if rest.only_comes() && sold().all(|at| sales[at].state == State::Closed) {
        return Next::Post { lines: some_of(&target.lines, &rest), payments: rest.payments };
    }
    let all = sold().find_map(|at| {
        let left = left_of(sales, at);
        let net = Net::of(std::iter::once(&left));
        if net.units.is_empty() {
            return None;
        }
        let nothing = Net::default().less(&net);
        Some(Next::Return { at, lines: given_back(&left, &nothing)?, payments: nothing.payments })
    });
    all.unwrap_or(Next::Stuck)
}

/// A sale without what was returned of it.
fn left_of(sales: &[Sale], at: usize) -> Sale {
    let mut left = sales[at].clone();
    let returns = sales.iter().filter(|other| {
        other.document == Document::Return && other.stands() && other.of == left.id && left.id.is_some()
    });
    for back in returns {
        for gone in &back.lines {
            let is_it = |line: &&mut Line| {
                (line.kind, &line.key, line.unit_minor) == (gone.kind, &gone.key, gone.unit_minor) && line.quantity > 0
            };
            let mut units = -gone.quantity;
            for line in left.lines.iter_mut().filter(|line| is_it(line)) {
                let part = units.min(line.quantity);
                line.quantity -= part;
                units -= part;
            }
        }
        for (payment_type, amount) in &back.payments {
            *left.payments.entry(payment_type.clone()).or_default() += amount;
        }
    }
    left.lines.retain(|line| line.quantity != 0);
    left
}

/// The lines of a sale that give back what is too much. None: the sale has not all of it.
fn given_back(sale: &Sale, rest: &Net) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    for (thing, units) in &rest.units {
        let mut units = -units;
        for line in &sale.lines {
            let is_it = (line.kind, &line.key, line.unit_minor) == (thing.0, &thing.1, thing.2);
            let part = if is_it { units.min(line.quantity) } else { 0 };
            if part > 0 {
                units -= part;
                lines.push(Line { quantity: -part, ..line.clone() });
            }
        }
        if units != 0 {
            return None;
        }
    }
    Some(lines)
}

/// The lines of a target that make up what is missing.
fn some_of(lines: &[target::Line], rest: &Net) -> Vec<target::Line> {
    let mut missing = rest.units.clone();
    let mut some = Vec::new();
    for line in lines {
        let Some(units) = missing.get_mut(&(line.kind, line.key.clone(), line.unit_minor)) else { continue };
        let part = line.quantity.min(*units);
        if part > 0 {
            *units -= part;
            some.push(target::Line { quantity: part, ..line.clone() });
        }
    }
    some
}

#[cfg(test)]
mod tests;
