//! How a refresh token comes to be: a person consents in a browser, which then brings a code to a port of this machine.
//!
//! The port is open on loopback only, for one code; what comes without the `state` that this very question was asked
//! with is refused and changes nothing. The code is exchanged once. Nothing here stores or prints what it is given.
//!
//! Source: RFC 6749, "4.1 Authorization Code Grant" and "10.12 Cross-Site Request Forgery"; RFC 8252, "7.3 Loopback
//! Interface Redirection".

use std::{collections::HashMap, io, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::IntoResponse,
    routing::get,
};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Bearer, NoToken,
    endpoint::{Granted, TokenEndpoint},
};

/// Where the browser comes back to.
const PATH: &str = "/callback";

/// A port that waits for a person's consent.
#[derive(Debug)]
pub struct Consent {
    listener: TcpListener,
    redirect_uri: String,
    state: String,
}

/// What a person consented to, to be exchanged once.
#[derive(Debug)]
pub struct Code {
    code: SecretString,
    redirect_uri: String,
}

/// Why there is no consent.
#[derive(Debug, thiserror::Error)]
pub enum NoConsent {
    #[error("nobody consented in time")]
    TimedOut,
    #[error("it was not consented to ({code})")]
    Denied { code: &'static str },
    #[error("the port for the browser's answer failed")]
    Port(#[source] io::Error),
}

/// The first tokens of an application.
#[derive(Debug)]
pub struct FirstPair {
    pub bearer: Bearer,
    pub refresh_token: SecretString,
}

/// What may be repeated of why consent was refused. Source: RFC 6749, "4.1.2.1 Error Response".
const CODES: [&str; 7] = [
    "access_denied",
    "invalid_request",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_response_type",
];

impl Consent {
    /// Opens the port; 0 takes any free one, which only servers accept that do not compare ports.
    pub async fn listen(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let redirect_uri = format!("http://localhost:{}{PATH}", listener.local_addr()?.port());
        Ok(Self { listener, redirect_uri, state: format!("{:032x}", rand::random::<u128>()) })
    }

    /// What the application has to be registered with.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The page on which a person consents.
    pub fn page(&self, authorize_url: &Url, client_id: &SecretString, scopes: &[String]) -> Url {
        let mut page = authorize_url.clone();
        page.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id.expose_secret())
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &self.state);
        page
    }

    /// Waits for the browser.
    pub async fn code(self, patience: Duration) -> Result<Code, NoConsent> {
        let (told, mut telling) = mpsc::channel(1);
        let desk = Desk { state: self.state, told };
        let router = Router::new().route(PATH, get(come_back)).with_state(desk);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let listener = self.listener;
        let serving = tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        let told = tokio::time::timeout(patience, telling.recv()).await;
        stop.cancel();
        // The page that tells the person how it went gets through first.
        let served = tokio::time::timeout(LAST_PAGE, serving).await;
        let code = match told {
            Err(_) => return Err(NoConsent::TimedOut),
            Ok(Some(answer)) => answer.map_err(|code| NoConsent::Denied { code })?,
            Ok(None) => {
                let error = served.ok().and_then(Result::ok).and_then(Result::err);
                return Err(NoConsent::Port(error.unwrap_or_else(|| io::ErrorKind::Other.into())));
            }
        };
        Ok(Code { code, redirect_uri: self.redirect_uri })
    }
}

/// Longest time for the last page to get through.
const LAST_PAGE: Duration = Duration::from_secs(2);

type Answer = Result<SecretString, &'static str>;

#[derive(Clone)]
struct Desk {
    state: String,
    told: mpsc::Sender<Answer>,
}

async fn come_back(State(desk): State<Desk>, Query(query): Query<HashMap<String, String>>) -> impl IntoResponse {
    let is_ours = query.get("state") == Some(&desk.state);
    let answer = match (query.get("code"), query.get("error")) {
        (Some(code), None) if is_ours && !code.is_empty() => Ok(SecretString::from(code.clone())),
        (None, Some(error)) if is_ours => {
            Err(CODES.into_iter().find(|code| code == error).unwrap_or("without a known reason"))
        }
        _ => {
            return (
                StatusCode::BAD_REQUEST,
                "This is not the answer that was waited for. Begin again at the command.\n",
            );
        }
    };
    let text = if answer.is_ok() {
        "Connected. This page can be closed; the command goes on.\n"
    } else {
        "Not connected. The command says more; this page can be closed.\n"
    };
    // Another answer is there already: the first one counts.
    if desk.told.try_send(answer).is_err() {
        return (StatusCode::CONFLICT, "This was answered before.\n");
    }
    (StatusCode::OK, text)
}

impl TokenEndpoint {
    /// Exchanges a code for the first tokens. One that lets nobody act later, for want of a refresh token, is refused.
    pub async fn exchange(&self, code: &Code) -> Result<FirstPair, NoToken> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.code.expose_secret()),
            ("redirect_uri", code.redirect_uri.as_str()),
        ];
        let Granted { bearer, refresh_token, .. } = self.request(&fields).await.map_err(NoToken::from)?;
        let refresh_token =
            refresh_token.ok_or(NoToken::Refused { code: "no refresh token: ask for offline_access" })?;
        Ok(FirstPair { bearer, refresh_token })
    }
}
