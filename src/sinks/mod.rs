//! Adapters for destinations, a folder each.

pub mod webhook;
