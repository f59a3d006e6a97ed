//! What a destination lets one know of its products, stock and customers: an optional part of a sink.
//!
//! A catalogue only reads, and makes no request before its turn. What is asked, how often, and what an answer means is
//! [`crate::catalogue`]'s business.

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use super::{Answer, Turns, links::LinkKind};
use crate::domain::{
    catalogue::{Costs, Cursor, Kind, Looked, Page, Span},
    delivery::{Outcome, Reason},
};

/// Why nothing came of a reading.
#[derive(Debug, Clone)]
pub enum Missed {
    /// There was no call left for it.
    NoTurn,
    /// The destination's answer was none.
    Failed(Box<Answer>),
    /// Its clock and ours differ too much to tell by time what was changed.
    ClockSkew,
}

impl From<Answer> for Missed {
    fn from(answer: Answer) -> Self {
        Self::Failed(Box::new(answer))
    }
}

impl Missed {
    /// Fixed code, for people who look.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoTurn => super::OUT_OF_CALLS,
            Self::ClockSkew => "clock_skew",
            Self::Failed(answer) => match &answer.outcome {
                Outcome::Retry { reason, .. }
                | Outcome::Reject { reason }
                | Outcome::Blocked { reason }
                | Outcome::Unknown { reason } => reason.as_str(),
                Outcome::Throttled { .. } => super::OUT_OF_CALLS,
                Outcome::Delivered(_) => Reason::UnreadableAnswer.as_str(),
            },
        }
    }
}

/// What came of a reading.
pub type Reading<'a, T> = BoxFuture<'a, Result<T, Missed>>;

/// A link that a person has written into the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    pub kind: LinkKind,
    pub local_key: String,
    pub remote_id: String,
}

/// A destination's records. Reads only; each request waits for its turn.
pub trait Catalogue: Send + Sync {
    /// The kinds whose changes can be asked for, as far as the settings make use of them.
    fn kinds(&self) -> Vec<Kind>;

    /// Where one begins who wants to know of no change before `now`, the database's clock.
    fn newest<'a>(&'a self, _kind: Kind, _turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Cursor> {
        Box::pin(std::future::ready(Ok(Cursor::At(now))))
    }

    /// One page of what was changed. A record may come twice, and along with a page of one kind records of another, as stock
    /// with products.
    fn changes<'a>(&'a self, kind: Kind, span: Span, turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Page>;

    /// One record as it stands there.
    fn look<'a>(
        &'a self,
        kind: Kind,
        remote_id: &'a str,
        turns: &'a dyn Turns,
        now: DateTime<Utc>,
    ) -> Reading<'a, Looked>;

    /// How many records there are, where one call tells. None: nobody knows before the end.
    fn count<'a>(&'a self, _kind: Kind, _turns: &'a dyn Turns, _now: DateTime<Utc>) -> Reading<'a, Option<u64>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Links of the configuration.
    fn by_hand(&self) -> Vec<ByHand> {
        Vec::new()
    }

    fn costs(&self) -> Costs;
}

/// Makes a request in its turn. What the answer told of limits is heard of where it is a refusal.
pub(super) async fn in_turn<T>(
    turns: &dyn Turns,
    reading: impl Future<Output = Result<T, Answer>>,
) -> Result<T, Missed> {
    if !turns.next().await {
        return Err(Missed::NoTurn);
    }
    match reading.await {
        Ok(read) => {
            turns.heard(&[], 0).await;
            Ok(read)
        }
        Err(answer) => Err(heard(turns, answer).await),
    }
}

/// An answer that brought nothing.
pub(super) async fn heard(turns: &dyn Turns, answer: Answer) -> Missed {
    turns.heard(&answer.limits, answer.calls_beside).await;
    answer.into()
}
