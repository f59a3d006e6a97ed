//! Reads the last hours of a stream again, on a timer, and holds what it shows against what is stored: every version must be
//! there, and what is missing is stored and owed as a page's is, and told.
//!
//! The position of the stream is never touched: a walk begins at a time, follows its own cursor and forgets it. Requests come out
//! of the same limits as a poll's, at half their pace. What a walk saw may be so new that no poll has come to it: whether
//! something is missing is judged after a whole poll that began when the walk had ended. One process of all walks a stream;
//! one that dies on the way is replaced, and the next walk sees the same.
//!
//! Source: Scoffable developer documentation 1.0.0, "Order Sync": the stream can be begun at a time and resumed anywhere.
//! Assumed: numbers of versions need not be consecutive, so a gap is told and nothing else.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    page::{self, DecodedPage, Refused, Row},
    poller::{PATIENCE, Parts},
    schedule::limits,
};
use crate::{
    source::scoffable::client::{FetchError, Position},
    store::{
        Result,
        alerts::{self, Standing},
        budgets::{self, Reserved},
        completeness,
        housekeeping::{self, TurnEnd},
        ingest::{PageGroup, Stored, Undecodable, Versions, store_pages},
        sources::{self, SourceLease},
        watch,
    },
    telemetry::chain,
};

/// A start has more urgent things to do.
const FIRST_LOOK: Duration = Duration::from_mins(10);
/// How often it is looked whether a walk is due, or can be judged.
const LOOK: Duration = Duration::from_mins(1);
/// Longer than a page takes: each prolongs it.
const LEASE: Duration = Duration::from_mins(10);
/// From a walk that failed to the next.
const AGAIN: Duration = Duration::from_mins(15);
/// Versions that one walk finds missing at most; the next finds the others.
const MOST_MISSING: usize = 5_000;
/// Where more than one order in so many has a gap, the platform leaves numbers out by itself.
const GAPS_TELL_UP_TO: usize = 10;

const MISSING: &str = "versions_missing";
const GAPS: &str = "version_gaps";

/// What a walk saw that may be amiss.
#[derive(Debug)]
struct Seen {
    /// When the walk had ended.
    at: DateTime<Utc>,
    /// Neither stored nor in quarantine then.
    missing: Vec<Row>,
    /// That cannot be read; most of them stand in quarantine already.
    refused: Vec<Refused>,
    orders: usize,
    /// Orders between whose versions a number was missing then.
    gapped: BTreeSet<String>,
}

/// What a look did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is not due, or another process walks.
    NotNow,
    /// The walk is done, and is judged after the next poll.
    Walked,
    /// Versions that were missing and are stored now.
    Judged { missing: u64 },
    /// The stream could not be read, or somebody else reads it now.
    Failed,
}

/// How a walk was left.
enum Left {
    Walked(Seen),
    Failed(FetchError),
    /// Told to stop, or the turn is another process's now.
    Stopped,
}

/// The loop of one source.
#[derive(Debug)]
pub struct Rewalker {
    parts: Arc<Parts>,
    every: Duration,
    back: Duration,
    task: String,
    seen: Option<Seen>,
}

impl Rewalker {
    /// `every`: from one walk to the next; `back`: how long ago a walk begins.
    pub fn new(parts: Parts, every: Duration, back: Duration) -> Self {
        let task = format!("rewalk:{}", parts.name);
        Self { parts: Arc::new(parts), every, back, task, seen: None }
    }

    /// Runs until told to drain.
    pub async fn run(mut self, drain: CancellationToken) {
        let mut wait = FIRST_LOOK;
        loop {
            tokio::select! {
                () = drain.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = LOOK,
            }
            if let Err(error) = self.tick(&drain).await {
                let error = chain(&error);
                warn!(source.name = %self.parts.name, error, backoff_ms = LOOK.as_millis() as u64, "stream not walked again");
            }
        }
    }

    /// Walks if it is due, or judges what the last walk saw if that can be done now.
    pub async fn tick(&mut self, drain: &CancellationToken) -> Result<Look> {
        if !self.hold_turn().await? {
            self.seen = None;
            return Ok(Look::NotNow);
        }
        if let Some(seen) = self.seen.take() {
            return self.judge(seen).await;
        }
        match self.walk(drain).await? {
            Left::Walked(seen) => {
                self.seen = Some(seen);
                Ok(Look::Walked)
            }
            Left::Failed(error) => {
                warn!(source.name = %self.parts.name, error = chain(&error), "stream not walked again");
                self.end_turn(TurnEnd::Unfinished, AGAIN.min(self.every)).await?;
                Ok(Look::Failed)
            }
            Left::Stopped => {
                self.end_turn(TurnEnd::Unfinished, Duration::ZERO).await?;
                Ok(Look::NotNow)
            }
        }
    }

    /// Takes the turn, or prolongs it.
    async fn hold_turn(&self) -> Result<bool> {
        let Parts { pool, owner, clock, .. } = &*self.parts;
        housekeeping::lease(pool, &self.task, owner, LEASE, clock.offset_ms()).await
    }

    async fn end_turn(&self, end: TurnEnd, next_in: Duration) -> Result<()> {
        let Parts { pool, owner, clock, .. } = &*self.parts;
        housekeeping::give_back(pool, &self.task, owner, end, next_in, clock.offset_ms()).await
    }

    async fn walk(&self, drain: &CancellationToken) -> Result<Left> {
        let Parts { name, settings, client, pool, clock, .. } = &*self.parts;
        if let Ok(token) = settings.token.read() {
            // One that cannot be sent leaves the old one in use; the poller says so.
            let _ = client.set_token(&token);
        }
        let limits = limits(name, settings);
        let pace =
            limits.iter().map(|limit| Duration::from_mins(2) / limit.per_minute.max(1)).max().unwrap_or_default();
        let mut seen = Seen {
            at: DateTime::UNIX_EPOCH,
            missing: Vec::new(),
            refused: Vec::new(),
            orders: 0,
            gapped: BTreeSet::new(),
        };
        let mut orders = HashSet::new();
        let mut position = Position::From(watch::now(pool, clock.offset_ms()).await? - self.back);
        loop {
            if drain.is_cancelled() || !self.hold_turn().await? {
                return Ok(Left::Stopped);
            }
            let asked_to_wait = sources::pause(pool, name, clock.offset_ms()).await?;
            let wait = match asked_to_wait {
                Some(wait) => Some(wait),
                None => match budgets::reserve_minute(pool, &limits, clock.offset_ms()).await? {
                    Reserved::Granted => None,
                    Reserved::Full { wait } => Some(wait),
                },
            };
            if let Some(wait) = wait {
                sleep(wait.min(PATIENCE), drain).await;
                continue;
            }
            let fetched = tokio::select! {
                fetched = client.fetch(&position) => fetched,
                () = drain.cancelled() => return Ok(Left::Stopped),
            };
            let page = match fetched {
                Ok(page) => page,
                Err(error) => return Ok(Left::Failed(error)),
            };
            let (has_more, next) = (page.has_more, page.next_page_id.clone().map(Position::Cursor));
            let Ok(decoded) = tokio::task::spawn_blocking(move || page::decode(page)).await else {
                return Ok(Left::Stopped);
            };
            self.compare(decoded, &mut seen, &mut orders).await?;
            let goes_on = has_more && next.as_ref().is_some_and(|next| *next != position);
            if !goes_on || seen.missing.len() >= MOST_MISSING {
                break;
            }
            position = next.unwrap_or(position);
            sleep(pace, drain).await;
        }
        seen.at = watch::now(pool, clock.offset_ms()).await?;
        seen.orders = orders.len();
        Ok(Left::Walked(seen))
    }

    /// Keeps of a page what may be amiss.
    async fn compare(&self, decoded: DecodedPage, seen: &mut Seen, orders: &mut HashSet<String>) -> Result<()> {
        let missing: HashSet<usize> = self.missing(&decoded.rows).await?.into_iter().collect();
        let ids: BTreeSet<&str> = decoded.rows.iter().map(Row::order_id).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        seen.gapped.extend(completeness::gapped(&self.parts.pool, &self.parts.name, &ids).await?);
        orders.extend(ids.into_iter().map(str::to_owned));
        let missed = decoded.rows.into_iter().enumerate().filter(|(at, _)| missing.contains(at));
        seen.missing.extend(missed.map(|(_, row)| row));
        seen.refused.extend(decoded.refused);
        Ok(())
    }

    /// Which of these are neither stored nor in quarantine, by their place.
    async fn missing(&self, rows: &[Row]) -> Result<Vec<usize>> {
        let ids: Vec<&str> = rows.iter().map(Row::order_id).collect();
        let versions: Vec<i64> = rows.iter().map(Row::version).collect();
        completeness::missing(&self.parts.pool, &self.parts.name, &ids, &versions).await
    }

    /// Stores what is missing still, and says what a person should know. Waits for a poll that saw what the walk saw.
    async fn judge(&mut self, seen: Seen) -> Result<Look> {
        let Parts { name, pool, owner, clock, lease, .. } = &*self.parts;
        let offset_ms = clock.offset_ms();
        if !completeness::was_read_since(pool, name, seen.at).await? {
            self.seen = Some(seen);
            return Ok(Look::NotNow);
        }
        let Some(held) = sources::borrow(pool, name, owner, *lease, offset_ms).await? else {
            self.seen = Some(seen);
            return Ok(Look::Failed);
        };
        let stored = self.store(&held, &seen).await;
        sources::give_back(pool, &held).await?;
        let missing = stored?;
        if missing > 0 {
            self.parts.wake.wake_all();
        }
        let gaps =
            completeness::gapped(pool, name, &seen.gapped.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        self.tell(missing, &gaps, seen.orders).await?;
        info!(source.name = %name, page.orders = seen.orders, versions.missing = missing, orders.gapped = gaps.len(), "stream walked again");
        self.end_turn(TurnEnd::Done, self.every).await?;
        Ok(Look::Judged { missing })
    }

    /// Returns how many versions and unreadable orders were missing and stand now.
    async fn store(&self, lease: &SourceLease, seen: &Seen) -> Result<u64> {
        let mut stored = 0;
        // One by one, so that what the database does not take costs no other its place.
        for at in self.missing(&seen.missing).await? {
            let row = &seen.missing[at];
            let (versions, _) = page::columns(std::iter::once(row));
            stored += match self.store_group(lease, versions, Undecodable::default()).await {
                Err(error) if error.is_about_the_data() => {
                    let refused = row.refuse("refused_by_database", "the database does not take it".to_owned());
                    let refused = page::refused_columns(std::iter::once(&refused));
                    self.store_group(lease, Versions::default(), refused).await?
                }
                other => other?,
            };
        }
        let refused = page::refused_columns(seen.refused.iter());
        Ok(stored + self.store_group(lease, Versions::default(), refused).await?)
    }

    async fn store_group(
        &self,
        lease: &SourceLease,
        versions: Versions<'_>,
        undecodable: Undecodable<'_>,
    ) -> Result<u64> {
        let parts = &self.parts;
        // Not a page: position and state of the stream stay as they are.
        let group = PageGroup { versions, undecodable, cursor: None, pages: 0 };
        Ok(match store_pages(&parts.pool, lease, &group, parts.lease, parts.clock.offset_ms()).await? {
            Stored::Committed { inserted, quarantined } => inserted + quarantined,
            Stored::Fenced => 0,
        })
    }

    async fn tell(&self, missing: u64, gaps: &[String], orders: usize) -> Result<()> {
        let Parts { name, pool, clock, .. } = &*self.parts;
        let about = |cause, count: usize, detail| Standing {
            cause,
            subject: name.to_string(),
            detail,
            count: i64::try_from(count).unwrap_or(i64::MAX),
        };
        let lost = (missing > 0).then(|| {
            let detail = format!(
                "order versions that the stream showed and nothing had stored: {missing}; they are stored now and owed to the sinks"
            );
            about(MISSING, usize::try_from(missing).unwrap_or(usize::MAX), detail)
        });
        let gapped = gaps.first().filter(|_| gaps_tell(gaps.len(), orders)).map(|first| {
            let detail = format!(
                "orders of which the stream left a version out: {}, {name}/{first} among them; the newest known version of each is what counts",
                gaps.len()
            );
            about(GAPS, gaps.len(), detail)
        });
        for (cause, found) in [(MISSING, lost), (GAPS, gapped)] {
            match found {
                Some(standing) => alerts::hold(pool, &[standing], clock.offset_ms()).await?,
                None => alerts::resolve(pool, cause, name.as_str()).await?,
            }
        }
        Ok(())
    }
}

async fn sleep(wait: Duration, drain: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = drain.cancelled() => {}
    }
}

/// Whether gaps say something about the orders that have one.
fn gaps_tell(gapped: usize, orders: usize) -> bool {
    gapped > 0 && gapped * GAPS_TELL_UP_TO <= orders.max(GAPS_TELL_UP_TO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_tell_something_where_they_are_rare() {
        assert!(!gaps_tell(0, 1_000));
        assert!(gaps_tell(1, 1));
        assert!(gaps_tell(100, 1_000));
        assert!(!gaps_tell(101, 1_000));
        assert!(!gaps_tell(2, 10));
    }
}
