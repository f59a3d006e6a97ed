//! Reads what all orders of an account share, once for all that wait, and keeps it for a day.
//!
//! A reading that fails is not tried again by everybody: until it may be, they are told what the one that tried was told.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::{
    api::{Api, Asking},
    config::UnleashedSettings,
    customers,
    facts::{Facts, House, KnownProduct},
    signature::Query,
    wire::{self, Page},
};
use crate::sinks::{
    Answer,
    age::{asked_for, is_within},
    customers::There,
};

/// Facts are used for so long.
const KEPT: Duration = Duration::from_hours(24);
/// Facts that a refusal contradicts are read anew, but no more often.
const NOT_AGAIN_WITHIN: Duration = Duration::from_mins(5);
/// What holds orders back may have been mended there since; it is looked at again when the facts are so old.
const MENDED_AFTER: Duration = Duration::from_hours(1);
/// After a failure no other reading is tried for so long, unless Unleashed names a longer time.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Records on a page. Source: Unleashed API documentation: 200 unless told otherwise.
const PAGE_SIZE: &str = "200";
/// Most pages of products that are read a day: names are only found among them.
const MOST_PAGES: u32 = 25;

/// What the orders of one sink share.
#[derive(Debug, Default)]
pub struct Shared {
    state: Mutex<State>,
    /// Held while it is read.
    flight: tokio::sync::Mutex<()>,
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

    /// A refusal says that they may not be true any more.
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

    /// This product is there.
    pub fn has_product(&self, product: KnownProduct) {
        if let Some(facts) = &mut self.state().facts
            && !facts.has_product(&product.code)
        {
            Arc::make_mut(facts).products.push(product);
        }
    }

    /// Reads if it must. Returns the number of calls.
    pub async fn bring_up_to_date(
        &self,
        api: &Api,
        settings: &UnleashedSettings,
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
        match read(&mut asking, settings).await {
            Ok(facts) => {
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
}

async fn read(asking: &mut Asking<'_>, settings: &UnleashedSettings) -> Result<Facts, Answer> {
    let read_at = asking.now();
    let house = match customers::by_guid(asking, &settings.house_customer).await? {
        None => House::Missing,
        Some(There::Active(_)) => House::Usable,
        Some(There::Not(_)) => House::Closed,
    };
    let warehouses = first_page(asking, "Warehouses").await?.map(Facts::warehouses_of);
    let taxes = first_page(asking, "Taxes").await?.map(Facts::taxes_of);
    let currencies = first_page(asking, "Currencies").await?.map(Facts::currencies_of);
    let mut products = Vec::new();
    let mut has_more_products = false;
    for page in 1..=MOST_PAGES {
        let number = page.to_string();
        let path: &[&str] = if page == 1 { &["Products"] } else { &["Products", &number] };
        let query = Query::of(&[("pageSize", PAGE_SIZE)]);
        let listed: Page<wire::Product> = asking.list(path, &query).await?;
        products.extend(listed.items.into_iter().filter_map(KnownProduct::of));
        let n_pages = listed.pagination.number_of_pages.unwrap_or(1);
        has_more_products = n_pages > page;
        if !has_more_products {
            break;
        }
    }
    Ok(Facts { read_at, warehouses, taxes, currencies, house, products, has_more_products })
}

/// None: nothing of that name is listed. Nobody has more of them than a page holds.
async fn first_page<T: DeserializeOwned>(asking: &mut Asking<'_>, resource: &str) -> Result<Option<Vec<T>>, Answer> {
    let page: Option<Page<T>> = asking.read(&[resource], &Query::of(&[("pageSize", PAGE_SIZE)])).await?;
    Ok(page.map(|page| page.items))
}
