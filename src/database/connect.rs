//! Reaches a Postgres server and hands out the pool, or says what is in the way.
//!
//! Waits for a server that is not there yet, fails at once where waiting cannot help, and refuses what would break later:
//! a server that is too old, or a pooler that does not carry prepared statements. Sets nothing that lives in a session.
//! Passwords never reach an error: a server is named by [`Target`].

use std::{fmt, num::NonZeroUsize, path::PathBuf, pin::pin, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions as _, Connection, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::Instant;
use tracing::log::LevelFilter;

use super::embedded::OLDEST_MAJOR;

/// Wait after the first failed attempt; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// One attempt may take this long: a host that swallows packets must not eat the whole patience.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
/// A connection unused for this long is asked for a sign of life before it is handed out.
const STALE_AFTER: Duration = Duration::from_secs(10);
/// One that gives none in this time leads nowhere, and another is taken.
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(5);

/// Each statement must see what was committed while it waited for a lock, whatever the server's default is; and where we are
/// gone without a word, the server frees what we had locked. Longer than we look away between two statements.
const BEGIN: &str = "-- connect.begin
    BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '10s'";

#[derive(Debug, Clone)]
pub struct ConnectOptions {
    pub max_connections: u32,
    /// How long to wait for an unreachable server (default 30 s), and for a free connection of the pool later.
    pub connect_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Prepared statements kept per connection. Not zero: sqlx then prepares a named statement at every call and never
    /// closes it, so switching the cache off leaks, and helps behind no pooler.
    pub statement_cache: NonZeroUsize,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            max_connections: 16,
            connect_timeout: Duration::from_secs(30),
            application_name: "scoffable-sync".to_owned(),
            statement_cache: const { NonZeroUsize::new(256).expect("256 is not zero") },
        }
    }
}

/// The server, database and user a URL leads to. Holds no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
}

impl Target {
    fn of(options: &PgConnectOptions) -> Self {
        let socket = options.get_socket().map(PathBuf::as_path).map(|path| path.display().to_string());
        Self {
            host: socket.unwrap_or_else(|| options.get_host().to_owned()),
            port: options.get_port(),
            database: options.get_database().unwrap_or(options.get_username()).to_owned(),
            user: options.get_username().to_owned(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, database, user } = self;
        write!(f, "postgres at {host} port {port} (database {database}, user {user})")
    }
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("database.url is not a valid postgres URL")]
    InvalidUrl(#[source] sqlx::Error),
    /// Waiting longer might help.
    #[error("{target} could not be reached within {} s", .waited.as_secs())]
    Unreachable { target: Box<Target>, waited: Duration, source: sqlx::Error },
    /// The server is there and says no: waiting does not help.
    #[error("{target} refuses us")]
    Refused { target: Box<Target>, source: sqlx::Error },
    #[error("{target} is PostgreSQL {major}, and {OLDEST_MAJOR} or newer is needed")]
    TooOld { target: Box<Target>, major: u32 },
    #[error("{target}: {POOLER_HINT}")]
    StatementsNotCarried { target: Box<Target>, source: sqlx::Error },
}

/// What to do about a pooler that loses prepared statements.
pub const POOLER_HINT: &str = "prepared statements get lost on the way, as behind PgBouncer in transaction mode: use \
    PgBouncer 1.21 or newer with max_prepared_statements above 0, or pool_mode = session, or connect to the server itself";

/// The hint for an error whose cause is a pooler between us and the server; `None` for every other error.
pub fn pooler_hint(error: &sqlx::Error) -> Option<&'static str> {
    let database = error.as_database_error()?;
    lost_statement(database.code().as_deref(), database.message()).then_some(POOLER_HINT)
}

/// `26000`: the named statement does not exist (on this server process); `42P05`: it exists already. Some poolers answer
/// by themselves with a protocol violation.
fn lost_statement(code: Option<&str>, message: &str) -> bool {
    matches!(code, Some("26000" | "42P05"))
        || message.contains("prepared statement")
            && (message.contains("not exist") || message.contains("already exists"))
}

/// Opens a pool on `url`, waiting up to `connect_timeout` for the server.
pub async fn connect(url: &SecretString, options: &ConnectOptions) -> Result<PgPool, ConnectError> {
    let parsed = parse(url, options)?;
    let target = Target::of(&parsed);

    let began = Instant::now();
    loop {
        let left = options.connect_timeout.saturating_sub(began.elapsed());
        let mut first = reach(&parsed, &target, left).await?;
        let checked = check(&mut first, &parsed, &target).await;
        let _ = first.close().await;
        match checked {
            Ok(()) => break,
            // It was there and went away again, as a restart may have it.
            Err(ConnectError::Unreachable { source, .. }) if may_pass(&source) && left > LONGEST_PAUSE => {
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }

    Ok(PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(options.connect_timeout)
        .idle_timeout(Duration::from_mins(5))
        .max_lifetime(Duration::from_mins(30))
        // The default asks the server before every use, which doubles the round trips of a busy loop.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for >= STALE_AFTER {
                    sign_of_life(connection).await?;
                }
                Ok(true)
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                // A page of versions makes its connection's buffer megabytes wide for good, and each of the pool's has its turn.
                connection.shrink_buffers();
                Ok(true)
            })
        })
        .connect_lazy_with(parsed))
}

/// Begins a transaction that outlives its connection by seconds.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    pool.begin_with(BEGIN).await
}

/// `work` in a transaction that may take its time, and its commit: as long as the server works on it or waits for a lock. A
/// connection whose answer was lost would be waited for without end, so another looks every few seconds whether the server
/// waits for us instead; then, as where it has no such transaction any more, this fails like a connection that was lost.
///
/// An error of `work` itself is the inner one; nothing is changed then.
pub async fn at_length<T, E>(
    pool: &PgPool,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<Result<T, E>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    // Boxed: whoever waits for this would carry all of the work along.
    let answered = Box::pin(while_worked_on(pool, &mut connection, work)).await;
    if answered.is_err() {
        connection.close_on_drop();
    }
    answered
}

async fn while_worked_on<T, E>(
    pool: &PgPool,
    connection: &mut PgConnection,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<Result<T, E>, sqlx::Error> {
    let (mut transaction, server) = in_time(async {
        let mut transaction = connection.begin_with(BEGIN).await?;
        let own = "-- connect.at_length\nSELECT pg_backend_pid() AS process, now() AS since";
        let server: Server = sqlx::query_as(own).fetch_one(&mut *transaction).await?;
        Ok((transaction, server))
    })
    .await?;
    let mut answered = pin!(async {
        match work(&mut transaction).await {
            Ok(done) => transaction.commit().await.map(|()| Ok(done)),
            Err(error) => transaction.rollback().await.map(|()| Err(error)),
        }
    });
    loop {
        let look = async {
            tokio::time::sleep(SIGN_OF_LIFE_WITHIN).await;
            in_time(server.works_on_it(pool)).await
        };
        tokio::select! {
            biased;
            answered = &mut answered => return answered,
            // A look that fails tells nothing.
            works = look => if let Ok(false) = works { return Err(no_answer()) },
        }
    }
}

/// The server's end of a transaction.
#[derive(Debug, sqlx::FromRow)]
struct Server {
    process: i32,
    since: DateTime<Utc>,
}

impl Server {
    /// False: it has waited for us for some time, or knows nothing of this transaction (any more). Source: PostgreSQL's
    /// documentation of `pg_stat_activity` (`state`, `state_change`, `xact_start`, which is the transaction's `now()`).
    async fn works_on_it(&self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let query = "-- connect.works_on_it
            SELECT state NOT LIKE 'idle%' OR state_change > clock_timestamp() - $3 * interval '1 second'
            FROM pg_stat_activity
            WHERE pid = $1 AND xact_start = $2";
        let mut other = PgConnection::connect_with(&pool.connect_options()).await?;
        let works =
            sqlx::query_scalar(query).bind(self.process).bind(self.since).bind(SIGN_OF_LIFE_WITHIN.as_secs_f64());
        Ok(works.fetch_optional(&mut other).await?.unwrap_or(false))
    }
}

async fn sign_of_life(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    in_time(connection.ping()).await
}

/// What is answered at once by a connection that leads somewhere.
async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(SIGN_OF_LIFE_WITHIN, answer).await.map_err(|_| no_answer())?
}

/// Host, port, database and user of `url`, for people.
pub fn target(url: &SecretString) -> Result<Target, ConnectError> {
    parse(url, &ConnectOptions::default()).map(|parsed| Target::of(&parsed))
}

fn parse(url: &SecretString, options: &ConnectOptions) -> Result<PgConnectOptions, ConnectError> {
    let parsed = PgConnectOptions::from_str(url.expose_secret()).map_err(ConnectError::InvalidUrl)?;
    Ok(parsed
        .application_name(&options.application_name)
        .statement_cache_capacity(options.statement_cache.get())
        // A start-up parameter PgBouncer refuses by default. We read no floats.
        .extra_float_digits(None)
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Warn, Duration::from_secs(2)))
}

async fn reach(parsed: &PgConnectOptions, target: &Target, patience: Duration) -> Result<PgConnection, ConnectError> {
    let began = Instant::now();
    let deadline = began + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let limit = deadline.saturating_duration_since(Instant::now()).clamp(FIRST_PAUSE, ATTEMPT_LIMIT);
        let source = match tokio::time::timeout(limit, PgConnection::connect_with(parsed)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => no_answer(),
        };
        if is_final(&source) {
            return Err(ConnectError::Refused { target: Box::new(target.clone()), source });
        }
        if Instant::now() + pause >= deadline {
            return Err(ConnectError::Unreachable {
                target: Box::new(target.clone()),
                waited: began.elapsed(),
                source,
            });
        }
        if pause == FIRST_PAUSE {
            tracing::warn!(database = %target, error = %source, "database not reachable yet");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// As if the connection had ended.
pub(crate) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"))
}

/// Whether it is [`no_answer`], or what the system says once it has given up waiting for one (`ETIMEDOUT`). Source: tcp(7).
pub(crate) fn is_unanswered(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(e) if e.kind() == std::io::ErrorKind::TimedOut)
}

/// Whether a server that was reached has gone away, or is not ready: the same may go well a moment later. Beside connections
/// that were lost: lost races (class 40), missing resources (53), and no answer in time.
pub fn may_pass(error: &sqlx::Error) -> bool {
    is_lost(error)
        || is_of_class(error, &["40", "53"])
        || matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed)
}

/// Whether a connection was lost, and is known to be: another may do. Connection failures (class 08), a server that stops or
/// starts (57P), one that ended a transaction in which we were silent (25P03), and one that dies, which answers the greeting
/// with something else than the protocol has there. Source: PostgreSQL's documentation, appendix "Error Codes".
pub fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => !is_unanswered(error),
        sqlx::Error::Protocol(_) => true,
        error => is_of_class(error, &["08", "57P", "25P03"]),
    }
}

fn is_of_class(error: &sqlx::Error, classes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}

fn is_final(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(e) => is_refusal(e.code().as_deref(), e.message()),
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => true,
        _ => false,
    }
}

/// Whether the server's answer stays the same however often it is asked: wrong password or no entry for us (class 28),
/// unknown database (3D000), no right to connect (42501). PgBouncer answers under a code of its own, so by its words.
fn is_refusal(code: Option<&str>, message: &str) -> bool {
    let by_code = code.is_some_and(|code| code.starts_with("28") || code == "3D000" || code == "42501");
    let words = ["authentication failed", "no such database", "no such user", "unsupported startup parameter"];
    by_code || words.iter().any(|&text| message.contains(text))
}

/// Refuses a server that is too old, and a pooler that would break us later at a moment of its choosing.
async fn check(first: &mut PgConnection, parsed: &PgConnectOptions, target: &Target) -> Result<(), ConnectError> {
    let unreachable =
        |source| ConnectError::Unreachable { target: Box::new(target.clone()), waited: Duration::ZERO, source };
    let judge = |source: sqlx::Error| match pooler_hint(&source) {
        Some(_) => ConnectError::StatementsNotCarried { target: Box::new(target.clone()), source },
        None => unreachable(source),
    };

    // Without a pooler the number tells the major version in all supported releases: 150018 is 15.18.
    let query = "-- connect.check\nSELECT current_setting('server_version_num')::int";
    let number: i32 = sqlx::query_scalar(query).fetch_one(&mut *first).await.map_err(judge)?;
    let major = number as u32 / 10_000;
    if major < OLDEST_MAJOR {
        return Err(ConnectError::TooOld { target: Box::new(target.clone()), major });
    }

    // A statement prepared above must be there for the same client after its server process went to somebody else. The
    // second client, in a transaction, takes whatever process a pooler would have lent us again.
    let mut second = PgConnection::connect_with(parsed).await.map_err(unreachable)?;
    let mut blocker = second.begin().await.map_err(judge)?;
    sqlx::query_scalar::<_, i32>(query).fetch_one(&mut *blocker).await.map_err(judge)?;
    sqlx::query_scalar::<_, i32>(query).fetch_one(&mut *first).await.map_err(judge)?;
    blocker.rollback().await.map_err(judge)?;
    let _ = second.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_everything_but_the_password() {
        let url = SecretString::from("postgres://sync:hunter2@db.example:5433/orders");
        let shown = target(&url).unwrap().to_string();
        assert_eq!(shown, "postgres at db.example port 5433 (database orders, user sync)");
    }

    #[test]
    fn a_broken_url_is_an_error_that_does_not_repeat_it() {
        let error = target(&SecretString::from("postgres://sync:hunter2@db:notaport/x")).unwrap_err();
        let chain = format!("{error} {error:?} {}", std::error::Error::source(&error).unwrap());
        assert!(!chain.contains("hunter2"), "{chain}");
    }

    #[test]
    fn only_answers_that_stay_the_same_end_the_waiting() {
        assert!(is_refusal(Some("28P01"), "password authentication failed for user \"x\""));
        assert!(is_refusal(Some("3D000"), "database \"x\" does not exist"));
        assert!(is_refusal(Some("08P01"), "no such database: x"));

        assert!(!is_refusal(Some("57P03"), "the database system is starting up"));
        assert!(!is_refusal(Some("53300"), "sorry, too many clients already"));
        assert!(!is_refusal(Some("08P01"), "no more connections allowed (max_client_conn)"));
    }

    #[test]
    fn a_lost_prepared_statement_is_told_from_other_errors() {
        assert!(lost_statement(Some("26000"), "prepared statement \"sqlx_s_1\" does not exist"));
        assert!(lost_statement(Some("42P05"), "prepared statement \"sqlx_s_1\" already exists"));
        assert!(lost_statement(Some("08P01"), "prepared statement did not exist"));
        assert!(!lost_statement(Some("42P01"), "relation \"x\" does not exist"));
    }

    #[tokio::test]
    async fn an_unreachable_server_is_given_up_after_the_timeout_and_named() {
        // A port that was free a moment ago: nobody listens.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = SecretString::from(format!("postgres://sync:hunter2@127.0.0.1:{port}/orders"));
        let options = ConnectOptions { connect_timeout: Duration::from_millis(120), ..ConnectOptions::default() };

        let error = connect(&url, &options).await.unwrap_err();

        assert!(matches!(error, ConnectError::Unreachable { .. }));
        let text = format!("{error} {error:?}");
        assert!(text.contains(&port.to_string()) && text.contains("orders") && !text.contains("hunter2"));
    }
}
