//! Turns for readings that no order waits for: each call is reserved in the sink's budget, behind everything more urgent, and
//! is one of those that the destination takes at a time.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;

use super::{
    budget::{Ask, Class},
    calls::{Budget, Call},
    driver::{Driver, report},
    slots::{NONE_FREE, Slots},
};
use crate::{
    clock::Clock,
    domain::{ids::SinkName, limits::LearnedLimit},
    sinks::Turns,
    store::StoreError,
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
            slot: self.slots.as_ref().map(Slots::for_reading),
            lane,
            class,
            clock: &self.clock,
            call: Mutex::default(),
        }
    }

    /// Gives back what was reserved and not used, and keeps what answers told.
    pub async fn end_reading(&self, turns: Readings<'_>) {
        turns.give_slot_back().await;
        drop(turns);
        self.settle_budget().await;
    }
}

/// Hands out calls of one class, one after the other.
pub struct Readings<'a> {
    sink: &'a SinkName,
    budget: Option<&'a Arc<Budget>>,
    /// None: the destination takes any number of calls at a time.
    slot: Option<Slots>,
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
        let until = self.clock.elapsed() + PATIENCE;
        loop {
            let rest = match self.ask().await {
                Ok(ControlFlow::Break(())) => return true,
                Ok(ControlFlow::Continue(rest)) => rest,
                Err(error) => {
                    report("call not reserved", self.sink, &error, Duration::ZERO, 1);
                    return false;
                }
            };
            let again_at = self.clock.elapsed() + rest.max(SHORTEST_REST);
            if again_at > until {
                return false;
            }
            self.clock.sleep_until(again_at).await;
        }
    }

    /// Whether a call may be made now; else when to ask again. Nothing is held meanwhile.
    async fn ask(&self) -> Result<ControlFlow<(), Duration>, StoreError> {
        if let Some(slot) = &self.slot
            && slot.hold(1).await? == 0
        {
            return Ok(ControlFlow::Continue(NONE_FREE));
        }
        let Some(budget) = self.budget else { return Ok(ControlFlow::Break(())) };
        let ask = Ask { lane: self.lane.to_owned(), class: self.class, calls: 1 };
        let reserved = budget.reserve(&[ask], 1).await?;
        if let Some(call) = reserved.calls.into_iter().flatten().next()
            && call.is_its_turn().await
        {
            call.spend();
            self.keep(Some(call));
            return Ok(ControlFlow::Break(()));
        }
        self.give_slot_back().await;
        Ok(ControlFlow::Continue(reserved.opens_in.into_iter().flatten().next().unwrap_or_default()))
    }

    async fn give_slot_back(&self) {
        if let Some(slot) = &self.slot
            && let Err(error) = slot.hold(0).await
        {
            report("slot not given back", self.sink, &error, Duration::ZERO, 1);
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
            self.give_slot_back().await;
            let Some(call) = self.keep(None) else { return };
            if let Err(error) = call.answered(limits, calls_beside).await {
                report("limits not noted", self.sink, &error, Duration::ZERO, 1);
            }
        })
    }
}
