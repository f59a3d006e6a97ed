//! The new orders, listed once for all that wait, kept with their age.
//!
//! One listing per `poll_interval` and process, whatever the backlog: a plan that finds none young enough asks for it, and
//! of those that ask at once one reads. A listing that failed is not tried again by everybody: until it may be, the others
//! wait, and only whoever asked is told why.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::wire::Listed;
use crate::sinks::{
    Answer,
    shared::{self, asked_for},
};

/// After a failure no other listing is tried for so long, unless the destination names a longer time.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Lists of exactly so many may be cut. Assumed: the numbers that services cut at.
const ROUND: [usize; 4] = [50, 100, 200, 500];

/// All new orders at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// When it was asked for.
    pub read_at: DateTime<Utc>,
    by_number: BTreeMap<String, Vec<Listed>>,
    ids: BTreeSet<String>,
    /// Whether there may be more than it shows, so that a missing order proves nothing.
    pub may_be_cut: bool,
}

impl Listing {
    pub fn of(orders: Vec<Listed>, may_be_cut: bool, read_at: DateTime<Utc>) -> Self {
        let ids = orders.iter().map(|order| order.gdf_id.clone()).collect();
        let mut by_number = BTreeMap::<String, Vec<Listed>>::new();
        for order in orders.into_iter().filter(|order| order.is_of_channel) {
            let same = by_number.entry(order.number.clone()).or_default();
            // Pages overlap where the list has changed in between.
            if !same.iter().any(|other| other.gdf_id == order.gdf_id) {
                same.push(order);
            }
        }
        Self { read_at, by_number, ids, may_be_cut }
    }

    /// Those of the channel under this number.
    pub fn under(&self, number: &str) -> &[Listed] {
        self.by_number.get(number).map_or(&[], Vec::as_slice)
    }

    pub fn has(&self, gdf_id: &str) -> bool {
        self.ids.contains(gdf_id)
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Whether a list of one page has a length at which lists are cut.
pub fn is_round(n_orders: usize) -> bool {
    ROUND.contains(&n_orders)
}

/// What a plan can know of the new orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Young enough. The next may be read in so long.
    Young { listing: Arc<Listing>, next_in: Duration },
    /// It was tried a moment ago and failed.
    Failed { next_in: Duration },
    /// It has to be read.
    Nothing,
}

/// The listing that the orders of one sink share.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// Held while it is read.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    listing: Option<Arc<Listing>>,
    /// When the last listing failed, and how long none is tried.
    failed: Option<(DateTime<Utc>, Duration)>,
}

impl Shared {
    /// `interval`: older than this it is not used.
    pub fn known(&self, interval: Duration, now: DateTime<Utc>) -> Known {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |began, lasts| shared::left(began, lasts, now);
        if let Some(listing) = &state.listing
            && let Some(next_in) = left(listing.read_at, interval)
        {
            return Known::Young { listing: Arc::clone(listing), next_in };
        }
        match state.failed.and_then(|(at, pause)| left(at, pause)) {
            Some(next_in) => Known::Failed { next_in },
            None => Known::Nothing,
        }
    }

    pub fn keep(&self, listing: Listing) -> Arc<Listing> {
        let listing = Arc::new(listing);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { listing: Some(Arc::clone(&listing)), failed: None };
        listing
    }

    fn fail(&self, now: DateTime<Utc>, asked: Option<Duration>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed = Some((now, asked.unwrap_or_default().max(AFTER_FAILURE)));
    }

    /// Reads if it must. Returns the number of calls; the failure is told to the one that met it.
    pub async fn bring_up_to_date(
        &self,
        interval: Duration,
        now: DateTime<Utc>,
        read: impl AsyncFnOnce() -> (u32, Result<Listing, Answer>),
    ) -> Result<u32, Answer> {
        let _flight = self.flight.lock().await;
        if self.known(interval, now) != Known::Nothing {
            return Ok(0);
        }
        let unfinished = Unfinished { shared: self, now, is_over: false };
        let (calls, read) = read().await;
        unfinished.end();
        match read {
            Ok(listing) => {
                self.keep(listing);
                Ok(calls)
            }
            Err(answer) => {
                self.fail(now, asked_for(&answer));
                Err(Answer { calls_beside: calls, ..answer })
            }
        }
    }
}

/// A read that is given up on the way has failed.
struct Unfinished<'a> {
    shared: &'a Shared,
    now: DateTime<Utc>,
    is_over: bool,
}

impl Unfinished<'_> {
    fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.fail(self.now, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::Outcome;

    const INTERVAL: Duration = Duration::from_mins(5);

    fn at(secs: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + secs, 0).unwrap()
    }

    fn listed(gdf_id: &str, number: &str) -> Listed {
        let (gdf_id, number) = (gdf_id.to_owned(), number.to_owned());
        Listed { gdf_id, number, purchased_at: None, is_of_channel: true }
    }

    #[test]
    fn it_is_used_for_one_interval_and_never_from_the_future() {
        let shared = Shared::default();
        assert_eq!(shared.known(INTERVAL, at(0)), Known::Nothing);

        shared.keep(Listing::of(Vec::new(), false, at(0)));

        let next_in = |now| match shared.known(INTERVAL, at(now)) {
            Known::Young { next_in, .. } => Some(next_in.as_secs()),
            _ => None,
        };
        assert_eq!([next_in(0), next_in(299), next_in(300), next_in(-1)], [Some(300), Some(1), None, None]);
    }

    #[tokio::test]
    async fn of_many_that_ask_at_once_one_reads_and_one_is_told_of_a_failure() {
        let shared = Shared::default();
        let reads = std::cell::Cell::new(0);
        let read = async || {
            reads.set(reads.get() + 1);
            tokio::task::yield_now().await;
            (1, Err(Outcome::Throttled { not_before: Some(Duration::from_secs(90)) }.into()))
        };

        let told = futures::future::join_all((0..20).map(|_| shared.bring_up_to_date(INTERVAL, at(0), read))).await;

        assert_eq!(reads.get(), 1);
        assert_eq!(told.iter().filter(|told| told.is_err()).count(), 1);
        assert_eq!(shared.known(INTERVAL, at(60)), Known::Failed { next_in: Duration::from_secs(30) });
        assert_eq!(shared.known(INTERVAL, at(90)), Known::Nothing);
    }

    #[tokio::test]
    async fn one_that_is_given_up_on_the_way_has_failed() {
        let shared = Shared::default();

        let never = shared.bring_up_to_date(INTERVAL, at(0), async || std::future::pending().await);
        assert!(tokio::time::timeout(Duration::ZERO, never).await.is_err());

        assert_eq!(shared.known(INTERVAL, at(0)), Known::Failed { next_in: AFTER_FAILURE });
    }

    #[test]
    fn one_order_on_two_pages_is_one_and_other_channels_only_count_as_there() {
        let other = Listed { is_of_channel: false, ..listed("G-3", "7") };

        let listing = Listing::of(vec![listed("G-1", "7"), listed("G-1", "7"), other], false, at(0));

        assert_eq!(listing.under("7"), [listed("G-1", "7")]);
        assert!(listing.has("G-3") && !listing.has("G-2"));
    }
}
