//! Everything that talks to Postgres: one file per table, and the only module that contains SQL.
//!
//! Functions are verbs of the domain. Each statement stands alone and is atomic by itself, so nothing here needs a
//! session: no advisory locks, no `LISTEN`, no settings that outlive a statement. Time is the database's `now()` plus
//! the clock's offset; the caller passes the offset in milliseconds.
//!
//! Lock order: a statement that writes several deliveries takes them in the order (sink, source, order id); ingest
//! takes its source's row before anything else.

pub mod alert_messages;
pub mod alerts;
pub mod backfill;
pub mod budgets;
pub mod catalogue;
pub mod completeness;
pub mod credentials;
pub mod deliveries;
pub mod demo;
pub mod erasure;
pub mod housekeeping;
pub mod ingest;
pub mod line;
pub mod links;
pub mod operations;
pub mod orders;
pub mod quarantine;
pub mod reconciliation;
pub mod replay;
pub mod retention;
pub mod shadow;
pub mod sinks;
pub mod slots;
pub mod sources;
pub mod status;
pub mod summaries;
pub mod watch;

/// A statement that failed.
#[derive(Debug, thiserror::Error)]
#[error("database: {operation} failed")]
pub struct StoreError {
    /// Which function.
    pub operation: &'static str,
    #[source]
    pub source: sqlx::Error,
}

impl StoreError {
    pub(crate) fn of(operation: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self { operation, source }
    }

    /// Whether this very data can never be stored: class 22 (data), 23 (constraint), 54 (a limit of the server's) or an
    /// encoding fault. Everything else (connection, deadlock, restart, disk full) may pass.
    pub fn is_about_the_data(&self) -> bool {
        match &self.source {
            sqlx::Error::Database(error) => {
                error.code().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
            }
            sqlx::Error::Encode(_) => true,
            _ => false,
        }
    }
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// A duration as SQL takes it.
pub(crate) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}
