//! What an operator sees of the service and does to it over HTTP, and what the service does for its own upkeep.
//!
//! Decides nothing about a delivery. [`health`] is the only place that says what counts as degraded; [`timeline`] puts one
//! order's story together; [`serve`](server::serve) answers probes, Prometheus, programs and people (`page`), and hands what they
//! want changed to [`operate`](crate::operate); [`pruner`] removes once a day what is not kept any longer, [`keeper`] renews
//! credentials before they lapse unused. The first two are pure.

mod api;
pub mod health;
pub mod keeper;
mod metrics;
mod page;
pub mod pruner;
pub mod server;
pub mod timeline;

pub use server::{OpsState, Present, serve};
