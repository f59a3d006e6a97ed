//! Speaks HTTP to GoDataFeed and classifies its answers.
//!
//! With API v1 the token is part of the path, so an address is a secret: none is logged, put in an error or kept, and the
//! addresses of failed requests are taken out of their errors before anything looks at those.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use reqwest::{
    Method, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use tokio::time::Instant;
use tracing::warn;

use super::{
    config::{Api, GodatafeedSettings},
    listing::{Listing, is_round},
    plan::{ACKNOWLEDGE, CANCEL, Held, Reached, SHIP, TAKEN_ELSEWHERE, is_first},
    template::{Place, Template},
    token::Auth,
    wire::{self, Unreadable},
};
use crate::{
    domain::{
        delivery::{Outcome, Reason, Receipt, Sent, Step},
        ids::SinkName,
        limits::Window,
    },
    sinks::{
        Answer, Told,
        http::{MAX_ANSWER, Read, excerpt, failed, learned_limits, read_up_to, refused},
        oauth::Bearer,
    },
    telemetry::traces::carried,
};

/// Longest list that is read.
const MAX_LIST: usize = 32 * 1024 * 1024;
/// Most pages of one listing.
const MAX_PAGES: u32 = 20;
/// After so many orders in a row that are not known there it is the request that is wrong.
const UNKNOWN_IN_A_ROW: usize = 5;
/// A longer number is sent all the same; the documentation names no limit.
const LONG_NUMBER: usize = 50;
/// First and longest wait after a 429 that names no time.
const THROTTLED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

static REJECTED: Told = Told {
    reason: "rejected_by_godatafeed",
    hint: "GoDataFeed refused it: see the answer in attempts, mend what it names (tracking, templates, fields, the order \
           there), then retry this",
};
static ORDER_UNKNOWN: Told = Told {
    reason: "order_unknown",
    hint: "GoDataFeed does not know this order any more: look for it there; retry this if it is back, else discard it",
};

/// Where and how to ask.
#[derive(Debug)]
pub struct Client {
    sink: SinkName,
    http: reqwest::Client,
    settings: GodatafeedSettings,
    auth: Auth,
    timeout: Duration,
    /// Orders that were not known there, since the last one that was.
    unknown: Mutex<BTreeSet<String>>,
    /// 429s without a time, since the last other answer.
    throttled: AtomicU32,
}

/// One request.
struct Call<'a> {
    template: &'a Template,
    gdf_id: Option<&'a str>,
    query: Vec<(&'a str, String)>,
    body: Option<&'a str>,
    most: usize,
}

impl<'a> Call<'a> {
    fn of(template: &'a Template) -> Self {
        Self { template, gdf_id: None, query: Vec::new(), body: None, most: MAX_ANSWER }
    }
}

/// What several requests share: when all of them must be over, and how many were made.
struct Errand {
    ends: Instant,
    calls: u32,
}

impl Client {
    pub fn new(
        sink: SinkName,
        http: reqwest::Client,
        settings: GodatafeedSettings,
        auth: Auth,
        timeout: Duration,
    ) -> Self {
        let (unknown, throttled) = (Mutex::default(), AtomicU32::default());
        Self { sink, http, settings, auth, timeout, unknown, throttled }
    }

    fn errand(&self) -> Errand {
        Errand { ends: Instant::now() + self.timeout, calls: 0 }
    }

    /// Lists the new orders. Returns how many calls it took.
    pub async fn list(&self, now: DateTime<Utc>) -> (u32, Result<Listing, Answer>) {
        let mut errand = self.errand();
        let listed = self.list_pages(&mut errand, now).await;
        (errand.calls, listed)
    }

    async fn list_pages(&self, errand: &mut Errand, now: DateTime<Utc>) -> Result<Listing, Answer> {
        let paging = self.settings.paging.as_ref();
        let (mut orders, mut is_cut, mut is_unreadable, mut page_number) = (Vec::new(), false, false, 1);
        loop {
            let mut call = Call { most: MAX_LIST, ..Call::of(&self.settings.templates.list) };
            if let Some(paging) = paging {
                call.query.push((&paging.page_parameter, page_number.to_string()));
                call.query.push((&paging.size_parameter, paging.size.to_string()));
            }
            let answer = self.ask(call, errand).await.map_err(Answer::from)?;
            let page = self.page(&answer, now).map_err(|answer| *answer)?;
            if page.n_unreadable > 0 {
                warn!(sink.name = %self.sink, orders = page.n_unreadable, "listed orders without id or number left out");
                is_unreadable = true;
            }
            orders.extend(page.orders);
            match paging {
                Some(paging) if page.n_orders >= paging.size as usize && page_number < MAX_PAGES => page_number += 1,
                Some(paging) => {
                    is_cut |= page.n_orders >= paging.size as usize;
                    break;
                }
                None => {
                    is_cut |= is_round(page.n_orders);
                    break;
                }
            }
        }
        if is_cut {
            warn!(sink.name = %self.sink, orders = orders.len(), "list of new orders may be cut: configure `paging`");
        }
        // While pages are read others may take orders over, and what stood behind them moves to a page that was read.
        Ok(Listing::of(orders, is_cut || is_unreadable || page_number > 1, now))
    }

    fn page(&self, answer: &Read, now: DateTime<Utc>) -> Result<wire::Page, Box<Answer>> {
        let misconfigured = Outcome::Blocked { reason: Reason::Misconfigured };
        let retry = |reason| Outcome::Retry { reason, sent: Sent::No, not_before: None };
        let outcome = match refused(answer.status, &answer.headers, now) {
            None => match wire::page(&answer.body, &self.settings) {
                Ok(page) => return Ok(page),
                Err(Unreadable::NotJson) => retry(Reason::UnreadableAnswer),
                Err(Unreadable::Failed) => retry(Reason::ServerError),
                Err(Unreadable::Elsewhere) => misconfigured,
            },
            // The template is wrong.
            Some(Outcome::Reject { .. }) => misconfigured,
            Some(other) => self.of_common(other),
        };
        Err(Box::new(self.told(answer, outcome, now)))
    }

    /// Sends one step.
    pub async fn send(&self, step: &Step, now: DateTime<Utc>) -> Answer {
        let mut errand = self.errand();
        let Ok(Some(held)) = Held::of(step.receipt.as_ref()) else { return unusable() };
        let template = match step.name.as_str() {
            ACKNOWLEDGE => &self.settings.templates.acknowledge,
            SHIP | CANCEL => &self.settings.templates.status,
            _ => return unusable(),
        };
        if let Some(length) = held.number.as_ref().map(|number| number.chars().count())
            && step.name == ACKNOWLEDGE
            && length > LONG_NUMBER
        {
            warn!(sink.name = %self.sink, remote.id = held.gdf_id, length, "long destination number sent as it is");
        }
        let call = Call { gdf_id: Some(&held.gdf_id), body: Some(&step.body), ..Call::of(template) };
        let answer = match self.ask(call, &mut errand).await {
            Ok(answer) => self.judge(&answer, &held, step, &mut errand, now).await,
            Err(outcome) => outcome.into(),
        };
        Answer { calls_beside: errand.calls.saturating_sub(1), ..answer }
    }

    async fn judge(&self, answer: &Read, held: &Held, step: &Step, errand: &mut Errand, now: DateTime<Utc>) -> Answer {
        if answer.status != StatusCode::NOT_FOUND && answer.status != StatusCode::UNAUTHORIZED {
            self.unknown().clear();
        }
        let delivered = || Outcome::Delivered(Receipt { external_id: Some(held.gdf_id.clone()), ..Receipt::default() });
        let common = match refused(answer.status, &answer.headers, now) {
            None if wire::tells_error(&answer.body) => Outcome::Reject { reason: Reason::Refused },
            None => return self.told(answer, delivered(), now),
            Some(common) => self.of_common(common),
        };
        match common {
            Outcome::Reject { reason: Reason::NotFound } => self.unknown_order(answer, &held.gdf_id, now),
            Outcome::Reject { reason: Reason::Redirected } => self.told(answer, common, now),
            Outcome::Reject { .. } => {
                let (outcome, told) = match self.read_back(answer.status, held, step, errand, now).await {
                    Some(true) if step.name == ACKNOWLEDGE && is_first(step) => (common, &TAKEN_ELSEWHERE),
                    Some(true) => (delivered(), &REJECTED),
                    Some(false) => (common, &REJECTED),
                    // What a conflict is about is not known, so it may be about our own doing.
                    None => (Outcome::Unknown { reason: Reason::Conflict }, &REJECTED),
                };
                Answer { told: Some(told), ..self.told(answer, outcome, now) }
            }
            other => self.told(answer, other, now),
        }
    }

    /// Whether what was refused stands all the same, by whose doing ever. None: it could not be found out.
    async fn read_back(
        &self,
        status: StatusCode,
        held: &Held,
        step: &Step,
        errand: &mut Errand,
        now: DateTime<Utc>,
    ) -> Option<bool> {
        if step.name == ACKNOWLEDGE {
            if status != StatusCode::CONFLICT {
                return Some(false);
            }
            let listing = self.list_pages(errand, now).await.ok()?;
            return match listing.has(&held.gdf_id) {
                true => Some(false),
                false if listing.may_be_cut => None,
                false => Some(true),
            };
        }
        let Some(get) = &self.settings.templates.get else { return Some(false) };
        let call = Call { gdf_id: Some(&held.gdf_id), ..Call::of(get) };
        let Ok(answer) = self.ask(call, errand).await else { return Some(false) };
        let literal = match held.reached {
            Reached::Cancelled => &self.settings.literals.cancelled,
            Reached::New | Reached::Acknowledged | Reached::Shipped => &self.settings.literals.shipped,
        };
        let stands = answer.status.is_success() && !wire::tells_error(&answer.body);
        let status = wire::status(&answer.body, &self.settings).filter(|_| stands);
        Some(status.is_some_and(|status| status.eq_ignore_ascii_case(literal)))
    }

    fn unknown_order(&self, answer: &Read, gdf_id: &str, now: DateTime<Utc>) -> Answer {
        let n_unknown = {
            let mut unknown = self.unknown();
            unknown.insert(gdf_id.to_owned());
            unknown.len()
        };
        if n_unknown >= UNKNOWN_IN_A_ROW {
            return self.told(answer, Outcome::Blocked { reason: Reason::Misconfigured }, now);
        }
        let outcome = Outcome::Reject { reason: Reason::NotFound };
        Answer { told: Some(&ORDER_UNKNOWN), ..self.told(answer, outcome, now) }
    }

    fn unknown(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The common table, but for what the contract says otherwise.
    fn of_common(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Blocked { .. } => Outcome::Blocked { reason: Reason::CredentialsRejected },
            Outcome::Throttled { not_before: None } => {
                let (first, longest) = THROTTLED;
                let before = self.throttled.fetch_add(1, Ordering::Relaxed);
                let wait = first.saturating_mul(2u32.saturating_pow(before)).min(longest);
                Outcome::Throttled { not_before: Some(wait) }
            }
            other => other,
        }
    }

    fn told(&self, answer: &Read, outcome: Outcome, now: DateTime<Utc>) -> Answer {
        if answer.status != StatusCode::TOO_MANY_REQUESTS {
            self.throttled.store(0, Ordering::Relaxed);
        }
        let is_fine = matches!(outcome, Outcome::Delivered(_));
        Answer {
            http_status: Some(answer.status.as_u16()),
            excerpt: if is_fine { None } else { excerpt(&answer.body) },
            limits: learned_limits(answer.status, &answer.headers, Some(Window::Minute), now),
            ..Answer::from(outcome)
        }
    }

    /// Asks with a token; where it is refused and another can be had, once more with that.
    async fn ask(&self, call: Call<'_>, errand: &mut Errand) -> Result<Read, Outcome> {
        let token = self.bearer_by(errand).await?;
        let answer = self.ask_with(&token, &call, errand).await?;
        if !matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(answer);
        }
        let another = tokio::time::timeout_at(last_start(errand), self.auth.another_than(&token)).await;
        match another {
            Ok(Some(token)) => self.ask_with(&token, &call, errand).await,
            Ok(None) | Err(_) => Ok(answer),
        }
    }

    async fn bearer_by(&self, errand: &Errand) -> Result<Bearer, Outcome> {
        let too_late = Outcome::Retry { reason: Reason::Timeout, sent: Sent::No, not_before: None };
        match tokio::time::timeout_at(errand.ends, self.auth.token()).await {
            Ok(Ok(bearer)) => Ok(bearer),
            Ok(Err(why)) => Err(match why.outcome() {
                Outcome::Blocked { .. } => Outcome::Blocked { reason: Reason::CredentialsRejected },
                other => other,
            }),
            Err(_) => Err(too_late),
        }
    }

    async fn ask_with(&self, token: &Bearer, call: &Call<'_>, errand: &mut Errand) -> Result<Read, Outcome> {
        let Some(url) = self.url(token, call) else { return Err(Outcome::Reject { reason: Reason::Refused }) };
        let left = errand.ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Outcome::Retry { reason: Reason::Timeout, sent: Sent::No, not_before: None });
        }
        let mut request = self.http.request(call.template.method().clone(), url).timeout(left);
        if self.settings.api == Api::V2 {
            request = request.header(AUTHORIZATION, token.header());
        }
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.to_owned());
        }
        errand.calls += 1;
        let answer = match carried(request).send().await {
            Ok(response) => read_up_to(response, call.most).await.map_err(|(status, error)| (Some(status), error)),
            Err(error) => Err((None, error)),
        };
        match answer {
            Ok(answer) => Ok(answer),
            // Of a write only the status is needed.
            Err((Some(status), _)) if status.is_success() && call.template.method() != Method::GET => {
                Ok(Read { status, headers: reqwest::header::HeaderMap::new(), body: Vec::new() })
            }
            Err((_, error)) => Err(failed(&error.without_url())),
        }
    }

    /// A secret: see the head of this file.
    fn url(&self, token: &Bearer, call: &Call<'_>) -> Option<Url> {
        let mut places = vec![(Place::Token, token.expose())];
        places.extend(call.gdf_id.map(|id| (Place::Order, id)));
        let mut url = call.template.url(&self.settings.base_url, &places)?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        Some(url)
    }
}

/// From then on there is not time enough for another request.
fn last_start(errand: &Errand) -> Instant {
    let left = errand.ends.saturating_duration_since(Instant::now());
    errand.ends - left / 2
}

/// For a step that is none of ours; no plan makes one.
fn unusable() -> Answer {
    Outcome::Reject { reason: Reason::Refused }.into()
}
