//! What a sink's settings lead to with stored orders, as if nothing had been brought yet, held against what other settings
//! lead to or what is recorded. Nobody is asked, and nothing is written.
//!
//! Each order is planned as it would have been when it was placed, so that none is too old to act on, and as if it had rested
//! since for as long as the sink wants. Only its first document can be told: what follows is planned from answers.

use std::{fmt, panic::AssertUnwindSafe};

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::driver::Driver;
use crate::{
    domain::{
        delivery::{About, DeliveryKey, Plan, Progress, Reason, Receipt, SUMMARY, SkipReason, State, Step, WaitingFor},
        differences::{Difference, differences},
        money::Money,
        order::Status,
    },
    sinks::Rehearsal,
    store::{
        deliveries::{Claimed, Dependency, Snapshot},
        shadow::{Past, Recorded},
    },
};

/// No sink notes more before a document.
const MOST_NOTES: u32 = 5;
/// Step of an order that goes out as a part of a document of many.
const PART: &str = "part of a summary";
/// What a plan waits for that lacks what only the destination tells.
const UNREAD: &str = "unread";

/// How far an order comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its document goes out, or stands there.
    Sent,
    /// It would go out, if the sink were allowed to write.
    Withheld,
    /// There is nothing that a document could say.
    Empty,
    Skipped,
    Waits,
    Parked,
    /// Recorded only: what was sent was taken back, as a cancelled order.
    TakenBack,
    InDoubt,
    NeverOwed,
}

impl End {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Withheld => "withheld",
            Self::Empty => "empty",
            Self::Skipped => "skipped",
            Self::Waits => "waits",
            Self::Parked => "parked",
            Self::TakenBack => "taken_back",
            Self::InDoubt => "in_doubt",
            Self::NeverOwed => "never_owed",
        }
    }
}

/// What comes, or came, of one order at a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    pub end: End,
    /// Why it comes no further: a fixed code, or what it waits for by its name.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The first thing that is sent of it. None also where it is not known.
    pub document: Option<Document>,
    /// What stands of it then.
    pub money: Option<Money>,
    /// The tax in it, in minor units. None: it is not told.
    pub tax_minor: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    pub step: String,
    pub body: String,
}

/// `skipped (filtered)`
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.end.as_str())?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl Fate {
    fn of(end: End) -> Self {
        Self { end, reason: None, hint: None, document: None, money: None, tax_minor: None }
    }

    fn because(end: End, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::of(end) }
    }

    /// What is recorded of a delivery.
    pub fn recorded(past: &Past) -> Self {
        let Some(recorded) = &past.recorded else { return Self::of(End::NeverOwed) };
        let Recorded { state, reason, hint, waiting_for, notice, is_applied, stands, posted, applied_total } = recorded;
        let end = match state {
            State::InDoubt => End::InDoubt,
            State::Pending | State::InFlight => End::Waits,
            State::Skipped => End::Skipped,
            State::Parked => End::Parked,
            State::Applied if *stands => End::Sent,
            State::Applied if Status::from_text(&past.snapshot.status) == Status::Cancelled => End::TakenBack,
            State::Applied => End::Empty,
        };
        let reason = match end {
            End::Waits if *state == State::InFlight => Some(state.as_str().to_owned()),
            End::Waits => Some(waiting_for.clone().unwrap_or_else(|| "due".to_owned())),
            End::Skipped | End::Parked => reason.clone(),
            End::Empty => notice.clone(),
            End::Sent | End::Withheld | End::TakenBack | End::InDoubt | End::NeverOwed => None,
        };
        let total = applied_total.filter(|_| *is_applied && *stands);
        let currency = applied_total.or(past.total).map(|total| total.currency);
        let posted = posted.zip(currency).map(|(posted, currency)| Money::new(posted, currency));
        Self { reason, hint: hint.clone(), money: posted.or(total), ..Self::of(end) }
    }

    fn with(self, step: Step, total: Option<Money>) -> Self {
        let posted = step.receipt.as_ref().and_then(|receipt| receipt.pointer("/money/posted_minor")?.as_i64());
        let money = total.map(|total| Money::new(posted.unwrap_or(total.amount), total.currency));
        Self { document: Some(Document { step: step.name, body: step.body }), money, ..self }
    }

    fn planned(plan: Plan, receipt: Option<&Value>, total: Option<Money>) -> Self {
        match plan {
            Plan::Send(step) => Self::of(End::Sent).with(step, total),
            Plan::Withhold { step, waiting_for, .. } => {
                Self::because(End::Withheld, waiting_for.as_str()).with(step, total)
            }
            Plan::Settled(Receipt { notice, .. }) | Plan::Stands { receipt: Receipt { notice, .. }, .. } => {
                Self { reason: notice, ..Self::of(End::Empty) }
            }
            Plan::Note(_) => Self::of(End::Empty),
            Plan::Skip { reason, alert } => {
                Self { hint: alert.map(|alert| alert.detail), ..Self::because(End::Skipped, reason.as_str()) }
            }
            Plan::Wait { waiting_for: WaitingFor::Summary, .. } => {
                let part = receipt.and_then(|receipt| receipt.pointer(&format!("/{SUMMARY}/part")));
                let document = part.map(|part| Document { step: PART.to_owned(), body: part.to_string() });
                Self { document, money: total, ..Self::of(End::Sent) }
            }
            Plan::Wait { waiting_for, alert, .. } => {
                let about = alert.as_ref().and_then(|alert| match &alert.about {
                    About::Shared(subject) => Some(subject.clone()),
                    About::Order | About::Customer(_) => None,
                });
                let reason = match about {
                    Some(subject) => format!("{waiting_for}: {subject}"),
                    None => waiting_for.as_str().to_owned(),
                };
                Self { hint: alert.map(|alert| alert.detail), ..Self::because(End::Waits, reason) }
            }
            Plan::Park { reason, hint, .. } => Self { hint: Some(hint), ..Self::because(End::Parked, reason) },
            Plan::Unread => Self::because(End::Waits, UNREAD),
        }
    }
}

impl Driver {
    /// What would come of a stored order, had nothing of it been brought yet.
    pub fn rehearse(&self, rehearsal: &Rehearsal<'_>, past: &Past, dependency: Option<&Dependency>) -> Fate {
        let played = std::panic::catch_unwind(AssertUnwindSafe(|| self.play(rehearsal, past, dependency)));
        played.unwrap_or_else(|_| Fate::because(End::Parked, Reason::Panicked.as_str()))
    }

    fn play(&self, rehearsal: &Rehearsal<'_>, past: &Past, dependency: Option<&Dependency>) -> Fate {
        let mut claimed = Claimed {
            key: DeliveryKey { sink: self.name.clone(), order: past.order.clone() },
            lane: String::new(),
            token: Uuid::nil(),
            attempt: 1,
            wanted: past.snapshot.version,
            progress: Progress { applied: None, sent: None },
            receipt: None,
            external_id: None,
            pending: None,
            after_loss: false,
            failing_for: None,
            refused_for: None,
            snapshot: None,
            all_walked: false,
            claimed_at: past.at,
            dependency: dependency.cloned(),
            // By a person's word, whatever its age.
            is_backfill: true,
            active_since: past.at,
            summarised: None,
        };
        let age = past.snapshot.age.max(self.rules.stable_for);
        let snapshot = Snapshot { age, ..past.snapshot.clone() };
        for _ in 0..MOST_NOTES {
            match self.plan_by(rehearsal, &claimed, &snapshot, past.at) {
                Plan::Note(noted) => {
                    claimed.receipt = noted.receipt.or(claimed.receipt);
                    claimed.external_id = noted.external_id.or(claimed.external_id);
                }
                plan => {
                    let tax_minor = match &plan {
                        Plan::Send(step) => self.sink.tax_minor(step),
                        _ => None,
                    };
                    return Fate { tax_minor, ..Fate::planned(plan, claimed.receipt.as_ref(), past.total) };
                }
            }
        }
        Fate::of(End::Empty)
    }
}

/// How two fates of one order compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Same,
    /// It is sent in both, and differs.
    Changed,
    NewlySent,
    NoLongerSent,
    /// It is sent in neither, and comes otherwise.
    NotSentOtherwise,
}

/// Holds the second against the first. What cannot be told of a document is no difference.
pub fn compare(before: &Fate, after: &Fate) -> (Verdict, Vec<Difference>) {
    let is_cancelled = |fate: &Fate| match fate.end {
        End::TakenBack => true,
        End::Skipped => fate.reason.as_deref() == Some(SkipReason::CancelledBeforeSent.as_str()),
        _ => false,
    };
    let mut found = match (&before.document, &after.document) {
        (Some(was), Some(is)) => documents(was, is),
        _ => Vec::new(),
    };
    let text = |money: Option<Money>| money.map(|money| format!("\"{money}\""));
    let is_worth = |fate: &Fate| fate.money.filter(|money| money.amount != 0);
    let both_cancelled = is_cancelled(before) && is_cancelled(after);
    let comes_alike = before.end == after.end && before.reason == after.reason || both_cancelled;
    if comes_alike && is_worth(before) != is_worth(after) {
        found.push(Difference { path: MONEY.to_owned(), from: text(before.money), to: text(after.money) });
    }
    let verdict = match (before.end == End::Sent, after.end == End::Sent) {
        _ if comes_alike && found.is_empty() => Verdict::Same,
        (true, true) => Verdict::Changed,
        (false, true) => Verdict::NewlySent,
        (true, false) => Verdict::NoLongerSent,
        (false, false) => Verdict::NotSentOtherwise,
    };
    (verdict, found)
}

/// Places of differences that lie in no body.
pub const MONEY: &str = "(money)";
pub const STEP: &str = "(step)";
pub const CONTENT: &str = "(content)";

fn documents(was: &Document, is: &Document) -> Vec<Difference> {
    let mut found = Vec::new();
    if was.step != is.step {
        let quoted = |step: &str| Some(format!("{step:?}"));
        found.push(Difference { path: STEP.to_owned(), from: quoted(&was.step), to: quoted(&is.step) });
    }
    match differences(&was.body, &is.body) {
        Some(differences) => found.extend(differences),
        None if was.body == is.body => {}
        None => found.push(Difference { path: CONTENT.to_owned(), from: None, to: None }),
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::domain::{
        delivery::{Alert, Repeat},
        money::Currency,
    };

    fn gbp(minor: i64) -> Money {
        Money::new(minor, Currency::parse("GBP").unwrap())
    }

    fn step(body: &str, receipt: Option<Value>) -> Step {
        Step {
            name: "invoice".to_owned(),
            key: String::new(),
            body: body.to_owned(),
            repeat: Repeat::Safe,
            completes: true,
            receipt,
        }
    }

    fn sent(body: &str, minor: i64) -> Fate {
        let receipt = json!({ "money": { "posted_minor": minor } });
        Fate::planned(Plan::Send(step(body, Some(receipt))), None, Some(gbp(1)))
    }

    #[test]
    fn the_receipt_of_a_step_tells_its_money_and_without_one_the_order_does() {
        assert_eq!(sent("{}", 900).money, Some(gbp(900)));
        assert_eq!(Fate::planned(Plan::Send(step("{}", None)), None, Some(gbp(1250))).money, Some(gbp(1250)));
        assert_eq!(Fate::planned(Plan::skip(SkipReason::Filtered), None, Some(gbp(1250))).money, None);
    }

    #[test]
    fn a_part_of_a_summary_is_the_document_of_its_order() {
        let receipt = json!({ "summary": { "part": { "account": "200" } } });
        let waits = Plan::wait(Duration::from_secs(1), WaitingFor::Summary);

        let fate = Fate::planned(waits, Some(&receipt), Some(gbp(1250)));

        assert_eq!((fate.end, fate.document.unwrap().body.as_str()), (End::Sent, r#"{"account":"200"}"#));
    }

    #[test]
    fn what_is_waited_for_is_told_by_its_name() {
        let alert = Alert {
            cause: "configuration",
            about: About::Shared("product \"Cola\"".to_owned()),
            detail: "link it".to_owned(),
        };
        let waits =
            Plan::Wait { wait: Duration::from_secs(1), waiting_for: WaitingFor::Configuration, alert: Some(alert) };

        let fate = Fate::planned(waits, None, Some(gbp(1250)));

        assert_eq!(fate.to_string(), "waits (configuration: product \"Cola\")");
        assert_eq!((fate.hint.as_deref(), fate.money), (Some("link it"), None));
    }

    #[test]
    fn fates_are_compared_by_their_end_their_document_and_their_money() {
        let filtered = || Fate::planned(Plan::skip(SkipReason::Filtered), None, Some(gbp(1)));
        let never = || Fate::planned(Plan::skip(SkipReason::NeverAccepted), None, Some(gbp(1)));
        let body = r#"{"account":"200"}"#;

        assert_eq!(compare(&sent(body, 900), &sent(body, 900)), (Verdict::Same, Vec::new()));
        let (verdict, found) = compare(&sent(body, 900), &sent(r#"{"account":"260"}"#, 800));
        let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
        assert_eq!((verdict, paths), (Verdict::Changed, vec!["/account", MONEY]));
        assert_eq!(compare(&sent(body, 900), &filtered()).0, Verdict::NoLongerSent);
        assert_eq!(compare(&filtered(), &sent(body, 900)).0, Verdict::NewlySent);
        assert_eq!(compare(&filtered(), &never()).0, Verdict::NotSentOtherwise);
        assert_eq!(compare(&filtered(), &filtered()).0, Verdict::Same);
        let (verdict, found) = compare(&sent("a=1", 900), &sent("a=2", 900));
        assert_eq!((verdict, found[0].path.as_str()), (Verdict::Changed, CONTENT));
    }

    #[test]
    fn a_recorded_document_is_compared_by_its_money_alone() {
        let recorded = Fate { money: Some(gbp(900)), ..Fate::of(End::Sent) };

        assert_eq!(compare(&recorded, &sent("{}", 900)).0, Verdict::Same);
        assert_eq!(compare(&recorded, &sent("{}", 800)).0, Verdict::Changed);
        let cancelled = Fate::planned(Plan::skip(SkipReason::CancelledBeforeSent), None, Some(gbp(1)));
        assert_eq!(compare(&Fate { money: Some(gbp(0)), ..Fate::of(End::TakenBack) }, &cancelled).0, Verdict::Same);
    }
}
