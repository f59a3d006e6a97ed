//! An Unleashed that answers what a test tells it to, in turn, and remembers what it was asked. It judges nothing by itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use scoffable_sync::simulator::server::Server;
use serde_json::{Value, json};

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    /// As it was sent.
    pub query: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
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

/// A list of one page.
pub fn listed(items: &[Value]) -> Reply {
    ok(&json!({"Pagination": {"NumberOfItems": items.len(), "NumberOfPages": 1}, "Items": items}))
}

impl Reply {
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

#[derive(Default)]
struct Told {
    /// By method and path.
    replies: HashMap<String, VecDeque<Reply>>,
    asked: Vec<Asked>,
    /// What is shown of an order as it was sent last.
    shown_as: Option<&'static str>,
}

impl Told {
    /// The order at a path as it was sent last, in the state that it is shown in.
    fn as_sent(&self, path: &str) -> Option<String> {
        let sent = self.asked.iter().rev().find(|asked| asked.path == path && !asked.body.is_empty())?;
        let mut order: Value = serde_json::from_str(&sent.body).expect("bodies are JSON");
        order["OrderStatus"] = self.shown_as?.into();
        Some(order.to_string())
    }
}

pub struct UnleashedStub {
    told: Arc<Mutex<Told>>,
    server: Server,
}

impl UnleashedStub {
    pub async fn start() -> Self {
        let told = Arc::<Mutex<Told>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&told));
        let server = Server::start(([127, 0, 0, 1], 0).into(), router).await.expect("a loopback port is free");
        Self { told, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("nothing panics with it")
    }

    /// To the next such request that has no answer yet.
    pub fn answers(&self, method: &str, path: &str, reply: Reply) -> &Self {
        self.told().replies.entry(format!("{method} {path}")).or_default().push_back(reply);
        self
    }

    /// From now on an order that was sent is shown so, unless something else is told about it.
    pub fn shows_orders_as(&self, status: &'static str) -> &Self {
        self.told().shown_as = Some(status);
        self
    }

    /// Requests in their order.
    pub fn asked(&self) -> Vec<Asked> {
        self.told().asked.clone()
    }

    /// The same as method and path.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }

    /// An account that has all that the usual settings name. Of taxes and currencies it lists nothing.
    pub fn has_an_account(&self, house: &str) -> &Self {
        let product = |code: &str, name: &str| json!({"Guid": code, "ProductCode": code, "ProductDescription": name});
        let products = [
            product("SCF-LAMB-BHUNA", "Lamb Bhuna"),
            product("SCF-SERVICE-FEE", "Service fee"),
            product("SCF-DELIVERY-FEE", "Delivery fee"),
            product("SCF-ADJUSTMENT", "Adjustment"),
            product("SCF-ITEM", "Item"),
        ];
        self.answers("GET", &format!("/Customers/{house}"), ok(&json!({"Guid": house, "Obsolete": false})))
            .answers("GET", "/Warehouses", listed(&[json!({"WarehouseCode": "KITCHEN1", "Obsolete": null})]))
            .answers("GET", "/Taxes", reply(404, &json!({})))
            .answers("GET", "/Currencies", reply(404, &json!({})))
            .answers("GET", "/Products", listed(&products))
    }
}

async fn answer(State(told): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body is sent whole");
    let path = parts.uri.path().to_owned();
    let line = format!("{} {path}", parts.method);
    let mut told = told.lock().expect("nothing panics with it");
    told.asked.push(Asked {
        method: parts.method.to_string(),
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let Some(reply) = told.replies.get_mut(&line).and_then(VecDeque::pop_front) else {
        if let Some(order) = told.as_sent(parts.uri.path()).filter(|_| parts.method == "GET") {
            return order.into_response();
        }
        if line == "GET /SalesOrders" {
            // By its number there is none either.
            return listed(&[]).body.into_response();
        }
        // Loud in a test that did not expect it.
        return (StatusCode::IM_A_TEAPOT, format!("nothing was told about {line}")).into_response();
    };
    let mut response = (StatusCode::from_u16(reply.status).expect("a status"), reply.body).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}
