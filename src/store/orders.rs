//! Orders read for people.
