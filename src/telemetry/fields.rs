//! Names of log fields: one dotted name per thing, units in the name. Add one here when the first event carries it.
//!
//! Events write them literally (`info!(task.name = …)`), because `tracing` takes names at compile time; searches, tests
//! and dashboards take them from here.

/// A loop or other long-running task, by what it does.
pub const TASK_NAME: &str = "task.name";
/// Why the process stops.
pub const STOP_REASON: &str = "stop.reason";
