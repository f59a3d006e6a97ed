//! `scoffable-sync` keeps other systems in step with Scoffable orders.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod database;
pub mod delivery;
pub mod domain;
pub mod http;
pub mod ingest;
pub mod lifecycle;
pub mod simulator;
pub mod sinks;
pub mod source;
pub mod store;
pub mod telemetry;
