//! A Xero that answers what a test tells it to, in turn, and remembers what it was asked. It judges nothing by itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use scoffable_sync::simulator::server::Server;
use serde_json::{Value, json};

/// One request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Below the API's own path.
    pub path: String,
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
    asked: Vec<Asked>,
    n_tokens: u32,
    scope: Option<String>,
}

pub struct XeroStub {
    told: Arc<Mutex<Told>>,
    server: Server,
}

impl XeroStub {
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

    /// What tokens are said to be good for, from now on.
    pub fn grants(&self, scope: &str) {
        self.told().scope = Some(scope.to_owned());
    }

    /// Requests to the API, in their order.
    pub fn asked(&self) -> Vec<Asked> {
        self.told().asked.clone()
    }

    /// The same as method and path.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }

    pub fn n_tokens(&self) -> u32 {
        self.told().n_tokens
    }

    /// An organisation that has all that the usual settings name.
    pub fn has_an_organisation(&self) -> &Self {
        let accounts = ["200", "201", "202", "205", "498", "499", "611", "612", "613"].map(|code| {
            json!({
                "AccountID": format!("00000000-0000-4000-8000-000000000{code}"), "Code": code, "Name": code,
                "Type": if code.starts_with('6') { "CURRENT" } else { "REVENUE" }, "Status": "ACTIVE",
                "EnablePaymentsToAccount": code.starts_with('6'),
            })
        });
        let rate = |tax_type: &str, rate: u32| {
            json!({
                "TaxType": tax_type, "Name": tax_type, "Status": "ACTIVE", "CanApplyToRevenue": true,
                "EffectiveRate": rate,
            })
        };
        let organisation = json!({
            "Name": "Old Mill Kitchen", "BaseCurrency": "GBP", "CountryCode": "GB", "Timezone": "GMTSTANDARDTIME",
            "PeriodLockDate": "/Date(1546214400000+0000)/", "IsDemoCompany": true,
        });
        self.answers("GET", "/Organisation", ok(&json!({"Organisations": [organisation]})))
            .answers("GET", "/Accounts", ok(&json!({"Accounts": accounts})))
            .answers("GET", "/TaxRates", ok(&json!({"TaxRates": [rate("OUTPUT2", 20), rate("NONE", 0)]})))
            .answers("GET", "/Currencies", ok(&json!({"Currencies": [{"Code": "GBP"}]})))
            .answers("GET", "/Invoices", ok(&json!({"Invoices": []})))
            .answers("GET", "/Payments", ok(&json!({"Payments": []})))
    }
}

async fn answer(State(told): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body is sent whole");
    let path = parts.uri.path().to_owned();
    let mut told = told.lock().expect("nothing panics with it");
    if path == "/token" {
        assert_eq!(parts.method, Method::POST);
        told.n_tokens += 1;
        let mut token = json!({"access_token": format!("token-{}", told.n_tokens), "expires_in": 1800});
        if let Some(scope) = &told.scope {
            token["scope"] = json!(scope);
        }
        if String::from_utf8_lossy(&body).contains("authorization_code") {
            token["refresh_token"] = json!(format!("refresh-{}", told.n_tokens));
        }
        return axum::Json(token).into_response();
    }
    let path = path.strip_prefix("/api.xro/2.0").unwrap_or(&path).to_owned();
    let line = format!("{} {path}", parts.method);
    let url = reqwest::Url::parse(&format!("query:?{}", parts.uri.query().unwrap_or_default())).expect("a query");
    told.asked.push(Asked {
        method: parts.method.to_string(),
        path,
        query: url.query_pairs().into_owned().collect(),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let Some(reply) = told.replies.get_mut(&line).and_then(VecDeque::pop_front) else {
        // Loud in a test that did not expect it.
        return (StatusCode::IM_A_TEAPOT, format!("nothing was told about {line}")).into_response();
    };
    let mut response = (StatusCode::from_u16(reply.status).expect("a status"), reply.body).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}
