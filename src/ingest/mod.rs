//! Turns pages into stored order versions and owed deliveries, in one transaction per group of pages.
//!
//! One [`poller`] per source; [`schedule`] says, purely, what follows from a failed fetch; [`page`] decodes a page into
//! what is stored; [`rewalk`] reads the last hours again on a timer and holds them against what is stored. Needed for correctness: the lease epoch that fences every commit, and the cursor written with the
//! pages before it. Only saving work: fetching ahead, and committing together what arrived meanwhile.
//!
//! Knows nothing about sinks: what is owed to whom follows from the `sinks` table inside the commit.

pub mod page;
pub mod poller;
pub mod quarantine;
pub mod rewalk;
pub mod schedule;

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes every sink's loop after a commit, so that nothing waits for the next look. Losing a wake-up costs time only.
#[derive(Debug, Clone, Default)]
pub struct WakeUps(Vec<Arc<Notify>>);

impl WakeUps {
    /// One more loop to wake.
    pub fn add(&mut self) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        self.0.push(Arc::clone(&notify));
        notify
    }

    pub fn wake_all(&self) {
        for notify in &self.0 {
            notify.notify_one();
        }
    }
}
