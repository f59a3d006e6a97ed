//! Who may ask, in which form, and how often.

use chrono::TimeDelta;

use super::*;

#[tokio::test]
async fn only_who_signs_the_query_as_it_is_sent_is_answered() {
    let desk = start().await;
    let key = desk.options().api_key.clone();
    let path = "Customers?customerCode=A%20B";

    assert_eq!(ask(desk.signed("GET", path, &sign(&key, "customerCode=A%20B"))).await.0, 200);
    assert_eq!(desk.violations(), []);
    assert_eq!(ask(desk.signed("GET", path, &sign(&key, "customerCode=A B"))).await.0, 403);
    assert_eq!(desk.violations(), [], "the other form is worth a try");
    for signature in [sign(&key, ""), sign("another", "customerCode=A%20B"), String::new()] {
        assert_eq!(ask(desk.signed("GET", path, &signature)).await.0, 403);
    }
    assert_eq!(desk.violations(), vec![Violation::WrongSignature; 3]);
}

#[tokio::test]
async fn an_account_may_want_the_decoded_query_signed_and_refuse_with_401() {
    let desk = start().await;
    desk.change_rules(|rules| {
        rules.signed_query = SignedQuery::Decoded;
        rules.wrong_signature = WrongSignature::Unauthorized;
    });
    let key = desk.options().api_key.clone();
    let path = "Customers?customerCode=A%20B";

    assert_eq!(ask(desk.signed("GET", path, &sign(&key, "customerCode=A%20B"))).await.0, 401);
    assert_eq!(ask(desk.signed("GET", path, &sign(&key, "customerCode=A B"))).await.0, 200);
    assert_eq!(desk.act("GET", "Products?modifiedSince=2025-10-09T08:00:00.000&pageSize=200").await.0, 200);
}

#[tokio::test]
async fn a_client_says_what_it_is_and_what_it_reads() {
    let desk = start().await;
    let signature = sign(&desk.options().api_key, "");
    let bare = |accept: &str| {
        client()
            .get(format!("{}/Warehouses", desk.url()))
            .header("accept", accept)
            .header("content-type", "application/json")
            .header("api-auth-id", &desk.options().api_id)
            .header("api-auth-signature", &signature)
    };

    assert_eq!(refusal(ask(bare("application/json")).await), "client-type is missing, or not partner/app");
    for wrong in ["acme", "Acme/Sync", "acme/", "acme/my sync"] {
        assert_eq!(ask(bare("application/json").header("client-type", wrong)).await.0, 400, "{wrong}");
    }
    let xml = bare("application/xml").header("client-type", "acme/sync").send().await.expect("an answer");
    assert_eq!(xml.status(), 406);
    assert!(xml.text().await.expect("a text").contains("<ValidationError>"));

    desk.change_rules(|rules| rules.client_type_required = false);
    assert_eq!(ask(bare("application/json")).await.0, 200);
    let violations = desk.violations();
    assert_eq!(violations.iter().filter(|one| **one == Violation::NoClientType).count(), 6);
    assert_eq!(violations.iter().filter(|one| **one == Violation::NoAccept).count(), 1);
}

#[tokio::test]
async fn a_body_is_json_with_known_members() {
    let desk = start().await;
    let path = format!("Customers/{}", guid("c"));
    let xml = client()
        .post(format!("{}/{path}", desk.url()))
        .header("accept", "application/json")
        .header("content-type", "application/xml")
        .body("<Customer/>");

    assert_eq!(ask(xml).await.0, 415);
    let told = refusal(desk.write("POST", &path, &json!({"CustomerCode": "C", "CustomerName": "N", "Age": 3})).await);
    assert!(told.contains("Age"), "{told}");
    let told = refusal(desk.act("GET", "Products?ordernumber=1").await);
    assert!(told.contains("ordernumber"), "{told}");
    assert_eq!(desk.act("GET", "SalesInvoices").await.0, 404);
}

#[tokio::test]
async fn a_used_up_month_blocks_all_calls_until_the_first_of_the_next() {
    let desk = start().await;
    desk.use_up_the_month();

    let (status, body) = desk.act("GET", "Warehouses").await;
    assert_eq!((status, text(&body["Description"])), (429, "API usage limit reached"));
    desk.change_rules(|rules| rules.blocked = Blocked::Forbidden);
    assert_eq!(desk.act("GET", "Warehouses").await.0, 403);
    // No month is longer.
    desk.clock.advance(TimeDelta::days(31).to_std().expect("ahead"));
    assert_eq!(desk.act("GET", "Warehouses").await.0, 200);
    assert_eq!(desk.ledger().calls().blocked, 2);
}

#[tokio::test]
async fn a_bundle_or_a_minute_opens_what_was_closed() {
    let limits = UnleashedLimits { per_month: Some(10), per_minute: Some(1) };
    let desk = start_with(UnleashedOptions { limits, ..UnleashedOptions::default() }).await;
    desk.change_rules(|rules| rules.tells_retry_after = true);
    desk.get("Warehouses").await;

    let answer = desk.request("GET", "Warehouses").send().await.expect("an answer");
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("a text").parse().expect("seconds");
    assert_eq!(answer.status(), 429);
    desk.clock.advance(secs(wait));
    desk.get("Warehouses").await;
    desk.use_up_the_month();
    desk.clock.advance(secs(60));
    assert_eq!(desk.act("GET", "Warehouses").await.0, 429);
    desk.buy_calls(5);
    desk.get("Warehouses").await;
}
