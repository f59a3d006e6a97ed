//! The commands `xero connect` and `xero setup`.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use clap::{Command, FromArgMatches as _, Subcommand as _};
use scoffable_sync::cli::{self, xero::XeroCommand};

use super::{
    stub::{ok, reply},
    *,
};

/// What a command has written, to be read while it goes on.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn command(words: &[&str]) -> XeroCommand {
    let parser = XeroCommand::augment_subcommands(Command::new("xero"));
    let matches = parser.try_get_matches_from(["xero"].iter().chain(words)).unwrap();
    XeroCommand::from_arg_matches(&matches).unwrap()
}

async fn code_app(xero: &XeroStub, keys: &[(&str, &str)]) -> TestApp {
    let keys: Vec<(&str, &str)> = [("auth", "code")].iter().chain(keys).copied().collect();
    set_up(xero, &keys).start().await
}

/// Runs `xero connect` with a person who permits access.
async fn connect(app: &TestApp) -> (u8, String) {
    let screen = Screen::default();
    let words = ["connect", BOOKS, "--no-browser", "--port", "0", "--timeout", "20s"];
    let command = command(&words);
    let mut out = screen.clone();
    let running = cli::xero::run(&app.settings, &app.pool, &app.clock, &command, &mut out);
    let person = async {
        let page = loop {
            if let Some(page) = screen.text().lines().find(|line| line.contains("state=")) {
                break reqwest::Url::parse(page).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let asked: std::collections::HashMap<String, String> = page.query_pairs().into_owned().collect();
        assert!(asked["scope"].contains("offline_access"), "{}", asked["scope"]);
        let back = asked["redirect_uri"].replace("localhost", "127.0.0.1");
        let back = reqwest::Url::parse_with_params(&back, [("code", "a-code"), ("state", &asked["state"])]).unwrap();
        let http = scoffable_sync::http::client_builder().build().unwrap();
        assert_eq!(http.get(back).send().await.unwrap().status(), 200);
    };
    let (code, ()) = tokio::join!(running, person);
    (code.unwrap(), screen.text())
}

fn connections() -> Value {
    json!([
        {"id": "c-1", "tenantId": "11111111-5a2b-4c1e-9b7d-222222222222", "tenantType": "ORGANISATION",
         "tenantName": "The Other Mill"},
        {"id": "c-2", "tenantId": TENANT, "tenantType": "ORGANISATION", "tenantName": "Old Mill Kitchen"},
    ])
}

#[tokio::test]
async fn consent_brings_a_refresh_token_that_is_stored_and_shown_to_nobody() {
    let xero = XeroStub::start().await;
    let app = code_app(&xero, &[]).await;
    xero.answers("GET", "/connections", ok(&connections()));

    let (code, said) = connect(&app).await;

    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Old Mill Kitchen"), "{said}");
    let stored: String = sqlx::query_scalar("SELECT refresh_token FROM credentials WHERE sink = 'books'")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(stored, "refresh-1");
    for secret in ["refresh-1", "token-1", "a-code", "a-secret-of-the-app"] {
        assert!(!said.contains(secret), "{secret} is shown: {said}");
    }
}

#[tokio::test]
async fn an_organisation_that_was_not_permitted_is_no_reason_to_take_another() {
    let xero = XeroStub::start().await;
    let app = code_app(&xero, &[("tenant_id", "99999999-5a2b-4c1e-9b7d-222222222222")]).await;
    xero.answers("GET", "/connections", ok(&connections()));

    let (code, said) = connect(&app).await;

    assert_eq!(code, 1);
    assert!(said.contains("`sinks.books.tenant_id`") && said.contains(TENANT), "{said}");
}

#[tokio::test]
async fn what_consent_brings_wins_over_the_configured_token_and_is_what_the_sink_uses() {
    let xero = XeroStub::start().await;
    let app = code_app(&xero, &[("refresh_token", "an-old-one"), ("house_customer", CONTACT)]).await;
    xero.answers("GET", "/connections", ok(&connections()));
    connect(&app).await;
    xero.has_an_organisation();

    client(&app).prepare(app.clock.wall()).await.unwrap();

    let seeds: i32 =
        sqlx::query_scalar("SELECT cardinality(seeds) FROM credentials").fetch_one(&app.pool).await.unwrap();
    let stored: String =
        sqlx::query_scalar("SELECT refresh_token FROM credentials").fetch_one(&app.pool).await.unwrap();
    assert_eq!((seeds, stored.as_str()), (2, "refresh-1"));
    assert_eq!(xero.asked().last().unwrap().header("authorization"), "Bearer token-2");
}

#[tokio::test]
async fn a_custom_connection_needs_no_consent() {
    let xero = XeroStub::start().await;
    let app = set_up(&xero, &[]).start().await;

    let (command, mut out) = (command(&["connect", BOOKS]), Vec::new());
    let refused = cli::xero::run(&app.settings, &app.pool, &app.clock, &command, &mut out).await;

    assert!(refused.unwrap_err().to_string().contains("custom_connection"));
}

#[tokio::test]
async fn setup_shows_what_can_be_named_and_what_does_not_fit() {
    let xero = XeroStub::start().await;
    let app = set_up(&xero, &[("house_customer", CONTACT), ("accounts.sales", "999")]).start().await;
    for _ in 0..2 {
        xero.has_an_organisation().answers(
            "GET",
            "/TrackingCategories",
            ok(&json!({"TrackingCategories": [
                {"Name": "Outlet", "Status": "ACTIVE", "Options": [{"Name": "York", "Status": "ACTIVE"}]},
            ]})),
        );
    }
    let run = async |words: &[&str]| {
        let mut out = Vec::new();
        let code = cli::xero::run(&app.settings, &app.pool, &app.clock, &command(words), &mut out).await.unwrap();
        (code, String::from_utf8(out).unwrap())
    };

    let (code, said) = run(&["setup", BOOKS]).await;
    let (_, as_json) = run(&["setup", BOOKS, "--json"]).await;

    assert_eq!(code, 1);
    for shown in [
        "Old Mill Kitchen, a demo company; currencies GBP",
        "tracking category \"Outlet\": York",
        "service_fee = \"201\" # 201",
        "sales = \"999\" # not usable here; one of 200, 201",
        "accounts.sales: 999 is no account of the organisation",
    ] {
        assert!(said.contains(shown), "{shown} is missing:\n{said}");
    }
    let as_json: Value = serde_json::from_str(&as_json).unwrap();
    assert_eq!(as_json["organisation"]["base_currency"], "GBP");
    assert_eq!(as_json["problems"][0]["key"], "accounts.sales");
    assert_eq!(as_json["accounts"].as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn a_xero_that_refuses_is_told_without_its_words() {
    let xero = XeroStub::start().await;
    let app = set_up(&xero, &[]).start().await;
    let said = json!({"Title": "Forbidden", "Detail": "Ines Marlow may not"});
    xero.answers("GET", "/Organisation", reply(500, &said));
    let mut out = Vec::new();

    let code =
        cli::xero::run(&app.settings, &app.pool, &app.clock, &command(&["setup", BOOKS]), &mut out).await.unwrap();

    let out = String::from_utf8(out).unwrap();
    assert_eq!(code, 1);
    assert!(out.contains("HTTP 500") && !out.contains("Ines"), "{out}");
}

#[tokio::test]
async fn a_refresh_token_that_is_left_unused_is_renewed_before_it_lapses() {
    let xero = XeroStub::start().await;
    let app = code_app(&xero, &[]).await;
    xero.answers("GET", "/connections", ok(&connections()));
    connect(&app).await;
    let keeper = app.another_process().await.keeper;

    assert_eq!(keeper.tick().await.unwrap(), 0);
    app.advance(Duration::from_hours(30 * 24));
    assert_eq!(keeper.tick().await.unwrap(), 1);

    assert_eq!(xero.n_tokens(), 2, "one by consent, one by the renewal");
    assert_eq!(keeper.tick().await.unwrap(), 0);
}
