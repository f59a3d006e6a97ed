//! Addresses of foreign systems, checked once.

use std::{borrow::Cow, fmt, net::IpAddr};

use reqwest::Url;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    field::{Field, Parse, Wrong},
    problems::Section,
};

/// An `http` or `https` address with a host and without user name, password or fragment.
///
/// `Display` and `Debug` leave the query out: people put keys there.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let suggestion = "write it in full, as \"https://api.example.org/orders\"";
        let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not a URL: {error}"), suggestion))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Wrong::new("is not an http or https URL", suggestion));
        }
        if url.has_authority() && !(url.username().is_empty() && url.password().is_none()) {
            return Err(Wrong::new(
                "holds a user name or password",
                "leave them out of the URL; credentials have their own keys",
            ));
        }
        if url.fragment().is_some() {
            return Err(Wrong::new("has a fragment (`#…`), which is never sent", "leave it out"));
        }
        Ok(Self(url))
    }

    /// As it was written, query and all.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Without a final slash, so that a path can be put behind it.
    pub fn base(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    pub fn is_plain_http(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Whether the address is this machine's own: a loopback address, `localhost` or a name below it.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| address.is_loopback()) || host == "localhost" || host.ends_with(".localhost")
    }

    pub fn has_query(&self) -> bool {
        self.0.query().is_some()
    }
}

impl Parse for HttpUrl {
    fn parse(value: Value) -> Result<Self, Wrong> {
        HttpUrl::parse(&String::parse(value)?)
    }
}

impl JsonSchema for HttpUrl {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "HttpUrl".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "format": "uri", "pattern": "^https?://" })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.has_query() {
            return f.write_str(
                self.0.as_str().strip_suffix('/').filter(|_| self.0.path() == "/").unwrap_or(self.0.as_str()),
            );
        }
        let mut without = self.0.clone();
        without.set_query(None);
        write!(f, "{without}?[redacted]")
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({self})")
    }
}

impl Serialize for HttpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Holds an address against the rule that plain `http` is for loopback only, and takes `allow_insecure` on the way.
///
/// `key` is the address's key in the same table. Returns what `allow_insecure` says.
pub fn check_transport(
    key: &str,
    url: Option<&HttpUrl>,
    allow_insecure: Field<bool>,
    section: &mut Section<'_>,
) -> bool {
    let allowed = section.take("allow_insecure", allow_insecure).unwrap_or(false);
    let in_the_open = url.is_some_and(|url| url.is_plain_http() && !url.is_loopback());
    if !in_the_open {
        return allowed;
    }
    if allowed {
        section.warn(
            key,
            "orders and credentials travel unencrypted, as `allow_insecure = true` permits",
            "use https, and remove `allow_insecure`",
        );
    } else if section.none_about(&["allow_insecure"]) {
        section.problem(
            key,
            "is plain http to another machine: orders and credentials would travel unencrypted",
            "use https, or add `allow_insecure = true` to this table",
        );
    }
    allowed
}
