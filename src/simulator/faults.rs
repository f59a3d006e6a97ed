//! Misbehaviour on order: what a foreign system may do to a client, by script or by dice.
//!
//! A [`Fault`] says how one request is treated instead of plainly: when the effect happens, how long the answer takes,
//! and what the answer is. Simulators ask [`Faults::next`] once per request. Scripted faults come first, in order;
//! without any the dice of the chosen [`Chaos`] profile decide. What the dice do depends only on the seed, the
//! request's key and how often that key was asked, and one key is hit at most [`MAX_PER_KEY`] times: work always ends.
//!
//! The dice never play what only a person can end (401, 403, 404, 410, 422, redirects): that is for scripts.

use std::{
    collections::{HashMap, VecDeque},
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use futures::StreamExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{digest::short_hash, server::Cut};

/// The dice hit requests of one key at most this often.
pub const MAX_PER_KEY: u32 = 3;

/// Longer than the request timeout of a demo's client (2 s).
const PAST_THE_TIMEOUT: Duration = Duration::from_secs(3);

/// How one request is treated.
#[derive(Debug, Clone)]
pub struct Fault {
    name: &'static str,
    before: Duration,
    reach: Reach,
    after: Duration,
    gate: Option<CancellationToken>,
    reply: Reply,
    breaks_off: bool,
}

/// Whether the request does what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It has no effect.
    Nothing,
    /// It has its whole effect, whatever is answered.
    Effect,
}

/// What the client gets to see.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The right answer.
    Genuine,
    /// Another answer.
    Instead(Answer),
    /// No answer: the connection is reset.
    Cut,
    /// The right status with a body that is not JSON.
    NotJson,
    /// The right answer, with one value of its JSON changed by what is drawn from this seed.
    Mangled(u64),
    /// The right page, but its cursor points back to its own beginning: it comes a second time.
    RepeatedPage,
    /// The right page with its versions in reverse order.
    ReversedPage,
}

/// An answer: the right one, or one made up.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body: body.into() }
    }

    pub fn of(status: StatusCode, body: &Value) -> Self {
        Self::json(status.as_u16(), body.to_string())
    }

    /// `{"error": text}`.
    pub fn error(status: StatusCode, text: &str) -> Self {
        Self::of(status, &json!({ "error": text }))
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let secs = wait.as_millis().div_ceil(1000);
        self.header("retry-after", &secs.to_string())
    }

    /// A status or header that HTTP does not know is replaced by 500, or left out.
    pub fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

/// The request is treated plainly; stands for "no fault here" in a script.
pub fn plainly() -> Fault {
    Fault {
        name: "none",
        before: Duration::ZERO,
        reach: Reach::Effect,
        after: Duration::ZERO,
        gate: None,
        reply: Reply::Genuine,
        breaks_off: false,
    }
}

/// Answers with this status and a small JSON error, without any effect.
pub fn status(status: u16) -> Fault {
    answer(Answer::json(status, format!(r#"{{"error":"simulated {status}"}}"#)))
}

/// Answers this, without any effect.
pub fn answer(answer: Answer) -> Fault {
    Fault { name: "status", reach: Reach::Nothing, reply: Reply::Instead(answer), ..plainly() }
}

/// The effect happens and the answer is right, but it takes this long until it starts.
pub fn slow(wait: Duration) -> Fault {
    Fault { name: "slow", after: wait, ..plainly() }
}

/// Works on the request only after this long: a client that has left by then has caused nothing.
pub fn slow_to_start(wait: Duration) -> Fault {
    Fault { name: "slow_to_start", before: wait, ..plainly() }
}

/// Resets the connection without reading the request.
pub fn cut_before() -> Fault {
    Fault { name: "cut_before", reach: Reach::Nothing, reply: Reply::Cut, ..plainly() }
}

/// The effect happens, then the connection is reset without an answer.
pub fn cut_after() -> Fault {
    Fault { name: "cut_after", reply: Reply::Cut, ..plainly() }
}

/// The effect happens, the answer ends in the middle of its body.
pub fn truncated() -> Fault {
    Fault { name: "truncated", ..plainly() }.broken_off()
}

/// The effect happens, the answer has the right status and is no JSON.
pub fn not_json() -> Fault {
    Fault { name: "not_json", reply: Reply::NotJson, ..plainly() }
}

/// The effect happens, the answer has the right status, and one value in it is something else: drawn from `seed`.
pub fn mangled(seed: u64) -> Fault {
    Fault { name: "mangled", reply: Reply::Mangled(seed), ..plainly() }
}

/// Delivers the page, with a cursor that leads to the same page again.
pub fn repeated_page() -> Fault {
    Fault { name: "repeated_page", reply: Reply::RepeatedPage, ..plainly() }
}

/// Delivers the page with its versions in reverse order.
pub fn reversed_page() -> Fault {
    Fault { name: "reversed_page", reply: Reply::ReversedPage, ..plainly() }
}

/// A redirect that keeps method and body, to wherever `location` points.
pub fn redirect(location: &str) -> Fault {
    Fault { name: "redirect", ..status(307) }.header("location", location)
}

impl Fault {
    /// Adds a header to a made-up answer; a genuine one keeps its own.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        self.made_up(|answer| answer.header(name, value))
    }

    /// `Retry-After` in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        self.made_up(|answer| answer.retry_after(wait))
    }

    fn made_up(self, change: impl FnOnce(Answer) -> Answer) -> Self {
        match self.reply {
            Reply::Instead(answer) => Self { reply: Reply::Instead(change(answer)), ..self },
            _ => self,
        }
    }

    /// The effect happens before the made-up answer is given.
    #[must_use]
    pub fn after_the_effect(mut self) -> Self {
        self.reach = Reach::Effect;
        self
    }

    /// The answer waits this long, after the effect if there is one.
    #[must_use]
    pub fn answered_after(mut self, wait: Duration) -> Self {
        self.after = wait;
        self
    }

    /// The answer waits until the gate is opened, which is done by cancelling it; after the effect if there is one.
    #[must_use]
    pub fn answered_when(mut self, gate: &CancellationToken) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// The answer, whichever it is, ends in the middle of its body with the connection.
    #[must_use]
    pub fn broken_off(mut self) -> Self {
        self.breaks_off = true;
        self
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn reach(&self) -> Reach {
        self.reach
    }

    pub fn reply(&self) -> &Reply {
        &self.reply
    }

    /// The client gets the right answer, all of it.
    pub fn is_answered_rightly(&self) -> bool {
        matches!(self.reply, Reply::Genuine) && !self.breaks_off
    }

    /// Nothing happens, and the client is told so. 408 does not: who lost patience with one part of a request may have had the
    /// other.
    pub fn refuses_clearly(&self) -> bool {
        let is_clear = |answer: &Answer| (400..500).contains(&answer.status) && answer.status != 408;
        let Reply::Instead(answer) = &self.reply else { return false };
        self.reach == Reach::Nothing && !self.breaks_off && is_clear(answer)
    }

    /// The connection goes before the request was read.
    pub fn refuses_to_read(&self) -> bool {
        self.reach == Reach::Nothing && matches!(self.reply, Reply::Cut)
    }

    pub async fn wait_before(&self) {
        pause(self.before).await;
    }

    pub async fn wait_after(&self) {
        pause(self.after).await;
        if let Some(gate) = &self.gate {
            gate.cancelled().await;
        }
    }

    /// Turns the genuine answer into what the client is to see.
    pub fn disguise(&self, genuine: Answer, cut: &Cut) -> Response<Body> {
        let answer = match &self.reply {
            Reply::Genuine | Reply::RepeatedPage | Reply::ReversedPage => genuine,
            Reply::Instead(answer) => answer.clone(),
            Reply::NotJson => {
                let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
                let body = "<html><body>Bad gateway</body></html>".into();
                Answer { status: genuine.status, headers, body }
            }
            Reply::Mangled(seed) => match serde_json::from_slice::<Value>(&genuine.body) {
                Ok(mut value) => {
                    mangle(&mut value, &mut StdRng::seed_from_u64(*seed));
                    Answer { body: value.to_string().into(), ..genuine }
                }
                Err(_) => genuine,
            },
            Reply::Cut => {
                cut.now();
                Answer::json(genuine.status, Bytes::new())
            }
        };
        if !self.breaks_off {
            return answer.response();
        }
        let length = answer.body.len();
        let first_half = first_half(&answer.body);
        let mut response = Answer { body: Bytes::new(), ..answer }.response();
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = first_half;
        response
    }
}

/// Somewhere in it something else stands, or nothing.
fn mangle(value: &mut Value, dice: &mut StdRng) {
    let goes_deeper = dice.random_ratio(4, 5);
    match value {
        Value::Array(items) if !items.is_empty() && goes_deeper => {
            let at = dice.random_range(0..items.len());
            match dice.random_range(0..10) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => mangle(&mut items[at], dice),
            }
        }
        Value::Object(members) if !members.is_empty() && goes_deeper => {
            let at = dice.random_range(0..members.len());
            let name = members.keys().nth(at).expect("there are so many").clone();
            match dice.random_range(0..10) {
                0 => drop(members.remove(&name)),
                _ => mangle(&mut members[&name], dice),
            }
        }
        value => {
            let odd = [
                Value::Null,
                json!(true),
                json!(0),
                json!(-1),
                json!(i64::MAX),
                json!(1e300),
                json!(0.005),
                json!(""),
                json!("\u{0}\u{202e}x"),
                json!("9".repeat(400)),
                json!("/Date(99999999999999999)/"),
                json!("9999-99-99T99:99:99Z"),
                json!([]),
                json!({}),
                json!([[[[null]]]]),
            ];
            *value = odd[dice.random_range(0..odd.len())].clone();
        }
    }
}

/// Head and first half leave while the stream pauses; an error right away would take them along.
fn first_half(body: &Bytes) -> Body {
    let first = futures::stream::iter([Ok(body.slice(..body.len() / 2))]);
    let then = futures::stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(first.chain(then))
}

async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

/// How much goes wrong by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Chaos {
    /// Nothing.
    #[default]
    None,
    /// A twentieth of the requests: short delays, single errors.
    Mild,
    /// A third of the requests: all that ends by itself, also lost answers and answers past the timeout.
    Hard,
}

/// Whose faults are played: some make no sense for the other kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Pages are read from it.
    Stream,
    /// Effects are asked of it.
    Destination,
}

/// Script and dice of one simulator; clones share them.
#[derive(Debug, Clone)]
pub struct Faults {
    side: Side,
    seed: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    chaos: Chaos,
    script: VecDeque<Fault>,
    /// Per key: how often it was asked, and how often it was hit.
    keys: HashMap<u64, (u32, u32)>,
    /// Requests that still fail as part of a burst.
    burst: u32,
}

impl Faults {
    pub fn new(side: Side, chaos: Chaos, seed: u64) -> Self {
        let state = State { chaos, script: VecDeque::new(), keys: HashMap::new(), burst: 0 };
        Self { side, seed, state: Arc::new(Mutex::new(state)) }
    }

    /// The next requests are treated like this, one each, before any dice are rolled.
    pub fn answer_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().script.extend(faults);
    }

    /// Scripted faults that nobody has met yet.
    pub fn scripted_left(&self) -> usize {
        self.state().script.len()
    }

    /// Drops what is left of the script.
    pub fn clear_script(&self) {
        self.state().script.clear();
    }

    pub fn set_chaos(&self, chaos: Chaos) {
        self.state().chaos = chaos;
    }

    /// How to treat a request. `key` tells requests apart that are repeats of one another.
    pub fn next(&self, key: &str) -> Option<Fault> {
        let mut state = self.state();
        if let Some(fault) = state.script.pop_front() {
            return Some(fault);
        }
        if state.chaos == Chaos::None {
            return None;
        }
        let chaos = state.chaos;
        let key_hash = short_hash(&[key.as_bytes()]);
        let (asked, hit) = state.keys.get(&key_hash).copied().unwrap_or_default();
        let mut fault = None;
        if hit < MAX_PER_KEY {
            let seed = short_hash(&[&self.seed.to_le_bytes(), key.as_bytes(), &asked.to_le_bytes()]);
            let mut dice = StdRng::seed_from_u64(seed);
            if state.burst > 0 {
                state.burst -= 1;
                fault = Some(Fault { name: "burst", ..status(500) });
            } else if dice.random_range(0..1000) < burst_per_mille(chaos) {
                state.burst = dice.random_range(2..6);
                fault = Some(Fault { name: "burst", ..status(500) });
            } else {
                fault = roll(self.side, chaos, &mut dice);
            }
        }
        state.keys.insert(key_hash, (asked + 1, hit + u32::from(fault.is_some())));
        fault
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the faults are held")
    }
}

const fn burst_per_mille(chaos: Chaos) -> u32 {
    match chaos {
        Chaos::None => 0,
        Chaos::Mild => 2,
        Chaos::Hard => 10,
    }
}

/// One throw. The numbers are per mille of requests.
fn roll(side: Side, chaos: Chaos, dice: &mut StdRng) -> Option<Fault> {
    let short = Duration::from_millis(dice.random_range(20..300));
    let long = Duration::from_millis(dice.random_range(200..1500));
    let second = Duration::from_secs(1);
    let code = [500, 502, 503, 504][dice.random_range(0..4)];
    let table: Vec<(u32, Fault)> = match chaos {
        Chaos::None => Vec::new(),
        Chaos::Mild => vec![
            (20, slow(short)),
            (10, status(code)),
            (5, Fault { name: "throttled", ..status(429) }.retry_after(second)),
            (5, cut_before()),
            (5, cut_after()),
        ],
        Chaos::Hard => vec![
            (40, slow(short)),
            (25, slow_to_start(short)),
            (20, slow(long)),
            (5, Fault { name: "past_the_timeout", ..slow(PAST_THE_TIMEOUT) }),
            (5, Fault { name: "past_the_timeout", ..slow_to_start(PAST_THE_TIMEOUT) }),
            (50, status(code)),
            (15, Fault { name: "status_after_effect", ..status(code).after_the_effect() }),
            (10, status(408)),
            (15, Fault { name: "throttled", ..status(429) }.retry_after(second)),
            (8, Fault { name: "throttled_without_hint", ..status(429) }),
            (7, Fault { name: "throttled_with_garbage", ..status(429) }.header("retry-after", "soon")),
            (30, cut_before()),
            (30, cut_after()),
            (20, truncated()),
            (10, not_json()),
        ],
    };
    let pages = match (side, chaos) {
        (Side::Stream, Chaos::Hard) => vec![(30, repeated_page()), (30, reversed_page())],
        (Side::Stream, Chaos::Mild) => vec![(10, repeated_page())],
        (Side::Stream, Chaos::None) | (Side::Destination, _) => Vec::new(),
    };
    let mut throw = dice.random_range(0..1000);
    for (weight, fault) in table.into_iter().chain(pages) {
        if throw < weight {
            return Some(fault);
        }
        throw -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(faults: &Faults, keys: u32) -> Vec<Option<&'static str>> {
        (0..keys).map(|key| faults.next(&format!("key-{key}")).map(|fault| fault.name())).collect()
    }

    #[test]
    fn a_script_is_played_once_in_order_and_before_the_dice() {
        let faults = Faults::new(Side::Stream, Chaos::None, 1);
        faults.answer_next([status(500), plainly(), cut_after()]);

        assert_eq!(names(&faults, 4), [Some("status"), Some("none"), Some("cut_after"), None]);
    }

    #[test]
    fn one_seed_plays_one_game_and_another_seed_another() {
        let first = names(&Faults::new(Side::Destination, Chaos::Hard, 7), 500);

        assert_eq!(first, names(&Faults::new(Side::Destination, Chaos::Hard, 7), 500));
        assert_ne!(first, names(&Faults::new(Side::Destination, Chaos::Hard, 8), 500));
    }

    #[test]
    fn hard_plays_every_fault_of_its_table_and_mild_far_fewer() {
        let hard = names(&Faults::new(Side::Stream, Chaos::Hard, 3), 5000);
        let mild = names(&Faults::new(Side::Stream, Chaos::Mild, 3), 5000);
        let hits = |all: &[Option<_>]| all.iter().flatten().count();

        for name in ["slow", "past_the_timeout", "burst", "cut_before", "cut_after", "truncated", "not_json"] {
            assert!(hard.contains(&Some(name)), "{name}");
        }
        for name in ["throttled", "throttled_without_hint", "throttled_with_garbage", "repeated_page", "reversed_page"]
        {
            assert!(hard.contains(&Some(name)), "{name}");
        }
        assert!((1200..2500).contains(&hits(&hard)), "{}", hits(&hard));
        assert!((100..600).contains(&hits(&mild)), "{}", hits(&mild));
    }

    #[test]
    fn a_key_is_hit_only_so_often_and_then_left_alone() {
        for seed in 0..50 {
            let faults = Faults::new(Side::Destination, Chaos::Hard, seed);
            let hits = (0..200).filter(|_| faults.next("one").is_some()).count();
            assert_eq!(hits, MAX_PER_KEY as usize);
        }
    }

    #[test]
    fn pages_are_only_disturbed_where_there_are_pages() {
        let names = names(&Faults::new(Side::Destination, Chaos::Hard, 3), 5000);

        assert!(!names.contains(&Some("repeated_page")));
        assert!(!names.contains(&Some("reversed_page")));
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let fault = status(429).retry_after(Duration::from_millis(1200));
        let Reply::Instead(answer) = fault.reply() else { panic!("a made-up answer") };

        assert_eq!(answer.headers[1], ("retry-after".to_owned(), "2".to_owned()));
    }
}
