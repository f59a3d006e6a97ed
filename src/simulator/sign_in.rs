//! The browser's way to a code: a person who always agrees.
//!
//! Source: RFC 6749, "4.1.1 Authorization Request", "4.1.2 Authorization Response". Nothing is sent to an address that is
//! not registered.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Response, StatusCode, Uri},
    routing::get,
};

use super::{faults::Answer, token::TokenSim};

const PARAMETERS: [&str; 7] =
    ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"];

/// An application that people can connect.
#[derive(Debug, Clone)]
pub(super) struct Connectable {
    /// Where the browser is sent first.
    pub path: &'static str,
    pub client_id: String,
    pub redirects: Vec<String>,
    pub tokens: TokenSim,
}

impl Connectable {
    pub fn router(self) -> Router {
        let path = self.path;
        let answer = move |uri: Uri| {
            let response = self.answer(&uri);
            async move { response }
        };
        Router::new().route(path, get(answer))
    }

    fn answer(&self, uri: &Uri) -> Response<Body> {
        match self.redirect(uri.query().unwrap_or_default()) {
            Ok(location) => {
                let answer = Answer { status: 302, headers: Vec::new(), body: Bytes::new() };
                answer.header("location", location.as_str())
            }
            Err(reason) => Answer::error(StatusCode::BAD_REQUEST, &reason),
        }
        .response()
    }

    /// Where the browser is sent to.
    fn redirect(&self, query: &str) -> Result<reqwest::Url, String> {
        let parameters = read(query)?;
        let needed = |name: &str| parameters.get(name).map(String::as_str).ok_or_else(|| format!("{name} is missing"));
        let redirect = needed("redirect_uri")?;
        if !self.redirects.iter().any(|registered| registered == redirect) {
            return Err("redirect_uri is not registered".to_owned());
        }
        if needed("client_id")? != self.client_id {
            return Err("client_id is not registered".to_owned());
        }
        let mut location = reqwest::Url::parse(redirect).map_err(|error| error.to_string())?;
        let scopes: Vec<&str> = needed("scope")?.split(' ').collect();
        let code = match needed("response_type")? {
            "code" => self.tokens.issue_code(&self.client_id, redirect, &scopes).ok_or("invalid_scope"),
            _ => Err("unsupported_response_type"),
        };
        match &code {
            Ok(code) => location.query_pairs_mut().append_pair("code", code),
            Err(error) => location.query_pairs_mut().append_pair("error", error),
        };
        if let Some(state) = parameters.get("state") {
            location.query_pairs_mut().append_pair("state", state);
        }
        Ok(location)
    }
}

/// Refuses what nobody knows, and what is there twice.
fn read(query: &str) -> Result<BTreeMap<String, String>, String> {
    let url = reqwest::Url::parse(&format!("query:?{query}")).map_err(|error| error.to_string())?;
    let mut parameters = BTreeMap::new();
    for (name, value) in url.query_pairs().into_owned() {
        if !PARAMETERS.contains(&name.as_str()) {
            return Err(format!("unknown parameter {name}"));
        }
        if parameters.insert(name.clone(), value).is_some() {
            return Err(format!("parameter {name} is there twice"));
        }
    }
    Ok(parameters)
}
