//! The keys that only a sink of kind `scripted` has.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    duration::RawDuration,
    field::Field,
    problems::Section,
    secret::{RawSecret, Secret},
    url::{HttpUrl, check_transport},
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RawScripted {
    /// Where the till answers; the paths of its contract are appended.
    url: Field<HttpUrl>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// Bearer token.
    token: Field<RawSecret>,
    /// Time after which a look-up certainly sees an effect.
    lag: Field<RawDuration>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ScriptedSettings {
    pub url: HttpUrl,
    pub token: Secret,
    /// None: not seeing an effect never proves that there is none.
    #[serde(skip)]
    pub lag: Option<Duration>,
    pub allow_insecure: bool,
}

impl RawScripted {
    pub(crate) fn validate(self, section: &mut Section<'_>) -> Option<ScriptedSettings> {
        let url = section.require("url", self.url, "url = \"http://127.0.0.1:9000\"");
        let allow_insecure = check_transport("url", url.as_ref(), self.allow_insecure, section);
        let token = section.require_secret("token", self.token, "token = { env = \"TILL_TOKEN\" }");
        let lag = section.duration("lag", self.lag, Duration::ZERO);
        Some(ScriptedSettings { url: url?, token: token?, lag, allow_insecure })
    }
}
