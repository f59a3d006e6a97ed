//! Reads what all orders of a shop share, and out of the copy of the shop the names of its products, for dishes that nothing
//! else tells.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::{
    api::{Api, Asking},
    config::LightspeedSettings,
    facts::{Facts, Listed, Product, missing_scopes},
    wire::{self, Data},
};
use crate::{
    domain::ids::SinkName,
    sinks::{
        Answer, Calls,
        customers::unstored,
        links::{LinkStore, ProductCopy},
        shared::{self, Failure, SharedFacts, is_within},
    },
};

/// Names of products are read this often, where somebody wants them.
const NAMES_GOOD_FOR: Duration = Duration::from_mins(1);

/// Most pages of what is read as a whole.
const MOST_PAGES: u32 = 20;
/// A reading that was interrupted is begun anew after so long.
const RESUMED_WITHIN: Duration = Duration::from_mins(10);

/// What the orders of one sink share.
#[derive(Debug, Default)]
pub struct Shared {
    pub facts: SharedFacts<Facts>,
    /// A reading that did not get to its end.
    interrupted: tokio::sync::Mutex<Option<Reading>>,
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
            // Nobody else reads meanwhile. What was read so far stays here also when nobody waits for the end any more.
            let mut interrupted = self.interrupted.lock().await;
            let begun = interrupted.take().filter(|reading| is_within(reading.began, RESUMED_WITHIN, now));
            let reading = interrupted.insert(begun.unwrap_or_else(|| Reading::begun(now)));
            let known_before = reading.n_pages();
            let facts = reading.go_on(&mut asking, settings).await;
            let got_further = reading.n_pages() > known_before;
            if facts.is_ok() {
                *interrupted = None;
                if settings.api.is_aging(now) {
                    tracing::warn!(api = %settings.api, "version of the api is more than ten months old");
                }
            }
            let calls = Calls { made: asking.calls(), limits: Vec::new() };
            (calls, facts.map_err(|told| Failure { told, got_further }))
        };
        self.facts.bring_up_to_date(now, read).await
    }

    /// This product is not there any more, or not to be used.
    pub fn forget_product(&self, id: &str) {
        self.facts.change(|facts| facts.products.retain(|_, product| product.id != id));
    }

    /// The shop's product of exactly this name; or the most similar one, by name. By the copy that is kept of the shop: it is
    /// never listed for this.
    pub async fn named(
        &self,
        (links, sink): (&dyn LinkStore, &SinkName),
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<Result<String, Option<String>>, Answer> {
        let mut names = self.names.lock().await;
        if !names.read_at.is_some_and(|read_at| is_within(read_at, NAMES_GOOD_FOR, now)) {
            let products = links.products(sink).await.map_err(|error| unstored(&error))?;
            let products = ProductCopy { names: products.into_iter().collect(), ..ProductCopy::default() };
            *names = Names { read_at: Some(now), products };
        }
        Ok(names.products.named(name))
    }
}

/// What was read so far.
#[derive(Debug)]
struct Reading {
    began: DateTime<Utc>,
    retailer: Option<wire::Retailer>,
    registers: Listing<wire::Register>,
    users: Listing<wire::Named>,
    taxes: Listing<wire::Tax>,
    payment_types: Listing<wire::Named>,
}

impl Reading {
    fn begun(began: DateTime<Utc>) -> Self {
        Self {
            began,
            retailer: None,
            registers: Listing::default(),
            users: Listing::default(),
            taxes: Listing::default(),
            payment_types: Listing::default(),
        }
    }

    fn n_pages(&self) -> u32 {
        let Self { began: _, retailer, registers, users, taxes, payment_types } = self;
        u32::from(retailer.is_some()) + registers.n_pages + users.n_pages + taxes.n_pages + payment_types.n_pages
    }

    /// Facts are as old as the first part of them.
    async fn go_on(&mut self, asking: &mut Asking<'_>, settings: &LightspeedSettings) -> Result<Facts, Answer> {
        if self.retailer.is_none() {
            let retailer: Option<Data<wire::Retailer>> = asking.read_firmly(&["retailer"], &[]).await?;
            self.retailer = Some(retailer.map(|retailer| retailer.data).unwrap_or_default());
        }
        self.registers.go_on(asking, "registers").await?;
        self.users.go_on(asking, "users").await?;
        self.taxes.go_on(asking, "taxes").await?;
        self.payment_types.go_on(asking, "payment_types").await?;
        let listed = Listed {
            retailer: self.retailer.clone().unwrap_or_default(),
            registers: self.registers.records.clone(),
            users: self.users.records.clone(),
            taxes: self.taxes.records.clone(),
            payment_types: self.payment_types.records.clone(),
        };
        let lacking = asking.granted_scope().map(|granted| missing_scopes(settings, &granted)).unwrap_or_default();
        Ok(Facts { lacking, ..Facts::of(listed, self.began) })
    }
}

/// All of a listing, as far as it was read.
#[derive(Debug)]
struct Listing<T> {
    records: Vec<T>,
    /// The next page is that behind this version.
    after: i64,
    n_pages: u32,
    is_whole: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { records: Vec::new(), after: 0, n_pages: 0, is_whole: false }
    }
}

impl<T: DeserializeOwned> Listing<T> {
    /// Reads it to its end.
    async fn go_on(&mut self, asking: &mut Asking<'_>, path: &str) -> Result<(), Answer> {
        while !self.is_whole {
            let page = asking.page_after(&[path], self.after).await?;
            let next = page.version.max.filter(|max| *max > self.after && !page.data.is_empty());
            self.records.extend(page.data);
            self.n_pages += 1;
            // A page that does not move on is the last.
            self.is_whole = next.is_none() || self.n_pages == MOST_PAGES;
            self.after = next.unwrap_or(self.after);
        }
        Ok(())
    }
}

/// The shop's products, for dishes that neither a link nor a code tells: as the copy of the shop has them.
#[derive(Debug, Default)]
struct Names {
    read_at: Option<DateTime<Utc>>,
    products: ProductCopy,
}
