//! Steps whose answers were lost, or that a lost worker may have sent: repeated while that is safe, else looked up.
//!
//! Nothing else is planned for such a delivery. Its schedule counts from the sending, not from the claims, and that
//! nothing is seen there proves something only once whatever was sent must have arrived.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;

use super::{
    attempt::{lease_of, tried},
    breaker::Signal,
    decide::{NO_ANSWER, Sending, decide_finding, several_alike},
    driver::{Driver, Ended, Held, report},
    rules::Reached,
};
use crate::{
    boundary::{Boundary, reach},
    clock::BootInstant,
    domain::delivery::{Outcome, PendingStep, Reason, Receipt, Repeat, Sent},
    sinks::{Answer, Doubt, Finding},
    store::{
        self,
        deliveries::{AttemptRecord, Linked, Next, Pending, Settlement},
    },
};

impl Driver {
    /// Takes deliveries in doubt one step on: one look-up for all that need one.
    pub(super) async fn settle_doubts(&self, doubtful: Vec<Held>, started: DateTime<Utc>) -> Vec<Ended> {
        let mut ended = Vec::new();
        let mut unseen: Vec<(Held, PendingStep, Pending)> = Vec::new();
        for held in doubtful {
            let Some(pending) = held.claimed.pending.clone() else { continue };
            let Ok(step) = serde_json::from_value::<PendingStep>(pending.step.clone()) else {
                ended.push(self.unreadable(&held, started));
                continue;
            };
            match step.step.repeat {
                Repeat::Within(window) if pending.first_sent + self.call_limit() < window => {
                    ended.extend(self.repeat(&held, &step, started).await);
                }
                Repeat::Once => ended.extend(self.repeat(&held, &step, started).await),
                _ => unseen.push((held, step, pending)),
            }
        }
        if unseen.is_empty() {
            return ended;
        }
        let doubts: Vec<Doubt<'_>> = unseen
            .iter()
            .map(|(held, pending, times)| Doubt { key: &held.claimed.key, step: &pending.step, sent: times.last_sent })
            .collect();
        if !unseen[0].0.is_its_turn().await {
            ended.extend(unseen.iter().map(|(held, ..)| self.without_a_call(held)));
            return ended;
        }
        unseen[0].0.spend_call();
        reach(Boundary::LookUpSending);
        let look_up = std::panic::AssertUnwindSafe(self.sink.look_up(&doubts, started)).catch_unwind();
        let seen = tokio::time::timeout(self.call_limit(), look_up).await;
        reach(Boundary::LookUpAnswered);
        let mut findings = match seen {
            Ok(Ok(findings)) => findings,
            Ok(Err(_)) => vec![failed(Reason::Panicked); doubts.len()],
            Err(_) => vec![failed(Reason::Timeout); doubts.len()],
        };
        findings.resize_with(doubts.len(), || failed(Reason::UnreadableAnswer));
        if let Finding::Failed(answer) = &findings[0] {
            self.note_limits(&unseen[0].0, answer).await;
        }
        for ((held, pending, times), finding) in unseen.iter().zip(findings) {
            let finding = self.chosen(held, finding).await;
            ended.push(self.found(held, pending, times, finding, started));
        }
        ended
    }

    /// Of several that look alike: the one that is linked to no other order yet, which is linked to this one from now on.
    async fn chosen(&self, held: &Held, finding: Finding) -> Finding {
        let Finding::OneOf(mut receipts) = finding else { return finding };
        let ids: Vec<String> = receipts.iter().filter_map(|receipt| receipt.external_id.clone()).collect();
        match store::deliveries::link_one_of(&self.pool, lease_of(held), &ids).await {
            Ok(Linked::To(id)) => {
                receipts.retain(|receipt| receipt.external_id.as_ref() == Some(&id));
                receipts.pop().map_or(Finding::NotFound, Finding::Stands)
            }
            Ok(Linked::NoneLeft) => Finding::NotFound,
            Ok(Linked::SeveralLeft) => several_alike(),
            Ok(Linked::LeaseLost) => failed(Reason::WorkerLost),
            Err(error) => {
                report("what looks alike not linked", &self.name, &error, Duration::ZERO, 1);
                failed(Reason::UnreadableAnswer)
            }
        }
    }

    /// The same key and bytes again, where and while that is safe.
    async fn repeat(&self, held: &Held, pending: &PendingStep, started: DateTime<Utc>) -> Option<Ended> {
        let deadline = BootInstant::now() + self.lease;
        if !self.extend(held).await {
            return None;
        }
        self.send(held, pending.version, &pending.step, Sending::Again, deadline, started).await
    }

    fn found(
        &self,
        held: &Held,
        pending: &PendingStep,
        times: &Pending,
        finding: Finding,
        started: DateTime<Utc>,
    ) -> Ended {
        let step = &pending.step;
        let tried = tried(&held.claimed, Some(step), Sending::Again);
        let decision = decide_finding(self.policy(), tried, times.last_sent, &finding);
        let is_absent = decision.reached == Reached::No;
        let answer = match finding {
            Finding::Stands(receipt) => Outcome::Delivered(receipt).into(),
            Finding::Failed(answer) => answer,
            Finding::Missing(receipt) if is_absent => Outcome::Delivered(receipt).into(),
            Finding::NotFound | Finding::Missing(_) | Finding::OneOf(_) | Finding::Ambiguous { .. } => nothing_learnt(),
        };
        let attempt =
            AttemptRecord { step: Some(format!("look up {}", step.name)), ..self.record(&held.claimed, started) };
        let ended = self.concluded(held, pending.version, Some(step), decision, answer, attempt);
        if !is_absent {
            return ended;
        }
        // Nothing of this step stands; of what was applied before it something may.
        let sent = match held.claimed.receipt {
            Some(_) => ended.settlement.sent,
            None => held.claimed.progress.applied,
        };
        Ended { settlement: Settlement { sent, ..ended.settlement }, ..ended }
    }

    fn unreadable(&self, held: &Held, started: DateTime<Utc>) -> Ended {
        let hint = "the stored step cannot be read by this version of the program: update it";
        let next = Next::InDoubt { look_up_in: None, reason: NO_ANSWER, hint: hint.to_owned() };
        let attempt = AttemptRecord { outcome: Some("unknown"), ..self.record(&held.claimed, started) };
        Ended { settlement: Settlement { next, attempt, ..self.settlement(held) }, signal: Signal::Silent }
    }
}

fn failed(reason: Reason) -> Finding {
    Finding::Failed(Outcome::Retry { reason, sent: Sent::No, not_before: None }.into())
}

/// For a look-up that went well and told nothing.
fn nothing_learnt() -> Answer {
    Outcome::Delivered(Receipt::default()).into()
}
