//! The keys that only a sink of kind `scripted` has.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    duration::RawDuration,
    field::{Field, Named},
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
    /// Vendor id → lane.
    lanes: Field<Named<String>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ScriptedSettings {
    pub url: HttpUrl,
    pub token: Secret,
    /// None: not seeing an effect never proves that there is none.
    #[serde(skip)]
    pub lag: Option<Duration>,
    pub allow_insecure: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lanes: BTreeMap<String, String>,
}

impl RawScripted {
    pub(crate) fn validate(self, section: &mut Section<'_>) -> Option<ScriptedSettings> {
        let url = section.require("url", self.url, "url = \"http://127.0.0.1:9000\"");
        let allow_insecure = check_transport("url", url.as_ref(), self.allow_insecure, section);
        let token = section.require_secret("token", self.token, "token = { env = \"TILL_TOKEN\" }");
        let lag = section.duration("lag", self.lag, Duration::ZERO);
        let lanes = section.entries("lanes", self.lanes);
        let mut section = section.within("lanes");
        let lanes = lanes.into_iter().filter_map(|(vendor, lane)| Some((vendor.clone(), section.take(&vendor, lane)?)));
        let lanes = lanes.collect();
        Some(ScriptedSettings { url: url?, token: token?, lag, allow_insecure, lanes })
    }
}
