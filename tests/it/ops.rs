//! How the state is read: health and orders over HTTP and by command, and what `doctor` finds.
//!
//! G7 (explainable) and G10 (discreet) as far as reading goes: each answer is searched for what a customer's payload,
//! a stored step and a quarantined order hold.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode};
use scoffable_sync::{
    cli::{self, config::Form},
    clock::Clock,
    config::{self, LoadOptions},
    domain::ids::SourceName,
    http,
    ops::{OpsState, Present, health::Limits, serve},
    simulator::{
        scoffable::{ScoffableOptions, ScoffableSim},
        webhook::{WebhookOptions, WebhookSim},
        world::World,
    },
    telemetry::metrics::Metrics,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    mail::{MailServer, Protection, ca_file},
    postgres::{TestDatabase, empty_database, fresh_database},
};

/// What no answer may hold.
const PERSONAL: [&str; 4] = ["Miller", "Rose Lane", "7946 0958", "jane@"];

fn payload(version: i64, status: &str, total: i64, naan: i64) -> String {
    json!({
        "id": "A-1", "version": version, "status": status, "latestVersion": true, "type": "delivery",
        "customer": { "name": "Jane Miller", "phone": "+44 20 7946 0958", "email": "jane@example.org" },
        "deliveryAddress": { "line1": "12 Rose Lane" },
        "total": { "amount": total, "currency": "GBP" },
        "items": [
            { "id": "1", "name": "Lamb Jalfrezi", "type": "product", "quantity": 1, "price": { "amount": 1050, "currency": "GBP" } },
            { "id": "2", "name": "Naan", "type": "product", "quantityOrdered": 2, "quantityFulfilled": naan,
              "price": { "amount": 250, "currency": "GBP" } },
        ],
    })
    .to_string()
}

/// A source, two sinks and three orders, at fixed times: A-1 applied in one sink and in doubt in the other, B-2 parked,
/// C-3 only in quarantine.
async fn populate(pool: &PgPool) {
    let step = json!({ "name": "submit", "key": "k-1", "body": "{\"name\":\"Jane Miller\"}" });
    let statements = [
        "INSERT INTO sources (name, kind, account, cursor, cursor_at, caught_up_at, last_poll_at, last_success_at,
                              next_poll_at, versions)
         VALUES ('main', 'scoffable', 'main', 'a-cursor', now(), now(), now(), now(), now() + interval '5 minutes', 4)",
        "INSERT INTO sinks (name, kind) VALUES ('books', 'webhook'), ('hook', 'webhook')",
        "INSERT INTO orders (source, order_id, version, status, vendor_id, order_type, placed_at, total_minor, currency)
         VALUES ('main', 'A-1', 3, 'cancelled', 'vendor-a', 'delivery', '2026-03-01T11:59:00Z', 1300, 'GBP'),
                ('main', 'B-2', 1, 'accepted', NULL, NULL, NULL, 500, 'GBP')",
        "INSERT INTO attempts (sink, source, order_id, version, attempt, step, started_at, finished_at, outcome, http_status,
                               reason, response_excerpt)
         VALUES ('hook', 'main', 'A-1', 1, 1, NULL, '2026-03-01T12:00:01Z', '2026-03-01T12:00:01Z', 'skipped', NULL,
                 'never_accepted', NULL),
                ('hook', 'main', 'A-1', 2, 1, 'post', '2026-03-01T12:05:01Z', '2026-03-01T12:05:01.250Z', 'retry', 503,
                 'server_error', 'busy'),
                ('hook', 'main', 'A-1', 3, 1, 'post', '2026-03-01T12:20:01Z', '2026-03-01T12:20:01.040Z', 'delivered', 200,
                 NULL, NULL)",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, applied_version, sent_version, attempts,
                                 external_id, updated_at)
         VALUES ('hook', 'main', 'A-1', 'applied', 3, 3, 3, 1, 'ext-9', '2026-03-01T12:20:02Z')",
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, attempts, reason, hint, last_error, updated_at)
         VALUES ('hook', 'main', 'B-2', 'parked', 1, 9, 'unprocessable', 'correct the order, then retry', 'status 422',
                 '2026-03-01T13:00:00Z')",
        "INSERT INTO quarantine (source, order_id, version, raw, raw_hash, reason, detail, received_at)
         VALUES ('main', 'A-1', 4, 'Jane Miller, 12 Rose Lane', 'h1', 'amount_not_whole', 'total is not whole', '2026-03-01T12:30:00Z'),
                ('main', 'C-3', NULL, 'Jane Miller', 'h2', 'not_json', NULL, '2026-03-01T12:31:00Z')",
        "INSERT INTO alerts (cause, subject, detail) VALUES ('dead_letter', 'hook', 'a delivery waits for a person')",
    ];
    for statement in statements {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    sqlx::query(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, sent_version, attempts, hint, pending_step,
                                 first_failed_at, last_error, updated_at)
         VALUES ('books', 'main', 'A-1', 'in_doubt', 3, 2, 2, 'look there whether it stands', $1, '2026-03-01T12:06:00Z',
                 'timeout', '2026-03-01T12:21:00Z')",
    )
    .bind(step)
    .execute(pool)
    .await
    .unwrap();
    let versions = [
        (1, "placed", 1550, 2, "12:00:00"),
        (2, "accepted", 1550, 2, "12:25:00"), // late: after the third
        (3, "cancelled", 1300, 1, "12:20:00"),
    ];
    for (version, status, total, naan, time) in versions {
        let payload = payload(version, status, total, naan);
        let received: DateTime<Utc> = format!("2026-03-01T{time}Z").parse().unwrap();
        sqlx::query(
            "INSERT INTO order_versions (source, order_id, version, status, vendor_id, order_type, placed_at, total_minor,
                                         currency, content_hash, verdict, breakdown, payload, castable, received_at)
             VALUES ('main', 'A-1', $1, $2, 'vendor-a', 'delivery', '2026-03-01T11:59:00Z', $3, 'GBP', $4, 'balanced', '{}',
                     $5, true, $6)",
        )
        .bind(version)
        .bind(status)
        .bind(total)
        .bind(format!("hash of {version}").into_bytes())
        .bind(payload)
        .bind(received)
        .execute(pool)
        .await
        .unwrap();
    }
}

fn limits() -> Limits {
    Limits { lag: [("main".to_owned(), Duration::from_mins(30))].into() }
}

struct Ops {
    address: SocketAddr,
    http: reqwest::Client,
    _stop: tokio_util::sync::DropGuard,
}

impl Ops {
    async fn on(listen: &str, pool: &PgPool, change: impl FnOnce(&mut OpsState)) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let mut state = OpsState {
            pool: pool.clone(),
            clock: Clock::default(),
            present: Arc::new(ArcSwap::from_pointee(Present::default())),
            metrics: Arc::new(Metrics::default()),
            limits: limits(),
            version: "1.2.3",
            started_at: "2026-03-01T10:00:00Z".parse().unwrap(),
            alive: Arc::new(|| true),
            admin_token: None,
        };
        change(&mut state);
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, state, stop.clone()));
        let http = http::client_builder().no_proxy().build().unwrap();
        Self { address, http, _stop: stop.drop_guard() }
    }

    async fn start(pool: &PgPool) -> Self {
        Self::on("127.0.0.1:0", pool, |_| {}).await
    }

    async fn ask(&self, method: Method, path: &str) -> reqwest::Response {
        self.http.request(method, format!("http://{}{path}", self.address)).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.ask(Method::GET, path).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON at {path}: {text}")))
    }

    /// The status line of a request written by hand.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap_or_default().to_owned()
    }
}

async fn populated() -> (TestDatabase, PgPool) {
    let database = fresh_database().await;
    let pool = database.pool().await;
    populate(&pool).await;
    (database, pool)
}

fn codes(reasons: &Value) -> Vec<&str> {
    reasons.as_array().unwrap().iter().map(|reason| reason["cause"].as_str().unwrap()).collect()
}

/// A pool that leads nowhere.
fn no_database() -> PgPool {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = PgPoolOptions::new().acquire_timeout(Duration::from_millis(50));
    options.connect_lazy(&format!("postgres://nobody@127.0.0.1:{port}/none")).unwrap()
}

#[tokio::test]
async fn the_status_tells_sources_sinks_queue_dead_letters_and_alerts_with_a_verdict() {
    let (_database, pool) = populated().await;
    sqlx::query(
        "INSERT INTO deliveries (sink, source, order_id, state, wanted_version, next_attempt_at, waiting_for)
         VALUES ('hook', 'main', 'D-4', 'pending', 1, now() + interval '1 hour', 'retry'),
                ('hook', 'main', 'E-5', 'pending', 1, now() - interval '1 minute', NULL)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let ops = Ops::start(&pool).await;

    let (status, answer) = ops.get("/api/v1/status").await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["status"], "degraded");
    assert_eq!(answer["version"], "1.2.3");
    assert_eq!(codes(&answer["reasons"]), ["quarantined", "in_doubt", "dead_letters"]);
    assert_eq!(answer["sources"][0]["source"], "main");
    assert_eq!(answer["sources"][0]["quarantined"], 2);
    let hook = &answer["sinks"][1];
    assert_eq!((&hook["sink"], &hook["pending"], &hook["parked"]), (&json!("hook"), &json!(2), &json!(1)));
    assert_eq!(hook["waiting_for"], json!({ "due": 1, "retry": 1 }));
    assert!((60..120).contains(&hook["oldest_due_seconds"].as_i64().unwrap()), "{hook}");
    assert_eq!(answer["sinks"][0]["in_doubt"], 1);
    let queue: Vec<_> = answer["queue"].as_array().unwrap().iter().map(|d| d["order_id"].as_str().unwrap()).collect();
    assert_eq!(queue, ["E-5", "D-4"]);
    let letters: Vec<_> =
        answer["dead_letters"].as_array().unwrap().iter().map(|d| d["order_id"].as_str().unwrap()).collect();
    assert_eq!(letters, ["B-2", "A-1"]);
    assert_eq!(answer["dead_letters"][0]["hint"], "correct the order, then retry");
    assert_eq!(answer["alerts"][0]["cause"], "dead_letter");
}

#[tokio::test]
async fn g7_an_order_is_told_as_one_timeline() {
    let (_database, pool) = populated().await;
    let ops = Ops::start(&pool).await;

    let (status, answer) = ops.get("/api/v1/orders/A-1").await;

    assert_eq!(status, StatusCode::OK);
    let order = &answer["orders"][0];
    assert_eq!((&order["source"], &order["order_id"]), (&json!("main"), &json!("A-1")));
    assert_eq!(order["versions"].as_array().unwrap().len(), 3);
    assert_eq!(order["versions"][0]["content_hash"], "68617368206f662031");
    assert_eq!(order["deliveries"][0]["pending_step"], "submit");
    let events: Vec<_> = order["timeline"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    let expected = ["version", "decision", "attempt", "version", "attempt", "state", "state", "version", "quarantined"];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn an_order_that_was_never_readable_is_known_by_its_quarantine() {
    let (_database, pool) = populated().await;
    let ops = Ops::start(&pool).await;

    let (status, answer) = ops.get("/api/v1/orders/C-3").await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["orders"][0]["quarantine"][0]["reason"], "not_json");
    assert_eq!(answer["orders"][0]["versions"], json!([]));
}

#[tokio::test]
async fn an_id_of_several_sources_is_told_of_each_or_of_the_named_one() {
    let (_database, pool) = populated().await;
    sqlx::query("INSERT INTO sources (name, kind, account) VALUES ('other', 'scoffable', 'other')")
        .execute(&pool)
        .await
        .unwrap();
    sqlx::query("INSERT INTO orders (source, order_id, version, status) VALUES ('other', 'A-1', 7, 'placed')")
        .execute(&pool)
        .await
        .unwrap();
    let ops = Ops::start(&pool).await;

    let sources = |answer: &Value| {
        let orders = answer["orders"].as_array().unwrap();
        orders.iter().map(|order| order["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sources(&ops.get("/api/v1/orders/A-1").await.1), ["main", "other"]);
    assert_eq!(sources(&ops.get("/api/v1/orders/A-1?source=other").await.1), ["other"]);
    assert_eq!(ops.get("/api/v1/orders/B-2?source=other").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_refused_as_json() {
    let (_database, pool) = populated().await;
    let ops = Ops::start(&pool).await;
    let refused = async |method: Method, path: &str| {
        let response = ops.ask(method, path).await;
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        (status, answer["error"]["code"].as_str().unwrap().to_owned())
    };

    assert_eq!(refused(Method::GET, "/nowhere").await, (404, "not_found".into()));
    assert_eq!(refused(Method::GET, "/api/v1/orders/none").await, (404, "order_not_found".into()));
    assert_eq!(refused(Method::GET, "/api/v1/orders/%00").await, (404, "order_not_found".into()));
    assert_eq!(refused(Method::GET, "/api/v1/orders/%FF").await, (400, "bad_request".into()));
    assert_eq!(refused(Method::GET, "/api/v1/orders/A-1?source=NO").await, (400, "bad_request".into()));
    let long = format!("/api/v1/orders/{}", "x".repeat(3000));
    assert_eq!(refused(Method::GET, &long).await, (414, "uri_too_long".into()));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        for path in ["/livez", "/readyz", "/metrics", "/api/v1/status", "/api/v1/orders/A-1"] {
            assert_eq!(refused(method.clone(), path).await, (405, "method_not_allowed".into()), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn requests_that_are_too_large_or_name_another_host_are_refused() {
    let (_database, pool) = populated().await;
    let ops = Ops::start(&pool).await;
    let get = |headers: &str| format!("GET /api/v1/status HTTP/1.1\r\n{headers}connection: close\r\n\r\n");

    assert!(ops.raw(&get("host: localhost:1234\r\n")).await.contains("200"));
    assert!(ops.raw(&get("host: evil.example\r\n")).await.contains("403"));
    assert!(ops.raw(&get("")).await.contains("403"));
    let large = format!("host: localhost\r\nx-large: {}\r\n", "x".repeat(17 * 1024));
    assert!(ops.raw(&get(&large)).await.contains("431"));
    assert!(ops.raw(&get("host: localhost\r\ncontent-length: 5\r\n")).await.contains("413"));
}

#[tokio::test]
async fn no_answer_is_kept_guessed_at_or_shared_with_another_origin() {
    let (_database, pool) = populated().await;
    let ops = Ops::start(&pool).await;

    for path in ["/livez", "/metrics", "/api/v1/status", "/nowhere"] {
        let response = ops.ask(Method::GET, path).await;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn g10_no_answer_holds_personal_data() {
    let (_database, pool) = populated().await;
    let ops = Ops::start(&pool).await;
    let mut answers = Vec::new();
    for path in
        ["/livez", "/readyz", "/metrics", "/api/v1/status", "/api/v1/orders/A-1", "/api/v1/orders/C-3", "/nowhere"]
    {
        answers.push(ops.ask(Method::GET, path).await.text().await.unwrap());
    }
    for form in [Form::Text, Form::Json] {
        let mut out = Vec::new();
        cli::status::run(&pool, &limits(), form, &mut out).await.unwrap();
        cli::order::run(&pool, "A-1", None, form, &mut out).await.unwrap();
        answers.push(String::from_utf8(out).unwrap());
    }

    assert!(answers.iter().any(|answer| answer.contains("Naan")), "the changes of an order are told");
    for answer in answers {
        for personal in PERSONAL {
            assert!(!answer.contains(personal), "{personal} in {answer}");
        }
    }
}

#[tokio::test]
async fn a_process_is_ready_though_single_orders_wait_for_a_person() {
    let (_database, pool) = populated().await;
    let ops = Ops::start(&pool).await;

    assert_eq!(ops.get("/readyz").await, (StatusCode::OK, json!({ "status": "ready", "reasons": [] })));
}

#[tokio::test]
async fn a_destination_that_accepts_nothing_makes_the_process_unready() {
    let (_database, pool) = populated().await;
    sqlx::query("UPDATE sinks SET state = 'blocked', reason = 'unauthorized', hint = 'renew it' WHERE name = 'hook'")
        .execute(&pool)
        .await
        .unwrap();
    let ops = Ops::start(&pool).await;

    let (status, answer) = ops.get("/readyz").await;

    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(codes(&answer["reasons"]), ["sink_blocked"]);
    assert_eq!(answer["reasons"][0]["hint"], "renew it");
}

#[tokio::test]
async fn without_a_database_the_process_lives_is_not_ready_and_still_tells_its_own_metrics() {
    let ops = Ops::start(&no_database()).await;

    assert_eq!(ops.get("/livez").await.0, StatusCode::OK);
    let (status, answer) = ops.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(codes(&answer["reasons"]), ["database_unavailable"]);
    let (status, answer) = ops.get("/api/v1/status").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("database_unavailable")));
    let metrics = ops.ask(Method::GET, "/metrics").await;
    assert_eq!(metrics.status(), StatusCode::OK);
    assert!(metrics.text().await.unwrap().contains("scoffable_sync_database_up 0"));
}

#[tokio::test]
async fn a_database_that_was_not_migrated_is_no_place_to_work() {
    let pool = empty_database().await.pool().await;
    let ops = Ops::start(&pool).await;

    let (status, answer) = ops.get("/readyz").await;

    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(codes(&answer["reasons"]), ["migrations_pending"]);
}

#[tokio::test]
async fn a_process_that_does_not_turn_is_not_alive() {
    let pool = no_database();
    let ops = Ops::on("127.0.0.1:0", &pool, |state| state.alive = Arc::new(|| false)).await;

    assert_eq!(ops.get("/livez").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(cli::status::live(ops.address).await, 1);
    let turning = Ops::start(&pool).await;
    assert_eq!(cli::status::live(turning.address).await, 0);
    assert_eq!(cli::status::live(SocketAddr::from(([0, 0, 0, 0], turning.address.port()))).await, 0);
}

#[tokio::test]
async fn beyond_loopback_only_probes_are_answered_without_the_token() {
    let (_database, pool) = populated().await;
    let ops = Ops::on("0.0.0.0:0", &pool, |state| state.admin_token = Some("the-admin-token".into())).await;
    let with = async |path: &str, authorization: &str| {
        let url = format!("http://{}{path}", ops.address);
        ops.http.get(url).header("authorization", authorization).send().await.unwrap()
    };

    assert_eq!(ops.get("/livez").await.0, StatusCode::OK);
    assert_eq!(ops.get("/readyz").await, (StatusCode::OK, json!({ "status": "ready" })));
    for path in ["/metrics", "/api/v1/status", "/api/v1/orders/A-1", "/nowhere"] {
        assert_eq!(ops.get(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(with(path, "Bearer the-admin-toke").await.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(with(path, "Basic the-admin-token").await.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_ne!(with(path, "Bearer the-admin-token").await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let ready: Value = with("/readyz", "bearer the-admin-token").await.json().await.unwrap();
    assert_eq!(ready["reasons"], json!([]));
}

#[tokio::test]
async fn beyond_loopback_without_a_token_nobody_reads() {
    let (_database, pool) = populated().await;
    let ops = Ops::on("0.0.0.0:0", &pool, |_| {}).await;

    let url = format!("http://{}/api/v1/status", ops.address);
    let answer = ops.http.get(url).header("authorization", "Bearer ").send().await.unwrap();

    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn metrics_hold_the_processes_own_numbers_and_gauges_of_the_database() {
    let (_database, pool) = populated().await;
    let metrics = Arc::new(Metrics::default());
    metrics.polled(&SourceName::parse("main").unwrap(), "caught_up");
    let ops = Ops::on("127.0.0.1:0", &pool, |state| state.metrics = metrics).await;

    let response = ops.ask(Method::GET, "/metrics").await;

    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    for line in [
        "scoffable_sync_source_polls_total{source=\"main\",code=\"caught_up\"} 1",
        "scoffable_sync_build_info{version=\"1.2.3\"} 1",
        "scoffable_sync_database_up 1",
        "scoffable_sync_source_quarantined_open{source=\"main\"} 2",
        "scoffable_sync_source_state{source=\"main\",state=\"active\"} 1",
        "scoffable_sync_source_state{source=\"main\",state=\"parked\"} 0",
        "scoffable_sync_sink_deliveries{sink=\"hook\",state=\"parked\"} 1",
        "scoffable_sync_sink_deliveries{sink=\"books\",state=\"in_doubt\"} 1",
        "scoffable_sync_sink_oldest_due_seconds{sink=\"hook\"} 0",
        "scoffable_sync_sink_breaker{sink=\"hook\",state=\"closed\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("scoffable_sync_source_lag_seconds{source=\"main\"}"));
    assert_eq!(text.matches("# EOF").count(), 1, "one document");
    assert!(text.ends_with("# EOF\n"));
    let types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let distinct: std::collections::BTreeSet<_> = types.iter().collect();
    assert_eq!(types.len(), distinct.len(), "each metric is described once");
}

async fn written<E: std::fmt::Debug>(act: impl AsyncFnOnce(&mut Vec<u8>) -> Result<u8, E>) -> (u8, String) {
    let mut out = Vec::new();
    let code = act(&mut out).await.unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn status_exits_with_1_and_reasons_when_degraded() {
    let (_database, pool) = populated().await;

    let (code, text) = written(async |out| cli::status::run(&pool, &limits(), Form::Text, out).await).await;

    assert_eq!(code, 1);
    assert!(text.starts_with("degraded\n"), "{text}");
    for told in ["hook (dead_letters): 1 delivery parked", "sources (1)", "sinks (2)", "main/B-2", "correct the order"]
    {
        assert!(text.contains(told), "{told} is missing in\n{text}");
    }
    let (code, text) = written(async |out| cli::status::run(&pool, &limits(), Form::Json, out).await).await;
    assert_eq!((code, serde_json::from_str::<Value>(&text).unwrap()["status"].clone()), (1, json!("degraded")));
}

#[tokio::test]
async fn status_of_a_service_without_trouble_exits_with_0() {
    let pool = fresh_database().await.pool().await;

    let (code, text) = written(async |out| cli::status::run(&pool, &limits(), Form::Text, out).await).await;

    assert_eq!(code, 0);
    assert!(text.starts_with("fine\n"), "{text}");
}

#[tokio::test]
async fn g7_the_order_command_tells_the_story() {
    let (_database, pool) = populated().await;

    let (code, text) = written(async |out| cli::order::run(&pool, "A-1", None, Form::Text, out).await).await;

    assert_eq!(code, 0);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn an_order_nobody_knows_exits_with_1() {
    let (_database, pool) = populated().await;
    let main = SourceName::parse("main").unwrap();

    let (code, text) = written(async |out| cli::order::run(&pool, "Z-9", Some(&main), Form::Text, out).await).await;
    assert_eq!((code, text.as_str()), (1, "no order Z-9 in source main\n"));
    let (code, text) = written(async |out| cli::order::run(&pool, "Z-9", None, Form::Json, out).await).await;
    assert_eq!((code, serde_json::from_str::<Value>(&text).unwrap()["orders"].clone()), (1, json!([])));
}

/// What `doctor` finds with these settings on top of a world that is well: by subject, level and text.
async fn doctor(changes: &[(&str, &str)]) -> (u8, Vec<(String, String, String)>) {
    let database = fresh_database().await;
    let scoffable = ScoffableSim::start(&World::empty(), ScoffableOptions::default()).await.unwrap();
    let webhook = WebhookSim::start(WebhookOptions::default()).await.unwrap();
    let found = examine(&database, &scoffable, &webhook, changes).await;
    assert_eq!(webhook.journal().total(), 0, "a receiver is never sent a request");
    found
}

async fn examine(
    database: &TestDatabase,
    scoffable: &ScoffableSim,
    webhook: &WebhookSim,
    changes: &[(&str, &str)],
) -> (u8, Vec<(String, String, String)>) {
    let secret = WebhookOptions::default().secret;
    let (base_url, hook) = (scoffable.base_url(), webhook.url());
    let usual = [
        ("database.url", database.url.expose_secret()),
        ("http.listen", "127.0.0.1:0"),
        ("sources.main.kind", "scoffable"),
        ("sources.main.base_url", &base_url),
        ("sources.main.token", "sim-token"),
        ("sinks.hook.kind", "webhook"),
        ("sinks.hook.url", &hook),
        ("sinks.hook.signing_secret", &secret),
    ];
    let overrides = usual.iter().chain(changes).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let report = config::check(&LoadOptions { overrides, ..LoadOptions::default() }).unwrap();
    let settings = report.settings.as_ref().unwrap_or_else(|| panic!("{report}"));
    let warnings = &report.found.warnings;

    let (code, json) = written(async |out| cli::doctor::run(settings, warnings, Form::Json, out).await).await;

    let (same, text) = written(async |out| cli::doctor::run(settings, warnings, Form::Text, out).await).await;
    assert_eq!(code, same);
    let answer: Value = serde_json::from_str(&json).unwrap();
    let findings: Vec<_> = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            let part = |name: &str| finding[name].as_str().unwrap().to_owned();
            if finding["level"] != "ok" {
                assert!(!part("to_do").is_empty(), "what to do about {finding}");
            }
            assert!(text.contains(&part("subject")), "{finding} is missing in\n{text}");
            (part("subject"), part("level"), part("found"))
        })
        .collect();
    for secret in ["sim-token", "wrong-token", WebhookOptions::default().secret.as_str()] {
        assert!(!json.contains(secret) && !text.contains(secret), "a secret in\n{text}");
    }
    (code, findings)
}

fn of<'a>(findings: &'a [(String, String, String)], subject: &str) -> (&'a str, &'a str) {
    let found = findings.iter().find(|(about, _, _)| about == subject);
    let (_, level, found) = found.unwrap_or_else(|| panic!("nothing about {subject} in {findings:?}"));
    (level, found)
}

#[tokio::test]
async fn doctor_finds_nothing_wrong_where_nothing_is() {
    let (code, findings) = doctor(&[]).await;

    assert_eq!(code, 0, "{findings:?}");
    for subject in ["database", "database schema", "sources.main", "sinks.hook", "http.listen"] {
        assert_eq!(of(&findings, subject).0, "ok", "{findings:?}");
    }
}

#[tokio::test]
async fn doctor_asks_a_stream_once_for_one_version_at_its_position_and_moves_nothing() {
    let database = fresh_database().await;
    let pool = database.pool().await;
    populate(&pool).await;
    let scoffable = ScoffableSim::start(&World::empty(), ScoffableOptions::default()).await.unwrap();
    let webhook = WebhookSim::start(WebhookOptions::default()).await.unwrap();

    examine(&database, &scoffable, &webhook, &[]).await;

    // Twice: as text and as JSON.
    let queries: Vec<_> = scoffable.journal().entries().into_iter().map(|entry| entry.query).collect();
    assert_eq!(queries, ["pageSize=1&pageId=a-cursor"; 2]);
    let row: (String, i64) = sqlx::query_as("SELECT cursor, lease_epoch FROM sources").fetch_one(&pool).await.unwrap();
    assert_eq!(row, ("a-cursor".to_owned(), 0));
    let used: i64 =
        sqlx::query_scalar("SELECT used FROM call_budgets WHERE scope = 'source:main'").fetch_one(&pool).await.unwrap();
    assert_eq!(used, 2, "its requests count");
}

#[tokio::test]
async fn doctor_leaves_a_used_up_limit_alone() {
    let database = fresh_database().await;
    sqlx::query("INSERT INTO sources (name, kind, account) VALUES ('main', 'scoffable', 'main')")
        .execute(&database.pool().await)
        .await
        .unwrap();
    let scoffable = ScoffableSim::start(&World::empty(), ScoffableOptions::default()).await.unwrap();
    let webhook = WebhookSim::start(WebhookOptions::default()).await.unwrap();

    let once = [("sources.main.requests_per_minute", "1")];
    let (code, _) = examine(&database, &scoffable, &webhook, &once).await;
    let (_, again) = examine(&database, &scoffable, &webhook, &once).await;

    assert_eq!(code, 0);
    assert_eq!(of(&again, "sources.main").0, "note");
    assert_eq!(scoffable.journal().total(), 1, "the limit is never exceeded");
}

#[tokio::test]
async fn doctor_tells_a_refused_token() {
    let (code, findings) = doctor(&[("sources.main.token", "wrong-token")]).await;

    assert_eq!(code, 1);
    let (level, found) = of(&findings, "sources.main");
    assert!(level == "problem" && found.contains("credentials"), "{findings:?}");
}

#[tokio::test]
async fn doctor_tells_a_receiver_that_is_not_there_or_speaks_no_tls() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (code, findings) = doctor(&[("sinks.hook.url", &format!("http://127.0.0.1:{port}/orders"))]).await;
    assert_eq!((code, of(&findings, "sinks.hook").0), (1, "problem"));
    assert!(of(&findings, "sinks.hook").1.contains("cannot be reached"), "{findings:?}");

    let plain = WebhookSim::start(WebhookOptions::default()).await.unwrap();
    let url = plain.url().replace("http://", "https://");
    let (code, findings) = doctor(&[("sinks.hook.url", &url)]).await;
    assert_eq!((code, of(&findings, "sinks.hook").0), (1, "problem"));
    assert!(of(&findings, "sinks.hook").1.contains("TLS"), "{findings:?}");
}

#[tokio::test]
async fn doctor_logs_in_at_the_mail_server_and_connects_to_whatever_else_tells_people() {
    let mail = MailServer::start(Protection::StartTls, Some(("sync", "hunter2"))).await;
    let (hook, collector) = (
        WebhookSim::start(WebhookOptions::default()).await.unwrap(),
        WebhookSim::start(WebhookOptions::default()).await.unwrap(),
    );
    let (ca, port) = (ca_file(), mail.port.to_string());
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (endpoint, url, nobody) = (collector.url(), hook.url(), format!("http://{nowhere}/ping/a-secret-path"));
    let usual = [
        ("alerts.email.host", "127.0.0.1"),
        ("alerts.email.port", &port),
        ("alerts.email.ca_file", ca.to_str().unwrap()),
        ("alerts.email.username", "sync"),
        ("alerts.email.from", "sync@example.com"),
        ("alerts.email.to", "[\"ops@example.com\"]"),
        ("alerts.webhook.url", &url),
        ("traces.endpoint", &endpoint),
    ];
    let with = |more: [(&'static str, &'static str); 1]| usual.iter().copied().chain(more).collect::<Vec<_>>();

    let (code, findings) = doctor(&with([("alerts.email.password", "hunter2")])).await;
    assert_eq!(code, 0, "{findings:?}");
    for subject in ["alerts.email", "alerts.webhook", "traces"] {
        assert_eq!(of(&findings, subject).0, "ok", "{findings:?}");
    }
    assert_eq!(mail.taken(), []);
    assert_eq!((hook.journal().total(), collector.journal().total()), (0, 0));

    let (code, findings) = doctor(&with([("alerts.email.password", "hunter3")])).await;
    assert_eq!((code, of(&findings, "alerts.email").0), (1, "problem"));
    assert!(of(&findings, "alerts.email").1.contains("smtp_535"), "{findings:?}");
    let (code, findings) = doctor(&[("alerts.ping_url", &nobody)]).await;
    assert_eq!((code, of(&findings, "alerts.ping_url").0), (1, "problem"));
    assert!(!format!("{findings:?}").contains("a-secret-path"), "{findings:?}");
}

#[tokio::test]
async fn doctor_tells_a_taken_address_unless_the_service_itself_answers_there() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    drop(tokio::spawn(async move {
        // Accepts and hangs up.
        while taken.accept().await.is_ok() {}
    }));
    let (code, findings) = doctor(&[("http.listen", &address.to_string())]).await;
    assert_eq!((code, of(&findings, "http.listen").0), (1, "problem"));

    let ops = Ops::start(&no_database()).await;
    let (code, findings) = doctor(&[("http.listen", &ops.address.to_string())]).await;
    assert_eq!((code, of(&findings, "http.listen").0), (0, "ok"));
}

#[tokio::test]
async fn doctor_warns_of_a_secret_that_everybody_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "sim-token").unwrap();
    let token = format!("{{ file = {:?} }}", file.to_str().unwrap());
    let with_mode = async |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut config = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut config, format!("[sources.main]\ntoken = {token}\n").as_bytes()).unwrap();
        secret_findings(config.path()).await
    };

    let (level, found) = with_mode(0o644).await;
    assert!(level == "warning" && found.contains("any user"), "{found}");
    assert_eq!(with_mode(0o600).await.0, "ok");
}

/// What is found about the token of a source that stands in this file.
async fn secret_findings(config: &std::path::Path) -> (String, String) {
    let database = fresh_database().await;
    let scoffable = ScoffableSim::start(&World::empty(), ScoffableOptions::default()).await.unwrap();
    let overrides = [
        ("database.url", database.url.expose_secret()),
        ("http.listen", "off"),
        ("sources.main.kind", "scoffable"),
        ("sources.main.base_url", &scoffable.base_url()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let options = LoadOptions { file: Some(config.to_owned()), overrides: overrides.into(), ..LoadOptions::default() };
    let settings = config::load(&options).unwrap();
    let (_, json) = written(async |out| cli::doctor::run(&settings, &[], Form::Json, out).await).await;
    let answer: Value = serde_json::from_str(&json).unwrap();
    let finding = answer["findings"].as_array().unwrap().iter().find(|f| f["subject"] == "sources.main.token").unwrap();
    (finding["level"].as_str().unwrap().to_owned(), finding["found"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn doctor_goes_on_without_a_database_and_says_what_to_check() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://sync:hunter2@127.0.0.1:{port}/orders");

    let (code, findings) = doctor(&[("database.url", &url), ("database.connect_timeout", "1s")]).await;

    assert_eq!(code, 1);
    let (level, found) = of(&findings, "database.url");
    assert!(level == "problem" && found.contains(&port.to_string()) && !found.contains("hunter2"), "{findings:?}");
    assert_eq!(of(&findings, "sources.main").0, "ok", "the stream is asked all the same");
}

#[tokio::test]
async fn doctor_tells_pending_migrations_and_changes_nothing() {
    let database = empty_database().await;
    let url = database.url.expose_secret().to_owned();

    let (code, findings) = doctor(&[("database.url", &url)]).await;

    assert_eq!((code, of(&findings, "database schema").0), (0, "note"));
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        .fetch_one(&database.pool().await)
        .await
        .unwrap();
    assert_eq!(tables, 0);
}
