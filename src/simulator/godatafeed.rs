//! GoDataFeed's order calls: orders it imported from marketplaces are listed, acknowledged, shipped and cancelled.
//!
//! Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API"; GoDataFeed API v1 Reference and v2 Reference,
//! introductions: authorization, limits, the filter `status=NEW`, what each step means and when it fails.
//! Assumed: paths, methods, names of fields, error bodies and status codes, which are not published. Whatever they
//! leave open is an option here, so that no client can rely on one answer.
//!
//! # The wire
//!
//! JSON both ways. Of version 1 the token is a segment of the path; version 2 wants `Authorization: Bearer …` and no
//! such segment. An error is `{"error": code}`.
//!
//! | Request | Body or query | Answer |
//! | --- | --- | --- |
//! | `GET /v1/authorization` | `?consumerKey=` | 200, a token ([`TokenAnswer`]); version 2 has no such call |
//! | `GET /v1/{token}/orders` | `?status=NEW`, `page` and `pageSize` if there are pages | 200, orders ([`ListAnswer`]) |
//! | `GET /v1/{token}/orders/{id}` | | 200, the order |
//! | `PUT /v1/{token}/orders/{id}/acknowledge` | `{"destinationOrderNumber"}` | 200 ([`WriteAnswer`]) |
//! | `PUT /v1/{token}/orders/{id}/status` | `{"status": "SHIPPED", "shipDate", "trackingNumber"?, "carrier"?}` | 200 |
//! | | `{"status": "CANCELLED"}` | 200 |
//!
//! * **400** unknown fields, parameters and texts; **401** (or 403) no living token; **404** no such path, or no such
//!   order yet; **405**, **415** method, content type; **409** the order's state does not allow it; **422** a ship time
//!   before the purchase or in the future, or a tracking number that is missing; **429** the bucket is full.
//! * **An acknowledged order is no longer `NEW`**, so the list shrinks while its pages are read.
//! * **A date without time is midnight.** A time without offset is refused, unless [`GoDataFeedOptions::local_times`].
//! * **A write that finds things as it wants them** succeeds or is refused: [`Repeats`].
//!
//! # Misbehaviour
//!
//! | For one request | Fault |
//! | --- | --- |
//! | hangs after it was applied | `plainly().answered_when(&gate)`, `slow(wait)` |
//! | 500 after it was applied, or without | `status(500).after_the_effect()`, `status(500)` |
//! | reset before or after | `cut_before()`, `cut_after()` |
//! | 200 with an error inside | [`error_inside`], also `.after_the_effect()` |
//! | 4xx on an identical repeat | [`GoDataFeedSim::answer_repeats`] |
//!
//! | For one order | Switch |
//! | --- | --- |
//! | appears 20 minutes late, never, twice, decorated, with a number used elsewhere, is taken elsewhere | [`Oddity`] |
//! | is taken or cancelled elsewhere at this moment | [`GoDataFeedSim::take_elsewhere`], [`GoDataFeedSim::cancel_elsewhere`] |
//!
//! What a correct client never does is refused where the real server could, and in any case recorded as a
//! [`Violation`]. A handler that is dropped because its client left before the effect has caused nothing. Journal and
//! requests are kept without credentials.

mod compare;
pub mod feed;
pub mod ledger;
pub mod tokens;
mod wire;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Value, json};

pub use self::{
    feed::{Feed, Import, Oddities, Oddity},
    ledger::{
        By, Change, Content, Counterpart, Done, Ledger, OrderState, Refused, ShipDate, Shipment, Violation, Write,
    },
    tokens::OldTokens,
};
use self::{
    ledger::{Report, Rules},
    tokens::{Standing, Tokens},
    wire::{Asked, Page, Refusal, Route},
};
use super::{
    digest::short_hash,
    faults::{Answer, Chaos, Fault, Faults, Reach, Reply, Side, answer, json_response, plainly},
    journal::{Arrival, Call, Journal, TimedOut},
    ledger::Mismatch,
    limits::LeakyBucket,
    scoffable::STATE_PATH,
    server::{Cut, Server},
    time::SimTime,
    world::World,
};
use crate::clock::Clock;

const MAX_BODY: usize = 64 * 1024;
/// How many requests are kept with their bodies.
const KEPT_REQUESTS: usize = 10_000;
/// What a listing says of the buyer, invented: it must be found in no log, no error and no attempt of a client.
pub const BUYER: &str = "Robin Specimen, robin@example.org";

/// Which of the two the account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Api {
    #[default]
    V1,
    V2,
}

/// How the authorization endpoint writes a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAnswer {
    /// As plain text.
    Bare,
    JsonString,
    /// In an object, as the member of this name.
    Member(&'static str),
}

/// Where a listing has its orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListAnswer {
    /// The array is the whole answer.
    Root,
    /// In an object, as the member of this name.
    Member(&'static str),
}

/// What a write that succeeded is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteAnswer {
    Nothing,
    /// Plain text.
    Text,
    /// Id and status, beside error members that are empty.
    Object,
}

/// How a write is answered that finds things as it wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    Succeed,
    /// With this status.
    AreRefused(StatusCode),
}

/// Source: GoDataFeed API v1 Reference, introduction: "leaky bucket" of 50 calls that leaks 2 per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    pub size: u32,
    pub leaks_per_second: NonZeroU32,
    pub hint: Hint,
}

/// What a 429 says about when to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    Nothing,
    /// `Retry-After` in whole seconds, rounded up.
    RetryAfter,
}

impl Bucket {
    pub const DOCUMENTED: Self =
        Self { size: 50, leaks_per_second: NonZeroU32::new(2).expect("two is not zero"), hint: Hint::Nothing };
}

#[derive(Clone)]
pub struct GoDataFeedOptions {
    pub listen: SocketAddr,
    pub api: Api,
    /// A token made by hand, at the start.
    pub token: String,
    pub consumer_key: String,
    /// How long a token lives, counted from its generation. None: for ever.
    pub token_life: Option<Duration>,
    pub token_answer: TokenAnswer,
    pub old_tokens: OldTokens,
    /// What a request without a living token is answered with: 401 or 403.
    pub unauthorized: StatusCode,
    /// None: no limit.
    pub bucket: Option<Bucket>,
    pub list_answer: ListAnswer,
    /// The largest and usual number of orders on a page. None: there are no pages.
    pub paging: Option<usize>,
    pub write_answer: WriteAnswer,
    pub repeats: Repeats,
    /// How a state is called that the documentation has no word for.
    pub acknowledged: String,
    /// The documentation writes it in several ways.
    pub cancelled: String,
    /// Whether `SHIPPED` needs a `trackingNumber`.
    pub tracking_is_required: bool,
    /// How a time without offset is read. None: it is refused.
    pub local_times: Option<FixedOffset>,
    /// The marketplace of the client's orders; to write to any other's is a violation.
    pub marketplace: String,
    /// Listing sooner than this after the last time is a violation.
    pub listing_interval: Duration,
    /// So is asking for a token.
    pub token_interval: Duration,
    /// Each answer takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    pub seed: u64,
    pub clock: Clock,
}

impl Default for GoDataFeedOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            api: Api::V1,
            token: "gdf-token".to_owned(),
            consumer_key: "gdf-consumer-key".to_owned(),
            token_life: None,
            token_answer: TokenAnswer::Bare,
            old_tokens: OldTokens::LiveOn,
            unauthorized: StatusCode::UNAUTHORIZED,
            bucket: Some(Bucket::DOCUMENTED),
            list_answer: ListAnswer::Member("orders"),
            paging: None,
            write_answer: WriteAnswer::Object,
            repeats: Repeats::Succeed,
            acknowledged: "ACKNOWLEDGED".to_owned(),
            cancelled: "CANCELLED".to_owned(),
            tracking_is_required: false,
            local_times: None,
            marketplace: "Scoffable".to_owned(),
            listing_interval: Duration::ZERO,
            token_interval: Duration::from_mins(10),
            latency: Duration::ZERO,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

impl fmt::Debug for GoDataFeedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoDataFeedOptions")
            .field("listen", &self.listen)
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Authorize,
    List,
    Get,
    Acknowledge,
    UpdateStatus,
}

impl Operation {
    /// Whether it changes an order.
    pub fn is_write(self) -> bool {
        match self {
            Self::Acknowledge | Self::UpdateStatus => true,
            Self::Authorize | Self::List | Self::Get => false,
        }
    }

    /// Its scope in the journal.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::List => "list",
            Self::Get => "get",
            Self::Acknowledge => "acknowledge",
            Self::UpdateStatus => "update_status",
        }
    }
}

/// A request that passed all checks of form, as it came but for its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Since the simulator's start.
    pub at: Duration,
    pub operation: Operation,
    /// GoDataFeed's id; empty for calls that are not about one order.
    pub order: String,
    pub path: String,
    /// Empty when there was none.
    pub query: String,
    pub body: Bytes,
}

/// Answers 200 with an error in the body, without any effect.
pub fn error_inside() -> Fault {
    answer(Answer::json(200, r#"{"error":"simulated"}"#))
}

/// The running simulator.
#[derive(Debug)]
pub struct GoDataFeedSim {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    options: GoDataFeedOptions,
    time: SimTime,
    ledger: Mutex<Ledger>,
    tokens: Mutex<Tokens>,
    bucket: Option<Mutex<LeakyBucket>>,
    repeats: Mutex<Repeats>,
    received: Mutex<VecDeque<Received>>,
    faults: Faults,
    /// Faults for the next requests of one operation; played before those for just any request.
    targeted: Mutex<HashMap<Operation, VecDeque<Fault>>>,
    journal: Journal,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl GoDataFeedSim {
    /// Without any orders. Fails when the address cannot be listened on.
    pub async fn start(options: GoDataFeedOptions) -> std::io::Result<Self> {
        let rules = Rules {
            marketplace: options.marketplace.clone(),
            listing_interval: options.listing_interval,
            token_interval: options.token_interval,
            tracking_is_required: options.tracking_is_required,
        };
        let shared = Arc::new(Shared {
            time: SimTime::start(options.clock.clone()),
            ledger: Mutex::new(Ledger::new(rules)),
            tokens: Mutex::new(Tokens::new(options.token_life, options.seed, options.token.clone())),
            bucket: options.bucket.map(|bucket| Mutex::new(LeakyBucket::new(bucket.size, bucket.leaks_per_second))),
            repeats: Mutex::new(options.repeats),
            received: Mutex::default(),
            faults: Faults::new(Side::Destination, options.chaos, options.seed),
            targeted: Mutex::default(),
            journal: Journal::default(),
            options,
        });
        let router = Router::new().fallback(handle).with_state(shared.clone());
        let server = Server::start(shared.options.listen, router).await?;
        Ok(Self { server, shared })
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What a client is configured with; the paths of the wire are appended to it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The orders of a world come in, each when its first version comes about in the stream.
    pub fn import_world(&self, world: &World, feed: &Feed) {
        for import in feed.imports(world) {
            self.import(import);
        }
    }

    /// An order comes in. Returns GoDataFeed's id.
    pub fn import(&self, import: Import) -> String {
        let Import { number, marketplace, order_id, purchased_at, appears_after, taken_after } = import;
        let appears_at = self.shared.time.elapsed() + appears_after;
        let id = self.ledger().import(Report {
            number,
            marketplace: marketplace.unwrap_or_else(|| self.shared.options.marketplace.clone()),
            order_id,
            purchased_at,
            appears_at,
            taken_at: taken_after.map(|after| appears_at + after),
        });
        self.shared.journal.touch();
        id
    }

    /// Somebody else acknowledges an order now: it vanishes from `NEW`.
    pub fn take_elsewhere(&self, id: &str) {
        self.ledger().is_taken_elsewhere(id);
    }

    /// The marketplace cancels an order now.
    pub fn cancel_elsewhere(&self, id: &str) {
        self.ledger().is_cancelled_elsewhere(id);
    }

    /// Another token, made by hand.
    pub fn make_token(&self) -> String {
        self.shared.tokens().generate(self.shared.options.old_tokens, self.shared.time.elapsed())
    }

    /// From now on every token given out so far is dead.
    pub fn kill_tokens(&self) {
        self.shared.tokens().kill_all();
    }

    /// How writes are answered from now on that find things as they want them.
    pub fn answer_repeats(&self, repeats: Repeats) {
        *self.shared.repeats.lock().expect("nothing panics while the switch is held") = repeats;
    }

    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// See [`Faults::answer_next`]; every call counts, also for a token.
    pub fn answer_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.answer_next(faults);
    }

    /// The next requests of one operation are treated like this, one each, whatever else is asked in between.
    pub fn answer_next_to(&self, operation: Operation, faults: impl IntoIterator<Item = Fault>) {
        self.shared.targeted().entry(operation).or_default().extend(faults);
    }

    /// Held only for a moment: requests wait meanwhile.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }

    /// See [`Ledger::compare`].
    pub fn compare(&self, world: &World, numbers: &BTreeMap<String, Vec<String>>) -> Vec<Mismatch> {
        self.ledger().compare(world, numbers)
    }

    /// What an operator sees who looks for a Scoffable order; the first, if there are two.
    pub fn find(&self, order_id: &str) -> Option<Counterpart> {
        self.ledger().counterparts_of(order_id).next().cloned()
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.ledger().violations().to_vec()
    }

    /// Well-formed requests, oldest first, also those that were then answered with a fault.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received().iter().cloned().collect()
    }

    /// Waits for a condition on the ledger, which is looked at whenever a request begins, has its effect, or ends.
    pub async fn wait_until(
        &self,
        mut condition: impl FnMut(&Ledger) -> bool,
        deadline: Duration,
    ) -> Result<(), TimedOut> {
        self.shared.journal.wait_until(|_| condition(&self.shared.ledger()), deadline).await
    }

    pub fn state(&self) -> Value {
        self.shared.state()
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == STATE_PATH && parts.method == Method::GET {
        return json_response(StatusCode::OK, shared.state().to_string().into());
    }
    let at = shared.time.elapsed();
    let path = shared.tokens().mask(&wire::masked_path(parts.uri.path()));
    let query = wire::masked_query(parts.uri.query().unwrap_or_default());
    let route = wire::route(shared.options.api, &parts.method, parts.uri.path());
    let call = shared.journal.begin(Arrival {
        at,
        method: parts.method.to_string(),
        path: path.clone(),
        query: query.clone(),
        scopes: route.iter().map(|route| route.operation.scope().to_owned()).collect(),
    });
    let admitted = route.and_then(|route| shared.authorize(&route, &parts).map(|()| route));
    let route = match admitted {
        Ok(route) => route,
        Err(refusal) => return shared.refuse(call, refusal),
    };
    if let Some(throttled) = shared.throttle(at) {
        call.answers(429);
        return throttled;
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        // The client left in the middle, which is its right; or it sends more than anybody should.
        return json_response(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new());
    };

    // Two requests are repeats of one another when they are the same to the byte, whatever their token.
    let key = format!("{} {path}?{query} {:x}", parts.method, short_hash(&[&body]));
    let fault = shared.next_fault(route.operation, &key);
    if let Some(fault) = &fault {
        call.plays(fault.name());
    }
    let fault = fault.unwrap_or_else(plainly);
    if fault.refuses_to_read() {
        return fault.disguise(StatusCode::OK, Bytes::new(), &cut);
    }
    let (asked, subject) = match shared.check(&route, &parts, &body) {
        Ok(checked) => checked,
        Err(refusal) => return shared.refuse(call, refusal),
    };
    shared.keep(Received { at, operation: route.operation, order: route.order, path, query, body });
    let running = Running::enter(&shared, route.operation, subject);
    shared.journal.touch();

    fault.wait_before().await;
    if !shared.options.latency.is_zero() {
        tokio::time::sleep(shared.options.latency).await;
    }
    let genuine = match fault.reach() {
        Reach::Nothing => Genuine::json(StatusCode::OK, &Value::Null),
        Reach::Effect => shared.perform(asked, subject),
    };
    shared.journal.touch();
    fault.wait_after().await;
    if fault.is_answered_rightly() {
        shared.shows(&genuine, at);
    }
    // The order is free again before the client can have seen the answer.
    drop(running);
    let mut response = fault.disguise(genuine.status, genuine.body, &cut);
    if genuine.is_text && fault.is_answered_rightly() {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    if !matches!(fault.reply(), Reply::Cut) {
        call.answers(response.status().as_u16());
    }
    response
}

/// The right answer.
struct Genuine {
    status: StatusCode,
    body: Bytes,
    is_text: bool,
    /// Which orders a listing tells of, and whether it is its first page.
    listing: Option<(Vec<usize>, bool)>,
}

impl Genuine {
    fn json(status: StatusCode, body: &Value) -> Self {
        Self { status, body: body.to_string().into(), is_text: false, listing: None }
    }

    fn text(body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, body: body.into(), is_text: true, listing: None }
    }
}

/// A write or a wish for a token that is being worked on; also ends when its handler is dropped.
struct Running {
    shared: Arc<Shared>,
    operation: Operation,
    order: Option<usize>,
}

impl Running {
    /// None for what only reads: that may be done at any time.
    fn enter(shared: &Arc<Shared>, operation: Operation, order: Option<usize>) -> Option<Self> {
        let mut ledger = shared.ledger();
        match order {
            Some(order) if operation.is_write() => ledger.enter(order, operation),
            _ if operation == Operation::Authorize => ledger.enter_authorization(),
            _ => return None,
        }
        Some(Self { shared: shared.clone(), operation, order })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut ledger = self.shared.ledger();
        match self.order {
            Some(order) => ledger.leave(order, self.operation),
            None => ledger.leave_authorization(),
        }
    }
}

impl Shared {
    /// As it stands at this moment.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.ledger.lock().expect("nothing panics while the ledger is held");
        ledger.turn_to(self.time.elapsed(), self.time.now());
        ledger
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("nothing panics while the tokens are held")
    }

    fn received(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.received.lock().expect("nothing panics while the requests are held")
    }

    fn targeted(&self) -> MutexGuard<'_, HashMap<Operation, VecDeque<Fault>>> {
        self.targeted.lock().expect("nothing panics while the script is held")
    }

    fn next_fault(&self, operation: Operation, key: &str) -> Option<Fault> {
        let targeted = self.targeted().get_mut(&operation).and_then(VecDeque::pop_front);
        targeted.or_else(|| self.faults.next(key))
    }

    fn refuse(&self, call: Call, refusal: Refusal) -> Response<Body> {
        let Refusal { status, code, violation } = refusal;
        if let Some(violation) = violation {
            self.ledger().violate(violation);
        }
        call.answers(status.as_u16());
        json_response(status, json!({ "error": code }).to_string().into())
    }

    fn keep(&self, received: Received) {
        let mut all = self.received();
        if all.len() == KEPT_REQUESTS {
            all.pop_front();
        }
        all.push_back(received);
    }

    /// A token is asked for with the consumer key instead, which is part of that call's form.
    fn authorize(&self, route: &Route, parts: &Parts) -> Result<(), Refusal> {
        if route.operation == Operation::Authorize {
            return Ok(());
        }
        if self.holds_credential(parts.uri.query().unwrap_or_default()) {
            self.ledger().violate(Violation::CredentialInQuery);
        }
        let token = match self.options.api {
            Api::V1 => route.token.as_deref(),
            Api::V2 => wire::bearer(&parts.headers),
        };
        let standing = self.tokens().standing(token.unwrap_or_default(), self.time.elapsed());
        let violation = match standing {
            Standing::Alive => return Ok(()),
            Standing::Dead => {
                self.ledger().dead_token_is_shown();
                None
            }
            Standing::Unknown => Some(Violation::WrongToken),
        };
        Err(Refusal { status: self.options.unauthorized, code: "unauthorized", violation })
    }

    fn holds_credential(&self, query: &str) -> bool {
        query.contains(&self.options.consumer_key) || self.tokens().mask(query) != query
    }

    /// Counts the call, or answers 429.
    fn throttle(&self, now: Duration) -> Option<Response<Body>> {
        let (options, bucket) = (self.options.bucket?, self.bucket.as_ref()?);
        let mut bucket = bucket.lock().expect("nothing panics while the bucket is held");
        let wait = bucket.wait(now);
        if wait.is_zero() {
            bucket.take(now);
            return None;
        }
        self.ledger().bucket_overflows();
        let mut response = json_response(StatusCode::TOO_MANY_REQUESTS, r#"{"error":"too_many_calls"}"#.into());
        if options.hint == Hint::RetryAfter {
            let secs = wait.as_millis().div_ceil(1000) as u64;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        Some(response)
    }

    /// What is asked for, and where its order stands in the ledger.
    fn check(&self, route: &Route, parts: &Parts, body: &Bytes) -> Result<(Asked, Option<usize>), Refusal> {
        let asked = wire::read(route.operation, &route.order, parts, body, &self.options)?;
        if matches!(route.operation, Operation::Authorize | Operation::List) {
            return Ok((asked, None));
        }
        let mut ledger = self.ledger();
        let Some(at) = ledger.appeared(&route.order) else {
            let violation = Violation::UnknownOrder { order: route.order.clone() };
            return Err(Refusal::of(StatusCode::NOT_FOUND, "unknown_order", violation));
        };
        ledger.count(at, route.operation);
        Ok((asked, Some(at)))
    }

    fn perform(&self, asked: Asked, order: Option<usize>) -> Genuine {
        match (asked, order) {
            (Asked::Write(content), Some(at)) => self.write(at, content),
            (Asked::Order, Some(at)) => {
                let mut ledger = self.ledger();
                Genuine::json(StatusCode::OK, &self.render(ledger.look_up(at)))
            }
            (Asked::Listing(page), _) => self.list(page),
            (Asked::Token, _) => {
                let token = self.tokens().generate(self.options.old_tokens, self.time.elapsed());
                self.ledger().token_is_generated();
                match self.options.token_answer {
                    TokenAnswer::Bare => Genuine::text(token),
                    TokenAnswer::JsonString => Genuine::json(StatusCode::OK, &json!(token)),
                    TokenAnswer::Member(name) => Genuine::json(StatusCode::OK, &json!({ name: token })),
                }
            }
            (Asked::Write(_) | Asked::Order, None) => unreachable!("the order was found before"),
        }
    }

    fn list(&self, page: Option<Page>) -> Genuine {
        let ledger = self.ledger();
        let mut shown = ledger.new_orders();
        if let Some(Page { number, size }) = page {
            shown = shown.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect();
        }
        let orders: Value = shown.iter().map(|at| self.render(&ledger.orders()[*at])).collect();
        let body = match self.options.list_answer {
            ListAnswer::Root => orders,
            ListAnswer::Member(name) => json!({ name: orders }),
        };
        let is_first_page = page.is_none_or(|page| page.number == 1);
        Genuine { listing: Some((shown, is_first_page)), ..Genuine::json(StatusCode::OK, &body) }
    }

    fn write(&self, at: usize, content: Content) -> Genuine {
        let repeats = *self.repeats.lock().expect("nothing panics while the switch is held");
        let mut ledger = self.ledger();
        let status = match (ledger.write(at, content), repeats) {
            (Ok(Done::Repeated), Repeats::AreRefused(status)) => {
                return Genuine::json(status, &json!({"error": "already_done"}));
            }
            (Ok(_), _) => self.status_of(&ledger.orders()[at]),
            (Err(refused), _) => {
                let status = match refused {
                    Refused::NotAcknowledged
                    | Refused::AnotherNumber
                    | Refused::Taken
                    | Refused::AlreadyShipped
                    | Refused::AlreadyCancelled => StatusCode::CONFLICT,
                    Refused::ShipDateBeforePurchase | Refused::ShipDateInFuture | Refused::TrackingNumberMissing => {
                        StatusCode::UNPROCESSABLE_ENTITY
                    }
                };
                return Genuine::json(status, &json!({ "error": refused.code() }));
            }
        };
        match self.options.write_answer {
            WriteAnswer::Nothing => Genuine::text(""),
            WriteAnswer::Text => Genuine::text("Order updated"),
            WriteAnswer::Object => {
                let id = &ledger.orders()[at].id;
                let body = json!({"id": id, "status": status, "error": null, "errors": [], "Error": ""});
                Genuine::json(StatusCode::OK, &body)
            }
        }
    }

    /// What the client has now been told and cannot deny.
    fn shows(&self, genuine: &Genuine, asked_at: Duration) {
        if let Some((orders, is_first_page)) = &genuine.listing {
            let mut ledger = self.ledger();
            ledger.were_listed(orders);
            if *is_first_page {
                ledger.begins_listing(asked_at);
            }
        }
    }

    fn status_of(&self, order: &Counterpart) -> &str {
        match order.state() {
            OrderState::New => "NEW",
            OrderState::Acknowledged => &self.options.acknowledged,
            OrderState::Shipped => "SHIPPED",
            OrderState::Cancelled => &self.options.cancelled,
        }
    }

    /// With fields of which a client needs none.
    fn render(&self, order: &Counterpart) -> Value {
        json!({
            "id": order.id,
            "marketplaceOrderNumber": order.number,
            "marketplace": order.marketplace,
            "status": self.status_of(order),
            "orderDate": instant(order.purchased_at),
            "destinationOrderNumber": order.destination_number,
            "buyer": BUYER,
            "items": [],
        })
    }

    fn state(&self) -> Value {
        let ledger = self.ledger();
        let count = |state: OrderState| ledger.orders().iter().filter(|order| order.state() == state).count();
        json!({
            "requests": self.journal.total(),
            "answers": self.journal.answers(),
            "faults": self.journal.faults(),
            "orders": {
                "planned": ledger.orders().len(),
                "new": ledger.new_orders().len(),
                "acknowledged": count(OrderState::Acknowledged),
                "shipped": count(OrderState::Shipped),
                "cancelled": count(OrderState::Cancelled),
            },
            "listings": ledger.n_listings(),
            "tokens": ledger.n_tokens(),
            "dead_tokens_shown": ledger.n_dead_tokens_shown(),
            "overflows": ledger.n_overflows(),
            "repeats": ledger.n_repeats(),
            "n_violations": ledger.n_violations(),
            "violations": ledger.violations(),
        })
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests;
