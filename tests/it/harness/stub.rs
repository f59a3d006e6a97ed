//! A foreign system that answers what a test tells it to, in turn, and remembers what it was asked. It judges nothing by
//! itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use scoffable_sync::simulator::server::Server;
use serde_json::Value;

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Below the system's own.
    pub path: String,
    /// Both of them.
    pub line: String,
    pub query: HashMap<String, String>,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("bodies are JSON")
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

pub fn ok(body: &Value) -> Reply {
    reply(200, body)
}

pub fn reply(status: u16, body: &Value) -> Reply {
    Reply { status, headers: Vec::new(), body: body.to_string() }
}

impl Reply {
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn saying(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    fn response(self) -> Response {
        let mut response = (StatusCode::from_u16(self.status).expect("a status"), self.body).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value.parse().expect("a header"));
        }
        response
    }
}

/// What it answers by itself, as requests for tokens. Nobody is told that it was asked.
pub type Aside = Box<dyn FnMut(&Asked) -> Option<Reply> + Send>;

struct Told {
    base_path: &'static str,
    aside: Aside,
    /// By method and path.
    replies: HashMap<String, VecDeque<Reply>>,
    /// Whenever nothing else was told.
    always: HashMap<String, Reply>,
    asked: Vec<Asked>,
}

pub struct Stub {
    told: Arc<Mutex<Told>>,
    server: Server,
}

impl Stub {
    /// Paths are told and remembered without `base_path`.
    pub async fn start(base_path: &'static str, aside: Aside) -> Self {
        let (replies, always) = (HashMap::new(), HashMap::new());
        let told = Arc::new(Mutex::new(Told { base_path, aside, replies, always, asked: Vec::new() }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&told));
        let server = Server::start(([127, 0, 0, 1], 0).into(), router).await.expect("a loopback port is free");
        Self { told, server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("nothing panics with it")
    }

    /// To the next such request that has no answer yet.
    pub fn answers(&self, method: &str, path: &str, reply: Reply) -> &Self {
        self.told().replies.entry(format!("{method} {path}")).or_default().push_back(reply);
        self
    }

    /// To every such request that nothing else was told about.
    pub fn always_answers(&self, method: &str, path: &str, reply: Reply) -> &Self {
        self.told().always.insert(format!("{method} {path}"), reply);
        self
    }

    /// Requests in their order.
    pub fn asked(&self) -> Vec<Asked> {
        self.told().asked.clone()
    }

    /// The same as method and path.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn answer(State(told): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body is sent whole");
    let mut told = told.lock().expect("nothing panics with it");
    let path = parts.uri.path();
    let path = path.strip_prefix(told.base_path).unwrap_or(path).to_owned();
    let line = format!("{} {path}", parts.method);
    let url = reqwest::Url::parse(&format!("query:?{}", parts.uri.query().unwrap_or_default())).expect("a query");
    let asked = Asked {
        method: parts.method.to_string(),
        path,
        line: line.clone(),
        query: url.query_pairs().into_owned().collect(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    if let Some(reply) = (told.aside)(&asked) {
        return reply.response();
    }
    told.asked.push(asked);
    let next = told.replies.get_mut(&line).and_then(VecDeque::pop_front);
    match next.or_else(|| told.always.get(&line).cloned()) {
        Some(reply) => reply.response(),
        // Loud in a test that did not expect it.
        None => (StatusCode::IM_A_TEAPOT, format!("nothing was told about {line}")).into_response(),
    }
}
