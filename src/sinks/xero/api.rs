//! Speaks HTTP to Xero's Accounting API: headers, pages, and what an answer's status and texts mean.
//!
//! JSON is asked for and sent, because the API speaks XML otherwise. Creating is `PUT`, so that a number that is in use
//! already is an error to look at; `POST` goes to single records only.
//!
//! Source: Xero Accounting API description 16.1.0; Xero developer FAQ, limits. What a refusal means is told by fragments of
//! its text ([`Why`]), because nothing else tells it; each has its source there.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngExt as _;
use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_MODIFIED_SINCE},
};

use super::{
    refusal::{Why, said},
    wire::Listing,
};
use crate::{
    config::url::HttpUrl,
    domain::{
        delivery::{Outcome, Reason},
        limits::LearnedLimit,
    },
    sinks::{
        Answer, Calls,
        http::{Problem, Read, date, excerpt, failed, learned_limits, read_up_to, refused},
        oauth::Tokens,
    },
};

/// Longest answer that is read: 25 documents with their lines, or all items of an organisation.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Records on a page. Source: Xero Accounting API, parameter `page`: 100 unless told otherwise.
pub const PAGE_SIZE: usize = 100;
/// Most pages of one listing that are read.
const MOST_PAGES: u32 = 20;
/// Where the notes of a document are. Source: Xero Accounting API, `Invoices/{InvoiceID}/History`.
pub const HISTORY: &str = "History";
/// After a refusal for too many calls at once, which names no time. Assumed: Xero developer FAQ, limits, says that five
/// calls may be in progress and not for how long a sixth has to wait.
const AT_ONCE_PAUSE: std::ops::RangeInclusive<u64> = 2_000..=5_000;

/// Where and how to ask.
#[derive(Debug)]
pub struct Api {
    pub(super) http: reqwest::Client,
    pub(super) base_url: HttpUrl,
    pub(super) tokens: Tokens,
    /// The organisation. A custom connection has only one, and needs no name for it.
    pub(super) tenant_id: Option<HeaderValue>,
    pub(super) timeout: Duration,
}

/// One request that writes.
#[derive(Debug, Clone)]
pub struct Write<'a> {
    pub method: Method,
    pub path: &'a [&'a str],
    pub body: String,
    /// The same key leads to one effect for some minutes.
    pub key: &'a str,
}

/// What a request brings beside its address.
#[derive(Clone)]
enum Content<'a> {
    None,
    /// Only what was changed since, UTC.
    Since(DateTime<Utc>),
    Body(String, &'a str),
}

/// An answer that was read to its end, and what it told about limits.
#[derive(Debug)]
pub struct Heard {
    pub answer: Read,
    pub limits: Vec<LearnedLimit>,
}

impl Heard {
    /// With what it means. The beginning of the answer goes along where something failed, masked.
    pub fn into_answer(self, outcome: Outcome) -> Answer {
        let Read { status, body, .. } = &self.answer;
        let excerpt = if matches!(outcome, Outcome::Delivered(_)) { None } else { excerpt(body) };
        Answer { http_status: Some(status.as_u16()), excerpt, limits: self.limits, ..Answer::from(outcome) }
    }

    /// What it lists; none: it is no JSON of Xero's.
    pub fn listing(&self) -> Option<Listing> {
        serde_json::from_slice(&self.answer.body).ok()
    }

    /// Why the request was refused; none: it was not, or not by what it said.
    pub fn why(&self) -> Option<Why> {
        (self.answer.status == StatusCode::BAD_REQUEST).then(|| Why::of(&said(&self.answer.body)))
    }
}

/// What was listed, and what the answer told beside it.
#[derive(Debug, Default)]
pub struct Since {
    pub listing: Listing,
    /// Xero's clock.
    pub date: Option<DateTime<Utc>>,
    pub limits: Vec<LearnedLimit>,
}

/// One task's requests, one after the other, how many they were, and what the last answer told about limits.
#[derive(Debug)]
pub struct Asking<'c> {
    api: &'c Api,
    now: DateTime<Utc>,
    calls: Calls,
}

impl<'c> Asking<'c> {
    /// `now` only labels what is learnt of limits.
    pub fn new(api: &'c Api, now: DateTime<Utc>) -> Self {
        Self { api, now, calls: Calls::default() }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Those so far.
    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }

    /// What the token in use is good for, where its answer said so.
    pub fn granted_scope(&self) -> Option<String> {
        self.api.tokens.scope()
    }

    /// With the calls beyond the one that is counted for every task, and what they told.
    pub fn counted(&self, answer: Answer) -> Answer {
        let Calls { made, limits } = self.calls();
        Answer { calls_beside: made.saturating_sub(1), limits, ..answer }
    }

    /// Asks once. What an answer tells about limits is truer than what was told before, whatever else it says.
    async fn ask(&mut self, method: Method, url: Url, content: Content<'_>) -> Result<Heard, Answer> {
        self.calls.made += 1;
        let heard = self.api.ask(method, url, content, self.now).await?;
        if !heard.limits.is_empty() {
            self.calls.limits.clone_from(&heard.limits);
        }
        Ok(heard)
    }

    /// Reads what is at a path. A record that is not there is none; a list is always there, if only an empty one.
    pub async fn read(&mut self, path: &[&str], query: &[(&str, &str)]) -> Result<Option<Listing>, Answer> {
        self.read_what(path, query, Content::None).await
    }

    /// The same of what was made or changed since, with what the answer told beside it. None: everything.
    pub async fn read_since(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
        since: Option<DateTime<Utc>>,
    ) -> Result<Since, Answer> {
        let content = since.map_or(Content::None, Content::Since);
        Ok(self.ask_for(path, query, content).await?.unwrap_or_default())
    }

    async fn read_what(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
        content: Content<'_>,
    ) -> Result<Option<Listing>, Answer> {
        Ok(self.ask_for(path, query, content).await?.map(|since| since.listing))
    }

    async fn ask_for(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
        content: Content<'_>,
    ) -> Result<Option<Since>, Answer> {
        let heard = self.ask(Method::GET, self.api.url(path, query), content).await?;
        match heard.answer.status.as_u16() {
            200..=299 => match heard.listing() {
                Some(listing) => Ok(Some(Since { listing, date: date(&heard.answer.headers), limits: heard.limits })),
                None => Err(heard.into_answer(Outcome::Unknown { reason: Reason::UnreadableAnswer })),
            },
            404 if path.len() > 1 => Ok(None),
            _ => Err(refusal(heard, self.now)),
        }
    }

    /// Reads all pages of a listing.
    pub async fn read_pages(&mut self, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<Listing>, Answer> {
        self.pages(path, query, Content::None).await
    }

    /// The same of what was made or changed since.
    pub async fn read_pages_since(&mut self, path: &[&str], since: DateTime<Utc>) -> Result<Vec<Listing>, Answer> {
        self.pages(path, &[], Content::Since(since)).await
    }

    async fn pages(
        &mut self,
        path: &[&str],
        query: &[(&str, &str)],
        content: Content<'_>,
    ) -> Result<Vec<Listing>, Answer> {
        let mut pages = Vec::new();
        for page in 1..=MOST_PAGES {
            let (number, size) = (page.to_string(), PAGE_SIZE.to_string());
            let paged = [("page", number.as_str()), ("pageSize", size.as_str())];
            let query: Vec<_> = query.iter().copied().chain(paged).collect();
            let listing = self.read_what(path, &query, content.clone()).await?.unwrap_or_default();
            let n_pages = listing.pagination.and_then(|pagination| pagination.page_count).unwrap_or(1);
            pages.push(listing);
            if page >= n_pages {
                break;
            }
        }
        Ok(pages)
    }

    /// Sends a request that writes. An answer of success, or a refusal by content (400, 404), is one; all else is told at
    /// once.
    pub async fn write(&mut self, write: Write<'_>) -> Result<Heard, Answer> {
        // Elements are judged one by one: a bad one refuses no other. Single records and notes do not know the parameter.
        let one_by_one = [("summarizeErrors", "false")];
        let has_elements = write.method == Method::PUT && write.path.last() != Some(&HISTORY);
        let url = self.api.url(write.path, if has_elements { &one_by_one } else { &[] });
        let heard = self.ask(write.method, url, Content::Body(write.body, write.key)).await?;
        match heard.answer.status.as_u16() {
            200..=299 | 400 | 404 => Ok(heard),
            _ => Err(refusal(heard, self.now)),
        }
    }
}

impl Api {
    /// Any answer that was read to its end is one here.
    async fn ask(&self, method: Method, url: Url, content: Content<'_>, now: DateTime<Utc>) -> Result<Heard, Answer> {
        let sent = self.tokens.send_authorised(self.timeout, |bearer| {
            let json = HeaderValue::from_static("application/json");
            let request = self.http.request(method.clone(), url.clone());
            let mut request = request.header(AUTHORIZATION, bearer.header()).header(ACCEPT, json.clone());
            // On every call: without it XML is what the API means.
            request = request.header(CONTENT_TYPE, json);
            if let Some(tenant_id) = &self.tenant_id {
                request = request.header("xero-tenant-id", tenant_id.clone());
            }
            match &content {
                Content::None => request,
                Content::Since(at) => request.header(IF_MODIFIED_SINCE, at.format("%Y-%m-%dT%H:%M:%S").to_string()),
                Content::Body(body, key) => request.header("Idempotency-Key", *key).body(body.clone()),
            }
        });
        let response = sent.await.map_err(Answer::from)?;
        let answer = read_up_to(response, MAX_ANSWER)
            .await
            .map_err(|(status, error)| Answer { http_status: Some(status.as_u16()), ..Answer::from(failed(&error)) })?;
        let limits = learned_limits(answer.status, &answer.headers, None, now);
        Ok(Heard { answer, limits })
    }

    /// Each part of the path is one segment, whatever it holds.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base_url.as_url().clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// What any other answer means.
fn refusal(heard: Heard, now: DateTime<Utc>) -> Answer {
    let Read { status, headers, body } = &heard.answer;
    let asked = refused(*status, headers, now);
    let outcome = match (status.as_u16(), asked) {
        // Source: Xero's 401 for what a scope or the app's plan does not include, as an integrator reports it.
        (401, _) if said(body).contains("authorizationunsuccessful") => Outcome::Blocked { reason: Reason::Forbidden },
        (429, Some(Outcome::Throttled { not_before: None })) if Problem::of(headers) == Problem::AtOnce => {
            let pause = rand::rng().random_range(AT_ONCE_PAUSE);
            Outcome::Throttled { not_before: Some(Duration::from_millis(pause)) }
        }
        (_, Some(outcome)) => outcome,
        (_, None) => Outcome::Unknown { reason: Reason::UnreadableAnswer },
    };
    heard.into_answer(outcome)
}
