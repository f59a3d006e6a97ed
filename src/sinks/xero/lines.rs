//! Amounts as Xero's line items have them: a quantity times a unit amount of two decimals, that come to the penny.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::receipt::{Line, TrackingOption};
use crate::domain::{
    money::{Currency, Money},
    sale::split,
};

/// Source: Xero Accounting API, LineItem: `Description` has at least one character. Assumed: and at most so many.
const LONGEST_DESCRIPTION: usize = 4000;

/// An amount in major units, as a JSON number that never was a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub Money);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.0.to_decimal()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

/// One element of `LineItems`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LineItem<'a> {
    pub description: String,
    pub quantity: i64,
    pub unit_amount: Amount,
    pub account_code: &'a str,
    pub tax_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_amount: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tracking: Vec<TrackingItem<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrackingItem<'a> {
    name: &'a str,
    option: &'a str,
}

impl<'a> TrackingItem<'a> {
    pub fn of(tracked: &'a TrackingOption) -> Self {
        Self { name: &tracked.name, option: &tracked.option }
    }
}

/// Tells the tax inside an amount, in minor units; none: Xero computes it.
pub type TaxOf<'f> = &'f dyn Fn(&Line, i64) -> Option<i64>;

/// A document's lines with the document's own sign: 1 for an invoice, -1 for a credit note.
pub fn line_items<'a>(
    lines: &'a [Line],
    sign: i64,
    currency: Currency,
    tracking: &'a [TrackingOption],
    tax_of: TaxOf<'_>,
) -> Vec<LineItem<'a>> {
    let mut items = Vec::new();
    for line in lines {
        let tracking = if line.tracking.is_empty() { tracking } else { &line.tracking };
        for (quantity, unit) in split(sign * line.gross_minor, line.quantity) {
            let tax = tax_of(line, quantity * unit).map(|minor| Amount(Money::new(minor, currency)));
            items.push(LineItem {
                description: line.description.chars().take(LONGEST_DESCRIPTION).collect(),
                quantity,
                unit_amount: Amount(Money::new(unit, currency)),
                account_code: &line.account,
                tax_type: &line.tax_type,
                tax_amount: tax,
                item_code: line.item_code.as_deref(),
                tracking: tracking.iter().map(TrackingItem::of).collect(),
            });
        }
    }
    items
}

/// The tax inside an amount that includes it, at a rate in per cent as decimal text; halves are rounded away from zero.
/// None: the rate cannot be read.
pub fn tax_inside(gross: i64, rate: &str) -> Option<i64> {
    let rate = crate::domain::decimal::decimal(rate).ok()?;
    let hundred = 100 * 10_i128.checked_pow(rate.scale)?;
    let part = i128::from(rate.coefficient);
    let whole = hundred + part;
    if part < 0 || whole <= 0 {
        return None;
    }
    let twice = 2 * i128::from(gross).abs() * part;
    let rounded = (twice + whole) / (2 * whole);
    i64::try_from(rounded).ok().map(|tax| gross.signum() * tax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tax_inside_is_rounded_half_away_from_zero() {
        assert_eq!(tax_inside(1200, "20.0000"), Some(200));
        assert_eq!(tax_inside(-1200, "20"), Some(-200));
        assert_eq!(tax_inside(3, "20"), Some(1));
        assert_eq!(tax_inside(2190, "0"), Some(0));
        assert_eq!(tax_inside(10500, "5.00"), Some(500));
        assert_eq!(tax_inside(100, "a fifth"), None);
    }

    #[test]
    fn amounts_are_written_as_decimals_and_not_as_floats() {
        let amount = |currency, minor| {
            serde_json::to_string(&Amount(Money::new(minor, Currency::parse(currency).unwrap()))).unwrap()
        };

        assert_eq!(amount("GBP", 500), "5.00");
        assert_eq!(amount("GBP", -1), "-0.01");
        assert_eq!(amount("GBP", 9_007_199_254_740_993), "90071992547409.93");
        assert_eq!(amount("JPY", 1500), "1500");
    }
}
