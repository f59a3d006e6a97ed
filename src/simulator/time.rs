//! A simulator's time: since its start, on a clock that tests can move forward.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::{BootInstant, Clock};

/// Never runs backwards. Moving the shared [`Clock`] forward moves every simulator that was given it.
#[derive(Debug, Clone)]
pub struct SimTime {
    clock: Clock,
    offset_at_start_ms: i64,
    started: BootInstant,
    started_at: DateTime<Utc>,
}

impl SimTime {
    pub fn start(clock: Clock) -> Self {
        Self { offset_at_start_ms: clock.offset_ms(), started: BootInstant::now(), started_at: clock.wall(), clock }
    }

    pub fn elapsed(&self) -> Duration {
        let moved = (self.clock.offset_ms() - self.offset_at_start_ms).max(0) as u64;
        self.started.elapsed() + Duration::from_millis(moved)
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.started_at + self.elapsed()
    }
}
