//! From what an attempt told us to what happens next. Pure, and the only place that decides it.

use std::time::Duration;

use super::{backoff, breaker::Signal, rules::Reached};
use crate::{
    config::{SinkCommon, Versions},
    domain::delivery::{Outcome, Reason, Repeat, Sent, WaitingFor},
    store::deliveries::Next,
};

/// What is fixed for a sink.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    pub rules: &'a SinkCommon,
    /// When an effect in doubt is looked up.
    pub read_back: &'a [Duration],
}

/// What was tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// 1-based.
    pub number: u32,
    /// How long this delivery has been failing before this attempt.
    pub failing_for: Option<Duration>,
    pub repeat: Repeat,
    /// Whether the step was the last of its plan.
    pub completes: bool,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub next: Next,
    /// Whether the effect reached the destination.
    pub reached: Reached,
    /// `attempts.outcome`.
    pub label: &'static str,
    pub reason: Option<Reason>,
    pub signal: Signal,
}

/// Decides. A wait never falls below what the destination asked for.
pub fn decide(policy: Policy<'_>, tried: Tried, outcome: &Outcome) -> Decision {
    match outcome {
        Outcome::Delivered(_) => Decision {
            next: if tried.completes { Next::Applied } else { continue_plan() },
            reached: Reached::Yes,
            label: "delivered",
            reason: None,
            signal: Signal::Well,
        },
        Outcome::Retry { reason, sent, not_before } => {
            let reached = match sent {
                Sent::No => Reached::No,
                Sent::Possibly => Reached::Possibly,
            };
            again(policy, tried, *reason, reached, *not_before, "retry")
        }
        Outcome::Unknown { reason } if tried.repeat == Repeat::Safe => {
            again(policy, tried, *reason, Reached::Possibly, None, "unknown")
        }
        Outcome::Unknown { reason } => Decision {
            next: Next::InDoubt {
                look_up_in: policy.read_back.first().copied(),
                hint:
                    "sent, and no answer came: it is looked up at the destination; if that cannot tell, adopt its id \
                       there, or retry when it certainly does not stand there"
                        .to_owned(),
            },
            reached: Reached::Possibly,
            label: "unknown",
            reason: Some(*reason),
            signal: Signal::Faulty,
        },
        Outcome::Throttled { not_before } => {
            let wait = not_before.unwrap_or_else(|| backoff::wait(&policy.rules.retry, tried.number));
            Decision {
                next: Next::Pending {
                    wait,
                    waiting_for: Some(WaitingFor::Retry.as_str()),
                    not_before: Some(wait),
                    failed: false,
                    refund: true,
                },
                reached: Reached::No,
                label: "throttled",
                reason: None,
                signal: Signal::Silent,
            }
        }
        Outcome::Blocked { reason } => Decision {
            next: Next::Pending {
                wait: policy.rules.breaker.probe, // and the open breaker may hold it back longer
                waiting_for: Some(WaitingFor::Breaker.as_str()),
                not_before: None,
                failed: false,
                refund: true,
            },
            reached: Reached::No,
            label: "blocked",
            reason: Some(*reason),
            signal: Signal::Blocked,
        },
        Outcome::Reject { reason } => Decision {
            next: Next::Parked {
                reason: reason.as_str().to_owned(),
                hint: reject_hint(*reason).to_owned(),
                curable: policy.rules.versions == Versions::Latest,
            },
            reached: Reached::No,
            label: "reject",
            reason: Some(*reason),
            signal: Signal::Well,
        },
    }
}

fn continue_plan() -> Next {
    Next::Pending { wait: Duration::ZERO, waiting_for: None, not_before: None, failed: false, refund: false }
}

fn again(
    policy: Policy<'_>,
    tried: Tried,
    reason: Reason,
    reached: Reached,
    asked: Option<Duration>,
    label: &'static str,
) -> Decision {
    let gave_up = tried.failing_for.is_some_and(|failing| failing >= policy.rules.retry.give_up_after);
    let next = if gave_up {
        Next::Parked {
            reason: "gave_up".to_owned(),
            hint: "it failed for as long as retry.give_up_after allows: see last_error, mend the cause, then retry it"
                .to_owned(),
            curable: policy.rules.versions == Versions::Latest,
        }
    } else {
        // A request whose answer was lost may still be under way: nothing newer overtakes it meanwhile.
        let grace =
            (reached == Reached::Possibly).then_some(policy.rules.request_timeout.min(policy.rules.retry.initial));
        let not_before = asked.max(grace);
        let wait = backoff::wait(&policy.rules.retry, tried.number).max(not_before.unwrap_or_default());
        Next::Pending { wait, waiting_for: Some(WaitingFor::Retry.as_str()), not_before, failed: true, refund: false }
    };
    Decision { next, reached, label, reason: Some(reason), signal: Signal::Faulty }
}

fn reject_hint(reason: Reason) -> &'static str {
    match reason {
        Reason::Redirected => "the address answers with a redirect: set the final address in the sink's table",
        Reason::NotFound => "the address does not exist there: check the sink's url, then retry it",
        Reason::Conflict => {
            "the destination says that this contradicts what it holds: look there, then retry or discard it"
        }
        Reason::Gone => "the destination does not take this any more: discard it, or correct the url and retry it",
        _ => "the destination refused it: see the answer in attempts, mend data or mapping, then retry or discard it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::RetrySettings, domain::delivery::Receipt};

    const RETRY: RetrySettings = RetrySettings {
        initial: Duration::from_secs(10),
        max: Duration::from_hours(1),
        slow_interval: Duration::from_hours(3),
        give_up_after: Duration::from_hours(72),
    };

    fn decide_for(versions: Versions, tried: Tried, outcome: &Outcome) -> Decision {
        let rules = SinkCommon { versions, retry: RETRY, ..SinkCommon::default() };
        decide(Policy { rules: &rules, read_back: &[Duration::from_secs(10)] }, tried, outcome)
    }

    fn first(repeat: Repeat) -> Tried {
        Tried { number: 1, failing_for: None, repeat, completes: true }
    }

    fn decided(outcome: &Outcome) -> Decision {
        decide_for(Versions::Latest, first(Repeat::Safe), outcome)
    }

    #[test]
    fn a_delivered_last_step_applies_the_version_and_an_earlier_one_goes_on_with_the_plan() {
        let delivered = Outcome::Delivered(Receipt::default());
        let middle = Tried { completes: false, ..first(Repeat::Safe) };

        assert_eq!(decided(&delivered).next, Next::Applied);
        assert_eq!(decide_for(Versions::Latest, middle, &delivered).next, continue_plan());
    }

    #[test]
    fn a_retry_never_comes_earlier_than_the_destination_asked() {
        let asked = Duration::from_mins(15);
        let outcome = Outcome::Retry { reason: Reason::ServerError, sent: Sent::Possibly, not_before: Some(asked) };

        let Next::Pending { wait, not_before, failed, refund, .. } = decided(&outcome).next else {
            panic!("not pending")
        };

        assert!(wait >= asked, "{wait:?}");
        assert_eq!((not_before, failed, refund), (Some(asked), true, false));
    }

    #[test]
    fn throttling_costs_no_attempt_and_is_no_failure() {
        let asked = Duration::from_secs(90);

        let decision = decided(&Outcome::Throttled { not_before: Some(asked) });

        let expected = Next::Pending {
            wait: asked,
            waiting_for: Some("retry"),
            not_before: Some(asked),
            failed: false,
            refund: true,
        };
        assert_eq!((decision.next, decision.signal), (expected, Signal::Silent));
    }

    #[test]
    fn a_lost_answer_repeats_a_safe_step_and_doubts_any_other() {
        let lost = Outcome::Unknown { reason: Reason::Timeout };

        let safe = decided(&lost);
        let once = decide_for(Versions::Latest, first(Repeat::Never), &lost);

        assert!(matches!(safe.next, Next::Pending { failed: true, .. }), "{safe:?}");
        assert!(matches!(once.next, Next::InDoubt { look_up_in: Some(_), .. }), "{once:?}");
        assert_eq!((safe.reached, once.reached), (Reached::Possibly, Reached::Possibly));
    }

    #[test]
    fn giving_up_is_by_elapsed_time_and_not_by_number() {
        let outcome = Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None };
        let just_before = Tried {
            number: 500,
            failing_for: Some(RETRY.give_up_after.checked_sub(Duration::from_millis(1)).unwrap()),
            ..first(Repeat::Safe)
        };
        let over = Tried { number: 2, failing_for: Some(RETRY.give_up_after), ..first(Repeat::Safe) };

        assert!(matches!(decide_for(Versions::Latest, just_before, &outcome).next, Next::Pending { .. }));
        let parked = decide_for(Versions::Latest, over, &outcome).next;
        assert!(matches!(&parked, Next::Parked { reason, .. } if reason == "gave_up"), "{parked:?}");
    }

    #[test]
    fn a_refusal_parks_and_only_the_latest_mode_is_cured_by_a_newer_version() {
        let refused = Outcome::Reject { reason: Reason::Unprocessable };

        for (versions, cured) in [(Versions::Latest, true), (Versions::Every, false)] {
            let decision = decide_for(versions, first(Repeat::Safe), &refused);
            assert!(matches!(decision.next, Next::Parked { curable, .. } if curable == cured), "{decision:?}");
            assert_eq!(decision.signal, Signal::Well, "the destination is fine");
        }
    }

    #[test]
    fn a_blocked_sink_gives_the_attempt_back() {
        let decision = decided(&Outcome::Blocked { reason: Reason::Unauthorized });

        assert!(matches!(decision.next, Next::Pending { refund: true, failed: false, .. }), "{decision:?}");
        assert_eq!((decision.signal, decision.reached), (Signal::Blocked, Reached::No));
    }
}
