//! Orders, versions, money, deliveries and their states. No I/O, no clock, no SQL.

pub mod arrivals;
pub mod catalogue;
pub mod decimal;
pub mod delivery;
pub mod differences;
pub mod ids;
pub mod limits;
pub mod money;
pub mod order;
pub mod pace;
pub mod reconciliation;
pub mod sale;
pub mod status;
pub mod substitution;
