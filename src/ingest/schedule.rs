//! What follows from a fetch that failed, and when the stream is read next. Pure.
//!
//! Source: Scoffable developer documentation 1.0.0, "Order Sync" and "Rate Limits", for what is said about 429 and
//! waiting; every other status is undocumented, and what is done about it is our own choice.

use std::time::Duration;

use crate::{
    config::SourceSettings,
    delivery::backoff::exponential,
    domain::ids::SourceName,
    source::scoffable::client::{FetchError, ThrottleScope},
    store::{budgets::MinuteLimit, sources::PollEnd},
    telemetry::chain,
};

/// How often a parked stream is tried all the same.
pub const PARKED_PACE: Duration = Duration::from_mins(15);
/// A cursor is called dead once the identical request failed this often.
pub const CURSOR_TRIES: u32 = 3;
/// How far before the last success a stream begins again whose cursor died; what is read twice is dropped.
pub const RESTART_MARGIN: Duration = Duration::from_hours(24);
/// Data older than this is not kept by the platform: then a restart begins with the oldest there is.
/// Source: Scoffable developer documentation 1.0.0, "Pagination": up to 36 calendar months.
pub const RETENTION: Duration = Duration::from_hours(25920);

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
const FIRST_THROTTLE: Duration = Duration::from_secs(2);

/// What is known when a fetch failed.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// Consecutive failed polls before this one.
    pub failures: u32,
    /// How often this very cursor was refused before.
    pub cursor_refusals: u32,
    /// Consecutive 429 answers, this one included.
    pub throttles: u32,
    /// From 0 to 1.
    pub random: f64,
}

/// How the poll ends and when the next one begins.
pub fn after_failure(settings: &SourceSettings, error: &FetchError, trouble: Trouble) -> (PollEnd, Duration) {
    let text = chain(error);
    let soon = exponential(FIRST_WAIT, LONGEST_WAIT, trouble.failures + 1, 0.2);
    let parked = |reason, hint: &str| {
        let end = PollEnd::Parked { reason, hint: hint.to_owned(), error: text.clone(), refused_credential: None };
        (end, PARKED_PACE.max(settings.poll_interval))
    };
    match error {
        FetchError::Throttled { retry_after, scope } => {
            let asked =
                retry_after.unwrap_or_else(|| exponential(FIRST_THROTTLE, LONGEST_WAIT, trouble.throttles, 0.0));
            // Only ever later than asked.
            let wait = asked.mul_f64(1.0 + 0.1 * trouble.random.clamp(0.0, 1.0));
            (PollEnd::Throttled { whole_account: *scope == ThrottleScope::Account }, wait.max(asked))
        }
        FetchError::Unauthorized { .. } => parked(
            "unauthorized",
            "the platform refuses the token: put a valid one where `token` says; it is read again by itself",
        ),
        FetchError::CursorSuspect { .. } if trouble.cursor_refusals + 1 < CURSOR_TRIES => {
            // Whatever else failed before, the next answer tells about the cursor.
            let soon = exponential(FIRST_WAIT, LONGEST_WAIT, trouble.cursor_refusals + 1, 0.2);
            (PollEnd::CursorRefused { error: text }, soon)
        }
        FetchError::CursorSuspect { .. } if settings.recover_dead_cursor => {
            (PollEnd::CursorDropped { error: text }, Duration::ZERO)
        }
        FetchError::CursorSuspect { .. } => parked(
            "dead_cursor",
            "the platform no longer knows our position: name an earlier time by `source rewind`, or set \
             `recover_dead_cursor = true` to begin a day before the last success (versions read twice are dropped)",
        ),
        FetchError::BadRequest => parked(
            "bad_request",
            "the platform refuses our parameters: check page_size, min_age_minutes and start_from of this source",
        ),
        FetchError::Redirected { .. } => {
            parked("redirected", "the platform answers with a redirect: set the final address as base_url")
        }
        FetchError::Permanent { .. } => {
            parked("refused", "the platform refuses the request: check base_url; it is tried again slowly")
        }
        FetchError::Transient { retry_after, .. } => {
            (PollEnd::Failing { error: text }, soon.max(retry_after.unwrap_or_default()))
        }
        FetchError::Malformed(_) | FetchError::TooLarge => (PollEnd::Failing { error: text }, soon),
    }
}

/// When a stream that is caught up is read next: the interval, a tenth more or less.
pub fn next_poll(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0))
}

/// The scopes in which a source's requests are reserved: its token's, and its account's, which it shares with every
/// source and process that reads the account.
pub fn limits(name: &SourceName, settings: &SourceSettings) -> Vec<MinuteLimit> {
    let limit = |scope, per_minute: Option<u32>| per_minute.map(|per_minute| MinuteLimit { scope, per_minute });
    let of_token = limit(format!("source:{name}"), settings.requests_per_minute.per_minute());
    let of_account = limit(format!("account:{}", settings.account), settings.account_requests_per_minute.per_minute());
    of_token.into_iter().chain(of_account).collect()
}
