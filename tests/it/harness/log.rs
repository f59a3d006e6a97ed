//! What one test logs, down to debug.
//!
//! One global subscriber for the whole binary, which writes only for threads that asked: a subscriber per thread would
//! miss events that another test's thread was the first to meet. Tests run on one thread each, with all that they spawn.

use std::{cell::RefCell, io, sync::OnceLock};

use tracing::Level;
use tracing_subscriber::{Layer, filter::dynamic_filter_fn, layer::SubscriberExt};

thread_local! {
    static CAPTURED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Captures what this thread logs, from now until it is dropped.
#[derive(Debug)]
pub struct Captured(());

pub fn capture() -> Captured {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let wanted =
            dynamic_filter_fn(|metadata, _| *metadata.level() <= Level::DEBUG && CAPTURED.with_borrow(Option::is_some));
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Writer).with_filter(wanted);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
            .expect("nothing else in this binary sets a subscriber");
    });
    CAPTURED.set(Some(Vec::new()));
    Captured(())
}

impl Captured {
    #[allow(clippy::unused_self)] // the guard says that this thread is captured
    pub fn text(&self) -> String {
        CAPTURED.with_borrow(|log| String::from_utf8_lossy(log.as_deref().unwrap_or_default()).into_owned())
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        CAPTURED.set(None);
    }
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CAPTURED.with_borrow_mut(|log| log.as_mut().map(|log| log.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
