//! Which documents make up for the difference between what stands for an order and what should: as few new ones as can be,
//! then as few changes as can be. Pure.
//!
//! | The document | is changed in place | is taken back | is corrected by others |
//! | --- | --- | --- | --- |
//! | draft, submitted | yes | deleted | no need |
//! | authorised, nothing paid or credited | yes | voided | where neither is enough |
//! | authorised, something paid or credited; paid | no | no | yes |
//! | dated on or before a lock date; edited by a person; shared with other orders | no | no | yes |
//! | voided, deleted | counts for nothing | | |
//!
//! Others are: one credit note for what has to go and one invoice for what was missing. An order of which nothing stands any
//! more is invoiced anew, and one that is cancelled is credited as a whole. With `correction = "reverse_and_replace"` all
//! that stands is credited, and the order is invoiced anew.
//!
//! Source: Xero developer documentation, Invoices and Credit Notes. Observed: approved invoices without payments take new
//! lines; Xero refuses changes to paid ones and to locked periods.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::{
    config::Kind,
    receipt::{Document, DocumentKind, Line, Role, Standing},
};

/// One thing to do to one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// All its lines anew. `at` is its place among the documents.
    Update {
        at: usize,
        lines: Vec<Line>,
    },
    Void {
        at: usize,
    },
    Post {
        kind: DocumentKind,
        role: Role,
        lines: Vec<Line>,
    },
}

impl Move {
    fn is_new(&self) -> bool {
        matches!(self, Self::Post { .. })
    }
}

/// How what cannot be changed in place is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    Delta,
    ReverseAndReplace,
}

/// What to do, in this order. Empty: documents and target agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Correction {
    pub moves: Vec<Move>,
    /// New documents that it does without, though there is something to correct.
    pub avoided: u32,
}

impl Correction {
    /// New documents, and writes in all.
    pub fn cost(&self) -> (usize, usize) {
        (self.moves.iter().filter(|one| one.is_new()).count(), self.moves.len())
    }
}

/// Whether a document can be changed or taken back: nothing else may hang on it.
pub fn is_editable(document: &Document, locked_until: Option<NaiveDate>) -> bool {
    let is_open = match document.status {
        Standing::Draft | Standing::Submitted => true,
        Standing::Authorised => document.applied_minor == 0,
        Standing::Paid | Standing::Voided | Standing::Deleted => false,
    };
    let is_ours = document.id.is_some() && !document.edited && document.shared.is_none();
    is_open && is_ours && locked_until.is_none_or(|lock| document.date > lock)
}

/// The cheapest correction. `editable` says of each document whether it may be changed; those that do not stand count for
/// nothing. `beside` are the lines of journals, which are never changed.
pub fn correct(
    documents: &[Document],
    beside: &[&Line],
    editable: &[bool],
    target: &[Line],
    otherwise: Otherwise,
) -> Correction {
    /// More would take too long to go through, and no order has so many that nothing hangs on.
    const MOST: usize = 8;

    let open: Vec<usize> = (0..documents.len()).filter(|at| documents[*at].stands() && editable[*at]).collect();
    let open = &open[open.len().saturating_sub(MOST)..];
    let mut best: Option<Correction> = None;
    for subset in 0..1_u32 << open.len() {
        let changed: Vec<usize> =
            open.iter().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1).map(|(_, at)| *at).collect();
        let fixed = documents.iter().enumerate().filter(|(at, one)| one.stands() && !changed.contains(at));
        let fixed = fixed.flat_map(|(_, document)| &document.lines);
        let fixed: Vec<&Line> = fixed.chain(beside.iter().copied()).collect();
        for moves in ways(documents, &changed, &fixed, target, otherwise) {
            let way = Correction { moves, avoided: 0 };
            if best.as_ref().is_none_or(|best| way.cost() < best.cost()) {
                best = Some(way);
            }
        }
    }
    let best = best.unwrap_or_default();
    let standing = documents.iter().filter(|document| document.stands());
    let all: Vec<&Line> = standing.flat_map(|document| &document.lines).chain(beside.iter().copied()).collect();
    let corrects = !documents.is_empty() && !best.moves.is_empty();
    let otherwise_made = if corrects { new(&all, target, otherwise).len() } else { 0 };
    let avoided = otherwise_made.saturating_sub(best.cost().0) as u32;
    Correction { avoided, ..best }
}

/// What would be done if our payments were gone, where that saves a document. `unpaid` says of each document whether it could be
/// changed then.
pub fn without_payments(
    documents: &[Document],
    beside: &[&Line],
    unpaid: &[bool],
    target: &[Line],
    correction: &Correction,
) -> Option<Correction> {
    let without = correct(documents, beside, unpaid, target, Otherwise::Delta);
    (without.cost().0 < correction.cost().0).then_some(without)
}

/// The ways to reach the target that change exactly these documents: at most two of them say something else, the others are
/// taken back, and new ones make up for what is missing then.
fn ways(
    documents: &[Document],
    changed: &[usize],
    fixed: &[&Line],
    target: &[Line],
    otherwise: Otherwise,
) -> Vec<Vec<Move>> {
    let with = |updates: &[(usize, &Rest)]| -> Vec<Move> {
        let is_kept = |at: usize| updates.iter().any(|(kept, _)| *kept == at);
        let voids = changed.iter().filter(|at| !is_kept(**at)).map(|at| Move::Void { at: *at });
        let kept = updates.iter().map(|(at, rest)| Move::Update { at: *at, lines: rest.0.clone() });
        let then_standing = fixed.iter().copied().chain(updates.iter().flat_map(|(_, rest)| &rest.0));
        voids.chain(kept).chain(new(&then_standing.collect::<Vec<_>>(), target, otherwise)).collect()
    };
    let rest = rest(target, fixed);
    if rest.0.is_empty() {
        return vec![with(&[])];
    }
    let (added, removed) = rest.by_sign();
    let back = self::rest(&[], fixed);
    let mut ways = Vec::new();
    for says in [&rest, &added, &removed, &back] {
        let taking = changed.iter().filter(|at| !says.0.is_empty() && takes(&documents[**at], says));
        ways.extend(taking.map(|at| with(&[(*at, says)])));
    }
    if !added.0.is_empty() && !removed.0.is_empty() {
        let of = |kind| changed.iter().copied().filter(move |at| documents[*at].kind == kind);
        for invoice in of(DocumentKind::Invoice) {
            ways.extend(of(DocumentKind::CreditNote).map(|note| with(&[(invoice, &added), (note, &removed)])));
        }
    }
    ways.push(with(&[]));
    ways
}

/// The documents that lead from what stands to the target.
fn new(standing: &[&Line], target: &[Line], otherwise: Otherwise) -> Vec<Move> {
    let missing = rest(target, standing);
    if missing.0.is_empty() {
        return Vec::new();
    }
    let back = rest(&[], standing);
    if back.0.is_empty() || target.is_empty() && missing.total() != 0 {
        return vec![post(Role::Whole, missing.0)];
    }
    if otherwise == Otherwise::ReverseAndReplace && !target.is_empty() && back.total() < 0 {
        return vec![post(Role::Whole, back.0), post(Role::Whole, target.to_vec())];
    }
    let (added, removed) = missing.by_sign();
    [removed, added].into_iter().filter(|part| !part.0.is_empty()).map(|part| post(Role::Part, part.0)).collect()
}

/// Whether a document may say just that.
fn takes(document: &Document, lines: &Rest) -> bool {
    let has_the_sign = match document.kind {
        DocumentKind::Invoice => lines.total() > 0 || lines.total() == 0 && document.role == Role::Whole,
        DocumentKind::CreditNote => lines.total() < 0,
    };
    has_the_sign && (document.role == Role::Whole || lines.signs() == 1)
}

fn post(role: Role, lines: Vec<Line>) -> Move {
    let sum: i64 = lines.iter().map(|line| line.gross_minor).sum();
    let kind = if sum < 0 { DocumentKind::CreditNote } else { DocumentKind::Invoice };
    Move::Post { kind, role, lines }
}

/// What the target says more, or less, than lines that stand.
pub fn missing(target: &[Line], standing: &[&Line]) -> Vec<Line> {
    rest(target, standing).0
}

/// Lines that are missing, at most one for each thing unless nothing is taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rest(Vec<Line>);

impl Rest {
    fn total(&self) -> i64 {
        self.0.iter().map(|line| line.gross_minor).sum()
    }

    /// How many of both signs there are.
    fn signs(&self) -> usize {
        let has = |sign: i64| usize::from(self.0.iter().any(|line| line.gross_minor.signum() == sign));
        has(1) + has(-1)
    }

    /// What has to be added, and what has to go.
    fn by_sign(&self) -> (Self, Self) {
        let (added, removed) =
            self.0.iter().filter(|line| line.gross_minor != 0).cloned().partition(|line| line.gross_minor > 0);
        (Self(added), Self(removed))
    }
}

/// How things are told apart across versions and documents: never by account or tax, which settings change.
type Thing<'a> = (Kind, &'a str);

/// What of one thing there is.
#[derive(Debug, Clone, Copy, Default)]
struct Sum<'a> {
    gross: i64,
    /// With the sign of its amounts.
    quantity: i64,
    line: Option<&'a Line>,
}

fn sums<'a>(lines: impl Iterator<Item = &'a Line>) -> (Vec<Thing<'a>>, BTreeMap<Thing<'a>, Sum<'a>>) {
    let mut order = Vec::new();
    let mut sums = BTreeMap::<Thing<'a>, Sum<'a>>::new();
    for line in lines {
        let thing = (line.kind, line.key.as_str());
        let sum = sums.entry(thing).or_insert_with(|| {
            order.push(thing);
            Sum::default()
        });
        sum.gross += line.gross_minor;
        sum.quantity += line.quantity * line.gross_minor.signum();
        sum.line = sum.line.or(Some(line));
    }
    (order, sums)
}

/// What the target says more, or less, than lines that stand. The target's own lines where nothing stands. What goes is taken
/// from where it was posted; what is new goes where settings say by now.
fn rest(target: &[Line], standing: &[&Line]) -> Rest {
    let (mut order, wanted) = sums(target.iter());
    let (posted_order, posted) = sums(standing.iter().copied());
    let takes_itself_back = posted.values().all(|sum| sum.gross == 0) && wanted.values().any(|sum| sum.gross != 0);
    if standing.is_empty() || takes_itself_back {
        return Rest(target.to_vec());
    }
    order.extend(posted_order.into_iter().filter(|thing| !wanted.contains_key(thing)));
    let mut lines = Vec::new();
    for thing in order {
        let (want, have) =
            (wanted.get(&thing).copied().unwrap_or_default(), posted.get(&thing).copied().unwrap_or_default());
        let gross = want.gross - have.gross;
        let like = if gross < 0 { have.line.or(want.line) } else { want.line.or(have.line) };
        let Some(like) = like.filter(|_| gross != 0) else { continue };
        let units = want.quantity - have.quantity;
        let is_units = units != 0 && units.signum() == gross.signum() && gross % units == 0;
        lines.push(Line { quantity: if is_units { units.abs() } else { 1 }, gross_minor: gross, ..like.clone() });
    }
    Rest(lines)
}

#[cfg(test)]
mod tests;
