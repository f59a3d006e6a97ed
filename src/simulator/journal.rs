//! What a simulator was asked, and what it answered.
//!
//! Shared by all simulators. It keeps the newest entries up to a bound, while counts, rates and overlaps are kept for
//! ever. It never holds a credential: callers name a request by *scopes* such as `token:main` or `account:main`.
//! Calls of the first scope that run side by side are noticed; an entry is open until its [`Call`] is dropped, which
//! also happens when the client goes away.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::Notify;

use super::limits::{Gauge, MINUTE};

/// How many entries are kept unless asked otherwise.
const CAPACITY: usize = 100_000;

/// One request. `status` is `None` while it runs, and for ever when no answer was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 1, without gaps.
    pub seq: u64,
    /// Since the simulator's start.
    pub at: Duration,
    pub method: String,
    pub path: String,
    /// The raw query string, empty when there was none.
    pub query: String,
    /// What the request counts for, the most specific first.
    pub scopes: Vec<String>,
    pub status: Option<u16>,
    /// The name of the fault that was played, if any.
    pub fault: Option<&'static str>,
    /// Another call of the same first scope was still running when this one arrived.
    pub overlapped: bool,
}

/// A condition did not become true before its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the condition did not become true in time")]
pub struct TimedOut;

/// A clonable handle on one journal.
#[derive(Debug, Clone)]
pub struct Journal {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    capacity: usize,
    entries: VecDeque<Entry>,
    total: u64,
    answers: BTreeMap<u16, u64>,
    faults: BTreeMap<&'static str, u64>,
    scopes: BTreeMap<String, Scope>,
}

#[derive(Debug, Default)]
struct Scope {
    rate: Gauge,
    running: u32,
    overlaps: u64,
}

/// What is known of a request when it arrives.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    pub at: Duration,
    pub method: String,
    pub path: String,
    pub query: String,
    pub scopes: Vec<String>,
}

impl Default for Journal {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Journal {
    pub fn with_capacity(capacity: usize) -> Self {
        let state = State { capacity, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), changed: Arc::new(Notify::new()) }
    }

    /// Writes the request down and counts it; the call runs until the returned value is dropped.
    pub fn begin(&self, arrival: Arrival) -> Call {
        let mut state = self.state();
        state.total += 1;
        let seq = state.total;
        let first = arrival.scopes.first().cloned();
        let mut overlapped = false;
        for (position, name) in arrival.scopes.iter().enumerate() {
            let scope = state.scopes.entry(name.clone()).or_default();
            scope.rate.count(arrival.at, MINUTE);
            if position == 0 {
                overlapped = scope.running > 0;
                scope.overlaps += u64::from(overlapped);
                scope.running += 1;
            }
        }
        if state.entries.len() == state.capacity {
            state.entries.pop_front();
        }
        let Arrival { at, method, path, query, scopes } = arrival;
        state.entries.push_back(Entry { seq, at, method, path, query, scopes, status: None, fault: None, overlapped });
        drop(state);
        self.changed.notify_waiters();
        Call { journal: self.clone(), seq, scope: first }
    }

    /// The kept entries, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.state().entries.iter().cloned().collect()
    }

    /// How many kept entries fulfil a condition.
    pub fn count(&self, condition: impl Fn(&Entry) -> bool) -> usize {
        self.state().entries.iter().filter(|entry| condition(entry)).count()
    }

    /// All requests ever, also those no longer kept.
    pub fn total(&self) -> u64 {
        self.state().total
    }

    /// Answers by status, over all time.
    pub fn answers(&self) -> BTreeMap<u16, u64> {
        self.state().answers.clone()
    }

    /// Faults played, by name, over all time.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.state().faults.clone()
    }

    /// The most requests of this scope, answered or refused, in any 60 s.
    pub fn most_per_minute(&self, scope: &str) -> usize {
        self.state().scopes.get(scope).map_or(0, |scope| scope.rate.most())
    }

    /// How many requests of this scope arrived while another one of it still ran.
    pub fn overlaps(&self, scope: &str) -> u64 {
        self.state().scopes.get(scope).map_or(0, |scope| scope.overlaps)
    }

    /// How many calls of this scope, as their first one, run right now.
    pub fn running(&self, scope: &str) -> u32 {
        self.state().scopes.get(scope).map_or(0, |scope| scope.running)
    }

    /// The names of all scopes seen.
    pub fn scopes(&self) -> Vec<String> {
        self.state().scopes.keys().cloned().collect()
    }

    /// Waits for a condition, which is looked at whenever a request begins or ends.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&Self) -> bool,
        deadline: Duration,
    ) -> Result<(), TimedOut> {
        let wait = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if condition(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(deadline, wait).await.map_err(|_| TimedOut)
    }

    /// Makes those who wait look again, for what is not a request.
    pub fn touch(&self) {
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the journal is held")
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub struct Call {
    journal: Journal,
    seq: u64,
    scope: Option<String>,
}

impl Call {
    /// Notes the fault that is being played on this request.
    pub fn plays(&self, fault: &'static str) {
        let mut state = self.journal.state();
        *state.faults.entry(fault).or_default() += 1;
        if let Some(entry) = state.entry(self.seq) {
            entry.fault = Some(fault);
        }
    }

    /// Notes what is answered. A call that is only dropped was never answered.
    pub fn answers(self, status: u16) {
        let mut state = self.journal.state();
        *state.answers.entry(status).or_default() += 1;
        if let Some(entry) = state.entry(self.seq) {
            entry.status = Some(status);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.journal.state();
        if let Some(scope) = self.scope.as_ref().and_then(|name| state.scopes.get_mut(name)) {
            scope.running -= 1;
        }
        drop(state);
        self.journal.changed.notify_waiters();
    }
}

impl State {
    fn entry(&mut self, seq: u64) -> Option<&mut Entry> {
        let first = self.entries.front()?.seq;
        self.entries.get_mut(usize::try_from(seq.checked_sub(first)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(at: u64, token: &str) -> Arrival {
        Arrival {
            at: Duration::from_secs(at),
            scopes: vec![format!("token:{token}"), "account:a".to_owned()],
            ..Arrival::default()
        }
    }

    #[test]
    fn entries_are_bounded_while_counts_are_not() {
        let journal = Journal::with_capacity(2);
        for at in 0..5 {
            journal.begin(arrival(at, "t")).answers(200);
        }

        assert_eq!(journal.entries().iter().map(|e| e.seq).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(journal.total(), 5);
        assert_eq!(journal.answers()[&200], 5);
        assert_eq!(journal.most_per_minute("account:a"), 5);
    }

    #[test]
    fn calls_side_by_side_are_noticed_per_token_and_not_per_account() {
        let journal = Journal::default();
        let first = journal.begin(arrival(0, "t"));
        let other = journal.begin(arrival(0, "u"));
        assert_eq!(journal.overlaps("token:t"), 0);
        let second = journal.begin(arrival(1, "t"));
        assert_eq!(journal.overlaps("token:t"), 1);

        drop((first, second, other));
        journal.begin(arrival(2, "t")).answers(200);

        assert_eq!(journal.overlaps("token:t"), 1);
        assert_eq!(journal.overlaps("account:a"), 0);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_condition_holds_and_fails_at_the_deadline() {
        let journal = Journal::default();
        let waiting = journal.wait_until(|j| j.total() == 1, Duration::from_secs(30));
        let asking = async { journal.begin(arrival(0, "t")).answers(200) };
        assert_eq!(tokio::join!(waiting, asking).0, Ok(()));

        assert_eq!(journal.wait_until(|j| j.total() == 2, Duration::ZERO).await, Err(TimedOut));
    }
}
