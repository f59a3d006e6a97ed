//! `doctor`: tries what `run` would need, and says for each thing that is not well what to do about it.
//!
//! Stores nothing and posts nothing. Each source is asked for one version at its stored position, which counts against
//! its request limit and is reserved there like any other request; GoDataFeed is asked for its new orders once; a webhook is
//! only connected to, of a point of sale the locations and menus are read, and of a Xero organisation or a Lightspeed shop
//! what its orders share. A mail server is logged in at and sent nothing.

mod lightspeed;
mod people;
mod spoton;
mod unleashed;
mod xero;

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use serde::Serialize;
use sqlx::PgPool;
use tokio::net::{TcpListener, TcpStream};

use super::{FINE, NOT_WELL, config::Form, database::open};
use crate::{
    clock::Clock,
    config::{
        DatabaseSettings, DatabaseUrl, HttpUrl, Problem, Secret, Settings, SinkCommon, SinkKind, SourceSettings,
        secret::Origin,
    },
    database::{
        Database, DatabaseSource, MIGRATOR,
        install::Consent,
        migrate::{MigrateError, pending_migrations, supports_lz4},
    },
    domain::{
        delivery::{Outcome, Reason},
        ids::{SinkName, SourceName},
    },
    http,
    ingest::schedule::limits,
    sinks::{
        self,
        godatafeed::{
            Godatafeed,
            config::{AuthSettings, GodatafeedSettings},
        },
        lightspeed::config::Access,
    },
    source::scoffable::client::{ClientSettings, Fault, FetchError, Position, ScoffableClient},
    store::{
        budgets::{self, Reserved},
        status,
    },
    telemetry::chain,
};

/// A person waits: nothing is waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between our clock and the database's. Ours only labels; a wrong one makes receivers refuse signatures.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    /// Worth knowing.
    Note,
    Warning,
    /// Something will not work.
    Problem,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    /// A key of the configuration, or a table of it.
    subject: String,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn fine(&mut self, subject: impl Into<String>, found: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, subject: subject.into(), found: found.into(), to_do: None });
    }

    fn add(&mut self, level: Level, subject: impl Into<String>, found: impl Into<String>, to_do: impl Into<String>) {
        let to_do = Some(to_do.into());
        self.0.push(Finding { level, subject: subject.into(), found: found.into(), to_do });
    }
}

/// Examines everything that is configured. `warnings` are what reading the configuration brought up. Returns the exit
/// code: 0, or 1 when there is a problem; warnings alone are 0.
pub async fn run(settings: &Settings, warnings: &[Problem], form: Form, out: &mut impl Write) -> io::Result<u8> {
    let mut findings = Findings::default();
    for warning in warnings {
        let to_do = warning.suggestion.clone().unwrap_or_default();
        findings.add(Level::Warning, &warning.key, &warning.problem, to_do);
    }
    examine_secrets(settings, &mut findings);
    examine_listen(settings.http.listen, &mut findings).await;

    let database = examine_database(settings, &mut findings).await;
    let pool = database.as_ref().map(|found| (&found.database.pool, found.is_migrated));
    for (name, source) in &settings.sources {
        // Position and limit stand in tables that a database without our schema does not have.
        let pool = pool.filter(|(_, is_migrated)| *is_migrated).map(|(pool, _)| pool);
        examine_source(name, source, pool, &mut findings).await;
    }
    for (name, sink) in &settings.sinks {
        let subject = format!("sinks.{name}");
        match &sink.kind {
            SinkKind::Webhook(webhook) => examine_reach(&subject, &webhook.url, &mut findings).await,
            SinkKind::Spoton(spoton) => spoton::examine(name, sink, spoton, &mut findings).await,
            SinkKind::Godatafeed(feed) => examine_feed(name, feed, &sink.common, &mut findings).await,
            SinkKind::Xero(books) => {
                let pool = pool.filter(|(_, is_migrated)| *is_migrated).map(|(pool, _)| pool);
                xero::examine(name, sink, books, pool, &mut findings).await;
            }
            SinkKind::Unleashed(stock) => {
                let pool = pool.filter(|(_, is_migrated)| *is_migrated).map(|(pool, _)| pool);
                unleashed::examine(name, sink, stock, pool, &mut findings).await;
            }
            SinkKind::Lightspeed(shop) => {
                let pool = pool.filter(|(_, is_migrated)| *is_migrated).map(|(pool, _)| pool);
                lightspeed::examine(name, sink, shop, pool, &mut findings).await;
            }
            #[cfg(feature = "failpoints")]
            SinkKind::Scripted(till) => examine_reach(&subject, &till.url, &mut findings).await,
        }
    }
    people::examine(&settings.alerts, settings.traces.as_ref(), &mut findings).await;
    if let Some(found) = database
        && let Err(error) = found.database.close().await
    {
        findings.add(Level::Warning, "database.url", chain(&error), "see the server's log in its data folder");
    }
    write_findings(&findings.0, form, out)
}

fn write_findings(findings: &[Finding], form: Form, out: &mut impl Write) -> io::Result<u8> {
    let has_problems = findings.iter().any(|finding| finding.level == Level::Problem);
    match form {
        Form::Json => {
            let answer = serde_json::json!({ "ok": !has_problems, "findings": findings });
            writeln!(out, "{answer:#}")?;
        }
        Form::Text => {
            for Finding { level, subject, found, to_do } in findings {
                writeln!(out, "{level:<8} {subject}: {found}")?;
                if let Some(to_do) = to_do {
                    writeln!(out, "{:9}→ {to_do}", "")?;
                }
            }
        }
    }
    Ok(if has_problems { NOT_WELL } else { FINE })
}

fn examine_secrets(settings: &Settings, findings: &mut Findings) {
    let mut secrets: Vec<(String, &Secret)> = Vec::new();
    secrets.extend(settings.http.admin_token.iter().map(|secret| ("http.admin_token".to_owned(), secret)));
    secrets.extend(settings.sources.iter().map(|(name, source)| (format!("sources.{name}.token"), &source.token)));
    let login = settings.alerts.email.iter().filter_map(|email| email.login.as_ref());
    secrets.extend(login.map(|login| ("alerts.email.password".to_owned(), &login.password)));
    secrets.extend(settings.alerts.webhook.iter().map(|hook| ("alerts.webhook.url".to_owned(), hook.url.secret())));
    secrets.extend(settings.alerts.ping_url.iter().map(|url| ("alerts.ping_url".to_owned(), url.secret())));
    let told = settings.traces.iter().flat_map(|traces| &traces.headers);
    secrets.extend(told.map(|(header, secret)| (format!("traces.headers.{header}"), secret)));
    for (name, sink) in &settings.sinks {
        match &sink.kind {
            SinkKind::Webhook(webhook) => {
                secrets.push((format!("sinks.{name}.signing_secret"), &webhook.signing_secret));
                let headers = webhook.headers.iter();
                secrets.extend(headers.map(|(header, secret)| (format!("sinks.{name}.headers.{header}"), secret)));
            }
            SinkKind::Spoton(spoton) => {
                secrets.push((format!("sinks.{name}.client_id"), &spoton.client_id));
                secrets.push((format!("sinks.{name}.client_secret"), &spoton.client_secret));
            }
            SinkKind::Godatafeed(feed) => secrets.push(match &feed.auth {
                AuthSettings::StaticToken { token } => (format!("sinks.{name}.token"), token),
                AuthSettings::ConsumerKey { consumer_key, .. } => (format!("sinks.{name}.consumer_key"), consumer_key),
            }),
            SinkKind::Xero(books) => {
                secrets.push((format!("sinks.{name}.client_id"), &books.client_id));
                secrets.push((format!("sinks.{name}.client_secret"), &books.client_secret));
                let first = books.refresh_token.iter();
                secrets.extend(first.map(|secret| (format!("sinks.{name}.refresh_token"), secret)));
            }
            SinkKind::Unleashed(stock) => {
                secrets.push((format!("sinks.{name}.api_id"), &stock.api_id));
                secrets.push((format!("sinks.{name}.api_key"), &stock.api_key));
            }
            SinkKind::Lightspeed(shop) => match &shop.access {
                Access::Personal { token } => secrets.push((format!("sinks.{name}.token"), token)),
                Access::Application(application) => {
                    secrets.push((format!("sinks.{name}.client_id"), &application.client_id));
                    secrets.push((format!("sinks.{name}.client_secret"), &application.client_secret));
                    secrets.push((format!("sinks.{name}.refresh_token"), &application.refresh_token));
                }
            },
            #[cfg(feature = "failpoints")]
            SinkKind::Scripted(till) => secrets.push((format!("sinks.{name}.token"), &till.token)),
        }
    }
    for (key, secret) in secrets {
        let Origin::File(path) = secret.origin() else { continue };
        match secret.read() {
            Ok(_) => examine_mode(&key, path, findings),
            Err(error) => findings.add(Level::Problem, key, chain(&error), error.what_to_do()),
        }
    }
}

fn examine_mode(key: &str, path: &Path, findings: &mut Findings) {
    // It was read a moment ago; if it is gone by now the next run says so.
    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.mode();
    let shown = path.display();
    if mode & 0o006 != 0 {
        let found = format!("any user of this machine may read or change {shown}");
        findings.add(Level::Warning, key, found, format!("`chmod 600 {shown}`, owned by the user of the service"));
    } else {
        findings.fine(key, format!("{shown} can be read, and not by everybody"));
    }
}

async fn examine_listen(listen: Option<SocketAddr>, findings: &mut Findings) {
    const KEY: &str = "http.listen";
    let Some(address) = listen else {
        let to_do = "set an address where probes, metrics or the API are wanted";
        return findings.add(Level::Note, KEY, "nothing is served", to_do);
    };
    match TcpListener::bind(address).await {
        Ok(_) => findings.fine(KEY, format!("{address} is free")),
        Err(_) if address.port() != 0 && super::status::live(address).await == FINE => {
            findings.fine(KEY, format!("the service answers at {address}"));
        }
        Err(error) => {
            let to_do = "stop what listens there, or set another address; `run` cannot start so";
            findings.add(Level::Problem, KEY, format!("{address} cannot be listened on: {error}"), to_do);
        }
    }
}

struct Found {
    database: Database,
    is_migrated: bool,
}

async fn examine_database(settings: &Settings, findings: &mut Findings) -> Option<Found> {
    const KEY: &str = "database.url";
    if let DatabaseUrl::Embedded { .. } = settings.database.url
        && let Ok(DatabaseSource::Embedded { dir }) =
            DatabaseSource::parse(settings.database.url.text().expose_secret())
        && !dir.exists()
    {
        let found = format!("there is no database in {} yet", dir.display());
        findings.add(Level::Note, KEY, found, "nothing: `run` and `demo` make it");
        return None;
    }
    let patient = DatabaseSettings {
        connect_timeout: settings.database.connect_timeout.min(PATIENCE),
        max_connections: 2,
        ..settings.database.clone()
    };
    let database = match open(&patient, Consent::Withheld).await {
        Ok(database) => database,
        Err(error) => {
            let to_do = "check that Postgres runs, that the address, user and database are right, and that pg_hba.conf \
                         lets this machine in; behind PgBouncer: 1.21 or newer with max_prepared_statements above 0";
            findings.add(Level::Problem, KEY, chain(&error), to_do);
            return None;
        }
    };
    examine_server(&database.pool, findings).await;
    let is_migrated = examine_schema(&database.pool, findings).await;
    Some(Found { database, is_migrated })
}

async fn examine_server(pool: &PgPool, findings: &mut Findings) {
    const KEY: &str = "database";
    let server = match status::server(pool).await {
        Ok(server) => server,
        Err(error) => {
            return findings.add(Level::Problem, KEY, chain(&error), "check that the server stays up; try again");
        }
    };
    findings.fine(KEY, format!("PostgreSQL {} answers, and prepared statements reach it", server.version));
    let apart = (Clock::default().wall() - server.now).abs().to_std().unwrap_or_default();
    if apart > CLOCK_TOLERANCE {
        let found = format!("its clock and this machine's are {} s apart", apart.as_secs());
        findings.add(Level::Warning, KEY, found, "synchronise both (NTP): receivers refuse signatures of another time");
    }
    let lz4 = match pool.acquire().await {
        Ok(mut connection) => supports_lz4(&mut connection).await.ok(),
        Err(_) => None,
    };
    if lz4 == Some(false) {
        let to_do = "nothing must be done; a server with lz4 takes orders in faster";
        findings.add(Level::Note, KEY, "the server was built without lz4: payloads are compressed the slow way", to_do);
    }
}

/// Whether the tables are as this program knows them.
async fn examine_schema(pool: &PgPool, findings: &mut Findings) -> bool {
    const KEY: &str = "database schema";
    match pending_migrations(pool, &MIGRATOR).await {
        Ok(pending) if pending.is_empty() => {
            findings.fine(KEY, "up to date");
            true
        }
        Ok(pending) => {
            let found = format!("migrations are pending: {pending:?}");
            findings.add(Level::Note, KEY, found, "`run` applies them at its start, and so does `migrate`");
            false
        }
        Err(error @ MigrateError::Database(_)) => {
            findings.add(Level::Problem, KEY, chain(&error), "check that the role may read the schema");
            false
        }
        Err(error) => {
            let to_do = "use the version of this program that the database belongs to, or another database";
            findings.add(Level::Problem, KEY, chain(&error), to_do);
            false
        }
    }
}

async fn examine_source(name: &SourceName, source: &SourceSettings, pool: Option<&PgPool>, findings: &mut Findings) {
    let subject = format!("sources.{name}");
    let position = match pool {
        None => start(source),
        Some(pool) => match status::cursor(pool, name).await {
            Ok(cursor) => cursor.map_or_else(|| start(source), Position::Cursor),
            Err(error) => {
                return findings.add(Level::Problem, subject, chain(&error), "see what is said of the database");
            }
        },
    };
    if let Some(pool) = pool {
        match budgets::reserve_minute(pool, &limits(name, source), 0).await {
            Ok(Reserved::Granted) => {}
            Ok(Reserved::Full { wait }) => {
                let found = format!("not asked: its request limit is used up for {} s", wait.as_secs() + 1);
                return findings.add(Level::Note, subject, found, "normal while old orders are read; else try again");
            }
            Err(error) => {
                return findings.add(Level::Problem, subject, chain(&error), "see what is said of the database");
            }
        }
    }
    let client = ClientSettings {
        base_url: source.base_url.as_url().clone(),
        token: source.token.value().clone(),
        page_size: 1,
        min_age_minutes: source.min_age_minutes,
        timeout: source.request_timeout,
        connect_timeout: source.connect_timeout,
        user_agent: concat!("scoffable-sync/", env!("CARGO_PKG_VERSION"), " (doctor)").to_owned(),
    };
    let fetched = match ScoffableClient::new(client, Clock::default()) {
        Ok(client) => client.fetch(&position).await,
        Err(error) => {
            return findings.add(Level::Problem, subject, chain(&error), "correct base_url and token of this source");
        }
    };
    let place = match position {
        Position::Cursor(_) => "at the stored position",
        Position::From(_) => "at `start_from`",
        Position::Oldest => "at the oldest order",
    };
    match fetched {
        Ok(page) => {
            let more = if page.has_more || !page.orders.is_empty() { "orders are ready" } else { "nothing new" };
            findings.fine(subject, format!("answers {place}, {more} (one request of its limit was used)"));
        }
        Err(error) => {
            let (level, to_do) = remedy(&error);
            findings.add(level, subject, format!("{} ({place})", chain(&error)), to_do);
        }
    }
}

fn start(source: &SourceSettings) -> Position {
    source.start_from.map_or(Position::Oldest, Position::From)
}

fn remedy(error: &FetchError) -> (Level, &'static str) {
    match error {
        FetchError::Throttled { .. } => (
            Level::Warning,
            "something else uses this token's or account's limit: find it, or lower requests_per_minute",
        ),
        FetchError::Unauthorized { .. } => {
            (Level::Problem, "put a valid token, from the Partner Centre, where `token` says; `run` notices by itself")
        }
        FetchError::CursorSuspect { .. } => (
            Level::Problem,
            "try again; if it stays, set `recover_dead_cursor = true` to begin again a day before the last success",
        ),
        FetchError::BadRequest => (Level::Problem, "check min_age_minutes and start_from of this source"),
        FetchError::Redirected { .. } => (Level::Problem, "set the final address as base_url"),
        FetchError::Permanent { .. } => (Level::Problem, "check base_url"),
        FetchError::Transient { fault: Fault::Connect, .. } => {
            (Level::Problem, "check base_url, DNS, the firewall and any proxy between")
        }
        FetchError::Transient { fault: Fault::Timeout | Fault::Interrupted | Fault::Status(_), .. } => {
            (Level::Warning, "try again; `run` goes on trying by itself")
        }
        FetchError::Malformed(_) | FetchError::TooLarge => {
            (Level::Problem, "check that base_url leads to the API and not to a web page or a proxy's answer")
        }
    }
}

/// Lists the new orders once, as the daemon does every `poll_interval`.
async fn examine_feed(name: &SinkName, feed: &GodatafeedSettings, common: &SinkCommon, findings: &mut Findings) {
    let subject = format!("sinks.{name}");
    if !feed.templates_confirmed {
        let to_do = "compare templates, pointers and fields with the account's API collection, then set \
                     `templates_confirmed = true`; until then nothing is written there, and `plan` shows what would be";
        findings.add(Level::Warning, &subject, "`templates_confirmed` is false: orders are listed and wait", to_do);
    }
    let client = match sinks::http_client(common) {
        Ok(client) => client,
        Err(error) => return findings.add(Level::Problem, subject, chain(&error), "report this"),
    };
    let clock = Clock::default();
    let patience = PATIENCE.min(common.request_timeout);
    let listed = Godatafeed::build(feed, patience, client, name, &clock).list(clock.wall()).await;
    let answer = match listed {
        Ok(listing) => {
            let cut = if listing.may_be_cut { ", perhaps not all" } else { "" };
            return findings.fine(subject, format!("lists {} new orders{cut} (one call was made)", listing.len()));
        }
        Err(answer) => answer,
    };
    let status = answer.http_status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
    let (level, found, to_do) = match &answer.outcome {
        Outcome::Blocked { reason: Reason::Misconfigured } => (
            Level::Problem,
            "the list of new orders is not there, or has another form",
            "correct base_url, api, templates and pointers by the account's API collection",
        ),
        Outcome::Blocked { .. } => (
            Level::Problem,
            "the token is refused",
            "make a new token in GoDataFeed's app and put it where `token` says, or check the consumer key",
        ),
        Outcome::Throttled { .. } => (Level::Warning, "asked to slow down", "something else uses the account's calls"),
        Outcome::Retry { reason: Reason::ConnectFailed, .. } => {
            (Level::Problem, "cannot be reached", "check base_url, DNS, the firewall and any proxy between")
        }
        _ => (Level::Warning, "the new orders could not be listed", "try again; `run` goes on trying by itself"),
    };
    findings.add(level, subject, format!("{found}{status}"), to_do);
}

/// Resolves, connects and shakes hands; sends no request.
async fn examine_reach(subject: &str, url: &HttpUrl, findings: &mut Findings) {
    let url = url.as_url();
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return findings.add(Level::Problem, subject, "the address has no host", "correct it");
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let addresses: Vec<SocketAddr> = match in_time(tokio::net::lookup_host((host.as_str(), port))).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            let to_do = "check the name in the address and this machine's DNS";
            return findings.add(Level::Problem, subject, format!("{host} cannot be resolved: {error}"), to_do);
        }
    };
    let stream = match in_time(TcpStream::connect(addresses.as_slice())).await {
        Ok(stream) => stream,
        Err(error) => {
            let to_do = "check that the receiver runs, the port in the address, and the firewall; what is for it waits meanwhile";
            return findings.add(Level::Problem, subject, format!("{host}:{port} cannot be reached: {error}"), to_do);
        }
    };
    if url.scheme() == "http" {
        return findings.fine(subject, format!("{host}:{port} can be reached (nothing was sent)"));
    }
    match shake_hands(stream, host.clone()).await {
        Ok(()) => findings.fine(subject, format!("{host}:{port} can be reached by TLS (nothing was sent)")),
        Err(error) => {
            let to_do = "check that the port speaks TLS and that its certificate is valid, for this name, and of a \
                         public authority";
            findings.add(Level::Problem, subject, format!("TLS with {host}:{port} fails: {error}"), to_do);
        }
    }
}

async fn in_time<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, doing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Trusts what the HTTP client trusts.
async fn shake_hands(stream: TcpStream, host: String) -> io::Result<()> {
    let config = http::tls();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let handshake = tokio::task::spawn_blocking(move || {
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(())
    });
    handshake.await.map_err(io::Error::other)?
}
