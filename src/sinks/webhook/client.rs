//! Speaks HTTP to the receiver and classifies the answer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};

use super::{sign::SigningKey, wire::Reply};
use crate::{
    domain::delivery::{Outcome, Receipt, Step},
    sinks::{
        Answer,
        http::{excerpt, failed, learned_limits, read, refused},
    },
    telemetry::traces::carried,
};

/// Where and how to post.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    key: SigningKey,
    /// Extra headers of the operator's.
    headers: HeaderMap,
    timeout: Duration,
}

impl Client {
    pub fn new(http: reqwest::Client, url: Url, key: SigningKey, headers: HeaderMap, timeout: Duration) -> Self {
        Self { http, url, key, headers, timeout }
    }

    /// Posts one step.
    pub async fn post(&self, step: &Step, now: DateTime<Utc>) -> Answer {
        let timestamp = now.timestamp();
        let signature = self.key.sign(&step.key, timestamp, &step.body);
        let sent = self
            .http
            .post(self.url.clone())
            .timeout(self.timeout)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", &step.key)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .header("idempotency-key", &step.key)
            .body(step.body.clone());
        let sent = carried(sent).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) => return Answer::from(failed(&error)),
        };
        let status = response.status();
        let http_status = Some(status.as_u16());
        let answer = match read(response).await {
            Ok(answer) => answer,
            // A receiver that says yes has the order, whatever became of the rest of its answer.
            Err((status, _)) if status.is_success() => {
                return Answer { http_status, ..Answer::from(Outcome::Delivered(Receipt::default())) };
            }
            Err((_, error)) => return Answer { http_status, ..Answer::from(failed(&error)) },
        };
        let limits = learned_limits(answer.status, &answer.headers, None, now);
        match refused(answer.status, &answer.headers, now) {
            Some(outcome) => Answer { http_status, excerpt: excerpt(&answer.body), limits, ..Answer::from(outcome) },
            None => Answer { http_status, limits, ..Answer::from(Outcome::Delivered(delivered(&answer.body))) },
        }
    }
}

/// The id is welcome and not needed: an unreadable answer is as good as an empty one.
fn delivered(body: &[u8]) -> Receipt {
    let external_id = serde_json::from_slice::<Reply>(body)
        .ok()
        .and_then(|reply| reply.external_id)
        .filter(|id| !id.is_empty() && id.len() <= 200 && !id.contains('\0'));
    Receipt { external_id, ..Receipt::default() }
}
