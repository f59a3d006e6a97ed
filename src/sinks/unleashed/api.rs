//! Speaks HTTP to Unleashed's API: signed requests, and what an answer's status and text mean.
//!
//! | Answer | Is taken for |
//! | --- | --- |
//! | 429; 403 whose text speaks of usage or a limit | a limit: see below |
//! | 401, 403 to a query with escapes | the other form of the signature, once |
//! | any other 401, 403 | credentials: everything waits |
//!
//! A month that is used up is not told by any status of its own. What speaks of it closes the sink's month until `quota_probe`
//! has passed or the month is over, whichever is first; then calls go out again, and the first answer tells. Any other 429
//! closes the minute for as long as it asks, else for a minute, two, four … up to an hour, or to `retry.slow_interval`.
//!
//! Source: Unleashed API documentation, "Authentication help"; Unleashed help centre, "Understanding your API usage limits".
//! Assumed: the status and text of a blocked call, which are not documented.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use reqwest::{
    Method, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::de::DeserializeOwned;

use super::signature::{Form, Query, Signer};
use crate::{
    config::url::HttpUrl,
    domain::{
        delivery::{Outcome, Reason},
        limits::{self, LearnedLimit, Window, month_after},
    },
    http::retry_after,
    sinks::{
        Answer,
        http::{Read, date, excerpt, failed, read_up_to, refused},
    },
    telemetry::traces::carried,
};

/// Longest answer that is read: a page of products.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// After a 429 that names no time, doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// Words that tell of a used-up month. Assumed.
const OF_A_MONTH: [&str; 3] = ["usage", "quota", "month"];
/// Words that tell of a limit, in an answer that forbids. Assumed.
const OF_A_LIMIT: &str = "limit";

/// Where and how to ask.
#[derive(Debug)]
pub struct Api {
    pub(super) http: reqwest::Client,
    pub(super) base_url: HttpUrl,
    pub(super) headers: HeaderMap,
    pub(super) signer: Signer,
    pub(super) timeout: Duration,
    /// How often a used-up month is asked about.
    pub(super) quota_probe: Duration,
    pub(super) longest_pause: Duration,
    /// Refusals for too many calls without an answer between them.
    pub(super) refused: AtomicU32,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Heard {
    pub answer: Read,
}

impl Heard {
    /// With what it means. The beginning of the answer goes along where something failed, masked.
    pub fn into_answer(self, outcome: Outcome) -> Answer {
        let Read { status, body, .. } = &self.answer;
        let excerpt = if matches!(outcome, Outcome::Delivered(_)) { None } else { excerpt(body) };
        Answer { http_status: Some(status.as_u16()), excerpt, ..Answer::from(outcome) }
    }

    /// What it says; none: it is no JSON of Unleashed's.
    pub fn said<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.answer.body).ok()
    }

    pub fn is_success(&self) -> bool {
        self.answer.status.is_success()
    }

    pub fn is_not_found(&self) -> bool {
        self.answer.status.as_u16() == 404
    }
}

/// What was read, and when by the destination's clock.
#[derive(Debug, Default)]
pub struct Told<T> {
    pub said: T,
    pub date: Option<DateTime<Utc>>,
}

/// One task's requests, one after the other, and how many they were.
#[derive(Debug)]
pub struct Asking<'c> {
    api: &'c Api,
    now: DateTime<Utc>,
    calls: u32,
}

impl<'c> Asking<'c> {
    /// `now` labels what is learnt of limits, and when documents were made.
    pub fn new(api: &'c Api, now: DateTime<Utc>) -> Self {
        Self { api, now, calls: 0 }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// The calls beyond the one that is counted for every task.
    pub fn counted(&self, answer: Answer) -> Answer {
        Answer { calls_beside: self.calls.saturating_sub(1), ..answer }
    }

    /// Reads what is at a path. What is not there is none.
    pub async fn read<T: DeserializeOwned>(&mut self, path: &[&str], query: &Query) -> Result<Option<T>, Answer> {
        Ok(self.read_told(path, query).await?.map(|told| told.said))
    }

    /// The same with the destination's clock.
    pub async fn read_told<T: DeserializeOwned>(
        &mut self,
        path: &[&str],
        query: &Query,
    ) -> Result<Option<Told<T>>, Answer> {
        let heard = self.ask(&Method::GET, path, query, None).await?;
        match heard.answer.status.as_u16() {
            200..=299 => match heard.said() {
                Some(said) => Ok(Some(Told { said, date: date(&heard.answer.headers) })),
                None => Err(heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer })),
            },
            404 => Ok(None),
            _ => Err(self.api.refusal(heard, self.now)),
        }
    }

    /// The same of what must be there.
    pub async fn list<T: DeserializeOwned>(&mut self, path: &[&str], query: &Query) -> Result<T, Answer> {
        let missing = || Answer { http_status: Some(404), ..Outcome::Reject { reason: Reason::NotFound }.into() };
        self.read(path, query).await?.ok_or_else(missing)
    }

    /// Sends a request that writes. An answer of success, or a refusal by content, is one; all else is told at once.
    pub async fn write(&mut self, method: Method, path: &[&str], body: Option<&str>) -> Result<Heard, Answer> {
        let heard = self.ask(&method, path, &Query::default(), body).await?;
        match heard.answer.status.as_u16() {
            200..=299 | 400 | 404 | 409 | 422 => Ok(heard),
            _ => Err(self.api.refusal(heard, self.now)),
        }
    }

    async fn ask(
        &mut self,
        method: &Method,
        path: &[&str],
        query: &Query,
        body: Option<&str>,
    ) -> Result<Heard, Answer> {
        self.calls += 1;
        let form = self.api.signer.form();
        let heard = self.api.ask(method, path, query, form, body).await?;
        if !query.has_escapes() || !is_forbidden(&heard) || speaks_of_a_limit(&heard) {
            return Ok(heard);
        }
        self.calls += 1;
        let form = form.other();
        let again = self.api.ask(method, path, query, form, body).await?;
        if !is_forbidden(&again) {
            self.api.signer.learn(form);
        }
        Ok(again)
    }
}

impl Api {
    /// Any answer that was read to its end is one here.
    async fn ask(
        &self,
        method: &Method,
        path: &[&str],
        query: &Query,
        form: Form,
        body: Option<&str>,
    ) -> Result<Heard, Answer> {
        let json = HeaderValue::from_static("application/json");
        let mut signature = HeaderValue::try_from(self.signer.sign(query, form)).expect("base64 is a header");
        signature.set_sensitive(true);
        let request = self.http.request(method.clone(), self.url(path, query)).timeout(self.timeout);
        let request = request.headers(self.headers.clone()).header(ACCEPT, json.clone()).header(CONTENT_TYPE, json);
        let request = request.header(HeaderName::from_static("api-auth-signature"), signature);
        let request = match body {
            Some(body) => request.body(body.to_owned()),
            None => request,
        };
        let response = carried(request).send().await.map_err(|error| Answer::from(failed(&error)))?;
        let answer = read_up_to(response, MAX_ANSWER)
            .await
            .map_err(|(status, error)| Answer { http_status: Some(status.as_u16()), ..Answer::from(failed(&error)) })?;
        if answer.status.as_u16() != 429 {
            self.refused.store(0, Ordering::Relaxed);
        }
        Ok(Heard { answer })
    }

    /// Each part of the path is one segment, whatever it holds.
    fn url(&self, path: &[&str], query: &Query) -> Url {
        let mut url = self.base_url.as_url().clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        // Nothing in it is written anew: see the test of `Query`.
        url.set_query(Some(query.as_sent()).filter(|query| !query.is_empty()));
        url
    }

    /// What an answer means that is neither success nor about content.
    fn refusal(&self, heard: Heard, now: DateTime<Utc>) -> Answer {
        let status = heard.answer.status.as_u16();
        let is_throttled = status == 429;
        let is_limited = is_throttled || status == 403 && speaks_of_a_limit(&heard);
        if !is_limited {
            let outcome = refused(heard.answer.status, &heard.answer.headers, now);
            return heard.into_answer(outcome.unwrap_or(Outcome::Unknown { reason: Reason::UnreadableAnswer }));
        }
        let asked = retry_after(&heard.answer.headers, now);
        let is_of_the_month = !is_throttled || tells(&heard, &OF_A_MONTH);
        let (window, wait) = if is_of_the_month {
            let left = (month_after(now) - now).to_std().unwrap_or_default();
            (Window::Month, self.quota_probe.min(left))
        } else {
            let before = self.refused.fetch_add(1, Ordering::Relaxed);
            let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(before)).min(self.longest_pause);
            (Window::Minute, asked.unwrap_or(pause))
        };
        let limits = vec![LearnedLimit { window, told: limits::Told::Refused { wait } }];
        Answer { limits, ..heard.into_answer(Outcome::Throttled { not_before: Some(wait) }) }
    }
}

fn is_forbidden(heard: &Heard) -> bool {
    matches!(heard.answer.status.as_u16(), 401 | 403)
}

fn speaks_of_a_limit(heard: &Heard) -> bool {
    tells(heard, &OF_A_MONTH) || tells(heard, &[OF_A_LIMIT])
}

fn tells(heard: &Heard, words: &[&str]) -> bool {
    const LOOKED_AT: usize = 4 * 1024;
    let body = &heard.answer.body;
    let text = String::from_utf8_lossy(&body[..body.len().min(LOOKED_AT)]).to_lowercase();
    words.iter().any(|word| text.contains(word))
}
