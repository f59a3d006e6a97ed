//! What an operator sees of a running process: the log and the names of its fields, and metrics.

pub mod fields;
pub mod log;
pub mod metrics;

/// An error with everything behind it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
