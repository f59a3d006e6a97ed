//! The page in a real browser: Chromium without a window, driven as a person would, on a desk and on a phone.
//!
//! Needs `chromedriver` and Chromium (Debian: `chromium-driver`); without them only a line is printed. Pictures of what was seen
//! are left in `target/tmp/page`.

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use thirtyfour::prelude::*;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{Browser, TOKEN, refused};
use crate::harness::app::{TestApp, order};

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

struct Chromium {
    driver: WebDriver,
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
        let mut wanted = DesiredCapabilities::chrome();
        let usual = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"];
        for arg in usual.into_iter().chain([colours.arg()]) {
            wanted.add_arg(arg).unwrap();
        }
        let metrics = json!({"width": width, "height": height, "pixelRatio": 1.0, "touch": false});
        wanted.add_experimental_option("mobileEmulation", json!({"deviceMetrics": metrics})).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted).await.expect("Chromium starts");
        Some(Self { driver, screen, _process: process })
    }

    async fn go(&self, page: &Browser, path: &str) {
        self.driver.goto(format!("http://{}{path}", page.address)).await.unwrap();
    }

    async fn element(&self, css: &str) -> WebElement {
        self.driver.find(By::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    async fn text(&self) -> String {
        self.element("body").await.text().await.unwrap()
    }

    async fn is_at(&self, path: &str) -> bool {
        let url = self.driver.current_url().await.unwrap();
        url.as_str().contains(path)
    }

    /// Presses a key wherever one is.
    async fn press(&self, keys: impl Into<TypingData>) {
        self.driver.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    async fn told(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// A picture of all of it, and what a picture shows: nothing is wider than the screen.
    async fn look(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::create_dir_all(&folder).unwrap();
        self.driver.screenshot(&folder.join(format!("{name}-{}.png", self.screen))).await.unwrap();
        let wider =
            self.told("return document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(wider, 0, "{name} on a {} has to be scrolled sideways", self.screen);
    }
}

const DESK: (u32, u32) = (1280, 900);

/// Ratio of the colours of every text to what is behind it, the lowest one, after WCAG 2.1, "contrast ratio".
const LOWEST_CONTRAST: &str = r#"
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
"#;

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
        browser.press(Key::Tab).await;
        assert_eq!(browser.told("return document.activeElement.textContent").await, "Skip to the content");
        browser.element("#q").await.send_keys("A-2" + Key::Enter).await.unwrap();
        assert!(browser.is_at("/order?source=main&id=A-2").await);
        browser.look("order").await;

        browser.go(&page, "/login").await;
        browser.look("login").await;
        browser.press(TOKEN + Key::Enter).await;
        assert!(browser.text().await.contains("Log out"));
        browser.element("nav a[href='/letters']").await.send_keys(Key::Enter).await.unwrap();
        browser.look("letters").await;
        browser.element("a[aria-label='Retry order A-1 at hook']").await.send_keys(Key::Enter).await.unwrap();
        browser.look("act").await;
        browser.element("input[name=who]").await.send_keys("ada").await.unwrap();
        browser.element("input[name=why]").await.send_keys("the menu is mended" + Key::Enter).await.unwrap();
        assert!(browser.is_at("/order?source=main&id=A-1&done=retry").await);
        app.dispatch().await;
        browser.driver.refresh().await.unwrap();
        browser.look("retried").await;

        let story = browser.text().await;
        assert!(story.contains("operator:ada") && story.contains("the menu is mended"), "{story}");
        assert!(browser.element("main .good").await.text().await.unwrap().contains("applied"), "{story}");
        browser.driver.quit().await.unwrap();
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
        browser.driver.quit().await.unwrap();
    }
}
