//! Products, and how many there are of each in every outlet.

use chrono::{DateTime, Utc};

use super::{Desk, Refused, Store};
use crate::simulator::lightspeed::{amount::Fine, body::ProductBody, shop::ids};

#[derive(Debug, Clone)]
pub struct Product {
    pub id: String,
    pub name: String,
    pub sku: Option<String>,
    pub handle: String,
    pub description: Option<String>,
    pub source: String,
    pub source_id: Option<String>,
    pub is_active: bool,
    pub has_inventory: bool,
    pub price_excluding_tax: Fine,
    pub price_including_tax: Fine,
    pub supply_price: Fine,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub version: u64,
}

impl Product {
    pub fn is_there(&self) -> bool {
        self.deleted_at.is_none()
    }
}

/// Of one product in one outlet.
#[derive(Debug, Clone)]
pub struct Stock {
    pub id: String,
    pub product_id: String,
    pub outlet_id: String,
    pub level: Fine,
    pub version: u64,
}

impl Store {
    /// What is left of a product in all outlets.
    pub fn stock_of(&self, product_id: &str) -> Fine {
        self.stocks.iter().filter(|stock| stock.product_id == product_id).map(|stock| stock.level).sum()
    }

    pub(in super::super) fn product_place(&self, id: &str) -> Result<usize, Refused> {
        let found = self.products.iter().position(|product| product.id == id && product.is_there());
        found.ok_or_else(|| Refused::missing("product", id))
    }

    pub(in super::super) fn create_product(&mut self, body: &ProductBody, desk: Desk<'_>) -> Result<usize, Refused> {
        if body.name.trim().is_empty() {
            return Err(Refused::wrong("a product has a name"));
        }
        if body.price_including_tax.is_some() && body.price_excluding_tax.is_some() {
            return Err(Refused::wrong("a product has one of price_including_tax and price_excluding_tax"));
        }
        let is_taken =
            |sku: &str| self.products.iter().any(|product| product.is_there() && product.sku.as_deref() == Some(sku));
        if desk.rules.unique_skus && body.sku.as_deref().is_some_and(is_taken) {
            return Err(Refused::wrong("a product with this sku is there already"));
        }
        let tax_id = body.all_outlets_tax.as_ref().and_then(|tax| tax.tax_id.as_deref());
        let tax = match tax_id {
            None => self.shop.taxes.iter().find(|tax| tax.is_default).or(self.shop.taxes.first()),
            Some(id) => Some(self.tax(id)?),
        };
        let rate = tax.map(|tax| tax.rate).unwrap_or_default();
        for count in body.inventory.iter().flatten() {
            self.check_outlet(&count.outlet_id)?;
        }
        let (without, with) = match (body.price_excluding_tax, body.price_including_tax) {
            (None, Some(with)) => (without_tax(with.value, rate), with.value),
            (without, _) => {
                let without = without.map(|price| price.value).unwrap_or_default();
                (without, without + without.times(rate))
            }
        };
        let product = Product {
            id: self.new_id("product"),
            name: body.name.clone(),
            sku: body.sku.clone(),
            handle: body.handle.clone().unwrap_or_else(|| handle(&body.name)),
            description: body.description.clone(),
            source: body.source.clone().unwrap_or_else(|| "USER".to_owned()),
            source_id: body.source_id.clone(),
            is_active: body.is_active.unwrap_or(true),
            has_inventory: desk.rules.tracks_new_products || body.inventory.is_some(),
            price_excluding_tax: without,
            price_including_tax: with,
            supply_price: body.supply_price.map(|price| price.value).unwrap_or_default(),
            created_at: desk.now,
            updated_at: desk.now,
            deleted_at: None,
            version: 0,
        };
        let counted = body.inventory.iter().flatten();
        let counts: Vec<(String, Fine)> =
            counted.map(|count| (count.outlet_id.clone(), count.current_amount.value)).collect();
        Ok(self.add_product(product, &counts))
    }

    /// With so many in these outlets; none in the others.
    pub(super) fn add_product(&mut self, mut product: Product, counts: &[(String, Fine)]) -> usize {
        product.version = self.next_version();
        if product.has_inventory {
            for outlet in self.shop.outlets.clone() {
                let count = counts.iter().find(|(id, _)| *id == outlet.id).map(|(_, count)| *count);
                let stock = Stock {
                    id: self.new_id("stock"),
                    product_id: product.id.clone(),
                    outlet_id: outlet.id,
                    level: count.unwrap_or_default(),
                    version: self.next_version(),
                };
                self.stocks.push(stock);
            }
        }
        self.products.push(product);
        self.products.len() - 1
    }

    pub(super) fn add_discount_product(&mut self, now: DateTime<Utc>) {
        let product = Product {
            id: ids::DISCOUNT_PRODUCT.to_owned(),
            name: "Discount".to_owned(),
            sku: Some("vend-discount".to_owned()),
            handle: "vend-discount".to_owned(),
            description: None,
            source: "USER".to_owned(),
            source_id: None,
            is_active: true,
            has_inventory: false,
            price_excluding_tax: Fine::ZERO,
            price_including_tax: Fine::ZERO,
            supply_price: Fine::ZERO,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 0,
        };
        self.add_product(product, &[]);
    }

    pub(in super::super) fn delete_product(&mut self, id: &str, now: DateTime<Utc>) -> Result<(), Refused> {
        let place = self.product_place(id)?;
        let version = self.next_version();
        let product = &mut self.products[place];
        (product.deleted_at, product.updated_at, product.version) = (Some(now), now, version);
        Ok(())
    }

    /// Nothing where the product's stock is not tracked.
    pub(super) fn move_stock(&mut self, product_id: &str, outlet_id: &str, by: Fine) {
        let found = self.stocks.iter().position(|stock| stock.product_id == product_id && stock.outlet_id == outlet_id);
        if let Some(at) = found.filter(|_| by != Fine::ZERO) {
            self.stocks[at].version = self.next_version();
            self.stocks[at].level += by;
        }
    }

    fn check_outlet(&self, id: &str) -> Result<(), Refused> {
        let is_there = self.shop.outlets.iter().any(|outlet| outlet.id == id && !outlet.is_deleted);
        if is_there { Ok(()) } else { Err(Refused::missing("outlet", id)) }
    }

    pub(super) fn tax(&self, id: &str) -> Result<&crate::simulator::lightspeed::shop::Tax, Refused> {
        let found = self.shop.taxes.iter().find(|tax| tax.id == id && !tax.is_deleted);
        found.ok_or_else(|| Refused::missing("tax", id))
    }
}

/// A price with its tax taken out, to five places.
fn without_tax(with: Fine, rate: Fine) -> Fine {
    let divisor = i128::from((Fine::ONE + rate).0);
    let dividend = i128::from(with.0) * i128::from(Fine::ONE.0);
    Fine(((dividend + divisor / 2) / divisor) as i64)
}

pub(super) fn handle(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}
