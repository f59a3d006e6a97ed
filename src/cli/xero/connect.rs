//! `xero connect`: a person permits access in a browser, and the first refresh token is stored before anything is done
//! with it. Prints no code and no token.

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::header::{ACCEPT, AUTHORIZATION};
use secrecy::SecretString;
use sqlx::PgPool;

use super::{
    super::{FINE, NOT_WELL},
    Books, ConnectArgs,
};
use crate::{
    app,
    clock::Clock,
    sinks::{
        http::read,
        http_client,
        oauth::{Bearer, Consent, CredentialStore, FirstPair, client_fingerprint, plant},
        xero::{client::endpoint, config::Auth, wire::Connection},
    },
};

pub(super) async fn run(
    books: &Books<'_>,
    pool: &PgPool,
    clock: &Clock,
    args: &ConnectArgs,
    out: &mut impl Write,
) -> anyhow::Result<u8> {
    let Books { name, sink, settings } = books;
    if settings.auth != Auth::Code {
        bail!(
            "sink {name} has auth = \"custom_connection\": it needs no consent here; connect it in Xero's developer portal"
        );
    }
    let http = http_client(&sink.common)?;
    let timeout = sink.common.request_timeout;
    let client_id = settings.client_id.read().context("client_id")?;
    let consent = Consent::listen(args.port)
        .await
        .with_context(|| format!("port {} of this machine cannot be used: name another by --port", args.port))?;
    let page = consent.page(settings.authorize_url.as_url(), &client_id, &settings.scopes.names(settings.auth));
    writeln!(out, "The application at Xero needs the redirect address {}", consent.redirect_uri())?;
    let is_shown = !args.no_browser && open(page.as_str());
    let how = if is_shown { "If no browser has opened, open this page" } else { "Open this page" };
    writeln!(out, "{how} and permit access:\n{page}")?;
    out.flush()?;

    let code = consent.code(args.timeout).await?;
    let FirstPair { bearer, refresh_token } = endpoint(settings, http.clone(), timeout).exchange(&code).await?;
    let store = app::services(pool, clock).credentials;
    keep(books, &store, &client_id, &refresh_token).await?;
    writeln!(out, "Connected: the refresh token is stored, and `run` renews it from now on.")?;

    let connections = connections(books, &http, &bearer, timeout).await;
    tell(books, connections, out)
}

/// The one that the configuration still holds is planted first, so that it never counts as a newer one.
async fn keep(
    books: &Books<'_>,
    store: &Arc<dyn CredentialStore>,
    client_id: &SecretString,
    refresh_token: &SecretString,
) -> anyhow::Result<()> {
    let client = client_fingerprint(client_id);
    if let Some(configured) = &books.settings.refresh_token {
        let configured = configured.read().context("refresh_token")?;
        plant(&**store, books.name, &client, &configured).await?;
    }
    plant(&**store, books.name, &client, refresh_token).await?;
    Ok(())
}

/// The organisations that the person permitted. None: they could not be had, which costs nothing but this list.
async fn connections(
    books: &Books<'_>,
    http: &reqwest::Client,
    bearer: &Bearer,
    timeout: Duration,
) -> Option<Vec<Connection>> {
    let request = http.get(books.settings.connections_url.as_url().clone()).timeout(timeout);
    let request = request.header(AUTHORIZATION, bearer.header()).header(ACCEPT, "application/json");
    let answer = read(request.send().await.ok()?).await.ok()?;
    answer.status.is_success().then(|| serde_json::from_slice(&answer.body).ok()).flatten()
}

fn tell(books: &Books<'_>, connections: Option<Vec<Connection>>, out: &mut impl Write) -> anyhow::Result<u8> {
    let Some(connections) = connections else {
        writeln!(out, "Xero did not list the organisations; `doctor` says whether the configured one answers.")?;
        return Ok(NOT_WELL);
    };
    let name = |connection: &Connection| connection.tenant_name.clone().unwrap_or_default();
    let is_configured = |connection: &&Connection| {
        let configured = books.settings.tenant_id.as_ref();
        configured.is_some_and(|configured| configured.eq_ignore_ascii_case(&connection.tenant_id))
    };
    if let Some(connection) = connections.iter().find(is_configured) {
        writeln!(out, "The organisation is {}.", name(connection))?;
        return Ok(FINE);
    }
    let key = format!("sinks.{}.tenant_id", books.name);
    match &books.settings.tenant_id {
        Some(_) => writeln!(out, "Access was not permitted to the organisation that `{key}` names. It was to:")?,
        None => writeln!(out, "Set `{key}` to one of the organisations that access was permitted to:")?,
    }
    for connection in &connections {
        writeln!(out, "tenant_id = \"{}\"  # {}", connection.tenant_id, name(connection))?;
    }
    Ok(NOT_WELL)
}

/// Whether a browser was asked to show a page. Nothing else happens if there is none.
fn open(page: &str) -> bool {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = std::process::Stdio::null;
    tokio::process::Command::new(opener).arg(page).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().is_ok()
}
