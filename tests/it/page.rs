//! The page, as a browser sees it that runs no script: what it shows, what it lets a person do, and whom it refuses.

mod browser;

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use reqwest::{Method, StatusCode, header};
use scoffable_sync::{
    http,
    ops::{OpsState, Present, health::Limits, serve},
    simulator::till::TillOptions,
    telemetry::metrics::Metrics,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    harness::app::{TestApp, order},
    operate::{actions, doubted, refused, standing, stands},
    reconcile::change_receipt,
};

const TOKEN: &str = "0123456789abcdef";
/// The only one there is, in pages that keep themselves true.
const SCRIPT: &str = "<script src=\"/live.js\" defer></script>";
/// Every page there is, with an order that tests have.
const PAGES: [&str; 7] = [
    "/",
    "/letters",
    "/letters?sink=hook&state=parked",
    "/order?source=main&id=A-1",
    "/orders?q=nothing",
    "/books",
    "/login",
];

struct Browser {
    address: SocketAddr,
    http: reqwest::Client,
    /// As the browser keeps it.
    cookie: Option<String>,
    stop: tokio_util::sync::DropGuard,
}

struct Page {
    status: u16,
    headers: header::HeaderMap,
    text: String,
}

impl Page {
    fn leads_to(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |location| location.to_str().unwrap())
    }

    /// Value of the hidden field that each form of a session carries.
    fn form_token(&self) -> String {
        let (_, rest) = self.text.split_once("name=\"form_token\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }

    fn shows(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// All but the tag of our own script, which stands in it once.
    fn without_our_script(&self) -> String {
        self.text.replacen(SCRIPT, "", 1)
    }

    /// What the page was when it was read.
    fn mark(&self) -> &str {
        let (_, rest) = self.text.split_once("data-live=\"").expect("it keeps itself true");
        rest.split('"').next().unwrap()
    }
}

impl Browser {
    async fn on(listen: &str, app: &TestApp, admin_token: Option<&str>) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let state = OpsState {
            pool: app.pool.clone(),
            clock: app.clock.clone(),
            present: Arc::new(ArcSwap::from_pointee(Present::default())),
            metrics: Arc::new(Metrics::default()),
            limits: Limits::of(&app.settings),
            version: "1.2.3",
            started_at: "2026-03-01T10:00:00Z".parse().unwrap(),
            alive: Arc::new(|| true),
            admin_token: admin_token.map(Into::into),
        };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, state, stop.clone()));
        let http = http::client_builder().no_proxy().build().unwrap();
        Self { address, http, cookie: None, stop: stop.drop_guard() }
    }

    async fn start(app: &TestApp) -> Self {
        Self::on("127.0.0.1:0", app, Some(TOKEN)).await
    }

    async fn ask(&self, method: Method, path: &str, form: &[(&str, &str)]) -> Page {
        let mut request = self.http.request(method.clone(), format!("http://{}{path}", self.address));
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if method == Method::POST {
            let mut body = form_urlencoded::Serializer::new(String::new());
            body.extend_pairs(form);
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.finish());
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Page { status, headers, text: answer.text().await.unwrap() }
    }

    async fn get(&self, path: &str) -> Page {
        self.ask(Method::GET, path, &[]).await
    }

    /// Books as soon as they are read, asked for as the page itself tells a browser to.
    async fn books(&self, path: &str) -> Page {
        loop {
            let page = self.get(path).await;
            if !page.headers.contains_key("refresh") {
                return page;
            }
        }
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Page {
        self.ask(Method::POST, path, form).await
    }

    /// Shows the admin token and keeps the cookie.
    async fn log_in(&mut self) {
        let page = self.post("/login", &[("token", TOKEN)]).await;
        assert_eq!((page.status, page.leads_to()), (303, "/"));
        let cookie = page.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        self.cookie = cookie.split(';').next().map(str::to_owned);
    }

    /// Asks for an act as a person does: by its page, and then its form.
    async fn act(&self, act: &str, order: &str, more: &[(&str, &str)]) -> Page {
        let asked = self.get(&format!("/act?act={act}&sink=hook&source=main&order={order}")).await;
        assert_eq!(asked.status, 200, "{}", asked.text);
        let form_token = asked.form_token();
        let given =
            [("form_token", form_token.as_str()), ("act", act), ("sink", "hook"), ("source", "main"), ("order", order)];
        self.post("/act", &[&given[..], &[("who", "ada"), ("why", "the menu is mended")], more].concat()).await
    }
}

// What it shows

#[tokio::test]
async fn from_the_page_alone_an_order_is_found_retried_and_seen_to_arrive() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let mut browser = Browser::start(&app).await;
    let overview = browser.get("/").await;
    assert!(overview.shows("1 delivery parked") && overview.shows("unprocessable"), "{}", overview.text);
    assert!(!overview.shows("/act?"), "nobody is logged in");

    browser.log_in().await;
    let letters = browser.get("/letters?sink=hook&state=parked&reason=").await;
    assert!(letters.shows("/order?source=main&amp;id=A-1") && letters.shows("/act?act=retry"), "{}", letters.text);
    let asked = browser.get("/act?act=retry&sink=hook&source=main&order=A-1").await;
    assert!(asked.shows("It is tried again at once") && asked.shows("parked"), "{}", asked.text);
    assert_eq!(actions(&app).await, 0, "asking changes nothing");
    let done = browser.act("retry", "A-1", &[]).await;
    assert_eq!((done.status, done.leads_to()), (303, "/order?source=main&id=A-1&done=retry"));
    app.dispatch().await;

    let story = browser.get(done.leads_to()).await;
    assert_eq!(standing(&app, "A-1").await, stands("applied", None));
    let chart = browser.get("/").await;
    assert!(chart.shows("in each of the last 24 hours; at most 1 in one"), "{}", chart.text);
    for told in
        ["Done: retry", "operator:ada", "the menu is mended", "status 422", "delivered", "stands: applied", "12.50 GBP"]
    {
        assert!(story.shows(told), "{told} in {}", story.text);
    }
}

#[tokio::test]
async fn a_doubt_is_closed_or_adopted_with_its_consequence_named() {
    let mut app = TestApp::start().await;
    doubted(&mut app, "A-1").await;
    doubted(&mut app, "A-2").await;
    let mut browser = Browser::start(&app).await;
    browser.log_in().await;

    let asked = browser.get("/act?act=discard&sink=hook&source=main&order=A-1").await;
    assert!(asked.shows("possibly stands there"), "{}", asked.text);
    assert_eq!(browser.act("adopt", "A-2", &[("external_id", " ")]).await.status, 400);
    assert_eq!(browser.act("adopt", "A-2", &[("external_id", "POS-77")]).await.status, 303);
    assert_eq!(browser.act("discard", "A-1", &[]).await.status, 303);

    assert_eq!(standing(&app, "A-2").await.0, "applied");
    assert_ne!(standing(&app, "A-1").await.0, "in_doubt");
    assert_eq!(browser.get("/orders?q=POS-77").await.leads_to(), "/order?source=main&id=A-2", "found by its id there");
    let again = browser.act("retry", "A-2", &[]).await;
    assert_eq!(again.status, 409, "as the API refuses it: {}", again.text);
    assert!(again.text.starts_with("<!DOCTYPE html>"));
}

#[tokio::test]
async fn an_order_is_found_by_its_whole_id() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A/1 &?", 1, "accepted")).await;
    let browser = Browser::start(&app).await;

    let found = browser.get("/orders?q=A%2F1+%26%3F").await;

    assert_eq!((found.status, found.leads_to()), (303, "/order?source=main&id=A%2F1+%26%3F"));
    assert_eq!(browser.get(found.leads_to()).await.status, 200);
    assert_eq!(browser.get("/orders?q=A").await.status, 404);
    assert_eq!(browser.get("/orders?q=%00").await.status, 404);
}

#[tokio::test]
async fn the_books_of_the_last_days_tell_what_is_explained_and_what_is_not() {
    let mut app = TestApp::setup().with_till(TillOptions::default()).start().await;
    let mut today = order("A-1", 1, "accepted");
    today["placedAt"] = json!(app.clock.wall());
    app.arrives(&today).await;
    let browser = Browser::start(&app).await;

    let page = browser.books("/books").await;
    assert!(
        page.shows("Everything is explained.") && page.shows("12.50 GBP") && page.shows("0.00 GBP"),
        "{}",
        page.text
    );
    change_receipt(&app, "A-1", &["money", "posted_minor"], 1).await;
    let page = browser.books("/books?days=2").await;

    assert!(page.shows("Orders that are not explained: 1") && page.shows("0.01 GBP (differs)"), "{}", page.text);
}

#[tokio::test]
async fn nobody_waits_for_books_that_are_slow_to_read_and_one_reading_serves_all() {
    let mut app = TestApp::setup().with_till(TillOptions::default()).start().await;
    let mut today = order("A-1", 1, "accepted");
    today["placedAt"] = json!(app.clock.wall());
    app.arrives(&today).await;
    let browser = Browser::start(&app).await;
    let readers = "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND NOT granted";

    let mut slow = app.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").execute(&mut *slow).await.unwrap();
    for _ in 0..3 {
        let page = browser.get("/books").await;
        assert!(
            page.status == 200 && page.shows("The books are being read.") && page.headers["refresh"] == "1",
            "{}",
            page.text
        );
    }
    let waiting: i64 = sqlx::query_scalar(readers).fetch_one(&mut *slow).await.unwrap();
    assert_eq!(waiting, 1);
    slow.commit().await.unwrap();
    let page = browser.books("/books").await;
    assert!(page.shows("Everything is explained.") && page.shows("12.50 GBP"), "{}", page.text);

    // They serve for a while; then they are shown for as long as newer ones are being read.
    change_receipt(&app, "A-1", &["money", "posted_minor"], 1).await;
    let mut slow = app.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").execute(&mut *slow).await.unwrap();
    let older = loop {
        let page = browser.get("/books").await;
        assert!(page.status == 200 && page.shows("Everything is explained."), "{}", page.text);
        if page.shows("newer ones are being read") {
            break page;
        }
    };
    assert!(!older.headers.contains_key("refresh"));
    slow.commit().await.unwrap();
    let newer = loop {
        let page = browser.get("/books").await;
        if !page.shows("newer ones are being read") {
            break page;
        }
    };
    assert!(newer.shows("Orders that are not explained: 1"), "{}", newer.text);
}

#[tokio::test]
async fn g10_what_others_wrote_is_text_and_nothing_personal_is_shown() {
    let mut app = TestApp::start().await;
    let mut odd = order("<script>alert(1)</script>", 1, "accepted");
    odd["vendorId"] = json!("\"><img src=x>");
    odd["customer"] = json!({ "name": "Jane Miller", "phone": "+44 20 7946 0958", "email": "jane@example.org" });
    app.arrives(&odd).await;
    let mut next = odd.clone();
    next["version"] = json!(2);
    next["items"][0]["name"] = json!("<b>Naan</b>");
    app.arrives(&next).await;
    let browser = Browser::start(&app).await;

    let id = "/order?source=main&id=%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for path in ["/", id, "/orders?q=%3Cscript%3E", "/books", "/letters?reason=%22%3E%3Cscript%3E"] {
        let page = browser.get(path).await;
        let text = page.without_our_script();
        for never in ["<script", "<img", "<b>", "Miller", "7946 0958", "jane@"] {
            assert!(!text.contains(never), "{never} at {path}: {text}");
        }
    }
    assert!(browser.get(id).await.shows("&lt;b&gt;Naan&lt;/b&gt;"));
}

#[tokio::test]
async fn nothing_comes_from_elsewhere_and_nothing_is_inline() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let mut browser = Browser::start(&app).await;
    browser.log_in().await;
    let act = "/act?act=retry&sink=hook&source=main&order=A-1";

    let style = browser.get("/style.css").await;
    assert_eq!(style.headers[header::CONTENT_TYPE], "text/css; charset=utf-8");
    assert!(!style.shows("url(") && !style.shows("@import"));
    let script = browser.get("/live.js").await;
    assert_eq!(script.headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert!(!script.shows("import") && !script.shows("http") && !script.shows("innerHTML") && !script.shows("eval"));
    for path in PAGES.iter().chain([&act]) {
        let page = browser.get(path).await;
        assert_eq!(
            page.headers[header::CONTENT_SECURITY_POLICY],
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let text = page.without_our_script();
        assert!(!text.contains("<script") && !text.contains("<style"), "{path}");
        let tags: String = text.split('<').filter_map(|tag| tag.split('>').next()).collect();
        for never in [" style=", " onclick=", " onload=", " onsubmit=", "javascript:", "http://", "https://", " src="] {
            assert!(!tags.contains(never), "{never} at {path}: {tags}");
        }
        let all = page.text.len() + style.text.len() + script.text.len();
        assert!(all < 50_000, "{path}: {all} bytes");
    }
}

#[tokio::test]
async fn every_page_has_one_heading_and_every_field_a_label() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let mut browser = Browser::start(&app).await;
    browser.log_in().await;

    for path in PAGES.iter().chain([&"/act?act=adopt&sink=hook&source=main&order=A-1"]) {
        let page = browser.get(path).await;
        assert!(
            page.shows("<html lang=\"en\">") && page.shows("name=\"viewport\"") && page.shows("href=\"#main\""),
            "{path}"
        );
        assert_eq!(page.text.matches("<h1>").count(), 1, "{path}");
        for (at, _) in page.text.match_indices("<input").chain(page.text.match_indices("<select")) {
            let field = &page.text[at..at + page.text[at..].find('>').unwrap()];
            let before = &page.text[..at];
            let inside = before.matches("<label").count() > before.matches("</label").count();
            let labelled = field.contains("id=\"q\"") && page.shows("<label for=\"q\">");
            assert!(inside || labelled || field.contains("type=\"hidden\""), "{path}: {field}");
        }
        let ids: Vec<&str> = page.text.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{path}: {ids:?}");
    }
}

#[tokio::test]
async fn alerts_that_could_not_be_sent_are_shown_with_those_that_stand() {
    let app = TestApp::start().await;
    app.run("INSERT INTO alerts (cause, subject, detail) VALUES ('blocked', 'hook', 'renew its credentials')").await;
    app.run(
        "WITH m AS (INSERT INTO alert_messages (id, cause, kind, composed_at, subjects, times, listed)
                    VALUES (gen_random_uuid(), 'blocked', 'raised', now(), 1, 1, '[]') RETURNING id)
         INSERT INTO alert_sends (message_id, channel, attempts, next_attempt_at, last_error)
         SELECT id, 'email', 3, now(), 'connect' FROM m",
    )
    .await;
    let browser = Browser::start(&app).await;

    let page = browser.get("/").await;

    assert!(page.shows("renew its credentials") && page.shows("could not be sent since"), "{}", page.text);
    assert!(page.shows("(connect, 3 tries)"), "{}", page.text);
}

// How it keeps itself true

impl Browser {
    /// Listens for changes, as an open page does that last heard of this one.
    async fn listen(&self, since: &str, heard: Option<&str>) -> reqwest::Response {
        let request = self.http.get(format!("http://{}/events?since={since}", self.address));
        let request = heard.into_iter().fold(request, |request, heard| request.header("last-event-id", heard));
        request.send().await.unwrap()
    }
}

/// The mark of the next change.
async fn next_change(stream: &mut reqwest::Response) -> String {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let id = text.strip_prefix("id: ").and_then(|rest| rest.strip_suffix("\ndata: changed\n\n"));
    id.unwrap_or_else(|| panic!("{text:?}")).to_owned()
}

#[tokio::test]
async fn an_open_page_hears_that_something_changed_from_where_it_was_read() {
    let mut app = TestApp::start().await;
    let browser = Browser::start(&app).await;
    let first = browser.get("/").await;

    refused(&mut app, "A-1").await;
    let mut stream = browser.listen(first.mark(), None).await;
    assert_eq!(stream.headers()[header::CONTENT_TYPE], "text/event-stream");
    let second = next_change(&mut stream).await;
    assert_eq!(browser.get("/order?source=main&id=A-1").await.mark(), second, "that is what it is told of");

    // The browser lost the stream and comes back: what it heard counts, and not what the page was read at.
    let mut stream = browser.listen(first.mark(), Some(&second)).await;
    app.run("INSERT INTO alerts (cause, subject) VALUES ('blocked', 'hook')").await;
    let third = next_change(&mut stream).await;
    assert!(![first.mark(), &second].contains(&third.as_str()));
    assert_eq!(browser.get("/letters").await.mark(), third);
}

#[tokio::test]
async fn whatever_a_person_would_want_to_see_changes_the_mark_and_a_poll_without_news_does_not() {
    let mut app = TestApp::start().await;
    let browser = Browser::start(&app).await;
    let mut marks = BTreeSet::from([browser.get("/").await.mark().to_owned()]);
    app.run("UPDATE sources SET last_poll_at = now(), last_success_at = now(), lease_epoch = lease_epoch + 1").await;
    assert!(!marks.insert(browser.get("/").await.mark().to_owned()), "nothing happened");

    app.stores(&order("A-1", 1, "accepted")).await;
    assert!(marks.insert(browser.get("/").await.mark().to_owned()), "a version was read");
    app.dispatch().await;
    assert!(marks.insert(browser.get("/").await.mark().to_owned()), "it was sent");
    for (what, change) in [
        ("a source fails", "UPDATE sources SET state = 'failing', failures = 1"),
        ("a sink is blocked", "UPDATE sinks SET state = 'blocked', reason = 'unauthorized'"),
        ("somebody acted", "INSERT INTO operator_actions (who, action, sink) VALUES ('ada', 'resume', 'hook')"),
        ("an alert was raised", "INSERT INTO alerts (cause, subject) VALUES ('blocked', 'hook')"),
        ("it came again", "UPDATE alerts SET count = count + 1"),
        ("it ended", "UPDATE alerts SET resolved_at = now()"),
    ] {
        app.run(change).await;
        assert!(marks.insert(browser.get("/").await.mark().to_owned()), "{what}");
    }
}

#[tokio::test]
async fn listening_is_limited_and_ends_when_the_process_drains() {
    let app = TestApp::start().await;
    let browser = Browser::start(&app).await;
    let mark = browser.get("/").await.mark().to_owned();
    assert_eq!(browser.get("/events").await.status, 400);

    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(browser.listen(&mark, None).await);
    }
    let one_more = browser.listen(&mark, None).await;
    assert_eq!(one_more.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(one_more.text().await.unwrap().contains("too_many_listeners"));

    drop(browser.stop);
    for stream in &mut streams {
        assert_eq!(stream.chunk().await.unwrap(), None, "it is ended, not cut");
    }
}

// Bad input

#[tokio::test]
async fn what_is_not_understood_is_said_in_words() {
    let app = TestApp::start().await;
    let browser = Browser::start(&app).await;

    for (path, status) in [
        ("/letters?state=nope", 400),
        ("/letters?after=nope", 400),
        ("/letters?page=2", 400),
        ("/letters?sink=nobody", 404),
        ("/letters?reason=%00", 400),
        ("/order?source=NO&id=A-1", 400),
        ("/order?source=main", 400),
        ("/order?source=main&id=A-1", 404),
        ("/orders", 400),
        ("/books?days=0", 400),
        ("/books?days=93", 400),
        ("/books?days=x", 400),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, status, "{path}");
        assert!(page.text.starts_with("<!DOCTYPE html>") && page.shows("role=\"alert\""), "{path}: {}", page.text);
    }
    assert_eq!(browser.post("/", &[]).await.status, 405);
}

// Who may

#[tokio::test]
async fn g10_a_wrong_token_is_refused_slowed_down_and_not_repeated() {
    let app = TestApp::start().await;
    let mut browser = Browser::start(&app).await;

    for _ in 0..5 {
        let page = browser.post("/login", &[("token", "not-the-admin-token")]).await;
        assert_eq!(page.status, 401);
        assert!(!page.shows("not-the-admin-token") && !page.headers.contains_key(header::SET_COOKIE));
    }
    let page = browser.post("/login", &[("token", TOKEN)]).await;
    assert_eq!(page.status, 429, "even the right one");
    assert!(page.headers[header::RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap() <= 61);
    app.advance(Duration::from_mins(1));

    browser.log_in().await;
    assert!(browser.get("/").await.shows("Log out"));
    assert_eq!(browser.post("/login", &[]).await.status, 400);
}

#[tokio::test]
async fn g10_a_change_needs_a_session_and_a_form_of_it() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let mut browser = Browser::start(&app).await;
    let given =
        [("act", "retry"), ("sink", "hook"), ("source", "main"), ("order", "A-1"), ("who", "eve"), ("why", "because")];
    let with = |form_token: &'static str| [&[("form_token", form_token)], &given[..]].concat();

    let stranger = browser.post("/act", &with("00")).await;
    assert_eq!(stranger.status, 401);
    assert_eq!(browser.get("/act?act=retry&sink=hook&source=main&order=A-1").await.leads_to(), "/login");
    browser.log_in().await;
    let earlier = browser.get("/act?act=retry&sink=hook&source=main&order=A-1").await.form_token();
    let of_nobody = browser.post("/act", &with("00")).await;
    let without = browser.post("/act", &given).await;
    browser.log_in().await;
    let of_another = browser.post("/act", &[&[("form_token", earlier.as_str())], &given[..]].concat()).await;

    assert_eq!([of_nobody.status, without.status, of_another.status], [403, 400, 403]);
    assert_eq!((actions(&app).await, standing(&app, "A-1").await.0.as_str()), (0, "parked"));
    let nameless = browser.act("retry", "A-1", &[]).await;
    assert_eq!(nameless.status, 303, "and with its own form it is done");
    app.advance(Duration::from_hours(12));
    assert!(!browser.get("/").await.shows("Log out"), "a session ends");
}

#[tokio::test]
async fn g10_why_and_who_must_be_said() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let mut browser = Browser::start(&app).await;
    browser.log_in().await;
    let form_token = browser.get("/act?act=retry&sink=hook&source=main&order=A-1").await.form_token();
    let given =
        [("form_token", form_token.as_str()), ("act", "retry"), ("sink", "hook"), ("source", "main"), ("order", "A-1")];
    let long = "x".repeat(1_001);

    for (who, why) in
        [("", "because"), ("ada", " "), ("ada", long.as_str()), (&long[..101], "because"), ("a\0", "because")]
    {
        let page = browser.post("/act", &[&given[..], &[("who", who), ("why", why)]].concat()).await;
        assert_eq!(page.status, 400, "{who} {why}");
    }
    assert_eq!(actions(&app).await, 0);
}

#[tokio::test]
async fn g10_without_a_configured_token_the_page_is_read_and_nothing_else() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let browser = Browser::on("127.0.0.1:0", &app, None).await;

    assert!(browser.get("/letters").await.shows("no http.admin_token"));
    assert_eq!(browser.get("/login").await.status, 403);
    assert_eq!(browser.post("/login", &[("token", "")]).await.status, 403);
    let given = [
        ("form_token", "00"),
        ("act", "retry"),
        ("sink", "hook"),
        ("source", "main"),
        ("order", "A-1"),
        ("who", "eve"),
        ("why", "because"),
    ];
    assert_eq!(browser.post("/act", &given).await.status, 403);
    assert_eq!(actions(&app).await, 0);
}

#[tokio::test]
async fn g10_beyond_loopback_the_page_needs_a_session_which_opens_nothing_else() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let mut browser = Browser::on("0.0.0.0:0", &app, Some(TOKEN)).await;

    for path in PAGES.iter().filter(|path| **path != "/login").chain([&"/events?since=0", &"/live.js"]) {
        let page = browser.get(path).await;
        assert_eq!((page.status, page.leads_to()), (303, "/login"), "{path}");
        assert!(!page.shows("A-1"), "{path}");
    }
    assert_eq!([browser.get("/login").await.status, browser.get("/style.css").await.status], [200, 200]);

    browser.log_in().await;
    for path in ["/", "/letters", "/order?source=main&id=A-1", "/books"] {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
    }
    for path in ["/api/v1/status", "/metrics"] {
        assert_eq!(browser.get(path).await.status, 401, "{path}");
    }
    assert_eq!(browser.act("retry", "A-1", &[]).await.status, 303);
    let out = browser.post("/logout", &[("form_token", &browser.get("/").await.form_token())]).await;
    assert!(out.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test]
async fn g10_another_machines_name_is_answered_by_nothing_of_the_page() {
    let app = TestApp::start().await;
    let browser = Browser::start(&app).await;

    let request = browser.http.get(format!("http://{}/", browser.address)).header(header::HOST, "evil.example");
    let answer = request.send().await.unwrap();

    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(answer.text().await.unwrap().contains("the Host header names another machine"));
}
