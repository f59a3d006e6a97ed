//! What names a record: mostly chosen by who makes it. Source: Unleashed API documentation, `POST` of each resource.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::simulator::digest::id_for;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(Uuid);

impl Guid {
    /// Always the same for the same thing.
    pub(super) fn of(kind: &str, which: &str) -> Self {
        id_for(kind, which).parse().expect("what is made as a UUID is one")
    }
}

impl FromStr for Guid {
    type Err = uuid::Error;

    /// With or without hyphens, in capitals or not.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Guid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
