//! Keeps a copy of each destination's products, stock and customers fresh enough to post by, and looks now and then whether
//! what is linked and what was posted still stands.
//!
//! Nothing is ever listed as a whole but by `bootstrap`: what was *changed* is pulled page by page ([`pull`]), the few linked
//! records that were not checked for the longest are looked at ([`sweep`]), and so are the orders that were posted
//! ([`documents`]). Nothing is written to a destination, and no link of a person is ever changed. Only leases in rows decide
//! who works ([`worker`]); every reading waits for its turn in the sink's call budget, behind what orders need.
//!
//! It does not know which sinks there are: a sink that has a [`Catalogue`](crate::sinks::catalogue::Catalogue) gives it. What
//! is needed for correctness is that a cursor moves in one statement with the last records of its page, and that an absence
//! counts only after several looks; intervals and jitter only save calls.

pub mod documents;
pub mod estimate;
pub mod pull;
pub mod rules;
pub mod sweep;
pub mod worker;
