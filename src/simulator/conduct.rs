//! What every ledger notes of a client's conduct: what must never be seen, and what is being worked on side by side.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
};

/// More violations than this are only counted.
pub const KEPT_VIOLATIONS: usize = 1_000;

/// What a correct client never does, as far as it was seen.
#[derive(Debug)]
pub struct Violations<V> {
    kept: Vec<V>,
    count: usize,
}

impl<V> Default for Violations<V> {
    fn default() -> Self {
        Self { kept: Vec::new(), count: 0 }
    }
}

impl<V> Violations<V> {
    pub fn add(&mut self, violation: V) {
        self.count += 1;
        if self.kept.len() < KEPT_VIOLATIONS {
            self.kept.push(violation);
        }
    }

    /// Oldest first.
    pub fn kept(&self) -> &[V] {
        &self.kept
    }

    /// All of them, also those no longer kept.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Requests that are being worked on, by what they are about: two about the same are side by side.
pub struct InFlight<K, R>(Arc<Mutex<HashMap<K, Vec<R>>>>);

/// A request that is being worked on, until this is dropped: also when its client has left.
pub struct Working<K: Eq + Hash, R: PartialEq> {
    all: InFlight<K, R>,
    about: K,
    request: R,
}

impl<K, R> Default for InFlight<K, R> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, R> InFlight<K, R> {
    fn all(&self) -> MutexGuard<'_, HashMap<K, Vec<R>>> {
        self.0.lock().expect("nothing panics while the requests are held")
    }
}

impl<K: Clone + Eq + Hash, R: Copy + PartialEq> InFlight<K, R> {
    /// Also returns the oldest request about the same that is still being worked on.
    pub fn enter(&self, about: K, request: R) -> (Working<K, R>, Option<R>) {
        let mut all = self.all();
        let same = all.entry(about.clone()).or_default();
        let running = same.first().copied();
        same.push(request);
        (Working { all: Self(Arc::clone(&self.0)), about, request }, running)
    }

    pub fn count<Q: Eq + Hash + ?Sized>(&self, about: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.all().get(about).map_or(0, Vec::len)
    }
}

impl<K: Eq + Hash, R: PartialEq> Drop for Working<K, R> {
    fn drop(&mut self) {
        let mut all = self.all.all();
        let Some(same) = all.get_mut(&self.about) else { return };
        if let Some(at) = same.iter().position(|request| *request == self.request) {
            same.remove(at);
        }
        if same.is_empty() {
            all.remove(&self.about);
        }
    }
}

impl<K, R> fmt::Debug for InFlight<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InFlight({})", self.all().len())
    }
}

impl<K: Eq + Hash, R: PartialEq> fmt::Debug for Working<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Working").finish_non_exhaustive()
    }
}
