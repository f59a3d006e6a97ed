use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::simulator::{
    faults::{
        Answer, answer, cut_after, cut_before, not_json, redirect, repeated_page, reversed_page, slow, status,
        truncated,
    },
    shell::STATE_PATH,
    test_client::{client, secs},
    world::{Breakage, WorldOptions},
};

struct Asked {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

async fn try_ask(sim: &ScoffableSim, token: &str, path: &str, query: &[(&str, &str)]) -> reqwest::Result<Asked> {
    let mut url = reqwest::Url::parse(&sim.base_url()).expect("the base is a URL");
    url.set_path(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let answer = client().get(url).bearer_auth(token).send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.bytes().await?;
    Ok(Asked { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}

async fn ask(sim: &ScoffableSim, query: &[(&str, &str)]) -> Asked {
    try_ask(sim, "sim-token", STREAM_PATH, query).await.expect("an answer")
}

async fn start(world: &World, options: ScoffableOptions) -> ScoffableSim {
    ScoffableSim::start(world, options).await.expect("a free port")
}

fn unlimited() -> ScoffableOptions {
    ScoffableOptions { limits: Limits::NONE, ..ScoffableOptions::default() }
}

fn world(orders: usize) -> World {
    World::generate(WorldOptions { orders, ..WorldOptions::default() })
}

/// `(id, version)` of each element.
fn names(page: &Value) -> Vec<(String, i64)> {
    let name = |order: &Value| (order["id"].to_string(), order["version"].as_i64().expect("a version"));
    page["data"].as_array().expect("data").iter().map(name).collect()
}

async fn read_all(sim: &ScoffableSim, size: &str) -> Vec<Value> {
    let mut pages = vec![ask(sim, &[("pageSize", size)]).await.body];
    while pages[pages.len() - 1]["hasMore"] == true {
        let cursor = pages[pages.len() - 1]["nextPageId"].as_str().expect("a cursor").to_owned();
        pages.push(ask(sim, &[("pageSize", size), ("pageId", &cursor)]).await.body);
    }
    pages
}

fn order(id: i64, version: i64) -> String {
    format!(r#"{{"id":{id},"version":{version},"latestVersion":true,"vendorId":"v","status":"placed"}}"#)
}

#[tokio::test]
async fn pages_lead_through_the_whole_stream_in_order_at_any_size() {
    let world = world(40);
    let sim = start(&world, unlimited()).await;
    let expected: Vec<i64> = world.versions.iter().map(|v| v.number).collect();

    for size in ["1", "7", "100"] {
        let pages = read_all(&sim, size).await;
        let read: Vec<i64> = pages.iter().flat_map(names).map(|(_, version)| version).collect();
        assert_eq!(read, expected, "page size {size}");
        assert!(pages[pages.len() - 1]["nextPageId"].is_string(), "the last page has a cursor too");
    }
    assert_eq!(names(&ask(&sim, &[]).await.body).len(), 10, "the default size");
}

#[tokio::test]
async fn the_end_of_the_stream_is_an_empty_page_with_a_cursor_that_goes_on_later() {
    let sim = start(&world(3), unlimited()).await;
    let last = read_all(&sim, "100").await.pop().expect("a page");
    let cursor = last["nextPageId"].as_str().expect("a cursor").to_owned();

    let empty = ask(&sim, &[("pageId", &cursor)]).await.body;
    assert_eq!((names(&empty).len(), &empty["hasMore"]), (0, &Value::Bool(false)));
    assert!(sim.is_drained_by("main"));
    sim.publish(order(77, 1));
    let more = ask(&sim, &[("pageId", empty["nextPageId"].as_str().expect("a cursor"))]).await.body;

    assert_eq!(names(&more), [("77".to_owned(), 1)]);
    assert!(!sim.is_drained_by("main"));
}

#[tokio::test]
async fn only_the_first_answer_of_a_stream_holding_nothing_lacks_a_cursor() {
    let sim = start(&World::empty(), unlimited()).await;
    assert_eq!(ask(&sim, &[]).await.body, serde_json::json!({"hasMore": false, "data": []}));

    sim.publish(order(1, 1));

    assert!(ask(&sim, &[]).await.body["nextPageId"].is_string());
    let later = ask(&sim, &[("fromTimestamp", "2990-01-01T00:00:00Z")]).await.body;
    assert_eq!(names(&later).len(), 0);
    assert!(later["nextPageId"].is_string(), "the stream holds something, if not from then on");
}

#[tokio::test]
async fn the_latest_version_is_decided_when_the_answer_is_made_and_over_the_whole_stream() {
    let sim = start(&World::empty(), unlimited()).await;
    let flags = async |query: &[(&str, &str)]| -> Vec<bool> {
        let page = ask(&sim, query).await.body;
        page["data"].as_array().expect("data").iter().map(|o| o["latestVersion"] == true).collect()
    };
    sim.publish(order(1, 1));
    assert_eq!(flags(&[]).await, [true]);

    sim.publish(order(1, 3));
    sim.publish(order(1, 2));

    assert_eq!(flags(&[]).await, [false, true, false], "a late version is not the latest");
    assert_eq!(flags(&[("pageSize", "1")]).await, [false], "also when the newer one is on another page");
}

#[tokio::test]
async fn versions_appear_over_time() {
    let clock = Clock::default();
    let world = world(20);
    let options = ScoffableOptions { pace: Pace::Over(secs(1000)), clock: clock.clone(), ..unlimited() };
    let sim = start(&world, options).await;
    assert!(sim.published() < 3, "{}", sim.published());

    clock.advance(secs(500));
    let half = sim.published() as f64 / sim.planned() as f64;
    clock.advance(secs(500));

    assert!((0.4..0.6).contains(&half), "{half}");
    assert_eq!(sim.published(), sim.planned());
}

#[tokio::test]
async fn young_versions_are_hidden_but_still_outdate_older_ones() {
    let clock = Clock::default();
    let sim = start(&World::empty(), ScoffableOptions { clock: clock.clone(), ..unlimited() }).await;
    sim.publish(order(1, 1));
    clock.advance(secs(3600));
    sim.publish(order(1, 2));

    let page = ask(&sim, &[("minAgeMinutes", "30")]).await.body;

    assert_eq!(names(&page), [("1".to_owned(), 1)]);
    assert_eq!(page["data"][0]["latestVersion"], false);
    assert_eq!(page["hasMore"], false);
    clock.advance(secs(1801));
    let cursor = page["nextPageId"].as_str().expect("a cursor");
    let later = ask(&sim, &[("minAgeMinutes", "30"), ("pageId", cursor)]).await.body;
    assert_eq!(names(&later), [("1".to_owned(), 2)]);
}

#[tokio::test]
async fn a_start_time_begins_at_the_first_version_created_then() {
    let sim = start(&world(20), unlimited()).await;
    let at = sim.created_at(9).expect("a version");

    let from = at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let page = ask(&sim, &[("fromTimestamp", &from), ("pageSize", "100")]).await.body;

    assert_eq!(names(&page).len(), sim.planned() - 9);
}

#[tokio::test]
async fn what_a_real_server_would_refuse_is_refused() {
    let sim = start(&world(3), unlimited()).await;
    let cursor = ask(&sim, &[("pageSize", "1")]).await.body["nextPageId"].as_str().expect("a cursor").to_owned();
    let refused: &[&[(&str, &str)]] = &[
        &[("pageSize", "0")],
        &[("pageSize", "101")],
        &[("pageSize", "ten")],
        &[("pageSize", "5"), ("pageSize", "5")],
        &[("page_size", "5")],
        &[("pageId", "")],
        &[("pageId", "unknown")],
        &[("pageId", &cursor), ("fromTimestamp", "2025-01-01T00:00:00Z")],
        &[("fromTimestamp", "2025-01-01T00:00:00")],
        &[("fromTimestamp", "1735689600000")],
        &[("minAgeMinutes", "0")],
        &[("minAgeMinutes", "-5")],
        &[("minAgeMinutes", "90m")],
    ];
    for query in refused {
        let asked = ask(&sim, query).await;
        assert_eq!(asked.status, 400, "{query:?}");
        assert!(asked.body["error"].is_string());
    }
    for query in [&[("pageSize", "1")], &[("pageSize", "100")], &[("minAgeMinutes", "1")], &[("pageId", &*cursor)]] {
        assert_eq!(ask(&sim, query).await.status, 200, "{query:?}");
    }

    let url = format!("{}{STREAM_PATH}", sim.base_url());
    let posted = client().post(&url).bearer_auth("sim-token").send().await.expect("an answer");
    assert_eq!((posted.status().as_u16(), posted.headers()["allow"].to_str().ok()), (405, Some("GET")));
    assert_eq!(client().head(&url).bearer_auth("sim-token").send().await.expect("an answer").status(), 405);
    assert_eq!(try_ask(&sim, "sim-token", "/v2/orderUpdates", &[]).await.expect("an answer").status, 404);
}

#[tokio::test]
async fn a_cursor_with_plus_slash_and_equals_needs_encoding_and_survives_it() {
    for (style, length) in [(CursorStyle::Short, 32), (CursorStyle::Long, 300)] {
        let sim = start(&world(5), ScoffableOptions { cursor_style: style, ..unlimited() }).await;
        let first = ask(&sim, &[("pageSize", "2")]).await.body;
        let cursor = first["nextPageId"].as_str().expect("a cursor");

        assert_eq!(cursor.len(), length);
        assert!(cursor.contains('+') && cursor.contains('/') && cursor.contains('='), "{cursor}");
        assert_eq!(ask(&sim, &[("pageId", cursor)]).await.status, 200);
        let careless = format!("{}{STREAM_PATH}?pageId={cursor}", sim.base_url());
        let answer = client().get(careless).bearer_auth("sim-token").send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "an unencoded plus sign is a space");
    }
}

#[tokio::test]
async fn cursors_outlive_the_server_and_die_on_demand() {
    let world = world(5);
    let first = start(&world, unlimited()).await;
    let cursor = ask(&first, &[("pageSize", "2")]).await.body["nextPageId"].as_str().expect("a cursor").to_owned();
    first.stop().await;

    let sim = start(&world, unlimited()).await;
    assert_eq!(ask(&sim, &[("pageId", &cursor)]).await.status, 200);
    sim.expire_cursors();
    for (answer, expected) in [
        (DeadCursor::BadRequest, 400),
        (DeadCursor::NotFound, 404),
        (DeadCursor::Gone, 410),
        (DeadCursor::EmptyPage, 200),
    ] {
        sim.answer_dead_cursors_with(answer);
        let asked = ask(&sim, &[("pageId", &cursor)]).await;
        assert_eq!(asked.status, expected);
        assert!(asked.body["nextPageId"].is_null());
    }
}

#[tokio::test]
async fn a_token_opens_until_it_is_revoked_and_only_its_vendors() {
    let world = world(60);
    let sim = start(&world, unlimited()).await;
    assert_eq!(try_ask(&sim, "wrong", STREAM_PATH, &[]).await.expect("an answer").status, 401);
    sim.revoke("main");
    assert_eq!(ask(&sim, &[]).await.status, 401);
    sim.grant(Grant::new("main", "next-token", "main"));
    assert_eq!(try_ask(&sim, "next-token", STREAM_PATH, &[]).await.expect("an answer").status, 200);

    let vendor = world.vendors[1].id.clone();
    sim.grant(Grant { vendors: Some(BTreeSet::from([vendor.clone()])), ..Grant::new("scoped", "scoped", "main") });
    let page = try_ask(&sim, "scoped", STREAM_PATH, &[("pageSize", "100")]).await.expect("an answer").body;

    assert!(!names(&page).is_empty());
    assert!(page["data"].as_array().expect("data").iter().all(|order| order["vendorId"] == vendor.as_str()));
    assert!(!format!("{sim:?}").contains("next-token"));
    assert!(!format!("{:?}", sim.journal().entries()).contains("next-token"));
}

#[tokio::test]
async fn one_token_has_thirty_calls_in_any_minute() {
    let clock = Clock::default();
    let sim = start(&world(2), ScoffableOptions { clock: clock.clone(), ..ScoffableOptions::default() }).await;
    for _ in 0..30 {
        assert_eq!(ask(&sim, &[]).await.status, 200);
    }

    let refused = ask(&sim, &[]).await;

    assert_eq!(refused.status, 429);
    assert_eq!(refused.body, serde_json::json!({"error": "too many calls", "limitType": "jti", "limit": 30}));
    let wait: u64 = refused.headers["retry-after"].to_str().expect("text").parse().expect("whole seconds");
    assert!((30..=60).contains(&wait), "{wait}");
    clock.advance(secs(wait));
    assert_eq!(ask(&sim, &[]).await.status, 200);
    assert_eq!(sim.journal().answers()[&429], 1);
    assert!(sim.journal().most_per_minute("token:main") >= 31);
}

#[tokio::test]
async fn the_tokens_of_one_account_share_sixty_calls_in_any_minute() {
    let grants = ["a", "b", "c"].map(|id| Grant::new(id, id, "shared"));
    let sim = start(&world(2), ScoffableOptions { grants: grants.into(), ..ScoffableOptions::default() }).await;
    for token in ["a", "b"] {
        for _ in 0..30 {
            assert_eq!(try_ask(&sim, token, STREAM_PATH, &[]).await.expect("an answer").status, 200);
        }
    }

    let refused = try_ask(&sim, "c", STREAM_PATH, &[]).await.expect("an answer");

    assert_eq!(refused.status, 429);
    assert_eq!(refused.body, serde_json::json!({"error": "too many calls", "limitType": "sub", "limit": 60}));
}

#[tokio::test]
async fn one_order_is_read_in_its_newest_version() {
    let sim = start(&World::empty(), unlimited()).await;
    sim.publish(order(5, 2));
    sim.publish(order(5, 1));
    let read =
        async |path: &str, query: &[(&str, &str)]| try_ask(&sim, "sim-token", path, query).await.expect("an answer");

    assert_eq!(read("/v1/orders/5", &[]).await.body["version"], 2);
    assert_eq!(read("/v1/orders/6", &[]).await.status, 404);
    assert_eq!(read("/v1/orders/six", &[]).await.status, 400);
    assert_eq!(read("/v1/orders/5", &[("a", "b")]).await.status, 400);
}

#[tokio::test]
async fn scripted_faults_reach_the_client_as_they_should() {
    let sim = start(&world(5), unlimited()).await;
    sim.answer_next([
        status(429).retry_after(secs(7)),
        redirect("http://other.example/"),
        answer(Answer::json(200, "[]")),
        not_json(),
        slow(Duration::from_millis(1)),
    ]);

    let throttled = ask(&sim, &[]).await;
    assert_eq!((throttled.status, throttled.headers["retry-after"].to_str().ok()), (429, Some("7")));
    let redirected = ask(&sim, &[]).await;
    assert_eq!((redirected.status, redirected.headers["location"].to_str().ok()), (307, Some("http://other.example/")));
    assert_eq!(ask(&sim, &[]).await.body, serde_json::json!([]));
    assert_eq!(ask(&sim, &[]).await.body, Value::Null);
    assert_eq!(names(&ask(&sim, &[]).await.body).len(), 10);

    for fault in [cut_before(), cut_after(), truncated()] {
        let name = fault.name();
        sim.answer_next([fault]);
        let failed = try_ask(&sim, "sim-token", STREAM_PATH, &[]).await;
        assert!(failed.is_err(), "{name}");
    }
    assert_eq!(names(&ask(&sim, &[]).await.body).len(), 10, "afterwards all is well");
    assert_eq!(sim.journal().faults()["cut_after"], 1);
}

#[tokio::test]
async fn a_repeated_page_comes_twice_and_a_reversed_one_backwards_and_nothing_is_lost() {
    let sim = start(&world(5), unlimited()).await;
    let plain = ask(&sim, &[]).await.body;
    sim.answer_next([repeated_page(), reversed_page()]);

    let repeated = ask(&sim, &[]).await.body;
    let again = ask(&sim, &[("pageId", repeated["nextPageId"].as_str().expect("a cursor"))]).await.body;

    assert_eq!(names(&repeated), names(&plain));
    assert_eq!(repeated["hasMore"], true);
    let backwards: Vec<_> = names(&again).into_iter().rev().collect();
    assert_eq!(backwards, names(&plain));
    assert_eq!(again["nextPageId"], plain["nextPageId"]);
}

#[tokio::test]
async fn calls_of_one_token_side_by_side_are_noticed() {
    let sim = start(&world(2), unlimited()).await;
    let slow_page = Duration::from_millis(300);
    sim.answer_next([slow(slow_page), slow(slow_page)]);

    tokio::join!(ask(&sim, &[]), ask(&sim, &[]));
    assert_eq!(sim.journal().overlaps("token:main"), 1);
    ask(&sim, &[]).await;

    assert_eq!(sim.journal().overlaps("token:main"), 1);
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_call() {
    let sim = start(&world(2), unlimited()).await;
    sim.answer_next([slow(secs(600))]);
    let asking = ask(&sim, &[]);
    let arrived = sim.journal().wait_until(|journal| journal.faults().contains_key("slow"), secs(30));

    // The call is dropped as soon as it has arrived.
    tokio::select! {
        _ = asking => panic!("the answer takes ten minutes"),
        arrived = arrived => arrived.expect("the call arrives"),
    }
    let journal = sim.journal();
    journal.wait_until(|journal| journal.running("token:main") == 0, secs(30)).await.expect("the call ends");

    assert_eq!(journal.entries()[0].status, None);
}

#[tokio::test]
async fn broken_versions_are_served_byte_for_byte() {
    let options = WorldOptions { orders: 30, broken: 4, breakages: vec![Breakage::RawNul], ..WorldOptions::default() };
    let sim = start(&World::generate(options), unlimited()).await;
    let url = format!("{}{STREAM_PATH}?pageSize=100", sim.base_url());
    let mut body = Vec::new();
    let mut next = url.clone();
    loop {
        let page = client().get(&next).bearer_auth("sim-token").send().await.expect("an answer");
        let bytes = page.bytes().await.expect("a body");
        body.extend_from_slice(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        if text.starts_with(r#"{"hasMore":false"#) {
            break;
        }
        let cursor = text.rsplit("\"nextPageId\":\"").next().and_then(|rest| rest.strip_suffix("\"}"));
        let mut page_url = reqwest::Url::parse(&url).expect("a URL");
        page_url.query_pairs_mut().append_pair("pageId", cursor.expect("a cursor"));
        next = page_url.to_string();
    }

    assert!(body.windows(13).any(|part| part == b"before\0after\""));
}

#[tokio::test]
async fn the_state_can_be_read_without_a_token() {
    let sim = start(&world(5), unlimited()).await;
    ask(&sim, &[]).await;

    let state = try_ask(&sim, "none", STATE_PATH, &[]).await.expect("an answer").body;

    assert_eq!(state["requests"], 1);
    assert_eq!(state["orders"], 5);
    assert_eq!(state["versions"]["published"], sim.planned());
}
