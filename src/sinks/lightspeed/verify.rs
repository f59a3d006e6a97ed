//! What the shop itself says of orders that we hold there, to be compared with our receipts.
//!
//! Sales are read one by one. An order is worth its sales and returns; one that was voided, parked or deleted, or is not
//! found, is worth nothing, whoever took it back.

use chrono::{DateTime, Utc};

use super::{
    api::{Api, Asking},
    receipt::Held,
    wire::{self, State},
};
use crate::{
    domain::{
        money::Currency,
        reconciliation::{Holding, Seen},
    },
    sinks::{OUT_OF_CALLS, Turns, untold},
};

/// A sale's total or state cannot be read.
const TOTAL_UNTOLD: &str = "total_untold";
const UNREADABLE_RECEIPT: &str = "unreadable_receipt";

/// One for each, in their order. Each request has the whole of the sink's timeout, since each waits for its turn.
pub async fn all(api: &Api, holdings: &[Holding], turns: &dyn Turns, now: DateTime<Utc>) -> Vec<Seen> {
    let mut stopped = None;
    let mut seen = Vec::new();
    for holding in holdings {
        seen.push(match (&stopped, Held::of(Some(&holding.receipt))) {
            (_, Err(_)) => Seen::Untold(UNREADABLE_RECEIPT.to_owned()),
            (Some(stopped), _) => Seen::clone(stopped),
            (None, Ok(held)) => match worth(api, &held, turns, now).await {
                Ok(seen) => seen,
                Err(told) => {
                    stopped = Some(told.clone());
                    told
                }
            },
        });
    }
    seen
}

/// An error ends it for all that follow.
async fn worth(api: &Api, held: &Held, turns: &dyn Turns, now: DateTime<Utc>) -> Result<Seen, Seen> {
    let Some(currency) = held.currency else { return Ok(Seen::Worth(0)) };
    let mut worth = 0;
    for sale in held.standing() {
        let Some(id) = &sale.id else { continue };
        if !turns.next().await {
            return Err(Seen::Untold(OUT_OF_CALLS.to_owned()));
        }
        match Asking::new(api, now).sale(id).await {
            Ok(shown) => {
                turns.heard(&[], 0).await;
                match shown.map_or(Some(0), |shown| total(&shown.sale, currency)) {
                    Some(total) => worth += total,
                    None => return Ok(Seen::Untold(TOTAL_UNTOLD.to_owned())),
                }
            }
            Err(answer) => {
                turns.heard(&answer.limits, answer.calls_beside).await;
                return Err(untold(&answer));
            }
        }
    }
    Ok(Seen::Worth(worth))
}

/// In minor units. None: it is not told.
fn total(sale: &wire::Sale, currency: Currency) -> Option<i64> {
    if sale.deleted_at.is_some() {
        return Some(0);
    }
    match sale.state()? {
        State::Voided | State::Parked => Some(0),
        State::Pending | State::Closed => sale.total_minor(currency),
    }
}
