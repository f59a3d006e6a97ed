//! How a ship time is written: always date, time and offset.
//!
//! A date alone would count as midnight, which is before the purchase where both are on one day. What a time without an
//! offset means there is not documented, so none can be configured.
//! Source: GoDataFeed help, "Order Sync Destination: GoDataFeed API", for date and time. Assumed: the form.

use chrono::{DateTime, FixedOffset, NaiveDateTime, SubsecRound, Utc, format::Item, format::StrftimeItems};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::config::field::Wrong;

const UTC_ZONE: &str = "UTC";
const FORMAT: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Writes ship times, whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipTime {
    zone: Option<FixedOffset>,
    format: String,
}

impl ShipTime {
    /// Either left out: UTC with a `Z`. The error comes with the key it is about.
    pub fn new(zone: Option<&str>, format: Option<&str>) -> Result<Self, (&'static str, Wrong)> {
        let zone = match zone {
            None | Some(UTC_ZONE) => None,
            Some(text) => {
                let Ok(offset) = text.parse::<FixedOffset>() else {
                    let wrong = Wrong::new(format!("{text:?} is not an offset"), "write \"UTC\" or as \"+01:00\"");
                    return Err(("ship_time_zone", wrong));
                };
                Some(offset)
            }
        };
        let format = format.unwrap_or(if zone.is_some() { "%Y-%m-%dT%H:%M:%S%:z" } else { FORMAT }).to_owned();
        let ship_time = Self { zone, format };
        if ship_time.is_exact() {
            return Ok(ship_time);
        }
        let suggestion = "write date, time to the second and offset, as \"%Y-%m-%dT%H:%M:%S%:z\"; a final Z stands for \
                          the offset of UTC only";
        Err(("ship_time_format", Wrong::new("does not name one instant", suggestion)))
    }

    pub fn write(&self, at: DateTime<Utc>) -> String {
        let at = at.trunc_subsecs(0);
        match self.zone {
            Some(zone) => at.with_timezone(&zone).format(&self.format).to_string(),
            None => at.format(&self.format).to_string(),
        }
    }

    /// Whether what is written can be read back as the same instant.
    fn is_exact(&self) -> bool {
        if StrftimeItems::new(&self.format).any(|item| matches!(item, Item::Error)) {
            return false;
        }
        let samples = ["2026-03-14T18:44:07Z", "2026-12-01T03:04:59Z"];
        samples.iter().filter_map(|text| text.parse::<DateTime<Utc>>().ok()).all(|sample| {
            let written = self.write(sample);
            let of_utc = || {
                let is_utc = self.zone.is_none() && self.format.ends_with('Z');
                is_utc.then(|| NaiveDateTime::parse_from_str(&written, &self.format).ok()).flatten()
            };
            match DateTime::parse_from_str(&written, &self.format) {
                Ok(read) => read == sample,
                Err(_) => of_utc().is_some_and(|read| read.and_utc() == sample),
            }
        })
    }
}

impl Default for ShipTime {
    fn default() -> Self {
        Self { zone: None, format: FORMAT.to_owned() }
    }
}

/// As the two keys of the file.
impl Serialize for ShipTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        match self.zone {
            Some(zone) => map.serialize_entry("ship_time_zone", &zone.to_string())?,
            None => map.serialize_entry("ship_time_zone", UTC_ZONE)?,
        }
        map.serialize_entry("ship_time_format", &self.format)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(zone: Option<&str>, format: Option<&str>) -> String {
        ShipTime::new(zone, format).unwrap().write("2026-03-14T18:44:07.999Z".parse().unwrap())
    }

    #[test]
    fn a_ship_time_is_written_in_the_accounts_form_and_never_rounded_up() {
        assert_eq!(written(None, None), "2026-03-14T18:44:07Z");
        assert_eq!(written(Some("-05:00"), None), "2026-03-14T13:44:07-05:00");
        assert_eq!(written(Some("+01:00"), Some("%d/%m/%Y %I:%M:%S %p %z")), "14/03/2026 07:44:07 PM +0100");
    }

    #[test]
    fn a_form_that_leaves_anything_open_is_refused() {
        let refused = [
            (None, "%Y-%m-%d"),
            (None, "%Y-%m-%dT%H:%M:%S"),
            (None, "%Y-%m-%dT%H:%M%:z"),
            (None, "%Y-%m-%dT%I:%M:%S%:z"),
            (None, "%y-%m-%Q"),
            (Some("+01:00"), "%Y-%m-%dT%H:%M:%SZ"),
        ];
        for (zone, format) in refused {
            assert_eq!(ShipTime::new(zone, Some(format)).unwrap_err().0, "ship_time_format", "{format}");
        }
        assert_eq!(ShipTime::new(Some("Europe/London"), None).unwrap_err().0, "ship_time_zone");
    }
}
