//! What an operator sees of a running process: the log and the names of its fields, metrics, and traces of orders.

pub mod fields;
pub mod log;
pub mod metrics;
pub mod traces;

use std::sync::Arc;

/// What the loops of a process report to.
#[derive(Debug, Clone, Default)]
pub struct Instruments {
    pub metrics: Arc<metrics::Metrics>,
    pub traces: traces::Traces,
}

/// An error with everything behind it, in one line. A cause that its error already ends with, as with some foreign
/// errors, is not said twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Layer {
        said: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (&said, behind) = texts.split_first().expect("one at least");
        Layer { said, source: (!behind.is_empty()).then(|| Box::new(layers(behind))) }
    }

    #[test]
    fn a_chain_says_every_cause_once() {
        assert_eq!(
            chain(&layers(&["claim failed", "connection lost", "reset"])),
            "claim failed: connection lost: reset"
        );
        assert_eq!(chain(&layers(&["claim failed", "io: reset", "reset"])), "claim failed: io: reset");
    }
}
