//! By a POST of JSON, for programs or for Slack and its like.

use std::time::Duration;

use reqwest::{Client, Url, header::CONTENT_TYPE};

use super::{Undelivered, message};
use crate::{
    config::{
        HttpUrl,
        alerts::{HookFormat, HookSettings},
    },
    http,
    store::alert_messages::Message,
};

/// Longest wait for a whole answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A client for addresses that are asked once in a while.
pub(super) fn client() -> Result<Client, reqwest::Error> {
    http::client_builder()
        .timeout(ANSWER_LIMIT)
        .user_agent(concat!("scoffable-sync/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(0)
        .build()
}

/// Where messages are posted to.
#[derive(Debug)]
pub struct Hook {
    client: Client,
    settings: HookSettings,
    page: Option<HttpUrl>,
}

impl Hook {
    pub fn new(client: Client, settings: &HookSettings, page: Option<&HttpUrl>) -> Self {
        Self { client, settings: settings.clone(), page: page.cloned() }
    }

    /// Posts the message; 2xx takes it.
    pub async fn send(&self, message: &Message) -> Result<(), Undelivered> {
        let page = self.page.as_ref();
        let body = match self.settings.format {
            HookFormat::Json => message::json(message, page),
            HookFormat::Slack => serde_json::json!({ "text": message::slack(message, page) }),
        };
        let request = self
            .client
            .post(self.url())
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", message.id.to_string())
            .body(body.to_string());
        let answer = request.send().await.map_err(|error| unanswered(&error))?;
        let status = answer.status().as_u16();
        match status {
            200..=299 => Ok(()),
            // Too much at once, or not now; what is refused for what it says will be refused again, and others not.
            400 | 413 | 415 | 422 => Err(Undelivered::message(format!("status_{status}"))),
            _ => Err(Undelivered::channel(format!("status_{status}"))),
        }
    }

    fn url(&self) -> Url {
        self.settings.url.url().as_url().clone()
    }
}

/// Never with the address in it.
fn unanswered(error: &reqwest::Error) -> Undelivered {
    Undelivered::channel(if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "no_answer"
    })
}

/// Asks for an address that only wants to be asked. Returns the status, or a code.
pub(super) async fn ping(client: &Client, url: &HttpUrl) -> Result<(), String> {
    let answer = client.get(url.as_url().clone()).send().await.map_err(|error| unanswered(&error).code)?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("status_{}", answer.status().as_u16())) }
}
