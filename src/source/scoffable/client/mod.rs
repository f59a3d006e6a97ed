//! Fetches one page of the order stream. One request per call: no retry, no sleep, no cursor kept.
//!
//! What went wrong is sorted by what the poller can do about it ([`FetchError`]). The token is sent with every request,
//! to the configured host only, and appears in no error and no `Debug` output.
//!
//! Source: Scoffable developer documentation 1.0.0, "Order Sync", "Pagination", "Rate Limits", "Authentication".
//! Assumed, as undocumented: the meaning of every status other than 200 and 429.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::{
    Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::wire::{Page, PageError, parse_page};
use crate::{clock::Clock, http};

/// Largest page that is read, decompressed. A hundred orders of 3 KB are 300 KB.
pub const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;

/// Largest refusal that is looked into.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// What a client needs to know; already validated by the configuration.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Without `/v1`.
    pub base_url: Url,
    pub token: SecretString,
    /// 1–100.
    pub page_size: u8,
    /// Hides versions younger than this; 0 for none. The same on every request of a stream.
    pub min_age_minutes: u32,
    /// For a request as a whole, its body included.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub user_agent: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("page size {0} is not in 1 to 100")]
    PageSize(u8),
    #[error("the base URL cannot be extended with a path")]
    BaseUrl,
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("the HTTP client cannot be built")]
    Build(#[source] reqwest::Error),
}

/// The token is empty or has characters that no header can carry, for instance a line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is empty or holds characters a header cannot carry")]
pub struct InvalidToken;

/// Where in the stream to read.
#[derive(Clone, PartialEq, Eq)]
pub enum Position {
    /// The `nextPageId` of an earlier page.
    Cursor(String),
    /// The first version since then. Assumed: compared with the time a version came into being, to the second.
    From(DateTime<Utc>),
    /// The oldest version the platform still has.
    Oldest,
}

/// Cursors are shown truncated.
impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor(cursor) => write!(f, "Cursor({})", truncated_cursor(cursor)),
            Self::From(at) => write!(f, "From({at})"),
            Self::Oldest => f.write_str("Oldest"),
        }
    }
}

/// As much of a cursor as may be logged: the first 12 characters.
pub fn truncated_cursor(cursor: &str) -> String {
    match cursor.char_indices().nth(12) {
        Some((end, _)) => format!("{}…", &cursor[..end]),
        None => cursor.to_owned(),
    }
}

/// Why there is no page, by what can be done about it. The position in the stream is never changed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not an outage: wait at least as long as asked.
    #[error("the order stream asked us to slow down ({scope})")]
    Throttled { retry_after: Option<Duration>, scope: ThrottleScope },
    /// Nothing will be read until the credential changes.
    #[error("the order stream rejected our credentials with status {status}")]
    Unauthorized { status: u16 },
    /// The cursor may be dead. Repeat before believing it, and never start over silently.
    #[error("the order stream does not seem to know our cursor (status {status})")]
    CursorSuspect { status: u16 },
    /// A request without a cursor was refused: the configuration is wrong.
    #[error("the order stream rejected our parameters")]
    BadRequest,
    /// Not followed, so that the credential stays where it belongs.
    #[error("the order stream answered with a redirect (status {status})")]
    Redirected { status: u16 },
    /// Trying again soon will not help.
    #[error("the order stream refused with status {status}")]
    Permanent { status: u16 },
    /// Trying again will probably help.
    #[error("the order stream could not be read: {fault}")]
    Transient { fault: Fault, retry_after: Option<Duration>, source: Option<reqwest::Error> },
    /// An answer that is not a page. Transient at first.
    #[error("the order stream answered with something that is not a page")]
    Malformed(#[source] PageError),
    /// A page beyond [`MAX_PAGE_BYTES`]; a smaller page size may help.
    #[error("a page of the order stream is larger than {MAX_PAGE_BYTES} bytes")]
    TooLarge,
}

/// Which limit was reached, so who has to pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleScope {
    Token,
    /// All tokens of the account. Also assumed when the answer does not say.
    Account,
}

impl fmt::Display for ThrottleScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Account => "account",
        })
    }
}

/// What kind of passing fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not connected: name, network or TLS.
    Connect,
    Timeout,
    /// The connection broke before the answer was complete.
    Interrupted,
    Status(u16),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("no connection"),
            Self::Timeout => f.write_str("timeout"),
            Self::Interrupted => f.write_str("answer interrupted"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// A client for one source. Cheap to share; the token can be replaced while it is in use.
#[derive(Debug)]
pub struct ScoffableClient {
    http: reqwest::Client,
    /// With page size and delay.
    updates_url: Url,
    /// Marked as sensitive, so `Debug` does not show it.
    authorization: ArcSwap<HeaderValue>,
    clock: Clock,
}

impl ScoffableClient {
    pub fn new(settings: ClientSettings, clock: Clock) -> Result<Self, ClientError> {
        if !(1..=100).contains(&settings.page_size) {
            return Err(ClientError::PageSize(settings.page_size));
        }
        let http = http::client_builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.connect_timeout)
            .user_agent(settings.user_agent)
            .build()
            .map_err(|error| ClientError::Build(error.without_url()))?;
        let mut updates_url = settings.base_url;
        updates_url
            .path_segments_mut()
            .map_err(|()| ClientError::BaseUrl)?
            .pop_if_empty()
            .extend(["v1", "orderUpdates"]);
        updates_url.set_fragment(None);
        let mut query = updates_url.query_pairs_mut();
        query.clear().append_pair("pageSize", &settings.page_size.to_string());
        if settings.min_age_minutes > 0 {
            query.append_pair("minAgeMinutes", &settings.min_age_minutes.to_string());
        }
        drop(query);
        let authorization = ArcSwap::from_pointee(bearer(&settings.token)?);
        Ok(Self { http, updates_url, authorization, clock })
    }

    /// Replaces the token for all later requests; the old one stays when the new one cannot be sent.
    pub fn set_token(&self, token: &SecretString) -> Result<(), InvalidToken> {
        self.authorization.store(Arc::new(bearer(token)?));
        Ok(())
    }

    /// Reads the page at `position`. Cancel-safe: nothing is kept between calls.
    pub async fn fetch(&self, position: &Position) -> Result<Page, FetchError> {
        let authorization = HeaderValue::clone(&self.authorization.load());
        let response = self
            .http
            .get(self.url(position))
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .send()
            .await
            .map_err(transient)?;
        if !response.status().is_success() {
            return Err(self.refusal(position, response).await);
        }
        let page = parse_page(&page_body(response).await?).map_err(FetchError::Malformed)?;
        let knows_nothing = page.orders.is_empty() && page.next_page_id.is_none();
        match position {
            Position::Cursor(_) if knows_nothing => Err(FetchError::CursorSuspect { status: 200 }),
            Position::Cursor(_) | Position::From(_) | Position::Oldest => Ok(page),
        }
    }

    /// Never a cursor together with a start: what that would mean is not documented.
    fn url(&self, position: &Position) -> Url {
        let mut url = self.updates_url.clone();
        match position {
            Position::Cursor(cursor) => {
                url.query_pairs_mut().append_pair("pageId", cursor);
            }
            Position::From(at) => {
                let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                url.query_pairs_mut().append_pair("fromTimestamp", &at);
            }
            Position::Oldest => {}
        }
        url
    }

    async fn refusal(&self, position: &Position, response: Response) -> FetchError {
        let status = response.status();
        let code = status.as_u16();
        let retry_after = http::retry_after(response.headers(), self.clock.wall());
        let has_cursor = matches!(position, Position::Cursor(_));
        match status {
            StatusCode::TOO_MANY_REQUESTS => {
                FetchError::Throttled { retry_after, scope: throttle_scope(response).await }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FetchError::Unauthorized { status: code },
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE if has_cursor => {
                FetchError::CursorSuspect { status: code }
            }
            StatusCode::BAD_REQUEST => FetchError::BadRequest,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
                FetchError::Transient { fault: Fault::Status(code), retry_after, source: None }
            }
            status if status.is_server_error() => {
                FetchError::Transient { fault: Fault::Status(code), retry_after, source: None }
            }
            status if status.is_redirection() => FetchError::Redirected { status: code },
            _ => FetchError::Permanent { status: code },
        }
    }
}

fn bearer(token: &SecretString) -> Result<HeaderValue, InvalidToken> {
    let token = token.expose_secret();
    if token.is_empty() {
        return Err(InvalidToken);
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The URL holds the cursor, so it is taken out of every error.
fn transient(error: reqwest::Error) -> FetchError {
    let fault = if error.is_timeout() {
        Fault::Timeout
    } else if error.is_connect() {
        Fault::Connect
    } else {
        Fault::Interrupted
    };
    FetchError::Transient { fault, retry_after: None, source: Some(error.without_url()) }
}

async fn page_body(response: Response) -> Result<Bytes, FetchError> {
    match body(response, MAX_PAGE_BYTES).await {
        Ok(Some(body)) => Ok(body),
        Ok(None) => Err(FetchError::TooLarge),
        Err(error) => Err(transient(error)),
    }
}

/// `None` when the body is larger than `limit`. A body in one piece is not copied.
async fn body(mut response: Response, limit: usize) -> Result<Option<Bytes>, reqwest::Error> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    if announced > limit {
        return Ok(None);
    }
    let Some(first) = response.chunk().await? else { return Ok(Some(Bytes::new())) };
    let Some(second) = response.chunk().await? else { return Ok((first.len() <= limit).then_some(first)) };
    let mut body = BytesMut::with_capacity(announced.max(first.len() + second.len()));
    body.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
        next = response.chunk().await?;
    }
    Ok(Some(body.freeze()))
}

/// Only the documented field of the answer is looked at; whatever else comes means the wider pause.
async fn throttle_scope(response: Response) -> ThrottleScope {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Throttled {
        limit_type: String,
    }

    let body = body(response, MAX_REFUSAL_BYTES).await.ok().flatten().unwrap_or_default();
    match serde_json::from_slice(&body) {
        Ok(Throttled { limit_type }) if limit_type == "jti" => ThrottleScope::Token,
        Ok(_) | Err(_) => ThrottleScope::Account,
    }
}

#[cfg(test)]
mod tests;
