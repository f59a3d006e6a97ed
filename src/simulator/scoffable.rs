//! The order stream of Scoffable's Partners API: `GET /v1/orderUpdates` and `GET /v1/orders/{id}`.
//!
//! Source: Scoffable developer documentation 1.0.0, "Order Sync", "Pagination", "Rate Limits", "Authentication",
//! "OpenAPI document". Written from these pages alone; it shares no types with our client.
//!
//! It is strict where the documentation is silent: unknown or repeated parameters, a cursor together with a start
//! time, a start time without zone or a delay of 0 are refused, so that a client cannot lean on leniency.
//! Assumed: 401 for a bad token; refused calls do not use up the limit; a cursor stays valid under a new token of the
//! same account; `fromTimestamp` is inclusive and compares with the creation of a version.
//!
//! Cursors are computed from position and seed, so they outlive the client and, with the same world and seed, also
//! this server. `latestVersion` is decided anew for each answer, over all that has been published by then.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::Query,
    http::{Method, StatusCode, Uri},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    digest::short_hash,
    faults::{Answer, Chaos, Reply, Side},
    limits::{Limit, SlidingWindow},
    shell::{Arrived, Incoming, Setup, Sim, Simulator},
    time::SimTime,
    world::{World, find_flag},
};
use crate::clock::Clock;

const STREAM_PATH: &str = "/v1/orderUpdates";
const ORDER_PATH: &str = "/v1/orders/";
const MAX_PAGE_SIZE: usize = 100;
const DEFAULT_PAGE_SIZE: usize = 10;

/// When the versions of the world come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// All are there from the start, as a history.
    #[default]
    AtOnce,
    /// They appear evenly over this time, in the order of the stream.
    Over(Duration),
}

impl Pace {
    /// When what stands at this position of so many comes about, since the start.
    pub fn due(self, position: usize, count: usize) -> Duration {
        match self {
            Self::AtOnce => Duration::ZERO,
            Self::Over(whole) => whole / count.max(1) as u32 * position as u32,
        }
    }
}

/// `None` switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub per_token: Option<Limit>,
    pub per_account: Option<Limit>,
}

impl Limits {
    /// Source: Scoffable developer documentation 1.0.0, "Rate Limits".
    pub const DOCUMENTED: Self =
        Self { per_token: Some(Limit::per_minute(30)), per_account: Some(Limit::per_minute(60)) };
    pub const NONE: Self = Self { per_token: None, per_account: None };
}

/// What is answered to a cursor that is unknown or has expired; the documentation does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeadCursor {
    #[default]
    BadRequest,
    NotFound,
    Gone,
    /// 200 with no data and no cursor.
    EmptyPage,
}

/// What cursors look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CursorStyle {
    /// 32 characters, among them `+`, `/` and `=`.
    #[default]
    Short,
    /// 300 characters, among them also `&` and `%`.
    Long,
}

/// A token and what it opens.
#[derive(Clone)]
pub struct Grant {
    /// Names the token in the journal.
    pub id: String,
    pub token: String,
    pub account: String,
    /// `None`: all vendors.
    pub vendors: Option<BTreeSet<String>>,
}

impl Grant {
    pub fn new(id: &str, token: &str, account: &str) -> Self {
        Self { id: id.to_owned(), token: token.to_owned(), account: account.to_owned(), vendors: None }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("id", &self.id).field("account", &self.account).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub struct ScoffableOptions {
    pub listen: SocketAddr,
    pub pace: Pace,
    pub limits: Limits,
    pub grants: Vec<Grant>,
    pub dead_cursor: DeadCursor,
    pub cursor_style: CursorStyle,
    /// Each answer of the stream takes at least this long.
    pub latency: Duration,
    pub chaos: Chaos,
    /// For cursors and dice.
    pub seed: u64,
    pub clock: Clock,
}

impl Default for ScoffableOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            pace: Pace::AtOnce,
            limits: Limits::DOCUMENTED,
            grants: vec![Grant::new("main", "sim-token", "main")],
            dead_cursor: DeadCursor::default(),
            cursor_style: CursorStyle::default(),
            latency: Duration::ZERO,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

/// The running simulator.
pub type ScoffableSim = Sim<Scoffable>;

/// What is particular to it.
pub struct Scoffable {
    options: ScoffableOptions,
    time: SimTime,
    stream: RwLock<Stream>,
    grants: RwLock<Vec<Grant>>,
    windows: Mutex<HashMap<String, SlidingWindow>>,
    /// Highest position a token has come back with.
    confirmed: Mutex<BTreeMap<String, usize>>,
    /// Cursors of an earlier generation are dead.
    generation: AtomicU32,
    dead_cursor: Mutex<DeadCursor>,
}

impl fmt::Debug for Scoffable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoffable").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Stream {
    items: Vec<Item>,
    orders: HashMap<String, Vec<usize>>,
}

struct Item {
    payload: Bytes,
    flag: Option<usize>,
    vendor: Option<String>,
    number: i64,
    /// Since the start.
    due: Duration,
    /// When a version with a higher number of the same order is due.
    superseded: Duration,
    created_at: DateTime<Utc>,
}

impl ScoffableSim {
    pub async fn start(world: &World, options: ScoffableOptions) -> std::io::Result<Self> {
        let time = SimTime::start(options.clock.clone());
        let setup = Setup {
            listen: options.listen,
            side: Side::Stream,
            latency: options.latency,
            chaos: options.chaos,
            seed: options.seed,
            time: time.clone(),
            beside: Router::new(),
        };
        let scoffable = Scoffable {
            stream: RwLock::new(Stream::of(world, options.pace, time.now())),
            grants: RwLock::new(options.grants.clone()),
            windows: Mutex::default(),
            confirmed: Mutex::default(),
            generation: AtomicU32::new(0),
            dead_cursor: Mutex::new(options.dead_cursor),
            time,
            options,
        };
        Self::serve(scoffable, setup).await
    }

    /// What a client is configured with.
    pub fn base_url(&self) -> String {
        self.url()
    }

    /// Appends a version, visible from now on, or after all that the world still plans. What can be read of its
    /// `id`, `version` and `vendorId` is used; anything may be published, also what is no JSON.
    pub fn publish(&self, payload: impl Into<Bytes>) {
        let payload = payload.into();
        let now = self.simulator().time.elapsed();
        let at = self.simulator().time.now();
        self.simulator().stream.write().unwrap_or_else(PoisonError::into_inner).publish(payload, now, at);
    }

    /// Adds a token, or replaces the one of the same id.
    pub fn grant(&self, grant: Grant) {
        let mut grants = self.simulator().grants.write().unwrap_or_else(PoisonError::into_inner);
        grants.retain(|other| other.id != grant.id);
        grants.push(grant);
    }

    /// From now on the token is answered with 401.
    pub fn revoke(&self, id: &str) {
        self.simulator().grants.write().unwrap_or_else(PoisonError::into_inner).retain(|grant| grant.id != id);
    }

    /// Every cursor handed out so far stops being valid.
    pub fn expire_cursors(&self) {
        self.simulator().generation.fetch_add(1, Ordering::Relaxed);
    }

    pub fn answer_dead_cursors_with(&self, answer: DeadCursor) {
        *self.simulator().dead_cursor.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// How many versions can be seen now, without any delay.
    pub fn published(&self) -> usize {
        self.simulator().stream().visible(self.simulator().time.elapsed())
    }

    /// All versions, also those to come.
    pub fn planned(&self) -> usize {
        self.simulator().stream().items.len()
    }

    /// How many versions this token has surely got: it has come back with a cursor behind them.
    pub fn confirmed(&self, token_id: &str) -> usize {
        self.simulator().confirmed.lock().unwrap_or_else(PoisonError::into_inner).get(token_id).copied().unwrap_or(0)
    }

    /// Everything planned is published, and this token has come back with a cursor behind all of it.
    pub fn is_drained_by(&self, token_id: &str) -> bool {
        let planned = self.planned();
        self.published() == planned && self.confirmed(token_id) == planned
    }

    /// When the version at this position of the stream was created.
    pub fn created_at(&self, position: usize) -> Option<DateTime<Utc>> {
        self.simulator().stream().items.get(position).map(|item| item.created_at)
    }
}

impl Stream {
    fn of(world: &World, pace: Pace, started_at: DateTime<Utc>) -> Self {
        let mut stream = Self::default();
        for (position, version) in world.versions.iter().enumerate() {
            let due = pace.due(position, world.versions.len());
            stream.push(
                version.order_id.clone(),
                Item {
                    payload: version.payload.clone(),
                    flag: version.flag,
                    vendor: version.vendor.clone(),
                    number: version.number,
                    due,
                    superseded: Duration::MAX,
                    created_at: match pace {
                        Pace::AtOnce => world.options.epoch + version.at,
                        Pace::Over(_) => started_at + due,
                    },
                },
            );
        }
        stream
    }

    fn publish(&mut self, payload: Bytes, now: Duration, at: DateTime<Utc>) {
        let document: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let order_id = match &document["id"] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let last = self.items.last();
        let item = Item {
            flag: find_flag(&payload),
            payload,
            vendor: document["vendorId"].as_str().map(str::to_owned),
            number: document["version"].as_i64().unwrap_or(0),
            due: last.map_or(now, |last| last.due.max(now)),
            superseded: Duration::MAX,
            created_at: last.map_or(at, |last| last.created_at.max(at)),
        };
        self.push(order_id, item);
    }

    /// Items come in the order of their due times.
    fn push(&mut self, order_id: Option<String>, mut item: Item) {
        let position = self.items.len();
        if let Some(id) = order_id {
            let siblings = self.orders.entry(id).or_default();
            for sibling in siblings.iter() {
                let sibling = &mut self.items[*sibling];
                if sibling.number < item.number {
                    sibling.superseded = sibling.superseded.min(item.due);
                } else if sibling.number > item.number {
                    item.superseded = item.superseded.min(sibling.due);
                }
            }
            siblings.push(position);
        }
        self.items.push(item);
    }

    fn visible(&self, now: Duration) -> usize {
        self.items.partition_point(|item| item.due <= now)
    }
}

impl Item {
    fn write(&self, now: Duration, into: &mut Vec<u8>) {
        let Some(flag) = self.flag.filter(|_| self.superseded <= now) else {
            into.extend_from_slice(&self.payload);
            return;
        };
        into.extend_from_slice(&self.payload[..flag]);
        into.extend_from_slice(b"false");
        into.extend_from_slice(&self.payload[flag + b"true".len()..]);
    }

    fn is_for(&self, grant: &Grant) -> bool {
        match (&grant.vendors, &self.vendor) {
            (None, _) | (Some(_), None) => true,
            (Some(allowed), Some(vendor)) => allowed.contains(vendor),
        }
    }
}

/// The understood query of the stream.
#[derive(Debug, Default)]
struct PageQuery {
    page_id: Option<String>,
    page_size: Option<usize>,
    from: Option<DateTime<Utc>>,
    min_age: Option<TimeDelta>,
}

fn refuse<T>(status: StatusCode, text: &str) -> Result<T, Answer> {
    Err(Answer::error(status, text))
}

fn bad_request<T>(text: &str) -> Result<T, Answer> {
    refuse(StatusCode::BAD_REQUEST, text)
}

impl PageQuery {
    fn parse(uri: &Uri) -> Result<Self, Answer> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return bad_request("the query cannot be read");
        };
        let mut query = Self::default();
        let mut seen = BTreeSet::new();
        for (name, value) in &pairs {
            if !seen.insert(name) {
                return bad_request("a parameter is given twice");
            }
            match name.as_str() {
                "pageId" if !value.is_empty() => query.page_id = Some(value.clone()),
                "pageSize" => match value.parse() {
                    Ok(size @ 1..=MAX_PAGE_SIZE) => query.page_size = Some(size),
                    _ => return bad_request("pageSize must be 1 to 100"),
                },
                "fromTimestamp" => match DateTime::parse_from_rfc3339(value) {
                    Ok(from) => query.from = Some(from.to_utc()),
                    Err(_) => return bad_request("fromTimestamp must be an ISO 8601 date-time with a zone"),
                },
                "minAgeMinutes" => match value.parse() {
                    Ok(minutes @ 1..=1_000_000) => query.min_age = Some(TimeDelta::minutes(minutes)),
                    _ => return bad_request("minAgeMinutes must be a positive integer"),
                },
                _ => return bad_request("unknown parameter"),
            }
        }
        if query.page_id.is_some() && query.from.is_some() {
            return bad_request("pageId and fromTimestamp exclude each other");
        }
        Ok(query)
    }
}

/// A request that may be asked, with its address.
#[derive(Debug)]
pub struct Job {
    uri: Uri,
    grant: Grant,
}

impl Simulator for Scoffable {
    type Operation = ();
    type Route = Grant;
    type Job = Job;
    type Received = ();

    fn arrive(&self, incoming: &Incoming) -> Arrived<Grant> {
        let grant = self.authenticate(incoming);
        let scopes = match &grant {
            Some(grant) => vec![format!("token:{}", grant.id), format!("account:{}", grant.account)],
            None => vec!["token:unknown".to_owned()],
        };
        Arrived { scopes, route: self.admit(incoming, grant) }
    }

    fn operation(_: &Grant) {}

    fn key(&self, grant: &Grant, incoming: &Incoming) -> String {
        format!("{} {}", grant.id, incoming.uri.path_and_query().map_or("", |both| both.as_str()))
    }

    fn check(&self, grant: Grant, incoming: &Incoming) -> Result<(Job, ()), Answer> {
        Ok((Job { uri: incoming.uri.clone(), grant }, ()))
    }

    fn perform(&self, Job { uri, grant }: &mut Job, reply: &Reply) -> Answer {
        let body = if uri.path() == STREAM_PATH { self.page(uri, grant, reply) } else { self.order(uri, grant) };
        body.map_or_else(|refusal| refusal, |body| Answer::json(200, body))
    }

    fn state(&self) -> Value {
        let (published, planned, orders) = {
            let stream = self.stream();
            (stream.visible(self.time.elapsed()), stream.items.len(), stream.orders.len())
        };
        json!({
            "orders": orders,
            "versions": {"published": published, "planned": planned},
            "confirmed": *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner),
        })
    }
}

impl Scoffable {
    fn stream(&self) -> std::sync::RwLockReadGuard<'_, Stream> {
        self.stream.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn authenticate(&self, incoming: &Incoming) -> Option<Grant> {
        let token = incoming.bearer_token()?;
        let grants = self.grants.read().unwrap_or_else(PoisonError::into_inner);
        grants.iter().find(|grant| grant.token == token).cloned()
    }

    fn admit(&self, incoming: &Incoming, grant: Option<Grant>) -> Result<Grant, Answer> {
        let path = incoming.uri.path();
        if path != STREAM_PATH && !path.starts_with(ORDER_PATH) {
            return refuse(StatusCode::NOT_FOUND, "no such path");
        }
        if incoming.method != Method::GET {
            let answer = Answer::error(StatusCode::METHOD_NOT_ALLOWED, "only GET is offered");
            return Err(answer.header("allow", "GET"));
        }
        let Some(grant) = grant else {
            return refuse(StatusCode::UNAUTHORIZED, "the token is missing or not valid");
        };
        self.throttle(&grant, incoming.at)?;
        Ok(grant)
    }

    /// Counts the call against its limits, or answers 429.
    fn throttle(&self, grant: &Grant, now: Duration) -> Result<(), Answer> {
        let limits = self.options.limits;
        let scopes = [
            ("jti", format!("token:{}", grant.id), limits.per_token),
            ("sub", format!("account:{}", grant.account), limits.per_account),
        ];
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, scope, limit) in &scopes {
            let Some(limit) = limit else { continue };
            let window = windows.entry(scope.clone()).or_insert_with(|| SlidingWindow::new(*limit));
            let wait = window.wait(now);
            if !wait.is_zero() {
                let body = json!({"error": "too many calls", "limitType": kind, "limit": limit.calls});
                return Err(Answer::of(StatusCode::TOO_MANY_REQUESTS, &body).retry_after(wait));
            }
        }
        for (_, scope, limit) in &scopes {
            if limit.is_some()
                && let Some(window) = windows.get_mut(scope)
            {
                window.take(now);
            }
        }
        Ok(())
    }

    fn page(&self, uri: &Uri, grant: &Grant, reply: &Reply) -> Result<Bytes, Answer> {
        let query = PageQuery::parse(uri)?;
        let now = self.time.elapsed();
        let stream = self.stream();
        let mut end = stream.visible(now);
        if let Some(min_age) = query.min_age {
            let newest = self.time.now() - min_age;
            end = end.min(stream.items.partition_point(|item| item.created_at <= newest));
        }
        let start = match (&query.page_id, query.from) {
            (Some(cursor), _) => match self.position_of(cursor) {
                Some(position) if position <= stream.items.len() => position,
                _ => return self.dead_cursor_answer(),
            },
            (None, Some(from)) => stream.items.partition_point(|item| item.created_at < from),
            (None, None) => 0,
        };
        if query.page_id.is_some() {
            let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
            let furthest = confirmed.entry(grant.id.clone()).or_default();
            *furthest = (*furthest).max(start);
        }

        let wanted = query.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
        let window = stream.items.get(start..end.max(start)).unwrap_or_default();
        let mut next = start;
        let mut has_more = false;
        let mut items = Vec::with_capacity(wanted);
        for (offset, item) in window.iter().enumerate() {
            if !item.is_for(grant) {
                continue;
            }
            if items.len() == wanted {
                has_more = true;
                break;
            }
            items.push(item);
            next = start + offset + 1;
        }
        if !has_more {
            next = end.max(start);
        }
        // "A stream holding nothing at all": nothing that this token could see.
        let holds_nothing =
            query.page_id.is_none() && items.is_empty() && !stream.items[..end].iter().any(|item| item.is_for(grant));
        match reply {
            Reply::RepeatedPage if !items.is_empty() => {
                next = start;
                has_more = true;
            }
            Reply::ReversedPage => items.reverse(),
            _ => {}
        }

        let size = items.iter().map(|item| item.payload.len() + 2).sum::<usize>();
        let mut body = Vec::with_capacity(size + 400);
        body.extend_from_slice(if has_more { br#"{"hasMore":true,"data":["# } else { br#"{"hasMore":false,"data":["# });
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                body.push(b',');
            }
            item.write(now, &mut body);
        }
        body.push(b']');
        if !holds_nothing {
            body.extend_from_slice(br#","nextPageId":""#);
            body.extend_from_slice(self.cursor_at(next).as_bytes());
            body.push(b'"');
        }
        body.push(b'}');
        Ok(Bytes::from(body))
    }

    fn order(&self, uri: &Uri, grant: &Grant) -> Result<Bytes, Answer> {
        if uri.query().is_some() {
            return bad_request("unknown parameter");
        }
        let id = &uri.path()[ORDER_PATH.len()..];
        let now = self.time.elapsed();
        let stream = self.stream();
        let newest = stream
            .orders
            .get(id)
            .into_iter()
            .flatten()
            .map(|position| &stream.items[*position])
            .filter(|item| item.due <= now && item.is_for(grant))
            .max_by_key(|item| item.number);
        match newest {
            Some(item) => {
                let mut body = Vec::with_capacity(item.payload.len() + 1);
                item.write(now, &mut body);
                Ok(Bytes::from(body))
            }
            None if id.parse::<i64>().is_ok() => refuse(StatusCode::NOT_FOUND, "no such order"),
            None => bad_request("the id is not an integer"),
        }
    }

    fn dead_cursor_answer(&self) -> Result<Bytes, Answer> {
        let text = "the page id is not valid";
        match *self.dead_cursor.lock().unwrap_or_else(PoisonError::into_inner) {
            DeadCursor::BadRequest => bad_request(text),
            DeadCursor::NotFound => refuse(StatusCode::NOT_FOUND, text),
            DeadCursor::Gone => refuse(StatusCode::GONE, text),
            DeadCursor::EmptyPage => Ok(Bytes::from_static(br#"{"hasMore":false,"data":[]}"#)),
        }
    }

    /// Looks random, and is the same for the same position, generation and seed.
    fn cursor_at(&self, position: usize) -> String {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut plain = [0; 12];
        plain[..8].copy_from_slice(&(position as u64).to_le_bytes());
        plain[8..].copy_from_slice(&generation.to_le_bytes());
        let nonce = (short_hash(&[b"nonce", &self.options.seed.to_le_bytes(), &plain]) as u32).to_le_bytes();
        // Three bytes that come out as `+/+/`, so that every cursor needs to be encoded with care.
        let mut bytes = vec![0xfb, 0xff, 0xbf];
        bytes.extend(nonce);
        bytes.extend(self.mask(nonce, plain));
        bytes.extend(self.tag(nonce, plain));
        let mut text = STANDARD.encode(bytes);
        if self.options.cursor_style == CursorStyle::Long {
            text.push_str("&%=");
            text.extend(std::iter::repeat_n("x7%+/&", 100));
            text.truncate(300);
        }
        text
    }

    fn position_of(&self, cursor: &str) -> Option<usize> {
        let core = cursor.split('&').next()?;
        let bytes: [u8; 23] = STANDARD.decode(core).ok()?.try_into().ok()?;
        let nonce: [u8; 4] = bytes[3..7].try_into().ok()?;
        let plain = self.mask(nonce, bytes[7..19].try_into().ok()?);
        let generation = u32::from_le_bytes(plain[8..].try_into().ok()?);
        let is_ours = self.tag(nonce, plain) == bytes[19..];
        let is_alive = generation == self.generation.load(Ordering::Relaxed);
        let position = u64::from_le_bytes(plain[..8].try_into().ok()?) as usize;
        let is_whole = cursor == self.cursor_at(position);
        (is_ours && is_alive && is_whole).then_some(position)
    }

    /// Its own inverse.
    fn mask(&self, nonce: [u8; 4], mut bytes: [u8; 12]) -> [u8; 12] {
        let seed = self.options.seed.to_le_bytes();
        let first = short_hash(&[b"mask-1", &seed, &nonce]).to_le_bytes();
        let second = short_hash(&[b"mask-2", &seed, &nonce]).to_le_bytes();
        for (byte, mask) in bytes.iter_mut().zip(first.into_iter().chain(second)) {
            *byte ^= mask;
        }
        bytes
    }

    fn tag(&self, nonce: [u8; 4], plain: [u8; 12]) -> [u8; 4] {
        (short_hash(&[b"tag", &self.options.seed.to_le_bytes(), &nonce, &plain]) as u32).to_le_bytes()
    }
}

#[cfg(test)]
mod tests;
