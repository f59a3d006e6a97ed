//! `godatafeed`: tells GoDataFeed that an order was taken over, shipped or cancelled.
//!
//! GoDataFeed imports orders from the marketplaces itself; nothing can create one there. So an order waits here for its
//! counterpart there, and for the other sink (`after`) that gives it the number it is acknowledged with. An order without a
//! counterpart is normal. The new orders are listed once for all that wait ([`listing`]); [`plan`] decides, [`mapping`]
//! says what is told, [`wire`] in which names, [`client`] and [`token`] speak.
//!
//! The documentation describes the order of things and leaves the requests open, so each undocumented choice is a key of
//! [`config`], and nothing is written before a person has confirmed them.
//!
//! Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API"; API v1 and v2 Reference, introductions.

pub mod client;
pub mod config;
pub mod listing;
pub mod mapping;
pub mod plan;
pub mod ship_time;
pub mod template;
pub mod token;
pub mod wire;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use self::{
    config::GodatafeedSettings,
    listing::{Known, Listing, Shared},
    plan::Held,
    wire::Listed,
};
use super::{Answer, Calls, Doubt, Finding, LookedUp, Rehearsal, Sink, View, links::ProductCopy};
use crate::{
    clock::Clock,
    domain::{
        delivery::{Outcome, Plan, Reason, Receipt, Sent, Step},
        ids::SinkName,
        order::Status,
    },
};

pub const KIND: &str = "godatafeed";

/// Calls in any 60 seconds. GoDataFeed's bucket holds 50 and loses 2 a second, so that 40 at once fit at any time.
/// Source: GoDataFeed API v1 Reference, introduction.
pub const CALLS_PER_MINUTE: u32 = 40;

/// An account at GoDataFeed.
#[derive(Debug)]
pub struct Godatafeed {
    settings: GodatafeedSettings,
    client: client::Client,
    new_orders: Shared,
}

impl Godatafeed {
    pub fn build(
        settings: &GodatafeedSettings,
        timeout: Duration,
        http: reqwest::Client,
        sink: &SinkName,
        clock: &Clock,
    ) -> Self {
        let auth = token::Auth::new(&settings.auth, &settings.base_url, &http, timeout, sink, clock);
        let client = client::Client::new(sink.clone(), http, settings.clone(), auth, timeout);
        Self { settings: settings.clone(), client, new_orders: Shared::default() }
    }

    /// Lists the new orders once.
    pub async fn list(&self, now: DateTime<Utc>) -> Result<Listing, Answer> {
        self.client.list(now).await.1
    }
}

impl Sink for Godatafeed {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn prepare(&self, now: DateTime<Utc>) -> BoxFuture<'_, Result<Calls, Answer>> {
        let interval = self.settings.poll_interval;
        Box::pin(async move {
            let made =
                self.new_orders.bring_up_to_date(interval, now, async move || self.client.list(now).await).await?;
            Ok(Calls { made, limits: Vec::new() })
        })
    }

    fn plan(&self, view: &View<'_>) -> Plan {
        plan::plan(&self.settings, &self.new_orders.known(self.settings.poll_interval, view.now), view)
    }

    /// Every order is presumed to be new there.
    fn rehearsal<'a>(&'a self, _: &'a ProductCopy) -> Rehearsal<'a> {
        Box::new(|view| {
            let there = Listed {
                gdf_id: "(its id there)".to_owned(),
                number: mapping::marketplace_number(view.key.order.order_id.as_str(), &self.settings),
                purchased_at: None,
                is_of_channel: true,
            };
            let listing = Arc::new(Listing::of(vec![there], false, view.now));
            plan::plan(&self.settings, &Known::Young { listing, next_in: self.settings.poll_interval }, view)
        })
    }

    fn send<'a>(&'a self, step: &'a Step, now: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(self.client.send(step, now))
    }

    /// Only acknowledgements are looked up: one that is not new any more was acknowledged.
    fn look_up<'a>(&'a self, doubts: &'a [Doubt<'a>], now: DateTime<Utc>) -> BoxFuture<'a, LookedUp> {
        Box::pin(async move {
            match self.client.list(now).await {
                (calls, Ok(listing)) => {
                    let listing = self.new_orders.keep(listing);
                    LookedUp::of(doubts.iter().map(|doubt| found(doubt, &listing)).collect(), calls)
                }
                (calls, Err(answer)) => LookedUp::of(vec![Finding::Failed(answer); doubts.len()], calls),
            }
        })
    }

    /// Whatever was listed late is acknowledged again under the same number, which changes nothing.
    fn visible_after(&self, _: &Step) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    fn blocked_hint(&self, reason: Reason) -> &'static str {
        match reason {
            Reason::Misconfigured => {
                "GoDataFeed does not know what is asked for, or lists orders in another form: correct templates, pointers \
                 and base_url by the account's API collection, then restart"
            }
            _ => {
                "GoDataFeed refuses the token: make a new one in its app, or check the consumer key; a probe goes on by \
                 itself"
            }
        }
    }

    /// Only a new order is acknowledged with the other sink's number.
    fn needs_counterpart(&self, status: &Status) -> bool {
        *status == Status::Accepted
    }

    fn has_a_say(&self, status: &Status, receipt: Option<&serde_json::Value>) -> bool {
        plan::has_a_say(status, receipt, self.settings.cancel_rejected)
    }
}

fn found(doubt: &Doubt<'_>, listing: &Arc<Listing>) -> Finding {
    let Ok(Some(held)) = Held::of(doubt.step.receipt.as_ref()) else {
        return Finding::Ambiguous { hint: "the stored step cannot be read: report it".to_owned() };
    };
    if listing.has(&held.gdf_id) {
        return Finding::NotFound;
    }
    if listing.may_be_cut {
        // It may be behind the end: a shorter list will tell.
        let unknown = Outcome::Retry { reason: Reason::UnreadableAnswer, sent: Sent::No, not_before: None };
        return Finding::Failed(unknown.into());
    }
    Finding::Stands(Receipt { external_id: Some(held.gdf_id), ..Receipt::default() })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::simulator::limits::{LeakyBucket, Limit, SlidingWindow};

    proptest! {
        /// The limit only counts, so calls may come in bursts, also at the edge of two minutes.
        #[test]
        fn no_calls_within_the_limit_overflow_the_bucket(pauses in prop::collection::vec(0_u64..4_000, 300)) {
            let mut allowed = SlidingWindow::new(Limit::per_minute(CALLS_PER_MINUTE));
            let mut bucket = LeakyBucket::new(50, NonZeroU32::new(2).unwrap());
            let mut now = Duration::ZERO;
            // Every other call follows the one before at once.
            for pause in pauses.into_iter().flat_map(|pause| [pause, 0, 0]) {
                now += Duration::from_millis(pause);
                now += allowed.wait(now);
                allowed.take(now);
                prop_assert!(bucket.wait(now).is_zero(), "at {now:?}");
                bucket.take(now);
            }
        }
    }
}
