//! The only place that reads a clock.
//!
//! Three clocks, never mixed: the *database's* `now()` plus an offset decides about leases, due times and budgets;
//! the *boot* clock measures durations, counts suspension, and guards deadlines right before a request is sent; the
//! *wall* clock only labels things for people.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

/// What is added to the database's `now()`: zero in production, moved by tests instead of waiting.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    moved: Arc<Notify>,
}

impl Clock {
    /// That of a daemon. A test may start one later than it is, instead of waiting for a lease to end.
    pub fn of_process() -> Self {
        let clock = Self::default();
        #[cfg(feature = "failpoints")]
        if let Some(ms) = std::env::var("SCOFFABLE_SYNC_LATER_BY_MS").ok().and_then(|text| text.parse().ok()) {
            clock.advance(Duration::from_millis(ms));
        }
        clock
    }

    /// The offset as SQL takes it, in milliseconds.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Moves time forward. Only tests and simulations call this.
    pub fn advance(&self, by: Duration) {
        self.offset_ms.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Boot clock plus offset: for waits that tests must be able to skip.
    pub fn elapsed(&self) -> Duration {
        BootInstant::now().0 + Duration::from_millis(self.offset_ms().max(0) as u64)
    }

    /// Waits until [`Clock::elapsed`] is so much. Tests that move time are not waited for.
    pub async fn sleep_until(&self, elapsed: Duration) {
        loop {
            // Made before the look at the time, so that no move is missed.
            let moved = self.moved.notified();
            let left = elapsed.saturating_sub(self.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = moved => {}
            }
        }
    }

    /// Wall clock plus offset: for labels and for the signature time of a request, never for leases.
    pub fn wall(&self) -> DateTime<Utc> {
        Utc::now() + chrono::Duration::milliseconds(self.offset_ms())
    }
}

/// An instant on a clock that goes on while the machine is suspended or the process is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    pub fn now() -> Self {
        #[cfg(target_os = "linux")]
        let id = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let id = rustix::time::ClockId::Monotonic;
        let t = rustix::time::clock_gettime(id);
        Self(Duration::new(t.tv_sec as u64, t.tv_nsec as u32))
    }

    /// Time left until this instant; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

impl std::ops::Add<Duration> for BootInstant {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0 + by)
    }
}
