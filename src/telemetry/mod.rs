//! What an operator sees of a running process: the log, and the names of its fields.

pub mod fields;
pub mod log;
