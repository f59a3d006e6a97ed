//! What is read of the shop, how long it is used, and what of the configuration does not fit.

use std::time::Duration;

use scoffable_sync::sinks::lightspeed::facts::check;

use super::{
    stub::{ok, reply},
    *,
};

impl Case {
    async fn prepare(&self) -> Result<u32, Answer> {
        self.client.prepare(self.app.clock.wall()).await
    }
}

#[tokio::test]
async fn it_is_read_once_for_all_that_wait_and_used_for_a_day() {
    let case = Case::usual().await;
    case.shop.has_a_shop();
    let now = case.app.clock.wall();

    let read = futures::future::join_all((0..20).map(|_| case.client.prepare(now))).await;

    assert_eq!(read.into_iter().map(Result::unwrap).sum::<u32>(), 9);
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

    let first = case.prepare().await.unwrap_err();
    let second = case.prepare().await.unwrap_err();

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
