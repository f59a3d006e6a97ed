//! Speaks HTTP to SpotOn's Central API and classifies its answers.
//!
//! Source: SpotOn, Orders Overview and Rate Limiting. Assumed: what its refusals mean beyond their status, see the table.
//!
//! | Status | Submit | Cancel |
//! | --- | --- | --- |
//! | 2xx | done with an id, in doubt without one | done |
//! | 400, 422 | parked | read back: done if cancelled, else parked |
//! | 404 | parked | parked, never taken for "already gone" |
//! | 409 | in doubt: perhaps it is ours | read back, as above |
//!
//! Everything else is as for every sink.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    config::Paths,
    plan::{Answered, CANCEL, Held, HeldState, SCHEDULE_CHANGED, SUBMIT, TOTAL_DIFFERS, Told},
    wire::{ASAP, Seen, SeenState, instant, list},
};
use crate::{
    config::url::HttpUrl,
    domain::{
        delivery::{Outcome, Reason, Receipt, Sent, Step},
        limits::LearnedLimit,
    },
    sinks::{
        Answer, Turns,
        http::{Read, excerpt, failed, learned_limits, read_up_to, refused},
        oauth::Tokens,
    },
};

/// Longest answer that is read. A page of a report is longer than an order.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Most pages of one list that are read; more than that in the minutes a doubt is about is not a restaurant.
const MOST_PAGES: u64 = 100;
/// How often in a row a page of a long report is asked for again.
const PAGE_REPEATS: u32 = 3;
/// How long before a submit its order may be dated, by clocks that differ.
const DATED_BEFORE: chrono::Duration = chrono::Duration::minutes(10);

/// Where and how to ask.
#[derive(Debug)]
pub struct Client {
    pub(super) http: reqwest::Client,
    pub(super) base_url: HttpUrl,
    pub(super) paths: Paths,
    pub(super) tokens: Tokens,
    pub(super) timeout: Duration,
}

/// Why a report was not read to its end.
#[derive(Debug)]
pub enum Missed {
    /// There were no more calls for it.
    NoTurn,
    Failed(Box<Answer>),
}

/// An answer, and what it told about the limits.
struct Heard {
    answer: Read,
    limits: Vec<LearnedLimit>,
}

impl Client {
    /// Sends one step.
    pub async fn send(&self, step: &Step, now: DateTime<Utc>) -> Answer {
        let held = step.receipt.as_ref().and_then(|receipt| Held::deserialize(receipt).ok());
        match (step.name.as_str(), held) {
            (SUBMIT, Some(held)) => self.submit(step, held, now).await,
            (CANCEL, Some(held)) => self.cancel(&held, now).await,
            // No plan makes such a step.
            _ => Outcome::Reject { reason: Reason::Refused }.into(),
        }
    }

    async fn submit(&self, step: &Step, held: Held, now: DateTime<Utc>) -> Answer {
        let url = self.url(&self.paths.submit, &[("location_id", &held.location_id)], &[]);
        let heard = match self.ask(Method::POST, url, Some(&step.body), now).await {
            Ok(heard) => heard,
            Err(answer) => return answer,
        };
        let status = heard.answer.status;
        let outcome = match status.as_u16() {
            200..=299 => {
                let said: Option<Value> = serde_json::from_slice(&heard.answer.body).ok();
                said.and_then(|said| submitted(held, Seen::answered(&said)))
                    .map_or(Outcome::Unknown { reason: Reason::UnreadableAnswer }, Outcome::Delivered)
            }
            400 | 422 => Outcome::Reject { reason: Reason::RejectedBySpoton },
            404 => Outcome::Reject { reason: Reason::LocationOrMenuUnknown },
            409 => Outcome::Unknown { reason: Reason::Conflict },
            _ => of_status(&heard, now),
        };
        heard.into_answer(outcome)
    }

    async fn cancel(&self, held: &Held, now: DateTime<Utc>) -> Answer {
        let order_id = held.order_id.as_deref().unwrap_or_default();
        let url = self.url(&self.paths.cancel, &[("location_id", &held.location_id), ("order_id", order_id)], &[]);
        let heard = match self.ask(Method::POST, url, None, now).await {
            Ok(heard) => heard,
            // One that says yes has done it, whatever became of the rest of its answer.
            Err(answer) if answer.http_status.is_some_and(|status| (200..300).contains(&status)) => {
                return Answer { outcome: Outcome::Delivered(Receipt::default()), ..answer };
            }
            Err(answer) => return answer,
        };
        let outcome = match heard.answer.status.as_u16() {
            200..=299 => Outcome::Delivered(Receipt::default()),
            400 | 409 | 422 => {
                let (outcome, calls) = self.read_back(held, now).await;
                return Answer { calls_beside: calls, ..heard.into_answer(outcome) };
            }
            404 => Outcome::Reject { reason: Reason::OrderUnknown },
            _ => of_status(&heard, now),
        };
        heard.into_answer(outcome)
    }

    /// What a refused cancel means: it is done already, or a person has to look. Of a cancel that was sent before, whose
    /// effect the report may not show yet, no refusal says anything: it is sent again. With the number of calls it took.
    async fn read_back(&self, held: &Held, now: DateTime<Utc>) -> (Outcome, u32) {
        let since = held.submitted_at.unwrap_or(now);
        let listed = self.orders(&held.location_id, since, now).await;
        let (records, calls) = match listed {
            Ok(listed) => listed,
            Err(failed) => return (of_read(failed.outcome), 1),
        };
        let outcome = match state_of(held, &records) {
            Some(SeenState::Canceled) => Outcome::Delivered(Receipt::default()),
            _ => Outcome::Reject { reason: Reason::CancelRefused },
        };
        (outcome, calls)
    }

    /// The location's orders that were created or changed since a submit was sent, or a little before. With the number
    /// of calls it took.
    pub async fn orders(
        &self,
        location_id: &str,
        submitted_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Value>, u32), Answer> {
        let since = instant((submitted_at - DATED_BEFORE).max(DateTime::UNIX_EPOCH));
        let query = [("last_updated_from", since.as_str())];
        self.all_pages(&self.paths.reporting_orders, &[("location_id", location_id)], &query, "orders", now).await
    }

    /// Reads the report of a location as [`Client::orders`] does, to its end however long it is: each page in its turn, and
    /// nothing of it kept.
    pub async fn each_order(
        &self,
        location_id: &str,
        submitted_at: DateTime<Utc>,
        turns: &dyn Turns,
        now: DateTime<Utc>,
        visit: &mut (dyn FnMut(&Value) + Send),
    ) -> Result<(), Missed> {
        let since = instant((submitted_at - DATED_BEFORE).max(DateTime::UNIX_EPOCH));
        let mut page = 1;
        let mut failures = 0;
        loop {
            let number = page.to_string();
            let query = [("last_updated_from", since.as_str()), ("page", number.as_str())];
            let url = self.url(&self.paths.reporting_orders, &[("location_id", location_id)], &query);
            if !turns.next().await {
                return Err(Missed::NoTurn);
            }
            match self.page(url, turns, now).await {
                Ok((records, n_pages)) => {
                    records.iter().for_each(&mut *visit);
                    failures = 0;
                    if page >= n_pages {
                        return Ok(());
                    }
                    page += 1;
                }
                Err(answer) if failures < PAGE_REPEATS && may_pass(&answer.outcome) => failures += 1,
                Err(answer) => return Err(Missed::Failed(answer)),
            }
        }
    }

    async fn page(&self, url: Url, turns: &dyn Turns, now: DateTime<Utc>) -> Result<(Vec<Value>, u64), Box<Answer>> {
        let heard = match self.ask(Method::GET, url, None, now).await {
            Ok(heard) => heard,
            Err(answer) => {
                turns.heard(&answer.limits, answer.calls_beside).await;
                return Err(Box::new(answer));
            }
        };
        turns.heard(&heard.limits, 0).await;
        let status = heard.answer.status;
        list(parsed(heard, now)?, "orders").ok_or_else(|| Box::new(unreadable(status)))
    }

    /// What is on a menu.
    pub async fn menu_items(&self, location_id: &str, menu_id: &str, now: DateTime<Utc>) -> Result<Vec<Value>, Answer> {
        let named = [("location_id", location_id), ("menu_id", menu_id)];
        Ok(self.all_pages(&self.paths.menu_items, &named, &[], "items", now).await?.0)
    }

    /// The location's own record.
    pub async fn location(&self, location_id: &str, now: DateTime<Utc>) -> Result<Value, Answer> {
        let url = self.url(&self.paths.location, &[("location_id", location_id)], &[]);
        let (mut answer, _) = self.read(url, now).await?;
        Ok(answer.get_mut("location").map(Value::take).unwrap_or(answer))
    }

    /// What SpotOn would compute of an order, which it keeps nothing of.
    pub async fn propose(&self, location_id: &str, body: &str, now: DateTime<Utc>) -> Result<Value, Answer> {
        let url = self.url(&self.paths.propose, &[("location_id", location_id)], &[]);
        let heard = self.ask(Method::POST, url, Some(body), now).await?;
        parsed(heard, now).map_err(|answer| *answer)
    }

    async fn all_pages(
        &self,
        template: &str,
        named: &[(&str, &str)],
        query: &[(&str, &str)],
        list_name: &str,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Value>, u32), Answer> {
        let mut all = Vec::new();
        let mut page = 1;
        loop {
            let number = page.to_string();
            let query: Vec<(&str, &str)> = query.iter().copied().chain([("page", number.as_str())]).collect();
            let (answer, status) = self.read(self.url(template, named, &query), now).await?;
            let Some((elements, n_pages)) = list(answer, list_name) else { return Err(unreadable(status)) };
            all.extend(elements);
            if page >= n_pages.min(MOST_PAGES) {
                return Ok((all, page as u32));
            }
            page += 1;
        }
    }

    async fn read(&self, url: Url, now: DateTime<Utc>) -> Result<(Value, StatusCode), Answer> {
        let heard = self.ask(Method::GET, url, None, now).await?;
        let status = heard.answer.status;
        Ok((parsed(heard, now).map_err(|answer| *answer)?, status))
    }

    /// Any answer that was read to its end is one here.
    async fn ask(&self, method: Method, url: Url, body: Option<&str>, now: DateTime<Utc>) -> Result<Heard, Answer> {
        let sent = self.tokens.send_authorised(self.timeout, |bearer| {
            let request = self.http.request(method.clone(), url.clone());
            let request = request.header(reqwest::header::AUTHORIZATION, bearer.header());
            match body {
                Some(body) => {
                    request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.to_owned())
                }
                // Some servers refuse a POST whose length they are not told.
                None if method == Method::POST => request.body(""),
                None => request,
            }
        });
        let response = sent.await.map_err(Answer::from)?;
        let answer = read_up_to(response, MAX_ANSWER)
            .await
            .map_err(|(status, error)| Answer { http_status: Some(status.as_u16()), ..Answer::from(failed(&error)) })?;
        let limits = learned_limits(answer.status, &answer.headers, None, now);
        Ok(Heard { answer, limits })
    }

    /// A template with its names filled in, each as one segment whatever it holds.
    fn url(&self, template: &str, named: &[(&str, &str)], query: &[(&str, &str)]) -> Url {
        let mut url = self.base_url.as_url().clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            for segment in template.split('/').filter(|segment| !segment.is_empty()) {
                let filled = named
                    .iter()
                    .fold(segment.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
                segments.push(&filled);
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

impl Heard {
    fn into_answer(self, outcome: Outcome) -> Answer {
        let Read { status, body, .. } = &self.answer;
        let excerpt = if matches!(outcome, Outcome::Delivered(_)) { None } else { excerpt(body) };
        Answer { http_status: Some(status.as_u16()), excerpt, limits: self.limits, ..Answer::from(outcome) }
    }
}

/// What is known once SpotOn has taken an order; none: it did not say which.
fn submitted(held: Held, seen: Seen<'_>) -> Option<Receipt> {
    let answered = Answered {
        display_id: seen.text("/display_id").map(str::to_owned),
        schedule_type: seen.text("/fulfillment/schedule_type").map(str::to_owned),
        estimated_ready_at: seen.at("/fulfillment/estimated_ready_at"),
        estimated_delivery_at: seen.at("/fulfillment/estimated_delivery_at"),
        grand_total: seen.cents("/totals/grand_total"),
    };
    let order_id = seen.id()?;
    let told = told_by(&held, &order_id, &answered);
    Some(Held { order_id: Some(order_id), answered: Some(answered), ..held }.known(told))
}

/// What of an answer is not what was asked for.
fn told_by(held: &Held, order_id: &str, answered: &Answered) -> Option<Told> {
    if let Some(total) = answered.grand_total.filter(|total| *total != held.total_minor) {
        let detail = format!("{order_id} was submitted with a total of {} and stands with {total}", held.total_minor);
        return Some(Told { cause: TOTAL_DIFFERS, detail });
    }
    let asked = held.scheduled_for.as_ref()?;
    let is_asap = answered.schedule_type.as_deref().is_some_and(|schedule| schedule.ends_with(ASAP));
    is_asap.then(|| {
        let ready = answered.estimated_delivery_at.or(answered.estimated_ready_at).map(instant);
        let ready = ready.unwrap_or_else(|| "a time it does not tell".to_owned());
        let detail =
            format!("{order_id} was wanted for {asked} and is made at once, for {ready}: tell the customer if need be");
        Told { cause: SCHEDULE_CHANGED, detail }
    })
}

/// An order that a look-up found, as [`submitted`] but for the merchant's having cancelled it since.
pub fn found(held: Held, seen: Seen<'_>) -> Option<Receipt> {
    let state = seen.state();
    let order_id = seen.id()?;
    if state == SeenState::Canceled {
        let (version, total_minor) = (held.version, held.total_minor);
        let held = Held { order_id: Some(order_id), state: HeldState::CancelledThere, ..held };
        let told = Told::merchant_cancelled(&held);
        return Some(held.diverged(version, Some(total_minor)).known(Some(told)));
    }
    submitted(held, seen)
}

/// What a report says of an order; none: it does not show it.
pub fn state_of(held: &Held, records: &[Value]) -> Option<SeenState> {
    let ours = records.iter().map(Seen::listed).find(|seen| held.order_id.is_some() && seen.id() == held.order_id);
    ours.map(Seen::state)
}

fn of_status(heard: &Heard, now: DateTime<Utc>) -> Outcome {
    let outcome = refused(heard.answer.status, &heard.answer.headers, now);
    outcome.unwrap_or(Outcome::Unknown { reason: Reason::UnreadableAnswer })
}

/// Whether the same read may go well soon.
fn may_pass(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Retry { .. } | Outcome::Throttled { .. } | Outcome::Unknown { .. } => true,
        Outcome::Delivered(_) | Outcome::Reject { .. } | Outcome::Blocked { .. } => false,
    }
}

fn parsed(heard: Heard, now: DateTime<Utc>) -> Result<Value, Box<Answer>> {
    let status = heard.answer.status;
    let headers: &HeaderMap = &heard.answer.headers;
    if let Some(outcome) = refused(status, headers, now) {
        return Err(Box::new(heard.into_answer(outcome)));
    }
    serde_json::from_slice(&heard.answer.body).map_err(|_| Box::new(unreadable(status)))
}

fn unreadable(status: StatusCode) -> Answer {
    let unknown = Outcome::Unknown { reason: Reason::UnreadableAnswer };
    Answer { http_status: Some(status.as_u16()), ..Answer::from(unknown) }
}

/// A read that failed while the cancel before it was refused: nothing is known yet.
fn of_read(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Reject { reason } | Outcome::Unknown { reason } => {
            Outcome::Retry { reason, sent: Sent::Possibly, not_before: None }
        }
        other => other,
    }
}
