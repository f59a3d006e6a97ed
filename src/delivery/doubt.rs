//! Steps whose answers were lost, or that a lost worker may have sent: repeated while that is safe, else looked up.
//!
//! A call that carried several is repeated whole, with the same bytes and so under the same key, while all of its members are
//! at hand; each alone would have a key of its own, which the destination does not know.
//!
//! Nothing else is planned for such a delivery. Its schedule counts from the sending, not from the claims, and that
//! nothing is seen there proves something only once whatever was sent must have arrived.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use futures::FutureExt;

use super::{
    attempt::{lease_of, of_one_call, tried},
    breaker::Signal,
    decide::{NO_ANSWER, Sending, decide_finding, several_alike},
    driver::{Driver, Ended, Held, report},
    rules::Reached,
};
use crate::{
    boundary::{Boundary, reach},
    clock::BootInstant,
    domain::delivery::{Outcome, PendingStep, Reason, Receipt, Repeat, Sent, Step},
    sinks::{Answer, Doubt, Finding, LookedUp},
    store::{
        self,
        deliveries::{AttemptRecord, Linked, Next, Pending, Settlement},
    },
};

/// A delivery whose step is in doubt.
#[derive(Debug)]
struct Doubtful {
    held: Held,
    pending: PendingStep,
    times: Pending,
}

impl Driver {
    /// Takes deliveries in doubt one step on: one look-up for all that need one.
    pub(super) async fn settle_doubts(&self, doubtful: Vec<Held>, started: DateTime<Utc>) -> Vec<Ended> {
        let mut ended = Vec::new();
        let mut unseen: Vec<Doubtful> = Vec::new();
        let mut groups = BTreeMap::<String, Vec<Doubtful>>::new();
        for held in doubtful {
            let Some(times) = held.claimed.pending.clone() else { continue };
            let Ok(pending) = serde_json::from_value::<PendingStep>(times.step.clone()) else {
                ended.push(self.unreadable(&held, started));
                continue;
            };
            let doubtful = Doubtful { held, pending, times };
            let group = doubtful.pending.group.as_ref().map(|place| place.id.clone());
            let is_repeated = may_be_repeated(&doubtful.pending, doubtful.times.first_sent, self.call_limit());
            match (is_repeated, group) {
                (false, _) => unseen.push(doubtful),
                (true, Some(group)) => groups.entry(group).or_default().push(doubtful),
                (true, None) if doubtful.held.can_pay() => {
                    ended.extend(self.repeat(&doubtful.held, &doubtful.pending, started).await);
                }
                (true, None) => ended.push(self.without_a_call(&doubtful.held)),
            }
        }
        for mut members in groups.into_values() {
            if is_whole(&mut members) {
                unseen.extend(self.repeat_group(members, &mut ended, started).await);
            } else {
                unseen.extend(members);
            }
        }
        let Some(payer) = unseen.iter().position(|doubtful| doubtful.held.can_pay()) else {
            ended.extend(unseen.iter().map(|doubtful| self.without_a_call(&doubtful.held)));
            return ended;
        };
        unseen.swap(0, payer);
        let payer = &unseen[0].held;
        let doubts: Vec<Doubt<'_>> = unseen
            .iter()
            .map(|Doubtful { held, pending, times }| Doubt {
                key: &held.claimed.key,
                step: &pending.step,
                sent: times.last_sent,
            })
            .collect();
        if !payer.is_its_turn().await {
            ended.extend(unseen.iter().map(|doubtful| self.without_a_call(&doubtful.held)));
            return ended;
        }
        payer.spend_call();
        reach(Boundary::LookUpSending);
        let look_up = std::panic::AssertUnwindSafe(self.sink.look_up(&doubts, started)).catch_unwind();
        let seen = tokio::time::timeout(self.call_limit(), look_up).await;
        reach(Boundary::LookUpAnswered);
        let LookedUp { mut findings, calls } = match seen {
            Ok(Ok(looked_up)) => looked_up,
            Ok(Err(_)) => LookedUp::of(vec![failed(Reason::Panicked); doubts.len()], 1),
            Err(_) => LookedUp::of(vec![failed(Reason::Timeout); doubts.len()], 1),
        };
        findings.resize_with(doubts.len(), || failed(Reason::UnreadableAnswer));
        self.note_told(payer, &calls.limits, calls.made.saturating_sub(1)).await;
        let mut looked_up = Vec::new();
        for (Doubtful { held, pending, times }, finding) in unseen.iter().zip(findings) {
            let finding = self.chosen(held, finding).await;
            looked_up.push(self.found(held, pending, times, finding, started));
        }
        ended.extend(of_one_call(looked_up));
        ended
    }

    /// Of several that look alike: the one that is linked to no other order yet, which is linked to this one from now on.
    async fn chosen(&self, held: &Held, finding: Finding) -> Finding {
        let Finding::OneOf(mut receipts) = finding else { return finding };
        let ids: Vec<String> = receipts.iter().filter_map(|receipt| receipt.external_id.clone()).collect();
        let linking = store::deliveries::link_one_of(&self.pool, lease_of(held), &ids);
        match self.pool.bounded("deliveries.link", linking).await {
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

    /// The same call again, of which all members are here in their places. Returns those that are to be looked up after all.
    async fn repeat_group(
        &self,
        members: Vec<Doubtful>,
        ended: &mut Vec<Ended>,
        started: DateTime<Utc>,
    ) -> Vec<Doubtful> {
        let Some(payer) = members.iter().position(|member| member.held.can_pay()) else { return members };
        members[payer].held.approach_turn().await;
        let deadline = BootInstant::now() + self.lease;
        let size = members.len();
        let mut held = Vec::new();
        for member in members {
            if self.extend(&member.held).await {
                held.push(member);
            }
        }
        if held.len() < size {
            return held;
        }
        let version = held[payer].pending.version;
        let payer = &held[payer].held;
        if !payer.is_its_turn().await {
            ended.extend(held.iter().map(|member| self.without_a_call(&member.held)));
            return Vec::new();
        }
        let steps: Vec<&Step> = held.iter().map(|member| &member.pending.step).collect();
        if !self.still_lasts([deadline]) {
            return Vec::new();
        }
        let Some(answers) = self.send_group(payer, version, &steps, started).await else { return held };
        let end = |(member, answer): (&Doubtful, Answer)| {
            let again = Some((&member.pending.step, Sending::Again));
            self.ended(&member.held, member.pending.version, again, started, answer)
        };
        ended.extend(of_one_call(held.iter().zip(answers).map(end).collect()));
        Vec::new()
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
        let decision = decide_finding(self.policy(Some(step)), tried, times.last_sent, &finding);
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

/// Whether a step in doubt, first sent so long ago, is sent again rather than looked up: of a group, if that is whole.
pub fn may_be_repeated(pending: &PendingStep, first_sent: Duration, call_limit: Duration) -> bool {
    match pending.step.repeat {
        Repeat::Within(window) => first_sent + call_limit < window,
        Repeat::Once => pending.group.is_none(),
        Repeat::Safe | Repeat::Never => false,
    }
}

/// Whether these are all members of their group, which are put in their places.
fn is_whole(members: &mut [Doubtful]) -> bool {
    let place = |member: &Doubtful| member.pending.group.as_ref().map(|place| (place.position, place.size));
    members.sort_by_key(place);
    let size = members.len() as u32;
    members.iter().zip(0..).all(|(member, position)| place(member) == Some((position, size)))
}

fn failed(reason: Reason) -> Finding {
    Finding::Failed(Outcome::Retry { reason, sent: Sent::No, not_before: None }.into())
}

/// For a look-up that went well and told nothing.
fn nothing_learnt() -> Answer {
    Outcome::Delivered(Receipt::default()).into()
}
