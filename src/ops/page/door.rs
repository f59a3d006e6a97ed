//! Logging in and out, and whether a change may pass.

use std::{sync::Arc, time::Duration};

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    Answer, Refused, bad_request, frame, session,
    session::Session,
    shown,
    views::{self, Place},
};
use crate::ops::server::{Refusal, Shared, is_same};

/// A session, and a form that it made.
pub(super) fn must_be_ours(shared: &Shared, headers: &HeaderMap, form_token: &str) -> Result<(), Refusal> {
    let Some(token) = &shared.ops.admin_token else {
        let message = "nothing can be changed over HTTP: set http.admin_token in the configuration";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "changes_not_allowed", message));
    };
    let Some(session) = session(shared, headers) else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "session_needed", "log in first: your session has ended"));
    };
    if session.made(form_token, token) {
        return Ok(());
    }
    let message = "this form is not one of your session's: go back, load the page again and repeat it";
    Err(Refusal::new(StatusCode::FORBIDDEN, "form_not_ours", message))
}

pub(super) async fn login_form(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer {
    let frame = frame(&shared, &headers);
    if !frame.has_token {
        return Err(Refused(frame, no_token()));
    }
    Ok(shown(&frame, Place::Elsewhere, "Log in", &views::login(None)))
}

fn no_token() -> Refusal {
    let message = "nobody can log in: set http.admin_token in the configuration";
    Refusal::new(StatusCode::FORBIDDEN, "changes_not_allowed", message)
}

#[derive(Deserialize)]
pub(super) struct Login {
    token: String,
}

pub(super) async fn login(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    form: Result<Form<Login>, FormRejection>,
) -> Answer {
    let frame = frame(&shared, &headers);
    let Some(token) = &shared.ops.admin_token else { return Err(Refused(frame, no_token())) };
    let Ok(Form(Login { token: presented })) = form else {
        return Err(Refused(frame, bad_request("the form holds no token")));
    };
    let again = |status: StatusCode, wrong: &str| {
        (status, shown(&frame, Place::Elsewhere, "Log in", &views::login(Some(wrong)))).into_response()
    };
    if let Err(wait) = shared.logins.admit() {
        tracing::warn!(backoff_ms = wait.as_millis() as u64, "log-in refused: too many tries");
        let mut answer = again(StatusCode::TOO_MANY_REQUESTS, "Too many tries: wait a minute.");
        answer.headers_mut().insert(header::RETRY_AFTER, seconds(wait));
        return Ok(answer);
    }
    if !is_same(presented.as_bytes(), token) {
        tracing::warn!("log-in refused: wrong token");
        return Ok(again(StatusCode::UNAUTHORIZED, "That is not the admin token."));
    }
    shared.logins.forget();
    let session = Session::begin(token, shared.ops.clock.wall());
    Ok(with_cookie(Redirect::to("/").into_response(), &session.cookie()))
}

fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + 1)
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[derive(Debug, Deserialize)]
pub(super) struct Logout {
    form_token: String,
}

pub(super) async fn logout(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    form: Result<Form<Logout>, FormRejection>,
) -> Answer {
    let frame = frame(&shared, &headers);
    let form_token = form.map(|Form(logout)| logout.form_token).unwrap_or_default();
    must_be_ours(&shared, &headers, &form_token).map_err(|refusal| Refused(frame, refusal))?;
    Ok(with_cookie(Redirect::to("/").into_response(), &Session::no_cookie()))
}
