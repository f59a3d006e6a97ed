//! A sink under test with its simulator, and what the rules do with both.

use std::{collections::BTreeSet, time::Duration};

use scoffable_sync::{
    delivery::dispatcher::Tick,
    domain::ids::SinkName,
    simulator::{
        faults::{Fault, plainly},
        scoffable::Limits,
    },
    store::operations::{self, Named, Operator},
};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::app::{Delivery, PATIENCE, Setup, TestApp, order};

/// What the sink under test is called in every configuration.
pub const NAME: &str = "subject";
/// What [`order`] comes to.
pub const TOTAL: i64 = 1250;

/// A simulated destination with the sink for it.
pub trait Subject: Sized {
    /// How many requests bring a new order, and as many at most a correction.
    const STEPS: usize;
    /// Whether a 401 is answered with fresh credentials and one repeat.
    const REFRESHES: bool;
    /// How old credentials are at least when fresh ones are asked for.
    const REFRESHES_AFTER: Duration = Duration::ZERO;
    /// After this a look-up certainly sees an effect; none: it may never.
    const SEEN_AFTER: Option<Duration>;
    /// How many rounds read and note what the first request rests on, without one.
    const NOTES: usize = 0;
    /// What a delivery may go on waiting for although its order stands there as it should; nothing: it is applied then.
    const STAYS_FOR: &str = "";
    /// State of a delivery whose version was refused.
    const REFUSED_IS: &str = "parked";
    /// Credentials that nobody may see.
    const SECRETS: &[&str];

    /// Starts the simulator on the setup's clock and adds the sink [`NAME`] for it.
    async fn start(setup: Setup) -> (Self, Setup);
    /// What else it needs once the daemon's parts are there.
    async fn complete(_app: &TestApp) {}

    /// What should stand of an order that comes to so much.
    fn wanted(total: i64) -> Vec<Standing> {
        vec![Standing { total, settled: total }]
    }

    /// As what a planned step's body goes out; none: it only reads.
    fn goes_out(planned: &str) -> Option<Vec<u8>> {
        Some(planned.as_bytes().to_vec())
    }

    /// The next requests are treated like this, look-ups included.
    fn answer_next(&self, faults: Vec<Fault>);
    /// Forgets what is left of the script.
    fn clear_script(&self);
    /// So are the next look-ups, whatever else is asked in between.
    fn answer_look_ups(&self, faults: Vec<Fault>);
    /// No look-up will ever see the effect that comes after so many.
    fn hide_effect(&self, after: usize);

    /// How often anything was asked.
    fn n_requests(&self) -> u64;
    /// Well-formed requests for an effect, oldest first.
    fn asked(&self) -> Vec<Asked>;
    /// How many effects there have been.
    fn n_effects(&self) -> usize;
    fn is_busy_with(&self, order_id: &str) -> bool;
    /// What stands of an order; more than one is wrong already.
    fn stands(&self, order_id: &str) -> Vec<Standing>;
    /// What a correct client never does, and what was done twice.
    fn wrongs(&self) -> Vec<String>;
    /// What the destination calls the order, as a person sees it there.
    fn id_of(&self, order_id: &str) -> Option<String>;
}

/// One request for an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Idempotency key, or what else tells it from others.
    pub key: String,
    pub body: Vec<u8>,
}

/// What stands of an order, in minor units; of a destination that knows no amounts both are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub total: i64,
    /// Paid, settled, posted: whatever the destination calls it.
    pub settled: i64,
}

/// A subject at work, alone unless the setup says otherwise.
pub struct Case<S> {
    pub app: TestApp,
    pub there: S,
}

/// A breaker that stays out of the way.
pub fn patient(setup: Setup) -> Setup {
    setup.with("sinks.subject.breaker.failures", "1000")
}

/// This fault, after so many requests that go well.
pub fn at(step: usize, fault: Fault) -> Vec<Fault> {
    let mut script = vec![plainly(); step];
    script.push(fault);
    script
}

impl<S: Subject> Case<S> {
    pub async fn start() -> Self {
        Self::of(Setup::default().without_hook()).await
    }

    pub async fn patient() -> Self {
        Self::of(patient(Setup::default().without_hook())).await
    }

    pub async fn of(mut setup: Setup) -> Self {
        // The stream is not what is looked at here.
        setup.stream.limits = Limits::NONE;
        let (there, setup) = S::start(setup).await;
        let app = setup.start().await;
        S::complete(&app).await;
        Self { app, there }
    }

    pub async fn delivery(&self, order_id: &str) -> Delivery {
        self.app.delivery_at(NAME, order_id).await
    }

    pub async fn state(&self, order_id: &str) -> String {
        self.delivery(order_id).await.state
    }

    /// A new order arrives, one of whose requests meets this.
    pub async fn new_order_meets(&mut self, order_id: &str, step: usize, fault: Fault) {
        self.there.answer_next(at(step, fault));
        self.app.arrives(&order(order_id, 1, "accepted")).await;
    }

    pub async fn arrives(&mut self, order: &Value) {
        self.app.arrives(order).await;
    }

    pub async fn run_to_rest(&mut self) {
        self.app.run_until_only(S::STAYS_FOR).await;
    }

    /// Whatever its first request rests on is read and noted of what was stored: the next round makes it.
    pub async fn noted(&mut self) {
        for _ in 0..S::NOTES {
            self.app.dispatchers[0].tick().await.expect("the database answers");
        }
    }

    /// The process is lost right after so many more effects, before it could record the last.
    pub async fn lost_after(&mut self, effects: usize, order_id: &str) {
        let never = CancellationToken::new();
        self.there.answer_next(at(effects - 1, plainly().answered_when(&never)));
        let mut dispatchers = std::mem::take(&mut self.app.dispatchers);
        let until = self.there.n_effects() + effects;
        tokio::select! {
            () = async { loop { assert_eq!(dispatchers[0].tick().await.expect("the database answers"), Tick::Worked(1)) } } => {}
            () = eventually("the effect", || self.there.n_effects() == until) => {}
        }
        drop(dispatchers);
        eventually("its connection is gone", || !self.there.is_busy_with(order_id)).await;
        self.app.restart().await;
    }

    /// Exactly this stands, and it stands in the books as well.
    pub async fn assert_applied(&self, order_id: &str, total: i64) {
        assert_eq!(self.there.stands(order_id), S::wanted(total), "{order_id}");
        self.assert_brought(order_id).await;
        self.assert_no_wrong();
    }

    /// By its own row.
    pub async fn assert_brought(&self, order_id: &str) {
        let delivery = self.delivery(order_id).await;
        let is_applied = delivery.state == "applied" && delivery.applied == Some(delivery.wanted);
        let stays = !S::STAYS_FOR.is_empty() && delivery.waiting_for.as_deref() == Some(S::STAYS_FOR);
        assert!(is_applied || stays, "{delivery:?}");
    }

    pub async fn assert_nothing_stands(&self, order_id: &str) {
        assert_eq!(self.there.stands(order_id), [], "{order_id}");
        let state = self.state(order_id).await;
        assert!(["applied", "skipped"].contains(&state.as_str()), "{order_id} is {state}");
        self.assert_no_wrong();
    }

    pub fn assert_no_wrong(&self) {
        let wrongs = self.there.wrongs();
        assert!(wrongs.is_empty(), "{wrongs:#?}");
    }

    /// No request was made twice.
    pub fn assert_each_asked_once(&self) {
        let asked = self.there.asked();
        let different: BTreeSet<&str> = asked.iter().map(|asked| asked.key.as_str()).collect();
        assert_eq!(different.len(), asked.len(), "{asked:#?}");
    }

    pub async fn sink(&self) -> String {
        let state: String = sqlx::query_scalar("SELECT state FROM sinks WHERE name = $1")
            .bind(NAME)
            .fetch_one(&self.app.pool)
            .await
            .expect("the sink has its row");
        state
    }

    pub async fn adopt(&self, order_id: &str, id: &str) {
        let (sink, offset) = (name(), self.app.clock.offset_ms());
        let done = operations::adopt(&self.app.pool, named(&sink, &[order_id.to_owned()]), id, PERSON, offset).await;
        done.expect("it can be adopted");
    }

    pub async fn retry(&self, order_id: &str) {
        let (sink, offset) = (name(), self.app.clock.offset_ms());
        let done = operations::retry(&self.app.pool, named(&sink, &[order_id.to_owned()]), PERSON, offset).await;
        done.expect("it can be retried");
    }

    pub async fn discard(&self, order_id: &str) {
        let (sink, offset) = (name(), self.app.clock.offset_ms());
        let done = operations::discard(&self.app.pool, named(&sink, &[order_id.to_owned()]), PERSON, offset).await;
        done.expect("it can be discarded");
    }
}

const PERSON: Operator<'_> = Operator { who: "ada", why: None };

fn name() -> SinkName {
    SinkName::parse(NAME).expect("a valid name")
}

fn named<'a>(sink: &'a SinkName, order_ids: &'a [String]) -> Named<'a> {
    Named { sink, source: None, order_ids }
}

/// Waits for what another task does.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
