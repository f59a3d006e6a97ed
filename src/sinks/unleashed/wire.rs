//! Unleashed's JSON as it comes back.
//!
//! Only what is looked at, and tolerant: unknown fields, `null`, dates in either form. Amounts stay decimal text until the
//! currency is known; no float touches them. Of a customer nothing is kept but what it is recognised by.
//!
//! Observed: the sample answers of public clients. Assumed: `Warehouses`, `Taxes` and `Currencies` are listed as the other
//! resources are; where they are not, nothing is said of them.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::receipt::{Seen, SeenLine, Standing};
use crate::domain::{
    decimal::decimal,
    money::{Currency, Money},
};

/// A number as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// Of major units, in minor ones; none for what they cannot say exactly.
    pub fn minor(&self, currency: Currency) -> Option<i64> {
        Money::from_decimal(&self.0, currency).map(|money| money.amount)
    }

    pub fn whole(&self) -> Option<i64> {
        decimal(&self.0).ok().filter(|number| number.scale == 0).map(|number| number.coefficient)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get().trim_matches('"').trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) {
            return Err(serde::de::Error::custom("not a number"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// An instant, as `/Date(1760000000000)/` or ISO 8601, in UTC where no zone is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub DateTime<Utc>);

impl Moment {
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(inner) = text.strip_prefix("/Date(").and_then(|text| text.strip_suffix(")/")) {
            return DateTime::from_timestamp_millis(inner.parse().ok()?).map(Self);
        }
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(at.to_utc()));
        }
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(chrono::NaiveTime::MIN));
        let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").or_else(|_| day());
        at.ok().map(|at| Self(at.and_utc()))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a date"))
    }
}

/// `null` is nothing.
fn lax<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// One page of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Page<T> {
    #[serde(default, deserialize_with = "lax")]
    pub pagination: Pagination,
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pagination {
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
    #[serde(deserialize_with = "lax")]
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
    pub email: Option<String>,
    #[serde(deserialize_with = "lax")]
    pub obsolete: bool,
    #[serde(deserialize_with = "lax")]
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
    #[serde(deserialize_with = "lax")]
    pub obsolete: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Warehouse {
    pub warehouse_code: Option<String>,
    #[serde(deserialize_with = "lax")]
    pub obsolete: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaxRate {
    pub tax_code: Option<String>,
    pub tax_rate: Option<Number>,
    #[serde(deserialize_with = "lax")]
    pub obsolete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_in_two_forms() {
        let at = "2025-10-09T08:53:20Z".parse().unwrap();
        for text in ["/Date(1760000000000)/", "2025-10-09T08:53:20", "2025-10-09T08:53:20.000Z"] {
            assert_eq!(Moment::parse(text), Some(Moment(at)), "{text}");
        }
        assert_eq!(Moment::parse("yesterday"), None);
    }

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
