//! What a person asks of the engine and what they are told: one function for each thing that can be asked, for the
//! command line and for the API alike.
//!
//! A request is parsed once, at its edge; its answer is a value that both write as the same JSON. What may be done in
//! which state is decided in `store`, in the statement that does it; here stand consent ("show the count first") and the
//! walk in bounded steps of what touches many orders. Nothing here knows who called.

pub mod catalogue;
pub mod deliveries;
pub mod erase;
pub mod gates;
pub mod links;
pub mod prune;
pub mod quarantine;
pub mod reconcile;
pub mod shadow;
pub mod stored;

use std::ops::ControlFlow;

use sqlx::PgPool;

use crate::store::operations::Operator;

/// Where somebody works: the database, and in whose name.
#[derive(Debug, Clone, Copy)]
pub struct Desk<'a> {
    pub pool: &'a PgPool,
    pub by: Operator<'a>,
    /// Of the clock to the database's, in milliseconds.
    pub offset_ms: i64,
}

/// How far something long has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub done: u64,
    /// None: not known before the end.
    pub of: Option<u64>,
}

/// Told after each step of something long; may end it there. What was done stays, and the same request goes on with the
/// rest.
pub type Watch<'a> = &'a mut (dyn FnMut(Step) -> ControlFlow<()> + Send);

/// Whoever says nothing is called `otherwise`: some environments set the name to nothing.
pub fn who<'a>(said: &'a str, otherwise: &'a str) -> &'a str {
    let said = said.trim();
    if said.is_empty() { otherwise } else { said }
}

/// A request that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Contradiction(&'static str);

/// Length of a list unless said otherwise.
pub const LISTED: u32 = 100;

fn listed() -> u32 {
    LISTED
}

/// The orders that were named, at least one.
fn named(orders: Vec<String>) -> Result<Vec<String>, Contradiction> {
    if orders.is_empty() { Err(Contradiction("name at least one order")) } else { Ok(orders) }
}
