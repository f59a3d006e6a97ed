//! Calls in progress at a destination that limits them for all who call it: `concurrency` is what all processes of one
//! database have together, in slots that are rows.
//!
//! Slots are held before deliveries are claimed for them, prolonged while something is under way, and given back when nothing
//! is. A reading that no order waits for holds one for each of its calls, as another owner. A process that is stopped for longer
//! than its lease and goes on may be in progress beside who has its slots by then; the destination refuses what is too much, and
//! that costs no attempt.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{sync::OnceCell, time::Instant};

use crate::{
    clock::Clock,
    domain::ids::SinkName,
    store::{self, StoreError, line::Line, slots::Hold},
};

/// How long one waits to look again when others hold all slots.
pub(super) const NONE_FREE: Duration = Duration::from_millis(250);

/// A process's slots at one sink.
#[derive(Debug)]
pub struct Slots {
    pool: Line,
    clock: Clock,
    sink: SinkName,
    owner: String,
    /// Of all processes together.
    most: u32,
    lease: Duration,
    created: OnceCell<()>,
    held: AtomicU32,
    prolong_at: Mutex<Option<Instant>>,
}

impl Slots {
    pub fn new(sink: &SinkName, owner: &str, most: u32, lease: Duration, pool: &Line, clock: &Clock) -> Self {
        Self {
            pool: pool.clone(),
            clock: clock.clone(),
            sink: sink.clone(),
            owner: owner.to_owned(),
            most,
            lease,
            created: OnceCell::new(),
            held: AtomicU32::new(0),
            prolong_at: Mutex::new(None),
        }
    }

    /// The same slots for a reading, which holds its own beside those of this process's deliveries.
    pub(super) fn for_reading(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            clock: self.clock.clone(),
            sink: self.sink.clone(),
            owner: format!("{} reading {:08x}", self.owner, rand::random::<u32>()),
            created: self.created.clone(),
            held: AtomicU32::new(0),
            prolong_at: Mutex::new(None),
            ..*self
        }
    }

    /// Holds so many from now on, or as many as others leave. Returns how many those are.
    pub(super) async fn hold(&self, wanted: u32) -> Result<u32, StoreError> {
        if wanted == 0 && self.held() == 0 {
            return Ok(0);
        }
        self.created.get_or_try_init(|| store::slots::create(&self.pool, &self.sink, self.most)).await?;
        let prolong_at = Instant::now() + self.lease / 3;
        let (sink, owner, most, lease) = (&self.sink, self.owner.as_str(), self.most, self.lease);
        let hold = Hold { sink, owner, wanted: wanted.min(most), most, lease };
        let held = store::slots::hold(&self.pool, hold, self.clock.offset_ms()).await?;
        self.held.store(held, Ordering::Relaxed);
        *self.prolong_at.lock().expect("nothing panics with it") = (held > 0).then_some(prolong_at);
        Ok(held)
    }

    /// As of the last time that it was asked for.
    pub(super) fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// When those that are in use have to be held anew. None: none is held.
    pub(super) fn prolong_at(&self) -> Option<Instant> {
        *self.prolong_at.lock().expect("nothing panics with it")
    }
}
