//! The rules of [`Tokens`] against a source that is told what to answer.
