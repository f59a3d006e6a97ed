//! Speaks to a token endpoint and sorts what came back by what it means for the credential.
//!
//! Source: RFC 6749, "4.4 Client Credentials Grant", "5. Issuing an Access Token" and "6. Refreshing an Access Token".
//! Source: Xero developer documentation, "Custom connections": the client id and secret as they are, joined by a colon,
//! make up the Basic header (RFC 6749 would have both percent-encoded first, which most servers do not undo).

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use futures::future::BoxFuture;
use reqwest::{
    StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Bearer, Fingerprint, Fresh, NoToken, TokenSource};
use crate::{
    config::{secret::Secret, url::HttpUrl},
    domain::delivery::Reason,
    http::retry_after,
    sinks::http::read,
};

/// Life of a token whose answer does not tell it: short, because a renewal too many is harmless.
pub const ASSUMED_LIFE: Duration = Duration::from_hours(1);
/// No token is believed to live longer.
pub const LONGEST_LIFE: Duration = Duration::from_hours(30 * 24);

/// Where the client id and secret go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Into an HTTP Basic header.
    Basic,
    /// Into the form, as `client_id` and `client_secret`.
    Form,
}

/// One application at one token endpoint. Secrets kept in files are read anew for every request.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    pub http: reqwest::Client,
    pub url: HttpUrl,
    pub client_id: Secret,
    pub client_secret: Secret,
    pub auth: ClientAuth,
    /// Form fields beyond those of the grant.
    pub extra: Vec<(String, String)>,
    /// For a request as a whole.
    pub timeout: Duration,
}

/// What the endpoint granted.
#[derive(Debug)]
pub(super) struct Granted {
    pub bearer: Bearer,
    pub life: Duration,
    pub refresh_token: Option<SecretString>,
    pub scope: Option<String>,
}

/// What became of a request that granted nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Certainly not sent.
    NotSent,
    /// Refused, whatever the grant.
    Refused {
        code: &'static str,
    },
    /// The grant itself, for instance the refresh token, is dead.
    DeadGrant,
    Throttled {
        not_before: Option<Duration>,
    },
    /// An answer that says that it failed; it may have had its effect all the same.
    Failing {
        reason: Reason,
        not_before: Option<Duration>,
    },
    /// No answer that can be read; it may have had its effect.
    Lost {
        reason: Reason,
    },
}

impl From<Fault> for NoToken {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotSent => Self::Unavailable { reason: Reason::ConnectFailed, not_before: None },
            Fault::Refused { code } => Self::Refused { code },
            Fault::DeadGrant => Self::Refused { code: INVALID_GRANT },
            Fault::Throttled { not_before } => Self::Throttled { not_before },
            Fault::Failing { reason, not_before } => Self::Unavailable { reason, not_before },
            Fault::Lost { reason } => Self::Unavailable { reason, not_before: None },
        }
    }
}

const INVALID_GRANT: &str = "invalid_grant";

/// Codes that may be repeated to people; any other text of a foreign system is not.
/// Source: RFC 6749, "5.2 Error Response".
const CODES: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    INVALID_GRANT,
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// Source: RFC 6749, "5.1 Successful Response".
#[derive(Deserialize)]
struct GrantedWire {
    access_token: String,
    refresh_token: Option<String>,
    /// A number of seconds; some servers write it as text.
    expires_in: Option<Value>,
    /// May be left out where it is what was asked for.
    scope: Option<Value>,
}

#[derive(Deserialize)]
struct ErrorWire {
    error: String,
}

impl TokenEndpoint {
    /// Asks for a token. `fields` are those of the grant.
    pub(super) async fn request(&self, fields: &[(&str, &str)]) -> Result<Granted, Fault> {
        let unreadable_secret = Fault::Refused { code: "secret_unreadable" };
        let (Ok(id), Ok(secret)) = (self.client_id.read(), self.client_secret.read()) else {
            return Err(unreadable_secret);
        };
        let mut fields = fields.to_vec();
        fields.extend(self.extra.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if self.auth == ClientAuth::Form {
            fields.push(("client_id", id.expose_secret()));
            fields.push(("client_secret", secret.expose_secret()));
        }
        let mut request = self
            .http
            .post(self.url.as_url().clone())
            .timeout(self.timeout)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form(&fields));
        if self.auth == ClientAuth::Basic {
            request = request.basic_auth(id.expose_secret(), Some(secret.expose_secret()));
        }
        let response = request.send().await.map_err(|error| unanswered(&error))?;
        let answer = read(response).await.map_err(|(_, error)| unanswered(&error))?;
        if answer.status.is_success() {
            return granted(&answer.body).ok_or(Fault::Lost { reason: Reason::UnreadableAnswer });
        }
        let not_before = retry_after(&answer.headers, Utc::now());
        Err(refused(answer.status, not_before, &answer.body))
    }

    /// Of everything that is presented to the endpoint, beside `more`.
    pub(super) fn fingerprint(&self, more: &[&str]) -> Fingerprint {
        let mut hasher = Sha256::new();
        for secret in [&self.client_id, &self.client_secret] {
            // An unreadable secret is a state of its own, left when the file can be read again.
            hash_part(&mut hasher, secret.read().as_ref().map_or("", |text| text.expose_secret()));
        }
        for part in more {
            hash_part(&mut hasher, part);
        }
        hasher.finalize().into()
    }
}

/// Preceded by its length, so that parts cannot be shifted into each other.
pub(super) fn hash_part(hasher: &mut Sha256, part: &str) {
    hasher.update((part.len() as u64).to_le_bytes());
    hasher.update(part);
}

/// `application/x-www-form-urlencoded`, which is how the query of a URL is written.
fn form(fields: &[(&str, &str)]) -> String {
    let mut url = Url::parse("form:").expect("a URL of nothing but a scheme");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

fn unanswered(error: &reqwest::Error) -> Fault {
    if error.is_connect() || error.is_builder() {
        return Fault::NotSent;
    }
    Fault::Lost { reason: if error.is_timeout() { Reason::Timeout } else { Reason::ConnectionLost } }
}

fn granted(body: &[u8]) -> Option<Granted> {
    let wire: GrantedWire = serde_json::from_slice(body).ok()?;
    Some(Granted {
        bearer: Bearer::new(wire.access_token)?,
        life: life(wire.expires_in.as_ref()),
        refresh_token: wire.refresh_token.filter(|token| !token.is_empty()).map(SecretString::from),
        scope: wire.scope.as_ref().and_then(Value::as_str).filter(|scope| !scope.trim().is_empty()).map(str::to_owned),
    })
}

fn life(expires_in: Option<&Value>) -> Duration {
    let secs = expires_in.and_then(|value| match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    });
    match secs {
        Some(secs) if secs >= 1.0 => Duration::try_from_secs_f64(secs).unwrap_or(LONGEST_LIFE).min(LONGEST_LIFE),
        _ => ASSUMED_LIFE,
    }
}

fn refused(status: StatusCode, not_before: Option<Duration>, body: &[u8]) -> Fault {
    let said = serde_json::from_slice(body).map_or(String::new(), |ErrorWire { error }| error);
    match status.as_u16() {
        429 => Fault::Throttled { not_before },
        408 => Fault::Failing { reason: Reason::RequestTimeout, not_before },
        425 => Fault::Failing { reason: Reason::TooEarly, not_before },
        500.. => Fault::Failing { reason: Reason::ServerError, not_before },
        _ if matches!(said.as_str(), "temporarily_unavailable" | "server_error") => {
            Fault::Failing { reason: Reason::ServerError, not_before }
        }
        400 | 401 | 403 if said == INVALID_GRANT => Fault::DeadGrant,
        _ => Fault::Refused { code: CODES.into_iter().find(|code| *code == said).unwrap_or("refused") },
    }
}

/// The grant of an application that acts for itself: no refresh token, ask again with id and secret.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    pub endpoint: Arc<TokenEndpoint>,
    /// Empty: the field is left out.
    pub scopes: Vec<String>,
}

impl TokenSource for ClientCredentials {
    fn fetch<'a>(&'a self, _refused: Option<&'a Bearer>) -> BoxFuture<'a, Result<Fresh, NoToken>> {
        Box::pin(async move {
            let scope = self.scopes.join(" ");
            let mut fields = vec![("grant_type", "client_credentials")];
            if !scope.is_empty() {
                fields.push(("scope", &scope));
            }
            let Granted { bearer, life, scope, .. } = self.endpoint.request(&fields).await?;
            Ok(Fresh { bearer, life, left: life, scope })
        })
    }

    fn fingerprint(&self) -> Fingerprint {
        let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        self.endpoint.fingerprint(&scopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Fault {
        refused(StatusCode::from_u16(status).unwrap(), None, body.as_bytes())
    }

    #[test]
    fn a_refusal_is_told_by_its_code_and_by_no_other_text() {
        let refused = |code| Fault::Refused { code };

        assert_eq!(answered(401, r#"{"error":"invalid_client"}"#), refused("invalid_client"));
        assert_eq!(answered(400, r#"{"error":"unauthorized_client"}"#), refused("unauthorized_client"));
        assert_eq!(answered(400, r#"{"error":"secret-of-mine"}"#), refused("refused"));
        assert_eq!(answered(403, "<html>"), refused("refused"));
        assert_eq!(answered(404, r#"{"error":"invalid_grant"}"#), refused(INVALID_GRANT));
        assert_eq!(answered(302, ""), refused("refused"));
        assert_eq!(answered(400, r#"{"error":"invalid_grant"}"#), Fault::DeadGrant);
    }

    #[test]
    fn a_failing_endpoint_is_no_refusal() {
        let failing = |reason| Fault::Failing { reason, not_before: None };

        assert_eq!(answered(429, ""), Fault::Throttled { not_before: None });
        assert_eq!(answered(503, r#"{"error":"invalid_grant"}"#), failing(Reason::ServerError));
        assert_eq!(answered(400, r#"{"error":"temporarily_unavailable"}"#), failing(Reason::ServerError));
        assert_eq!(answered(408, ""), failing(Reason::RequestTimeout));
    }

    #[test]
    fn a_life_that_is_missing_or_absurd_is_replaced() {
        let life_of = |text: &str| life(Some(&serde_json::from_str(text).unwrap()));

        assert_eq!(life(None), ASSUMED_LIFE);
        assert_eq!(life_of("1800"), Duration::from_mins(30));
        assert_eq!(life_of("\"1800\""), Duration::from_mins(30));
        for missing in ["null", "0", "-5", "\"soon\"", "{}"] {
            assert_eq!(life_of(missing), ASSUMED_LIFE, "{missing}");
        }
        for absurd in ["2592001", "1e30", "\"inf\""] {
            assert_eq!(life_of(absurd), LONGEST_LIFE, "{absurd}");
        }
        assert_eq!(life_of("\"nan\""), ASSUMED_LIFE);
    }

    #[test]
    fn an_answer_without_a_usable_token_is_unreadable() {
        assert!(granted(br#"{"access_token":"a-token","expires_in":60}"#).is_some());
        for body in ["", "<html>", "{}", r#"{"access_token":""}"#, r#"{"access_token":"two\nlines"}"#] {
            assert!(granted(body.as_bytes()).is_none(), "{body}");
        }
    }

    #[test]
    fn a_fingerprint_changes_with_whatever_would_be_presented() {
        let of = |id: &str, secret: &str, scope: &str| {
            let endpoint = TokenEndpoint {
                http: crate::http::client_builder().build().unwrap(),
                url: HttpUrl::parse("https://id.example.org/token").unwrap(),
                client_id: Secret::literal(id),
                client_secret: Secret::literal(secret),
                auth: ClientAuth::Basic,
                extra: Vec::new(),
                timeout: Duration::from_secs(1),
            };
            ClientCredentials { endpoint: Arc::new(endpoint), scopes: vec![scope.to_owned()] }.fingerprint()
        };

        assert_eq!(of("id", "secret", "scope"), of("id", "secret", "scope"));
        for other in [of("id2", "secret", "scope"), of("id", "2secret", "scope"), of("id", "secret", "scope2")] {
            assert_ne!(of("id", "secret", "scope"), other);
        }
    }

    #[test]
    fn a_form_is_encoded_so_that_every_value_survives() {
        assert_eq!(form(&[("scope", "a:b c.d"), ("s", "&=+%é")]), "scope=a%3Ab+c.d&s=%26%3D%2B%25%C3%A9");
    }
}
