//! Reads what all orders of an organisation share, once for all that wait, and keeps it for a day.
//!
//! Each part that the configuration needs is read with the right that it needs, so that a missing scope is told by its name
//! before the first order meets it. A right that is missing is a fact, not a failure; anything else that goes wrong
//! interrupts the reading, which is not gone on with by everybody: until it may be, they are told what the one that tried
//! was told, and how long that still is, so that each waits once. What was read by then is not read again, unless it is old.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    api::{Api, Asking},
    config::{ContactMode, ItemMode, XeroSettings},
    contacts,
    organisation::{Facts, Feature},
    wire::Listing,
};
use crate::{
    domain::delivery::{Outcome, Reason, Sent},
    sinks::{
        Answer, Calls,
        age::{asked_for, is_within, left},
    },
};

/// Facts are used for so long. Lock dates move rarely, and a refusal by one has them read anew.
const KEPT: Duration = Duration::from_hours(24);
/// Facts that a refusal contradicts are read anew, but no more often.
const NOT_AGAIN_WITHIN: Duration = Duration::from_mins(5);
/// What holds orders back may have been mended there since; it is looked at again when the facts are so old.
const MENDED_AFTER: Duration = Duration::from_hours(1);
/// A reading that was interrupted is begun anew after so long.
const RESUMED_WITHIN: Duration = Duration::from_mins(10);
/// After a failure no other reading is tried for so long, unless Xero names a longer time.
pub const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// The same after one that got further than the one before.
const AFTER_PROGRESS: Duration = Duration::from_secs(2);

/// What the orders of one sink share.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// Held while it is read; one that was interrupted.
    flight: tokio::sync::Mutex<Option<Reading>>,
}

#[derive(Debug, Default)]
struct State {
    facts: Option<Arc<Facts>>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    at: DateTime<Utc>,
    pause: Duration,
    told: Answer,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: they have to be read.
    pub fn facts(&self, now: DateTime<Utc>) -> Option<Arc<Facts>> {
        self.state().facts.clone().filter(|facts| is_within(facts.read_at, KEPT, now))
    }

    /// A refusal says that they are not true any more.
    pub fn contradicted(&self, now: DateTime<Utc>) {
        self.drop_older_than(NOT_AGAIN_WITHIN, now);
    }

    /// They hold an order back. Whether they are to be read before that counts.
    pub fn hold_back(&self, now: DateTime<Utc>) -> bool {
        self.drop_older_than(MENDED_AFTER, now)
    }

    fn drop_older_than(&self, age: Duration, now: DateTime<Utc>) -> bool {
        let mut state = self.state();
        let is_older = state.facts.as_ref().is_none_or(|facts| !is_within(facts.read_at, age, now));
        if is_older {
            state.facts = None;
        }
        is_older
    }

    /// The one contact was found or made.
    pub fn has_house_contact(&self, contact_id: &str) {
        self.change(|facts| facts.house_contact = Some(contact_id.to_owned()));
    }

    /// These items are there.
    pub fn has_items(&self, codes: impl IntoIterator<Item = String>) {
        self.change(|facts| facts.items.extend(codes));
    }

    fn change(&self, change: impl FnOnce(&mut Facts)) {
        if let Some(facts) = &mut self.state().facts {
            change(Arc::make_mut(facts));
        }
    }

    /// Reads if it must. Returns the calls that it took.
    pub async fn bring_up_to_date(
        &self,
        api: &Api,
        settings: &XeroSettings,
        now: DateTime<Utc>,
    ) -> Result<Calls, Answer> {
        let mut flight = self.flight.lock().await;
        if self.facts(now).is_some() {
            return Ok(Calls::default());
        }
        if let Some(failed) = &self.state().failed
            && let Some(left) = left(failed.at, failed.pause, now)
        {
            let told = Answer { calls_beside: 0, limits: Vec::new(), ..failed.told.clone() };
            return Err(not_before(told, left));
        }
        let mut asking = Asking::new(api, now);
        let reading = flight.take().filter(|reading| is_within(reading.began, RESUMED_WITHIN, now));
        let reading = flight.insert(reading.unwrap_or_else(|| Reading::begun(now)));
        let known_before = reading.parts.len();
        match needed(reading, &mut asking, settings).await {
            Ok(facts) => {
                *flight = None;
                *self.state() = State { facts: Some(Arc::new(facts)), failed: None };
                Ok(asking.calls())
            }
            Err(told) => {
                let usual = if reading.parts.len() > known_before { AFTER_PROGRESS } else { AFTER_FAILURE };
                let pause = asked_for(&told).unwrap_or_default().max(usual);
                self.state().failed = Some(Failed { at: now, pause, told: told.clone() });
                let Calls { made, limits } = asking.calls();
                Err(not_before(Answer { calls_beside: made, limits, ..told }, pause))
            }
        }
    }
}

/// The same answer, not to be asked for again any sooner. What only a person ends is looked at by the breaker's probe.
fn not_before(answer: Answer, wait: Duration) -> Answer {
    let not_before = Some(wait);
    let outcome = match answer.outcome {
        Outcome::Throttled { .. } => Outcome::Throttled { not_before },
        Outcome::Retry { reason, sent, .. } => Outcome::Retry { reason, sent, not_before },
        // No order was sent by it, and none refused.
        Outcome::Unknown { reason } | Outcome::Reject { reason } => {
            Outcome::Retry { reason, sent: Sent::No, not_before }
        }
        other @ (Outcome::Delivered(_) | Outcome::Blocked { .. }) => other,
    };
    Answer { outcome, ..answer }
}

/// What the configuration needs.
async fn needed(reading: &mut Reading, asking: &mut Asking<'_>, settings: &XeroSettings) -> Result<Facts, Answer> {
    let tracking = (!settings.tracking.is_empty()).then_some("TrackingCategories");
    let items = (settings.items.mode != ItemMode::None).then_some("Items");
    let optional: Vec<&'static str> = tracking.into_iter().chain(items).collect();
    reading.go_on(asking, settings, &optional).await
}

/// What any configuration could name, for a person who writes one.
pub async fn everything(asking: &mut Asking<'_>, settings: &XeroSettings) -> Result<Facts, Answer> {
    Reading::begun(asking.now()).go_on(asking, settings, &["TrackingCategories"]).await
}

/// What was read so far.
#[derive(Debug)]
struct Reading {
    began: DateTime<Utc>,
    parts: BTreeSet<&'static str>,
    all: Listing,
    lacking: BTreeSet<Feature>,
}

impl Reading {
    fn begun(now: DateTime<Utc>) -> Self {
        Self { began: now, parts: BTreeSet::new(), all: Listing::default(), lacking: BTreeSet::new() }
    }

    /// Facts are as old as the first part of them.
    async fn go_on(
        &mut self,
        asking: &mut Asking<'_>,
        settings: &XeroSettings,
        optional: &[&'static str],
    ) -> Result<Facts, Answer> {
        for part in ["Organisation", "TaxRates", "Accounts", "Currencies"].iter().chain(optional) {
            if self.lacking.contains(&Feature::Settings) {
                break;
            }
            if let Some(read) = self.part(asking, part, &[], Feature::Settings).await? {
                self.all.take(read);
            }
        }
        // One record each: whether it may be read is all that is asked.
        let one = [("page", "1"), ("pageSize", "1")];
        for (part, feature) in [("Invoices", Feature::Invoices), ("Payments", Feature::Payments)] {
            self.part(asking, part, &one, feature).await?;
        }
        if settings.contacts.mode == ContactMode::PerCustomer && settings.contacts.house_customer.is_some() {
            self.part(asking, "Contacts", &one, Feature::Contacts).await?;
        }
        let house_contact = match &settings.contacts.house_customer {
            Some(contact_id) => Some(contact_id.clone()),
            None => match contacts::named(asking, &settings.contacts.house_name).await {
                Ok(found) => found,
                Err(answer) if is_forbidden(&answer) => {
                    self.lacking.insert(Feature::Contacts);
                    None
                }
                Err(answer) => return Err(answer),
            },
        };
        let mut lacking = self.lacking.clone();
        if let Some(granted) = asking.granted_scope() {
            lacking.extend(Feature::missing(settings, &granted));
        }
        Ok(Facts { house_contact, lacking, ..Facts::of(self.all.clone(), self.began) })
    }

    /// None: it was read before, or the right to it is missing.
    async fn part(
        &mut self,
        asking: &mut Asking<'_>,
        part: &'static str,
        query: &[(&str, &str)],
        feature: Feature,
    ) -> Result<Option<Listing>, Answer> {
        if self.parts.contains(part) {
            return Ok(None);
        }
        let read = match asking.read(&[part], query).await {
            Ok(listing) => Some(listing.unwrap_or_default()),
            Err(answer) if is_forbidden(&answer) => {
                self.lacking.insert(feature);
                None
            }
            Err(answer) => return Err(answer),
        };
        self.parts.insert(part);
        Ok(read)
    }
}

fn is_forbidden(answer: &Answer) -> bool {
    answer.outcome == Outcome::Blocked { reason: Reason::Forbidden }
}
