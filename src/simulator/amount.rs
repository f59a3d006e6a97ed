//! Decimal numbers as they stand in a body, kept exactly, and how foreign books round them. No float is involved.

use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign, Neg, Sub, SubAssign},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

/// Hundredths of a currency's unit, whatever the currency: what every sum in foreign books is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Cents(pub i64);

/// Ten-thousandths of one: quantities, unit amounts, percentages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Fine(pub i64);

/// To how many places a unit amount is kept. Source: xero_accounting.yaml 16.1.0, parameter `unitdp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnitPlaces {
    Two,
    Four,
}

impl Cents {
    pub const ZERO: Self = Self(0);

    /// An amount in a currency's minor units. None where it has no whole hundredths, or is of an unknown currency.
    pub fn of_minor(minor: i64, currency: &str) -> Option<Self> {
        match currency {
            "GBP" | "EUR" | "USD" | "AUD" | "NZD" | "CAD" => Some(Self(minor)),
            "JPY" => minor.checked_mul(100).map(Self),
            "KWD" => (minor % 10 == 0).then_some(Self(minor / 10)),
            _ => None,
        }
    }
}

impl Fine {
    pub const ONE: Self = Self(10_000);

    /// None where there is more than hundredths.
    pub(super) fn cents(self) -> Option<Cents> {
        (self.0 % 100 == 0).then_some(Cents(self.0 / 100))
    }

    pub(super) fn rounded(self, places: UnitPlaces) -> Self {
        match places {
            UnitPlaces::Four => self,
            UnitPlaces::Two => Self(round(self.0.into(), 100) * 100),
        }
    }

    /// So many at so much.
    pub(super) fn times(self, unit: Self) -> Cents {
        Cents(round(i128::from(self.0) * i128::from(unit.0), 1_000_000))
    }
}

impl Cents {
    /// The tax at so many per cent on top of an amount without it.
    pub(super) fn tax_on_top(self, percent: Fine) -> Self {
        Self(round(i128::from(self.0) * i128::from(percent.0), 1_000_000))
    }

    /// The tax at so many per cent inside an amount that includes it.
    pub(super) fn tax_inside(self, percent: Fine) -> Self {
        Self(round(i128::from(self.0) * i128::from(percent.0), 1_000_000 + i128::from(percent.0)))
    }

    /// This much, divided among so many.
    pub(super) fn over(self, quantity: Fine, places: UnitPlaces) -> Option<Fine> {
        (quantity.0 != 0).then(|| Fine(round(i128::from(self.0) * 1_000_000, quantity.0.into())).rounded(places))
    }
}

/// The nearest whole number; halves go away from zero.
fn round(dividend: i128, divisor: i128) -> i64 {
    let (dividend, divisor) = if divisor < 0 { (-dividend, -divisor) } else { (dividend, divisor) };
    let half = if dividend < 0 { -(divisor / 2) } else { divisor / 2 };
    ((dividend + half) / divisor) as i64
}

impl<'de> Deserialize<'de> for Fine {
    /// Further places are rounded away; texts and exponents are refused.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        parse(raw.get()).ok_or_else(|| de::Error::custom(format!("{} is no plain decimal number", raw.get())))
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
    let value = round(scaled, 100_000_000);
    Some(Fine(if is_negative { -value } else { value }))
}

impl Serialize for Cents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_number(self.to_string()).serialize(serializer)
    }
}

impl Serialize for Fine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_number(self.to_string()).serialize(serializer)
    }
}

fn as_number(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("digits with a point are a number")
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100)
    }
}

impl fmt::Display for Fine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:04}", self.0.unsigned_abs() / 10_000, self.0.unsigned_abs() % 10_000)
    }
}

impl Add for Cents {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Cents {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Cents {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Cents {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Cents {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine(text: &str) -> Fine {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_number_is_read_and_written_to_the_digit() {
        for (text, value) in [("18.29", 182_900), ("-0.01", -100), ("2", 20_000), ("0.00005", 1), ("1.23456", 12_346)] {
            assert_eq!(fine(text), Fine(value), "{text}");
        }
        for text in ["\"18.29\"", "1e2", "1234567890123", "null"] {
            assert!(serde_json::from_str::<Fine>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Cents(-1805)).ok(), Some("-18.05".to_owned()));
        assert_eq!(serde_json::to_string(&Fine(-100)).ok(), Some("-0.0100".to_owned()));
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        assert_eq!(fine("10.945").rounded(UnitPlaces::Two), fine("10.95"));
        assert_eq!(fine("-10.945").rounded(UnitPlaces::Two), fine("-10.95"));
        assert_eq!(fine("10.945").rounded(UnitPlaces::Four), fine("10.945"));
        assert_eq!(fine("3").times(fine("0.335")), Cents(101));
        assert_eq!(Cents(1000).over(fine("3"), UnitPlaces::Two), Some(fine("3.33")));
        assert_eq!(Cents(1000).over(fine("0"), UnitPlaces::Two), None);
    }

    #[test]
    fn tax_is_found_inside_and_on_top() {
        let twenty = fine("20");

        assert_eq!(
            [Cents(2190), Cents(99), Cents(-300)].map(|all| all.tax_inside(twenty)).map(|tax| tax.0),
            [365, 17, -50]
        );
        assert_eq!([Cents(1825), Cents(2), Cents(3)].map(|net| net.tax_on_top(twenty)).map(|tax| tax.0), [365, 0, 1]);
    }

    #[test]
    fn minor_units_are_told_by_the_currency() {
        let of = |minor, currency| Cents::of_minor(minor, currency).map(|cents| cents.0);

        assert_eq!(
            [of(1205, "GBP"), of(1205, "JPY"), of(1200, "KWD"), of(1205, "KWD")],
            [Some(1205), Some(120_500), Some(120), None]
        );
    }
}
