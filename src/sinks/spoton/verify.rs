//! What a restaurant's own report says of orders that we hold there, to be compared with our receipts.
//!
//! One reading of a location's report from the oldest order on serves all of them. A record is ours by SpotOn's id, else
//! by our reference; what merely looks alike proves nothing here. An order that the report does not show is not taken for
//! one that does not stand: SpotOn promises no report in which everything is seen.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    client::{Client, Missed},
    plan::Held,
    wire::{Seen as Record, SeenState},
};
use crate::{
    domain::reconciliation::{Holding, Seen},
    sinks::{OUT_OF_CALLS, Turns, untold},
};

/// A change of ours may not show yet.
const NOT_VISIBLE_YET: &str = "not_visible_yet";
/// The report does not show it.
const NOT_SEEN: &str = "not_seen";
/// Its record has no total.
const TOTAL_UNTOLD: &str = "total_untold";
/// Its record does not say whether it was cancelled.
const STATE_UNTOLD: &str = "state_untold";
const UNREADABLE_RECEIPT: &str = "unreadable_receipt";

/// One for each, in their order. `visible_after`: when a change is certainly in the report.
pub async fn verify(
    client: &Client,
    visible_after: Duration,
    holdings: &[Holding],
    turns: &dyn Turns,
    now: DateTime<Utc>,
) -> Vec<Seen> {
    let mut seen: Vec<Option<Seen>> = vec![None; holdings.len()];
    let mut by_location = HashMap::<String, Location>::new();
    for (at, holding) in holdings.iter().enumerate() {
        match Held::of(Some(&holding.receipt), holding.external_id.as_deref()) {
            Ok(Some(held)) => by_location.entry(held.location_id.clone()).or_default().expect(at, held, now),
            Ok(None) | Err(_) => seen[at] = Some(Seen::Untold(UNREADABLE_RECEIPT.to_owned())),
        }
    }
    for (location_id, expected) in &by_location {
        let mut visit = |record: &Value| {
            if let Some((at, held)) = expected.find(record) {
                seen[at] = Some(compared(held, &holdings[at], Record::listed(record), visible_after));
            }
        };
        let oldest = expected.oldest.unwrap_or(now);
        let read = client.each_order(location_id, oldest, turns, now, &mut visit).await;
        for (at, held) in &expected.held {
            let missing = || match &read {
                Ok(()) => unseen(held, &holdings[*at], visible_after),
                Err(Missed::NoTurn) => Seen::Untold(OUT_OF_CALLS.to_owned()),
                Err(Missed::Failed(answer)) => untold(answer),
            };
            seen[*at].get_or_insert_with(missing);
        }
    }
    seen.into_iter().map(|seen| seen.unwrap_or_else(|| Seen::Untold(NOT_SEEN.to_owned()))).collect()
}

/// What is expected at one location.
#[derive(Debug, Default)]
struct Location {
    /// With the positions among the holdings.
    held: Vec<(usize, Held)>,
    /// Positions in `held`.
    by_id: HashMap<String, usize>,
    by_reference: HashMap<String, usize>,
    oldest: Option<DateTime<Utc>>,
}

impl Location {
    fn expect(&mut self, at: usize, held: Held, now: DateTime<Utc>) {
        let n = self.held.len();
        self.by_id.extend(held.order_id.clone().map(|id| (id, n)));
        self.by_reference.insert(held.reference.clone(), n);
        let submitted_at = held.submitted_at.unwrap_or(now);
        self.oldest = Some(self.oldest.map_or(submitted_at, |oldest| oldest.min(submitted_at)));
        self.held.push((at, held));
    }

    fn find(&self, record: &Value) -> Option<(usize, &Held)> {
        let by_id = Record::listed(record).id().and_then(|id| self.by_id.get(&id));
        let reference = || record.get("external_reference_id").and_then(Value::as_str);
        // An order whose id we know is no other one, whatever that one is called.
        let by_reference = || {
            let n = self.by_reference.get(reference()?.trim())?;
            self.held[*n].1.order_id.is_none().then_some(n)
        };
        let (at, held) = self.held.get(*by_id.or_else(by_reference)?)?;
        Some((*at, held))
    }
}

fn compared(held: &Held, holding: &Holding, record: Record<'_>, visible_after: Duration) -> Seen {
    let code = |code: &str| Seen::Untold(code.to_owned());
    let worth = match (record.state(), record.cents("/totals/grand_total")) {
        (SeenState::Canceled, _) => 0,
        (SeenState::Untold, _) if !held.is_standing() => return code(STATE_UNTOLD),
        (SeenState::Standing | SeenState::Untold, Some(total)) => total,
        (SeenState::Standing | SeenState::Untold, None) => return code(TOTAL_UNTOLD),
    };
    // What we changed a moment ago may be what it will be.
    if worth != holding.posted && holding.since < visible_after { code(NOT_VISIBLE_YET) } else { Seen::Worth(worth) }
}

fn unseen(held: &Held, holding: &Holding, visible_after: Duration) -> Seen {
    if !held.is_standing() {
        return Seen::Worth(0);
    }
    let why = if holding.since < visible_after { NOT_VISIBLE_YET } else { NOT_SEEN };
    Seen::Untold(why.to_owned())
}
