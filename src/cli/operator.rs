//! What the commands have in common that change something: who does it and why, and how a refusal is told.

use std::io::Write;

use clap::{Args, builder::NonEmptyStringValueParser};
use serde_json::json;

use super::{NOT_WELL, config::Form};
use crate::store::operations::{Operated, OperationError, Operator};

/// Who acts, and why: both stand in the timeline.
#[derive(Debug, Clone, Args)]
pub struct OperatorArgs {
    /// Who does this
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "operator")]
    pub who: String,
    /// Why, in your own words
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub why: Option<String>,
}

impl OperatorArgs {
    pub fn operator(&self) -> Operator<'_> {
        // Some environments set the variable to nothing.
        let who = if self.who.trim().is_empty() { "operator" } else { self.who.trim() };
        Operator { who, why: self.why.as_deref() }
    }
}

/// Tells why nothing was done. Returns what was done, or the exit code 1.
pub fn done_or_told<T>(operated: Operated<T>, form: Form, out: &mut impl Write) -> anyhow::Result<Result<T, u8>> {
    let refusals = match operated {
        Ok(done) => return Ok(Ok(done)),
        Err(OperationError::Store(error)) => return Err(error.into()),
        Err(OperationError::Refused(refusals)) => refusals,
    };
    let refusals: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    match form {
        Form::Json => writeln!(out, "{:#}", json!({ "refused": refusals }))?,
        Form::Text => {
            for refusal in refusals {
                writeln!(out, "{refusal}")?;
            }
            writeln!(out, "nothing was changed")?;
        }
    }
    Ok(Err(NOT_WELL))
}
