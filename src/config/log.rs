//! `[log]`: how the log looks and what it leaves out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::{
    field::{Field, choice},
    problems::Section,
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct RawLog {
    /// `"human"` for people, `"json"` for machines: one object a line.
    format: Field<LogFormat>,
    /// Least level, and exceptions by module: `"info"`, `"info,scoffable_sync::source=debug"`.
    filter: Field<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}
choice!(LogFormat { Human = "human", Json = "json" });

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogSettings {
    pub format: LogFormat,
    /// A valid filter of `tracing-subscriber`. The variable `RUST_LOG` wins over it.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info".to_owned() }
    }
}

impl RawLog {
    pub(super) fn validate(self, section: &mut Section<'_>) -> LogSettings {
        let default = LogSettings::default();
        let format = section.take("format", self.format).unwrap_or(default.format);
        let filter = section.take("filter", self.filter).unwrap_or(default.filter);
        if EnvFilter::builder().parse(&filter).is_err() {
            section.problem(
                "filter",
                format!("{filter:?} is not a log filter"),
                "write a level, as \"info\", or levels by module, as \"info,scoffable_sync::source=debug\"",
            );
        }
        LogSettings { format, filter }
    }
}
