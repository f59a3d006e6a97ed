//! Who may ask, what, and how often.

use super::*;
use crate::simulator::token::TokenViolation;

#[tokio::test]
async fn only_a_token_of_the_right_scope_that_has_not_expired_is_let_in() {
    let sim = start().await;
    let submit = |token: &str| {
        let path = format!("{}/order/v1/locations/{HERE}/orders/submit", sim.url());
        let request = client().post(path).header("content-type", "application/json").body(a().to_string());
        if token.is_empty() { request } else { request.bearer_auth(token) }
    };

    assert_eq!(ask(submit("")).await.0, 401);
    assert_eq!(sim.violations(), [Violation::NoToken]);
    assert_eq!(ask(submit("made-up")).await.0, 401);
    let reporting = token(&sim, SCOPE_REPORTS).await;
    assert_eq!(ask(submit(&reporting)).await.0, 403);
    sim.clock.advance(secs(86_399));
    assert_eq!(ask(submit(&sim.token)).await.0, 200);
    sim.clock.advance(secs(1));
    assert_eq!(ask(submit(&sim.token)).await.0, 401);
    sim.tokens().revoke_access();
    assert_eq!(sim.violations().len(), 1);
    assert_eq!(sim.ledger().stored().len(), 1);
}

#[tokio::test]
async fn the_token_endpoint_wants_basic_credentials_and_granted_scopes() {
    let sim = start_with(SpotonOptions { scopes: vec![SCOPE_ORDERS.to_owned()], ..SpotonOptions::default() }).await;
    let post = |body: &str| {
        let request = client().post(sim.token_url()).header("content-type", "application/x-www-form-urlencoded");
        request.body(body.to_owned())
    };

    let in_the_form = post("grant_type=client_credentials&client_id=spoton-client&client_secret=spoton-secret");
    assert_eq!(ask(in_the_form).await.0, 401);
    let not_granted = post(&format!("grant_type=client_credentials&scope={SCOPE_REPORTS}"));
    let not_granted = not_granted.basic_auth("spoton-client", Some("spoton-secret"));
    assert_eq!(ask(not_granted).await.0, 400);

    assert_eq!(sim.tokens().violations(), [TokenViolation::BadClient, TokenViolation::BadScope]);
    let since = "last_updated_from=2020-01-01T00:00:00Z";
    assert_eq!(sim.get(&format!("/reporting/v1/locations/{HERE}/orders?{since}")).await.0, 403);
}

#[tokio::test]
async fn a_closed_location_is_forbidden_until_it_opens_again() {
    let sim = start().await;

    sim.close_location(HERE);
    assert_eq!(sim.submit(&a()).await.0, 403);
    sim.reopen_location(HERE);
    assert_eq!(sim.submit(&a()).await.0, 200);

    sim.assert_no_wrong();
}

#[tokio::test]
async fn too_many_calls_are_refused_with_the_three_headers_until_time_has_passed() {
    let limits = vec![Limit { calls: 2, window: secs(10) }, Limit::per_minute(3)];
    let sim = start_with(SpotonOptions { limits, ..SpotonOptions::default() }).await;
    let submit = async |n: u32| sim.to_submit(&order(&format!("scoffable-{n}-1"))).send().await.expect("an answer");
    let text = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).map(|value| value.to_str().expect("plain").to_owned())
    };

    let first = submit(1).await;
    assert_eq!(text(&first, "x-ratelimit-limit").as_deref(), Some("2;w=10, 3;w=60"));
    assert_eq!(text(&first, "x-ratelimit-remaining").as_deref(), Some("1"));
    submit(2).await;
    let refused = submit(3).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(text(&refused, "x-ratelimit-remaining").as_deref(), Some("0"));
    let reset: u64 = text(&refused, "x-ratelimit-reset").expect("it is told").parse().expect("a number");
    assert!((1..=10).contains(&reset), "{reset}");
    assert_eq!(sim.report().await.len(), 2, "another API has calls of its own");

    sim.change_manner(|manner| manner.rate_headers = RateHeaders::Missing);
    let refused = submit(3).await;
    assert_eq!((refused.status().as_u16(), text(&refused, "x-ratelimit-reset")), (429, None));
    sim.change_manner(|manner| manner.rate_headers = RateHeaders::Garbage);
    let refused = submit(3).await;
    assert_eq!(refused.status(), 429);
    assert!(text(&refused, "x-ratelimit-reset").expect("something").parse::<u64>().is_err());
    sim.clock.advance(secs(10));
    assert_eq!(submit(3).await.status(), 200);
    sim.clock.advance(secs(10));
    assert_eq!(submit(4).await.status(), 429, "the minute is used up");
    sim.clock.advance(secs(40));
    assert_eq!(submit(4).await.status(), 200);
    sim.assert_no_wrong();
}
