//! What makes up for the difference between what stands for an order and what should: one move at a time. Pure.
//!
//! | What stands | Is corrected |
//! | --- | --- |
//! | nothing | by an order of all of it |
//! | an order that is not completed | in place; deleted where nothing is left of it |
//! | what came on top, not completed, while something has to go | deleted, and what is left is looked at anew |
//! | completed, backordered | what has to go by a credit note, what came on top by another order |
//!
//! Goods are counted in units: a change of price alone is a line on the adjustment product, so that no goods move.
//!
//! Source: the contract of this sink, "Corrections", and "Posting pipeline" of what all ledgers share.

use std::collections::BTreeMap;

use super::receipt::{Document, DocumentKind, Line, Role};

/// One thing to do to one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// All its lines anew. `at` is its place among the documents.
    Update {
        at: usize,
        lines: Vec<Line>,
    },
    Delete {
        at: usize,
    },
    Post {
        kind: DocumentKind,
        role: Role,
        lines: Vec<Line>,
    },
}

/// The next move; none: documents and target agree. `adjustment` is the code of what moves no goods.
pub fn correct(documents: &[Document], target: &[Line], adjustment: &str) -> Option<Move> {
    let open = documents.iter().rposition(|document| document.stands() && document.is_open_order());
    let others = documents.iter().enumerate().filter(|(at, document)| document.stands() && Some(*at) != open);
    let fixed: Vec<&Line> = others.flat_map(|(_, document)| &document.lines).collect();
    let need = rest(target, &fixed, adjustment);
    let is_whole = is_nothing(&fixed);
    let Some(at) = open else {
        let (kind, role, lines) = match (need.removed.is_empty(), need.added.is_empty()) {
            (true, true) => return None,
            (false, _) if !is_whole => (DocumentKind::Credit, Role::Part, need.removed),
            (..) if is_whole => (DocumentKind::Order, Role::Whole, target.to_vec()),
            (..) => (DocumentKind::Order, Role::Part, need.added),
        };
        return Some(Move::Post { kind, role, lines });
    };
    let standing: Vec<&Line> = documents[at].lines.iter().collect();
    let wanted = if is_whole { target.to_vec() } else { need.all() };
    if wanted.is_empty() {
        return Some(Move::Delete { at });
    }
    if rest(&wanted, &standing, adjustment).is_empty() {
        return None;
    }
    if is_whole || need.removed.is_empty() {
        return Some(Move::Update { at, lines: wanted });
    }
    Some(Move::Delete { at })
}

/// How many documents it would take, could nothing be changed in place.
pub fn cost_of_new(documents: &[Document], target: &[Line], adjustment: &str) -> u32 {
    let standing = documents.iter().filter(|document| document.stands());
    let standing: Vec<&Line> = standing.flat_map(|document| &document.lines).collect();
    let need = rest(target, &standing, adjustment);
    u32::from(!need.added.is_empty()) + u32::from(!need.removed.is_empty())
}

/// Lines that are missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rest {
    pub added: Vec<Line>,
    /// Negative.
    pub removed: Vec<Line>,
}

impl Rest {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn all(&self) -> Vec<Line> {
        [self.added.as_slice(), &self.removed].concat()
    }

    fn push(&mut self, line: Line) {
        let goes = line.units < 0 || line.units == 0 && line.gross_minor < 0;
        if goes { &mut self.removed } else { &mut self.added }.push(line);
    }
}

/// What of one thing there is.
#[derive(Debug, Clone, Copy, Default)]
struct Sum<'a> {
    units: i64,
    gross: i64,
    line: Option<&'a Line>,
}

type Sums<'a> = BTreeMap<&'a str, Sum<'a>>;

fn sums<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Sums<'a> {
    let mut sums = Sums::new();
    for line in lines {
        let sum = sums.entry(line.key.as_str()).or_default();
        sum.units += line.units;
        sum.gross += line.gross_minor;
        // A line that moves goods says best what it is of.
        if sum.line.is_none_or(|like| like.units == 0 && line.units != 0) {
            sum.line = Some(line);
        }
    }
    sums
}

/// They come to nothing: neither goods nor money.
pub fn is_nothing(lines: &[&Line]) -> bool {
    sums(lines.iter().copied()).values().all(|sum| sum.units == 0 && sum.gross == 0)
}

/// What the target says more, or less, than lines that stand.
pub fn rest(target: &[Line], standing: &[&Line], adjustment: &str) -> Rest {
    let (wanted, posted) = (sums(target), sums(standing.iter().copied()));
    let of_target = target.iter().map(|line| line.key.as_str());
    let of_standing = standing.iter().map(|line| line.key.as_str()).filter(|key| !wanted.contains_key(key));
    let mut done: Vec<&str> = Vec::new();
    let mut rest = Rest::default();
    for key in of_target.chain(of_standing) {
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        let (want, have) = (wanted.get(key).copied().unwrap_or_default(), posted.get(key).copied().unwrap_or_default());
        let Some(like) = want.line.or(have.line) else { continue };
        let (units, gross) = (want.units - have.units, want.gross - have.gross);
        let of_goods = goods(units, gross, want);
        if units != 0 {
            rest.push(Line { units, gross_minor: of_goods, ..like.clone() });
        }
        let left = gross - of_goods;
        if left == 0 {
            continue;
        }
        // What never moves goods goes on under its own name.
        let moves_goods =
            want.line.is_some_and(|line| line.units != 0) || have.line.is_some_and(|line| line.units != 0);
        let code = if moves_goods { adjustment } else { like.code.as_str() };
        let comments = if moves_goods { format!("price of {}", named(like)) } else { like.comments.clone() };
        rest.push(Line { code: code.to_owned(), units: 0, gross_minor: left, comments, ..like.clone() });
    }
    rest
}

/// What of a difference goes with its goods: they have the newest price, or what they were posted at where none is left.
fn goods(units: i64, gross: i64, want: Sum<'_>) -> i64 {
    if units == 0 {
        return 0;
    }
    let at_price = match want.units {
        0 => gross,
        of => (i128::from(want.gross) * i128::from(units) / i128::from(of)) as i64,
    };
    // Goods that go take nothing along that comes.
    if at_price.signum() * units.signum() < 0 { 0 } else { at_price }
}

fn named(line: &Line) -> &str {
    line.key.split_once(':').map_or(line.key.as_str(), |(_, name)| name)
}

#[cfg(test)]
mod tests;
