//! The page: what `status`, `order`, `deliveries` and `reconcile` tell, for people with a browser, and the forms by which
//! they decide about what waits for them.
//!
//! Rendered here, works without a script (with it an open page keeps itself true, see [live]), loads nothing from elsewhere
//! and nothing inline. On loopback it may be read without a token, as the API; beyond it needs a [session]. Whatever is changed
//! needs one, and a form that it made; it is handed to [`operate`], as by command and over the API, with who and why.

mod chart;
mod door;
mod live;
mod reader;
mod session;
mod views;

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{
        DefaultBodyLimit, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, Uri, header},
    response::{AppendHeaders, Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
pub(super) use live::Live;
use maud::Markup;
pub(super) use reader::Reader;
use reader::Shown;
use serde::{Deserialize, Deserializer};
use session::Session;
pub(super) use session::Throttle;

use super::{
    api::{self, CHANGE_LIMIT, LONGEST_NAME, LONGEST_REASON},
    health,
    server::{DATABASE_LIMIT, Refusal, Shared, read},
};
use crate::{
    domain::{
        delivery::State as DeliveryState,
        ids::{SinkName, SourceName},
    },
    operate::{
        Desk,
        deliveries::{self, Cursor, List},
    },
    store::{
        alert_messages,
        operations::{Operated, Operator},
        orders, status,
    },
};
use views::{
    Frame, Place,
    letters::{Asked, Touched},
    overview::Seen,
};

const STYLE: &str = include_str!("page/style.css");
/// A larger form is refused.
const LARGEST_FORM: usize = 16 * 1024;
/// Dead letters and alerts on the overview.
const NEWEST: u32 = 10;
/// Hours in the chart.
const HOURS: i32 = 24;
/// Rows of a list.
const LISTED: u32 = 50;
/// Days of the books, unless others are asked for.
const BOOK_DAYS: u32 = 7;
const MOST_BOOK_DAYS: u32 = 92;

/// Only what comes from here: one stylesheet, one script and what it reads, and forms that lead here.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                                                  form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(overview))
        .route("/letters", get(letters))
        .route("/orders", get(search))
        .route("/order", get(order))
        .route("/books", get(books))
        .route("/act", get(ask).post(act))
        .route("/login", get(door::login_form).post(door::login))
        .route("/logout", post(door::logout))
        .route("/style.css", get(style))
        .route("/live.js", get(live::script))
        .route("/events", get(live::events))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
}

/// Whether people are to be answered in HTML there.
pub(super) fn is_ours(uri: &Uri) -> bool {
    const OURS: [&str; 11] = [
        "/",
        "/letters",
        "/orders",
        "/order",
        "/books",
        "/act",
        "/login",
        "/logout",
        "/style.css",
        "/live.js",
        "/events",
    ];
    OURS.contains(&uri.path())
}

/// Whether somebody may come there who has shown no token yet.
pub(super) fn is_door(uri: &Uri) -> bool {
    ["/login", "/style.css"].contains(&uri.path())
}

pub(super) fn has_session(shared: &Shared, headers: &HeaderMap) -> bool {
    session(shared, headers).is_some()
}

/// A refusal for people; who lacks a session is led to the door.
pub(super) fn refused(version: &'static str, refusal: &Refusal) -> Response {
    if refusal.status() == StatusCode::UNAUTHORIZED {
        return Redirect::to("/login").into_response();
    }
    let frame = Frame { form_token: None, has_token: false, version };
    let title = refusal.status().canonical_reason().unwrap_or("Refused");
    let page = views::page(&frame, Place::Elsewhere, title, None, &views::refusal(refusal.message()));
    (refusal.status(), Html(page.into_string())).into_response()
}

fn session(shared: &Shared, headers: &HeaderMap) -> Option<Session> {
    Session::of(headers, shared.ops.admin_token.as_ref()?, shared.ops.clock.wall())
}

/// A refusal within the frame of whoever asks.
struct Refused(Frame, Refusal);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(frame, refusal) = self;
        let title = refusal.status().canonical_reason().unwrap_or("Refused");
        let page = views::page(&frame, Place::Elsewhere, title, None, &views::refusal(refusal.message()));
        (refusal.status(), Html(page.into_string())).into_response()
    }
}

type Answer = Result<Response, Refused>;

fn frame(shared: &Shared, headers: &HeaderMap) -> Frame {
    let token = shared.ops.admin_token.as_ref();
    let form_token = token.and_then(|token| Some(session(shared, headers)?.form_token(token)));
    Frame { form_token, has_token: token.is_some(), version: shared.ops.version }
}

fn shown(frame: &Frame, place: Place, title: &str, body: &Markup) -> Response {
    Html(views::page(frame, place, title, None, body).into_string()).into_response()
}

/// A page that keeps itself up to date from this mark on, which was read before it was.
fn shown_live(frame: &Frame, place: Place, title: &str, mark: &str, body: &Markup) -> Response {
    Html(views::page(frame, place, title, Some(mark), body).into_string()).into_response()
}

fn bad_request(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_request", message)
}

fn asked<T>(query: Result<Query<T>, QueryRejection>, frame: &Frame) -> Result<T, Refused> {
    let wrong = |rejection: QueryRejection| Refused(frame.clone(), bad_request(rejection.body_text()));
    query.map(|Query(asked)| asked).map_err(wrong)
}

/// A field that a form leaves empty counts as absent.
fn filled<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    T::deserialize(serde::de::value::StringDeserializer::<D::Error>::new(text)).map(Some)
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

async fn overview(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer {
    let frame = frame(&shared, &headers);
    let pool = &shared.ops.pool;
    let all = async {
        let mark = status::mark(pool).await?;
        let overview = status::overview(pool).await?;
        let details = status::details(pool, NEWEST).await?;
        let waiting = alert_messages::waiting(pool).await?;
        Ok((mark, overview, details, waiting, status::activity(pool, HOURS).await?))
    };
    let (mark, overview, details, waiting, hours) =
        read(&shared, all).await.map_err(|refusal| Refused(frame.clone(), refusal))?;
    let health = health::judge(&overview, &shared.ops.limits);
    let seen = Seen { health: &health, overview: &overview, details: &details, waiting: &waiting, hours: &hours };
    Ok(shown_live(&frame, Place::Overview, "Overview", &mark, &views::overview::overview(&frame, &seen)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Letters {
    #[serde(default, deserialize_with = "filled")]
    sink: Option<SinkName>,
    #[serde(default, deserialize_with = "filled")]
    state: Option<DeliveryState>,
    #[serde(default, deserialize_with = "filled")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    after: Option<Cursor>,
}

async fn letters(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<Letters>, QueryRejection>,
) -> Answer {
    let frame = frame(&shared, &headers);
    let Letters { sink, state, reason, after } = asked(query, &frame)?;
    let refused = |refusal| Refused(frame.clone(), refusal);
    if reason.as_ref().is_some_and(|reason| reason.contains('\0')) {
        return Err(refused(bad_request("the reason holds a NUL, which no reason does")));
    }
    let was_asked = Asked {
        sink: sink.as_ref().map(ToString::to_string).unwrap_or_default(),
        state: state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        reason: reason.clone().unwrap_or_default(),
    };
    let list = List { sink, source: None, state, reason, after, limit: LISTED };
    let pool = &shared.ops.pool;
    let mark = read(&shared, status::mark(pool)).await.map_err(refused)?;
    let listing =
        api::attempt(&shared.reads, DATABASE_LIMIT, Box::pin(deliveries::list(pool, &list))).await.map_err(refused)?;
    let sinks = read(&shared, status::sink_names(pool)).await.map_err(refused)?;
    let body = views::letters::letters(&frame, &was_asked, &sinks, &listing);
    Ok(shown_live(&frame, Place::Letters, "Dead letters", &mark, &body))
}

#[derive(Debug, Deserialize)]
struct Search {
    q: String,
}

/// Straight to the order where there is only one.
async fn search(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<Search>, QueryRejection>,
) -> Answer {
    let frame = frame(&shared, &headers);
    let Search { q } = asked(query, &frame)?;
    let found = read(&shared, orders::find(&shared.ops.pool, q.trim())).await;
    let found = found.map_err(|refusal| Refused(frame.clone(), refusal))?;
    if let [only] = &found[..] {
        return Ok(Redirect::to(&views::order_href(&only.source, &only.order_id)).into_response());
    }
    let status = if found.is_empty() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    let title = format!("Orders called {}", q.trim());
    Ok((status, shown(&frame, Place::Elsewhere, &title, &views::story::found(q.trim(), &found))).into_response())
}

#[derive(Debug, Deserialize)]
struct OrderQuery {
    id: String,
    source: SourceName,
    #[serde(default, deserialize_with = "filled")]
    done: Option<Act>,
}

async fn order(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<OrderQuery>, QueryRejection>,
) -> Answer {
    let frame = frame(&shared, &headers);
    let OrderQuery { id, source, done } = asked(query, &frame)?;
    let pool = &shared.ops.pool;
    let all = async {
        let mark = status::mark(pool).await?;
        let history = orders::histories(pool, &id, Some(&source)).await?.pop();
        let money = if history.is_some() { orders::newest_money(pool, &source, &id).await? } else { None };
        Ok((mark, history, money))
    };
    let refused = |refusal| Refused(frame.clone(), refusal);
    let (mark, history, money) = read(&shared, all).await.map_err(refused)?;
    let Some(history) = history else { return Err(refused(unknown_order())) };
    let body = views::story::order(&frame, &history, money.as_ref(), done);
    Ok(shown_live(&frame, Place::Elsewhere, &format!("Order {id}"), &mark, &body))
}

fn unknown_order() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "order_not_found", "this source knows no order of this id")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BooksQuery {
    #[serde(default = "book_days")]
    days: u32,
}

fn book_days() -> u32 {
    BOOK_DAYS
}

async fn books(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<BooksQuery>, QueryRejection>,
) -> Answer {
    let frame = frame(&shared, &headers);
    let BooksQuery { days } = asked(query, &frame)?;
    let refused = |refusal| Refused(frame.clone(), refusal);
    if !(1..=MOST_BOOK_DAYS).contains(&days) {
        return Err(refused(bad_request(format!("`days` is a number from 1 to {MOST_BOOK_DAYS}"))));
    }
    let shown = shared.reader.of(&shared, days).await.map_err(refused)?;
    let page = self::shown(&frame, Place::Books, "Books", &views::books::books(days, &shown));
    // Without a script, too, the books come as soon as they are read.
    let again = matches!(shown, Shown::NotYet).then(|| [("refresh", "1")]);
    Ok((again.map(AppendHeaders), page).into_response())
}

/// What a person does about a delivery that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    Retry,
    Discard,
    Adopt,
}

impl Act {
    fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
            Self::Adopt => "adopt",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Discard => "Discard",
            Self::Adopt => "Adopt",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    act: Act,
    sink: SinkName,
    source: SourceName,
    order: String,
}

/// Names what would be touched, before it is.
async fn ask(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<Ask>, QueryRejection>,
) -> Answer {
    let frame = frame(&shared, &headers);
    let refused = |refusal| Refused(frame.clone(), refusal);
    if frame.form_token.is_none() {
        return Ok(Redirect::to("/login").into_response());
    }
    let Ask { act, sink, source, order } = asked(query, &frame)?;
    let histories = read(&shared, orders::histories(&shared.ops.pool, &order, Some(&source))).await.map_err(refused)?;
    let mut deliveries = histories.iter().flat_map(|history| &history.deliveries);
    let Some(delivery) = deliveries.find(|delivery| delivery.sink == sink.as_str()) else {
        return Err(refused(unknown_order()));
    };
    let touched = Touched { act, source: source.as_str(), order_id: &order, delivery };
    Ok(shown(&frame, Place::Letters, &format!("{} an order", act.name()), &views::letters::ask(&frame, touched)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    form_token: String,
    act: Act,
    sink: SinkName,
    source: SourceName,
    order: String,
    who: String,
    why: String,
    #[serde(default)]
    external_id: String,
}

async fn act(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    form: Result<Form<Wanted>, FormRejection>,
) -> Answer {
    let frame = frame(&shared, &headers);
    let refused = |refusal| Refused(frame.clone(), refusal);
    let Form(wanted) = form.map_err(|rejection| refused(bad_request(rejection.body_text())))?;
    door::must_be_ours(&shared, &headers, &wanted.form_token).map_err(refused)?;
    let (who, why) = (wanted.who.trim(), wanted.why.trim());
    let texts = [who, why, &wanted.order, &wanted.external_id];
    let is_long = who.chars().count() > LONGEST_NAME || why.chars().count() > LONGEST_REASON;
    if who.is_empty() || why.is_empty() || is_long || texts.iter().any(|text| text.contains('\0')) {
        let message = format!(
            "say who you are (at most {LONGEST_NAME} characters) and why (at most {LONGEST_REASON}), without NULs"
        );
        return Err(refused(bad_request(message)));
    }
    if wanted.act == Act::Adopt && wanted.external_id.trim().is_empty() {
        return Err(refused(bad_request("say what the destination calls the order")));
    }
    let by = Operator { who, why: Some(why) };
    let desk = Desk { pool: &shared.ops.pool, by, offset_ms: shared.ops.clock.offset_ms() };
    api::attempt(&shared.changes, CHANGE_LIMIT, Box::pin(perform(desk, &wanted))).await.map_err(refused)?;
    let href = views::order_href(wanted.source.as_str(), &wanted.order);
    Ok(Redirect::to(&format!("{href}&done={}", wanted.act.as_str())).into_response())
}

async fn perform(desk: Desk<'_>, wanted: &Wanted) -> Operated<deliveries::Answer> {
    let (sink, source) = (wanted.sink.clone(), Some(wanted.source.clone()));
    let order = wanted.order.clone();
    match wanted.act {
        Act::Retry => {
            let which = deliveries::Retried::Orders(vec![order]);
            deliveries::retry(desk, &deliveries::Retry { sink, source, which }).await
        }
        Act::Discard => deliveries::discard(desk, &deliveries::Discard { sink, source, orders: vec![order] }).await,
        Act::Adopt => {
            let external_id = wanted.external_id.clone();
            deliveries::adopt(desk, &deliveries::Adopt { sink, source, order, external_id }).await
        }
    }
}
