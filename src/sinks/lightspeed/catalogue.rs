//! A shop's products, their stock and its customers as a catalogue: what was changed, and one of them as it stands.
//!
//! The shop counts its changes, so what is new is all that has a version above the last one seen. Of a customer nothing is
//! kept that is personal: the id, our own code for the customer, and a digest. Which customer another one was merged into is
//! told nowhere, so none is followed.
//!
//! Source: Lightspeed X-Series API 2.0, `Product`, `Inventory`, `Customer`; "Pagination".

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::{
    api::Asking,
    client::Client,
    config::{CustomerMode, LightspeedSettings, PAGE_SIZE, Verify},
    wire::{self, Data, Number},
};
use crate::{
    config::Kept,
    domain::{
        catalogue::{Costs, Cursor, Kind, Looked, Page, Record, RemoteState, Span, digest},
        sale::normalised,
    },
    sinks::{
        Turns,
        catalogue::{ByHand, Catalogue, Missed, Reading, in_turn},
        customers::{PREFIX, account_of},
        links::LinkKind,
    },
};

const PRODUCTS: &str = "products";
const INVENTORY: &str = "inventory";
const CUSTOMERS: &str = "customers";

/// How far beyond a version that is known the newest is looked for first.
const FIRST_STRIDE: i64 = 1 << 20;

impl LightspeedSettings {
    /// What is kept of the shop: products, which every line needs, with their stock; customers where sales bear their names.
    pub fn kept(&self) -> Kept<'_> {
        let customers = (self.customer_mode == CustomerMode::PerCustomer).then_some(Kind::Customer);
        Kept {
            settings: &self.catalogue,
            time_zone: self.time_zone,
            kinds: [Kind::Product, Kind::Stock].into_iter().chain(customers).collect(),
            costs: self.costs(),
        }
    }

    /// A product and its stock are a call each; an order is looked for, posted and read back; sales are read one by one.
    fn costs(&self) -> Costs {
        let ten_orders = match self.verify {
            Verify::Now => 30,
            Verify::Sweep => 20,
        };
        Costs { product: 2, customer: 1, ten_orders, documents_at_once: 1 }
    }
}

impl Catalogue for Client {
    fn kinds(&self) -> Vec<Kind> {
        self.settings.kept().kinds
    }

    /// No call tells the newest version, so it is closed in on. That takes some calls, once.
    fn newest<'a>(&'a self, kind: Kind, turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Cursor> {
        Box::pin(async move {
            let mut search = Search::new();
            loop {
                let span = Span { since: Some(Cursor::Version(search.after)), page: 1, page_size: PAGE_SIZE };
                let page = self.page(kind, span, turns, now).await?;
                let is_short = page.n_records < PAGE_SIZE as usize;
                if let Some(newest) = search.told(page.version.map(|version| (version, is_short))) {
                    return Ok(Cursor::Version(newest));
                }
            }
        })
    }

    fn changes<'a>(&'a self, kind: Kind, span: Span, turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Page> {
        Box::pin(async move {
            let told = self.page(kind, span, turns, now).await?;
            for product in told.records.iter().filter(|record| record.kind == Kind::Product) {
                if product.remote_state != RemoteState::Active {
                    self.shared.forget_product(&product.remote_id);
                }
            }
            Ok(Page { records: told.records, date: None, version: told.version, has_more: told.n_records > 0 })
        })
    }

    fn look<'a>(
        &'a self,
        kind: Kind,
        remote_id: &'a str,
        turns: &'a dyn Turns,
        now: DateTime<Utc>,
    ) -> Reading<'a, Looked> {
        Box::pin(async move {
            let records = match kind {
                Kind::Product => self.product(remote_id, turns, now).await?,
                Kind::Customer => {
                    let it: Option<Data<wire::Customer>> = self.read(&[CUSTOMERS, remote_id], &[], turns, now).await?;
                    it.as_ref().and_then(|it| of_customer(&it.data)).into_iter().collect()
                }
                Kind::Stock | Kind::Document => Vec::new(),
            };
            if kind == Kind::Product
                && records.first().is_none_or(|product| product.remote_state != RemoteState::Active)
            {
                self.shared.forget_product(remote_id);
            }
            Ok(if records.is_empty() { Looked::Absent } else { Looked::Found(records) })
        })
    }

    fn by_hand(&self) -> Vec<ByHand> {
        let products = self.settings.items.iter().map(|(dish, id)| ByHand {
            kind: LinkKind::Product,
            local_key: normalised(dish),
            remote_id: id.clone(),
        });
        let is_per_customer = self.settings.customer_mode == CustomerMode::PerCustomer;
        let customers = self.settings.customers.linked_by_hand().filter(|_| is_per_customer);
        products.chain(customers).collect()
    }

    fn costs(&self) -> Costs {
        self.settings.costs()
    }
}

/// A page of changes.
struct Told {
    records: Vec<Record>,
    /// Also those that are no record of ours.
    n_records: usize,
    /// The highest on it; none: nothing is newer.
    version: Option<i64>,
}

impl Client {
    async fn page(&self, kind: Kind, span: Span, turns: &dyn Turns, now: DateTime<Utc>) -> Result<Told, Missed> {
        match kind {
            Kind::Product => self.page_of(PRODUCTS, span, (turns, now), of_product).await,
            Kind::Stock => self.page_of(INVENTORY, span, (turns, now), of_stock).await,
            Kind::Customer => self.page_of(CUSTOMERS, span, (turns, now), of_customer).await,
            Kind::Document => Ok(Told { records: Vec::new(), n_records: 0, version: None }),
        }
    }

    async fn page_of<T: DeserializeOwned>(
        &self,
        path: &str,
        span: Span,
        (turns, now): (&dyn Turns, DateTime<Utc>),
        record: impl Fn(&T) -> Option<Record>,
    ) -> Result<Told, Missed> {
        let after = match span.since {
            Some(Cursor::Version(version)) => version.to_string(),
            Some(Cursor::At(_)) | None => "0".to_owned(),
        };
        let page_size = span.page_size.to_string();
        let mut query = vec![("after", &*after), ("page_size", &*page_size)];
        if path != INVENTORY {
            // Or what was deleted would just be told no more.
            query.push(("deleted", "true"));
        }
        let page: Option<wire::Page<T>> = self.read(&[path], &query, turns, now).await?;
        let (data, version) = page.map(|page| (page.data, page.version.max)).unwrap_or_default();
        let version = version.filter(|_| !data.is_empty());
        Ok(Told { records: data.iter().filter_map(record).collect(), n_records: data.len(), version })
    }

    /// A product, and its stock where that is kept there.
    async fn product(&self, id: &str, turns: &dyn Turns, now: DateTime<Utc>) -> Result<Vec<Record>, Missed> {
        let it: Option<Data<wire::Product>> = self.read(&[PRODUCTS, id], &[], turns, now).await?;
        let Some(product) = it.and_then(|it| of_product(&it.data)) else { return Ok(Vec::new()) };
        if product.remote_state == RemoteState::Deleted {
            return Ok(vec![product]);
        }
        let stock: Option<wire::Page<wire::Stock>> =
            self.read(&[PRODUCTS, id, INVENTORY], &[("page_size", &PAGE_SIZE.to_string())], turns, now).await?;
        let stock = stock.map(|page| page.data).unwrap_or_default();
        Ok(std::iter::once(product).chain(stock.iter().filter_map(of_stock)).collect())
    }

    /// What is not there is none.
    async fn read<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        turns: &dyn Turns,
        now: DateTime<Utc>,
    ) -> Result<Option<T>, Missed> {
        let mut asking = Asking::new(&self.api, now);
        in_turn(turns, asking.read_as(path, query)).await
    }
}

/// Closes in on the newest version of a listing, page by page.
struct Search {
    known: i64,
    /// Nothing is newer than this.
    beyond: Option<i64>,
    stride: i64,
    /// The page behind this version is to be asked for.
    after: i64,
}

impl Search {
    fn new() -> Self {
        Self { known: 0, beyond: None, stride: FIRST_STRIDE, after: 0 }
    }

    /// Of the page that was asked for, the highest version, and whether it was not full; none: nothing was newer. Returns the
    /// newest version once that is known.
    fn told(&mut self, page: Option<(i64, bool)>) -> Option<i64> {
        match page {
            None if self.after == self.known => return Some(self.known),
            None => self.beyond = Some(self.after),
            Some((version, is_short)) => {
                self.known = version.max(self.after);
                if is_short {
                    // The last one, unless pages hold fewer than were asked for: the next tells.
                    self.after = self.known;
                    return None;
                }
            }
        }
        self.after = if let Some(beyond) = self.beyond.filter(|beyond| *beyond > self.known) {
            self.known + (beyond - self.known) / 2
        } else {
            // It was never that far, or has moved on since.
            self.beyond = None;
            self.stride = self.stride.saturating_mul(4);
            self.known.saturating_add(self.stride)
        };
        None
    }
}

fn of_product(product: &wire::Product) -> Option<Record> {
    let remote_id = product.id.clone()?;
    let remote_state = match (&product.deleted_at, product.is_usable()) {
        (Some(_), _) => RemoteState::Deleted,
        (None, true) => RemoteState::Active,
        (None, false) => RemoteState::Archived,
    };
    Some(Record {
        kind: Kind::Product,
        key: product.sku.clone(),
        name: product.name.clone(),
        remote_version: product.version.as_ref().map(|version| version.as_str().to_owned()),
        remote_modified_at: product.updated_at.as_deref().and_then(instant),
        remote_state,
        fields_hash: digest(&[
            Some(&remote_id),
            product.sku.as_deref(),
            product.name.as_deref(),
            Some(remote_state.as_str()),
            product.price_including_tax.as_ref().map(Number::as_str),
            product.price_excluding_tax.as_ref().map(Number::as_str),
        ]),
        survivor: None,
        local_key: None,
        remote_id,
    })
}

/// Of a product in one outlet.
fn of_stock(stock: &wire::Stock) -> Option<Record> {
    Some(Record {
        kind: Kind::Stock,
        remote_id: format!("{}/{}", stock.product_id.as_deref()?, stock.outlet_id.as_deref()?),
        key: None,
        name: None,
        remote_version: stock.version.as_ref().map(|version| version.as_str().to_owned()),
        remote_modified_at: None,
        remote_state: RemoteState::Active,
        fields_hash: digest(&[
            stock.inventory_level.as_ref().map(Number::as_str),
            stock.reorder_point.as_ref().map(Number::as_str),
        ]),
        survivor: None,
        local_key: None,
    })
}

fn of_customer(customer: &wire::Customer) -> Option<Record> {
    let remote_id = customer.id.clone()?;
    let code = customer.customer_code.as_deref();
    let is_there = customer.deleted_at.is_none();
    Some(Record {
        kind: Kind::Customer,
        key: code.filter(|code| code.starts_with(PREFIX)).map(str::to_owned),
        name: None,
        remote_version: customer.version.as_ref().map(|version| version.as_str().to_owned()),
        remote_modified_at: customer.updated_at.as_deref().and_then(instant),
        remote_state: if is_there { RemoteState::Active } else { RemoteState::Deleted },
        fields_hash: digest(&[
            Some(&remote_id),
            code,
            customer.email.as_deref(),
            Some(if is_there { "there" } else { "deleted" }),
        ]),
        survivor: None,
        local_key: code.filter(|_| is_there).and_then(account_of).map(str::to_owned),
        remote_id,
    })
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A listing of these versions, in pages of at most so many. Returns the newest, and how many pages that took.
    fn found(versions: &[i64], page: usize, is_told_short: bool) -> (i64, usize) {
        let mut search = Search::new();
        for n_pages in 1.. {
            let behind: Vec<i64> = versions.iter().copied().filter(|one| *one > search.after).take(page).collect();
            let told = behind.last().map(|version| (*version, is_told_short && behind.len() < page));
            if let Some(newest) = search.told(told) {
                return (newest, n_pages);
            }
        }
        unreachable!("it comes to an end")
    }

    #[test]
    fn the_newest_version_is_found_in_few_pages() {
        let few = [5_000_001, 5_000_007];
        let many: Vec<i64> = (0..100_000).map(|n| 10_000_000_000 + 7 * n).collect();

        assert_eq!(found(&[], 200, true), (0, 1));
        assert_eq!(found(&few, 200, true), (5_000_007, 2));
        let (newest, n_pages) = found(&many, 200, true);
        assert_eq!(newest, 10_000_699_993);
        assert!(n_pages <= 40, "{n_pages} pages");
    }

    proptest! {
        #[test]
        fn whatever_versions_there_are_the_highest_is_found(
            mut versions in prop::collection::vec(1..9_000_000_000_000_i64, 0..60),
            page in 1..8_usize,
            is_told_short in any::<bool>(),
        ) {
            versions.sort_unstable();
            versions.dedup();

            let (newest, n_pages) = found(&versions, page, is_told_short);

            prop_assert_eq!(newest, versions.last().copied().unwrap_or(0));
            prop_assert!(n_pages < 120, "{} pages", n_pages);
        }
    }

    #[test]
    fn what_is_deleted_or_put_aside_is_not_to_be_used_and_a_customer_is_kept_without_a_name() {
        let product = |rest: &str| {
            let text = format!(r#"{{"id": "p-1", "name": "Lamb Bhuna", "sku": "LB", "version": 7{rest}}}"#);
            of_product(&serde_json::from_str(&text).unwrap()).unwrap()
        };
        let customer: wire::Customer = serde_json::from_str(
            r#"{"id": "c-1", "customer_code": "SCF-C-77", "email": "ada@example.org", "first_name": "Ada", "version": 8}"#,
        )
        .unwrap();
        let customer = of_customer(&customer).unwrap();

        assert_eq!(product("").remote_state, RemoteState::Active);
        assert_eq!(product(r#", "is_active": false"#).remote_state, RemoteState::Archived);
        assert_eq!(product(r#", "deleted_at": "2026-01-01T00:00:00Z""#).remote_state, RemoteState::Deleted);
        assert_ne!(product(r#", "price_including_tax": 10.95"#).fields_hash, product("").fields_hash);
        assert_eq!((customer.key.as_deref(), customer.local_key.as_deref()), (Some("SCF-C-77"), Some("77")));
        assert!(!format!("{customer:?}").to_lowercase().contains("ada"));
    }
}
