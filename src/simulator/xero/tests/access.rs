//! Tokens, scopes, organisations, keys, limits, formats and faults.

use reqwest::header::HeaderMap;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::simulator::faults::{cut_after, cut_before, plainly, status};

fn unlimited() -> XeroOptions {
    XeroOptions { limits: XeroLimits::NONE, ..XeroOptions::default() }
}

async fn headers(request: RequestBuilder) -> (u16, HeaderMap) {
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.headers().clone())
}

#[tokio::test]
async fn a_token_lives_half_an_hour_and_is_good_for_its_scopes_only() {
    let desk = start_with(unlimited()).await;
    let narrow = token(&desk, "accounting.contacts").await;
    assert_eq!(desk.options().token_life, secs(1800));
    let with = |token: &str, path: &str| {
        client().get(format!("{}/{path}", desk.url())).header("accept", "application/json").bearer_auth(token)
    };

    let (refused, body) = ask(with(&narrow, "Invoices")).await;
    assert_eq!((refused, &body["Detail"]), (401, &json!("AuthorizationUnsuccessful")));
    desk.change_manner(|manner| manner.scope_refusal = ScopeRefusal::Forbidden);
    assert_eq!(ask(with(&narrow, "Invoices")).await.0, 403);
    assert_eq!(ask(with(&narrow, "Contacts")).await.0, 200);
    assert_eq!(ask(client().get(format!("{}/Contacts", desk.url())).header("accept", "application/json")).await.0, 401);
    desk.clock.advance(secs(1800));
    assert_eq!(ask(with(&narrow, "Contacts")).await.0, 401);

    assert_eq!(desk.violations(), [Violation::NoToken]);
    assert_eq!(desk.ledger().calls().refused, [(401, 3), (403, 1)].into());
}

#[tokio::test]
async fn a_browser_brings_a_code_and_each_refresh_token_is_good_for_one_refresh() {
    let redirect = "http://127.0.0.1/back";
    let app = App::CodeFlow { redirects: vec![redirect.to_owned()] };
    let other_tenants =
        vec![Tenant { id: "0b7d5a4c-7d0f-4a43-8e4f-3a6f2f0c1199".to_owned(), name: "Another".to_owned() }];
    let xero = XeroSim::start(XeroOptions { app, other_tenants, ..unlimited() }).await.expect("a free port");
    let authorise = |scope: &str, back: &str| {
        let query = [
            ("response_type", "code"),
            ("client_id", "xero-client"),
            ("redirect_uri", back),
            ("scope", scope),
            ("state", "s1"),
        ];
        client().get(reqwest::Url::parse_with_params(&xero.authorise_url(), query).expect("a URL"))
    };
    let exchange = async |fields: &[(&str, &str)]| {
        let form = reqwest::Url::parse_with_params("form:", fields).expect("fields");
        let request = client()
            .post(xero.token_url())
            .basic_auth("xero-client", Some("xero-secret"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned());
        ask(request).await
    };

    assert_eq!(headers(authorise("accounting.contacts", "http://127.0.0.1/elsewhere")).await.0, 400);
    let (_, refused) = headers(authorise("payroll", redirect)).await;
    assert_eq!(refused["location"], "http://127.0.0.1/back?error=invalid_scope&state=s1");
    let (found, sent_back) = headers(authorise("offline_access accounting.contacts", redirect)).await;
    let location = reqwest::Url::parse(sent_back["location"].to_str().expect("text")).expect("a URL");
    let code = location.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let fields = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", redirect)];
    let (granted, tokens) = exchange(&fields).await;
    assert_eq!((found, granted), (302, 200), "{tokens}");
    assert_eq!(tokens["scope"], "offline_access accounting.contacts");
    assert_eq!(exchange(&fields).await.1["error"], "invalid_grant", "a code is used once");

    let first = tokens["refresh_token"].as_str().expect("a token");
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", first)];
    let (refreshed, next) = exchange(&refresh).await;
    assert_eq!((refreshed, &exchange(&refresh).await.1["error"]), (200, &json!("invalid_grant")));

    let bearer = next["access_token"].as_str().expect("a token");
    let ask_for = |url: String| client().get(url).header("accept", "application/json").bearer_auth(bearer);
    let (_, connections) = ask(ask_for(xero.connections_url())).await;
    let own = connections[1]["tenantId"].as_str().expect("an id");
    assert_eq!(own, xero.options().organisation.tenant_id);
    let contacts = format!("{}/Contacts", xero.url());
    assert_eq!(ask(ask_for(contacts.clone())).await.0, 403, "no tenant is named");
    assert_eq!(
        ask(ask_for(contacts.clone()).header("xero-tenant-id", connections[0]["tenantId"].as_str().expect("an id")))
            .await
            .0,
        403
    );
    assert_eq!(ask(ask_for(contacts).header("xero-tenant-id", own)).await.0, 200);
    assert_eq!(xero.violations(), [Violation::WrongTenant, Violation::WrongTenant]);
}

#[tokio::test]
async fn a_refresh_token_lapses_after_sixty_days() {
    let app = App::CodeFlow { redirects: Vec::new() };
    let options = XeroOptions { app, ..unlimited() };
    let clock = options.clock.clone();
    let xero = XeroSim::start(options).await.expect("a free port");
    let refresh_token = xero.tokens().authorise("xero-client");
    let request = || {
        client()
            .post(xero.token_url())
            .basic_auth("xero-client", Some("xero-secret"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type=refresh_token&refresh_token={refresh_token}"))
    };

    clock.advance(secs(60 * 24 * 3600));

    assert_eq!(ask(request()).await, (400, json!({"error": "invalid_grant"})));
}

#[tokio::test]
async fn a_repeated_key_answers_from_memory_until_it_is_forgotten() {
    let desk = start().await;
    let body = |number: &str| json!({"Invoices": [desk.invoice(number, json!([line(1, json!(5))]))]});
    let put = async |key: &str, number: &str| {
        let request = desk.request("PUT", "Invoices?summarizeErrors=false");
        ask(request.header("idempotency-key", key).json(&body(number))).await
    };

    let (_, first) = put("a", "SCF-1").await;
    assert_eq!(put("a", "SCF-1").await, (200, first.clone()));
    assert_eq!(put("a", "SCF-2").await.0, 400, "another body");
    desk.change_rules(|rules| rules.key_reuse = KeyReuse::Replayed);
    assert_eq!(put("a", "SCF-2").await, (200, first.clone()));
    desk.change_rules(|rules| rules.key_reuse = KeyReuse::Processed);
    assert_eq!(put("a", "SCF-2").await.1["Invoices"][0]["InvoiceNumber"], "SCF-2");
    assert_eq!(put(&"k".repeat(129), "SCF-3").await.0, 400);
    desk.clock.advance(secs(600));
    let (_, forgotten) = put("a", "SCF-1").await;
    assert!(messages(&forgotten["Invoices"][0]).contains("must be unique"), "{forgotten}");

    assert_eq!(desk.ledger().calls().replays, 2);
    let reused = Violation::KeyReused { key: "a".to_owned() };
    assert_eq!(desk.violations().iter().filter(|violation| **violation == reused).count(), 3);
}

#[tokio::test]
async fn every_answer_tells_what_is_left_and_the_last_one_when_to_come_back() {
    let desk = start_with(XeroOptions { limits: XeroLimits::STARTER, seed: 20, ..XeroOptions::default() }).await;

    let (_, told) = headers(desk.request("GET", "Organisation")).await;
    assert_eq!([&told["x-minlimit-remaining"], &told["x-daylimit-remaining"]], ["59", "999"]);
    assert_eq!(told["x-appminlimit-remaining"], "9999");
    for _ in 1..60 {
        assert_eq!(headers(desk.request("GET", "Organisation")).await.0, 200);
    }
    let (refused, told) = headers(desk.request("GET", "Organisation")).await;
    assert_eq!((refused, &told["x-rate-limit-problem"]), (429, &"Minute".parse().expect("a value")));
    let wait: u64 = told["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=40).contains(&wait), "{wait}");
    desk.clock.advance(secs(wait));
    assert_eq!(headers(desk.request("GET", "Organisation")).await.0, 200);
    desk.use_up_the_day();
    let (refused, told) = headers(desk.request("GET", "Organisation")).await;
    assert_eq!((refused, &told["x-rate-limit-problem"]), (429, &"Day".parse().expect("a value")));
    assert_eq!(desk.ledger().calls().reads, 61);
}

#[tokio::test]
async fn the_sixth_call_in_progress_is_refused() {
    let desk = start_with(XeroOptions::default()).await;
    let gate = CancellationToken::new();
    desk.answer_next_to(Operation::List(Resource::Accounts), (0..5).map(|_| plainly().answered_when(&gate)));
    let calls: Vec<_> = (0..5).map(|_| tokio::spawn(headers(desk.request("GET", "Accounts")))).collect();
    desk.wait_until(|ledger| ledger.calls().peak_in_progress == 5, secs(30)).await.expect("five calls hang");

    let (refused, told) = headers(desk.request("GET", "Organisation")).await;
    gate.cancel();

    assert_eq!((refused, &told["x-rate-limit-problem"]), (429, &"Concurrent".parse().expect("a value")));
    assert!(!told.contains_key("retry-after"));
    for call in calls {
        assert_eq!(call.await.expect("it ends").0, 200);
    }
    assert_eq!(headers(desk.request("GET", "Organisation")).await.0, 200);
}

#[tokio::test]
async fn without_an_accept_the_answer_is_xml() {
    let desk = start().await;
    let answer =
        client().get(format!("{}/Organisation", desk.url())).bearer_auth(&desk.token).send().await.expect("an answer");

    assert_eq!(answer.headers()["content-type"], "text/xml; charset=utf-8");
    let text = answer.text().await.expect("a text");
    assert!(text.contains("<BaseCurrency>GBP</BaseCurrency>"), "{text}");
    assert_eq!(desk.violations(), [Violation::NoAccept]);
}

#[tokio::test]
async fn requests_of_the_wrong_form_are_refused_and_noted() {
    let desk = start().await;
    let good = json!({"Invoices": [desk.invoice("SCF-1", json!([line(1, json!(5))]))]});
    let mut unknown = good.clone();
    unknown["Invoices"][0]["Total"] = json!(5);
    let many = json!({"Invoices": vec![good["Invoices"][0].clone(); 51]});

    for (request, expected) in [
        (desk.write("PUT", "Invoices?summarizeErrors=false", &unknown), 400),
        (desk.write("PUT", "Invoices?summarizeErrors=false", &many), 400),
        (desk.write("PUT", "Invoices?summarizeErrors=no", &good), 400),
        (desk.write("PUT", "Invoices?SummarizeErrors=false", &good), 400),
        (desk.request("PUT", "Invoices").body("{}"), 415),
        (desk.request("GET", "Invoices?where=Total%3D%3D%221%22"), 400),
        (desk.request("GET", "Reports/TrialBalance"), 404),
        (desk.request("POST", "Invoices/1/Email"), 404),
        (desk.request("DELETE", "Invoices"), 405),
    ] {
        assert_eq!(ask(request).await.0, expected);
    }
    let unknown_id = ask(desk.request("GET", "Invoices/0b7d5a4c-7d0f-4a43-8e4f-3a6f2f0c1199")).await.0;

    assert_eq!(unknown_id, 404);
    assert_eq!(desk.violations().len(), 9, "an unknown id is nobody's fault: {:?}", desk.violations());
    assert!(desk.ledger().books().documents().is_empty());
}

#[tokio::test]
async fn careless_writes_are_taken_and_noted() {
    let desk = start().await;
    let mut invoice = desk.invoice("INV-7", json!([line(1, json!(5))]));
    invoice["Contact"] = json!({"Name": "Ada"});

    let (status, _) = ask(desk.request("PUT", "Invoices").json(&json!({"Invoices": [invoice]}))).await;

    assert_eq!(status, 200);
    let operation = Operation::Create(Resource::Invoices);
    assert_eq!(
        desk.violations(),
        [
            Violation::NoKey { operation },
            Violation::NoSummarizeErrors { operation },
            Violation::ContactDetails { document: "INV-7".to_owned() },
            Violation::ForeignNumber { number: "INV-7".to_owned() },
        ]
    );
}

#[tokio::test]
async fn a_fault_strikes_before_or_after_the_effect() {
    let desk = start().await;
    let body = |number: &str| json!({"Invoices": [desk.invoice(number, json!([line(1, json!(5))]))]});
    let operation = Operation::Create(Resource::Invoices);
    let put = |number: &str| {
        let request = desk.request("PUT", "Invoices?summarizeErrors=false");
        request.header("idempotency-key", number).json(&body(number))
    };
    desk.answer_next_to(operation, [status(500), status(500).after_the_effect(), cut_before(), cut_after()]);

    assert_eq!(ask(put("SCF-1")).await.0, 500);
    assert_eq!(ask(put("SCF-2")).await.0, 500);
    assert!(put("SCF-3").send().await.is_err());
    assert!(put("SCF-4").send().await.is_err());

    let stands = |number: &str| desk.ledger().books().invoice(number).is_some();
    assert_eq!(["SCF-1", "SCF-2", "SCF-3", "SCF-4"].map(stands), [false, true, false, true]);
    let (repeated, answer) = ask(put("SCF-4")).await;
    assert_eq!((repeated, &answer["Invoices"][0]["HasErrors"]), (200, &json!(false)), "the lost answer is there");
    assert!(desk.doubled().is_empty());
}
