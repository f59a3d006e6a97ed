//! What a person does over HTTP: the same as by command, with the admin token and never without.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use reqwest::{Method, StatusCode};
use scoffable_sync::{
    http,
    ops::{OpsState, Present, health::Limits, serve},
    simulator::till::TillOptions,
    store::status::overview,
    telemetry::metrics::Metrics,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    harness::app::{TestApp, order, order_of},
    operate::{actions, deliveries, doubted, refused, standing, stands},
    reconcile::change_receipt,
};

const TOKEN: &str = "0123456789abcdef";

pub struct Api {
    address: SocketAddr,
    http: reqwest::Client,
    token: Option<&'static str>,
    _stop: tokio_util::sync::DropGuard,
}

impl Api {
    /// Of the app's database, answering this token.
    async fn on(listen: &str, app: &TestApp, admin_token: Option<&str>) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let state = OpsState {
            pool: app.pool.clone(),
            clock: app.clock.clone(),
            present: Arc::new(ArcSwap::from_pointee(Present::of(&app.settings, &app.another_process().await))),
            metrics: Arc::new(Metrics::default()),
            limits: Limits { lag: [].into() },
            version: "1.2.3",
            started_at: "2026-03-01T10:00:00Z".parse().unwrap(),
            alive: Arc::new(|| true),
            admin_token: admin_token.map(Into::into),
        };
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, state, stop.clone()));
        let http = http::client_builder().no_proxy().build().unwrap();
        Self { address, http, token: Some(TOKEN), _stop: stop.drop_guard() }
    }

    pub async fn start(app: &TestApp) -> Self {
        Self::on("127.0.0.1:0", app, Some(TOKEN)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("http://{}/api/v1/{path}", self.address));
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    /// Status and code of a refusal.
    async fn refusal(&self, path: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.post(path, body).await;
        (status, answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{path}: {answer}")).to_owned())
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
}

const CHANGES: [&str; 14] = [
    "deliveries/retry",
    "deliveries/discard",
    "deliveries/adopt",
    "deliveries/cancel",
    "sinks/hook/pause",
    "sinks/hook/resume",
    "sources/main/pause",
    "sources/main/resume",
    "sources/main/rewind",
    "quarantine/retry",
    "replay",
    "backfill",
    "prune",
    "erase",
];

// Who may

#[tokio::test]
async fn g10_without_a_configured_token_nothing_can_be_changed_even_from_this_machine() {
    let app = TestApp::start().await;
    let api = Api::on("127.0.0.1:0", &app, None).await;

    for path in CHANGES {
        let (status, answer) = api.post(path, &json!({})).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (403, Some("changes_not_allowed")), "{path}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("http.admin_token"), "{answer}");
    }
    assert_eq!(api.get("deliveries").await.0, 200, "reads need none");
}

#[tokio::test]
async fn g10_a_change_needs_the_whole_token() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let mut api = Api::start(&app).await;

    for token in [None, Some(""), Some("0123456789abcde"), Some("0123456789abcdef0"), Some("0123456789ABCDEF")] {
        api.token = token;
        for path in CHANGES {
            let refusal = api.refusal(path, &json!({ "sink": "hook", "orders": ["A-1"] })).await;
            assert_eq!(refusal, (401, "token_needed".to_owned()), "{path} {token:?}");
        }
    }
    assert_eq!((standing(&app, "A-1").await, actions(&app).await), (stands("parked", Some("unprocessable")), 0));
}

#[tokio::test]
async fn g10_beyond_this_machine_reading_needs_the_token_too() {
    let app = TestApp::start().await;
    let mut api = Api::on("0.0.0.0:0", &app, Some(TOKEN)).await;

    for path in ["deliveries", "quarantine"] {
        assert_eq!(api.get(path).await.0, 200);
        api.token = None;
        assert_eq!(api.get(path).await.0, 401);
        api.token = Some(TOKEN);
    }
}

#[tokio::test]
async fn what_a_browser_could_send_by_itself_is_refused() {
    let app = TestApp::start().await;
    let api = Api::start(&app).await;

    for kind in
        ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/jsonx"]
    {
        let request = api.request(Method::POST, "sinks/hook/pause").header("content-type", kind).body("{}");
        let (status, answer) = answer(request).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (415, Some("json_expected")), "{kind}");
    }
    let untold = api.request(Method::POST, "sinks/hook/pause").body("{}");
    assert_eq!(answer(untold).await.0, 415);
    let foreign = api.request(Method::POST, "sinks/hook/pause").header("host", "evil.example").json(&json!({}));
    assert_eq!(answer(foreign).await.0, 403);
    assert_eq!(actions(&app).await, 0);
    let with_charset = api.request(Method::POST, "sinks/hook/pause");
    let with_charset = with_charset.header("content-type", "Application/JSON; charset=utf-8").body("{}");
    assert_eq!(answer(with_charset).await.0, 200);
}

// Bad input

#[tokio::test]
async fn a_request_that_is_not_understood_changes_nothing() {
    let mut app = TestApp::start().await;
    refused(&mut app, "A-1").await;
    let api = Api::start(&app).await;
    let long = "x".repeat(1001);

    for (path, body) in [
        ("deliveries/retry", json!({})),
        ("deliveries/retry", json!([])),
        ("deliveries/retry", json!({ "sink": "hook" })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": [] })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": "A-1" })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": ["A-1"], "all": true })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": ["A-1"], "reason": "gone" })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": ["A-1"], "force": true })),
        ("deliveries/retry", json!({ "sink": "HOOK", "orders": ["A-1"] })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": ["A-1\u{0}"] })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": ["A-1"], "who": 7 })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": ["A-1"], "who": long })),
        ("deliveries/retry", json!({ "sink": "hook", "orders": ["A-1"], "why": long })),
        ("deliveries/adopt", json!({ "sink": "hook", "order": "A-1", "external_id": " " })),
        ("sinks/NO/pause", json!({})),
        ("sinks/hook/pause", json!({ "for": "1h" })),
        ("sources/main/rewind", json!({ "yes": true })),
        ("sources/main/rewind", json!({ "to": "yesterday", "yes": true })),
        ("sources/main/rewind", json!({ "to": "2026-01-01T00:00:00Z", "to_beginning": true, "yes": true })),
        ("quarantine/retry", json!({})),
        ("quarantine/retry", json!({ "ids": [1], "all": true })),
        ("replay", json!({ "sink": "hook", "orders": ["A-1"], "vendor": "vendor-a" })),
        ("replay", json!({ "orders": ["A-1"] })),
        ("backfill", json!({ "sink": "hook", "yes": true })),
        ("prune", json!({ "yes": "true" })),
        ("erase", json!({ "yes": true })),
        ("erase", json!({ "orders": ["A-1"], "customer": "a@b.example" })),
    ] {
        assert_eq!(api.refusal(path, &body).await, (400, "bad_request".to_owned()), "{path} {body}");
    }
    for body in ["", "{", "null", "{\"sink\": \"hook\", \"orders\": [\"A-1\"]} x"] {
        let request = api.request(Method::POST, "deliveries/retry").header("content-type", "application/json");
        assert_eq!(answer(request.body(body)).await.0, 400, "{body}");
    }
    let orders: Vec<String> = (0..10_000).map(|n| format!("A-{n}")).collect();
    let large = api.refusal("deliveries/retry", &json!({ "sink": "hook", "orders": orders })).await;
    assert_eq!(large, (413, "body_too_large".to_owned()));
    assert_eq!((standing(&app, "A-1").await, actions(&app).await), (stands("parked", Some("unprocessable")), 0));
}

#[tokio::test]
async fn each_path_answers_its_own_method_only() {
    let app = TestApp::start().await;
    let api = Api::start(&app).await;

    for path in CHANGES {
        assert_eq!(api.get(path).await.0, 405, "{path}");
    }
    for path in ["deliveries", "quarantine", "status"] {
        assert_eq!(api.refusal(path, &json!({})).await, (405, "method_not_allowed".to_owned()), "{path}");
    }
    assert_eq!(api.refusal("deliveries/forget", &json!({})).await, (404, "not_found".to_owned()));
    assert_eq!(StatusCode::from_u16(api.get("deliveries?limit=1").await.0).unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_refused_says_so_by_status_and_code() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    refused(&mut app, "A-2").await;
    doubted(&mut app, "A-3").await;
    doubted(&mut app, "A-4").await;
    deliveries(&app, "discard hook A-4").await;
    app.run("UPDATE deliveries SET external_id = 'POS-1' WHERE order_id = 'A-1'").await;
    app.run("INSERT INTO sources (name, kind, account) VALUES ('other', 'scoffable', 'other')").await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, reason, wanted_version)
         VALUES ('hook', 'other', 'A-2', 'parked', 'gone', 1)",
    )
    .await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, next_attempt_at, lease_token, lease_expires_at)
         VALUES ('hook', 'main', 'A-5', 'in_flight', 1, now(), gen_random_uuid(), now() + interval '1 minute')",
    )
    .await;
    app.stores(&json!({ "id": "C-1", "version": "new" })).await;
    app.run("UPDATE quarantine SET resolved_at = now()").await;
    let case = app.number("SELECT id FROM quarantine").await;
    let before = actions(&app).await;
    let api = Api::start(&app).await;
    let orders = |id: &str| json!({ "sink": "hook", "orders": [id] });
    let adopt = |id: &str, external_id: &str| json!({ "sink": "hook", "order": id, "external_id": external_id });

    for (path, body, status, code) in [
        ("deliveries/retry", orders("Z-9"), 404, "unknown_order"),
        ("deliveries/retry", json!({ "sink": "nowhere", "orders": ["A-2"] }), 404, "unknown_sink"),
        (
            "deliveries/discard",
            json!({ "sink": "hook", "source": "nowhere", "orders": ["A-2"] }),
            404,
            "unknown_source",
        ),
        ("deliveries/retry", json!({ "sink": "nowhere", "all": true }), 404, "unknown_sink"),
        ("quarantine/retry", json!({ "ids": [999_999] }), 404, "unknown_case"),
        ("sinks/nowhere/pause", json!({}), 404, "unknown_sink"),
        ("sources/nowhere/resume", json!({}), 404, "unknown_source"),
        ("sources/nowhere/rewind", json!({ "to_beginning": true }), 404, "unknown_source"),
        ("replay", json!({ "sink": "nowhere" }), 404, "unknown_sink"),
        ("backfill", json!({ "sink": "nowhere", "since": "2026-01-01T00:00:00Z" }), 404, "unknown_sink"),
        ("deliveries/retry", orders("A-1"), 409, "wrong_state"),
        ("deliveries/retry", orders("A-5"), 409, "in_flight"),
        ("deliveries/adopt", adopt("A-1", "POS-2"), 409, "wrong_state"),
        ("deliveries/adopt", adopt("A-3", "POS-1"), 409, "linked_elsewhere"),
        ("quarantine/retry", json!({ "ids": [case] }), 409, "resolved"),
        ("sinks/hook/resume", json!({}), 409, "wrong_state"),
        ("replay", orders("A-3"), 409, "wrong_state"),
        ("replay", orders("A-4"), 409, "possibly_stands"),
        ("deliveries/retry", orders("A-2"), 422, "several_sources"),
    ] {
        assert_eq!(api.refusal(path, &body).await, (status, code.to_owned()), "{path} {body}");
    }
    assert_eq!(actions(&app).await, before);
    app.run("DELETE FROM deliveries WHERE order_id = 'A-5'").await;
}

// What it does

#[tokio::test]
async fn g7_each_change_is_made_and_leaves_who_and_why() {
    let mut app = TestApp::start().await;
    for id in ["A-1", "A-2", "A-3"] {
        refused(&mut app, id).await;
    }
    doubted(&mut app, "A-4").await;
    let api = Api::start(&app).await;

    let retry = json!({ "sink": "hook", "source": "main", "orders": ["A-1"], "who": " ada ", "why": "mended" });
    let (status, told) = api.post("deliveries/retry", &retry).await;
    let moved = json!([{ "source": "main", "order_id": "A-1", "was": "parked", "state": "pending", "reason": null }]);
    assert_eq!((status, told), (200, json!({ "action": "retry", "sink": "hook", "deliveries": moved })));
    let (_, told) = api.post("deliveries/retry", &json!({ "sink": "hook", "all": true, "reason": "gone" })).await;
    assert_eq!(told["deliveries"], json!([]));
    let (_, told) = api.post("deliveries/discard", &json!({ "sink": "hook", "orders": ["A-2"], "why": " " })).await;
    assert_eq!(told["deliveries"][0]["reason"], "discarded");
    let (_, told) = api.post("deliveries/retry", &json!({ "sink": "hook", "all": true })).await;
    assert_eq!(told["deliveries"].as_array().map(Vec::len), Some(1));
    let adopt = json!({ "sink": "hook", "order": "A-4", "external_id": "POS-4", "why": "found" });
    assert_eq!(api.post("deliveries/adopt", &adopt).await.1["deliveries"][0]["state"], "applied");
    app.dispatch().await;

    assert_eq!(app.delivery("A-4").await.external_id.as_deref(), Some("POS-4"));
    assert_eq!((app.applied("A-1"), app.applied("A-2"), app.applied("A-3")), (vec![1], vec![], vec![1]));
    let noted = "SELECT string_agg(concat_ws(' ', actor, event, order_id, detail ->> 'why'), ', ' ORDER BY order_id)
                 FROM order_timeline WHERE actor LIKE 'operator:%'";
    assert_eq!(
        app.text(noted).await.as_deref(),
        Some(
            "operator:ada retry A-1 mended, operator:api discard A-2, operator:api retry A-3, operator:api adopt A-4 found"
        )
    );
}

#[tokio::test]
async fn sinks_and_sources_are_held_back_and_let_go() {
    let mut app = TestApp::start().await;
    let api = Api::start(&app).await;
    let nothing = json!({});

    assert_eq!(api.post("sinks/hook/pause", &nothing).await, (200, json!({ "sink": "hook", "state": "paused" })));
    assert_eq!(api.post("sources/main/pause", &nothing).await, (200, json!({ "source": "main", "state": "paused" })));
    assert_eq!(api.post("sources/main/resume", &nothing).await, (200, json!({ "source": "main", "state": "active" })));
    app.arrives(&order("A-1", 1, "accepted")).await;
    assert_eq!(app.requests(), 0);
    assert_eq!(api.post("sinks/hook/resume", &nothing).await, (200, json!({ "sink": "hook", "state": "active" })));
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1]);
}

#[tokio::test]
async fn a_rewind_without_consent_only_says_what_would_be_read_again() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    let cursor = app.text("SELECT cursor FROM sources").await;
    let api = Api::start(&app).await;

    let (status, told) = api.post("sources/main/rewind", &json!({ "to_beginning": true })).await;
    let expected = json!({ "source": "main", "to": null, "stored_versions_since": 1, "rewound": false });
    assert_eq!((status, told), (200, expected));
    assert_eq!((app.text("SELECT cursor FROM sources").await, actions(&app).await), (cursor, 0));

    let consent = json!({ "to": "2026-01-01T00:00:00Z", "yes": true, "who": "ada" });
    assert_eq!(api.post("sources/main/rewind", &consent).await.1["rewound"], true);
    assert_eq!((app.text("SELECT cursor FROM sources").await, actions(&app).await), (None, 1));
}

#[tokio::test]
async fn a_quarantined_order_is_read_again() {
    let mut app = TestApp::start().await;
    app.stores(&json!({ "id": "A-1", "version": "new" })).await;
    sqlx::query("UPDATE quarantine SET raw = $1")
        .bind(order("A-1", 1, "accepted").to_string().into_bytes())
        .execute(&app.pool)
        .await
        .unwrap();
    let api = Api::start(&app).await;
    let case = api.get("quarantine").await.1["quarantine"][0]["id"].as_i64().unwrap();

    let (status, told) = api.post("quarantine/retry", &json!({ "ids": [case] })).await;

    let expected = json!({ "quarantine": [{ "id": case, "source": "main", "became": "stored" }] });
    assert_eq!((status, told), (200, expected));
    app.dispatch().await;
    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(api.post("quarantine/retry", &json!({ "all": true })).await.1, json!({ "quarantine": [] }));
}

#[tokio::test]
async fn stored_orders_are_planned_again_and_owed_with_consent() {
    let mut app = TestApp::start().await;
    app.stores(&order("A-3", 1, "accepted")).await;
    app.run("DELETE FROM deliveries").await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order("A-2", 1, "accepted")).await;
    let api = Api::start(&app).await;

    let (status, told) = api.post("replay", &json!({ "sink": "hook" })).await;
    let asked = json!({ "sink": "hook", "matching": 2, "without_content": 0, "replayed": 0, "finished": false });
    assert_eq!((status, told), (200, asked));
    let backfill = json!({ "sink": "hook", "since": "2026-01-01T00:00:00Z" });
    let (status, told) = api.post("backfill", &backfill).await;
    let asked = json!({ "sink": "hook", "missing": 1, "without_content": 0, "owed": 0, "finished": false });
    assert_eq!((status, told), (200, asked));
    assert_eq!(actions(&app).await, 0);

    let (_, told) = api.post("replay", &json!({ "sink": "hook", "yes": true, "who": "ada" })).await;
    assert_eq!((&told["replayed"], &told["finished"]), (&json!(2), &json!(true)));
    let backfill = json!({ "sink": "hook", "since": "2026-01-01T00:00:00Z", "yes": true, "who": "ada" });
    let (_, told) = api.post("backfill", &backfill).await;
    assert_eq!((&told["owed"], &told["finished"]), (&json!(1), &json!(true)));
    app.dispatch().await;
    assert_eq!(app.applied("A-3"), [1]);
    let noted =
        "SELECT string_agg(concat_ws(' ', who, action, order_id), ', ' ORDER BY order_id) FROM operator_actions";
    assert_eq!(app.text(noted).await.as_deref(), Some("ada replay A-1, ada replay A-2, ada backfill A-3"));
}

#[tokio::test]
async fn retention_runs_with_consent() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    app.advance(std::time::Duration::from_hours(24 * 401));
    let api = Api::start(&app).await;

    let (_, told) = api.post("prune", &json!({})).await;
    assert_eq!((&told["payloads"], &told["removed"]), (&json!(1), &json!(false)));
    let (_, told) = api.post("prune", &json!({ "yes": true, "why": "asked" })).await;
    assert_eq!((&told["payloads"], &told["removed"]), (&json!(1), &json!(true)));
    let row = "SELECT concat_ws(' ', who, action, why) FROM operator_actions";
    assert_eq!(app.text(row).await.as_deref(), Some("api prune asked"));
}

#[tokio::test]
async fn an_order_is_erased_with_consent() {
    let mut app = TestApp::start().await;
    app.arrives(&order("A-1", 1, "accepted")).await;
    let api = Api::start(&app).await;

    let (_, told) = api.post("erase", &json!({ "orders": ["A-1"] })).await;
    assert_eq!((&told["orders"][0]["payloads"], &told["erased"]), (&json!(1), &json!(false)));
    let (_, told) = api.post("erase", &json!({ "orders": ["A-1"], "yes": true, "why": "asked" })).await;
    assert_eq!((&told["orders"][0]["payloads"], &told["finished"]), (&json!(1), &json!(true)));
    let row = "SELECT concat_ws(' ', who, action, order_id, why) FROM operator_actions";
    assert_eq!(app.text(row).await.as_deref(), Some("api erase A-1 asked"));
    assert_eq!(api.refusal("erase", &json!({ "orders": ["A-9"] })).await, (404, "unknown_order".to_owned()));
}

// Lists

#[tokio::test]
async fn a_list_is_that_of_the_command_and_goes_on_where_it_ended() {
    let mut app = TestApp::start().await;
    for id in ["A-1", "A-2", "A-3"] {
        refused(&mut app, id).await;
    }
    // All of one instant: the ids alone tell them apart.
    app.run("UPDATE deliveries SET updated_at = now()").await;
    app.arrives(&order_of("B-1", 1, "accepted", 100)).await;
    let api = Api::start(&app).await;

    for (query, line) in [
        ("", "list --json"),
        ("?state=applied", "list --json --state applied"),
        ("?sink=hook&source=main&reason=unprocessable", "list --json --sink hook --source main --reason unprocessable"),
        ("?reason=gone", "list --json --reason gone"),
    ] {
        let command: Value = serde_json::from_str(&deliveries(&app, line).await.1).unwrap();
        assert_eq!(api.get(&format!("deliveries{query}")).await, (200, command), "{query}");
    }
    let (mut ids, mut path) = (Vec::new(), "deliveries?limit=1".to_owned());
    for _ in 0..3 {
        let (_, page) = api.get(&path).await;
        ids.push(page["deliveries"][0]["order_id"].as_str().unwrap().to_owned());
        path = format!("deliveries?limit=1&after={}", page["next"].as_str().unwrap());
    }
    assert_eq!(ids, ["A-1", "A-2", "A-3"]);
    assert_eq!(api.get(&path).await.1, json!({ "deliveries": [], "next": null }));
}

#[tokio::test]
async fn a_list_of_any_state_is_paged_latest_changed_first() {
    let app = TestApp::start().await;
    let api = Api::start(&app).await;
    for state in ["pending", "in_doubt", "parked", "applied", "skipped"] {
        app.run("DELETE FROM deliveries").await;
        sqlx::query(
            "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, reason, next_attempt_at,
                                     pending_step, updated_at)
             SELECT 'hook', 'main', 'A-' || n, $1, 1, CASE WHEN $1 = 'applied' THEN 1 END, 'because', now(),
                    CASE WHEN $1 = 'in_doubt' THEN '{\"name\": \"submit\"}'::jsonb END, now() - n / 3 * interval '1 minute'
             FROM generate_series(1, 8) AS n",
        )
        .bind(state)
        .execute(&app.pool)
        .await
        .expect("the test's SQL works");

        let (mut ids, mut path) = (Vec::new(), format!("deliveries?state={state}&limit=2"));
        loop {
            let (status, page) = api.get(&path).await;
            assert_eq!(status, 200, "{page}");
            let listed = page["deliveries"].as_array().unwrap();
            ids.extend(listed.iter().map(|one| one["order_id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("deliveries?state={state}&limit=2&after={next}");
        }
        assert_eq!(ids, ["A-1", "A-2", "A-3", "A-4", "A-5", "A-6", "A-7", "A-8"], "{state}");
    }
}

#[tokio::test]
async fn a_list_walks_an_index_wherever_it_begins() {
    let app = TestApp::start().await;
    app.run(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, reason, updated_at, pending_step)
         SELECT 'hook', 'main', 'A-' || n, (ARRAY['parked', 'in_doubt', 'applied', 'applied', 'applied'])[1 + n % 5], 1, 1,
                'because', now() - n * interval '1 second', '{}'
         FROM generate_series(1, 20000) AS n",
    )
    .await;
    app.run("ANALYZE deliveries").await;
    let text = include_str!("../../src/store/operations.rs");

    for (state, index) in [
        ("NULL", "deliveries_dead_letters"),
        ("'parked'", "deliveries_dead_letters"),
        ("'in_doubt'", "deliveries_doubts"),
        ("'applied'", "deliveries_closed"),
    ] {
        for after in ["NULL", "now() - interval '1 hour'"] {
            let values = ["'hook'", "NULL", state, "NULL", "50", after, "'hook'", "'main'", "'A-9'"];
            let plan = plan_of(&app, "SELECT", text, "operations.list", &values).await;
            assert!(plan.contains(index) && plan.contains("Limit"), "{state} {after}:\n{plan}");
            assert!(!plan.contains("  Sort  ") && !plan.contains("Seq Scan"), "{state} {after}:\n{plan}");
        }
    }
}

#[tokio::test]
async fn dead_letters_are_counted_without_their_rows() {
    let app = TestApp::start().await;
    // A commit that is not flushed yet leaves its rows in no map of what everybody sees.
    let mut tx = app.pool.begin().await.unwrap();
    sqlx::query("SET LOCAL synchronous_commit = on").execute(&mut *tx).await.unwrap();
    sqlx::query(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, reason, pending_step)
         SELECT 'hook', 'main', 'A-' || n,
                CASE WHEN n % 100 = 0 THEN 'in_doubt' WHEN n % 10 = 1 THEN 'parked' ELSE 'skipped' END, 1, 'because', '{}'
         FROM generate_series(1, 40000) AS n",
    )
    .execute(&mut *tx)
    .await
    .expect("the test's SQL works");
    tx.commit().await.unwrap();
    app.run("VACUUM ANALYZE deliveries").await;

    let text = include_str!("../../src/store/status.rs");
    let (_, rest) = text.split_once("-- status.bounded\n").expect("the settings have their name");
    let (settings, _) = rest.split_once("\";").expect("the settings end");
    let plan = plan_of(&app, settings, text, "status.counts", &["50000"]).await;
    let counted = overview(&app.pool).await.expect("it is read").sinks;

    for index in ["deliveries_dead", "deliveries_doubts"] {
        assert!(plan.contains(&format!("Index Only Scan using {index}")), "{index}:\n{plan}");
    }
    assert_eq!((counted[0].parked, counted[0].in_doubt), (4_000, 400));
}

/// How the database, with these settings, would go about a statement of ours with these values.
async fn plan_of(app: &TestApp, settings: &str, text: &str, name: &str, values: &[&str]) -> String {
    let (_, rest) = text.split_once(&format!("-- {name}\n")).expect("the statement has its name");
    let (statement, _) = rest.split_once("\"#").expect("the statement ends");
    let explain = values.iter().enumerate().rev().fold(format!("EXPLAIN {statement}"), |text, (n, value)| {
        text.replace(&format!("${}", n + 1), &format!("({value})"))
    });
    let mut tx = app.pool.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings.to_owned())).execute(&mut *tx).await.expect("they can be set");
    let rows: Vec<(String,)> =
        sqlx::query_as(sqlx::AssertSqlSafe(explain)).fetch_all(&mut *tx).await.expect("it is explained");
    rows.into_iter().map(|(line,)| line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn g10_the_quarantine_is_listed_in_pages_without_its_bytes() {
    let mut app = TestApp::start().await;
    for id in ["A-1", "A-2"] {
        app.stores(&json!({ "id": id, "version": "new", "customer": "Jane Miller" })).await;
    }
    let api = Api::start(&app).await;

    let (_, first) = api.get("quarantine?limit=1&source=main").await;
    let (_, second) = api.get(&format!("quarantine?limit=1&after={}", first["next"])).await;

    let ids = [&first["quarantine"][0]["order_id"], &second["quarantine"][0]["order_id"]];
    assert_eq!(ids, [&json!("A-2"), &json!("A-1")]);
    assert!(!format!("{first}{second}").contains("Miller"));
}

#[tokio::test]
async fn a_list_that_is_not_understood_is_refused() {
    let app = TestApp::start().await;
    let api = Api::start(&app).await;

    for path in [
        "deliveries?limit=0",
        "deliveries?limit=1001",
        "deliveries?limit=many",
        "deliveries?state=lost",
        "deliveries?sink=NO",
        "deliveries?after=here",
        "deliveries?order=A-1",
        "deliveries?reason=%00",
        "quarantine?after=x",
        "quarantine?limit=0",
        "quarantine?id=1",
    ] {
        let (status, answer) = api.get(path).await;
        assert_eq!((status, answer["error"]["code"].as_str()), (400, Some("bad_request")), "{path}");
    }
    assert_eq!(api.get("deliveries?sink=nowhere").await.0, 404);
    assert_eq!(api.get("quarantine?source=nowhere").await.0, 404);
}

#[tokio::test]
async fn what_was_declined_is_cancelled_only_where_orders_are_held_that_were_not_sent() {
    let mut app = TestApp::start().await;
    let api = Api::start(&app).await;
    app.arrives(&order("A-1", 1, "rejected")).await;

    let cancel = |orders: &[&str]| json!({"sink": "hook", "orders": orders, "yes": true});

    assert_eq!(
        api.refusal("deliveries/cancel", &cancel(&["A-1"])).await,
        (StatusCode::CONFLICT.as_u16(), "holds_no_others".to_owned())
    );
    assert_eq!(api.refusal("deliveries/cancel", &cancel(&[])).await.0, StatusCode::BAD_REQUEST.as_u16());
    assert_eq!(standing(&app, "A-1").await, stands("skipped", Some("never_accepted")));
    assert_eq!(actions(&app).await, 0);
}

// Books

#[tokio::test]
async fn the_books_are_read_without_the_orders_that_are_right() {
    let mut app = TestApp::setup().with_till(TillOptions::default()).start().await;
    for id in ["71", "72"] {
        app.arrives(&order(id, 1, "accepted")).await;
    }
    let api = Api::start(&app).await;
    let (status, answer) = api.get("reconcile").await;
    assert_eq!((status, &answer["explained"], &answer["sinks"][0]["n_open"]), (200, &json!(true), &json!(0)));

    change_receipt(&app, "72", &["money", "posted_minor"], 1).await;
    let answer = api.get("reconcile?sink=till&by=vendor&time_zone=Europe/London").await.1;

    let books = &answer["sinks"][0];
    assert_eq!((&answer["explained"], &books["n_open"]), (&json!(false), &json!(1)));
    assert_eq!((&books["open"][0]["order_id"], &books["open"][0]["difference_minor"]), (&json!("72"), &json!(1)));
    assert_eq!((&books["rows"][0]["orders"], &books["rows"][0]["posted_minor"]), (&json!(2), &json!(2501)));
    for (path, status, code) in [
        ("reconcile?by=order", 400, "bad_request"),
        ("reconcile?time_zone=London", 400, "bad_request"),
        ("reconcile?sink=hook", 409, "no_money"),
        ("reconcile?sink=nobody", 404, "unknown_sink"),
    ] {
        let refused = api.get(path).await;
        assert_eq!((refused.0, refused.1["error"]["code"].as_str()), (status, Some(code)), "{path}");
    }
}

#[tokio::test]
async fn links_are_set_locked_and_broken_and_who_did_it_is_kept_without_a_customers_address() {
    let app = TestApp::start().await;
    let api = Api::start(&app).await;
    let link =
        json!({"sink": "hook", "kind": "customer", "key": "ines@example.org", "remote_id": "there-1", "who": "ada"});

    let (status, answer) = api.post("links/set", &link).await;
    assert_eq!((status, answer["done"].as_str()), (200, Some("linked")));
    let which = json!({"sink": "hook", "kind": "customer", "key": "ines@example.org", "why": "somebody else"});
    assert_eq!(api.post("links/unlock", &which).await.1["done"], "unlocked");
    assert_eq!(api.post("links/lock", &which).await.1["done"], "locked");
    assert_eq!(api.post("links/break", &which).await.1["done"], "broken");

    let (_, listed) = api.get("links?problems=true").await;
    assert_eq!(listed["links"][0]["problem"], "broken");
    let kept: Vec<(String, String, Option<String>, String)> =
        sqlx::query_as("SELECT action, who, why, detail::text FROM operator_actions ORDER BY id")
            .fetch_all(&app.pool)
            .await
            .unwrap();
    let actions: Vec<&str> = kept.iter().map(|(action, ..)| action.as_str()).collect();
    assert_eq!(actions, ["link_set", "link_unlock", "link_lock", "link_break"]);
    assert_eq!((kept[0].1.as_str(), kept[3].2.as_deref()), ("ada", Some("somebody else")));
    assert!(kept.iter().all(|(.., detail)| !detail.contains("ines")), "{kept:?}");
}

#[tokio::test]
async fn a_link_that_cannot_be_changed_is_refused_and_nothing_is_done() {
    let app = TestApp::start().await;
    let api = Api::start(&app).await;
    let of =
        |key: &str, remote_id: &str| json!({"sink": "hook", "kind": "customer", "key": key, "remote_id": remote_id});
    api.post("links/set", &of("C-1", "there-1")).await;
    let before = actions(&app).await;

    let taken = api.post("links/set", &of("C-2", "there-1")).await;
    let unknown = api.post("links/break", &json!({"sink": "hook", "kind": "product", "key": "lamb"})).await;
    let nowhere =
        api.post("links/set", &json!({"sink": "none", "kind": "product", "key": "a", "remote_id": "b"})).await;
    let of_no_kind = api.post("links/lock", &json!({"sink": "hook", "kind": "stock", "key": "a"})).await;
    let empty = api.post("links/set", &of(" ", "there-2")).await;

    let code =
        |(status, answer): (u16, Value)| (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned());
    assert_eq!(code(taken), (409, "link_taken".to_owned()));
    assert_eq!(code(unknown), (404, "unknown_link".to_owned()));
    assert_eq!(code(nowhere), (404, "unknown_sink".to_owned()));
    assert_eq!([code(of_no_kind), code(empty)].map(|(status, _)| status), [400, 400]);
    assert_eq!(actions(&app).await, before);
}

#[tokio::test]
async fn a_sink_without_a_catalogue_has_nothing_to_look_at_or_to_read() {
    let app = TestApp::start().await;
    let api = Api::start(&app).await;

    let (status, answer) = api.post("sync", &json!({"sink": "hook", "kind": "product", "key": "lamb"})).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (409, Some("no_catalogue")));
    let (status, answer) = api.post("bootstrap", &json!({"sink": "hook", "yes": true})).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (409, Some("no_catalogue")));
    let (status, answer) = api.get("budget?sink=hook").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (409, Some("no_catalogue")));
    let (status, answer) = api.get("budget?sink=nowhere").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (404, Some("unknown_sink")));

    assert_eq!(api.get("catalogue").await, (200, json!({"catalogue": []})));
    assert_eq!(actions(&app).await, 0);
}
