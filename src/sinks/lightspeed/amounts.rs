//! Amounts as a sale has them: a unit price without tax and the tax beside it, at five places each, which together are the
//! price with tax to the penny. Whole numbers only.
//!
//! Source: Lightspeed, "2026-07 Sales API": `pricing.price` and `tax.amount` are of one unit, without tax. Source: its samples
//! carry five places.

use crate::domain::{
    decimal::{Decimal, decimal},
    money::Currency,
};

/// Decimals of a unit price and of its tax.
pub const PLACES: u32 = 5;

/// Decimals that a rate may have.
const FINEST: u32 = 9;

/// A tax rate as a fraction: 0.2 is a fifth. Never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    coefficient: i128,
    /// A power of ten.
    whole: i128,
}

impl Rate {
    /// Of what is not taxed.
    pub fn none() -> Self {
        Self { coefficient: 0, whole: 10_i128.pow(FINEST) }
    }

    /// The sum of rates, each as decimal text. None: one of them cannot be read, or is negative, or has too many digits.
    ///
    /// Source: Lightspeed X-Series API 2.0, `TaxRate`: 0.1 is ten per cent.
    pub fn sum<'r>(rates: impl Iterator<Item = &'r str>) -> Option<Self> {
        let mut coefficient = 0_i128;
        for rate in rates {
            let Decimal { coefficient: part, scale } = decimal(rate).ok()?;
            let missing = FINEST.checked_sub(scale).filter(|_| part >= 0)?;
            coefficient += i128::from(part) * 10_i128.pow(missing);
        }
        let whole = 10_i128.pow(FINEST);
        (coefficient <= 10 * whole).then_some(Self { coefficient, whole })
    }
}

/// What one unit costs, in hundred-thousandths of the major unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    pub price: i128,
    pub tax: i128,
}

impl Unit {
    /// A unit price that includes tax, in minor units, taken apart. None: the currency is finer than that.
    pub fn of(minor: i64, currency: Currency, rate: Rate) -> Option<Self> {
        let finer = PLACES.checked_sub(currency.exponent())?;
        let gross = i128::from(minor) * 10_i128.pow(finer);
        let (part, over) = (gross.abs() * rate.whole, rate.whole + rate.coefficient);
        let price = gross.signum() * ((2 * part + over) / (2 * over));
        Some(Self { price, tax: gross - price })
    }
}

/// Decimal text with all its places, as `9.12500`.
pub fn written(hundred_thousandths: i128) -> String {
    let one = 10_u128.pow(PLACES);
    let sign = if hundred_thousandths < 0 { "-" } else { "" };
    let magnitude = hundred_thousandths.unsigned_abs();
    format!("{sign}{}.{:05}", magnitude / one, magnitude % one)
}

/// Decimal text as hundred-thousandths. What lies beyond is rounded, half away from zero. None: it is no number.
pub fn read(text: &str) -> Option<i128> {
    let Decimal { coefficient, scale } = decimal(text).ok()?;
    let coefficient = i128::from(coefficient);
    if let Some(missing) = PLACES.checked_sub(scale) {
        return Some(coefficient * 10_i128.pow(missing));
    }
    let over = 10_i128.checked_pow(scale - PLACES)?;
    Some(coefficient.signum() * ((2 * coefficient.abs() + over) / (2 * over)))
}

/// Hundred-thousandths in minor units, rounded half away from zero: a shop may keep tax to more places than its money has.
pub fn minor(hundred_thousandths: i128, currency: Currency) -> Option<i64> {
    let over = 10_i128.pow(PLACES.checked_sub(currency.exponent())?);
    let rounded = (2 * hundred_thousandths.abs() + over) / (2 * over);
    i64::try_from(hundred_thousandths.signum() * rounded).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::sale::split;

    fn gbp() -> Currency {
        Currency::parse("GBP").unwrap()
    }

    fn taken_apart(minor: i64, rate: &str) -> (String, String) {
        let unit = Unit::of(minor, gbp(), Rate::sum([rate].into_iter()).unwrap()).unwrap();
        (written(unit.price), written(unit.tax))
    }

    fn text(price: &str, tax: &str) -> (String, String) {
        (price.to_owned(), tax.to_owned())
    }

    #[test]
    fn a_price_is_taken_apart_at_five_places() {
        assert_eq!(taken_apart(1095, "0.2"), text("9.12500", "1.82500"));
        assert_eq!(taken_apart(290, "0.20000"), text("2.41667", "0.48333"));
        assert_eq!(taken_apart(-200, "0.2"), text("-1.66667", "-0.33333"));
        assert_eq!(taken_apart(2, "0"), text("0.02000", "0.00000"));
    }

    #[test]
    fn rates_of_a_tax_are_added_up() {
        let rate = |rates: &[&str]| Rate::sum(rates.iter().copied());

        assert_eq!(rate(&["0.05", "0.09975"]), rate(&["0.14975"]));
        assert_eq!(rate(&[]), rate(&["0"]));
        assert_eq!(rate(&["-0.1"]), None);
        assert_eq!(rate(&["a fifth"]), None);
        assert_eq!(rate(&["0.1234567891"]), None);
    }

    #[test]
    fn totals_are_read_whatever_their_places() {
        assert_eq!(read("19.40833"), Some(1_940_833));
        assert_eq!(read("23.29"), Some(2_329_000));
        assert_eq!(read("-0.000005"), Some(-1));
        assert_eq!(minor(1_940_833 + 388_167, gbp()), Some(2329));
        assert_eq!(minor(-2_328_500, gbp()), Some(-2329));
        assert_eq!(minor(150_000_000, Currency::parse("JPY").unwrap()), Some(1500));
    }

    proptest! {
        #[test]
        fn any_basket_at_any_rate_comes_to_the_exact_penny(
            lines in prop::collection::vec((-1_000_000..1_000_000_i64, 1..200_i64), 1..40),
            rate in 0..100_000_u32,
        ) {
            let rate = Rate::sum([format!("0.{rate:05}").as_str()].into_iter()).unwrap();
            let (mut posted, mut wanted) = (0, 0);
            for (gross, quantity) in lines {
                wanted += i128::from(gross);
                for (quantity, unit) in split(gross, quantity) {
                    let unit = Unit::of(unit, gbp(), rate).unwrap();
                    let price = read(&written(unit.price)).unwrap() + read(&written(unit.tax)).unwrap();
                    prop_assert!(unit.tax.signum() * unit.price.signum() >= 0, "a tax has the sign of its price");
                    posted += i128::from(quantity) * price;
                }
            }

            prop_assert_eq!(posted, wanted * 1000);
        }
    }
}
