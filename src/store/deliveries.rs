//! `deliveries` and `attempts`: claim, write intent, extend, settle.
//!
//! A claim leases rows and counts the attempt; every later write names the lease token, so a process that lost its lease
//! can change nothing. Settling is batched, and one statement records the attempts and moves the rows.

mod claim;
mod held;
mod settle;

pub use self::{claim::*, held::*, settle::*};
use super::{Result, StoreError};
use crate::domain::delivery::State;

fn known_state(text: &str, operation: &'static str) -> Result<State> {
    State::parse(text).ok_or_else(|| undecodable(operation, "unknown state"))
}

fn undecodable(operation: &'static str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError { operation, source: sqlx::Error::Decode(error.into()) }
}
