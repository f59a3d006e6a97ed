//! Records of a destination as we know them: products, their stock, customers. No I/O and no clock.
//!
//! What a destination tells is a copy that ages, never the truth: nothing here is written back.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What is kept of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Product,
    Stock,
    Customer,
    /// What we have posted. It is never asked for by changes, only read back.
    Document,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Product, Self::Stock, Self::Customer, Self::Document];

    /// As it stands in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Stock => "stock",
            Self::Customer => "customer",
            Self::Document => "document",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether those that are linked are looked at one by one. Stock comes along with its product.
    pub const fn is_swept(self) -> bool {
        match self {
            Self::Product | Self::Customer | Self::Document => true,
            Self::Stock => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Up to where changes are known: a destination counts them by time or by version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cursor {
    At(DateTime<Utc>),
    Version(i64),
}

impl Cursor {
    /// The further of two: a clock that steps back moves no cursor back.
    #[must_use]
    pub fn further(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(one), Self::At(two)) => Self::At(one.max(two)),
            (Self::Version(one), Self::Version(two)) => Self::Version(one.max(two)),
            (Self::At(_), Self::Version(_)) | (Self::Version(_), Self::At(_)) => other,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(f, "{}", at.format("%Y-%m-%dT%H:%M:%SZ")),
            Self::Version(version) => write!(f, "{version}"),
        }
    }
}

/// One page of changes that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What was changed after it. None: all there is.
    pub since: Option<Cursor>,
    /// From 1 on. Where versions are counted it is always the first behind `since`.
    pub page: u32,
    /// Records at most.
    pub page_size: u32,
}

/// One page of changes.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub records: Vec<Record>,
    /// The destination's clock, by its answer.
    pub date: Option<DateTime<Utc>>,
    /// The highest version on it, where versions are counted.
    pub version: Option<i64>,
    pub has_more: bool,
}

/// A pull that has not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// What it asks for. None: everything.
    pub since: Option<Cursor>,
    /// The cursor that its end leads to, where changes are told by time.
    pub began: DateTime<Utc>,
    /// Its next page.
    pub page: u32,
    /// Whether it reads all there is.
    #[serde(default)]
    pub full: bool,
}

/// How far a pull has come with the records it brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub cursor: Option<Cursor>,
    /// None: it has come to its end.
    pub pull: Option<Pull>,
    /// It read all there is, and this was the end.
    pub ended_full: bool,
}

/// One record as the destination tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    pub kind: Kind,
    /// By which documents name it; stock has its product's, behind a slash its place where it is kept in several.
    pub remote_id: String,
    /// What tells it apart for people: a code. Of a customer only our own, which is no personal data.
    pub key: Option<String>,
    /// Of customers none: a copy of their names is nobody's need.
    pub name: Option<String>,
    pub remote_version: Option<String>,
    pub remote_modified_at: Option<DateTime<Utc>>,
    pub remote_state: RemoteState,
    /// Over everything that counts as a change: see [`digest`].
    pub fields_hash: String,
    /// The record that replaces it, by the destination's own word.
    pub survivor: Option<String>,
    /// Our key, where the record itself bears it.
    pub local_key: Option<String>,
}

/// Digest of a record's fields, in their order.
pub fn digest(fields: &[Option<&str>]) -> String {
    let mut hash = Sha256::new();
    for field in fields {
        // With its length, so that no two lists of fields read alike.
        let length = field.map_or(0, |field| field.len() as u64 + 1);
        hash.update(length.to_be_bytes());
        hash.update(field.unwrap_or_default());
    }
    hex::encode(hash.finalize())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemoteState {
    Active,
    /// It is there and not to be used: archived, obsolete, stopped.
    Archived,
    /// It is marked as deleted.
    Deleted,
    /// A look did not find it.
    Missing,
}

impl RemoteState {
    const ALL: [Self; 4] = [Self::Active, Self::Archived, Self::Deleted, Self::Missing];

    /// As it stands in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
            Self::Missing => "missing",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a look at one record told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// The record, and its stock where that was asked for as well.
    Found(Vec<Record>),
    /// It is not there.
    Absent,
}

/// What a destination needs to be asked for, in calls: the base of a month's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// One look at a product, its stock included.
    pub product: u32,
    pub customer: u32,
    /// Ten orders, posted and paid, as they usually come.
    pub ten_orders: u32,
    /// Documents read back with one call.
    pub documents_at_once: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_sql_are_read_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        for state in RemoteState::ALL {
            assert_eq!(RemoteState::parse(state.as_str()), Some(state));
        }
    }

    #[test]
    fn fields_that_read_alike_in_a_row_have_digests_of_their_own() {
        assert_ne!(digest(&[Some("ab"), Some("c")]), digest(&[Some("a"), Some("bc")]));
        assert_ne!(digest(&[None, Some("a")]), digest(&[Some("a"), None]));
        assert_ne!(digest(&[Some("")]), digest(&[None]));
        assert_eq!(digest(&[Some("ab"), None]), digest(&[Some("ab"), None]));
    }

    #[test]
    fn a_cursor_never_goes_back() {
        let at = |text: &str| Cursor::At(text.parse().unwrap());
        let (earlier, later) = (at("2026-03-01T00:00:00Z"), at("2026-03-01T00:05:00Z"));

        assert_eq!((later.further(earlier), earlier.further(later)), (later, later));
        assert_eq!(Cursor::Version(9).further(Cursor::Version(4)), Cursor::Version(9));
    }
}
