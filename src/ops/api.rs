//! The operator's half of `/api/v1`: lists of what waits for a person, the books, and what a person does about it.
//!
//! A change is a POST of a small JSON object with the admin token, also on loopback; without a configured token none is
//! taken. What a browser sends by itself (a form, a link) carries neither the token nor `application/json`, so no web page
//! can make one change anything. `who` (else `api`) and `why` stand in `operator_actions`. Handlers parse and hand over:
//! what is done, and what is refused, is decided in [`operate`], as for the command line.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, FromRequest, Path, Query, Request, State,
        rejection::{BytesRejection, PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::server::{DATABASE_LIMIT, Refusal, Shared, has_token};
use crate::{
    domain::{
        ids::{SinkName, SourceName},
        reconciliation::Statement,
    },
    operate::{
        self, Desk, Step, catalogue, deliveries, erase, gates,
        gates::Gate,
        links, prune, quarantine,
        reconcile::{self, By, Reconcile, Row},
        stored,
    },
    store::{
        links::Change,
        operations::{self, Operated, OperationError, Operator, RefusalKind},
    },
    telemetry::chain,
};

/// Changes at once.
pub(super) const CHANGES: usize = 2;
/// A larger body is refused.
const LARGEST_BODY: usize = 64 * 1024;
/// Rows of a list at most.
const LONGEST_LIST: u32 = 1_000;
/// Characters of `who` and `why` at most.
pub(super) const LONGEST_NAME: usize = 100;
pub(super) const LONGEST_REASON: usize = 1_000;
/// What takes longer is cut off. A change is a transaction: cut off, it was not made, unless its end had begun.
pub(super) const CHANGE_LIMIT: Duration = Duration::from_secs(30);
/// Something long ends its work after this and says that it is not finished.
const WORK_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let changes = Router::new()
        .route("/api/v1/deliveries/retry", post(retry))
        .route("/api/v1/deliveries/discard", post(discard))
        .route("/api/v1/deliveries/adopt", post(adopt))
        .route("/api/v1/deliveries/cancel", post(cancel))
        .route("/api/v1/sinks/{name}/pause", post(pause_sink))
        .route("/api/v1/sinks/{name}/resume", post(resume_sink))
        .route("/api/v1/sources/{name}/pause", post(pause_source))
        .route("/api/v1/sources/{name}/resume", post(resume_source))
        .route("/api/v1/sources/{name}/rewind", post(rewind))
        .route("/api/v1/quarantine/retry", post(retry_quarantine))
        .route("/api/v1/replay", post(replay))
        .route("/api/v1/backfill", post(backfill))
        .route("/api/v1/prune", post(prune))
        .route("/api/v1/erase", post(erase))
        .route("/api/v1/links/set", post(set_link))
        .route("/api/v1/links/lock", post(lock_link))
        .route("/api/v1/links/unlock", post(unlock_link))
        .route("/api/v1/links/break", post(break_link))
        .route("/api/v1/sync", post(sync))
        .route("/api/v1/bootstrap", post(bootstrap))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .route_layer(middleware::from_fn_with_state(Arc::clone(shared), authorise));
    Router::new()
        .route("/api/v1/deliveries", get(list_deliveries))
        .route("/api/v1/quarantine", get(list_quarantine))
        .route("/api/v1/reconcile", get(books))
        .route("/api/v1/links", get(list_links))
        .route("/api/v1/catalogue", get(freshness))
        .route("/api/v1/budget", get(month))
        .merge(changes)
}

/// Stands before every change, whatever is wrong with the rest of the request.
async fn authorise(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.ops.admin_token.is_none() {
        let message = "nothing can be changed over HTTP: set http.admin_token in the configuration";
        return Refusal::new(StatusCode::FORBIDDEN, "changes_not_allowed", message).into_response();
    }
    if !has_token(&shared, request.headers()) {
        let message = "present the admin token as `Authorization: Bearer …`";
        return Refusal::new(StatusCode::UNAUTHORIZED, "token_needed", message).into_response();
    }
    next.run(request).await
}

/// A change that was asked for, and by whom.
#[derive(Debug)]
struct Asked<T> {
    who: String,
    why: Option<String>,
    request: T,
}

impl<T> Asked<T> {
    fn desk<'a>(&'a self, shared: &'a Shared) -> Desk<'a> {
        let by = Operator { who: operate::who(&self.who, "api"), why: self.why.as_deref() };
        Desk { pool: &shared.ops.pool, by, offset_ms: shared.ops.clock.offset_ms() }
    }
}

/// What stands beside every request. The rest is the request's own, which refuses what it does not know.
#[derive(Debug, Deserialize)]
struct Signature {
    #[serde(default)]
    who: String,
    why: Option<String>,
}

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &Arc<Shared>) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            let message = "send JSON, and say so: `Content-Type: application/json`";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "json_expected", message));
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| unreadable_body(&rejection))?;
        parse(&body)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (named.next(), named.next()) else { return false };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

fn unreadable_body(rejection: &BytesRejection) -> Refusal {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("a body has at most {LARGEST_BODY} bytes: name fewer orders");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        }
        _ => bad_request("the body could not be read"),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<Asked<T>, Refusal> {
    let not_understood = |error: serde_json::Error| bad_request(format!("the body is not understood: {error}"));
    let mut value: Value = serde_json::from_slice(body).map_err(not_understood)?;
    if has_nul(&value) {
        return Err(bad_request("a text holds a NUL, which nothing here does"));
    }
    let Some(rest) = value.as_object_mut() else { return Err(bad_request("the body is not a JSON object")) };
    let signature = ["who", "why"].into_iter().filter_map(|key| rest.remove_entry(key));
    let signature = Value::Object(signature.collect());
    let Signature { who, why } = serde_json::from_value(signature).map_err(not_understood)?;
    if who.chars().count() > LONGEST_NAME {
        return Err(bad_request(format!("`who` has at most {LONGEST_NAME} characters")));
    }
    if why.as_ref().is_some_and(|why| why.chars().count() > LONGEST_REASON) {
        return Err(bad_request(format!("`why` has at most {LONGEST_REASON} characters")));
    }
    let request = serde_json::from_value(value).map_err(not_understood)?;
    Ok(Asked { who, why: why.filter(|why| !why.trim().is_empty()), request })
}

/// Postgres knows no text with a NUL, so nothing that is there can be meant.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(entries) => entries.values().any(has_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn bad_request(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
}

/// All that was refused, under the status and code of the first.
fn refused(refusals: &[operations::Refusal]) -> Refusal {
    let message = refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let Some(first) = refusals.first() else { return bad_request(message) };
    let status = match first.kind() {
        RefusalKind::Unknown => StatusCode::NOT_FOUND,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Unclear => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Refusal::new(status, first.code(), message)
}

/// Does it within the limits.
async fn within<T: Serialize>(
    gate: &Semaphore,
    limit: Duration,
    work: BoxFuture<'_, Operated<T>>,
) -> Result<Response, Refusal> {
    Ok(Json(attempt(gate, limit, work).await?).into_response())
}

/// The same, for whoever answers otherwise.
pub(super) async fn attempt<T>(
    gate: &Semaphore,
    limit: Duration,
    work: BoxFuture<'_, Operated<T>>,
) -> Result<T, Refusal> {
    let unavailable = |message| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", message);
    let limited = async {
        let _permit = gate.acquire().await;
        work.await
    };
    match tokio::time::timeout(limit, limited).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(OperationError::Refused(refusals))) => Err(refused(&refusals)),
        Ok(Err(OperationError::Store(error))) => {
            tracing::warn!(error = chain(&error), "request failed");
            Err(unavailable("the database refused to answer; the log says why"))
        }
        Err(_) => Err(unavailable("the database did not answer in time: look before you ask again")),
    }
}

async fn change<T: Serialize>(shared: &Shared, work: BoxFuture<'_, Operated<T>>) -> Result<Response, Refusal> {
    within(&shared.changes, CHANGE_LIMIT, work).await
}

type Query_<T> = Result<Query<T>, QueryRejection>;

fn asked_for<T>(query: Query_<T>, limit: impl Fn(&T) -> u32) -> Result<T, Refusal> {
    let Query(list) = query.map_err(|rejection| bad_request(rejection.body_text()))?;
    if !(1..=LONGEST_LIST).contains(&limit(&list)) {
        return Err(bad_request(format!("`limit` is a number from 1 to {LONGEST_LIST}")));
    }
    Ok(list)
}

async fn list_deliveries(
    State(shared): State<Arc<Shared>>,
    query: Query_<deliveries::List>,
) -> Result<Response, Refusal> {
    let list = asked_for(query, |list| list.limit)?;
    if list.reason.as_ref().is_some_and(|reason| reason.contains('\0')) {
        return Err(bad_request("`reason` holds a NUL, which no reason does"));
    }
    within(&shared.reads, DATABASE_LIMIT, Box::pin(deliveries::list(&shared.ops.pool, &list))).await
}

async fn list_quarantine(
    State(shared): State<Arc<Shared>>,
    query: Query_<quarantine::List>,
) -> Result<Response, Refusal> {
    let list = asked_for(query, |list| list.limit)?;
    within(&shared.reads, DATABASE_LIMIT, Box::pin(quarantine::list(&shared.ops.pool, &list))).await
}

async fn list_links(State(shared): State<Arc<Shared>>, query: Query_<links::List>) -> Result<Response, Refusal> {
    let list = asked_for(query, |list| list.limit)?;
    within(&shared.reads, DATABASE_LIMIT, Box::pin(links::list(&shared.ops.pool, &list))).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSink {
    sink: Option<SinkName>,
}

async fn freshness(State(shared): State<Arc<Shared>>, query: Query_<OfSink>) -> Result<Response, Refusal> {
    let Query(OfSink { sink }) = query.map_err(|rejection| bad_request(rejection.body_text()))?;
    within(&shared.reads, DATABASE_LIMIT, Box::pin(catalogue::status(&shared.ops.pool, sink.as_ref()))).await
}

async fn month(State(shared): State<Arc<Shared>>, query: Query_<catalogue::Month>) -> Result<Response, Refusal> {
    let Query(month) = query.map_err(|rejection| bad_request(rejection.body_text()))?;
    let present = shared.ops.present.load_full();
    let ground = present.grounds.get(&month.sink);
    within(&shared.reads, DATABASE_LIMIT, Box::pin(catalogue::budget(&shared.ops.pool, &month, ground))).await
}

/// The books of the sinks that carry money, without the orders that are as they should be.
async fn books(State(shared): State<Arc<Shared>>, query: Query_<Reconcile>) -> Result<Response, Refusal> {
    let Query(request) = query.map_err(|rejection| bad_request(rejection.body_text()))?;
    if request.by == By::Order {
        return Err(bad_request(
            "rows are by day, vendor or currency here: `reconcile --by order` writes one for each order",
        ));
    }
    within(&shared.books, CHANGE_LIMIT, Box::pin(read_books(&shared.ops.pool, &request))).await
}

async fn read_books(pool: &PgPool, request: &Reconcile) -> Operated<Value> {
    let mut sinks = Vec::new();
    let mut is_well = true;
    for sink in reconcile::sinks(pool, request).await? {
        let mut visit = |_: &Statement| ControlFlow::Continue(());
        let books = reconcile::books(pool, &sink.name, request, None, &mut visit, &mut in_time()).await?;
        is_well &= books.is_well();
        sinks.push(json!({
            "sink": sink.name,
            "kind": sink.kind,
            "rows": books.rows.iter().map(|(key, tally)| Row { key, tally }).collect::<Vec<_>>(),
            "totals": books.totals.by_currency().collect::<Vec<_>>(),
            "n_open": books.totals.open.len(),
            "open": books.totals.open.iter().take(LONGEST_LIST as usize).collect::<Vec<_>>(),
            "finished": books.finished,
            "explained": books.is_well(),
        }));
    }
    Ok(json!({ "time_zone": request.time_zone.name(), "sinks": sinks, "explained": is_well }))
}

type Changed = Result<Response, Refusal>;

async fn retry(State(shared): State<Arc<Shared>>, asked: Asked<deliveries::Retry>) -> Changed {
    change(&shared, Box::pin(deliveries::retry(asked.desk(&shared), &asked.request))).await
}

async fn discard(State(shared): State<Arc<Shared>>, asked: Asked<deliveries::Discard>) -> Changed {
    change(&shared, Box::pin(deliveries::discard(asked.desk(&shared), &asked.request))).await
}

async fn adopt(State(shared): State<Arc<Shared>>, asked: Asked<deliveries::Adopt>) -> Changed {
    change(&shared, Box::pin(deliveries::adopt(asked.desk(&shared), &asked.request))).await
}

async fn cancel(State(shared): State<Arc<Shared>>, asked: Asked<deliveries::Cancel>) -> Changed {
    change(&shared, Box::pin(deliveries::cancel(asked.desk(&shared), &asked.request))).await
}

/// A request that says nothing but who and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

type Name<T> = Result<Path<T>, PathRejection>;

fn name<T>(path: Name<T>) -> Result<T, Refusal> {
    path.map(|Path(name)| name).map_err(|_| bad_request("the path does not hold a name: use 1 to 40 of a-z, 0-9 and _"))
}

async fn pause_sink(State(shared): State<Arc<Shared>>, sink: Name<SinkName>, asked: Asked<Nothing>) -> Changed {
    change(&shared, Box::pin(gates::sink(asked.desk(&shared), &name(sink)?, Gate::Pause))).await
}

async fn resume_sink(State(shared): State<Arc<Shared>>, sink: Name<SinkName>, asked: Asked<Nothing>) -> Changed {
    change(&shared, Box::pin(gates::sink(asked.desk(&shared), &name(sink)?, Gate::Resume))).await
}

async fn pause_source(State(shared): State<Arc<Shared>>, source: Name<SourceName>, asked: Asked<Nothing>) -> Changed {
    change(&shared, Box::pin(gates::source(asked.desk(&shared), &name(source)?, Gate::Pause))).await
}

async fn resume_source(State(shared): State<Arc<Shared>>, source: Name<SourceName>, asked: Asked<Nothing>) -> Changed {
    change(&shared, Box::pin(gates::source(asked.desk(&shared), &name(source)?, Gate::Resume))).await
}

async fn rewind(State(shared): State<Arc<Shared>>, source: Name<SourceName>, asked: Asked<gates::Rewind>) -> Changed {
    change(&shared, Box::pin(gates::rewind(asked.desk(&shared), &name(source)?, &asked.request))).await
}

async fn retry_quarantine(State(shared): State<Arc<Shared>>, asked: Asked<quarantine::Retry>) -> Changed {
    change(&shared, Box::pin(quarantine::retry(asked.desk(&shared), &asked.request))).await
}

/// Ends long work in time; its answer says that it is not finished.
pub(super) fn in_time() -> impl FnMut(Step) -> ControlFlow<()> + Send {
    let begun = Instant::now();
    move |_| if begun.elapsed() < WORK_LIMIT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

async fn replay(State(shared): State<Arc<Shared>>, asked: Asked<stored::Replay>) -> Changed {
    change(&shared, Box::pin(stored::replay(asked.desk(&shared), &asked.request, &mut in_time()))).await
}

async fn backfill(State(shared): State<Arc<Shared>>, asked: Asked<stored::Backfill>) -> Changed {
    change(&shared, Box::pin(stored::backfill(asked.desk(&shared), &asked.request, &mut in_time()))).await
}

async fn prune(State(shared): State<Arc<Shared>>, asked: Asked<prune::Prune>) -> Changed {
    let retention = shared.ops.present.load().retention;
    change(&shared, Box::pin(prune::prune(asked.desk(&shared), &retention, &asked.request, &mut in_time()))).await
}

/// Of a customer it looks through all that is stored: where that takes longer, the command does it.
async fn erase(State(shared): State<Arc<Shared>>, asked: Asked<erase::Erase>) -> Changed {
    let customers = shared.ops.present.load().customers.clone();
    change(&shared, Box::pin(erase::erase(asked.desk(&shared), &customers, &asked.request, &mut in_time()))).await
}

async fn set_link(State(shared): State<Arc<Shared>>, asked: Asked<links::Set>) -> Changed {
    change(&shared, Box::pin(links::set(asked.desk(&shared), &asked.request))).await
}

async fn lock_link(State(shared): State<Arc<Shared>>, asked: Asked<links::Which>) -> Changed {
    change(&shared, Box::pin(links::change(asked.desk(&shared), &asked.request, Change::Lock))).await
}

async fn unlock_link(State(shared): State<Arc<Shared>>, asked: Asked<links::Which>) -> Changed {
    change(&shared, Box::pin(links::change(asked.desk(&shared), &asked.request, Change::Unlock))).await
}

async fn break_link(State(shared): State<Arc<Shared>>, asked: Asked<links::Which>) -> Changed {
    change(&shared, Box::pin(links::change(asked.desk(&shared), &asked.request, Change::Break))).await
}

/// Left to the catalogue's loop, which looks at it before all else.
async fn sync(State(shared): State<Arc<Shared>>, asked: Asked<catalogue::Sync>) -> Changed {
    change(&shared, Box::pin(catalogue::want(asked.desk(&shared), &asked.request))).await
}

/// Left to the catalogue's loop, which reads on until its end.
async fn bootstrap(State(shared): State<Arc<Shared>>, asked: Asked<catalogue::Bootstrap>) -> Changed {
    change(&shared, Box::pin(catalogue::begin(asked.desk(&shared), &asked.request))).await
}
