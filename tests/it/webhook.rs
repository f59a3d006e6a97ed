//! What a webhook's receiver is sent, to the byte, and what is kept of its answers.

use std::time::Duration;

use scoffable_sync::simulator::{
    faults::{Answer, answer, cut_after, status},
    webhook::WebhookOptions,
};
use serde_json::{Value, json};

use crate::harness::{
    app::{Setup, TestApp, order, order_of},
    recorder::{Recorded, Recorder},
};

async fn at_recorder() -> (Setup, Recorder) {
    let recorder = Recorder::start().await;
    (TestApp::setup().with("sinks.hook.url", &recorder.url()), recorder)
}

fn body(request: &Recorded) -> Value {
    serde_json::from_slice(&request.body).expect("the body is JSON")
}

/// An order with a customer, a fee, an option, a substitution and a voucher.
fn rich_order() -> Value {
    json!({
        "id": "A-1",
        "version": 7,
        "latestVersion": true,
        "vendorId": "vendor-a",
        "status": "accepted",
        "type": "delivery",
        "placedAt": "2026-03-01T12:05:00Z",
        "acceptedAt": 1_772_366_760_000_i64,
        "customer": {"name": "Zoë Quill", "notes": "ring \"twice\" \u{1F514}"},
        "deliveryFee": {"amount": 250, "currency": "GBP"},
        "serviceFee": {"amount": 50, "currency": "GBP"},
        "total": {"amount": 1550, "currency": "GBP"},
        "items": [
            {
                "id": "line-1", "name": "Crème brûlée", "type": "product",
                "quantityOrdered": 1, "quantityFulfilled": 0, "substitutionDetails": {"substitutedBy": ["line-2"]},
                "price": {"amount": 1250, "currency": "GBP"}, "total": {"amount": 0, "currency": "GBP"}
            },
            {
                "id": "line-2", "name": "Lemon tart", "type": "product",
                "quantityOrdered": 0, "quantityFulfilled": 1, "substitutionDetails": {"substitutedFor": ["line-1"]},
                "price": {"amount": 1250, "currency": "GBP"}, "total": {"amount": 1250, "currency": "GBP"}
            }
        ],
        "customerPayments": [
            {"type": "online", "collectedBy": "scoffable", "payment": {"amount": 1550, "currency": "GBP"}}
        ],
        "unheardOf": {"kept": [1, 2.50, null]}
    })
}

#[tokio::test]
async fn the_body_holds_the_order_normalised_and_raw_and_its_money() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup.start().await;

    app.arrives(&rich_order()).await;

    insta::assert_json_snapshot!(body(&recorder.requests()[0]));
}

#[tokio::test]
async fn the_raw_order_is_what_the_stream_sent_to_the_byte() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup.start().await;
    let raw = rich_order().to_string().replace("2.5,", "2.50,").replace("\"unheardOf\":", "\"unheardOf\" :  ");

    app.scoffable.publish(raw.clone());
    app.poll().await;
    app.dispatch().await;

    let sent = String::from_utf8(recorder.requests()[0].body.to_vec()).unwrap();
    assert!(sent.contains(&format!("\"raw\":{raw}")), "{sent}");
}

#[tokio::test]
async fn each_type_of_event_names_the_status_and_what_stood_there_before() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup.start().await;

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order_of("A-1", 4, "accepted", 900)).await;
    app.arrives(&order("A-1", 5, "cancelled")).await;

    let told: Vec<(Value, Value, Value)> = recorder
        .requests()
        .iter()
        .map(body)
        .map(|body| (body["type"].clone(), body["version"].clone(), body["previous_applied_version"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("order.accepted"), json!(1), Value::Null),
            (json!("order.accepted"), json!(4), json!(1)),
            (json!("order.cancelled"), json!(5), json!(4)),
        ]
    );
}

#[tokio::test]
async fn the_published_verifier_accepts_what_we_send() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup.start().await;

    app.arrives(&rich_order()).await;

    let request = &recorder.requests()[0];
    let verifier = standardwebhooks::Webhook::new(&WebhookOptions::default().secret).unwrap();
    verifier.verify(&request.body, &request.headers).unwrap();
    assert!(verifier.verify(b"{}", &request.headers).is_err(), "another body must not pass");
}

#[tokio::test]
async fn a_request_bears_the_headers_of_the_contract() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup.start().await;

    app.arrives(&order("A-1", 1, "accepted")).await;

    let request = &recorder.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("idempotency-key"), "scoffable:main:A-1:1");
    assert_eq!(request.header("webhook-id"), request.header("idempotency-key"));
    let sent_at: i64 = request.header("webhook-timestamp").parse().unwrap();
    assert!((chrono::Utc::now().timestamp() - sent_at).abs() < 60);
    assert!(request.header("user-agent").starts_with("scoffable-sync/"));
}

#[tokio::test]
async fn a_repeat_has_the_same_key_and_bytes_and_is_signed_anew() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup.start().await;
    for _ in 0..2 {
        recorder.answer_next(500, "");
    }
    app.arrives(&rich_order()).await;

    for _ in 0..2 {
        app.restart().await;
        app.advance(Duration::from_mins(1));
        app.dispatch().await;
    }

    let requests = recorder.requests();
    assert_eq!(requests.len(), 3);
    for repeat in &requests[1..] {
        assert_eq!(repeat.body, requests[0].body);
        assert_eq!(repeat.header("idempotency-key"), requests[0].header("idempotency-key"));
        assert_eq!(repeat.header("webhook-id"), requests[0].header("webhook-id"));
        assert_ne!(repeat.header("webhook-timestamp"), requests[0].header("webhook-timestamp"));
        assert_ne!(repeat.header("webhook-signature"), requests[0].header("webhook-signature"));
    }
}

#[tokio::test]
async fn each_version_has_a_key_of_its_own_also_where_an_id_is_no_header() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup.start().await;

    for (id, version) in [("A-1", 1), ("A-1", 2), ("A:1", 1), ("Ä 1\n", 1), (&*"x".repeat(250), 1)] {
        app.arrives(&order_of(id, version, "accepted", 100 * version)).await;
    }

    let keys: std::collections::BTreeSet<String> =
        recorder.requests().iter().map(|request| request.header("idempotency-key").to_owned()).collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert!(keys.iter().all(|key| key.len() < 200), "{keys:?}");
}

#[tokio::test]
async fn headers_of_the_operator_are_sent_and_never_shown() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup
        .with("sinks.hook.headers.authorization", "Bearer open-sesame")
        .with("sinks.hook.headers.x-tenant", "north")
        .start()
        .await;

    app.arrives(&order("A-1", 1, "accepted")).await;

    let request = &recorder.requests()[0];
    assert_eq!(request.header("authorization"), "Bearer open-sesame");
    assert_eq!(request.header("x-tenant"), "north");
    let shown = format!("{:?} {:?}", app.settings, app.dispatchers);
    assert!(!shown.contains("open-sesame"), "{shown}");
}

#[tokio::test]
async fn the_receivers_own_id_is_kept_and_survives_answers_without_one() {
    let (setup, recorder) = at_recorder().await;
    let mut app = setup.start().await;
    recorder.answer_next(201, r#"{"external_id": "T-77", "more": [1]}"#);
    recorder.answer_next(200, r"{}");

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.arrives(&order_of("A-1", 2, "accepted", 900)).await;

    assert_eq!(app.delivery("A-1").await.external_id.as_deref(), Some("T-77"));
    assert_eq!(app.delivery("A-1").await.applied, Some(2));
}

#[tokio::test]
async fn an_answer_that_says_yes_strangely_still_says_yes() {
    for (code, answer) in [
        (200, ""),
        (204, ""),
        (200, "OK"),
        (202, r#"{"external_id": 77}"#),
        (200, r#"{"external_id": ""}"#),
        (200, r#"{"external_id": "a\u0000b"}"#),
        (200, &*format!(r#"{{"external_id": "{}"}}"#, "x".repeat(1000))),
        (200, &*"x".repeat(1_000_000)),
    ] {
        let (setup, recorder) = at_recorder().await;
        let mut app = setup.start().await;
        recorder.answer_next(code, answer);

        app.arrives(&order("A-1", 1, "accepted")).await;

        let delivery = app.delivery("A-1").await;
        let shown = &answer[..answer.len().min(40)];
        assert_eq!((delivery.state.as_str(), delivery.external_id), ("applied", None), "{code} {shown}");
    }
}

#[tokio::test]
async fn a_repeated_effect_is_one_effect_for_the_receiver() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([cut_after(), status(502).after_the_effect()]);

    app.arrives(&order("A-1", 1, "accepted")).await;
    app.run_to_rest().await;

    assert_eq!(app.applied("A-1"), [1]);
    assert_eq!(app.webhook.ledger().repeats(), 2);
    app.assert_no_violation();
}

#[tokio::test]
async fn a_refusal_keeps_the_code_of_its_answer_for_people() {
    let mut app = TestApp::start().await;
    app.webhook.answer_next([answer(Answer::json(422, r#"{"error": "invalid_status", "code": 422}"#))]);

    app.arrives(&order("A-1", 1, "accepted")).await;

    let excerpt = app.text("SELECT response_excerpt FROM attempts").await.unwrap();
    assert!(excerpt.contains("invalid_status"), "{excerpt}");
    assert_eq!(app.number("SELECT http_status::bigint FROM attempts").await, 422);
    assert_eq!(app.number("SELECT length(request_digest)::bigint FROM attempts").await, 32);
}
