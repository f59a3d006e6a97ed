//! Requests as they come: which call, whether its form is right, what it asks for; and what may be kept of them.

use axum::{
    extract::Query,
    http::{Method, StatusCode, Uri},
};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{
    Api, GoDataFeedOptions, Operation,
    ledger::{Content, ShipDate, Shipment, Violation},
};
use crate::simulator::shell::Incoming;

/// In characters.
const MAX_TEXT: usize = 200;
/// Parameters whose values are no secrets.
const HARMLESS: [&str; 3] = ["status", "page", "pageSize"];

/// Why a request is refused for its form.
pub(super) struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    /// None where also a correct client may meet it.
    pub violation: Option<Violation>,
}

impl Refusal {
    pub(super) fn of(status: StatusCode, code: &'static str, violation: Violation) -> Self {
        Self { status, code, violation: Some(violation) }
    }
}

pub(super) fn malformed(status: StatusCode, reason: impl Into<String>) -> Refusal {
    Refusal::of(status, "malformed", Violation::Malformed { reason: reason.into() })
}

pub(super) fn bad_request<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(malformed(StatusCode::BAD_REQUEST, reason))
}

/// What a request is for, going by method and path.
#[derive(Debug)]
pub struct Route {
    pub operation: Operation,
    /// GoDataFeed's id; empty for calls that are not about one order.
    pub order: String,
    /// The token in the path.
    pub token: Option<String>,
}

/// The two versions are accounts of different kinds: each serves its own paths only.
pub(super) fn route(api: Api, method: &Method, path: &str) -> Result<Route, Refusal> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let no_such_path = || Err(malformed(StatusCode::NOT_FOUND, "no such path"));
    let (token, resource) = match (api, segments.as_slice()) {
        (Api::V1, ["v1" | "V1", "authorization"]) => (None, &segments[1..]),
        (Api::V1, ["v1" | "V1", token, resource @ ..]) => (Some((*token).to_owned()), resource),
        (Api::V2, ["v2" | "V2", resource @ ..]) => (None, resource),
        _ => return no_such_path(),
    };
    let (offered, operation, order) = match resource {
        ["authorization"] if api == Api::V1 && token.is_none() => (Method::GET, Operation::Authorize, ""),
        ["orders"] => (Method::GET, Operation::List, ""),
        ["orders", id] => (Method::GET, Operation::Get, *id),
        ["orders", id, "acknowledge"] => (Method::PUT, Operation::Acknowledge, *id),
        ["orders", id, "status"] => (Method::PUT, Operation::UpdateStatus, *id),
        _ => return no_such_path(),
    };
    if *method != offered {
        return Err(malformed(StatusCode::METHOD_NOT_ALLOWED, "no such method here"));
    }
    Ok(Route { operation, order: order.to_owned(), token })
}

/// The path without the token, whether it leads anywhere or not.
pub(super) fn masked_path(path: &str) -> String {
    let mut segments: Vec<&str> = path.split('/').collect();
    if let [_, "v1" | "V1", token, ..] = segments.as_mut_slice()
        && *token != "authorization"
    {
        *token = "{token}";
    }
    segments.join("/")
}

/// The query without values that may be credentials.
pub(super) fn masked_query(query: &str) -> String {
    let mask = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if HARMLESS.contains(&name) => pair.to_owned(),
        Some((name, _)) => format!("{name}={{masked}}"),
        None => "{masked}".to_owned(),
    };
    if query.is_empty() { String::new() } else { query.split('&').map(mask).collect::<Vec<_>>().join("&") }
}

/// A request of the right form.
pub(super) enum Asked {
    Token,
    Listing(Option<Page>),
    Order,
    Write(Content),
}

/// `number` counts from 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page {
    pub number: usize,
    pub size: usize,
}

pub(super) fn read(
    Route { operation, order, .. }: &Route,
    incoming: &Incoming,
    options: &GoDataFeedOptions,
) -> Result<Asked, Refusal> {
    let Incoming { uri, body, .. } = incoming;
    if operation.is_write() {
        if !incoming.is_json() {
            return Err(malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type is not application/json"));
        }
    } else if !body.is_empty() {
        return bad_request("a body where none belongs");
    }
    if incoming.has_query() && !matches!(operation, Operation::List | Operation::Authorize) {
        return bad_request("a query where none belongs");
    }
    match operation {
        Operation::Authorize => read_consumer_key(uri, &options.consumer_key).map(|()| Asked::Token),
        Operation::List => read_listing(uri, options.paging).map(Asked::Listing),
        Operation::Get => Ok(Asked::Order),
        Operation::Acknowledge => {
            let AcknowledgeBody { destination_order_number: number } = read_json(body)?;
            check_text("destinationOrderNumber", &number)?;
            Ok(Asked::Write(Content::Acknowledge { number }))
        }
        Operation::UpdateStatus => read_json::<StatusBody>(body)?.check(order, options).map(Asked::Write),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AcknowledgeBody {
    destination_order_number: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StatusBody {
    status: String,
    #[serde(default, deserialize_with = "not_null")]
    ship_date: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    tracking_number: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    carrier: Option<String>,
}

fn not_null<'de, D: Deserializer<'de>>(text: D) -> Result<Option<String>, D::Error> {
    String::deserialize(text).map(Some)
}

impl StatusBody {
    fn check(self, order: &str, options: &GoDataFeedOptions) -> Result<Content, Refusal> {
        let Self { status, ship_date, tracking_number, carrier } = self;
        if status == options.cancelled {
            let is_bare = ship_date.is_none() && tracking_number.is_none() && carrier.is_none();
            return if is_bare {
                Ok(Content::Cancel)
            } else {
                bad_request("a cancellation has nothing but its status")
            };
        }
        if status != "SHIPPED" {
            return bad_request("unknown status");
        }
        let Some(ship_date) = ship_date else { return bad_request("shipDate is missing") };
        for (name, text) in [("trackingNumber", &tracking_number), ("carrier", &carrier)] {
            if let Some(text) = text {
                check_text(name, text)?;
            }
        }
        let ship_date = read_ship_date(ship_date, options.local_times).map_err(|flaw| match flaw {
            Flaw::NoOffset(ship_date) => {
                let violation = Violation::ShipDateWithoutOffset { order: order.to_owned(), ship_date };
                Refusal::of(StatusCode::BAD_REQUEST, "ship_date_without_offset", violation)
            }
            Flaw::Unreadable => malformed(StatusCode::BAD_REQUEST, "shipDate is no date and time"),
        })?;
        Ok(Content::Ship(Shipment { ship_date, tracking_number, carrier }))
    }
}

enum Flaw {
    NoOffset(String),
    Unreadable,
}

/// A date alone is midnight. `local` is how a time without offset is read, if it is read at all.
fn read_ship_date(text: String, local: Option<FixedOffset>) -> Result<ShipDate, Flaw> {
    let in_zone = |naive: NaiveDateTime| {
        let zone = local.unwrap_or_else(|| Utc.fix());
        // A fixed offset knows no hour that is missing or there twice.
        zone.from_local_datetime(&naive).single().map(|at| at.to_utc()).ok_or(Flaw::Unreadable)
    };
    if let Ok(at) = DateTime::parse_from_rfc3339(&text) {
        return Ok(ShipDate { text, at: at.to_utc(), has_time: true });
    }
    if let Ok(naive) = NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f") {
        if local.is_none() {
            return Err(Flaw::NoOffset(text));
        }
        return Ok(ShipDate { at: in_zone(naive)?, text, has_time: true });
    }
    match NaiveDate::parse_from_str(&text, "%Y-%m-%d") {
        Ok(date) => Ok(ShipDate { at: in_zone(date.and_time(NaiveTime::MIN))?, text, has_time: false }),
        Err(_) => Err(Flaw::Unreadable),
    }
}

fn read_consumer_key(uri: &Uri, right: &str) -> Result<(), Refusal> {
    match pairs(uri)?.as_slice() {
        [(name, key)] if name == "consumerKey" && key == right => Ok(()),
        [(name, _)] if name == "consumerKey" => {
            Err(Refusal::of(StatusCode::UNAUTHORIZED, "wrong_consumer_key", Violation::WrongConsumerKey))
        }
        _ => bad_request("consumerKey is the one parameter here"),
    }
}

/// `page_size` is the largest and the usual; without one there are no pages.
fn read_listing(uri: &Uri, page_size: Option<usize>) -> Result<Option<Page>, Refusal> {
    let (mut has_status, mut number, mut size) = (false, None, None);
    for (name, value) in pairs(uri)? {
        match (name.as_str(), page_size) {
            ("status", _) if !has_status && value == "NEW" => has_status = true,
            ("page", Some(_)) if number.is_none() => match value.parse() {
                Ok(n @ 1..) => number = Some(n),
                _ => return bad_request("page must be 1 or more"),
            },
            ("pageSize", Some(most)) if size.is_none() => match value.parse() {
                Ok(n) if (1..=most).contains(&n) => size = Some(n),
                _ => return bad_request("pageSize must be 1 or more, and not more than there are on a page"),
            },
            _ => return bad_request("an unknown parameter, status other than NEW, or one of them twice"),
        }
    }
    if !has_status {
        return bad_request("the filter status=NEW is missing");
    }
    Ok(page_size.map(|usual| Page { number: number.unwrap_or(1), size: size.unwrap_or(usual) }))
}

fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Refusal> {
    match Query::try_from_uri(uri) {
        Ok(Query(pairs)) => Ok(pairs),
        Err(_) => bad_request("the query cannot be read"),
    }
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).or_else(|error| bad_request(error.to_string()))
}

fn check_text(name: &str, text: &str) -> Result<(), Refusal> {
    let is_right = !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= MAX_TEXT
        && !text.chars().any(char::is_control);
    if is_right { Ok(()) } else { bad_request(format!("{name} is empty, too long or not plain text")) }
}
