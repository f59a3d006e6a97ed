//! Reads back what stands in a destination, within its call budget and behind everything else that wants a call.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};

use super::{
    budget::{Ask, Class},
    calls::{Budget, Call},
    driver::{Driver, report},
};
use crate::{
    clock::Clock,
    domain::{
        delivery::Reason,
        ids::SinkName,
        limits::LearnedLimit,
        reconciliation::{Holding, Seen},
    },
    sinks::Turns,
};

/// Longest wait for one call. Longer than a minute, so that a minute's limit is waited for; of an hour or a day, what is
/// left goes to orders.
const PATIENCE: Duration = Duration::from_mins(2);
/// Shortest wait before the budget is asked again.
const SHORTEST_REST: Duration = Duration::from_millis(50);

impl Driver {
    /// Most orders that [`Driver::verify`] takes at once; none: the destination cannot be asked.
    pub fn verifies(&self) -> Option<usize> {
        self.sink.verifies()
    }

    /// What the destination says of these orders of one lane: one for each, in their order. Nothing is written, but for the
    /// calls that it took.
    pub async fn verify(&self, lane: &str, held: &[Holding]) -> Vec<Seen> {
        let pace =
            Pace { sink: &self.name, budget: self.budget.as_ref(), lane, clock: &self.clock, call: Mutex::default() };
        let asked = AssertUnwindSafe(self.sink.verify(held, &pace, self.clock.wall())).catch_unwind().await;
        let untold = |reason: Reason| Seen::Untold(reason.as_str().to_owned());
        let mut seen = asked.unwrap_or_else(|_| vec![untold(Reason::Panicked); held.len()]);
        seen.resize(held.len(), untold(Reason::UnreadableAnswer));
        drop(pace);
        self.settle_budget().await;
        seen
    }
}

/// Hands out calls of the lowest class, one after the other.
struct Pace<'a> {
    sink: &'a SinkName,
    budget: Option<&'a Arc<Budget>>,
    lane: &'a str,
    clock: &'a Clock,
    /// The one that was made last.
    call: Mutex<Option<Call>>,
}

impl Pace<'_> {
    async fn wait(&self) -> bool {
        let Some(budget) = self.budget else { return true };
        let until = self.clock.elapsed() + PATIENCE;
        loop {
            let ask = Ask { lane: self.lane.to_owned(), class: Class::Verification, calls: 1 };
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

impl Turns for Pace<'_> {
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
