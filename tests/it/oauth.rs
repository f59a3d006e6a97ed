//! Access tokens: one request for many callers, one repeat after a 401, and refresh tokens that several processes share.

mod consent;
mod rotating;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode, header},
};
use scoffable_sync::{
    clock::Clock,
    config::{secret::Secret, url::HttpUrl},
    domain::{
        delivery::{Outcome, Reason, Sent},
        ids::SinkName,
    },
    simulator::{
        faults::{Answer, Chaos, Fault, Faults, Side, cut_after, plainly, slow_to_start, status},
        journal::{Arrival, Journal},
        server::{Cut, Server},
        token::{Credentials, Grant, RegisteredClient, TokenOptions, TokenSim},
    },
    sinks::oauth::{ClientAuth, ClientCredentials, NoToken, REFUSAL_PAUSE, TokenEndpoint, Tokens},
};

const CLIENT: &str = "the-client";
const SECRET: &str = "the-secret-of-the-client";
const MARGIN: Duration = Duration::from_mins(2);
const WITHIN: Duration = Duration::from_secs(5);

/// A foreign system with a token endpoint and one call, `POST /api`, that wants a token.
struct Foreign {
    tokens: TokenSim,
    api: Arc<Api>,
    server: Server,
    clock: Clock,
}

struct Api {
    tokens: TokenSim,
    calls: Journal,
    faults: Faults,
}

impl Foreign {
    async fn start(options: TokenOptions) -> Self {
        let clock = options.clock.clone();
        let tokens = TokenSim::new(options);
        let faults = Faults::new(Side::Destination, Chaos::None, 1);
        let api = Arc::new(Api { tokens: tokens.clone(), calls: Journal::default(), faults });
        let router = Router::new().route("/api", axum::routing::post(call)).with_state(Arc::clone(&api));
        let server = Server::start(([127, 0, 0, 1], 0).into(), router.merge(tokens.router())).await.unwrap();
        Self { tokens, api, server, clock }
    }

    /// With one application that acts for itself.
    async fn for_itself(credentials: Credentials) -> Self {
        let scopes = vec!["orders:write".to_owned(), "menu:read".to_owned()];
        let client = registered(credentials, Grant::ClientCredentials, scopes);
        Self::start(TokenOptions { clients: vec![client], ..TokenOptions::default() }).await
    }

    fn url(&self, path: &str) -> HttpUrl {
        HttpUrl::parse(&format!("http://{}{path}", self.server.address())).unwrap()
    }

    fn endpoint(&self, auth: ClientAuth) -> TokenEndpoint {
        TokenEndpoint {
            http: http(),
            url: self.url("/token"),
            client_id: Secret::literal(CLIENT),
            client_secret: Secret::literal(SECRET),
            auth,
            extra: Vec::new(),
            timeout: WITHIN,
        }
    }

    /// A process's tokens.
    fn own_tokens(&self, endpoint: TokenEndpoint) -> Tokens {
        let scopes = vec!["orders:write".to_owned(), "menu:read".to_owned()];
        let source = ClientCredentials { endpoint: Arc::new(endpoint), scopes };
        Tokens::new(sink(), source, MARGIN, self.clock.clone())
    }

    /// Makes the call. A status, or what became of it.
    async fn call(&self, tokens: &Tokens) -> Result<u16, Outcome> {
        let (http, url) = (http(), self.url("/api"));
        let build = |bearer: &scoffable_sync::sinks::oauth::Bearer| {
            http.post(url.as_url().clone()).header(header::AUTHORIZATION, bearer.header()).body("an order")
        };
        tokens.send_authorised(WITHIN, build).await.map(|response| response.status().as_u16())
    }

    fn n_calls(&self) -> u64 {
        self.api.calls.total()
    }

    fn n_token_requests(&self) -> u64 {
        self.tokens.journal().total()
    }
}

/// The call of the foreign system: 200 with a valid token, 401 without one.
async fn call(
    State(api): State<Arc<Api>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    let call = api.calls.begin(Arrival::default());
    assert_eq!(body, "an order", "a repeat has the same body");
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !api.tokens.accepts(authorization) {
        call.answers(401);
        return Answer::json(401, Bytes::new()).response();
    }
    let fault = api.faults.next("").unwrap_or_else(plainly);
    fault.wait_before().await;
    let response = fault.disguise(Answer::json(200, Bytes::new()), &cut);
    call.answers(response.status().as_u16());
    response
}

fn registered(credentials: Credentials, grant: Grant, scopes: Vec<String>) -> RegisteredClient {
    RegisteredClient { id: CLIENT.to_owned(), secret: SECRET.to_owned(), credentials, grant, scopes }
}

fn sink() -> SinkName {
    SinkName::parse("books").unwrap()
}

fn http() -> reqwest::Client {
    scoffable_sync::http::client_builder().build().unwrap()
}

fn retry(reason: Reason) -> Outcome {
    Outcome::Retry { reason, sent: Sent::No, not_before: None }
}

fn unauthorized() -> Outcome {
    Outcome::Blocked { reason: Reason::Unauthorized }
}

#[tokio::test]
async fn a_hundred_callers_at_once_lead_to_one_token_request() {
    for (credentials, auth) in
        [(Credentials::BasicHeader, ClientAuth::Basic), (Credentials::FormFields, ClientAuth::Form)]
    {
        let foreign = Foreign::for_itself(credentials).await;
        let tokens = foreign.own_tokens(foreign.endpoint(auth));
        foreign.tokens.answer_next([slow_to_start(Duration::from_millis(50))]);

        let calls = futures::future::join_all((0..100).map(|_| foreign.call(&tokens))).await;

        assert!(calls.iter().all(|call| *call == Ok(200)), "{calls:?}");
        assert_eq!(foreign.n_token_requests(), 1);
        assert_eq!(foreign.tokens.violations(), []);
    }
}

#[tokio::test]
async fn a_401_leads_to_one_new_token_and_one_repeat() {
    let foreign = Foreign::for_itself(Credentials::BasicHeader).await;
    let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));
    assert_eq!(foreign.call(&tokens).await, Ok(200));
    foreign.tokens.revoke_access();

    assert_eq!(foreign.call(&tokens).await, Ok(200));

    assert_eq!((foreign.n_calls(), foreign.n_token_requests()), (3, 2));
}

#[tokio::test]
async fn many_calls_with_a_revoked_token_lead_to_one_new_one() {
    let foreign = Foreign::for_itself(Credentials::BasicHeader).await;
    let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));
    tokens.bearer().await.unwrap();
    foreign.tokens.revoke_access();

    let calls = futures::future::join_all((0..20).map(|_| foreign.call(&tokens))).await;

    assert!(calls.iter().all(|call| *call == Ok(200)), "{calls:?}");
    assert_eq!(foreign.n_token_requests(), 2);
}

/// The API refuses every token that the endpoint gives.
async fn at_odds() -> Foreign {
    let client = registered(
        Credentials::BasicHeader,
        Grant::ClientCredentials,
        vec!["orders:write".to_owned(), "menu:read".to_owned()],
    );
    let options = TokenOptions { clients: vec![client], life: Duration::ZERO, ..TokenOptions::default() };
    Foreign::start(options).await
}

#[tokio::test]
async fn a_second_401_stands() {
    let foreign = at_odds().await;
    let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));

    assert_eq!(foreign.call(&tokens).await, Ok(401));

    let table = scoffable_sync::sinks::http::refused(StatusCode::UNAUTHORIZED, &HeaderMap::new(), foreign.clock.wall());
    assert_eq!(table, Some(unauthorized()));
    assert_eq!((foreign.n_calls(), foreign.n_token_requests()), (2, 2));
}

#[tokio::test]
async fn while_even_fresh_tokens_are_refused_a_401_leads_to_no_new_one() {
    let foreign = at_odds().await;
    let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));
    assert_eq!(foreign.call(&tokens).await, Ok(401));

    assert_eq!(foreign.call(&tokens).await, Ok(401));
    assert_eq!((foreign.n_calls(), foreign.n_token_requests()), (3, 2));
    foreign.clock.advance(REFUSAL_PAUSE);
    assert_eq!(foreign.call(&tokens).await, Ok(401));

    assert_eq!((foreign.n_calls(), foreign.n_token_requests()), (5, 3));
}

#[tokio::test]
async fn a_lost_answer_is_reported_and_never_repeated() {
    let foreign = Foreign::for_itself(Credentials::BasicHeader).await;
    let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));
    foreign.api.faults.answer_next([cut_after()]);

    assert_eq!(foreign.call(&tokens).await, Err(Outcome::Unknown { reason: Reason::ConnectionLost }));

    assert_eq!(foreign.n_calls(), 1);
}

#[tokio::test]
async fn other_answers_are_returned_as_they_are() {
    let foreign = Foreign::for_itself(Credentials::BasicHeader).await;
    let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));
    foreign.api.faults.answer_next([status(403), status(503), status(302)]);

    for expected in [403, 503, 302, 200] {
        assert_eq!(foreign.call(&tokens).await, Ok(expected));
    }

    assert_eq!((foreign.n_calls(), foreign.n_token_requests()), (4, 1));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_outcome_says_so() {
    let throttled = Outcome::Throttled { not_before: Some(Duration::from_secs(90)) };
    let cases: Vec<(Fault, Outcome)> = vec![
        (status(500), retry(Reason::ServerError)),
        (cut_after(), retry(Reason::ConnectionLost)),
        (scoffable_sync::simulator::faults::not_json(), retry(Reason::UnreadableAnswer)),
        (status(429).retry_after(Duration::from_secs(90)), throttled),
        (status(400), unauthorized()),
        (status(401), unauthorized()),
    ];
    for (fault, expected) in cases {
        let foreign = Foreign::for_itself(Credentials::BasicHeader).await;
        let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));
        foreign.tokens.answer_next([fault]);

        assert_eq!(foreign.call(&tokens).await, Err(expected));

        assert_eq!((foreign.n_calls(), foreign.n_token_requests()), (0, 1));
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_tried_again_later() {
    let foreign = Foreign::for_itself(Credentials::BasicHeader).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = HttpUrl::parse(&format!("http://{nobody}/token")).unwrap();
    let tokens = foreign.own_tokens(TokenEndpoint { url, ..foreign.endpoint(ClientAuth::Basic) });

    assert_eq!(foreign.call(&tokens).await, Err(retry(Reason::ConnectFailed)));
}

#[tokio::test]
async fn a_wrong_secret_is_presented_once_and_a_changed_one_at_once() {
    let foreign = Foreign::for_itself(Credentials::BasicHeader).await;
    let wrong = TokenEndpoint { client_secret: Secret::literal("wrong"), ..foreign.endpoint(ClientAuth::Basic) };
    let tokens = foreign.own_tokens(wrong);
    for _ in 0..10 {
        assert_eq!(tokens.bearer().await, Err(NoToken::Refused { code: "invalid_client" }));
    }
    assert_eq!(foreign.n_token_requests(), 1);

    let corrected = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));

    assert_eq!(foreign.call(&corrected).await, Ok(200));
}

#[tokio::test]
async fn a_slow_token_endpoint_never_makes_a_doubt() {
    let foreign = Foreign::for_itself(Credentials::BasicHeader).await;
    let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Basic));
    let gate = tokio_util::sync::CancellationToken::new();
    foreign.tokens.answer_next([plainly().answered_when(&gate)]);
    let http = http();
    let url = foreign.url("/api");

    let within = Duration::from_millis(100);
    let outcome = tokens.send_authorised(within, |_| http.post(url.as_url().clone())).await.unwrap_err();
    assert_eq!((outcome, foreign.n_calls()), (retry(Reason::Timeout), 0));
    gate.cancel();

    assert_eq!(foreign.call(&tokens).await, Ok(200));
    assert_eq!(foreign.n_token_requests(), 1, "the first request went on and served the second call");
}

#[tokio::test]
async fn nothing_shows_a_token_or_a_secret() {
    let foreign = Foreign::for_itself(Credentials::FormFields).await;
    let tokens = foreign.own_tokens(foreign.endpoint(ClientAuth::Form));
    let bearer = tokens.bearer().await.unwrap();

    let shown = format!("{tokens:#?} {bearer:?} {:?}", bearer.header());

    for secret in [SECRET, bearer.expose()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
