//! Decimal numbers as they stand in a body, kept exactly to five places. No float is involved.
//!
//! Source: X-Series API 2.0 description, samples: prices and taxes without tax have five places.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

/// Hundred-thousandths of one: prices, taxes, quantities, rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Fine(pub i64);

/// Hundredths of the shop's currency: what a customer pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Pence(pub i64);

/// How many places a [`Fine`] has.
pub(super) const PLACES: u32 = 5;

impl Fine {
    pub const ZERO: Self = Self(0);
    pub const ONE: Self = Self(100_000);

    /// So many at so much.
    pub(super) fn times(self, unit: Self) -> Self {
        Self(round(i128::from(self.0) * i128::from(unit.0), Self::ONE.0.into()))
    }

    /// With at most so many places.
    pub(super) fn rounded(self, places: u32) -> Self {
        let step = 10_i64.pow(PLACES.saturating_sub(places));
        Self(round(self.0.into(), step.into()) * step)
    }

    pub(super) fn pence(self) -> Pence {
        Pence(round(self.0.into(), 1_000))
    }
}

impl Pence {
    pub const ZERO: Self = Self(0);
}

/// The nearest whole number; halves go away from zero.
fn round(dividend: i128, divisor: i128) -> i64 {
    let half = if dividend < 0 { -(divisor / 2) } else { divisor / 2 };
    ((dividend + half) / divisor) as i64
}

/// A number of a body, and whether it stood there as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub value: Fine,
    pub is_text: bool,
}

impl<'de> Deserialize<'de> for Number {
    /// Further places are rounded away; exponents are refused.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text: Option<String> = serde_json::from_str(raw.get()).ok();
        let is_text = text.is_some();
        let digits = text.as_deref().unwrap_or(raw.get());
        let value =
            parse(digits).ok_or_else(|| de::Error::custom(format!("{} is no plain decimal number", raw.get())))?;
        Ok(Self { value, is_text })
    }
}

fn parse(text: &str) -> Option<Fine> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || fraction.len() > 12 || !is_plain(whole) || !is_plain(fraction) {
        return None;
    }
    let scaled: i128 = format!("{whole}{fraction:0<12}").parse().ok()?;
    let value = round(scaled, 10_000_000);
    Some(Fine(if is_negative { -value } else { value }))
}

impl Serialize for Fine {
    /// A number without zeros behind its last place.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).expect("digits with a point are a number").serialize(serializer)
    }
}

impl Serialize for Pence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).expect("digits with a point are a number").serialize(serializer)
    }
}

impl fmt::Display for Fine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / 100_000, self.0.unsigned_abs() % 100_000);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{}", format!("{fraction:05}").trim_end_matches('0'))
    }
}

impl fmt::Display for Pence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100)
    }
}

macro_rules! sums {
    ($($name:ident),*) => {$(
        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }
        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
                amounts.fold(Self(0), Add::add)
            }
        }
    )*};
}
sums!(Fine, Pence);

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_number_is_read_to_five_places_as_text_or_not() {
        for (text, value) in [("9.12500", 912_500), ("-0.00001", -1), ("2", 200_000), ("0.000005", 1)] {
            assert_eq!(number(text), Number { value: Fine(value), is_text: false }, "{text}");
            assert_eq!(number(&format!("{text:?}")), Number { value: Fine(value), is_text: true }, "{text}");
        }
        for text in ["1e2", "\"\"", "\"1.2.3\"", "null", "1234567890123", "\" 1\""] {
            assert!(serde_json::from_str::<Number>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_is_written_without_needless_zeros() {
        let written = [912_500, -1, 200_000, 0, 10].map(|value| Fine(value).to_string());

        assert_eq!(written, ["9.125", "-0.00001", "2", "0", "0.0001"]);
        assert_eq!(serde_json::to_string(&Pence(-205)).ok(), Some("-2.05".to_owned()));
    }

    #[test]
    fn unit_price_and_unit_tax_of_an_inclusive_price_add_up_to_its_pence() {
        // 2.90 with 20 % tax inside, three times.
        let (price, tax, three) = (Fine(241_667), Fine(48_333), Fine(300_000));

        assert_eq!((three.times(price) + three.times(tax)).pence(), Pence(870));
        assert_eq!(Fine(241_667).rounded(2), Fine(242_000));
        assert_eq!(Fine(-500).pence(), Pence(-1), "halves go away from zero");
    }
}
