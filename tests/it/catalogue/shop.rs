//! A destination with products and customers in the test's hand: what is changed in it, whether it tells, and what it was
//! asked.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use scoffable_sync::{
    catalogue::worker::{Tick, Worker},
    clock::Clock,
    config::CatalogueSettings,
    delivery::{calls::Budget, driver::Driver},
    domain::{
        catalogue::{Costs, Cursor, Kind, Looked, Page, Record, RemoteState, Span, digest},
        delivery::{Outcome, Plan, Reason, Step},
        ids::SinkName,
        reconciliation::{Holding, Seen},
    },
    sinks::{
        Answer, Sink, Turns, View,
        catalogue::{ByHand, Catalogue, Missed, Reading},
        links::LinkKind,
    },
};
use tokio::sync::Notify;

use crate::harness::app::{SINK, TestApp};

/// How it counts changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    Time,
    Versions,
}

/// Something in the shop.
#[derive(Debug, Clone)]
pub struct Thing {
    pub kind: Kind,
    pub name: String,
    pub state: RemoteState,
    pub survivor: Option<String>,
    pub local_key: Option<String>,
    version: i64,
    modified_at: DateTime<Utc>,
    /// Whether the feed of changes knows of it.
    told: bool,
}

type Act = Box<dyn FnOnce(&Shop) + Send>;

#[derive(Default)]
struct Inside {
    things: BTreeMap<(Kind, String), Thing>,
    version: i64,
    calls: Vec<String>,
    failing: BTreeSet<String>,
    answers: VecDeque<Outcome>,
    /// Done right before the page of this number is answered.
    before_page: Option<(usize, Act)>,
    /// No answer comes to the request for this page.
    silent_from: Option<usize>,
    pages: usize,
    largest_page: usize,
    by_hand: Vec<ByHand>,
    /// How far its clock is ahead.
    ahead: Duration,
    worth: BTreeMap<String, i64>,
}

pub struct Shop {
    clock: Clock,
    counts: Counts,
    kinds: Vec<Kind>,
    /// Rung when a request gets no answer.
    pub silent: Notify,
    inside: Mutex<Inside>,
}

impl Shop {
    pub fn new(clock: &Clock, counts: Counts, kinds: &[Kind]) -> Arc<Self> {
        let (clock, kinds) = (clock.clone(), kinds.to_vec());
        Arc::new(Self { clock, counts, kinds, silent: Notify::new(), inside: Mutex::default() })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nothing panics with it")
    }

    /// Makes or changes something, and tells of it.
    pub fn put(&self, kind: Kind, id: &str, name: &str) {
        self.change(kind, id, true, |thing| name.clone_into(&mut thing.name));
    }

    /// The same, and the feed of changes stays silent.
    pub fn put_in_silence(&self, kind: Kind, id: &str, name: &str) {
        self.change(kind, id, false, |thing| name.clone_into(&mut thing.name));
    }

    pub fn change(&self, kind: Kind, id: &str, told: bool, change: impl FnOnce(&mut Thing)) {
        let modified_at = self.clock.wall();
        let mut inside = self.inside();
        inside.version += 1;
        let version = inside.version;
        let thing = inside.things.entry((kind, id.to_owned())).or_insert_with(|| Thing {
            kind,
            name: String::new(),
            state: RemoteState::Active,
            survivor: None,
            local_key: None,
            version,
            modified_at,
            told,
        });
        change(thing);
        (thing.version, thing.modified_at, thing.told) = (version, modified_at, told);
    }

    /// It is gone without a word.
    pub fn remove(&self, kind: Kind, id: &str) {
        self.inside().things.remove(&(kind, id.to_owned()));
    }

    /// A look at it gets no answer that can be used.
    pub fn fails_at(&self, id: &str) {
        self.inside().failing.insert(id.to_owned());
    }

    /// The next request for changes is answered so.
    pub fn answers(&self, outcome: Outcome) {
        self.inside().answers.push_back(outcome);
    }

    /// Pages are counted from 1 over all pulls.
    pub fn before_page(&self, page: usize, act: impl FnOnce(&Self) + Send + 'static) {
        self.inside().before_page = Some((page, Box::new(act)));
    }

    pub fn is_silent_from(&self, page: Option<usize>) {
        self.inside().silent_from = page;
    }

    pub fn links_by_hand(&self, kind: LinkKind, local_key: &str, remote_id: &str) {
        let (local_key, remote_id) = (local_key.to_owned(), remote_id.to_owned());
        self.inside().by_hand.push(ByHand { kind, local_key, remote_id });
    }

    pub fn is_ahead_by(&self, ahead: Duration) {
        self.inside().ahead = ahead;
    }

    /// What it says that an order is worth.
    pub fn says_worth(&self, order_id: &str, minor: i64) {
        self.inside().worth.insert(order_id.to_owned(), minor);
    }

    pub fn pages(&self) -> usize {
        self.inside().pages
    }

    pub fn largest_page(&self) -> usize {
        self.inside().largest_page
    }

    /// What it was asked since the last time.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.inside().calls)
    }

    fn record(id: &str, thing: &Thing, counts: Counts) -> Record {
        Record {
            kind: thing.kind,
            remote_id: id.to_owned(),
            key: Some(id.to_owned()),
            name: (thing.kind == Kind::Product).then(|| thing.name.clone()),
            remote_version: (counts == Counts::Versions).then(|| thing.version.to_string()),
            remote_modified_at: (counts == Counts::Time).then_some(thing.modified_at),
            remote_state: thing.state,
            fields_hash: digest(&[Some(&thing.name), Some(thing.state.as_str())]),
            survivor: thing.survivor.clone(),
            local_key: thing.local_key.clone(),
        }
    }

    fn page(&self, kind: Kind, span: Span) -> Page {
        let mut inside = self.inside();
        let is_new = |thing: &Thing| match span.since {
            None => true,
            Some(Cursor::At(at)) => thing.told && thing.modified_at >= at,
            Some(Cursor::Version(version)) => thing.told && thing.version > version,
        };
        let mut changed: Vec<(&(Kind, String), &Thing)> =
            inside.things.iter().filter(|((of, _), thing)| *of == kind && is_new(thing)).collect();
        changed.sort_by_key(|(_, thing)| thing.version);
        let size = span.page_size as usize;
        let skipped = (span.page as usize - 1) * size;
        let on_page: Vec<_> = changed.iter().skip(skipped).take(size).collect();
        let page = Page {
            records: on_page.iter().map(|((_, id), thing)| Self::record(id, thing, self.counts)).collect(),
            date: Some(self.clock.wall() + inside.ahead),
            version: on_page.last().filter(|_| self.counts == Counts::Versions).map(|(_, thing)| thing.version),
            has_more: changed.len() > skipped + on_page.len(),
        };
        inside.largest_page = inside.largest_page.max(page.records.len());
        page
    }
}

impl Catalogue for Shop {
    fn kinds(&self) -> Vec<Kind> {
        self.kinds.clone()
    }

    fn newest<'a>(&'a self, kind: Kind, turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Cursor> {
        Box::pin(async move {
            match self.counts {
                Counts::Time => Ok(Cursor::At(now)),
                Counts::Versions => {
                    if !turns.next().await {
                        return Err(Missed::NoTurn);
                    }
                    let mut inside = self.inside();
                    inside.calls.push(format!("newest {kind}"));
                    Ok(Cursor::Version(inside.version))
                }
            }
        })
    }

    fn changes<'a>(&'a self, kind: Kind, span: Span, turns: &'a dyn Turns, _: DateTime<Utc>) -> Reading<'a, Page> {
        Box::pin(async move {
            if !turns.next().await {
                return Err(Missed::NoTurn);
            }
            let (answer, act, is_silent) = {
                let mut inside = self.inside();
                inside.calls.push(format!("changes {kind}"));
                inside.pages += 1;
                let n = inside.pages;
                let act = inside.before_page.take_if(|(page, _)| *page == n).map(|(_, act)| act);
                (inside.answers.pop_front(), act, inside.silent_from.is_some_and(|page| n >= page))
            };
            turns.heard(&[], 0).await;
            if is_silent {
                self.silent.notify_one();
                std::future::pending::<()>().await;
            }
            if let Some(outcome) = answer {
                return Err(Answer::from(outcome).into());
            }
            if let Some(act) = act {
                act(self);
            }
            Ok(self.page(kind, span))
        })
    }

    fn look<'a>(
        &'a self,
        kind: Kind,
        remote_id: &'a str,
        turns: &'a dyn Turns,
        _: DateTime<Utc>,
    ) -> Reading<'a, Looked> {
        Box::pin(async move {
            if !turns.next().await {
                return Err(Missed::NoTurn);
            }
            turns.heard(&[], 0).await;
            let mut inside = self.inside();
            inside.calls.push(format!("look {kind} {remote_id}"));
            if inside.failing.contains(remote_id) {
                return Err(Answer::from(Outcome::Unknown { reason: Reason::ServerError }).into());
            }
            Ok(match inside.things.get(&(kind, remote_id.to_owned())) {
                Some(thing) => Looked::Found(vec![Self::record(remote_id, thing, self.counts)]),
                None => Looked::Absent,
            })
        })
    }

    fn count<'a>(&'a self, kind: Kind, _: &'a dyn Turns, _: DateTime<Utc>) -> Reading<'a, Option<u64>> {
        let n = self.inside().things.keys().filter(|(of, _)| *of == kind).count() as u64;
        Box::pin(std::future::ready(Ok(Some(n))))
    }

    fn by_hand(&self) -> Vec<ByHand> {
        self.inside().by_hand.clone()
    }

    fn costs(&self) -> Costs {
        Costs { product: 1, customer: 1, ten_orders: 10, documents_at_once: 10 }
    }
}

impl Sink for Shop {
    fn kind(&self) -> &'static str {
        "shop"
    }

    fn plan(&self, _: &View<'_>) -> Plan {
        Plan::Unread
    }

    fn send<'a>(&'a self, _: &'a Step, _: DateTime<Utc>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Outcome::Reject { reason: Reason::Refused }.into()))
    }

    fn verifies(&self) -> Option<usize> {
        (!self.inside().worth.is_empty()).then_some(10)
    }

    fn verify<'a>(&'a self, held: &'a [Holding], turns: &'a dyn Turns, _: DateTime<Utc>) -> BoxFuture<'a, Vec<Seen>> {
        Box::pin(async move {
            turns.next().await;
            let mut inside = self.inside();
            inside.calls.push(format!("verify {}", held.len()));
            held.iter()
                .map(|holding| match inside.worth.get(holding.order.order_id.as_str()) {
                    Some(minor) => Seen::Worth(*minor),
                    None => Seen::Untold("total_untold".to_owned()),
                })
                .collect()
        })
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(self)
    }
}

/// The shop's keeper in this process.
pub fn keeper(app: &TestApp, shop: &Arc<Shop>, settings: CatalogueSettings) -> Worker {
    let name = SinkName::parse(SINK).expect("a valid name");
    let rules = &app.settings.sinks[&name];
    let driver = Driver {
        budget: Budget::of(&name, rules, &[String::new()], &app.line(), &app.clock),
        name,
        sink: Arc::clone(shop) as Arc<dyn Sink>,
        rules: rules.common.clone(),
        pool: app.line(),
        clock: app.clock.clone(),
        owner: scoffable_sync::app::owner(),
        lease: app.settings.delivery.lease,
        read_back: app.settings.delivery.read_back.clone(),
        lanes: vec![String::new()],
        dependents: Vec::new(),
        metrics: Arc::default(),
        traces: scoffable_sync::telemetry::traces::Traces::default(),
        slots: None,
    };
    Worker::new(Arc::new(driver), settings, chrono_tz::Tz::UTC)
}

/// Works until nothing is due. Returns the kinds that had a turn.
pub async fn work(keeper: &mut Worker) -> Vec<Kind> {
    let mut worked = Vec::new();
    for _ in 0..1_000 {
        match keeper.tick().await.expect("the database answers") {
            Tick::Worked(kind) => worked.push(kind),
            Tick::Idle(_) => return worked,
        }
    }
    panic!("the catalogue never comes to rest");
}
