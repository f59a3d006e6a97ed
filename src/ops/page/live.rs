//! Tells browsers that something changed, so that a page that lies open stays true: server-sent events without content. What
//! changed is read by the page itself, as at any other time.
//!
//! All who listen share one look at the database; nobody listening, there is none. The streams end when the process drains.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::{
    super::server::{Refusal, read},
    Shared, bad_request,
};
use crate::store::status;

const SCRIPT: &str = include_str!("live.js");
/// Between two looks at the database.
const LOOK: Duration = Duration::from_secs(2);
/// Streams open at once.
const LISTENERS: usize = 64;

/// The last look, and who may still listen.
#[derive(Debug)]
pub(in crate::ops) struct Live {
    seen: Mutex<Option<(Instant, String)>>,
    seats: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self { seen: Mutex::default(), seats: Arc::new(Semaphore::new(LISTENERS)) }
    }
}

impl Live {
    /// One reads for all; the others wait and take what it saw. None: the database gave no answer.
    async fn mark(&self, shared: &Shared) -> Option<String> {
        let mut seen = self.seen.lock().await;
        if let Some((at, mark)) = &*seen
            && at.elapsed() < LOOK
        {
            return Some(mark.clone());
        }
        let mark = read(shared, status::mark(&shared.ops.pool)).await.ok()?;
        *seen = Some((Instant::now(), mark.clone()));
        Some(mark)
    }
}

pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// [`status::mark`] as the page holds it.
    since: String,
}

struct Listener {
    shared: Arc<Shared>,
    mark: String,
    _seat: OwnedSemaphorePermit,
}

pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<Since>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(Since { since }) = query.map_err(|rejection| bad_request(rejection.body_text()))?;
    let seat = Arc::clone(&shared.live.seats).try_acquire_owned().map_err(|_| {
        let message = format!("{LISTENERS} pages are being kept up to date already: reload this one by hand");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_listeners", message)
    })?;
    // A browser that lost the stream says up to where it heard it. Source: WHATWG HTML, "The Last-Event-ID header".
    let heard = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let mark = heard.map_or(since, str::to_owned);
    let listener = Listener { shared, mark, _seat: seat };
    let changes = stream::unfold(listener, async |mut listener| {
        listener.mark = listener.next().await?;
        let event = Event::default().id(&listener.mark).data("changed");
        Some((Ok::<_, Infallible>(event), listener))
    });
    Ok(Sse::new(changes).keep_alive(KeepAlive::default()).into_response())
}

impl Listener {
    /// Waits for the next change. None: the process drains.
    async fn next(&self) -> Option<String> {
        let Self { shared, mark, .. } = self;
        loop {
            let newer = shared.live.mark(shared).await.filter(|newer| newer != mark);
            if newer.is_some() {
                return newer;
            }
            tokio::select! {
                () = shared.stop.cancelled() => return None,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}
