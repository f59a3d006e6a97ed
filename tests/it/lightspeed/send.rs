//! Steps and their answers.

use std::time::Duration;

use scoffable_sync::{
    domain::{delivery::Reason, limits::Told as ToldOfLimit},
    sinks::lightspeed::{
        call::Finish,
        send::{ADOPTION_CONFLICT, RETURN_DIFFERS, SALE_GONE},
    },
};

use super::{
    stub::{ok, reply},
    *,
};

fn absent() -> stub::Reply {
    reply(404, &json!({"error": "Not found", "message": "sale"}))
}

fn made(id: &str) -> stub::Reply {
    ok(&json!({"data": {"id": id}}))
}

#[tokio::test]
async fn a_sale_is_looked_for_made_and_read_back_in_three_calls() {
    let case = Case::usual().await;
    let at = sale_path(ID);
    case.shop.answers("GET", &at, absent()).answers("POST", &path("sales"), made(ID));
    case.shop.answers("GET", &at, ok(&shown(ID, "closed", "21.90", 7)));

    let answer = case.send(&post()).await;

    assert_eq!(case.shop.lines(), [format!("GET {at}"), format!("POST {API}/sales"), format!("GET {at}")]);
    assert_eq!(answer.calls_beside, 2);
    let asked = &case.shop.asked()[1];
    assert_eq!(asked.json()["line_items"][0]["pricing"]["price"], "9.12500");
    for (name, value) in [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("authorization", "Bearer a-personal-token"),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    assert!(asked.header("user-agent").starts_with("scoffable-sync/"));
    let held = held(&answer);
    assert_eq!((held.sales[0].told_minor, held.sales[0].mark.as_deref()), (Some(2190), Some("7")));
    assert_eq!(held.sales[0].opening.as_deref(), Some("monday"));
}

#[tokio::test]
async fn a_sale_that_stands_already_is_ours_if_it_says_the_same_and_is_never_made_twice() {
    let case = Case::usual().await;
    let at = sale_path(ID);
    case.shop.answers("GET", &at, ok(&shown(ID, "closed", "21.90", 7)));
    case.shop.answers("GET", &at, ok(&shown(ID, "closed", "21.89", 7)));

    let ours = case.send(&post()).await;
    let other = case.send(&post()).await;

    assert_eq!(held(&ours).sales[0].told_minor, Some(2190));
    assert_eq!(other.outcome, Outcome::Reject { reason: Reason::Conflict });
    assert_eq!(other.told, Some(&ADOPTION_CONFLICT));
    assert_eq!(case.shop.lines(), [format!("GET {at}"), format!("GET {at}")]);
}

#[tokio::test]
async fn the_legacy_dialect_has_an_empty_list_for_what_is_not_there() {
    let case = Case::start(&[("api", "legacy")]).await;
    let at = format!("/api/register_sales/{ID}");
    let there = json!({"register_sales": [{
        "id": ID, "status": "CLOSED", "source_id": "812345", "register_id": REGISTER, "total_price": 18.25,
        "total_tax": 3.65, "version": 4,
    }]});
    case.shop.answers("GET", &at, ok(&json!({"register_sales": []})));
    case.shop.answers("POST", "/api/register_sales", ok(&json!({"register_sale": {"id": ID}})));
    case.shop.answers("GET", &at, ok(&there));

    let held = held(&case.send(&post()).await);

    assert_eq!((held.sales[0].told_minor, held.sales[0].state), (Some(2190), State::Closed));
    let body = case.shop.asked()[1].json();
    assert_eq!(body["register_sale_products"][0]["price_set"], 1);
    assert_eq!(body["sale_date"], "2025-10-09 08:53:20");
}

#[tokio::test]
async fn amounts_are_numbers_where_the_shop_takes_no_text_and_stay_so() {
    let case = Case::usual().await;
    let refused = reply(422, &json!({"error": "Validation", "message": "pricing.price must be a number"}));
    for _ in 0..2 {
        case.shop.answers("GET", &sale_path(ID), absent());
        case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "21.90", 7)));
    }
    case.shop.answers("POST", &path("sales"), refused);
    case.shop.always_answers("POST", &path("sales"), made(ID));

    held(&case.send(&post()).await);
    held(&case.send(&post()).await);

    let bodies: Vec<String> =
        case.shop.asked().into_iter().filter(|asked| asked.line.starts_with("POST")).map(|asked| asked.body).collect();
    let is_text: Vec<bool> = bodies.iter().map(|body| body.contains(r#""price":"9.12500""#)).collect();
    assert_eq!(is_text, [true, false, false]);
    assert!(bodies[1].contains(r#""price":9.12500"#), "{}", bodies[1]);
}

#[tokio::test]
async fn what_the_shop_refuses_does_not_stand_and_is_told() {
    let case = Case::usual().await;
    case.shop.answers("GET", &sale_path(ID), absent());
    case.shop.answers(
        "POST",
        &path("sales"),
        reply(422, &json!({"error": "Invalid", "message": "register is closed"})),
    );

    let answer = case.send(&post()).await;

    let held = held(&answer);
    assert!(held.sales.is_empty());
    let refusal = held.refusal.unwrap();
    assert_eq!((refusal.step.as_str(), refusal.status, refusal.version), ("sale", 422, 1));
    assert!(matches!(&answer.outcome, Outcome::Delivered(receipt) if receipt.refused), "{answer:?}");
    assert_eq!(answer.http_status, Some(422));
}

#[tokio::test]
async fn an_answer_that_is_lost_before_anything_was_sent_leaves_no_doubt_and_one_after_does() {
    let case = Case::usual().await;
    case.shop.answers("GET", &sale_path(ID), reply(502, &json!({})));
    case.shop.answers("GET", &sale_path(ID), absent());
    case.shop.answers("POST", &path("sales"), reply(502, &json!({})));

    let before = case.send(&post()).await.outcome;
    let after = case.send(&post()).await.outcome;

    assert!(matches!(before, Outcome::Retry { sent: scoffable_sync::domain::delivery::Sent::No, .. }), "{before:?}");
    assert_eq!(after, Outcome::Unknown { reason: Reason::ServerError });
}

#[tokio::test]
async fn a_sale_that_could_not_be_read_back_stands_all_the_same() {
    let case = Case::usual().await;
    case.shop.answers("GET", &sale_path(ID), absent()).answers("POST", &path("sales"), made(ID));
    case.shop.answers("GET", &sale_path(ID), reply(500, &json!({})));

    let held = held(&case.send(&post()).await);

    assert_eq!((held.sales[0].id.as_deref(), held.sales[0].told_minor), (Some(ID), None));
}

#[tokio::test]
async fn a_shop_that_is_asked_too_often_says_for_how_long_in_one_of_three_ways() {
    let case = Case::usual().await;
    let too_many = || reply(429, &json!({"error": "Too many requests"}));
    let date = "Sun, 01 Mar 2026 12:00:00 GMT";
    let replies = [
        too_many().with("Retry-After", "90"),
        too_many().with("Retry-After", "Sun, 01 Mar 2026 12:02:00 GMT").with("Date", date),
        too_many(),
        too_many().with("Retry-After", "soon"),
        too_many().with("Retry-After", "86400"),
    ];
    for reply in replies {
        case.shop.answers("GET", &sale_path(ID), reply);
    }

    let mut waits = Vec::new();
    for _ in 0..5 {
        let answer = case.send(&post()).await;
        let Outcome::Throttled { not_before: Some(wait) } = answer.outcome else { panic!("{answer:?}") };
        let told = answer.limits.last().map(|learned| learned.told);
        assert_eq!(told, Some(ToldOfLimit::Refused { wait }), "all calls wait");
        waits.push(wait);
    }

    assert_eq!(waits, [90, 120, 30, 30, 900].map(Duration::from_secs));
}

#[tokio::test]
async fn a_429_that_names_no_time_waits_no_longer_than_the_slow_interval() {
    let case = Case::start(&[("retry.initial", "1s"), ("retry.max", "2s"), ("retry.slow_interval", "5s")]).await;
    case.shop.answers("GET", &sale_path(ID), reply(429, &json!({})));

    let answer = case.send(&post()).await;

    assert_eq!(answer.outcome, Outcome::Throttled { not_before: Some(Duration::from_secs(5)) });
}

#[tokio::test]
async fn a_personal_token_that_is_refused_blocks_the_sink_and_is_not_tried_again_at_once() {
    let case = Case::usual().await;
    case.shop.always_answers("GET", &sale_path(ID), reply(401, &json!({"error": "Unauthorized"})));

    let first = case.send(&post()).await.outcome;
    let second = case.send(&post()).await.outcome;

    assert_eq!(
        (first, second),
        (Outcome::Blocked { reason: Reason::Unauthorized }, Outcome::Blocked { reason: Reason::Unauthorized },)
    );
    assert_eq!(case.shop.lines().len(), 1);
}

#[tokio::test]
async fn a_sale_is_taken_back_whole_and_word_for_word() {
    let case = Case::usual().await;
    let whole = shown(ID, "closed", "21.90", 7).to_string().replace("\"9.12500\"", "9.125000000000000001");
    case.shop.answers("GET", &sale_path(ID), ok(&json!({})).saying(&whole));
    case.shop.answers("PUT", &sale_path(ID), made(ID));

    let held = held(&case.send(&void()).await);

    assert_eq!(held.sales[0].state, State::Voided);
    let put = &case.shop.asked()[1];
    assert_eq!(put.json()["state"], "voided");
    assert!(put.body.contains("9.125000000000000001"), "no number is read: {}", put.body);
    assert!(put.json().get("totals").is_none() && put.json().get("_metadata").is_none());
}

#[tokio::test]
async fn the_legacy_dialect_takes_a_sale_back_by_its_status() {
    let case = Case::start(&[("api", "legacy")]).await;
    let there = json!({"register_sales": [{
        "id": ID, "status": "CLOSED", "source_id": "812345", "register_id": REGISTER, "total_price": 18.25,
        "total_tax": 3.65, "version": 7, "register_sale_products": [{"id": "line-1"}],
    }]});
    case.shop.answers("GET", &format!("/api/register_sales/{ID}"), ok(&there));
    case.shop.answers("POST", "/api/register_sales", ok(&json!({})));

    held(&case.send(&void()).await);

    let body = case.shop.asked()[1].json();
    assert_eq!((&body["status"], &body["register_sale_products"][0]["id"]), (&json!("VOIDED"), &json!("line-1")));
    assert_eq!(body["total_price"], 18.25, "the whole sale goes back");
}

#[tokio::test]
async fn what_a_person_changed_is_never_written_over() {
    let case = Case::usual().await;
    for _ in 0..2 {
        case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "21.90", 8)));
    }

    let taken_back = held(&case.send(&void()).await);
    let returned = held(&case.send(&begin_return()).await);

    assert!(taken_back.sales[0].edited && taken_back.sales[0].state == State::Closed);
    assert!(returned.sales.len() == 1 && returned.sales[0].edited);
    assert!(case.shop.lines().iter().all(|line| line.starts_with("GET")));
}

#[tokio::test]
async fn a_sale_that_is_gone_is_for_a_person() {
    let case = Case::usual().await;
    case.shop.answers("GET", &sale_path(ID), absent());

    let answer = case.send(&void()).await;

    assert_eq!(answer.told, Some(&SALE_GONE));
}

fn finish() -> Step {
    let line = LineBody { quantity: -1, ..body().lines.remove(0) };
    let payment = PaymentBody { id: None, type_id: ONLINE.to_owned(), amount: "-10.95".to_owned() };
    let call = Call::FinishReturn(Finish {
        id: "back".to_owned(),
        currency: gbp(),
        total_minor: -1095,
        lines: vec![line],
        payments: vec![payment],
        before: one_back(Some("back")),
    });
    let finished = Sale { state: State::Closed, ..one_back(Some("back")) };
    step(&call, &holding(vec![Sale { mark: None, ..standing() }, finished]))
}

/// The return as the shop made it: of everything.
fn parked() -> Value {
    let mut back = shown("back", "parked", "-21.90", 8);
    back["data"]["line_items"] = json!([
        {"id": "r-0", "product": {"id": "another"}, "quantity": -1, "pricing": {"price": 1}},
        {"id": "r-1", "product": {"id": BHUNA}, "quantity": -2, "pricing": {"price": 9.125}, "source_line": "line-1"},
    ]);
    back["data"]["payments"] = json!([]);
    back
}

#[tokio::test]
async fn a_return_is_begun_and_closed_with_what_is_given_back() {
    let case = Case::usual().await;
    let begin = path(&format!("sales/{ID}/actions/return"));
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "21.90", 7)));
    case.shop.answers("POST", &begin, ok(&json!({"data": {"id": "back"}})));
    let begun = held(&case.send(&begin_return()).await);
    assert_eq!(begun.sales[1].id.as_deref(), Some("back"));

    case.shop.answers("GET", &sale_path("back"), ok(&parked()));
    case.shop.answers("PUT", &sale_path("back"), made("back"));
    case.shop.answers("GET", &sale_path("back"), ok(&shown("back", "closed", "-10.95", 9)));
    let finished = held(&case.send(&finish()).await);

    assert_eq!((finished.sales[1].state, finished.sales[1].told_minor), (State::Closed, Some(-1095)));
    let put = case.shop.asked().into_iter().find(|asked| asked.line.starts_with("PUT")).unwrap().json();
    assert_eq!(put["state"], "closed");
    let line = json!({
        "id": "r-1", "product": {"id": BHUNA}, "quantity": -1, "pricing": {"price": 9.125}, "source_line": "line-1",
    });
    assert_eq!(put["line_items"], json!([line]));
    assert_eq!(put["payments"], json!([{"amount": "-10.95", "type": {"config_id": ONLINE}}]));
}

#[tokio::test]
async fn a_return_that_lacks_a_line_is_for_a_person() {
    let case = Case::usual().await;
    let mut other = parked();
    other["data"]["line_items"][1]["pricing"]["price"] = json!(9.13);
    case.shop.answers("GET", &sale_path("back"), ok(&other));

    let answer = case.send(&finish()).await;

    assert_eq!(answer.told, Some(&RETURN_DIFFERS));
    assert_eq!(case.shop.lines().len(), 1);
}

#[tokio::test]
async fn an_open_sale_is_changed_with_the_ids_of_its_lines_and_payments() {
    let case = Case::usual().await;
    let before = Sale { state: State::Pending, ..standing() };
    let mut wanted = body();
    wanted.payments.push(PaymentBody { id: None, type_id: "another".to_owned(), amount: "1.00".to_owned() });
    let call = Call::Update(Post { sale: wanted, total_minor: 2190, currency: gbp(), before: Some(before) });
    let held_after = Held { corrections_avoided: 1, ..holding(vec![sale()]) };
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "pending", "21.90", 7)));
    case.shop.answers("PUT", &sale_path(ID), made(ID));
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "21.90", 8)));

    let held = held(&case.send(&step(&call, &held_after)).await);

    assert_eq!((held.sales[0].state, held.corrections_avoided), (State::Closed, 1));
    let put = case.shop.asked()[1].json();
    assert_eq!(put["line_items"][0]["id"], "line-1");
    assert_eq!(put["payments"][0]["id"], "payment-1");
    assert!(put["payments"][1].get("id").is_none());
}

#[tokio::test]
async fn a_register_that_is_closed_is_waited_for_or_opened_as_it_is_wished() {
    let hold = Case::start(&[("closed_register", "hold")]).await;
    let open = Case::start(&[("closed_register", "open")]).await;
    let at = path(&format!("registers/{REGISTER}"));
    for case in [&hold, &open] {
        case.shop.answers("GET", &sale_path(ID), absent());
        case.shop.answers("GET", &at, ok(&json!({"data": {"id": REGISTER, "is_open": false}})));
    }
    open.shop.answers("PUT", &format!("{at}/actions/open"), ok(&json!({"data": {"id": REGISTER, "is_open": true}})));
    open.shop.answers("POST", &path("sales"), made(ID));
    open.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "21.90", 7)));

    let waits = held(&hold.send(&post()).await);
    let posted = held(&open.send(&post()).await);

    assert!(waits.sales.is_empty() && waits.closed.is_some());
    assert_eq!(posted.sales[0].told_minor, Some(2190));
}
