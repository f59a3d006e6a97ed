//! Something on loopback that is posted to or asked: it keeps what came and answers as told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use serde_json::Value;
use tokio::net::TcpListener;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Letter {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// Null where there was none.
    pub body: Value,
}

#[derive(Debug, Default)]
struct Shared {
    letters: Mutex<Vec<Letter>>,
    answers: Mutex<VecDeque<u16>>,
}

pub struct Letterbox {
    /// With a path that nobody else is to know.
    pub url: String,
    shared: Arc<Shared>,
}

impl Letterbox {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
        let url = format!("http://{}/secret-path", listener.local_addr().expect("it listens"));
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    /// Answers the next request by this status; 200 otherwise.
    pub fn answer(&self, status: u16) {
        self.shared.answers.lock().unwrap().push_back(status);
    }

    pub fn letters(&self) -> Vec<Letter> {
        self.shared.letters.lock().unwrap().clone()
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    shared.letters.lock().unwrap().push(Letter { method, path: uri.path().to_owned(), headers, body });
    let status = shared.answers.lock().unwrap().pop_front().unwrap_or(200);
    StatusCode::from_u16(status).expect("a status")
}
