//! The HTTP side of Xero: one call for each step.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{config::XeroSettings, organisation::Facts};
use crate::{
    clock::Clock,
    domain::{
        delivery::{Outcome, Reason, Step},
        ids::SinkName,
    },
    sinks::{Answer, Doubt, Finding, GroupAnswer},
};

/// What asks Xero, for one organisation.
#[derive(Debug)]
pub struct Client {}

fn unanswered() -> Answer {
    Outcome::Blocked { reason: Reason::Misconfigured }.into()
}

impl Client {
    pub fn build(
        _name: &SinkName,
        _settings: &XeroSettings,
        _timeout: Duration,
        _http: reqwest::Client,
        _clock: &Clock,
    ) -> Self {
        Self {}
    }

    /// What is known of the organisation; none: it has to be read first.
    pub fn facts(&self, _now: DateTime<Utc>) -> Option<Arc<Facts>> {
        None
    }

    /// Reads it.
    pub async fn prepare(&self, _now: DateTime<Utc>) -> Result<u32, Answer> {
        Err(unanswered())
    }

    pub async fn send(&self, _step: &Step, _now: DateTime<Utc>) -> Answer {
        unanswered()
    }

    pub async fn send_group(&self, _steps: &[&Step], _now: DateTime<Utc>) -> GroupAnswer {
        GroupAnswer::RefusedWhole
    }

    pub async fn look_up(&self, doubts: &[Doubt<'_>], _now: DateTime<Utc>) -> Vec<Finding> {
        vec![Finding::Failed(unanswered()); doubts.len()]
    }
}
