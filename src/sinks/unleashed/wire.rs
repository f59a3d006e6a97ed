//! Unleashed's JSON as it comes back.
//!
//! Only what is looked at, and tolerant: unknown fields, `null`, dates in either form. Amounts stay decimal text until the
//! currency is known; no float touches them. Of a customer nothing is kept but what it is recognised by.
//!
//! Observed: the sample answers of public clients. Assumed: `Warehouses`, `Taxes` and `Currencies` are listed as the other
//! resources are; where they are not, nothing is said of them.

use std::fmt;

use serde::Deserialize;

use super::receipt::{Seen, SeenLine, Standing};
pub use crate::sinks::lax::{Moment, Number};
use crate::{domain::money::Currency, sinks::lax::or_nothing};

/// One page of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Page<T> {
    #[serde(default, deserialize_with = "or_nothing")]
    pub pagination: Pagination,
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { pagination: Pagination::default(), items: Vec::new() }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pagination {
    pub number_of_items: Option<u64>,
    pub number_of_pages: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SalesOrder {
    pub guid: Option<String>,
    pub order_number: Option<String>,
    pub order_status: Option<String>,
    pub customer: Option<Named>,
    pub currency: Option<CurrencyName>,
    pub total: Option<Number>,
    pub last_modified_on: Option<Moment>,
    #[serde(deserialize_with = "or_nothing")]
    pub sales_order_lines: Vec<OrderLine>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OrderLine {
    pub guid: Option<String>,
    pub product: Option<ProductName>,
    pub order_quantity: Option<Number>,
    pub line_total: Option<Number>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Named {
    pub guid: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProductName {
    pub product_code: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CurrencyName {
    pub currency_code: Option<String>,
}

impl SalesOrder {
    /// None: it lacks what has to be known, or is in another currency.
    pub fn seen(&self, currency: Currency) -> Option<Seen> {
        let code = self.currency.as_ref().and_then(|currency| currency.currency_code.as_deref());
        if code.is_some_and(|code| code != currency.as_str()) {
            return None;
        }
        let line = |line: &OrderLine| {
            Some(SeenLine {
                guid: line.guid.as_ref().map(|guid| guid.to_ascii_lowercase()),
                code: line.product.as_ref().and_then(|product| product.product_code.clone()).unwrap_or_default(),
                // No fraction is ours.
                quantity: line.order_quantity.as_ref()?.whole().unwrap_or_default(),
                net_minor: line.line_total.as_ref()?.minor(currency).unwrap_or(i64::MIN),
            })
        };
        Some(Seen {
            status: Standing::parse(self.order_status.as_deref()?),
            total_minor: self.total.as_ref()?.minor(currency)?,
            customer_id: self.customer.as_ref().and_then(|customer| customer.guid.clone()),
            modified_at: self.last_modified_on.map(|at| at.0),
            lines: self.sales_order_lines.iter().map(line).collect::<Option<_>>()?,
        })
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreditNote {
    pub guid: Option<String>,
    pub credit_number: Option<String>,
    pub status: Option<String>,
    pub reference: Option<String>,
    pub customer: Option<Named>,
    pub total: Option<Number>,
}

impl CreditNote {
    /// Assumed: a state that is not told is parked.
    pub fn standing(&self) -> Standing {
        self.status.as_deref().map_or(Standing::Parked, Standing::parse)
    }
}

/// What a customer is recognised by. `Debug` shows none of it.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Customer {
    pub guid: Option<String>,
    pub customer_code: Option<String>,
    pub customer_name: Option<String>,
    pub email: Option<String>,
    pub last_modified_on: Option<Moment>,
    #[serde(deserialize_with = "or_nothing")]
    pub obsolete: bool,
    #[serde(deserialize_with = "or_nothing")]
    pub stop_credit: bool,
}

impl fmt::Debug for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Customer").field("guid", &self.guid).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Product {
    pub guid: Option<String>,
    pub product_code: Option<String>,
    pub product_description: Option<String>,
    pub barcode: Option<String>,
    pub default_sell_price: Option<Number>,
    pub last_modified_on: Option<Moment>,
    #[serde(deserialize_with = "or_nothing")]
    pub obsolete: bool,
}

/// Of a product, in all warehouses together.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Stock {
    pub product_code: Option<String>,
    pub qty_on_hand: Option<Number>,
    pub allocated_qty: Option<Number>,
    pub last_modified_on: Option<Moment>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Warehouse {
    pub warehouse_code: Option<String>,
    #[serde(deserialize_with = "or_nothing")]
    pub obsolete: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaxRate {
    pub tax_code: Option<String>,
    pub tax_rate: Option<Number>,
    #[serde(deserialize_with = "or_nothing")]
    pub obsolete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_whatever_else_and_however_little_stands_in_it() {
        let order: SalesOrder = serde_json::from_str(
            r#"{"Guid":null,"OrderStatus":"Waiting","Total":23.2900,"BCTotal":1,"SalesOrderLines":null,"LastModifiedOn":null}"#,
        )
        .unwrap();

        let gbp = Currency::parse("GBP").unwrap();
        let seen = order.seen(gbp).unwrap();
        assert_eq!((seen.status, seen.total_minor, seen.lines), (Standing::Custom, 2329, Vec::new()));
        assert_eq!(SalesOrder::default().seen(gbp), None);
    }
}
