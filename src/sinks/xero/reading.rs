//! Reads what all orders of an organisation share, once for all that wait, and keeps it for a day.
//!
//! Each part that the configuration needs is read with the right that it needs, so that a missing scope is told by its name
//! before the first order meets it. A right that is missing is a fact, not a failure; anything else that goes wrong
//! interrupts the reading, which is not gone on with by everybody: until it may be, they are told what the one that tried
//! was told, and how long that still is, so that each waits once. What was read by then is not read again, unless it is old.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use super::{
    api::{Api, Asking},
    config::{ContactMode, Delta, ItemMode, XeroSettings},
    contacts,
    organisation::{Facts, Feature},
    records::JOURNALS,
    wire::Listing,
};
use crate::{
    domain::delivery::{Outcome, Reason},
    sinks::{
        Answer, Calls,
        shared::{self, Failure, RESUMED_WITHIN, SharedFacts, is_within},
    },
};

/// What the orders of one sink share.
#[derive(Debug, Default)]
pub struct Shared {
    pub facts: SharedFacts<Facts>,
    /// A reading that did not get to its end.
    interrupted: Mutex<Option<Reading>>,
}

impl shared::Facts for Facts {
    fn read_at(&self) -> DateTime<Utc> {
        self.read_at
    }
}

impl Shared {
    /// The one contact was found or made.
    pub fn has_house_contact(&self, contact_id: &str) {
        self.facts.change(|facts| facts.house_contact = Some(contact_id.to_owned()));
    }

    /// These items are there.
    pub fn has_items(&self, codes: impl IntoIterator<Item = String>) {
        self.facts.change(|facts| facts.items.extend(codes));
    }

    /// Reads if it must. Returns the calls that it took.
    pub async fn bring_up_to_date(
        &self,
        api: &Api,
        settings: &XeroSettings,
        now: DateTime<Utc>,
    ) -> Result<Calls, Answer> {
        let read = async || {
            let mut asking = Asking::new(api, now);
            // Nobody else reads meanwhile. What was read so far stays here also when nobody waits for the end any more.
            let mut interrupted = self.interrupted.lock().await;
            let begun = interrupted.take().filter(|reading| is_within(reading.began, RESUMED_WITHIN, now));
            let reading = interrupted.insert(begun.unwrap_or_else(|| Reading::begun(now)));
            let known_before = reading.parts.len();
            let facts = needed(reading, &mut asking, settings).await;
            let got_further = reading.parts.len() > known_before;
            if facts.is_ok() {
                *interrupted = None;
            }
            (asking.calls(), facts.map_err(|told| Failure { told, got_further }))
        };
        self.facts.bring_up_to_date(now, read).await
    }
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
        if settings.delta == Delta::Journal {
            self.part(asking, JOURNALS, &one, Feature::Journals).await?;
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
