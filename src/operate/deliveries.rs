//! Deliveries that wait for a person: list, retry, discard, adopt; and what a person wants cancelled that owes nothing.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{Contradiction, Desk, listed, named};
use crate::{
    domain::{
        delivery::State,
        ids::{SinkName, SourceName},
    },
    sinks::godatafeed,
    store::{
        operations::{self, Act, Filter, Listed, Moved, Named, Operated, Place},
        replay,
    },
};

/// Which deliveries to list; none: any, and of the states those that wait for a person.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    pub sink: Option<SinkName>,
    pub source: Option<SourceName>,
    pub state: Option<State>,
    pub reason: Option<String>,
    /// Where an earlier list ended.
    pub after: Option<Cursor>,
    #[serde(default = "listed")]
    pub limit: u32,
}

/// Where a list ended, as a text that means nothing to anybody else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor(Place);

impl Cursor {
    pub fn parse(text: &str) -> Result<Self, Contradiction> {
        let wrong = Contradiction("`after` is not the end of an earlier list");
        let place = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let mut parts = text.splitn(4, '/');
            let micros = parts.next()?.parse().ok()?;
            let mut next = || parts.next().map(str::to_owned);
            let (sink, source, order_id) = (next()?, next()?, next()?);
            Some(Place { updated_at: DateTime::from_timestamp_micros(micros)?, sink, source, order_id })
        };
        place().filter(|place| !place.order_id.contains('\0')).map(Self).ok_or(wrong)
    }
}

impl TryFrom<String> for Cursor {
    type Error = Contradiction;
    fn try_from(text: String) -> Result<Self, Contradiction> {
        Self::parse(&text)
    }
}

impl From<Cursor> for String {
    fn from(Cursor(place): Cursor) -> Self {
        let micros = place.updated_at.timestamp_micros();
        URL_SAFE_NO_PAD.encode(format!("{micros}/{}/{}/{}", place.sink, place.source, place.order_id))
    }
}

#[derive(Debug, Serialize)]
pub struct Listing {
    pub deliveries: Vec<Listed>,
    /// There may be more behind this.
    pub next: Option<Cursor>,
}

/// Latest changed first.
pub async fn list(pool: &PgPool, list: &List) -> Operated<Listing> {
    let filter = Filter {
        sink: list.sink.as_ref(),
        source: list.source.as_ref(),
        state: list.state,
        reason: list.reason.as_deref(),
        after: list.after.as_ref().map(|Cursor(place)| place),
        limit: list.limit,
    };
    let deliveries = operations::list(pool, filter).await?;
    let last = deliveries.last().filter(|_| deliveries.len() == list.limit as usize);
    let next = last.map(|last| {
        Cursor(Place {
            updated_at: last.updated_at,
            sink: last.sink.clone(),
            source: last.source.clone(),
            order_id: last.order_id.clone(),
        })
    });
    Ok(Listing { deliveries, next })
}

/// What became of the deliveries.
#[derive(Debug, Serialize)]
pub struct Answer {
    pub action: Act,
    pub sink: SinkName,
    pub deliveries: Vec<Moved>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawRetry")]
pub struct Retry {
    pub sink: SinkName,
    /// Needed where several sources know an id.
    pub source: Option<SourceName>,
    pub which: Retried,
}

#[derive(Debug, Clone)]
pub enum Retried {
    Orders(Vec<String>),
    /// Every parked one, or those with this reason; no doubts.
    AllParked {
        reason: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetry {
    sink: SinkName,
    source: Option<SourceName>,
    #[serde(default)]
    orders: Vec<String>,
    #[serde(default)]
    all: bool,
    reason: Option<String>,
}

impl TryFrom<RawRetry> for Retry {
    type Error = Contradiction;
    fn try_from(raw: RawRetry) -> Result<Self, Contradiction> {
        let RawRetry { sink, source, orders, all, reason } = raw;
        let which = match (all, orders.is_empty(), reason) {
            (true, true, reason) => Retried::AllParked { reason },
            (true, false, _) => return Err(Contradiction("`all` and `orders` exclude each other")),
            (false, _, Some(_)) => return Err(Contradiction("`reason` goes with `all`")),
            (false, _, None) => Retried::Orders(named(orders)?),
        };
        Ok(Self { sink, source, which })
    }
}

/// Makes them due now.
pub async fn retry(desk: Desk<'_>, retry: &Retry) -> Operated<Answer> {
    let Desk { pool, by, offset_ms } = desk;
    let (sink, source) = (&retry.sink, retry.source.as_ref());
    let deliveries = match &retry.which {
        Retried::Orders(order_ids) => operations::retry(pool, Named { sink, source, order_ids }, by, offset_ms).await?,
        Retried::AllParked { reason } => {
            operations::retry_all_parked(pool, sink, source, reason.as_deref(), by, offset_ms).await?
        }
    };
    Ok(Answer { action: Act::Retry, sink: sink.clone(), deliveries })
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawDiscard")]
pub struct Discard {
    pub sink: SinkName,
    pub source: Option<SourceName>,
    pub orders: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDiscard {
    sink: SinkName,
    source: Option<SourceName>,
    orders: Vec<String>,
}

impl TryFrom<RawDiscard> for Discard {
    type Error = Contradiction;
    fn try_from(raw: RawDiscard) -> Result<Self, Contradiction> {
        Ok(Self { sink: raw.sink, source: raw.source, orders: named(raw.orders)? })
    }
}

/// Closes them.
pub async fn discard(desk: Desk<'_>, discard: &Discard) -> Operated<Answer> {
    let named = Named { sink: &discard.sink, source: discard.source.as_ref(), order_ids: &discard.orders };
    let deliveries = operations::discard(desk.pool, named, desk.by, desk.offset_ms).await?;
    Ok(Answer { action: Act::Discard, sink: discard.sink.clone(), deliveries })
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawAdopt")]
pub struct Adopt {
    pub sink: SinkName,
    pub source: Option<SourceName>,
    pub order: String,
    /// What the destination calls it.
    pub external_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdopt {
    sink: SinkName,
    source: Option<SourceName>,
    order: String,
    external_id: String,
}

impl TryFrom<RawAdopt> for Adopt {
    type Error = Contradiction;
    fn try_from(raw: RawAdopt) -> Result<Self, Contradiction> {
        if raw.external_id.trim().is_empty() {
            return Err(Contradiction("`external_id` is empty"));
        }
        Ok(Self { sink: raw.sink, source: raw.source, order: raw.order, external_id: raw.external_id })
    }
}

/// Settles a doubt: it stands there, by this id.
pub async fn adopt(desk: Desk<'_>, adopt: &Adopt) -> Operated<Answer> {
    let order_ids = std::slice::from_ref(&adopt.order);
    let named = Named { sink: &adopt.sink, source: adopt.source.as_ref(), order_ids };
    let deliveries = operations::adopt(desk.pool, named, &adopt.external_id, desk.by, desk.offset_ms).await?;
    Ok(Answer { action: Act::Adopt, sink: adopt.sink.clone(), deliveries })
}

/// Orders that GoDataFeed holds by itself, and Scoffable declined.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "RawCancel")]
pub struct Cancel {
    pub sink: SinkName,
    pub source: Option<SourceName>,
    pub orders: Vec<String>,
    /// Without it only what would be done is said.
    pub yes: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCancel {
    sink: SinkName,
    source: Option<SourceName>,
    orders: Vec<String>,
    #[serde(default)]
    yes: bool,
}

impl TryFrom<RawCancel> for Cancel {
    type Error = Contradiction;
    fn try_from(raw: RawCancel) -> Result<Self, Contradiction> {
        Ok(Self { sink: raw.sink, source: raw.source, orders: named(raw.orders)?, yes: raw.yes })
    }
}

#[derive(Debug, Serialize)]
pub struct CancelAnswer {
    pub action: Act,
    pub sink: SinkName,
    /// Otherwise there was no consent, and nothing was changed.
    pub finished: bool,
    /// As they are now, or would be.
    pub deliveries: Vec<Moved>,
}

/// Has them cancelled at the destination: the engine does it, as soon as it finds them there.
pub async fn cancel(desk: Desk<'_>, cancel: &Cancel) -> Operated<CancelAnswer> {
    let Desk { pool, by, offset_ms } = desk;
    let named = Named { sink: &cancel.sink, source: cancel.source.as_ref(), order_ids: &cancel.orders };
    let deliveries = if cancel.yes {
        replay::cancel(pool, godatafeed::KIND, named, by, offset_ms).await?
    } else {
        replay::try_cancel(pool, godatafeed::KIND, named, by, offset_ms).await?
    };
    Ok(CancelAnswer { action: Act::Cancel, sink: cancel.sink.clone(), finished: cancel.yes, deliveries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let place = Place {
            updated_at: "2026-03-01T12:00:00.000001Z".parse().unwrap(),
            sink: "hook".into(),
            source: "main".into(),
            order_id: "a/b/ü".into(),
        };

        let text = String::from(Cursor(place.clone()));

        assert_eq!(Cursor::parse(&text), Ok(Cursor(place)));
        for wrong in ["", "x", &text[1..], &URL_SAFE_NO_PAD.encode("1/hook/main")] {
            assert!(Cursor::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let retry = |text| serde_json::from_str::<Retry>(text).map(|_| ()).map_err(|error| error.to_string());

        assert_eq!(retry(r#"{"sink": "hook", "orders": ["A-1"]}"#), Ok(()));
        assert_eq!(retry(r#"{"sink": "hook", "all": true, "reason": "gone"}"#), Ok(()));
        for (text, said) in [
            (r#"{"sink": "hook"}"#, "at least one order"),
            (r#"{"sink": "hook", "all": true, "orders": ["A-1"]}"#, "exclude"),
            (r#"{"sink": "hook", "orders": ["A-1"], "reason": "gone"}"#, "goes with"),
            (r#"{"sink": "hook", "orders": ["A-1"], "order": "A-2"}"#, "unknown field"),
            (r#"{"sink": "HOOK", "orders": ["A-1"]}"#, "not a name"),
        ] {
            assert!(retry(text).unwrap_err().contains(said), "{text}");
        }
    }
}
