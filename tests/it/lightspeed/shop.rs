//! What is read of the shop, how long it is used, and what of the configuration does not fit.

use std::time::Duration;

use futures::future::BoxFuture;
use scoffable_sync::{
    cli::{self, config::Form},
    domain::{
        limits::LearnedLimit,
        reconciliation::{Holding, Seen},
    },
    sinks::{OUT_OF_CALLS, Turns, lightspeed::facts::check},
};

use super::{
    stub::{ok, reply},
    *,
};

impl Case {
    async fn prepare(&self) -> Result<u32, Answer> {
        Ok(self.client.prepare(self.app.clock.wall()).await?.made)
    }
}

#[tokio::test]
async fn it_is_read_once_for_all_that_wait_and_used_for_a_day() {
    let case = Case::usual().await;
    case.shop.has_a_shop();
    let now = case.app.clock.wall();

    let read = futures::future::join_all((0..20).map(|_| case.client.prepare(now))).await;

    assert_eq!(read.into_iter().map(|read| read.unwrap().made).sum::<u32>(), 9);
    assert_eq!(case.shop.asked().len(), 9);
    let facts = case.client.facts(now).unwrap();
    assert_eq!((facts.name.as_str(), facts.currency), ("Old Mill Kitchen", Some(gbp())));
    assert_eq!(check(till(&case.app).1, &facts), []);
    case.app.advance(Duration::from_hours(23));
    assert_eq!(case.prepare().await.unwrap(), 0);
    case.app.advance(Duration::from_hours(1));
    assert!(case.client.facts(case.app.clock.wall()).is_none());
}

#[tokio::test]
async fn after_a_failure_nobody_asks_again_for_a_while_and_all_are_told() {
    let case = Case::usual().await;
    case.shop.answers("GET", &path("retailer"), reply(429, &json!({})).with("Retry-After", "90"));
    let throttled = Outcome::Throttled { not_before: Some(Duration::from_secs(90)) };

    // At one moment: who asks later is told what is left.
    let now = case.app.clock.wall();
    let first = case.client.prepare(now).await.unwrap_err();
    let second = case.client.prepare(now).await.unwrap_err();

    assert_eq!((first.outcome, second.outcome), (throttled.clone(), throttled));
    assert_eq!((first.calls_beside, second.calls_beside), (1, 0));
    case.app.advance(Duration::from_secs(90));
    case.shop.has_a_shop();
    assert!(case.prepare().await.is_ok());
}

#[tokio::test]
async fn the_legacy_dialect_reads_it_from_version_two() {
    let case = Case::start(&[("api", "legacy")]).await;
    case.shop.answers("GET", "/api/2.0/retailer", ok(&json!({"data": {"currency": {"code": "GBP"}}})));
    for listing in ["registers", "users", "taxes", "payment_types"] {
        case.shop.answers("GET", &format!("/api/2.0/{listing}"), ok(&json!({"data": []})));
    }

    assert_eq!(case.prepare().await.unwrap(), 5);
}

#[tokio::test]
async fn what_was_deleted_there_is_not_there() {
    let case = Case::usual().await;
    let gone = json!({"data": [{"id": USER, "deleted_at": "2026-01-01T00:00:00Z"}], "version": {"max": 2}});
    case.shop.answers("GET", &path("users"), ok(&gone));
    case.shop.answers("GET", &path("users"), ok(&json!({"data": []})));
    case.shop.has_a_shop();

    case.prepare().await.unwrap();

    let facts = case.client.facts(case.app.clock.wall()).unwrap();
    let keys: Vec<String> = check(till(&case.app).1, &facts).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["author_id"]);
}

#[tokio::test]
async fn an_application_is_entered_with_refresh_tokens_that_are_used_once() {
    let shop = ShopStub::start().await;
    let keys = [("client_id", "an-app"), ("client_secret", "a-secret"), ("refresh_token", "the-first")];
    let app = set_up(Setup::default(), &shop.url(""), &keys).without("sinks.till.token").start().await;
    let granted = json!({
        "access_token": "access-1", "refresh_token": "the-second", "expires_in": 86400, "token_type": "Bearer",
        "scope": "sales:read users:read products:read products:write",
    });
    shop.has_a_shop().answers("POST", "/api/1.0/token", ok(&granted));
    let client = client(&app);
    let now = app.clock.wall();

    client.prepare(now).await.unwrap();

    let asked = shop.asked();
    let form: std::collections::HashMap<String, String> =
        reqwest::Url::parse(&format!("form:?{}", asked[0].body)).unwrap().query_pairs().into_owned().collect();
    let expected = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "the-first"),
        ("client_id", "an-app"),
        ("client_secret", "a-secret"),
    ];
    for (name, value) in expected {
        assert_eq!(form[name], value, "{name}");
    }
    assert_eq!(asked[1].header("authorization"), "Bearer access-1");
    let problems = check(till(&app).1, &client.facts(now).unwrap());
    let told: Vec<(&str, &str)> =
        problems.iter().map(|problem| (problem.key.as_str(), problem.found.as_str())).collect();
    assert_eq!(told, [("refresh_token", "its application may not do sales:write")]);
}

/// So many calls and no more.
struct SoMany(std::sync::atomic::AtomicU32);

impl Turns for SoMany {
    fn next(&self) -> BoxFuture<'_, bool> {
        let left =
            self.0.fetch_update(std::sync::atomic::Ordering::Relaxed, std::sync::atomic::Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        Box::pin(std::future::ready(left.is_ok()))
    }

    fn heard<'a>(&'a self, _: &'a [LearnedLimit], _: u32) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn what_stands_is_read_back_sale_by_sale_while_there_are_calls() {
    let case = Case::usual().await;
    let holding = |sales: Vec<Sale>| Holding {
        order: key("812345").order,
        external_id: None,
        receipt: super::holding(sales).receipt(),
        posted: 2190,
        since: Duration::from_hours(1),
    };
    let back = Sale { state: State::Closed, ..one_back(Some("back")) };
    let held = [
        holding(vec![standing(), back]),
        holding(vec![standing()]),
        holding(vec![standing()]),
        holding(vec![standing()]),
    ];
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "closed", "21.90", 7)));
    case.shop.answers("GET", &sale_path("back"), ok(&shown("back", "closed", "-10.95", 7)));
    case.shop.answers("GET", &sale_path(ID), ok(&shown(ID, "voided", "21.90", 8)));
    case.shop.answers("GET", &sale_path(ID), reply(404, &json!({})));

    let seen = case.client.verify(&held, &SoMany(4.into()), case.app.clock.wall()).await;

    let untold = Seen::Untold(OUT_OF_CALLS.to_owned());
    assert_eq!(seen, [Seen::Worth(1095), Seen::Worth(0), Seen::Worth(0), untold]);
}

#[tokio::test]
async fn the_doctor_names_what_is_not_there_by_its_key() {
    let case = Case::start(&[("author_id", "nobody"), ("time_zone", "Pacific/Auckland")]).await;
    case.shop.has_a_shop();
    let mut told = Vec::new();

    let code = cli::doctor::run(&case.app.settings, &[], Form::Text, &mut told).await.expect("it can be told");

    let told = String::from_utf8(told).unwrap();
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("sinks.till: Old Mill Kitchen answers; it sells in GBP"), "{told}");
    assert!(told.contains("sinks.till.author_id: nobody is no user of the shop"), "{told}");
    assert!(told.contains("sinks.till.time_zone: is Pacific/Auckland, and the shop says Europe/London"), "{told}");
}
