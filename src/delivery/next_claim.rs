//! When the queue is looked at again. What is told while a claim is under way is not forgotten with the claim's answer: it
//! may have looked before.

use std::time::Duration;

use tokio::time::Instant;

/// From a settlement to the claim that looks for what it made due.
const BREATH: Duration = Duration::from_millis(1);

/// The time of one loop's next claim.
#[derive(Debug)]
pub struct NextClaim {
    at: Instant,
    /// Since the last claim began, something may have become due.
    told_meanwhile: bool,
}

impl NextClaim {
    /// At once.
    pub fn new(now: Instant) -> Self {
        Self { at: now, told_meanwhile: false }
    }

    pub fn at(&self) -> Instant {
        self.at
    }

    pub fn begun(&mut self) {
        self.told_meanwhile = false;
    }

    /// Someone stored something that may be due.
    pub fn rung(&mut self, now: Instant) {
        self.told(now);
    }

    /// What was settled may be due again at once: a newer version, the next step of a plan.
    pub fn settled(&mut self, now: Instant) {
        self.told(now + BREATH);
    }

    fn told(&mut self, at: Instant) {
        self.at = self.at.min(at);
        self.told_meanwhile = true;
    }

    /// A claim was answered, and as far as it could see nothing is due until this is over.
    pub fn answered(&mut self, now: Instant, rest: Duration) {
        self.at = now + if self.told_meanwhile { rest.min(BREATH) } else { rest };
    }

    /// A claim failed, and another would.
    pub fn failed(&mut self, now: Instant, wait: Duration) {
        self.at = now + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(5);

    fn resting(now: Instant) -> NextClaim {
        let mut next = NextClaim::new(now);
        next.begun();
        next.answered(now, REST);
        next
    }

    #[test]
    fn a_claim_that_finds_nothing_due_is_followed_by_a_rest_that_whatever_is_told_ends() {
        let now = Instant::now();
        let (quiet, mut rung, mut settled) = (resting(now), resting(now), resting(now));
        let later = now + Duration::from_secs(1);

        rung.rung(later);
        settled.settled(later);

        assert_eq!(quiet.at(), now + REST);
        assert_eq!(rung.at(), later);
        assert_eq!(settled.at(), later + BREATH);
    }

    /// Cause: it was forgotten with the claim's answer, and what it told of waited for seconds.
    #[test]
    fn what_is_told_during_a_claim_shortens_the_rest_after_it() {
        let now = Instant::now();
        for tell in [NextClaim::rung, NextClaim::settled] {
            let mut next = NextClaim::new(now);
            next.begun();
            tell(&mut next, now);
            next.answered(now, REST);
            assert_eq!(next.at(), now + BREATH);

            next.begun();
            next.answered(now, REST);
            assert_eq!(next.at(), now + REST, "that claim began after it");
        }
    }

    #[test]
    fn nothing_told_makes_a_claim_later() {
        let now = Instant::now();
        let mut next = NextClaim::new(now);

        next.settled(now + REST);
        assert_eq!(next.at(), now);
        next.begun();
        next.settled(now);
        next.answered(now, Duration::ZERO);
        assert_eq!(next.at(), now);
    }

    #[test]
    fn a_claim_that_failed_is_waited_with_unless_something_is_told() {
        let now = Instant::now();
        let mut next = NextClaim::new(now);
        next.begun();
        next.settled(now);

        next.failed(now, REST);
        assert_eq!(next.at(), now + REST);
        next.rung(now);
        assert_eq!(next.at(), now);
    }
}
