//! Stored orders for a sink: planned again (replay), or owed for the first time (backfill). In bounded steps, each a
//! transaction of its own; what a stop leaves undone, the same request does later.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Contradiction, Desk, Step, Watch};
use crate::{
    domain::ids::{SinkName, SourceName},
    store::{
        StoreError,
        backfill::{self, Batch, Stored},
        operations::{self, Moved, Named, Operated},
        replay::{self, Which},
    },
};

/// Orders in one step: their rows are locked for that long.
const IN_A_STEP: u32 = 2_000;

/// Which stored orders; none: any.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    pub source: Option<SourceName>,
    pub vendor: Option<String>,
    /// Placed since then.
    pub since: Option<DateTime<Utc>>,
    /// Placed before then.
    pub until: Option<DateTime<Utc>>,
}

impl Orders {
    pub(super) fn stored(&self) -> Stored<'_> {
        Stored { source: self.source.as_ref(), vendor: self.vendor.as_deref(), since: self.since, until: self.until }
    }
}

/// Whether to do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Only say what would be done.
    DryRun,
    /// Say what would be done, and ask for consent unless it is a single order.
    Ask,
    /// There is consent.
    Do,
}

impl Wish {
    pub fn of(dry_run: bool, yes: bool) -> Self {
        match (dry_run, yes) {
            (true, _) => Self::DryRun,
            (false, false) => Self::Ask,
            (false, true) => Self::Do,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawReplay")]
pub struct Replay {
    pub sink: SinkName,
    pub which: Replayed,
    pub wish: Wish,
}

#[derive(Debug, Clone)]
pub enum Replayed {
    /// These, all or none.
    Named { orders: Vec<String>, source: Option<SourceName> },
    /// Those that match, in steps.
    Matching { orders: Orders, reason: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReplay {
    sink: SinkName,
    #[serde(default)]
    orders: Vec<String>,
    source: Option<SourceName>,
    vendor: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    yes: bool,
}

impl TryFrom<RawReplay> for Replay {
    type Error = Contradiction;
    fn try_from(raw: RawReplay) -> Result<Self, Contradiction> {
        let RawReplay { sink, orders, source, vendor, since, until, reason, dry_run, yes } = raw;
        let is_filtered = vendor.is_some() || since.is_some() || until.is_some() || reason.is_some();
        let which = match (orders.is_empty(), is_filtered) {
            (false, true) => {
                return Err(Contradiction("`orders` excludes `vendor`, `since`, `until` and `reason`"));
            }
            (false, false) => Replayed::Named { orders, source },
            (true, _) => Replayed::Matching { orders: Orders { source, vendor, since, until }, reason },
        };
        Ok(Self { sink, which, wish: Wish::of(dry_run, yes) })
    }
}

#[derive(Debug, Serialize)]
pub struct ReplayAnswer {
    pub sink: SinkName,
    /// Deliveries that can be planned again.
    pub matching: u64,
    /// Left out: retention removed their content.
    pub without_content: u64,
    pub replayed: u64,
    /// Nothing that was asked for is left undone.
    pub finished: bool,
    /// Those that were named, as they are now or in a dry run would be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Moved>,
}

/// Plans stored orders again.
pub async fn replay(desk: Desk<'_>, replay: &Replay, watch: Watch<'_>) -> Operated<ReplayAnswer> {
    match &replay.which {
        Replayed::Named { orders, source } => replay_named(desk, replay, orders, source.as_ref()).await,
        Replayed::Matching { orders, reason } => {
            let which = Which { stored: orders.stored(), reason: reason.as_deref() };
            replay_matching(desk, replay, which, watch).await
        }
    }
}

async fn replay_named(
    desk: Desk<'_>,
    replay: &Replay,
    orders: &[String],
    source: Option<&SourceName>,
) -> Operated<ReplayAnswer> {
    let named = Named { sink: &replay.sink, source, order_ids: orders };
    let does = replay.wish == Wish::Do || replay.wish == Wish::Ask && orders.len() == 1;
    let deliveries = if does {
        replay::named(desk.pool, named, desk.by, desk.offset_ms).await?
    } else {
        replay::try_named(desk.pool, named, desk.by, desk.offset_ms).await?
    };
    let matching = deliveries.len() as u64;
    let replayed = if does { matching } else { 0 };
    Ok(ReplayAnswer { sink: replay.sink.clone(), matching, without_content: 0, replayed, finished: does, deliveries })
}

async fn replay_matching(
    desk: Desk<'_>,
    replay: &Replay,
    which: Which<'_>,
    watch: Watch<'_>,
) -> Operated<ReplayAnswer> {
    let sink = &replay.sink;
    must_exist(desk, sink, which.stored.source).await?;
    let counted = replay::matching(desk.pool, sink, which).await?;
    let mut answer = ReplayAnswer {
        sink: sink.clone(),
        matching: counted.replayable,
        without_content: counted.without_content,
        replayed: 0,
        finished: counted.replayable == 0,
        deliveries: Vec::new(),
    };
    let does = replay.wish == Wish::Do || replay.wish == Wish::Ask && counted.replayable == 1;
    if !does || answer.finished {
        return Ok(answer);
    }
    let mut last = None;
    loop {
        let next = Batch { after: last.as_ref(), limit: Some(IN_A_STEP) };
        let done = replay::batch(desk.pool, sink, which, next, desk.by, desk.offset_ms).await?;
        answer.replayed += done.replayed;
        last = done.last;
        answer.finished = last.is_none();
        if answer.finished || watch(Step { done: answer.replayed, of: Some(answer.matching) }).is_break() {
            return Ok(answer);
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(from = "RawBackfill")]
pub struct Backfill {
    pub sink: SinkName,
    pub orders: Orders,
    pub wish: Wish,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBackfill {
    sink: SinkName,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    source: Option<SourceName>,
    vendor: Option<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    yes: bool,
}

impl From<RawBackfill> for Backfill {
    fn from(raw: RawBackfill) -> Self {
        let RawBackfill { sink, since, until, source, vendor, dry_run, yes } = raw;
        let orders = Orders { source, vendor, since: Some(since), until };
        Self { sink, orders, wish: Wish::of(dry_run, yes) }
    }
}

#[derive(Debug, Serialize)]
pub struct BackfillAnswer {
    pub sink: SinkName,
    /// Orders that the sink is not owed yet.
    pub missing: u64,
    /// Left out: retention removed their content.
    pub without_content: u64,
    pub owed: u64,
    /// Nothing that was asked for is left undone.
    pub finished: bool,
}

async fn missing(desk: Desk<'_>, backfill: &Backfill) -> Operated<BackfillAnswer> {
    let (sink, stored) = (&backfill.sink, backfill.orders.stored());
    must_exist(desk, sink, stored.source).await?;
    let counted = backfill::missing(desk.pool, sink, stored).await?;
    Ok(BackfillAnswer {
        sink: sink.clone(),
        missing: counted.owable,
        without_content: counted.without_content,
        owed: 0,
        finished: counted.owable == 0,
    })
}

/// Owes the sink what it is not owed yet, if there is consent.
pub async fn backfill(desk: Desk<'_>, backfill: &Backfill, watch: Watch<'_>) -> Operated<BackfillAnswer> {
    let mut answer = missing(desk, backfill).await?;
    if backfill.wish != Wish::Do || answer.finished {
        return Ok(answer);
    }
    let mut db = desk.pool.acquire().await.map_err(StoreError::of("backfill.begin"))?;
    let mut last = None;
    loop {
        let next = Batch { after: last.as_ref(), limit: Some(IN_A_STEP) };
        let stored = backfill.orders.stored();
        let done = backfill::owe(&mut db, &backfill.sink, stored, next, Some(desk.by), desk.offset_ms).await?;
        answer.owed += done.owed;
        last = done.last;
        answer.finished = last.is_none();
        if answer.finished || watch(Step { done: answer.owed, of: Some(answer.missing) }).is_break() {
            return Ok(answer);
        }
    }
}

async fn must_exist(desk: Desk<'_>, sink: &SinkName, source: Option<&SourceName>) -> Operated<()> {
    let mut db = desk.pool.acquire().await.map_err(StoreError::of("operations.begin"))?;
    operations::sink_must_exist(&mut db, sink).await?;
    match source {
        Some(source) => operations::source_must_exist(&mut db, source).await,
        None => Ok(()),
    }
}
