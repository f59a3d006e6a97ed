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
//! | a list that still shows an order as new | [`GoDataFeedSim::hide_next`] |
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
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{StatusCode, Uri},
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
    conduct::Working,
    faults::{Answer, Chaos, Fault, Reply, Side, answer},
    ledger::Mismatch,
    limits::LeakyBucket,
    shell::{Arrived, Destination, Incoming, Setup, Sim, Simulator},
    time::SimTime,
    world::World,
};
use crate::clock::Clock;

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

/// The running simulator. Calls for a token are requests, too.
pub type GoDataFeedSim = Sim<GoDataFeed>;

/// What is particular to it.
pub struct GoDataFeed {
    options: GoDataFeedOptions,
    time: SimTime,
    ledger: Mutex<Ledger>,
    tokens: Mutex<Tokens>,
    bucket: Option<Mutex<LeakyBucket>>,
    repeats: Mutex<Repeats>,
}

impl fmt::Debug for GoDataFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoDataFeed").field("options", &self.options).finish_non_exhaustive()
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
        let time = SimTime::start(options.clock.clone());
        let setup = Setup {
            listen: options.listen,
            side: Side::Destination,
            latency: options.latency,
            chaos: options.chaos,
            seed: options.seed,
            time: time.clone(),
            beside: Router::new(),
        };
        let godatafeed = GoDataFeed {
            time,
            ledger: Mutex::new(Ledger::new(rules)),
            tokens: Mutex::new(Tokens::new(options.token_life, options.seed, options.token.clone())),
            bucket: options.bucket.map(|bucket| Mutex::new(LeakyBucket::new(bucket.size, bucket.leaks_per_second))),
            repeats: Mutex::new(options.repeats),
            options,
        };
        Self::serve(godatafeed, setup).await
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
        let appears_at = self.simulator().time.elapsed() + appears_after;
        let id = self.ledger().import(Report {
            number,
            marketplace: marketplace.unwrap_or_else(|| self.simulator().options.marketplace.clone()),
            order_id,
            purchased_at,
            appears_at,
            taken_at: taken_after.map(|after| appears_at + after),
        });
        self.journal().touch();
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
        self.simulator().tokens().generate(self.simulator().options.old_tokens, self.simulator().time.elapsed())
    }

    /// From now on every token given out so far is dead.
    pub fn kill_tokens(&self) {
        self.simulator().tokens().kill_all();
    }

    /// How writes are answered from now on that find things as they want them.
    pub fn answer_repeats(&self, repeats: Repeats) {
        *self.simulator().repeats.lock().expect("nothing panics while the switch is held") = repeats;
    }

    /// Of the next writes that change something, these leave their orders among the new ones in every list: `true`, one each.
    pub fn hide_next(&self, script: impl IntoIterator<Item = bool>) {
        self.ledger().hide_next(script);
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
}

/// A request of the right form, and that its order is being worked on.
pub struct Job {
    asked: Asked,
    /// Where the order stands in the ledger.
    order: Option<usize>,
    asked_at: Duration,
    /// Which orders a listing tells of.
    listed: Vec<usize>,
    _working: Option<Working<Option<usize>, Operation>>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("order", &self.order).finish_non_exhaustive()
    }
}

impl Simulator for GoDataFeed {
    type Operation = Operation;
    type Route = Route;
    type Job = Job;
    type Received = Received;

    fn masked(&self, uri: &Uri) -> (String, String) {
        let path = self.tokens().mask(&wire::masked_path(uri.path()));
        (path, wire::masked_query(uri.query().unwrap_or_default()))
    }

    fn arrive(&self, incoming: &Incoming) -> Arrived<Route> {
        let route = wire::route(self.options.api, &incoming.method, incoming.uri.path());
        let scopes = route.iter().map(|route| route.operation.scope().to_owned()).collect();
        let admitted = route.and_then(|route| self.authorize(&route, incoming).map(|()| route));
        let route = admitted.map_err(|refusal| self.refuse(refusal));
        Arrived { scopes, route: route.and_then(|route| self.throttle(incoming.at).map(|()| route)) }
    }

    fn operation(route: &Route) -> Operation {
        route.operation
    }

    fn is_write(operation: Operation) -> bool {
        operation.is_write()
    }

    fn comes(&self, route: &Route) {
        if route.operation == Operation::Acknowledge {
            self.ledger().acknowledgement_comes(&route.order);
        }
    }

    fn check(&self, route: Route, incoming: &Incoming) -> Result<(Job, Received), Answer> {
        let (asked, order) = self.read(&route, incoming).map_err(|refusal| self.refuse(refusal))?;
        let Incoming { at, path, query, body, .. } = incoming;
        let operation = route.operation;
        // What only reads may be done at any time.
        let is_alone = operation.is_write() || operation == Operation::Authorize;
        let working = is_alone.then(|| self.ledger().enter(order, operation));
        let job = Job { asked, order, asked_at: *at, listed: Vec::new(), _working: working };
        let received = Received {
            at: *at,
            operation,
            order: route.order,
            path: path.clone(),
            query: query.clone(),
            body: body.clone(),
        };
        Ok((job, received))
    }

    fn perform(&self, job: &mut Job, _reply: &Reply) -> Answer {
        match (&job.asked, job.order) {
            (Asked::Write(content), Some(at)) => self.write(at, content.clone()),
            (Asked::Order, Some(at)) => {
                let mut ledger = self.ledger();
                {
                    let order = ledger.look_up(at);
                    Answer::of(StatusCode::OK, &render(order, self.status_of(order)))
                }
            }
            (Asked::Listing(page), _) => {
                let (answer, listed) = self.list(*page);
                job.listed = listed;
                answer
            }
            (Asked::Token, _) => {
                let token = self.tokens().generate(self.options.old_tokens, self.time.elapsed());
                self.ledger().token_is_generated();
                match self.options.token_answer {
                    TokenAnswer::Bare => text(token),
                    TokenAnswer::JsonString => Answer::of(StatusCode::OK, &json!(token)),
                    TokenAnswer::Member(name) => Answer::of(StatusCode::OK, &json!({ name: token })),
                }
            }
            (Asked::Write(_) | Asked::Order, None) => unreachable!("the order was found before"),
        }
    }

    fn told(&self, job: &Job) {
        match (&job.asked, job.order) {
            (Asked::Listing(page), _) => {
                let mut ledger = self.ledger();
                ledger.were_listed(&job.listed);
                if page.is_none_or(|page| page.number == 1) {
                    ledger.begins_listing(job.asked_at);
                }
            }
            (Asked::Write(Content::Acknowledge { .. }), Some(at)) => self.ledger().acknowledgement_is_answered(at),
            _ => {}
        }
    }

    fn state(&self) -> Value {
        let ledger = self.ledger();
        let count = |state: OrderState| ledger.orders().iter().filter(|order| order.state() == state).count();
        json!({
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

impl Destination for GoDataFeed {
    type Ledger = Ledger;

    /// As it stands at this moment.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.ledger.lock().expect("nothing panics while the ledger is held");
        ledger.turn_to(self.time.elapsed(), self.time.now());
        ledger
    }
}

fn text(body: impl Into<Bytes>) -> Answer {
    let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
    Answer { status: 200, headers, body: body.into() }
}

impl GoDataFeed {
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().expect("nothing panics while the tokens are held")
    }

    fn refuse(&self, Refusal { status, code, violation }: Refusal) -> Answer {
        if let Some(violation) = violation {
            self.ledger().violate(violation);
        }
        Answer::error(status, code)
    }

    /// A token is asked for with the consumer key instead, which is part of that call's form.
    fn authorize(&self, route: &Route, incoming: &Incoming) -> Result<(), Refusal> {
        if route.operation == Operation::Authorize {
            return Ok(());
        }
        if self.holds_credential(incoming.uri.query().unwrap_or_default()) {
            self.ledger().violate(Violation::CredentialInQuery);
        }
        let token = match self.options.api {
            Api::V1 => route.token.as_deref(),
            Api::V2 => incoming.bearer_token(),
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
    fn throttle(&self, now: Duration) -> Result<(), Answer> {
        let (Some(options), Some(bucket)) = (self.options.bucket, &self.bucket) else { return Ok(()) };
        let mut bucket = bucket.lock().expect("nothing panics while the bucket is held");
        let wait = bucket.wait(now);
        if wait.is_zero() {
            bucket.take(now);
            return Ok(());
        }
        self.ledger().bucket_overflows();
        let answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, "too_many_calls");
        Err(match options.hint {
            Hint::Nothing => answer,
            Hint::RetryAfter => answer.retry_after(wait),
        })
    }

    /// What is asked for, and where its order stands in the ledger.
    fn read(&self, route: &Route, incoming: &Incoming) -> Result<(Asked, Option<usize>), Refusal> {
        let asked = wire::read(route, incoming, &self.options)?;
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

    /// Also returns which orders are told of.
    fn list(&self, page: Option<Page>) -> (Answer, Vec<usize>) {
        let ledger = self.ledger();
        let mut shown = ledger.new_orders();
        if let Some(Page { number, size }) = page {
            shown = shown.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect();
        }
        // A list that lags behind shows as new what is not any more.
        let orders: Value = shown.iter().map(|at| render(&ledger.orders()[*at], "NEW")).collect();
        let body = match self.options.list_answer {
            ListAnswer::Root => orders,
            ListAnswer::Member(name) => json!({ name: orders }),
        };
        (Answer::of(StatusCode::OK, &body), shown)
    }

    fn write(&self, at: usize, content: Content) -> Answer {
        let repeats = *self.repeats.lock().expect("nothing panics while the switch is held");
        let mut ledger = self.ledger();
        let status = match (ledger.write(at, content), repeats) {
            (Ok(Done::Repeated), Repeats::AreRefused(status)) => {
                return Answer::error(status, "already_done");
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
                return Answer::error(status, refused.code());
            }
        };
        match self.options.write_answer {
            WriteAnswer::Nothing => text(""),
            WriteAnswer::Text => text("Order updated"),
            WriteAnswer::Object => {
                let id = &ledger.orders()[at].id;
                let body = json!({"id": id, "status": status, "error": null, "errors": [], "Error": ""});
                Answer::of(StatusCode::OK, &body)
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
}

/// With fields of which a client needs none.
fn render(order: &Counterpart, status: &str) -> Value {
    json!({
        "id": order.id,
        "marketplaceOrderNumber": order.number,
        "marketplace": order.marketplace,
        "status": status,
        "orderDate": instant(order.purchased_at),
        "destinationOrderNumber": order.destination_number,
        "buyer": BUYER,
        "items": [],
    })
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests;
