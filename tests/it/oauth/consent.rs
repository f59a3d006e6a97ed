//! Consent in a browser: what comes back to the port, and what a code is exchanged for.

use std::{collections::HashMap, sync::Mutex};

use axum::{Json, routing::post};
use scoffable_sync::sinks::oauth::{Code, Consent, FirstPair, NoConsent};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A question that was put to a person.
struct Question {
    consent: Consent,
    /// Query of the page that the person was sent to.
    page: HashMap<String, String>,
}

impl Question {
    async fn put() -> Self {
        let consent = Consent::listen(0).await.unwrap();
        let authorize_url = "https://login.example.org/authorize".parse().unwrap();
        let scopes = ["offline_access", "books"].map(str::to_owned);
        let page = consent.page(&authorize_url, &CLIENT.into(), &scopes);
        assert!(page.as_str().starts_with(authorize_url.as_str()));
        let page = page.query_pairs().into_owned().collect();
        Self { consent, page }
    }

    /// What the browser brings, one after the other, and what it is told; and what came of it all.
    async fn answered(self, visits: &[&[(&str, &str)]]) -> (Vec<u16>, Result<Code, NoConsent>) {
        let address = self.consent.redirect_uri().replace("localhost", "127.0.0.1");
        let browser = async {
            let mut told = Vec::new();
            for query in visits {
                let url = reqwest::Url::parse_with_params(&address, *query).unwrap();
                told.push(http().get(url).send().await.unwrap().status().as_u16());
            }
            told
        };
        tokio::join!(browser, self.consent.code(PATIENCE))
    }
}

/// A token endpoint that answers a code with `granted`, and what it was asked.
async fn exchanging(granted: Value) -> (Server, Arc<Mutex<Vec<(HeaderMap, HashMap<String, String>)>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let answer = move |headers: HeaderMap, body: String| {
        let form = reqwest::Url::parse(&format!("form:?{body}")).unwrap();
        log.lock().unwrap().push((headers, form.query_pairs().into_owned().collect()));
        std::future::ready(Json(granted.clone()))
    };
    let router = Router::new().route("/token", post(answer));
    (Server::start(([127, 0, 0, 1], 0).into(), router).await.unwrap(), asked)
}

fn endpoint(server: &Server) -> TokenEndpoint {
    TokenEndpoint {
        http: http(),
        url: HttpUrl::parse(&format!("http://{}/token", server.address())).unwrap(),
        client_id: Secret::literal(CLIENT),
        client_secret: Secret::literal(SECRET),
        auth: ClientAuth::Basic,
        extra: Vec::new(),
        timeout: WITHIN,
    }
}

#[tokio::test]
async fn a_code_that_comes_back_is_exchanged_for_the_first_pair() {
    let granted = json!({"access_token": "an-access", "refresh_token": "a-refresh", "expires_in": 1800});
    let (server, asked) = exchanging(granted).await;
    let question = Question::put().await;
    let (page, redirect_uri) = (question.page.clone(), question.consent.redirect_uri().to_owned());
    assert_eq!((page["response_type"].as_str(), page["client_id"].as_str()), ("code", CLIENT));
    assert_eq!((page["scope"].as_str(), &page["redirect_uri"]), ("offline_access books", &redirect_uri));

    let (told, code) = question.answered(&[&[("code", "a-code"), ("state", &page["state"])]]).await;
    let code = code.unwrap();
    let FirstPair { bearer, refresh_token } = endpoint(&server).exchange(&code).await.unwrap();

    assert_eq!(told, [200]);
    assert_eq!((bearer.expose(), refresh_token.expose_secret()), ("an-access", "a-refresh"));
    let (headers, form) = asked.lock().unwrap().pop().unwrap();
    assert!(headers.get(header::AUTHORIZATION).unwrap().to_str().unwrap().starts_with("Basic "));
    let sent = [("grant_type", "authorization_code"), ("code", "a-code"), ("redirect_uri", redirect_uri.as_str())];
    assert_eq!(form, sent.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert!(!format!("{code:?}").contains("a-code"));
}

#[tokio::test]
async fn what_bears_another_state_is_refused_and_the_wait_goes_on() {
    let question = Question::put().await;
    let state = question.page["state"].clone();

    let (told, code) = question
        .answered(&[
            &[("code", "foisted"), ("state", "of-another")],
            &[("code", "foisted")],
            &[("error", "access_denied")],
            &[("code", "a-code"), ("state", &state)],
        ])
        .await;

    assert_eq!(told, [400, 400, 400, 200]);
    assert!(code.is_ok());
}

#[tokio::test]
async fn two_questions_have_different_states() {
    let (one, other) = (Question::put().await, Question::put().await);

    assert_ne!(one.page["state"], other.page["state"]);
    assert!(one.page["state"].len() >= 32);
}

#[tokio::test]
async fn a_refusal_is_told_by_its_code_and_by_no_other_text() {
    for (error, told) in [("access_denied", "access_denied"), ("<b>pay here</b>", "without a known reason")] {
        let question = Question::put().await;
        let state = question.page["state"].clone();

        let (_, code) = question.answered(&[&[("error", error), ("state", &state)]]).await;

        assert!(matches!(code, Err(NoConsent::Denied { code }) if code == told), "{error}");
    }
}

#[tokio::test]
async fn nobody_is_waited_for_without_end() {
    let question = Question::put().await;

    let code = question.consent.code(Duration::from_millis(20)).await;

    assert!(matches!(code, Err(NoConsent::TimedOut)));
}

#[tokio::test]
async fn a_grant_without_a_refresh_token_is_refused_with_what_to_ask_for() {
    let (server, _) = exchanging(json!({"access_token": "an-access", "expires_in": 1800})).await;
    let question = Question::put().await;
    let state = question.page["state"].clone();
    let (_, code) = question.answered(&[&[("code", "a-code"), ("state", &state)]]).await;

    let refused = endpoint(&server).exchange(&code.unwrap()).await.unwrap_err();

    assert!(refused.to_string().contains("offline_access"), "{refused}");
}
