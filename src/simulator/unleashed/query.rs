//! Query strings and the dates in them and in bodies. Only what the contract names is understood; anything else is refused,
//! so that a client does not take a list for filtered that is not.
//!
//! Source: Unleashed API documentation. Observed: pages of up to 1,000.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

const DEFAULT_PAGE_SIZE: usize = 200;
pub(super) const MAX_PAGE_SIZE: usize = 1_000;

/// The parameters of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Refuses what is not among the allowed, and what is named twice.
    pub fn read(query: &str, allowed: &[&str]) -> Result<Self, String> {
        let url = reqwest::Url::parse(&format!("query:?{query}")).map_err(|error| error.to_string())?;
        let mut parameters = BTreeMap::new();
        for (name, value) in url.query_pairs() {
            if !allowed.contains(&name.as_ref()) {
                return Err(format!("Unknown parameter {name}"));
            }
            if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(format!("Parameter {name} is there twice"));
            }
        }
        Ok(Self(parameters))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn flag(&self, name: &str) -> Result<bool, String> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(format!("{name} is neither true nor false")),
        }
    }

    /// 0 asks for the count alone.
    pub fn page_size(&self) -> Result<usize, String> {
        let Some(text) = self.get("pageSize") else { return Ok(DEFAULT_PAGE_SIZE) };
        let size = text.parse().ok().filter(|size| *size <= MAX_PAGE_SIZE);
        size.ok_or_else(|| format!("pageSize is no number up to {MAX_PAGE_SIZE}"))
    }

    pub fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, String> {
        self.get(name).map(|text| time(text).ok_or_else(|| format!("{name} is no time in UTC"))).transpose()
    }

    /// Whether a text is exactly as wanted, if anything is.
    pub fn is(&self, name: &str, text: &str) -> bool {
        self.get(name).is_none_or(|wanted| wanted == text)
    }

    /// Whether a text is among those wanted, if any are; they are parted by commas.
    pub fn is_among(&self, name: &str, text: &str) -> bool {
        self.get(name).is_none_or(|wanted| wanted.split(',').any(|one| one.trim() == text))
    }

    /// Whether a text starts with what is wanted. Assumed: capitals count for nothing.
    pub fn starts(&self, name: &str, text: &str) -> bool {
        self.get(name).is_none_or(|wanted| text.to_lowercase().starts_with(&wanted.to_lowercase()))
    }

    /// Whether a text contains what is wanted. Source: capitals count.
    pub fn is_in(&self, name: &str, text: &str) -> bool {
        self.get(name).is_none_or(|wanted| text.contains(wanted))
    }
}

/// A day, or a moment with or without milliseconds; in UTC, without a zone.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    let day = || (text.len() == 10).then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten();
    let moment = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    day().map(|day| day.and_time(chrono::NaiveTime::MIN)).or_else(moment).map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_parameters_are_read_and_each_once() {
        let read = |query| Parameters::read(query, &["pageSize", "brief", "customer"]);

        let parameters = read("pageSize=0&brief=true&customer=Old%20Mill").expect("all are known");
        assert_eq!((parameters.page_size(), parameters.flag("brief")), (Ok(0), Ok(true)));
        assert_eq!(read("").expect("nothing").page_size(), Ok(200));
        assert!(parameters.is_in("customer", "The Old Mill") && !parameters.is_in("customer", "the old mill"));
        for query in ["pagesize=1", "brief=true&brief=true"] {
            assert!(read(query).is_err(), "{query}");
        }
        for query in ["pageSize=1001", "pageSize=-1", "pageSize=x"] {
            assert!(read(query).expect("known").page_size().is_err(), "{query}");
        }
    }

    #[test]
    fn a_text_is_found_by_its_beginning_or_among_others() {
        let parameters =
            Parameters::read("customerCode=scf-c&orderStatus=Parked,Placed", &["customerCode", "orderStatus"]);
        let parameters = parameters.expect("all are known");

        assert!(parameters.starts("customerCode", "SCF-C-77") && !parameters.starts("customerCode", "X-SCF-C-77"));
        assert!(parameters.is_among("orderStatus", "Placed") && !parameters.is_among("orderStatus", "Deleted"));
        assert!(parameters.is("invoiceStatus", "anything"));
    }

    #[test]
    fn a_time_is_a_day_or_a_moment_without_a_zone() {
        assert_eq!(time("2025-10-09"), time("2025-10-09T00:00:00"));
        assert_eq!(time("2025-10-09T08:00:00.250").map(|at| at.timestamp_subsec_millis()), Some(250));
        for text in ["2025-10-09T08:00:00Z", "2025-10-09T08:00:00+01:00", "/Date(1760000000000)/", "20251009", "9 Oct"]
        {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
