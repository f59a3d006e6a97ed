use serde_json::json;

use super::*;
use crate::simulator::{
    faults::{cut_after, cut_before, slow, slow_to_start, status, truncated},
    shell::STATE_PATH,
    test_client::{client, secs},
};

/// A request as a correct sender makes it, to be spoilt by tests.
struct Letter {
    body: Value,
    key: Option<String>,
    secret: String,
    sent_secs_ago: i64,
    content_type: &'static str,
}

fn letter(order_id: &str, version: i64, status: &str) -> Letter {
    Letter {
        body: json!({
            "type": format!("order.{status}"),
            "source": "main",
            "order_id": order_id,
            "version": version,
            "previous_applied_version": null,
            "order": {},
            "raw": {"id": order_id, "version": version, "status": status, "latestVersion": true},
            "money": {},
        }),
        key: Some(format!("main:{order_id}:{version}")),
        secret: WebhookOptions::default().secret,
        sent_secs_ago: 0,
        content_type: "application/json",
    }
}

impl Letter {
    fn with(mut self, pointer: &str, value: Value) -> Self {
        *self.body.pointer_mut(pointer).expect("the field is there") = value;
        self
    }

    fn request(&self, sim: &WebhookSim) -> reqwest::RequestBuilder {
        let body = self.body.to_string();
        let sent_at = chrono::Utc::now().timestamp() - self.sent_secs_ago;
        // The published implementation signs, so that our check is held against something foreign.
        let signer = standardwebhooks::Webhook::new(&self.secret).expect("a secret");
        let signature = signer.sign("msg-1", sent_at, body.as_bytes()).expect("a signature");
        let mut request = client()
            .post(sim.url())
            .header("webhook-id", "msg-1")
            .header("webhook-timestamp", sent_at)
            .header("webhook-signature", signature)
            .header("content-type", self.content_type);
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        request.body(body)
    }

    async fn send(&self, sim: &WebhookSim) -> (u16, Value) {
        let answer = self.request(sim).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }
}

async fn start() -> WebhookSim {
    WebhookSim::start(WebhookOptions::default()).await.expect("a free port")
}

#[tokio::test]
async fn a_correct_request_is_applied_once_however_often_it_comes() {
    let sim = start().await;
    let letter = letter("a", 2, "accepted");

    let first = letter.send(&sim).await;
    let second = letter.send(&sim).await;

    assert_eq!(first.0, 200);
    assert!(first.1["external_id"].is_string());
    assert_eq!(first, second);
    assert_eq!(sim.violations(), []);
    assert_eq!(sim.ledger().applied("main", "a").len(), 1);
    assert_eq!(sim.received().len(), 2);
}

#[tokio::test]
async fn each_broken_rule_is_refused_and_recorded() {
    let ok = || letter("a", 2, "accepted");
    let cases: Vec<(&str, Letter, u16)> = vec![
        ("another secret", Letter { secret: "whsec_c29tZXRoaW5nIGVsc2U=".to_owned(), ..ok() }, 401),
        ("signed too long ago", Letter { sent_secs_ago: 305, ..ok() }, 401),
        ("signed in the future", Letter { sent_secs_ago: -305, ..ok() }, 401),
        ("no key", Letter { key: None, ..ok() }, 400),
        ("a form", Letter { content_type: "text/plain", ..ok() }, 415),
        ("no object", Letter { body: json!([]), ..ok() }, 422),
        ("empty source", ok().with("/source", json!("")), 422),
        ("numeric order id", ok().with("/order_id", json!(5)), 422),
        ("version as text", ok().with("/version", json!("2")), 422),
        ("previous as text", ok().with("/previous_applied_version", json!("1")), 422),
        ("previous above", ok().with("/previous_applied_version", json!(3)), 422),
        ("order as text", ok().with("/order", json!("x")), 422),
        ("money as null", ok().with("/money", json!(null)), 422),
        ("raw as text", ok().with("/raw", json!("{}")), 422),
        ("another order inside", ok().with("/raw/id", json!("b")), 422),
        ("another version inside", ok().with("/raw/version", json!(3)), 422),
        ("another status inside", ok().with("/raw/status", json!("cancelled")), 422),
        ("type without prefix", ok().with("/type", json!("accepted")), 422),
    ];
    for (name, letter, expected) in cases {
        let sim = start().await;
        let (status, body) = letter.send(&sim).await;
        assert_eq!(status, expected, "{name}: {body}");
        assert_eq!(sim.violations().len(), 1, "{name}");
        assert_eq!(sim.ledger().n_applied(), 0, "{name}");
    }
}

#[tokio::test]
async fn missing_and_additional_fields_are_refused() {
    let fields = ["type", "source", "order_id", "version", "previous_applied_version", "order", "raw", "money"];
    let sim = start().await;
    for field in fields {
        let mut letter = letter("a", 2, "accepted");
        letter.body.as_object_mut().expect("an object").remove(field);
        assert_eq!(letter.send(&sim).await.0, 422, "without {field}");
    }
    let mut letter = letter("a", 2, "accepted");
    letter.body["extra"] = json!(1);
    assert_eq!(letter.send(&sim).await.0, 422);
    assert_eq!(sim.violations().len(), fields.len() + 1);
}

#[tokio::test]
async fn missing_signature_headers_other_paths_and_methods_are_refused() {
    let sim = start().await;
    let unsigned = client().post(sim.url()).json(&json!({})).send().await.expect("an answer");
    assert_eq!(unsigned.status(), 400);
    assert_eq!(client().put(sim.url()).send().await.expect("an answer").status(), 405);
    assert_eq!(client().post(format!("{}/x", sim.url())).send().await.expect("an answer").status(), 404);

    assert_eq!(sim.violations().len(), 3);
}

#[tokio::test]
async fn signatures_within_five_minutes_and_among_several_are_accepted() {
    let sim = start().await;
    for (version, ago) in [(1, 295), (2, -295)] {
        let letter = Letter { sent_secs_ago: ago, ..letter("a", version, "accepted") };
        assert_eq!(letter.send(&sim).await.0, 200, "{ago}");
    }
    let rotated = letter("a", 3, "accepted").request(&sim).build().expect("a request");
    let mut request = rotated.try_clone().expect("a body in memory");
    let good = rotated.headers()["webhook-signature"].to_str().expect("text").to_owned();
    let both = format!("v1,AAAA v2,whatever {good}").parse().expect("a header");
    request.headers_mut().insert("webhook-signature", both);

    assert_eq!(client().execute(request).await.expect("an answer").status(), 200);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn one_key_for_two_bodies_is_a_conflict_and_has_no_effect() {
    let sim = start().await;
    letter("a", 2, "accepted").send(&sim).await;

    let other = letter("a", 2, "accepted").with("/money", json!({"total": 1}));

    assert_eq!(other.send(&sim).await.0, 409);
    assert!(matches!(&sim.violations()[..], [Violation::KeyReused { .. }]));
    assert_eq!(sim.ledger().n_applied(), 1);
}

#[tokio::test]
async fn numeric_ids_in_raw_agree_with_their_text() {
    let sim = start().await;
    let letter = letter("9007199254740993", 2, "accepted").with("/raw/id", json!(9_007_199_254_740_993_i64));

    assert_eq!(letter.send(&sim).await.0, 200);
}

#[tokio::test]
async fn a_lone_surrogate_in_raw_does_not_spoil_the_letter() {
    let sim = start().await;
    let mut letter = letter("a", 2, "accepted");
    letter.body["raw"]["note"] = json!("PLACEHOLDER");
    let body = letter.body.to_string().replace("PLACEHOLDER", r"\ud83d");
    let now = chrono::Utc::now().timestamp();
    let signer = standardwebhooks::Webhook::new(&letter.secret).expect("a secret");
    let signature = signer.sign("m", now, body.as_bytes()).expect("a signature");

    let answer = letter.request(&sim).body(body);
    let mut request = answer.build().expect("a request");
    let headers = request.headers_mut();
    headers.insert("webhook-id", "m".parse().expect("a header"));
    headers.insert("webhook-timestamp", now.into());
    headers.insert("webhook-signature", signature.parse().expect("a header"));

    assert_eq!(client().execute(request).await.expect("an answer").status(), 200);
    assert_eq!(sim.ledger().applied("main", "a")[0].content, None);
}

#[tokio::test]
async fn a_lost_answer_may_follow_an_effect_and_a_refused_connection_does_not() {
    let sim = start().await;
    for (order, fault, applied) in [("a", cut_before(), 0), ("b", cut_after(), 1)] {
        let name = fault.name();
        sim.answer_next([fault]);
        assert!(letter(order, 2, "accepted").request(&sim).send().await.is_err(), "{name}");
        assert_eq!(sim.ledger().applied("main", order).len(), applied, "{name}");
    }
    sim.answer_next([truncated()]);
    let answer = letter("c", 2, "accepted").request(&sim).send().await.expect("a head");
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.is_err());

    sim.answer_next([status(503), status(503).after_the_effect()]);
    for applied in [0, 1] {
        assert_eq!(letter("d", 2, "accepted").send(&sim).await.0, 503);
        assert_eq!(sim.ledger().applied("main", "d").len(), applied);
    }
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn requests_of_one_order_side_by_side_are_seen_and_a_client_that_left_is_forgotten() {
    let sim = start().await;
    sim.answer_next([slow_to_start(secs(600)), slow(Duration::from_millis(100))]);
    let first = letter("a", 2, "accepted");
    let leaving = first.request(&sim).send();
    let arrived = sim.journal().wait_until(|_| sim.received().len() == 1, secs(30));
    let staying = async {
        arrived.await.expect("the first arrives");
        letter("a", 3, "accepted").send(&sim).await
    };
    tokio::select! {
        _ = leaving => panic!("the answer takes ten minutes"),
        (status, _) = staying => assert_eq!(status, 200),
    }
    assert!(matches!(&sim.violations()[..], [Violation::SideBySide { version: 3, running: 2, .. }]));

    sim.wait_until(|ledger| ledger.running("main", "a") == 0, secs(30)).await.expect("the first is given up");
    letter("a", 4, "accepted").send(&sim).await;

    assert_eq!(sim.violations().len(), 1, "the one that left is no longer there");
    assert_eq!(sim.ledger().applied("main", "a").len(), 2, "and never had its effect");
}

#[tokio::test]
async fn the_state_names_violations_and_no_contents() {
    let sim = start().await;
    letter("a", 3, "accepted").send(&sim).await;
    letter("a", 2, "accepted").send(&sim).await;

    let url = format!("http://{}{STATE_PATH}", sim.address());
    let state: Value = client().get(url).send().await.expect("an answer").json().await.expect("JSON");

    assert_eq!(state["applied_versions"], 2);
    assert_eq!(state["statuses"], json!({"accepted": 1}));
    assert_eq!(state["violations"][0]["violation"], "older_after_newer");
    assert!(!format!("{:?}", sim.received()).contains("raw"));
}

#[tokio::test]
async fn a_secret_that_is_none_is_refused() {
    let options = WebhookOptions { secret: "hunter2".to_owned(), ..WebhookOptions::default() };

    assert!(!format!("{options:?}").contains("hunter2"));
    assert!(matches!(WebhookSim::start(options).await, Err(WebhookSimError::Secret)));
}
