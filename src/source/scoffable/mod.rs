//! The Scoffable Partners API: its order stream over HTTP (`client`) and its documents (`wire`).
//!
//! Read-only: nothing but `GET` is ever sent.

pub mod client;
pub mod wire;
