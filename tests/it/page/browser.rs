//! The page in a real browser: Chromium without a window, driven as a person would, on a desk and on a phone.
//!
//! Needs `chromedriver` and Chromium (Debian: `chromium-driver`); without them only a line is printed. Pictures of what was seen
//! are left in `target/tmp/page`. The few commands of W3C WebDriver that it takes are spoken here: the crates for it bring a
//! licence that we do not take, or another order of JSON's members for everything that is tested.

use std::{path::PathBuf, process::Stdio};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use scoffable_sync::http;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{Browser, TOKEN, refused};
use crate::harness::{
    app::{TestApp, order},
    process::until,
};

/// What the person prefers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Colours {
    Light,
    Dark,
}

impl Colours {
    fn arg(self) -> &'static str {
        match self {
            Self::Dark => "--blink-settings=preferredColorScheme=0",
            Self::Light => "--blink-settings=preferredColorScheme=1",
        }
    }
}

/// Keys that are no characters. Source: W3C WebDriver, "Keyboard actions".
const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";
/// What the id of an element is called. Source: W3C WebDriver, "Elements".
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

struct Chromium {
    http: reqwest::Client,
    session: String,
    screen: &'static str,
    _process: Child,
}

impl Chromium {
    /// None: there is none on this machine.
    async fn start(screen: &'static str, (width, height): (u32, u32), colours: Colours) -> Option<Self> {
        let started = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let Ok(mut process) = started else {
            println!("the page was not looked at in a browser: there is no chromedriver");
            return None;
        };
        let mut said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let port = loop {
            let line = said.next_line().await.unwrap().expect("it says on which port it listens");
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let usual = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"];
        let args: Vec<&str> = usual.into_iter().chain([colours.arg()]).collect();
        let metrics = json!({"width": width, "height": height, "pixelRatio": 1.0, "touch": false});
        let options = json!({"args": args, "mobileEmulation": {"deviceMetrics": metrics}});
        let http = http::client_builder().no_proxy().build().unwrap();
        let mut chromium =
            Self { http, session: format!("http://127.0.0.1:{port}/session"), screen, _process: process };
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let begun = chromium.post("", &wanted).await;
        chromium.session = format!("{}/{}", chromium.session, begun["sessionId"].as_str().expect("a session"));
        Some(chromium)
    }

    async fn command(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.session));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {text}");
        serde_json::from_str::<Value>(&text).unwrap()["value"].take()
    }

    async fn get(&self, path: &str) -> Value {
        self.command(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.command(Method::POST, path, Some(body)).await
    }

    async fn go(&self, page: &Browser, path: &str) {
        self.post("/url", &json!({"url": format!("http://{}{path}", page.address)})).await;
    }

    async fn reload(&self) {
        self.post("/refresh", &json!({})).await;
    }

    /// Path of the only element that this selects, or of the first one.
    async fn element(&self, css: &str) -> String {
        let found = self.post("/element", &json!({"using": "css selector", "value": css})).await;
        format!("/element/{}", found[ELEMENT].as_str().expect("an element"))
    }

    async fn text_of(&self, css: &str) -> String {
        self.get(&format!("{}/text", self.element(css).await)).await.as_str().unwrap().to_owned()
    }

    async fn text(&self) -> String {
        self.text_of("body").await
    }

    /// Waits for the page that what was pressed leads to: a key is answered before the way there begins, and only then do
    /// other commands wait for its end.
    async fn arrives_at(&self, path: &str) {
        until(&format!("to be at {path}"), async || self.get("/url").await.as_str().unwrap().ends_with(path)).await;
    }

    async fn type_into(&self, css: &str, keys: &str) {
        self.post(&format!("{}/value", self.element(css).await), &json!({"text": keys})).await;
    }

    /// Presses keys wherever one is.
    async fn press(&self, keys: &str) {
        self.type_into(":focus, body:not(:has(:focus))", keys).await;
    }

    async fn told(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []})).await
    }

    async fn end(self) {
        self.command(Method::DELETE, "", None).await;
    }

    /// A picture of all of it, and what a picture shows: nothing is wider than the screen.
    async fn look(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::create_dir_all(&folder).unwrap();
        let picture = STANDARD.decode(self.get("/screenshot").await.as_str().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}-{}.png", self.screen)), picture).unwrap();
        let wider =
            self.told("return document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(wider, 0, "{name} on a {} has to be scrolled sideways", self.screen);
    }
}

const DESK: (u32, u32) = (1280, 900);

/// Ratio of the colours of every text to what is behind it, the lowest one, after WCAG 2.1, "contrast ratio".
const LOWEST_CONTRAST: &str = r"
    const rgb = css => css.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = element => {
        for (let e = element; e; e = e.parentElement) {
            const [r, g, b, a = 1] = rgb(getComputedStyle(e).backgroundColor);
            if (a > 0) return [r, g, b];
        }
        return [255, 255, 255];
    };
    let lowest = 21;
    for (const e of document.querySelectorAll('body *')) {
        const says = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
        if (!says || e.closest('svg')) continue;
        const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
        lowest = Math.min(lowest, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return lowest;
";

#[tokio::test]
async fn a_dead_letter_is_found_retried_and_seen_to_arrive_with_a_keyboard() {
    for (screen, size) in [("desk", DESK), ("phone", (390, 844))] {
        let Some(browser) = Chromium::start(screen, size, Colours::Light).await else { return };
        let mut app = TestApp::start().await;
        refused(&mut app, "A-1").await;
        app.arrives(&order("A-2", 1, "accepted")).await;
        let page = Browser::start(&app).await;

        browser.go(&page, "/").await;
        browser.look("overview").await;
        assert!(browser.text().await.contains("1 delivery parked"));
        browser.press(TAB).await;
        assert_eq!(browser.told("return document.activeElement.textContent").await, "Skip to the content");
        browser.type_into("#q", &format!("A-2{ENTER}")).await;
        browser.arrives_at("/order?source=main&id=A-2").await;
        browser.look("order").await;

        browser.go(&page, "/login").await;
        browser.look("login").await;
        browser.press(&format!("{TOKEN}{ENTER}")).await;
        browser.arrives_at("/").await;
        assert!(browser.text().await.contains("Log out"));
        browser.type_into("nav a[href='/letters']", ENTER).await;
        browser.arrives_at("/letters").await;
        browser.look("letters").await;
        browser.type_into("a[aria-label='Retry order A-1 at hook']", ENTER).await;
        browser.arrives_at("/act?act=retry&sink=hook&source=main&order=A-1").await;
        browser.look("act").await;
        browser.type_into("input[name=who]", "ada").await;
        browser.type_into("input[name=why]", &format!("the menu is mended{ENTER}")).await;
        browser.arrives_at("/order?source=main&id=A-1&done=retry").await;
        app.dispatch().await;
        browser.reload().await;
        browser.look("retried").await;

        let story = browser.text().await;
        assert!(story.contains("operator:ada") && story.contains("the menu is mended"), "{story}");
        assert!(browser.text_of("main .good").await.contains("applied"), "{story}");
        browser.end().await;
    }
}

#[tokio::test]
async fn every_text_can_be_read_in_the_light_and_in_the_dark() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let page = Browser::start(&app).await;
    for colours in [Colours::Light, Colours::Dark] {
        let Some(browser) = Chromium::start("desk", DESK, colours).await else { return };

        for path in super::PAGES {
            browser.go(&page, path).await;
            let is_dark = browser.told("return matchMedia('(prefers-color-scheme: dark)').matches").await;
            assert_eq!(is_dark, colours == Colours::Dark);
            let lowest = browser.told(LOWEST_CONTRAST).await.as_f64().unwrap();
            assert!(lowest >= 4.5, "{path}, {colours:?}: contrast of {lowest:.2}");
        }
        browser.end().await;
    }
}

#[tokio::test]
async fn an_open_page_keeps_itself_true_and_takes_nothing_out_of_the_hands_of_who_uses_it() {
    let Some(browser) = Chromium::start("desk", DESK, Colours::Light).await else { return };
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let page = Browser::start(&app).await;
    browser.go(&page, "/letters").await;
    until("to listen", async || browser.text().await.contains("Updates by itself.")).await;
    browser.told("document.querySelector('td a, th a').focus()").await;

    refused(&mut app, "A-2").await;
    until("to show the second", async || browser.text().await.contains("A-2")).await;
    let focused = browser.told("return document.activeElement.textContent").await;
    assert_eq!(focused, "A-1", "who stood on it still does, although the table is another");

    browser.type_into("input[name=reason]", "unproc").await;
    refused(&mut app, "A-3").await;
    until("to hear of the third", async || {
        browser.told("return isStale && mark !== main.dataset.live").await.as_bool() == Some(true)
    })
    .await;
    assert!(!browser.text().await.contains("A-3"), "not while somebody types");
    browser.press(TAB).await;
    until("to show the third", async || browser.text().await.contains("A-3")).await;
    assert_eq!(browser.told("return document.querySelector('input[name=reason]').value").await, "unproc");
    browser.end().await;
}
