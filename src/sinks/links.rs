//! Which record of ours is which record in a destination: customers, products.
//!
//! A link is made once and never moved by the program: what was linked stays what documents name. Where the records live
//! ([`LinkStore`]) is none of a sink's business; each function is atomic, so that several processes agree.

use std::{collections::BTreeMap, time::Duration};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::oauth::StoreFailed;
use crate::{
    config::problems::nearest,
    domain::{ids::SinkName, sale::normalised},
};

/// What is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    Customer,
    Product,
}

impl LinkKind {
    /// As it stands in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Product => "product",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Customer, Self::Product].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What two records were recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A person said so. Never changed by the program.
    Manual,
    /// Our id stood in the destination's field for foreign ids.
    Id,
    Email,
    Code,
    Name,
    /// It was made by us.
    Created,
}

impl How {
    const ALL: [Self; 6] = [Self::Manual, Self::Id, Self::Email, Self::Code, Self::Name, Self::Created];

    /// As it stands in SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Id => "id",
            Self::Email => "email",
            Self::Code => "code",
            Self::Name => "name",
            Self::Created => "created",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|how| how.as_str() == text)
    }
}

/// A record of ours.
#[derive(Debug, Clone, Copy)]
pub struct LinkKey<'a> {
    pub sink: &'a SinkName,
    pub kind: LinkKind,
    pub local_key: &'a str,
}

/// The record there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub remote_id: String,
    pub how: How,
    /// It is known to be gone there; or, of a product, that it is not to be used or was not found.
    pub is_broken: bool,
}

/// What became of a wish to link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linked {
    /// As wished, now or before.
    Yes,
    /// The key has this link already, which stays.
    Otherwise(Link),
    /// The customer there is linked to another key.
    Taken,
}

/// Whether a record may be made there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MayMake {
    Yes,
    /// Another process is at it.
    Busy,
    Linked(Link),
}

/// What is known of a destination's products without asking it: the copy that is kept of them, and the links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductCopy {
    /// By id, of those that are there and to be used.
    pub names: BTreeMap<String, String>,
    /// The usable product that stands for one of ours, by our key.
    pub linked: BTreeMap<String, String>,
}

impl ProductCopy {
    /// The one product of exactly this name; else, for a person, the most similar name.
    pub fn named(&self, name: &str) -> Result<String, Option<String>> {
        let wanted = normalised(name);
        let mut alike = self.names.iter().filter(|(_, name)| normalised(name) == wanted);
        if let (Some((id, _)), None) = (alike.next(), alike.next()) {
            return Ok(id.clone());
        }
        let nearest = nearest(&wanted, self.names.values().map(String::as_str));
        Err(nearest.map(str::to_owned))
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreFailed>>;

/// Where links live: shared by all processes. Each function is atomic.
pub trait LinkStore: std::fmt::Debug + Send + Sync + 'static {
    /// The link of a key; none: it was never linked.
    fn find<'a>(&'a self, key: LinkKey<'a>) -> Answer<'a, Option<Link>>;

    /// Links a key that has no link. By a person's word ([`How::Manual`]) it replaces any other, and is locked.
    fn link<'a>(&'a self, key: LinkKey<'a>, remote_id: &'a str, how: How) -> Answer<'a, Linked>;

    /// Replaces a link by the record that the destination itself names as its survivor. A locked one stays.
    fn follow<'a>(&'a self, key: LinkKey<'a>, survivor: &'a str) -> Answer<'a, Linked>;

    /// Ids and names of the products that are there and to be used, as far as a copy of the destination's is kept.
    fn products<'a>(&'a self, sink: &'a SinkName) -> Answer<'a, Vec<(String, String)>>;

    /// Before a record is made there: the right to do so goes to one asker, and for so long to nobody else.
    fn attempt<'a>(&'a self, key: LinkKey<'a>, lasts: Duration) -> Answer<'a, MayMake>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(names: &[&str]) -> ProductCopy {
        let names = (1..).zip(names).map(|(n, name)| (format!("product-{n}"), (*name).to_owned()));
        ProductCopy { names: names.collect(), ..ProductCopy::default() }
    }

    #[test]
    fn a_name_tells_a_product_only_where_exactly_one_has_it() {
        let copy = copy(&["Lamb Bhuna", "Plain Naan", "plain  naan", "Pilau Rice"]);

        assert_eq!(copy.named(" lamb BHUNA "), Ok("product-1".to_owned()));
        assert!(copy.named("Plain Naan").is_err(), "two have it");
    }

    #[test]
    fn a_person_is_told_the_most_similar_name() {
        let copy = copy(&["Lamb Bhuna", "Pilau Rice"]);

        assert_eq!(copy.named("Lamb Buna"), Err(Some("Lamb Bhuna".to_owned())));
        assert_eq!(copy.named("Cola"), Err(None));
    }
}
