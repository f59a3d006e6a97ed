//! From what an attempt told us to what happens next. Pure, and the only place that decides it.

use std::time::Duration;

use super::{backoff, breaker::Signal, rules::Reached};
use crate::{
    config::{SinkCommon, Versions},
    domain::delivery::{Outcome, Reason, Repeat, Sent, WaitingFor},
    sinks::Finding,
    store::deliveries::Next,
};

/// What is fixed for a sink.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    pub rules: &'a SinkCommon,
    /// When an effect in doubt is looked up, counted from its sending; ascending.
    pub read_back: &'a [Duration],
    /// From when on, counted from its sending, a look-up that sees nothing proves that there is nothing; none: never.
    pub absence_proven_after: Option<Duration>,
}

/// Label of a plan to wait.
pub const WAITS: &str = "waits";
/// Label of a plan that had nothing to send.
pub const UNCHANGED: &str = "unchanged";

/// What was tried.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// 1-based.
    pub number: u32,
    /// How long this delivery has been failing before this attempt.
    pub failing_for: Option<Duration>,
    /// How long the destination had been refusing a part of it before this attempt.
    pub refused_for: Option<Duration>,
    pub repeat: Repeat,
    /// Whether the step was the last of its plan.
    pub completes: bool,
    /// Whether an earlier sending of this very step may have had its effect.
    pub sending: Sending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    First,
    /// Only a confirmation settles it: no refusal of a repeat says what became of the first.
    Again,
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
    let decision = decide_alone(policy, tried, outcome);
    let lost = decision.reached == Reached::Possibly && tried.repeat.is_stored();
    if !lost && (tried.sending == Sending::First || decision.reached == Reached::Yes) {
        return decision;
    }
    let asked = match (outcome, &decision.next) {
        (Outcome::Retry { not_before, .. }, _) => *not_before,
        (Outcome::Throttled { .. } | Outcome::Blocked { .. }, Next::Pending { wait, .. }) => Some(*wait),
        _ => None,
    };
    let tells_nothing =
        matches!(outcome, Outcome::Retry { sent: Sent::No, .. } | Outcome::Throttled { .. } | Outcome::Blocked { .. });
    let next = if tried.repeat == Repeat::Once && tried.sending == Sending::Again && !tells_nothing {
        Next::InDoubt { look_up_in: None, reason: MAYBE_APPLIED, hint: MAYBE_APPLIED_HINT.to_owned() }
    } else {
        in_doubt(policy, Duration::ZERO, asked.unwrap_or_default().max(before_another(policy, tried)))
    };
    Decision { next, reached: Reached::Possibly, ..decision }
}

/// Why a delivery is in doubt.
pub const NO_ANSWER: &str = "no_answer";
/// The one repeat was refused, or lost again.
pub const MAYBE_APPLIED: &str = "maybe_applied";
const MAYBE_APPLIED_HINT: &str = "sent, no answer came, and its one repeat told nothing either: look at the destination; \
                                  if it stands there, adopt its id, if not, retry";

/// As for a step that was never sent before and may be sent again.
fn decide_alone(policy: Policy<'_>, tried: Tried, outcome: &Outcome) -> Decision {
    match outcome {
        Outcome::Delivered(receipt) if receipt.refused => refused(policy, tried),
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
        Outcome::Unknown { reason } => again(policy, tried, *reason, Reached::Possibly, None, "unknown"),
        Outcome::Throttled { not_before } => {
            let wait = not_before.unwrap_or_else(|| backoff::wait(&policy.rules.retry, tried.number));
            Decision {
                next: Next::Pending {
                    wait,
                    waiting_for: Some(WaitingFor::Retry.as_str()),
                    not_before: Some(wait),
                    failed: false,
                    refused: false,
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
                refused: false,
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

/// What a look-up leads to. `since` its last sending: absence is never concluded before everything that was sent by then
/// must have arrived and be seen.
pub fn decide_finding(policy: Policy<'_>, tried: Tried, since: Duration, finding: &Finding) -> Decision {
    match finding {
        Finding::Stands(receipt) => {
            let found = decide_alone(policy, tried, &Outcome::Delivered(receipt.clone()));
            Decision { label: "found", ..found }
        }
        Finding::NotFound | Finding::Missing(_)
            if policy.absence_proven_after.is_some_and(|proven| since >= proven) =>
        {
            Decision {
                next: continue_plan(),
                reached: Reached::No,
                label: "absent",
                reason: None,
                signal: Signal::Well,
            }
        }
        Finding::NotFound | Finding::Missing(_) => Decision {
            next: in_doubt(policy, since, Duration::ZERO),
            reached: Reached::Possibly,
            label: "not_found",
            reason: None,
            signal: Signal::Well,
        },
        // The engine has chosen before; what is left is for a person.
        Finding::OneOf(_) => decide_finding(policy, tried, since, &several_alike()),
        Finding::Ambiguous { hint } => Decision {
            next: Next::InDoubt { look_up_in: None, reason: NO_ANSWER, hint: hint.clone() },
            reached: Reached::Possibly,
            label: "ambiguous",
            reason: None,
            signal: Signal::Well,
        },
        Finding::Failed(answer) => {
            let failed = decide_alone(policy, tried, &answer.outcome);
            let wait = match &failed.next {
                Next::Pending { wait, .. } => *wait,
                _ => backoff::wait(&policy.rules.retry, tried.number),
            };
            // It is asked for as long as it takes: the destination being down tells nothing about the effect.
            Decision { next: still_in_doubt(wait), reached: Reached::Possibly, label: "look_up_failed", ..failed }
        }
    }
}

/// For a doubt about which several things are seen that may all be it.
pub fn several_alike() -> Finding {
    let hint = "several things stand at the destination that may be this: look there, then adopt the right one";
    Finding::Ambiguous { hint: hint.to_owned() }
}

/// For a doubt that could not be looked into.
pub fn still_in_doubt(look_up_in: Duration) -> Next {
    Next::InDoubt { look_up_in: Some(look_up_in), reason: NO_ANSWER, hint: DOUBT_HINT.to_owned() }
}

const DOUBT_HINT: &str = "sent, and no answer came: it is looked up at the destination; if that cannot tell, adopt its id \
                          there, or retry when it certainly does not stand there";

/// Looked up next at the first time of the schedule that is still to come; after the last one a person has to say.
fn in_doubt(policy: Policy<'_>, since: Duration, no_earlier: Duration) -> Next {
    let times = policy.read_back.iter().copied().chain(policy.absence_proven_after);
    let next = times.filter(|at| *at > since).min();
    let hint = match next {
        Some(_) => DOUBT_HINT,
        None => {
            "it could not be found out whether this stands at the destination: look there, then adopt, retry or discard"
        }
    };
    let look_up_in = next.map(|at| at.saturating_sub(since).max(no_earlier));
    Next::InDoubt { look_up_in, reason: NO_ANSWER, hint: hint.to_owned() }
}

/// Each repeat in vain is followed by a longer wait of the schedule; the last one is the longest.
fn before_another(policy: Policy<'_>, tried: Tried) -> Duration {
    let repeats = match tried.sending {
        Sending::First => 0,
        Sending::Again => tried.number.saturating_sub(1) as usize,
    };
    policy.read_back.get(repeats).or(policy.read_back.last()).copied().unwrap_or_default()
}

fn continue_plan() -> Next {
    Next::Pending {
        wait: Duration::ZERO,
        waiting_for: None,
        not_before: None,
        failed: false,
        refused: false,
        refund: false,
    }
}

/// The sink has noted what was refused, and its plan says when that is tried again; not for ever.
fn refused(policy: Policy<'_>, tried: Tried) -> Decision {
    let gave_up = tried.refused_for.is_some_and(|refused| refused >= policy.rules.retry.give_up_after);
    let next = if gave_up {
        gave_up_on(
            policy,
            "it was refused for as long as retry.give_up_after allows: see the answer in its attempts, mend the set-up \
             there, then retry it",
        )
    } else {
        Next::Pending {
            wait: Duration::ZERO,
            waiting_for: None,
            not_before: None,
            failed: false,
            refused: true,
            refund: false,
        }
    };
    Decision { next, reached: Reached::Yes, label: "refused", reason: None, signal: Signal::Well }
}

fn gave_up_on(policy: Policy<'_>, hint: &str) -> Next {
    let curable = policy.rules.versions == Versions::Latest;
    Next::Parked { reason: "gave_up".to_owned(), hint: hint.to_owned(), curable }
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
        gave_up_on(
            policy,
            "it failed for as long as retry.give_up_after allows: see last_error, mend the cause, then retry it",
        )
    } else {
        // A request whose answer was lost may still be under way: nothing newer overtakes it meanwhile.
        let grace =
            (reached == Reached::Possibly).then_some(policy.rules.request_timeout.min(policy.rules.retry.initial));
        let not_before = asked.max(grace);
        let wait = backoff::wait(&policy.rules.retry, tried.number).max(not_before.unwrap_or_default());
        Next::Pending {
            wait,
            waiting_for: Some(WaitingFor::Retry.as_str()),
            not_before,
            failed: true,
            refused: false,
            refund: false,
        }
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
        Reason::Misconfigured => {
            "the destination does not know what is asked for: correct the sink's configuration, then retry"
        }
        Reason::Gone => "the destination does not take this any more: discard it, or correct the url and retry it",
        Reason::RejectedBySpoton => {
            "SpotOn refused the order: see its answer in attempts; if it is about the customer set `customer_mode = \"none\"`, \
             else correct `vendors`, `enum_style` or `request_envelope`; then retry it, or ring it up by hand and discard it"
        }
        Reason::LocationOrMenuUnknown => {
            "SpotOn knows no such place: correct `location_id` and `menu_id` of the vendor, or `paths.submit`, then retry it"
        }
        Reason::OrderUnknown => {
            "SpotOn does not know the order that is to be cancelled: look at the POS and cancel it there, then discard \
             this; if none can be cancelled, correct `paths.cancel` and retry"
        }
        Reason::CancelRefused => {
            "SpotOn does not cancel the order, perhaps because it was made already: settle it at the restaurant, then \
             discard this"
        }
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
        decide(policy(&rules, None), tried, outcome)
    }

    fn policy(rules: &SinkCommon, absence_proven_after: Option<Duration>) -> Policy<'_> {
        const READ_BACK: &[Duration] = &[Duration::from_secs(10), Duration::from_mins(1), Duration::from_mins(15)];
        Policy { rules, read_back: READ_BACK, absence_proven_after }
    }

    /// What a look-up of a step that must not be repeated leads to.
    fn found(proven: Option<Duration>, since: Duration, finding: &Finding) -> Decision {
        let rules = SinkCommon { retry: RETRY, ..SinkCommon::default() };
        decide_finding(
            policy(&rules, proven),
            Tried { sending: Sending::Again, ..first(Repeat::Never) },
            since,
            finding,
        )
    }

    fn looked_up_in(decision: &Decision) -> Option<Duration> {
        match &decision.next {
            Next::InDoubt { look_up_in, .. } => *look_up_in,
            other => panic!("not in doubt: {other:?}"),
        }
    }

    fn first(repeat: Repeat) -> Tried {
        Tried { number: 1, failing_for: None, refused_for: None, repeat, completes: true, sending: Sending::First }
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
            refused: false,
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
    fn what_is_refused_goes_on_with_the_plan_and_is_given_up_in_the_end() {
        let outcome = Outcome::Delivered(Receipt { refused: true, ..Receipt::default() });
        let refused_for =
            |refused_for| decide_for(Versions::Latest, Tried { refused_for, ..first(Repeat::Safe) }, &outcome);
        let almost = RETRY.give_up_after.checked_sub(Duration::from_millis(1));

        for not_yet in [None, almost] {
            let decision = refused_for(not_yet);
            assert!(matches!(decision.next, Next::Pending { refused: true, failed: false, .. }), "{decision:?}");
            assert_eq!(decision.label, "refused");
        }
        let parked = refused_for(Some(RETRY.give_up_after)).next;
        assert!(matches!(&parked, Next::Parked { reason, curable: true, .. } if reason == "gave_up"), "{parked:?}");
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

    #[test]
    fn whatever_may_have_had_its_effect_is_never_simply_sent_again() {
        let asked = Some(Duration::from_mins(20));
        let outcomes = [
            Outcome::Unknown { reason: Reason::Timeout },
            Outcome::Retry { reason: Reason::ServerError, sent: Sent::Possibly, not_before: None },
            Outcome::Retry { reason: Reason::ServerError, sent: Sent::Possibly, not_before: asked },
        ];
        for outcome in outcomes {
            for repeat in [Repeat::Never, Repeat::Within(Duration::from_mins(5))] {
                for failing_for in [None, Some(RETRY.give_up_after)] {
                    let decision = decide_for(Versions::Latest, Tried { failing_for, ..first(repeat) }, &outcome);

                    let wait = looked_up_in(&decision).expect("it is looked up");
                    let earliest =
                        if matches!(outcome, Outcome::Retry { not_before: Some(_), .. }) { asked } else { None };
                    assert!(wait >= earliest.unwrap_or(Duration::from_secs(10)), "{outcome:?}: {wait:?}");
                    assert_eq!(decision.reached, Reached::Possibly);
                }
            }
        }
    }

    #[test]
    fn what_certainly_had_no_effect_is_sent_again_even_where_a_repeat_would_be_fatal() {
        let outcome = Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None };

        for outcome in [outcome, Outcome::Throttled { not_before: None }] {
            let decision = decide_for(Versions::Latest, first(Repeat::Never), &outcome);
            assert!(matches!(decision.next, Next::Pending { .. }), "{decision:?}");
        }
    }

    #[test]
    fn no_refusal_of_a_repeat_says_what_became_of_the_first() {
        let again = Tried { sending: Sending::Again, ..first(Repeat::Within(Duration::from_mins(5))) };
        let refusals = [
            Outcome::Reject { reason: Reason::Conflict },
            Outcome::Blocked { reason: Reason::Unauthorized },
            Outcome::Throttled { not_before: Some(Duration::from_secs(90)) },
            Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None },
        ];
        for outcome in refusals {
            let decision = decide_for(Versions::Latest, again, &outcome);

            assert!(looked_up_in(&decision).is_some(), "{outcome:?}");
            assert_eq!(decision.reached, Reached::Possibly);
        }
        let confirmed = decide_for(Versions::Latest, again, &Outcome::Delivered(Receipt::default()));
        assert_eq!(confirmed.next, Next::Applied);
    }

    /// Cause: a cancel that was refused while the report did not show it was sent every ten seconds for an hour.
    #[test]
    fn each_repeat_in_vain_is_followed_by_a_longer_wait() {
        let wait_after = |number, sending| {
            let tried = Tried { number, sending, ..first(Repeat::Within(Duration::from_hours(1))) };
            looked_up_in(&decide_for(Versions::Latest, tried, &Outcome::Unknown { reason: Reason::Timeout }))
        };

        assert_eq!(wait_after(4, Sending::First), Some(Duration::from_secs(10)), "whatever failed before it was sent");
        let waits: Vec<_> = (2..=5).map(|number| wait_after(number, Sending::Again).unwrap().as_secs()).collect();
        assert_eq!(waits, [60, 900, 900, 900]);
    }

    #[test]
    fn the_one_repeat_settles_a_doubt_or_hands_it_to_a_person() {
        let again = Tried { sending: Sending::Again, ..first(Repeat::Once) };
        let person = [
            Outcome::Reject { reason: Reason::Conflict },
            Outcome::Unknown { reason: Reason::Timeout },
            Outcome::Retry { reason: Reason::ServerError, sent: Sent::Possibly, not_before: None },
        ];
        for outcome in person {
            let next = decide_for(Versions::Latest, again, &outcome).next;
            assert!(matches!(next, Next::InDoubt { look_up_in: None, reason: MAYBE_APPLIED, .. }), "{outcome:?}");
        }
        let tell_nothing = [
            Outcome::Blocked { reason: Reason::Unauthorized },
            Outcome::Throttled { not_before: None },
            Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None },
        ];
        for outcome in tell_nothing {
            assert!(looked_up_in(&decide_for(Versions::Latest, again, &outcome)).is_some(), "{outcome:?}");
        }
        assert!(
            looked_up_in(&decided_once(&Outcome::Unknown { reason: Reason::Timeout })).is_some(),
            "not repeated yet"
        );
        assert_eq!(decide_for(Versions::Latest, again, &Outcome::Delivered(Receipt::default())).next, Next::Applied);
    }

    fn decided_once(outcome: &Outcome) -> Decision {
        decide_for(Versions::Latest, first(Repeat::Once), outcome)
    }

    #[test]
    fn a_doubt_is_looked_up_by_its_schedule_counted_from_the_sending_and_then_left_to_a_person() {
        let not_seen = |since| looked_up_in(&found(None, Duration::from_secs(since), &Finding::NotFound));

        assert_eq!(not_seen(10), Some(Duration::from_secs(50)), "from 10 s to 1 min");
        assert_eq!(
            not_seen(300),
            Some(Duration::from_mins(10)),
            "it came late: the next one is at 15 min all the same"
        );
        assert_eq!(not_seen(900), None);
    }

    #[test]
    fn absence_is_proven_only_once_everything_sent_must_have_arrived() {
        let proven = Duration::from_secs(45);
        let look = |since| found(Some(proven), Duration::from_secs(since), &Finding::NotFound);

        assert_eq!(looked_up_in(&look(10)), Some(Duration::from_secs(35)), "at the first moment that proves something");
        assert_eq!(look(45).next, continue_plan());
        assert_eq!((look(45).label, look(45).reached), ("absent", Reached::No));
    }

    #[test]
    fn a_look_up_that_fails_is_asked_again_for_as_long_as_it_takes() {
        let down =
            Finding::Failed(Outcome::Retry { reason: Reason::ConnectFailed, sent: Sent::No, not_before: None }.into());
        let throttled = Finding::Failed(Outcome::Throttled { not_before: Some(Duration::from_mins(7)) }.into());

        let after_days = found(Some(Duration::from_secs(45)), Duration::from_hours(100), &down);

        assert!(looked_up_in(&after_days).is_some());
        assert_eq!(after_days.signal, Signal::Faulty);
        assert_eq!(looked_up_in(&found(None, Duration::ZERO, &throttled)), Some(Duration::from_mins(7)));
    }

    #[test]
    fn what_may_or_may_not_be_it_waits_for_a_person() {
        let finding = Finding::Ambiguous { hint: "two look like it".to_owned() };

        let decision = found(Some(Duration::ZERO), Duration::ZERO, &finding);

        let hint = "two look like it".to_owned();
        assert_eq!(decision.next, Next::InDoubt { look_up_in: None, reason: NO_ANSWER, hint });
    }
}
