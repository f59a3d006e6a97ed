//! Looks at the linked records that were not checked for the longest: what changed or died without the feed of changes
//! telling.
//!
//! What a look does not find may be there again tomorrow, so only several looks on different days break a link. Only a
//! definite answer counts as a check: a record whose look fails comes first again next time, until it is left alone for a day
//! so that it keeps nobody waiting.

use std::time::Duration;

use super::{
    rules,
    worker::{LANE, Worker, ask, now_of, sooner},
};
use crate::{
    delivery::budget::Class,
    domain::{
        catalogue::{Cursor, Kind, Looked, Record, RemoteState},
        delivery::Outcome,
    },
    sinks::{
        Turns,
        catalogue::{Catalogue, Missed},
    },
    store::{
        self, StoreError, alerts,
        catalogue::{Due, Holder, Struck, Told, Turn, TurnEnd, Written},
    },
};

/// Cause of the alert about a link whose record is gone.
pub const LINK_BROKEN: &str = "link_broken";
/// Of that about linked records that are there and not to be used.
pub const NOT_ACTIVE: &str = "catalogue_not_active";
/// Of that about a feed of changes that does not tell what changed.
pub const FEED_SUSPECT: &str = "feed_suspect";
/// Of that about more linked products than the sweeps get round to in time.
pub const SLOW_ROUND: &str = "sweep_horizon";
/// Records that an alert names.
const MOST_NAMED: u32 = 20;
/// After a sweep that ended early because the destination wants to be left alone.
const EARLY_END: Duration = Duration::from_mins(30);

/// How the looks of a sweep ended.
enum Looks {
    All,
    /// The destination wants to be left alone, or there is no call left.
    Early,
    LeaseLost,
}

/// What a look at one record came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// As we knew it.
    Same,
    Changed,
    /// It is there, and not to be used.
    NotActive(RemoteState),
    Absent(Struck),
}

impl Worker {
    /// A sweep that is due, and how its turn ends.
    pub(super) async fn sweep(&self, turn: &Turn) -> Result<TurnEnd<'static>, StoreError> {
        match turn.kind {
            Kind::Product => self.looks(turn, self.settings.sweep_items, self.settings.sweep_interval).await,
            Kind::Customer => {
                self.looks(turn, self.settings.customer_sweep_items, self.settings.customer_sweep_interval).await
            }
            Kind::Document => self.read_back(turn).await,
            Kind::Stock => Ok(TurnEnd { next_sweep_in: Some(self.settings.sweep_interval), ..TurnEnd::default() }),
        }
    }

    /// How long the quiet hours last that there are now. None: there are none.
    pub(super) fn quiet_for(&self, turn: &Turn) -> Option<Duration> {
        let hours = self.settings.quiet_hours?;
        let time = turn.now.with_timezone(&self.time_zone).time();
        hours.holds(time).then(|| rules::quiet_for(time, hours.to) + Duration::from_secs(1))
    }

    async fn looks(&self, turn: &Turn, most: u32, interval: Duration) -> Result<TurnEnd<'static>, StoreError> {
        let Some(catalogue) = self.catalogue() else { return Ok(TurnEnd::default()) };
        let (pool, sink, offset_ms) = (&self.driver.pool, &self.driver.name, self.driver.clock.offset_ms());
        let due = store::catalogue::longest_unchecked(
            pool,
            sink,
            turn.kind,
            most,
            rules::MOST_GHOSTS,
            self.strikes(),
            offset_ms,
        )
        .await?;
        // What people asked for comes at any time, and before everything else that wants a call.
        let (wanted, others): (Vec<Due>, Vec<Due>) = due.into_iter().partition(|due| due.wanted);
        let quiet_for = self.quiet_for(turn);
        let mut ended = Looks::All;
        for (class, due) in [(Class::New, &wanted), (Class::Sweep, &others)] {
            if class == Class::Sweep && quiet_for.is_some() || !matches!(ended, Looks::All) {
                break;
            }
            let turns = self.driver.turns(LANE, class);
            let looks = self.look_at_all(turn, catalogue, due, &turns).await;
            self.driver.end_reading(turns).await;
            ended = looks?;
        }
        if let (Some(rest), Looks::All) = (quiet_for, &ended) {
            return Ok(TurnEnd { next_sweep_in: Some(rest), ..TurnEnd::default() });
        }
        match ended {
            Looks::All => {}
            Looks::Early => {
                let next_sweep_in = Some(sooner(interval.min(EARLY_END)));
                return Ok(TurnEnd { next_sweep_in, skipped: true, ..TurnEnd::default() });
            }
            Looks::LeaseLost => return Ok(TurnEnd::default()),
        }
        self.tell_not_active(turn.kind).await?;
        if turn.kind == Kind::Product {
            self.tell_horizon().await?;
        }
        let back_to = self.judge_feed(turn).await?;
        // What it goes back for is asked at once.
        let next_pull_in = back_to.map(|_| Duration::ZERO);
        Ok(TurnEnd { next_sweep_in: Some(sooner(interval)), next_pull_in, swept: true, back_to, ..TurnEnd::default() })
    }

    async fn look_at_all(
        &self,
        turn: &Turn,
        catalogue: &dyn Catalogue,
        due: &[Due],
        turns: &dyn Turns,
    ) -> Result<Looks, StoreError> {
        let (pool, claimed) = (&self.driver.pool, self.driver.clock.elapsed());
        for due in due {
            let looked = ask(catalogue.look(turn.kind, &due.remote_id, turns, now_of(turn, self, claimed))).await;
            let holder = self.holder(turn);
            match looked {
                Ok(looked) => {
                    if self.keep(holder, due, looked, turn.cursor).await?.is_none() {
                        return Ok(Looks::LeaseLost);
                    }
                }
                Err(missed) if is_about_all(&missed) => return Ok(Looks::Early),
                Err(_) => {
                    let (most, rest) = (rules::MOST_ERRORS, rules::ERROR_REST);
                    let noted = store::catalogue::note_error(pool, holder, &due.remote_id, most, rest).await?;
                    if noted == Written::LeaseLost {
                        return Ok(Looks::LeaseLost);
                    }
                }
            }
        }
        Ok(Looks::All)
    }

    /// Keeps what a look told; `cursor` says of what the feed of changes has told. None: the lease was lost.
    async fn keep(
        &self,
        holder: Holder<'_>,
        due: &Due,
        looked: Looked,
        cursor: Option<Cursor>,
    ) -> Result<Option<Seen>, StoreError> {
        let (pool, sink) = (&self.driver.pool, &self.driver.name);
        let subject = format!("{sink}/{}/{}", holder.kind, due.remote_id);
        let records = match looked {
            Looked::Found(records) => records,
            Looked::Absent => {
                let struck = store::catalogue::strike(pool, holder, &due.remote_id, self.strikes()).await?;
                let Some(struck) = struck else { return Ok(None) };
                self.tell_struck(&subject, &struck).await?;
                return Ok(Some(Seen::Absent(struck)));
            }
        };
        let is_it = |record: &&Record| record.kind == holder.kind;
        let is_changed = |record: &Record| {
            due.fields_hash.as_ref().is_some_and(|known| record.kind == holder.kind && *known != record.fields_hash)
        };
        let told: Vec<Told<'_>> = records
            .iter()
            .map(|record| {
                let drifted = is_changed(record) && rules::should_have_been_told(record, cursor);
                Told { record, looked: true, drifted }
            })
            .collect();
        if store::catalogue::store(pool, holder, &told, None).await? == Written::LeaseLost {
            return Ok(None);
        }
        self.link(&records).await?;
        if due.remote_state == Some(RemoteState::Missing) {
            alerts::resolve(pool, LINK_BROKEN, &subject).await?;
        }
        let seen = match records.iter().find(is_it) {
            Some(record) if record.remote_state != RemoteState::Active => Seen::NotActive(record.remote_state),
            Some(record) if is_changed(record) => Seen::Changed,
            Some(_) | None => Seen::Same,
        };
        Ok(Some(seen))
    }

    /// Looks at one record because a person asked, before everything else that wants a call.
    pub async fn look_now(&self, kind: Kind, remote_id: &str) -> Result<Result<Seen, Missed>, StoreError> {
        let Some(catalogue) = self.catalogue() else { return Ok(Ok(Seen::Same)) };
        let (pool, sink) = (&self.driver.pool, &self.driver.name);
        let due = store::catalogue::known(pool, sink, kind, remote_id).await?;
        let turns = self.driver.turns(LANE, Class::New);
        let looked = ask(catalogue.look(kind, remote_id, &turns, self.driver.clock.now())).await;
        self.driver.end_reading(turns).await;
        let looked = match looked {
            Ok(looked) => looked,
            Err(missed) => return Ok(Err(missed)),
        };
        // It says nothing about the feed of changes: a person asks because something has just changed.
        let seen = self.keep(self.writer(kind, None), &due, looked, None).await?;
        Ok(Ok(seen.unwrap_or(Seen::Same)))
    }

    async fn tell_struck(&self, subject: &str, struck: &Struck) -> Result<(), StoreError> {
        let is_out = struck.strikes == self.settings.strikes && struck.locked;
        if !struck.broken && !is_out {
            return Ok(());
        }
        let what = if struck.locked {
            "a person's link leads to a record that is not there: correct it in the configuration, or by `links set`"
        } else {
            "the record is not there any more, and the link to it is broken: link another (`links set`)"
        };
        let detail = format!("not found by {} looks; {what}", struck.strikes);
        alerts::raise(&self.driver.pool, LINK_BROKEN, subject, &detail).await
    }

    /// One alert with the list, as long as there are any.
    async fn tell_not_active(&self, kind: Kind) -> Result<(), StoreError> {
        let (pool, sink) = (&self.driver.pool, &self.driver.name);
        let subject = format!("{sink}/{kind}");
        let (n, called) = store::catalogue::not_active(pool, sink, kind, MOST_NAMED).await?;
        if n == 0 {
            return alerts::resolve(pool, NOT_ACTIVE, &subject).await;
        }
        let more = if n > called.len() as u64 { " …" } else { "" };
        let detail = format!(
            "{n} linked and not to be used any more there: {}{more}; restore them, or link others (`links set`)",
            called.join(", ")
        );
        alerts::raise(pool, NOT_ACTIVE, &subject, &detail).await
    }

    /// How long a round takes follows from how many products are linked.
    async fn tell_horizon(&self) -> Result<(), StoreError> {
        let (pool, sink, longest) = (&self.driver.pool, &self.driver.name, self.settings.horizon_days);
        let subject = format!("{sink}/{}", Kind::Product);
        let status = store::catalogue::status(pool, Some(sink)).await?;
        let tenths =
            status.iter().find(|row| row.kind == Kind::Product.as_str()).and_then(|row| row.horizon_tenth_days);
        let tenths = tenths.unwrap_or_default();
        if tenths <= i64::from(longest) * 10 {
            return alerts::resolve(pool, SLOW_ROUND, &subject).await;
        }
        let detail = format!(
            "a round of looks at all linked products takes {} days, more than catalogue.horizon_days ({longest}): raise \
             `sweep_items`, or lower `sweep_interval`, where the budget allows it (`budget {sink}`)",
            tenths / 10
        );
        alerts::raise(pool, SLOW_ROUND, &subject, &detail).await
    }

    /// Where the cursor goes back to, if looks found too much that the feed of changes had not told.
    async fn judge_feed(&self, turn: &Turn) -> Result<Option<Cursor>, StoreError> {
        let (pool, sink, offset_ms) = (&self.driver.pool, &self.driver.name, self.driver.clock.offset_ms());
        let (looked, drifted) = store::catalogue::drift(pool, sink, turn.kind, offset_ms).await?;
        let subject = format!("{sink}/{}", turn.kind);
        if !rules::is_suspect(looked, drifted, self.settings.drift_percent) {
            alerts::resolve(pool, FEED_SUSPECT, &subject).await?;
            return Ok(None);
        }
        let went_back_today = turn.suspect_at.is_some_and(|at| turn.now - at < chrono::Duration::days(1));
        if went_back_today {
            return Ok(None);
        }
        let detail = format!(
            "{drifted} of {looked} looks of a day found changes that the feed had not told: its last day is asked for again, and \
             if that does not help `bootstrap {sink}` reads everything"
        );
        alerts::raise(pool, FEED_SUSPECT, &subject, &detail).await?;
        Ok(rules::a_day_back(turn.cursor, turn.former_cursor, turn.now))
    }
}

/// Whether a look failed by what any other would fail by as well.
fn is_about_all(missed: &Missed) -> bool {
    match missed {
        Missed::NoTurn | Missed::ClockSkew => true,
        Missed::Failed(answer) => match answer.outcome {
            Outcome::Throttled { .. } | Outcome::Blocked { .. } => true,
            Outcome::Delivered(_) | Outcome::Retry { .. } | Outcome::Reject { .. } | Outcome::Unknown { .. } => false,
        },
    }
}
