//! What is read of the organisation, how long it is used, and what of the configuration does not fit.

use scoffable_sync::{
    domain::delivery::Reason,
    sinks::xero::organisation::{About, Problem, check},
};

use super::{
    stub::{ok, reply},
    *,
};
use crate::harness::app::order;

impl Case {
    /// The number of calls.
    async fn prepare(&self) -> Result<u32, Answer> {
        Ok(self.client.prepare(self.app.clock.wall()).await?.made)
    }

    fn problems(&self) -> Vec<Problem> {
        let facts = self.client.facts(self.app.clock.wall()).expect("it was read");
        check(self.settings(), &facts)
    }
}

#[tokio::test]
async fn it_is_read_once_for_all_that_wait_and_used_for_a_day() {
    let case = Case::usual().await;
    case.xero.has_an_organisation();
    let now = case.app.clock.wall();

    let read = futures::future::join_all((0..20).map(|_| case.client.prepare(now))).await;

    assert_eq!(read.into_iter().map(|read| read.unwrap().made).sum::<u32>(), 6);
    assert_eq!(case.xero.asked().len(), 6);
    let facts = case.client.facts(now).unwrap();
    assert_eq!((facts.name.as_str(), facts.is_demo), ("Old Mill Kitchen", true));
    assert_eq!(facts.locked_until().unwrap().to_string(), "2018-12-31");
    assert_eq!(facts.house_contact.as_deref(), Some(CONTACT));
    assert_eq!(check(case.settings(), &facts), []);
    case.app.advance(Duration::from_hours(23));
    assert_eq!(case.prepare().await.unwrap(), 0);
    case.app.advance(Duration::from_hours(1));
    assert!(case.client.facts(case.app.clock.wall()).is_none());
}

#[tokio::test]
async fn after_a_failure_nobody_asks_again_for_a_while_and_all_are_told_how_long_that_still_is() {
    let case = Case::usual().await;
    case.xero.answers("GET", "/Organisation", reply(429, &json!({})).with("Retry-After", "90"));
    let throttled = |seconds| Outcome::Throttled { not_before: Some(Duration::from_secs(seconds)) };

    let first = case.prepare().await.unwrap_err();
    case.app.advance(Duration::from_secs(70));
    let second = case.prepare().await.unwrap_err();

    assert_eq!(first.outcome, throttled(90));
    assert_eq!(rounded(second.outcome), throttled(20));
    assert_eq!((first.calls_beside, second.calls_beside), (1, 0));
    case.app.advance(Duration::from_secs(20));
    case.xero.has_an_organisation();
    assert!(case.prepare().await.is_ok());
}

/// To the second: the test's clock goes on.
fn rounded(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Throttled { not_before } => Outcome::Throttled {
            not_before: not_before.map(|wait| Duration::from_secs(wait.as_millis().div_ceil(1_000) as u64)),
        },
        other => other,
    }
}

/// Cause: they were told what Xero had asked for, or nothing, whatever of it was over, and came back every few seconds.
#[tokio::test]
async fn an_order_waits_once_for_an_organisation_that_cannot_be_read() {
    let too_many = || reply(429, &json!({})).with("X-Rate-Limit-Problem", "concurrent");
    // Too many calls are too many for every order: the next ones are not even attempted.
    let failures: [(_, _, &[&str], _); 3] = [
        (too_many(), "throttled", &[], "0"),
        (reply(502, &json!({})), "retry", &["throttled"], "1"),
        (reply(404, &json!({})), "retry", &["throttled"], "1"),
    ];
    for (failure, outcome, told, who_was_told) in failures {
        let keys = [("house_customer", CONTACT), ("stable_for", "0s"), ("breaker.failures", "100")];
        let mut case = Case::start(&keys).await;
        for _ in 0..5 {
            case.xero.answers("GET", "/Organisation", failure.clone());
        }
        case.app.arrives(&order("0", 1, "accepted")).await;
        for _ in 1..5 {
            case.app.advance(Duration::from_hours(1));
            case.app.dispatch().await;
        }

        for id in ["1", "2", "3"] {
            case.app.arrives(&order(id, 1, "accepted")).await;
            case.app.advance(Duration::from_secs(6));
            case.app.dispatch().await;
        }

        // The fifth pause is 30 s, of which 18 are over.
        assert_eq!(case.xero.lines(), ["GET /Organisation"; 5]);
        assert_eq!(case.app.outcomes("0").await, [outcome; 5]);
        assert_eq!(case.app.outcomes("1").await, told, "it does not come back before the pause is over");
        let due_in = case.app.delivery_at(BOOKS, who_was_told).await.due_in;
        assert!((10..=12).contains(&due_in.as_secs()), "{due_in:?}");
    }
}

#[tokio::test]
async fn a_reading_that_failed_goes_on_where_it_was_interrupted() {
    let case = Case::usual().await;
    case.xero.answers("GET", "/Invoices", reply(502, &json!({})));
    case.xero.has_an_organisation();

    assert!(case.prepare().await.is_err());
    let asked_before = case.xero.asked().len();
    case.app.advance(Duration::from_secs(30));
    assert!(case.prepare().await.is_ok());

    let asked = case.xero.lines();
    assert!(asked[asked_before..].iter().all(|line| !line.contains("/Organisation")), "{asked:?}");
    assert_eq!(case.client.facts(case.app.clock.wall()).unwrap().name, "Old Mill Kitchen");
}

#[tokio::test]
async fn a_missing_scope_is_told_by_its_name_before_any_order_meets_it() {
    let lacking = || reply(401, &json!({"Title": "Unauthorized", "Detail": "AuthorizationUnsuccessful"}));
    let other = Case::start(&[("house_customer", CONTACT)]).await;
    for part in ["Organisation", "Accounts", "TaxRates", "Currencies", "Invoices"] {
        let empty = match part {
            "Organisation" => json!({"Organisations": [{"BaseCurrency": "GBP"}]}),
            _ => json!({}),
        };
        other.xero.answers("GET", &format!("/{part}"), ok(&empty));
    }
    other.xero.answers("GET", "/Payments", lacking()).answers("GET", "/Payments", lacking());
    other.prepare().await.unwrap();

    let problems = other.problems();
    let scopes: Vec<&Problem> = problems.iter().filter(|problem| problem.about == About::Everything).collect();
    assert_eq!(scopes.len(), 1, "{problems:?}");
    assert_eq!(scopes[0].key, "scopes");
    assert!(scopes[0].to_do.contains("accounting.payments"), "{}", scopes[0].to_do);
}

#[tokio::test]
async fn a_token_that_says_what_it_is_good_for_is_believed() {
    let case = Case::usual().await;
    case.xero.has_an_organisation();
    case.xero.grants("accounting.settings.read accounting.invoices");

    case.prepare().await.unwrap();

    let lacking: Vec<String> = case.problems().into_iter().map(|problem| problem.to_do).collect();
    assert_eq!(lacking.len(), 1, "{lacking:?}");
    assert!(lacking[0].contains("accounting.payments"), "{lacking:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_told_by_its_key_with_what_to_do() {
    let case = Case::start(&[
        ("house_customer", CONTACT),
        ("accounts.sales", "999"),
        ("accounts.cash", "200"),
        ("tax_types.service_fee", "INPUT2"),
        ("tracking.outlet.by", "vendor"),
        ("tracking.outlet.otherwise", "Leeds"),
    ])
    .await;
    case.xero.has_an_organisation();
    let categories = json!([{"Name": "outlet", "Status": "ACTIVE", "Options": [
        {"Name": "Leeds", "Status": "ARCHIVED"}, {"Name": "York", "Status": "ACTIVE"},
    ]}]);
    case.xero.answers("GET", "/TrackingCategories", ok(&json!({"TrackingCategories": categories})));

    case.prepare().await.unwrap();

    let told: Vec<(String, String)> = case.problems().into_iter().map(|problem| (problem.key, problem.found)).collect();
    let expected = [
        ("accounts.sales", "999 is no account of the organisation"),
        ("accounts.cash", "200 takes no payments"),
        ("tax_types, for service_fee", "INPUT2 is no tax type of the organisation"),
        ("tracking.outlet", "\"outlet\" has no active option \"Leeds\""),
    ];
    assert_eq!(told, expected.map(|(key, found)| (key.to_owned(), found.to_owned())));
}

#[tokio::test]
async fn a_refusal_by_a_lock_date_has_the_lock_dates_read_anew_but_not_at_every_refusal() {
    let case = Case::usual().await;
    case.xero.has_an_organisation();
    case.prepare().await.unwrap();
    let refusal = || reply(400, &exception("The document date is before the lock date"));
    case.xero.answers("PUT", "/Invoices", refusal()).answers("PUT", "/Invoices", refusal());

    case.send(&invoice("SCF-1", 2329)).await;
    assert!(case.client.facts(case.app.clock.wall()).is_some(), "it was read a moment ago");
    case.app.advance(Duration::from_mins(5));
    case.send(&invoice("SCF-1", 2329)).await;

    assert!(case.client.facts(case.app.clock.wall()).is_none());
}

#[tokio::test]
async fn credentials_that_are_refused_block_before_anything_is_asked() {
    let case = Case::usual().await;
    let unauthorized = || reply(401, &json!({"Title": "Unauthorized", "Detail": "TokenExpired"}));
    case.xero.answers("GET", "/Organisation", unauthorized()).answers("GET", "/Organisation", unauthorized());

    let answer = case.prepare().await.unwrap_err();

    assert_eq!(answer.outcome, Outcome::Blocked { reason: Reason::Unauthorized });
}
