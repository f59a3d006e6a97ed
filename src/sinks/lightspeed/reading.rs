//! Reads what all orders of a shop share, once for all that wait, and keeps it for a day; and the names of its products, for
//! dishes that nothing else tells.
//!
//! What goes wrong interrupts a reading, which is not gone on with by everybody: until it may be, they are told what the one
//! that tried was told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{
    api::{Api, Asking},
    config::LightspeedSettings,
    facts::{Facts, Listed, Product, missing_scopes},
    wire::{self, Data},
};
use crate::{
    domain::{delivery::Outcome, sale::normalised},
    sinks::{
        Answer,
        age::{asked_for, is_within},
    },
};

/// Facts are used for so long.
const KEPT: Duration = Duration::from_hours(24);
/// Facts that a refusal contradicts are read anew, but no more often.
const NOT_AGAIN_WITHIN: Duration = Duration::from_mins(5);
/// What holds orders back may have been mended there since; it is looked at again when the facts are so old.
const MENDED_AFTER: Duration = Duration::from_hours(1);
/// After a failure no other reading is tried for so long, unless the shop names a longer time.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Names of products are asked for changes this often, where somebody wants them.
const NAMES_GOOD_FOR: Duration = Duration::from_hours(1);
/// Most pages of products in one go; the rest is read when they are wanted next.
const MOST_PAGES: u32 = 25;

/// When a reading of names goes on that is too long for one go.
const GOES_ON_IN: Duration = Duration::from_secs(1);

/// What the orders of one sink share.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// Held while it is read.
    flight: tokio::sync::Mutex<()>,
    names: tokio::sync::Mutex<Names>,
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

    /// This product is there, for a dish or for what is no dish.
    pub fn has_product(&self, key: &str, product: &Product) {
        if let Some(facts) = &mut self.state().facts {
            Arc::make_mut(facts).products.insert(key.to_owned(), product.clone());
        }
    }

    /// Reads if it must. Returns the number of calls.
    pub async fn bring_up_to_date(
        &self,
        api: &Api,
        settings: &LightspeedSettings,
        now: DateTime<Utc>,
    ) -> Result<u32, Answer> {
        let _flight = self.flight.lock().await;
        if self.facts(now).is_some() {
            return Ok(0);
        }
        if let Some(failed) = &self.state().failed
            && is_within(failed.at, failed.pause, now)
        {
            return Err(Answer { calls_beside: 0, limits: Vec::new(), ..failed.told.clone() });
        }
        let mut asking = Asking::new(api, now);
        match everything(&mut asking, settings).await {
            Ok(facts) => {
                if settings.api.is_aging(now) {
                    tracing::warn!(api = %settings.api, "version of the api is more than ten months old");
                }
                *self.state() = State { facts: Some(Arc::new(facts)), failed: None };
                Ok(asking.calls())
            }
            Err(told) => {
                let pause = asked_for(&told).unwrap_or_default().max(AFTER_FAILURE);
                self.state().failed = Some(Failed { at: now, pause, told: told.clone() });
                Err(Answer { calls_beside: asking.calls(), ..told })
            }
        }
    }

    /// The shop's product of exactly this name; or the most similar one, by name.
    pub async fn named(&self, asking: &mut Asking<'_>, name: &str) -> Result<Result<String, Option<String>>, Answer> {
        let mut names = self.names.lock().await;
        names.bring_up_to_date(asking).await?;
        Ok(names.find(name))
    }
}

async fn everything(asking: &mut Asking<'_>, settings: &LightspeedSettings) -> Result<Facts, Answer> {
    let retailer: Option<Data<wire::Retailer>> = asking.read_as(&["retailer"], &[]).await?;
    let listed = Listed {
        retailer: retailer.map(|retailer| retailer.data).unwrap_or_default(),
        registers: asking.read_pages(&["registers"]).await?,
        users: asking.read_pages(&["users"]).await?,
        taxes: asking.read_pages(&["taxes"]).await?,
        payment_types: asking.read_pages(&["payment_types"]).await?,
    };
    let facts = Facts::of(listed, asking.now());
    let lacking = asking.granted_scope().map(|granted| missing_scopes(settings, &granted)).unwrap_or_default();
    Ok(Facts { lacking, ..facts })
}

/// Names of the shop's products, for dishes that neither a link nor a code tells. Read as a whole the first time that one is
/// wanted, then only what has changed.
#[derive(Debug, Default)]
struct Names {
    /// The shop's own count of changes, up to which they are known.
    cursor: i64,
    read_at: Option<DateTime<Utc>>,
    by_id: BTreeMap<String, String>,
}

impl Names {
    async fn bring_up_to_date(&mut self, asking: &mut Asking<'_>) -> Result<(), Answer> {
        let now = asking.now();
        if self.read_at.is_some_and(|read_at| is_within(read_at, NAMES_GOOD_FOR, now)) {
            return Ok(());
        }
        for _ in 0..MOST_PAGES {
            let page = asking.page_after::<wire::Product>(&["products"], self.cursor).await?;
            let is_last = page.data.is_empty();
            for product in page.data {
                let is_usable = product.is_usable();
                match (product.id, product.name) {
                    (Some(id), Some(name)) if is_usable => drop(self.by_id.insert(id, name)),
                    (Some(id), _) => drop(self.by_id.remove(&id)),
                    (None, _) => {}
                }
            }
            // Kept page by page: what interrupts it loses nothing.
            match page.version.max {
                Some(max) if max > self.cursor => self.cursor = max,
                _ => {
                    self.read_at = Some(now);
                    return Ok(());
                }
            }
            if is_last {
                self.read_at = Some(now);
                return Ok(());
            }
        }
        // Of names that are not all known none tells exactly one product.
        Err(Outcome::Throttled { not_before: Some(GOES_ON_IN) }.into())
    }

    /// The one that has this name; else, for a person, the most similar name.
    fn find(&self, name: &str) -> Result<String, Option<String>> {
        let wanted = normalised(name);
        let mut alike = self.by_id.iter().filter(|(_, name)| normalised(name) == wanted);
        if let (Some((id, _)), None) = (alike.next(), alike.next()) {
            return Ok(id.clone());
        }
        let nearest = crate::config::problems::nearest(&wanted, self.by_id.values().map(String::as_str));
        Err(nearest.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Names {
        let by_id = (1..).zip(names).map(|(n, name)| (format!("product-{n}"), (*name).to_owned()));
        Names { by_id: by_id.collect(), ..Names::default() }
    }

    #[test]
    fn a_name_tells_a_product_only_where_exactly_one_has_it() {
        let names = names(&["Lamb Bhuna", "Plain Naan", "plain  naan", "Pilau Rice"]);

        assert_eq!(names.find(" lamb BHUNA "), Ok("product-1".to_owned()));
        assert!(names.find("Plain Naan").is_err(), "two have it");
    }

    #[test]
    fn a_person_is_told_the_most_similar_name() {
        let names = names(&["Lamb Bhuna", "Pilau Rice"]);

        assert_eq!(names.find("Lamb Buna"), Err(Some("Lamb Bhuna".to_owned())));
        assert_eq!(names.find("Cola"), Err(None));
    }
}
