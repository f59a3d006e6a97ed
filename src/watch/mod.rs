//! Looks on a timer for what a person should know and no single event tells: a silent stream, an hour without orders, deliveries
//! that fail, a budget near its end, a credential near its own.
//!
//! [`causes`] decides, purely, what stands by what the tables say; [`watcher`] reads them and keeps `alerts` in step, one
//! process of all at a time. An alert of these causes stands as long as it is found standing, whatever process finds it, and
//! ends a little after it was found last. Nothing in memory is needed. Alerts that belong to an event are raised with it,
//! and not here: a sink that is blocked, a stream that is parked, a delivery that waits for a person.

pub mod causes;
pub mod watcher;
