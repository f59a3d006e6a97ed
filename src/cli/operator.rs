//! What the commands have in common that change something: who does it and why, how a refusal is told, and how far
//! something long has come.

use std::{
    io::Write,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::{Args, builder::NonEmptyStringValueParser};
use indicatif::{ProgressBar, ProgressStyle, style::TemplateError};
use serde_json::json;
use sqlx::PgPool;

use super::{NOT_WELL, config::Form};
use crate::{
    operate::{self, Desk, Step},
    store::operations::{Operated, OperationError, Operator},
};

/// Said where consent is missing.
pub const ADD_YES: &str = "nothing was changed: add --yes to do it";

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
        Operator { who: operate::who(&self.who, "operator"), why: self.why.as_deref() }
    }

    /// Where this person works.
    pub fn desk<'a>(&'a self, pool: &'a PgPool, offset_ms: i64) -> Desk<'a> {
        Desk { pool, by: self.operator(), offset_ms }
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

/// Shows on a terminal how far something long has come, and ends it between two steps on Ctrl-C; a second one at once.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    listening: tokio::task::JoinHandle<()>,
}

impl Progress {
    /// Of something whose size is known once it begins.
    pub fn bar(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} {msg}, {eta} left");
        Self::with(style, what)
    }

    /// Of something whose size is not known before its end.
    pub fn spinner(what: &'static str) -> Self {
        Self::with(ProgressStyle::with_template("{spinner} {elapsed_precise} {human_pos} {msg}"), what)
    }

    fn with(style: Result<ProgressStyle, TemplateError>, what: &'static str) -> Self {
        let bar = ProgressBar::no_length();
        bar.set_style(style.expect("the template is valid"));
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        let listening = tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                flag.store(true, Ordering::Relaxed);
            }
            // A step that takes too long can be cut off: what it did is rolled back.
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(NOT_WELL.into());
            }
        });
        Self { bar, interrupted, listening }
    }

    /// What [`operate::Watch`] is for.
    pub fn watch(&self, step: Step) -> ControlFlow<()> {
        if let Some(total) = step.of {
            self.bar.set_length(total);
        }
        self.bar.set_position(step.done);
        if self.interrupted.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.listening.abort();
    }
}
