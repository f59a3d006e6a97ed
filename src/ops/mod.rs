//! What an operator sees of the service: health, one order's timeline, and both over HTTP.
//!
//! Reads through `store`, changes nothing and decides nothing about a delivery. [`health`] is the only place that says
//! what counts as degraded; [`timeline`] puts one order's story together; [`serve`](server::serve) answers probes, Prometheus and people.
//! The first two are pure.

pub mod health;
mod metrics;
pub mod server;
pub mod timeline;

pub use server::{OpsState, serve};
