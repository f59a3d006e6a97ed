//! Speaks HTTP to a shop: paths of both dialects, headers, pages, and what an answer's status means.
//!
//! Source: Lightspeed X-Series API 2.0; "Rate limiting"; "Pagination". Source: the owner's pages as api-evangelist/lightspeed
//! sums them up, for the user agent that is required and for `Retry-After`, which is a date.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    config::{Api as Dialect, PAGE_SIZE},
    wire::{self, Page},
};
use crate::{
    config::url::HttpUrl,
    domain::{
        delivery::{Outcome, Reason, Sent},
        limits::{LearnedLimit, Told, Window},
    },
    sinks::{
        Answer,
        http::{Read, excerpt, failed, learned_limits, read_up_to, refused},
        oauth::Tokens,
    },
};

/// Longest answer that is read: a page of products with all that is said of them.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Windows are five minutes long: whatever is asked for, a longer wait helps nobody.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);

/// Where and how to ask.
#[derive(Debug)]
pub struct Api {
    pub(super) http: reqwest::Client,
    pub(super) base_url: HttpUrl,
    pub(super) dialect: Dialect,
    pub(super) tokens: Tokens,
    /// For all requests of one task.
    pub(super) timeout: Duration,
    /// After a refusal for too many calls that names no time.
    pub(super) throttle_pause: Duration,
}

/// An answer that was read to its end, and what it told about limits.
#[derive(Debug)]
pub struct Heard {
    pub answer: Read,
    pub limits: Vec<LearnedLimit>,
}

impl Heard {
    pub fn status(&self) -> u16 {
        self.answer.status.as_u16()
    }

    /// With what it means. The beginning of the answer goes along where something failed, masked.
    pub fn into_answer(self, outcome: Outcome) -> Answer {
        let Read { status, body, .. } = &self.answer;
        let excerpt = if matches!(outcome, Outcome::Delivered(_)) { None } else { excerpt(body) };
        Answer { http_status: Some(status.as_u16()), excerpt, limits: self.limits, ..Answer::from(outcome) }
    }
}

/// One task's requests, one after the other, and how many they were.
#[derive(Debug)]
pub struct Asking<'c> {
    api: &'c Api,
    now: DateTime<Utc>,
    ends: Instant,
    calls: u32,
}

impl<'c> Asking<'c> {
    /// `now` only labels.
    pub fn new(api: &'c Api, now: DateTime<Utc>) -> Self {
        Self { api, now, ends: Instant::now() + api.timeout, calls: 0 }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    pub fn dialect(&self) -> Dialect {
        self.api.dialect
    }

    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// What the token in use is good for, where its answer said so.
    pub fn granted_scope(&self) -> Option<String> {
        self.api.tokens.scope()
    }

    /// The calls beyond the one that is counted for every task.
    pub fn counted(&self, answer: Answer) -> Answer {
        Answer { calls_beside: self.calls.saturating_sub(1), ..answer }
    }

    /// Reads what is at a path. What is not there is none.
    pub async fn read(&mut self, path: &[&str], query: &[(&str, &str)]) -> Result<Option<Heard>, Answer> {
        let heard = self.ask(Method::GET, path, query, None).await?;
        match heard.status() {
            200..=299 => Ok(Some(heard)),
            404 => Ok(None),
            _ => Err(refusal(heard, self.api.throttle_pause, self.now)),
        }
    }

    /// The same, understood.
    pub async fn read_as<T: DeserializeOwned>(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<T>, Answer> {
        let Some(heard) = self.read(path, query).await? else { return Ok(None) };
        match serde_json::from_slice(&heard.answer.body) {
            Ok(read) => Ok(Some(read)),
            Err(_) => Err(unreadable(heard)),
        }
    }

    /// The same, once more where that failed in passing: all orders wait for what is read so.
    pub async fn read_firmly<T: DeserializeOwned>(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<T>, Answer> {
        match self.read_as(path, query).await {
            Err(answer) if will_pass(&answer.outcome) => self.read_as(path, query).await,
            read => read,
        }
    }

    /// What has changed since a version of the shop's own counting, in its order.
    pub async fn page_after<T: DeserializeOwned>(&mut self, path: &[&str], after: i64) -> Result<Page<T>, Answer> {
        let after = after.to_string();
        let page = self.read_firmly(path, &[("after", &after), ("page_size", &PAGE_SIZE.to_string())]).await?;
        Ok(page.unwrap_or(Page { data: Vec::new(), version: wire::Versions::default() }))
    }

    /// Finds records of a kind by one of their fields. What is found has to be compared.
    pub async fn search<T: DeserializeOwned>(
        &mut self,
        kind: &str,
        field: &str,
        value: &str,
    ) -> Result<Vec<T>, Answer> {
        let page: Option<Page<T>> = self.read_as(&["search"], &[("type", kind), (field, value)]).await?;
        Ok(page.map(|page| page.data).unwrap_or_default())
    }

    /// A sale, and as it is written there. None: there is no such sale.
    pub async fn sale(&mut self, id: &str) -> Result<Option<wire::Shown>, Answer> {
        let dialect = self.dialect();
        let path = match dialect {
            Dialect::Dated { .. } => ["sales", id],
            Dialect::Legacy => [REGISTER_SALES, id],
        };
        let Some(heard) = self.read(&path, &[]).await? else { return Ok(None) };
        match wire::shown(&heard.answer.body, dialect) {
            Some(shown) => Ok(shown),
            None => Err(unreadable(heard)),
        }
    }

    /// Sends a request that writes. An answer of success, or a refusal by content, is one; all else is told at once.
    pub async fn write(
        &mut self,
        method: Method,
        path: &[&str],
        body: impl Into<Option<String>>,
    ) -> Result<Heard, Answer> {
        if self.ends.saturating_duration_since(Instant::now()) < self.api.timeout / 3 {
            // Rather not begun than cut off.
            return Err(Outcome::Retry { reason: Reason::Timeout, sent: Sent::No, not_before: None }.into());
        }
        let heard = self.ask(method, path, &[], body.into()).await?;
        match heard.status() {
            200..=299 | 400 | 404 | 409 | 422 => Ok(heard),
            _ => Err(refusal(heard, self.api.throttle_pause, self.now)),
        }
    }

    /// A new sale, whole.
    pub async fn post_sale(&mut self, body: String) -> Result<Heard, Answer> {
        match self.dialect() {
            Dialect::Dated { .. } => self.write(Method::POST, &["sales"], body).await,
            Dialect::Legacy => self.write(Method::POST, &[REGISTER_SALES], body).await,
        }
    }

    /// One that is there, whole.
    pub async fn put_sale(&mut self, id: &str, body: String) -> Result<Heard, Answer> {
        match self.dialect() {
            Dialect::Dated { .. } => self.write(Method::PUT, &["sales", id], body).await,
            Dialect::Legacy => self.write(Method::POST, &[REGISTER_SALES], body).await,
        }
    }

    /// Makes a parked return of a sale. Source: Lightspeed X-Series API 2.0, `initReturnSale`, which has no body.
    pub async fn begin_return(&mut self, id: &str) -> Result<Heard, Answer> {
        let method = match self.dialect() {
            Dialect::Dated { .. } => Method::POST,
            Dialect::Legacy => Method::PUT,
        };
        self.write(method, &["sales", id, "actions", "return"], None).await
    }

    /// Any answer that was read to its end is one here.
    async fn ask(
        &mut self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<String>,
    ) -> Result<Heard, Answer> {
        self.calls += 1;
        let api = self.api;
        let url = api.url(path, query);
        let left = self.ends.saturating_duration_since(Instant::now());
        let sent = api.tokens.send_authorised(left, |bearer| {
            let json = HeaderValue::from_static("application/json");
            let request = api.http.request(method.clone(), url.clone());
            let request = request.header(AUTHORIZATION, bearer.header()).header(ACCEPT, json.clone());
            let request = request.header(CONTENT_TYPE, json);
            match &body {
                Some(body) => request.body(body.clone()),
                None => request,
            }
        });
        let response = sent.await.map_err(Answer::from)?;
        let answer = read_up_to(response, MAX_ANSWER)
            .await
            .map_err(|(status, error)| Answer { http_status: Some(status.as_u16()), ..Answer::from(failed(&error)) })?;
        let limits = learned_limits(answer.status, &answer.headers, Some(Window::FiveMinutes), self.now);
        Ok(Heard { answer, limits })
    }
}

/// Source: Lightspeed, "Sales 101": where the legacy dialect has its sales, as it had before there were versions.
const REGISTER_SALES: &str = "register_sales";

impl Api {
    /// Each part of the path is one segment, whatever it holds.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base_url.as_url().clone();
        let version = match self.dialect {
            Dialect::Dated { .. } => Some(self.dialect.to_string()),
            Dialect::Legacy if path.first() == Some(&REGISTER_SALES) => None,
            Dialect::Legacy => Some("2.0".to_owned()),
        };
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(version).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// Of a request that only reads: whether another may come out otherwise, and need not wait.
fn will_pass(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. } | Outcome::Retry { not_before: None, .. })
}

fn unreadable(heard: Heard) -> Answer {
    heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer })
}

/// What a failure means that happened before anything was written: nothing was sent.
pub fn unsent(answer: Answer) -> Answer {
    let outcome = match answer.outcome {
        Outcome::Unknown { reason } => Outcome::Retry { reason, sent: Sent::No, not_before: None },
        Outcome::Retry { reason, not_before, .. } => Outcome::Retry { reason, sent: Sent::No, not_before },
        other => other,
    };
    Answer { outcome, ..answer }
}

/// What any other answer means.
fn refusal(heard: Heard, throttle_pause: Duration, now: DateTime<Utc>) -> Answer {
    let Read { status, headers, .. } = &heard.answer;
    let outcome = match refused(*status, headers, now) {
        Some(Outcome::Throttled { not_before }) => {
            Outcome::Throttled { not_before: Some(not_before.unwrap_or(throttle_pause).min(LONGEST_PAUSE)) }
        }
        Some(outcome) => outcome,
        None => Outcome::Unknown { reason: Reason::UnreadableAnswer },
    };
    let mut heard = heard;
    if heard.answer.status == StatusCode::TOO_MANY_REQUESTS
        && let Outcome::Throttled { not_before: Some(wait) } = outcome
    {
        // For all that want calls, not only for this one.
        heard.limits.retain(|learned| !matches!(learned.told, Told::Refused { .. }));
        heard.limits.push(LearnedLimit { window: Window::FiveMinutes, told: Told::Refused { wait } });
    }
    heard.into_answer(outcome)
}
