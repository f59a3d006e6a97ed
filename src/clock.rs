//! The only place that reads a clock.
//!
//! Three clocks, never mixed: the *database's* `now()` plus an offset decides about leases, due times, budgets and ages of
//! orders; the *boot* clock measures durations, counts suspension, and guards deadlines right before a request is sent; the
//! *wall* clock of this machine, which anybody may set, only labels things for people.

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
    /// By how many microseconds the database's clock was ahead of the boot clock when it was heard last; [`NOT_HEARD`] before.
    ahead_us: Arc<Ahead>,
    moved: Arc<Notify>,
}

const NOT_HEARD: i64 = i64::MIN;

#[derive(Debug)]
struct Ahead(AtomicI64);

impl Default for Ahead {
    fn default() -> Self {
        Self(AtomicI64::new(NOT_HEARD))
    }
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

    /// Wall clock plus offset: for labels, never for a decision about an order.
    pub fn wall(&self) -> DateTime<Utc> {
        wall_clock() + chrono::Duration::milliseconds(self.offset_ms())
    }

    /// Takes note of the database's time as a statement told it that was just answered, with this offset. What is labelled by it
    /// is never later than what the database does next.
    pub fn hear(&self, database: DateTime<Utc>, offset_ms: i64) {
        let ahead = database.timestamp_micros() - offset_ms * 1000 - BootInstant::now().0.as_micros() as i64;
        self.ahead_us.0.store(ahead, Ordering::Relaxed);
    }

    /// The database's time as it was heard last, plus what went by since and the offset; the wall clock before. Whatever is
    /// done to the clock of this machine, an order is as old as the database says.
    pub fn now(&self) -> DateTime<Utc> {
        let ahead = self.ahead_us.0.load(Ordering::Relaxed);
        if ahead == NOT_HEARD {
            return self.wall();
        }
        let now = BootInstant::now().0.as_micros() as i64 + ahead + self.offset_ms() * 1000;
        DateTime::from_timestamp_micros(now).unwrap_or_else(|| self.wall())
    }
}

/// What this machine says. The proof sets it wrong by what a file says, in milliseconds.
fn wall_clock() -> DateTime<Utc> {
    #[cfg(feature = "failpoints")]
    if let Some(file) = std::env::var_os("SCOFFABLE_SYNC_WRONG_BY_MS_FILE") {
        let wrong_by = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        return Utc::now() + chrono::Duration::milliseconds(wrong_by);
    }
    Utc::now()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_what_the_database_said_and_not_what_this_machine_says() {
        let clock = Clock::default();
        assert!((clock.now() - clock.wall()).abs() < chrono::Duration::seconds(60), "nothing was heard yet");
        let yesterday = clock.wall() - chrono::Duration::days(1);

        clock.hear(yesterday, 0);

        assert!(clock.now() >= yesterday - chrono::Duration::milliseconds(1));
        assert!(clock.now() - yesterday < chrono::Duration::seconds(60));
    }

    #[test]
    fn a_move_of_time_counts_once_whether_it_came_before_or_after_the_database_was_heard() {
        let clock = Clock::default();
        let database = clock.wall();
        clock.advance(Duration::from_hours(1));
        clock.hear(database + chrono::Duration::hours(1), clock.offset_ms());
        assert!((clock.now() - database - chrono::Duration::hours(1)).abs() < chrono::Duration::seconds(60));

        clock.advance(Duration::from_hours(2));

        assert!((clock.now() - database - chrono::Duration::hours(3)).abs() < chrono::Duration::seconds(60));
    }
}
