//! `[http]`: where health, metrics, page and API are served.

use std::{borrow::Cow, net::SocketAddr};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    field::{Field, Parse, Wrong},
    problems::Section,
    secret::{RawSecret, Secret},
};

/// Characters below which an admin token earns a warning.
const SHORTEST_TOKEN: usize = 16;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawHttp {
    /// Address and port, or `"off"`.
    listen: Field<Listen>,
    /// What a caller must present to change anything; needed to listen beyond loopback.
    admin_token: Field<RawSecret>,
}

/// An address to listen on, or `off`.
#[derive(Debug, Clone, Copy)]
struct Listen(Option<SocketAddr>);

impl Parse for Listen {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let text = String::parse(value)?;
        if text == "off" {
            return Ok(Self(None));
        }
        let wrong = || {
            let suggestion = "write an IP address and a port, as \"127.0.0.1:9464\" or \"[::1]:9464\", or \"off\"";
            Wrong::new(format!("{text:?} is not an address to listen on"), suggestion)
        };
        text.parse().map(|address| Self(Some(address))).map_err(|_| wrong())
    }
}

impl JsonSchema for Listen {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "title": "address and port", "type": "string", "examples": ["127.0.0.1:9464", "off"] })
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct HttpSettings {
    /// `None`: nothing is served.
    #[serde(serialize_with = "serialize_listen")]
    pub listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token: Option<Secret>,
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn serialize_listen<S: Serializer>(listen: &Option<SocketAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    match listen {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str("off"),
    }
}

impl RawHttp {
    pub(super) fn validate(self, section: &mut Section<'_>) -> HttpSettings {
        let default = SocketAddr::from(([127, 0, 0, 1], 9464));
        let token_absent = self.admin_token.is_absent();
        let admin_token = section.secret("admin_token", self.admin_token);
        let guessable = |token: &Secret| token.value().expose_secret().len() < SHORTEST_TOKEN;
        if admin_token.as_ref().is_some_and(guessable) {
            section.warn("admin_token", "is so short that it could be guessed", "make one: `openssl rand -hex 32`");
        }
        let listen = section.take("listen", self.listen).map_or(Some(default), |Listen(address)| address);

        let exposed = listen.is_some_and(|address| !address.ip().is_loopback());
        if exposed && token_absent {
            section.problem(
                "listen",
                "reaches beyond this machine while `http.admin_token` is missing: anybody could read orders' states and change them",
                "add `admin_token = { env = \"ADMIN_TOKEN\" }` to [http], or listen on 127.0.0.1",
            );
        }
        HttpSettings { listen, admin_token }
    }
}
