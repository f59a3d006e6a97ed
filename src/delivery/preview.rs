//! A dry run: what would be done for deliveries as they stand now. Nothing is leased, sent or written; what many orders share
//! at a destination may be read there.

use serde::Serialize;

use super::driver::Driver;
use crate::{
    domain::{
        delivery::{PendingStep, Plan, Receipt, State, Step},
        ids::{OrderKey, SinkName, SourceName, Version},
    },
    store::{
        StoreError,
        deliveries::{self, Claimed, Peek},
    },
};

/// One delivery and what would be done for it.
#[derive(Debug)]
pub struct Preview {
    pub order: OrderKey,
    pub state: State,
    pub applied: Option<Version>,
    /// The version that is next for it.
    pub version: Version,
    pub action: Action,
}

/// What would be done.
#[derive(Debug, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// This would be sent; further steps may follow, planned from its answer.
    Send(Step),
    /// The destination holds it already.
    Nothing {
        notice: Option<String>,
    },
    Skip {
        reason: String,
    },
    Wait {
        waiting_for: String,
        seconds: u64,
    },
    /// This would be sent, if the sink were allowed to.
    Withhold {
        #[serde(flatten)]
        step: Step,
        waiting_for: String,
    },
    /// What many orders share at the destination could not be read.
    Read,
    Park {
        reason: String,
        hint: String,
    },
    /// A step was sent without an answer: it is settled first.
    LookUp {
        step: String,
    },
    /// It is being worked on right now.
    Leave,
}

impl Driver {
    /// Plans pending deliveries in the order in which they would be claimed, or those of some orders in whatever state.
    /// What many orders share at the destination is read for it, if a plan lacks it and it can be had.
    pub async fn preview(
        &self,
        source: Option<&SourceName>,
        order_ids: &[String],
        limit: u32,
    ) -> Result<Vec<Preview>, StoreError> {
        let peek = Peek { sink: &self.name, after: self.rules.after.as_ref(), source, order_ids, limit };
        let offset = self.clock.offset_ms();
        let mut found = deliveries::peek(&self.pool, &peek, offset).await?;
        if let Some((_, first)) = found.first() {
            self.clock.hear(first.claimed_at, offset);
        }
        self.read_summaries(found.iter_mut().map(|(_, claimed)| claimed)).await?;
        let mut actions: Vec<Action> = found.iter().map(|(state, claimed)| self.action(*state, claimed)).collect();
        if actions.iter().any(|action| matches!(action, Action::Read)) && self.prepared(self.clock.now()).await.is_ok()
        {
            actions = found.iter().map(|(state, claimed)| self.action(*state, claimed)).collect();
        }
        let previews = found.into_iter().zip(actions).map(|((state, claimed), action)| Preview {
            version: claimed.snapshot.as_ref().map_or(claimed.wanted, |snapshot| snapshot.version),
            applied: claimed.progress.applied,
            order: claimed.key.order,
            state,
            action,
        });
        Ok(previews.collect())
    }

    pub fn name(&self) -> &SinkName {
        &self.name
    }

    fn action(&self, state: State, claimed: &Claimed) -> Action {
        if state == State::InFlight {
            return Action::Leave;
        }
        if let Some(pending) = &claimed.pending {
            let step = serde_json::from_value::<PendingStep>(pending.step.clone()).map(|pending| pending.step.name);
            return Action::LookUp { step: step.unwrap_or_else(|_| "step".to_owned()) };
        }
        if let Some(plan) = self.plan_summarised(claimed, self.clock.now()) {
            return self.of_plan(plan, claimed);
        }
        let Some(snapshot) = &claimed.snapshot else { return Action::Nothing { notice: None } };
        self.of_plan(self.plan(claimed, snapshot, self.clock.now()), claimed)
    }

    fn of_plan(&self, plan: Plan, claimed: &Claimed) -> Action {
        match plan {
            Plan::Send(step) => Action::Send(step),
            Plan::Settled(receipt) | Plan::Stands { receipt, .. } => Action::Nothing { notice: receipt.notice },
            Plan::Skip { reason, .. } => Action::Skip { reason: reason.to_string() },
            Plan::Wait { wait, waiting_for, .. } => {
                Action::Wait { waiting_for: waiting_for.to_string(), seconds: wait.as_secs() }
            }
            Plan::Withhold { step, waiting_for, .. } => Action::Withhold { step, waiting_for: waiting_for.to_string() },
            Plan::Note(noted) => self.noted(noted, claimed),
            Plan::Unread => Action::Read,
            Plan::Park { reason, hint, .. } => Action::Park { reason: reason.to_owned(), hint },
        }
    }

    /// What comes after a note.
    fn noted(&self, noted: Receipt, claimed: &Claimed) -> Action {
        let Some(snapshot) = &claimed.snapshot else { return Action::Nothing { notice: None } };
        let after = Claimed {
            receipt: noted.receipt.or_else(|| claimed.receipt.clone()),
            external_id: noted.external_id.or_else(|| claimed.external_id.clone()),
            ..claimed.clone()
        };
        self.of_plan(self.plan(&after, snapshot, self.clock.now()), &after)
    }
}
