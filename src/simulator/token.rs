//! A strict OAuth 2 token endpoint, to be mounted into the simulators of systems that have one.
//!
//! Source: RFC 6749, "2.3.1 Client Password", "4.1 Authorization Code Grant", "4.4 Client Credentials Grant",
//! "5. Issuing an Access Token", "6. Refreshing an Access Token"; RFC 9700, "4.14.2": a refresh token is replaced with every
//! use, and the old one is dead.
//!
//! It refuses what a strict server would: a wrong method, content type or field, credentials in the wrong place, scopes
//! that were not granted. Every refusal that a correct client never causes is a violation; so is each presentation of a
//! dead refresh token, which is also counted, because that is what costs a person a visit to a browser. Which calls ran
//! side by side is in the [`Journal`], under the scope `client:ID`. Misbehaviour comes from [`Faults`].
//!
//! Shares no type with our client. Other simulators ask [`TokenSim::accepts`] whether a call bears a valid token.

use std::{
    collections::{BTreeSet, HashMap},
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, Response, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    faults::{Answer, Chaos, Fault, Faults, Reach, Reply, Side, plainly},
    journal::{Arrival, Call, Journal},
    server::{Cut, Server},
    time::SimTime,
};
use crate::clock::Clock;

const MAX_BODY: usize = 64 * 1024;
/// Source: RFC 6749, "4.1.2": ten minutes at the most, and only once.
const CODE_LIFE: Duration = Duration::from_mins(5);
/// Source: OpenID Connect Core, "11. Offline Access".
const OFFLINE_ACCESS: &str = "offline_access";

/// Where a client has to put its id and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    BasicHeader,
    FormFields,
}

/// What a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    ClientCredentials,
    /// The first one is got by a person, or for the code that a person brings from [`TokenSim::issue_code`].
    RefreshToken,
}

/// An application that is registered here.
#[derive(Clone)]
pub struct RegisteredClient {
    pub id: String,
    pub secret: String,
    pub credentials: Credentials,
    pub grant: Grant,
    /// Scopes it may ask for. Empty: it must not ask for any.
    pub scopes: Vec<String>,
}

impl fmt::Debug for RegisteredClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredClient").field("id", &self.id).field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// What an answer says about the life of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiresIn {
    /// The truth.
    Told,
    /// Nothing.
    Missing,
    /// This number of seconds, whatever the truth.
    Pretended(i64),
}

/// What becomes of a refresh token that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// It is dead at once.
    Strict,
    /// It may be used again until its successor was used, as some servers allow for lost answers.
    UntilSuccessorIsUsed,
}

#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// The only path that is served.
    pub path: String,
    pub clients: Vec<RegisteredClient>,
    /// Life of an access token.
    pub life: Duration,
    /// A refresh token is dead that was not used for so long; none: it lives for ever.
    pub refresh_life: Option<Duration>,
    pub rotation: Rotation,
    /// A code gets no refresh token without the scope `offline_access`; otherwise always.
    pub asks_for_offline_access: bool,
    /// Whether an answer says which scopes were granted.
    pub tells_scope: bool,
    pub chaos: Chaos,
    pub seed: u64,
    pub clock: Clock,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            path: "/token".to_owned(),
            clients: Vec::new(),
            life: Duration::from_mins(30),
            refresh_life: None,
            rotation: Rotation::Strict,
            asks_for_offline_access: true,
            tells_scope: false,
            chaos: Chaos::None,
            seed: 1,
            clock: Clock::default(),
        }
    }
}

/// What a correct client never does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenViolation {
    Malformed {
        reason: String,
    },
    /// Unknown id, wrong secret, or both in the wrong place.
    BadClient,
    BadScope,
    /// A refresh token that was used up, or revoked.
    DeadRefreshToken {
        client: String,
    },
    /// A refresh token that was never given out.
    UnknownRefreshToken {
        client: String,
    },
    /// A code that was never given out, was used, is too old, or belongs to another redirect.
    BadCode {
        client: String,
    },
}

/// The endpoint and what it has given out. Clones share it.
#[derive(Clone)]
pub struct TokenSim {
    shared: Arc<Shared>,
}

struct Shared {
    options: TokenOptions,
    time: SimTime,
    state: Mutex<Given>,
    faults: Faults,
    journal: Journal,
}

struct Given {
    clients: Vec<RegisteredClient>,
    expires_in: ExpiresIn,
    count: u64,
    access: HashMap<String, AccessToken>,
    refresh: HashMap<String, RefreshToken>,
    codes: HashMap<String, Code>,
    dead_presented: u64,
    violations: Vec<TokenViolation>,
}

struct AccessToken {
    until: Duration,
    scopes: Vec<String>,
}

struct RefreshToken {
    client: String,
    is_dead: bool,
    since: Duration,
    /// None: all of the client's.
    scopes: Option<Vec<String>>,
    /// The one it was got with.
    parent: Option<String>,
}

/// What a person brings back from the browser.
struct Code {
    client: String,
    redirect: String,
    scopes: Vec<String>,
    until: Duration,
}

impl fmt::Debug for TokenSim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSim").field("path", &self.shared.options.path).finish_non_exhaustive()
    }
}

/// What is asked for, once everything about the request is in order.
struct Wish {
    client: String,
    kind: WishKind,
    /// Those of the client where it names none. Source: RFC 6749, "3.3 Access Token Scope", leaves a default open.
    scopes: Vec<String>,
}

enum WishKind {
    ForItself,
    Refresh(String),
    Code { code: String, redirect: String },
}

/// Why a request is refused. Source: RFC 6749, "5.2 Error Response".
struct Refusal {
    status: StatusCode,
    error: &'static str,
    violation: TokenViolation,
}

fn malformed(reason: &str) -> Refusal {
    let violation = TokenViolation::Malformed { reason: reason.to_owned() };
    Refusal { status: StatusCode::BAD_REQUEST, error: "invalid_request", violation }
}

impl TokenSim {
    pub fn new(options: TokenOptions) -> Self {
        let given = Given {
            clients: options.clients.clone(),
            expires_in: ExpiresIn::Told,
            count: 0,
            access: HashMap::new(),
            refresh: HashMap::new(),
            codes: HashMap::new(),
            dead_presented: 0,
            violations: Vec::new(),
        };
        let shared = Shared {
            time: SimTime::start(options.clock.clone()),
            state: Mutex::new(given),
            faults: Faults::new(Side::Destination, options.chaos, options.seed),
            journal: Journal::default(),
            options,
        };
        Self { shared: Arc::new(shared) }
    }

    /// To be merged into another simulator's router, or served alone. Needs the connect info of [`Server`].
    pub fn router(&self) -> Router {
        Router::new().route(&self.shared.options.path, axum::routing::any(handle)).with_state(Arc::clone(&self.shared))
    }

    /// Serves the endpoint alone.
    pub async fn serve(&self, listen: SocketAddr) -> io::Result<Server> {
        Server::start(listen, self.router()).await
    }

    /// Whether this is the value of an `Authorization` header with a token that is valid now.
    pub fn accepts(&self, authorization: Option<&str>) -> bool {
        authorization.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|token| self.is_valid(token))
    }

    /// Whether this access token was given out, was not revoked and has not expired.
    pub fn is_valid(&self, token: &str) -> bool {
        let now = self.shared.time.elapsed();
        self.shared.given().access.get(token).is_some_and(|access| now < access.until)
    }

    /// Whether this is the value of an `Authorization` header with a token that is valid now and has this scope.
    pub fn grants(&self, authorization: Option<&str>, scope: &str) -> bool {
        let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
        let has_scope = |access: &AccessToken| access.scopes.iter().any(|granted| granted == scope);
        self.is_valid(token) && self.shared.given().access.get(token).is_some_and(has_scope)
    }

    /// A person authorises the application in a browser: a new refresh token.
    pub fn authorise(&self, client: &str) -> String {
        self.shared.given().new_refresh_token(client, None, None, self.shared.time.elapsed())
    }

    /// A person agrees in a browser that the application gets these scopes: the code it is sent back with. None where it
    /// is not registered, or may not ask for them.
    pub fn issue_code(&self, client: &str, redirect: &str, scopes: &[&str]) -> Option<String> {
        let mut given = self.shared.given();
        let registered = given.clients.iter().find(|c| c.id == client && c.grant == Grant::RefreshToken)?;
        if !scopes.iter().all(|scope| registered.scopes.iter().any(|granted| granted == scope)) {
            return None;
        }
        given.count += 1;
        let code = format!("code-{client}-{}", given.count);
        let kept = Code {
            client: client.to_owned(),
            redirect: redirect.to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            until: self.shared.time.elapsed() + CODE_LIFE,
        };
        given.codes.insert(code.clone(), kept);
        Some(code)
    }

    /// Ends all access tokens given out so far.
    pub fn revoke_access(&self) {
        self.shared.given().access.clear();
    }

    /// A person disconnects the application: its refresh tokens are dead.
    pub fn revoke_refresh_tokens(&self, client: &str) {
        let mut given = self.shared.given();
        given.refresh.values_mut().filter(|token| token.client == client).for_each(|token| token.is_dead = true);
    }

    /// Gives an application another secret.
    pub fn change_secret(&self, client: &str, secret: &str) {
        let mut given = self.shared.given();
        given.clients.iter_mut().filter(|c| c.id == client).for_each(|c| secret.clone_into(&mut c.secret));
    }

    pub fn tell_expires_in(&self, expires_in: ExpiresIn) {
        self.shared.given().expires_in = expires_in;
    }

    /// How often a refresh token was presented that was dead already.
    pub fn dead_presented(&self) -> u64 {
        self.shared.given().dead_presented
    }

    /// Whether this refresh token could be used now.
    pub fn is_alive(&self, refresh_token: &str) -> bool {
        self.shared.given().refresh.get(refresh_token).is_some_and(|token| !token.is_dead)
    }

    pub fn violations(&self) -> Vec<TokenViolation> {
        self.shared.given().violations.clone()
    }

    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// See [`Faults::answer_next`].
    pub fn answer_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.answer_next(faults);
    }
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return Answer::json(413, Bytes::new()).response();
    };
    let fields = form_fields(&body);
    let client = claimed_client(&parts.headers, fields.as_deref().unwrap_or_default());
    let call = shared.journal.begin(Arrival {
        at: shared.time.elapsed(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: String::new(),
        scopes: vec![format!("client:{}", client.as_ref().map_or("", |(id, _, _)| id))],
    });
    let fault = shared.faults.next(client.as_ref().map_or("", |(id, _, _)| id));
    if let Some(fault) = &fault {
        call.plays(fault.name());
    }
    let fault = fault.unwrap_or_else(plainly);
    if fault.refuses_to_read() {
        return fault.disguise(Answer::json(200, Bytes::new()), &cut);
    }
    fault.wait_before().await;
    let wish = check_envelope(&parts.method, parts.uri.query(), &parts.headers)
        .and_then(|()| fields.ok_or_else(|| malformed("the body is no form, or names a field twice")))
        .and_then(|fields| shared.check(client, &fields));
    let wish = match wish {
        Ok(wish) => wish,
        Err(refusal) => return shared.refuse(call, refusal),
    };
    let answer = match fault.reach() {
        Reach::Nothing => Answer::json(200, Bytes::new()),
        Reach::Effect => match shared.grant(&wish) {
            Ok(body) => Answer::of(StatusCode::OK, &body),
            Err(refusal) => return shared.refuse(call, refusal),
        },
    };
    fault.wait_after().await;
    let mut response = fault.disguise(answer, &cut);
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if !matches!(fault.reply(), Reply::Cut) {
        call.answers(response.status().as_u16());
    }
    response
}

/// None for what is no form, and for a field that is there twice. Source: RFC 6749, "3.2 Token Endpoint".
fn form_fields(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    let url = reqwest::Url::parse(&format!("form:?{text}")).ok()?;
    let fields: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let names: BTreeSet<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    (names.len() == fields.len()).then_some(fields)
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// Id, secret, and where they were found. None when they are nowhere, or in both places.
fn claimed_client(headers: &HeaderMap, fields: &[(String, String)]) -> Option<(String, String, Credentials)> {
    let basic = headers.get(header::AUTHORIZATION).map(|value| {
        let encoded = value.to_str().ok()?.strip_prefix("Basic ")?;
        let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((id.to_owned(), secret.to_owned(), Credentials::BasicHeader))
    });
    match (basic, field(fields, "client_id"), field(fields, "client_secret")) {
        (Some(basic), None, None) => basic,
        (None, Some(id), Some(secret)) => Some((id.to_owned(), secret.to_owned(), Credentials::FormFields)),
        _ => None,
    }
}

fn check_envelope(method: &Method, query: Option<&str>, headers: &HeaderMap) -> Result<(), Refusal> {
    if method != Method::POST {
        return Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, ..malformed("only POST is offered") });
    }
    if query.is_some() {
        return Err(malformed("fields belong into the body"));
    }
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media_type.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(malformed("Content-Type is not application/x-www-form-urlencoded"));
    }
    Ok(())
}

impl Shared {
    fn given(&self) -> MutexGuard<'_, Given> {
        self.state.lock().expect("nothing panics while the tokens are held")
    }

    fn refuse(&self, call: Call, refusal: Refusal) -> Response<Body> {
        let mut given = self.given();
        if matches!(refusal.violation, TokenViolation::DeadRefreshToken { .. }) {
            given.dead_presented += 1;
        }
        given.violations.push(refusal.violation);
        call.answers(refusal.status.as_u16());
        let answer = Answer::error(refusal.status, refusal.error);
        let is_unauthorized = refusal.status == StatusCode::UNAUTHORIZED;
        if is_unauthorized { answer.header("www-authenticate", "Basic") } else { answer }.response()
    }

    fn check(
        &self,
        claimed: Option<(String, String, Credentials)>,
        fields: &[(String, String)],
    ) -> Result<Wish, Refusal> {
        let bad_client = || Refusal {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            violation: TokenViolation::BadClient,
        };
        let (id, secret, place) = claimed.ok_or_else(bad_client)?;
        let given = self.given();
        let client = given.clients.iter().find(|c| c.id == id && c.secret == secret).ok_or_else(bad_client)?;
        if client.credentials != place {
            return Err(bad_client());
        }
        let mut allowed = vec!["grant_type", "scope"];
        if place == Credentials::FormFields {
            allowed.extend(["client_id", "client_secret"]);
        }
        let kind = match (field(fields, "grant_type"), client.grant) {
            (Some("client_credentials"), Grant::ClientCredentials) => WishKind::ForItself,
            (Some("refresh_token"), Grant::RefreshToken) => {
                allowed.push("refresh_token");
                let token = field(fields, "refresh_token").ok_or_else(|| malformed("refresh_token is missing"))?;
                WishKind::Refresh(token.to_owned())
            }
            (Some("authorization_code"), Grant::RefreshToken) => {
                allowed.extend(["code", "redirect_uri"]);
                let needed = |name| field(fields, name).ok_or_else(|| malformed(&format!("{name} is missing")));
                WishKind::Code { code: needed("code")?.to_owned(), redirect: needed("redirect_uri")?.to_owned() }
            }
            (Some("client_credentials" | "refresh_token" | "authorization_code"), _) => {
                return Err(Refusal { error: "unauthorized_client", ..malformed("a grant this client does not have") });
            }
            (Some(_), _) => {
                return Err(Refusal { error: "unsupported_grant_type", ..malformed("a grant nobody has") });
            }
            (None, _) => return Err(malformed("grant_type is missing")),
        };
        if let Some((name, _)) = fields.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
            return Err(malformed(&format!("unknown field {name}")));
        }
        let named = field(fields, "scope").unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
        if named.clone().any(|scope| !client.scopes.iter().any(|granted| granted == scope)) {
            return Err(Refusal {
                status: StatusCode::BAD_REQUEST,
                error: "invalid_scope",
                violation: TokenViolation::BadScope,
            });
        }
        let named: Vec<String> = named.map(str::to_owned).collect();
        let scopes = if named.is_empty() { client.scopes.clone() } else { named };
        Ok(Wish { client: id, kind, scopes })
    }

    fn grant(&self, wish: &Wish) -> Result<Value, Refusal> {
        let client = wish.client.as_str();
        let now = self.time.elapsed();
        let mut given = self.given();
        let (refresh_token, scopes) = match &wish.kind {
            WishKind::ForItself => (None, wish.scopes.clone()),
            WishKind::Refresh(used) => {
                let (token, scopes) = given.rotate(client, used, &self.options, now)?;
                (Some(token), scopes.unwrap_or_else(|| wish.scopes.clone()))
            }
            WishKind::Code { code, redirect } => {
                let scopes = given.redeem(client, code, redirect, now)?;
                let is_offline =
                    !self.options.asks_for_offline_access || scopes.iter().any(|scope| scope == OFFLINE_ACCESS);
                (is_offline.then(|| given.new_refresh_token(client, None, Some(scopes.clone()), now)), scopes)
            }
        };
        given.count += 1;
        let access = format!("access-{}-{}", client, given.count);
        let until = now + self.options.life;
        let mut body = json!({"access_token": access, "token_type": "Bearer"});
        if self.options.tells_scope {
            body["scope"] = scopes.join(" ").into();
        }
        given.access.insert(access, AccessToken { until, scopes });
        match given.expires_in {
            ExpiresIn::Told => body["expires_in"] = self.options.life.as_secs().into(),
            ExpiresIn::Missing => {}
            ExpiresIn::Pretended(secs) => body["expires_in"] = secs.into(),
        }
        if let Some(token) = refresh_token {
            body["refresh_token"] = token.into();
        }
        Ok(body)
    }
}

impl Given {
    fn new_refresh_token(
        &mut self,
        client: &str,
        parent: Option<&str>,
        scopes: Option<Vec<String>>,
        since: Duration,
    ) -> String {
        self.count += 1;
        let token = format!("refresh-{}-{}", client, self.count);
        let (client, parent) = (client.to_owned(), parent.map(str::to_owned));
        self.refresh.insert(token.clone(), RefreshToken { client, is_dead: false, since, scopes, parent });
        token
    }

    /// The successor of a refresh token, and the scopes it was given for.
    fn rotate(
        &mut self,
        client: &str,
        used: &str,
        options: &TokenOptions,
        now: Duration,
    ) -> Result<(String, Option<Vec<String>>), Refusal> {
        let client_name = || client.to_owned();
        let refused = |violation| Err(Refusal { status: StatusCode::BAD_REQUEST, error: "invalid_grant", violation });
        let Some(token) = self.refresh.get_mut(used).filter(|token| token.client == client) else {
            return refused(TokenViolation::UnknownRefreshToken { client: client_name() });
        };
        token.is_dead |= options.refresh_life.is_some_and(|life| now >= token.since + life);
        if token.is_dead {
            return refused(TokenViolation::DeadRefreshToken { client: client_name() });
        }
        token.is_dead = options.rotation == Rotation::Strict;
        let (parent, scopes) = (token.parent.take(), token.scopes.clone());
        if let Some(parent) = parent.and_then(|parent| self.refresh.get_mut(&parent)) {
            parent.is_dead = true;
        }
        Ok((self.new_refresh_token(client, Some(used), scopes.clone(), now), scopes))
    }

    /// The scopes a code was given for.
    fn redeem(&mut self, client: &str, code: &str, redirect: &str, now: Duration) -> Result<Vec<String>, Refusal> {
        let found = self.codes.remove(code);
        match found.filter(|code| code.client == client && code.redirect == redirect && now < code.until) {
            Some(code) => Ok(code.scopes),
            None => Err(Refusal {
                status: StatusCode::BAD_REQUEST,
                error: "invalid_grant",
                violation: TokenViolation::BadCode { client: client.to_owned() },
            }),
        }
    }
}

#[cfg(test)]
mod tests;
