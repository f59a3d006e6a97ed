use reqwest::RequestBuilder;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::simulator::{
    faults::{cut_after, cut_before, not_json, plainly, slow_to_start, status, truncated},
    test_client::{client, secs},
};

const LAG: Duration = Duration::from_mins(1);

async fn start() -> TillSim {
    TillSim::start(TillOptions::default()).await.expect("a free port")
}

async fn start_lagging() -> (TillSim, Clock) {
    let clock = Clock::default();
    let options = TillOptions { lag: LAG, clock: clock.clone(), ..TillOptions::default() };
    (TillSim::start(options).await.expect("a free port"), clock)
}

fn sale(order: &str, version: i64, minor: i64) -> Value {
    json!({
        "reference": format!("{order}-1"),
        "order": format!("main/{order}"),
        "version": version,
        "lines": [{"name": "soup", "minor": minor + 100}, {"name": "voucher", "minor": -100}],
        "total_minor": minor,
        "currency": "GBP",
    })
}

fn payment(reference: &str, minor: i64) -> Value {
    json!({"reference": reference, "minor": minor, "currency": "GBP"})
}

fn request(till: &TillSim, method: Method, path: &str, body: Option<&Value>) -> RequestBuilder {
    let request = client().request(method, format!("{}{path}", till.url())).bearer_auth("till-token");
    match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    }
}

async fn ask(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

async fn post(till: &TillSim, path: &str, body: &Value) -> (u16, Value) {
    ask(request(till, Method::POST, path, Some(body))).await
}

async fn put(till: &TillSim, path: &str, body: &Value) -> (u16, Value) {
    ask(request(till, Method::PUT, path, Some(body))).await
}

async fn get(till: &TillSim, path: &str) -> (u16, Value) {
    ask(request(till, Method::GET, path, None)).await
}

/// How many tickets of the order `a` a look-up sees.
async fn seen(till: &TillSim) -> usize {
    let (status, body) = get(till, "/tickets?reference=a-1").await;
    assert_eq!(status, 200);
    body["tickets"].as_array().expect("a list").len()
}

#[tokio::test]
async fn a_sale_is_opened_paid_amended_and_voided() {
    let till = start().await;

    assert_eq!(post(&till, "/tickets", &sale("a", 1, 900)).await, (201, json!({"ticket": "T-1"})));
    assert_eq!(post(&till, "/tickets/T-1/payments", &payment("p-1", 900)).await, (201, json!({"payment": "P-1"})));
    assert_eq!(put(&till, "/tickets/T-1", &sale("a", 2, 700)).await, (200, json!({"ticket": "T-1"})));
    assert_eq!(post(&till, "/tickets/T-1/payments", &payment("p-2", -200)).await.0, 201);
    let (_, open) = get(&till, "/tickets?reference=a-1").await;
    let (_, payments) = get(&till, "/tickets/T-1/payments?reference=p-2").await;
    assert_eq!(till.ledger().sums("main/a"), Sums { total_minor: 700, paid_minor: 700 });
    assert_eq!(post(&till, "/tickets/T-1/void", &json!({"reference": "a-1"})).await, (200, json!({"ticket": "T-1"})));

    let ticket = json!({
        "ticket": "T-1", "reference": "a-1", "order": "main/a", "version": 2, "total_minor": 700, "paid_minor": 700,
        "state": "open",
    });
    assert_eq!(open, json!({"tickets": [ticket]}));
    let refund = json!({"payment": "P-2", "reference": "p-2", "minor": -200, "currency": "GBP"});
    assert_eq!(payments, json!({"payments": [refund]}));
    assert_eq!(get(&till, "/tickets?reference=a-1").await.1["tickets"][0]["state"], "void");
    assert_eq!(till.ledger().sums("main/a"), Sums::default());
    assert_eq!(till.find("a-1").expect("a ticket").versions(), [1, 2]);
    assert_eq!((till.violations(), till.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn opening_twice_opens_two() {
    let till = start().await;

    post(&till, "/tickets", &sale("a", 1, 900)).await;
    let second = post(&till, "/tickets", &sale("a", 1, 900)).await;

    assert_eq!(second, (201, json!({"ticket": "T-2"})));
    assert_eq!(seen(&till).await, 2);
    let (order, first) = ("main/a".to_owned(), "T-1".to_owned());
    assert_eq!(till.doubled(), [Doubled::Ticket { order, first, second: "T-2".to_owned() }]);
    assert_eq!(till.violations(), [], "no error of form");
}

#[tokio::test]
async fn a_ticket_after_a_void_is_no_double_unless_it_reuses_the_reference() {
    let till = start().await;
    let mut again = sale("a", 3, 900);
    again["reference"] = json!("a-2");

    for (ticket, sale) in [("T-1", sale("a", 1, 900)), ("T-2", again), ("T-3", sale("a", 4, 900))] {
        let before = till.doubled().len();
        post(&till, "/tickets", &sale).await;
        post(&till, &format!("/tickets/{ticket}/void"), &json!({"reference": sale["reference"]})).await;
        assert_eq!(till.doubled().len() - before, usize::from(ticket == "T-3"), "{ticket}");
    }
}

#[tokio::test]
async fn a_payment_leads_towards_the_total_and_never_past_it() {
    let till = start().await;
    post(&till, "/tickets", &sale("a", 1, 900)).await;

    for (total, minor, expected) in [
        (900, 901, 422),
        (900, -1, 422),
        (900, 400, 201),
        (900, 501, 422),
        (900, 500, 201),
        (900, 1, 422),
        (900, -1, 422),
        (700, 1, 422),
        (700, -201, 422),
        (700, -200, 201),
    ] {
        let version = if total == 900 { 1 } else { 2 };
        put(&till, "/tickets/T-1", &sale("a", version, total)).await;
        let reference = format!("{total} {minor}");
        let answer = post(&till, "/tickets/T-1/payments", &payment(&reference, minor)).await;
        assert_eq!(answer.0, expected, "{reference}: {}", answer.1);
    }

    assert_eq!(till.ledger().n_refused_payments(), 7);
    assert_eq!(till.violations().len(), 7);
    assert_eq!(till.ledger().sums("main/a"), Sums { total_minor: 700, paid_minor: 700 });
}

#[tokio::test]
async fn paying_twice_is_refused_or_taken_and_seen_in_either_case() {
    let till = start().await;
    post(&till, "/tickets", &sale("a", 1, 900)).await;

    post(&till, "/tickets/T-1/payments", &payment("p-1", 450)).await;
    let taken = post(&till, "/tickets/T-1/payments", &payment("p-1", 450)).await;
    let refused = post(&till, "/tickets/T-1/payments", &payment("p-1", 450)).await;

    assert_eq!((taken.0, refused.0), (201, 422));
    let (order, first) = ("main/a".to_owned(), "P-1".to_owned());
    assert_eq!(till.doubled(), [Doubled::Payment { order, first, second: "P-2".to_owned() }]);
    assert_eq!(till.ledger().n_refused_payments(), 1);
}

#[tokio::test]
async fn the_same_amendment_again_changes_nothing() {
    let till = start().await;
    post(&till, "/tickets", &sale("a", 1, 900)).await;

    for _ in 0..3 {
        assert_eq!(put(&till, "/tickets/T-1", &sale("a", 2, 700)).await.0, 200);
    }

    assert_eq!(till.find("a-1").expect("a ticket").versions(), [1, 2]);
    assert_eq!(till.ledger().repeats(), 2);
    assert_eq!(till.violations(), []);
}

#[tokio::test]
async fn an_older_version_after_a_newer_one_is_a_violation_also_on_another_ticket() {
    let till = start().await;
    post(&till, "/tickets", &sale("a", 2, 900)).await;
    put(&till, "/tickets/T-1", &sale("a", 3, 900)).await;

    put(&till, "/tickets/T-1", &sale("a", 2, 900)).await;
    post(&till, "/tickets/T-1/void", &json!({"reference": "a-1"})).await;
    let mut again = sale("a", 1, 900);
    again["reference"] = json!("a-2");
    post(&till, "/tickets", &again).await;

    let order = || "main/a".to_owned();
    let expected =
        [(2, 3), (1, 3)].map(|(version, newest)| Violation::OlderAfterNewer { order: order(), version, newest });
    assert_eq!(till.violations(), expected);
}

#[tokio::test]
async fn one_version_with_two_contents_is_a_violation() {
    let till = start().await;
    post(&till, "/tickets", &sale("a", 2, 900)).await;

    put(&till, "/tickets/T-1", &sale("a", 2, 800)).await;

    assert_eq!(till.violations(), [Violation::VersionReused { order: "main/a".to_owned(), version: 2 }]);
}

#[tokio::test]
async fn a_void_ticket_takes_nothing_and_says_so_when_voided_again() {
    let till = start().await;
    post(&till, "/tickets", &sale("a", 1, 900)).await;
    post(&till, "/tickets/T-1/void", &json!({"reference": "a-1"})).await;

    let already_void = (409, json!({"error": "already_void"}));
    assert_eq!(post(&till, "/tickets/T-1/void", &json!({"reference": "a-1"})).await, already_void);
    assert_eq!(put(&till, "/tickets/T-1", &sale("a", 2, 800)).await, already_void);
    assert_eq!(till.violations(), [], "a client whose void was not answered may do either");
    assert_eq!(till.find("a-1").expect("a ticket").versions(), [1]);
    assert_eq!(post(&till, "/tickets/T-1/payments", &payment("p-1", 900)).await, already_void);
    let (ticket, reference) = ("T-1".to_owned(), "p-1".to_owned());
    assert_eq!(till.violations(), [Violation::PaidAfterVoid { ticket, reference }]);
}

#[tokio::test]
async fn each_broken_rule_of_form_is_refused_recorded_and_without_effect() {
    let spoilt = |pointer: &str, value: Value| {
        let mut body = sale("a", 2, 900);
        *body.pointer_mut(pointer).expect("the field is there") = value;
        body
    };
    let spoilt_payment = |name: &str, value: Value| {
        let mut body = payment("p-1", 900);
        body[name] = value;
        body
    };
    let (sales, payments, void) = ("/tickets", "/tickets/T-1/payments", "/tickets/T-1/void");
    let cases: Vec<(&str, Value, u16)> = vec![
        (sales, json!([]), 422),
        (sales, spoilt("/reference", json!("")), 422),
        (sales, spoilt("/reference", json!("x".repeat(121))), 422),
        (sales, spoilt("/reference", json!("a\n1")), 422),
        (sales, spoilt("/order", json!(7)), 422),
        (sales, spoilt("/order", json!("x".repeat(201))), 422),
        (sales, spoilt("/version", json!("2")), 422),
        (sales, spoilt("/version", json!(0)), 422),
        (sales, spoilt("/lines", json!({})), 422),
        (sales, spoilt("/lines", json!([])), 422),
        (sales, spoilt("/lines/0/name", json!("")), 422),
        (sales, spoilt("/lines/0/minor", json!(1000.0)), 422),
        (sales, spoilt("/lines/0/minor", json!(999)), 422),
        (sales, spoilt("/lines/0", json!({"name": "soup", "minor": 1000, "extra": 1})), 422),
        (sales, spoilt("/total_minor", json!("900")), 422),
        (sales, sale("a", 2, -1), 422),
        (sales, spoilt("/currency", json!("gbp")), 422),
        (sales, spoilt("/currency", json!("POUND")), 422),
        (payments, spoilt_payment("minor", json!(0)), 422),
        (payments, spoilt_payment("minor", json!(9.5)), 422),
        (payments, spoilt_payment("reference", json!("")), 422),
        (payments, spoilt_payment("currency", json!("EUR")), 422),
        (payments, spoilt_payment("extra", json!(1)), 422),
        (void, json!({}), 422),
        (void, json!({"reference": "b-1"}), 422),
        (void, json!({"reference": "a-1", "extra": 1}), 422),
        ("/tickets/T-2/void", json!({"reference": "a-1"}), 404),
        ("/tickets/T-01/void", json!({"reference": "a-1"}), 404),
        ("/tickets/x/payments", payment("p-1", 900), 404),
        ("/orders", json!({}), 404),
        ("/tickets?reference=a", sale("a", 2, 900), 422),
    ];
    for (path, body, expected) in cases {
        let till = start().await;
        post(&till, "/tickets", &sale("a", 1, 900)).await;
        let (status, answer) = post(&till, path, &body).await;
        assert_eq!(status, expected, "{path} {body}: {answer}");
        assert_eq!(till.violations().len(), 1, "{path} {body}");
        assert_eq!(till.find("a-1").expect("a ticket").versions(), [1]);
        assert_eq!(till.ledger().tickets().len(), 1, "{path} {body}");
        assert_eq!(till.ledger().n_payments(), 0, "{path} {body}");
        assert_eq!(till.ledger().sums("main/a").total_minor, 900, "{path} {body}");
    }
}

#[tokio::test]
async fn an_amendment_is_of_the_same_reference_order_and_currency() {
    for (name, value) in [("reference", "a-2"), ("order", "main/b"), ("currency", "EUR")] {
        let till = start().await;
        post(&till, "/tickets", &sale("a", 1, 900)).await;
        let mut body = sale("a", 2, 900);
        body[name] = json!(value);

        assert_eq!(put(&till, "/tickets/T-1", &body).await.0, 422, "{name}");
        assert_eq!(till.violations(), [Violation::AnotherTicket { ticket: "T-1".to_owned() }], "{name}");
    }
}

#[tokio::test]
async fn missing_fields_tokens_and_types_other_methods_and_queries_are_refused() {
    let till = start().await;
    for field in ["reference", "order", "version", "lines", "total_minor", "currency"] {
        let mut body = sale("a", 1, 900);
        body.as_object_mut().expect("an object").remove(field);
        assert_eq!(post(&till, "/tickets", &body).await.0, 422, "without {field}");
    }
    let url = format!("{}/tickets", till.url());
    let body = sale("a", 1, 900);
    let plain = |token: &str| client().post(&url).bearer_auth(token).body(body.to_string());
    assert_eq!(ask(client().post(&url).json(&body)).await.0, 401);
    assert_eq!(ask(plain("another").header("content-type", "application/json")).await.0, 401);
    assert_eq!(ask(plain("till-token")).await.0, 415);
    assert_eq!(ask(plain("till-token").header("content-type", "text/plain")).await.0, 415);
    assert_eq!(ask(request(&till, Method::DELETE, "/tickets", None)).await.0, 405);
    for query in ["", "?order=a", "?reference=", "?reference=a&state=open"] {
        assert_eq!(get(&till, &format!("/tickets{query}")).await.0, 422, "{query}");
    }

    assert_eq!(till.violations().len(), 15);
    assert_eq!(till.ledger().tickets().len(), 0);
    assert_eq!(till.received(), []);
}

#[tokio::test]
async fn an_effect_is_seen_once_its_lag_is_over_and_by_the_operator_at_once() {
    let (till, clock) = start_lagging().await;

    post(&till, "/tickets", &sale("a", 1, 900)).await;
    assert_eq!(seen(&till).await, 0);
    assert!(till.find("a-1").is_some());
    clock.advance(LAG);
    assert_eq!(seen(&till).await, 1);

    post(&till, "/tickets/T-1/payments", &payment("p-1", 900)).await;
    put(&till, "/tickets/T-1", &sale("a", 2, 950)).await;
    let lagging = get(&till, "/tickets?reference=a-1").await.1["tickets"][0].clone();
    assert_eq!((&lagging["paid_minor"], &lagging["version"]), (&json!(0), &json!(1)));
    assert_eq!(get(&till, "/tickets/T-1/payments?reference=p-1").await.1, json!({"payments": []}));
    clock.advance(LAG);
    let now = get(&till, "/tickets?reference=a-1").await.1["tickets"][0].clone();
    assert_eq!((&now["paid_minor"], &now["version"]), (&json!(900), &json!(2)));
}

#[tokio::test]
async fn a_script_says_when_an_effect_is_seen() {
    let (till, clock) = start_lagging().await;
    till.show_next([Show::AfterReads(2), Show::Never]);

    post(&till, "/tickets", &sale("a", 1, 900)).await;
    assert_eq!([seen(&till).await, seen(&till).await, seen(&till).await], [0, 0, 1]);

    post(&till, "/tickets/T-1/void", &json!({"reference": "a-1"})).await;
    clock.advance(LAG * 1000);
    assert_eq!(get(&till, "/tickets?reference=a-1").await.1["tickets"][0]["state"], "open");
    assert!(!till.find("a-1").expect("a ticket").is_standing());
}

#[tokio::test]
async fn a_lost_answer_leaves_the_effect_and_a_cut_before_it_none() {
    let till = start().await;
    let open = |order: &str| request(&till, Method::POST, "/tickets", Some(&sale(order, 1, 900)));

    till.answer_next([cut_after(), cut_before(), status(503).after_the_effect(), status(429), status(401)]);
    for order in ["a", "b"] {
        assert!(open(order).send().await.is_err());
    }
    assert_eq!([ask(open("c")).await.0, ask(open("d")).await.0, ask(open("e")).await.0], [503, 429, 401]);
    till.answer_next([truncated(), not_json()]);
    assert!(open("f").send().await.expect("a head").bytes().await.is_err());
    assert_eq!(ask(open("g")).await, (201, Value::Null));

    let opened: Vec<String> = till.ledger().orders().map(str::to_owned).collect();
    assert_eq!(opened, ["main/a", "main/c", "main/f", "main/g"]);
    assert_eq!((till.violations(), till.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn a_script_for_one_operation_leaves_others_alone() {
    let till = start().await;
    till.answer_next_to(Operation::Pay, [status(500)]);

    assert_eq!(post(&till, "/tickets", &sale("a", 1, 900)).await.0, 201);
    assert_eq!(post(&till, "/tickets/T-1/payments", &payment("p-1", 900)).await.0, 500);
    assert_eq!(post(&till, "/tickets/T-1/payments", &payment("p-1", 900)).await.0, 201);
}

#[tokio::test]
async fn effects_on_one_order_side_by_side_are_a_violation_and_on_two_or_look_ups_not() {
    let till = start().await;
    post(&till, "/tickets", &sale("a", 1, 900)).await;
    let gate = CancellationToken::new();
    till.answer_next_to(Operation::Pay, [plainly().answered_when(&gate)]);

    let meanwhile = async {
        till.wait_until(|ledger| ledger.n_payments() == 1, secs(20)).await.expect("the payment is being worked on");
        post(&till, "/tickets", &sale("b", 1, 900)).await;
        seen(&till).await;
        assert_eq!(till.violations(), []);
        put(&till, "/tickets/T-1", &sale("a", 2, 900)).await;
        gate.cancel();
    };
    let body = payment("p-1", 900);
    tokio::join!(post(&till, "/tickets/T-1/payments", &body), meanwhile);

    let (order, operation, running) = ("main/a".to_owned(), Operation::Amend, Operation::Pay);
    assert_eq!(till.violations(), [Violation::SideBySide { order, operation, running }]);
    assert_eq!(till.ledger().running("main/a"), 0);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_effect_has_caused_nothing_and_is_forgotten() {
    let till = start().await;
    till.answer_next([slow_to_start(Duration::from_mins(10))]);

    tokio::select! {
        answer = request(&till, Method::POST, "/tickets", Some(&sale("a", 1, 900))).send() => panic!("{answer:?}"),
        arrived = till.wait_until(|ledger| ledger.running("main/a") == 1, secs(20)) => arrived.expect("it arrives"),
    }
    till.wait_until(|ledger| ledger.running("main/a") == 0, secs(20)).await.expect("its connection is gone");

    assert_eq!(post(&till, "/tickets", &sale("a", 1, 900)).await, (201, json!({"ticket": "T-1"})));
    assert_eq!((till.violations(), till.doubled()), (vec![], vec![]));
}

#[tokio::test]
async fn the_dice_hit_each_request_by_itself() {
    let options = TillOptions { chaos: Chaos::Hard, seed: 7, ..TillOptions::default() };
    let till = TillSim::start(options).await.expect("a free port");

    for n in 0..60 {
        let body = sale(&format!("a{n}"), 1, 900);
        let request = request(&till, Method::POST, "/tickets", Some(&body)).timeout(Duration::from_millis(500));
        let _ = request.send().await;
    }

    let hits: u64 = till.journal().faults().values().sum();
    assert!(hits > 10, "{hits}");
    assert_eq!(till.state()["violations"], json!([]));
}
