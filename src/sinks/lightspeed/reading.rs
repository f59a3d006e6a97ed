//! Reads what all orders of a shop share, and the names of its products, for dishes that nothing else tells.

use std::{collections::BTreeMap, time::Duration};

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
        Answer, Calls,
        shared::{self, Failure, SharedFacts, is_within},
    },
};

/// Names of products are asked for changes this often, where somebody wants them.
const NAMES_GOOD_FOR: Duration = Duration::from_hours(1);
/// Most pages of products in one go; the rest is read when they are wanted next.
const MOST_PAGES: u32 = 25;

/// When a reading of names goes on that is too long for one go.
const GOES_ON_IN: Duration = Duration::from_secs(1);

/// What the orders of one sink share.
#[derive(Debug, Default)]
pub struct Shared {
    pub facts: SharedFacts<Facts>,
    names: tokio::sync::Mutex<Names>,
}

impl shared::Facts for Facts {
    fn read_at(&self) -> DateTime<Utc> {
        self.read_at
    }
}

impl Shared {
    /// This product is there, for a dish or for what is no dish.
    pub fn has_product(&self, key: &str, product: &Product) {
        self.facts.change(|facts| drop(facts.products.insert(key.to_owned(), product.clone())));
    }

    /// Reads if it must. Returns the calls that it took.
    pub async fn bring_up_to_date(
        &self,
        api: &Api,
        settings: &LightspeedSettings,
        now: DateTime<Utc>,
    ) -> Result<Calls, Answer> {
        let read = async || {
            let mut asking = Asking::new(api, now);
            let facts = everything(&mut asking, settings).await.map_err(Failure::from);
            if facts.is_ok() && settings.api.is_aging(now) {
                tracing::warn!(api = %settings.api, "version of the api is more than ten months old");
            }
            (Calls { made: asking.calls(), limits: Vec::new() }, facts)
        };
        self.facts.bring_up_to_date(now, read).await
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
