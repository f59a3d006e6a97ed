//! Signatures, and how often an account may be asked.

use scoffable_sync::{
    domain::{
        delivery::Reason,
        limits::{LearnedLimit, Told, Window},
    },
    sinks::{customers, unleashed::call},
};

use super::{
    stub::{listed, ok, reply},
    *,
};

const ORDER: &str = "/SalesOrders/037bcfca-f144-5757-9fe6-81611f2f14a8";

#[tokio::test]
async fn an_order_goes_out_word_for_word_with_everything_unleashed_wants_of_a_request() {
    let case = Case::usual().await;
    case.there.answers("POST", ORDER, reply(201, &json!({"Guid": null, "OrderNumber": null})));

    let answer = case.send(&order()).await;

    let asked = &case.there.asked()[0];
    assert_eq!(asked.body, format!(r#"{{"Guid":"{GUID}","OrderNumber":"SCF-812345"}}"#));
    for (name, value) in [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("api-auth-id", "an-id"),
        ("client-type", "acme/scoffsync"),
        // Of a query that is not there.
        ("api-auth-signature", "+qjxH2Qjw4MnlDBvq8Hke2ldTLlmNOe5scrjHItRdow="),
    ] {
        assert_eq!(asked.header(name), value, "{name}");
    }
    let held = held(&answer);
    assert_eq!(held.documents[0].guid, GUID);
    assert!(held.documents[0].made_at.is_some());
    assert_eq!(answer.calls_beside, 0);
}

fn jane() -> Step {
    let customer = customers::Customer {
        id: None,
        name: Some("Jane".to_owned()),
        email: Some("jane+1@example.org".to_owned()),
        phone: None,
    };
    let held = Held { currency: Some(gbp()), ..Held::default() };
    step(&Call::Customer(call::Customer { customer }), &held)
}

#[tokio::test]
async fn a_query_with_escapes_is_signed_the_other_way_once_and_what_worked_is_remembered() {
    let keys = [("customers", "per_customer"), ("customer_fields.email", "/customer/email")];
    let case = Case::start(&keys).await;
    let found = json!({"Guid": "77777777-0000-4000-8000-000000000077", "Email": "Jane+1@example.org"});
    case.there
        .answers("GET", "/Customers", listed(&[]))
        .answers("GET", "/Customers", reply(403, &json!({"Description": "signature"})))
        .answers("GET", "/Customers", listed(std::slice::from_ref(&found)));

    let answer = case.send(&jane()).await;

    assert_eq!(held(&answer).customer.unwrap().id, "77777777-0000-4000-8000-000000000077");
    let asked = case.there.asked();
    let signatures: Vec<&str> = asked.iter().map(|asked| asked.header("api-auth-signature")).collect();
    assert!(asked[1].query.starts_with("contactEmail=jane%2B1@example.org&"), "{}", asked[1].query);
    assert_eq!(asked[1].query, asked[2].query);
    assert_ne!(signatures[1], signatures[2]);
    assert_eq!(answer.calls_beside, 2);

    // Another order of another database row, so that it is looked for anew.
    case.app.run("DELETE FROM links").await;
    case.there.answers("GET", "/Customers", listed(&[])).answers("GET", "/Customers", listed(&[found]));
    case.send(&jane()).await;
    assert_eq!(case.there.asked().last().unwrap().header("api-auth-signature"), signatures[2]);
}

#[tokio::test]
async fn credentials_that_are_refused_hold_everything() {
    let case = Case::usual().await;
    for status in [401, 403] {
        case.there.answers("POST", ORDER, reply(status, &json!({"Description": "no"})));
    }

    assert_eq!(case.send(&order()).await.outcome, Outcome::Blocked { reason: Reason::Unauthorized });
    assert_eq!(case.send(&order()).await.outcome, Outcome::Blocked { reason: Reason::Forbidden });
    assert_eq!(case.there.asked().len(), 2, "a query without escapes is signed in one way only");
}

fn refused(window: Window, wait: Duration) -> (Outcome, Vec<LearnedLimit>) {
    let limits = vec![LearnedLimit { window, told: Told::Refused { wait } }];
    (Outcome::Throttled { not_before: Some(wait) }, limits)
}

#[tokio::test]
async fn a_month_that_is_used_up_is_asked_about_once_an_hour_and_opens_on_the_first() {
    let case = Case::usual().await;
    let told = |status: u16| reply(status, &json!({"Description": "Monthly usage limit reached"}));
    enter_a_month(&case.app);
    case.there.answers("POST", ORDER, told(403)).answers("POST", ORDER, told(429)).answers("POST", ORDER, told(429));

    for _ in 0..2 {
        let answer = case.send(&order()).await;
        assert_eq!((answer.outcome, answer.limits), refused(Window::Month, Duration::from_hours(1)));
    }
    let now = case.app.clock.wall();
    let first = month_after(now);
    case.app.advance((first - now - chrono::Duration::minutes(20)).to_std().unwrap());
    let answer = case.send(&order()).await;
    let Outcome::Throttled { not_before: Some(wait) } = answer.outcome else { panic!("{:?}", answer.outcome) };
    let about = Duration::from_mins(19)..Duration::from_mins(21);
    assert!(about.contains(&wait), "{wait:?}");
}

#[tokio::test]
async fn another_429_waits_as_it_asks_or_longer_each_time() {
    let case = Case::usual().await;
    let busy = || reply(429, &json!({"Description": "slow down"}));
    for _ in 0..3 {
        case.there.answers("POST", ORDER, busy());
    }
    case.there.answers("POST", ORDER, busy().with("Retry-After", "7"));
    case.there.answers("POST", ORDER, ok(&json!({}))).answers("POST", ORDER, busy());

    for minutes in [1, 2, 4] {
        let answer = case.send(&order()).await;
        assert_eq!((answer.outcome, answer.limits), refused(Window::Minute, Duration::from_mins(minutes)));
    }
    let answer = case.send(&order()).await;
    assert_eq!((answer.outcome, answer.limits), refused(Window::Minute, Duration::from_secs(7)));
    case.send(&order()).await;
    let answer = case.send(&order()).await;
    assert_eq!((answer.outcome, answer.limits), refused(Window::Minute, Duration::from_mins(1)));
}

#[tokio::test]
async fn a_429_that_names_no_time_waits_no_longer_than_the_slow_interval() {
    let case = Case::start(&[("retry.initial", "1s"), ("retry.max", "2s"), ("retry.slow_interval", "5s")]).await;
    case.there.answers("POST", ORDER, reply(429, &json!({"Description": "slow down"})));

    let answer = case.send(&order()).await;

    assert_eq!((answer.outcome, answer.limits), refused(Window::Minute, Duration::from_secs(5)));
}
