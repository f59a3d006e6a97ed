//! One source's loop: take the turn, read the stream to its end, give the turn back.
//!
//! While pages commit, the next ones are already fetched and decoded (the pages of one cursor stay sequential), and
//! whatever arrived during a commit goes into the next one. The stored cursor is always that of the last committed page,
//! so a crash only reads again. A turn is one row lease; its epoch fences every commit, and a lost turn ends the poll.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    WakeUps,
    page::{self, DecodedPage, Refused, Row},
    schedule::{RESTART_MARGIN, RETENTION, Trouble, after_failure, limits, next_poll},
};
use crate::{
    boundary::{Boundary, reach},
    clock::Clock,
    config::SourceSettings,
    delivery::backoff::exponential,
    domain::ids::SourceName,
    source::scoffable::client::{FetchError, Position, ScoffableClient},
    store::{
        self, StoreError,
        budgets::Reserved,
        ingest::{PageGroup, Stored},
        line::Line,
        sources::{PollEnd, Rewind, SourceLease, Take, Turn},
    },
    telemetry::{
        chain,
        metrics::{Committed, Metrics},
        traces::{Stored as StoredVersion, Traces},
    },
};

/// Pages between fetch and commit.
const AHEAD: usize = 4;
/// A cursor that was given up is told of for so long, however soon the stream is read again.
const DEAD_CURSOR_STANDS: Duration = Duration::from_hours(1);
/// Most pages in one commit.
const GROUP: usize = 10;
/// Longest sleep: a change made by an operator or another process is seen after this.
const LOOK: Duration = Duration::from_secs(30);
/// How often a parked stream's secret is read again.
const SECRET_LOOK: Duration = Duration::from_secs(5);
/// Waits for the limit up to this are slept through; longer ones give the turn back.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What a poller is built from.
pub struct Parts {
    pub name: SourceName,
    pub settings: SourceSettings,
    pub client: ScoffableClient,
    pub pool: Line,
    pub clock: Clock,
    /// This process, for `lease_owner`.
    pub owner: String,
    pub lease: Duration,
    pub wake: WakeUps,
    pub metrics: Arc<Metrics>,
    pub traces: Traces,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The loop of one source.
#[derive(Debug)]
pub struct Poller {
    parts: Arc<Parts>,
    throttles: u32,
    /// Fingerprint of the token in use.
    credential: String,
    known_oddities: HashSet<String>,
}

/// How the stream was left.
#[derive(Debug)]
enum Left {
    CaughtUp,
    /// Told to stop.
    Stopped,
    /// The request limit is used up until then, or the account was asked to pause.
    Full(Duration),
    /// More is said to be ready, and the cursor does not move.
    Stuck,
    Failed(FetchError),
    Store(StoreError),
}

/// How the commits went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commits {
    Done,
    Fenced,
}

impl Poller {
    pub fn new(parts: Parts) -> Self {
        let credential = fingerprint(&parts.name, parts.settings.token.value());
        Self { parts: Arc::new(parts), throttles: 0, credential, known_oddities: HashSet::new() }
    }

    /// Polls until told to drain. Outlives a database restart.
    pub async fn run(mut self, drain: CancellationToken) {
        let mut trouble = 0;
        while !drain.is_cancelled() {
            let wait = match self.tick(&drain).await {
                Ok(wait) => {
                    trouble = 0;
                    wait
                }
                Err(error) => {
                    trouble += 1;
                    let wait = exponential(Duration::from_millis(100), Duration::from_secs(5), trouble, 0.2);
                    let error = chain(&error);
                    if trouble.is_power_of_two() {
                        warn!(source.name = %self.parts.name, error, backoff_ms = wait.as_millis() as u64, "poll failed");
                    }
                    wait
                }
            };
            tokio::select! {
                () = drain.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        // A turn whose beginning or end was lost on its way would keep others from the stream for a lease.
        let Parts { pool, name, owner, .. } = &*self.parts;
        if let Err(error) = pool.insist(|| store::sources::leave(pool, name, owner)).await {
            warn!(source.name = %name, error = chain(&error), "turn not given back");
        }
    }

    /// Takes the turn if it is due and reads the stream to its end. Returns how long to wait before the next look.
    pub async fn tick(&mut self, drain: &CancellationToken) -> Result<Duration, StoreError> {
        let parts = Arc::clone(&self.parts);
        self.read_credential();
        let offset = parts.clock.offset_ms();
        let take = store::sources::take(&parts.pool, &parts.name, &parts.owner, parts.lease, offset).await?;
        let turn = match take {
            Take::Taken(turn) => {
                parts.clock.hear(turn.taken_at, offset);
                reach(Boundary::TurnTaken);
                turn
            }
            Take::Later { wait, parked, refused_credential } => {
                let replaced = parked && refused_credential.is_some_and(|refused| refused != self.credential);
                if replaced && store::sources::poll_now(&parts.pool, &parts.name, offset).await? {
                    info!(source.name = %parts.name, "credential replaced");
                    return Ok(Duration::ZERO);
                }
                return Ok(wait.min(if parked { SECRET_LOOK } else { LOOK }).max(Duration::from_millis(10)));
            }
        };
        let (left, commits) = self.read_stream(&turn, drain).await;
        if commits == Commits::Fenced {
            warn!(source.name = %parts.name, "turn lost to another process");
            return Ok(Duration::from_secs(1));
        }
        let (end, wait) = self.judge(&turn, left)?;
        self.report(&turn, &end, wait).await?;
        store::sources::finish(&parts.pool, &turn.lease, &end, wait, parts.clock.offset_ms()).await?;
        reach(Boundary::PollFinished);
        Ok(wait.min(LOOK))
    }

    /// The secret may have been replaced; a token that cannot be read or sent leaves the old one in use.
    fn read_credential(&mut self) {
        let Ok(token) = self.parts.settings.token.read() else { return };
        let credential = fingerprint(&self.parts.name, &token);
        if credential != self.credential && self.parts.client.set_token(&token).is_ok() {
            self.credential = credential;
        }
    }

    fn judge(&mut self, turn: &Turn, left: Left) -> Result<(PollEnd, Duration), StoreError> {
        let settings = &self.parts.settings;
        let random = rand::rng().random::<f64>();
        let throttled = matches!(left, Left::Failed(FetchError::Throttled { .. }));
        self.throttles = if throttled { self.throttles + 1 } else { 0 };
        Ok(match left {
            Left::CaughtUp => (PollEnd::CaughtUp, next_poll(settings.poll_interval, random)),
            Left::Stopped => (PollEnd::Paused, Duration::ZERO),
            Left::Full(wait) => (PollEnd::Paused, wait),
            Left::Stuck => {
                let error = "the stream says that more is ready, and its cursor does not move".to_owned();
                (PollEnd::Stuck { error }, next_poll(settings.poll_interval, random))
            }
            Left::Store(error) => return Err(error),
            Left::Failed(error) => {
                let trouble = Trouble {
                    failures: turn.failures,
                    cursor_refusals: turn.cursor_refusals,
                    throttles: self.throttles,
                    random,
                };
                let (mut end, wait) = after_failure(settings, &error, trouble);
                if let (PollEnd::Parked { refused_credential, .. }, FetchError::Unauthorized { .. }) =
                    (&mut end, &error)
                {
                    *refused_credential = Some(self.credential.clone());
                }
                (end, wait)
            }
        })
    }

    /// Logs and alerts once per change, not once per poll.
    async fn report(&self, turn: &Turn, end: &PollEnd, wait: Duration) -> Result<(), StoreError> {
        let (name, backoff_ms) = (&self.parts.name, wait.as_millis() as u64);
        let pool = &self.parts.pool;
        let subject = name.as_str();
        let code = match end {
            PollEnd::CaughtUp => {
                if turn.failures > 0 {
                    info!(source.name = %name, "source recovered");
                }
                // Whatever the row says: the first page after a trouble clears it, and that poll may end in a pause.
                store::alerts::resolve(pool, "source_parked", subject).await?;
                store::alerts::resolve(pool, "source_failing", subject).await?;
                store::alerts::resolve(pool, "cursor_stuck", subject).await?;
                let offset_ms = self.parts.clock.offset_ms();
                store::alerts::resolve_after(pool, "dead_cursor", subject, DEAD_CURSOR_STANDS, offset_ms).await?;
                "caught_up"
            }
            PollEnd::Paused => "paused",
            PollEnd::Failing { error } | PollEnd::CursorRefused { error } | PollEnd::Stuck { error } => {
                let failures = turn.failures + 1;
                if failures.is_power_of_two() {
                    warn!(source.name = %name, error, backoff_ms, "poll failed");
                }
                if failures >= 5 {
                    store::alerts::raise(pool, "source_failing", subject, error).await?;
                }
                if matches!(end, PollEnd::Stuck { .. }) {
                    store::alerts::raise(pool, "cursor_stuck", subject, error).await?;
                }
                "failing"
            }
            PollEnd::Throttled { whole_account } => {
                info!(source.name = %name, backoff_ms, whole_account, "source throttled");
                "throttled"
            }
            PollEnd::Parked { reason, hint, error, .. } => {
                error!(source.name = %name, reason, hint, error, "source parked");
                store::alerts::raise(pool, "source_parked", subject, hint).await?;
                "parked"
            }
            PollEnd::CursorDropped { error } => {
                error!(source.name = %name, error, "dead cursor dropped");
                store::alerts::raise(pool, "dead_cursor", subject, error).await?;
                "cursor_dropped"
            }
        };
        self.parts.metrics.polled(name, code);
        Ok(())
    }

    /// Reads until the end, a stop, a full limit or a fault; commits what was read before it.
    async fn read_stream(&mut self, turn: &Turn, drain: &CancellationToken) -> (Left, Commits) {
        let (pages, arrived) = channel(AHEAD);
        let fetching = tokio::spawn(fetch(Arc::clone(&self.parts), self.start(turn), pages, drain.clone()));
        let committed = self.commit(&turn.lease, arrived).await;
        // The receiver is gone: the fetching task ends at its next page at the latest.
        let left = match &committed {
            Ok(Commits::Done) => fetching.await.unwrap_or(Left::Stopped),
            Ok(Commits::Fenced) | Err(_) => {
                fetching.abort();
                let _ = fetching.await; // its request ends before a new turn begins
                Left::Stopped
            }
        };
        match committed {
            Ok(commits) => (left, commits),
            Err(error) => (Left::Store(error), Commits::Done),
        }
    }

    fn start(&self, turn: &Turn) -> Position {
        if let Some(cursor) = &turn.cursor {
            return Position::Cursor(cursor.clone());
        }
        match turn.rewind {
            Some(Rewind::ToBeginning) => return Position::Oldest,
            Some(Rewind::To(instant)) => return Position::From(instant),
            None => {}
        }
        if let (true, Some(ago)) = (turn.cursor_was_dropped, turn.since_success) {
            let back = ago + RESTART_MARGIN;
            return if back < RETENTION { Position::From(turn.taken_at - back) } else { Position::Oldest };
        }
        self.parts.settings.start_from.map_or(Position::Oldest, Position::From)
    }

    /// Commits pages in groups as they arrive, until the sender is done.
    async fn commit(
        &mut self,
        lease: &SourceLease,
        mut arrived: Receiver<JoinHandle<DecodedPage>>,
    ) -> Result<Commits, StoreError> {
        loop {
            let next = tokio::time::timeout(self.parts.lease / 3, arrived.recv()).await;
            let first = match next {
                Ok(Some(first)) => first,
                Ok(None) => return Ok(Commits::Done),
                Err(_) => {
                    // A slow answer: keep the turn meanwhile.
                    if !self.renew(lease).await? {
                        return Ok(Commits::Fenced);
                    }
                    continue;
                }
            };
            let mut group = Vec::with_capacity(GROUP);
            let mut next = Some(first);
            while let Some(handle) = next {
                let Ok(page) = handle.await else { return Ok(Commits::Done) };
                group.push(page);
                next = if group.len() < GROUP { arrived.try_recv().ok() } else { None };
            }
            if self.commit_group(lease, &group).await? == Commits::Fenced {
                return Ok(Commits::Fenced);
            }
        }
    }

    async fn renew(&self, lease: &SourceLease) -> Result<bool, StoreError> {
        let parts = &self.parts;
        store::sources::renew(&parts.pool, lease, parts.lease, parts.clock.offset_ms()).await
    }

    async fn commit_group(&mut self, lease: &SourceLease, group: &[DecodedPage]) -> Result<Commits, StoreError> {
        let rows: Vec<&Row> = group.iter().flat_map(|page| &page.rows).collect();
        let refused: Vec<&Refused> = group.iter().flat_map(|page| &page.refused).collect();
        let cursor = group.iter().rev().find_map(|page| page.next_page_id.as_deref());
        let began_at = self.parts.clock.now();
        let stored = match self.store(lease, &rows, &refused, cursor, group.len()).await {
            Err(error) if error.is_about_the_data() => {
                warn!(source.name = %self.parts.name, error = chain(&error), "pages stored order by order");
                self.store_singly(lease, &rows, &refused, cursor, group.len()).await?
            }
            other => other?,
        };
        let Stored::Committed { inserted, quarantined } = stored else { return Ok(Commits::Fenced) };
        reach(Boundary::PagesCommitted);
        if inserted > 0 {
            self.parts.wake.wake_all();
            self.trace(&rows, began_at);
        }
        let received = group.iter().map(|page| page.received as u64).sum();
        debug!(
            source.name = %self.parts.name, page.orders = received, page.new_versions = inserted,
            pages = group.len(), "pages stored"
        );
        let commit = Committed { pages: group.len() as u64, inserted, received, quarantined };
        self.parts.metrics.committed(&self.parts.name, commit, self.parts.clock.wall().timestamp());
        for (verdict, times) in page::verdicts(group) {
            self.parts.metrics.verdict(&self.parts.name, verdict, times);
        }
        self.tell_oddities(group, quarantined).await?;
        Ok(Commits::Done)
    }

    /// Those that were stored before, too: told again they are the same spans.
    fn trace(&self, rows: &[&Row], began_at: DateTime<Utc>) {
        let ended_at = self.parts.clock.now();
        for row in rows {
            let (order, verdict) = row.told();
            self.parts.traces.stored(StoredVersion {
                source: &self.parts.name,
                order_id: &order.id,
                version: order.version,
                status: order.status.as_str(),
                verdict,
                began_at,
                ended_at,
            });
        }
    }

    async fn store(
        &self,
        lease: &SourceLease,
        rows: &[&Row],
        refused: &[&Refused],
        cursor: Option<&str>,
        pages: usize,
    ) -> Result<Stored, StoreError> {
        let (versions, conflicts) = page::columns(rows.iter().copied());
        let undecodable = page::refused_columns(refused.iter().copied().chain(&conflicts));
        let group = PageGroup { versions, undecodable, cursor, pages: pages as i64 };
        let parts = &self.parts;
        store::ingest::store_pages(&parts.pool, lease, &group, parts.lease, parts.clock.offset_ms()).await
    }

    /// The database would not take the group for its data: each order by itself, the culprits into quarantine, the
    /// cursor last. A crash in between reads the pages again.
    async fn store_singly(
        &self,
        lease: &SourceLease,
        rows: &[&Row],
        refused: &[&Refused],
        cursor: Option<&str>,
        pages: usize,
    ) -> Result<Stored, StoreError> {
        let (mut inserted_before, mut quarantined_before) = (0, 0);
        let mut culprits = Vec::new();
        for row in rows {
            match self.store(lease, std::slice::from_ref(row), &[], None, 0).await {
                Ok(Stored::Committed { inserted, quarantined }) => {
                    inserted_before += inserted;
                    quarantined_before += quarantined;
                }
                Ok(Stored::Fenced) => return Ok(Stored::Fenced),
                Err(error) if error.is_about_the_data() => {
                    culprits.push(row.refuse("refused_by_database", "the database does not take it".to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        let refused: Vec<&Refused> = refused.iter().copied().chain(&culprits).collect();
        Ok(match self.store(lease, &[], &refused, cursor, pages).await? {
            Stored::Committed { inserted, quarantined } => Stored::Committed {
                inserted: inserted + inserted_before,
                quarantined: quarantined + quarantined_before,
            },
            Stored::Fenced => Stored::Fenced,
        })
    }

    /// One alert per source with something in quarantine, one per status text that nobody documented.
    async fn tell_oddities(&mut self, group: &[DecodedPage], quarantined: u64) -> Result<(), StoreError> {
        let parts = Arc::clone(&self.parts);
        if quarantined > 0 {
            warn!(source.name = %parts.name, orders = quarantined, "order quarantined");
            let hint = "orders that could not be taken in stand in `quarantine`";
            store::alerts::raise(&parts.pool, "quarantined", parts.name.as_str(), hint).await?;
        }
        for status in page::unknown_statuses(group) {
            if self.known_oddities.len() < 100 && self.known_oddities.insert(status.to_owned()) {
                warn!(source.name = %parts.name, order.status = status, "unknown status received");
                let subject = format!("{}/{status}", parts.name);
                let hint = "orders in this status are stored, and neither sent nor reversed";
                store::alerts::raise(&parts.pool, "unknown_status", &subject, hint).await?;
            }
        }
        Ok(())
    }
}

/// Fetches page after page and has each decoded; one page of a cursor at a time.
async fn fetch(
    parts: Arc<Parts>,
    mut position: Position,
    pages: Sender<JoinHandle<DecodedPage>>,
    drain: CancellationToken,
) -> Left {
    let limits = limits(&parts.name, &parts.settings);
    loop {
        if drain.is_cancelled() {
            return Left::Stopped;
        }
        if !limits.is_empty() {
            match store::sources::pause(&parts.pool, &parts.name, parts.clock.offset_ms()).await {
                Ok(None) => {}
                Ok(Some(wait)) => return Left::Full(wait),
                Err(error) => return Left::Store(error),
            }
        }
        match store::budgets::reserve_minute(&parts.pool, &limits, parts.clock.offset_ms()).await {
            Ok(Reserved::Granted) => {}
            Ok(Reserved::Full { wait }) if wait <= PATIENCE => {
                tokio::select! {
                    () = tokio::time::sleep(wait) => continue,
                    () = drain.cancelled() => return Left::Stopped,
                }
            }
            Ok(Reserved::Full { wait }) => return Left::Full(wait),
            Err(error) => return Left::Store(error),
        }
        reach(Boundary::PageRequested);
        let fetched = tokio::select! {
            fetched = parts.client.fetch(&position) => fetched,
            () = drain.cancelled() => return Left::Stopped,
        };
        let page = match fetched {
            Ok(page) => page,
            Err(error) => return Left::Failed(error),
        };
        reach(Boundary::PageAnswered);
        let more = page.has_more;
        let empty = page.orders.is_empty();
        let next = page.next_page_id.clone();
        let decoding = tokio::task::spawn_blocking(move || page::decode(page));
        if pages.send(decoding).await.is_err() {
            return Left::Stopped; // the commits ended first; they say why
        }
        let moved = match (&position, &next) {
            (Position::Cursor(before), Some(after)) => before != after,
            (_, Some(_)) => true,
            // Contradicts the documents when a cursor was sent: it stays where it is.
            (_, None) => false,
        };
        if !more {
            return Left::CaughtUp;
        }
        if !moved {
            return Left::Stuck;
        }
        if empty {
            debug!(source.name = %parts.name, "empty page with more to come");
        }
        if let Some(next) = next {
            position = Position::Cursor(next);
        }
    }
}

/// Tells one token from another without telling what it is.
fn fingerprint(source: &SourceName, token: &SecretString) -> String {
    let digest = Sha256::digest(format!("{source}|{}", token.expose_secret()));
    hex::encode(&digest[..8])
}
