//! Speaks HTTP to the till and classifies its answers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{
    Method, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    plan::{AMEND, Held, OPEN, PAY, VOID, order_of},
    wire::{ALREADY_VOID, Opened, Payment, Payments, Refused, Ticket, TicketState, Tickets},
};
use crate::{
    domain::delivery::{Outcome, Reason, Receipt, Step},
    sinks::{
        Answer, Finding,
        http::{Read, excerpt, failed, read, refused},
    },
    telemetry::traces::carried,
};

/// Where and how to ask.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    token: HeaderValue,
    timeout: Duration,
}

/// One request.
struct Call<'a> {
    method: Method,
    /// Segments of the path.
    path: &'a [&'a str],
    reference: Option<&'a str>,
    body: Option<&'a str>,
}

impl Client {
    pub fn new(http: reqwest::Client, url: Url, token: HeaderValue, timeout: Duration) -> Self {
        Self { http, url, token, timeout }
    }

    /// Sends one step.
    pub async fn send(&self, step: &Step, now: DateTime<Utc>) -> Answer {
        let Some(held) = held_after(step) else { return unusable() };
        let ticket = held.ticket.as_deref();
        let (method, path): (Method, &[&str]) = match (step.name.as_str(), ticket) {
            (OPEN, _) => (Method::POST, &["tickets"]),
            (AMEND, Some(ticket)) => (Method::PUT, &["tickets", ticket]),
            (PAY, Some(ticket)) => (Method::POST, &["tickets", ticket, "payments"]),
            (VOID, Some(ticket)) => (Method::POST, &["tickets", ticket, "void"]),
            _ => return unusable(),
        };
        let answer = match self.ask(Call { method, path, reference: None, body: Some(&step.body) }).await {
            Ok(answer) => answer,
            // A till that says yes has done it; only a new ticket's id is needed besides.
            Err((Some(status), _)) if status.is_success() && step.name != OPEN => {
                return of(status, Outcome::Delivered(Receipt::default()));
            }
            Err((status, error)) => {
                let http_status = status.map(|status| status.as_u16());
                return Answer { http_status, ..Answer::from(failed(&error)) };
            }
        };
        if is_already_void(&answer) {
            match step.name.as_str() {
                VOID => return of(answer.status, Outcome::Delivered(Receipt::default())),
                // A void whose answer was lost, or a person's: what is owed now is planned from there.
                AMEND => {
                    return of(answer.status, Outcome::Delivered(known(&Held { state: TicketState::Void, ..held })));
                }
                _ => {}
            }
        }
        if let Some(outcome) = refused(answer.status, &answer.headers, now) {
            return Answer { excerpt: excerpt(&answer.body), ..of(answer.status, outcome) };
        }
        if step.name != OPEN {
            return of(answer.status, Outcome::Delivered(Receipt::default()));
        }
        match parsed::<Opened>(&answer) {
            Some(Opened { ticket }) => of(answer.status, Outcome::Delivered(opened(held, ticket))),
            None => Answer { excerpt: excerpt(&answer.body), ..unreadable(answer.status) },
        }
    }

    /// Asks what became of a step.
    pub async fn look_up(&self, step: &Step, now: DateTime<Utc>) -> Finding {
        let Some(held) = held_after(step) else { return Finding::Failed(unusable()) };
        match (step.name.as_str(), &held.ticket) {
            (OPEN, _) => match self.listed::<Tickets>(&["tickets"], &step.key, now).await {
                Ok(list) => found_ticket(step, held, list.tickets),
                Err(failed) => Finding::Failed(failed),
            },
            (PAY, Some(ticket)) => match self.listed(&["tickets", ticket, "payments"], &step.key, now).await {
                Ok(list) => found_payment(step, &list),
                Err(failed) => Finding::Failed(failed),
            },
            _ => Finding::Failed(unusable()),
        }
    }

    async fn listed<T: DeserializeOwned>(
        &self,
        path: &[&str],
        reference: &str,
        now: DateTime<Utc>,
    ) -> Result<T, Answer> {
        let call = Call { method: Method::GET, path, reference: Some(reference), body: None };
        let answer = self.ask(call).await.map_err(|(status, error)| Answer {
            http_status: status.map(|status| status.as_u16()),
            ..Answer::from(failed(&error))
        })?;
        if let Some(outcome) = refused(answer.status, &answer.headers, now) {
            return Err(Answer { excerpt: excerpt(&answer.body), ..of(answer.status, outcome) });
        }
        parsed(&answer).ok_or_else(|| unreadable(answer.status))
    }

    /// An error comes with the status, where one was read.
    async fn ask(&self, call: Call<'_>) -> Result<Read, (Option<StatusCode>, reqwest::Error)> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(call.path);
        }
        if let Some(reference) = call.reference {
            url.query_pairs_mut().append_pair("reference", reference);
        }
        let mut request = self.http.request(call.method, url).timeout(self.timeout).header(AUTHORIZATION, &self.token);
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.to_owned());
        }
        let response = carried(request).send().await.map_err(|error| (None, error))?;
        read(response).await.map_err(|(status, error)| (Some(status), error))
    }
}

fn held_after(step: &Step) -> Option<Held> {
    step.receipt.as_ref().and_then(|receipt| Held::deserialize(receipt).ok())
}

fn found_ticket(step: &Step, held: Held, mut tickets: Vec<Ticket>) -> Finding {
    let found = match tickets.len() {
        0 => return Finding::NotFound,
        1 => tickets.remove(0),
        n => return ambiguous(format!("{n} tickets have the reference {}: void all but one and adopt that", step.key)),
    };
    let is_ours = order_of(step).is_some_and(|order| order == found.order);
    if !is_ours || found.state == TicketState::Void {
        return ambiguous(format!(
            "ticket {} has the reference {} and is void or another order's",
            found.ticket, step.key
        ));
    }
    Finding::Stands(opened(held, found.ticket))
}

fn found_payment(step: &Step, list: &Payments) -> Finding {
    let sent = serde_json::from_str::<Payment>(&step.body).ok();
    match list.payments.as_slice() {
        [] => Finding::NotFound,
        [one] if sent.is_some_and(|sent| sent.minor == one.minor) => Finding::Stands(Receipt::default()),
        _ => ambiguous(format!("payments with the reference {} are not the one that was sent", step.key)),
    }
}

fn ambiguous(hint: String) -> Finding {
    Finding::Ambiguous { hint }
}

/// What is known once the new ticket's id is.
fn opened(held: Held, ticket: String) -> Receipt {
    let external_id = Some(ticket.clone());
    Receipt { external_id, ..known(&Held { ticket: Some(ticket), ..held }) }
}

fn known(held: &Held) -> Receipt {
    Receipt { receipt: Some(held.receipt()), ..Receipt::default() }
}

fn is_already_void(answer: &Read) -> bool {
    answer.status == StatusCode::CONFLICT && parsed::<Refused>(answer).is_some_and(|no| no.error == ALREADY_VOID)
}

fn parsed<T: DeserializeOwned>(answer: &Read) -> Option<T> {
    serde_json::from_slice(&answer.body).ok()
}

fn of(status: StatusCode, outcome: Outcome) -> Answer {
    Answer { http_status: Some(status.as_u16()), ..Answer::from(outcome) }
}

fn unreadable(status: StatusCode) -> Answer {
    of(status, Outcome::Unknown { reason: Reason::UnreadableAnswer })
}

/// For a step that is none of ours; no plan makes one.
fn unusable() -> Answer {
    Outcome::Reject { reason: Reason::Refused }.into()
}
