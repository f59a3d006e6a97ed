//! Sets the log up: standard error, for people or for machines.

use std::io;

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, filter::ParseError, fmt, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::config::{Env, LogFormat, LogSettings};

/// Wins over `log.filter`.
pub const FILTER_VARIABLE: &str = "RUST_LOG";

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{FILTER_VARIABLE} is not a log filter")]
    Filter(#[source] ParseError),
    #[error("the log was set up twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up the log of this process; once.
pub fn init(settings: &LogSettings, env: &Env) -> Result<(), LogError> {
    let filter = filter(settings, env).map_err(LogError::Filter)?;
    let subscriber = tracing_subscriber::registry().with(layer(settings.format, env, io::stderr).with_filter(filter));
    subscriber.try_init().map_err(LogError::Twice)
}

fn filter(settings: &LogSettings, env: &Env) -> Result<EnvFilter, ParseError> {
    let overriding = env.get(FILTER_VARIABLE).filter(|filter| !filter.is_empty());
    EnvFilter::builder().parse(overriding.unwrap_or(&settings.filter))
}

fn layer<S, W>(format: LogFormat, env: &Env, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Human => {
            // Source: no-color.org.
            let wanted = env.get("NO_COLOR").is_none_or(str::is_empty);
            let colours = wanted && io::IsTerminal::is_terminal(&io::stderr());
            layer.with_ansi(colours).with_target(false).boxed()
        }
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written to a log with these settings while `act` runs.
    fn logged(settings: &LogSettings, env: &Env, act: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = layer(settings.format, env, move || writer.clone()).with_filter(filter(settings, env).unwrap());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_log_for_machines_is_an_object_a_line_with_the_fields_beside_the_message() {
        let settings = LogSettings { format: LogFormat::Json, ..LogSettings::default() };

        let text = logged(&settings, &Env::default(), || info!(http.status = 429, "delivery deferred"));

        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["message"], "delivery deferred");
        assert_eq!(line["http.status"], 429);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn the_environments_filter_wins_over_the_files() {
        let settings = LogSettings::default();
        let act = || debug!("page fetched");

        assert!(logged(&settings, &Env::default(), act).is_empty());
        let env = Env::from_iter([(FILTER_VARIABLE, "debug")]);
        assert!(logged(&settings, &env, act).contains("page fetched"));
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let env = Env::from_iter([(FILTER_VARIABLE, "a=b=c")]);

        assert!(filter(&LogSettings::default(), &env).is_err());
    }
}
