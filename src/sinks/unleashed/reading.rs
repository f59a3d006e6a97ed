//! Reads what all orders of an account share.

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
    Answer, Calls,
    customers::There,
    shared::{self, Failure, SharedFacts},
};

/// Records on a page. Source: Unleashed API documentation: 200 unless told otherwise.
const PAGE_SIZE: &str = "200";
/// Most pages of products that are read a day: names are only found among them.
const MOST_PAGES: u32 = 25;

/// What the orders of one sink share.
pub type Shared = SharedFacts<Facts>;

impl shared::Facts for Facts {
    fn read_at(&self) -> DateTime<Utc> {
        self.read_at
    }
}

/// This product is there.
pub fn has_product(shared: &Shared, product: KnownProduct) {
    shared.change(|facts| {
        if !facts.has_product(&product.code) {
            facts.products.push(product);
        }
    });
}

/// Reads if it must. Returns the calls that it took.
pub async fn bring_up_to_date(
    shared: &Shared,
    api: &Api,
    settings: &UnleashedSettings,
    now: DateTime<Utc>,
) -> Result<Calls, Answer> {
    let read_all = async || {
        let mut asking = Asking::new(api, now);
        let facts = read(&mut asking, settings).await.map_err(Failure::from);
        (Calls { made: asking.calls(), limits: Vec::new() }, facts)
    };
    shared.bring_up_to_date(now, read_all).await
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
