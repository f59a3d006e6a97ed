//! Unleashed's products, stock and customers as a catalogue: what was changed, and one of them as it stands.
//!
//! A product is named by its code, as lines of documents name it. Of a customer nothing is kept that is personal: the GUID, our
//! own code, and a digest.
//!
//! Source: Unleashed API documentation, `/Products`, `/StockOnHand`, `/Customers`: `modifiedSince` in UTC, pages in the path,
//! obsolete records only where they are asked for. A product that nothing was ever done with has no stock.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::{
    api::{Asking, Told},
    client::Client,
    config::{CustomerMode, UnleashedSettings},
    signature::Query,
    wire::{self, Page as Listed},
};
use crate::{
    config::Kept,
    domain::{
        catalogue::{Costs, Cursor, Kind, Looked, Page, Record, RemoteState, Span, digest},
        sale::normalised,
    },
    sinks::{
        Turns,
        catalogue::{ByHand, Catalogue, Missed, Reading},
        customers::{PREFIX, account_of},
        links::LinkKind,
    },
};

const PRODUCTS: &str = "Products";
const STOCK: &str = "StockOnHand";
const CUSTOMERS: &str = "Customers";
/// Records of which one is sought by its code, which filters by its beginning.
const SEARCHED: &str = "200";

/// A product and its stock are two calls; an order that is posted, completed and read takes three.
const COSTS: Costs = Costs { product: 2, customer: 1, ten_orders: 30, documents_at_once: 1 };

impl UnleashedSettings {
    /// What is kept of the account: products and their stock, and customers where each has a record.
    pub fn kept(&self) -> Kept<'_> {
        let customers = (self.customer_mode == CustomerMode::PerCustomer).then_some(Kind::Customer);
        Kept {
            settings: &self.catalogue,
            time_zone: self.time_zone,
            kinds: [Kind::Product, Kind::Stock].into_iter().chain(customers).collect(),
            costs: COSTS,
        }
    }
}

impl Catalogue for Client {
    fn kinds(&self) -> Vec<Kind> {
        self.settings.kept().kinds
    }

    fn changes<'a>(&'a self, kind: Kind, span: Span, turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Page> {
        Box::pin(async move {
            let mut asking = Asking::new(&self.api, now);
            Ok(match kind {
                Kind::Product => {
                    let told: Told<Listed<wire::Product>> = changed(&mut asking, PRODUCTS, span, turns).await?;
                    page(&told, span, |product| of_product(product).into_iter().collect())
                }
                Kind::Stock => {
                    let told: Told<Listed<wire::Stock>> = changed(&mut asking, STOCK, span, turns).await?;
                    page(&told, span, |stock| of_stock(stock).into_iter().collect())
                }
                Kind::Customer => {
                    let told: Told<Listed<wire::Customer>> = changed(&mut asking, CUSTOMERS, span, turns).await?;
                    page(&told, span, |customer| of_customer(customer).into_iter().collect())
                }
                Kind::Document => Page::default(),
            })
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
            let mut asking = Asking::new(&self.api, now);
            let records: Vec<Record> = match kind {
                Kind::Product => {
                    let query =
                        Query::of(&[("productCode", remote_id), ("includeObsolete", "true"), ("pageSize", SEARCHED)]);
                    let found: Option<Told<Listed<wire::Product>>> =
                        take_turn(&mut asking, &[PRODUCTS], &query, turns).await?;
                    let items = found.map(|told| told.said.items).unwrap_or_default();
                    let it = items.into_iter().find(|product| product.product_code.as_deref() == Some(remote_id));
                    let stock = match it.as_ref().and_then(|product| product.guid.as_deref()) {
                        Some(guid) => take_turn(&mut asking, &[STOCK, guid], &Query::default(), turns).await?,
                        None => None,
                    };
                    let stock = stock.and_then(|told: Told<wire::Stock>| of_stock(&told.said));
                    it.as_ref().and_then(of_product).into_iter().chain(stock).collect()
                }
                Kind::Customer => {
                    let path = [CUSTOMERS, remote_id];
                    let found: Option<Told<wire::Customer>> =
                        take_turn(&mut asking, &path, &Query::default(), turns).await?;
                    found.and_then(|told| of_customer(&told.said)).into_iter().collect()
                }
                Kind::Stock | Kind::Document => Vec::new(),
            };
            Ok(if records.is_empty() { Looked::Absent } else { Looked::Found(records) })
        })
    }

    fn count<'a>(&'a self, kind: Kind, turns: &'a dyn Turns, now: DateTime<Utc>) -> Reading<'a, Option<u64>> {
        Box::pin(async move {
            let Some(resource) = resource(kind) else { return Ok(None) };
            let mut asking = Asking::new(&self.api, now);
            // Source: Unleashed API documentation: a page of no records tells how many there are.
            let told: Option<Told<Listed<serde_json::Value>>> =
                take_turn(&mut asking, &[resource], &Query::of(&[("pageSize", "0")]), turns).await?;
            Ok(told.and_then(|told| told.said.pagination.number_of_items))
        })
    }

    fn by_hand(&self) -> Vec<ByHand> {
        let products = self.settings.items.iter().map(|(dish, code)| ByHand {
            kind: LinkKind::Product,
            local_key: normalised(dish),
            remote_id: code.clone(),
        });
        let is_kept = self.settings.customer_mode == CustomerMode::PerCustomer;
        let customers = self.settings.customers.linked_by_hand().filter(|_| is_kept);
        products.chain(customers).collect()
    }

    fn costs(&self) -> Costs {
        COSTS
    }
}

/// None: nothing of that kind is listed.
fn resource(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Product => Some(PRODUCTS),
        Kind::Stock => Some(STOCK),
        Kind::Customer => Some(CUSTOMERS),
        Kind::Document => None,
    }
}

/// One page of what was changed.
async fn changed<T: DeserializeOwned>(
    asking: &mut Asking<'_>,
    resource: &str,
    span: Span,
    turns: &dyn Turns,
) -> Result<Told<Listed<T>>, Missed> {
    let since = match span.since {
        Some(Cursor::At(at)) => Some(at.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()),
        Some(Cursor::Version(_)) | None => None,
    };
    let (number, page_size) = (span.page.to_string(), span.page_size.to_string());
    let obsolete = (resource != STOCK).then_some(("includeObsolete", "true"));
    let since = since.as_deref().map(|since| ("modifiedSince", since));
    let query: Vec<(&str, &str)> = since.into_iter().chain(obsolete).chain([("pageSize", &*page_size)]).collect();
    let path: &[&str] = if span.page == 1 { &[resource] } else { &[resource, &number] };
    let told = take_turn(asking, path, &Query::of(&query), turns).await?;
    // A page behind the last one.
    Ok(told.unwrap_or_default())
}

/// Takes the next turn for a reading. What the answer told is heard of in any case. None: there is nothing.
async fn take_turn<T: DeserializeOwned>(
    asking: &mut Asking<'_>,
    path: &[&str],
    query: &Query,
    turns: &dyn Turns,
) -> Result<Option<Told<T>>, Missed> {
    if !turns.next().await {
        return Err(Missed::NoTurn);
    }
    let before = asking.calls();
    let read = asking.read_told(path, query).await;
    let beside = (asking.calls() - before).saturating_sub(1);
    match read {
        Ok(told) => {
            turns.heard(&[], beside).await;
            Ok(told)
        }
        Err(answer) => {
            turns.heard(&answer.limits, beside).await;
            Err(answer.into())
        }
    }
}

fn page<T>(told: &Told<Listed<T>>, span: Span, records: impl Fn(&T) -> Vec<Record>) -> Page {
    Page {
        records: told.said.items.iter().flat_map(records).collect(),
        date: told.date,
        version: None,
        has_more: span.page < told.said.pagination.number_of_pages.unwrap_or(1),
    }
}

/// None without a code: no line could name it.
fn of_product(product: &wire::Product) -> Option<Record> {
    let code = product.product_code.clone().filter(|code| !code.is_empty())?;
    Some(Record {
        kind: Kind::Product,
        remote_id: code.clone(),
        key: Some(code.clone()),
        name: product.product_description.clone(),
        remote_version: None,
        remote_modified_at: product.last_modified_on.map(|at| at.0),
        remote_state: if product.obsolete { RemoteState::Archived } else { RemoteState::Active },
        fields_hash: digest(&[
            product.guid.as_deref(),
            Some(&code),
            product.product_description.as_deref(),
            product.barcode.as_deref(),
            product.default_sell_price.as_ref().map(wire::Number::as_str),
            Some(if product.obsolete { "obsolete" } else { "active" }),
        ]),
        survivor: None,
        local_key: None,
    })
}

/// What lies there of a product, in all warehouses together.
fn of_stock(stock: &wire::Stock) -> Option<Record> {
    let code = stock.product_code.clone().filter(|code| !code.is_empty())?;
    Some(Record {
        kind: Kind::Stock,
        remote_id: code.clone(),
        key: Some(code),
        name: None,
        remote_version: None,
        remote_modified_at: stock.last_modified_on.map(|at| at.0),
        remote_state: RemoteState::Active,
        fields_hash: digest(&[
            stock.qty_on_hand.as_ref().map(wire::Number::as_str),
            stock.allocated_qty.as_ref().map(wire::Number::as_str),
        ]),
        survivor: None,
        local_key: None,
    })
}

fn of_customer(customer: &wire::Customer) -> Option<Record> {
    let remote_id = customer.guid.as_ref()?.to_ascii_lowercase();
    let code = customer.customer_code.as_deref();
    let is_usable = !customer.obsolete && !customer.stop_credit;
    Some(Record {
        kind: Kind::Customer,
        key: code.filter(|code| code.starts_with(PREFIX)).map(str::to_owned),
        name: None,
        remote_version: None,
        remote_modified_at: customer.last_modified_on.map(|at| at.0),
        remote_state: if is_usable { RemoteState::Active } else { RemoteState::Archived },
        fields_hash: digest(&[
            Some(&remote_id),
            code,
            customer.customer_name.as_deref(),
            customer.email.as_deref(),
            Some(if is_usable { "usable" } else { "closed" }),
        ]),
        survivor: None,
        local_key: code.filter(|_| is_usable).and_then(account_of).map(str::to_owned),
        remote_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obsolete_product_is_kept_and_not_to_be_used() {
        let state = |json: &str| of_product(&serde_json::from_str(json).unwrap()).map(|record| record.remote_state);

        assert_eq!(state(r#"{"ProductCode": "LAMB", "Obsolete": false}"#), Some(RemoteState::Active));
        assert_eq!(state(r#"{"ProductCode": "LAMB", "Obsolete": true}"#), Some(RemoteState::Archived));
        assert_eq!(state(r#"{"ProductCode": null}"#), None);
    }

    #[test]
    fn of_a_customer_nothing_personal_is_kept_and_our_code_tells_whose_it_is() {
        let customer: wire::Customer = serde_json::from_str(
            r#"{"Guid": "6F0E2A44", "CustomerCode": "SCF-C-77", "CustomerName": "Ines Marlow", "Email": "ines@example.org"}"#,
        )
        .unwrap();

        let record = of_customer(&customer).unwrap();

        assert_eq!((record.remote_id.as_str(), record.local_key.as_deref()), ("6f0e2a44", Some("77")));
        let kept = serde_json::to_string(&record).unwrap();
        assert!(!kept.contains("Ines") && !kept.contains("ines@"), "{kept}");
    }

    #[test]
    fn stock_that_moves_is_a_change() {
        let hash = |on_hand: u32| {
            let json = format!(r#"{{"ProductCode": "LAMB", "QtyOnHand": {on_hand}.0, "AllocatedQty": 0}}"#);
            of_stock(&serde_json::from_str(&json).unwrap()).unwrap().fields_hash
        };

        assert_ne!(hash(4), hash(3));
    }
}
