//! Turns for readings that no order waits for: each call is reserved in the sink's budget, behind everything more urgent.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;

use super::{
    budget::{Ask, Class},
    calls::{Budget, Call},
    driver::{Driver, report},
};
use crate::{
    clock::Clock,
    domain::{ids::SinkName, limits::LearnedLimit},
    sinks::Turns,
};

/// Longest wait for one call. Longer than a minute, so that a minute's limit is waited for; of an hour or a day, what is
/// left goes to orders.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// Shortest wait before the budget is asked again.
const SHORTEST_REST: Duration = Duration::from_millis(50);

impl Driver {
    /// Turns of one class for one reading; to be ended by [`Driver::end_reading`].
    pub fn turns<'a>(&'a self, lane: &'a str, class: Class) -> Readings<'a> {
        Readings {
            sink: &self.name,
            budget: self.budget.as_ref(),
            lane,
            class,
            clock: &self.clock,
            call: Mutex::default(),
        }
    }

    /// Gives back what was reserved and not used, and keeps what answers told.
    pub async fn end_reading(&self, turns: Readings<'_>) {
        drop(turns);
        self.settle_budget().await;
    }
}

/// Hands out calls of one class, one after the other.
pub struct Readings<'a> {
    sink: &'a SinkName,
    budget: Option<&'a Arc<Budget>>,
    lane: &'a str,
    class: Class,
    clock: &'a Clock,
    /// The one that was made last.
    call: Mutex<Option<Call>>,
}

impl std::fmt::Debug for Readings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readings").field("sink", self.sink).field("class", &self.class).finish_non_exhaustive()
    }
}

impl Readings<'_> {
    async fn wait(&self) -> bool {
        let Some(budget) = self.budget else { return true };
        let until = self.clock.elapsed() + PATIENCE;
        loop {
            let ask = Ask { lane: self.lane.to_owned(), class: self.class, calls: 1 };
            let reserved = match budget.reserve(&[ask], 1).await {
                Ok(reserved) => reserved,
                Err(error) => {
                    report("call not reserved", self.sink, &error, Duration::ZERO, 1);
                    return false;
                }
            };
            if let Some(call) = reserved.calls.into_iter().flatten().next()
                && call.is_its_turn().await
            {
                call.spend();
                self.keep(Some(call));
                return true;
            }
            let opens_in = reserved.opens_in.into_iter().flatten().next().unwrap_or_default();
            let again_at = self.clock.elapsed() + opens_in.max(SHORTEST_REST);
            if again_at > until {
                return false;
            }
            self.clock.sleep_until(again_at).await;
        }
    }

    /// Returns the one before.
    fn keep(&self, call: Option<Call>) -> Option<Call> {
        std::mem::replace(&mut *self.call.lock().unwrap_or_else(PoisonError::into_inner), call)
    }
}

impl Turns for Readings<'_> {
    fn next(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.wait())
    }

    fn heard<'a>(&'a self, limits: &'a [LearnedLimit], calls_beside: u32) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Some(call) = self.keep(None) else { return };
            if let Err(error) = call.answered(limits, calls_beside).await {
                report("limits not noted", self.sink, &error, Duration::ZERO, 1);
            }
        })
    }
}
