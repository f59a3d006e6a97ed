//! Books for the page. They are computed from every order of their days: where that is quick, whoever asks gets new ones.
//! Where it is not, they are read in the background, once for all who ask, and the page shows what was read last.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use chrono::{DateTime, Days, Utc};
use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared as ForAll},
};

use super::{
    super::{
        api::{self, CHANGE_LIMIT},
        server::{Refusal, Shared},
    },
    views::books::Ledger,
};
use crate::{
    domain::reconciliation::Statement,
    operate::reconcile::{self, By, Reconcile},
    store::operations::Operated,
};

/// Nobody waits longer for books that are being read.
const PATIENCE: Duration = Duration::from_millis(50);
/// Books that were slow to read serve for so many times as long as that took: reading them is a fifth of a connection's time.
const SERVES: u32 = 4;
/// Books that are older are not shown.
const STALE: Duration = Duration::from_mins(10);

/// The books of some days.
#[derive(Debug)]
pub struct Read {
    pub began_at: DateTime<Utc>,
    pub ledgers: Vec<Ledger>,
    began: Instant,
    took: Duration,
}

/// What there is to show.
#[derive(Debug)]
pub enum Shown {
    New(Arc<Read>),
    /// Newer ones are being read.
    Older(Arc<Read>),
    NotYet,
}

type Answer = Result<Arc<Read>, Refusal>;

/// What is known of the books of so many days.
#[derive(Default)]
struct Slot {
    last: Option<Arc<Read>>,
    reading: Option<ForAll<BoxFuture<'static, Answer>>>,
}

/// The books that were slow to read, by how many days they cover.
#[derive(Default)]
pub(in crate::ops) struct Reader(Mutex<BTreeMap<u32, Slot>>);

impl Read {
    fn serves(&self) -> bool {
        self.took > PATIENCE && self.began.elapsed() < self.took * (1 + SERVES)
    }
}

impl Reader {
    /// The books of the last days, as soon as somebody may be kept waiting for them.
    pub(super) async fn of(&self, shared: &Arc<Shared>, days: u32) -> Result<Shown, Refusal> {
        let (last, reading) = {
            let mut slots = self.slots();
            slots.retain(|_, slot| {
                slot.last.take_if(|last| last.began.elapsed() > STALE);
                // It came to grief: one that ends well is gone by then.
                slot.reading.take_if(|reading| reading.peek().is_some());
                slot.last.is_some() || slot.reading.is_some()
            });
            let slot = slots.entry(days).or_default();
            if let Some(last) = slot.last.as_ref().filter(|last| last.serves()) {
                return Ok(Shown::New(Arc::clone(last)));
            }
            (slot.last.clone(), slot.reading.get_or_insert_with(|| begin(Arc::clone(shared), days)).clone())
        };
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(read) => read.map(Shown::New),
            Err(_) => Ok(last.map_or(Shown::NotYet, Shown::Older)),
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u32, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, days: u32, answer: &Answer) {
        let mut slots = self.slots();
        let slot = slots.entry(days).or_default();
        slot.reading = None;
        if let Ok(read) = answer {
            slot.last = Some(Arc::clone(read));
        }
    }
}

/// Goes on whoever waits for it, until the process drains.
fn begin(shared: Arc<Shared>, days: u32) -> ForAll<BoxFuture<'static, Answer>> {
    let reading = tokio::spawn(async move {
        let work = Box::pin(read(&shared, days));
        let answer = tokio::select! {
            answer = api::attempt(&shared.books, CHANGE_LIMIT, work) => answer.map(Arc::new),
            () = shared.stop.cancelled() => Err(stopped()),
        };
        shared.reader.keep(days, &answer);
        answer
    });
    reading.map(|ended| ended.unwrap_or_else(|_| Err(stopped()))).boxed().shared()
}

fn stopped() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopped", "the books were not read to their end: ask again")
}

async fn read(shared: &Shared, days: u32) -> Operated<Read> {
    let (began_at, began) = (shared.ops.clock.now(), Instant::now());
    let request = Reconcile {
        sink: None,
        source: None,
        vendor: None,
        from: began_at.date_naive().checked_sub_days(Days::new(u64::from(days) - 1)),
        to: None,
        time_zone: chrono_tz::Tz::UTC,
        by: By::Day,
    };
    let pool = &shared.ops.pool;
    let mut ledgers = Vec::new();
    for sink in reconcile::sinks(pool, &request).await? {
        let mut visit = |_: &Statement| ControlFlow::Continue(());
        let books = reconcile::books(pool, &sink.name, &request, None, &mut visit, &mut api::in_time()).await?;
        ledgers.push(Ledger { sink: sink.name.to_string(), books });
    }
    Ok(Read { began_at, ledgers, began, took: began.elapsed() })
}
