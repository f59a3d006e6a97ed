//! Customers, products and warehouses.
//!
//! A `POST` to a GUID creates, or overwrites the whole record: what is left out is emptied. Source: Unleashed API
//! documentation, `/Customers` and `/Products`; that nothing is updated in part is observed.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Account, Desk, Refusal, limited, same_guid};
use crate::simulator::{
    amount::Fine,
    unleashed::{
        Guid,
        body::{CustomerBody, CustomerName, ProductBody, ProductName, WarehouseName},
    },
};

/// In characters. Source: Unleashed API documentation, `/Products`.
pub(in crate::simulator::unleashed) const MAX_CODE: usize = 100;
const MAX_TEXT: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub guid: Guid,
    pub code: String,
    pub name: String,
    pub email: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub phone: Option<String>,
    pub mobile: Option<String>,
    pub notes: Option<String>,
    pub currency: String,
    pub taxable: bool,
    pub tax_code: Option<String>,
    pub source_id: Option<String>,
    pub prints_packing_slip: bool,
    /// Nothing may be sold to it.
    pub stop_credit: bool,
    pub obsolete: bool,
    pub modified_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub guid: Guid,
    pub code: String,
    pub description: String,
    /// No stock is counted.
    pub never_diminishing: bool,
    pub sell_price: Option<Fine>,
    pub barcode: Option<String>,
    pub notes: Option<String>,
    pub source_id: Option<String>,
    pub obsolete: bool,
    pub modified_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warehouse {
    pub guid: Guid,
    pub code: String,
    pub modified_at: DateTime<Utc>,
}

/// A record that was there was changed by a `POST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "overwritten")]
pub enum Overwrite {
    /// Also where it was saved as it was.
    Customer { guid: Guid },
    /// Only where something became different.
    Product { code: String },
}

impl Account {
    pub(in crate::simulator::unleashed) fn save_customer(
        &mut self,
        path: Option<Guid>,
        body: &CustomerBody,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        let guid = same_guid(path, body.guid.as_deref())?;
        let code = filled("CustomerCode", body.customer_code.as_deref())?;
        let name = filled("CustomerName", body.customer_name.as_deref())?;
        limited("CustomerCode", Some(code), MAX_CODE)?;
        limited("SourceId", body.source_id.as_deref(), MAX_TEXT)?;
        let place = guid.and_then(|guid| self.customers.iter().position(|customer| customer.guid == guid));
        let has_code = |(at, customer): (usize, &Customer)| Some(at) != place && customer.code == code;
        if self.customers.iter().enumerate().any(has_code) {
            return Err(Refusal::bad(format!("CustomerCode {code} is used already")));
        }
        let currency = body.currency.as_ref().and_then(|currency| currency.currency_code.clone());
        let currency = currency.unwrap_or_else(|| self.settings.base_currency.clone());
        if !self.settings.currencies.contains(&currency) {
            return Err(Refusal::bad(format!("Currency {currency} is not used here")));
        }
        if let Some(code) = body.tax_code.as_deref().filter(|code| self.settings.tax(code).is_none()) {
            return Err(Refusal::bad(format!("TaxCode {code} was not found")));
        }
        let customer = Customer {
            guid: guid.unwrap_or_else(|| self.new_guid()),
            code: code.to_owned(),
            name: name.to_owned(),
            email: body.email.clone(),
            first_name: body.contact_first_name.clone(),
            last_name: body.contact_last_name.clone(),
            phone: body.phone_number.clone(),
            mobile: body.mobile_number.clone(),
            notes: body.notes.clone(),
            currency,
            taxable: body.taxable.unwrap_or_default(),
            tax_code: body.tax_code.clone(),
            source_id: body.source_id.clone(),
            prints_packing_slip: body.print_packing_slip_instead_of_invoice.unwrap_or_default(),
            stop_credit: body.stop_credit.unwrap_or_default(),
            obsolete: body.obsolete.unwrap_or_default(),
            modified_at: self.touch(desk.now),
        };
        if place.is_some() {
            self.overwrites.push(Overwrite::Customer { guid: customer.guid });
        }
        Ok(stored(&mut self.customers, place, customer))
    }

    pub(in crate::simulator::unleashed) fn save_product(
        &mut self,
        path: Option<Guid>,
        body: &ProductBody,
        desk: Desk<'_>,
    ) -> Result<usize, Refusal> {
        let guid = same_guid(path, body.guid.as_deref())?;
        let code = filled("ProductCode", body.product_code.as_deref())?;
        let description = filled("ProductDescription", body.product_description.as_deref())?;
        limited("ProductCode", Some(code), MAX_CODE)?;
        limited("ProductDescription", Some(description), MAX_TEXT)?;
        limited("SourceId", body.source_id.as_deref(), MAX_TEXT)?;
        if body.default_sell_price.is_some_and(|price| price.0 < 0) {
            return Err(Refusal::bad("DefaultSellPrice is below nothing"));
        }
        let place = guid.and_then(|guid| self.products.iter().position(|product| product.guid == guid));
        let has_code = |(at, product): (usize, &Product)| Some(at) != place && product.code == code;
        if self.products.iter().enumerate().any(has_code) {
            return Err(Refusal::bad(format!("ProductCode {code} is used already")));
        }
        let product = Product {
            guid: guid.unwrap_or_else(|| self.new_guid()),
            code: code.to_owned(),
            description: description.to_owned(),
            never_diminishing: body.never_diminishing.unwrap_or_default(),
            sell_price: body.default_sell_price,
            barcode: body.barcode.clone(),
            notes: body.notes.clone(),
            source_id: body.source_id.clone(),
            obsolete: body.obsolete.unwrap_or_default(),
            modified_at: self.touch(desk.now),
        };
        if let Some(before) = place.map(|at| &self.products[at])
            && (Product { modified_at: product.modified_at, ..before.clone() }) != product
        {
            self.overwrites.push(Overwrite::Product { code: before.code.clone() });
        }
        Ok(stored(&mut self.products, place, product))
    }

    pub(in crate::simulator::unleashed) fn make_obsolete(
        &mut self,
        guid: Guid,
        now: DateTime<Utc>,
    ) -> Result<usize, Refusal> {
        let at = self.products.iter().position(|product| product.guid == guid);
        let at = at.ok_or_else(|| Refusal::not_found("Product"))?;
        self.products[at].obsolete = true;
        self.products[at].modified_at = self.touch(now);
        Ok(at)
    }

    /// Whom a document is for. Assumed: nothing is sold to who is obsolete or stopped.
    pub(super) fn named_customer(&self, name: Option<&CustomerName>) -> Result<Guid, Refusal> {
        let missing = || Refusal::bad("Customer is missing");
        let name = name.ok_or_else(missing)?;
        let customer = match (name.guid.as_deref(), name.customer_code.as_deref()) {
            (Some(guid), _) => self.customer(super::read_guid("Customer.Guid", guid)?),
            (None, Some(code)) => self.customers.iter().find(|customer| customer.code == code),
            (None, None) => return Err(missing()),
        };
        let customer = customer.ok_or_else(|| Refusal::bad("Customer was not found"))?;
        if customer.obsolete || customer.stop_credit {
            return Err(Refusal::bad("Customer is obsolete or stopped"));
        }
        Ok(customer.guid)
    }

    pub(super) fn named_product(&self, name: Option<&ProductName>) -> Result<&Product, Refusal> {
        let missing = || Refusal::bad("Product is missing");
        let name = name.ok_or_else(missing)?;
        let product = match (name.guid.as_deref(), name.product_code.as_deref()) {
            (Some(guid), _) => self.product_of(super::read_guid("Product.Guid", guid)?),
            (None, Some(code)) => self.product(code),
            (None, None) => return Err(missing()),
        };
        let product = product.ok_or_else(|| Refusal::bad("Product was not found"))?;
        if product.obsolete {
            return Err(Refusal::bad(format!("Product {} is obsolete", product.code)));
        }
        Ok(product)
    }

    /// The first of all where none is named.
    pub(super) fn named_warehouse(&self, name: Option<&WarehouseName>) -> Result<Guid, Refusal> {
        let found = match name {
            Some(WarehouseName { guid: Some(guid), .. }) => {
                self.warehouse_of(super::read_guid("Warehouse.Guid", guid)?)
            }
            Some(WarehouseName { warehouse_code: Some(code), .. }) => self.warehouse(code),
            Some(_) | None => self.warehouses.first(),
        };
        found.map(|warehouse| warehouse.guid).ok_or_else(|| Refusal::bad("Warehouse was not found"))
    }
}

fn filled<'a>(what: &str, text: Option<&'a str>) -> Result<&'a str, Refusal> {
    text.filter(|text| !text.trim().is_empty()).ok_or_else(|| Refusal::bad(format!("{what} is missing")))
}

/// Puts a thing in the place it had, or behind all others; returns where it stands.
pub(super) fn stored<T>(all: &mut Vec<T>, place: Option<usize>, thing: T) -> usize {
    if let Some(at) = place {
        all[at] = thing;
        return at;
    }
    all.push(thing);
    all.len() - 1
}
