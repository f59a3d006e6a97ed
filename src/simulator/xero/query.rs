//! Query strings and `where` filters. Only what the contract names is understood; anything else is refused, so that a
//! client does not take a list for filtered that is not.
//!
//! Source: xero_accounting.yaml 16.1.0, parameters of the lists.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};

/// Source: "default 100 per page". Observed (maesn.com): at most 1,000.
const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1_000;
/// Observed (Xero-Java pull request 331): longer URLs are cut off somewhere. In characters of the query.
const MAX_QUERY: usize = 2_048;

/// The parameters of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Refuses what is not among the allowed, and what is named twice.
    pub fn read(query: &str, allowed: &[&str]) -> Result<Self, String> {
        if query.len() > MAX_QUERY {
            return Err("the query is too long".to_owned());
        }
        let url = reqwest::Url::parse(&format!("query:?{query}")).map_err(|error| error.to_string())?;
        let mut parameters = BTreeMap::new();
        for (name, value) in url.query_pairs() {
            if !allowed.contains(&name.as_ref()) {
                return Err(format!("unknown parameter {name}"));
            }
            if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(format!("parameter {name} is there twice"));
            }
        }
        Ok(Self(parameters))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        self.get(name).map(|text| text.split(',').map(str::trim).collect())
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(format!("{name} is neither true nor false")),
        }
    }

    /// Page and size; none where no page is asked for.
    pub fn page(&self) -> Result<Option<(usize, usize)>, String> {
        let number = |name: &str| match self.get(name).map(str::parse::<usize>) {
            None => Ok(None),
            Some(Ok(number)) if number > 0 => Ok(Some(number)),
            Some(_) => Err(format!("{name} is no number from 1")),
        };
        let size = number("pageSize")?.unwrap_or(DEFAULT_PAGE_SIZE);
        if size > MAX_PAGE_SIZE {
            return Err(format!("pageSize is above {MAX_PAGE_SIZE}"));
        }
        Ok(number("page")?.map(|page| (page, size)))
    }
}

/// `A=="x" AND B=="y" OR …`: one of the groups must hold as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Where(Vec<Vec<(String, String)>>);

impl Where {
    /// Understands `Member=="text"`, `Member==guid("…")`, `AND`, `&&`, `OR` and `||`.
    pub fn parse(text: &str, members: &[&str]) -> Result<Self, String> {
        let groups = split_outside_quotes(text, &[" OR ", " or ", "||"]);
        let parsed: Result<Vec<Vec<_>>, String> = groups
            .iter()
            .map(|group| {
                split_outside_quotes(group, &[" AND ", " and ", "&&"])
                    .iter()
                    .map(|one| condition(one, members))
                    .collect()
            })
            .collect();
        parsed.map(Self)
    }

    /// `value` gives a member's value.
    pub fn holds(&self, value: impl Fn(&str) -> String) -> bool {
        self.0.iter().any(|group| group.iter().all(|(member, wanted)| value(member) == *wanted))
    }
}

fn condition(text: &str, members: &[&str]) -> Result<(String, String), String> {
    let unreadable = || format!("where cannot be read at {text}");
    let (member, value) = text.split_once("==").ok_or_else(unreadable)?;
    let (member, value) = (member.trim(), value.trim());
    let lower = value.to_ascii_lowercase();
    let quoted = match lower.strip_prefix("guid(") {
        Some(_) => value[5..].strip_suffix(')').ok_or_else(unreadable)?,
        None => value,
    };
    let value = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(unreadable)?;
    if value.contains('"') {
        return Err(unreadable());
    }
    if !members.contains(&member) {
        return Err(format!("where cannot ask for {member}"));
    }
    Ok((member.to_owned(), value.to_owned()))
}

fn split_outside_quotes<'a>(text: &'a str, separators: &[&str]) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut start, mut at, mut is_quoted) = (0, 0, false);
    while let Some(letter) = text[at..].chars().next() {
        if letter == '"' {
            is_quoted = !is_quoted;
        } else if !is_quoted && let Some(separator) = separators.iter().find(|one| text[at..].starts_with(**one)) {
            parts.push(text[start..at].trim());
            at += separator.len();
            start = at;
            continue;
        }
        at += letter.len_utf8();
    }
    parts.push(text[start..].trim());
    parts
}

/// The value of `If-Modified-Since`: an ISO time, in UTC where it does not say, or an HTTP date.
pub(super) fn modified_since(text: &str) -> Result<DateTime<Utc>, String> {
    let iso = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    let naive = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|at| at.and_utc());
    let http = || DateTime::parse_from_rfc2822(text).map(|at| at.to_utc());
    iso.or_else(|_| naive()).or_else(|_| http()).map_err(|_| "If-Modified-Since is no time".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_parameters_are_read_and_each_once() {
        let read = |query| Parameters::read(query, &["page", "pageSize", "InvoiceNumbers", "summarizeErrors"]);

        let parameters = read("page=2&InvoiceNumbers=SCF-1%2CSCF-2&summarizeErrors=False").expect("all are known");
        assert_eq!(parameters.page(), Ok(Some((2, 100))));
        assert_eq!(parameters.list("InvoiceNumbers"), Some(vec!["SCF-1", "SCF-2"]));
        assert_eq!(parameters.flag("summarizeErrors"), Ok(Some(false)));
        for query in ["Page=1", "page=1&page=2"] {
            assert!(read(query).is_err(), "{query}");
        }
        for query in ["page=0", "page=1&pageSize=1001", "page=x"] {
            assert!(read(query).expect("known").page().is_err(), "{query}");
        }
    }

    #[test]
    fn a_filter_is_understood_or_refused() {
        let members = ["CreditNoteNumber", "Status"];
        let parse = |text: &str| Where::parse(text, &members);
        let holds = |text: &str| {
            parse(text)
                .map(|filter| filter.holds(|member| if member == "Status" { "PAID" } else { "C OR D" }.to_owned()))
        };

        assert_eq!(holds(r#"CreditNoteNumber=="C OR D""#), Ok(true));
        assert_eq!(holds(r#"CreditNoteNumber=="C" OR Status=="PAID""#), Ok(true));
        assert_eq!(holds(r#"CreditNoteNumber == "C OR D" AND Status=="DRAFT""#), Ok(false));
        assert_eq!(holds(r#"Status==guid("PAID")"#), Ok(true));
        for text in [r#"Total>"1""#, r#"Total=="1""#, "Status==PAID", r#"Status=="PA"ID""#, ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_read_in_each_of_its_forms() {
        let expected = modified_since("2025-10-09T08:00:00Z");

        assert!(expected.is_ok());
        for text in ["2025-10-09T08:00:00", "2025-10-09T09:00:00+01:00", "Thu, 09 Oct 2025 08:00:00 GMT"] {
            assert_eq!(modified_since(text), expected, "{text}");
        }
        assert!(modified_since("yesterday").is_err());
    }
}
