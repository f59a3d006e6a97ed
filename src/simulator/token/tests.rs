//! What the endpoint grants, and what it refuses.

use super::*;
use crate::simulator::{
    faults::cut_after,
    test_client::{client, secs},
};

const BASIC: &str = "basic-app";
const FORM: &str = "form-app";

struct Sim {
    tokens: TokenSim,
    server: Server,
    clock: Clock,
}

async fn sim(rotation: Rotation) -> Sim {
    let clock = Clock::default();
    let registered = |id: &str, credentials, grant| RegisteredClient {
        id: id.to_owned(),
        secret: format!("secret of {id}"),
        credentials,
        grant,
        scopes: vec!["orders".to_owned()],
    };
    let tokens = TokenSim::new(TokenOptions {
        clients: vec![
            registered(BASIC, Credentials::BasicHeader, Grant::ClientCredentials),
            registered(FORM, Credentials::FormFields, Grant::RefreshToken),
        ],
        rotation,
        clock: clock.clone(),
        ..TokenOptions::default()
    });
    let server = tokens.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    Sim { tokens, server, clock }
}

impl Sim {
    fn post(&self, body: &str) -> reqwest::RequestBuilder {
        self.post_as("application/x-www-form-urlencoded", body)
    }

    fn post_as(&self, content_type: &str, body: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}/token", self.server.address());
        client().post(url).header("content-type", content_type).body(body.to_owned())
    }

    async fn refresh(&self, token: &str) -> (u16, Value) {
        let secret = "client_secret=secret+of+form-app";
        let body = format!("grant_type=refresh_token&refresh_token={token}&client_id={FORM}&{secret}");
        answer(self.post(&body)).await
    }

    async fn own_token(&self) -> String {
        let request = self.post("grant_type=client_credentials&scope=orders");
        let (status, body) = answer(request.basic_auth(BASIC, Some("secret of basic-app"))).await;
        assert_eq!((status, &body["expires_in"]), (200, &json!(1800)), "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

fn refused(error: &str) -> Value {
    json!({ "error": error })
}

#[tokio::test]
async fn a_token_is_valid_until_it_expires_or_is_revoked() {
    let sim = sim(Rotation::Strict).await;
    let token = sim.own_token().await;
    assert!(sim.tokens.accepts(Some(&format!("Bearer {token}"))));
    assert!(!sim.tokens.accepts(Some(&token)) && !sim.tokens.accepts(None) && !sim.tokens.is_valid("other"));

    sim.clock.advance(secs(1799));
    assert!(sim.tokens.is_valid(&token));
    sim.clock.advance(secs(1));
    assert!(!sim.tokens.is_valid(&token));

    let token = sim.own_token().await;
    sim.tokens.revoke_access();
    assert!(!sim.tokens.is_valid(&token));
    assert_eq!(sim.tokens.violations(), []);
}

#[tokio::test]
async fn a_token_has_the_scopes_that_were_asked_for_or_all_of_the_client() {
    let registered = RegisteredClient {
        id: BASIC.to_owned(),
        secret: String::new(),
        credentials: Credentials::BasicHeader,
        grant: Grant::ClientCredentials,
        scopes: vec!["orders".to_owned(), "reports".to_owned()],
    };
    let tokens = TokenSim::new(TokenOptions { clients: vec![registered], ..TokenOptions::default() });
    let server = tokens.serve(([127, 0, 0, 1], 0).into()).await.unwrap();

    for (scope, has_reports) in [("", true), ("&scope=reports+orders", true), ("&scope=orders", false)] {
        let body = format!("grant_type=client_credentials{scope}");
        let request = client().post(format!("http://{}/token", server.address())).basic_auth(BASIC, Some(""));
        let form = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let (_, granted) = answer(form).await;
        let bearer = format!("Bearer {}", granted["access_token"].as_str().unwrap());
        assert!(tokens.grants(Some(&bearer), "orders"), "{scope}");
        assert_eq!(tokens.grants(Some(&bearer), "reports"), has_reports, "{scope}");
    }
}

#[tokio::test]
async fn a_used_refresh_token_is_dead_and_its_presentation_a_violation() {
    let sim = sim(Rotation::Strict).await;
    let first = sim.tokens.authorise(FORM);

    let (status, body) = sim.refresh(&first).await;
    assert_eq!(status, 200);
    assert!(!sim.tokens.is_alive(&first) && sim.tokens.is_alive(body["refresh_token"].as_str().unwrap()));

    assert_eq!(sim.refresh(&first).await, (400, refused("invalid_grant")));
    assert_eq!(sim.tokens.dead_presented(), 1);
    assert_eq!(sim.tokens.violations(), [TokenViolation::DeadRefreshToken { client: FORM.to_owned() }]);
}

#[tokio::test]
async fn with_grace_a_used_refresh_token_lives_until_its_successor_is_used() {
    let sim = sim(Rotation::UntilSuccessorIsUsed).await;
    let first = sim.tokens.authorise(FORM);

    assert_eq!(sim.refresh(&first).await.0, 200);
    let (_, body) = sim.refresh(&first).await;
    assert_eq!(sim.refresh(body["refresh_token"].as_str().unwrap()).await.0, 200);

    assert_eq!(sim.refresh(&first).await.0, 400);
}

#[tokio::test]
async fn whatever_a_strict_server_refuses_is_refused_and_noted() {
    let sim = sim(Rotation::Strict).await;
    let own = "grant_type=client_credentials";
    let by = |request: reqwest::RequestBuilder| request.basic_auth(BASIC, Some("secret of basic-app"));
    let cases = [
        (sim.post(own), 401, "invalid_client"),
        (sim.post(own).basic_auth(BASIC, Some("wrong")), 401, "invalid_client"),
        (sim.post(&format!("{own}&client_id={BASIC}&client_secret=secret+of+basic-app")), 401, "invalid_client"),
        (by(sim.post(&format!("{own}&scope=orders+admin"))), 400, "invalid_scope"),
        (by(sim.post("grant_type=refresh_token&refresh_token=x")), 400, "unauthorized_client"),
        (by(sim.post("grant_type=password")), 400, "unsupported_grant_type"),
        (by(sim.post("")), 400, "invalid_request"),
        (by(sim.post(&format!("{own}&{own}"))), 400, "invalid_request"),
        (by(sim.post(&format!("{own}&tenant=1"))), 400, "invalid_request"),
        (by(sim.post_as("application/json", own)), 400, "invalid_request"),
    ];

    let mut n_refused = 0;
    for (request, status, error) in cases {
        let (got, body) = answer(request).await;
        n_refused += 1;
        assert_eq!(sim.tokens.violations().len(), n_refused);
        assert_eq!((got, body), (status, refused(error)), "case {n_refused}");
    }
    assert_eq!(sim.refresh("never-given").await, (400, refused("invalid_grant")));
    assert_eq!(sim.tokens.dead_presented(), 0);
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_token_was_rotated() {
    let sim = sim(Rotation::Strict).await;
    let first = sim.tokens.authorise(FORM);
    sim.tokens.answer_next([cut_after()]);

    let body =
        format!("grant_type=refresh_token&refresh_token={first}&client_id={FORM}&client_secret=secret+of+form-app");
    assert!(sim.post(&body).send().await.is_err());

    assert!(!sim.tokens.is_alive(&first));
    assert_eq!(sim.tokens.dead_presented(), 0);
}

#[tokio::test]
async fn the_told_life_can_be_another_than_the_true_one() {
    let sim = sim(Rotation::Strict).await;
    let request = || sim.post("grant_type=client_credentials").basic_auth(BASIC, Some("secret of basic-app"));

    sim.tokens.tell_expires_in(ExpiresIn::Missing);
    assert!(answer(request()).await.1.get("expires_in").is_none());
    sim.tokens.tell_expires_in(ExpiresIn::Pretended(-1));

    assert_eq!(answer(request()).await.1["expires_in"], -1);
}
