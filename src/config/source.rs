//! `[sources.<name>]`: a stream of orders to follow.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::header::HeaderValue;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    duration::{self, RawDuration, shown},
    field::{Field, Parse, Wrong, brief, choice},
    problems::Section,
    secret::{RawSecret, Secret},
    url::{HttpUrl, check_transport},
};
use crate::domain::ids::SourceName;

/// Source: Scoffable developer documentation 1.0.0, "Order Sync".
pub const SCOFFABLE_BASE_URL: &str = "https://partners-api.scoffable.com";
/// Most versions a page can hold. Source: Scoffable developer documentation 1.0.0, "Pagination".
pub const MAX_PAGE_SIZE: u32 = 100;
/// Requests a minute, per token. Source: Scoffable developer documentation 1.0.0, "Rate Limits".
pub const TOKEN_LIMIT: u32 = 30;
/// Requests a minute, for all tokens of an account together. Source: as [`TOKEN_LIMIT`].
pub const ACCOUNT_LIMIT: u32 = 60;
/// A shorter `poll_interval` earns a warning: 5 to 10 minutes are recommended.
/// Source: Scoffable developer documentation 1.0.0, "Order Sync".
pub const QUICK_POLL: Duration = Duration::from_mins(1);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawSource {
    /// What the source is: `"scoffable"`.
    kind: Field<SourceKind>,
    /// Address of its API, without path.
    base_url: Field<HttpUrl>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// The access token, from the Partner Centre.
    token: Field<RawSecret>,
    /// Name shared by the sources whose tokens belong to one account, because the account has a limit of its own.
    account: Field<String>,
    /// Wait after the end of the stream was reached.
    poll_interval: Field<RawDuration>,
    /// Order versions a request asks for.
    #[schemars(range(min = 1, max = 100))]
    page_size: Field<u32>,
    /// Most requests in any 60 seconds with this token, or `"unlimited"`.
    requests_per_minute: Field<RateLimit>,
    /// Most requests in any 60 seconds of all sources of the account together, or `"unlimited"`.
    account_requests_per_minute: Field<RateLimit>,
    /// Hides order versions younger than this. 0 hides none.
    min_age_minutes: Field<u32>,
    /// Where a stream that was never read begins; left out: at the oldest order that is retained.
    start_from: Field<DateTime<Utc>>,
    /// What the token covers, in your words; a change of it is noticed and reported.
    scope: Field<String>,
    /// Whether to begin again, a day before the last success, when the platform no longer knows our position.
    recover_dead_cursor: Field<bool>,
    /// Longest wait for a whole answer.
    request_timeout: Field<RawDuration>,
    /// Longest wait for a connection.
    connect_timeout: Field<RawDuration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    Scoffable,
}
choice!(SourceKind { Scoffable = "scoffable" });

/// How many requests may be made in any 60 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// 1 or more.
    PerMinute(u32),
    /// For simulators and benchmarks.
    Unlimited,
}

impl RateLimit {
    const MOST: u32 = 6000;

    /// `None`: as many as one likes.
    pub fn per_minute(self) -> Option<u32> {
        match self {
            Self::PerMinute(requests) => Some(requests),
            Self::Unlimited => None,
        }
    }

    fn exceeds(self, limit: u32) -> bool {
        self.per_minute().is_none_or(|requests| requests > limit)
    }
}

impl std::fmt::Display for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerMinute(requests) => requests.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl Parse for RateLimit {
    fn parse(value: Value) -> Result<Self, Wrong> {
        if value.as_str() == Some("unlimited") {
            return Ok(Self::Unlimited);
        }
        match value.as_u64() {
            Some(requests) if (1..=u64::from(Self::MOST)).contains(&requests) => Ok(Self::PerMinute(requests as u32)),
            _ => Err(Wrong::new(
                format!("{} is not a number of requests a minute", brief(&value)),
                format!("use a number from 1 to {}, or \"unlimited\" with a simulator", Self::MOST),
            )),
        }
    }
}

impl JsonSchema for RateLimit {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "RateLimit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "oneOf": [{ "type": "integer", "minimum": 1, "maximum": Self::MOST }, { "const": "unlimited" }]
        })
    }
}

impl Serialize for RateLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::PerMinute(requests) => serializer.serialize_u32(*requests),
            Self::Unlimited => serializer.serialize_str("unlimited"),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct SourceSettings {
    pub kind: SourceKind,
    pub base_url: HttpUrl,
    pub allow_insecure: bool,
    pub token: Secret,
    pub account: String,
    /// 1 s or more.
    #[serde(serialize_with = "duration::serialize")]
    pub poll_interval: Duration,
    /// 1 to [`MAX_PAGE_SIZE`].
    pub page_size: u32,
    pub requests_per_minute: RateLimit,
    /// The same for every source of one account.
    pub account_requests_per_minute: RateLimit,
    pub min_age_minutes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    pub recover_dead_cursor: bool,
    #[serde(serialize_with = "duration::serialize")]
    pub request_timeout: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub connect_timeout: Duration,
}

impl RawSource {
    pub(super) fn validate(self, name: &SourceName, section: &mut Section<'_>) -> Option<SourceSettings> {
        let second = Duration::from_secs(1);
        let kind = section.require("kind", self.kind, "kind = \"scoffable\"");
        let base_url_absent = self.base_url.is_absent();
        let mut base_url = section.take("base_url", self.base_url);
        if base_url_absent {
            base_url = HttpUrl::parse(SCOFFABLE_BASE_URL).ok();
        }
        if base_url.as_ref().is_some_and(HttpUrl::has_query) {
            section.problem(
                "base_url",
                "has a query (`?…`)",
                "write scheme and host only; the source adds path and query",
            );
        }
        let allow_insecure = check_transport("base_url", base_url.as_ref(), self.allow_insecure, section);
        let token = section.require_secret("token", self.token, "token = { env = \"SCOFFABLE_TOKEN\" }");
        let fits_a_header = |token: &Secret| HeaderValue::from_str(token.value().expose_secret()).is_ok();
        if token.as_ref().is_some_and(|token| !fits_a_header(token)) {
            section.problem(
                "token",
                "holds a line break or another character that no token has",
                "keep the token alone, on one line",
            );
        }
        let account = section.take("account", self.account).unwrap_or_else(|| name.to_string());

        let poll_interval = section.duration("poll_interval", self.poll_interval, second);
        let poll_interval = poll_interval.unwrap_or(Duration::from_mins(5));
        let elsewhere = base_url.as_ref().is_some_and(|url| !url.is_loopback());
        if poll_interval < QUICK_POLL && elsewhere {
            section.warn(
                "poll_interval",
                format!("{} is shorter than 1m: most requests will bring nothing", shown(poll_interval)),
                "use \"5m\" unless a kitchen waits for the orders",
            );
        }
        let page_size = section.number("page_size", self.page_size, 1..=MAX_PAGE_SIZE).unwrap_or(MAX_PAGE_SIZE);
        let limits = [
            ("requests_per_minute", self.requests_per_minute, TOKEN_LIMIT),
            ("account_requests_per_minute", self.account_requests_per_minute, ACCOUNT_LIMIT),
        ];
        let [requests_per_minute, account_requests_per_minute] = limits.map(|(key, field, documented)| {
            let limit = section.take(key, field).unwrap_or(RateLimit::PerMinute(documented));
            if elsewhere && limit.exceeds(documented) {
                section.warn(
                    key,
                    format!("{limit} is more than the platform's limit of {documented}: it will refuse the rest"),
                    format!("use {documented} or less"),
                );
            }
            limit
        });
        let min_age_minutes = section.number("min_age_minutes", self.min_age_minutes, 0..=525_600).unwrap_or(0);
        let start_from = section.take("start_from", self.start_from);
        let scope = section.take("scope", self.scope);
        let recover_dead_cursor = section.take("recover_dead_cursor", self.recover_dead_cursor).unwrap_or(false);
        let request_timeout = section.duration("request_timeout", self.request_timeout, second);
        let connect_timeout = section.duration("connect_timeout", self.connect_timeout, Duration::from_millis(100));
        Some(SourceSettings {
            kind: kind?,
            base_url: base_url?,
            allow_insecure,
            token: token?,
            account,
            poll_interval,
            page_size,
            requests_per_minute,
            account_requests_per_minute,
            min_age_minutes,
            start_from,
            scope,
            recover_dead_cursor,
            request_timeout: request_timeout.unwrap_or(Duration::from_secs(30)),
            connect_timeout: connect_timeout.unwrap_or(Duration::from_secs(10)),
        })
    }
}
