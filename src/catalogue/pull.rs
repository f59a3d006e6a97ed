//! What was changed since the last time, page by page.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use tracing::warn;

use super::{
    rules,
    worker::{LANE, LEASE, Worker, ask, jittered, now_of},
};
use crate::{
    delivery::budget::Class,
    domain::catalogue::{Cursor, Kind, Progress, Pull, Record, Span},
    sinks::{
        Turns,
        catalogue::Missed,
        links::{How, LinkKey, LinkKind},
    },
    store::{
        self, StoreError, alerts,
        catalogue::{Told, Turn, TurnEnd, Written},
    },
};

/// Cause of the alert about clocks that differ too much to tell what changed.
pub const CLOCK_SKEW: &str = "clock_skew";
/// Clocks that differ by more are worth a word.
const NOTABLE_SKEW: Duration = Duration::from_mins(5);

/// Records in one statement: a destination without pages tells all there are at once.
const STORED_AT_ONCE: usize = 500;

/// How a pull ended, for now.
#[derive(Debug)]
pub enum Pulled {
    Finished,
    /// There is more: it goes on from there.
    Unfinished,
    Missed(Missed),
    /// Another process has the turn now.
    LeaseLost,
}

/// How much a pull may do.
pub(super) struct Bounds<'a> {
    pub class: Class,
    /// None: until its end.
    pub most_pages: Option<u32>,
    /// Told after each page how many records it brought; may end it there.
    pub watch: &'a mut (dyn FnMut(usize) -> ControlFlow<()> + Send),
}

impl Worker {
    /// A pull that is due, and how its turn ends.
    pub(super) async fn pull_in_turn(&self, turn: &Turn) -> Result<TurnEnd<'static>, StoreError> {
        let is_full = turn.pull.is_some_and(|pull| pull.full);
        let class = if turn.kind == Kind::Customer { Class::SlowPull } else { Class::Pull };
        let most_pages = Some(self.settings.pull_pages);
        let watch = &mut |_: usize| ControlFlow::Continue(());
        let next_pull_in = match self.pull(turn, Bounds { class, most_pages, watch }).await? {
            // A person waits for it; the budget sees to it that orders do not.
            Pulled::Unfinished if is_full => Duration::ZERO,
            Pulled::Finished | Pulled::Unfinished => jittered(self.settings.pull_interval),
            Pulled::Missed(missed) => return Ok(self.pull_missed(turn, &missed)),
            Pulled::LeaseLost => return Ok(TurnEnd::default()),
        };
        Ok(TurnEnd { next_pull_in: Some(next_pull_in), ..TurnEnd::default() })
    }

    /// Goes on with the pull of a kind, or begins one.
    pub(super) async fn pull(&self, turn: &Turn, bounds: Bounds<'_>) -> Result<Pulled, StoreError> {
        let turns = self.driver.turns(LANE, bounds.class);
        let pulled = self.pages(turn, &turns, bounds.most_pages, bounds.watch).await;
        self.driver.end_reading(turns).await;
        pulled
    }

    async fn pages(
        &self,
        turn: &Turn,
        turns: &dyn Turns,
        most_pages: Option<u32>,
        watch: &mut (dyn FnMut(usize) -> ControlFlow<()> + Send),
    ) -> Result<Pulled, StoreError> {
        let Some(catalogue) = self.catalogue() else { return Ok(Pulled::Finished) };
        let (pool, kind, holder) = (&self.driver.pool, turn.kind, self.holder(turn));
        let claimed = self.driver.clock.elapsed();
        let mut cursor = if let Some(cursor) = turn.cursor {
            cursor
        } else {
            // Nothing older is ever listed, unless a person asks for all of it.
            let newest = match ask(catalogue.newest(kind, turns, turn.now)).await {
                Ok(newest) => newest,
                Err(missed) => return Ok(Pulled::Missed(missed)),
            };
            let begun = Progress { cursor: Some(newest), pull: turn.pull, ended_full: false };
            if store::catalogue::store(pool, holder, &[], Some(begun)).await? == Written::LeaseLost {
                return Ok(Pulled::LeaseLost);
            }
            if turn.pull.is_none() {
                return Ok(Pulled::Finished);
            }
            newest
        };
        let mut pull = turn.pull.unwrap_or_else(|| rules::begun(cursor, turn.now));
        let mut n_pages = 0;
        loop {
            let span = Span { since: rules::asked_since(&pull), page: pull.page, page_size: self.settings.page_size };
            let page = match ask(catalogue.changes(kind, span, turns, now_of(turn, self, claimed))).await {
                Ok(page) => page,
                Err(missed) => return Ok(Pulled::Missed(missed)),
            };
            if let (Some(date), Cursor::At(_)) = (page.date, cursor)
                && !self.clocks_agree(kind, rules::skew(date, now_of(turn, self, claimed))).await?
            {
                return Ok(Pulled::Missed(Missed::ClockSkew));
            }
            let progress = rules::after_page(Some(cursor), pull, &page);
            if self.keep_page(turn, &page.records, progress).await? == Written::LeaseLost {
                return Ok(Pulled::LeaseLost);
            }
            self.link(&page.records).await?;
            n_pages += 1;
            cursor = progress.cursor.unwrap_or(cursor);
            let is_to_end = watch(page.records.len()).is_break();
            let Some(next) = progress.pull else { return Ok(Pulled::Finished) };
            pull = next;
            if is_to_end || most_pages.is_some_and(|most| n_pages >= most) {
                return Ok(Pulled::Unfinished);
            }
        }
    }

    /// Stores a page, a large one in parts. How far it brings the pull stands with the last of them, so that a crash in between
    /// repeats it.
    async fn keep_page(&self, turn: &Turn, records: &[Record], progress: Progress) -> Result<Written, StoreError> {
        let (pool, told) = (&self.driver.pool, once_each(records));
        let before_last = told.len().saturating_sub(1) / STORED_AT_ONCE * STORED_AT_ONCE;
        let (first, last) = told.split_at(before_last);
        for part in first.chunks(STORED_AT_ONCE) {
            if store::catalogue::store(pool, self.holder(turn), part, None).await? == Written::LeaseLost {
                return Ok(Written::LeaseLost);
            }
        }
        store::catalogue::store(pool, self.holder(turn), last, Some(progress)).await
    }

    /// Reads all there is of a kind, from its beginning or from where it was left. Returns None while another process has
    /// the turn.
    pub async fn read_all(
        &self,
        kind: Kind,
        watch: &mut (dyn FnMut(usize) -> ControlFlow<()> + Send),
    ) -> Result<Option<Pulled>, StoreError> {
        let (pool, sink, offset_ms) = (&self.driver.pool, &self.driver.name, self.driver.clock.offset_ms());
        let turn = store::catalogue::claim(pool, sink, Some(kind), &self.driver.owner, LEASE, offset_ms).await?;
        let Some(mut turn) = turn else { return Ok(None) };
        if turn.pull.is_none_or(|pull| !pull.full) {
            turn.pull = Some(Pull { since: None, began: turn.now, page: 1, full: true });
        }
        let pulled = self.pull(&turn, Bounds { class: Class::Backfill, most_pages: None, watch }).await?;
        let end = match &pulled {
            Pulled::Missed(missed) => self.pull_missed(&turn, missed),
            Pulled::Finished => {
                TurnEnd { next_pull_in: Some(jittered(self.settings.pull_interval)), ..TurnEnd::default() }
            }
            Pulled::Unfinished | Pulled::LeaseLost => TurnEnd::default(),
        };
        store::catalogue::end(pool, self.holder(&turn), end).await?;
        Ok(Some(pulled))
    }

    /// Whether the destination's clock and ours agree well enough to tell by time what was changed.
    async fn clocks_agree(&self, kind: Kind, skew: Duration) -> Result<bool, StoreError> {
        let (pool, sink) = (&self.driver.pool, &self.driver.name);
        let subject = format!("{sink}/{kind}");
        if skew > rules::LARGEST_SKEW {
            let detail = "the destination's clock and the database's are more than an hour apart: nothing is asked by time \
                          until they agree";
            alerts::raise(pool, CLOCK_SKEW, &subject, detail).await?;
            return Ok(false);
        }
        if skew > NOTABLE_SKEW {
            warn!(sink.name = %sink, skew_secs = skew.as_secs(), "destination's clock differs from ours");
        }
        alerts::resolve(pool, CLOCK_SKEW, &subject).await?;
        Ok(true)
    }

    /// Links what bears our key, and follows what the destination has merged. What is linked already stays.
    pub(super) async fn link(&self, records: &[Record]) -> Result<(), StoreError> {
        let (pool, sink, offset_ms) = (&self.driver.pool, &self.driver.name, self.driver.clock.offset_ms());
        for record in records {
            let kind = match record.kind {
                Kind::Customer => LinkKind::Customer,
                Kind::Product => LinkKind::Product,
                Kind::Stock | Kind::Document => continue,
            };
            if let Some(survivor) = &record.survivor {
                store::links::follow_merged(pool, sink, kind, &record.remote_id, survivor).await?;
            } else if let Some(local_key) = &record.local_key {
                let key = LinkKey { sink, kind, local_key };
                let how = if kind == LinkKind::Customer { How::Id } else { How::Code };
                store::links::link(pool, key, &record.remote_id, how, offset_ms).await?;
            }
        }
        Ok(())
    }
}

/// The last word on each record: a page may tell one twice.
fn once_each(records: &[Record]) -> Vec<Told<'_>> {
    let told = records.iter().map(|record| {
        let told = Told { record, looked: false, drifted: false };
        ((record.kind, record.remote_id.as_str()), told)
    });
    told.collect::<BTreeMap<_, _>>().into_values().collect()
}
