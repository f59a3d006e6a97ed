//! Whether the books of the sinks that carry money are right: what [`reconciliation`] judges order by order, folded into
//! rows and totals. With a destination's own word, where a person wants it asked.

use std::{
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{Contradiction, Step, Watch};
use crate::{
    delivery::driver::Driver,
    domain::{
        ids::{OrderKey, SinkName, SourceName},
        reconciliation::{RowKey, Rows, Seen, Statement, Tally, Totals, Verdict},
    },
    store::{
        StoreError, alerts,
        backfill::Stored,
        operations::{self, Operated, Refusal},
        reconciliation::{self, MoneySink},
    },
};

/// Cause of the alert about an order whose books nothing explains.
pub const DIFFERENCE: &str = "money_differs";
/// Alerts of one run at most: what is wrong with more orders has one cause.
const MOST_ALERTS: usize = 100;
/// How many orders are walked between two looks at the watch.
const IN_A_STEP: u64 = 1_000;
/// What is said of an order that went on while its destination was asked.
const CHANGED_MEANWHILE: &str = "changed_meanwhile";

/// Which orders, and how their rows are folded.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawReconcile")]
pub struct Reconcile {
    /// None: all that carry money.
    pub sink: Option<SinkName>,
    pub source: Option<SourceName>,
    pub vendor: Option<String>,
    /// Orders placed on this day or later; where that is not told, first seen.
    pub from: Option<NaiveDate>,
    /// On this day or earlier.
    pub to: Option<NaiveDate>,
    /// Where days begin.
    pub time_zone: Tz,
    pub by: By,
}

/// What there is one row for; always beside the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Each day and vendor.
    Day,
    Vendor,
    Order,
    /// Nothing else: the totals are the rows.
    Currency,
}

/// A period that ends before it begins.
pub const BACKWARDS: Contradiction = Contradiction("`from` is after `to`");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReconcile {
    sink: Option<SinkName>,
    source: Option<SourceName>,
    vendor: Option<String>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    #[serde(default)]
    time_zone: String,
    by: Option<By>,
}

impl TryFrom<RawReconcile> for Reconcile {
    type Error = Contradiction;

    fn try_from(raw: RawReconcile) -> Result<Self, Contradiction> {
        let RawReconcile { sink, source, vendor, from, to, time_zone, by } = raw;
        let time_zone = match time_zone.as_str() {
            "" => Tz::UTC,
            named => named.parse().map_err(|_| Contradiction("`time_zone` is none: use one as Europe/London"))?,
        };
        let by = by.unwrap_or(By::Day);
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(BACKWARDS);
        }
        if vendor.as_ref().is_some_and(|vendor| vendor.contains('\0')) {
            return Err(Contradiction("`vendor` holds a NUL, which no vendor does"));
        }
        Ok(Self { sink, source, vendor, from, to, time_zone, by })
    }
}

impl Reconcile {
    /// The day of an order.
    pub fn day_of(&self, statement: &Statement) -> NaiveDate {
        statement.at.with_timezone(&self.time_zone).date_naive()
    }

    fn stored(&self) -> Stored<'_> {
        Stored {
            source: self.source.as_ref(),
            vendor: self.vendor.as_deref(),
            since: self.from.map(|day| self.begin_of(day)),
            until: self.to.and_then(|day| day.checked_add_days(Days::new(1))).map(|day| self.begin_of(day)),
        }
    }

    /// The first moment of a day, also of one whose midnight the clocks skip.
    fn begin_of(&self, day: NaiveDate) -> DateTime<Utc> {
        let midnight = day.and_time(NaiveTime::MIN);
        let mut quarters = (0..96).map(|quarter| midnight + chrono::Duration::minutes(15 * quarter));
        let first = quarters.find_map(|at| self.time_zone.from_local_datetime(&at).earliest());
        first.map_or_else(|| midnight.and_utc(), |at| at.to_utc())
    }
}

/// Told of each order; may end it there.
pub type Visit<'a> = &'a mut (dyn FnMut(&Statement) -> ControlFlow<()> + Send);

/// The books of one sink.
#[derive(Debug, Default)]
pub struct Books {
    /// Empty where each order has its own.
    pub rows: Rows,
    pub totals: Totals,
    /// Orders whose destination was asked.
    pub asked: u64,
    /// It was to be asked, and is none that can be.
    pub cannot_be_asked: bool,
    /// Nothing that was asked for is left out.
    pub finished: bool,
}

impl Books {
    /// Whether nothing is unexplained, unverified or left out.
    pub fn is_well(&self) -> bool {
        self.finished && !self.cannot_be_asked && self.totals.is_explained()
    }
}

/// A row of a day or a vendor.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    #[serde(flatten)]
    pub key: &'a RowKey,
    #[serde(flatten)]
    pub tally: &'a Tally,
}

/// The sinks whose books are asked for.
pub async fn sinks(pool: &PgPool, request: &Reconcile) -> Operated<Vec<MoneySink>> {
    let mut db = pool.acquire().await.map_err(StoreError::of("reconciliation.begin"))?;
    if let Some(source) = &request.source {
        operations::source_must_exist(&mut db, source).await?;
    }
    let all = reconciliation::money_sinks(&mut *db).await?;
    let Some(wanted) = &request.sink else { return Ok(all) };
    operations::sink_must_exist(&mut db, wanted).await?;
    match all.into_iter().find(|sink| sink.name == *wanted) {
        Some(found) => Ok(vec![found]),
        None => Err(Refusal::NoMoney(wanted.clone()).into()),
    }
}

/// What destinations said that is not simply what our receipts say.
#[derive(Debug, Default)]
pub struct Word {
    asked: u64,
    /// With what the receipt said then.
    odd: HashMap<OrderKey, (i64, Seen)>,
    cannot_be_asked: bool,
    finished: bool,
}

/// Asks a destination about every order that we hold there.
pub async fn verify(
    driver: &Driver,
    request: &Reconcile,
    offset_ms: i64,
    watch: Watch<'_>,
) -> Result<Word, StoreError> {
    let Some(at_once) = driver.verifies() else {
        return Ok(Word { cannot_be_asked: true, finished: true, ..Word::default() });
    };
    let (pool, sink, stored) = (&driver.pool, driver.name(), request.stored());
    let lanes = reconciliation::lanes(pool, sink, stored).await?;
    let of = Some(lanes.iter().map(|(_, n)| n).sum());
    let mut word = Word::default();
    for (lane, _) in &lanes {
        let mut last = None;
        loop {
            if watch(Step { done: word.asked, of }).is_break() {
                return Ok(word);
            }
            let batch = reconciliation::holdings(pool, sink, lane, stored, last.as_ref(), at_once, offset_ms).await?;
            let Some((place, _)) = batch.last() else { break };
            last = Some(place.clone());
            let held: Vec<_> = batch.into_iter().map(|(_, holding)| holding).collect();
            let seen = driver.verify(lane, &held).await;
            word.asked += held.len() as u64;
            let odd = held.into_iter().zip(seen).filter(|(holding, seen)| *seen != Seen::Worth(holding.posted));
            word.odd.extend(odd.map(|(holding, seen)| (holding.order, (holding.posted, seen))));
        }
    }
    word.finished = true;
    Ok(word)
}

/// Reads the books of one sink. Nothing is written, and memory grows with the rows and with what is wrong, not with the
/// orders.
pub async fn books(
    pool: &PgPool,
    sink: &SinkName,
    request: &Reconcile,
    word: Option<&Word>,
    visit: Visit<'_>,
    watch: Watch<'_>,
) -> Result<Books, StoreError> {
    let of = Some(reconciliation::count(pool, request.stored()).await?);
    let mut books = Books {
        finished: word.is_none_or(|word| word.finished),
        asked: word.map_or(0, |word| word.asked),
        cannot_be_asked: word.is_some_and(|word| word.cannot_be_asked),
        ..Books::default()
    };
    let mut done = 0;
    let mut add = |entry| {
        let mut statement = Statement::of(entry);
        if let Some((posted, seen)) = word.and_then(|word| word.odd.get(&statement.order)) {
            let is_same = i128::from(*posted) == statement.amounts.posted;
            let changed = Seen::Untold(CHANGED_MEANWHILE.to_owned());
            statement = statement.with(if is_same { seen } else { &changed });
        }
        books.totals.add(&statement);
        match request.by {
            By::Day => books.rows.add(Some(request.day_of(&statement)), &statement),
            By::Vendor => books.rows.add(None, &statement),
            By::Order | By::Currency => {}
        }
        done += 1;
        let mut goes_on = visit(&statement);
        if done % IN_A_STEP == 0 && goes_on.is_continue() {
            goes_on = watch(Step { done, of });
        }
        books.finished &= goes_on.is_continue();
        goes_on
    };
    reconciliation::walk(pool, sink, request.stored(), &mut add).await?;
    Ok(books)
}

/// Keeps the alerts in step with what was found: one for each order that differs, closed once it does so no more.
#[derive(Debug)]
pub struct Alerts {
    sink: SinkName,
    open: BTreeSet<String>,
    gone: Vec<String>,
}

impl Alerts {
    pub async fn of(pool: &PgPool, sink: &SinkName) -> Result<Self, StoreError> {
        let open = alerts::open_about(pool, DIFFERENCE, sink).await?.into_iter().collect();
        Ok(Self { sink: sink.clone(), open, gone: Vec::new() })
    }

    /// To be told of each order.
    pub fn note(&mut self, statement: &Statement) {
        if !self.open.is_empty() && statement.verdict == Verdict::Equal {
            let subject = self.subject(statement);
            if self.open.remove(&subject) {
                self.gone.push(subject);
            }
        }
    }

    /// Writes what was found.
    pub async fn settle(self, pool: &PgPool, totals: &Totals) -> Result<(), StoreError> {
        for subject in &self.gone {
            alerts::resolve(pool, DIFFERENCE, subject).await?;
        }
        let differing = totals.open.iter().filter(|open| open.verdict != Verdict::Unverified);
        for statement in differing.take(MOST_ALERTS) {
            let minor = statement.difference_there().unwrap_or(statement.amounts.difference);
            let detail = format!(
                "version {} and what stands there differ by {minor} in minor units, which nothing explains: see `reconcile \
                 {} --by order`, and mend it there",
                statement.version, self.sink
            );
            alerts::raise(pool, DIFFERENCE, &self.subject(statement), &detail).await?;
        }
        Ok(())
    }

    fn subject(&self, statement: &Statement) -> String {
        format!("{}/{}", self.sink, statement.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<Reconcile, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_period_is_whole_days_of_the_time_zone_its_last_day_included() {
        let london = request(r#"{"from": "2026-03-29", "to": "2026-03-29", "time_zone": "Europe/London"}"#).unwrap();
        let stored = london.stored();

        // The clocks go forward that day.
        assert_eq!(stored.since.unwrap().to_rfc3339(), "2026-03-29T00:00:00+00:00");
        assert_eq!(stored.until.unwrap().to_rfc3339(), "2026-03-29T23:00:00+00:00");
    }

    #[test]
    fn a_day_without_a_midnight_begins_when_the_clocks_were_put_forward() {
        let cairo = request(r#"{"from": "2026-04-24", "time_zone": "Africa/Cairo"}"#).unwrap();

        assert_eq!(cairo.stored().since.unwrap().to_rfc3339(), "2026-04-23T22:00:00+00:00");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let backwards = r#"{"from": "2026-03-30", "to": "2026-03-29"}"#;
        for wrong in [r#"{"time_zone": "London"}"#, r#"{"by": "week"}"#, r#"{"form": "2026-03-29"}"#, backwards] {
            assert!(request(wrong).is_err(), "{wrong}");
        }
        assert_eq!(request("{}").unwrap().by, By::Day);
    }
}
