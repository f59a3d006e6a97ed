//! Amounts as Unleashed's lines have them: a quantity times a price before tax, and the tax. Whole minor units throughout, so
//! that net and tax of any lines add up to what they are with tax.
//!
//! Source: the contract of this sink, "Amounts". Unit prices have four decimals.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, value::RawValue};

use crate::{
    config::field::{Parse, Wrong},
    domain::{
        decimal::decimal,
        money::{Currency, Money},
    },
};

/// Decimals of a unit price.
const PRICE_DECIMALS: u32 = 4;
/// Decimals of a price that are always written.
const LEAST_DECIMALS: usize = 2;
/// Most decimals of a rate.
const RATE_DECIMALS: u32 = 6;

/// A tax as a fraction of what is taxed: at least 0, less than 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    coefficient: i64,
    scale: u32,
}

impl Rate {
    /// Of decimal text, as `0.2`.
    pub fn of(text: &str) -> Option<Self> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = decimal(text).ok().filter(|_| is_number && text.starts_with(|c: char| c.is_ascii_digit()))?;
        let is_fraction = number.scale <= RATE_DECIMALS && number.coefficient < 10_i64.pow(number.scale.min(18));
        is_fraction.then_some(Self { coefficient: number.coefficient, scale: number.scale })
    }

    /// What of an amount is not tax, in the same minor units; halves are rounded away from zero.
    pub fn net(self, gross: i64) -> i64 {
        let one = 10_i128.pow(self.scale);
        let whole = one + i128::from(self.coefficient);
        let magnitude = (2 * i128::from(gross).abs() * one + whole) / (2 * whole);
        // No more than `gross` is.
        (i128::from(gross.signum()) * magnitude) as i64
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text_of(self.coefficient, self.scale, 0))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::of(&text).ok_or_else(|| serde::de::Error::custom("not a rate"))
    }
}

impl Parse for Rate {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let text = String::parse(value)?;
        let wrong = || Wrong::new(format!("{text:?} is not a rate"), "write a fraction, as \"0.2\" for 20 per cent");
        Self::of(&text).ok_or_else(wrong)
    }
}

impl JsonSchema for Rate {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TaxFraction".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^0(\\.[0-9]{1,6})?$", "examples": ["0.2"] })
    }
}

/// A JSON number that never was a float.
#[derive(Debug, Clone)]
pub struct Number(Box<RawValue>);

impl Number {
    pub fn minor(minor: i64, currency: Currency) -> Self {
        Self::of(Money::new(minor, currency).to_decimal())
    }

    pub fn rate(rate: Rate) -> Self {
        Self::of(rate.to_string())
    }

    fn of(text: String) -> Self {
        Self(RawValue::from_string(text).expect("decimals are JSON"))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// `coefficient / 10^scale` without needless zeros, but for so many decimals.
fn text_of(coefficient: i64, scale: u32, least: usize) -> String {
    let digits = format!("{:0>width$}", coefficient.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let mut fraction = fraction.trim_end_matches('0').to_owned();
    while fraction.len() < least {
        fraction.push('0');
    }
    let sign = if coefficient < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A line as it goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// 1 or more.
    pub quantity: i64,
    /// Before tax, in ten-thousandths of a major unit. Quantity times price is `net`, exactly.
    pub price: i64,
    /// In minor units.
    pub net: i64,
    pub tax: i64,
}

impl Part {
    pub fn price(&self) -> Number {
        Number::of(text_of(self.price, PRICE_DECIMALS, LEAST_DECIMALS))
    }
}

/// An amount with tax as lines: one where the price comes out even at four decimals, else two whose prices differ by a minor
/// unit. A quantity below 1 counts as 1. Currencies of more than four decimals have no business here.
pub fn parts(gross: i64, quantity: i64, rate: Rate, currency: Currency) -> Vec<Part> {
    let quantity = quantity.max(1);
    let net = rate.net(gross);
    let tax = gross - net;
    let finer = 10_i64.pow(PRICE_DECIMALS.saturating_sub(currency.exponent()));
    let even = i128::from(net) * i128::from(finer);
    if even % i128::from(quantity) == 0 {
        return vec![Part { quantity, price: (even / i128::from(quantity)) as i64, net, tax }];
    }
    let (unit, rest) = (net.abs() / quantity, net.abs() % quantity);
    let of = |quantity: i64, unit: i64| {
        let unit = net.signum() * unit;
        Part { quantity, price: unit * finer, net: quantity * unit, tax: 0 }
    };
    let (mut first, mut second) = (of(quantity - rest, unit), of(rest, unit + 1));
    first.tax = (i128::from(tax) * i128::from(first.net) / i128::from(net)) as i64;
    second.tax = tax - first.tax;
    vec![first, second]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gbp() -> Currency {
        Currency::parse("GBP").unwrap()
    }

    fn rate(text: &str) -> Rate {
        Rate::of(text).unwrap()
    }

    #[test]
    fn the_net_amount_is_rounded_half_away_from_zero() {
        let fifth = rate("0.2");
        assert_eq!([1748, 232, 99, 250].map(|gross| fifth.net(gross)), [1457, 193, 83, 208]);
        assert_eq!(fifth.net(-99), -83);
        assert_eq!(rate("0").net(99), 99);
        // 3 / 1.2 is two and a half.
        assert_eq!(fifth.net(3), 3);
    }

    #[test]
    fn a_rate_is_a_fraction_below_one() {
        assert_eq!(rate("0.20").to_string(), "0.2");
        assert_eq!(rate("0.085").to_string(), "0.085");
        assert_eq!(rate("0").to_string(), "0");
        for text in ["20", "1", "-0.2", "0.2%", "", ".2", "a fifth", "0.1234567", "1e-1"] {
            assert_eq!(Rate::of(text), None, "{text}");
        }
    }

    #[test]
    fn a_price_that_comes_out_even_keeps_one_line_and_another_becomes_two() {
        let prices = |gross, quantity, of| {
            let parts = parts(gross, quantity, rate(of), gbp());
            let price = |part: &Part| (part.quantity, serde_json::to_string(&part.price()).unwrap());
            parts.iter().map(price).collect::<Vec<_>>()
        };

        assert_eq!(prices(1748, 2, "0.2"), [(2, "7.285".to_owned())]);
        assert_eq!(prices(232, 1, "0.2"), [(1, "1.93".to_owned())]);
        assert_eq!(prices(1000, 3, "0"), [(2, "3.33".to_owned()), (1, "3.34".to_owned())]);
        assert_eq!(prices(0, 3, "0.2"), [(3, "0.00".to_owned())]);
        assert_eq!(prices(-300, 1, "0.2"), [(1, "-2.50".to_owned())]);
    }

    proptest! {
        #[test]
        fn net_and_tax_of_any_basket_at_any_rate_are_its_amounts_to_the_penny(
            basket in prop::collection::vec((-1_000_000..1_000_000_i64, 1..300_i64), 0..20),
            permille in 0..1_000_u32,
        ) {
            let rate = Rate::of(&format!("0.{permille:03}")).unwrap();

            let parts: Vec<Part> =
                basket.iter().flat_map(|(gross, quantity)| parts(*gross, *quantity, rate, gbp())).collect();

            let sum = |of: fn(&Part) -> i64| parts.iter().map(of).sum::<i64>();
            prop_assert_eq!(sum(|part| part.net) + sum(|part| part.tax), basket.iter().map(|(gross, _)| gross).sum::<i64>());
            prop_assert_eq!(sum(|part| part.quantity), basket.iter().map(|(_, quantity)| quantity).sum::<i64>());
            for part in parts {
                // At four decimals, to the last of them.
                prop_assert_eq!(part.price * part.quantity, part.net * 100);
                prop_assert!(part.quantity > 0);
                prop_assert!(part.tax.signum() * part.net.signum() >= 0);
            }
        }
    }
}
