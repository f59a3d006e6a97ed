//! Tokens, scopes, headers, limits, errors and faults.

use reqwest::header::HeaderMap;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::simulator::faults::{cut_after, cut_before, plainly, status, truncated};

async fn headers(request: RequestBuilder) -> (u16, HeaderMap) {
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.headers().clone())
}

fn at<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text")
}

#[tokio::test]
async fn a_personal_token_is_good_for_everything_until_it_is_taken_away() {
    let desk = start().await;
    desk.get("2.0/retailer").await;

    desk.change_personal_token(None);
    assert_eq!(ask(desk.request("GET", "2.0/retailer")).await.0, 401);
    let bare = client().get(format!("{}/api/2.0/retailer", desk.url())).header("user-agent", "test");
    let (status, body) = ask(bare).await;

    assert_eq!((status, &body["error"]), (401, &json!("Unauthorized")));
    assert_eq!(desk.violations(), [Violation::NoToken], "one that was good once is no violation");
}

#[tokio::test]
async fn a_browser_brings_a_code_and_each_refresh_token_is_good_for_one_refresh() {
    let redirect = "http://127.0.0.1/back";
    let options =
        LightspeedOptions { redirects: vec![redirect.to_owned()], limits: None, ..LightspeedOptions::default() };
    let desk = start_with(options).await;
    let authorise = |scope: Option<&str>| {
        let mut url = reqwest::Url::parse(&desk.authorise_url()).expect("a URL");
        url.query_pairs_mut()
            .extend_pairs([("response_type", "code"), ("client_id", "lightspeed-client"), ("redirect_uri", redirect)])
            .extend_pairs(scope.map(|scope| ("scope", scope)));
        client().get(url)
    };
    let exchange = async |fields: &[(&str, &str)]| {
        let own = [("client_id", "lightspeed-client"), ("client_secret", "lightspeed-secret")];
        let form = reqwest::Url::parse_with_params("form:", fields.iter().chain(&own)).expect("fields");
        let request = client()
            .post(desk.token_url())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        ask(request).await
    };

    assert_eq!(headers(authorise(None)).await.0, 400, "a scope is needed");
    let (found, sent_back) = headers(authorise(Some("customers:read sales:read"))).await;
    let location = reqwest::Url::parse(at(&sent_back, "location")).expect("a URL");
    let code = location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let (granted, tokens) =
        exchange(&[("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", redirect)]).await;
    assert_eq!((found, granted, &tokens["scope"]), (302, 200, &json!("customers:read sales:read")));
    assert_eq!(tokens["expires_in"], json!(86_400));
    let refresh_token = text(&tokens["refresh_token"]);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
    let (refreshed, next) = exchange(&refresh).await;
    assert_eq!((refreshed, &exchange(&refresh).await.1["error"]), (200, &json!("invalid_grant")));

    let with = |path: &str| {
        let request = client().get(format!("{}/api/{path}", desk.url())).header("user-agent", "test");
        request.bearer_auth(text(&next["access_token"]))
    };
    assert_eq!(ask(with("2.0/customers")).await.0, 200);
    assert_eq!(ask(with("2.0/search?type=sales")).await.0, 200);
    assert_eq!(ask(with("2.0/search?type=products")).await.0, 403);
    assert_eq!(ask(with("2.0/products")).await.0, 403);
    desk.clock.advance(secs(86_400));
    assert_eq!(ask(with("2.0/customers")).await.0, 401);
    assert_eq!((desk.violations(), desk.tokens().dead_presented()), (vec![], 1));
}

#[tokio::test]
async fn whoever_does_not_say_who_it_is_or_asks_nonsense_is_refused_and_told() {
    let desk = start().await;
    let nameless = client().get(format!("{}/api/2.0/retailer", desk.url())).bearer_auth("lightspeed-token");
    assert_eq!(ask(nameless).await.0, 400);
    assert_eq!(ask(desk.request("PATCH", "2.0/products/1")).await.0, 405);
    assert_eq!(ask(desk.request("GET", "3.0/products")).await.0, 404);
    assert_eq!(ask(desk.request("POST", "2026-07/sales").body("{}")).await.0, 415);
    assert_eq!(desk.send("POST", "2026-07/sales", &json!({"state": "closed"})).await.0, 400);
    assert_eq!(desk.send("GET", "2.0/retailer", &json!({})).await.0, 400);

    let told = desk.violations();
    assert_eq!((told.len(), &told[0]), (6, &Violation::NoUserAgent));
    assert!(told[1..].iter().all(|violation| matches!(violation, Violation::Malformed { .. })), "{told:?}");
}

#[tokio::test]
async fn errors_have_a_title_and_a_message_or_another_shape() {
    let desk = start().await;
    let path = format!("2026-07/sales/{}", sale_id("1"));

    let (_, one) = ask(desk.request("GET", &path)).await;
    desk.change_manner(|manner| manner.errors = ErrorShape::Nested);
    let (_, other) = ask(desk.request("GET", &path)).await;

    assert_eq!(one["error"], "Not Found");
    assert_eq!((&other["error"]["code"], &other["error"]["message"]), (&json!(404), &one["message"]));
}

#[tokio::test]
async fn two_registers_allow_650_calls_and_then_it_is_told_when_to_come_back() {
    let desk = start_with(LightspeedOptions { seed: 100, ..LightspeedOptions::default() }).await;
    let (_, first) = headers(desk.request("GET", "2.0/retailer")).await;
    assert_eq!([at(&first, "x-ratelimit-limit"), at(&first, "x-ratelimit-remaining")], ["650", "649"]);

    let limits = LightspeedLimits { per_register: 1, beside: 1 };
    desk.change_limits(Some(limits));
    desk.by_hand(|store, now| store.delete_register_by_hand(ids::REGISTERS[1], now));
    for left in ["1", "0"] {
        assert_eq!(at(&headers(desk.request("GET", "2.0/retailer")).await.1, "x-ratelimit-remaining"), left);
    }
    let (refused, told) = headers(desk.request("GET", "2.0/retailer")).await;
    assert_eq!(refused, 429);
    let [date, retry] = ["date", "retry-after"].map(|name| httpdate::parse_http_date(at(&told, name)).expect("a date"));
    let wait = retry.duration_since(date).expect("later");
    assert!(wait <= secs(301) && wait > secs(1), "{wait:?}");
    desk.clock.advance(wait);
    assert_eq!(ask(desk.request("GET", "2.0/retailer")).await.0, 200);

    desk.change_manner(|manner| manner.retry_after = RetryAfter::Garbage);
    ask(desk.request("GET", "2.0/retailer")).await;
    let (refused, told) = headers(desk.request("GET", "2.0/retailer")).await;
    assert_eq!((refused, at(&told, "retry-after")), (429, "soon"));
    let calls = desk.ledger().calls().clone();
    assert_eq!((calls.refused, desk.violations()), ([(429, 2)].into(), vec![]));
}

#[tokio::test]
async fn an_answer_is_lost_before_or_after_the_sale_is_kept() {
    let desk = start().await;
    desk.answer_next_to(
        Operation::CreateSale,
        [status(500), status(503).after_the_effect(), cut_before(), cut_after(), truncated()],
    );
    let is_kept = |order: &str| desk.ledger().store().sale(&sale_id(order)).is_some();

    assert_eq!((desk.posted(&desk.sale("1", 1)).await.0, is_kept("1")), (500, false));
    assert_eq!((desk.posted(&desk.sale("2", 1)).await.0, is_kept("2")), (503, true));
    for (order, expected) in [("3", false), ("4", true), ("5", true)] {
        let request = desk.request("POST", "2026-07/sales").json(&desk.sale(order, 1));
        let is_whole = match request.send().await {
            Ok(answer) => answer.bytes().await.is_ok(),
            Err(_) => false,
        };
        assert_eq!((is_whole, is_kept(order)), (false, expected), "{order}");
    }
    assert_eq!(desk.scripted_left(Operation::CreateSale), 0);
}

#[tokio::test]
async fn a_write_may_hang_after_the_sale_is_kept_and_another_beside_it_is_told() {
    let desk = start().await;
    let gate = CancellationToken::new();
    desk.answer_next_to(Operation::CreateSale, [plainly().answered_when(&gate)]);
    let hanging = tokio::spawn(ask(desk.request("POST", "2026-07/sales").json(&desk.sale("1", 1))));
    desk.wait_until(|ledger| ledger.running("1") == 1 && ledger.store().sale(&sale_id("1")).is_some(), secs(30))
        .await
        .expect("the sale hangs");

    let mut voided = desk.sale("1", 1);
    voided["state"] = json!("voided");
    assert_eq!(desk.put(&voided).await.0, 200);
    gate.cancel();
    hanging.await.expect("it ends");

    let (operation, running) = (Operation::UpdateSale, Operation::CreateSale);
    let side_by_side = Violation::SideBySide { order: "1".to_owned(), operation, running };
    assert_eq!(desk.violations(), [Violation::PostedBlindly { sale: sale_id("1") }, side_by_side]);
    assert_eq!(desk.ledger().running("1"), 0);
}

#[tokio::test]
async fn what_is_made_may_be_answered_with_its_id_alone() {
    let desk = start().await;
    desk.change_manner(|manner| manner.write_answer = WriteAnswer::Id);

    assert_eq!(desk.sold(&desk.sale("1", 1)).await, json!({"id": sale_id("1")}));
}

#[tokio::test]
async fn the_summary_for_people_counts_what_is_there() {
    let desk = start().await;
    desk.sold(&desk.sale("1", 1)).await;

    let state = desk.state();

    assert_eq!(
        (&state["sales_that_stand"], &state["orders"], &state["n_violations"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!((&state["calls"]["writes"], &state["requests"]), (&json!(1), &json!(2)));
}
