//! The shell around every simulator: it listens, remembers, misbehaves and answers.
//!
//! What is particular to one foreign API is a [`Simulator`]: where its requests lead, which of them are right, what they
//! do. It never sees a fault. [`Sim`] runs it and treats each request alike:
//!
//! 1. The request is written into the journal, [found its way](Simulator::arrive), and refused or let in.
//! 2. A fault is drawn for it: from the script of its operation, else of all writes if it is one, else of all, else by dice.
//! 3. It is [checked](Simulator::check), refused or kept, and has its [effect](Simulator::perform), before and after
//!    which the fault may wait, unless the fault spares the effect.
//! 4. What it held is free again before the client can have seen the answer, or the fault's answer, or none.
//!
//! A handler whose client leaves is dropped where it waits: before the effect it has caused nothing.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::Hash,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, Response, StatusCode, Uri},
};
use serde_json::Value;

use super::{
    digest::short_hash,
    faults::{Answer, Chaos, Fault, Faults, Reach, Reply, Side, plainly},
    journal::{Arrival, Call, Journal, TimedOut},
    server::{Cut, Server},
    time::SimTime,
};

/// Where the summary for people is read.
pub const STATE_PATH: &str = "/_sim/state";
const MAX_BODY: usize = 16 * 1024 * 1024;
/// How many requests are kept with their bodies.
const KEPT_REQUESTS: usize = 10_000;

/// One foreign API. Its methods wait for nothing; they are called in the order in which they stand here.
pub trait Simulator: Send + Sync + Sized + 'static {
    /// What faults are scripted for, see [`Sim::answer_next_to`].
    type Operation: Copy + Eq + Hash + Send;
    /// Where a request leads.
    type Route: Send;
    /// A request of the right form and what it holds, until it is answered.
    type Job: Send;
    /// The same as it came, kept for tests.
    type Received: Clone + Send;

    /// Path and query as they may be written down: without credentials.
    fn masked(&self, uri: &Uri) -> (String, String) {
        (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned())
    }

    /// Finds a request's way, and refuses what is refused whatever fault is played.
    fn arrive(&self, incoming: &Incoming) -> Arrived<Self::Route>;

    fn operation(route: &Self::Route) -> Self::Operation;

    /// Whether it changes something, see [`Sim::answer_next_writes`].
    fn is_write(_operation: Self::Operation) -> bool {
        false
    }

    /// Tells requests apart that are no repeats of one another, see [`Faults::next`].
    fn key(&self, _route: &Self::Route, incoming: &Incoming) -> String {
        let Incoming { method, path, query, body, .. } = incoming;
        format!("{method} {path}?{query} {:x}", short_hash(&[body]))
    }

    /// A request came whose client may believe in its effect, unless it is [`told`](Self::told) what became of it.
    fn comes(&self, _route: &Self::Route) {}

    /// Reads a request, or refuses it for its form.
    fn check(&self, route: Self::Route, incoming: &Incoming) -> Result<(Self::Job, Self::Received), Answer>;

    /// Has the effect. Returns the right answer; where the fault's reply changes its content, it is changed already.
    fn perform(&self, job: &mut Self::Job, reply: &Reply) -> Answer;

    /// The client is now given the right answer, and cannot deny it.
    fn told(&self, _job: &Self::Job) {}

    /// What people want to know of it, as an object; the shell adds requests, answers and faults.
    fn state(&self) -> Value;

    /// What a client's base address has behind the port.
    fn base_path(&self) -> String {
        String::new()
    }
}

/// A simulator with a ledger of what was done to it.
pub trait Destination: Simulator {
    type Ledger;

    fn ledger(&self) -> MutexGuard<'_, Self::Ledger>;
}

/// A request with all of its body.
#[derive(Debug)]
pub struct Incoming {
    /// Since the simulator's start.
    pub at: Duration,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// See [`Simulator::masked`], like the next.
    pub path: String,
    /// Empty when there was none.
    pub query: String,
}

impl Incoming {
    /// None also when it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn bearer_token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// Going by its content type.
    pub fn is_json(&self) -> bool {
        let media_type = self.header("content-type").unwrap_or_default();
        media_type.split(';').next().map(str::trim) == Some("application/json")
    }

    pub fn has_query(&self) -> bool {
        self.uri.query().is_some()
    }

    /// What most simulators keep of it.
    pub fn received<O>(&self, operation: O) -> Received<O> {
        Received { operation, path: self.path.clone(), query: self.query.clone(), body: self.body.clone() }
    }
}

/// A request of the right form, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Received<O> {
    pub operation: O,
    pub path: String,
    /// Empty when there was none.
    pub query: String,
    pub body: Bytes,
}

impl<O: fmt::Debug> fmt::Debug for Received<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may hold personal data.
        write!(f, "Received({:?} {}?{})", self.operation, self.path, self.query)
    }
}

/// A request that was found its way.
#[derive(Debug)]
pub struct Arrived<R> {
    /// What it counts for in the journal, the most specific first.
    pub scopes: Vec<String>,
    pub route: Result<R, Answer>,
}

/// How a simulator is run.
#[derive(Debug)]
pub struct Setup {
    pub listen: SocketAddr,
    pub side: Side,
    /// Each answer takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    pub seed: u64,
    pub time: SimTime,
    /// What else is served on the same address, outside of the shell.
    pub beside: Router,
}

/// A running simulator. Dropping it stops it at once.
pub struct Sim<S: Simulator> {
    server: Server,
    shell: Arc<Shell<S>>,
}

struct Shell<S: Simulator> {
    simulator: S,
    latency: Duration,
    time: SimTime,
    faults: Faults,
    /// Faults for the next requests of one operation.
    targeted: Mutex<HashMap<S::Operation, VecDeque<Fault>>>,
    /// Those for the next writes.
    writes: Mutex<VecDeque<Fault>>,
    received: Mutex<VecDeque<S::Received>>,
    journal: Journal,
}

impl<S: Simulator> Sim<S> {
    /// Fails when the address cannot be listened on.
    pub(super) async fn serve(simulator: S, setup: Setup) -> io::Result<Self> {
        let Setup { listen, side, latency, chaos, seed, time, beside } = setup;
        let shell = Arc::new(Shell {
            simulator,
            latency,
            time,
            faults: Faults::new(side, chaos, seed),
            targeted: Mutex::default(),
            writes: Mutex::default(),
            received: Mutex::default(),
            journal: Journal::default(),
        });
        let router = Router::new().fallback(handle::<S>).with_state(Arc::clone(&shell)).merge(beside);
        Ok(Self { server: Server::start(listen, router).await?, shell })
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What a client is configured with; without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address(), self.simulator().base_path())
    }

    pub fn journal(&self) -> &Journal {
        &self.shell.journal
    }

    pub fn faults(&self) -> &Faults {
        &self.shell.faults
    }

    /// See [`Faults::answer_next`]; look-ups are requests, too.
    pub fn answer_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shell.faults.answer_next(faults);
    }

    /// The next requests of one operation are treated like this, one each, whatever else is asked in between.
    pub fn answer_next_to(&self, operation: S::Operation, faults: impl IntoIterator<Item = Fault>) {
        self.shell.targeted().entry(operation).or_default().extend(faults);
    }

    /// So are the next writes, whatever they write, whatever is read in between.
    pub fn answer_next_writes(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shell.writes().extend(faults);
    }

    /// How many of those faults for one operation nobody has met yet.
    pub fn scripted_left(&self, operation: S::Operation) -> usize {
        self.shell.targeted().get(&operation).map_or(0, VecDeque::len)
    }

    /// Forgets what is left of every script.
    pub fn clear_script(&self) {
        self.faults().clear_script();
        self.shell.targeted().clear();
        self.shell.writes().clear();
    }

    /// Well-formed requests, oldest first, also those that were then answered with a fault.
    pub fn received(&self) -> Vec<S::Received> {
        self.shell.received().iter().cloned().collect()
    }

    pub fn state(&self) -> Value {
        self.shell.state()
    }

    pub(super) fn simulator(&self) -> &S {
        &self.shell.simulator
    }
}

impl<S: Destination> Sim<S> {
    /// Held only for a moment: requests wait meanwhile, and a second one in the same expression for ever.
    pub fn ledger(&self) -> MutexGuard<'_, S::Ledger> {
        self.simulator().ledger()
    }

    /// Waits for a condition on the ledger, which is looked at whenever a request begins, has its effect, or ends.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&S::Ledger) -> bool,
        deadline: Duration,
    ) -> Result<(), TimedOut> {
        self.journal().wait_until(|_| condition(&self.ledger()), deadline).await
    }
}

impl<S: Simulator> fmt::Debug for Sim<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("server", &self.server).finish_non_exhaustive()
    }
}

async fn handle<S: Simulator>(
    State(shell): State<Arc<Shell<S>>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET && parts.uri.path() == STATE_PATH {
        return Answer::of(StatusCode::OK, &shell.state()).response();
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        // The client left in the middle, which is its right; or it sends more than anybody should.
        return Answer::json(413, Bytes::new()).response();
    };
    let (path, query) = shell.simulator.masked(&parts.uri);
    let at = shell.time.elapsed();
    let incoming = Incoming { at, method: parts.method, uri: parts.uri, headers: parts.headers, body, path, query };
    let Arrived { scopes, route } = shell.simulator.arrive(&incoming);
    let call = shell.journal.begin(Arrival {
        at,
        method: incoming.method.to_string(),
        path: incoming.path.clone(),
        query: incoming.query.clone(),
        scopes,
    });
    let response = match route {
        Ok(route) => shell.treat(route, &incoming, &call, &cut).await.unwrap_or_else(Answer::response),
        Err(refusal) => refusal.response(),
    };
    if !cut.is_asked_for() {
        call.answers(response.status().as_u16());
    }
    response
}

impl<S: Simulator> Shell<S> {
    fn targeted(&self) -> MutexGuard<'_, HashMap<S::Operation, VecDeque<Fault>>> {
        self.targeted.lock().expect("nothing panics while the script is held")
    }

    fn writes(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.writes.lock().expect("nothing panics while the script is held")
    }

    fn received(&self) -> MutexGuard<'_, VecDeque<S::Received>> {
        self.received.lock().expect("nothing panics while the requests are held")
    }

    /// Plays a fault around an effect. An error is a refusal.
    async fn treat(
        &self,
        route: S::Route,
        incoming: &Incoming,
        call: &Call,
        cut: &Cut,
    ) -> Result<Response<Body>, Answer> {
        let fault = self.next_fault(&route, incoming, call);
        if !fault.refuses_clearly() {
            self.simulator.comes(&route);
        }
        if fault.refuses_to_read() {
            return Ok(fault.disguise(Answer::json(200, Bytes::new()), cut));
        }
        let (mut job, received) = self.simulator.check(route, incoming)?;
        self.keep(received);
        self.journal.touch();

        fault.wait_before().await;
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let answer = match fault.reach() {
            Reach::Nothing => Answer::json(200, Bytes::new()),
            Reach::Effect => self.simulator.perform(&mut job, fault.reply()),
        };
        self.journal.touch();
        fault.wait_after().await;
        if fault.is_answered_rightly() {
            self.simulator.told(&job);
        }
        drop(job);
        Ok(fault.disguise(answer, cut))
    }

    fn next_fault(&self, route: &S::Route, incoming: &Incoming, call: &Call) -> Fault {
        let operation = S::operation(route);
        let targeted = self.targeted().get_mut(&operation).and_then(VecDeque::pop_front);
        let of_writes = || if S::is_write(operation) { self.writes().pop_front() } else { None };
        let any = || self.faults.next(&self.simulator.key(route, incoming));
        let fault = targeted.or_else(of_writes).or_else(any);
        if let Some(fault) = &fault {
            call.plays(fault.name());
        }
        fault.unwrap_or_else(plainly)
    }

    fn keep(&self, received: S::Received) {
        let mut all = self.received();
        if all.len() == KEPT_REQUESTS {
            all.pop_front();
        }
        all.push_back(received);
    }

    fn state(&self) -> Value {
        let mut state = self.simulator.state();
        state["requests"] = self.journal.total().into();
        state["answers"] = serde_json::to_value(self.journal.answers()).expect("counts by number");
        state["faults"] = serde_json::to_value(self.journal.faults()).expect("counts by name");
        state
    }
}
