//! `[delivery]`: leases, looking up effects in doubt, and stopping.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    duration::{self, RawDuration, shown},
    field::Field,
    problems::Section,
};

/// What a lease must outlast a request by: see [`super::contradictions`].
pub const LEASE_MARGIN: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawDelivery {
    /// How long a process may hold a delivery without renewing; bounds how soon another takes over when one dies.
    lease: Field<RawDuration>,
    /// When an effect that was sent without an answer is looked up: ascending, counted from the sending.
    read_back: Field<Vec<RawDuration>>,
    /// Time given to what is under way after a stop signal.
    drain: Field<RawDuration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliverySettings {
    #[serde(serialize_with = "duration::serialize")]
    pub lease: Duration,
    /// Ascending, at least one.
    #[serde(serialize_with = "duration::serialize_list")]
    pub read_back: Vec<Duration>,
    #[serde(serialize_with = "duration::serialize")]
    pub drain: Duration,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            read_back: [10, 60, 300, 900].map(Duration::from_secs).to_vec(),
            drain: Duration::from_secs(20),
        }
    }
}

impl RawDelivery {
    pub(super) fn validate(self, section: &mut Section<'_>) -> DeliverySettings {
        let default = DeliverySettings::default();
        let lease = section.duration("lease", self.lease, Duration::from_secs(5)).unwrap_or(default.lease);
        let drain = section.duration("drain", self.drain, Duration::ZERO).unwrap_or(default.drain);
        let read_back = match section.take("read_back", self.read_back) {
            None => default.read_back,
            Some(list) => list.into_iter().map(|RawDuration(duration)| duration).collect(),
        };
        if read_back.is_empty() {
            section.problem(
                "read_back",
                "is an empty list: an effect in doubt would never be looked up",
                "list at least one time",
            );
        }
        if let Some(pair) = read_back.windows(2).find(|pair| pair[0] >= pair[1]) {
            let problem = format!("{} stands before {}, but the times must rise", shown(pair[0]), shown(pair[1]));
            section.problem("read_back", problem, "sort them, and list each once");
        }
        DeliverySettings { lease, read_back, drain }
    }
}
