//! Reads what all orders of an account share. What was read when a reading was interrupted is not read again, unless it is old.
//!
//! Products are listed only where the copy that is kept of them does not hold as many as there are.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::{
    api::{Api, Asking},
    config::UnleashedSettings,
    customers,
    facts::{Facts, House, KnownProduct},
    signature::Query,
    wire::{self, Page},
};
use crate::{
    domain::{ids::SinkName, sale::normalised},
    sinks::{
        Answer, Calls,
        customers::There,
        links::LinkStore,
        shared::{self, Failure, RESUMED_WITHIN, SharedFacts, is_within},
    },
};

/// Records on a page. Source: Unleashed API documentation: 200 unless told otherwise.
const PAGE_SIZE: &str = "200";
/// Most pages of products that are read a day: names are only found among them.
const MOST_PAGES: u32 = 25;
/// What is read before the first page of products.
const OTHER_PARTS: u32 = 4;

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
    /// This product is there.
    pub fn has_product(&self, product: KnownProduct) {
        self.facts.change(|facts| {
            if !facts.has_product(&product.code) {
                facts.products.push(product);
            }
        });
    }

    /// Reads if it must. Returns the calls that it took.
    pub async fn bring_up_to_date(
        &self,
        api: &Api,
        settings: &UnleashedSettings,
        copy: Copy<'_>,
        now: DateTime<Utc>,
    ) -> Result<Calls, Answer> {
        let read = async || {
            let mut asking = Asking::new(api, now);
            // Nobody else reads meanwhile. What was read so far stays here also when nobody waits for the end any more.
            let mut interrupted = self.interrupted.lock().await;
            let begun = interrupted.take().filter(|reading| is_within(reading.facts.read_at, RESUMED_WITHIN, now));
            let reading = interrupted.insert(begun.unwrap_or_else(|| Reading::begun(now)));
            let known_before = reading.n_parts;
            let facts = reading.go_on(&mut asking, settings, copy).await;
            let got_further = reading.n_parts > known_before;
            if facts.is_ok() {
                *interrupted = None;
            }
            let calls = Calls { made: asking.calls(), limits: Vec::new() };
            (calls, facts.map_err(|told| Failure { told, got_further }))
        };
        self.facts.bring_up_to_date(now, read).await
    }
}

/// The copy that is kept of the account's products.
#[derive(Debug, Clone, Copy)]
pub struct Copy<'a> {
    pub links: &'a dyn LinkStore,
    pub sink: &'a SinkName,
}

/// What was read so far.
#[derive(Debug)]
struct Reading {
    /// As old as the first part of them.
    facts: Facts,
    /// How many parts were read, each page of products one.
    n_parts: u32,
}

impl Reading {
    fn begun(now: DateTime<Utc>) -> Self {
        Self { facts: Facts { read_at: now, ..Facts::default() }, n_parts: 0 }
    }

    async fn go_on(
        &mut self,
        asking: &mut Asking<'_>,
        settings: &UnleashedSettings,
        copy: Copy<'_>,
    ) -> Result<Facts, Answer> {
        loop {
            let facts = &mut self.facts;
            match self.n_parts {
                0 => {
                    facts.house = match customers::by_guid(asking, &settings.house_customer).await? {
                        None => House::Missing,
                        Some(There::Active(_)) => House::Usable,
                        Some(There::Not(_)) => House::Closed,
                    }
                }
                1 => facts.warehouses = first_page(asking, "Warehouses").await?.map(Facts::warehouses_of),
                2 => facts.taxes = first_page(asking, "Taxes").await?.map(Facts::taxes_of),
                3 => facts.currencies = first_page(asking, "Currencies").await?.map(Facts::currencies_of),
                before => {
                    let page = before - OTHER_PARTS + 1;
                    let listed = products(asking, page).await?;
                    facts.has_more_products = listed.pagination.number_of_pages.unwrap_or(1) > page;
                    if page == 1
                        && facts.has_more_products
                        && settings.item_fields.barcode.is_none()
                        && let Some(known) = copied(copy, &listed).await
                    {
                        (facts.products, facts.has_more_products) = (known, false);
                        return Ok(facts.clone());
                    }
                    facts.products.extend(listed.items.into_iter().filter_map(KnownProduct::of));
                    if !facts.has_more_products || page == MOST_PAGES {
                        return Ok(facts.clone());
                    }
                }
            }
            self.n_parts += 1;
        }
    }
}

/// Reads a page of products.
async fn products(asking: &mut Asking<'_>, page: u32) -> Result<Page<wire::Product>, Answer> {
    let number = page.to_string();
    let path: &[&str] = if page == 1 { &["Products"] } else { &["Products", &number] };
    asking.list(path, &Query::of(&[("pageSize", PAGE_SIZE)])).await
}

/// The products by their copy, which knows of no barcodes. None: it lacks some of those that are there.
async fn copied(copy: Copy<'_>, listed: &Page<wire::Product>) -> Option<Vec<KnownProduct>> {
    // Without the database they are listed.
    let known = copy.links.products(copy.sink).await.ok()?;
    let is_whole = listed.pagination.number_of_items.is_some_and(|there| known.len() as u64 >= there);
    let of = |(code, shown): (String, String)| KnownProduct { code, barcode: None, name: normalised(&shown), shown };
    is_whole.then(|| known.into_iter().map(of).collect())
}

/// None: nothing of that name is listed. Nobody has more of them than a page holds.
async fn first_page<T: DeserializeOwned>(asking: &mut Asking<'_>, resource: &str) -> Result<Option<Vec<T>>, Answer> {
    let page: Option<Page<T>> = asking.read(&[resource], &Query::of(&[("pageSize", PAGE_SIZE)])).await?;
    Ok(page.map(|page| page.items))
}
