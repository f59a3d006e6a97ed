//! A receiver without an opinion: keeps each request with its headers, and answers what it was told to.
//!
//! The simulated receiver checks everything and keeps no headers; this one is for tests that look at the request itself
//! or need an answer that no decent receiver gives.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Recorded {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a visible header"))
    }
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Recorded>>,
    answers: Mutex<VecDeque<(u16, String)>>,
}

/// The running receiver; dropping it stops it.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Recorder {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound port has an address");
        let router = Router::new().fallback(record).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("the receiver serves") });
        Self { address, shared, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers one request so; without any left, with an empty 200.
    pub fn answer_next(&self, status: u16, body: &str) {
        self.shared.answers.lock().expect("nothing panics with it").push_back((status, body.to_owned()));
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().expect("nothing panics with it").clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn record(State(shared): State<Arc<Shared>>, request: Request) -> Response<String> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    shared.requests.lock().expect("nothing panics with it").push(Recorded {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body,
    });
    let next = shared.answers.lock().expect("nothing panics with it").pop_front();
    let (status, body) = next.unwrap_or((200, String::new()));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a valid status");
    response
}
