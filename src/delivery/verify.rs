//! Reads back what stands in a destination, within its call budget and behind everything else that wants a call.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;

use super::{budget::Class, driver::Driver};
use crate::domain::{
    delivery::Reason,
    reconciliation::{Holding, Seen},
};

impl Driver {
    /// Most orders that [`Driver::verify`] takes at once; none: the destination cannot be asked.
    pub fn verifies(&self) -> Option<usize> {
        self.sink.verifies()
    }

    /// What the destination says of these orders of one lane: one for each, in their order. Nothing is written, but for the
    /// calls that it took.
    pub async fn verify(&self, lane: &str, held: &[Holding]) -> Vec<Seen> {
        let turns = self.turns(lane, Class::Verification);
        let asked = AssertUnwindSafe(self.sink.verify(held, &turns, self.clock.now())).catch_unwind().await;
        let untold = |reason: Reason| Seen::Untold(reason.as_str().to_owned());
        let mut seen = asked.unwrap_or_else(|_| vec![untold(Reason::Panicked); held.len()]);
        seen.resize(held.len(), untold(Reason::UnreadableAnswer));
        self.end_reading(turns).await;
        seen
    }
}
