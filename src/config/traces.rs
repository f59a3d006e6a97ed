//! `[traces]`: where the way of each order is told to, as OpenTelemetry traces.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    field::{Field, Named},
    headers,
    problems::Section,
    secret::{RawSecret, Secret},
    url::{HttpUrl, check_transport},
};

/// Headers that each export sets itself.
const RESERVED: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawTraces {
    /// Where spans are posted to (OTLP over HTTP, protobuf). Left out: nowhere.
    endpoint: Field<HttpUrl>,
    /// Permits plain http to another machine.
    allow_insecure: Field<bool>,
    /// Further headers of every export; their values may be secrets.
    headers: Field<Named<RawSecret>>,
    /// Of so many orders in a hundred.
    #[schemars(range(min = 1, max = 100))]
    sample_percent: Field<u32>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TraceSettings {
    pub endpoint: HttpUrl,
    pub allow_insecure: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// 1 to 100.
    pub sample_percent: u32,
}

impl RawTraces {
    pub(super) fn validate(self, section: &mut Section<'_>) -> Option<TraceSettings> {
        let endpoint = section.take("endpoint", self.endpoint);
        let allow_insecure = check_transport("endpoint", endpoint.as_ref(), self.allow_insecure, section);
        let headers = headers::validate(self.headers, &RESERVED, section);
        let sample_percent = section.number("sample_percent", self.sample_percent, 1..=100).unwrap_or(100);
        Some(TraceSettings { endpoint: endpoint?, allow_insecure, headers, sample_percent })
    }
}
