//! Documents of many orders, for sinks that post those.
//!
//! ```text
//!  order: pending ──plan notes its part──▶ waits ──closed──▶ waits ──the document is applied──▶ applied
//!                                            │                                 ▲
//!  document:                                 └──▶ pending ──▶ … ──▶ applied ───┘
//! ```
//!
//! A document is a row of `summaries`, which holds the parts it was closed with, and a delivery with the document's id in
//! place of an order's: leased, written down, sent, looked up, parked and retried as any other. Closing is one statement:
//! whoever waits for the document then is in it, whoever is being worked on or comes later is not and goes into another,
//! and whoever is in it stays in it, whatever version comes next. So its content stands before anything is sent, and what an
//! order holds of it follows from the database alone.
//!
//! Closing before every claim is needed for correctness: an order that still waits [`CLOSES_WITHIN`] after the closing was
//! left out. Waking the orders once their document stands only saves time.
//!
//! [`CLOSES_WITHIN`]: crate::domain::delivery::CLOSES_WITHIN

use std::time::Duration;

use chrono::{DateTime, Utc};
use tracing::info;

use super::driver::{Driver, report};
use crate::{
    domain::{
        delivery::{Plan, State, WaitingFor},
        ids::OrderKey,
    },
    sinks::{Counterpart, InSummary, Summaries, Summary},
    store::{self, StoreError, deliveries::Claimed, summaries::Summarised},
};

/// An order looks again after this, if nobody wakes it.
const SWEEP: Duration = Duration::from_mins(5);

impl Driver {
    /// Closes the documents whose time is over.
    pub(super) async fn close_summaries(&self) -> Result<(), StoreError> {
        if !self.sink.summaries().is_some_and(Summaries::gathers) {
            return Ok(());
        }
        for id in store::summaries::close(&self.pool, &self.name, SWEEP, self.clock.offset_ms()).await? {
            info!(sink.name = %self.name, summary = id, "summary closed");
        }
        Ok(())
    }

    /// Reads what claimed deliveries have to do with closed documents: nothing can be planned for them without.
    pub(super) async fn read_summaries<'a>(
        &self,
        claimed: impl Iterator<Item = &'a mut Claimed>,
    ) -> Result<(), StoreError> {
        if self.sink.summaries().is_none() {
            return Ok(());
        }
        store::summaries::read(&self.pool, &self.name, claimed).await
    }

    /// Plans a document, or an order that is a part of one; none: it is neither.
    pub(super) fn plan_summarised(&self, claimed: &Claimed, now: DateTime<Utc>) -> Option<Plan> {
        let (summaries, summarised) = (self.sink.summaries()?, claimed.summarised.as_ref()?);
        Some(match summarised {
            Summarised::Document(parts) => super::attempt::left_in_doubt(claimed).unwrap_or_else(|| {
                summaries.plan_summary(&Summary {
                    key: &claimed.key,
                    version: claimed.wanted,
                    receipt: claimed.receipt.as_ref(),
                    parts,
                    refused: claimed.refused_for,
                    now,
                })
            }),
            Summarised::Part { gathered, document } => match document.state {
                State::Pending | State::InFlight | State::InDoubt | State::Parked => {
                    Plan::wait(SWEEP, WaitingFor::Summary)
                }
                State::Applied | State::Skipped => summaries.plan_part(&InSummary {
                    receipt: claimed.receipt.as_ref(),
                    gathered,
                    document: Counterpart {
                        state: document.state,
                        external_id: document.external_id.as_deref(),
                        receipt: document.receipt.as_ref(),
                    },
                }),
            },
        })
    }

    /// Wakes the orders of documents among what was applied.
    pub(super) async fn wake_parts(&self, applied: &[OrderKey]) {
        if self.sink.summaries().is_none() || applied.is_empty() {
            return;
        }
        if let Err(error) = store::summaries::wake(&self.pool, &self.name, applied, self.clock.offset_ms()).await {
            report("orders of a summary not woken", &self.name, &error, Duration::ZERO, 1);
        }
    }
}
