//! A shop that answers what a test tells it to, in turn, and remembers what it was asked. It judges nothing by itself.

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
use serde_json::{Value, json};

use super::{NO_TAX, ONLINE, REGISTER, TAX, USER, path};

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
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
}

#[derive(Default)]
struct Told {
    /// By method and path.
    replies: HashMap<String, VecDeque<Reply>>,
    /// Whenever nothing else was told.
    always: HashMap<String, Reply>,
    asked: Vec<Asked>,
}

pub struct ShopStub {
    told: Arc<Mutex<Told>>,
    server: Server,
}

impl ShopStub {
    pub async fn start() -> Self {
        let told = Arc::<Mutex<Told>>::default();
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

    /// A shop that has all that the usual settings name.
    pub fn has_a_shop(&self) -> &Self {
        let page = |data: Value| ok(&json!({"data": data, "version": {"min": 1, "max": 9}}));
        let ids = |ids: &[&str]| Value::Array(ids.iter().map(|id| json!({"id": id, "deleted_at": null})).collect());
        let payments = ["2", "3", "4"].map(|n| format!("44444444-aaaa-4bbb-8ccc-00000000000{n}"));
        let payments: Vec<&str> = payments.iter().map(String::as_str).chain([ONLINE]).collect();
        let listings = [
            (
                "registers",
                json!([{
                    "id": REGISTER, "name": "Online", "is_open": true, "invoice_prefix": "", "invoice_suffix": "",
                    "register_open_sequence_id": "monday",
                }]),
            ),
            ("users", ids(&[USER])),
            (
                "taxes",
                json!([{"id": TAX, "rates": [{"rate": 0.2}]}, {"id": NO_TAX, "name": "No Tax", "rates": [{"rate": 0}]}]),
            ),
            ("payment_types", ids(&payments)),
        ];
        for (name, data) in listings {
            // A page and the empty one that ends the listing.
            self.answers("GET", &path(name), page(data));
            self.always_answers("GET", &path(name), page(json!([])));
        }
        let retailer = json!({"data": {
            "name": "Old Mill Kitchen", "no_tax_group_id": NO_TAX, "timezone": "Europe/London", "tax_exclusive": false,
            "currency": {"code": "GBP", "symbol": "£"},
        }});
        self.always_answers("GET", &path("retailer"), ok(&retailer))
    }
}

async fn answer(State(told): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body is sent whole");
    let line = format!("{} {}", parts.method, parts.uri.path());
    let url = reqwest::Url::parse(&format!("query:?{}", parts.uri.query().unwrap_or_default())).expect("a query");
    let mut told = told.lock().expect("nothing panics with it");
    told.asked.push(Asked {
        line: line.clone(),
        query: url.query_pairs().into_owned().collect(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let next = told.replies.get_mut(&line).and_then(VecDeque::pop_front);
    let Some(reply) = next.or_else(|| told.always.get(&line).cloned()) else {
        // Loud in a test that did not expect it.
        return (StatusCode::IM_A_TEAPOT, format!("nothing was told about {line}")).into_response();
    };
    let mut response = (StatusCode::from_u16(reply.status).expect("a status"), reply.body).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}
