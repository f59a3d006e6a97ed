//! Configuration: read → validate → build.
//!
//! [`load`] finds the file, merges what the environment overrides ([`read`]), and validates every table in its own file
//! into plain settings. All problems are found in one go, each with its key, what is wrong and what to do
//! ([`problems`]); settings that contradict each other across tables are found in [`contradictions`]. Whoever holds
//! [`Settings`] need check nothing again. Reads the file and the files of secrets; no network, no clock.
//!
//! Invariants: no secret is in any message, `Debug` or [`show`] output; a key of a raw struct, its JSON Schema
//! ([`schema`]), its row in `config/reference.md` and its documentation in `config/default.toml` exist together, which
//! tests prove.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::ids::{SinkName, SourceName};

pub mod alerts;
pub mod catalogue;
mod contradictions;
pub mod database;
pub mod delivery;
pub mod duration;
pub mod env;
pub mod field;
pub mod headers;
pub mod http;
pub mod limits;
pub mod log;
pub mod pointer;
pub mod problems;
mod read;
mod reference;
pub mod retention;
pub mod retry;
mod schema;
pub mod secret;
mod show;
pub mod simulator;
pub mod sink;
pub mod source;
pub mod traces;
pub mod url;
pub mod watch;

#[cfg(test)]
mod tests;

pub use alerts::AlertSettings;
pub use catalogue::{CatalogueSettings, Kept, QuietHours};
pub use database::{DatabaseSettings, DatabaseUrl};
pub use delivery::DeliverySettings;
pub use env::Env;
pub use http::HttpSettings;
pub use limits::{CallLimit, LimitSettings};
pub use log::{LogFormat, LogSettings};
pub use problems::{Problem, Problems};
pub use read::{FILE_VARIABLE, SEARCHED};
pub use reference::reference;
pub use retention::{Keep, RetentionSettings};
pub use retry::{BreakerSettings, RetrySettings};
pub use schema::schema;
pub use secret::{Secret, SecretError};
pub use show::show;
pub use sink::{Counted, SinkCommon, SinkKind, SinkSettings, SinkStatus, Start, Versions};
pub use source::{RateLimit, SourceKind, SourceSettings};
pub use traces::TraceSettings;
pub use url::HttpUrl;
pub use watch::WatchSettings;

/// The manual: every key with its default, unit and meaning.
pub const MANUAL: &str = include_str!("../../config/default.toml");

/// Where to read from. The default reads nothing at all.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// `--config`; else [`FILE_VARIABLE`], else the first of `searched` that exists.
    pub file: Option<PathBuf>,
    /// See [`SEARCHED`].
    pub searched: Vec<PathBuf>,
    pub env: Env,
    /// Key path and text, as `("http.listen", "off")`: wins over file and environment.
    pub overrides: Vec<(String, String)>,
}

impl LoadOptions {
    /// What a command reads: this file or one that is found, and the process's environment.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let searched = SEARCHED.map(PathBuf::from).to_vec();
        Self { file, searched, env: Env::of_process(), overrides: Vec::new() }
    }
}

/// Everything that is configured, valid.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    pub database: DatabaseSettings,
    pub http: HttpSettings,
    pub delivery: DeliverySettings,
    pub retention: RetentionSettings,
    pub alerts: AlertSettings,
    pub watch: WatchSettings,
    pub log: LogSettings,
    /// None: nothing is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<TraceSettings>,
    /// At least one.
    pub sources: BTreeMap<SourceName, SourceSettings>,
    /// May be empty: orders are stored all the same.
    pub sinks: BTreeMap<SinkName, SinkSettings>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(
        "there is no configuration: name a file by --config or {FILE_VARIABLE}, or write {} or {}",
        SEARCHED[0], SEARCHED[1]
    )]
    NotFound,
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}, line {line}, column {column}: not TOML: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, column: usize, message: String },
    #[error("the configuration cannot be put together")]
    Merge(#[source] config::ConfigError),
    /// The message lists every problem.
    #[error("{0}")]
    Invalid(Box<Report>),
}

/// What came of reading a configuration that is TOML at least.
#[derive(Debug, Clone)]
pub struct Report {
    /// `None` when the environment alone configures everything.
    pub file: Option<PathBuf>,
    /// `None` exactly when there are problems.
    pub settings: Option<Settings>,
    pub found: Problems,
}

/// Problems and warnings for people, a block each.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        match &self.file {
            Some(file) => write!(f, "{}: ", file.display())?,
            None => f.write_str("the environment: ")?,
        }
        let Problems { problems, warnings } = &self.found;
        write!(f, "{}, {}", count(problems.len(), "problem"), count(warnings.len(), "warning"))?;
        for problem in problems {
            write!(f, "\n  error: {problem}")?;
        }
        for warning in warnings {
            write!(f, "\n  warning: {warning}")?;
        }
        Ok(())
    }
}

/// The settings, or everything that is wrong with them.
pub fn load(options: &LoadOptions) -> Result<Settings, ConfigError> {
    let mut report = check(options)?;
    report.settings.take().ok_or_else(|| ConfigError::Invalid(Box::new(report)))
}

/// The file that [`load`] reads; none where the environment alone configures everything.
pub fn file(options: &LoadOptions) -> Result<Option<PathBuf>, ConfigError> {
    read::find(options)
}

/// As [`load`], for those who want the warnings too.
pub fn check(options: &LoadOptions) -> Result<Report, ConfigError> {
    let file = read::find(options)?;
    let tree = read::tree(file.as_deref(), options)?;
    let mut found = Problems::default();
    let settings = validate(tree, &options.env, &mut found).filter(|_| found.is_empty());
    Ok(Report { file, settings, found })
}

/// The whole document.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
struct RawSettings {
    /// Where everything is kept.
    database: field::Field<field::Table<database::RawDatabase>>,
    /// Health, metrics, page and API.
    http: field::Field<field::Table<http::RawHttp>>,
    /// How orders are brought to sinks.
    delivery: field::Field<field::Table<delivery::RawDelivery>>,
    /// How long things are kept.
    retention: field::Field<field::Table<retention::RawRetention>>,
    /// Who is told what a person should know.
    alerts: field::Field<field::Table<alerts::RawAlerts>>,
    /// From when on a person is told what no single event tells.
    watch: field::Field<field::Table<watch::RawWatch>>,
    /// What is logged, and how.
    log: field::Field<field::Table<log::RawLog>>,
    /// Where the way of each order is told to.
    traces: field::Field<field::Table<traces::RawTraces>>,
    /// Streams of orders, each under a name of your choice.
    sources: field::Field<field::Named<source::RawSource>>,
    /// Destinations, each under a name of your choice.
    sinks: field::Field<field::Named<sink::RawSink>>,
}

fn validate(mut tree: serde_json::Map<String, serde_json::Value>, env: &Env, found: &mut Problems) -> Option<Settings> {
    use field::RawTable as _;

    let mut root = problems::Section::root(env, found);
    simulator::validate(&mut tree, &mut root);
    root.refuse_unknown(&tree, &field::known_keys::<RawSettings>());
    let raw = RawSettings::from_entries(tree);
    let database = root.table("database", raw.database, database::RawDatabase::validate);
    let http = root.table("http", raw.http, http::RawHttp::validate);
    let delivery = root.table("delivery", raw.delivery, delivery::RawDelivery::validate);
    let retention = root.table("retention", raw.retention, retention::RawRetention::validate);
    let alerts = root.table("alerts", raw.alerts, alerts::RawAlerts::validate);
    let watch = root.table("watch", raw.watch, watch::RawWatch::validate);
    let log = root.table("log", raw.log, log::RawLog::validate);
    let traces = root.table("traces", raw.traces, traces::RawTraces::validate);

    let no_sources = raw.sources.is_absent();
    let raw_sources = root.named("sources", raw.sources);
    let raw_sinks = root.named("sinks", raw.sinks);
    if raw_sources.is_empty() && (no_sources || root.none_about(&["sources"])) {
        root.problem("sources", "there is no source: nothing would ever arrive", "add a table `[sources.main]`");
    }
    let names = sink::Names {
        sources: raw_sources.keys().cloned().collect::<BTreeSet<_>>(),
        sinks: raw_sinks.keys().cloned().collect::<BTreeSet<_>>(),
    };

    let mut sources = BTreeMap::new();
    let mut section = root.within("sources");
    for (name, entries) in raw_sources {
        let Ok(parsed) = SourceName::parse(&name) else {
            bad_name(&name, &mut section);
            continue;
        };
        let mut section = section.within(&name);
        section.refuse_unknown(&entries, &field::known_keys::<source::RawSource>());
        if let Some(source) = source::RawSource::from_entries(entries).validate(&parsed, &mut section) {
            sources.insert(parsed, source);
        }
    }

    let mut commons = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    let mut section = root.within("sinks");
    for (name, entries) in raw_sinks {
        let Ok(parsed) = SinkName::parse(&name) else {
            bad_name(&name, &mut section);
            continue;
        };
        let (common, kind) = sink::validate(entries, &parsed, &names, &mut section.within(&name));
        commons.insert(parsed.clone(), common);
        kinds.extend(kind.map(|kind| (parsed, kind)));
    }

    contradictions::check(&delivery, &retention, &sources, &commons, found);
    contradictions::no_vendor_has_two_ledgers(&commons, &kinds, found);
    let sinks = kinds.into_iter().filter_map(|(name, mut kind)| {
        let common = commons.remove(&name)?;
        kind.learn_accounts(&sources);
        Some((name, SinkSettings { kind, common }))
    });
    let sinks = sinks.collect();
    contradictions::catalogues_fit_their_budgets(&sinks, found);
    Some(Settings { database: database?, http, delivery, retention, alerts, watch, log, traces, sources, sinks })
}

fn bad_name(name: &str, section: &mut problems::Section<'_>) {
    section.problem(name, "is not a name", "use 1 to 40 of a-z, 0-9 and _");
}
