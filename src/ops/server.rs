//! Probes, metrics and the API over HTTP: who is answered, and what is read. What changes something is in `api`.
//!
//! Every answer is JSON (metrics and the [page] excepted), errors too, and none holds a payload. On loopback a read needs no token, and
//! the `Host` header must name this machine, so that a web page cannot reach us through a name it controls. Beyond loopback everything but the two probes needs the admin token, the page a session that it began; the probes
//! then answer without their reasons. A browser is told to keep nothing and to guess nothing, and no other origin may read.
//!
//! Probes must not be starved by the service or starve it: reads of the database are few at a time and short.

use std::{collections::BTreeMap, fmt, io, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
    serve::{Listener, ListenerExt as _},
};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    api,
    health::{self, Health, Limits, Reason},
    metrics, page,
    timeline::{Event, timeline},
};
use crate::{
    app::App,
    clock::Clock,
    config::{RetentionSettings, Settings},
    database::{MIGRATOR, migrate::pending_migrations},
    domain::ids::{SinkName, SourceName},
    operate::{catalogue::Ground, erase},
    sinks::customers::Customers,
    store::{
        StoreError, orders,
        orders::OrderHistory,
        status::{self, Details, Overview},
    },
    telemetry::{chain, metrics::Metrics},
};

/// Longest wait for the database of any answer.
pub(super) const DATABASE_LIMIT: Duration = Duration::from_secs(3);
/// Reads of the database at once.
const READS: usize = 4;
/// Rows of each list in `/api/v1/status`.
const LISTED: u32 = 50;
/// A longer path and query is refused.
const LONGEST_URI: usize = 2 * 1024;
/// Larger headers, names and values together, are refused.
const LARGEST_HEADERS: usize = 16 * 1024;

/// What the answers are made of.
#[derive(Clone)]
pub struct OpsState {
    pub pool: PgPool,
    pub clock: Clock,
    pub present: Arc<ArcSwap<Present>>,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    pub version: &'static str,
    pub started_at: DateTime<Utc>,
    /// Whether the process turns: false makes `/livez` say so.
    pub alive: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Must be there to change anything, and to listen beyond loopback: without it nothing but the probes is answered
    /// there.
    pub admin_token: Option<SecretString>,
}

/// What follows a reload.
#[derive(Debug, Clone, Default)]
pub struct Present {
    /// What `prune` goes by.
    pub retention: RetentionSettings,
    /// How sinks tell customers apart, for `erase`.
    pub customers: Vec<Customers>,
    /// What the months of sinks that have a catalogue are planned from.
    pub grounds: BTreeMap<SinkName, Ground>,
}

impl Present {
    pub fn of(settings: &Settings, app: &App) -> Self {
        let grounds = app.catalogues.iter().filter_map(|worker| {
            let name = worker.sink();
            Some((name.clone(), Ground::of(worker, settings.sinks.get(name)?)?))
        });
        Self { retention: settings.retention, customers: erase::customers(settings), grounds: grounds.collect() }
    }
}

impl fmt::Debug for OpsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpsState").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Who may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Loopback,
    Beyond,
}

pub(super) struct Shared {
    pub(super) ops: OpsState,
    reach: Reach,
    /// The address listened on, which a `Host` header may name.
    ip: IpAddr,
    pub(super) reads: Semaphore,
    pub(super) changes: Semaphore,
    /// They read every order there is: one at a time, and never in the way of a probe.
    pub(super) books: Semaphore,
    pub(super) logins: page::Throttle,
    pub(super) live: page::Live,
    pub(super) reader: page::Reader,
    /// Ends what would go on for as long as somebody listens.
    pub(super) stop: CancellationToken,
}

/// Answers until told to stop; requests that are being answered then get their answer.
pub async fn serve(listener: TcpListener, ops: OpsState, stop: CancellationToken) -> io::Result<()> {
    let ip = Listener::local_addr(&listener)?.ip();
    let reach = if ip.is_loopback() { Reach::Loopback } else { Reach::Beyond };
    let logins = page::Throttle::new(ops.clock.clone());
    let shared = Arc::new(Shared {
        logins,
        ops,
        reach,
        ip,
        reads: Semaphore::new(READS),
        changes: Semaphore::new(api::CHANGES),
        books: Semaphore::new(1),
        live: page::Live::default(),
        reader: page::Reader::default(),
        stop: stop.clone(),
    });
    let listener = listener.tap_io(|stream| {
        // Without this, small answers wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router(shared)).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .route("/api/v1/status", get(api_status))
        .route("/api/v1/orders/{id}", get(api_order))
        .merge(api::router(&shared))
        .merge(page::router())
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not answer that method")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

/// An error as the caller sees it.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": { "code": self.code, "message": self.message } }))).into_response()
    }
}

/// Stands before every answer, that of a wrong path included.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let admitted = admit(&shared, request.method(), request.uri(), request.headers());
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(refusal) if page::is_ours(request.uri()) => page::refused(shared.ops.version, &refusal),
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

fn admit(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    if uri.path_and_query().is_some_and(|path| path.as_str().len() > LONGEST_URI) {
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, "uri_too_long", "the path is too long"));
    }
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > LARGEST_HEADERS {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal::new(status, "headers_too_large", "the headers are too large"));
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body && (method == Method::GET || method == Method::HEAD) {
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "no_body_expected", "a read has no body"));
    }
    match shared.reach {
        Reach::Loopback if !names_this_machine(shared.ip, uri, headers) => {
            let message = "the Host header names another machine: use localhost, 127.0.0.1 or [::1]";
            Err(Refusal::new(StatusCode::FORBIDDEN, "host_not_allowed", message))
        }
        Reach::Beyond if !is_probe(uri) && !has_token(shared, headers) && !may_see(shared, uri, headers) => {
            let message = "present the admin token as `Authorization: Bearer …`";
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "token_needed", message))
        }
        Reach::Loopback | Reach::Beyond => Ok(()),
    }
}

/// The pages only: a browser's session opens nothing else.
fn may_see(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> bool {
    page::is_door(uri) || page::is_ours(uri) && page::has_session(shared, headers)
}

fn is_probe(uri: &Uri) -> bool {
    matches!(uri.path(), "/livez" | "/readyz")
}

/// Any port: a tunnel may lend us another one.
fn names_this_machine(ip: IpAddr, uri: &Uri, headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else { return false };
    let Some(host) = host.to_str().ok().and_then(|host| host.parse::<axum::http::uri::Authority>().ok()) else {
        return false;
    };
    let is_ours = |host: &str| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|named| named == ip || is_usual_loopback(named))
    };
    // An address in the request line takes precedence over the header for some, so both have to be ours.
    !host.as_str().contains('@') && is_ours(host.host()) && uri.host().is_none_or(is_ours)
}

fn is_usual_loopback(ip: IpAddr) -> bool {
    ip == IpAddr::from([127, 0, 0, 1]) || ip == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])
}

pub(super) fn has_token(shared: &Shared, headers: &HeaderMap) -> bool {
    let Some(token) = &shared.ops.admin_token else { return false };
    let Some(value) = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes) else { return false };
    let Some((scheme, presented)) = value.split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && is_same(presented, token)
}

/// Takes the same time wherever the texts differ, and however long the right one is: their digests are compared, all
/// bytes of them.
pub(super) fn is_same(presented: &[u8], right: &SecretString) -> bool {
    let (a, b) = (Sha256::digest(presented), Sha256::digest(right.expose_secret()));
    let difference = a.iter().zip(b.iter()).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Runs a read within the limits.
pub(super) async fn read<T>(shared: &Shared, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, Refusal> {
    let unavailable = |message| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", message);
    let limited = async {
        let _permit = shared.reads.acquire().await;
        read.await
    };
    match tokio::time::timeout(DATABASE_LIMIT, limited).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), "status read failed");
            Err(unavailable("the database refused to answer; the log says why"))
        }
        Err(_) => Err(unavailable("the database did not answer in time")),
    }
}

async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    if (shared.ops.alive)() {
        Json(json!({ "status": "alive" })).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "stalled" }))).into_response()
    }
}

/// One reason why the process is not ready, in the form of [`Reason`].
#[derive(Debug, Serialize)]
struct Unready {
    cause: String,
    subject: String,
    detail: String,
    hint: String,
}

impl Unready {
    fn database(cause: &'static str, detail: impl Into<String>, hint: &str) -> Self {
        Self { cause: cause.to_owned(), subject: "database".to_owned(), detail: detail.into(), hint: hint.to_owned() }
    }
}

impl From<&Reason> for Unready {
    fn from(reason: &Reason) -> Self {
        Self {
            cause: reason.cause.to_string(),
            subject: reason.subject.clone(),
            detail: reason.detail.clone(),
            hint: reason.hint.clone(),
        }
    }
}

async fn readyz(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let reasons = unready(&shared).await;
    let (status, word) =
        if reasons.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not_ready") };
    let tells = shared.reach == Reach::Loopback || has_token(&shared, &headers);
    let body = if tells { json!({ "status": word, "reasons": reasons }) } else { json!({ "status": word }) };
    (status, Json(body)).into_response()
}

async fn unready(shared: &Shared) -> Vec<Unready> {
    const RUNS: &str = "check that Postgres runs and that database.url reaches it; work goes on by itself afterwards";
    let migrations = async {
        let _permit = shared.reads.acquire().await;
        pending_migrations(&shared.ops.pool, &MIGRATOR).await
    };
    match tokio::time::timeout(DATABASE_LIMIT, migrations).await {
        Err(_) => return vec![Unready::database("database_unavailable", "no answer in time", RUNS)],
        Ok(Err(error @ crate::database::migrate::MigrateError::Database(_))) => {
            tracing::warn!(error = chain(&error), "status read failed");
            return vec![Unready::database("database_unavailable", "refused to answer; the log says why", RUNS)];
        }
        Ok(Err(error)) => {
            return vec![Unready::database(
                "schema_mismatch",
                chain(&error),
                "run the matching version of this program",
            )];
        }
        Ok(Ok(pending)) if !pending.is_empty() => {
            let detail = format!("migrations are pending: {pending:?}");
            return vec![Unready::database("migrations_pending", detail, "run `scoffable-sync migrate`")];
        }
        Ok(Ok(_)) => {}
    }
    match read(shared, status::overview(&shared.ops.pool)).await {
        Ok(overview) => health::judge(&overview, &shared.ops.limits).stopping().map(Unready::from).collect(),
        Err(refusal) => vec![Unready::database(refusal.code, refusal.message, RUNS)],
    }
}

async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    let overview = read(&shared, status::overview(&shared.ops.pool)).await.ok();
    let ops = &shared.ops;
    let text = metrics::with_gauges(&ops.metrics.render(), ops.version, ops.started_at, overview.as_ref());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

#[derive(Debug, Serialize)]
struct StatusAnswer {
    #[serde(flatten)]
    health: Health,
    version: &'static str,
    started_at: DateTime<Utc>,
    #[serde(flatten)]
    overview: Overview,
    #[serde(flatten)]
    details: Details,
}

async fn api_status(State(shared): State<Arc<Shared>>) -> Result<Response, Refusal> {
    let ops = &shared.ops;
    let both = async { Ok((status::overview(&ops.pool).await?, status::details(&ops.pool, LISTED).await?)) };
    let (overview, details) = read(&shared, both).await?;
    let health = health::judge(&overview, &ops.limits);
    let answer = StatusAnswer { health, version: ops.version, started_at: ops.started_at, overview, details };
    Ok(Json(answer).into_response())
}

#[derive(Debug, Deserialize)]
struct OrderQuery {
    source: Option<SourceName>,
}

/// An order of one source, as the API and `order --json` tell it.
#[derive(Debug, Serialize)]
pub struct OrderAnswer {
    #[serde(flatten)]
    pub history: OrderHistory,
    pub timeline: Vec<Event>,
}

impl From<OrderHistory> for OrderAnswer {
    fn from(history: OrderHistory) -> Self {
        Self { timeline: timeline(&history), history }
    }
}

async fn api_order(
    State(shared): State<Arc<Shared>>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<OrderQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let bad = |message| Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message);
    let Path(id) = id.map_err(|_| bad("the order id is not readable"))?;
    let Query(query) = query.map_err(|_| bad("`source` is not the name of a source"))?;
    let histories = read(&shared, orders::histories(&shared.ops.pool, &id, query.source.as_ref())).await?;
    if histories.is_empty() {
        let message = "no source knows an order of this id";
        return Err(Refusal::new(StatusCode::NOT_FOUND, "order_not_found", message));
    }
    let orders: Vec<OrderAnswer> = histories.into_iter().map(OrderAnswer::from).collect();
    Ok(Json(json!({ "order_id": id, "orders": orders })).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(host: &[&str]) -> bool {
        let headers = host.iter().map(|host| (header::HOST, host.parse().unwrap())).collect();
        names_this_machine(IpAddr::from([127, 0, 0, 1]), &Uri::from_static("/livez"), &headers)
    }

    #[test]
    fn a_host_header_must_name_this_machine_by_any_port() {
        for host in ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "127.0.0.1", "[::1]:80", "[::1]"] {
            assert!(ours(&[host]), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9464", "user@localhost", "", "10.0.0.1"]
        {
            assert!(!ours(&[host]), "{host}");
        }
    }

    #[test]
    fn none_and_two_host_headers_are_no_name_of_ours() {
        assert!(!ours(&[]));
        assert!(!ours(&["localhost", "evil.example"]));
    }

    #[test]
    fn a_token_is_compared_as_a_whole() {
        assert!(is_same(b"secret", &"secret".into()));
        assert!(!is_same(b"secre", &"secret".into()));
        assert!(!is_same(b"", &"secret".into()));
    }
}
