//! Foreign JSON, read with tolerance: numbers as they were written, dates in the forms that are about, `null` for nothing.
//!
//! Amounts stay decimal text until their currency is known; no float touches them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::{
    decimal::decimal,
    money::{Currency, Money},
};

/// A number of major units, of per cent or of things, as it was written; some also write it as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// Of major units, in minor ones; none for what they cannot say exactly.
    pub fn minor(&self, currency: Currency) -> Option<i64> {
        Money::from_decimal(&self.0, currency).map(|money| money.amount)
    }

    /// None: it has a fraction.
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

/// An instant or a day: `/Date(1760000000000)/`, with or without an offset, or ISO 8601, in UTC where no zone is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub DateTime<Utc>);

impl Moment {
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(inner) = text.strip_prefix("/Date(").and_then(|text| text.strip_suffix(")/")) {
            // The offset only says how the instant would be shown.
            let end =
                inner.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map_or(inner.len(), |(at, _)| at);
            return DateTime::from_timestamp_millis(inner[..end].parse().ok()?).map(Self);
        }
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(at.to_utc()));
        }
        let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN));
        let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").or_else(|_| day());
        at.ok().map(|at| Self(at.and_utc()))
    }

    /// Days travel as midnight.
    pub fn day(self) -> NaiveDate {
        self.0.date_naive()
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a date"))
    }
}

/// `null` is nothing: an empty list, false.
pub fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Option<i64> {
        serde_json::from_str::<Number>(text).ok()?.minor(Currency::parse("GBP").unwrap())
    }

    #[test]
    fn amounts_are_read_to_the_penny_or_not_at_all() {
        let cases = [
            ("23.29", Some(2329)),
            ("23.2", Some(2320)),
            ("23", Some(2300)),
            ("-0.01", Some(-1)),
            ("0.0000", Some(0)),
            ("\"46.00\"", Some(4600)),
            ("90071992547409.93", Some(9_007_199_254_740_993)), // no float has room for it
            ("23.295", None),
            ("\"\"", None),
            ("\"1,000.00\"", None),
            ("\"NaN\"", None),
            ("null", None),
        ];
        for (text, expected) in cases {
            assert_eq!(amount(text), expected, "{text}");
        }
    }

    #[test]
    fn dates_are_read_in_every_form() {
        let at: DateTime<Utc> = "2018-12-31T00:00:00Z".parse().unwrap();
        for text in [
            "/Date(1546214400000+0000)/",
            "/Date(1546214400000)/",
            "/Date(1546214400000-0800)/",
            "2018-12-31T00:00:00",
            "2018-12-31T00:00:00Z",
            "2018-12-31T00:00:00.0000000",
            "2018-12-31T01:00:00+01:00",
            "2018-12-31",
        ] {
            assert_eq!(Moment::parse(text), Some(Moment(at)), "{text}");
        }
        assert_eq!(Moment::parse("/Date(-86400000+0000)/").unwrap().day().to_string(), "1969-12-31");
        for text in ["", "/Date()/", "/Date(soon)/", "31/12/2018"] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn things_are_counted_in_whole_numbers() {
        let whole = |text| serde_json::from_str::<Number>(text).unwrap().whole();

        assert_eq!([whole("2.0"), whole("\"3\""), whole("2.5")], [Some(2), Some(3), None]);
    }
}
