//! `catalogue` of the sinks that know products and customers: how often what was changed there is asked for, and what is
//! looked at again.

use std::{fmt, time::Duration};

use chrono::NaiveTime;
use chrono_tz::Tz;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{
    duration::{self, RawDuration},
    field::{Field, Parse, Table, Wrong, brief},
    problems::Section,
};
use crate::domain::catalogue::{Costs, Kind};

const SHORTEST: Duration = Duration::from_secs(1);
/// More often than this earns a warning.
const OFTEN: Duration = Duration::from_mins(1);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawCatalogue {
    /// How often products, stock and customers are asked for what was changed, give or take a tenth.
    pull_interval: Field<RawDuration>,
    /// Most pages in one pull; the rest waits for the next.
    #[schemars(range(min = 1, max = 1000))]
    pull_pages: Field<u32>,
    /// Records on a page.
    page_size: Field<u32>,
    /// An alarm is raised when the newest finished pull is older.
    freshness: Field<RawDuration>,
    /// So many of the longest unchecked linked products are looked at in a sweep.
    #[schemars(range(min = 1, max = 1000))]
    sweep_items: Field<u32>,
    /// How often products are swept.
    sweep_interval: Field<RawDuration>,
    /// A link breaks after so many looks that found nothing.
    #[schemars(range(min = 1, max = 100))]
    strikes: Field<u32>,
    /// Shortest time between two looks that both count.
    strike_interval: Field<RawDuration>,
    /// As `sweep_items`, of linked customers.
    #[schemars(range(min = 1, max = 1000))]
    customer_sweep_items: Field<u32>,
    /// How often customers are swept.
    customer_sweep_interval: Field<RawDuration>,
    /// So many of the longest unchecked orders are read back in a sweep.
    #[schemars(range(min = 1, max = 1000))]
    document_sweep_items: Field<u32>,
    /// How often posted orders are read back.
    document_sweep_interval: Field<RawDuration>,
    /// Orders that are older are not read back.
    #[schemars(range(min = 1, max = 3650))]
    document_days: Field<u32>,
    /// An alert is raised where a full round of the sweep takes longer, in days.
    #[schemars(range(min = 1, max = 3650))]
    horizon_days: Field<u32>,
    /// Share of swept products that changed unannounced in a day at which the feed of changes is suspect, in per cent.
    #[schemars(range(min = 1, max = 100))]
    drift_percent: Field<u32>,
    /// Time of the day without sweeps, where the vendor is.
    quiet_hours: Field<QuietHours>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogueSettings {
    #[serde(serialize_with = "duration::serialize")]
    pub pull_interval: Duration,
    /// 1 or more.
    pub pull_pages: u32,
    /// 1 or more.
    pub page_size: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub freshness: Duration,
    pub sweep_items: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub sweep_interval: Duration,
    /// 1 or more.
    pub strikes: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub strike_interval: Duration,
    pub customer_sweep_items: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub customer_sweep_interval: Duration,
    pub document_sweep_items: u32,
    #[serde(serialize_with = "duration::serialize")]
    pub document_sweep_interval: Duration,
    pub document_days: u32,
    pub horizon_days: u32,
    /// 1 to 100.
    pub drift_percent: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
}

/// A sink's catalogue, as far as its settings tell.
#[derive(Debug, Clone)]
pub struct Kept<'s> {
    pub settings: &'s CatalogueSettings,
    /// Of the vendor.
    pub time_zone: Tz,
    /// Whose changes are asked for.
    pub kinds: Vec<Kind>,
    pub costs: Costs,
}

impl CatalogueSettings {
    /// Those of a destination whose pages hold so many records.
    pub fn of_pages(page_size: u32) -> Self {
        Self {
            pull_interval: Duration::from_hours(1),
            pull_pages: 5,
            page_size,
            freshness: Duration::from_hours(2),
            sweep_items: 10,
            sweep_interval: Duration::from_mins(288),
            strikes: 3,
            strike_interval: Duration::from_hours(24),
            customer_sweep_items: 5,
            customer_sweep_interval: Duration::from_hours(24),
            document_sweep_items: 20,
            document_sweep_interval: Duration::from_hours(24),
            document_days: 35,
            horizon_days: 60,
            drift_percent: 20,
            quiet_hours: None,
        }
    }

    /// `page_size` is the destination's usual one and its largest.
    pub fn validate(field: Field<Table<RawCatalogue>>, page_size: u32, section: &mut Section<'_>) -> Self {
        section.table("catalogue", field, |raw: RawCatalogue, section| raw.validate(page_size, section))
    }
}

impl RawCatalogue {
    fn validate(self, page_size: u32, section: &mut Section<'_>) -> CatalogueSettings {
        let default = CatalogueSettings::of_pages(page_size);
        let mut interval = |key, field, default| {
            let interval = section.duration(key, field, SHORTEST).unwrap_or(default);
            if interval < OFTEN {
                section.warn(
                    key,
                    format!(
                        "{} is often: each round costs calls of the destination's budget",
                        duration::shown(interval)
                    ),
                    "use 1m or more, unless the budget is known to last (`budget SINK` says for how long)",
                );
            }
            interval
        };
        let pull_interval = interval("pull_interval", self.pull_interval, default.pull_interval);
        let sweep_interval = interval("sweep_interval", self.sweep_interval, default.sweep_interval);
        let customer_sweep_interval =
            interval("customer_sweep_interval", self.customer_sweep_interval, default.customer_sweep_interval);
        let document_sweep_interval =
            interval("document_sweep_interval", self.document_sweep_interval, default.document_sweep_interval);
        let freshness = section.duration("freshness", self.freshness, SHORTEST).unwrap_or(default.freshness);
        if freshness < pull_interval && section.none_about(&["freshness", "pull_interval"]) {
            section.problem(
                "freshness",
                format!(
                    "is {}, shorter than `{}` ({}): the alarm would never end",
                    duration::shown(freshness),
                    section.key("pull_interval"),
                    duration::shown(pull_interval)
                ),
                "use twice `pull_interval`",
            );
        }
        let mut number = |key, field, most, default| section.number(key, field, 1..=most).unwrap_or(default);
        CatalogueSettings {
            pull_interval,
            sweep_interval,
            customer_sweep_interval,
            document_sweep_interval,
            freshness,
            pull_pages: number("pull_pages", self.pull_pages, 1_000, default.pull_pages),
            page_size: number("page_size", self.page_size, page_size, default.page_size),
            sweep_items: number("sweep_items", self.sweep_items, 1_000, default.sweep_items),
            strikes: number("strikes", self.strikes, 100, default.strikes),
            customer_sweep_items: number(
                "customer_sweep_items",
                self.customer_sweep_items,
                1_000,
                default.customer_sweep_items,
            ),
            document_sweep_items: number(
                "document_sweep_items",
                self.document_sweep_items,
                1_000,
                default.document_sweep_items,
            ),
            document_days: number("document_days", self.document_days, 3_650, default.document_days),
            horizon_days: number("horizon_days", self.horizon_days, 3_650, default.horizon_days),
            drift_percent: number("drift_percent", self.drift_percent, 100, default.drift_percent),
            strike_interval: section
                .duration("strike_interval", self.strike_interval, SHORTEST)
                .unwrap_or(default.strike_interval),
            quiet_hours: section.take("quiet_hours", self.quiet_hours),
        }
    }
}

/// Part of each day, as `"17:30-22:00"`; it may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    pub from: NaiveTime,
    /// Not included.
    pub to: NaiveTime,
}

impl QuietHours {
    pub fn holds(self, time: NaiveTime) -> bool {
        if self.from <= self.to { (self.from..self.to).contains(&time) } else { time >= self.from || time < self.to }
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

impl Serialize for QuietHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Parse for QuietHours {
    fn parse(value: Value) -> Result<Self, Wrong> {
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let hours = value.as_str().and_then(|text| text.split_once('-'));
        let hours = hours.and_then(|(from, to)| Some(Self { from: time(from)?, to: time(to)? }));
        match hours {
            Some(hours) if hours.from != hours.to => Ok(hours),
            _ => Err(Wrong::new(
                format!("{} is no part of a day", brief(&value)),
                "write two times of the day, as \"17:30-22:00\"",
            )),
        }
    }
}

impl JsonSchema for QuietHours {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "QuietHours".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "title": "hours of the day", "type": "string", "pattern": "^\\d\\d:\\d\\d-\\d\\d:\\d\\d$" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> NaiveTime {
        NaiveTime::parse_from_str(text, "%H:%M").unwrap()
    }

    #[test]
    fn quiet_hours_may_go_over_midnight() {
        let evening = QuietHours::parse(json!("17:30-22:00")).unwrap();
        let night = QuietHours::parse(json!("22:00-06:00")).unwrap();

        assert_eq!(
            ["17:29", "17:30", "21:59", "22:00"].map(|time| evening.holds(at(time))),
            [false, true, true, false]
        );
        assert_eq!(["21:59", "22:00", "05:59", "06:00"].map(|time| night.holds(at(time))), [false, true, true, false]);
        assert_eq!(night.to_string(), "22:00-06:00");
    }

    #[test]
    fn what_is_no_part_of_a_day_is_refused() {
        for wrong in ["17:30", "25:00-26:00", "10:00-10:00", ""] {
            assert!(QuietHours::parse(json!(wrong)).is_err(), "{wrong}");
        }
    }
}
