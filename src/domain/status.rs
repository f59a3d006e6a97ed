//! What a change of status between two versions of an order means.
//!
//! Pure judgement for the timeline and for data-quality alerts. It never decides whether a version is applied: the
//! platform is the authority, so an impossible change is applied as delivered and only reported.
//!
//! Source: Scoffable developer documentation 1.0.0, "Understanding Orders".

use super::order::Status;

/// How a newer version's status relates to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Documented, or two documented steps with the version between them unseen. Also the first sight of an order,
    /// which may be in any state.
    Normal,
    /// The same status again.
    NoChange,
    /// Not newer than what we compared with: a late or repeated version, no change of status at all.
    NotNewer,
    /// Worth an alert, and applied all the same.
    Unusual(Oddity),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// A step from or to a status we do not know.
    UnknownStatus,
    /// Explained by two documented steps, but the version number moved by one only.
    NotInOneStep,
    /// No documented steps lead there.
    Impossible,
}

impl Oddity {
    /// Stable code for logs and alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownStatus => "unknown_status",
            Self::NotInOneStep => "not_in_one_step",
            Self::Impossible => "impossible_transition",
        }
    }
}

/// Judges the step from the newest known status (`None`: the order is new to us) to `to`.
///
/// `version_gap` is the new version number minus the known one; zero or less means that the version is late. It is
/// not looked at for a new order.
pub fn transition(from: Option<&Status>, to: &Status, version_gap: i64) -> Transition {
    use Status::{Accepted, Cancelled, Other, Placed, Rejected};

    let Some(from) = from else { return Transition::Normal };
    if version_gap <= 0 {
        return Transition::NotNewer;
    }
    if from == to {
        return Transition::NoChange;
    }
    match (from, to) {
        (Other(_), _) | (_, Other(_)) => Transition::Unusual(Oddity::UnknownStatus),
        (Placed, Accepted | Rejected) | (Accepted, Cancelled) | (Rejected | Cancelled, Accepted) => Transition::Normal,
        (Placed | Rejected, Cancelled) if version_gap >= 2 => Transition::Normal,
        (Placed | Rejected, Cancelled) => Transition::Unusual(Oddity::NotInOneStep),
        (Accepted | Cancelled, Placed | Rejected) | (Rejected, Placed) => Transition::Unusual(Oddity::Impossible),
        (Placed, Placed) | (Accepted, Accepted) | (Rejected, Rejected) | (Cancelled, Cancelled) => Transition::NoChange,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Accepted, Cancelled, Placed, Rejected};

    const IMPOSSIBLE: Transition = Transition::Unusual(Oddity::Impossible);
    const NOT_IN_ONE_STEP: Transition = Transition::Unusual(Oddity::NotInOneStep);
    const UNKNOWN: Transition = Transition::Unusual(Oddity::UnknownStatus);

    #[test]
    fn every_documented_pair_of_neighbouring_versions_is_judged() {
        let table = [
            (Placed, Placed, Transition::NoChange),
            (Placed, Accepted, Transition::Normal),
            (Placed, Rejected, Transition::Normal),
            (Placed, Cancelled, NOT_IN_ONE_STEP),
            (Accepted, Placed, IMPOSSIBLE),
            (Accepted, Accepted, Transition::NoChange),
            (Accepted, Rejected, IMPOSSIBLE),
            (Accepted, Cancelled, Transition::Normal),
            (Rejected, Placed, IMPOSSIBLE),
            (Rejected, Accepted, Transition::Normal),
            (Rejected, Rejected, Transition::NoChange),
            (Rejected, Cancelled, NOT_IN_ONE_STEP),
            (Cancelled, Placed, IMPOSSIBLE),
            (Cancelled, Accepted, Transition::Normal),
            (Cancelled, Rejected, IMPOSSIBLE),
            (Cancelled, Cancelled, Transition::NoChange),
        ];
        for (from, to, expected) in table {
            assert_eq!(transition(Some(&from), &to, 1), expected, "{from} → {to}");
        }
    }

    #[test]
    fn a_skipped_version_explains_two_steps_at_once() {
        assert_eq!(transition(Some(&Placed), &Cancelled, 2), Transition::Normal);
        assert_eq!(transition(Some(&Rejected), &Cancelled, 7), Transition::Normal);
    }

    #[test]
    fn skipped_versions_never_explain_an_impossible_step() {
        for (from, to) in
            [(Accepted, Placed), (Cancelled, Placed), (Rejected, Placed), (Accepted, Rejected), (Cancelled, Rejected)]
        {
            assert_eq!(transition(Some(&from), &to, 9), IMPOSSIBLE, "{from} → {to}");
        }
    }

    #[test]
    fn an_order_may_be_met_first_in_any_state() {
        for first in [Placed, Accepted, Rejected, Cancelled, Status::from_text("brewing")] {
            assert_eq!(transition(None, &first, 1), Transition::Normal, "{first}");
        }
    }

    #[test]
    fn a_late_or_repeated_version_is_not_a_change_of_status() {
        assert_eq!(transition(Some(&Accepted), &Placed, -1), Transition::NotNewer);
        assert_eq!(transition(Some(&Accepted), &Placed, 0), Transition::NotNewer);
    }

    #[test]
    fn an_unknown_status_is_reported_on_both_sides_of_a_step() {
        let brewing = Status::from_text("brewing");
        assert_eq!(transition(Some(&Accepted), &brewing, 1), UNKNOWN);
        assert_eq!(transition(Some(&brewing), &Accepted, 3), UNKNOWN);
        assert_eq!(transition(Some(&brewing), &brewing, 1), Transition::NoChange);
    }
}
