//! What a sink's settings would make of stored orders, held against what other settings would, or what is recorded: each
//! order by itself, folded into counts, money and groups of equal differences. Nothing is sent, and nothing is written.
//!
//! Memory is bounded however many orders there are: they come page by page, and of groups only so many are told apart.

mod discretion;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::PgPool;

use self::discretion::Discretion;
use super::{Step, Watch, stored::Orders};
use crate::{
    config::SinkSettings,
    delivery::{
        driver::Driver,
        shadow::{Document, End, Fate, Verdict, compare},
    },
    domain::{
        ids::{OrderKey, SinkName},
        money::Currency,
    },
    store::{
        StoreError,
        backfill::Batch,
        deliveries::Dependency,
        links,
        operations::{self, Operated},
        reconciliation,
        shadow::{self, Past},
    },
};

/// Orders in one step.
const IN_A_STEP: u32 = 500;
/// Orders that are named for a group.
const EXAMPLES: usize = 3;
/// Values that are told apart at one place; further ones are one group.
const VALUES_AT_A_PLACE: usize = 50;
/// Places, reasons or moves that are told apart.
const MOST_GROUPS: usize = 1_000;
/// Further ones.
const OTHERS: &str = "\"(others)\"";

/// What is asked.
#[derive(Debug)]
pub struct Shadow {
    pub sink: SinkName,
    pub orders: Orders,
    /// Groups and documents in the answer at most, of each sort.
    pub limit: usize,
    pub personal: Personal,
}

/// What is done about values that may be personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    Masked,
    /// They are told, and whole documents with them.
    Told,
}

/// A sink as some configuration has it.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub driver: &'a Driver,
    pub settings: &'a SinkSettings,
}

#[derive(Debug, Serialize)]
pub struct Shadowed {
    pub sink: SinkName,
    /// Looked at; what follows adds up to it.
    pub orders: u64,
    pub same: u64,
    /// Sent before and after, and otherwise.
    pub changed: u64,
    pub newly_sent: u64,
    pub no_longer_sent: u64,
    /// Sent neither before nor after, for another reason.
    pub not_sent_otherwise: u64,
    /// Retention removed their content: nothing can be said.
    pub without_content: u64,
    /// What stands of all that is sent, by currency.
    pub money: Vec<Sums>,
    /// How orders come otherwise than before.
    pub moves: Vec<Moved>,
    /// Why orders would not be sent, changed or not.
    pub not_sent: Vec<Kept>,
    /// What differs in what is sent.
    pub differences: Vec<Group>,
    /// More groups than are told.
    pub left_out: u64,
    /// Of orders that differ, where they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Documents>,
    /// All that was asked for was looked at.
    pub finished: bool,
}

impl Shadowed {
    /// Whether nothing would be otherwise, of all that was asked for.
    pub fn is_same(&self) -> bool {
        self.finished && self.orders == self.same + self.without_content
    }
}

/// In minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sums {
    pub currency: Currency,
    pub before_minor: i128,
    pub after_minor: i128,
    pub difference_minor: i128,
    /// The tax in it, where documents tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_before_minor: Option<i128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_after_minor: Option<i128>,
}

impl Sums {
    fn none(currency: Currency) -> Self {
        Self {
            currency,
            before_minor: 0,
            after_minor: 0,
            difference_minor: 0,
            tax_before_minor: None,
            tax_after_minor: None,
        }
    }

    fn add(&mut self, fate: &Fate, when: When) {
        let amount = fate.money.map_or(0, |money| i128::from(money.amount));
        let (sum, tax) = match when {
            When::Before => (&mut self.before_minor, &mut self.tax_before_minor),
            When::After => (&mut self.after_minor, &mut self.tax_after_minor),
        };
        *sum += amount;
        if let Some(minor) = fate.tax_minor {
            *tax = Some(tax.unwrap_or_default() + i128::from(minor));
        }
        self.difference_minor = self.after_minor - self.before_minor;
    }
}

#[derive(Debug, Clone, Copy)]
enum When {
    Before,
    After,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    pub from: String,
    pub to: String,
    #[serde(flatten)]
    pub of: Counted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub end: End,
    pub reason: Option<String>,
    #[serde(flatten)]
    pub of: Counted,
}

#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// A JSON pointer with `*` for any place in a list; in parentheses where it is no place in a body.
    pub path: String,
    /// As they are written; null: not there.
    pub from: Option<Box<RawValue>>,
    pub to: Option<Box<RawValue>>,
    #[serde(flatten)]
    pub of: Counted,
}

/// How many orders, and some of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub orders: u64,
    pub examples: Vec<OrderKey>,
    /// What to do about the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Counted {
    fn add(&mut self, order: &OrderKey, hint: Option<&String>) {
        self.orders += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(order.clone());
        }
        if self.hint.is_none() {
            self.hint = hint.cloned();
        }
    }
}

/// What is sent of one order. Holds personal data.
#[derive(Debug, Serialize)]
pub struct Documents {
    #[serde(flatten)]
    pub order: OrderKey,
    pub verdict: Verdict,
    pub before: Option<Document>,
    pub after: Option<Document>,
}

/// Looks at every stored order that is asked for. Without `before` what is recorded takes its place.
pub async fn shadow(
    pool: &PgPool,
    request: &Shadow,
    before: Option<Side<'_>>,
    after: Side<'_>,
    watch: Watch<'_>,
) -> Operated<Shadowed> {
    let which = request.orders.stored();
    if let Some(source) = which.source {
        let mut db = pool.acquire().await.map_err(StoreError::of("shadow.begin"))?;
        operations::source_must_exist(&mut db, source).await?;
    }
    let sink = &request.sink;
    let of = Some(reconciliation::count(pool, which).await?);
    let products = links::product_copy(pool, sink).await?;
    let play_before = before.map(|side| side.driver.sink.rehearsal(&products));
    let play_after = after.driver.sink.rehearsal(&products);
    let discretion = Discretion::of(request.personal, before.into_iter().chain([after]), &products);
    let mut tally = Tally::default();
    let mut last = None;
    let mut is_finished = false;
    while !is_finished {
        let batch = Batch { after: last.as_ref(), limit: Some(IN_A_STEP) };
        let page = shadow::page(pool, sink, which, batch, after.driver.clock.offset_ms()).await?;
        let needed_before = match before {
            Some(side) => dependencies(pool, side, &page).await?,
            None => HashMap::new(),
        };
        let needed_after = dependencies(pool, after, &page).await?;
        for past in &page {
            if past.snapshot.payload.is_none() {
                tally.orders += 1;
                tally.without_content += 1;
                continue;
            }
            let was = match (before, &play_before) {
                (Some(side), Some(play)) => side.driver.rehearse(play, past, needed_before.get(&past.order)),
                _ => Fate::recorded(past),
            };
            let is = after.driver.rehearse(&play_after, past, needed_after.get(&past.order));
            tally.add(past, was, is, &discretion, request);
        }
        is_finished = page.len() < IN_A_STEP as usize;
        let key = |past: &Past| (past.order.source.as_str().to_owned(), past.order.order_id.as_str().to_owned());
        last = page.last().map(key);
        if !is_finished && watch(Step { done: tally.orders, of }).is_break() {
            break;
        }
    }
    Ok(tally.answer(request, is_finished))
}

async fn dependencies(
    pool: &PgPool,
    side: Side<'_>,
    page: &[Past],
) -> Result<HashMap<OrderKey, Dependency>, StoreError> {
    match &side.driver.rules.after {
        Some(after) => shadow::dependencies(pool, after, page).await,
        None => Ok(HashMap::new()),
    }
}

/// A difference as it is told.
type Told = (String, Option<String>, Option<String>);

#[derive(Debug, Default)]
struct Tally {
    orders: u64,
    without_content: u64,
    verdicts: BTreeMap<Verdict, u64>,
    money: BTreeMap<String, Sums>,
    moves: BTreeMap<(String, String), Counted>,
    not_sent: BTreeMap<(End, Option<String>), Counted>,
    differences: BTreeMap<Told, Counted>,
    /// How many values are told apart at each place.
    places: BTreeMap<String, usize>,
    documents: Vec<Documents>,
}

impl Tally {
    fn add(&mut self, past: &Past, was: Fate, is: Fate, discretion: &Discretion, request: &Shadow) {
        self.orders += 1;
        let (verdict, differences) = compare(&was, &is);
        *self.verdicts.entry(verdict).or_default() += 1;
        for (fate, when) in [(&was, When::Before), (&is, When::After)] {
            if let Some(money) = fate.money.filter(|_| fate.end == End::Sent) {
                let sums = self.money.entry(money.currency.to_string()).or_insert_with(|| Sums::none(money.currency));
                sums.add(fate, when);
            }
        }
        let order = &past.order;
        if !matches!(is.end, End::Sent | End::Empty) {
            let key = roomy(&self.not_sent, (is.end, is.reason.clone()), (is.end, Some(plain(OTHERS))));
            self.not_sent.entry(key).or_default().add(order, is.hint.as_ref());
        }
        if verdict == Verdict::Same {
            return;
        }
        let (from, to) = (was.to_string(), is.to_string());
        if from != to {
            let key = roomy(&self.moves, (from, to), (plain(OTHERS), plain(OTHERS)));
            self.moves.entry(key).or_default().add(order, is.hint.as_ref());
        }
        let told = discretion.told(differences, past);
        for told in told {
            let key = self.place(told);
            self.differences.entry(key).or_default().add(order, None);
        }
        if request.personal == Personal::Told && self.documents.len() < request.limit {
            let (before, after) = (was.document, is.document);
            self.documents.push(Documents { order: order.clone(), verdict, before, after });
        }
    }

    /// The group of a difference: of its own as long as there is room.
    fn place(&mut self, told: Told) -> Told {
        if self.differences.contains_key(&told) {
            return told;
        }
        let others = || Some(OTHERS.to_owned());
        let (path, from, to) = told;
        if !self.places.contains_key(&path) && self.places.len() >= MOST_GROUPS {
            return (plain(OTHERS), others(), others());
        }
        let values = self.places.entry(path.clone()).or_default();
        if *values >= VALUES_AT_A_PLACE {
            return (path, others(), others());
        }
        *values += 1;
        (path, from, to)
    }

    fn answer(self, request: &Shadow, finished: bool) -> Shadowed {
        let n = |verdict| self.verdicts.get(&verdict).copied().unwrap_or_default();
        let (same, changed) = (n(Verdict::Same), n(Verdict::Changed));
        let (newly_sent, no_longer_sent) = (n(Verdict::NewlySent), n(Verdict::NoLongerSent));
        let not_sent_otherwise = n(Verdict::NotSentOtherwise);
        let mut left_out = 0;
        let limit = request.limit;
        let moves = weightiest(self.moves, limit, &mut left_out);
        let not_sent = weightiest(self.not_sent, limit, &mut left_out);
        let differences = weightiest(self.differences, limit, &mut left_out);
        let raw = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        Shadowed {
            sink: request.sink.clone(),
            orders: self.orders,
            same,
            changed,
            newly_sent,
            no_longer_sent,
            not_sent_otherwise,
            without_content: self.without_content,
            money: self.money.into_values().collect(),
            moves: moves.into_iter().map(|((from, to), of)| Moved { from, to, of }).collect(),
            not_sent: not_sent.into_iter().map(|((end, reason), of)| Kept { end, reason, of }).collect(),
            differences: differences
                .into_iter()
                .map(|((path, from, to), of)| Group { path, from: raw(from), to: raw(to), of })
                .collect(),
            left_out,
            documents: self.documents,
            finished,
        }
    }
}

/// Without the quotes of JSON.
fn plain(text: &str) -> String {
    text.trim_matches('"').to_owned()
}

fn roomy<K: Ord>(groups: &BTreeMap<K, Counted>, key: K, others: K) -> K {
    if groups.len() < MOST_GROUPS || groups.contains_key(&key) { key } else { others }
}

/// Those of most orders first.
fn weightiest<K: Ord>(groups: BTreeMap<K, Counted>, limit: usize, left_out: &mut u64) -> Vec<(K, Counted)> {
    let mut all: Vec<(K, Counted)> = groups.into_iter().collect();
    all.sort_by_key(|(_, of)| std::cmp::Reverse(of.orders));
    *left_out += all.len().saturating_sub(limit) as u64;
    all.truncate(limit);
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::ids::{OrderId, SourceName, Version},
        sinks::links::ProductCopy,
        store::deliveries::Snapshot,
    };

    pub(super) fn past(payload: &str) -> Past {
        Past {
            order: OrderKey { source: SourceName::parse("main").unwrap(), order_id: OrderId::new("A-1") },
            at: "2026-03-01T18:00:00Z".parse().unwrap(),
            total: None,
            snapshot: Snapshot {
                version: Version(1),
                status: "accepted".to_owned(),
                vendor_id: None,
                order_type: None,
                age: std::time::Duration::ZERO,
                owed_for: std::time::Duration::ZERO,
                source_kind: "scoffable".to_owned(),
                content_hash: Vec::new(),
                payload: Some(payload.to_owned()),
            },
            recorded: None,
        }
    }

    fn request() -> Shadow {
        Shadow {
            sink: SinkName::parse("books").unwrap(),
            orders: Orders::default(),
            limit: usize::MAX,
            personal: Personal::Masked,
        }
    }

    proptest! {
        /// However many orders say however much, groups stay few, and no order is lost from them.
        #[test]
        fn groups_are_bounded(values in prop::collection::vec(0_u32..400, 1..600)) {
            let discretion = Discretion::of(Personal::Masked, [].into_iter(), &ProductCopy::default());
            let mut tally = Tally::default();
            let fate = |value: u32| Fate {
                end: End::Sent,
                reason: None,
                hint: None,
                document: Some(Document { step: "post".to_owned(), body: format!("{{\"a\":{value}}}") }),
                money: None,
                tax_minor: None,
            };
            for value in &values {
                tally.add(&past("{}"), fate(1_000), fate(*value), &discretion, &request());
            }
            let answer = tally.answer(&request(), true);

            prop_assert!(answer.differences.len() <= VALUES_AT_A_PLACE + 1);
            prop_assert_eq!(answer.differences.iter().map(|one| one.of.orders).sum::<u64>(), values.len() as u64);
            prop_assert_eq!((answer.changed, answer.orders), (values.len() as u64, values.len() as u64));
        }
    }
}
